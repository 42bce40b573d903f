//! An immutable sorted run of index entries in one file.
//!
//! ```text
//! magic (8)
//! block: CRC32C u32, entries: shared u8, rest u8, rest bytes …      (repeated)
//! page of the filter: CRC32C u32, up to 128 blocks of 32 bytes                  (between blocks)
//! footer: name, counts, last entry, per block its place and how it begins, spans of ids, per page the same as per block
//! trailer: footer offset u64, footer length u32, CRC32C of the footer u32, magic (8)
//! ```
//!
//! Entries are sorted and each shares a prefix with the one before in its block. What a lookup
//! needs besides one block is kept in memory: how the blocks begin ([`footer`](super::footer)), and those
//! pages of the [`filter`](super::filter) that were asked before. What a checksum covers says
//! [`piece`](super::piece).

use std::path::Path;

use super::filter::Filter;
use super::footer::{Fences, Footer};
use super::key::{ENTRY_BYTES_MAX, Entry, IdSpans, Sought, command_key_of, hash_of, used_of};
use super::piece::{self, CHECKSUM_BYTES, RunMark};
use crate::core::Used;
use crate::core::codec::{Decode as _, DecodeError, Encode as _, Reader, record};
use crate::core::command::CommandKey;
use crate::core::types::Sequence;
use crate::store::file::{Access, File};
use crate::store::{Disk, StoreError};

pub(super) const MAGIC: &[u8; 8] = b"CFINDEX4";

/// No block is longer than this; a longer one is damage, not a reason to allocate.
const BLOCK_BYTES_MAX: usize = 64 * 1024;

const TRAILER_BYTES: usize = 24;

/// The ending of a run's file in which damage was found.
const DAMAGED: &str = "damaged";

record! {
    /// Which events a run indexes, and how often it was merged: names its file.
    #[derive(Copy, PartialOrd, Ord, Hash)]
    pub struct RunName {
        /// The first sequence it is for.
        pub first: Sequence,
        /// The last sequence it is for.
        pub last: Sequence,
        /// Zero when it came from memory; one more than the runs it was merged from.
        pub level: u8,
    }
}

impl RunName {
    /// The file's name.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{:020}-{:020}-{}.run", self.first, self.last, self.level)
    }

    /// What tells the pieces of its file from those of other runs: see [`piece`](super::piece).
    #[must_use]
    pub fn mark(&self) -> RunMark {
        crc32c::crc32c(&self.to_bytes())
    }

    /// The run that has this file name.
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".run")?.split('-');
        let name = Self {
            first: Sequence(parts.next()?.parse().ok()?),
            last: Sequence(parts.next()?.parse().ok()?),
            level: parts.next()?.parse().ok()?,
        };
        (parts.next().is_none() && name.first <= name.last).then_some(name)
    }
}

/// A run that is open for reading.
#[derive(Debug)]
pub struct Run {
    disk: Disk,
    name: RunName,
    mark: RunMark,
    file: File,
    fences: Fences,
    last: Vec<u8>,
    entries: u64,
    commands: u64,
    ids: IdSpans,
    filter: Filter,
    bytes: u64,
}

