//! Snapshots: the whole state at one log position, in one plain file.
//!
//! Raft snapshots, backups and restores share the format (see [`file`]). A snapshot does not contain
//! the journal: a node that installs one fetches the journal records it lacks besides.

use std::path::PathBuf;

use super::checkpoint::Checkpoint;
use super::{Position, StoreError};
use crate::core::types::Sequence;

/// A verified snapshot file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// Names the snapshot, the same for the same state at the same position.
    pub id: String,
    /// What it is a snapshot of. Its position is always there.
    pub checkpoint: Checkpoint,
    /// The last entry it contains.
    pub position: Position,
    /// The length of the file, in bytes.
    pub bytes: u64,
    /// The file.
    pub path: PathBuf,
}

/// The snapshot files of a node. A cheap handle, for any thread.
#[derive(Debug, Clone)]
pub struct Snapshots {}

#[allow(unused_variables)]
impl Snapshots {
    /// The newest verified snapshot.
    #[must_use]
    pub fn latest(&self) -> Option<SnapshotMeta> {
        todo!()
    }

    /// Opens a snapshot to send it. It can be read to its end even when it is removed meanwhile.
    ///
    /// # Errors
    /// When it is gone, or cannot be read.
    pub fn send(&self, meta: &SnapshotMeta) -> Result<Outbox, StoreError> {
        todo!()
    }

    /// Begins to receive a snapshot; what was left of a transfer before is discarded.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn receive(&self, incoming: Incoming) -> Result<Inbox, StoreError> {
        todo!()
    }
}

/// A state that is to be written as a snapshot.
#[derive(Debug)]
pub struct SnapshotJob {}

impl SnapshotJob {
    /// Writes the file, syncs it, names it, reads it back and verifies it. Removes all snapshots but
    /// the newest two. Takes as long as the state is large.
    ///
    /// # Errors
    /// When the disk or the journal fails, or the file does not read back. The node must stop.
    pub fn run(self) -> Result<SnapshotMeta, StoreError> {
        todo!()
    }
}

/// What a sender announces of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incoming {
    /// The last entry it contains.
    pub position: Position,
    /// Where the journal that belongs to it ends.
    pub sequence: Sequence,
    /// The length of the file, in bytes.
    pub bytes: u64,
}

/// The receiving side of a transfer.
#[derive(Debug)]
pub struct Inbox {}

#[allow(unused_variables)]
impl Inbox {
    /// Writes bytes of the file, which come in order.
    ///
    /// # Errors
    /// [`StoreError::Malformed`] when they do not follow or are too many; a fault of the disk.
    pub fn write_chunk(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        todo!()
    }

    /// Keeps journal records as [`JournalReader::read_encoded`](super::journal::JournalReader::read_encoded)
    /// gave them, in order, from the end of this node's journal to the snapshot's sequence.
    ///
    /// # Errors
    /// [`StoreError::Malformed`] when they do not follow; a fault of the disk.
    pub fn append_journal(&mut self, encoded: &[u8]) -> Result<(), StoreError> {
        todo!()
    }

    /// Verifies the whole snapshot and that it is the announced one.
    ///
    /// # Errors
    /// [`StoreError::Malformed`] or [`StoreError::Corrupt`] when it is not; a fault of the disk.
    pub fn finish(self) -> Result<ReceivedSnapshot, StoreError> {
        todo!()
    }
}

/// A snapshot that came over the network, verified, not yet installed.
#[derive(Debug)]
pub struct ReceivedSnapshot {}

/// The sending side of a transfer.
#[derive(Debug)]
pub struct Outbox {}

#[allow(unused_variables)]
impl Outbox {
    /// The snapshot.
    #[must_use]
    pub fn meta(&self) -> &SnapshotMeta {
        todo!()
    }

    /// Up to `len_max` bytes of the file from `offset`; empty at its end.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_chunk(&self, offset: u64, len_max: usize) -> Result<bytes::Bytes, StoreError> {
        todo!()
    }
}
