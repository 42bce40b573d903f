//! Damaged files of one node, made good from the others while clients write: no operator, nothing lost, and no vote
//! from a log that does not hold what it acknowledged.

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/traffic.rs"]
mod traffic;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use cluster::{Cluster, PATIENCE};
use counterfoil::proto::v1::Repair;
use traffic::{SMALL, Writers, cluster_of, expect_balance, expect_kept, records_through};

/// How long it is watched that nobody is elected: many times the longest wait for an election.
const NOBODY_FOR: Duration = Duration::from_secs(5);

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.append(&mut files(&path)) } else { found.push(path) }
    }
    found
}

/// Flips a bit in every 512 bytes of every file.
fn flip(folder: &Path) {
    for file in files(folder) {
        let mut bytes = std::fs::read(&file).expect("a file");
        bytes.iter_mut().step_by(512).for_each(|byte| *byte ^= 4);
        std::fs::write(&file, bytes).expect("a file");
    }
}

/// Cuts every file in half.
fn cut(folder: &Path) {
    for file in files(folder) {
        let bytes = std::fs::read(&file).expect("a file");
        std::fs::write(&file, &bytes[..bytes.len() / 2]).expect("a file");
    }
}

fn remove(folder: &Path) {
    std::fs::remove_dir_all(folder).expect("a folder");
}

/// Runs a subcommand of the built binary that must end well; returns what it printed.
fn run(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_counterfoil")).args(arguments).output().expect("the binary runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}\n{said}");
    said
}

impl Cluster {
    /// What `ctl cluster status` prints when this node is asked.
    fn said_by(&self, place: usize) -> String {
        run(&["ctl", "--endpoint", &self.members[place].client_endpoint, "--timeout", "10", "cluster", "status"])
    }

