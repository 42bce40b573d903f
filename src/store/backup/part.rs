//! The parts of a backup: how the journal's records and the log's entries are put into objects of a
//! bounded size, and read back one by one.
//!
//! A part is a [chunked](crate::store::chunked) file. In the chunks of a journal's part stand records, in
//! those of a log's part entries: `term u64, index u64, tag u8, proposal`. Each stands behind its
//! length. An image's part is a piece of a snapshot's file, as it is.

use std::path::PathBuf;

use bytes::Bytes;

use super::control::Control;
use super::manifest::{Holds, Manifest, Part};
use super::vault::Vault;
use super::{BackupError, PART_BYTES};
use crate::core::codec::{Decode, DecodeError, Encode, Output, Reader, record};
use crate::core::event::Record;
use crate::core::types::{LogIndex, Sequence, Term};
use crate::store::Position;
use crate::store::StoreError;
use crate::store::chunked::{Buffer, CHUNK_BYTES, Chunks, InMemory, Magic, Writer};

const MAGIC: Magic = *b"CFBKPRT1";
const FORMAT: u32 = 2;

/// No chunk is longer than this, raw: a chunk, and the largest record that a journal can have.
const CHUNK_BYTES_MAX: usize = CHUNK_BYTES + (256 << 20);

/// An entry without commands, and one with.
const TAG_NOTHING: u8 = 0;
const TAG_COMMANDS: u8 = 1;

/// A committed log entry, as far as the ledger is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// The encoded proposal; `None` when the entry is nothing to the ledger.
    pub proposal: Option<Bytes>,
}

impl Encode for Entry {
    fn encode<O: Output>(&self, out: &mut O) {
        self.position.term.encode(out);
        self.position.index.encode(out);
        match &self.proposal {
            None => TAG_NOTHING.encode(out),
            Some(proposal) => {
                TAG_COMMANDS.encode(out);
                out.put(proposal);
            }
        }
    }
}

impl Entry {
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let position = Position { term: Term::decode(&mut input)?, index: LogIndex::decode(&mut input)? };
        let proposal = match u8::decode(&mut input)? {
            TAG_NOTHING => {
                input.finish()?;
                None
            }
            TAG_COMMANDS => Some(Bytes::copy_from_slice(input.remaining())),
            tag => return Err(DecodeError::UnknownTag("archived entry", tag)),
        };
        Ok(Self { position, proposal })
    }
}

record! {
    struct Header {
        format: u32,
        holds: u8,
        first: u64,
    }
}

impl Header {
    fn new(holds: Holds, first: u64) -> Self {
        let holds = match holds {
            Holds::Image => 1,
            Holds::Journal => 2,
            Holds::Log => 3,
        };
        Self { format: FORMAT, holds, first }
    }
}

/// Puts objects of one backup into the vault, and notes them for the manifest.
#[derive(Debug)]
pub(super) struct Shipper<'a> {
    pub vault: &'a dyn Vault,
    pub control: &'a Control,
    /// Of which the id is known; the parts are added to it.
    pub manifest: &'a mut Manifest,
}

impl Shipper<'_> {
    /// Writes one part.
    pub fn ship(&mut self, holds: Holds, first: u64, last: u64, bytes: Bytes) -> Result<(), BackupError> {
        let number = self.manifest.parts_of(holds).count() + 1;
        let part = Part {
            name: format!("{}-{number:06}", holds.word()),
            holds,
            first,
            last,
            bytes: bytes.len() as u64,
            digest: blake3::hash(&bytes).to_hex().to_string(),
        };
        self.control.check()?;
        self.vault.put(&self.manifest.part_object(&part), bytes)?;
        self.control.moved(part.bytes);
        self.manifest.parts.push(part);
        Ok(())
    }
}

/// Collects items, and ships a part whenever one is full.
pub(super) struct Cutter<'a, 'b> {
    shipper: &'a mut Shipper<'b>,
    holds: Holds,
    open: Option<Writer<Buffer>>,
    raw: Vec<u8>,
    first: u64,
    last: u64,
}

impl<'a, 'b> Cutter<'a, 'b> {
    pub fn new(shipper: &'a mut Shipper<'b>, holds: Holds) -> Self {
        Self { shipper, holds, open: None, raw: Vec::with_capacity(2 * CHUNK_BYTES), first: 0, last: 0 }
    }

    /// Adds an item, which counts from `first` to `last`.
    pub fn push(&mut self, item: &[u8], first: u64, last: u64) -> Result<(), BackupError> {
        if self.open.is_none() {
            let header = Header::new(self.holds, first).to_bytes();
            self.open = Some(Writer::begin(Buffer::default(), MAGIC, &header)?);
            self.first = first;
        }
        (item.len() as u32).encode(&mut self.raw);
        self.raw.extend_from_slice(item);
        self.last = last;
        if self.raw.len() >= CHUNK_BYTES {
            self.close_chunk()?;
        }
        match &self.open {
            Some(writer) if writer.len() >= PART_BYTES as u64 => self.close_part(),
            _ => Ok(()),
        }
    }

