//! Writing a run; the format stands with its reader, in [`run`](super::run).

use std::path::{Path, PathBuf};

use super::filter::{PAGE_KEYS, encode_page};
use super::footer::{Fences, Footer};
use super::key::{ENTRY_BYTES_MAX, Entry, IdSpans, command_key_of, hash_of};
use super::piece::{self, CHECKSUM_BYTES, RunMark};
use super::run::{MAGIC, Run, RunName};
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
    pages: Fences,
    /// Of the commands that are to stand in the next page of the filter.
    hashes: Vec<u64>,
    /// What they begin with, as the page's fence has it.
    page_key: Vec<u8>,
}

impl RunWriter {
    /// Begins a run.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(disk: &Disk, folder: &Path, name: RunName) -> Result<Self, StoreError> {
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
            pages: Fences::default(),
            hashes: Vec::with_capacity(PAGE_KEYS),
            page_key: Vec::with_capacity(ENTRY_BYTES_MAX),
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
        if let Some(key) = command_key_of(bytes) {
            self.push_command(key, &bytes[..=shared]);
        }
        if self.block.is_empty() {
            self.block_key.extend_from_slice(&bytes[..=shared]);
            shared = 0;
        }
        self.block.extend_from_slice(&[shared as u8, (bytes.len() - shared) as u8]);
        self.block.extend_from_slice(&bytes[shared..]);
        self.before = *entry;
        self.entries += 1;
        Ok(())
    }

    /// Takes a command into the filter; `differing` is as much of it as tells it from the one before.
    fn push_command(&mut self, key: &[u8], differing: &[u8]) {
        if self.hashes.len() == PAGE_KEYS {
            self.close_page();
        }
        if self.hashes.is_empty() {
            self.page_key.extend_from_slice(differing);
        }
        self.hashes.push(hash_of(key));
        self.ids.add_bytes(key);
        self.commands += 1;
    }

    fn close_page(&mut self) {
        if self.hashes.is_empty() {
            return;
        }
        let offset = self.end();
        encode_page(&self.hashes, self.mark, offset, &mut self.buffer);
        self.pages.push(offset, (self.end() - offset) as u32, &self.page_key);
        self.hashes.clear();
        self.page_key.clear();
    }

    fn close_block(&mut self) -> Result<(), StoreError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let offset = self.end();
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; CHECKSUM_BYTES]);
        self.buffer.extend_from_slice(&self.block);
        piece::seal(&mut self.buffer[start..], self.mark, offset);
        self.fences.push(offset, (CHECKSUM_BYTES + self.block.len()) as u32, &self.block_key);
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

    /// Writes the rest, syncs the file and its folder, names it, and opens it for reading.
    ///
    /// # Errors
    /// When the file cannot be written, synced or read back.
    pub fn finish(mut self) -> Result<Run, StoreError> {
        self.close_block()?;
        self.close_page();
        let footer = Footer {
            name: self.name,
            entries: self.entries,
            commands: self.commands,
            last: self.before.as_slice().to_vec(),
            fences: std::mem::take(&mut self.fences),
            ids: std::mem::take(&mut self.ids),
            filter: std::mem::take(&mut self.pages),
        };
        let offset = self.end();
        append_end(&footer, offset, &mut self.buffer);
        self.flush()?;
        self.file.sync()?;
        self.disk.rename(self.file.path(), &self.folder.join(self.name.file_name()))?;
        Run::open(&self.disk, &self.folder, self.name)
    }
}

/// Appends the footer, which will lie at `offset` in the run's file, and the trailer.
pub(super) fn append_end(footer: &Footer, offset: u64, out: &mut Vec<u8>) {
    let footer = footer.encode();
    out.extend_from_slice(&footer);
    offset.encode(out);
    (footer.len() as u32).encode(out);
    crc32c::crc32c(&footer).encode(out);
    out.extend_from_slice(MAGIC);
}
