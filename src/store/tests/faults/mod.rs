//! Every kind of file × every fault × many positions: recovered, or stopped with a message that names the
//! file; never a loss or wrong data in silence.
//!
//! [`TABLE`] says what may come out. Each test runs the rows of one kind, and prints what came out.
//! `COUNTERFOIL_FAULT_POSITIONS` sets how many positions each row has.

mod disk;
mod node;
mod received;
mod sled_calls;
mod sled_files;

use std::path::Path;

use super::*;
use crate::store::Disk;
use crate::store::identity;
use crate::store::segment::{self, Kind as RecordKind, SEGMENT_HEADER_BYTES};
use crate::store::testing::Random;
use disk::{Faulty, Trouble};
use node::{Folder, Life, Promised, digests, live, revive};

const POSITIONS: &str = "COUNTERFOIL_FAULT_POSITIONS";
const POSITIONS_DEFAULT: u64 = 8;

/// Power cuts at one place, each of which keeps another part of what was not synced.
const OUTCOMES: u64 = 10;

/// Bytes that are zeroed at once, from a multiple of [`SECTOR_BYTES`] on where the file is that long.
const PAGE_BYTES: usize = 4096;
const SECTOR_BYTES: usize = 512;

/// The damage that files lie with, or the fault that the disk has while the node lives.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// One bit is another.
    Flip,
    /// The file ends here.
    Cut,
    /// A page of zeroes.
    Zeroes,
    /// `EIO` from the read of this byte.
    ReadError,
    /// `EIO` from the n-th write or sync on.
    WriteError,
    /// `ENOSPC` from the n-th write on.
    NoSpace,
    /// The power goes at the n-th write or sync: what was not synced is lost, torn or mixed.
    PowerCut,
}

/// What may come out of a fault.
#[derive(Debug, Clone, Copy, PartialEq)]
enum May {
    /// The same state again.
    Recover,
    /// An end with a message that names the file.
    Stop,
    /// Either.
    Both,
}

/// A kind of file: its name, and which files it means.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    concerns: fn(&Path) -> bool,
}

fn is(path: &Path, folder: &str, test: fn(&str) -> bool) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.parent().is_some_and(|parent| parent.ends_with(folder)) && test(&name)
}

const LOG: Kind = Kind { name: "log segment", concerns: |path| is(path, "log", |name| name != "LOCK") };
const VOTE: Kind = Kind { name: "vote", concerns: |path| is(path, "log", |name| name.ends_with(".log")) };
const VOTE_COPY: Kind = Kind {
    name: "VOTE",
    concerns: |path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("VOTE")),
};
const JOURNAL: Kind =
    Kind { name: "journal segment", concerns: |path| is(path, "journal", |name| name.ends_with(".journal")) };
const TAIL: Kind =
    Kind { name: "journal tail", concerns: |path| is(path, "journal", |name| name.starts_with("tail.")) };
const SNAPSHOT: Kind = Kind {
    name: "snapshot",
    concerns: |path| is(path, "snapshots", |name| name.ends_with(".snapshot") || name.ends_with(".unfinished")),
};
/// A snapshot that comes from another node, until it is one of this node's; see [`received`].
const RECEIVED: Kind = Kind {
    name: "received snapshot",
    concerns: |path| is(path, "snapshots", |name| name.starts_with("incoming-") || name.ends_with(".snapshot")),
};
const RUN: Kind = Kind {
    name: "index run",
    concerns: |path| is(path, "index", |name| name.ends_with(".run") || name.ends_with(".unfinished")),
};
const CURRENT: Kind = Kind {
    name: "CURRENT",
    concerns: |path| is(path, "state", |name| name.starts_with("CURRENT") || name.starts_with("OPENING")),
};
const IDENTITY: Kind = Kind {
    name: "IDENTITY",
    concerns: |path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("IDENTITY")),
};
/// The database of a folder whose state was never set aside or written anew.
const DATABASE: &str = "state/000001";

