//! The books as an auditor keeps them: from the records alone, with no look at the ledger.
//!
//! The fold refuses (panics at) any record that does not add up, and says in the end what every
//! balance, order and pending transfer must be.

mod planning;
mod production;

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_core::command::{Command, CreateAsset, CreateMarket, Pricing, TransferMode};
use counterfoil_core::event::{EventBody, Posting, Record, Trade};
use counterfoil_core::types::{
    AccountId, AccountState, Amount, AssetId, CancelReason, CommandId, FeeRate, MarketId, OrderId, Phase, Price,
    Quantity, Sequence, Side, Timestamp, notional,
};

pub use planning::Planning;
pub use production::{OpenOrder, Production};

/// A balance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Settled.
    pub posted: i64,
    /// Reserved.
    pub reserved: i64,
}

impl Held {
    /// What is not reserved.
    pub fn available(&self) -> i128 {
        i128::from(self.posted) - i128::from(self.reserved)
    }
}

/// An account and its terms.
#[derive(Debug, Clone)]
pub struct Account {
    /// Whether it may be used.
    pub state: AccountState,
    /// May go below zero.
    pub issuer: bool,
    /// May hold allowed assets only.
    pub restricted: bool,
    /// Credit limit per asset, and whether a restricted account may hold it.
    pub terms: BTreeMap<AssetId, (i64, bool)>,
}

/// An order's life.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its client order id.
    pub id: CommandId,
    /// Whose.
    pub account: AccountId,
    /// Where.
    pub market: MarketId,
    /// Which way.
    pub side: Side,
    /// Its limit, worst price or budget.
    pub pricing: Pricing,
    /// Ordered in all.
    pub quantity: u64,
    /// Traded.
    pub filled: u64,
    /// Taken off by self-trade prevention.
    pub reduced: u64,
    /// Cancelled, expired, or given up by a replace that asked for less than was filled.
    pub cancelled: u64,
    /// In the book.
    pub open: u64,
    /// What it holds.
    pub held: i64,
    /// Rate × notional of its fills.
    pub fee_exact: i128,
    /// Fees it paid.
    pub fee_paid: i64,
    /// The event that gave it its place.
    pub priority: Sequence,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Accepted as post-only.
    pub post_only: bool,
}

/// The auditor's books.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    /// The last event.
    pub sequence: u64,
    /// Assets.
    pub assets: BTreeMap<AssetId, CreateAsset>,
    /// Accounts.
    pub accounts: BTreeMap<AccountId, Account>,
    /// Markets, with their phase and last price.
    pub markets: BTreeMap<MarketId, (CreateMarket, Phase, Option<Price>)>,
    /// Balances.
    pub balances: BTreeMap<(AccountId, AssetId), Held>,
    /// Every order ever accepted.
    pub orders: BTreeMap<OrderId, Order>,
    /// Those of them that are open.
    pub open: BTreeSet<OrderId>,
    /// Pending transfers: debit account, asset, amount, deadline.
    pub pending: BTreeMap<CommandId, (AccountId, AssetId, i64, Option<Timestamp>)>,
    /// Plants, items, bills of materials, lots, work orders.
    pub production: Production,
    /// Plans and purchases.
    pub planning: Planning,
    /// Balances that the last record touched.
    pub touched: BTreeSet<(AccountId, AssetId)>,
}

impl Fold {
    /// Adds one record. `command` is what it answers.
    pub fn add(&mut self, record: &Record, command: Option<&Command>) {
        assert_eq!(record.sequence.0, self.sequence + 1, "the sequence has a gap");
        assert_eq!(record.origin.is_some(), command.is_some());
        if let (Some(origin), Some(command)) = (record.origin, command) {
            assert_eq!(origin.key, command.key());
            assert_eq!(origin.fingerprint, command.fingerprint());
        }
        assert!(!record.events.is_empty(), "a record says something");
        self.touched.clear();
        for (sequence, body, postings) in record.view().events() {
            self.sequence = sequence.0;
            self.post(postings);
            if matches!(body, EventBody::Rejected(_)) {
                assert!(record.events.len() == 1 && postings.is_empty(), "a rejection changes nothing: {record:?}");
            }
            self.expect_lots(body, postings);
            self.event(sequence, body, postings);
        }
        self.expect_all_told();
        self.expect_all_orders_told();
    }

