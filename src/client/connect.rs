//! Connections to the nodes, and which of them to ask.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::error::{ClientError, Refusal};
use crate::machine::Instant;
use crate::net::Dial;

/// Where `counterfoil dev` serves clients.
pub const DEFAULT_ENDPOINTS: [&str; 3] = ["http://127.0.0.1:7401", "http://127.0.0.1:7402", "http://127.0.0.1:7403"];

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a quiet connection is asked whether it lives.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How long that answer may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// The first pause after a failed try; it doubles with each one.
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
/// The longest pause between two tries: about as long as an election takes.
const BACKOFF_MAX: Duration = Duration::from_millis(160);
/// How many nodes beyond the given ones a client learns of.
const LEARNED_MAX: usize = 16;
/// The largest message read or written: an order book of one market.
pub(super) const MESSAGE_BYTES_MAX: usize = 128 << 20;

/// How long a client tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientOptions {
    /// How long one call is tried, over all nodes.
    pub deadline: Duration,
    /// How long one node may take for it before another one is asked.
    pub attempt: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(15), attempt: Duration::from_secs(3) }
    }
}

/// The nodes, one of which is asked first.
pub(super) struct Nodes {
    inner: Mutex<Inner>,
    given: usize,
    dial: Dial,
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nodes").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Inner {
    nodes: Vec<(String, Channel)>,
    current: usize,
}

impl Nodes {
    pub(super) fn new<S: AsRef<str>>(endpoints: &[S], dial: Dial) -> Result<Self, ClientError> {
        let nodes = endpoints.iter().map(|endpoint| node(endpoint.as_ref(), &dial)).collect::<Result<Vec<_>, _>>()?;
        if nodes.is_empty() {
            return Err(ClientError::BadEndpoint(String::new()));
        }
        let given = nodes.len();
        Ok(Self { inner: Mutex::new(Inner { nodes, current: 0 }), given, dial })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it holds the lock, and what it guards is whole after every statement.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node to ask now.
    pub(super) fn current(&self) -> (String, Channel) {
        let inner = self.lock();
        inner.nodes[inner.current].clone()
    }

    /// Asks another node from now on, unless someone has moved on from `failed` before.
    pub(super) fn move_on(&self, failed: &str) {
        let mut inner = self.lock();
        if inner.nodes[inner.current].0 == failed {
            inner.current = (inner.current + 1) % inner.nodes.len();
        }
    }

    /// Asks the leader from now on. An endpoint that cannot be one is ignored.
    pub(super) fn follow(&self, leader: &str) {
        let url = url(leader);
        let mut inner = self.lock();
        if let Some(place) = inner.nodes.iter().position(|(endpoint, _)| *endpoint == url) {
            inner.current = place;
        } else if let Ok(learned) = node(leader, &self.dial) {
            if inner.nodes.len() >= self.given + LEARNED_MAX {
                inner.nodes.truncate(self.given);
            }
            inner.nodes.push(learned);
            inner.current = inner.nodes.len() - 1;
        }
    }

    /// After a refusal: whom to ask next. Returns whether it is known who may answer.
    pub(super) fn learn(&self, asked: &str, refusal: &Refusal) -> bool {
        match &refusal.leader {
            Some(leader) if url(leader) != asked => {
                self.follow(leader);
                true
            }
            // The node is well: it is the session that can be used no more.
            _ if refusal.reason == "SESSION_CLOSED" => true,
            _ => {
                self.move_on(asked);
                false
            }
        }
    }
}

/// An endpoint in one form: `127.0.0.1:7401/` is `http://127.0.0.1:7401`.
fn url(endpoint: &str) -> String {
    let endpoint = endpoint.trim();
    let url = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
    url.strip_suffix('/').unwrap_or(&url).to_owned()
}

fn node(endpoint: &str, dial: &Dial) -> Result<(String, Channel), ClientError> {
    let url = url(endpoint);
    let bad = || ClientError::BadEndpoint(endpoint.to_owned());
    let built = Endpoint::from_shared(url.clone()).map_err(|_| bad())?;
    if built.uri().authority().is_none_or(|authority| authority.host().is_empty()) {
        return Err(bad());
    }
    // Whatever has no port, or more than one, is another thing in the wrong place.
    let plain = built.uri().scheme_str() == Some("http") && matches!(built.uri().path(), "" | "/");
    if built.uri().port_u16().is_none_or(|port| port == 0) || !plain || built.uri().query().is_some() {
        return Err(bad());
    }
    let built = built
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    Ok((url, dial(built)))
}

/// Pauses that grow.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { next: BACKOFF_FIRST }
    }

    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(spread(self.next)).await;
        self.next = (self.next * 2).min(BACKOFF_MAX);
    }
}

