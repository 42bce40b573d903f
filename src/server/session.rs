//! A session: requests in, answers out in the same order, neither waiting for the other.
//!
//! It is driven by its reader: nothing is read or answered while answers lie unread, so that a slow
//! client holds back itself alone. The number of unanswered requests and commands is bounded; beyond
//! it the session stops reading. A bad request is answered with an error and the session goes on;
//! bytes that are no request end it. After a request that was refused for the node's sake (it does
//! not lead, it has no room) every later one is refused too, so that none overtakes it when it is
//! sent again.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::Stream;
use tonic::{Status, Streaming};

use super::access::Caller;
use super::commands::Commands;
use super::convert::request::batch;
use super::errors::{Refusal, of_transport};
use super::sequencer::{Answer, Lane, Waiting};
use crate::proto::v1 as pb;

/// One session of one client.
#[derive(Debug)]
pub struct Session {
    requests: Streaming<pb::SessionRequest>,
    commands: Commands,
    caller: Caller,
    lane: Lane,
    /// Requests without an answer, oldest first.
    entries: VecDeque<Entry>,
    /// Commands of these.
    in_flight: usize,
    /// No more requests come.
    ended: Option<Result<(), Status>>,
}

/// A request without an answer.
#[derive(Debug)]
struct Entry {
    number: u64,
    ids: Vec<Bytes>,
    state: Progress,
}

#[derive(Debug)]
enum Progress {
    Waiting(Waiting),
    Answered(Answer),
}

impl Session {
    /// A session over these requests.
    #[must_use]
    pub fn new(requests: Streaming<pb::SessionRequest>, commands: Commands, caller: Caller) -> Self {
        let lane = commands.sequencer.lane();
        Self { requests, commands, caller, lane, entries: VecDeque::new(), in_flight: 0, ended: None }
    }

    /// The answers, in the order of the requests.
    pub fn answers(self) -> impl Stream<Item = Result<pb::SessionResponse, Status>> + Send {
        futures::stream::unfold(self, async |mut session| {
            let answer = session.next().await?;
            Some((answer, session))
        })
    }

    async fn next(&mut self) -> Option<Result<pb::SessionResponse, Status>> {
        loop {
            if let Some(entry) = self.entries.pop_front_if(|entry| matches!(entry.state, Progress::Answered(_))) {
                return Some(Ok(self.respond(entry).await));
            }
            let config = &self.commands.config;
            let room = self.entries.len() < config.session_requests_in_flight_max
                && self.in_flight < config.session_commands_in_flight_max;
            let reads = room && self.ended.is_none();
            if self.entries.is_empty() && !reads {
                return self.ended.take()?.err().map(Err);
            }
            tokio::select! {
                biased;
                () = settle(self.entries.front_mut()) => {}
                request = self.requests.message(), if reads => match request {
                    Ok(Some(request)) => self.take(request),
                    Ok(None) => self.ended = Some(Ok(())),
                    Err(status) => self.ended = Some(Err(of_transport(&status).map_or(status, Status::from))),
                },
            }
        }
    }

    /// Takes a request in: queues its commands, or notes why not.
    fn take(&mut self, request: pb::SessionRequest) {
        let number = request.request_number;
        let checked = batch(request.commands, self.commands.config.batch_commands_max, &self.caller);
        let queued =
            checked.and_then(|(batch, ids)| Ok((self.commands.sequencer.submit(batch, Some(&self.lane))?, ids)));
        let (state, ids) = match queued {
            Ok((waiting, ids)) => (Progress::Waiting(waiting), ids),
            Err(refusal) => (Progress::Answered(Err(refusal)), Vec::new()),
        };
        self.in_flight += ids.len();
        self.entries.push_back(Entry { number, ids, state });
    }

    async fn respond(&mut self, entry: Entry) -> pb::SessionResponse {
        self.in_flight -= entry.ids.len();
        let results = match entry.state {
            Progress::Answered(Ok(parts)) => self.commands.answers.results(&parts, entry.ids).await,
            Progress::Answered(Err(refusal)) => Err(refusal),
            Progress::Waiting(_) => Err(Refusal::ShuttingDown),
        };
        match results {
            Ok(results) => pb::SessionResponse { request_number: entry.number, results, error: None },
            Err(refusal) => pb::SessionResponse {
                request_number: entry.number,
                results: Vec::new(),
                error: Some(session_error(&refusal)),
            },
        }
    }
}

/// Waits for the answer to the oldest request; for ever when there is none.
async fn settle(entry: Option<&mut Entry>) {
    match entry {
        Some(Entry { state, .. }) => {
            if let Progress::Waiting(waiting) = state {
                *state = Progress::Answered(waiting.await);
            }
        }
        None => std::future::pending().await,
    }
}

fn session_error(refusal: &Refusal) -> pb::SessionError {
    pb::SessionError {
        status: refusal.code() as i32,
        reason: refusal.reason().to_owned(),
        message: refusal.to_string(),
        field: refusal.field().to_owned(),
        leader: refusal.leader().to_owned(),
    }
}
