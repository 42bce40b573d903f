//! The operator: changes who belongs to the cluster, through the product's own service. What is
//! refused is asked for again: nodes die and come back meanwhile.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use counterfoil::client::{Client, ClientError, api};

use crate::host::{CLIENT_PORT, RAFT_PORT, name};
use crate::workload::client;

/// A change of the membership, in as many steps as the product wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Runs with an empty disk, is to be added, and gets a vote.
    pub joins: Option<u64>,
    /// Loses its vote and leaves, alive or not.
    pub leaves: Option<u64>,
}

/// Between two looks at the desk, and before what was refused is asked for again.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Where orders lie, and what became of them.
#[derive(Debug, Default)]
pub struct Desk {
    members: Mutex<BTreeSet<u64>>,
    order: Mutex<Option<Order>>,
    carried_out: Mutex<Vec<Order>>,
    /// What the present order met last.
    met: Mutex<String>,
    closed: AtomicBool,
    ended: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// The desk of a cluster with these members.
    pub fn new(members: impl Iterator<Item = u64>) -> Arc<Self> {
        Arc::new(Self { members: Mutex::new(members.collect()), ..Self::default() })
    }

    /// Who belongs to the cluster once nothing is under way.
    pub fn members(&self) -> Vec<u64> {
        lock(&self.members).iter().copied().collect()
    }

    /// Whether nothing is under way.
    pub fn is_free(&self) -> bool {
        lock(&self.order).is_none()
    }

    /// Orders a change. Nothing else may be under way.
    pub fn order(&self, order: Order) {
        *lock(&self.order) = Some(order);
    }

    /// The changes that are complete; each is told once.
    pub fn take_carried_out(&self) -> Vec<Order> {
        std::mem::take(&mut *lock(&self.carried_out))
    }

    /// Nothing more is ordered.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether everything is carried out, and nothing more is ordered.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// What is under way, for people.
    pub fn state(&self) -> String {
        match *lock(&self.order) {
            None => "no change of the membership is under way".to_owned(),
            Some(order) => format!("{order:?} is under way, last {}", lock(&self.met)),
        }
    }

    fn complete(&self, order: Order) {
        let mut members = lock(&self.members);
        members.extend(order.joins);
        members.retain(|id| Some(*id) != order.leaves);
        *lock(&self.order) = None;
        lock(&self.carried_out).push(order);
    }
}

/// Carries out what is ordered, until the desk is closed. Any of `nodes` may be asked.
///
/// # Errors
/// When an answer makes no sense.
pub async fn operate(desk: Arc<Desk>, nodes: u64) -> turmoil::Result {
    let client = client(&(1..=nodes).collect::<Vec<_>>())?;
    loop {
        let order = *lock(&desk.order);
        match order {
            Some(order) => {
                carry_out(&desk, &client, order).await?;
                tracing::info!(?order, "carried out");
                desk.complete(order);
            }
            None if desk.closed.load(Ordering::Relaxed) => {
                desk.ended.store(true, Ordering::Relaxed);
                return Ok(());
            }
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

async fn carry_out(desk: &Desk, client: &Client, order: Order) -> Result<(), ClientError> {
    if let Some(node_id) = order.joins {
        let (client_endpoint, raft_endpoint) =
            (format!("{}:{CLIENT_PORT}", name(node_id)), format!("{}:{RAFT_PORT}", name(node_id)));
        let request = api::AddMemberRequest { node_id, client_endpoint, raft_endpoint };
        insist(desk, || client.add_member(request.clone())).await?;
    }
    match (order.joins, order.leaves) {
        (Some(new_node_id), Some(old_node_id)) => {
            let request = api::ReplaceMemberRequest { old_node_id, new_node_id };
            insist(desk, || client.replace_member(request)).await
        }
        (Some(node_id), None) => insist(desk, || client.promote_member(api::PromoteMemberRequest { node_id })).await,
        (None, Some(node_id)) => insist(desk, || client.remove_member(api::RemoveMemberRequest { node_id })).await,
        (None, None) => Ok(()),
    }
}

/// Asks until it is done.
async fn insist<T>(desk: &Desk, ask: impl AsyncFn() -> Result<T, ClientError>) -> Result<(), ClientError> {
    loop {
        match ask().await {
            Ok(_) => return Ok(()),
            Err(error @ (ClientError::Refused(_) | ClientError::Deadline { .. })) => {
                tracing::debug!(%error, "asked in vain");
                *lock(&desk.met) = error.to_string();
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(error) => return Err(error),
        }
    }
}
