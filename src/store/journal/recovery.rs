//! Opening the journal: what is kept, what is cut, what is refused.

use std::path::Path;

use super::block::Block;
use super::contents;
use super::files::{self, BLOCKS_PER_SEGMENT, Tail};
use super::output::OutputState;
use super::scan::{self, Cursor, Damage, Go};
use super::shared::{BlockPlace, Inner};
use crate::core::types::Sequence;
use crate::store::StoreError;
use crate::store::file::{Access, Disk, File};

/// How much of the journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Up to this event, which must be there.
    UpTo(Sequence),
    /// All that is whole, from the beginning on.
    AllWhole,
}

impl Keep {
    fn limit(self) -> Sequence {
        match self {
            Self::UpTo(keep) => keep,
            Self::AllWhole => Sequence(u64::MAX),
        }
    }
}

/// A journal that is fit to go on.
pub(super) struct Recovered {
    pub inner: Inner,
    pub output: OutputState,
}

/// Opens the journal's files, and cuts what is not kept.
pub(super) fn recover(disk: &Disk, dir: &Path, keep: Keep) -> Result<Recovered, StoreError> {
    let numbers = scan::segments(disk, dir)?;
    let mut found = find_blocks(disk, dir, &numbers, keep)?;
    let tails = open_tails(disk, dir)?;
    let (tail, tail_write) = read_tails(&tails, &mut found)?;
    let open = choose_open(&mut found, tail, keep.limit());
    check_kept(dir, &found, &open, keep)?;
    let cursor = found.cursor;
    let inner = Inner {
        blocks: found.blocks,
        written: cursor.last,
        digest: cursor.digest,
        open: open.clone(),
        ..Inner::default()
    };
    let mut output = OutputState {
        disk: disk.clone(),
        dir: dir.to_owned(),
        segment: None,
        offset: cursor.offset,
        number: cursor.number,
        digest: cursor.digest,
        tails,
        tail_write,
        synced: inner.last(),
        unsynced: Vec::new(),
        dirty: false,
        new_names: false,
    };
    // Durable before the block is cut that it may come from; also an empty one, which ends what an
    // older tail says.
    output.write_tail(&open)?;
    output.segment = cut(disk, dir, &numbers, &cursor)?;
    Ok(Recovered { inner, output })
}

/// What the segments hold.
struct Found {
    cursor: Cursor,
    blocks: Vec<BlockPlace>,
    /// The records of the block that reaches behind what is kept.
    boundary: Option<Block>,
    /// What the search came upon; it matters when something is missing.
    damage: Vec<Damage>,
}

fn find_blocks(disk: &Disk, dir: &Path, numbers: &[u64], keep: Keep) -> Result<Found, StoreError> {
    let mut blocks = Vec::new();
    let mut boundary = None;
    let mut broken = None;
    let check_all = keep == Keep::AllWhole;
    let mut begin = Cursor::default();
    let known = if check_all { 0 } else { known_segments(disk, dir, numbers, keep.limit(), &mut begin, &mut blocks)? };
    let (cursor, damage) = scan::walk_from(begin, disk, dir, &numbers[known..], |visited| {
        let header = &visited.header;
        let reaches_behind = header.last > keep.limit();
        if reaches_behind || check_all {
            let stored = scan::read_stored(&visited)?;
            match header.unpack(visited.file.path(), visited.offset, &stored) {
                Ok(block) if reaches_behind => boundary = Some(block),
                Ok(_) => {}
                Err(StoreError::Corrupt { path, offset, reason }) => {
                    broken = Some(Damage { path, offset, reason });
                    return Ok(Go::Stop);
                }
                Err(error) => return Err(error),
            }
        }
        if reaches_behind {
            return Ok(Go::Stop);
        }
        blocks.push(BlockPlace {
            first: header.first,
            first_time: header.first_time,
            offset: visited.offset,
            len: header.disk_bytes() as u32,
        });
        Ok(Go::On)
    })?;
    Ok(Found { cursor, blocks, boundary, damage: broken.into_iter().chain(damage).collect() })
}

