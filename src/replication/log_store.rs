//! openraft's log storage over [`crate::store::log`].

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use futures::Stream;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{LogId as RaftLogId, OptionalSend};
use tokio::sync::oneshot;

use super::codec;
use super::config::ENTRIES_BYTES_MAX;
use super::fault::{Fault, FaultCell};
use super::types::{Entry, LogId, TypeConfig, Vote};
use crate::core::types::LogIndex;
use crate::store::StoreError;
use crate::store::log::{Done, Log, LogEntry};

/// The log, as openraft wants it. Clones share it.
#[derive(Debug, Clone)]
pub struct LogStore {
    log: Log,
    faults: FaultCell,
}

impl LogStore {
    /// Puts openraft's interface over an open log. Every error is reported as a fault.
    #[must_use]
    pub fn new(log: Log, faults: FaultCell) -> Self {
        Self { log, faults }
    }

    /// Reports the fault, and says it in openraft's words.
    fn fail(&self, error: StoreError) -> io::Error {
        fail(&self.faults, error)
    }

    /// Waits for an operation of the log thread.
    async fn wait(&self, start: impl FnOnce(&Log, Done)) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        // The receiver is gone only when openraft is; nobody needs the answer then.
        start(&self.log, Box::new(move |result| drop(sender.send(result))));
        match receiver.await {
            Ok(result) => result.map_err(|error| self.fail(error)),
            Err(_) => Err(self.fail(StoreError::Closed)),
        }
    }

    /// The entries from `from` on, as many as one step may hold but at least one if there is one.
    fn read_some(&self, from: u64, to: u64) -> io::Result<Vec<Entry>> {
        if from >= to {
            return Ok(Vec::new());
        }
        let found = self.log.read(LogIndex(from), LogIndex(to), ENTRIES_BYTES_MAX).map_err(|error| self.fail(error))?;
        found.into_iter().map(|entry| self.decode(entry)).collect()
    }

    fn decode(&self, entry: LogEntry) -> io::Result<Entry> {
        let index = entry.position.index;
        codec::decode_entry(entry.position, entry.bytes).map_err(|error| {
            self.faults.report(Fault::Entry { index, reason: error.to_string() });
            io::Error::other(error)
        })
    }

    /// The first and the one past the last index of a range, within what the log holds.
    fn clip(&self, range: &impl RangeBounds<u64>) -> (u64, u64) {
        let bounds = self.log.bounds();
        let first = bounds.purged.map_or(0, |purged| purged.index.0 + 1);
        let end = bounds.last.map_or(0, |last| last.index.0 + 1);
        let from = match range.start_bound() {
            Bound::Included(&from) => from,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&to) => to,
            Bound::Unbounded => u64::MAX,
        };
        (from.max(first), to.min(end))
    }
}

/// Reports the fault, and says it in openraft's words.
pub(super) fn fail(faults: &FaultCell, error: StoreError) -> io::Error {
    faults.report(Fault::Store(error.clone()));
    io::Error::other(error)
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let (mut next, to) = self.clip(&range);
        let mut entries = Vec::new();
        while next < to {
            let mut some = self.read_some(next, to)?;
            let Some(last) = some.last() else { break };
            next = last.index() + 1;
            entries.append(&mut some);
        }
        Ok(entries)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let (from, to) = self.clip(&(start..end));
        // Others than those asked for would be taken for them.
        if from == start { self.read_some(from, to) } else { Ok(Vec::new()) }
    }

    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (next, to) = self.clip(&range);
        let steps = StepReader { store: self.clone(), next, to, step: Vec::new().into_iter(), failed: false };
        futures::stream::iter(steps)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        let read = |bytes: bytes::Bytes| codec::decode_vote(&bytes).map_err(io::Error::other);
        self.log.vote().map(read).transpose()
    }
}

/// Reads a range step by step, so that a long one is never in memory whole.
struct StepReader {
    store: LogStore,
    next: u64,
    to: u64,
    step: std::vec::IntoIter<Entry>,
    failed: bool,
}

impl Iterator for StepReader {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.step.next() {
            return Some(Ok(entry));
        }
        if self.failed || self.next >= self.to {
            return None;
        }
        match self.store.read_some(self.next, self.to) {
            Ok(step) => {
                self.next = step.last().map_or(self.to, |last| last.index() + 1);
                self.step = step.into_iter();
                self.step.next().map(Ok)
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let bounds = self.log.bounds();
        Ok(LogState {
            last_purged_log_id: bounds.purged.map(codec::log_id),
            last_log_id: bounds.last.map(codec::log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let bytes = codec::encode_vote(vote);
        self.wait(|log, done| log.save_vote(bytes, done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        if let Some(id) = committed {
            self.log.save_committed(codec::encode_log_id(id));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        let read = |bytes: bytes::Bytes| codec::decode_log_id(&bytes).map_err(io::Error::other);
        self.log.committed().map(read).transpose()
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let encode = |entry: Entry| LogEntry {
            position: codec::position(entry.log_id),
            bytes: codec::encode_payload(&entry.payload),
        };
        let entries: Vec<LogEntry> = entries.into_iter().map(encode).collect();
        let faults = self.faults.clone();
        let done = move |result: Result<(), StoreError>| {
            callback.io_completed(result.map_err(|error| fail(&faults, error)));
        };
        self.log.append(entries, Box::new(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.wait(|log, done| log.truncate_after(last.map(codec::position), done)).await
    }

    async fn purge(&mut self, upto: RaftLogId<openraft::alias::CommittedLeaderIdOf<TypeConfig>>) -> io::Result<()> {
        self.wait(|log, done| log.purge_to(codec::position(upto), done)).await
    }
}
