//! Commands of plans and planned purchases.

use counterfoil_core::command::{
    Body, BuyPurchase, ClosePlan, ClosePurchase, CreatePlan, DemandLine, DemandPeg, FirmPlan, LinkPurchase,
    OrderToFirm, Pricing, PurchaseReceipt, ReceivePurchase, SetPlanLines,
};
use counterfoil_core::types::{
    BomVersion, Code, CommandId, Day, OverIssue, PlanId, PlanLineId, PlanState, PlantId, PurchaseId, Quantity,
    Sequence, Side,
};

use super::super::fold::Fold;
use super::super::rng::Rng;
use super::super::swarm::BANK;
use super::Generator;
use super::production::{GADGET, KIT, PLANT};

impl Generator {
    /// Plans are made, given demand, firmed and closed; what is bought for them comes.
    pub(super) fn planning(&self, rng: &mut Rng, fold: &Fold) -> Body {
        let planning = &fold.planning;
        match rng.below(20) {
            _ if planning.plans.is_empty() && rng.chance(80) => self.create_plan(rng),
            0 => self.create_plan(rng),
            1 => Body::ClosePlan(ClosePlan { plan: self.plan(rng, fold) }),
            2 => Body::ClosePurchase(ClosePurchase { purchase: self.purchase(rng, fold) }),
            3..8 if !planning.purchases.is_empty() => self.link_purchase(rng, fold),
            3..9 => self.plan_lines(rng, fold),
            9..14 if !planning.purchases.is_empty() => self.receive_purchase(rng, fold),
            _ => self.firm(rng, fold),
        }
    }

    fn create_plan(&self, rng: &mut Rng) -> Body {
        let plant = if rng.chance(self.swarm.typos) { PlantId(9) } else { PLANT };
        Body::CreatePlan(CreatePlan { plant, name: Code::new("SPRING").expect("a code") })
    }

    fn plan(&self, rng: &mut Rng, fold: &Fold) -> PlanId {
        let open: Vec<PlanId> = fold.planning.plans.keys().copied().collect();
        if open.is_empty() || rng.chance(self.swarm.typos + 1) { PlanId(u64::MAX) } else { *rng.pick(&open) }
    }

    fn purchase(&self, rng: &mut Rng, fold: &Fold) -> PurchaseId {
        let open: Vec<PurchaseId> = fold.planning.purchases.keys().copied().collect();
        if open.is_empty() || rng.chance(self.swarm.typos + 1) { PurchaseId(u64::MAX) } else { *rng.pick(&open) }
    }

    fn plan_lines(&self, rng: &mut Rng, fold: &Fold) -> Body {
        let plan = self.plan(rng, fold);
        let line = |rng: &mut Rng| PlanLineId(rng.below(6) as u32);
        let mut set: Vec<DemandLine> = Vec::new();
        for _ in 0..rng.between(1, 3) {
            let (line, product) = (line(rng), self.stocked_asset(rng));
            let (quantity, due) = (self.units(rng), Day(rng.below(30) as i32));
            set.push(DemandLine { line, product, quantity, due });
        }
        let known = fold.planning.plans.get(&plan);
        let known: Vec<PlanLineId> = known.map_or(Vec::new(), |open| open.lines.keys().copied().collect());
        let remove = match rng.below(10) {
            0 => vec![line(rng)],
            1..4 if !known.is_empty() => vec![*rng.pick(&known)],
            _ => Vec::new(),
        };
        if !rng.chance(10) {
            // Each line once.
            let mut seen = remove.clone();
            set.retain(|new| !seen.contains(&new.line) && (seen.push(new.line), true).1);
        }
        Body::SetPlanLines(SetPlanLines { plan, set, remove })
    }

    /// What a calculation could have found, mostly of the newest state.
    fn firm(&self, rng: &mut Rng, fold: &Fold) -> Body {
        let plan = self.plan(rng, fold);
        let open = fold.planning.plans.get(&plan);
        let goes_on = open.and_then(|open| open.plan.firming).filter(|_| rng.chance(70));
        let computed_at = match goes_on {
            Some(firming) => firming.computed_at,
            None if rng.chance(80) => Sequence(fold.sequence),
            None => Sequence(rng.below(fold.sequence + 3)),
        };
        let (location, output) = (self.location(rng), self.location(rng));
        let orders = (0..rng.below(4)).map(|_| self.order_to_firm(rng, fold, plan)).collect();
        let (backflush, over_issue, more) = (rng.chance(50), *rng.pick(OverIssue::ALL), rng.chance(30));
        Body::FirmPlan(FirmPlan { plan, computed_at, location, output, backflush, over_issue, orders, more })
    }

