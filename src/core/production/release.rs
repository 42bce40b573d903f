//! The release of work orders: what they require, and its reservation.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::boms::BomEntry;
use super::records::{OperationProgress, OrderYield, Progress, Requirement, WorkOrder, WorkOrderPart};
use super::work_orders::AT_WORK;
use crate::command::{ByProduct, ReleaseWorkOrder};
use crate::event::{Effects, EventBody, WorkOrderReleased};
use crate::ledger::Ledger;
use crate::rejection::Rejection;
use crate::state::Table;
use crate::table::Slot;
use crate::types::{AssetId, Quantity, WorkOrderState};

/// Lines of bills of materials that the release of one order looks at, phantom assemblies included, and
/// by-products that it finds. It bounds what one order requires and yields, and thereby every record of its
/// life.
pub const EXPLOSION_MAX: usize = 512;

/// What an order requires, and what it yields besides.
pub(super) struct OrderParts {
    pub lines: Vec<Requirement>,
    pub yields: Vec<OrderYield>,
}

impl Ledger {
    /// Reserves what an order requires and does not hold yet. All of it or nothing, unless a part is
    /// asked for; released again, an order gets what has come in meanwhile.
    pub(crate) fn release_work_order(
        &mut self,
        release: &ReleaseWorkOrder,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        let slot = self.find_work_order(release.work_order)?;
        let mut order = self.workable(slot, &[WorkOrderState::Planned, AT_WORK[0], AT_WORK[1]])?;
        self.active_account(order.location)?;
        let is_new = order.state == WorkOrderState::Planned;
        let OrderParts { mut lines, yields } = if is_new { self.requirements(&order)? } else { self.parts_of(slot) };
        let mut holds = Vec::with_capacity(lines.len());
        for line in &lines {
            holds.push(self.check_hold(&order, line, release.partial)?);
        }

        for (line, hold) in lines.iter_mut().zip(&holds) {
            line.reserved.0 += hold.unsigned_abs();
        }
        if is_new {
            order.state = WorkOrderState::Released;
            self.add_parts(slot, &mut order, &lines, &yields);
        } else {
            self.put_lines(slot, &lines);
        }
        for (line, hold) in lines.iter().zip(holds) {
            if hold != 0 {
                self.hold_component(&order, line.component, hold, effects);
            }
        }
        self.production.work_orders.entries[slot].order = order;
        self.changes.mark(Table::WorkOrder, slot);
        self.emit(EventBody::WorkOrderReleased(Box::new(WorkOrderReleased { order, lines, yields })), effects);
        Ok(())
    }

    /// How much of a line can be reserved now.
    fn check_hold(&self, order: &WorkOrder, line: &Requirement, partial: bool) -> Result<i64, Rejection> {
        let short = i64::try_from(line.short()).map_err(|_| Rejection::Overflow)?;
        if partial {
            let balance = self.balance(order.location, line.component);
            let available = balance.map_or(0, |balance| balance.available().0.max(0));
            return Ok(short.min(available));
        }
        let owner = self.known_account(order.location)?;
        let asset = self.known_asset(line.component)?;
        self.check_spend(owner, asset, short)?;
        Ok(short)
    }

    fn hold_component(&mut self, order: &WorkOrder, component: AssetId, hold: i64, effects: &mut Effects) {
        let owner = self.accounts.slot(order.location).expect("accounts stay for ever");
        let asset = self.assets.slot(component).expect("assets stay for ever");
        let balance = self.balance_slot(owner, asset);
        self.post(balance, 0, hold, effects);
    }

