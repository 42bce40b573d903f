//! Faults of the files that sled opens by itself, past every disk but the machine's: a power cut is made of
//! two states of the folder, and calls fail in a process of their own ([`sled_calls`]), since sled may hang or panic.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::node::ENTRIES;
use super::*;

/// Set for the child: its data folder.
const FOLDER: &str = "COUNTERFOIL_FAULT_TEST_FOLDER";

/// Set for the child: the fault, and the number of the first call that fails.
const FAULT: &str = "COUNTERFOIL_FAULT_TEST_FAULT";
const FROM: &str = "COUNTERFOIL_FAULT_TEST_FROM";

/// What the child's lines begin with: promises, the error that ended it, and how many calls there were.
const PROMISE: &str = "@promised ";
const ERROR: &str = "@stopped ";
const CALLS: &str = "@calls ";

/// Sectors of an older state stand among those of a newer one, in any mix: what was not synced, and more than
/// that. Snapshot and log make the state anew where it does not add up.
pub(super) fn mixed(may: May, count: u64) {
    let folder = Folder::new();
    folder.live_to(ENTRIES / 2);
    let older = folder.copy();
    folder.live_to(ENTRIES);
    let sound = folder.copy();
    let expected = revive(sound.path(), &sound.disk()).expect("a sound folder");
    let database = |folder: &Folder| {
        let files = damage::files(&folder.path().join(DATABASE));
        let files = files.into_iter().map(|(path, _)| {
            let name = path.file_name().expect("a name").to_owned();
            (name, std::fs::read(&path).expect("readable"))
        });
        files.collect::<std::collections::BTreeMap<_, _>>()
    };
    let (old, new) = (database(&older), database(&folder));
    let mut tally = Tally::default();
    for position in 0..count {
        let mut random = Random(position);
        let copy = folder.copy();
        for name in old.keys().chain(new.keys()) {
            let path = copy.path().join(DATABASE).join(name);
            match (old.get(name), new.get(name)) {
                (Some(old), Some(new)) => std::fs::write(path, mix(old, new, &mut random)).expect("written"),
                (Some(kept), None) | (None, Some(kept)) if random.below(2) == 0 => {
                    std::fs::write(path, kept).expect("written");
                }
                _ => drop(std::fs::remove_file(path)),
            }
        }
        let context = format!("state (sled): mix {position}");
        let picture = revive(copy.path(), &copy.disk());
        if let Ok(picture) = &picture {
            assert_eq!(*picture, expected, "{context}");
        }
        tally.note(may, picture.err().as_ref(), &context);
    }
    tally.print(SLED, Fault::PowerCut);
}

/// Bytes of either, sector by sector: mostly of one, or evenly mixed.
fn mix(old: &[u8], new: &[u8], random: &mut Random) -> Vec<u8> {
    let odds = [1, 2, 10, 50][random.below(4) as usize];
    let (most, few) = if random.below(2) == 0 { (new, old) } else { (old, new) };
    let mut bytes = most.to_vec();
    for (place, sector) in few.chunks(SECTOR_BYTES).enumerate() {
        let at = place * SECTOR_BYTES;
        if at + sector.len() <= bytes.len() && random.below(odds) == 0 {
            bytes[at..at + sector.len()].copy_from_slice(sector);
        }
    }
    bytes
}

/// `CURRENT` is renamed into its place: after a power cut it is there, or not yet, or only begun.
pub(super) fn renamed(may: May, count: u64) {
    let lived_in = Folder::lived_in();
    let sound = lived_in.copy();
    let expected = revive(sound.path(), &sound.disk()).expect("a sound folder");
    let mut tally = Tally::default();
    for position in 0..count {
        let copy = lived_in.copy();
        let current = copy.path().join("state/CURRENT");
        let content = std::fs::read(&current).expect("readable");
        let begun = &content[..(position / 2) as usize % (content.len() + 1)];
        std::fs::write(current.with_extension("unfinished"), begun).expect("written");
        if position % 2 == 0 {
            std::fs::remove_file(&current).expect("removed");
        }
        let context = format!("CURRENT: power cut {position}");
        let picture = revive(copy.path(), &copy.disk());
        if let Ok(picture) = &picture {
            assert_eq!(*picture, expected, "{context}");
        }
        tally.note(may, picture.err().as_ref(), &context);
    }
    tally.print(CURRENT, Fault::PowerCut);
}

