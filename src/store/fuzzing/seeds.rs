//! Sound files to begin with: those of a small ledger that lived a little.

use std::collections::HashMap;
use std::path::Path;

use super::folder;
use crate::core::codec::Encode as _;
use crate::core::command::{CommandKey, Proposal};
use crate::core::event::{Effects, Record};
use crate::core::types::{LogIndex, Sequence, Stamp, Term};
use crate::core::{Decode as _, HashSeed, History, Ledger, Used};
use crate::store::checkpoint::Checkpoint;
use crate::store::engine::Payload;
use crate::store::identity::{ClusterId, DataFolder, DiskId, FILE_NAME, NodeId};
use crate::store::image::Image;
use crate::store::index::{IndexFiles, IndexWriter, Memtable, RunName};
use crate::store::journal::{self, Journal, JournalOptions};
use crate::store::log::SEGMENT_BYTES_MIN;
use crate::store::repair::{self, Book, Damage, Scope};
use crate::store::segment::{self, Kind};
use crate::store::state::{self, Meta};
use crate::store::testing::SimDisk;
use crate::store::testing::workload::Workload;
use crate::store::vote::{self, VoteCopy, VoteFile};
use crate::store::{Position, StoreError, snapshot};

/// Log entries of a life that makes small files.
const ENTRIES: u64 = 60;

/// Log entries of a life in which everything happens.
const ENTRIES_LONG: u64 = 1_500;

/// Commands of each kind that are given, and records with an event of each kind.
const OF_EACH_KIND: usize = 3;

/// The last event that the run of the index is for.
pub const RUN: RunName = RunName { first: Sequence(1), last: Sequence(60), level: 0 };

/// Records that fill no block.
const TAIL_RECORDS: usize = 100;

const SEGMENT_BYTES: u64 = 8192;

#[derive(Default)]
struct UsedIds(HashMap<CommandKey, Used>);

impl History for UsedIds {
    fn find(&self, key: &CommandKey) -> Option<Used> {
        self.0.get(key).copied()
    }

    fn remember(&mut self, key: CommandKey, used: Used) {
        self.0.insert(key, used);
    }
}

/// A ledger after a few entries, with what it did.
struct Life {
    proposals: Vec<Vec<u8>>,
    records: Vec<Record>,
    image: Image,
    checkpoint: Checkpoint,
}

fn life() -> Life {
    life_of(ENTRIES)
}

fn life_of(entries: u64) -> Life {
    let workload = Workload(3);
    let mut ledger = Ledger::with_seed(HashSeed(1, 2));
    let (mut used, mut effects, mut image) = (UsedIds::default(), Effects::default(), Image::new());
    let (mut proposals, mut records) = (Vec::new(), Vec::new());
    let mut position = Position::default();
    for index in 1..entries {
        let entry = workload.entry(index);
        position = entry.position;
        let Payload::Commands(bytes) = entry.payload() else { continue };
        let Ok(proposal) = Proposal::from_bytes(bytes) else { continue };
        let stamp = Stamp { term: position.term, index: position.index, time: proposal.time };
        effects.clear();
        ledger.apply(stamp, &proposal, &mut used, &mut effects);
        proposals.push(bytes.to_vec());
        records.extend(effects.records().map(|record| record.to_record()));
    }
    let mut changes = Vec::new();
    ledger.take_changes(&mut changes);
    for key in changes {
        let mut bytes = Vec::new();
        ledger.encode_record(key, &mut bytes);
        image.write(key, &bytes);
    }
    let checkpoint = Checkpoint {
        position: Some(position),
        membership: Some((Position::default(), bytes::Bytes::from_static(b"members"))),
        sequence: ledger.sequence(),
        digest: image.digest(),
        records: image.record_count(),
    };
    Life { proposals, records, image, checkpoint }
}

/// Encoded proposals.
#[must_use]
pub fn proposals() -> Vec<Vec<u8>> {
    life().proposals
}

/// Encoded records from the first one on.
#[must_use]
pub fn first_records() -> Vec<Vec<u8>> {
    life().records.iter().map(|record| record.view().to_bytes()).collect()
}

