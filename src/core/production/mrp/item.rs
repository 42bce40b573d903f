//! What is planned: items with their bills of materials, lot rules and lead times, and the
//! arithmetic of one line, one lot and one order.

use super::calendar::{Calendar, Day};
pub use crate::types::LotRule;
use crate::types::{Amount, AssetId, Quantity};

/// The largest quantity: what a balance of the ledger can hold.
pub(super) const QUANTITY_MAX: u64 = i64::MAX as u64;

/// A material or product, and how more of it is got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The asset.
    pub id: AssetId,
    /// Where more of it comes from.
    pub source: Source,
    /// Which sizes an order may have.
    pub lot: LotRule,
    /// What must be left over for the unforeseen.
    pub safety_stock: Quantity,
    /// Whether it is never there for itself: where it is a component, what it is made of goes into
    /// the parent's order instead. Its operations, lot rule and stock count only where it is demanded
    /// for itself.
    pub phantom: bool,
}

/// Where more of an item comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It is bought.
    Buy {
        /// Working days from order to receipt.
        lead_days: u32,
    },
    /// It is made by one of these versions of its bill of materials: the last in effect on the day that
    /// the order is due, or the first of all when none is yet.
    Make(Vec<Bom>),
}

/// One version of a bill of materials: what one run takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bom {
    /// The caller's number of the version.
    pub version: u32,
    /// The first day that it is in effect. No two versions of an item begin on one day.
    pub effective_from: Day,
    /// What one run yields. An order need not be of whole runs; a lot rule can demand it.
    pub output: Quantity,
    /// What goes in.
    pub lines: Vec<Line>,
    /// What comes out besides, when the order is completed.
    pub by_products: Vec<ByProduct>,
    /// What is done, one after the other.
    pub operations: Vec<Operation>,
}

/// A component of a bill of materials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// What goes in.
    pub component: AssetId,
    /// How much of it one run takes.
    pub quantity: Quantity,
    /// What is lost on the way, on top of the quantity, in millionths of it: 50,000 are 5 %.
    pub attrition: u32,
    /// What an order takes besides, whatever its size.
    pub setup: Quantity,
    /// The sum is rounded up to a multiple of this. Zero is none.
    pub multiple: Quantity,
    /// Whether it goes in at all.
    pub presence: Presence,
}

/// Whether a line of a bill of materials counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It does.
    Required,
    /// It need not, and was chosen.
    Chosen,
    /// It need not, and was not chosen. It is known to cycles and where-used alone.
    LeftOut,
}

impl Presence {
    /// Whether the line is part of what is made.
    #[must_use]
    pub const fn counts(self) -> bool {
        !matches!(self, Self::LeftOut)
    }
}

/// What a run yields besides its product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByProduct {
    /// What comes out.
    pub item: AssetId,
    /// How much of it one run gives.
    pub quantity: Quantity,
}

/// A step of making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Working time before the first run of an order, in seconds.
    pub setup_seconds: u32,
    /// Working time of one run, in seconds.
    pub run_seconds: u32,
    /// Working days on top: waiting, drying, the way to a subcontractor.
    pub lead_days: u32,
    /// What the work centre costs, in the money's smallest unit per hour of working time.
    pub cost_per_hour: Amount,
}

/// A quantity did not fit 63 bits. The caller knows of which item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

impl std::fmt::Display for Overflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a quantity does not fit 63 bits")
    }
}

impl std::error::Error for Overflow {}

impl LotRule {
    /// The orders that cover a need above zero: how many, and the size of each.
    ///
    /// # Errors
    /// When the size does not fit.
    pub fn orders_for(self, need: Quantity) -> Result<(u64, Quantity), Overflow> {
        match self {
            Self::LotForLot => Ok((1, need)),
            Self::Fixed(size) => Ok((need.0.div_ceil(size.0), size)),
            Self::Multiple { minimum, multiple } => {
                let size = rounded_up(u128::from(need.max(minimum).0), multiple.0)?;
                Ok((1, Quantity(size)))
            }
        }
    }
}

