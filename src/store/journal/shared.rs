//! What the writer, the flusher and the readers share: the index of blocks and what is not written yet.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::BlockDigest;
use super::block::Block;
use super::packed::SECTIONS_MAX;
use crate::core::event::RecordView;
use crate::core::types::{Sequence, Timestamp};
use crate::store::StoreError;
use crate::store::file::{Disk, File, FolderLock};

/// Where a written block is. Its number says in which segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockPlace {
    pub first: Sequence,
    pub first_time: Timestamp,
    pub offset: u64,
    /// Length on disk, in bytes.
    pub len: u32,
}

/// What is under the lock.
#[derive(Debug, Default)]
pub(super) struct Inner {
    /// Every written block, by its number.
    pub blocks: Vec<BlockPlace>,
    /// The last event of the last written block.
    pub written: Sequence,
    /// The chain's digest there.
    pub digest: BlockDigest,
    /// Full blocks that are not written yet.
    pub pending: VecDeque<Arc<Block>>,
    pub pending_bytes: usize,
    /// The block that is not full yet.
    pub open: Block,
    /// The fault that ended the journal.
    pub ended: Option<StoreError>,
}

/// Where an event is.
pub(super) enum Located {
    /// In the written block of this number.
    Written(u64, BlockPlace),
    /// In memory: the block, or of the open one the part from the event on.
    Memory(Arc<Block>),
}

impl Inner {
    pub(super) fn last(&self) -> Sequence {
        if !self.open.is_empty() {
            return self.open.last();
        }
        self.pending.back().map_or(self.written, |block| block.last())
    }

    pub(super) fn first(&self) -> Option<Sequence> {
        (self.last() > Sequence(0)).then_some(Sequence(1))
    }

    pub(super) fn head(&self) -> (Sequence, BlockDigest) {
        (self.written, self.digest)
    }

    pub(super) fn backlog_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Adds a record; closes the block that it fills.
    pub(super) fn push(&mut self, record: RecordView<'_>) {
        let expected = self.last().plus(1);
        assert_eq!(record.sequence, expected, "journal records follow each other");
        self.open.push(record);
        if self.open.is_full() {
            let full = std::mem::replace(&mut self.open, Block::with_room());
            self.pending_bytes += full.raw().len();
            self.pending.push_back(Arc::new(full));
        }
    }

