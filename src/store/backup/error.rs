//! What can go wrong with a backup. None of these ends the node: it goes on without, and says so.

use crate::core::types::{LogIndex, Sequence};
use crate::store::StoreError;

/// Why a backup was not written, is not good, or is not restored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackupError {
    /// The target does not do what it was asked.
    #[error("the backup target cannot {what} {name}: {reason}")]
    Target {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which object.
        name: String,
        /// What the target said.
        reason: String,
    },
    /// A part of a backup is not what was written.
    #[error("{part} is damaged: {reason}")]
    Damaged {
        /// The object.
        part: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A part that a manifest names is not there.
    #[error("{part} is missing")]
    Missing {
        /// The object.
        part: String,
    },
    /// The object was written by another version of the program.
    #[error("{part} has format {found}, this version reads format {known}")]
    OtherFormat {
        /// The object.
        part: String,
        /// Its format.
        found: u32,
        /// The format read here.
        known: u32,
    },
    /// The key file is not one, or not the one.
    #[error("the key: {reason}")]
    Key {
        /// What is wrong with it.
        reason: String,
    },
    /// There is no backup of this name.
    #[error("there is no backup {id}")]
    Unknown {
        /// The name.
        id: String,
    },
    /// The node is not as far as the backups are.
    #[error("this node has not caught up: {reason}")]
    NotCaughtUp {
        /// Why.
        reason: String,
    },
    /// There is nothing to be backed up yet.
    #[error("nothing was applied yet, so there is nothing to back up")]
    Empty,
    /// What the backup has to begin with has left the log: only one with an image can follow.
    #[error("the log begins at entry {have}, the backup before ends before entry {need}")]
    LogGone {
        /// The first entry that is still there.
        have: LogIndex,
        /// The first entry that the backup needs.
        need: LogIndex,
    },
    /// The target holds backups of another history.
    #[error(
        "backup {id} is of another history than this node's, although the cluster's name is the same: another cluster \
         writes to this target, or a restored one does under its old name"
    )]
    OtherHistory {
        /// The backup that does not fit.
        id: String,
    },
    /// What was asked for cannot be restored from what is there.
    #[error("{asked} cannot be restored: {reason}; the newest restorable point is {newest}")]
    NotRestorable {
        /// The point, in words.
        asked: String,
        /// What is missing.
        reason: String,
        /// The newest point that can be, in words.
        newest: String,
    },
    /// The log entries of the backup do not make the records of its journal.
    #[error("event {sequence}: the backup's log makes another record than its journal holds")]
    OtherRecord {
        /// The first event of the record.
        sequence: Sequence,
    },
    /// The restored state is not the one that was backed up.
    #[error("the restored state has the digest {found} after entry {index}, the backup says {expected}")]
    OtherState {
        /// The log entry.
        index: LogIndex,
        /// The digest of what was restored.
        found: String,
        /// The digest that the backup's manifest names.
        expected: String,
    },
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
    /// A fault of this machine's disk, or of what lies on it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    /// Whether it speaks of the bytes of a backup, and not of how the target or this machine is doing.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Missing { .. } | Self::OtherRecord { .. } | Self::OtherState { .. })
    }
}
