//! Events and records to the wire.

use bytes::Bytes;
use prost::Message;

use super::{id_bytes, planning, production_event as production, user_data_bytes, wire_number};
use crate::core::command::{
    CreateAccount, CreateAsset, CreateMarket, NewOrder, Pricing, SetAccountAsset, SetAccountState, SetMarketPhase,
    Transfer, TransferMode,
};
use crate::core::event::{
    EventBody, MassCancelled, OrderAccepted, OrderCancelled, OrderReduced, OrderReplaced, PendingEnded, Posting,
    RecordView, Trade,
};
use crate::core::types::{Amount, Sequence, Stamp, Timestamp};
use crate::proto::v1 as pb;

/// A count that is never negative in the core.
#[must_use]
pub fn unsigned(amount: Amount) -> u64 {
    u64::try_from(amount.0).unwrap_or_default()
}

/// Where something happened.
#[must_use]
pub fn position(stamp: Stamp, sequence: Sequence) -> pb::Position {
    pb::Position { term: stamp.term.0, index: stamp.index.0, sequence: sequence.0 }
}

/// One record with all its events and postings.
#[must_use]
pub fn record(record: RecordView<'_>) -> pb::Record {
    let events = record.events().map(|(sequence, body, postings)| event(sequence, record.stamp.time, body, postings));
    pb::Record { events: events.collect(), ..record_head(record) }
}

/// A record without its events.
fn record_head(record: RecordView<'_>) -> pb::Record {
    pb::Record {
        position: Some(position(record.stamp, record.sequence)),
        time: record.stamp.time.0,
        command_id: record.origin.map_or_else(Bytes::new, |origin| id_bytes(origin.key.id)),
        events: Vec::new(),
        continues: false,
    }
}

/// One record with its events from `from` on and their postings, in as many parts as it takes for none to
/// be larger than `bytes_max`, unless a single event is. Each comes with its size.
#[must_use]
pub fn record_parts(record: RecordView<'_>, from: Sequence, bytes_max: usize) -> Vec<(pb::Record, usize)> {
    let head = record_head(record);
    let head_bytes = head.encoded_len() + FLAG_BYTES;
    let (mut part, mut bytes) = (head.clone(), head_bytes);
    let mut parts = Vec::with_capacity(1);
    for (sequence, body, postings) in record.events().filter(|(sequence, ..)| *sequence >= from) {
        let event = event(sequence, record.stamp.time, body, postings);
        let event_bytes = prost::encoding::message::encoded_len(EVENTS_TAG, &event);
        if bytes + event_bytes > bytes_max && !part.events.is_empty() {
            let full = pb::Record { continues: true, ..std::mem::replace(&mut part, head.clone()) };
            parts.push((full, std::mem::replace(&mut bytes, head_bytes)));
        }
        part.events.push(event);
        bytes += event_bytes;
    }
    if !part.events.is_empty() {
        parts.push((part, bytes));
    }
    parts
}

/// What the flag that a record continues adds to it.
const FLAG_BYTES: usize = 2;

/// The field number of a record's events.
const EVENTS_TAG: u32 = 4;

