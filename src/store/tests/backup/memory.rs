//! How much memory a backup takes of a state that is much larger. Measured by hand, since it takes minutes and a gigabyte of disk:
//! `cargo test --lib ten_million -- --ignored --nocapture`.

use super::*;
use crate::store::backup::check::{Scratch, check_parts, trial};
use crate::store::backup::objects::{Objects, Options};
use crate::store::backup::seal::{SealKey, Sealed};
use crate::store::checkpoint::Checkpoint;
use crate::store::snapshot;

const RECORDS: u64 = 10_000_000;
const BYTES_MAX: u64 = 256 << 20;

/// A figure of this process, in bytes.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(name)).expect("is there");
    let kib: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kib << 10
}

/// The most memory that it takes, beyond what was there before.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, u64) {
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak is forgotten");
    let before = memory("VmRSS");
    let done = work();
    (done, memory("VmHWM") - before)
}

#[test]
#[ignore = "a measurement"]
fn a_backup_of_ten_million_records_takes_little_memory() {
    let mut node = Node::new();
    node.apply_to(200);
    node.snapshot();
    node.apply_to(300);
    let (journal, log) = (node.running.engine.readers().journal, PurgedLog(Some(150)));
    let snapshots = node.running.engine.snapshots();
    let meta = snapshots.latest().expect("written");
    let checkpoint = Checkpoint { membership: None, ..meta.checkpoint };
    let (checkpoint, bytes) = snapshot::file::write_made_up(&meta.path, options().cluster, checkpoint, RECORDS);
    snapshots.replaced(checkpoint, bytes);
    println!("{RECORDS} records, {} MiB as a snapshot; {} MiB of memory before", bytes >> 20, memory("VmRSS") >> 20);
    let target = tempfile::tempdir().expect("a folder");
    let objects = Objects::open(&target.path().display().to_string(), &Options::new(), []).expect("opens");
    let vault = Sealed::new(std::sync::Arc::new(objects), SealKey::generate());
    let image = snapshots.send_latest().expect("opened");
    let origin =
        Origin { cluster: options().cluster, node: NodeId(2), image: image.as_ref(), journal: &journal, log: &log };
    let applied = node.running.engine.applied();
    let end = Point {
        position: applied.position.unwrap_or_default(),
        sequence: applied.sequence,
        digest: node.running.engine.digest(),
        feature_level: node.running.engine.ledger().feature_level(),
    };
    let order = Order { id: "big".to_owned(), kind: Kind::Full, newest: None, full: None, end, now_ms: || 1 };
    let control = Control::default();
    let (made, writing) = peak_of(|| write(&vault, &origin, &order, &control).expect("written"));
    assert_eq!(made.image.as_ref().map(|image| image.records), Some(RECORDS));
    let ((), checking) = peak_of(|| check_parts(&vault, &made, &control).expect("good"));
    let folder = target.path().join("scratch");
    let scratch = Scratch { folder: &folder, disk: &Disk::real(), state_bytes_max: 128 << 20 };
    let catalogue = catalogue(&vault);
    let (applied, trying) = peak_of(|| trial(&vault, &catalogue, "big", scratch, &control).expect("good"));
    assert!(!applied, "it has to be told from a small one");
    for (what, bytes) in [("writing", writing), ("checking", checking), ("restoring on trial", trying)] {
        println!("{what}: {} MiB of memory", bytes >> 20);
        assert!(bytes < BYTES_MAX, "{what} takes {} MiB", bytes >> 20);
    }
    node.running.close();
}