/// sled's own; what it writes goes past every disk but the machine's: see [`sled_files`].
const SLED: Kind =
    Kind { name: "state (sled)", concerns: |path| path.parent().is_some_and(|parent| parent.ends_with(DATABASE)) };

/// What may come out, for each kind and each fault that it can have here.
const TABLE: &[(Kind, &[(Fault, May)])] = &[
    (
        LOG,
        &[
            (Fault::Flip, May::Both),
            (Fault::Cut, May::Stop),
            (Fault::Zeroes, May::Both),
            (Fault::ReadError, May::Stop),
            (Fault::WriteError, May::Both),
            (Fault::NoSpace, May::Both),
            (Fault::PowerCut, May::Recover),
        ],
    ),
    (
        VOTE,
        &[
            (Fault::Flip, May::Stop),
            (Fault::Cut, May::Stop),
            (Fault::Zeroes, May::Stop),
            (Fault::ReadError, May::Stop),
            (Fault::WriteError, May::Stop),
            (Fault::NoSpace, May::Both),
            (Fault::PowerCut, May::Recover),
        ],
    ),
    (
        VOTE_COPY,
        &[
            (Fault::Flip, May::Recover),
            (Fault::Cut, May::Recover),
            (Fault::Zeroes, May::Recover),
            (Fault::ReadError, May::Stop),
            (Fault::WriteError, May::Stop),
            (Fault::NoSpace, May::Both),
            (Fault::PowerCut, May::Recover),
        ],
    ),
    (
        JOURNAL,
        &[
            (Fault::Flip, May::Both),
            (Fault::Cut, May::Both),
            (Fault::Zeroes, May::Both),
            (Fault::ReadError, May::Both),
            (Fault::WriteError, May::Both),
            (Fault::NoSpace, May::Both),
            (Fault::PowerCut, May::Recover),
        ],
    ),
    (
        TAIL,
        &[
            (Fault::Flip, May::Both),
            (Fault::Cut, May::Both),
            (Fault::Zeroes, May::Both),
            (Fault::ReadError, May::Both),
            (Fault::WriteError, May::Both),
            (Fault::NoSpace, May::Both),
            (Fault::PowerCut, May::Recover),
        ],
    ),
    (
        SNAPSHOT,
        &[
            (Fault::Flip, May::Recover),
            (Fault::Cut, May::Recover),
            (Fault::Zeroes, May::Recover),
            (Fault::ReadError, May::Both),
            (Fault::WriteError, May::Both),
            (Fault::NoSpace, May::Both),
            (Fault::PowerCut, May::Recover),
        ],
    ),
    (
        RECEIVED,
        &[
            (Fault::Flip, May::Stop),
            (Fault::Cut, May::Stop),
            (Fault::Zeroes, May::Both),
            (Fault::ReadError, May::Stop),
            (Fault::WriteError, May::Stop),
            (Fault::NoSpace, May::Both),
            (Fault::PowerCut, May::Recover),
        ],
    ),
    (
        RUN,
        &[
            (Fault::Flip, May::Both),
            (Fault::Cut, May::Both),
            (Fault::Zeroes, May::Both),
            (Fault::ReadError, May::Both),
            (Fault::WriteError, May::Both),
            (Fault::NoSpace, May::Both),
            (Fault::PowerCut, May::Recover),
        ],
    ),
    (
        CURRENT,
        &[
            (Fault::Flip, May::Recover),
            (Fault::Cut, May::Recover),
            (Fault::Zeroes, May::Recover),
            (Fault::ReadError, May::Stop),
            (Fault::WriteError, May::Both),
            (Fault::NoSpace, May::Both),
            (Fault::PowerCut, May::Recover),
        ],
    ),
    (
        IDENTITY,
        &[
            (Fault::Flip, May::Stop),
            (Fault::Cut, May::Stop),
            (Fault::Zeroes, May::Stop),
            (Fault::ReadError, May::Stop),
            (Fault::WriteError, May::Stop),
            (Fault::NoSpace, May::Both),
            (Fault::PowerCut, May::Recover),
        ],
    ),
    (
        SLED,
        &[
            (Fault::Flip, May::Recover),
            (Fault::Cut, May::Recover),
            (Fault::Zeroes, May::Recover),
            (Fault::ReadError, May::Both),
            (Fault::WriteError, May::Both),
            (Fault::NoSpace, May::Both),
            (Fault::PowerCut, May::Recover),
        ],
    ),
];

