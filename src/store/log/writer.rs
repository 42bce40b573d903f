//! The log thread: takes what is queued, writes it as one group, syncs once, tells everyone.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};

use bytes::Bytes;

use super::shared::{Ask, Shared, Work};
use super::spares::{self, Spares};
use super::view::Place;
use super::{Done, LogOptions, files};
use crate::core::planted::{self, Mistake};
use crate::core::types::LogIndex;
use crate::machine;
use crate::store::file::Access;
use crate::store::segment::{self, Kind, RECORD_HEADER_BYTES, Record, SEGMENT_HEADER_BYTES, Segment, record_bytes};
use crate::store::vote::VoteFile;
use crate::store::{Position, StoreError};

/// The marks that every segment begins with, as of the last record written.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    pub vote: Option<Bytes>,
    pub committed: Option<Bytes>,
    pub purged: Option<Position>,
}

impl Marks {
    pub(super) fn records(&self) -> Vec<Record<'_>> {
        let record = |kind, position, payload| Record { kind, position, synced_before: 0, payload };
        let mut records = Vec::with_capacity(3);
        records.extend(self.vote.as_ref().map(|vote| record(Kind::Vote, Position::default(), vote)));
        records.extend(self.committed.as_ref().map(|mark| record(Kind::Committed, Position::default(), mark)));
        records.extend(self.purged.map(|purged| record(Kind::Purge, purged, &[][..])));
        records
    }
}

/// A segment with the highest index of an entry in it, so that it is known when it can go.
#[derive(Debug)]
pub(super) struct Used {
    pub segment: Arc<Segment>,
    pub index_max: Option<LogIndex>,
}

/// Where the next record goes.
#[derive(Debug)]
pub(super) struct Tail {
    /// The end of what is written in the active segment.
    pub offset: u64,
    /// The end of what is durable in it.
    pub synced: u64,
}

/// An entry that was written in this group.
struct Placed {
    index: LogIndex,
    serial: u64,
    place: Place,
}

/// The body of the log thread.
pub struct LogWriter {
    pub(super) shared: Arc<Shared>,
    pub(super) options: LogOptions,
    pub(super) spares: Spares,
    /// Every segment, oldest first; the last one is active.
    pub(super) segments: VecDeque<Used>,
    pub(super) tail: Tail,
    pub(super) marks: Marks,
    /// The vote's second copy, if there is to be one.
    pub(super) vote_file: Option<VoteFile>,
    /// Encoded records that go to the tail.
    pub(super) buffer: Vec<u8>,
}

impl std::fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "writer of the {:?}", self.shared)
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        // However the thread ends, nobody may wait for it for ever.
        let ended = self.shared.lock().ended.clone();
        self.shared.fail(&ended.unwrap_or(StoreError::Closed));
    }
}

/// The largest content of an entry in segments of this size, in bytes.
pub(super) fn entry_bytes_max(segment_bytes: u64) -> u64 {
    // The marks at the head of a segment take far less than a quarter of it.
    segment_bytes / 4 * 3 - SEGMENT_HEADER_BYTES as u64 - 2 * RECORD_HEADER_BYTES as u64
}

impl LogWriter {
    /// Writes and syncs what is asked of the log until it is closed or fails.
    ///
    /// # Errors
    /// The error that ended it, which every waiting and later caller got too. The node must stop.
    pub fn run(mut self) -> Result<(), StoreError> {
        let result = self.run_with_spares();
        if let Err(error) = &result {
            self.shared.fail(error);
        }
        result
    }

    fn run_with_spares(&mut self) -> Result<(), StoreError> {
        let (tasks, tasks_out) = mpsc::channel();
        let (answers_in, answers) = mpsc::channel();
        let disk = self.options.disk.clone();
        let segment_bytes = self.options.segment_bytes;
        // A helper that panics ends without a word.
        let (ended_in, ended) = mpsc::sync_channel(1);
        let helper = move || {
            spares::serve(&disk, segment_bytes, &tasks_out, &answers_in);
            let _ = ended_in.send(());
        };
        machine::spawn("log-spares", helper)
            .map_err(|error| StoreError::io("start a thread for", &self.shared.dir, error))?;
        let result = self.spares.start(tasks, answers).and_then(|()| self.serve());
        self.spares.stop();
        let helped = machine::receive(&ended).map_err(|_| StoreError::Closed);
        result.and(helped)
    }

