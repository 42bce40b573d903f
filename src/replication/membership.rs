//! Who belongs to the cluster: changes asked for by an operator, and what the leader adds to them.
//!
//! A change is decided on what the leader has applied, and proposed only if the membership is still
//! the one it was decided on. It is refused, with the reason in words, when it could not be carried
//! out with the voters that can be reached, or would leave too few of them. Voters change by joint
//! consensus; one that is left half-way by a leader that died is finished by the next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::errors::{ClientWriteError, RaftError};
use openraft::raft::{ClientWriteResponse, Precondition};
use openraft::{ChangeMembers, Instant as _, ServerState};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::bootstrap::Contact;
use super::fault::Fault;
use super::replica::{ReadError, Replica};
use super::status;
use super::types::{LogId, Membership, Node, NodeId, TypeConfig};

/// How far behind the leader's log a member may be that is to get a vote, in entries.
pub const PROMOTION_LAG_MAX: u64 = 1_000;

/// Between two looks at what the membership lacks.
const TEND_INTERVAL: Duration = Duration::from_millis(250);

/// Why the membership did not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// Another node leads, or none is known to.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<(NodeId, Node)>,
    },
    /// This node leads but cannot reach a majority.
    #[error("no majority of the cluster can be reached")]
    Unavailable,
    /// The change is not possible.
    #[error("{0}")]
    Refused(String),
    /// The node has too little of the log to be given a vote. It is being sent the rest.
    #[error("node {node} is {behind} log entries behind; it gets a vote when it has caught up")]
    NotInSync {
        /// Which.
        node: NodeId,
        /// How far it is behind.
        behind: u64,
    },
    /// The node is stopping.
    #[error("the node is shutting down")]
    ShuttingDown,
}

type Change = ChangeMembers<NodeId, Node>;
type Written = Result<ClientWriteResponse<TypeConfig>, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>;
type Changed = Result<(), MembershipError>;

fn refused<T>(reason: String) -> Result<T, MembershipError> {
    Err(MembershipError::Refused(reason))
}

/// What a change is decided on.
#[derive(Debug)]
struct View {
    /// The entry that set the membership.
    set_by: Option<LogId>,
    membership: Membership,
    /// Every id that ever belonged to the cluster.
    used: BTreeSet<NodeId>,
    /// Members that answered lately, this node among them.
    reachable: BTreeSet<NodeId>,
    /// How far the log of each member is known to equal the leader's.
    matched: BTreeMap<NodeId, u64>,
    last: u64,
}

impl View {
    /// The voters that the cluster has, or moves towards.
    fn voters(&self) -> BTreeSet<NodeId> {
        self.membership.get_joint_config().last().cloned().unwrap_or_default()
    }

    fn member(&self, id: NodeId) -> Result<&Node, MembershipError> {
        match self.membership.get_node(&id) {
            Some(node) => Ok(node),
            None if self.used.contains(&id) => refused(format!("node {id} was removed from the cluster")),
            None => refused(format!("there is no node {id}")),
        }
    }

    /// Refuses addresses that another member has.
    fn check_addresses(&self, id: NodeId, node: &Node) -> Changed {
        let mut others = self.membership.nodes().filter(|(other, _)| **other != id);
        match others.find(|(_, other)| other.raft == node.raft || other.client == node.client) {
            Some((other, at)) => refused(format!("node {other} is at {at} already")),
            None => Ok(()),
        }
    }

    /// Refuses voters of which too few can be reached, now or after the change.
    fn check_majorities(&self, voters: &BTreeSet<NodeId>) -> Changed {
        if voters.is_empty() {
            return refused("a cluster without voters could decide nothing any more".to_owned());
        }
        let now = self.membership.get_joint_config().iter().map(|set| (set, "now has"));
        for (set, whose) in now.chain([(voters, "would have")]) {
            let missing: Vec<String> = set.difference(&self.reachable).map(u64::to_string).collect();
            let reached = set.len() - missing.len();
            if reached <= set.len() / 2 {
                return refused(format!(
                    "of the {} voters that the cluster {whose}, {reached} can be reached and node {} cannot: that is no \
                     majority, and the cluster would stand still",
                    set.len(),
                    missing.join(", ")
                ));
            }
        }
        Ok(())
    }

