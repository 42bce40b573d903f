//! The journal as its users see it: across restarts, cuts, power cuts, damage; the same bytes everywhere.

use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::core::codec::dense;
use crate::core::command::{CommandKey, Scope};
use crate::core::event::{Event, EventBody, OrderCancelled, Origin, Posting, Record};
use crate::core::types::{
    AccountId, Amount, AssetId, CancelReason, CommandId, LogIndex, MarketId, OrderId, Quantity, Stamp, Term, Timestamp,
};
use crate::store::testing::{Random, SimDisk};

const SECOND: u64 = 1_000_000_000;

/// The record that begins with this event: a function of the sequence, so that any mix-up shows.
pub(super) fn record(sequence: u64) -> Record {
    let mut random = Random(sequence);
    let events = 1 + random.below(3);
    let mut postings = Vec::new();
    let events = (0..events).map(|_| {
        for _ in 0..random.below(3) {
            postings.push(Posting {
                account: AccountId(random.below(1000)),
                asset: AssetId(2),
                amount: Amount(random.next() as i64),
                hold: Amount(0),
                posted: Amount(random.next() as i64),
                reserved: Amount(0),
            });
        }
        let body = EventBody::OrderCancelled(OrderCancelled {
            order: OrderId(random.next()),
            account: AccountId(1),
            market: MarketId(1),
            open: Quantity(random.next()),
            reason: CancelReason::Requested,
        });
        Event { body, postings_end: postings.len() as u32 }
    });
    let events: Vec<Event> = events.collect();
    let key = CommandKey { scope: Scope::Trading, account: AccountId(1), id: CommandId(u128::from(sequence)) };
    Record {
        sequence: Sequence(sequence),
        stamp: Stamp { term: Term(1), index: LogIndex(sequence), time: Timestamp(sequence * SECOND) },
        origin: (!sequence.is_multiple_of(3)).then_some(Origin { key, fingerprint: sequence }),
        events,
        postings,
    }
}

/// The first `count` records.
fn records(count: usize) -> Vec<Record> {
    let mut next = 1;
    let one = |_| {
        let record = record(next);
        next = record.view().last_sequence().0 + 1;
        record
    };
    (0..count).map(one).collect()
}

fn last_of(records: &[Record]) -> Sequence {
    records.last().map_or(Sequence(0), |record| record.view().last_sequence())
}

fn open(dir: &Path, keep: Sequence) -> Result<Journal, StoreError> {
    Journal::open(dir, JournalOptions::default(), keep)
}

fn append(journal: &mut Journal, records: &[Record]) {
    for record in records {
        journal.append(record.view());
    }
}

fn all(journal: &Journal) -> Result<Vec<Record>, StoreError> {
    journal.reader().read(Sequence(1), usize::MAX, usize::MAX)
}

fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry").path());
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    files.map(|path| (name(&path), fs::read(&path).expect("read"))).collect()
}

/// A journal of so many records, synced and closed.
fn filled(dir: &Path, records: &[Record]) {
    let mut journal = open(dir, Sequence(0)).expect("opens");
    append(&mut journal, records);
    journal.flusher().sync(last_of(records)).expect("synced");
}

