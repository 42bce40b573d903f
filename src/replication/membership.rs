//! Who belongs to the cluster, and who leads it: changes asked for by an operator.

use std::collections::{BTreeMap, BTreeSet};

use openraft::errors::{ClientWriteError, RaftError};
use openraft::raft::ClientWriteResponse;
use openraft::{ChangeMembers, Instant as _, ServerState};
use tokio::time::timeout;

use super::replica::Replica;
use super::status;
use super::types::{Node, NodeId, TypeConfig};

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

/// Why the membership did not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// Another node leads, or none is known to.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<(NodeId, Node)>,
    },
    /// The change is not possible now: another one is under way, or the member is not known.
    #[error("{0}")]
    Refused(String),
    /// The node is stopping.
    #[error("the node is shutting down")]
    ShuttingDown,
}

type Written = Result<ClientWriteResponse<TypeConfig>, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>;

impl Replica {
    /// Moves leadership to this voter, or to the one whose log is most complete, and waits until
    /// it leads. Returns the new leader.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<NodeId, TransferError> {
        let me = self.shared.peers.me();
        let target = self.successor(to)?;
        let mut leadership = self.leadership();
        let trigger = self.shared.raft.trigger().transfer_leader(target).await;
        trigger.map_err(|_| TransferError::ShuttingDown)?;
        let moved = leadership.wait_for(|now| now.leader.as_ref().is_some_and(|(id, _)| *id != me));
        match timeout(self.shared.peers.config().transfer_timeout, moved).await {
            Ok(Ok(now)) => now.leader.as_ref().map(|(id, _)| *id).ok_or(TransferError::TimedOut),
            Ok(Err(_)) => Err(TransferError::ShuttingDown),
            Err(_) => Err(TransferError::TimedOut),
        }
    }

    /// The voter that shall lead next: the one named, or the most complete one that answers.
    fn successor(&self, to: Option<NodeId>) -> Result<NodeId, TransferError> {
        let me = self.shared.peers.me();
        let metrics = status::metrics(&self.shared.raft);
        if metrics.state != ServerState::Leader {
            return Err(TransferError::NotLeader { leader: status::leader(&self.shared.raft) });
        }
        let mut voters = metrics.membership_config.voter_ids().filter(|id| *id != me);
        if let Some(to) = to {
            return voters.any(|id| id == to).then_some(to).ok_or(TransferError::NoCandidate);
        }
        let fresh = self.shared.peers.config().election_max;
        let alive = |id: &NodeId| {
            let acked = metrics.heartbeat.as_ref().and_then(|peers| *peers.get(id)?);
            acked.is_some_and(|acked| acked.elapsed() < fresh)
        };
        let matched = |id: &NodeId| metrics.replication.as_ref().and_then(|peers| *peers.get(id)?);
        voters.filter(alive).max_by_key(matched).ok_or(TransferError::NoCandidate)
    }

    /// Adds a member that follows without a vote. It may lag: see [`Self::status`] for how far it is.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn add_learner(&self, id: NodeId, node: Node) -> Result<(), MembershipError> {
        self.changed(self.shared.raft.add_learner(id, node, false).await)
    }

    /// Gives a learner a vote.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn promote(&self, id: NodeId) -> Result<(), MembershipError> {
        let change = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
        self.changed(self.shared.raft.change_membership(change, false).await)
    }

    /// Removes a member. Its id must never be used again.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn remove(&self, id: NodeId) -> Result<(), MembershipError> {
        let voter = status::metrics(&self.shared.raft).membership_config.voter_ids().any(|voter| voter == id);
        let ids = BTreeSet::from([id]);
        let change: ChangeMembers<NodeId, Node> =
            if voter { ChangeMembers::RemoveVoters(ids) } else { ChangeMembers::RemoveNodes(ids) };
        self.changed(self.shared.raft.change_membership(change, false).await)
    }

    /// Makes the members of the first cluster, on this pristine node.
    pub(super) async fn initialize(&self, members: BTreeMap<NodeId, Node>) -> Result<(), MembershipError> {
        match self.shared.raft.initialize(members).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(error)) => Err(MembershipError::Refused(error.to_string())),
            Err(RaftError::Fatal(_)) => Err(MembershipError::ShuttingDown),
        }
    }

    fn changed(&self, written: Written) -> Result<(), MembershipError> {
        match written {
            Ok(_) => Ok(()),
            Err(RaftError::Fatal(_)) => Err(MembershipError::ShuttingDown),
            Err(RaftError::APIError(
                ClientWriteError::ForwardToLeader(forward) | ClientWriteError::LogEntryDiscarded(forward),
            )) => Err(MembershipError::NotLeader { leader: forward.leader_id.zip(forward.leader_node) }),
            Err(RaftError::APIError(error)) => Err(MembershipError::Refused(error.to_string())),
        }
    }
}
