//! A block of records: as it is in memory, and as it stands in a segment.
//!
//! Raw, a block is its records, each behind its length. It is closed by the record with which it
//! reaches [`BLOCK_RAW_BYTES`], whenever that comes, so every node cuts the same blocks. On disk it is
//! a header and the [packed](super::packed) raw bytes; the header carries the digest of the block before and its
//! own, over that one and the raw bytes: a chain that does not depend on the compression.

use std::path::Path;

use super::BlockDigest;
use super::packed::{Found, Table};
use crate::core::codec::{Decode, DecodeError, Encode, Reader, record};
use crate::core::event::{Record, RecordHead, RecordView};
use crate::core::types::{Sequence, Timestamp};
use crate::store::StoreError;

/// Raw bytes at which a block is closed.
pub(super) const BLOCK_RAW_BYTES: usize = 64 << 10;
/// No block is larger: the last record of a block may be a large one.
pub(super) const BLOCK_RAW_BYTES_MAX: usize = 256 << 20;
/// Size of a block's header, in bytes.
pub(super) const BLOCK_HEADER_BYTES: usize = 128;
/// Room is made for records of at least so many bytes: a transfer's has 107.
const RECORD_BYTES_USUAL: usize = 64;
/// Size of the length before each record, in bytes.
const LENGTH_BYTES: usize = 4;

const MAGIC: u32 = u32::from_le_bytes(*b"CFJ3");

/// Where a record begins.
#[derive(Debug, Clone, Copy)]
struct Start {
    sequence: Sequence,
    /// Of its length, in the raw bytes.
    offset: u32,
}

/// The records of a block, or of a part of one.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    raw: Vec<u8>,
    starts: Vec<Start>,
    last: Sequence,
    first_time: Timestamp,
    last_time: Timestamp,
}

