//! Watches the readers of streams. A stream is driven by its reader, so that one whose reader has stopped
//! is never asked for anything and cannot end itself: somebody else has to look at the clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::connection::HangUp;
use crate::machine::Instant;

/// How often the streams are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The streams under watch. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Patrol(Arc<Mutex<Streams>>);

/// As many as may be open at a time.
#[derive(Debug, Default)]
struct Streams {
    last: u64,
    open: BTreeMap<u64, Arc<Gauge>>,
}

#[derive(Debug)]
struct Gauge {
    limit: Duration,
    opened: Instant,
    /// Since when an answer lies unread, in microseconds after the opening; [`READ`] when none does.
    lying_since: AtomicU64,
    hang_up: HangUp,
}

const READ: u64 = u64::MAX;

/// A stream under watch, until it is dropped.
#[derive(Debug)]
pub struct Watched {
    number: u64,
    gauge: Arc<Gauge>,
    patrol: Patrol,
}

impl Patrol {
    fn lock(&self) -> MutexGuard<'_, Streams> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a stream: when an answer lies unread for longer than `limit`, its connection is ended.
    #[must_use]
    pub fn watch(&self, limit: Duration, hang_up: HangUp) -> Watched {
        let gauge = Arc::new(Gauge { limit, opened: Instant::now(), lying_since: AtomicU64::new(READ), hang_up });
        let mut streams = self.lock();
        streams.last += 1;
        let number = streams.last;
        streams.open.insert(number, gauge.clone());
        Watched { number, gauge, patrol: self.clone() }
    }

    /// Looks after the streams; never ends.
    pub async fn walk(self) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            for gauge in self.lock().open.values().filter(|gauge| gauge.is_left_lying()) {
                gauge.hang_up.hang_up();
            }
        }
    }
}

impl Gauge {
    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(READ - 1)
    }

    fn is_left_lying(&self) -> bool {
        let since = self.lying_since.load(Ordering::Relaxed);
        since != READ && Duration::from_micros(self.now().saturating_sub(since)) > self.limit
    }
}

impl Watched {
    /// An answer was handed out.
    pub fn handed_out(&self) {
        self.gauge.lying_since.store(self.gauge.now(), Ordering::Relaxed);
    }

    /// The reader came back for the next one.
    pub fn read(&self) {
        self.gauge.lying_since.store(READ, Ordering::Relaxed);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.patrol.lock().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_not_come_back_is_cut_off_and_who_does_is_not() {
        let patrol = Patrol::default();
        let (gone, reads, waits, ended) = (HangUp::default(), HangUp::default(), HangUp::default(), HangUp::default());
        let limit = Duration::from_millis(20);
        let watched: Vec<Watched> = [&gone, &reads, &waits].map(|it| patrol.watch(limit, it.clone())).into();
        watched[0].handed_out();
        watched[1].handed_out();
        watched[1].read();
        let over = patrol.watch(limit, ended.clone());
        over.handed_out();
        drop(over);
        let walk = tokio::time::timeout(LOOK_INTERVAL * 3, patrol.clone().walk());
        assert!(walk.await.is_err(), "a patrol never ends");
        assert!(gone.was_cut());
        assert!(!reads.was_cut() && !waits.was_cut() && !ended.was_cut());
        drop(watched);
        assert!(patrol.lock().open.is_empty());
    }
}
