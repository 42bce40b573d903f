//! Plans of the plant that makes carts, and what is bought for them.

use super::production::{CART, GLUE, PLANT, SHELF, WHEEL, YARD};
use super::{ISSUER, MARKET, code};
use crate::core::command::{
    Body, BuyPurchase, ClosePlan, ClosePurchase, CreatePlan, DemandLine, DemandPeg, FirmPlan, LinkPurchase, NewOrder,
    OrderToFirm, Pricing, PurchaseReceipt, ReceivePurchase, SetPlanLines,
};
use crate::core::types::{
    CommandId, Day, OverIssue, PlanId, PlanLineId, Price, PurchaseId, Quantity, SelfTradePrevention, Sequence, Side,
    TimeInForce,
};
use crate::store::testing::Random;

/// Plans that exist from the beginning.
const PLANS: u64 = 8;

/// Purchases of each of them.
const PURCHASES_OF_PLAN: u64 = 2;

/// Events of one that is firmed: its purchases, and that it is.
const EVENTS_OF_FIRMING: u64 = PURCHASES_OF_PLAN + 1;

/// A Monday.
const DUE: Day = Day(4);

/// Plans with their demand, of one event each; `before` events come first.
pub fn setup(before: u64) -> Vec<Body> {
    let create = (0..PLANS).map(|_| Body::CreatePlan(CreatePlan { plant: PLANT, name: code("SPRING") }));
    let lines = (0..PLANS).map(|place| set_lines(PlanId(before + 1 + place), 1, 5, Vec::new()));
    create.chain(lines).collect()
}

/// A buy order of the shelf, on the one market that there is.
fn buy(quantity: u64) -> NewOrder {
    NewOrder {
        account: SHELF,
        market: MARKET,
        side: Side::Buy,
        quantity: Quantity(quantity),
        pricing: Pricing::Limit(Price(100)),
        time_in_force: TimeInForce::GoodTillCancel,
        expires_at: None,
        post_only: false,
        self_trade_prevention: SelfTradePrevention::CancelNewest,
    }
}

fn set_lines(plan: PlanId, line: u32, quantity: u64, remove: Vec<PlanLineId>) -> Body {
    let line = DemandLine { line: PlanLineId(line), product: CART, quantity: Quantity(quantity), due: DUE };
    Body::SetPlanLines(SetPlanLines { plan, set: vec![line], remove })
}

/// What makes orders of the plans that were set up behind `plans_before` events; `before` events come first.
pub fn firm(plans_before: u64, before: u64) -> Vec<Body> {
    let order = |item, plan| OrderToFirm {
        item,
        version: None,
        quantity: Quantity(40),
        release: Day(1),
        due: DUE,
        pegs: vec![DemandPeg { plan, line: PlanLineId(1), quantity: Quantity(20) }],
    };
    let firm = |place| {
        let plan = PlanId(plans_before + 1 + place);
        Body::FirmPlan(FirmPlan {
            plan,
            computed_at: Sequence(before + place * EVENTS_OF_FIRMING),
            location: SHELF,
            output: YARD,
            backflush: true,
            over_issue: OverIssue::Warn,
            orders: vec![order(WHEEL, plan), order(GLUE, plan)],
            more: false,
        })
    };
    (0..PLANS).map(firm).collect()
}

/// One command about the plans behind `plans_before` events, and the purchases behind `firms_before`.
pub fn body(numbers: &mut Random, plans_before: u64, firms_before: u64) -> Body {
    let plan = PlanId(plans_before + 1 + numbers.below(PLANS));
    let (firming, place) = (numbers.below(PLANS), numbers.below(PURCHASES_OF_PLAN));
    let purchase = PurchaseId(firms_before + 1 + firming * EVENTS_OF_FIRMING + place);
    match numbers.below(12) {
        0 => Body::CreatePlan(CreatePlan { plant: PLANT, name: code("LATER") }),
        1..=4 => {
            let remove = if numbers.below(3) == 0 { vec![PlanLineId(11)] } else { Vec::new() };
            set_lines(plan, 1 + numbers.below(12) as u32, 1 + numbers.below(9), remove)
        }
        5 => Body::ClosePlan(ClosePlan { plan }),
        6 => Body::ClosePurchase(ClosePurchase { purchase }),
        7 => match numbers.below(3) {
            0 => Body::LinkPurchase(LinkPurchase { purchase, order: None }),
            1 => {
                let order = Some(CommandId(1 + u128::from(numbers.below(9))));
                Body::LinkPurchase(LinkPurchase { purchase, order })
            }
            _ => Body::BuyPurchase(BuyPurchase { purchase, order: buy(1 + numbers.below(9)) }),
        },
        _ => {
            let quantity = Quantity(1 + numbers.below(5));
            let receipt = (numbers.below(2) == 0).then_some(PurchaseReceipt { from: ISSUER, lot: None });
            Body::ReceivePurchase(ReceivePurchase { purchase, quantity, receipt })
        }
    }
}
