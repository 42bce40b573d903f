//! The state's pages in sled, with the checkpoint they belong to.
//!
//! One tree: `table u8 ‖ page u32 (big-endian)` holds a page, `0 ‖ part u16` a part of the meta record
//! (the [`Checkpoint`] and the index's run names). Every write is one atomic batch, so what is read
//! back is always the state at one position. Around sled stands what it lacks (see
//! [`sled_sync`](super::sled_sync)): durable syncs, a checksum in every page, a count and a digest over all of
//! them, and a caller that can rebuild everything from a snapshot and the log.
//!
//! The folder `state/` holds numbered databases; the file `CURRENT` names the one that counts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::file::Access;
use super::image::{Image, PAGE_BYTES_MAX, Page, PageKey, PageSums, SharedPage};
use super::index::RunName;
use super::{Disk, StoreError, sled_sync};
use crate::core::codec::{Decode as _, DecodeError, Encode as _, Reader, record};

/// The version of the meta record.
const META_FORMAT: u32 = 1;

/// Bytes of one part of the meta record: well below the size at which sled makes blob files.
const META_PART_BYTES: usize = 3 * 1024;

/// sled's cache in bytes. Every page is in memory besides, and nobody reads them from here but a start.
const CACHE_BYTES: u64 = 16 << 20;

/// How often sled cleans its segments, in milliseconds.
const CLEAN_EVERY_MS: u64 = 1_000;

/// Pages written at once into a fresh database.
const FILL_PAGES: usize = 1_024;

/// Disk use, in multiples of the live size, at which the database is written anew.
const REWRITE_FACTOR: u64 = 6;

/// A database is not written anew below this size, in bytes.
const REWRITE_BYTES_MIN: u64 = 256 << 20;

/// Opens of one database that may end in the middle before it is taken for damaged.
const OPEN_ATTEMPTS_MAX: u8 = 3;

/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 20;

/// First byte of the keys of the meta record's parts.
const META_PREFIX: u8 = 0;

/// The key that is written at start to see how sled syncs; no table has this number.
const PROBE_PREFIX: u8 = u8::MAX;

const CURRENT: &str = "CURRENT";
const OPENING: &str = "OPENING";

record! {
    /// What is stored with the pages.
    pub(super) struct Meta {
        format: u32,
        checkpoint: Checkpoint,
        runs: Vec<RunName>,
    }
}

impl Meta {
    pub(super) fn new(checkpoint: Checkpoint, runs: Vec<RunName>) -> Self {
        Self { format: META_FORMAT, checkpoint, runs }
    }
}

/// The state as it was read.
#[derive(Debug)]
pub struct Opened {
    /// The database.
    pub store: StateStore,
    /// Every page.
    pub image: Image,
    /// What the image is the state of.
    pub checkpoint: Checkpoint,
    /// The index's runs.
    pub runs: Vec<RunName>,
}

/// The one owner of the database.
#[derive(Debug)]
pub struct StateStore {
    disk: Disk,
    database: PathBuf,
    db: sled::Db,
}

impl StateStore {
    /// Opens the current database in the state folder; `None` when there is none.
    ///
    /// # Errors
    /// Whatever is wrong with it, a panic inside sled included: the caller sets it aside.
    pub fn open(disk: &Disk, folder: &Path) -> Result<Option<Opened>, StoreError> {
        let Some(number) = current(disk, folder)? else { return Ok(None) };
        let database = database_path(folder, number);
        if !disk.exists(&database)? {
            return Err(StoreError::Missing { path: database, reason: "CURRENT names it" });
        }
        note_attempt(disk, folder, number)?;
        let opened = guarded(&database, || {
            let db = open_sled(disk, &database)?;
            let store = Self { disk: disk.clone(), database: database.clone(), db };
            store.load()
        })?;
        disk.remove_file(&folder.join(OPENING))?;
        remove_others(disk, folder, number)?;
        Ok(Some(opened))
    }

