//! The entries of the index: one order of bytes for everything that is looked up.
//!
//! An entry is `key ‖ sequence (8, big-endian)`, and for a used command `‖ fingerprint (8, little-
//! endian)`. A key is a kind byte and fixed-width big-endian fields, so that entries of one key
//! stand together, in the order of their sequences. A kind's number is part of the file format.

use std::collections::BTreeSet;

use crate::core::Used;
use crate::core::codec::{Decode as _, DecodeError, Encode as _, Reader, record};
use crate::core::command::{CommandKey, Scope};
use crate::core::digest::hash64;
use crate::core::event::{EventBody, RecordView};
use crate::core::reply::work_order_of;
use crate::core::types::{AccountId, AssetId, Code, CommandId, MarketId, OrderId, PlantId, Sequence, WorkOrderId};

/// The longest entry: a used command.
pub const ENTRY_BYTES_MAX: usize = KEY_BYTES_MAX + SEQUENCE_BYTES + FINGERPRINT_BYTES;

/// The longest key: a command's.
pub const KEY_BYTES_MAX: usize = 25;

/// Bytes of the sequence behind a key.
pub const SEQUENCE_BYTES: usize = 8;

/// Bytes of the fingerprint behind a used command's sequence.
pub const FINGERPRINT_BYTES: usize = 8;

/// Kinds below this are used commands; the kind is the scope's number.
const HISTORY_KINDS: u8 = 10;

/// A list of events that can be paged through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HistoryKey {
    /// The events that changed this account's balance of this asset.
    Postings(AccountId, AssetId),
    /// The events that accepted this account's orders; their sequences are the order ids.
    OrdersOf(AccountId),
    /// Every event of an order behind its acceptance, which is the one that its id names: trades, changes, its end.
    ChangesOf(OrderId),
    /// The trades in a market.
    TradesIn(MarketId),
    /// The trades of an account, as maker or taker.
    TradesOf(AccountId),
    /// The event that ended this pending transfer: a post, a void or its expiry.
    EndOf(CommandId),
    /// Every event of a work order: creation, work, end.
    WorkOrder(WorkOrderId),
    /// The events that moved units of this lot, and few of other lots.
    Lot(AssetId, LotDigest),
    /// The events that created this plant's work orders; their sequences are the work orders' ids.
    WorkOrdersOf(PlantId),
}

/// A lot number as the index knows it, since a key is shorter than a lot number. Two numbers of one
/// digest stand in one list: who reads it looks at the events themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LotDigest(u64);

impl From<Code> for LotDigest {
    fn from(number: Code) -> Self {
        Self(hash64(number.as_str().as_bytes()))
    }
}

/// The bytes of a key, on the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyBytes {
    bytes: [u8; KEY_BYTES_MAX],
    len: u8,
}

impl KeyBytes {
    fn new(kind: u8) -> Self {
        let mut bytes = [0; KEY_BYTES_MAX];
        bytes[0] = kind;
        Self { bytes, len: 1 }
    }

