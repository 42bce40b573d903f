//! The compressed form of a block: sections that are read and unpacked one by one.
//!
//! ```text
//! CRC32C u32 of the block's digest and of what follows in the table, count u32
//! per section: first event u64, raw length u32, compressed length u32, CRC32C of the compressed bytes u32
//! the sections
//! ```
//!
//! The last postings of one account stand in as many blocks as there are postings: whoever looks for an event reads
//! and unpacks [`SECTION_RAW_BYTES`], not the whole block around it. LZ4, since every node compresses all that it
//! applies, on the cores that apply it; disk is the cheaper one of the two.

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

use super::BlockDigest;
use super::block::{BLOCK_RAW_BYTES, Block};
use crate::core::codec::{Decode, Encode as _, Reader, record};
use crate::core::types::Sequence;

/// Raw bytes at which a section is closed.
pub(super) const SECTION_RAW_BYTES: usize = 4 << 10;

/// A block is full with so many of them.
pub(super) const SECTIONS_MAX: usize = BLOCK_RAW_BYTES / SECTION_RAW_BYTES;

/// No table is longer.
pub(super) const TABLE_BYTES_MAX: usize = 2 * u32::BYTES_MIN + SECTIONS_MAX * Section::BYTES_MIN;

/// LZ4 packs no bytes tighter: a length that lies makes no room for more.
const RATIO_MAX: usize = 255;

record! {
    /// A section, as the table names it.
    #[derive(Copy)]
    pub(super) struct Section {
        /// Its first event.
        pub first: Sequence,
        raw_len: u32,
        stored_len: u32,
        checksum: u32,
    }
}

/// Packs the block with this digest. The same records give the same bytes on all nodes of one build.
pub(super) fn pack(block: &Block, digest: &BlockDigest) -> Vec<u8> {
    let mut sections = Vec::with_capacity(SECTIONS_MAX);
    let mut packed = vec![0; get_maximum_output_size(block.raw().len()) + SECTIONS_MAX * get_maximum_output_size(0)];
    let mut packed_len = 0;
    let mut begun = 0;
    for place in 0..block.record_count() {
        let begin = block.raw_range(begun).start;
        let end = block.raw_range(place).end;
        if end - begin < SECTION_RAW_BYTES && place + 1 < block.record_count() {
            continue;
        }
        // Each as if it stood alone: what was compressed before must not change a section's bytes.
        let stored_len = compress_into(&block.raw()[begin..end], &mut packed[packed_len..])
            .expect("there is room for sections that do not compress");
        let stored = &packed[packed_len..packed_len + stored_len];
        sections.push(Section {
            first: block.first_of(begun),
            raw_len: (end - begin) as u32,
            stored_len: stored_len as u32,
            checksum: crc32c::crc32c(stored),
        });
        packed_len += stored_len;
        begun = place + 1;
    }
    let table = sections.to_bytes();
    let mut out = Vec::with_capacity(u32::BYTES_MIN + table.len() + packed_len);
    checksum_of(&table, digest).encode(&mut out);
    out.extend_from_slice(&table);
    out.extend_from_slice(&packed[..packed_len]);
    out
}

/// Without the digest the table of another block would do, which stood there before.
fn checksum_of(table: &[u8], digest: &BlockDigest) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(digest), table)
}

/// The table of a packed block.
#[derive(Debug)]
pub(super) struct Table {
    sections: Vec<Section>,
    /// Length of the table itself.
    bytes: usize,
}

/// Where the section of an event stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// The section.
    pub section: Section,
    /// Where it begins in the packed block.
    pub at: usize,
    /// The first event behind it, if there is one in the block.
    pub next: Option<Sequence>,
}

impl Found {
    /// How many bytes it takes.
    pub(super) fn stored_len(&self) -> usize {
        self.section.stored_len as usize
    }
}

