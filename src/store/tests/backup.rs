//! Backups of an engine that goes on, and restores at any point of its history.

mod damage;
mod memory;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::*;
use crate::core::codec::{Decode as _, Encode as _};
use crate::core::command::{Body, Command, CommandKey, Proposal, Transfer, TransferMode};
use crate::core::event::Effects;
use crate::core::types::{AccountId, Amount, AssetId, CommandId, LogIndex, Stamp, Timestamp};
use crate::core::{History, Ledger, Used};
use crate::store::backup::check::{Scratch, check_parts, trial};
use crate::store::backup::manifest::{Holds, Kind, Manifest};
use crate::store::backup::plan::{Catalogue, Goal};
use crate::store::backup::restore::{self, RestoreOptions, Restored, restore};
use crate::store::backup::testing::MemoryVault;
use crate::store::backup::vault::{Listed, Vault};
use crate::store::backup::write::{LogSource, Order, Origin, Point, write};
use crate::store::backup::{BackupError, Control, Entry, read_catalogue};
use crate::store::engine::Payload;
use crate::store::identity::NodeId;
use crate::store::image::Image;
use crate::store::snapshot::{Outbox, SnapshotMeta};
use crate::store::testing::Random;
use crate::store::{Disk, Position};

const WORKLOAD: Workload = Workload(31);
const NEW_CLUSTER: ClusterId = ClusterId(8);

/// The workload as a log that is purged up to an index.
struct PurgedLog(Option<u64>);

impl LogSource for PurgedLog {
    fn purged(&self) -> Option<Position> {
        self.0.map(|index| WORKLOAD.entry(index).position)
    }

    fn read(&self, from: LogIndex, to_exclusive: LogIndex, _bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        let first = from.0.max(self.0.map_or(0, |purged| purged + 1));
        let indexes = first..to_exclusive.0.min(first + 50);
        Ok(indexes.map(archived).collect())
    }
}

fn archived(index: u64) -> Entry {
    let entry = WORKLOAD.entry(index);
    let proposal = match entry.payload() {
        Payload::Commands(bytes) => Some(Bytes::copy_from_slice(bytes)),
        Payload::Blank | Payload::Membership(_) => None,
    };
    Entry { position: entry.position, proposal }
}

/// A node, and the backups that it makes.
struct Node {
    running: Running,
    purged: Option<u64>,
    made: u64,
    _dir: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let running = Running::open(dir.path()).expect("opens");
        Self { running, purged: None, made: 0, _dir: dir }
    }

    fn apply_to(&mut self, last: u64) {
        self.running.apply_to(WORKLOAD, last).expect("applied");
    }

    fn snapshot(&mut self) {
        self.running.engine.begin_snapshot().run().expect("written");
    }

    fn back_up(&mut self, vault: &dyn Vault, kind: Kind) -> Result<Manifest, BackupError> {
        self.back_up_from(&PurgedLog(self.purged), vault, kind)
    }

    fn back_up_from(&mut self, log: &dyn LogSource, vault: &dyn Vault, kind: Kind) -> Result<Manifest, BackupError> {
        let begun = self.begin()?;
        self.go_on(&begun, log, vault, kind)
    }

    /// What a backup begins with.
    fn begin(&self) -> Result<Begun, StoreError> {
        let engine = &self.running.engine;
        let image = engine.snapshots().send_latest()?;
        let applied = engine.applied();
        let end = Point {
            position: applied.position.unwrap_or_default(),
            sequence: applied.sequence,
            digest: engine.digest(),
            feature_level: engine.ledger().feature_level(),
        };
        Ok(Begun { image, end })
    }

    fn go_on(
        &mut self,
        begun: &Begun,
        log: &dyn LogSource,
        vault: &dyn Vault,
        kind: Kind,
    ) -> Result<Manifest, BackupError> {
        let (catalogue, problems) = read_catalogue(vault, None, &Catalogue::default())?;
        assert!(problems.is_empty(), "{problems:?}");
        let readers = self.running.engine.readers();
        let image = begun.image.as_ref();
        let origin = Origin { cluster: options().cluster, node: NodeId(2), image, journal: &readers.journal, log };
        self.made += 1;
        let id = format!("{:03}-{kind}", self.made);
        let (newest, full) = (catalogue.newest(), catalogue.newest_full());
        let order = Order { id, kind, newest, full, end: begun.end, now_ms: || 1 };
        write(vault, &origin, &order, &Control::default())
    }
}

