//! Replacing an open order: in place when that harms nobody behind it, as a new arrival otherwise.

use super::entry::{check_room, check_terms};
use super::orders::OrderEntry;
use crate::command::{Pricing, ReplaceOrder};
use crate::event::{Effects, EventBody, OrderReplaced};
use crate::ledger::Ledger;
use crate::ledger::records::Order;
use crate::rejection::Rejection;
use crate::state::{History, Table};
use crate::table::Slot;
use crate::types::{CancelReason, Quantity};

impl Ledger {
    /// The quantity asked for is the new total: what is filled already is part of it, so that a fill
    /// on the way never makes the order larger than its owner meant. When nothing is left to be
    /// open, the order is cancelled.
    pub(crate) fn replace_order(
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

#[cfg(test)]
mod tests {
    use crate::command::{Body, CancelOrder, NewOrder, OrderRef, ReplaceOrder};
    use crate::event::{EventBody, OrderReplaced};
    use crate::fixture::{ANN, BOB, BOLT_USD, Exchange, FUNDS, USD, limit};
    use crate::rejection::Rejection;
    use crate::types::{AccountId, CancelReason, CommandId, OrderId, Price, Quantity, Side};

    fn replace(account: AccountId, order: OrderId, quantity: u64, price: Option<u64>) -> Body {
        let (order, price) = (OrderRef::OrderId(order), price.map(Price));
        Body::ReplaceOrder(ReplaceOrder { account, order, quantity: Quantity(quantity), price })
    }

    fn replaced(event: &EventBody) -> &OrderReplaced {
        match event {
            EventBody::OrderReplaced(replaced) => replaced,
            other => panic!("{other:?}"),
        }
    }

    fn queue(exchange: &Exchange) -> Vec<OrderId> {
        exchange.ledger.market_orders(BOLT_USD).map(|order| order.id).collect()
    }

    #[test]
    fn only_less_at_the_same_price_keeps_the_place() {
        for (quantity, price, keeps) in
            [(9, None, true), (10, Some(90), true), (11, None, false), (9, Some(89), false), (9, Some(91), false)]
        {
            let mut exchange = Exchange::new();
            let [first, second] = [(); 2].map(|()| exchange.enter(limit(ANN, Side::Buy, 10, 90)).0);
            let events = exchange.accept(replace(ANN, first, quantity, price));
            assert_eq!(replaced(&events[0]).priority_kept, keeps);
            let expected = if keeps || price == Some(91) { [first, second] } else { [second, first] };
            assert_eq!(queue(&exchange), expected, "{quantity} at {price:?}");
            let held = quantity * price.unwrap_or(90) + 900;
            assert_eq!(exchange.balance(ANN, USD), (FUNDS, held as i64));
        }
    }

    #[test]
    fn what_was_filled_is_part_of_the_new_total() {
        let mut exchange = Exchange::new();
        let (order, _) = exchange.enter(limit(ANN, Side::Buy, 10, 90));
        exchange.enter(limit(BOB, Side::Sell, 4, 90));
        let events = exchange.accept(replace(ANN, order, 7, None));
        assert_eq!((replaced(&events[0]).open, replaced(&events[0]).quantity), (Quantity(3), Quantity(7)));
        let events = exchange.accept(replace(ANN, order, 4, None));
        assert!(matches!(&events[..], [EventBody::OrderCancelled(ended)]
            if ended.open == Quantity(3) && ended.reason == CancelReason::Requested));
        assert_eq!(exchange.balance(ANN, USD), (FUNDS - 360, 0));
        assert_eq!(exchange.refuse(replace(ANN, order, 9, None)), Rejection::OrderNotOpen);
    }

    #[test]
    fn a_new_price_that_crosses_trades_at_once_and_rests_behind() {
        let mut exchange = Exchange::new();
        let (buy, _) = exchange.enter(limit(ANN, Side::Buy, 10, 90));
        exchange.enter(limit(BOB, Side::Sell, 4, 95));
        let events = exchange.accept(replace(ANN, buy, 10, Some(96)));
        assert!(matches!(&events[1], EventBody::Trade(trade) if trade.price == Price(95) && trade.taker == buy));
        let order = exchange.ledger.order(buy).copied().expect("it rests");
        assert_eq!((order.open, order.filled, order.reserved.0), (Quantity(6), Quantity(4), 6 * 96));
    }

    #[test]
    fn a_replace_that_is_refused_leaves_the_order_alone() {
        let mut exchange = Exchange::new();
        let post_only = NewOrder { post_only: true, ..limit(ANN, Side::Buy, 10, 90) };
        let (order, _) = exchange.enter(post_only);
        exchange.enter(limit(BOB, Side::Sell, 4, 95));
        let unknown = OrderId(exchange.ledger.sequence().0 + 100);
        for (body, reason) in [
            (replace(ANN, order, 10, Some(95)), Rejection::PostOnlyWouldTrade),
            (replace(ANN, order, 20_000, None), Rejection::InsufficientAvailable),
            (replace(ANN, order, 10, Some(0)), Rejection::PriceNotOnTick),
            (replace(ANN, order, 0, None), Rejection::QuantityNotInLots),
            (replace(ANN, order, u64::MAX, None), Rejection::Overflow),
            (replace(BOB, order, 5, None), Rejection::UnknownOrder),
            (replace(ANN, unknown, 5, None), Rejection::UnknownOrder),
        ] {
            assert_eq!(exchange.refuse(body), reason);
        }
    }

    #[test]
    fn an_order_is_found_by_the_client_id_of_its_own_account_alone() {
        let mut exchange = Exchange::new();
        let record = exchange.send(Body::NewOrder(limit(ANN, Side::Buy, 10, 90)));
        let id = record.origin.expect("a command's record has an origin").key.id;
        let cancel = |account, id| Body::CancelOrder(CancelOrder { account, order: OrderRef::ClientOrderId(id) });
        assert_eq!(exchange.refuse(cancel(BOB, id)), Rejection::UnknownOrder);
        assert_eq!(exchange.refuse(cancel(ANN, CommandId(9_999))), Rejection::UnknownOrder);
        exchange.accept(cancel(ANN, id));
        assert_eq!(exchange.refuse(cancel(ANN, id)), Rejection::OrderNotOpen);
    }
}
