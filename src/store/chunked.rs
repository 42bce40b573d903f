//! Chunked files: the form of snapshots and of the parts of backups.
//!
//! ```text
//! magic (8), header length u32, header; CRC32C u32
//! chunk: 1 u8, raw length u32, stored length u32, CRC32C of the stored bytes u32, zstd bytes   (repeated)
//! end: 2 u8, blake3 digest of everything before it (32), magic (8)
//! ```
//!
//! What the header and the raw bytes of the chunks mean is the caller's. A flipped bit, a cut and a
//! missing or doubled chunk are found wherever they are.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::StoreError;
use super::file::File;
use super::unpack::unpack;
use crate::core::codec::{Decode as _, DecodeError, Encode as _, Reader};

/// The first and the last bytes of a file.
pub type Magic = [u8; 8];

/// Raw bytes at which a chunk should be closed.
pub const CHUNK_BYTES: usize = 1 << 20;

/// No header is longer than this.
const HEADER_BYTES_MAX: usize = 1 << 20;

const COMPRESSION_LEVEL: i32 = 1;
const CHUNK: u8 = 1;
const END: u8 = 2;
const CHUNK_HEAD_BYTES: usize = 13;
const DIGEST_BYTES: usize = 32;
const END_BYTES: usize = 1 + DIGEST_BYTES + size_of::<Magic>();

/// Where a chunked file is written.
pub trait Sink {
    /// What it is called in errors.
    fn path(&self) -> &Path;
    /// Takes the next bytes, which begin at `at`.
    ///
    /// # Errors
    /// A fault of the disk.
    fn put(&mut self, bytes: &[u8], at: u64) -> Result<(), StoreError>;
}

impl Sink for File {
    fn path(&self) -> &Path {
        Self::path(self)
    }

    fn put(&mut self, bytes: &[u8], at: u64) -> Result<(), StoreError> {
        self.write_at(bytes, at)
    }
}

/// Where a chunked file is read from.
pub trait Source {
    /// What it is called in errors.
    fn path(&self) -> &Path;
    /// Its length in bytes.
    fn len(&self) -> u64;
    /// Fills `buf` from `at`, which is within the length.
    ///
    /// # Errors
    /// A fault of the disk.
    fn take(&self, buf: &mut [u8], at: u64) -> Result<(), StoreError>;
}

impl<S: Source> Source for &S {
    fn path(&self) -> &Path {
        (*self).path()
    }

    fn len(&self) -> u64 {
        (*self).len()
    }

    fn take(&self, buf: &mut [u8], at: u64) -> Result<(), StoreError> {
        (*self).take(buf, at)
    }
}

/// A file on the disk, with the length that it had when it was opened.
#[derive(Debug)]
pub struct OnDisk {
    file: File,
    len: u64,
}

impl OnDisk {
    /// The whole of a file.
    ///
    /// # Errors
    /// A fault of the disk.
    pub fn new(file: File) -> Result<Self, StoreError> {
        let len = file.len()?;
        Ok(Self { file, len })
    }
}

impl Source for OnDisk {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn take(&self, buf: &mut [u8], at: u64) -> Result<(), StoreError> {
        self.file.read_exact_at(buf, at)
    }
}