#[test]
fn records_are_readable_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let records = records(3000);
    let mut journal = open(dir.path(), Sequence(0)).expect("opens");
    let reader = journal.reader();
    assert_eq!((reader.first(), reader.last()), (None, None));
    assert_eq!(reader.record_at(Sequence(1)).expect("read"), None);
    for (place, record) in records.iter().enumerate() {
        journal.append(record.view());
        let last = record.view().last_sequence();
        assert_eq!(reader.last(), Some(last));
        if place % 97 == 0 {
            assert_eq!(reader.record_at(last).expect("read").as_ref(), Some(record));
        }
        match place {
            1000 => journal.flusher().write_out().expect("written"),
            2000 => drop(journal.flusher().sync(Sequence(500)).expect("synced")),
            _ => {}
        }
    }
    assert_eq!(all(&journal).expect("read"), records);
    assert!(journal.backlog_bytes() > 0);
    let last = last_of(&records);
    assert_eq!(journal.flusher().sync(last).expect("synced"), last);
    assert_eq!(journal.backlog_bytes(), 0);
    assert!(journal.flusher().sync(last.plus(1)).is_err());
    let head = journal.head();
    assert!(head.0 > Sequence(0));
    drop((journal, reader));
    let journal = open(dir.path(), last).expect("opens");
    assert_eq!(journal.last_sequence(), last);
    assert_eq!(journal.head(), head);
    assert_eq!(all(&journal).expect("read"), records);
    let report = verify_journal(&Disk::real(), dir.path()).expect("whole");
    assert_eq!((report.last, report.records, report.digest), (last, 3000, head.1));
    assert_eq!(report.torn_bytes, 0);
}

#[test]
fn a_journal_of_an_older_version_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let records = records(1500);
    filled(dir.path(), &records);
    let path = segment_path(dir.path(), 0);
    let mut bytes = fs::read(&path).expect("readable");
    bytes[8..12].copy_from_slice(&1_u32.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..files::SEGMENT_HEADER_BYTES - 4]).to_le_bytes();
    bytes[files::SEGMENT_HEADER_BYTES - 4..files::SEGMENT_HEADER_BYTES].copy_from_slice(&checksum);
    fs::write(&path, &bytes).expect("written");
    let refused = |error: &StoreError| matches!(error, StoreError::OlderFormat { found: 1, known: 3, .. });
    for opened in [
        open(dir.path(), Sequence(0)).map(drop),
        open(dir.path(), last_of(&records)).map(drop),
        Journal::open_whole(dir.path(), JournalOptions::default()).map(drop),
        verify_journal(&Disk::real(), dir.path()).map(drop),
    ] {
        assert!(opened.as_ref().is_err_and(refused), "{opened:?}");
        assert!(!opened.expect_err("refused").is_damage());
    }
    assert!(fs::read(&path).expect("readable") == bytes);
}

#[test]
fn pages_times_and_digests() {
    let dir = tempfile::tempdir().expect("a folder");
    let records = records(2000);
    filled(dir.path(), &records[..1500]);
    let mut journal = Journal::open(
        dir.path(),
        JournalOptions { cache_bytes: 100_000, ..JournalOptions::default() },
        last_of(&records[..1500]),
    )
    .expect("opens");
    append(&mut journal, &records[1500..]);
    let reader = journal.reader();
    let mut next = Sequence(1);
    let mut paged = Vec::new();
    loop {
        let page = reader.read(next, 70, 10_000).expect("read");
        let Some(last) = page.last() else { break };
        next = last.view().last_sequence().plus(1);
        paged.extend(page);
    }
    assert_eq!(paged, records);
    for record in records.iter().step_by(31) {
        let (first, last) = (record.sequence, record.view().last_sequence());
        for sequence in first.0..=last.0 {
            assert_eq!(reader.record_at(Sequence(sequence)).expect("read").as_ref(), Some(record));
        }
        let at = reader.sequence_at_time(Timestamp(first.0 * SECOND)).expect("read");
        assert_eq!(at, Some(last));
        let before = reader.sequence_at_time(Timestamp(first.0 * SECOND - 1)).expect("read");
        assert_eq!(before, (first > Sequence(1)).then(|| Sequence(first.0 - 1)));
    }
    let (written, digest) = journal.head();
    assert_eq!(reader.digest_at(written).expect("read"), Some(digest));
    assert_eq!(reader.digest_at(Sequence(written.0 - 1)).expect("read"), None);
    assert_eq!(reader.digest_at(Sequence(0)).expect("read"), None);
}

