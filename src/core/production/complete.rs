//! Work reported on operations, and products completed.
//!
//! Of an order's quantity it is known in the end what became of every unit: completed, scrapped or
//! lost. When nothing is left to make, the order is completed and gives back what it still holds.
//!
//! By-products come with every unit of which it is known, whatever became of it, as materials go with a
//! backflush: swarf falls where work is done, also on a unit that is spoilt by it. Planners who carry by-products
//! as components of negative quantity, as SAP does, post them so, with the confirmed yield and scrap. So what an
//! order yields in all does not depend on whether a unit was spoilt at an operation, scrapped or lost, nor on
//! the command that said so.

use super::materials::{Issue, sum_of_costs};
use super::records::{Requirement, WorkOrder};
use super::release::sum_of;
use super::work_orders::AT_WORK;
use crate::command::{ByProduct, CompleteWorkOrder, ReportOperation};
use crate::event::{Effects, EventBody, OperationReported, WorkOrderCompleted};
use crate::ledger::Ledger;
use crate::rejection::Rejection;
use crate::table::Slot;
use crate::types::{AccountId, AssetId, Quantity, WorkOrderState};

impl Ledger {
    /// Operations are reported in order: no more units reach one than went through the one before. With
    /// a backflush, spoilt units take their materials along; their by-products come in any case.
    pub(crate) fn report_operation(
        &mut self,
        report: &ReportOperation,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        let slot = self.find_work_order(report.work_order)?;
        let mut order = self.workable(slot, &AT_WORK)?;
        let orders = &self.production.work_orders;
        let operations = &orders.entries[slot].operations;
        let place = report.operation as usize;
        let &part = operations.get(place).ok_or(Rejection::UnknownOperation)?;
        let units = report.good.0.checked_add(report.scrap.0).filter(|&units| units > 0).ok_or(Rejection::Overflow)?;
        let reported = orders.operation(part);
        let reached = match place.checked_sub(1) {
            Some(before) => orders.operation(operations[before]).good.0,
            None => order.quantity.0,
        };
        if units > reached - reported.good.0 - reported.scrap.0 {
            return Err(Rejection::OperationOutOfOrder);
        }
        let mut lines = self.lines_of(slot);
        let spoilt = order.done() + report.scrap.0;
        let issues = if order.backflush { self.backflush(&order, &lines, spoilt)? } else { Vec::new() };
        let by_products = self.yield_of(slot, report.scrap.0)?;
        self.check_by_products(&order, 0, &by_products, &issues)?;
        order.cost = sum_of_costs(order.cost, &issues)?;

        let operation = self.production.work_orders.operation_mut(part);
        operation.good.0 += report.good.0;
        operation.scrap.0 += report.scrap.0;
        self.changes.mark(crate::Table::WorkOrderPart, part);
        order.lost.0 += report.scrap.0;
        order.state = WorkOrderState::InProgress;
        self.debit_materials(&order, &mut lines, &issues, effects);
        self.debit_by_products(&order, &by_products, effects);
        self.credit_materials(&order, &issues, effects);
        self.credit_by_products(&order, &by_products, effects);
        self.put_lines(slot, &lines);
        self.finish(slot, &mut order, effects);
        let ReportOperation { operation, good, scrap, .. } = *report;
        let materials = issues.into_iter().map(|issue| issue.moved).collect();
        let reported = OperationReported { order, operation, good, scrap, materials, by_products };
        self.emit(EventBody::OperationReported(Box::new(reported)), effects);
        Ok(())
    }

