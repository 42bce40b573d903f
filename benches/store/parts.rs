//! The parts of the store, each in a scratch folder of its own.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use bytes::Bytes;
use counterfoil::core::command::{CommandKey, Proposal};
use counterfoil::core::event::{Effects, Origin};
use counterfoil::core::types::{LogIndex, Term};
use counterfoil::core::{Encode, History, Used};
use counterfoil::store::engine::{Engine, EngineOptions, Payload};
use counterfoil::store::index::{IndexFiles, IndexWriter, MEMTABLE_ENTRIES, Memtable};
use counterfoil::store::journal::{Journal, JournalOptions};
use counterfoil::store::log::{Log, LogEntry, LogOptions};
use counterfoil::store::{Disk, Position, StoreError};
use tempfile::TempDir;

use super::flow::{Desk, PER_PROPOSAL, any_transfer};
use super::rng::Rng;

const ACCOUNTS: u64 = 10_000;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a scratch folder")
}

fn position(index: u64) -> Position {
    Position { term: Term(1), index: LogIndex(index) }
}

/// A proposal's bytes, and what it did.
pub struct Applied {
    /// The proposal.
    pub proposal: Vec<u8>,
    /// Its effects.
    pub effects: Effects,
}

/// The proposals that open a ledger of 10,000 accounts, and `count` of transfers among them.
pub fn transfers(count: usize) -> (Vec<Applied>, Vec<Applied>) {
    let mut rng = Rng::new(1);
    let mut desk = Desk::default();
    let apply = |desk: &mut Desk, proposal: &Proposal| Applied {
        proposal: proposal.to_bytes(),
        effects: desk.apply(proposal).clone(),
    };
    let opening = desk.opening(ACCOUNTS, 0);
    let opening = opening.iter().map(|proposal| apply(&mut desk, proposal)).collect();
    let transfers = (0..count).map(|_| {
        let bodies = (0..PER_PROPOSAL).map(|_| any_transfer(&mut rng, ACCOUNTS)).collect();
        let proposal = desk.proposal(bodies);
        apply(&mut desk, &proposal)
    });
    (opening, transfers.collect())
}

/// A log, and its thread.
pub struct RunningLog {
    log: Option<Log>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
    bytes: Bytes,
    last: u64,
    _folder: TempDir,
}

impl RunningLog {
    /// An empty log, for entries of so many bytes.
    pub fn new(bytes: usize) -> Self {
        let folder = folder();
        let (log, writer) = Log::open(folder.path(), LogOptions::default()).expect("opens");
        let thread = std::thread::spawn(|| writer.run());
        let bytes = Bytes::from(vec![7; bytes]);
        Self { log: Some(log), thread: Some(thread), bytes, last: 0, _folder: folder }
    }

    /// Appends an entry, and tells `done` when it is on disk.
    pub fn append(&mut self, done: Sender<Result<(), StoreError>>) {
        self.last += 1;
        let entry = LogEntry { position: position(self.last), bytes: self.bytes.clone() };
        let tell = Box::new(move |result| done.send(result).expect("somebody waits"));
        self.log.as_ref().expect("open").append(vec![entry], tell);
    }
}

impl Drop for RunningLog {
    fn drop(&mut self) {
        drop(self.log.take());
        self.thread.take().expect("joined once").join().expect("no panic").expect("no fault");
    }
}

/// A journal.
pub struct Journaling {
    journal: Journal,
    _folder: TempDir,
}

impl Journaling {
    /// A journal of what these did.
    pub fn after(applied: &[Applied]) -> Self {
        let folder = folder();
        let journal = Journal::open_whole(folder.path(), JournalOptions::default()).expect("opens");
        let mut journaling = Self { journal, _folder: folder };
        applied.iter().for_each(|applied| journaling.append(applied));
        journaling.write_out();
        journaling
    }

    /// Appends what a proposal did.
    pub fn append(&mut self, applied: &Applied) {
        self.journal.append_all(applied.effects.records());
    }

    /// Packs the full blocks and writes them.
    pub fn write_out(&mut self) {
        self.journal.flusher().write_out().expect("written");
    }
}

/// An index, and the tables of it that are full.
pub struct Index {
    writer: IndexWriter,
    files: IndexFiles,
    full: Vec<Arc<Memtable>>,
    _folder: TempDir,
}

impl Index {
    /// An index of what these did.
    pub fn after(applied: &[Applied]) -> Self {
        let folder = folder();
        let writer = IndexWriter::new(Vec::new(), MEMTABLE_ENTRIES);
        let files = IndexFiles::new(&Disk::real(), folder.path(), &writer);
        let mut index = Self { writer, files, full: Vec::new(), _folder: folder };
        for applied in applied {
            index.note(applied);
            index.write();
        }
        index
    }

    /// Adds what a proposal did.
    pub fn note(&mut self, applied: &Applied) {
        let mut past = self.writer.past();
        for record in applied.effects.records() {
            if let Some(Origin { key, fingerprint }) = record.origin {
                past.remember(key, Used { fingerprint, sequence: record.sequence });
            }
        }
        self.full.extend(past.note(&applied.effects));
    }

    /// Writes full tables, and merges what is to be merged.
    pub fn write(&mut self) {
        for table in self.full.drain(..) {
            self.files.write_table(&table).expect("written");
            while self.files.merge_step(usize::MAX).expect("merged") {}
        }
    }

    /// Asks for a command as the ledger does.
    pub fn find(&mut self, key: &CommandKey) -> Option<Used> {
        let mut past = self.writer.past();
        let found = past.find(key);
        past.check().expect("readable");
        found
    }
}

/// An engine, and its persister's thread.
pub struct Node {
    engine: Option<Engine>,
    persister: Option<JoinHandle<Result<(), StoreError>>>,
    folder: Option<TempDir>,
}

impl Node {
    /// An engine that has applied these.
    pub fn after<'a>(applied: impl IntoIterator<Item = &'a Applied>) -> Self {
        let folder = folder();
        let (engine, persister) = Engine::open(folder.path(), EngineOptions::default()).expect("opens");
        let persister = std::thread::spawn(|| persister.run());
        let mut node = Self { engine: Some(engine), persister: Some(persister), folder: Some(folder) };
        applied.into_iter().for_each(|applied| node.apply(applied));
        node
    }

    /// Applies the next proposal.
    pub fn apply(&mut self, next: &Applied) {
        let engine = self.engine.as_mut().expect("open");
        let index = engine.position().map_or(1, |last| last.index.0 + 1);
        engine.apply(position(index), Payload::Commands(&next.proposal)).expect("applied");
    }

    /// Ends it, and leaves its folder.
    pub fn close(mut self) -> TempDir {
        self.end();
        self.folder.take().expect("taken once")
    }

    fn end(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.close().expect("closed");
            self.persister.take().expect("joined once").join().expect("no panic").expect("no fault");
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}
