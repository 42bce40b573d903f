//! Whether a backup is good: every part by itself, and by a restore on trial.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::BackupError;
use super::control::Control;
use super::manifest::{Holds, Manifest, Mark, Part};
use super::part::{Entries, Records, blame, fetch};
use super::plan::{Catalogue, Goal, Plan};
use super::restore::{RestoreOptions, rehearse, restore};
use super::vault::{CHECKS, Vault};
use crate::core::codec::Decode as _;
use crate::core::command::Proposal;
use crate::core::types::{LogIndex, Sequence};
use crate::store::chunked::Source;
use crate::store::identity::ClusterId;
use crate::store::snapshot::file as snapshot_file;
use crate::store::{Disk, StoreError};

/// How far a check goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Every part is read, every item in it decoded.
    Parts,
    /// Besides, the backup is restored into a scratch folder, and the state's digest compared.
    Trial,
}

/// Bytes of memory that a record of a state takes, in its page and in the ledger, as a rule.
const STATE_BYTES_PER_RECORD: u64 = 512;

/// Bytes of a state that a byte of a log's part can make at most, as a rule.
const STATE_BYTES_PER_LOG_BYTE: u64 = 8;

/// Where a backup is restored on trial.
#[derive(Debug, Clone, Copy)]
pub struct Scratch<'a> {
    /// A folder that is removed in any case.
    pub folder: &'a Path,
    /// The disk that it is on.
    pub disk: &'a Disk,
    /// A state that is about so many bytes large is not built in memory: of the log it is only seen then that it
    /// leads from the image to the end.
    pub state_bytes_max: u64,
}

/// What the last check of a backup found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The backup.
    pub backup: String,
    /// How far it went.
    pub depth: Depth,
    /// When it ended, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What is wrong; `None` when all is well.
    pub problem: Option<String>,
    /// Whether the log was applied on trial, and the digest of the state at the end compared.
    #[serde(default)]
    pub log_applied: bool,
    /// Events that the backup must give back.
    pub events: u64,
    /// How many of them cannot be given back, neither by it nor by those before it.
    pub events_lost: u64,
}

impl Finding {
    /// The share of events that can be given back, `1 - lost / all`.
    #[must_use]
    pub fn recovery_rate(&self) -> f64 {
        if self.events == 0 { 1.0 } else { 1.0 - self.events_lost as f64 / self.events as f64 }
    }

    fn object(id: &str) -> String {
        format!("{CHECKS}/{id}")
    }

    /// Stores it beside the backup, in the place of the one before.
    ///
    /// # Errors
    /// [`BackupError::Target`].
    pub fn store(&self, vault: &dyn Vault) -> Result<(), BackupError> {
        let json = serde_json::to_vec_pretty(self).unwrap_or_default();
        vault.put(&Self::object(&self.backup), json.into())
    }

    /// What was found last; `None` when it was never checked, or nobody can read what was found.
    ///
    /// # Errors
    /// [`BackupError::Target`].
    pub fn load(vault: &dyn Vault, id: &str) -> Result<Option<Self>, BackupError> {
        match vault.get(&Self::object(id)) {
            Ok(bytes) => Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok())),
            Err(error @ BackupError::Target { .. }) => Err(error),
            Err(_) => Ok(None),
        }
    }

    pub(super) fn remove(vault: &dyn Vault, id: &str) -> Result<(), BackupError> {
        vault.remove(&Self::object(id))
    }
}

/// The image's parts one behind the other.
struct ImageParts<'a> {
    vault: &'a dyn Vault,
    manifest: &'a Manifest,
    parts: Vec<&'a Part>,
    control: &'a Control,
    len: u64,
    name: PathBuf,
    open: RefCell<OpenPart>,
}

/// The part that was read last.
#[derive(Default)]
struct OpenPart {
    /// Where it begins in the image, and its bytes.
    bytes: Option<(u64, Bytes)>,
    /// What kept one from being read.
    problem: Option<BackupError>,
}

impl<'a> ImageParts<'a> {
    fn new(vault: &'a dyn Vault, manifest: &'a Manifest, control: &'a Control) -> Self {
        let parts: Vec<&Part> = manifest.parts_of(Holds::Image).collect();
        let len = parts.iter().map(|part| part.bytes).sum();
        let name = PathBuf::from(format!("the image of backup {}", manifest.id));
        Self { vault, manifest, parts, control, len, name, open: RefCell::default() }
    }

    fn part_with(&self, at: u64) -> Result<(u64, Bytes), BackupError> {
        let part = self.parts.iter().find(|part| (part.first..=part.last).contains(&at));
        let part = part.ok_or_else(|| BackupError::Damaged {
            part: self.name.display().to_string(),
            reason: format!("no part has its byte {at}"),
        })?;
        self.control.check()?;
        let bytes = fetch(self.vault, self.manifest, part)?;
        self.control.moved(bytes.len() as u64);
        Ok((part.first, bytes))
    }
}

impl Source for ImageParts<'_> {
    fn path(&self) -> &Path {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn take(&self, buf: &mut [u8], at: u64) -> Result<(), StoreError> {
        let mut open = self.open.borrow_mut();
        let mut done = 0;
        while done < buf.len() {
            let at = at + done as u64;
            let there = open.bytes.as_ref().filter(|(first, bytes)| (*first..first + bytes.len() as u64).contains(&at));
            let Some((first, bytes)) = there else {
                match self.part_with(at) {
                    Ok(part) => open.bytes = Some(part),
                    Err(error) => {
                        open.problem = Some(error);
                        return Err(StoreError::Closed);
                    }
                }
                continue;
            };
            let rest = &bytes[(at - first) as usize..];
            let count = rest.len().min(buf.len() - done);
            buf[done..done + count].copy_from_slice(&rest[..count]);
            done += count;
        }
        Ok(())
    }
}

