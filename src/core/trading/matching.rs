//! Matching: the incoming order against the other side of the book, best price first, then oldest.

use super::markets::MarketEntry;
use super::orders::{OrderEntry, reservation};
use crate::command::Pricing;
use crate::event::{Effects, EventBody, OrderReduced};
use crate::ledger::Ledger;
use crate::ledger::records::Order;
use crate::state::Table;
use crate::table::Slot;
use crate::types::{CancelReason, Price, Quantity, SelfTradePrevention};

/// Resting orders that one incoming order may meet, and lots that its trades may move: what it does is
/// one record, which has to stay of a size that can be stored and sent.
pub(super) const MATCHES_MAX: u32 = 1 << 16;

impl Ledger {
    /// Matches an accepted order that is in no book. What must not rest is cancelled; what is open
    /// afterwards is to be put into the book.
    pub(super) fn match_incoming(&mut self, market: Slot, taker: &mut OrderEntry, effects: &mut Effects) {
        let mut matches = 0;
        while taker.order.open > Quantity(0) {
            let entry = &self.markets[market];
            let first = entry.book.side(taker.order.side.opposite()).first();
            let Some((price, slot)) = first.filter(|&(price, _)| taker.order.accepts(price)) else {
                break;
            };
            let maker = &self.orders.entries[slot];
            // First whether they would trade: a budget that pays for no lot harms no order of its own.
            let quantity = fill_quantity(entry, &taker.order, price, maker.order.open);
            if quantity == Quantity(0) {
                break;
            }
            matches += 1;
            if matches > MATCHES_MAX {
                // Resting, it would cross the book.
                self.end_order(taker, CancelReason::MatchLimit, effects);
                break;
            }
            if maker.owner == taker.owner {
                self.prevent_self_trade(market, taker, slot, effects);
                continue;
            }
            matches += self.trade(market, taker, slot, quantity, effects);
        }
        if taker.order.open > Quantity(0) && !taker.order.rests() {
            self.end_order(taker, CancelReason::NotFilled, effects);
        }
    }

    /// Takes quantity off the incoming order, off the account's own resting order, or off both, so
    /// that they do not meet.
    fn prevent_self_trade(&mut self, market: Slot, taker: &mut OrderEntry, maker: Slot, effects: &mut Effects) {
        match taker.order.self_trade_prevention {
            SelfTradePrevention::CancelNewest => self.end_order(taker, CancelReason::SelfTrade, effects),
            SelfTradePrevention::CancelOldest => self.cancel_resting(maker, CancelReason::SelfTrade, effects),
            SelfTradePrevention::CancelBoth => {
                self.cancel_resting(maker, CancelReason::SelfTrade, effects);
                self.end_order(taker, CancelReason::SelfTrade, effects);
            }
            SelfTradePrevention::Decrement => {
                let resting = self.orders.entries[maker].order.open;
                let common = resting.min(taker.order.open);
                if common == resting {
                    self.cancel_resting(maker, CancelReason::SelfTrade, effects);
                } else {
                    let mut entry = self.orders.entries[maker];
                    self.markets[market].book.side_mut(entry.order.side).reduce(entry.level, common);
                    self.reduce_order(market, &mut entry, common, effects);
                    self.orders.entries[maker] = entry;
                    self.changes.mark(Table::Order, maker);
                }
                if common == taker.order.open {
                    self.end_order(taker, CancelReason::SelfTrade, effects);
                } else {
                    self.reduce_order(market, taker, common, effects);
                }
            }
        }
    }

    fn reduce_order(&mut self, market: Slot, entry: &mut OrderEntry, by: Quantity, effects: &mut Effects) {
        entry.order.open.0 -= by.0;
        self.release_excess(market, entry, effects);
        let Order { id, account, market, open, .. } = entry.order;
        self.emit(EventBody::OrderReduced(OrderReduced { order: id, account, market, reduced: by, open }), effects);
    }

    /// Gives back what an order holds beyond what it needs now.
    pub(super) fn release_excess(&mut self, market: Slot, entry: &mut OrderEntry, effects: &mut Effects) {
        let change = entry.order.reserve_anew(&self.markets[market]);
        if change != 0 {
            self.post(entry.held_in, 0, change, effects);
        }
    }
}

