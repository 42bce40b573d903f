//! `counterfoil bench`: drives a cluster, and prints throughput and latency.
//!
//! In a closed loop each client keeps a fixed number of requests under way: it sends the next one when
//! one is answered. In an open loop (`--rate`) requests are due at fixed times, whatever the cluster
//! does. Every client has connections of its own. What is measured begins after the warm-up.

mod accounts;
mod drive;
mod ids;
mod planner;
mod spawn;
mod workload;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::args::{Connection, Output};
use super::process::Ending;
use super::table::list;
use super::{CliError, block_on};
use crate::client::{Client, ClientOptions, api};
use accounts::Accounts;
use drive::{Measured, Plan};
use planner::{Planned, Planner};
use spawn::{NodeCost, Spawned, spent};
use workload::Ground;

/// A day.
const SECONDS_MAX: u64 = 86_400;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// Money moved between random accounts
    Transfers,
    /// Of a hundred: 45 new orders that rest, 30 cancels, 15 replacements, 10 that trade
    Orders,
    /// Transfers and orders, half and half
    Mixed,
    /// Work orders: created, released, completed with what they took, closed
    Production,
    /// Linearizable reads of balances, one call each
    Reads,
    /// Linearizable reads of an account's last 100 postings, one call each
    Postings,
}

impl Workload {
    const fn trades(self) -> bool {
        matches!(self, Self::Orders | Self::Mixed)
    }

    const fn reads(self) -> bool {
        matches!(self, Self::Reads | Self::Postings)
    }
}

/// Which nodes are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadFrom {
    /// The one that leads when it begins
    Leader,
    /// The others, in turn
    Followers,
    /// Each in turn
    All,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    /// What is asked of the cluster
    #[arg(long, value_enum, default_value = "transfers")]
    workload: Workload,
    /// Clients, each with a session and connections of its own
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    clients: u32,
    /// Requests that each keeps under way; with --rate, that it may have under way
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    in_flight: u32,
    /// Commands in a request
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=8_190))]
    batch: u32,
    /// One call for each command instead of a session, so that --batch does not count
    #[arg(long, conflicts_with_all = ["batch", "rate"])]
    unary: bool,
    /// Which nodes are read from, by reads alone
    #[arg(long, value_enum, value_name = "NODES", default_value = "leader")]
    read_from: ReadFrom,
    /// Commands that are due in a second, of all clients together: an open loop
    #[arg(long, value_name = "COMMANDS", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    rate: Option<u64>,
    /// Accounts
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(2..=90_000_000))]
    accounts: u64,
    /// Use some accounts more than others: the n-th in proportion to n to this power, negative; 0 is all alike
    #[arg(long, default_value_t = 0.0, value_name = "EXPONENT", value_parser = exponent)]
    zipf: f64,
    /// Markets, when orders are sent
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    markets: u32,
    /// Calculate meanwhile, again and again, what plans of so many lines require of 5,000 items on ten levels
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    plan_lines: Option<u32>,
    /// Measure three nodes of its own, in a scratch folder that is removed afterwards
    #[arg(long, conflicts_with = "endpoint")]
    spawn: bool,
    /// Where that folder is made
    #[arg(long, value_name = "DIR", requires = "spawn")]
    spawn_in: Option<PathBuf>,
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

fn exponent(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..1.0).contains(&value) { Ok(value) } else { Err("not from 0 to below 1".to_owned()) }
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
    accounts: u64,
    /// Which nodes were read from; absent where commands are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_from: Option<ReadFrom>,
    /// Commands a second that were due; absent in a closed loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
    seconds: f64,
    commands: u64,
    commands_per_second: f64,
    /// Commands that were refused, but for cancels of orders that were filled meanwhile.
    errors: u64,
    latency_us: Latency,
    /// What was calculated beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    requirements: Option<Planned>,
    /// Of nodes that were started for it, warm-up included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<NodeCost>,
}

pub fn run(args: &Args) -> Result<(), CliError> {
    let report = block_on(async {
        if !args.spawn {
            let client = args.connection.client()?;
            return bench(args, &client, || args.connection.client(), None).await;
        }
        let mut ending = Ending::listen()?;
        let (mut spawned, client) = Spawned::start(args.spawn_in.as_deref()).await?;
        let endpoints = spawned.endpoints();
        let fresh = || Ok(Client::new(&endpoints, ClientOptions::default())?);
        let report = tokio::select! {
            report = bench(args, &client, fresh, Some(&spawned)) => report,
            () = ending.told() => Err(CliError::Check("ended before it was measured".to_owned())),
        };
        spawned.stop().await;
        report
    })?;
    print(args, &report)
}

