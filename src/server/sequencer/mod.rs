//! The leader's sequencer: gathers the commands of all clients into proposals and stamps the time.
//!
//! Requests come in by a bounded queue. An idle sequencer proposes at once; when proposals are in
//! flight, what arrives meanwhile makes the next ones larger. Nothing waits for a clock. When
//! leadership is lost every waiting request is told at once. Proposals carry tickets, so that one whose
//! predecessor Raft refused is void and no command overtakes another. [`SequencerTask`] is the one task,
//! which the node runs; [`Sequencer`] is the handle.

mod batch;
mod gather;
mod lane;

pub use batch::Batch;
pub use lane::Lane;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::gather::{Gatherer, Request, Shares};
use super::errors::{Refusal, not_leader};
use super::limits::SequencerConfig;
use crate::core::command::Ticket;
use crate::core::types::{Term, Timestamp};
use crate::machine;
use crate::replication::{Applied, Leadership, Pending, Published, Replica};

/// How often an idle leader looks at the next deadline, at least.
const DEADLINE_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How soon a tick that was refused is proposed again, at most.
const TICK_RETRY: Duration = Duration::from_millis(5);

/// The outcomes of some commands of a request: `count` from place `first` of what was applied.
#[derive(Debug, Clone)]
pub struct Part {
    /// What a whole proposal did.
    pub applied: Applied,
    /// The place of the first command in the proposal.
    pub first: usize,
    /// How many commands.
    pub count: usize,
}

/// The answer to a request: the outcomes of its commands, in order.
pub type Answer = Result<Vec<Part>, Refusal>;

/// An answer on its way. Dropping it does not take the request back.
#[derive(Debug)]
pub struct Waiting(oneshot::Receiver<Answer>);

impl Future for Waiting {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(Refusal::ShuttingDown)))
    }
}

/// Gives requests to the sequencer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sequencer {
    queue: mpsc::Sender<Request>,
    commands: Arc<Semaphore>,
    leadership: watch::Receiver<Leadership>,
}

impl Sequencer {
    /// A lane under the leader of now, for a session whose requests keep their order.
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane::new(self.leadership.borrow().term)
    }

    /// Queues a request now; its answer comes later. Requests of one lane are carried out in their
    /// order: after one that is refused here, none is.
    ///
    /// # Errors
    /// At once, when this node does not lead or too much is queued; nothing was queued then.
    pub fn submit(&self, batch: Batch, lane: Option<&Lane>) -> Result<Waiting, Refusal> {
        let queued = self.try_submit(batch, lane);
        if let (Err(_), Some(lane)) = (&queued, lane) {
            lane.close();
        }
        queued
    }

    fn try_submit(&self, batch: Batch, lane: Option<&Lane>) -> Result<Waiting, Refusal> {
        {
            let leadership = self.leadership.borrow();
            if !leadership.serving {
                return Err(not_leader(leadership.leader.as_ref()));
            }
            if lane.is_some_and(|lane| !lane.is_open(leadership.term)) {
                return Err(Refusal::SessionClosed);
            }
        }
        let full = |_| Refusal::Overloaded("commands queued");
        let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let permit = self.commands.clone().try_acquire_many_owned(count).map_err(full)?;
        let (reply, answer) = oneshot::channel();
        let request = Request { batch, reply, lane: lane.cloned(), permit: Some(permit) };
        self.queue.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Overloaded("requests queued"),
            mpsc::error::TrySendError::Closed(_) => Refusal::ShuttingDown,
        })?;
        Ok(Waiting(answer))
    }
}

/// A proposal on its way, and whose commands it holds.
#[derive(Debug)]
struct Flight {
    pending: Pending,
    shares: Shares,
    ticket: Ticket,
}

/// The sequencer's one task.
#[derive(Debug)]
pub struct SequencerTask {
    replica: Replica,
    queue: mpsc::Receiver<Request>,
    leadership: watch::Receiver<Leadership>,
    published: watch::Receiver<Published>,
    gatherer: Gatherer,
    flights: VecDeque<Flight>,
    config: SequencerConfig,
    /// The next proposal's ticket, and the term it counts in: in each term a leader counts anew.
    ticket: Ticket,
    term: Term,
    /// A proposal of this run was refused: those behind it are void, and nothing more is proposed
    /// until all of them are settled.
    broken: bool,
    /// The latest time proposed.
    time: Timestamp,
}

/// A sequencer over this replica: the handle, and the task for the node to run.
#[must_use]
pub fn sequencer(replica: &Replica, config: &SequencerConfig) -> (Sequencer, SequencerTask) {
    let commands_max = config.queue_commands_max.min(Semaphore::MAX_PERMITS);
    // A request has a command at least, so that the places of the commands bound the queue too.
    let (sender, queue) = mpsc::channel(commands_max);
    let leadership = replica.leadership();
    let commands = Arc::new(Semaphore::new(commands_max));
    let handle = Sequencer { queue: sender, commands, leadership: leadership.clone() };
    let task = SequencerTask {
        replica: replica.clone(),
        queue,
        leadership,
        published: replica.published(),
        gatherer: Gatherer::new(config.clone()),
        flights: VecDeque::with_capacity(config.window),
        config: config.clone(),
        ticket: Ticket { run: 1, number: 0 },
        term: Term(0),
        broken: false,
        time: Timestamp(0),
    };
    (handle, task)
}

