//! Every limit and time-out of the client API, in one place, each with its default.

use std::time::Duration;

/// The bounds of the service. Nothing that a client can grow is without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The largest request, in bytes. A batch of the most commands allowed fits.
    pub request_bytes_max: usize,
    /// The largest answer, in bytes: that to a batch of commands each of which touched many balances.
    pub response_bytes_max: usize,
    /// Commands in one request.
    pub batch_commands_max: usize,
    /// Connections open at the same time; more wait to be accepted.
    pub connections_max: usize,
    /// Streams and calls open on one connection at the same time.
    pub streams_per_connection_max: u32,
    /// Unary calls carried out at the same time; one more is refused. Health checks do not count: a node
    /// that has much to do is not dead.
    pub calls_max: usize,
    /// Sessions, watches and market data streams open at the same time; one more is refused.
    pub streams_max: usize,
    /// The longest a unary call may take; a client's own deadline counts when it is shorter.
    pub call_timeout: Duration,
    /// How long a read that has to wait for its event waits at most.
    pub read_timeout: Duration,
    /// How long a linearizable read waits for a leader while there is none, as during a failover. Short
    /// enough that a client of a node that is cut off can still ask another one.
    pub leader_wait: Duration,
    /// Requests of one session that may be unanswered at the same time; more are not read yet.
    pub session_requests_in_flight_max: usize,
    /// Commands of one session that may be unanswered at the same time; more are not read yet.
    pub session_commands_in_flight_max: usize,
    /// How long a reader of a stream may leave an answer lying. One that comes back later is told so and
    /// ended; one that does not come back for twice as long loses its connection.
    pub slow_reader_timeout: Duration,
    /// Bytes of journal that one step of a stream reads.
    pub stream_step_bytes: usize,
    /// History reads of queries carried out at the same time; more wait.
    pub query_reads_max: usize,
    /// History reads for the answers to commands sent again; they wait for no query.
    pub answer_reads_max: usize,
    /// History reads of streams carried out at the same time; they wait for no query.
    pub stream_reads_max: usize,
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
    /// Commands without an answer, waiting or in a proposal; a request beyond it is refused. It bounds the
    /// requests too, each of which has at least one command.
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
            leader_wait: Duration::from_secs(2),
            session_requests_in_flight_max: 4_096,
            session_commands_in_flight_max: 65_536,
            slow_reader_timeout: Duration::from_secs(10),
            stream_step_bytes: 256 << 10,
            query_reads_max: 64,
            answer_reads_max: 32,
            stream_reads_max: 64,
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
            queue_commands_max: 262_144,
            proposal_commands_max: 800,
            proposal_bytes_max: 128 << 10,
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

/// The largest message of a stream, in bytes: below the 4 MiB that gRPC clients take by default.
pub const STREAM_MESSAGE_BYTES_MAX: usize = 3 << 20;
/// Levels or orders of a book in one message of a stream, each of which takes 64 bytes at most.
pub const STREAM_MESSAGE_ITEMS_MAX: usize = STREAM_MESSAGE_BYTES_MAX / 64;
/// Events that one list reads from the journal, but for the item at which it comes to so many: the page
/// ends there, and may be short. The largest records, which one command can make, fit a few times.
pub const LIST_EVENTS_MAX: usize = 400_000;
/// Open orders that one look at the live state goes through.
pub const LOOK_ORDERS_MAX: usize = 20_000;
/// Lists: the size of a page when none is asked for.
pub const PAGE_SIZE_DEFAULT: usize = 100;
/// Lists: the largest page.
pub const PAGE_SIZE_MAX: usize = 1_000;
/// An account's holds in one answer.
pub const HOLDS_MAX: usize = 1_000;
/// An order's fills in one answer.
pub const FILLS_MAX: usize = 1_000;
/// The state of production: entries of each of its lists in one answer.
pub const STATE_ITEMS_MAX: usize = 1_000;
/// Lots that one trace follows.
pub const TRACE_LOTS_MAX: usize = 1_000;
/// Movements of lots in one answer.
pub const TRACE_MOVES_MAX: usize = 20_000;
/// Calculations of requirements carried out at the same time; more wait. Each takes a core, and up to a
/// gigabyte.
pub const CALCULATIONS_MAX: usize = 2;
/// Lines of demand, and versions, that one what-if brings.
pub const WHAT_IF_MAX: usize = 1_000;
/// Requirements: days of a bucket when none are asked for.
pub const BUCKET_DAYS_DEFAULT: usize = 7;
/// Requirements: the largest bucket, in days.
pub const BUCKET_DAYS_MAX: usize = 366;
/// Requirements: buckets when no number is asked for.
pub const BUCKETS_DEFAULT: usize = 26;
/// Requirements: the most buckets.
pub const BUCKETS_MAX: usize = 366;
/// Requirements: buckets of all items in one answer.
pub const REQUIREMENT_ROWS_MAX: usize = 50_000;
/// Requirements: planned orders in one answer.
pub const REQUIREMENT_ORDERS_MAX: usize = 100_000;
/// Requirements: lines of demand that are short in one answer.
pub const REQUIREMENT_SHORTAGES_MAX: usize = 10_000;
/// Requirements: how many causes of a row or an order are told apart when no number is asked for.
pub const PEGS_DEFAULT: usize = 10;
/// Requirements: the most causes of a row or an order that are told apart.
pub const PEGS_MAX: usize = 1_000;
/// Requirements: pegs in one answer.
pub const REQUIREMENT_PEGS_MAX: usize = 1_000_000;
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