    fn post(&mut self, postings: &[Posting]) {
        let mut sums: BTreeMap<AssetId, i128> = BTreeMap::new();
        for posting in postings {
            *sums.entry(posting.asset).or_default() += i128::from(posting.amount.0);
            let key = (posting.account, posting.asset);
            let balance = self.balances.entry(key).or_default();
            self.touched.insert(key);
            balance.posted = balance.posted.checked_add(posting.amount.0).expect("posted fits");
            balance.reserved = balance.reserved.checked_add(posting.hold.0).expect("reserved fits");
            assert_eq!(balance.posted, posting.posted.0, "a posting tells what it left: {posting:?}");
            assert_eq!(balance.reserved, posting.reserved.0, "a posting tells what it left: {posting:?}");
            assert!(balance.reserved >= 0, "{posting:?}");
            self.check_may_move(posting);
        }
        assert!(sums.values().all(|sum| *sum == 0), "the postings of an event balance: {postings:?}");
    }

    /// Nothing enters, leaves or is reserved in a frozen account, or is touched in a closed one.
    fn check_may_move(&self, posting: &Posting) {
        assert!(self.assets.contains_key(&posting.asset));
        match self.accounts[&posting.account].state {
            AccountState::Active => {}
            AccountState::Frozen => assert!(posting.amount.0 == 0 && posting.hold.0 <= 0, "frozen: {posting:?}"),
            AccountState::Closed => assert!(posting.amount.0 == 0 && posting.hold.0 == 0, "closed: {posting:?}"),
        }
    }

    /// A restricted account is promised nothing that it may not hold. What was admitted settles, also
    /// when the permission is withdrawn meanwhile.
    fn check_allowed(&self, account: AccountId, asset: AssetId) {
        let entry = &self.accounts[&account];
        let allowed = entry.terms.get(&asset).is_some_and(|(_, allowed)| *allowed);
        assert!(!entry.restricted || allowed, "account {account} may not hold asset {asset}");
    }

    fn event(&mut self, sequence: Sequence, body: &EventBody, postings: &[Posting]) {
        match body {
            EventBody::Rejected(_) | EventBody::MassCancelled(_) => expect(postings, &[]),
            EventBody::AssetCreated(asset) => {
                assert!(self.assets.insert(asset.asset, asset.clone()).is_none());
                expect(postings, &[]);
            }
            EventBody::AccountCreated(new) => {
                let account = Account {
                    state: AccountState::Active,
                    issuer: new.issuer,
                    restricted: new.restricted,
                    terms: BTreeMap::new(),
                };
                assert!(self.accounts.insert(new.account, account).is_none());
                expect(postings, &[]);
            }
            EventBody::AccountStateSet(set) => {
                self.accounts.get_mut(&set.account).expect("known").state = set.state;
                expect(postings, &[]);
                if set.state == AccountState::Closed {
                    let empty =
                        |(key, held): (&(AccountId, AssetId), &Held)| key.0 != set.account || *held == Held::default();
                    assert!(self.balances.iter().all(empty), "a closed account is empty");
                }
            }
            EventBody::AccountAssetSet(set) => {
                let account = self.accounts.get_mut(&set.account).expect("known");
                account.terms.insert(set.asset, (set.credit_limit.0, set.allowed));
                self.touched.insert((set.account, set.asset));
                self.balances.entry((set.account, set.asset)).or_default();
                expect(postings, &[]);
            }
            EventBody::MarketCreated(market) => {
                let entry = (market.clone(), market.phase, None);
                assert!(self.markets.insert(market.market, entry).is_none());
                expect(postings, &[]);
            }
            EventBody::MarketPhaseSet(set) => {
                self.markets.get_mut(&set.market).expect("known").1 = set.phase;
                expect(postings, &[]);
            }
            EventBody::Transferred(_)
            | EventBody::PendingPosted(_)
            | EventBody::PendingVoided(_)
            | EventBody::PendingExpired(_) => self.transfer(body, postings),
            EventBody::OrderAccepted(_)
            | EventBody::Trade(_)
            | EventBody::OrderReplaced(_)
            | EventBody::OrderReduced(_)
            | EventBody::OrderCancelled(_) => self.trading(sequence, body, postings),
            EventBody::PlanCreated(_)
            | EventBody::PlanLinesSet(_)
            | EventBody::PlanFirmed(_)
            | EventBody::PlanClosed(_)
            | EventBody::PurchasePlanned(_)
            | EventBody::PurchaseReceived(_)
            | EventBody::PurchaseClosed(_)
            | EventBody::PurchaseLinked(_) => {
                self.planning_event(sequence, body);
                expect(postings, &[]);
            }
            _ => self.production_event(sequence, body, postings),
        }
    }

