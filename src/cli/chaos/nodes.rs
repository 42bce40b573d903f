//! What the nodes say of themselves: who leads, how far each is, whether all are equal.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;

use super::target::Member;
use crate::checker::NodeState;
use crate::cli::CliError;
use crate::client::{Client, ClientOptions, api};
use crate::core::types::{LogIndex, Sequence};

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks while something is waited for.
const POLL: Duration = Duration::from_millis(20);
/// Between two looks of the one who counts leaders.
const WATCH_PERIOD: Duration = Duration::from_millis(100);
/// How long the cluster may take to become whole.
pub const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// Between two looks whether a node that was hurt still answers: one that is started again at once is silent shortly.
const SILENCE_POLL: Duration = Duration::from_millis(5);
/// A leader that has heard nothing of a node for so long has lost it, in milliseconds.
const LOST_AFTER_MS: u64 = 300;

/// A client of each node, and the leaders that were seen. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Nodes {
    clients: Arc<Vec<Client>>,
    leaders: Arc<Mutex<BTreeSet<(u64, u64)>>>,
}

type Status = api::GetStatusResponse;

impl Nodes {
    /// Clients that ask each node for itself.
    pub fn new(members: &[Member]) -> Result<Self, CliError> {
        let options = ClientOptions { deadline: PATIENCE, attempt: PATIENCE };
        let clients = members.iter().map(|member| Client::new(&[&member.endpoint], options));
        Ok(Self { clients: Arc::new(clients.collect::<Result<_, _>>()?), leaders: Arc::default() })
    }

    /// How each node sees the cluster; `None` for one that does not answer.
    pub async fn statuses(&self) -> Vec<Option<Status>> {
        let ask = |client: &Client| {
            let client = client.clone();
            async move { client.get_status(api::GetStatusRequest {}).await.ok() }
        };
        let statuses = join_all(self.clients.iter().map(ask)).await;
        let mut leaders = self.leaders.lock().unwrap_or_else(PoisonError::into_inner);
        leaders.extend(statuses.iter().flatten().filter(|s| s.leader_id == s.node_id).map(|s| (s.term, s.leader_id)));
        statuses
    }

    /// Whether each of these nodes was seen not to answer within this time.
    pub async fn fell_silent(&self, places: &[usize], within: Duration) -> bool {
        self.saw(places, within, |statuses, place| statuses[place].is_none()).await
    }

    /// Whether each of these nodes was seen cut off from the others within this time, or not to answer.
    pub async fn were_cut_off(&self, places: &[usize], within: Duration) -> bool {
        self.saw(places, within, is_cut_off).await
    }

    async fn saw(&self, places: &[usize], within: Duration, hit: fn(&[Option<Status>], usize) -> bool) -> bool {
        let deadline = Instant::now() + within;
        let mut well = places.to_vec();
        loop {
            let statuses = self.statuses().await;
            well.retain(|place| !hit(&statuses, *place));
            if well.is_empty() || Instant::now() > deadline {
                return well.is_empty();
            }
            tokio::time::sleep(SILENCE_POLL).await;
        }
    }

    /// Looks at the leaders all the while.
    pub async fn watch(self) {
        loop {
            self.statuses().await;
            tokio::time::sleep(WATCH_PERIOD).await;
        }
    }

    /// How often another node has come to lead.
    pub fn leader_changes(&self) -> u64 {
        let leaders = self.leaders.lock().unwrap_or_else(PoisonError::into_inner);
        let nodes: Vec<u64> = leaders.iter().map(|(_, node)| *node).collect();
        nodes.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64
    }

    /// The place and the term of the node that leads, and says so itself.
    pub async fn leader(&self) -> Result<(usize, Status), CliError> {
        let deadline = Instant::now() + RECOVERY_TIMEOUT;
        loop {
            if let Some(found) = leader_of(self.statuses().await) {
                return Ok(found);
            }
            wait_until(deadline, "no node leads").await?;
        }
    }

    /// Waits until these nodes have applied what the leader has committed now; how long it took.
    pub async fn in_sync(&self, places: &[usize]) -> Result<Duration, CliError> {
        let started = Instant::now();
        let deadline = started + RECOVERY_TIMEOUT;
        let goal = self.leader().await?.1.committed_index;
        loop {
            let statuses = self.statuses().await;
            let there = |place: &usize| {
                let status = statuses.get(*place).and_then(Option::as_ref);
                status.is_some_and(|status| status.applied_index >= goal && status.leader_id != 0)
            };
            if places.iter().all(there) {
                return Ok(started.elapsed());
            }
            let behind = places.iter().filter(|place| !there(place)).map(|place| (place + 1).to_string());
            let behind = behind.collect::<Vec<_>>().join(", ");
            wait_until(deadline, &format!("not in sync: node {behind}")).await?;
        }
    }

