//! How this node speaks to its peers: connections, and openraft's network over them.
//!
//! Each peer has three connections, so that heartbeats and votes never queue behind entries, nor
//! entries behind a snapshot. They are made when first used and remade by themselves.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::base::BoxFuture;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption, RPCTypes,
    RaftNetworkFactory,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use super::append;
use super::config::{CONNECTION_WINDOW_BYTES, ConfigError, MESSAGE_BYTES_MAX, ReplicationConfig, STREAM_WINDOW_BYTES};
use super::detector::Sign;
use super::fault::{Fault, FaultCell};
use super::figures::Figures;
use super::purged;
use super::roster::Roster;
use super::state_machine::{RaftSnapshot, SnapshotData};
use super::transfer;
use super::types::{Node, NodeId, TypeConfig, Vote};
use super::wire::{self, Route};
use crate::core::planted::{self, Mistake};
use crate::net::Dial;
use crate::proto::raft::v1 as pb;
use crate::proto::raft::v1::raft_service_client::RaftServiceClient;
use crate::store::identity::{ClusterId, DiskId};
use crate::store::log::Log;

/// A client of one peer.
pub(super) type Client = RaftServiceClient<Channel>;

/// The metadata of a status that refuses a node as such, see [`Stranger`](super::roster::Stranger).
pub(super) const STRANGER_METADATA: &str = "counterfoil-stranger";

/// Which of a peer's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Heartbeats, votes, questions: small and urgent.
    Control,
    /// Streams of entries.
    Entries,
    /// Snapshots.
    Snapshots,
}

/// Who we are, and the connections to all others. Cheap to clone.
#[derive(Clone)]
pub struct Peers {
    shared: Arc<Shared>,
}

struct Shared {
    cluster: ClusterId,
    me: NodeId,
    disk: DiskId,
    config: ReplicationConfig,
    dial: Dial,
    faults: FaultCell,
    roster: Roster,
    figures: Figures,
    /// The log that entries are sent from.
    log: OnceLock<Log>,
    clients: Mutex<BTreeMap<(NodeId, Lane), (String, Client)>>,
    /// Nothing is sent that would keep the others from electing; see `give_way`.
    silent: AtomicBool,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").field("me", &self.shared.me).finish_non_exhaustive()
    }
}

impl Peers {
    /// The node `me` of `cluster` with its data on `disk`, which reaches its peers by `dial`.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(
        cluster: ClusterId,
        me: NodeId,
        disk: DiskId,
        config: ReplicationConfig,
        dial: Dial,
        faults: FaultCell,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let (roster, log, clients) = (Roster::default(), OnceLock::new(), Mutex::default());
        let figures = Figures::new(config.election_max, config.digest_interval * 3);
        let silent = AtomicBool::new(false);
        let shared = Shared { cluster, me, disk, config, dial, faults, roster, figures, log, clients, silent };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Says which log entries are sent from.
    pub(super) fn send_from(&self, log: &Log) {
        // The first one counts: a node has one log.
        let _ = self.shared.log.set(log.clone());
    }

    /// The last index of this node's log, counting what is not on disk yet; 0 in an empty one.
    pub(super) fn last_index(&self) -> u64 {
        self.shared.log.get().and_then(|log| log.bounds().last).map_or(0, |last| last.index.0)
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.shared.cluster
    }

