//! One node, put together: the only place that spawns long-lived threads and tasks.
//!
//! Three OS threads do what blocks or must not be disturbed (log, persister, apply); everything else
//! runs on the async runtime. Whatever ends before it was told to ends the node: [`Node::stopped`]
//! tells which part and why.

mod opening;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;

use self::opening::Store;
use crate::config::{Config, ConfigError};
use crate::machine;
use crate::net::{self, Dial, Listener, dial_tcp};
use crate::replication::backup::{Keeper, KeeperOptions};
use crate::replication::{self, Fault, FaultCell, Peers, Replica, ReplicationConfig, apply_thread};
use crate::server::{self, Parts, ServeError, ServerConfig, Service};
use crate::store::backup::BackupError;
use crate::store::backup::objects::open_vault;
use crate::store::backup::retention::Keep;
use crate::store::engine::Readers;
use crate::store::identity::{ClusterId, DataFolder, Identity};
use crate::store::{Disk, StoreError};

/// Why a node did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A fault of the machine.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start the {name} thread: {source}")]
    Thread {
        /// Which.
        name: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The replication's settings do not fit each other.
    #[error(transparent)]
    Replication(#[from] replication::config::ConfigError),
    /// The service for clients cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The service for the other nodes cannot be served.
    #[error("the service for the other nodes failed: {0}")]
    Raft(#[from] tonic::transport::Error),
    /// The backup target cannot be one.
    #[error("backup.target: {0}")]
    Backup(#[from] BackupError),
    /// The schedule of backups makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A part ended that never should, most likely because it panicked.
    #[error("the {0} ended unexpectedly")]
    Ended(&'static str),
}

impl From<StoreError> for NodeError {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

/// Parts that end at once at most: each tells of its end once.
const PARTS_MAX: usize = 16;

/// How long threads may take to write what they have when the node is told to stop.
const WRITE_OUT_MAX: Duration = Duration::from_secs(30);

/// How long clients and peers may take to get their last answers.
const FINISH_MAX: Duration = Duration::from_secs(1);

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The folder in a data folder in which backups are restored on trial.
const TRIAL: &str = "trial";

/// The task that serves clients.
const CLIENTS: &str = "service for clients";

/// The task that serves the other nodes.
const PEERS: &str = "service for the other nodes";

/// A running node. Dropping it without [`Node::shutdown`] leaves its threads running.
#[derive(Debug)]
pub struct Node {
    client_endpoint: SocketAddr,
    replica: Replica,
    faults: FaultCell,
    parts: Parting,
    keeper: Option<Keeper>,
    ended: tokio::sync::Mutex<mpsc::Receiver<NodeError>>,
    // Held until the end: the folder is ours.
    _folder: DataFolder,
}

/// A task, and what tells of its end.
#[derive(Debug)]
struct Task {
    name: &'static str,
    abort: AbortHandle,
    watch: JoinHandle<()>,
}

/// What runs, and how it is stopped.
#[derive(Debug)]
struct Parting {
    ended: mpsc::Sender<NodeError>,
    tasks: Mutex<Vec<Task>>,
    threads: Mutex<Vec<(&'static str, oneshot::Receiver<()>)>>,
    stop_clients: CancellationToken,
    stop_peers: CancellationToken,
    stopping: CancellationToken,
}

impl Parting {
    fn new() -> (Self, mpsc::Receiver<NodeError>) {
        let (ended, receiver) = mpsc::channel(PARTS_MAX);
        let parts = Self {
            ended,
            tasks: Mutex::default(),
            threads: Mutex::default(),
            stop_clients: CancellationToken::new(),
            stop_peers: CancellationToken::new(),
            stopping: CancellationToken::new(),
        };
        (parts, receiver)
    }

    /// Runs `body` on a thread of its own. Its end is an error unless the node is stopping.
    fn thread<E: Into<NodeError>>(
        &self,
        name: &'static str,
        body: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> Result<(), NodeError> {
        let (done, waits) = oneshot::channel();
        let end = EndOfThread { name, told: false, ended: self.ended.clone(), stopping: self.stopping.clone(), done };
        machine::spawn(name, move || end.tell(body().map_err(Into::into)))
            .map_err(|source| NodeError::Thread { name, source })?;
        self.threads.lock().expect("no part panics with the lock").push((name, waits));
        Ok(())
    }

    /// Runs `body` as a task. Its end is an error unless the node is stopping.
    fn task<E: Into<NodeError>>(&self, name: &'static str, body: impl Future<Output = Result<(), E>> + Send + 'static) {
        let (ended, stopping) = (self.ended.clone(), self.stopping.clone());
        // A task of its own for the body, so that its panic is seen here.
        let body = tokio::spawn(async move { body.await.map_err(Into::into) });
        let abort = body.abort_handle();
        let watch = tokio::spawn(async move {
            let error = match body.await {
                Ok(Err(error)) => error,
                Ok(Ok(())) | Err(_) => NodeError::Ended(name),
            };
            if !stopping.is_cancelled() {
                let _ = ended.send(error).await;
            }
        });
        self.tasks.lock().expect("no part panics with the lock").push(Task { name, abort, watch });
    }

    /// Waits for tasks that were told to end, then ends all of them.
    async fn wait_tasks(&self, told: &[&str], at_most: Duration) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().expect("no part panics with the lock"));
        let (ending, others): (Vec<_>, Vec<_>) = tasks.drain(..).partition(|task| told.contains(&task.name));
        let deadline = tokio::time::Instant::now() + at_most;
        for mut task in ending {
            if tokio::time::timeout_at(deadline, &mut task.watch).await.is_err() {
                task.abort.abort();
                let _ = task.watch.await;
            }
        }
        for task in others {
            task.abort.abort();
            let _ = task.watch.await;
        }
    }

    async fn wait_threads(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().expect("no part panics with the lock"));
        for (name, done) in threads {
            if tokio::time::timeout(WRITE_OUT_MAX, done).await.is_err() {
                tracing::error!(thread = name, "did not end in time; what it had not written is in the log");
            }
        }
    }
}

/// Tells that a thread has ended, also when it panicked.
struct EndOfThread {
    name: &'static str,
    told: bool,
    ended: mpsc::Sender<NodeError>,
    stopping: CancellationToken,
    done: oneshot::Sender<()>,
}

impl EndOfThread {
    fn tell(mut self, result: Result<(), NodeError>) {
        self.told = true;
        if let Err(error) = result {
            let _ = self.ended.try_send(error);
        } else if !self.stopping.is_cancelled() {
            let _ = self.ended.try_send(NodeError::Ended(self.name));
        }
    }
}

impl Drop for EndOfThread {
    fn drop(&mut self) {
        if !self.told {
            let _ = self.ended.try_send(NodeError::Ended(self.name));
        }
        // `done` is dropped with us, which is what its receiver waits for.
        let _ = &self.done;
    }
}

impl Node {
    /// Opens the data folder, recovers what is on disk, and takes part in the cluster. Returns when
    /// clients are served; forming or joining the cluster goes on behind it.
    ///
    /// # Errors
    /// When an address is taken, the folder belongs to someone else, or what is on disk is damaged
    /// beyond what this node can rebuild by itself.
    pub async fn start(config: Config) -> Result<Self, NodeError> {
        Self::start_on::<TcpListener>(config, Disk::real(), dial_tcp()).await
    }

    /// As [`Self::start`], on a disk and a network of the caller's choice.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_on<L: Listener>(config: Config, disk: Disk, dial: Dial) -> Result<Self, NodeError> {
        let clients: L = listen(config.node.client_listen).await?;
        let peers: L = listen(config.node.raft_listen).await?;
        let client_endpoint = clients.local_addr().unwrap_or(config.node.client_listen);
        let metrics = match config.telemetry.metrics_address() {
            Some(address) => Some(listen::<TcpListener>(address).await?),
            None => None,
        };
        let (parts, ended) = Parting::new();
        let faults = FaultCell::default();

        let cluster = cluster_id(&config);
        let replication = ReplicationConfig {
            sync_slow: Duration::from_millis(config.store.sync_slow_ms),
            sync_hung: Duration::from_millis(config.store.sync_hung_ms),
            hold_log: config.backup.is_on(),
            ..config.raft.replication()
        };
        let peers_of = |Identity { cluster, node, disk }| -> Result<Peers, NodeError> {
            Ok(Peers::new(cluster, node.0, disk, replication.clone(), dial.clone(), faults.clone())?)
        };
        let store = opening::open(&config, &disk, cluster, peers_of).await?;
        let Store { folder, log, log_writer, engine, persister, repair } = store;
        let readers = engine.readers();
        let (apply, apply_body) = apply_thread(engine, replication.reads_max, faults.clone());
        parts.thread("log", move || log_writer.run())?;
        parts.thread("persister", move || persister.run())?;
        parts.thread("apply", move || apply_body.run())?;

        let identity = folder.identity.ok_or(NodeError::Ended("recovery"))?;
        let replica = Replica::open(peers_of(identity)?, log, apply, repair).await?;
        let keeper = open_keeper(&config, cluster, &replica, &readers).await?;
        let service = Service::new(Parts {
            cluster,
            replica: replica.clone(),
            keeper: keeper.clone(),
            readers,
            faults: faults.clone(),
            config: server_config(&config),
        })?;
        spawn_replication(&parts, &replica, &config, peers);
        spawn_service(&parts, service, clients);
        if let Some(keeper) = &keeper {
            spawn_keeper(&parts, keeper);
        }
        if let Some(listener) = metrics {
            let (replica, keeper) = (replica.clone(), keeper.clone());
            parts.task("metrics", async move {
                server::metrics::serve(listener, replica, keeper).await;
                Ok::<(), NodeError>(())
            });
        }
        tracing::info!(node = config.node.id, cluster = %config.cluster.name, clients = %client_endpoint, "started");
        Ok(Self {
            client_endpoint,
            replica,
            faults,
            parts,
            keeper,
            ended: tokio::sync::Mutex::new(ended),
            _folder: folder,
        })
    }

    /// Where clients are served.
    #[must_use]
    pub fn client_endpoint(&self) -> SocketAddr {
        self.client_endpoint
    }

    /// Its part in the cluster.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Waits until the node can no longer go on, and says why. It never completes while all is well.
    ///
    /// # Errors
    /// Always: the fault for which the process has to end.
    pub async fn stopped(&self) -> Result<(), NodeError> {
        let mut ended = self.ended.lock().await;
        tokio::select! {
            biased;
            fault = self.faults.wait() => Err(fault.into()),
            error = ended.recv() => Err(error.unwrap_or(NodeError::Ended("node"))),
        }
    }

    /// Moves leadership away, answers what is in flight, writes what is in memory, and ends.
    pub async fn shutdown(self) {
        self.parts.stopping.cancel();
        if let Some(keeper) = &self.keeper {
            keeper.stop();
        }
        self.replica.shutdown().await;
        self.parts.stop_clients.cancel();
        self.parts.wait_threads().await;
        self.parts.stop_peers.cancel();
        self.parts.wait_tasks(&[CLIENTS, PEERS], FINISH_MAX).await;
        tracing::info!("stopped");
    }
}

async fn listen<L: Listener>(address: SocketAddr) -> Result<L, NodeError> {
    L::bind(address).await.map_err(|source| NodeError::Listen { address, source })
}

/// A cluster's identity is its name's digest: whoever is configured with the name is meant.
#[must_use]
pub fn cluster_id(config: &Config) -> ClusterId {
    cluster_id_of(&config.cluster.name)
}

/// The identity of the cluster of this name.
#[must_use]
pub fn cluster_id_of(name: &str) -> ClusterId {
    let digest = blake3::hash(name.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&digest.as_bytes()[..16]);
    ClusterId(u128::from_be_bytes(id))
}

fn spawn_replication<L: Listener>(parts: &Parting, replica: &Replica, config: &Config, listener: L) {
    // Who waits to be added begins nothing.
    let founders = if config.cluster.join { &[][..] } else { &config.cluster.members };
    let members: BTreeMap<u64, replication::Node> = founders
        .iter()
        .map(|member| (member.id, replication::Node::at(&member.raft_endpoint, &member.client_endpoint)))
        .collect();
    let router = replica.service().router();
    let stop = parts.stop_peers.clone().cancelled_owned();
    parts.task(PEERS, async move { router.serve_with_incoming_shutdown(net::incoming(listener), stop).await });
    let replica = replica.clone();
    let watching = replica.clone();
    parts.task("watch over Raft", async move { watching.supervise().await });
    let tending = replica.clone();
    parts.task("care of the membership", async move { tending.tend_membership().await });
    let watching_disk = replica.clone();
    parts.task("watch over the disk", async move { watching_disk.watch_disk().await });
    let attending = replica.clone();
    parts.task("watch over the leader", async move { attending.attend_leader().await });
    let yielding = replica.clone();
    parts.task("giving way without a majority", async move { yielding.give_way().await });
    let comparing = replica.clone();
    parts.task("comparison of digests", async move { comparing.exchange_digests().await });
    // Ends well once the node is part of a cluster, so it is no part that must not end.
    let (ended, stopping) = (parts.ended.clone(), parts.stopping.clone());
    let forming = tokio::spawn(async move {
        if let Err(fault) = replica.bootstrap(&members).await
            && !stopping.is_cancelled()
        {
            let _ = ended.send(fault.into()).await;
        }
    });
    parts.tasks.lock().expect("no part panics with the lock").push(Task {
        name: "forming of the cluster",
        abort: forming.abort_handle(),
        watch: forming,
    });
}

/// Who cares for the backups, if there is a target.
async fn open_keeper(
    config: &Config,
    cluster: ClusterId,
    replica: &Replica,
    readers: &Readers,
) -> Result<Option<Keeper>, NodeError> {
    let backup = &config.backup;
    if !backup.is_on() {
        return Ok(None);
    }
    let opening = backup.clone();
    let opened = machine::blocking(move || {
        open_vault(&opening.target, &opening.options(), opening.key_file(), std::env::vars())
    });
    let vault = opened.await.map_err(|_| NodeError::Ended("opening of the backup target"))??;
    let options = KeeperOptions {
        vault,
        target: backup.target.clone(),
        schedule: backup.schedule()?,
        keep: Keep { full: backup.keep_full as usize, ms: backup.keep_days * DAY_MS },
        bytes_per_second_max: backup.mib_per_second << 20,
        log_bytes_max: backup.log_mib << 20,
        scratch: config.node.data_dir.join(TRIAL),
        trial_state_bytes_max: backup.trial_state_mib << 20,
        disk: Disk::real(),
    };
    Ok(Some(Keeper::new(options, cluster, replica.clone(), readers.clone())))
}

fn spawn_keeper(parts: &Parting, keeper: &Keeper) {
    let looking = keeper.clone();
    parts.task("look at the backups", async move {
        looking.look().await;
        Ok::<(), NodeError>(())
    });
    let working = keeper.clone();
    parts.task("work with backups", async move {
        working.work().await;
        Ok::<(), NodeError>(())
    });
    let holding = keeper.clone();
    parts.task("care of the log", async move { holding.tend_log().await });
}

fn spawn_service<L: Listener>(parts: &Parting, service: Service, listener: L) {
    let Service { sequencer, health, server } = service;
    parts.task("sequencer", async move {
        sequencer.run().await;
        Ok::<(), NodeError>(())
    });
    parts.task("health report", async move {
        health.run().await;
        Ok::<(), NodeError>(())
    });
    let stop = parts.stop_clients.clone().cancelled_owned();
    parts.task(CLIENTS, async move { server.serve(listener, stop).await });
}

fn server_config(config: &Config) -> ServerConfig {
    let server = &config.server;
    let defaults = ServerConfig::default();
    ServerConfig {
        request_bytes_max: server.message_mib << 20,
        streams_per_connection_max: server.streams_per_connection,
        calls_max: server.calls,
        streams_max: server.streams,
        slow_reader_timeout: Duration::from_millis(server.slow_reader_ms),
        call_timeout: Duration::from_millis(server.request_timeout_ms),
        sequencer: server::limits::SequencerConfig {
            queue_commands_max: server.queued_commands,
            window: server.proposals,
            ..defaults.sequencer.clone()
        },
        ..defaults
    }
}
