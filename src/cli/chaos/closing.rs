//! When all faults are over: the nodes become equal, everything is read once more, and the journal of
//! every node is held against what the clients wrote down.

use std::time::{Duration, Instant};

use prost::Message as _;

use super::ground;
use super::load::PENDING_LIFE;
use super::nodes::{Nodes, RECOVERY_TIMEOUT};
use super::recorder::Recorder;
use super::target::Member;
use crate::checker::{Checker, NodeState, ReadKind, ReadLevel, Report, Seen};
use crate::cli::CliError;
use crate::client::{Client, ClientOptions, api};

/// How long nothing must happen before all is quiet.
const SETTLE: Duration = PENDING_LIFE.saturating_add(Duration::from_millis(500));

/// What the end of a run showed.
#[derive(Debug)]
pub struct Closing {
    /// What the checker found.
    pub report: Report,
    /// Every account was read on every node.
    pub final_reads: bool,
    /// Nodes whose journal is not that of the first one.
    pub journals_differ: Vec<u64>,
}

/// Brings a run to its end. The clients have stopped.
pub async fn close(members: &[Member], nodes: &Nodes, recorder: &Recorder) -> Result<Closing, CliError> {
    let states = quiet(nodes).await?;
    let clients = members
        .iter()
        .map(|member| Client::new(&[&member.endpoint], ClientOptions::default()))
        .collect::<Result<Vec<_>, _>>()?;
    let final_reads = read_all(&clients, recorder).await;
    let end = states.iter().map(|state| state.sequence.0).max().unwrap_or_default();
    let mut checker = Checker::new(recorder.take_history());
    let mut hashes = Vec::new();
    for (place, client) in clients.iter().enumerate() {
        let hash = journal(client, end, |record| {
            if place == 0 {
                checker.record(record);
            }
        });
        hashes.push(hash.await?);
    }
    let differ = members.iter().zip(&hashes).filter(|(_, hash)| Some(*hash) != hashes.first());
    let journals_differ = differ.map(|(member, _)| member.id).collect();
    Ok(Closing { report: checker.finish(&states), final_reads, journals_differ })
}

/// Waits until the nodes are equal and stay so: transfers and orders may still expire.
async fn quiet(nodes: &Nodes) -> Result<Vec<NodeState>, CliError> {
    let deadline = Instant::now() + RECOVERY_TIMEOUT;
    loop {
        let before = nodes.equal().await?;
        tokio::time::sleep(SETTLE).await;
        let after = nodes.equal().await?;
        let events = |states: &[NodeState]| states.iter().map(|state| state.sequence).collect::<Vec<_>>();
        if events(&before) == events(&after) {
            return Ok(after);
        }
        if Instant::now() > deadline {
            return Err(CliError::Check("others use the cluster: its events go on".to_owned()));
        }
    }
}

/// Reads every account on every node, as it has it and linearizably; whether all were answered.
async fn read_all(clients: &[Client], recorder: &Recorder) -> bool {
    use api::consistency::Level;
    let mut complete = true;
    for client in clients {
        for account_id in ground::accounts() {
            for (level, wire) in
                [(ReadLevel::Stale, Level::Stale(true)), (ReadLevel::Linearizable, Level::Linearizable(true))]
            {
                let consistency = Some(api::Consistency { level: Some(wire) });
                let sent = recorder.now();
                match client.get_account(api::GetAccountRequest { account_id, consistency }).await {
                    Ok(saw) => recorder.read(level, sent, ReadKind::Account(saw)),
                    Err(_) => complete = false,
                }
            }
        }
    }
    complete
}

/// Every record of a node's journal through the event `end`, and a hash of them all.
async fn journal(client: &Client, end: u64, mut each: impl FnMut(api::Record)) -> Result<blake3::Hash, CliError> {
    let mut hasher = blake3::Hasher::new();
    let mut watch = client.watch(1, None);
    let mut through = 0;
    while through < end {
        let response = watch.next().await?;
        through = response.through_sequence;
        for record in response.records {
            hasher.update(&record.encode_length_delimited_to_vec());
            each(record);
        }
    }
    Ok(hasher.finalize())
}

/// What the run showed besides what clients saw.
pub fn seen(closing: &Closing, faults: std::collections::BTreeMap<String, u64>, leader_changes: u64) -> Seen {
    Seen { faults, leader_changes, final_reads: closing.final_reads }
}
