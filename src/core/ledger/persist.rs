//! The state as records, and from records.
//!
//! A record is its format version and its fields, padded with zeroes to the length that its table
//! has. Books, lists, indexes and deadlines are not stored: they follow from the records.

use super::accounts::AccountEntry;
use super::records::{Account, Asset, Balance, Header, Market, Order, Pending};
use super::transfers::{PendingEntry, Pendings};
use super::{HEADER_SLOT, Ledger};
use crate::codec::{Decode, Encode, Reader};
use crate::command::{CreateAsset, Pricing};
use crate::production;
use crate::state::{RecordKey, RestoreError, Table};
use crate::table::{HashSeed, Slot};
use crate::trading::{OrderEntry, Orders};

/// The format of every record here.
const RECORD_VERSION: u8 = 1;

impl Ledger {
    /// Appends the bytes of one record: [`Table::record_len`](crate::Table::record_len) of
    /// them, all zero when the slot is empty.
    pub fn encode_record(&self, key: RecordKey, out: &mut Vec<u8>) {
        let start = out.len();
        let slot = key.slot;
        match key.table {
            Table::Header => put((slot == HEADER_SLOT).then_some(&self.header), out),
            Table::Asset => put(self.assets.get(slot), out),
            Table::Account => put(self.accounts.get(slot).map(|entry| &entry.account), out),
            Table::Balance => put(self.balances.entries.get(slot).map(|entry| &entry.balance), out),
            Table::Market => put(self.markets.get(slot).map(|entry| &entry.market), out),
            Table::Order => put(self.orders.entries.get(slot).map(|entry| &entry.order), out),
            Table::Pending => put(self.pendings.entries.get(slot).map(|entry| &entry.pending), out),
            _ => self.encode_production(key, out),
        }
        let end = start + key.table.record_len();
        assert!(out.len() <= end, "a record is longer than its table allows");
        out.resize(end, 0);
    }

    /// The places of all records of the state, table by table.
    pub fn records(&self) -> impl Iterator<Item = RecordKey> {
        let in_table = |table| move |slot| RecordKey { table, slot };
        let orders = self.orders.entries.iter().map(|(slot, _)| slot);
        let pendings = self.pendings.entries.iter().map(|(slot, _)| slot);
        std::iter::once(RecordKey { table: Table::Header, slot: HEADER_SLOT })
            .chain((0..self.assets.len()).map(in_table(Table::Asset)))
            .chain((0..self.accounts.len()).map(in_table(Table::Account)))
            .chain((0..self.balances.entries.len()).map(in_table(Table::Balance)))
            .chain((0..self.markets.len()).map(in_table(Table::Market)))
            .chain(orders.map(in_table(Table::Order)))
            .chain(pendings.map(in_table(Table::Pending)))
            .chain(self.production_records())
    }

    /// Builds the state from its records, in any order; empty slots may be left out. The header is
    /// always there: no records at all are not a state.
    ///
    /// # Errors
    /// When the records are not a state: one that does not decode, names what is not there, or
    /// stands twice; or when the state breaks an invariant, see [`Self::check_invariants`].
    pub fn restore<'a>(
        records: impl Iterator<Item = (RecordKey, &'a [u8])>,
        seed: HashSeed,
    ) -> Result<Self, RestoreError> {
        let mut rows = Rows::default();
        for (key, bytes) in records {
            rows.read(key, bytes)?;
        }
        let mut ledger = Self::with_seed(seed);
        ledger.restore_header(rows.headers)?;
        ledger.restore_assets(rows.assets)?;
        ledger.restore_accounts(rows.accounts)?;
        ledger.restore_items(&mut rows.production)?;
        ledger.restore_balances(rows.balances)?;
        ledger.restore_markets(rows.markets)?;
        ledger.restore_orders(rows.orders, seed)?;
        ledger.restore_pendings(rows.pendings, seed)?;
        ledger.restore_production(rows.production)?;
        let broken = |broken: super::BrokenInvariant| RestoreError { key: broken.key, reason: broken.reason };
        ledger.check_invariants().map_err(broken)?;
        Ok(ledger)
    }

