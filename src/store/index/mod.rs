//! The index: which commands were ever used, and where in the journal to look.
//!
//! All of it follows from the journal and can be rebuilt from it. New entries stand in memory
//! ([`memtable`]); full tables become immutable sorted files ([`run`]), which are merged as they grow
//! ([`files`]). One [`IndexWriter`] on the apply thread adds, one [`IndexFiles`] on the persister
//! thread writes files, any number of [`IndexReader`]s read.

mod bloom;
mod files;
mod filter;
mod footer;
mod key;
mod memtable;
mod piece;
mod run;
mod run_writer;
mod scan;

use std::cell::{LazyCell, OnceCell};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use files::{IndexFiles, open_runs, salvage};
#[cfg(any(test, feature = "testing"))]
pub(super) use footer::Footer;
pub use key::HistoryKey;
#[cfg(test)]
pub(super) use key::for_each_history;
use key::{Entry, IdSpans, KeyBytes, Sought, sequence_of};
pub use memtable::Memtable;
#[cfg(any(test, feature = "testing"))]
pub(super) use piece::seal as seal_piece;
pub use run::{Run, RunName};

use super::StoreError;
use crate::core::command::CommandKey;
use crate::core::event::{Effects, RecordView};
use crate::core::types::Sequence;
use crate::core::{History, Used};

/// Entries at which the table in memory is closed and written as a run: some 10 MB. Larger ones are merged less often,
/// but what is looked up in them is farther from the processor; see docs/PERFORMANCE.md.
pub const MEMTABLE_ENTRIES: usize = 100_000;

/// Closed tables not written yet at which the apply thread waits for the persister.
pub const FROZEN_TABLES_MAX: usize = 4;

/// Which way a history is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From old to new.
    Forward,
    /// From new to old.
    Backward,
}

/// The parts of the index, from new to old.
#[derive(Debug)]
struct Parts {
    active: Memtable,
    /// Closed tables, oldest first.
    frozen: Vec<Arc<Memtable>>,
    /// Runs, oldest first.
    runs: Arc<Vec<Arc<Run>>>,
    /// The ids of all runs: a fresh one that lies above them needs to ask none.
    run_ids: IdSpans,
}

type Shared = Arc<RwLock<Parts>>;

// A panic while the lock is held ends the process in release builds. In tests, where it does not, a proposal that was
// being applied may have left commands without their histories: the engine is gone then, and no one goes on with them.
fn read(shared: &Shared) -> RwLockReadGuard<'_, Parts> {
    shared.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(shared: &Shared) -> RwLockWriteGuard<'_, Parts> {
    shared.write().unwrap_or_else(PoisonError::into_inner)
}

impl Parts {
    fn find_in_memory(&self, key: &CommandKey) -> Option<Used> {
        let in_frozen = || self.frozen.iter().rev().find_map(|table| table.find(key));
        self.active.find(key).or_else(in_frozen)
    }

    fn find(&self, key: &CommandKey) -> Result<Option<Used>, StoreError> {
        match self.find_in_memory(key) {
            None if !self.run_ids.span(key) => Ok(None),
            None => find_in_runs(&self.runs, key),
            found => Ok(found),
        }
    }

    fn set_runs(&mut self, runs: Vec<Arc<Run>>) {
        self.run_ids = IdSpans::default();
        runs.iter().for_each(|run| self.run_ids.widen(run.ids()));
        self.runs = Arc::new(runs);
    }
}

/// The newest first: what is asked for again is mostly what was asked for lately.
fn find_in_runs(runs: &[Arc<Run>], key: &CommandKey) -> Result<Option<Used>, StoreError> {
    // A fresh id of a client whose ids rise lies in the span of no run, and needs no more than that.
    let sought = LazyCell::new(|| Sought::from(key));
    for run in runs.iter().rev().filter(|run| run.spans(key)) {
        if let Some(used) = run.find(&sought)? {
            return Ok(Some(used));
        }
    }
    Ok(None)
}

/// Reads the index, on any thread. A cheap handle.
#[derive(Debug, Clone)]
pub struct IndexReader {
    shared: Shared,
}

