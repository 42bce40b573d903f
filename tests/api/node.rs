//! Nodes in this process, and short ways to send them commands.

#[path = "../support/ports.rs"]
mod ports;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use counterfoil::config::{Config, MemberConfig};
use counterfoil::node::Node;
use counterfoil::proto::v1 as pb;
use counterfoil::proto::v1::command::Body;
use pb::cluster_service_client::ClusterServiceClient;
use pb::command_service_client::CommandServiceClient;
use pb::event_service_client::EventServiceClient;
use pb::market_data_service_client::MarketDataServiceClient;
use pb::query_service_client::QueryServiceClient;
use tonic::transport::{Channel, Endpoint};

use ports::free_port;

/// How long anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The currency, of scale 2.
pub const USD: u32 = 1;
/// The security, of scale 0.
pub const AAPL: u32 = 2;
/// AAPL for USD.
pub const MARKET: u32 = 1;
/// May go below zero.
pub const ISSUER: u64 = 1;
/// Collects fees.
pub const FEES: u64 = 2;
/// Trades.
pub const ANN: u64 = 10;
/// Trades with Ann.
pub const BOB: u64 = 11;
/// What each of them begins with.
pub const FUNDS: u64 = 10_000_000;

/// One node of a cluster.
pub struct TestNode {
    pub node: Option<Node>,
    pub endpoint: String,
    pub channel: Channel,
}

/// Nodes in this process and the folder of their data.
pub struct TestCluster {
    pub nodes: Vec<TestNode>,
    _folder: tempfile::TempDir,
}

impl TestCluster {
    /// A cluster that has a leader.
    pub async fn start(count: u64) -> Self {
        Self::start_with(count, |_| {}).await
    }

