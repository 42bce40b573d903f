//! Every shape that a command can get wrong, by field path and reason.

use bytes::Bytes;

use super::command::command;
use super::request::{batch, single};
use super::{Invalid, Reason};
use crate::core::command::{Body, Pricing, TransferMode};
use crate::core::types::{Amount, Phase, SelfTradePrevention, TimeInForce, Timestamp};
use crate::proto::v1 as pb;
use crate::proto::v1::command::Body as Wire;
use crate::server::access::Caller;
use crate::server::errors::Refusal;

fn id(number: u8) -> Bytes {
    Bytes::copy_from_slice(&[number; 16])
}

fn of(body: Wire) -> pb::Command {
    pb::Command { id: id(7), linked: false, body: Some(body) }
}

fn transfer() -> pb::Transfer {
    pb::Transfer { debit_account_id: 1, credit_account_id: 2, asset_id: 3, amount: 4, ..Default::default() }
}

fn order() -> pb::NewOrder {
    pb::NewOrder {
        account_id: 1,
        market_id: 2,
        side: pb::Side::Buy.into(),
        quantity: 3,
        pricing: Some(pb::new_order::Pricing::LimitPrice(4)),
        ..Default::default()
    }
}

fn market() -> pb::CreateMarket {
    pb::CreateMarket {
        market_id: 1,
        symbol: "A/B".to_owned(),
        base_asset_id: 1,
        quote_asset_id: 2,
        tick: 1,
        lot: 1,
        fee_account_id: 1,
        quantity_max: 1,
        notional_max: 1,
        ..Default::default()
    }
}

fn asset() -> pb::CreateAsset {
    pb::CreateAsset { asset_id: 1, code: "USD".to_owned(), scale: 2, kind: pb::AssetKind::Currency.into() }
}

fn reference(reference: pb::order_reference::Reference) -> Option<pb::OrderReference> {
    Some(pb::OrderReference { reference: Some(reference) })
}

/// A changed copy.
fn with<T>(mut message: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut message);
    message
}

const TOO_LARGE: u64 = i64::MAX as u64 + 1;

