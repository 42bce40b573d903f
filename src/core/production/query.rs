//! What can be read of production. Every order of iteration is the same on every node.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::RangeBounds;

use super::boms::BomEntry;
use super::records::{
    Bom, Calendar, Item, Lot, OperationProgress, OrderYield, Plant, ProductionPlan, Purchase, Requirement, WorkOrder,
};
use super::work_orders::WorkOrderEntry;
use crate::command::{BomLine, ByProduct, DemandLine, Operation};
use crate::ledger::Ledger;
use crate::types::{
    AccountId, Amount, AssetId, BomVersion, Code, Day, PlanId, PlantId, PurchaseId, Quantity, Source, WorkOrderId,
};

/// A version of a bill of materials.
#[derive(Debug, Clone, Copy)]
pub struct BomView<'a> {
    /// The version.
    pub bom: &'a Bom,
    /// What one run needs.
    pub lines: &'a [BomLine],
    /// What one run yields besides.
    pub by_products: &'a [ByProduct],
    /// What is done, in order.
    pub operations: &'a [Operation],
}

/// A work order that has not ended.
#[derive(Debug, Clone)]
pub struct WorkOrderView<'a> {
    /// The order.
    pub order: &'a WorkOrder,
    /// What it requires, once it is released.
    pub lines: Vec<&'a Requirement>,
    /// What it yields besides, once it is released.
    pub yields: Vec<&'a OrderYield>,
    /// How far its operations are, once it is released.
    pub operations: Vec<&'a OperationProgress>,
}

/// What a plant has of one item in all its locations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemStock {
    /// The item.
    pub asset: AssetId,
    /// Settled.
    pub on_hand: i128,
    /// Held by orders, pending transfers and work orders.
    pub reserved: i128,
    /// What open work orders of the plant still make of it, and what its planned purchases still bring.
    pub on_order: i128,
}

impl ItemStock {
    /// `on_hand - reserved`.
    #[must_use]
    pub const fn available(&self) -> i128 {
        self.on_hand - self.reserved
    }
}

/// What is needed of one item, in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrossNeed {
    /// The item.
    pub item: Item,
    /// How much, over all that it goes into.
    pub quantity: Quantity,
    /// Whether it has no bill of materials.
    pub leaf: bool,
}

/// A component that a work order requires and does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// The order.
    pub work_order: WorkOrderId,
    /// The component.
    pub component: AssetId,
    /// How much of it.
    pub short: u64,
}

impl Ledger {
    /// The plant with this id.
    #[must_use]
    pub fn plant(&self, id: PlantId) -> Option<&Plant> {
        self.production.plants.find(id).map(|entry| &entry.plant)
    }

    /// Every plant, in the order of definition.
    pub fn plants(&self) -> impl DoubleEndedIterator<Item = &Plant> + ExactSizeIterator {
        self.production.plants.iter().map(|entry| &entry.plant)
    }

    /// The calendar of a plant.
    #[must_use]
    pub fn calendar(&self, plant: PlantId) -> Option<&Calendar> {
        self.production.plants.find(plant).map(|entry| &entry.calendar)
    }

    /// The item of an asset.
    #[must_use]
    pub fn item(&self, asset: AssetId) -> Option<&Item> {
        self.production.items.find(asset).map(|entry| &entry.item)
    }

    /// Every item, in the order of definition.
    pub fn items(&self) -> impl DoubleEndedIterator<Item = &Item> + ExactSizeIterator {
        self.production.items.iter().map(|entry| &entry.item)
    }

