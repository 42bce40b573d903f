//! The balances, and the one function that changes one.
//!
//! # Why no settlement can overflow
//!
//! The *debt* of an asset is the sum of what its accounts are below zero in `available`, that is
//! `posted - reserved`. What an account gives or reserves is checked when it is asked for: it may
//! raise the asset's debt to at most `i64::MAX`, or it is refused as an overflow. What follows from
//! something already reserved (a trade, a posted pending transfer) takes `posted` and `reserved`
//! down together, so it never raises the debt, and needs no check:
//!
//! - `reserved` is never negative, so `posted >= available >= -debt >= -i64::MAX`;
//! - an asset sums to zero, so the positive balances add up to what the negative ones lack, which is
//!   at most the debt: `posted <= i64::MAX`, as long as debits are posted before their credits;
//! - `reserved` grows only when it is asked for, where its own sum is checked.

use super::slots::{Directory, Keyed, Linked, Links};
use crate::event::Posting;
use crate::rejection::Rejection;
use crate::table::{HashSeed, Slot};
use crate::types::{AccountId, Amount, AssetId};

use super::records::Balance;

/// The list of one account's balances.
pub const OF_ACCOUNT: u8 = 1;

/// A balance in memory.
#[derive(Debug)]
pub struct BalanceEntry {
    /// The record.
    pub balance: Balance,
    /// Its asset's slot.
    pub asset: Slot,
    /// Whether its asset's lots are tracked.
    pub tracks_lots: bool,
    links: Links,
}

impl Keyed for BalanceEntry {
    type Key = (AccountId, AssetId);

    fn key(&self) -> Self::Key {
        (self.balance.account, self.balance.asset)
    }
}

impl Linked<OF_ACCOUNT> for BalanceEntry {
    fn links(&self) -> &Links {
        &self.links
    }
    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// Every balance, and every asset's debt.
#[derive(Debug)]
pub struct Balances {
    /// The balances, in the order in which accounts first touched assets.
    pub entries: Directory<BalanceEntry>,
    /// Per asset; see the module's text.
    debts: Vec<u64>,
    /// Per asset: whether its lots are tracked, and how many balances of it there are.
    lots: Vec<(bool, u32)>,
}

/// What a balance takes part in its asset's debt.
fn debt_of(available: i64) -> u64 {
    if available < 0 { available.unsigned_abs() } else { 0 }
}

impl Balances {
    /// The highest debt of an asset.
    const DEBT_MAX: u64 = i64::MAX as u64;

    /// No balances.
    pub fn new(seed: HashSeed) -> Self {
        Self { entries: Directory::new(seed), debts: Vec::new(), lots: Vec::new() }
    }

    /// Makes room for one more asset.
    pub fn add_asset(&mut self) {
        self.debts.push(0);
        self.lots.push((false, 0));
    }

    /// Tracks the lots of an asset from now on. Answers whether it does: not when there are balances.
    pub fn track_lots(&mut self, asset: Slot) -> bool {
        let (tracked, balances) = &mut self.lots[asset as usize];
        *tracked |= *balances == 0;
        *tracked
    }

    /// Whether the lots of an asset are tracked.
    pub fn tracks_lots(&self, asset: Slot) -> bool {
        self.lots[asset as usize].0
    }

    /// Adds a balance that is not there yet; `None` when it is out of range.
    pub fn add(&mut self, balance: Balance, asset: Slot) -> Option<Slot> {
        let available = balance.posted.0.checked_sub(balance.reserved.0)?;
        let debt = self.debts[asset as usize].checked_add(debt_of(available))?;
        if debt > Self::DEBT_MAX || balance.reserved < Amount(0) || balance.credit_limit < Amount(0) {
            return None;
        }
        self.debts[asset as usize] = debt;
        let (tracks_lots, balances) = &mut self.lots[asset as usize];
        *balances += 1;
        Some(self.entries.push(BalanceEntry { balance, asset, tracks_lots: *tracks_lots, links: Links::default() }))
    }

    /// Takes the balance that was added last, and has nothing, back.
    pub fn pop(&mut self) {
        if let Some(last) = self.entries.pop() {
            self.lots[last.asset as usize].1 -= 1;
        }
    }

    /// The debt of an asset.
    pub fn debt(&self, asset: Slot) -> u64 {
        self.debts[asset as usize]
    }