impl Block {
    /// An empty block with room for a usual one.
    pub(super) fn with_room() -> Self {
        Self { raw: Vec::with_capacity(BLOCK_RAW_BYTES + BLOCK_RAW_BYTES / 8), ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Whether the next record belongs to the next block.
    pub(super) fn is_full(&self) -> bool {
        self.raw.len() >= BLOCK_RAW_BYTES
    }

    /// The sequence of its first event; zero when it is empty.
    pub(super) fn first(&self) -> Sequence {
        self.starts.first().map_or(Sequence(0), |start| start.sequence)
    }

    /// The sequence of its last event; zero when it is empty.
    pub(super) fn last(&self) -> Sequence {
        self.last
    }

    pub(super) fn first_time(&self) -> Timestamp {
        self.first_time
    }

    pub(super) fn last_time(&self) -> Timestamp {
        self.last_time
    }

    pub(super) fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub(super) fn record_count(&self) -> usize {
        self.starts.len()
    }

    /// Adds a record, which follows the last one.
    pub(super) fn push(&mut self, record: RecordView<'_>) {
        let offset = self.raw.len();
        self.raw.extend_from_slice(&[0; LENGTH_BYTES]);
        record.encode(&mut self.raw);
        let len = (self.raw.len() - offset - LENGTH_BYTES) as u32;
        self.raw[offset..offset + LENGTH_BYTES].copy_from_slice(&len.to_le_bytes());
        self.note(offset, record.sequence, record.last_sequence(), record.stamp.time);
    }

    /// Adds an encoded record, which follows the last one.
    fn push_encoded(&mut self, head: &RecordHead, record: &[u8]) {
        let offset = self.raw.len();
        self.raw.extend_from_slice(&(record.len() as u32).to_le_bytes());
        self.raw.extend_from_slice(record);
        self.note(offset, head.sequence, head.last_sequence(), head.stamp.time);
    }

    fn note(&mut self, offset: usize, sequence: Sequence, last: Sequence, time: Timestamp) {
        if self.starts.is_empty() {
            self.first_time = time;
        }
        self.starts.push(Start { sequence, offset: offset as u32 });
        self.last = last;
        self.last_time = time;
    }

    /// The block with these raw bytes, whose first event must be `first`.
    ///
    /// # Errors
    /// Where in the bytes something is wrong, and what.
    pub(super) fn parse(raw: Vec<u8>, first: Sequence) -> Result<Self, (usize, String)> {
        let mut block = Self { starts: Vec::with_capacity(raw.len() / RECORD_BYTES_USUAL), ..Self::default() };
        let mut expected = first;
        let mut offset = 0;
        while offset < raw.len() {
            let (record, end) = frame(&raw, offset).map_err(|reason| (offset, reason))?;
            let head = RecordHead::read(record).map_err(|error| (offset, error.to_string()))?;
            if head.sequence != expected {
                return Err((offset, format!("record {} stands where {expected} must", head.sequence)));
            }
            block.note(offset, head.sequence, head.last_sequence(), head.stamp.time);
            expected = head.last_sequence().plus(1);
            offset = end;
        }
        block.raw = raw;
        Ok(block)
    }

    /// The encoded record at this place.
    pub(super) fn encoded(&self, place: usize) -> &[u8] {
        &self.raw[self.raw_range(place)][LENGTH_BYTES..]
    }

    /// Where in the raw bytes the record at this place stands, with its length.
    pub(super) fn raw_range(&self, place: usize) -> std::ops::Range<usize> {
        let end = self.starts.get(place + 1).map_or(self.raw.len(), |next| next.offset as usize);
        self.starts[place].offset as usize..end
    }

    /// The sequence of the first event of the record at this place.
    pub(super) fn first_of(&self, place: usize) -> Sequence {
        self.starts[place].sequence
    }

    /// Whether a record with this first event stands there in the raw bytes.
    fn begins_at(&self, offset: usize, first: Sequence) -> bool {
        let place = self.starts.partition_point(|start| start.sequence < first);
        self.starts.get(place).is_some_and(|start| (start.sequence, start.offset as usize) == (first, offset))
    }

    /// The sequence of the last event of the record at this place.
    pub(super) fn last_of(&self, place: usize) -> Sequence {
        self.starts.get(place + 1).map_or(self.last, |next| Sequence(next.sequence.0 - 1))
    }

    /// The record at this place.
    pub(super) fn record(&self, place: usize) -> Result<Record, DecodeError> {
        Record::from_bytes(self.encoded(place))
    }

    /// The place of the record that holds this event, `None` when it is in another block.
    pub(super) fn place_of(&self, sequence: Sequence) -> Option<usize> {
        if sequence > self.last {
            return None;
        }
        self.starts.partition_point(|start| start.sequence <= sequence).checked_sub(1)
    }

    /// The last event at or before this time.
    pub(super) fn last_at(&self, time: Timestamp) -> Result<Option<Sequence>, DecodeError> {
        let mut found = None;
        for place in 0..self.starts.len() {
            let head = RecordHead::read(self.encoded(place))?;
            if head.stamp.time > time {
                break;
            }
            found = Some(head.last_sequence());
        }
        Ok(found)
    }

    /// The records from the one that holds `from`, as many as fit `bytes_max` but at least one.
    pub(super) fn part(&self, from: Sequence, bytes_max: usize) -> Option<Self> {
        let first = self.place_of(from)?;
        let begin = self.starts[first].offset as usize;
        let limit = begin.saturating_add(bytes_max);
        // A record ends where the next begins, so one fewer than those that begin within the limit fit.
        let fitting = match self.raw.len() <= limit {
            true => self.starts.len(),
            false => self.starts.partition_point(|start| start.offset as usize <= limit) - 1,
        };
        let after = fitting.max(first + 1);
        let end = self.starts.get(after).map_or(self.raw.len(), |start| start.offset as usize);
        let starts = self.starts[first..after].iter();
        let starts =
            starts.map(|start| Start { sequence: start.sequence, offset: start.offset - begin as u32 }).collect();
        let last = self.last_of(after - 1);
        Some(Self {
            raw: self.raw[begin..end].to_vec(),
            starts,
            last,
            first_time: self.first_time,
            last_time: self.last_time,
        })
    }

    /// The records up to the last that ends at or before `keep`.
    pub(super) fn up_to(&self, keep: Sequence) -> Self {
        let mut kept = Self::default();
        for place in 0..self.starts.len() {
            match RecordHead::read(self.encoded(place)) {
                Ok(head) if head.last_sequence() <= keep => kept.push_encoded(&head, self.encoded(place)),
                _ => break,
            }
        }
        kept
    }
}

fn frame(raw: &[u8], offset: usize) -> Result<(&[u8], usize), String> {
    let mut input = Reader::new(&raw[offset..]);
    let len = u32::decode(&mut input).map_err(|error| error.to_string())? as usize;
    let record = input.take(len, "a record").map_err(|error| error.to_string())?;
    Ok((record, offset + LENGTH_BYTES + len))
}

/// Splits records that a peer sent, each behind its length; checks that they can be read whole and
/// follow each other from `expected` on.
///
/// # Errors
/// [`StoreError::Malformed`], [`StoreError::RecordOutOfOrder`].
pub(super) fn split_shipped(bytes: &[u8], mut expected: Sequence) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::new();
    let mut offset = 0;
    while offset < bytes.len() {
        let malformed = |reason: String| StoreError::Malformed { reason: format!("at byte {offset}: {reason}") };
        let (encoded, end) = frame(bytes, offset).map_err(malformed)?;
        let record = Record::from_bytes(encoded).map_err(|error| malformed(error.to_string()))?;
        if record.sequence != expected {
            return Err(StoreError::RecordOutOfOrder { expected, found: record.sequence });
        }
        expected = record.view().last_sequence().plus(1);
        records.push(record);
        offset = end;
    }
    Ok(records)
}

record! {
    /// What the header of a block on disk says.
    pub(super) struct BlockHeader {
        /// Checksum of the compressed bytes.
        pub stored_checksum: u32,
        /// Length of the compressed bytes.
        pub stored_len: u32,
        /// Length of the raw bytes.
        pub raw_len: u32,
        /// How many records it holds.
        pub records: u32,
        /// Its first event.
        pub first: Sequence,
        /// Its last event.
        pub last: Sequence,
        /// The time of its first record.
        pub first_time: Timestamp,
        /// The time of its last record.
        pub last_time: Timestamp,
        /// Its number: 0, 1, 2 …
        pub number: u64,
        /// The chain's digest before it.
        pub previous: BlockDigest,
        /// The chain's digest with it.
        pub digest: BlockDigest,
    }
}

/// Whether a block header stands anywhere in these bytes, whatever stands before it.
pub(super) fn any_header_in(bytes: &[u8]) -> bool {
    bytes.windows(BLOCK_HEADER_BYTES).any(|window| BlockHeader::read(window).is_ok())
}

/// The chain's digest with a block of these raw bytes behind one of this digest.
pub(super) fn chain(previous: &BlockDigest, raw: &[u8]) -> BlockDigest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous);
    hasher.update(raw);
    *hasher.finalize().as_bytes()
}

