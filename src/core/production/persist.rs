//! Production's state as records, and from records.

use std::collections::BTreeMap;

use super::boms::BomEntry;
use super::items::ItemEntry;
use super::plans::{PlanEntry, Plans};
use super::purchases::Purchases;
use super::records::{
    Bom, BomPart, Calendar, IssuedLot, Item, Lot, Part, PlanLine, Plant, ProductionPlan, Progress, Purchase, WorkOrder,
    WorkOrderPart,
};
use super::work_orders::{WorkOrderEntry, WorkOrders};
use crate::command::DefineBom;
use crate::ledger::Ledger;
use crate::ledger::persist::{dense, in_order, put, read_into, wrong};
use crate::ledger::slots::Slab;
use crate::state::{RecordKey, RestoreError, Table};
use crate::table::Slot;

/// Records as they come, by table.
#[derive(Default)]
pub struct Rows {
    plants: Vec<(Slot, Plant)>,
    calendars: Vec<(Slot, Calendar)>,
    items: Vec<(Slot, Item)>,
    boms: Vec<(Slot, Bom)>,
    bom_parts: Vec<(Slot, BomPart)>,
    lots: Vec<(Slot, Lot)>,
    work_orders: Vec<(Slot, WorkOrder)>,
    work_order_parts: Vec<(Slot, WorkOrderPart)>,
    plans: Vec<(Slot, ProductionPlan)>,
    plan_lines: Vec<(Slot, PlanLine)>,
    purchases: Vec<(Slot, Purchase)>,
    issued_lots: Vec<(Slot, IssuedLot)>,
}

impl Rows {
    /// Reads one record of one of production's tables.
    pub fn read(&mut self, key: RecordKey, bytes: &[u8]) -> Result<(), RestoreError> {
        match key.table {
            Table::Plant => read_into(&mut self.plants, key, bytes),
            Table::Calendar => read_into(&mut self.calendars, key, bytes),
            Table::Item => read_into(&mut self.items, key, bytes),
            Table::Bom => read_into(&mut self.boms, key, bytes),
            Table::BomPart => read_into(&mut self.bom_parts, key, bytes),
            Table::Lot => read_into(&mut self.lots, key, bytes),
            Table::WorkOrder => read_into(&mut self.work_orders, key, bytes),
            Table::WorkOrderPart => read_into(&mut self.work_order_parts, key, bytes),
            Table::Plan => read_into(&mut self.plans, key, bytes),
            Table::PlanLine => read_into(&mut self.plan_lines, key, bytes),
            Table::Purchase => read_into(&mut self.purchases, key, bytes),
            Table::IssuedLot => read_into(&mut self.issued_lots, key, bytes),
            table => Err(wrong(table, key.slot, "is no record of production")),
        }
    }
}

impl Ledger {
    /// Appends the bytes of a record of one of production's tables; none when the slot is empty.
    pub(crate) fn encode_production(&self, key: RecordKey, out: &mut Vec<u8>) {
        let (production, slot) = (&self.production, key.slot);
        match key.table {
            Table::Plant => put(production.plants.get(slot).map(|entry| &entry.plant), out),
            Table::Calendar => put(production.plants.get(slot).map(|entry| &entry.calendar), out),
            Table::Item => put(production.items.get(slot).map(|entry| &entry.item), out),
            Table::Bom => put(production.boms.get(slot).map(|entry| &entry.bom), out),
            Table::BomPart => {
                let part = production.bom_parts.get(slot as usize);
                put(part.and_then(|&(bom, place)| production.boms[bom].part(place)).as_ref(), out);
            }
            Table::Lot => put(production.lots.entries.get(slot), out),
            Table::WorkOrder => put(production.work_orders.entries.get(slot).map(|entry| &entry.order), out),
            Table::WorkOrderPart => put(production.work_orders.parts.get(slot), out),
            Table::Plan => put(production.plans.entries.get(slot).map(|entry| &entry.plan), out),
            Table::PlanLine => put(production.plans.lines.get(slot), out),
            Table::Purchase => put(production.purchases.entries.get(slot), out),
            Table::IssuedLot => put(production.work_orders.lots.get(slot), out),
            table => unreachable!("{table:?} is no table of production"),
        }
    }