/// The segments from the first on that are full, kept whole, and whose contents are known: they need not be walked over.
fn known_segments(
    disk: &Disk,
    dir: &Path,
    numbers: &[u64],
    limit: Sequence,
    cursor: &mut Cursor,
    blocks: &mut Vec<BlockPlace>,
) -> Result<usize, StoreError> {
    for (place, number) in numbers.iter().enumerate() {
        let mut behind = cursor.clone();
        match contents::read(disk, dir, *number, &mut behind)? {
            Some(places) if behind.last <= limit => blocks.extend(places),
            _ => return Ok(place),
        }
        *cursor = behind;
    }
    Ok(numbers.len())
}

fn open_tails(disk: &Disk, dir: &Path) -> Result<[File; 2], StoreError> {
    let mut created = false;
    let mut open = |place| {
        let path = files::tail_path(dir, place);
        let exists = disk.exists(&path)?;
        created |= !exists;
        disk.open(&path, if exists { Access::Write } else { Access::Create })
    };
    let tails = [open(0)?, open(1)?];
    if created {
        disk.sync_folder(dir)?;
    }
    Ok(tails)
}

/// The newest whole tail if it goes on where the blocks end, and the number of the next tail.
///
/// The newest one alone counts: the other one is older, or held what a later start has cut. One that
/// cannot be read is noted, since a crash tears the one that was being written.
fn read_tails(tails: &[File; 2], found: &mut Found) -> Result<(Option<Tail>, u64), StoreError> {
    let mut newest: Option<Tail> = None;
    for file in tails {
        match files::decode_tail(file.path(), &file.read_all()?) {
            Ok(Some(tail)) if newest.as_ref().is_none_or(|newest| newest.write < tail.write) => newest = Some(tail),
            Ok(_) => {}
            Err(StoreError::Corrupt { path, offset, reason }) => found.damage.push(Damage { path, offset, reason }),
            Err(error) => return Err(error),
        }
    }
    let next = newest.as_ref().map_or(0, |newest| newest.write + 1);
    let cursor = &found.cursor;
    Ok((newest.filter(|tail| tail.block == cursor.number && tail.previous == cursor.digest), next))
}

/// The records behind the last whole block that are kept: of the sources the one that holds most.
fn choose_open(found: &mut Found, tail: Option<Tail>, limit: Sequence) -> Block {
    let sources = found.boundary.take().into_iter().chain(tail.map(|tail| tail.records));
    let expected = found.cursor.last.plus(1);
    let mut best = Block::default();
    for source in sources {
        let kept = source.up_to(limit);
        if kept.first() == expected && kept.last() > best.last() {
            best = kept;
        }
    }
    best
}

fn check_kept(dir: &Path, found: &Found, open: &Block, keep: Keep) -> Result<(), StoreError> {
    let Keep::UpTo(need) = keep else { return Ok(()) };
    let have = if open.is_empty() { found.cursor.last } else { open.last() };
    if have >= need {
        return Ok(());
    }
    match found.damage.first() {
        Some(damage) => Err(damage.clone().into_error()),
        None => Err(StoreError::JournalShort { path: dir.to_owned(), have, need }),
    }
}

/// Cuts the segments at the cursor, newest first. Returns the segment that goes on there, if one does.
fn cut(disk: &Disk, dir: &Path, numbers: &[u64], cursor: &Cursor) -> Result<Option<File>, StoreError> {
    let inside = !cursor.number.is_multiple_of(BLOCKS_PER_SEGMENT);
    for &number in numbers.iter().rev() {
        if number >= cursor.segment() {
            let contents = contents::path(dir, number);
            if disk.exists(&contents)? {
                disk.remove_file(&contents)?;
            }
        }
        if number > cursor.segment() || (number == cursor.segment() && !inside) {
            disk.remove_file(&files::segment_path(dir, number))?;
            disk.sync_folder(dir)?;
        }
    }
    // What is kept may have been in the page cache only.
    for &number in numbers.iter().filter(|&&number| number < cursor.segment()) {
        disk.open(&files::segment_path(dir, number), Access::Write)?.sync()?;
    }
    disk.sync_folder(dir)?;
    if !inside {
        return Ok(None);
    }
    let file = disk.open(&files::segment_path(dir, cursor.segment()), Access::Write)?;
    if file.len()? > cursor.offset {
        file.set_len(cursor.offset)?;
    }
    file.sync()?;
    Ok(Some(file))
}