enum Wake {
    Settled(Result<Applied, Refusal>),
    Leadership,
    Request(Option<Request>),
    Deadline,
}

impl SequencerTask {
    /// Runs until every [`Sequencer`] is dropped.
    pub async fn run(mut self) {
        loop {
            match self.wake().await {
                Wake::Settled(outcome) => {
                    if let Some(flight) = self.flights.pop_front() {
                        self.broken |= outcome.is_err() && flight.ticket.run == self.ticket.run;
                        self.gatherer.settle(flight.shares, &outcome);
                    }
                }
                Wake::Leadership => self.check_leadership(),
                Wake::Request(Some(request)) => self.gatherer.push(request),
                Wake::Request(None) => break,
                Wake::Deadline => self.tick_if_due(),
            }
            self.fill_window();
        }
        self.gatherer.refuse_unproposed(&Refusal::ShuttingDown);
    }

    async fn wake(&mut self) -> Wake {
        let idle_until = self.next_look();
        let settled = async {
            match self.flights.front_mut() {
                Some(flight) => (&mut flight.pending).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            outcome = settled => Wake::Settled(outcome.map_err(Refusal::from).and_then(not_void)),
            Ok(()) = self.leadership.changed() => Wake::Leadership,
            request = self.queue.recv() => Wake::Request(request),
            () = tokio::time::sleep(idle_until) => Wake::Deadline,
        }
    }

    /// Makes proposals while there are commands and room for them.
    fn fill_window(&mut self) {
        while let Ok(request) = self.queue.try_recv() {
            self.gatherer.push(request);
        }
        if self.broken && self.flights.is_empty() {
            self.ticket = Ticket { run: self.ticket.run + 1, number: 0 };
            self.broken = false;
        }
        while self.gatherer.has_commands() && self.has_room() {
            if !self.leadership.borrow().serving {
                self.refuse_not_leader();
                return;
            }
            self.propose();
        }
    }

    /// A full proposal needs a place in the window. One that is not full waits, besides, until few
    /// are in flight: under load the commands gather meanwhile, and a fuller proposal costs less.
    fn has_room(&self) -> bool {
        if self.broken {
            return false;
        }
        let limit = if self.gatherer.fills_proposal() { self.config.window } else { self.config.window_partial };
        self.flights.len() < limit
    }

    fn propose(&mut self) {
        self.time = self.time.max(now());
        let term = self.leadership.borrow().term;
        if term != self.term {
            (self.term, self.ticket) = (term, Ticket { run: self.ticket.run + 1, number: 0 });
        }
        let ticket = self.ticket;
        self.ticket.number += 1;
        let (bytes, shares) = self.gatherer.next_proposal(self.time, term, ticket);
        match self.replica.propose(bytes.into()) {
            Ok(pending) => self.flights.push_back(Flight { pending, shares, ticket }),
            Err(error) => {
                self.broken = true;
                self.gatherer.settle(shares, &Err(error.into()));
            }
        }
    }

    fn check_leadership(&mut self) {
        if !self.leadership.borrow_and_update().serving {
            self.refuse_not_leader();
        }
    }

    /// Tells every waiting request that it has to go elsewhere. Those in flight get their answer from
    /// the replica, which may be their outcome still.
    fn refuse_not_leader(&mut self) {
        while let Ok(request) = self.queue.try_recv() {
            self.gatherer.push(request);
        }
        let refusal = not_leader(self.leadership.borrow().leader.as_ref());
        self.gatherer.refuse_unproposed(&refusal);
    }

    /// The next deadline, unless something in flight takes care of it. What is refused does not: then
    /// it is still to come when nothing is in flight any more.
    fn next_deadline(&self) -> Option<Timestamp> {
        let covered = if self.flights.is_empty() { Timestamp(0) } else { self.time };
        let deadline = self.published.borrow().next_deadline.filter(|deadline| *deadline > covered);
        deadline.filter(|_| self.leadership.borrow().serving)
    }

    /// How long until the next deadline has to be looked at.
    fn next_look(&self) -> Duration {
        let left = self.next_deadline().map(|deadline| Duration::from_nanos(deadline.0.saturating_sub(now().0)));
        left.map_or(DEADLINE_LOOK_INTERVAL, |left| left.clamp(TICK_RETRY, DEADLINE_LOOK_INTERVAL))
    }

    /// Proposes an empty proposal, which ends what is due.
    fn tick_if_due(&mut self) {
        if !self.broken && self.next_deadline().is_some_and(|deadline| deadline <= now()) {
            self.propose();
        }
    }
}

/// A void proposal was carried out in no part: Raft refused one before it.
fn not_void(applied: Applied) -> Result<Applied, Refusal> {
    if applied.effects.void { Err(Refusal::NoMajority) } else { Ok(applied) }
}

/// The machine's clock, in nanoseconds since the Unix epoch.
fn now() -> Timestamp {
    let since = machine::time_of_day().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