/// The newest snapshot, and the end that was chosen after it.
struct Begun {
    image: Option<(SnapshotMeta, Outbox)>,
    end: Point,
}

/// Backups of every kind, with the log purged in between, and the last entry of all.
fn backed_up(vault: &dyn Vault) -> (Node, u64) {
    let mut node = Node::new();
    node.apply_to(200);
    node.snapshot();
    node.apply_to(300);
    node.purged = Some(150);
    let mut made = Vec::new();
    made.push(node.back_up(vault, Kind::Incremental).expect("becomes a full one, since there is none"));
    node.apply_to(420);
    made.push(node.back_up(vault, Kind::Incremental).expect("written"));
    node.apply_to(500);
    made.push(node.back_up(vault, Kind::Differential).expect("written"));
    node.apply_to(650);
    node.purged = Some(480);
    made.push(node.back_up(vault, Kind::Incremental).expect("written"));
    node.snapshot();
    node.apply_to(760);
    made.push(node.back_up(vault, Kind::Differential).expect("written"));
    node.apply_to(900);
    made.push(node.back_up(vault, Kind::Incremental).expect("written"));
    node.snapshot();
    node.apply_to(1_000);
    made.push(node.back_up(vault, Kind::Full).expect("written"));
    let facts: Vec<_> = made.iter().map(|made| (made.kind, made.image.is_some(), made.parent.is_some())).collect();
    let (full, inc, diff) = (Kind::Full, Kind::Incremental, Kind::Differential);
    let inc = (inc, false, true);
    assert_eq!(
        facts,
        [(full, true, false), inc, (diff, false, true), inc, (diff, true, true), inc, (full, true, false)]
    );
    (node, 1_000)
}

/// Every used id, in memory.
#[derive(Default)]
struct Ids(HashMap<CommandKey, Used>);

impl History for Ids {
    fn find(&self, key: &CommandKey) -> Option<Used> {
        self.0.get(key).copied()
    }

    fn remember(&mut self, key: CommandKey, used: Used) {
        self.0.insert(key, used);
    }
}

/// What the state was, from the pure core alone: behind every command, and at every time.
struct Reference {
    /// By the last event.
    digests: BTreeMap<Sequence, StateDigest>,
    /// Behind whole entries.
    behind: BTreeMap<u64, StateDigest>,
    /// Times of records, with the last event of each.
    times: BTreeMap<Timestamp, Sequence>,
}

fn reference(last: u64) -> Reference {
    let (mut ledger, mut image, mut ids) = (Ledger::new(), Image::new(), Ids::default());
    let mut reference = Reference { digests: BTreeMap::new(), behind: BTreeMap::new(), times: BTreeMap::new() };
    for index in 0..=last {
        let entry = archived(index);
        let Some(proposal) = entry.proposal else {
            reference.behind.insert(index, image.digest());
            continue;
        };
        let whole = Proposal::from_bytes(&proposal).expect("a proposal");
        let stamp = Stamp { term: entry.position.term, index: entry.position.index, time: whole.time };
        // First what the time ends, then one command after the other.
        let none = std::iter::once(Vec::new());
        for commands in none.chain(whole.commands.iter().map(|command| vec![command.clone()])) {
            let mut effects = Effects::default();
            ledger.apply(stamp, &Proposal { commands, ..whole.clone() }, &mut ids, &mut effects);
            let mut changes = Vec::new();
            ledger.take_changes(&mut changes);
            for key in changes {
                let mut record = Vec::new();
                ledger.encode_record(key, &mut record);
                image.write(key, &record);
            }
            // What makes no event, but another time, comes behind the point.
            reference.digests.entry(ledger.sequence()).or_insert(image.digest());
            for record in effects.records() {
                reference.times.insert(record.stamp.time, record.last_sequence());
            }
        }
        reference.behind.insert(index, image.digest());
    }
    reference
}

