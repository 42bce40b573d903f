//! Damage inside blocks: found, remembered over a restart, and made good from another node's records.
//!
//! A start looks at the headers of the blocks whose places it does not know, and at nothing behind them: a flipped bit in
//! an old block shows when the block is read. Then the node stops, and what it found is noted, so that the next start looks at all blocks.
//!
//! The journal is the same on every node. A block whose header is whole says what its records have to add up
//! to, by the digest of the chain: when another node's records do, they are those that were lost, whoever sent
//! them. Blocks are cut and compressed alike by every node of one build, so that they fit the place, too.

use std::path::{Path, PathBuf};

use super::block::{self, BLOCK_HEADER_BYTES, Block, BlockHeader};
use super::{packed, scan, verify_journal};
use crate::core::types::Sequence;
use crate::store::StoreError;
use crate::store::file::{Access, Disk};

/// The file that says that a block was found damaged.
const SUSPECT: &str = "SUSPECT";

/// Notes for the next start that a block was found damaged. This one is about to stop, whatever becomes of the note.
pub(super) fn note_suspect(disk: &Disk, dir: &Path, error: &StoreError) {
    if let Err(error) = disk.replace_file(&dir.join(SUSPECT), error.to_string().as_bytes()) {
        tracing::warn!(%error, "what is damaged is not noted for the next start");
    }
}

/// Looks at every block if one was found damaged by the run before. Returns what is wrong, if it still is.
///
/// # Errors
/// I/O.
pub fn suspected_damage(disk: &Disk, dir: &Path) -> Result<Option<StoreError>, StoreError> {
    let note = dir.join(SUSPECT);
    if !disk.exists(&note)? {
        return Ok(None);
    }
    match verify_journal(disk, dir) {
        Err(error @ StoreError::Corrupt { .. }) => Ok(Some(error)),
        Err(error) => Err(error),
        Ok(_) => {
            tracing::info!("the journal is whole, although a block was found damaged before");
            disk.remove_file(&note)?;
            disk.sync_folder(dir)?;
            Ok(None)
        }
    }
}

/// A block whose header is whole, and nothing behind it.
#[derive(Debug, Clone)]
pub struct DamagedBlock {
    path: PathBuf,
    offset: u64,
    header: BlockHeader,
    reason: String,
}

impl std::fmt::Display for DamagedBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is damaged at byte {}: {}", self.path.display(), self.offset, self.reason)
    }
}

impl DamagedBlock {
    /// Its first and last event.
    #[must_use]
    pub fn events(&self) -> (Sequence, Sequence) {
        (self.header.first, self.header.last)
    }
}

/// The damaged blocks of a journal of which all headers are whole. `None` when not all are, or when what stands
/// behind a header cannot be read: those it takes more to make good.
///
/// # Errors
/// I/O.
pub fn damaged_blocks(disk: &Disk, dir: &Path) -> Result<Option<Vec<DamagedBlock>>, StoreError> {
    let mut found = Vec::new();
    let numbers = scan::segments(disk, dir)?;
    let (_, damage) = scan::walk(disk, dir, &numbers, |visited| {
        let (header, path) = (visited.header.clone(), visited.file.path());
        let whole = header.unpack(path, visited.offset, &scan::read_stored(&visited)?).and_then(|block| {
            match block::chain(&header.previous, block.raw()) == header.digest {
                true => Ok(()),
                false => Err(StoreError::corrupt(path, visited.offset, "its digest does not match")),
            }
        });
        match whole {
            Ok(()) => {}
            Err(StoreError::Corrupt { reason, .. }) => {
                found.push(DamagedBlock { path: path.to_owned(), offset: visited.offset, header, reason });
            }
            Err(error) => return Err(error),
        }
        Ok(scan::Go::On)
    })?;
    Ok(damage.is_none().then_some(found))
}

/// Writes a damaged block again, from its records as [`JournalReader::read_encoded`](super::JournalReader::read_encoded)
/// gave them on another node.
///
/// # Errors
/// [`StoreError::Malformed`] or [`StoreError::RecordOutOfOrder`] when they are not the block's; nothing is written
/// then. I/O.
pub fn mend(disk: &Disk, block: &DamagedBlock, records: &[u8]) -> Result<(), StoreError> {
    let DamagedBlock { path, offset, header, .. } = block;
    let mut whole = Block::default();
    for record in &block::split_shipped(records, header.first)? {
        whole.push(record.view());
    }
    let malformed = |reason: &str| StoreError::Malformed { reason: format!("of block {}: {reason}", header.number) };
    if whole.last() != header.last || block::chain(&header.previous, whole.raw()) != header.digest {
        return Err(malformed("they are not the records that the block was made of"));
    }
    let stored = packed::pack(&whole, &header.digest);
    if stored.len() as u64 != u64::from(header.stored_len) || crc32c::crc32c(&stored) != header.stored_checksum {
        return Err(malformed("they are compressed to other bytes than those that stood there"));
    }
    let file = disk.open(path, Access::Write)?;
    file.write_at(&stored, offset + BLOCK_HEADER_BYTES as u64)?;
    file.sync()
}