impl Order {
    /// Sets what an order holds to what it needs now, after a fill or a reduction; answers the change.
    pub(super) fn reserve_anew(&mut self, market: &MarketEntry) -> i64 {
        let before = self.reserved;
        self.reserved = reservation(self, market).expect("what is open less was in range when it was more");
        self.reserved.0 - before.0
    }
}

/// How much the incoming order takes of a resting one: all that both have open, or as many whole
/// lots as its budget pays for, fee included.
pub(super) fn fill_quantity(entry: &MarketEntry, taker: &Order, price: Price, maker_open: Quantity) -> Quantity {
    let most = taker.open.min(maker_open);
    let Pricing::MarketForBudget(budget) = taker.pricing else {
        return most;
    };
    let left = i128::from(taker.budget_left(budget));
    let is_affordable = |quantity| {
        let notional = entry.notional(price, quantity);
        notional.is_some_and(|notional| taker.cost_of(notional, &entry.market) <= left)
    };
    if is_affordable(most) {
        return most;
    }
    // The cost rises with the quantity: halve the lots between what is affordable and what is not.
    let lot = entry.market.lot.0;
    let (mut affordable, mut too_many) = (0, most.0 / lot);
    while too_many - affordable > 1 {
        let middle = affordable + (too_many - affordable) / 2;
        if is_affordable(Quantity(middle * lot)) {
            affordable = middle;
        } else {
            too_many = middle;
        }
    }
    Quantity(affordable * lot)
}

#[cfg(test)]
mod tests {
    use crate::command::{Body, NewOrder, Pricing};
    use crate::event::EventBody;
    use crate::fixture::{ANN, BOB, BOLT, BOLT_USD, Exchange, FUNDS, ISSUER, USD, limit};
    use crate::rejection::Rejection;
    use crate::types::{Amount, CancelReason, OrderId, Price, Quantity, SelfTradePrevention, Side, TimeInForce};

    fn budget(quantity: u64, budget: i64) -> NewOrder {
        let pricing = Pricing::MarketForBudget(Amount(budget));
        NewOrder { pricing, time_in_force: TimeInForce::ImmediateOrCancel, ..limit(BOB, Side::Buy, quantity, 1) }
    }

    fn trades(events: &[EventBody]) -> Vec<(OrderId, Price, Quantity)> {
        let trade = |event: &EventBody| match event {
            EventBody::Trade(trade) => Some((trade.maker, trade.price, trade.quantity)),
            _ => None,
        };
        events.iter().filter_map(trade).collect()
    }

    #[test]
    fn a_budget_buys_the_most_that_it_pays_for_with_fees() {
        for (money, bought) in [(1_009, 9), (1_010, 10), (1_011, 10), (3_050, 29), (3_051, 30), (100, 0)] {
            let mut exchange = Exchange::with_fees(0, 10_000);
            exchange.enter(limit(ANN, Side::Sell, 20, 100));
            exchange.enter(limit(ANN, Side::Sell, 20, 102));
            exchange.enter(budget(1_000, money));
            let (base, _) = exchange.balance(BOB, BOLT);
            assert_eq!(base - FUNDS, bought, "for {money}");
            let (quote, reserved) = exchange.balance(BOB, USD);
            assert!(FUNDS - quote <= money && reserved == 0);
        }
    }

    #[test]
    fn a_budget_that_pays_for_no_lot_leaves_the_accounts_own_order_alone() {
        let mut exchange = Exchange::new();
        let (own, _) = exchange.enter(limit(BOB, Side::Sell, 5, 100));
        let order = |money| NewOrder { self_trade_prevention: SelfTradePrevention::CancelBoth, ..budget(5, money) };
        exchange.enter(order(99));
        assert!(exchange.ledger.order(own).is_some());
        exchange.enter(order(100));
        assert!(exchange.ledger.order(own).is_none());
    }

    #[test]
    fn a_budget_stops_at_its_quantity() {
        let mut exchange = Exchange::new();
        exchange.enter(limit(ANN, Side::Sell, 20, 100));
        let (_, events) = exchange.enter(budget(3, 100_000));
        assert_eq!(events.len(), 1, "a trade and nothing to cancel");
        assert_eq!(exchange.balance(BOB, USD), (FUNDS - 300, 0));
    }

