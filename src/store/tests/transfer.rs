//! A snapshot's way to a node that is behind.

use super::*;
use crate::store::snapshot::{Inbox, Incoming, ReceivedSnapshot};

const WORKLOAD: Workload = Workload(23);

/// Sends the newest snapshot of one engine, and the journal records that the other lacks.
fn ship(from: &Engine, to: &Engine) -> Result<ReceivedSnapshot, StoreError> {
    send(from, to)?.finish()
}

/// All of a transfer but its end.
pub(super) fn send(from: &Engine, to: &Engine) -> Result<Inbox, StoreError> {
    let (meta, outbox) = from.snapshots().send_latest()?.expect("there is one");
    let sequence = meta.checkpoint.sequence;
    let incoming = Incoming { position: meta.position, sequence, bytes: meta.bytes };
    let mut given_up = to.snapshots().receive(incoming)?;
    given_up.write_chunk(0, &outbox.read_chunk(0, 100)?)?;
    let mut inbox = to.snapshots().receive(incoming)?;
    given_up.write_chunk(100, b"written by a transfer that was given up")?;
    let mut offset = 0;
    loop {
        let chunk = outbox.read_chunk(offset, 5_000)?;
        if chunk.is_empty() {
            break;
        }
        inbox.write_chunk(offset, &chunk)?;
        offset += chunk.len() as u64;
    }
    let journal = from.readers().journal;
    let mut next = to.applied().sequence.plus(1);
    while next <= sequence {
        let encoded = journal.read_encoded(next, sequence, 10_000)?;
        inbox.append_journal(&encoded)?;
        let shipped = journal.read(next, usize::MAX, 10_000)?;
        next = shipped.last().expect("not empty").view().last_sequence().plus(1);
    }
    Ok(inbox)
}

#[test]
fn a_node_that_is_behind_installs_a_snapshot_and_goes_on() {
    let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let expected = undisturbed(WORKLOAD, 2_000);
    let mut ahead = Running::open(one.path()).expect("opens");
    ahead.apply_to(WORKLOAD, 1_500).expect("applied");
    ahead.engine.begin_snapshot().run().expect("written");
    ahead.apply_to(WORKLOAD, 1_600).expect("applied");

    let mut behind = Running::open(two.path()).expect("opens");
    behind.apply_to(WORKLOAD, 200).expect("applied");
    let received = ship(&ahead.engine, &behind.engine).expect("verified");
    // Entries that were committed before go on while the snapshot is on its way.
    behind.apply_to(WORKLOAD, 300).expect("applied");
    behind.engine.install(received).expect("installed");
    assert_eq!(behind.engine.applied().position.map(|position| position.index.0), Some(1_500));
    assert!(behind.engine.applied().membership.is_some());
    behind.apply_to(WORKLOAD, 2_000).expect("applied");
    assert_eq!(behind.facts(), expected);
    assert!(behind.engine.snapshots().latest().is_some(), "it can serve the next one");
    behind.close();
    let behind = Running::open(two.path()).expect("opens");
    assert_eq!(behind.facts(), expected);
    behind.close();
    ahead.close();
}

#[test]
fn a_crash_right_after_the_install_starts_from_the_snapshot() {
    let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut ahead = Running::open(one.path()).expect("opens");
    ahead.apply_to(WORKLOAD, 900).expect("applied");
    ahead.engine.begin_snapshot().run().expect("written");
    let facts = ahead.facts();
    let mut behind = Running::open(two.path()).expect("opens");
    behind.apply_to(WORKLOAD, 200).expect("applied");
    behind.close();
    let old_state = tempfile::tempdir().expect("a folder");
    copy_folder(&two.path().join("state"), &old_state.path().join("state"));

    let mut behind = Running::open(two.path()).expect("opens");
    let received = ship(&ahead.engine, &behind.engine).expect("verified");
    behind.engine.install(received).expect("installed");
    behind.close();
    // As if the machine had died before the new state was written.
    std::fs::remove_dir_all(two.path().join("state")).expect("removed");
    copy_folder(&old_state.path().join("state"), &two.path().join("state"));
    let behind = Running::open(two.path()).expect("opens");
    assert_eq!(behind.engine.applied().position.map(|position| position.index.0), Some(900));
    assert_eq!(behind.facts(), facts);
    behind.close();
    ahead.close();
}

#[test]
fn a_transfer_that_went_wrong_is_refused() {
    let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut ahead = Running::open(one.path()).expect("opens");
    ahead.apply_to(WORKLOAD, 300).expect("applied");
    let meta = ahead.engine.begin_snapshot().run().expect("written");
    let behind = Running::open(two.path()).expect("opens");
    let snapshots = behind.engine.snapshots();
    let incoming = Incoming { position: meta.position, sequence: meta.checkpoint.sequence, bytes: meta.bytes };
    let file = std::fs::read(&meta.path).expect("readable");

    let mut gap = snapshots.receive(incoming).expect("begun");
    assert!(gap.write_chunk(1, &file[1..]).is_err(), "a gap");
    assert!(gap.write_chunk(0, &[&file[..], b"more"].concat()).is_err(), "too much");
    assert!(gap.append_journal(b"garbage").is_err());
    assert!(gap.finish().is_err(), "nothing came");

    let mut flipped = snapshots.receive(incoming).expect("begun");
    let mut bad = file.clone();
    bad[file.len() / 2] ^= 4;
    flipped.write_chunk(0, &bad).expect("written");
    assert!(flipped.finish().is_err(), "a flipped bit");

    let other = Incoming { sequence: Sequence(5), ..incoming };
    let mut wrong = snapshots.receive(other).expect("begun");
    wrong.write_chunk(0, &file).expect("written");
    assert!(wrong.finish().is_err(), "another snapshot");
    behind.close();
    ahead.close();
}

/// Copies a folder with all in it.
pub(super) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}
