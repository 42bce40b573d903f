//! The command line: one file or folder per subcommand. May call everything below it.
//!
//! Exit codes: 0 done, 1 failed, 2 bad usage, 3 the ledger refused a command.

mod args;
mod backup;
mod bench;
mod chaos;
mod completions;
mod config;
mod csv;
mod ctl;
mod dates;
mod dev;
mod error;
mod ground;
pub mod json;
mod names;
mod process;
mod random;
mod recover;
pub mod replay;
mod restore;
mod serve;
mod table;
mod verify;
mod works;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use error::CliError;

/// A replicated trading ledger.
#[derive(Debug, Parser)]
#[command(name = "counterfoil", version, about, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a cluster on this machine, with demo assets, accounts and a market
    Dev(dev::Args),
    /// Run one node
    Serve(serve::Args),
    /// Check or show a configuration
    #[command(subcommand)]
    Config(config::Args),
    /// Do everything that the API does
    Ctl(ctl::Args),
    /// Play recorded order flow into a market, and check what the cluster made of it
    Replay(replay::Args),
    /// Drive a cluster, and print throughput and latency
    Bench(bench::Args),
    /// Kill, pause and cut off nodes while clients trade, and say whether anything was lost
    Chaos(Box<chaos::Args>),
    /// Check the data folder of a node that is not running, or a folder of backups
    Verify(verify::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    /// Make one folder that is left the whole of a new cluster, when a majority is gone for ever
    Recover(recover::Args),
    /// Print a shell's completions
    Completions(completions::Args),
}

/// Runs the command line, and says on standard error what went wrong.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Dev(args) => dev::run(args),
        Command::Serve(args) => serve::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Ctl(args) => ctl::run(args),
        Command::Replay(args) => replay::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Chaos(args) => chaos::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Backup(args) => backup::run(args),
        Command::Restore(args) => restore::run(&args),
        Command::Recover(args) => recover::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that has seen enough, such as `head`, is no failure.
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counterfoil: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// The async runtime of a command that is a client.
fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Start)?;
    runtime.block_on(work)
}
