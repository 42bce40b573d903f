//! What can be read of the live state. Every order of iteration is the same on every node.

use super::Ledger;
use super::records::{Account, Asset, Balance, Market, Order, Pending};
use crate::production::records::WorkOrder;
use crate::trading::BookView;
use crate::types::{AccountId, Amount, AssetId, CommandId, MarketId, OrderId, Side, Timestamp};

/// What holds a part of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold<'a> {
    /// An open order.
    Order(&'a Order),
    /// A pending transfer.
    Pending(&'a Pending),
    /// A released work order.
    WorkOrder(&'a WorkOrder),
}

impl Ledger {
    /// The latest time that the ledger has seen.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.header.time
    }

    /// Which rules apply; see [`Header::feature_level`](super::records::Header::feature_level).
    #[must_use]
    pub fn feature_level(&self) -> u32 {
        self.header.feature_level
    }

    /// The asset with this id.
    #[must_use]
    pub fn asset(&self, id: AssetId) -> Option<&Asset> {
        self.assets.find(id)
    }

    /// Every asset, in the order of creation.
    pub fn assets(&self) -> impl DoubleEndedIterator<Item = &Asset> + ExactSizeIterator {
        self.assets.iter()
    }

    /// The account with this id.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.find(id).map(|entry| &entry.account)
    }

    /// Up to `limit` accounts in the order of creation, from the first or from the one behind
    /// `after`; none when there is no account `after`.
    pub fn accounts(&self, after: Option<AccountId>, limit: usize) -> impl Iterator<Item = &Account> {
        let start = match after {
            None => 0,
            Some(id) => self.accounts.slot(id).map_or(usize::MAX, |slot| slot as usize + 1),
        };
        self.accounts.iter().skip(start).take(limit).map(|entry| &entry.account)
    }

    /// Up to `limit` accounts from the newest back, or from the one created before `before`; none when
    /// there is no account `before`.
    pub fn accounts_newest_first(&self, before: Option<AccountId>, limit: usize) -> impl Iterator<Item = &Account> {
        let end = match before {
            None => self.accounts.len(),
            Some(id) => self.accounts.slot(id).unwrap_or_default(),
        };
        self.accounts.iter().take(end as usize).rev().take(limit).map(|entry| &entry.account)
    }

    /// What an account has of an asset; `None` when it never had any, nor terms for it.
    #[must_use]
    pub fn balance(&self, account: AccountId, asset: AssetId) -> Option<&Balance> {
        self.balances.entries.find((account, asset)).map(|entry| &entry.balance)
    }

    /// An account's balances, in the order in which it first touched the assets.
    pub fn balances(&self, account: AccountId) -> impl Iterator<Item = &Balance> {
        let owner = self.accounts.find(account).into_iter();
        let slots = owner.flat_map(|owner| owner.balances.iter(&self.balances.entries));
        slots.map(|slot| &self.balances.entries[slot].balance)
    }

    /// The market with this id.
    #[must_use]
    pub fn market(&self, id: MarketId) -> Option<&Market> {
        self.markets.find(id).map(|entry| &entry.market)
    }

    /// Every market, in the order of creation.
    pub fn markets(&self) -> impl DoubleEndedIterator<Item = &Market> + ExactSizeIterator {
        self.markets.iter().map(|entry| &entry.market)
    }

    /// A market's book.
    #[must_use]
    pub fn book(&self, market: MarketId) -> Option<BookView<'_>> {
        self.markets.find(market).map(|entry| BookView::new(&entry.book, &self.orders.entries))
    }

    /// The open order with this id.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.orders.slot(id).map(|slot| &self.orders.entries[slot].order)
    }

    /// The open order that the account entered under this client order id.
    #[must_use]
    pub fn order_by_client_id(&self, account: AccountId, id: CommandId) -> Option<&Order> {
        self.orders.slot_by_client_id(account, id).map(|slot| &self.orders.entries[slot].order)
    }

    /// An account's open orders, by id.
    pub fn orders(&self, account: AccountId) -> impl Iterator<Item = &Order> {
        let owner = self.accounts.find(account).into_iter();
        let slots = owner.flat_map(|owner| owner.orders.iter(&self.orders.entries));
        slots.map(|slot| &self.orders.entries[slot].order)
    }

    /// An account's open orders, the newest first.
    pub fn orders_newest_first(&self, account: AccountId) -> impl Iterator<Item = &Order> {
        let owner = self.accounts.find(account).into_iter();
        let slots = owner.flat_map(|owner| owner.orders.iter_back(&self.orders.entries));
        slots.map(|slot| &self.orders.entries[slot].order)
    }

    /// How many open orders an account has.
    #[must_use]
    pub fn order_count(&self, account: AccountId) -> usize {
        self.accounts.find(account).map_or(0, |owner| owner.orders.len() as usize)
    }

    /// How many places for open orders there are, of all markets: what [`Self::market_orders_in`] can be
    /// asked for.
    #[must_use]
    pub fn order_places(&self) -> u32 {
        self.orders.entries.places()
    }

    /// A market's open orders in some of the places for orders, in no order that means anything. An order
    /// keeps its place while it is open, so that whoever has gone through all places has met every order
    /// that was open the whole time, a few at a time.
    pub fn market_orders_in(&self, market: MarketId, places: std::ops::Range<u32>) -> impl Iterator<Item = &Order> {
        let entries = places.filter_map(|place| self.orders.entries.get(place));
        entries.map(|entry| &entry.order).filter(move |order| order.market == market)
    }

    /// A market's open orders: the bids, then the asks, each in the order in which they would trade.
    pub fn market_orders(&self, market: MarketId) -> impl Iterator<Item = &Order> {
        let book = self.book(market).into_iter();
        book.flat_map(|book| book.orders(Side::Buy).chain(book.orders(Side::Sell)))
    }

    /// The pending transfer with this id.
    #[must_use]
    pub fn pending(&self, id: CommandId) -> Option<&Pending> {
        self.pendings.slot(id).map(|slot| &self.pendings.entries[slot].pending)
    }

    /// The pending transfers that hold something of an account, the debit account, oldest first.
    pub fn pendings(&self, account: AccountId) -> impl Iterator<Item = &Pending> {
        let debtor = self.accounts.find(account).into_iter();
        let slots = debtor.flat_map(|debtor| debtor.pendings.iter(&self.pendings.entries));
        slots.map(|slot| &self.pendings.entries[slot].pending)
    }

    /// What holds an account's reservations, each with its asset and amount: its open orders, then
    /// its pending transfers, then the work orders that its stock is reserved for, oldest first. Per asset the amounts add up to the balance's `reserved`.
    pub fn holds(&self, account: AccountId) -> impl Iterator<Item = (Hold<'_>, AssetId, Amount)> {
        let orders = self.orders(account).filter_map(|order| {
            let market = self.market(order.market)?;
            let asset = if order.side == Side::Buy { market.quote } else { market.base };
            Some((Hold::Order(order), asset, order.reserved))
        });
        let pendings = self.pendings(account).map(|pending| (Hold::Pending(pending), pending.asset, pending.amount));
        let work_orders = self.work_order_holds(account);
        let work_orders = work_orders.map(|(order, asset, amount)| (Hold::WorkOrder(order), asset, amount));
        orders.chain(pendings).chain(work_orders)
    }
}
