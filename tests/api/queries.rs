//! Queries: everything that can be asked, pages in both directions, past and present.

use counterfoil::proto::v1 as pb;
use pb::command::Body;
use tonic::Code;

use super::node::{
    AAPL, ANN, BOB, FEES, FUNDS, ISSUER, MARKET, TestCluster, TestNode, USD, account, buy, by_order_id, cancel,
    command, id, sell, transfer,
};

/// Every item of a list, page by page.
macro_rules! pages {
    ($node:expr, $call:ident, $items:ident, $request:expr, $descending:expr) => {{
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let page = Some(pb::Page { size: 3, token, descending: $descending });
            let mut request = $request;
            request.page.clone_from(&page);
            let answer = $node.queries().$call(request).await.expect("a page").into_inner();
            assert!(answer.$items.len() <= 3, "no more than asked for");
            assert!(answer.position.is_some());
            all.extend(answer.$items);
            token = answer.next_page_token;
            if token.is_empty() {
                break all;
            }
        }
    }};
}

/// The same list in both directions, once each.
macro_rules! both_ways {
    ($node:expr, $call:ident, $items:ident, $request:expr) => {{
        let forward = pages!($node, $call, $items, $request, false);
        let mut backward = pages!($node, $call, $items, $request, true);
        backward.reverse();
        assert_eq!(forward, backward);
        forward
    }};
}

async fn order_of(node: &TestNode, order_id: u64) -> (pb::Order, Vec<pb::Trade>) {
    let asked = pb::GetOrderRequest { account_id: 0, order: by_order_id(order_id), consistency: None };
    let answer = node.queries().get_order(asked).await.expect("known").into_inner();
    (answer.order.expect("an order"), answer.fills)
}

fn order_id(result: &pb::CommandResult) -> u64 {
    result.order.expect("about an order").order_id
}