/// Between half and all of a pause: clients that failed together, since a node died, must not all come
/// back together, nor all just before the next leader is there. Multiples of the golden ratio are as
/// far from one another as can be (Knuth, TAOCP vol. 3, 6.4).
fn spread(pause: Duration) -> Duration {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const GOLDEN: u32 = 0x9E37_79B9;
    let place = NEXT.fetch_add(GOLDEN, Ordering::Relaxed);
    pause / 2 + (pause / 2).mul_f64(f64::from(place) / f64::from(u32::MAX))
}

/// Asks node after node until one answers, one refuses for good, or the deadline passes.
///
/// `call` gets the node's channel and how long it may take.
pub(super) async fn retry<T, F>(
    nodes: &Nodes,
    options: &ClientOptions,
    mut call: impl FnMut(Channel, Duration) -> F,
) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, Status>>,
{
    let started = Instant::now();
    let mut backoff = Backoff::new();
    let mut last = "not asked".to_owned();
    loop {
        let left = options.deadline.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(ClientError::Deadline { waited: options.deadline, last });
        }
        let (endpoint, channel) = nodes.current();
        let patience = options.attempt.min(left);
        let answer = tokio::time::timeout(patience, call(channel, patience)).await;
        let refusal: Refusal = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => status.into(),
            Err(_) => Status::deadline_exceeded(format!("no answer within {patience:?}")).into(),
        };
        if !refusal.is_passing() {
            return Err(ClientError::Refused(refusal));
        }
        last = format!("{endpoint}: {refusal}");
        let knows_leader = nodes.learn(&endpoint, &refusal);
        // Two nodes that name each other must not be asked in a tight loop.
        if !knows_leader || started.elapsed() > Duration::from_millis(100) {
            backoff.pause().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dial_tcp;

    fn quick() -> ClientOptions {
        ClientOptions { deadline: Duration::from_millis(500), attempt: Duration::from_millis(100) }
    }

    #[tokio::test]
    async fn an_endpoint_is_a_url_with_a_host() {
        let bad = [
            "",
            "http://",
            "not a url",
            "garbage",
            "https://a:1",
            "ftp://a:1",
            "a:0",
            "a:70000",
            "a:1/x",
            "a:1?b",
            "a:1:2",
        ];
        for bad in bad {
            let nodes = Nodes::new(&["http://127.0.0.1:7401", bad], dial_tcp());
            assert!(matches!(nodes, Err(ClientError::BadEndpoint(named)) if named == bad), "{bad:?}");
        }
        assert_eq!(
            Nodes::new(&["127.0.0.1:7401/"], dial_tcp()).expect("an endpoint").current().0,
            "http://127.0.0.1:7401"
        );
    }

    #[tokio::test]
    async fn it_follows_the_leader_and_moves_on_from_the_dead() {
        let nodes = Nodes::new(&["http://a:1", "http://b:2"], dial_tcp()).expect("endpoints");
        nodes.move_on("http://a:1");
        nodes.move_on("http://a:1");
        assert_eq!(nodes.current().0, "http://b:2", "moves on once for one failure");
        nodes.follow("c:3");
        assert_eq!(nodes.current().0, "http://c:3", "learns a node it was not given");
        nodes.follow("a:1");
        assert_eq!(nodes.current().0, "http://a:1", "knows a node by another spelling");
        assert_eq!(nodes.lock().nodes.len(), 3);
    }

    #[test]
    fn pauses_are_spread_between_half_and_all() {
        let pauses: Vec<Duration> = (0..16).map(|_| spread(Duration::from_millis(100))).collect();
        assert!(pauses.iter().all(|pause| (50..=100).contains(&pause.as_millis())), "{pauses:?}");
        assert!(pauses.iter().any(|pause| pause.as_millis() < 65) && pauses.iter().any(|pause| pause.as_millis() > 85));
    }

    #[tokio::test]
    async fn what_passes_is_tried_again_and_what_does_not_is_told() {
        let nodes = Nodes::new(&["http://a:1", "http://b:2"], dial_tcp()).expect("endpoints");
        let mut tries = 0;
        let options = quick();
        let answer = retry(&nodes, &options, |_, _| {
            tries += 1;
            let this = tries;
            async move { if this < 3 { Err(Status::unavailable("dead")) } else { Ok(this) } }
        });
        assert_eq!(answer.await, Ok(3));
        let refused: Result<(), _> =
            retry(&nodes, &quick(), |_, _| async { Err(Status::invalid_argument("no")) }).await;
        assert!(matches!(refused, Err(ClientError::Refused(refusal)) if refusal.message == "no"));
        let late: Result<(), _> = retry(&nodes, &quick(), |_, _| std::future::pending()).await;
        assert!(matches!(late, Err(ClientError::Deadline { .. })), "hangs are cut");
    }
}
