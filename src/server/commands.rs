//! The command service: one command, a batch, or a pipelined session.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use tonic::{Request, Response, Status, Streaming};

use super::access::{Caller, Deadline, StreamPlace};
use super::answers::Answers;
use super::convert::request::{batch, single};
use super::errors::Refusal;
use super::forward::{Client, Forwarder};
use super::limits::ServerConfig;
use super::sequencer::{Batch, Sequencer};
use super::session::Session;
use super::stream::AnswerStream;
use crate::proto::v1 as pb;

/// The command service of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Commands {
    /// The leader's queue.
    pub sequencer: Sequencer,
    /// The way to the leader.
    pub forwarder: Forwarder,
    /// What makes answers.
    pub answers: Answers,
    /// The limits.
    pub config: Arc<ServerConfig>,
}

impl Commands {
    async fn carry_out(&self, (batch, ids): (Batch, Vec<Bytes>)) -> Result<Vec<pb::CommandResult>, Refusal> {
        let parts = self.sequencer.submit(batch, None)?.await?;
        self.answers.results(&parts, ids).await
    }

    async fn execute_here(&self, message: pb::ExecuteRequest, caller: &Caller) -> Result<pb::ExecuteResponse, Status> {
        let mut results = self.carry_out(single(message.command, caller)?).await?;
        Ok(pb::ExecuteResponse { result: results.pop() })
    }

    async fn submit_here(&self, message: pb::SubmitRequest, caller: &Caller) -> Result<pb::SubmitResponse, Status> {
        let batch = batch(message.commands, self.config.batch_commands_max, caller)?;
        Ok(pb::SubmitResponse { results: self.carry_out(batch).await? })
    }

    /// Whether the leader has to carry this request out, and this node may ask it to.
    fn forwards<T>(&self, request: &Request<T>) -> bool {
        !self.forwarder.leads() && !Forwarder::is_forwarded(request)
    }

    fn time_left<T>(&self, request: &Request<T>) -> Duration {
        Deadline::of(request).map_or(self.config.call_timeout, Deadline::left)
    }
}

#[tonic::async_trait]
impl pb::command_service_server::CommandService for Commands {
    type SessionStream = AnswerStream<pb::SessionResponse>;

    async fn execute(&self, request: Request<pb::ExecuteRequest>) -> Result<Response<pb::ExecuteResponse>, Status> {
        let caller = Caller::of(&request)?;
        let (forwarded, left) = (Forwarder::is_forwarded(&request), self.time_left(&request));
        let message = request.into_inner();
        if forwarded {
            return Ok(Response::new(self.execute_here(message, &caller).await?));
        }
        let attempt = |left| {
            let (message, caller) = (message.clone(), &caller);
            let attempt = async move {
                if self.forwarder.leads() {
                    return self.execute_here(message, caller).await;
                }
                let call = async |mut client: Client, request| client.execute(request).await;
                self.forwarder.call(message, left, call).await.map(Response::into_inner)
            };
            attempt.boxed()
        };
        Ok(Response::new(self.forwarder.over_failover(left, attempt).await?))
    }

    async fn submit(&self, request: Request<pb::SubmitRequest>) -> Result<Response<pb::SubmitResponse>, Status> {
        let caller = Caller::of(&request)?;
        let (forwards, left) = (self.forwards(&request), self.time_left(&request));
        let message = request.into_inner();
        if !forwards {
            // A large batch is not copied for the one in a million that a hand-over meets.
            return Ok(Response::new(self.submit_here(message, &caller).await?));
        }
        let attempt = |left| {
            let (message, caller) = (message.clone(), &caller);
            let attempt = async move {
                if self.forwarder.leads() {
                    return self.submit_here(message, caller).await;
                }
                let call = async |mut client: Client, request| client.submit(request).await;
                self.forwarder.call(message, left, call).await.map(Response::into_inner)
            };
            attempt.boxed()
        };
        Ok(Response::new(self.forwarder.over_failover(left, attempt).await?))
    }

    async fn session(
        &self,
        request: Request<Streaming<pb::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let caller = Caller::of(&request)?;
        let place = StreamPlace::of(&request);
        if self.forwards(&request) {
            return self.pass_on(request.into_inner(), place).await;
        }
        let session = Session::new(request.into_inner(), self.clone(), caller);
        Ok(Response::new(AnswerStream::new(session.answers(), place)))
    }
}

impl Commands {
    /// Passes a whole session on to the leader.
    async fn pass_on(
        &self,
        requests: Streaming<pb::SessionRequest>,
        place: Option<StreamPlace>,
    ) -> Result<Response<AnswerStream<pb::SessionResponse>>, Status> {
        use futures::StreamExt;
        // A request that cannot be decoded ends the session on both sides.
        let requests =
            requests.take_while(|request| std::future::ready(request.is_ok())).filter_map(async |it| it.ok());
        let answers = self.forwarder.session(requests).await?;
        Ok(Response::new(AnswerStream::new(answers, place)))
    }
}
