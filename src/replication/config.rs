//! What can be tuned, the defaults, and the limits, in one place.

use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

/// Log entries read, sent or applied in one step, in bytes of content (one entry at least).
pub const ENTRIES_BYTES_MAX: usize = 1 << 20;

/// The largest proposal, in bytes: a linked chain of the largest batch fits.
pub const PROPOSAL_BYTES_MAX: usize = 4 << 20;

/// The largest message between nodes, in bytes: the entries of one step, the last of which may be
/// as large as a proposal, and their frame.
pub const MESSAGE_BYTES_MAX: usize = ENTRIES_BYTES_MAX + PROPOSAL_BYTES_MAX + (64 << 10);

/// Bytes of a snapshot's file, or of journal records, in one message.
pub const SNAPSHOT_PART_BYTES_MAX: usize = 1 << 20;

/// The largest batch of journal records a snapshot's receiver puts together: one record of the
/// largest size there is, of a mass cancel.
pub const JOURNAL_BATCH_BYTES_MAX: usize = 257 << 20;

/// Proposals in flight, in bytes together.
pub const PROPOSALS_BYTES_MAX: usize = 128 << 20;

/// Proposals in flight, in number.
pub const PROPOSALS_MAX: usize = 1024;

/// Streams and calls that one connection between nodes may have open at a time.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 64;

/// Callers that share one confirmation of a linearizable read.
pub const BARRIER_CALLERS_MAX: usize = 16_384;

/// Flow-control window of one stream between nodes, in bytes.
pub const STREAM_WINDOW_BYTES: u32 = 8 << 20;

/// Flow-control window of one connection between nodes, in bytes.
pub const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// A setting that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("replication.{key}: {reason}")]
pub struct ConfigError {
    /// The setting.
    pub key: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// How this node replicates. The defaults suit one data centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationConfig {
    /// Between two heartbeats of the leader.
    pub heartbeat: Duration,
    /// The shortest silence after which a follower asks to lead.
    pub election_min: Duration,
    /// The longest; also the lease during which followers refuse to elect another.
    pub election_max: Duration,
    /// How long a leader that hears from no majority goes on taking proposals.
    pub quorum_loss: Duration,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Until a single call is answered, elections and heartbeats apart, which have their own pace.
    pub call_timeout: Duration,
    /// How long a follower may leave sent entries unanswered before the stream is opened anew.
    pub append_timeout: Duration,
    /// How long a stream of entries may be silent before the follower ends it; it is opened anew.
    pub append_idle: Duration,
    /// How long a snapshot's transfer may stand still.
    pub snapshot_timeout: Duration,
    /// How long a receiver may take to verify and install a snapshot.
    pub install_timeout: Duration,
    /// How long a sync of the log may run before a leader hands its office over.
    pub sync_slow: Duration,
    /// How long it may run before the node ends.
    pub sync_hung: Duration,
    /// How long a linearizable read may wait for its confirmation and its state.
    pub barrier_timeout: Duration,
    /// How long a leader may take to hand its office over.
    pub transfer_timeout: Duration,
    /// Between two questions for the peers' state digests.
    pub digest_interval: Duration,
    /// Log entries after which a snapshot is made.
    pub snapshot_entries: u64,
    /// Bytes of log entries after which a snapshot is made, whichever comes first.
    pub snapshot_bytes: u64,
    /// Entries kept in the log below the snapshot, so that a follower away for a while needs none.
    pub keep_entries: u64,
    /// The log is purged by [`Replica::tend_log`](super::Replica::tend_log) alone, since it waits for backups.
    pub hold_log: bool,
    /// Most entries in one message.
    pub append_entries_max: u64,
    /// Closures that wait for the state.
    pub reads_max: usize,
}

impl Default for ReplicationConfig {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(50),
            election_min: Duration::from_millis(150),
            election_max: Duration::from_millis(300),
            quorum_loss: Duration::from_millis(600),
            connect_timeout: Duration::from_millis(500),
            call_timeout: Duration::from_millis(500),
            append_timeout: Duration::from_secs(2),
            append_idle: Duration::from_secs(15),
            snapshot_timeout: Duration::from_secs(10),
            install_timeout: Duration::from_secs(120),
            sync_slow: Duration::from_secs(1),
            sync_hung: Duration::from_secs(15),
            barrier_timeout: Duration::from_secs(2),
            transfer_timeout: Duration::from_secs(2),
            digest_interval: Duration::from_secs(1),
            snapshot_entries: 50_000,
            snapshot_bytes: 256 << 20,
            keep_entries: 10_000,
            hold_log: false,
            append_entries_max: 1024,
            reads_max: 4096,
        }
    }
}

