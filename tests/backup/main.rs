//! Backups of real clusters under load, and what is made from them: the runbooks of docs/BACKUP.md. `harm` kills and damages.

// Outside of test functions clippy does not see that this is a test.
#![allow(clippy::unwrap_used)]

#[path = "../support/cluster.rs"]
mod cluster;
mod harm;
#[path = "../support/s3.rs"]
mod s3;
#[path = "../support/traffic.rs"]
mod traffic;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cluster::{Cluster, PATIENCE, channel};
use counterfoil::proto::v1::Record;
use s3::S3;
use serde_json::Value;
use traffic::{SMALL, Writers, cluster_of, execute, expect_balance, expect_kept, records_through, transfer};

/// A target in this folder, and a schedule that makes the first full backup and leaves the rest to the test.
fn settings(target: &Path) -> String {
    format!(
        "{SMALL}[backup]\ntarget = {target:?}\nfull = \"0 0 1 1 *\"\ndifferential = \"\"\nincremental = \"\"\ntrial = \"\"\n"
    )
}

/// Runs the built binary with these arguments.
fn run(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_counterfoil")).args(arguments).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// As [`run`] with JSON, which must end well.
fn json(arguments: &[&str]) -> Value {
    let (good, out, error) = run(&[arguments, &["--output", "json"]].concat());
    assert!(good, "{arguments:?}\n{out}{error}");
    serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?} printed {out}"))
}

/// A number of the API's JSON, which has 64-bit integers as strings.
fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

impl Cluster {
    fn running_endpoints(&self) -> String {
        let running = self.members.iter().filter(|member| member.runs());
        running.map(|member| member.client_endpoint.clone()).collect::<Vec<_>>().join(",")
    }

    fn ctl(&self, arguments: &[&str]) -> Value {
        let endpoints = self.running_endpoints();
        json(&[&["ctl", "--endpoint", &endpoints, "--timeout", "30"], arguments].concat())
    }

    /// Makes a backup, and waits until it is complete and checked.
    fn back_up(&self, kind: &str) -> Value {
        let made = self.ctl(&["backup", "run", kind, "--wait", "60"]);
        assert_eq!(made["check"]["problem"], "", "{made}");
        made
    }

