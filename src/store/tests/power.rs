//! Power cuts and failing disks: whatever was not synced is lost, torn or mixed, and nothing follows
//! from it but work done again. sled's files stand on the real disk: what they need is tested apart.

use std::io;
use std::sync::Arc;

use super::*;
use crate::store::Disk;
use crate::store::testing::{Random, SimDisk, Split};

const WORKLOAD: Workload = Workload(91);
const CUTS: u64 = 60;

/// Entries applied at most before the power goes, when the disk has not failed by then.
const ENTRIES_MAX: u64 = 300;

/// The index is compared with the whole journal after every so many cuts.
const CHECK_EVERY: u64 = 15;

/// Applies until the disk fails, or enough is applied. Notes the index of the last snapshot that was reported verified.
fn live(dir: &Path, disk: &Disk, from_snapshot: &mut u64, random: &mut Random) -> Result<(), StoreError> {
    wait_for_sled(dir);
    let (mut engine, persister) = Engine::open(dir, EngineOptions { disk: disk.clone(), ..options() })?;
    let persister = std::thread::spawn(|| persister.run());
    let snapshot_every = 100 + random.below(200);
    let mut result = Ok(());
    for _ in 0..ENTRIES_MAX {
        if result.is_err() {
            break;
        }
        let index = engine.applied().position.map_or(0, |position| position.index.0 + 1);
        let entry = WORKLOAD.entry(index);
        result = engine.apply(entry.position, entry.payload()).map(drop);
        if result.is_ok() && index % snapshot_every == 0 {
            result = engine.begin_snapshot().run().map(|meta| *from_snapshot = meta.position.index.0);
        }
    }
    drop(engine);
    let _ = persister.join().expect("no panic");
    result
}

#[test]
fn a_power_cut_at_any_operation_loses_no_snapshot_and_no_truth() {
    let dir = tempfile::tempdir().expect("a folder");
    let sim = SimDisk::default();
    let mut random = Random(5);
    let split = Split { simulated: sim.disk(), real: Disk::real(), state: dir.path().join("state") };
    let disk = Disk::new(Arc::new(split));
    let mut snapshot = 0;
    let mut lives = 0;
    for cut in 0..CUTS {
        sim.fail_after(random.below(150), io::ErrorKind::Other);
        let end = live(dir.path(), &disk, &mut snapshot, &mut random);
        assert!(matches!(end, Ok(()) | Err(StoreError::Io { .. } | StoreError::Closed)), "cut {cut}: {end:?}");
        sim.power_cut(&mut random);
        wait_for_sled(dir.path());
        let (engine, persister) = Engine::open(dir.path(), EngineOptions { disk: disk.clone(), ..options() })
            .unwrap_or_else(|error| panic!("cut {cut}: {error}"));
        let persister = std::thread::spawn(|| persister.run());
        let latest = engine.snapshots().latest().map_or(0, |meta| meta.position.index.0);
        assert!(latest >= snapshot, "cut {cut}: snapshot {snapshot} is lost, {latest} is there");
        let applied = engine.applied().position.map_or(0, |position| position.index.0);
        assert!(applied >= snapshot, "cut {cut}");
        lives += u64::from(applied > 0);
        if cut % CHECK_EVERY == 0 {
            check_index(&engine).expect("readable");
        }
        drop(engine);
        persister.join().expect("no panic").expect("no fault");
    }
    assert!(lives > CUTS / 2 && snapshot > 0, "something was written: {lives}, {snapshot}");
    let mut running = Running::open_with(dir.path(), EngineOptions { disk, ..options() }).expect("opens");
    let last = running.engine.applied().position.map_or(0, |position| position.index.0) + 200;
    running.apply_to(WORKLOAD, last).expect("applied");
    assert_eq!(running.facts(), undisturbed(WORKLOAD, last));
    running.close();
}

#[test]
fn a_full_disk_is_a_fault_and_more_space_ends_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let sim = SimDisk::default();
    let split = Split { simulated: sim.disk(), real: Disk::real(), state: dir.path().join("state") };
    let disk = Disk::new(Arc::new(split));
    sim.limit(Some(300_000));
    let mut lives = (0..100).map(|_| live(dir.path(), &disk, &mut 0, &mut Random(1)));
    let error = lives.find_map(Result::err).expect("the disk is full");
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    sim.limit(None);
    let mut running = Running::open_with(dir.path(), EngineOptions { disk, ..options() }).expect("opens");
    let last = running.engine.applied().position.map_or(0, |position| position.index.0) + 500;
    running.apply_to(WORKLOAD, last).expect("applied");
    assert_eq!(running.facts(), undisturbed(WORKLOAD, last));
    running.close();
}
