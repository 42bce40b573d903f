//! The decoders of what clients say, for the fuzzers: see docs/TESTING.md.

use prost::Message as _;

use super::convert::command::command;
use crate::core::codec::{Decode as _, Encode as _};
use crate::core::{Command, Reader};
use crate::proto::v1 as pb;

/// A request to carry out commands: each that has a meaning has one encoding in the log.
pub fn request(bytes: &[u8]) {
    let Ok(request) = pb::SubmitRequest::decode(bytes) else { return };
    for wire in &request.commands {
        if let Ok(command) = command(wire) {
            let encoded = command.to_bytes();
            let mut input = Reader::new(&encoded);
            assert_eq!(Command::decode(&mut input), Ok(command), "a command is what it is logged as");
            assert_eq!(input.finish(), Ok(()), "a command is all of its bytes");
        }
    }
}

/// Requests with a command of each kind.
#[must_use]
pub fn requests() -> Vec<Vec<u8>> {
    use pb::command::Body;
    let id = || bytes::Bytes::from_static(&[7; 16]);
    let order = Some(pb::OrderReference { reference: Some(pb::order_reference::Reference::OrderId(9)) });
    let transfer =
        pb::Transfer { debit_account_id: 1, credit_account_id: 2, asset_id: 3, amount: 4, ..Default::default() };
    let limit = pb::NewOrder {
        account_id: 1,
        market_id: 2,
        side: pb::Side::Buy.into(),
        quantity: 3,
        pricing: Some(pb::new_order::Pricing::LimitPrice(4)),
        ..Default::default()
    };
    let market = pb::CreateMarket {
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
    };
    let kind = pb::AssetKind::Currency.into();
    let bodies = [
        Body::CreateAsset(pb::CreateAsset { asset_id: 1, code: "USD".to_owned(), scale: 2, kind }),
        Body::CreateAccount(pb::CreateAccount { account_id: 1, user_data: id(), ..Default::default() }),
        Body::SetAccountState(pb::SetAccountState { account_id: 1, state: pb::AccountState::Frozen.into() }),
        Body::SetAccountAsset(pb::SetAccountAsset { account_id: 1, asset_id: 1, allowed: true, credit_limit: 9 }),
        Body::CreateMarket(market),
        Body::SetMarketPhase(pb::SetMarketPhase { market_id: 1, phase: pb::Phase::Halted.into() }),
        Body::Transfer(transfer),
        Body::PostPending(pb::PostPending { transfer_id: id(), amount: 5 }),
        Body::VoidPending(pb::VoidPending { transfer_id: id() }),
        Body::NewOrder(limit),
        Body::ReplaceOrder(pb::ReplaceOrder { account_id: 1, order: order.clone(), quantity: 2, limit_price: 3 }),
        Body::CancelOrder(pb::CancelOrder { account_id: 1, order }),
        Body::MassCancel(pb::MassCancel { account_id: 1, ..Default::default() }),
    ];
    let command = |body| pb::Command { id: id(), linked: false, body: Some(body) };
    let one = |body| pb::SubmitRequest { commands: vec![command(body)] }.encode_to_vec();
    bodies.into_iter().map(one).collect()
}
