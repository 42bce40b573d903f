//! The configuration of one node: a TOML file, each key of which is also an environment variable and
//! a flag. What overrides what: defaults < file < environment < flags.
//!
//! The key `raft.heartbeat_ms` is the variable `COUNTERFOIL_RAFT_HEARTBEAT_MS` and the flag
//! `--set raft.heartbeat_ms=50`. An unknown key or a bad value is an error that names it.

mod backup;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::replication::ReplicationConfig;
use crate::replication::config::PROPOSALS_MAX;

pub use backup::BackupConfig;

/// Everything a node is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// This node.
    pub node: NodeConfig,
    /// The cluster it belongs to.
    pub cluster: ClusterConfig,
    /// Agreement.
    pub raft: RaftConfig,
    /// The data folder.
    pub store: StoreConfig,
    /// The service for clients.
    pub server: ServerConfig,
    /// Backups.
    pub backup: BackupConfig,
    /// What it says about itself.
    pub telemetry: TelemetryConfig,
}

/// This node: who it is and where it listens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// Unique in the cluster, never zero, never used twice.
    pub id: u64,
    /// Where its data is kept. Created when it is not there.
    pub data_dir: PathBuf,
    /// Where it serves clients.
    pub client_listen: SocketAddr,
    /// Where it serves the other nodes.
    pub raft_listen: SocketAddr,
    /// Threads of the async runtime.
    pub runtime_threads: usize,
}

/// The cluster: its identity and its first members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// The cluster's name; folders and peers of another cluster are refused. A new cluster needs a
    /// new name.
    pub name: String,
    /// This node waits until it is added to a cluster that is there (`ctl cluster add`): it never
    /// forms one, and `members` does not matter.
    pub join: bool,
    /// The members that form the cluster when it is new, this node among them.
    pub members: Vec<MemberConfig>,
}

/// One member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberConfig {
    /// Its node id.
    pub id: u64,
    /// Where clients reach it, such as `10.0.0.1:7400`.
    pub client_endpoint: String,
    /// Where the other nodes reach it, such as `10.0.0.1:7500`.
    pub raft_endpoint: String,
}

/// Agreement: how fast a dead leader is replaced, how much log is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RaftConfig {
    /// How often the leader is heard of, in milliseconds.
    pub heartbeat_ms: u64,
    /// The shortest wait for a leader before an election, in milliseconds; at least three heartbeats.
    pub election_min_ms: u64,
    /// The longest wait for a leader before an election, in milliseconds.
    pub election_max_ms: u64,
    /// A snapshot is written after this many log entries.
    pub snapshot_entries: u64,
    /// Log entries kept below the snapshot, for followers that were away for a moment.
    pub kept_entries: u64,
}

/// The data folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Size of a log segment, in MiB.
    pub log_segment_mib: u64,
    /// Recent log entries kept in memory, in MiB.
    pub log_cache_mib: u64,
    /// Time between two batches of the state, in milliseconds; more where writing one takes long.
    pub state_sync_ms: u64,
    /// A leader one sync of whose log takes longer hands its office over, in milliseconds.
    pub sync_slow_ms: u64,
    /// A node one sync of whose log takes longer stops, in milliseconds.
    pub sync_hung_ms: u64,
}

/// The service for clients: every limit it keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// The largest message taken from a client, in MiB.
    pub message_mib: usize,
    /// How long a unary call may take, in milliseconds.
    pub request_timeout_ms: u64,
    /// Streams open at once on one connection.
    pub streams_per_connection: u32,
    /// Calls under way at once; health checks do not count.
    pub calls: usize,
    /// Sessions, watches and market data streams open at once, on all connections.
    pub streams: usize,
    /// How long a reader may leave an answer of a stream lying before it is ended, in milliseconds; after
    /// twice that its connection is.
    pub slow_reader_ms: u64,
    /// Commands without an answer, waiting or in a proposal; one more is answered `RESOURCE_EXHAUSTED`.
    pub queued_commands: usize,
    /// Proposals under way at once.
    pub proposals: usize,
}

/// What the node says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Which log lines are written, as in `info` or `counterfoil=debug,warn`.
    pub log_filter: String,
    /// How they are written.
    pub log_format: LogFormat,
    /// Where `/metrics` is served, such as `127.0.0.1:7600`; nowhere when empty.
    pub metrics_listen: String,
}

