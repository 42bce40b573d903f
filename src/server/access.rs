//! Who asks, and whether they may: the one place that every RPC passes.
//!
//! A layer around all services looks the RPC up in [`RPCS`], refuses what is not listed there or what
//! the caller may not do, counts it against the limits, keeps its deadline, and puts the [`Caller`]
//! into the request. Rights that depend on a request's content (a command that administers) are asked
//! of the same caller by the conversion. Callers are anonymous, and may do everything, until
//! certificates and tokens say who they are: then [`identify`] and [`Caller::check`] change, and
//! nothing else.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http;

use super::connection::HangUp;
use super::errors::{Refusal, of_transport};
use super::limits::ServerConfig;
use super::patrol::{Patrol, Watched};
use crate::machine::Instant;
use crate::store::identity::ClusterId;

/// The request metadata that names the cluster the client means, in hexadecimal.
pub const CLUSTER_METADATA: &str = "counterfoil-cluster-id";

/// What a caller may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Ask whether the service is there, and what it speaks.
    Probe,
    /// Read the ledger, its history and its streams.
    Read,
    /// Move value and trade.
    Trade,
    /// Administer the ledger and the cluster.
    Operate,
}

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Nobody in particular.
    Anonymous,
}

impl Caller {
    /// Whether the caller may.
    ///
    /// # Errors
    /// When it may not.
    pub fn check(&self, permission: Permission) -> Result<(), Refusal> {
        let _ = permission;
        match self {
            Self::Anonymous => Ok(()),
        }
    }

    /// The caller that the layer found.
    ///
    /// # Errors
    /// When the request did not come through it.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, Refusal> {
        request.extensions().get::<Self>().cloned().ok_or(Refusal::NotAllowed("go around the access check"))
    }
}

/// How long an RPC lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One request, one answer, a deadline.
    Call,
    /// A stream, as long as both sides like.
    Stream,
}

/// Every RPC of the client port: what it needs, and how long it lives. The ones that come most often
/// stand first.
pub const RPCS: &[(&str, Permission, Kind)] = &[
    ("/counterfoil.v1.CommandService/Execute", Permission::Trade, Kind::Call),
    ("/counterfoil.v1.CommandService/Submit", Permission::Trade, Kind::Call),
    ("/counterfoil.v1.CommandService/Session", Permission::Trade, Kind::Stream),
    ("/counterfoil.v1.QueryService/GetOrder", Permission::Read, Kind::Call),
    ("/counterfoil.v1.QueryService/GetAccount", Permission::Read, Kind::Call),
    ("/counterfoil.v1.QueryService/GetAsset", Permission::Read, Kind::Call),
    ("/counterfoil.v1.QueryService/ListAssets", Permission::Read, Kind::Call),
    ("/counterfoil.v1.QueryService/GetMarket", Permission::Read, Kind::Call),
    ("/counterfoil.v1.QueryService/ListMarkets", Permission::Read, Kind::Call),
    ("/counterfoil.v1.QueryService/ListAccounts", Permission::Read, Kind::Call),
    ("/counterfoil.v1.QueryService/ListBalances", Permission::Read, Kind::Call),
    ("/counterfoil.v1.QueryService/ListOrders", Permission::Read, Kind::Call),
    ("/counterfoil.v1.QueryService/ListTrades", Permission::Read, Kind::Call),
    ("/counterfoil.v1.QueryService/ListPostings", Permission::Read, Kind::Call),
    ("/counterfoil.v1.QueryService/GetTransfer", Permission::Read, Kind::Call),
    ("/counterfoil.v1.QueryService/GetCommandResult", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/GetPlant", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/ListPlants", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/GetItem", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/ListItems", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/GetBom", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/ListBoms", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/ListWhereUsed", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/ExplodeBom", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/RollUpCost", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/ListStock", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/ListReorder", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/ListLots", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/GetWorkOrder", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/ListWorkOrders", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/TraceLot", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/GetProductionState", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/GetPlan", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/ListPlans", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/GetPurchase", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/ListPurchases", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ProductionService/GetRequirements", Permission::Read, Kind::Call),
    ("/counterfoil.v1.MarketDataService/GetBook", Permission::Read, Kind::Call),
    ("/counterfoil.v1.MarketDataService/GetOrderBook", Permission::Read, Kind::Call),
    ("/counterfoil.v1.MarketDataService/StreamBook", Permission::Read, Kind::Stream),
    ("/counterfoil.v1.MarketDataService/StreamOrderBook", Permission::Read, Kind::Stream),
    ("/counterfoil.v1.MarketDataService/StreamTrades", Permission::Read, Kind::Stream),
    ("/counterfoil.v1.EventService/Watch", Permission::Read, Kind::Stream),
    ("/counterfoil.v1.ClusterService/GetStatus", Permission::Read, Kind::Call),
    ("/counterfoil.v1.ClusterService/TransferLeadership", Permission::Operate, Kind::Call),
    ("/counterfoil.v1.ClusterService/AddMember", Permission::Operate, Kind::Call),
    ("/counterfoil.v1.ClusterService/PromoteMember", Permission::Operate, Kind::Call),
    ("/counterfoil.v1.ClusterService/RemoveMember", Permission::Operate, Kind::Call),
    ("/counterfoil.v1.ClusterService/ReplaceMember", Permission::Operate, Kind::Call),
    ("/counterfoil.v1.ClusterService/SetMemberAddress", Permission::Operate, Kind::Call),
    ("/counterfoil.v1.BackupService/GetBackupStatus", Permission::Read, Kind::Call),
    ("/counterfoil.v1.BackupService/ListBackups", Permission::Operate, Kind::Call),
    ("/counterfoil.v1.BackupService/RunBackup", Permission::Operate, Kind::Call),
    ("/counterfoil.v1.BackupService/CheckBackup", Permission::Operate, Kind::Call),
    ("/grpc.health.v1.Health/Check", Permission::Probe, Kind::Call),
    ("/grpc.health.v1.Health/List", Permission::Probe, Kind::Call),
    ("/grpc.health.v1.Health/Watch", Permission::Probe, Kind::Stream),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Permission::Probe, Kind::Stream),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Permission::Probe, Kind::Stream),
];

