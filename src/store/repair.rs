//! What a node notes while the others bring it up again: that its log is not what it acknowledged, where
//! the damaged files were put, and how it ended.
//!
//! A node whose log, journal or state is damaged beyond what its own folder can make good, and that still
//! knows its vote, sets the damaged files aside and begins again with an empty log and that vote. From
//! then on until its log has all that it had acknowledged it must neither vote nor lead, so the mark
//! outlives every restart. It is written before anything is moved, and each step can be done again:
//!
//! 1. *moving*: files go from their folder to the one they are set aside in, one by one;
//! 2. *creating*: the log's folder is emptied, and a log made that holds the vote alone;
//! 3. *following*: the node runs, and is brought up.
//!
//! What was set aside stays for the operator until the next repair, which removes it: at most one such
//! folder is there. What is damaged again during a repair is not kept, since it came from the others.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use chrono::DateTime;

use super::file::{Disk, LOCK_FILE};
use super::log::Log;
use super::recovery::Folders;
use super::{Position, StoreError, state};
use crate::core::codec::{Decode, DecodeError, Encode, Input, Output, numbered, record};
use crate::core::types::{LogIndex, Term};

/// The file in the data folder that holds the [`Book`].
pub const FILE_NAME: &str = "REPAIR";

const MAGIC: [u8; 8] = *b"CFOILREP";
const FORMAT_VERSION: u32 = 1;

/// What the names of folders with files set aside begin with.
const ASIDE: &str = "damaged-";

/// The longest text of a cause that is kept, in bytes.
const CAUSE_BYTES_MAX: usize = 1 << 10;

numbered! {
    /// How far a repair has come.
    pub enum Stage {
        /// Files are being set aside.
        Moving = 1,
        /// The empty log is being made.
        Creating = 2,
        /// The node runs, and follows without a vote.
        Following = 3,
    }
}

numbered! {
    /// What is given up.
    pub enum Scope {
        /// The log. State, journal and index are whole, and the log goes on behind them.
        Log = 1,
        /// Log, state, journal, index and snapshots.
        Everything = 2,
    }
}

impl Encode for Position {
    fn encode<O: Output>(&self, out: &mut O) {
        self.term.encode(out);
        self.index.encode(out);
    }
}

impl Decode for Position {
    const BYTES_MIN: usize = Term::BYTES_MIN + LogIndex::BYTES_MIN;

    fn decode<I: Input>(input: &mut I) -> Result<Self, DecodeError> {
        Ok(Self { term: Term::decode(input)?, index: LogIndex::decode(input)? })
    }
}

record! {
    /// What a repair is about.
    pub struct Case {
        /// When it was begun, in milliseconds since the Unix epoch.
        pub begun_ms: u64,
        cause: Vec<u8>,
        aside: Vec<u8>,
    }
}

record! {
    /// A repair under way.
    pub struct Mark {
        /// How far it has come.
        pub stage: Stage,
        /// What is given up.
        pub scope: Scope,
        /// What it is about.
        pub case: Case,
        /// The vote to begin again with.
        pub vote: Vec<u8>,
        /// The last entry that was in the log, if that was whole: nothing behind it was acknowledged.
        pub last: Option<Position>,
        /// Files that were damaged during a repair are removed, not set aside.
        again: bool,
    }
}

record! {
    /// A repair that is done.
    pub struct Repaired {
        /// What it was about.
        pub case: Case,
        /// When it ended, in milliseconds since the Unix epoch.
        pub ended_ms: u64,
        /// The leader that brought the rest.
        pub from: u64,
        /// Log entries that came.
        pub entries: u64,
        /// Bytes that came, of entries, snapshots and journal.
        pub bytes: u64,
    }
}

record! {
    /// What a node knows of its repairs.
    pub struct Book {
        /// Repairs that were done.
        pub count: u64,
        /// The one under way.
        pub mark: Option<Mark>,
        /// The last one that was done.
        pub last: Option<Repaired>,
    }
}

impl Book {
    /// One without a repair.
    #[must_use]
    pub fn new() -> Self {
        Self { count: 0, mark: None, last: None }
    }
}

