//! What this node answers its peers: the gRPC service of the Raft port.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::unfold;
use futures::{Stream, StreamExt};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use openraft::vote::RaftVote;
use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status, Streaming};

use super::backup::work::{self as backup, Declined, Desk};
use super::codec;
use super::config::{
    CONNECTION_WINDOW_BYTES, MESSAGE_BYTES_MAX, ReplicationConfig, STREAM_WINDOW_BYTES, STREAMS_PER_CONNECTION_MAX,
};
use super::detector::Sign;
use super::fault::Fault;
use super::mend;
use super::network::{Peers, STRANGER_METADATA};
use super::read_index::ReadIndex;
use super::receive::Receiver;
use super::repair::{self, Heartbeat, Repair};
use super::replica::ReadError;
use super::roster::{Stranger, still_has};
use super::state_machine::SnapshotData;
use super::types::{NodeId, Raft, TypeConfig};
use super::wire::{self, Route, check_header};
use crate::core::planted::{self, Mistake};
use crate::core::types::Sequence;
use crate::proto::raft::v1 as pb;
use crate::proto::raft::v1::raft_service_server::{RaftService, RaftServiceServer};
use crate::store::Position;
use crate::store::log::Log;

/// The service. Clones share it.
#[derive(Clone)]
pub struct Service {
    pub(super) peers: Peers,
    pub(super) config: Arc<ReplicationConfig>,
    pub(super) log: Log,
    pub(super) raft: Raft,
    pub(super) read_index: ReadIndex,
    pub(super) receiver: Receiver,
    pub(super) desk: Arc<Desk>,
    pub(super) repair: Repair,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("me", &self.peers.me()).finish_non_exhaustive()
    }
}

/// Streams that peers may have given up before they were looked at.
const RESET_STREAMS_MAX: usize = 1_024;

impl Service {
    /// A server with this service and its limits, for the node to run.
    #[must_use]
    pub fn router(&self) -> Router {
        let alive = self.config.append_timeout;
        Server::builder()
            .tcp_nodelay(true)
            .http2_keepalive_interval(Some(alive))
            .http2_keepalive_timeout(Some(alive))
            .max_concurrent_streams(Some(STREAMS_PER_CONNECTION_MAX))
            // Heartbeats are cut short by their time-outs, many at once after a pause: that is no attack.
            .http2_max_pending_accept_reset_streams(Some(RESET_STREAMS_MAX))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .add_service(
                RaftServiceServer::new(self.clone())
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .max_encoding_message_size(MESSAGE_BYTES_MAX),
            )
    }

    /// Refuses what is meant for another, and a speaker that is not the node its id stands for. When
    /// it is this node that is another one than is meant, this node ends.
    fn check(&self, header: Option<&pb::Header>) -> Result<NodeId, Status> {
        let Route { source, source_disk, target_disk, .. } =
            check_header(header, self.peers.cluster(), self.peers.me())?;
        if planted::is(Mistake::DiskUnchecked) {
            return Ok(source);
        }
        if let Some(known) = target_disk.filter(|disk| *disk != self.peers.disk()) {
            let reason = Stranger::OtherDisk { node: self.peers.me(), known, found: self.peers.disk() }.to_string();
            self.peers.faults().report(Fault::Expelled { by: source, reason: reason.clone() });
            return Err(Status::failed_precondition(reason));
        }
        let removed = self.receiver.apply().removed(source).then_some(Stranger::Removed(source));
        match removed.map_or_else(|| self.peers.roster().meet(source, source_disk), Err) {
            Ok(()) => Ok(source),
            Err(stranger) => {
                tracing::warn!(%stranger, "refused");
                let mut status = Status::failed_precondition(stranger.to_string());
                status.metadata_mut().insert(STRANGER_METADATA, MetadataValue::from_static("1"));
                Err(status)
            }
        }
    }