impl Run {
    /// Opens the run and reads what is kept in memory of it: of its filter nothing yet.
    ///
    /// # Errors
    /// When the file cannot be read or its footer is not what was written.
    pub fn open(disk: &Disk, folder: &Path, name: RunName) -> Result<Self, StoreError> {
        let path = folder.join(name.file_name());
        let file = disk.open(&path, Access::Read)?;
        let bytes = file.len()?;
        let damaged = |offset: u64, reason: String| StoreError::corrupt(&path, offset, reason);
        let Some(trailer_at) = bytes.checked_sub(TRAILER_BYTES as u64) else {
            return Err(damaged(0, "too short for an index run".to_owned()));
        };
        let mut trailer = [0; TRAILER_BYTES];
        file.read_exact_at(&mut trailer, trailer_at)?;
        let footer_at = u64::from_le_bytes(trailer[..8].try_into().unwrap_or_default());
        let footer_len = u32::from_le_bytes(trailer[8..12].try_into().unwrap_or_default());
        let checksum = u32::from_le_bytes(trailer[12..16].try_into().unwrap_or_default());
        if &trailer[16..] != MAGIC || footer_at.checked_add(u64::from(footer_len)) != Some(trailer_at) {
            return Err(damaged(trailer_at, "not the end of an index run".to_owned()));
        }
        let mut footer = vec![0; footer_len as usize];
        file.read_exact_at(&mut footer, footer_at)?;
        if crc32c::crc32c(&footer) != checksum {
            return Err(damaged(footer_at, "footer checksum differs".to_owned()));
        }
        let footer = Footer::decode(&footer).map_err(|e| damaged(footer_at, format!("footer: {e}")))?;
        if footer.name != name {
            return Err(damaged(footer_at, format!("the footer is that of {}", footer.name.file_name())));
        }
        let Footer { fences, last, entries, commands, ids, filter, .. } = footer;
        let Some(filter) = Filter::at(name.mark(), filter, footer_at) else {
            return Err(damaged(footer_at, "a page of the filter lies where none can".to_owned()));
        };
        Ok(Self {
            disk: disk.clone(),
            name,
            mark: name.mark(),
            file,
            fences,
            last,
            entries,
            commands,
            ids,
            filter,
            bytes,
        })
    }

