//! Opening the log: what is read back, what is cut, what is refused.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::files::{self, Name};
use super::spares::{self, Spares};
use super::view::{Place, View};
use super::writer::{LogWriter, Marks, Tail, Used};
use super::{LogOptions, shared::Shared};
use crate::core::types::LogIndex;
use crate::store::file::{Access, Disk, File};
use crate::store::segment::{self, Kind, Leftovers, Record, Segment};
use crate::store::vote::VoteFile;
use crate::store::{Position, StoreError};

/// A segment that has been read, with what was found in it.
struct Scanned {
    segment: Arc<Segment>,
    bytes: Vec<u8>,
    heads_end: u64,
    index_max: Option<LogIndex>,
    /// The end of the valid records, a mark not counted.
    tail: u64,
    /// Whether the valid records end with a seal.
    sealed: bool,
    /// Whether the segment has been written to after its creation.
    used: bool,
    /// Where the last group begins.
    group: u64,
    leftovers: Leftovers,
    /// Why the record at the tail is none.
    end_reason: &'static str,
}

/// Opens or creates the log.
pub(super) fn open(dir: &Path, options: LogOptions) -> Result<LogWriter, StoreError> {
    let disk = options.disk.clone();
    disk.create_folder(dir)?;
    let lock = disk.lock_folder(dir)?;
    let mut generations = Vec::new();
    let mut spare_numbers = Vec::new();
    for name in disk.list(dir)? {
        match files::parse(&name) {
            Name::Segment(generation) => generations.push(generation),
            Name::Spare(number) => spare_numbers.push(number),
            Name::Unfinished => disk.remove_file(&dir.join(name))?,
            Name::Other => {}
        }
    }
    let next_spare = spare_numbers.last().map_or(1, |number| number + 1);
    if generations.is_empty() {
        if !options.create {
            return Err(StoreError::Missing { path: dir.to_owned(), reason: "the log of a node that was in use" });
        }
        create_first(&disk, dir, options.segment_bytes, next_spare, None)?;
        generations.push(1);
    }
    let mut replay = Replay { view: View::new(options.cache_bytes), marks: Marks::default(), expected: None };
    let scanned = scan_all(&disk, dir, &generations, &mut replay)?;
    replay.check_complete(dir, generations[0])?;
    let spares = whole_spares(&disk, dir, &spare_numbers, options.segment_bytes)?;
    let spares = Spares::new(dir.to_owned(), spares, next_spare, options.spares_max);
    let (segments, tail) = scanned;
    let last = segments.back().map_or_else(|| dir.to_owned(), |used| used.segment.file.path().to_owned());
    let vote = replay.marks.vote.as_ref();
    let open_copy = |copy| VoteFile::open(&disk, copy, vote, (&last, tail.offset));
    let vote_file = options.vote_copy.as_ref().map(open_copy).transpose()?;
    let mut view = replay.view;
    view.vote.clone_from(&replay.marks.vote);
    view.committed.clone_from(&replay.marks.committed);
    view.segments = segments.iter().map(|used| (used.segment.generation, Arc::clone(&used.segment))).collect();
    let shared = Arc::new(Shared::new(view, options.queue_bytes_max, dir.to_owned(), lock));
    Ok(LogWriter { shared, options, spares, segments, tail, marks: replay.marks, vote_file, buffer: Vec::new() })
}

/// Makes the first segment, with a vote at its head if there is one.
pub(super) fn create_first(
    disk: &Disk,
    dir: &Path,
    segment_bytes: u64,
    spare_number: u64,
    vote: Option<&[u8]>,
) -> Result<(), StoreError> {
    let spare = files::spare_path(dir, spare_number);
    spares::make(disk, &spare, segment_bytes)?;
    let file = disk.open(&spare, Access::Write)?;
    let marks = Marks { vote: vote.map(Bytes::copy_from_slice), ..Marks::default() };
    file.write_at(&segment::encode_header(1, segment_bytes, &marks.records()), 0)?;
    file.sync()?;
    disk.rename(&spare, &files::segment_path(dir, 1))
}

