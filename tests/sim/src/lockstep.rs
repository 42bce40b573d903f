//! The simulated machine: threads in lock step, time and randomness from the seed.
//!
//! Each thread of a node is a real one, with a real stack, but only one thread of the process runs at
//! a time. A thread that waits gives its turn to the simulation's own thread; a task of its node's
//! runtime gives the turn back when the thread was woken, or its time has come. A node's crash drops
//! the runtime, and with it the tasks; each of them then ends its thread by unwinding.

use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use counterfoil::machine::{self, Body, Machine, Turns};
use counterfoil::store::testing::Random;
use tokio::runtime::{Handle, Id};

/// When every simulation begins: 2027-01-01 00:00:00 UTC, in seconds.
const EPOCH_SECONDS: u64 = 1_798_761_600;

/// Takes a lock that nobody holds while it panics half-way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Simulation,
    Thread,
}

/// What a thread that gave its turn away waits for.
#[derive(Debug, Clone, Copy)]
enum Wish {
    /// To be woken, or the time.
    Woken(Option<Duration>),
    /// The time, whoever wakes it.
    Time(Duration),
    /// Nothing: it has ended.
    Ended,
}

#[derive(Debug)]
struct State {
    turn: Side,
    wish: Wish,
    /// Woken since it last ran.
    woken: bool,
    /// It shall end now.
    killed: bool,
    /// The task that gives the turn.
    task: Option<Waker>,
}

/// One thread, and the turns it takes.
#[derive(Debug)]
struct Baton {
    state: Mutex<State>,
    changed: Condvar,
}

impl Wake for Baton {
    fn wake(self: Arc<Self>) {
        let mut state = lock(&self.state);
        state.woken = true;
        if let Some(task) = state.task.take() {
            drop(state);
            task.wake();
        }
    }
}

/// With this a killed thread unwinds.
struct Killed;

impl Baton {
    fn new() -> Arc<Self> {
        let state =
            State { turn: Side::Simulation, wish: Wish::Time(Duration::ZERO), woken: false, killed: false, task: None };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() })
    }

    fn hand_over(&self, mut state: MutexGuard<'_, State>, to: Side) {
        let me = state.turn;
        state.turn = to;
        self.changed.notify_all();
        while state.turn != me {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the thread run until it waits; says for what.
    fn run(&self) -> Wish {
        self.hand_over(lock(&self.state), Side::Thread);
        lock(&self.state).wish
    }

    /// On the thread: lets the simulation go on until the wish has come true. Returns whether it was woken.
    fn wait(&self, wish: Wish) -> bool {
        if std::thread::panicking() {
            // On its way out: it waits for nothing any more.
            return true;
        }
        let mut state = lock(&self.state);
        if !state.killed {
            state.wish = wish;
            self.hand_over(state, Side::Simulation);
            state = lock(&self.state);
        }
        if state.killed {
            drop(state);
            resume_unwind(Box::new(Killed));
        }
        std::mem::take(&mut state.woken)
    }

    fn poll_woken(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.woken {
            return Poll::Ready(());
        }
        state.task = Some(context.waker().clone());
        Poll::Pending
    }
}

/// The thread's own end of the baton.
struct Mine(Arc<Baton>);

impl Turns for Mine {
    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.0))
    }

    fn wait(&self, limit: Option<Duration>) -> bool {
        self.0.wait(Wish::Woken(limit))
    }
}

thread_local! {
    static MINE: std::cell::RefCell<Option<Arc<Baton>>> = const { std::cell::RefCell::new(None) };
}

/// Lets this thread sleep for a simulated while. Does nothing on the simulation's own thread.
pub fn sleep(time: Duration) {
    if let Some(baton) = MINE.with(|mine| mine.borrow().clone()) {
        baton.wait(Wish::Time(time));
    }
}

/// Gives a thread its turns. When it is dropped before the thread has ended, the thread is killed.
struct Driver {
    baton: Arc<Baton>,
    ended: bool,
}

