//! Who belongs to the cluster: nodes that come, go, move and come back wrongly, while clients write.

// Outside of test functions clippy does not see that this is a test.
#![allow(clippy::unwrap_used)]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/traffic.rs"]
mod traffic;

use std::path::Path;
use std::process::Command;

use cluster::Cluster;
use traffic::{SMALL, Writers, cluster_of, expect_balance, expect_kept};

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

/// Runs a subcommand of the built binary; returns what it printed, and demands that it ends as told.
fn run(arguments: &[&str], ends_well: bool) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_counterfoil")).args(arguments).output().expect("the binary runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.success(), ends_well, "{arguments:?}\n{said}");
    said
}

impl Cluster {
    /// `ctl cluster` with these arguments, asked of every node that runs.
    fn ctl(&self, arguments: &[&str], ends_well: bool) -> String {
        let running = self.members.iter().filter(|member| member.runs());
        let endpoints = running.map(|member| member.client_endpoint.clone()).collect::<Vec<_>>().join(",");
        run(&[&["ctl", "--endpoint", &endpoints, "--timeout", "30", "cluster"], arguments].concat(), ends_well)
    }

    /// `ctl cluster` with the addresses of a node behind the arguments.
    fn ctl_with_addresses(&self, arguments: &[&str], place: usize, ends_well: bool) -> String {
        let member = &self.members[place];
        let addresses = ["--client", &member.client_endpoint, "--raft", &member.raft_endpoint];
        self.ctl(&[arguments, &addresses].concat(), ends_well)
    }

    /// Stops a node that is no member any more, and forgets it.
    fn forget(&mut self, place: usize) {
        if self.members[place].runs() {
            self.kill(&[place]);
        }
        self.members.remove(place);
    }