impl TelemetryConfig {
    /// Where `/metrics` is served, if it is.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_listen.parse().ok()
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            id: 1,
            data_dir: PathBuf::from("counterfoil-data"),
            client_listen: SocketAddr::from(([127, 0, 0, 1], 7400)),
            raft_listen: SocketAddr::from(([127, 0, 0, 1], 7500)),
            runtime_threads: 2,
        }
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            name: "counterfoil".to_owned(),
            join: false,
            members: vec![MemberConfig {
                id: 1,
                client_endpoint: "127.0.0.1:7400".to_owned(),
                raft_endpoint: "127.0.0.1:7500".to_owned(),
            }],
        }
    }
}

impl Default for RaftConfig {
    fn default() -> Self {
        Self {
            heartbeat_ms: 50,
            election_min_ms: 150,
            election_max_ms: 300,
            snapshot_entries: 50_000,
            kept_entries: 10_000,
        }
    }
}

impl RaftConfig {
    /// What replication makes of it.
    #[must_use]
    pub fn replication(&self) -> ReplicationConfig {
        let election_max = Duration::from_millis(self.election_max_ms);
        let defaults = ReplicationConfig::default();
        ReplicationConfig {
            heartbeat: Duration::from_millis(self.heartbeat_ms),
            election_min: Duration::from_millis(self.election_min_ms),
            election_max,
            quorum_loss: election_max * 2,
            append_timeout: defaults.append_timeout.max(election_max),
            append_idle: defaults.append_idle.max(election_max * 2),
            snapshot_entries: self.snapshot_entries,
            keep_entries: self.kept_entries,
            ..defaults
        }
    }

