//! The contents of a full segment: where its blocks are, so that a start need not read the header of every block
//! of a long history.
//!
//! A file of its own beside the segment, written when that is full. It follows from the segment: one that is missing,
//! damaged, or not that of the segment as it stands is as good as none, and the headers are read.

use std::path::{Path, PathBuf};

use super::BlockDigest;
use super::block::{BLOCK_HEADER_BYTES, BlockHeader};
use super::files::{self, BLOCKS_PER_SEGMENT};
use super::scan::{self, Cursor};
use super::shared::BlockPlace;
use crate::core::codec::{Decode as _, Encode as _, record};
use crate::core::types::{Sequence, Timestamp};
use crate::store::StoreError;
use crate::store::file::{Access, Disk, File};

const MAGIC: [u8; 8] = *b"CFOILJNC";
const SUFFIX: &str = ".contents";

record! {
    #[derive(Copy)]
    struct Place {
        first: Sequence,
        first_time: Timestamp,
        offset: u64,
        len: u32,
    }
}

record! {
    struct Contents {
        magic: [u8; 8],
        /// The number of the segment.
        segment: u64,
        /// The chain's digest before its first block, and with its last one.
        previous: BlockDigest,
        digest: BlockDigest,
        /// Its last event.
        last: Sequence,
        blocks: Vec<Place>,
    }
}

/// The file beside the segment with this number.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    files::segment_path(dir, number).with_extension(&SUFFIX[1..])
}

/// Writes the contents of the full segment, whose blocks are at these places. Nothing is synced: what a crash leaves of
/// it is none.
///
/// # Errors
/// I/O.
pub(super) fn write(disk: &Disk, segment: &File, number: u64, blocks: &[BlockPlace]) -> Result<(), StoreError> {
    let [first, .., last] = blocks else { return Ok(()) };
    let (Ok(first), Ok(last)) = (header_at(segment, first)?, header_at(segment, last)?) else { return Ok(()) };
    let place = |block: &BlockPlace| Place {
        first: block.first,
        first_time: block.first_time,
        offset: block.offset,
        len: block.len,
    };
    let contents = Contents {
        magic: MAGIC,
        segment: number,
        previous: first.previous,
        digest: last.digest,
        last: last.last,
        blocks: blocks.iter().map(place).collect(),
    };
    let body = contents.to_bytes();
    let mut bytes = crc32c::crc32c(&body).to_bytes();
    bytes.extend_from_slice(&body);
    let dir = segment.path().parent().unwrap_or(segment.path());
    disk.open(&path(dir, number), Access::Create)?.write_at(&bytes, 0)
}

/// The places of the blocks of a full segment that goes on at the cursor, which moves behind it; `None` when its contents
/// are not known.
///
/// # Errors
/// I/O.
pub(super) fn read(
    disk: &Disk,
    dir: &Path,
    number: u64,
    cursor: &mut Cursor,
) -> Result<Option<Vec<BlockPlace>>, StoreError> {
    let Some(contents) = disk.read_file(&path(dir, number))?.and_then(|bytes| decode(&bytes)) else { return Ok(None) };
    let Contents { segment, previous, digest, last, blocks, .. } = contents;
    let (Some(first_block), Some(last_block)) = (blocks.first(), blocks.last()) else { return Ok(None) };
    if (segment, cursor.number, blocks.len() as u64) != (number, number * BLOCKS_PER_SEGMENT, BLOCKS_PER_SEGMENT)
        || (previous, first_block.first) != (cursor.digest, cursor.last.plus(1))
    {
        return Ok(None);
    }
    let file = disk.open(&files::segment_path(dir, number), Access::Read)?;
    if file.len()? != last_block.offset + u64::from(last_block.len) || !scan::is_segment(&file, number)? {
        return Ok(None);
    }
    let Ok(header) = header_at(&file, &BlockPlace::from(last_block))? else { return Ok(None) };
    let next = (number + 1) * BLOCKS_PER_SEGMENT;
    if (header.number + 1, header.last, header.digest) != (next, last, digest) {
        return Ok(None);
    }
    *cursor = Cursor { number: next, offset: 0, digest, last };
    Ok(Some(blocks.iter().map(BlockPlace::from).collect()))
}

fn decode(bytes: &[u8]) -> Option<Contents> {
    let (checksum, body) = bytes.split_first_chunk()?;
    if u32::from_le_bytes(*checksum) != crc32c::crc32c(body) {
        return None;
    }
    let contents = Contents::from_bytes(body).ok().filter(|contents| contents.magic == MAGIC)?;
    let ends = |block: &Place| block.offset.checked_add(u64::from(block.len)).is_some();
    contents.blocks.iter().all(ends).then_some(contents)
}

impl From<&Place> for BlockPlace {
    fn from(place: &Place) -> Self {
        let Place { first, first_time, offset, len } = *place;
        Self { first, first_time, offset, len }
    }
}

