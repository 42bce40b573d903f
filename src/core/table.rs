//! Hash indexes that behave the same on every node: from a key to the slot of the record that has it.
//!
//! An index holds hashes and slots, not keys; the caller compares the record. It is only ever asked
//! for one key, never iterated, so that the order of hashes reaches nobody. Clients choose ids: with a
//! seed that they do not know they cannot choose many of one hash, which every node would have to
//! search one after another. Replicas agree whatever their seeds.

use super::digest::{SECRETS, fold};
use super::types::{AccountId, AssetId, BomVersion, CommandId, MarketId, OrderId, PlantId};

/// The place of a record in its table.
pub type Slot = u32;

/// No slot. Tables end long before: this many records do not fit a machine.
pub const NO_SLOT: Slot = Slot::MAX;

/// What a ledger's hashes depend on besides the keys. It influences no outcome. Where ids come from
/// strangers, it is drawn at random and kept secret; the default is for tests that repeat.
#[derive(Debug, Clone, Copy, Default)]
pub struct HashSeed(pub u64, pub u64);

impl HashSeed {
    fn words(self, low: u64, high: u64) -> u32 {
        fold(low ^ SECRETS[0] ^ self.0, high ^ SECRETS[1] ^ self.1) as u32
    }
}

/// A key that can be looked up.
pub trait Key: Copy + PartialEq {
    /// The key's hash.
    fn hash(self, seed: HashSeed) -> u32;
}

impl Key for AccountId {
    fn hash(self, seed: HashSeed) -> u32 {
        seed.words(self.0, 0)
    }
}

impl Key for AssetId {
    fn hash(self, seed: HashSeed) -> u32 {
        seed.words(u64::from(self.0), 0)
    }
}

impl Key for MarketId {
    fn hash(self, seed: HashSeed) -> u32 {
        seed.words(u64::from(self.0), 0)
    }
}

impl Key for PlantId {
    fn hash(self, seed: HashSeed) -> u32 {
        seed.words(u64::from(self.0), 0)
    }
}

impl Key for (AssetId, BomVersion) {
    fn hash(self, seed: HashSeed) -> u32 {
        seed.words(u64::from(self.0.0), u64::from(self.1.0))
    }
}

impl Key for OrderId {
    fn hash(self, seed: HashSeed) -> u32 {
        seed.words(self.0, 0)
    }
}

impl Key for CommandId {
    fn hash(self, seed: HashSeed) -> u32 {
        seed.words(self.0 as u64, (self.0 >> 64) as u64)
    }
}

impl Key for (AccountId, AssetId) {
    fn hash(self, seed: HashSeed) -> u32 {
        seed.words(self.0.0, u64::from(self.1.0))
    }
}

impl Key for (AccountId, CommandId) {
    fn hash(self, seed: HashSeed) -> u32 {
        let (low, high) = (self.1.0 as u64, (self.1.0 >> 64) as u64);
        let id = fold(low ^ SECRETS[2] ^ seed.1, high ^ SECRETS[3] ^ seed.0);
        seed.words(self.0.0, id)
    }
}

/// An open-addressing hash index with linear probing; a removal moves its followers back, so that
/// there are no tombstones and the cost does not grow with age.
#[derive(Debug, Default)]
pub struct Index {
    entries: Vec<Entry>,
    len: usize,
    seed: HashSeed,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    slot: Slot,
}

impl Entry {
    const EMPTY: Self = Self { hash: 0, slot: NO_SLOT };

    fn is_empty(self) -> bool {
        self.slot == NO_SLOT
    }
}

impl Index {
    /// Entries of the smallest index; a power of two, as every size is.
    const CAPACITY_MIN: usize = 16;

    /// An empty index.
    pub fn new(seed: HashSeed) -> Self {
        Self { seed, ..Self::default() }
    }

    /// The slot that was put under this key; `is` tells whether a slot's record has it.
    #[inline]
    pub fn find(&self, key: impl Key, is: impl Fn(Slot) -> bool) -> Option<Slot> {
        self.find_hashed(key.hash(self.seed), is)
    }

    /// Adds a slot under a key. The caller knows that the key is not there.
    pub fn insert(&mut self, key: impl Key, slot: Slot) {
        self.insert_hashed(key.hash(self.seed), slot);
    }

    /// Takes a slot away that was put under this key.
    pub fn remove(&mut self, key: impl Key, slot: Slot) {
        self.remove_hashed(key.hash(self.seed), slot);
    }

