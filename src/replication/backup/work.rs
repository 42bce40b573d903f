//! Work with backups that a node is given: what it is, and the short queue where it waits.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::store::backup::Kind;
use crate::store::backup::check::Depth;

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

/// Work that may wait at a node. More is refused: the leader asks again.
const WAITING_MAX: usize = 8;

/// Why work is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// Nobody works here.
    #[error("this node has no backup target in its configuration")]
    NoTarget,
    /// It is being done or waits already.
    #[error("this node is at it already")]
    AtIt,
    /// Too much waits.
    #[error("too much other work with backups waits at this node")]
    Busy,
}

#[derive(Debug, Default)]
struct Waiting {
    staffed: bool,
    queue: VecDeque<Work>,
    under_way: Option<Work>,
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
    pub fn open(&self) {
        self.lock().staffed = true;
    }

    /// Takes work in.
    ///
    /// # Errors
    /// [`Declined`].
    pub fn put(&self, work: Work) -> Result<(), Declined> {
        let mut waiting = self.lock();
        if !waiting.staffed {
            return Err(Declined::NoTarget);
        }
        if waiting.under_way.as_ref() == Some(&work) || waiting.queue.contains(&work) {
            return Err(Declined::AtIt);
        }
        if waiting.queue.len() >= WAITING_MAX {
            return Err(Declined::Busy);
        }
        waiting.queue.push_back(work);
        drop(waiting);
        self.came.notify_one();
        Ok(())
    }

    /// Waits for the next piece of work; the one before is done.
    pub async fn next(&self) -> Work {
        loop {
            {
                let mut waiting = self.lock();
                waiting.under_way = waiting.queue.pop_front();
                if let Some(work) = &waiting.under_way {
                    return work.clone();
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
        assert_eq!(desk.put(full.clone()), Err(Declined::NoTarget));
        desk.open();
        desk.put(full.clone()).expect("taken");
        assert_eq!(desk.put(full.clone()), Err(Declined::AtIt), "it waits");
        assert_eq!(desk.next().await, full);
        assert_eq!(desk.put(full), Err(Declined::AtIt), "it is being done");
        let check = |number: usize| Work::Check(number.to_string(), Depth::Parts);
        for number in 0..WAITING_MAX {
            desk.put(check(number)).expect("taken");
        }
        assert_eq!(desk.put(check(WAITING_MAX)), Err(Declined::Busy));
        for number in 0..WAITING_MAX {
            assert_eq!(desk.next().await, check(number));
        }
        assert!(desk.is_busy());
    }
}