    /// Where an event is, `None` when it is not there yet. Of the open block about `bytes_max` are copied.
    pub(super) fn locate(&self, sequence: Sequence, bytes_max: usize) -> Option<Located> {
        if sequence == Sequence(0) || sequence > self.last() {
            return None;
        }
        if sequence <= self.written {
            let number = self.blocks.partition_point(|block| block.first <= sequence) - 1;
            return Some(Located::Written(number as u64, self.blocks[number]));
        }
        if let Some(block) = self.pending.iter().find(|block| sequence <= block.last()) {
            return Some(Located::Memory(Arc::clone(block)));
        }
        self.open.part(sequence, bytes_max).map(|part| Located::Memory(Arc::new(part)))
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    pub dir: PathBuf,
    pub disk: Disk,
    cache: Mutex<BlockCache>,
    files: Mutex<OpenFiles>,
    _lock: Option<FolderLock>,
}

impl Shared {
    pub(super) fn new(dir: &Path, disk: &Disk, cache_bytes: usize, inner: Inner, lock: Option<FolderLock>) -> Self {
        Self {
            inner: Mutex::new(inner),
            dir: dir.to_owned(),
            disk: disk.clone(),
            cache: Mutex::new(BlockCache::new(cache_bytes)),
            files: Mutex::default(),
            _lock: lock,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_cache(&self) -> MutexGuard<'_, BlockCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_files(&self) -> MutexGuard<'_, OpenFiles> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Segments that stay open for their readers.
const OPEN_FILES_MAX: usize = 32;

/// The segments that were read last, least recently used first.
#[derive(Debug, Default)]
pub(super) struct OpenFiles {
    files: VecDeque<(u64, Arc<File>)>,
}

impl OpenFiles {
    /// The file of the segment with this number.
    pub(super) fn get(&mut self, number: u64) -> Option<Arc<File>> {
        let at = self.files.iter().rposition(|(open, _)| *open == number)?;
        let hit = self.files.remove(at)?;
        let file = Arc::clone(&hit.1);
        self.files.push_back(hit);
        Some(file)
    }

    pub(super) fn put(&mut self, number: u64, file: Arc<File>) {
        self.files.retain(|(open, _)| *open != number);
        self.files.push_back((number, file));
        if self.files.len() > OPEN_FILES_MAX {
            self.files.pop_front();
        }
    }
}

/// The blocks, whole or in parts, that were read or written last.
#[derive(Debug)]
pub(super) struct BlockCache {
    blocks: BTreeMap<CacheKey, Cached>,
    /// By the time of their last use.
    used: BTreeMap<u64, CacheKey>,
    clock: u64,
    bytes: usize,
    bytes_max: usize,
}

/// The first event, and whether it is but a part of a block.
type CacheKey = (Sequence, bool);

#[derive(Debug)]
struct Cached {
    block: Arc<Block>,
    used: u64,
}

impl BlockCache {
    fn new(bytes_max: usize) -> Self {
        Self { blocks: BTreeMap::new(), used: BTreeMap::new(), clock: 0, bytes: 0, bytes_max }
    }

    /// The block that holds this event; a part of it, when that will do.
    pub(super) fn get(&mut self, event: Sequence, part_will_do: bool) -> Option<Arc<Block>> {
        // Between the event and the beginning of its block begin no more than the block's sections.
        let near = self.blocks.range_mut(..=(event, true)).rev().take(SECTIONS_MAX + 1);
        let mut fitting =
            near.filter(|((_, is_part), cached)| event <= cached.block.last() && (part_will_do || !is_part));
        let (key, cached) = fitting.next()?;
        self.clock += 1;
        self.used.remove(&cached.used);
        self.used.insert(self.clock, *key);
        cached.used = self.clock;
        Some(Arc::clone(&cached.block))
    }

    pub(super) fn put(&mut self, block: Arc<Block>, is_part: bool) {
        self.clock += 1;
        let (key, used) = ((block.first(), is_part), self.clock);
        self.bytes += block.raw().len();
        self.used.insert(used, key);
        let replaced = self.blocks.insert(key, Cached { block, used });
        self.forget(replaced);
        while self.bytes > self.bytes_max
            && let Some((_, oldest)) = self.used.first_key_value()
        {
            let oldest = self.blocks.remove(oldest);
            self.forget(oldest);
        }
    }

    fn forget(&mut self, gone: Option<Cached>) {
        if let Some(Cached { block, used }) = gone {
            self.bytes -= block.raw().len();
            self.used.remove(&used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;

    fn block(first: u64, last: u64) -> Arc<Block> {
        let mut block = Block::default();
        let mut next = first;
        while next <= last {
            let record = record(next);
            next = record.view().last_sequence().0 + 1;
            block.push(record.view());
        }
        Arc::new(block)
    }

    #[test]
    fn the_cache_gives_what_holds_the_event_and_forgets_what_was_used_least() {
        let whole = block(1, 400);
        let behind = whole.last().0 + 1;
        let (early, late) = (block(1, 40), block(behind, behind + 40));
        let mut cache = BlockCache::new(whole.raw().len() + early.raw().len() + late.raw().len());
        cache.put(Arc::clone(&early), true);
        assert!(cache.get(early.last(), true).is_some());
        assert!(cache.get(early.last(), false).is_none(), "a part is not the block");
        assert!(cache.get(early.last().plus(1), true).is_none());
        cache.put(Arc::clone(&whole), false);
        for event in [Sequence(1), early.last().plus(1), whole.last()] {
            let found = cache.get(event, false).expect("it is there");
            assert!(Arc::ptr_eq(&found, &whole));
            assert!(cache.get(event, true).is_some());
        }
        cache.put(Arc::clone(&late), true);
        assert!(Arc::ptr_eq(&cache.get(late.last(), true).expect("the newest"), &late));
        assert!(cache.get(Sequence(1), true).is_some(), "there is room for all three");

        let used_least = cache.used.values().next().copied().expect("three");
        cache.put(block(late.last().0 + 1, late.last().0 + 9), true);
        assert!(!cache.blocks.contains_key(&used_least));
        cache.put(Arc::clone(&late), true);
        let held: usize = cache.blocks.values().map(|cached| cached.block.raw().len()).sum();
        assert_eq!((cache.bytes, cache.used.len()), (held, cache.blocks.len()), "put twice, held once");
    }
}
