//! The apply thread: it owns the engine, applies what is committed, and lets readers look between.
//!
//! Others reach it through two bounded queues: jobs, in order, and looks at the state. Jobs go
//! first, but after each one the looks that wait get their turn, so that neither starves.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::EntryPayload;
use openraft::storage::EntryResponder;
use tokio::sync::{oneshot, watch};

use super::codec;
use super::fault::{Fault, FaultCell};
use super::replica::ReadError;
use super::status::Published;
use super::types::{Applied, NodeId, Reply, TypeConfig};
use crate::core::types::{LogIndex, Stamp, Term};
use crate::core::{DecodeError, Ledger, StateDigest};
use crate::machine::Signal;
use crate::store::engine::{self, Engine, Payload, Readers};
use crate::store::snapshot::{ReceivedSnapshot, SnapshotJob, Snapshots};
use crate::store::{Position, StoreError};

/// Jobs that may wait. Each of the few callers waits for its answer, so this is never reached.
const JOBS_MAX: usize = 64;

/// Looks that run before the next job.
const LOOKS_PER_TURN: usize = 64;

/// How long the thread sleeps when there is nothing to do before it tells the engine so.
const IDLE: Duration = Duration::from_millis(500);

/// A closure that looks at the state.
type Look = Box<dyn FnOnce(&Ledger) + Send>;

/// What the apply thread is asked to do.
enum Job {
    /// Apply committed entries in order, answering those that somebody waits for.
    Entries(Vec<EntryResponder<TypeConfig>>, oneshot::Sender<io::Result<()>>),
    /// Say how far the state has come.
    Applied(oneshot::Sender<engine::Applied>),
    /// The same with the state's digest, which is known of few positions unless somebody asks.
    Digest(oneshot::Sender<(engine::Applied, StateDigest)>),
    /// Take the state as it is now, to be written elsewhere; `None` when nothing was applied yet.
    BeginSnapshot(oneshot::Sender<Option<SnapshotJob>>),
    /// Replace the state.
    Install(Box<ReceivedSnapshot>, oneshot::Sender<io::Result<()>>),
    /// The recent state digests.
    Digests(oneshot::Sender<Vec<(LogIndex, StateDigest)>>),
}

/// What waits for the thread.
#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    looks: VecDeque<Look>,
    /// No more will come in; what waits is still done.
    closed: bool,
    /// Whether the last thing done was a job.
    job_done: bool,
}

struct Shared {
    waiting: Mutex<Waiting>,
    wake: Signal,
    looks_max: usize,
    published: watch::Sender<Published>,
    roll: Mutex<Roll>,
    bytes_since_snapshot: AtomicU64,
}

/// Who belongs to the cluster by what is committed and applied, and every id that ever did. It
/// follows from the log alone, so every node has the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Roll {
    pub members: BTreeSet<NodeId>,
    pub used: BTreeSet<NodeId>,
}

impl Roll {
    fn of(engine: &Engine) -> Result<Self, Fault> {
        let Some((position, bytes)) = engine.applied().membership else { return Ok(Self::default()) };
        let bad = |error: DecodeError| Fault::Entry { index: position.index, reason: error.to_string() };
        let (membership, used) = codec::decode_roll(&bytes).map_err(bad)?;
        Ok(Self { members: membership.nodes().map(|(id, _)| *id).collect(), used })
    }

    /// Whether this id belonged to a member that was removed.
    pub fn removed(&self, id: NodeId) -> bool {
        self.used.contains(&id) && !self.members.contains(&id)
    }
}

impl Shared {
    fn roll(&self) -> MutexGuard<'_, Roll> {
        self.roll.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that runs under this lock can panic half-way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        self.wake.notify();
    }
}

/// What the thread does next.
enum Step {
    Job(Job),
    Looks(Vec<Look>),
    Idle,
    Closed,
}

impl Shared {
    fn next(&self) -> Step {
        let mut waiting = self.lock();
        loop {
            let looks_first = waiting.job_done && !waiting.looks.is_empty();
            if !looks_first && let Some(job) = waiting.jobs.pop_front() {
                waiting.job_done = true;
                return Step::Job(job);
            }
            if !waiting.looks.is_empty() {
                waiting.job_done = false;
                let count = waiting.looks.len().min(LOOKS_PER_TURN);
                return Step::Looks(waiting.looks.drain(..count).collect());
            }
            if waiting.closed {
                return Step::Closed;
            }
            let (back, told) = self.wake.wait_for(&self.waiting, waiting, IDLE);
            waiting = back;
            if !told && waiting.jobs.is_empty() && waiting.looks.is_empty() && !waiting.closed {
                return Step::Idle;
            }
        }
    }
}

