//! Plans and planned purchases in the auditor's books.

use std::collections::BTreeMap;

use counterfoil_core::command::{DemandLine, SetPlanLines};
use counterfoil_core::event::{EventBody, PlanFirmed};
use counterfoil_core::production::records::{Firming, ProductionPlan, Purchase};
use counterfoil_core::types::{
    AccountId, AssetId, CommandId, PlanId, PlanLineId, PlanState, PurchaseId, Sequence, Side, Source,
};

use super::Fold;

/// Plans and purchases in the auditor's books.
#[derive(Debug, Clone, Default)]
pub struct Planning {
    /// Plans that are not closed, with their lines.
    pub plans: BTreeMap<PlanId, OpenPlan>,
    /// Purchases of which something is to come.
    pub purchases: BTreeMap<PurchaseId, Purchase>,
    /// The last event that changed what every plan is calculated from.
    pub changed: Sequence,
    /// Orders that no firming has told of yet.
    untold: Vec<Sequence>,
    /// What the trade before brought of a purchase.
    bought: Option<(PurchaseId, u64)>,
}

/// A plan that is not closed.
#[derive(Debug, Clone)]
pub struct OpenPlan {
    /// What it is.
    pub plan: ProductionPlan,
    /// Its demand.
    pub lines: BTreeMap<PlanLineId, DemandLine>,
}

impl Fold {
    /// An event of plans or purchases. None changes a balance.
    pub(super) fn planning_event(&mut self, sequence: Sequence, body: &EventBody) {
        match body {
            EventBody::PlanCreated(created) => {
                let plan = created.plan;
                assert!(self.production.plants.contains_key(&plan.plant));
                assert_eq!((plan.id.0, plan.changed, plan.lines), (sequence.0, sequence, 0));
                assert_eq!((plan.state, plan.firming), (PlanState::Draft, None));
                self.planning.plans.insert(plan.id, OpenPlan { plan, lines: BTreeMap::new() });
            }
            EventBody::PlanLinesSet(set) => self.lines_set(sequence, set),
            EventBody::PlanFirmed(firmed) => self.firmed(sequence, firmed),
            EventBody::PlanClosed(closed) => {
                let open = self.planning.plans.remove(&closed.plan.id).expect("it was open");
                assert_eq!(open.plan, closed.plan);
                if open.plan.state == PlanState::Firmed {
                    self.planning.changed = sequence;
                }
            }
            EventBody::PurchasePlanned(planned) => {
                let purchase = planned.purchase;
                assert_eq!((purchase.id.0, purchase.received.0), (sequence.0, 0));
                assert!(self.production.items.contains_key(&purchase.item) && purchase.release <= purchase.due);
                assert!(self.production.plants[&purchase.plant].locations.contains(&purchase.location));
                self.planning.purchases.insert(purchase.id, purchase);
                self.planning.untold.push(sequence);
            }
            EventBody::PurchaseReceived(received) => {
                let purchase = self.planning.purchases.get_mut(&received.purchase.id).expect("it was to come");
                purchase.received.0 += received.quantity.0;
                assert!(received.quantity.0 > 0);
                if let Some(bought) = self.planning.bought.take() {
                    assert_eq!(bought, (received.purchase.id, received.quantity.0));
                }
                assert_eq!(*purchase, received.purchase);
                if purchase.received >= purchase.quantity {
                    self.planning.purchases.remove(&received.purchase.id);
                }
            }
            EventBody::PurchaseLinked(linked) => {
                let purchase = self.planning.purchases.get_mut(&linked.purchase.id).expect("it was to come");
                purchase.order = linked.purchase.order;
                assert_eq!(*purchase, linked.purchase);
                let same = (purchase.location, purchase.order);
                if let Some(id) = purchase.order {
                    let of_location = |order: &&super::Order| (order.account, order.id) == (purchase.location, id);
                    let order = self.orders.values().find(of_location).expect("it was accepted");
                    let base = self.markets[&order.market].0.base;
                    assert_eq!((order.side, base), (Side::Buy, purchase.item), "it buys the purchase");
                }
                let of_order = self.planning.purchases.values().filter(|it| (it.location, it.order) == same);
                assert!(same.1.is_none() || of_order.count() == 1, "one order buys one purchase");
            }
            EventBody::PurchaseClosed(closed) => {
                let open = self.planning.purchases.remove(&closed.purchase.id);
                assert_eq!(open, Some(closed.purchase));
            }
            other => unreachable!("{other:?} is not of plans"),
        }
    }

