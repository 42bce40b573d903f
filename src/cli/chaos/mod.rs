//! `counterfoil chaos`: kills, pauses and cuts off nodes while clients trade, and says whether
//! anything was lost.
//!
//! The drill is done to a cluster of its own, to a running `dev`, to a docker-compose project, or to
//! nodes anywhere by commands of the user's (`target`). `load` makes the traffic and writes down what
//! clients saw; `drill` inflicts the faults; `closing` waits until all is quiet and lets the checker
//! judge; `outcome` prints the verdict. Every drill needs a cluster that nobody else uses meanwhile.

mod closing;
mod drill;
mod ground;
mod live;
mod load;
mod nodes;
mod outcome;
mod proxy;
mod recorder;
mod scenario;
mod target;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::CliError;
use super::args::{ConfigSource, Output};
use super::process::Ending;
use super::random::Random;
use crate::checker::Demands;
use crate::client::{Client, ClientOptions};
use closing::Closing;
use drill::{Drill, Pace, Until};
use live::Live;
use load::{Load, LoadOptions, Workload};
use nodes::Nodes;
use outcome::Outcome;
use recorder::Recorder;
use scenario::{Fault, Scenario};
use target::{Commands, Compose, DevFolder, OwnCluster, OwnOptions, Target, Templates};

/// Threads of the clients, and of the proxies where there are some.
const THREADS: usize = 2;
/// How long a cluster may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Commands a second below which a run is void.
const RATE_MIN: u64 = 10;
/// Answered reads below which it is.
const READS_MIN: u64 = 100;
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What is done to the nodes
    #[arg(long, value_enum, default_value = "all")]
    scenario: Scenario,
    /// How long, in seconds, and until each kind of fault was seen
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How many faults, instead of how long
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    kills: Option<u64>,
    /// What clients do besides the steady transfers
    #[arg(long, value_enum, default_value = "all")]
    workload: Workload,
    /// Steady writers, by whose answers pauses are measured
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    writers: u32,
    /// Commands a second of all steady writers; 0 is as many as are answered
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// How long a client waits for one node before it asks another, in milliseconds
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(10..))]
    attempt_ms: u64,
    /// How long a node stands still or is cut off, in milliseconds
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(100..))]
    hold_ms: u64,
    /// How long everything is well before and after each fault, in milliseconds
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(100..))]
    calm_ms: u64,
    /// The order of faults and victims follows from it; a fresh one each time when left out
    #[arg(long)]
    seed: Option<u64>,
    /// Nodes of the drill's own cluster, which it starts when no other is named
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// Where its data is kept and left; a temporary folder when left out
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// What its own nodes are told, such as timing
    #[command(flatten)]
    source: ConfigSource,
    /// Do it to the running `counterfoil dev` of this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["compose", "endpoint"])]
    dev: Option<PathBuf>,
    /// Do it to the containers of this docker-compose project
    #[arg(long, value_name = "PROJECT", conflicts_with = "endpoint")]
    compose: Option<String>,
    /// Do it to the nodes at these endpoints, by the commands given
    #[arg(long, value_delimiter = ',', value_name = "URL")]
    endpoint: Vec<String>,
    #[command(flatten)]
    templates: Templates,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub fn run(args: &Args) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let outcome = runtime.map_err(CliError::Start)?.block_on(chaos(args))?;
    outcome.print(args.output)?;
    outcome.judge()
}

async fn chaos(args: &Args) -> Result<Outcome, CliError> {
    let mut ending = Ending::listen()?;
    let live = Live::start();
    live.stage("starting");
    let mut target = open(args).await?;
    let faults = faults(args, &target)?;
    let told = tokio::select! {
        told = drill(args, &mut target, &faults, &live) => told,
        () = ending.told() => Err(CliError::Check("interrupted; nothing was checked".to_owned())),
    };
    if told.is_err() {
        Drill::mend_all(&mut target).await;
        if let Some(logs) = target.logs() {
            live.finish();
            eprintln!("{logs}");
        }
    }
    target.stop().await;
    live.finish();
    told
}

