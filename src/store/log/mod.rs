//! The replicated log and the vote: one stream of records in segment files, written by one thread.
//!
//! Whatever is asked of a [`Log`] changes its view in memory at once and is queued; the log thread
//! ([`LogWriter::run`]) takes all that is queued, writes it as one group, syncs once, and then calls
//! back in order. Vote, truncation and purge are records in the same stream, so that their order
//! among the entries is the order on disk. A failed write or sync ends the log for good.
//!
//! `view` is what is known in memory, `shared` the queue, `writer` the log thread, `spares` the
//! making of segments ahead of their use, `read` the way back from disk, `recovery` the opening.
//! The bytes of segments and records are those of [`segment`](super::segment).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::file::Disk;
use super::segment::SEGMENT_BYTES_MAX;
use super::vote::VoteCopy;
use super::{Position, StoreError};
use crate::core::types::LogIndex;

mod files;
mod read;
mod recovery;
mod shared;
mod spares;
mod sync_times;
#[cfg(test)]
mod tests;
mod view;
mod writer;

#[cfg(any(test, feature = "testing"))]
pub(super) use files::segment_path;
use shared::{Ask, Shared};
pub use sync_times::SyncTimes;
pub use writer::LogWriter;

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
    /// Purged segments kept for use again; the others are deleted. As many as a snapshot frees at once: the log of
    /// a busy node then goes on in segments that it had, and none is filled with zeroes first.
    pub spares_max: usize,
    /// Whether a log may be created where there is none.
    pub create: bool,
    /// Where the vote is kept a second time, if it is.
    pub vote_copy: Option<VoteCopy>,
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
            spares_max: 16,
            create: true,
            vote_copy: None,
            disk: Disk::real(),
        }
    }
}

/// Smaller segments would have no room for marks and entries.
pub const SEGMENT_BYTES_MIN: u64 = 16 << 10;
/// The largest vote or commit mark, in bytes.
pub const MARK_BYTES_MAX: usize = 1 << 10;

/// A handle to the log. When the last one is dropped, the log thread writes what is queued and ends.
#[derive(Debug, Clone)]
pub struct Log {
    handle: Arc<Handle>,
    entry_bytes_max: u64,
    segment_bytes: u64,
}

#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn fits(bytes: usize, max: u64) -> Result<(), StoreError> {
    if bytes as u64 <= max { Ok(()) } else { Err(StoreError::TooLarge { bytes: bytes as u64, max }) }
}

impl Log {
    /// Opens the log in `dir`, creating it if there is none and [`LogOptions::create`] allows it.
    ///
    /// A torn tail that was never acknowledged is cut.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Missing`] where the files are not what was synced, also
    /// when the vote's second copy is newer than the log's; [`StoreError::Locked`]; I/O.
    ///
    /// # Panics
    /// When [`LogOptions::segment_bytes`] is out of its bounds or not a multiple of 4 KiB.
    pub fn open(dir: &Path, options: LogOptions) -> Result<(Self, LogWriter), StoreError> {
        let size = options.segment_bytes;
        assert!((SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&size) && size.is_multiple_of(4096));
        let writer = recovery::open(dir, options)?;
        let handle = Arc::new(Handle(Arc::clone(&writer.shared)));
        Ok((Self { handle, entry_bytes_max: writer::entry_bytes_max(size), segment_bytes: size }, writer))
    }

    /// Makes a log in the empty folder `dir` that holds nothing but a vote. On return it is on disk.
    ///
    /// # Errors
    /// I/O.
    pub fn create_with_vote(disk: &Disk, dir: &Path, segment_bytes: u64, vote: &[u8]) -> Result<(), StoreError> {
        disk.create_folder(dir)?;
        recovery::create_first(disk, dir, segment_bytes, 1, Some(vote))
    }

    fn shared(&self) -> &Shared {
        &self.handle.0
    }

    /// What the log holds, counting what is still queued.
    #[must_use]
    pub fn bounds(&self) -> LogBounds {
        self.shared().lock().view.bounds()
    }