impl IndexReader {
    /// The command that has this key.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn find(&self, key: &CommandKey) -> Result<Option<Used>, StoreError> {
        // A reader does not wait for the disk with the lock in hand; the apply thread does, when a proposal asks runs.
        let runs = {
            let parts = read(&self.shared);
            match parts.find_in_memory(key) {
                None => Arc::clone(&parts.runs),
                found => return Ok(found),
            }
        };
        find_in_runs(&runs, key)
    }

    /// Up to `limit` events of a history, from the event `from` on, itself included, in the order of
    /// the direction.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn scan(
        &self,
        key: HistoryKey,
        from: Sequence,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Sequence>, StoreError> {
        let forward = direction == Direction::Forward;
        let (mut newest, runs) = {
            let parts = read(&self.shared);
            let mut newest = Vec::new();
            let tables = parts.frozen.iter().map(Arc::as_ref).chain(std::iter::once(&parts.active));
            // In the order of the direction, so that what is enough comes first.
            let mut tables: Vec<&Memtable> = tables.collect();
            if !forward {
                tables.reverse();
            }
            for table in tables {
                if newest.len() >= limit {
                    break;
                }
                let start = newest.len();
                let events = table.history_backward(&key);
                if forward {
                    newest.extend(events.take_while(|event| *event >= from));
                    newest[start..].reverse();
                    newest.truncate(limit);
                } else {
                    newest.extend(events.skip_while(|event| *event > from).take(limit));
                }
            }
            (newest, Arc::clone(&parts.runs))
        };
        let mut found = Vec::new();
        if forward {
            for run in runs.iter().filter(|run| run.name().last >= from) {
                scan_run(run, key, from, direction, limit, &mut found)?;
            }
            found.append(&mut newest);
        } else {
            found.append(&mut newest);
            for run in runs.iter().rev().filter(|run| run.name().first <= from) {
                scan_run(run, key, from, direction, limit, &mut found)?;
            }
        }
        found.truncate(limit);
        Ok(found)
    }
}

/// Adds the run's events of the history to `found`, until there are `limit`.
fn scan_run(
    run: &Run,
    key: HistoryKey,
    from: Sequence,
    direction: Direction,
    limit: usize,
    found: &mut Vec<Sequence>,
) -> Result<(), StoreError> {
    if found.len() >= limit {
        return Ok(());
    }
    let key = KeyBytes::from(key);
    let bound = match direction {
        Direction::Forward => from,
        Direction::Backward => Sequence(from.0.saturating_add(1)),
    };
    let mut cursor = run.seek(Entry::event(&key, bound).as_slice())?;
    while found.len() < limit {
        let entry = match direction {
            Direction::Forward => cursor.next(run)?,
            Direction::Backward => cursor.previous(run)?,
        };
        let Some(sequence) = entry.and_then(|entry| sequence_of(entry.as_slice(), &key)) else { break };
        found.push(sequence);
    }
    Ok(())
}

/// Adds to the index, on the apply thread.
#[derive(Debug)]
pub struct IndexWriter {
    shared: Shared,
    table_entries: usize,
}

impl IndexWriter {
    /// An index of these runs, oldest first and without gaps; new entries follow them. A table in
    /// memory is closed at `table_entries`.
    #[must_use]
    pub fn new(runs: Vec<Run>, table_entries: usize) -> Self {
        let last = runs.last().map_or(Sequence(0), |run| run.name().last);
        let mut parts = Parts {
            active: Memtable::new(last),
            frozen: Vec::new(),
            runs: Arc::default(),
            run_ids: IdSpans::default(),
        };
        parts.set_runs(runs.into_iter().map(Arc::new).collect());
        Self { shared: Arc::new(RwLock::new(parts)), table_entries }
    }

    /// What reads it.
    #[must_use]
    pub fn reader(&self) -> IndexReader {
        IndexReader { shared: Arc::clone(&self.shared) }
    }

    /// The last event that is indexed.
    #[must_use]
    pub fn last(&self) -> Sequence {
        read(&self.shared).active.last()
    }

    /// How many closed tables wait to be written.
    #[must_use]
    pub fn frozen_count(&self) -> usize {
        read(&self.shared).frozen.len()
    }

