//! Writing a run; the format stands with its reader, in [`run`](super::run).

use std::path::{Path, PathBuf};

use super::bloom::Bloom;
use super::filter::{FilterPlace, encode_page, pages_of};
use super::footer::{Fences, Footer};
use super::key::{ENTRY_BYTES_MAX, Entry, IdSpans, command_key_of, hash_of};
use super::piece::{self, CHECKSUM_BYTES, RunMark};
use super::run::{BLOCK_HEADER_BYTES, MAGIC, Run, RunName};
use crate::core::codec::Encode as _;
use crate::store::file::{Access, File};
use crate::store::{Disk, StoreError};

/// Raw bytes at which a block is closed.
const BLOCK_BYTES: usize = 8 * 1024;

/// The same in runs that came from two merges or more. Nearly all blocks are theirs, and of each block something
/// stays in memory, while few lookups reach them.
const OLD_BLOCK_BYTES: usize = 2 * BLOCK_BYTES;

/// Merges behind which a run is old.
const OLD_LEVEL: u8 = 2;

/// The ending of a run's file until it is whole.
const UNFINISHED: &str = "unfinished";

/// Commands put into the filter at once.
const HASHES: usize = 256;

/// Bytes written at once.
const WRITE_BYTES: usize = 1024 * 1024;

/// Bytes written at which the file is synced before it is whole. A long merge would be synced in one go
/// otherwise: the log's syncs wait for the disk meanwhile, and what the persister is to write piles up in memory.
const SYNC_BYTES: u64 = 16 * 1024 * 1024;

/// Writes a run, entry by entry; it has its name only when it is whole and synced.
#[derive(Debug)]
pub struct RunWriter {
    disk: Disk,
    folder: PathBuf,
    file: File,
    name: RunName,
    mark: RunMark,
    buffer: Vec<u8>,
    written: u64,
    synced: u64,
    block_bytes: usize,
    block: Vec<u8>,
    /// What the block begins with, as its fence has it.
    block_key: Vec<u8>,
    before: Entry,
    entries: u64,
    commands: u64,
    fences: Fences,
    ids: IdSpans,
    /// Of the commands that are not in the filter yet.
    hashes: Vec<u64>,
    bloom: Bloom,
}

impl RunWriter {
    /// Begins a run that will hold at most `commands` used commands.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(disk: &Disk, folder: &Path, name: RunName, commands: u64) -> Result<Self, StoreError> {
        let file = disk.open(&folder.join(name.file_name()).with_extension(UNFINISHED), Access::Create)?;
        let block_bytes = if name.level < OLD_LEVEL { BLOCK_BYTES } else { OLD_BLOCK_BYTES };
        Ok(Self {
            disk: disk.clone(),
            folder: folder.to_owned(),
            file,
            name,
            mark: name.mark(),
            buffer: MAGIC.to_vec(),
            written: 0,
            synced: 0,
            block_bytes,
            block: Vec::with_capacity(block_bytes + ENTRY_BYTES_MAX),
            block_key: Vec::with_capacity(ENTRY_BYTES_MAX),
            before: Entry::EMPTY,
            entries: 0,
            commands: 0,
            fences: Fences::default(),
            ids: IdSpans::default(),
            hashes: Vec::with_capacity(HASHES),
            bloom: Bloom::new(commands as usize),
        })
    }

    /// Adds the next entry.
    ///
    /// # Errors
    /// When the file cannot be written.
    ///
    /// # Panics
    /// When the entry is not above the one before.
    pub fn push(&mut self, entry: &Entry) -> Result<(), StoreError> {
        assert!(self.before < *entry, "entries of a run ascend");
        if self.block.len() >= self.block_bytes {
            self.close_block()?;
        }
        let bytes = entry.as_slice();
        let mut shared = self.before.shared_with(entry);
        if self.block.is_empty() {
            self.block_key.extend_from_slice(&bytes[..=shared]);
            shared = 0;
        }
        self.block.extend_from_slice(&[shared as u8, (bytes.len() - shared) as u8]);
        self.block.extend_from_slice(&bytes[shared..]);
        if let Some(key) = command_key_of(bytes) {
            self.hashes.push(hash_of(key));
            if self.hashes.len() == HASHES {
                self.fill_bloom();
            }
            self.ids.add_bytes(key);
            self.commands += 1;
        }
        self.before = *entry;
        self.entries += 1;
        Ok(())
    }

    /// Many at once, so that the memory is asked for many places of the filter at once.
    fn fill_bloom(&mut self) {
        for hash in self.hashes.drain(..) {
            self.bloom.insert(hash);
        }
    }

    fn close_block(&mut self) -> Result<(), StoreError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let offset = self.end();
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; CHECKSUM_BYTES]);
        (self.block.len() as u32).encode(&mut self.buffer);
        self.buffer.extend_from_slice(&self.block);
        piece::seal(&mut self.buffer[start..], self.mark, offset);
        self.fences.push(offset, (BLOCK_HEADER_BYTES + self.block.len()) as u32, &self.block_key);
        self.block.clear();
        self.block_key.clear();
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.file.write_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.written - self.synced >= SYNC_BYTES {
            self.file.sync()?;
            self.synced = self.written;
        }
        Ok(())
    }

    /// Where the next byte will stand.
    fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn write_filter(&mut self) -> Result<FilterPlace, StoreError> {
        self.fill_bloom();
        let bloom = std::mem::replace(&mut self.bloom, Bloom::new(0));
        let place = FilterPlace { offset: self.end(), blocks: bloom.blocks().len() as u32 };
        for page in pages_of(&bloom) {
            encode_page(page, self.mark, self.end(), &mut self.buffer);
            if self.buffer.len() >= WRITE_BYTES {
                self.flush()?;
            }
        }
        Ok(place)
    }

    /// Writes the rest, syncs the file and its folder, names it, and opens it for reading.
    ///
    /// # Errors
    /// When the file cannot be written, synced or read back.
    pub fn finish(mut self) -> Result<Run, StoreError> {
        self.close_block()?;
        let filter = self.write_filter()?;
        let footer = Footer {
            name: self.name,
            entries: self.entries,
            commands: self.commands,
            last: self.before.as_slice().to_vec(),
            fences: std::mem::take(&mut self.fences),
            ids: std::mem::take(&mut self.ids),
            filter,
        }
        .encode();
        let offset = self.end();
        self.buffer.extend_from_slice(&footer);
        offset.encode(&mut self.buffer);
        (footer.len() as u32).encode(&mut self.buffer);
        crc32c::crc32c(&footer).encode(&mut self.buffer);
        self.buffer.extend_from_slice(MAGIC);
        self.flush()?;
        self.file.sync()?;
        self.disk.rename(self.file.path(), &self.folder.join(self.name.file_name()))?;
        Run::open(&self.disk, &self.folder, self.name)
    }
}
