//! The log as its users see it: across restarts, power cuts, full and failing disks, damage.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;

use super::*;
use crate::core::types::Term;
use crate::store::segment::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, record_bytes};
use crate::store::testing::{Random, SimDisk};

const SEGMENT_BYTES: u64 = SEGMENT_BYTES_MIN;

fn at(term: u64, index: u64) -> Position {
    Position { term: Term(term), index: LogIndex(index) }
}

/// An entry whose content is a function of its position, so that any mix-up shows.
fn entry(term: u64, index: u64) -> LogEntry {
    let mut random = Random(term << 32 | index);
    let len = random.below(900) as usize;
    LogEntry { position: at(term, index), bytes: (0..len).map(|_| random.next() as u8).collect::<Vec<_>>().into() }
}

fn entries(term: u64, range: std::ops::Range<u64>) -> Vec<LogEntry> {
    range.map(|index| entry(term, index)).collect()
}

fn options() -> LogOptions {
    LogOptions { segment_bytes: SEGMENT_BYTES, cache_bytes: 0, spares_max: 2, ..LogOptions::default() }
}

/// A log with its thread.
struct Running {
    log: Log,
    thread: JoinHandle<Result<(), StoreError>>,
}

type Acknowledged = mpsc::Receiver<Result<(), StoreError>>;

fn ticket() -> (Done, Acknowledged) {
    let (tell, told) = mpsc::channel();
    // Who does not wait does not listen.
    (Box::new(move |result| drop(tell.send(result))), told)
}

impl Running {
    fn try_open(dir: &Path, options: LogOptions) -> Result<Self, StoreError> {
        let (log, writer) = Log::open(dir, options)?;
        Ok(Self { log, thread: std::thread::spawn(move || writer.run()) })
    }

    fn open(dir: &Path) -> Self {
        Self::try_open(dir, options()).expect("opens")
    }

    fn wait(&self, ask: impl FnOnce(&Log, Done)) -> Result<(), StoreError> {
        let (done, told) = ticket();
        ask(&self.log, done);
        told.recv().expect("every call is answered")
    }

    fn append(&self, entries: Vec<LogEntry>) {
        self.wait(|log, done| log.append(entries, done)).expect("appended");
    }

    fn vote(&self, vote: &'static [u8]) {
        self.wait(|log, done| log.save_vote(Bytes::from_static(vote), done)).expect("saved");
    }

    fn truncate(&self, last: Option<Position>) {
        self.wait(|log, done| log.truncate_after(last, done)).expect("truncated");
    }

    fn purge(&self, position: Position) {
        self.wait(|log, done| log.purge_to(position, done)).expect("purged");
    }

    fn all(&self) -> Vec<LogEntry> {
        self.log.read(LogIndex(0), LogIndex(u64::MAX), usize::MAX).expect("read")
    }

    fn stop(self) -> Result<(), StoreError> {
        drop(self.log);
        self.thread.join().expect("no panic")
    }
}

fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let list = fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry").path());
    let mut list: Vec<PathBuf> = list.filter(|path| path.extension().is_some_and(|found| found == suffix)).collect();
    list.sort();
    list
}

#[test]
fn what_was_saved_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = Running::open(dir.path());
    assert_eq!(running.log.bounds(), LogBounds::default());
    running.vote(b"vote 1");
    running.append(entries(1, 0..10));
    running.log.save_committed(Bytes::from_static(b"committed 5"));
    running.truncate(Some(at(1, 6)));
    running.append(entries(2, 7..20));
    running.purge(at(1, 2));
    running.vote(b"vote 2");
    let expected: Vec<_> = entries(1, 3..7).into_iter().chain(entries(2, 7..20)).collect();
    assert_eq!(running.all(), expected);
    running.stop().expect("a clean end");
    for _ in 0..2 {
        let running = Running::open(dir.path());
        assert_eq!(running.all(), expected);
        assert_eq!(running.log.bounds(), LogBounds { purged: Some(at(1, 2)), last: Some(at(2, 19)) });
        assert_eq!(running.log.vote().as_deref(), Some(&b"vote 2"[..]));
        assert_eq!(running.log.committed().as_deref(), Some(&b"committed 5"[..]));
        assert_eq!(running.log.position_of(LogIndex(2)).expect("known"), Some(at(1, 2)));
        assert_eq!(running.log.position_of(LogIndex(7)).expect("known"), Some(at(2, 7)));
        assert_eq!(running.log.position_of(LogIndex(20)).expect("known"), None);
        running.stop().expect("a clean end");
    }
}