fn event(sequence: Sequence, time: Timestamp, body: &EventBody, postings: &[Posting]) -> pb::Event {
    use pb::event::Body as Wire;
    let body = match body {
        EventBody::Rejected(rejection) => Wire::Rejected(wire_number!(rejection)),
        EventBody::AssetCreated(it) => Wire::AssetCreated(create_asset(it)),
        EventBody::AccountCreated(it) => Wire::AccountCreated(create_account(it)),
        EventBody::AccountStateSet(it) => Wire::AccountStateSet(set_account_state(it)),
        EventBody::AccountAssetSet(it) => Wire::AccountAssetSet(set_account_asset(it)),
        EventBody::MarketCreated(it) => Wire::MarketCreated(create_market(it)),
        EventBody::MarketPhaseSet(it) => Wire::MarketPhaseSet(set_market_phase(it)),
        EventBody::Transferred(it) => {
            Wire::Transferred(pb::Transferred { transfer_id: id_bytes(it.id), transfer: Some(transfer(&it.transfer)) })
        }
        EventBody::PendingPosted(it) => {
            Wire::PendingPosted(pb::PendingPosted { transfer_id: id_bytes(it.transfer), amount: unsigned(it.amount) })
        }
        EventBody::PendingVoided(it) => Wire::PendingVoided(pending_ended(it)),
        EventBody::PendingExpired(it) => Wire::PendingExpired(pending_ended(it)),
        EventBody::OrderAccepted(it) => Wire::OrderAccepted(order_accepted(it)),
        EventBody::Trade(it) => Wire::Trade(trade(sequence, time, it)),
        EventBody::OrderReplaced(it) => Wire::OrderReplaced(order_replaced(it)),
        EventBody::OrderReduced(it) => Wire::OrderReduced(order_reduced(it)),
        EventBody::OrderCancelled(it) => Wire::OrderCancelled(order_cancelled(it)),
        EventBody::MassCancelled(it) => Wire::MassCancelled(mass_cancelled(it)),
        EventBody::PlantDefined(it) => Wire::PlantDefined(production::define_plant(it)),
        EventBody::CalendarSet(it) => Wire::CalendarSet(production::set_calendar(it)),
        EventBody::ItemDefined(it) => Wire::ItemDefined(production::define_item(it)),
        EventBody::BomDefined(it) => Wire::BomDefined(production::define_bom(it)),
        EventBody::StockMoved(it) => Wire::StockMoved(production::stock_moved(it)),
        EventBody::LotsMoved(it) => Wire::LotsMoved(production::lots_moved(it)),
        EventBody::WorkOrderCreated(it) => Wire::WorkOrderCreated(production::created(it)),
        EventBody::WorkOrderReleased(it) => Wire::WorkOrderReleased(production::released(it)),
        EventBody::WorkOrderChanged(it) => Wire::WorkOrderChanged(production::changed(it)),
        EventBody::MaterialsIssued(it) => Wire::MaterialsIssued(production::issued(it)),
        EventBody::MaterialsReturned(it) => Wire::MaterialsReturned(production::returned(it)),
        EventBody::OperationReported(it) => Wire::OperationReported(production::reported(it)),
        EventBody::WorkOrderCompleted(it) => Wire::WorkOrderCompleted(production::completed(it)),
        EventBody::PlanCreated(it) => Wire::PlanCreated(planning::created(it)),
        EventBody::PlanLinesSet(it) => Wire::PlanLinesSet(planning::lines_set(it)),
        EventBody::PlanFirmed(it) => Wire::PlanFirmed(planning::firmed(it)),
        EventBody::PlanClosed(it) => Wire::PlanClosed(planning::closed(it)),
        EventBody::PurchasePlanned(it) => Wire::PurchasePlanned(planning::purchase_planned(it)),
        EventBody::PurchaseReceived(it) => Wire::PurchaseReceived(planning::purchase_received(it)),
        EventBody::PurchaseClosed(it) => Wire::PurchaseClosed(planning::purchase_closed(it)),
        EventBody::PurchaseLinked(it) => Wire::PurchaseLinked(planning::purchase_linked(it)),
    };
    pb::Event { sequence: sequence.0, body: Some(body), postings: postings.iter().map(posting).collect() }
}

/// One change of a balance.
#[must_use]
pub fn posting(posting: &Posting) -> pb::Posting {
    pb::Posting {
        account_id: posting.account.0,
        asset_id: posting.asset.0,
        amount: posting.amount.0,
        hold: posting.hold.0,
        posted: posting.posted.0,
        reserved: posting.reserved.0,
    }
}

/// One trade; its id is its event's sequence.
#[must_use]
pub fn trade(sequence: Sequence, time: Timestamp, trade: &Trade) -> pb::Trade {
    pb::Trade {
        trade_id: sequence.0,
        market_id: trade.market.0,
        price: trade.price.0,
        quantity: trade.quantity.0,
        notional: unsigned(trade.notional),
        taker_side: wire_number!(trade.taker_side),
        maker_order_id: trade.maker.0,
        maker_account_id: trade.maker_account.0,
        taker_order_id: trade.taker.0,
        taker_account_id: trade.taker_account.0,
        maker_fee: trade.maker_fee.0,
        taker_fee: trade.taker_fee.0,
        maker_open: trade.maker_open.0,
        taker_open: trade.taker_open.0,
        time: time.0,
    }
}

/// A transfer's content.
#[must_use]
pub fn transfer(transfer: &Transfer) -> pb::Transfer {
    let (pending, expires_at) = match transfer.mode {
        TransferMode::Immediate => (false, None),
        TransferMode::Pending { expires_at } => (true, expires_at),
    };
    pb::Transfer {
        debit_account_id: transfer.debit.0,
        credit_account_id: transfer.credit.0,
        asset_id: transfer.asset.0,
        amount: unsigned(transfer.amount),
        pending,
        expires_at: expires_at.map_or(0, |time| time.0),
        user_data: user_data_bytes(transfer.user_data),
        code: transfer.code,
    }
}

