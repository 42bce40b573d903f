//! The processes of a development cluster: their configurations, their lives, their ends.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::process::Child;

use crate::cli::CliError;
use crate::cli::process::{signal_child, start_node};
use crate::config::{Config, MemberConfig};

/// The metrics' ports come this far above the clients'.
const METRICS_PORT_OFFSET: u16 = 200;
/// How long a node that died stays down.
const RESTART_DELAY: Duration = Duration::from_millis(500);
/// A node that ends sooner than this after its start has something that a restart does not mend.
const SHORT_LIFE: Duration = Duration::from_secs(2);
/// Short lives in a row after which a node is given up.
const SHORT_LIVES_MAX: u32 = 5;
/// How long a node may take to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Holds everything.
    pub dir: PathBuf,
    /// How many nodes.
    pub nodes: u16,
    /// The first node's client port.
    pub client_port: u16,
    /// How far above the client ports Raft's are.
    pub raft_offset: u16,
}

impl Layout {
    fn address(&self, id: u16, offset: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.client_port + offset + id - 1))
    }

    fn endpoint(&self, id: u16) -> String {
        self.address(id, 0).to_string()
    }

    fn config_file(&self, id: u16) -> PathBuf {
        self.dir.join(format!("node-{id}.toml"))
    }

    fn log_file(&self, id: u16) -> PathBuf {
        self.dir.join(format!("node-{id}.log"))
    }

    fn config(&self, id: u16) -> Config {
        let mut config = Config::default();
        config.node.id = u64::from(id);
        config.node.data_dir = self.dir.join(format!("node-{id}"));
        config.node.client_listen = self.address(id, 0);
        config.node.raft_listen = self.address(id, self.raft_offset);
        config.telemetry.metrics_listen = self.address(id, METRICS_PORT_OFFSET).to_string();
        config.cluster.name = "dev".to_owned();
        config.cluster.members = (1..=self.nodes)
            .map(|member| MemberConfig {
                id: u64::from(member),
                client_endpoint: self.endpoint(member),
                raft_endpoint: self.address(member, self.raft_offset).to_string(),
            })
            .collect();
        config
    }

    /// Writes the configurations of nodes that have none. Those that are there are kept, so that
    /// they can be edited; a folder of a cluster of another shape is refused.
    pub fn prepare(&self) -> Result<(), CliError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| CliError::File { path, source }
        };
        std::fs::create_dir_all(&self.dir).map_err(at(&self.dir))?;
        if self.config_file(self.nodes + 1).exists() {
            return Err(CliError::Usage {
                option: "--nodes",
                reason: format!("{} holds a cluster of more nodes", self.dir.display()),
            });
        }
        for id in 1..=self.nodes {
            let (path, config) = (self.config_file(id), self.config(id));
            if !path.exists() {
                std::fs::write(&path, config.to_toml()).map_err(at(&path))?;
                continue;
            }
            let kept = Config::load(Some(&path), [], &[])?;
            if kept.cluster.members != config.cluster.members {
                let reason =
                    format!("{} holds a cluster of other nodes or ports: {}", self.dir.display(), path.display());
                return Err(CliError::Usage { option: "--dir", reason });
            }
        }
        Ok(())
    }
}

struct Node {
    id: u16,
    child: Child,
    started: Instant,
    short_lives: u32,
}

/// Where is said what happens to the nodes.
type Say = fn(&dyn std::fmt::Display);

/// The running nodes.
pub struct Nodes {
    layout: Layout,
    say: Say,
    nodes: Vec<Node>,
}

impl Nodes {
    /// Starts every node.
    pub fn start(layout: Layout, say: Say) -> Result<Self, CliError> {
        let mut nodes = Self { nodes: Vec::new(), layout, say };
        for id in 1..=nodes.layout.nodes {
            let child = nodes.spawn(id)?;
            nodes.nodes.push(Node { id, child, started: Instant::now(), short_lives: 0 });
        }
        Ok(nodes)
    }