/// Commands, a few of each kind.
#[must_use]
pub fn commands() -> Vec<Vec<u8>> {
    let proposals = life_of(ENTRIES_LONG).proposals;
    let proposals = proposals.iter().filter_map(|bytes| Proposal::from_bytes(bytes).ok());
    let commands = proposals.flat_map(|proposal| proposal.commands);
    a_few_of_each(commands.map(|command| (command.body.to_bytes().first().copied(), command.to_bytes())))
}

/// Encoded records of the journal, a few of each kind of event.
#[must_use]
pub fn records() -> Vec<Vec<u8>> {
    let records = life_of(ENTRIES_LONG).records;
    let kinds = |record: &Record| {
        let bytes = record.view().to_bytes();
        let kinds = record.events.iter().filter_map(|event| event.body.to_bytes().first().copied());
        kinds.map(move |kind| (Some(kind), bytes.clone())).collect::<Vec<_>>()
    };
    let mut records = a_few_of_each(records.iter().flat_map(kinds));
    records.sort_unstable();
    records.dedup();
    records
}

fn a_few_of_each(all: impl Iterator<Item = (Option<u8>, Vec<u8>)>) -> Vec<Vec<u8>> {
    let mut counts = HashMap::<_, usize>::new();
    let mut few = Vec::new();
    for (kind, bytes) in all {
        let count = counts.entry(kind).or_default();
        *count += 1;
        if *count <= OF_EACH_KIND {
            few.push(bytes);
        }
    }
    few
}

/// One segment of a log, with a record of each kind but the seal.
#[must_use]
pub fn log_segments() -> Vec<Vec<u8>> {
    let at = |index| Position { term: Term(1), index: LogIndex(index) };
    let record = |kind, position, payload| segment::Record { kind, position, synced_before: 0, payload };
    let head = record(Kind::Vote, Position::default(), b"a vote");
    let mut bytes = segment::encode_header(1, SEGMENT_BYTES, &[head]);
    // The first proposal is a large one.
    let proposals = proposals().split_off(1);
    let entry = |index: u64| record(Kind::Entry, at(index), proposals[index as usize % proposals.len()].as_slice());
    let records = [
        entry(0),
        record(Kind::Vote, Position::default(), b"another"),
        record(Kind::Committed, Position::default(), b"a mark"),
        entry(1),
        entry(2),
        entry(3),
        record(Kind::Truncate, at(2), b""),
        entry(3),
        record(Kind::Purge, at(1), b""),
        record(Kind::TruncateAll, Position::default(), b""),
        entry(2),
        record(Kind::Mark, Position::default(), b""),
    ];
    for record in records {
        let offset = bytes.len() as u64;
        if offset + record.disk_bytes() as u64 <= SEGMENT_BYTES {
            segment::encode_record(&mut bytes, 1, offset, &segment::Record { synced_before: offset, ..record });
        }
    }
    bytes.resize(SEGMENT_BYTES as usize, 0);
    vec![bytes]
}

/// A journal on a disk, with so many copies of a life's records that blocks are full.
fn journal() -> Result<SimDisk, StoreError> {
    const ROUNDS: usize = 8;
    let sim = SimDisk::default();
    let options = JournalOptions { disk: sim.disk(), cache_bytes: 0 };
    let mut journal = Journal::open_whole(folder(), options)?;
    let life = life();
    for record in std::iter::repeat_n(&life.records, ROUNDS).flatten() {
        let sequence = journal.last_sequence().plus(1);
        journal.append(Record { sequence, ..record.clone() }.view());
    }
    journal.flusher().sync(journal.last_sequence())?;
    Ok(sim)
}

fn file_of(sim: Result<SimDisk, StoreError>, path: &Path) -> Vec<Vec<u8>> {
    sim.ok().and_then(|sim| sim.content(path)).into_iter().collect()
}

/// A segment of a journal.
#[must_use]
pub fn journal_segments() -> Vec<Vec<u8>> {
    file_of(journal(), &journal::segment_path(folder(), 0))
}