#[cfg(test)]
mod tests {
    use super::super::{Journal, JournalOptions, segment_path};
    use super::*;
    use crate::core::event::Record;
    use crate::store::fuzzing::seeds;
    use crate::store::testing::SimDisk;

    const DIR: &str = "/journal";

    /// A journal of several blocks, and the disk it lies on.
    fn written() -> (SimDisk, Journal) {
        let sim = SimDisk::default();
        let options = JournalOptions { disk: sim.disk(), cache_bytes: 0 };
        let mut journal = Journal::open_whole(Path::new(DIR), options).expect("opens");
        let records = seeds::records();
        let mut sequence = Sequence(1);
        for number in 0..4_000 {
            let mut record = Record::from_bytes(&records[number % records.len()]).expect("sound");
            record.sequence = sequence;
            sequence = record.view().last_sequence().plus(1);
            journal.append(record.view());
        }
        journal.flusher().sync(journal.last_sequence()).expect("synced");
        (sim, journal)
    }

    #[test]
    fn a_damaged_block_is_made_good_by_the_records_of_another_node_and_by_no_others() {
        let (sim, other) = written();
        let disk = sim.disk();
        let path = segment_path(Path::new(DIR), 0);
        let good = sim.content(&path).expect("written");
        assert!(damaged_blocks(&disk, Path::new(DIR)).expect("readable").is_some_and(|blocks| blocks.is_empty()));
        let spoiled = |at: usize| {
            let mut bad = good.clone();
            bad[400] ^= 8;
            bad[at] ^= 8;
            bad
        };
        let spares_headers = |bad: &Vec<u8>| {
            sim.put(&path, bad);
            damaged_blocks(&disk, Path::new(DIR)).expect("readable").is_some()
        };
        let mut places = (good.len() / 2..good.len()).step_by(BLOCK_HEADER_BYTES).map(spoiled);
        let bad = places.find(spares_headers).expect("not all of it is headers");
        let blocks = damaged_blocks(&disk, Path::new(DIR)).expect("readable").expect("headers are whole");
        assert_eq!(blocks.len(), 2, "{blocks:?}");
        assert!(blocks[0].to_string().contains("at byte 32"), "{}", blocks[0]);
        let records = |block: &DamagedBlock| {
            let (first, last) = block.events();
            // From memory and cache, as another node would read it.
            sim.put(&path, &good);
            let records = other.reader().read_encoded(first, last, usize::MAX).expect("read");
            sim.put(&path, &bad);
            records
        };
        let (one, two) = (records(&blocks[0]), records(&blocks[1]));
        for wrong in [&two[..], &one[..one.len() / 2], b"", &[]] {
            assert!(mend(&disk, &blocks[0], wrong).is_err());
        }
        let mut forged = Record::from_bytes(&one[4..4 + u32::from_le_bytes([one[0], one[1], one[2], one[3]]) as usize])
            .expect("a record");
        forged.stamp.time.0 += 1;
        let forged = [&one[..4], &forged.view().to_bytes(), &one[4 + forged.view().to_bytes().len()..]].concat();
        assert!(mend(&disk, &blocks[0], &forged).is_err(), "another history");
        assert_eq!(sim.content(&path).expect("there"), bad, "nothing was written");
        mend(&disk, &blocks[0], &one).expect("mended");
        mend(&disk, &blocks[1], &two).expect("mended");
        assert!(sim.content(&path).expect("there") == good, "byte for byte");
    }

    #[test]
    fn a_block_that_was_found_damaged_is_looked_for_at_the_next_start() {
        let (sim, journal) = written();
        let (disk, dir) = (sim.disk(), Path::new(DIR));
        assert!(suspected_damage(&disk, dir).expect("readable").is_none());
        let path = segment_path(dir, 0);
        let good = sim.content(&path).expect("written");
        let mut bad = good.clone();
        bad[400] ^= 8;
        sim.put(&path, &bad);
        drop(journal);
        assert!(suspected_damage(&disk, dir).expect("readable").is_none(), "nobody looked at it yet");
        let journal = Journal::open_whole(dir, JournalOptions { disk: disk.clone(), cache_bytes: 0 });
        drop(journal);
        sim.put(&path, &good);
        let journal = Journal::open_whole(dir, JournalOptions { disk: disk.clone(), cache_bytes: 0 }).expect("opens");
        sim.put(&path, &bad);
        journal.reader().read(Sequence(1), 1, 0).expect_err("it is damaged");
        drop(journal);
        assert!(matches!(suspected_damage(&disk, dir), Ok(Some(StoreError::Corrupt { .. }))));
        sim.put(&path, &good);
        for _ in 0..2 {
            assert!(suspected_damage(&disk, dir).expect("readable").is_none(), "it is whole again");
        }
    }
}
