//! Who belongs to the cluster: nodes that come, go, move and come back wrongly, while clients write.

// Outside of test functions clippy does not see that this is a test.
#![allow(clippy::unwrap_used)]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/traffic.rs"]
mod traffic;

use std::path::Path;
use std::process::Command;

use cluster::{Cluster, channel};
use tonic::transport::Channel;
use traffic::{Writers, expect_kept, set_up};

async fn cluster_of(count: u64, settings: &str) -> (Cluster, Vec<Channel>) {
    let cluster = Cluster::start(count, settings).await;
    let channels: Vec<Channel> = cluster.endpoints().iter().map(|endpoint| channel(endpoint)).collect();
    set_up(&channels).await;
    (cluster, channels)
}

fn copy_folder(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(done.success(), "{} was not copied", from.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_disk_is_refused_under_its_old_id() {
    let (mut cluster, channels) = cluster_of(3, "").await;
    let writers = Writers::start(&cluster.endpoints(), 4, 1);
    writers.more(200).await;
    // This is the one that would form the cluster, had it not formed.
    cluster.kill(&[0]);
    writers.more(100).await;
    std::fs::remove_dir_all(&cluster.members[0].folder).expect("a folder");
    for _ in 0..2 {
        cluster.start_node(0);
        let log = cluster.wait_ended(0).await;
        assert!(log.contains("node 1 is known with disk"), "{log}");
        assert!(log.contains("ctl cluster replace 1 NEW-ID"), "it says what to do: {log}");
    }
    writers.more(200).await;
    let answers = writers.stop().await;
    cluster.one_digest().await;
    expect_kept(&channels[1], &answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_was_put_back_stops_and_the_leader_goes_on() {
    let (mut cluster, channels) = cluster_of(3, "").await;
    let writers = Writers::start(&cluster.endpoints(), 4, 1);
    writers.more(200).await;
    let leader = cluster.leader().await;
    let victim = (leader + 1) % 3;
    let folder = cluster.members[victim].folder.clone();
    let older = cluster.root().join("older");

    assert!(cluster.terminate(victim), "it ended badly\n{}", cluster.logs());
    copy_folder(&folder, &older);
    cluster.start_node(victim);
    cluster.one_leader_with_all().await;
    writers.more(500).await;
    cluster.kill(&[victim]);
    std::fs::remove_dir_all(&folder).expect("a folder");
    std::fs::rename(&older, &folder).expect("a folder");
    cluster.start_node(victim);
    let log = cluster.wait_ended(victim).await;
    assert!(log.contains("was put back to an older state"), "{log}");
    assert!(log.contains("ctl cluster replace"), "it says what to do: {log}");

    writers.more(200).await;
    assert_eq!(cluster.leader().await, leader, "the leader is not disturbed\n{}", cluster.logs());
    let answers = writers.stop().await;
    cluster.one_digest().await;
    expect_kept(&channels[leader], &answers).await;
}