    fn load(self) -> Result<Opened, StoreError> {
        let damaged = |reason: String| StoreError::corrupt(&self.database, 0, reason);
        let mut image = Image::new();
        let mut meta_bytes = Vec::new();
        for item in self.db.iter() {
            let (key, value) = item.map_err(|error| self.failed("read", &error))?;
            match key.first() {
                Some(&META_PREFIX) => meta_bytes.extend_from_slice(&value),
                Some(&PROBE_PREFIX) => {}
                _ => {
                    let (found, page) = self.decode_page(&key, &value)?;
                    image.load(found, page).map_err(|error| self.broken(&error.to_string()))?;
                }
            }
        }
        let meta = decode_meta(&meta_bytes).map_err(damaged)?;
        let Meta { checkpoint, runs, .. } = meta;
        checkpoint.check(image.digest(), image.record_count()).map_err(damaged)?;
        check_override(&self)?;
        Ok(Opened { store: self, image, checkpoint, runs })
    }

    fn decode_page(&self, key: &[u8], value: &[u8]) -> Result<(PageKey, Page), StoreError> {
        let (found, page) = Page::decode(value).map_err(|error| self.broken(&format!("page {key:02x?}: {error}")))?;
        if page_key(found)[..] != *key {
            return Err(self.broken(&format!("page {key:02x?} says it is {found:?}")));
        }
        Ok((found, page))
    }

    /// Writes a whole state into a fresh database, reads it back, and makes it the current one. A page is let go as
    /// soon as it is in the database: whoever changes it from then on copies none.
    ///
    /// # Errors
    /// A fault of the disk or of sled.
    pub fn create(
        disk: &Disk,
        folder: &Path,
        pages: Vec<SharedPage>,
        checkpoint: &Checkpoint,
        runs: &[RunName],
    ) -> Result<Self, StoreError> {
        disk.create_folder(folder)?;
        let number = next_number(disk, folder)?;
        let database = database_path(folder, number);
        let store = guarded(&database, || {
            let db = open_sled(disk, &database)?;
            let store = Self { disk: disk.clone(), database: database.clone(), db };
            check_override(&store)?;
            let count = pages.len();
            let mut pages = pages.into_iter();
            while pages.len() > FILL_PAGES {
                let part: Vec<SharedPage> = pages.by_ref().take(FILL_PAGES).collect();
                store.apply(&part, None)?;
            }
            // The meta record comes with the last pages: without it the database is no state.
            store.commit(pages.collect(), checkpoint, runs)?;
            store.check_against(count, checkpoint)?;
            Ok(store)
        })?;
        disk.replace_file(&folder.join(CURRENT), format!("{number}\n").as_bytes())?;
        remove_others(disk, folder, number)?;
        Ok(store)
    }

    /// Writes changed pages and the checkpoint that they belong to, as one; on return they are on disk.
    ///
    /// # Errors
    /// A fault of sled or the disk; the node must stop.
    pub fn commit(&self, pages: Vec<SharedPage>, checkpoint: &Checkpoint, runs: &[RunName]) -> Result<(), StoreError> {
        let meta = Meta::new(checkpoint.clone(), runs.to_vec());
        self.apply(&pages, Some(&meta))?;
        drop(pages);
        self.db.flush().map_err(|error| self.failed("flush", &error))?;
        self.sync_files()
    }