/// The spares of the right size; the others are deleted.
fn whole_spares(
    disk: &Disk,
    dir: &Path,
    numbers: &[u64],
    segment_bytes: u64,
) -> Result<VecDeque<std::path::PathBuf>, StoreError> {
    let mut whole = VecDeque::new();
    for &number in numbers {
        let path = files::spare_path(dir, number);
        if disk.open(&path, Access::Read)?.len()? == segment_bytes {
            whole.push_back(path);
        } else {
            spares::delete(disk, &path)?;
        }
    }
    Ok(whole)
}

fn scan_all(
    disk: &Disk,
    dir: &Path,
    generations: &[u64],
    replay: &mut Replay,
) -> Result<(VecDeque<Used>, Tail), StoreError> {
    let mut segments = VecDeque::with_capacity(generations.len());
    for (at, &generation) in generations.iter().enumerate() {
        let path = files::segment_path(dir, generation);
        if at > 0 && generations[at - 1] + 1 != generation {
            let missing = files::segment_path(dir, generation - 1);
            return Err(StoreError::Missing { path: missing, reason: "a segment behind it is there" });
        }
        let scanned = scan(disk.open(&path, Access::Write)?, generation, replay)?;
        let last = at + 1 == generations.len();
        if scanned.sealed && last {
            let missing = files::segment_path(dir, generation + 1);
            return Err(StoreError::Missing { path: missing, reason: "the segment before it ends with a seal" });
        }
        if scanned.sealed {
            segments.push_back(Used { segment: scanned.segment, index_max: scanned.index_max });
            continue;
        }
        if !last {
            drop_unused_successor(disk, dir, generation, generations.len() - at, &scanned)?;
        }
        let tail = repair_tail(&scanned)?;
        segments.push_back(Used { segment: scanned.segment, index_max: scanned.index_max });
        return Ok((segments, tail));
    }
    Err(StoreError::Missing { path: dir.to_owned(), reason: "the log has no segment" })
}

/// A segment without a seal must be the last, but for a successor that was created and never used,
/// which a crash between creation and seal leaves behind. That one is deleted.
fn drop_unused_successor(
    disk: &Disk,
    dir: &Path,
    generation: u64,
    count: usize,
    unsealed: &Scanned,
) -> Result<(), StoreError> {
    let path = files::segment_path(dir, generation + 1);
    let unused = count == 2 && {
        let mut aside = Replay::default();
        !scan(disk.open(&path, Access::Read)?, generation + 1, &mut aside)?.used
    };
    if !unused {
        let reason = format!("{}, and the log goes on in the next segment", unsealed.end_reason);
        return Err(StoreError::corrupt(unsealed.segment.file.path(), unsealed.tail, reason));
    }
    spares::delete(disk, &path)
}

/// Reads a segment and replays its records up to the first that is none.
fn scan(file: File, generation: u64, replay: &mut Replay) -> Result<Scanned, StoreError> {
    let bytes = file.read_all()?;
    let segment::Header { heads_end, durable } = segment::check_header(file.path(), &bytes, generation)?;
    let segment = Arc::new(Segment { generation, bytes: bytes.len() as u64, file });
    let mut scanned = Scanned {
        segment,
        heads_end,
        index_max: None,
        tail: segment::SEGMENT_HEADER_BYTES as u64,
        sealed: false,
        used: false,
        group: heads_end,
        leftovers: Leftovers::default(),
        end_reason: "no room for a record",
        bytes,
    };
    loop {
        let at = scanned.tail;
        let record = match segment::decode_record(&scanned.bytes[at as usize..], generation, at) {
            Ok(record) if at >= heads_end && record.synced_before < heads_end => {
                scanned.end_reason = "a head record behind the heads";
                break;
            }
            Ok(record) if record.synced_before > at => {
                scanned.end_reason = "a record that knows more as durable than was written before it";
                break;
            }
            Ok(record) => record,
            Err(reason) => {
                scanned.end_reason = reason;
                break;
            }
        };
        if record.kind == Kind::Mark {
            scanned.used = true;
            scanned.end_reason = "the log ends here";
            break;
        }
        if at >= heads_end {
            scanned.used = true;
            scanned.group = record.synced_before;
        }
        replay.apply(&record, generation, at).map_err(|reason| corrupt(&scanned.segment, at, reason))?;
        if record.kind == Kind::Entry {
            scanned.index_max = scanned.index_max.max(Some(record.position.index));
        }
        scanned.tail += record.disk_bytes() as u64;
        if record.kind == Kind::Seal {
            scanned.sealed = true;
            break;
        }
    }
    if scanned.tail < heads_end {
        return Err(corrupt(&scanned.segment, scanned.tail, scanned.end_reason));
    }
    if !scanned.sealed {
        scanned.leftovers = segment::find_leftovers(&scanned.bytes, generation, scanned.tail);
        if scanned.leftovers.synced.max(durable) > scanned.tail {
            let reason = format!("{}, and it is known as durable", scanned.end_reason);
            return Err(corrupt(&scanned.segment, scanned.tail, reason));
        }
    }
    Ok(scanned)
}

