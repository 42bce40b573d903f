//! The state machine on disk: applies committed log entries to the ledger, and keeps what follows.
//!
//! An [`Engine`] lives on the apply thread. It owns the ledger in memory and writes nothing itself:
//! changed pages, full index tables and the journal's blocks go to the [`Persister`], on a thread of
//! its own, written behind the log. What was not written when the process ends is applied again
//! from the log. Any error is final: the node has to stop, and recovers at the next start.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::checkpoint::Checkpoint;
use super::identity::ClusterId;
use super::image::{Image, PAGE_BYTES_MAX};
use super::index::{FROZEN_TABLES_MAX, IndexReader, IndexWriter, MEMTABLE_ENTRIES};
use super::journal::{Journal, JournalReader};
use super::persister::{Job, Link, Persister, State};
use super::planted::{is_lost, own_time};
use super::recovery::{Folders, Recovered, recover};
use super::snapshot::{ReceivedSnapshot, SnapshotJob, Snapshots};
use super::{Disk, Position, StoreError};
use crate::core::command::Proposal;
use crate::core::event::{Effects, Record};
use crate::core::planted::{self, Mistake};
use crate::core::types::{LogIndex, Sequence, Stamp, Timestamp};
use crate::core::{Ledger, RecordKey, StateDigest};
use crate::machine::Instant;

/// What one committed log entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Nothing: a new leader's first entry.
    Blank,
    /// An encoded [`Proposal`].
    Commands(&'a [u8]),
    /// A membership, whose bytes mean nothing to the store.
    Membership(&'a [u8]),
}

/// How far the state has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The last entry applied; `None` before the first.
    pub position: Option<Position>,
    /// The last membership applied, with the entry that set it.
    pub membership: Option<(Position, Bytes)>,
    /// The last event.
    pub sequence: Sequence,
}

/// What is told after every entry, when all that it did can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The last event.
    pub sequence: Sequence,
    /// The entry.
    pub position: Position,
    /// When the next order or pending transfer is due to expire.
    pub next_deadline: Option<Timestamp>,
}

/// How an engine runs. Sizes are in bytes.
pub struct EngineOptions {
    /// The disk. sled alone goes past it.
    pub disk: Disk,
    /// The cluster, written into snapshots and checked in received ones.
    pub cluster: ClusterId,
    /// What the log no longer holds: a state older than this cannot be brought up from the log.
    pub log_purged: Option<Position>,
    /// How often the state is written.
    pub sync_interval: Duration,
    /// Between two writes of the state pass at least so many times as long as the first one took: what
    /// changes everywhere is written as a whole then, and not page by page for every command.
    pub sync_pause: u32,
    /// Changed pages at half of which the state is written earlier. More than these are too many for one
    /// batch: then all pages go into a fresh database, part by part.
    pub dirty_bytes_max: usize,
    /// Journal blocks not written yet at which the apply thread waits.
    pub journal_backlog_bytes_max: usize,
    /// How long the persister may work on one piece before it is taken for hung.
    pub persister_silence_max: Duration,
    /// Entries at which the newest part of the index leaves memory for a file.
    pub index_table_entries: usize,
    /// Memory for journal blocks that were read.
    pub journal_cache_bytes: usize,
    /// Called on the apply thread after every entry; be brief.
    pub on_published: Box<dyn Fn(Published) + Send>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            disk: Disk::real(),
            cluster: ClusterId::default(),
            log_purged: None,
            sync_interval: Duration::from_millis(500),
            sync_pause: 8,
            dirty_bytes_max: 64 << 20,
            journal_backlog_bytes_max: 64 << 20,
            persister_silence_max: Duration::from_secs(60),
            index_table_entries: MEMTABLE_ENTRIES,
            journal_cache_bytes: 8 << 20,
            on_published: Box::new(|_| {}),
        }
    }
}

impl std::fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineOptions").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// What history is read from, on any thread. Cheap handles.
#[derive(Debug, Clone)]
pub struct Readers {
    /// Every record.
    pub journal: JournalReader,
    /// Where in the journal to look.
    pub index: IndexReader,
}

/// The state's digests at the last applied indexes that are multiples of [`Digests::EVERY`].
#[derive(Debug, Clone, Default)]
pub struct Digests {
    ring: Arc<Mutex<VecDeque<(LogIndex, StateDigest)>>>,
}

impl Digests {
    /// Indexes between two of them.
    pub const EVERY: u64 = 256;

    /// How many are remembered.
    pub const COUNT: usize = 64;

    /// The digests, oldest first.
    #[must_use]
    pub fn recent(&self) -> Vec<(LogIndex, StateDigest)> {
        self.lock().iter().copied().collect()
    }

    fn is_due(index: LogIndex) -> bool {
        index.0.is_multiple_of(Self::EVERY)
    }

