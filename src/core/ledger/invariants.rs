//! What holds of every state, whatever commands led to it.

use super::accounts::AccountEntry;
use super::{HEADER_SLOT, Ledger};
use crate::state::{RecordKey, Table};
use crate::table::Slot;
use crate::trading::{OrderEntry, reservation};
use crate::types::{AccountState, Amount, Quantity, Side};

/// An invariant that does not hold: the state is not one that the ledger could have made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenInvariant {
    /// Where.
    pub key: RecordKey,
    /// What is wrong there.
    pub reason: String,
}

impl std::fmt::Display for BrokenInvariant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} record {}: {}", self.key.table, self.key.slot, self.reason)
    }
}

impl std::error::Error for BrokenInvariant {}

pub fn broken(table: Table, slot: Slot, reason: impl Into<String>) -> BrokenInvariant {
    BrokenInvariant { key: RecordKey { table, slot }, reason: reason.into() }
}

/// Breaks off with a reason when the condition does not hold.
macro_rules! ensure {
    ($condition:expr, $table:ident, $slot:expr, $($reason:tt)+) => {
        if !$condition {
            return Err($crate::ledger::broken($crate::Table::$table, $slot, format!($($reason)+)));
        }
    };
}
pub(crate) use ensure;

impl Ledger {
    /// Checks the whole state; takes time in proportion to its size.
    ///
    /// - every asset sums to zero, and its debt is what its balances say and in range;
    /// - `reserved` is the sum of what open orders, pending transfers and work orders hold;
    /// - no account is further below zero than its credit limit, but issuers;
    /// - no book is crossed, every queue is in the order of priority, every sum is that of the orders;
    /// - an order holds exactly what it must; filled and open do not exceed what was ordered;
    /// - frozen and closed accounts have no open orders, closed ones no balances;
    /// - locations, lots and work orders are in order, as `production/invariants.rs` says;
    /// - deadlines are those of the open orders and pending transfers, and lie ahead.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check_invariants(&self) -> Result<(), BrokenInvariant> {
        let mut held = vec![0_i128; self.balances.entries.len() as usize];
        self.check_orders(&mut held)?;
        self.check_pendings(&mut held)?;
        self.check_production(&mut held)?;
        self.check_balances(&held)?;
        self.check_sums()?;
        self.check_accounts()?;
        self.check_books()?;
        self.check_deadlines()
    }

    fn check_orders(&self, held: &mut [i128]) -> Result<(), BrokenInvariant> {
        for (slot, entry) in self.orders.entries.iter() {
            self.check_order(slot, entry)?;
            held[entry.held_in as usize] += i128::from(entry.order.reserved.0);
        }
        Ok(())
    }

    fn check_order(&self, slot: Slot, entry: &OrderEntry) -> Result<(), BrokenInvariant> {
        let order = &entry.order;
        let market = self.markets.find(order.market);
        let market = market.ok_or_else(|| broken(Table::Order, slot, "its market is missing"))?;
        ensure!(order.id.0 <= self.header.sequence.0, Order, slot, "order {} is of the future", order.id);
        ensure!(order.priority <= self.header.sequence, Order, slot, "its priority is of the future");
        ensure!(order.priority.0 >= order.id.0, Order, slot, "its priority is older than itself");
        ensure!(order.open > Quantity(0), Order, slot, "order {} has nothing open", order.id);
        let accounted = u128::from(order.filled.0) + u128::from(order.open.0);
        ensure!(accounted <= u128::from(order.quantity.0), Order, slot, "more filled and open than ordered");
        let lot = market.market.lot.0;
        ensure!(
            order.open.0.is_multiple_of(lot) && order.filled.0.is_multiple_of(lot),
            Order,
            slot,
            "is not in whole lots"
        );
        let tick = market.market.tick.0;
        ensure!(
            order.limit().is_some_and(|price| price.0 > 0 && price.0.is_multiple_of(tick)),
            Order,
            slot,
            "is on no tick"
        );
        let rate_max = market.market.maker_fee.0.unsigned_abs().max(market.market.taker_fee.0.unsigned_abs());
        let accrued_max = u128::from(order.filled_notional.0.unsigned_abs()) * u128::from(rate_max);
        ensure!(order.fee_accrued.unsigned_abs() <= accrued_max, Order, slot, "owes more than fees of its fills");
        let needed = reservation(order, market);
        ensure!(Some(order.reserved) == needed, Order, slot, "holds {}, needs {needed:?}", order.reserved);
        ensure!(order.reserved > Amount(0), Order, slot, "holds nothing");
        let by_ids = [self.orders.slot(order.id), self.orders.slot_by_client_id(order.account, order.client_order_id)];
        ensure!(by_ids == [Some(slot); 2], Order, slot, "order {} is not found by its ids", order.id);
        let balance = &self.balances.entries[entry.held_in];
        let key = (balance.balance.account, balance.asset);
        ensure!(key == (order.account, market.given(order.side)), Order, slot, "is held in another balance");
        Ok(())
    }

    fn check_pendings(&self, held: &mut [i128]) -> Result<(), BrokenInvariant> {
        for (slot, entry) in self.pendings.entries.iter() {
            let pending = &entry.pending;
            ensure!(pending.amount > Amount(0), Pending, slot, "holds nothing");
            ensure!(pending.sequence <= self.header.sequence, Pending, slot, "is of the future");
            ensure!(self.pendings.slot(pending.id) == Some(slot), Pending, slot, "is not found by its id");
            let balance = self.balances.entries.slot((pending.debit, pending.asset));
            let balance = balance.ok_or_else(|| broken(Table::Pending, slot, "its balance is missing"))?;
            held[balance as usize] += i128::from(pending.amount.0);
        }
        Ok(())
    }

    fn check_balances(&self, held: &[i128]) -> Result<(), BrokenInvariant> {
        for ((slot, entry), &held) in (0..).zip(self.balances.entries.iter()).zip(held) {
            let balance = &entry.balance;
            let reserved = balance.reserved;
            ensure!(i128::from(reserved.0) == held, Balance, slot, "{reserved} is reserved, {held} is held");
            let is_issuer = self.account(balance.account).is_some_and(|account| account.issuer);
            let available = i128::from(balance.posted.0) - i128::from(reserved.0);
            let in_credit = available >= -i128::from(balance.credit_limit.0);
            ensure!(is_issuer || in_credit, Balance, slot, "{available} is below its credit limit");
        }
        Ok(())
    }

    fn check_sums(&self) -> Result<(), BrokenInvariant> {
        let mut sums = vec![(0_i128, 0_i128); self.assets.len() as usize];
        for entry in self.balances.entries.iter() {
            let posted = i128::from(entry.balance.posted.0);
            let (sum, debt) = &mut sums[entry.asset as usize];
            *sum += posted;
            *debt += (i128::from(entry.balance.reserved.0) - posted).max(0);
        }
        for (slot, (sum, debt)) in (0..).zip(sums) {
            ensure!(sum == 0, Asset, slot, "sums to {sum}");
            let kept = self.balances.debt(slot);
            ensure!(i128::from(kept) == debt, Asset, slot, "its debt is {debt}, kept as {kept}");
            ensure!(debt <= i128::from(i64::MAX), Asset, slot, "its debt is out of range");
        }
        Ok(())
    }

    fn check_accounts(&self) -> Result<(), BrokenInvariant> {
        let (mut orders, mut pendings) = (0, 0);
        for (slot, entry) in (0..).zip(self.accounts.iter()) {
            self.check_account(slot, entry)?;
            orders += entry.orders.len() as usize;
            pendings += entry.pendings.len() as usize;
        }
        let lost = (orders, pendings) != (self.orders.entries.len(), self.pendings.entries.len());
        ensure!(!lost, Header, HEADER_SLOT, "an order or pending transfer is in no account's list");
        Ok(())
    }

    fn check_account(&self, slot: Slot, entry: &AccountEntry) -> Result<(), BrokenInvariant> {
        let id = entry.account.id;
        let state = entry.account.state;
        let may_trade = state == AccountState::Active;
        ensure!(may_trade || entry.orders.len() == 0, Account, slot, "account {id} is {state:?}, with open orders");
        let is_empty = self.balances(id).all(|balance| (balance.posted, balance.reserved) == (Amount(0), Amount(0)));
        ensure!(state != AccountState::Closed || is_empty, Account, slot, "account {id} is closed, with a balance");
        let own_orders = self.orders(id).all(|order| order.account == id);
        ensure!(own_orders && self.orders(id).is_sorted_by_key(|order| order.id), Account, slot, "orders out of order");
        let own_pendings = self.pendings(id).all(|pending| pending.debit == id);
        let in_order = self.pendings(id).is_sorted_by_key(|pending| pending.sequence);
        ensure!(own_pendings && in_order, Account, slot, "pending transfers out of order");
        Ok(())
    }

    fn check_books(&self) -> Result<(), BrokenInvariant> {
        let mut orders = 0;
        for (slot, entry) in (0..).zip(self.markets.iter()) {
            for side in [Side::Buy, Side::Sell] {
                let side = entry.book.side(side);
                side.check(&self.orders.entries).map_err(|reason| broken(Table::Market, slot, reason))?;
                orders += side.slots(&self.orders.entries).count();
            }
            let [bid, ask] = [Side::Buy, Side::Sell].map(|side| entry.book.side(side).best_price());
            let is_crossed = bid.zip(ask).is_some_and(|(bid, ask)| bid >= ask);
            ensure!(!is_crossed, Market, slot, "its book is crossed: bid {bid:?}, ask {ask:?}");
            let active = self.active_account(entry.market.fee_account).is_ok();
            ensure!(active, Market, slot, "its fee account is not active");
        }
        ensure!(orders == self.orders.entries.len(), Header, HEADER_SLOT, "an order is in no book");
        Ok(())
    }

    fn check_deadlines(&self) -> Result<(), BrokenInvariant> {
        let orders = self.orders.entries.iter().filter_map(|(_, entry)| entry.deadline());
        let pendings = self.pendings.entries.iter().filter_map(|(_, entry)| entry.deadline());
        let count = orders.chain(pendings).filter(|deadline| self.deadlines.contains(deadline)).count();
        let expected = self.orders.entries.iter().filter(|(_, entry)| entry.order.expires_at.is_some()).count()
            + self.pendings.entries.iter().filter(|(_, entry)| entry.pending.expires_at.is_some()).count();
        let complete = count == expected && self.deadlines.len() == expected;
        ensure!(complete, Header, HEADER_SLOT, "the deadlines are not those of the orders and pending transfers");
        let overdue = self.deadlines.first().filter(|deadline| deadline.at <= self.header.time);
        ensure!(overdue.is_none(), Header, HEADER_SLOT, "{overdue:?} is overdue");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Body, Pricing};
    use crate::fixture::{ANN, BOB, Exchange, USD, limit, pending};
    use crate::types::{OrderId, Price, Sequence, Timestamp};

    /// A state with two orders on each side and a pending transfer, broken in one way.
    fn check_after(breakage: impl Fn(&mut Ledger)) -> String {
        let mut exchange = Exchange::new();
        for (price, side) in [(120, Side::Sell), (120, Side::Sell), (90, Side::Buy), (80, Side::Buy)] {
            exchange.enter(limit(ANN, side, 10, price));
        }
        exchange.accept(Body::Transfer(pending(BOB, ANN, USD, 10, Some(99))));
        breakage(&mut exchange.ledger);
        exchange.ledger.check_invariants().expect_err("the breakage is found").reason
    }

    fn first_order(ledger: &mut Ledger) -> &mut OrderEntry {
        let slot = ledger.orders.entries.iter().map(|(slot, _)| slot).next().expect("there are orders");
        &mut ledger.orders.entries[slot]
    }

    #[test]
    fn every_breakage_is_found() {
        let ann_usd = |ledger: &Ledger| ledger.balances.entries.slot((ANN, USD)).expect("she has some");
        let found = check_after(|ledger| {
            let slot = ann_usd(ledger);
            ledger.balances.entries[slot].balance.posted.0 += 1;
        });
        assert!(found.contains("sums to 1"), "{found}");
        let found = check_after(|ledger| {
            let slot = ann_usd(ledger);
            ledger.balances.change(slot, 0, 1);
        });
        assert!(found.contains("is held"), "{found}");
        let found = check_after(|ledger| first_order(ledger).order.open.0 -= 1);
        assert!(found.contains("needs"), "{found}");
        let found = check_after(|ledger| first_order(ledger).order.filled.0 += 1);
        assert!(found.contains("more filled and open"), "{found}");
        let found = check_after(|ledger| first_order(ledger).order.priority = Sequence(u64::MAX));
        assert!(found.contains("of the future"), "{found}");
        let found = check_after(|ledger| {
            let last = ledger.header.sequence;
            first_order(ledger).order.priority = last;
        });
        assert!(found.contains("behind a younger one"), "{found}");
        let found = check_after(|ledger| first_order(ledger).order.id = OrderId(1));
        assert!(found.contains("not found by its ids"), "{found}");
        let found = check_after(|ledger| {
            first_order(ledger).order.pricing = Pricing::Limit(Price(80));
        });
        assert!(found.contains("stands at price"), "{found}");
        let found = check_after(|ledger| ledger.deadlines.clear());
        assert!(found.contains("deadlines"), "{found}");
        let found = check_after(|ledger| ledger.header.time = Timestamp(99));
        assert!(found.contains("overdue"), "{found}");
        let found = check_after(|ledger| {
            let slot = ledger.accounts.slot(ANN).expect("she is there");
            ledger.accounts[slot].account.state = AccountState::Frozen;
        });
        assert!(found.contains("with open orders"), "{found}");
    }
}