    /// Which events it indexes.
    #[must_use]
    pub fn name(&self) -> RunName {
        self.name
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// How many entries it has.
    #[must_use]
    pub fn entry_count(&self) -> u64 {
        self.entries
    }

    /// How many of its entries are used commands.
    #[must_use]
    pub fn command_count(&self) -> u64 {
        self.commands
    }

    /// Bytes of its file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Between which ids those of its commands lie.
    #[must_use]
    pub fn ids(&self) -> &IdSpans {
        &self.ids
    }

    /// Whether the key lies between the ids that it has.
    #[must_use]
    pub fn spans(&self, key: &CommandKey) -> bool {
        self.ids.span(key)
    }

    /// The used command with this key. Fresh keys are answered from memory, nearly always, once the pages
    /// of the filter are there that they ask.
    ///
    /// # Errors
    /// When a block or a page of the filter cannot be read or is damaged.
    pub fn find(&self, sought: &Sought) -> Result<Option<Used>, StoreError> {
        if !self.noting_damage(self.filter.may_contain(&self.file, sought.bytes(), sought.hash()))? {
            return Ok(None);
        }
        let key = sought.bytes();
        let mut cursor = self.seek(key)?;
        let entry = cursor.next(self)?;
        Ok(entry.and_then(|entry| entry.as_slice().starts_with(key).then(|| used_of(entry.as_slice())).flatten()))
    }

    /// A cursor before the first entry that is not below `bound`, which is no longer than an entry.
    ///
    /// # Errors
    /// When a block cannot be read or is damaged.
    pub fn seek(&self, bound: &[u8]) -> Result<Cursor, StoreError> {
        let after = self.fences.count_upto(bound);
        let block = after.saturating_sub(1);
        let mut cursor = Cursor { block, place: 0, bytes: Vec::new(), at: 0, entries: Vec::new(), loaded: false };
        if block < self.fences.len() {
            cursor.load(self)?;
            let mut first = Entry::EMPTY;
            first.go_on(0, bound);
            while cursor.decode(self)?.is_some_and(|entry| *entry < first) {
                cursor.place += 1;
            }
        }
        Ok(cursor)
    }

    fn read_block(&self, place: usize, entries: &mut Vec<Entry>) -> Result<(), StoreError> {
        self.noting_damage(self.try_read_block(place, entries))
    }

    /// Sets the run aside when it is damaged.
    #[inline]
    pub(super) fn noting_damage<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Corrupt { .. }) = &result {
            self.set_aside();
        }
        result
    }

    #[cold]
    fn set_aside(&self) {
        // The node stops now. The next start misses the file, and rebuilds it from the journal;
        // if the renaming fails too, the next lookup finds the same damage again.
        let _ = self.disk.rename(self.path(), &self.path().with_extension(DAMAGED));
    }

    fn damaged(&self, place: usize, reason: &str) -> StoreError {
        StoreError::corrupt(self.path(), self.fences.get(place).offset, format!("index block {place}: {reason}"))
    }

    /// How many blocks it has.
    pub(super) fn block_count(&self) -> usize {
        self.fences.len()
    }

    /// Reads a block's bytes, its checksum in front.
    pub(super) fn load_block(&self, place: usize, bytes: &mut Vec<u8>) -> Result<(), StoreError> {
        let fence = self.fences.get(place);
        if fence.len as usize > BLOCK_BYTES_MAX || (fence.len as usize) <= CHECKSUM_BYTES {
            return Err(self.damaged(place, "impossible length"));
        }
        bytes.resize(fence.len as usize, 0);
        self.file.read_exact_at(bytes, fence.offset)?;
        piece::open(bytes, self.mark, fence.offset).map(drop).ok_or_else(|| self.damaged(place, "checksum differs"))
    }

    /// Reads the entry at the reader behind the entry before it in the block, whose place it takes.
    pub(super) fn next_entry(&self, place: usize, input: &mut Reader<'_>, entry: &mut Entry) -> Result<(), StoreError> {
        let before = *entry;
        next_entry(input, entry).map_err(|error| self.damaged(place, &error.to_string()))?;
        if before >= *entry {
            return Err(self.damaged(place, "entries out of order"));
        }
        if before == Entry::EMPTY && !entry.as_slice().starts_with(self.fences.key(place)) {
            return Err(self.damaged(place, "first entry is another one"));
        }
        Ok(())
    }

    fn try_read_block(&self, place: usize, entries: &mut Vec<Entry>) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        self.load_block(place, &mut bytes)?;
        entries.clear();
        let mut input = Reader::new(&bytes[CHECKSUM_BYTES..]);
        let mut entry = Entry::EMPTY;
        while !input.remaining().is_empty() {
            self.next_entry(place, &mut input, &mut entry)?;
            entries.push(entry);
        }
        Ok(())
    }

    /// Reads every block and the whole filter, of which a page is in memory at a time.
    ///
    /// # Errors
    /// The first block or page of the filter that cannot be read or is damaged, or a count that differs.
    pub fn verify(&self) -> Result<(), StoreError> {
        let mut filter = self.filter.walk(&self.file);
        let (mut entries, mut commands, mut block, mut last) = (0, 0, Vec::new(), None::<Entry>);
        for place in 0..self.fences.len() {
            self.read_block(place, &mut block)?;
            let damaged = |reason| StoreError::corrupt(self.path(), self.fences.get(place).offset, reason);
            // The first entry begins with the key.
            if last.is_some_and(|last| self.fences.key(place) <= last.as_slice()) {
                return Err(damaged(format!("index block {place} is out of order")));
            }
            for key in block.iter().filter_map(|entry| command_key_of(entry.as_slice())) {
                if !self.noting_damage(filter.has(key, hash_of(key)))? || !self.ids.span_bytes(key) {
                    return Err(damaged(format!("filter or spans lack the command {key:02x?}")));
                }
                commands += 1;
            }
            last = block.last().copied();
            entries += block.len() as u64;
        }
        let counted = (entries, commands) == (self.entries, self.commands) && filter.is_over();
        if !counted || last.as_ref().map_or(&[][..], Entry::as_slice) != self.last {
            let reason = format!("{entries} entries, {commands} of them commands: its footer, or filter, has others");
            return Err(StoreError::corrupt(self.path(), 0, reason));
        }
        Ok(())
    }
}

