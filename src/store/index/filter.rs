//! The filter of a run: one page for so many of its used commands, in the order of their keys.
//!
//! A key asks the one page that its place in that order names, so that ids that rise with time ask the page at
//! the end of what rose before, whatever other ids there are: of old filters a page or two is in memory, however
//! long the history. Ids drawn at random ask every page sooner or later. A page comes into memory when it is first
//! asked, and is as long as the apply thread ever waits for the disk here. A page is written as soon as it has its
//! commands, so that a merge holds one of them.

use std::sync::OnceLock;

use super::bloom::{self, BLOCK_BYTES, Block, KEYS_PER_BLOCK};
use super::footer::{Fence, Fences};
use super::piece::{self, CHECKSUM_BYTES, RunMark};
use crate::store::StoreError;
use crate::store::file::File;

/// Blocks of a full page.
const PAGE_BLOCKS: usize = 128;

/// Commands of a full page; the last page has what is left.
pub const PAGE_KEYS: usize = PAGE_BLOCKS * KEYS_PER_BLOCK;

/// Bytes of a full page in the file.
const PAGE_BYTES: usize = CHECKSUM_BYTES + PAGE_BLOCKS * BLOCK_BYTES;

/// A page in memory, at a place where none of its blocks crosses a cache line.
#[derive(Debug)]
#[repr(align(32))]
struct Page([Block; PAGE_BLOCKS]);

impl Page {
    const EMPTY: Self = Self([[0; BLOCK_BYTES / size_of::<u32>()]; PAGE_BLOCKS]);

    /// Whether the key with this hash may be in the page, which has so many blocks.
    fn may_contain(&self, blocks: usize, hash: u64) -> bool {
        bloom::may_contain(&self.0[..blocks], hash)
    }
}

type Slot = OnceLock<Box<Page>>;

/// A filter in a file, and as much of it in memory as was asked.
#[derive(Debug)]
pub struct Filter {
    run: RunMark,
    /// Where each page is, and with which key its commands begin.
    pages: Fences,
    /// Made by the first question.
    slots: OnceLock<Box<[Slot]>>,
}

/// How many blocks the page has that is so long; `None` when no page is.
fn blocks_of(page: Fence) -> Option<usize> {
    let bytes = (page.len as usize).checked_sub(CHECKSUM_BYTES)?;
    let blocks = bytes / BLOCK_BYTES;
    (bytes.is_multiple_of(BLOCK_BYTES) && (1..=PAGE_BLOCKS).contains(&blocks)).then_some(blocks)
}

impl Filter {
    /// The filter of the run with these pages, which have to lie before `end`; nothing is read.
    #[must_use]
    pub fn at(run: RunMark, pages: Fences, end: u64) -> Option<Self> {
        let mut places = (0..pages.len()).map(|number| pages.get(number));
        let lies = |page: Fence| page.offset.checked_add(page.len.into()).is_some_and(|behind| behind <= end);
        let sound = places.all(|page| blocks_of(page).is_some() && lies(page));
        sound.then(|| Self { run, pages, slots: OnceLock::new() })
    }

    /// The page that would have the key, and how many blocks it has.
    fn page_for(&self, key: &[u8]) -> Option<(usize, usize)> {
        let number = self.pages.count_upto(key).checked_sub(1)?;
        Some((number, blocks_of(self.pages.get(number))?))
    }

    /// Whether the key, which has this hash, may be in it. The first question to a page reads it.
    ///
    /// # Errors
    /// When the page cannot be read or is damaged.
    pub fn may_contain(&self, file: &File, key: &[u8], hash: u64) -> Result<bool, StoreError> {
        let Some((number, blocks)) = self.page_for(key) else { return Ok(false) };
        let slots = self.slots.get_or_init(|| (0..self.pages.len()).map(|_| Slot::new()).collect());
        let slot = &slots[number];
        let page = match slot.get() {
            Some(page) => page,
            None => self.load(file, number, slot)?,
        };
        Ok(page.may_contain(blocks, hash))
    }