/// Runs only as the child of [`failing_calls`]: lives in two halves, so that it also reads what it wrote.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let told = |name| std::env::var(name).expect("told");
    let faults = [Fault::ReadError, Fault::WriteError, Fault::NoSpace];
    let fault = faults.into_iter().find(|fault| format!("{fault:?}") == told(FAULT)).expect("a fault");
    sled_calls::fail_from(fault, told(FROM).parse().expect("a number"));
    let faulty = Faulty::new(Disk::real(), |_| false, None);
    let told = |promised: &Promised| println!("{PROMISE}{} {} {}", promised.entries, promised.vote, promised.snapshot);
    // The process ends with its first fault: nobody waits for a sled that hangs.
    for last in [ENTRIES / 2, ENTRIES] {
        let life = Life { last, told, threads: true, closes: true, ..Life::on(&faulty) };
        if let (_, Err(error)) = live(Path::new(&folder), &life) {
            println!("{ERROR}{error}");
            println!("{CALLS}{}", sled_calls::calls());
            std::process::exit(1);
        }
    }
    println!("{CALLS}{}", sled_calls::calls());
}

/// What a child told before its end.
#[derive(Default)]
struct Told {
    promised: Promised,
    error: Option<String>,
    calls: u64,
}

/// Runs the child in this folder, where such calls fail from this one on.
fn child_with(fault: Fault, from: u64, folder: &Path) -> Told {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "store::tests::faults::sled_files::child", "--nocapture", "--test-threads", "1"])
        .env(FOLDER, folder)
        .env(FAULT, format!("{fault:?}"))
        .env(FROM, from.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the child starts");
    let mut told = Told::default();
    for line in BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok) {
        // The test's own first line has no end before the child speaks.
        if let Some((_, error)) = line.split_once(ERROR) {
            told.error = Some(error.to_owned());
        }
        if let Some((_, calls)) = line.split_once(CALLS) {
            told.calls = calls.parse().expect("a number");
        }
        if let Some((_, promised)) = line.split_once(PROMISE) {
            let numbers: Vec<u64> = promised.split(' ').map(|number| number.parse().expect("a number")).collect();
            let [entries, vote, snapshot] = numbers[..] else { panic!("{line}") };
            told.promised = Promised { identity: true, entries, vote, snapshot };
        }
    }
    child.wait().expect("reaped");
    told
}

/// The calls of a kind fail from the n-th on, all of them on the database's files.
pub(super) fn failing_calls(fault: Fault, may: May, count: u64) {
    let digests = digests();
    let healthy = tempfile::tempdir().expect("a folder");
    let told = child_with(fault, u64::MAX, healthy.path());
    assert_eq!((told.error, told.promised.entries), (None, ENTRIES + 1), "a life without a fault");
    let all_calls = told.calls;
    assert!(all_calls > 0, "{fault:?}: sled makes such calls");
    let count = count.min(all_calls);
    let mut tally = Tally::default();
    for position in 0..count {
        let from = all_calls * position / count;
        let dir = tempfile::tempdir().expect("a folder");
        let told = child_with(fault, from, dir.path());
        let context = format!("state (sled): {fault:?} from call {from} of {all_calls} on");
        if let Some(error) = &told.error {
            assert!(error.contains(&dir.path().join("state").display().to_string()), "{context}: {error}");
        }
        assert!(told.error.is_some() || told.promised.entries == ENTRIES + 1, "{context}: it ended without a word");
        expect_kept(dir.path(), &Disk::real(), &told.promised, &digests, &context);
        // sled's own threads decide how often it writes: a life can have ended before.
        if told.error.is_some() || told.calls > from {
            let stopped = told.error.map(|error| StoreError::corrupt(dir.path(), 0, error));
            tally.note(may, stopped.as_ref(), &context);
        }
    }
    assert!(tally.count() > 0, "{fault:?}: some call failed");
    tally.print(SLED, fault);
}