    /// Waits until a node has been repaired so many times, and is not under repair.
    async fn repaired(&self, place: usize, count: u64) -> Repair {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let repair = self.status(place).await.and_then(|status| status.repair);
            if let Some(repair) = repair.filter(|repair| !repair.under_way && repair.count == count) {
                return repair;
            }
            assert!(Instant::now() < deadline, "it is not repaired\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log_of(&self, place: usize) -> String {
        std::fs::read_to_string(self.log_file(place)).expect("a log")
    }
}

type Harm = (&'static str, &'static [&'static str], fn(&Path));

/// The runbook "a damaged disk" of docs/OPERATING.md.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_damaged_files_is_repaired_by_the_others_under_load() {
    let harms: [Harm; 6] = [
        ("bits of the log", &["log"], flip),
        ("half of the log", &["log"], cut),
        ("all of the log", &["log"], remove),
        ("bits of the journal", &["journal"], flip),
        ("half of the journal", &["journal"], cut),
        ("bits of state and snapshots", &["state", "snapshots"], flip),
    ];
    let (mut cluster, channels) = cluster_of(3, SMALL).await;
    let writers = Writers::start(&cluster.endpoints(), 8, 1);
    writers.more(1_000).await;
    let mut repairs = [0; 3];
    for (round, (harm, folders, inflict)) in harms.into_iter().enumerate() {
        cluster.one_leader_with_all().await;
        // Each node in turn, so that leaders are hit too.
        let victim = round % 3;
        let data = cluster.members[victim].folder.clone();
        cluster.kill(&[victim]);
        folders.iter().for_each(|folder| inflict(&data.join(folder)));
        cluster.start_node(victim);
        repairs[victim] += 1;
        let repair = cluster.repaired(victim, repairs[victim]).await;
        assert!(repair.damage.contains(folders[0]), "{harm}: {repair:?}");
        assert!(data.join(&repair.aside).is_dir(), "{harm}: the damaged files are kept");
        assert!(repair.entries + repair.bytes > 0 && repair.from_node_id > 0, "{harm}: {repair:?}");
        let log = cluster.log_of(victim);
        for words in ["WARN", "under repair: the damaged files are set aside", "repaired by the others"] {
            assert!(log.contains(words), "{harm}: it does not say {words:?}\n{log}");
        }
        let said = cluster.said_by(victim);
        assert!(said.contains(&format!("repair            {} in all", repairs[victim])), "{harm}\n{said}");
        let aside = |name: &str| name.starts_with("damaged-");
        let names = std::fs::read_dir(&data).expect("a folder").flatten().map(|entry| entry.file_name());
        let kept = names.filter(|name| aside(&name.to_string_lossy())).count();
        assert_eq!(kept, 1, "{harm}: one folder is kept, however often");
        writers.more(200).await;
    }
    let answers = writers.stop().await;
    let status = cluster.one_digest().await;
    let first = records_through(&channels[0], status.sequence).await;
    for (place, channel) in channels.iter().enumerate() {
        expect_kept(channel, &answers).await;
        assert!(records_through(channel, status.sequence).await == first, "node {place} has another history");
    }
    expect_balance(&cluster, &channels[1], answers.len()).await;
    for place in 0..3 {
        assert!(cluster.terminate(place), "it ended badly\n{}", cluster.logs());
        run(&["verify", &cluster.members[place].folder.display().to_string()]);
    }
}

/// Sectors go bad: what was written is there, and cannot be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_gives_an_error_for_what_it_holds_is_repaired_too() {
    if !Cluster::can_fail_disks() {
        return;
    }
    let (mut cluster, channels) = cluster_of(3, SMALL).await;
    let writers = Writers::start(&cluster.endpoints(), 8, 1);
    writers.more(1_000).await;
    for (victim, (folder, ending)) in [("log", "log"), ("journal", "journal")].into_iter().enumerate() {
        cluster.one_leader_with_all().await;
        let data = cluster.members[victim].folder.clone();
        cluster.kill(&[victim]);
        let of_kind = |path: &PathBuf| path.extension().is_some_and(|found| found == ending);
        let unreadable: Vec<PathBuf> = files(&data.join(folder)).into_iter().filter(of_kind).collect();
        cluster.start_node_without(victim, &unreadable);
        let repair = cluster.repaired(victim, 1).await;
        assert!(repair.damage.contains(folder) && repair.damage.contains("Input/output error"), "{repair:?}");
        assert!(data.join(&repair.aside).join(folder).is_dir(), "what cannot be read is kept: {repair:?}");
        writers.more(200).await;
    }
    let answers = writers.stop().await;
    cluster.one_digest().await;
    for channel in &channels {
        expect_kept(channel, &answers).await;
    }
}

/// Entries are acknowledged by two nodes, of which one is then damaged and the other one down; the third never had
/// them. If the damaged one gave its vote to the third, or took the third's, they were lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_under_repair_gives_no_vote_and_gets_none() {
    let (mut cluster, channels) = cluster_of(3, SMALL).await;
    let writers = Writers::start(&cluster.endpoints(), 8, 1);
    writers.more(200).await;
    cluster.one_leader_with_all().await;
    let leader = cluster.leader().await;
    let (damaged, behind) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.kill(&[behind]);
    writers.more(1_000).await;
    cluster.kill(&[damaged, leader]);
    for folder in ["log", "state", "snapshots", "journal"] {
        remove(&cluster.members[damaged].folder.join(folder));
    }
    cluster.start_node(damaged);
    cluster.start_node(behind);

