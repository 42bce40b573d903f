//! A market's book as a projection of the journal: a snapshot at a sequence, and what each record
//! behind it changes. No I/O; the streams feed it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
    /// Its place among the orders at its price: the event that put it at the end of the queue.
    pub priority: Sequence,
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
    /// What the record at hand has touched, in the order in which it began to.
    touched: Vec<Touched>,
    /// Where in `touched` an order stands. A record may touch as many as a mass cancel ends.
    touched_at: HashMap<OrderId, usize>,
}

/// An order that the record at hand has touched.
#[derive(Debug, Clone, Copy)]
struct Touched {
    order: OrderId,
    /// What it was before the record; nothing when it was not in the book.
    before: Option<Resting>,
    /// It was queued anew.
    requeued: bool,
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
            touched_at: HashMap::new(),
        };
        for (id, resting) in orders {
            if let Some(known) = book.orders.insert(id, resting) {
                book.take_from_level(&known);
            }
            book.add_to_level(&resting);
        }
        book
    }

    /// The orders of a side in the order in which they would trade.
    #[must_use]
    pub fn queue(&self, side: Side) -> Vec<(OrderId, Resting)> {
        let of_side = self.orders.iter().filter(|(_, resting)| resting.side == side);
        let mut queue: Vec<(OrderId, Resting)> = of_side.map(|(id, resting)| (*id, *resting)).collect();
        match side {
            Side::Buy => queue.sort_unstable_by_key(|(_, it)| (std::cmp::Reverse(it.price), it.priority)),
            Side::Sell => queue.sort_unstable_by_key(|(_, it)| (it.price, it.priority)),
        }
        queue
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

    /// Takes the next record in; what it changed, or nothing when it is not about this book. Events say what
    /// an order is after them, so that a record may be taken in that some of the orders have behind them
    /// already, if all that follow are taken in too.
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
                    let resting =
                        Resting { account: new.account, side: new.side, price, open: new.quantity, priority: sequence };
                    let before = self.orders.insert(id, resting);
                    self.touch(id, before);
                }
                EventBody::Trade(trade) if trade.market == self.market => {
                    last_price = Some(trade.price);
                    self.trade(trade);
                }
                EventBody::OrderReplaced(replaced) if replaced.market == self.market => {
                    self.replace(sequence, replaced);
                }
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

    fn replace(&mut self, sequence: Sequence, replaced: &OrderReplaced) {
        self.set_open(replaced.order, replaced.open);
        let Some(resting) = self.orders.get_mut(&replaced.order) else { return };
        resting.price = replaced.price;
        if !replaced.priority_kept {
            resting.priority = sequence;
            if let Some(touched) = self.touched_at.get(&replaced.order).and_then(|at| self.touched.get_mut(*at)) {
                touched.requeued = true;
            }
        }
    }

    fn set_open(&mut self, id: OrderId, open: Quantity) {
        let Some(resting) = self.orders.get_mut(&id) else { return };
        let before = *resting;
        resting.open = open;
        self.touch(id, Some(before));
    }

    /// Notes what an order was, unless the record at hand has touched it before.
    fn touch(&mut self, order: OrderId, before: Option<Resting>) {
        self.touched_at.entry(order).or_insert_with(|| {
            self.touched.push(Touched { order, before, requeued: false });
            self.touched.len() - 1
        });
    }

    /// Turns what was touched into changes of orders and levels.
    fn settle(&mut self, sequence: Sequence, last_price: Option<Price>, phase: Option<Phase>) -> Option<BookChange> {
        let mut orders = Vec::with_capacity(self.touched.len());
        let mut levels = BTreeSet::new();
        // A map keeps its size when it is cleared, and clearing a large one for every small record is slow.
        drop(std::mem::take(&mut self.touched_at));
        for Touched { order: id, before, requeued } in std::mem::take(&mut self.touched) {
            let Some(now) = self.orders.get(&id).copied() else { continue };
            if let Some(before) = &before {
                self.take_from_level(before);
                levels.insert((before.side, before.price));
            }
            if now.open > Quantity(0) {
                self.add_to_level(&now);
                levels.insert((now.side, now.price));
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
        Self { account: order.account, side: order.side, price, open: order.open, priority: order.priority }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::exchange::{ANN, BOB, BOLT_USD, Exchange};
    use super::*;
    use crate::core::Ledger;
    use crate::core::command::{Body, CancelOrder, MassCancel, NewOrder, OrderRef, ReplaceOrder, SetMarketPhase};
    use crate::core::event::{Event, OrderCancelled, Record};
    use crate::core::types::{CancelReason, LogIndex, SelfTradePrevention, Stamp, Term, TimeInForce, Timestamp};

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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn orders_taken_a_few_at_a_time_and_the_records_since_are_the_book(
            before in prop::collection::vec(step(), 0..30),
            between in prop::collection::vec(step(), 1..30),
            share in 0_u32..=100,
        ) {
            let mut exchange = Exchange::new();
            let send = |exchange: &mut Exchange, (body, nth): (Body, usize)| {
                let body = aim(&exchange.ledger, body, nth);
                exchange.send(body)
            };
            before.into_iter().for_each(|step| drop(send(&mut exchange, step)));
            let taken = |exchange: &Exchange, places: std::ops::Range<u32>| {
                let orders = exchange.ledger.market_orders_in(BOLT_USD, places);
                orders.map(|order| (order.id, Resting::of(order))).collect::<Vec<_>>()
            };
            let cut = exchange.ledger.order_places() * share / 100;
            let mut orders = taken(&exchange, 0..cut);
            let records: Vec<_> = between.into_iter().map(|step| send(&mut exchange, step)).collect();
            orders.extend(taken(&exchange, cut..exchange.ledger.order_places()));
            let mut book = BookProjection::new(BOLT_USD, orders);
            records.iter().for_each(|record| drop(book.take(record.view())));
            for side in [Side::Buy, Side::Sell] {
                let live = exchange.ledger.book(BOLT_USD).expect("the market").orders(side);
                prop_assert_eq!(book.queue(side), live.map(|order| (order.id, Resting::of(order))).collect::<Vec<_>>());
                prop_assert_eq!(&book.levels(side).collect::<Vec<_>>(), &levels_of(&exchange.ledger, side));
            }
        }
    }

    /// One record can end as many orders as an account has. Looking for each among all would take hours.
    #[test]
    fn a_mass_cancel_of_very_many_orders_is_taken_in_at_once() {
        const ORDERS: u64 = 300_000;
        let resting = |id: u64| Resting {
            account: ANN,
            side: Side::Buy,
            price: Price(id),
            open: Quantity(1),
            priority: Sequence(id),
        };
        let mut book = BookProjection::new(BOLT_USD, (1..=ORDERS).map(|id| (OrderId(id), resting(id))));
        let events = (1..=ORDERS).map(|id| {
            let (order, reason) = (OrderId(id), CancelReason::MassCancel);
            let cancelled = OrderCancelled { order, account: ANN, market: BOLT_USD, open: Quantity(1), reason };
            Event { body: EventBody::OrderCancelled(cancelled), postings_end: 0 }
        });
        let stamp = Stamp { term: Term(1), index: LogIndex(1), time: Timestamp(1) };
        let sequence = Sequence(ORDERS + 1);
        let record = Record { sequence, stamp, origin: None, events: events.collect(), postings: Vec::new() };
        let change = book.take(record.view()).expect("it changes the book");
        assert_eq!((change.orders.len() as u64, change.levels.len() as u64), (ORDERS, ORDERS));
        assert!(book.levels(Side::Buy).next().is_none());
        for id in [1, ORDERS / 2, ORDERS] {
            let (body, postings) = record.view().event(Sequence(ORDERS + id)).expect("it is in the record");
            assert!(matches!(body, EventBody::OrderCancelled(it) if it.order == OrderId(id)) && postings.is_empty());
        }
        assert_eq!(record.view().event(Sequence(2 * ORDERS + 1)), None);
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
