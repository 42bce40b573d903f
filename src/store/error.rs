//! What can go wrong with the disk. Every one of these is a fault of the machine (or of the setup)
//! and ends the node: nothing here is ever a client's mistake.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::core::types::{LogIndex, Sequence};

/// A fault of the store. Cheap to clone: a failed log gives the same error to every later caller.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// An operation on a file failed. Never tried again: after a failed sync nobody knows what is on disk.
    #[error("cannot {what} {}{}: {source}", path.display(), from_byte(*at))]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// From which byte on, where it was a part of a file.
        at: Option<u64>,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The disk is full, or the quota used up.
    #[error("no space left: cannot {what} {}{}", path.display(), from_byte(*at))]
    Full {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// From which byte on, where it was a part of a file.
        at: Option<u64>,
    },
    /// Bytes that were once written and synced are not what they were.
    #[error("{} is damaged at byte {offset}: {reason}", path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// Another process (or another part of this one) has the folder open.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The folder belongs to another cluster or node.
    #[error("{} belongs to {what} {found}, not {expected}", path.display())]
    WrongIdentity {
        /// The identity file.
        path: PathBuf,
        /// `cluster` or `node`.
        what: &'static str,
        /// Who we are.
        expected: String,
        /// Whose folder it is.
        found: String,
    },
    /// The folder was written by a newer version of the program.
    #[error("{} has format {found}, this version knows up to {known}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The folder was written by an older version of the program, whose format is no longer read.
    #[error("{} has format {found}, this version reads {known}: it was written by an older version", path.display())]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format that is read here.
        known: u32,
    },
    /// A file or folder that must be there is not.
    #[error("{} is missing: {reason}", path.display())]
    Missing {
        /// What is missing.
        path: PathBuf,
        /// Why it must be there.
        reason: &'static str,
    },
    /// A folder that must be new is not.
    #[error("{} is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A restore into the folder was begun and not finished.
    #[error("{} says that a restore was begun here and not finished: finish it, or remove the folder", path.display())]
    Unfinished {
        /// What says so.
        path: PathBuf,
    },
    /// The journal ends before the sequence that the state has reached.
    #[error("the journal {} ends at {have}, the state is at {need}", path.display())]
    JournalShort {
        /// The journal's folder.
        path: PathBuf,
        /// The last sequence it holds.
        have: Sequence,
        /// The sequence it must hold.
        need: Sequence,
    },
    /// Log entries were given that do not follow the last one.
    #[error("log entry {found} does not follow: expected {expected}")]
    EntryOutOfOrder {
        /// The index that would follow.
        expected: LogIndex,
        /// The index that was given.
        found: LogIndex,
    },
    /// Journal records were given that do not follow the last one.
    #[error("journal record {found} does not follow: expected {expected}")]
    RecordOutOfOrder {
        /// The sequence that would follow.
        expected: Sequence,
        /// The sequence that was given.
        found: Sequence,
    },
    /// Journal records from a peer that cannot be read.
    #[error("journal records from a peer are malformed: {reason}")]
    Malformed {
        /// What is wrong with them.
        reason: String,
    },
    /// One entry or record is larger than the files allow.
    #[error("{bytes} bytes in one piece, at most {max} are possible")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The thread that writes does not come back from the disk.
    #[error("writing to {} has not moved for {seconds} s", path.display())]
    Hung {
        /// What is being written.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A committed log entry that the ledger cannot take: the log is not the one it made.
    #[error("log entry {position} cannot be applied: {reason}")]
    BadEntry {
        /// Where it stands.
        position: super::Position,
        /// What is wrong with it.
        reason: String,
    },
    /// No state in the folder is whole and can be brought up to date from the log.
    #[error(
        "{} cannot be rebuilt: {reason}; the log no longer holds the beginning. Remove the node from its cluster \
         and add it again with an empty data folder under a new node id, or restore a backup", path.display()
    )]
    Unrecoverable {
        /// The state's folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

fn from_byte(at: Option<u64>) -> String {
    at.map_or_else(String::new, |at| format!(" from byte {at} on"))
}

impl StoreError {
    /// The error for a failed operation on a file.
    #[must_use]
    pub fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::failed(what, path, None, source)
    }

    /// The error for a failed operation on the part of a file that begins at this byte.
    #[must_use]
    pub fn io_at(what: &'static str, path: &Path, at: u64, source: io::Error) -> Self {
        Self::failed(what, path, Some(at), source)
    }

    fn failed(what: &'static str, path: &Path, at: Option<u64>, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { what, path, at },
            _ => Self::Io { what, path, at, source: Arc::new(source) },
        }
    }

    /// The error for bytes that are not what they were.
    #[must_use]
    pub fn corrupt(path: &Path, offset: u64, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), offset, reason: reason.into() }
    }

    /// Whether it speaks of what is stored, and not of how the process or the disk is doing.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::Missing { .. } => true,
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::InvalidData
                    | io::ErrorKind::InvalidInput
            ),
            _ => false,
        }
    }
}
