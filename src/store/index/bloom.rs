//! A filter over command keys: tells a fresh id from a used one without touching the disk.
//!
//! A split block Bloom filter: a key's eight bits stand in one block of 32 bytes, one in each of its
//! words, so that a question costs one cache line (Putze, Sanders and Singler, "Cache-, hash- and
//! space-efficient Bloom filters", 2007; the layout is Apache Parquet's).

/// Bits per key. About one of a thousand fresh ids then costs a read.
const BITS_PER_KEY: usize = 16;

/// Words of a block.
const WORDS: usize = 8;

/// Bytes of a block.
const BLOCK_BYTES: usize = WORDS * size_of::<u32>();

/// Odd numbers that draw a bit of each word from one hash.
const SALTS: [u32; WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// A set of hashes that may say "perhaps" of one that is not in it, and never "no" of one that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bloom {
    blocks: Vec<[u32; WORDS]>,
}

fn mask(hash: u64) -> [u32; WORDS] {
    SALTS.map(|salt| 1 << ((hash as u32).wrapping_mul(salt) >> 27))
}

impl Bloom {
    /// An empty filter with room for `keys` keys.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        Self { blocks: vec![[0; WORDS]; (keys * BITS_PER_KEY).div_ceil(BLOCK_BYTES * 8).max(1)] }
    }

    fn place(&self, hash: u64) -> usize {
        // The upper half chooses the block, the lower one the bits in it.
        (((hash >> 32) * self.blocks.len() as u64) >> 32) as usize
    }

    /// Adds a key's hash.
    pub fn insert(&mut self, hash: u64) {
        let place = self.place(hash);
        for (word, bit) in self.blocks[place].iter_mut().zip(mask(hash)) {
            *word |= bit;
        }
    }

    /// Whether the key with this hash may be there.
    #[must_use]
    pub fn may_contain(&self, hash: u64) -> bool {
        let block = &self.blocks[self.place(hash)];
        block.iter().zip(mask(hash)).fold(0, |missing, (word, bit)| missing | (!word & bit)) == 0
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for word in self.blocks.as_flattened() {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads it back, or `None` when the bytes are no filter.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        let block = |bytes: &[u8; BLOCK_BYTES]| {
            let (words, _) = bytes.as_chunks::<4>();
            std::array::from_fn(|place| u32::from_le_bytes(words[place]))
        };
        let blocks: Vec<[u32; WORDS]> = blocks.iter().map(block).collect();
        (rest.is_empty() && !blocks.is_empty()).then_some(Self { blocks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::digest::hash64;

    #[test]
    fn what_was_added_is_there_and_little_else() {
        let hash = |key: u64| hash64(&key.to_be_bytes());
        let mut bloom = Bloom::new(10_000);
        for key in 0..10_000_u64 {
            bloom.insert(hash(key));
        }
        let mut bytes = Vec::new();
        bloom.encode(&mut bytes);
        assert_eq!(bytes.len(), 10_000 * BITS_PER_KEY / 8);
        let bloom = Bloom::decode(&bytes).expect("a filter");
        assert!((0..10_000_u64).all(|key| bloom.may_contain(hash(key))));
        let wrong = (10_000..110_000_u64).filter(|key| bloom.may_contain(hash(*key))).count();
        assert!(wrong < 300, "{wrong} of 100,000 absent keys");
    }
}