/// A chunked file in memory, with its name.
#[derive(Debug, Clone, Default)]
pub struct InMemory {
    /// What it is called in errors.
    pub name: PathBuf,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Source for InMemory {
    fn path(&self) -> &Path {
        &self.name
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn take(&self, buf: &mut [u8], at: u64) -> Result<(), StoreError> {
        let start = at as usize;
        buf.copy_from_slice(&self.bytes[start..start + buf.len()]);
        Ok(())
    }
}

/// What is written to memory.
#[derive(Debug, Default)]
pub struct Buffer {
    /// The bytes so far.
    pub bytes: Vec<u8>,
}

impl Sink for Buffer {
    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn put(&mut self, bytes: &[u8], _at: u64) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// Writes in order, and digests what it writes.
#[derive(Debug)]
pub struct Writer<S> {
    sink: S,
    magic: Magic,
    hasher: blake3::Hasher,
    at: u64,
}

impl<S: Sink> Writer<S> {
    /// Begins a file with this header.
    ///
    /// # Errors
    /// A fault of the disk.
    pub fn begin(sink: S, magic: Magic, header: &[u8]) -> Result<Self, StoreError> {
        let mut writer = Self { sink, magic, hasher: blake3::Hasher::new(), at: 0 };
        let mut bytes = magic.to_vec();
        (header.len() as u32).encode(&mut bytes);
        bytes.extend_from_slice(header);
        crc32c::crc32c(&bytes).encode(&mut bytes);
        writer.put(&bytes)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hasher.update(bytes);
        self.sink.put(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// The bytes written so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.at
    }

    /// Adds a chunk.
    ///
    /// # Errors
    /// A fault of the disk.
    pub fn chunk(&mut self, raw: &[u8]) -> Result<(), StoreError> {
        let stored = zstd::bulk::compress(raw, COMPRESSION_LEVEL)
            .map_err(|error| StoreError::io("compress", self.sink.path(), error))?;
        let mut head = vec![CHUNK];
        (raw.len() as u32).encode(&mut head);
        (stored.len() as u32).encode(&mut head);
        crc32c::crc32c(&stored).encode(&mut head);
        self.put(&head)?;
        self.put(&stored)
    }

    /// Ends the file. Returns where it was written, not synced, and its length in bytes.
    ///
    /// # Errors
    /// A fault of the disk.
    pub fn finish(mut self) -> Result<(S, u64), StoreError> {
        self.put(&[END])?;
        let digest = self.hasher.finalize();
        self.put(digest.as_bytes())?;
        self.put(&self.magic.clone())?;
        Ok((self.sink, self.at))
    }
}

/// Reads in order, and digests what it reads.
#[derive(Debug)]
pub struct Chunks<S> {
    source: S,
    magic: Magic,
    chunk_bytes_max: usize,
    hasher: blake3::Hasher,
    at: u64,
}

impl<S: Source> Chunks<S> {
    /// Opens a file that begins with `magic`, in which no chunk is longer than `chunk_bytes_max`, raw.
    /// Returns its header too. `what` it is, is said when it is not.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]; a fault of the disk.
    pub fn open(source: S, magic: Magic, chunk_bytes_max: usize, what: &str) -> Result<(Vec<u8>, Self), StoreError> {
        let mut chunks = Self { source, magic, chunk_bytes_max, hasher: blake3::Hasher::new(), at: 0 };
        let header = chunks.read_header(what)?;
        Ok((header, chunks))
    }

    fn read_header(&mut self, what: &str) -> Result<Vec<u8>, StoreError> {
        let mut bytes = self.take_digested(self.magic.len() + 4)?;
        let (magic, len) = bytes.split_at(self.magic.len());
        if magic != self.magic {
            return Err(StoreError::corrupt(self.source.path(), 0, format!("this is no {what}")));
        }
        let len = u32::from_bytes(len).map_err(|error| self.undecodable(&error))? as usize;
        if len > HEADER_BYTES_MAX {
            return Err(self.damaged("impossible length of the header"));
        }
        let body = self.take_digested(len)?;
        bytes.extend_from_slice(&body);
        if self.take_digested(4)? != crc32c::crc32c(&bytes).to_le_bytes() {
            return Err(self.damaged("the header's checksum differs"));
        }
        Ok(body)
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, StoreError> {
        if self.source.len() - self.at < count as u64 {
            return Err(self.damaged("the file is cut"));
        }
        let mut bytes = vec![0; count];
        self.source.take(&mut bytes, self.at)?;
        self.at += count as u64;
        Ok(bytes)
    }

    fn take_digested(&mut self, count: usize) -> Result<Vec<u8>, StoreError> {
        let bytes = self.take(count)?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    /// What it is called in errors.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// The length of the whole file, in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.source.len()
    }

    /// The error for what was read last.
    #[must_use]
    pub fn damaged(&self, reason: &str) -> StoreError {
        StoreError::corrupt(self.source.path(), self.at, reason)
    }

    /// The error for what was read last and cannot be decoded.
    #[must_use]
    pub fn undecodable(&self, error: &DecodeError) -> StoreError {
        self.damaged(&error.to_string())
    }

    /// The raw bytes of the next chunk; `None` at the end, when all that was read is what was written.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]; a fault of the disk.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        match self.take_digested(1)?[..] {
            [CHUNK] => self.read_chunk().map(Some),
            [END] => self.read_end().map(|()| None),
            _ => Err(self.damaged("neither a chunk nor the end")),
        }
    }

    fn read_chunk(&mut self) -> Result<Vec<u8>, StoreError> {
        let head = self.take_digested(CHUNK_HEAD_BYTES - 1)?;
        let mut fields = Reader::new(&head);
        let mut field = || u32::decode(&mut fields);
        let numbers = field().and_then(|raw| Ok((raw as usize, field()? as usize, field()?)));
        let (raw_len, stored_len, checksum) = numbers.map_err(|error| self.undecodable(&error))?;
        if raw_len > self.chunk_bytes_max || stored_len > 2 * self.chunk_bytes_max {
            return Err(self.damaged("impossible length of a chunk"));
        }
        let stored = self.take_digested(stored_len)?;
        if crc32c::crc32c(&stored) != checksum {
            return Err(self.damaged("a chunk's checksum differs"));
        }
        unpack(&stored, raw_len).map_err(|error| self.damaged(&error.to_string()))
    }

    fn read_end(&mut self) -> Result<(), StoreError> {
        let digest = self.take(END_BYTES - 1)?;
        let (digest, magic) = digest.split_at(DIGEST_BYTES);
        if digest != self.hasher.finalize().as_bytes() || magic != self.magic || self.at != self.source.len() {
            return Err(self.damaged("the file's digest differs"));
        }
        Ok(())
    }
}
