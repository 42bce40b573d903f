//! Makes the checksums and lengths of mutated bytes fit, as far as the bytes still have the shape.
//!
//! What is sound already stays as it is: a test holds each function to that, so that a change of a format is
//! not forgotten here.

use super::seeds;
use crate::core::Table;
use crate::store::image::page_len;
use crate::store::index::{Footer, seal_piece};
use crate::store::segment::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, record_bytes, record_checksum};

const WORD: usize = 4;

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at + WORD)?.try_into().ok()?;
    Some(u32::from_le_bytes(word) as usize)
}

fn put(bytes: &mut [u8], at: usize, word: u32) {
    if let Some(place) = bytes.get_mut(at..at + WORD) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

/// Puts the checksum of the bytes from `from` to `to` at `at`.
fn seal(bytes: &mut [u8], at: usize, from: usize, to: usize) {
    if let Some(sealed) = bytes.get(from..to) {
        let checksum = crc32c::crc32c(sealed);
        put(bytes, at, checksum);
    }
}

/// The first segment of a log: its size, its header, and every record that fits.
pub(super) fn log_segment(bytes: &mut [u8]) {
    const SIZE_AT: usize = 24;
    const CHECKSUM_AT: usize = SEGMENT_HEADER_BYTES - WORD;
    if bytes.len() < SEGMENT_HEADER_BYTES {
        return;
    }
    let size = bytes.len() as u64;
    bytes[SIZE_AT..SIZE_AT + 8].copy_from_slice(&size.to_le_bytes());
    seal(bytes, CHECKSUM_AT, 0, CHECKSUM_AT);
    let mut at = SEGMENT_HEADER_BYTES;
    while at + RECORD_HEADER_BYTES <= bytes.len() {
        let len = record_bytes(word(bytes, at + WORD).unwrap_or_default());
        let Some(record) = bytes.get(at..at + len) else { return };
        let checksum = record_checksum(record, 1, at as u64);
        if record.iter().any(|byte| *byte != 0) {
            put(bytes, at, checksum);
        }
        at += len;
    }
}

/// A segment of a journal: its header, and of every block that fits the sections, their table, all of it, and its header.
pub(super) fn journal_segment(bytes: &mut [u8]) {
    const SEGMENT_HEADER: usize = 32;
    const BLOCK_HEADER: usize = 128;
    const HEAD_CHECKSUM_AT: usize = 4;
    const STORED_CHECKSUM_AT: usize = 8;
    const STORED_LEN_AT: usize = 12;
    const DIGEST_AT: usize = 96;
    seal(bytes, SEGMENT_HEADER - WORD, 0, SEGMENT_HEADER - WORD);
    let mut at = SEGMENT_HEADER;
    while at + BLOCK_HEADER <= bytes.len() {
        let end = at + BLOCK_HEADER + word(bytes, at + STORED_LEN_AT).unwrap_or_default();
        let digest: Vec<u8> = bytes[at + DIGEST_AT..at + BLOCK_HEADER].to_vec();
        journal_sections(bytes, at + BLOCK_HEADER, end, &digest);
        seal(bytes, at + STORED_CHECKSUM_AT, at + BLOCK_HEADER, end);
        seal(bytes, at + HEAD_CHECKSUM_AT, at + STORED_CHECKSUM_AT, at + BLOCK_HEADER);
        at = end;
    }
}

/// The sections of a block from `begin` to `end`, and their table.
fn journal_sections(bytes: &mut [u8], begin: usize, end: usize, digest: &[u8]) {
    const COUNT_AT: usize = 4;
    const TABLE_HEADER: usize = 8;
    const SECTION: usize = 20;
    const STORED_LEN_AT: usize = 12;
    const CHECKSUM_AT: usize = 16;
    let Some(count) = word(bytes, begin + COUNT_AT).filter(|_| end <= bytes.len()) else { return };
    let Some(behind) = count.checked_mul(SECTION).map(|table| begin + TABLE_HEADER + table) else { return };
    let mut at = behind;
    for entry in (begin + TABLE_HEADER..behind.min(end)).step_by(SECTION) {
        let next = at.saturating_add(word(bytes, entry + STORED_LEN_AT).unwrap_or_default());
        seal(bytes, entry + CHECKSUM_AT, at, next.min(end));
        at = next;
    }
    if let Some(table) = bytes.get(begin + COUNT_AT..behind) {
        let checksum = crc32c::crc32c_append(crc32c::crc32c(digest), table);
        put(bytes, begin, checksum);
    }
}

/// A journal's tail: its length and its checksum.
pub(super) fn journal_tail(bytes: &mut [u8]) {
    let len = bytes.len();
    put(bytes, WORD, len as u32);
    seal(bytes, 0, WORD, len);
}

/// A snapshot or a part of a backup: its header, its chunks, and the digest at the end of them.
pub(super) fn chunked(bytes: &mut [u8]) {
    const HEADER_LEN_AT: usize = 8;
    const CHUNK: u8 = 1;
    const CHUNK_STORED_AT: usize = 5;
    const CHUNK_CHECKSUM_AT: usize = 9;
    const CHUNK_HEAD: usize = 13;
    const END: u8 = 2;
    let Some(header_len) = word(bytes, HEADER_LEN_AT) else { return };
    let header_end = HEADER_LEN_AT + WORD + header_len;
    seal(bytes, header_end, 0, header_end);
    let mut at = header_end + WORD;
    while let Some(kind) = bytes.get(at) {
        match *kind {
            CHUNK => {
                let end = at + CHUNK_HEAD + word(bytes, at + CHUNK_STORED_AT).unwrap_or_default();
                seal(bytes, at + CHUNK_CHECKSUM_AT, at + CHUNK_HEAD, end);
                at = end;
            }
            END => {
                let digest = *blake3::hash(&bytes[..=at]).as_bytes();
                if let Some(place) = bytes.get_mut(at + 1..at + 1 + digest.len()) {
                    place.copy_from_slice(&digest);
                }
                return;
            }
            _ => return,
        }
    }
}

/// Pages of the state, one behind the other: the counts of their records, and their checksums.
pub(super) fn state_pages(bytes: &mut [u8]) {
    const OCCUPIED_AT: usize = 2;
    const CHECKSUM_AT: usize = 8;
    const HEADER: usize = 12;
    let mut at = 0;
    while let Some(table) = bytes.get(at + 1).and_then(|number| Table::from_number(*number)) {
        let Some(page) = bytes.get_mut(at..at + page_len(table)) else { return };
        let records = page[HEADER..].chunks_exact(table.record_len());
        let occupied = records.filter(|record| record[0] != 0).count() as u16;
        page[OCCUPIED_AT..OCCUPIED_AT + 2].copy_from_slice(&occupied.to_le_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&page[..CHECKSUM_AT]), &page[HEADER..]);
        put(page, CHECKSUM_AT, checksum);
        at += page_len(table);
    }
}