#[test]
fn every_node_writes_the_same_bytes_whenever_it_syncs_or_restarts() {
    let records = records(4000);
    let calm = tempfile::tempdir().expect("a folder");
    filled(calm.path(), &records);
    let busy = tempfile::tempdir().expect("a folder");
    let mut random = Random(5);
    let mut done = 0;
    while done < records.len() {
        let mut journal = open(busy.path(), last_of(&records[..done])).expect("opens");
        let count = (1 + random.below(600) as usize).min(records.len() - done);
        append(&mut journal, &records[done..done + count]);
        match random.below(3) {
            0 => journal.flusher().write_out().expect("written"),
            1 => drop(journal.flusher().sync(last_of(&records[..done + 1])).expect("synced")),
            _ => {}
        }
        // A crash may lose what was not synced; the rest is cut back to what the state had reached.
        let kept = done + random.below(count as u64 + 1) as usize;
        journal.flusher().sync(last_of(&records[..kept])).expect("synced");
        done = kept.max(done);
    }
    let shipped = tempfile::tempdir().expect("a folder");
    let mut receiver = open(shipped.path(), Sequence(0)).expect("opens");
    let sender = open(calm.path(), last_of(&records)).expect("opens").reader();
    let last = last_of(&records);
    while receiver.last_sequence() < last {
        let bytes = sender.read_encoded(receiver.last_sequence().plus(1), last, 20_000).expect("read");
        receiver.append_encoded(&bytes).expect("appended");
    }
    receiver.flusher().sync(last).expect("synced");
    let segments = |dir: &Path| -> Vec<(String, Vec<u8>)> {
        contents(dir).into_iter().filter(|(name, _)| name.ends_with(".journal")).collect()
    };
    assert!(!segments(calm.path()).is_empty());
    assert!(segments(calm.path()) == segments(busy.path()), "the busy one differs");
    assert!(segments(calm.path()) == segments(shipped.path()), "the shipped one differs");
}

#[test]
fn shipped_records_must_follow_and_be_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let records = records(50);
    filled(dir.path(), &records);
    let sender = open(dir.path(), last_of(&records)).expect("opens").reader();
    let bytes = sender.read_encoded(Sequence(1), Sequence(u64::MAX), usize::MAX).expect("read");
    assert!(sender.read_encoded(last_of(&records).plus(1), Sequence(u64::MAX), 100).expect("read").is_empty());
    let until = sender.read_encoded(Sequence(1), records[10].sequence, usize::MAX).expect("read");
    let one = sender.read_encoded(Sequence(1), Sequence(u64::MAX), 0).expect("read");
    let other = tempfile::tempdir().expect("a folder");
    let mut receiver = open(other.path(), Sequence(0)).expect("opens");
    for cut in [1, 3, 4, 30, bytes.len() - 1] {
        assert!(matches!(receiver.append_encoded(&bytes[..cut]), Err(StoreError::Malformed { .. })), "cut {cut}");
        assert_eq!(receiver.last_sequence(), Sequence(0), "all or nothing");
    }
    receiver.append_encoded(&one).expect("appended");
    assert_eq!(all(&receiver).expect("read"), records[..1]);
    assert!(matches!(receiver.append_encoded(&bytes), Err(StoreError::RecordOutOfOrder { .. })));
    let mut fresh = open(&other.path().join("fresh"), Sequence(0)).expect("opens");
    fresh.append_encoded(&until).expect("appended");
    assert_eq!(all(&fresh).expect("read"), records[..11]);
}

#[test]
fn a_start_cuts_what_is_behind_the_state_and_refuses_what_is_missing() {
    let dir = tempfile::tempdir().expect("a folder");
    let records = records(2000);
    filled(dir.path(), &records);
    let mut kept = records.len();
    let mut random = Random(9);
    while kept > 0 {
        kept -= (1 + random.below(250) as usize).min(kept);
        let journal = open(dir.path(), last_of(&records[..kept])).expect("opens");
        assert_eq!(all(&journal).expect("read"), records[..kept]);
        drop(journal);
        if kept > 0 {
            let short = open(dir.path(), last_of(&records[..kept]).plus(1)).err();
            let Some(StoreError::JournalShort { have, .. }) = short else { panic!("{short:?}") };
            assert_eq!(have, last_of(&records[..kept]));
        }
        let mut journal = open(dir.path(), last_of(&records[..kept])).expect("opens");
        let more = kept + random.below(100) as usize;
        append(&mut journal, &records[kept..more]);
        journal.flusher().sync(last_of(&records[..more])).expect("synced");
    }
}

