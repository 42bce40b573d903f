//! What time brings about: orders and pending transfers that end by themselves.

use super::Ledger;
use crate::event::Effects;
use crate::types::{CancelReason, CommandId, OrderId, Stamp, Timestamp};

/// Something that ends at a time. Things due at one time end in the order of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// When.
    pub at: Timestamp,
    /// What.
    pub due: Due,
}

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// An open order.
    Order(OrderId),
    /// A pending transfer.
    Pending(CommandId),
}

impl Ledger {
    /// When the next pending transfer or order is due to expire.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|deadline| deadline.at)
    }

    /// Ends what is due, each as a record of its own.
    pub(super) fn end_due(&mut self, stamp: Stamp, effects: &mut Effects) {
        while let Some(&deadline) = self.deadlines.first().filter(|deadline| deadline.at <= stamp.time) {
            self.begin_record(stamp, None, effects);
            match deadline.due {
                Due::Order(id) => {
                    let slot = self.orders.slot(id).expect("an order leaves the deadlines when it ends");
                    self.cancel_resting(slot, CancelReason::Expired, effects);
                }
                Due::Pending(id) => self.expire_pending(id, effects),
            }
        }
    }
}
