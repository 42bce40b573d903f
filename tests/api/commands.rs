//! Single commands and batches: what is answered, once and again.

use counterfoil::proto::v1 as pb;
use pb::command::Body;

use super::node::{
    AAPL, ANN, BOB, FEES, FUNDS, ISSUER, MARKET, TestCluster, TestNode, USD, account, buy, by_order_id, cancel,
    command, fresh_id, linked, sell, transfer,
};

/// The answer without the flag that says it was given before.
fn first_answer(result: &pb::CommandResult) -> pb::CommandResult {
    pb::CommandResult { duplicate: false, ..result.clone() }
}

fn left(result: &pb::CommandResult, account_id: u64, asset_id: u32) -> (i64, i64, i64) {
    let is_it = |it: &&pb::BalanceLeft| it.account_id == account_id && it.asset_id == asset_id;
    let it = result.balances.iter().find(is_it).unwrap_or_else(|| panic!("a balance of {account_id}: {result:?}"));
    (it.posted, it.reserved, it.available)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_command_is_answered_with_what_it_did() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();

    let rested = node.accept(sell(ANN, 10, 500)).await;
    let resting = rested.order.expect("about an order");
    assert_eq!((resting.status(), resting.open, resting.filled), (pb::OrderStatus::New, 10, 0));
    assert_eq!(left(&rested, ANN, AAPL), (FUNDS as i64, 10, FUNDS as i64 - 10));
    let position = rested.position.expect("a position");
    assert_eq!(position.sequence, resting.order_id);
    assert!(position.term > 0 && position.index > 0 && rested.time > 0);

    let traded = node.accept(buy(BOB, 4, 510)).await;
    let taken = traded.order.expect("about an order");
    assert_eq!((taken.status(), taken.filled, taken.open), (pb::OrderStatus::Filled, 4, 0));
    assert_eq!((taken.filled_notional, taken.fees, taken.trade_count), (2_000, 2, 1));
    assert_eq!(left(&traded, BOB, AAPL).0, FUNDS as i64 + 4);
    assert_eq!(left(&traded, BOB, USD), (FUNDS as i64 - 2_002, 0, FUNDS as i64 - 2_002));

    let order = by_order_id(resting.order_id);
    let replace = pb::ReplaceOrder { account_id: ANN, order, quantity: 8, limit_price: 0 };
    let replaced = node.accept(command(Body::ReplaceOrder(replace))).await;
    assert_eq!(replaced.order.map(|order| order.open), Some(4));
    let cancelled = node.accept(cancel(ANN, resting.order_id)).await;
    assert_eq!(cancelled.order.map(|order| (order.open, order.cancelled)), Some((0, 4)));
    let refused = node.send(cancel(ANN, resting.order_id)).await;
    assert_eq!(refused.rejection(), pb::Rejection::OrderNotOpen);

    node.accept(buy(BOB, 1, 400)).await;
    node.accept(buy(BOB, 1, 401)).await;
    let mass = pb::MassCancel { account_id: BOB, market_id: MARKET, side: pb::Side::Buy.into() };
    assert_eq!(node.accept(command(Body::MassCancel(mass))).await.cancelled_count, 2);

    let pending = command(Body::Transfer(pb::Transfer { pending: true, ..transfer(ANN, BOB, USD, 100) }));
    let reserved = node.accept(pending.clone()).await;
    assert_eq!(left(&reserved, ANN, USD).1, 100);
    let post = pb::PostPending { transfer_id: pending.id.clone(), amount: 60 };
    let posted = node.accept(command(Body::PostPending(post))).await;
    assert_eq!(left(&posted, ANN, USD).1, 0);
    let void = command(Body::VoidPending(pb::VoidPending { transfer_id: pending.id }));
    assert_eq!(node.send(void).await.rejection(), pb::Rejection::TransferNotPending);

    let phase =
        |phase: pb::Phase| command(Body::SetMarketPhase(pb::SetMarketPhase { market_id: MARKET, phase: phase.into() }));
    node.accept(phase(pb::Phase::Halted)).await;
    assert_eq!(node.send(buy(BOB, 1, 400)).await.rejection(), pb::Rejection::MarketHalted);
    let frozen = pb::SetAccountState { account_id: BOB, state: pb::AccountState::Frozen.into() };
    node.accept(command(Body::SetAccountState(frozen))).await;
    let refused = node.send(command(Body::Transfer(transfer(BOB, ANN, USD, 1)))).await;
    assert_eq!(refused.rejection(), pb::Rejection::AccountFrozen);
    let terms = pb::SetAccountAsset { account_id: FEES, asset_id: USD, allowed: true, credit_limit: 5 };
    node.accept(command(Body::SetAccountAsset(terms))).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_sent_again_gets_the_first_answer() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let batch = vec![
        sell(ANN, 5, 700),
        buy(BOB, 2, 700),
        command(Body::Transfer(transfer(ANN, BOB, USD, 9))),
        command(Body::Transfer(transfer(ANN, ANN, USD, 9))),
        account(99, false),
    ];
    let first = node.submit(batch.clone()).await;
    assert_eq!(first[3].rejection(), pb::Rejection::SameAccount);
    assert!(first.iter().all(|result| !result.duplicate));
    node.accept(cancel(ANN, first[0].order.expect("about an order").order_id)).await;

    for again in [node.submit(batch.clone()).await, node.submit(batch.clone()).await] {
        assert!(again.iter().all(|result| result.duplicate), "{again:?}");
        assert_eq!(again.iter().map(first_answer).collect::<Vec<_>>(), first);
    }
    // Twice in one request, and so in one proposal.
    let new = command(Body::Transfer(transfer(ANN, BOB, USD, 9)));
    let twice = node.submit(vec![new.clone(), new]).await;
    assert_eq!((twice[0].duplicate, twice[1].duplicate), (false, true));
    assert_eq!(first_answer(&twice[1]), twice[0]);

    let changed = Body::Transfer(transfer(ANN, BOB, USD, 10));
    let reused = node.send(pb::Command { body: Some(changed), ..batch[2].clone() }).await;
    assert_eq!(reused.rejection(), pb::Rejection::IdReused);
    assert_eq!(Some(reused.conflicting_sequence), first[2].position.map(|at| at.sequence));
    assert_eq!((reused.position, reused.time), (None, 0), "it was applied nowhere");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_carried_out_whole_or_not_at_all() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let move_one = |amount| Body::Transfer(transfer(ANN, BOB, USD, amount));
    let results = node.submit(vec![linked(move_one(1)), linked(move_one(FUNDS * 2)), command(move_one(3))]).await;
    let reasons: Vec<_> = results.iter().map(pb::CommandResult::rejection).collect();
    use pb::Rejection::{InsufficientAvailable, LinkedChainFailed};
    assert_eq!(reasons, [LinkedChainFailed, InsufficientAvailable, LinkedChainFailed]);
    let results = node.submit(vec![linked(move_one(1)), command(move_one(3))]).await;
    assert!(results.iter().all(|result| result.rejection() == pb::Rejection::Unspecified));
    assert_eq!(left(&results[1], ANN, USD).0, FUNDS as i64 - 4);
    cluster.stop().await;
}