    #[test]
    fn an_order_meets_no_more_orders_than_one_record_can_hold() {
        let sweep = |time_in_force| {
            let mut exchange = Exchange::new();
            let pair = [ANN, ISSUER].map(|account| Body::NewOrder(limit(account, Side::Sell, 1, 1)));
            exchange.propose(false, vec![pair; super::MATCHES_MAX as usize / 2].concat());
            exchange.enter(limit(ANN, Side::Sell, 1, 1));
            let order = limit(BOB, Side::Buy, u64::from(super::MATCHES_MAX) + 1, 1);
            let record = exchange.send(Body::NewOrder(NewOrder { time_in_force, ..order }));
            (exchange, record)
        };
        let (exchange, record) = sweep(TimeInForce::GoodTillCancel);
        let bodies: Vec<_> = record.events.iter().map(|event| event.body.clone()).collect();
        assert_eq!(trades(&bodies).len(), super::MATCHES_MAX as usize);
        let Some(EventBody::OrderCancelled(end)) = bodies.last() else { panic!("{:?}", bodies.last()) };
        assert_eq!((end.open, end.reason), (Quantity(1), CancelReason::MatchLimit));
        assert_eq!(exchange.balance(BOB, USD).1, 0);
        exchange.ledger.check_invariants().expect("sound");

        let (_, record) = sweep(TimeInForce::FillOrKill);
        assert_eq!(
            record.events.last().map(|event| event.body.clone()),
            Some(EventBody::Rejected(Rejection::NotFillable))
        );
    }

    #[test]
    fn better_prices_trade_first_and_older_orders_before_younger_ones() {
        let mut exchange = Exchange::new();
        let entered = [(102, 5), (101, 5), (101, 7), (103, 5)]
            .map(|(price, quantity)| exchange.enter(limit(ANN, Side::Sell, quantity, price)).0);
        let (_, events) = exchange.enter(limit(BOB, Side::Buy, 15, 102));
        let expected = [
            (entered[1], Price(101), Quantity(5)),
            (entered[2], Price(101), Quantity(7)),
            (entered[0], Price(102), Quantity(3)),
        ];
        assert_eq!(trades(&events), expected);
        let levels: Vec<_> = exchange.ledger.book(BOLT_USD).expect("it is there").levels(Side::Sell).collect();
        assert_eq!(
            levels.iter().map(|level| (level.price.0, level.quantity.0)).collect::<Vec<_>>(),
            [(102, 2), (103, 5)]
        );
    }

    #[test]
    fn a_fill_or_kill_counts_only_what_it_would_reach() {
        let fok = |quantity, prevention| NewOrder {
            time_in_force: TimeInForce::FillOrKill,
            self_trade_prevention: prevention,
            ..limit(BOB, Side::Buy, quantity, 105)
        };
        // Ann 5, Bob 5, Ann 5, in this order.
        let book = || {
            let mut exchange = Exchange::new();
            for (account, price) in [(ANN, 100), (BOB, 101), (ANN, 102)] {
                exchange.enter(limit(account, Side::Sell, 5, price));
            }
            exchange
        };
        for prevention in SelfTradePrevention::ALL.iter().copied() {
            let reachable = if prevention == SelfTradePrevention::CancelOldest { 10 } else { 5 };
            let (_, events) = book().enter(fok(reachable, prevention));
            assert_eq!(trades(&events).iter().map(|(_, _, quantity)| quantity.0).sum::<u64>(), reachable);
            let mut exchange = book();
            let more = Body::NewOrder(fok(reachable + 1, prevention));
            assert_eq!(exchange.refuse(more), Rejection::NotFillable, "{prevention:?}");
        }
    }

    #[test]
    fn a_fill_or_kill_with_a_budget_must_pay_for_the_whole() {
        for (money, is_filled) in [(1_525, false), (1_526, true)] {
            let mut exchange = Exchange::with_fees(0, 10_000);
            exchange.enter(limit(ANN, Side::Sell, 10, 100));
            exchange.enter(limit(ANN, Side::Sell, 10, 102));
            let order = NewOrder { time_in_force: TimeInForce::FillOrKill, ..budget(15, money) };
            // 1,000 + 510, and 15.1 of fees rounded up.
            let record = exchange.send(Body::NewOrder(order));
            assert_eq!(!matches!(record.events[0].body, EventBody::Rejected(_)), is_filled);
        }
    }
}