    #[cold]
    fn load<'a>(&self, file: &File, number: usize, slot: &'a Slot) -> Result<&'a Page, StoreError> {
        let mut page = Box::new(Page::EMPTY);
        self.read_page(file, number, &mut page)?;
        // Nobody waits for another one's reading: of two that read a page at once one keeps it.
        Ok(slot.get_or_init(|| page))
    }

    fn read_page(&self, file: &File, number: usize, page: &mut Page) -> Result<(), StoreError> {
        let Fence { offset, len, .. } = self.pages.get(number);
        let mut bytes = [0; PAGE_BYTES];
        let bytes = &mut bytes[..(len as usize).min(PAGE_BYTES)];
        file.read_exact_at(bytes, offset)?;
        let Some(body) = piece::open(bytes, self.run, offset) else {
            let reason = format!("filter page {number}: checksum differs");
            return Err(StoreError::corrupt(file.path(), offset, reason));
        };
        let (words, _) = body.as_chunks();
        for (word, bytes) in page.0.as_flattened_mut().iter_mut().zip(words) {
            *word = u32::from_le_bytes(*bytes);
        }
        Ok(())
    }

    /// Asks for every key of the run, in order; keeps nothing in memory.
    #[must_use]
    pub fn walk<'a>(&'a self, file: &'a File) -> Walk<'a> {
        Walk { filter: self, file, page: Box::new(Page::EMPTY), next: 0 }
    }

    /// Which pages are in memory.
    #[cfg(test)]
    pub fn resident(&self) -> Vec<usize> {
        let slots = self.slots.get().map_or(&[][..], AsRef::as_ref);
        (0..slots.len()).filter(|number| slots[*number].get().is_some()).collect()
    }
}

/// Goes through a filter, one page after the other.
#[derive(Debug)]
pub struct Walk<'a> {
    filter: &'a Filter,
    file: &'a File,
    page: Box<Page>,
    /// The page behind the one that was read.
    next: usize,
}

impl Walk<'_> {
    /// Whether the next key, which has this hash, is in the page that it would ask for.
    ///
    /// # Errors
    /// When the page cannot be read or is damaged.
    pub fn has(&mut self, key: &[u8], hash: u64) -> Result<bool, StoreError> {
        let Some((number, blocks)) = self.filter.page_for(key) else { return Ok(false) };
        if number == self.next {
            self.filter.read_page(self.file, number, &mut self.page)?;
            self.next += 1;
        }
        Ok(number + 1 == self.next && self.page.may_contain(blocks, hash))
    }

    /// Whether every page was asked.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.next == self.filter.pages.len()
    }
}

