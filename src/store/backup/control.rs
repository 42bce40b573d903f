//! What a long piece of work is told, and what it tells: to stop, to go slowly, how far it has come.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::BackupError;

/// The longest sleep without a look at whether to stop.
const NAP: Duration = Duration::from_millis(50);

/// The reins of one backup, check or restore. Shared between who works and who watches.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    bytes: AtomicU64,
    hurry: AtomicBool,
    /// Bytes a second that are moved at most; as fast as it goes when zero.
    bytes_per_second_max: u64,
}

impl Control {
    /// Moves no more than so many bytes a second; zero is no limit.
    #[must_use]
    pub fn paced(bytes_per_second_max: u64) -> Self {
        Self { bytes_per_second_max, ..Self::default() }
    }

    /// Tells the work to end soon, with [`BackupError::Stopped`].
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the work goes as fast as it can from now on, whatever its pace was to be.
    pub fn hurry(&self, hurry: bool) {
        self.hurry.store(hurry, Ordering::Relaxed);
    }

    /// Bytes moved so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn check(&self) -> Result<(), BackupError> {
        if self.stop.load(Ordering::Relaxed) { Err(BackupError::Stopped) } else { Ok(()) }
    }

    /// Notes bytes that were moved, and waits if that was too fast.
    pub(super) fn moved(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(nanos) = (u128::from(bytes) * 1_000_000_000).checked_div(u128::from(self.bytes_per_second_max)) {
            let mut left = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            // In short pieces, so that it can be told to stop or to hurry.
            let told = || self.stop.load(Ordering::Relaxed) || self.hurry.load(Ordering::Relaxed);
            while !left.is_zero() && !told() {
                let nap = left.min(NAP);
                std::thread::sleep(nap);
                left -= nap;
            }
        }
    }
}