fn create_asset(it: &CreateAsset) -> pb::CreateAsset {
    pb::CreateAsset {
        asset_id: it.asset.0,
        code: it.code.as_str().to_owned(),
        scale: u32::from(it.scale),
        kind: wire_number!(it.kind),
    }
}

fn create_account(it: &CreateAccount) -> pb::CreateAccount {
    pb::CreateAccount {
        account_id: it.account.0,
        issuer: it.issuer,
        restricted: it.restricted,
        user_data: user_data_bytes(it.user_data),
    }
}

fn set_account_state(it: &SetAccountState) -> pb::SetAccountState {
    pb::SetAccountState { account_id: it.account.0, state: wire_number!(it.state) }
}

fn set_account_asset(it: &SetAccountAsset) -> pb::SetAccountAsset {
    pb::SetAccountAsset {
        account_id: it.account.0,
        asset_id: it.asset.0,
        allowed: it.allowed,
        credit_limit: unsigned(it.credit_limit),
    }
}

fn create_market(it: &CreateMarket) -> pb::CreateMarket {
    pb::CreateMarket {
        market_id: it.market.0,
        symbol: it.symbol.as_str().to_owned(),
        base_asset_id: it.base.0,
        quote_asset_id: it.quote.0,
        tick: it.tick.0,
        lot: it.lot.0,
        maker_fee: it.maker_fee.0,
        taker_fee: it.taker_fee.0,
        fee_account_id: it.fee_account.0,
        quantity_max: it.quantity_max.0,
        notional_max: unsigned(it.notional_max),
        phase: wire_number!(it.phase),
    }
}

fn set_market_phase(it: &SetMarketPhase) -> pb::SetMarketPhase {
    pb::SetMarketPhase { market_id: it.market.0, phase: wire_number!(it.phase) }
}

fn pending_ended(it: &PendingEnded) -> pb::PendingEnded {
    pb::PendingEnded { transfer_id: id_bytes(it.transfer), amount: unsigned(it.amount) }
}

fn order_accepted(it: &OrderAccepted) -> pb::OrderAccepted {
    pb::OrderAccepted { client_order_id: id_bytes(it.id), order: Some(new_order(&it.order)) }
}

pub(super) fn new_order(it: &NewOrder) -> pb::NewOrder {
    use pb::new_order::Pricing as Wire;
    pb::NewOrder {
        account_id: it.account.0,
        market_id: it.market.0,
        side: wire_number!(it.side),
        quantity: it.quantity.0,
        pricing: Some(match it.pricing {
            Pricing::Limit(price) => Wire::LimitPrice(price.0),
            Pricing::MarketToPrice(price) => Wire::WorstPrice(price.0),
            Pricing::MarketForBudget(budget) => Wire::QuoteBudget(unsigned(budget)),
        }),
        time_in_force: wire_number!(it.time_in_force),
        expires_at: it.expires_at.map_or(0, |time| time.0),
        post_only: it.post_only,
        self_trade_prevention: wire_number!(it.self_trade_prevention),
    }
}

fn order_replaced(it: &OrderReplaced) -> pb::OrderReplaced {
    pb::OrderReplaced {
        order_id: it.order.0,
        account_id: it.account.0,
        market_id: it.market.0,
        side: wire_number!(it.side),
        quantity: it.quantity.0,
        limit_price: it.price.0,
        open: it.open.0,
        priority_kept: it.priority_kept,
    }
}

fn order_reduced(it: &OrderReduced) -> pb::OrderReduced {
    pb::OrderReduced {
        order_id: it.order.0,
        account_id: it.account.0,
        market_id: it.market.0,
        reduced: it.reduced.0,
        open: it.open.0,
    }
}

fn order_cancelled(it: &OrderCancelled) -> pb::OrderCancelled {
    pb::OrderCancelled {
        order_id: it.order.0,
        account_id: it.account.0,
        market_id: it.market.0,
        open: it.open.0,
        reason: wire_number!(it.reason),
    }
}

fn mass_cancelled(it: &MassCancelled) -> pb::MassCancelled {
    pb::MassCancelled {
        account_id: it.account.0,
        market_id: it.market.map_or(0, |market| market.0),
        side: it.side.map_or(0, |side| wire_number!(side)),
        count: it.count,
    }
}
