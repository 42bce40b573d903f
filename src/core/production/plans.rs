//! Production plans and their demand: what is to be there, and when.
//!
//! A plan holds nothing and orders nothing. What has to be made and bought for it is calculated from a
//! state of the ledger by whoever wants to know, which stops nobody; what of it is to be done comes back
//! as a command of its own, see [`firming`](super::firming).

use std::collections::BTreeMap;

use super::records::{PlanLine, ProductionPlan};
use super::work_orders::can_be_ordered;
use crate::command::{ClosePlan, CreatePlan, DemandLine, SetPlanLines};
use crate::event::{Effects, EventBody, PlanClosed, PlanCreated};
use crate::ledger::Ledger;
use crate::ledger::slots::Slab;
use crate::rejection::Rejection;
use crate::state::Table;
use crate::table::Slot;
use crate::types::{PlanId, PlanLineId, PlanState, PlantId, Source};

/// A plan in memory.
#[derive(Debug)]
pub struct PlanEntry {
    /// The record.
    pub plan: ProductionPlan,
    /// The slots of its lines, by number.
    pub lines: BTreeMap<PlanLineId, Slot>,
}

/// Every plan that is not closed.
#[derive(Debug, Default)]
pub struct Plans {
    /// The plans.
    pub entries: Slab<PlanEntry>,
    /// Their lines.
    pub lines: Slab<PlanLine>,
    /// By id.
    pub by_id: BTreeMap<PlanId, Slot>,
}

impl Plans {
    /// Adds a plan without lines.
    pub fn insert(&mut self, plan: ProductionPlan) -> Slot {
        let slot = self.entries.insert(PlanEntry { plan, lines: BTreeMap::new() });
        self.by_id.insert(plan.id, slot);
        slot
    }
}

impl Ledger {
    pub(crate) fn create_plan(&mut self, new: &CreatePlan, effects: &mut Effects) -> Result<(), Rejection> {
        self.known_plant(new.plant)?;
        let plan = ProductionPlan {
            id: PlanId(self.next_sequence().0),
            plant: new.plant,
            name: new.name,
            state: PlanState::Draft,
            lines: 0,
            changed: self.next_sequence(),
            firming: None,
        };
        let slot = self.production.plans.insert(plan);
        self.changes.mark(Table::Plan, slot);
        self.emit(EventBody::PlanCreated(Box::new(PlanCreated { plan })), effects);
        Ok(())
    }

    pub(crate) fn set_plan_lines(&mut self, set: &SetPlanLines, effects: &mut Effects) -> Result<(), Rejection> {
        let slot = self.known_plan(set.plan)?;
        self.check_plan_lines(slot, set)?;

        for line in &set.remove {
            let plans = &mut self.production.plans;
            let at = plans.entries[slot].lines.remove(line).expect("a line that is removed was looked up");
            plans.lines.remove(at);
            self.changes.mark(Table::PlanLine, at);
        }
        for line in &set.set {
            let (plans, row) = (&mut self.production.plans, PlanLine { plan: set.plan, line: *line });
            let at = match plans.entries[slot].lines.get(&line.line) {
                Some(&at) => {
                    plans.lines[at] = row;
                    at
                }
                None => {
                    let at = plans.lines.insert(row);
                    plans.entries[slot].lines.insert(line.line, at);
                    at
                }
            };
            self.changes.mark(Table::PlanLine, at);
        }
        let changed = self.next_sequence();
        let entry = &mut self.production.plans.entries[slot];
        entry.plan.lines = entry.lines.len() as u32;
        entry.plan.changed = changed;
        if entry.plan.state == PlanState::Firmed {
            self.header.planning_changed = changed;
        }
        self.changes.mark(Table::Plan, slot);
        self.emit(EventBody::PlanLinesSet(Box::new(set.clone())), effects);
        Ok(())
    }