    /// Whether an account may give `amount` of an asset, or reserve it, beyond what it has reserved.
    /// `balance` is `None` when it never had any; an issuer may go as low as it likes.
    ///
    /// # Errors
    /// [`Rejection::InsufficientAvailable`], or [`Rejection::Overflow`] by the rule above.
    pub fn check_spend(
        &self,
        balance: Option<Slot>,
        asset: Slot,
        amount: i64,
        is_issuer: bool,
    ) -> Result<(), Rejection> {
        let (posted, reserved, credit_limit) = balance.map_or((0, 0, 0), |slot| {
            let balance = &self.entries[slot].balance;
            (balance.posted.0, balance.reserved.0, balance.credit_limit.0)
        });
        let before = posted - reserved;
        let after = i128::from(before) - i128::from(amount);
        if !is_issuer && after < -i128::from(credit_limit) {
            return Err(Rejection::InsufficientAvailable);
        }
        let after = i64::try_from(after).map_err(|_| Rejection::Overflow)?;
        let debt = self.debts[asset as usize] - debt_of(before) + debt_of(after);
        if debt > Self::DEBT_MAX || reserved.checked_add(amount).is_none() {
            return Err(Rejection::Overflow);
        }
        Ok(())
    }

    /// Changes one balance. Nothing else does.
    ///
    /// # Panics
    /// When the balance would leave its range, which the checks at every entry rule out: the state
    /// is broken, and the node must stop.
    #[inline]
    pub fn change(&mut self, slot: Slot, amount: i64, hold: i64) -> Posting {
        let entry = &mut self.entries[slot];
        let balance = &mut entry.balance;
        let before = balance.posted.0 - balance.reserved.0;
        let posted = balance.posted.0.checked_add(amount).expect("bounded by the asset's debt");
        let reserved = balance.reserved.0.checked_add(hold).expect("checked when it was reserved");
        assert!(reserved >= 0, "more is released than is reserved");
        balance.posted = Amount(posted);
        balance.reserved = Amount(reserved);
        let after = posted.checked_sub(reserved).expect("bounded by the asset's debt");
        if before < 0 || after < 0 {
            let debt = &mut self.debts[entry.asset as usize];
            *debt = *debt - debt_of(before) + debt_of(after);
        }
        Posting {
            account: balance.account,
            asset: balance.asset,
            amount: Amount(amount),
            hold: Amount(hold),
            posted: balance.posted,
            reserved: balance.reserved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balances_of(rows: &[(i64, i64, i64)]) -> Balances {
        let mut balances = Balances::new(HashSeed::default());
        balances.add_asset();
        for (account, &(posted, reserved, credit_limit)) in (1..).zip(rows) {
            let (posted, reserved, credit_limit) = (Amount(posted), Amount(reserved), Amount(credit_limit));
            let (account, asset) = (AccountId(account), AssetId(1));
            let balance = Balance { account, asset, posted, reserved, credit_limit, allowed: true };
            assert!(balances.add(balance, 0).is_some());
        }
        balances
    }

    #[test]
    fn what_is_available_and_the_credit_limit_can_be_spent_and_no_more() {
        let balances = balances_of(&[(100, 30, 5)]);
        assert_eq!(balances.check_spend(Some(0), 0, 75, false), Ok(()));
        assert_eq!(balances.check_spend(Some(0), 0, 76, false), Err(Rejection::InsufficientAvailable));
        assert_eq!(balances.check_spend(Some(0), 0, 76, true), Ok(()));
        assert_eq!(balances.check_spend(None, 0, 1, false), Err(Rejection::InsufficientAvailable));
    }

    #[test]
    fn the_debt_of_all_accounts_together_stays_in_63_bits() {
        let mut balances = balances_of(&[(-(i64::MAX - 10), 0, 0), (i64::MAX - 10, 0, 0), (0, 0, 0)]);
        assert_eq!(balances.check_spend(Some(2), 0, 10, true), Ok(()));
        assert_eq!(balances.check_spend(Some(2), 0, 11, true), Err(Rejection::Overflow));
        assert_eq!(balances.check_spend(Some(0), 0, 11, true), Err(Rejection::Overflow));
        balances.change(0, 11, 0);
        assert_eq!(balances.debt(0), i64::MAX as u64 - 21);
        assert_eq!(balances.check_spend(Some(2), 0, 11, true), Ok(()));
    }

    #[test]
    fn a_sum_of_reservations_stays_in_63_bits() {
        let balances = balances_of(&[(i64::MAX, i64::MAX, i64::MAX), (-i64::MAX, 0, 0)]);
        assert_eq!(balances.check_spend(Some(0), 0, 1, false), Err(Rejection::Overflow));
    }

    #[test]
    #[should_panic(expected = "more is released than is reserved")]
    fn releasing_more_than_is_reserved_stops_the_node() {
        balances_of(&[(5, 1, 0)]).change(0, 0, -2);
    }
}
