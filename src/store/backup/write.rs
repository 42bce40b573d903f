//! Writing a backup, from a node that goes on meanwhile.
//!
//! Everything is read from files and from the journal: neither the ledger nor its pages are touched. The
//! image is the newest snapshot's file, which is opened first. Then the end is chosen, a point that is applied
//! and so lies behind the image, however soon the next snapshot is made; what lies before it does not
//! change any more. Whatever lies between the two comes as log.

use super::control::Control;
use super::manifest::{ChainFacts, FORMAT, Holds, ImageFacts, Kind, Manifest, Mark, hex128, hex256};
use super::part::{Cutter, Entry, Shipper};
use super::vault::Vault;
use super::{BackupError, PART_BYTES, READ_BYTES};
use crate::core::StateDigest;
use crate::core::codec::{Decode as _, Encode as _, Reader};
use crate::core::event::Record;
use crate::core::types::{LogIndex, Sequence, Timestamp};
use crate::store::identity::{ClusterId, NodeId};
use crate::store::journal::JournalReader;
use crate::store::snapshot::{Outbox, SnapshotMeta};
use crate::store::{Position, StoreError};

/// The log, as a backup reads it.
pub trait LogSource: Send + Sync {
    /// The last entry that is gone.
    fn purged(&self) -> Option<Position>;

    /// Committed entries from `from` on, up to `bytes_max` of content but at least one.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read(&self, from: LogIndex, to_exclusive: LogIndex, bytes_max: usize) -> Result<Vec<Entry>, StoreError>;
}

/// A point that was applied, and the state there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The last entry applied.
    pub position: Position,
    /// The last event.
    pub sequence: Sequence,
    /// The digest of the state.
    pub digest: StateDigest,
    /// The rules of the ledger.
    pub feature_level: u32,
}

/// What a backup is made from.
pub struct Origin<'a> {
    /// The cluster.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// The newest snapshot there was before the end was chosen.
    pub image: Option<&'a (SnapshotMeta, Outbox)>,
    /// The journal.
    pub journal: &'a JournalReader,
    /// The log.
    pub log: &'a dyn LogSource,
}

impl std::fmt::Debug for Origin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin").field("node", &self.node).finish_non_exhaustive()
    }
}

/// What backup is to be written.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// Its name, used by no other.
    pub id: String,
    /// What it is to be.
    pub kind: Kind,
    /// The newest complete backup; every backup but the first takes its log up from there when it can.
    pub newest: Option<&'a Manifest>,
    /// The newest complete full backup.
    pub full: Option<&'a Manifest>,
    /// Where it ends.
    pub end: Point,
    /// The time of day, in milliseconds since the Unix epoch.
    pub now_ms: fn() -> u64,
}

/// Writes a backup, the manifest last. What is returned is complete.
///
/// # Errors
/// See [`BackupError`]. Parts may be left in the vault, which is no backup.
pub fn write(
    vault: &dyn Vault,
    origin: &Origin<'_>,
    order: &Order<'_>,
    control: &Control,
) -> Result<Manifest, BackupError> {
    if order.end.sequence == Sequence(0) {
        return Err(BackupError::Empty);
    }
    for before in [order.newest, order.full].into_iter().flatten() {
        if before.end.next_index().0 > order.end.position.index.0 + 1 {
            return Err(BackupError::NotCaughtUp { reason: format!("backup {} goes further", before.id) });
        }
        check_history(origin, before)?;
    }
    let image = image(origin, order)?;
    let (mut manifest, image) = scope(origin, order, image)?;
    let mut shipper = Shipper { vault, control, manifest: &mut manifest };
    if let Some(image) = image {
        ship_image(&mut shipper, image)?;
    }
    ship_journal(&mut shipper, origin)?;
    ship_log(&mut shipper, origin)?;
    manifest.ended_ms = (order.now_ms)();
    control.check()?;
    vault.put(&Manifest::object(&manifest.id), manifest.encode().into())?;
    Ok(manifest)
}

/// Whether a backup's journal is the beginning of this node's.
fn check_history(origin: &Origin<'_>, before: &Manifest) -> Result<(), BackupError> {
    let other = || BackupError::OtherHistory { id: before.id.clone() };
    if before.cluster() != Some(origin.cluster) {
        return Err(other());
    }
    let Some(chain) = &before.chain else { return Ok(()) };
    let sequence = Sequence(chain.sequence);
    if origin.journal.last() < Some(sequence) || origin.journal.digest_at(sequence)? != chain.digest() {
        return Err(other());
    }
    Ok(())
}

/// The time of an event; zero before the first.
fn time_of(journal: &JournalReader, sequence: Sequence) -> Result<Timestamp, BackupError> {
    Ok(journal.record_at(sequence)?.map_or(Timestamp(0), |record| record.stamp.time))
}

fn mark(journal: &JournalReader, position: Option<Position>, sequence: Sequence) -> Result<Mark, BackupError> {
    let time = time_of(journal, sequence)?.0;
    Ok(Mark { entry: position.map(Into::into), sequence: sequence.0, time })
}

/// What the manifest says of the snapshot, and the snapshot.
fn image<'a>(origin: &Origin<'a>, order: &Order<'_>) -> Result<Option<(ImageFacts, &'a Outbox)>, BackupError> {
    let Some((meta, outbox)) = origin.image else { return Ok(None) };
    if meta.position.index > order.end.position.index {
        return Err(BackupError::NotCaughtUp { reason: format!("snapshot {} goes further", meta.id) });
    }
    let checkpoint = &meta.checkpoint;
    let facts = ImageFacts {
        at: mark(origin.journal, checkpoint.position, checkpoint.sequence)?,
        digest: hex128(checkpoint.digest.to_u128()),
        records: checkpoint.records,
        bytes: meta.bytes,
    };
    Ok(Some((facts, outbox)))
}

