//! The offline check says nothing of a sound folder, and names what is wrong with another.

use super::transfer::copy_folder;
use super::*;
use crate::store::Disk;
use crate::store::state::StateStore;
use crate::store::verify::{VerifyReport, verify_folder};

const WORKLOAD: Workload = Workload(77);

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let mut running = Running::open(dir.path()).expect("opens");
    running.apply_to(WORKLOAD, 900).expect("applied");
    running.engine.begin_snapshot().run().expect("written");
    running.apply_to(WORKLOAD, 1_300).expect("applied");
    running.close();
    dir
}

fn verify(dir: &Path) -> VerifyReport {
    verify_folder(&Disk::real(), dir).expect("not running")
}

/// The index files that the state names: what a merge wrote since is beside them, and not in use.
fn listed_runs(dir: &Path) -> Vec<String> {
    let copy = tempfile::tempdir().expect("a folder");
    copy_folder(&dir.join("state"), copy.path());
    let opened = StateStore::open(&Disk::real(), copy.path()).expect("whole").expect("there");
    opened.runs.iter().map(|name| name.file_name()).collect()
}

#[test]
fn a_sound_folder_has_no_problem_and_does_not_change() {
    let dir = folder();
    let before = super::damage::files(dir.path());
    let report = verify(dir.path());
    assert_eq!(report.problems, []);
    assert!(report.balances_compared > 20, "{report:?}");
    let state = report.state.expect("a state");
    assert_eq!((state.position.as_deref(), report.snapshots.len()), (Some("2.1300"), 1));
    assert_eq!(report.journal.expect("a journal").last_sequence, state.sequence);
    assert!(report.index.expect("an index").entries > 1_000);
    let after: Vec<_> =
        super::damage::files(dir.path()).into_iter().filter(|(path, _)| !path.ends_with("LOCK")).collect();
    assert_eq!(after, before.into_iter().filter(|(path, _)| !path.ends_with("LOCK")).collect::<Vec<_>>());
    assert_eq!(verify(dir.path()).problems, [], "again");
}

#[test]
fn damage_is_named_with_its_file() {
    let dir = folder();
    let listed = listed_runs(dir.path());
    for kind in ["journal", "index", "snapshots"] {
        let (path, len) = super::damage::files(&dir.path().join(kind))
            .into_iter()
            .filter(|(path, _)| kind != "index" || listed.iter().any(|name| path.ends_with(name)))
            .max_by_key(|(_, len)| *len)
            .expect("files");
        let copy = tempfile::tempdir().expect("a folder");
        copy_folder(dir.path(), copy.path());
        let path = copy.path().join(path.strip_prefix(dir.path()).expect("below it"));
        let mut bytes = std::fs::read(&path).expect("readable");
        bytes[len as usize / 3] ^= 32;
        std::fs::write(&path, bytes).expect("written");
        let report = verify(copy.path());
        assert!(
            report.problems.iter().any(|problem| problem.file.starts_with(copy.path().join(kind))),
            "{kind}: {report:?}"
        );
    }
    let copy = tempfile::tempdir().expect("a folder");
    copy_folder(dir.path(), copy.path());
    std::fs::write(copy.path().join("state/CURRENT"), "9\n").expect("written");
    assert_eq!(verify(copy.path()).problems.len(), 1);
}

#[test]
fn a_running_node_is_left_alone() {
    let dir = folder();
    let lock = Disk::real().lock_folder(dir.path()).expect("free");
    assert!(matches!(verify_folder(&Disk::real(), dir.path()), Err(StoreError::Locked { .. })));
    drop(lock);
}
