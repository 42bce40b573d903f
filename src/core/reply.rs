//! What a client is told about its command, read from the command's record alone.
//!
//! A fresh answer and the answer to a command sent again are built from the same record, the one
//! from memory and the other from the journal, and so are equal.

use super::command::Scope;
use super::event::{EventBody, OrderCancelled, Posting, RecordView, Trade};
use super::production::records::WorkOrder;
use super::rejection::Rejection;
use super::types::{AccountId, Amount, AssetId, OrderId, OrderStatus, Quantity, Sequence, Stamp};

/// The answer to one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The first event of the record.
    pub sequence: Sequence,
    /// Where in the log, and when, it was applied.
    pub stamp: Stamp,
    /// Why it was refused, if it was.
    pub rejection: Option<Rejection>,
    /// The order that the command entered, replaced or cancelled.
    pub order: Option<OrderSummary>,
    /// How many orders a mass cancel ended.
    pub cancelled_count: Option<u32>,
    /// What the command's work order is after it.
    pub work_order: Option<WorkOrder>,
    /// What the command left in the balances it touched: of the trading account alone for an order,
    /// of every account for a transfer, a movement of stock or a work order.
    pub balances: Vec<BalanceLeft>,
}

/// What became of the command's own order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderSummary {
    /// The order.
    pub order: OrderId,
    /// Its status after the command.
    pub status: OrderStatus,
    /// Filled by this command.
    pub filled: Quantity,
    /// Price × quantity of these fills, in quote units.
    pub notional: Amount,
    /// Fees of these fills, in quote units.
    pub fee: Amount,
    /// How many trades these were.
    pub trades: u32,
    /// Still open.
    pub open: Quantity,
    /// Cancelled by this command, or taken off by self-trade prevention.
    pub cancelled: Quantity,
}

/// One balance after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalanceLeft {
    /// Whose.
    pub account: AccountId,
    /// Of what.
    pub asset: AssetId,
    /// Settled.
    pub posted: Amount,
    /// Held.
    pub reserved: Amount,
}

impl Summary {
    /// The answer that this record gives.
    #[must_use]
    pub fn of(record: RecordView<'_>) -> Self {
        let trader = record.origin.filter(|origin| origin.key.scope == Scope::Trading);
        let trader = trader.map(|origin| origin.key.account);
        let mut summary = Self {
            sequence: record.sequence,
            stamp: record.stamp,
            rejection: None,
            order: None,
            cancelled_count: None,
            work_order: None,
            balances: balances_left(record.postings(), trader),
        };
        let mut own = None;
        for (sequence, body, _) in record.events() {
            match body {
                EventBody::Rejected(reason) => summary.rejection = Some(*reason),
                // It made any number of orders, and is about none of them.
                EventBody::PlanFirmed(_) => summary.work_order = None,
                EventBody::MassCancelled(mass) => summary.cancelled_count = Some(mass.count),
                _ if trader.is_some() => OwnOrder::follow(&mut own, sequence, body),
                _ => summary.work_order = work_order_of(body).copied().or(summary.work_order),
            }
        }
        if summary.cancelled_count.is_none() {
            summary.order = own.map(|own: OwnOrder| own.summary);
        }
        summary
    }
}

/// What an event says that a work order is after it.
#[must_use]
pub fn work_order_of(body: &EventBody) -> Option<&WorkOrder> {
    match body {
        EventBody::WorkOrderCreated(event) => Some(&event.order),
        EventBody::WorkOrderReleased(event) => Some(&event.order),
        EventBody::WorkOrderChanged(event) => Some(&event.order),
        EventBody::MaterialsIssued(event) => Some(&event.order),
        EventBody::MaterialsReturned(event) => Some(&event.order),
        EventBody::OperationReported(event) => Some(&event.order),
        EventBody::WorkOrderCompleted(event) => Some(&event.order),
        _ => None,
    }
}

/// The last state of each balance that the postings touch, in the order of first touch; of one
/// account alone when it is named.
fn balances_left(postings: &[Posting], account: Option<AccountId>) -> Vec<BalanceLeft> {
    let mut balances: Vec<BalanceLeft> = Vec::new();
    for posting in postings.iter().filter(|posting| account.is_none_or(|account| account == posting.account)) {
        let Posting { account, asset, posted, reserved, .. } = *posting;
        let left = BalanceLeft { account, asset, posted, reserved };
        match balances.iter_mut().find(|known| (known.account, known.asset) == (account, asset)) {
            Some(known) => *known = left,
            None => balances.push(left),
        }
    }
    balances
}

/// The command's own order, as its events are read.
struct OwnOrder {
    summary: OrderSummary,
}

impl OwnOrder {
    fn new(order: OrderId, open: Quantity, any_filled: bool) -> Self {
        let status = if any_filled { OrderStatus::PartiallyFilled } else { OrderStatus::New };
        let summary = OrderSummary {
            order,
            status,
            filled: Quantity(0),
            notional: Amount(0),
            fee: Amount(0),
            trades: 0,
            open,
            cancelled: Quantity(0),
        };
        Self { summary }
    }

    /// Reads one event: the first that names an order says which is the command's own.
    fn follow(own: &mut Option<Self>, sequence: Sequence, body: &EventBody) {
        match body {
            EventBody::OrderAccepted(accepted) => {
                *own = Some(Self::new(OrderId(sequence.0), accepted.order.quantity, false));
            }
            EventBody::OrderReplaced(replaced) => {
                *own = Some(Self::new(replaced.order, replaced.open, replaced.open < replaced.quantity));
            }
            EventBody::OrderCancelled(cancelled) => {
                let own = own.get_or_insert_with(|| Self::new(cancelled.order, cancelled.open, false));
                own.cancel(cancelled);
            }
            EventBody::OrderReduced(reduced) => {
                if let Some(own) = own.as_mut().filter(|own| own.summary.order == reduced.order) {
                    own.summary.open = reduced.open;
                    own.summary.cancelled.0 += reduced.reduced.0;
                }
            }
            EventBody::Trade(trade) => {
                if let Some(own) = own.as_mut().filter(|own| own.summary.order == trade.taker) {
                    own.trade(trade);
                }
            }
            _ => {}
        }
    }