    fn restore_header(&mut self, rows: Vec<(Slot, Header)>) -> Result<(), RestoreError> {
        let mut rows = dense(Table::Header, rows)?.into_iter();
        let (_, header) = rows.next().ok_or_else(|| wrong(Table::Header, HEADER_SLOT, "is missing"))?;
        if let Some((slot, _)) = rows.next() {
            return Err(wrong(Table::Header, slot, "stands twice"));
        }
        self.header = header;
        Ok(())
    }

    fn restore_assets(&mut self, rows: Vec<(Slot, Asset)>) -> Result<(), RestoreError> {
        for (slot, asset) in dense(Table::Asset, rows)? {
            let is_taken = |other: &Asset| other.id == asset.id || other.code == asset.code;
            if self.assets.iter().any(is_taken) {
                return Err(wrong(Table::Asset, slot, "its id or code stands twice"));
            }
            if asset.scale > CreateAsset::SCALE_MAX {
                return Err(wrong(Table::Asset, slot, "its scale is out of range"));
            }
            self.assets.push(asset);
            self.balances.add_asset();
        }
        Ok(())
    }

    fn restore_accounts(&mut self, rows: Vec<(Slot, Account)>) -> Result<(), RestoreError> {
        for (slot, account) in dense(Table::Account, rows)? {
            if self.accounts.slot(account.id).is_some() {
                return Err(wrong(Table::Account, slot, "its id stands twice"));
            }
            self.accounts.push(AccountEntry::new(account));
        }
        Ok(())
    }

    fn restore_balances(&mut self, rows: Vec<(Slot, Balance)>) -> Result<(), RestoreError> {
        for (slot, balance) in dense(Table::Balance, rows)? {
            let owner = self.accounts.slot(balance.account);
            let (Some(owner), Some(asset)) = (owner, self.assets.slot(balance.asset)) else {
                return Err(wrong(Table::Balance, slot, "its account or asset is missing"));
            };
            if self.balance(balance.account, balance.asset).is_some() {
                return Err(wrong(Table::Balance, slot, "stands twice"));
            }
            if self.balances.add(balance, asset).is_none() {
                return Err(wrong(Table::Balance, slot, "is out of range"));
            }
            self.accounts[owner].balances.push_back(&mut self.balances.entries, slot);
        }
        Ok(())
    }

    fn restore_markets(&mut self, rows: Vec<(Slot, Market)>) -> Result<(), RestoreError> {
        for (slot, market) in dense(Table::Market, rows)? {
            self.add_market(market).map_err(|reason| wrong(Table::Market, slot, reason.code()))?;
        }
        Ok(())
    }

    fn restore_orders(&mut self, rows: Vec<(Slot, Order)>, seed: HashSeed) -> Result<(), RestoreError> {
        let mut entries = Vec::new();
        for (slot, order) in in_order(Table::Order, rows)? {
            entries.push((slot, self.order_entry(slot, order)?));
        }
        self.orders = Orders::with_rows(entries.iter().copied(), seed);
        for (slot, entry) in &entries {
            let Order { id, account, client_order_id, .. } = entry.order;
            let by_client_id = self.orders.slot_by_client_id(account, client_order_id);
            if self.orders.slot(id) != Some(*slot) || by_client_id != Some(*slot) {
                return Err(wrong(Table::Order, *slot, "one of its ids stands twice"));
            }
        }
        entries.sort_unstable_by_key(|(_, entry)| entry.order.id);
        for (slot, entry) in &entries {
            self.accounts[entry.owner].orders.push_back(&mut self.orders.entries, *slot);
            self.deadlines.extend(entry.deadline());
        }
        entries.sort_unstable_by_key(|(_, entry)| entry.order.priority);
        for (slot, entry) in &entries {
            let market = self.markets.slot(entry.order.market).expect("looked up for its entry");
            let side = self.markets[market].book.side_mut(entry.order.side);
            if side.open().checked_add(entry.order.open.0).is_none() {
                return Err(wrong(Table::Order, *slot, "the open quantity of its book does not fit"));
            }
            side.insert(&mut self.orders.entries, *slot);
        }
        Ok(())
    }