    /// A cluster that has a leader, of nodes whose configuration was changed.
    pub async fn start_with(count: u64, change: impl Fn(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let endpoint = || format!("127.0.0.1:{}", free_port());
        let member = |id| MemberConfig { id, client_endpoint: endpoint(), raft_endpoint: endpoint() };
        let members: Vec<MemberConfig> = (1..=count).map(member).collect();
        let mut nodes = Vec::new();
        for member in &members {
            let mut config = Config::default();
            config.node.id = member.id;
            config.node.data_dir = folder.path().join(member.id.to_string());
            config.node.client_listen = member.client_endpoint.parse().expect("an address");
            config.node.raft_listen = member.raft_endpoint.parse().expect("an address");
            config.cluster.name = "test".to_owned();
            config.cluster.members = members.clone();
            config.store.log_segment_mib = 4;
            change(&mut config);
            let node = Node::start(config).await.expect("the node starts");
            let uri = format!("http://{}", member.client_endpoint);
            let channel = Endpoint::from_shared(uri).expect("an address").connect_lazy();
            nodes.push(TestNode { node: Some(node), endpoint: member.client_endpoint.clone(), channel });
        }
        let cluster = Self { nodes, _folder: folder };
        cluster.leader().await;
        cluster
    }

    /// One node, with assets, accounts, funds and a market.
    pub async fn exchange() -> Self {
        let cluster = Self::start(1).await;
        set_up(&cluster.nodes[0]).await;
        cluster
    }

    /// The place of the node that leads, once all agree on it.
    pub async fn leader(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut known = Vec::new();
            for node in self.nodes.iter().filter(|node| node.node.is_some()) {
                known.push(node.status().await.leader_id);
            }
            if known[0] != 0 && known.iter().all(|id| *id == known[0]) {
                let place = known[0] as usize - 1;
                let role = self.nodes[place].status().await.role();
                if role == pb::NodeRole::Leader {
                    return place;
                }
            }
            assert!(Instant::now() < deadline, "no leader: {known:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The one node.
    pub fn only(&self) -> &TestNode {
        &self.nodes[0]
    }

    /// Ends every node.
    pub async fn stop(mut self) {
        for node in &mut self.nodes {
            if let Some(node) = node.node.take() {
                node.shutdown().await;
            }
        }
    }
}

impl TestNode {
    pub fn commands(&self) -> CommandServiceClient<Channel> {
        CommandServiceClient::new(self.channel.clone()).max_decoding_message_size(64 << 20)
    }

    pub fn queries(&self) -> QueryServiceClient<Channel> {
        QueryServiceClient::new(self.channel.clone())
    }

    pub fn market(&self) -> MarketDataServiceClient<Channel> {
        MarketDataServiceClient::new(self.channel.clone())
    }

    pub fn events(&self) -> EventServiceClient<Channel> {
        EventServiceClient::new(self.channel.clone())
    }

    pub async fn status(&self) -> pb::GetStatusResponse {
        let mut client = ClusterServiceClient::new(self.channel.clone());
        client.get_status(pb::GetStatusRequest {}).await.expect("a status").into_inner()
    }

    /// The answers to a batch.
    pub async fn submit(&self, commands: Vec<pb::Command>) -> Vec<pb::CommandResult> {
        let answer = self.commands().submit(pb::SubmitRequest { commands }).await;
        answer.expect("the batch is taken").into_inner().results
    }

    /// The answer to one command, which is carried out.
    pub async fn accept(&self, command: pb::Command) -> pb::CommandResult {
        let result = self.send(command.clone()).await;
        assert_eq!(result.rejection(), pb::Rejection::Unspecified, "{command:?}");
        result
    }

    /// The answer to one command.
    pub async fn send(&self, command: pb::Command) -> pb::CommandResult {
        let answer = self.commands().execute(pb::ExecuteRequest { command: Some(command) }).await;
        answer.expect("the command is taken").into_inner().result.expect("an answer holds a result")
    }
}

/// An id never used before in this process.
pub fn fresh_id() -> Bytes {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    id(u128::from(NEXT.fetch_add(1, Ordering::Relaxed)))
}

pub fn id(number: u128) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

pub fn command(body: Body) -> pb::Command {
    pb::Command { id: fresh_id(), linked: false, body: Some(body) }
}

pub fn linked(body: Body) -> pb::Command {
    pb::Command { linked: true, ..command(body) }
}

pub fn transfer(debit: u64, credit: u64, asset_id: u32, amount: u64) -> pb::Transfer {
    pb::Transfer { debit_account_id: debit, credit_account_id: credit, asset_id, amount, ..Default::default() }
}

pub fn account(account_id: u64, issuer: bool) -> pb::Command {
    command(Body::CreateAccount(pb::CreateAccount { account_id, issuer, ..Default::default() }))
}

pub fn order(account_id: u64, side: pb::Side, quantity: u64, limit_price: u64) -> pb::NewOrder {
    pb::NewOrder {
        account_id,
        market_id: MARKET,
        side: side.into(),
        quantity,
        pricing: Some(pb::new_order::Pricing::LimitPrice(limit_price)),
        ..Default::default()
    }
}

pub fn buy(account_id: u64, quantity: u64, limit_price: u64) -> pb::Command {
    command(Body::NewOrder(order(account_id, pb::Side::Buy, quantity, limit_price)))
}

pub fn sell(account_id: u64, quantity: u64, limit_price: u64) -> pb::Command {
    command(Body::NewOrder(order(account_id, pb::Side::Sell, quantity, limit_price)))
}

pub fn by_order_id(order_id: u64) -> Option<pb::OrderReference> {
    Some(pb::OrderReference { reference: Some(pb::order_reference::Reference::OrderId(order_id)) })
}

pub fn cancel(account_id: u64, order_id: u64) -> pb::Command {
    command(Body::CancelOrder(pb::CancelOrder { account_id, order: by_order_id(order_id) }))
}

/// Two assets, four accounts, funds for two of them, a market.
pub async fn set_up(node: &TestNode) {
    let asset = |asset_id, code: &str, scale, kind: pb::AssetKind| {
        command(Body::CreateAsset(pb::CreateAsset { asset_id, code: code.to_owned(), scale, kind: kind.into() }))
    };
    let mut commands = vec![
        asset(USD, "USD", 2, pb::AssetKind::Currency),
        asset(AAPL, "AAPL", 0, pb::AssetKind::Security),
        account(ISSUER, true),
        account(FEES, false),
        account(ANN, false),
        account(BOB, false),
    ];
    for (holder, held) in [(ANN, USD), (ANN, AAPL), (BOB, USD), (BOB, AAPL)] {
        commands.push(command(Body::Transfer(transfer(ISSUER, holder, held, FUNDS))));
    }
    commands.push(command(Body::CreateMarket(pb::CreateMarket {
        market_id: MARKET,
        symbol: "AAPL/USD".to_owned(),
        base_asset_id: AAPL,
        quote_asset_id: USD,
        tick: 1,
        lot: 1,
        maker_fee: 0,
        taker_fee: 1_000,
        fee_account_id: FEES,
        quantity_max: 1_000_000,
        notional_max: 1_000_000_000,
        phase: pb::Phase::Continuous.into(),
    })));
    // On a busy machine an election may pass in the middle of it: what is sent again is carried out once.
    let deadline = Instant::now() + PATIENCE;
    let results = loop {
        match node.commands().submit(pb::SubmitRequest { commands: commands.clone() }).await {
            Ok(answer) => break answer.into_inner().results,
            Err(refused) => assert!(Instant::now() < deadline, "{refused}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    for result in results {
        assert_eq!(result.rejection(), pb::Rejection::Unspecified, "{result:?}");
    }
}
