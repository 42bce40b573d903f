//! How long no write succeeds when the leader is killed: 16 steady writers, SIGKILL, many times.
//!
//! `cargo bench --bench failover -- --kills 20`; with `--terminate` it is told to stop instead (SIGTERM), with
//! `--settings FILE` the nodes get a section of configuration, such as config/fast.toml. Prints the longest pause of each kill, the median and
//! the worst. This is a measurement, not a test: machines differ.

#[path = "../tests/support/cluster.rs"]
mod cluster;
#[path = "../tests/support/traffic.rs"]
mod traffic;

use std::time::{Duration, Instant};

use cluster::{Cluster, channel};
use traffic::{Writers, expect_kept, set_up};

const WRITERS: u64 = 16;

/// Steady writing before and after each kill.
const CALM: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |flag: &str| arguments.iter().position(|a| a == flag).and_then(|at| arguments.get(at + 1));
    let kills: usize = after("--kills").map_or(20, |count| count.parse().expect("--kills takes a number"));
    let settings = after("--settings").map_or(String::new(), |file| std::fs::read_to_string(file).expect("a file"));

    let terminate = arguments.iter().any(|argument| argument == "--terminate");

    let mut cluster = Cluster::start(3, &settings).await;
    let channels: Vec<_> = cluster.endpoints().iter().map(|endpoint| channel(endpoint)).collect();
    set_up(&channels).await;
    let writers = Writers::start(&cluster.endpoints(), WRITERS, 1);
    tokio::time::sleep(CALM).await;
    println!("longest pause without a kill, {CALM:?}: {:?}", writers.take_gap_max());

    let mut pauses = Vec::new();
    let started = Instant::now();
    for number in 1..=kills {
        let leader = cluster.leader().await;
        writers.take_gap_max();
        if terminate {
            assert!(cluster.terminate(leader), "it ended badly\n{}", cluster.logs());
        } else {
            cluster.kill(&[leader]);
        }
        tokio::time::sleep(CALM).await;
        let pause = writers.take_gap_max();
        println!("kill {number:2}: node {} led, longest pause {:4} ms", leader + 1, pause.as_millis());
        pauses.push(pause);
        cluster.start_node(leader);
        cluster.one_leader_with_all().await;
        tokio::time::sleep(CALM).await;
    }
    let acknowledged = writers.acknowledged();
    let answers = writers.stop().await;
    cluster.one_digest().await;
    let sample: Vec<_> = answers.iter().rev().step_by(answers.len() / 2_000 + 1).cloned().collect();
    expect_kept(&channels[0], &sample).await;

    pauses.sort();
    println!(
        "{kills} kills, {acknowledged} acknowledged in {:.0?}: median {} ms, worst {} ms",
        started.elapsed(),
        pauses[pauses.len() / 2].as_millis(),
        pauses[pauses.len() - 1].as_millis()
    );
}
