//! What the handles and the log thread share: the view and the queue, under one short lock.

use std::collections::VecDeque;
use std::mem;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::sync_times::SyncClock;
use super::view::View;
use super::{Done, LogEntry};
use crate::machine::Signal;
use crate::store::file::FolderLock;
use crate::store::{Position, StoreError};

/// What the log thread is asked to write.
pub(super) enum Ask {
    Append { entries: Vec<LogEntry>, first_serial: u64 },
    Vote(Bytes),
    Truncate(Option<Position>),
    Purge(Position),
}

/// Something to write, and whom to tell.
pub(super) struct Job {
    pub ask: Ask,
    pub done: Done,
}

impl Job {
    /// Its content in bytes; what a record takes besides does not count.
    fn bytes(&self) -> usize {
        match &self.ask {
            Ask::Append { entries, .. } => entries.iter().map(|entry| entry.bytes.len()).sum(),
            Ask::Vote(vote) => vote.len(),
            Ask::Truncate(_) | Ask::Purge(_) => 0,
        }
    }
}

/// What is under the lock.
pub(super) struct Inner {
    pub view: View,
    pub queue: VecDeque<Job>,
    pub queue_bytes: usize,
    /// A commit mark that waits for the next group.
    pub committed: Option<Bytes>,
    /// Why nothing is accepted any more: a fault, or [`StoreError::Closed`].
    pub ended: Option<StoreError>,
}

pub(super) struct Shared {
    inner: Mutex<Inner>,
    /// There is work, or the end.
    work: Signal,
    /// The queue became shorter, or the end.
    room: Signal,
    pub queue_bytes_max: usize,
    pub dir: PathBuf,
    pub syncs: SyncClock,
    _lock: FolderLock,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "log in {}", self.dir.display())
    }
}

/// What the log thread does next.
pub(super) struct Work {
    pub jobs: Vec<Job>,
    pub committed: Option<Bytes>,
    /// Nothing will follow.
    pub last: bool,
}

impl Shared {
    pub(super) fn new(view: View, queue_bytes_max: usize, dir: PathBuf, lock: FolderLock) -> Self {
        let inner = Inner { view, queue: VecDeque::new(), queue_bytes: 0, committed: None, ended: None };
        Self {
            inner: Mutex::new(inner),
            work: Signal::default(),
            room: Signal::default(),
            queue_bytes_max,
            dir,
            syncs: SyncClock::default(),
            _lock: lock,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in here would have been in the view's own bookkeeping; the process is ending then.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the view and queues the job for it, or calls the job off with the error.
    pub(super) fn enqueue(&self, done: Done, change: impl FnOnce(&mut View) -> Result<Ask, StoreError>) {
        let mut inner = self.lock();
        while inner.ended.is_none() && inner.queue_bytes > self.queue_bytes_max {
            inner = self.room.wait(&self.inner, inner);
        }
        let accepted = match &inner.ended {
            Some(error) => Err(error.clone()),
            None => change(&mut inner.view),
        };
        match accepted {
            Ok(ask) => {
                let job = Job { ask, done };
                inner.queue_bytes += job.bytes();
                inner.queue.push_back(job);
                drop(inner);
                self.work.notify();
            }
            Err(error) => {
                drop(inner);
                done(Err(error));
            }
        }
    }

    /// Waits for work; takes as many jobs as make a group.
    ///
    /// # Errors
    /// The fault that ended the log.
    pub(super) fn next_work(&self, group_bytes_max: usize) -> Result<Work, StoreError> {
        let mut inner = self.lock();
        while inner.queue.is_empty() && inner.ended.is_none() {
            inner = self.work.wait(&self.inner, inner);
        }
        match &inner.ended {
            None | Some(StoreError::Closed) => {}
            Some(fault) => return Err(fault.clone()),
        }
        let mut jobs = Vec::with_capacity(inner.queue.len());
        let mut bytes = 0;
        while let Some(job) = inner.queue.pop_front() {
            bytes += job.bytes();
            jobs.push(job);
            if bytes >= group_bytes_max {
                break;
            }
        }
        inner.queue_bytes -= bytes;
        let last = inner.queue.is_empty() && inner.ended.is_some();
        let committed = inner.committed.take();
        drop(inner);
        self.room.notify();
        Ok(Work { jobs, committed, last })
    }

    /// Whether nothing is queued; takes a commit mark that waits.
    pub(super) fn is_idle(&self) -> (bool, Option<Bytes>) {
        let mut inner = self.lock();
        let idle = inner.queue.is_empty();
        let committed = if idle { inner.committed.take() } else { None };
        (idle, committed)
    }

    /// Accepts nothing more; what is queued is still written.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        if inner.ended.is_none() {
            inner.ended = Some(StoreError::Closed);
        }
        drop(inner);
        self.work.notify();
        self.room.notify();
    }

    /// Ends the log for good: everyone who waits and everyone who comes gets the error.
    pub(super) fn fail(&self, error: &StoreError) {
        let mut inner = self.lock();
        inner.ended = Some(error.clone());
        let jobs = mem::take(&mut inner.queue);
        inner.queue_bytes = 0;
        drop(inner);
        self.work.notify();
        self.room.notify();
        for job in jobs {
            (job.done)(Err(error.clone()));
        }
    }
}
