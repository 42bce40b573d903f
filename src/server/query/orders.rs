//! Orders: open ones from the state, ended ones rebuilt from their events.

use std::collections::HashMap;

use super::Queries;
use super::fold::{PastOrder, open_status};
use super::paging::{Cursor, PageQuery};
use super::trades::{Walk, names_something};
use super::transfers::answered;
use crate::core::Ledger;
use crate::core::command::{CommandKey, OrderRef, Scope};
use crate::core::event::EventBody;
use crate::core::ledger::records::Order;
use crate::core::types::{AccountId, MarketId, OrderId, Sequence, Side};
use crate::proto::v1 as pb;
use crate::server::convert::command::order_reference;
use crate::server::convert::{Invalid, Reason, event, request, state};
use crate::server::errors::Refusal;
use crate::server::history::{EventReader, ReadFault};
use crate::server::limits::FILLS_MAX;
use crate::store::engine::Readers;
use crate::store::index::{Direction, HistoryKey};

/// Orders that are looked at for one page when only some of them are wanted: a page can be short, and
/// still have a next one.
const ORDERS_LOOKED_AT_MAX: usize = 5_000;

/// Events of one order read in one step.
const EVENTS_STEP: usize = 1_000;

/// Which orders a list shows.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    account: Option<AccountId>,
    market: Option<MarketId>,
    side: Option<Side>,
}

impl Wanted {
    fn shows(&self, order: &Order) -> bool {
        self.account.is_none_or(|account| account == order.account)
            && self.market.is_none_or(|market| market == order.market)
            && self.side.is_none_or(|side| side == order.side)
    }
}

impl Queries {
    pub(super) async fn get_order(&self, asked: pb::GetOrderRequest) -> Result<pb::GetOrderResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let named = order_reference(asked.order.as_ref())?;
        let account = request::account_id_or_all(asked.account_id);
        if account.is_none() && matches!(named, OrderRef::ClientOrderId(_)) {
            return Err(Invalid::missing("account_id").into());
        }
        let find = move |ledger: &Ledger| {
            let order = match named {
                OrderRef::OrderId(id) => ledger.order(id),
                OrderRef::ClientOrderId(id) => ledger.order_by_client_id(account.unwrap_or_default(), id),
            };
            order.copied()
        };
        let seen = self.reads.look(consistency, find).await?;
        let open = seen.value;
        let last = seen.sequence;
        let read = move |readers: &Readers| {
            let Some(id) = (match open {
                Some(order) => Some(order.id),
                None => past_order_id(readers, named, account, last)?,
            }) else {
                return Ok(None);
            };
            let mut fills = Vec::new();
            let past = rebuild(readers, id, last, |fill| {
                if fills.len() < FILLS_MAX {
                    fills.push(fill);
                }
            })?;
            Ok(past.map(|past| (shown(open, past), fills)))
        };
        let found = self.history.read(read).await?;
        let found = found.filter(|(order, _)| account.is_none_or(|account| account.0 == order.account_id));
        let (order, fills) = found.ok_or_else(|| no_order(named))?;
        Ok(pb::GetOrderResponse { order: Some(order), fills, position: Some(seen.position) })
    }

    pub(super) async fn list_orders(&self, asked: pb::ListOrdersRequest) -> Result<pb::ListOrdersResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let wanted = Wanted {
            account: request::account_id_or_all(asked.account_id),
            market: request::market_id_or_all(asked.market_id),
            side: request::side_or_both(asked.side, "side")?,
        };
        let filters = [asked.account_id, u64::from(asked.market_id), asked.side as u64, u64::from(asked.include_ended)];
        let page = PageQuery::of(asked.page.as_ref(), "orders", &filters)?;
        let seen = match (asked.include_ended, wanted.account) {
            (true, Some(account)) => return self.all_orders(consistency, account, wanted, page).await,
            (true, None) => {
                return Err(Invalid::new("account_id", Reason::Missing, "is required with include_ended").into());
            }
            (false, None) if wanted.market.is_none() => {
                return Err(Invalid::new("account_id", Reason::Missing, "or a market_id is required").into());
            }
            (false, _) => {
                let find = move |ledger: &Ledger| {
                    names_something(ledger, wanted.account, wanted.market)?;
                    Ok::<_, Refusal>(open_orders(ledger, wanted, &page))
                };
                self.reads.look(consistency, find).await?
            }
        };
        let (orders, next_page_token) = seen.value?;
        let read = move |readers: &Readers| {
            let mut events = EventReader::new(readers);
            let show = |order: Order| {
                let accepted_at = events.record(Sequence(order.id.0))?.stamp.time;
                Ok(state::order(&order, open_status(&order), accepted_at.0))
            };
            orders.into_iter().map(show).collect()
        };
        let orders = self.history.read(read).await?;
        Ok(pb::ListOrdersResponse { orders, next_page_token, position: Some(seen.position) })
    }

    /// A page of all orders that an account ever had.
    async fn all_orders(
        &self,
        consistency: request::Consistency,
        account: AccountId,
        wanted: Wanted,
        page: PageQuery,
    ) -> Result<pb::ListOrdersResponse, Refusal> {
        let look = move |ledger: &Ledger| {
            names_something(ledger, Some(account), wanted.market)?;
            let open: HashMap<OrderId, Order> = ledger.orders(account).map(|order| (order.id, *order)).collect();
            Ok::<_, Refusal>(open)
        };
        let seen = self.reads.look(consistency, look).await?;
        let open = seen.value?;
        let last = seen.sequence;
        let read = move |readers: &Readers| past_orders(readers, account, wanted, &page, last, &open);
        let (orders, next_page_token) = self.history.read(read).await?;
        Ok(pb::ListOrdersResponse { orders, next_page_token, position: Some(seen.position) })
    }
}