fn catalogue(vault: &dyn Vault) -> Catalogue {
    let (catalogue, problems) = read_catalogue(vault, None, &Catalogue::default()).expect("listed");
    assert!(problems.is_empty(), "{problems:?}");
    catalogue
}

fn restore_options() -> RestoreOptions {
    RestoreOptions { disk: Disk::real(), cluster: NEW_CLUSTER }
}

fn restore_to(vault: &dyn Vault, goal: &Goal, dir: &Path) -> Result<Restored, BackupError> {
    let catalogue = catalogue(vault);
    restore(vault, &catalogue.plan(goal)?, dir, &restore_options(), &Control::default())
}

#[test]
fn every_point_between_backups_is_restored_as_it_was() {
    let vault = MemoryVault::default();
    let (_node, last) = backed_up(&vault);
    let reference = reference(last);
    let catalogue = catalogue(&vault);
    let first = catalogue.backups[0].image.as_ref().expect("an image").at;
    let end = catalogue.newest().expect("there are some").end;
    let mut random = Random(5);
    for _ in 0..20 {
        let asked = Sequence(first.sequence + random.below(end.sequence - first.sequence + 1));
        let dir = tempfile::tempdir().expect("a folder");
        let restored = restore_to(&vault, &Goal::Sequence(asked), dir.path()).expect("restored");
        let (sequence, digest) = reference.digests.range(asked..).next().expect("within");
        assert_eq!((restored.sequence, restored.digest), (*sequence, *digest), "event {asked}");
    }
    for _ in 0..20 {
        let asked = Timestamp(first.time + random.below(end.time - first.time + 1));
        let dir = tempfile::tempdir().expect("a folder");
        let restored = restore_to(&vault, &Goal::Time(asked), dir.path()).expect("restored");
        let (_, sequence) = reference.times.range(..=asked).next_back().expect("within");
        assert_eq!(restored.sequence, *sequence, "time {asked}");
        let index = restored.position.expect("some").index.0;
        assert_eq!(restored.digest, reference.behind[&index], "time {asked}");
    }
    let before = restore_to(&vault, &Goal::Sequence(Sequence(first.sequence - 1)), Path::new("/nowhere"));
    assert!(matches!(before, Err(BackupError::NotRestorable { .. })), "{before:?}");
}

#[test]
fn a_restored_folder_goes_on_as_the_old_one_would_have() {
    let vault = MemoryVault::default();
    let (node, last) = backed_up(&vault);
    let expected = node.running.facts();
    let dir = tempfile::tempdir().expect("a folder");
    let goal = Goal::Backup("004-incremental".to_owned());
    let restored = restore_to(&vault, &goal, dir.path()).expect("restored");
    assert_eq!(restored.position.map(|position| position.index.0), Some(650));
    assert!(matches!(restore::refuse_unfinished(&Disk::real(), dir.path()), Err(StoreError::Unfinished { .. })));
    restore::finish(&Disk::real(), dir.path()).expect("finished");
    restore::refuse_unfinished(&Disk::real(), dir.path()).expect("a node may start");
    let options = EngineOptions { cluster: NEW_CLUSTER, log_purged: restored.position, ..options() };
    let mut running = Running::open_with(dir.path(), options).expect("opens");
    assert_eq!(running.engine.applied().membership, None, "the old members are none of the new cluster's");
    running.apply_to(WORKLOAD, last).expect("applied");
    assert_eq!(running.facts(), expected);
    running.close();
    node.running.close();
}