impl Table {
    /// Reads the table at the beginning of the packed block with this digest, of `stored_len` bytes, `raw_len` when it
    /// is unpacked.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(bytes: &[u8], digest: &BlockDigest, stored_len: usize, raw_len: usize) -> Result<Self, String> {
        let mut input = Reader::new(bytes);
        let mut number = || u32::decode(&mut input).map_err(|error| error.to_string());
        let (checksum, count) = (number()?, number()? as usize);
        let len = u32::BYTES_MIN + count.min(SECTIONS_MAX) * Section::BYTES_MIN;
        let table = bytes.get(u32::BYTES_MIN..).and_then(|rest| rest.get(..len)).filter(|_| count <= SECTIONS_MAX);
        let table = table.ok_or_else(|| format!("a table of {count} sections"))?;
        if checksum_of(table, digest) != checksum {
            return Err("the checksum of the table of sections does not match".to_owned());
        }
        let sections = Vec::<Section>::from_bytes(table).map_err(|error| error.to_string())?;
        if !sections.is_sorted_by(|a, b| a.first < b.first) {
            return Err("its sections are out of order".to_owned());
        }
        let bytes = u32::BYTES_MIN + len;
        let sum = |len: fn(&Section) -> u32| sections.iter().map(|section| len(section) as usize).sum::<usize>();
        let (packed, raw) = (bytes + sum(|section| section.stored_len), sum(|section| section.raw_len));
        if (packed, raw) != (stored_len, raw_len) {
            return Err(format!("its sections are {packed} bytes of {raw}, not {stored_len} of {raw_len}"));
        }
        Ok(Self { sections, bytes })
    }

    /// Where in the raw bytes each section begins, and with which event.
    pub(super) fn starts(&self) -> impl Iterator<Item = (usize, Sequence)> + '_ {
        self.sections.iter().scan(0, |at, section| {
            let begin = *at;
            *at += section.raw_len as usize;
            Some((begin, section.first))
        })
    }

    /// The raw bytes of a whole packed block.
    ///
    /// # Errors
    /// What is wrong with a section.
    pub(super) fn unpack(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
        let mut raw = Vec::new();
        let mut at = self.bytes;
        for section in &self.sections {
            let end = at + section.stored_len as usize;
            section.unpack(&stored[at..end], &mut raw)?;
            at = end;
        }
        Ok(raw)
    }

    /// Where the section stands that holds an event of the block.
    ///
    /// # Errors
    /// That there is none.
    pub(super) fn find(&self, event: Sequence) -> Result<Found, String> {
        let behind = self.sections.partition_point(|section| section.first <= event);
        let Some((section, before)) = self.sections[..behind].split_last() else {
            return Err(format!("no section holds event {event}"));
        };
        let at = self.bytes + before.iter().map(|section| section.stored_len as usize).sum::<usize>();
        Ok(Found { section: *section, at, next: self.sections.get(behind).map(|next| next.first) })
    }
}

