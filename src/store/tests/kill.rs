//! A process that is killed at any moment loses nothing that the log cannot bring back.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::*;

const WORKLOAD: Workload = Workload(37);

/// Set for the child: its data folder.
const FOLDER: &str = "COUNTERFOIL_KILL_TEST_FOLDER";

/// How many kills; more with this variable.
const KILLS: &str = "COUNTERFOIL_KILLS";
const KILLS_DEFAULT: u64 = 30;

/// What a child says once it has opened its folder.
const OPEN: &str = "the folder is open";

/// The last index, further than a child comes.
const LAST: u64 = 1_000_000;

/// Runs only as the child of the test below: applies until it is killed.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let _ = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).try_init();
    let mut running = Running::open(Path::new(&folder)).expect("opens");
    println!("{OPEN}");
    let from = running.engine.applied().position.map_or(0, |position| position.index.0);
    for index in from + 1..LAST {
        running.apply_to(WORKLOAD, index).expect("applied");
        if index % 400 == 0 {
            let job = running.engine.begin_snapshot();
            std::thread::spawn(move || job.run().expect("written"));
        }
    }
}

#[test]
fn a_killed_process_loses_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let kills = std::env::var(KILLS).ok().and_then(|count| count.parse().ok()).unwrap_or(KILLS_DEFAULT);
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "store::tests::kill::child", "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("started");
        // Every third one is killed at any moment of its start; three such in a row would condemn
        // the database, which is not what is tested here.
        if kill % 3 != 2 {
            let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
            assert!(lines.map_while(Result::ok).any(|line| line.ends_with(OPEN)), "the child opens the folder");
        }
        std::thread::sleep(Duration::from_millis(kill * 37 % 120));
        assert!(child.try_wait().expect("known").is_none(), "the child ended by itself");
        child.kill().expect("killed");
        child.wait().expect("reaped");
    }
    let mut running = Running::open(dir.path()).expect("opens");
    let reached = running.engine.applied().position.expect("something was written").index.0;
    assert!(
        !dir.path()
            .join("state")
            .read_dir()
            .expect("listed")
            .any(|entry| { entry.expect("an entry").file_name().to_string_lossy().starts_with("damaged") }),
        "a kill damages nothing"
    );
    let last = reached + 100;
    running.apply_to(WORKLOAD, last).expect("applied");
    let facts = running.facts();
    assert_eq!(facts, undisturbed(WORKLOAD, last));
    running.close();
    println!("{kills} kills, {last} entries, {} events, {} entries of the index", facts.sequence, facts.entries);
}
