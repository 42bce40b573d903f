//! One stream of entries to a follower, pipelined, and watched for stalls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{BoxStream, unfold};
use futures::{Stream, StreamExt};
use openraft::errors::RPCError;
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult};
use tokio::time::{Instant, timeout};
use tonic::Streaming;

use super::network::{Client, Peers, unreachable};
use super::roster::Roster;
use super::types::{NodeId, TypeConfig};
use super::wire;
use crate::proto::raft::v1 as pb;

/// The requests that have no answer yet.
#[derive(Debug, Default)]
struct Unanswered {
    count: u64,
    /// Since when the follower owes the next answer; meaningless when it owes none.
    since: Option<Instant>,
}

/// The same, shared by the two directions of a stream.
#[derive(Debug, Clone, Default)]
struct Progress(Arc<Mutex<Unanswered>>);

impl Progress {
    fn sent(&self, now: Instant) {
        let mut unanswered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unanswered.count += 1;
        unanswered.since.get_or_insert(now);
    }

    fn answered(&self, now: Instant) {
        let mut unanswered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unanswered.count = unanswered.count.saturating_sub(1);
        unanswered.since = (unanswered.count > 0).then_some(now);
    }

    /// How long the follower may still take, `limit` being the whole; `None` when it is too late.
    fn left(&self, limit: Duration, now: Instant) -> Option<Duration> {
        let since = self.0.lock().unwrap_or_else(PoisonError::into_inner).since;
        match since {
            None => Some(limit),
            Some(since) => limit.checked_sub(now.saturating_duration_since(since)).filter(|left| !left.is_zero()),
        }
    }
}

/// Opens a stream that sends `input` as it comes, without waiting for answers. Its answers come in
/// order; it ends with an error when the follower leaves a request unanswered for too long, so that
/// a paused follower does not pin the leader's log.
///
/// The first request is awaited before the follower is called: openraft waits out its backoff there,
/// and a refused connection would otherwise be tried again without a pause.
pub(super) async fn open<'s, S>(
    mut client: Client,
    peers: Peers,
    target: NodeId,
    mut input: S,
) -> Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>, RPCError<TypeConfig>>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    let Some(first) = input.next().await else { return Ok(futures::stream::empty().boxed()) };
    peers.check_may_speak()?;
    let (route, term) = (peers.route(target), first.vote.leader_id.term);
    let progress = Progress::default();
    let sent = progress.clone();
    // What the follower has acknowledged is said once: within the stream it is the stream's own answers.
    let mut acknowledged = peers.roster().acknowledged(target, term);
    let requests = futures::stream::iter([first]).chain(input).map(move |request| {
        sent.sent(Instant::now());
        wire::append(&route, request, acknowledged.take(), None)
    });
    let config = peers.config();
    let answers = match timeout(config.connect_timeout + config.call_timeout, client.append(requests)).await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => {
            peers.refused(target, &status);
            return Err(unreachable(&status));
        }
        Err(_) => return Err(unreachable(&"the stream of entries was not opened in time")),
    };
    let state = Some(Answers { answers, progress, peers, target, term });
    Ok(unfold(state, next_answer).boxed())
}

/// The answers of one stream, all of one term.
struct Answers {
    answers: Streaming<pb::AppendResponse>,
    progress: Progress,
    peers: Peers,
    target: NodeId,
    term: u64,
}

type Answer = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// A follower's answer to one append, unless openraft must not see it. That a follower lacks what it had
/// acknowledged is right only of one that is under repair: openraft, which would take it from any, is not told by
/// others. `last` is the last index of this leader's log.
pub(super) fn read_answer(response: pb::AppendResponse, roster: &Roster, from: (NodeId, u64), last: u64) -> Answer {
    let (from, term) = from;
    let repair = response.repair;
    let answer = wire::parse_append_answer(response).map_err(|error| unreachable(&error))?;
    match &answer {
        Err(StreamAppendError::HigherVote(_)) => return Ok(answer),
        _ if repair == 0 => roster.is_well(from),
        _ => roster.under_repair(from, term, repair, last),
    }
    match &answer {
        Ok(matched) => roster.acknowledge(from, term, *matched),
        Err(StreamAppendError::Conflict(_)) if repair != 0 => roster.forgive(from),
        Err(StreamAppendError::Conflict(conflict)) if roster.reverted(from, term, *conflict) => {
            return Err(unreachable(&"the follower lacks what it acknowledged"));
        }
        Err(_) => {}
    }
    Ok(answer)
}

async fn next_answer(state: Option<Answers>) -> Option<(Answer, Option<Answers>)> {
    let mut state = state?;
    let limit = state.peers.config().append_timeout;
    loop {
        let Some(left) = state.progress.left(limit, Instant::now()) else {
            return Some((Err(unreachable(&"the follower does not answer")), None));
        };
        match timeout(left, state.answers.message()).await {
            // Perhaps nothing was asked meanwhile: look again.
            Err(_) => {}
            Ok(Ok(None)) => return None,
            Ok(Ok(Some(response))) => {
                state.progress.answered(Instant::now());
                let answer =
                    read_answer(response, state.peers.roster(), (state.target, state.term), state.peers.last_index());
                let state = answer.is_ok().then_some(state);
                return Some((answer, state));
            }
            Ok(Err(status)) => {
                state.peers.refused(state.target, &status);
                return Some((Err(unreachable(&status)), None));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unanswered_requests_make_a_stall() {
        let limit = Duration::from_secs(1);
        let progress = Progress::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert!(progress.left(limit, at(9_000)).is_some(), "nothing was asked");
        progress.sent(at(9_000));
        progress.sent(at(9_000));
        progress.answered(at(9_900));
        assert!(progress.left(limit, at(10_800)).is_some(), "an answer came meanwhile");
        assert!(progress.left(limit, at(10_901)).is_none(), "the second request is unanswered");
        progress.answered(at(10_901));
        assert!(progress.left(limit, at(10_901)).is_some());
    }
}
