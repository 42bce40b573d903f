//! A Bloom filter over command keys: tells a fresh id from a used one without touching the disk.

use crate::core::digest::hash64;

/// Bits per key. With [`PROBES`] about three of a thousand fresh ids cost a read.
const BITS_PER_KEY: usize = 12;

/// Bits set per key.
const PROBES: u32 = 8;

/// A set of keys that may say "perhaps" of a key that is not in it, and never "no" of one that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bloom {
    words: Vec<u64>,
}

impl Bloom {
    /// An empty filter with room for `keys` keys.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        Self { words: vec![0; (keys * BITS_PER_KEY).div_ceil(64).max(1)] }
    }

    fn bits(&self, key: &[u8]) -> impl Iterator<Item = u64> + use<> {
        // Kirsch and Mitzenmacher: two hashes make as good a filter as many.
        let hash = hash64(key);
        let step = (hash >> 32) | 1;
        let count = self.words.len() as u64 * 64;
        (0..u64::from(PROBES))
            .map(move |probe| hash.wrapping_add(probe.wrapping_mul(step)).wrapping_mul(0x9e37_79b9_7f4a_7c15) % count)
    }

    /// Adds a key.
    pub fn insert(&mut self, key: &[u8]) {
        for bit in self.bits(key) {
            self.words[(bit / 64) as usize] |= 1 << (bit % 64);
        }
    }

    /// Whether the key may be there.
    #[must_use]
    pub fn may_contain(&self, key: &[u8]) -> bool {
        self.bits(key).all(|bit| self.words[(bit / 64) as usize] & (1 << (bit % 64)) != 0)
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for word in &self.words {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads it back, or `None` when the bytes are no filter.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (chunks, rest) = bytes.as_chunks::<8>();
        let words: Vec<u64> = chunks.iter().map(|word| u64::from_le_bytes(*word)).collect();
        (rest.is_empty() && !words.is_empty()).then_some(Self { words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_there_and_little_else() {
        let mut bloom = Bloom::new(10_000);
        for key in 0..10_000_u64 {
            bloom.insert(&key.to_be_bytes());
        }
        let mut bytes = Vec::new();
        bloom.encode(&mut bytes);
        let bloom = Bloom::decode(&bytes).expect("a filter");
        assert!((0..10_000_u64).all(|key| bloom.may_contain(&key.to_be_bytes())));
        let wrong = (10_000..110_000_u64).filter(|key| bloom.may_contain(&key.to_be_bytes())).count();
        assert!(wrong < 1_000, "{wrong} of 100,000 absent keys");
    }
}