    /// The places of all records of production, table by table.
    pub(crate) fn production_records(&self) -> impl Iterator<Item = RecordKey> {
        let in_table = |table| move |slot| RecordKey { table, slot };
        let production = &self.production;
        let lots = production.lots.entries.iter().map(|(slot, _)| slot);
        let orders = production.work_orders.entries.iter().map(|(slot, _)| slot);
        let parts = production.work_orders.parts.iter().map(|(slot, _)| slot);
        let plans = production.plans.entries.iter().map(|(slot, _)| slot);
        let plan_lines = production.plans.lines.iter().map(|(slot, _)| slot);
        let purchases = production.purchases.entries.iter().map(|(slot, _)| slot);
        let issued_lots = production.work_orders.lots.iter().map(|(slot, _)| slot);
        (0..production.plants.len())
            .map(in_table(Table::Plant))
            .chain((0..production.plants.len()).map(in_table(Table::Calendar)))
            .chain((0..production.items.len()).map(in_table(Table::Item)))
            .chain((0..production.boms.len()).map(in_table(Table::Bom)))
            .chain((0..production.bom_parts.len() as Slot).map(in_table(Table::BomPart)))
            .chain(lots.map(in_table(Table::Lot)))
            .chain(orders.map(in_table(Table::WorkOrder)))
            .chain(parts.map(in_table(Table::WorkOrderPart)))
            .chain(plans.map(in_table(Table::Plan)))
            .chain(plan_lines.map(in_table(Table::PlanLine)))
            .chain(purchases.map(in_table(Table::Purchase)))
            .chain(issued_lots.map(in_table(Table::IssuedLot)))
    }

    /// Items come before balances, which have to know whether their lots are tracked.
    pub(crate) fn restore_items(&mut self, rows: &mut Rows) -> Result<(), RestoreError> {
        for (slot, item) in dense(Table::Item, std::mem::take(&mut rows.items))? {
            let (Some(asset), Some(_)) = (self.assets.slot(item.asset), self.assets.slot(item.currency)) else {
                return Err(wrong(Table::Item, slot, "its asset or currency is missing"));
            };
            if self.item(item.asset).is_some() {
                return Err(wrong(Table::Item, slot, "stands twice"));
            }
            if !item.is_whole() {
                return Err(wrong(Table::Item, slot, "is not an item"));
            }
            if item.lot_tracked && !self.balances.track_lots(asset) {
                return Err(wrong(Table::Item, slot, "comes after a balance of it"));
            }
            self.production.items.push(ItemEntry::new(item));
        }
        Ok(())
    }

    /// Everything else of production, once balances are there.
    pub(crate) fn restore_production(&mut self, rows: Rows) -> Result<(), RestoreError> {
        self.restore_plants(rows.plants, rows.calendars)?;
        self.restore_boms(rows.boms, rows.bom_parts)?;
        self.restore_lots(rows.lots)?;
        self.restore_work_orders(rows.work_orders, rows.work_order_parts, rows.issued_lots)?;
        self.restore_plans(rows.plans, rows.plan_lines)?;
        self.restore_purchases(rows.purchases)
    }

