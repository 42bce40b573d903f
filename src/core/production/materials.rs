//! Materials on their way from stock into production, and back.
//!
//! An issue takes first what the order holds, then what is available. What it costs is the quantity at
//! standard cost of that moment, kept exactly, so that no number of small issues costs more than one
//! large one.

use super::items::fits;
use super::records::{Requirement, WorkOrder, cost_rounded};
use super::work_orders::AT_WORK;
use crate::command::{IssueMaterials, Material, ReturnMaterials};
use crate::event::{Effects, EventBody, MaterialMoved, MaterialsIssued, MaterialsReturned};
use crate::ledger::Ledger;
use crate::rejection::Rejection;
use crate::state::Table;
use crate::table::Slot;
use crate::types::{AccountId, AssetId, Code, OverIssue, Quantity, WorkOrderState};

/// What is issued of one line, checked to the end.
#[derive(Debug)]
pub struct Issue {
    /// The line's place in the order.
    pub place: usize,
    /// What goes, and what it costs.
    pub moved: MaterialMoved,
    /// How much of it the order held.
    pub held: u64,
}

impl Ledger {
    pub(crate) fn issue_materials(&mut self, issue: &IssueMaterials, effects: &mut Effects) -> Result<(), Rejection> {
        let slot = self.find_work_order(issue.work_order)?;
        let mut order = self.workable(slot, &AT_WORK)?;
        let mut lines = self.lines_of(slot);
        let issues = self.asked_issues(&order, &lines, &issue.materials)?;
        order.cost = sum_of_costs(order.cost, &issues)?;
        order.state = WorkOrderState::InProgress;

        self.debit_materials(&order, &mut lines, &issues, effects);
        self.credit_materials(&order, &issues, effects);
        self.put_lines(slot, &lines);
        self.put_order(slot, order);
        let materials = issues.into_iter().map(|issue| issue.moved).collect();
        self.emit(EventBody::MaterialsIssued(Box::new(MaterialsIssued { order, materials })), effects);
        Ok(())
    }

    /// What a command asks for, each component once; all that is outstanding, when it names nothing.
    fn asked_issues(
        &self,
        order: &WorkOrder,
        lines: &[Requirement],
        asked: &[Material],
    ) -> Result<Vec<Issue>, Rejection> {
        if asked.is_empty() {
            let outstanding = lines.iter().enumerate().filter(|(_, line)| line.outstanding() > 0);
            let issues =
                outstanding.map(|(place, line)| self.check_issue(order, line, place, line.outstanding(), None));
            return issues.collect();
        }
        let mut issues: Vec<Issue> = Vec::with_capacity(asked.len().min(lines.len()));
        for material in asked {
            let place = lines.iter().position(|line| line.component == material.component);
            let place = place.ok_or(Rejection::UnknownComponent)?;
            if issues.iter().any(|issue| issue.place == place) {
                return Err(Rejection::ComponentTwice);
            }
            issues.push(self.check_issue(order, &lines[place], place, material.quantity.0, material.lot)?);
        }
        Ok(issues)
    }

    /// Checks the issue of a quantity of one line.
    pub(super) fn check_issue(
        &self,
        order: &WorkOrder,
        line: &Requirement,
        place: usize,
        quantity: u64,
        lot: Option<Code>,
    ) -> Result<Issue, Rejection> {
        let issued = line.issued.0.checked_add(quantity).map(Quantity);
        if quantity == 0 || !issued.is_some_and(fits) {
            return Err(Rejection::Overflow);
        }
        let over = quantity.saturating_sub(line.outstanding());
        if over > 0 && order.over_issue == OverIssue::Refuse {
            return Err(Rejection::OverIssue);
        }
        let component = line.component;
        let giver = self.active_account(order.location)?;
        let production = self.active_account(self.production_of(order))?;
        self.check_allowed(production, component)?;
        let held = quantity.min(line.reserved.0);
        let asset = self.known_asset(component)?;
        self.check_spend(giver, asset, (quantity - held) as i64)?;
        self.check_lot(order.location, component, lot, quantity)?;
        let cost = self.standard_cost(component, quantity).ok_or(Rejection::Overflow)?;
        let moved = MaterialMoved { component, quantity: Quantity(quantity), over: Quantity(over), lot, cost };
        Ok(Issue { place, moved, held })
    }

