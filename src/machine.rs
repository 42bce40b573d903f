//! What a node asks of its machine beside disk and network: threads, time, randomness.
//!
//! They are the operating system's, unless a simulation (tests/sim) has put its own [`Machine`] in
//! their place before the first node starts. Then threads take turns: one runs at a time, and gives
//! its turn away only where it would wait. So the same bodies run in the same order each time.
//! Where a thread waits for another one, it does so by what is here, and by nothing else.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvError, TryRecvError};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::task::Waker;
use std::time::{Duration, SystemTime};

/// A moment of the monotonic clock: the runtime's, so that it can be simulated.
pub use tokio::time::Instant;

/// What a thread does from its beginning to its end.
pub type Body = Box<dyn FnOnce() + Send>;

/// A machine that is not the real one.
pub trait Machine: Send + Sync {
    /// Begins a thread, which calls [`take_turns`] before anything else.
    ///
    /// # Errors
    /// When there can be no more threads.
    fn spawn(&self, name: &'static str, body: Body) -> io::Result<()>;
    /// The clock on the wall.
    fn time_of_day(&self) -> SystemTime;
    /// A number that nobody expects.
    fn random(&self) -> u64;
}

static SIMULATED: OnceLock<Box<dyn Machine>> = OnceLock::new();

/// Puts a machine in the place of the real one, for the whole process. Returns whether it was the first.
pub fn simulate(machine: Box<dyn Machine>) -> bool {
    SIMULATED.set(machine).is_ok()
}

/// Begins a thread of this name.
///
/// # Errors
/// When the system has no more threads.
pub fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    match SIMULATED.get() {
        None => std::thread::Builder::new().name(name.to_owned()).spawn(body).map(drop),
        Some(machine) => machine.spawn(name, Box::new(body)),
    }
}

/// Runs what blocks outside of the runtime's threads.
///
/// # Errors
/// When it panicked, or the runtime is ending.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let Some(machine) = SIMULATED.get() else {
        return tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    };
    let (sender, receiver) = tokio::sync::oneshot::channel();
    machine.spawn("blocking", Box::new(move || drop(sender.send(work()))))?;
    receiver.await.map_err(io::Error::other)
}

/// The clock on the wall.
#[must_use]
pub fn time_of_day() -> SystemTime {
    SIMULATED.get().map_or_else(SystemTime::now, |machine| machine.time_of_day())
}

/// A number from the machine's randomness.
///
/// The standard library's hash keys come from the system's random source, one pair per process;
/// hashing the time and a counter with them makes further numbers unique within it.
#[must_use]
pub fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    SIMULATED.get().map_or_else(|| RandomState::new().hash_one(SystemTime::now()), |machine| machine.random())
}

/// The turns of one thread of a simulation.
pub trait Turns {
    /// What is woken when that may have come for which the thread waits.
    fn waker(&self) -> Waker;
    /// Gives the turn away until the waker is woken; no longer than `limit`. Returns whether it was woken.
    fn wait(&self, limit: Option<Duration>) -> bool;
}

thread_local! {
    static TURNS: RefCell<Option<Rc<dyn Turns>>> = const { RefCell::new(None) };
}

/// From now on this thread runs only in its turns.
pub fn take_turns(turns: Rc<dyn Turns>) {
    TURNS.with(|cell| *cell.borrow_mut() = Some(turns));
}

/// The turns of this thread, if it takes turns.
#[must_use]
pub fn turns() -> Option<Rc<dyn Turns>> {
    TURNS.with(|cell| cell.borrow().clone())
}

/// How often a thread that takes turns looks for what nobody tells it of.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The next message, as [`Receiver::recv`].
///
/// # Errors
/// When there is none and no sender is left.
pub fn receive<T>(receiver: &Receiver<T>) -> Result<T, RecvError> {
    let Some(turns) = turns() else { return receiver.recv() };
    loop {
        match receiver.try_recv() {
            Ok(message) => return Ok(message),
            Err(TryRecvError::Disconnected) => return Err(RecvError),
            Err(TryRecvError::Empty) => drop(turns.wait(Some(LOOK_EVERY))),
        }
    }
}

/// Takes a lock whose holder may wait for the disk.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    let Some(turns) = turns() else { return mutex.lock().unwrap_or_else(PoisonError::into_inner) };
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => drop(turns.wait(Some(LOOK_EVERY))),
        }
    }
}

/// By this threads wait for a change of what a mutex guards. Wakes without a reason are possible.
#[derive(Debug, Default)]
pub struct Signal {
    condvar: Condvar,
    /// Whether a thread that takes turns waits.
    awaited: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Signal {
    /// Tells all that wait.
    pub fn notify(&self) {
        self.condvar.notify_all();
        if self.awaited.load(Ordering::Relaxed) {
            self.awaited.store(false, Ordering::Relaxed);
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Lets go of the mutex until told.
    pub fn wait<'a, T>(&self, mutex: &'a Mutex<T>, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        match turns() {
            None => self.condvar.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Some(turns) => self.give_away(turns.as_ref(), mutex, guard, None).0,
        }
    }

    /// Lets go of the mutex until told, no longer than `limit`. Returns whether it was told.
    pub fn wait_for<'a, T>(
        &self,
        mutex: &'a Mutex<T>,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        match turns() {
            None => {
                let waited = self.condvar.wait_timeout(guard, limit);
                let (guard, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                (guard, !waited.timed_out())
            }
            Some(turns) => self.give_away(turns.as_ref(), mutex, guard, Some(limit)),
        }
    }

    fn give_away<'a, T>(
        &self,
        turns: &dyn Turns,
        mutex: &'a Mutex<T>,
        guard: MutexGuard<'a, T>,
        limit: Option<Duration>,
    ) -> (MutexGuard<'a, T>, bool) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(turns.waker());
        self.awaited.store(true, Ordering::Relaxed);
        drop(guard);
        let told = turns.wait(limit);
        (lock(mutex), told)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_signal_wakes_who_waits_and_a_limit_ends_the_wait() {
        let shared = Arc::new((Mutex::new(false), Signal::default()));
        let theirs = Arc::clone(&shared);
        spawn("teller", move || {
            *theirs.0.lock().expect("not poisoned") = true;
            theirs.1.notify();
        })
        .expect("a thread");
        let mut told = shared.0.lock().expect("not poisoned");
        while !*told {
            told = shared.1.wait(&shared.0, told);
        }
        let (guard, woken) = shared.1.wait_for(&shared.0, told, Duration::from_millis(1));
        assert!(*guard && !woken);
    }

    #[tokio::test]
    async fn what_blocks_gives_its_result_and_a_panic_an_error() {
        assert_eq!(blocking(|| 7).await.expect("done"), 7);
        assert!(blocking(|| panic!("on purpose")).await.is_err());
        assert_ne!((random(), random()), (random(), random()));
    }
}
