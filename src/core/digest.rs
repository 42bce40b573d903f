//! Digests of content: 64 bits to recognise a command sent again, 128 bits to compare states.
//!
//! They find faults (a replica that differs, a flipped bit), not forgeries: the mixing function is
//! the 64 × 64 → 128-bit folded multiply of the wyhash family, written here because the core
//! depends on nothing and the value is part of the file format.

pub(super) const SECRETS: [u64; 4] =
    [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3, 0x5899_65cc_7537_4cc3];

pub(super) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

fn mix(state: u64, block: &[u8; 16]) -> u64 {
    let [low, high] = [&block[..8], &block[8..]].map(|half| u64::from_le_bytes(half.try_into().expect("eight bytes")));
    fold(low ^ SECRETS[2] ^ state, high ^ SECRETS[3] ^ state.rotate_left(23))
}

/// The `rest` that `bytes` end with, and zeroes. Cut out of a whole block where there is one: a copy whose length is not
/// known before costs more than the hash of a key.
fn padded(bytes: &[u8], rest: &[u8]) -> [u8; 16] {
    if let Some(last) = bytes.last_chunk() {
        return (u128::from_le_bytes(*last) >> (8 * (16 - rest.len()))).to_le_bytes();
    }
    let mut padded = [0; 16];
    padded[..rest.len()].copy_from_slice(rest);
    padded
}

/// A hash for each seed, in one pass: they do not wait for each other.
fn hash_seeded<const N: usize>(seeds: [u64; N], bytes: &[u8]) -> [u64; N] {
    let mut states = seeds.map(|seed| fold(seed ^ SECRETS[0], bytes.len() as u64 ^ SECRETS[1]));
    let (blocks, rest) = bytes.as_chunks();
    for block in blocks {
        states = states.map(|state| mix(state, block));
    }
    if !rest.is_empty() {
        let padded = padded(bytes, rest);
        states = states.map(|state| mix(state, &padded));
    }
    states.map(|state| fold(state ^ SECRETS[1], SECRETS[0]))
}

/// A 64-bit digest of `bytes`.
#[must_use]
pub fn hash64(bytes: &[u8]) -> u64 {
    let [hash] = hash_seeded([0], bytes);
    hash
}

/// A digest of a whole state: the sum of its records' digests, so that it does not depend on their
/// order and costs two hashes per changed record to keep.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct StateDigest(u128);

impl StateDigest {
    /// Adds a record of the numbered table.
    pub fn add(&mut self, table: u8, record: &[u8]) {
        self.0 = self.0.wrapping_add(Self::of(table, record));
    }

    /// Takes a record of the numbered table away.
    pub fn remove(&mut self, table: u8, record: &[u8]) {
        self.0 = self.0.wrapping_sub(Self::of(table, record));
    }

    fn of(table: u8, record: &[u8]) -> u128 {
        let table = u64::from(table);
        let [low, high] = hash_seeded([table + 1, table + 0x0101], record);
        u128::from(high) << 64 | u128::from(low)
    }

    /// The digest as a number, to store or send.
    #[must_use]
    pub const fn to_u128(self) -> u128 {
        self.0
    }

    /// The digest that was stored or sent as this number.
    #[must_use]
    pub const fn from_u128(number: u128) -> Self {
        Self(number)
    }
}

impl std::fmt::Debug for StateDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Display for StateDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_and_every_length_counts() {
        let base = [7_u8; 40];
        let mut seen = std::collections::BTreeSet::new();
        for len in 0..=base.len() {
            assert!(seen.insert(hash64(&base[..len])), "length {len}");
        }
        for bit in 0..base.len() * 8 {
            let mut flipped = base;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(seen.insert(hash64(&flipped)), "bit {bit}");
        }
    }

    #[test]
    fn a_rest_is_padded_with_zeroes() {
        let bytes: [u8; 47] = std::array::from_fn(|place| place as u8 + 1);
        for len in (1..bytes.len()).filter(|len| len % 16 != 0) {
            let rest = &bytes[len / 16 * 16..len];
            let mut expected = [0; 16];
            expected[..rest.len()].copy_from_slice(rest);
            assert_eq!(padded(&bytes[..len], rest), expected, "{len} bytes");
        }
    }

    #[test]
    fn a_state_digest_forgets_what_is_taken_away_and_ignores_order() {
        let mut one = StateDigest::default();
        one.add(1, b"a");
        one.add(2, b"b");
        let mut other = StateDigest::default();
        other.add(2, b"b");
        other.add(3, b"c");
        other.add(1, b"a");
        assert_ne!(one, other);
        other.remove(3, b"c");
        assert_eq!(one, other);
    }
}
