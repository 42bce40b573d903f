//! A pipelined session: requests are sent without waiting, answers come in their order, each once.
//!
//! When the stream breaks or stalls, or the node stops leading, the session opens another one and
//! sends everything that is unanswered again, in order. The commands keep their ids, so that those
//! that had been carried out give their first answer, and the others are carried out now.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::api;
use super::api::command_service_client::CommandServiceClient;
use super::connect::{Backoff, MESSAGE_BYTES_MAX, Nodes};
use super::error::{ClientError, Refusal};
use crate::machine::Instant;

/// How a session is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOptions {
    /// Requests that may be unanswered; [`SessionSender::send`] waits while there are so many.
    pub in_flight: usize,
    /// How long a node may give no answer before another one is asked.
    pub stall: Duration,
    /// How long no node may give an answer before the session ends.
    pub deadline: Duration,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { in_flight: 256, stall: Duration::from_secs(2), deadline: Duration::from_secs(30) }
    }
}

/// The answer to one request of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The request: 1, 2, 3 … in the order of [`SessionSender::send`].
    pub request_number: u64,
    /// One result per command, or why the request as a whole was refused.
    pub results: Result<Vec<api::CommandResult>, Refusal>,
}

/// A session. Split it to send and receive from two places.
#[derive(Debug)]
pub struct Session {
    /// Sends.
    pub sender: SessionSender,
    /// Receives.
    pub receiver: SessionReceiver,
}

/// The sending half. The session ends when it is dropped and everything is answered.
#[derive(Debug)]
pub struct SessionSender {
    requests: mpsc::Sender<Vec<api::Command>>,
    sent: u64,
}

/// The receiving half. Dropping it ends the session.
#[derive(Debug)]
pub struct SessionReceiver {
    answers: mpsc::Receiver<Result<Answer, ClientError>>,
    driver: JoinHandle<()>,
}

impl Session {
    pub(super) fn open(nodes: Arc<Nodes>, options: SessionOptions) -> Self {
        let in_flight = options.in_flight.max(1);
        let (requests, from_user) = mpsc::channel(in_flight);
        let (to_user, answers) = mpsc::channel(in_flight);
        let driver = Driver {
            nodes,
            options: SessionOptions { in_flight, ..options },
            from_user,
            to_user,
            unanswered: VecDeque::new(),
            taken: 0,
            ended: false,
            progress: Instant::now(),
            reopened: 0,
        };
        let driver = tokio::spawn(driver.run());
        Self { sender: SessionSender { requests, sent: 0 }, receiver: SessionReceiver { answers, driver } }
    }
}

impl SessionSender {
    /// Sends commands as one request, and returns its number. Waits while the session is full.
    ///
    /// # Errors
    /// When the session has ended; the receiving half says why.
    pub async fn send(&mut self, commands: Vec<api::Command>) -> Result<u64, ClientError> {
        self.requests.send(commands).await.map_err(|_| ClientError::SessionEnded)?;
        self.sent += 1;
        Ok(self.sent)
    }
}

impl SessionReceiver {
    /// The next answer, in the order of the requests; `None` when all is answered and the sending
    /// half is gone. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When no node answered until the deadline.
    pub async fn next(&mut self) -> Result<Option<Answer>, ClientError> {
        self.answers.recv().await.transpose()
    }
}