    fn with(mut self, field: &[u8]) -> Self {
        let start = usize::from(self.len);
        self.bytes[start..start + field.len()].copy_from_slice(field);
        self.len += field.len() as u8;
        self
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl From<&CommandKey> for KeyBytes {
    /// The id before the account: ids that rise with time then rise through a run, whichever accounts send them.
    fn from(key: &CommandKey) -> Self {
        Self::new(key.scope.number()).with(&key.id.0.to_be_bytes()).with(&key.account.0.to_be_bytes())
    }
}

impl From<HistoryKey> for KeyBytes {
    fn from(key: HistoryKey) -> Self {
        match key {
            HistoryKey::Postings(account, asset) => {
                Self::new(10).with(&account.0.to_be_bytes()).with(&asset.0.to_be_bytes())
            }
            HistoryKey::OrdersOf(account) => Self::new(11).with(&account.0.to_be_bytes()),
            HistoryKey::ChangesOf(order) => Self::new(12).with(&order.0.to_be_bytes()),
            HistoryKey::TradesIn(market) => Self::new(13).with(&market.0.to_be_bytes()),
            HistoryKey::TradesOf(account) => Self::new(14).with(&account.0.to_be_bytes()),
            HistoryKey::EndOf(transfer) => Self::new(15).with(&transfer.0.to_be_bytes()),
            HistoryKey::WorkOrder(order) => Self::new(16).with(&order.0.to_be_bytes()),
            HistoryKey::WorkOrdersOf(plant) => Self::new(18).with(&plant.0.to_be_bytes()),
            HistoryKey::Lot(asset, number) => Self::new(17).with(&asset.0.to_be_bytes()).with(&number.0.to_be_bytes()),
        }
    }
}

/// A command's key as it is asked of many runs: what they need of it is made once.
#[derive(Debug, Clone, Copy)]
pub struct Sought {
    bytes: KeyBytes,
    hash: u64,
}

impl From<&CommandKey> for Sought {
    fn from(key: &CommandKey) -> Self {
        let bytes = KeyBytes::from(key);
        Self { bytes, hash: hash64(bytes.as_slice()) }
    }
}

impl Sought {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// What a filter knows it by: see [`hash_of`].
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

/// What a filter knows a command's key by.
#[must_use]
pub fn hash_of(command_key: &[u8]) -> u64 {
    hash64(command_key)
}

record! {
    /// The ids between two.
    #[derive(Copy)]
    struct Span {
        least: CommandId,
        greatest: CommandId,
    }
}

/// Per scope the least and the greatest id. Where clients choose ids that rise with time, a fresh
/// one is above all of them in every part of the index but the newest, which then need not be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdSpans {
    spans: [Option<Span>; Scope::ALL.len()],
}

impl IdSpans {
    fn place(scope: Scope) -> usize {
        usize::from(scope.number()) - 1
    }

    /// Takes a key in.
    pub fn add(&mut self, scope: Scope, id: CommandId) {
        let span = &mut self.spans[Self::place(scope)];
        let Span { least, greatest } = span.unwrap_or(Span { least: id, greatest: id });
        *span = Some(Span { least: least.min(id), greatest: greatest.max(id) });
    }

    /// Takes all in that the other ones span.
    pub fn widen(&mut self, other: &Self) {
        for (span, other) in self.spans.iter_mut().zip(&other.spans) {
            *span = match (*span, *other) {
                (Some(one), Some(other)) => {
                    Some(Span { least: one.least.min(other.least), greatest: one.greatest.max(other.greatest) })
                }
                (one, other) => one.or(other),
            };
        }
    }

    /// Takes the key in that these bytes are.
    pub fn add_bytes(&mut self, command_key: &[u8]) {
        let (scope, rest) = command_key.split_at(1);
        let id = rest.first_chunk().map(|id| CommandId(u128::from_be_bytes(*id)));
        if let (Some(scope), Some(id)) = (Scope::from_number(scope[0]), id) {
            self.add(scope, id);
        }
    }

    /// Whether the key lies within.
    #[must_use]
    pub fn span(&self, key: &CommandKey) -> bool {
        self.spans[Self::place(key.scope)].is_some_and(|span| span.least <= key.id && key.id <= span.greatest)
    }

    /// Whether the key that these bytes are lies within.
    #[must_use]
    pub fn span_bytes(&self, command_key: &[u8]) -> bool {
        let mut wider = self.clone();
        wider.add_bytes(command_key);
        wider == *self
    }

    /// Appends their bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.spans.iter().for_each(|span| span.encode(out));
    }

    /// Reads them back.
    ///
    /// # Errors
    /// When the bytes are not those of spans.
    pub fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut spans = Self::default();
        for span in &mut spans.spans {
            *span = Option::decode(input)?;
        }
        Ok(spans)
    }
}

/// One entry as it stands in a run: its bytes, zeroes behind them, and last how many they are. Merging compares
/// entries more than it does anything else, so that they are compared by words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    bytes: [u8; ENTRY_BYTES],
}

/// Bytes of an entry in memory: whole words.
const ENTRY_BYTES: usize = (ENTRY_BYTES_MAX + 1).next_multiple_of(size_of::<u64>());

/// Where an entry's length stands.
const LEN_AT: usize = ENTRY_BYTES - 1;

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Of two that differ in their lengths alone the longer has zeroes where the other ends: it comes later.
        self.words().cmp(other.words())
    }
}

impl Entry {
    /// A used command.
    #[must_use]
    pub fn used(key: &CommandKey, used: Used) -> Self {
        let mut entry = Self::event(&KeyBytes::from(key), used.sequence);
        entry.extend(&used.fingerprint.to_le_bytes());
        entry
    }

    /// An event of a history.
    #[must_use]
    pub fn event(key: &KeyBytes, sequence: Sequence) -> Self {
        Self::before(key).with_sequence(sequence)
    }