    /// Products come from production into stock, with their by-products; with a backflush the materials
    /// that they took go the other way in the same event.
    pub(crate) fn complete_work_order(
        &mut self,
        complete: &CompleteWorkOrder,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        let slot = self.find_work_order(complete.work_order)?;
        let mut order = self.workable(slot, &AT_WORK)?;
        let units = self.check_units(slot, &order, complete)?;
        let mut lines = self.lines_of(slot);
        let done = order.done() + units;
        let issues = if order.backflush { self.backflush(&order, &lines, done)? } else { Vec::new() };
        let by_products = self.yield_of(slot, units)?;
        let made = self.check_made(&order, complete)?;
        self.check_by_products(&order, made, &by_products, &issues)?;
        order.cost = sum_of_costs(order.cost, &issues)?;

        order.completed.0 += complete.good.0;
        order.scrapped.0 += complete.scrap.0;
        order.lost.0 += complete.loss.0;
        order.state = WorkOrderState::InProgress;
        self.debit_materials(&order, &mut lines, &issues, effects);
        self.debit_made(&order, complete, effects);
        self.debit_by_products(&order, &by_products, effects);
        self.credit_materials(&order, &issues, effects);
        self.credit_made(&order, complete, effects);
        self.credit_by_products(&order, &by_products, effects);
        self.put_lines(slot, &lines);
        self.finish(slot, &mut order, effects);
        let CompleteWorkOrder { good, scrap, loss, lot, .. } = *complete;
        let materials = issues.into_iter().map(|issue| issue.moved).collect();
        let completed = WorkOrderCompleted { order, good, scrap, loss, lot, materials, by_products };
        self.emit(EventBody::WorkOrderCompleted(Box::new(completed)), effects);
        Ok(())
    }

    /// How many units the command accounts for: some, and no more than the order has left, or than went
    /// through its last operation.
    fn check_units(&self, slot: Slot, order: &WorkOrder, complete: &CompleteWorkOrder) -> Result<u64, Rejection> {
        let CompleteWorkOrder { good, scrap, loss, .. } = *complete;
        let units = good.0.checked_add(scrap.0).and_then(|sum| sum.checked_add(loss.0));
        let units = units.filter(|&units| units > 0).ok_or(Rejection::Overflow)?;
        if units > order.quantity.0 - order.done() {
            return Err(Rejection::QuantityAboveOrder);
        }
        let orders = &self.production.work_orders;
        let operations = &orders.entries[slot].operations;
        if operations.last().is_some_and(|&last| units > orders.operation(last).good.0 - self.came_through(slot)) {
            return Err(Rejection::OperationOutOfOrder);
        }
        Ok(units)
    }

    /// Units of an order that came through its operations and were completed, scrapped or lost then.
    fn came_through(&self, slot: Slot) -> u64 {
        let orders = &self.production.work_orders;
        let entry = &orders.entries[slot];
        let spoilt: u64 = entry.operations.iter().map(|&part| orders.operation(part).scrap.0).sum();
        entry.order.done() - spoilt
    }

    /// What the units done so far should have consumed and have not yet.
    fn backflush(&self, order: &WorkOrder, lines: &[Requirement], done: u64) -> Result<Vec<Issue>, Rejection> {
        let mut issues = Vec::new();
        for (place, line) in lines.iter().enumerate() {
            let share = u128::from(line.required.0) * u128::from(done);
            let due = share.div_ceil(u128::from(order.quantity.0)) as u64;
            if due > line.issued.0 {
                issues.push(self.check_issue(order, line, place, due - line.issued.0, None)?);
            }
        }
        Ok(issues)
    }

    /// The by-products of more units, each once, in whole units of what all units so far yield.
    fn yield_of(&self, slot: Slot, units: u64) -> Result<Vec<ByProduct>, Rejection> {
        let orders = &self.production.work_orders;
        let before = orders.entries[slot].order.done();
        let mut yielded: Vec<ByProduct> = Vec::new();
        for order_yield in orders.entries[slot].yields.iter().map(|&part| orders.order_yield(part)) {
            let by = |units: u64| order_yield.of(units).ok_or(Rejection::Overflow);
            let quantity = by(before + units)? - by(before)?;
            match yielded.iter_mut().find(|known| known.asset == order_yield.asset) {
                _ if quantity == 0 => {}
                Some(known) => known.quantity = Quantity(sum_of(known.quantity.0, quantity)?),
                None => yielded.push(ByProduct { asset: order_yield.asset, quantity: Quantity(quantity) }),
            }
        }
        Ok(yielded)
    }