#[test]
fn every_wrong_shape_is_named() {
    use Reason::{Malformed, Missing, NotAllowed, OutOfRange, UnknownValue, WrongLength};
    use pb::new_order::Pricing::{LimitPrice, QuoteBudget, WorstPrice};
    use pb::order_reference::Reference;
    let new = |change: fn(&mut pb::NewOrder)| of(Wire::NewOrder(with(order(), change)));
    let moved = |change: fn(&mut pb::Transfer)| of(Wire::Transfer(with(transfer(), change)));
    let listed = |change: fn(&mut pb::CreateMarket)| of(Wire::CreateMarket(with(market(), change)));
    let added = |change: fn(&mut pb::CreateAsset)| of(Wire::CreateAsset(with(asset(), change)));
    let cancel = |order| of(Wire::CancelOrder(pb::CancelOrder { account_id: 1, order }));
    let replace = |quantity, limit_price| {
        let order = reference(Reference::OrderId(1));
        of(Wire::ReplaceOrder(pb::ReplaceOrder { account_id: 1, order, quantity, limit_price }))
    };
    let gtd = pb::TimeInForce::GoodTillDate as i32;
    let cases = [
        (pb::Command { id: Bytes::new(), ..of(Wire::Transfer(transfer())) }, "id", Missing),
        (pb::Command { id: Bytes::from_static(b"short"), ..of(Wire::Transfer(transfer())) }, "id", WrongLength),
        (pb::Command { id: id(0), ..of(Wire::Transfer(transfer())) }, "id", OutOfRange),
        (pb::Command { body: None, ..of(Wire::Transfer(transfer())) }, "body", Missing),
        (pb::Command { linked: true, ..of(Wire::NewOrder(order())) }, "linked", NotAllowed),
        (added(|it| it.asset_id = 0), "create_asset.asset_id", Missing),
        (added(|it| it.code.clear()), "create_asset.code", Missing),
        (added(|it| it.code = "has space".to_owned()), "create_asset.code", Malformed),
        (added(|it| it.code = "x".repeat(25)), "create_asset.code", Malformed),
        (added(|it| it.scale = 13), "create_asset.scale", OutOfRange),
        (added(|it| it.scale = 300), "create_asset.scale", OutOfRange),
        (added(|it| it.kind = 0), "create_asset.kind", Missing),
        (added(|it| it.kind = 99), "create_asset.kind", UnknownValue),
        (added(|it| it.kind = -1), "create_asset.kind", UnknownValue),
        (of(Wire::CreateAccount(pb::CreateAccount::default())), "create_account.account_id", Missing),
        (
            of(Wire::CreateAccount(pb::CreateAccount {
                account_id: 1,
                user_data: Bytes::from_static(b"x"),
                ..Default::default()
            })),
            "create_account.user_data",
            WrongLength,
        ),
        (
            of(Wire::SetAccountState(pb::SetAccountState { account_id: 1, state: 0 })),
            "set_account_state.state",
            Missing,
        ),
        (
            of(Wire::SetAccountAsset(pb::SetAccountAsset {
                account_id: 1,
                asset_id: 1,
                allowed: true,
                credit_limit: TOO_LARGE,
            })),
            "set_account_asset.credit_limit",
            OutOfRange,
        ),
        (listed(|it| it.symbol.clear()), "create_market.symbol", Missing),
        (listed(|it| it.quote_asset_id = 0), "create_market.quote_asset_id", Missing),
        (listed(|it| it.tick = 0), "create_market.tick", OutOfRange),
        (listed(|it| it.lot = TOO_LARGE), "create_market.lot", OutOfRange),
        (listed(|it| it.quantity_max = 0), "create_market.quantity_max", OutOfRange),
        (listed(|it| it.notional_max = 0), "create_market.notional_max", OutOfRange),
        (listed(|it| it.phase = 77), "create_market.phase", UnknownValue),
        (of(Wire::SetMarketPhase(pb::SetMarketPhase { market_id: 1, phase: 0 })), "set_market_phase.phase", Missing),
        (moved(|it| it.debit_account_id = 0), "transfer.debit_account_id", Missing),
        (moved(|it| it.asset_id = 0), "transfer.asset_id", Missing),
        (moved(|it| it.amount = 0), "transfer.amount", OutOfRange),
        (moved(|it| it.amount = TOO_LARGE), "transfer.amount", OutOfRange),
        (moved(|it| it.expires_at = 5), "transfer.expires_at", NotAllowed),
        (moved(|it| it.user_data = Bytes::from_static(&[1; 17])), "transfer.user_data", WrongLength),
        (of(Wire::PostPending(pb::PostPending::default())), "post_pending.transfer_id", Missing),
        (
            of(Wire::PostPending(pb::PostPending { transfer_id: id(1), amount: TOO_LARGE })),
            "post_pending.amount",
            OutOfRange,
        ),
        (
            of(Wire::VoidPending(pb::VoidPending { transfer_id: Bytes::from_static(b"x") })),
            "void_pending.transfer_id",
            WrongLength,
        ),
        (new(|it| it.account_id = 0), "new_order.account_id", Missing),
        (new(|it| it.market_id = 0), "new_order.market_id", Missing),
        (new(|it| it.side = 0), "new_order.side", Missing),
        (new(|it| it.side = 3), "new_order.side", UnknownValue),
        (new(|it| it.quantity = 0), "new_order.quantity", OutOfRange),
        (new(|it| it.pricing = None), "new_order.pricing", Missing),
        (new(|it| it.pricing = Some(LimitPrice(0))), "new_order.limit_price", OutOfRange),
        (new(|it| it.pricing = Some(WorstPrice(TOO_LARGE))), "new_order.worst_price", OutOfRange),
        (new(|it| it.pricing = Some(QuoteBudget(0))), "new_order.quote_budget", OutOfRange),
        (
            new(|it| {
                it.pricing = Some(QuoteBudget(5));
                it.side = pb::Side::Sell.into();
            }),
            "new_order.quote_budget",
            NotAllowed,
        ),
        (new(|it| it.time_in_force = 9), "new_order.time_in_force", UnknownValue),
        (
            new(|it| {
                it.pricing = Some(WorstPrice(5));
                it.time_in_force = pb::TimeInForce::GoodTillCancel.into();
            }),
            "new_order.time_in_force",
            NotAllowed,
        ),
        (with(new(|_| {}), |it| set_time_in_force(it, gtd)), "new_order.expires_at", Missing),
        (new(|it| it.expires_at = 5), "new_order.expires_at", NotAllowed),
        (
            new(|it| {
                it.post_only = true;
                it.time_in_force = pb::TimeInForce::FillOrKill.into();
            }),
            "new_order.post_only",
            NotAllowed,
        ),
        (
            new(|it| {
                it.post_only = true;
                it.pricing = Some(WorstPrice(5));
            }),
            "new_order.post_only",
            NotAllowed,
        ),
        (new(|it| it.self_trade_prevention = 8), "new_order.self_trade_prevention", UnknownValue),
        (cancel(None), "cancel_order.order", Missing),
        (cancel(reference(Reference::OrderId(0))), "cancel_order.order.order_id", Missing),
        (
            cancel(reference(Reference::ClientOrderId(Bytes::from_static(b"x")))),
            "cancel_order.order.client_order_id",
            WrongLength,
        ),
        (replace(0, 0), "replace_order.quantity", OutOfRange),
        (replace(1, TOO_LARGE), "replace_order.limit_price", OutOfRange),
        (
            of(Wire::MassCancel(pb::MassCancel { account_id: 1, market_id: 0, side: 5 })),
            "mass_cancel.side",
            UnknownValue,
        ),
    ];
    for (wire, field, reason) in cases {
        let Invalid { field: found, reason: why, message } = command(&wire).expect_err(field);
        assert_eq!((found.as_str(), why), (field, reason), "{message}");
    }
}

