//! Whether a fill-or-kill order can be filled whole: asked before it is accepted, so that one that
//! cannot leaves no trace but its rejection.

use super::fees;
use super::markets::MarketEntry;
use super::matching::{MATCHES_MAX, fill_quantity};
use crate::ledger::Ledger;
use crate::ledger::records::Order;
use crate::types::{Quantity, SelfTradePrevention};

/// Lots of which a trade takes a part, one of each side.
const LOTS_SPLIT: u32 = 2;

impl Ledger {
    /// Goes through the book as matching would. Meeting an order of its own account ends it, except
    /// when that one is to be cancelled and the incoming goes on.
    pub(super) fn can_fill(&self, market: &MarketEntry, order: &Order) -> bool {
        let others = market.book.side(order.side.opposite());
        // Levels are few: refuse by their sums before looking at single orders.
        let within_limit = others.levels().take_while(|level| order.accepts(level.price));
        if within_limit.map(|level| u128::from(level.quantity.0)).sum::<u128>() < u128::from(order.open.0) {
            return false;
        }
        let mut taker = *order;
        // At most what matching will count, lots and receipts included: it does not stop before the order is filled.
        let tracked = [market.base, market.quote].into_iter().any(|asset| self.balances.tracks_lots(asset));
        let given = self.assets[market.given(order.side)].id;
        let own = self.balances.entries.slot((order.account, given));
        let mut met = own.filter(|_| tracked).map_or(0, |balance| self.production.lots.count(balance));
        for slot in others.slots(&self.orders.entries) {
            let entry = &self.orders.entries[slot];
            met += 1 + u32::from(self.production.purchases.are_linked());
            if tracked {
                met += LOTS_SPLIT + self.production.lots.count(entry.held_in);
            }
            if met > MATCHES_MAX {
                return false;
            }
            let maker = &entry.order;
            let Some(price) = maker.limit().filter(|&price| taker.accepts(price)) else {
                return false;
            };
            if maker.account == taker.account {
                if taker.self_trade_prevention == SelfTradePrevention::CancelOldest {
                    continue;
                }
                return false;
            }
            let quantity = fill_quantity(market, &taker, price, maker.open);
            if quantity != maker.open.min(taker.open) {
                return false;
            }
            let notional = market.notional(price, quantity).expect("part of what the maker was admitted with");
            let (fee, _) = fees::of_trade(&market.market, &taker, maker, notional);
            taker.fill(market, quantity, notional, fee);
            if taker.open == Quantity(0) {
                return true;
            }
        }
        false
    }
}
