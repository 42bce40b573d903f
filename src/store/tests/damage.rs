//! Flipped bits and cut files, anywhere: rebuilt or refused, never served.

use super::transfer::copy_folder;
use super::*;

const WORKLOAD: Workload = Workload(51);
const LAST: u64 = 700;

/// Every file below the folder, with its length.
pub(super) fn files(folder: &Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("listed") {
        let entry = entry.expect("an entry");
        let meta = entry.metadata().expect("known");
        if meta.is_dir() {
            found.extend(files(&entry.path()));
        } else if meta.len() > 0 {
            found.push((entry.path(), meta.len()));
        }
    }
    found.sort();
    found
}

/// A closed data folder with a state, a journal, an index and snapshots.
fn folder() -> (tempfile::TempDir, Facts) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut running = Running::open(dir.path()).expect("opens");
    for index in [300, 500] {
        running.apply_to(WORKLOAD, index).expect("applied");
        running.engine.begin_snapshot().run().expect("written");
    }
    running.apply_to(WORKLOAD, LAST).expect("applied");
    let facts = running.facts();
    running.close();
    (dir, facts)
}

/// As the others, but with few writes: there are many starts here.
fn seldom() -> EngineOptions {
    EngineOptions { sync_interval: Duration::from_secs(60), index_table_entries: 1_000_000, ..options() }
}

/// Damages copies of the folder at `positions` places of every file of one kind. With the whole log
/// at hand, every damage must end in the right state; an error would be a node that never starts.
fn damage(kind: &str, positions: u64) {
    let (dir, facts) = folder();
    let all = files(&dir.path().join(kind));
    assert!(!all.is_empty());
    for place in 0..positions {
        let copy = tempfile::tempdir().expect("a folder");
        copy_folder(dir.path(), copy.path());
        let (path, len) = &all[(place % all.len() as u64) as usize];
        let path = copy.path().join(path.strip_prefix(dir.path()).expect("below it"));
        let at = (place * 0x9e37_79b9 + place) % len;
        let mut bytes = std::fs::read(&path).expect("readable");
        if place % 4 == 3 {
            bytes.truncate(at as usize);
        } else {
            bytes[at as usize] ^= 1 << (place % 8);
        }
        std::fs::write(&path, bytes).expect("written");
        let context = format!("{kind}: {} at {at}", path.display());
        let mut running =
            Running::open_with(copy.path(), seldom()).unwrap_or_else(|error| panic!("{context}: {error}"));
        running.apply_to(WORKLOAD, LAST).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(running.engine.digest(), facts.digest, "{context}");
        assert_eq!(running.engine.applied().sequence, facts.sequence, "{context}");
        // Digest and sequence were compared; journal and index are read whole for some of the places.
        if kind == "index" || place % 6 == 0 {
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| running.facts()));
            match found {
                Ok(found) => assert_eq!(found, facts, "{context}"),
                // Blocks that the start had no need to read are found damaged by the first who reads them.
                Err(_) => assert!(kind == "index" || kind == "journal", "{context}"),
            }
        }
        running.abandon();
    }
}

#[test]
fn a_damaged_state_is_rebuilt() {
    damage("state", 100);
}

#[test]
fn a_damaged_snapshot_is_not_used() {
    damage("snapshots", 24);
}

#[test]
fn a_damaged_index_is_rebuilt() {
    damage("index", 40);
}

#[test]
fn a_damaged_snapshot_and_a_lost_state_start_from_the_log() {
    let (dir, facts) = folder();
    std::fs::remove_dir_all(dir.path().join("state")).expect("removed");
    for (path, len) in files(&dir.path().join("snapshots")) {
        let mut bytes = std::fs::read(&path).expect("readable");
        bytes[len as usize / 2] ^= 16;
        std::fs::write(&path, bytes).expect("written");
    }
    let mut running = Running::open(dir.path()).expect("opens");
    assert_eq!(running.engine.applied().position, None);
    running.apply_to(WORKLOAD, LAST).expect("applied");
    assert_eq!(running.facts(), facts);
    running.close();
}