async fn bench(
    args: &Args,
    client: &Client,
    fresh: impl Fn() -> Result<Client, CliError>,
    spawned: Option<&Spawned>,
) -> Result<Report, CliError> {
    let accounts = Accounts::new(args.accounts, args.zipf);
    let ground = Ground::prepare(client, args.workload, args.markets, accounts).await?;
    let planner = match args.plan_lines {
        Some(lines) => Some(Planner::prepare(fresh()?, lines).await?),
        None => None,
    };
    let clients = match args.workload.reads() {
        true => readers(client, args).await?,
        false => (0..args.clients).map(|_| fresh()).collect::<Result<Vec<_>, _>>()?,
    };
    let before = spawned.map(Spawned::costs).unwrap_or_default();
    let now = Instant::now();
    let start = now + Duration::from_secs(args.warm_up);
    let end = start + Duration::from_secs(args.seconds);
    let by_call = args.unary || args.workload.reads();
    let batch = if by_call { 1 } else { args.batch };
    let plan = Plan { start, end, in_flight: args.in_flight, batch };
    let bar = tick(args);
    let planned = async {
        match &planner {
            Some(planner) => planner.run(start, end).await.map(Some),
            None => Ok(None),
        }
    };
    let load = async {
        if by_call {
            let calls = clients.iter().flat_map(|client| (0..args.in_flight).map(move |_| client)).map(|client| {
                let mut traffic = ground.traffic();
                async move {
                    // A read that says nothing else is linearizable.
                    match args.workload {
                        Workload::Reads => {
                            drive::reads(plan, async || client.list_balances(traffic.balances()).await.map(drop)).await
                        }
                        Workload::Postings => {
                            drive::reads(plan, async || client.list_postings(traffic.postings()).await.map(drop)).await
                        }
                        _ => drive::calls(client, plan, traffic).await,
                    }
                }
            });
            futures::future::try_join_all(calls).await
        } else {
            let between = args.rate.map(|rate| Duration::from_secs_f64(f64::from(batch) / rate as f64));
            let sessions = clients.iter().zip(0..).map(|(client, number)| {
                let traffic = ground.traffic();
                async move {
                    match between {
                        // The clients take turns.
                        Some(between) => {
                            drive::open(client, plan, now + between * number, between * args.clients, traffic).await
                        }
                        None => drive::closed(client, plan, traffic).await,
                    }
                }
            });
            futures::future::try_join_all(sessions).await
        }
    };
    let (measured, requirements) = futures::join!(load, planned);
    bar.finish_and_clear();
    let after = spawned.map(Spawned::costs).unwrap_or_default();
    let mut total = Measured::new()?;
    let requirements = requirements?;
    measured?.iter().for_each(|one| total.add(one));
    let at = |quantile| total.latencies.value_at_quantile(quantile);
    Ok(Report {
        workload: args.workload,
        clients: args.clients,
        in_flight: args.in_flight,
        batch,
        accounts: args.accounts,
        read_from: args.workload.reads().then_some(args.read_from),
        rate: args.rate,
        seconds: args.seconds as f64,
        commands: total.commands,
        commands_per_second: total.commands as f64 / args.seconds as f64,
        errors: total.errors,
        latency_us: Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: total.latencies.max() },
        requirements,
        nodes: spent(&before, &after),
    })
}

/// Clients that ask one node each.
async fn readers(client: &Client, args: &Args) -> Result<Vec<Client>, CliError> {
    let status = client.get_status(api::GetStatusRequest {}).await?;
    let asked = |member: &&api::Member| match args.read_from {
        ReadFrom::Leader => member.node_id == status.leader_id,
        ReadFrom::Followers => member.node_id != status.leader_id,
        ReadFrom::All => true,
    };
    let nodes: Vec<&api::Member> = status.members.iter().filter(asked).collect();
    if nodes.is_empty() {
        return Err(CliError::Check("no node to read from".to_owned()));
    }
    let of = |node: &&api::Member| Ok(Client::new(&[&node.client_endpoint], ClientOptions::default())?);
    nodes.iter().cycle().take(args.clients as usize).map(of).collect()
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
    let mut load = format!("{} clients × {} in flight × {} commands", report.clients, report.in_flight, report.batch);
    if let Some(rate) = report.rate {
        load = format!("{load}, {rate} due a second");
    }
    let mut rows = vec![
        ("load", load),
        ("commands", format!("{} in {} s, {:.0}/s", report.commands, report.seconds, report.commands_per_second)),
        ("refused", report.errors.to_string()),
        ("p50", milliseconds(p50)),
        ("p90", milliseconds(p90)),
        ("p99", milliseconds(p99)),
        ("p99.9", milliseconds(p999)),
        ("max", milliseconds(max)),
    ];
    if let Some(Planned { lines, calculations, longest_ms }) = report.requirements {
        rows.push(("plans", format!("{calculations} calculations of {lines} lines, the longest {longest_ms} ms")));
    }
    rows.extend(report.nodes.iter().map(|node| {
        let (written, memory) = (node.written_bytes >> 20, node.memory_bytes >> 20);
        ("node", format!("{}: {:.2} s of a core, {written} MiB written, {memory} MiB held", node.id, node.cpu_seconds))
    }));
    writeln!(out, "{}", list(rows))?;
    Ok(())
}
