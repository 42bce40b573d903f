//! What a calculation finds: planned orders, requirements and supplies, and who is served by what.
//!
//! The requirements of an item, in the order in which they are served, and its supplies, in the order
//! in which they are used, are both laid end to end along one line from zero. A peg is where the two
//! overlap. So pegs need no storage, and what they take from either side adds up by construction.

use std::ops::Range;

use super::calendar::Day;
use super::situation::Demand;
use crate::codec::newtype;
use crate::types::{AssetId, Quantity};

newtype! {
    /// A planned order, by its place in [`Plan::orders`].
    pub struct OrderIndex(u32);
}
newtype! {
    /// A requirement, by its place in the plan.
    pub struct RequirementIndex(u32);
}
newtype! {
    /// A supply, by its place in the plan.
    pub struct SupplyIndex(u32);
}

/// A planned order: make or buy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedOrder {
    /// What is made or bought.
    pub item: AssetId,
    /// The version of the bill of materials that it is made by; nothing when it is bought.
    pub version: Option<u32>,
    /// How much.
    pub quantity: Quantity,
    /// How much of it the net requirement asked for. The rest is the lot rule's.
    pub net: Quantity,
    /// When it has to begin, by its lead time alone. Before the planning date it cannot.
    pub release: Day,
    /// When it has to be done: the last working day on or before the requirement.
    pub due: Day,
    /// When it can be done, with all that goes into it. Never before `due`.
    pub ready: Day,
    /// Working days that it takes.
    pub lead_days: u32,
}

/// What asks for an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A line of demand, by its place in [`Plan::demands`].
    Demand(u32),
    /// A planned order that it goes into.
    Order(OrderIndex),
    /// The item's safety stock.
    SafetyStock,
}

/// A quantity of an item that is needed on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirement {
    /// The item.
    pub item: AssetId,
    /// How much.
    pub quantity: Quantity,
    /// When, not before the planning date.
    pub day: Day,
    /// When it is there in full, by what it is pegged to.
    pub ready: Day,
    /// What for.
    pub need: Need,
}

/// Where a quantity of an item comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// It is available.
    Stock,
    /// It comes in anyway, by its place in [`Situation::receipts`](super::Situation::receipts).
    Receipt(u32),
    /// This order yields it besides its product.
    ByProduct(OrderIndex),
    /// This order is planned for it.
    Order(OrderIndex),
}

/// A quantity of an item that is there from a day on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supply {
    /// The item.
    pub item: AssetId,
    /// How much.
    pub quantity: Quantity,
    /// When it is planned to be there.
    pub day: Day,
    /// When it can be there. Never before `day`.
    pub ready: Day,
    /// Where it comes from.
    pub origin: Origin,
}

/// What a requirement takes of a supply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peg {
    /// Who takes it.
    pub requirement: RequirementIndex,
    /// Of what.
    pub supply: SupplyIndex,
    /// How much. Never zero.
    pub quantity: Quantity,
}

/// When a line of demand can be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// The line.
    pub demand: Demand,
    /// How much of it is there when it is due.
    pub on_time: Quantity,
    /// The earliest day that all of it is there: the due day, unless it is short.
    pub feasible: Day,
}

impl Promise {
    /// What is short on the due day.
    #[must_use]
    pub const fn short(&self) -> Quantity {
        Quantity(self.demand.quantity.0 - self.on_time.0)
    }
}

/// A requirement on the item's line, from `start` to the next one's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub start: u64,
    pub day: Day,
    pub item: u32,
    pub need: Need,
}

/// A supply on the item's line, from `start` to the next one's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lot {
    pub start: u64,
    pub day: Day,
    pub ready: Day,
    pub item: u32,
    pub origin: Origin,
}

/// A planned order, as it is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub quantity: u64,
    pub net: u64,
    pub item: u32,
    /// The number of its bill's version; nothing of a purchase.
    pub version: u32,
    /// Its place among the supplies.
    pub lot: u32,
    pub lead_days: u32,
    pub release: Day,
    pub due: Day,
    pub ready: Day,
}

/// An item's part of a plan.
#[derive(Debug, Clone, Default)]
pub(super) struct Section {
    pub id: AssetId,
    pub made: bool,
    pub level: u32,
    pub rows: Range<u32>,
    pub lots: Range<u32>,
    pub orders: Range<u32>,
    /// The sum of all requirements, where its line of rows ends.
    pub needed: u64,
    /// The sum of all supplies, where its line of lots ends. Not less than `needed`.
    pub supplied: u64,
}

/// What a calculation finds. It refers to nothing outside and changes nothing.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) planning_date: Day,
    /// By ascending item.
    pub(super) sections: Vec<Section>,
    pub(super) rows: Vec<Row>,
    pub(super) lots: Vec<Lot>,
    /// Each behind all that its product goes into.
    pub(super) orders: Vec<Order>,
    pub(super) demands: Vec<Demand>,
    /// Of each demand its row; [`NO_ROW`] of one for nothing.
    pub(super) demand_rows: Vec<u32>,
}

