//! The end of orders before they are filled, and the books' bookkeeping for all that come and go.

use super::orders::OrderEntry;
use crate::command::{CancelOrder, CommandKey, MassCancel, OrderRef, Scope};
use crate::event::{Effects, EventBody, MassCancelled, OrderCancelled};
use crate::ledger::Ledger;
use crate::ledger::records::Order;
use crate::planted::{self, Mistake};
use crate::rejection::Rejection;
use crate::state::{History, Table};
use crate::table::Slot;
use crate::types::{AccountId, Amount, CancelReason, OrderId, Quantity};

impl Ledger {
    /// Goes on in every phase of the market.
    pub(crate) fn cancel_order(
        &mut self,
        cancel: &CancelOrder,
        history: &impl History,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        self.known_account(cancel.account)?;
        let slot = self.find_open(cancel.account, cancel.order, history)?;
        self.cancel_resting(slot, CancelReason::Requested, effects);
        Ok(())
    }

    /// Cancels in the order of the order ids.
    pub(crate) fn mass_cancel(&mut self, cancel: &MassCancel, effects: &mut Effects) -> Result<(), Rejection> {
        let owner = self.known_account(cancel.account)?;
        if cancel.market.is_some_and(|market| self.markets.slot(market).is_none()) {
            return Err(Rejection::UnknownMarket);
        }
        let is_named = |order: &Order| {
            cancel.market.is_none_or(|market| market == order.market)
                && cancel.side.is_none_or(|side| side == order.side)
        };
        let count = self.cancel_all(owner, is_named, CancelReason::MassCancel, effects);
        let MassCancel { account, market, side } = *cancel;
        self.emit(EventBody::MassCancelled(MassCancelled { account, market, side, count }), effects);
        Ok(())
    }

    /// Cancels an account's open orders that `is_named`, by order id; answers how many.
    pub(crate) fn cancel_all(
        &mut self,
        owner: Slot,
        is_named: impl Fn(&Order) -> bool,
        reason: CancelReason,
        effects: &mut Effects,
    ) -> u32 {
        let open = self.accounts[owner].orders.iter(&self.orders.entries);
        let named: Vec<Slot> = open.filter(|&slot| is_named(&self.orders.entries[slot].order)).collect();
        for &slot in &named {
            self.cancel_resting(slot, reason, effects);
        }
        named.len() as u32
    }

    /// Takes an order out of the book and ends it.
    pub(crate) fn cancel_resting(&mut self, slot: Slot, reason: CancelReason, effects: &mut Effects) {
        let market = self.markets.slot(self.orders.entries[slot].order.market).expect("markets stay for ever");
        let mut entry = self.delist(market, slot);
        self.end_order(&mut entry, reason, effects);
    }

    /// Ends an order that is in no book: gives back what it holds, and says so.
    pub(super) fn end_order(&mut self, entry: &mut OrderEntry, reason: CancelReason, effects: &mut Effects) {
        let Order { id, account, market, open, reserved, .. } = entry.order;
        if reserved != Amount(0) && !planted::is(Mistake::ReservationKept) {
            self.post(entry.held_in, 0, -reserved.0, effects);
        }
        entry.order.open = Quantity(0);
        entry.order.reserved = Amount(0);
        self.emit(EventBody::OrderCancelled(OrderCancelled { order: id, account, market, open, reason }), effects);
    }

    /// The slot of an account's open order.
    ///
    /// # Errors
    /// [`Rejection::OrderNotOpen`] for what was there once: the ledger keeps no closed orders, so
    /// any event's number up to now counts as one. [`Rejection::UnknownOrder`] otherwise, and for
    /// the open order of another account.
    pub(crate) fn find_open(
        &self,
        account: AccountId,
        named: OrderRef,
        history: &impl History,
    ) -> Result<Slot, Rejection> {
        let (slot, was_there) = match named {
            OrderRef::OrderId(id) => {
                let past = id > OrderId(0) && id.0 <= self.sequence().0;
                (self.orders.slot(id), past)
            }
            OrderRef::ClientOrderId(id) => {
                let slot = self.orders.slot_by_client_id(account, id);
                let key = CommandKey { scope: Scope::Trading, account, id };
                (slot, slot.is_none() && history.find(&key).is_some())
            }
        };
        match slot {
            Some(slot) if self.orders.entries[slot].order.account == account => Ok(slot),
            None if was_there => Err(Rejection::OrderNotOpen),
            _ => Err(Rejection::UnknownOrder),
        }
    }

    /// Puts an order that is open after matching among the open ones and into the book.
    pub(super) fn enlist(&mut self, market: Slot, entry: OrderEntry) {
        let slot = self.orders.insert(entry);
        self.accounts[entry.owner].orders.push_back(&mut self.orders.entries, slot);
        self.deadlines.extend(entry.deadline());
        self.enqueue(market, slot);
    }

    /// Puts an open order into the book, behind the others of its price.
    pub(super) fn enqueue(&mut self, market: Slot, slot: Slot) {
        let side = self.orders.entries[slot].order.side;
        self.markets[market].book.side_mut(side).insert(&mut self.orders.entries, slot);
        self.changes.mark(Table::Order, slot);
    }

    /// Takes an open order out of the book; it stays open.
    pub(super) fn dequeue(&mut self, market: Slot, slot: Slot) {
        let side = self.orders.entries[slot].order.side;
        self.markets[market].book.side_mut(side).remove(&mut self.orders.entries, slot);
    }

    /// Takes an order out of the book and from among the open ones.
    pub(super) fn delist(&mut self, market: Slot, slot: Slot) -> OrderEntry {
        self.dequeue(market, slot);
        self.forget(slot)
    }

    /// Takes an order that is in no book from among the open ones.
    pub(super) fn forget(&mut self, slot: Slot) -> OrderEntry {
        let owner = self.orders.entries[slot].owner;
        self.accounts[owner].orders.remove(&mut self.orders.entries, slot);
        let entry = self.orders.remove(slot);
        if let Some(deadline) = entry.deadline() {
            self.deadlines.remove(&deadline);
        }
        self.changes.mark(Table::Order, slot);
        entry
    }
}