/// A page of open orders by id.
fn open_orders(ledger: &Ledger, wanted: Wanted, page: &PageQuery) -> (Vec<Order>, String) {
    let behind = |order: &&Order| match page.after {
        None => true,
        Some(after) if page.descending => order.id.0 < after.key,
        Some(after) => order.id.0 > after.key,
    };
    let mut orders: Vec<&Order> = match (wanted.account, wanted.market) {
        (Some(account), _) => ledger.orders(account).filter(|order| wanted.shows(order)).filter(behind).collect(),
        (None, Some(market)) => {
            ledger.market_orders(market).filter(|order| wanted.shows(order)).filter(behind).collect()
        }
        (None, None) => Vec::new(),
    };
    let place = |order: &&Order| if page.descending { u64::MAX - order.id.0 } else { order.id.0 };
    if orders.len() > page.size + 1 {
        orders.select_nth_unstable_by_key(page.size, place);
        orders.truncate(page.size + 1);
    }
    orders.sort_unstable_by_key(place);
    let token = page.cut(&mut orders, |order| Cursor::at(order.id.0));
    (orders.into_iter().copied().collect(), token)
}

/// The id of an order that is not open, from either of its names.
fn past_order_id(
    readers: &Readers,
    named: OrderRef,
    account: Option<AccountId>,
    last: Sequence,
) -> Result<Option<OrderId>, ReadFault> {
    match named {
        OrderRef::OrderId(id) => Ok((id.0 <= last.0).then_some(id)),
        OrderRef::ClientOrderId(id) => {
            let key = CommandKey { scope: Scope::Trading, account: account.unwrap_or_default(), id };
            let Some(record) = answered(readers, &key, last)? else { return Ok(None) };
            let is_it = |body: &EventBody| matches!(body, EventBody::OrderAccepted(accepted) if accepted.id == id);
            let accepted = record.view().events().find(|(_, body, _)| is_it(body));
            Ok(accepted.map(|(sequence, ..)| OrderId(sequence.0)))
        }
    }
}

/// The order as its events up to `last` tell it; `None` when there was no such order.
fn rebuild(
    readers: &Readers,
    id: OrderId,
    last: Sequence,
    mut on_fill: impl FnMut(pb::Trade),
) -> Result<Option<PastOrder>, ReadFault> {
    let mut events = EventReader::new(readers);
    let mut past: Option<PastOrder> = None;
    let mut from = Sequence(0);
    loop {
        let step = readers.index.scan(HistoryKey::EventsOf(id), from, Direction::Forward, EVENTS_STEP)?;
        for sequence in step.iter().copied().take_while(|sequence| *sequence <= last) {
            let (record, body, _) = events.event(sequence)?;
            let time = record.stamp.time;
            match (body, &mut past) {
                (EventBody::OrderAccepted(accepted), _) => past = Some(PastOrder::accepted(sequence, time, accepted)),
                (body, Some(order)) => {
                    if let EventBody::Trade(trade) = body {
                        on_fill(event::trade(sequence, time, trade));
                    }
                    order.take(body);
                }
                (_, None) => {}
            }
        }
        match step.last() {
            Some(end) if step.len() == EVENTS_STEP && *end < last => from = end.plus(1),
            _ => return Ok(past),
        }
    }
}

/// The order for the answer: what is live as it lives, what is past as it was rebuilt.
fn shown(open: Option<Order>, past: PastOrder) -> pb::Order {
    match open {
        Some(order) => state::order(&order, open_status(&order), past.accepted_at.0),
        None => state::order(&past.order, past.status, past.accepted_at.0),
    }
}

/// A page of all orders that an account had up to the event `last`, of which `open` still are.
fn past_orders(
    readers: &Readers,
    account: AccountId,
    wanted: Wanted,
    page: &PageQuery,
    last: Sequence,
    open: &HashMap<OrderId, Order>,
) -> Result<(Vec<pb::Order>, String), ReadFault> {
    let mut orders = Vec::new();
    let mut looked_at = 0;
    let mut walk = Walk::new(page, last);
    while let Some(ids) = walk.next(readers, HistoryKey::OrdersOf(account), page.size + 1)? {
        for id in ids {
            looked_at += 1;
            if let Some(past) = rebuild(readers, OrderId(id.0), last, drop)?
                && wanted.shows(&past.order)
            {
                orders.push(shown(open.get(&OrderId(id.0)).copied(), past));
            }
            if orders.len() > page.size {
                let token = page.cut(&mut orders, |order: &pb::Order| Cursor::at(order.order_id));
                return Ok((orders, token));
            }
            if looked_at >= ORDERS_LOOKED_AT_MAX {
                return Ok((orders, page.token(Cursor::at(id.0))));
            }
        }
    }
    Ok((orders, String::new()))
}

fn no_order(named: OrderRef) -> Refusal {
    let key = match named {
        OrderRef::OrderId(id) => id.to_string(),
        OrderRef::ClientOrderId(id) => format!("{:032x}", id.0),
    };
    Refusal::NotFound { what: "order", key }
}
