//! Ways to stop and start that all lead to the same state.

use super::*;
use crate::store::recovery::Folders;

const WORKLOAD: Workload = Workload(11);

#[test]
fn a_closed_engine_starts_where_it_stopped() {
    let dir = tempfile::tempdir().expect("a folder");
    let expected = undisturbed(WORKLOAD, 1_500);
    for last in [300, 301, 900, 1_500] {
        let mut running = Running::open(dir.path()).expect("opens");
        running.apply_to(WORKLOAD, last).expect("applied");
        let applied = running.engine.applied();
        running.close();
        let reopened = Running::open(dir.path()).expect("opens");
        assert_eq!(reopened.engine.applied(), applied);
        if last == 1_500 {
            assert_eq!(reopened.facts(), expected);
        }
        reopened.close();
    }
}

#[test]
fn an_abandoned_engine_is_brought_up_from_the_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let expected = undisturbed(WORKLOAD, 2_000);
    let mut reached = 0;
    for written in (100..2_000).step_by(190) {
        // Everything is handed over at once, and written only when told; the index never waits for it.
        let options = EngineOptions { sync_interval: Duration::ZERO, index_table_entries: 1_000_000, ..options() };
        let mut alone = Alone::open_with(dir.path(), options).expect("opens");
        alone.persist().expect("written");
        let next = alone.engine.applied().position.map_or(0, |position| position.index.0 + 1);
        assert!(reached == 0 || next == reached + 1, "what was written is there, and no more");
        for index in next..=written + 80 {
            let entry = WORKLOAD.entry(index);
            alone.engine.apply(entry.position, entry.payload()).expect("applied");
            if index + 1 == written || index == written {
                alone.persist().expect("written");
            }
        }
        reached = written;
    }
    let mut running = Running::open(dir.path()).expect("opens");
    running.apply_to(WORKLOAD, 2_000).expect("applied");
    assert_eq!(running.facts(), expected);
    running.close();
}

#[test]
fn a_lost_state_comes_back_from_snapshot_journal_and_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let expected = undisturbed(WORKLOAD, 1_500);
    let mut running = Running::open(dir.path()).expect("opens");
    for index in [400, 800, 1_200] {
        running.apply_to(WORKLOAD, index).expect("applied");
        let meta = running.engine.begin_snapshot().run().expect("written");
        assert_eq!(meta.position.index.0, index);
        assert_eq!(running.engine.snapshots().latest(), Some(meta));
    }
    running.apply_to(WORKLOAD, 1_500).expect("applied");
    running.close();
    let folders = Folders::of(dir.path());
    assert_eq!(std::fs::read_dir(&folders.snapshots).expect("listed").count(), 2, "older ones go");

    std::fs::remove_dir_all(&folders.state).expect("removed");
    let mut running = Running::open(dir.path()).expect("opens");
    assert_eq!(running.engine.applied().position.map(|position| position.index.0), Some(1_200));
    running.apply_to(WORKLOAD, 1_500).expect("applied");
    assert_eq!(running.facts(), expected);
    running.close();

    std::fs::remove_dir_all(&folders.index).expect("removed");
    let running = Running::open(dir.path()).expect("opens");
    assert_eq!(running.facts(), expected, "the index is made again from the journal");
    running.close();

    // Without its journal the newest states are of no use; the log still has everything.
    std::fs::remove_dir_all(&folders.journal).expect("removed");
    let mut running = Running::open(dir.path()).expect("opens");
    assert_eq!(running.engine.applied().position, None);
    running.apply_to(WORKLOAD, 1_500).expect("applied");
    assert_eq!(running.facts(), expected);
    running.close();
}

#[test]
fn what_the_log_does_not_hold_any_more_is_not_made_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut running = Running::open(dir.path()).expect("opens");
    running.apply_to(WORKLOAD, 400).expect("applied");
    running.close();
    std::fs::remove_dir_all(dir.path().join("state")).expect("removed");
    let log_purged = Some(WORKLOAD.entry(100).position);
    let error = Running::open_with(dir.path(), EngineOptions { log_purged, ..options() }).err();
    assert!(matches!(error, Some(StoreError::Unrecoverable { .. })), "{error:?}");
}

#[test]
fn entries_that_do_not_follow_or_decode_stop_the_engine() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut running = Running::open(dir.path()).expect("opens");
    running.apply_to(WORKLOAD, 10).expect("applied");
    let skipped = WORKLOAD.entry(12);
    assert!(matches!(running.engine.apply(skipped.position, skipped.payload()), Err(StoreError::BadEntry { .. })));
    let next = WORKLOAD.entry(11);
    assert!(running.engine.apply(next.position, next.payload()).is_err(), "a fault is final");
    running.abandon();

    let mut running = Running::open(dir.path()).expect("opens");
    running.apply_to(WORKLOAD, 10).expect("applied");
    let garbage = crate::store::engine::Payload::Commands(b"garbage");
    assert!(matches!(running.engine.apply(next.position, garbage), Err(StoreError::BadEntry { .. })));
    running.abandon();
}

#[test]
fn digests_are_kept_at_agreed_indexes() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut running = Running::open(dir.path()).expect("opens");
    running.apply_to(WORKLOAD, 511).expect("applied");
    let digests = running.engine.digests();
    assert_eq!(digests.recent().len(), 2, "at 0 and 256");
    running.apply_to(WORKLOAD, 512).expect("applied");
    assert_eq!(digests.recent().last().copied(), Some((crate::core::types::LogIndex(512), running.engine.digest())));
    running.abandon();
}

#[test]
fn what_is_published_can_be_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let (sender, receiver) = std::sync::mpsc::sync_channel(16);
    let on_published = Box::new(move |published| sender.send(published).expect("received"));
    let mut running = Running::open_with(dir.path(), EngineOptions { on_published, ..options() }).expect("opens");
    let readers = running.engine.readers();
    for index in 0..200 {
        running.apply_to(WORKLOAD, index).expect("applied");
        let published = receiver.try_recv().expect("told");
        assert_eq!(published.position.index.0, index);
        assert_eq!(published.sequence, running.engine.applied().sequence);
        assert_eq!(published.next_deadline, running.engine.ledger().next_deadline());
        assert_eq!(readers.journal.last().unwrap_or_default(), published.sequence);
    }
    drop(readers);
    running.abandon();
}
