//! Assets, accounts and the terms between them.

use super::Ledger;
use super::balances::OF_ACCOUNT;
use super::records::{Account, Asset, Balance};
use super::slots::{Keyed, List};
use super::transfers::OF_DEBTOR;
use crate::command::{CreateAccount, CreateAsset, SetAccountAsset, SetAccountState};
use crate::event::{Effects, EventBody};
use crate::rejection::Rejection;
use crate::state::Table;
use crate::table::Slot;
use crate::trading::OF_OWNER;
use crate::types::{AccountId, AccountState, Amount, AssetId, CancelReason};

/// An account in memory, with what belongs to it.
#[derive(Debug)]
pub struct AccountEntry {
    /// The record.
    pub account: Account,
    /// Its balances, in the order in which it first touched the assets.
    pub balances: List<OF_ACCOUNT>,
    /// Its open orders, by id.
    pub orders: List<OF_OWNER>,
    /// The pending transfers it is to give, oldest first.
    pub pendings: List<OF_DEBTOR>,
}

impl AccountEntry {
    /// An account that nothing belongs to yet.
    pub fn new(account: Account) -> Self {
        Self { account, balances: List::default(), orders: List::default(), pendings: List::default() }
    }
}

impl Keyed for AccountEntry {
    type Key = AccountId;

    fn key(&self) -> AccountId {
        self.account.id
    }
}

impl Keyed for Asset {
    type Key = AssetId;

    fn key(&self) -> AssetId {
        self.id
    }
}

impl Ledger {
    pub(super) fn create_asset(&mut self, new: &CreateAsset, effects: &mut Effects) -> Result<(), Rejection> {
        if self.assets.slot(new.asset).is_some() || self.assets.iter().any(|asset| asset.code == new.code) {
            return Err(Rejection::AssetExists);
        }
        if new.scale > CreateAsset::SCALE_MAX {
            return Err(Rejection::Overflow);
        }
        let slot = self.assets.push(Asset { id: new.asset, code: new.code, scale: new.scale, kind: new.kind });
        self.balances.add_asset();
        self.changes.mark(Table::Asset, slot);
        self.emit(EventBody::AssetCreated(new.clone()), effects);
        Ok(())
    }

    pub(super) fn create_account(&mut self, new: &CreateAccount, effects: &mut Effects) -> Result<(), Rejection> {
        if self.accounts.slot(new.account).is_some() {
            return Err(Rejection::AccountExists);
        }
        let slot = self.accounts.push(AccountEntry::new(Account {
            id: new.account,
            state: AccountState::Active,
            issuer: new.issuer,
            restricted: new.restricted,
            user_data: new.user_data,
        }));
        self.changes.mark(Table::Account, slot);
        self.emit(EventBody::AccountCreated(new.clone()), effects);
        Ok(())
    }

    /// Freezing cancels the account's open orders, as they could neither trade nor be allowed to:
    /// no maker is ever frozen. Pending transfers stay, and can be voided or expire; they can be
    /// posted again when both accounts are active.
    pub(super) fn set_account_state(&mut self, set: &SetAccountState, effects: &mut Effects) -> Result<(), Rejection> {
        let slot = self.known_account(set.account)?;
        if self.accounts[slot].account.state == AccountState::Closed {
            return Err(Rejection::AccountClosed);
        }
        if set.state != AccountState::Active && self.collects_fees(set.account, None) {
            return Err(Rejection::AccountInUse);
        }
        match set.state {
            AccountState::Active => {}
            AccountState::Frozen => {
                self.cancel_all(slot, |_| true, CancelReason::AccountFrozen, effects);
            }
            AccountState::Closed => {
                let mut balances = self.accounts[slot].balances.iter(&self.balances.entries);
                let empty = |place| {
                    let balance: &Balance = &self.balances.entries[place].balance;
                    balance.posted == Amount(0) && balance.reserved == Amount(0)
                };
                if !balances.all(empty) {
                    return Err(Rejection::AccountNotEmpty);
                }
            }
        }
        self.accounts[slot].account.state = set.state;
        self.changes.mark(Table::Account, slot);
        self.emit(EventBody::AccountStateSet(set.clone()), effects);
        Ok(())
    }

