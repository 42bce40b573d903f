//! The decoders of what clients say, for the fuzzers: see docs/TESTING.md.

use prost::Message as _;

use super::convert::command::command;
use super::convert::request;
use crate::core::codec::{Decode as _, Encode as _};
use crate::core::{Command, Reader};
use crate::proto::v1::{self as pb, command::Body};

/// A request to carry out commands: each that has a meaning has one encoding in the log.
pub fn commands(bytes: &[u8]) {
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
        Body::BuyPurchase(pb::BuyPurchase { purchase_id: 7, order: Some(limit) }),
        Body::ReplaceOrder(pb::ReplaceOrder { account_id: 1, order: order.clone(), quantity: 2, limit_price: 3 }),
        Body::CancelOrder(pb::CancelOrder { account_id: 1, order }),
        Body::MassCancel(pb::MassCancel { account_id: 1, ..Default::default() }),
    ];
    let command = |body| pb::Command { id: id(), linked: false, body: Some(body) };
    let one = |body| pb::SubmitRequest { commands: vec![command(body)] }.encode_to_vec();
    bodies.into_iter().chain(definitions()).chain(goods()).chain(work()).chain(plans()).map(one).collect()
}

/// What is made, of what, and where.
fn definitions() -> Vec<Body> {
    let rule = pb::lot_rule::Rule::Multiple(pb::MultipleLot { minimum: 5, multiple: 2 });
    let line = pb::BomLine { component_id: 2, quantity: 4, attrition: 100_000, ..Default::default() };
    let operation =
        pb::Operation { work_centre: "BENCH".to_owned(), run_seconds: 9, hourly_cost: 60, ..Default::default() };
    vec![
        Body::DefinePlant(pb::DefinePlant {
            plant_id: 1,
            name: "WEST".to_owned(),
            production_account_id: 2,
            scrap_account_id: 3,
            adjustment_account_id: 4,
            location_ids: vec![5, 6],
        }),
        Body::SetCalendar(pb::SetCalendar {
            plant_id: 1,
            weekdays: 31,
            holidays: vec![-4, 9],
            seconds_per_day: 28_800,
        }),
        Body::DefineItem(pb::DefineItem {
            asset_id: 1,
            source: pb::Source::Make.into(),
            lot_rule: Some(pb::LotRule { rule: Some(rule) }),
            standard_cost: 3,
            currency_asset_id: 9,
            lot_tracked: true,
            ..Default::default()
        }),
        Body::DefineBom(pb::DefineBom {
            product_id: 1,
            version: 1,
            from_day: 20,
            output: 1,
            lines: vec![line, line],
            by_products: vec![pb::ByProduct { asset_id: 3, quantity: 1 }],
            operations: vec![operation],
        }),
    ]
}

/// Goods that come, go, and are counted.
fn goods() -> Vec<Body> {
    let (lot, reason) = (|| "L7".to_owned(), || "STOCKTAKING".to_owned());
    vec![
        Body::ReceiveStock(pb::ReceiveStock {
            location_id: 5,
            asset_id: 2,
            quantity: 8,
            from_account_id: 7,
            lot: lot(),
        }),
        Body::IssueStock(pb::IssueStock { location_id: 5, asset_id: 2, quantity: 1, to_account_id: 7, lot: lot() }),
        Body::AdjustStock(pb::AdjustStock {
            location_id: 5,
            asset_id: 2,
            difference: -3,
            lot: String::new(),
            reason: reason(),
        }),
        Body::CountStock(pb::CountStock { location_id: 5, asset_id: 2, counted: 9, lot: lot(), reason: reason() }),
        Body::ScrapStock(pb::ScrapStock { location_id: 5, asset_id: 2, quantity: 1, lot: lot(), reason: reason() }),
        Body::MoveStock(pb::MoveStock {
            from_location_id: 5,
            to_location_id: 6,
            asset_id: 2,
            quantity: 1,
            lot: String::new(),
        }),
    ]
}

