//! The offline check of a data folder: everything in it is read, nothing is changed.
//!
//! It reports, it does not stop at the first fault. Log and journal are opened through
//! [`dry_run`](super::dry_run); the state database, which sled cannot open without writing, as a copy.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::backup::restore::refuse_unfinished;
use super::dry_run::dry_run;
use super::identity::{self, Identity};
use super::index::{Memtable, Run, RunName};
use super::journal::{Journal, JournalOptions, JournalReader, verify_journal};
use super::log::{Log, LogOptions};
use super::recovery::Folders;
use super::repair;
use super::snapshot::{self, restore};
use super::state::{self, StateStore};
use super::{Disk, Position, StoreError};
use crate::core::event::Record;
use crate::core::types::{AccountId, Amount, AssetId, LogIndex, Sequence};
use crate::core::{Ledger, StateDigest};

/// Records of the journal read at once.
const RECORDS: usize = 4_096;

/// Bytes of the journal or the log read at once.
const BYTES: usize = 4 << 20;

/// Problems named of one kind; what follows is only counted.
const PROBLEMS_MAX: usize = 100;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file or folder.
    pub file: PathBuf,
    /// Where in it, in bytes.
    pub offset: Option<u64>,
    /// What is wrong there.
    pub reason: String,
}

/// What the log holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LogFacts {
    /// The last entry purged, `term.index`.
    pub purged: Option<String>,
    /// The last entry, `term.index`.
    pub last: Option<String>,
    /// How many entries were read.
    pub entries: u64,
}

/// What the journal holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct JournalFacts {
    /// Records.
    pub records: u64,
    /// The last event.
    pub last_sequence: u64,
    /// Full blocks.
    pub blocks: u64,
    /// The chain's digest at the last full block, in hexadecimal digits.
    pub digest: String,
}

/// What a state holds: the database's, or a snapshot's.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StateFacts {
    /// The database or the snapshot.
    pub file: PathBuf,
    /// The last log entry applied, `term.index`.
    pub position: Option<String>,
    /// The last event.
    pub sequence: u64,
    /// The digest of all records.
    pub digest: String,
    /// How many records there are.
    pub records: u64,
}

/// What the index holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct IndexFacts {
    /// Files.
    pub runs: u64,
    /// Entries in them.
    pub entries: u64,
    /// How many of these are used commands.
    pub commands: u64,
}

/// What was found in a data folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct VerifyReport {
    /// The cluster, in hexadecimal digits.
    pub cluster: Option<String>,
    /// The node.
    pub node: Option<u64>,
    /// The log.
    pub log: Option<LogFacts>,
    /// The journal.
    pub journal: Option<JournalFacts>,
    /// The state.
    pub state: Option<StateFacts>,
    /// The index.
    pub index: Option<IndexFacts>,
    /// The snapshots that are whole, newest first.
    pub snapshots: Vec<StateFacts>,
    /// Balances of the state that were compared with the sum of their postings.
    pub balances_compared: u64,
    /// Everything that is wrong; empty when all is well.
    pub problems: Vec<Problem>,
}

impl VerifyReport {
    fn add(&mut self, file: &Path, reason: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { file: file.to_owned(), offset: None, reason: reason.into() });
        }
    }

    fn add_error(&mut self, file: &Path, error: StoreError) {
        match error {
            StoreError::Corrupt { path, offset, reason } => {
                self.problems.push(Problem { file: path, offset: Some(offset), reason });
            }
            other => self.add(file, other.to_string()),
        }
    }

    /// What `result` holds; its error becomes a problem.
    fn take<T>(&mut self, file: &Path, result: Result<T, StoreError>) -> Option<T> {
        result.map_err(|error| self.add_error(file, error)).ok()
    }
}

