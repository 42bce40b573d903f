//! Every limit and time-out of the client API, in one place, each with its default.

use std::time::Duration;

/// The bounds of the service. Nothing that a client can grow is without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The largest request, in bytes. A batch of the most commands allowed fits.
    pub request_bytes_max: usize,
    /// The largest answer, in bytes: an order book of one market is the largest there is.
    pub response_bytes_max: usize,
    /// Commands in one request.
    pub batch_commands_max: usize,
    /// Connections open at the same time; more wait to be accepted.
    pub connections_max: usize,
    /// Streams and calls open on one connection at the same time.
    pub streams_per_connection_max: u32,
    /// Unary calls carried out at the same time; one more is refused.
    pub calls_max: usize,
    /// Sessions, watches and market data streams open at the same time; one more is refused.
    pub streams_max: usize,
    /// The longest a unary call may take; a client's own deadline counts when it is shorter.
    pub call_timeout: Duration,
    /// How long a request that has to wait for its event or its leader waits at most.
    pub read_timeout: Duration,
    /// Requests of one session that may be unanswered at the same time; more are not read yet.
    pub session_requests_in_flight_max: usize,
    /// Commands of one session that may be unanswered at the same time; more are not read yet.
    pub session_commands_in_flight_max: usize,
    /// How long a reader of a stream may leave an answer lying before it is ended.
    pub slow_reader_timeout: Duration,
    /// Bytes of journal that one step of a stream reads.
    pub stream_step_bytes: usize,
    /// History reads carried out at the same time; more wait.
    pub history_reads_max: usize,
    /// The flow-control window of one stream, in bytes.
    pub stream_window_bytes: u32,
    /// The flow-control window of one connection, in bytes.
    pub connection_window_bytes: u32,
    /// The largest block of request headers, in bytes.
    pub header_bytes_max: u32,
    /// The largest HTTP/2 frame accepted, in bytes.
    pub frame_bytes_max: u32,
    /// Streams that a client may reset before they are accepted.
    pub pending_reset_streams_max: usize,
    /// How often a quiet connection is asked whether it lives.
    pub keepalive_interval: Duration,
    /// How long its answer may take.
    pub keepalive_timeout: Duration,
    /// How long calls may go on after the service was told to stop.
    pub shutdown_grace: Duration,
    /// How the leader gathers commands.
    pub sequencer: SequencerConfig,
    /// How requests to a follower reach the leader.
    pub forward: ForwardConfig,
}

/// How the leader gathers commands into proposals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequencerConfig {
    /// Requests that may wait; one more is refused.
    pub queue_requests_max: usize,
    /// Commands that may wait or be in flight; a request beyond it is refused.
    pub queue_commands_max: usize,
    /// Commands in one proposal, unless a single chain is longer.
    pub proposal_commands_max: usize,
    /// Bytes in one proposal, unless a single chain is larger.
    pub proposal_bytes_max: usize,
    /// Proposals in flight.
    pub window: usize,
    /// Proposals in flight at which one that is not full waits for more commands.
    pub window_partial: usize,
}

/// How requests to a follower reach the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardConfig {
    /// How long connecting to the leader may take.
    pub connect_timeout: Duration,
    /// Calls forwarded at the same time; one more is refused.
    pub calls_max: usize,
    /// How long a call whose leader died or handed over waits for the next one.
    pub failover_patience: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            request_bytes_max: 4 << 20,
            response_bytes_max: 64 << 20,
            batch_commands_max: 8_190,
            connections_max: 1_024,
            streams_per_connection_max: 1_024,
            calls_max: 16_384,
            streams_max: 4_096,
            call_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(5),
            session_requests_in_flight_max: 4_096,
            session_commands_in_flight_max: 65_536,
            slow_reader_timeout: Duration::from_secs(10),
            stream_step_bytes: 256 << 10,
            history_reads_max: 64,
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 4 << 20,
            header_bytes_max: 16 << 10,
            frame_bytes_max: 64 << 10,
            pending_reset_streams_max: 64,
            keepalive_interval: Duration::from_secs(15),
            keepalive_timeout: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(2),
            sequencer: SequencerConfig::default(),
            forward: ForwardConfig::default(),
        }
    }
}

impl Default for SequencerConfig {
    fn default() -> Self {
        Self {
            queue_requests_max: 16_384,
            queue_commands_max: 262_144,
            proposal_commands_max: 100,
            proposal_bytes_max: 32 << 10,
            window: 32,
            window_partial: 4,
        }
    }
}

impl Default for ForwardConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_millis(500),
            calls_max: 8_192,
            failover_patience: Duration::from_secs(1),
        }
    }
}

/// Lists: the size of a page when none is asked for.
pub const PAGE_SIZE_DEFAULT: usize = 100;
/// Lists: the largest page.
pub const PAGE_SIZE_MAX: usize = 1_000;
/// An account's holds in one answer.
pub const HOLDS_MAX: usize = 1_000;
/// An order's fills in one answer.
pub const FILLS_MAX: usize = 1_000;
/// Book levels per side when no depth is asked for.
pub const BOOK_DEPTH_DEFAULT: usize = 10;
/// The largest depth of a book.
pub const BOOK_DEPTH_MAX: usize = 1_000;
/// Orders per side when no limit is asked for.
pub const BOOK_ORDERS_DEFAULT: usize = 1_000;
/// Orders per side in one answer.
pub const BOOK_ORDERS_MAX: usize = 10_000;
/// Ids in one list of an event filter.
pub const FILTER_IDS_MAX: usize = 1_000;
