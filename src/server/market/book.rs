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
        let mut book =
            Self { market, orders: HashMap::new(), bids: BTreeMap::new(), asks: BTreeMap::new(), touched: Vec::new() };
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::Ledger;
    use crate::core::command::{Body, CancelOrder, MassCancel, NewOrder, OrderRef, ReplaceOrder, SetMarketPhase};
    use crate::core::fixture::{ANN, BOB, BOLT_USD, Exchange};
    use crate::core::types::{SelfTradePrevention, TimeInForce};

    /// A book as a client keeps it from the snapshot and the changes alone.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct ClientBook(BTreeMap<(u8, Price), Vec<(OrderId, Quantity)>>);

    impl ClientBook {
        fn of(ledger: &Ledger) -> Self {
            let mut book = Self::default();
            for order in ledger.market_orders(BOLT_USD) {
                let resting = Resting::of(order);
                book.0.entry((resting.side.number(), resting.price)).or_default().push((order.id, resting.open));
            }
            book
        }

        fn take(&mut self, change: &OrderChange) {
            let place = (change.now.side.number(), change.now.price);
            let queue = self.0.entry(place).or_default();
            match queue.iter_mut().find(|(id, _)| *id == change.order) {
                Some(order) if !change.requeued && change.now.open > Quantity(0) => order.1 = change.now.open,
                _ => {
                    self.0.values_mut().for_each(|queue| queue.retain(|(id, _)| *id != change.order));
                    if change.now.open > Quantity(0) {
                        self.0.entry(place).or_default().push((change.order, change.now.open));
                    }
                }
            }
            self.0.retain(|_, queue| !queue.is_empty());
        }
    }

    fn new_order() -> impl Strategy<Value = Body> {
        let owner = prop_oneof![Just(ANN), Just(BOB)];
        let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
        let pricing = prop_oneof![
            8 => (95_u64..106).prop_map(|price| Pricing::Limit(Price(price))),
            1 => (95_u64..106).prop_map(|price| Pricing::MarketToPrice(Price(price))),
        ];
        let prevention = proptest::sample::select(SelfTradePrevention::ALL);
        (owner, side, 1_u64..20, pricing, any::<bool>(), prevention).prop_map(
            |(account, side, quantity, pricing, immediate, self_trade_prevention)| {
                let rests = matches!(pricing, Pricing::Limit(_)) && !immediate;
                let time_in_force = if rests { TimeInForce::GoodTillCancel } else { TimeInForce::ImmediateOrCancel };
                Body::NewOrder(NewOrder {
                    account,
                    market: BOLT_USD,
                    side,
                    quantity: Quantity(quantity),
                    pricing,
                    time_in_force,
                    expires_at: None,
                    post_only: false,
                    self_trade_prevention,
                })
            },
        )
    }

    /// What can happen to a book; `nth` picks one of the open orders.
    fn step() -> impl Strategy<Value = (Body, usize)> {
        let owner = || prop_oneof![Just(ANN), Just(BOB)];
        let order = OrderRef::OrderId(OrderId(0));
        let replace = (1_u64..30, proptest::option::of(95_u64..106)).prop_map(move |(quantity, price)| {
            let (quantity, price) = (Quantity(quantity), price.map(Price));
            Body::ReplaceOrder(ReplaceOrder { account: ANN, order, quantity, price })
        });
        let body = prop_oneof![
            12 => new_order(),
            4 => replace,
            3 => Just(Body::CancelOrder(CancelOrder { account: ANN, order })),
            1 => owner().prop_map(|account| Body::MassCancel(MassCancel { account, market: None, side: None })),
            1 => Just(Body::SetMarketPhase(SetMarketPhase { market: BOLT_USD, phase: Phase::Continuous })),
        ];
        (body, any::<prop::sample::Index>()).prop_map(|(body, nth)| (body, nth.index(1_000)))
    }

    /// Aims a command at one of the open orders.
    fn aim(ledger: &Ledger, body: Body, nth: usize) -> Body {
        let open: Vec<(OrderId, AccountId)> =
            ledger.market_orders(BOLT_USD).map(|order| (order.id, order.account)).collect();
        let Some((id, owner)) = (!open.is_empty()).then(|| open[nth % open.len()]) else { return body };
        let order = OrderRef::OrderId(id);
        match body {
            Body::ReplaceOrder(replace) => Body::ReplaceOrder(ReplaceOrder { account: owner, order, ..replace }),
            Body::CancelOrder(_) => Body::CancelOrder(CancelOrder { account: owner, order }),
            other => other,
        }
    }

    fn levels_of(ledger: &Ledger, side: Side) -> Vec<BookLevel> {
        ledger.book(BOLT_USD).expect("the market").levels(side).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn a_snapshot_and_its_changes_are_the_book_at_every_sequence(
            before in prop::collection::vec(step(), 0..30),
            after in prop::collection::vec(step(), 1..60),
        ) {
            let mut exchange = Exchange::new();
            for (body, nth) in before {
                let body = aim(&exchange.ledger, body, nth);
                exchange.send(body);
            }
            let snapshot = exchange.ledger.market_orders(BOLT_USD).map(|order| (order.id, Resting::of(order)));
            let mut book = BookProjection::new(BOLT_USD, snapshot);
            let mut client = ClientBook::of(&exchange.ledger);
            for (body, nth) in after {
                let body = aim(&exchange.ledger, body, nth);
                let record = exchange.send(body);
                let mut changed = Vec::new();
                if let Some(change) = book.take(record.view()) {
                    prop_assert_eq!(change.sequence, record.view().last_sequence());
                    change.orders.iter().for_each(|order| client.take(order));
                    changed = change.levels;
                }
                prop_assert_eq!(&client, &ClientBook::of(&exchange.ledger));
                for side in [Side::Buy, Side::Sell] {
                    let live = levels_of(&exchange.ledger, side);
                    prop_assert_eq!(&book.levels(side).collect::<Vec<_>>(), &live);
                    for (_, level) in changed.iter().filter(|(of, _)| *of == side) {
                        let now = live.iter().find(|live| live.price == level.price);
                        prop_assert_eq!(now.map_or(Quantity(0), |now| now.quantity), level.quantity);
                    }
                }
            }
        }
    }

    #[test]
    fn another_market_changes_nothing() {
        let mut exchange = Exchange::new();
        let mut book = BookProjection::new(MarketId(77), []);
        let order = Body::NewOrder(NewOrder {
            account: ANN,
            market: BOLT_USD,
            side: Side::Buy,
            quantity: Quantity(5),
            pricing: Pricing::Limit(Price(100)),
            time_in_force: TimeInForce::GoodTillCancel,
            expires_at: None,
            post_only: false,
            self_trade_prevention: SelfTradePrevention::CancelNewest,
        });
        assert_eq!(book.take(exchange.send(order).view()), None);
    }
}
