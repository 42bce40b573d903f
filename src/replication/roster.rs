//! What this node knows of each member besides Raft's own view: where it is reached now, on which
//! disk it keeps its log and vote, and how far it has said that it has the log.
//!
//! A node that comes back under its old id with another disk, or with its disk put back to an older
//! state, has forgotten what it voted and acknowledged. It would be counted twice, so it is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::codec;
use super::types::{LogId, Membership, Node, NodeId};
use crate::store::Position;
use crate::store::identity::DiskId;

/// A peer that is not the one that its id stands for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stranger {
    /// Its disk is not the one that is known.
    #[error(
        "node {node} is known with disk {:032x}, this is disk {:032x}: its data was lost, or is another node's. \
         It may have voted, so it must not come back under its old id: give it a new id and an empty folder, and \
         run `counterfoil ctl cluster replace {node} NEW-ID`", known.0, found.0
    )]
    OtherDisk {
        /// Whose.
        node: NodeId,
        /// The disk that the cluster knows.
        known: DiskId,
        /// The disk it has.
        found: DiskId,
    },
    /// It belonged to the cluster once.
    #[error("node {0} was removed from the cluster, and ids are never used twice: add it under a new id")]
    Removed(NodeId),
}

/// What is known of the members. It outlives connections and streams, so that what changes reaches them.
#[derive(Debug, Default)]
pub(super) struct Roster {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    members: BTreeMap<NodeId, Node>,
    /// Disks seen that the membership does not name yet.
    met: BTreeMap<NodeId, DiskId>,
    /// What each follower acknowledged last, to this node as the leader of a term.
    acknowledged: BTreeMap<NodeId, Acknowledged>,
    /// Members that said they are under repair.
    under_repair: BTreeMap<NodeId, Patient>,
}

/// What is known of a member that is under repair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Patient {
    /// The term in which it told this node as its leader; 0 when it told it as a candidate.
    term: u64,
    /// The number of its repair.
    repair: u64,
    /// The last index of this leader's log when it was told.
    goal: u64,
}

#[derive(Debug, Clone, Copy)]
struct Acknowledged {
    term: u64,
    last: LogId,
    /// Whether it was told that the follower no longer has this.
    told: bool,
}

impl Roster {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a membership.
    pub fn set_members(&self, membership: &Membership) {
        let mut inner = self.lock();
        inner.members = membership.nodes().map(|(id, node)| (*id, node.clone())).collect();
        let Inner { members, met, acknowledged, under_repair } = &mut *inner;
        met.retain(|id, _| members.contains_key(id));
        acknowledged.retain(|id, _| members.contains_key(id));
        under_repair.retain(|id, _| members.contains_key(id));
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.lock().members.len()
    }

    /// A member as it is reached now.
    pub fn node(&self, id: NodeId) -> Option<Node> {
        self.lock().members.get(&id).cloned()
    }

    /// The disk a member is known by.
    pub fn disk(&self, id: NodeId) -> Option<DiskId> {
        let inner = self.lock();
        inner.members.get(&id).and_then(|node| node.disk).or_else(|| inner.met.get(&id).copied())
    }

    /// Judges a peer that speaks from a disk. The first one that a member without a known disk
    /// speaks from is the one it is known by from then on.
    pub fn meet(&self, id: NodeId, disk: DiskId) -> Result<(), Stranger> {
        let mut inner = self.lock();
        let Inner { members, met, .. } = &mut *inner;
        // Who is no member, as far as this node knows, is judged when it is one.
        let Some(node) = members.get(&id) else { return Ok(()) };
        let known = node.disk.unwrap_or_else(|| *met.entry(id).or_insert(disk));
        if known == disk { Ok(()) } else { Err(Stranger::OtherDisk { node: id, known, found: disk }) }
    }

    /// Notes what a follower acknowledged to this node as the leader of `term`.
    pub fn acknowledge(&self, id: NodeId, term: u64, last: Option<LogId>) {
        let Some(last) = last else { return };
        let mut inner = self.lock();
        let known = inner.acknowledged.entry(id).or_insert(Acknowledged { term, last, told: false });
        if (known.term, known.last) < (term, last) {
            *known = Acknowledged { term, last, told: false };
        }
    }

    /// What a follower acknowledged to this node as the leader of `term`.
    pub fn acknowledged(&self, id: NodeId, term: u64) -> Option<LogId> {
        self.lock().acknowledged.get(&id).filter(|known| known.term == term).map(|known| known.last)
    }

    /// A follower said that it is under repair: what it had acknowledged it may lack, and is sent again. `last` is
    /// the last index of this leader's log. All that the follower ever acknowledged to this leader, or to another one
    /// before, is there at most, so that this is what it must have before it votes again.
    pub fn under_repair(&self, id: NodeId, term: u64, repair: u64, last: u64) {
        let mut inner = self.lock();
        let known = inner.under_repair.get(&id).is_some_and(|known| (known.term, known.repair) == (term, repair));
        if !known {
            tracing::warn!(node = id, goal = last, "a follower is under repair: it is sent what it lacks");
            inner.under_repair.insert(id, Patient { term, repair, goal: last });
        }
    }