    /// Waits until all nodes answer and are equal; what each says then.
    pub async fn equal(&self) -> Result<Vec<NodeState>, CliError> {
        let deadline = Instant::now() + RECOVERY_TIMEOUT;
        loop {
            let states: Vec<NodeState> = self.statuses().await.iter().flatten().map(state).collect();
            let equal = |pair: &[NodeState]| {
                (pair[0].applied, pair[0].sequence, &pair[0].digest)
                    == (pair[1].applied, pair[1].sequence, &pair[1].digest)
            };
            if states.len() == self.clients.len() && states.windows(2).all(equal) {
                return Ok(states);
            }
            let said = format!("the nodes do not become equal: {states:?}");
            if wait_until(deadline, &said).await.is_err() {
                // The checker says what it means.
                return if states.len() == self.clients.len() { Ok(states) } else { Err(CliError::Check(said)) };
            }
        }
    }
}

fn state(status: &Status) -> NodeState {
    NodeState {
        node: status.node_id,
        applied: LogIndex(status.applied_index),
        sequence: Sequence(status.sequence),
        digest: status.state_digest.clone(),
    }
}

/// One that was cut off may still think that it leads: the highest term counts.
fn leader_of(statuses: Vec<Option<Status>>) -> Option<(usize, Status)> {
    let answered = statuses.into_iter().enumerate().filter_map(|(place, status)| Some((place, status?)));
    answered.filter(|(_, status)| status.leader_id == status.node_id).max_by_key(|(_, status)| status.term)
}

/// Whether a node does not answer, the leader among the others lost it, or it sees another leader than they do, or none.
fn is_cut_off(statuses: &[Option<Status>], place: usize) -> bool {
    let Some(of_it) = &statuses[place] else { return true };
    let mut others = statuses.iter().flatten().filter(|other| other.node_id != of_it.node_id);
    others.any(|other| {
        let silence = other.members.iter().find(|member| member.node_id == of_it.node_id).and_then(|it| it.silence_ms);
        let is_lost = other.leader_id == other.node_id && silence.is_some_and(|silence| silence > LOST_AFTER_MS);
        is_lost || other.leader_id != of_it.leader_id
    })
}

async fn wait_until(deadline: Instant, what: &str) -> Result<(), CliError> {
    if Instant::now() >= deadline {
        return Err(CliError::Check(format!("{what}, for {RECOVERY_TIMEOUT:?}")));
    }
    tokio::time::sleep(POLL).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_lead_the_later_term_counts() {
        let status = |node_id, leader_id, term| Some(Status { node_id, leader_id, term, ..Status::default() });
        let found = leader_of(vec![status(1, 1, 4), None, status(3, 3, 5), status(4, 3, 5)]);
        assert_eq!(found.map(|(place, status)| (place, status.node_id)), Some((2, 3)));
        assert!(leader_of(vec![status(1, 0, 4), None, status(3, 1, 4)]).is_none());
    }

    #[test]
    fn a_node_that_the_leader_lost_is_cut_off() {
        let status = |node_id, leader_id, silences: [u64; 3]| {
            let member = |(place, silence_ms): (usize, u64)| api::Member {
                node_id: place as u64 + 1,
                silence_ms: Some(silence_ms),
                ..api::Member::default()
            };
            let members = silences.into_iter().enumerate().map(member).collect();
            Some(Status { node_id, leader_id, members, ..Status::default() })
        };
        let cut = |statuses: &[Option<Status>]| [0, 1, 2].map(|place| is_cut_off(statuses, place));
        let (fresh, follower) = ([0, 20, 40], [20, 5_000, 5_000]);
        let well = [status(1, 1, fresh), status(2, 1, follower), status(3, 1, follower)];
        assert_eq!(cut(&well), [false; 3], "followers hear nothing of each other");
        assert_eq!(
            cut(&[status(1, 1, [0, 20, 900]), status(2, 1, follower), status(3, 1, follower)]),
            [false, false, true]
        );
        assert!(cut(&[status(1, 0, fresh), status(2, 2, follower), status(3, 2, follower)])[0], "another leads");
        assert_eq!(cut(&[None, status(2, 0, follower), status(3, 0, follower)]), [true, false, false]);
    }
}