impl Driver {
    async fn drive(mut self) {
        loop {
            let wish = self.baton.run();
            match wish {
                Wish::Ended => {
                    self.ended = true;
                    return;
                }
                Wish::Time(time) => tokio::time::sleep(time).await,
                Wish::Woken(limit) => {
                    let woken = std::future::poll_fn(|context| self.baton.poll_woken(context));
                    match limit {
                        None => woken.await,
                        Some(limit) => drop(tokio::time::timeout(limit, woken).await),
                    }
                }
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if !self.ended {
            let mut state = lock(&self.baton.state);
            state.killed = true;
            self.baton.hand_over(state, Side::Thread);
        }
    }
}

/// What the threads of all nodes share.
#[derive(Debug)]
pub struct Lockstep {
    random: Mutex<Random>,
    /// By runtime: how far its host's wall clock is off, in milliseconds.
    clocks: Mutex<HashMap<Id, Arc<AtomicI64>>>,
}

/// Simulated time since the beginning, in milliseconds.
static ELAPSED_MS: AtomicU64 = AtomicU64::new(0);

/// Simulated time since the beginning, in milliseconds.
pub fn elapsed_ms() -> u64 {
    ELAPSED_MS.load(Ordering::Relaxed)
}

/// What a wall clock shows that is right, since the Unix epoch.
pub fn true_time() -> Duration {
    Duration::from_secs(EPOCH_SECONDS) + Duration::from_millis(elapsed_ms())
}

/// Says how much simulated time has passed.
pub fn set_elapsed(elapsed: Duration) {
    ELAPSED_MS.store(elapsed.as_millis() as u64, Ordering::Relaxed);
}

impl Lockstep {
    /// Puts a machine that follows from the seed in the place of the real one.
    pub fn install(seed: u64) -> Arc<Self> {
        let random = Mutex::new(Random(seed ^ 0x6d61_6368_696e_6500));
        let shared = Arc::new(Self { random, clocks: Mutex::default() });
        assert!(machine::simulate(Box::new(Shared(shared.clone()))), "one simulation a process");
        shared
    }

    /// The host whose runtime this is has this wall clock: how far it is off, in milliseconds.
    pub fn enter(&self, off_ms: Arc<AtomicI64>) {
        lock(&self.clocks).insert(Handle::current().id(), off_ms);
    }
}

/// The machine as the product sees it.
struct Shared(Arc<Lockstep>);

impl Machine for Shared {
    fn spawn(&self, name: &'static str, body: Body) -> io::Result<()> {
        let baton = Baton::new();
        let (theirs, runtime) = (Arc::clone(&baton), Handle::current());
        std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&theirs, &runtime, body))?;
        Handle::current().spawn(Driver { baton, ended: false }.drive());
        Ok(())
    }

    fn time_of_day(&self) -> SystemTime {
        let off_ms = lock(&self.0.clocks).get(&Handle::current().id()).map_or(0, |off| off.load(Ordering::Relaxed));
        let true_ms = true_time().as_millis() as u64;
        UNIX_EPOCH + Duration::from_millis(true_ms.saturating_add_signed(off_ms))
    }

    fn random(&self) -> u64 {
        lock(&self.0.random).next()
    }
}

/// A thread from its first turn to its last.
fn run(baton: &Arc<Baton>, runtime: &Handle, body: Body) {
    {
        let mut state = lock(&baton.state);
        while state.turn != Side::Thread {
            state = baton.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.killed {
            drop(state);
            drop(body);
            return end(baton);
        }
    }
    // So that the clock is the node's.
    let _entered = runtime.enter();
    machine::take_turns(Rc::new(Mine(Arc::clone(baton))));
    MINE.with(|mine| *mine.borrow_mut() = Some(Arc::clone(baton)));
    let ended = catch_unwind(AssertUnwindSafe(body));
    if let Err(panic) = ended
        && !panic.is::<Killed>()
    {
        tracing::error!(panic = words(panic.as_ref()), "a thread panicked");
    }
    end(baton);
}

fn end(baton: &Baton) {
    let mut state = lock(&baton.state);
    state.wish = Wish::Ended;
    state.turn = Side::Simulation;
    baton.changed.notify_all();
}

/// A panic's message.
pub fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
