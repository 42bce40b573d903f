//! The whole store of a node, as the node opens it: identity, log, engine; and what it must be again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use bytes::Bytes;

use super::super::*;
use super::disk::Faulty;
use crate::core::types::LogIndex;
use crate::store::engine::Payload;
use crate::store::identity::{DataFolder, DiskId, NodeId};
use crate::store::image::PAGE_BYTES_MAX;
use crate::store::log::{Done, Log, LogBounds, LogEntry, LogOptions, LogWriter, SEGMENT_BYTES_MIN};
use crate::store::testing::{SimDisk, Split};
use crate::store::vote::{self, VoteCopy};
use crate::store::{Disk, Position};

pub(super) const WORKLOAD: Workload = Workload(51);
const CLUSTER: ClusterId = ClusterId(7);
const NODE: NodeId = NodeId(1);
const DISK: DiskId = DiskId(77);

/// Entries that a node of these tests lives through.
pub(super) const ENTRIES: u64 = 240;

/// Entries appended to the log in one group.
const GROUP: u64 = 4;
/// The vote changes after so many entries.
const VOTE_EVERY: u64 = 20;
/// A snapshot is made, and the log purged below it, after so many entries.
const SNAPSHOT_EVERY: u64 = 80;
/// Entries that stay in the log below the snapshot.
const KEPT_ENTRIES: u64 = 12;

/// After so long a sled that hangs is taken for hung. A busy machine takes a while too.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Changed pages at which the state is written.
const DIRTY_PAGES: usize = 8;

fn engine_options(disk: &Disk, log_purged: Option<Position>, threads: bool) -> EngineOptions {
    EngineOptions {
        disk: disk.clone(),
        log_purged,
        index_table_entries: 300,
        // Written when so much has changed, whatever the time; with a thread, as often as it can.
        sync_interval: if threads { Duration::ZERO } else { Duration::from_secs(3_600) },
        dirty_bytes_max: if threads { usize::MAX } else { 2 * DIRTY_PAGES * PAGE_BYTES_MAX },
        persister_silence_max: SILENCE_MAX,
        ..options()
    }
}

/// Votes of these tests are numbers; none is before the first.
fn is_newer(vote: &[u8], other: &[u8]) -> bool {
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    number(vote) > number(other)
}

fn log_options(dir: &Path, disk: &Disk, create: bool) -> LogOptions {
    LogOptions {
        vote_copy: Some(VoteCopy { path: dir.join(vote::FILE_NAME), newer: is_newer }),
        segment_bytes: SEGMENT_BYTES_MIN,
        cache_bytes: 0,
        spares_max: 2,
        create,
        disk: disk.clone(),
        ..LogOptions::default()
    }
}

/// A log entry of the workload: a tag for its kind, and its content.
fn log_entry(index: u64) -> LogEntry {
    let entry = WORKLOAD.entry(index);
    let (tag, content) = match entry.payload() {
        Payload::Blank => (0, &[][..]),
        Payload::Commands(bytes) => (1, bytes),
        Payload::Membership(bytes) => (2, bytes),
    };
    LogEntry { position: entry.position, bytes: [&[tag][..], content].concat().into() }
}

fn payload(bytes: &[u8]) -> Payload<'_> {
    match bytes.split_first() {
        Some((1, content)) => Payload::Commands(content),
        Some((2, content)) => Payload::Membership(content),
        _ => Payload::Blank,
    }
}

/// The state's digest after each entry, in a life without faults.
pub(super) fn digests() -> Vec<StateDigest> {
    let dir = tempfile::tempdir().expect("a folder");
    let mut running = Running::open(dir.path()).expect("opens");
    let digests = (0..=ENTRIES).map(|index| {
        running.apply_to(WORKLOAD, index).expect("applied");
        running.engine.digest()
    });
    let digests = digests.collect();
    running.close();
    digests
}

/// What a node has promised: synced entries, its vote, a snapshot that was verified.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Promised {
    pub identity: bool,
    pub entries: u64,
    pub vote: u64,
    pub snapshot: u64,
}

/// What a node is after a start that brought it up from its log.
#[derive(Debug, PartialEq)]
pub(super) struct Picture {
    pub bounds: LogBounds,
    pub vote: u64,
    pub snapshot: u64,
    facts: Facts,
    disk: DiskId,
}

/// Log and engine. Their threads stand still: what they have to do is done when they are asked, so that each
/// life of one plan does the same things in the same order.
pub(super) struct Parts {
    log: Log,
    writer: LogWriter,
    store: Store,
    disk: DiskId,
}

/// The engine, and who writes for it.
enum Store {
    Alone(Box<Alone>),
    /// A thread of its own: nobody else waits for a sled that hangs.
    Threads(Box<Running>),
}

impl Store {
    fn engine(&mut self) -> &mut Engine {
        match self {
            Self::Alone(alone) => &mut alone.engine,
            Self::Threads(running) => &mut running.engine,
        }
    }

