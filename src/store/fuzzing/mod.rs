//! Every decoder of what lies on a disk, as a function of bytes, for the fuzzers: see docs/TESTING.md.
//!
//! Checksums keep a fuzzer from what stands behind them. So each body decodes its bytes as they are, then
//! makes the checksums fit ([`seals`]) and decodes them again. What can be decoded is also used, as a start
//! of the node would.

mod seals;
pub mod seeds;

use std::path::Path;

use super::backup::fuzzing as backup;
use super::image::{Image, Page, page_len};
use super::index::{IndexWriter, Run};
use super::journal::{self, Journal, JournalOptions, verify_journal};
use super::log::{self, Log, LogOptions, SEGMENT_BYTES_MIN};
use super::snapshot::{self, restore};
use super::testing::SimDisk;
use super::{identity, repair, state, vote};
use crate::core::Table;
use crate::core::command::{CommandKey, Scope};
use crate::core::types::{AccountId, CommandId, LogIndex, Sequence};

const FOLDER: &str = "/data";

/// Bytes of entries or records that are read at once.
const READ_BYTES: usize = 1 << 20;

fn folder() -> &'static Path {
    Path::new(FOLDER)
}

/// Gives the bytes to `decode` as they are, and once more with checksums that fit.
fn both(bytes: &[u8], seal: fn(&mut [u8]), decode: fn(&[u8])) {
    decode(bytes);
    let mut sealed = bytes.to_vec();
    seal(&mut sealed);
    decode(&sealed);
}

/// A disk with one file.
fn disk_with(path: &Path, bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::default();
    disk.put(path, bytes);
    disk
}

/// A segment of the log: opened, mended, and read to its end.
pub fn log_segment(bytes: &[u8]) {
    both(bytes, seals::log_segment, |bytes| {
        let sim = disk_with(&log::segment_path(folder(), 1), bytes);
        let options =
            LogOptions { create: false, segment_bytes: SEGMENT_BYTES_MIN, disk: sim.disk(), ..LogOptions::default() };
        let Ok((log, _writer)) = Log::open(folder(), options) else { return };
        let _ = (log.vote(), log.committed(), log.bounds());
        let _ = log.read(LogIndex(0), LogIndex(u64::MAX), READ_BYTES);
    });
}

/// A segment of the journal: verified, opened, and every record read, many at once and by itself.
pub fn journal_segment(bytes: &[u8]) {
    both(bytes, seals::journal_segment, |bytes| journal_with(&journal::segment_path(folder(), 0), bytes));
}

/// The journal's tail file.
pub fn journal_tail(bytes: &[u8]) {
    both(bytes, seals::journal_tail, |bytes| journal_with(&journal::tail_path(folder(), 0), bytes));
}

fn journal_with(path: &Path, bytes: &[u8]) {
    let disk = disk_with(path, bytes).disk();
    let _ = verify_journal(&disk, folder());
    let Ok(journal) = Journal::open_whole(folder(), JournalOptions { disk, cache_bytes: 0 }) else { return };
    let reader = journal.reader();
    let mut next = Sequence(1);
    while let Ok(records) = reader.read(next, usize::MAX, READ_BYTES) {
        for record in &records {
            let _ = reader.record_at(record.sequence);
        }
        let Some(last) = records.last() else { break };
        next = last.view().last_sequence().plus(1);
    }
}

/// Journal records as a peer sends them.
pub fn shipped_records(bytes: &[u8]) {
    let options = JournalOptions { disk: SimDisk::default().disk(), cache_bytes: 0 };
    if let Ok(mut journal) = Journal::open_whole(folder(), options) {
        let _ = journal.append_encoded(bytes);
    }
}

/// A snapshot file: read, verified, and made a ledger of.
pub fn snapshot(bytes: &[u8]) {
    both(bytes, seals::chunked, |bytes| {
        let path = folder().join("one");
        let disk = disk_with(&path, bytes).disk();
        if let Ok(contents) = snapshot::file::read(&disk, &path) {
            let _ = restore(&contents.image, &path);
        }
    });
}

/// The manifest of a backup.
pub fn backup_manifest(bytes: &[u8]) {
    both(bytes, backup::seal_manifest, backup::manifest);
}

/// A part of a backup: the records or the entries in it.
pub fn backup_part(bytes: &[u8]) {
    both(bytes, seals::chunked, backup::part);
}

/// Pages of the state, one behind the other: an image, and a ledger of it.
pub fn state_pages(bytes: &[u8]) {
    both(bytes, seals::state_pages, |bytes| {
        let mut image = Image::new();
        for page in split_pages(bytes) {
            let Ok((key, page)) = Page::decode(page) else { return };
            if image.load(key, page).is_err() {
                return;
            }
        }
        let _ = restore(&image, folder());
    });
}

/// Cuts bytes into pages, each as long as the table that it names has them; the last may be a piece.
fn split_pages(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let table = rest.get(1).and_then(|number| Table::from_number(*number));
        let len = table.map_or(rest.len(), page_len).min(rest.len());
        let (page, behind) = rest.split_at(len);
        rest = behind;
        (!page.is_empty()).then_some(page)
    })
}

/// The meta record of the state store.
pub fn state_meta(bytes: &[u8]) {
    both(bytes, seals::state_meta, |bytes| drop(state::decode_meta(bytes)));
}

