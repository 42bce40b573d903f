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

fn mask(hash: u64) -> Block {
    SALTS.map(|salt| 1 << ((hash as u32).wrapping_mul(salt) >> 27))
}

/// In which of so many blocks a hash has its bits.
fn block_of(hash: u64, blocks: usize) -> usize {
    // The upper half chooses the block, the lower one the bits in it.
    (((hash >> 32) * blocks as u64) >> 32) as usize
}

/// Adds a key's hash to the filter of these blocks, of which there is one at least.
pub fn insert(blocks: &mut [Block], hash: u64) {
    let place = block_of(hash, blocks.len());
    for (word, bit) in blocks[place].iter_mut().zip(mask(hash)) {
        *word |= bit;
    }
}

/// Whether the key with this hash may have been added to these blocks: never "no" of one that was.
#[must_use]
pub fn may_contain(blocks: &[Block], hash: u64) -> bool {
    let block = &blocks[block_of(hash, blocks.len())];
    block.iter().zip(mask(hash)).fold(0, |missing, (word, bit)| missing | (!word & bit)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::digest::hash64;

    #[test]
    fn what_was_added_is_there_and_little_else() {
        let hash = |key: u64| hash64(&key.to_be_bytes());
        let mut blocks = vec![Block::default(); 10_000 / KEYS_PER_BLOCK];
        (0..10_000).for_each(|key| insert(&mut blocks, hash(key)));
        assert!((0..10_000).all(|key| may_contain(&blocks, hash(key))));
        let wrong = (10_000..110_000).filter(|key| may_contain(&blocks, hash(*key))).count();
        assert!(wrong < 300, "{wrong} of 100,000 absent keys");
    }
}
