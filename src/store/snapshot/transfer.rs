//! A snapshot's way from one node to another: chunks of the file, and journal records besides.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{SnapshotMeta, Snapshots, file};
use crate::core::codec::{Decode as _, DecodeError, Encode as _, Reader};
use crate::core::event::Record;
use crate::core::types::Sequence;
use crate::core::{HashSeed, Ledger};
use crate::store::checkpoint::Checkpoint;
use crate::store::file::{Access, File};
use crate::store::identity::{ClusterId, random_u128};
use crate::store::image::Image;
use crate::store::{Disk, Position, StoreError};

/// What the names of files of a transfer begin with.
pub(super) const INCOMING: &str = "incoming-";

/// What a sender announces of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incoming {
    /// The last entry it contains.
    pub position: Position,
    /// Where the journal that belongs to it ends.
    pub sequence: Sequence,
    /// The length of the file, in bytes.
    pub bytes: u64,
}

/// The receiving side of a transfer.
#[derive(Debug)]
pub struct Inbox {
    disk: Disk,
    cluster: ClusterId,
    incoming: Incoming,
    file: File,
    received: u64,
    journal: File,
    journal_bytes: u64,
    /// The first and last sequence of the journal records received.
    records: Option<(Sequence, Sequence)>,
}

impl Inbox {
    /// The numbers in the names keep a transfer that was given up from writing into the next one.
    pub(super) fn begin(
        disk: &Disk,
        folder: &Path,
        cluster: ClusterId,
        incoming: Incoming,
    ) -> Result<Self, StoreError> {
        let mut number = 0;
        for name in disk.list(folder)?.iter().filter(|name| name.starts_with(INCOMING)) {
            let before = name[INCOMING.len()..].split('.').next().and_then(|number| number.parse().ok());
            number = number.max(before.unwrap_or(0) + 1);
            disk.remove_file(&folder.join(name))?;
        }
        let open = |what| disk.open(&folder.join(format!("{INCOMING}{number}.{what}")), Access::Create);
        Ok(Self {
            disk: disk.clone(),
            cluster,
            incoming,
            file: open("pages")?,
            received: 0,
            journal: open("records")?,
            journal_bytes: 0,
            records: None,
        })
    }

    /// Writes bytes of the file, which come in order.
    ///
    /// # Errors
    /// [`StoreError::Malformed`] when they do not follow or are too many; a fault of the disk.
    pub fn write_chunk(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let end = offset.saturating_add(bytes.len() as u64);
        if offset != self.received || end > self.incoming.bytes {
            let (at, of) = (self.received, self.incoming.bytes);
            return Err(malformed(format!("bytes {offset} to {end} of a snapshot, of which {at} of {of} are here")));
        }
        self.file.write_at(bytes, offset)?;
        self.received = end;
        Ok(())
    }

    /// Keeps journal records as [`JournalReader::read_encoded`](crate::store::journal::JournalReader::read_encoded)
    /// gave them, in order, from the end of this node's journal to the snapshot's sequence.
    ///
    /// # Errors
    /// [`StoreError::Malformed`] when they do not follow; a fault of the disk.
    pub fn append_journal(&mut self, encoded: &[u8]) -> Result<(), StoreError> {
        for record in shipped(encoded) {
            let record = record.map_err(|error| malformed(error.to_string()))?;
            if self.records.is_some_and(|(_, last)| record.sequence != last.plus(1)) {
                return Err(malformed(format!("record {} does not follow", record.sequence)));
            }
            let first = self.records.map_or(record.sequence, |(first, _)| first);
            self.records = Some((first, record.view().last_sequence()));
        }
        let mut head = Vec::with_capacity(8);
        (encoded.len() as u32).encode(&mut head);
        crc32c::crc32c(encoded).encode(&mut head);
        self.journal.write_at(&head, self.journal_bytes)?;
        self.journal.write_at(encoded, self.journal_bytes + head.len() as u64)?;
        self.journal_bytes += (head.len() + encoded.len()) as u64;
        Ok(())
    }

