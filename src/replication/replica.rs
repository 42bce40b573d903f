//! The handle through which the server uses the cluster.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use openraft::errors::{ClientWriteError, ForwardToLeader};
use openraft::impls::ProgressResponder;
use openraft::raft::ClientWriteResult;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::unconstrained;
use tokio::time::{sleep, timeout, timeout_at};

use super::ahead;
use super::apply::ApplyHandle;
use super::backup::work::Desk;
use super::config::{PROPOSAL_BYTES_MAX, PROPOSALS_BYTES_MAX, PROPOSALS_MAX};
use super::fault::Fault;
use super::figures::Measured;
use super::log_store::LogStore;
use super::network::Peers;
use super::read_index::ReadIndex;
use super::receive::Receiver;
use super::repair::Repair;
use super::service::Service;
use super::state_machine::StateMachine;
use super::status::{self, Leadership, Published, Status};
use super::types::{Applied, Node, NodeId, ProposalBytes, Raft, TypeConfig};
use crate::core::Ledger;
use crate::core::StateDigest;
use crate::core::planted::{self, Mistake};
use crate::core::types::{Sequence, Term};
use crate::machine::Instant;
use crate::net::Dial;
use crate::store::engine;
use crate::store::log::Log;

/// Why a proposal has no answer. Each is safe to send again, to the node that leads: a command
/// takes effect once, however often it is proposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads, or none is known to.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<(NodeId, Node)>,
    },
    /// Too many proposals are in flight, or this one is larger than
    /// [`PROPOSAL_BYTES_MAX`](super::config::PROPOSAL_BYTES_MAX); nothing was queued.
    #[error("too many proposals in flight")]
    Overloaded,
    /// This node leads but cannot reach a majority. A proposal that was accepted before may still
    /// be committed.
    #[error("no majority of the cluster can be reached")]
    Unavailable,
    /// The node is stopping.
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// Why a read cannot be answered as fresh as was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nobody is known to lead, or the leader did not confirm its office. Retry.
    #[error("no leader could confirm the read")]
    NoLeader,
    /// The state asked for was not reached in time. Retry.
    #[error("the state was not reached in time")]
    TimedOut,
    /// Too many reads are waiting.
    #[error("too many reads are waiting")]
    Overloaded,
    /// The node is stopping.
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// Runs closures on the live state, between proposals.
#[derive(Debug, Clone)]
pub struct StateReader {
    apply: ApplyHandle,
}

impl StateReader {
    /// Runs `look` on the state as of some moment after this call. Keep it short: nothing is
    /// applied meanwhile.
    ///
    /// # Errors
    /// When too many reads wait, or the node is stopping.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Ledger) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        self.apply.read(look).await
    }
}

