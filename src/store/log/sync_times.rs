//! How long the log's syncs take, for those who watch the disk.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The syncs of the log since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SyncTimes {
    /// How many.
    pub count: u64,
    /// The longest.
    pub max: Duration,
    /// All of them.
    pub total: Duration,
}

/// Times syncs, one at a time.
#[derive(Debug, Default)]
pub(super) struct SyncClock {
    inner: Mutex<(Option<Instant>, SyncTimes)>,
}

impl SyncClock {
    fn lock(&self) -> MutexGuard<'_, (Option<Instant>, SyncTimes)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Times what `sync` does.
    pub fn time<T>(&self, sync: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        self.lock().0 = Some(started);
        let done = sync();
        let took = started.elapsed();
        let mut inner = self.lock();
        inner.0 = None;
        let times = &mut inner.1;
        *times = SyncTimes { count: times.count + 1, max: times.max.max(took), total: times.total + took };
        done
    }

    pub fn times(&self) -> SyncTimes {
        self.lock().1
    }

    /// How long the sync that runs now has been running.
    pub fn running(&self) -> Option<Duration> {
        self.lock().0.map(|started| started.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_is_seen_while_it_runs_and_counted_after() {
        let clock = SyncClock::default();
        assert_eq!((clock.running(), clock.times()), (None, SyncTimes::default()));
        clock.time(|| {
            std::thread::sleep(Duration::from_millis(2));
            assert!(clock.running().is_some_and(|running| running >= Duration::from_millis(2)));
        });
        clock.time(|| ());
        let times = clock.times();
        assert_eq!((clock.running(), times.count), (None, 2));
        assert!(times.max >= Duration::from_millis(2) && times.total >= times.max);
    }
}
