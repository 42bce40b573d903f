//! Gathers requests into proposals and answers into requests. No I/O and no waiting: the loop in
//! [`super`] drives it.
//!
//! A proposal takes commands of the requests in the order of their arrival, up to a number and a
//! size, without cutting a chain. A request may span proposals and a proposal may hold requests.
//! Proposals are answered in the order in which they were made.

use std::collections::VecDeque;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{Answer, Batch, Lane, Part};
use crate::core::Encode;
use crate::core::command::Ticket;
use crate::core::types::{Term, Timestamp};
use crate::replication::Applied;
use crate::server::errors::Refusal;
use crate::server::limits::SequencerConfig;

/// Room for what stands before the commands of a proposal.
const HEAD_BYTES: usize = 64;

/// A request on its way from a client's task.
#[derive(Debug)]
pub(super) struct Request {
    pub batch: Batch,
    pub reply: oneshot::Sender<Answer>,
    /// The session it belongs to, if it does to one.
    pub lane: Option<Lane>,
    /// Its share of the commands that may be queued, given back with it.
    pub permit: Option<OwnedSemaphorePermit>,
}

/// A request that has no answer yet.
#[derive(Debug)]
struct Open {
    batch: Batch,
    lane: Option<Lane>,
    /// The first unit that is in no proposal yet.
    next_unit: usize,
    /// Commands without an outcome.
    waiting: usize,
    parts: Vec<Part>,
    /// Gone once answered.
    reply: Option<oneshot::Sender<Answer>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Open {
    /// What is in no proposal yet.
    fn unproposed(&self) -> Unproposed {
        let units = &self.batch.units()[self.next_unit..];
        let start = self.next_unit.checked_sub(1).map_or(0, |last| self.batch.units()[last].end);
        Unproposed { commands: units.iter().map(|unit| unit.commands).sum(), bytes: self.batch.bytes().len() - start }
    }

    /// Answers with a refusal; what is in no proposal yet never will be. Answers how much that was.
    fn refuse(&mut self, refusal: &Refusal) -> Unproposed {
        let unproposed = self.unproposed();
        self.next_unit = self.batch.units().len();
        if let Some(lane) = &self.lane {
            lane.close();
        }
        if let Some(reply) = self.reply.take() {
            // Nobody listens any more when the client has gone away.
            let _ = reply.send(Err(refusal.clone()));
        }
        unproposed
    }
}

impl Unproposed {
    fn take(&mut self, gone: Self) {
        self.commands -= gone.commands;
        self.bytes -= gone.bytes;
    }
}

/// Which commands of a proposal are whose.
#[derive(Debug, Clone, Copy)]
struct Share {
    request: u64,
    first: usize,
    count: usize,
}

/// Whose the commands of one proposal are.
#[derive(Debug)]
pub(super) struct Shares(Vec<Share>);

/// The requests without an answer, in the order of their arrival.
#[derive(Debug)]
pub(super) struct Gatherer {
    config: SequencerConfig,
    open: VecDeque<Open>,
    /// The number of the first open request.
    first: u64,
    /// The number of the first request with commands in no proposal yet.
    next: u64,
    /// Commands in no proposal yet, and their bytes.
    unproposed: Unproposed,
}

#[derive(Debug, Clone, Copy, Default)]
struct Unproposed {
    commands: usize,
    bytes: usize,
}

impl Gatherer {
    pub fn new(config: SequencerConfig) -> Self {
        Self { config, open: VecDeque::new(), first: 0, next: 0, unproposed: Unproposed::default() }
    }

    /// Takes a request in.
    pub fn push(&mut self, request: Request) {
        self.unproposed.commands += request.batch.len();
        self.unproposed.bytes += request.batch.bytes().len();
        self.open.push_back(Open {
            waiting: request.batch.len(),
            batch: request.batch,
            lane: request.lane,
            next_unit: 0,
            parts: Vec::with_capacity(1),
            reply: Some(request.reply),
            _permit: request.permit,
        });
    }

    /// Whether there are commands in no proposal yet.
    pub fn has_commands(&self) -> bool {
        self.next < self.first + self.open.len() as u64
    }