    fn restore_plans(
        &mut self,
        plans: Vec<(Slot, ProductionPlan)>,
        lines: Vec<(Slot, PlanLine)>,
    ) -> Result<(), RestoreError> {
        let plans = in_order(Table::Plan, plans)?;
        let lines = in_order(Table::PlanLine, lines)?;
        let entry = |plan| PlanEntry { plan, lines: BTreeMap::new() };
        let mut restored = Plans {
            entries: Slab::with_rows(plans.iter().map(|(slot, plan)| (*slot, entry(*plan)))),
            lines: Slab::with_rows(lines.iter().copied()),
            by_id: BTreeMap::new(),
        };
        for (slot, plan) in plans {
            if restored.by_id.insert(plan.id, slot).is_some() {
                return Err(wrong(Table::Plan, slot, "its id stands twice"));
            }
        }
        for (slot, row) in lines {
            let Some(&plan) = restored.by_id.get(&row.plan) else {
                return Err(wrong(Table::PlanLine, slot, "is of no plan"));
            };
            if restored.entries[plan].lines.insert(row.line.line, slot).is_some() {
                return Err(wrong(Table::PlanLine, slot, "its number stands twice"));
            }
        }
        self.production.plans = restored;
        Ok(())
    }

    fn restore_purchases(&mut self, rows: Vec<(Slot, Purchase)>) -> Result<(), RestoreError> {
        let rows = in_order(Table::Purchase, rows)?;
        let mut restored = Purchases {
            entries: Slab::with_rows(rows.iter().copied()),
            by_id: BTreeMap::new(),
            by_order: BTreeMap::new(),
        };
        for (slot, purchase) in rows {
            if restored.by_id.insert(purchase.id, slot).is_some() {
                return Err(wrong(Table::Purchase, slot, "its id stands twice"));
            }
            let other = purchase.order.and_then(|order| restored.by_order.insert((purchase.location, order), slot));
            if other.is_some() {
                return Err(wrong(Table::Purchase, slot, "its order buys another one"));
            }
        }
        self.production.purchases = restored;
        Ok(())
    }

    fn restore_plants(
        &mut self,
        plants: Vec<(Slot, Plant)>,
        calendars: Vec<(Slot, Calendar)>,
    ) -> Result<(), RestoreError> {
        let calendars = dense(Table::Calendar, calendars)?;
        let plants = dense(Table::Plant, plants)?;
        if plants.len() != calendars.len() {
            return Err(wrong(Table::Calendar, calendars.len() as Slot, "is not one for each plant"));
        }
        for ((slot, plant), (_, calendar)) in plants.into_iter().zip(calendars) {
            if self.plant(plant.id).is_some() {
                return Err(wrong(Table::Plant, slot, "its id stands twice"));
            }
            self.check_locations(&plant, None).map_err(|reason| wrong(Table::Plant, slot, reason.code()))?;
            self.add_plant(plant);
            self.production.plants[slot].calendar = calendar;
        }
        Ok(())
    }

    fn restore_boms(&mut self, boms: Vec<(Slot, Bom)>, parts: Vec<(Slot, BomPart)>) -> Result<(), RestoreError> {
        let mut parts = dense(Table::BomPart, parts)?.into_iter().peekable();
        for (slot, bom) in dense(Table::Bom, boms)? {
            let mut new = DefineBom {
                product: bom.product,
                version: bom.version,
                from: bom.from,
                output: bom.output,
                lines: Vec::new(),
                by_products: Vec::new(),
                operations: Vec::new(),
            };
            let mut rows = Vec::new();
            for _ in 0..bom.parts {
                let (at, row) = parts.next().ok_or_else(|| wrong(Table::Bom, slot, "one of its parts is missing"))?;
                match row.part {
                    Part::Line(line) => new.lines.push(line),
                    Part::ByProduct(by_product) => new.by_products.push(by_product),
                    Part::Operation(operation) => new.operations.push(operation),
                }
                rows.push((at, row));
            }
            let added = self.add_bom(&new).map_err(|reason| wrong(Table::Bom, slot, reason.code()))?;
            let entry: &BomEntry = &self.production.boms[added];
            let misplaced = (0..).zip(&rows).find(|(place, (_, row))| entry.part(*place) != Some(*row));
            if let Some((_, (at, _))) = misplaced {
                return Err(wrong(Table::BomPart, *at, "is not where it belongs"));
            }
        }
        match parts.next() {
            Some((at, _)) => Err(wrong(Table::BomPart, at, "is of no version")),
            None => Ok(()),
        }
    }