fn positions() -> u64 {
    std::env::var(POSITIONS).map_or(POSITIONS_DEFAULT, |count| count.parse().expect("a number"))
}

/// One row of what came out.
#[derive(Default)]
struct Tally {
    recovered: u64,
    stopped: u64,
}

impl Tally {
    /// Counts an outcome that the table allows; any other is a failure of the test.
    fn note(&mut self, may: May, stopped: Option<&StoreError>, context: &str) {
        match stopped {
            None => {
                assert_ne!(may, May::Stop, "{context}: it went on as if nothing were");
                self.recovered += 1;
            }
            Some(error) => {
                assert_ne!(may, May::Recover, "{context}: {error}");
                self.stopped += 1;
            }
        }
    }

    fn count(&self) -> u64 {
        self.recovered + self.stopped
    }

    fn print(&self, kind: Kind, fault: Fault) {
        let (count, Self { recovered, stopped }) = (self.count(), self);
        println!("| {} | {fault:?} | {count} | {recovered} | {stopped} | 0 |", kind.name);
    }
}

/// Whether the message names this file, or the folder it lies in where something in it is missing.
fn names(error: &StoreError, file: &Path) -> bool {
    let text = error.to_string();
    let folder = file.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    match error {
        StoreError::Corrupt { .. } => text.contains(&file.display().to_string()) && text.contains("at byte"),
        StoreError::Io { at, .. } | StoreError::Full { at, .. } if at.is_some() => {
            text.contains(&file.display().to_string()) && text.contains("from byte")
        }
        // These name what is missing, or the event from which on something is.
        StoreError::Missing { .. } | StoreError::JournalShort { .. } | StoreError::Unrecoverable { .. } => {
            text.contains(&folder)
        }
        _ => text.contains(&file.display().to_string()),
    }
}

/// Runs all rows of a kind.
fn run(kind: Kind) {
    let (_, rows) = TABLE.iter().find(|(found, _)| found.name == kind.name).expect("a row");
    let lived_in = Folder::lived_in();
    let count = positions();
    for (fault, may) in *rows {
        let of_sled = kind.name == SLED.name;
        match fault {
            Fault::Flip | Fault::Cut | Fault::Zeroes | Fault::ReadError if kind.name == RECEIVED.name => {
                received::damaged(*fault, *may, count);
            }
            _ if kind.name == RECEIVED.name => received::failing(*fault, *may, count),
            Fault::PowerCut if kind.name == CURRENT.name => sled_files::renamed(*may, count),
            Fault::PowerCut if of_sled => sled_files::mixed(*may, count),
            Fault::ReadError | Fault::WriteError | Fault::NoSpace if of_sled => {
                sled_files::failing_calls(*fault, *may, count)
            }
            Fault::Flip | Fault::Cut | Fault::Zeroes | Fault::ReadError => {
                damaged(kind, *fault, *may, &lived_in, count);
            }
            Fault::WriteError | Fault::NoSpace | Fault::PowerCut => failing(kind, *fault, *may, count),
        }
    }
}

/// The bytes that count: for the vote its records, for the others whole files.
fn extents(kind: Kind, folder: &Folder) -> Vec<(std::path::PathBuf, std::ops::Range<usize>)> {
    let mut extents = Vec::new();
    for (path, bytes) in folder.files(kind.concerns) {
        if kind.name != VOTE.name {
            // A segment that is not in use yet has nothing to lose.
            if path.extension().is_none_or(|ending| ending != "spare") {
                extents.push((path, 0..bytes.len()));
            }
            continue;
        }
        let generation = path.file_stem().and_then(|stem| stem.to_string_lossy().parse().ok()).expect("a segment");
        let mut at = SEGMENT_HEADER_BYTES;
        while let Ok(record) = segment::decode_record(&bytes[at..], generation, at as u64) {
            let end = at + record.disk_bytes();
            if record.kind == RecordKind::Vote {
                extents.push((path.clone(), at..end));
            }
            at = end;
        }
    }
    assert!(!extents.is_empty(), "the folder has a {}", kind.name);
    extents
}