    fn serve(&mut self) -> Result<(), StoreError> {
        while self.turn()? {}
        Ok(())
    }

    /// Waits for work and does it. Returns whether more may follow.
    fn turn(&mut self) -> Result<bool, StoreError> {
        let work = self.shared.next_work(self.options.group_bytes_max)?;
        let last = work.last;
        self.group(work)?;
        if last {
            self.finish()?;
        } else {
            self.rest()?;
        }
        Ok(!last)
    }

    /// Does what was asked of the log since the last call, on this thread: for tests that want everything
    /// in one order. Something must have been asked, or the log been closed.
    #[cfg(test)]
    pub(in crate::store) fn step(&mut self) -> Result<(), StoreError> {
        let (disk, segment_bytes) = (self.options.disk.clone(), self.options.segment_bytes);
        let result = self.spares.start_here(&disk, segment_bytes).and_then(|()| self.turn());
        if let Err(error) = &result {
            self.shared.fail(error);
        }
        result.map(drop)
    }

    /// Writes and syncs one group, then tells those who wait.
    fn group(&mut self, work: Work) -> Result<(), StoreError> {
        let mut placed = Vec::new();
        let mut waiting = Vec::with_capacity(work.jobs.len());
        let written = self.write_group(work, &mut placed, &mut waiting);
        if let Err(error) = written {
            self.shared.fail(&error);
            for done in waiting {
                done(Err(error.clone()));
            }
            return Err(error);
        }
        let mut inner = self.shared.lock();
        for entry in placed {
            inner.view.place(entry.index, entry.serial, entry.place);
        }
        inner.view.shrink_cache();
        drop(inner);
        for done in waiting {
            done(Ok(()));
        }
        self.release_purged()
    }

    fn write_group(&mut self, work: Work, placed: &mut Vec<Placed>, waiting: &mut Vec<Done>) -> Result<(), StoreError> {
        // All callbacks first: whatever fails below, each of them is told.
        let mut asks = Vec::with_capacity(work.jobs.len());
        for job in work.jobs {
            waiting.push(job.done);
            asks.push(job.ask);
        }
        let mut voted = false;
        for ask in asks {
            match ask {
                Ask::Append { entries, first_serial } => {
                    for (entry, serial) in entries.iter().zip(first_serial..) {
                        let place = self.put(Kind::Entry, entry.position, &entry.bytes)?;
                        let index = entry.position.index;
                        placed.push(Placed { index, serial, place });
                        if let Some(active) = self.segments.back_mut() {
                            active.index_max = active.index_max.max(Some(index));
                        }
                    }
                }
                Ask::Vote(_) if planted::is(Mistake::VoteNotKept) => {}
                Ask::Truncate(_) if planted::is(Mistake::TruncationForgotten) => {}
                Ask::Vote(vote) => {
                    self.put(Kind::Vote, Position::default(), &vote)?;
                    self.marks.vote = Some(vote);
                    voted = true;
                }
                Ask::Truncate(Some(last)) => drop(self.put(Kind::Truncate, last, &[])?),
                Ask::Truncate(None) => drop(self.put(Kind::TruncateAll, Position::default(), &[])?),
                Ask::Purge(position) => {
                    self.put(Kind::Purge, position, &[])?;
                    if self.marks.purged.is_none_or(|purged| purged.index < position.index) {
                        self.marks.purged = Some(position);
                    }
                }
            }
        }
        self.put_committed(work.committed)?;
        if planted::is(Mistake::AcknowledgedBeforeSync) {
            waiting.drain(..).for_each(|done| done(Ok(())));
        }
        self.sync()?;
        // Behind the log, so that a copy that is newer says that the log has lost something.
        match (&mut self.vote_file, &self.marks.vote) {
            (Some(file), Some(vote)) if voted => file.write(vote),
            _ => Ok(()),
        }
    }

    fn put_committed(&mut self, committed: Option<Bytes>) -> Result<(), StoreError> {
        let Some(committed) = committed else { return Ok(()) };
        self.put(Kind::Committed, Position::default(), &committed)?;
        self.marks.committed = Some(committed);
        Ok(())
    }

