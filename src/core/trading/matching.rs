//! Matching: the incoming order against the other side of the book, best price first, then oldest.

use super::markets::MarketEntry;
use super::orders::{OrderEntry, reservation};
use crate::core::command::Pricing;
use crate::core::event::{Effects, EventBody, OrderReduced};
use crate::core::ledger::Ledger;
use crate::core::ledger::records::Order;
use crate::core::state::Table;
use crate::core::table::Slot;
use crate::core::types::{CancelReason, Price, Quantity, SelfTradePrevention};

impl Ledger {
    /// Matches an accepted order that is in no book. What must not rest is cancelled; what is open
    /// afterwards is to be put into the book.
    pub(super) fn match_incoming(&mut self, market: Slot, taker: &mut OrderEntry, effects: &mut Effects) {
        while taker.order.open > Quantity(0) {
            let entry = &self.markets[market];
            let first = entry.book.side(taker.order.side.opposite()).first();
            let Some((price, slot)) = first.filter(|&(price, _)| taker.order.accepts(price)) else {
                break;
            };
            let maker = &self.orders.entries[slot];
            // A budget that pays for no lot here trades with nobody, its own account included.
            let quantity = fill_quantity(entry, &taker.order, price, maker.order.open);
            if quantity == Quantity(0) {
                break;
            }
            if maker.owner == taker.owner {
                self.prevent_self_trade(market, taker, slot, effects);
            } else {
                self.trade(market, taker, slot, quantity, effects);
            }
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
