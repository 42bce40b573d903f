//! The sending side of a snapshot: the offer, the file, the journal the receiver lacks.
//!
//! A transfer that breaks is begun again from the offer; what the receiver has of its journal by
//! then is not sent again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::unfold;
use futures::{Stream, StreamExt};
use openraft::StorageError;
use openraft::errors::{NetworkError, StreamingError, Unreachable};
use openraft::raft::SnapshotResponse;
use openraft::type_config::TypeConfigExt;
use tokio::time::{Instant, timeout};

use super::config::{ReplicationConfig, SNAPSHOT_PART_BYTES_MAX};
use super::fault::{Fault, FaultCell};
use super::network::{Client, Peers};
use super::state_machine::{LocalSnapshot, RaftSnapshot, SnapshotData, read_journal};
use super::types::{TypeConfig, Vote};
use super::wire::{self, Route};
use crate::core::planted::{self, Mistake};
use crate::core::types::Sequence;
use crate::machine::blocking;
use crate::proto::raft::v1::install_snapshot_request::Part;
use crate::proto::raft::v1::{self as pb, InstallSnapshotRequest};
use crate::store::StoreError;
use crate::store::snapshot::Outbox;

type Sent = Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>>;

/// Sends a snapshot and waits until it is installed, or refused for a newer vote.
pub(super) async fn send(mut client: Client, route: Route, peers: &Peers, vote: Vote, snapshot: RaftSnapshot) -> Sent {
    let SnapshotData::Local(local) = snapshot.snapshot else {
        return Err(StreamingError::Network(NetworkError::from_string("there is no snapshot file to send")));
    };
    let config = peers.config();
    let incoming = local.incoming();
    let offer = pb::OfferSnapshotRequest {
        header: Some(route.header()),
        vote: Some(wire::vote(&vote)),
        meta: Some(wire::snapshot_meta(&snapshot.meta, incoming.bytes, incoming.sequence)),
    };
    let limit = config.connect_timeout + config.call_timeout;
    let answer = match timeout(limit, client.offer_snapshot(offer.clone())).await {
        Ok(answer) => answer.inspect_err(|status| peers.refused(route.target, status)),
        Err(_) => return Err(unreachable(&"the offer of a snapshot was not answered in time")),
    };
    let answer = answer.map_err(|status| unreachable(&status))?.into_inner();
    if let Some(higher) = answer.higher_vote {
        let vote = wire::parse_vote(Some(higher)).map_err(|error| unreachable(&error))?;
        return Ok(SnapshotResponse::new(vote));
    }
    let journal_next = Sequence(answer.journal_end).plus(1);
    let faults = peers.faults().clone();
    stream(client, config, faults, offer, local, journal_next).await
}

/// Sends all parts, and watches that they move on.
async fn stream(
    mut client: Client,
    config: &ReplicationConfig,
    faults: FaultCell,
    offer: pb::OfferSnapshotRequest,
    local: LocalSnapshot,
    journal_next: Sequence,
) -> Sent {
    let pulse = Pulse::default();
    let parts = parts(offer, local, journal_next, pulse.clone());
    let install = client.install_snapshot(parts);
    tokio::pin!(install);
    loop {
        let outcome = timeout(Duration::from_millis(200), &mut install).await;
        if let Some(error) = pulse.failure() {
            faults.report(Fault::Store(error.clone()));
            let source = TypeConfig::err_from_string(error);
            return Err(StreamingError::StorageError(StorageError::read_snapshot(None, source)));
        }
        match outcome {
            Ok(Ok(response)) => {
                let vote = wire::parse_vote(response.into_inner().vote).map_err(|error| unreachable(&error))?;
                return Ok(SnapshotResponse::new(vote));
            }
            Ok(Err(status)) => return Err(unreachable(&status)),
            Err(_) => {
                let (silence, all_sent) = pulse.silence();
                let limit = if all_sent { config.install_timeout } else { config.snapshot_timeout };
                if silence > limit {
                    return Err(unreachable(&"the transfer of a snapshot stands still"));
                }
            }
        }
    }
}