fn corrupt(segment: &Segment, offset: u64, reason: impl Into<String>) -> StoreError {
    StoreError::corrupt(segment.file.path(), offset, reason)
}

/// Makes the last segment fit to go on: what is kept is durable, what is cut is gone for good.
fn repair_tail(scanned: &Scanned) -> Result<Tail, StoreError> {
    let file = &scanned.segment.file;
    // The last group may be in the page cache only, and marked clean by a sync that failed before
    // the crash: written again, it is really written.
    let group = &scanned.bytes[scanned.group as usize..scanned.tail as usize];
    if !group.is_empty() {
        file.write_at(group, scanned.group)?;
    }
    if scanned.leftovers.end > scanned.tail {
        // A whole record of the torn group must not come back when the log grows up to it.
        file.write_at(&vec![0; (scanned.leftovers.end - scanned.tail) as usize], scanned.tail)?;
    }
    file.sync()?;
    let mut mark = Vec::new();
    let record = Record {
        kind: Kind::Mark,
        position: Position::default(),
        synced_before: scanned.tail.max(scanned.heads_end),
        payload: &[],
    };
    segment::encode_record(&mut mark, scanned.segment.generation, scanned.tail, &record);
    file.write_at(&mark, scanned.tail)?;
    segment::note_durable(file, scanned.tail)?;
    file.sync()?;
    Ok(Tail { offset: scanned.tail, synced: scanned.tail })
}

/// What the records add up to.
#[derive(Default)]
struct Replay {
    view: View,
    marks: Marks,
    /// The index that the next entry must have, once it is known.
    expected: Option<u64>,
}

impl Replay {
    fn apply(&mut self, record: &Record<'_>, generation: u64, offset: u64) -> Result<(), String> {
        let position = record.position;
        if position.index == LogIndex(u64::MAX) {
            return Err("no entry has the last index of all".to_owned());
        }
        match record.kind {
            Kind::Entry => {
                let index = position.index.0;
                if let Some(expected) = self.expected
                    && expected != index
                {
                    return Err(format!("entry {index} stands where {expected} must"));
                }
                self.expected = Some(index + 1);
                let place = Place { generation, offset: offset as u32 };
                self.view.restore(position, record.payload.len() as u32, place);
            }
            Kind::Vote => self.marks.vote = Some(Bytes::copy_from_slice(record.payload)),
            Kind::Committed => self.marks.committed = Some(Bytes::copy_from_slice(record.payload)),
            Kind::Truncate => {
                self.view.truncate_after(Some(position));
                self.expected = Some(position.index.0 + 1);
            }
            Kind::TruncateAll => {
                self.view.truncate_after(None);
                self.expected = self.marks.purged.map(|purged| purged.index.0 + 1);
            }
            Kind::Purge => {
                self.view.purge_to(position);
                self.marks.purged = self.view.purged;
                self.expected = self.expected.map(|expected| expected.max(position.index.0 + 1));
            }
            Kind::Seal | Kind::Mark => {}
        }
        Ok(())
    }

    /// Refuses a log whose beginning is gone.
    fn check_complete(&self, dir: &Path, first_generation: u64) -> Result<(), StoreError> {
        let complete = match (self.marks.purged, self.view.first()) {
            (None, _) => first_generation == 1,
            (Some(purged), Some(first)) => first == purged.index.0 + 1,
            (Some(_), None) => true,
        };
        if complete {
            return Ok(());
        }
        let path = files::segment_path(dir, first_generation - 1);
        Err(StoreError::Missing { path, reason: "the log does not begin behind its last purged entry" })
    }
}
