//! The real binary under SIGKILL: what was acknowledged stands, on every node, once.

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/traffic.rs"]
mod traffic;

use std::path::{Path, PathBuf};
use std::time::Duration;

use counterfoil::client::api;
use traffic::{SMALL, Writers, cluster_of, execute, expect_balance, expect_kept, records_through, transfer};

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_killed_at_once_under_load_keep_every_acknowledged_command() {
    let (mut cluster, channels) = cluster_of(3, SMALL).await;
    let writers = Writers::start(&cluster.endpoints(), 8, 1);
    for _ in 0..3 {
        writers.more(400).await;
        cluster.kill(&[0, 1, 2]);
        for place in 0..3 {
            cluster.start_node(place);
        }
        cluster.leader().await;
    }
    writers.more(100).await;
    let answers = writers.stop().await;
    cluster.one_digest().await;
    expect_kept(&channels[0], &answers).await;
    expect_balance(&cluster, &channels[1], answers.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_replaced_and_nothing_is_lost_or_doubled() {
    let (mut cluster, channels) = cluster_of(3, "").await;
    let writers = Writers::start(&cluster.endpoints(), 8, 1);
    for _ in 0..3 {
        writers.more(200).await;
        let leader = cluster.leader().await;
        cluster.kill(&[leader]);
        writers.more(200).await;
        cluster.start_node(leader);
    }
    let answers = writers.stop().await;
    cluster.one_digest().await;
    expect_kept(&channels[2], &answers).await;
    expect_balance(&cluster, &channels[0], answers.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survivor_without_a_majority_names_no_leader() {
    let (mut cluster, _channels) = cluster_of(3, "").await;
    let leader = cluster.leader().await;
    let (other, survivor) = ((leader + 1) % 3, (leader + 2) % 3);
    expect_named(&cluster, survivor, true).await;
    cluster.kill(&[leader, other]);
    expect_named(&cluster, survivor, false).await;
    cluster.start_node(leader);
    cluster.start_node(other);
    cluster.leader().await;
}

/// Waits until this node names a leader, or none.
async fn expect_named(cluster: &cluster::Cluster, place: usize, named: bool) {
    let differs = |status: api::GetStatusResponse| (status.leader_id != 0) != named;
    let settled = async { while cluster.status(place).await.is_none_or(differs) {} };
    tokio::time::timeout(cluster::PATIENCE, settled).await.expect("who leads is told in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_missed_purged_log_catches_up_by_snapshot_under_load() {
    let (mut cluster, channels) = cluster_of(3, SMALL).await;
    let writers = Writers::start(&cluster.endpoints(), 8, 1);
    let away = (cluster.leader().await + 1) % 3;
    let missed = cluster.status(away).await.expect("it runs").last_log_index;
    cluster.kill(&[away]);
    while cluster.status(cluster.leader().await).await.expect("it runs").purged_index <= missed {
        writers.more(200).await;
    }
    cluster.start_node(away);
    writers.more(200).await;
    let answers = writers.stop().await;
    let status = cluster.one_digest().await;
    expect_kept(&channels[away], &answers).await;
    // What it could not replay, its journal has all the same.
    let here = records_through(&channels[away], status.sequence).await;
    let there = records_through(&channels[(away + 1) % 3], status.sequence).await;
    assert!(here == there, "the journals differ");
    let log = std::fs::read_to_string(cluster.log_file(away)).expect("a log");
    assert!(log.contains("snapshot installed"), "it caught up without a snapshot\n{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_store_that_is_deleted_or_damaged_is_rebuilt() {
    let (mut cluster, channels) = cluster_of(3, SMALL).await;
    let writers = Writers::start(&cluster.endpoints(), 4, 1);
    writers.more(1_000).await;
    let answers = writers.stop().await;

    type Harm = (&'static str, fn(&Path));
    let harms: [Harm; 3] =
        [("deleted", |state| std::fs::remove_dir_all(state).expect("a folder")), ("damaged", damage), ("cut", cut)];
    for (place, (harm, inflict)) in harms.into_iter().enumerate() {
        cluster.kill(&[place]);
        inflict(&cluster.members[place].folder.join("state"));
        cluster.start_node(place);
        let result = execute(&channels, transfer(1_000 + place as u128)).await;
        assert_eq!(result.rejection, 0, "{harm}: {result:?}");
        cluster.one_digest().await;
        expect_kept(&channels[place], &answers).await;
    }
    expect_balance(&cluster, &channels[0], answers.len() + 3).await;
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files.append(&mut files_below(&path)) } else { files.push(path) }
    }
    files
}

/// Flips a bit in every 512 bytes of every file.
fn damage(folder: &Path) {
    for file in files_below(folder) {
        let mut bytes = std::fs::read(&file).expect("a file");
        bytes.iter_mut().step_by(512).for_each(|byte| *byte ^= 4);
        std::fs::write(&file, bytes).expect("a file");
    }
}

/// Cuts every file in half.
fn cut(folder: &Path) {
    for file in files_below(folder) {
        let bytes = std::fs::read(&file).expect("a file");
        std::fs::write(&file, &bytes[..bytes.len() / 2]).expect("a file");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_shutdown_moves_leadership_first() {
    let (mut cluster, channels) = cluster_of(3, "").await;
    let writers = Writers::start(&cluster.endpoints(), 8, 1);
    writers.more(200).await;
    let leader = cluster.leader().await;
    assert!(cluster.terminate(leader), "it ended badly\n{}", cluster.logs());
    writers.more(200).await;
    let answers = writers.stop().await;
    cluster.start_node(leader);
    cluster.one_digest().await;
    expect_kept(&channels[leader], &answers).await;
    let log = std::fs::read_to_string(cluster.log_file(leader)).expect("a log");
    assert!(log.contains("leadership moved"), "it did not move leadership\n{log}");
}

/// The library that lies to a process about the clock on its wall (Debian's libfaketime).
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}

/// Where a node's process reads how far its clock is off, at every look.
fn clock_of(folder: &Path) -> PathBuf {
    folder.with_extension("clock")
}

fn set_clock(folder: &Path, off_by: &str) {
    // In one step: a process may look at any moment.
    let fresh = folder.with_extension("clock-fresh");
    std::fs::write(&fresh, off_by).expect("a file");
    std::fs::rename(fresh, clock_of(folder)).expect("a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_jump_lose_nothing_and_no_record_is_earlier_than_the_last() {
    let Some(library) = faketime() else {
        eprintln!("SKIPPED: libfaketime is not there; no process's clock jumped");
        return;
    };
    let mut cluster = cluster::Cluster::start_in(3, SMALL, |folder| {
        set_clock(folder, "+0");
        let switch = || PathBuf::from("1");
        vec![
            ("LD_PRELOAD", library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", clock_of(folder)),
            ("FAKETIME_NO_CACHE", switch()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", switch()),
        ]
    })
    .await;
    let channels: Vec<_> = cluster.endpoints().iter().map(|endpoint| cluster::channel(endpoint)).collect();
    traffic::set_up(&channels).await;
    let writers = Writers::start(&cluster.endpoints(), 8, 1);
    for off_by in ["+7200", "-7200", "+30", "-86400"] {
        writers.more(200).await;
        let leader = cluster.leader().await;
        set_clock(&cluster.members[leader].folder, off_by);
        writers.more(200).await;
        cluster.kill(&[leader]);
        writers.more(200).await;
        cluster.start_node(leader);
    }
    let answers = writers.stop().await;
    let status = cluster.one_digest().await;
    expect_kept(&channels[0], &answers).await;
    expect_balance(&cluster, &channels[1], answers.len()).await;
    let times: Vec<u64> =
        records_through(&channels[2], status.sequence).await.iter().map(|record| record.time).collect();
    assert!(times.is_sorted(), "time went back");
    let jump = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(jump > Some(3_600_000_000_000), "no clock jumped: {jump:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_another_node_is_refused() {
    let (mut cluster, _) = cluster_of(3, "").await;
    cluster.kill(&[0, 1]);
    let (first, second) = (cluster.members[0].folder.clone(), cluster.members[1].folder.clone());
    std::fs::remove_dir_all(&first).expect("a folder");
    std::fs::rename(&second, &first).expect("a folder");
    cluster.start_node(0);
    let log = cluster.wait_ended(0).await;
    assert!(log.contains("belongs to node 2"), "{log}");
    tokio::time::sleep(Duration::from_millis(10)).await;
}