/// Reaches the apply thread. Cheap to clone.
#[derive(Clone)]
pub struct ApplyHandle {
    shared: Arc<Shared>,
    faults: FaultCell,
    readers: Readers,
    snapshots: Snapshots,
}

impl std::fmt::Debug for ApplyHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApplyHandle").finish_non_exhaustive()
    }
}

/// The apply thread's body.
pub struct ApplyThread {
    engine: Engine,
    shared: Arc<Shared>,
    faults: FaultCell,
}

impl std::fmt::Debug for ApplyThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApplyThread").finish_non_exhaustive()
    }
}

/// Gives the engine to an apply thread that is still to be run, and the handle that reaches it.
/// `reads_max` closures may wait for the state.
#[must_use]
pub fn apply_thread(engine: Engine, reads_max: usize, faults: FaultCell) -> (ApplyHandle, ApplyThread) {
    let shared = Arc::new(Shared {
        waiting: Mutex::default(),
        wake: Signal::default(),
        looks_max: reads_max,
        published: watch::Sender::new(published(&engine)),
        // What cannot be read is told when Raft asks for the applied membership.
        roll: Mutex::new(Roll::of(&engine).unwrap_or_default()),
        bytes_since_snapshot: AtomicU64::new(0),
    });
    let handle = ApplyHandle {
        shared: shared.clone(),
        faults: faults.clone(),
        readers: engine.readers(),
        snapshots: engine.snapshots(),
    };
    (handle, ApplyThread { engine, shared, faults })
}

fn published(engine: &Engine) -> Published {
    let position = engine.position().unwrap_or_default();
    Published {
        term: position.term,
        index: position.index,
        sequence: engine.ledger().sequence(),
        next_deadline: engine.ledger().next_deadline(),
    }
}

impl ApplyThread {
    /// Applies until the handle is closed, then closes the engine.
    ///
    /// # Errors
    /// The fault that ended it, which is also in the fault cell. The node must stop.
    pub fn run(mut self) -> Result<(), Fault> {
        let result = self.serve();
        self.shared.close();
        // Whoever still waits learns of the end by their dropped answer.
        *self.shared.lock() = Waiting { closed: true, ..Waiting::default() };
        let result = match result {
            Ok(()) => self.engine.close().map_err(Fault::Store),
            Err(fault) => Err(fault),
        };
        if let Err(fault) = &result {
            self.faults.report(fault.clone());
        }
        result
    }

    fn serve(&mut self) -> Result<(), Fault> {
        loop {
            match self.shared.next() {
                Step::Job(job) => self.carry_out(job)?,
                Step::Looks(looks) => looks.into_iter().for_each(|look| look(self.engine.ledger())),
                Step::Idle => self.engine.idle()?,
                Step::Closed => return Ok(()),
            }
        }
    }

    fn carry_out(&mut self, job: Job) -> Result<(), Fault> {
        // Who asked may be gone; an answer that nobody waits for is dropped.
        match job {
            Job::Entries(entries, done) => {
                let result = self.apply_all(entries);
                drop(done.send(as_io(&result)));
                result
            }
            Job::Applied(answer) => {
                drop(answer.send(self.engine.applied()));
                Ok(())
            }
            Job::Digest(answer) => {
                drop(answer.send((self.engine.applied(), self.engine.digest())));
                Ok(())
            }
            Job::BeginSnapshot(answer) => {
                let applied = self.engine.position().is_some();
                self.shared.bytes_since_snapshot.store(0, Ordering::Relaxed);
                drop(answer.send(applied.then(|| self.engine.begin_snapshot())));
                Ok(())
            }
            Job::Install(received, done) => {
                let result = self.engine.install(*received).map_err(Fault::Store);
                let result = result.and_then(|()| Roll::of(&self.engine)).map(|roll| *self.shared.roll() = roll);
                if result.is_ok() {
                    self.shared.published.send_replace(published(&self.engine));
                }
                drop(done.send(as_io(&result)));
                result
            }
            Job::Digests(answer) => {
                drop(answer.send(self.engine.digests().recent()));
                Ok(())
            }
        }
    }

