//! Reading a run once, from one end to the other: what a merge does.

use std::sync::Arc;

use super::key::Entry;
use super::piece::CHECKSUM_BYTES;
use super::run::Run;
use crate::core::codec::Reader;
use crate::store::StoreError;

/// Reads a run from its first entry to its last, once: of a block no more is decoded than the entry that comes next.
#[derive(Debug)]
pub struct Scan {
    run: Arc<Run>,
    /// The block that is read.
    block: usize,
    bytes: Vec<u8>,
    /// Where in its bytes the entry behind the next one stands.
    at: usize,
    next: Option<Entry>,
}

impl Scan {
    /// At the first entry.
    ///
    /// # Errors
    /// When the block cannot be read or is damaged.
    pub fn start(run: Arc<Run>) -> Result<Self, StoreError> {
        let mut scan = Self { run, block: 0, bytes: Vec::new(), at: 0, next: None };
        if scan.run.block_count() > 0 {
            let loaded = scan.load();
            scan.run.noting_damage(loaded)?;
        }
        Ok(scan)
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The next entry; `None` behind the last one.
    #[must_use]
    pub fn next(&self) -> Option<&Entry> {
        self.next.as_ref()
    }

    /// Goes on to the entry behind the next one.
    ///
    /// # Errors
    /// When a block cannot be read or is damaged.
    pub fn advance(&mut self) -> Result<(), StoreError> {
        let result = if self.at < self.bytes.len() {
            self.decode()
        } else if self.block + 1 < self.run.block_count() {
            self.block += 1;
            self.load()
        } else {
            self.next = None;
            return Ok(());
        };
        self.run.noting_damage(result)
    }

    fn load(&mut self) -> Result<(), StoreError> {
        self.run.load_block(self.block, &mut self.bytes)?;
        (self.at, self.next) = (CHECKSUM_BYTES, None);
        self.decode()
    }

    fn decode(&mut self) -> Result<(), StoreError> {
        let mut input = Reader::new(&self.bytes[self.at..]);
        let entry = self.next.get_or_insert(Entry::EMPTY);
        self.run.next_entry(self.block, &mut input, entry)?;
        self.at = self.bytes.len() - input.remaining().len();
        Ok(())
    }
}
