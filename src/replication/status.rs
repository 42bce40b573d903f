//! What a node is, knows and has applied, for those who ask.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::{Instant as _, ServerState};

use super::figures::{Measured, Sample};
use super::repair::RepairStatus;
use super::types::{LogId, Node, NodeId, Raft, TypeConfig};
use crate::core::types::{LogIndex, Sequence, Term, Timestamp};

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

/// One member, as a node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Where it is reached.
    pub node: Node,
    /// It votes.
    pub voter: bool,
    /// How far its log is known to equal the leader's. `None` on nodes that do not lead.
    pub matched: Option<LogIndex>,
    /// It said that it is under repair, and has no vote meanwhile. Known to the leader, and to who asked for its vote.
    pub under_repair: bool,
}

/// The state of the cluster, as one node sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// This node.
    pub node: NodeId,
    /// What it is.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// Who leads. `None` as soon as the last one was not heard for longer than its lease.
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
    /// All members, this one too.
    pub members: BTreeMap<NodeId, PeerStatus>,
    /// What this node measured.
    pub measured: Measured,
    /// This node's own repairs.
    pub repair: RepairStatus,
}

type Metrics = RaftMetrics<TypeConfig>;

/// openraft's view of this node and its cluster, now.
pub(super) fn metrics(raft: &Raft) -> Metrics {
    raft.metrics().borrow_watched().clone()
}

/// Who leads, as far as this node knows.
pub(super) fn leader(raft: &Raft) -> Option<(NodeId, Node)> {
    let receiver = raft.server_metrics();
    let metrics = receiver.borrow_watched();
    let id = metrics.current_leader?;
    let node = metrics.membership_config.get_node(&id)?;
    Some((id, node.clone()))
}

/// Who leads, and whether this node may take proposals: it leads, and a majority said so within `quorum_loss`.
pub(super) fn leadership(raft: &Raft, quorum_loss: Duration) -> Leadership {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let leads = metrics.state == ServerState::Leader && metrics.running_state.is_ok();
    let alone = metrics.membership_config.voter_ids().eq([metrics.id]);
    let confirmed = alone || metrics.last_quorum_acked.is_some_and(|acked| acked.elapsed() < quorum_loss);
    let leader = metrics.current_leader.and_then(|id| {
        let node = metrics.membership_config.get_node(&id)?;
        Some((id, node.clone()))
    });
    Leadership { term: Term(metrics.current_term), serving: leads && confirmed, leader }
}

/// The whole status.
pub(super) fn status(
    raft: &Raft,
    sequence: Sequence,
    measured: Measured,
    repair: RepairStatus,
    under_repair: &BTreeSet<NodeId>,
) -> Status {
    let metrics = metrics(raft);
    let index = |id: Option<LogId>| id.map(|id| LogIndex(id.index));
    let voters: Vec<NodeId> = metrics.membership_config.voter_ids().collect();
    let member = |id: &NodeId, node: &Node| PeerStatus {
        node: node.clone(),
        voter: voters.contains(id),
        matched: metrics.replication.as_ref().and_then(|peers| index(*peers.get(id)?)),
        under_repair: if *id == metrics.id { repair.now.is_some() } else { under_repair.contains(id) },
    };
    let role = match metrics.state {
        _ if metrics.running_state.is_err() => Role::Stopped,
        ServerState::Learner => Role::Learner,
        ServerState::Follower => Role::Follower,
        ServerState::Candidate => Role::Candidate,
        ServerState::Leader => Role::Leader,
        ServerState::Shutdown => Role::Stopped,
    };
    Status {
        node: metrics.id,
        role,
        term: Term(metrics.current_term),
        leader: leader(raft).filter(|_| measured.leaderless_now.is_none()),
        last: metrics.last_log_index.map(LogIndex),
        committed: index(metrics.local_committed),
        applied: index(metrics.last_applied),
        snapshot: index(metrics.snapshot),
        purged: index(metrics.purged),
        sequence,
        members: metrics.membership_config.nodes().map(|(id, node)| (*id, member(id, node))).collect(),
        measured,
        repair,
    }
}

/// How a leader sees its followers; `None` on a node that does not lead.
pub(super) fn followers(raft: &Raft, fresh: Duration) -> Option<BTreeMap<NodeId, Sample>> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    if metrics.state != ServerState::Leader {
        return None;
    }
    let last = metrics.last_log_index.unwrap_or(0);
    let sample = |id: &NodeId| {
        let acked = metrics.heartbeat.as_ref().and_then(|peers| *peers.get(id)?);
        let matched = metrics.replication.as_ref().and_then(|peers| *peers.get(id)?);
        Sample {
            reachable: acked.is_some_and(|acked| acked.elapsed() < fresh),
            behind: last.saturating_sub(matched.map_or(0, |matched| matched.index)),
        }
    };
    let others = metrics.membership_config.nodes().map(|(id, _)| *id).filter(|id| *id != metrics.id);
    Some(others.map(|id| (id, sample(&id))).collect())
}
