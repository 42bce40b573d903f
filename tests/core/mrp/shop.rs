//! A workshop to plan for: short ways to write items and situations, and a plan told in words.

use std::fmt::Write as _;

use counterfoil_core::production::mrp::{
    Bom, Calendar, Cause, Day, Demand, Item, Line, LotRule, Need, Network, Operation, OrderIndex, Origin, Plan,
    Presence, Receipt, Requirement, Share, Situation, Source, Stock, Supply, calculate,
};
use counterfoil_core::types::{Amount, AssetId, Quantity};

/// Day 4 is the first Monday of 1970.
pub const MONDAY: Day = Day(4);

/// Every day is worked, for eight hours.
pub fn every_day() -> Calendar {
    Calendar::new([true; 7], &[], 8 * 3_600).expect("all days are worked")
}

/// Monday to Friday, but not on these days, for eight hours.
pub fn office(holidays: &[Day]) -> Calendar {
    Calendar::new([true, true, true, true, true, false, false], holidays, 8 * 3_600).expect("five days are worked")
}

/// Something that is bought.
pub fn bought(id: u32, lead_days: u32) -> Item {
    Item {
        id: AssetId(id),
        source: Source::Buy { lead_days },
        lot: LotRule::LotForLot,
        safety_stock: Quantity(0),
        phantom: false,
    }
}

/// Something that is made one by one of these components.
pub fn made(id: u32, lead_days: u32, components: &[(u32, u64)]) -> Item {
    let lines = components.iter().map(|(component, quantity)| line(*component, *quantity)).collect();
    Item { source: Source::Make(vec![bom(lead_days, lines)]), ..bought(id, 0) }
}

/// A bill of materials of one piece, from the first day on.
pub fn bom(lead_days: u32, lines: Vec<Line>) -> Bom {
    Bom {
        version: 1,
        effective_from: Day(i32::MIN),
        output: Quantity(1),
        lines,
        by_products: Vec::new(),
        operations: vec![Operation { setup_seconds: 0, run_seconds: 0, lead_days, cost_per_hour: Amount(0) }],
    }
}

/// A line without losses, set-up and rounding.
pub fn line(component: u32, quantity: u64) -> Line {
    Line {
        component: AssetId(component),
        quantity: Quantity(quantity),
        attrition: 0,
        setup: Quantity(0),
        multiple: Quantity(0),
        presence: Presence::Required,
    }
}

/// The only bill of what is made.
pub fn bill(item: &mut Item) -> &mut Bom {
    match &mut item.source {
        Source::Make(boms) => &mut boms[0],
        Source::Buy { .. } => panic!("item {} is bought", item.id),
    }
}

pub fn stock(item: u32, quantity: u64) -> Stock {
    Stock { item: AssetId(item), quantity: Quantity(quantity) }
}

pub fn receipt(item: u32, quantity: u64, due: i32) -> Receipt {
    Receipt { item: AssetId(item), quantity: Quantity(quantity), due: Day(due) }
}

pub fn demand(id: u64, item: u32, quantity: u64, due: i32) -> Demand {
    Demand { id, item: AssetId(item), quantity: Quantity(quantity), due: Day(due) }
}

/// Nothing there and nothing asked for, from day 0 on, every day worked.
pub fn idle() -> Situation {
    Situation {
        calendar: every_day(),
        planning_date: Day(0),
        available: Vec::new(),
        receipts: Vec::new(),
        demands: Vec::new(),
    }
}

pub fn network(items: &[Item]) -> Network {
    Network::new(items.to_vec()).unwrap_or_else(|error| panic!("{error}"))
}

pub fn plan(items: &[Item], situation: &Situation) -> Plan {
    calculate(&network(items), situation).unwrap_or_else(|error| panic!("{error}"))
}

/// What is ordered of an item in all.
pub fn ordered(plan: &Plan, item: u32) -> u64 {
    plan.orders_of(AssetId(item)).map(|(_, order)| order.quantity.0).sum()
}

/// The planned orders, a line each: what, how much, from when to when, and when really.
pub fn orders(plan: &Plan) -> Vec<String> {
    plan.orders()
        .map(|(_, order)| {
            let what = if order.version.is_some() { "make" } else { "buy" };
            let mut text = format!("{what} {} of {}: {} to {}", order.quantity, order.item, order.release, order.due);
            if order.ready > order.due {
                let _ = write!(text, ", ready {}", order.ready);
            }
            text
        })
        .collect()
}

/// The pegs of an item, a line each: how much of what for whom.
pub fn pegs(plan: &Plan, item: u32) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, requirement) in plan.requirements_of(AssetId(item)) {
        for peg in plan.pegs_of_requirement(index) {
            let supply = plan.supply(peg.supply).expect("a peg names a supply");
            let (from, to) = (origin(plan, &supply), need(plan, &requirement));
            lines.push(format!("{} {from} for {to}", peg.quantity));
        }
    }
    lines
}

fn origin(plan: &Plan, supply: &Supply) -> String {
    match supply.origin {
        Origin::Stock => "of stock".to_owned(),
        Origin::Receipt(_) => format!("received on {}", supply.day),
        Origin::Order(_) => format!("ordered for {}", supply.day),
        Origin::ByProduct(order) => format!("left over from {} on {}", item_of(plan, order), supply.day),
    }
}

fn need(plan: &Plan, requirement: &Requirement) -> String {
    match requirement.need {
        Need::Demand(demand) => format!("demand {}", plan.demands()[demand as usize].id),
        Need::Order(order) => format!("{} on {}", item_of(plan, order), requirement.day),
        Need::SafetyStock => "safety stock".to_owned(),
    }
}

fn item_of(plan: &Plan, order: OrderIndex) -> AssetId {
    plan.order(order).expect("an order of the plan").item
}

/// Shares, a line each.
pub fn causes(plan: &Plan, shares: &[Share]) -> Vec<String> {
    shares
        .iter()
        .map(|share| match share.cause {
            Cause::Demand(demand) => format!("{} for demand {}", share.quantity, plan.demands()[demand as usize].id),
            Cause::SafetyStock(item) => format!("{} for the safety stock of {item}", share.quantity),
            Cause::LotRule(item) => format!("{} by the lot rule of {item}", share.quantity),
            Cause::Others => format!("{} for others", share.quantity),
        })
        .collect()
}

/// Demand that is short, a line each.
pub fn shortages(plan: &Plan) -> Vec<String> {
    plan.shortages()
        .map(|promise| {
            let demand = promise.demand;
            format!(
                "demand {}: {} of {} by {}, all by {}",
                demand.id, promise.on_time, demand.quantity, demand.due, promise.feasible
            )
        })
        .collect()
}