/// The state's meta record: its length and its checksum.
pub(super) fn state_meta(bytes: &mut [u8]) {
    let Some(body_end) = bytes.len().checked_sub(WORD).filter(|end| *end >= WORD) else { return };
    put(bytes, 0, (body_end - WORD) as u32);
    seal(bytes, body_end, 0, body_end);
}

/// A run of an index: its footer, and as far as that can be read the blocks and the pages of the filter.
pub(super) fn index_run(bytes: &mut [u8]) {
    const TRAILER: usize = 24;
    const FOOTER_LEN_AT: usize = 8;
    const CHECKSUM_AT: usize = 12;
    let Some(trailer) = bytes.len().checked_sub(TRAILER) else { return };
    let footer_len = word(bytes, trailer + FOOTER_LEN_AT).unwrap_or_default();
    let Some(footer_at) = trailer.checked_sub(footer_len) else { return };
    bytes[trailer..trailer + 8].copy_from_slice(&(footer_at as u64).to_le_bytes());
    seal(bytes, trailer + CHECKSUM_AT, footer_at, trailer);
    let Ok(footer) = Footer::decode(&bytes[footer_at..trailer]) else { return };
    for (offset, len) in footer.pieces() {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(piece) = bytes.get_mut(start..start.saturating_add(len as usize)) {
            seal_piece(piece, seeds::RUN.mark(), offset);
        }
    }
}

/// The two copies of a vote.
pub(super) fn vote_copy(bytes: &mut [u8]) {
    for copy in bytes.chunks_mut(4096) {
        let len = copy.get(8..12).map_or(0, |len| u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize);
        let end = len.saturating_add(12);
        if end.checked_add(4).is_some_and(|behind| behind <= copy.len()) {
            let sum = crc32c::crc32c(&copy[..end]);
            copy[end..end + 4].copy_from_slice(&sum.to_le_bytes());
        }
    }
}

/// An identity file.
pub(super) fn identity(bytes: &mut [u8]) {
    if let Some(body_end) = bytes.len().checked_sub(WORD) {
        seal(bytes, body_end, 0, body_end);
    }
}
