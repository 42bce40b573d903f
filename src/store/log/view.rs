//! What the log holds, in memory: where each entry is, and the recent ones themselves.
//!
//! It changes as soon as something is asked of the log; the log thread only fills in where things
//! came to stand. It holds no lock and touches no file.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::{LogBounds, LogEntry};
use crate::core::types::{LogIndex, Term};
use crate::store::segment::Segment;
use crate::store::{Position, StoreError};

/// Where an entry stands on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The segment.
    pub generation: u64,
    /// The record's offset in it.
    pub offset: u32,
}

/// What is known of one entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// Its term.
    pub term: Term,
    /// Length of its content in bytes.
    pub len: u32,
    /// Where it stands; `None` until it is written.
    pub place: Option<Place>,
    /// Tells it from an entry of the same index that was truncated.
    pub serial: u64,
}

/// An entry that is on disk but not in memory any more.
#[derive(Debug, Clone)]
pub(super) struct OnDisk {
    pub position: Position,
    pub len: u32,
    pub offset: u32,
    pub segment: Arc<Segment>,
}

/// An entry as it can be had.
#[derive(Debug, Clone)]
pub(super) enum Found {
    Cached(LogEntry),
    OnDisk(OnDisk),
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Index of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
    /// The last entries: as many of the last slots as it is long.
    cache: VecDeque<LogEntry>,
    cache_bytes: usize,
    cache_bytes_max: usize,
    next_serial: u64,
    pub purged: Option<Position>,
    pub vote: Option<Bytes>,
    pub committed: Option<Bytes>,
    pub segments: BTreeMap<u64, Arc<Segment>>,
}

impl View {
    pub(super) fn new(cache_bytes_max: usize) -> Self {
        Self { cache_bytes_max, ..Self::default() }
    }

    /// Index of the first entry held, if there is one.
    pub(super) fn first(&self) -> Option<u64> {
        (!self.slots.is_empty()).then_some(self.first)
    }

    fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn slot(&self, index: u64) -> Option<&Slot> {
        self.slots.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    /// The index that an appended entry must have; any when the log was never used.
    pub(super) fn next_index(&self) -> Option<u64> {
        self.bounds().last.map(|last| last.index.0 + 1)
    }

    pub(super) fn bounds(&self) -> LogBounds {
        let last = self.slots.back().map(|slot| Position { term: slot.term, index: LogIndex(self.end() - 1) });
        LogBounds { purged: self.purged, last: last.or(self.purged) }
    }

    pub(super) fn position_of(&self, index: LogIndex) -> Option<Position> {
        match self.slot(index.0) {
            Some(slot) => Some(Position { term: slot.term, index }),
            None => self.purged.filter(|purged| purged.index == index),
        }
    }

    /// Adds entries that are not on disk yet. Returns the serial of the first; the others count on.
    ///
    /// # Errors
    /// [`StoreError::EntryOutOfOrder`]; nothing is added then.
    pub(super) fn append(&mut self, entries: &[LogEntry]) -> Result<u64, StoreError> {
        let serial = self.next_serial;
        let Some(first) = entries.first() else { return Ok(serial) };
        let start = self.next_index().unwrap_or(first.position.index.0);
        for (entry, expected) in entries.iter().zip(start..) {
            if entry.position.index.0 != expected {
                return Err(StoreError::EntryOutOfOrder { expected: LogIndex(expected), found: entry.position.index });
            }
        }
        if self.slots.is_empty() {
            self.first = start;
        }
        for entry in entries {
            self.cache_bytes += entry.bytes.len();
            self.cache.push_back(entry.clone());
            self.push_slot(entry.position.term, entry.bytes.len() as u32, None);
        }
        Ok(serial)
    }

    fn push_slot(&mut self, term: Term, len: u32, place: Option<Place>) {
        self.slots.push_back(Slot { term, len, place, serial: self.next_serial });
        self.next_serial += 1;
    }

    /// Adds an entry that was found on disk; it follows the last one, or is the first.
    pub(super) fn restore(&mut self, position: Position, len: u32, place: Place) {
        if self.slots.is_empty() {
            self.first = position.index.0;
        }
        self.push_slot(position.term, len, Some(place));
    }

    /// Notes where an entry came to stand, if it is still there.
    pub(super) fn place(&mut self, index: LogIndex, serial: u64, place: Place) {
        let Some(at) = index.0.checked_sub(self.first) else { return };
        if let Some(slot) = self.slots.get_mut(at as usize)
            && slot.serial == serial
        {
            slot.place = Some(place);
        }
    }

    pub(super) fn truncate_after(&mut self, last: Option<Position>) {
        let keep = last.map_or(0, |last| last.index.0 + 1);
        while !self.slots.is_empty() && self.end() > keep {
            self.slots.pop_back();
            if let Some(entry) = self.cache.pop_back() {
                self.cache_bytes -= entry.bytes.len();
            }
        }
    }

    pub(super) fn purge_to(&mut self, position: Position) {
        while !self.slots.is_empty() && self.first <= position.index.0 {
            if self.cache.len() == self.slots.len() {
                self.drop_oldest_cached();
            }
            self.slots.pop_front();
            self.first += 1;
        }
        if self.purged.is_none_or(|purged| purged.index < position.index) {
            self.purged = Some(position);
        }
    }

    fn drop_oldest_cached(&mut self) {
        if let Some(entry) = self.cache.pop_front() {
            self.cache_bytes -= entry.bytes.len();
        }
    }

    /// Gives memory back: of the oldest cached entries that are on disk.
    pub(super) fn shrink_cache(&mut self) {
        while self.cache_bytes > self.cache_bytes_max {
            let oldest = self.slots.len() - self.cache.len();
            match self.slots.get(oldest) {
                Some(slot) if slot.place.is_some() => self.drop_oldest_cached(),
                _ => return,
            }
        }
    }

    /// The entries from `from` to before `to`, up to `bytes_max` of content but at least one.
    pub(super) fn find(&self, from: LogIndex, to: LogIndex, bytes_max: usize) -> Vec<Found> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for index in from.0.max(self.first)..to.0.min(self.end()) {
            let Some(slot) = self.slot(index) else { break };
            bytes += slot.len as usize;
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(self.found(LogIndex(index), slot));
        }
        found
    }

