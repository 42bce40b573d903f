//! openraft's state machine over the apply thread, and its snapshots.

use std::io;

use futures::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend};

use super::apply::ApplyHandle;
use super::codec;
use super::config::{ENTRIES_BYTES_MAX, SNAPSHOT_PART_BYTES_MAX};
use super::log_store::fail;
use super::types::{LogId, SnapshotMeta, StoredMembership, TypeConfig};
use crate::core::types::Sequence;
use crate::core::{Decode, Reader, event::Record};
use crate::machine::blocking;
use crate::store::checkpoint::Checkpoint;
use crate::store::journal::JournalReader;
use crate::store::snapshot::{self as files, Incoming, ReceivedSnapshot, SnapshotJob, Snapshots};
use crate::store::{Position, StoreError};

/// Entries handed to the apply thread at once.
const ENTRIES_PER_JOB: usize = 64;

/// A snapshot's content.
#[derive(Debug)]
pub enum SnapshotData {
    /// The state before the first entry: nothing.
    Empty,
    /// One of this node's files, to be sent.
    Local(LocalSnapshot),
    /// One that came over the network, verified, to be installed.
    Received(Box<ReceivedSnapshot>),
}

/// A snapshot file of this node, and the journal that belongs to it.
#[derive(Debug, Clone)]
pub struct LocalSnapshot {
    /// The file.
    pub meta: files::SnapshotMeta,
    /// What opens it.
    pub snapshots: Snapshots,
    /// What reads the journal.
    pub journal: JournalReader,
}

impl LocalSnapshot {
    /// What a sender announces.
    #[must_use]
    pub fn incoming(&self) -> Incoming {
        Incoming { position: self.meta.position, sequence: self.meta.checkpoint.sequence, bytes: self.meta.bytes }
    }
}

/// One step through a journal that is sent: encoded records from `from` on, each behind its length
/// as [`JournalReader::read_encoded`] gives them, and the sequence that follows them. Blocks.
pub(super) fn read_journal(
    journal: &JournalReader,
    from: Sequence,
    to: Sequence,
) -> Result<(Vec<u8>, Sequence), StoreError> {
    let malformed = |reason: String| StoreError::Malformed { reason };
    let bytes = journal.read_encoded(from, to, SNAPSHOT_PART_BYTES_MAX)?;
    let mut input = Reader::new(&bytes);
    let mut last = None;
    while !input.remaining().is_empty() {
        let record = u32::decode(&mut input).and_then(|len| input.take(len as usize, "journal record"));
        last = Some(record.map_err(|error| malformed(error.to_string()))?);
    }
    let last = last.ok_or_else(|| malformed(format!("event {from}, which belongs to a snapshot, is missing")))?;
    let last = Record::from_bytes(last).map_err(|error| malformed(error.to_string()))?;
    Ok((bytes, last.view().last_sequence().plus(1)))
}

/// The state machine. Clones share it.
#[derive(Debug, Clone)]
pub struct StateMachine {
    apply: ApplyHandle,
}

impl StateMachine {
    /// Puts openraft's interface over an apply thread, which must be running.
    #[must_use]
    pub fn new(apply: ApplyHandle) -> Self {
        Self { apply }
    }

    fn local(&self, meta: files::SnapshotMeta) -> LocalSnapshot {
        let journal = self.apply.readers().journal.clone();
        LocalSnapshot { meta, snapshots: self.apply.snapshots().clone(), journal }
    }

    fn snapshot(&self, meta: files::SnapshotMeta) -> io::Result<RaftSnapshot> {
        let raft_meta = snapshot_meta(&meta.checkpoint)?;
        Ok(Snapshot { meta: raft_meta, snapshot: SnapshotData::Local(self.local(meta)) })
    }

