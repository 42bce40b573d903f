//! What holds of production in every state.

use std::collections::BTreeMap;

use super::items::fits;
use super::records::{IssuedLot, OperationProgress, OrderYield, PlanLine, Purchase, Requirement, WorkOrder};
use super::work_orders::WorkOrderEntry;
use crate::command::SetPlanLines;
use crate::ledger::{BrokenInvariant, Ledger, broken, ensure};
use crate::state::Table;
use crate::table::Slot;
use crate::types::{AssetId, OverIssue, PlanState, Quantity, WorkOrderState};

impl Ledger {
    /// - a plant's accounts are issuers, its locations are not, and are its own;
    /// - the lots of a tracked balance add up to what it has above zero, an issuer has none;
    /// - a work order's units are completed, scrapped, lost or still to make; its operations are in
    ///   order; what it cost is what its lines cost; it reserves no more than is still to be issued; the lots
    ///   it was issued add up to what was issued;
    /// - a plan's lines ask for items; of a planned purchase something is still to come.
    ///
    /// Adds what work orders hold to `held`, per balance.
    pub(crate) fn check_production(&self, held: &mut [i128]) -> Result<(), BrokenInvariant> {
        self.check_plants()?;
        self.check_lots()?;
        let (mut parts, mut lots, orders) = (0, 0, &self.production.work_orders);
        for (slot, entry) in orders.entries.iter() {
            self.check_order_head(slot, entry)?;
            self.check_order_lines(slot, entry, held)?;
            self.check_order_operations(slot, entry)?;
            self.check_order_yields(entry)?;
            self.check_issued_lots(slot, entry)?;
            parts += entry.parts().count();
            lots += entry.lots.len();
        }
        ensure!(lots == orders.lots.len(), IssuedLot, 0, "a lot was issued to no order");
        ensure!(parts == orders.parts.len(), WorkOrder, 0, "a part is in no order");
        let listed = orders.by_id.len() == orders.entries.len() && orders.by_location.len() == orders.entries.len();
        ensure!(listed, WorkOrder, 0, "an order is not found by its id");
        self.check_plans()?;
        self.check_purchases()
    }

    fn check_plans(&self) -> Result<(), BrokenInvariant> {
        let plans = &self.production.plans;
        ensure!(self.header.planning_changed <= self.sequence(), Header, 0, "plans changed in the future");
        let mut count = 0;
        for (slot, entry) in plans.entries.iter() {
            let plan = &entry.plan;
            ensure!(plan.id.0 > 0 && plan.id.0 <= plan.changed.0, Plan, slot, "changed before it was created");
            ensure!(plan.changed <= self.sequence(), Plan, slot, "is of the future");
            ensure!(plans.by_id.get(&plan.id) == Some(&slot), Plan, slot, "is not found by its id");
            ensure!(self.plant(plan.plant).is_some(), Plan, slot, "its plant is missing");
            ensure!(plan.lines as usize == entry.lines.len(), Plan, slot, "has {} lines", entry.lines.len());
            ensure!(entry.lines.len() <= SetPlanLines::PLAN_LINES_MAX, Plan, slot, "has too many lines");
            if let Some(firming) = plan.firming {
                ensure!(plan.state == PlanState::Firmed, Plan, slot, "is being firmed as a draft");
                let past = firming.computed_at < firming.last && firming.last <= self.sequence();
                ensure!(past, Plan, slot, "is firmed in the future");
            }
            for (number, &at) in &entry.lines {
                let PlanLine { plan: of, line } = &plans.lines[at];
                ensure!((*of, line.line) == (plan.id, *number), PlanLine, at, "is not found by its number");
                ensure!(self.item(line.product).is_some(), PlanLine, at, "asks for no item");
                let can_be = line.quantity.0 > 0 && fits(line.quantity);
                ensure!(can_be, PlanLine, at, "asks for a quantity that cannot be");
            }
            count += entry.lines.len();
        }
        ensure!(count == plans.lines.len(), PlanLine, 0, "a line is in no plan");
        ensure!(plans.by_id.len() == plans.entries.len(), Plan, 0, "a plan is not found by its id");
        Ok(())
    }

    fn check_purchases(&self) -> Result<(), BrokenInvariant> {
        let purchases = &self.production.purchases;
        for (slot, purchase) in purchases.entries.iter() {
            let Purchase { id, plan, plant, location, item, quantity, received, release, due, order } = *purchase;
            ensure!(plan.0 > 0 && plan.0 < id.0, Purchase, slot, "is older than its plan");
            ensure!(id.0 <= self.sequence().0, Purchase, slot, "is of the future");
            ensure!(purchases.by_id.get(&id) == Some(&slot), Purchase, slot, "is not found by its id");
            let own = self.check_location(plant, location).is_ok();
            ensure!(own, Purchase, slot, "account {location} is no location of its plant");
            ensure!(self.item(item).is_some(), Purchase, slot, "is of no item");
            ensure!(received < quantity && fits(quantity), Purchase, slot, "nothing is to come");
            ensure!(release <= due, Purchase, slot, "is due before it is ordered");
            let found = order.is_none_or(|order| purchases.by_order.get(&(location, order)) == Some(&slot));
            ensure!(found, Purchase, slot, "is not found by its order");
        }
        let linked = purchases.entries.iter().filter(|(_, purchase)| purchase.order.is_some()).count();
        ensure!(linked == purchases.by_order.len(), Purchase, 0, "an order buys what is no purchase");
        let listed = purchases.by_id.len() == purchases.entries.len();
        ensure!(listed, Purchase, 0, "a purchase is not found by its id");
        Ok(())
    }

