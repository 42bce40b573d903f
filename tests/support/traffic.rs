//! Commands for tests of a running cluster, sent again until they are answered.

// Every test file compiles this for itself and uses a part of it.
#![allow(dead_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use counterfoil::proto::v1::command::Body;
use counterfoil::proto::v1::command_service_client::CommandServiceClient;
use counterfoil::proto::v1::event_service_client::EventServiceClient;
use counterfoil::proto::v1::query_service_client::QueryServiceClient;
use counterfoil::proto::v1::{
    AssetKind, Command, CommandResult, CommandScope, Consistency, CreateAccount, CreateAsset, ExecuteRequest,
    GetCommandResultRequest, ListBalancesRequest, Record, Transfer, WatchRequest, consistency,
};
use tonic::Code;
use tonic::transport::Channel;

use super::cluster::{Cluster, PATIENCE, channel};

/// What a node has, at once: for a cluster whose nodes were seen to be equal.
pub const STALE: Consistency = Consistency { level: Some(consistency::Level::Stale(true)) };

pub const ISSUER: u64 = 1;
pub const HOLDER: u64 = 2;
pub const ASSET: u32 = 1;

/// Settings so small that snapshots, purges and catching up by snapshot happen within a test.
pub const SMALL: &str =
    "[raft]\nsnapshot_entries = 300\nkept_entries = 50\n[store]\nlog_segment_mib = 1\nstate_sync_ms = 50\n";

/// A cluster that is ready for [`Writers`], and a channel to each node.
pub async fn cluster_of(count: u64, settings: &str) -> (Cluster, Vec<Channel>) {
    let cluster = Cluster::start(count, settings).await;
    let channels: Vec<Channel> = cluster.endpoints().iter().map(|endpoint| channel(endpoint)).collect();
    set_up(&channels).await;
    (cluster, channels)
}

/// The holder has one unit for each acknowledged transfer, and nothing else moved.
pub async fn expect_balance(cluster: &Cluster, node: &Channel, acknowledged: usize) {
    let request =
        ListBalancesRequest { account_id: HOLDER, consistency: Some(STALE), ..ListBalancesRequest::default() };
    let answer = QueryServiceClient::new(node.clone()).list_balances(request).await.expect("balances").into_inner();
    assert_eq!(answer.balances[0].posted, acknowledged as i64, "{}", cluster.logs());
}

pub fn id(number: u128) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&number.to_be_bytes())
}

pub fn command(number: u128, body: Body) -> Command {
    Command { id: id(number), linked: false, body: Some(body) }
}

/// A transfer of one unit from the issuer.
pub fn transfer(number: u128) -> Command {
    command(
        number,
        Body::Transfer(Transfer {
            debit_account_id: ISSUER,
            credit_account_id: HOLDER,
            asset_id: ASSET,
            amount: 1,
            ..Transfer::default()
        }),
    )
}

/// Sends one command, to one node after the other, until it is answered.
pub async fn execute(channels: &[Channel], command: Command) -> CommandResult {
    let deadline = Instant::now() + PATIENCE;
    for attempt in 0.. {
        let mut client = CommandServiceClient::new(channels[attempt % channels.len()].clone());
        let mut request = tonic::Request::new(ExecuteRequest { command: Some(command.clone()) });
        request.set_timeout(Duration::from_secs(2));
        match client.execute(request).await {
            Ok(answer) => return answer.into_inner().result.expect("an answer holds a result"),
            Err(status) if is_passing(status.code()) => {}
            Err(status) => panic!("refused: {status}"),
        }
        assert!(Instant::now() < deadline, "no node answered");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    unreachable!("attempts do not end")
}

fn is_passing(code: Code) -> bool {
    // A connection that broke is "unknown" to the transport.
    matches!(
        code,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted | Code::Unknown
    )
}

/// An asset, an issuer and a holder.
pub async fn set_up(channels: &[Channel]) {
    let asset = CreateAsset { asset_id: ASSET, code: "USD".to_owned(), scale: 2, kind: AssetKind::Currency.into() };
    let account = |account_id, issuer| CreateAccount { account_id, issuer, ..CreateAccount::default() };
    let bodies = [
        Body::CreateAsset(asset),
        Body::CreateAccount(account(ISSUER, true)),
        Body::CreateAccount(account(HOLDER, false)),
    ];
    for (number, body) in (1..).zip(bodies) {
        let result = execute(channels, command(number, body)).await;
        assert_eq!(result.rejection, 0, "{result:?}");
    }
}

/// Writers that send one transfer after the other until they are stopped.
pub struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    answers: Arc<Mutex<Vec<(u128, CommandResult)>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Writers {
    /// Starts `count` writers whose ids begin at `first << 64`.
    pub fn start(endpoints: &[String], count: u64, first: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let answers = Arc::new(Mutex::new(Vec::new()));
        let tasks = (0..count).map(|writer| {
            let channels: Vec<Channel> = endpoints.iter().map(|endpoint| channel(endpoint)).collect();
            let (stop, acknowledged, answers) = (stop.clone(), acknowledged.clone(), answers.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    let id = u128::from(first + writer) << 64 | number;
                    let result = execute(&channels, transfer(id)).await;
                    assert_eq!(result.rejection, 0, "{result:?}");
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    answers.lock().expect("no writer panics here").push((id, result));
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            })
        });
        let tasks = tasks.collect();
        Self { stop, acknowledged, answers, tasks }
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until this many more commands are acknowledged.
    pub async fn more(&self, count: u64) {
        let (goal, deadline) = (self.acknowledged() + count, Instant::now() + PATIENCE);
        while self.acknowledged() < goal {
            assert!(Instant::now() < deadline, "{} of {goal} acknowledged", self.acknowledged());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets every writer finish the command it is at, and gives every answer that was had.
    pub async fn stop(self) -> Vec<(u128, CommandResult)> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a writer ends well");
        }
        std::mem::take(&mut *self.answers.lock().expect("no writer panics here"))
    }
}

/// Every answer that was given stands: the same command has the same result, once.
pub async fn expect_kept(node: &Channel, answers: &[(u128, CommandResult)]) {
    let mut client = QueryServiceClient::new(node.clone());
    for (number, answer) in answers {
        let request = GetCommandResultRequest {
            scope: CommandScope::Transfer.into(),
            id: id(*number),
            consistency: Some(STALE),
            ..GetCommandResultRequest::default()
        };
        let kept = client.get_command_result(request).await.expect("the command is known").into_inner().result;
        let strip = |result: &CommandResult| CommandResult { duplicate: false, ..result.clone() };
        assert_eq!(kept.as_ref().map(strip), Some(strip(answer)));
    }
}

/// Every record from the first event through `sequence`, from one node. Checks that nothing is missing.
pub async fn records_through(node: &Channel, sequence: u64) -> Vec<Record> {
    let mut client = EventServiceClient::new(node.clone()).max_decoding_message_size(64 << 20);
    let request = WatchRequest { from_sequence: 1, filter: None };
    let mut stream = client.watch(request).await.expect("a stream").into_inner();
    let mut records: Vec<Record> = Vec::new();
    let mut next = 1;
    while next <= sequence {
        let message = tokio::time::timeout(PATIENCE, stream.message()).await.expect("the stream goes on");
        for record in message.expect("no error").expect("no end").records {
            for event in &record.events {
                assert_eq!(event.sequence, next, "a gap in the events");
                next += 1;
            }
            records.push(record);
        }
    }
    records
}
