//! Bringing the journal to disk: full blocks into segments, the open block into a tail file.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::BlockDigest;
use super::block::{self, BLOCK_HEADER_BYTES, BLOCK_RAW_BYTES_MAX, Block, BlockHeader};
use super::contents;
use super::files::{self, BLOCKS_PER_SEGMENT};
use super::packed;
use super::shared::{BlockPlace, Inner, Shared};
use crate::core::planted::{self, Mistake};
use crate::core::types::Sequence;
use crate::machine;
use crate::store::StoreError;
use crate::store::file::{Access, Disk, File};

/// The flushers' side of the journal; one at a time.
#[derive(Debug)]
pub(super) struct Output {
    state: Mutex<OutputState>,
}

/// Where the next block goes.
pub(super) struct OutputState {
    pub disk: Disk,
    pub dir: PathBuf,
    /// The segment being filled; `None` when the next block begins a new one.
    pub segment: Option<File>,
    /// The end of what is written in it.
    pub offset: u64,
    /// The number of the next block.
    pub number: u64,
    /// The chain's digest before it.
    pub digest: BlockDigest,
    /// Both tail files.
    pub tails: [File; 2],
    /// The number of the next tail written.
    pub tail_write: u64,
    /// Everything up to here is on disk for good.
    pub synced: Sequence,
    /// Segments that were filled since the last sync.
    pub unsynced: Vec<File>,
    /// Whether blocks were written since the last sync.
    pub dirty: bool,
    /// Whether a segment was created since the last sync.
    pub new_names: bool,
}

impl std::fmt::Debug for OutputState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "journal output at block {} in {}", self.number, self.dir.display())
    }
}

/// What a sync still has to do for the open block.
enum Rest {
    /// Full blocks came meanwhile.
    MoreBlocks,
    /// Nothing: all that was asked for is in written blocks.
    Nothing,
    /// These records go to a tail file.
    Tail(Block),
}

impl Output {
    pub(super) fn new(state: OutputState) -> Self {
        Self { state: Mutex::new(state) }
    }

    pub(super) fn write_out(&self, shared: &Shared) -> Result<(), StoreError> {
        self.guarded(shared, |state| state.write_out(shared))
    }

    pub(super) fn sync(&self, shared: &Shared, upto: Sequence) -> Result<Sequence, StoreError> {
        let last = shared.lock().last();
        if upto > last {
            return Err(StoreError::JournalShort { path: shared.dir.clone(), have: last, need: upto });
        }
        self.guarded(shared, |state| state.sync(shared, upto))
    }

    /// Does it, unless the journal has failed; a failure is for good.
    fn guarded<T>(
        &self,
        shared: &Shared,
        work: impl FnOnce(&mut OutputState) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = machine::lock(&self.state);
        if let Some(error) = &shared.lock().ended {
            return Err(error.clone());
        }
        let result = work(&mut state);
        if let Err(error) = &result {
            shared.lock().ended = Some(error.clone());
        }
        result
    }
}

impl OutputState {
    fn write_out(&mut self, shared: &Shared) -> Result<(), StoreError> {
        loop {
            let Some(block) = shared.lock().pending.front().map(Arc::clone) else { return Ok(()) };
            let place = self.write_block(&block)?;
            let mut inner = shared.lock();
            inner.pending.pop_front();
            inner.pending_bytes -= block.raw().len();
            inner.blocks.push(place);
            inner.written = block.last();
            inner.digest = self.digest;
            let full = self.number.is_multiple_of(BLOCKS_PER_SEGMENT).then(|| {
                let first = inner.blocks.len().saturating_sub(BLOCKS_PER_SEGMENT as usize);
                inner.blocks[first..].to_vec()
            });
            drop(inner);
            shared.lock_cache().put(block, false);
            if let (Some(blocks), Some(segment)) = (full, self.unsynced.last()) {
                contents::write(&self.disk, segment, self.number / BLOCKS_PER_SEGMENT - 1, &blocks)?;
            }
        }
    }