    /// Writes what was handed over, where no thread does.
    fn persist(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Alone(alone) => alone.persist(),
            Self::Threads(_) => Ok(()),
        }
    }

    fn close(self) -> Result<(), StoreError> {
        let Running { engine, persister } = match self {
            Self::Alone(alone) => alone.with_thread()?,
            Self::Threads(running) => *running,
        };
        engine.close()?;
        persister.join().expect("no panic")
    }
}

impl Parts {
    pub fn open(dir: &Path, disk: &Disk, threads: bool, mut claimed: impl FnMut()) -> Result<Self, StoreError> {
        let mut folder = DataFolder::open(disk, dir)?;
        folder.check(CLUSTER, NODE)?;
        let (log, writer) = Log::open(&dir.join("log"), log_options(dir, disk, folder.identity.is_none()))?;
        let identity = folder.claim(CLUSTER, NODE, DISK)?;
        claimed();
        let alone = Alone::open_with(dir, engine_options(disk, log.bounds().purged, threads))?;
        let mut store = match threads {
            true => Store::Threads(Box::new(alone.with_thread()?)),
            false => Store::Alone(Box::new(alone)),
        };
        store.persist()?;
        Ok(Self { log, writer, store, disk: identity.disk })
    }

    fn close(mut self) -> Result<(), StoreError> {
        self.log.close();
        self.writer.step()?;
        self.store.close()
    }

    /// Asks something of the log, and has it done. What fails behind an answer is told by the next one.
    fn wait(&mut self, ask: impl FnOnce(&Log, Done)) -> Result<(), StoreError> {
        let (tell, told) = mpsc::sync_channel(1);
        ask(&self.log, Box::new(move |result| drop(tell.send(result))));
        let _ = self.writer.step();
        told.recv().expect("every call is answered")
    }

    fn apply(&mut self, entry: &LogEntry) -> Result<(), StoreError> {
        self.store.engine().apply(entry.position, payload(&entry.bytes))?;
        self.store.persist()
    }

    fn next(&mut self) -> u64 {
        self.store.engine().applied().position.map_or(0, |position| position.index.0 + 1)
    }

    /// Applies what the log has, and checks on the way that it is the workload's.
    pub fn catch_up(&mut self) -> Result<(), StoreError> {
        let last = self.log.bounds().last.map_or(0, |last| last.index.0 + 1);
        while self.next() < last {
            let next = self.next();
            let read = self.log.read(LogIndex(next), LogIndex(u64::MAX), 1 << 20)?;
            assert!(!read.is_empty(), "the log lacks entry {next}");
            for entry in read {
                assert_eq!(entry, log_entry(entry.position.index.0), "another entry than was appended");
                self.apply(&entry)?;
            }
        }
        Ok(())
    }

    fn live(&mut self, promised: &mut Promised, life: &Life<'_>) -> Result<(), StoreError> {
        let mut next = self.log.bounds().last.map_or(0, |last| last.index.0 + 1);
        while next <= life.last {
            let end = (next + GROUP).min(life.last + 1);
            self.wait(|log, done| log.append((next..end).map(log_entry).collect(), done))?;
            promised.entries = end;
            for index in next..end {
                let entry = log_entry(index);
                self.apply(&entry)?;
                if index % VOTE_EVERY == 0 {
                    life.faulty.arm(true);
                    let vote = Bytes::copy_from_slice(&(index + 1).to_le_bytes());
                    self.wait(|log, done| log.save_vote(vote, done))?;
                    life.faulty.arm(!life.votes_alone);
                    promised.vote = index + 1;
                }
                if index % SNAPSHOT_EVERY == SNAPSHOT_EVERY - 1 {
                    let job = self.store.engine().begin_snapshot();
                    self.store.persist()?;
                    let meta = job.run()?;
                    promised.snapshot = meta.position.index.0;
                    if let Some(purged) = self.log.position_of(LogIndex(index - KEPT_ENTRIES))? {
                        self.wait(|log, done| log.purge_to(purged, done))?;
                    }
                }
            }
            next = end;
            (life.told)(promised);
        }
        // Whatever failed behind an answer is told by the next one.
        let vote = self.log.vote().unwrap_or_default();
        self.wait(|log, done| log.save_vote(vote, done))?;
        self.store.engine().idle()?;
        self.store.persist()
    }

    /// Takes a snapshot in as a node does that is behind: receives it, installs it, and begins its log behind it.
    /// `spoil` is done to what has come before it is verified.
    pub fn receive(&mut self, from: &Engine, spoil: impl FnOnce()) -> Result<(), StoreError> {
        let inbox = transfer::send(from, self.store.engine())?;
        spoil();
        let received = inbox.finish()?;
        match &mut self.store {
            Store::Alone(alone) => alone.install(received)?,
            Store::Threads(running) => running.engine.install(received)?,
        }
        let position = self.store.engine().applied().position.expect("entries");
        self.wait(|log, done| log.purge_to(position, done))?;
        // Whatever failed behind an answer is told by the next one.
        let vote = self.log.vote().unwrap_or_default();
        self.wait(|log, done| log.save_vote(vote, done))
    }