    /// A permission that is withdrawn, as one never given, stops what would enter; what was admitted
    /// before settles. A credit limit cannot be set below its use.
    pub(super) fn set_account_asset(&mut self, set: &SetAccountAsset, effects: &mut Effects) -> Result<(), Rejection> {
        let owner = self.known_account(set.account)?;
        let asset = self.known_asset(set.asset)?;
        let Account { state, issuer, restricted, .. } = self.accounts[owner].account;
        if state == AccountState::Closed {
            return Err(Rejection::AccountClosed);
        }
        if set.credit_limit < Amount(0) {
            return Err(Rejection::Overflow);
        }
        if restricted && !set.allowed && self.collects_fees(set.account, Some(set.asset)) {
            return Err(Rejection::AccountInUse);
        }
        let available = self.balance(set.account, set.asset).map_or(0, |balance| balance.available().0);
        if !issuer && available < -set.credit_limit.0 {
            return Err(Rejection::InsufficientAvailable);
        }
        let slot = self.balance_slot(owner, asset);
        let balance = &mut self.balances.entries[slot].balance;
        balance.allowed = set.allowed;
        balance.credit_limit = set.credit_limit;
        self.changes.mark(Table::Balance, slot);
        self.emit(EventBody::AccountAssetSet(set.clone()), effects);
        Ok(())
    }

    /// Whether a market pays its fees to the account, in this asset or in any.
    fn collects_fees(&self, account: AccountId, asset: Option<AssetId>) -> bool {
        let paid_in = |quote| asset.is_none_or(|asset| asset == quote);
        self.markets.iter().any(|entry| entry.market.fee_account == account && paid_in(entry.market.quote))
    }

    /// The slot of an asset.
    pub(crate) fn known_asset(&self, id: AssetId) -> Result<Slot, Rejection> {
        self.assets.slot(id).ok_or(Rejection::UnknownAsset)
    }

    /// The slot of an account, whatever its state.
    pub(crate) fn known_account(&self, id: AccountId) -> Result<Slot, Rejection> {
        self.accounts.slot(id).ok_or(Rejection::UnknownAccount)
    }

    /// The slot of an account that may be used.
    pub(crate) fn active_account(&self, id: AccountId) -> Result<Slot, Rejection> {
        let slot = self.known_account(id)?;
        match self.accounts[slot].account.state {
            AccountState::Active => Ok(slot),
            AccountState::Frozen => Err(Rejection::AccountFrozen),
            AccountState::Closed => Err(Rejection::AccountClosed),
        }
    }

    /// Refuses an asset that a restricted account may not receive.
    pub(crate) fn check_allowed(&self, owner: Slot, asset: AssetId) -> Result<(), Rejection> {
        let account = &self.accounts[owner].account;
        if !account.restricted || self.balance(account.id, asset).is_some_and(|balance| balance.allowed) {
            return Ok(());
        }
        Err(Rejection::AssetNotAllowed)
    }

    /// Refuses to let an account give or reserve more than it may; see [`super::balances`].
    pub(crate) fn check_spend(&self, owner: Slot, asset: Slot, amount: i64) -> Result<(), Rejection> {
        let account = &self.accounts[owner].account;
        let balance = self.balances.entries.slot((account.id, self.assets[asset].id));
        self.balances.check_spend(balance, asset, amount, account.issuer)
    }

    /// The slot of an account's balance of an asset, which is added when it is not there yet.
    pub(crate) fn balance_slot(&mut self, owner: Slot, asset: Slot) -> Slot {
        let key = (self.accounts[owner].account.id, self.assets[asset].id);
        if let Some(slot) = self.balances.entries.slot(key) {
            return slot;
        }
        let balance = Balance {
            account: key.0,
            asset: key.1,
            posted: Amount(0),
            reserved: Amount(0),
            credit_limit: Amount(0),
            allowed: false,
        };
        let slot = self.balances.add(balance, asset).expect("nothing is in range");
        self.accounts[owner].balances.push_back(&mut self.balances.entries, slot);
        self.changes.mark(Table::Balance, slot);
        self.undo.balance_added(owner);
        slot
    }

