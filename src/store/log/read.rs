//! Reading entries that left memory.

use std::sync::Arc;

use bytes::Bytes;

use super::LogEntry;
use super::view::{Found, OnDisk};
use crate::store::StoreError;
use crate::store::segment::{Kind, decode_record, record_bytes};

/// Entries whose records are so close are read in one go, with what lies between them.
const GAP_BYTES_MAX: usize = 4096;

/// Entries next to each other in one segment.
struct Run {
    entries: Vec<OnDisk>,
    end: usize,
}

impl Run {
    fn new(entry: OnDisk) -> Self {
        let end = entry.offset as usize + record_bytes(entry.len as usize);
        Self { entries: vec![entry], end }
    }

    /// Takes the entry in, or gives it back when it stands elsewhere.
    fn extend(&mut self, entry: OnDisk) -> Option<OnDisk> {
        let start = entry.offset as usize;
        let near = start >= self.end && start - self.end <= GAP_BYTES_MAX;
        if !near || !Arc::ptr_eq(&entry.segment, &self.entries[0].segment) {
            return Some(entry);
        }
        self.end = start + record_bytes(entry.len as usize);
        self.entries.push(entry);
        None
    }

    fn read(self, out: &mut Vec<LogEntry>) -> Result<(), StoreError> {
        let segment = &self.entries[0].segment;
        let start = self.entries[0].offset as usize;
        let mut bytes = vec![0; self.end - start];
        segment.file.read_exact_at(&mut bytes, start as u64)?;
        let bytes = Bytes::from(bytes);
        for entry in &self.entries {
            let offset = entry.offset as usize - start;
            let payload = check(entry, &bytes[offset..])?;
            out.push(LogEntry { position: entry.position, bytes: bytes.slice_ref(payload) });
        }
        Ok(())
    }
}

/// The content of the record if it is the entry that was written there.
fn check<'a>(entry: &OnDisk, bytes: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let segment = &entry.segment;
    let corrupt = |reason: String| StoreError::corrupt(segment.file.path(), u64::from(entry.offset), reason);
    let record = decode_record(bytes, segment.generation, u64::from(entry.offset))
        .map_err(|reason| corrupt(format!("entry {}: {reason}", entry.position)))?;
    if record.kind != Kind::Entry || record.position != entry.position || record.payload.len() != entry.len as usize {
        return Err(corrupt(format!("entry {} was written here, {} is found", entry.position, record.position)));
    }
    Ok(record.payload)
}

/// Reads what is not in memory.
pub(super) fn load(found: Vec<Found>) -> Result<Vec<LogEntry>, StoreError> {
    let mut out = Vec::with_capacity(found.len());
    let mut run: Option<Run> = None;
    for found in found {
        match found {
            Found::OnDisk(entry) => {
                let elsewhere = match &mut run {
                    Some(run) => run.extend(entry),
                    None => Some(entry),
                };
                if let Some(entry) = elsewhere
                    && let Some(finished) = run.replace(Run::new(entry))
                {
                    finished.read(&mut out)?;
                }
            }
            Found::Cached(entry) => {
                if let Some(finished) = run.take() {
                    finished.read(&mut out)?;
                }
                out.push(entry);
            }
        }
    }
    if let Some(finished) = run {
        finished.read(&mut out)?;
    }
    Ok(out)
}