#[test]
fn a_read_is_the_same_from_memory_and_from_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    let cached = LogOptions { cache_bytes: 20_000, ..options() };
    let running = Running::try_open(dir.path(), cached).expect("opens");
    for start in (1..301).step_by(20) {
        running.append(entries(3, start..start + 20));
    }
    assert_eq!(running.all(), entries(3, 1..301));
    for (from, to) in [(1, 2), (250, 300), (299, 400), (0, 5), (120, 180)] {
        let read = running.log.read(LogIndex(from), LogIndex(to), usize::MAX).expect("read");
        assert_eq!(read, entries(3, from.max(1)..to.min(301)));
    }
    let bounded = running.log.read(LogIndex(5), LogIndex(300), 2_000).expect("read");
    assert!(bounded.len() > 1 && bounded.iter().map(|entry| entry.bytes.len()).sum::<usize>() <= 2_000);
    assert_eq!(running.log.read(LogIndex(5), LogIndex(300), 0).expect("read"), entries(3, 5..6));
    running.stop().expect("a clean end");
}

#[test]
fn entries_are_readable_before_they_are_on_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    let (log, writer) = Log::open(dir.path(), options()).expect("opens");
    let (done, told) = ticket();
    log.append(entries(1, 0..5), done);
    assert_eq!(log.read(LogIndex(0), LogIndex(9), usize::MAX).expect("read"), entries(1, 0..5));
    assert!(told.try_recv().is_err(), "nobody has written it yet");
    let thread = std::thread::spawn(move || writer.run());
    told.recv().expect("told").expect("on disk");
    log.close();
    thread.join().expect("no panic").expect("a clean end");
    assert!(matches!(log.read(LogIndex(0), LogIndex(9), 1), Err(StoreError::Closed)));
}

#[test]
fn the_vote_outlives_its_segment_and_segments_are_used_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = Running::open(dir.path());
    running.vote(b"the vote");
    running.log.save_committed(Bytes::from_static(b"the mark"));
    for round in 0..40 {
        running.append(entries(1, round * 50..(round + 1) * 50));
        running.purge(at(1, round * 50 + 40));
    }
    running.stop().expect("a clean end");
    let kept = files(dir.path(), "log");
    assert!(kept.len() <= 3, "{kept:?}");
    assert!(!kept[0].ends_with("0000000000000001.log"));
    assert!(files(dir.path(), "spare").len() <= 3);
    let running = Running::open(dir.path());
    assert_eq!(running.log.vote().as_deref(), Some(&b"the vote"[..]));
    assert_eq!(running.log.committed().as_deref(), Some(&b"the mark"[..]));
    assert_eq!(running.log.bounds(), LogBounds { purged: Some(at(1, 1990)), last: Some(at(1, 1999)) });
    assert_eq!(running.all(), entries(1, 1991..2000));
    // After a snapshot of others: a purge behind the end.
    running.purge(at(7, 5000));
    running.append(entries(7, 5001..5005));
    running.stop().expect("a clean end");
    let running = Running::open(dir.path());
    assert_eq!(running.all(), entries(7, 5001..5005));
    running.stop().expect("a clean end");
}

