//! Every record of the core for ever: hash-chained, compressed blocks, the same bytes on every node.

use std::path::Path;

use super::StoreError;
use super::file::Disk;
use crate::core::event::{Record, RecordView};
use crate::core::types::{Sequence, Timestamp};

/// A blake3 digest of a block and all before it.
pub type BlockDigest = [u8; 32];

/// How the journal behaves. What it writes does not depend on any of it.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// Memory for blocks that were read, in bytes.
    pub cache_bytes: usize,
    /// Where it lies.
    pub disk: Disk,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { cache_bytes: 8 << 20, disk: Disk::real() }
    }
}

/// The journal's one writer.
#[derive(Debug)]
pub struct Journal {}

/// Brings appended records to disk, on a thread of its own.
#[derive(Debug, Clone)]
pub struct JournalFlusher {}

/// Reads the journal, also what is not on disk yet.
#[derive(Debug, Clone)]
pub struct JournalReader {}

/// What [`verify_journal`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalReport {
    /// Segment files.
    pub segments: u64,
    /// Full blocks.
    pub blocks: u64,
    /// Records, those of the unfinished block included.
    pub records: u64,
    /// The last event's sequence; zero when there is none.
    pub last: Sequence,
    /// The digest of the last full block.
    pub digest: BlockDigest,
    /// Bytes behind the last whole block, as a crash leaves them; the next start cuts them.
    pub torn_bytes: u64,
}

/// Checks every block of the journal in `dir`: length, checksum, chain, records, numbering.
///
/// # Errors
/// [`StoreError::Corrupt`] at the first thing that is wrong; I/O.
#[allow(unused_variables)]
pub fn verify_journal(disk: &Disk, dir: &Path) -> Result<JournalReport, StoreError> {
    todo!()
}

#[allow(unused_variables)]
impl Journal {
    /// Opens the journal in `dir`, creating it if there is none, and cuts everything behind `keep`,
    /// the sequence of the last event to be kept.
    ///
    /// # Errors
    /// [`StoreError::JournalShort`] when it ends before `keep`; [`StoreError::Corrupt`] when it
    /// does because of damage; [`StoreError::Locked`]; I/O.
    pub fn open(dir: &Path, options: JournalOptions, keep: Sequence) -> Result<Self, StoreError> {
        todo!()
    }

    /// Appends the next record: in memory, for the flusher to write.
    ///
    /// # Panics
    /// When it does not follow the last one.
    pub fn append(&mut self, record: RecordView<'_>) {
        todo!()
    }

    /// Appends records as [`JournalReader::read_encoded`] gave them on another node. Returns the last sequence.
    ///
    /// # Errors
    /// [`StoreError::Malformed`] or [`StoreError::RecordOutOfOrder`]; nothing is appended then.
    pub fn append_encoded(&mut self, bytes: &[u8]) -> Result<Sequence, StoreError> {
        todo!()
    }

    /// The last event's sequence; zero when there is none.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        todo!()
    }

    /// The last sequence of the last full block written, and the digest of the chain there.
    #[must_use]
    pub fn head(&self) -> (Sequence, BlockDigest) {
        todo!()
    }

    /// Bytes appended in full blocks that the flusher has not written yet.
    #[must_use]
    pub fn backlog_bytes(&self) -> usize {
        todo!()
    }

    /// What brings the records to disk.
    #[must_use]
    pub fn flusher(&self) -> JournalFlusher {
        todo!()
    }

    /// What reads them.
    #[must_use]
    pub fn reader(&self) -> JournalReader {
        todo!()
    }
}

#[allow(unused_variables)]
impl JournalFlusher {
    /// Compresses and writes the full blocks that are waiting, without a sync.
    ///
    /// # Errors
    /// I/O, final: every later call fails too.
    pub fn write_out(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// On return everything up to `upto` is on disk for good; what is returned is up to where it is.
    ///
    /// # Errors
    /// I/O, final: every later call fails too. [`StoreError::JournalShort`] when `upto` was never appended.
    pub fn sync(&self, upto: Sequence) -> Result<Sequence, StoreError> {
        todo!()
    }

    /// Bytes appended in full blocks that are not written yet.
    #[must_use]
    pub fn backlog_bytes(&self) -> usize {
        todo!()
    }
}

#[allow(unused_variables)]
impl JournalReader {
    /// The first event's sequence, `None` when the journal is empty.
    #[must_use]
    pub fn first(&self) -> Option<Sequence> {
        todo!()
    }

    /// The last event's sequence, `None` when the journal is empty.
    #[must_use]
    pub fn last(&self) -> Option<Sequence> {
        todo!()
    }

    /// The record that holds this event, `None` when there is no such event.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where a block is not what was written; I/O.
    pub fn record_at(&self, sequence: Sequence) -> Result<Option<Record>, StoreError> {
        todo!()
    }

    /// Records in order, from the one that holds the event `from`: at most `records_max`, and as many as
    /// fit `bytes_max` of encoding but at least one. Empty when `from` is not there yet.
    ///
    /// # Errors
    /// As [`JournalReader::record_at`].
    pub fn read(&self, from: Sequence, records_max: usize, bytes_max: usize) -> Result<Vec<Record>, StoreError> {
        todo!()
    }

    /// The encoded records from the one that holds `from` to the one that holds `to`, as many as fit
    /// `bytes_max` but at least one, for [`Journal::append_encoded`]. Empty when `from` is not there yet.
    ///
    /// # Errors
    /// As [`JournalReader::record_at`].
    pub fn read_encoded(&self, from: Sequence, to: Sequence, bytes_max: usize) -> Result<Vec<u8>, StoreError> {
        todo!()
    }

    /// The last event at or before this time, `None` when all are later.
    ///
    /// # Errors
    /// As [`JournalReader::record_at`].
    pub fn sequence_at_time(&self, time: Timestamp) -> Result<Option<Sequence>, StoreError> {
        todo!()
    }

    /// The digest of the chain at the full block that ends with this event; `None` when no full block
    /// that has been written does.
    ///
    /// # Errors
    /// As [`JournalReader::record_at`].
    pub fn digest_at(&self, sequence: Sequence) -> Result<Option<BlockDigest>, StoreError> {
        todo!()
    }
}
