//! The cluster service: how this node sees the cluster, who belongs to it and who leads it.

use std::time::Duration;

use tonic::{Request, Response, Status};

use super::convert::request::Consistency;
use super::convert::{Invalid, Reason};
use super::errors::Refusal;
use super::reads::Reads;
use crate::core::types::LogIndex;
use crate::proto::v1 as pb;
use crate::replication::repair::RepairStatus;
use crate::replication::{self, Life, Measured, Node, NodeId, PeerStatus, Replica, Role};
use crate::store::identity::ClusterId;

/// The cluster service of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cluster {
    id: ClusterId,
    replica: Replica,
    reads: Reads,
}

impl Cluster {
    /// The cluster with this id, as this replica sees it.
    #[must_use]
    pub fn new(id: ClusterId, replica: Replica, reads: Reads) -> Self {
        Self { id, replica, reads }
    }

    async fn status(&self) -> Result<pb::GetStatusResponse, Refusal> {
        let time = self.reads.look(Consistency::Stale, |ledger| ledger.time()).await?.value;
        let (applied, digest) = self.replica.digest().await?;
        let status = self.replica.status();
        let index = |index: Option<LogIndex>| index.map_or(0, |index| index.0);
        let (leader_id, leader_endpoint) =
            status.leader.clone().map_or((0, String::new()), |(id, node)| (id, node.client));
        Ok(pb::GetStatusResponse {
            cluster_id: format!("{:032x}", self.id.0),
            node_id: status.node,
            role: role(status.role).into(),
            term: status.term.0,
            leader_id,
            leader_endpoint,
            last_log_index: index(status.last),
            committed_index: index(status.committed),
            applied_index: index(applied.position.map(|position| position.index)),
            sequence: applied.sequence.0,
            state_digest: digest.to_string(),
            snapshot_index: index(status.snapshot),
            purged_index: index(status.purged),
            members: members(&status),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time: time.0,
            figures: Some(figures(&status.measured)),
            repair: repair(&status.repair),
        })
    }

    fn members(&self) -> Vec<pb::Member> {
        members(&self.replica.status())
    }

    async fn move_leadership(&self, to: u64) -> Result<pb::TransferLeadershipResponse, Refusal> {
        let to = (to != 0).then_some(to);
        let leader_id = self.replica.transfer_leadership(to).await?;
        Ok(pb::TransferLeadershipResponse { leader_id })
    }
}

fn role(role: Role) -> pb::NodeRole {
    match role {
        Role::Leader => pb::NodeRole::Leader,
        Role::Follower => pb::NodeRole::Follower,
        Role::Candidate => pb::NodeRole::Candidate,
        Role::Learner => pb::NodeRole::Learner,
        Role::Stopped => pb::NodeRole::Unspecified,
    }
}

