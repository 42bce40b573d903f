//! A ledger with everything it leaves behind: the records, the ids used, and the stored state, kept
//! from the changed records alone, as the store keeps it.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_core::command::{Command, CommandKey, Proposal};
use counterfoil_core::event::{Effects, Outcome, Record};
use counterfoil_core::types::{LogIndex, Stamp, Term, Timestamp};
use counterfoil_core::{Decode, HashSeed, History, Ledger, Reader, RecordKey, StateDigest, Table, Used};

/// The ids used, in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryHistory(pub BTreeMap<CommandKey, Used>);

impl History for MemoryHistory {
    fn find(&self, key: &CommandKey) -> Option<Used> {
        self.0.get(key).copied()
    }

    fn remember(&mut self, key: CommandKey, used: Used) {
        assert_eq!(self.0.insert(key, used), None, "{key:?} is remembered twice");
    }
}

/// The stored state: the bytes of each record that is not empty.
pub type Pages = BTreeMap<RecordKey, Vec<u8>>;

/// A ledger that is driven and watched.
#[derive(Debug, Default)]
pub struct Bench {
    /// The ledger.
    pub ledger: Ledger,
    /// The ids it used.
    pub history: MemoryHistory,
    /// Its state as the store would hold it.
    pub pages: Pages,
    /// The running digest of `pages`.
    pub digest: StateDigest,
    /// Every place that ever changed.
    pub places: BTreeSet<RecordKey>,
    /// Every record it made.
    pub records: Vec<Record>,
    /// Everything that was proposed.
    pub proposals: Vec<(Stamp, Proposal)>,
    effects: Effects,
    changes: Vec<RecordKey>,
}

impl Bench {
    /// A bench with an empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// A bench that goes on from the stored state and the used ids of another.
    pub fn restored_from(other: &Self) -> Self {
        let records = other.pages.iter().map(|(key, bytes)| (*key, bytes.as_slice()));
        let ledger = Ledger::restore(records, HashSeed::default()).expect("stored records are a state");
        let mut bench = Self { ledger, history: other.history.clone(), ..Self::default() };
        // What was restored is stored already; what restoring gives back must be the same state.
        for (table, bytes) in other.pages.iter().map(|(key, bytes)| (key.table, bytes)) {
            bench.digest.add(table.number(), bytes);
        }
        bench.pages = other.pages.clone();
        bench.places = other.pages.keys().copied().collect();
        bench
    }

    /// Proposes `commands` at `time`. Returns the outcomes, and the place of the first new record.
    pub fn propose(&mut self, time: Timestamp, commands: Vec<Command>) -> (Vec<Outcome>, usize) {
        let index = self.proposals.last().map_or(1, |(stamp, _)| stamp.index.0 + 1);
        let stamp = Stamp { term: Term(1), index: LogIndex(index), time };
        self.apply(stamp, Proposal::new(time, commands))
    }

    /// Applies a proposal under its stamp.
    pub fn apply(&mut self, stamp: Stamp, proposal: Proposal) -> (Vec<Outcome>, usize) {
        self.effects.clear();
        self.ledger.apply(stamp, &proposal, &mut self.history, &mut self.effects);
        assert_eq!(self.effects.outcomes.len(), proposal.commands.len(), "one outcome per command");
        let first = self.records.len();
        self.records.extend(self.effects.records().map(|record| record.to_record()));
        self.proposals.push((stamp, proposal));
        self.store_changes();
        (self.effects.outcomes.clone(), first)
    }

    fn store_changes(&mut self) {
        self.changes.clear();
        self.ledger.take_changes(&mut self.changes);
        self.changes.sort_unstable();
        self.changes.dedup();
        self.places.extend(&self.changes);
        let (ledger, pages, digest) = (&self.ledger, &mut self.pages, &mut self.digest);
        // What a chain changed and took back is marked, and stands as it stood.
        self.changes.retain(|key| {
            let new = Some(encoded(ledger, *key)).filter(|bytes| bytes.iter().any(|byte| *byte != 0));
            let old = pages.remove(key);
            let differs = old != new;
            if let Some(old) = old {
                digest.remove(key.table.number(), &old);
            }
            if let Some(new) = new {
                digest.add(key.table.number(), &new);
                pages.insert(*key, new);
            }
            differs
        });
    }

    /// The places that the last proposal changed.
    pub fn changed(&self) -> &[RecordKey] {
        &self.changes
    }

    /// Demands that the stored state is the ledger's: no change went unmarked.
    pub fn check_every_change_was_marked(&self) {
        let empty = |key: &RecordKey| vec![0; key.table.record_len()];
        for key in &self.places {
            let stored = self.pages.get(key).cloned().unwrap_or_else(|| empty(key));
            assert_eq!(encoded(&self.ledger, *key), stored, "{key:?} changed without a mark");
        }
    }

    /// Every record of one table, decoded.
    pub fn rows<T: Decode>(&self, table: Table) -> Vec<T> {
        self.pages.iter().filter(|(key, _)| key.table == table).map(|(key, bytes)| row(*key, bytes)).collect()
    }

    /// One record, decoded; `None` when its slot is empty.
    pub fn row<T: Decode>(&self, key: RecordKey) -> Option<T> {
        self.pages.get(&key).map(|bytes| row(key, bytes))
    }
}

fn encoded(ledger: &Ledger, key: RecordKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.table.record_len());
    ledger.encode_record(key, &mut bytes);
    assert_eq!(bytes.len(), key.table.record_len(), "{key:?} has the length of its table");
    bytes
}

/// A stored record: a version byte, the value, zeroes.
fn row<T: Decode>(key: RecordKey, bytes: &[u8]) -> T {
    assert_eq!(bytes[0], 1, "{key:?} has a format version");
    let mut input = Reader::new(&bytes[1..]);
    let value = T::decode(&mut input).unwrap_or_else(|error| panic!("{key:?}: {error}"));
    assert!(input.remaining().iter().all(|byte| *byte == 0), "{key:?} is padded with zeroes");
    value
}
