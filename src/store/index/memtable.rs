//! The newest part of the index: in memory, until it becomes a run.
//!
//! Rows are only ever added, one behind the other, and found through small tables of their places: what
//! a command costs is then mostly writing in order, and a table is given back in a few large pieces.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::key::{Entry, HistoryKey, IdSpans, for_each_history};
use crate::core::Used;
use crate::core::command::CommandKey;
use crate::core::event::RecordView;
use crate::core::types::Sequence;

/// The place of a row.
type Place = u32;

/// No row.
const NOWHERE: Place = Place::MAX;

/// Where a row is, by its hash: kept beside it, so that nothing is hashed again when the table grows.
type Places = HashTable<(u32, Place)>;

/// A used command.
#[derive(Debug, Clone, Copy)]
struct Command {
    key: CommandKey,
    used: Used,
}

/// A history, and its last event.
#[derive(Debug, Clone, Copy)]
struct History {
    key: HistoryKey,
    last: Place,
}

/// An event of a history, and the one before it there.
#[derive(Debug, Clone, Copy)]
struct Event {
    /// Counted from the table's first sequence.
    offset: u32,
    before: Place,
}

/// An event that is to be added to its history.
#[derive(Debug, Clone, Copy)]
struct Coming {
    key: HistoryKey,
    /// Of the key: found together with the history.
    hash: u64,
    sequence: Sequence,
    /// The history's, if it was found.
    place: Option<Place>,
}

/// Events added at once: few enough that all stay in the cache.
const COMING_MAX: usize = 256;

/// Entries of the events from `first` to `last`.
#[derive(Debug)]
pub struct Memtable {
    first: Sequence,
    last: Sequence,
    hasher: RandomState,
    commands: Vec<Command>,
    command_places: Places,
    ids: IdSpans,
    histories: Vec<History>,
    history_places: Places,
    events: Vec<Event>,
    /// Empty between two calls.
    coming: Vec<Coming>,
}

impl Memtable {
    /// Empty, for the events behind `after`.
    #[must_use]
    pub fn new(after: Sequence) -> Self {
        Self {
            first: after.plus(1),
            last: after,
            hasher: RandomState::default(),
            commands: Vec::new(),
            command_places: Places::new(),
            ids: IdSpans::default(),
            histories: Vec::new(),
            history_places: Places::new(),
            events: Vec::new(),
            coming: Vec::new(),
        }
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
        self.commands.len() + self.events.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the entries of these records, the next ones in sequence.
    pub fn note<'a>(&mut self, records: impl Iterator<Item = RecordView<'a>> + Clone) {
        for record in records.clone() {
            if let Some(origin) = record.origin {
                let used = Used { fingerprint: origin.fingerprint, sequence: record.sequence };
                self.note_command(origin.key, used);
            }
        }
        self.note_histories(records);
    }