    /// Answers how many units of the product are made.
    fn check_made(&self, order: &WorkOrder, complete: &CompleteWorkOrder) -> Result<u64, Rejection> {
        let production = self.active_account(self.production_of(order))?;
        let output = self.active_account(order.output)?;
        let scrap = self.active_account(self.scrap_of(order))?;
        self.check_allowed(output, order.product)?;
        if complete.scrap > Quantity(0) {
            self.check_allowed(scrap, order.product)?;
        }
        self.check_tracked(order.product, complete.lot)?;
        let made = complete.good.0 + complete.scrap.0;
        self.check_spend(production, self.known_asset(order.product)?, made as i64)?;
        Ok(made)
    }

    /// Of the product so much is made in the same event.
    fn check_by_products(
        &self,
        order: &WorkOrder,
        made: u64,
        by_products: &[ByProduct],
        issues: &[Issue],
    ) -> Result<(), Rejection> {
        if by_products.is_empty() {
            return Ok(());
        }
        let production = self.active_account(self.production_of(order))?;
        let output = self.active_account(order.output)?;
        for by_product in by_products {
            self.check_allowed(output, by_product.asset)?;
            // A material that is also yielded may raise the asset's debt twice in the one event; so may the
            // product, where a phantom yields it.
            let consumed = issues.iter().find(|issue| issue.moved.component == by_product.asset);
            let consumed = consumed.map_or(0, |issue| issue.moved.quantity.0);
            let made = if by_product.asset == order.product { made } else { 0 };
            let amount = by_product.quantity.0.checked_add(consumed).and_then(|sum| sum.checked_add(made));
            let amount = amount.and_then(|sum| i64::try_from(sum).ok());
            let asset = self.known_asset(by_product.asset)?;
            self.check_spend(production, asset, amount.ok_or(Rejection::Overflow)?)?;
        }
        Ok(())
    }

    fn debit_made(&mut self, order: &WorkOrder, complete: &CompleteWorkOrder, effects: &mut Effects) {
        let production = self.production_of(order);
        let made = complete.good.0 + complete.scrap.0;
        if made > 0 {
            self.production.lots.name(order.product, complete.lot);
            self.post_goods(production, order.product, -(made as i64), effects);
        }
    }

    fn credit_made(&mut self, order: &WorkOrder, complete: &CompleteWorkOrder, effects: &mut Effects) {
        let scrap = self.scrap_of(order);
        self.post_goods(order.output, order.product, complete.good.0 as i64, effects);
        self.post_goods(scrap, order.product, complete.scrap.0 as i64, effects);
    }

    fn debit_by_products(&mut self, order: &WorkOrder, by_products: &[ByProduct], effects: &mut Effects) {
        let production = self.production_of(order);
        for by_product in by_products {
            self.post_goods(production, by_product.asset, -(by_product.quantity.0 as i64), effects);
        }
    }

    fn credit_by_products(&mut self, order: &WorkOrder, by_products: &[ByProduct], effects: &mut Effects) {
        for by_product in by_products {
            self.post_goods(order.output, by_product.asset, by_product.quantity.0 as i64, effects);
        }
    }

    fn post_goods(&mut self, account: AccountId, asset: AssetId, amount: i64, effects: &mut Effects) {
        if amount != 0 {
            let balance = self.balance_of(account, asset);
            self.post(balance, amount, 0, effects);
        }
    }

    fn scrap_of(&self, order: &WorkOrder) -> AccountId {
        let plant = self.production.plants.find(order.plant).expect("plants stay for ever");
        plant.plant.scrap
    }