    /// What an order requires of each component, each once, in the order in which lines name them, and what
    /// it yields besides.
    ///
    /// The lines of a phantom stand in its place: when all of the order that needs it is known, so that its
    /// set-up and rounding count once. Its by-products are the order's, too: a phantom is never stocked, and
    /// what is done to it is done within the order, so that the swarf falls there and nowhere else. Planners
    /// who explode negative lines through a phantom, as SAP does, know it so; requirements are calculated by
    /// the same rule ([`mrp`](super::mrp)). What it yields follows from how much of the phantom the order
    /// needs in all, and comes with the order's units in proportion.
    pub(super) fn requirements(&self, order: &WorkOrder) -> Result<OrderParts, Rejection> {
        let items = &self.production.items;
        let mut lines: Vec<Requirement> = Vec::new();
        let mut yields: Vec<OrderYield> = Vec::new();
        // Phantoms to be made within the order. What needs one has more levels below it.
        let mut phantoms: BTreeMap<(Reverse<u32>, Slot), u64> = BTreeMap::new();
        let bom = self.production.boms.slot((order.product, order.version)).ok_or(Rejection::UnknownBom)?;
        let (own, mut next) = (bom, Some((bom, order.quantity.0)));
        let mut seen = 0;
        while let Some((bom, quantity)) = next {
            let entry: &BomEntry = &self.production.boms[bom];
            let is_phantom = bom != own;
            for by_product in &entry.by_products {
                yield_besides(&mut yields, by_product, entry.bom.output, is_phantom.then_some((quantity, order)))?;
            }
            seen += entry.lines.len();
            if seen.max(yields.len()) > EXPLOSION_MAX {
                return Err(Rejection::BomTooLarge);
            }
            for line in entry.lines.iter().filter(|line| order.optional || !line.optional) {
                let needed = line.needed(quantity, entry.bom.output.0).ok_or(Rejection::Overflow)?;
                let component = self.known_item(line.component)?;
                if items[component].item.phantom {
                    let sum = phantoms.entry((Reverse(items[component].levels), component)).or_default();
                    *sum = sum_of(*sum, needed)?;
                } else {
                    require(&mut lines, line.component, needed)?;
                }
            }
            next = match phantoms.pop_first() {
                None => None,
                Some(((_, phantom), quantity)) => {
                    Some((self.bom_in_effect(phantom, order.due).ok_or(Rejection::UnknownBom)?, quantity))
                }
            };
        }
        Ok(OrderParts { lines, yields })
    }

    /// What an order requires, as it stands.
    pub(super) fn lines_of(&self, slot: Slot) -> Vec<Requirement> {
        let orders = &self.production.work_orders;
        orders.entries[slot].lines.iter().map(|&part| *orders.line(part)).collect()
    }

    /// What an order requires and yields besides, as it stands.
    fn parts_of(&self, slot: Slot) -> OrderParts {
        let orders = &self.production.work_orders;
        let yields = orders.entries[slot].yields.iter().map(|&part| *orders.order_yield(part)).collect();
        OrderParts { lines: self.lines_of(slot), yields }
    }

    /// Writes an order's lines back where they differ.
    pub(super) fn put_lines(&mut self, slot: Slot, lines: &[Requirement]) {
        for (place, line) in lines.iter().enumerate() {
            let part = self.production.work_orders.entries[slot].lines[place];
            let old = self.production.work_orders.line_mut(part);
            if old != line {
                *old = *line;
                self.changes.mark(Table::WorkOrderPart, part);
            }
        }
    }

    /// Gives an order its lines, yields and operations.
    fn add_parts(&mut self, slot: Slot, order: &mut WorkOrder, lines: &[Requirement], yields: &[OrderYield]) {
        let orders = &mut self.production.work_orders;
        let bom = orders.entries[slot].bom;
        let operations = self.production.boms[bom].operations.len();
        let fresh = Progress::Operation(OperationProgress { good: Quantity(0), scrap: Quantity(0) });
        let (lines, yields) = (lines.iter().copied().map(Progress::Line), yields.iter().copied().map(Progress::Yield));
        let parts = lines.chain(yields).chain(std::iter::repeat_n(fresh, operations));
        for (place, part) in (0..).zip(parts) {
            let at = orders.parts.insert(WorkOrderPart { work_order: order.id, place, part });
            self.changes.mark(Table::WorkOrderPart, at);
            let entry = &mut orders.entries[slot];
            match part {
                Progress::Line(_) => entry.lines.push(at),
                Progress::Yield(_) => entry.yields.push(at),
                Progress::Operation(_) => entry.operations.push(at),
            }
            order.parts = place + 1;
        }
    }
}