    fn check_in_sync(&self, id: NodeId) -> Changed {
        let behind = self.last.saturating_sub(self.matched.get(&id).copied().unwrap_or(0));
        if behind <= PROMOTION_LAG_MAX && self.reachable.contains(&id) {
            return Ok(());
        }
        Err(MembershipError::NotInSync { node: id, behind })
    }
}

impl Replica {
    /// Adds a member that follows without a vote. It must run with an empty data folder, and answer
    /// at its address.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn add_member(&self, id: NodeId, node: Node) -> Changed {
        let view = self.view().await?;
        if let Some(known) = view.membership.get_node(&id) {
            if (&known.raft, &known.client) == (&node.raft, &node.client) {
                return Ok(());
            }
            return refused(format!("node {id} is a member already, at {known}; `set-address` changes where it is"));
        }
        if id == 0 {
            return refused("a node's id is never 0".to_owned());
        }
        if view.used.contains(&id) {
            return refused(format!("id {id} belonged to a node that was removed, and ids are never used twice"));
        }
        view.check_addresses(id, &node)?;
        let contact = self.reach(id, &node).await?;
        if contact.initialized {
            return refused(format!("node {id} belongs to a cluster already; a new node starts with an empty folder"));
        }
        if let Some((other, _)) = view.membership.nodes().find(|(_, other)| other.disk == Some(contact.disk)) {
            return refused(format!("node {id} has the disk of node {other}"));
        }
        let node = Node { disk: Some(contact.disk), ..node };
        self.change(&view, ChangeMembers::AddNodes([(id, node)].into())).await
    }

    /// Gives a member a vote, once it has nearly all of the log.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn promote(&self, id: NodeId) -> Changed {
        let view = self.view().await?;
        view.member(id)?;
        let mut voters = view.voters();
        if !voters.insert(id) {
            return Ok(());
        }
        view.check_in_sync(id)?;
        view.check_majorities(&voters)?;
        self.change(&view, ChangeMembers::AddVoterIds([id].into())).await
    }

    /// Removes a member. Its id is never used again. A leader that is to be removed hands its office
    /// over first.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn remove(&self, id: NodeId) -> Changed {
        let view = self.view().await?;
        if view.membership.get_node(&id).is_none() && view.used.contains(&id) {
            return Ok(());
        }
        view.member(id)?;
        let mut voters = view.voters();
        if !voters.remove(&id) {
            return self.change(&view, ChangeMembers::RemoveNodes([id].into())).await;
        }
        view.check_majorities(&voters)?;
        self.leave_office(id).await?;
        self.change(&view, ChangeMembers::RemoveVoters([id].into())).await
    }

    /// Gives the vote of one member to another that has none yet, and removes the one, in one change.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn replace(&self, old: NodeId, new: NodeId) -> Changed {
        let view = self.view().await?;
        let mut voters = view.voters();
        if voters.contains(&new) && view.membership.get_node(&old).is_none() && view.used.contains(&old) {
            return Ok(());
        }
        view.member(old)?;
        view.member(new)?;
        if old == new {
            return refused(format!("node {old} cannot take its own place; the new node has an id of its own"));
        }
        if !voters.remove(&old) {
            return refused(format!("node {old} has no vote to give; remove it, and promote node {new}"));
        }
        if !voters.insert(new) {
            return refused(format!("node {new} has a vote already; remove node {old}"));
        }
        view.check_in_sync(new)?;
        view.check_majorities(&voters)?;
        self.leave_office(old).await?;
        let both = vec![ChangeMembers::AddVoterIds([new].into()), ChangeMembers::RemoveVoters([old].into())];
        self.change(&view, ChangeMembers::Batch(both)).await
    }

    /// Changes where a member is reached. It must answer at the new address, from the disk it is
    /// known by.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn set_address(&self, id: NodeId, node: Node) -> Changed {
        let view = self.view().await?;
        let known = view.member(id)?;
        view.check_addresses(id, &node)?;
        let disk = self.reach(id, &node).await?.disk;
        if known.disk.is_some_and(|known| known != disk) {
            return refused(format!("what answers at {} has another disk than node {id}", node.raft));
        }
        let node = Node { disk: Some(disk), ..node };
        if *known == node {
            return Ok(());
        }
        self.change(&view, ChangeMembers::SetNodes([(id, node)].into())).await
    }

    /// As the leader, keeps the membership complete, until the node is shut down: notes the disk of
    /// each member, and finishes a change that was left half-way.
    ///
    /// # Errors
    /// Never; it ends with the node.
    pub async fn tend_membership(&self) -> Result<(), Fault> {
        let mut tick = interval(TEND_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut joint_since = None;
        loop {
            tick.tick().await;
            let metrics = status::metrics(&self.shared.raft);
            if metrics.state != ServerState::Leader || !self.leadership().borrow().serving {
                continue;
            }
            let membership = metrics.membership_config.membership();
            let set_by = *metrics.membership_config.log_id();
            let joint = membership.get_joint_config().len() > 1;
            let change = if joint && joint_since == Some(set_by) {
                // The one who asked for it would have gone on by now.
                let goal = membership.get_joint_config().last().cloned().unwrap_or_default();
                Some(ChangeMembers::ReplaceAllVoters(goal))
            } else if joint {
                None
            } else {
                self.unnamed_disks(membership).await
            };
            joint_since = joint.then_some(set_by);
            let Some(change) = change else { continue };
            match self.propose_change(set_by, change).await {
                Ok(()) => tracing::info!("membership completed"),
                Err(error) => tracing::info!(%error, "membership not completed yet"),
            }
        }
    }

    /// The change that names the disks of members which the membership does not name yet.
    async fn unnamed_disks(&self, membership: &Membership) -> Option<Change> {
        let peers = &self.shared.peers;
        let unnamed = |(_, node): &(&NodeId, &Node)| node.disk.is_none();
        let mut named = BTreeMap::new();
        for (&id, node) in membership.nodes().filter(unnamed) {
            let disk = if id == peers.me() {
                Some(peers.disk())
            } else {
                let said = self.contact(id, node).await.ok().map(|contact| contact.disk);
                said.filter(|disk| peers.roster().meet(id, *disk).is_ok())
            };
            if disk.is_some() {
                named.insert(id, Node { disk, ..node.clone() });
            }
        }
        (!named.is_empty()).then_some(ChangeMembers::SetNodes(named))
    }

    /// What a node says of itself, which may have been started a moment ago.
    async fn reach(&self, id: NodeId, node: &Node) -> Result<Contact, MembershipError> {
        let until = Instant::now() + self.shared.peers.config().barrier_timeout;
        loop {
            match self.contact(id, node).await {
                Ok(contact) => return Ok(contact),
                Err(status) if Instant::now() >= until => {
                    return refused(format!("node {id} does not answer at {}: {}", node.raft, status.message()));
                }
                Err(_) => sleep(TEND_INTERVAL).await,
            }
        }
    }

    async fn view(&self) -> Result<View, MembershipError> {
        let not_leader = || MembershipError::NotLeader { leader: status::leader(&self.shared.raft) };
        let metrics = status::metrics(&self.shared.raft);
        if metrics.state != ServerState::Leader {
            return Err(not_leader());
        }
        // Every change before this leader's time is applied then.
        self.barrier().await.map_err(|error| match error {
            ReadError::ShuttingDown => MembershipError::ShuttingDown,
            ReadError::NoLeader | ReadError::TimedOut | ReadError::Overloaded => MembershipError::Unavailable,
        })?;
        let metrics = status::metrics(&self.shared.raft);
        if metrics.state != ServerState::Leader {
            return Err(not_leader());
        }
        let membership = metrics.membership_config.membership().clone();
        let mut used = self.shared.apply.roll().used;
        used.extend(membership.nodes().map(|(id, _)| *id));
        let fresh = self.shared.peers.config().quorum_loss;
        let heard = metrics.heartbeat.iter().flatten();
        let mut reachable: BTreeSet<NodeId> =
            heard.filter(|(_, at)| at.is_some_and(|at| at.elapsed() < fresh)).map(|(id, _)| *id).collect();
        reachable.insert(metrics.id);
        let last = metrics.last_log_index.unwrap_or(0);
        let mut matched: BTreeMap<NodeId, u64> = metrics
            .replication
            .iter()
            .flatten()
            .filter_map(|(id, matched)| matched.map(|matched| (*id, matched.index)))
            .collect();
        matched.insert(metrics.id, last);
        Ok(View { set_by: *metrics.membership_config.log_id(), membership, used, reachable, matched, last })
    }

    /// Hands the leadership over if the node that is to go has it.
    async fn leave_office(&self, id: NodeId) -> Changed {
        if id != self.shared.peers.me() {
            return Ok(());
        }
        match self.transfer_leadership(None).await {
            Ok(_) => Err(MembershipError::NotLeader { leader: status::leader(&self.shared.raft) }),
            Err(error) => refused(format!("node {id} leads, and its leadership does not move: {error}")),
        }
    }

    async fn change(&self, view: &View, change: Change) -> Changed {
        tracing::info!(%change, "membership changes");
        self.propose_change(view.set_by, change).await
    }

    async fn propose_change(&self, set_by: Option<LogId>, change: Change) -> Changed {
        let guard = Precondition::LastMembershipLogId { last_membership_log_id: set_by };
        changed(self.shared.raft.change_membership_if(change, false, [guard]).await)
    }

    /// Makes the members of the first cluster, on this pristine node.
    pub(super) async fn initialize(&self, members: BTreeMap<NodeId, Node>) -> Changed {
        match self.shared.raft.initialize(members).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(error)) => refused(error.to_string()),
            Err(RaftError::Fatal(_)) => Err(MembershipError::ShuttingDown),
        }
    }
}