    fn lines_set(&mut self, sequence: Sequence, set: &SetPlanLines) {
        let plan = self.planning.plans[&set.plan].plan;
        for line in &set.set {
            let is_made = self.production.items[&line.product].source == Source::Make;
            assert!(!is_made || self.production.boms.keys().any(|(product, _)| *product == line.product), "{line:?}");
            if let Some(calendar) = self.production.calendars.get(&plan.plant) {
                let works = calendar.weekdays >> line.due.weekday() & 1 == 1 && !calendar.holidays.contains(&line.due);
                assert!(works, "{line:?} of {calendar:?}");
            }
        }
        let open = self.planning.plans.get_mut(&set.plan).expect("it is open");
        for line in &set.remove {
            open.lines.remove(line).expect("it was there");
        }
        open.lines.extend(set.set.iter().map(|line| (line.line, *line)));
        open.plan.lines = open.lines.len() as u32;
        open.plan.changed = sequence;
        if open.plan.state == PlanState::Firmed {
            self.planning.changed = sequence;
        }
    }

    /// What nobody may order by any more is refused, so it is not here.
    fn firmed(&mut self, sequence: Sequence, firmed: &PlanFirmed) {
        let untold = std::mem::take(&mut self.planning.untold);
        assert_eq!(untold.len(), firmed.orders as usize, "{firmed:?}");
        let mut pegged: BTreeMap<Sequence, u64> = BTreeMap::new();
        for peg in &firmed.pegs {
            assert!(self.planning.plans[&peg.plan].lines.contains_key(&peg.line), "{peg:?}");
            *pegged.entry(peg.order).or_default() += peg.quantity.0;
        }
        for (order, pegs) in pegged {
            let made = self.production.orders.values().find(|open| open.order.id.0 == order.0);
            let made = made.map(|open| (open.order.quantity, open.order.plan));
            let bought = self.planning.purchases.get(&PurchaseId(order.0));
            let (quantity, plan) =
                made.or(bought.map(|it| (it.quantity, Some(it.plan)))).expect("pegs are of orders that were made");
            assert!(untold.contains(&order) && pegs <= quantity.0 && plan == Some(firmed.plan.id));
        }
        let changed = self.planning.changed;
        let open = self.planning.plans.get_mut(&firmed.plan.id).expect("it is open");
        let newer = changed.max(open.plan.changed);
        let goes_on =
            open.plan.firming.is_some_and(|firming| firming.computed_at == firmed.computed_at && firming.last == newer);
        assert!(goes_on || newer <= firmed.computed_at, "{firmed:?} is outdated since {newer}");
        let goes_on = Firming { computed_at: firmed.computed_at, last: sequence };
        open.plan.state = PlanState::Firmed;
        open.plan.firming = firmed.plan.firming.map(|_| goes_on);
        assert_eq!(open.plan, firmed.plan);
        self.planning.changed = sequence;
    }

    /// A work order was made for a plan, which is told by the end of the record.
    pub(super) fn ordered(&mut self, sequence: Sequence, plan: Option<PlanId>) {
        if let Some(plan) = plan {
            assert!(self.planning.plans.contains_key(&plan));
            self.planning.untold.push(sequence);
        }
    }

    /// A trade has to be told as a receipt when the buyer's order buys a purchase.
    pub(super) fn bought(&mut self, buyer: AccountId, order: CommandId, asset: AssetId, quantity: u64) {
        assert_eq!(self.planning.bought, None, "the trade before was a receipt and was not told as one");
        let buys = |it: &&Purchase| (it.location, it.order, it.item) == (buyer, Some(order), asset);
        self.planning.bought = self.planning.purchases.values().find(buys).map(|it| (it.id, quantity));
    }

    /// Demands that no order was made for a plan, and nothing bought for one, without being told.
    pub(super) fn expect_all_orders_told(&self) {
        assert_eq!(self.planning.bought, None, "a trade was a receipt and was not told as one");
        assert!(self.planning.untold.is_empty(), "{:?} are not told", self.planning.untold);
    }

    /// Something was defined that every plan is calculated from.
    pub(super) fn rules_changed(&mut self, sequence: Sequence) {
        self.planning.changed = sequence;
    }
}
