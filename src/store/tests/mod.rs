//! Tests of the engine and its parts together: restarts, kills, damage, snapshots.

mod backup;
mod damage;
mod faults;
mod kill;
mod power;
mod restart;
mod transfer;
mod verify;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::StoreError;
use super::engine::{Engine, EngineOptions};
use super::identity::ClusterId;
use super::index::{Direction, HistoryKey};
use super::journal::BlockDigest;
use super::persister::Persister;
use crate::core::StateDigest;
use crate::core::types::Sequence;
use crate::store::snapshot::ReceivedSnapshot;
use crate::store::testing::workload::Workload;

/// Small limits, so that a short run passes every turn.
fn options() -> EngineOptions {
    EngineOptions {
        cluster: ClusterId(7),
        sync_interval: Duration::from_millis(3),
        sync_pause: 0,
        index_table_entries: 500,
        ..EngineOptions::default()
    }
}

/// Waits until sled has let go of the databases in a folder: its own threads may hold a file a little longer
/// than the database lives. A process that has ended holds nothing.
fn wait_for_sled(dir: &Path) {
    wait_for_databases(&dir.join("state"));
}

/// The same for the databases of a state folder.
pub(super) fn wait_for_databases(state: &Path) {
    const TRIES: u32 = 30_000;
    let databases = std::fs::read_dir(state).into_iter().flatten();
    for path in databases.map(|entry| entry.expect("an entry").path().join("db")).filter(|path| path.exists()) {
        let file = std::fs::File::open(&path).expect("readable");
        let free = (0..TRIES).any(|_| {
            file.try_lock().is_ok() || {
                std::thread::sleep(Duration::from_millis(2));
                false
            }
        });
        assert!(free, "{} is never closed", path.display());
    }
}

/// An engine with its persister thread.
struct Running {
    engine: Engine,
    persister: JoinHandle<Result<(), StoreError>>,
}

impl Running {
    fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, options())
    }

    fn open_with(dir: &Path, options: EngineOptions) -> Result<Self, StoreError> {
        wait_for_sled(dir);
        let (engine, persister) = Engine::open(dir, options)?;
        Ok(Self { engine, persister: std::thread::spawn(|| persister.run()) })
    }

    /// Applies the workload's entries up to this index.
    fn apply_to(&mut self, workload: Workload, last: u64) -> Result<(), StoreError> {
        let next = self.engine.applied().position.map_or(0, |position| position.index.0 + 1);
        for index in next..=last {
            let entry = workload.entry(index);
            self.engine.apply(entry.position, entry.payload())?;
        }
        Ok(())
    }

    fn close(self) {
        self.engine.close().expect("closed");
        self.persister.join().expect("no panic").expect("no fault");
    }

    /// Ends without writing what is due, as a crash does.
    fn abandon(self) {
        drop(self.engine);
        self.persister.join().expect("no panic").expect("no fault");
    }

    /// What must be the same after any way to the same index.
    fn facts(&self) -> Facts {
        facts_of(&self.engine).expect("readable")
    }
}

/// An engine whose persister has no thread: it writes when it is told to, so that what is on disk, and in
/// which order it comes there, does not depend on the machine.
struct Alone {
    engine: Engine,
    persister: Persister,
}

impl Alone {
    fn open_with(dir: &Path, options: EngineOptions) -> Result<Self, StoreError> {
        wait_for_sled(dir);
        let (engine, persister) = Engine::open(dir, options)?;
        Ok(Self { engine, persister })
    }

    /// Writes what was handed over by now.
    fn persist(&mut self) -> Result<(), StoreError> {
        self.persister.catch_up()
    }

    /// Installs a snapshot, which waits for what it hands over to be written.
    fn install(&mut self, received: ReceivedSnapshot) -> Result<(), StoreError> {
        let Self { engine, persister } = self;
        let installed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                while !installed.load(Ordering::SeqCst) {
                    persister.catch_up()?;
                    std::thread::sleep(Duration::from_millis(1));
                }
                persister.catch_up()
            });
            let result = engine.install(received);
            installed.store(true, Ordering::SeqCst);
            result.and(writing.join().expect("no panic"))
        })
    }

    /// The same with a thread, when all is written.
    fn with_thread(mut self) -> Result<Running, StoreError> {
        self.persist()?;
        let Self { engine, persister } = self;
        Ok(Running { engine, persister: std::thread::spawn(|| persister.run()) })
    }
}

/// What must be the same after any way to the same index.
#[derive(Debug, PartialEq)]
struct Facts {
    digest: StateDigest,
    sequence: Sequence,
    chain: Option<BlockDigest>,
    entries: usize,
}

fn facts_of(engine: &Engine) -> Result<Facts, StoreError> {
    let last = engine.applied().sequence;
    Ok(Facts {
        digest: engine.digest(),
        sequence: last,
        chain: engine.readers().journal.digest_at(last)?,
        entries: check_index(engine)?,
    })
}

/// Every command and every event of the journal is found through the index, and nothing else is.
/// Returns how many entries that are; an error is a file that cannot be read.
fn check_index(engine: &Engine) -> Result<usize, StoreError> {
    let readers = engine.readers();
    let mut expected = std::collections::HashMap::<_, Vec<Sequence>>::new();
    let mut from = Sequence(1);
    let mut commands = 0;
    loop {
        let records = readers.journal.read(from, 1_000, 1 << 20)?;
        let Some(last) = records.last() else { break };
        from = last.view().last_sequence().plus(1);
        for record in &records {
            super::index::for_each_history(record.view(), |key, sequence| {
                expected.entry(key).or_default().push(sequence)
            });
            if let Some(origin) = record.origin {
                let used = readers.index.find(&origin.key)?.expect("a command that was carried out");
                assert_eq!((used.fingerprint, used.sequence), (origin.fingerprint, record.sequence));
                commands += 1;
            }
        }
    }
    assert_eq!(from, engine.applied().sequence.plus(1), "the journal ends where the state does");
    // Orders are many and all alike: some of them stand for all.
    let orders_apart = 23;
    let looked_at = |key: &HistoryKey| match key {
        HistoryKey::ChangesOf(order) => order.0 % orders_apart == 0,
        _ => true,
    };
    for (key, events) in expected.iter().filter(|(key, _)| looked_at(key)) {
        let found = readers.index.scan(*key, Sequence(0), Direction::Forward, usize::MAX)?;
        assert_eq!(found, *events, "{key:?}");
        let newest = readers.index.scan(*key, Sequence(u64::MAX), Direction::Backward, 3)?;
        assert!(newest.iter().eq(events.iter().rev().take(3)), "{key:?}");
    }
    engine.ledger().check_invariants().expect("sound");
    Ok(commands + expected.values().map(Vec::len).sum::<usize>())
}

/// The facts of an undisturbed run.
fn undisturbed(workload: Workload, last: u64) -> Facts {
    let dir = tempfile::tempdir().expect("a folder");
    let mut running = Running::open(dir.path()).expect("opens");
    running.apply_to(workload, last).expect("applied");
    let facts = running.facts();
    running.close();
    facts
}
