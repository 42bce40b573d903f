//! The state as pages: what the persister writes, a snapshot streams and a start reads back.
//!
//! The ledger's records live here a second time, as their bytes, in pages of at most 4 KiB behind
//! `Arc`s. A write copies a page only while a batch or a snapshot still holds the old one, so
//! neither ever makes the apply thread wait for more than one page. The digest of the state is kept
//! here, since here the bytes of a record before and after a change stand side by side.

use std::hint::black_box;
use std::sync::Arc;

use crate::core::codec::{Decode as _, DecodeError, Encode as _, Reader};
use crate::core::{RecordKey, StateDigest, Table};

/// The largest encoded page in bytes. A larger value would become a blob file in sled, which sled
/// never syncs.
pub const PAGE_BYTES_MAX: usize = 4096;

/// The version of the page format.
const PAGE_FORMAT: u8 = 1;

/// Bytes before the slots: format u8, table u8, occupied slots u16, page u32, CRC32C u32.
const PAGE_HEADER_BYTES: usize = 12;

/// Where the checksum stands; it covers the header before it and all slots.
const CHECKSUM_AT: usize = 8;

/// The place of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageKey {
    /// The table.
    pub table: Table,
    /// The place in the table.
    pub page: u32,
}

/// Records of one table in a page.
#[must_use]
pub const fn slots_per_page(table: Table) -> usize {
    (PAGE_BYTES_MAX - PAGE_HEADER_BYTES) / table.record_len()
}

/// Bytes of an encoded page of this table.
#[must_use]
pub const fn page_len(table: Table) -> usize {
    PAGE_HEADER_BYTES + slots_per_page(table) * table.record_len()
}

/// A page in memory: the slots alone, in one piece with their count, since each piece is a wait for memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    occupied: u16,
    /// As many bytes as the table's slots take; the rest stays zero.
    slots: [u8; PAGE_BYTES_MAX - PAGE_HEADER_BYTES],
}

/// Why bytes are not a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// The header does not decode.
    #[error("page header: {0}")]
    Header(DecodeError),
    /// Its length is not that of its table's pages.
    #[error("page of {found} bytes, expected {expected}")]
    Length {
        /// Bytes there.
        found: usize,
        /// Bytes of a page of this table.
        expected: usize,
    },
    /// Written by a version that this one does not know.
    #[error("page format {0} is unknown")]
    Format(u8),
    /// The bytes are not those that were written.
    #[error("page checksum is {found:08x}, expected {expected:08x}")]
    Checksum {
        /// Of the bytes there.
        found: u32,
        /// Stored with them.
        expected: u32,
    },
    /// It is not the page that follows those before it.
    #[error("page {0:?} does not follow the pages before it")]
    OutOfOrder(PageKey),
    /// The header counts other records than there are.
    #[error("page holds {found} records, its header says {expected}")]
    Count {
        /// Records there.
        found: u16,
        /// Records counted by the header.
        expected: u16,
    },
}

impl Page {
    fn empty() -> Self {
        Self { occupied: 0, slots: [0; PAGE_BYTES_MAX - PAGE_HEADER_BYTES] }
    }

    fn slots(&self, table: Table) -> &[u8] {
        &self.slots[..page_len(table) - PAGE_HEADER_BYTES]
    }

    /// Appends the page's bytes as they stand on disk.
    pub fn encode(&self, key: PageKey, out: &mut Vec<u8>) {
        let start = out.len();
        PAGE_FORMAT.encode(out);
        key.table.encode(out);
        self.occupied.encode(out);
        key.page.encode(out);
        let slots = self.slots(key.table);
        let checksum = checksum(&out[start..start + CHECKSUM_AT], slots);
        checksum.encode(out);
        out.extend_from_slice(slots);
    }

    /// Reads a page back and says which one it is.
    ///
    /// # Errors
    /// When the bytes are not exactly one undamaged page.
    pub fn decode(bytes: &[u8]) -> Result<(PageKey, Self), PageError> {
        let mut input = Reader::new(bytes);
        let format = u8::decode(&mut input).map_err(PageError::Header)?;
        if format != PAGE_FORMAT {
            return Err(PageError::Format(format));
        }
        let table = Table::decode(&mut input).map_err(PageError::Header)?;
        let occupied = u16::decode(&mut input).map_err(PageError::Header)?;
        let page = u32::decode(&mut input).map_err(PageError::Header)?;
        let expected = u32::decode(&mut input).map_err(PageError::Header)?;
        if bytes.len() != page_len(table) {
            return Err(PageError::Length { found: bytes.len(), expected: page_len(table) });
        }
        let slots = input.remaining();
        let found = checksum(&bytes[..CHECKSUM_AT], slots);
        if found != expected {
            return Err(PageError::Checksum { found, expected });
        }
        let filled = slots.chunks_exact(table.record_len()).filter(|record| record[0] != 0).count() as u16;
        if filled != occupied {
            return Err(PageError::Count { found: filled, expected: occupied });
        }
        let mut decoded = Self { occupied, ..Self::empty() };
        decoded.slots[..slots.len()].copy_from_slice(slots);
        Ok((PageKey { table, page }, decoded))
    }