    fn order_entry(&self, slot: Slot, order: Order) -> Result<OrderEntry, RestoreError> {
        let owner = self.accounts.slot(order.account);
        let (Some(owner), Some(market)) = (owner, self.markets.find(order.market)) else {
            return Err(wrong(Table::Order, slot, "its account or market is missing"));
        };
        if !matches!(order.pricing, Pricing::Limit(_)) {
            return Err(wrong(Table::Order, slot, "has no limit to rest at"));
        }
        let given = self.assets[market.given(order.side)].id;
        let Some(held_in) = self.balances.entries.slot((order.account, given)) else {
            return Err(wrong(Table::Order, slot, "the balance that it is held in is missing"));
        };
        Ok(OrderEntry::new(order, owner, held_in))
    }

    fn restore_pendings(&mut self, rows: Vec<(Slot, Pending)>, seed: HashSeed) -> Result<(), RestoreError> {
        let mut entries = Vec::new();
        for (slot, pending) in in_order(Table::Pending, rows)? {
            let owner = self.accounts.slot(pending.debit).filter(|_| self.accounts.slot(pending.credit).is_some());
            let (Some(debtor), Some(_)) = (owner, self.assets.slot(pending.asset)) else {
                return Err(wrong(Table::Pending, slot, "an account or its asset is missing"));
            };
            entries.push((slot, PendingEntry::new(pending, debtor)));
        }
        self.pendings = Pendings::with_rows(entries.iter().copied(), seed);
        entries.sort_unstable_by_key(|(_, entry)| entry.pending.sequence);
        for (slot, entry) in &entries {
            if self.pendings.slot(entry.pending.id) != Some(*slot) {
                return Err(wrong(Table::Pending, *slot, "its id stands twice"));
            }
            self.accounts[entry.debtor].pendings.push_back(&mut self.pendings.entries, *slot);
            self.deadlines.extend(entry.deadline());
        }
        Ok(())
    }
}

pub fn put(record: Option<&impl Encode>, out: &mut Vec<u8>) {
    if let Some(record) = record {
        out.push(RECORD_VERSION);
        record.encode(out);
    }
}

pub fn wrong(table: Table, slot: Slot, reason: impl Into<String>) -> RestoreError {
    RestoreError { key: RecordKey { table, slot }, reason: reason.into() }
}

/// Records as they come, by table.
#[derive(Default)]
struct Rows {
    headers: Vec<(Slot, Header)>,
    assets: Vec<(Slot, Asset)>,
    accounts: Vec<(Slot, Account)>,
    balances: Vec<(Slot, Balance)>,
    markets: Vec<(Slot, Market)>,
    orders: Vec<(Slot, Order)>,
    pendings: Vec<(Slot, Pending)>,
    production: production::Rows,
}

impl Rows {
    fn read(&mut self, key: RecordKey, bytes: &[u8]) -> Result<(), RestoreError> {
        match key.table {
            Table::Header => read_into(&mut self.headers, key, bytes),
            Table::Asset => read_into(&mut self.assets, key, bytes),
            Table::Account => read_into(&mut self.accounts, key, bytes),
            Table::Balance => read_into(&mut self.balances, key, bytes),
            Table::Market => read_into(&mut self.markets, key, bytes),
            Table::Order => read_into(&mut self.orders, key, bytes),
            Table::Pending => read_into(&mut self.pendings, key, bytes),
            _ => self.production.read(key, bytes),
        }
    }
}

pub fn read_into<T: Decode>(rows: &mut Vec<(Slot, T)>, key: RecordKey, bytes: &[u8]) -> Result<(), RestoreError> {
    let RecordKey { table, slot } = key;
    if bytes.len() != table.record_len() {
        return Err(wrong(table, slot, format!("is {} bytes long", bytes.len())));
    }
    let is_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
    if is_zero(bytes) {
        return Ok(());
    }
    let (version, rest) = (bytes[0], &bytes[1..]);
    if version != RECORD_VERSION {
        return Err(wrong(table, slot, format!("has the unknown format {version}")));
    }
    let mut input = Reader::new(rest);
    let record = T::decode(&mut input).map_err(|error| wrong(table, slot, error.to_string()))?;
    if !is_zero(input.remaining()) {
        return Err(wrong(table, slot, "has bytes behind its end"));
    }
    rows.push((slot, record));
    Ok(())
}