    fn parse_append(&self, request: pb::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>, Status> {
        self.check(request.header.as_ref())?;
        let acknowledged = request.acknowledged.map(wire::parse_log_id);
        let source = request.header.as_ref().map_or(0, |header| header.source);
        let bytes = request.entries.iter().map(|entry| entry.payload.len()).sum();
        let append = wire::parse_append(request)?;
        self.repair.took_entries(source, append.entries.len(), bytes);
        // Of a node under repair it is known what it lacks.
        if let Some(acknowledged) = acknowledged.filter(|_| !self.repair.stands()) {
            self.check_acknowledged(append.vote.leader_id.term, codec::position(acknowledged))?;
        }
        Ok(append)
    }

    /// Ends this node when it lacks what it acknowledged to the leader of this term.
    fn check_acknowledged(&self, term: u64, acknowledged: Position) -> Result<(), Status> {
        let last = self.log.bounds().last;
        let applied = self.receiver.apply().position();
        if still_has(acknowledged, last, applied) {
            return Ok(());
        }
        // A leader of an older term may be cut short by a newer one, and not know it yet.
        let vote = self.log.vote().and_then(|bytes| codec::decode_vote(&bytes).ok());
        if vote.is_some_and(|vote| vote.leader_id.term > term) {
            return Ok(());
        }
        let last = last.unwrap_or_default();
        let fault = Fault::Reverted { node: self.peers.me(), acknowledged, last };
        let status = Status::failed_precondition(fault.to_string());
        self.peers.faults().report(fault);
        Err(status)
    }

    /// Runs an answer that must come soon.
    async fn soon<T>(&self, answer: impl Future<Output = Result<T, Status>>) -> Result<Response<T>, Status> {
        let limit = self.config.call_timeout.max(self.config.election_max);
        match timeout(limit, answer).await {
            Ok(answer) => answer.map(Response::new),
            Err(_) => Err(Status::deadline_exceeded("the node is too busy to answer")),
        }
    }
}

/// A node whose Raft has stopped is of no use to its peers, and is about to end.
pub(super) fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("raft has stopped: {error}"))
}

/// The first fault of a stream's requests, told to the peer when the answers have been sent.
#[derive(Debug, Clone, Default)]
struct Refusal(Arc<Mutex<Option<Status>>>);

