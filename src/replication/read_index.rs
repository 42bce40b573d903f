//! The index a linearizable read has to wait for (Raft thesis section 6.4), confirmed by a
//! majority: never by a lease, which after a fast restart may be one that nobody keeps.
//!
//! Callers that come while a confirmation is under way share the next one, which begins after they
//! came: that is what makes sharing it right.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use tokio::sync::watch;
use tokio::time::timeout;

use super::config::BARRIER_CALLERS_MAX;
use super::network::{Client, Peers};
use super::replica::ReadError;
use super::status::leader;
use super::types::Raft;
use crate::core::types::LogIndex;
use crate::proto::raft::v1 as pb;

type Confirmed = Result<LogIndex, ReadError>;

/// Lets many callers share one question.
struct Rounds {
    ask: Box<dyn Fn() -> BoxFuture<'static, Confirmed> + Send + Sync>,
    state: Mutex<RoundState>,
}

#[derive(Default)]
struct RoundState {
    /// A task is asking, and will ask again for those who wait.
    busy: bool,
    /// Those who wait for the next round.
    waiting: Option<watch::Sender<Option<Confirmed>>>,
}

impl Rounds {
    async fn join(self: &Arc<Self>) -> Confirmed {
        let mut answer = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = state.waiting.get_or_insert_with(|| watch::Sender::new(None));
            if waiting.receiver_count() >= BARRIER_CALLERS_MAX {
                return Err(ReadError::Overloaded);
            }
            let answer = waiting.subscribe();
            if !state.busy {
                state.busy = true;
                // Not in the caller's own future: that may be dropped while others rely on it. It
                // lives as long as somebody asks.
                tokio::spawn(self.clone().serve());
            }
            answer
        };
        match answer.wait_for(Option::is_some).await.map(|answer| answer.clone()) {
            Ok(Some(answer)) => answer,
            _ => Err(ReadError::ShuttingDown),
        }
    }

    async fn serve(self: Arc<Self>) {
        loop {
            let round = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                match state.waiting.take() {
                    Some(round) => round,
                    None => {
                        state.busy = false;
                        return;
                    }
                }
            };
            let answer = (self.ask)().await;
            round.send_replace(Some(answer));
        }
    }
}

/// Asks for read indexes. Clones share their rounds.
#[derive(Clone)]
pub(super) struct ReadIndex {
    raft: Raft,
    here: Arc<Rounds>,
    anywhere: Arc<Rounds>,
}

impl ReadIndex {
    pub fn new(raft: Raft, peers: Peers) -> Self {
        let leader = raft.clone();
        let here = rounds(move || Box::pin(confirm_as_leader(leader.clone())));
        let (anywhere_raft, anywhere_here) = (raft.clone(), here.clone());
        let anywhere =
            rounds(move || Box::pin(confirm_anywhere(anywhere_raft.clone(), anywhere_here.clone(), peers.clone())));
        Self { raft, here, anywhere }
    }

    /// Confirms that this node leads, and gives the index to wait for.
    pub async fn confirm_here(&self) -> Confirmed {
        self.here.join().await
    }

    /// The same from whoever leads.
    pub async fn confirm(&self) -> Confirmed {
        if self.raft.is_leader() { self.here.join().await } else { self.anywhere.join().await }
    }
}

fn rounds(ask: impl Fn() -> BoxFuture<'static, Confirmed> + Send + Sync + 'static) -> Arc<Rounds> {
    Arc::new(Rounds { ask: Box::new(ask), state: Mutex::default() })
}

async fn confirm_as_leader(raft: Raft) -> Confirmed {
    match raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
        Ok(linearizer) => Ok(LogIndex(linearizer.read_log_id().index())),
        Err(RaftError::APIError(
            LinearizableReadError::ForwardToLeader(_) | LinearizableReadError::QuorumNotEnough(_),
        )) => Err(ReadError::NoLeader),
        Err(RaftError::Fatal(_)) => Err(ReadError::ShuttingDown),
    }
}

async fn confirm_anywhere(raft: Raft, here: Arc<Rounds>, peers: Peers) -> Confirmed {
    let leader = leader(&raft);
    match leader {
        None => Err(ReadError::NoLeader),
        Some((id, _)) if id == peers.me() => here.join().await,
        Some((id, node)) => {
            let request = pb::GetReadIndexRequest { header: Some(peers.route(id).header()) };
            let ask = |mut client: Client| async move { client.get_read_index(request).await };
            // The leader itself waits for its majority no longer than a lease.
            let limit = peers.config().call_timeout.max(peers.config().election_max);
            let answer = timeout(limit, peers.ask(id, &node, limit, ask)).await;
            match answer {
                Ok(Ok(response)) => Ok(LogIndex(response.index)),
                Ok(Err(status)) if status.code() == tonic::Code::ResourceExhausted => Err(ReadError::Overloaded),
                Ok(Err(_)) | Err(_) => Err(ReadError::NoLeader),
            }
        }
    }
}