    fn transfer(&mut self, body: &EventBody, postings: &[Posting]) {
        match body {
            EventBody::Transferred(done) => {
                let Amount(amount) = done.transfer.amount;
                let (debit, credit, asset) = (done.transfer.debit, done.transfer.credit, done.transfer.asset);
                self.check_allowed(credit, asset);
                match done.transfer.mode {
                    TransferMode::Immediate => {
                        expect(postings, &[(debit, asset, -amount, 0), (credit, asset, amount, 0)]);
                    }
                    TransferMode::Pending { expires_at } => {
                        let entry = (debit, asset, amount, expires_at);
                        assert!(self.pending.insert(done.id, entry).is_none());
                        expect(postings, &[(debit, asset, 0, amount)]);
                    }
                }
            }
            EventBody::PendingPosted(posted) => {
                let (debit, asset, reserved, _) = self.pending.remove(&posted.transfer).expect("pending");
                let credit = postings.iter().find(|posting| posting.account != debit).expect("a receiver").account;
                let Amount(amount) = posted.amount;
                assert!(amount >= 1 && amount <= reserved);
                self.check_allowed(credit, asset);
                expect(postings, &[(debit, asset, -amount, -reserved), (credit, asset, amount, 0)]);
            }
            EventBody::PendingVoided(ended) | EventBody::PendingExpired(ended) => {
                let (debit, asset, reserved, _) = self.pending.remove(&ended.transfer).expect("pending");
                assert_eq!(ended.amount.0, reserved);
                expect(postings, &[(debit, asset, 0, -reserved)]);
            }
            _ => unreachable!("only transfers come here"),
        }
    }

    fn trading(&mut self, sequence: Sequence, body: &EventBody, postings: &[Posting]) {
        match body {
            EventBody::OrderAccepted(accepted) => {
                let order = Order {
                    id: accepted.id,
                    account: accepted.order.account,
                    market: accepted.order.market,
                    side: accepted.order.side,
                    pricing: accepted.order.pricing,
                    quantity: accepted.order.quantity.0,
                    filled: 0,
                    reduced: 0,
                    cancelled: 0,
                    open: accepted.order.quantity.0,
                    held: 0,
                    fee_exact: 0,
                    fee_paid: 0,
                    priority: sequence,
                    expires_at: accepted.order.expires_at,
                    post_only: accepted.order.post_only,
                };
                let market = &self.markets[&order.market];
                assert_eq!(market.1, Phase::Continuous, "no order enters a market that is not open");
                self.check_allowed(order.account, if order.side == Side::Buy { market.0.base } else { market.0.quote });
                assert!(self.orders.insert(OrderId(sequence.0), order).is_none());
                self.open.insert(OrderId(sequence.0));
                self.hold_only(OrderId(sequence.0), postings);
            }
            EventBody::Trade(trade) => self.trade(trade, postings),
            EventBody::OrderReplaced(replaced) => {
                let order = self.orders.get_mut(&replaced.order).expect("known");
                assert_eq!(
                    (order.account, order.market, order.side),
                    (replaced.account, replaced.market, replaced.side)
                );
                let same_price = order.pricing == Pricing::Limit(replaced.price);
                let kept = same_price && replaced.open.0 <= order.open;
                assert_eq!(replaced.priority_kept, kept, "priority is kept for a lower quantity alone");
                // The new total counts what is filled, and no longer what self-trade prevention took.
                order.reduced = 0;
                order.quantity = replaced.quantity.0;
                order.pricing = Pricing::Limit(replaced.price);
                order.open = replaced.open.0;
                if !kept {
                    order.priority = sequence;
                }
                self.hold_only(replaced.order, postings);
            }
            EventBody::OrderReduced(reduced) => {
                let order = self.orders.get_mut(&reduced.order).expect("known");
                order.reduced += reduced.reduced.0;
                order.open -= reduced.reduced.0;
                assert_eq!(order.open, reduced.open.0);
                self.hold_only(reduced.order, postings);
            }
            EventBody::OrderCancelled(cancelled) => {
                let order = self.orders.get_mut(&cancelled.order).expect("known");
                assert_eq!(order.open, cancelled.open.0);
                order.cancelled += order.open;
                order.open = 0;
                if cancelled.reason == CancelReason::Expired {
                    assert!(order.expires_at.is_some());
                }
                self.hold_only(cancelled.order, postings);
                self.close(cancelled.order);
            }
            other => unreachable!("{other:?} is not of trading"),
        }
        self.check_orders_add_up(body);
    }