async fn open(args: &Args) -> Result<Target, CliError> {
    if let Some(dir) = &args.dev {
        return Ok(Target::Dev(DevFolder::open(dir)?));
    }
    if let Some(project) = &args.compose {
        return Ok(Target::Compose(Compose::open(project).await?));
    }
    if !args.endpoint.is_empty() {
        return Ok(Target::Commands(Commands::new(&args.endpoint, args.templates.clone())?));
    }
    if args.templates.is_given() {
        let reason = "needs --endpoint, to know the nodes".to_owned();
        return Err(CliError::Usage { option: "--kill-command", reason });
    }
    let options = OwnOptions {
        nodes: args.nodes,
        dir: args.dir.clone(),
        source: args.source.clone(),
        is_proxied: args.scenario.needs_network(),
    };
    Ok(Target::Own(OwnCluster::start(&options).await?))
}

/// The kinds of fault of the drill, all of which the target allows.
fn faults(args: &Args, target: &Target) -> Result<Vec<Fault>, CliError> {
    let faults = args.scenario.faults(target);
    let refuse = |reason| Err(CliError::Usage { option: "--scenario", reason });
    if faults.is_empty() {
        return refuse("nothing can be done to these nodes: name commands for it".to_owned());
    }
    match faults.iter().find(|fault| !target.can(fault.act()) || !target.can(fault.mend())) {
        Some(fault) => refuse(format!("{} cannot be done to this target", fault.name())),
        None => Ok(faults),
    }
}

async fn drill(args: &Args, target: &mut Target, faults: &[Fault], live: &Live) -> Result<Outcome, CliError> {
    let members = target.members().to_vec();
    let endpoints: Vec<String> = members.iter().map(|member| member.endpoint.clone()).collect();
    let nodes = Nodes::new(&members)?;
    let everybody: Vec<usize> = (0..members.len()).collect();
    nodes.in_sync(&everybody).await?;
    let patience = ClientOptions { deadline: READY_TIMEOUT, ..ClientOptions::default() };
    ground::prepare(&Client::new(&endpoints, patience)?).await?;

    let recorder = Recorder::new();
    let mut watchers = tokio::task::JoinSet::new();
    watchers.spawn(nodes.clone().watch());
    watchers.spawn(live.clone().count(recorder.clone()));
    let attempt = Duration::from_millis(args.attempt_ms);
    let (workload, writers, rate) = (args.workload, args.writers, args.rate);
    let load = Load::start(&endpoints, &recorder, LoadOptions { workload, writers, rate, attempt })?;
    live.stage("calm");
    let until = args.kills.map_or(Until::Elapsed(Duration::from_secs(args.seconds)), Until::Faults);
    let mut drill = Drill {
        target,
        nodes: &nodes,
        recorder: &recorder,
        live,
        random: args.seed.map_or_else(Random::fresh, Random::new),
        pace: Pace { calm: Duration::from_millis(args.calm_ms), hold: Duration::from_millis(args.hold_ms) },
        began: Instant::now(),
        inflicted: Vec::new(),
    };
    drill.run(faults, until).await?;
    let Drill { began, inflicted, target, .. } = drill;
    let elapsed = began.elapsed();
    live.stage("stopping");
    load.stop().await?;
    drop(watchers);
    live.stage("checking");
    let closing = closing::close(&members, &nodes, &recorder).await?;

    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for one in inflicted.iter().filter(|one| one.felt) {
        *counts.entry(one.fault.to_owned()).or_default() += 1;
    }
    let demands = demands(faults, args.workload, elapsed);
    let leader_changes = nodes.leader_changes();
    let seen = closing::seen(&closing, counts.clone(), leader_changes);
    let too_quiet = demands.unmet(&closing.report, &seen);
    Ok(Outcome::new(
        args,
        target.name(),
        members.len(),
        elapsed,
        Told { closing, inflicted, counts, leader_changes, failures: recorder.failures(), too_quiet },
    ))
}

/// Everything that a drill has to tell.
struct Told {
    closing: Closing,
    inflicted: Vec<drill::Inflicted>,
    counts: BTreeMap<String, u64>,
    leader_changes: u64,
    failures: BTreeMap<String, u64>,
    too_quiet: Vec<String>,
}

/// What a run of these faults must show, or it proves nothing.
fn demands(faults: &[Fault], workload: Workload, elapsed: Duration) -> Demands {
    let changes = faults.iter().filter(|fault| fault.changes_leader()).count();
    Demands {
        acknowledged: elapsed.as_secs() * RATE_MIN,
        reads: READS_MIN,
        events: std::iter::once("transferred").chain(workload.events()).collect(),
        faults: faults.iter().map(|fault| (fault.name().to_owned(), 1)).collect(),
        leader_changes: u64::from(changes > 0),
    }
}