fn set_time_in_force(command: &mut pb::Command, number: i32) {
    if let Some(Wire::NewOrder(order)) = &mut command.body {
        order.time_in_force = number;
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let Ok(Body::NewOrder(limit)) = command(&of(Wire::NewOrder(order()))).map(|it| it.body) else {
        panic!("a good order");
    };
    assert_eq!(limit.time_in_force, TimeInForce::GoodTillCancel);
    assert_eq!(limit.self_trade_prevention, SelfTradePrevention::CancelNewest);
    let market_order = with(order(), |it| it.pricing = Some(pb::new_order::Pricing::QuoteBudget(9)));
    let Ok(Body::NewOrder(market_order)) = command(&of(Wire::NewOrder(market_order))).map(|it| it.body) else {
        panic!("a good order");
    };
    assert_eq!(market_order.time_in_force, TimeInForce::ImmediateOrCancel);
    assert_eq!(market_order.pricing, Pricing::MarketForBudget(Amount(9)));
    let Ok(Body::CreateMarket(created)) = command(&of(Wire::CreateMarket(market()))).map(|it| it.body) else {
        panic!("a good market");
    };
    assert_eq!(created.phase, Phase::Continuous);
    let Ok(Body::PostPending(post)) =
        command(&of(Wire::PostPending(pb::PostPending { transfer_id: id(1), amount: 0 }))).map(|it| it.body)
    else {
        panic!("a good post");
    };
    assert_eq!(post.amount, None);
    let pending = with(transfer(), |it| {
        it.pending = true;
        it.expires_at = 5;
    });
    let Ok(Body::Transfer(pending)) = command(&of(Wire::Transfer(pending))).map(|it| it.body) else {
        panic!("a good transfer");
    };
    assert_eq!(pending.mode, TransferMode::Pending { expires_at: Some(Timestamp(5)) });
}

#[test]
fn a_batch_names_the_command_and_its_own_limits() {
    let refused = |commands: Vec<pb::Command>, max| match batch(commands, max, &Caller::Anonymous) {
        Err(Refusal::Invalid(invalid)) => (invalid.field, invalid.reason),
        other => panic!("{other:?}"),
    };
    let good = || of(Wire::Transfer(transfer()));
    let bad = of(Wire::NewOrder(with(order(), |it| it.quantity = 0)));
    assert_eq!(refused(Vec::new(), 5), ("commands".to_owned(), Reason::Missing));
    assert_eq!(refused(vec![good(); 6], 5), ("commands".to_owned(), Reason::TooMany));
    let field = "commands[2].new_order.quantity".to_owned();
    assert_eq!(refused(vec![good(), good(), bad], 5), (field, Reason::OutOfRange));
    let dangling = pb::Command { linked: true, ..good() };
    assert_eq!(refused(vec![good(), dangling.clone()], 5), ("commands[1].linked".to_owned(), Reason::NotAllowed));

    let Err(Refusal::Invalid(invalid)) = single(Some(dangling), &Caller::Anonymous) else { panic!("refused") };
    assert_eq!(invalid.field, "command.linked");
    let Err(Refusal::Invalid(invalid)) = single(None, &Caller::Anonymous) else { panic!("refused") };
    assert_eq!((invalid.field.as_str(), invalid.reason), ("command", Reason::Missing));

    let (batch, ids) = batch(vec![good(), good()], 5, &Caller::Anonymous).expect("a good batch");
    assert_eq!((batch.len(), ids), (2, vec![id(7), id(7)]));
}

/// What the core says of a command is what the client asked for.
#[test]
fn content_survives_the_way_in_and_out() {
    let asked = with(order(), |it| {
        it.time_in_force = pb::TimeInForce::GoodTillDate.into();
        it.expires_at = 77;
        it.post_only = true;
        it.self_trade_prevention = pb::SelfTradePrevention::Decrement.into();
    });
    let Ok(Body::NewOrder(inside)) = command(&of(Wire::NewOrder(asked))).map(|it| it.body) else {
        panic!("a good order");
    };
    assert_eq!(super::event::new_order(&inside), asked);
    let asked = with(transfer(), |it| {
        it.pending = true;
        it.expires_at = 5;
        it.user_data = id(9);
        it.code = 11;
    });
    let Ok(Body::Transfer(inside)) = command(&of(Wire::Transfer(asked.clone()))).map(|it| it.body) else {
        panic!("a good transfer");
    };
    assert_eq!(super::event::transfer(&inside), asked);
}