/// A whole batch of the largest size, in order, each answered.
async fn largest_batch(node: &TestNode) {
    let commands: Vec<_> = (0..8_190).map(|_| command(Body::Transfer(transfer(ISSUER, ANN, USD, 1)))).collect();
    let ids: Vec<_> = commands.iter().map(|command| command.id.clone()).collect();
    let results = node.submit(commands).await;
    assert_eq!(results.iter().map(|result| result.id.clone()).collect::<Vec<_>>(), ids);
    let sequences: Vec<_> = results.iter().filter_map(|it| it.position).map(|at| at.sequence).collect();
    assert!(sequences.windows(2).all(|pair| pair[1] == pair[0] + 1), "in order, without gaps");
    assert_eq!(left(&results[8_189], ANN, USD).0, FUNDS as i64 + 8_190);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_batch_is_answered_and_a_larger_one_refused() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    largest_batch(node).await;
    let commands = (0..8_191).map(|_| account(1_000, false)).collect();
    let refused = node.commands().submit(pb::SubmitRequest { commands }).await.expect_err("too many");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let known = node.queries().get_account(pb::GetAccountRequest { account_id: 1_000, consistency: None }).await;
    assert_eq!(known.expect_err("nothing was done").code(), tonic::Code::NotFound);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_expires_without_any_command() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let now = node.status().await.time;
    let soon = now + 1_500_000_000;
    let order = pb::NewOrder {
        time_in_force: pb::TimeInForce::GoodTillDate.into(),
        expires_at: soon,
        ..super::node::order(ANN, pb::Side::Sell, 10, 500)
    };
    let placed = node.accept(command(Body::NewOrder(order))).await;
    let pending = pb::Command {
        id: fresh_id(),
        ..command(Body::Transfer(pb::Transfer { pending: true, expires_at: soon, ..transfer(ANN, BOB, USD, 7) }))
    };
    node.accept(pending.clone()).await;
    tokio::time::sleep(std::time::Duration::from_millis(2_200)).await;

    let asked = pb::GetOrderRequest {
        account_id: 0,
        order: by_order_id(placed.order.expect("about an order").order_id),
        consistency: Some(pb::Consistency { level: Some(pb::consistency::Level::Stale(true)) }),
    };
    let order = node.queries().get_order(asked).await.expect("known").into_inner().order.expect("an order");
    assert_eq!((order.status(), order.open), (pb::OrderStatus::Expired, 0));
    let asked = pb::GetTransferRequest { transfer_id: pending.id, consistency: None };
    let ended = node.queries().get_transfer(asked).await.expect("known").into_inner();
    assert_eq!((ended.state(), ended.posted_amount), (pb::TransferState::Expired, 0));
    assert!(ended.ended_sequence > ended.sequence && ended.ended_at >= soon, "{ended:?}");
    cluster.stop().await;
}
