//! The filter of a run as it lies in the run's file: in pages that come into memory one by one, when
//! they are first asked.
//!
//! A client whose ids rise with time asks no filter but the newest ones ([`IdSpans`](super::key::IdSpans)
//! rules out the others), so that old filters take no memory, however long the history. Ids drawn at
//! random ask every page sooner or later. A page at a time is as long as the apply thread ever waits
//! for the disk here, and its answers are those of the [`Bloom`] that was written.

use std::sync::OnceLock;

use super::bloom::{BLOCK_BYTES, Block, Bloom, block_of, holds};
use super::piece::{self, CHECKSUM_BYTES, RunMark};
use crate::core::codec::record;
use crate::store::StoreError;
use crate::store::file::File;

/// Blocks of a page; the last page has what is left.
const PAGE_BLOCKS: usize = 128;

/// Bytes of a full page in the file.
const PAGE_BYTES: usize = CHECKSUM_BYTES + PAGE_BLOCKS * BLOCK_BYTES;

record! {
    /// Where a filter lies in its file.
    #[derive(Copy)]
    pub struct FilterPlace {
        /// Where its first page begins.
        pub offset: u64,
        /// How many blocks all its pages have.
        pub blocks: u32,
    }
}

impl FilterPlace {
    fn page_count(self) -> usize {
        (self.blocks as usize).div_ceil(PAGE_BLOCKS)
    }

    /// Where its last page ends, or `None` when no file can have it.
    fn end(self) -> Option<u64> {
        let bytes = u64::from(self.blocks) * BLOCK_BYTES as u64 + (self.page_count() * CHECKSUM_BYTES) as u64;
        self.offset.checked_add(bytes).filter(|_| self.blocks > 0)
    }
}

/// A page in memory, at a place where none of its blocks crosses a cache line.
#[derive(Debug)]
#[repr(align(32))]
struct Page([Block; PAGE_BLOCKS]);

type Slot = OnceLock<Box<Page>>;

/// A filter in a file, and as much of it in memory as was asked.
#[derive(Debug)]
pub struct Filter {
    run: RunMark,
    place: FilterPlace,
    /// Made by the first question.
    slots: OnceLock<Box<[Slot]>>,
}

impl Filter {
    /// The filter of the run at this place, which has to end at `end`; nothing is read.
    #[must_use]
    pub fn at(run: RunMark, place: FilterPlace, end: u64) -> Option<Self> {
        (place.end() == Some(end)).then(|| Self { run, place, slots: OnceLock::new() })
    }

    /// Whether the key with this hash may be in it. The first question to a page reads it.
    ///
    /// # Errors
    /// When the page cannot be read or is damaged.
    pub fn may_contain(&self, file: &File, hash: u64) -> Result<bool, StoreError> {
        let block = block_of(hash, self.place.blocks as usize);
        let slots = self.slots.get_or_init(|| (0..self.place.page_count()).map(|_| Slot::new()).collect());
        let slot = &slots[block / PAGE_BLOCKS];
        let page = match slot.get() {
            Some(page) => page,
            None => self.load(file, block / PAGE_BLOCKS, slot)?,
        };
        Ok(holds(&page.0[block % PAGE_BLOCKS], hash))
    }