fn members(status: &replication::Status) -> Vec<pb::Member> {
    status.members.iter().map(|(id, peer)| member(*id, peer, status.measured.peers.get(id))).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn figures(measured: &Measured) -> pb::Figures {
    let Measured { leaderless, resyncs, log_syncs, .. } = measured;
    pb::Figures {
        leaderless_count: leaderless.count,
        leaderless_last_ms: millis(leaderless.last),
        leaderless_total_ms: millis(leaderless.total),
        leaderless_now_ms: measured.leaderless_now.map_or(0, millis),
        resync_count: resyncs.count,
        resync_last_ms: millis(resyncs.last),
        resync_total_ms: millis(resyncs.total),
        copies_in_sync: measured.copies_in_sync.unwrap_or(0) as u64,
        copies_wanted: measured.copies_wanted as u64,
        log_syncs: log_syncs.count,
        log_sync_max_us: micros(log_syncs.max),
        log_sync_total_us: micros(log_syncs.total),
    }
}

fn repair(status: &RepairStatus) -> Option<pb::Repair> {
    let count = status.count;
    if let Some(now) = &status.now {
        return Some(pb::Repair {
            count,
            under_way: true,
            damage: now.cause.clone(),
            aside: now.aside.clone(),
            begun_ms: now.begun_ms,
            goal_index: now.goal.unwrap_or(0),
            matched_index: now.matched,
            ..pb::Repair::default()
        });
    }
    status.last.as_ref().map(|last| pb::Repair {
        count,
        damage: last.cause.clone(),
        aside: last.aside.clone(),
        begun_ms: last.begun_ms,
        ended_ms: last.ended_ms,
        from_node_id: last.from,
        entries: last.entries,
        bytes: last.bytes,
        ..pb::Repair::default()
    })
}

fn member(id: NodeId, peer: &PeerStatus, life: Option<&Life>) -> pb::Member {
    pb::Member {
        node_id: id,
        client_endpoint: peer.node.client.clone(),
        raft_endpoint: peer.node.raft.clone(),
        voter: peer.voter,
        matched_index: peer.matched.map_or(0, |index| index.0),
        disk_id: peer.node.disk.map(|disk| format!("{:032x}", disk.0)).unwrap_or_default(),
        phi: life.and_then(|life| life.phi),
        silence_ms: life.map(|life| millis(life.silence)),
        under_repair: peer.under_repair,
    }
}

/// The longest address, in bytes: a host name has 253 at most.
const ENDPOINT_BYTES_MAX: usize = 300;

/// Where a member is reached, from a request.
fn addresses(raft: String, client: String) -> Result<Node, Refusal> {
    for (field, endpoint) in [("raft_endpoint", &raft), ("client_endpoint", &client)] {
        let good = endpoint.len() <= ENDPOINT_BYTES_MAX
            && endpoint.rsplit_once(':').is_some_and(|(host, port)| {
                let plain = |c: char| c.is_ascii_graphic() && c != '/' && c != '@';
                !host.is_empty() && host.chars().all(plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
            });
        if !good {
            return Err(Invalid::new(field, Reason::Malformed, "is not of the form HOST:PORT").into());
        }
    }
    Ok(Node::at(raft, client))
}

#[tonic::async_trait]
impl pb::cluster_service_server::ClusterService for Cluster {
    async fn get_status(
        &self,
        _request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        Ok(Response::new(self.status().await?))
    }

    async fn transfer_leadership(
        &self,
        request: Request<pb::TransferLeadershipRequest>,
    ) -> Result<Response<pb::TransferLeadershipResponse>, Status> {
        Ok(Response::new(self.move_leadership(request.into_inner().node_id).await?))
    }

    async fn add_member(
        &self,
        request: Request<pb::AddMemberRequest>,
    ) -> Result<Response<pb::AddMemberResponse>, Status> {
        let pb::AddMemberRequest { node_id, client_endpoint, raft_endpoint } = request.into_inner();
        let node = addresses(raft_endpoint, client_endpoint)?;
        self.replica.add_member(node_id, node).await.map_err(Refusal::from)?;
        Ok(Response::new(pb::AddMemberResponse { members: self.members() }))
    }

    async fn promote_member(
        &self,
        request: Request<pb::PromoteMemberRequest>,
    ) -> Result<Response<pb::PromoteMemberResponse>, Status> {
        self.replica.promote(request.into_inner().node_id).await.map_err(Refusal::from)?;
        Ok(Response::new(pb::PromoteMemberResponse { members: self.members() }))
    }

    async fn remove_member(
        &self,
        request: Request<pb::RemoveMemberRequest>,
    ) -> Result<Response<pb::RemoveMemberResponse>, Status> {
        self.replica.remove(request.into_inner().node_id).await.map_err(Refusal::from)?;
        Ok(Response::new(pb::RemoveMemberResponse { members: self.members() }))
    }

    async fn replace_member(
        &self,
        request: Request<pb::ReplaceMemberRequest>,
    ) -> Result<Response<pb::ReplaceMemberResponse>, Status> {
        let pb::ReplaceMemberRequest { old_node_id, new_node_id } = request.into_inner();
        self.replica.replace(old_node_id, new_node_id).await.map_err(Refusal::from)?;
        Ok(Response::new(pb::ReplaceMemberResponse { members: self.members() }))
    }

    async fn set_member_address(
        &self,
        request: Request<pb::SetMemberAddressRequest>,
    ) -> Result<Response<pb::SetMemberAddressResponse>, Status> {
        let pb::SetMemberAddressRequest { node_id, client_endpoint, raft_endpoint } = request.into_inner();
        let node = addresses(raft_endpoint, client_endpoint)?;
        self.replica.set_address(node_id, node).await.map_err(Refusal::from)?;
        Ok(Response::new(pb::SetMemberAddressResponse { members: self.members() }))
    }
}