impl Section {
    /// Appends the raw bytes of the section that has these stored ones.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn unpack(&self, stored: &[u8], raw: &mut Vec<u8>) -> Result<(), String> {
        let failed = |reason: String| format!("the section of event {}: {reason}", self.first);
        let raw_len = self.raw_len as usize;
        if crc32c::crc32c(stored) != self.checksum {
            return Err(failed("the checksum does not match".to_owned()));
        }
        if raw_len > stored.len().saturating_mul(RATIO_MAX) {
            return Err(failed(format!("{} bytes cannot hold {raw_len}", stored.len())));
        }
        let begin = raw.len();
        raw.resize(begin + raw_len, 0);
        match decompress_into(stored, &mut raw[begin..]) {
            Ok(len) if len == raw_len => Ok(()),
            Ok(len) => Err(failed(format!("{len} raw bytes, not {raw_len}"))),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::codec::dense;
    use crate::store::journal::tests::record;

    /// A full block of records with one to three events each.
    fn block() -> Block {
        let mut block = Block::default();
        while !block.is_full() {
            block.push(record(block.last().0 + 1).view());
        }
        block
    }

    const DIGEST: BlockDigest = [7; 32];

    fn table_of(bytes: &[u8], block: &Block) -> Table {
        Table::read(bytes, &DIGEST, bytes.len(), block.raw().len()).expect("whole")
    }

    #[test]
    fn a_block_comes_back_whole_and_around_each_event() {
        let block = block();
        let bytes = pack(&block, &DIGEST);
        let table = Table::read(&bytes[..TABLE_BYTES_MAX], &DIGEST, bytes.len(), block.raw().len()).expect("whole");
        assert!(table.sections.len() > SECTIONS_MAX / 2, "several sections: {}", table.sections.len());
        assert_eq!(table.unpack(&bytes).expect("whole"), block.raw());
        for event in 1..=block.last().0 {
            let found = table.find(Sequence(event)).expect("an event of it");
            let mut raw = Vec::new();
            found.section.unpack(&bytes[found.at..][..found.stored_len()], &mut raw).expect("whole");
            let part = Block::parse(raw, found.section.first).expect("records");
            assert!(part.first().0 <= event && event <= part.last().0, "{event}");
            assert_eq!(found.next.unwrap_or(block.last().plus(1)), part.last().plus(1));
            let (mine, whole) = (part.place_of(Sequence(event)), block.place_of(Sequence(event)));
            assert_eq!(part.encoded(mine.expect("in it")), block.encoded(whole.expect("in it")));
        }
        assert!(table.find(Sequence(0)).is_err());
    }

    #[test]
    fn no_block_has_more_sections_than_its_table_has_room_for() {
        // Records just as long as a section, then one that is longer than a block.
        let posting = (1..).find_map(|sequence| record(sequence).postings.pop()).expect("some record has one");
        let posting_len = dense::to_dense(&posting).len();
        let mut block = Block::default();
        while !block.is_full() {
            let mut long = record(block.last().0 + 1);
            let room =
                if block.raw().len() < BLOCK_RAW_BYTES - SECTION_RAW_BYTES { SECTION_RAW_BYTES } else { 1 << 20 };
            let len = long.view().to_bytes().len();
            let more = room.saturating_sub(len).div_ceil(posting_len);
            long.postings.extend(std::iter::repeat_n(posting, more));
            long.events.last_mut().expect("one event at least").postings_end += more as u32;
            block.push(long.view());
        }
        let bytes = pack(&block, &DIGEST);
        assert_eq!(table_of(&bytes, &block).unpack(&bytes).expect("whole"), block.raw());
    }

    #[test]
    fn a_table_is_that_of_its_block_alone() {
        let block = block();
        let bytes = pack(&block, &DIGEST);
        assert!(Table::read(&bytes, &[8; 32], bytes.len(), block.raw().len()).is_err());
    }

    /// A damaged block is mended from another node's records only where they are packed to the bytes that stood there.
    #[test]
    fn a_block_is_packed_as_ever() {
        assert_eq!(crc32c::crc32c(&pack(&block(), &DIGEST)), 0x06da_8aa1);
    }

    #[test]
    fn an_empty_block_has_no_sections() {
        let bytes = pack(&Block::default(), &DIGEST);
        assert_eq!(table_of(&bytes, &Block::default()).unpack(&bytes), Ok(Vec::new()));
    }

    /// A table, with the checksum that belongs to it, before some bytes.
    fn packed(sections: &Vec<Section>, stored: &[u8]) -> Vec<u8> {
        let table = sections.to_bytes();
        [&checksum_of(&table, &DIGEST).to_bytes()[..], &table, stored].concat()
    }

    #[test]
    fn a_table_that_lies_is_refused_before_room_is_made() {
        let section = |raw_len, stored_len| Section {
            first: Sequence(1),
            raw_len,
            stored_len,
            checksum: crc32c::crc32c(b"abcd"),
        };
        let bytes = packed(&vec![section(256 << 20, 4)], b"abcd");
        let table = Table::read(&bytes, &DIGEST, bytes.len(), 256 << 20).expect("the sums are right");
        assert_eq!(table.unpack(&bytes), Err("the section of event 1: 4 bytes cannot hold 268435456".to_owned()));
        for (sections, raw_len) in [
            (vec![section(9, 5)], 9),
            (vec![section(9, 3)], 9),
            (vec![section(9, 4)], 8),
            (vec![section(9, u32::MAX), section(0, 5)], 9),
            (vec![section(5, 2), section(4, 2)], 9),
            (vec![section(1, 0); SECTIONS_MAX + 1], SECTIONS_MAX + 1),
        ] {
            let bytes = packed(&sections, b"abcd");
            assert!(Table::read(&bytes, &DIGEST, bytes.len(), raw_len).is_err(), "{sections:?}");
        }
        assert!(Table::read(&u64::MAX.to_bytes(), &DIGEST, 8, 9).is_err());
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let block = block();
        let mut bytes = pack(&block, &DIGEST);
        for at in 0..bytes.len() {
            bytes[at] ^= 1 << (at % 8);
            let found =
                Table::read(&bytes, &DIGEST, bytes.len(), block.raw().len()).and_then(|table| table.unpack(&bytes));
            assert!(found.is_err(), "byte {at}");
            bytes[at] ^= 1 << (at % 8);
        }
    }
}
