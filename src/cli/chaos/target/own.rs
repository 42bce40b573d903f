//! A cluster of the drill's own: processes of this binary, and where the network is to fail, a proxy
//! before each of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::task::JoinSet;

use super::{Act, Member, Network};
use crate::cli::CliError;
use crate::cli::args::ConfigSource;
use crate::cli::chaos::proxy::{self, Links};
use crate::cli::process::{signal_child, start_node};
use crate::config::{Config, MemberConfig};
use crate::net;

/// How long a node may take to stop when it is told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Ports are looked for from here on, below those that outgoing connections are given.
const FIRST_PORT: u16 = 21_000;
/// How many.
const PORTS: u16 = 10_000;
/// Lines of a node's log that are shown.
const LOG_LINES: usize = 15;

/// What the cluster shall be like.
#[derive(Debug, Clone)]
pub struct OwnOptions {
    /// How many nodes.
    pub nodes: u16,
    /// Where their data is kept; a folder that is deleted afterwards when it is `None`.
    pub dir: Option<PathBuf>,
    /// Their configuration, all but who and where they are.
    pub source: ConfigSource,
    /// A proxy stands before each node.
    pub is_proxied: bool,
}

#[derive(Debug)]
struct Node {
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

/// The cluster. Dropping it kills its nodes.
#[derive(Debug)]
pub struct OwnCluster {
    members: Vec<Member>,
    nodes: Vec<Node>,
    links: Links,
    is_proxied: bool,
    _proxies: JoinSet<()>,
    _folder: Option<tempfile::TempDir>,
}

/// Where a node listens, and where others find it.
struct Place {
    listen: SocketAddr,
    found_at: SocketAddr,
}

impl OwnCluster {
    /// Writes the configurations and starts every node.
    pub async fn start(options: &OwnOptions) -> Result<Self, CliError> {
        let folder = match &options.dir {
            Some(_) => None,
            None => Some(tempfile::tempdir().map_err(CliError::Start)?),
        };
        let given = options.dir.as_deref().or(folder.as_ref().map(tempfile::TempDir::path));
        let dir = given.unwrap_or(Path::new(".")).to_owned();
        std::fs::create_dir_all(&dir).map_err(|source| CliError::File { path: dir.clone(), source })?;
        if dir.join("node-1.toml").exists() {
            let reason = format!("{} holds a cluster already; the drill needs a new one", dir.display());
            return Err(CliError::Usage { option: "--dir", reason });
        }
        let (links, mut proxies, mut ports) = (Links::default(), JoinSet::new(), Ports::default());
        let mut places = Vec::new();
        for id in 1..=u64::from(options.nodes) {
            let mut place = async || -> Result<Place, CliError> {
                let listen = ports.next()?;
                if !options.is_proxied {
                    return Ok(Place { listen, found_at: listen });
                }
                let listener = TcpListener::bind("127.0.0.1:0").await.map_err(CliError::Start)?;
                let found_at = listener.local_addr().map_err(CliError::Start)?;
                proxies.spawn(proxy::serve(listener, id, listen, links.clone()));
                Ok(Place { listen, found_at })
            };
            places.push((id, place().await?, place().await?));
        }
        let base = options.source.load()?;
        let members: Vec<MemberConfig> = places
            .iter()
            .map(|(id, client, raft)| MemberConfig {
                id: *id,
                client_endpoint: client.found_at.to_string(),
                raft_endpoint: raft.found_at.to_string(),
            })
            .collect();
        let mut cluster = Self {
            members: members.iter().map(|m| Member { id: m.id, endpoint: m.client_endpoint.clone() }).collect(),
            nodes: Vec::new(),
            links,
            is_proxied: options.is_proxied,
            _proxies: proxies,
            _folder: folder,
        };
        for (place, (id, client, raft)) in places.iter().enumerate() {
            let mut config: Config = base.clone();
            config.node.id = *id;
            config.node.data_dir = dir.join(format!("node-{id}"));
            (config.node.client_listen, config.node.raft_listen) = (client.listen, raft.listen);
            config.cluster.name = "chaos".to_owned();
            config.cluster.members.clone_from(&members);
            let path = dir.join(format!("node-{id}.toml"));
            std::fs::write(&path, config.to_toml()).map_err(|source| CliError::File { path: path.clone(), source })?;
            let log = dir.join(format!("node-{id}.log"));
            cluster.nodes.push(Node { config: path, log, child: None });
            cluster.start_node(place)?;
        }
        Ok(cluster)
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub fn can(&self, act: Act) -> bool {
        self.is_proxied || !matches!(act, Act::Network(_) | Act::Heal)
    }

    fn start_node(&mut self, place: usize) -> Result<(), CliError> {
        let node = &mut self.nodes[place];
        if node.child.is_some() {
            return Ok(());
        }
        let child = start_node(&node.config, &node.log)?;
        self.links.runs(child.id().unwrap_or_default(), self.members[place].id);
        node.child = Some(child);
        Ok(())
    }

    pub async fn act(&mut self, place: usize, act: Act) -> Result<(), CliError> {
        let id = self.members[place].id;
        match act {
            Act::Kill => self.end(place, Signal::SIGKILL).await,
            Act::Terminate => self.end(place, Signal::SIGTERM).await,
            Act::Start => self.start_node(place),
            Act::Pause => self.signal(place, Signal::SIGSTOP),
            Act::Resume => self.signal(place, Signal::SIGCONT),
            Act::Network(network) => {
                for other in self.members.iter().map(|member| member.id).filter(|other| *other != id) {
                    self.spoil(id, other, network);
                }
                Ok(())
            }
            Act::Heal => {
                self.links.heal();
                Ok(())
            }
        }
    }

    fn spoil(&self, id: u64, other: u64, network: Network) {
        let out = |change: fn(&mut proxy::Rule)| self.links.change(id, other, change);
        let back = |change: fn(&mut proxy::Rule)| self.links.change(other, id, change);
        match network {
            Network::Isolated => {
                out(|rule| rule.cut = true);
                back(|rule| rule.cut = true);
            }
            Network::Mute => out(|rule| rule.cut = true),
            Network::Deaf => back(|rule| rule.cut = true),
            Network::Delayed(delay) => {
                self.links.change(id, other, |rule| rule.delay = delay);
                self.links.change(other, id, |rule| rule.delay = delay);
            }
            Network::Slow(rate) => self.links.change(id, other, |rule| rule.bytes_per_second = Some(rate)),
            Network::Broken => {
                out(|rule| rule.breaks += 1);
                back(|rule| rule.breaks += 1);
            }
        }
    }

    fn signal(&self, place: usize, signal: Signal) -> Result<(), CliError> {
        let child = self.nodes[place].child.as_ref();
        let child = child.ok_or_else(|| CliError::Node(format!("node {} does not run", self.members[place].id)))?;
        signal_child(child, signal);
        Ok(())
    }

    /// Ends a process and waits until it has ended. One that ended before by itself is a failure.
    async fn end(&mut self, place: usize, signal: Signal) -> Result<(), CliError> {
        let id = self.members[place].id;
        let gone = || CliError::Node(format!("node {id} has ended by itself"));
        let mut child = self.nodes[place].child.take().ok_or_else(gone)?;
        if child.try_wait().map_err(CliError::Start)?.is_some() {
            return Err(gone());
        }
        signal_child(&child, signal);
        match tokio::time::timeout(STOP_TIMEOUT, child.wait()).await {
            Ok(Ok(status)) if signal == Signal::SIGTERM && !status.success() => {
                Err(CliError::Node(format!("node {id} was told to stop and ended badly: {status}")))
            }
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(CliError::Start(error)),
            Err(_) => Err(CliError::Node(format!("node {id} did not end within {STOP_TIMEOUT:?}"))),
        }
    }

    /// Stops every node.
    pub async fn stop(&mut self) {
        self.links.heal();
        for node in &self.nodes {
            if let Some(child) = &node.child {
                signal_child(child, Signal::SIGCONT);
                signal_child(child, Signal::SIGTERM);
            }
        }
        for child in self.nodes.iter_mut().filter_map(|node| node.child.as_mut()) {
            if tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
                // It is a child of ours and not waited for yet, so that it can be killed.
                let _ = child.kill().await;
            }
        }
    }

    /// The last lines of every node's log.
    pub fn logs(&self) -> String {
        let tail = |node: &Node| {
            let text = std::fs::read_to_string(&node.log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            format!("--- {}\n{last}\n", node.log.display())
        };
        self.nodes.iter().map(tail).collect()
    }
}

/// Ports that are free now, each given once.
#[derive(Debug)]
struct Ports {
    next: u16,
    tried: u16,
}

impl Default for Ports {
    fn default() -> Self {
        // Two drills at once begin at different places.
        Self { next: (std::process::id() % 900) as u16 * 10, tried: 0 }
    }
}

impl Ports {
    fn next(&mut self) -> Result<SocketAddr, CliError> {
        loop {
            let address = SocketAddr::from(([127, 0, 0, 1], FIRST_PORT + self.next % PORTS));
            (self.next, self.tried) = (self.next + 1, self.tried + 1);
            match net::probe(address) {
                Ok(()) => return Ok(address),
                Err(error) if self.tried >= PORTS => return Err(CliError::Start(error)),
                Err(_) => {}
            }
        }
    }
}