    fn apply(&self, pages: &[SharedPage], meta: Option<&Meta>) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        let mut bytes = Vec::with_capacity(PAGE_BYTES_MAX);
        for shared in pages {
            bytes.clear();
            shared.page.encode(shared.key, &mut bytes);
            assert!(bytes.len() <= PAGE_BYTES_MAX, "a page fits a plain value");
            batch.insert(&page_key(shared.key), bytes.as_slice());
        }
        if let Some(meta) = meta {
            // Parts of a longer record before are left behind: the record knows its length.
            for (chunk, part) in encode_meta(meta).chunks(META_PART_BYTES).zip(0_u16..) {
                let [high, low] = part.to_be_bytes();
                batch.insert(&[META_PREFIX, high, low], chunk);
            }
        }
        self.db.apply_batch(batch).map_err(|error| self.failed("write", &error))
    }

    /// What sled's own sync leaves open: its files' metadata and the folder's names.
    fn sync_files(&self) -> Result<(), StoreError> {
        for name in self.disk.list(&self.database)? {
            if name == "blobs" {
                if !self.disk.list(&self.database.join(name))?.is_empty() {
                    return Err(self.broken("sled made blob files, which it does not sync"));
                }
            } else if name == "db" {
                self.disk.open(&self.database.join(name), Access::Read)?.sync()?;
            }
        }
        self.disk.sync_folder(&self.database)
    }

    fn check_against(&self, pages: usize, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let mut read = PageSums::default();
        for item in self.db.iter() {
            let (key, value) = item.map_err(|error| self.failed("read", &error))?;
            if !matches!(key.first(), Some(&META_PREFIX | &PROBE_PREFIX)) {
                let (found, page) = self.decode_page(&key, &value)?;
                read.add(found, &page).map_err(|error| self.broken(&error.to_string()))?;
            }
        }
        if read.page_count() != pages {
            return Err(self.broken("other pages read back than were written"));
        }
        let (digest, records) = read.sums();
        checkpoint.check(digest, records).map_err(|reason| self.broken(&reason))
    }

    /// Whether the database should be written anew, since sled's file has outgrown what it holds.
    ///
    /// # Errors
    /// When the file cannot be measured.
    pub fn is_bloated(&self, live_pages: usize) -> Result<bool, StoreError> {
        let used = self.disk.open(&self.database.join("db"), Access::Read)?.len()?;
        Ok(used > REWRITE_BYTES_MIN && used > REWRITE_FACTOR * (live_pages * PAGE_BYTES_MAX) as u64)
    }

    fn failed(&self, what: &'static str, error: &sled::Error) -> StoreError {
        match error {
            sled::Error::Io(error) => {
                StoreError::io(what, &self.database, std::io::Error::new(error.kind(), error.to_string()))
            }
            other => self.broken(&format!("cannot {what}: {other}")),
        }
    }

    fn broken(&self, reason: &str) -> StoreError {
        StoreError::corrupt(&self.database, 0, reason)
    }
}

/// Sets the current database aside, under a name that says so. Returns the new name, if there was a
/// database.
///
/// # Errors
/// A fault of the disk.
pub fn set_aside(disk: &Disk, folder: &Path) -> Result<Option<PathBuf>, StoreError> {
    let number = match current(disk, folder) {
        Ok(None) => return Ok(None),
        Ok(number) => number,
        Err(StoreError::Corrupt { .. }) => None,
        Err(error) => return Err(error),
    };
    let aside = number.map(|number| (database_path(folder, number), folder.join(format!("damaged-{number}"))));
    let mut moved = None;
    if let Some((from, to)) = aside {
        if disk.exists(&to)? {
            disk.remove_folder(&to)?;
        }
        if disk.exists(&from)? {
            disk.rename(&from, &to)?;
            moved = Some(to);
        }
    }
    disk.remove_file(&folder.join(CURRENT))?;
    if disk.exists(&folder.join(OPENING))? {
        disk.remove_file(&folder.join(OPENING))?;
    }
    disk.sync_folder(folder)?;
    Ok(moved)
}

/// Copies the current database into the folder `to`, so that it can be opened there. Returns whether there
/// is one.
///
/// # Errors
/// A fault of the disk, or a `CURRENT` file that names no database.
pub fn copy_current(disk: &Disk, folder: &Path, to: &Path) -> Result<bool, StoreError> {
    let Some(number) = current(disk, folder)? else { return Ok(false) };
    let (from, target) = (database_path(folder, number), database_path(to, number));
    disk.create_folder(&target)?;
    for name in disk.list(&from)?.iter().filter(|name| *name != "blobs") {
        let source = disk.open(&from.join(name), Access::Read)?;
        let copy = disk.open(&target.join(name), Access::Create)?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut at = 0;
        loop {
            let count = source.read_at(&mut buffer, at)?;
            if count == 0 {
                break;
            }
            copy.write_at(&buffer[..count], at)?;
            at += count as u64;
        }
    }
    disk.replace_file(&to.join(CURRENT), format!("{number}\n").as_bytes())?;
    Ok(true)
}

