//! The thread that writes behind the log: journal, index runs, state.
//!
//! The engine hands over [`Job`]s through a [`Link`]; there are never more than a few, since the engine
//! waits when too much is unwritten. The order on disk is what recovery relies on: the journal and
//! the runs are synced before the state that speaks of them, and files are removed only when no
//! state on disk names them any more.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::checkpoint::Checkpoint;
use super::file::FolderLock;
use super::image::SharedPage;
use super::index::{IndexFiles, Memtable};
use super::journal::JournalFlusher;
use super::state::StateStore;
use super::{Disk, Position, StoreError};
use crate::machine::{Instant, Signal};

/// Entries merged between two looks at the queue: some 20 ms.
const MERGE_ENTRIES: usize = 100_000;

/// What is to be written.
#[derive(Debug)]
pub(super) enum Job {
    /// A closed table of the index.
    Table(Arc<Memtable>),
    /// The pages that changed.
    Changes(State),
    /// Every page, into a fresh database.
    Everything(State),
}

/// Pages, and the checkpoint they bring the state to.
#[derive(Debug)]
pub(super) struct State {
    pub pages: Vec<SharedPage>,
    pub checkpoint: Checkpoint,
    /// How many pages there are in all.
    pub live_pages: usize,
}

#[derive(Debug, Default)]
struct LinkState {
    jobs: VecDeque<Job>,
    write_out: bool,
    working: bool,
    /// When the persister last finished something, or was given something while idle.
    moved: Option<Instant>,
    /// The state on disk.
    committed: Option<Position>,
    /// How long it took to write it.
    took: Duration,
    bloated: bool,
    closed: bool,
    ended: bool,
    fault: Option<StoreError>,
}

/// What the engine and its persister share.
#[derive(Debug)]
pub(super) struct Link {
    state: Mutex<LinkState>,
    changed: Signal,
    folder: PathBuf,
    silence_max: Duration,
}

impl Link {
    /// A link to a persister that finds the state at `committed` on disk.
    pub fn new(folder: PathBuf, silence_max: Duration, committed: Option<Position>) -> Self {
        Self {
            state: Mutex::new(LinkState { committed, ..LinkState::default() }),
            changed: Signal::default(),
            folder,
            silence_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over a job.
    pub fn push(&self, job: Job) {
        let mut state = self.lock();
        if state.jobs.is_empty() && !state.working {
            state.moved = Some(Instant::now());
        }
        state.jobs.push_back(job);
        self.changed.notify();
    }

    /// Asks for the journal's waiting blocks to be written.
    pub fn request_write_out(&self) {
        let mut state = self.lock();
        if !state.write_out {
            state.write_out = true;
            if state.jobs.is_empty() && !state.working {
                state.moved = Some(Instant::now());
            }
            self.changed.notify();
        }
    }

    /// Whether nothing is handed over or being worked on.
    pub fn is_idle(&self) -> bool {
        let state = self.lock();
        state.jobs.is_empty() && !state.working
    }

    /// How long the last write of the state took, when nothing is handed over or being worked on.
    pub fn rested(&self) -> Option<Duration> {
        let state = self.lock();
        (state.jobs.is_empty() && !state.working).then_some(state.took)
    }

    /// Whether the database should be written anew; asked once.
    pub fn take_bloated(&self) -> bool {
        std::mem::take(&mut self.lock().bloated)
    }

    /// Finds a persister that failed, ended or hangs.
    pub fn check(&self) -> Result<(), StoreError> {
        self.check_locked(&self.lock())
    }

    fn check_locked(&self, state: &LinkState) -> Result<(), StoreError> {
        if let Some(fault) = &state.fault {
            return Err(fault.clone());
        }
        let busy = state.working || !state.jobs.is_empty() || state.write_out;
        if busy && state.ended {
            return Err(StoreError::Closed);
        }
        match state.moved {
            Some(moved) if busy && moved.elapsed() > self.silence_max => {
                Err(StoreError::Hung { path: self.folder.clone(), seconds: self.silence_max.as_secs() })
            }
            _ => Ok(()),
        }
    }

    /// Waits until `enough` holds; it is asked again after every job.
    pub fn wait_until(&self, enough: impl Fn() -> bool) -> Result<(), StoreError> {
        let mut state = self.lock();
        loop {
            self.check_locked(&state)?;
            // The lock is not held here: `enough` may come back to the link.
            drop(state);
            if enough() {
                return Ok(());
            }
            state = self.lock();
            // A change between the question and this wait costs one time-out, not a hang.
            state = self.changed.wait_for(&self.state, state, Duration::from_millis(2)).0;
        }
    }

    /// The state on disk is that at this position now.
    fn wrote(&self, position: Option<Position>, took: Duration) {
        let mut state = self.lock();
        state.committed = position;
        state.took = took;
    }

    /// Waits until the state on disk has reached a position whose changes were handed over.
    pub fn wait_for_state(&self, position: Option<Position>) -> Result<(), StoreError> {
        self.wait_until(|| self.lock().committed >= position || self.has_ended())?;
        if self.lock().committed >= position {
            return Ok(());
        }
        // It may have ended between two looks: by a fault, which names a file.
        self.check()?;
        Err(StoreError::Closed)
    }

    /// Tells the persister to end when it has written everything.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify();
    }

    /// Whether the persister has ended.
    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }
}

