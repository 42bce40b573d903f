//! The client API: gRPC services over the replica.
//!
//! A request passes [`access`], is checked and translated by [`convert`], and then either goes
//! through the [`sequencer`] into the log (commands; on a follower [`forward`] sends it to the
//! leader) or is answered from the live state ([`reads`]) and the history ([`history`]). Streams are
//! projections of the journal ([`feed`]). [`errors`] turns every refusal into a status, [`limits`]
//! names every bound. The generated protobuf types are seen by `convert` and the service files only.
//!
//! It may call replication, the store's readers and the core. Nothing here spawns a long-lived task:
//! [`Service`] gives the node the bodies to run.

pub mod access;
mod answers;
mod backup;
mod cluster;
mod commands;
mod connection;
pub mod convert;
pub mod errors;
mod feed;
mod forward;
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
mod health;
mod history;
pub mod limits;
mod market;
pub mod metrics;
mod patrol;
mod progress;
mod query;
mod reads;
pub mod sequencer;
mod session;
mod stream;
mod watch;

pub use limits::ServerConfig;

use std::future::Future;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

use self::access::AccessLayer;
use self::answers::Answers;
use self::backup::Backups;
use self::cluster::Cluster;
use self::commands::Commands;
use self::forward::Forwarder;
use self::history::History;
use self::market::MarketData;
use self::patrol::Patrol;
use self::query::Queries;
use self::reads::Reads;
use self::sequencer::SequencerTask;
use self::watch::Events;
use crate::net::Listener;
use crate::proto::v1 as pb;
use crate::replication::backup::Keeper;
use crate::replication::{FaultCell, Replica};
use crate::store::engine::Readers;
use crate::store::identity::ClusterId;

/// What the service is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The cluster.
    pub cluster: ClusterId,
    /// This node's part in it.
    pub replica: Replica,
    /// Who cares for the backups, where there is a target.
    pub keeper: Option<Keeper>,
    /// Journal and index.
    pub readers: Readers,
    /// Where a fault of the disk is told.
    pub faults: FaultCell,
    /// The limits.
    pub config: ServerConfig,
}

/// The service of one node, ready to be run: [`Self::sequencer`] and [`Self::health`] as tasks,
/// [`Self::server`] with a listener.
#[derive(Debug)]
pub struct Service {
    /// The sequencer's task.
    pub sequencer: SequencerTask,
    /// The health report.
    pub health: HealthTask,
    /// The services.
    pub server: Server,
}

/// Keeps the health that is told in step with who leads.
#[derive(Debug)]
pub struct HealthTask {
    reporter: HealthReporter,
    replica: Replica,
}

impl HealthTask {
    /// Runs until the replica stops.
    pub async fn run(self) {
        health::report_health(self.reporter, self.replica.leadership()).await;
    }
}

/// The services and what they are served with.
#[derive(Debug)]
pub struct Server {
    routes: Routes,
    reporter: HealthReporter,
    cluster: ClusterId,
    config: Arc<ServerConfig>,
    stopping: CancellationToken,
}

/// Why the service ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The transport failed.
    #[error("the client service failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The descriptors that the build made cannot be read.
    #[error("the API's descriptors cannot be read: {0}")]
    Descriptors(#[from] tonic_reflection::server::Error),
}

impl Service {
    /// Puts the services together.
    ///
    /// # Errors
    /// When the API's descriptors cannot be read.
    pub fn new(parts: Parts) -> Result<Self, ServeError> {
        let Parts { cluster, replica, keeper, readers, faults, config } = parts;
        let config = Arc::new(config);
        let (handle, task) = sequencer::sequencer(&replica, &config.sequencer);
        let history = History::new(readers, config.query_reads_max, faults);
        let reads = Reads::new(&replica, config.read_timeout, config.leader_wait);
        let commands = Commands {
            sequencer: handle,
            forwarder: Forwarder::new(&replica, config.clone()),
            answers: Answers::new(history.apart(config.answer_reads_max), reads.clone()),
            config: config.clone(),
        };
        let (reporter, health_service) = tonic_health::server::health_reporter();
        let mut routes = Routes::new(health_service);
        routes = add_reflection(routes)?;
        let (request_max, response_max) = (config.request_bytes_max, config.response_bytes_max);
        macro_rules! add {
            ($server:ty, $service:expr) => {
                let service = <$server>::new($service);
                let service = service.max_decoding_message_size(request_max).max_encoding_message_size(response_max);
                routes = routes.add_service(service);
            };
        }
        let streamed = history.apart(config.stream_reads_max);
        let queries = Queries::new(reads.clone(), history);
        let market = MarketData::new(reads.clone(), streamed.clone(), config.clone());
        let events = Events::new(reads.clone(), streamed, config.clone());
        add!(pb::command_service_server::CommandServiceServer<_>, commands);
        add!(pb::query_service_server::QueryServiceServer<_>, queries.clone());
        add!(pb::production_service_server::ProductionServiceServer<_>, queries);
        add!(pb::market_data_service_server::MarketDataServiceServer<_>, market);
        add!(pb::event_service_server::EventServiceServer<_>, events);
        add!(pb::cluster_service_server::ClusterServiceServer<_>, Cluster::new(cluster, replica.clone(), reads));
        add!(pb::backup_service_server::BackupServiceServer<_>, Backups::new(keeper));
        let stopping = CancellationToken::new();
        let server = Server { routes, reporter: reporter.clone(), cluster, config, stopping };
        Ok(Self { sequencer: task, health: HealthTask { reporter, replica }, server })
    }
}

fn add_reflection(routes: Routes) -> Result<Routes, ServeError> {
    let describe = || {
        let mut builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(crate::proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        for service in health::SERVICES {
            builder = builder.with_service_name(*service);
        }
        builder
    };
    Ok(routes.add_service(describe().build_v1()?).add_service(describe().build_v1alpha()?))
}

impl Server {
    /// Serves until `shutdown` completes: then says NOT_SERVING, takes no more connections, ends the
    /// streams, and gives calls their grace.
    ///
    /// # Errors
    /// When the transport fails.
    pub async fn serve<L: Listener>(self, listener: L, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { routes, reporter, cluster, config, stopping } = self;
        let patrol = Patrol::default();
        let layer = AccessLayer::new(cluster, &config, stopping.clone(), patrol.clone());
        let incoming = connection::incoming(listener, config.connections_max);
        let told = stopping.clone();
        let signal = async move {
            shutdown.await;
            health::tell(&reporter, tonic_health::ServingStatus::NotServing).await;
            told.cancel();
        };
        let serving = transport(&config).layer(layer).add_routes(routes).serve_with_incoming_shutdown(incoming, signal);
        let grace = async {
            stopping.cancelled().await;
            tokio::time::sleep(config.shutdown_grace).await;
        };
        tokio::select! {
            served = serving => Ok(served?),
            () = grace => Ok(()),
            () = patrol.walk() => Ok(()),
        }
    }
}

/// The transport with every limit set that it leaves open by default.
fn transport(config: &ServerConfig) -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .max_concurrent_streams(config.streams_per_connection_max)
        .initial_stream_window_size(config.stream_window_bytes)
        .initial_connection_window_size(config.connection_window_bytes)
        .max_frame_size(config.frame_bytes_max)
        .http2_max_header_list_size(config.header_bytes_max)
        .http2_max_pending_accept_reset_streams(Some(config.pending_reset_streams_max))
        .http2_max_local_error_reset_streams(Some(config.pending_reset_streams_max))
        .http2_keepalive_interval(Some(config.keepalive_interval))
        .http2_keepalive_timeout(Some(config.keepalive_timeout))
        .accept_http1(false)
}
