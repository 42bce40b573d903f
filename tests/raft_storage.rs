//! openraft's own suite for storage, on the log store and the state machine.

// Outside of test functions clippy does not see that this is a test.
#![allow(clippy::unwrap_used)]

use std::io;
use std::sync::Mutex;
use std::thread::JoinHandle;

use counterfoil::replication::{
    ApplyHandle, FaultCell, LogStore, SnapshotBuilder, SnapshotData, StateMachine, TypeConfig, apply_thread,
};
use counterfoil::store::engine::{Engine, EngineOptions};
use counterfoil::store::log::{Log, LogOptions};
use futures::{Stream, StreamExt, stream};
use openraft::alias::{EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{OptionalSend, StorageError};

/// The suite leaves gaps in what it applies, which Raft never does and the engine refuses. Here
/// they are filled with blank entries.
struct Gapless {
    inner: StateMachine,
}

impl RaftStateMachine<TypeConfig> for Gapless {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogIdOf<TypeConfig>>, StoredMembershipOf<TypeConfig>)> {
        self.inner.applied_state().await
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            let (applied, _) = self.inner.applied_state().await?;
            let id = entry.0.log_id;
            let mut filled: Vec<io::Result<EntryResponder<TypeConfig>>> = applied
                .map_or(id.index..id.index, |last| last.index + 1..id.index)
                .map(|index| {
                    let id = LogIdOf::<TypeConfig>::new(*id.committed_leader_id(), index);
                    Ok((EntryOf::<TypeConfig>::new_blank(id), None))
                })
                .collect();
            filled.push(Ok(entry));
            self.inner.apply(stream::iter(filled)).await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        self.inner.get_snapshot_builder().await
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMetaOf<TypeConfig>, data: SnapshotData) -> io::Result<()> {
        self.inner.install_snapshot(meta, data).await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<TypeConfig, SnapshotData>>> {
        self.inner.get_current_snapshot().await
    }
}

/// The threads and files under one store; ended and removed with it.
struct Ground {
    log: Log,
    apply: ApplyHandle,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _folder: tempfile::TempDir,
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.apply.close();
        self.log.close();
        for thread in self.threads.get_mut().unwrap().drain(..) {
            thread.join().unwrap();
        }
    }
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, Gapless, Ground> for Builder {
    async fn build(&self) -> Result<(Ground, LogStore, Gapless), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().unwrap();
        let options = LogOptions { segment_bytes: 1 << 20, ..LogOptions::default() };
        let (log, writer) = Log::open(&folder.path().join("log"), options).unwrap();
        let (engine, persister) = Engine::open(folder.path(), EngineOptions::default()).unwrap();
        let faults = FaultCell::default();
        let (apply, thread) = apply_thread(engine, 64, faults.clone());
        let threads = vec![
            std::thread::spawn(move || writer.run().unwrap()),
            std::thread::spawn(move || persister.run().unwrap()),
            std::thread::spawn(move || thread.run().unwrap()),
        ];
        let store = LogStore::new(log.clone(), faults);
        let machine = Gapless { inner: StateMachine::new(apply.clone()) };
        let ground = Ground { log, apply, threads: Mutex::new(threads), _folder: folder };
        Ok((ground, store, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openrafts_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
}