    /// Whether these commands fill a proposal.
    pub fn fills_proposal(&self) -> bool {
        self.unproposed.commands >= self.config.proposal_commands_max
            || self.unproposed.bytes >= self.config.proposal_bytes_max
    }

    /// The bytes of the next proposal of the leader of `term`, and whose its commands are. Without any
    /// command it is a tick. Requests whose lane is closed are refused on the way.
    pub fn next_proposal(&mut self, time: Timestamp, term: Term, ticket: Ticket) -> (Vec<u8>, Shares) {
        let mut bytes = Vec::with_capacity(self.config.proposal_bytes_max.min(HEAD_BYTES + self.unproposed.bytes));
        time.encode(&mut bytes);
        Some(ticket).encode(&mut bytes);
        let count_at = bytes.len();
        0_u32.encode(&mut bytes);
        let mut shares = Vec::new();
        let mut commands = 0;
        while self.has_commands() {
            let open = &mut self.open[(self.next - self.first) as usize];
            if open.lane.as_ref().is_some_and(|lane| !lane.is_open(term)) {
                let never = open.refuse(&Refusal::SessionClosed);
                self.unproposed.take(never);
                self.next += 1;
                continue;
            }
            let (taken, finished) = self.take_units(&mut bytes, commands);
            if taken > 0 {
                shares.push(Share { request: self.next, first: commands, count: taken });
                commands += taken;
            }
            if !finished {
                break;
            }
            self.next += 1;
        }
        let count = u32::try_from(commands).expect("a proposal is bounded by its configuration and one batch");
        bytes[count_at..count_at + size_of::<u32>()].copy_from_slice(&count.to_le_bytes());
        (bytes, Shares(shares))
    }

    /// Moves units of the next request into the proposal while there is room; how many commands
    /// these were, and whether the request has no more.
    fn take_units(&mut self, bytes: &mut Vec<u8>, before: usize) -> (usize, bool) {
        let open = &mut self.open[(self.next - self.first) as usize];
        let units = open.batch.units();
        let mut start = open.next_unit.checked_sub(1).map_or(0, |last| units[last].end);
        let mut taken = 0;
        while let Some(unit) = units.get(open.next_unit) {
            let unit_bytes = unit.end - start;
            let fits = before + taken + unit.commands <= self.config.proposal_commands_max
                && bytes.len() + unit_bytes <= self.config.proposal_bytes_max;
            let empty = before + taken == 0;
            if !fits && !empty {
                return (taken, false);
            }
            bytes.extend_from_slice(&open.batch.bytes()[start..unit.end]);
            start = unit.end;
            taken += unit.commands;
            open.next_unit += 1;
            self.unproposed.commands -= unit.commands;
            self.unproposed.bytes -= unit_bytes;
        }
        (taken, true)
    }

    /// Hands a proposal's outcomes to the requests it was made of.
    pub fn settle(&mut self, shares: Shares, outcome: &Result<Applied, Refusal>) {
        for share in shares.0 {
            // A request that was refused meanwhile is gone.
            let Some(place) = share.request.checked_sub(self.first) else { continue };
            let open = &mut self.open[place as usize];
            match outcome {
                Err(refusal) => {
                    let never = open.refuse(refusal);
                    self.unproposed.take(never);
                }
                Ok(applied) => {
                    open.parts.push(Part { applied: applied.clone(), first: share.first, count: share.count });
                    open.waiting -= share.count;
                    if open.waiting == 0
                        && let Some(reply) = open.reply.take()
                    {
                        let _ = reply.send(Ok(std::mem::take(&mut open.parts)));
                    }
                }
            }
        }
        self.forget_answered();
    }

    /// Refuses every request of which something is in no proposal yet. The others keep their place:
    /// what is in flight has an answer to come.
    pub fn refuse_unproposed(&mut self, refusal: &Refusal) {
        let start = (self.next - self.first) as usize;
        for open in self.open.range_mut(start..) {
            let never = open.refuse(refusal);
            self.unproposed.take(never);
        }
        self.next = self.first + self.open.len() as u64;
        self.forget_answered();
    }