    fn found(&self, index: LogIndex, slot: &Slot) -> Found {
        let from_end = (self.end() - index.0) as usize;
        if let Some(at) = self.cache.len().checked_sub(from_end) {
            return Found::Cached(self.cache[at].clone());
        }
        let place = slot.place.expect("an entry leaves the cache only when it is on disk");
        let segment = self.segments.get(&place.generation).expect("a segment stays while it holds a live entry");
        Found::OnDisk(OnDisk {
            position: Position { term: slot.term, index },
            len: slot.len,
            offset: place.offset,
            segment: Arc::clone(segment),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(term: u64, index: u64, len: usize) -> LogEntry {
        LogEntry { position: at(term, index), bytes: Bytes::from(vec![index as u8; len]) }
    }

    fn at(term: u64, index: u64) -> Position {
        Position { term: Term(term), index: LogIndex(index) }
    }

    fn indexes(view: &View, from: u64, to: u64, bytes_max: usize) -> Vec<u64> {
        let found = view.find(LogIndex(from), LogIndex(to), bytes_max);
        let index = |found: &Found| match found {
            Found::Cached(entry) => entry.position.index.0,
            Found::OnDisk(entry) => entry.position.index.0,
        };
        found.iter().map(index).collect()
    }

    #[test]
    fn entries_follow_each_other() {
        let mut view = View::new(1 << 20);
        assert_eq!(view.bounds(), LogBounds::default());
        view.append(&[entry(1, 0, 10), entry(1, 1, 10)]).expect("any index may be the first");
        assert!(matches!(view.append(&[entry(1, 3, 10)]), Err(StoreError::EntryOutOfOrder { .. })));
        assert!(view.append(&[entry(1, 2, 10), entry(1, 4, 10)]).is_err());
        assert_eq!(view.bounds().last, Some(at(1, 1)), "nothing of a refused append stays");
        view.truncate_after(None);
        assert_eq!(view.bounds().last, None);
        view.purge_to(at(2, 9));
        assert_eq!(view.bounds(), LogBounds { purged: Some(at(2, 9)), last: Some(at(2, 9)) });
        assert!(view.append(&[entry(2, 11, 1)]).is_err());
        view.append(&[entry(2, 10, 1)]).expect("follows the purged one");
        assert_eq!(view.position_of(LogIndex(9)), Some(at(2, 9)));
        assert_eq!(view.position_of(LogIndex(10)), Some(at(2, 10)));
        assert_eq!(view.position_of(LogIndex(11)), None);
        assert_eq!(view.position_of(LogIndex(8)), None);
    }

    #[test]
    fn a_read_is_bounded_but_never_empty_handed() {
        let mut view = View::new(1 << 20);
        view.append(&[entry(1, 5, 10), entry(1, 6, 10), entry(1, 7, 10)]).expect("appended");
        assert_eq!(indexes(&view, 0, 100, 25), [5, 6]);
        assert_eq!(indexes(&view, 6, 7, 0), [6]);
        assert_eq!(indexes(&view, 8, 100, 100), [] as [u64; 0]);
        view.purge_to(at(1, 5));
        assert_eq!(indexes(&view, 0, 7, 100), [6]);
    }

    #[test]
    fn only_what_is_on_disk_leaves_memory() {
        let mut view = View::new(15);
        let serial = view.append(&[entry(1, 0, 10), entry(1, 1, 10)]).expect("appended");
        view.shrink_cache();
        assert_eq!(view.cache.len(), 2);
        view.place(LogIndex(0), serial, Place { generation: 1, offset: 64 });
        view.shrink_cache();
        assert_eq!(view.cache.len(), 1);
        view.purge_to(at(1, 0));
        assert_eq!((view.cache.len(), view.cache_bytes), (1, 10));
        view.truncate_after(None);
        assert_eq!((view.cache.len(), view.cache_bytes), (0, 0));
    }

    #[test]
    fn a_truncated_entry_does_not_lend_its_place_to_the_next() {
        let mut view = View::new(0);
        let old = view.append(&[entry(1, 0, 10)]).expect("appended");
        view.truncate_after(None);
        let new = view.append(&[entry(1, 0, 10)]).expect("appended");
        view.place(LogIndex(0), old, Place { generation: 1, offset: 64 });
        assert_eq!(view.slots[0].place, None);
        view.place(LogIndex(0), new, Place { generation: 1, offset: 128 });
        assert!(view.slots[0].place.is_some());
    }
}