    /// A version of an item's bill of materials.
    #[must_use]
    pub fn bom(&self, product: AssetId, version: BomVersion) -> Option<BomView<'_>> {
        self.production.boms.find((product, version)).map(view)
    }

    /// The version of an item's bill of materials that is in effect on a day.
    #[must_use]
    pub fn bom_on(&self, product: AssetId, day: Day) -> Option<BomView<'_>> {
        let item = self.production.items.slot(product)?;
        self.bom_in_effect(item, day).map(|slot| view(&self.production.boms[slot]))
    }

    /// The versions of an item's bill of materials, in the order of definition.
    pub fn boms(&self, product: AssetId) -> impl Iterator<Item = BomView<'_>> {
        let item = self.production.items.find(product).into_iter();
        item.flat_map(|item| &item.boms).map(|&slot| view(&self.production.boms[slot]))
    }

    /// The lines that have an item as their component, each with its version, in the order of definition.
    pub fn where_used(&self, component: AssetId) -> impl Iterator<Item = (&Bom, &BomLine)> {
        let item = self.production.items.find(component).into_iter();
        let boms = item.flat_map(|item| &item.used_in).map(|&slot| &self.production.boms[slot]);
        boms.flat_map(move |entry| {
            let lines = entry.lines.iter().filter(move |line| line.component == component);
            lines.map(|line| (&entry.bom, line))
        })
    }

    /// All that goes into `quantity` of a product by the bills in effect on a day, optional lines left out,
    /// whatever is in stock. Level by level: what goes into several others is summed first, so that its loss,
    /// set-up and rounding count once. The product itself comes first; nothing of what is no item.
    ///
    /// # Errors
    /// The item of which more is needed than fits 63 bits.
    pub fn gross_needs(&self, product: AssetId, quantity: Quantity, day: Day) -> Result<Vec<GrossNeed>, AssetId> {
        let items = &self.production.items;
        let Some(first) = items.slot(product) else {
            return Ok(Vec::new());
        };
        // What has more levels below it goes into nothing that has fewer.
        let mut open = BTreeMap::from([((Reverse(items[first].levels), first), quantity.0)]);
        let mut needs = Vec::new();
        while let Some(((_, slot), quantity)) = open.pop_first() {
            let bom = self.bom_in_effect(slot, day).map(|bom| &self.production.boms[bom]);
            for (entry, line) in bom.iter().flat_map(|entry| entry.lines.iter().map(move |line| (entry, line))) {
                let component = items.slot(line.component).ok_or(line.component)?;
                let needed = if line.optional { Some(0) } else { line.needed(quantity, entry.bom.output.0) };
                let all = open.entry((Reverse(items[component].levels), component)).or_default();
                let sum = needed.and_then(|more| all.checked_add(more)).and_then(|sum| i64::try_from(sum).ok());
                *all = sum.ok_or(line.component)?.unsigned_abs();
            }
            if quantity > 0 {
                let item = items[slot].item;
                needs.push(GrossNeed { item, quantity: Quantity(quantity), leaf: bom.is_none() });
            }
        }
        Ok(needs)
    }

    /// What a quantity costs at an item's standard cost, in 10⁻¹² of its currency's smallest unit; `None` when
    /// that does not fit.
    #[must_use]
    pub fn cost_at_standard(&self, asset: AssetId, quantity: Quantity) -> Option<i128> {
        self.standard_cost(asset, quantity.0)
    }

    /// The lots of a balance, oldest first: in the order in which they go.
    pub fn lots(&self, account: AccountId, asset: AssetId) -> impl Iterator<Item = &Lot> {
        let balance = self.balances.entries.slot((account, asset)).into_iter();
        let lots = &self.production.lots;
        balance.flat_map(|balance| lots.of_balance(balance)).map(|slot| &lots.entries[slot])
    }

    /// Where units of a lot are, and how many; takes time in proportion to all lots.
    pub fn lot_holders(&self, asset: AssetId, number: Code) -> impl Iterator<Item = &Lot> {
        let lots = self.production.lots.entries.iter().map(|(_, lot)| lot);
        let mut found: Vec<&Lot> = lots.filter(|lot| (lot.asset, lot.number) == (asset, number)).collect();
        found.sort_unstable_by_key(|lot| lot.account);
        found.into_iter()
    }

    /// The work order with this id, if it has not ended.
    #[must_use]
    pub fn work_order(&self, id: WorkOrderId) -> Option<WorkOrderView<'_>> {
        let slot = *self.production.work_orders.by_id.get(&id)?;
        Some(self.work_order_view(&self.production.work_orders.entries[slot]))
    }

    /// A plant's work orders that have not ended, by id.
    pub fn work_orders(&self, plant: PlantId) -> impl Iterator<Item = WorkOrderView<'_>> {
        self.work_orders_in(..).filter(move |view| view.order.plant == plant)
    }

    /// The work orders of every plant that have not ended and whose ids are in a range, by id.
    pub fn work_orders_in(
        &self,
        ids: impl RangeBounds<WorkOrderId>,
    ) -> impl DoubleEndedIterator<Item = WorkOrderView<'_>> {
        let orders = &self.production.work_orders;
        orders.by_id.range(ids).map(|(_, &slot)| self.work_order_view(&orders.entries[slot]))
    }

    fn work_order_view<'a>(&'a self, entry: &'a WorkOrderEntry) -> WorkOrderView<'a> {
        let orders = &self.production.work_orders;
        let lines = entry.lines.iter().map(|&part| orders.line(part)).collect();
        let operations = entry.operations.iter().map(|&part| orders.operation(part)).collect();
        let yields = entry.yields.iter().map(|&part| orders.order_yield(part)).collect();
        WorkOrderView { order: &entry.order, lines, yields, operations }
    }

    /// What work orders hold of an account, by id, each with the component and amount.
    pub(crate) fn work_order_holds(&self, account: AccountId) -> impl Iterator<Item = (&WorkOrder, AssetId, Amount)> {
        let orders = &self.production.work_orders;
        let of_account = (account, WorkOrderId(0))..=(account, WorkOrderId(u64::MAX));
        let entries = orders.by_location.range(of_account).filter_map(|(_, id)| orders.by_id.get(id));
        entries.map(|&slot| &orders.entries[slot]).flat_map(|entry| {
            let lines = entry.lines.iter().map(|&part| orders.line(part));
            let held = lines.filter(|line| line.reserved.0 > 0);
            held.map(|line| (&entry.order, line.component, Amount(line.reserved.0 as i64)))
        })
    }

    /// What a plant has of an item, and what its work orders and planned purchases still bring of it.
    #[must_use]
    pub fn item_stock(&self, plant: PlantId, asset: AssetId) -> ItemStock {
        self.stock_in(self.locations(plant), asset, &self.on_order(plant, None))
    }

    fn locations(&self, plant: PlantId) -> &[AccountId] {
        self.plant(plant).map_or(&[], |plant| &plant.locations)
    }

    /// What these locations have of an item, beside what is [on order](Self::on_order).
    #[must_use]
    pub fn stock_in(&self, locations: &[AccountId], asset: AssetId, on_order: &BTreeMap<AssetId, i128>) -> ItemStock {
        let on_order = on_order.get(&asset).copied().unwrap_or(0);
        let mut stock = ItemStock { asset, on_hand: 0, reserved: 0, on_order };
        for balance in locations.iter().filter_map(|location| self.balance(*location, asset)) {
            stock.on_hand += i128::from(balance.posted.0);
            stock.reserved += i128::from(balance.reserved.0);
        }
        stock
    }

    /// The items of which a plant has, available and on order, no more than their reorder point, in the
    /// order of definition.
    pub fn to_reorder(&self, plant: PlantId) -> impl Iterator<Item = (&Item, ItemStock)> {
        let (locations, on_order) = (self.locations(plant), self.on_order(plant, None));
        let points = self.items().filter(|item| item.reorder_point.0 > 0);
        let stocks = points.map(move |item| (item, self.stock_in(locations, item.asset, &on_order)));
        stocks.filter(|(item, stock)| stock.available() + stock.on_order <= i128::from(item.reorder_point.0))
    }

    /// What a plant's work orders still make and its planned purchases still bring, by item; of those alone
    /// that put it into one location, when it is named.
    #[must_use]
    pub fn on_order(&self, plant: PlantId, output: Option<AccountId>) -> BTreeMap<AssetId, i128> {
        let mut on_order = BTreeMap::new();
        let orders = self.work_orders(plant).map(|view| view.order);
        for order in orders.filter(|order| output.is_none_or(|output| output == order.output)) {
            *on_order.entry(order.product).or_default() += i128::from(order.quantity.0 - order.done());
        }
        let purchases = self.purchases(plant);
        for purchase in purchases.filter(|purchase| output.is_none_or(|output| output == purchase.location)) {
            *on_order.entry(purchase.item).or_default() += i128::from(purchase.outstanding());
        }
        on_order
    }

    /// The plan with this id, if it is not closed.
    #[must_use]
    pub fn plan(&self, id: PlanId) -> Option<&ProductionPlan> {
        let plans = &self.production.plans;
        plans.by_id.get(&id).map(|&slot| &plans.entries[slot].plan)
    }

    /// The plans of every plant that are not closed, by id.
    pub fn plans(&self) -> impl DoubleEndedIterator<Item = &ProductionPlan> {
        let plans = &self.production.plans;
        plans.by_id.values().map(|&slot| &plans.entries[slot].plan)
    }

    /// The plans of every plant that are not closed and whose ids are in a range, by id.
    pub fn plans_in(&self, ids: impl RangeBounds<PlanId>) -> impl DoubleEndedIterator<Item = &ProductionPlan> {
        let plans = &self.production.plans;
        plans.by_id.range(ids).map(|(_, &slot)| &plans.entries[slot].plan)
    }

    /// The lines of a plan's demand, by number.
    pub fn plan_lines(&self, id: PlanId) -> impl DoubleEndedIterator<Item = &DemandLine> {
        let plans = &self.production.plans;
        let entry = plans.by_id.get(&id).map(|&slot| &plans.entries[slot]).into_iter();
        entry.flat_map(|entry| entry.lines.values()).map(|&line| &plans.lines[line].line)
    }

    /// The planned purchase with this id, if something of it is still to come.
    #[must_use]
    pub fn purchase(&self, id: PurchaseId) -> Option<&Purchase> {
        let purchases = &self.production.purchases;
        purchases.by_id.get(&id).map(|&slot| &purchases.entries[slot])
    }

    /// A plant's planned purchases of which something is still to come, by id.
    pub fn purchases(&self, plant: PlantId) -> impl DoubleEndedIterator<Item = &Purchase> {
        let purchases = &self.production.purchases;
        let all = purchases.by_id.values().map(|&slot| &purchases.entries[slot]);
        all.filter(move |purchase| purchase.plant == plant)
    }

    /// The planned purchases of every plant of which something is still to come and whose ids are in a
    /// range, by id.
    pub fn purchases_in(&self, ids: impl RangeBounds<PurchaseId>) -> impl DoubleEndedIterator<Item = &Purchase> {
        let purchases = &self.production.purchases;
        purchases.by_id.range(ids).map(|(_, &slot)| &purchases.entries[slot])
    }

    /// What a plant's released work orders require and do not hold, by work order. One that is completed lacks
    /// nothing.
    pub fn shortages(&self, plant: PlantId) -> impl Iterator<Item = Shortage> {
        self.work_orders(plant).flat_map(|view| {
            let order = view.order;
            let lacking = view.lines.into_iter().map(|line| (line.component, order.lacks(line)));
            let short = lacking.filter(|(_, short)| *short > 0);
            short.map(|(component, short)| Shortage { work_order: order.id, component, short })
        })
    }

    /// Whether an item is made by work orders.
    #[must_use]
    pub fn is_made(&self, asset: AssetId) -> bool {
        self.item(asset).is_some_and(|item| item.source == Source::Make)
    }
}

