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
use crate::server::history::{EventReader, ReadFault, Reading};
use crate::server::limits::{FILLS_MAX, LIST_EVENTS_MAX, LOOK_ORDERS_MAX};
use crate::store::index::{Direction, HistoryKey};

/// Orders of an account that one page looks at when only some of them are wanted: it can be short, and
/// still have a next one.
const CANDIDATES_MAX: usize = 4_096;

/// Events of one order read in one step.
const EVENTS_STEP: usize = 1_000;

/// Which orders a list shows.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    account: Option<AccountId>,
    market: Option<MarketId>,
    side: Option<Side>,
    /// Ended ones too.
    ended: bool,
}

impl Wanted {
    fn shows(&self, order: &Order) -> bool {
        self.account.is_none_or(|account| account == order.account)
            && self.market.is_none_or(|market| market == order.market)
            && self.side.is_none_or(|side| side == order.side)
    }

    /// How many orders of its account a page looks at.
    fn candidates(&self, page: &PageQuery) -> usize {
        let all = self.ended && self.market.is_none() && self.side.is_none();
        if all { page.size + 1 } else { CANDIDATES_MAX }
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
        let read = move |reading: &Reading| {
            let Some(id) = (match open {
                Some(order) => Some(order.id),
                None => past_order_id(reading, named, account, last)?,
            }) else {
                return Ok(None);
            };
            let mut fills = Vec::new();
            let mut events = EventReader::new(reading);
            // What an open order has become stands in the state: of its events only the fills are shown.
            let past = rebuild(reading, &mut events, id, last, |fill| {
                if fills.len() < FILLS_MAX {
                    fills.push(fill);
                }
                open.is_none() || fills.len() < FILLS_MAX
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
            ended: asked.include_ended,
        };
        let filters = [asked.account_id, u64::from(asked.market_id), asked.side as u64, u64::from(asked.include_ended)];
        let page = PageQuery::of(asked.page.as_ref(), "orders", &filters)?;
        match (wanted.account, wanted.market) {
            (None, _) if wanted.ended => {
                return Err(Invalid::new("account_id", Reason::Missing, "is required with include_ended").into());
            }
            (None, None) => {
                return Err(Invalid::new("account_id", Reason::Missing, "or a market_id is required").into());
            }
            _ => {}
        }
        let find = move |ledger: &Ledger| {
            names_something(ledger, wanted.account, wanted.market)?;
            open_orders(ledger, wanted, &page)
        };
        let seen = self.reads.look(consistency, find).await?;
        let (orders, next) = match (seen.value?, wanted.account) {
            (Live::Page(orders, next), _) => (orders, next),
            (Live::AskIndex, Some(account)) => return self.orders_of(account, wanted, page, seen.sequence).await,
            (Live::AskIndex, None) => {
                let message = format!(
                    "has more than {LOOK_ORDERS_MAX} open orders: name an account too, or read them by \
                     StreamOrderBook"
                );
                return Err(Invalid::new("market_id", Reason::TooMany, message).into());
            }
        };
        let read = move |reading: &Reading| {
            let mut events = EventReader::new(reading);
            let mut shown = Vec::with_capacity(orders.len());
            for order in orders {
                shown.push(show_open(&mut events, &order)?);
                if events.events_read() >= LIST_EVENTS_MAX {
                    return Ok((shown, page.token(Cursor::at(order.id.0))));
                }
            }
            Ok((shown, next))
        };
        let (orders, next_page_token) = self.history.read(read).await?;
        Ok(pb::ListOrdersResponse { orders, next_page_token, position: Some(seen.position) })
    }

    /// A page of the orders that an account ever had, found by the index. `before` is an event that the
    /// answer has to see.
    ///
    /// The ids come from the index and what is open from the state, a bounded number of both. The state
    /// moves on in between; the orders that came meanwhile are the account's newest.
    async fn orders_of(
        &self,
        account: AccountId,
        wanted: Wanted,
        page: PageQuery,
        before: Sequence,
    ) -> Result<pb::ListOrdersResponse, Refusal> {
        let limit = wanted.candidates(&page);
        let find = move |reading: &Reading| {
            let mut walk = Walk::new(&page, before)?;
            Ok(walk.next(reading, HistoryKey::OrdersOf(account), limit)?.unwrap_or_default())
        };
        let candidates = self.history.read(find).await?;
        let look = move |ledger: &Ledger| {
            let newer = ledger.orders_newest_first(account).take_while(|order| order.id.0 > before.0);
            let newer = newer.take(CANDIDATES_MAX + 1);
            let known = candidates.iter().filter_map(|id| ledger.order(OrderId(id.0)));
            let open: HashMap<OrderId, Order> = newer.chain(known).map(|order| (order.id, *order)).collect();
            open
        };
        let seen = self.reads.look(request::Consistency::Stale, look).await?;
        let (open, last) = (seen.value, seen.sequence);
        if open.keys().filter(|id| id.0 > before.0).count() > CANDIDATES_MAX {
            return Err(Refusal::Overloaded("orders entered while they were listed"));
        }
        let read = move |reading: &Reading| past_orders(reading, account, wanted, &page, last, &open);
        let (orders, next_page_token) = self.history.read(read).await?;
        Ok(pb::ListOrdersResponse { orders, next_page_token, position: Some(seen.position) })
    }
}

/// What the live state has for a list.
enum Live {
    /// A page of open orders.
    Page(Vec<Order>, String),
    /// Nothing that one short look can tell: the orders are too many, or ended ones too are wanted.
    AskIndex,
}

/// A page of open orders by id, where the state alone can tell it by one short look.
fn open_orders(ledger: &Ledger, wanted: Wanted, page: &PageQuery) -> Result<Live, Refusal> {
    let count = match (wanted.account, wanted.market.and_then(|market| ledger.book(market))) {
        (Some(account), _) => ledger.order_count(account),
        (None, Some(book)) => book.order_count(Side::Buy) + book.order_count(Side::Sell),
        (None, None) => 0,
    };
    if wanted.ended || count > LOOK_ORDERS_MAX {
        return Ok(Live::AskIndex);
    }
    let after = page.after_within(ledger.sequence())?;
    let behind = |order: &&Order| match after {
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
    Ok(Live::Page(orders.into_iter().copied().collect(), token))
}

/// The id of an order that is not open, from either of its names.
fn past_order_id(
    reading: &Reading,
    named: OrderRef,
    account: Option<AccountId>,
    last: Sequence,
) -> Result<Option<OrderId>, ReadFault> {
    match named {
        OrderRef::OrderId(id) => Ok(Some(id)),
        OrderRef::ClientOrderId(id) => {
            let key = CommandKey { scope: Scope::Trading, account: account.unwrap_or_default(), id };
            let Some(record) = answered(reading, &key, last)? else { return Ok(None) };
            let is_it = |body: &EventBody| matches!(body, EventBody::OrderAccepted(accepted) if accepted.id == id);
            let accepted = record.view().events().find(|(_, body, _)| is_it(body));
            Ok(accepted.map(|(sequence, ..)| OrderId(sequence.0)))
        }
    }
}

/// The order as its events up to `last` tell it; `None` when there was no such order. It ends early when
/// `on_fill` wants no more.
fn rebuild(
    reading: &Reading,
    events: &mut EventReader<'_>,
    id: OrderId,
    last: Sequence,
    mut on_fill: impl FnMut(pb::Trade) -> bool,
) -> Result<Option<PastOrder>, ReadFault> {
    let accepted_at = Sequence(id.0);
    if accepted_at == Sequence(0) || accepted_at > last {
        return Ok(None);
    }
    let (record, body, _) = events.event(accepted_at)?;
    let EventBody::OrderAccepted(accepted) = body else { return Ok(None) };
    let mut past = PastOrder::accepted(accepted_at, record.stamp.time, accepted);
    let mut from = accepted_at.plus(1);
    loop {
        let step = reading.index().scan(HistoryKey::ChangesOf(id), from, Direction::Forward, EVENTS_STEP)?;
        for sequence in step.iter().copied().take_while(|sequence| *sequence <= last) {
            let (record, body, _) = events.event(sequence)?;
            past.take(body);
            if let EventBody::Trade(trade) = body
                && !on_fill(event::trade(sequence, record.stamp.time, trade))
            {
                return Ok(Some(past));
            }
        }
        match step.last() {
            Some(end) if step.len() == EVENTS_STEP && *end < last => from = end.plus(1),
            _ => return Ok(Some(past)),
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

/// An open order for the answer; of its events the first alone is read.
fn show_open(events: &mut EventReader<'_>, order: &Order) -> Result<pb::Order, ReadFault> {
    let accepted_at = events.record(Sequence(order.id.0))?.stamp.time;
    Ok(state::order(order, open_status(order), accepted_at.0))
}

/// A page of the orders that an account had up to the event `last`, of which `open` still are.
fn past_orders(
    reading: &Reading,
    account: AccountId,
    wanted: Wanted,
    page: &PageQuery,
    last: Sequence,
    open: &HashMap<OrderId, Order>,
) -> Result<(Vec<pb::Order>, String), ReadFault> {
    let mut events = EventReader::new(reading);
    let mut walk = Walk::new(page, last)?;
    let limit = wanted.candidates(page);
    let ids = walk.next(reading, HistoryKey::OrdersOf(account), limit)?.unwrap_or_default();
    let whole = ids.len() < limit;
    let mut orders = Vec::new();
    let mut looked_at = None;
    for id in ids {
        looked_at = Some(id);
        let order = match open.get(&OrderId(id.0)) {
            Some(order) if wanted.shows(order) => Some(show_open(&mut events, order)?),
            None if wanted.ended => {
                let past = rebuild(reading, &mut events, OrderId(id.0), last, |_| true)?;
                past.filter(|past| wanted.shows(&past.order)).map(|past| shown(None, past))
            }
            _ => None,
        };
        orders.extend(order);
        if orders.len() > page.size {
            let token = page.cut(&mut orders, |order: &pb::Order| Cursor::at(order.order_id));
            return Ok((orders, token));
        }
        if events.events_read() >= LIST_EVENTS_MAX {
            return Ok((orders, page.token(Cursor::at(id.0))));
        }
    }
    let token = looked_at.filter(|_| !whole).map(|id| page.token(Cursor::at(id.0))).unwrap_or_default();
    Ok((orders, token))
}

fn no_order(named: OrderRef) -> Refusal {
    let key = match named {
        OrderRef::OrderId(id) => id.to_string(),
        OrderRef::ClientOrderId(id) => format!("{:032x}", id.0),
    };
    Refusal::NotFound { what: "order", key }
}