#[test]
fn a_keep_inside_a_record_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let records = records(100);
    filled(dir.path(), &records);
    let long = records.iter().find(|record| record.events.len() > 1 && record.sequence > Sequence(1)).expect("one");
    let short = open(dir.path(), long.sequence).err();
    let Some(StoreError::JournalShort { have, .. }) = short else { panic!("{short:?}") };
    assert_eq!(have.plus(1), long.sequence);
}

#[test]
fn a_whole_journal_is_opened_without_knowing_its_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let records = records(1500);
    filled(dir.path(), &records);
    let journal = Journal::open_whole(dir.path(), JournalOptions::default()).expect("opens");
    assert_eq!(all(&journal).expect("read"), records);
    assert!(matches!(open(dir.path(), Sequence(1)).err(), Some(StoreError::Locked { .. })));
}

#[test]
fn a_large_record_is_a_block_of_its_own_making() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut large = record(1);
    let one = large.events[0].clone();
    large.postings.clear();
    large.events = (0..50_000).map(|_| Event { postings_end: 0, ..one.clone() }).collect();
    let mut journal = open(dir.path(), Sequence(0)).expect("opens");
    journal.append(large.view());
    let after = record(50_001);
    journal.append(after.view());
    let last = after.view().last_sequence();
    journal.flusher().sync(last).expect("synced");
    drop(journal);
    let journal = open(dir.path(), last).expect("opens");
    assert_eq!(journal.reader().record_at(Sequence(40_000)).expect("read"), Some(large));
    assert_eq!(journal.reader().record_at(Sequence(50_001)).expect("read"), Some(after));
}

/// A new journal in the folder, of so many blocks, synced: one posting-heavy record fills a block.
pub(super) fn long(dir: &Path, options: JournalOptions, blocks: u64) -> Journal {
    let mut journal = Journal::open(dir, options, Sequence(0)).expect("opens");
    let posting = Posting {
        account: AccountId(1),
        asset: AssetId(1),
        amount: Amount(i64::MAX),
        hold: Amount(i64::MIN),
        posted: Amount(i64::MAX),
        reserved: Amount(i64::MIN),
    };
    let count = block::BLOCK_RAW_BYTES / dense::to_dense(&posting).len();
    for _ in 0..blocks {
        let mut heavy = record(journal.last_sequence().0 + 1);
        heavy.postings = vec![posting; count];
        for event in &mut heavy.events {
            event.postings_end = count as u32;
        }
        journal.append(heavy.view());
    }
    journal.flusher().sync(journal.last_sequence()).expect("synced");
    journal
}

#[test]
fn many_blocks_make_more_than_one_segment() {
    let sim = SimDisk::default();
    let options = JournalOptions { disk: sim.disk(), ..JournalOptions::default() };
    let dir = Path::new("/journal");
    let journal = long(dir, options.clone(), files::BLOCKS_PER_SEGMENT + 3);
    let last = journal.last_sequence();
    let head = journal.head();
    assert_eq!(head.0, last);
    drop(journal);
    let report = verify_journal(&sim.disk(), dir).expect("whole");
    assert_eq!((report.segments, report.blocks, report.digest), (2, files::BLOCKS_PER_SEGMENT + 3, head.1));
    let journal = Journal::open(dir, options.clone(), last).expect("opens");
    assert_eq!(journal.head(), head);
    let early = journal.reader().record_at(Sequence(5)).expect("read").expect("there");
    drop(journal);
    // Back into the first segment.
    let journal = Journal::open(dir, options, early.view().last_sequence()).expect("opens");
    assert_eq!(journal.last_sequence(), early.view().last_sequence());
    assert_eq!(verify_journal(&sim.disk(), dir).expect("whole").segments, 1);
}

