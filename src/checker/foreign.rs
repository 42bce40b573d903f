//! Commands of others, made up from what they did: a cluster may have served before the run, and may
//! serve others meanwhile.
//!
//! A record that changed something says enough to do the same again. A refusal does not say what was
//! refused, but it changed nothing: a command that is sure to be refused stands for it.

use crate::client::api;
use api::command::Body;
use api::event::Body as Event;

/// A market that nobody can have: ids of markets are chosen by people.
const NO_MARKET: u32 = u32::MAX;

/// A command that makes the events of this record again; none for what time brought about.
pub(super) fn command_of(record: &api::Record) -> Option<api::Command> {
    if record.command_id.is_empty() {
        return None;
    }
    let mut bodies = record.events.iter().filter_map(|event| event.body.as_ref());
    let body = bodies.clone().find_map(by_itself).or_else(|| bodies.find_map(cancel));
    let body = body.or_else(|| record.events.first().map(|_| refused()))?;
    Some(api::Command { id: record.command_id.clone(), linked: false, body: Some(body) })
}

/// Whether the record is a refusal, whose reason the stand-in does not share.
pub(super) fn is_refusal(record: &api::Record) -> bool {
    matches!(record.events.as_slice(), [event] if matches!(event.body, Some(Event::Rejected(_))))
}

fn refused() -> Body {
    Body::SetMarketPhase(api::SetMarketPhase { market_id: NO_MARKET, phase: api::Phase::Halted.into() })
}

/// The command of which this event is the sign.
fn by_itself(event: &Event) -> Option<Body> {
    Some(match event.clone() {
        Event::AssetCreated(it) => Body::CreateAsset(it),
        Event::AccountCreated(it) => Body::CreateAccount(it),
        Event::AccountStateSet(it) => Body::SetAccountState(it),
        Event::AccountAssetSet(it) => Body::SetAccountAsset(it),
        Event::MarketCreated(it) => Body::CreateMarket(it),
        Event::MarketPhaseSet(it) => Body::SetMarketPhase(it),
        Event::Transferred(it) => Body::Transfer(it.transfer?),
        Event::PendingPosted(it) => {
            Body::PostPending(api::PostPending { transfer_id: it.transfer_id, amount: it.amount })
        }
        Event::PendingVoided(it) => Body::VoidPending(api::VoidPending { transfer_id: it.transfer_id }),
        Event::OrderAccepted(it) => Body::NewOrder(it.order?),
        Event::OrderReplaced(it) => Body::ReplaceOrder(api::ReplaceOrder {
            account_id: it.account_id,
            order: by_order_id(it.order_id),
            quantity: it.quantity,
            limit_price: it.limit_price,
        }),
        Event::MassCancelled(it) => {
            Body::MassCancel(api::MassCancel { account_id: it.account_id, market_id: it.market_id, side: it.side })
        }
        Event::Rejected(_)
        | Event::PendingExpired(_)
        | Event::Trade(_)
        | Event::OrderReduced(_)
        | Event::OrderCancelled(_) => return None,
    })
}

/// A cancelled order is the command's own when nothing else is.
fn cancel(event: &Event) -> Option<Body> {
    match event {
        Event::OrderCancelled(it) => {
            Some(Body::CancelOrder(api::CancelOrder { account_id: it.account_id, order: by_order_id(it.order_id) }))
        }
        _ => None,
    }
}

fn by_order_id(order: u64) -> Option<api::OrderReference> {
    Some(api::OrderReference { reference: Some(api::order_reference::Reference::OrderId(order)) })
}