#[test]
fn what_does_not_fit_is_refused_and_the_log_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = Running::open(dir.path());
    running.append(entries(1, 0..5));
    let gap = running.wait(|log, done| log.append(entries(1, 6..8), done));
    assert!(matches!(gap, Err(StoreError::EntryOutOfOrder { .. })), "{gap:?}");
    let max = running.log.entry_bytes_max();
    let large = |len: u64| vec![LogEntry { position: at(1, 5), bytes: Bytes::from(vec![1; len as usize]) }];
    let too_large = running.wait(|log, done| log.append(large(max + 1), done));
    assert!(matches!(too_large, Err(StoreError::TooLarge { .. })), "{too_large:?}");
    running.append(large(max));
    assert_eq!(running.log.bounds().last, Some(at(1, 5)));
    running.stop().expect("a clean end");
    let running = Running::open(dir.path());
    assert_eq!(running.all().last(), large(max).last());
    running.stop().expect("a clean end");
}

#[test]
fn a_folder_in_use_and_a_log_that_must_be_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let missing = Running::try_open(dir.path(), LogOptions { create: false, ..options() });
    assert!(matches!(missing.err(), Some(StoreError::Missing { .. })));
    let running = Running::open(dir.path());
    assert!(matches!(Log::open(dir.path(), options()).err(), Some(StoreError::Locked { .. })));
    running.stop().expect("a clean end");
}

#[test]
fn a_disk_error_is_final_and_everyone_is_told() {
    for kind in [std::io::ErrorKind::Other, std::io::ErrorKind::StorageFull] {
        let sim = SimDisk::default();
        let running = Running::try_open(Path::new("/log"), LogOptions { disk: sim.disk(), ..options() });
        let running = running.expect("opens");
        running.append(entries(1, 0..5));
        sim.fail_after(0, kind);
        let (done, told) = ticket();
        running.log.append(entries(1, 5..6), done);
        assert!(told.recv().expect("told").is_err());
        let later = running.wait(|log, done| log.save_vote(Bytes::new(), done));
        assert!(later.is_err() && running.log.read(LogIndex(0), LogIndex(1), 1).is_err());
        let end = running.stop();
        match kind {
            std::io::ErrorKind::StorageFull => assert!(matches!(end, Err(StoreError::Full { .. })), "{end:?}"),
            _ => assert!(matches!(end, Err(StoreError::Io { .. })), "{end:?}"),
        }
    }
}

