//! A cluster of the bench's own, and what its nodes cost.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tempfile::TempDir;

use crate::cli::CliError;
use crate::cli::dev::nodes::{Layout, Nodes};
use crate::cli::dev::wait_until_ready;
use crate::client::{Client, ClientOptions};

const NODES: u16 = 3;
/// The first port; far from those of `dev`, whose cluster may run beside it.
const PORT: u16 = 17_401;
const RAFT_PORT_OFFSET: u16 = 100;
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Ticks of a second in `/proc`: the same on every Linux that there is.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one node cost while it was measured.
#[derive(Debug, Clone, Serialize)]
pub struct NodeCost {
    /// The node.
    pub id: u16,
    /// Seconds of one core.
    pub cpu_seconds: f64,
    /// Bytes that it wrote, to files and to connections. Not Linux's `write_bytes`, which counts for each record of the log
    /// that is synced the whole piece of the page cache that it stands in: hundreds of kilobytes.
    pub written_bytes: u64,
    /// Its memory at the end, in bytes.
    pub memory_bytes: u64,
}

/// Three nodes in a scratch folder. They end, and the folder goes, when it is stopped.
pub struct Spawned {
    nodes: Nodes,
    _folder: TempDir,
}

impl Spawned {
    /// Starts them with a folder in `parent`, and waits until they are ready.
    pub async fn start(parent: Option<&Path>) -> Result<(Self, Client), CliError> {
        let builder = || tempfile::Builder::new().prefix("counterfoil-bench-").rand_bytes(6).to_owned();
        let folder = match parent {
            Some(parent) => builder().tempdir_in(parent),
            None => builder().tempdir(),
        };
        let folder = folder.map_err(CliError::Start)?;
        let dir = folder.path().to_owned();
        let layout = Layout { dir, nodes: NODES, client_port: PORT, raft_offset: RAFT_PORT_OFFSET };
        layout.prepare()?;
        let nodes = Nodes::start(layout, quiet)?;
        let endpoints = nodes.endpoints();
        let client = Client::new(&endpoints, ClientOptions { deadline: READY_TIMEOUT, ..ClientOptions::default() })?;
        let mut spawned = Self { nodes, _folder: folder };
        match wait_until_ready(&client, &endpoints).await {
            Ok(_) => Ok((spawned, client)),
            Err(error) => {
                spawned.stop().await;
                Err(error)
            }
        }
    }

    /// Where clients reach them.
    pub fn endpoints(&self) -> Vec<String> {
        self.nodes.endpoints()
    }

    /// What each node cost up to now.
    pub fn costs(&self) -> Vec<NodeCost> {
        self.nodes.pids().map(|(id, pid)| cost(id, pid)).collect()
    }

    /// Ends them.
    pub async fn stop(&mut self) {
        self.nodes.stop().await;
    }
}

fn quiet(_: &dyn Display) {}

/// Zeroes where the kernel does not tell.
fn cost(id: u16, pid: u32) -> NodeCost {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let stat = read("stat");
    // User and system time are the 14th and 15th field; the second, a name, may hold blanks.
    let ticks = stat.rsplit(')').next().map_or(0.0, |rest| {
        rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum()
    });
    let field = |text: &str, name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
    };
    NodeCost {
        id,
        cpu_seconds: ticks / TICKS_PER_SECOND,
        written_bytes: field(&read("io"), "wchar:"),
        memory_bytes: field(&read("status"), "VmRSS:") * 1024,
    }
}

/// What was spent between two looks.
pub fn spent(before: &[NodeCost], after: &[NodeCost]) -> Vec<NodeCost> {
    let pairs = before.iter().zip(after);
    pairs
        .map(|(before, after)| NodeCost {
            id: after.id,
            cpu_seconds: ((after.cpu_seconds - before.cpu_seconds) * TICKS_PER_SECOND).round() / TICKS_PER_SECOND,
            written_bytes: after.written_bytes.saturating_sub(before.written_bytes),
            memory_bytes: after.memory_bytes,
        })
        .collect()
}
