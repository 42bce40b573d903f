//! Checking a whole journal, offline.

use std::path::Path;

use super::BlockDigest;
use super::block;
use super::files;
use super::scan::{self, Go};
use crate::core::types::Sequence;
use crate::store::StoreError;
use crate::store::file::{Access, Disk};

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

/// Checks every block of the journal in `dir`: length, checksum, chain, records, numbering. The
/// records of the unfinished block count as far as a tail file holds them.
///
/// Bytes at the very end that are no block are counted, not refused: whether a crash left them or
/// something is missing, only the state can say, by the sequence it has reached.
///
/// # Errors
/// [`StoreError::Corrupt`] at the first thing that is wrong; I/O.
pub fn verify_journal(disk: &Disk, dir: &Path) -> Result<JournalReport, StoreError> {
    let numbers = scan::segments(disk, dir)?;
    let mut records = 0;
    let (cursor, damage) = scan::walk(disk, dir, &numbers, |visited| {
        let header = &visited.header;
        let path = visited.file.path();
        let block = header.unpack(path, visited.offset, &scan::read_stored(&visited)?)?;
        let corrupt = |reason: String| StoreError::corrupt(path, visited.offset, reason);
        if block::chain(&header.previous, block.raw()) != header.digest {
            return Err(corrupt(format!("block {}: its digest does not match", header.number)));
        }
        for place in 0..block.record_count() {
            block.record(place).map_err(|error| corrupt(format!("record {place} of the block: {error}")))?;
        }
        records += block.record_count() as u64;
        Ok(Go::On)
    })?;
    let mut torn_bytes = 0;
    if let Some(damage) = damage {
        let last = numbers.last().copied().unwrap_or_default();
        let file = disk.open(&files::segment_path(dir, last), Access::Read)?;
        let bytes = file.read_all()?;
        let rest = bytes.get(damage.offset as usize..).unwrap_or_default();
        if damage.path != file.path() || block::any_header_in(rest) {
            return Err(damage.into_error());
        }
        torn_bytes = rest.len() as u64;
    }
    let mut report = JournalReport {
        segments: numbers.len() as u64,
        blocks: cursor.number,
        records,
        last: cursor.last,
        digest: cursor.digest,
        torn_bytes,
    };
    add_tail(disk, dir, &mut report)?;
    Ok(report)
}

/// Counts the records of the tail that goes on where the blocks end.
fn add_tail(disk: &Disk, dir: &Path, report: &mut JournalReport) -> Result<(), StoreError> {
    let blocks_end = report.last;
    let mut count = 0;
    for place in 0..2 {
        let path = files::tail_path(dir, place);
        let Some(bytes) = disk.read_file(&path)? else { continue };
        match files::decode_tail(&path, &bytes) {
            Ok(Some(tail)) if tail.block == report.blocks && tail.previous == report.digest => {
                let records = &tail.records;
                for place in 0..records.record_count() {
                    records.record(place).map_err(|error| StoreError::corrupt(&path, 0, error.to_string()))?;
                }
                if records.first() == blocks_end.plus(1) && records.last() > report.last {
                    report.last = records.last();
                    count = records.record_count() as u64;
                }
            }
            Ok(_) => {}
            Err(StoreError::Corrupt { .. }) => report.torn_bytes += bytes.len() as u64,
            Err(error) => return Err(error),
        }
    }
    report.records += count;
    Ok(())
}
