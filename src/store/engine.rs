//! The state machine on disk: applies committed log entries to the ledger, and keeps what follows.
//!
//! An [`Engine`] lives on the apply thread. It owns the ledger in memory and writes nothing itself:
//! changed pages, full index tables and the journal's blocks go to the [`Persister`], on a thread of
//! its own, written behind the log. What was not written when the process ends is applied again
//! from the log. Any error is final: the node has to stop, and recovers at the next start.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::identity::ClusterId;
use super::index::IndexReader;
use super::journal::JournalReader;
use super::persister::Persister;
use super::snapshot::{ReceivedSnapshot, SnapshotJob, Snapshots};
use super::{Disk, Position, StoreError};
use crate::core::event::Effects;
use crate::core::types::{LogIndex, Sequence, Timestamp};
use crate::core::{Ledger, StateDigest};

/// What one committed log entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Nothing: a new leader's first entry.
    Blank,
    /// An encoded [`Proposal`](crate::core::command::Proposal).
    Commands(&'a [u8]),
    /// A membership, whose bytes mean nothing to the store.
    Membership(&'a [u8]),
}

/// How far the state has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The last entry applied; `None` before the first.
    pub position: Option<Position>,
    /// The last membership applied, with the entry that set it.
    pub membership: Option<(Position, Bytes)>,
    /// The last event.
    pub sequence: Sequence,
}

/// What is told after every entry, when all that it did can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The last event.
    pub sequence: Sequence,
    /// The entry.
    pub position: Position,
    /// When the next order or pending transfer is due to expire.
    pub next_deadline: Option<Timestamp>,
}

/// How an engine runs. Sizes are in bytes.
pub struct EngineOptions {
    /// The disk. sled alone goes past it.
    pub disk: Disk,
    /// The cluster, written into snapshots and checked in received ones.
    pub cluster: ClusterId,
    /// What the log no longer holds: a state older than this cannot be brought up from the log.
    pub log_purged: Option<Position>,
    /// How often the state is written.
    pub sync_interval: Duration,
    /// Changed pages at which the state is written earlier, and the apply thread waits for it.
    pub dirty_bytes_max: usize,
    /// Journal blocks not written yet at which the apply thread waits.
    pub journal_backlog_bytes_max: usize,
    /// How long the persister may work on one piece before it is taken for hung.
    pub persister_silence_max: Duration,
    /// Memory for journal blocks that were read.
    pub journal_cache_bytes: usize,
    /// Called on the apply thread after every entry; be brief.
    pub on_published: Box<dyn Fn(Published) + Send>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            disk: Disk::real(),
            cluster: ClusterId::default(),
            log_purged: None,
            sync_interval: Duration::from_millis(500),
            dirty_bytes_max: 32 << 20,
            journal_backlog_bytes_max: 64 << 20,
            persister_silence_max: Duration::from_secs(60),
            journal_cache_bytes: 8 << 20,
            on_published: Box::new(|_| {}),
        }
    }
}

impl std::fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineOptions").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// What history is read from, on any thread. Cheap handles.
#[derive(Debug, Clone)]
pub struct Readers {
    /// Every record.
    pub journal: JournalReader,
    /// Where in the journal to look.
    pub index: IndexReader,
}

/// The state's digests at the last applied indexes that are multiples of [`Digests::EVERY`].
#[derive(Debug, Clone, Default)]
pub struct Digests {}

impl Digests {
    /// Indexes between two of them.
    pub const EVERY: u64 = 256;

    /// How many are remembered.
    pub const COUNT: usize = 64;

    /// The digests, oldest first.
    #[must_use]
    pub fn recent(&self) -> Vec<(LogIndex, StateDigest)> {
        todo!()
    }
}

/// The ledger with its store. Lives on the apply thread.
#[derive(Debug)]
pub struct Engine {}

#[allow(unused_variables)]
impl Engine {
    /// Opens the data folder `dir` and brings the state, journal and index to one point, from which the
    /// log is to be applied again. [`Persister::run`] must be running before the first
    /// [`Engine::apply`].
    ///
    /// # Errors
    /// When the disk fails, or what is damaged cannot be rebuilt from the folder.
    pub fn open(dir: &Path, options: EngineOptions) -> Result<(Self, Persister), StoreError> {
        todo!()
    }

    /// How far the state has come.
    #[must_use]
    pub fn applied(&self) -> Applied {
        todo!()
    }

    /// Applies the next committed entry. Waits while the persister is too far behind.
    ///
    /// # Errors
    /// A fault of the disk, of the persister, or an entry that cannot be one. The node must stop.
    pub fn apply(&mut self, position: Position, payload: Payload<'_>) -> Result<Arc<Effects>, StoreError> {
        todo!()
    }

    /// To be called when there is nothing to apply, about once a second: writes what is due, and finds
    /// a persister that failed.
    ///
    /// # Errors
    /// As [`Engine::apply`].
    pub fn idle(&mut self) -> Result<(), StoreError> {
        todo!()
    }

    /// Writes everything and ends the persister. Not needed for safety; the next start is faster.
    ///
    /// # Errors
    /// As [`Engine::apply`].
    pub fn close(self) -> Result<(), StoreError> {
        todo!()
    }

    /// The live state.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        todo!()
    }

    /// The digest of the live state.
    #[must_use]
    pub fn digest(&self) -> StateDigest {
        todo!()
    }

    /// The recent digests, to be compared with other nodes'.
    #[must_use]
    pub fn digests(&self) -> Digests {
        todo!()
    }

    /// What history is read from.
    #[must_use]
    pub fn readers(&self) -> Readers {
        todo!()
    }

    /// The snapshot files.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots {
        todo!()
    }

    /// Takes the state as it is now, without copying it, to be written by [`SnapshotJob::run`] on
    /// another thread.
    pub fn begin_snapshot(&mut self) -> SnapshotJob {
        todo!()
    }

    /// Replaces the state by a received snapshot, and appends the journal records that came with it.
    /// A crash at any moment leaves either the old state or the new one.
    ///
    /// # Errors
    /// As [`Engine::apply`]; also when the snapshot is not newer than the state or does not fit
    /// the journal.
    pub fn install(&mut self, received: ReceivedSnapshot) -> Result<(), StoreError> {
        todo!()
    }
}
