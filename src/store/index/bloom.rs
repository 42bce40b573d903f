//! A filter over command keys: tells a fresh id from a used one without touching the disk.
//!
//! A split block Bloom filter: a key's eight bits stand in one block of 32 bytes, one in each of its
//! words, so that a question costs one cache line (Putze, Sanders and Singler, "Cache-, hash- and
//! space-efficient Bloom filters", 2007; the layout is Apache Parquet's).

/// Bits per key. About one of a thousand fresh ids then costs a read.
const BITS_PER_KEY: usize = 16;

/// Words of a block.
const WORDS: usize = 8;

/// What one key's bits stand in.
pub type Block = [u32; WORDS];

/// Bytes of a block.
pub const BLOCK_BYTES: usize = size_of::<Block>();

/// Keys for each block of a filter.
pub const KEYS_PER_BLOCK: usize = BLOCK_BYTES * 8 / BITS_PER_KEY;

/// Odd numbers that draw a bit of each word from one hash.
const SALTS: [u32; WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// A set of hashes that may say "perhaps" of one that is not in it, and never "no" of one that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bloom {
    blocks: Vec<Block>,
}

fn mask(hash: u64) -> Block {
    SALTS.map(|salt| 1 << ((hash as u32).wrapping_mul(salt) >> 27))
}

/// In which of so many blocks a hash has its bits.
#[must_use]
pub fn block_of(hash: u64, blocks: usize) -> usize {
    // The upper half chooses the block, the lower one the bits in it.
    (((hash >> 32) * blocks as u64) >> 32) as usize
}

/// Whether the block has all bits of this hash.
#[must_use]
pub fn holds(block: &Block, hash: u64) -> bool {
    block.iter().zip(mask(hash)).fold(0, |missing, (word, bit)| missing | (!word & bit)) == 0
}

impl Bloom {
    /// An empty filter with room for `keys` keys.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        Self { blocks: vec![[0; WORDS]; keys.div_ceil(KEYS_PER_BLOCK).max(1)] }
    }

    /// Its blocks: one at least.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Adds a key's hash.
    pub fn insert(&mut self, hash: u64) {
        let place = block_of(hash, self.blocks.len());
        for (word, bit) in self.blocks[place].iter_mut().zip(mask(hash)) {
            *word |= bit;
        }
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
        assert_eq!(size_of_val(bloom.blocks()), 10_000 * BITS_PER_KEY / 8);
        let may_contain = |hash| holds(&bloom.blocks[block_of(hash, bloom.blocks.len())], hash);
        assert!((0..10_000_u64).all(|key| may_contain(hash(key))));
        let wrong = (10_000..110_000_u64).filter(|key| may_contain(hash(*key))).count();
        assert!(wrong < 300, "{wrong} of 100,000 absent keys");
    }
}
