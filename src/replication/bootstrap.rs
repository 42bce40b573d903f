//! How a cluster forms by itself from its configured members.
//!
//! The configured member with the lowest id begins it, once, when it is pristine and as many
//! *other* members as make a majority say that they are too. A cluster that exists was agreed upon
//! by a majority, so one of those would know of it: a member that lost its disk cannot begin a
//! second one. The others wait to be contacted.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::sleep;

use super::fault::Fault;
use super::membership::MembershipError;
use super::network::Client;
use super::replica::Replica;
use super::types::{Node, NodeId};
use crate::proto::raft::v1 as pb;

/// Between two looks at the peers.
const PAUSE: Duration = Duration::from_millis(100);

/// How many other members must be pristine before the first one begins the cluster.
fn pristine_needed(members: usize) -> usize {
    (members / 2 + 1).min(members - 1)
}

impl Replica {
    /// Waits until this node is part of a cluster, beginning it if that is this node's part.
    /// `members` are the configured ones, this node among them.
    ///
    /// # Errors
    /// When Raft has stopped.
    pub async fn bootstrap(&self, members: &BTreeMap<NodeId, Node>) -> Result<(), Fault> {
        let me = self.shared.peers.me();
        let first = members.keys().next() == Some(&me);
        loop {
            let initialized = self.shared.raft.is_initialized().await;
            if initialized.map_err(|fatal| Fault::Raft(fatal.to_string()))? {
                return Ok(());
            }
            if first && self.may_begin(members).await {
                match self.initialize(members.clone()).await {
                    Ok(()) => tracing::info!(members = members.len(), "cluster formed"),
                    // Somebody was faster: the next look finds this node initialized.
                    Err(MembershipError::Refused(reason)) => tracing::info!(reason, "cluster not formed here"),
                    Err(error) => return Err(Fault::Raft(error.to_string())),
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether enough peers are pristine, and none is not.
    async fn may_begin(&self, members: &BTreeMap<NodeId, Node>) -> bool {
        let me = self.shared.peers.me();
        let others = members.iter().filter(|(id, _)| **id != me);
        let answers = join_all(others.map(|(id, node)| self.is_initialized(*id, node))).await;
        let pristine = answers.iter().filter(|answer| **answer == Some(false)).count();
        let formed = answers.contains(&Some(true));
        !formed && pristine >= pristine_needed(members.len())
    }

    /// Whether a peer belongs to a cluster that has formed; `None` when it does not say.
    async fn is_initialized(&self, id: NodeId, node: &Node) -> Option<bool> {
        let peers = &self.shared.peers;
        let request = pb::GetStateRequest { header: Some(peers.route(id).header()) };
        let ask = |mut client: Client| async move { client.get_state(request).await };
        match peers.ask(id, node, peers.config().call_timeout, ask).await {
            Ok(response) => Some(response.initialized),
            Err(status) => {
                tracing::debug!(id, %node, %status, "a configured member does not answer");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_of_others_or_all_of_them_must_be_pristine() {
        assert_eq!([1, 2, 3, 4, 5].map(pristine_needed), [0, 1, 2, 3, 3]);
    }
}
