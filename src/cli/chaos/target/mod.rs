//! Whom the drill is done to: nodes that can be killed, stopped, started, paused and cut off.

mod commands;
mod compose;
mod dev;
mod own;

use std::time::Duration;

pub use commands::{Commands, Templates};
pub use compose::Compose;
pub use dev::DevFolder;
pub use own::{OwnCluster, OwnOptions};

use crate::cli::CliError;

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number, for people: a node's id where that is known.
    pub id: u64,
    /// Where clients reach it.
    pub endpoint: String,
}

/// Something done to one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Its process ends at once.
    Kill,
    /// Its process is told to end, and has ended.
    Terminate,
    /// Its process runs again.
    Start,
    /// Its process stands still.
    Pause,
    /// Its process goes on.
    Resume,
    /// What happens to what it sends to other nodes and gets from them.
    Network(Network),
    /// Its network is as before.
    Heal,
}

/// A fault of the network, of one node against all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Nothing goes out or comes in.
    Isolated,
    /// Nothing goes out.
    Mute,
    /// Nothing comes in.
    Deaf,
    /// Everything takes longer.
    Delayed(Duration),
    /// So many bytes a second go out.
    Slow(u32),
    /// Its connections break, once.
    Broken,
}

/// The nodes, and how they are reached.
#[derive(Debug)]
pub enum Target {
    /// A cluster of this drill's own.
    Own(OwnCluster),
    /// A running `counterfoil dev`.
    Dev(DevFolder),
    /// A docker-compose project.
    Compose(Compose),
    /// Nodes anywhere, by commands of the user's.
    Commands(Commands),
}

impl Target {
    /// The nodes.
    pub fn members(&self) -> &[Member] {
        match self {
            Self::Own(target) => target.members(),
            Self::Dev(target) => target.members(),
            Self::Compose(target) => target.members(),
            Self::Commands(target) => target.members(),
        }
    }

    /// What it is called in the report.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Own(_) => "own",
            Self::Dev(_) => "dev",
            Self::Compose(_) => "compose",
            Self::Commands(_) => "commands",
        }
    }

    /// Whether this can be done here.
    pub fn can(&self, act: Act) -> bool {
        match self {
            Self::Own(target) => target.can(act),
            Self::Dev(_) => !matches!(act, Act::Network(_) | Act::Heal),
            Self::Compose(_) => !matches!(act, Act::Network(network) if network != Network::Isolated),
            Self::Commands(target) => target.can(act),
        }
    }

    /// Does it to the node at this place.
    pub async fn act(&mut self, place: usize, act: Act) -> Result<(), CliError> {
        match self {
            Self::Own(target) => target.act(place, act).await,
            Self::Dev(target) => target.act(place, act),
            Self::Compose(target) => target.act(place, act).await,
            Self::Commands(target) => target.act(place, act).await,
        }
    }

    /// Ends what the drill has started.
    pub async fn stop(&mut self) {
        if let Self::Own(target) = self {
            target.stop().await;
        }
    }

    /// What a node said last, where that is known, for the one who wonders why it died.
    pub fn logs(&self) -> Option<String> {
        match self {
            Self::Own(target) => Some(target.logs()),
            _ => None,
        }
    }
}

/// Runs a program to its end; what it printed.
async fn run_program(mut command: tokio::process::Command) -> Result<String, CliError> {
    let shown = format!("{:?}", command.as_std());
    let output = command.kill_on_drop(true).output().await.map_err(CliError::Start)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(CliError::Check(format!("{shown}: {}: {}", output.status, said.trim())))
}