    /// Takes materials out of stock. They are on the way until they are credited.
    pub(super) fn debit_materials(
        &mut self,
        order: &WorkOrder,
        lines: &mut [Requirement],
        issues: &[Issue],
        effects: &mut Effects,
    ) {
        for Issue { place, moved, held } in issues {
            self.production.lots.name(moved.component, moved.lot);
            let balance = self.balance_of(order.location, moved.component);
            self.post(balance, -(moved.quantity.0 as i64), -(*held as i64), effects);
            let line = &mut lines[*place];
            line.issued.0 += moved.quantity.0;
            line.reserved.0 -= held;
            line.cost += moved.cost;
        }
    }

    /// Puts what was taken out of stock into production.
    pub(super) fn credit_materials(&mut self, order: &WorkOrder, issues: &[Issue], effects: &mut Effects) {
        let production = self.production_of(order);
        for Issue { moved, .. } in issues {
            let balance = self.balance_of(production, moved.component);
            self.post(balance, moved.quantity.0 as i64, 0, effects);
            self.remember_lots(order, production, moved.component);
        }
    }

    /// What comes back costs what the issued units cost on average, and is of the lots that were issued
    /// ([`issued`](super::issued)).
    pub(crate) fn return_materials(&mut self, give: &ReturnMaterials, effects: &mut Effects) -> Result<(), Rejection> {
        let Material { component, quantity, lot } = give.material;
        let slot = self.find_work_order(give.work_order)?;
        let mut order = self.workable(slot, &[WorkOrderState::InProgress, WorkOrderState::Completed])?;
        let mut lines = self.lines_of(slot);
        let line = lines.iter_mut().find(|line| line.component == component);
        let line = line.ok_or(Rejection::UnknownComponent)?;
        if quantity == Quantity(0) {
            return Err(Rejection::Overflow);
        }
        if quantity > line.issued {
            return Err(Rejection::ReturnAboveIssued);
        }
        let production = self.active_account(self.production_of(&order))?;
        let receiver = self.active_account(order.location)?;
        self.check_allowed(receiver, component)?;
        let asset = self.known_asset(component)?;
        let amount = quantity.0 as i64;
        self.check_spend(production, asset, amount)?;
        let lots = self.lots_to_return(slot, component, lot, quantity)?;

        let (kept, issued) = (i128::from(line.issued.0 - quantity.0), i128::from(line.issued.0));
        let cost = line.cost - average(line.cost, kept, issued);
        line.issued.0 -= quantity.0;
        line.cost -= cost;
        order.cost -= cost;
        self.give_back_lots(slot, &lots);
        let debit = self.balance_slot(production, asset);
        let credit = self.balance_slot(receiver, asset);
        self.post(debit, -amount, 0, effects);
        self.post(credit, amount, 0, effects);
        self.put_lines(slot, &lines);
        self.put_order(slot, order);
        let material = MaterialMoved { component, quantity, over: Quantity(0), lot, cost };
        self.emit(EventBody::MaterialsReturned(Box::new(MaterialsReturned { order, material })), effects);
        Ok(())
    }

    /// Writes an order back.
    pub(super) fn put_order(&mut self, slot: Slot, order: WorkOrder) {
        self.production.work_orders.entries[slot].order = order;
        self.changes.mark(Table::WorkOrder, slot);
    }

    /// The account that an order's materials go to, and its products come from.
    pub(super) fn production_of(&self, order: &WorkOrder) -> AccountId {
        let plant = self.production.plants.find(order.plant).expect("plants stay for ever");
        plant.plant.production
    }

    /// The slot of a balance that is about to change.
    pub(super) fn balance_of(&mut self, account: AccountId, asset: AssetId) -> Slot {
        let owner = self.accounts.slot(account).expect("accounts stay for ever");
        let asset = self.assets.slot(asset).expect("assets stay for ever");
        self.balance_slot(owner, asset)
    }

    /// What a quantity costs, in 10⁻¹² of the currency's smallest unit; `None` when that does not fit.
    pub(super) fn standard_cost(&self, component: AssetId, quantity: u64) -> Option<i128> {
        let price = self.production.items.find(component)?.item.standard_cost;
        let unit = 10_i128.checked_pow(u32::from(self.assets.find(component)?.scale))?;
        let product = i128::from(quantity).checked_mul(i128::from(price.0))?;
        product.checked_mul(WorkOrder::COST_UNIT.checked_div(unit)?)
    }
}