/// Reads every part of a backup, and everything in it.
///
/// # Errors
/// See [`BackupError`]: the first thing that is wrong.
pub fn check_parts(vault: &dyn Vault, manifest: &Manifest, control: &Control) -> Result<(), BackupError> {
    if manifest.image.is_some() {
        check_image(vault, manifest, control)?;
    }
    check_journal(vault, manifest, control)?;
    check_log(vault, manifest, control)
}

fn check_image(vault: &dyn Vault, manifest: &Manifest, control: &Control) -> Result<(), BackupError> {
    let source = ImageParts::new(vault, manifest, control);
    let name = source.name.display().to_string();
    let checked = snapshot_file::check_source(&source);
    if let Some(error) = source.open.take().problem {
        return Err(error);
    }
    let (header, bytes) = checked.map_err(|error| blame(&name, error))?;
    let found = &header.checkpoint;
    let fits = manifest.image.as_ref().is_some_and(|facts| {
        facts.bytes == bytes && facts.at.position() == found.position && facts.digest() == Some(found.digest)
    });
    match fits && manifest.cluster() == Some(header.cluster) {
        true => Ok(()),
        false => Err(BackupError::Damaged { part: name, reason: "it is not what the manifest says".to_owned() }),
    }
}

fn check_journal(vault: &dyn Vault, manifest: &Manifest, control: &Control) -> Result<(), BackupError> {
    let mut at = Sequence(manifest.journal_after);
    let mut records = Records::new(vault, &[manifest], at.plus(1));
    while let Some(archived) = records.next()? {
        at = archived.record.view().last_sequence();
        control.check()?;
    }
    ends_at(records.object(), manifest, "event", at.0, manifest.end.sequence)
}

fn check_log(vault: &dyn Vault, manifest: &Manifest, control: &Control) -> Result<(), BackupError> {
    let mut next = manifest.log_after.next_index();
    let mut entries = Entries::new(vault, &[manifest], next);
    while let Some(entry) = entries.next()? {
        if let Some(Err(error)) = entry.proposal.as_deref().map(Proposal::from_bytes) {
            let reason = format!("entry {}: {error}", entry.position);
            return Err(BackupError::Damaged { part: entries.object().to_owned(), reason });
        }
        next = LogIndex(entry.position.index.0 + 1);
        control.check()?;
    }
    ends_at(entries.object(), manifest, "entry", next.0, manifest.end.next_index().0)
}

fn ends_at(object: &str, manifest: &Manifest, what: &str, found: u64, expected: u64) -> Result<(), BackupError> {
    if found == expected {
        return Ok(());
    }
    let part = if object.is_empty() { Manifest::object(&manifest.id) } else { object.to_owned() };
    Err(BackupError::Damaged { part, reason: format!("it leads to {what} {found}, the manifest says {expected}") })
}

/// Restores a backup into a scratch folder, which is removed in any case. Returns whether the log was applied, too.
///
/// # Errors
/// See [`BackupError`].
pub fn trial(
    vault: &dyn Vault,
    catalogue: &Catalogue,
    id: &str,
    scratch: Scratch<'_>,
    control: &Control,
) -> Result<bool, BackupError> {
    let Scratch { folder, disk, state_bytes_max } = scratch;
    if disk.exists(folder)? {
        disk.remove_folder(folder)?;
    }
    let plan = catalogue.plan(&Goal::Backup(id.to_owned()))?;
    let options = RestoreOptions { disk: disk.clone(), cluster: ClusterId::random() };
    let applies = state_bytes(&plan) <= state_bytes_max;
    let restored = match applies {
        true => restore(vault, &plan, folder, &options, control).map(drop),
        false => rehearse(vault, &plan, folder, &options, control),
    };
    let removed = if disk.exists(folder)? { disk.remove_folder(folder) } else { Ok(()) };
    restored?;
    removed?;
    Ok(applies)
}

/// About how large the state is that a restore builds.
fn state_bytes(plan: &Plan<'_>) -> u64 {
    match plan.image.and_then(|manifest| manifest.image.as_ref()) {
        Some(image) => image.records.saturating_mul(STATE_BYTES_PER_RECORD),
        None => {
            let parts = plan.log.iter().flat_map(|manifest| manifest.parts_of(Holds::Log));
            parts.map(|part| part.bytes).sum::<u64>().saturating_mul(STATE_BYTES_PER_LOG_BYTE)
        }
    }
}

/// What is left of backups of which some are damaged.
#[derive(Debug)]
pub struct Survey {
    /// The backups with damaged or missing parts.
    pub damaged: Vec<(String, BackupError)>,
    /// The newest point that can be had without them.
    pub newest: Option<Mark>,
}

/// Reads all parts of all backups.
///
/// # Errors
/// [`BackupError::Target`] and the like; what is damaged is no error here.
pub fn survey(vault: &dyn Vault, catalogue: &Catalogue, control: &Control) -> Result<Survey, BackupError> {
    let mut damaged = Vec::new();
    for manifest in &catalogue.backups {
        match check_parts(vault, manifest, control) {
            Ok(()) => {}
            Err(error) if error.is_damage() => damaged.push((manifest.id.clone(), error)),
            Err(error) => return Err(error),
        }
    }
    let newest = catalogue.sound(|id| damaged.iter().any(|(damaged, _)| damaged == id)).newest_restorable();
    Ok(Survey { damaged, newest })
}