    /// The records of the page that are not empty, with their slots.
    pub fn records(&self, key: PageKey) -> impl Iterator<Item = (RecordKey, &[u8])> {
        let first = key.page as usize * slots_per_page(key.table);
        let records = self.slots(key.table).chunks_exact(key.table.record_len()).enumerate();
        records
            .filter(|(_, record)| record[0] != 0)
            .map(move |(place, record)| (RecordKey { table: key.table, slot: (first + place) as u32 }, record))
    }
}

fn checksum(header: &[u8], slots: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(header), slots)
}

#[derive(Debug, Clone, Default)]
struct TablePages {
    pages: Vec<Arc<Page>>,
    dirty: Vec<bool>,
}

/// A page that goes to disk, shared with the image until one of them changes it.
#[derive(Debug, Clone)]
pub struct SharedPage {
    /// Its place.
    pub key: PageKey,
    /// Its content.
    pub page: Arc<Page>,
}

/// The whole state as pages, with the set of pages that changed since it was last asked.
#[derive(Debug, Clone, Default)]
pub struct Image {
    tables: [TablePages; Table::ALL.len()],
    dirty: Vec<PageKey>,
    digest: StateDigest,
    records: u64,
}

/// The record's page, and where in its slots it begins.
fn place_in(key: RecordKey) -> (usize, usize) {
    let per_page = slots_per_page(key.table);
    (key.slot as usize / per_page, key.slot as usize % per_page * key.table.record_len())
}

fn place_of(table: Table) -> usize {
    usize::from(table.number()) - 1
}

impl Image {
    /// The state before the first command.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The digest of all records.
    #[must_use]
    pub fn digest(&self) -> StateDigest {
        self.digest
    }