    /// What histories are sorted by: no key of one is longer.
    pub(super) fn history_order(key: HistoryKey) -> [u64; 3] {
        let before = Self::before_history(key);
        debug_assert!(before.len() <= size_of::<[u64; 3]>(), "the words hold the key");
        let mut words = before.words();
        std::array::from_fn(|_| words.next().unwrap_or_default())
    }

    /// What comes before every event of a history, and begins as they do.
    #[must_use]
    pub fn before_history(key: HistoryKey) -> Self {
        Self::before(&KeyBytes::from(key))
    }

    fn before(key: &KeyBytes) -> Self {
        let mut entry = Self::EMPTY;
        entry.bytes[..KEY_BYTES_MAX].copy_from_slice(&key.bytes);
        entry.bytes[LEN_AT] = key.len;
        entry
    }

    /// The event with this sequence, of the history whose beginning this is.
    #[must_use]
    pub fn with_sequence(mut self, sequence: Sequence) -> Self {
        self.extend(&sequence.0.to_be_bytes());
        self
    }

    fn extend(&mut self, more: &[u8]) {
        let len = self.len();
        self.bytes[len..len + more.len()].copy_from_slice(more);
        self.bytes[LEN_AT] = (len + more.len()) as u8;
    }

    /// Makes it the entry that begins with its first `shared` bytes, of which there are so many, and goes on with
    /// `rest`; there are at most [`ENTRY_BYTES_MAX`] in all.
    pub(super) fn go_on(&mut self, shared: usize, rest: &[u8]) {
        let (before, len) = (self.len(), shared + rest.len());
        self.bytes[shared..len].copy_from_slice(rest);
        if len < before {
            self.bytes[len..before].fill(0);
        }
        self.bytes[LEN_AT] = len as u8;
    }

    /// No bytes at all: what comes before every entry.
    pub(super) const EMPTY: Self = Self { bytes: [0; ENTRY_BYTES] };

    fn len(&self) -> usize {
        usize::from(self.bytes[LEN_AT])
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        let (words, _) = self.bytes.as_chunks();
        words.iter().map(|word| u64::from_be_bytes(*word))
    }

    /// How many bytes it begins with that the other one begins with too.
    pub(super) fn shared_with(&self, other: &Self) -> usize {
        let differing = self.words().zip(other.words()).map(|(one, other)| one ^ other);
        let first = differing.enumerate().find(|(_, differing)| *differing != 0);
        let first = first.map_or(ENTRY_BYTES, |(word, differing)| {
            word * size_of::<u64>() + (differing.leading_zeros() / u8::BITS) as usize
        });
        first.min(self.len()).min(other.len())
    }
}

/// The bytes of the entry that are its key, when they are a used command's.
#[must_use]
pub fn command_key_of(entry: &[u8]) -> Option<&[u8]> {
    let is_command = entry.len() == ENTRY_BYTES_MAX && entry[0] < HISTORY_KINDS;
    is_command.then(|| &entry[..KEY_BYTES_MAX])
}

/// The sequence and fingerprint of an entry that begins with this command's key.
#[must_use]
pub fn used_of(entry: &[u8]) -> Option<Used> {
    command_key_of(entry)?;
    let (sequence, fingerprint) = entry[KEY_BYTES_MAX..].split_at(SEQUENCE_BYTES);
    Some(Used {
        fingerprint: u64::from_le_bytes(fingerprint.try_into().ok()?),
        sequence: Sequence(u64::from_be_bytes(sequence.try_into().ok()?)),
    })
}

/// The sequence of an entry of this history, or `None` when it belongs to another key.
#[must_use]
pub fn sequence_of(entry: &[u8], key: &KeyBytes) -> Option<Sequence> {
    let rest = entry.strip_prefix(key.as_slice())?;
    Some(Sequence(u64::from_be_bytes(rest.try_into().ok()?)))
}

