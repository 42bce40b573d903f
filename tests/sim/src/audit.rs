//! The end of a run: when all is well, every node is asked for everything, and must say the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use counterfoil::checker::{Moment, NodeState, Read, ReadKind, ReadLevel};
use counterfoil::client::{Client, ClientError, api};
use counterfoil::core::types::{LogIndex, Sequence};

use crate::operator::Desk;
use crate::workload::{accounts, client};

/// What the nodes say in the end.
#[derive(Debug, Default)]
pub struct Audit {
    /// Each node's state.
    pub nodes: Vec<NodeState>,
    /// Every record.
    pub records: Vec<api::Record>,
    /// Linearizable reads of every account on every node.
    pub reads: Vec<Read>,
    /// What is wrong.
    pub wrong: Vec<String>,
    /// Nothing is missing.
    pub complete: bool,
}

/// Between two looks, while the nodes are not equal yet.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The auditor: waits until the members are equal, then reads all there is.
///
/// # Errors
/// When a node refuses what it must answer.
pub async fn audit(desk: Arc<Desk>, found: Arc<Mutex<Option<Audit>>>) -> turmoil::Result {
    let clients = desk.members().iter().map(|id| client(&[*id])).collect::<Result<Vec<_>, _>>()?;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match look(&clients, &desk.members()).await {
            Ok(Some(audit)) => {
                *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(audit);
                return Ok(());
            }
            Ok(None) | Err(ClientError::Deadline { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Everything, if the nodes are equal and stay so meanwhile.
async fn look(clients: &[Client], expected: &[u64]) -> Result<Option<Audit>, ClientError> {
    let before = states(clients).await?;
    let place = |state: &NodeState| (state.applied, state.sequence);
    if before.iter().any(|state| place(state) != place(&before[0])) {
        return Ok(None);
    }
    let mut audit = Audit::default();
    let end = before[0].sequence.0;
    for (client, node) in clients.iter().zip(1..) {
        let records = records(client, end).await?;
        if audit.records.is_empty() {
            audit.records = records;
        } else if let Some((one, other)) = audit.records.iter().zip(&records).find(|(one, other)| one != other) {
            audit.wrong.push(format!("the journals of node 1 and node {node} differ: {one:?}, {other:?}"));
        }
        for account_id in accounts() {
            let consistency = Some(api::Consistency { level: Some(api::consistency::Level::Linearizable(true)) });
            let saw = client.get_account(api::GetAccountRequest { account_id, consistency }).await?;
            let moment = Moment(u64::MAX);
            let level = ReadLevel::Linearizable;
            audit.reads.push(Read { level, sent: moment, answered: moment, saw: ReadKind::Account(saw) });
        }
    }
    let mut members = Vec::new();
    for client in clients {
        members.push(voters(client).await?);
    }
    if let Some(other) = members.iter().find(|members| members != &expected) {
        audit.wrong.push(format!("a node says that the voters are {other:?}; they are {expected:?}"));
    }
    audit.nodes = states(clients).await?;
    if audit.nodes.iter().any(|state| place(state) != place(&before[0])) {
        // Somebody still works.
        return Ok(None);
    }
    audit.complete = true;
    Ok(Some(audit))
}

async fn states(clients: &[Client]) -> Result<Vec<NodeState>, ClientError> {
    let mut states = Vec::new();
    for client in clients {
        let status = client.get_status(api::GetStatusRequest::default()).await?;
        states.push(NodeState {
            node: status.node_id,
            applied: LogIndex(status.applied_index),
            sequence: Sequence(status.sequence),
            digest: status.state_digest,
        });
    }
    Ok(states)
}

/// Who votes, as a node sees it; it has to be every member.
async fn voters(client: &Client) -> Result<Vec<u64>, ClientError> {
    let status = client.get_status(api::GetStatusRequest::default()).await?;
    let mut voters: Vec<u64> =
        status.members.iter().filter(|member| member.voter).map(|member| member.node_id).collect();
    voters.sort_unstable();
    Ok(voters)
}

async fn records(client: &Client, end: u64) -> Result<Vec<api::Record>, ClientError> {
    let mut watch = client.watch(1, None);
    let mut records = Vec::new();
    let mut through = 0;
    while through < end {
        let response = watch.next().await?;
        through = response.through_sequence;
        records.extend(response.records);
    }
    Ok(records)
}
