//! Streams: without a gap, resumable, and equal to what is read at once.

use std::collections::BTreeMap;

use counterfoil::proto::v1 as pb;
use futures::StreamExt;
use pb::command::Body;
use tonic::Streaming;

use super::node::{
    AAPL, ANN, BOB, FEES, ISSUER, MARKET, PATIENCE, TestCluster, TestNode, USD, account, buy, cancel, command, sell,
    transfer,
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
    let inside = all.iter().find(|record| record.events.len() > 1).and_then(|record| record.events.last());
    let inside = inside.expect("some command made more than one event").sequence;
    for from in [2, last / 2, inside, last] {
        let resumed = until(&mut watch(node, from, None).await, last).await;
        let expected = all.iter().filter_map(|record| {
            let mut record = record.clone();
            record.events.retain(|event| event.sequence >= from);
            (!record.events.is_empty()).then_some(record)
        });
        assert_eq!(resumed, expected.collect::<Vec<_>>(), "nothing before the event that was asked for");
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

/// A reader that asks for a stream and reads nothing of it: HTTP/2 gives the node no room to tell it anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_reads_nothing_loses_its_stream_and_its_place() {
    let change = |config: &mut counterfoil::config::Config| {
        (config.server.streams, config.server.slow_reader_ms) = (1, 300);
    };
    let cluster = TestCluster::start_with(1, change).await;
    let node = cluster.only();
    super::node::set_up(node).await;
    // More than one answer holds: who left but the last one lying would have been told everything.
    let moves = || (0..8_000).map(|_| command(Body::Transfer(transfer(ANN, BOB, USD, 1)))).collect();
    node.submit(moves()).await;

    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", node.endpoint)).expect("an address");
    let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let mut idle = pb::event_service_client::EventServiceClient::new(endpoint.connect_lazy());
    let asked = pb::WatchRequest { from_sequence: 1, filter: None };
    let mut unread = idle.watch(asked.clone()).await.expect("a stream").into_inner();
    let refused = node.events().watch(asked.clone()).await.expect_err("there is one place");
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);

    let place = async {
        while node.events().watch(asked.clone()).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, place).await.expect("the place is given back");
    let end = async {
        while let Some(answer) = unread.next().await {
            if answer.is_err() {
                return true;
            }
        }
        false
    };
    assert!(tokio::time::timeout(PATIENCE, end).await.expect("it ends"), "the stream is broken, and says so");
    cluster.stop().await;
}

/// One that reads all the time is no slow reader, however long nothing happens.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_waits_for_news_keeps_its_stream() {
    let cluster = TestCluster::start_with(1, |config| config.server.slow_reader_ms = 100).await;
    let node = cluster.only();
    super::node::set_up(node).await;
    let asked = pb::StreamTradesRequest { market_id: MARKET, from_sequence: 0 };
    let mut stream = node.market().stream_trades(asked).await.expect("a stream").into_inner();
    let quiet = tokio::time::timeout(std::time::Duration::from_secs(2), async {
        while let Some(answer) = stream.next().await {
            assert!(answer.expect("no error").trades.is_empty());
        }
    });
    assert!(quiet.await.is_err(), "it goes on");
    trade(node, 3).await;
    let news = async { while stream.next().await.expect("goes on").expect("no error").trades.is_empty() {} };
    tokio::time::timeout(PATIENCE, news).await.expect("the trades come");
    cluster.stop().await;
}

