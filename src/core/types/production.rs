//! The words of production and inventory.

use crate::codec::{Decode, DecodeError, Encode, Input, Output, newtype, numbered};

use super::Quantity;

newtype! {
    /// A plant, numbered by the client that defines it. Never zero.
    pub struct PlantId(u32);
}
newtype! {
    /// A version of a product's bill of materials, numbered by the client that defines it.
    pub struct BomVersion(u32);
}
newtype! {
    /// A work order: the [`Sequence`](super::Sequence) of the event that created it.
    pub struct WorkOrderId(u64);
}
newtype! {
    /// A production plan: the [`Sequence`](super::Sequence) of the event that created it.
    pub struct PlanId(u64);
}
newtype! {
    /// A line of demand of one plan, numbered by the client. Of lines that are due on one day, the lower
    /// number is served first.
    pub struct PlanLineId(u32);
}
newtype! {
    /// A planned purchase: the [`Sequence`](super::Sequence) of the event that planned it.
    pub struct PurchaseId(u64);
}
newtype! {
    /// Days since 1970-01-01: the calendar's unit. A plant's day begins when the plant says so.
    pub struct Day(i32);
}
newtype! {
    /// What is lost of a component on the way into the product, in millionths of what is needed.
    pub struct Attrition(u32);
}

impl Attrition {
    /// The denominator: all that is needed once more.
    pub const UNIT: u32 = 1_000_000;
}

impl Day {
    /// The day of the week: 0 is a Monday. 1970-01-01 was a Thursday.
    #[must_use]
    pub const fn weekday(self) -> u32 {
        (self.0.rem_euclid(7) as u32 + 3) % 7
    }
}

numbered! {
    /// Where an item comes from.
    pub enum Source {
        /// Work orders make it, by its bill of materials.
        Make = 1,
        /// It is bought.
        Buy = 2,
    }
}

/// How much is ordered at once to cover what is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LotRule {
    /// What is needed, no more.
    LotForLot,
    /// So many times this quantity.
    Fixed(Quantity),
    /// What is needed, at least `minimum`, rounded up to a multiple.
    Multiple {
        /// The least that is ordered.
        minimum: Quantity,
        /// Quantities are multiples of this, at least 1.
        multiple: Quantity,
    },
}

impl Encode for LotRule {
    fn encode<O: Output>(&self, out: &mut O) {
        match self {
            Self::LotForLot => out.put(&[1]),
            Self::Fixed(quantity) => {
                out.put(&[2]);
                quantity.encode(out);
            }
            Self::Multiple { minimum, multiple } => {
                out.put(&[3]);
                minimum.encode(out);
                multiple.encode(out);
            }
        }
    }
}

impl Decode for LotRule {
    const BYTES_MIN: usize = 1;

    fn decode<I: Input>(input: &mut I) -> Result<Self, DecodeError> {
        match u8::decode(input)? {
            1 => Ok(Self::LotForLot),
            2 => Ok(Self::Fixed(Quantity::decode(input)?)),
            3 => Ok(Self::Multiple { minimum: Quantity::decode(input)?, multiple: Quantity::decode(input)? }),
            tag => Err(DecodeError::UnknownTag("LotRule", tag)),
        }
    }
}

numbered! {
    /// Where a production plan stands. One that is closed is in no table.
    pub enum PlanState {
        /// Its demand concerns nobody yet but who calculates with it.
        Draft = 1,
        /// Orders were made for it; its demand is part of every calculation of its plant.
        Firmed = 2,
    }
}

numbered! {
    /// What a movement of stock is.
    pub enum StockMoveKind {
        /// Goods came in.
        Receipt = 1,
        /// Goods went out.
        Issue = 2,
        /// A difference was booked, with its reason.
        Adjustment = 3,
        /// A count found this much there; the difference was booked.
        Count = 4,
        /// Goods were thrown away.
        Scrap = 5,
        /// Goods went from one location to another.
        Move = 6,
    }
}

numbered! {
    /// What happens when more is issued to a work order than it requires.
    pub enum OverIssue {
        /// The issue is refused.
        Refuse = 1,
        /// It is carried out, and its event says how much was too much.
        Warn = 2,
    }
}

numbered! {
    /// Where a work order stands.
    pub enum WorkOrderState {
        /// Known, and holds nothing.
        Planned = 1,
        /// Its materials are reserved.
        Released = 2,
        /// Materials were issued, operations reported, or products completed.
        InProgress = 3,
        /// Nothing is left to make. Materials can still be returned.
        Completed = 4,
        /// Ended after work on it; holds nothing.
        Closed = 5,
        /// Ended before it was completed; holds nothing.
        Cancelled = 6,
    }
}

numbered! {
    /// What becomes of a work order by itself.
    pub enum WorkOrderChange {
        /// Work on it begins. A report of work says so too.
        Start = 1,
        /// It stops, and keeps what it holds: until it is resumed it can only be ended.
        Hold = 2,
        /// It goes on.
        Resume = 3,
        /// It ends with what was made of it, and gives back what it holds.
        Close = 4,
        /// It ends before it is completed, and gives back what it holds.
        Cancel = 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_begins_on_monday() {
        assert_eq!(Day(0).weekday(), 3, "1970-01-01 was a Thursday");
        assert_eq!(Day(15_512).weekday(), 3, "2012-06-21 was a Thursday");
        assert_eq!([4, 5, 10, 11, -1].map(|day| Day(day).weekday()), [0, 1, 6, 0, 2]);
    }

    #[test]
    fn a_lot_rule_reads_back_from_its_bytes() {
        let (minimum, multiple) = (Quantity(7), Quantity(5));
        for rule in [LotRule::LotForLot, LotRule::Fixed(Quantity(9)), LotRule::Multiple { minimum, multiple }] {
            assert_eq!(LotRule::from_bytes(&rule.to_bytes()), Ok(rule));
        }
        assert_eq!(LotRule::from_bytes(&[4]), Err(DecodeError::UnknownTag("LotRule", 4)));
    }
}
