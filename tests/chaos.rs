//! Every fault on real processes, judged by the checker: the smoke of what `counterfoil chaos` does for
//! as long as one likes (docs/CHAOS.md), and a disk that fails under a node.

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/traffic.rs"]
mod traffic;

use std::process::{Command, Stdio};

use cluster::{Cluster, channel};
use serde_json::Value;
use traffic::{Writers, expect_kept, set_up};

fn counterfoil(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_counterfoil"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A drill that must end well; what it tells.
fn drill(arguments: &[&str]) -> Value {
    let (code, out, error) = counterfoil(&[&["chaos", "--output", "json"], arguments].concat());
    assert_eq!(code, Some(0), "{arguments:?}: {out}{error}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&told["verdict"], &told["linearizable"]), (&Value::from("ok"), &Value::from(true)), "{out}");
    for none in ["lost", "duplicated", "misread"] {
        assert_eq!(told[none], 0, "{out}");
    }
    told
}

#[test]
fn every_fault_in_turn_loses_nothing() {
    let told =
        drill(&["--scenario", "all", "--seconds", "60", "--hold-ms", "1000", "--calm-ms", "300", "--rate", "400"]);
    assert!(told["faults"].as_object().is_some_and(|faults| faults.len() == 14), "{told}");
}

#[test]
fn others_lead_while_the_leader_stands_still_or_hears_nobody() {
    for scenario in ["pause", "one-way"] {
        let told = drill(&["--scenario", scenario, "--seconds", "1", "--hold-ms", "5000", "--rate", "400"]);
        let gap = told["gap_ms"]["max"].as_u64().expect("a number");
        assert!(gap < 4_000, "{scenario}: nothing was answered for {gap} ms of 5,000: {told}");
    }
}

#[test]
fn stock_and_work_orders_are_conserved_although_the_leader_dies() {
    let faults = ["--scenario", "kill-leader", "--kills", "3", "--calm-ms", "1500", "--rate", "200"];
    drill(&[&["--workload", "inventory"], &faults[..]].concat());
}

/// The processes that run with a configuration in this folder.
fn nodes_in(folder: &str) -> usize {
    let processes = std::fs::read_dir("/proc").expect("listed").filter_map(Result::ok);
    let commands = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    commands.filter(|command| String::from_utf8_lossy(command).contains(&format!("serve\0--config\0{folder}"))).count()
}

#[test]
fn a_drill_that_is_told_to_end_leaves_no_node_behind() {
    use nix::sys::signal::{Signal, kill};
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a path");
    let mut drill = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
    drill.args(["chaos", "--scenario", "pause", "--seconds", "60", "--dir", path]);
    let mut drill = drill.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    let deadline = std::time::Instant::now() + cluster::PATIENCE;
    while nodes_in(path) < 3 {
        assert!(std::time::Instant::now() < deadline, "it starts no nodes");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    kill(nix::unistd::Pid::from_raw(drill.id() as i32), Signal::SIGTERM).expect("it runs");
    assert_eq!(drill.wait().expect("it ends").code(), Some(1), "nothing was shown");
    assert_eq!(nodes_in(path), 0);
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a path");
    let (code, _, error) = counterfoil(&["chaos", "--dev", path]);
    assert!(code == Some(2) && error.contains("holds no cluster"), "{error}");
    let (code, _, error) = counterfoil(&["chaos", "--endpoint", "127.0.0.1:1", "--scenario", "kill-leader"]);
    assert!(code == Some(2) && error.contains("cannot be done"), "{error}");
    let (code, _, error) = counterfoil(&["chaos", "--kill-command", "true"]);
    assert!(code == Some(2) && error.contains("--endpoint"), "{error}");
}

/// Nobody was killed: that nothing was lost says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_drill_without_its_fault_is_void() {
    let cluster = Cluster::start(3, "").await;
    let endpoints = cluster.endpoints().join(",");
    let none = ["--kill-command", "true", "--start-command", "true", "--kills", "1", "--hold-ms", "300"];
    let (code, _, error) =
        counterfoil(&[&["chaos", "--endpoint", &endpoints, "--scenario", "kill-follower"], &none[..]].concat());
    assert!(code == Some(1) && error.contains("too quiet") && error.contains("kill-follower"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_stops_its_node_and_loses_nothing() {
    if !Cluster::can_fail_disks() {
        return;
    }
    let mut cluster = Cluster::start(3, "").await;
    let channels: Vec<_> = cluster.endpoints().iter().map(|endpoint| channel(endpoint)).collect();
    set_up(&channels).await;
    let writers = Writers::start(&cluster.endpoints(), 8, 1);
    writers.more(200).await;
    let victim = cluster.leader().await;
    let failing =
        ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO"];
    let mut strace = Command::new("strace")
        .args(failing)
        .args(["-p", &cluster.process_id(victim).to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace starts");
    let log = cluster.wait_ended(victim).await;
    strace.wait().expect("it ends with the node");
    assert!(log.contains("Input/output error") && log.contains("log"), "it does not say what failed\n{log}");
    writers.more(200).await;
    cluster.start_node(victim);
    let answers = writers.stop().await;
    cluster.one_digest().await;
    expect_kept(&channels[victim], &answers).await;
}
