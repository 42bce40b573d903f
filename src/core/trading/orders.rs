//! Open orders in memory, and what follows from an order alone: its limit, what it accepts, what it
//! has to reserve.

use super::fees;
use super::markets::MarketEntry;
use crate::command::Pricing;
use crate::ledger::records::Order;
use crate::ledger::slots::{Linked, Links, Slab};
use crate::ledger::{Deadline, Due};
use crate::table::{HashSeed, Index, NO_SLOT, Slot};
use crate::types::{AccountId, Amount, CommandId, OrderId, Price, Quantity, Side, TimeInForce};

/// The list of one account's open orders.
pub const OF_OWNER: u8 = 3;
/// The queue of the orders at one price.
pub const OF_LEVEL: u8 = 4;

/// An order in memory: one that rests in a book, or the incoming one while it is matched.
#[derive(Debug, Clone, Copy)]
pub struct OrderEntry {
    /// The record.
    pub order: Order,
    /// The account's slot.
    pub owner: Slot,
    /// The slot of the balance that holds its reservation.
    pub held_in: Slot,
    /// Its price level while it rests in the book.
    pub level: Slot,
    of_owner: Links,
    of_level: Links,
}

impl OrderEntry {
    /// An entry that stands nowhere yet.
    pub fn new(order: Order, owner: Slot, held_in: Slot) -> Self {
        Self { order, owner, held_in, level: NO_SLOT, of_owner: Links::default(), of_level: Links::default() }
    }

    /// When the order ends by itself.
    pub fn deadline(&self) -> Option<Deadline> {
        self.order.expires_at.map(|at| Deadline { at, due: Due::Order(self.order.id) })
    }
}

impl Linked<OF_OWNER> for OrderEntry {
    fn links(&self) -> &Links {
        &self.of_owner
    }
    fn links_mut(&mut self) -> &mut Links {
        &mut self.of_owner
    }
}

impl Linked<OF_LEVEL> for OrderEntry {
    fn links(&self) -> &Links {
        &self.of_level
    }
    fn links_mut(&mut self) -> &mut Links {
        &mut self.of_level
    }
}

impl Order {
    /// The worst price it trades at; none for a market order with a budget.
    #[must_use]
    pub fn limit(&self) -> Option<Price> {
        match self.pricing {
            Pricing::Limit(price) | Pricing::MarketToPrice(price) => Some(price),
            Pricing::MarketForBudget(_) => None,
        }
    }

    /// Whether it trades at this price.
    pub(super) fn accepts(&self, price: Price) -> bool {
        match (self.limit(), self.side) {
            (None, _) => true,
            (Some(limit), Side::Buy) => price <= limit,
            (Some(limit), Side::Sell) => price >= limit,
        }
    }

    /// Whether what does not trade at once stays in the book.
    pub(super) fn rests(&self) -> bool {
        let stays = matches!(self.time_in_force, TimeInForce::GoodTillCancel | TimeInForce::GoodTillDate);
        stays && matches!(self.pricing, Pricing::Limit(_))
    }

    /// What a market order may still spend of its budget.
    pub(super) fn budget_left(&self, budget: Amount) -> i64 {
        budget.0 - self.filled_notional.0 - self.fee_paid.0
    }
}

