//! Restoring: a new data folder from a backup.
//!
//! The image becomes a snapshot, the journal is written anew up to it, and the engine opens the folder as
//! after a crash. Then the log's entries are applied again. Each makes records; byte for byte these must
//! be those of the archived journal, and where a backup ends the state must have the digest that
//! the backup names. What differs in anything is not restored.
//!
//! A restore that was broken off goes on where it was: every step finds what is there and whole. Until it
//! is finished the folder is marked, and no node starts from it.

use std::path::Path;

use super::control::Control;
use super::manifest::{Holds, Manifest};
use super::part::{Archived, Entries, Entry, Records, blame, fetch, is_part};
use super::plan::{Plan, Until};
use super::vault::Vault;
use super::{BackupError, READ_BYTES};
use crate::core::StateDigest;
use crate::core::codec::{Decode as _, Encode as _};
use crate::core::command::{Command, Proposal};
use crate::core::event::Effects;
use crate::core::types::{LogIndex, Sequence, Timestamp};
use crate::store::checkpoint::Checkpoint;
use crate::store::engine::{Engine, EngineOptions, Payload};
use crate::store::file::{Access, FolderLock, LOCK_FILE, UNFINISHED_SUFFIX};
use crate::store::identity::ClusterId;
use crate::store::journal::{Journal, JournalOptions};
use crate::store::recovery::Folders;
use crate::store::snapshot::{self, file as snapshot_file};
use crate::store::{Disk, Position, StoreError};

/// The file that says which restore is under way in a folder.
const RESTORING: &str = "RESTORING";

/// The image while it is fetched.
const FETCHED: &str = "image.fetched";

/// Records written to the journal between two looks at what waits to be written.
const BATCH_BYTES: usize = 4 << 20;

/// How a restore is done.
#[derive(Debug)]
pub struct RestoreOptions {
    /// The disk.
    pub disk: Disk,
    /// The new cluster: never the old one, so that the two cannot be mixed up.
    pub cluster: ClusterId,
}

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// The last entry that was applied; `None` before the first.
    pub position: Option<Position>,
    /// The last event.
    pub sequence: Sequence,
    /// The time of the ledger.
    pub time: Timestamp,
    /// The digest of the state.
    pub digest: StateDigest,
    /// How many records the state has.
    pub records: u64,
}

/// Refuses a folder in which a restore was begun and not finished.
///
/// # Errors
/// [`StoreError::Unfinished`]; a fault of the disk.
pub fn refuse_unfinished(disk: &Disk, dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(RESTORING);
    if disk.exists(&path)? { Err(StoreError::Unfinished { path }) } else { Ok(()) }
}

/// Takes the mark of an unfinished restore away.
///
/// # Errors
/// A fault of the disk.
pub fn finish(disk: &Disk, dir: &Path) -> Result<(), StoreError> {
    disk.remove_file(&dir.join(RESTORING))?;
    disk.sync_folder(dir)
}

/// Restores the state, the journal and the index into `dir`, which is new, or holds the same restore broken
/// off. The folder has no log and no identity yet, and stays marked until [`finish`].
///
/// # Errors
/// See [`BackupError`]; the folder is of no use then, but to try again.
pub fn restore(
    vault: &dyn Vault,
    plan: &Plan<'_>,
    dir: &Path,
    options: &RestoreOptions,
    control: &Control,
) -> Result<Restored, BackupError> {
    let disk = &options.disk;
    let _lock = begin(disk, dir, plan, options.cluster)?;
    let folders = Folders::of(dir);
    let start = plan.start();
    if !disk.exists(&folders.state)? {
        place_image(vault, plan, &folders, options, control)?;
        write_journal(vault, plan, &folders, disk, control)?;
    }
    let engine_options = EngineOptions {
        disk: disk.clone(),
        cluster: options.cluster,
        log_purged: start.position(),
        ..EngineOptions::default()
    };
    let (engine, persister) = Engine::open(dir, engine_options)?;
    std::thread::scope(|threads| {
        let writing = threads.spawn(|| persister.run());
        let restored = Run { vault, plan, control, engine }.finish();
        let written = writing.join().unwrap_or(Err(StoreError::Closed));
        restored.and_then(|restored| Ok(written.map(|()| restored)?))
    })
}

