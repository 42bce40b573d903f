//! An order that has left the state, rebuilt from its events.

use crate::core::command::Pricing;
use crate::core::event::{EventBody, OrderAccepted, Trade};
use crate::core::ledger::records::Order;
use crate::core::types::{Amount, CancelReason, OrderId, OrderStatus, Quantity, Sequence, Timestamp};

/// An order as its events tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastOrder {
    /// The order; an ended one holds nothing.
    pub order: Order,
    /// Where it stands.
    pub status: OrderStatus,
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

impl PastOrder {
    /// The order at its acceptance by the event `sequence`.
    #[must_use]
    pub fn accepted(sequence: Sequence, time: Timestamp, accepted: &OrderAccepted) -> Self {
        let new = &accepted.order;
        let order = Order {
            id: OrderId(sequence.0),
            client_order_id: accepted.id,
            account: new.account,
            market: new.market,
            side: new.side,
            pricing: new.pricing,
            time_in_force: new.time_in_force,
            expires_at: new.expires_at,
            post_only: new.post_only,
            self_trade_prevention: new.self_trade_prevention,
            quantity: new.quantity,
            filled: Quantity(0),
            open: new.quantity,
            filled_notional: Amount(0),
            fee_accrued: 0,
            fee_paid: Amount(0),
            reserved: Amount(0),
            priority: sequence,
        };
        Self { order, status: OrderStatus::New, accepted_at: time }
    }

    /// Takes in the next event of this order.
    pub fn take(&mut self, event: &EventBody) {
        match event {
            EventBody::Trade(trade) => self.trade(trade),
            EventBody::OrderReplaced(replaced) => {
                self.order.quantity = replaced.quantity;
                self.order.pricing = Pricing::Limit(replaced.price);
                self.order.open = replaced.open;
            }
            EventBody::OrderReduced(reduced) => self.order.open = reduced.open,
            EventBody::OrderCancelled(cancelled) => {
                self.order.open = Quantity(0);
                self.status = match cancelled.reason {
                    CancelReason::Expired => OrderStatus::Expired,
                    _ => OrderStatus::Cancelled,
                };
            }
            _ => {}
        }
    }

    fn trade(&mut self, trade: &Trade) {
        let maker = trade.maker == self.order.id;
        let (open, fee) = if maker { (trade.maker_open, trade.maker_fee) } else { (trade.taker_open, trade.taker_fee) };
        self.order.filled.0 += trade.quantity.0;
        self.order.open = open;
        self.order.fee_paid.0 += fee.0;
        self.order.filled_notional.0 += trade.notional.0;
        self.status = if open == Quantity(0) { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
    }
}

/// The status of an order that is open.
#[must_use]
pub fn open_status(order: &Order) -> OrderStatus {
    if order.filled == Quantity(0) { OrderStatus::New } else { OrderStatus::PartiallyFilled }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::command::NewOrder;
    use crate::core::event::{OrderCancelled, OrderReplaced};
    use crate::core::types::{AccountId, CommandId, MarketId, Price, SelfTradePrevention, Side, TimeInForce};

    fn accepted() -> PastOrder {
        let order = NewOrder {
            account: AccountId(1),
            market: MarketId(1),
            side: Side::Buy,
            quantity: Quantity(1_000),
            pricing: Pricing::Limit(Price(500)),
            time_in_force: TimeInForce::GoodTillCancel,
            expires_at: None,
            post_only: false,
            self_trade_prevention: SelfTradePrevention::CancelNewest,
        };
        PastOrder::accepted(Sequence(10), Timestamp(5), &OrderAccepted { id: CommandId(3), order })
    }

    fn trade(maker: u64, taker: u64, quantity: u64, maker_open: u64, taker_open: u64) -> EventBody {
        EventBody::Trade(Trade {
            market: MarketId(1),
            price: Price(400),
            quantity: Quantity(quantity),
            notional: Amount(4 * quantity as i64),
            taker_side: Side::Buy,
            maker: OrderId(maker),
            maker_account: AccountId(2),
            taker: OrderId(taker),
            taker_account: AccountId(1),
            maker_fee: Amount(-1),
            taker_fee: Amount(2),
            maker_open: Quantity(maker_open),
            taker_open: Quantity(taker_open),
        })
    }

    #[test]
    fn fills_add_up_on_either_side() {
        let mut past = accepted();
        past.take(&trade(4, 10, 300, 0, 700));
        assert_eq!(
            (past.status, past.order.filled, past.order.open),
            (OrderStatus::PartiallyFilled, Quantity(300), Quantity(700))
        );
        past.take(&trade(10, 12, 700, 0, 5));
        assert_eq!(past.status, OrderStatus::Filled);
        assert_eq!(past.order.open, Quantity(0));
        assert_eq!(past.order.filled_notional, Amount(1_200 + 2_800));
        assert_eq!(past.order.fee_paid, Amount(2 - 1));
    }

    #[test]
    fn a_replaced_and_cancelled_order_shows_its_last_terms() {
        let mut past = accepted();
        let replaced = OrderReplaced {
            order: OrderId(10),
            account: AccountId(1),
            market: MarketId(1),
            side: Side::Buy,
            quantity: Quantity(2_000),
            price: Price(450),
            open: Quantity(2_000),
            priority_kept: false,
        };
        past.take(&EventBody::OrderReplaced(replaced));
        let cancelled = OrderCancelled {
            order: OrderId(10),
            account: AccountId(1),
            market: MarketId(1),
            open: Quantity(2_000),
            reason: CancelReason::Requested,
        };
        past.take(&EventBody::OrderCancelled(cancelled));
        assert_eq!(past.order.quantity, Quantity(2_000));
        assert_eq!(past.order.pricing, Pricing::Limit(Price(450)));
        assert_eq!((past.status, past.order.open), (OrderStatus::Cancelled, Quantity(0)));
    }
}
