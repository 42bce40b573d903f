//! Faults of the files that sled opens by itself, past every disk but the machine's: a power cut is made of
//! two states of the folder, failing calls by `strace`.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::node::ENTRIES;
use super::*;

/// Set for the child: its data folder.
const FOLDER: &str = "COUNTERFOIL_FAULT_TEST_FOLDER";

/// What the child's lines begin with: promises, and the error that ended it.
const PROMISE: &str = "@promised ";
const ERROR: &str = "@stopped ";

/// The database of a folder whose state was never set aside or written anew.
const DATABASE: &str = "state/000001";

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

/// Runs only as the child of [`traced`]: lives in two halves, so that it also reads what it wrote.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let faulty = Faulty::new(Disk::real(), |_| false, None);
    let told = |promised: &Promised| println!("{PROMISE}{} {} {}", promised.entries, promised.vote, promised.snapshot);
    // The process ends with its first fault: nobody waits for a sled that hangs.
    let failed = |error: &StoreError| {
        println!("{ERROR}{error}");
        std::process::exit(1);
    };
    for last in [ENTRIES / 2, ENTRIES] {
        let life = Life { last, told, failed, ..Life::on(&faulty) };
        if let (_, Err(error)) = live(Path::new(&folder), &life) {
            failed(&error);
        }
    }
}

/// What a child told before its end.
#[derive(Default)]
struct Told {
    promised: Promised,
    error: Option<String>,
}

/// Runs the child under strace with these arguments.
fn child_under(strace: &[String], folder: &Path) -> Told {
    let mut child = Command::new("strace")
        .args(["-f", "-qq", "--seccomp-bpf", "-P"])
        .arg(folder.join(DATABASE).join("db"))
        .args(strace)
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", "store::tests::faults::sled_files::child", "--nocapture", "--test-threads", "1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace starts");
    let mut told = Told::default();
    for line in BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok) {
        // The test's own first line has no end before the child speaks.
        if let Some((_, error)) = line.split_once(ERROR) {
            told.error = Some(error.to_owned());
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

/// The calls of a kind fail from the n-th on, all of them on the database's file.
pub(super) fn traced(fault: Fault, may: May, count: u64) {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: strace is not there; no call of sled was made to fail ({fault:?})");
        return;
    }
    let (calls, error) = match fault {
        Fault::ReadError => ("pread64", "EIO"),
        Fault::WriteError => ("pwrite64,fdatasync,fsync,ftruncate", "EIO"),
        _ => ("pwrite64,ftruncate", "ENOSPC"),
    };
    let digests = digests();
    let healthy = tempfile::tempdir().expect("a folder");
    let seen = healthy.path().join("calls");
    let trace = |out: &Path| ["-o".to_owned(), out.display().to_string(), "-e".to_owned(), format!("trace={calls}")];
    let folder = healthy.path().join("node");
    let told = child_under(&trace(&seen), &folder);
    assert_eq!((told.error, told.promised.entries), (None, ENTRIES + 1), "a life without a fault");
    let calls_made = std::fs::read_to_string(&seen).expect("a trace").lines().count() as u64;
    let mut tally = Tally::default();
    for position in 0..count {
        let at = 1 + calls_made * position / count;
        let dir = tempfile::tempdir().expect("a folder");
        let inject = ["-e".to_owned(), format!("inject={calls}:error={error}:when={at}+")];
        let told = child_under(&[&trace(Path::new("/dev/null"))[..], &inject].concat(), dir.path());
        let context = format!("state (sled): {fault:?} at call {at} of {calls_made}");
        if let Some(error) = &told.error {
            assert!(error.contains(&dir.path().join("state").display().to_string()), "{context}: {error}");
        }
        assert!(told.error.is_some() || told.promised.entries == ENTRIES + 1, "{context}: it ended without a word");
        expect_kept(dir.path(), &Disk::real(), &told.promised, &digests, &context);
        let stopped = told.error.map(|error| StoreError::corrupt(dir.path(), 0, error));
        tally.note(may, stopped.as_ref(), &context);
    }
    tally.print(SLED, fault);
}