/// A place among the streams that may be open. Kept by the stream, given back when it ends.
#[derive(Debug, Clone)]
pub struct StreamPlace {
    _permit: Arc<OwnedSemaphorePermit>,
    stopping: CancellationToken,
    patrol: Patrol,
    hang_up: HangUp,
}

impl StreamPlace {
    /// The place that the layer found for this request.
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    /// Completes when the service stops, and its streams with it.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Has the stream watched: who leaves an answer lying for longer than `limit` loses the connection.
    #[must_use]
    pub fn watched(&self, limit: Duration) -> Watched {
        self.patrol.watch(limit, self.hang_up.clone())
    }
}

/// When a call has to be answered.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline that the layer set for this request.
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Self> {
        request.extensions().get::<Self>().copied()
    }

    /// The time that is left.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// A place among the calls that may be carried out, where one is needed.
type CallPlace = Option<OwnedSemaphorePermit>;

/// The state that all connections share.
#[derive(Debug)]
struct Gate {
    cluster: String,
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    stopping: CancellationToken,
    patrol: Patrol,
    call_timeout: Duration,
}

/// Puts [`Access`] around the services.
#[derive(Debug, Clone)]
pub struct AccessLayer {
    gate: Arc<Gate>,
}

impl AccessLayer {
    /// The layer of this cluster's service; `stopping` ends its streams, `patrol` watches them.
    #[must_use]
    pub fn new(cluster: ClusterId, config: &ServerConfig, stopping: CancellationToken, patrol: Patrol) -> Self {
        let gate = Gate {
            cluster: format!("{:032x}", cluster.0),
            calls: Arc::new(Semaphore::new(config.calls_max)),
            streams: Arc::new(Semaphore::new(config.streams_max)),
            stopping,
            patrol,
            call_timeout: config.call_timeout,
        };
        Self { gate: Arc::new(gate) }
    }
}

impl<S> tower::Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        Access { inner, gate: self.gate.clone() }
    }
}

/// The services behind the access check.
#[derive(Debug, Clone)]
pub struct Access<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S> tower::Service<http::Request<Body>> for Access<S>
where
    S: tower::Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        match self.gate.admit(&mut request) {
            Err(status) => {
                let response = status.into_http();
                Box::pin(std::future::ready(Ok(response)))
            }
            Ok(None) => Box::pin(self.inner.call(request)),
            Ok(Some((permit, deadline))) => {
                let answer = self.inner.call(request);
                Box::pin(async move {
                    let _permit = permit;
                    match tokio::time::timeout(deadline, answer).await {
                        Ok(answer) => answer.map(with_reason),
                        Err(_) => Ok(Status::from(Refusal::DeadlineExceeded).into_http()),
                    }
                })
            }
        }
    }
}

