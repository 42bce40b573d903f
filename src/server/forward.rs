//! Sends commands that reached a follower on to the leader: one hop, never more.
//!
//! A forwarded request is marked, and a node that does not lead refuses a marked one. When the
//! leader changes while an answer is awaited, the caller is told at once instead of after a
//! time-out; sending the commands again is safe.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use super::errors::{Refusal, not_leader};
use super::limits::ServerConfig;
use crate::net::Dial;
use crate::proto::v1 as pb;
use crate::proto::v1::command_service_client::CommandServiceClient;
use crate::replication::{Leadership, Node, NodeId, Replica};

/// The request metadata that marks a forwarded request.
pub const FORWARDED_METADATA: &str = "counterfoil-forwarded";

/// Between two calls to a leader that refused, unless another one is known sooner.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// The command service of another node.
pub type Client = CommandServiceClient<Channel>;

/// The way to the leader. Cheap to clone.
#[derive(Clone)]
pub struct Forwarder {
    me: NodeId,
    leadership: watch::Receiver<Leadership>,
    /// The connection to the endpoint that led last.
    connection: Arc<Mutex<Option<(String, Client)>>>,
    calls: Arc<Semaphore>,
    config: Arc<ServerConfig>,
    dial: Dial,
}

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarder").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Forwarder {
    /// A way from this replica to whoever leads.
    #[must_use]
    pub fn new(replica: &Replica, config: Arc<ServerConfig>) -> Self {
        let (me, leadership) = (replica.status().node, replica.leadership());
        let calls = Arc::new(Semaphore::new(config.forward.calls_max));
        Self { me, leadership, connection: Arc::default(), calls, config, dial: replica.dial().clone() }
    }

    /// Whether this node leads and takes commands itself.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leadership.borrow().serving
    }

    /// Whether a request was forwarded already.
    #[must_use]
    pub fn is_forwarded<T>(request: &Request<T>) -> bool {
        request.metadata().contains_key(FORWARDED_METADATA)
    }

    /// Calls the leader, within `deadline`.
    ///
    /// # Errors
    /// The leader's own refusal, or why there is no answer.
    pub async fn call<T, R>(
        &self,
        message: T,
        deadline: Duration,
        call: impl AsyncFnOnce(Client, Request<T>) -> Result<R, Status>,
    ) -> Result<R, Status> {
        let _place = self.calls.try_acquire().map_err(|_| Refusal::Overloaded("forwarded calls"))?;
        let mut leadership = self.leadership.clone();
        let leader = leadership.borrow_and_update().leader.clone();
        let (leader, client) = self.client(leader)?;
        let mut request = Request::new(message);
        mark(&mut request);
        request.set_timeout(deadline);
        tokio::select! {
            biased;
            answer = call(client, request) => answer.map_err(explain),
            refusal = changed(&mut leadership, leader) => Err(refusal.into()),
        }
    }

    /// Tries until there is an answer, as long as the refusals say that the leader has died or handed
    /// over: the next one is known soon, and commands take effect once. `attempt` gets the time left.
    ///
    /// # Errors
    /// The last refusal.
    pub async fn over_failover<'a, R>(
        &self,
        deadline: Duration,
        attempt: impl Fn(Duration) -> BoxFuture<'a, Result<R, Status>>,
    ) -> Result<R, Status> {
        let started = Instant::now();
        let patience = self.config.forward.failover_patience.min(deadline);
        loop {
            let mut leadership = self.leadership.clone();
            leadership.borrow_and_update();
            let refused = match attempt(deadline.saturating_sub(started.elapsed())).await {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            let left = patience.saturating_sub(started.elapsed());
            if left.is_zero() || !has_moved(&refused) {
                return Err(refused);
            }
            // Whoever leads may not know it yet, so that there may be no news.
            if let Ok(Err(_)) = timeout(left.min(RETRY_PAUSE), leadership.changed()).await {
                return Err(refused);
            }
        }
    }

    /// Passes a whole session on to the leader: its requests there, its answers back. It ends when the
    /// leader changes: one that hangs, or hears of nobody, would hold it for as long as its connection lasts.
    ///
    /// # Errors
    /// The leader's own refusal, or why it cannot be asked.
    pub async fn session(
        &self,
        requests: impl Stream<Item = pb::SessionRequest> + Send + 'static,
    ) -> Result<impl Stream<Item = Result<pb::SessionResponse, Status>> + Send + 'static, Status> {
        let mut leadership = self.leadership.clone();
        let leader = leadership.borrow_and_update().leader.clone();
        let (leader, mut client) = self.client(leader)?;
        let mut onward = Request::new(requests);
        mark(&mut onward);
        let answers = tokio::select! {
            biased;
            answers = client.session(onward) => answers.map_err(explain)?.into_inner(),
            refusal = changed(&mut leadership, leader) => return Err(refusal.into()),
        };
        let gone = changed_from(leadership, leader).shared();
        let why = gone.clone();
        let answers = answers.map(|answer| answer.map_err(explain)).take_until(gone);
        // What ends the answers otherwise leaves nobody to be told.
        let last = async move { why.now_or_never().map(|refusal| Err(Status::from(refusal))) };
        Ok(answers.chain(futures::stream::once(last).filter_map(std::future::ready)))
    }

    fn client(&self, leader: Option<(NodeId, Node)>) -> Result<(NodeId, Client), Refusal> {
        let Some((id, node)) = leader.filter(|(_, node)| !node.client.is_empty()) else {
            return Err(not_leader(None));
        };
        if id == self.me {
            // It leads in name only: a majority has not been heard of for too long.
            return Err(Refusal::NoMajority);
        }
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((endpoint, client)) = connection.as_ref()
            && *endpoint == node.client
        {
            return Ok((id, client.clone()));
        }
        let client = self.connect(&node.client)?;
        *connection = Some((node.client, client.clone()));
        Ok((id, client))
    }

    fn connect(&self, endpoint: &str) -> Result<Client, Refusal> {
        let config = &self.config;
        let uri = format!("http://{endpoint}");
        let endpoint = Endpoint::from_shared(uri).map_err(|error| Refusal::LeaderUnreachable(error.to_string()))?;
        let endpoint = endpoint
            .connect_timeout(config.forward.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(config.keepalive_interval)
            .keep_alive_timeout(config.keepalive_timeout)
            .initial_stream_window_size(config.stream_window_bytes)
            .initial_connection_window_size(config.connection_window_bytes);
        Ok(Client::new((self.dial)(endpoint))
            .max_decoding_message_size(config.response_bytes_max)
            .max_encoding_message_size(config.response_bytes_max))
    }
}

/// Whether a refusal says that another node leads, or soon will.
fn has_moved(refused: &Status) -> bool {
    let details = refused.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    matches!(reason, Some("NOT_LEADER" | "LEADER_UNREACHABLE"))
}

/// Marks a request as forwarded.
pub fn mark<T>(request: &mut Request<T>) {
    request.metadata_mut().insert(FORWARDED_METADATA, tonic::metadata::MetadataValue::from_static("1"));
}

/// The leader's refusals carry details; a status without any is the connection's.
#[must_use]
pub fn explain(status: Status) -> Status {
    if status.details().is_empty() {
        return Refusal::LeaderUnreachable(status.message().to_owned()).into();
    }
    status
}

async fn changed_from(mut leadership: watch::Receiver<Leadership>, from: NodeId) -> Refusal {
    changed(&mut leadership, from).await
}

/// Waits until somebody else leads, or nobody.
async fn changed(leadership: &mut watch::Receiver<Leadership>, from: NodeId) -> Refusal {
    let other = |now: &Leadership| now.leader.as_ref().is_none_or(|(id, _)| *id != from);
    match leadership.wait_for(other).await {
        Ok(now) => not_leader(now.leader.as_ref()),
        Err(_) => Refusal::ShuttingDown,
    }
}