    /// The event changes nothing but what one order holds.
    fn hold_only(&mut self, id: OrderId, postings: &[Posting]) {
        let order = self.orders.get_mut(&id).expect("known");
        let market = &self.markets[&order.market].0;
        let asset = if order.side == Side::Buy { market.quote } else { market.base };
        let change: i64 = postings.iter().map(|posting| posting.hold.0).sum();
        expect(postings, &[(order.account, asset, 0, change)]);
        order.held += change;
    }

    fn trade(&mut self, trade: &Trade, postings: &[Posting]) {
        let (market, phase, last) = self.markets.get_mut(&trade.market).expect("known");
        assert_eq!(*phase, Phase::Continuous, "nothing matches in a market that is not open");
        *last = Some(trade.price);
        let market = market.clone();
        let scale = self.assets[&market.base].scale;
        let Amount(paid) = notional(trade.price, trade.quantity, scale).expect("exact");
        let mut expected = Vec::new();
        let ends = [
            (
                trade.maker,
                trade.maker_account,
                trade.taker_side.opposite(),
                trade.maker_fee,
                market.maker_fee,
                trade.maker_open,
            ),
            (trade.taker, trade.taker_account, trade.taker_side, trade.taker_fee, market.taker_fee, trade.taker_open),
        ];
        assert_ne!(trade.maker_account, trade.taker_account, "nobody trades with himself");
        assert_eq!(trade.notional.0, paid);
        assert!(trade.quantity.0 > 0);
        for (id, account, side, fee, FeeRate(rate), open) in ends {
            let order = self.orders.get_mut(&id).expect("known");
            assert_eq!((order.account, order.market, order.side), (account, trade.market, side));
            match (order.pricing, side) {
                (Pricing::Limit(limit) | Pricing::MarketToPrice(limit), Side::Buy) => assert!(trade.price <= limit),
                (Pricing::Limit(limit) | Pricing::MarketToPrice(limit), Side::Sell) => assert!(trade.price >= limit),
                (Pricing::MarketForBudget(_), side) => assert_eq!(side, Side::Buy),
            }
            order.open = order.open.checked_sub(trade.quantity.0).expect("no more than is open");
            order.filled += trade.quantity.0;
            assert_eq!(Quantity(order.open), open);
            // Fees round up, over all fills of the order together: never a unit more for many fills. A
            // rebate is limited to what the taker pays in the same trade; the rest of it stays due.
            order.fee_exact += i128::from(paid) * i128::from(rate);
            let rounded = (order.fee_exact + i128::from(FeeRate::UNIT) - 1).div_euclid(i128::from(FeeRate::UNIT));
            let least = if id == trade.taker { 0 } else { -trade.taker_fee.0 };
            let due = (rounded - i128::from(order.fee_paid)).max(i128::from(least));
            assert_eq!(i128::from(fee.0), due, "fees round up: {trade:?}");
            order.fee_paid += fee.0;
            let (asset, hold) = if side == Side::Buy {
                (market.quote, -paid - fee.0)
            } else {
                (market.base, -(trade.quantity.0 as i64))
            };
            let released: i64 =
                postings.iter().filter(|p| p.account == account && p.asset == asset).map(|p| p.hold.0).sum();
            assert!(side == Side::Buy || released == hold, "a sell holds what it has open");
            order.held += released;
            let base = if side == Side::Buy { trade.quantity.0 as i64 } else { -(trade.quantity.0 as i64) };
            let quote = if side == Side::Buy { -paid - fee.0 } else { paid - fee.0 };
            expected.push((account, market.base, base, if side == Side::Sell { released } else { 0 }));
            expected.push((account, market.quote, quote, if side == Side::Buy { released } else { 0 }));
        }
        expected.push((market.fee_account, market.quote, trade.maker_fee.0 + trade.taker_fee.0, 0));
        expect(postings, &expected);
        for id in [trade.maker, trade.taker] {
            if self.orders[&id].open == 0 {
                self.close(id);
            }
        }
        let buyer = if trade.taker_side == Side::Buy { trade.taker } else { trade.maker };
        let (account, order) = (self.orders[&buyer].account, self.orders[&buyer].id);
        self.bought(account, order, market.base, trade.quantity.0);
    }