    fn check_plants(&self) -> Result<(), BrokenInvariant> {
        for (slot, entry) in (0..).zip(self.production.plants.iter()) {
            let plant = &entry.plant;
            let accounts = [plant.production, plant.scrap, plant.adjustment];
            let issuers = accounts.iter().all(|id| self.account(*id).is_some_and(|account| account.issuer));
            ensure!(issuers, Plant, slot, "one of its accounts is not an issuer");
            self.check_locations(plant, Some(slot)).map_err(|reason| broken(Table::Plant, slot, reason.code()))?;
            let own = |location| self.production.locations.get(location) == Some(&slot);
            ensure!(plant.locations.iter().all(own), Plant, slot, "a location is not known as its own");
            ensure!(entry.calendar.plant == plant.id, Calendar, slot, "is another plant's");
            ensure!(entry.calendar.is_whole(), Calendar, slot, "is not a calendar");
        }
        Ok(())
    }

    fn check_lots(&self) -> Result<(), BrokenInvariant> {
        let lots = &self.production.lots;
        let mut count = 0;
        for (slot, entry) in (0..).zip(self.balances.entries.iter()) {
            let balance = &entry.balance;
            let item = self.item(balance.asset);
            let tracked = item.is_some_and(|item| item.lot_tracked);
            ensure!(entry.tracks_lots == tracked, Balance, slot, "it is not known whether its lots are tracked");
            if !tracked {
                continue;
            }
            let is_issuer = self.account(balance.account).is_some_and(|account| account.issuer);
            let mut sum = 0_i128;
            for place in lots.of_balance(slot) {
                let lot = &lots.entries[place];
                ensure!(lot.quantity.0 > 0 && fits(lot.quantity), Lot, place, "is of no quantity that can be");
                ensure!(lot.since <= self.sequence(), Lot, place, "is of the future");
                ensure!(lots.find(slot, lot.number) == Some(place), Lot, place, "is not found by its number");
                sum += i128::from(lot.quantity.0);
                count += 1;
            }
            let kept = if is_issuer { 0 } else { i128::from(balance.posted.0.max(0)) };
            ensure!(sum == kept, Balance, slot, "its lots add up to {sum}, it has {kept}");
        }
        ensure!(count == lots.entries.len(), Lot, 0, "a lot is in no balance");
        Ok(())
    }

    fn check_order_head(&self, slot: Slot, entry: &WorkOrderEntry) -> Result<(), BrokenInvariant> {
        let order = &entry.order;
        ensure!(order.id.0 > 0 && order.id.0 <= self.sequence().0, WorkOrder, slot, "is of the future");
        let found = self.production.work_orders.by_id.get(&order.id) == Some(&slot);
        ensure!(found, WorkOrder, slot, "is not found by its id");
        for location in [order.location, order.output] {
            let own = self.check_location(order.plant, location).is_ok();
            ensure!(own, WorkOrder, slot, "account {location} is no location of its plant");
        }
        ensure!(order.start <= order.due, WorkOrder, slot, "is due before it starts");
        ensure!(order.quantity.0 > 0 && fits(order.quantity), WorkOrder, slot, "is of no quantity that can be");
        let done = [order.completed, order.scrapped, order.lost].iter().map(|units| u128::from(units.0)).sum::<u128>();
        ensure!(done <= u128::from(order.quantity.0), WorkOrder, slot, "more is done than ordered");
        let is_done = done == u128::from(order.quantity.0);
        let in_state = match order.state {
            WorkOrderState::Planned => done == 0 && order.cost == 0 && order.parts == 0,
            WorkOrderState::Released => done == 0 && order.cost == 0,
            WorkOrderState::InProgress => !is_done,
            WorkOrderState::Completed => is_done,
            WorkOrderState::Closed | WorkOrderState::Cancelled => false,
        };
        ensure!(in_state, WorkOrder, slot, "order {} cannot be {:?}", order.id, order.state);
        let parts = entry.parts().count();
        ensure!(parts == order.parts as usize, WorkOrder, slot, "has {parts} parts of {}", order.parts);
        Ok(())
    }