#[test]
fn a_restore_from_the_beginning_needs_no_image() {
    let vault = MemoryVault::default();
    let mut node = Node::new();
    assert!(matches!(node.back_up(&vault, Kind::Full), Err(BackupError::Empty)));
    node.apply_to(80);
    let made = node.back_up(&vault, Kind::Full).expect("written");
    assert!(made.image.is_none() && made.log_after.entry.is_none());
    let dir = tempfile::tempdir().expect("a folder");
    let restored = restore_to(&vault, &Goal::Newest, dir.path()).expect("restored");
    assert_eq!(restored.digest, node.running.engine.digest());
    let early = tempfile::tempdir().expect("a folder");
    let reference = reference(80);
    let restored = restore_to(&vault, &Goal::Sequence(Sequence(30)), early.path()).expect("restored");
    assert_eq!(Some(&restored.digest), reference.digests.get(&restored.sequence));
}

/// The node goes on while it is backed up, and its next snapshots take the place of the one that the backup began with.
#[test]
fn a_backup_holds_the_snapshot_that_it_began_with() {
    let vault = MemoryVault::default();
    let mut node = Node::new();
    node.apply_to(200);
    node.snapshot();
    node.purged = Some(150);
    node.apply_to(300);
    let begun = node.begin().expect("begun");
    for last in [500, 700, 900] {
        node.apply_to(last);
        node.snapshot();
    }
    let made = node.go_on(&begun, &PurgedLog(node.purged), &vault, Kind::Full).expect("written");
    let facts = made.image.as_ref().expect("an image");
    assert_eq!((facts.at.next_index(), made.end.next_index()), (LogIndex(201), LogIndex(301)));
    let dir = tempfile::tempdir().expect("a folder");
    let restored = restore_to(&vault, &Goal::Newest, dir.path()).expect("restored");
    assert_eq!(restored.digest, reference(300).behind[&300]);
    let further = Begun { image: node.begin().expect("begun").image, ..begun };
    let refused = node.go_on(&further, &PurgedLog(node.purged), &MemoryVault::default(), Kind::Full);
    assert!(matches!(refused, Err(BackupError::NotCaughtUp { .. })), "{refused:?}");
}

/// The workload, and one entry more.
struct WithOneMore(Entry);

impl LogSource for WithOneMore {
    fn purged(&self) -> Option<Position> {
        None
    }

    fn read(&self, from: LogIndex, to_exclusive: LogIndex, _bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        let last = self.0.position.index;
        Ok((from.0..to_exclusive.0)
            .map(|index| if index == last.0 { self.0.clone() } else { archived(index) })
            .collect())
    }
}

#[test]
fn a_chain_is_restored_whole_or_not_at_all() {
    let (issuer, holder, money) = (AccountId(100), AccountId(1), AssetId(1));
    let transfer = |id: u128, linked| {
        let (amount, mode) = (Amount(1), TransferMode::Immediate);
        let body = Transfer { debit: issuer, credit: holder, asset: money, amount, mode, user_data: 0, code: 0 };
        Command { id: CommandId(1 << 100 | id), linked, body: Body::Transfer(body) }
    };
    let commands =
        vec![transfer(1, false), transfer(2, true), transfer(3, true), transfer(4, false), transfer(5, false)];
    let proposal = Proposal::new(Timestamp(1_000_000_000), commands).to_bytes();
    let position = Position { term: WORKLOAD.entry(50).position.term, index: LogIndex(51) };
    let mut node = Node::new();
    node.apply_to(50);
    let before = node.running.engine.applied().sequence;
    node.running.engine.apply(position, Payload::Commands(&proposal)).expect("applied");
    let ended = node.running.engine.applied().sequence;
    let events = ended.0 - before.0;
    assert!(events >= 5, "the time-outs of that time, and five transfers");
    let vault = MemoryVault::default();
    let log = WithOneMore(Entry { position, proposal: Some(proposal.into()) });
    node.back_up_from(&log, &vault, Kind::Full).expect("written");
    let first = ended.0 - 4;
    let reached = |asked: u64| {
        let dir = tempfile::tempdir().expect("a folder");
        restore_to(&vault, &Goal::Sequence(Sequence(asked)), dir.path()).expect("restored").sequence.0
    };
    assert_eq!(reached(first), first, "the one before the chain");
    for member in first + 1..=first + 3 {
        assert_eq!(reached(member), first + 3, "event {member} is of the chain");
    }
    assert_eq!(reached(ended.0), ended.0);
    if events > 5 {
        assert_eq!(reached(before.0 + 1), first - 1, "what one moment ended is together");
    }
}

