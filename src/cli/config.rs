//! `counterfoil config`: checks or shows what a node would be told.

use std::io::Write as _;

use super::CliError;
use super::args::ConfigSource;

#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Say whether a configuration is good, or which key is not
    Check(ConfigSource),
    /// Print every key with the value that counts
    Show(ConfigSource),
}

pub fn run(args: &Args) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match args {
        Args::Check(source) => {
            source.load()?;
            writeln!(out, "the configuration is good")?;
        }
        Args::Show(source) => write!(out, "{}", source.load()?.to_toml())?,
    }
    Ok(())
}
