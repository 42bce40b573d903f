//! The real binary under SIGKILL: what was acknowledged stands, on every node, once.

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/traffic.rs"]
mod traffic;

use std::path::{Path, PathBuf};
use std::time::Duration;

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