/// A proposal on its way. Dropping it does not take the proposal back.
pub struct Pending(BoxFuture<'static, Result<Applied, ProposeError>>);

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

impl Future for Pending {
    type Output = Result<Applied, ProposeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

/// Bytes that one unit of the in-flight limit stands for.
const UNIT_BYTES: usize = 1 << 10;

/// The least a proposal counts, in units: so that no more than [`PROPOSALS_MAX`] are in flight.
const UNITS_MIN: usize = PROPOSALS_BYTES_MAX / UNIT_BYTES / PROPOSALS_MAX;

const UNITS_MAX: u32 = (PROPOSALS_BYTES_MAX / UNIT_BYTES) as u32;

/// This node's part in the cluster. Cheap to clone.
#[derive(Clone)]
pub struct Replica {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub raft: Raft,
    pub apply: ApplyHandle,
    pub peers: Peers,
    pub leadership: watch::Sender<Leadership>,
    pub stopping: AtomicBool,
    read_index: ReadIndex,
    receiver: Receiver,
    pub log: Log,
    /// Where work with backups waits.
    pub desk: Arc<Desk>,
    /// This node's own.
    pub repair: Repair,
    in_flight: Arc<Semaphore>,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica").field("me", &self.shared.peers.me()).finish_non_exhaustive()
    }
}

impl Replica {
    /// Joins Raft with what is on disk. The log's, the persister's and the apply thread must be
    /// running: what is known to be committed is applied before this returns. Afterwards the node
    /// runs [`Self::supervise`], [`Self::exchange_digests`] and the service's [`Service::router`].
    ///
    /// # Errors
    /// When what is on disk cannot be read or contradicts itself.
    pub async fn open(peers: Peers, log: Log, apply: ApplyHandle, repair: Repair) -> Result<Self, Fault> {
        let stopped = |error: &dyn std::fmt::Display| Fault::Raft(error.to_string());
        let mut config = peers.config().to_raft().map_err(|error| stopped(&error))?;
        config.enable_elect = !repair.stands();
        let config = Arc::new(config);
        peers.send_from(&log);
        let log_store = LogStore::new(log.clone(), apply.faults().clone());
        let machine = StateMachine::new(apply.clone());
        ahead::cover(&log, &apply).await?;
        let raft = Raft::new(peers.me(), config, peers.clone(), log_store, machine).await;
        let raft = raft.map_err(|error| apply.faults().get().unwrap_or_else(|| stopped(&error)))?;
        peers.roster().set_members(status::metrics(&raft).membership_config.membership());
        let receiver = Receiver::new(apply.clone(), Arc::new(peers.config().clone()));
        let read_index = ReadIndex::new(raft.clone(), peers.clone());
        let shared = Shared {
            raft,
            apply,
            peers,
            leadership: watch::Sender::new(Leadership::default()),
            stopping: AtomicBool::new(false),
            read_index,
            receiver,
            in_flight: Arc::new(Semaphore::new(UNITS_MAX as usize)),
            log,
            desk: Arc::default(),
            repair,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What answers the peers.
    #[must_use]
    pub fn service(&self) -> Service {
        let peers = &self.shared.peers;
        Service {
            peers: peers.clone(),
            config: Arc::new(peers.config().clone()),
            log: self.shared.log.clone(),
            raft: self.shared.raft.clone(),
            read_index: self.shared.read_index.clone(),
            receiver: self.shared.receiver.clone(),
            desk: self.shared.desk.clone(),
            repair: self.shared.repair.clone(),
        }
    }

    /// Where this node's work with backups waits.
    pub(super) fn desk(&self) -> &Desk {
        &self.shared.desk
    }

    /// How much disk the log takes, in bytes.
    pub(super) fn log_bytes(&self) -> u64 {
        self.shared.log.disk_bytes()
    }

    /// Queues a proposal now; its answer comes later. Proposals of one caller keep their order.
    /// `proposal` is the encoding of a [`Proposal`](crate::core::command::Proposal).
    ///
    /// # Errors
    /// When nothing was queued; see [`ProposeError`].
    pub fn propose(&self, proposal: Bytes) -> Result<Pending, ProposeError> {
        if self.shared.stopping.load(Ordering::Relaxed) {
            return Err(ProposeError::ShuttingDown);
        }
        let term = {
            let leadership = self.shared.leadership.borrow();
            if !leadership.serving {
                return Err(refusal(&leadership, self.shared.peers.me()));
            }
            leadership.term
        };
        if proposal.len() > PROPOSAL_BYTES_MAX {
            return Err(ProposeError::Overloaded);
        }
        let units = proposal.len().div_ceil(UNIT_BYTES).max(UNITS_MIN) as u32;
        let permit = self.shared.in_flight.clone().try_acquire_many_owned(units);
        let permit = permit.map_err(|_| ProposeError::Overloaded)?;

        let (responder, answer) = ProgressResponder::complete_only();
        let write = self.shared.raft.client_write_ff(ProposalBytes::new(&proposal), Some(responder));
        // Queueing only waits while openraft's queue is full, which the limit above prevents: so
        // one poll is enough, unless the runtime's own budget cut it short.
        match unconstrained(write).now_or_never() {
            Some(Ok(())) => Ok(Pending(Box::pin(self.clone().answer(answer, term, permit)))),
            Some(Err(_)) => Err(ProposeError::ShuttingDown),
            None => Err(ProposeError::Overloaded),
        }
    }

    /// Waits for a proposal's fate, but no longer than this node can learn it.
    async fn answer(
        self,
        answer: oneshot::Receiver<ClientWriteResult<TypeConfig>>,
        term: Term,
        permit: OwnedSemaphorePermit,
    ) -> Result<Applied, ProposeError> {
        let _permit = permit;
        tokio::select! {
            biased;
            answer = answer => match answer {
                Ok(Ok(response)) => response.data.0.ok_or(ProposeError::Unavailable),
                Ok(Err(error)) => Err(self.rejected(error)),
                Err(_) => Err(ProposeError::ShuttingDown),
            },
            error = self.lost(term) => Err(error),
        }
    }

    /// Waits until proposals of `term` can no longer be answered here.
    async fn lost(&self, term: Term) -> ProposeError {
        let mut leadership = self.shared.leadership.subscribe();
        let me = self.shared.peers.me();
        let lost = leadership.wait_for(|now| !now.serving || now.term != term).await.map(|now| refusal(&now, me));
        let Ok(error) = lost else { return ProposeError::ShuttingDown };
        if let ProposeError::NotLeader { .. } = error {
            // The new leader may have the entry: then its outcome comes with the next entries.
            sleep(self.shared.peers.config().election_max).await;
            return ProposeError::NotLeader { leader: status::leader(&self.shared.raft) };
        }
        error
    }

    fn rejected(&self, error: ClientWriteError<TypeConfig>) -> ProposeError {
        let leader = |forward: ForwardToLeader<TypeConfig>| {
            let named = forward.leader_id.zip(forward.leader_node);
            named.or_else(|| status::leader(&self.shared.raft))
        };
        match error {
            ClientWriteError::ForwardToLeader(forward) | ClientWriteError::LogEntryDiscarded(forward) => {
                match leader(forward) {
                    // Its lease ran out: it leads in name only.
                    Some((id, _)) if id == self.shared.peers.me() => ProposeError::Unavailable,
                    leader => ProposeError::NotLeader { leader },
                }
            }
            // These belong to changes of the membership, never to a proposal.
            ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_) => {
                ProposeError::Unavailable
            }
        }
    }

    /// Waits until this node has applied everything that was committed before the call: what is
    /// read from it afterwards is linearizable. Works on any node; callers at the same time share
    /// one confirmation by the majority (ReadIndex; never a lease).
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn barrier(&self) -> Result<(), ReadError> {
        let wait = async {
            if planted::is(Mistake::ReadUnconfirmed) {
                return Ok(());
            }
            let index = self.shared.read_index.confirm().await?;
            if planted::is(Mistake::ReadTooEarly) {
                return Ok(());
            }
            let mut published = self.shared.apply.published();
            let reached = published.wait_for(|now| now.index >= index).await;
            reached.map(drop).map_err(|_| ReadError::ShuttingDown)
        };
        timeout(self.shared.peers.config().barrier_timeout, wait).await.unwrap_or(Err(ReadError::TimedOut))
    }

    /// Waits until this node has applied the event with this number.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn wait_sequence(&self, sequence: Sequence, deadline: Instant) -> Result<(), ReadError> {
        let mut published = self.shared.apply.published();
        let reached = published.wait_for(|now| now.sequence >= sequence);
        match timeout_at(deadline, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ReadError::ShuttingDown),
            Err(_) => Err(ReadError::TimedOut),
        }
    }

    /// How connections to other nodes are made.
    #[must_use]
    pub fn dial(&self) -> &Dial {
        self.shared.peers.dial()
    }

    /// The cluster as this node sees it now.
    #[must_use]
    pub fn status(&self) -> Status {
        let sequence = self.shared.apply.published().borrow().sequence;
        let measured = Measured { log_syncs: self.shared.log.sync_times(), ..self.shared.peers.figures().measured() };
        let own = self.shared.repair.status();
        let under_repair = self.shared.peers.roster().all_under_repair();
        status::status(&self.shared.raft, sequence, measured, own, &under_repair)
    }

    /// Who leads, and each change of it.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.subscribe()
    }

    /// What is applied, and each change of it.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Published> {
        self.shared.apply.published()
    }

    /// What is applied by now, and the state's digest there.
    ///
    /// # Errors
    /// When this node is stopping.
    pub async fn digest(&self) -> Result<(engine::Applied, StateDigest), ReadError> {
        self.shared.apply.digest().await.map_err(|_| ReadError::ShuttingDown)
    }

    /// Reads of the live state.
    #[must_use]
    pub fn state(&self) -> StateReader {
        StateReader { apply: self.shared.apply.clone() }
    }

    /// Moves leadership away if this node has it, lets what is in flight be answered, then stops
    /// taking part: ends the apply thread, which writes its state, and the log thread.
    pub async fn shutdown(&self) {
        // First: as long as this node leads, it takes what comes.
        match self.transfer_leadership(None).await {
            Ok(leader) => tracing::info!(leader, "leadership moved"),
            Err(error) => tracing::info!(%error, "stopping without moving leadership"),
        }
        self.shared.stopping.store(true, Ordering::Relaxed);
        let grace = self.shared.peers.config().election_max;
        // Once every permit is back nothing waits for an answer.
        let answered = timeout(grace + Duration::from_millis(100), self.shared.in_flight.acquire_many(UNITS_MAX)).await;
        if answered.is_err() {
            tracing::warn!("stopping with unanswered proposals");
        }
        if let Err(error) = self.shared.raft.shutdown().await {
            tracing::error!(%error, "raft did not stop cleanly");
        }
        self.shared.apply.close();
        self.shared.log.close();
    }
}

/// Why a node in this position takes no proposals.
fn refusal(leadership: &Leadership, me: NodeId) -> ProposeError {
    match &leadership.leader {
        Some((id, _)) if *id == me => ProposeError::Unavailable,
        leader => ProposeError::NotLeader { leader: leader.clone() },
    }
}