#[test]
fn what_has_left_the_log_needs_an_image() {
    let vault = MemoryVault::default();
    let mut node = Node::new();
    node.apply_to(100);
    node.back_up(&vault, Kind::Full).expect("written");
    node.apply_to(300);
    node.snapshot();
    node.purged = Some(200);
    let refused = node.back_up(&vault, Kind::Incremental);
    assert!(matches!(refused, Err(BackupError::LogGone { .. })), "{refused:?}");
    node.back_up(&vault, Kind::Full).expect("written");
    let catalogue = catalogue(&vault);
    let lost = catalogue.plan(&Goal::Sequence(Sequence(catalogue.backups[0].end.sequence + 50)));
    assert!(matches!(lost, Err(BackupError::NotRestorable { .. })), "the gap is told: {lost:?}");
}

#[test]
fn another_history_under_the_same_name_is_refused() {
    let vault = MemoryVault::default();
    let mut node = Node::new();
    node.apply_to(900);
    // With it the journal is written.
    node.snapshot();
    let made = node.back_up(&vault, Kind::Full).expect("written");
    assert!(made.chain.is_some(), "long enough for a full block");
    let mut bad = made.clone();
    bad.id = "another".to_owned();
    bad.chain.as_mut().expect("is there").digest = "0".repeat(64);
    vault.put(&Manifest::object(&bad.id), bad.encode().into()).expect("written");
    let refused = node.back_up(&vault, Kind::Incremental);
    assert!(matches!(refused, Err(BackupError::OtherHistory { .. })), "{refused:?}");
}

#[test]
fn a_backup_that_is_broken_off_anywhere_is_none() {
    let vault = MemoryVault::default();
    let mut node = Node::new();
    node.apply_to(120);
    node.back_up(&vault, Kind::Full).expect("written");
    node.apply_to(200);
    let before = catalogue(&vault);
    for changes in 0.. {
        vault.fail_after(Some(changes));
        let made = node.back_up(&vault, Kind::Incremental);
        vault.fail_after(None);
        if made.is_ok() {
            assert!(changes >= 3, "a journal, a log, a manifest");
            break;
        }
        assert_eq!(catalogue(&vault).backups, before.backups);
    }
    let control = Control::default();
    control.stop();
    let catalogue = catalogue(&vault);
    for manifest in &catalogue.backups {
        check_parts(&vault, manifest, &Control::default()).expect("good");
        assert!(matches!(check_parts(&vault, manifest, &control), Err(BackupError::Stopped)));
    }
}

/// A vault of which so many reads succeed.
#[derive(Debug)]
struct Tiring<'a>(&'a MemoryVault, AtomicU64);

impl Vault for Tiring<'_> {
    fn put(&self, name: &str, bytes: Bytes) -> Result<(), BackupError> {
        self.0.put(name, bytes)
    }

    fn get(&self, name: &str) -> Result<Option<Bytes>, BackupError> {
        let left = self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| BackupError::Target { what: "read", name: name.to_owned(), reason: "tired".to_owned() })?;
        self.0.get(name)
    }

    fn list(&self, folder: &str) -> Result<Vec<Listed>, BackupError> {
        self.0.list(folder)
    }

    fn remove(&self, name: &str) -> Result<(), BackupError> {
        self.0.remove(name)
    }
}