impl Default for Book {
    fn default() -> Self {
        Self::new()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Case {
    /// What was damaged, and where.
    #[must_use]
    pub fn cause(&self) -> String {
        text(&self.cause)
    }

    /// The name of the folder that the damaged files are in.
    #[must_use]
    pub fn aside(&self) -> String {
        text(&self.aside)
    }
}

/// What is damaged, as far as the rest of the node must know.
#[derive(Debug, Clone)]
pub struct Damage {
    /// What is to be given up.
    pub scope: Scope,
    /// The file and the place in it.
    pub cause: String,
    /// The vote, which is known for sure.
    pub vote: Bytes,
    /// The last entry in the log, if that is whole.
    pub last: Option<Position>,
}

/// Reads what is known of repairs; nothing in a folder that had none.
///
/// # Errors
/// [`StoreError::Corrupt`] or [`StoreError::NewerFormat`]: whether the node may vote is not known then. I/O.
pub fn read(disk: &Disk, dir: &Path) -> Result<Book, StoreError> {
    let path = dir.join(FILE_NAME);
    match disk.read_file(&path)? {
        None => Ok(Book::new()),
        Some(bytes) => decode(&path, &bytes),
    }
}

fn write(disk: &Disk, dir: &Path, book: &Book) -> Result<(), StoreError> {
    let mut bytes = MAGIC.to_vec();
    FORMAT_VERSION.encode(&mut bytes);
    book.encode(&mut bytes);
    crc32c::crc32c(&bytes).encode(&mut bytes);
    disk.replace_file(&dir.join(FILE_NAME), &bytes)
}

fn decode(path: &Path, bytes: &[u8]) -> Result<Book, StoreError> {
    let corrupt = |reason: &str| StoreError::corrupt(path, 0, reason);
    let (body, sum) = bytes.split_at(bytes.len().saturating_sub(size_of::<u32>()));
    if sum != crc32c::crc32c(body).to_le_bytes() {
        return Err(corrupt("the checksum does not match"));
    }
    let body = body.strip_prefix(&MAGIC).ok_or_else(|| corrupt("it says nothing of repairs"))?;
    let (version, body) = body.split_at_checked(size_of::<u32>()).ok_or_else(|| corrupt("it is cut short"))?;
    let version = u32::from_bytes(version).map_err(|error| corrupt(&error.to_string()))?;
    if version > FORMAT_VERSION {
        return Err(StoreError::NewerFormat { path: path.to_owned(), found: version, known: FORMAT_VERSION });
    }
    Book::from_bytes(body).map_err(|error| corrupt(&error.to_string()))
}

/// Begins a repair, and carries it on until the node can run without what is damaged.
///
/// # Errors
/// [`StoreError::Full`] when another copy of what is given up has no room; nothing was moved then. I/O.
pub fn begin(
    disk: &Disk,
    dir: &Path,
    mut book: Book,
    damage: &Damage,
    now_ms: u64,
    segment_bytes: u64,
) -> Result<Book, StoreError> {
    let again = book.mark.is_some();
    let mut cause = damage.cause.clone();
    cause.truncate(cause.floor_char_boundary(CAUSE_BYTES_MAX));
    // The first one is what the operator is to look at. Since then more may have been acknowledged than was in the
    // log at first, and nobody knows how much.
    let (case, last) = match book.mark.take() {
        Some(mark) => (mark.case, None),
        None => {
            let aside = aside_name(book.count + 1, now_ms).into_bytes();
            (Case { begun_ms: now_ms, cause: cause.into_bytes(), aside }, damage.last)
        }
    };
    if !again {
        expect_room(disk, dir, damage.scope)?;
        if let Some(before) = &book.last {
            remove_folder(disk, dir, &dir.join(before.case.aside()))?;
        }
    }
    let mark = Mark { stage: Stage::Moving, scope: damage.scope, case, vote: damage.vote.to_vec(), last, again };
    book.mark = Some(mark);
    write(disk, dir, &book)?;
    carry_on(disk, dir, book, segment_bytes)
}

/// Does what a repair that was begun still lacks before the node can run.
///
/// # Errors
/// I/O.
pub fn carry_on(disk: &Disk, dir: &Path, mut book: Book, segment_bytes: u64) -> Result<Book, StoreError> {
    if let Some(mark) = book.mark.as_mut().filter(|mark| mark.stage == Stage::Moving) {
        set_aside(disk, dir, mark)?;
        mark.stage = Stage::Creating;
        write(disk, dir, &book)?;
    }
    if let Some(mark) = book.mark.as_mut().filter(|mark| mark.stage == Stage::Creating) {
        let log = dir.join(LOG);
        remove_files(disk, &log)?;
        Log::create_with_vote(disk, &log, segment_bytes, &mark.vote)?;
        mark.stage = Stage::Following;
        write(disk, dir, &book)?;
    }
    Ok(book)
}

/// Notes that the repair is done: the node votes again.
///
/// # Errors
/// I/O; the node must stop.
pub fn finish(disk: &Disk, dir: &Path, mut book: Book, came: Came, now_ms: u64) -> Result<Book, StoreError> {
    let Some(mark) = book.mark.take() else { return Ok(book) };
    let Came { from, entries, bytes } = came;
    book.last = Some(Repaired { case: mark.case, ended_ms: now_ms, from, entries, bytes });
    book.count += 1;
    write(disk, dir, &book)?;
    Ok(book)
}

/// Forgets a repair under way: for a folder that becomes a cluster of its own.
///
/// # Errors
/// I/O.
pub fn abandon(disk: &Disk, dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(FILE_NAME);
    if disk.exists(&path)? {
        disk.remove_file(&path)?;
        disk.sync_folder(dir)?;
    }
    Ok(())
}

/// What a node was sent during a repair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Came {
    /// The leader that sent the last of it.
    pub from: u64,
    /// Log entries.
    pub entries: u64,
    /// Bytes of entries, snapshots and journal.
    pub bytes: u64,
}

const LOG: &str = "log";

fn aside_name(number: u64, now_ms: u64) -> String {
    let time = i64::try_from(now_ms).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default();
    // The number keeps two apart of which the clock says the same.
    format!("{ASIDE}{}-{number}", time.format("%Y%m%dT%H%M%SZ"))
}

/// The folders whose files are moved, with what can be made anew left out.
fn folders(dir: &Path, scope: Scope) -> Vec<(&'static str, PathBuf)> {
    let Folders { journal, snapshots, .. } = Folders::of(dir);
    let mut folders = vec![(LOG, dir.join(LOG))];
    if scope == Scope::Everything {
        folders.extend([("journal", journal), ("snapshots", snapshots)]);
    }
    folders
}

/// A file that is worth keeping: not a lock, and not a segment that nothing was ever in.
fn is_kept(name: &str) -> bool {
    name != LOCK_FILE && !name.ends_with(".spare") && !name.ends_with(".unfinished")
}

/// Refuses to set aside what the disk has no room for a second time.
fn expect_room(disk: &Disk, dir: &Path, scope: Scope) -> Result<(), StoreError> {
    let mut bytes = 0;
    for (_, folder) in folders(dir, scope) {
        if disk.exists(&folder)? {
            for name in disk.list(&folder)?.iter().filter(|name| is_kept(name)) {
                bytes += disk.open(&folder.join(name), super::file::Access::Read)?.len()?;
            }
        }
    }
    if disk.free_bytes(dir)? < bytes {
        return Err(StoreError::Full { what: "set damaged files aside in", path: dir.to_owned(), at: None });
    }
    Ok(())
}

fn set_aside(disk: &Disk, dir: &Path, mark: &Mark) -> Result<(), StoreError> {
    let aside = dir.join(mark.case.aside());
    for (name, folder) in folders(dir, mark.scope) {
        if mark.again {
            remove_files(disk, &folder)?;
        } else {
            move_files(disk, &folder, &aside.join(name))?;
        }
    }
    if mark.scope == Scope::Everything {
        let Folders { state, index, .. } = Folders::of(dir);
        // It stays where it is, under a name that says so: sled's files are not the store's to move.
        if disk.exists(&state)? {
            state::set_aside(disk, &state)?;
        }
        remove_files(disk, &index)?;
    }
    Ok(())
}

/// Moves the files of a folder. What is there already was moved before a crash.
fn move_files(disk: &Disk, from: &Path, to: &Path) -> Result<(), StoreError> {
    if !disk.exists(from)? {
        return Ok(());
    }
    disk.create_folder(to)?;
    for name in disk.list(from)? {
        if is_kept(&name) {
            disk.rename(&from.join(&name), &to.join(&name))?;
        } else if name != LOCK_FILE {
            disk.remove_file(&from.join(&name))?;
        }
    }
    disk.sync_folder(from)
}

fn remove_files(disk: &Disk, folder: &Path) -> Result<(), StoreError> {
    if !disk.exists(folder)? {
        return Ok(());
    }
    for name in disk.list(folder)?.iter().filter(|name| *name != LOCK_FILE) {
        disk.remove_file(&folder.join(name))?;
    }
    disk.sync_folder(folder)
}

fn remove_folder(disk: &Disk, dir: &Path, folder: &Path) -> Result<(), StoreError> {
    if disk.exists(folder)? {
        disk.remove_folder(folder)?;
        disk.sync_folder(dir)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::log::{LogOptions, SEGMENT_BYTES_MIN};
    use crate::store::testing::{Random, SimDisk};

    const DIR: &str = "/data";
    /// 2026-01-02T03:04:05Z.
    const NOW_MS: u64 = 1_767_323_045_000;

    fn damage(scope: Scope) -> Damage {
        Damage { scope, cause: "it is damaged".to_owned(), vote: Bytes::from_static(b"vote"), last: None }
    }

    /// A folder with one file of each kind; without a state, which lies on a real disk.
    fn folder() -> SimDisk {
        let sim = SimDisk::default();
        for file in ["log/1.log", "log/1.spare", "journal/0.journal", "snapshots/1.snapshot", "index/1.run"] {
            sim.put(&Path::new(DIR).join(file), file.as_bytes());
        }
        sim
    }

    fn start(sim: &SimDisk, scope: Scope) -> Result<Book, StoreError> {
        let disk = sim.disk();
        let book = read(&disk, Path::new(DIR))?;
        if book.mark.is_some() {
            return carry_on(&disk, Path::new(DIR), book, SEGMENT_BYTES_MIN);
        }
        begin(&disk, Path::new(DIR), book, &damage(scope), NOW_MS, SEGMENT_BYTES_MIN)
    }

    fn vote_in_log(sim: &SimDisk) -> Option<Bytes> {
        let options =
            LogOptions { segment_bytes: SEGMENT_BYTES_MIN, create: false, disk: sim.disk(), ..LogOptions::default() };
        let (log, _writer) = Log::open(&Path::new(DIR).join(LOG), options).expect("a log");
        assert_eq!(log.bounds(), Default::default(), "without entries");
        log.vote()
    }

    #[test]
    fn what_is_damaged_is_set_aside_and_the_vote_kept() {
        let sim = folder();
        let book = start(&sim, Scope::Log).expect("begun");
        let mark = book.mark.clone().expect("under repair");
        assert_eq!((mark.stage, mark.case.aside().as_str()), (Stage::Following, "damaged-20260102T030405Z-1"));
        let aside = Path::new(DIR).join(mark.case.aside());
        assert_eq!(sim.content(&aside.join("log/1.log")).as_deref(), Some(&b"log/1.log"[..]));
        assert_eq!(sim.content(&aside.join("log/1.spare")), None, "it held nothing");
        assert!(sim.content(Path::new("/data/journal/0.journal")).is_some(), "it is whole");
        assert_eq!(vote_in_log(&sim).as_deref(), Some(&b"vote"[..]));

        let came = Came { from: 3, entries: 7, bytes: 900 };
        let done = finish(&sim.disk(), Path::new(DIR), book, came, NOW_MS + 500).expect("noted");
        assert_eq!(read(&sim.disk(), Path::new(DIR)).expect("readable"), done);
        assert_eq!((done.count, done.mark.is_none()), (1, true));
        let next = start(&sim, Scope::Everything).expect("begun");
        assert_eq!(sim.content(&aside.join("log/1.log")), None, "only the newest is kept");
        let aside = Path::new(DIR).join(next.mark.expect("under repair").case.aside());
        assert!(sim.content(&aside.join("journal/0.journal")).is_some());
        assert!(sim.content(&aside.join("snapshots/1.snapshot")).is_some());
        assert!(sim.files(&Path::new(DIR).join("index")).is_empty(), "made anew from the journal");
    }

    #[test]
    fn damage_during_a_repair_keeps_what_was_set_aside_first() {
        let sim = folder();
        let known = Some(Position { term: Term(3), index: LogIndex(40) });
        let before = Damage { last: known, ..damage(Scope::Log) };
        let book = begin(&sim.disk(), Path::new(DIR), Book::new(), &before, NOW_MS, SEGMENT_BYTES_MIN).expect("begun");
        let first = book.mark.clone().expect("under repair");
        assert_eq!(first.last, known);
        let again = Damage { last: known, ..damage(Scope::Everything) };
        let book = begin(&sim.disk(), Path::new(DIR), book, &again, NOW_MS + 9, SEGMENT_BYTES_MIN).expect("begun");
        let mark = book.mark.expect("under repair");
        assert_eq!((&mark.case, mark.last), (&first.case, None), "more than that was acknowledged since");
        let aside = Path::new(DIR).join(mark.case.aside());
        assert_eq!(sim.content(&aside.join("log/1.log")).as_deref(), Some(&b"log/1.log"[..]));
        assert_eq!(sim.content(&aside.join("journal/0.journal")), None);
        assert_eq!(vote_in_log(&sim).as_deref(), Some(&b"vote"[..]));
    }

    #[test]
    fn a_repair_that_is_cut_off_anywhere_goes_on_and_loses_nothing() {
        let whole = folder();
        start(&whole, Scope::Everything).expect("begun");
        let steps = whole.operations();
        let mut unfinished = 0;
        for step in 0..steps {
            for seed in 0..4 {
                let sim = folder();
                sim.fail_after(step, std::io::ErrorKind::Other);
                unfinished += u64::from(start(&sim, Scope::Everything).is_err());
                sim.power_cut(&mut Random(step * 31 + seed));
                let mark = start(&sim, Scope::Everything).expect("goes on").mark.expect("under repair");
                let aside = Path::new(DIR).join(mark.case.aside());
                for file in ["log/1.log", "journal/0.journal", "snapshots/1.snapshot"] {
                    let kept = sim.content(&aside.join(file));
                    assert_eq!(kept.as_deref(), Some(file.as_bytes()), "cut off at operation {step}");
                }
                assert_eq!(vote_in_log(&sim).as_deref(), Some(&b"vote"[..]), "cut off at operation {step}");
            }
        }
        assert!(unfinished > steps, "{unfinished} of {steps} × 4 were cut off");
    }

    #[test]
    fn a_disk_without_room_for_another_copy_is_left_as_it_is() {
        let sim = folder();
        sim.limit(Some(80));
        assert!(matches!(start(&sim, Scope::Everything), Err(StoreError::Full { .. })));
        assert!(sim.content(Path::new("/data/log/1.log")).is_some());
        assert_eq!(read(&sim.disk(), Path::new(DIR)).expect("readable"), Book::new());
    }

    #[test]
    fn a_damaged_mark_is_found() {
        let sim = folder();
        start(&sim, Scope::Log).expect("begun");
        let path = Path::new(DIR).join(FILE_NAME);
        let good = sim.content(&path).expect("written");
        for byte in 0..good.len() {
            let mut bad = good.clone();
            bad[byte] ^= 1 << (byte % 8);
            assert!(matches!(decode(&path, &bad), Err(StoreError::Corrupt { .. })), "byte {byte}");
            assert!(matches!(decode(&path, &good[..byte]), Err(StoreError::Corrupt { .. })), "cut at {byte}");
        }
    }
}