/// What goes into, and comes out of, one order: the same for the plan and for the work order.
impl Bom {
    /// What an order of this size takes by the line: quantity and attrition, rounded up, then the
    /// set-up quantity, then rounded up to the multiple.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn required(&self, line: &Line, order: Quantity) -> Result<Quantity, Overflow> {
        line.required(order, self.output)
    }

    /// What an order of this size yields of the by-product, rounded down: only what is sure is promised.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn yielded(&self, by_product: &ByProduct, order: Quantity) -> Result<Quantity, Overflow> {
        by_product.yielded(order, self.output)
    }

    /// Working time of an order of this size, in seconds, rounded up.
    #[must_use]
    pub fn work_seconds(&self, order: Quantity) -> u128 {
        Work::of(&self.operations).seconds(order, self.output)
    }

    /// Working days from the release of an order of this size to its completion: the operations'
    /// days, and their working time in days, rounded up once.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn lead_days(&self, order: Quantity, calendar: &Calendar) -> Result<u32, Overflow> {
        Work::of(&self.operations).lead_days(order, self.output, calendar)
    }
}

impl Line {
    pub(super) fn required(&self, order: Quantity, output: Quantity) -> Result<Quantity, Overflow> {
        let base = u128::from(self.quantity.0) * u128::from(order.0);
        let with_losses = if self.attrition == 0 {
            base.div_ceil(u128::from(output.0))
        } else {
            let parts = base.checked_mul(u128::from(MILLION + u64::from(self.attrition))).ok_or(Overflow)?;
            parts.div_ceil(u128::from(output.0) * u128::from(MILLION))
        };
        let all = with_losses.checked_add(u128::from(self.setup.0)).ok_or(Overflow)?;
        rounded_up(all, self.multiple.0).map(Quantity)
    }
}

impl ByProduct {
    pub(super) fn yielded(&self, order: Quantity, output: Quantity) -> Result<Quantity, Overflow> {
        let base = u128::from(self.quantity.0) * u128::from(order.0);
        fitting(base / u128::from(output.0)).map(Quantity)
    }
}

const MILLION: u64 = 1_000_000;

/// The working time of a bill's operations, summed up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Work {
    setup_seconds: u64,
    run_seconds: u64,
    days: u64,
}

impl Work {
    pub(super) fn of(operations: &[Operation]) -> Self {
        operations.iter().fold(Self::default(), |sum, operation| Self {
            setup_seconds: sum.setup_seconds + u64::from(operation.setup_seconds),
            run_seconds: sum.run_seconds + u64::from(operation.run_seconds),
            days: sum.days + u64::from(operation.lead_days),
        })
    }

    pub(super) fn seconds(self, order: Quantity, output: Quantity) -> u128 {
        let runs = (u128::from(self.run_seconds) * u128::from(order.0)).div_ceil(u128::from(output.0));
        u128::from(self.setup_seconds) + runs
    }

    pub(super) fn lead_days(self, order: Quantity, output: Quantity, calendar: &Calendar) -> Result<u32, Overflow> {
        let worked = self.seconds(order, output).div_ceil(u128::from(calendar.seconds_per_day()));
        u32::try_from(worked + u128::from(self.days)).map_err(|_| Overflow)
    }
}

fn rounded_up(quantity: u128, multiple: u64) -> Result<u64, Overflow> {
    if multiple <= 1 {
        return fitting(quantity);
    }
    fitting(quantity.div_ceil(u128::from(multiple)) * u128::from(multiple))
}

fn fitting(quantity: u128) -> Result<u64, Overflow> {
    u64::try_from(quantity).ok().filter(|quantity| *quantity <= QUANTITY_MAX).ok_or(Overflow)
}

/// The sum, when it fits.
pub(super) fn sum(a: u64, b: u64) -> Result<u64, Overflow> {
    fitting(u128::from(a) + u128::from(b))
}
