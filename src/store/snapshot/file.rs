//! The content of a snapshot file, which is a [chunked](crate::store::chunked) one.
//!
//! Its header says what it is a snapshot of. The chunks together are the state's pages as they stand in
//! the state store, one behind the other.

use std::path::Path;

use crate::core::codec::{Decode as _, Encode as _, Reader, record};
use crate::core::planted::{self, Mistake};
use crate::core::{StateDigest, Table};
use crate::store::checkpoint::Checkpoint;
use crate::store::chunked::{CHUNK_BYTES, Chunks, Magic, OnDisk, Source, Writer};
use crate::store::file::Access;
use crate::store::identity::ClusterId;
use crate::store::image::{Image, PAGE_BYTES_MAX, Page, PageKey, SharedPage, page_len};
use crate::store::state::check_sum;
use crate::store::{Disk, StoreError};

const MAGIC: Magic = *b"CFSNAPS1";
const FORMAT: u32 = 1;

/// No chunk is longer than this, raw.
const CHUNK_BYTES_MAX: usize = CHUNK_BYTES + 2 * PAGE_BYTES_MAX;

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
    let header =
        Header { format: FORMAT, cluster, checkpoint: checkpoint.clone(), pages: pages.len() as u64 }.to_bytes();
    let mut writer = Writer::begin(disk.open(path, Access::Create)?, MAGIC, &header)?;
    let mut raw = Vec::with_capacity(CHUNK_BYTES_MAX);
    for shared in pages {
        shared.page.encode(shared.key, &mut raw);
        if raw.len() >= CHUNK_BYTES {
            writer.chunk(&raw)?;
            raw.clear();
        }
    }
    if !raw.is_empty() {
        writer.chunk(&raw)?;
    }
    let (file, bytes) = writer.finish()?;
    if !planted::is(Mistake::SnapshotNotSynced) {
        file.sync()?;
    }
    Ok(bytes)
}

/// Reads and verifies a whole snapshot: every checksum, the file's digest, the count and digest of
/// the state.
///
/// # Errors
/// [`StoreError::Corrupt`] at the first thing that is wrong; [`StoreError::NewerFormat`]; a fault of the disk.
pub fn read(disk: &Disk, path: &Path) -> Result<Contents, StoreError> {
    let mut image = Image::new();
    let source = OnDisk::new(disk.open(path, Access::Read)?)?;
    let (header, chunks) = read_pages(&source, |key, page| image.load(key, page))?;
    if image.page_count() as u64 != header.pages {
        return Err(chunks.damaged(&format!("{} pages, the header says {}", image.page_count(), header.pages)));
    }
    check_sum(&image, &header.checkpoint).map_err(|reason| chunks.damaged(&reason))?;
    Ok(Contents { header, image, bytes: chunks.len() })
}

/// As [`read`], but keeps nothing: for a state of any size in little memory. Returns the header and the
/// length of the file in bytes.
///
/// # Errors
/// As [`read`].
pub fn check(disk: &Disk, path: &Path) -> Result<(Header, u64), StoreError> {
    check_source(&OnDisk::new(disk.open(path, Access::Read)?)?)
}

/// As [`check`], wherever the snapshot's bytes are.
///
/// # Errors
/// As [`read`].
pub fn check_source(source: &impl Source) -> Result<(Header, u64), StoreError> {
    let (mut digest, mut records, mut pages) = (StateDigest::default(), 0, 0);
    let (header, chunks) = read_pages(source, |key, page| {
        for (record_key, record) in page.records(key) {
            digest.add(record_key.table.number(), record);
            records += 1;
        }
        pages += 1;
    })?;
    let Checkpoint { digest: expected, records: counted, .. } = header.checkpoint;
    if (pages, records, digest) != (header.pages, counted, expected) {
        let reason = format!(
            "{pages} pages with {records} records and the digest {digest}, the header says {}, {counted} and {expected}",
            header.pages
        );
        return Err(chunks.damaged(&reason));
    }
    Ok((header, chunks.len()))
}

/// Hands over every page in order. What is returned was read to its end.
fn read_pages<S: Source>(source: &S, mut take: impl FnMut(PageKey, Page)) -> Result<(Header, Chunks<&S>), StoreError> {
    let (header, mut chunks) = Chunks::open(source, MAGIC, CHUNK_BYTES_MAX, "snapshot")?;
    let format = u32::decode(&mut Reader::new(&header)).map_err(|error| chunks.undecodable(&error))?;
    if format > FORMAT {
        return Err(StoreError::NewerFormat { path: chunks.path().to_owned(), found: format, known: FORMAT });
    }
    let header = Header::from_bytes(&header).map_err(|error| chunks.undecodable(&error))?;
    while let Some(raw) = chunks.next()? {
        let mut rest = &raw[..];
        while let [_, table, ..] = rest {
            let table = Table::from_number(*table).ok_or_else(|| chunks.damaged("a page of an unknown table"))?;
            let Some((page, behind)) = rest.split_at_checked(page_len(table)) else {
                return Err(chunks.damaged("a page is cut"));
            };
            let (key, page) = Page::decode(page).map_err(|error| chunks.damaged(&error.to_string()))?;
            take(key, page);
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(chunks.damaged("a page is cut"));
        }
    }
    Ok((header, chunks))
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
        assert_eq!(check(&Disk::real(), &path).expect("undamaged"), (contents.header.clone(), bytes));
        assert!(contents.image.records().eq(image.records()));

        let good = std::fs::read(&path).expect("readable");
        for place in 0..150 {
            let mut bad = good.clone();
            let at = if place < 100 { place } else { place * (good.len() - 1) / 149 };
            bad[at] ^= 1 << (place % 8);
            std::fs::write(&path, &bad).expect("written");
            assert!(read(&Disk::real(), &path).is_err(), "byte {at}");
            assert!(check(&Disk::real(), &path).is_err(), "byte {at}");
            std::fs::write(&path, &good[..at]).expect("written");
            assert!(read(&Disk::real(), &path).is_err(), "cut at {at}");
        }
    }
}
