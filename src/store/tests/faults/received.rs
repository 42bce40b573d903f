//! Snapshots that come from another node: the files in which they arrive, and what a node is that was caught between
//! its own state and the one that it was sent.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::super::*;
use super::disk::{Faulty, Trouble};
use super::node::{Folder, Parts, WORKLOAD, digests};
use super::{Fault, May, OUTCOMES, RECEIVED, Tally, names, place, spoil};
use crate::store::file::Access;
use crate::store::testing::Random;

/// The last entry that the node has by itself.
const HAS: u64 = 59;

/// The last entry of the snapshot that it is sent.
const SENT: u64 = 159;

/// The other node, and one that is behind.
struct Scene {
    sender: Running,
    behind: Folder,
    digests: Vec<StateDigest>,
    _dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut sender = Running::open(dir.path()).expect("opens");
        sender.apply_to(WORKLOAD, SENT).expect("applied");
        sender.engine.begin_snapshot().run().expect("written");
        let behind = Folder::new();
        behind.live_to(HAS);
        Self { sender, behind, digests: digests(), _dir: dir }
    }

    /// The node takes the snapshot in. What has come is spoiled before it is verified.
    fn receive(&self, folder: &Folder, faulty: &Faulty, spoil: impl FnOnce()) -> Result<(), StoreError> {
        faulty.arm(false);
        let mut parts = Parts::open(folder.path(), &faulty.disk(), false, || ())?;
        parts.catch_up()?;
        faulty.arm(true);
        parts.receive(&self.sender.engine, spoil)
    }

    /// The names of the files in which the snapshot comes, and their bytes.
    fn files(&self) -> Vec<(PathBuf, Range<usize>)> {
        let folder = self.behind.copy();
        let faulty = Faulty::new(folder.disk(), RECEIVED.concerns, None);
        let mut found = Vec::new();
        self.receive(&folder, &faulty, || found = folder.files(RECEIVED.concerns)).expect("no fault");
        let name = |path: PathBuf| path.file_name().expect("a name").into();
        found.into_iter().map(|(path, bytes)| (name(path), 0..bytes.len())).collect()
    }

    /// The next start has the node's own state or the one it was sent, which it was if it said so; and it can be sent
    /// the snapshot again.
    fn expect_whole(&self, folder: &Folder, installed: bool, context: &str) {
        let open = || Parts::open(folder.path(), &folder.disk(), false, || ());
        let mut parts = open().unwrap_or_else(|error| panic!("{context}: the next start says {error}"));
        parts.catch_up().unwrap_or_else(|error| panic!("{context}: the log: {error}"));
        let mut digest = || parts.picture().unwrap_or_else(|error| panic!("{context}: {error}")).digest();
        let found = digest();
        if found != self.digests[SENT as usize] {
            assert!(!installed, "{context}: the snapshot was installed, and is gone");
            assert_eq!(found, self.digests[HAS as usize], "{context}: neither the old state nor the new one");
            let again = parts.receive(&self.sender.engine, || ());
            again.unwrap_or_else(|error| panic!("{context}: the next transfer: {error}"));
        }
        drop(parts);
        let mut parts = open().unwrap_or_else(|error| panic!("{context}: the start behind it: {error}"));
        let picture = parts.picture().unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(picture.digest(), self.digests[SENT as usize], "{context}: in the end");
        assert_eq!(picture.snapshot, SENT, "{context}: it can serve the next one");
    }
}

/// Damages what has come, before it is verified, at places spread over the files.
pub(super) fn damaged(fault: Fault, may: May, count: u64) {
    let scene = Scene::new();
    let files = scene.files();
    let mut tally = Tally::default();
    for position in 0..count {
        let folder = scene.behind.copy();
        let (name, at) = place(&files, position as usize, count as usize);
        let path = folder.path().join("snapshots").join(name);
        let trouble = (fault == Fault::ReadError).then(|| Trouble::Unreadable(path.clone(), at as u64));
        let faulty = Faulty::new(folder.disk(), RECEIVED.concerns, trouble);
        let end = scene.receive(&folder, &faulty, || {
            if fault != Fault::ReadError {
                overwrite(&folder, &path, |bytes| spoil(bytes, at, fault, position));
            }
        });
        let context = format!("{}: {fault:?} at byte {at} of {}", RECEIVED.name, path.display());
        if let Err(error) = &end {
            assert!(names(error, &path), "{context}: the message names something else: {error}");
        }
        scene.expect_whole(&folder, end.is_ok(), &context);
        tally.note(may, end.as_ref().err(), &context);
    }
    tally.print(RECEIVED, fault);
}

/// Changes a file's bytes under the hands of those who have it open.
fn overwrite(folder: &Folder, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = folder.sim.content(path).expect("the file");
    change(&mut bytes);
    let file = folder.disk().open(path, Access::Write).expect("opens");
    file.set_len(bytes.len() as u64).expect("cut");
    file.write_at(&bytes, 0).expect("written");
}

/// Receives on a disk that fails at the n-th change of these files, and starts again on one that does not.
pub(super) fn failing(fault: Fault, may: May, count: u64) {
    let scene = Scene::new();
    let sound = scene.behind.copy();
    let counting = Faulty::new(sound.disk(), RECEIVED.concerns, None);
    scene.receive(&sound, &counting, || ()).expect("no fault");
    let changes = counting.changes();
    let count = count.min(changes * if fault == Fault::PowerCut { OUTCOMES } else { 2 });
    let mut tally = Tally::default();
    for position in 0..count {
        let at = changes * position / count;
        let folder = scene.behind.copy();
        let trouble = match fault {
            Fault::WriteError => Trouble::WriteError(at),
            Fault::NoSpace => Trouble::NoSpace(at),
            _ => Trouble::PowerCut(at, folder.sim.clone()),
        };
        let faulty = Faulty::new(folder.disk(), RECEIVED.concerns, Some(trouble));
        let end = scene.receive(&folder, &faulty, || ());
        let context = format!("{}: {fault:?} at change {at} of {changes}", RECEIVED.name);
        if let (Err(error), Fault::WriteError | Fault::NoSpace) = (&end, fault) {
            let failed = faulty.failed();
            assert!(failed.iter().any(|file| names(error, file)), "{context}: {error}, not one of {failed:?}");
        }
        if fault == Fault::PowerCut || position % 2 == 1 {
            folder.sim.power_cut(&mut Random(position));
        }
        scene.expect_whole(&folder, end.is_ok(), &context);
        let stopped = end.err().filter(|_| fault != Fault::PowerCut);
        tally.note(may, stopped.as_ref(), &context);
    }
    tally.print(RECEIVED, fault);
}