/// A run of the index: opened, verified, sought in, and asked for a command.
pub fn index_run(bytes: &[u8]) {
    both(bytes, seals::index_run, |bytes| {
        let name = seeds::RUN;
        let disk = disk_with(&folder().join(name.file_name()), bytes).disk();
        let Ok(run) = Run::open(&disk, folder(), name) else { return };
        let _ = run.verify();
        if let Ok(mut cursor) = run.seek(&[1]) {
            while let Ok(Some(_)) = cursor.next(&run) {}
            while let Ok(Some(_)) = cursor.previous(&run) {}
        }
        let asked = CommandKey { scope: Scope::Transfer, account: AccountId(0), id: CommandId(1) };
        let _ = IndexWriter::new(vec![run], usize::MAX).reader().find(&asked);
    });
}

/// The identity file.
pub fn identity(bytes: &[u8]) {
    both(bytes, seals::identity, |bytes| {
        let disk = disk_with(&folder().join(identity::FILE_NAME), bytes).disk();
        let _ = identity::read(&disk, folder());
    });
}

/// The second copy of the vote.
pub fn vote_copy(bytes: &[u8]) {
    both(bytes, seals::vote_copy, |bytes| {
        let path = folder().join(vote::FILE_NAME);
        let _ = vote::read(&disk_with(&path, bytes).disk(), &path);
    });
}

/// What a node notes of its repairs.
pub fn repair_book(bytes: &[u8]) {
    both(bytes, seals::identity, |bytes| {
        let disk = disk_with(&folder().join(repair::FILE_NAME), bytes).disk();
        if let Ok(book) = repair::read(&disk, folder())
            && let Some(mark) = book.mark
        {
            let _ = (mark.case.cause(), mark.case.aside());
        }
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::core::command::{Body, Command};
    use crate::core::event::{EventBody, Record};
    use crate::core::{Decode as _, DecodeError, Encode as _};

    #[test]
    fn sealing_leaves_what_is_sound_as_it_is() {
        type Case = (fn(&mut [u8]), fn() -> Vec<Vec<u8>>);
        let cases: [Case; 12] = [
            (backup::seal_manifest, backup::manifests),
            (seals::chunked, backup::parts),
            (seals::log_segment, seeds::log_segments),
            (seals::journal_segment, seeds::journal_segments),
            (seals::journal_tail, seeds::journal_tails),
            (seals::chunked, seeds::snapshots),
            (seals::state_pages, seeds::state_pages),
            (seals::state_meta, seeds::state_metas),
            (seals::index_run, seeds::index_runs),
            (seals::identity, seeds::identities),
            (seals::vote_copy, seeds::vote_copies),
            (seals::identity, seeds::repair_books),
        ];
        for (place, (seal, seeds)) in cases.into_iter().enumerate() {
            for seed in seeds() {
                let mut sealed = seed.clone();
                seal(&mut sealed);
                assert!(sealed == seed, "case {place}");
            }
        }
    }

    /// Every command and every event is there, so that nothing that can be decoded is left out.
    #[test]
    fn the_fuzzers_begin_with_every_command_and_every_event() {
        let commands = seeds::commands();
        let bodies = commands.iter().map(|bytes| Command::from_bytes(bytes).expect("sound").body.to_bytes()[0]);
        let bodies: BTreeSet<u8> = bodies.collect();
        let decodes = |tag: u8| !matches!(Body::from_bytes(&[tag]), Err(DecodeError::UnknownTag("Body", _)));
        assert!(bodies.iter().copied().eq((0..=u8::MAX).filter(|tag| decodes(*tag))), "{bodies:?}");
        let records = seeds::records();
        let records = records.iter().map(|bytes| Record::from_bytes(bytes).expect("sound"));
        let events = records.flat_map(|record| record.events).map(|event| event.body.to_bytes()[0]);
        let events: BTreeSet<u8> = events.collect();
        let decodes = |tag: u8| !matches!(EventBody::from_bytes(&[tag]), Err(DecodeError::UnknownTag("EventBody", _)));
        assert!(events.iter().copied().eq((0..=u8::MAX).filter(|tag| decodes(*tag))), "{events:?}");
    }

    #[test]
    fn what_the_fuzzers_begin_with_can_be_decoded() {
        let file = |name: &str, seeds: Vec<Vec<u8>>| {
            let path = folder().join(name);
            (disk_with(&path, &seeds[0]).disk(), path)
        };
        let (disk, path) = file("one", seeds::snapshots());
        let contents = snapshot::file::read(&disk, &path).expect("a snapshot");
        restore(&contents.image, &path).expect("a ledger");
        let run = seeds::RUN;
        let (disk, _) = file(&run.file_name(), seeds::index_runs());
        Run::open(&disk, folder(), run).and_then(|run| run.verify()).expect("a run");
        let (disk, _) = file(identity::FILE_NAME, seeds::identities());
        assert!(identity::read(&disk, folder()).expect("an identity").is_some());
        let (disk, path) = file(vote::FILE_NAME, seeds::vote_copies());
        assert!(vote::read(&disk, &path).expect("a vote").is_some());
        let (disk, _) = file(repair::FILE_NAME, seeds::repair_books());
        assert!(repair::read(&disk, folder()).expect("a book").mark.is_some());
        let disk = disk_with(&journal::segment_path(folder(), 0), &seeds::journal_segments()[0]).disk();
        let report = verify_journal(&disk, folder()).expect("a journal");
        assert!(report.blocks > 1 && report.torn_bytes == 0, "{report:?}");
        let disk = disk_with(&log::segment_path(folder(), 1), &seeds::log_segments()[0]).disk();
        let options = LogOptions { create: false, segment_bytes: SEGMENT_BYTES_MIN, disk, ..LogOptions::default() };
        let (log, _writer) = Log::open(folder(), options).expect("a log");
        assert_eq!(log.bounds().last.map(|last| last.index), Some(LogIndex(2)));
        state::decode_meta(&seeds::state_metas()[0]).expect("a meta record");
    }
}
