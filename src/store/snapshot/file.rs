//! The format of a snapshot file.
//!
//! ```text
//! magic (8), header length u32, header: format, cluster, checkpoint, pages; CRC32C u32
//! chunk: 1 u8, raw length u32, stored length u32, CRC32C of the stored bytes u32, zstd bytes   (repeated)
//! end: 2 u8, blake3 digest of everything before it (32), magic (8)
//! ```
//!
//! The chunks together are the state's pages as they stand in the state store, one behind the other.

use std::path::Path;

use crate::core::Table;
use crate::core::codec::{Decode as _, DecodeError, Encode as _, Reader, record};
use crate::core::planted::{self, Mistake};
use crate::store::checkpoint::Checkpoint;
use crate::store::file::{Access, File};
use crate::store::identity::ClusterId;
use crate::store::image::{Image, PAGE_BYTES_MAX, Page, SharedPage, page_len};
use crate::store::state::check_sum;
use crate::store::{Disk, StoreError};

const MAGIC: &[u8; 8] = b"CFSNAPS1";
const FORMAT: u32 = 1;

/// Raw bytes at which a chunk is closed.
const CHUNK_BYTES: usize = 1 << 20;

/// No chunk is longer than this, raw or stored.
const CHUNK_BYTES_MAX: usize = CHUNK_BYTES + 2 * PAGE_BYTES_MAX;

/// No header is longer than this.
const HEADER_BYTES_MAX: usize = 1 << 20;

const COMPRESSION_LEVEL: i32 = 1;
const CHUNK: u8 = 1;
const END: u8 = 2;
const CHUNK_HEAD_BYTES: usize = 13;
const END_BYTES: usize = 1 + 32 + MAGIC.len();

record! {
    /// What a snapshot file begins with.
    pub struct Header {
        /// The version of the format.
        pub format: u32,
        /// The cluster whose state it is.
        pub cluster: ClusterId,
        /// What it is a snapshot of.
        pub checkpoint: Checkpoint,
        /// How many pages it has.
        pub pages: u64,
    }
}

/// A snapshot as it was read and verified.
#[derive(Debug)]
pub struct Contents {
    /// Its header.
    pub header: Header,
    /// Its pages.
    pub image: Image,
    /// The length of the file, in bytes.
    pub bytes: u64,
}

/// Writes in order, and digests what it writes.
struct Output {
    file: File,
    hasher: blake3::Hasher,
    at: u64,
}

impl Output {
    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hasher.update(bytes);
        self.file.write_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// Writes a snapshot to `path` and syncs it. Returns its length in bytes.
///
/// # Errors
/// A fault of the disk.
pub fn write(
    disk: &Disk,
    path: &Path,
    cluster: ClusterId,
    checkpoint: &Checkpoint,
    pages: &[SharedPage],
) -> Result<u64, StoreError> {
    let file = disk.open(path, Access::Create)?;
    let mut output = Output { file, hasher: blake3::Hasher::new(), at: 0 };
    let header =
        Header { format: FORMAT, cluster, checkpoint: checkpoint.clone(), pages: pages.len() as u64 }.to_bytes();
    let mut bytes = MAGIC.to_vec();
    (header.len() as u32).encode(&mut bytes);
    bytes.extend_from_slice(&header);
    crc32c::crc32c(&bytes).encode(&mut bytes);
    output.put(&bytes)?;

    let mut raw = Vec::with_capacity(CHUNK_BYTES_MAX);
    for shared in pages {
        shared.page.encode(shared.key, &mut raw);
        if raw.len() >= CHUNK_BYTES {
            write_chunk(&mut output, &raw)?;
            raw.clear();
        }
    }
    if !raw.is_empty() {
        write_chunk(&mut output, &raw)?;
    }
    output.put(&[END])?;
    let digest = output.hasher.finalize();
    output.put(digest.as_bytes())?;
    output.put(MAGIC)?;
    if !planted::is(Mistake::SnapshotNotSynced) {
        output.file.sync()?;
    }
    Ok(output.at)
}

fn write_chunk(output: &mut Output, raw: &[u8]) -> Result<(), StoreError> {
    let stored = zstd::bulk::compress(raw, COMPRESSION_LEVEL)
        .map_err(|error| StoreError::io("compress", output.file.path(), error))?;
    let mut head = vec![CHUNK];
    (raw.len() as u32).encode(&mut head);
    (stored.len() as u32).encode(&mut head);
    crc32c::crc32c(&stored).encode(&mut head);
    output.put(&head)?;
    output.put(&stored)
}

/// Reads in order, and digests what it reads.
struct Input {
    file: File,
    len: u64,
    hasher: blake3::Hasher,
    at: u64,
}

impl Input {
    fn take(&mut self, count: usize) -> Result<Vec<u8>, StoreError> {
        if self.len - self.at < count as u64 {
            return Err(self.damaged("the file is cut"));
        }
        let mut bytes = vec![0; count];
        self.file.read_exact_at(&mut bytes, self.at)?;
        self.at += count as u64;
        Ok(bytes)
    }