fn next_entry(input: &mut Reader<'_>, entry: &mut Entry) -> Result<(), DecodeError> {
    let shared = usize::from(u8::decode(input)?);
    let rest = usize::from(u8::decode(input)?);
    if shared > entry.as_slice().len() || shared + rest > ENTRY_BYTES_MAX || shared + rest == 0 {
        return Err(DecodeError::UnknownTag("index entry", shared as u8));
    }
    entry.go_on(shared, input.take(rest, "index entry")?);
    Ok(())
}

/// A place between two entries of a run.
#[derive(Debug)]
pub struct Cursor {
    block: usize,
    /// How many entries of the block stand before the cursor.
    place: usize,
    /// The block's bytes.
    bytes: Vec<u8>,
    /// Where in them the entries end that were decoded.
    at: usize,
    /// Those: no more than the cursor came by.
    entries: Vec<Entry>,
    loaded: bool,
}

impl Cursor {
    fn load(&mut self, run: &Run) -> Result<(), StoreError> {
        self.loaded = false;
        self.entries.clear();
        let loaded = run.load_block(self.block, &mut self.bytes);
        run.noting_damage(loaded)?;
        (self.at, self.loaded) = (CHECKSUM_BYTES, true);
        Ok(())
    }

    /// Decodes one entry more of the block, unless all are.
    fn decode(&mut self, run: &Run) -> Result<Option<&Entry>, StoreError> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        let mut entry = self.entries.last().copied().unwrap_or(Entry::EMPTY);
        let mut input = Reader::new(&self.bytes[self.at..]);
        let decoded = run.next_entry(self.block, &mut input, &mut entry);
        run.noting_damage(decoded)?;
        self.at = self.bytes.len() - input.remaining().len();
        self.entries.push(entry);
        Ok(self.entries.last())
    }

    /// The entry behind the cursor, which moves behind it.
    ///
    /// # Errors
    /// When a block cannot be read or is damaged.
    pub fn next(&mut self, run: &Run) -> Result<Option<Entry>, StoreError> {
        loop {
            if self.block >= run.fences.len() {
                return Ok(None);
            }
            if !self.loaded {
                self.load(run)?;
            }
            if self.place < self.entries.len() || self.decode(run)?.is_some() {
                self.place += 1;
                return Ok(Some(self.entries[self.place - 1]));
            }
            self.block += 1;
            self.place = 0;
            self.loaded = false;
        }
    }

    /// The entry before the cursor, which moves before it.
    ///
    /// # Errors
    /// When a block cannot be read or is damaged.
    pub fn previous(&mut self, run: &Run) -> Result<Option<Entry>, StoreError> {
        loop {
            if self.place > 0 && self.loaded {
                self.place -= 1;
                return Ok(Some(self.entries[self.place]));
            }
            if self.block == 0 {
                return Ok(None);
            }
            self.block -= 1;
            if self.block < run.fences.len() {
                self.load(run)?;
                while self.decode(run)?.is_some() {}
                self.place = self.entries.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::HistoryKey;
    use std::sync::Arc;

    use super::super::run_writer::{RunWriter, append_end};
    use super::super::scan::Scan;
    use super::*;
    use crate::core::command::{CommandKey, Scope};
    use crate::core::types::{AccountId, CommandId, OrderId};

    fn command(number: u64) -> (CommandKey, Used) {
        let id = CommandId(u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) | 1);
        let key = CommandKey { scope: Scope::Trading, account: AccountId(number % 50), id };
        (key, Used { fingerprint: number.wrapping_mul(31), sequence: Sequence(number) })
    }

    fn write(folder: &Path, count: u64) -> (Arc<Run>, Vec<Entry>) {
        let mut entries = Vec::new();
        for number in 1..=count {
            let (key, used) = command(number);
            entries.push(Entry::used(&key, used));
            entries.push(Entry::event(&HistoryKey::ChangesOf(OrderId(number / 3)).into(), Sequence(number)));
        }
        entries.sort();
        let name = RunName { first: Sequence(1), last: Sequence(count), level: 0 };
        let mut writer = RunWriter::create(&Disk::real(), folder, name).expect("created");
        for entry in &entries {
            writer.push(entry).expect("pushed");
        }
        (Arc::new(writer.finish().expect("finished")), entries)
    }

    #[test]
    fn what_was_written_is_found_and_read_both_ways() {
        let dir = tempfile::tempdir().expect("a folder");
        let (run, entries) = write(dir.path(), 5_000);
        assert!(run.fences.len() > 10, "several blocks: {}", run.fences.len());
        assert_eq!((run.entry_count(), run.command_count()), (10_000, 5_000));
        run.verify().expect("undamaged");
        for number in 1..=5_000 {
            let (key, used) = command(number);
            assert_eq!(run.find(&Sought::from(&key)).expect("readable"), Some(used), "{number}");
        }
        assert_eq!(run.find(&Sought::from(&command(5_001).0)).expect("readable"), None);

        let mut scan = Scan::start(Arc::clone(&run)).expect("readable");
        for entry in &entries {
            assert_eq!(scan.next(), Some(entry));
            scan.advance().expect("readable");
        }
        assert_eq!(scan.next(), None);
        let mut cursor = run.seek(&[]).expect("readable");
        for entry in &entries {
            assert_eq!(cursor.next(&run).expect("readable").as_ref(), Some(entry));
        }
        assert_eq!(cursor.next(&run).expect("readable"), None);
        for entry in entries.iter().rev() {
            assert_eq!(cursor.previous(&run).expect("readable").as_ref(), Some(entry));
        }
        assert_eq!(cursor.previous(&run).expect("readable"), None);
        for place in (0..entries.len()).step_by(37) {
            let mut cursor = run.seek(entries[place].as_slice()).expect("readable");
            assert_eq!(cursor.next(&run).expect("readable"), Some(entries[place]), "at or above the bound");
            let mut cursor = run.seek(entries[place].as_slice()).expect("readable");
            let before = place.checked_sub(1).map(|before| entries[before]);
            assert_eq!(cursor.previous(&run).expect("readable"), before, "below the bound");
        }
    }

    #[test]
    fn a_bound_beside_the_beginning_of_a_block_is_sought_from_both_sides() {
        let dir = tempfile::tempdir().expect("a folder");
        let (run, entries) = write(dir.path(), 5_000);
        for place in 1..run.fences.len() {
            let key = run.fences.key(place);
            let first = entries.partition_point(|entry| entry.as_slice() < key);
            let shared = entries[first - 1].shared_with(&entries[first]);
            assert_eq!(key.len(), shared + 1, "block {place}: no more than tells it from the entry before");
            let (before, behind) = (entries[first - 1].as_slice(), entries[first].as_slice());
            let above = [before, &[0]].concat();
            for bound in [key, before, behind, &above, &key[..key.len() - 1], &behind[..behind.len() - 1]] {
                let expected = entries.partition_point(|entry| entry.as_slice() < bound);
                let next = run.seek(bound).expect("readable").next(&run).expect("readable");
                assert_eq!(next.as_ref(), entries.get(expected), "block {place}, bound {bound:02x?}");
                let previous = run.seek(bound).expect("readable").previous(&run).expect("readable");
                assert_eq!(previous, expected.checked_sub(1).map(|place| entries[place]), "block {place}");
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let dir = tempfile::tempdir().expect("a folder");
        let (run, _) = write(dir.path(), 2_100);
        let good = std::fs::read(run.path()).expect("readable");
        for at in (0..good.len()).step_by(97) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            std::fs::write(run.path(), &bad).expect("written");
            let checked = Run::open(&Disk::real(), dir.path(), run.name()).and_then(|run| run.verify());
            // The file's first bytes are not read: it has the same at its end.
            assert!(checked.is_err() || at < MAGIC.len(), "byte {at}");
        }
        for cut in (0..good.len()).step_by(997) {
            std::fs::write(run.path(), &good[..cut]).expect("written");
            assert!(Run::open(&Disk::real(), dir.path(), run.name()).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_footer_that_names_other_pages_is_found() {
        let dir = tempfile::tempdir().expect("a folder");
        let (run, _) = write(dir.path(), 2_100);
        let good = std::fs::read(run.path()).expect("readable");
        let trailer = good.len() - TRAILER_BYTES;
        let footer_at = u64::from_le_bytes(good[trailer..trailer + 8].try_into().expect("eight bytes")) as usize;
        // Checksums fit, as if it had been written so.
        let verify = |change: &dyn Fn(&mut Footer)| {
            let mut footer = Footer::decode(&good[footer_at..trailer]).expect("its footer");
            change(&mut footer);
            let mut bytes = good[..footer_at].to_vec();
            append_end(&footer, footer_at as u64, &mut bytes);
            // One that is damaged is set aside.
            std::fs::write(dir.path().join(run.name().file_name()), bytes).expect("written");
            Run::open(&Disk::real(), dir.path(), run.name()).and_then(|run| run.verify())
        };
        let pages = |places: &'static [(usize, Option<u8>)]| {
            move |footer: &mut Footer| {
                let old = std::mem::take(&mut footer.filter);
                for (place, key) in places {
                    let key = key.as_ref().map_or(old.key(*place), std::slice::from_ref);
                    footer.filter.push(old.get(*place).offset, old.get(*place).len, key);
                }
            }
        };
        verify(&pages(&[(0, None), (1, None)])).expect("the same again");
        verify(&|footer| footer.commands -= 1).expect_err("another count");
        let others: [&[_]; 4] = [&[], &[(0, None)], &[(1, None)], &[(0, None), (1, None), (1, Some(0xff))]];
        for other in others {
            let error = verify(&pages(other)).expect_err("a key asks the wrong page, or a page is asked by none");
            assert!(matches!(error, StoreError::Corrupt { .. }), "{other:?}: {error}");
        }
    }

    #[test]
    fn a_filter_is_in_memory_as_far_as_it_was_asked() {
        let dir = tempfile::tempdir().expect("a folder");
        let (run, _) = write(dir.path(), 9_000);
        run.verify().expect("undamaged");
        run.seek(&[]).expect("readable");
        assert!(run.filter.resident().is_empty(), "writing, opening, verifying and reading leave none of it");
        let (key, used) = command(1);
        assert_eq!(run.find(&Sought::from(&key)).expect("readable"), Some(used));
        assert_eq!(run.filter.resident().len(), 1);
        for number in 1..=9_000 {
            let (key, used) = command(number);
            assert_eq!(run.find(&Sought::from(&key)).expect("readable"), Some(used), "{number}");
        }
        assert_eq!(run.filter.resident(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_damaged_page_of_the_filter_is_a_fault_and_not_an_answer() {
        let dir = tempfile::tempdir().expect("a folder");
        let (run, _) = write(dir.path(), 100);
        let path = run.path().to_owned();
        let mut bytes = std::fs::read(&path).expect("readable");
        let last_block = run.fences.get(run.fences.len() - 1);
        let filter = (last_block.offset + u64::from(last_block.len)) as usize;
        bytes[filter + 40..filter + 80].fill(0);
        std::fs::write(&path, &bytes).expect("written");
        for number in [1, 101] {
            let error = run.find(&Sought::from(&command(number).0)).expect_err("it may be there or not");
            let place = format!("{} is damaged at byte {filter}", path.display());
            assert!(error.to_string().contains(&place), "{error}");
        }
        assert!(!path.exists(), "the next start does not take it for whole");
    }

    #[test]
    fn a_name_reads_back() {
        let name = RunName { first: Sequence(1), last: Sequence(u64::MAX), level: 3 };
        assert_eq!(RunName::from_file_name(&name.file_name()), Some(name));
        assert_eq!(RunName::from_file_name("7-6-0.run"), None);
        assert_eq!(RunName::from_file_name("LOCK"), None);
    }
}