/// As [`restore`] to the end of a backup, but for the state: the image and the journal are written, and of the log it is
/// seen that it leads to the end and that every record has its entry. Takes little memory, however large the state is.
///
/// # Errors
/// As [`restore`].
pub(super) fn rehearse(
    vault: &dyn Vault,
    plan: &Plan<'_>,
    dir: &Path,
    options: &RestoreOptions,
    control: &Control,
) -> Result<(), BackupError> {
    let disk = &options.disk;
    let _lock = begin(disk, dir, plan, options.cluster)?;
    let folders = Folders::of(dir);
    place_image(vault, plan, &folders, options, control)?;
    write_journal(vault, plan, &folders, disk, control)?;
    let start = plan.start();
    let mut entries = Entries::new(vault, &plan.log, start.next_index());
    let mut records = Records::new(vault, &plan.records, start.sequence().plus(1));
    let (mut next, mut sequence) = (start.next_index(), start.sequence());
    let last = plan.log.last().map_or(start, |manifest| manifest.end);
    while next < last.next_index() {
        let damaged = |object: &str, reason: String| BackupError::Damaged { part: object.to_owned(), reason };
        let Some(entry) = entries.next()? else {
            return Err(damaged(entries.object(), format!("it ends before entry {next}")));
        };
        if let Some(Err(error)) = entry.proposal.as_deref().map(Proposal::from_bytes) {
            return Err(damaged(entries.object(), format!("entry {next}: {error}")));
        }
        while let Some(archived) = records.peek()?
            && archived.record.stamp.index <= entry.position.index
        {
            if archived.record.stamp.index < entry.position.index {
                return Err(BackupError::OtherRecord { sequence: archived.record.sequence });
            }
            sequence = archived.record.view().last_sequence();
            records.next()?;
        }
        control.check()?;
        next = LogIndex(entry.position.index.0 + 1);
    }
    if sequence != last.sequence() {
        return Err(BackupError::OtherRecord { sequence: sequence.plus(1) });
    }
    Ok(())
}

/// Marks the folder; in one that is marked, checks that it is the same restore. Nobody else has it then.
fn begin(disk: &Disk, dir: &Path, plan: &Plan<'_>, cluster: ClusterId) -> Result<FolderLock, BackupError> {
    let journal: Vec<&str> = plan.journal.iter().map(|manifest| manifest.id.as_str()).collect();
    let image = plan.image.map_or("none", |manifest| manifest.id.as_str());
    // Another way through the log to the same point gives the same folder.
    let mark =
        format!("cluster {:032x}\nimage {image}\njournal {}\nuntil {:?}\n", cluster.0, journal.join(" "), plan.until);
    disk.create_folder(dir)?;
    let lock = disk.lock_folder(dir)?;
    let path = dir.join(RESTORING);
    match disk.read_file(&path)? {
        Some(found) if found == mark.as_bytes() => {}
        Some(_) => return Err(StoreError::Unfinished { path }.into()),
        None if is_unused(disk, dir)? => disk.replace_file(&path, mark.as_bytes())?,
        None => return Err(StoreError::NotEmpty { path: dir.to_owned() }.into()),
    }
    Ok(lock)
}

/// Whether nothing is in a folder but what the beginning of a restore leaves when it is broken off.
fn is_unused(disk: &Disk, dir: &Path) -> Result<bool, StoreError> {
    let unfinished = format!("{RESTORING}.{UNFINISHED_SUFFIX}");
    Ok(disk.list(dir)?.iter().all(|name| *name == LOCK_FILE || *name == unfinished))
}

/// Fetches the image, verifies it, and puts it in place as a snapshot of the new cluster.
fn place_image(
    vault: &dyn Vault,
    plan: &Plan<'_>,
    folders: &Folders,
    options: &RestoreOptions,
    control: &Control,
) -> Result<(), BackupError> {
    let disk = &options.disk;
    disk.create_folder(&folders.snapshots)?;
    let Some((manifest, facts)) = plan.image.and_then(|manifest| Some((manifest, manifest.image.as_ref()?))) else {
        return Ok(());
    };
    let position = facts.at.position().unwrap_or_default();
    let path = folders.snapshots.join(snapshot::file_name(position));
    if disk.exists(&path)? {
        return Ok(());
    }
    let fetched = folders.snapshots.join(FETCHED);
    fetch_image(vault, manifest, disk, &fetched, control)?;
    let image = format!("the image of backup {}", manifest.id);
    let damaged = |reason: &str| BackupError::Damaged { part: image.clone(), reason: reason.to_owned() };
    // The members of the old cluster are none of the new one's.
    let unfinished = path.with_extension(snapshot::UNFINISHED);
    let header = snapshot_file::transcribe(disk, &fetched, &unfinished, options.cluster);
    let header = header.map_err(|error| blame(&image, error))?;
    let Checkpoint { position: found, sequence, digest, .. } = header.checkpoint;
    if Some(header.cluster) != manifest.cluster() {
        return Err(damaged("it is of another cluster"));
    }
    if found != Some(position) || sequence != facts.at.sequence() || Some(digest) != facts.digest() {
        return Err(damaged("it is another state than the manifest says"));
    }
    disk.rename(&unfinished, &path)?;
    Ok(disk.remove_file(&fetched)?)
}