    fn note(&self, index: LogIndex, digest: StateDigest) {
        let mut ring = self.lock();
        if ring.len() == Self::COUNT {
            ring.pop_front();
        }
        ring.push_back((index, digest));
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(LogIndex, StateDigest)>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Results handed out that are kept to be used again.
const EFFECTS_KEPT: usize = 64;

/// Records whose places in the pages are asked for at once: few enough that all stay in the cache.
const READ_AHEAD: usize = 128;

/// Changed records at which all of them are written into the pages: they make one pause.
const CHANGES_MAX: usize = 32_768;

/// Journal blocks not written yet at which the persister is woken.
const WRITE_OUT_BYTES: usize = 4 << 20;

/// The ledger with its store. Lives on the apply thread.
#[derive(Debug)]
pub struct Engine {
    ledger: Ledger,
    image: Image,
    position: Option<Position>,
    membership: Option<(Position, Bytes)>,
    journal: Journal,
    index: IndexWriter,
    snapshots: Snapshots,
    digests: Digests,
    link: Arc<Link>,
    options: EngineOptions,
    folders: Folders,
    /// When changes were last handed to the persister, and the position they brought the state to.
    handed_over: (Instant, Option<Position>),
    effects: VecDeque<Arc<Effects>>,
    changes: Vec<RecordKey>,
    /// How many of the ledger's changed records have their pages marked.
    marked: usize,
    record: Vec<u8>,
    failed: Option<StoreError>,
}

impl Engine {
    /// Opens the data folder `dir` and brings the state, journal and index to one point, from which the
    /// log is to be applied again. [`Persister::run`] must be running before the first
    /// [`Engine::apply`].
    ///
    /// # Errors
    /// When the disk fails, or what is damaged cannot be rebuilt from the folder.
    pub fn open(dir: &Path, options: EngineOptions) -> Result<(Self, Persister), StoreError> {
        let folders = Folders::of(dir);
        let Recovered { ledger, image, checkpoint, store, journal, index, files, snapshots, lock } =
            recover(&folders, &options)?;
        let committed = store.as_ref().and(checkpoint.position);
        let link = Arc::new(Link::new(folders.state.clone(), options.persister_silence_max, committed));
        let persister = Persister {
            link: Arc::clone(&link),
            disk: options.disk.clone(),
            folder: folders.state.clone(),
            state: store,
            index: files,
            journal: journal.flusher(),
            _lock: lock,
        };
        let fresh = persister.state.is_none();
        let mut engine = Self {
            ledger,
            image,
            position: checkpoint.position,
            membership: checkpoint.membership,
            journal,
            index,
            snapshots,
            digests: Digests::default(),
            link,
            options,
            folders,
            handed_over: (Instant::now(), checkpoint.position),
            effects: VecDeque::with_capacity(EFFECTS_KEPT),
            changes: Vec::new(),
            marked: 0,
            record: Vec::new(),
            failed: None,
        };
        if fresh {
            engine.hand_over_everything();
        }
        Ok((engine, persister))
    }

    /// The last entry applied; `None` before the first.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// How far the state has come.
    #[must_use]
    pub fn applied(&self) -> Applied {
        Applied { position: self.position, membership: self.membership.clone(), sequence: self.ledger.sequence() }
    }

    /// Applies the next committed entry. Waits while the persister is too far behind.
    ///
    /// # Errors
    /// A fault of the disk, of the persister, or an entry that cannot be one. The node must stop;
    /// every later call fails too.
    pub fn apply(&mut self, position: Position, payload: Payload<'_>) -> Result<Arc<Effects>, StoreError> {
        self.check()?;
        let result = self.try_apply(position, payload);
        self.keep_fault(result)
    }

    fn try_apply(&mut self, position: Position, payload: Payload<'_>) -> Result<Arc<Effects>, StoreError> {
        if let Some(last) = self.position
            && (position.index.0 != last.index.0 + 1 || position.term < last.term)
        {
            return Err(StoreError::BadEntry { position, reason: format!("the last one was {last}") });
        }
        let mut effects = self.take_effects();
        let target = Arc::make_mut(&mut effects);
        match payload {
            Payload::Blank => {}
            Payload::Commands(bytes) => self.carry_out(position, bytes, target)?,
            Payload::Membership(bytes) => self.membership = Some((position, Bytes::copy_from_slice(bytes))),
        }
        self.position = Some(position);
        self.mark_pages();
        if Digests::is_due(position.index) {
            self.write_pages();
            self.digests.note(position.index, self.image.digest());
        }
        (self.options.on_published)(Published {
            sequence: self.ledger.sequence(),
            position,
            next_deadline: self.ledger.next_deadline(),
        });
        self.keep_up()?;
        self.effects.push_back(Arc::clone(&effects));
        Ok(effects)
    }

    /// An empty one, without allocation when an old one is no longer in use.
    fn take_effects(&mut self) -> Arc<Effects> {
        if self.effects.len() >= EFFECTS_KEPT
            && let Some(mut old) = self.effects.pop_front()
            && let Some(effects) = Arc::get_mut(&mut old)
        {
            effects.clear();
            return old;
        }
        Arc::default()
    }

    fn carry_out(&mut self, position: Position, bytes: &[u8], effects: &mut Effects) -> Result<(), StoreError> {
        let (proposal, fingerprints) = Proposal::from_bytes_fingerprinted(bytes)
            .map_err(|error| StoreError::BadEntry { position, reason: error.to_string() })?;
        let time = if planted::is(Mistake::OwnClock) { own_time() } else { proposal.time };
        let stamp = Stamp { term: position.term, index: position.index, time };
        let mut past = self.index.past();
        self.ledger.apply_fingerprinted(stamp, &proposal, &fingerprints, &mut past, effects);
        past.check()?;
        // Before the index is let go of: who finds a command there can read its record.
        self.journal.append_all(effects.records());
        if let Some(full) = past.note(effects) {
            self.link.push(Job::Table(full));
        }
        Ok(())
    }

    /// Marks the pages of what changed, so that it is known how much there is to write.
    fn mark_pages(&mut self) {
        let changes = self.ledger.changes();
        changes[self.marked..].iter().for_each(|key| self.image.mark(*key));
        self.marked = changes.len();
        if self.marked >= CHANGES_MAX {
            self.write_pages();
        }
    }

    /// Brings the pages up to the ledger. What many commands change in a short time is written once: nobody
    /// looks at the pages, nor at their digest, but here and there.
    fn write_pages(&mut self) {
        self.changes.clear();
        self.ledger.take_changes(&mut self.changes);
        // What stands side by side in the ledger does so in the pages.
        self.changes.sort_unstable();
        self.marked = 0;
        for keys in self.changes.chunks(READ_AHEAD) {
            self.image.read_ahead(keys);
            for key in keys {
                if planted::is(Mistake::DigestsNotCompared) && is_lost() {
                    continue;
                }
                self.record.clear();
                self.ledger.encode_record(*key, &mut self.record);
                self.image.write(*key, &self.record);
            }
        }
    }

    /// Hands over what is due.
    fn keep_up(&mut self) -> Result<(), StoreError> {
        let elapsed = self.handed_over.0.elapsed();
        let due = elapsed >= self.options.sync_interval || self.dirty_bytes() >= self.options.dirty_bytes_max / 2;
        if due
            && self.handed_over.1 != self.position
            && self.link.rested().is_some_and(|took| elapsed >= took * self.options.sync_pause)
        {
            self.hand_over_changes();
        }
        self.bound_backlog()
    }

    fn dirty_bytes(&self) -> usize {
        self.image.dirty_count() * PAGE_BYTES_MAX
    }

    /// Waits while too much of the journal or the index is unwritten.
    fn bound_backlog(&self) -> Result<(), StoreError> {
        let backlog = self.journal.backlog_bytes();
        if backlog >= WRITE_OUT_BYTES {
            self.link.request_write_out();
        }
        let bounded = || {
            self.journal.backlog_bytes() < self.options.journal_backlog_bytes_max
                && self.index.frozen_count() < FROZEN_TABLES_MAX
        };
        if bounded() { Ok(()) } else { self.link.wait_until(bounded) }
    }

    fn hand_over_changes(&mut self) {
        self.write_pages();
        if self.dirty_bytes() > self.options.dirty_bytes_max || self.link.take_bloated() {
            return self.hand_over_everything();
        }
        let pages = self.image.take_dirty();
        let state = State { pages, checkpoint: self.checkpoint(), live_pages: self.image.page_count() };
        self.link.push(Job::Changes(state));
        self.handed_over = (Instant::now(), self.position);
    }

    fn hand_over_everything(&mut self) {
        self.write_pages();
        let pages = self.image.take_all();
        let state = State { live_pages: pages.len(), pages, checkpoint: self.checkpoint() };
        self.link.push(Job::Everything(state));
        self.handed_over = (Instant::now(), self.position);
    }

    /// Of the pages, which must be up to the ledger.
    fn checkpoint(&self) -> Checkpoint {
        debug_assert!(self.ledger.changes().is_empty(), "a checkpoint is of what the pages hold");
        Checkpoint {
            position: self.position,
            membership: self.membership.clone(),
            sequence: self.ledger.sequence(),
            digest: self.image.digest(),
            records: self.image.record_count(),
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None => self.link.check(),
        }
    }

    /// After a fault the memory may be ahead of what was told: nothing may go on from it.
    fn keep_fault<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    /// To be called when there is nothing to apply, about once a second: writes what is due, and finds
    /// a persister that failed.
    ///
    /// # Errors
    /// As [`Engine::apply`].
    pub fn idle(&mut self) -> Result<(), StoreError> {
        self.check()?;
        let result = self.keep_up();
        self.keep_fault(result)
    }

    /// Writes everything and ends the persister. Not needed for safety; the next start is faster.
    ///
    /// # Errors
    /// As [`Engine::apply`].
    pub fn close(mut self) -> Result<(), StoreError> {
        self.check()?;
        self.link.wait_until(|| self.link.is_idle())?;
        if self.handed_over.1 != self.position {
            self.hand_over_changes();
            self.link.wait_until(|| self.link.is_idle())?;
        }
        self.link.close();
        self.link.wait_until(|| self.link.has_ended())
    }

    /// The live state.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The digest of the live state. Takes as long as what changed since the pages were written.
    #[must_use]
    pub fn digest(&self) -> StateDigest {
        self.sums().0
    }

    /// How many records the live state has.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        self.sums().1
    }

    fn sums(&self) -> (StateDigest, u64) {
        self.image.sums_with(self.ledger.changes(), |key, out| self.ledger.encode_record(key, out))
    }

    /// The recent digests, to be compared with other nodes'.
    #[must_use]
    pub fn digests(&self) -> Digests {
        self.digests.clone()
    }

    /// What history is read from.
    #[must_use]
    pub fn readers(&self) -> Readers {
        Readers { journal: self.journal.reader(), index: self.index.reader() }
    }

    /// The snapshot files.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots {
        self.snapshots.clone()
    }