    /// This node.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.shared.me
    }

    /// How connections to other nodes are made.
    #[must_use]
    pub fn dial(&self) -> &Dial {
        &self.shared.dial
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &ReplicationConfig {
        &self.shared.config
    }

    /// The disk this node keeps its data on.
    #[must_use]
    pub fn disk(&self) -> DiskId {
        self.shared.disk
    }

    /// Sends no entries and no heartbeats from now on, or sends them again.
    pub(super) fn set_silent(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::Relaxed);
    }

    /// What is not to be sent while this leader gives way.
    pub(super) fn check_may_speak(&self) -> Result<(), RPCError<TypeConfig>> {
        match self.shared.silent.load(Ordering::Relaxed) {
            true => Err(unreachable(&"this leader gives way")),
            false => Ok(()),
        }
    }

    pub(super) fn faults(&self) -> &FaultCell {
        &self.shared.faults
    }

    pub(super) fn roster(&self) -> &Roster {
        &self.shared.roster
    }

    pub(super) fn figures(&self) -> &Figures {
        &self.shared.figures
    }

    pub(super) fn route(&self, target: NodeId) -> Route {
        let Shared { cluster, me, disk, roster, .. } = &*self.shared;
        Route { cluster: *cluster, source: *me, target, source_disk: *disk, target_disk: roster.disk(target) }
    }

    /// A call that a peer refused. When it refuses this node as such, this node ends.
    pub(super) fn refused(&self, by: NodeId, status: &Status) {
        if status.metadata().contains_key(STRANGER_METADATA) {
            self.faults().report(Fault::Expelled { by, reason: status.message().to_owned() });
        }
    }

    /// The client of a peer; made anew when its address has changed.
    pub(super) fn client(&self, target: NodeId, node: &Node, lane: Lane) -> Result<Client, Status> {
        let mut clients = self.shared.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((address, client)) = clients.get(&(target, lane))
            && *address == node.raft
        {
            return Ok(client.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{}", node.raft))
            .map_err(|error| Status::invalid_argument(format!("address of node {target}, {}: {error}", node.raft)))?
            .connect_timeout(self.shared.config.connect_timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(self.shared.config.append_timeout)
            .keep_alive_timeout(self.shared.config.append_timeout)
            .keep_alive_while_idle(true);
        let client = RaftServiceClient::new((self.shared.dial)(endpoint))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        clients.insert((target, lane), (node.raft.clone(), client.clone()));
        Ok(client)
    }

    /// Asks one thing of a peer, for at most `limit`.
    pub(super) async fn ask<T, F>(
        &self,
        target: NodeId,
        node: &Node,
        limit: Duration,
        call: impl FnOnce(Client) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let client = self.client(target, node, Lane::Control)?;
        match tokio::time::timeout(limit, call(client)).await {
            Ok(answer) => answer.map(Response::into_inner).inspect_err(|status| self.refused(target, status)),
            Err(_) => Err(Status::deadline_exceeded(format!("node {target} did not answer within {limit:?}"))),
        }
    }
}

/// openraft's way to one peer.
#[derive(Debug, Clone)]
pub struct Peer {
    peers: Peers,
    target: NodeId,
    node: Node,
    /// Heartbeats go as single calls on the control connection.
    heartbeats: bool,
}

impl Peer {
    fn route(&self) -> Route {
        self.peers.route(self.target)
    }

    /// Where it is reached now: openraft keeps a stream's target as it was when the stream began.
    fn node(&self) -> Node {
        self.peers.roster().node(self.target).unwrap_or_else(|| self.node.clone())
    }

    async fn ask<T, F>(
        &self,
        action: RPCTypes,
        option: &RPCOption,
        call: impl FnOnce(Client) -> F,
    ) -> Result<T, RPCError<TypeConfig>>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let limit = option.soft_ttl();
        let answer = self.peers.ask(self.target, &self.node(), limit, call).await;
        answer.map_err(|status| self.error(action, limit, &status))
    }

    /// A failed call in openraft's words. Everything but a time-out says to wait before the next try.
    fn error(&self, action: RPCTypes, timeout: Duration, status: &Status) -> RPCError<TypeConfig> {
        if status.code() == tonic::Code::DeadlineExceeded {
            return RPCError::Timeout(Timeout { action, id: self.peers.me(), target: self.target, timeout });
        }
        unreachable(status)
    }
}

/// A failed call, after which to wait before the next try.
pub(super) fn unreachable(error: &dyn std::fmt::Display) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::from_string(error.to_string()))
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: NodeId, node: &Node) -> Peer {
        Peer { peers: self.clone(), target, node: node.clone(), heartbeats: false }
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Node) -> Peer {
        Peer { peers: self.clone(), target, node: node.clone(), heartbeats: true }
    }
}