    #[inline]
    fn find_hashed(&self, hash: u32, is: impl Fn(Slot) -> bool) -> Option<Slot> {
        let mask = self.entries.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        while let Some(entry) = self.entries.get(place).filter(|entry| !entry.is_empty()) {
            if entry.hash == hash && is(entry.slot) {
                return Some(entry.slot);
            }
            place = (place + 1) & mask;
        }
        None
    }

    fn insert_hashed(&mut self, hash: u32, slot: Slot) {
        // At most two thirds full: a miss then looks at five entries on average, in one cache line.
        if (self.len + 1) * 3 > self.entries.len() * 2 {
            self.grow();
        }
        self.len += 1;
        self.put(Entry { hash, slot });
    }

    fn remove_hashed(&mut self, hash: u32, slot: Slot) {
        let mask = self.entries.len().wrapping_sub(1);
        let mut hole = hash as usize & mask;
        while self.entries[hole].slot != slot {
            assert!(!self.entries[hole].is_empty(), "a slot is removed from an index that does not have it");
            hole = (hole + 1) & mask;
        }
        let mut place = (hole + 1) & mask;
        while !self.entries[place].is_empty() {
            let home = self.entries[place].hash as usize & mask;
            // The entry may fill the hole when that does not put it before its home.
            if place.wrapping_sub(home) & mask >= place.wrapping_sub(hole) & mask {
                self.entries[hole] = self.entries[place];
                hole = place;
            }
            place = (place + 1) & mask;
        }
        self.entries[hole] = Entry::EMPTY;
        self.len -= 1;
    }

    fn put(&mut self, entry: Entry) {
        let mask = self.entries.len() - 1;
        let mut place = entry.hash as usize & mask;
        while !self.entries[place].is_empty() {
            place = (place + 1) & mask;
        }
        self.entries[place] = entry;
    }

    fn grow(&mut self) {
        let capacity = (self.entries.len() * 2).max(Self::CAPACITY_MIN);
        let smaller = std::mem::replace(&mut self.entries, vec![Entry::EMPTY; capacity]);
        for entry in smaller.into_iter().filter(|entry| !entry.is_empty()) {
            self.put(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Plays random insertions and removals against a map, with few hashes so that chains are long.
    fn against_a_map(hashes: u64) {
        let mut index = Index::default();
        let mut model: BTreeMap<Slot, u32> = BTreeMap::new();
        let mut random = 1_u64;
        for _ in 0..20_000 {
            random = fold(random ^ SECRETS[2], SECRETS[3]).wrapping_add(1);
            let slot = (random >> 40) as Slot % 500;
            if let Some(hash) = model.remove(&slot) {
                assert_eq!(index.find_hashed(hash, |found| found == slot), Some(slot));
                index.remove_hashed(hash, slot);
                assert_eq!(index.find_hashed(hash, |found| found == slot), None);
            } else {
                let hash = (random % hashes) as u32;
                index.insert_hashed(hash, slot);
                model.insert(slot, hash);
            }
        }
        assert_eq!(index.len, model.len());
        for (slot, hash) in model {
            assert_eq!(index.find_hashed(hash, |found| found == slot), Some(slot));
        }
    }

    #[test]
    fn an_index_finds_what_is_in_it_and_nothing_else() {
        against_a_map(1);
        against_a_map(7);
        against_a_map(u64::from(u32::MAX));
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        assert_eq!(Index::default().find_hashed(9, |_| true), None);
    }

    #[test]
    fn neighbouring_keys_have_different_hashes() {
        let hashes = |seed| (1..=1_000).map(|id| AccountId(id).hash(seed)).collect::<std::collections::BTreeSet<u32>>();
        for seed in [HashSeed::default(), HashSeed(5, 9)] {
            assert!(hashes(seed).len() > 995);
        }
    }

    #[test]
    fn ids_chosen_to_collide_do_not_under_another_seed() {
        // A factor of zero takes the other word away.
        let ids = (1..=1_000_u128).map(|high| CommandId(high << 64 | u128::from(SECRETS[0])));
        let hashes = |seed| ids.clone().map(|id| id.hash(seed)).collect::<std::collections::BTreeSet<u32>>().len();
        assert_eq!(hashes(HashSeed::default()), 1);
        assert!(hashes(HashSeed(7, 0)) > 995);
    }
}