    /// Copies another node's file, as a transfer would. Blocks.
    fn copy_here(&self, local: &LocalSnapshot) -> Result<ReceivedSnapshot, StoreError> {
        let outbox = local.snapshots.send(&local.meta)?;
        let incoming = local.incoming();
        let mut inbox = self.apply.snapshots().receive(incoming)?;
        let mut offset = 0;
        while offset < incoming.bytes {
            let chunk = outbox.read_chunk(offset, SNAPSHOT_PART_BYTES_MAX)?;
            inbox.write_chunk(offset, &chunk)?;
            offset += chunk.len() as u64;
        }
        let mut next = self.apply.readers().journal.last().unwrap_or_default().plus(1);
        while next <= incoming.sequence {
            let (records, behind) = read_journal(&local.journal, next, incoming.sequence)?;
            inbox.append_journal(&records)?;
            next = behind;
        }
        inbox.finish()
    }
}

/// A snapshot in openraft's words.
pub(super) type RaftSnapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotData>;

/// The description of the state at a checkpoint.
pub(super) fn snapshot_meta(checkpoint: &Checkpoint) -> io::Result<SnapshotMeta> {
    Ok(SnapshotMeta {
        last_log_id: checkpoint.position.map(codec::log_id),
        last_membership: stored_membership(checkpoint.membership.as_ref())?,
    })
}

fn stored_membership(stored: Option<&(Position, bytes::Bytes)>) -> io::Result<StoredMembership> {
    match stored {
        None => Ok(StoredMembership::default()),
        Some((position, bytes)) => {
            let (membership, _) = codec::decode_roll(bytes).map_err(io::Error::other)?;
            Ok(StoredMembership::new(Some(codec::log_id(*position)), membership))
        }
    }
}

/// Writes a snapshot of the state as it was when the builder was made.
#[derive(Debug)]
pub struct SnapshotBuilder {
    machine: StateMachine,
    job: io::Result<Option<SnapshotJob>>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<RaftSnapshot> {
        let Some(job) = std::mem::replace(&mut self.job, Ok(None))? else {
            return Ok(Snapshot { meta: SnapshotMeta::default(), snapshot: SnapshotData::Empty });
        };
        let faults = self.machine.apply.faults().clone();
        let meta = blocking(|| job.run()).await?.map_err(|error| fail(&faults, error))?;
        self.machine.snapshot(meta)
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let applied = self.apply.applied().await?;
        Ok((applied.position.map(codec::log_id), stored_membership(applied.membership.as_ref())?))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut job = Vec::new();
        let mut bytes = 0;
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            if let EntryPayload::Normal(proposal) = &entry.0.payload {
                bytes += proposal.proposal().len();
            }
            job.push(entry);
            if job.len() >= ENTRIES_PER_JOB || bytes >= ENTRIES_BYTES_MAX {
                bytes = 0;
                self.apply.apply(std::mem::take(&mut job)).await?;
            }
        }
        if job.is_empty() { Ok(()) } else { self.apply.apply(job).await }
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder { machine: self.clone(), job: self.apply.begin_snapshot().await }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotData) -> io::Result<()> {
        match snapshot {
            SnapshotData::Empty => Ok(()),
            SnapshotData::Received(received) => {
                self.apply.install(*received).await?;
                tracing::info!(last = ?meta.last_log_id, "snapshot installed");
                Ok(())
            }
            SnapshotData::Local(local) => {
                let machine = self.clone();
                let faults = self.apply.faults().clone();
                let received = blocking(move || machine.copy_here(&local)).await?;
                self.apply.install(received.map_err(|error| fail(&faults, error))?).await
            }
        }
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<RaftSnapshot>> {
        let applied = self.apply.applied().await?;
        // After a crash the stored state can be older than the newest snapshot. The log brings it
        // up again; to install the snapshot over it would cost more and lose the journal between.
        let latest = self.apply.snapshots().latest().filter(|meta| Some(meta.position) <= applied.position);
        latest.map(|meta| self.snapshot(meta)).transpose()
    }
}