impl Gate {
    /// Checks a request. A call comes back with its place and the time it has. Who asks whether the node is
    /// there needs no place: a node that has much to do is not to be taken for a dead one.
    fn admit(&self, request: &mut http::Request<Body>) -> Result<Option<(CallPlace, Duration)>, Status> {
        let path = request.uri().path();
        let Some((_, permission, kind)) = RPCS.iter().find(|(rpc, ..)| *rpc == path) else {
            return Err(Status::unimplemented(format!("no such method: {path}")));
        };
        self.check_cluster(request.headers())?;
        let caller = identify(request);
        caller.check(*permission)?;
        request.extensions_mut().insert(caller);
        let counts = *permission != Permission::Probe;
        if *kind == Kind::Call {
            let full = |_| Refusal::Overloaded("calls");
            let permit = counts.then(|| self.calls.clone().try_acquire_owned().map_err(full)).transpose()?;
            let asked = request.headers().get("grpc-timeout").and_then(|text| grpc_timeout(text.as_bytes()));
            let time = asked.unwrap_or(Duration::MAX).min(self.call_timeout);
            request.extensions_mut().insert(Deadline(Instant::now() + time));
            return Ok(Some((permit, time)));
        }
        if counts {
            let full = |_| Refusal::Overloaded("streams");
            let permit = Arc::new(self.streams.clone().try_acquire_owned().map_err(full)?);
            let hang_up = request.extensions().get::<HangUp>().cloned().unwrap_or_default();
            let (stopping, patrol) = (self.stopping.clone(), self.patrol.clone());
            request.extensions_mut().insert(StreamPlace { _permit: permit, stopping, patrol, hang_up });
        }
        Ok(None)
    }

    fn check_cluster(&self, headers: &http::HeaderMap) -> Result<(), Refusal> {
        let Some(theirs) = headers.get(CLUSTER_METADATA) else { return Ok(()) };
        if theirs.as_bytes().eq_ignore_ascii_case(self.cluster.as_bytes()) {
            return Ok(());
        }
        let theirs = String::from_utf8_lossy(theirs.as_bytes()).into_owned();
        Err(Refusal::WrongCluster { ours: self.cluster.clone(), theirs })
    }
}

/// Gives the transport's own refusals the reason that every other one carries.
fn with_reason(response: http::Response<Body>) -> http::Response<Body> {
    // Only a refusal has its status in the headers of the answer.
    if !response.headers().contains_key(Status::GRPC_STATUS) {
        return response;
    }
    match Status::from_header_map(response.headers()).as_ref().and_then(of_transport) {
        Some(refusal) => Status::from(refusal).into_http(),
        None => response,
    }
}

/// Who sent this request.
fn identify(_request: &http::Request<Body>) -> Caller {
    Caller::Anonymous
}

/// The value of a `grpc-timeout` header: up to eight digits and a unit.
fn grpc_timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 3_600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_rpc_of_the_client_api_is_classified() {
        let files = FileDescriptorSet::decode(crate::proto::FILE_DESCRIPTOR_SET).expect("the build made it");
        let mut expected = BTreeMap::new();
        for file in files.file.iter().filter(|file| file.package() == "counterfoil.v1") {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let stream = method.server_streaming() || method.client_streaming();
                    expected.insert(path, if stream { Kind::Stream } else { Kind::Call });
                }
            }
        }
        let listed = RPCS.iter().filter(|(path, ..)| path.starts_with("/counterfoil."));
        let listed: BTreeMap<_, _> = listed.map(|(path, _, kind)| ((*path).to_owned(), *kind)).collect();
        assert!(expected.len() > 20, "the descriptors were read");
        assert_eq!(listed, expected);
    }

    #[test]
    fn a_timeout_header_is_read() {
        assert_eq!(grpc_timeout(b"250m"), Some(Duration::from_millis(250)));
        assert_eq!(grpc_timeout(b"3S"), Some(Duration::from_secs(3)));
        for bad in [&b""[..], b"m", b"5", b"5x", b"123456789m", b"-1S"] {
            assert_eq!(grpc_timeout(bad), None);
        }
    }
}
