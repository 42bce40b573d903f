//! A market's book as a projection of the journal: a snapshot at a sequence, and what each record
//! behind it changes. No I/O; the streams feed it.

use std::collections::{BTreeMap, HashMap};

use crate::core::command::Pricing;
use crate::core::event::{EventBody, OrderReplaced, RecordView, Trade};
use crate::core::ledger::records::Order;
use crate::core::trading::BookLevel;
use crate::core::types::{AccountId, MarketId, OrderId, Phase, Price, Quantity, Sequence, Side};

/// A resting order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resting {
    /// Whose.
    pub account: AccountId,
    /// Which way.
    pub side: Side,
    /// Its limit.
    pub price: Price,
    /// What is open.
    pub open: Quantity,
}

/// An order as it is after a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderChange {
    /// Which.
    pub order: OrderId,
    /// Its terms now; gone when nothing is open.
    pub now: Resting,
    /// It went to the end of its price's queue.
    pub requeued: bool,
}

/// What a record changed in the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookChange {
    /// The record's last event.
    pub sequence: Sequence,
    /// The orders that changed, each once, in the order in which they began to.
    pub orders: Vec<OrderChange>,
    /// The levels that changed, as they are now; one of quantity zero is gone.
    pub levels: Vec<(Side, BookLevel)>,
    /// The price of the last trade, if there was one.
    pub last_price: Option<Price>,
    /// The phase, if it changed.
    pub phase: Option<Phase>,
}

/// A level as the projection keeps it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Level {
    quantity: u64,
    orders: u32,
}

/// One market's book.
#[derive(Debug, Clone)]
pub struct BookProjection {
    market: MarketId,
    orders: HashMap<OrderId, Resting>,
    bids: BTreeMap<Price, Level>,
    asks: BTreeMap<Price, Level>,
    /// What the record at hand has touched: the order, what it was, whether it was queued anew.
    touched: Vec<(OrderId, Option<Resting>, bool)>,
}

impl BookProjection {
    /// The book that a snapshot shows.
    #[must_use]
    pub fn new(market: MarketId, orders: impl IntoIterator<Item = (OrderId, Resting)>) -> Self {
        let mut book = Self {
            market,
            orders: HashMap::new(),
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
            touched: Vec::new(),
        };
        for (id, resting) in orders {
            book.orders.insert(id, resting);
            book.add_to_level(&resting);
        }
        book
    }

    /// The levels of a side, best first.
    pub fn levels(&self, side: Side) -> Box<dyn Iterator<Item = BookLevel> + '_> {
        let read = |(price, level): (&Price, &Level)| BookLevel {
            price: *price,
            quantity: Quantity(level.quantity),
            orders: level.orders,
        };
        match side {
            Side::Buy => Box::new(self.bids.iter().rev().map(read)),
            Side::Sell => Box::new(self.asks.iter().map(read)),
        }
    }

    /// Takes the next record in; what it changed, or nothing when it is not about this book.
    pub fn take(&mut self, record: RecordView<'_>) -> Option<BookChange> {
        let mut last_price = None;
        let mut phase = None;
        for (sequence, body, _) in record.events() {
            match body {
                EventBody::OrderAccepted(accepted) if accepted.order.market == self.market => {
                    let id = OrderId(sequence.0);
                    let price = match accepted.order.pricing {
                        Pricing::Limit(price) | Pricing::MarketToPrice(price) => price,
                        Pricing::MarketForBudget(_) => Price(0),
                    };
                    let new = &accepted.order;
                    let resting = Resting { account: new.account, side: new.side, price, open: new.quantity };
                    self.touched.push((id, None, false));
                    self.orders.insert(id, resting);
                }
                EventBody::Trade(trade) if trade.market == self.market => {
                    last_price = Some(trade.price);
                    self.trade(trade);
                }
                EventBody::OrderReplaced(replaced) if replaced.market == self.market => self.replace(replaced),
                EventBody::OrderReduced(reduced) if reduced.market == self.market => {
                    self.set_open(reduced.order, reduced.open);
                }
                EventBody::OrderCancelled(cancelled) if cancelled.market == self.market => {
                    self.set_open(cancelled.order, Quantity(0));
                }
                EventBody::MarketPhaseSet(set) if set.market == self.market => phase = Some(set.phase),
                _ => {}
            }
        }
        self.settle(record.last_sequence(), last_price, phase)
    }

    fn trade(&mut self, trade: &Trade) {
        self.set_open(trade.maker, trade.maker_open);
        self.set_open(trade.taker, trade.taker_open);
    }

    fn replace(&mut self, replaced: &OrderReplaced) {
        self.set_open(replaced.order, replaced.open);
        if let Some(resting) = self.orders.get_mut(&replaced.order) {
            resting.price = replaced.price;
        }
        if let Some(touched) = self.touched.iter_mut().rev().find(|(id, ..)| *id == replaced.order) {
            touched.2 |= !replaced.priority_kept;
        }
    }

    fn set_open(&mut self, id: OrderId, open: Quantity) {
        let Some(resting) = self.orders.get_mut(&id) else { return };
        // Few orders are touched by a record, and the one that comes in is the first of them.
        if !self.touched.iter().any(|(touched, ..)| *touched == id) {
            self.touched.push((id, Some(*resting), false));
        }
        resting.open = open;
    }

    /// Turns what was touched into changes of orders and levels.
    fn settle(&mut self, sequence: Sequence, last_price: Option<Price>, phase: Option<Phase>) -> Option<BookChange> {
        let mut orders = Vec::with_capacity(self.touched.len());
        let mut levels: Vec<(Side, Price)> = Vec::new();
        let mut note = |resting: &Resting| {
            if !levels.contains(&(resting.side, resting.price)) {
                levels.push((resting.side, resting.price));
            }
        };
        for (id, before, requeued) in std::mem::take(&mut self.touched) {
            let Some(now) = self.orders.get(&id).copied() else { continue };
            if let Some(before) = &before {
                self.take_from_level(before);
                note(before);
            }
            if now.open > Quantity(0) {
                self.add_to_level(&now);
                note(&now);
            } else {
                self.orders.remove(&id);
            }
            if before.is_some() || now.open > Quantity(0) {
                orders.push(OrderChange { order: id, now, requeued });
            }
        }
        if orders.is_empty() && last_price.is_none() && phase.is_none() {
            return None;
        }
        let levels = levels.into_iter().map(|(side, price)| (side, self.level(side, price))).collect();
        Some(BookChange { sequence, orders, levels, last_price, phase })
    }

    fn side_mut(&mut self, side: Side) -> &mut BTreeMap<Price, Level> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    fn level(&self, side: Side, price: Price) -> BookLevel {
        let levels = match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        };
        let level = levels.get(&price).copied().unwrap_or_default();
        BookLevel { price, quantity: Quantity(level.quantity), orders: level.orders }
    }

    fn add_to_level(&mut self, resting: &Resting) {
        let level = self.side_mut(resting.side).entry(resting.price).or_default();
        level.quantity += resting.open.0;
        level.orders += 1;
    }

    fn take_from_level(&mut self, resting: &Resting) {
        let levels = self.side_mut(resting.side);
        if let Some(level) = levels.get_mut(&resting.price) {
            level.quantity -= resting.open.0;
            level.orders -= 1;
            if level.orders == 0 {
                levels.remove(&resting.price);
            }
        }
    }
}

impl Resting {
    /// An open order of the book.
    #[must_use]
    pub fn of(order: &Order) -> Self {
        let price = order.limit().unwrap_or_default();
        Self { account: order.account, side: order.side, price, open: order.open }
    }
}
