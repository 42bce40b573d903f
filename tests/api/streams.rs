//! Streams: without a gap, resumable, and equal to what is read at once.

use std::collections::BTreeMap;

use counterfoil::proto::v1 as pb;
use futures::StreamExt;
use pb::command::Body;
use tonic::Streaming;

use super::node::{
    AAPL, ANN, BOB, FEES, MARKET, PATIENCE, TestCluster, TestNode, USD, buy, cancel, command, sell, transfer,
};

async fn watch(node: &TestNode, from_sequence: u64, filter: Option<pb::EventFilter>) -> Streaming<pb::WatchResponse> {
    let asked = pb::WatchRequest { from_sequence, filter };
    node.events().watch(asked).await.expect("a stream").into_inner()
}

/// Everything that a watch tells up to an event.
async fn until(stream: &mut Streaming<pb::WatchResponse>, last: u64) -> Vec<pb::Record> {
    let mut records = Vec::new();
    let collect = async {
        loop {
            let answer = stream.next().await.expect("the stream goes on").expect("no error");
            records.extend(answer.records);
            if answer.through_sequence >= last {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, collect).await.expect("the events come");
    records
}

fn sequences(records: &[pb::Record]) -> Vec<u64> {
    records.iter().flat_map(|record| &record.events).map(|event| event.sequence).collect()
}

/// Some trading; the last event's sequence.
async fn trade(node: &TestNode, rounds: u64) -> u64 {
    for number in 0..rounds {
        node.accept(sell(ANN, 3, 500 + number % 5)).await;
        let order = node.accept(buy(BOB, 2, 498 + number % 7)).await.order.expect("about an order");
        if number % 4 == 0 && order.open > 0 {
            node.accept(cancel(BOB, order.order_id)).await;
        }
    }
    node.status().await.sequence
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_has_no_gap_and_can_be_resumed_anywhere() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let mut live = watch(node, 1, None).await;
    let last = trade(node, 20).await;
    let all = until(&mut live, last).await;
    assert_eq!(sequences(&all), (1..=last).collect::<Vec<_>>());
    for record in &all {
        let mut sums = BTreeMap::new();
        for event in &record.events {
            for posting in &event.postings {
                *sums.entry((event.sequence, posting.asset_id)).or_insert(0) += posting.amount;
            }
        }
        assert!(sums.values().all(|sum| *sum == 0), "what an event posts sums to zero");
    }
    for from in [2, last / 2, last] {
        let resumed = until(&mut watch(node, from, None).await, last).await;
        let is_wanted = |record: &&pb::Record| record.events.last().is_some_and(|event| event.sequence >= from);
        assert_eq!(resumed, all.iter().filter(is_wanted).cloned().collect::<Vec<_>>());
    }
    // From now on: nothing old.
    let mut next = watch(node, 0, None).await;
    let result = node.accept(command(Body::Transfer(transfer(ANN, BOB, USD, 1)))).await;
    let sequence = result.position.expect("a position").sequence;
    assert_eq!(sequences(&until(&mut next, sequence).await), [sequence]);

    let filter = pb::EventFilter { account_ids: vec![FEES], ..Default::default() };
    let filtered = until(&mut watch(node, 1, Some(filter)).await, last).await;
    let concerns = |record: &&pb::Record| {
        record.events.iter().any(|event| {
            let posts = event.postings.iter().any(|posting| posting.account_id == FEES);
            let about = match &event.body {
                Some(pb::event::Body::AccountCreated(created)) => created.account_id == FEES,
                Some(pb::event::Body::MarketCreated(created)) => created.fee_account_id == FEES,
                _ => false,
            };
            posts || about
        })
    };
    assert_eq!(sequences(&filtered), sequences(&all.iter().filter(concerns).cloned().collect::<Vec<_>>()));
    assert!(filtered.len() > 2 && filtered.len() < all.len());
    let filter = pb::EventFilter { market_ids: vec![MARKET], asset_ids: vec![AAPL], ..Default::default() };
    assert!(!until(&mut watch(node, 1, Some(filter)).await, last).await.is_empty());
    cluster.stop().await;
}

/// Levels as a client keeps them.
#[derive(Default)]
struct Levels(BTreeMap<(bool, u64), (u64, u32)>);

impl Levels {
    fn take(&mut self, is_bid: bool, levels: &[pb::BookLevel]) {
        for level in levels {
            if level.quantity == 0 {
                self.0.remove(&(is_bid, level.price));
            } else {
                self.0.insert((is_bid, level.price), (level.quantity, level.order_count));
            }
        }
    }

    fn of(book: &pb::GetBookResponse) -> Self {
        let mut levels = Self::default();
        levels.take(true, &book.bids);
        levels.take(false, &book.asks);
        levels
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_book_can_be_rebuilt_from_its_stream() {
    use pb::stream_book_response::Update;
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    trade(node, 10).await;
    let asked = pb::StreamBookRequest { market_id: MARKET };
    let mut stream = node.market().stream_book(asked).await.expect("a stream").into_inner();
    let Some(Update::Snapshot(snapshot)) = stream.next().await.expect("first").expect("no error").update else {
        panic!("a snapshot comes first")
    };
    let mut levels = Levels::of(&snapshot);
    let mut previous = snapshot.position.expect("a position").sequence;
    let last = trade(node, 25).await;
    // The last event may be another one's; the book's last change is what counts.
    let now = pb::GetBookRequest { market_id: MARKET, depth: 1_000, consistency: None };
    let now = node.market().get_book(now).await.expect("a book").into_inner();
    let collect = async {
        while levels.0 != Levels::of(&now).0 || previous < last {
            let Some(Update::Change(change)) = stream.next().await.expect("goes on").expect("no error").update else {
                panic!("changes follow")
            };
            assert_eq!(change.previous_sequence, previous, "no gap");
            assert!(change.sequence > previous);
            previous = change.sequence;
            levels.take(true, &change.bids);
            levels.take(false, &change.asks);
        }
    };
    tokio::time::timeout(PATIENCE, collect).await.expect("the stream leads to the book");
    cluster.stop().await;
}

/// Orders as a client keeps them: by side and price, in the order of their queue.
type Queues = BTreeMap<(i32, u64), Vec<(u64, u64)>>;

fn queues_of(book: &pb::GetOrderBookResponse) -> Queues {
    let mut queues = Queues::new();
    for order in book.bids.iter().chain(&book.asks) {
        queues.entry((order.side, order.price)).or_default().push((order.order_id, order.open));
    }
    queues
}

fn take(queues: &mut Queues, change: &pb::OrderChange) {
    let order = change.order.expect("an order");
    let queue = queues.entry((order.side, order.price)).or_default();
    match queue.iter_mut().find(|(id, _)| *id == order.order_id) {
        Some(known) if !change.requeued && order.open > 0 => known.1 = order.open,
        _ => {
            queues.values_mut().for_each(|queue| queue.retain(|(id, _)| *id != order.order_id));
            if order.open > 0 {
                queues.entry((order.side, order.price)).or_default().push((order.order_id, order.open));
            }
        }
    }
    queues.retain(|_, queue| !queue.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_book_by_order_can_be_rebuilt_from_its_stream() {
    use pb::stream_order_book_response::Update;
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    trade(node, 10).await;
    let asked = pb::StreamOrderBookRequest { market_id: MARKET };
    let mut stream = node.market().stream_order_book(asked).await.expect("a stream").into_inner();
    let Some(Update::Snapshot(snapshot)) = stream.next().await.expect("first").expect("no error").update else {
        panic!("a snapshot comes first")
    };
    let mut queues = queues_of(&snapshot);
    let mut previous = snapshot.position.expect("a position").sequence;
    let last = trade(node, 25).await;
    let asked = pb::GetOrderBookRequest { market_id: MARKET, limit: 0, consistency: None };
    let now = queues_of(&node.market().get_order_book(asked).await.expect("a book").into_inner());
    let collect = async {
        while previous < last {
            let Some(Update::Change(change)) = stream.next().await.expect("goes on").expect("no error").update else {
                panic!("changes follow")
            };
            assert_eq!(change.previous_sequence, previous, "no gap");
            previous = change.sequence;
            change.orders.iter().for_each(|order| take(&mut queues, order));
        }
    };
    tokio::time::timeout(PATIENCE, collect).await.expect("the changes come");
    assert_eq!(queues, now);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trades_are_streamed_from_any_sequence() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let half = trade(node, 10).await;
    let last = trade(node, 10).await;
    let asked = pb::ListTradesRequest { market_id: MARKET, ..Default::default() };
    let known = node.queries().list_trades(asked).await.expect("known").into_inner().trades;
    for from_sequence in [1, half] {
        let asked = pb::StreamTradesRequest { market_id: MARKET, from_sequence };
        let mut stream = node.market().stream_trades(asked).await.expect("a stream").into_inner();
        let mut trades = Vec::new();
        let collect = async {
            loop {
                let answer = stream.next().await.expect("goes on").expect("no error");
                trades.extend(answer.trades);
                if answer.through_sequence >= last {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, collect).await.expect("the trades come");
        let expected: Vec<_> = known.iter().filter(|trade| trade.trade_id >= from_sequence).copied().collect();
        assert_eq!(trades, expected);
        assert!(!expected.is_empty());
    }
    cluster.stop().await;
}
