//! Options that several subcommands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::CliError;
use crate::client::{Client, ClientOptions, DEFAULT_ENDPOINTS};
use crate::config::Config;

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum Output {
    /// Tables, for people
    #[default]
    Table,
    /// JSON, for programs: integers in the smallest unit
    Json,
}

/// Which cluster.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// Nodes to ask, separated by commas; one is enough to find the others [default: those of `dev`]
    #[arg(long, global = true, value_delimiter = ',', env = "COUNTERFOIL_ENDPOINT", value_name = "URL")]
    pub endpoint: Vec<String>,
    /// How long to try, in seconds
    #[arg(long, global = true, default_value_t = 15, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
}

impl Connection {
    /// A client of that cluster.
    pub fn client(&self) -> Result<Client, CliError> {
        let options = ClientOptions { deadline: Duration::from_secs(self.timeout), ..ClientOptions::default() };
        let client = if self.endpoint.is_empty() {
            Client::new(&DEFAULT_ENDPOINTS, options)
        } else {
            Client::new(&self.endpoint, options)
        };
        Ok(client?)
    }
}

/// Where a node's configuration comes from.
#[derive(Debug, Clone, clap::Args)]
pub struct ConfigSource {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A key of the configuration, such as raft.heartbeat_ms=50; comes before file and environment
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ConfigSource {
    /// Reads it: file, environment, flags.
    pub fn load(&self) -> Result<Config, CliError> {
        // COUNTERFOIL_ENDPOINT tells clients where to go, and is no key of a node.
        let environment = std::env::vars().filter(|(name, _)| name != "COUNTERFOIL_ENDPOINT");
        Ok(Config::load(self.config.as_deref(), environment, &self.set)?)
    }
}