impl NetBackoff<TypeConfig> for Peer {
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

impl NetStreamAppend<TypeConfig> for Peer {
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>, RPCError<TypeConfig>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            if self.heartbeats {
                return Ok(self.heartbeats(input, option).boxed());
            }
            if planted::is(Mistake::MinorityAnswers) && super::planted::is_granted() {
                return Ok(super::planted::has_everything(input));
            }
            let client = self.peers.client(self.target, &self.node(), Lane::Entries).map_err(|e| unreachable(&e))?;
            let peers = self.peers.clone();
            match self.peers.shared.log.get().cloned() {
                Some(log) => purged::open(client, peers, self.target, input, log).await,
                None => append::open(client, peers, self.target, input).await,
            }
        })
    }
}

impl Peer {
    /// A voter's answer; whether it is under repair is kept, to be shown.
    fn read_ballot(&self, answer: Option<pb::BallotAnswer>) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let under_repair = answer.as_ref().is_some_and(|answer| answer.under_repair);
        self.peers.roster().note_repair(self.target, under_repair);
        wire::parse_ballot_answer(answer).map_err(|error| unreachable(&error))
    }

    /// Each request as a call of its own, in order.
    fn heartbeats<'s, S>(
        &'s self,
        input: S,
        option: RPCOption,
    ) -> impl Stream<Item = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>> + Send + 's
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        input.then(move |request| {
            let option = option.clone();
            async move {
                self.peers.check_may_speak()?;
                let term = request.vote.leader_id.term;
                let acknowledged = self.peers.roster().acknowledged(self.target, term);
                let goal = self.peers.roster().repair_goal(self.target, term);
                let goal = goal.map(|(repair, index)| pb::RepairGoal { repair, index });
                let append = wire::append(&self.route(), request, acknowledged, goal);
                let request = pb::HeartbeatRequest { append: Some(append) };
                let ask = |mut client: Client| async move { client.heartbeat(request).await };
                let response = self.ask(RPCTypes::AppendEntries, &option, ask).await?;
                self.peers.figures().heard(self.target, Sign::Heartbeat);
                let answer = response.append.unwrap_or_default();
                append::read_answer(answer, self.peers.roster(), (self.target, term), self.peers.last_index())
            }
        })
    }
}

impl NetVote<TypeConfig> for Peer {
    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let rpc = super::planted::ballot(rpc);
        let request = pb::VoteRequest { header: Some(self.route().header()), ballot: Some(wire::ballot(&rpc)) };
        let ask = |mut client: Client| async move { client.vote(request).await };
        let response = self.ask(RPCTypes::Vote, &option, ask).await?;
        self.read_ballot(response.answer)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let rpc = super::planted::ballot(rpc);
        let request = pb::PreVoteRequest { header: Some(self.route().header()), ballot: Some(wire::ballot(&rpc)) };
        let ask = |mut client: Client| async move { client.pre_vote(request).await };
        let response = self.ask(RPCTypes::Vote, &option, ask).await?;
        self.read_ballot(response.answer)
    }
}

impl NetTransferLeader<TypeConfig> for Peer {
    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = wire::transfer(&self.route(), &rpc);
        let ask = |mut client: Client| async move { client.transfer_leader(request).await };
        let response = self.ask(RPCTypes::TransferLeader, &option, ask).await?;
        wire::parse_transfer_answer(response).map_err(|error| unreachable(&error))
    }
}

impl NetSnapshot<TypeConfig> for Peer {
    type SnapshotData = SnapshotData;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: RaftSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let client = self.peers.client(self.target, &self.node(), Lane::Snapshots);
        let client = client.map_err(|status| StreamingError::Unreachable(Unreachable::new(&status)))?;
        let send = transfer::send(client, self.route(), &self.peers, vote, snapshot);
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = send => sent,
        }
    }
}
