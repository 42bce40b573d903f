//! Segment files of the log and the records in them.
//!
//! A segment is a file of fixed size, filled with zeroes before its first use and used again when
//! its entries are purged: overwriting blocks that exist is several times cheaper to sync than
//! growing a file. It begins with a header (generation, size), then head records (vote, purge and
//! commit mark as of its creation), then groups of records, then a seal. Header and heads are
//! durable before the file gets its name; a file gets its name before its predecessor is sealed;
//! the seal is durable before anything follows the heads. So only the last segment can be torn,
//! and a sealed one has a successor.
//!
//! A record's checksum is seeded with the segment's generation and the record's offset: what an
//! older use of the file left behind, or what stands in the wrong place, never reads as a record.
//! Each record also says up to where the segment was durable before it was written
//! ([`Record::synced_before`]). That tells damage from a torn tail: bytes that a later record knows
//! to have been durable are damaged; bytes of an unsynced group may be anything, in any order. When the log
//! rests, a mark behind the last record says so of the last group, and when it is closed or opened, the header too
//! ([`note_durable`]).

use std::path::Path;

use super::file::File;
use super::{Position, StoreError};
use crate::core::types::{LogIndex, Term};

/// The newest format of segments.
const FORMAT_VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"CFOILLOG";

/// Size of a segment's header, in bytes.
pub(super) const SEGMENT_HEADER_BYTES: usize = 64;
/// Size of a record without its payload, in bytes.
pub(super) const RECORD_HEADER_BYTES: usize = 32;
/// Where the header has [`Header::durable`].
const DURABLE_AT: usize = 40;
/// Records begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;
/// Offsets are kept in 32 bits.
pub(super) const SEGMENT_BYTES_MAX: u64 = 1 << 31;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// An entry of the log.
    Entry = 1,
    /// The vote.
    Vote = 2,
    /// The commit mark.
    Committed = 3,
    /// All entries behind this position are gone.
    Truncate = 4,
    /// All entries are gone.
    TruncateAll = 5,
    /// All entries up to this position are gone.
    Purge = 6,
    /// The segment ends here; the next one goes on.
    Seal = 7,
    /// Nothing follows yet, and all before was durable. The next record overwrites it.
    Mark = 8,
}

impl Kind {
    fn from_number(number: u8) -> Option<Self> {
        let all = [
            Self::Entry,
            Self::Vote,
            Self::Committed,
            Self::Truncate,
            Self::TruncateAll,
            Self::Purge,
            Self::Seal,
            Self::Mark,
        ];
        all.into_iter().find(|&kind| kind as u8 == number)
    }
}

/// A record as it stands in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// What it says.
    pub kind: Kind,
    /// Of which entry; zero where that means nothing.
    pub position: Position,
    /// The segment was durable up to this offset when the record was written; zero in a head.
    pub synced_before: u64,
    /// Its content.
    pub payload: &'a [u8],
}

impl Record<'_> {
    /// What it takes in the file, in bytes.
    pub(super) fn disk_bytes(&self) -> usize {
        record_bytes(self.payload.len())
    }
}

/// What a record with so much payload takes in the file, in bytes.
pub(super) const fn record_bytes(payload_len: usize) -> usize {
    (RECORD_HEADER_BYTES + payload_len).next_multiple_of(ALIGNMENT)
}

