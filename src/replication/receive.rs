//! The receiving side of a snapshot. One transfer at a time; a new one takes the place of one that
//! broke without our noticing.

use std::sync::Arc;

use openraft::storage::Snapshot;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::apply::ApplyHandle;
use super::codec;
use super::config::{JOURNAL_BATCH_BYTES_MAX, ReplicationConfig};
use super::fault::Fault;
use super::state_machine::{RaftSnapshot, SnapshotData};
use super::types::Vote;
use super::wire::{self, WireError};
use crate::core::types::Sequence;
use crate::machine::blocking;
use crate::proto::raft::v1::install_snapshot_request::Part;
use crate::proto::raft::v1::{self as pb, InstallSnapshotRequest};
use crate::store::StoreError;
use crate::store::snapshot::{Inbox, Incoming};

/// Receives snapshots. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Receiver {
    apply: ApplyHandle,
    config: Arc<ReplicationConfig>,
    /// Held while a transfer is received.
    turn: Arc<Mutex<()>>,
    /// The number of the newest transfer; older ones give up when it changes.
    newest: watch::Sender<u64>,
}

impl Receiver {
    pub fn new(apply: ApplyHandle, config: Arc<ReplicationConfig>) -> Self {
        Self { apply, config, turn: Arc::default(), newest: watch::Sender::new(0) }
    }

    pub fn apply(&self) -> &ApplyHandle {
        &self.apply
    }

    /// The last event in this node's journal: what a snapshot's sender need not send.
    pub fn journal_end(&self) -> Sequence {
        self.apply.readers().journal.last().unwrap_or_default()
    }

    /// Receives a whole transfer and verifies it. `check` judges the header it begins with.
    pub async fn receive(
        &self,
        mut parts: Streaming<InstallSnapshotRequest>,
        check: impl FnOnce(Option<&pb::Header>) -> Result<(), Status>,
    ) -> Result<(Vote, RaftSnapshot), Status> {
        let Some(Part::Begin(offer)) = self.next(&mut parts).await? else {
            return Err(WireError("a transfer begins with its offer").into());
        };
        check(offer.header.as_ref())?;
        let vote = wire::parse_vote(offer.vote)?;
        let described = offer.meta.ok_or(WireError("no description"))?;
        let meta = wire::parse_snapshot_meta(&described)?;
        let last = meta.last_log_id.ok_or(WireError("a snapshot of nothing"))?;
        let incoming = Incoming {
            position: codec::position(last),
            sequence: Sequence(described.sequence),
            bytes: described.file_bytes,
        };

        let mut number = 0;
        self.newest.send_modify(|newest| {
            *newest += 1;
            number = *newest;
        });
        let mut newer = self.newest.subscribe();
        let _turn = self.turn.lock().await;
        tokio::select! {
            _ = newer.wait_for(|newest| *newest != number) => {
                Err(Status::aborted("another transfer has begun"))
            }
            received = self.receive_parts(parts, incoming) => {
                let received = received?;
                Ok((vote, Snapshot { meta, snapshot: received }))
            }
        }
    }

    async fn receive_parts(
        &self,
        mut parts: Streaming<InstallSnapshotRequest>,
        incoming: Incoming,
    ) -> Result<SnapshotData, Status> {
        let snapshots = self.apply.snapshots().clone();
        let mut inbox = self.blocking(move || snapshots.receive(incoming)).await?;
        let mut batch = Vec::new();
        loop {
            let Some(part) = self.next(&mut parts).await? else {
                return Err(Status::cancelled("the transfer ended before its end"));
            };
            inbox = match part {
                Part::Begin(_) => return Err(WireError("a transfer begins once").into()),
                Part::File(file) => self.keep(inbox, move |inbox| inbox.write_chunk(file.offset, &file.data)).await?,
                Part::Journal(journal) => {
                    if batch.len() + journal.records.len() > JOURNAL_BATCH_BYTES_MAX {
                        return Err(WireError("a journal record is too large").into());
                    }
                    batch.extend_from_slice(&journal.records);
                    if journal.cut {
                        continue;
                    }
                    let records = std::mem::take(&mut batch);
                    self.keep(inbox, move |inbox| inbox.append_journal(&records)).await?
                }
                Part::End(_) => {
                    let received = self.blocking(move || inbox.finish()).await?;
                    return Ok(SnapshotData::Received(Box::new(received)));
                }
            };
        }
    }

    /// The next part, which may not keep us waiting for long.
    async fn next(&self, parts: &mut Streaming<InstallSnapshotRequest>) -> Result<Option<Part>, Status> {
        match timeout(self.config.snapshot_timeout, parts.message()).await {
            Ok(message) => match message? {
                Some(message) => Ok(Some(message.part.ok_or(WireError("an empty part"))?)),
                None => Ok(None),
            },
            Err(_) => Err(Status::deadline_exceeded("the transfer stands still")),
        }
    }

    async fn keep(
        &self,
        mut inbox: Inbox,
        write: impl FnOnce(&mut Inbox) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<Inbox, Status> {
        self.blocking(move || write(&mut inbox).map(|()| inbox)).await
    }

    /// Does what blocks. What is wrong with the sender's bytes is told to the sender; what is wrong
    /// with this node's disk ends this node.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Status> {
        let done = blocking(work).await.map_err(|error| Status::unavailable(error.to_string()))?;
        done.map_err(|error| match error {
            StoreError::Malformed { .. } | StoreError::Corrupt { .. } => Status::data_loss(error.to_string()),
            StoreError::Closed => Status::unavailable(error.to_string()),
            _ => {
                let status = Status::internal(error.to_string());
                self.apply.faults().report(Fault::Store(error));
                status
            }
        })
    }
}