    /// The key behind one of replication's own settings.
    fn key_of(setting: &str) -> &'static str {
        match setting {
            "heartbeat" => "raft.heartbeat_ms",
            "election_min" => "raft.election_min_ms",
            "snapshot_entries" => "raft.snapshot_entries",
            "keep_entries" => "raft.kept_entries",
            // What else it checks follows from the longest wait, or is no key.
            _ => "raft.election_max_ms",
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { log_segment_mib: 16, log_cache_mib: 32, state_sync_ms: 500, sync_slow_ms: 1_000, sync_hung_ms: 15_000 }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            message_mib: 4,
            request_timeout_ms: 10_000,
            streams_per_connection: 1_024,
            calls: 16_384,
            streams: 4_096,
            slow_reader_ms: 10_000,
            queued_commands: 262_144,
            proposals: 32,
        }
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log_filter: "info,openraft=error".to_owned(),
            log_format: LogFormat::Text,
            metrics_listen: String::new(),
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not TOML: {source}")]
    NotToml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: toml::de::Error,
    },
    /// A key that does not exist.
    #[error("{origin}: there is no key `{key}`")]
    UnknownKey {
        /// Where it stands: the file, the environment or a flag.
        origin: String,
        /// The key.
        key: String,
    },
    /// A value that cannot be.
    #[error("`{key}`: {reason}")]
    BadValue {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

const ENV_PREFIX: &str = "COUNTERFOIL_";

impl Config {
    /// Reads a configuration: defaults, then `file`, then `environment`, then `flags`
    /// (`section.key=value`), and checks it.
    ///
    /// # Errors
    /// When something is unreadable, unknown, or out of range.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[String],
    ) -> Result<Self, ConfigError> {
        let Some(path) = file else { return Self::layered(None, environment, flags) };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::layered(Some((path, &text)), environment, flags)
    }

    /// As [`Self::load`], with the text of the file.
    pub(crate) fn layered(
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[String],
    ) -> Result<Self, ConfigError> {
        let mut table = Self::default().to_table();
        if let Some((path, text)) = file {
            let given =
                text.parse::<toml::Table>().map_err(|source| ConfigError::NotToml { path: path.to_owned(), source })?;
            overlay(&mut table, given, &path.display().to_string())?;
        }
        for (name, value) in environment {
            if let Some(key) = env_key(&table, &name)? {
                set(&mut table, &key, &value, &format!("environment variable {name}"))?;
            }
        }
        for flag in flags {
            let (key, value) = flag.split_once('=').ok_or_else(|| ConfigError::BadValue {
                key: flag.clone(),
                reason: "a flag is written --set section.key=value".to_owned(),
            })?;
            set(&mut table, key.trim(), value.trim(), "--set")?;
        }
        let config = Self::from_table(table)?;
        config.check()?;
        Ok(config)
    }

    /// The configuration as a TOML document.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.to_table()).unwrap_or_default()
    }

    fn to_table(&self) -> toml::Table {
        toml::Table::try_from(self).unwrap_or_default()
    }

    /// Section by section, so that an error names the key.
    fn from_table(mut table: toml::Table) -> Result<Self, ConfigError> {
        fn section<T: serde::de::DeserializeOwned>(table: &mut toml::Table, name: &str) -> Result<T, ConfigError> {
            let value = table.remove(name).unwrap_or_else(|| toml::Value::Table(toml::Table::new()));
            let deserializer = value.into_deserializer();
            serde_path_to_error::deserialize(deserializer).map_err(|error| ConfigError::BadValue {
                key: format!("{name}.{}", error.path()),
                reason: error.inner().message().to_owned(),
            })
        }
        use serde::de::IntoDeserializer as _;
        Ok(Self {
            node: section(&mut table, "node")?,
            cluster: section(&mut table, "cluster")?,
            raft: section(&mut table, "raft")?,
            store: section(&mut table, "store")?,
            server: section(&mut table, "server")?,
            backup: section(&mut table, "backup")?,
            telemetry: section(&mut table, "telemetry")?,
        })
    }

    /// Checks every value by itself and against the others: what passes starts.
    ///
    /// # Errors
    /// The first value that cannot be, by its key.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (key, value, range) in self.ranges() {
            require(range.contains(&value), key, || {
                let (least, most) = (range.start(), range.end());
                if value < *least {
                    format!("{value} is below the least, {least}")
                } else {
                    format!("{value} is above the most, {most}")
                }
            })?;
        }
        require(!self.cluster.name.is_empty(), "cluster.name", || "a cluster needs a name".to_owned())?;
        self.check_members()?;
        self.backup.check()?;
        // Replication knows best what it can work with.
        self.raft.replication().validate().map_err(|error| ConfigError::BadValue {
            key: RaftConfig::key_of(error.key).to_owned(),
            reason: error.reason,
        })?;
        self.check_addresses()
    }

    /// No two of a node's services can listen on one address.
    fn check_addresses(&self) -> Result<(), ConfigError> {
        let metrics = match self.telemetry.metrics_listen.as_str() {
            "" => None,
            text => Some(text.parse::<SocketAddr>().map_err(|_| ConfigError::BadValue {
                key: "telemetry.metrics_listen".to_owned(),
                reason: format!("{text:?} is not an address such as 127.0.0.1:7600"),
            })?),
        };
        let taken = |address: &SocketAddr, by: &[SocketAddr]| address.port() != 0 && by.contains(address);
        let NodeConfig { client_listen, raft_listen, .. } = self.node;
        require(!taken(&raft_listen, &[client_listen]), "node.raft_listen", || {
            format!("{raft_listen} is where clients are served")
        })?;
        let is_free = metrics.is_none_or(|address| !taken(&address, &[client_listen, raft_listen]));
        require(is_free, "telemetry.metrics_listen", || "clients or nodes are served there".to_owned())
    }

    /// Every number, with its key and what it may be. The most is far beyond what is of use: it keeps a slip
    /// of the pen from overflowing something.
    fn ranges(&self) -> [(&'static str, u64, RangeInclusive<u64>); 26] {
        let Self { node, raft, store, server, backup, .. } = self;
        [
            ("node.id", node.id, 1..=u64::MAX),
            ("node.runtime_threads", node.runtime_threads as u64, 1..=1_024),
            ("raft.heartbeat_ms", raft.heartbeat_ms, 1..=60_000),
            ("raft.election_min_ms", raft.election_min_ms, 1..=600_000),
            ("raft.election_max_ms", raft.election_max_ms, 1..=600_000),
            ("raft.snapshot_entries", raft.snapshot_entries, 1..=1_000_000_000),
            ("raft.kept_entries", raft.kept_entries, 0..=1_000_000_000),
            ("store.log_segment_mib", store.log_segment_mib, 1..=1_024),
            ("store.log_cache_mib", store.log_cache_mib, 1..=65_536),
            ("store.state_sync_ms", store.state_sync_ms, 10..=600_000),
            ("store.sync_slow_ms", store.sync_slow_ms, 10..=600_000),
            ("store.sync_hung_ms", store.sync_hung_ms, store.sync_slow_ms..=3_600_000),
            ("server.message_mib", server.message_mib as u64, 1..=64),
            ("server.request_timeout_ms", server.request_timeout_ms, 100..=3_600_000),
            ("server.streams_per_connection", u64::from(server.streams_per_connection), 1..=1_000_000),
            ("server.calls", server.calls as u64, 1..=10_000_000),
            ("server.streams", server.streams as u64, 1..=1_000_000),
            ("server.slow_reader_ms", server.slow_reader_ms, 100..=3_600_000),
            ("server.queued_commands", server.queued_commands as u64, 8_190..=100_000_000),
            ("server.proposals", server.proposals as u64, 1..=PROPOSALS_MAX as u64),
            ("backup.trial_state_mib", backup.trial_state_mib, 0..=1_000_000_000),
            ("backup.alarm_minutes", backup.alarm_minutes, 1..=1_000_000),
            ("backup.keep_full", backup.keep_full, 1..=1_000_000),
            ("backup.keep_days", backup.keep_days, 0..=1_000_000),
            ("backup.mib_per_second", backup.mib_per_second, 0..=1_000_000),
            ("backup.log_mib", backup.log_mib, 64..=1_000_000_000),
        ]
    }

    fn check_members(&self) -> Result<(), ConfigError> {
        let members = &self.cluster.members;
        let mut ids: Vec<u64> = members.iter().map(|member| member.id).collect();
        ids.sort_unstable();
        ids.dedup();
        require(ids.len() == members.len(), "cluster.members", || "two members have one id".to_owned())?;
        require(!ids.contains(&0), "cluster.members", || "a member's id is never 0".to_owned())?;
        require(self.cluster.join || ids.contains(&self.node.id), "cluster.members", || {
            format!("this node, {}, is not among them, and cluster.join is not set", self.node.id)
        })?;
        let endpoints = members.iter().flat_map(|member| [&member.client_endpoint, &member.raft_endpoint]);
        let different: BTreeSet<&String> = endpoints.collect();
        require(different.len() == 2 * members.len(), "cluster.members", || "one endpoint is named twice".to_owned())?;
        for member in members {
            for endpoint in [&member.client_endpoint, &member.raft_endpoint] {
                let good = endpoint.rsplit_once(':').is_some_and(|(host, port)| {
                    !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
                });
                require(good, "cluster.members", || format!("{endpoint:?} is not of the form HOST:PORT"))?;
            }
        }
        Ok(())
    }

    /// This node's own entry among the members.
    #[must_use]
    pub fn this_member(&self) -> Option<&MemberConfig> {
        self.cluster.members.iter().find(|member| member.id == self.node.id)
    }
}