    #[cold]
    fn load<'a>(&self, file: &File, number: usize, slot: &'a Slot) -> Result<&'a Page, StoreError> {
        let mut page = Box::new(Page([Block::default(); PAGE_BLOCKS]));
        self.read_page(file, number, &mut page.0)?;
        // Nobody waits for another one's reading: of two that read a page at once one keeps it.
        Ok(slot.get_or_init(|| page))
    }

    /// Reads a page's blocks, and returns how many it has.
    fn read_page(&self, file: &File, number: usize, blocks: &mut [Block; PAGE_BLOCKS]) -> Result<usize, StoreError> {
        let count = (self.place.blocks as usize - number * PAGE_BLOCKS).min(PAGE_BLOCKS);
        let offset = self.place.offset + (number * PAGE_BYTES) as u64;
        let mut bytes = [0; PAGE_BYTES];
        let bytes = &mut bytes[..CHECKSUM_BYTES + count * BLOCK_BYTES];
        file.read_exact_at(bytes, offset)?;
        let Some(body) = piece::open(bytes, self.run, offset) else {
            let reason = format!("filter page {number}: checksum differs");
            return Err(StoreError::corrupt(file.path(), offset, reason));
        };
        let (words, _) = body.as_chunks();
        for (word, bytes) in blocks.as_flattened_mut().iter_mut().zip(words) {
            *word = u32::from_le_bytes(*bytes);
        }
        Ok(count)
    }

    /// Reads all of it, and keeps nothing.
    ///
    /// # Errors
    /// The first page that cannot be read or is damaged.
    pub fn read_whole(&self, file: &File) -> Result<Bloom, StoreError> {
        let mut blocks = Vec::with_capacity(self.place.blocks as usize);
        let mut page = [Block::default(); PAGE_BLOCKS];
        for number in 0..self.place.page_count() {
            let count = self.read_page(file, number, &mut page)?;
            blocks.extend_from_slice(&page[..count]);
        }
        Ok(Bloom::from(blocks))
    }

    /// Which pages are in memory.
    #[cfg(test)]
    pub fn resident(&self) -> Vec<usize> {
        let slots = self.slots.get().map_or(&[][..], AsRef::as_ref);
        (0..slots.len()).filter(|number| slots[*number].get().is_some()).collect()
    }
}

/// The blocks of each page of a filter that is to be written.
pub fn pages_of(bloom: &Bloom) -> impl Iterator<Item = &[Block]> {
    bloom.blocks().chunks(PAGE_BLOCKS)
}

