//! Where records live in memory: directories that only grow, slabs whose slots are used again, and
//! lists that run through either.

use std::ops::{Index as At, IndexMut as AtMut};

use crate::table::{HashSeed, Index, Key, NO_SLOT, Slot};

/// A record that is found by a key.
pub trait Keyed {
    /// The key.
    type Key: Key;

    /// The record's key.
    fn key(&self) -> Self::Key;
}

/// Records in the order of creation, with an index by key.
#[derive(Debug)]
pub struct Directory<T: Keyed> {
    rows: Vec<T>,
    index: Index,
}

impl<T: Keyed> Directory<T> {
    /// An empty directory.
    pub fn new(seed: HashSeed) -> Self {
        Self { rows: Vec::new(), index: Index::new(seed) }
    }

    /// The slot of the record with this key.
    #[inline]
    pub fn slot(&self, key: T::Key) -> Option<Slot> {
        self.index.find(key, |slot| self[slot].key() == key)
    }

    /// The record with this key.
    pub fn find(&self, key: T::Key) -> Option<&T> {
        self.slot(key).map(|slot| &self[slot])
    }

    /// The record in this slot.
    pub fn get(&self, slot: Slot) -> Option<&T> {
        self.rows.get(slot as usize)
    }

    /// Adds a record whose key is new.
    pub fn push(&mut self, row: T) -> Slot {
        let slot = self.len();
        self.index.insert(row.key(), slot);
        self.rows.push(row);
        slot
    }

    /// Takes the last record back.
    pub fn pop(&mut self) -> Option<T> {
        let row = self.rows.pop()?;
        self.index.remove(row.key(), self.len());
        Some(row)
    }

    /// How many records there are.
    pub fn len(&self) -> Slot {
        self.rows.len() as Slot
    }

    /// Every record, in the order of creation.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.rows.iter()
    }
}

impl<T: Keyed> At<Slot> for Directory<T> {
    type Output = T;

    fn index(&self, slot: Slot) -> &T {
        &self.rows[slot as usize]
    }
}

impl<T: Keyed> AtMut<Slot> for Directory<T> {
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        &mut self.rows[slot as usize]
    }
}

/// Records that come and go. The slot that was freed last is used first.
#[derive(Debug)]
pub struct Slab<T> {
    rows: Vec<Option<T>>,
    free: Vec<Slot>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// A slab with these records in these slots, each slot named once.
    pub fn with_rows(rows: impl Iterator<Item = (Slot, T)>) -> Self {
        let mut slab = Self::default();
        for (slot, row) in rows {
            let place = slot as usize;
            if place >= slab.rows.len() {
                slab.rows.resize_with(place + 1, || None);
            }
            slab.rows[place] = Some(row);
        }
        slab.free = (0..slab.rows.len() as Slot).rev().filter(|&slot| slab.get(slot).is_none()).collect();
        slab
    }

    /// The record in this slot.
    pub fn get(&self, slot: Slot) -> Option<&T> {
        self.rows.get(slot as usize)?.as_ref()
    }

    /// Adds a record.
    pub fn insert(&mut self, row: T) -> Slot {
        if let Some(slot) = self.free.pop() {
            self.rows[slot as usize] = Some(row);
            return slot;
        }
        self.rows.push(Some(row));
        (self.rows.len() - 1) as Slot
    }

    /// Takes a record out.
    pub fn remove(&mut self, slot: Slot) -> T {
        let row = self.rows[slot as usize].take().expect("a slot in use is taken out once");
        self.free.push(slot);
        row
    }

    /// Undoes the last [`Self::remove`] that is not undone yet.
    pub fn put_back(&mut self, slot: Slot, row: T) {
        let last = self.free.pop();
        assert_eq!(last, Some(slot), "removals are undone in reverse order");
        self.rows[slot as usize] = Some(row);
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    /// How many slots there are, in use or free.
    pub fn places(&self) -> Slot {
        self.rows.len() as Slot
    }

    /// Every record with its slot.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        (0..).zip(&self.rows).filter_map(|(slot, row)| row.as_ref().map(|row| (slot, row)))
    }
}

impl<T> At<Slot> for Slab<T> {
    type Output = T;

    fn index(&self, slot: Slot) -> &T {
        self.rows[slot as usize].as_ref().expect("a slot that something names is in use")
    }
}

impl<T> AtMut<Slot> for Slab<T> {
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        self.rows[slot as usize].as_mut().expect("a slot that something names is in use")
    }
}

/// A record's neighbours in one list.
#[derive(Debug, Clone, Copy)]
pub struct Links {
    prev: Slot,
    next: Slot,
}

impl Default for Links {
    fn default() -> Self {
        Self { prev: NO_SLOT, next: NO_SLOT }
    }
}

/// A record that can stand in the list named `LIST`.
pub trait Linked<const LIST: u8> {
    /// Its neighbours there.
    fn links(&self) -> &Links;

    /// Its neighbours there, to change.
    fn links_mut(&mut self) -> &mut Links;
}

