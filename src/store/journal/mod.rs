//! Every record of the core for ever: hash-chained, compressed blocks, the same bytes on every node.
//!
//! [`Journal::append`] only encodes into the open block in memory, since it runs on the apply
//! thread. [`JournalFlusher`] compresses and writes full blocks on another one; what is not a full
//! block yet goes to a tail file at each sync. [`JournalReader`] sees all of it at once.
//!
//! The journal lies behind the state, not before it: a start names the sequence that the state has
//! reached, and everything behind it is cut, whole or torn. So there is no guessing about torn tails:
//! what is needed is there and whole, or the start fails.
//!
//! `block` is a block's bytes, `packed` its compressed ones, `contents` says where those of a
//! full segment are, `files` are the files', `shared` what is in memory, `output` the
//! writing, `scan` the walk over the files, `recovery` the opening, `mend` what becomes of damaged blocks, `reader` and
//! `verify` say themselves.

use std::path::Path;
use std::sync::Arc;

use super::StoreError;
use super::file::{Disk, FolderLock};
use crate::core::event::RecordView;
use crate::core::types::Sequence;

mod block;
mod contents;
mod files;
mod mend;
mod output;
mod packed;
mod reader;
mod recovery;
mod scan;
mod shared;
#[cfg(test)]
mod tests;
mod verify;

#[cfg(any(test, feature = "testing"))]
pub(super) use files::{segment_path, tail_path};
pub use mend::{DamagedBlock, damaged_blocks, mend, suspected_damage};
pub use reader::JournalReader;
use shared::Shared;
pub use verify::{JournalReport, verify_journal};

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
pub struct Journal {
    shared: Arc<Shared>,
    output: Arc<output::Output>,
    reader: JournalReader,
}

/// Brings appended records to disk, on a thread of its own.
#[derive(Debug, Clone)]
pub struct JournalFlusher {
    shared: Arc<Shared>,
    output: Arc<output::Output>,
}

impl Journal {
    /// Opens the journal in `dir`, creating it if there is none, and cuts everything behind `keep`,
    /// the sequence of the last event to be kept.
    ///
    /// # Errors
    /// [`StoreError::JournalShort`] when it ends before `keep`, or has no record that ends there;
    /// [`StoreError::Corrupt`] when it does because of damage; [`StoreError::Locked`]; I/O.
    pub fn open(dir: &Path, options: JournalOptions, keep: Sequence) -> Result<Self, StoreError> {
        Self::recover(dir, &options, recovery::Keep::UpTo(keep))
    }

    /// Opens the journal in `dir`, creating it if there is none, and keeps all that is whole from its
    /// beginning on. For a journal that is known to lie behind the state, and is then filled up from a
    /// peer with [`Journal::append_encoded`].
    ///
    /// # Errors
    /// [`StoreError::Locked`]; I/O.
    pub fn open_whole(dir: &Path, options: JournalOptions) -> Result<Self, StoreError> {
        Self::recover(dir, &options, recovery::Keep::AllWhole)
    }

    fn recover(dir: &Path, options: &JournalOptions, keep: recovery::Keep) -> Result<Self, StoreError> {
        options.disk.create_folder(dir)?;
        let lock = options.disk.lock_folder(dir)?;
        let recovered = recovery::recover(&options.disk, dir, keep)?;
        Ok(Self::assemble(dir, options, recovered, Some(lock)))
    }

    fn assemble(
        dir: &Path,
        options: &JournalOptions,
        recovered: recovery::Recovered,
        lock: Option<FolderLock>,
    ) -> Self {
        let shared = Arc::new(Shared::new(dir, &options.disk, options.cache_bytes, recovered.inner, lock));
        let output = Arc::new(output::Output::new(recovered.output));
        let reader = JournalReader::new(Arc::clone(&shared));
        Self { shared, output, reader }
    }

    /// Appends the next record: in memory, for the flusher to write.
    ///
    /// # Panics
    /// When it does not follow the last one.
    pub fn append(&mut self, record: RecordView<'_>) {
        self.shared.lock().push(record);
    }

    /// Appends records, the next ones in sequence, as [`Self::append`].
    ///
    /// # Panics
    /// When one does not follow the last one.
    pub fn append_all<'a>(&mut self, records: impl Iterator<Item = RecordView<'a>>) {
        let mut inner = self.shared.lock();
        records.for_each(|record| inner.push(record));
    }

    /// Appends records as [`JournalReader::read_encoded`] gave them on another node. Returns the last sequence.
    ///
    /// # Errors
    /// [`StoreError::Malformed`] or [`StoreError::RecordOutOfOrder`]; nothing is appended then.
    pub fn append_encoded(&mut self, bytes: &[u8]) -> Result<Sequence, StoreError> {
        let records = block::split_shipped(bytes, self.last_sequence().plus(1))?;
        let mut inner = self.shared.lock();
        for record in &records {
            inner.push(record.view());
        }
        Ok(inner.last())
    }

    /// The last event's sequence; zero when there is none.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        self.shared.lock().last()
    }

    /// The last sequence of the last full block written, and the digest of the chain there.
    #[must_use]
    pub fn head(&self) -> (Sequence, BlockDigest) {
        self.shared.lock().head()
    }

    /// Bytes appended in full blocks that the flusher has not written yet.
    #[must_use]
    pub fn backlog_bytes(&self) -> usize {
        self.shared.lock().backlog_bytes()
    }

    /// What brings the records to disk.
    #[must_use]
    pub fn flusher(&self) -> JournalFlusher {
        JournalFlusher { shared: Arc::clone(&self.shared), output: Arc::clone(&self.output) }
    }

    /// What reads them.
    #[must_use]
    pub fn reader(&self) -> JournalReader {
        self.reader.clone()
    }
}

impl JournalFlusher {
    /// Compresses and writes the full blocks that are waiting, without a sync.
    ///
    /// # Errors
    /// I/O, final: every later call fails too.
    pub fn write_out(&self) -> Result<(), StoreError> {
        self.output.write_out(&self.shared)
    }

    /// On return everything up to `upto` is on disk for good; what is returned is up to where it is.
    ///
    /// # Errors
    /// I/O, final: every later call fails too. [`StoreError::JournalShort`] when `upto` was never appended.
    pub fn sync(&self, upto: Sequence) -> Result<Sequence, StoreError> {
        self.output.sync(&self.shared, upto)
    }

    /// Bytes appended in full blocks that are not written yet.
    #[must_use]
    pub fn backlog_bytes(&self) -> usize {
        self.shared.lock().backlog_bytes()
    }
}