/// Appends a page of the run, which will lie at `offset` in its file.
pub fn encode_page(blocks: &[Block], run: RunMark, offset: u64, out: &mut Vec<u8>) {
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

    const OFFSET: usize = 77;
    const RUN: RunMark = 5;

    /// A filter of these hashes in a file, behind what else may stand there.
    fn written(folder: &Path, keys: usize, hashes: impl Iterator<Item = u64>) -> (Bloom, Filter, File) {
        let mut bloom = Bloom::new(keys);
        hashes.for_each(|hash| bloom.insert(hash));
        let mut bytes = vec![0xab; OFFSET];
        for page in pages_of(&bloom) {
            let offset = bytes.len() as u64;
            encode_page(page, RUN, offset, &mut bytes);
        }
        let file = Disk::real().open(&folder.join("filter"), Access::Create).expect("made");
        file.write_at(&bytes, 0).expect("written");
        let place = FilterPlace { offset: OFFSET as u64, blocks: bloom.blocks().len() as u32 };
        (bloom, Filter::at(RUN, place, bytes.len() as u64).expect("it ends there"), file)
    }

    /// A hash that this block of the filter is asked for.
    fn hash_in(bloom: &Bloom, block: usize, low: u32) -> u64 {
        let blocks = bloom.blocks().len() as u64;
        let hash = ((block as u64) << 32).div_ceil(blocks) << 32 | u64::from(low);
        assert_eq!(block_of(hash, blocks as usize), block);
        hash
    }

    fn hash(key: u64) -> u64 {
        hash64(&key.to_be_bytes())
    }

    #[test]
    fn a_page_is_in_memory_once_it_was_asked() {
        let dir = tempfile::tempdir().expect("a folder");
        let (bloom, filter, file) = written(dir.path(), 10_000, (0..10_000).map(hash));
        assert_eq!(filter.place.page_count(), 5);
        assert!(filter.resident().is_empty());
        assert!(filter.slots.get().is_none(), "not even the table of pages");
        for (block, pages) in
            [(PAGE_BLOCKS, &[1][..]), (2 * PAGE_BLOCKS - 1, &[1]), (2 * PAGE_BLOCKS, &[1, 2]), (0, &[0, 1, 2])]
        {
            let hash = hash_in(&bloom, block, 5);
            assert_eq!(filter.may_contain(&file, hash).expect("readable"), bloom.may_contain(hash));
            assert_eq!(filter.resident(), pages, "after block {block}");
        }
        assert_eq!(filter.read_whole(&file).expect("readable"), bloom);
        assert_eq!(filter.resident(), [0, 1, 2], "what reads all of it keeps nothing");
        file.set_len(OFFSET as u64).expect("cut");
        assert!(filter.may_contain(&file, hash_in(&bloom, 0, 9)).is_ok(), "it is not read again");
        assert!(filter.may_contain(&file, hash_in(&bloom, 4 * PAGE_BLOCKS, 9)).is_err());
    }

    #[test]
    fn the_blocks_beside_each_boundary_answer_for_themselves() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut bloom = Bloom::new(10_000);
        let last = bloom.blocks().len() - 1;
        let beside: Vec<usize> = (1..5).flat_map(|page| [page * PAGE_BLOCKS - 1, page * PAGE_BLOCKS]).collect();
        let ends: Vec<usize> = [0, last].into_iter().chain(beside).collect();
        for block in &ends {
            bloom.insert(hash_in(&bloom, *block, 0x1234_5678));
        }
        let hashes: Vec<u64> = ends.iter().map(|block| hash_in(&bloom, *block, 0x1234_5678)).collect();
        let (_, filter, file) = written(dir.path(), 10_000, hashes.iter().copied());
        for block in 0..=last {
            let found = filter.may_contain(&file, hash_in(&bloom, block, 0x1234_5678)).expect("readable");
            assert_eq!(found, ends.contains(&block), "block {block}");
        }
    }

    #[test]
    fn a_page_that_is_not_the_one_written_is_an_error_and_stays_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let (bloom, filter, file) = written(dir.path(), 5_000, (0..5_000).map(hash));
        let mut pages = vec![0; 2 * PAGE_BYTES];
        file.read_exact_at(&mut pages, OFFSET as u64).expect("readable");
        pages.rotate_left(PAGE_BYTES);
        file.write_at(&pages, OFFSET as u64).expect("the first two changed places");
        for _ in 0..2 {
            for (block, offset) in [(0, OFFSET), (PAGE_BLOCKS, OFFSET + PAGE_BYTES)] {
                let error = filter.may_contain(&file, hash_in(&bloom, block, 1)).expect_err("another page");
                assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
                assert!(error.to_string().contains(&format!("at byte {offset}")), "{error}");
            }
        }
        assert!(filter.read_whole(&file).is_err());
        assert!(filter.may_contain(&file, hash_in(&bloom, 2 * PAGE_BLOCKS, 1)).is_ok(), "the third is sound");
        assert_eq!(filter.resident(), [2]);
    }

    #[test]
    fn a_place_that_no_file_has_is_refused() {
        let place = |offset, blocks| FilterPlace { offset, blocks };
        assert!(Filter::at(RUN, place(100, 129), 100 + 2 * 4 + 129 * 32).is_some());
        assert!(Filter::at(RUN, place(100, 129), 100 + 2 * 4 + 129 * 32 - 1).is_none());
        assert!(Filter::at(RUN, place(100, 0), 100).is_none(), "a filter has a block");
        assert!(Filter::at(RUN, place(u64::MAX, u32::MAX), u64::MAX).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_answers_as_the_filter_in_memory(
            keys in prop_oneof![0..600_usize, 2_000..9_000_usize],
            seed in any::<u64>(),
            asked in prop::collection::vec(any::<u64>(), 0..500),
        ) {
            let dir = tempfile::tempdir().expect("a folder");
            let used = |key: usize| hash(seed.wrapping_add(key as u64));
            let (bloom, filter, file) = written(dir.path(), keys, (0..keys).map(used));
            prop_assert_eq!(&filter.read_whole(&file).expect("readable"), &bloom);
            for hash in asked.into_iter().chain((0..2 * keys).map(used)) {
                prop_assert_eq!(filter.may_contain(&file, hash).expect("readable"), bloom.may_contain(hash));
            }
            prop_assert!((0..keys).all(|key| filter.may_contain(&file, used(key)).expect("readable")));
        }
    }
}