#[test]
fn a_restore_that_is_broken_off_goes_on_where_it_was() {
    let vault = MemoryVault::default();
    let (node, _) = backed_up(&vault);
    let catalogue = catalogue(&vault);
    let plan = catalogue.plan(&Goal::Sequence(Sequence(catalogue.backups[3].end.sequence - 3))).expect("there is one");
    let whole = tempfile::tempdir().expect("a folder");
    let expected = restore(&vault, &plan, whole.path(), &restore_options(), &Control::default()).expect("restored");
    let dir = tempfile::tempdir().expect("a folder");
    let mut broken_off = 0;
    let restored = loop {
        let tiring = Tiring(&vault, AtomicU64::new(broken_off));
        match restore(&tiring, &plan, dir.path(), &restore_options(), &Control::default()) {
            Ok(restored) => break restored,
            Err(BackupError::Target { .. }) => broken_off += 1,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(broken_off >= 3, "it was broken off {broken_off} times");
    assert_eq!(restored, expected);
    let begun = tempfile::tempdir().expect("a folder");
    std::fs::write(begun.path().join("RESTORING.unfinished"), "clus").expect("written");
    let restored = restore(&vault, &plan, begun.path(), &restore_options(), &Control::default());
    assert_eq!(restored.expect("nothing but its beginning was there"), expected);
    let again = restore(&vault, &plan, dir.path(), &restore_options(), &Control::default()).expect("it is there");
    assert_eq!(again, expected);
    let other = catalogue.plan(&Goal::Newest).expect("there is one");
    let refused = restore(&vault, &other, dir.path(), &restore_options(), &Control::default());
    assert!(matches!(refused, Err(BackupError::Store(StoreError::Unfinished { .. }))), "{refused:?}");
    let used = restore(&vault, &other, node._dir.path(), &restore_options(), &Control::default());
    assert!(matches!(used, Err(BackupError::Store(StoreError::NotEmpty { .. }))), "{used:?}");
}

#[test]
fn a_trial_builds_no_state_that_is_too_large() {
    let vault = MemoryVault::default();
    let (_node, _) = backed_up(&vault);
    let catalogue = catalogue(&vault);
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("scratch");
    for manifest in &catalogue.backups {
        for (state_bytes_max, applies) in [(u64::MAX, true), (0, false)] {
            let scratch = Scratch { folder: &folder, disk: &Disk::real(), state_bytes_max };
            let applied = trial(&vault, &catalogue, &manifest.id, scratch, &Control::default()).expect("good");
            assert!(applied == applies && !folder.exists(), "{}", manifest.id);
        }
    }
}

#[test]
fn entries_that_do_something_else_are_found_although_every_checksum_holds() {
    let vault = MemoryVault::default();
    let (_node, _) = backed_up(&vault);
    let mut whole = catalogue(&vault);
    let manifest = &mut whole.backups[1];
    // As if a log had been written wrong before it was backed up: the digest is of what was written.
    manifest.end_digest = "0".repeat(32);
    let goal = Goal::Backup(manifest.id.clone());
    let dir = tempfile::tempdir().expect("a folder");
    let plan = whole.plan(&goal).expect("there is one");
    let refused = restore(&vault, &plan, dir.path(), &restore_options(), &Control::default());
    assert!(matches!(refused, Err(BackupError::OtherState { .. })), "{refused:?}");
    // A manifest that names the journal of another backup, where no other piece can stand in.
    let parts = |manifest: &Manifest, holds| manifest.parts_of(holds).cloned().collect::<Vec<_>>();
    let all = catalogue(&vault).backups;
    let mut swapped = Catalogue::new(all[..2].to_vec());
    swapped.backups[1].parts = [parts(&all[1], Holds::Log), parts(&all[5], Holds::Journal)].concat();
    let plan = swapped.plan(&goal).expect("there is one");
    let dir = tempfile::tempdir().expect("a folder");
    let refused = restore(&vault, &plan, dir.path(), &restore_options(), &Control::default());
    assert!(refused.expect_err("refused").is_damage());
}