/// Checks everything in the data folder of a node that is not running.
///
/// # Errors
/// [`StoreError::Locked`] when the node is running, [`StoreError::Missing`] when there is no such folder or
/// nothing of a node in it, [`StoreError::Unfinished`] when its restore was broken off.
/// What is wrong with the data is in the report.
pub fn verify_folder(disk: &Disk, dir: &Path) -> Result<VerifyReport, StoreError> {
    if !disk.exists(dir)? {
        return Err(StoreError::Missing { path: dir.to_owned(), reason: "it is to be verified" });
    }
    refuse_unfinished(disk, dir)?;
    // Nothing is written into a folder of somebody else's, not even a lock.
    let folders = Folders::of(dir);
    let path = dir.join(identity::FILE_NAME);
    let mut any = false;
    for part in [&path, &dir.join("log"), &folders.journal, &folders.state] {
        any |= disk.exists(part)?;
    }
    if !any {
        return Err(StoreError::Missing { path, reason: "every data folder of a node has one" });
    }
    let _lock = disk.lock_folder(dir)?;
    let dry = dry_run(disk);
    let mut report = VerifyReport::default();
    let identity = report.take(dir, identity::read(disk, dir)).flatten();
    report.cluster = identity.map(|identity| format!("{:032x}", identity.cluster.0));
    report.node = identity.map(|identity| identity.node.0);
    let book = report.take(dir, repair::read(disk, dir));
    if let Some(mark) = book.and_then(|book| book.mark) {
        report.add(dir, format!("it is under repair: {}", mark.case.cause()));
    }

    let purged = check_log(&mut report, &dry, &dir.join("log"), identity);
    let journal = check_journal(&mut report, &dry, &folders.journal);
    let newest = check_snapshots(&mut report, &dry, &folders.snapshots, identity);
    if purged.is_some() && newest.map(|position| position.index) < purged.map(|position| position.index) {
        report.add(&folders.snapshots, "no whole snapshot reaches the beginning of the log");
    }
    let state = check_state(&mut report, disk, &folders.state);
    let Some(journal) = journal else { return Ok(report) };
    let (ledger, names) = state.unwrap_or_default();
    let (have, need) = (journal.last().unwrap_or_default(), ledger.sequence());
    if have < need {
        report.add(&folders.journal, format!("it ends at event {have}, the state is at {need}"));
    }
    let indexed = names.last().map_or(Sequence(0), |name| name.last);
    let folded = fold(&mut report, &journal, &folders.journal, ledger.sequence(), indexed);
    if report.state.is_some() {
        compare_balances(&mut report, &folders.state, &ledger, &folded);
    }
    check_index(&mut report, &dry, &folders.index, &names, &folded);
    Ok(report)
}

/// Reads every entry of the log. Returns the last one purged.
fn check_log(report: &mut VerifyReport, dry: &Disk, folder: &Path, identity: Option<Identity>) -> Option<Position> {
    if identity.is_none() && !dry.exists(folder).unwrap_or(true) {
        return None;
    }
    let options = LogOptions { create: false, disk: dry.clone(), ..LogOptions::default() };
    let (log, _writer) = report.take(folder, Log::open(folder, options))?;
    let bounds = log.bounds();
    let mut entries = 0;
    let mut next = LogIndex(bounds.purged.map_or(0, |purged| purged.index.0 + 1));
    let end = LogIndex(bounds.last.map_or(0, |last| last.index.0 + 1));
    while next < end {
        let Some(read) = report.take(folder, log.read(next, end, BYTES)) else { break };
        let Some(last) = read.last() else {
            report.add(folder, format!("entry {next} is missing"));
            break;
        };
        entries += read.len() as u64;
        next = LogIndex(last.position.index.0 + 1);
    }
    report.log = Some(LogFacts {
        purged: bounds.purged.map(|position| position.to_string()),
        last: bounds.last.map(|position| position.to_string()),
        entries,
    });
    bounds.purged
}

/// Checks the journal's blocks and chain, and opens what is whole of it.
fn check_journal(report: &mut VerifyReport, dry: &Disk, folder: &Path) -> Option<JournalReader> {
    if !dry.exists(folder).unwrap_or(true) {
        return None;
    }
    if let Some(found) = report.take(folder, verify_journal(dry, folder)) {
        report.journal = Some(JournalFacts {
            records: found.records,
            last_sequence: found.last.0,
            blocks: found.blocks,
            digest: found.digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        });
    }
    let options = JournalOptions { disk: dry.clone(), ..JournalOptions::default() };
    report.take(folder, Journal::open_whole(folder, options)).map(|journal| journal.reader())
}