/// The file of this turn, and a byte of it: files take turns, and each is damaged from its first byte to its last.
fn place(extents: &[(std::path::PathBuf, std::ops::Range<usize>)], position: usize, count: usize) -> (&Path, usize) {
    let (path, range) = &extents[position % extents.len()];
    let (turn, turns) = (position / extents.len(), count.div_ceil(extents.len()));
    let stride = (range.len() / turns).max(1);
    let at = range.len() * turn / turns + position * 7 % stride;
    (path, range.start + at.min(range.len() - 1))
}

/// Damages copies of a folder at places spread over all files of the kind, and starts a node on each.
fn damaged(kind: Kind, fault: Fault, may: May, lived_in: &Folder, count: u64) {
    let original = lived_in.copy();
    let expected = revive(original.path(), &original.disk()).expect("a sound folder");
    let extents = extents(kind, lived_in);
    let all: usize = extents.iter().map(|(_, range)| range.len()).sum();
    // Small files do not have so many places.
    let places = all as u64 * if fault == Fault::Flip { u64::from(u8::BITS) } else { 1 };
    let count = count.min(places);
    let mut tally = Tally::default();
    for position in 0..count {
        let (path, at) = place(&extents, position as usize, count as usize);
        let folder = lived_in.copy();
        let path = folder.path().join(path.strip_prefix(lived_in.path()).expect("below it"));
        let faulty = match fault {
            Fault::ReadError => Some(Trouble::Unreadable(path.clone(), at as u64)),
            _ => {
                harm(&folder, &path, at, fault, position);
                None
            }
        };
        let faulty = Faulty::new(folder.disk(), kind.concerns, faulty);
        let context = format!("{}: {fault:?} at byte {at} of {}", kind.name, path.display());
        let stopped = match revive(folder.path(), &faulty.disk()) {
            Ok(picture) => {
                let snapshots = fault != Fault::ReadError && kind.name == SNAPSHOT.name;
                let same = picture == expected || (snapshots && same_but_snapshot(&picture, &expected));
                assert!(same, "{context}: {picture:?}, not {expected:?}");
                None
            }
            Err(error) => {
                assert!(names(&error, &path), "{context}: the message names something else: {error}");
                Some(error)
            }
        };
        if kind.name == RUN.name && stopped.is_some() && fault != Fault::ReadError {
            let again =
                revive(folder.path(), &folder.disk()).unwrap_or_else(|error| panic!("{context}: again {error}"));
            assert_eq!(again, expected, "{context}: at the next start");
        }
        tally.note(may, stopped.as_ref(), &context);
    }
    tally.print(kind, fault);
}

fn same_but_snapshot(picture: &node::Picture, expected: &node::Picture) -> bool {
    (picture.entries(), picture.vote, picture.digest()) == (expected.entries(), expected.vote, expected.digest())
}

fn harm(folder: &Folder, path: &Path, at: usize, fault: Fault, position: u64) {
    let files = folder.files(|_| true);
    let mut bytes = files.into_iter().find(|(found, _)| found == path).expect("the file").1;
    spoil(&mut bytes, at, fault, position);
    folder.put(path, &bytes);
}

/// The damage that a file lies with.
fn spoil(bytes: &mut Vec<u8>, at: usize, fault: Fault, position: u64) {
    match fault {
        Fault::Flip => bytes[at] ^= 1 << (position % 8),
        Fault::Cut => bytes.truncate(at),
        _ => {
            let from = if bytes.len() > 2 * PAGE_BYTES { at - at % SECTOR_BYTES } else { at };
            let to = (from + PAGE_BYTES).min(bytes.len());
            bytes[from..to].fill(0);
        }
    }
}

