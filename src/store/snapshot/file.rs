//! The content of a snapshot file, which is a [chunked](crate::store::chunked) one.
//!
//! Its header says what it is a snapshot of. The chunks together are the state's pages as they stand in
//! the state store, one behind the other.

use std::collections::BTreeMap;
use std::path::Path;

use crate::core::codec::{Decode as _, Encode as _, Reader, record};
use crate::core::planted::{self, Mistake};
use crate::core::{StateDigest, Table};
use crate::store::checkpoint::Checkpoint;
use crate::store::chunked::{CHUNK_BYTES, Chunks, Magic, OnDisk, Source, Writer};
use crate::store::file::Access;
use crate::store::identity::ClusterId;
use crate::store::image::{Image, PAGE_BYTES_MAX, Page, PageError, PageKey, SharedPage, page_len};
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
    let mut pages = Pages::open(&source)?;
    while pages.next(|key, page| image.load(key, page))?.is_some() {}
    let Pages { header, chunks, .. } = pages;
    if image.page_count() as u64 != header.pages {
        return Err(chunks.damaged(&format!("{} pages, the header says {}", image.page_count(), header.pages)));
    }
    header.checkpoint.check(image.digest(), image.record_count()).map_err(|reason| chunks.damaged(&reason))?;
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
    let mut pages = Pages::open(source)?;
    let mut sum = Sum::default();
    while pages.next(|key, page| sum.add(key, &page))?.is_some() {}
    sum.compare(&pages)?;
    Ok((pages.header, pages.chunks.len()))
}

/// Writes a snapshot anew as one of another cluster, of whose members nobody is known, and syncs it. Verifies
/// what it reads, and keeps nothing, as [`check`]: unless it returns well the new file is of no use. Returns the
/// header that was read.
///
/// # Errors
/// As [`read`].
pub fn transcribe(disk: &Disk, from: &Path, to: &Path, cluster: ClusterId) -> Result<Header, StoreError> {
    let source = OnDisk::new(disk.open(from, Access::Read)?)?;
    let mut pages = Pages::open(&source)?;
    let checkpoint = Checkpoint { membership: None, ..pages.header.checkpoint.clone() };
    let header = Header { cluster, checkpoint, ..pages.header.clone() }.to_bytes();
    let mut writer = Writer::begin(disk.open(to, Access::Create)?, MAGIC, &header)?;
    let mut sum = Sum::default();
    while let Some(raw) = pages.next(|key, page| sum.add(key, &page))? {
        writer.chunk(&raw)?;
    }
    sum.compare(&pages)?;
    let (file, _) = writer.finish()?;
    file.sync()?;
    Ok(pages.header)
}

/// What the pages of a snapshot come to.
#[derive(Default)]
struct Sum {
    digest: StateDigest,
    records: u64,
    pages: u64,
    /// The page that follows in each table.
    next: BTreeMap<u8, u32>,
}

impl Sum {
    fn add(&mut self, key: PageKey, page: &Page) -> Result<(), PageError> {
        let next = self.next.entry(key.table.number()).or_default();
        if key.page != *next {
            return Err(PageError::OutOfOrder(key));
        }
        *next += 1;
        for (record_key, record) in page.records(key) {
            self.digest.add(record_key.table.number(), record);
            self.records += 1;
        }
        self.pages += 1;
        Ok(())
    }

    fn compare<S: Source>(&self, read: &Pages<&S>) -> Result<(), StoreError> {
        let Header { checkpoint, pages: expected, .. } = &read.header;
        let Sum { digest, records, pages, .. } = self;
        if (*pages, *records, *digest) == (*expected, checkpoint.records, checkpoint.digest) {
            return Ok(());
        }
        let (count, whole) = (checkpoint.records, checkpoint.digest);
        let found = format!("{pages} pages with {records} records and the digest {digest}");
        Err(read.chunks.damaged(&format!("{found}, the header says {expected}, {count} and {whole}")))
    }
}

/// The pages of a snapshot as they are read, a chunk of them at a time.
struct Pages<S> {
    header: Header,
    chunks: Chunks<S>,
}

impl<'a, S: Source> Pages<&'a S> {
    fn open(source: &'a S) -> Result<Self, StoreError> {
        let (header, chunks) = Chunks::open(source, MAGIC, CHUNK_BYTES_MAX, "snapshot")?;
        let format = u32::decode(&mut Reader::new(&header)).map_err(|error| chunks.undecodable(&error))?;
        if format > FORMAT {
            return Err(StoreError::NewerFormat { path: chunks.path().to_owned(), found: format, known: FORMAT });
        }
        let header = Header::from_bytes(&header).map_err(|error| chunks.undecodable(&error))?;
        Ok(Self { header, chunks })
    }