    fn close_chunk(&mut self) -> Result<(), BackupError> {
        if let Some(writer) = self.open.as_mut().filter(|_| !self.raw.is_empty()) {
            writer.chunk(&self.raw)?;
            self.raw.clear();
            // One large record must not hold its memory for the rest.
            self.raw.shrink_to(2 * CHUNK_BYTES);
            self.shipper.control.check()?;
        }
        Ok(())
    }

    fn close_part(&mut self) -> Result<(), BackupError> {
        self.close_chunk()?;
        let Some(writer) = self.open.take() else { return Ok(()) };
        let (buffer, _) = writer.finish()?;
        self.shipper.ship(self.holds, self.first, self.last, buffer.bytes.into())
    }

    /// Ships what is left.
    pub fn finish(mut self) -> Result<(), BackupError> {
        self.close_part()
    }
}

/// Whether these bytes are a part's.
pub(super) fn is_part(bytes: &[u8], part: &Part) -> bool {
    bytes.len() as u64 == part.bytes && blake3::hash(bytes).to_hex().as_str() == part.digest
}

/// A part's bytes, which are those that the manifest says.
pub(super) fn fetch(vault: &dyn Vault, manifest: &Manifest, part: &Part) -> Result<Bytes, BackupError> {
    let object = manifest.part_object(part);
    let bytes = match vault.get(&object) {
        // The manifest could be opened with it.
        Err(BackupError::Key { reason }) => return Err(BackupError::Damaged { part: object, reason }),
        found => found?,
    };
    let Some(bytes) = bytes else { return Err(BackupError::Missing { part: object }) };
    let damaged = |reason: String| Err(BackupError::Damaged { part: object.clone(), reason });
    if bytes.len() as u64 != part.bytes {
        return damaged(format!("it has {} bytes, the manifest says {}", bytes.len(), part.bytes));
    }
    if blake3::hash(&bytes).to_hex().as_str() != part.digest {
        return damaged("its digest is not the manifest's".to_owned());
    }
    Ok(bytes)
}

/// A fault of the bytes of a part is damage of that part.
pub(super) fn blame(object: &str, error: StoreError) -> BackupError {
    match error {
        StoreError::Corrupt { offset, reason, .. } => {
            BackupError::Damaged { part: object.to_owned(), reason: format!("byte {offset}: {reason}") }
        }
        StoreError::NewerFormat { found, known, .. } => {
            BackupError::OtherFormat { part: object.to_owned(), found, known }
        }
        error => error.into(),
    }
}

/// The items of one part, in order.
struct Items {
    object: String,
    chunks: Chunks<InMemory>,
    raw: Bytes,
}

impl Items {
    fn open(vault: &dyn Vault, manifest: &Manifest, part: &Part) -> Result<Self, BackupError> {
        let object = manifest.part_object(part);
        let bytes = fetch(vault, manifest, part)?;
        let source = InMemory { name: PathBuf::from(&object), bytes };
        let opened = Chunks::open(source, MAGIC, CHUNK_BYTES_MAX, "part of a backup");
        let (header, chunks) = opened.map_err(|error| blame(&object, error))?;
        let items = Self { object, chunks, raw: Bytes::new() };
        let format = u32::decode(&mut Reader::new(&header)).map_err(|error| items.damaged(&error.to_string()))?;
        if format != FORMAT {
            return Err(BackupError::OtherFormat { part: items.object, found: format, known: FORMAT });
        }
        let header = Header::from_bytes(&header).map_err(|error| items.damaged(&error.to_string()))?;
        if header != Header::new(part.holds, part.first) {
            return Err(items.damaged("its header is another part's"));
        }
        Ok(items)
    }

    fn damaged(&self, reason: &str) -> BackupError {
        BackupError::Damaged { part: self.object.clone(), reason: reason.to_owned() }
    }

    fn next(&mut self) -> Result<Option<Bytes>, BackupError> {
        while self.raw.is_empty() {
            match self.chunks.next().map_err(|error| blame(&self.object, error))? {
                Some(raw) => self.raw = raw.into(),
                None => return Ok(None),
            }
        }
        let mut input = Reader::new(&self.raw);
        let len = u32::decode(&mut input).map_err(|error| self.damaged(&error.to_string()))? as usize;
        let start = self.raw.len() - input.remaining().len();
        if input.remaining().len() < len {
            return Err(self.damaged("an item is cut"));
        }
        let item = self.raw.slice(start..start + len);
        self.raw = self.raw.slice(start + len..);
        Ok(Some(item))
    }
}

/// The items of all parts that hold the same, over several backups.
struct Pieces<'a> {
    vault: &'a dyn Vault,
    parts: std::vec::IntoIter<(&'a Manifest, &'a Part)>,
    open: Option<Items>,
    /// What the last item was in.
    object: String,
}