#[test]
fn what_was_synced_survives_a_power_cut_at_any_operation() {
    let records = records(6000);
    let dir = Path::new("/journal");
    for seed in 0..150 {
        let sim = SimDisk::default();
        let options = JournalOptions { disk: sim.disk(), ..JournalOptions::default() };
        let mut random = Random(seed);
        let mut synced = 0;
        for life in 0..4 {
            if life < 3 {
                sim.fail_after(random.below(60), std::io::ErrorKind::Other);
            }
            let keep = last_of(&records[..synced]);
            let mut journal = match Journal::open(dir, options.clone(), keep) {
                Ok(journal) => journal,
                Err(StoreError::Io { .. }) if life < 3 => {
                    sim.power_cut(&mut random);
                    continue;
                }
                Err(error) => panic!("seed {seed}, life {life}: {error}"),
            };
            assert_eq!(all(&journal).expect("read"), records[..synced], "seed {seed}, life {life}");
            let mut appended = synced;
            for _ in 0..6 {
                let more = (appended + random.below(500) as usize).min(records.len());
                append(&mut journal, &records[appended..more]);
                appended = more;
                let upto = appended - random.below((appended - synced) as u64 + 1) as usize;
                if journal.flusher().sync(last_of(&records[..upto])).is_err() {
                    assert!(journal.flusher().write_out().is_err(), "a fault is final");
                    break;
                }
                synced = upto;
            }
            drop(journal);
            sim.power_cut(&mut random);
        }
        let journal = Journal::open(dir, options, last_of(&records[..synced])).expect("opens");
        assert_eq!(all(&journal).expect("read"), records[..synced]);
    }
}

/// Damages each file in turn; what opens must hold the same records, or say where the damage is.
fn damage(change: impl Fn(&mut Vec<u8>, &mut Random)) {
    let dir = tempfile::tempdir().expect("a folder");
    let records = records(1200);
    filled(dir.path(), &records);
    let whole = contents(dir.path());
    let names: Vec<&String> = whole.keys().filter(|name| !whole[*name].is_empty()).collect();
    let mut random = Random(11);
    let mut found = 0;
    for round in 0..names.len() * 110 {
        let name = names[round % names.len()];
        let damaged = tempfile::tempdir().expect("a folder");
        for (other, bytes) in &whole {
            let mut bytes = bytes.clone();
            if other == name {
                change(&mut bytes, &mut random);
            }
            fs::write(damaged.path().join(other), bytes).expect("written");
        }
        let verified = verify_journal(&Disk::real(), damaged.path());
        match open(damaged.path(), last_of(&records)).and_then(|journal| all(&journal)) {
            Ok(read) => {
                assert_eq!(read, records, "{name}");
                // What is read from a block passed its checksum; a header's fields are all checked.
                assert!(verified.is_ok() || verified.is_err_and(|error| error.to_string().contains(name.as_str())));
            }
            Err(StoreError::Corrupt { path, .. }) => {
                assert!(path.ends_with(name), "{name} is damaged, {} reported", path.display());
                let known = verified.map_or(true, |report| report.torn_bytes > 0 || report.last < last_of(&records));
                assert!(known, "verify overlooked {name}");
                found += 1;
            }
            Err(StoreError::JournalShort { have, .. }) => {
                assert!(have < last_of(&records));
                found += 1;
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    assert!(found > 100, "{found}");
}

#[test]
fn a_flipped_bit_anywhere_is_found_or_meaningless() {
    damage(|bytes, random| {
        let place = random.below(bytes.len() as u64) as usize;
        bytes[place] ^= 1 << random.below(8);
    });
}

#[test]
fn a_cut_file_is_found() {
    damage(|bytes, random| bytes.truncate(random.below(bytes.len() as u64) as usize));
}