pub(super) const NO_ROW: u32 = u32::MAX;

impl Plan {
    /// The first day that anything can be done on.
    #[must_use]
    pub fn planning_date(&self) -> Day {
        self.planning_date
    }

    /// The items with their low-level codes, ascending by item.
    pub fn items(&self) -> impl Iterator<Item = (AssetId, u32)> {
        self.sections.iter().map(|section| (section.id, section.level))
    }

    /// The lines of demand, as they were given.
    #[must_use]
    pub fn demands(&self) -> &[Demand] {
        &self.demands
    }

    /// How many orders are planned.
    #[must_use]
    pub fn order_count(&self) -> usize {
        self.orders.len()
    }

    /// How many requirements there are, of demand, of orders and of safety stock.
    #[must_use]
    pub fn requirement_count(&self) -> usize {
        self.rows.len()
    }

    /// The planned orders: an item's by due day, and behind those of all that it goes into.
    pub fn orders(&self) -> impl Iterator<Item = (OrderIndex, PlannedOrder)> {
        (0..self.orders.len() as u32).map(|index| (OrderIndex(index), self.show_order(index)))
    }

    /// The planned orders of one item, by due day. None when there is no such item.
    pub fn orders_of(&self, item: AssetId) -> impl Iterator<Item = (OrderIndex, PlannedOrder)> {
        let range = self.section(item).map_or(0..0, |section| section.orders.clone());
        range.map(|index| (OrderIndex(index), self.show_order(index)))
    }

    /// One planned order.
    #[must_use]
    pub fn order(&self, index: OrderIndex) -> Option<PlannedOrder> {
        ((index.0 as usize) < self.orders.len()).then(|| self.show_order(index.0))
    }

    /// The orders that cannot be begun in time: the cause of every shortage.
    pub fn past_due_orders(&self) -> impl Iterator<Item = (OrderIndex, PlannedOrder)> {
        self.orders().filter(|(_, order)| order.release < self.planning_date)
    }

    /// The requirements of one item, in the order in which they are served. None when there is no
    /// such item.
    pub fn requirements_of(&self, item: AssetId) -> impl Iterator<Item = (RequirementIndex, Requirement)> {
        let range = self.section(item).map_or(0..0, |section| section.rows.clone());
        range.map(|index| (RequirementIndex(index), self.show_row(index as usize)))
    }

    /// One requirement.
    #[must_use]
    pub fn requirement(&self, index: RequirementIndex) -> Option<Requirement> {
        ((index.0 as usize) < self.rows.len()).then(|| self.show_row(index.0 as usize))
    }

    /// The requirement of a line of demand, by its place in [`Plan::demands`]; none of a line for nothing.
    #[must_use]
    pub fn requirement_of_demand(&self, demand: usize) -> Option<RequirementIndex> {
        self.demand_rows.get(demand).filter(|row| **row != NO_ROW).map(|row| RequirementIndex(*row))
    }

    /// The supplies of one item, in the order in which they are used. None when there is no such item.
    pub fn supplies_of(&self, item: AssetId) -> impl Iterator<Item = (SupplyIndex, Supply)> {
        let range = self.section(item).map_or(0..0, |section| section.lots.clone());
        range.map(|index| (SupplyIndex(index), self.show_lot(index as usize)))
    }

    /// One supply.
    #[must_use]
    pub fn supply(&self, index: SupplyIndex) -> Option<Supply> {
        ((index.0 as usize) < self.lots.len()).then(|| self.show_lot(index.0 as usize))
    }

    /// The supply that a planned order becomes.
    #[must_use]
    pub fn supply_of_order(&self, order: OrderIndex) -> Option<SupplyIndex> {
        self.orders.get(order.0 as usize).map(|order| SupplyIndex(order.lot))
    }

    /// What a requirement is served from. The quantities add up to the requirement's.
    pub fn pegs_of_requirement(&self, index: RequirementIndex) -> impl Iterator<Item = Peg> {
        let row = (index.0 as usize) < self.rows.len();
        let overlaps = row.then(|| self.lots_over(index.0 as usize, self.span_of_row(index.0 as usize)));
        overlaps.into_iter().flatten().map(move |(lot, span)| Peg {
            requirement: index,
            supply: SupplyIndex(lot),
            quantity: Quantity(span.end - span.start),
        })
    }

    /// What a supply is used for. The quantities add up to the supply's, or what is missing is left over.
    pub fn pegs_of_supply(&self, index: SupplyIndex) -> impl Iterator<Item = Peg> {
        let lot = (index.0 as usize) < self.lots.len();
        let overlaps = lot.then(|| self.rows_over(index.0 as usize));
        overlaps.into_iter().flatten().map(move |(row, span)| Peg {
            requirement: RequirementIndex(row),
            supply: index,
            quantity: Quantity(span.end - span.start),
        })
    }