    /// Waits for the first backup, which the schedule makes.
    async fn first_backup(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.ctl(&["backup", "list"])["backups"].as_array().is_none_or(Vec::is_empty) {
            assert!(Instant::now() < deadline, "no backup was made\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Restores into the first folder of a cluster that is prepared.
fn restore(target: &Path, cluster: &Cluster, arguments: &[&str]) -> Value {
    let (target, config) = (target.display().to_string(), cluster.config(0).display().to_string());
    json(&[&["restore", "--from", &target, "--config", &config], arguments].concat())
}

/// The state digests that a cluster had, by the last event, with the log entry.
type Seen = BTreeMap<u64, (u64, String)>;

/// Twenty of these, over their whole length.
fn spread<T: Copy>(all: Vec<T>) -> Vec<T> {
    const WANTED: usize = 20;
    assert!(all.len() >= WANTED, "{} points can be compared", all.len());
    (0..WANTED).map(|place| all[place * (all.len() - 1) / (WANTED - 1)]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_under_load_is_restored_at_any_sequence_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, channels) = cluster_of(3, &settings(folder.path())).await;
    let writers = Writers::start(&cluster.endpoints(), 4, 1);
    cluster.first_backup().await;
    let mut seen = Seen::new();
    for kind in ["incremental", "differential", "incremental", "full", "incremental"] {
        for _ in 0..10 {
            writers.more(20).await;
            for place in 0..3 {
                let status = cluster.status(place).await.expect("it runs");
                seen.insert(status.sequence, (status.applied_index, status.state_digest));
            }
        }
        let made = cluster.back_up(kind);
        let leader = cluster.status(cluster.leader().await).await.expect("it runs").node_id;
        assert_ne!(number(&made["node_id"]), leader, "a follower does it: {made}");
    }
    let answers = writers.stop().await;
    let backups = cluster.ctl(&["backup", "list"]);
    let backups = backups["backups"].as_array().unwrap();
    let first = number(&backups[0]["last_sequence"]);
    let last = number(&backups.last().unwrap()["last_sequence"]);
    let records = records_through(&channels[0], last).await;
    seen.retain(|sequence, _| (first..last).contains(sequence));

    let ending = |record: &Record| record.events.last().unwrap().sequence;
    let index = |record: &Record| record.position.as_ref().unwrap().index;
    // A status can be later than its last event, by entries that make none; those are not compared.
    let by_sequence = seen.iter().filter(|(sequence, (at, _))| {
        records.iter().any(|record| ending(record) == **sequence && index(record) == *at)
    });
    for (sequence, (at, digest)) in spread(by_sequence.collect()) {
        let place = Cluster::prepare("restored", 1, SMALL);
        let restored = restore(folder.path(), &place, &["--to-sequence", &sequence.to_string()])["restored"].clone();
        assert_eq!((number(&restored["sequence"]), number(&restored["index"])), (*sequence, *at), "event {sequence}");
        assert_eq!(restored["state_digest"], **digest, "event {sequence}");
    }
    // The last moment before the next record; nothing may stand between a status and that.
    let until = |sequence: u64, at: u64| {
        let next = records.iter().find(|record| ending(record) > sequence)?;
        let time = records.iter().find(|record| ending(record) == sequence)?.time;
        (next.time > time && index(next) == at + 1).then(|| next.time - 1)
    };
    let by_time = seen.iter().filter(|(sequence, (at, _))| until(**sequence, *at).is_some());
    for (sequence, (at, digest)) in spread(by_time.collect()) {
        let until = until(*sequence, *at).unwrap();
        let place = Cluster::prepare("restored", 1, SMALL);
        let restored = restore(folder.path(), &place, &["--to-time", &until.to_string()])["restored"].clone();
        assert_eq!((number(&restored["sequence"]), number(&restored["index"])), (*sequence, *at), "time {until}");
        assert_eq!(restored["state_digest"], **digest, "time {until}");
    }
    cluster.one_digest().await;
    expect_balance(&cluster, &channels[1], answers.len()).await;
}

/// Lost site: nothing is left but the backups. A new cluster of three is made from them.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_site_comes_back_as_a_new_cluster_of_any_size() {
    let folder = tempfile::tempdir().unwrap();
    let (mut cluster, _) = cluster_of(3, &settings(folder.path())).await;
    let writers = Writers::start(&cluster.endpoints(), 4, 1);
    cluster.first_backup().await;
    writers.more(500).await;
    let answers = writers.stop().await;
    let made = cluster.back_up("incremental");
    let lost = cluster.one_digest().await;
    cluster.kill(&[0, 1, 2]);

    let mut new = Cluster::prepare("elsewhere", 1, SMALL);
    let restored = restore(folder.path(), &new, &[])["restored"].clone();
    assert_eq!(number(&restored["sequence"]), lost.sequence);
    // The live state may be later by a command that came twice: that makes no event, but another time.
    assert_eq!(restored["state_digest"], made["state_digest"]);
    new.start_node(0);
    new.leader().await;
    let status = new.status(0).await.expect("it runs");
    assert_ne!(status.cluster_id, lost.cluster_id, "another identity");
    for id in [2, 3] {
        let place = new.start_joining(id);
        let member = &new.members[place];
        let (client, raft) = (member.client_endpoint.clone(), member.raft_endpoint.clone());
        new.ctl(&["cluster", "add", &id.to_string(), "--client", &client, "--raft", &raft, "--promote"]);
    }
    let channels: Vec<_> = new.endpoints().iter().map(|endpoint| channel(endpoint)).collect();
    let result = execute(&channels, transfer(9_999)).await;
    assert_eq!(result.rejection, 0, "{result:?}");
    new.one_digest().await;
    for node in &channels {
        expect_kept(node, &answers).await;
        expect_balance(&new, node, answers.len() + 1).await;
    }
    let verified = json(&["verify", &folder.path().display().to_string()]);
    assert!(verified["problems"].as_array().unwrap().is_empty(), "{verified}");
}

/// Mistaken operation: back to the moment before.
#[tokio::test(flavor = "multi_thread")]
async fn a_mistaken_operation_is_undone_by_going_back_to_the_moment_before() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, channels) = cluster_of(3, &settings(folder.path())).await;
    cluster.first_backup().await;
    for number in 100..150 {
        execute(&channels, transfer(number)).await;
    }
    let mistake = execute(&channels, transfer(666)).await;
    for number in 200..220 {
        execute(&channels, transfer(number)).await;
    }
    cluster.back_up("incremental");
    let before = mistake.position.expect("a position").sequence - 1;
    let mut new = Cluster::prepare("corrected", 1, SMALL);
    let restored = restore(folder.path(), &new, &["--to-sequence", &before.to_string()])["restored"].clone();
    assert_eq!(number(&restored["sequence"]), before);
    new.start_node(0);
    new.leader().await;
    let node = channel(&new.endpoints()[0]);
    expect_balance(&new, &node, 50).await;
    let again = execute(std::slice::from_ref(&node), transfer(666)).await;
    assert!(!again.duplicate && again.rejection == 0, "it never happened: {again:?}");
}

/// A bucket takes backups and gives them back, also while it refuses every third call.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_store_takes_backups_and_gives_them_back() {
    let store = S3::start().await;
    let target = format!("s3://{}/counterfoil", s3::BUCKET);
    let options = store.options();
    let settings = settings(Path::new(&target)) + &format!("options = {options:?}\n");
    let (cluster, _) = cluster_of(3, &settings).await;
    let writers = Writers::start(&cluster.endpoints(), 2, 1);
    cluster.first_backup().await;
    store.refuse_every.store(3, Ordering::Relaxed);
    writers.more(200).await;
    cluster.back_up("incremental");
    store.refuse_every.store(0, Ordering::Relaxed);
    writers.more(50).await;
    let answers = writers.stop().await;
    let made = cluster.back_up("differential");

    let mut source = vec!["--from", &target];
    source.extend(options.iter().flat_map(|option| ["--option", option]));
    let verified = json(&[&["backup", "verify", "--trial"], &source[..]].concat());
    assert_eq!(verified["backups"].as_array().unwrap().len(), 3, "{verified}");
    let mut new = Cluster::prepare("elsewhere", 1, SMALL);
    let config = new.config(0).display().to_string();
    let restored = json(&[&["restore", "--config", &config], &source[..]].concat())["restored"].clone();
    assert_eq!(restored["state_digest"], made["state_digest"]);
    new.start_node(0);
    new.leader().await;
    expect_balance(&new, &channel(&new.endpoints()[0]), answers.len()).await;
}