    /// Verifies the whole snapshot and that it is the announced one.
    ///
    /// # Errors
    /// [`StoreError::Malformed`] or [`StoreError::Corrupt`] when it is not; a fault of the disk.
    pub fn finish(self) -> Result<ReceivedSnapshot, StoreError> {
        if self.received != self.incoming.bytes {
            return Err(malformed(format!("{} of {} bytes of a snapshot", self.received, self.incoming.bytes)));
        }
        self.file.sync()?;
        let contents = file::read(&self.disk, self.file.path())?;
        let checkpoint = contents.header.checkpoint;
        if contents.header.cluster != self.cluster {
            return Err(malformed(format!("a snapshot of cluster {:032x}", contents.header.cluster.0)));
        }
        if checkpoint.position != Some(self.incoming.position) || checkpoint.sequence != self.incoming.sequence {
            return Err(malformed("another snapshot than the announced one".to_owned()));
        }
        if self.records.is_some_and(|(_, last)| last != checkpoint.sequence) {
            return Err(malformed("the journal records do not end where the snapshot does".to_owned()));
        }
        let ledger = restore(&contents.image, self.file.path())?;
        Ok(ReceivedSnapshot {
            path: self.file.path().to_owned(),
            checkpoint,
            bytes: contents.bytes,
            image: contents.image,
            ledger,
            journal: self.journal,
            journal_bytes: self.journal_bytes,
        })
    }
}

/// The records in a piece as the journal ships them: each behind its length. Ends with the first error.
fn shipped(encoded: &[u8]) -> impl Iterator<Item = Result<Record, DecodeError>> {
    let mut input = Reader::new(encoded);
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed || input.remaining().is_empty() {
            return None;
        }
        let record = u32::decode(&mut input)
            .and_then(|len| input.take(len as usize, "journal record"))
            .and_then(Record::from_bytes);
        failed = record.is_err();
        Some(record)
    })
}

/// The ledger of a verified image.
pub(in crate::store) fn restore(image: &Image, from: &Path) -> Result<Ledger, StoreError> {
    let seed = random_u128();
    let seed = HashSeed(seed as u64, (seed >> 64) as u64);
    if image.record_count() == 0 {
        return Ok(Ledger::with_seed(seed));
    }
    Ledger::restore(image.records(), seed).map_err(|error| StoreError::corrupt(from, 0, error.to_string()))
}

fn malformed(reason: String) -> StoreError {
    StoreError::Malformed { reason }
}

/// A snapshot that came over the network, verified, not yet installed.
#[derive(Debug)]
pub struct ReceivedSnapshot {
    path: PathBuf,
    checkpoint: Checkpoint,
    bytes: u64,
    image: Image,
    ledger: Ledger,
    journal: File,
    journal_bytes: u64,
}

impl ReceivedSnapshot {
    /// What it is a snapshot of.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// How much came: the file and the journal's records, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes + self.journal_bytes
    }

    /// Hands over every journal record that came with it, in order.
    pub(in crate::store) fn for_each_record(
        &self,
        mut take: impl FnMut(Record) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut at = 0;
        while at < self.journal_bytes {
            let mut head = [0; 8];
            self.journal.read_exact_at(&mut head, at)?;
            let damaged = |reason: &str| StoreError::corrupt(self.journal.path(), at, reason);
            let len = u64::from(u32::from_le_bytes([head[0], head[1], head[2], head[3]]));
            if len > self.journal_bytes.saturating_sub(at + 8) {
                return Err(damaged("impossible length"));
            }
            let mut encoded = vec![0; len as usize];
            self.journal.read_exact_at(&mut encoded, at + 8)?;
            if crc32c::crc32c(&encoded).to_le_bytes() != head[4..] {
                return Err(damaged("the checksum differs"));
            }
            for record in shipped(&encoded) {
                take(record.map_err(|error| damaged(&error.to_string()))?)?;
            }
            at += 8 + len;
        }
        Ok(())
    }

    /// Makes the file one of the node's snapshots, and the state ready to be used.
    pub(in crate::store) fn adopt(self, snapshots: &Snapshots) -> Result<(Checkpoint, Image, Ledger), StoreError> {
        snapshots.adopt(&self.path, self.checkpoint.clone(), self.bytes)?;
        snapshots.shared.disk.remove_file(self.journal.path())?;
        Ok((self.checkpoint, self.image, self.ledger))
    }
}

/// The sending side of a transfer.
#[derive(Debug)]
pub struct Outbox {
    meta: SnapshotMeta,
    file: File,
}

impl Outbox {
    pub(super) fn open(disk: &Disk, meta: &SnapshotMeta) -> Result<Self, StoreError> {
        Ok(Self { meta: meta.clone(), file: disk.open(&meta.path, Access::Read)? })
    }

    /// The snapshot.
    #[must_use]
    pub fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// Up to `len_max` bytes of the file from `offset`; empty at its end.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_chunk(&self, offset: u64, len_max: usize) -> Result<Bytes, StoreError> {
        let mut bytes = vec![0; len_max];
        let count = self.file.read_at(&mut bytes, offset)?;
        bytes.truncate(count);
        Ok(bytes.into())
    }
}