    fn check_order_lines(&self, slot: Slot, entry: &WorkOrderEntry, held: &mut [i128]) -> Result<(), BrokenInvariant> {
        let order = &entry.order;
        let mut cost = Some(0_i128);
        for (place, &part) in entry.lines.iter().enumerate() {
            let line = self.production.work_orders.line(part);
            self.check_line(part, order, line)?;
            let others = entry.lines[..place].iter().map(|&other| self.production.work_orders.line(other));
            let twice = others.into_iter().any(|other| other.component == line.component);
            ensure!(!twice, WorkOrderPart, part, "its component stands twice");
            cost = cost.and_then(|sum| sum.checked_add(line.cost));
            if line.reserved > Quantity(0) {
                let balance = self.balances.entries.slot((order.location, line.component));
                let balance = balance.ok_or_else(|| broken(Table::WorkOrderPart, part, "its balance is missing"))?;
                held[balance as usize] += i128::from(line.reserved.0);
            }
        }
        ensure!(cost == Some(order.cost), WorkOrder, slot, "cost {}, its lines {cost:?}", order.cost);
        Ok(())
    }

    fn check_line(&self, part: Slot, order: &WorkOrder, line: &Requirement) -> Result<(), BrokenInvariant> {
        ensure!(self.item(line.component).is_some(), WorkOrderPart, part, "its component is no item");
        ensure!(line.required.0 > 0 && fits(line.required), WorkOrderPart, part, "requires nothing that can be");
        ensure!(fits(line.issued), WorkOrderPart, part, "more is issued than can be");
        let outstanding = line.outstanding();
        ensure!(line.reserved.0 <= outstanding, WorkOrderPart, part, "reserves more than is outstanding");
        let over = line.issued > line.required && order.over_issue == OverIssue::Refuse;
        ensure!(!over, WorkOrderPart, part, "more is issued than is required");
        let costs = line.cost >= 0 && (line.cost == 0 || line.issued > Quantity(0));
        ensure!(costs, WorkOrderPart, part, "costs {} for nothing", line.cost);
        let untouched = line.issued == Quantity(0) || order.state != WorkOrderState::Released;
        ensure!(untouched, WorkOrderPart, part, "is issued to an order that nobody began");
        let holds = line.reserved == Quantity(0) || order.state != WorkOrderState::Completed;
        ensure!(holds, WorkOrderPart, part, "is held by an order that is completed");
        Ok(())
    }

    /// The lots of a tracked component add up to what was issued of it.
    fn check_issued_lots(&self, slot: Slot, entry: &WorkOrderEntry) -> Result<(), BrokenInvariant> {
        let orders = &self.production.work_orders;
        let mut issued: BTreeMap<AssetId, u128> = BTreeMap::new();
        for (&(component, number), &at) in &entry.lots {
            let lot: &IssuedLot = &orders.lots[at];
            let own = (lot.work_order, lot.component, lot.number) == (entry.order.id, component, number);
            ensure!(own, IssuedLot, at, "is not found by its number");
            ensure!(lot.quantity.0 > 0 && fits(lot.quantity), IssuedLot, at, "is of no quantity that can be");
            let past = lot.since <= lot.issued && lot.issued <= self.sequence();
            ensure!(past, IssuedLot, at, "is of the future");
            *issued.entry(component).or_default() += u128::from(lot.quantity.0);
        }
        for line in entry.lines.iter().map(|&part| orders.line(part)) {
            let tracked = self.item(line.component).is_some_and(|item| item.lot_tracked);
            let expected = if tracked { u128::from(line.issued.0) } else { 0 };
            let sum = issued.remove(&line.component).unwrap_or(0);
            ensure!(sum == expected, WorkOrder, slot, "its lots of {} add up to {sum}", line.component);
        }
        ensure!(issued.is_empty(), WorkOrder, slot, "has lots of what it does not require");
        Ok(())
    }

    fn check_order_yields(&self, entry: &WorkOrderEntry) -> Result<(), BrokenInvariant> {
        for &part in &entry.yields {
            let OrderYield { asset, quantity, per } = *self.production.work_orders.order_yield(part);
            ensure!(self.item(asset).is_some(), WorkOrderPart, part, "what it yields is no item");
            let can_be = quantity.0 > 0 && fits(quantity) && per.0 > 0 && fits(per);
            ensure!(can_be, WorkOrderPart, part, "yields a quantity that cannot be");
        }
        Ok(())
    }

    fn check_order_operations(&self, slot: Slot, entry: &WorkOrderEntry) -> Result<(), BrokenInvariant> {
        let order = &entry.order;
        let operations: Vec<&OperationProgress> =
            entry.operations.iter().map(|&part| self.production.work_orders.operation(part)).collect();
        let planned = order.state == WorkOrderState::Planned;
        let expected = if planned { 0 } else { self.production.boms[entry.bom].operations.len() };
        ensure!(operations.len() == expected, WorkOrder, slot, "has {} operations", operations.len());
        let mut reached = order.quantity.0;
        let mut spoilt = 0_u64;
        for operation in operations {
            let units = operation.good.0.checked_add(operation.scrap.0);
            let in_order = units.is_some_and(|units| units <= reached);
            ensure!(in_order, WorkOrder, slot, "more units passed an operation than reached it");
            // Never more than the quantity in all, since what is spoilt did not reach the next.
            spoilt += operation.scrap.0;
            reached = operation.good.0;
        }
        ensure!(spoilt <= order.lost.0, WorkOrder, slot, "more is spoilt than lost");
        let came_through = order.done() - spoilt;
        ensure!(came_through <= reached, WorkOrder, slot, "more is completed than came through its operations");
        Ok(())
    }
}