/// What an open order holds: base units of a sell, quote units of a buy; `None` when that does not
/// fit 63 bits. It follows from the order alone, and never grows by a fill or a reduction.
///
/// - A sell holds what is open. Its fee is part of what it earns, see [`fees`].
/// - A buy holds what is open at its limit, and the fee that this could still cost at the higher of
///   the market's rates, since a resting rest pays the maker's and a replaced one the taker's.
/// - A market buy with a budget holds what is left of it.
///
/// Why it is enough for a buy. Let `N` be the notional of what is open at the limit, `w` the higher
/// rate, `A` the fee accrued and `F` the fee paid, so that it holds `N + max(0, C - F)` with
/// `C = ⌈A + Nw⌉`. A fill of notional `n` at rate `r ≤ w` takes at least `n` from `N`, so it leaves
/// `C' = ⌈A + nr + N'w⌉ ≤ C`, and the fee then paid in all is at most `max(F, C)`. What it costs and
/// what it leaves to hold is `n + F' - F + N' + max(0, C' - F') = n + N' - F + max(F', C')`, at most
/// `N - F + max(F, C)`, which is what it held.
#[must_use]
pub fn reservation(order: &Order, market: &MarketEntry) -> Option<Amount> {
    if order.open == Quantity(0) {
        return Some(Amount(0));
    }
    match (order.side, order.pricing) {
        (Side::Sell, _) => i64::try_from(order.open.0).ok().map(Amount),
        (Side::Buy, Pricing::MarketForBudget(budget)) => Some(Amount(order.budget_left(budget))),
        (Side::Buy, Pricing::Limit(limit) | Pricing::MarketToPrice(limit)) => {
            let open = market.notional(limit, order.open)?;
            let rate = market.market.maker_fee.0.max(market.market.taker_fee.0).max(0);
            let fee = fees::due_after(order, open, rate).max(0);
            i64::try_from(i128::from(open) + fee).ok().map(Amount)
        }
    }
}

/// Every open order, with its indexes.
#[derive(Debug)]
pub struct Orders {
    /// The orders.
    pub entries: Slab<OrderEntry>,
    by_id: Index,
    by_client_id: Index,
}

impl Orders {
    /// The orders in these slots, each slot named once, in no list or book yet.
    pub fn with_rows(rows: impl Iterator<Item = (Slot, OrderEntry)>, seed: HashSeed) -> Self {
        let (by_id, by_client_id) = (Index::new(seed), Index::new(seed));
        let mut orders = Self { entries: Slab::with_rows(rows), by_id, by_client_id };
        for (slot, entry) in orders.entries.iter() {
            orders.by_id.insert(entry.order.id, slot);
            orders.by_client_id.insert((entry.order.account, entry.order.client_order_id), slot);
        }
        orders
    }

    /// The slot of the order with this id.
    pub fn slot(&self, id: OrderId) -> Option<Slot> {
        self.by_id.find(id, |slot| self.entries[slot].order.id == id)
    }

    /// The slot of the order that the account entered under this id.
    pub fn slot_by_client_id(&self, account: AccountId, id: CommandId) -> Option<Slot> {
        self.by_client_id.find((account, id), |slot| {
            let order = &self.entries[slot].order;
            order.account == account && order.client_order_id == id
        })
    }

    /// Adds an order.
    pub fn insert(&mut self, entry: OrderEntry) -> Slot {
        let order = entry.order;
        let slot = self.entries.insert(entry);
        self.by_id.insert(order.id, slot);
        self.by_client_id.insert((order.account, order.client_order_id), slot);
        slot
    }

    /// Takes an order out.
    pub fn remove(&mut self, slot: Slot) -> OrderEntry {
        let entry = self.entries.remove(slot);
        self.by_id.remove(entry.order.id, slot);
        self.by_client_id.remove((entry.order.account, entry.order.client_order_id), slot);
        entry
    }
}

#[cfg(test)]
mod tests {
    use crate::command::{Body, OrderRef, ReplaceOrder};
    use crate::fixture::{ANN, BOB, BOLT, Exchange, FEES, FUNDS, USD, limit};
    use crate::types::{Amount, Price, Quantity, Side};

