//! One host: a node of the product, its disk, its clock, and how it dies.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use counterfoil::config::{Config, MemberConfig};
use counterfoil::node::Node;
use counterfoil::replication::Replica;
use tokio::sync::Notify;

use crate::disk::HostDisk;
use crate::lockstep::Lockstep;
use crate::network::{SimListener, dial};

/// Where a node serves clients.
pub const CLIENT_PORT: u16 = 7400;
/// Where a node serves the other nodes.
pub const RAFT_PORT: u16 = 7500;

/// What a seed chooses about all nodes.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// A snapshot is written after this many log entries.
    pub snapshot_entries: u64,
    /// Log entries kept below it.
    pub kept_entries: u64,
    /// The longest time between two batches of the state, in milliseconds.
    pub state_sync_ms: u64,
}

/// The present life of a node.
#[derive(Debug, Default)]
struct Present {
    alive: Arc<AtomicBool>,
    replica: Option<Replica>,
    /// Why it has ended by itself.
    ended: Option<String>,
    /// Told to stop in order.
    stopping: bool,
}

/// A host of a node, over all its lives.
#[derive(Debug, Clone)]
pub struct Host {
    /// The node's id.
    pub id: u64,
    /// The disk.
    pub disk: HostDisk,
    config: Config,
    clock_off_ms: Arc<AtomicI64>,
    present: Arc<Mutex<Present>>,
    stop: Arc<Notify>,
    transfer: Arc<Notify>,
    lockstep: Arc<Lockstep>,
}

/// The name of a node's host.
pub fn name(id: u64) -> String {
    format!("node{id}")
}

impl Host {
    /// The host of node `id`, with an empty disk; its real files lie in `folder`. The first `founders`
    /// nodes form the cluster; others wait to be added.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(
        id: u64,
        founders: u64,
        seed: u64,
        tuning: &Tuning,
        folder: &Path,
        lockstep: &Arc<Lockstep>,
    ) -> std::io::Result<Self> {
        let data = folder.join(name(id));
        let disk = HostDisk::new(&data, seed.wrapping_mul(31).wrapping_add(id))?;
        let mut config = Config::default();
        config.node.id = id;
        config.node.data_dir = data;
        config.node.client_listen = ([0, 0, 0, 0], CLIENT_PORT).into();
        config.node.raft_listen = ([0, 0, 0, 0], RAFT_PORT).into();
        config.cluster.join = id > founders;
        config.cluster.members = (1..=founders).map(member).collect();
        config.raft.snapshot_entries = tuning.snapshot_entries;
        config.raft.kept_entries = tuning.kept_entries;
        config.store.log_segment_mib = 1;
        config.store.log_cache_mib = 1;
        config.store.state_sync_ms = tuning.state_sync_ms;
        Ok(Self {
            id,
            disk,
            config,
            clock_off_ms: Arc::default(),
            present: Arc::default(),
            stop: Arc::default(),
            transfer: Arc::default(),
            lockstep: Arc::clone(lockstep),
        })
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What runs on the host: one life of the node, from its start until the host crashes.
    pub async fn live(self) -> turmoil::Result {
        self.lockstep.enter(Arc::clone(&self.clock_off_ms));
        let alive = Arc::new(AtomicBool::new(true));
        *self.present() = Present { alive: Arc::clone(&alive), ..Present::default() };
        let disk = self.disk.live(Arc::clone(&alive));
        let (log, snapshots) = (self.disk.names("log"), self.disk.names("snapshots"));
        tracing::debug!(node = self.id, ?log, ?snapshots, "starts");
        let ended = match Node::start_on::<SimListener>(self.config.clone(), disk, dial()).await {
            Err(error) => error.to_string(),
            Ok(node) => {
                self.present().replica = Some(node.replica().clone());
                let ended = loop {
                    tokio::select! {
                        biased;
                        ended = node.stopped() => break ended.err().map_or_else(String::new, |error| error.to_string()),
                        () = self.stop.notified() => break String::new(),
                        () = self.transfer.notified() => self.transfer_leadership(node.replica()).await,
                    }
                };
                if self.present().stopping {
                    node.shutdown().await;
                }
                ended
            }
        };
        // As when a process ends: nothing it has begun goes on.
        alive.store(false, Ordering::Relaxed);
        self.present().ended = Some(ended);
        std::future::pending().await
    }

    /// From here on nothing of the present life reaches the disk.
    pub fn cut_off(&self) {
        let mut present = self.present();
        present.alive.store(false, Ordering::Relaxed);
        present.replica = None;
    }

    /// Tells the node to stop in order.
    pub fn stop(&self) {
        let mut present = self.present();
        if present.replica.is_some() && present.ended.is_none() {
            present.stopping = true;
            self.stop.notify_one();
        }
    }

    /// Asks the node to let another lead.
    pub fn ask_to_transfer(&self) {
        self.transfer.notify_one();
    }

    async fn transfer_leadership(&self, replica: &Replica) {
        match replica.transfer_leadership(None).await {
            Ok(leader) => tracing::info!(node = self.id, leader, "leadership moved"),
            Err(error) => tracing::info!(node = self.id, %error, "leadership did not move"),
        }
    }

    /// Why the present life has ended by itself; taken once. Empty when it was told to stop.
    pub fn take_ended(&self) -> Option<String> {
        self.present().ended.take()
    }

    /// The node's part in the cluster, while it lives.
    pub fn replica(&self) -> Option<Replica> {
        self.present().replica.clone()
    }

    /// Sets the wall clock off by this much.
    pub fn set_clock(&self, off_ms: i64) {
        self.clock_off_ms.store(off_ms, Ordering::Relaxed);
    }
}

fn member(id: u64) -> MemberConfig {
    MemberConfig {
        id,
        client_endpoint: format!("{}:{CLIENT_PORT}", name(id)),
        raft_endpoint: format!("{}:{RAFT_PORT}", name(id)),
    }
}
