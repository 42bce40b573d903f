//! The journal's files: segments of blocks, and two tails in turn for the block that is not full.

use std::path::{Path, PathBuf};

use super::BlockDigest;
use super::block::Block;
use crate::core::codec::{Decode, Encode, Reader, record};
use crate::core::types::Sequence;
use crate::store::StoreError;

/// Blocks in a segment file.
pub(super) const BLOCKS_PER_SEGMENT: u64 = 1024;
/// Size of a segment's header, in bytes.
pub(super) const SEGMENT_HEADER_BYTES: usize = 32;
/// The format of the journal's files.
const FORMAT_VERSION: u32 = 3;
const SEGMENT_MAGIC: [u8; 8] = *b"CFOILJNL";
const TAIL_MAGIC: [u8; 8] = *b"CFOILJTL";
const SEGMENT_SUFFIX: &str = ".journal";

pub(in crate::store) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}{SEGMENT_SUFFIX}"))
}

/// The number of the segment with this name.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    name.strip_suffix(SEGMENT_SUFFIX)?.parse().ok()
}

/// The tail file of this place, 0 or 1.
pub(in crate::store) fn tail_path(dir: &Path, place: u64) -> PathBuf {
    dir.join(format!("tail.{place}"))
}

record! {
    struct SegmentHeader {
        magic: [u8; 8],
        version: u32,
        unused: u64,
        number: u64,
    }
}

/// The header of a segment.
pub(super) fn encode_segment_header(number: u64) -> Vec<u8> {
    let header = SegmentHeader { magic: SEGMENT_MAGIC, version: FORMAT_VERSION, unused: 0, number };
    let mut bytes = header.to_bytes();
    crc32c::crc32c(&bytes).encode(&mut bytes);
    debug_assert_eq!(bytes.len(), SEGMENT_HEADER_BYTES);
    bytes
}

/// Checks the header of a segment.
///
/// # Errors
/// [`StoreError::Corrupt`], [`StoreError::NewerFormat`], [`StoreError::OlderFormat`].
pub(super) fn check_segment_header(path: &Path, bytes: &[u8], number: u64) -> Result<(), StoreError> {
    let corrupt = |reason: &str| StoreError::corrupt(path, 0, reason);
    let (body, checksum) = bytes.split_at(bytes.len().saturating_sub(4));
    if bytes.len() != SEGMENT_HEADER_BYTES || crc32c::crc32c(body).to_le_bytes() != checksum {
        return Err(corrupt("the checksum of the segment header does not match"));
    }
    let header = SegmentHeader::from_bytes(body).map_err(|error| corrupt(&error.to_string()))?;
    check_version(path, header.version)?;
    if header.magic != SEGMENT_MAGIC || header.number != number {
        return Err(corrupt("the segment header names another file"));
    }
    Ok(())
}

fn check_version(path: &Path, version: u32) -> Result<(), StoreError> {
    if version > FORMAT_VERSION {
        return Err(StoreError::NewerFormat { path: path.to_owned(), found: version, known: FORMAT_VERSION });
    }
    if version < FORMAT_VERSION {
        return Err(StoreError::OlderFormat { path: path.to_owned(), found: version, known: FORMAT_VERSION });
    }
    Ok(())
}

record! {
    struct TailHeader {
        magic: [u8; 8],
        version: u32,
        write: u64,
        block: u64,
        first: Sequence,
        previous: BlockDigest,
    }
}

/// The block that is not full, as a tail file holds it.
#[derive(Debug)]
pub(super) struct Tail {
    /// Counts the tails written; the higher one is the newer one.
    pub write: u64,
    /// The number that the block will have.
    pub block: u64,
    /// The chain's digest before it.
    pub previous: BlockDigest,
    /// Its records so far.
    pub records: Block,
}

/// A tail file: checksum and length, header, raw records.
pub(super) fn encode_tail(write: u64, block: u64, previous: &BlockDigest, records: &Block) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(records.raw().len() + 128);
    0_u32.encode(&mut bytes);
    0_u32.encode(&mut bytes);
    let first = records.first();
    TailHeader { magic: TAIL_MAGIC, version: FORMAT_VERSION, write, block, first, previous: *previous }
        .encode(&mut bytes);
    bytes.extend_from_slice(records.raw());
    let len = bytes.len() as u32;
    bytes[4..8].copy_from_slice(&len.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Reads a tail file; `None` when it was never written.
///
/// # Errors
/// [`StoreError::Corrupt`], [`StoreError::NewerFormat`], [`StoreError::OlderFormat`]. A write that was torn looks corrupt too.
pub(super) fn decode_tail(path: &Path, bytes: &[u8]) -> Result<Option<Tail>, StoreError> {
    let corrupt = |offset: usize, reason: &str| StoreError::corrupt(path, offset as u64, reason);
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut input = Reader::new(bytes);
    let sealed = u32::decode(&mut input).and_then(|checksum| Ok((checksum, u32::decode(&mut input)?)));
    let (checksum, len) = sealed.map_err(|error| corrupt(0, &error.to_string()))?;
    let whole = bytes.get(..len as usize).filter(|whole| whole.len() > 8);
    let whole = whole.ok_or_else(|| corrupt(0, "its length is wrong"))?;
    if crc32c::crc32c(&whole[4..]) != checksum {
        return Err(corrupt(0, "the checksum does not match"));
    }
    let mut input = Reader::new(&whole[8..]);
    let header = TailHeader::decode(&mut input).map_err(|error| corrupt(8, &error.to_string()))?;
    check_version(path, header.version)?;
    if header.magic != TAIL_MAGIC {
        return Err(corrupt(8, "this is no journal tail"));
    }
    let raw = input.remaining().to_vec();
    let start = whole.len() - raw.len();
    let records = Block::parse(raw, header.first).map_err(|(at, reason)| corrupt(start + at, &reason))?;
    Ok(Some(Tail { write: header.write, block: header.block, previous: header.previous, records }))
}