    /// What the ledger asks while it applies one proposal, and where it puts the commands it carried out. Their
    /// records are to follow by [`Past::note`]. Who reads the index meanwhile waits.
    pub fn past(&mut self) -> Past<'_> {
        Past { parts: write(&self.shared), table_entries: self.table_entries, fault: OnceCell::new() }
    }

    /// Adds the entries of one record. Returns the table that became full by it, if one did: to be given to
    /// [`IndexFiles::write_table`].
    pub fn note_record(&mut self, record: RecordView<'_>) -> Option<Arc<Memtable>> {
        let mut parts = write(&self.shared);
        parts.active.note(std::iter::once(record));
        parts.freeze_at(self.table_entries)
    }
}

impl Parts {
    fn freeze_at(&mut self, entries: usize) -> Option<Arc<Memtable>> {
        if self.active.len() < entries {
            return None;
        }
        let next = Memtable::new(self.active.last());
        let full = Arc::new(std::mem::replace(&mut self.active, next));
        self.frozen.push(Arc::clone(&full));
        Some(full)
    }
}

/// The index as the ledger asks it while it applies one proposal.
#[derive(Debug)]
pub struct Past<'a> {
    parts: RwLockWriteGuard<'a, Parts>,
    table_entries: usize,
    fault: OnceCell<StoreError>,
}

impl Past<'_> {
    /// Whether all that was asked was answered rightly: else nothing of the proposal counts, and the node must stop.
    ///
    /// # Errors
    /// The first error that made an answer wrong.
    pub fn check(&mut self) -> Result<(), StoreError> {
        self.fault.take().map_or(Ok(()), Err)
    }

    /// Adds the histories of what the proposal did; its commands stand here since they were remembered. Returns the
    /// table that became full by it, if one did: to be given to [`IndexFiles::write_table`].
    pub fn note(mut self, effects: &Effects) -> Option<Arc<Memtable>> {
        self.parts.active.note_histories(effects.records());
        self.parts.freeze_at(self.table_entries)
    }
}