    /// Adds the histories of these records, the next ones in sequence, whose commands are noted.
    pub fn note_histories<'a>(&mut self, records: impl Iterator<Item = RecordView<'a>>) {
        let mut events = std::mem::take(&mut self.coming);
        for record in records {
            debug_assert_eq!(record.sequence, self.last.plus(1), "records come in sequence");
            for_each_history(record, |key, sequence| events.push(Coming { key, hash: 0, sequence, place: None }));
            self.last = record.last_sequence();
            if events.len() >= COMING_MAX {
                self.note_events(&mut events);
            }
        }
        self.note_events(&mut events);
        self.coming = events;
    }

    /// Adds a used command.
    pub fn note_command(&mut self, key: CommandKey, used: Used) {
        let hash = self.hasher.hash_one(key);
        let place = place_of(self.commands.len());
        self.commands.push(Command { key, used });
        self.command_places.insert_unique(whole(hash as u32), (hash as u32, place), |(hash, _)| whole(*hash));
        self.ids.add(key.scope, key.id);
    }

    /// Adds events. First all their histories are found in one short loop, so that the memory is asked for many
    /// at once; they are in no cache when there are many accounts.
    fn note_events(&mut self, events: &mut Vec<Coming>) {
        for event in events.iter_mut() {
            event.hash = self.hasher.hash_one(event.key);
            event.place = self.find_history(event.hash, &event.key);
        }
        for event in events.drain(..) {
            self.note_event(&event);
        }
    }

    fn note_event(&mut self, coming: &Coming) {
        let Coming { key, hash, sequence, place } = *coming;
        let event = place_of(self.events.len());
        // An event just before it may have been the history's first.
        let before = match place.or_else(|| self.find_history(hash, &key)) {
            Some(place) => std::mem::replace(&mut self.histories[place as usize].last, event),
            None => {
                let place = place_of(self.histories.len());
                self.histories.push(History { key, last: event });
                self.history_places.insert_unique(whole(hash as u32), (hash as u32, place), |(hash, _)| whole(*hash));
                NOWHERE
            }
        };
        let offset = u32::try_from(sequence.0 - self.first.0).expect("a table is closed long before");
        self.events.push(Event { offset, before });
    }

    /// The command that has this key.
    #[must_use]
    pub fn find(&self, key: &CommandKey) -> Option<Used> {
        if !self.ids.span(key) {
            return None;
        }
        let hash = self.hasher.hash_one(key) as u32;
        let is = |(other, place): &(u32, Place)| *other == hash && self.commands[*place as usize].key == *key;
        let (_, place) = self.command_places.find(whole(hash), is)?;
        Some(self.commands[*place as usize].used)
    }

    fn find_history(&self, hash: u64, key: &HistoryKey) -> Option<Place> {
        let hash = hash as u32;
        let is = |(other, place): &(u32, Place)| *other == hash && self.histories[*place as usize].key == *key;
        self.history_places.find(whole(hash), is).map(|(_, place)| *place)
    }

    /// The events of a history, the last one first.
    pub fn history_backward(&self, key: &HistoryKey) -> impl Iterator<Item = Sequence> {
        let last = self.find_history(self.hasher.hash_one(key), key).map(|place| self.histories[place as usize].last);
        self.backward_from(last)
    }

    fn backward_from(&self, last: Option<Place>) -> impl Iterator<Item = Sequence> {
        let event = |place: Place| self.events.get(place as usize);
        std::iter::successors(last.and_then(event), move |later| event(later.before))
            .map(|event| self.first.plus(event.offset.into()))
    }

    /// Gives every entry to `take`, in the order of a run. Keys are sorted, not entries: a history's are in order.
    ///
    /// # Errors
    /// The first that `take` returns.
    pub fn for_each_sorted<E>(&self, mut take: impl FnMut(&Entry) -> Result<(), E>) -> Result<(), E> {
        let mut commands = self.commands.clone();
        // Ids that rise with time are nearly sorted, which this sort makes use of.
        commands.sort_by_key(|Command { key, .. }| (key.scope, key.id, key.account));
        for command in &commands {
            take(&Entry::used(&command.key, command.used))?;
        }
        let (ends, offsets) = self.offsets_by_history();
        let order = self.histories.iter().map(|history| Entry::history_order(history.key));
        let mut histories: Vec<([u64; 3], Place)> = order.zip(0..).collect();
        histories.sort_unstable();
        for (_, place) in histories {
            let before = Entry::before_history(self.histories[place as usize].key);
            let start = (place as usize).checked_sub(1).map_or(0, |last| ends[last]);
            for offset in &offsets[start..ends[place as usize]] {
                take(&before.with_sequence(self.first.plus((*offset).into())))?;
            }
        }
        Ok(())
    }

    /// The offsets of all events, history by history, in order; and where each history's end. To follow each history
    /// from event to event would be to wait for the memory at every one.
    fn offsets_by_history(&self) -> (Vec<usize>, Vec<u32>) {
        let mut history_of: Vec<Place> = Vec::with_capacity(self.events.len());
        let mut ends = vec![0; self.histories.len()];
        let mut begun = 0;
        for event in &self.events {
            // Histories stand in the order of their first events.
            let history = history_of.get(event.before as usize).copied().unwrap_or(begun);
            begun += Place::from(history == begun);
            history_of.push(history);
            ends[history as usize] += 1;
        }
        let mut start = 0;
        for end in &mut ends {
            start += std::mem::replace(end, start);
        }
        let mut offsets = vec![0; self.events.len()];
        for (event, history) in self.events.iter().zip(history_of) {
            let end = &mut ends[history as usize];
            offsets[*end] = event.offset;
            *end += 1;
        }
        (ends, offsets)
    }

    /// How many used commands it has.
    #[must_use]
    pub fn command_count(&self) -> usize {
        self.commands.len()
    }
}

fn place_of(count: usize) -> Place {
    Place::try_from(count).expect("a table is closed long before")
}

/// A table places by the lowest bits of a hash and tells apart by the highest: both come from the half
/// that is kept.
const fn whole(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}

#[cfg(test)]
mod tests {
    use super::super::key::KeyBytes;
    use super::*;
    use crate::core::command::Scope;
    use crate::core::types::{AccountId, AssetId, CommandId, MarketId};

    #[test]
    fn sorted_commands_rise_with_their_ids_whoever_sent_them() {
        let mut table = Memtable::new(Sequence(0));
        for number in 0..300_u64 {
            let scope = if number % 3 == 0 { Scope::Transfer } else { Scope::Trading };
            let (account, id) = (AccountId(number % 2), CommandId(u128::from(number / 2 * 13 % 150)));
            table.note_command(CommandKey { scope, account, id }, Used { fingerprint: number, sequence: Sequence(1) });
        }
        let mut sorted = Vec::new();
        let taken: Result<(), ()> = table.for_each_sorted(|entry| {
            sorted.push(*entry);
            Ok(())
        });
        assert_eq!((taken, sorted.len()), (Ok(()), 300));
        assert!(sorted.is_sorted_by(|before, after| before < after));
        let ids = sorted.iter().map(|entry| (entry.as_slice()[0], entry.as_slice()[1..17].to_vec()));
        assert!(ids.is_sorted());
    }

    #[test]
    fn sorted_entries_are_those_of_each_history_in_order() {
        let keys = [
            HistoryKey::TradesIn(MarketId(2)),
            HistoryKey::Postings(AccountId(9), AssetId(1)),
            HistoryKey::Postings(AccountId(3), AssetId(7)),
            HistoryKey::EndOf(CommandId(0x0302)),
            HistoryKey::EndOf(CommandId(0x0301)),
        ];
        let mut table = Memtable::new(Sequence(40));
        let mut noted = Vec::new();
        for number in 0..200_u64 {
            let key = keys[(number * 7 % 11 % 5) as usize];
            let sequence = Sequence(41 + number);
            noted.push(Entry::event(&KeyBytes::from(key), sequence));
            table.note_events(&mut vec![Coming { key, hash: 0, sequence, place: None }]);
        }
        noted.sort_unstable();
        let mut sorted = Vec::new();
        let taken: Result<(), ()> = table.for_each_sorted(|entry| {
            sorted.push(*entry);
            Ok(())
        });
        assert_eq!((taken, sorted), (Ok(()), noted));
    }
}