    fn apply_all(&mut self, entries: Vec<EntryResponder<TypeConfig>>) -> Result<(), Fault> {
        for (entry, responder) in entries {
            let position = codec::position(entry.log_id);
            let reply = match &entry.payload {
                EntryPayload::Blank => {
                    self.engine.apply(position, Payload::Blank)?;
                    Reply(None)
                }
                EntryPayload::Membership(membership) => {
                    let mut bytes = Vec::new();
                    {
                        let mut roll = self.shared.roll();
                        roll.members = membership.nodes().map(|(id, _)| *id).collect();
                        let Roll { members, used } = &mut *roll;
                        used.extend(members.iter());
                        codec::encode_roll(membership, used, &mut bytes);
                    }
                    self.engine.apply(position, Payload::Membership(&bytes))?;
                    Reply(None)
                }
                EntryPayload::Normal(proposal) => {
                    let bytes = proposal.proposal();
                    self.shared.bytes_since_snapshot.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    let effects = self.engine.apply(position, Payload::Commands(bytes))?;
                    // The ledger raises a time that runs backwards, so it knows the time that counts.
                    let time = self.engine.ledger().time();
                    let stamp = Stamp { term: position.term, index: position.index, time };
                    Reply(Some(Applied { stamp, effects }))
                }
            };
            // Before the answer: who has it can read what it did.
            self.publish(position.term, position.index);
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    fn publish(&self, term: Term, index: LogIndex) {
        let ledger = self.engine.ledger();
        self.shared.published.send_replace(Published {
            term,
            index,
            sequence: ledger.sequence(),
            next_deadline: ledger.next_deadline(),
        });
    }
}

fn as_io(result: &Result<(), Fault>) -> io::Result<()> {
    result.as_ref().map_err(|fault| io::Error::other(fault.clone())).copied()
}

impl ApplyHandle {
    /// Queues a job and waits for its answer.
    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> io::Result<T> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = self.shared.lock();
            if waiting.closed {
                return Err(self.ended());
            }
            if waiting.jobs.len() >= JOBS_MAX {
                return Err(io::Error::other("the apply thread's queue is full"));
            }
            waiting.jobs.push_back(job(sender));
            self.shared.wake.notify();
        }
        receiver.await.map_err(|_| self.ended())
    }

    fn ended(&self) -> io::Error {
        match self.faults.get() {
            Some(fault) => io::Error::other(fault),
            None => io::Error::other(StoreError::Closed),
        }
    }

    pub(super) async fn apply(&self, entries: Vec<EntryResponder<TypeConfig>>) -> io::Result<()> {
        self.ask(|done| Job::Entries(entries, done)).await?
    }

    pub(super) async fn applied(&self) -> io::Result<engine::Applied> {
        self.ask(Job::Applied).await
    }

    /// What is applied, and the state's digest there.
    pub(super) async fn digest(&self) -> io::Result<(engine::Applied, StateDigest)> {
        self.ask(Job::Digest).await
    }

    pub(super) async fn begin_snapshot(&self) -> io::Result<Option<SnapshotJob>> {
        self.ask(Job::BeginSnapshot).await
    }

    pub(super) async fn install(&self, received: ReceivedSnapshot) -> io::Result<()> {
        self.ask(|done| Job::Install(Box::new(received), done)).await?
    }

    pub(super) async fn digests(&self) -> io::Result<Vec<(LogIndex, StateDigest)>> {
        self.ask(Job::Digests).await
    }

    /// Runs `look` on the state as of some moment after this call.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Ledger) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = self.shared.lock();
            if waiting.closed {
                return Err(ReadError::ShuttingDown);
            }
            if waiting.looks.len() >= self.shared.looks_max {
                return Err(ReadError::Overloaded);
            }
            waiting.looks.push_back(Box::new(move |ledger| drop(sender.send(look(ledger)))));
            self.shared.wake.notify();
        }
        receiver.await.map_err(|_| ReadError::ShuttingDown)
    }

    /// What is applied, and each change of it.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Published> {
        self.shared.published.subscribe()
    }

    /// The last entry applied; the default before the first.
    pub(super) fn position(&self) -> Position {
        let published = *self.shared.published.borrow();
        Position { term: published.term, index: published.index }
    }

    /// Who belongs to the cluster, and every id that ever did.
    pub(super) fn roll(&self) -> Roll {
        self.shared.roll().clone()
    }

    /// Whether this id belonged to a member that was removed.
    pub(super) fn removed(&self, id: NodeId) -> bool {
        self.shared.roll().removed(id)
    }

    /// Bytes of proposals applied since the last snapshot was begun.
    pub(super) fn bytes_since_snapshot(&self) -> u64 {
        self.shared.bytes_since_snapshot.load(Ordering::Relaxed)
    }

    /// What history is read from.
    #[must_use]
    pub fn readers(&self) -> &Readers {
        &self.readers
    }

    /// The snapshot files.
    pub(super) fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    /// Where faults are reported.
    #[must_use]
    pub fn faults(&self) -> &FaultCell {
        &self.faults
    }

    /// Ends the thread once it has done what waits.
    pub fn close(&self) {
        self.shared.close();
    }
}