    /// The last vote saved.
    #[must_use]
    pub fn vote(&self) -> Option<Bytes> {
        self.shared().lock().view.vote.clone()
    }

    /// The last commit mark saved; after a crash it can be an older one.
    #[must_use]
    pub fn committed(&self) -> Option<Bytes> {
        self.shared().lock().view.committed.clone()
    }

    /// Saves the vote, at most [`MARK_BYTES_MAX`] long.
    pub fn save_vote(&self, vote: Bytes, done: Done) {
        self.shared().enqueue(done, |view| {
            fits(vote.len(), MARK_BYTES_MAX as u64)?;
            view.vote = Some(vote.clone());
            Ok(Ask::Vote(vote))
        });
    }

    /// Saves the commit mark, at most [`MARK_BYTES_MAX`] long, with the next group, without a sync of
    /// its own. A longer one, or one for a log that has ended, is not saved.
    pub fn save_committed(&self, committed: Bytes) {
        let mut inner = self.shared().lock();
        if inner.ended.is_none() && committed.len() <= MARK_BYTES_MAX {
            inner.view.committed = Some(committed.clone());
            inner.committed = Some(committed);
        }
    }

    /// The syncs so far.
    #[must_use]
    pub fn sync_times(&self) -> SyncTimes {
        self.shared().syncs.times()
    }

    /// How long the sync that runs now has been running.
    #[must_use]
    pub fn sync_running(&self) -> Option<Duration> {
        self.shared().syncs.running()
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.shared().dir
    }

    /// How much disk the segments in use take, in bytes.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.shared().lock().view.segments.len() as u64 * self.segment_bytes
    }

    /// The largest content of an entry, in bytes.
    #[must_use]
    pub fn entry_bytes_max(&self) -> u64 {
        self.entry_bytes_max
    }

    /// Appends entries that follow the last one. They can be read at once. Waits only while
    /// [`LogOptions::queue_bytes_max`] are queued.
    ///
    /// Entries that do not follow, or one that is too large, are refused; the log goes on.
    pub fn append(&self, entries: Vec<LogEntry>, done: Done) {
        let max = self.entry_bytes_max;
        self.shared().enqueue(done, |view| {
            entries.iter().try_for_each(|entry| fits(entry.bytes.len(), max))?;
            let first_serial = view.append(&entries)?;
            Ok(Ask::Append { entries, first_serial })
        });
    }

    /// Removes all entries behind `last`; all that are not purged when `None`.
    pub fn truncate_after(&self, last: Option<Position>, done: Done) {
        self.shared().enqueue(done, |view| {
            view.truncate_after(last);
            Ok(Ask::Truncate(last))
        });
    }

    /// Removes all entries up to `position`, which may lie behind the last one (after a snapshot).
    pub fn purge_to(&self, position: Position, done: Done) {
        self.shared().enqueue(done, |view| {
            view.purge_to(position);
            Ok(Ask::Purge(position))
        });
    }

    /// The entries from `from` on that the log still holds, up to `bytes_max` of content but at least one.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where an entry is not what was written; I/O; the error that ended the log.
    pub fn read(&self, from: LogIndex, to_exclusive: LogIndex, bytes_max: usize) -> Result<Vec<LogEntry>, StoreError> {
        let inner = self.shared().lock();
        if let Some(error) = &inner.ended {
            return Err(error.clone());
        }
        let found = inner.view.find(from, to_exclusive, bytes_max);
        drop(inner);
        read::load(found)
    }

    /// The position of the entry with this index: also of the last purged one. `None` when there is none.
    ///
    /// # Errors
    /// The error that ended the log.
    pub fn position_of(&self, index: LogIndex) -> Result<Option<Position>, StoreError> {
        let inner = self.shared().lock();
        match &inner.ended {
            Some(error) => Err(error.clone()),
            None => Ok(inner.view.position_of(index)),
        }
    }

    /// Ends the log thread once it has written what is queued. Later calls fail with [`StoreError::Closed`].
    pub fn close(&self) {
        self.shared().close();
    }
}