enum Next {
    Job(Job),
    WriteOut,
    Nothing,
    End,
}

/// The body of the persister thread.
#[derive(Debug)]
pub struct Persister {
    pub(super) link: Arc<Link>,
    pub(super) disk: Disk,
    /// The state folder.
    pub(super) folder: PathBuf,
    pub(super) state: Option<StateStore>,
    pub(super) index: IndexFiles,
    pub(super) journal: JournalFlusher,
    /// Nobody else writes the state until this is dropped, after the database.
    pub(super) _lock: FolderLock,
}

/// Says that the persister ended, however it did.
struct Ending(Arc<Link>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        state.working = false;
        if std::thread::panicking() && state.fault.is_none() {
            // sled panics at some errors of the disk.
            let panicked = std::io::Error::other("the thread that writes panicked");
            state.fault = Some(StoreError::io("write to", &self.0.folder, panicked));
        }
        drop(state);
        self.0.changed.notify();
    }
}

impl Persister {
    /// Writes what the engine hands over, until the engine is closed or dropped.
    ///
    /// # Errors
    /// The first fault, which the engine's next call returns too. The node must stop.
    pub fn run(mut self) -> Result<(), StoreError> {
        let ending = Ending(Arc::clone(&self.link));
        let result = self.work(true);
        // The database is closed before anyone hears of the end, and may open the folder again.
        drop(self);
        drop(ending);
        result
    }

    /// Writes what was handed over by now, on this thread: for tests that want everything in one order.
    #[cfg(test)]
    pub(super) fn catch_up(&mut self) -> Result<(), StoreError> {
        self.work(false)
    }

    /// Works until the end; only as long as there is something to do, unless it is to wait for more.
    fn work(&mut self, wait: bool) -> Result<(), StoreError> {
        let result = self.work_on(wait);
        if let Err(error) = &result {
            self.link.lock().fault = Some(error.clone());
        }
        result
    }

    fn work_on(&mut self, wait: bool) -> Result<(), StoreError> {
        let mut merging = true;
        loop {
            match self.next(merging, wait) {
                Next::Job(job) => {
                    self.carry_out(job)?;
                    merging = true;
                }
                Next::WriteOut => self.journal.write_out()?,
                Next::Nothing => merging = self.index.merge_step(MERGE_ENTRIES)?,
                Next::End => return Ok(()),
            }
            let mut state = self.link.lock();
            state.working = false;
            state.moved = Some(Instant::now());
            drop(state);
            self.link.changed.notify();
        }
    }

    /// The next thing to do. Does not wait when there is something to merge.
    fn next(&self, merging: bool, wait: bool) -> Next {
        let mut state = self.link.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.working = true;
                return Next::Job(job);
            }
            if std::mem::take(&mut state.write_out) {
                state.working = true;
                return Next::WriteOut;
            }
            if state.closed {
                return Next::End;
            }
            if merging {
                return Next::Nothing;
            }
            if !wait {
                return Next::End;
            }
            state = self.link.changed.wait(&self.link.state, state);
        }
    }

    fn carry_out(&mut self, job: Job) -> Result<(), StoreError> {
        let begun = Instant::now();
        match job {
            Job::Table(table) => self.index.write_table(&table),
            Job::Changes(changes) => {
                self.journal.sync(changes.checkpoint.sequence)?;
                let Some(store) = &self.state else { return Err(StoreError::Closed) };
                store.commit(changes.pages, &changes.checkpoint, &self.index.names())?;
                self.link.wrote(changes.checkpoint.position, begun.elapsed());
                if store.is_bloated(changes.live_pages)? {
                    self.link.lock().bloated = true;
                }
                self.index.remove_merged()
            }
            Job::Everything(all) => {
                self.journal.sync(all.checkpoint.sequence)?;
                // sled's threads must be done with the old files before they go.
                drop(self.state.take());
                let names = self.index.names();
                let store = StateStore::create(&self.disk, &self.folder, all.pages, &all.checkpoint, &names)?;
                self.state = Some(store);
                self.link.wrote(all.checkpoint.position, begun.elapsed());
                self.index.remove_merged()
            }
        }
    }
}