    fn order_to_firm(&self, rng: &mut Rng, fold: &Fold, plan: PlanId) -> OrderToFirm {
        let is_made = rng.chance(50);
        let item = if is_made { *rng.pick(&[GADGET, KIT]) } else { self.stocked_asset(rng) };
        let quantity = self.units(rng);
        let release = Day(rng.below(20) as i32);
        let due = Day(if rng.chance(self.swarm.typos) { -1 } else { release.0 + rng.below(9) as i32 });
        let mut pegs = Vec::new();
        if let Some(open) =
            fold.planning.plans.get(&plan).filter(|open| open.plan.state == PlanState::ALL[0] || rng.chance(50))
        {
            let lines: Vec<PlanLineId> = open.lines.keys().copied().collect();
            if !lines.is_empty() && quantity.0 > 0 {
                let line = if rng.chance(4) { PlanLineId(77) } else { *rng.pick(&lines) };
                let most = quantity.0.min(20) + u64::from(rng.chance(2));
                pegs.push(DemandPeg { plan, line, quantity: Quantity(rng.between(1, most)) });
            }
        }
        OrderToFirm { item, version: is_made.then_some(BomVersion(1)), quantity, release, due, pegs }
    }

    /// Mostly with an open order that can bring it.
    fn link_purchase(&self, rng: &mut Rng, fold: &Fold) -> Body {
        let mut pairs: Vec<(PurchaseId, CommandId)> = Vec::new();
        for purchase in fold.planning.purchases.values() {
            for order in fold.open.iter().map(|id| &fold.orders[id]) {
                let base = fold.markets[&order.market].0.base;
                if (order.side, order.account, base) == (Side::Buy, purchase.location, purchase.item) {
                    pairs.push((purchase.id, order.id));
                }
            }
        }
        let (purchase, order) = match rng.below(10) {
            0 => (self.purchase(rng, fold), None),
            1 => (self.purchase(rng, fold), Some(CommandId(7))),
            2..5 => return self.buy_purchase(rng, fold),
            5..8 => self.taken_order(rng, fold),
            _ if pairs.is_empty() => (self.purchase(rng, fold), Some(CommandId(8))),
            _ => {
                let (purchase, order) = *rng.pick(&pairs);
                (purchase, Some(order))
            }
        };
        Body::LinkPurchase(LinkPurchase { purchase, order })
    }

    /// An order that buys another purchase of the same location.
    fn taken_order(&self, rng: &mut Rng, fold: &Fold) -> (PurchaseId, Option<CommandId>) {
        let all = || fold.planning.purchases.values();
        let mut pairs: Vec<(PurchaseId, Option<CommandId>)> = Vec::new();
        for linked in all().filter(|linked| linked.order.is_some()) {
            let others = all().filter(|other| other.id != linked.id && other.location == linked.location);
            pairs.extend(others.map(|other| (other.id, linked.order)));
        }
        if pairs.is_empty() { (self.purchase(rng, fold), None) } else { *rng.pick(&pairs) }
    }

    /// An order for a purchase, mostly one that buys it.
    fn buy_purchase(&self, rng: &mut Rng, fold: &Fold) -> Body {
        // Now and then one that an open order buys already.
        let open = |id| fold.open.iter().map(|open| &fold.orders[open]).find(|order| order.id == id);
        let is_bought = |location, order: Option<_>| order.and_then(open).is_some_and(|open| open.account == location);
        let mut bought = fold.planning.purchases.values().filter(|it| is_bought(it.location, it.order));
        let bought = bought.next().filter(|_| rng.chance(80));
        let purchase = bought.map_or_else(|| self.purchase(rng, fold), |planned| planned.id);
        let mut order = self.order(rng, |rng, market| Pricing::Limit(self.price(rng, market)));
        if let Some(planned) = fold.planning.purchases.get(&purchase).filter(|_| rng.chance(90)) {
            let of_item = fold.markets.values().find(|(market, _, _)| market.base == planned.item);
            order.market = of_item.map_or(order.market, |(market, _, _)| market.market);
            (order.account, order.side) = (planned.location, Side::Buy);
        }
        Body::BuyPurchase(BuyPurchase { purchase, order })
    }

    fn receive_purchase(&self, rng: &mut Rng, fold: &Fold) -> Body {
        let purchase = self.purchase(rng, fold);
        let from = if rng.chance(90) { BANK } else { self.account(rng) };
        let receipt = rng.chance(60).then_some(PurchaseReceipt { from, lot: None });
        let quantity = self.units(rng);
        Body::ReceivePurchase(ReceivePurchase { purchase, quantity, receipt })
    }
}