/// Adds a by-product to what an order yields besides. Of a phantom it is said how much of it which order needs.
fn yield_besides(
    yields: &mut Vec<OrderYield>,
    by_product: &ByProduct,
    output: Quantity,
    phantom: Option<(u64, &WorkOrder)>,
) -> Result<(), Rejection> {
    let ByProduct { asset, quantity } = *by_product;
    let by_runs = OrderYield { asset, quantity, per: output };
    let more = match phantom {
        None => by_runs,
        Some((needed, order)) => {
            let quantity = by_runs.of(needed).map(Quantity).ok_or(Rejection::Overflow)?;
            OrderYield { asset, quantity, per: order.quantity }
        }
    };
    if more.quantity == Quantity(0) {
        return Ok(());
    }
    match yields.iter_mut().find(|known| (known.asset, known.per) == (asset, more.per)) {
        Some(known) => known.quantity = Quantity(sum_of(known.quantity.0, more.quantity.0)?),
        None => yields.push(more),
    }
    Ok(())
}

/// Adds to what is required of a component.
fn require(lines: &mut Vec<Requirement>, component: AssetId, quantity: u64) -> Result<(), Rejection> {
    let Some(line) = lines.iter_mut().find(|line| line.component == component) else {
        let (required, nothing) = (Quantity(quantity), Quantity(0));
        lines.push(Requirement { component, required, reserved: nothing, issued: nothing, cost: 0 });
        return Ok(());
    };
    line.required = Quantity(sum_of(line.required.0, quantity)?);
    Ok(())
}