/// The way of a work order.
fn work() -> Vec<Body> {
    let work_order_id = 8;
    let material = pb::Material { component_id: 2, quantity: 3, lot: "L7".to_owned() };
    vec![
        Body::CreateWorkOrder(pb::CreateWorkOrder {
            plant_id: 1,
            product_id: 1,
            quantity: 9,
            version: Some(1),
            location_id: 5,
            start_day: -1,
            due_day: 4,
            ..Default::default()
        }),
        Body::ReleaseWorkOrder(pb::ReleaseWorkOrder { work_order_id, partial: true }),
        Body::SetWorkOrder(pb::SetWorkOrder { work_order_id, change: pb::WorkOrderChange::Start.into() }),
        Body::IssueMaterials(pb::IssueMaterials { work_order_id, materials: vec![material.clone()] }),
        Body::ReturnMaterials(pb::ReturnMaterials { work_order_id, material: Some(material) }),
        Body::ReportOperation(pb::ReportOperation { work_order_id, operation: 0, good: 5, scrap: 1 }),
        Body::CompleteWorkOrder(pb::CompleteWorkOrder {
            work_order_id,
            good: 4,
            lot: "C1".to_owned(),
            ..Default::default()
        }),
    ]
}

/// The way of a plan.
fn plans() -> Vec<Body> {
    let (plan_id, line_id, purchase_id) = (6, 1, 9);
    let line = pb::DemandLine { line_id, product_id: 1, quantity: 7, due_day: 4 };
    let order = pb::OrderToFirm {
        item_id: 2,
        version: None,
        quantity: 9,
        release_day: 1,
        due_day: 4,
        pegs: vec![pb::DemandPeg { plan_id, line_id, quantity: 7 }],
    };
    let receipt = pb::PurchaseReceipt { from_account_id: 7, lot: "L8".to_owned() };
    vec![
        Body::CreatePlan(pb::CreatePlan { plant_id: 1, name: "SPRING".to_owned() }),
        Body::SetPlanLines(pb::SetPlanLines { plan_id, set: vec![line], remove_line_ids: vec![2] }),
        Body::FirmPlan(pb::FirmPlan {
            plan_id,
            computed_at: 40,
            location_id: 5,
            orders: vec![order.clone(), pb::OrderToFirm { item_id: 1, version: Some(1), ..order }],
            more: true,
            ..Default::default()
        }),
        Body::ClosePlan(pb::ClosePlan { plan_id }),
        Body::ReceivePurchase(pb::ReceivePurchase { purchase_id, quantity: 3, receipt: Some(receipt) }),
        Body::LinkPurchase(pb::LinkPurchase { purchase_id, client_order_id: vec![7; 16].into() }),
        Body::ClosePurchase(pb::ClosePurchase { purchase_id }),
    ]
}

/// What a client asks to see, each read from the same bytes.
pub fn question(bytes: &[u8]) {
    if let Ok(watch) = pb::WatchRequest::decode(bytes) {
        let _ = request::filter(watch.filter);
    }
    if let Ok(asked) = pb::GetCommandResultRequest::decode(bytes) {
        let _ = (request::command_key(&asked), request::consistency(asked.consistency.as_ref()));
    }
}

/// Sound questions.
#[must_use]
pub fn questions() -> Vec<Vec<u8>> {
    let filter = pb::EventFilter { account_ids: vec![1, 2], market_ids: vec![3], ..Default::default() };
    let watch = pb::WatchRequest { filter: Some(filter), ..Default::default() };
    let id = bytes::Bytes::from_static(&[7; 16]);
    let scope = pb::CommandScope::Trading.into();
    let result = pb::GetCommandResultRequest { scope, id, account_id: 4, consistency: None };
    vec![watch.encode_to_vec(), result.encode_to_vec()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost_types::FileDescriptorSet;

    use super::*;

    /// A new command is not forgotten here.
    #[test]
    fn the_fuzzers_begin_with_a_sound_command_of_each_kind() {
        let files = FileDescriptorSet::decode(crate::proto::FILE_DESCRIPTOR_SET).expect("the build made it");
        let messages = files.file.iter().flat_map(|file| &file.message_type);
        let command_type = messages.into_iter().find(|message| message.name() == "Command").expect("it is there");
        let kinds = command_type.field.iter().filter(|field| field.oneof_index.is_some()).count();
        let mut seen = BTreeSet::new();
        for bytes in requests() {
            for wire in pb::SubmitRequest::decode(&bytes[..]).expect("a request").commands {
                let command = command(&wire).expect("sound");
                seen.insert(command.body.to_bytes()[0]);
            }
        }
        assert!(kinds > 20, "the descriptors were read");
        assert_eq!(seen.len(), kinds);
    }
}
