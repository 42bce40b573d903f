//! Replicas compare their states: one that differs from the majority stops itself.

use std::collections::BTreeMap;

use futures::future::join_all;
use tokio::time::{MissedTickBehavior, interval};

use super::detector::Sign;
use super::fault::Fault;
use super::network::Client;
use super::replica::Replica;
use super::status;
use super::types::{Node, NodeId};
use crate::core::StateDigest;
use crate::core::planted::{self, Mistake};
use crate::core::types::LogIndex;
use crate::proto::raft::v1 as pb;

/// One node's digests at some indexes.
type Digests = BTreeMap<LogIndex, StateDigest>;

/// What a comparison showed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// No two digests of one index differ.
    Equal,
    /// Some differ, but this node is not alone against a majority.
    Disagreement(LogIndex),
    /// A majority of the members has another digest than this node.
    Wrong { index: LogIndex, mine: StateDigest, majority: StateDigest },
}

/// Compares this node's digests with its peers', in a cluster of `members`.
fn judge(mine: &Digests, peers: &[Digests], members: usize) -> Verdict {
    let mut verdict = Verdict::Equal;
    for (&index, &own) in mine {
        let others: Vec<StateDigest> = peers.iter().filter_map(|peer| peer.get(&index)).copied().collect();
        for &other in others.iter().filter(|other| **other != own) {
            let votes = others.iter().filter(|digest| **digest == other).count();
            if votes > members / 2 {
                return Verdict::Wrong { index, mine: own, majority: other };
            }
            verdict = Verdict::Disagreement(index);
        }
    }
    verdict
}

impl Replica {
    /// Compares with the peers again and again, until the node is stopped or proven wrong.
    ///
    /// # Errors
    /// [`Fault::Diverged`], which is also in the fault cell. The node must stop.
    pub async fn exchange_digests(&self) -> Result<(), Fault> {
        let mut tick = interval(self.shared.peers.config().digest_interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            // The apply thread has ended: the node is stopping.
            let Ok(mine) = self.shared.apply.digests().await else { return Ok(()) };
            let metrics = status::metrics(&self.shared.raft);
            let members: BTreeMap<NodeId, Node> =
                metrics.membership_config.nodes().map(|(id, node)| (*id, node.clone())).collect();
            let others = members.iter().filter(|(id, _)| **id != self.shared.peers.me());
            let peers: Vec<Digests> =
                join_all(others.map(|(id, node)| self.digests_of(*id, node))).await.into_iter().flatten().collect();
            match judge(&mine.into_iter().collect(), &peers, members.len()) {
                Verdict::Equal => {}
                Verdict::Disagreement(index) => {
                    tracing::error!(
                        index = index.0,
                        "state digests differ between replicas, without a majority against this one"
                    );
                }
                Verdict::Wrong { .. } if planted::is(Mistake::DigestsNotCompared) => {}
                Verdict::Wrong { index, mine, majority } => {
                    let fault = Fault::Diverged { index, mine, majority };
                    self.shared.apply.faults().report(fault.clone());
                    return Err(fault);
                }
            }
        }
    }

    /// A peer's digests, if it tells them.
    async fn digests_of(&self, id: NodeId, node: &Node) -> Option<Digests> {
        let peers = &self.shared.peers;
        let request = pb::GetDigestsRequest { header: Some(peers.route(id).header()) };
        let ask = |mut client: Client| async move { client.get_digests(request).await };
        let response = peers.ask(id, node, peers.config().call_timeout, ask).await.ok()?;
        peers.figures().heard(id, Sign::Digest);
        let digest = |digest: pb::StateDigest| {
            let bytes = <[u8; 16]>::try_from(digest.digest.as_ref()).ok()?;
            Some((LogIndex(digest.index), StateDigest::from_u128(u128::from_le_bytes(bytes))))
        };
        response.digests.into_iter().map(digest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(list: &[(u64, u128)]) -> Digests {
        list.iter().map(|&(index, digest)| (LogIndex(index), StateDigest::from_u128(digest))).collect()
    }

    #[test]
    fn only_a_majority_at_the_same_index_proves_a_node_wrong() {
        let mine = digests(&[(256, 1), (512, 2)]);
        let same = digests(&[(512, 2), (768, 3)]);
        let other = digests(&[(512, 9)]);
        assert_eq!(judge(&mine, &[same.clone(), digests(&[])], 3), Verdict::Equal);
        assert_eq!(judge(&mine, &[same, other.clone()], 3), Verdict::Disagreement(LogIndex(512)));
        assert_eq!(judge(&mine, &[other.clone(), other.clone()], 5), Verdict::Disagreement(LogIndex(512)));
        assert_eq!(
            judge(&mine, &[other.clone(), other], 3),
            Verdict::Wrong {
                index: LogIndex(512),
                mine: StateDigest::from_u128(2),
                majority: StateDigest::from_u128(9)
            }
        );
        assert_eq!(judge(&mine, &[digests(&[(500, 9)]), digests(&[(500, 9)])], 3), Verdict::Equal);
    }
}