#[tokio::test(flavor = "multi_thread")]
async fn reference_data_is_found_by_id_and_name_and_listed() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    node.submit((100..120).map(|id| account(id, false)).collect()).await;
    let mut queries = node.queries();

    use pb::get_asset_request::Key;
    let mut assets = Vec::new();
    for key in [Key::AssetId(AAPL), Key::Code("AAPL".to_owned())] {
        let asked = pb::GetAssetRequest { key: Some(key), consistency: None };
        assets.push(queries.get_asset(asked).await.expect("known").into_inner().asset);
    }
    assert_eq!(assets[0], assets[1]);
    assert_eq!(assets[0].as_ref().map(|asset| (asset.asset_id, asset.scale)), Some((AAPL, 0)));
    let asked = pb::GetAssetRequest { key: Some(Key::Code("GOLD".to_owned())), consistency: None };
    assert_eq!(queries.get_asset(asked).await.expect_err("unknown").code(), Code::NotFound);

    use pb::get_market_request::Key as MarketKey;
    for key in [MarketKey::MarketId(MARKET), MarketKey::Symbol("AAPL/USD".to_owned())] {
        let asked = pb::GetMarketRequest { key: Some(key), consistency: None };
        let market = queries.get_market(asked).await.expect("known").into_inner().market.expect("a market");
        assert_eq!((market.base_asset_id, market.quote_asset_id, market.taker_fee), (AAPL, USD, 1_000));
        assert_eq!(market.phase(), pb::Phase::Continuous);
    }
    let assets = both_ways!(node, list_assets, assets, pb::ListAssetsRequest::default());
    assert_eq!(assets.iter().map(|asset| asset.asset_id).collect::<Vec<_>>(), [USD, AAPL]);
    let markets = both_ways!(node, list_markets, markets, pb::ListMarketsRequest::default());
    assert_eq!(markets.len(), 1);
    let accounts = both_ways!(node, list_accounts, accounts, pb::ListAccountsRequest::default());
    let ids: Vec<u64> = accounts.iter().map(|account| account.account_id).collect();
    assert_eq!(ids, [ISSUER, FEES, ANN, BOB].into_iter().chain(100..120).collect::<Vec<_>>());
    assert!(accounts[0].issuer);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_shows_what_holds_its_reservations() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let ask = node.accept(sell(ANN, 10, 500)).await;
    let pending = command(Body::Transfer(pb::Transfer { pending: true, ..transfer(ANN, BOB, USD, 70) }));
    node.accept(pending.clone()).await;
    let asked = pb::GetAccountRequest { account_id: ANN, consistency: None };
    let answer = node.queries().get_account(asked).await.expect("known").into_inner();
    assert!(!answer.holds_truncated);
    use pb::hold::Holder;
    let holds: Vec<_> = answer.holds.iter().map(|hold| (hold.asset_id, hold.amount, hold.holder.clone())).collect();
    let expected = [(AAPL, 10, Some(Holder::OrderId(order_id(&ask)))), (USD, 70, Some(Holder::TransferId(pending.id)))];
    assert_eq!(holds, expected);
    for balance in answer.balances {
        let held: i64 = expected.iter().filter(|hold| hold.0 == balance.asset_id).map(|hold| hold.1).sum();
        assert_eq!((balance.reserved, balance.available), (held, balance.posted - held));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_shown_open_and_ended_alike() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let ask = sell(ANN, 10, 500);
    let maker = order_id(&node.accept(ask.clone()).await);
    let open = order_of(node, maker).await;
    assert_eq!((open.0.status(), open.0.open, open.0.reserved), (pb::OrderStatus::New, 10, 10));
    let mut taken = Vec::new();
    for quantity in [3, 7] {
        taken.push(order_id(&node.accept(buy(BOB, quantity, 500)).await));
        let (order, fills) = order_of(node, maker).await;
        assert_eq!(order.accepted_at, open.0.accepted_at);
        assert_eq!(fills.iter().map(|fill| fill.quantity).sum::<u64>(), order.filled);
    }
    let (ended, fills) = order_of(node, maker).await;
    assert_eq!((ended.status(), ended.filled, ended.open, ended.reserved), (pb::OrderStatus::Filled, 10, 0, 0));
    assert_eq!((ended.filled_notional, fills.len()), (5_000, 2));
    assert_eq!(fills.iter().map(|fill| fill.taker_order_id).collect::<Vec<_>>(), taken);

    use pb::order_reference::Reference;
    let order = Some(pb::OrderReference { reference: Some(Reference::ClientOrderId(ask.id.clone())) });
    let asked = pb::GetOrderRequest { account_id: ANN, order: order.clone(), consistency: None };
    let by_client_id = node.queries().get_order(asked).await.expect("known").into_inner();
    assert_eq!(by_client_id.order, Some(ended));
    for (account_id, order) in [(BOB, order), (BOB, by_order_id(maker)), (0, by_order_id(1)), (0, by_order_id(9_999))] {
        let asked = pb::GetOrderRequest { account_id, order, consistency: None };
        assert_eq!(node.queries().get_order(asked).await.expect_err("not theirs").code(), Code::NotFound);
    }
    let asked = pb::GetCommandResultRequest {
        scope: pb::CommandScope::Trading.into(),
        account_id: ANN,
        id: ask.id,
        consistency: None,
    };
    let answer = node.queries().get_command_result(asked).await.expect("known").into_inner();
    assert_eq!(answer.result.and_then(|result| result.order).map(|order| order.order_id), Some(maker));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_listed_in_both_directions() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let mut open = Vec::new();
    let mut all = Vec::new();
    for number in 0..14_u64 {
        let side = if number % 2 == 0 { buy(ANN, 5, 100 + number) } else { sell(ANN, 5, 200 + number) };
        let order = order_id(&node.accept(side).await);
        all.push(order);
        if number % 3 == 0 {
            node.accept(cancel(ANN, order)).await;
        } else {
            open.push(order);
        }
        node.accept(buy(BOB, 1, 50)).await;
    }
    let ids = |orders: &[pb::Order]| orders.iter().map(|order| order.order_id).collect::<Vec<_>>();
    let of_ann = || pb::ListOrdersRequest { account_id: ANN, ..Default::default() };
    assert_eq!(ids(&both_ways!(node, list_orders, orders, of_ann())), open);
    let ever = both_ways!(node, list_orders, orders, pb::ListOrdersRequest { include_ended: true, ..of_ann() });
    assert_eq!(ids(&ever), all);
    let cancelled = ever.iter().filter(|order| order.status() == pb::OrderStatus::Cancelled).count();
    assert_eq!(cancelled, 5);
    for order in &ever {
        assert_eq!(order_of(node, order.order_id).await.0, *order);
    }
    let sells = pb::ListOrdersRequest { side: pb::Side::Sell.into(), include_ended: true, ..of_ann() };
    let sells = both_ways!(node, list_orders, orders, sells.clone());
    assert!(sells.len() == 7 && sells.iter().all(|order| order.side() == pb::Side::Sell));
    let market = || pb::ListOrdersRequest { market_id: MARKET, ..Default::default() };
    assert_eq!(both_ways!(node, list_orders, orders, market()).len(), open.len() + 14);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trades_and_postings_are_listed_in_both_directions() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    for number in 0..10_u64 {
        node.accept(sell(ANN, 2, 300 + number)).await;
        node.accept(buy(BOB, 2, 300 + number)).await;
    }
    let of = |account_id, market_id| pb::ListTradesRequest { account_id, market_id, ..Default::default() };
    let trades = both_ways!(node, list_trades, trades, of(0, MARKET));
    assert_eq!(trades.iter().map(|trade| trade.price).collect::<Vec<_>>(), (300..310).collect::<Vec<_>>());
    assert_eq!(both_ways!(node, list_trades, trades, of(ANN, 0)), trades);
    assert_eq!(both_ways!(node, list_trades, trades, of(BOB, MARKET)), trades);
    assert!(both_ways!(node, list_trades, trades, of(FEES, 0)).is_empty());

    let of = |asset_id| pb::ListPostingsRequest { account_id: BOB, asset_id, ..Default::default() };
    let all = both_ways!(node, list_postings, postings, of(0));
    for asset_id in [USD, AAPL] {
        let some = both_ways!(node, list_postings, postings, of(asset_id));
        let mut posted = 0;
        let mut reserved = 0;
        for entry in &some {
            let posting = entry.posting.expect("a posting");
            posted += posting.amount;
            reserved += posting.hold;
            assert_eq!((posting.posted, posting.reserved), (posted, reserved), "a balance is the sum of its postings");
            assert!(entry.time > 0 && !entry.command_id.is_empty());
        }
        let filtered: Vec<_> =
            all.iter().filter(|entry| entry.posting.is_some_and(|posting| posting.asset_id == asset_id)).collect();
        assert_eq!(filtered, some.iter().collect::<Vec<_>>());
        assert!(some.len() > 10, "{asset_id}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn balances_can_be_asked_at_any_past_sequence() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let mut known = Vec::new();
    for number in 1..=8_u64 {
        let result = match number % 2 {
            0 => node.accept(command(Body::Transfer(transfer(ANN, BOB, USD, number)))).await,
            _ => node.accept(buy(ANN, number, 10)).await,
        };
        let asked = pb::ListBalancesRequest { account_id: ANN, at_sequence: 0, consistency: None };
        let now = node.queries().list_balances(asked).await.expect("known").into_inner();
        let sequence = now.position.expect("a position").sequence;
        assert!(sequence >= result.position.expect("a position").sequence);
        known.push((sequence, now.balances));
    }
    for (at_sequence, balances) in known {
        let asked = pb::ListBalancesRequest { account_id: ANN, at_sequence, consistency: None };
        let then = node.queries().list_balances(asked).await.expect("known").into_inner();
        assert_eq!(then.balances, balances, "after event {at_sequence}");
        assert_eq!(then.position.map(|position| position.sequence), Some(at_sequence));
    }
    let asked = pb::ListBalancesRequest { account_id: ANN, at_sequence: 1, consistency: None };
    assert!(node.queries().list_balances(asked).await.expect("known").into_inner().balances.is_empty());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_tell_their_state() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let state = async |transfer_id: bytes::Bytes| {
        let asked = pb::GetTransferRequest { transfer_id, consistency: None };
        node.queries().get_transfer(asked).await.map(|answer| answer.into_inner())
    };
    let now = command(Body::Transfer(pb::Transfer { code: 7, ..transfer(ANN, BOB, USD, 5) }));
    node.accept(now.clone()).await;
    let known = state(now.id).await.expect("known");
    assert_eq!(
        (known.state(), known.transfer.map(|it| (it.amount, it.code)), known.posted_amount, known.ended_sequence),
        (pb::TransferState::Posted, Some((5, 7)), 5, 0)
    );
    let later = command(Body::Transfer(pb::Transfer { pending: true, ..transfer(ANN, BOB, USD, 5) }));
    node.accept(later.clone()).await;
    assert_eq!(state(later.id.clone()).await.expect("known").state(), pb::TransferState::Pending);
    let void = command(Body::VoidPending(pb::VoidPending { transfer_id: later.id.clone() }));
    let end = node.accept(void.clone()).await;
    let known = state(later.id).await.expect("known");
    assert_eq!((known.state(), known.posted_amount), (pb::TransferState::Voided, 0));
    assert_eq!(Some(known.ended_sequence), end.position.map(|at| at.sequence));
    assert_eq!(known.ended_at, end.time);
    for (amount, posted) in [(0, 5), (2, 2)] {
        let later = command(Body::Transfer(pb::Transfer { pending: true, ..transfer(ANN, BOB, USD, 5) }));
        node.accept(later.clone()).await;
        assert_eq!(state(later.id.clone()).await.expect("known").posted_amount, 0);
        let post = command(Body::PostPending(pb::PostPending { transfer_id: later.id.clone(), amount }));
        let end = node.accept(post).await;
        let known = state(later.id).await.expect("known");
        assert_eq!((known.state(), known.posted_amount), (pb::TransferState::Posted, posted));
        assert_eq!(Some(known.ended_sequence), end.position.map(|at| at.sequence));
    }
    let refused = command(Body::Transfer(transfer(ANN, BOB, USD, FUNDS * 2)));
    node.send(refused.clone()).await;
    let known = state(refused.id).await.expect("known");
    assert_eq!(known.state(), pb::TransferState::Rejected);
    assert_eq!(known.rejection(), pb::Rejection::InsufficientAvailable);
    assert_eq!(state(void.id).await.expect_err("a void is no transfer").code(), Code::NotFound);
    assert_eq!(state(id(u128::MAX)).await.expect_err("unknown").code(), Code::NotFound);
    cluster.stop().await;
}