#[test]
fn a_full_disk_leaves_the_space_that_was_reserved() {
    let sim = SimDisk::default();
    let open = || Running::try_open(Path::new("/log"), LogOptions { disk: sim.disk(), ..options() });
    let running = open().expect("opens");
    running.append(entries(1, 0..1));
    // Room for the segment in use and the spare, no more.
    sim.limit(Some(2 * SEGMENT_BYTES as usize));
    let mut next = 1;
    let end = loop {
        let batch = entries(1, next..next + 1);
        match running.wait(|log, done| log.append(batch, done)) {
            Ok(()) => next += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(end, StoreError::Full { .. }), "{end}");
    let bytes: usize = entries(1, 0..next).iter().map(|entry| entry.bytes.len()).sum();
    assert!(bytes > SEGMENT_BYTES as usize, "the spare was used: {bytes}");
    assert!(running.stop().is_err());
    sim.limit(None);
    let running = open().expect("opens");
    assert_eq!(running.all(), entries(1, 0..next));
    running.stop().expect("a clean end");
}

/// One run against a disk that loses power after so many operations. Returns whether it got to its end.
fn power_cut_run(seed: u64, operations: u64) -> bool {
    let sim = SimDisk::default();
    let mut random = Random(seed);
    let open = || Running::try_open(Path::new("/log"), LogOptions { disk: sim.disk(), ..options() });
    let mut model = Model::default();
    let mut finished = false;
    for life in 0..3 {
        if life < 2 {
            sim.fail_after(operations, std::io::ErrorKind::Other);
        }
        match open() {
            Ok(running) => {
                model.check(&running);
                finished = model.drive(&running, &mut random);
                let _ = running.stop();
            }
            Err(error) => assert!(life < 2 && matches!(error, StoreError::Io { .. }), "{error} in life {life}"),
        }
        sim.power_cut(&mut random);
    }
    assert!(finished, "the last life has no fault");
    sim.operations() > operations
}

/// What the log must hold: what was acknowledged, and perhaps what was asked for after that.
#[derive(Debug, Default)]
struct Model {
    acknowledged: Picture,
    /// What it would hold after each further record that was asked for and not acknowledged, and
    /// whether that record ends what was asked for.
    possible: VecDeque<(Picture, bool)>,
    term: u64,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Picture {
    terms: BTreeMap<u64, u64>,
    purged: Option<Position>,
    vote: u64,
}

impl Picture {
    fn of(running: &Running) -> Self {
        let vote = running.log.vote().map_or(0, |vote| u64::from_le_bytes(vote[..].try_into().expect("8 bytes")));
        let all = running.all();
        for found in &all {
            assert_eq!(*found, entry(found.position.term.0, found.position.index.0));
        }
        let terms = all.iter().map(|entry| (entry.position.index.0, entry.position.term.0)).collect();
        Self { terms, purged: running.log.bounds().purged, vote }
    }

    fn next(&self) -> u64 {
        let purged = self.purged.map_or(0, |purged| purged.index.0 + 1);
        self.terms.last_key_value().map_or(purged, |(index, _)| index + 1)
    }
}

impl Model {
    fn check(&mut self, running: &Running) {
        let found = Picture::of(running);
        let legal = found == self.acknowledged || self.possible.iter().any(|(possible, _)| *possible == found);
        assert!(legal, "found {found:?}\nacknowledged {:?}\npossible {:?}", self.acknowledged, self.possible);
        self.acknowledged = found;
        self.possible.clear();
    }

    /// Asks for random things until something fails; several at once, so that groups form.
    fn drive(&mut self, running: &Running, random: &mut Random) -> bool {
        for _ in 0..30 {
            let mut picture = self.acknowledged.clone();
            let mut waiting = Vec::new();
            for _ in 0..=random.below(4) {
                let (done, told) = ticket();
                self.ask(&running.log, &mut picture, random, done);
                waiting.push(told);
            }
            for told in waiting {
                if told.recv().expect("every call is answered").is_err() {
                    return false;
                }
                self.acknowledge();
            }
        }
        true
    }

    fn acknowledge(&mut self) {
        while let Some((picture, ends)) = self.possible.pop_front() {
            self.acknowledged = picture;
            if ends {
                return;
            }
        }
    }

    fn ask(&mut self, log: &Log, picture: &mut Picture, random: &mut Random, done: Done) {
        let next = picture.next();
        match random.below(10) {
            0 => {
                picture.vote = random.next();
                log.save_vote(Bytes::copy_from_slice(&picture.vote.to_le_bytes()), done);
            }
            1 if !picture.terms.is_empty() => {
                let keep = next - 1 - random.below(picture.terms.len() as u64 + 1).min(next - 1);
                let last = picture.terms.get(&keep).map(|&term| at(term, keep)).or(picture.purged);
                picture.terms.retain(|&index, _| last.is_some_and(|last| index <= last.index.0));
                self.term += 1;
                log.truncate_after(last, done);
            }
            2 | 3 if picture.terms.len() > 4 => {
                let index = next - 1 - random.below(4);
                let position = at(picture.terms[&index], index);
                picture.terms.retain(|&other, _| other > index);
                picture.purged = Some(position);
                log.purge_to(position, done);
            }
            _ => {
                let count = 1 + random.below(8);
                for index in next..next + count {
                    picture.terms.insert(index, self.term);
                    // An append may be kept in part: every prefix is legal until it is acknowledged.
                    if index + 1 < next + count {
                        self.possible.push_back((picture.clone(), false));
                    }
                }
                log.append(entries(self.term, next..next + count), done);
            }
        }
        self.possible.push_back((picture.clone(), true));
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    let mut completed = 0;
    for seed in 0..600 {
        let mut random = Random(seed ^ 0xfeed);
        completed += u64::from(!power_cut_run(seed, random.below(120)));
    }
    assert!(completed < 100, "the power went in most runs");
}

/// A copy of a folder, to be damaged.
fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(from).expect("listed") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, to.path().join(path.file_name().expect("a name"))).expect("copied");
    }
    to
}