    /// Changes a balance, as a posting of the event that is emitted next.
    #[inline]
    pub(crate) fn post(&mut self, balance: Slot, amount: i64, hold: i64, effects: &mut Effects) {
        let posting = self.balances.change(balance, amount, hold);
        self.changes.mark(Table::Balance, balance);
        effects.push_posting(posting);
        if amount != 0 && self.balances.entries[balance].tracks_lots {
            self.move_lots(balance, &posting);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::command::{Body, CreateAccount, SetAccountAsset, SetAccountState};
    use crate::event::EventBody;
    use crate::fixture::{ANN, BOB, BOLT, Exchange, FEES, FUNDS, ISSUER, USD, limit, transfer};
    use crate::rejection::Rejection;
    use crate::types::{AccountId, AccountState, Amount, AssetId, CancelReason, Side};

    const EVE: AccountId = AccountId(7);

    fn set_state(account: AccountId, state: AccountState) -> Body {
        Body::SetAccountState(SetAccountState { account, state })
    }

    fn set_terms(account: AccountId, asset: AssetId, allowed: bool, credit_limit: i64) -> Body {
        Body::SetAccountAsset(SetAccountAsset { account, asset, allowed, credit_limit: Amount(credit_limit) })
    }

    #[test]
    fn freezing_cancels_open_orders_by_id_and_stops_what_comes() {
        let mut exchange = Exchange::new();
        let orders = [90, 80].map(|price| exchange.enter(limit(ANN, Side::Buy, 1, price)).0);
        let events = exchange.accept(set_state(ANN, AccountState::Frozen));
        let cancelled = events.iter().filter_map(|event| match event {
            EventBody::OrderCancelled(cancelled) => Some((cancelled.order, cancelled.reason)),
            _ => None,
        });
        assert_eq!(cancelled.collect::<Vec<_>>(), orders.map(|order| (order, CancelReason::AccountFrozen)));
        assert_eq!(exchange.balance(ANN, USD), (FUNDS, 0));
        for body in [
            Body::NewOrder(limit(ANN, Side::Buy, 1, 90)),
            Body::Transfer(transfer(ANN, BOB, USD, 1)),
            Body::Transfer(transfer(BOB, ANN, USD, 1)),
        ] {
            assert_eq!(exchange.refuse(body), Rejection::AccountFrozen);
        }
        exchange.accept(set_state(ANN, AccountState::Active));
        exchange.accept(Body::Transfer(transfer(ANN, BOB, USD, 1)));
    }

    #[test]
    fn an_account_is_closed_empty_and_for_good() {
        let mut exchange = Exchange::new();
        assert_eq!(exchange.refuse(set_state(ANN, AccountState::Closed)), Rejection::AccountNotEmpty);
        for asset in [USD, BOLT] {
            exchange.accept(Body::Transfer(transfer(ANN, ISSUER, asset, FUNDS)));
        }
        exchange.accept(set_state(ANN, AccountState::Closed));
        assert_eq!(exchange.refuse(set_state(ANN, AccountState::Active)), Rejection::AccountClosed);
        assert_eq!(exchange.refuse(set_terms(ANN, USD, true, 0)), Rejection::AccountClosed);
    }

    #[test]
    fn what_collects_fees_stays_in_use() {
        let mut exchange = Exchange::new();
        for state in [AccountState::Frozen, AccountState::Closed] {
            assert_eq!(exchange.refuse(set_state(FEES, state)), Rejection::AccountInUse);
        }
    }

    #[test]
    fn a_restricted_account_receives_only_what_it_is_allowed() {
        let mut exchange = Exchange::new();
        exchange.accept(Body::CreateAccount(CreateAccount {
            account: EVE,
            issuer: false,
            restricted: true,
            user_data: 0,
        }));
        let receive = || Body::Transfer(transfer(BOB, EVE, USD, 1_000));
        assert_eq!(exchange.refuse(receive()), Rejection::AssetNotAllowed);
        exchange.accept(set_terms(EVE, USD, true, 0));
        exchange.accept(receive());
        let buy = || Body::NewOrder(limit(EVE, Side::Buy, 1, 90));
        assert_eq!(exchange.refuse(buy()), Rejection::AssetNotAllowed, "it would receive the base asset");
        exchange.accept(set_terms(EVE, BOLT, true, 0));
        exchange.accept(buy());
        exchange.accept(set_terms(EVE, USD, false, 0));
        exchange.accept(Body::Transfer(transfer(EVE, BOB, USD, 10)));
    }

    #[test]
    fn credit_can_be_used_to_its_limit_and_the_limit_not_set_below_its_use() {
        let mut exchange = Exchange::new();
        exchange.accept(set_terms(ANN, USD, false, 500));
        let give = |amount| Body::Transfer(transfer(ANN, BOB, USD, amount));
        assert_eq!(exchange.refuse(give(FUNDS + 501)), Rejection::InsufficientAvailable);
        exchange.accept(give(FUNDS + 500));
        assert_eq!(exchange.refuse(set_terms(ANN, USD, false, 499)), Rejection::InsufficientAvailable);
        assert_eq!(exchange.refuse(set_terms(ANN, USD, false, -1)), Rejection::Overflow);
    }
}
