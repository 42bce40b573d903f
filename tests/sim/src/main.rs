//! Counterfoil's nodes in simulated time: the product's own code, under a network, disks, clocks and
//! threads that follow from a seed. See docs/SIMULATION.md.
//!
//! One seed is one process. Without a seed this starts one process after the other, a few at a time,
//! and says for each one that fails the command that runs it again.

#[cfg(not(tokio_unstable))]
compile_error!("tokio is not deterministic without --cfg tokio_unstable: run this as `cargo sim`");

mod audit;
mod disk;
mod faults;
mod host;
mod inflict;
mod lockstep;
mod network;
mod network_faults;
mod operator;
mod suite;
mod trace;
mod workload;
mod world;

use std::process::ExitCode;

use clap::Parser;
use tracing::Level;

use crate::lockstep::Lockstep;
use crate::trace::Trace;
use crate::world::Options;

/// Runs Counterfoil's nodes in simulated time.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo sim")]
pub struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// How long clients work and faults come in each, in simulated seconds.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Runs this seed alone, and tells what happens.
    #[arg(long)]
    seed: Option<u64>,
    /// Processes at a time; as many as there are processors when left out.
    #[arg(long)]
    jobs: Option<usize>,
    /// A planted mistake to run with, or `all` for the table of docs/PLANTED.md.
    #[arg(long)]
    planted: Option<String>,
    /// Says everything that the nodes log, with --seed.
    #[arg(long)]
    verbose: bool,
    /// Takes the time of every message down too, as the check of determinism does.
    #[arg(long, hide = true)]
    messages: bool,
    /// Runs on this processor alone.
    #[arg(long, hide = true)]
    core: Option<usize>,
    /// Says nothing but the result, for the process that runs all seeds.
    #[arg(long, hide = true)]
    quiet: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => one(&arguments, seed),
        None => suite::run(&arguments),
    }
}

/// Runs on one processor alone: threads that take turns are faster so.
fn stay_on(core: usize) {
    let mut cores = nix::sched::CpuSet::new();
    // It is for speed alone: elsewhere it runs as well.
    if cores.set(core).is_ok() {
        let _ = nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cores);
    }
}

/// A panic on the simulation's own thread is a node's, and ends the run; to unwind through a runtime
/// that is in use only makes more of them. On other threads the product may expect it, of sled's.
fn end_at_panic() {
    let simulation = std::thread::current().id();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == simulation {
            eprintln!("{:>7} {panic}", lockstep::elapsed_ms());
            std::process::exit(101);
        }
        tracing::info!("{panic}");
    }));
}

/// Runs one seed.
fn one(arguments: &Arguments, seed: u64) -> ExitCode {
    if let Some(name) = &arguments.planted
        && !suite::plant(name)
    {
        eprintln!("no such mistake is planted in this build: {name}");
        return ExitCode::from(2);
    }
    let print = match (arguments.quiet, arguments.verbose) {
        (true, _) => None,
        (false, false) => Some(Level::INFO),
        (false, true) => Some(Level::DEBUG),
    };
    let trace = Trace::begin(print, arguments.messages);
    end_at_panic();
    if let Some(core) = arguments.core {
        stay_on(core);
    }
    let began = std::time::Instant::now();
    let lockstep = Lockstep::install(seed);
    let options = Options { seed, seconds: arguments.seconds };
    let outcome = world::run(options, &lockstep);
    suite::tell(seed, &outcome, trace.number(), began.elapsed())
}
