//! What a calculation starts from besides the network: demand, stock, what is under way, the calendar.

use super::calendar::{Calendar, Day};
use crate::types::{AssetId, Quantity};

/// All that a calculation is told. A what-if is another one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// The working days.
    pub calendar: Calendar,
    /// The first day that anything can be done on.
    pub planning_date: Day,
    /// What is free to be used, per item; an item that is named twice has the sum.
    pub available: Vec<Stock>,
    /// What will come in anyway: open purchases and work orders.
    pub receipts: Vec<Receipt>,
    /// What is asked for.
    pub demands: Vec<Demand>,
}

/// What is free to be used of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stock {
    /// The item.
    pub item: AssetId,
    /// Available: on hand and not reserved. An account below zero has none.
    pub quantity: Quantity,
}

/// Something that will come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The item.
    pub item: AssetId,
    /// How much.
    pub quantity: Quantity,
    /// When. What is overdue is taken to come on the planning date.
    pub due: Day,
}

/// A line of demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// The caller's number of the line: of lines that are due on one day, the lower one is served first.
    pub id: u64,
    /// The item.
    pub item: AssetId,
    /// How much.
    pub quantity: Quantity,
    /// When it is needed. What is overdue is needed on the planning date.
    pub due: Day,
}

/// The most planned orders of one calculation: some 200 megabytes.
pub const ORDERS_MAX: usize = 5_000_000;
/// The most requirements and by-products of one calculation: some 600 megabytes.
pub const REQUIREMENTS_MAX: usize = 20_000_000;

/// Why requirements cannot be calculated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanError {
    /// Demand, stock or a receipt names something that is no item of the network.
    UnknownItem(AssetId),
    /// A quantity of the item, or the sum of what is needed or comes in, does not fit 63 bits.
    Overflow(AssetId),
    /// An order of the item would take so long that there is no such day.
    NoSuchDay(AssetId),
    /// More orders than [`ORDERS_MAX`]. The item has the most of them: its fixed lot is too small for what is
    /// needed of it, since each lot is an order.
    TooManyOrders(AssetId),
    /// More requirements and by-products than [`REQUIREMENTS_MAX`], when it was the item's turn.
    TooManyRequirements(AssetId),
}

impl PlanError {
    /// In words, with items by the names that `name` has for them.
    #[must_use]
    pub fn told(&self, name: &dyn Fn(AssetId) -> String) -> String {
        match self {
            Self::UnknownItem(id) => format!("there is no item {}", name(*id)),
            Self::Overflow(id) => format!("a quantity of item {} does not fit 63 bits", name(*id)),
            Self::NoSuchDay(id) => format!("an order of item {} takes longer than there are days", name(*id)),
            Self::TooManyOrders(id) => {
                format!("more than {ORDERS_MAX} planned orders, most of them for item {}", name(*id))
            }
            Self::TooManyRequirements(id) => {
                format!("more than {REQUIREMENTS_MAX} requirements, at item {}", name(*id))
            }
        }
    }
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.told(&|id| id.to_string()))
    }
}

impl std::error::Error for PlanError {}