    fn active(&self) -> Arc<Segment> {
        Arc::clone(&self.segments.back().expect("there is always an active segment").segment)
    }

    /// Adds a record to the group, in the next segment when this one is full.
    fn put(&mut self, kind: Kind, position: Position, payload: &[u8]) -> Result<Place, StoreError> {
        let max = entry_bytes_max(self.options.segment_bytes);
        if payload.len() as u64 > max {
            return Err(StoreError::TooLarge { bytes: payload.len() as u64, max });
        }
        let needed = (record_bytes(payload.len()) + RECORD_HEADER_BYTES) as u64;
        if self.tail.offset + self.buffer.len() as u64 + needed > self.active().bytes {
            self.rotate()?;
        }
        Ok(self.encode(kind, position, payload))
    }

    fn encode(&mut self, kind: Kind, position: Position, payload: &[u8]) -> Place {
        let generation = self.active().generation;
        let offset = self.tail.offset + self.buffer.len() as u64;
        let record = Record { kind, position, synced_before: self.tail.synced, payload };
        segment::encode_record(&mut self.buffer, generation, offset, &record);
        Place { generation, offset: offset as u32 }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.active().file.write_at(&self.buffer, self.tail.offset)?;
        self.tail.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.write()?;
        if self.tail.synced < self.tail.offset {
            let active = self.active();
            self.shared.syncs.time(|| active.file.sync())?;
            self.tail.synced = self.tail.offset;
        }
        Ok(())
    }

    /// Goes on to the next segment. The order matters: see [`segment`].
    fn rotate(&mut self) -> Result<(), StoreError> {
        let active = self.active();
        let spare = self.spares.take()?;
        let disk = &self.options.disk;
        let generation = active.generation + 1;
        let header = segment::encode_header(generation, self.options.segment_bytes, &self.marks.records());
        let file = disk.open(&spare, Access::Write)?;
        file.write_at(&header, 0)?;
        file.sync()?;
        drop(file);
        let path = files::segment_path(&self.shared.dir, generation);
        disk.rename(&spare, &path)?;
        let file = disk.open(&path, Access::Write)?;
        self.encode(Kind::Seal, Position::default(), &[]);
        self.sync()?;
        let heads_end = header.len() as u64;
        self.tail = Tail { offset: heads_end, synced: heads_end };
        let segment = Arc::new(Segment { generation, bytes: self.options.segment_bytes, file });
        self.shared.lock().view.segments.insert(generation, Arc::clone(&segment));
        self.segments.push_back(Used { segment, index_max: None });
        Ok(())
    }

    /// Lets go of the segments whose entries are all purged, oldest first.
    fn release_purged(&mut self) -> Result<(), StoreError> {
        let Some(purged) = self.marks.purged else { return Ok(()) };
        while self.segments.len() > 1 && self.segments[0].index_max.is_none_or(|index| index <= purged.index) {
            let Some(used) = self.segments.pop_front() else { break };
            self.shared.lock().view.segments.remove(&used.segment.generation);
            let path = files::segment_path(&self.shared.dir, used.segment.generation);
            let unread = Arc::strong_count(&used.segment) == 1;
            let whole = unread && used.segment.bytes == self.options.segment_bytes;
            drop(used);
            self.spares.give_back(path, whole)?;
        }
        Ok(())
    }

    /// When nothing is queued: notes behind the last record that all before is durable, so that
    /// damage to the last group is told from a torn tail. Needs no sync; without it, nothing is lost.
    fn rest(&mut self) -> Result<(), StoreError> {
        let (idle, committed) = self.shared.is_idle();
        if !idle {
            return Ok(());
        }
        self.put_committed(committed)?;
        self.write()?;
        self.mark()
    }

    fn mark(&mut self) -> Result<(), StoreError> {
        self.encode(Kind::Mark, Position::default(), &[]);
        self.active().file.write_at(&self.buffer, self.tail.offset)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        self.sync()?;
        self.mark()?;
        segment::note_durable(&self.active().file, self.tail.offset)?;
        self.active().file.sync()
    }
}