impl ReplicationConfig {
    /// Checks the settings against each other.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |key, reason: &str| Err(ConfigError { key, reason: reason.to_owned() });
        if self.heartbeat < Duration::from_millis(5) {
            return wrong("heartbeat", "below 5 ms the heartbeats alone keep the nodes busy");
        }
        if self.heartbeat * 3 > self.election_min {
            return wrong(
                "election_min",
                "must be at least three heartbeats, or one late heartbeat starts an election",
            );
        }
        if self.election_min >= self.election_max {
            return wrong("election_max", "must be above election_min, or followers elect against each other");
        }
        if self.quorum_loss < self.election_max {
            return wrong("quorum_loss", "must be at least election_max, during which no other can lead");
        }
        if self.append_timeout < self.election_max {
            return wrong("append_timeout", "must be at least election_max, or a short stall breaks the stream");
        }
        if self.append_idle <= self.append_timeout {
            return wrong("append_idle", "must be above append_timeout");
        }
        if self.sync_hung < self.sync_slow {
            return wrong("sync_hung", "must be at least sync_slow");
        }
        for (key, value) in [
            ("snapshot_entries", self.snapshot_entries),
            ("snapshot_bytes", self.snapshot_bytes),
            ("append_entries_max", self.append_entries_max),
            ("reads_max", self.reads_max as u64),
        ] {
            if value == 0 {
                return wrong(key, "must not be zero");
            }
        }
        for (key, value) in [
            ("connect_timeout", self.connect_timeout),
            ("call_timeout", self.call_timeout),
            ("snapshot_timeout", self.snapshot_timeout),
            ("install_timeout", self.install_timeout),
            ("sync_slow", self.sync_slow),
            ("barrier_timeout", self.barrier_timeout),
            ("transfer_timeout", self.transfer_timeout),
            ("digest_interval", self.digest_interval),
        ] {
            if value < Duration::from_millis(10) {
                return wrong(key, "must be at least 10 ms");
            }
        }
        Ok(())
    }

    /// The same in openraft's words.
    ///
    /// # Errors
    /// As [`Self::validate`].
    pub(super) fn to_raft(&self) -> Result<Config, ConfigError> {
        self.validate()?;
        let millis = |duration: Duration| duration.as_millis() as u64;
        let config = Config {
            cluster_name: "counterfoil".to_owned(),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(self.election_min),
            election_timeout_max: millis(self.election_max),
            install_snapshot_timeout: millis(self.install_timeout),
            max_payload_entries: self.append_entries_max,
            // A follower is sent a snapshot only when the log it needs is purged, so this bound
            // must never be what decides.
            replication_lag_threshold: u64::MAX / 2,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_entries),
            max_in_snapshot_log_to_keep: if self.hold_log { u64::MAX } else { self.keep_entries },
            purge_batch_size: (self.keep_entries / 8).max(1),
            api_channel_size: Some(PROPOSALS_MAX as u64 * 2),
            // A follower under repair begins anew. Others that lack what they acknowledged are not heard by
            // openraft: see the roster.
            allow_log_reversion: Some(true),
            // Leadership is won by an election alone: a restarted leader has no lease to stand on.
            enable_leader_restore: Some(false),
            enable_pre_vote: Some(true),
            backoff: "20ms 40ms 80ms ...400ms".to_owned(),
            ..Config::default()
        };
        config.validate().map_err(|error| ConfigError { key: "raft", reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        let config = ReplicationConfig::default().to_raft().unwrap();
        assert_eq!(config.enable_pre_vote, Some(true));
        assert_eq!(config.enable_leader_restore, Some(false));
    }

    #[test]
    fn settings_that_contradict_each_other_are_named() {
        let base = ReplicationConfig::default();
        let cases = [
            (ReplicationConfig { heartbeat: Duration::from_millis(60), ..base.clone() }, "election_min"),
            (ReplicationConfig { election_max: Duration::from_millis(150), ..base.clone() }, "election_max"),
            (ReplicationConfig { quorum_loss: Duration::from_millis(100), ..base.clone() }, "quorum_loss"),
            (ReplicationConfig { snapshot_entries: 0, ..base.clone() }, "snapshot_entries"),
            (ReplicationConfig { call_timeout: Duration::ZERO, ..base }, "call_timeout"),
        ];
        for (config, key) in cases {
            assert_eq!(config.validate().unwrap_err().key, key);
        }
    }
}