    let under_repair = |status: Option<counterfoil::proto::v1::GetStatusResponse>| {
        let repair = status.and_then(|status| status.repair);
        repair.is_some_and(|repair| repair.under_way && repair.goal_index == 0)
    };
    let deadline = Instant::now() + PATIENCE;
    while !under_repair(cluster.status(damaged).await) {
        assert!(Instant::now() < deadline, "it is not under repair\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let until = Instant::now() + NOBODY_FOR;
    while Instant::now() < until {
        for place in [damaged, behind] {
            let led_by = cluster.status(place).await.map_or(0, |status| status.leader_id);
            let elected = [damaged, behind].map(|place| cluster.members[place].id).contains(&led_by);
            assert!(!elected, "node {led_by} was elected by a log that lacks what it acknowledged\n{}", cluster.logs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let said = cluster.said_by(behind);
    let words = format!("node {} is under repair, without a vote", cluster.members[damaged].id);
    assert!(said.contains(&words), "{said}");
    let said = cluster.said_by(damaged);
    assert!(said.contains("no vote until a leader has brought it up"), "{said}");

    // Once more while the mark stands: it outlives a restart.
    cluster.kill(&[damaged]);
    cluster.start_node(damaged);
    cluster.start_node(leader);
    let repair = cluster.repaired(damaged, 1).await;
    assert_eq!(repair.from_node_id, cluster.members[leader].id, "nobody else had it all");
    writers.more(200).await;
    let answers = writers.stop().await;
    let status = cluster.one_digest().await;
    for channel in &channels {
        expect_kept(channel, &answers).await;
    }
    let here = records_through(&channels[damaged], status.sequence).await;
    assert!(here == records_through(&channels[leader], status.sequence).await, "another history");
    expect_balance(&cluster, &channels[damaged], answers.len()).await;
}

/// Without its vote, or without others, a node with a damaged log stops and says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_be_repaired_stops_and_keeps_its_files() {
    let (mut cluster, _) = cluster_of(3, SMALL).await;
    cluster.kill(&[0]);
    let data = cluster.members[0].folder.clone();
    flip(&data.join("log"));
    let mut vote = std::fs::read(data.join("VOTE")).expect("the vote");
    vote.iter_mut().step_by(64).for_each(|byte| *byte ^= 1);
    std::fs::write(data.join("VOTE"), vote).expect("the vote");
    for _ in 0..2 {
        cluster.start_node(0);
        let said = cluster.wait_ended(0).await;
        assert!(said.contains("vote is not known for sure"), "{said}");
        assert!(said.contains(&format!("{}/", data.join("log").display())), "{said}");
    }
    assert!(!data.join("REPAIR").exists(), "nothing was begun");

    let (mut alone, _) = cluster_of(1, SMALL).await;
    alone.kill(&[0]);
    flip(&alone.members[0].folder.join("log"));
    alone.start_node(0);
    let said = alone.wait_ended(0).await;
    assert!(said.contains("no other voter to repair it from"), "{said}");
    assert!(!alone.members[0].folder.join("REPAIR").exists(), "nothing was begun");
}

/// One bit of an old block of the journal: that block alone is made good, from any node, before the start goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_block_of_the_journal_is_mended_in_place() {
    let (mut cluster, channels) = cluster_of(3, SMALL).await;
    let writers = Writers::start(&cluster.endpoints(), 8, 1);
    writers.more(2_000).await;
    cluster.one_leader_with_all().await;
    let segment = cluster.members[0].folder.join("journal/00000000.journal");
    cluster.kill(&[0]);
    let good = std::fs::read(&segment).expect("a segment");
    let mut bad = good.clone();
    // Behind the headers of the segment and of its first block. The index is young and made anew from the journal.
    bad[400] ^= 8;
    std::fs::write(&segment, &bad).expect("a segment");
    cluster.start_node(0);
    writers.more(100).await;
    cluster.one_leader_with_all().await;
    let said = cluster.log_of(0);
    for words in [
        "00000000.journal is damaged at byte 32",
        "a block of the journal was made good from another node",
        "the journal is whole again",
    ] {
        assert!(said.contains(words), "it does not say {words:?}\n{said}");
    }
    let mended = std::fs::read(&segment).expect("a segment");
    assert!(mended.starts_with(&good), "byte for byte");
    assert!(cluster.status(0).await.expect("it runs").repair.is_none(), "no vote was at stake");
    let answers = writers.stop().await;
    let status = cluster.one_digest().await;
    let here = records_through(&channels[0], status.sequence).await;
    assert!(here == records_through(&channels[1], status.sequence).await, "another history");
    expect_kept(&channels[0], &answers).await;
}
