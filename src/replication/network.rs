//! How this node speaks to its peers: connections, and openraft's network over them.
//!
//! Each peer has three connections, so that heartbeats and votes never queue behind entries, nor
//! entries behind a snapshot. They are made when first used and remade by themselves.

use std::collections::BTreeMap;
use std::future::Future;
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
use super::fault::FaultCell;
use super::purged;
use super::state_machine::{RaftSnapshot, SnapshotData};
use super::transfer;
use super::types::{Node, NodeId, TypeConfig, Vote};
use super::wire::{self, Route};
use crate::core::planted::{self, Mistake};
use crate::net::Dial;
use crate::proto::raft::v1 as pb;
use crate::proto::raft::v1::raft_service_client::RaftServiceClient;
use crate::store::identity::ClusterId;
use crate::store::log::Log;

/// A client of one peer.
pub(super) type Client = RaftServiceClient<Channel>;

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
    config: ReplicationConfig,
    dial: Dial,
    faults: FaultCell,
    /// The log that entries are sent from.
    log: OnceLock<Log>,
    clients: Mutex<BTreeMap<(NodeId, Lane), (String, Client)>>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").field("me", &self.shared.me).finish_non_exhaustive()
    }
}

impl Peers {
    /// The node `me` of `cluster`, which reaches its peers by `dial`.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(
        cluster: ClusterId,
        me: NodeId,
        config: ReplicationConfig,
        dial: Dial,
        faults: FaultCell,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let (log, clients) = (OnceLock::new(), Mutex::default());
        Ok(Self { shared: Arc::new(Shared { cluster, me, config, dial, faults, log, clients }) })
    }

    /// Says which log entries are sent from.
    pub(super) fn send_from(&self, log: &Log) {
        // The first one counts: a node has one log.
        let _ = self.shared.log.set(log.clone());
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

    pub(super) fn faults(&self) -> &FaultCell {
        &self.shared.faults
    }

    pub(super) fn route(&self, target: NodeId) -> Route {
        Route { cluster: self.shared.cluster, source: self.shared.me, target }
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
            Ok(answer) => answer.map(Response::into_inner),
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
        let answer = self.peers.ask(self.target, &self.node, limit, call).await;
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
            let client = self.peers.client(self.target, &self.node, Lane::Entries).map_err(|e| unreachable(&e))?;
            match self.peers.shared.log.get().cloned() {
                Some(log) => purged::open(client, self.route(), input, self.peers.config(), log).await,
                None => append::open(client, self.route(), input, self.peers.config()).await,
            }
        })
    }
}

impl Peer {
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
                let request = pb::HeartbeatRequest { append: Some(wire::append(&self.route(), request)) };
                let ask = |mut client: Client| async move { client.heartbeat(request).await };
                let response = self.ask(RPCTypes::AppendEntries, &option, ask).await?;
                wire::parse_append_answer(response.append.unwrap_or_default()).map_err(|error| unreachable(&error))
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
        let request = pb::VoteRequest { header: Some(self.route().header()), ballot: Some(wire::ballot(&rpc)) };
        let ask = |mut client: Client| async move { client.vote(request).await };
        let response = self.ask(RPCTypes::Vote, &option, ask).await?;
        wire::parse_ballot_answer(response.answer).map_err(|error| unreachable(&error))
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = pb::PreVoteRequest { header: Some(self.route().header()), ballot: Some(wire::ballot(&rpc)) };
        let ask = |mut client: Client| async move { client.pre_vote(request).await };
        let response = self.ask(RPCTypes::Vote, &option, ask).await?;
        wire::parse_ballot_answer(response.answer).map_err(|error| unreachable(&error))
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
        let client = self.peers.client(self.target, &self.node, Lane::Snapshots);
        let client = client.map_err(|status| StreamingError::Unreachable(Unreachable::new(&status)))?;
        let send = transfer::send(client, self.route(), &self.peers, vote, snapshot);
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = send => sent,
        }
    }
}