    fn restore_lots(&mut self, rows: Vec<(Slot, Lot)>) -> Result<(), RestoreError> {
        let rows = in_order(Table::Lot, rows)?;
        self.production.lots.entries = Slab::with_rows(rows.iter().copied());
        for (slot, lot) in rows {
            let Some(balance) = self.balances.entries.slot((lot.account, lot.asset)) else {
                return Err(wrong(Table::Lot, slot, "its balance is missing"));
            };
            if self.production.lots.find(balance, lot.number).is_some() {
                return Err(wrong(Table::Lot, slot, "its number stands twice"));
            }
            self.production.lots.index(balance, lot, slot);
        }
        Ok(())
    }

    fn restore_work_orders(
        &mut self,
        orders: Vec<(Slot, WorkOrder)>,
        parts: Vec<(Slot, WorkOrderPart)>,
        lots: Vec<(Slot, IssuedLot)>,
    ) -> Result<(), RestoreError> {
        let mut entries = Vec::new();
        for (slot, order) in in_order(Table::WorkOrder, orders)? {
            let bom = self.production.boms.slot((order.product, order.version));
            let bom = bom.ok_or_else(|| wrong(Table::WorkOrder, slot, "its bill of materials is missing"))?;
            entries.push((slot, WorkOrderEntry::new(order, bom)));
        }
        let places: Vec<_> = entries.iter().map(|(slot, entry)| (*slot, entry.order)).collect();
        let parts = in_order(Table::WorkOrderPart, parts)?;
        let lots = in_order(Table::IssuedLot, lots)?;
        let mut restored = WorkOrders {
            entries: Slab::with_rows(entries.into_iter()),
            parts: Slab::with_rows(parts.iter().copied()),
            lots: Slab::with_rows(lots.iter().copied()),
            by_id: BTreeMap::new(),
            ..WorkOrders::default()
        };
        for (slot, order) in places {
            if restored.by_id.insert(order.id, slot).is_some() {
                return Err(wrong(Table::WorkOrder, slot, "its id stands twice"));
            }
            restored.by_location.insert((order.location, order.id));
        }
        restored.put_parts(parts)?;
        restored.put_lots(lots)?;
        self.production.work_orders = restored;
        Ok(())
    }
}

impl WorkOrders {
    /// Puts the lots that were issued under their orders.
    fn put_lots(&mut self, lots: Vec<(Slot, IssuedLot)>) -> Result<(), RestoreError> {
        for (slot, lot) in lots {
            let Some(&order) = self.by_id.get(&lot.work_order) else {
                return Err(wrong(Table::IssuedLot, slot, "was issued to no order"));
            };
            if self.entries[order].lots.insert((lot.component, lot.number), slot).is_some() {
                return Err(wrong(Table::IssuedLot, slot, "its number stands twice"));
            }
        }
        Ok(())
    }

    /// Puts parts under their orders, by place.
    fn put_parts(&mut self, mut parts: Vec<(Slot, WorkOrderPart)>) -> Result<(), RestoreError> {
        parts.sort_by_key(|(_, part)| (part.work_order, part.place));
        for (slot, part) in parts {
            let Some(&order) = self.by_id.get(&part.work_order) else {
                return Err(wrong(Table::WorkOrderPart, slot, "is of no order"));
            };
            let entry = &mut self.entries[order];
            if part.place as usize != entry.parts().count() {
                return Err(wrong(Table::WorkOrderPart, slot, "is not where it belongs"));
            }
            match part.part {
                Progress::Line(_) if entry.yields.is_empty() && entry.operations.is_empty() => entry.lines.push(slot),
                Progress::Yield(_) if entry.operations.is_empty() => entry.yields.push(slot),
                Progress::Line(_) | Progress::Yield(_) => {
                    return Err(wrong(Table::WorkOrderPart, slot, "comes after a part of another kind"));
                }
                Progress::Operation(_) => entry.operations.push(slot),
            }
        }
        Ok(())
    }
}