    /// The ids of all voters, as the leader sees them.
    async fn voters(&self) -> Vec<u64> {
        let status = self.status(self.leader().await).await.expect("it runs");
        status.members.iter().filter(|member| member.voter).map(|member| member.node_id).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_become_five_and_three_again_under_load() {
    let (mut cluster, _) = cluster_of(3, SMALL).await;
    let writers = Writers::start(&cluster.endpoints(), 8, 1);
    writers.more(500).await;
    for id in [4, 5] {
        let place = cluster.start_joining(id);
        let said = cluster.ctl_with_addresses(&["add", &id.to_string(), "--promote"], place, true);
        assert!(said.contains("voter"), "{said}");
        writers.more(200).await;
    }
    assert_eq!(cluster.voters().await, [1, 2, 3, 4, 5]);
    writers.more(200).await;
    cluster.one_leader_with_all().await;

    // The one that leads now goes too: it hands its office over first.
    let leader = cluster.leader().await;
    for place in [leader, (leader + 1) % 3] {
        let id = cluster.members[place].id.to_string();
        cluster.ctl(&["remove", &id], true);
        writers.more(200).await;
    }
    let gone: Vec<u64> = [leader, (leader + 1) % 3].map(|place| cluster.members[place].id).to_vec();
    for id in &gone {
        let place = cluster.members.iter().position(|member| member.id == *id).expect("it was there");
        cluster.forget(place);
    }
    let voters = cluster.voters().await;
    assert_eq!(voters.len(), 3, "{voters:?}");
    let place = cluster.start_joining(gone[0]);
    let said = cluster.ctl_with_addresses(&["add", &gone[0].to_string()], place, false);
    assert!(said.contains("ids are never used twice"), "{said}");
    cluster.forget(place);

    let answers = writers.stop().await;
    cluster.one_digest().await;
    let last = cluster.members.len() - 1;
    expect_kept(&cluster.channel(last), &answers).await;
    expect_balance(&cluster, &cluster.channel(last), answers.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_replaced_and_a_change_that_would_stand_still_is_refused() {
    let (mut cluster, _) = cluster_of(3, SMALL).await;
    let writers = Writers::start(&cluster.endpoints(), 8, 1);
    writers.more(500).await;
    let dead = (cluster.leader().await + 1) % 3;
    let alive = (dead + 1) % 3;
    let (dead_id, alive_id) = (cluster.members[dead].id.to_string(), cluster.members[alive].id.to_string());
    cluster.kill(&[dead]);
    std::fs::remove_dir_all(&cluster.members[dead].folder).expect("a folder");
    writers.more(200).await;
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    let said = cluster.ctl(&["remove", &alive_id], false);
    assert!(said.contains("that is no majority"), "{said}");
    let said = cluster.ctl_with_addresses(&["replace", &alive_id, &alive_id], alive, false);
    assert!(said.contains("cannot take its own place"), "{said}");

    let place = cluster.start_joining(7);
    let said = cluster.ctl_with_addresses(&["replace", &dead_id, "7"], place, true);
    assert!(!said.contains("learner"), "{said}");
    let mut expected: Vec<u64> = vec![1, 2, 3, 7];
    expected.retain(|id| id.to_string() != dead_id);
    assert_eq!(cluster.voters().await, expected);
    writers.more(200).await;
    cluster.forget(dead);
    let answers = writers.stop().await;
    cluster.one_digest().await;
    expect_kept(&cluster.channel(2), &answers).await;
    expect_balance(&cluster, &cluster.channel(2), answers.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_moves_to_another_address() {
    let (mut cluster, _) = cluster_of(3, "").await;
    let writers = Writers::start(&cluster.endpoints(), 4, 1);
    writers.more(200).await;
    let moves = (cluster.leader().await + 1) % 3;
    let id = cluster.members[moves].id.to_string();
    assert!(cluster.terminate(moves), "it ended badly\n{}", cluster.logs());
    cluster.move_node(moves);
    let said = cluster.ctl_with_addresses(&["set-address", &id], moves, false);
    assert!(said.contains("does not answer"), "it must run there first: {said}");
    cluster.start_node(moves);
    let said = cluster.ctl_with_addresses(&["set-address", &id], moves, true);
    assert!(said.contains(&cluster.members[moves].raft_endpoint), "{said}");
    writers.more(200).await;
    cluster.one_leader_with_all().await;
    // It is reached there by votes and by clients too.
    let said = cluster.ctl(&["transfer", &id], true);
    assert!(said.contains(&format!("node {id} leads")), "{said}");
    // The leader's own address is looked at like any other.
    let said = cluster.ctl(&["set-address", &id, "--client", "127.0.0.1:9", "--raft", "127.0.0.1:9"], false);
    assert!(said.contains("does not answer"), "{said}");
    let said = cluster.ctl_with_addresses(&["set-address", &id], moves, true);
    assert!(said.contains(&cluster.members[moves].raft_endpoint), "{said}");
    let taken = cluster.members[(moves + 1) % 3].client_endpoint.clone();
    let own = cluster.members[moves].raft_endpoint.clone();
    let said = cluster.ctl(&["set-address", &id, "--client", &taken, "--raft", &own], false);
    assert!(said.contains("already"), "{said}");
    writers.more(200).await;
    let answers = writers.stop().await;
    cluster.one_digest().await;
    expect_kept(&cluster.channel(moves), &answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_folder_that_is_left_becomes_a_new_cluster() {
    let (mut cluster, _) = cluster_of(3, SMALL).await;
    let writers = Writers::start(&cluster.endpoints(), 4, 1);
    writers.more(1_000).await;
    let answers = writers.stop().await;
    cluster.one_digest().await;
    cluster.kill(&[0, 1, 2]);

    let config = cluster.root().join("node-2.toml");
    let config = config.to_str().expect("a path");
    let renamed = ["--config", config, "--set", "cluster.name=test-2"];
    let before = run(&[&["recover"], &renamed[..], &["--dry-run", "--output", "json"]].concat(), true);
    assert!(before.contains("\"recovered\": false"), "{before}");
    let said = run(&["recover", "--config", config, "--i-accept-data-loss"], false);
    assert!(said.contains("needs a new name"), "{said}");
    let said = run(&[&["recover"], &renamed[..]].concat(), false);
    assert!(said.contains("--i-accept-data-loss"), "never by default: {said}");
    let said = run(&[&["recover"], &renamed[..], &["--i-accept-data-loss"]].concat(), true);
    assert!(said.contains("What may be lost"), "{said}");
    run(&[&["recover"], &renamed[..], &["--i-accept-data-loss"]].concat(), false);

    // An old node under the old name is no part of it, and finds nobody to follow.
    cluster.start_node(0);
    cluster.name = "test-2".to_owned();
    cluster.start_node(1);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let status = cluster.status(1).await.expect("it runs");
    assert_eq!((status.leader_id, status.members.len()), (2, 1), "{}", cluster.logs());
    assert_eq!(cluster.status(0).await.expect("it runs").leader_id, 0, "{}", cluster.logs());
    cluster.kill(&[0]);
    // Under the new name its folder is refused.
    cluster.start_node(0);
    let log = cluster.wait_ended(0).await;
    assert!(log.contains("belongs to cluster"), "{log}");

    cluster.forget(2);
    cluster.forget(0);
    for id in [4, 5] {
        let place = cluster.start_joining(id);
        cluster.ctl_with_addresses(&["add", &id.to_string(), "--promote"], place, true);
    }
    let more = Writers::start(&cluster.endpoints(), 4, 100);
    more.more(200).await;
    let later = more.stop().await;
    cluster.one_digest().await;
    for place in 0..3 {
        expect_kept(&cluster.channel(place), &answers).await;
        expect_kept(&cluster.channel(place), &later).await;
    }
    expect_balance(&cluster, &cluster.channel(2), answers.len() + later.len()).await;
}

/// Makes every sync of a process take `delay` longer, until it is dropped.
struct SlowDisk(std::process::Child);

impl SlowDisk {
    fn of(process: u32, delay: std::time::Duration) -> Self {
        let inject = format!("inject=fdatasync,fsync:delay_enter={}", delay.as_micros());
        let arguments = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", &inject, "-p"];
        let strace = Command::new("strace").args(arguments).arg(process.to_string()).spawn().expect("strace runs");
        Self(strace)
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // SIGKILL: asked to end, strace waits for a delayed thread of a process that is gone. The kernel
        // lets go of what a dead tracer held.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_stalls_hands_over_and_a_node_whose_disk_hangs_ends() {
    use std::time::Duration;
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("SKIPPED: there is no strace, which makes the disk slow");
        return;
    }
    let (mut cluster, channels) = cluster_of(3, "[store]\nsync_slow_ms = 300\nsync_hung_ms = 4000\n").await;
    let writers = Writers::start(&cluster.endpoints(), 4, 1);
    writers.more(200).await;
    let slow = cluster.leader().await;
    let disk = SlowDisk::of(cluster.members[slow].process_id(), Duration::from_secs(1));
    let deadline = std::time::Instant::now() + cluster::PATIENCE;
    let leads = |cluster: &Cluster| {
        let log = std::fs::read_to_string(cluster.log_file(slow)).expect("a log");
        log.contains("the disk is slow; leadership is handed over")
    };
    while !leads(&cluster) {
        assert!(std::time::Instant::now() < deadline, "it keeps its office\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    writers.more(200).await;
    drop(disk);
    writers.more(100).await;
    cluster.one_leader_with_all().await;

    let hung = (cluster.leader().await + 1) % 3;
    let disk = SlowDisk::of(cluster.members[hung].process_id(), Duration::from_secs(20));
    writers.more(100).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let log = std::fs::read_to_string(cluster.log_file(hung)).expect("a log");
    assert!(log.contains("has not moved for"), "{log}");
    drop(disk);
    cluster.wait_ended(hung).await;
    cluster.start_node(hung);
    let answers = writers.stop().await;
    cluster.one_digest().await;
    expect_kept(&channels[hung], &answers).await;
}

/// Flips a bit in every 512 bytes of every file in a folder.
fn damage(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let file = entry.expect("an entry").path();
        let mut bytes = std::fs::read(&file).expect("a file");
        bytes.iter_mut().step_by(512).for_each(|byte| *byte ^= 4);
        std::fs::write(&file, bytes).expect("a file");
    }
}

/// A node that no longer knows whom it voted for is not repaired: it says so, and another one takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_log_and_vote_are_damaged_says_which_file_and_is_replaced() {
    let (mut cluster, _) = cluster_of(3, SMALL).await;
    let writers = Writers::start(&cluster.endpoints(), 4, 1);
    writers.more(1_000).await;
    cluster.one_leader_with_all().await;
    let leader = cluster.leader().await;
    let victim = (leader + 1) % 3;
    let folder = cluster.members[victim].folder.clone();
    cluster.kill(&[victim]);
    damage(&folder.join("log"));
    std::fs::write(folder.join("VOTE"), b"").expect("a file");
    cluster.start_node(victim);
    let said = cluster.wait_ended(victim).await;
    let log = folder.join("log").display().to_string();
    assert!(said.contains(&format!("{log}/")), "it does not say what is damaged\n{said}");
    assert!(said.contains("vote is not known for sure"), "it does not say why it is not repaired\n{said}");
    let place = cluster.start_joining(7);
    let dead = cluster.members[victim].id.to_string();
    cluster.ctl_with_addresses(&["replace", &dead, "7"], place, true);
    cluster.forget(victim);
    writers.more(200).await;
    let answers = writers.stop().await;
    cluster.one_digest().await;
    for place in 0..3 {
        expect_kept(&cluster.channel(place), &answers).await;
    }
    expect_balance(&cluster, &cluster.channel(0), answers.len()).await;
}
