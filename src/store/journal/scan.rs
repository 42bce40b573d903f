//! The walk over the journal's files, block header by block header.

use std::path::{Path, PathBuf};

use super::BlockDigest;
use super::block::{BLOCK_HEADER_BYTES, BlockHeader};
use super::files::{self, BLOCKS_PER_SEGMENT, SEGMENT_HEADER_BYTES};
use crate::core::types::Sequence;
use crate::store::StoreError;
use crate::store::file::{Access, Disk, File};

/// Where the walk is, or ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Cursor {
    /// The number of the next block.
    pub number: u64,
    /// Its offset in its segment.
    pub offset: u64,
    /// The chain's digest before it.
    pub digest: BlockDigest,
    /// The last event before it.
    pub last: Sequence,
}

impl Cursor {
    pub(super) fn segment(&self) -> u64 {
        self.number / BLOCKS_PER_SEGMENT
    }
}

/// Why the walk ended before the files did.
#[derive(Debug, Clone)]
pub(super) struct Damage {
    pub path: PathBuf,
    pub offset: u64,
    pub reason: String,
}

impl Damage {
    pub(super) fn into_error(self) -> StoreError {
        StoreError::corrupt(&self.path, self.offset, self.reason)
    }
}

/// A block that the walk came to.
pub(super) struct Visited<'a> {
    pub file: &'a File,
    pub offset: u64,
    pub header: BlockHeader,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Go {
    /// To the next block.
    On,
    /// The walk ends before this block.
    Stop,
}

/// The numbers of the segments in the folder, in order.
pub(super) fn segments(disk: &Disk, dir: &Path) -> Result<Vec<u64>, StoreError> {
    let mut numbers: Vec<u64> = disk.list(dir)?.iter().filter_map(|name| files::segment_number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Walks over the blocks as far as they are whole and follow each other. Returns where it ended, and
/// why, when there are bytes behind.
pub(super) fn walk(
    disk: &Disk,
    dir: &Path,
    numbers: &[u64],
    visit: impl FnMut(Visited<'_>) -> Result<Go, StoreError>,
) -> Result<(Cursor, Option<Damage>), StoreError> {
    walk_from(Cursor::default(), disk, dir, numbers, visit)
}

/// The same from the beginning of a segment on, the first one of those numbers.
pub(super) fn walk_from(
    mut cursor: Cursor,
    disk: &Disk,
    dir: &Path,
    numbers: &[u64],
    mut visit: impl FnMut(Visited<'_>) -> Result<Go, StoreError>,
) -> Result<(Cursor, Option<Damage>), StoreError> {
    for &number in numbers {
        let path = files::segment_path(dir, number);
        let damaged = |offset, reason: String| Some(Damage { path: path.clone(), offset, reason });
        if cursor.segment() != number || !cursor.number.is_multiple_of(BLOCKS_PER_SEGMENT) {
            let reason = format!("the journal before it ends at event {}", cursor.last);
            return Ok((cursor, damaged(0, reason)));
        }
        cursor.offset = 0;
        let file = disk.open(&path, Access::Read)?;
        let len = file.len()?;
        if let Err(error) = check_segment(&file, number) {
            return match error {
                StoreError::Corrupt { offset, reason, .. } => Ok((cursor, damaged(offset, reason))),
                error => Err(error),
            };
        }
        cursor.offset = SEGMENT_HEADER_BYTES as u64;
        while cursor.offset < len && cursor.segment() == number {
            let header = match read_header(&file, len, &cursor)? {
                Ok(header) => header,
                Err(reason) => {
                    let offset = cursor.offset;
                    return Ok((cursor, damaged(offset, reason)));
                }
            };
            let next = Cursor {
                number: header.number + 1,
                offset: cursor.offset + header.disk_bytes(),
                digest: header.digest,
                last: header.last,
            };
            if visit(Visited { file: &file, offset: cursor.offset, header })? == Go::Stop {
                return Ok((cursor, None));
            }
            cursor = next;
        }
        if cursor.offset < len {
            let offset = cursor.offset;
            return Ok((cursor, damaged(offset, "bytes behind the last block of the segment".to_owned())));
        }
    }
    Ok((cursor, None))
}

fn check_segment(file: &File, number: u64) -> Result<(), StoreError> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let count = file.read_at(&mut bytes, 0)?;
    files::check_segment_header(file.path(), &bytes[..count], number)
}

/// Whether the file begins as the segment with this number does.
pub(super) fn is_segment(file: &File, number: u64) -> Result<bool, StoreError> {
    match check_segment(file, number) {
        Ok(()) => Ok(true),
        Err(StoreError::Corrupt { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The header at the cursor if it goes on from there; the inner error is why it does not.
fn read_header(file: &File, len: u64, cursor: &Cursor) -> Result<Result<BlockHeader, String>, StoreError> {
    let mut bytes = [0; BLOCK_HEADER_BYTES];
    let count = file.read_at(&mut bytes, cursor.offset)?;
    if count < bytes.len() {
        return Ok(Err("the file ends inside a block header".to_owned()));
    }
    let header = match BlockHeader::read(&bytes) {
        Ok(header) => header,
        Err(reason) => return Ok(Err(reason)),
    };
    if header.number != cursor.number || header.first != cursor.last.plus(1) {
        let reason = format!("block {} with event {} does not follow", header.number, header.first);
        return Ok(Err(reason));
    }
    if header.previous != cursor.digest {
        return Ok(Err(format!("block {} follows another block than the one before it", header.number)));
    }
    if cursor.offset + header.disk_bytes() > len {
        return Ok(Err(format!("the file ends inside block {}", header.number)));
    }
    Ok(Ok(header))
}

/// Reads the compressed bytes of a visited block.
pub(super) fn read_stored(visited: &Visited<'_>) -> Result<Vec<u8>, StoreError> {
    let mut stored = vec![0; visited.header.stored_len as usize];
    visited.file.read_exact_at(&mut stored, visited.offset + BLOCK_HEADER_BYTES as u64)?;
    Ok(stored)
}
