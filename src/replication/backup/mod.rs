//! Backups of a running cluster: who makes one, when, and from what.
//!
//! Every node that has a target looks at it from time to time, and keeps its log until that is backed up. The
//! leader decides by the [`schedule`] what is due and gives the [`work`] to a follower, so that it has
//! nothing to do with it itself; what is made and found lies in the target, nothing else is remembered.
//! If two nodes should ever do the same work, that costs space and nothing else.
//! [`keeper`] is all of this put together, [`hold`] what keeps the log.

pub mod hold;
pub mod keeper;
mod log;
pub mod schedule;
pub mod work;

pub use hold::Hold;
pub use keeper::{BackupStatus, Keeper, KeeperOptions, RunError};
pub use schedule::{Schedule, Words};
pub use work::Work;