    /// When each line of demand can be met.
    pub fn promises(&self) -> impl Iterator<Item = Promise> {
        self.demands.iter().zip(&self.demand_rows).map(|(demand, row)| self.promise(demand, *row))
    }

    /// The lines of demand that are short on their due day.
    pub fn shortages(&self) -> impl Iterator<Item = Promise> {
        self.promises().filter(|promise| promise.short().0 > 0)
    }

    fn promise(&self, demand: &Demand, row: u32) -> Promise {
        let mut promise = Promise { demand: *demand, on_time: Quantity(0), feasible: demand.due };
        if row != NO_ROW {
            for (lot, span) in self.lots_over(row as usize, self.span_of_row(row as usize)) {
                let ready = self.lots[lot as usize].ready;
                promise.feasible = promise.feasible.max(ready);
                if ready <= demand.due {
                    promise.on_time.0 += span.end - span.start;
                }
            }
        }
        promise
    }

    pub(super) fn section(&self, item: AssetId) -> Option<&Section> {
        let place = self.sections.binary_search_by_key(&item, |section| section.id).ok()?;
        self.sections.get(place)
    }

    /// From where to where a requirement lies on its item's line.
    pub(super) fn span_of_row(&self, row: usize) -> Range<u64> {
        let section = &self.sections[self.rows[row].item as usize];
        let last = row + 1 == section.rows.end as usize;
        self.rows[row].start..if last { section.needed } else { self.rows[row + 1].start }
    }

    /// From where to where a supply lies on its item's line.
    pub(super) fn span_of_lot(&self, lot: usize) -> Range<u64> {
        let section = &self.sections[self.lots[lot].item as usize];
        let last = lot + 1 == section.lots.end as usize;
        self.lots[lot].start..if last { section.supplied } else { self.lots[lot + 1].start }
    }

    /// The supplies over a part of an item's line, the item being `row`'s, with what each covers of it.
    pub(super) fn lots_over(&self, row: usize, part: Range<u64>) -> impl Iterator<Item = (u32, Range<u64>)> {
        let lots = self.sections[self.rows[row].item as usize].lots.clone();
        let slice = &self.lots[lots.start as usize..lots.end as usize];
        let first = slice.partition_point(|lot| lot.start <= part.start).saturating_sub(1) as u32;
        (lots.start + first..lots.end)
            .map(move |lot| (lot, overlap(&part, &self.span_of_lot(lot as usize))))
            .take_while(|(_, span)| span.start < span.end)
    }

    /// The requirements over a supply, with what each covers of its item's line.
    pub(super) fn rows_over(&self, lot: usize) -> impl Iterator<Item = (u32, Range<u64>)> {
        let whole = self.span_of_lot(lot);
        let rows = self.sections[self.lots[lot].item as usize].rows.clone();
        let slice = &self.rows[rows.start as usize..rows.end as usize];
        let first = slice.partition_point(|row| row.start <= whole.start).saturating_sub(1) as u32;
        (rows.start + first..rows.end)
            .map(move |row| (row, overlap(&whole, &self.span_of_row(row as usize))))
            .take_while(|(_, span)| span.start < span.end)
    }

    fn show_order(&self, index: u32) -> PlannedOrder {
        let order = &self.orders[index as usize];
        let section = &self.sections[order.item as usize];
        PlannedOrder {
            item: section.id,
            version: section.made.then_some(order.version),
            quantity: Quantity(order.quantity),
            net: Quantity(order.net),
            release: order.release,
            due: order.due,
            ready: order.ready,
            lead_days: order.lead_days,
        }
    }

    fn show_row(&self, row: usize) -> Requirement {
        let (place, span) = (&self.rows[row], self.span_of_row(row));
        let quantity = Quantity(span.end - span.start);
        Requirement {
            item: self.sections[place.item as usize].id,
            quantity,
            day: place.day,
            ready: self.ready_of_row(row).max(place.day),
            need: place.need,
        }
    }

    /// When the last of what a requirement is pegged to is there, be it long before.
    pub(super) fn ready_of_row(&self, row: usize) -> Day {
        let ready = self.lots_over(row, self.span_of_row(row)).map(|(lot, _)| self.lots[lot as usize].ready).max();
        ready.unwrap_or(self.planning_date)
    }

    fn show_lot(&self, lot: usize) -> Supply {
        let (place, span) = (&self.lots[lot], self.span_of_lot(lot));
        Supply {
            item: self.sections[place.item as usize].id,
            quantity: Quantity(span.end - span.start),
            day: place.day,
            ready: place.ready,
            origin: place.origin,
        }
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> Range<u64> {
    a.start.max(b.start)..a.end.min(b.end)
}