/// The rows by slot, each slot once.
pub fn in_order<T>(table: Table, mut rows: Vec<(Slot, T)>) -> Result<Vec<(Slot, T)>, RestoreError> {
    rows.sort_by_key(|(slot, _)| *slot);
    match rows.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(wrong(table, pair[0].0, "stands twice")),
        None => Ok(rows),
    }
}

/// The rows by slot, without a gap.
pub fn dense<T>(table: Table, rows: Vec<(Slot, T)>) -> Result<Vec<(Slot, T)>, RestoreError> {
    let rows = in_order(table, rows)?;
    match (0..).zip(&rows).find(|(expected, (slot, _))| expected != slot) {
        Some((expected, _)) => Err(wrong(table, expected, "is missing")),
        None => Ok(rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Body;
    use crate::fixture::{ANN, BOB, BOLT_USD, Exchange, USD, limit, pending};
    use crate::types::Side;

    type Stored = Vec<(RecordKey, Vec<u8>)>;

    fn busy_exchange() -> Exchange {
        let mut exchange = Exchange::with_fees(-20, 300);
        exchange.enter(limit(ANN, Side::Sell, 50, 120));
        exchange.enter(limit(ANN, Side::Sell, 30, 110));
        exchange.enter(limit(BOB, Side::Buy, 40, 110));
        exchange.enter(limit(BOB, Side::Buy, 10, 90));
        exchange.accept(Body::Transfer(pending(ANN, BOB, USD, 10, Some(99))));
        exchange
    }

    fn store(ledger: &Ledger) -> Stored {
        let encode = |key| {
            let mut bytes = Vec::new();
            ledger.encode_record(key, &mut bytes);
            (key, bytes)
        };
        ledger.records().map(encode).collect()
    }

    fn restore(stored: &Stored) -> Result<Ledger, RestoreError> {
        Ledger::restore(stored.iter().map(|(key, bytes)| (*key, bytes.as_slice())), HashSeed(3, 4))
    }

    #[test]
    fn a_state_reads_back_from_its_records_in_any_order() {
        let exchange = busy_exchange();
        let mut stored = store(&exchange.ledger);
        stored.reverse();
        let restored = restore(&stored).expect("records of a state are a state");
        stored.reverse();
        assert_eq!(store(&restored), stored);
        assert_eq!(restored.next_deadline(), exchange.ledger.next_deadline());
        let ids = |ledger: &Ledger| ledger.market_orders(BOLT_USD).map(|o| o.id).collect::<Vec<_>>();
        assert_eq!(ids(&restored), ids(&exchange.ledger));
    }

    #[test]
    fn every_record_has_the_length_of_its_table_and_an_empty_slot_is_zero() {
        let exchange = busy_exchange();
        for (key, bytes) in store(&exchange.ledger) {
            assert_eq!((bytes.len(), bytes[0]), (key.table.record_len(), RECORD_VERSION));
        }
        let mut bytes = Vec::new();
        exchange.ledger.encode_record(RecordKey { table: Table::Order, slot: 999 }, &mut bytes);
        assert_eq!(bytes, vec![0; Table::Order.record_len()]);
    }

    #[test]
    fn no_record_can_be_missing_or_stand_twice() {
        let stored = store(&busy_exchange().ledger);
        for place in 0..stored.len() {
            let mut fewer = stored.clone();
            let (key, bytes) = fewer.remove(place);
            assert!(restore(&fewer).is_err(), "without {key:?}");
            let mut twice = stored.clone();
            twice.push((key, bytes));
            assert!(restore(&twice).is_err(), "{key:?} twice");
        }
        assert!(restore(&Vec::new()).is_err(), "no records at all");
    }

    #[test]
    fn changed_bytes_are_refused_or_read_as_they_are_and_never_panic() {
        let stored = store(&busy_exchange().ledger);
        for place in 0..stored.len() {
            for byte in 0..stored[place].1.len() {
                let mut changed = stored.clone();
                changed[place].1[byte] ^= 0x41;
                if let Ok(ledger) = restore(&changed) {
                    assert_eq!(store(&ledger), changed, "a record is read as something else");
                }
            }
        }
    }
}