/// Fetches the parts of the image that are not there from a restore that was broken off.
fn fetch_image(
    vault: &dyn Vault,
    manifest: &Manifest,
    disk: &Disk,
    to: &Path,
    control: &Control,
) -> Result<(), BackupError> {
    let before = disk.exists(to)?;
    let file = disk.open(to, if before { Access::Write } else { Access::Create })?;
    for part in manifest.parts_of(Holds::Image) {
        control.check()?;
        if part.first.saturating_add(part.bytes) <= file.len()? {
            let mut there = vec![0; part.bytes as usize];
            file.read_exact_at(&mut there, part.first)?;
            if is_part(&there, part) {
                continue;
            }
        }
        let bytes = fetch(vault, manifest, part)?;
        file.write_at(&bytes, part.first)?;
        control.moved(bytes.len() as u64);
    }
    Ok(file.set_len(manifest.parts_of(Holds::Image).map(|part| part.bytes).sum())?)
}

/// Writes the journal anew up to the image, from where a broken-off restore left it.
fn write_journal(
    vault: &dyn Vault,
    plan: &Plan<'_>,
    folders: &Folders,
    disk: &Disk,
    control: &Control,
) -> Result<(), BackupError> {
    let options = JournalOptions { disk: disk.clone(), ..JournalOptions::default() };
    let mut journal = Journal::open_whole(&folders.journal, options)?;
    let flusher = journal.flusher();
    let need = plan.start().sequence();
    let mut records = Records::new(vault, &plan.journal, journal.last_sequence().plus(1));
    while journal.last_sequence() < need {
        let Some(archived) = records.next()? else { break };
        journal.append(archived.record.view());
        if journal.backlog_bytes() >= BATCH_BYTES {
            control.check()?;
            flusher.write_out()?;
            control.moved(BATCH_BYTES as u64);
        }
    }
    let have = journal.last_sequence();
    if have != need {
        let reason = format!("its journal has a record that ends with event {have}, the image is at event {need}");
        return Err(BackupError::Damaged { part: records.object().to_owned(), reason });
    }
    flusher.sync(need)?;
    for manifest in &plan.journal {
        let Some(chain) = manifest.chain.as_ref().filter(|chain| chain.sequence <= need.0) else { continue };
        if journal.reader().digest_at(Sequence(chain.sequence))? != chain.digest() {
            let reason = format!("the journal's chain at event {} is not the manifest's", chain.sequence);
            return Err(BackupError::Damaged { part: Manifest::object(&manifest.id), reason });
        }
    }
    Ok(())
}

/// The engine on the new folder, while the log is applied again.
struct Run<'a> {
    vault: &'a dyn Vault,
    plan: &'a Plan<'a>,
    control: &'a Control,
    engine: Engine,
}