/// The sum of two quantities that each fit 63 bits, if it does too.
pub(super) fn sum_of(one: u64, other: u64) -> Result<u64, Rejection> {
    i64::try_from(one + other).map(i64::unsigned_abs).map_err(|_| Rejection::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Body, BomLine, CompleteWorkOrder, CreateWorkOrder, DefineBom, DefineItem, NewOrder};
    use crate::fixture::{ANN, ISSUER, USD, limit, transfer};
    use crate::shop::{AXLE, BOX, CART, DUST, GLUE, SHELF, Shop, WHEEL, WORKS, bom, cart, item, line};
    use crate::types::{BomVersion, Day, Side, WorkOrderId};

    fn release(work_order: WorkOrderId, partial: bool) -> Body {
        Body::ReleaseWorkOrder(ReleaseWorkOrder { work_order, partial })
    }

    fn required(shop: &Shop, id: WorkOrderId) -> Vec<(AssetId, u64, u64)> {
        let view = shop.ledger.work_order(id).expect("it is open");
        view.lines.iter().map(|line| (line.component, line.required.0, line.reserved.0)).collect()
    }

    #[test]
    fn a_release_reserves_everything_or_nothing_or_what_there_is() {
        let mut shop = Shop::stocked();
        let id = shop.create(cart(6));
        // Twenty wheels are there, 24 are needed.
        assert_eq!(shop.refuse(release(id, false)), Rejection::InsufficientAvailable);
        shop.accept(release(id, true));
        assert_eq!(required(&shop, id), [(WHEEL, 24, 20), (AXLE, 12, 12), (GLUE, 7, 7)]);
        shop.accept(Body::Transfer(transfer(ISSUER, SHELF, WHEEL, 3)));
        assert_eq!(shop.refuse(release(id, false)), Rejection::InsufficientAvailable);
        shop.accept(release(id, true));
        shop.accept(Body::Transfer(transfer(ISSUER, SHELF, WHEEL, 3)));
        shop.accept(release(id, false));
        assert_eq!(required(&shop, id)[0], (WHEEL, 24, 24));
        assert_eq!(shop.balance(SHELF, WHEEL), (26, 24));
    }

    #[test]
    fn an_order_and_a_seller_race_for_the_same_units() {
        let mut shop = Shop::stocked();
        let market = shop.open_market(WHEEL);
        let sell = |quantity| Body::NewOrder(NewOrder { market, ..limit(SHELF, Side::Sell, quantity, 10) });
        shop.accept(sell(18));
        let id = shop.create(cart(1));
        assert_eq!(shop.refuse(release(id, false)), Rejection::InsufficientAvailable);
        shop.accept(Body::Transfer(transfer(ISSUER, ANN, WHEEL, 2)));
        shop.accept(Body::NewOrder(NewOrder { market, ..limit(ANN, Side::Sell, 2, 5) }));
        shop.accept(Body::Transfer(transfer(ISSUER, SHELF, USD, 100)));
        // What is bought settles into the stock that the order reserves.
        shop.accept(Body::NewOrder(NewOrder { market, ..limit(SHELF, Side::Buy, 2, 5) }));
        shop.accept(release(id, false));
        assert_eq!(shop.refuse(sell(1)), Rejection::InsufficientAvailable);
        assert_eq!(shop.balance(SHELF, WHEEL), (22, 22));
    }

    #[test]
    fn a_phantom_is_its_own_lines_and_a_component_stands_once() {
        let mut shop = Shop::stocked();
        shop.accept(Body::DefineItem(DefineItem { phantom: true, ..item(CART) }));
        let optional = BomLine { optional: true, ..line(GLUE, 5) };
        // Two carts by two lines: their glue is rounded once.
        let lines = vec![line(WHEEL, 1), line(CART, 1), optional, line(AXLE, 3), line(CART, 1)];
        shop.accept(Body::DefineBom(bom(BOX, lines)));
        let boxed = |optional| CreateWorkOrder { product: BOX, optional, ..cart(1) };
        let id = shop.create(boxed(false));
        shop.accept(release(id, false));
        assert_eq!(required(&shop, id), [(WHEEL, 9, 9), (AXLE, 7, 7), (GLUE, 3, 3)]);
        let id = shop.create(boxed(true));
        shop.accept(release(id, true));
        assert_eq!(required(&shop, id)[1], (GLUE, 8, 6));
    }

    #[test]
    fn an_order_yields_what_its_phantoms_do_by_the_versions_it_was_released_with() {
        let mut shop = Shop::stocked();
        shop.accept(Body::DefineItem(DefineItem { phantom: true, ..item(CART) }));
        let dust = |quantity| vec![ByProduct { asset: DUST, quantity: Quantity(quantity) }];
        let (version, from, output) = (BomVersion(2), Day(2), Quantity(2));
        let cart_of = bom(CART, vec![line(WHEEL, 2)]);
        shop.accept(Body::DefineBom(DefineBom { version, from, output, by_products: dust(3), ..cart_of.clone() }));
        // One box is a cart, and leaves dust of its own; five carts leave seven of dust.
        shop.accept(Body::DefineBom(DefineBom { by_products: dust(1), ..bom(BOX, vec![line(CART, 1)]) }));
        let id = shop.release(CreateWorkOrder { product: BOX, quantity: Quantity(5), ..cart(1) });
        let yields = |shop: &Shop| {
            let view = shop.ledger.work_order(id).expect("it is open");
            view.yields.iter().map(|it| (it.asset, it.quantity.0, it.per.0)).collect::<Vec<_>>()
        };
        assert_eq!(yields(&shop), [(DUST, 1, 1), (DUST, 7, 5)]);
        let (version, from) = (BomVersion(3), Day(3));
        shop.accept(Body::DefineBom(DefineBom { version, from, by_products: dust(90), ..cart_of }));
        shop.accept(release(id, false));
        assert_eq!(yields(&shop), [(DUST, 1, 1), (DUST, 7, 5)]);
        let done: Vec<i64> = (0..5)
            .map(|_| {
                let (good, nothing) = (Quantity(1), Quantity(0));
                let complete = CompleteWorkOrder { work_order: id, good, scrap: nothing, loss: nothing, lot: None };
                shop.accept(Body::CompleteWorkOrder(complete));
                shop.balance(SHELF, DUST).0
            })
            .collect();
        assert_eq!(done, [2, 4, 7, 9, 12]);
        shop.ledger.check_invariants().expect("sound");
    }

    #[test]
    fn a_product_that_its_own_phantom_leaves_is_yielded_twice_over() {
        let mut shop = Shop::stocked();
        shop.accept(Body::DefineItem(DefineItem { phantom: true, ..item(CART) }));
        let by_products = vec![ByProduct { asset: BOX, quantity: Quantity(1) }];
        let (version, from) = (BomVersion(2), Day(2));
        shop.accept(Body::DefineBom(DefineBom { version, from, by_products, ..bom(CART, vec![line(WHEEL, 1)]) }));
        shop.accept(Body::DefineBom(bom(BOX, vec![line(CART, 1)])));
        let id = shop.release(CreateWorkOrder { product: BOX, ..cart(2) });
        let (good, nothing) = (Quantity(2), Quantity(0));
        let complete = CompleteWorkOrder { work_order: id, good, scrap: nothing, loss: nothing, lot: None };
        shop.accept(Body::CompleteWorkOrder(complete));
        assert_eq!((shop.balance(SHELF, BOX).0, shop.balance(WORKS, BOX).0), (4, -4));
    }

    #[test]
    fn an_order_keeps_the_version_it_began_with() {
        let mut shop = Shop::stocked();
        let id = shop.create(cart(1));
        let (version, from) = (BomVersion(2), Day(2));
        shop.accept(Body::DefineBom(DefineBom { version, from, ..bom(CART, vec![line(WHEEL, 3)]) }));
        shop.accept(release(id, false));
        assert_eq!(required(&shop, id)[0], (WHEEL, 4, 4));
        let next = shop.create(cart(1));
        shop.accept(release(next, false));
        assert_eq!(required(&shop, next), [(WHEEL, 3, 3)]);
    }

    #[test]
    fn an_order_whose_phantoms_need_too_much_is_not_created() {
        let mut shop = Shop::stocked();
        shop.accept(Body::DefineItem(DefineItem { phantom: true, ..item(CART) }));
        let most = CreateWorkOrder::QUANTITY_MAX.0;
        shop.accept(Body::DefineBom(bom(BOX, vec![line(CART, most / 4 + 1)])));
        let of = |version| CreateWorkOrder { product: BOX, version: Some(BomVersion(version)), ..cart(1) };
        assert_eq!(shop.refuse(Body::CreateWorkOrder(of(1))), Rejection::Overflow);
        // Together more than the most, and of no component.
        let lines = vec![line(CART, most / 4), line(GLUE, most / 2)];
        shop.accept(Body::DefineBom(DefineBom { version: BomVersion(2), from: Day(9), ..bom(BOX, lines) }));
        shop.create(of(2));
    }

    #[test]
    fn what_does_not_fit_one_record_is_not_released() {
        let mut shop = Shop::stocked();
        shop.accept(Body::DefineItem(DefineItem { phantom: true, ..item(CART) }));
        shop.accept(Body::DefineBom(bom(BOX, vec![line(CART, 1); DefineBom::LINES_MAX])));
        let id = shop.create(CreateWorkOrder { product: BOX, ..cart(1) });
        assert_eq!(shop.refuse(release(id, true)), Rejection::BomTooLarge);
    }
}