/// The cost of an order with those of the issues.
pub fn sum_of_costs(cost: i128, issues: &[Issue]) -> Result<i128, Rejection> {
    let sum = issues.iter().try_fold(cost, |sum, issue| sum.checked_add(issue.moved.cost));
    // What is told of it is an amount of the currency.
    sum.filter(|sum| i64::try_from(cost_rounded(*sum)).is_ok()).ok_or(Rejection::Overflow)
}

/// `cost × part ÷ whole`, rounded down, of a part that is not more than the whole.
fn average(cost: i128, part: i128, whole: i128) -> i128 {
    let (quotient, rest) = (cost / whole, cost % whole);
    // The whole is below 2⁶³, and so are the rest and the part: the product fits.
    quotient * part + rest * part / whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Body, CreateWorkOrder, DefineItem, ReceiveStock};
    use crate::shop::{AXLE, GLUE, SHELF, Shop, WHEEL, WORKS, cart, code, item};
    use crate::types::{Price, WorkOrderId};

    fn issue(work_order: WorkOrderId, materials: &[(AssetId, u64)]) -> Body {
        let material = |(component, quantity): &(AssetId, u64)| Material {
            component: *component,
            quantity: Quantity(*quantity),
            lot: None,
        };
        Body::IssueMaterials(IssueMaterials { work_order, materials: materials.iter().map(material).collect() })
    }

    fn give_back(work_order: WorkOrderId, component: AssetId, quantity: u64, lot: Option<&str>) -> Body {
        let material = Material { component, quantity: Quantity(quantity), lot: lot.map(code) };
        Body::ReturnMaterials(ReturnMaterials { work_order, material })
    }

    fn cost(shop: &Shop, id: WorkOrderId) -> i128 {
        shop.ledger.work_order(id).expect("it is open").order.cost_rounded()
    }

    #[test]
    fn an_issue_takes_what_is_held_then_what_is_there() {
        let mut shop = Shop::stocked();
        let id = shop.release(CreateWorkOrder { over_issue: OverIssue::Warn, ..cart(2) });
        shop.accept(issue(id, &[(WHEEL, 10)]));
        assert_eq!((shop.balance(SHELF, WHEEL), shop.balance(WORKS, WHEEL)), ((10, 0), (10, 0)));
        assert_eq!(cost(&shop, id), 20);
        shop.accept(issue(id, &[]));
        assert_eq!((shop.balance(SHELF, AXLE), shop.balance(WORKS, GLUE)), ((8, 0), (3, 0)));
        shop.accept(give_back(id, WHEEL, 3, None));
        assert_eq!((shop.balance(SHELF, WHEEL), cost(&shop, id)), ((13, 0), 14 + 12 + 3));
        assert_eq!(shop.refuse(give_back(id, WHEEL, 8, None)), Rejection::ReturnAboveIssued);
    }

    #[test]
    fn what_comes_back_costs_what_it_cost() {
        let mut shop = Shop::stocked();
        let id = shop.release(cart(2));
        shop.accept(issue(id, &[(WHEEL, 1)]));
        shop.accept(Body::DefineItem(DefineItem { standard_cost: Price(5), ..item(WHEEL) }));
        shop.accept(issue(id, &[(WHEEL, 2)]));
        assert_eq!(cost(&shop, id), 12);
        shop.accept(give_back(id, WHEEL, 1, None));
        assert_eq!(cost(&shop, id), 8);
        shop.accept(give_back(id, WHEEL, 2, None));
        assert_eq!(cost(&shop, id), 0);
    }

    #[test]
    fn lots_go_into_production_and_come_back_by_number() {
        let mut shop = Shop::stocked();
        let id = shop.release(cart(2));
        let lot = shop.ledger.lots(SHELF, GLUE).next().expect("there is glue").number;
        let of = |lot| Material { component: GLUE, quantity: Quantity(2), lot: Some(lot) };
        let named = |lot| Body::IssueMaterials(IssueMaterials { work_order: id, materials: vec![of(lot)] });
        assert_eq!(shop.refuse(named(code("NONE"))), Rejection::LotTooSmall);
        shop.accept(named(lot));
        assert_eq!(shop.ledger.lots(WORKS, GLUE).count(), 0, "an issuer keeps no lots");
        shop.accept(give_back(id, GLUE, 1, None));
        let numbers: Vec<String> = shop.ledger.lots(SHELF, GLUE).map(|lot| lot.number.to_string()).collect();
        assert_eq!(numbers, [lot.to_string()]);
    }

    #[test]
    fn what_comes_back_is_of_the_lots_that_were_issued() {
        let mut shop = Shop::stocked();
        let receive = |lot| ReceiveStock {
            location: SHELF,
            asset: GLUE,
            quantity: Quantity(2),
            from: crate::shop::SUPPLIER,
            lot: Some(code(lot)),
        };
        let id = shop.release(CreateWorkOrder { over_issue: OverIssue::Warn, ..cart(2) });
        let other = shop.release(CreateWorkOrder { over_issue: OverIssue::Warn, ..cart(2) });
        for lot in ["A", "B", "C"] {
            shop.accept(Body::ReceiveStock(receive(lot)));
        }
        let of = |lot| Material { component: GLUE, quantity: Quantity(2), lot: Some(code(lot)) };
        let issue = |work_order, lot| Body::IssueMaterials(IssueMaterials { work_order, materials: vec![of(lot)] });
        shop.accept(issue(id, "B"));
        shop.accept(issue(id, "A"));
        shop.accept(issue(other, "C"));
        for (lot, quantity, reason) in [
            ("C", 1, Rejection::LotNotIssued),
            ("NONE", 1, Rejection::LotNotIssued),
            ("B", 3, Rejection::ReturnAboveIssued),
        ] {
            assert_eq!(shop.refuse(give_back(id, GLUE, quantity, Some(lot))), reason, "{quantity} of {lot}");
        }
        // The lot issued last comes back first, and is as old as it was.
        shop.accept(give_back(id, GLUE, 3, None));
        let lots = |shop: &Shop| -> Vec<(String, u64)> {
            shop.ledger.lots(SHELF, GLUE).map(|lot| (lot.number.to_string(), lot.quantity.0)).collect()
        };
        let [(_, _), a, b] = &lots(&shop)[..] else { panic!("{:?}", lots(&shop)) };
        assert_eq!((a, b), (&("A".to_owned(), 2), &("B".to_owned(), 1)));
        assert_eq!(shop.refuse(give_back(id, GLUE, 1, Some("A"))), Rejection::LotNotIssued, "all of it is back");
        shop.accept(give_back(id, GLUE, 1, Some("B")));
        assert_eq!(shop.refuse(give_back(id, GLUE, 1, None)), Rejection::ReturnAboveIssued);
        assert_eq!(shop.ledger.production.work_orders.lots.len(), 1, "the other order has its lot");
        shop.ledger.check_invariants().expect("it holds");
    }

    #[test]
    fn every_refusal_has_its_reason() {
        let mut shop = Shop::stocked();
        let planned = shop.create(cart(1));
        assert_eq!(shop.refuse(issue(planned, &[])), Rejection::WorkOrderInOtherState);
        let id = shop.release(cart(4));
        for (body, reason) in [
            (issue(id, &[(WHEEL, 17)]), Rejection::OverIssue),
            (issue(id, &[(WHEEL, 0)]), Rejection::Overflow),
            (issue(id, &[(WHEEL, 1), (WHEEL, 1)]), Rejection::ComponentTwice),
            (issue(id, &[(crate::fixture::BOLT, 1)]), Rejection::UnknownComponent),
            (give_back(id, WHEEL, 1, None), Rejection::WorkOrderInOtherState),
        ] {
            assert_eq!(shop.refuse(body), reason);
        }
        shop.accept(issue(id, &[(WHEEL, 16)]));
        assert_eq!(shop.refuse(give_back(id, WHEEL, 1, Some("X"))), Rejection::NotLotTracked);
        let warned = shop.release(CreateWorkOrder { over_issue: OverIssue::Warn, ..cart(1) });
        assert_eq!(shop.refuse(issue(warned, &[(WHEEL, 5)])), Rejection::InsufficientAvailable);
    }

    #[test]
    fn a_part_of_a_cost_is_exact_at_the_ends() {
        let most = i128::MAX / 4;
        let whole = i128::from(i64::MAX);
        assert_eq!((average(most, whole, whole), average(most, 0, whole)), (most, 0));
        assert_eq!(average(10, 1, 3), 3);
    }
}
