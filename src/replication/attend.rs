//! A leader that died is noticed at once, not after a time-out.
//!
//! Every node keeps a call to the leader open that is never answered. A process that dies closes its
//! connections: the call ends, and its port refuses. That is no proof by itself, and it need not be:
//! it only lets this node go without the lease it had granted, and ask who else would elect. Of the
//! others each has to have seen the same, or let its own lease run out, before there is a majority
//! (pre-vote, Raft thesis section 9.6). No read and no acknowledgement relies on a lease here, so one
//! that is dropped too early costs an election and never an answer. A leader that is paused or cut
//! off keeps the call open; for it the election time-outs are there.

use std::error::Error as _;
use std::time::Duration;

use openraft::raft::TransferLeaderRequest;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use super::fault::Fault;
use super::network::Client;
use super::replica::Replica;
use super::status::{self, Leadership};
use super::types::{Node, NodeId, Vote};
use crate::proto::raft::v1 as pb;

/// Connections that must fail at once, one behind the other, before a leader is taken for dead that
/// does not plainly refuse them.
const FAILURES: usize = 3;

/// Between two attempts to reach a leader whose call ended.
const PROBE_PAUSE: Duration = Duration::from_millis(10);

/// Attempts to reach it.
const PROBES_MAX: usize = 10;

/// How long a node waits for those that come before it to be elected.
const STAGGER: Duration = Duration::from_millis(25);

/// Between two rounds of asking.
const ROUND: Duration = Duration::from_millis(60);

/// How a leader whose call ended answers a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// It lives.
    Alive,
    /// Nobody listens where it was.
    Refused,
    /// The connection fails at once.
    Broken,
    /// There is no answer: it may be slow, paused or cut off.
    Silent,
}

/// Reads an answer as a sign. A status that came from the node itself is one of life.
fn sign(answer: &Result<pb::GetStateResponse, Status>) -> Sign {
    let Err(status) = answer else { return Sign::Alive };
    let mut cause = status.source();
    let mut broken = false;
    while let Some(error) = cause {
        broken = true;
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            match io.kind() {
                std::io::ErrorKind::ConnectionRefused => return Sign::Refused,
                std::io::ErrorKind::TimedOut => return Sign::Silent,
                _ => {}
            }
        }
        cause = error.source();
    }
    match status.code() {
        tonic::Code::DeadlineExceeded => Sign::Silent,
        _ if broken => Sign::Broken,
        _ => Sign::Alive,
    }
}

impl Replica {
    /// Watches whoever leads, until the node is shut down.
    ///
    /// # Errors
    /// When Raft has stopped.
    pub async fn attend_leader(&self) -> Result<(), Fault> {
        let me = self.shared.peers.me();
        let mut leadership = self.leadership();
        loop {
            let other = |now: &Leadership| now.leader.as_ref().is_some_and(|(id, _)| *id != me);
            let Ok(leader) = leadership.wait_for(other).await.map(|now| now.leader.clone()) else { return Ok(()) };
            let Some((id, node)) = leader else { continue };
            let still = |now: &Leadership| now.leader.as_ref().is_none_or(|(leads, _)| *leads != id);
            let ended = tokio::select! {
                changed = leadership.wait_for(still) => match changed {
                    Ok(_) => continue,
                    Err(_) => return Ok(()),
                },
                ended = self.attend(id, &node) => ended,
            };
            // A node under repair must not lead, nor let go of anybody.
            if ended && !self.shared.repair.stands() && self.is_dead(id, &node).await {
                self.elect_another(id).await?;
            }
            sleep(self.shared.peers.config().heartbeat).await;
        }
    }

    /// Keeps a call to the leader open until it ends. Returns whether that may mean its death.
    async fn attend(&self, id: NodeId, node: &Node) -> bool {
        let peers = &self.shared.peers;
        let request = pb::AttendRequest { header: Some(peers.route(id).header()) };
        let ask = |mut client: Client| async move { client.attend(request).await };
        match peers.ask(id, node, peers.config().call_timeout, ask).await {
            Ok(mut open) => {
                // Nothing is ever sent: whatever comes is the end.
                let _ = open.message().await;
                true
            }
            Err(status) => matches!(sign(&Err(status)), Sign::Refused | Sign::Broken),
        }
    }

    /// Whether the process of a leader whose call ended is gone.
    async fn is_dead(&self, id: NodeId, node: &Node) -> bool {
        let peers = &self.shared.peers;
        let mut broken = 0;
        for _ in 0..PROBES_MAX {
            let request = pb::GetStateRequest { header: Some(peers.route(id).header()) };
            let ask = |mut client: Client| async move { client.get_state(request).await };
            match sign(&peers.ask(id, node, peers.config().heartbeat, ask).await) {
                Sign::Refused => return true,
                Sign::Broken => broken += 1,
                Sign::Alive | Sign::Silent => return false,
            }
            if broken >= FAILURES {
                return true;
            }
            sleep(PROBE_PAUSE).await;
        }
        false
    }

    /// Asks again and again who would elect this node, until there is another leader or the election
    /// time-outs have taken over. Those with lower ids go first, so that two do not split the vote.
    async fn elect_another(&self, dead: NodeId) -> Result<(), Fault> {
        let stopped = |error: &dyn std::fmt::Display| Fault::Raft(error.to_string());
        let metrics = status::metrics(&self.shared.raft);
        let vote: Vote = metrics.vote;
        if !vote.committed || vote.leader_id.voted_for != dead {
            return Ok(());
        }
        tracing::info!(leader = dead, "the leader's process is gone");
        let me = self.shared.peers.me();
        let voters = metrics.membership_config.voter_ids();
        let before = voters.filter(|id| *id != dead && *id < me).count() as u32;
        // Told of a hand-over to nobody, openraft lets go of the lease and does nothing else.
        let release = TransferLeaderRequest::new(vote, 0, None);
        let released = self.shared.raft.handle_transfer_leader(release).await;
        released.map_err(|fatal| stopped(&fatal))?.ok();
        let config = self.shared.peers.config();
        let until = Instant::now() + config.election_max * 2;
        let mut leadership = self.leadership();
        // The first one gives the others the time to see what it saw.
        let mut pause = PROBE_PAUSE + STAGGER * before;
        while Instant::now() < until {
            let other = |now: &Leadership| now.leader.as_ref().is_some_and(|(id, _)| *id != dead);
            if timeout(pause, leadership.wait_for(other)).await.is_ok() {
                return Ok(());
            }
            self.shared.raft.trigger().elect(true).await.map_err(|fatal| stopped(&fatal))?;
            pause = ROUND + STAGGER * before;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caused(kind: std::io::ErrorKind) -> Result<pb::GetStateResponse, Status> {
        Err(Status::from_error(Box::new(std::io::Error::from(kind))))
    }

    #[test]
    fn only_a_connection_that_fails_at_once_is_a_sign_of_death() {
        use std::io::ErrorKind;
        assert_eq!(sign(&Ok(pb::GetStateResponse::default())), Sign::Alive);
        assert_eq!(sign(&caused(ErrorKind::ConnectionRefused)), Sign::Refused);
        assert_eq!(sign(&caused(ErrorKind::ConnectionReset)), Sign::Broken);
        assert_eq!(sign(&caused(ErrorKind::TimedOut)), Sign::Silent);
        assert_eq!(sign(&Err(Status::deadline_exceeded("late"))), Sign::Silent);
        assert_eq!(sign(&Err(Status::failed_precondition("another disk"))), Sign::Alive);
    }
}