fn changed(written: Written) -> Changed {
    match written {
        Ok(_) => Ok(()),
        Err(RaftError::Fatal(_)) => Err(MembershipError::ShuttingDown),
        Err(RaftError::APIError(
            ClientWriteError::ForwardToLeader(forward) | ClientWriteError::LogEntryDiscarded(forward),
        )) => Err(MembershipError::NotLeader { leader: forward.leader_id.zip(forward.leader_node) }),
        Err(RaftError::APIError(ClientWriteError::PreconditionFailed(_))) => {
            refused("another change of the membership came first; look, and try again".to_owned())
        }
        Err(RaftError::APIError(error)) => refused(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(sets: &[&[NodeId]], reachable: &[NodeId]) -> View {
        let sets: Vec<BTreeSet<NodeId>> = sets.iter().map(|set| set.iter().copied().collect()).collect();
        let nodes: BTreeMap<NodeId, Node> = (1..=5).map(|id| (id, Node::at(format!("h:{id}"), ""))).collect();
        View {
            set_by: None,
            membership: Membership::new(sets, nodes).expect("a membership"),
            used: (1..=6).collect(),
            reachable: reachable.iter().copied().collect(),
            matched: BTreeMap::from([(4, 8_999), (5, 9_000)]),
            last: 10_000,
        }
    }

    #[test]
    fn a_change_that_loses_the_majority_of_the_reachable_is_refused() {
        let three = view(&[&[1, 2, 3]], &[1, 2]);
        assert_eq!(three.check_majorities(&[1, 2].into()), Ok(()));
        assert_eq!(three.check_majorities(&[1, 2, 4].into()), Ok(()));
        let refused = three.check_majorities(&[1, 3].into()).expect_err("1 of 2");
        assert_eq!(
            refused.to_string(),
            "of the 2 voters that the cluster would have, 1 can be reached and node 3 cannot: that is no majority, and \
             the cluster would stand still"
        );
        assert!(three.check_majorities(&[1, 2, 3, 4].into()).is_err(), "2 of 4");
        assert!(three.check_majorities(&[].into()).is_err(), "nobody");
        let cut_off = view(&[&[1, 2, 3]], &[1]);
        assert!(cut_off.check_majorities(&[1].into()).is_err(), "the voters of now decide");
        let half_way = view(&[&[1, 2, 3], &[3, 4, 5]], &[1, 2, 3]);
        assert!(half_way.check_majorities(&[1, 2, 3].into()).is_err(), "both sets decide");
    }

    #[test]
    fn a_vote_goes_to_a_member_that_is_reachable_and_nearly_up_to_date() {
        let view = view(&[&[1, 2, 3]], &[1, 2, 3, 4, 5]);
        assert_eq!(view.check_in_sync(4), Err(MembershipError::NotInSync { node: 4, behind: 1_001 }));
        assert_eq!(view.check_in_sync(5), Ok(()));
        assert!(View { reachable: [1].into(), ..view }.check_in_sync(5).is_err());
    }

    #[test]
    fn who_is_no_member_is_told_why() {
        let view = view(&[&[1, 2, 3]], &[]);
        assert!(view.member(5).is_ok());
        assert_eq!(view.member(6).expect_err("gone").to_string(), "node 6 was removed from the cluster");
        assert_eq!(view.member(7).expect_err("never there").to_string(), "there is no node 7");
    }
}