    /// Takes the state as it is now, without copying it, to be written by [`SnapshotJob::run`] on
    /// another thread. Only of use once an entry was applied.
    #[must_use]
    pub fn begin_snapshot(&mut self) -> SnapshotJob {
        if self.handed_over.1 != self.position {
            self.hand_over_changes();
        }
        self.write_pages();
        SnapshotJob {
            link: Arc::clone(&self.link),
            snapshots: self.snapshots.clone(),
            pages: self.image.share_all(),
            checkpoint: self.checkpoint(),
            journal: self.journal.flusher(),
        }
    }

    /// Replaces the state by a received snapshot, and appends the journal records that came with it.
    /// A crash at any moment leaves either the old state or the new one.
    ///
    /// # Errors
    /// As [`Engine::apply`]; also when the snapshot is not newer than the state or does not fit
    /// the journal.
    pub fn install(&mut self, received: ReceivedSnapshot) -> Result<(), StoreError> {
        self.check()?;
        if received.checkpoint().position <= self.position {
            return Err(StoreError::Malformed { reason: "the snapshot is not newer than the state".to_owned() });
        }
        let result = self.try_install(received);
        self.keep_fault(result)
    }

    fn try_install(&mut self, received: ReceivedSnapshot) -> Result<(), StoreError> {
        let checkpoint = received.checkpoint();
        // First the journal: records behind the old state's sequence are cut at a start, so a crash
        // before the snapshot has its name leaves the old state.
        received.for_each_record(|record| self.append_received(&record))?;
        let (have, need) = (self.journal.last_sequence(), checkpoint.sequence);
        if have != need {
            return Err(StoreError::JournalShort { path: self.folders.journal.clone(), have, need });
        }
        self.journal.flusher().sync(need)?;
        // With its name the snapshot is newer than the stored state: from now on a start takes it.
        let (checkpoint, image, ledger) = received.adopt(&self.snapshots)?;
        self.ledger = ledger;
        self.image = image;
        self.marked = 0;
        self.position = checkpoint.position;
        if !planted::is(Mistake::SnapshotMembershipForgotten) {
            self.membership = checkpoint.membership;
        }
        self.link.wait_until(|| self.link.is_idle())?;
        self.hand_over_everything();
        if let Some(position) = self.position {
            let (sequence, next_deadline) = (self.ledger.sequence(), self.ledger.next_deadline());
            (self.options.on_published)(Published { sequence, position, next_deadline });
        }
        Ok(())
    }

    fn append_received(&mut self, record: &Record) -> Result<(), StoreError> {
        let expected = self.journal.last_sequence().plus(1);
        if record.sequence < expected {
            return Ok(());
        }
        if record.sequence > expected {
            return Err(StoreError::RecordOutOfOrder { expected, found: record.sequence });
        }
        self.journal.append(record.view());
        if planted::is(Mistake::SnapshotIdsForgotten) {
            return self.bound_backlog();
        }
        if let Some(full) = self.index.note_record(record.view()) {
            self.link.push(Job::Table(full));
        }
        self.bound_backlog()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.link.close();
    }
}
