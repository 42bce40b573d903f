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
use tonic::Status;

use super::fault::Fault;
use super::membership::MembershipError;
use super::network::Client;
use super::replica::Replica;
use super::types::{Node, NodeId};
use super::wire;
use crate::proto::raft::v1 as pb;
use crate::store::identity::DiskId;

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
            if first && let Some(members) = self.may_begin(members).await {
                let count = members.len();
                match self.initialize(members).await {
                    Ok(()) => tracing::info!(members = count, "cluster formed"),
                    // Somebody was faster: the next look finds this node initialized.
                    Err(MembershipError::Refused(reason)) => tracing::info!(reason, "cluster not formed here"),
                    Err(error) => return Err(Fault::Raft(error.to_string())),
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// The members to begin with, when enough peers are pristine, and none is not: each with its disk,
    /// if it said which.
    async fn may_begin(&self, members: &BTreeMap<NodeId, Node>) -> Option<BTreeMap<NodeId, Node>> {
        let me = self.shared.peers.me();
        let mut members = members.clone();
        let others = members.iter().filter(|(id, _)| **id != me);
        let answers = join_all(others.map(|(&id, node)| async move { (id, self.contact(id, node).await) })).await;
        let mut pristine = 0;
        for (id, contact) in answers {
            let Ok(contact) = contact else { continue };
            if contact.initialized {
                return None;
            }
            pristine += 1;
            members.get_mut(&id)?.disk = Some(contact.disk);
        }
        members.get_mut(&me)?.disk = Some(self.shared.peers.disk());
        (pristine >= pristine_needed(members.len())).then_some(members)
    }

    /// What a node says of itself.
    pub(super) async fn contact(&self, id: NodeId, node: &Node) -> Result<Contact, Status> {
        let peers = &self.shared.peers;
        let request = pb::GetStateRequest { header: Some(peers.route(id).header()) };
        let ask = |mut client: Client| async move { client.get_state(request).await };
        let answer = peers.ask(id, node, peers.config().call_timeout, ask).await.and_then(|response| {
            Ok(Contact { initialized: response.initialized, disk: wire::parse_disk(&response.disk)? })
        });
        answer.inspect_err(|status| tracing::debug!(id, %node, %status, "a node does not answer"))
    }
}

/// What a node says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contact {
    /// It belongs to a cluster that has formed.
    pub initialized: bool,
    /// The disk it keeps its data on.
    pub disk: DiskId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_of_others_or_all_of_them_must_be_pristine() {
        assert_eq!([1, 2, 3, 4, 5].map(pristine_needed), [0, 1, 2, 3, 3]);
    }
}
