//! The handle through which the server uses the cluster.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::types::{Applied, Node, NodeId};
use crate::core::Ledger;
use crate::core::types::{LogIndex, Sequence, Term, Timestamp};

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
    /// Too many proposals are in flight; nothing was queued.
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

/// Why leadership did not move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This node has no leadership to give.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<(NodeId, Node)>,
    },
    /// No such voter, or none that could take it.
    #[error("no voter can take the leadership")]
    NoCandidate,
    /// Nobody else led in time.
    #[error("leadership did not move in time")]
    TimedOut,
    /// The node is stopping.
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// What a node is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It orders the log.
    Leader,
    /// It votes and follows.
    Follower,
    /// It asks to lead.
    Candidate,
    /// It follows without a vote; also before its first contact with a cluster.
    Learner,
    /// It is stopping or has failed.
    Stopped,
}

/// Who leads, as one node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The term.
    pub term: Term,
    /// This node leads, and a majority confirmed it recently: it takes proposals.
    pub serving: bool,
    /// The leader and where to reach it.
    pub leader: Option<(NodeId, Node)>,
}

/// What is applied on this node. Everything up to `sequence` can be read from the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// The term of the last applied entry.
    pub term: Term,
    /// The index of the last applied entry; zero also before the first.
    pub index: LogIndex,
    /// The last event.
    pub sequence: Sequence,
    /// When the next order or transfer expires: the leader proposes a tick then.
    pub next_deadline: Option<Timestamp>,
}

/// One peer, as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Where it is reached.
    pub node: Node,
    /// It votes.
    pub voter: bool,
    /// How far its log is known to equal the leader's. `None` on nodes that do not lead.
    pub matched: Option<LogIndex>,
    /// Time since it last acknowledged anything. `None` on nodes that do not lead.
    pub acknowledged_ago: Option<Duration>,
}

/// The state of the cluster, as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub node: NodeId,
    /// What it is.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// Who leads.
    pub leader: Option<(NodeId, Node)>,
    /// The last entry in its log.
    pub last: Option<LogIndex>,
    /// The last entry it knows to be committed.
    pub committed: Option<LogIndex>,
    /// The last entry it applied.
    pub applied: Option<LogIndex>,
    /// The last entry in its newest snapshot.
    pub snapshot: Option<LogIndex>,
    /// The last entry it purged from its log.
    pub purged: Option<LogIndex>,
    /// The last event it applied.
    pub sequence: Sequence,
    /// Time since a majority last confirmed the leader. `None` on nodes that do not lead.
    pub quorum_acknowledged_ago: Option<Duration>,
    /// All members, this one too.
    pub members: BTreeMap<NodeId, PeerStatus>,
}

/// Runs closures on the live state, between proposals.
#[derive(Debug, Clone)]
pub struct StateReader {}

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
        let _ = look;
        todo!()
    }
}

/// A proposal on its way. Dropping it does not take the proposal back.
#[derive(Debug)]
pub struct Pending {}

impl Future for Pending {
    type Output = Result<Applied, ProposeError>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}

/// This node's part in the cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Replica {}

impl Replica {
    /// Queues a proposal now; its answer comes later. Proposals of one caller keep their order.
    /// `proposal` is the encoding of a [`Proposal`](crate::core::command::Proposal).
    ///
    /// # Errors
    /// When nothing was queued; see [`ProposeError`].
    pub fn propose(&self, proposal: Bytes) -> Result<Pending, ProposeError> {
        let _ = proposal;
        todo!()
    }

    /// Waits until this node has applied everything that was committed before the call: what is
    /// read from it afterwards is linearizable. Works on any node; callers at the same time share
    /// one confirmation by the majority (ReadIndex; never a lease).
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn barrier(&self) -> Result<(), ReadError> {
        todo!()
    }

    /// Waits until this node has applied the event with this number.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn wait_sequence(&self, sequence: Sequence, deadline: Instant) -> Result<(), ReadError> {
        let _ = (sequence, deadline);
        todo!()
    }

    /// The cluster as this node sees it now.
    #[must_use]
    pub fn status(&self) -> Status {
        todo!()
    }

    /// Who leads, and each change of it.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        todo!()
    }

    /// What is applied, and each change of it.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Published> {
        todo!()
    }

    /// Reads of the live state.
    #[must_use]
    pub fn state(&self) -> StateReader {
        todo!()
    }

    /// Moves leadership to this voter, or to the one whose log is most complete, and waits until
    /// it leads.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<NodeId, TransferError> {
        let _ = to;
        todo!()
    }

    /// Moves leadership away if this node has it, then stops taking part.
    pub async fn shutdown(&self) {
        todo!()
    }
}