/// A doubly linked list through the records themselves: it costs no memory of its own, and a record
/// leaves it in constant time.
#[derive(Debug, Clone, Copy)]
pub struct List<const LIST: u8> {
    head: Slot,
    tail: Slot,
    len: u32,
}

impl<const LIST: u8> Default for List<LIST> {
    fn default() -> Self {
        Self { head: NO_SLOT, tail: NO_SLOT, len: 0 }
    }
}

impl<const LIST: u8> List<LIST> {
    /// The first record's slot.
    pub fn head(&self) -> Option<Slot> {
        (self.head != NO_SLOT).then_some(self.head)
    }

    /// How many records stand in it.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Adds a record behind the last.
    pub fn push_back<S: AtMut<Slot, Output: Linked<LIST>>>(&mut self, rows: &mut S, slot: Slot) {
        *rows[slot].links_mut() = Links { prev: self.tail, next: NO_SLOT };
        self.join(rows, slot);
    }

    /// Takes a record out. Its own links stay as they are, for [`Self::put_back`].
    pub fn remove<S: AtMut<Slot, Output: Linked<LIST>>>(&mut self, rows: &mut S, slot: Slot) {
        let Links { prev, next } = *rows[slot].links();
        match prev {
            NO_SLOT => self.head = next,
            prev => rows[prev].links_mut().next = next,
        }
        match next {
            NO_SLOT => self.tail = prev,
            next => rows[next].links_mut().prev = prev,
        }
        self.len -= 1;
    }

    /// Undoes the last [`Self::remove`] that is not undone yet: the record's links name its old place.
    pub fn put_back<S: AtMut<Slot, Output: Linked<LIST>>>(&mut self, rows: &mut S, slot: Slot) {
        self.join(rows, slot);
    }

    fn join<S: AtMut<Slot, Output: Linked<LIST>>>(&mut self, rows: &mut S, slot: Slot) {
        let Links { prev, next } = *rows[slot].links();
        match prev {
            NO_SLOT => self.head = slot,
            prev => rows[prev].links_mut().next = slot,
        }
        match next {
            NO_SLOT => self.tail = slot,
            next => rows[next].links_mut().prev = slot,
        }
        self.len += 1;
    }

    /// The slots in the list, in order.
    pub fn iter<S: At<Slot, Output: Linked<LIST>>>(self, rows: &S) -> impl Iterator<Item = Slot> + '_ {
        std::iter::successors(self.head(), |&slot| Some(rows[slot].links().next).filter(|&next| next != NO_SLOT))
    }

    /// The slots in the list, the last first.
    pub fn iter_back<S: At<Slot, Output: Linked<LIST>>>(self, rows: &S) -> impl Iterator<Item = Slot> + '_ {
        let tail = (self.tail != NO_SLOT).then_some(self.tail);
        std::iter::successors(tail, |&slot| Some(rows[slot].links().prev).filter(|&prev| prev != NO_SLOT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row(u32, Links);

    impl Linked<0> for Row {
        fn links(&self) -> &Links {
            &self.1
        }
        fn links_mut(&mut self) -> &mut Links {
            &mut self.1
        }
    }

    fn numbers(list: List<0>, rows: &Slab<Row>) -> Vec<u32> {
        list.iter(rows).map(|slot| rows[slot].0).collect()
    }

    #[test]
    fn a_list_keeps_its_order_through_removals_and_their_undoing() {
        let mut rows = Slab::default();
        let mut list = List::<0>::default();
        let slots: Vec<Slot> = (0..5).map(|number| rows.insert(Row(number, Links::default()))).collect();
        for &slot in &slots {
            list.push_back(&mut rows, slot);
        }
        let mut removed = Vec::new();
        for place in [2, 0, 4, 1] {
            list.remove(&mut rows, slots[place]);
            removed.push((slots[place], rows.remove(slots[place])));
        }
        assert_eq!(numbers(list, &rows), [3]);
        for (slot, row) in removed.into_iter().rev() {
            rows.put_back(slot, row);
            list.put_back(&mut rows, slot);
        }
        assert_eq!(numbers(list, &rows), [0, 1, 2, 3, 4]);
        let back: Vec<u32> = list.iter_back(&rows).map(|slot| rows[slot].0).collect();
        assert_eq!(back, [4, 3, 2, 1, 0]);
        assert_eq!((list.len(), rows.len()), (5, 5));
    }

    #[test]
    fn a_slab_uses_a_freed_slot_again() {
        let mut slab = Slab::default();
        let first = slab.insert('a');
        slab.insert('b');
        assert_eq!(slab.remove(first), 'a');
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.insert('c'), first);
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(0, &'c'), (1, &'b')]);
    }

    #[test]
    fn a_rebuilt_slab_fills_its_gaps_first() {
        let mut slab = Slab::with_rows([(3, 'd'), (1, 'b')].into_iter());
        assert_eq!(slab.len(), 2);
        assert_eq!([slab.insert('x'), slab.insert('y'), slab.insert('z')], [0, 2, 4]);
    }
}