    /// A follower that is under repair lacks an entry. Whatever it had acknowledged does not count any more.
    pub fn forgive(&self, id: NodeId) {
        self.lock().acknowledged.remove(&id);
    }

    /// A voter said to this node as a candidate whether it is under repair.
    pub fn note_repair(&self, id: NodeId, under_repair: bool) {
        let mut inner = self.lock();
        if under_repair {
            inner.under_repair.entry(id).or_default();
        } else {
            inner.under_repair.remove(&id);
        }
    }

    /// A follower said that it is not under repair.
    pub fn is_well(&self, id: NodeId) {
        if self.lock().under_repair.remove(&id).is_some() {
            tracing::info!(node = id, "a follower is repaired");
        }
    }

    /// The repair of a follower and what it must have to end it, told to this node as the leader of `term`.
    pub fn repair_goal(&self, id: NodeId, term: u64) -> Option<(u64, u64)> {
        let inner = self.lock();
        inner.under_repair.get(&id).filter(|known| known.term == term).map(|known| (known.repair, known.goal))
    }

    /// The members that are under repair, as far as this node was told.
    pub fn all_under_repair(&self) -> BTreeSet<NodeId> {
        self.lock().under_repair.keys().copied().collect()
    }

    /// Whether a follower that says it does not have the entry `conflict` had acknowledged it, which
    /// openraft takes for impossible. Said in the log once.
    pub fn reverted(&self, id: NodeId, term: u64, conflict: LogId) -> bool {
        let mut inner = self.lock();
        let Some(known) = inner.acknowledged.get_mut(&id) else { return false };
        if known.term != term || conflict.index > known.last.index {
            return false;
        }
        if !std::mem::replace(&mut known.told, true) {
            let (acknowledged, missing) = (codec::position(known.last), codec::position(conflict));
            tracing::error!(
                node = id,
                %acknowledged,
                %missing,
                "a follower lacks what it acknowledged: its data folder was put back to an older state. \
                 Nothing is sent to it any more; replace it by a new node"
            );
        }
        true
    }
}

/// Whether a node that acknowledged an entry still has it.
pub(super) fn still_has(acknowledged: Position, log: Option<Position>, applied: Position) -> bool {
    log.unwrap_or_default().max(applied) >= acknowledged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::types::{LogIndex, Term};

    fn roster(disk: Option<DiskId>) -> Roster {
        let roster = Roster::default();
        let node = Node { disk, ..Node::at("h:1", "h:2") };
        let voters = vec![[1_u64].into()];
        roster.set_members(&Membership::new(voters, BTreeMap::from([(1, node)])).expect("a membership"));
        roster
    }

    #[test]
    fn a_member_is_known_by_its_first_disk() {
        let (first, second) = (DiskId(1), DiskId(2));
        let named = roster(Some(first));
        assert_eq!(named.meet(1, first), Ok(()));
        assert_eq!(named.meet(1, second), Err(Stranger::OtherDisk { node: 1, known: first, found: second }));
        let unnamed = roster(None);
        assert_eq!(unnamed.disk(1), None);
        assert_eq!(unnamed.meet(1, first), Ok(()));
        assert!(unnamed.meet(1, second).is_err());
        assert_eq!(unnamed.disk(1), Some(first));
        assert_eq!(unnamed.meet(7, first), Ok(()), "no member yet");
        assert_eq!(unnamed.disk(7), None);
    }

    #[test]
    fn a_follower_may_lack_only_what_it_never_acknowledged_in_the_term() {
        let id = LogId::new_term_index;
        let roster = roster(None);
        assert!(!roster.reverted(1, 3, id(2, 5)), "nothing is known");
        roster.acknowledge(1, 3, Some(id(2, 5)));
        roster.acknowledge(1, 3, Some(id(2, 4)));
        assert_eq!(roster.acknowledged(1, 3), Some(id(2, 5)), "never backwards");
        assert!(!roster.reverted(1, 3, id(2, 6)));
        assert!(roster.reverted(1, 3, id(2, 5)));
        assert!(roster.reverted(1, 3, id(1, 2)));
        assert!(!roster.reverted(1, 4, id(1, 2)), "another term's answers are not this one's");
        roster.acknowledge(1, 4, Some(id(2, 3)));
        assert_eq!(roster.acknowledged(1, 4), Some(id(2, 3)), "a new term begins anew");
    }

    #[test]
    fn what_is_in_the_state_need_not_be_in_the_log() {
        let at = |term, index| Position { term: Term(term), index: LogIndex(index) };
        assert!(still_has(at(2, 5), Some(at(2, 5)), at(1, 1)));
        assert!(still_has(at(2, 5), None, at(2, 9)), "a snapshot was installed");
        assert!(!still_has(at(2, 5), Some(at(2, 4)), at(2, 4)));
        assert!(!still_has(at(2, 5), None, Position::default()));
    }
}