    fn cancel(&mut self, cancelled: &OrderCancelled) {
        // The incoming order can cancel others of its account, in preventing a self-trade.
        if self.summary.order == cancelled.order {
            self.summary.open = Quantity(0);
            self.summary.cancelled.0 += cancelled.open.0;
            self.summary.status = OrderStatus::Cancelled;
        }
    }

    fn trade(&mut self, trade: &Trade) {
        let summary = &mut self.summary;
        summary.filled.0 += trade.quantity.0;
        // An order's fills fit 63 bits together, see order entry; a record from elsewhere may lie.
        summary.notional.0 = summary.notional.0.saturating_add(trade.notional.0);
        summary.fee.0 = summary.fee.0.saturating_add(trade.taker_fee.0);
        summary.trades += 1;
        summary.open = trade.taker_open;
        let is_open = summary.open > Quantity(0);
        summary.status = if is_open { OrderStatus::PartiallyFilled } else { OrderStatus::Filled };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Body, CancelOrder, MassCancel, NewOrder, OrderRef};
    use crate::fixture::{ANN, BOB, BOLT, Exchange, FUNDS, USD, limit, transfer};
    use crate::types::{SelfTradePrevention, Side, TimeInForce};

    fn summary(exchange: &mut Exchange, body: Body) -> Summary {
        Summary::of(exchange.send(body).view())
    }

    #[test]
    fn an_order_is_told_its_fills_and_its_account_alone() {
        let mut exchange = Exchange::with_fees(0, 10_000);
        exchange.enter(limit(ANN, Side::Sell, 4, 100));
        exchange.enter(limit(ANN, Side::Sell, 3, 110));
        let told = summary(&mut exchange, Body::NewOrder(limit(BOB, Side::Buy, 10, 110)));
        let order = told.order.expect("it entered an order");
        let done = (order.filled.0, order.open.0, order.notional.0, order.fee.0, order.trades);
        assert_eq!((order.status, done), (OrderStatus::PartiallyFilled, (7, 3, 730, 8, 2)));
        let left = |asset, posted, reserved| BalanceLeft {
            account: BOB,
            asset,
            posted: Amount(posted),
            reserved: Amount(reserved),
        };
        // Held: 3 at 110, and 1 % of 1,060 less the 8 that are paid.
        assert_eq!(told.balances, [left(USD, FUNDS - 738, 333), left(BOLT, FUNDS + 7, 0)]);
    }

    #[test]
    fn the_status_tells_how_an_order_ended() {
        let mut exchange = Exchange::new();
        let (resting, _) = exchange.enter(limit(ANN, Side::Sell, 5, 100));
        let ioc = |quantity| NewOrder {
            time_in_force: TimeInForce::ImmediateOrCancel,
            ..limit(BOB, Side::Buy, quantity, 100)
        };
        let mut told = |body| {
            let order = summary(&mut exchange, body).order.expect("it is about an order");
            (order.status, order.filled.0, order.cancelled.0)
        };
        assert_eq!(told(Body::NewOrder(ioc(2))), (OrderStatus::Filled, 2, 0));
        assert_eq!(told(Body::NewOrder(ioc(4))), (OrderStatus::Cancelled, 3, 1));
        assert_eq!(told(Body::NewOrder(limit(BOB, Side::Buy, 1, 1))), (OrderStatus::New, 0, 0));
        assert_eq!(exchange.ledger.order(resting), None);
    }

    #[test]
    fn a_cancelled_order_of_the_same_account_is_not_mistaken_for_the_incoming() {
        let mut exchange = Exchange::new();
        exchange.enter(limit(ANN, Side::Sell, 5, 100));
        let order =
            NewOrder { self_trade_prevention: SelfTradePrevention::CancelOldest, ..limit(ANN, Side::Buy, 2, 100) };
        let told = summary(&mut exchange, Body::NewOrder(order)).order.expect("it entered an order");
        assert_eq!((told.status, told.open.0, told.cancelled.0), (OrderStatus::New, 2, 0));
        let cancel = CancelOrder { account: ANN, order: OrderRef::OrderId(told.order) };
        let told = summary(&mut exchange, Body::CancelOrder(cancel)).order.expect("it ended an order");
        assert_eq!((told.status, told.open.0, told.cancelled.0), (OrderStatus::Cancelled, 0, 2));
    }

    #[test]
    fn other_commands_are_told_what_concerns_them() {
        let mut exchange = Exchange::new();
        let told = summary(&mut exchange, Body::Transfer(transfer(ANN, BOB, USD, 1)));
        assert_eq!(told.balances.iter().map(|left| left.account).collect::<Vec<_>>(), [ANN, BOB]);
        let told = summary(&mut exchange, Body::Transfer(transfer(ANN, BOB, USD, FUNDS)));
        assert_eq!(told.rejection, Some(Rejection::InsufficientAvailable));
        exchange.enter(limit(ANN, Side::Sell, 5, 100));
        exchange.enter(limit(ANN, Side::Sell, 5, 101));
        let mass = MassCancel { account: ANN, market: None, side: None };
        let told = summary(&mut exchange, Body::MassCancel(mass));
        assert_eq!((told.cancelled_count, told.order), (Some(2), None));
    }
}