impl<'a> Pieces<'a> {
    /// Of parts that end before `first` nothing is read.
    fn new(vault: &'a dyn Vault, manifests: &[&'a Manifest], holds: Holds, first: u64) -> Self {
        let parts = manifests.iter().flat_map(|manifest| manifest.parts_of(holds).map(|part| (*manifest, part)));
        let parts: Vec<_> = parts.filter(|(_, part)| part.last >= first).collect();
        Self { vault, parts: parts.into_iter(), open: None, object: String::new() }
    }

    fn next(&mut self) -> Result<Option<Bytes>, BackupError> {
        loop {
            if let Some(items) = &mut self.open {
                if let Some(item) = items.next()? {
                    return Ok(Some(item));
                }
                self.open = None;
            }
            let Some((manifest, part)) = self.parts.next() else { return Ok(None) };
            let items = Items::open(self.vault, manifest, part)?;
            self.object.clone_from(&items.object);
            self.open = Some(items);
        }
    }

    fn damaged(&self, reason: String) -> BackupError {
        BackupError::Damaged { part: self.object.clone(), reason }
    }
}

/// A record of a journal, and its bytes.
#[derive(Debug, Clone)]
pub(super) struct Archived {
    pub record: Record,
    pub encoded: Bytes,
}

/// The records of backups that go on from one another, each once and without a gap.
pub(super) struct Records<'a> {
    pieces: Pieces<'a>,
    next: Sequence,
    peeked: Option<Archived>,
}

impl<'a> Records<'a> {
    /// From the record that begins with the event `first` on.
    pub fn new(vault: &'a dyn Vault, manifests: &[&'a Manifest], first: Sequence) -> Self {
        let pieces = Pieces::new(vault, manifests, Holds::Journal, first.0);
        Self { pieces, next: first, peeked: None }
    }

    /// The next record, which stays the next.
    pub fn peek(&mut self) -> Result<Option<&Archived>, BackupError> {
        if self.peeked.is_none() {
            self.peeked = self.read()?;
        }
        Ok(self.peeked.as_ref())
    }

    /// The next record.
    pub fn next(&mut self) -> Result<Option<Archived>, BackupError> {
        self.peek()?;
        Ok(self.peeked.take())
    }

    fn read(&mut self) -> Result<Option<Archived>, BackupError> {
        while let Some(encoded) = self.pieces.next()? {
            let record = Record::from_bytes(&encoded).map_err(|error| self.pieces.damaged(error.to_string()))?;
            // Backups may overlap: a differential one holds what incremental ones before it hold.
            if record.sequence < self.next {
                continue;
            }
            if record.sequence > self.next {
                let reason = format!("the record of event {} stands where {} must", record.sequence, self.next);
                return Err(self.pieces.damaged(reason));
            }
            self.next = record.view().last_sequence().plus(1);
            return Ok(Some(Archived { record, encoded }));
        }
        Ok(None)
    }

    /// The object that the last record was in.
    pub fn object(&self) -> &str {
        &self.pieces.object
    }
}

/// The log entries of backups that go on from one another, each once and without a gap.
pub(super) struct Entries<'a> {
    pieces: Pieces<'a>,
    next: LogIndex,
}

impl<'a> Entries<'a> {
    /// From the entry `first` on.
    pub fn new(vault: &'a dyn Vault, manifests: &[&'a Manifest], first: LogIndex) -> Self {
        Self { pieces: Pieces::new(vault, manifests, Holds::Log, first.0), next: first }
    }

    /// The next entry.
    pub fn next(&mut self) -> Result<Option<Entry>, BackupError> {
        while let Some(encoded) = self.pieces.next()? {
            let entry = Entry::from_bytes(&encoded).map_err(|error| self.pieces.damaged(error.to_string()))?;
            let index = entry.position.index;
            if index < self.next {
                continue;
            }
            if index > self.next {
                return Err(self.pieces.damaged(format!("entry {index} stands where {} must", self.next)));
            }
            self.next = LogIndex(index.0 + 1);
            return Ok(Some(entry));
        }
        Ok(None)
    }

    /// The object that the last entry was in.
    pub fn object(&self) -> &str {
        &self.pieces.object
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::sample;
    use super::super::testing::MemoryVault;
    use super::*;

    #[test]
    fn a_part_of_another_format_is_called_that_and_not_damaged() {
        let vault = MemoryVault::default();
        let header = Header { format: FORMAT - 1, ..Header::new(Holds::Journal, 1) };
        let writer = Writer::begin(Buffer::default(), MAGIC, &header.to_bytes()).expect("begun");
        let (buffer, _) = writer.finish().expect("finished");
        let digest = blake3::hash(&buffer.bytes).to_hex().to_string();
        let bytes = buffer.bytes.len() as u64;
        let part = Part { name: "p".to_owned(), holds: Holds::Journal, first: 1, last: 1, bytes, digest };
        let manifest = Manifest { parts: vec![part], ..sample("a") };
        vault.put(&manifest.part_object(&manifest.parts[0]), buffer.bytes.into()).expect("put");
        let read = Records::new(&vault, &[&manifest], Sequence(1)).next();
        let other = |error: &BackupError| matches!(error, BackupError::OtherFormat { found: 1, known: 2, .. });
        assert!(read.as_ref().is_err_and(other), "{read:?}");
    }
}