/// More orders than one look at the state goes through, and more changes than one message holds: read with
/// a client's default limits.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_book_is_streamed_listed_and_cancelled_in_parts() {
    use pb::stream_order_book_response::Update;
    const ORDERS: u64 = 64_000;
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    // Its number takes as many bytes as one can.
    const CAT: u64 = u64::MAX;
    node.accept(account(CAT, false)).await;
    node.accept(command(Body::Transfer(transfer(ISSUER, CAT, AAPL, ORDERS)))).await;
    for first in (0..ORDERS).step_by(8_000) {
        let orders = (first..first + 8_000).map(|number| sell(CAT, 1, 1_000 + number % 700)).collect();
        assert!(node.submit(orders).await.iter().all(|result| result.rejection == 0));
    }
    let asked = pb::StreamOrderBookRequest { market_id: MARKET };
    let mut stream = node.market().stream_order_book(asked).await.expect("a stream").into_inner();
    let mut queues = Queues::new();
    let (mut parts, mut previous) = (0, 0);
    loop {
        let Some(Update::Snapshot(part)) = stream.next().await.expect("goes on").expect("no error").update else {
            panic!("the snapshot comes first")
        };
        parts += 1;
        previous = part.position.expect("a position").sequence.max(previous);
        for (key, mut queue) in queues_of(&part) {
            queues.entry(key).or_default().append(&mut queue);
        }
        if !part.continues {
            break;
        }
    }
    assert!(parts > 1, "it is larger than one message");
    assert_eq!(queues.values().map(Vec::len).sum::<usize>() as u64, ORDERS);
    assert!(queues.values().all(|queue| queue.is_sorted()), "oldest first");
    assert_eq!(queues.len(), 700);

    let market = pb::ListOrdersRequest { market_id: MARKET, ..Default::default() };
    let refused = node.queries().list_orders(market.clone()).await.expect_err("too many for one look");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    for descending in [false, true] {
        for include_ended in [false, true] {
            let (mut token, mut ids) = (String::new(), Vec::new());
            while ids.len() < 2_500 {
                let page = Some(pb::Page { size: 1_000, token, descending });
                let asked = pb::ListOrdersRequest { account_id: CAT, include_ended, page, ..market.clone() };
                let answer = node.queries().list_orders(asked).await.expect("a page").into_inner();
                ids.extend(answer.orders.iter().map(|order| order.order_id));
                token = answer.next_page_token;
            }
            let sorted = ids.windows(2).all(|pair| if descending { pair[1] < pair[0] } else { pair[0] < pair[1] });
            assert!(sorted, "descending {descending}, ended {include_ended}");
        }
    }

    let all = command(Body::MassCancel(pb::MassCancel { account_id: CAT, ..Default::default() }));
    let cancelled = node.accept(all).await;
    assert_eq!(u64::from(cancelled.cancelled_count), ORDERS);
    let first = cancelled.position.expect("a position").sequence;
    let (mut changed, mut parts) = (0, 0);
    loop {
        let Some(Update::Change(part)) = stream.next().await.expect("goes on").expect("no error").update else {
            panic!("changes follow")
        };
        assert_eq!(part.previous_sequence, previous, "no gap");
        previous = part.sequence;
        (changed, parts) = (changed + part.orders.len(), parts + 1);
        part.orders.iter().for_each(|order| assert_eq!(order.order.map(|order| order.open), Some(0)));
        if !part.continues {
            break;
        }
    }
    assert!(parts > 1 && changed as u64 == ORDERS, "{parts} parts, {changed} orders");

    // All of them ended in one record, which is read once and not for each.
    let page = Some(pb::Page { size: 1_000, token: String::new(), descending: true });
    let asked = pb::ListOrdersRequest { account_id: CAT, include_ended: true, page, ..Default::default() };
    let ended = node.queries().list_orders(asked).await.expect("a page").into_inner().orders;
    assert_eq!(ended.len(), 1_000);
    assert!(ended.iter().all(|order| order.status() == pb::OrderStatus::Cancelled));

    let last = first + ORDERS;
    let mut parts = until(&mut watch(node, first, None).await, last).await;
    assert!(parts.len() > 1, "the record comes in parts");
    assert!(
        parts.iter().rev().skip(1).all(|part| part.continues)
            && parts.iter().all(|part| part.position == parts[0].position)
    );
    assert_eq!(sequences(&parts), (first..=last).collect::<Vec<_>>());
    let cut = parts[0].events.len() as u64;
    parts.remove(0);
    assert_eq!(until(&mut watch(node, first + cut, None).await, last).await, parts, "resumed within the record");
    cluster.stop().await;
}