impl BlockHeader {
    /// The header's bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        MAGIC.encode(out);
        0_u32.encode(out);
        self.encode(out);
        debug_assert_eq!(out.len() - start, BLOCK_HEADER_BYTES);
        let checksum = crc32c::crc32c(&out[start + 8..]);
        out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Reads a header.
    ///
    /// # Errors
    /// What keeps the bytes from being one.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut input = Reader::new(bytes);
        let magic = u32::decode(&mut input).map_err(|error| error.to_string())?;
        let checksum = u32::decode(&mut input).map_err(|error| error.to_string())?;
        if magic != MAGIC {
            return Err("no block begins here".to_owned());
        }
        if crc32c::crc32c(input.remaining()) != checksum {
            return Err("the checksum of the block header does not match".to_owned());
        }
        let header = Self::from_bytes(input.remaining()).map_err(|error| error.to_string())?;
        if header.raw_len as usize > BLOCK_RAW_BYTES_MAX
            || header.stored_len as usize > 2 * BLOCK_RAW_BYTES_MAX
            || header.first > header.last
            || header.last == Sequence(u64::MAX)
        {
            return Err("the block header makes no sense".to_owned());
        }
        Ok(header)
    }

    /// Length of the whole block on disk, in bytes.
    pub(super) fn disk_bytes(&self) -> u64 {
        BLOCK_HEADER_BYTES as u64 + u64::from(self.stored_len)
    }

    /// The block with this header and these packed bytes, which stand at `offset` of the file.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub(super) fn unpack(&self, path: &Path, offset: u64, stored: &[u8]) -> Result<Block, StoreError> {
        self.try_unpack(stored).map_err(|reason| self.corrupt(path, offset, reason))
    }

    fn try_unpack(&self, stored: &[u8]) -> Result<Block, String> {
        if crc32c::crc32c(stored) != self.stored_checksum {
            return Err("the checksum does not match".to_owned());
        }
        let table = self.table(stored)?;
        let block = self.parse(table.unpack(stored)?, self.first, self.last)?;
        if block.record_count() != self.records as usize {
            return Err(format!("it has {} records", block.record_count()));
        }
        match table.starts().find(|(at, first)| !block.begins_at(*at, *first)) {
            Some((at, first)) => Err(format!("no record of event {first} stands at raw byte {at}")),
            None => Ok(block),
        }
    }

    /// Where the section of an event stands, by the bytes behind the header, which are as many as a table may have or all.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub(super) fn find(&self, path: &Path, offset: u64, bytes: &[u8], event: Sequence) -> Result<Found, StoreError> {
        let found = self.table(bytes).and_then(|table| table.find(event));
        found.map_err(|reason| self.corrupt(path, offset, reason))
    }

    /// The records of a section with these stored bytes.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub(super) fn unpack_section(
        &self,
        path: &Path,
        offset: u64,
        found: &Found,
        stored: &[u8],
    ) -> Result<Block, StoreError> {
        let mut raw = Vec::new();
        let last = found.next.map_or(self.last, |next| Sequence(next.0.saturating_sub(1)));
        let unpacked = found.section.unpack(stored, &mut raw);
        let block = unpacked.and_then(|()| self.parse(raw, found.section.first, last));
        block.map_err(|reason| self.corrupt(path, offset, reason))
    }

    fn table(&self, bytes: &[u8]) -> Result<Table, String> {
        Table::read(bytes, &self.digest, self.stored_len as usize, self.raw_len as usize)
    }

    fn parse(&self, raw: Vec<u8>, first: Sequence, last: Sequence) -> Result<Block, String> {
        let block = Block::parse(raw, first).map_err(|(at, reason)| format!("raw byte {at}: {reason}"))?;
        match block.last() == last {
            true => Ok(block),
            false => Err(format!("it ends with event {}, not {last}", block.last())),
        }
    }

    fn corrupt(&self, path: &Path, offset: u64, reason: String) -> StoreError {
        let reason = format!("block {} (events {} to {}): {reason}", self.number, self.first, self.last);
        StoreError::corrupt(path, offset, reason)
    }
}