/// Verifies every snapshot. Returns the position of the newest whole one.
fn check_snapshots(
    report: &mut VerifyReport,
    dry: &Disk,
    folder: &Path,
    identity: Option<Identity>,
) -> Option<Position> {
    if !dry.exists(folder).unwrap_or(true) {
        return None;
    }
    let files = report.take(folder, snapshot::list(dry, folder)).unwrap_or_default();
    let mut newest = None;
    for (position, path) in files {
        let Some(contents) = report.take(&path, snapshot::file::read(dry, &path)) else { continue };
        let snapshot::file::Header { cluster, checkpoint, .. } = contents.header;
        if identity.is_some_and(|identity| identity.cluster != cluster) {
            report.add(&path, format!("it is of cluster {:032x}", cluster.0));
        }
        if checkpoint.position != Some(position) {
            report.add(&path, "its name is not its position");
        }
        if let Some(ledger) = report.take(&path, restore(&contents.image, &path)) {
            check_ledger(report, &path, &ledger, checkpoint.sequence);
            newest = newest.max(checkpoint.position);
        }
        report.snapshots.push(facts(
            &path,
            checkpoint.position,
            checkpoint.sequence,
            checkpoint.digest,
            checkpoint.records,
        ));
    }
    newest
}

fn facts(file: &Path, position: Option<Position>, sequence: Sequence, digest: StateDigest, records: u64) -> StateFacts {
    StateFacts {
        file: file.to_owned(),
        position: position.map(|position| position.to_string()),
        sequence: sequence.0,
        digest: digest.to_string(),
        records,
    }
}

fn check_ledger(report: &mut VerifyReport, file: &Path, ledger: &Ledger, sequence: Sequence) {
    if ledger.sequence() != sequence {
        report.add(file, format!("the ledger is at event {}, its checkpoint at {sequence}", ledger.sequence()));
    }
    if let Err(broken) = ledger.check_invariants() {
        report.add(file, broken.to_string());
    }
}

/// Verifies a copy of the state database. Returns its ledger and the index runs it names.
fn check_state(report: &mut VerifyReport, disk: &Disk, folder: &Path) -> Option<(Ledger, Vec<RunName>)> {
    if !disk.exists(folder).unwrap_or(true) {
        return None;
    }
    // A folder of its own: two checks may run at once.
    let scratch =
        tempfile::tempdir().map_err(|error| StoreError::io("create a folder in", &std::env::temp_dir(), error));
    let scratch = report.take(folder, scratch)?;
    let copy = scratch.path();
    let opened = state::copy_current(disk, folder, copy)
        .and_then(|there| if there { StateStore::open(disk, copy) } else { Ok(None) });
    let found = opened.map(|opened| {
        opened.map(|state::Opened { store, image, checkpoint, runs }| {
            drop(store);
            (restore(&image, folder), checkpoint, runs)
        })
    });
    let found = found.map_err(|error| match error {
        // Where the copy lay says nothing to anyone.
        StoreError::Corrupt { offset, reason, .. } => StoreError::Corrupt { path: folder.to_owned(), offset, reason },
        other => other,
    });
    let (ledger, checkpoint, runs) = report.take(folder, found)??;
    let ledger = report.take(folder, ledger)?;
    check_ledger(report, folder, &ledger, checkpoint.sequence);
    report.state = Some(facts(folder, checkpoint.position, checkpoint.sequence, checkpoint.digest, checkpoint.records));
    Some((ledger, runs))
}

/// What the journal adds up to.
#[derive(Default)]
struct Folded {
    balances: HashMap<(AccountId, AssetId), (Amount, Amount)>,
    /// Index entries that follow from the records that the runs are for.
    entries: u64,
    commands: u64,
}

