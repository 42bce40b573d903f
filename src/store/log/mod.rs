//! The replicated log and the vote: one stream of records, group-committed by one thread.

use std::path::Path;

use bytes::Bytes;

use super::file::Disk;
use super::{Position, StoreError};
use crate::core::types::LogIndex;

/// Called once what was asked is on disk, or has failed for good. Runs on the log thread: be brief.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// One entry of the log; its bytes mean nothing to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Where it stands.
    pub position: Position,
    /// What it holds.
    pub bytes: Bytes,
}

/// What the log holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogBounds {
    /// The last entry that was purged.
    pub purged: Option<Position>,
    /// The last entry; the last purged one if there is none.
    pub last: Option<Position>,
}

/// How the log behaves.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Size of a segment file, in bytes. An entry must fit one.
    pub segment_bytes: u64,
    /// Memory for recent entries, in bytes of content.
    pub cache_bytes: usize,
    /// Content queued for the log thread, in bytes, at which [`Log::append`] waits for it.
    pub queue_bytes_max: usize,
    /// Most content written and synced as one group, in bytes.
    pub group_bytes_max: usize,
    /// Purged segments kept for use again; the others are deleted.
    pub spares_max: usize,
    /// Whether a log may be created where there is none.
    pub create: bool,
    /// Where it lies.
    pub disk: Disk,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            cache_bytes: 32 << 20,
            queue_bytes_max: 64 << 20,
            group_bytes_max: 4 << 20,
            spares_max: 4,
            create: true,
            disk: Disk::real(),
        }
    }
}

/// A handle to the log. When the last one is dropped, the log thread writes what is queued and ends.
#[derive(Debug, Clone)]
pub struct Log {}

/// The body of the log thread.
#[derive(Debug)]
pub struct LogWriter {}

impl LogWriter {
    /// Writes and syncs what is asked of the log until it is closed or fails.
    ///
    /// # Errors
    /// The error that ended it, which every waiting and later caller got too. The node must stop.
    pub fn run(self) -> Result<(), StoreError> {
        todo!()
    }
}

#[allow(unused_variables)]
impl Log {
    /// Opens the log in `dir`, creating it if there is none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where bytes are not what was synced; [`StoreError::Locked`]; I/O.
    pub fn open(dir: &Path, options: LogOptions) -> Result<(Self, LogWriter), StoreError> {
        todo!()
    }

    /// What the log holds, counting what is still queued.
    #[must_use]
    pub fn bounds(&self) -> LogBounds {
        todo!()
    }

    /// The last vote saved.
    #[must_use]
    pub fn vote(&self) -> Option<Bytes> {
        todo!()
    }

    /// The last commit mark saved; after a crash it can be an older one.
    #[must_use]
    pub fn committed(&self) -> Option<Bytes> {
        todo!()
    }

    /// Saves the vote.
    pub fn save_vote(&self, vote: Bytes, done: Done) {
        todo!()
    }

    /// Saves the commit mark with the next group, without a sync of its own.
    pub fn save_committed(&self, committed: Bytes) {
        todo!()
    }

    /// Appends entries that follow the last one. They can be read at once. Waits only while
    /// [`LogOptions::queue_bytes_max`] are queued.
    pub fn append(&self, entries: Vec<LogEntry>, done: Done) {
        todo!()
    }

    /// Removes all entries behind `last`; all that are not purged when `None`.
    pub fn truncate_after(&self, last: Option<Position>, done: Done) {
        todo!()
    }

    /// Removes all entries up to `position`, which may lie behind the last one (after a snapshot).
    pub fn purge_to(&self, position: Position, done: Done) {
        todo!()
    }

    /// The entries from `from` on that the log still holds, up to `bytes_max` of content but at least one.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where an entry is not what was written; I/O; the error that ended the log.
    pub fn read(&self, from: LogIndex, to_exclusive: LogIndex, bytes_max: usize) -> Result<Vec<LogEntry>, StoreError> {
        todo!()
    }

    /// The position of the entry with this index: also of the last purged one. `None` when there is none.
    ///
    /// # Errors
    /// The error that ended the log.
    pub fn position_of(&self, index: LogIndex) -> Result<Option<Position>, StoreError> {
        todo!()
    }

    /// Ends the log thread once it has written what is queued. Later calls fail with [`StoreError::Closed`].
    pub fn close(&self) {
        todo!()
    }
}