    /// Where clients reach them.
    pub fn endpoints(&self) -> Vec<String> {
        (1..=self.layout.nodes).map(|id| self.layout.endpoint(id)).collect()
    }

    /// The nodes' process ids.
    pub fn pids(&self) -> impl Iterator<Item = (u16, u32)> {
        self.nodes.iter().filter_map(|node| Some((node.id, node.child.id()?)))
    }

    fn spawn(&self, id: u16) -> Result<Child, CliError> {
        let path = self.layout.log_file(id);
        let child = start_node(&self.layout.config_file(id), &path)?;
        let pid = child.id().unwrap_or_default();
        let (clients, path) = (self.layout.endpoint(id), path.display());
        (self.say)(&format_args!("node {id}: pid {pid}, clients at {clients}, log in {path}"));
        Ok(child)
    }

    /// Starts nodes again that died. Ends only when one cannot be kept alive.
    pub async fn supervise(&mut self) -> Result<(), CliError> {
        loop {
            let (place, how) = first_to_end(&mut self.nodes).await;
            let node = &mut self.nodes[place];
            let id = node.id;
            node.short_lives = if node.started.elapsed() < SHORT_LIFE { node.short_lives + 1 } else { 0 };
            if node.short_lives >= SHORT_LIVES_MAX {
                let log = self.layout.log_file(id);
                return Err(CliError::Node(format!("node {id} does not stay up ({how}): {}", last_line(&log))));
            }
            (self.say)(&format_args!("node {id}: ended ({how}), starting it again"));
            tokio::time::sleep(RESTART_DELAY).await;
            let child = self.spawn(id)?;
            let node = &mut self.nodes[place];
            (node.child, node.started) = (child, Instant::now());
        }
    }

    /// Tells every node to stop, and waits until it has; kills one that takes too long.
    pub async fn stop(&mut self) {
        for node in &self.nodes {
            signal_child(&node.child, Signal::SIGTERM);
        }
        let deadline = tokio::time::Instant::now() + STOP_TIMEOUT;
        for node in &mut self.nodes {
            let id = node.id;
            match tokio::time::timeout_at(deadline, node.child.wait()).await {
                Ok(_) => (self.say)(&format_args!("node {id}: stopped")),
                Err(_) => {
                    (self.say)(&format_args!("node {id}: did not stop within {STOP_TIMEOUT:?}, killing it"));
                    // It is a child of ours and not waited for yet, so that it can be killed.
                    let _ = node.child.kill().await;
                }
            }
        }
    }
}

/// Waits until one of the nodes ends: its place, and how it ended.
async fn first_to_end(nodes: &mut [Node]) -> (usize, String) {
    let ends = nodes.iter_mut().enumerate().map(|(place, node)| {
        Box::pin(async move {
            match node.child.wait().await {
                Ok(status) => (place, status.to_string()),
                Err(error) => (place, error.to_string()),
            }
        })
    });
    futures::future::select_all(ends).await.0
}

/// What a node said last, for the one who wonders why it died.
fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    format!("{line} ({})", log.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(dir: &Path, nodes: u16) -> Layout {
        Layout { dir: dir.to_owned(), nodes, client_port: 7401, raft_offset: 100 }
    }

    #[test]
    fn a_folder_is_picked_up_again_but_not_as_another_cluster() {
        let dir = tempfile::tempdir().expect("a folder");
        layout(dir.path(), 3).prepare().expect("prepared");
        let config = Config::load(Some(&dir.path().join("node-2.toml")), [], &[]).expect("a good configuration");
        assert_eq!(config.node.raft_listen.port(), 7502);
        assert_eq!(config.cluster.members.len(), 3);
        layout(dir.path(), 3).prepare().expect("picked up again");
        for other in
            [layout(dir.path(), 1), layout(dir.path(), 5), Layout { client_port: 8000, ..layout(dir.path(), 3) }]
        {
            assert!(other.prepare().is_err(), "{other:?}");
        }
    }
}
