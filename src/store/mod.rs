//! All that is kept on disk, and the only layer that touches files.
//!
//! [`log`] is the replicated log and the vote, the truth until it is purged. [`journal`] is every
//! record of the core for ever. [`identity`] says whose folder it is. Every operation on a file
//! goes through [`mod@file`], so that a test can be the disk. Threads here are plain OS threads: this
//! layer blocks, and knows nothing of tokio. It may call the core; replication and the service call it.

pub mod backup;
pub mod checkpoint;
mod chunked;
mod dry_run;
pub mod engine;
pub mod error;
pub mod file;
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
pub mod identity;
pub mod image;
pub mod index;
pub mod journal;
pub mod log;
pub mod persister;
mod planted;
mod recovery;
pub mod repair;
mod segment;
mod sled_sync;
pub mod snapshot;
mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod unpack;
pub mod verify;
pub mod vote;

pub use engine::Readers;
pub use error::StoreError;
pub use file::Disk;

use crate::core::types::{LogIndex, Term};

/// A place in the replicated log. Ordered by term, then index, as Raft compares logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The term of the leader that wrote the entry.
    pub term: Term,
    /// Its index.
    pub index: LogIndex,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.term, self.index)
    }
}