/// The page with these hashes, one to [`PAGE_KEYS`], appended to `out`; it will lie at `offset` in the run's file.
pub fn encode_page(hashes: &[u64], run: RunMark, offset: u64, out: &mut Vec<u8>) {
    let mut page = Page::EMPTY;
    let blocks = &mut page.0[..hashes.len().div_ceil(KEYS_PER_BLOCK)];
    hashes.iter().for_each(|hash| bloom::insert(blocks, *hash));
    let start = out.len();
    out.extend_from_slice(&[0; CHECKSUM_BYTES]);
    blocks.as_flattened().iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    piece::seal(&mut out[start..], run, offset);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::core::digest::hash64;
    use crate::store::Disk;
    use crate::store::file::Access;

    const OFFSET: u64 = 77;
    const RUN: RunMark = 5;

    fn hash(key: u64) -> u64 {
        hash64(&key.to_be_bytes())
    }

    /// A filter of these keys, which ascend, in a file behind what else may stand there.
    fn written(folder: &Path, keys: &[u64]) -> (Filter, File) {
        let (mut bytes, mut pages) = (vec![0xab; OFFSET as usize], Fences::default());
        for keys in keys.chunks(PAGE_KEYS) {
            let (offset, hashes) = (bytes.len() as u64, keys.iter().copied().map(hash).collect::<Vec<_>>());
            encode_page(&hashes, RUN, offset, &mut bytes);
            pages.push(offset, (bytes.len() as u64 - offset) as u32, &keys[0].to_be_bytes());
        }
        let file = Disk::real().open(&folder.join("filter"), Access::Create).expect("made");
        file.write_at(&bytes, 0).expect("written");
        (Filter::at(RUN, pages, bytes.len() as u64).expect("it lies there"), file)
    }

    fn asks(filter: &Filter, file: &File, key: u64) -> Result<bool, StoreError> {
        filter.may_contain(file, &key.to_be_bytes(), hash(key))
    }

    #[test]
    fn a_page_is_in_memory_once_it_was_asked() {
        let dir = tempfile::tempdir().expect("a folder");
        let keys: Vec<u64> = (1..=10_000).map(|key| key * 10).collect();
        let (filter, file) = written(dir.path(), &keys);
        assert_eq!((filter.pages.len(), PAGE_KEYS), (5, 2_048));
        assert!(!asks(&filter, &file, 9).expect("no page can have it"));
        assert!(filter.slots.get().is_none(), "not even the table of pages");
        let begin = |page: usize| keys[page * PAGE_KEYS];
        for (key, pages) in [
            (begin(1), &[1][..]),
            (begin(2) - 10, &[1]),
            (begin(2) - 1, &[1]),
            (begin(2), &[1, 2]),
            (begin(1) - 10, &[0, 1, 2]),
            (u64::MAX, &[0, 1, 2, 4]),
        ] {
            let found = asks(&filter, &file, key).expect("readable");
            assert!(found || !keys.contains(&key), "key {key}");
            assert_eq!(filter.resident(), pages, "after key {key}");
        }
        file.set_len(OFFSET).expect("cut");
        assert!(asks(&filter, &file, 10).expect("it is not read again"));
        assert!(asks(&filter, &file, begin(3)).is_err());
    }

    #[test]
    fn ids_that_rise_ask_one_page_although_others_lie_above_them() {
        let dir = tempfile::tempdir().expect("a folder");
        let keys: Vec<u64> = (1..=9_000).chain((1..=4_000).map(|key| key << 32)).collect();
        let (filter, file) = written(dir.path(), &keys);
        let wrong = (9_001..20_000).filter(|key| asks(&filter, &file, *key).expect("readable")).count();
        assert!(wrong < 100, "{wrong} of 11,000 fresh keys");
        assert_eq!(filter.resident(), [9_000 / PAGE_KEYS]);
    }

    #[test]
    fn a_page_that_is_not_the_one_written_is_an_error_and_stays_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let keys: Vec<u64> = (0..5_000).collect();
        let (filter, file) = written(dir.path(), &keys);
        let mut pages = vec![0; 2 * PAGE_BYTES];
        file.read_exact_at(&mut pages, OFFSET).expect("readable");
        pages.rotate_left(PAGE_BYTES);
        file.write_at(&pages, OFFSET).expect("the first two changed places");
        for _ in 0..2 {
            for (key, offset) in [(1, OFFSET), (PAGE_KEYS as u64, OFFSET + PAGE_BYTES as u64)] {
                let error = asks(&filter, &file, key).expect_err("another page");
                assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
                assert!(error.to_string().contains(&format!("at byte {offset}")), "{error}");
            }
        }
        assert!(filter.walk(&file).has(&keys[0].to_be_bytes(), hash(0)).is_err());
        assert!(asks(&filter, &file, 4_999).expect("the third is sound"));
        assert_eq!(filter.resident(), [2]);
    }

    #[test]
    fn pages_that_no_file_has_are_refused() {
        let at = |offset, len| {
            let mut pages = Fences::default();
            pages.push(offset, len, &[1]);
            Filter::at(RUN, pages, 10_000).is_some()
        };
        assert!(at(100, 4 + 32) && at(10_000 - PAGE_BYTES as u64, PAGE_BYTES as u32));
        assert!(!at(10_000 - PAGE_BYTES as u64 + 1, PAGE_BYTES as u32), "it ends behind the end");
        assert!(!at(100, 4) && !at(100, 0) && !at(100, 4 + 31) && !at(100, PAGE_BYTES as u32 + 32));
        assert!(!at(u64::MAX, 4 + 32));
        assert!(Filter::at(RUN, Fences::default(), 8).is_some(), "a run may have no command");
    }

    #[test]
    fn a_walk_wants_every_key_in_order_and_every_page() {
        let dir = tempfile::tempdir().expect("a folder");
        let keys: Vec<u64> = (1..=5_000).collect();
        let (filter, file) = written(dir.path(), &keys);
        let mut walk = filter.walk(&file);
        for key in &keys {
            assert!(!walk.is_over() || *key as usize > 2 * PAGE_KEYS);
            assert!(walk.has(&key.to_be_bytes(), hash(*key)).expect("readable"), "key {key}");
        }
        assert!(walk.is_over());
        assert!(!walk.has(&1_u64.to_be_bytes(), hash(1)).expect("readable"), "a page that was left behind");
        let mut walk = filter.walk(&file);
        let last = walk.has(&5_000_u64.to_be_bytes(), hash(5_000));
        assert!(!last.expect("readable") && !walk.is_over(), "pages were left out");
        assert!(filter.resident().is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_has_every_key_and_few_others(
            count in prop_oneof![0..600_u64, 2_000..9_000_u64],
            step in 1..u64::MAX / 20_000,
            asked in prop::collection::vec(any::<u64>(), 500),
        ) {
            let dir = tempfile::tempdir().expect("a folder");
            let keys: Vec<u64> = (1..=count).map(|key| key * step).collect();
            let (filter, file) = written(dir.path(), &keys);
            for key in &keys {
                prop_assert!(asks(&filter, &file, *key).expect("readable"));
            }
            let wrong = asked.iter().filter(|key| keys.binary_search(key).is_err());
            let wrong = wrong.filter(|key| asks(&filter, &file, **key).expect("readable")).count();
            prop_assert!(wrong < 25, "{} of 500 absent keys", wrong);
        }
    }
}
