//! What the clients of a drill write down together: the history, and the longest pause.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::checker::{History, Moment, OperationId, Read, ReadKind, ReadLevel};
use crate::client::{ClientError, api};

/// One notebook for all clients. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    began: Instant,
    history: Mutex<History>,
    pause: Mutex<Pause>,
    acknowledged: AtomicU64,
    reads: AtomicU64,
    last_sequence: AtomicU64,
    failures: Mutex<BTreeMap<String, u64>>,
}

/// The longest time without an answer to a steady writer.
#[derive(Debug)]
struct Pause {
    last: Instant,
    longest: Duration,
}

/// Nothing panics while it holds one of these, and what they guard is whole after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    /// An empty notebook; time begins now.
    pub fn new() -> Self {
        let began = Instant::now();
        let shared = Shared {
            began,
            history: Mutex::default(),
            pause: Mutex::new(Pause { last: began, longest: Duration::ZERO }),
            acknowledged: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            last_sequence: AtomicU64::new(0),
            failures: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The time of the run.
    pub fn now(&self) -> Moment {
        Moment(u64::try_from(self.shared.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Notes commands before they are sent.
    pub fn sent(&self, commands: &[api::Command]) -> Vec<OperationId> {
        let at = self.now();
        let mut history = lock(&self.shared.history);
        commands.iter().map(|command| history.sent(command, at)).collect()
    }

    /// Notes their answers, after they came.
    pub fn answered(&self, operations: &[OperationId], results: &[api::CommandResult]) {
        let at = self.now();
        let mut history = lock(&self.shared.history);
        for (operation, result) in operations.iter().zip(results) {
            history.answered(*operation, result, at);
            let sequence = result.position.unwrap_or_default().sequence;
            self.shared.last_sequence.fetch_max(sequence, Ordering::Relaxed);
        }
        self.shared.acknowledged.fetch_add(results.len() as u64, Ordering::Relaxed);
    }

    /// Notes that a call got no answer; its commands may have been carried out.
    pub fn failed(&self, error: &ClientError) {
        let name = match error {
            ClientError::Refused(refusal) if refusal.reason.is_empty() => format!("{:?}", refusal.code),
            ClientError::Refused(refusal) => refusal.reason.clone(),
            ClientError::Deadline { .. } => "DEADLINE".to_owned(),
            other => other.to_string(),
        };
        *lock(&self.shared.failures).entry(name).or_default() += 1;
    }

    /// Notes a read.
    pub fn read(&self, level: ReadLevel, sent: Moment, saw: ReadKind) {
        let answered = self.now();
        lock(&self.shared.history).read(Read { level, sent, answered, saw });
        self.shared.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// A steady writer was answered.
    pub fn heartbeat(&self) {
        let now = Instant::now();
        let mut pause = lock(&self.shared.pause);
        pause.longest = pause.longest.max(now.saturating_duration_since(pause.last));
        pause.last = now;
    }

    /// The longest pause since this was asked last, the one that lasts now among them.
    pub fn take_pause(&self) -> Duration {
        let mut pause = lock(&self.shared.pause);
        let longest = pause.longest.max(pause.last.elapsed());
        pause.longest = Duration::ZERO;
        longest
    }

    /// Commands answered so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// The last event that any client was told of.
    pub fn last_sequence(&self) -> u64 {
        self.shared.last_sequence.load(Ordering::Relaxed)
    }

    /// Calls that got no answer, by reason.
    pub fn failures(&self) -> BTreeMap<String, u64> {
        lock(&self.shared.failures).clone()
    }

    /// Everything that was written down; the notebook is empty then.
    pub fn take_history(&self) -> History {
        std::mem::take(&mut *lock(&self.shared.history))
    }
}
