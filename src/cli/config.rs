//! `counterfoil config`: checks or shows what a node would be told.

use std::io::Write as _;
use std::path::PathBuf;

use super::CliError;
use super::args::load_config;

#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Say whether a configuration is good, or which key is not
    Check(Source),
    /// Print every key with the value that counts
    Show(Source),
}

#[derive(Debug, clap::Args)]
pub struct Source {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A key, such as raft.heartbeat_ms=50; comes before file and environment
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

pub fn run(args: &Args) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match args {
        Args::Check(source) => {
            load_config(source.config.as_deref(), &source.set)?;
            writeln!(out, "the configuration is good")?;
        }
        Args::Show(source) => write!(out, "{}", load_config(source.config.as_deref(), &source.set)?.to_toml())?,
    }
    Ok(())
}