fn database_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:06}"))
}

/// The number in `CURRENT`; `None` when there is no such file.
fn current(disk: &Disk, folder: &Path) -> Result<Option<u64>, StoreError> {
    let path = folder.join(CURRENT);
    let Some(bytes) = disk.read_file(&path)? else { return Ok(None) };
    let number = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n')?.parse().ok());
    number.map(Some).ok_or_else(|| StoreError::corrupt(&path, 0, "it names no database"))
}

/// A number that no database has, nor one that was set aside.
fn next_number(disk: &Disk, folder: &Path) -> Result<u64, StoreError> {
    let names = disk.list(folder)?;
    let numbers = names.iter().filter_map(|name| name.trim_start_matches("damaged-").parse::<u64>().ok());
    Ok(numbers.max().unwrap_or(0) + 1)
}

/// Removes databases that do not count: unfinished ones and those replaced. What was set aside
/// stays, the newest of it.
fn remove_others(disk: &Disk, folder: &Path, keep: u64) -> Result<(), StoreError> {
    let names = disk.list(folder)?;
    let damaged = |name: &str| name.strip_prefix("damaged-").and_then(|number| number.parse::<u64>().ok());
    let newest = names.iter().filter_map(|name| damaged(name)).max();
    for name in &names {
        let stale = name.parse::<u64>().is_ok_and(|number| number != keep);
        if stale || (damaged(name).is_some() && damaged(name) != newest) {
            disk.remove_folder(&folder.join(name))?;
        }
    }
    disk.sync_folder(folder)
}

/// Counts opens of this database that did not end: sled can panic or hang on damage, and in a
/// release build a panic ends the process.
fn note_attempt(disk: &Disk, folder: &Path, number: u64) -> Result<(), StoreError> {
    let path = folder.join(OPENING);
    let before = disk.read_file(&path)?.filter(|bytes| bytes.len() == 9 && bytes[..8] == number.to_le_bytes());
    let attempts = before.map_or(0, |bytes| bytes[8]);
    if attempts >= OPEN_ATTEMPTS_MAX {
        let reason = format!("{attempts} starts ended while it was opened");
        return Err(StoreError::corrupt(&database_path(folder, number), 0, reason));
    }
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.push(attempts + 1);
    disk.replace_file(&path, &bytes)
}

fn open_sled(disk: &Disk, database: &Path) -> Result<sled::Db, StoreError> {
    if disk.exists(database)? {
        // Left behind by an open on a full disk; sled takes it for corruption.
        for name in disk.list(database)?.iter().filter(|name| name.ends_with(".generating")) {
            disk.remove_file(&database.join(name))?;
        }
    }
    let config = sled::Config::new()
        .path(database)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(CLEAN_EVERY_MS))
        .mode(sled::Mode::HighThroughput);
    let db = config.open().map_err(|error| match error {
        // sled says so in words alone.
        sled::Error::Io(error) if error.to_string().contains("acquire lock") => {
            StoreError::Locked { path: database.to_owned() }
        }
        sled::Error::Io(error) => StoreError::io("open", database, error),
        other => StoreError::corrupt(database, 0, other.to_string()),
    })?;
    disk.sync_folder(database)?;
    if let Some(parent) = database.parent() {
        disk.sync_folder(parent)?;
    }
    Ok(db)
}

/// Turns a panic inside sled into an error, where panics unwind.
fn guarded<T>(database: &Path, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(StoreError::corrupt(database, 0, format!("sled panicked: {text}")))
    })
}

/// Flushes after which sled must have synced once. One that finds the log's tip at the end of a
/// segment writes nothing.
const PROBES_MAX: u64 = 8;

