//! `counterfoil bench`: drives a cluster in a closed loop, and prints throughput and latency.
//!
//! Each client keeps a fixed number of batches under way in a session of its own: it sends the next
//! one when one is answered. A latency is the time from sending a batch to its answer, of every
//! command in it. What is measured begins after the warm-up.

mod workload;

use std::io::Write as _;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::args::{Connection, Output};
use super::table::list;
use super::{CliError, block_on};
use crate::client::{Client, ClientError, Session, SessionOptions};
use workload::{Ground, Traffic};

/// Latencies are kept from 1 µs to a minute, with three digits.
const LATENCY_US_MAX: u64 = 60_000_000;

/// A day.
const SECONDS_MAX: u64 = 86_400;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// Money moved between random accounts
    Transfers,
    /// Limit orders around a price: half of them trade, the rest is cancelled later
    Orders,
    /// Work orders: created, released, completed with what they took, closed
    Production,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    /// What is asked of the cluster
    #[arg(long, value_enum, default_value = "transfers")]
    workload: Workload,
    /// Sessions
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    clients: u32,
    /// Batches that each keeps under way
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    in_flight: u32,
    /// Commands in a batch
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=8_190))]
    batch: u32,
    /// How long is measured, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// How long runs before, in seconds
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(..=SECONDS_MAX))]
    warm_up: u64,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Microseconds below which this share of the commands was answered.
#[derive(Debug, Serialize)]
struct Latency {
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    workload: Workload,
    clients: u32,
    in_flight: u32,
    batch: u32,
    seconds: f64,
    commands: u64,
    commands_per_second: f64,
    /// Commands that were refused, but for cancels of orders that were filled meanwhile.
    errors: u64,
    latency_us: Latency,
}

/// What one client measured.
struct Measured {
    latencies: Histogram<u64>,
    commands: u64,
    errors: u64,
}

pub fn run(args: &Args) -> Result<(), CliError> {
    let report = block_on(bench(args))?;
    print(args, &report)
}

async fn bench(args: &Args) -> Result<Report, CliError> {
    let client = args.connection.client()?;
    let ground = Ground::prepare(&client, args.workload, args.clients).await?;
    let start = Instant::now() + Duration::from_secs(args.warm_up);
    let end = start + Duration::from_secs(args.seconds);
    let clients = (0..args.clients).map(|number| drive(&client, args, ground.traffic(number), start, end));
    let bar = tick(args);
    let measured = futures::future::try_join_all(clients).await;
    bar.finish_and_clear();
    let mut total = Measured { latencies: histogram()?, commands: 0, errors: 0 };
    for one in measured? {
        total.commands += one.commands;
        total.errors += one.errors;
        // Both have the same bounds.
        let _ = total.latencies.add(&one.latencies);
    }
    let at = |quantile| total.latencies.value_at_quantile(quantile);
    Ok(Report {
        workload: args.workload,
        clients: args.clients,
        in_flight: args.in_flight,
        batch: args.batch,
        seconds: args.seconds as f64,
        commands: total.commands,
        commands_per_second: total.commands as f64 / args.seconds as f64,
        errors: total.errors,
        latency_us: Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: total.latencies.max() },
    })
}

fn histogram() -> Result<Histogram<u64>, CliError> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).map_err(|error| CliError::Check(format!("no histogram: {error}")))
}

/// One client: sends a batch whenever one is answered, until the end, then waits for the rest.
async fn drive(
    client: &Client,
    args: &Args,
    mut traffic: Traffic,
    start: Instant,
    end: Instant,
) -> Result<Measured, CliError> {
    let options = SessionOptions { in_flight: args.in_flight as usize, ..SessionOptions::default() };
    let Session { mut sender, mut receiver } = client.session(options);
    let mut sent_at = std::collections::VecDeque::with_capacity(options.in_flight);
    let mut measured = Measured { latencies: histogram()?, commands: 0, errors: 0 };
    for _ in 0..args.in_flight {
        sent_at.push_back(Instant::now());
        sender.send(traffic.batch(args.batch)).await?;
    }
    while let Some(sent) = sent_at.pop_front() {
        let answer = receiver.next().await?.ok_or(ClientError::SessionEnded)?;
        let results = answer.results.map_err(|refusal| CliError::Check(format!("a batch was refused: {refusal}")))?;
        let (now, refused) = (Instant::now(), traffic.learn(&results));
        if now >= start && now < end {
            let latency = u64::try_from((now - sent).as_micros()).unwrap_or(u64::MAX);
            measured.latencies.saturating_record_n(latency.max(1), results.len() as u64);
            measured.commands += results.len() as u64;
            measured.errors += refused;
        }
        if now < end {
            sent_at.push_back(Instant::now());
            sender.send(traffic.batch(args.batch)).await?;
        }
    }
    Ok(measured)
}

/// A bar that runs with the clock, on standard error.
fn tick(args: &Args) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.set_message(format!("of {} s", args.warm_up + args.seconds));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn print(args: &Args, report: &Report) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    if args.output == Output::Json {
        writeln!(out, "{:#}", serde_json::to_value(report).unwrap_or_default())?;
        return Ok(());
    }
    let milliseconds = |us: u64| format!("{}.{:03} ms", us / 1_000, us % 1_000);
    let Latency { p50, p90, p99, p999, max } = report.latency_us;
    let load = format!("{} clients × {} in flight × {} commands", report.clients, report.in_flight, report.batch);
    let rows = [
        ("load", load),
        ("commands", format!("{} in {} s, {:.0}/s", report.commands, report.seconds, report.commands_per_second)),
        ("refused", report.errors.to_string()),
        ("p50", milliseconds(p50)),
        ("p90", milliseconds(p90)),
        ("p99", milliseconds(p99)),
        ("p99.9", milliseconds(p999)),
        ("max", milliseconds(max)),
    ];
    writeln!(out, "{}", list(rows))?;
    Ok(())
}