fn view(entry: &BomEntry) -> BomView<'_> {
    BomView { bom: &entry.bom, lines: &entry.lines, by_products: &entry.by_products, operations: &entry.operations }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Body, CompleteWorkOrder, DefineBom, DefineItem, ReleaseWorkOrder};
    use crate::fixture::USD;
    use crate::shop::{AXLE, BOX, CART, GLUE, PLANT, SHELF, Shop, WHEEL, bom, cart, item, line};

    #[test]
    fn a_component_knows_where_it_is_used() {
        let mut shop = Shop::new();
        shop.accept(Body::DefineBom(bom(BOX, vec![line(WHEEL, 1), line(AXLE, 1), line(WHEEL, 2)])));
        shop.accept(Body::DefineBom(DefineBom {
            version: BomVersion(2),
            from: Day(2),
            ..bom(CART, vec![line(AXLE, 1)])
        }));
        let used: Vec<_> = shop.ledger.where_used(WHEEL).map(|(bom, line)| (bom.product, line.quantity.0)).collect();
        assert_eq!(used, [(CART, 4), (BOX, 1), (BOX, 2)]);
        assert_eq!(shop.ledger.where_used(CART).count(), 0);
    }

    #[test]
    fn a_part_of_several_assemblies_is_summed_before_it_is_rounded() {
        let mut shop = Shop::new();
        let optional = crate::command::BomLine { optional: true, ..line(AXLE, 5) };
        shop.accept(Body::DefineBom(bom(BOX, vec![line(CART, 2), line(GLUE, 1), optional])));
        let needs = |quantity| {
            let needs = shop.ledger.gross_needs(BOX, Quantity(quantity), Day(1))?;
            Ok(needs.iter().map(|need| (need.item.asset, need.quantity.0, need.leaf)).collect::<Vec<_>>())
        };
        // Glue: 3 × 1, and of six carts 6.6 for their loss, which is 7.
        let expected = [(BOX, 3, false), (CART, 6, false), (WHEEL, 24, true), (AXLE, 12, true), (GLUE, 10, true)];
        assert_eq!(needs(3).as_deref(), Ok(&expected[..]));
        assert_eq!(needs(i64::MAX as u64), Err(CART), "too much");
        assert_eq!(shop.ledger.gross_needs(USD, Quantity(1), Day(1)), Ok(Vec::new()), "no item");
    }

    #[test]
    fn what_falls_to_its_reorder_point_is_listed_until_it_is_on_order() {
        let mut shop = Shop::stocked();
        let point = |asset, point| Body::DefineItem(DefineItem { reorder_point: Quantity(point), ..item(asset) });
        shop.accept(point(WHEEL, 12));
        shop.accept(point(CART, 1));
        let list = |shop: &Shop| shop.ledger.to_reorder(PLANT).map(|(item, _)| item.asset).collect::<Vec<_>>();
        assert_eq!(list(&shop), [CART]);
        shop.release(cart(2));
        assert_eq!(list(&shop), [WHEEL], "two carts are on order, twelve wheels are available");
        let stock = shop.ledger.item_stock(PLANT, WHEEL);
        assert_eq!((stock.on_hand, stock.reserved, stock.available()), (20, 8, 12));
    }

    #[test]
    fn an_order_that_is_completed_lacks_nothing() {
        let mut shop = Shop::stocked();
        let id = shop.create(cart(6));
        shop.accept(Body::ReleaseWorkOrder(ReleaseWorkOrder { work_order: id, partial: true }));
        let short = |shop: &Shop| shop.ledger.shortages(PLANT).map(|it| (it.component, it.short)).collect::<Vec<_>>();
        assert_eq!(short(&shop), [(WHEEL, 4)]);
        // Nothing was issued; the carts are there all the same.
        let (good, scrap, loss) = (Quantity(6), Quantity(0), Quantity(0));
        shop.accept(Body::CompleteWorkOrder(CompleteWorkOrder { work_order: id, good, scrap, loss, lot: None }));
        assert_eq!(short(&shop), []);
    }

    #[test]
    fn a_lot_is_found_wherever_it_is() {
        let shop = Shop::stocked();
        let lot = shop.ledger.lots(SHELF, GLUE).next().copied().expect("there is glue");
        let found: Vec<_> = shop.ledger.lot_holders(GLUE, lot.number).map(|lot| (lot.account, lot.quantity)).collect();
        assert_eq!(found, [(SHELF, lot.quantity)]);
    }
}
