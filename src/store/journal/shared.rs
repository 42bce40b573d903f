//! What the writer, the flusher and the readers share: the index of blocks and what is not written yet.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::BlockDigest;
use super::block::Block;
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
        let cache = BlockCache { blocks: VecDeque::new(), bytes: 0, bytes_max: cache_bytes };
        Self {
            inner: Mutex::new(inner),
            dir: dir.to_owned(),
            disk: disk.clone(),
            cache: Mutex::new(cache),
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
        self.files.push_back((number, file));
        if self.files.len() > OPEN_FILES_MAX {
            self.files.pop_front();
        }
    }
}

/// The blocks, whole or in parts, that were read or written last, least recently used first.
#[derive(Debug)]
pub(super) struct BlockCache {
    blocks: VecDeque<Cached>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Cached {
    first: Sequence,
    last: Sequence,
    is_part: bool,
    block: Arc<Block>,
}

impl BlockCache {
    /// The block that holds this event; a part of it, when that will do.
    pub(super) fn get(&mut self, event: Sequence, part_will_do: bool) -> Option<Arc<Block>> {
        let holds = |cached: &Cached| cached.first <= event && event <= cached.last;
        let at = self.blocks.iter().rposition(|cached| holds(cached) && (part_will_do || !cached.is_part))?;
        let hit = self.blocks.remove(at)?;
        let block = Arc::clone(&hit.block);
        self.blocks.push_back(hit);
        Some(block)
    }

    pub(super) fn put(&mut self, block: Arc<Block>, is_part: bool) {
        self.bytes += block.raw().len();
        self.blocks.push_back(Cached { first: block.first(), last: block.last(), is_part, block });
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.blocks.pop_front()
        {
            self.bytes -= oldest.block.raw().len();
        }
    }
}