    fn take_digested(&mut self, count: usize) -> Result<Vec<u8>, StoreError> {
        let bytes = self.take(count)?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    fn damaged(&self, reason: &str) -> StoreError {
        StoreError::corrupt(self.file.path(), self.at, reason)
    }

    fn undecodable(&self, error: &DecodeError) -> StoreError {
        self.damaged(&error.to_string())
    }
}

/// Reads and verifies a whole snapshot: every checksum, the file's digest, the count and digest of
/// the state.
///
/// # Errors
/// [`StoreError::Corrupt`] at the first thing that is wrong; [`StoreError::NewerFormat`]; a fault of the disk.
pub fn read(disk: &Disk, path: &Path) -> Result<Contents, StoreError> {
    let file = disk.open(path, Access::Read)?;
    let len = file.len()?;
    let mut input = Input { file, len, hasher: blake3::Hasher::new(), at: 0 };
    let header = read_header(&mut input)?;
    let mut image = Image::new();
    while read_chunk(&mut input, &mut image)? {}
    if image.page_count() as u64 != header.pages {
        return Err(input.damaged(&format!("{} pages, the header says {}", image.page_count(), header.pages)));
    }
    check_sum(&image, &header.checkpoint).map_err(|reason| input.damaged(&reason))?;
    Ok(Contents { header, image, bytes: len })
}

fn read_header(input: &mut Input) -> Result<Header, StoreError> {
    let mut bytes = input.take_digested(MAGIC.len() + 4)?;
    let (magic, len) = bytes.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(StoreError::corrupt(input.file.path(), 0, "this is no snapshot"));
    }
    let len = u32::from_bytes(len).map_err(|error| input.undecodable(&error))? as usize;
    if len > HEADER_BYTES_MAX {
        return Err(input.damaged("impossible length of the header"));
    }
    let body = input.take_digested(len)?;
    bytes.extend_from_slice(&body);
    if input.take_digested(4)? != crc32c::crc32c(&bytes).to_le_bytes() {
        return Err(input.damaged("the header's checksum differs"));
    }
    let format = u32::decode(&mut Reader::new(&body)).map_err(|error| input.undecodable(&error))?;
    if format > FORMAT {
        return Err(StoreError::NewerFormat { path: input.file.path().to_owned(), found: format, known: FORMAT });
    }
    Header::from_bytes(&body).map_err(|error| input.undecodable(&error))
}

/// Returns whether it was a chunk and not the end.
fn read_chunk(input: &mut Input, image: &mut Image) -> Result<bool, StoreError> {
    match input.take_digested(1)?[..] {
        [CHUNK] => {}
        [END] => {
            let digest = input.take(END_BYTES - 1)?;
            if digest[..32] != *input.hasher.finalize().as_bytes() || digest[32..] != *MAGIC || input.at != input.len {
                return Err(input.damaged("the file's digest differs"));
            }
            return Ok(false);
        }
        _ => return Err(input.damaged("neither a chunk nor the end")),
    }
    let head = input.take_digested(CHUNK_HEAD_BYTES - 1)?;
    let mut fields = Reader::new(&head);
    let mut field = || u32::decode(&mut fields);
    let numbers = field().and_then(|raw| Ok((raw as usize, field()? as usize, field()?)));
    let (raw_len, stored_len, checksum) = numbers.map_err(|error| input.undecodable(&error))?;
    if raw_len > CHUNK_BYTES_MAX || stored_len > 2 * CHUNK_BYTES_MAX {
        return Err(input.damaged("impossible length of a chunk"));
    }
    let stored = input.take_digested(stored_len)?;
    if crc32c::crc32c(&stored) != checksum {
        return Err(input.damaged("a chunk's checksum differs"));
    }
    let raw = zstd::bulk::decompress(&stored, raw_len).map_err(|error| input.damaged(&error.to_string()))?;
    let mut rest = &raw[..];
    while let [_, table, ..] = rest {
        let table = Table::from_number(*table).ok_or_else(|| input.damaged("a page of an unknown table"))?;
        let Some((page, behind)) = rest.split_at_checked(page_len(table)) else {
            return Err(input.damaged("a page is cut"));
        };
        let (key, page) = Page::decode(page).map_err(|error| input.damaged(&error.to_string()))?;
        image.load(key, page).map_err(|error| input.damaged(&error.to_string()))?;
        rest = behind;
    }
    match rest {
        [] => Ok(true),
        _ => Err(input.damaged("a page is cut")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::RecordKey;
    use crate::core::types::Sequence;

    fn state() -> (Image, Checkpoint) {
        let mut image = Image::new();
        for slot in 0..20_000 {
            let mut bytes = [0_u8; Table::Order.record_len()];
            bytes[0] = 1;
            bytes[8..12].copy_from_slice(&(slot * 7_919_u32).to_le_bytes());
            image.write(RecordKey { table: Table::Order, slot }, &bytes);
        }
        let checkpoint = Checkpoint {
            sequence: Sequence(20_000),
            digest: image.digest(),
            records: image.record_count(),
            ..Checkpoint::default()
        };
        (image, checkpoint)
    }

    #[test]
    fn a_snapshot_reads_back_and_damage_anywhere_is_found() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("one.snapshot");
        let (image, checkpoint) = state();
        let bytes = write(&Disk::real(), &path, ClusterId(9), &checkpoint, &image.share_all()).expect("written");
        let contents = read(&Disk::real(), &path).expect("undamaged");
        assert_eq!((contents.header.cluster, &contents.header.checkpoint), (ClusterId(9), &checkpoint));
        assert_eq!(contents.bytes, bytes);
        assert!(contents.image.records().eq(image.records()));

        let good = std::fs::read(&path).expect("readable");
        for place in 0..150 {
            let mut bad = good.clone();
            let at = if place < 100 { place } else { place * (good.len() - 1) / 149 };
            bad[at] ^= 1 << (place % 8);
            std::fs::write(&path, &bad).expect("written");
            assert!(read(&Disk::real(), &path).is_err(), "byte {at}");
            std::fs::write(&path, &good[..at]).expect("written");
            assert!(read(&Disk::real(), &path).is_err(), "cut at {at}");
        }
    }
}