/// Reads the journal up to `upto` and adds up its postings; counts the index entries up to `indexed`.
fn fold(
    report: &mut VerifyReport,
    journal: &JournalReader,
    folder: &Path,
    upto: Sequence,
    indexed: Sequence,
) -> Folded {
    let mut folded = Folded::default();
    let mut next = Sequence(1);
    while next <= upto {
        let Some(records) = report.take(folder, journal.read(next, RECORDS, BYTES)) else { break };
        let Some(last) = records.last() else { break };
        next = last.view().last_sequence().plus(1);
        let mut entries = Memtable::new(Sequence(records[0].sequence.0 - 1));
        for record in records.iter().filter(|record| record.sequence <= upto) {
            fold_record(report, folder, record, &mut folded);
            if record.sequence <= indexed {
                entries.note(std::iter::once(record.view()));
            }
        }
        folded.entries += entries.len() as u64;
        folded.commands += entries.command_count() as u64;
    }
    folded
}

fn fold_record(report: &mut VerifyReport, folder: &Path, record: &Record, folded: &mut Folded) {
    for (sequence, _, postings) in record.view().events() {
        let mut sums = HashMap::<AssetId, i128>::new();
        for posting in postings {
            *sums.entry(posting.asset).or_default() += i128::from(posting.amount.0);
            let balance = folded.balances.entry((posting.account, posting.asset)).or_default();
            let posted = balance.0.0.checked_add(posting.amount.0);
            let reserved = balance.1.0.checked_add(posting.hold.0);
            if (posted, reserved) != (Some(posting.posted.0), Some(posting.reserved.0)) {
                let (account, asset) = (posting.account, posting.asset);
                report.add(folder, format!("event {sequence}: a posting to account {account}, asset {asset} leaves another balance than the postings before it and itself"));
            }
            *balance = (posting.posted, posting.reserved);
        }
        if let Some((asset, sum)) = sums.into_iter().find(|(_, sum)| *sum != 0) {
            report.add(folder, format!("event {sequence}: its postings of asset {asset} sum to {sum}"));
        }
    }
}

/// Every balance of the ledger is the sum of its postings, and no other balance has any.
fn compare_balances(report: &mut VerifyReport, file: &Path, ledger: &Ledger, folded: &Folded) {
    for ((account, asset), (posted, reserved)) in &folded.balances {
        let balance = ledger.balance(*account, *asset);
        let found = balance.map_or((Amount(0), Amount(0)), |balance| (balance.posted, balance.reserved));
        if found != (*posted, *reserved) {
            let (has, held) = found;
            report.add(file, format!("account {account}, asset {asset}: {has} posted and {held} reserved, the postings sum to {posted} and {reserved}"));
        }
        report.balances_compared += 1;
    }
    let mut after = None;
    loop {
        let accounts: Vec<AccountId> = ledger.accounts(after, RECORDS).map(|account| account.id).collect();
        let Some(last) = accounts.last() else { break };
        after = Some(*last);
        for account in &accounts {
            for balance in ledger.balances(*account) {
                let none = (balance.posted, balance.reserved) == (Amount(0), Amount(0));
                if !none && !folded.balances.contains_key(&(balance.account, balance.asset)) {
                    report.add(file, format!("account {account}, asset {}: a balance without postings", balance.asset));
                }
            }
        }
    }
}

/// Reads every run that counts, and compares their entries with those that follow from the journal.
fn check_index(report: &mut VerifyReport, dry: &Disk, folder: &Path, names: &[RunName], folded: &Folded) {
    let mut facts = IndexFacts { runs: 0, entries: 0, commands: 0 };
    let mut after = Sequence(0);
    for name in names {
        let path = folder.join(name.file_name());
        if name.first != after.plus(1) {
            report.add(&path, format!("it does not follow event {after}"));
        }
        after = name.last;
        let run = Run::open(dry, folder, *name).and_then(|run| run.verify().map(|()| run));
        let Some(run) = report.take(&path, run) else { continue };
        facts.runs += 1;
        facts.entries += run.entry_count();
        facts.commands += run.command_count();
    }
    let whole = facts.runs == names.len() as u64;
    if whole && (facts.entries, facts.commands) != (folded.entries, folded.commands) {
        let IndexFacts { entries, commands, .. } = facts;
        let reason = format!(
            "{entries} entries with {commands} commands, the journal has {} and {}",
            folded.entries, folded.commands
        );
        report.add(folder, reason);
    }
    report.index = Some(facts);
}