fn require(holds: bool, key: &str, reason: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::BadValue { key: key.to_owned(), reason: reason() }) }
}

/// Replaces the keys of `table` by those of `given`; a key that `table` does not have is unknown.
fn overlay(table: &mut toml::Table, given: toml::Table, origin: &str) -> Result<(), ConfigError> {
    for (section, value) in given {
        let unknown = |key: String| ConfigError::UnknownKey { origin: origin.to_owned(), key };
        let known = table.get_mut(&section).and_then(toml::Value::as_table_mut);
        let (Some(known), toml::Value::Table(keys)) = (known, value) else {
            return Err(unknown(section));
        };
        for (key, value) in keys {
            *known.get_mut(&key).ok_or_else(|| unknown(format!("{section}.{key}")))? = value;
        }
    }
    Ok(())
}

/// The key that an environment variable names; `None` when it is no business of ours.
fn env_key(table: &toml::Table, name: &str) -> Result<Option<String>, ConfigError> {
    let Some(rest) = name.strip_prefix(ENV_PREFIX) else { return Ok(None) };
    let rest = rest.to_ascii_lowercase();
    for (section, keys) in table {
        let Some(key) = rest.strip_prefix(&format!("{section}_")) else { continue };
        return match keys.get(key) {
            Some(_) => Ok(Some(format!("{section}.{key}"))),
            None => Err(ConfigError::UnknownKey { origin: "environment".to_owned(), key: name.to_owned() }),
        };
    }
    Ok(None)
}

/// Sets one key from text: as TOML where it is of that type, as a string where a string is wanted.
fn set(table: &mut toml::Table, key: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
    let (section, name) = key.split_once('.').unwrap_or((key, ""));
    let slot = table.get_mut(section).and_then(|section| section.get_mut(name));
    let Some(slot) = slot else {
        return Err(ConfigError::UnknownKey { origin: origin.to_owned(), key: key.to_owned() });
    };
    *slot = match slot {
        toml::Value::String(_) => toml::Value::String(text.to_owned()),
        _ => format!("value = {text}")
            .parse::<toml::Table>()
            .ok()
            .and_then(|mut parsed| parsed.remove("value"))
            .ok_or_else(|| ConfigError::BadValue { key: key.to_owned(), reason: format!("{text:?} is no value") })?,
    };
    Ok(())
}

#[cfg(test)]
mod tests;
