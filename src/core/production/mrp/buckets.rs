//! The time-phased record of an item: the table that a planner reads, by buckets of days.

use super::calendar::Day;
use super::plan::{Need, Origin, Plan};
use crate::types::{AssetId, Quantity};

/// Stretches of days, one after the other. What lies before the first is shown in the first, what
/// lies behind the last in the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    starts: Vec<Day>,
}

impl Buckets {
    /// Buckets that begin on these days, or nothing when there are none or they do not ascend.
    #[must_use]
    pub fn new(starts: Vec<Day>) -> Option<Self> {
        (!starts.is_empty() && starts.is_sorted_by(|a, b| a < b)).then_some(Self { starts })
    }

    /// `count` buckets of `days` days each from `first` on, or nothing when either is zero or there are
    /// no such days.
    #[must_use]
    pub fn regular(first: Day, days: u32, count: u32) -> Option<Self> {
        let start = |bucket: u32| i32::try_from(i64::from(first.0) + i64::from(days) * i64::from(bucket)).ok().map(Day);
        start(count.checked_sub(1)?)?;
        Self::new((0..count).map_while(start).collect())
    }

    /// The first days.
    #[must_use]
    pub fn starts(&self) -> &[Day] {
        &self.starts
    }

    fn of(&self, day: Day) -> usize {
        self.starts.partition_point(|start| *start <= day).saturating_sub(1)
    }
}

/// One bucket of an item's time-phased record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Its first day.
    pub start: Day,
    /// What is needed, by demand and by orders that the item goes into.
    pub gross: Quantity,
    /// What comes in anyway: scheduled receipts, and by-products of planned orders.
    pub scheduled: Quantity,
    /// What is left at the end, if all goes as planned.
    pub projected: Quantity,
    /// What neither stock nor scheduled receipts cover, safety stock included: the net requirement, on
    /// the days that the orders for it are due.
    pub net: Quantity,
    /// Planned orders by the day they are due.
    pub planned_receipts: Quantity,
    /// Planned orders by the day they have to begin.
    pub planned_releases: Quantity,
}

impl Plan {
    /// The item's record, one bucket after the other; nothing when there is no such item.
    #[must_use]
    pub fn record(&self, item: AssetId, buckets: &Buckets) -> Option<Vec<Bucket>> {
        let section = self.section(item)?;
        let none = Quantity(0);
        let empty = |start: &Day| Bucket {
            start: *start,
            gross: none,
            scheduled: none,
            projected: none,
            net: none,
            planned_receipts: none,
            planned_releases: none,
        };
        // No sum can overflow: an item's requirements and its supplies each add up to 63 bits.
        let mut record: Vec<Bucket> = buckets.starts.iter().map(empty).collect();
        for (_, requirement) in self.requirements_of(item).filter(|(_, row)| row.need != Need::SafetyStock) {
            record[buckets.of(requirement.day)].gross.0 += requirement.quantity.0;
        }
        let mut on_hand = 0;
        for (_, supply) in self.supplies_of(item) {
            match supply.origin {
                Origin::Stock => on_hand += supply.quantity.0,
                Origin::Receipt(_) | Origin::ByProduct(_) => {
                    record[buckets.of(supply.day)].scheduled.0 += supply.quantity.0;
                }
                Origin::Order(_) => {}
            }
        }
        for order in &self.orders[section.orders.start as usize..section.orders.end as usize] {
            let due = &mut record[buckets.of(order.due)];
            due.planned_receipts.0 += order.quantity;
            due.net.0 += order.net;
            record[buckets.of(order.release)].planned_releases.0 += order.quantity;
        }
        for bucket in &mut record {
            on_hand += bucket.scheduled.0 + bucket.planned_receipts.0;
            // Requirements of a day are covered by what is there on that day, so of a bucket too.
            on_hand -= bucket.gross.0;
            bucket.projected = Quantity(on_hand);
        }
        Some(record)
    }
}