    /// How many records there are.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        self.records
    }

    /// How many pages changed since [`Self::take_dirty`].
    #[must_use]
    pub fn dirty_count(&self) -> usize {
        self.dirty.len()
    }

    /// How many pages there are.
    #[must_use]
    pub fn page_count(&self) -> usize {
        self.tables.iter().map(|table| table.pages.len()).sum()
    }

    /// Reads a byte of each of these records: when they are written one after the other, the memory has been
    /// asked for all of them at once.
    pub fn read_ahead(&self, keys: &[RecordKey]) {
        let glance = |key: &RecordKey| {
            let (page, place) = place_in(*key);
            let page = self.tables[place_of(key.table)].pages.get(page)?;
            page.slots.get(place).copied()
        };
        let seen = keys.iter().filter_map(glance).fold(0, |seen, byte| seen ^ byte);
        // Else the compiler would see that nobody needs it.
        black_box(seen);
    }

    fn make_room(&mut self, table: Table, page: usize) {
        let pages = &mut self.tables[place_of(table)];
        while pages.pages.len() <= page {
            pages.pages.push(Arc::new(Page::empty()));
            pages.dirty.push(false);
            let added = PageKey { table, page: (pages.pages.len() - 1) as u32 };
            mark(&mut pages.dirty, &mut self.dirty, added);
        }
    }

    /// Counts a record's page among those that changed: the record is to be written later.
    pub fn mark(&mut self, key: RecordKey) {
        let (page, _) = place_in(key);
        self.make_room(key.table, page);
        let table = &mut self.tables[place_of(key.table)];
        mark(&mut table.dirty, &mut self.dirty, PageKey { table: key.table, page: page as u32 });
    }

    /// Puts a record into its slot; all zeroes empty it.
    ///
    /// # Panics
    /// When `bytes` is not a record of the key's table: the ledger and the store would disagree on
    /// the format.
    pub fn write(&mut self, key: RecordKey, bytes: &[u8]) {
        let len = key.table.record_len();
        assert_eq!(bytes.len(), len, "a record of {:?} has a fixed length", key.table);
        let (page, start) = place_in(key);
        self.make_room(key.table, page);
        let table = &mut self.tables[place_of(key.table)];
        if table.pages[page].slots[start..start + len] == *bytes {
            return;
        }
        let target = Arc::make_mut(&mut table.pages[page]);
        let slot = &mut target.slots[start..start + len];
        if slot[0] != 0 {
            self.digest.remove(key.table.number(), slot);
            self.records -= 1;
            target.occupied -= 1;
        }
        if bytes[0] != 0 {
            self.digest.add(key.table.number(), bytes);
            self.records += 1;
            target.occupied += 1;
        }
        slot.copy_from_slice(bytes);
        mark(&mut table.dirty, &mut self.dirty, PageKey { table: key.table, page: page as u32 });
    }

    /// What the digest and the count of records will be once these records, each named once, are written
    /// as `encode` appends them.
    #[must_use]
    pub fn sums_with(&self, keys: &[RecordKey], mut encode: impl FnMut(RecordKey, &mut Vec<u8>)) -> (StateDigest, u64) {
        let (mut digest, mut records) = (self.digest, self.records);
        let mut new = Vec::new();
        for key in keys {
            let (page, start) = place_in(*key);
            let slots = self.tables[place_of(key.table)].pages.get(page).map(|page| &page.slots);
            if let Some(old) = slots.map(|slots| &slots[start..start + key.table.record_len()])
                && old[0] != 0
            {
                digest.remove(key.table.number(), old);
                records -= 1;
            }
            new.clear();
            encode(*key, &mut new);
            if new[0] != 0 {
                digest.add(key.table.number(), &new);
                records += 1;
            }
        }
        (digest, records)
    }

    /// Adds a page that was read from disk; it counts as unchanged. The pages of a table come in order,
    /// without a gap: a page number alone is no reason to make room for all before it.
    ///
    /// # Errors
    /// When it is not the next page of its table.
    pub fn load(&mut self, key: PageKey, page: Page) -> Result<(), PageError> {
        let expected = self.tables[place_of(key.table)].pages.len();
        if key.page as usize != expected {
            return Err(PageError::OutOfOrder(key));
        }
        add_records(&page, key, &mut self.digest, &mut self.records);
        let table = &mut self.tables[place_of(key.table)];
        table.pages.push(Arc::new(page));
        table.dirty.push(false);
        Ok(())
    }

    /// The pages that changed since the last call; they count as unchanged from now on.
    pub fn take_dirty(&mut self) -> Vec<SharedPage> {
        let keys = std::mem::take(&mut self.dirty);
        let shared = keys.into_iter().map(|key| {
            let table = &mut self.tables[place_of(key.table)];
            table.dirty[key.page as usize] = false;
            SharedPage { key, page: Arc::clone(&table.pages[key.page as usize]) }
        });
        shared.collect()
    }

    /// Every page as it is now; they count as unchanged from now on.
    pub fn take_all(&mut self) -> Vec<SharedPage> {
        self.dirty.clear();
        for table in &mut self.tables {
            table.dirty.fill(false);
        }
        self.share_all()
    }

    /// Every page as it is now.
    #[must_use]
    pub fn share_all(&self) -> Vec<SharedPage> {
        let mut shared = Vec::with_capacity(self.page_count());
        for table in Table::ALL {
            let pages = self.tables[place_of(*table)].pages.iter().zip(0..);
            shared.extend(pages.map(|(page, number)| SharedPage {
                key: PageKey { table: *table, page: number },
                page: Arc::clone(page),
            }));
        }
        shared
    }

    /// Every record that is not empty, table by table.
    pub fn records(&self) -> impl Iterator<Item = (RecordKey, &[u8])> {
        Table::ALL.iter().flat_map(|table| {
            let pages = self.tables[place_of(*table)].pages.iter().zip(0..);
            pages.flat_map(|(page, number)| page.records(PageKey { table: *table, page: number }))
        })
    }
}

fn add_records(page: &Page, key: PageKey, digest: &mut StateDigest, records: &mut u64) {
    for (record_key, record) in page.records(key) {
        digest.add(record_key.table.number(), record);
        *records += 1;
    }
}

/// What pages add up to that are read one by one, as [`Image::load`] takes them, and not kept.
#[derive(Debug, Clone, Default)]
pub struct PageSums {
    pages: [u32; Table::ALL.len()],
    digest: StateDigest,
    records: u64,
}