impl Refusal {
    fn set(&self, status: Status) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    fn take(&self) -> Option<Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The requests of a stream until it ends, is silent for too long, or carries what must be refused.
fn requests(
    service: Service,
    messages: Streaming<pb::AppendRequest>,
    idle: Duration,
    refusal: Refusal,
) -> impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static {
    unfold((service, messages, refusal), move |(service, mut messages, refusal)| async move {
        let message = match timeout(idle, messages.message()).await {
            Ok(Ok(Some(message))) => message,
            // Ended by the leader, or idle: the leader opens another when it has something to say.
            Ok(Ok(None)) | Err(_) => return None,
            Ok(Err(status)) => {
                refusal.set(status);
                return None;
            }
        };
        match service.parse_append(message) {
            Ok(request) => Some((request, (service, messages, refusal))),
            Err(status) => {
                refusal.set(status);
                None
            }
        }
    })
}

/// Who waits for the end of this node's process.
type Attending = Pin<Box<dyn Stream<Item = Result<pb::AttendResponse, Status>> + Send>>;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl RaftService for Service {
    type AppendStream = Answers<pb::AppendResponse>;
    type AttendStream = Attending;
    type GetJournalStream = Answers<pb::JournalPart>;

    async fn append(
        &self,
        request: Request<Streaming<pb::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let refusal = Refusal::default();
        let requests = requests(self.clone(), request.into_inner(), self.config.append_idle, refusal.clone());
        let (repair, begun) = (self.repair.clone(), self.repair.number());
        let answers = self.raft.stream_append(requests).map(move |answer| match answer {
            Ok(answer) => {
                // A conflict may have been found before the repair ended.
                let number = if answer.is_ok() { repair.number() } else { begun };
                Ok(wire::append_answer(answer, number))
            }
            Err(fatal) => Err(stopped(fatal)),
        });
        let end = futures::stream::once(async move { refusal.take().map(Err) }).filter_map(std::future::ready);
        Ok(Response::new(Box::pin(answers.chain(end))))
    }

    async fn heartbeat(
        &self,
        request: Request<pb::HeartbeatRequest>,
    ) -> Result<Response<pb::HeartbeatResponse>, Status> {
        let append = request.into_inner().append.ok_or(wire::WireError("no append"))?;
        let source = append.header.as_ref().map_or(0, |header| header.source);
        let goal = append.repair_goal;
        // A conflict is found before the repair may end, and told after.
        let repair = self.repair.number();
        let append = self.parse_append(append)?;
        if !append.entries.is_empty() {
            return Err(wire::WireError("a heartbeat carries no entries").into());
        }
        let previous = append.prev_log_id;
        self.soon(async {
            let answer = self.raft.append_entries(append).await.map_err(stopped)?;
            self.peers.figures().heard(source, Sign::Heartbeat);
            if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
                self.peers.figures().led_by(source);
            }
            let answer = wire::heartbeat_answer(answer, previous);
            if let (Ok(Some(matched)), true) = (&answer, self.repair.stands()) {
                let heartbeat = Heartbeat { leader: source, matched: matched.index, goal };
                if self.repair.heard(heartbeat) {
                    self.repair.finish().await.map_err(|fault| {
                        let status = Status::internal(fault.to_string());
                        self.peers.faults().report(fault);
                        status
                    })?;
                }
            }
            let number = if answer.is_ok() { self.repair.number() } else { repair };
            let answer = wire::append_answer(answer, number);
            Ok(pb::HeartbeatResponse { append: Some(answer) })
        })
        .await
    }

