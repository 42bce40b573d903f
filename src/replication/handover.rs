//! Leadership handed from one node to another: asked for by an operator, by a node that is told to
//! stop, or by one whose disk stalls.

use openraft::{Instant as _, ServerState};
use tokio::time::timeout;

use super::fault::Fault;
use super::replica::Replica;
use super::status;
use super::types::{Node, NodeId};

/// Times that a leader which a majority answers tries to hand over before it gives up being a node at all.
const TRIES: u32 = 3;

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

impl Replica {
    /// Moves leadership to this voter, or to the one whose log is most complete, and waits until
    /// it leads. Returns the new leader.
    ///
    /// A leader that has begun to hand over takes no proposals any more, and openraft knows no way
    /// back. So this goes on when nobody waits for it; when the one that was meant does not take over,
    /// the others are tried; when none does, this node ends, and they elect one of themselves.
    ///
    /// # Errors
    /// See [`TransferError`]. After [`TransferError::TimedOut`] it may still move.
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<NodeId, TransferError> {
        let target = self.successor(to)?;
        let moves = tokio::spawn(self.clone().hand_over(target));
        match timeout(self.shared.peers.config().transfer_timeout * TRIES, moves).await {
            Ok(Ok(moved)) => moved,
            Ok(Err(_)) => Err(TransferError::ShuttingDown),
            Err(_) => Err(TransferError::TimedOut),
        }
    }

    async fn hand_over(self, mut target: NodeId) -> Result<NodeId, TransferError> {
        let me = self.shared.peers.me();
        let mut leadership = self.leadership();
        let mut tries = 0;
        while tries < TRIES {
            let trigger = self.shared.raft.trigger().transfer_leader(target).await;
            trigger.map_err(|_| TransferError::ShuttingDown)?;
            let moved = leadership.wait_for(|now| now.leader.as_ref().is_some_and(|(id, _)| *id != me));
            match timeout(self.shared.peers.config().transfer_timeout, moved).await {
                Ok(Ok(now)) => return now.leader.as_ref().map(|(id, _)| *id).ok_or(TransferError::TimedOut),
                Ok(Err(_)) => return Err(TransferError::ShuttingDown),
                Err(_) => {}
            }
            // Cut off from the others, it cannot know whether they have elected one already.
            tries += u32::from(leadership.borrow().serving);
            match self.successor(None) {
                Ok(other) => target = other,
                Err(TransferError::NotLeader { leader: Some((id, _)) }) if id != me => return Ok(id),
                Err(_) => {}
            }
        }
        let reason = "leadership was given up, and no other node took it".to_owned();
        self.shared.apply.faults().report(Fault::Raft(reason));
        Err(TransferError::TimedOut)
    }

    /// The voter that shall lead next: the one named, or the most complete one that answers.
    fn successor(&self, to: Option<NodeId>) -> Result<NodeId, TransferError> {
        let me = self.shared.peers.me();
        let metrics = status::metrics(&self.shared.raft);
        if metrics.state != ServerState::Leader {
            return Err(TransferError::NotLeader { leader: status::leader(&self.shared.raft) });
        }
        let fresh = self.shared.peers.config().election_max;
        let alive = |id: &NodeId| {
            let acked = metrics.heartbeat.as_ref().and_then(|peers| *peers.get(id)?);
            acked.is_some_and(|acked| acked.elapsed() < fresh)
        };
        let under_repair = self.shared.peers.roster().all_under_repair();
        let fit = |id: &NodeId| alive(id) && !under_repair.contains(id);
        let mut voters = metrics.membership_config.voter_ids().filter(|id| *id != me).filter(fit);
        if let Some(to) = to {
            return voters.any(|id| id == to).then_some(to).ok_or(TransferError::NoCandidate);
        }
        let matched = |id: &NodeId| metrics.replication.as_ref().and_then(|peers| *peers.get(id)?);
        voters.max_by_key(matched).ok_or(TransferError::NoCandidate)
    }
}