impl PageSums {
    /// Adds the next page.
    ///
    /// # Errors
    /// When it is not the next page of its table.
    pub fn add(&mut self, key: PageKey, page: &Page) -> Result<(), PageError> {
        let count = &mut self.pages[place_of(key.table)];
        if key.page != *count {
            return Err(PageError::OutOfOrder(key));
        }
        *count += 1;
        add_records(page, key, &mut self.digest, &mut self.records);
        Ok(())
    }

    /// How many pages there were.
    #[must_use]
    pub fn page_count(&self) -> usize {
        self.pages.iter().map(|count| *count as usize).sum()
    }

    /// The digest and the count of their records.
    #[must_use]
    pub fn sums(&self) -> (StateDigest, u64) {
        (self.digest, self.records)
    }
}

fn mark(flags: &mut [bool], dirty: &mut Vec<PageKey>, key: PageKey) {
    let flag = &mut flags[key.page as usize];
    if !*flag {
        *flag = true;
        dirty.push(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(table: Table, seed: u8) -> Vec<u8> {
        let mut bytes = vec![seed; table.record_len()];
        bytes[0] = 1;
        bytes
    }

    fn key(table: Table, slot: u32) -> RecordKey {
        RecordKey { table, slot }
    }

    #[test]
    fn no_page_is_too_large_for_a_plain_value() {
        for table in Table::ALL {
            assert!(page_len(*table) <= PAGE_BYTES_MAX, "{table:?}");
            assert!(slots_per_page(*table) > 0, "{table:?}");
        }
    }

    #[test]
    fn the_digest_follows_the_content_and_not_the_way_there() {
        let mut one = Image::new();
        one.write(key(Table::Order, 3), &record(Table::Order, 9));
        one.write(key(Table::Balance, 700), &record(Table::Balance, 7));
        one.write(key(Table::Balance, 700), &record(Table::Balance, 8));
        one.write(key(Table::Order, 3), &[0; Table::Order.record_len()]);
        let mut other = Image::new();
        other.write(key(Table::Balance, 2), &record(Table::Balance, 8));
        let sums = (other.digest(), other.record_count());
        assert_eq!(one.digest(), other.digest(), "slots are storage, not identity");
        assert_eq!((one.record_count(), other.record_count()), (1, 1));
        other.write(key(Table::Balance, 2), &record(Table::Balance, 7));
        assert_ne!(one.digest(), other.digest());

        one.write(key(Table::Order, 3), &record(Table::Order, 9));
        let coming = [key(Table::Order, 3), key(Table::Balance, 700), key(Table::Balance, 2)];
        let encode = |key: RecordKey, out: &mut Vec<u8>| match key.slot {
            2 => out.extend(record(Table::Balance, 8)),
            _ => out.resize(key.table.record_len(), 0),
        };
        assert_eq!(one.sums_with(&coming, encode), sums, "as if they were written");
    }

    #[test]
    fn a_shared_page_does_not_change_any_more() {
        let mut image = Image::new();
        image.write(key(Table::Account, 0), &record(Table::Account, 1));
        let before = image.take_dirty();
        assert_eq!(before.len(), 1);
        let kept = before[0].page.as_ref().clone();
        image.write(key(Table::Account, 0), &record(Table::Account, 2));
        assert_eq!(*before[0].page, kept);
        assert_eq!(image.dirty_count(), 1);
        image.write(key(Table::Account, 1), &record(Table::Account, 3));
        assert_eq!(image.dirty_count(), 1, "one page, named once");
    }

    #[test]
    fn a_page_reads_back_and_every_flipped_bit_is_found() {
        let mut image = Image::new();
        for slot in 0..100 {
            image.write(key(Table::Pending, slot), &record(Table::Pending, slot as u8));
        }
        let (mut loaded, mut sums) = (Image::new(), PageSums::default());
        for shared in image.share_all() {
            let mut bytes = Vec::new();
            shared.page.encode(shared.key, &mut bytes);
            let (found, page) = Page::decode(&bytes).expect("an undamaged page");
            assert_eq!((found, &page), (shared.key, shared.page.as_ref()));
            sums.add(found, &page).expect("the next page");
            assert!(sums.add(found, &page).is_err(), "it came already");
            loaded.load(found, page).expect("the next page");
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(Page::decode(&bytes).is_err(), "bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            assert!(Page::decode(&bytes[..bytes.len() - 1]).is_err());
        }
        assert_eq!(loaded.digest(), image.digest());
        assert_eq!(loaded.record_count(), 100);
        assert_eq!((sums.sums(), sums.page_count()), ((image.digest(), 100), image.page_count()));
        assert!(loaded.records().eq(image.records()));
        assert_eq!(loaded.dirty_count(), 0);
    }
}