/// What the log shows of itself.
#[derive(Debug, PartialEq)]
struct Shown {
    bounds: LogBounds,
    vote: Option<Bytes>,
    entries: Vec<LogEntry>,
}

fn show(dir: &Path) -> Result<Shown, StoreError> {
    let (log, _writer) = Log::open(dir, options())?;
    let entries = log.read(LogIndex(0), LogIndex(u64::MAX), usize::MAX)?;
    Ok(Shown { bounds: log.bounds(), vote: log.vote(), entries })
}

/// A log of a few segments, stopped cleanly.
fn filled(dir: &Path) {
    let running = Running::open(dir);
    running.vote(b"a vote");
    for start in (0..150).step_by(10) {
        running.append(entries(2, start..start + 10));
    }
    running.purge(at(2, 60));
    running.truncate(Some(at(2, 140)));
    running.stop().expect("a clean end");
    assert!(files(dir, "log").len() >= 3);
}

#[test]
fn a_flipped_bit_anywhere_is_found_or_meaningless() {
    let dir = tempfile::tempdir().expect("a folder");
    filled(dir.path());
    let whole = show(dir.path()).expect("whole");
    let mut random = Random(1);
    let segments = files(dir.path(), "log");
    let mut found = 0;
    for round in 0..300 {
        let damaged = copy(dir.path());
        let path = damaged.path().join(segments[round % segments.len()].file_name().expect("a name"));
        let mut bytes = fs::read(&path).expect("read");
        let place = random.below(bytes.len() as u64) as usize;
        bytes[place] ^= 1 << random.below(8);
        fs::write(&path, &bytes).expect("written");
        match show(damaged.path()) {
            Ok(shown) => assert_eq!(shown, whole, "byte {place} of {}", path.display()),
            Err(StoreError::Corrupt { path: named, offset, .. }) => {
                assert_eq!(named, path);
                assert!(offset as usize <= place, "damage at {place}, reported at {offset}");
                found += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(found > 100, "{found}");
}

#[test]
fn a_cut_or_missing_segment_is_found() {
    let dir = tempfile::tempdir().expect("a folder");
    filled(dir.path());
    let mut random = Random(2);
    let segments = files(dir.path(), "log");
    for round in 0..120 {
        let damaged = copy(dir.path());
        let path = damaged.path().join(segments[round % segments.len()].file_name().expect("a name"));
        let cut = random.below(SEGMENT_BYTES);
        fs::OpenOptions::new().write(true).open(&path).expect("opens").set_len(cut).expect("cut");
        match show(damaged.path()) {
            Err(StoreError::Corrupt { path: named, .. }) => assert_eq!(named, path),
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
    for segment in &segments {
        let damaged = copy(dir.path());
        fs::remove_file(damaged.path().join(segment.file_name().expect("a name"))).expect("removed");
        assert!(matches!(show(damaged.path()), Err(StoreError::Missing { .. })), "{}", segment.display());
    }
}

#[test]
fn a_damaged_entry_is_not_served() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = Running::open(dir.path());
    running.append(entries(1, 0..60));
    running.append(entries(1, 60..61));
    let path = files(dir.path(), "log").remove(0);
    let mut bytes = fs::read(&path).expect("read");
    bytes[2000] ^= 4;
    fs::write(&path, &bytes).expect("written");
    match running.log.read(LogIndex(0), LogIndex(60), usize::MAX) {
        Err(StoreError::Corrupt { path: named, .. }) => assert_eq!(named, path),
        other => panic!("{other:?}"),
    }
    drop(running);
}

#[test]
fn readers_are_not_disturbed_by_segments_that_are_used_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = Running::open(dir.path());
    let reading = running.log.clone();
    let reader = std::thread::spawn(move || {
        let mut random = Random(3);
        let mut read = 0;
        loop {
            let bounds = reading.bounds();
            let first = bounds.purged.map_or(0, |purged| purged.index.0 + 1);
            let last = bounds.last.map_or(0, |last| last.index.0);
            let from = first + random.below(last.saturating_sub(first) + 1);
            match reading.read(LogIndex(from), LogIndex(from + 40), usize::MAX) {
                Ok(found) => {
                    read += found.len();
                    assert!(found.iter().all(|found| *found == entry(1, found.position.index.0)));
                }
                Err(StoreError::Closed) => return read,
                Err(error) => panic!("{error}"),
            }
        }
    });
    for round in 0..150 {
        running.append(entries(1, round * 40..(round + 1) * 40));
        if round >= 2 {
            running.purge(at(1, (round - 2) * 40));
        }
    }
    running.log.close();
    assert!(reader.join().expect("no panic") > 0);
    running.stop().expect("a clean end");
}

#[test]
fn a_torn_group_is_cut_and_does_not_come_back() {
    let sim = SimDisk::default();
    let open = || Running::try_open(Path::new("/log"), LogOptions { disk: sim.disk(), ..options() }).expect("opens");
    let running = open();
    running.append(entries(1, 0..3));
    running.append(entries(1, 3..5));
    running.stop().expect("a clean end");
    // As if the process had died: the last group loses its first sector, and neither the mark behind it nor the
    // word of it in the header was ever written.
    let path = files::segment_path(Path::new("/log"), 1);
    let file = sim.disk().open(&path, super::super::file::Access::Write).expect("opens");
    file.write_at(&crate::store::segment::encode_header(1, SEGMENT_BYTES, &[]), 0).expect("written");
    let len = |index| record_bytes(entry(1, index).bytes.len()) as u64;
    let start = SEGMENT_HEADER_BYTES as u64 + (0..3).map(len).sum::<u64>();
    file.write_at(&[0; RECORD_HEADER_BYTES], start).expect("written");
    file.write_at(&[0; RECORD_HEADER_BYTES], start + len(3) + len(4)).expect("written");
    file.sync().expect("synced");
    let running = open();
    assert_eq!(running.all(), entries(1, 0..3));
    // One as long as the lost one, so that the log ends where the other begins; the power goes before
    // anything is written behind it.
    sim.fail_after(2, std::io::ErrorKind::Other);
    let other = LogEntry { position: at(2, 3), bytes: Bytes::from(vec![9; entry(1, 3).bytes.len()]) };
    running.append(vec![other.clone()]);
    assert!(running.stop().is_err());
    sim.power_cut(&mut Random(1));
    let running = open();
    assert_eq!(running.all().len(), 4, "the torn group's second entry is not part of the log");
    assert_eq!(running.all().last(), Some(&other));
    running.stop().expect("a clean end");
}

#[test]
fn a_page_that_holds_the_last_group_and_its_mark_is_missed() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = Running::open(dir.path());
    running.append(entries(1, 0..10));
    running.append(entries(1, 10..11));
    running.stop().expect("a clean end");
    let path = files(dir.path(), "log").remove(0);
    let mut bytes = fs::read(&path).expect("read");
    let len = |index| record_bytes(entry(1, index).bytes.len());
    let last_group = SEGMENT_HEADER_BYTES + (0..10).map(len).sum::<usize>();
    bytes[last_group..].fill(0);
    fs::write(&path, &bytes).expect("written");
    match show(dir.path()) {
        Err(StoreError::Corrupt { path: named, offset, .. }) => assert_eq!((named, offset), (path, last_group as u64)),
        other => panic!("{other:?}"),
    }
}