/// The checksum of a whole record that stands at `offset`; the word it is kept in does not count.
pub(super) fn record_checksum(record: &[u8], generation: u64, offset: u64) -> u32 {
    let seed = crc32c::crc32c_append(crc32c::crc32c(&generation.to_le_bytes()), &offset.to_le_bytes());
    crc32c::crc32c_append(seed, &record[4..])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn double(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

/// The word that holds a record's kind and the low bits of its segment's generation.
fn stamp(kind: u8, generation: u64) -> u32 {
    u32::from(kind) | (generation as u32) << 8
}

/// Appends a record that will stand at `offset` of the segment.
pub(super) fn encode_record(out: &mut Vec<u8>, generation: u64, offset: u64, record: &Record<'_>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(record.payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&stamp(record.kind as u8, generation).to_le_bytes());
    out.extend_from_slice(&((record.synced_before / ALIGNMENT as u64) as u32).to_le_bytes());
    out.extend_from_slice(&record.position.index.0.to_le_bytes());
    out.extend_from_slice(&record.position.term.0.to_le_bytes());
    out.extend_from_slice(record.payload);
    out.resize(start + record.disk_bytes(), 0);
    let checksum = record_checksum(&out[start..], generation, offset);
    out[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// Reads the record that stands at `offset` of the segment; `bytes` begins there.
///
/// # Errors
/// What keeps the bytes from being a record.
pub(super) fn decode_record(bytes: &[u8], generation: u64, offset: u64) -> Result<Record<'_>, &'static str> {
    if bytes.len() < RECORD_HEADER_BYTES {
        return Err("no room for a record");
    }
    let stamped = word(bytes, 8);
    let kind = Kind::from_number(stamped as u8).ok_or("no such kind of record")?;
    if stamped != stamp(kind as u8, generation) {
        return Err("a record of another generation");
    }
    let payload_len = word(bytes, 4) as usize;
    let disk_bytes = record_bytes(payload_len);
    if disk_bytes > bytes.len() {
        return Err("the record is longer than what is left");
    }
    if record_checksum(&bytes[..disk_bytes], generation, offset) != word(bytes, 0) {
        return Err("the checksum does not match");
    }
    Ok(Record {
        kind,
        position: Position { index: LogIndex(double(bytes, 16)), term: Term(double(bytes, 24)) },
        synced_before: u64::from(word(bytes, 12)) * ALIGNMENT as u64,
        payload: &bytes[RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + payload_len],
    })
}

/// An open segment file.
#[derive(Debug)]
pub(super) struct Segment {
    /// Which one it is: 1, 2, 3 … without gaps over the life of the log.
    pub generation: u64,
    /// Its size, in bytes.
    pub bytes: u64,
    /// The file.
    pub file: File,
}

/// Header and heads of a segment.
pub(super) fn encode_header(generation: u64, bytes: u64, heads: &[Record<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.resize(SEGMENT_HEADER_BYTES, 0);
    for head in heads {
        let offset = out.len() as u64;
        encode_record(&mut out, generation, offset, head);
    }
    let heads_end = out.len() as u64;
    out[..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    out[16..24].copy_from_slice(&generation.to_le_bytes());
    out[24..32].copy_from_slice(&bytes.to_le_bytes());
    out[32..40].copy_from_slice(&heads_end.to_le_bytes());
    let checksum = crc32c::crc32c(&out[..SEGMENT_HEADER_BYTES - 4]);
    out[SEGMENT_HEADER_BYTES - 4..SEGMENT_HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    out
}

/// What the header of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Where its heads end.
    pub heads_end: u64,
    /// Up to where it was durable when the log was last opened or closed; zero before.
    pub durable: u64,
}

/// Notes in the header of a segment that all before `durable` is so. The mark behind the last record says the same,
/// but one bad page can hold both the mark and what it speaks for; this stands in another one. The header is
/// smaller than a sector, and so old or new after a crash. To be synced.
pub(super) fn note_durable(file: &File, durable: u64) -> Result<(), StoreError> {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    file.read_exact_at(&mut header, 0)?;
    header[DURABLE_AT..DURABLE_AT + 8].copy_from_slice(&durable.to_le_bytes());
    let checksum = crc32c::crc32c(&header[..SEGMENT_HEADER_BYTES - 4]);
    header[SEGMENT_HEADER_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
    file.write_at(&header, 0)
}

/// Checks the header of a whole segment file.
pub(super) fn check_header(path: &Path, bytes: &[u8], generation: u64) -> Result<Header, StoreError> {
    let corrupt = |reason: &str| StoreError::corrupt(path, 0, reason);
    let header = bytes.get(..SEGMENT_HEADER_BYTES).ok_or_else(|| corrupt("it is cut short"))?;
    if crc32c::crc32c(&header[..SEGMENT_HEADER_BYTES - 4]) != word(header, SEGMENT_HEADER_BYTES - 4) {
        return Err(corrupt("the checksum of the segment header does not match"));
    }
    if header[..8] != MAGIC {
        return Err(corrupt("this is no log segment"));
    }
    let version = word(header, 8);
    if version > FORMAT_VERSION {
        return Err(StoreError::NewerFormat { path: path.to_owned(), found: version, known: FORMAT_VERSION });
    }
    if double(header, 16) != generation {
        return Err(corrupt("the segment header names another segment"));
    }
    if double(header, 24) != bytes.len() as u64 {
        let reason = format!("the file has {} bytes, not the {} it was made with", bytes.len(), double(header, 24));
        return Err(StoreError::corrupt(path, bytes.len() as u64, reason));
    }
    Ok(Header { heads_end: double(header, 32), durable: double(header, DURABLE_AT) })
}

/// What stands behind the end of the valid records of a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Leftovers {
    /// Up to where a later record says that the segment was durable.
    pub synced: u64,
    /// The end of the last record of this generation; zero if there is none.
    pub end: u64,
}

/// Looks behind `from` for records of this generation.
pub(super) fn find_leftovers(bytes: &[u8], generation: u64, from: u64) -> Leftovers {
    let mut found = Leftovers::default();
    let mut at = (from as usize).next_multiple_of(ALIGNMENT);
    while at + RECORD_HEADER_BYTES <= bytes.len() {
        let step = match decode_record(&bytes[at..], generation, at as u64) {
            Ok(record) => {
                found.synced = found.synced.max(record.synced_before);
                found.end = (at + record.disk_bytes()) as u64;
                record.disk_bytes()
            }
            Err(_) => ALIGNMENT,
        };
        at += step;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(payload: &[u8]) -> Record<'_> {
        Record {
            kind: Kind::Entry,
            position: Position { term: Term(3), index: LogIndex(9) },
            synced_before: 64,
            payload,
        }
    }

    #[test]
    fn a_record_reads_back_only_where_and_when_it_was_written() {
        for len in [0, 1, 7, 8, 100] {
            let payload = vec![7; len];
            let mut bytes = Vec::new();
            encode_record(&mut bytes, 5, 128, &sample(&payload));
            assert_eq!(bytes.len() % ALIGNMENT, 0);
            assert_eq!(decode_record(&bytes, 5, 128), Ok(sample(&payload)));
            assert!(decode_record(&bytes, 6, 128).is_err(), "another generation");
            assert!(decode_record(&bytes, 5 + (1 << 24), 128).is_err(), "another generation, same low bits");
            assert!(decode_record(&bytes, 5, 136).is_err(), "another offset");
        }
        assert!(decode_record(&[0; 4096], 0, 0).is_err(), "zeroes are no record");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let mut bytes = Vec::new();
        encode_record(&mut bytes, 5, 128, &sample(b"thirteen byte"));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_record(&flipped, 5, 128).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(decode_record(&bytes[..cut], 5, 128).is_err(), "cut at {cut}");
        }
        let header = encode_header(5, 64, &[]);
        let path = Path::new("s");
        assert_eq!(check_header(path, &header, 5).expect("valid"), Header { heads_end: 64, durable: 0 });
        assert!(check_header(path, &header, 6).is_err());
        for bit in 0..header.len() * 8 {
            let mut flipped = header.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(check_header(path, &flipped, 5).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn leftovers_are_found_behind_a_hole() {
        let mut bytes = vec![0; 4096];
        let mut record = Vec::new();
        encode_record(&mut record, 5, 1024, &sample(b"later"));
        bytes[1024..1024 + record.len()].copy_from_slice(&record);
        let found = find_leftovers(&bytes, 5, 100);
        assert_eq!(found, Leftovers { synced: 64, end: 1024 + record.len() as u64 });
        assert_eq!(find_leftovers(&bytes, 6, 100), Leftovers::default());
    }
}