impl Drop for SessionReceiver {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

struct Driver {
    nodes: Arc<Nodes>,
    options: SessionOptions,
    from_user: mpsc::Receiver<Vec<api::Command>>,
    to_user: mpsc::Sender<Result<Answer, ClientError>>,
    unanswered: VecDeque<api::SessionRequest>,
    /// Requests taken from the user.
    taken: u64,
    /// The user sends no more.
    ended: bool,
    /// When there was an answer last, or nothing to answer.
    progress: Instant,
    /// Streams opened without an answer between.
    reopened: u32,
}

/// Why a stream is given up.
enum Break {
    /// Everything is answered and no more comes, or nobody listens any more.
    Done,
    /// The node cannot go on; another one may.
    Moved(Refusal),
    /// What the node sent makes no sense.
    Fatal(ClientError),
}

impl From<Status> for Break {
    fn from(status: Status) -> Self {
        let refusal = Refusal::from(status);
        if refusal.is_passing() { Self::Moved(refusal) } else { Self::Fatal(ClientError::Refused(refusal)) }
    }
}

impl Driver {
    async fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            let (endpoint, channel) = self.nodes.current();
            let node = CommandServiceClient::new(channel)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX);
            let error = match self.stream(node).await {
                Break::Done => return,
                Break::Fatal(error) => error,
                Break::Moved(refusal) if self.progress.elapsed() < self.options.deadline => {
                    let knows_leader = self.nodes.learn(&endpoint, &refusal);
                    self.reopened += 1;
                    if self.reopened == 1 {
                        backoff = Backoff::new();
                    }
                    if !knows_leader || self.reopened > 2 {
                        backoff.pause().await;
                    }
                    continue;
                }
                Break::Moved(refusal) => {
                    ClientError::Deadline { waited: self.options.deadline, last: format!("{endpoint}: {refusal}") }
                }
            };
            // A receiver that is gone needs no error.
            let _ = self.to_user.send(Err(error)).await;
            return;
        }
    }

    /// One stream, from its first request to its end.
    async fn stream(&mut self, mut node: CommandServiceClient<tonic::transport::Channel>) -> Break {
        let (to_node, requests) = mpsc::channel(self.options.in_flight);
        let mut opening = pin!(node.session(ReceiverStream::new(requests)));
        let mut answers: Option<Streaming<api::SessionResponse>> = None;
        // How many of the unanswered requests this stream has.
        let mut sent = 0;
        let mut heard = Instant::now();
        loop {
            if self.ended && self.unanswered.is_empty() {
                return Break::Done;
            }
            if self.unanswered.is_empty() {
                (self.progress, heard) = (Instant::now(), Instant::now());
            }
            let stalled = tokio::time::sleep_until(heard + self.options.stall);
            let step = tokio::select! {
                permit = to_node.reserve(), if sent < self.unanswered.len() => match permit {
                    Ok(permit) => {
                        permit.send(self.unanswered[sent].clone());
                        sent += 1;
                        continue;
                    }
                    Err(_) => Err(Status::unavailable("the stream was closed").into()),
                },
                request = self.from_user.recv(), if !self.ended && self.unanswered.len() < self.options.in_flight => {
                    self.take(request);
                    continue;
                }
                opened = &mut opening, if answers.is_none() => match opened {
                    Ok(opened) => {
                        answers = Some(opened.into_inner());
                        continue;
                    }
                    Err(status) => Err(status.into()),
                },
                answer = next(&mut answers), if answers.is_some() => match answer {
                    Ok(Some(answer)) => Ok(answer),
                    Ok(None) => Err(Status::unavailable("the node closed the session").into()),
                    Err(status) => Err(status.into()),
                },
                () = stalled, if !self.unanswered.is_empty() => {
                    Err(Status::unavailable(format!("no answer within {:?}", self.options.stall)).into())
                }
            };
            let done = match step {
                Ok(answer) => self.deliver(answer).await,
                Err(gone) => Err(gone),
            };
            if let Err(gone) = done {
                return gone;
            }
            sent -= 1;
            heard = Instant::now();
        }
    }

    fn take(&mut self, request: Option<Vec<api::Command>>) {
        match request {
            Some(commands) => {
                self.taken += 1;
                self.unanswered.push_back(api::SessionRequest { request_number: self.taken, commands });
            }
            None => self.ended = true,
        }
    }

    /// Hands an answer to the user, who may take its time; the node's patience is bounded by its own
    /// window, and this one by the session's.
    async fn deliver(&mut self, response: api::SessionResponse) -> Result<(), Break> {
        let broken = |what: String| Err(Break::Fatal(ClientError::Protocol(what)));
        let Some(request) = self.unanswered.front() else {
            return broken(format!("an answer to request {}, which was not sent", response.request_number));
        };
        if response.request_number != request.request_number {
            return broken(format!("answer {} instead of {}", response.request_number, request.request_number));
        }
        let results = match response.error.map(Refusal::from) {
            // What follows must not overtake it: all of it is sent again, on another stream.
            Some(refusal) if refusal.is_passing() => return Err(Break::Moved(refusal)),
            Some(refusal) => Err(refusal),
            None if response.results.len() == request.commands.len() => Ok(response.results),
            None => {
                return broken(format!("{} results for {} commands", response.results.len(), request.commands.len()));
            }
        };
        self.unanswered.pop_front();
        (self.progress, self.reopened) = (Instant::now(), 0);
        let answer = Answer { request_number: response.request_number, results };
        self.to_user.send(Ok(answer)).await.map_err(|_| Break::Done)
    }
}

/// The next answer of an open stream.
async fn next(answers: &mut Option<Streaming<api::SessionResponse>>) -> Result<Option<api::SessionResponse>, Status> {
    match answers {
        Some(answers) => answers.message().await,
        None => std::future::pending().await,
    }
}