    pub fn picture(&mut self) -> Result<Picture, StoreError> {
        let vote = self.log.vote().and_then(|vote| vote[..].try_into().ok()).map_or(0, u64::from_le_bytes);
        let snapshot = self.store.engine().snapshots().latest().map_or(0, |meta| meta.position.index.0);
        // Every entry that the log says it has, also those that the state did not need.
        let mut from = self.log.bounds().purged.map_or(0, |purged| purged.index.0 + 1);
        while self.log.bounds().last.is_some_and(|last| from <= last.index.0) {
            for entry in self.log.read(LogIndex(from), LogIndex(u64::MAX), 1 << 20)? {
                assert_eq!(entry, log_entry(from), "another entry than was appended");
                from += 1;
            }
        }
        let facts = facts_of(self.store.engine())?;
        Ok(Picture { bounds: self.log.bounds(), vote, snapshot, facts, disk: self.disk })
    }
}

impl Picture {
    /// Entries that are in the log or were.
    pub fn entries(&self) -> u64 {
        self.bounds.last.map_or(0, |last| last.index.0 + 1)
    }

    pub fn digest(&self) -> StateDigest {
        self.facts.digest
    }
}

/// Starts a node, applies what its log has, and looks at all of it.
pub(super) fn revive(dir: &Path, disk: &Disk) -> Result<Picture, StoreError> {
    let mut parts = Parts::open(dir, disk, false, || ())?;
    parts.catch_up()?;
    parts.picture()
}

/// A node's life on a disk, to the first fault or to its end. The promises are what it said before.
pub(super) fn live(dir: &Path, life: &Life<'_>) -> (Promised, Result<(), StoreError>) {
    let mut promised = Promised::default();
    life.faulty.arm(!life.votes_alone);
    let opened = Parts::open(dir, &life.faulty.disk(), life.threads, || promised.identity = true);
    let result = opened.and_then(|mut parts| {
        parts.catch_up()?;
        parts.live(&mut promised, life)?;
        if life.closes { parts.close() } else { Ok(()) }
    });
    (promised, result)
}

/// How a node lives.
pub(super) struct Life<'a> {
    pub faulty: &'a Faulty,
    /// The disk fails only while a vote is saved.
    pub votes_alone: bool,
    /// sled is written by a thread of its own.
    pub threads: bool,
    /// It is closed at its end.
    pub closes: bool,
    /// The last entry.
    pub last: u64,
    /// Hears of the promises, again and again.
    pub told: fn(&Promised),
}

impl<'a> Life<'a> {
    pub fn on(faulty: &'a Faulty) -> Self {
        Self { faulty, votes_alone: false, threads: false, closes: false, last: ENTRIES, told: |_| () }
    }
}

/// A data folder: sled's files on the machine's disk, all others in memory.
pub(super) struct Folder {
    pub dir: tempfile::TempDir,
    pub sim: SimDisk,
}

impl Folder {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder"), sim: SimDisk::default() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn disk(&self) -> Disk {
        let state = self.path().join("state");
        Disk::new(Arc::new(Split { simulated: self.sim.disk(), real: Disk::real(), state }))
    }

    /// A folder that was lived in and closed.
    pub fn lived_in() -> Self {
        let folder = Self::new();
        folder.live_to(ENTRIES);
        folder
    }

    /// Lives on without a fault to this entry, and closes.
    pub fn live_to(&self, last: u64) {
        let faulty = Faulty::new(self.disk(), |_| false, None);
        let life = Life { last, closes: true, ..Life::on(&faulty) };
        live(self.path(), &life).1.expect("no fault");
    }

    pub fn copy(&self) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        transfer::copy_folder(&self.path().join("state"), &dir.path().join("state"));
        let sim = self.sim.copy_of(self.path(), dir.path());
        Self { dir, sim }
    }

    /// Every file that the kind means, with its content.
    pub fn files(&self, concerns: fn(&Path) -> bool) -> Vec<(PathBuf, Vec<u8>)> {
        let state = damage::files(&self.path().join("state")).into_iter();
        let state = state.map(|(path, _)| (std::fs::read(&path).expect("readable"), path));
        let others = self.sim.files(self.path()).into_iter();
        let others = others.map(|path| (self.sim.content(&path).unwrap_or_default(), path));
        let all = state.chain(others).filter(|(bytes, path)| !bytes.is_empty() && concerns(path));
        all.map(|(bytes, path)| (path, bytes)).collect()
    }

    pub fn put(&self, path: &Path, bytes: &[u8]) {
        if path.starts_with(self.path().join("state")) {
            std::fs::write(path, bytes).expect("written");
        } else {
            self.sim.put(path, bytes);
        }
    }
}