/// Lives on a disk that fails at the n-th change of the kind, and starts again on one that does not.
fn failing(kind: Kind, fault: Fault, may: May, count: u64) {
    let votes_alone = kind.name == VOTE.name;
    let digests = digests();
    let healthy = Folder::new();
    let counting = Faulty::new(healthy.disk(), kind.concerns, None);
    live(healthy.path(), &Life { votes_alone, ..Life::on(&counting) }).1.expect("no fault");
    let changes = counting.changes();
    assert!(changes > 0, "{}: it is written", kind.name);
    // Each place twice, with and without a loss of what was not synced; a power cut has many outcomes.
    let count = count.min(changes * if fault == Fault::PowerCut { OUTCOMES } else { 2 });
    let mut tally = Tally::default();
    for position in 0..count {
        let at = changes * position / count;
        let folder = Folder::new();
        let trouble = match fault {
            Fault::WriteError => Trouble::WriteError(at),
            Fault::NoSpace => Trouble::NoSpace(at),
            _ => Trouble::PowerCut(at, folder.sim.clone()),
        };
        let faulty = Faulty::new(folder.disk(), kind.concerns, Some(trouble));
        let (promised, end) = live(folder.path(), &Life { votes_alone, ..Life::on(&faulty) });
        let context = format!("{}: {fault:?} at change {at} of {changes}", kind.name);
        if let (Err(error), Fault::WriteError | Fault::NoSpace) = (&end, fault) {
            let failed = faulty.failed();
            assert!(failed.iter().any(|file| names(error, file)), "{context}: {error}, not one of {failed:?}");
        }
        // A failed write may or may not be there; what a sync that failed has left in the cache may go.
        if fault == Fault::PowerCut || position % 2 == 1 {
            folder.sim.power_cut(&mut Random(position));
        }
        let identity = identity::read(&folder.disk(), folder.path()).expect("readable");
        assert!(identity.is_some() || !promised.identity, "{context}: the identity is lost");
        expect_kept(folder.path(), &folder.disk(), &promised, &digests, &context);
        assert!(faulty.changes() > at, "{context}: every life does the same things in the same order");
        let stopped = end.err().filter(|_| fault != Fault::PowerCut);
        tally.note(may, stopped.as_ref(), &context);
    }
    tally.print(kind, fault);
}

/// The next start, on a sound disk, has everything that was promised, and nothing else.
fn expect_kept(dir: &Path, disk: &Disk, promised: &Promised, digests: &[StateDigest], context: &str) {
    let picture = match revive(dir, disk) {
        Ok(picture) => picture,
        Err(error) => panic!("{context}: {promised:?}, and the next start says {error}"),
    };
    assert!(picture.entries() >= promised.entries, "{context}: {promised:?}, found {picture:?}");
    assert!(picture.vote >= promised.vote, "{context}: {promised:?}, found {picture:?}");
    assert!(picture.snapshot >= promised.snapshot, "{context}: {promised:?}, found {picture:?}");
    let expected = picture.entries().checked_sub(1).map_or(StateDigest::default(), |last| digests[last as usize]);
    assert_eq!(picture.digest(), expected, "{context}: after {} entries", picture.entries());
}

#[test]
fn log_segments() {
    run(LOG);
}

#[test]
fn votes() {
    run(VOTE);
}

#[test]
fn second_copies_of_the_vote() {
    run(VOTE_COPY);
}

#[test]
fn journal_segments() {
    run(JOURNAL);
}

#[test]
fn journal_tails() {
    run(TAIL);
}

#[test]
fn snapshots() {
    run(SNAPSHOT);
}

#[test]
fn received_snapshots() {
    run(RECEIVED);
}

#[test]
fn index_runs() {
    run(RUN);
}

#[test]
fn current() {
    run(CURRENT);
}

#[test]
fn identities() {
    run(IDENTITY);
}

#[test]
fn states() {
    run(SLED);
}
