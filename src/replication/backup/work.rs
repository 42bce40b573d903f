//! Work with backups that a node is given: what it is, and the short queue where it waits.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use tokio::sync::Notify;

use crate::machine;
use crate::store::backup::check::Depth;
use crate::store::backup::{Kind, new_id};
use crate::store::identity::NodeId;

/// One piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Make a backup, check it, and remove those that are too old.
    BackUp(Kind),
    /// Check a backup.
    Check(String, Depth),
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BackUp(kind) => write!(f, "{kind} backup"),
            Self::Check(id, Depth::Parts) => write!(f, "check of backup {id}"),
            Self::Check(id, Depth::Trial) => write!(f, "restore of backup {id} on trial"),
        }
    }
}

/// The time of day, in milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    let since = machine::time_of_day().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Work that may wait at a node. More is refused: the leader asks again.
const WAITING_MAX: usize = 8;

/// Work that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What is done.
    pub work: Work,
    /// The backup that is made or checked. One that is made has its name from here on, so that whoever asked for it
    /// knows it among others.
    pub backup: String,
}

/// Why work is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// Nobody works here.
    #[error("this node has no backup target in its configuration")]
    NoTarget,
    /// It is being done or waits already.
    #[error("this node is at it already")]
    AtIt {
        /// The backup that is made or checked.
        backup: String,
    },
    /// Too much waits.
    #[error("too much other work with backups waits at this node")]
    Busy,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The node of which somebody works here.
    staffed: Option<NodeId>,
    queue: VecDeque<Job>,
    under_way: Option<Job>,
}

/// Where a node's work with backups waits.
#[derive(Debug, Default)]
pub struct Desk {
    waiting: Mutex<Waiting>,
    came: Notify,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on somebody works here.
    pub fn open(&self, node: NodeId) {
        self.lock().staffed = Some(node);
    }

    /// Takes work in, at this time of day in milliseconds since the Unix epoch. Returns the backup that is made or
    /// checked.
    ///
    /// # Errors
    /// [`Declined`].
    pub fn put(&self, work: Work, now_ms: u64) -> Result<String, Declined> {
        let mut waiting = self.lock();
        let node = waiting.staffed.ok_or(Declined::NoTarget)?;
        if let Some(same) = waiting.under_way.iter().chain(&waiting.queue).find(|job| job.work == work) {
            return Err(Declined::AtIt { backup: same.backup.clone() });
        }
        if waiting.queue.len() >= WAITING_MAX {
            return Err(Declined::Busy);
        }
        let backup = match &work {
            Work::BackUp(kind) => new_id(*kind, node, now_ms),
            Work::Check(id, _) => id.clone(),
        };
        waiting.queue.push_back(Job { work, backup: backup.clone() });
        drop(waiting);
        self.came.notify_one();
        Ok(backup)
    }

    /// Waits for the next piece of work; the one before is done.
    pub async fn next(&self) -> Job {
        loop {
            {
                let mut waiting = self.lock();
                waiting.under_way = waiting.queue.pop_front();
                if let Some(job) = &waiting.under_way {
                    return job.clone();
                }
            }
            self.came.notified().await;
        }
    }

    /// Whether anything is done or waits.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let waiting = self.lock();
        waiting.under_way.is_some() || !waiting.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_taken_once_in_order_and_within_bounds() {
        let desk = Desk::default();
        let full = Work::BackUp(Kind::Full);
        assert_eq!(desk.put(full.clone(), 1), Err(Declined::NoTarget));
        desk.open(NodeId(3));
        let backup = desk.put(full.clone(), 1).expect("taken");
        let at_it = Err(Declined::AtIt { backup: backup.clone() });
        assert_eq!(desk.put(full.clone(), 2), at_it, "it waits");
        assert_eq!(desk.next().await, Job { work: full.clone(), backup: backup.clone() });
        assert_eq!(desk.put(full, 3), at_it, "it is being done");
        let check = |number: usize| Work::Check(number.to_string(), Depth::Parts);
        for number in 0..WAITING_MAX {
            assert_eq!(desk.put(check(number), 4), Ok(number.to_string()));
        }
        assert_eq!(desk.put(check(WAITING_MAX), 4), Err(Declined::Busy));
        for number in 0..WAITING_MAX {
            assert_eq!(desk.next().await.work, check(number));
        }
        assert!(desk.is_busy());
    }
}