/// Names every history that an event of the record belongs to.
pub fn for_each_history(record: RecordView<'_>, mut note: impl FnMut(HistoryKey, Sequence)) {
    for (sequence, body, postings) in record.events() {
        for (place, posting) in postings.iter().enumerate() {
            let same =
                |other: &crate::core::event::Posting| (other.account, other.asset) == (posting.account, posting.asset);
            if !postings[..place].iter().any(same) {
                note(HistoryKey::Postings(posting.account, posting.asset), sequence);
            }
        }
        match body {
            EventBody::OrderAccepted(accepted) => note(HistoryKey::OrdersOf(accepted.order.account), sequence),
            EventBody::Trade(trade) => {
                note(HistoryKey::TradesIn(trade.market), sequence);
                note(HistoryKey::TradesOf(trade.maker_account), sequence);
                if trade.taker_account != trade.maker_account {
                    note(HistoryKey::TradesOf(trade.taker_account), sequence);
                }
                note(HistoryKey::ChangesOf(trade.maker), sequence);
                note(HistoryKey::ChangesOf(trade.taker), sequence);
            }
            EventBody::OrderReplaced(replaced) => note(HistoryKey::ChangesOf(replaced.order), sequence),
            EventBody::OrderReduced(reduced) => note(HistoryKey::ChangesOf(reduced.order), sequence),
            EventBody::OrderCancelled(cancelled) => note(HistoryKey::ChangesOf(cancelled.order), sequence),
            EventBody::PendingPosted(posted) => note(HistoryKey::EndOf(posted.transfer), sequence),
            EventBody::PendingVoided(ended) | EventBody::PendingExpired(ended) => {
                note(HistoryKey::EndOf(ended.transfer), sequence);
            }
            EventBody::LotsMoved(lots) => {
                let lots = lots.moves.iter().map(|moved| (moved.asset, LotDigest::from(moved.lot)));
                let lots: BTreeSet<_> = lots.collect();
                lots.into_iter().for_each(|(asset, number)| note(HistoryKey::Lot(asset, number), sequence));
            }
            EventBody::WorkOrderCreated(_)
            | EventBody::WorkOrderReleased(_)
            | EventBody::WorkOrderChanged(_)
            | EventBody::MaterialsIssued(_)
            | EventBody::MaterialsReturned(_)
            | EventBody::OperationReported(_)
            | EventBody::WorkOrderCompleted(_) => {
                if let Some(order) = work_order_of(body) {
                    note(HistoryKey::WorkOrder(order.id), sequence);
                    if matches!(body, EventBody::WorkOrderCreated(_)) {
                        note(HistoryKey::WorkOrdersOf(order.plant), sequence);
                    }
                }
            }
            EventBody::Rejected(_)
            | EventBody::PlantDefined(_)
            | EventBody::CalendarSet(_)
            | EventBody::ItemDefined(_)
            | EventBody::BomDefined(_)
            | EventBody::StockMoved(_)
            | EventBody::PlanCreated(_)
            | EventBody::PlanLinesSet(_)
            | EventBody::PlanFirmed(_)
            | EventBody::PlanClosed(_)
            | EventBody::PurchasePlanned(_)
            | EventBody::PurchaseReceived(_)
            | EventBody::PurchaseClosed(_)
            | EventBody::PurchaseLinked(_)
            | EventBody::AssetCreated(_)
            | EventBody::AccountCreated(_)
            | EventBody::AccountStateSet(_)
            | EventBody::AccountAssetSet(_)
            | EventBody::MarketCreated(_)
            | EventBody::MarketPhaseSet(_)
            | EventBody::Transferred(_)
            | EventBody::MassCancelled(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::command::Scope;
    use crate::core::types::CommandId;

    #[test]
    fn entries_of_one_key_stand_together_in_order() {
        let key = HistoryKey::Postings(AccountId(7), AssetId(1));
        let mut entries: Vec<Entry> =
            [300, 2, 70_000].iter().map(|at| Entry::event(&key.into(), Sequence(*at))).collect();
        entries.push(Entry::event(&HistoryKey::Postings(AccountId(7), AssetId(2)).into(), Sequence(1)));
        entries.push(Entry::event(&HistoryKey::Postings(AccountId(6), AssetId(9)).into(), Sequence(999)));
        entries.sort();
        let mine = entries.iter().filter_map(|entry| sequence_of(entry.as_slice(), &key.into()));
        assert_eq!(mine.collect::<Vec<_>>(), [2, 300, 70_000].map(Sequence));
        assert_eq!(sequence_of(entries[0].as_slice(), &key.into()), None);
    }

    #[test]
    fn a_used_command_reads_back() {
        let key = CommandKey { scope: Scope::Trading, account: AccountId(5), id: CommandId(u128::MAX - 3) };
        let used = Used { fingerprint: 0x0123_4567_89ab_cdef, sequence: Sequence(77) };
        let entry = Entry::used(&key, used);
        assert_eq!(used_of(entry.as_slice()), Some(used));
        assert_eq!(command_key_of(entry.as_slice()), Some(KeyBytes::from(&key).as_slice()));
        let order = Entry::event(&HistoryKey::ChangesOf(OrderId(1)).into(), Sequence(1));
        assert_eq!(command_key_of(order.as_slice()), None);
    }
}
