//! The newest part of the index: in memory, until it becomes a run.

use std::collections::HashMap;

use super::key::{Entry, HistoryKey, KeyBytes, for_each_history};
use crate::core::Used;
use crate::core::command::CommandKey;
use crate::core::event::RecordView;
use crate::core::types::Sequence;

/// Entries of the events from `first` to `last`.
#[derive(Debug)]
pub struct Memtable {
    first: Sequence,
    last: Sequence,
    commands: HashMap<CommandKey, Used>,
    histories: HashMap<HistoryKey, Vec<Sequence>>,
    entries: usize,
}

impl Memtable {
    /// Empty, for the events behind `after`.
    #[must_use]
    pub fn new(after: Sequence) -> Self {
        Self { first: after.plus(1), last: after, commands: HashMap::new(), histories: HashMap::new(), entries: 0 }
    }

    /// The first sequence it is for.
    #[must_use]
    pub fn first(&self) -> Sequence {
        self.first
    }

    /// The last sequence it has; one less than the first when it is empty.
    #[must_use]
    pub fn last(&self) -> Sequence {
        self.last
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Adds the entries of one record, the next one in sequence.
    pub fn note(&mut self, record: RecordView<'_>) {
        debug_assert_eq!(record.sequence, self.last.plus(1), "records come in sequence");
        if let Some(origin) = record.origin {
            let used = Used { fingerprint: origin.fingerprint, sequence: record.sequence };
            self.commands.insert(origin.key, used);
            self.entries += 1;
        }
        for_each_history(record, |key, sequence| {
            self.histories.entry(key).or_default().push(sequence);
            self.entries += 1;
        });
        self.last = record.last_sequence();
    }

    /// The command that has this key.
    #[must_use]
    pub fn find(&self, key: &CommandKey) -> Option<Used> {
        self.commands.get(key).copied()
    }

    /// The events of a history, in order.
    #[must_use]
    pub fn history(&self, key: &HistoryKey) -> &[Sequence] {
        self.histories.get(key).map_or(&[], Vec::as_slice)
    }

    /// Every entry, in the order of a run.
    #[must_use]
    pub fn to_sorted(&self) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(self.entries);
        entries.extend(self.commands.iter().map(|(key, used)| Entry::used(key, *used)));
        for (key, sequences) in &self.histories {
            let key = KeyBytes::from(*key);
            entries.extend(sequences.iter().map(|sequence| Entry::event(&key, *sequence)));
        }
        entries.sort_unstable();
        entries
    }

    /// How many used commands it has.
    #[must_use]
    pub fn command_count(&self) -> usize {
        self.commands.len()
    }
}