    /// Hands over the pages of the next chunk in order, and returns its bytes. `None` when the file was
    /// read to its end.
    fn next(
        &mut self,
        mut take: impl FnMut(PageKey, Page) -> Result<(), PageError>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Self { chunks, .. } = self;
        let Some(raw) = chunks.next()? else { return Ok(None) };
        let mut rest = &raw[..];
        while let [_, table, ..] = rest {
            let table = Table::from_number(*table).ok_or_else(|| chunks.damaged("a page of an unknown table"))?;
            let Some((page, behind)) = rest.split_at_checked(page_len(table)) else {
                return Err(chunks.damaged("a page is cut"));
            };
            let (key, page) = Page::decode(page).map_err(|error| chunks.damaged(&error.to_string()))?;
            take(key, page).map_err(|error| chunks.damaged(&error.to_string()))?;
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(chunks.damaged("a page is cut"));
        }
        Ok(Some(raw))
    }
}

/// Writes a snapshot of made-up orders, so many that they would not fit into memory; `checkpoint` without its digest
/// and count.
#[cfg(test)]
pub(crate) fn write_made_up(
    path: &Path,
    cluster: ClusterId,
    checkpoint: Checkpoint,
    records: u64,
) -> (Checkpoint, u64) {
    use crate::core::RecordKey;
    use crate::store::image::slots_per_page;
    let per_page = slots_per_page(Table::Order) as u64;
    let page = |number: u64| {
        let mut image = Image::new();
        for slot in 0..per_page.min(records - number * per_page) {
            let mut bytes = [0; Table::Order.record_len()];
            // One that begins with a zero is none.
            bytes[0] = 1;
            bytes[8..16].copy_from_slice(&(number * per_page + slot).to_le_bytes());
            // Neither all alike nor without any pattern, as real ones.
            let noise = blake3::hash(&bytes[..16]);
            bytes[16..48].copy_from_slice(noise.as_bytes());
            image.write(RecordKey { table: Table::Order, slot: slot as u32 }, &bytes);
        }
        let mut shared = image.share_all().remove(0);
        shared.key.page = number as u32;
        shared
    };
    let mut sum = Sum::default();
    for shared in (0..records.div_ceil(per_page)).map(page) {
        sum.add(shared.key, &shared.page).expect("in order");
    }
    let checkpoint = Checkpoint { digest: sum.digest, records: sum.records, ..checkpoint };
    let header = Header { format: FORMAT, cluster, checkpoint: checkpoint.clone(), pages: sum.pages }.to_bytes();
    let file = Disk::real().open(path, Access::Create).expect("created");
    let mut writer = Writer::begin(file, MAGIC, &header).expect("written");
    let mut raw = Vec::new();
    for shared in (0..sum.pages).map(page) {
        shared.page.encode(shared.key, &mut raw);
        if raw.len() >= CHUNK_BYTES {
            writer.chunk(&raw).expect("written");
            raw.clear();
        }
    }
    writer.chunk(&raw).expect("written");
    (checkpoint, writer.finish().expect("written").1)
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
        let other = dir.path().join("other.snapshot");
        let header = transcribe(&Disk::real(), &path, &other, ClusterId(10)).expect("undamaged");
        assert_eq!(header, contents.header);
        let written = read(&Disk::real(), &other).expect("undamaged");
        assert_eq!((written.header.cluster, &written.header.checkpoint), (ClusterId(10), &checkpoint));
        assert!(written.image.records().eq(image.records()));

        let good = std::fs::read(&path).expect("readable");
        for place in 0..150 {
            let mut bad = good.clone();
            let at = if place < 100 { place } else { place * (good.len() - 1) / 149 };
            bad[at] ^= 1 << (place % 8);
            std::fs::write(&path, &bad).expect("written");
            assert!(read(&Disk::real(), &path).is_err(), "byte {at}");
            assert!(check(&Disk::real(), &path).is_err(), "byte {at}");
            assert!(transcribe(&Disk::real(), &path, &other, ClusterId(10)).is_err(), "byte {at}");
            std::fs::write(&path, &good[..at]).expect("written");
            assert!(read(&Disk::real(), &path).is_err(), "cut at {at}");
        }
    }
}