    fn close(&mut self, id: OrderId) {
        assert_eq!(self.orders[&id].held, 0, "order {id} gave back all it held");
        assert!(self.open.remove(&id), "order {id} ended twice");
    }

    fn check_orders_add_up(&self, body: &EventBody) {
        let named = match body {
            EventBody::OrderReduced(event) => vec![event.order],
            EventBody::OrderCancelled(event) => vec![event.order],
            EventBody::OrderReplaced(event) if event.open.0 > 0 => vec![event.order],
            EventBody::Trade(trade) => vec![trade.maker, trade.taker],
            _ => vec![],
        };
        for id in named {
            let order = &self.orders[&id];
            let sum = order.filled + order.open + order.cancelled + order.reduced;
            assert_eq!(sum, order.quantity, "filled + open + cancelled + reduced = ordered: {order:?}");
        }
    }

    /// Open orders of one side of a market, best first.
    pub fn side(&self, market: MarketId, side: Side) -> Vec<(OrderId, &Order)> {
        let mut orders: Vec<_> = self.open.iter().map(|id| (*id, &self.orders[id])).collect();
        orders.retain(|(_, order)| order.market == market && order.side == side);
        orders.sort_by_key(|(_, order)| match (order.pricing, side) {
            (Pricing::Limit(price), Side::Sell) => (i128::from(price.0), order.priority),
            (Pricing::Limit(price), Side::Buy) => (-i128::from(price.0), order.priority),
            (other, _) => panic!("{other:?} rests in the book"),
        });
        orders
    }

    /// What must hold between any two commands.
    pub fn check_books(&self) {
        let mut sums: BTreeMap<AssetId, i128> = BTreeMap::new();
        let mut holds: BTreeMap<(AccountId, AssetId), i64> = BTreeMap::new();
        for id in self.open.iter() {
            let order = &self.orders[id];
            let market = &self.markets[&order.market].0;
            let asset = if order.side == Side::Buy { market.quote } else { market.base };
            *holds.entry((order.account, asset)).or_default() += order.held;
        }
        for (debit, asset, amount, _) in self.pending.values() {
            *holds.entry((*debit, *asset)).or_default() += amount;
        }
        self.work_order_holds(&mut holds);
        for ((account, asset), held) in &self.balances {
            *sums.entry(*asset).or_default() += i128::from(held.posted);
            let expected = holds.remove(&(*account, *asset)).unwrap_or(0);
            assert_eq!(held.reserved, expected, "account {account} asset {asset}: reserved is what its orders hold");
        }
        assert!(holds.is_empty() || holds.values().all(|held| *held == 0), "{holds:?}");
        assert!(sums.values().all(|sum| *sum == 0), "an asset does not sum to zero: {sums:?}");
        for market in self.markets.keys() {
            self.check_not_crossed(*market);
        }
        self.check_lots();
    }

    fn check_not_crossed(&self, market: MarketId) {
        let best = |side| self.side(market, side).first().map(|(_, order)| order.pricing);
        if let (Some(Pricing::Limit(bid)), Some(Pricing::Limit(ask))) = (best(Side::Buy), best(Side::Sell)) {
            assert!(bid < ask, "market {market} is crossed: {bid} ≥ {ask}");
        }
    }

    /// `available ≥ -credit limit` for the balances that the last record touched.
    pub fn check_limits(&self) {
        for key @ (account, asset) in &self.touched {
            let terms = &self.accounts[account];
            let held = self.balances[key];
            let credit = terms.terms.get(asset).map_or(0, |terms| terms.0);
            let legal = terms.issuer || held.available() >= -i128::from(credit);
            assert!(legal, "account {account} asset {asset}: {held:?} is below -{credit}");
        }
    }
}

/// Demands that the postings, summed per balance, are these changes and no other.
fn expect(postings: &[Posting], changes: &[(AccountId, AssetId, i64, i64)]) {
    let mut sums: BTreeMap<(AccountId, AssetId), (i64, i64)> = BTreeMap::new();
    for (account, asset, amount, hold) in changes {
        let sum = sums.entry((*account, *asset)).or_default();
        (sum.0, sum.1) = (sum.0 + amount, sum.1 + hold);
    }
    for posting in postings {
        let sum = sums.entry((posting.account, posting.asset)).or_default();
        (sum.0, sum.1) = (sum.0 - posting.amount.0, sum.1 - posting.hold.0);
    }
    assert!(sums.values().all(|sum| *sum == (0, 0)), "postings {postings:?} should be {changes:?}");
}