/// Refuses to go on when sled's syncs do not come through our own function. The probe gets another
/// value each time: sled does not write one that is there already.
fn check_override(store: &StateStore) -> Result<(), StoreError> {
    let last = store.db.get([PROBE_PREFIX]).map_err(|error| store.failed("read", &error))?;
    let last = last.and_then(|value| Some(u64::from_le_bytes(value.as_ref().try_into().ok()?))).unwrap_or(0);
    let before = sled_sync::calls();
    for probe in 1..=PROBES_MAX {
        let next = last.wrapping_add(probe).to_le_bytes();
        store.db.insert([PROBE_PREFIX], next.as_slice()).map_err(|error| store.failed("write", &error))?;
        store.db.flush().map_err(|error| store.failed("flush", &error))?;
        if sled_sync::calls() > before {
            return Ok(());
        }
    }
    // Not damage: the database is as good as any, the program is wrong.
    let reason = "sled does not sync through this program's sync_file_range: it was linked in the wrong order";
    Err(StoreError::io("sync", &store.database, std::io::Error::new(std::io::ErrorKind::Unsupported, reason)))
}

fn page_key(key: PageKey) -> [u8; 5] {
    let mut bytes = [key.table.number(), 0, 0, 0, 0];
    bytes[1..].copy_from_slice(&key.page.to_be_bytes());
    bytes
}

/// The record behind its length and before its checksum.
pub(super) fn encode_meta(meta: &Meta) -> Vec<u8> {
    let body = meta.to_bytes();
    let mut bytes = (body.len() as u32).to_bytes();
    bytes.extend_from_slice(&body);
    crc32c::crc32c(&bytes).encode(&mut bytes);
    bytes
}

