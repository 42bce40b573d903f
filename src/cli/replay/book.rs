//! The cluster's book, rebuilt from the records it sends: what it did, not what it should have done.

use std::collections::{BTreeMap, HashMap};

use super::lobster::{Level, Row};
use crate::client::api;
use crate::core::types::{Price, Quantity, Side};

/// An order as the records left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    side: Side,
    price: u64,
    open: u64,
}

/// A book of one market.
#[derive(Debug, Default)]
pub struct Book {
    orders: HashMap<u64, Open>,
    bids: BTreeMap<u64, u64>,
    asks: BTreeMap<u64, u64>,
}

impl Book {
    /// Applies all that one command did. An order may stand in the book within a record, and be
    /// gone at its end.
    pub fn apply(&mut self, record: &api::Record) {
        use api::event::Body;
        for event in &record.events {
            match &event.body {
                Some(Body::OrderAccepted(accepted)) => {
                    if let Some(order) = &accepted.order {
                        self.accept(event.sequence, order);
                    }
                }
                Some(Body::Trade(trade)) => {
                    self.set(trade.maker_order_id, None, trade.maker_open);
                    self.set(trade.taker_order_id, None, trade.taker_open);
                }
                Some(Body::OrderReplaced(replaced)) => {
                    self.set(replaced.order_id, Some(replaced.limit_price), replaced.open);
                }
                Some(Body::OrderReduced(reduced)) => self.set(reduced.order_id, None, reduced.open),
                Some(Body::OrderCancelled(cancelled)) => self.set(cancelled.order_id, None, 0),
                _ => {}
            }
        }
    }

    fn accept(&mut self, order_id: u64, order: &api::NewOrder) {
        use api::new_order::Pricing;
        let side = if order.side() == api::Side::Sell { Side::Sell } else { Side::Buy };
        // A market order never rests; until its record ends, its price says nothing.
        let price = match order.pricing {
            Some(Pricing::LimitPrice(price)) => price,
            _ => 0,
        };
        self.orders.insert(order_id, Open { side, price, open: 0 });
        self.set(order_id, None, order.quantity);
    }

    /// Sets what an order has open, and its price where that changes too.
    fn set(&mut self, order_id: u64, price: Option<u64>, open: u64) {
        let Some(order) = self.orders.get_mut(&order_id) else { return };
        let levels = match order.side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        };
        if let Some(size) = levels.get_mut(&order.price) {
            *size = size.saturating_sub(order.open);
            if *size == 0 {
                levels.remove(&order.price);
            }
        }
        (order.price, order.open) = (price.unwrap_or(order.price), open);
        if open == 0 {
            self.orders.remove(&order_id);
        } else {
            *levels.entry(order.price).or_default() += open;
        }
    }

    /// Whether the best levels of a side are those of the recorded book.
    #[must_use]
    pub fn equals(&self, side: Side, row: &Row, depth: usize) -> bool {
        let recorded = row.side(side);
        match side {
            Side::Buy => same(self.bids.iter().rev().take(depth), recorded),
            Side::Sell => same(self.asks.iter().take(depth), recorded),
        }
    }

    /// Whether these are exactly the orders that are open.
    #[must_use]
    pub fn holds(&self, orders: &[api::BookOrder]) -> bool {
        let side = |number| if number == i32::from(api::Side::Sell) { Side::Sell } else { Side::Buy };
        orders.len() == self.orders.len()
            && orders.iter().all(|order| {
                let open = Open { side: side(order.side), price: order.price, open: order.open };
                self.orders.get(&order.order_id) == Some(&open)
            })
    }

    /// Open orders.
    #[must_use]
    pub fn order_count(&self) -> usize {
        self.orders.len()
    }
}

fn same<'a>(levels: impl ExactSizeIterator<Item = (&'a u64, &'a u64)>, recorded: &[Level]) -> bool {
    levels.len() == recorded.len()
        && levels
            .zip(recorded)
            .all(|((price, size), level)| level.price == Price(*price) && level.size == Quantity(*size))
}