/// A tail of a journal that has no full block yet.
#[must_use]
pub fn journal_tails() -> Vec<Vec<u8>> {
    let sim = SimDisk::default();
    let options = JournalOptions { disk: sim.disk(), cache_bytes: 0 };
    let written = Journal::open_whole(folder(), options).and_then(|mut journal| {
        life().records.iter().take(TAIL_RECORDS).for_each(|record| journal.append(record.view()));
        journal.flusher().sync(journal.last_sequence())
    });
    let tails = [0, 1].map(|place| sim.content(&journal::tail_path(folder(), place)).unwrap_or_default());
    written.map(|_| tails.into_iter().max_by_key(Vec::len)).ok().flatten().into_iter().collect()
}

/// Records as a peer sends them.
#[must_use]
pub fn shipped_records() -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    for record in first_records() {
        (record.len() as u32).encode(&mut bytes);
        bytes.extend_from_slice(&record);
    }
    vec![bytes]
}

/// A snapshot file.
#[must_use]
pub fn snapshots() -> Vec<Vec<u8>> {
    let (sim, life, path) = (SimDisk::default(), life(), folder().join("one"));
    let written =
        snapshot::file::write(&sim.disk(), &path, ClusterId(7), &life.checkpoint, &life.image.share_all()).map(|_| sim);
    file_of(written, &path)
}

/// The pages of a state, one behind the other.
#[must_use]
pub fn state_pages() -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    for shared in life().image.share_all() {
        shared.page.encode(shared.key, &mut bytes);
    }
    vec![bytes]
}

/// The meta record of a state.
#[must_use]
pub fn state_metas() -> Vec<Vec<u8>> {
    let run = |first, last| RunName { first: Sequence(first), last: Sequence(last), level: 1 };
    vec![state::encode_meta(&Meta::new(life().checkpoint, vec![run(1, 50), run(51, 70)]))]
}

/// A run of an index.
#[must_use]
pub fn index_runs() -> Vec<Vec<u8>> {
    let sim = SimDisk::default();
    let index = IndexWriter::new(Vec::new(), usize::MAX);
    let mut files = IndexFiles::new(&sim.disk(), folder(), &index);
    let mut table = Memtable::new(Sequence(0));
    for record in &life().records {
        if record.view().last_sequence() <= RUN.last {
            table.note(std::iter::once(record.view()));
        }
    }
    let written = files.write_table(&table).map(|()| sim);
    let name = RunName { first: table.first(), last: table.last(), level: 0 };
    file_of(written, &folder().join(name.file_name()))
}

/// The second copy of a vote.
pub fn vote_copies() -> Vec<Vec<u8>> {
    let sim = SimDisk::default();
    let path = folder().join(vote::FILE_NAME);
    let copy = VoteCopy { path: path.clone(), newer: |_, _| false };
    let vote = bytes::Bytes::from_static(b"a vote");
    let written = sim
        .disk()
        .create_folder(folder())
        .and_then(|()| VoteFile::open(&sim.disk(), &copy, Some(&vote), (folder(), 0)).map(|_| sim.clone()));
    file_of(written, &path)
}

/// What is noted of a repair under way.
pub fn repair_books() -> Vec<Vec<u8>> {
    let sim = SimDisk::default();
    let damage = Damage {
        scope: Scope::Everything,
        cause: "a file is damaged at byte 7".to_owned(),
        vote: bytes::Bytes::from_static(b"a vote"),
        last: Some(Position { term: Term(2), index: LogIndex(9) }),
    };
    let begun = sim.disk().create_folder(folder()).and_then(|()| {
        repair::begin(&sim.disk(), folder(), Book::new(), &damage, 1_000, SEGMENT_BYTES_MIN).map(|_| sim.clone())
    });
    file_of(begun, &folder().join(repair::FILE_NAME))
}

/// An identity file.
#[must_use]
pub fn identities() -> Vec<Vec<u8>> {
    let sim = SimDisk::default();
    let claimed = DataFolder::open(&sim.disk(), folder())
        .and_then(|mut data| data.claim(ClusterId(1), NodeId(2), DiskId(3)))
        .map(|_| sim);
    file_of(claimed, &folder().join(FILE_NAME))
}