fn unreachable(error: &dyn std::fmt::Display) -> StreamingError<TypeConfig> {
    StreamingError::Unreachable(Unreachable::from_string(error.to_string()))
}

/// When the last part was taken, and what went wrong while reading.
#[derive(Debug, Clone)]
struct Pulse(Arc<Mutex<(Instant, bool, Option<StoreError>)>>);

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((Instant::now(), false, None))))
    }
}

impl Pulse {
    fn beat(&self, all_sent: bool) {
        let mut pulse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (pulse.0, pulse.1) = (Instant::now(), all_sent);
    }

    fn fail(&self, error: StoreError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).2 = Some(error);
    }

    fn failure(&self) -> Option<StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).2.clone()
    }

    fn silence(&self) -> (Duration, bool) {
        let pulse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (pulse.0.elapsed(), pulse.1)
    }
}

/// How far the parts have come.
enum Stage {
    Begin(pb::OfferSnapshotRequest),
    File(Arc<Outbox>, u64),
    /// The next event, and what is left of a batch that was cut.
    Journal(Sequence, Bytes),
    Done,
}

/// All parts of a transfer, read as they are sent.
fn parts(
    offer: pb::OfferSnapshotRequest,
    local: LocalSnapshot,
    journal_next: Sequence,
    pulse: Pulse,
) -> impl Stream<Item = InstallSnapshotRequest> + Send + 'static {
    let stages = unfold(Stage::Begin(offer), move |stage| {
        let (local, pulse) = (local.clone(), pulse.clone());
        async move {
            match next_part(stage, &local, journal_next).await {
                Ok(Some((part, stage))) => {
                    pulse.beat(matches!(stage, Stage::Done));
                    Some((part, stage))
                }
                Ok(None) => None,
                Err(error) => {
                    pulse.fail(error);
                    None
                }
            }
        }
    });
    stages.map(|part| InstallSnapshotRequest { part: Some(part) })
}

async fn next_part(
    stage: Stage,
    local: &LocalSnapshot,
    journal_next: Sequence,
) -> Result<Option<(Part, Stage)>, StoreError> {
    let last = local.incoming().sequence;
    match stage {
        Stage::Begin(offer) => {
            let copy = local.clone();
            let outbox = off_runtime(move || copy.snapshots.send(&copy.meta)).await?;
            Ok(Some((Part::Begin(offer), Stage::File(Arc::new(outbox), 0))))
        }
        Stage::File(outbox, offset) => {
            let reader = outbox.clone();
            let data = off_runtime(move || reader.read_chunk(offset, SNAPSHOT_PART_BYTES_MAX)).await?;
            let next = offset + data.len() as u64;
            let stage = if next >= local.meta.bytes || data.is_empty() {
                Stage::Journal(journal_next, Bytes::new())
            } else {
                Stage::File(outbox, next)
            };
            Ok(Some((Part::File(pb::FilePart { offset, data }), stage)))
        }
        Stage::Journal(from, rest) if !rest.is_empty() => Ok(Some(journal_part(rest, from))),
        Stage::Journal(from, _) if from <= last && !planted::is(Mistake::SnapshotWithoutTail) => {
            let journal = local.journal.clone();
            let (records, next) = off_runtime(move || read_journal(&journal, from, last)).await?;
            Ok(Some(journal_part(records.into(), next)))
        }
        Stage::Journal(..) => Ok(Some((Part::End(pb::SnapshotEnd {}), Stage::Done))),
        Stage::Done => Ok(None),
    }
}

/// As much of a batch as fits a message; a single record can be larger than that.
fn journal_part(mut batch: Bytes, next: Sequence) -> (Part, Stage) {
    let records = batch.split_to(batch.len().min(SNAPSHOT_PART_BYTES_MAX));
    let part = pb::JournalPart { records, cut: !batch.is_empty() };
    (Part::Journal(part), Stage::Journal(next, batch))
}

async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    blocking(work).await.unwrap_or(Err(StoreError::Closed))
}