fn header_at(segment: &File, place: &BlockPlace) -> Result<Result<BlockHeader, String>, StoreError> {
    let mut bytes = [0; BLOCK_HEADER_BYTES];
    let count = segment.read_at(&mut bytes, place.offset)?;
    Ok(BlockHeader::read(&bytes[..count]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::long;
    use super::super::{Journal, JournalOptions, verify_journal};
    use super::*;
    use crate::store::testing::SimDisk;

    const DIR: &str = "/journal";

    fn reopen(sim: &SimDisk, keep: Sequence) -> Result<Journal, StoreError> {
        Journal::open(Path::new(DIR), JournalOptions { disk: sim.disk(), cache_bytes: 0 }, keep)
    }

    /// A journal of one full segment and a bit of the next, closed: its disk, its last event, and the last of the segment.
    fn written() -> (SimDisk, Sequence, Sequence) {
        let sim = SimDisk::default();
        let journal = long(Path::new(DIR), JournalOptions { disk: sim.disk(), cache_bytes: 0 }, BLOCKS_PER_SEGMENT + 3);
        let mut cursor = Cursor::default();
        let blocks = read(&sim.disk(), Path::new(DIR), 0, &mut cursor).expect("readable").expect("known");
        assert_eq!((blocks.len() as u64, cursor.number), (BLOCKS_PER_SEGMENT, BLOCKS_PER_SEGMENT));
        assert_eq!(journal.reader().digest_at(cursor.last).expect("readable"), Some(cursor.digest));
        (sim, journal.last_sequence(), cursor.last)
    }

    #[test]
    fn a_start_does_not_read_the_headers_of_a_full_segment() {
        let (sim, last, _) = written();
        let segment = files::segment_path(Path::new(DIR), 0);
        let mut bytes = sim.content(&segment).expect("there");
        let mut cursor = Cursor::default();
        let blocks = read(&sim.disk(), Path::new(DIR), 0, &mut cursor).expect("readable").expect("known");
        bytes[blocks[500].offset as usize + 20] ^= 1;
        sim.put(&segment, &bytes);
        let journal = reopen(&sim, last).expect("what is damaged is not looked at");
        assert_eq!(journal.last_sequence(), last);
        assert!(journal.reader().record_at(blocks[499].first).expect("whole").is_some());
        let found = journal.reader().record_at(blocks[500].first).expect_err("damaged");
        assert!(found.is_damage(), "{found}");
        assert!(verify_journal(&sim.disk(), Path::new(DIR)).is_err());
        drop(journal);
        sim.disk().remove_file(&path(Path::new(DIR), 0)).expect("removed");
        assert!(reopen(&sim, last).expect_err("it looks at all headers").is_damage());
    }

    #[test]
    fn contents_that_are_not_those_of_the_segment_are_none() {
        let (sim, last, _) = written();
        let (contents, segment) = (path(Path::new(DIR), 0), files::segment_path(Path::new(DIR), 0));
        let good = (sim.content(&contents).expect("there"), sim.content(&segment).expect("there"));
        let known = || read(&sim.disk(), Path::new(DIR), 0, &mut Cursor::default()).expect("readable").is_some();
        for at in (0..good.0.len()).step_by(331) {
            let mut bad = good.0.clone();
            bad[at] ^= 1 << (at % 8);
            sim.put(&contents, &bad);
            assert!(!known(), "byte {at}");
            sim.put(&contents, &good.0[..at]);
            assert!(!known(), "cut at {at}");
        }
        assert_eq!(reopen(&sim, last).expect("opens without").last_sequence(), last);
        sim.put(&contents, &good.0);
        sim.put(&segment, &good.1[..good.1.len() - 1]);
        assert!(!known(), "a segment of another length");
        let mut bad = good.1.clone();
        let header = bad.len() - 8_000;
        bad[header..].fill(0);
        sim.put(&segment, &bad);
        assert!(!known(), "a segment with another end");
        sim.put(&segment, &good.1);
        assert!(known());
        let elsewhere = &mut Cursor { digest: [1; 32], ..Cursor::default() };
        assert!(read(&sim.disk(), Path::new(DIR), 0, elsewhere).expect("readable").is_none(), "behind another history");
    }

    #[test]
    fn a_segment_that_is_cut_has_no_contents_until_it_is_full_again() {
        let (sim, last, full) = written();
        let contents = path(Path::new(DIR), 0);
        let written = sim.content(&contents).expect("there");
        let blocks = read(&sim.disk(), Path::new(DIR), 0, &mut Cursor::default()).expect("readable").expect("known");
        let inside = Sequence(blocks[1_000].first.0 - 1);
        drop(reopen(&sim, full).expect("cut behind the segment"));
        assert_eq!(sim.content(&contents), Some(written.clone()));
        drop(reopen(&sim, inside).expect("cut into the segment"));
        assert_eq!(sim.content(&contents), None);
        let mut journal = reopen(&sim, inside).expect("opens");
        let (other, _, _) = self::written();
        let source = reopen(&other, last).expect("opens").reader();
        while journal.last_sequence() < last {
            let bytes = source.read_encoded(journal.last_sequence().plus(1), last, 1 << 20).expect("read");
            journal.append_encoded(&bytes).expect("appended");
            journal.flusher().sync(journal.last_sequence()).expect("synced");
        }
        assert_eq!(sim.content(&contents), Some(written), "as on every node");
    }
}