impl History for Past<'_> {
    fn find(&self, key: &CommandKey) -> Option<Used> {
        self.parts.find(key).unwrap_or_else(|error| {
            self.fault.get_or_init(|| error);
            None
        })
    }

    fn remember(&mut self, key: CommandKey, used: Used) {
        self.parts.active.note_command(key, used);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Disk;
    use super::files::IndexFiles;
    use super::*;
    use crate::core::command::{Scope, Transfer, TransferMode};
    use crate::core::event::{Event, EventBody, Origin, Posting, Record, Transferred};
    use crate::core::types::{AccountId, Amount, AssetId, CommandId, LogIndex, Stamp, Term, Timestamp};

    const ASSET: AssetId = AssetId(1);

    fn key(number: u64) -> CommandKey {
        CommandKey { scope: Scope::Transfer, account: AccountId(0), id: CommandId(u128::from(number) << 64 | 5) }
    }

    /// A transfer from account `number % 7 + 1` to account 9.
    fn record(number: u64) -> Record {
        let debit = AccountId(number % 7 + 1);
        let transfer = Transfer {
            debit,
            credit: AccountId(9),
            asset: ASSET,
            amount: Amount(1),
            mode: TransferMode::Immediate,
            user_data: 0,
            code: 0,
        };
        let posting = |account| Posting {
            account,
            asset: ASSET,
            amount: Amount(1),
            hold: Amount(0),
            posted: Amount(0),
            reserved: Amount(0),
        };
        let body = EventBody::Transferred(Transferred { id: key(number).id, transfer });
        Record {
            sequence: Sequence(number),
            stamp: Stamp { term: Term(1), index: LogIndex(number), time: Timestamp(number) },
            origin: Some(Origin { key: key(number), fingerprint: number * 3 }),
            events: vec![Event { body, postings_end: 2 }],
            postings: vec![posting(debit), posting(AccountId(9))],
        }
    }

    /// 4,000 records in tables of 300 entries, the older ones merged.
    fn filled(folder: &std::path::Path) -> (IndexWriter, IndexFiles) {
        let mut writer = IndexWriter::new(Vec::new(), 300);
        let mut files = IndexFiles::new(&Disk::real(), folder, &writer);
        for number in 1..=4_000 {
            if let Some(full) = writer.note_record(record(number).view()) {
                files.write_table(&full).expect("written");
                while files.merge_step(100).expect("merged") {}
            }
        }
        (writer, files)
    }

    fn check(reader: &IndexReader, count: u64) {
        for number in 1..=count {
            let used = Used { fingerprint: number * 3, sequence: Sequence(number) };
            assert_eq!(reader.find(&key(number)).expect("readable"), Some(used), "{number}");
        }
        assert_eq!(reader.find(&key(count + 1)).expect("readable"), None);
        let mine: Vec<Sequence> = (1..=count).filter(|number| number % 7 == 2).map(Sequence).collect();
        let history = HistoryKey::Postings(AccountId(3), ASSET);
        let all = reader.scan(history, Sequence(0), Direction::Forward, usize::MAX).expect("readable");
        assert_eq!(all, mine);
        for (place, from) in mine.iter().enumerate().step_by(41) {
            let page = reader.scan(history, *from, Direction::Forward, 5).expect("readable");
            assert_eq!(page, mine[place..(place + 5).min(mine.len())]);
            let page = reader.scan(history, *from, Direction::Backward, 5).expect("readable");
            let before: Vec<_> = mine[..=place].iter().rev().take(5).copied().collect();
            assert_eq!(page, before);
        }
        let other = HistoryKey::Postings(AccountId(3), AssetId(2));
        assert!(reader.scan(other, Sequence(u64::MAX), Direction::Backward, 9).expect("readable").is_empty());
    }

    #[test]
    fn what_was_noted_is_found_in_memory_in_runs_and_after_merges() {
        let dir = tempfile::tempdir().expect("a folder");
        let (writer, mut files) = filled(dir.path());
        let names = files.names();
        assert!(names.iter().any(|name| name.level > 0), "{names:?}");
        assert!(names.len() < 16, "{names:?}");
        check(&writer.reader(), 4_000);
        files.remove_merged().expect("removed");

        let runs = files::open_runs(&Disk::real(), dir.path(), &names).expect("whole");
        let mut reopened = IndexWriter::new(runs, 300);
        for number in reopened.last().0 + 1..=4_000 {
            reopened.note_record(record(number).view());
        }
        check(&reopened.reader(), 4_000);
    }

    #[test]
    fn a_lost_run_cuts_what_is_salvaged() {
        let chain = |upto, harm: fn(&std::path::Path, &[RunName])| {
            let dir = tempfile::tempdir().expect("a folder");
            let (_, mut files) = filled(dir.path());
            files.remove_merged().expect("removed");
            let names = files.names();
            harm(dir.path(), &names);
            let runs = salvage(&Disk::real(), dir.path(), Sequence(upto)).expect("readable");
            (runs.iter().map(Run::name).collect::<Vec<_>>(), names)
        };
        let (found, names) = chain(4_000, |_, _| ());
        assert_eq!(found, names);
        assert_eq!(chain(names[1].last.0 - 1, |_, _| ()).0, names[..1]);
        let damage = |folder: &std::path::Path, names: &[RunName]| {
            std::fs::write(folder.join(names[2].file_name()), b"damaged").expect("written");
        };
        assert_eq!(chain(4_000, damage).0, names[..2]);
        let remove = |folder: &std::path::Path, names: &[RunName]| {
            std::fs::remove_file(folder.join(names[0].file_name())).expect("removed");
        };
        assert_eq!(chain(4_000, remove).0, []);
    }

    #[test]
    fn a_command_is_found_within_its_own_proposal() {
        let mut writer = IndexWriter::new(Vec::new(), 300);
        let mut past = writer.past();
        assert_eq!(past.find(&key(1)), None);
        let used = Used { fingerprint: 3, sequence: Sequence(1) };
        past.remember(key(1), used);
        assert_eq!(past.find(&key(1)), Some(used));
        past.check().expect("no fault");
        assert!(past.note(&Effects::default()).is_none());
        assert_eq!(writer.reader().find(&key(1)).expect("readable"), Some(used), "and after it");
    }

    #[test]
    fn a_damaged_run_is_a_fault_and_not_an_answer() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut writer, files) = filled(dir.path());
        let path = dir.path().join(files.names()[0].file_name());
        let mut bytes = std::fs::read(&path).expect("readable");
        bytes[500] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        let mut past = writer.past();
        let wrong = (1..=20).filter(|number| past.find(&key(*number)).is_none()).count();
        assert!(wrong > 0);
        assert!(past.check().is_err());
        assert!(!path.exists(), "the next start does not take it for whole");
    }
}