    #[test]
    fn a_buy_holds_its_cost_at_the_higher_rate_and_ends_holding_nothing() {
        let mut exchange = Exchange::with_fees(-1_000, 10_000);
        let (buy, _) = exchange.enter(limit(BOB, Side::Buy, 30, 101));
        // 30 × 101 = 3,030; 1 % of it is 30.3, rounded up.
        assert_eq!(exchange.balance(BOB, USD), (FUNDS, 3_061));
        for quantity in [1, 9, 20] {
            exchange.enter(limit(ANN, Side::Sell, quantity, 101));
            let order = exchange.ledger.order(buy).copied();
            assert!(order.is_none_or(|order| order.fee_paid <= Amount(0)), "a maker here earns");
        }
        // A tenth of a per cent back: 3.03, rounded against the maker over all its fills.
        assert_eq!(exchange.balance(BOB, USD), (FUNDS - 3_030 + 3, 0));
        let (fees, _) = exchange.balance(FEES, USD);
        let (ann, _) = exchange.balance(ANN, USD);
        assert_eq!((ann - FUNDS) + fees, 3_027, "what Bob paid");
    }

    #[test]
    fn fees_are_rounded_once_over_all_fills_of_an_order() {
        let mut exchange = Exchange::with_fees(0, 100);
        for _ in 0..10 {
            exchange.enter(limit(ANN, Side::Sell, 1, 101));
        }
        exchange.enter(limit(BOB, Side::Buy, 10, 101));
        // 1,010 at one basis point is 0.101: one unit, not one for each of the ten trades.
        assert_eq!(exchange.balance(FEES, USD), (1, 0));
    }

    #[test]
    fn a_rebate_waits_when_the_taker_of_the_trade_pays_nothing() {
        let mut exchange = Exchange::with_fees(-10_000, 10_000);
        let (maker, _) = exchange.enter(limit(ANN, Side::Sell, 3, 50));
        let earned = |exchange: &Exchange| exchange.ledger.order(maker).map(|order| -order.fee_paid.0);
        // Half a unit accrues on either side: the taker pays one, the maker gets none yet.
        exchange.enter(limit(BOB, Side::Buy, 1, 50));
        assert_eq!((exchange.balance(FEES, USD), earned(&exchange)), ((1, 0), Some(0)));
        // This taker's unit goes with its first trade, at 49: the second costs it nothing, so that
        // there is nothing to pay the maker's whole unit from.
        exchange.enter(limit(ANN, Side::Sell, 1, 49));
        exchange.enter(limit(BOB, Side::Buy, 2, 50));
        assert_eq!((exchange.balance(FEES, USD), earned(&exchange)), ((2, 0), Some(0)));
        // The next one pays a unit, and the maker gets what has waited.
        exchange.enter(limit(BOB, Side::Buy, 1, 50));
        assert_eq!(exchange.balance(FEES, USD), (2, 0));
        assert_eq!(exchange.balance(ANN, USD), (FUNDS + 3 * 50 + 49 + 1, 0));
    }

    #[test]
    fn a_sell_pays_a_fee_of_the_whole_out_of_what_it_earns() {
        let mut exchange = Exchange::with_fees(0, 1_000_000);
        exchange.enter(limit(BOB, Side::Buy, 7, 13));
        exchange.enter(limit(ANN, Side::Sell, 7, 13));
        assert_eq!((exchange.balance(ANN, USD), exchange.balance(FEES, USD)), ((FUNDS, 0), (91, 0)));
        assert_eq!(exchange.balance(ANN, BOLT), (FUNDS - 7, 0));
    }

    #[test]
    fn a_replaced_order_that_paid_ahead_pays_less_later() {
        let mut exchange = Exchange::with_fees(0, 5_000);
        exchange.enter(limit(ANN, Side::Sell, 1, 100));
        // Half a unit is due, one is paid.
        let (buy, _) = exchange.enter(limit(BOB, Side::Buy, 2, 100));
        assert_eq!(exchange.balance(FEES, USD), (1, 0));
        exchange.enter(limit(ANN, Side::Sell, 1, 101));
        exchange.accept(Body::ReplaceOrder(ReplaceOrder {
            account: BOB,
            order: OrderRef::OrderId(buy),
            quantity: Quantity(2),
            price: Some(Price(101)),
        }));
        // 201 in all at half a per cent: 1.005, so one unit more.
        assert_eq!(exchange.balance(FEES, USD), (2, 0));
        assert_eq!(exchange.balance(BOB, USD), (FUNDS - 203, 0));
    }
}