    async fn vote(&self, request: Request<pb::VoteRequest>) -> Result<Response<pb::VoteResponse>, Status> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let ballot = wire::parse_ballot(request.ballot)?;
        self.soon(async {
            let answer = match self.repair.may_vote(repair::last_of(&ballot)) {
                true => self.raft.vote(ballot).await.map_err(stopped)?,
                false => Repair::refusal(&self.raft),
            };
            Ok(pb::VoteResponse { answer: Some(wire::ballot_answer(&answer, self.repair.stands())) })
        })
        .await
    }

    async fn pre_vote(&self, request: Request<pb::PreVoteRequest>) -> Result<Response<pb::PreVoteResponse>, Status> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let ballot = wire::parse_ballot(request.ballot)?;
        self.soon(async {
            let answer = match self.repair.may_vote(repair::last_of(&ballot)) {
                true => self.raft.pre_vote(ballot).await.map_err(stopped)?,
                false => Repair::refusal(&self.raft),
            };
            Ok(pb::PreVoteResponse { answer: Some(wire::ballot_answer(&answer, self.repair.stands())) })
        })
        .await
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderResponse>, Status> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let transfer = wire::parse_transfer(request)?;
        if self.repair.stands() {
            return Err(Status::failed_precondition("this node is under repair and cannot lead"));
        }
        self.soon(async {
            let answer = self.raft.handle_transfer_leader(transfer).await.map_err(stopped)?;
            Ok(wire::transfer_answer(answer))
        })
        .await
    }

    async fn offer_snapshot(
        &self,
        request: Request<pb::OfferSnapshotRequest>,
    ) -> Result<Response<pb::OfferSnapshotResponse>, Status> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let theirs = wire::parse_vote(request.vote)?;
        wire::parse_snapshot_meta(&request.meta.unwrap_or_default())?;
        let mine = self.raft.metrics().borrow_watched().vote;
        let newer = RaftVote::partial_cmp(&mine, &theirs).is_some_and(std::cmp::Ordering::is_gt);
        let higher_vote = newer.then(|| wire::vote(&mine));
        Ok(Response::new(pb::OfferSnapshotResponse { higher_vote, journal_end: self.receiver.journal_end().0 }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<pb::InstallSnapshotRequest>>,
    ) -> Result<Response<pb::InstallSnapshotResponse>, Status> {
        let mut source = 0;
        let check = |header: Option<&pb::Header>| self.check(header).map(|from| source = from);
        let (vote, snapshot) = self.receiver.receive(request.into_inner(), check).await?;
        if let SnapshotData::Received(received) = &snapshot.snapshot {
            self.repair.took_snapshot(source, received.bytes());
        }
        let answer = self.raft.install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        Ok(Response::new(pb::InstallSnapshotResponse { vote: Some(wire::vote(&answer.vote)) }))
    }

    async fn get_read_index(
        &self,
        request: Request<pb::GetReadIndexRequest>,
    ) -> Result<Response<pb::GetReadIndexResponse>, Status> {
        self.check(request.into_inner().header.as_ref())?;
        let index = self.read_index.confirm_here().await.map_err(|error| match error {
            ReadError::Overloaded => Status::resource_exhausted(error.to_string()),
            _ => Status::unavailable(error.to_string()),
        })?;
        Ok(Response::new(pb::GetReadIndexResponse { index: index.0 }))
    }

    async fn get_state(&self, request: Request<pb::GetStateRequest>) -> Result<Response<pb::GetStateResponse>, Status> {
        self.check(request.into_inner().header.as_ref())?;
        self.soon(async {
            let initialized = self.raft.is_initialized().await.map_err(stopped)?;
            Ok(pb::GetStateResponse { initialized, disk: wire::disk(self.peers.disk()) })
        })
        .await
    }

    async fn attend(&self, request: Request<pb::AttendRequest>) -> Result<Response<Attending>, Status> {
        self.check(request.into_inner().header.as_ref())?;
        Ok(Response::new(Box::pin(futures::stream::pending())))
    }

    async fn get_journal(
        &self,
        request: Request<pb::GetJournalRequest>,
    ) -> Result<Response<Self::GetJournalStream>, Status> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let journal = self.receiver.apply().readers().journal.clone();
        let (first, last) = (Sequence(request.first), Sequence(request.last));
        if first < Sequence(1) || journal.last() < Some(last) {
            return Err(Status::out_of_range("this node's journal does not have these events"));
        }
        Ok(Response::new(Box::pin(mend::records(journal, first, last))))
    }

    async fn assign_backup_work(
        &self,
        request: Request<pb::AssignBackupWorkRequest>,
    ) -> Result<Response<pb::AssignBackupWorkResponse>, Status> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let work = wire::parse_backup_work(request.work)?;
        if self.repair.stands() {
            let reason = "this node is under repair".to_owned();
            return Ok(Response::new(pb::AssignBackupWorkResponse { reason, ..Default::default() }));
        }
        let answer = match self.desk.put(work, backup::now_ms()) {
            // It is what was asked for that is being done.
            Ok(backup_id) | Err(Declined::AtIt { backup: backup_id }) => {
                pb::AssignBackupWorkResponse { accepted: true, backup_id, ..Default::default() }
            }
            Err(declined) => pb::AssignBackupWorkResponse { reason: declined.to_string(), ..Default::default() },
        };
        Ok(Response::new(answer))
    }

    async fn get_digests(
        &self,
        request: Request<pb::GetDigestsRequest>,
    ) -> Result<Response<pb::GetDigestsResponse>, Status> {
        self.check(request.into_inner().header.as_ref())?;
        self.soon(async {
            let digests = self.receiver.apply().digests().await.map_err(stopped)?;
            let digest = |(index, digest): (crate::core::types::LogIndex, crate::core::StateDigest)| pb::StateDigest {
                index: index.0,
                digest: bytes::Bytes::copy_from_slice(&digest.to_u128().to_le_bytes()),
            };
            Ok(pb::GetDigestsResponse { digests: digests.into_iter().map(digest).collect() })
        })
        .await
    }
}
