//! Replacing an open order: in place when that harms nobody behind it, as a new arrival otherwise.

use super::entry::{check_room, check_terms};
use super::orders::OrderEntry;
use crate::core::command::{Pricing, ReplaceOrder};
use crate::core::event::{Effects, EventBody, OrderReplaced};
use crate::core::ledger::Ledger;
use crate::core::ledger::records::Order;
use crate::core::rejection::Rejection;
use crate::core::state::{History, Table};
use crate::core::table::Slot;
use crate::core::types::{CancelReason, Quantity};

impl Ledger {
    /// The quantity asked for is the new total: what is filled already is part of it, so that a fill
    /// on the way never makes the order larger than its owner meant. When nothing is left to be
    /// open, the order is cancelled.
    pub(in crate::core) fn replace_order(
        &mut self,
        replace: &ReplaceOrder,
        history: &impl History,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        let owner = self.active_account(replace.account)?;
        let slot = self.find_open(replace.account, replace.order, history)?;
        let old = self.orders.entries[slot].order;
        let market = self.open_market(old.market)?;
        let entry = &self.markets[market];
        let pricing = replace.price.map_or(old.pricing, Pricing::Limit);
        let mut new = Order { quantity: replace.quantity, pricing, ..old };
        check_terms(entry, &new)?;
        if new.quantity <= new.filled {
            self.cancel_resting(slot, CancelReason::Requested, effects);
            return Ok(());
        }
        new.open = Quantity(new.quantity.0 - new.filled.0);
        if new.pricing == old.pricing && new.open <= old.open {
            self.shrink(market, slot, new, effects);
            return Ok(());
        }
        self.check_allowed(owner, entry.received_asset(new.side))?;
        new.reserved = check_room(entry, &new, old.open)?;
        let more = new.reserved.0 - old.reserved.0;
        if more > 0 {
            self.check_spend(owner, entry.given(new.side), more)?;
        }
        self.arrive_anew(market, slot, new, effects);
        Ok(())
    }

    /// Lowers the quantity of an order that keeps its place.
    fn shrink(&mut self, market: Slot, slot: Slot, new: Order, effects: &mut Effects) {
        let mut entry = self.orders.entries[slot];
        let less = Quantity(entry.order.open.0 - new.open.0);
        self.markets[market].book.side_mut(new.side).reduce(entry.level, less);
        entry.order = new;
        self.release_excess(market, &mut entry, effects);
        self.orders.entries[slot] = entry;
        self.changes.mark(Table::Order, slot);
        self.emit(replaced(&new, true), effects);
    }

    /// Takes an order out of the book and matches it as if it came now.
    fn arrive_anew(&mut self, market: Slot, slot: Slot, mut new: Order, effects: &mut Effects) {
        self.dequeue(market, slot);
        new.priority = self.next_sequence();
        let OrderEntry { order: old, held_in, .. } = self.orders.entries[slot];
        if new.reserved != old.reserved {
            self.post(held_in, 0, new.reserved.0 - old.reserved.0, effects);
        }
        self.emit(replaced(&new, false), effects);
        let mut taker = self.orders.entries[slot];
        taker.order = new;
        self.match_incoming(market, &mut taker, effects);
        if taker.order.open > Quantity(0) {
            self.orders.entries[slot].order = taker.order;
            self.enqueue(market, slot);
        } else {
            self.forget(slot);
        }
    }
}

fn replaced(order: &Order, priority_kept: bool) -> EventBody {
    EventBody::OrderReplaced(OrderReplaced {
        order: order.id,
        account: order.account,
        market: order.market,
        side: order.side,
        quantity: order.quantity,
        price: order.limit().expect("an order that rests has a limit"),
        open: order.open,
        priority_kept,
    })
}