    fn write_block(&mut self, block: &Block) -> Result<BlockPlace, StoreError> {
        let raw = block.raw();
        if raw.len() > BLOCK_RAW_BYTES_MAX {
            return Err(StoreError::TooLarge { bytes: raw.len() as u64, max: BLOCK_RAW_BYTES_MAX as u64 });
        }
        let digest = block::chain(&self.digest, raw);
        let stored = packed::pack(block, &digest);
        let header = BlockHeader {
            stored_checksum: crc32c::crc32c(&stored),
            stored_len: stored.len() as u32,
            raw_len: raw.len() as u32,
            records: block.record_count() as u32,
            first: block.first(),
            last: block.last(),
            first_time: block.first_time(),
            last_time: block.last_time(),
            number: self.number,
            previous: self.digest,
            digest,
        };
        let mut bytes = Vec::with_capacity(BLOCK_HEADER_BYTES + stored.len());
        header.write(&mut bytes);
        bytes.extend_from_slice(&stored);
        let offset = self.offset_in_segment()?;
        let segment = self.segment.as_ref().ok_or(StoreError::Closed)?;
        segment.write_at(&bytes, offset)?;
        self.dirty = true;
        self.offset = offset + bytes.len() as u64;
        self.number += 1;
        self.digest = digest;
        if self.number.is_multiple_of(BLOCKS_PER_SEGMENT) {
            self.unsynced.extend(self.segment.take());
        }
        Ok(BlockPlace { first: header.first, first_time: header.first_time, offset, len: bytes.len() as u32 })
    }

    /// Where the next block goes in the segment, which is created when it is the first.
    fn offset_in_segment(&mut self) -> Result<u64, StoreError> {
        if self.segment.is_some() {
            return Ok(self.offset);
        }
        let number = self.number / BLOCKS_PER_SEGMENT;
        let file = self.disk.open(&files::segment_path(&self.dir, number), Access::Create)?;
        let header = files::encode_segment_header(number);
        file.write_at(&header, 0)?;
        self.segment = Some(file);
        self.new_names = true;
        Ok(header.len() as u64)
    }

    fn sync(&mut self, shared: &Shared, upto: Sequence) -> Result<Sequence, StoreError> {
        if upto <= self.synced || planted::is(Mistake::JournalNotSynced) {
            return Ok(self.synced);
        }
        let rest = loop {
            self.write_out(shared)?;
            match rest_of(&shared.lock(), upto) {
                Rest::MoreBlocks => {}
                rest => break rest,
            }
        };
        // The blocks are durable before a tail is overwritten that may hold the beginning of one of them.
        self.sync_blocks()?;
        self.synced = self.synced.max(shared.lock().written);
        if let Rest::Tail(records) = rest {
            self.write_tail(&records)?;
            self.synced = records.last();
        }
        Ok(self.synced)
    }

    fn sync_blocks(&mut self) -> Result<(), StoreError> {
        if !self.dirty {
            return Ok(());
        }
        for file in self.unsynced.drain(..) {
            file.sync()?;
        }
        if let Some(file) = &self.segment {
            file.sync()?;
        }
        if self.new_names {
            self.disk.sync_folder(&self.dir)?;
            self.new_names = false;
        }
        self.dirty = false;
        Ok(())
    }

    /// Writes the open block into the older of the tail files.
    pub(super) fn write_tail(&mut self, records: &Block) -> Result<(), StoreError> {
        let file = &self.tails[(self.tail_write % 2) as usize];
        let bytes = files::encode_tail(self.tail_write, self.number, &self.digest, records);
        file.write_at(&bytes, 0)?;
        file.sync()?;
        self.tail_write += 1;
        Ok(())
    }
}

fn rest_of(inner: &Inner, upto: Sequence) -> Rest {
    if upto <= inner.written {
        Rest::Nothing
    } else if inner.pending.is_empty() {
        Rest::Tail(inner.open.clone())
    } else {
        Rest::MoreBlocks
    }
}
