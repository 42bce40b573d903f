//! Backups: pieces of a cluster's history in named objects, and a data folder made from them.
//!
//! A backup is made by a node that runs, from its files alone: the newest snapshot (the image), records of
//! the journal, and entries of the log. The parts are written first and the [`manifest`] last; without
//! its manifest there is no backup. A restore takes an image, applies the log's entries from there on, and
//! compares what they do with the journal and with the digests that the manifests name: the state at
//! any event between two backups can be had, and nothing that differs is.
//!
//! [`write`](mod@write) makes one, [`plan`] finds what makes up a point, [`mod@restore`] makes the folder, [`check`]
//! looks whether one is good, [`retention`] removes what is old. [`vault`] is where they lie, [`seal`] its
//! encryption, [`objects`] the folder or object store behind it. All of it blocks, and none of it ends the
//! node when it fails.

mod catalogue;
pub mod check;
mod control;
mod error;
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
pub mod manifest;
pub mod objects;
mod part;
pub mod plan;
pub mod restore;
pub mod retention;
pub mod seal;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod vault;
pub mod write;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};

pub use catalogue::read_catalogue;
pub use control::Control;
pub use error::BackupError;
pub use manifest::{Kind, Manifest};
pub use part::Entry;

use crate::core::types::Timestamp;
use crate::machine;
use crate::store::identity::NodeId;

/// Bytes at which a part is closed; a part, and what is being put into it, is held in memory.
pub const PART_BYTES: usize = 32 << 20;

/// Bytes of the journal or the log read at once.
const READ_BYTES: usize = 4 << 20;

/// A name for a backup that is begun now, used by no other. Names sort by time.
#[must_use]
pub fn new_id(kind: Kind, node: NodeId, now_ms: u64) -> String {
    let time = date(now_ms).format("%Y%m%dT%H%M%S%3fZ");
    format!("{time}-{kind}-n{node}-{:08x}", machine::random() as u32)
}

/// When a backup of this name was begun, in milliseconds since the Unix epoch, by the clock of its node.
fn begun_ms(id: &str) -> Option<u64> {
    let time = NaiveDateTime::parse_from_str(id.split('-').next()?, "%Y%m%dT%H%M%S%3fZ").ok()?;
    u64::try_from(time.and_utc().timestamp_millis()).ok()
}

fn date(ms: u64) -> DateTime<Utc> {
    i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// A ledger's time for people.
#[must_use]
pub fn time_text(time: Timestamp) -> String {
    let seconds = i64::try_from(time.0 / 1_000_000_000).unwrap_or(i64::MAX);
    let date = DateTime::from_timestamp(seconds, (time.0 % 1_000_000_000) as u32);
    date.map_or_else(|| time.to_string(), |date| date.to_rfc3339_opts(SecondsFormat::Nanos, true))
}

/// A time as people write it: RFC 3339, or nanoseconds since the Unix epoch.
#[must_use]
pub fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(nanos) = text.parse() {
        return Some(Timestamp(nanos));
    }
    let nanos = DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()?;
    u64::try_from(nanos).ok().map(Timestamp)
}

/// A point for people.
#[must_use]
pub fn mark_text(mark: Option<&manifest::Mark>) -> String {
    mark.map_or_else(|| "none".to_owned(), |mark| format!("event {} of {}", mark.sequence, time_text(mark.time())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_when_its_backup_was_begun() {
        for ms in [0, 999, 1_767_225_600_123] {
            assert_eq!(begun_ms(&new_id(Kind::Full, NodeId(2), ms)), Some(ms));
        }
        assert_eq!(begun_ms("another"), None);
    }
}