    /// Writes an order back; one with nothing left to make is completed, and gives back what it holds.
    fn finish(&mut self, slot: Slot, order: &mut WorkOrder, effects: &mut Effects) {
        if order.done() == order.quantity.0 {
            order.state = WorkOrderState::Completed;
            self.release_materials(slot, effects);
        }
        self.put_order(slot, *order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Body, CreateWorkOrder, DefineBom, SetWorkOrder};
    use crate::shop::{AXLE, BENCH, CART, DUST, GLUE, SHELF, Shop, WHEEL, WORKS, YARD, bom, cart, code, line};
    use crate::types::{BomVersion, Day, WorkOrderChange, WorkOrderId};

    fn complete(work_order: WorkOrderId, good: u64, scrap: u64, loss: u64) -> Body {
        let (good, scrap, loss) = (Quantity(good), Quantity(scrap), Quantity(loss));
        Body::CompleteWorkOrder(CompleteWorkOrder { work_order, good, scrap, loss, lot: None })
    }

    fn report(work_order: WorkOrderId, operation: u32, good: u64, scrap: u64) -> Body {
        let (good, scrap) = (Quantity(good), Quantity(scrap));
        Body::ReportOperation(ReportOperation { work_order, operation, good, scrap })
    }

    fn state(shop: &Shop, id: WorkOrderId) -> WorkOrderState {
        shop.ledger.work_order(id).expect("it is open").order.state
    }

    #[test]
    fn a_backflush_consumes_in_proportion_and_the_last_unit_settles_all() {
        let mut shop = Shop::stocked();
        let id = shop.release(CreateWorkOrder { backflush: true, output: YARD, ..cart(3) });
        shop.accept(complete(id, 1, 0, 0));
        assert_eq!((shop.balance(SHELF, WHEEL), shop.balance(SHELF, GLUE)), ((16, 8), (7, 2)));
        shop.accept(complete(id, 1, 1, 0));
        assert_eq!((shop.balance(SHELF, WHEEL), shop.balance(SHELF, GLUE)), ((8, 0), (5, 0)));
        assert_eq!((shop.balance(YARD, CART), shop.balance(WORKS, CART)), ((2, 0), (-2, 0)), "one was scrapped there");
        assert_eq!(state(&shop, id), WorkOrderState::Completed);
        assert_eq!(shop.refuse(complete(id, 1, 0, 0)), Rejection::WorkOrderInOtherState);
        shop.accept(Body::SetWorkOrder(SetWorkOrder { work_order: id, change: WorkOrderChange::Close }));
    }

    #[test]
    fn materials_issued_by_hand_are_what_it_cost_and_the_rest_is_given_back() {
        let mut shop = Shop::stocked();
        let id = shop.release(cart(2));
        shop.accept(complete(id, 1, 0, 0));
        assert_eq!(shop.balance(SHELF, WHEEL), (20, 8), "nothing was issued");
        shop.accept(complete(id, 0, 0, 1));
        assert_eq!((shop.balance(SHELF, WHEEL), shop.balance(SHELF, CART)), ((20, 0), (1, 0)));
    }

    fn worked(shop: &mut Shop, quantity: u64) -> WorkOrderId {
        let operations = vec![crate::shop::operation(BENCH); 2];
        let by_products = vec![ByProduct { asset: DUST, quantity: Quantity(3) }];
        let lines = vec![line(WHEEL, 1)];
        let (version, from) = (BomVersion(5), Day(5));
        let new = DefineBom { version, from, output: Quantity(2), by_products, operations, ..bom(CART, lines) };
        shop.accept(Body::DefineBom(new));
        shop.release(CreateWorkOrder { version: Some(version), ..cart(quantity) })
    }

    #[test]
    fn operations_are_reported_in_order_and_products_come_after_the_last() {
        let mut shop = Shop::stocked();
        let id = worked(&mut shop, 10);
        for (body, reason) in [
            (report(id, 1, 1, 0), Rejection::OperationOutOfOrder),
            (report(id, 2, 1, 0), Rejection::UnknownOperation),
            (report(id, 0, 0, 0), Rejection::Overflow),
            (report(id, 0, 10, 1), Rejection::OperationOutOfOrder),
            (complete(id, 1, 0, 0), Rejection::OperationOutOfOrder),
        ] {
            assert_eq!(shop.refuse(body), reason);
        }
        shop.accept(report(id, 0, 8, 2));
        shop.accept(report(id, 1, 5, 1));
        assert_eq!(shop.refuse(complete(id, 6, 0, 0)), Rejection::OperationOutOfOrder);
        shop.accept(complete(id, 4, 1, 0));
        shop.accept(report(id, 1, 2, 0));
        assert_eq!(shop.refuse(complete(id, 3, 0, 0)), Rejection::QuantityAboveOrder);
        shop.accept(complete(id, 1, 0, 1));
        assert_eq!(state(&shop, id), WorkOrderState::Completed);
        let order = shop.ledger.work_order(id).expect("it is open").order;
        assert_eq!((order.completed.0, order.scrapped.0, order.lost.0), (5, 1, 4));
    }

    #[test]
    fn an_order_all_of_whose_units_are_spoilt_is_completed() {
        let mut shop = Shop::stocked();
        let id = worked(&mut shop, 3);
        shop.accept(report(id, 0, 0, 3));
        assert_eq!((state(&shop, id), shop.balance(SHELF, WHEEL).1), (WorkOrderState::Completed, 0));
    }

    #[test]
    fn by_products_come_in_whole_units_of_all_that_was_done() {
        let mut shop = Shop::stocked();
        let id = worked(&mut shop, 3);
        shop.accept(report(id, 0, 3, 0));
        shop.accept(report(id, 1, 3, 0));
        let dust: Vec<i64> = (0..3)
            .map(|_| {
                shop.accept(complete(id, 1, 0, 0));
                shop.balance(SHELF, DUST).0
            })
            .collect();
        assert_eq!(dust, [1, 3, 4], "one and a half each");
    }

    #[test]
    fn a_unit_yields_its_by_products_whatever_becomes_of_it() {
        let dust = |shop: &Shop| shop.balance(SHELF, DUST).0;
        let mut shop = Shop::stocked();
        // Three of dust by two units.
        let id = worked(&mut shop, 4);
        shop.accept(report(id, 0, 3, 1));
        assert_eq!(dust(&shop), 1, "spoilt at the first operation");
        shop.accept(report(id, 1, 3, 0));
        shop.accept(complete(id, 0, 1, 0));
        assert_eq!(dust(&shop), 3, "scrapped");
        shop.accept(complete(id, 0, 0, 1));
        assert_eq!(dust(&shop), 4, "lost");
        shop.accept(complete(id, 1, 0, 0));
        assert_eq!((dust(&shop), state(&shop, id)), (6, WorkOrderState::Completed));
    }

    #[test]
    fn a_tracked_product_has_the_lot_that_is_named() {
        let mut shop = Shop::stocked();
        shop.accept(Body::DefineBom(bom(GLUE, vec![line(AXLE, 1)])));
        let id = shop.release(CreateWorkOrder { product: GLUE, ..cart(2) });
        let (good, scrap, loss) = (Quantity(1), Quantity(1), Quantity(0));
        let named = CompleteWorkOrder { work_order: id, good, scrap, loss, lot: Some(code("G-7")) };
        shop.accept(Body::CompleteWorkOrder(named.clone()));
        let last = shop.ledger.lots(SHELF, GLUE).last().map(|lot| (lot.number, lot.quantity.0));
        assert_eq!(last, Some((code("G-7"), 1)));
        let untracked = shop.release(cart(1));
        let refused = CompleteWorkOrder { work_order: untracked, scrap: Quantity(0), ..named };
        assert_eq!(shop.refuse(Body::CompleteWorkOrder(refused)), Rejection::NotLotTracked);
    }
}