    fn forget_answered(&mut self) {
        while self.open.front().is_some_and(|open| open.reply.is_none()) {
            self.open.pop_front();
            self.first += 1;
        }
        self.next = self.next.max(self.first);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::command::{Body, Command, PostPending, Proposal};
    use crate::core::types::{CommandId, LogIndex, Stamp, Term};
    use crate::core::{Decode, Effects};

    fn command(id: u128, linked: bool) -> Command {
        let body = Body::PostPending(PostPending { transfer: CommandId(1), amount: None });
        Command { id: CommandId(id), linked, body }
    }

    const TICKET: Ticket = Ticket { run: 1, number: 0 };

    fn request(commands: &[Command]) -> (Request, oneshot::Receiver<Answer>) {
        let mut batch = Batch::with_capacity(commands.len());
        commands.iter().for_each(|command| batch.push(command));
        let (reply, answer) = oneshot::channel();
        (Request { batch, reply, lane: None, permit: None }, answer)
    }

    fn gatherer(commands_max: usize) -> Gatherer {
        Gatherer::new(SequencerConfig { proposal_commands_max: commands_max, ..SequencerConfig::default() })
    }

    fn ids(bytes: &[u8]) -> Vec<u128> {
        let proposal = Proposal::from_bytes(bytes).expect("a proposal's canonical bytes");
        assert_eq!(proposal.time, Timestamp(9));
        proposal.commands.iter().map(|command| command.id.0).collect()
    }

    fn applied() -> Result<Applied, Refusal> {
        let stamp = Stamp { term: Term(1), index: LogIndex(2), time: Timestamp(9) };
        Ok(Applied { stamp, effects: Arc::new(Effects::default()) })
    }

    #[test]
    fn requests_share_a_proposal_and_span_proposals() {
        let mut gatherer = gatherer(4);
        let (one, mut first) = request(&[1, 2, 3].map(|id| command(id, false)));
        let (two, mut second) = request(&[4, 5, 6].map(|id| command(id, false)));
        gatherer.push(one);
        assert!(!gatherer.fills_proposal());
        gatherer.push(two);
        assert!(gatherer.fills_proposal());
        let (bytes, shares) = gatherer.next_proposal(Timestamp(9), Term(1), TICKET);
        assert_eq!(ids(&bytes), [1, 2, 3, 4]);
        assert!(gatherer.has_commands() && !gatherer.fills_proposal());
        let (rest, rest_shares) = gatherer.next_proposal(Timestamp(9), Term(1), TICKET);
        assert_eq!(ids(&rest), [5, 6]);
        assert!(!gatherer.has_commands());

        gatherer.settle(shares, &applied());
        let parts = first.try_recv().expect("answered").expect("applied");
        assert_eq!(parts.iter().map(|part| (part.first, part.count)).collect::<Vec<_>>(), [(0, 3)]);
        assert!(second.try_recv().is_err(), "half an answer is none");
        gatherer.settle(rest_shares, &applied());
        let parts = second.try_recv().expect("answered").expect("applied");
        assert_eq!(parts.iter().map(|part| (part.first, part.count)).collect::<Vec<_>>(), [(3, 1), (0, 2)]);
    }

    #[test]
    fn a_chain_is_never_cut() {
        let mut gatherer = gatherer(3);
        let (all, _answer) = request(&[
            command(1, false),
            command(2, true),
            command(3, true),
            command(4, false),
            command(5, true),
            command(6, true),
            command(7, true),
            command(8, false),
        ]);
        gatherer.push(all);
        let mut proposals = Vec::new();
        while gatherer.has_commands() {
            proposals.push(ids(&gatherer.next_proposal(Timestamp(9), Term(1), TICKET).0));
        }
        assert_eq!(proposals, [vec![1], vec![2, 3, 4], vec![5, 6, 7, 8]]);
    }

    #[test]
    fn a_proposal_is_bounded_in_bytes() {
        let size = command(1, false).to_bytes().len();
        let empty = Proposal { time: Timestamp(9), ticket: Some(TICKET), commands: Vec::new() }.to_bytes().len();
        let config = SequencerConfig { proposal_bytes_max: empty + 2 * size, ..SequencerConfig::default() };
        let mut gatherer = Gatherer::new(config);
        let (all, _answer) = request(&[1, 2, 3].map(|id| command(id, false)));
        gatherer.push(all);
        assert_eq!(ids(&gatherer.next_proposal(Timestamp(9), Term(1), TICKET).0), [1, 2]);
    }

    #[test]
    fn a_failed_proposal_refuses_its_requests_whole() {
        let mut gatherer = gatherer(2);
        let (one, mut first) = request(&[1, 2, 3].map(|id| command(id, false)));
        let (two, mut second) = request(&[command(4, false)]);
        gatherer.push(one);
        let (_, shares) = gatherer.next_proposal(Timestamp(9), Term(1), TICKET);
        gatherer.push(two);
        let (_, rest) = gatherer.next_proposal(Timestamp(9), Term(1), TICKET);
        gatherer.settle(shares, &Err(Refusal::NoMajority));
        assert_eq!(first.try_recv().expect("answered").err(), Some(Refusal::NoMajority));
        gatherer.settle(rest, &applied());
        assert_eq!(second.try_recv().expect("answered").expect("applied").len(), 1);
    }

    #[test]
    fn what_is_not_proposed_is_refused_and_leaves_nothing_behind() {
        let mut gatherer = gatherer(2);
        let (whole, mut first) = request(&[1, 2].map(|id| command(id, false)));
        let (cut, mut second) = request(&[3, 4, 5].map(|id| command(id, false)));
        gatherer.push(whole);
        let (_, whole_shares) = gatherer.next_proposal(Timestamp(9), Term(1), TICKET);
        gatherer.push(cut);
        let (_, cut_shares) = gatherer.next_proposal(Timestamp(9), Term(1), TICKET);
        gatherer.refuse_unproposed(&Refusal::ShuttingDown);
        assert!(first.try_recv().is_err(), "its answer is still to come");
        assert_eq!(second.try_recv().expect("answered").err(), Some(Refusal::ShuttingDown));
        assert!(!gatherer.has_commands());

        let (later, mut third) = request(&[command(6, false)]);
        gatherer.push(later);
        let (bytes, later_shares) = gatherer.next_proposal(Timestamp(9), Term(1), TICKET);
        assert_eq!(ids(&bytes), [6]);
        for shares in [whole_shares, cut_shares, later_shares] {
            gatherer.settle(shares, &applied());
        }
        assert!(first.try_recv().expect("answered").is_ok());
        assert!(third.try_recv().expect("answered").is_ok());
    }

    #[test]
    fn nothing_of_a_session_overtakes_what_was_refused() {
        let mut gatherer = gatherer(1);
        let lane = Lane::new(Term(1));
        let mut answers = Vec::new();
        for id in 1..=3 {
            let (request, answer) = request(&[command(id, false)]);
            gatherer.push(Request { lane: Some(lane.clone()), ..request });
            answers.push(answer);
        }
        let (bytes, lost) = gatherer.next_proposal(Timestamp(9), Term(1), TICKET);
        assert_eq!(ids(&bytes), [1]);
        gatherer.settle(lost, &Err(Refusal::NoMajority));
        let (bytes, _) = gatherer.next_proposal(Timestamp(9), Term(1), TICKET);
        assert!(ids(&bytes).is_empty(), "what follows the refused request is refused too");
        assert!(!gatherer.has_commands());
        assert!(answers.iter_mut().all(|answer| matches!(answer.try_recv(), Ok(Err(_)))));
    }

    #[test]
    fn a_session_of_an_earlier_term_is_refused() {
        let mut gatherer = gatherer(4);
        let (early, mut refused) = request(&[command(1, false)]);
        gatherer.push(Request { lane: Some(Lane::new(Term(1))), ..early });
        let (now, _answer) = request(&[command(2, false)]);
        gatherer.push(Request { lane: Some(Lane::new(Term(3))), ..now });
        assert_eq!(ids(&gatherer.next_proposal(Timestamp(9), Term(3), TICKET).0), [2]);
        assert!(matches!(refused.try_recv(), Ok(Err(Refusal::SessionClosed))));
    }
}