impl Run<'_> {
    fn finish(mut self) -> Result<Restored, BackupError> {
        self.apply()?;
        let applied = self.engine.applied();
        let restored = Restored {
            position: applied.position,
            sequence: applied.sequence,
            time: self.engine.ledger().time(),
            digest: self.engine.digest(),
            records: self.engine.record_count(),
        };
        if applied.position.is_some() && self.engine.snapshots().latest().map(|meta| meta.position) != applied.position
        {
            self.engine.begin_snapshot().run()?;
        }
        self.engine.close()?;
        Ok(restored)
    }

    fn apply(&mut self) -> Result<(), BackupError> {
        let applied = self.engine.applied();
        let next = LogIndex(applied.position.map_or(0, |position| position.index.0 + 1));
        let mut entries = Entries::new(self.vault, &self.plan.log, next);
        let mut records = Records::new(self.vault, &self.plan.records, applied.sequence.plus(1));
        self.compare_with_manifests()?;
        let mut since_check = 0;
        while !self.has_arrived() {
            let Some(entry) = entries.next()? else { return self.check_end(entries.object()) };
            let mut group = Vec::new();
            while let Some(archived) = records.peek()?
                && archived.record.stamp.index == entry.position.index
            {
                group.extend(records.next()?);
            }
            if let (Until::Time(time), Some(first)) = (self.plan.until, group.first())
                && first.record.stamp.time > time
            {
                return Ok(());
            }
            since_check += entry.proposal.as_ref().map_or(0, bytes::Bytes::len);
            if since_check >= READ_BYTES {
                self.control.check()?;
                self.control.moved(since_check as u64);
                since_check = 0;
            }
            self.apply_one(&entry, &group, entries.object())?;
            self.compare_with_manifests()?;
        }
        Ok(())
    }

    fn has_arrived(&self) -> bool {
        let applied = self.engine.applied();
        match self.plan.until {
            Until::Entry(index) => applied.position.is_some_and(|position| position.index >= index),
            Until::Sequence(sequence) => applied.sequence >= sequence,
            Until::Time(_) => false,
        }
    }

    /// When there are no more entries: only a time lies behind the last of them.
    fn check_end(&self, object: &str) -> Result<(), BackupError> {
        match self.plan.until {
            Until::Time(_) => Ok(()),
            Until::Entry(_) | Until::Sequence(_) => {
                let at = self.engine.applied().sequence;
                let reason = format!("it ends with event {at}, before what its manifest says");
                Err(BackupError::Damaged { part: object.to_owned(), reason })
            }
        }
    }

    /// Applies an entry, of the last one as much as is wanted; `group` are the records that it made once.
    fn apply_one(&mut self, entry: &Entry, group: &[Archived], object: &str) -> Result<(), BackupError> {
        let (cut, wanted) = match (self.plan.until, &entry.proposal) {
            (Until::Sequence(sequence), Some(proposal)) => cut(proposal, group, sequence, object)?,
            _ => (None, group),
        };
        let bytes = cut.as_deref().or(entry.proposal.as_deref());
        let payload = bytes.map_or(Payload::Blank, Payload::Commands);
        let effects = self.engine.apply(entry.position, payload)?;
        compare(&effects, wanted)
    }

    /// Where a backup ends the state is what it says.
    fn compare_with_manifests(&self) -> Result<(), BackupError> {
        let applied = self.engine.applied();
        let Some(position) = applied.position else { return Ok(()) };
        for manifest in self.plan.log.iter().filter(|manifest| manifest.end.position() == Some(position)) {
            let cut = matches!(self.plan.until, Until::Sequence(_)) && applied.sequence < manifest.end.sequence();
            if !cut && Some(self.engine.digest()) != manifest.end_digest() {
                let (index, expected) = (position.index, manifest.end_digest.clone());
                return Err(BackupError::OtherState { index, found: self.engine.digest().to_string(), expected });
            }
        }
        Ok(())
    }
}

/// The records that were made must be those that were made once.
fn compare(effects: &Effects, archived: &[Archived]) -> Result<(), BackupError> {
    let mut expected = archived.iter();
    let mut bytes = Vec::new();
    for record in effects.records() {
        bytes.clear();
        record.encode(&mut bytes);
        if expected.next().is_none_or(|expected| expected.encoded != bytes) {
            return Err(BackupError::OtherRecord { sequence: record.sequence });
        }
    }
    match expected.next() {
        Some(missing) => Err(BackupError::OtherRecord { sequence: missing.record.sequence }),
        None => Ok(()),
    }
}

/// The beginning of a proposal that makes its records up to the one that holds the event `last`, and these
/// records; `None` for the whole of it. A linked chain is not cut, nor what one moment ended together.
fn cut<'a>(
    proposal: &[u8],
    group: &'a [Archived],
    last: Sequence,
    object: &str,
) -> Result<(Option<Vec<u8>>, &'a [Archived]), BackupError> {
    let Some(place) = group.iter().position(|archived| archived.record.view().last_sequence() >= last) else {
        return Ok((None, group));
    };
    let damaged = |reason: String| BackupError::Damaged { part: object.to_owned(), reason };
    let mut proposal = Proposal::from_bytes(proposal).map_err(|error| damaged(error.to_string()))?;
    let Some(origin) = group[place].record.origin else {
        // Time-outs come before all commands.
        let ended = group.iter().take_while(|archived| archived.record.origin.is_none()).count();
        proposal.commands.clear();
        return Ok((Some(proposal.to_bytes()), &group[..ended]));
    };
    let made = |command: &Command| command.key() == origin.key && command.fingerprint() == origin.fingerprint;
    let first = proposal.commands.iter().position(made);
    let first =
        first.ok_or_else(|| damaged(format!("no command of it made event {}", group[place].record.sequence)))?;
    let linked = proposal.commands[first..].iter().take_while(|command| command.linked).count();
    let kept = (first + linked + 1).min(proposal.commands.len());
    let records = place + 1 + records_of_rest(&proposal.commands[first + 1..kept], &group[place + 1..]);
    proposal.commands.truncate(kept);
    Ok((Some(proposal.to_bytes()), &group[..records]))
}

/// How many of the records the rest of a linked chain made: those of its commands that had no answer before.
fn records_of_rest(rest: &[Command], behind: &[Archived]) -> usize {
    let keys: Vec<_> = rest.iter().map(Command::key).collect();
    behind.iter().take_while(|archived| archived.record.origin.is_some_and(|origin| keys.contains(&origin.key))).count()
}
