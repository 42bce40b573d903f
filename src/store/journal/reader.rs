//! Reading the journal: by sequence, in pages, as bytes for a peer, by time.

use std::path::Path;
use std::sync::Arc;

use super::BlockDigest;
use super::block::{BLOCK_HEADER_BYTES, Block, BlockHeader};
use super::files::{self, BLOCKS_PER_SEGMENT};
use super::mend;
use super::packed::{SECTION_RAW_BYTES, TABLE_BYTES_MAX};
use super::shared::{BlockPlace, Located, Shared};
use crate::core::codec::DecodeError;
use crate::core::event::Record;
use crate::core::types::{Sequence, Timestamp};
use crate::store::StoreError;
use crate::store::file::{Access, File};

/// Reads the journal, also what is not on disk yet. A cheap handle.
#[derive(Debug, Clone)]
pub struct JournalReader {
    shared: Arc<Shared>,
}

impl JournalReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The first event's sequence, `None` when the journal is empty.
    #[must_use]
    pub fn first(&self) -> Option<Sequence> {
        self.shared.lock().first()
    }

    /// The last event's sequence, `None` when the journal is empty.
    #[must_use]
    pub fn last(&self) -> Option<Sequence> {
        let inner = self.shared.lock();
        inner.first().map(|_| inner.last())
    }

    /// The record that holds this event, `None` when there is no such event.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where a block is not what was written; I/O.
    pub fn record_at(&self, sequence: Sequence) -> Result<Option<Record>, StoreError> {
        Ok(self.read(sequence, 1, 0)?.pop())
    }

    /// Records in order, from the one that holds the event `from`: at most `records_max`, and as many as
    /// fit `bytes_max` of encoding but at least one. Empty when `from` is not there yet.
    ///
    /// # Errors
    /// As [`JournalReader::record_at`].
    pub fn read(&self, from: Sequence, records_max: usize, bytes_max: usize) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        if records_max == 0 {
            return Ok(records);
        }
        self.visit(from, bytes_max, |block, place| {
            records.push(block.record(place)?);
            Ok(records.len() < records_max)
        })?;
        Ok(records)
    }

    /// The encoded records from the one that holds `from` to the one that holds `to`, as many as fit
    /// `bytes_max` but at least one, for [`Journal::append_encoded`](super::Journal::append_encoded).
    /// Empty when `from` is not there yet.
    ///
    /// # Errors
    /// As [`JournalReader::record_at`].
    pub fn read_encoded(&self, from: Sequence, to: Sequence, bytes_max: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        if from > to {
            return Ok(bytes);
        }
        self.visit(from, bytes_max, |block, place| {
            let record = block.encoded(place);
            bytes.extend_from_slice(&(record.len() as u32).to_le_bytes());
            bytes.extend_from_slice(record);
            Ok(block.last_of(place) < to)
        })?;
        Ok(bytes)
    }

    /// Shows records one by one, as many as fit `bytes_max` but at least one, until `take` says no.
    fn visit(
        &self,
        from: Sequence,
        bytes_max: usize,
        mut take: impl FnMut(&Block, usize) -> Result<bool, DecodeError>,
    ) -> Result<(), StoreError> {
        let mut next = from;
        let mut bytes = 0;
        let mut any = false;
        while let Some(block) = self.block_of(next, bytes_max.saturating_sub(bytes))? {
            let Some(first) = block.place_of(next) else { return Ok(()) };
            for place in first..block.record_count() {
                bytes = bytes.saturating_add(block.encoded(place).len());
                if any && bytes > bytes_max {
                    return Ok(());
                }
                any = true;
                let more = take(&block, place).map_err(|error| self.undecodable(&block, place, error))?;
                if !more {
                    return Ok(());
                }
            }
            if bytes >= bytes_max {
                return Ok(());
            }
            next = block.last().plus(1);
        }
        Ok(())
    }

    /// Bytes that passed their checksum and are no record: written wrong, or by a newer version.
    fn undecodable(&self, block: &Block, place: usize, error: DecodeError) -> StoreError {
        let sequence = block.last_of(place);
        let (path, offset) = match self.shared.lock().locate(sequence, 0) {
            Some(Located::Written(number, found)) => {
                (files::segment_path(&self.shared.dir, number / BLOCKS_PER_SEGMENT), found.offset)
            }
            _ => (self.shared.dir.clone(), 0),
        };
        StoreError::corrupt(&path, offset, format!("the record of event {sequence}: {error}"))
    }

    /// The block that holds an event; a part of it when `bytes_max` asks for no more, or when it is the open one.
    fn block_of(&self, event: Sequence, bytes_max: usize) -> Result<Option<Arc<Block>>, StoreError> {
        let located = self.shared.lock().locate(event, bytes_max);
        match located {
            None => Ok(None),
            Some(Located::Memory(block)) => Ok(Some(block)),
            Some(Located::Written(number, place)) => self.written_block(number, place, event, bytes_max).map(Some),
        }
    }

    fn written_block(
        &self,
        number: u64,
        place: BlockPlace,
        event: Sequence,
        bytes_max: usize,
    ) -> Result<Arc<Block>, StoreError> {
        let part_will_do = bytes_max < SECTION_RAW_BYTES;
        if let Some(block) = self.shared.lock_cache().get(event, part_will_do) {
            return Ok(block);
        }
        let read = if part_will_do { self.read_section(number, place, event) } else { self.read_block(number, place) };
        let block = Arc::new(read.inspect_err(|error| {
            if error.is_damage() {
                mend::note_suspect(&self.shared.disk, &self.shared.dir, error);
            }
        })?);
        self.shared.lock_cache().put(Arc::clone(&block), part_will_do);
        Ok(block)
    }

    fn read_block(&self, number: u64, place: BlockPlace) -> Result<Block, StoreError> {
        let file = self.segment(number / BLOCKS_PER_SEGMENT)?;
        let mut bytes = vec![0; place.len as usize];
        file.read_exact_at(&mut bytes, place.offset)?;
        let (header, stored) = bytes.split_at(BLOCK_HEADER_BYTES);
        read_header(file.path(), header, number, place)?.unpack(file.path(), place.offset, stored)
    }

    /// Of a block the section that holds the event.
    fn read_section(&self, number: u64, place: BlockPlace, event: Sequence) -> Result<Block, StoreError> {
        let file = self.segment(number / BLOCKS_PER_SEGMENT)?;
        let mut head = [0; BLOCK_HEADER_BYTES + TABLE_BYTES_MAX];
        let head = &mut head[..(BLOCK_HEADER_BYTES + TABLE_BYTES_MAX).min(place.len as usize)];
        file.read_exact_at(head, place.offset)?;
        let (header, table) = head.split_at(BLOCK_HEADER_BYTES);
        let header = read_header(file.path(), header, number, place)?;
        let found = header.find(file.path(), place.offset, table, event)?;
        let mut stored = vec![0; found.stored_len()];
        file.read_exact_at(&mut stored, place.offset + (BLOCK_HEADER_BYTES + found.at) as u64)?;
        header.unpack_section(file.path(), place.offset, &found, &stored)
    }

    /// The segment's file; those read last stay open.
    fn segment(&self, number: u64) -> Result<Arc<File>, StoreError> {
        if let Some(file) = self.shared.lock_files().get(number) {
            return Ok(file);
        }
        let path = files::segment_path(&self.shared.dir, number);
        let file = Arc::new(self.shared.disk.open(&path, Access::Read)?);
        self.shared.lock_files().put(number, Arc::clone(&file));
        Ok(file)
    }

    /// The last event at or before this time, `None` when all are later.
    ///
    /// # Errors
    /// As [`JournalReader::record_at`].
    pub fn sequence_at_time(&self, time: Timestamp) -> Result<Option<Sequence>, StoreError> {
        let inner = self.shared.lock();
        let in_memory = inner.pending.iter().map(|block| (block.first_time(), block.first()));
        let open = (!inner.open.is_empty()).then(|| (inner.open.first_time(), inner.open.first()));
        // Time never runs backwards from record to record.
        let begun = in_memory.chain(open).take_while(|(first_time, _)| *first_time <= time).last();
        let first = match begun {
            Some((_, first)) => first,
            None => match inner.blocks.partition_point(|block| block.first_time <= time).checked_sub(1) {
                Some(number) => inner.blocks[number].first,
                None => return Ok(None),
            },
        };
        drop(inner);
        let Some(block) = self.block_of(first, usize::MAX)? else { return Ok(None) };
        block.last_at(time).map_err(|error| self.undecodable(&block, 0, error))
    }

    /// The last event of the last written full block that ends at or before `end`, and the digest of the
    /// chain there.
    ///
    /// # Errors
    /// As [`JournalReader::record_at`].
    pub fn chain_before(&self, end: Sequence) -> Result<Option<(Sequence, BlockDigest)>, StoreError> {
        let inner = self.shared.lock();
        let last = if end >= inner.written {
            inner.written
        } else {
            // The block behind the last one that ends by then begins right behind that.
            let behind = inner.blocks.partition_point(|block| block.first <= end.plus(1)).saturating_sub(1);
            inner.blocks.get(behind).map_or(Sequence(0), |block| Sequence(block.first.0 - 1))
        };
        drop(inner);
        Ok(self.digest_at(last)?.map(|digest| (last, digest)))
    }

    /// The digest of the chain at the full block that ends with this event; `None` when no full block
    /// that has been written does.
    ///
    /// # Errors
    /// As [`JournalReader::record_at`].
    pub fn digest_at(&self, sequence: Sequence) -> Result<Option<BlockDigest>, StoreError> {
        let inner = self.shared.lock();
        if sequence == inner.written {
            return Ok((sequence > Sequence(0)).then_some(inner.digest));
        }
        let Some(Located::Written(number, place)) = inner.locate(sequence, 0) else { return Ok(None) };
        drop(inner);
        let file = self.segment(number / BLOCKS_PER_SEGMENT)?;
        let mut bytes = [0; BLOCK_HEADER_BYTES];
        file.read_exact_at(&mut bytes, place.offset)?;
        let header = read_header(file.path(), &bytes, number, place)?;
        Ok((header.last == sequence).then_some(header.digest))
    }
}

/// The header of a block, which has to be the one that stands at this place.
fn read_header(path: &Path, bytes: &[u8], number: u64, place: BlockPlace) -> Result<BlockHeader, StoreError> {
    let corrupt = |reason: String| StoreError::corrupt(path, place.offset, format!("block {number}: {reason}"));
    let header = BlockHeader::read(bytes).map_err(corrupt)?;
    if header.number != number || header.first != place.first || header.disk_bytes() != u64::from(place.len) {
        return Err(corrupt("another block is here".to_owned()));
    }
    Ok(header)
}
