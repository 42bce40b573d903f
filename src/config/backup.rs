//! The section `[backup]`: where backups go, when, and how long they are kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigError, require};
use crate::replication::backup::{Schedule, Words};
use crate::store::backup::objects::Options;

/// Backups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupConfig {
    /// Where they go: a folder, or a URL such as `s3://bucket/folder`; none are made when empty.
    pub target: String,
    /// Options of the target, each `NAME=VALUE`, by their names in the `object_store` crate.
    pub options: Vec<String>,
    /// A file with the key that seals them; they are not sealed when empty.
    pub key_file: PathBuf,
    /// When full ones are made, in cron words, UTC; never when empty.
    pub full: String,
    /// When differential ones are made.
    pub differential: String,
    /// When incremental ones are made.
    pub incremental: String,
    /// When the newest is restored on trial.
    pub trial: String,
    /// A state of about so many MiB is not built in the node's memory on trial.
    pub trial_state_mib: u64,
    /// How long one may be due before that is an alarm, in minutes.
    pub alarm_minutes: u64,
    /// Full ones that are kept, with all that goes on from them.
    pub keep_full: u64,
    /// Nothing younger is removed, in days.
    pub keep_days: u64,
    /// Data moved a second at most, in MiB, unless the log presses; as fast as it goes when 0.
    pub mib_per_second: u64,
    /// How much log may wait for the next one, in MiB.
    pub log_mib: u64,
}

impl Default for BackupConfig {
    fn default() -> Self {
        Self {
            target: String::new(),
            options: Vec::new(),
            key_file: PathBuf::new(),
            full: "0 3 * * sun".to_owned(),
            differential: "0 3 * * mon-sat".to_owned(),
            incremental: "*/10 * * * *".to_owned(),
            trial: "0 5 * * *".to_owned(),
            trial_state_mib: 128,
            alarm_minutes: 60,
            keep_full: 4,
            keep_days: 30,
            mib_per_second: 8,
            log_mib: 4_096,
        }
    }
}

impl BackupConfig {
    /// Whether backups are made.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.target.is_empty()
    }

    /// The key's file, if there is one.
    #[must_use]
    pub fn key_file(&self) -> Option<&Path> {
        (!self.key_file.as_os_str().is_empty()).then_some(&self.key_file)
    }

    /// The target's options.
    #[must_use]
    pub fn options(&self) -> Options {
        self.options
            .iter()
            .filter_map(|option| option.split_once('='))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect()
    }

    /// When backups are made.
    ///
    /// # Errors
    /// The key whose words are none.
    pub fn schedule(&self) -> Result<Schedule, ConfigError> {
        let words = |key: &str, text: &str| match text.is_empty() {
            true => Ok(None),
            false => Words::parse(text)
                .map(Some)
                .map_err(|reason| ConfigError::BadValue { key: format!("backup.{key}"), reason }),
        };
        Ok(Schedule {
            full: words("full", &self.full)?,
            differential: words("differential", &self.differential)?,
            incremental: words("incremental", &self.incremental)?,
            trial: words("trial", &self.trial)?,
            grace: Duration::from_secs(self.alarm_minutes * 60),
        })
    }

    /// Checks what is no number.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.schedule()?;
        let bad = self.options.iter().find(|option| !option.contains('='));
        require(bad.is_none(), "backup.options", || {
            format!("{:?} is not of the form NAME=VALUE", bad.unwrap_or(&String::new()))
        })
    }
}