    fn check_plan_lines(&self, slot: Slot, set: &SetPlanLines) -> Result<(), Rejection> {
        if set.set.len() + set.remove.len() > SetPlanLines::LINES_MAX {
            return Err(Rejection::PlanTooLarge);
        }
        let entry = &self.production.plans.entries[slot];
        let mut named: Vec<PlanLineId> =
            set.set.iter().map(|line| line.line).chain(set.remove.iter().copied()).collect();
        named.sort_unstable();
        if named.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Rejection::PlanLineTwice);
        }
        if set.remove.iter().any(|line| !entry.lines.contains_key(line)) {
            return Err(Rejection::UnknownPlanLine);
        }
        let new = set.set.iter().filter(|line| !entry.lines.contains_key(&line.line)).count();
        if entry.lines.len() - set.remove.len() + new > SetPlanLines::PLAN_LINES_MAX {
            return Err(Rejection::PlanTooLarge);
        }
        set.set.iter().try_for_each(|line| self.check_demand(entry.plan.plant, line))
    }

    /// Refuses demand for what nobody knows how to get, and on a day when nobody could hand it over.
    fn check_demand(&self, plant: PlantId, line: &DemandLine) -> Result<(), Rejection> {
        let item = self.known_item(line.product)?;
        let is_made = self.production.items[item].item.source == Source::Make;
        if is_made && self.bom_in_effect(item, line.due).is_none() {
            return Err(Rejection::UnknownBom);
        }
        if !can_be_ordered(line.quantity) {
            return Err(Rejection::Overflow);
        }
        let works = self.calendar(plant).is_some_and(|calendar| calendar.works(line.due));
        if works { Ok(()) } else { Err(Rejection::NotAWorkingDay) }
    }

    pub(crate) fn close_plan(&mut self, close: &ClosePlan, effects: &mut Effects) -> Result<(), Rejection> {
        let slot = self.known_plan(close.plan)?;
        let entry = self.production.plans.entries.remove(slot);
        self.production.plans.by_id.remove(&close.plan);
        self.changes.mark(Table::Plan, slot);
        for line in entry.lines.into_values() {
            self.production.plans.lines.remove(line);
            self.changes.mark(Table::PlanLine, line);
        }
        if entry.plan.state == PlanState::Firmed {
            self.header.planning_changed = self.next_sequence();
        }
        self.emit(EventBody::PlanClosed(Box::new(PlanClosed { plan: entry.plan })), effects);
        Ok(())
    }

    /// The slot of a plan that is not closed.
    pub(super) fn known_plan(&self, id: PlanId) -> Result<Slot, Rejection> {
        self.production.plans.by_id.get(&id).copied().ok_or(Rejection::UnknownPlan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Body, DefineItem, DemandPeg, FirmPlan, OrderToFirm, SetCalendar};
    use crate::event::EventBody as Event;
    use crate::fixture::ANN;
    use crate::reply::Summary;
    use crate::shop::{CART, GLUE, PLANT, SHELF, Shop, WHEEL, YARD, code, item};
    use crate::types::{AssetId, BomVersion, Day, OverIssue, Quantity, Sequence, WorkOrderId};

    fn create(shop: &mut Shop) -> PlanId {
        let record = shop.send(Body::CreatePlan(CreatePlan { plant: PLANT, name: code("SPRING") }));
        PlanId(record.sequence.0)
    }

    fn demand(line: u32, product: AssetId, quantity: u64, due: i32) -> DemandLine {
        DemandLine { line: PlanLineId(line), product, quantity: Quantity(quantity), due: Day(due) }
    }

    fn set(plan: PlanId, set: Vec<DemandLine>, remove: &[u32]) -> Body {
        let remove = remove.iter().copied().map(PlanLineId).collect();
        Body::SetPlanLines(SetPlanLines { plan, set, remove })
    }

    fn order(item: AssetId, version: Option<u32>, quantity: u64, pegs: Vec<DemandPeg>) -> OrderToFirm {
        let (version, quantity) = (version.map(BomVersion), Quantity(quantity));
        OrderToFirm { item, version, quantity, release: Day(3), due: Day(5), pegs }
    }

    fn firm(plan: PlanId, computed_at: Sequence, orders: Vec<OrderToFirm>) -> FirmPlan {
        let (location, output, over_issue) = (SHELF, YARD, OverIssue::Refuse);
        FirmPlan { plan, computed_at, location, output, backflush: false, over_issue, orders, more: false }
    }

    #[test]
    fn demand_is_set_changed_and_taken_away() {
        let mut shop = Shop::new();
        let plan = create(&mut shop);
        shop.accept(set(plan, vec![demand(1, CART, 5, 9), demand(2, WHEEL, 3, 8)], &[]));
        shop.accept(set(plan, vec![demand(1, CART, 6, 9), demand(3, GLUE, 1, 8)], &[2]));
        let lines: Vec<DemandLine> = shop.ledger.plan_lines(plan).copied().collect();
        assert_eq!(lines, [demand(1, CART, 6, 9), demand(3, GLUE, 1, 8)]);
        assert_eq!(shop.ledger.plan(plan).map(|plan| plan.lines), Some(2));
        shop.accept(Body::ClosePlan(ClosePlan { plan }));
        assert_eq!((shop.ledger.plans().count(), shop.ledger.plan_lines(plan).count()), (0, 0));
        assert_eq!(shop.refuse(Body::ClosePlan(ClosePlan { plan })), Rejection::UnknownPlan);
    }

    #[test]
    fn every_refusal_of_demand_has_its_reason() {
        let mut shop = Shop::new();
        let plan = create(&mut shop);
        // Monday to Friday; day 2 is a Saturday.
        let weekdays = 0b1_1111;
        shop.accept(Body::SetCalendar(SetCalendar {
            plant: PLANT,
            weekdays,
            holidays: vec![Day(7)],
            seconds_per_day: 1,
        }));
        let made = DefineItem { source: Source::Make, ..item(WHEEL) };
        shop.accept(Body::DefineItem(made));
        let many = (0..=SetPlanLines::LINES_MAX as u32).map(|line| demand(line, CART, 1, 5)).collect();
        for (body, reason) in [
            (set(PlanId(9_999), Vec::new(), &[]), Rejection::UnknownPlan),
            (set(plan, vec![demand(1, AssetId(99), 1, 5)], &[]), Rejection::UnknownItem),
            (set(plan, vec![demand(1, WHEEL, 1, 5)], &[]), Rejection::UnknownBom),
            (set(plan, vec![demand(1, CART, 0, 5)], &[]), Rejection::Overflow),
            (set(plan, vec![demand(1, CART, 1 << 57, 5)], &[]), Rejection::Overflow),
            (set(plan, vec![demand(1, CART, 1, 2)], &[]), Rejection::NotAWorkingDay),
            (set(plan, vec![demand(1, CART, 1, 7)], &[]), Rejection::NotAWorkingDay),
            (set(plan, vec![demand(1, CART, 1, 5)], &[1]), Rejection::PlanLineTwice),
            (set(plan, Vec::new(), &[1]), Rejection::UnknownPlanLine),
            (set(plan, many, &[]), Rejection::PlanTooLarge),
        ] {
            assert_eq!(shop.refuse(body), reason);
        }
        let full = SetPlanLines::PLAN_LINES_MAX as u32;
        for first in (0..full).step_by(SetPlanLines::LINES_MAX) {
            let lines = (first..first + SetPlanLines::LINES_MAX as u32).map(|line| demand(line, CART, 1, 5));
            shop.accept(set(plan, lines.collect(), &[]));
        }
        assert_eq!(shop.refuse(set(plan, vec![demand(full, CART, 1, 5)], &[])), Rejection::PlanTooLarge);
        shop.accept(set(plan, vec![demand(full, CART, 1, 5)], &[0]));
    }

    #[test]
    fn firming_makes_orders_that_know_what_they_are_for() {
        let mut shop = Shop::stocked();
        let plan = create(&mut shop);
        shop.accept(set(plan, vec![demand(1, CART, 6, 9)], &[]));
        let peg = |quantity| vec![DemandPeg { plan, line: PlanLineId(1), quantity: Quantity(quantity) }];
        let orders = vec![order(CART, Some(1), 6, peg(6)), order(WHEEL, None, 10, peg(4))];
        let at = shop.ledger.sequence();
        let record = shop.send(Body::FirmPlan(firm(plan, at, orders)));
        let [Event::WorkOrderCreated(made), Event::PurchasePlanned(bought), Event::PlanFirmed(firmed)] =
            [0, 1, 2].map(|place| record.events[place].body.clone())
        else {
            panic!("{record:?}");
        };
        assert_eq!(Summary::of(record.view()).work_order, None, "it is about no single one");
        assert_eq!((made.order.plan, made.order.output, made.order.start), (Some(plan), YARD, Day(3)));
        assert_eq!(made.order.id, WorkOrderId(record.sequence.0));
        assert_eq!((bought.purchase.item, bought.purchase.location), (WHEEL, SHELF));
        let pegs: Vec<_> = firmed.pegs.iter().map(|peg| (peg.order.0, peg.quantity.0)).collect();
        assert_eq!(pegs, [(made.order.id.0, 6), (bought.purchase.id.0, 4)]);
        assert_eq!(shop.ledger.item_stock(PLANT, WHEEL).on_order, 10);
        assert_eq!(shop.ledger.item_stock(PLANT, CART).on_order, 6);
    }

    #[test]
    fn what_was_calculated_before_a_change_is_not_firmed() {
        let mut shop = Shop::stocked();
        let (plan, other) = (create(&mut shop), create(&mut shop));
        let buy = |plan, at| Body::FirmPlan(firm(plan, at, vec![order(WHEEL, None, 1, Vec::new())]));
        let again = |shop: &mut Shop, change: Body| {
            let before = shop.ledger.sequence();
            shop.accept(change);
            assert_eq!(shop.refuse(buy(plan, before)), Rejection::PlanOutdated);
        };
        again(&mut shop, Body::DefineItem(item(WHEEL)));
        again(&mut shop, set(plan, vec![demand(1, CART, 6, 9)], &[]));
        // Another draft concerns nobody, until it is firmed.
        let before = shop.ledger.sequence();
        shop.accept(set(other, vec![demand(1, CART, 6, 9)], &[]));
        shop.accept(buy(plan, before));
        assert_eq!(shop.refuse(buy(plan, before)), Rejection::PlanOutdated, "it would be ordered twice");
        let now = shop.ledger.sequence();
        again(&mut shop, buy(other, now));
        again(&mut shop, set(other, Vec::new(), &[1]));
        again(&mut shop, Body::ClosePlan(ClosePlan { plan: other }));
        let future = shop.ledger.sequence().plus(2);
        assert_eq!(shop.refuse(buy(plan, future)), Rejection::PlanOutdated);
    }

    #[test]
    fn a_large_calculation_is_firmed_by_several_commands() {
        let mut shop = Shop::stocked();
        let (plan, other) = (create(&mut shop), create(&mut shop));
        let at = shop.ledger.sequence();
        let part = |at, more| FirmPlan { more, ..firm(plan, at, vec![order(WHEEL, None, 1, Vec::new())]) };
        shop.accept(Body::FirmPlan(part(at, true)));
        shop.accept(Body::FirmPlan(part(at, true)));
        let meanwhile = shop.ledger.sequence();
        assert_eq!(shop.refuse(Body::FirmPlan(firm(other, at, Vec::new()))), Rejection::PlanOutdated);
        shop.accept(Body::FirmPlan(part(at, false)));
        assert_eq!(shop.refuse(Body::FirmPlan(part(at, false))), Rejection::PlanOutdated);
        assert_eq!(shop.refuse(Body::FirmPlan(firm(other, meanwhile, Vec::new()))), Rejection::PlanOutdated);
        assert_eq!(shop.ledger.purchases(PLANT).count(), 3);
        // One that is left in the middle is taken up by a new calculation.
        let at = shop.ledger.sequence();
        shop.accept(Body::FirmPlan(part(at, true)));
        shop.accept(Body::DefineItem(item(WHEEL)));
        assert_eq!(shop.refuse(Body::FirmPlan(part(at, false))), Rejection::PlanOutdated);
        let at = shop.ledger.sequence();
        shop.accept(Body::FirmPlan(part(at, false)));
    }

    #[test]
    fn every_refusal_of_an_order_has_its_reason() {
        let mut shop = Shop::stocked();
        let plan = create(&mut shop);
        shop.accept(set(plan, vec![demand(1, CART, 6, 9)], &[]));
        let at = shop.ledger.sequence();
        let peg = |plan, line, quantity| vec![DemandPeg { plan, line: PlanLineId(line), quantity: Quantity(quantity) }];
        let one = |order| firm(plan, at, vec![order]);
        let dates = OrderToFirm { due: Day(2), ..order(WHEEL, None, 1, Vec::new()) };
        for (firm, reason) in [
            (FirmPlan { location: ANN, ..firm(plan, at, Vec::new()) }, Rejection::NotALocation),
            (one(order(WHEEL, None, 0, Vec::new())), Rejection::Overflow),
            (one(order(WHEEL, None, 1 << 57, Vec::new())), Rejection::Overflow),
            (one(order(CART, Some(1), 1 << 56, Vec::new())), Rejection::Overflow),
            (one(order(AssetId(99), None, 1, Vec::new())), Rejection::UnknownItem),
            (one(order(CART, Some(9), 1, Vec::new())), Rejection::UnknownBom),
            (one(dates), Rejection::DatesReversed),
            (one(order(WHEEL, None, 1, peg(PlanId(9_999), 1, 1))), Rejection::UnknownPlan),
            (one(order(WHEEL, None, 1, peg(plan, 9, 1))), Rejection::UnknownPlanLine),
            (one(order(WHEEL, None, 1, peg(plan, 1, 2))), Rejection::Overflow),
            (
                firm(plan, at, vec![order(WHEEL, None, 1, Vec::new()); FirmPlan::ORDERS_MAX + 1]),
                Rejection::PlanTooLarge,
            ),
        ] {
            assert_eq!(shop.refuse(Body::FirmPlan(firm)), reason);
        }
        assert_eq!(shop.ledger.plan(plan).map(|plan| plan.state), Some(PlanState::Draft));
    }
}