/// What the backup will hold, by its kind and by what is still there.
fn scope<'a>(
    origin: &Origin<'_>,
    order: &Order<'_>,
    image: Option<(ImageFacts, &'a Outbox)>,
) -> Result<(Manifest, Option<&'a Outbox>), BackupError> {
    let first_kept = origin.log.purged().map_or(LogIndex(0), |purged| LogIndex(purged.index.0 + 1));
    let reached = |mark: &Mark| mark.next_index() >= first_kept;
    let gone = |mark: &Mark| BackupError::LogGone { have: first_kept, need: mark.next_index() };
    let base = match order.kind {
        Kind::Full => None,
        Kind::Differential => order.full,
        Kind::Incremental => order.newest,
    };
    let needs_image = match (order.kind, base) {
        (Kind::Full, _) | (_, None) => true,
        (Kind::Differential, Some(full)) => !reached(&full.end),
        (Kind::Incremental, Some(newest)) if reached(&newest.end) => false,
        (Kind::Incremental, Some(newest)) => return Err(gone(&newest.end)),
    };
    let image = image.filter(|_| needs_image);
    // Where the log has to begin at the latest.
    let needed = match (&image, base) {
        (Some((facts, _)), _) => facts.at,
        (None, Some(base)) => base.end,
        (None, None) => Mark::default(),
    };
    // Where the newest backup ends, if the log still reaches it, so that no point in between is lost.
    let log_after = match order.newest.map(|newest| newest.end).filter(reached) {
        Some(end) if end.next_index() < needed.next_index() => end,
        _ => needed,
    };
    if !reached(&log_after) {
        return Err(gone(&log_after));
    }
    let (image, outbox) = image.unzip();
    let end = order.end;
    let manifest = Manifest {
        format: FORMAT,
        id: order.id.clone(),
        // Without anything to go on from, whatever was asked for is a full one.
        kind: if base.is_none() { Kind::Full } else { order.kind },
        parent: base.map(|base| base.id.clone()),
        cluster: hex128(origin.cluster.0),
        node: origin.node.0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        feature_level: end.feature_level,
        begun_ms: (order.now_ms)(),
        ended_ms: 0,
        image,
        journal_after: base.map_or(0, |base| base.end.sequence),
        log_after,
        end: mark(origin.journal, Some(end.position), end.sequence)?,
        end_digest: hex128(end.digest.to_u128()),
        chain: None,
        parts: Vec::new(),
    };
    Ok((manifest, outbox))
}

fn ship_image(shipper: &mut Shipper<'_>, outbox: &Outbox) -> Result<(), BackupError> {
    let mut offset = 0;
    loop {
        let bytes = outbox.read_chunk(offset, PART_BYTES)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let next = offset + bytes.len() as u64;
        shipper.ship(Holds::Image, offset, next - 1, bytes)?;
        offset = next;
    }
}

fn ship_journal(shipper: &mut Shipper<'_>, origin: &Origin<'_>) -> Result<(), BackupError> {
    let (after, end) = (Sequence(shipper.manifest.journal_after), shipper.manifest.end.sequence());
    let mut next = after.plus(1);
    let mut cutter = Cutter::new(shipper, Holds::Journal);
    while next <= end {
        let shipped = origin.journal.read_encoded(next, end, READ_BYTES)?;
        let mut input = Reader::new(&shipped);
        let behind = next;
        while !input.remaining().is_empty() {
            let malformed = |error: crate::core::DecodeError| StoreError::Malformed { reason: error.to_string() };
            let len = u32::decode(&mut input).map_err(malformed)?;
            let encoded = input.take(len as usize, "journal record").map_err(malformed)?;
            let record = Record::from_bytes(encoded).map_err(malformed)?;
            let last = record.view().last_sequence();
            cutter.push(encoded, record.sequence.0, last.0)?;
            next = last.plus(1);
        }
        if next == behind {
            return Err(StoreError::Malformed { reason: format!("event {next} is missing in the journal") }.into());
        }
    }
    cutter.finish()?;
    shipper.manifest.chain = chain(origin.journal, end)?;
    Ok(())
}

/// The journal's chain at the last written block that ends at or before `end`.
fn chain(journal: &JournalReader, end: Sequence) -> Result<Option<ChainFacts>, BackupError> {
    let Some((sequence, digest)) = journal.chain_before(end)? else { return Ok(None) };
    Ok(Some(ChainFacts { sequence: sequence.0, digest: hex256(&digest) }))
}

fn ship_log(shipper: &mut Shipper<'_>, origin: &Origin<'_>) -> Result<(), BackupError> {
    let end = shipper.manifest.end.next_index();
    let mut next = shipper.manifest.log_after.next_index();
    let mut cutter = Cutter::new(shipper, Holds::Log);
    let mut bytes = Vec::new();
    while next < end {
        let entries = origin.log.read(next, end, READ_BYTES)?;
        if entries.first().is_none_or(|first| first.position.index != next) {
            // It was purged while it was read.
            let have = origin.log.purged().map_or(LogIndex(0), |purged| LogIndex(purged.index.0 + 1));
            return Err(BackupError::LogGone { have, need: next });
        }
        for entry in entries {
            bytes.clear();
            entry.encode(&mut bytes);
            cutter.push(&bytes, entry.position.index.0, entry.position.index.0)?;
            next = LogIndex(entry.position.index.0 + 1);
        }
    }
    cutter.finish()
}