pub(super) fn decode_meta(bytes: &[u8]) -> Result<Meta, String> {
    let decode = |bytes: &[u8]| -> Result<(Vec<u8>, u32, u32), DecodeError> {
        let mut input = Reader::new(bytes);
        let len = u32::decode(&mut input)? as usize;
        let body = input.take(len, "meta record")?.to_vec();
        Ok((body, crc32c::crc32c(&bytes[..4 + len]), u32::decode(&mut input)?))
    };
    let (body, found, expected) = decode(bytes).map_err(|error| format!("meta record: {error}"))?;
    if found != expected {
        return Err("the meta record's checksum differs".to_owned());
    }
    let meta = Meta::from_bytes(&body).map_err(|error| format!("meta record: {error}"))?;
    if meta.format != META_FORMAT {
        return Err(format!("meta record of format {}", meta.format));
    }
    Ok(meta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::types::{LogIndex, Sequence, Term};
    use crate::core::{RecordKey, Table};
    use crate::store::Position;
    use crate::store::tests::wait_for_databases;

    fn put(image: &mut Image, table: Table, slot: u32, seed: u8) {
        let mut bytes = vec![seed; table.record_len()];
        bytes[0] = 1;
        image.write(RecordKey { table, slot }, &bytes);
    }

    fn checkpoint(image: &Image, index: u64) -> Checkpoint {
        Checkpoint {
            position: Some(Position { term: Term(2), index: LogIndex(index) }),
            membership: Some((Position::default(), bytes::Bytes::from(vec![7; 5_000]))),
            sequence: Sequence(index * 3),
            digest: image.digest(),
            records: image.record_count(),
        }
    }

    fn reopen(folder: &Path) -> Result<Option<Opened>, StoreError> {
        wait_for_databases(folder);
        StateStore::open(&Disk::real(), folder)
    }

    /// A state folder with two commits of different content, closed.
    fn written(folder: &Path) -> (Image, Checkpoint) {
        let mut image = Image::new();
        (0..3_000).for_each(|slot| put(&mut image, Table::Balance, slot, slot as u8));
        let pages = image.take_all();
        let first = checkpoint(&image, 10);
        let store = StateStore::create(&Disk::real(), folder, pages, &first, &[]).expect("created");
        (0..200).for_each(|slot| put(&mut image, Table::Order, slot, slot as u8));
        (0..50).for_each(|slot| put(&mut image, Table::Balance, slot * 7, 99));
        let second = checkpoint(&image, 20);
        let run = RunName { first: Sequence(1), last: Sequence(50), level: 0 };
        store.commit(image.take_dirty(), &second, &[run]).expect("committed");
        (image, second)
    }

    #[test]
    fn a_state_reads_back_as_it_was_committed() {
        let dir = tempfile::tempdir().expect("a folder");
        let (image, checkpoint) = written(dir.path());
        let opened = reopen(dir.path()).expect("undamaged").expect("there");
        assert_eq!(opened.checkpoint, checkpoint);
        assert_eq!(opened.runs.len(), 1);
        assert!(opened.image.records().eq(image.records()));
        assert!(sled_sync::calls() > 0);
    }

    #[test]
    fn every_start_sees_how_sled_syncs() {
        let dir = tempfile::tempdir().expect("a folder");
        written(dir.path());
        for _ in 0..3 {
            let before = sled_sync::calls();
            let opened = reopen(dir.path()).expect("undamaged").expect("there");
            check_override(&opened.store).expect("asked again at once");
            assert!(sled_sync::calls() > before + 1);
        }
    }

    #[test]
    fn a_rewritten_state_takes_the_place_of_the_old_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut image, checkpoint) = written(dir.path());
        let opened = reopen(dir.path()).expect("undamaged").expect("there");
        drop(opened.store);
        let pages = image.take_all();
        drop(StateStore::create(&Disk::real(), dir.path(), pages, &checkpoint, &[]).expect("created"));
        assert!(!dir.path().join("000001").exists());
        let opened = reopen(dir.path()).expect("undamaged").expect("there");
        assert_eq!((opened.checkpoint, opened.runs.len()), (checkpoint, 0));
    }

    #[test]
    fn damage_is_an_error_or_an_older_state_and_never_a_wrong_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let (_, newest) = written(dir.path());
        let file = dir.path().join("000001/db");
        let good = std::fs::read(&file).expect("readable");
        let (mut errors, mut older, mut unharmed) = (0, 0, 0);
        let mut try_bytes = |bytes: &[u8]| {
            let copy = tempfile::tempdir().expect("a folder");
            let to = copy.path().join("000001");
            std::fs::create_dir(&to).expect("created");
            std::fs::write(copy.path().join(CURRENT), "1\n").expect("written");
            for entry in std::fs::read_dir(dir.path().join("000001")).expect("listed") {
                let entry = entry.expect("an entry");
                if entry.file_type().expect("known").is_file() {
                    std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
                }
            }
            std::fs::write(to.join("db"), bytes).expect("written");
            match reopen(copy.path()) {
                Err(_) | Ok(None) => errors += 1,
                Ok(Some(opened)) => {
                    let Opened { image, checkpoint, .. } = &opened;
                    checkpoint.check(image.digest(), image.record_count()).expect("what is served adds up");
                    if opened.checkpoint == newest { unharmed += 1 } else { older += 1 }
                }
            }
        };
        for place in 0..40 {
            let mut bad = good.clone();
            let at = place * good.len() / 40 + place * 13 % 512;
            bad[at.min(good.len() - 1)] ^= 1 << (place % 8);
            try_bytes(&bad);
        }
        for place in 0..10 {
            try_bytes(&good[..place * good.len() / 10]);
        }
        assert!(errors > 0, "{errors} errors, {older} older, {unharmed} unharmed");
    }

    #[test]
    fn opens_that_never_ended_condemn_a_database() {
        let dir = tempfile::tempdir().expect("a folder");
        written(dir.path());
        for _ in 0..OPEN_ATTEMPTS_MAX {
            note_attempt(&Disk::real(), dir.path(), 1).expect("counted");
        }
        assert!(matches!(reopen(dir.path()), Err(StoreError::Corrupt { .. })));
        let aside = set_aside(&Disk::real(), dir.path()).expect("moved").expect("there was one");
        assert!(aside.ends_with("damaged-1"));
        assert!(reopen(dir.path()).expect("readable").is_none());
    }
}
