//! Keeping the log until it is backed up.
//!
//! By itself openraft purges what a snapshot covers. With backups the log has to be there until the next
//! one has taken it, or points between two backups could not be restored. So openraft is told to keep
//! everything, and this decides what it purges: as much as it would have, but nothing that waits for
//! a backup, as long as the log does not grow beyond its bound.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::super::fault::Fault;
use super::super::replica::Replica;
use super::super::status;
use crate::core::types::LogIndex;
use tokio::time::{MissedTickBehavior, interval};

/// Between two looks at the log.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Nothing is held.
const NOTHING: u64 = u64::MAX;

/// What of the log waits for a backup.
#[derive(Debug)]
pub struct Hold {
    from: AtomicU64,
    /// Whether a backup is being written here, which takes the log from its snapshot on.
    writing: AtomicBool,
    bytes_max: u64,
}

impl Hold {
    /// Holds everything until it is known what waits, and never more than so many bytes of log.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        Self { from: AtomicU64::new(0), writing: AtomicBool::new(false), bytes_max }
    }

    /// From now on everything from this entry on waits.
    pub fn keep_from(&self, index: LogIndex) {
        self.from.store(index.0, Ordering::Relaxed);
    }

    /// Nothing waits.
    pub fn release(&self) {
        self.from.store(NOTHING, Ordering::Relaxed);
    }

    /// All that is there waits, for as long as what is returned is kept: a backup is being written.
    pub fn write(&self) -> Writing<'_> {
        self.writing.store(true, Ordering::Relaxed);
        Writing(self)
    }

    /// The first entry that waits.
    #[must_use]
    pub fn from(&self) -> Option<LogIndex> {
        Some(self.from.load(Ordering::Relaxed)).filter(|from| *from != NOTHING).map(LogIndex)
    }

    /// Whether a log of so many bytes should be backed up soon, so that it can be purged.
    #[must_use]
    pub fn presses(&self, log_bytes: u64) -> bool {
        let waits = self.from().is_some() || self.writing.load(Ordering::Relaxed);
        waits && log_bytes > self.bytes_max / 2
    }

    /// The end of what may be purged, of what `snapshot_end` and the entries to be `kept` allow.
    fn purge_end(&self, snapshot_end: u64, kept: u64, log_bytes: u64) -> u64 {
        let free = snapshot_end.saturating_sub(kept);
        if log_bytes > self.bytes_max {
            free
        } else if self.writing.load(Ordering::Relaxed) {
            0
        } else {
            free.min(self.from.load(Ordering::Relaxed))
        }
    }
}

/// A backup that is being written.
#[derive(Debug)]
#[must_use]
pub struct Writing<'a>(&'a Hold);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.writing.store(false, Ordering::Relaxed);
    }
}

impl Replica {
    /// Purges the log as far as nothing waits for a backup, until the node is stopped.
    ///
    /// # Errors
    /// When Raft has ended.
    pub async fn tend_log(&self, hold: &Hold) -> Result<(), Fault> {
        let kept = self.shared.peers.config().keep_entries;
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let metrics = status::metrics(&self.shared.raft);
            let Some(snapshot) = metrics.snapshot else { continue };
            let end = hold.purge_end(snapshot.index + 1, kept, self.shared.log.disk_bytes());
            let begin = metrics.purged.map_or(0, |purged| purged.index + 1);
            // In pieces, as openraft would.
            if end < begin + (kept / 8).max(1) {
                continue;
            }
            if hold.from().is_some_and(|from| from.0 < end) {
                tracing::error!(
                    entries = end,
                    "the log outgrew its bound before it was backed up, and is purged: points in between are lost"
                );
            }
            self.shared.raft.trigger().purge_log(end - 1).await.map_err(|error| Fault::Raft(error.to_string()))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_kept_until_the_log_outgrows_its_bound() {
        let hold = Hold::new(1_000);
        assert_eq!(hold.purge_end(500, 100, 900), 0, "what waits is not known yet");
        hold.release();
        assert_eq!((hold.from(), hold.presses(900)), (None, false));
        assert_eq!(hold.purge_end(500, 100, 900), 400, "as openraft would");
        hold.keep_from(LogIndex(250));
        assert_eq!(hold.purge_end(500, 100, 900), 250);
        assert_eq!(hold.purge_end(300, 100, 900), 200, "nothing that no snapshot covers");
        assert_eq!(hold.purge_end(50, 100, 900), 0);
        assert!(hold.presses(501) && !hold.presses(500));
        hold.release();
        let writing = hold.write();
        assert_eq!(hold.purge_end(500, 100, 900), 0, "a backup reads it");
        assert!(hold.presses(501));
        assert_eq!(hold.purge_end(500, 100, 1_001), 400, "a full disk is worse than one backup");
        drop(writing);
        assert_eq!(hold.purge_end(500, 100, 900), 400);
        hold.keep_from(LogIndex(250));
        assert_eq!(hold.purge_end(500, 100, 1_001), 400, "a full disk is worse than a gap");
    }
}
