//! What planted mistakes of the store do (see [`crate::core::planted`]).

use std::time::UNIX_EPOCH;

use crate::core::types::Timestamp;
use crate::machine;

/// Of so many changes one is lost.
const LOST_ONE_IN: u64 = 100;

/// Whether this change is lost.
pub(super) fn is_lost() -> bool {
    machine::random().is_multiple_of(LOST_ONE_IN)
}

/// The node's own clock.
pub(super) fn own_time() -> Timestamp {
    let since = machine::time_of_day().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
