//! What can be read of the live state. Every order of iteration is the same on every node.

use super::Ledger;
use super::records::{Account, Asset, Balance, Market, Order, Pending};
use crate::core::state::RecordKey;
use crate::core::trading::BookView;
use crate::core::types::{AccountId, Amount, AssetId, CommandId, MarketId, OrderId, Timestamp};

/// What holds a part of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold<'a> {
    /// An open order.
    Order(&'a Order),
    /// A pending transfer.
    Pending(&'a Pending),
}

impl Ledger {
    /// The latest time that the ledger has seen.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        todo!()
    }

    /// The asset with this id.
    #[must_use]
    pub fn asset(&self, id: AssetId) -> Option<&Asset> {
        let _ = id;
        todo!()
    }

    /// Every asset, in the order of creation.
    pub fn assets(&self) -> impl Iterator<Item = &Asset> {
        std::iter::empty()
    }

    /// The account with this id.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        let _ = id;
        todo!()
    }

    /// Up to `limit` accounts in the order of creation, from the first or from the one behind
    /// `after`; none when there is no account `after`.
    pub fn accounts(&self, after: Option<AccountId>, limit: usize) -> impl Iterator<Item = &Account> {
        let _ = (after, limit);
        std::iter::empty()
    }

    /// What an account has of an asset; `None` when it never had any.
    #[must_use]
    pub fn balance(&self, account: AccountId, asset: AssetId) -> Option<&Balance> {
        let _ = (account, asset);
        todo!()
    }

    /// An account's balances, in the order in which it first touched the assets.
    pub fn balances(&self, account: AccountId) -> impl Iterator<Item = &Balance> {
        let _ = account;
        std::iter::empty()
    }

    /// The market with this id.
    #[must_use]
    pub fn market(&self, id: MarketId) -> Option<&Market> {
        let _ = id;
        todo!()
    }

    /// Every market, in the order of creation.
    pub fn markets(&self) -> impl Iterator<Item = &Market> {
        std::iter::empty()
    }

    /// A market's book.
    #[must_use]
    pub fn book(&self, market: MarketId) -> Option<BookView<'_>> {
        let _ = market;
        todo!()
    }

    /// The open order with this id.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        let _ = id;
        todo!()
    }

    /// The open order that the account entered under this client order id.
    #[must_use]
    pub fn order_by_client_id(&self, account: AccountId, id: CommandId) -> Option<&Order> {
        let _ = (account, id);
        todo!()
    }

    /// An account's open orders, by id.
    pub fn orders(&self, account: AccountId) -> impl Iterator<Item = &Order> {
        let _ = account;
        std::iter::empty()
    }

    /// A market's open orders: the bids, then the asks, each in the order in which they would trade.
    pub fn market_orders(&self, market: MarketId) -> impl Iterator<Item = &Order> {
        let _ = market;
        std::iter::empty()
    }

    /// The pending transfer with this id.
    #[must_use]
    pub fn pending(&self, id: CommandId) -> Option<&Pending> {
        let _ = id;
        todo!()
    }

    /// The pending transfers that hold something of an account, the debit account, oldest first.
    pub fn pendings(&self, account: AccountId) -> impl Iterator<Item = &Pending> {
        let _ = account;
        std::iter::empty()
    }

    /// What holds an account's reservations, each with its asset and amount: its open orders, then
    /// its pending transfers, oldest first. Per asset the amounts add up to the balance's `reserved`.
    pub fn holds(&self, account: AccountId) -> impl Iterator<Item = (Hold<'_>, AssetId, Amount)> {
        let _ = account;
        std::iter::empty()
    }

    /// The places of all records of the state, table by table.
    pub fn records(&self) -> impl Iterator<Item = RecordKey> {
        std::iter::empty()
    }
}
