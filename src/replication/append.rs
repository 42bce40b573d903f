//! One stream of entries to a follower, pipelined, and watched for stalls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{BoxStream, unfold};
use futures::{Stream, StreamExt};
use openraft::errors::RPCError;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use tokio::time::{Instant, timeout};
use tonic::Streaming;

use super::config::ReplicationConfig;
use super::network::{Client, unreachable};
use super::types::TypeConfig;
use super::wire::{self, Route};
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
    route: Route,
    mut input: S,
    config: &ReplicationConfig,
) -> Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>, RPCError<TypeConfig>>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    let Some(first) = input.next().await else { return Ok(futures::stream::empty().boxed()) };
    let progress = Progress::default();
    let sent = progress.clone();
    let requests = futures::stream::iter([first]).chain(input).map(move |request| {
        sent.sent(Instant::now());
        wire::append(&route, request)
    });
    let limit = config.append_timeout;
    let answers = match timeout(config.connect_timeout + config.call_timeout, client.append(requests)).await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return Err(unreachable(&status)),
        Err(_) => return Err(unreachable(&"the stream of entries was not opened in time")),
    };
    let state = Some((answers, progress));
    Ok(unfold(state, move |state| next_answer(state, limit)).boxed())
}

type State = Option<(Streaming<pb::AppendResponse>, Progress)>;
type Answer = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

async fn next_answer(state: State, limit: Duration) -> Option<(Answer, State)> {
    let (mut answers, progress) = state?;
    loop {
        let Some(left) = progress.left(limit, Instant::now()) else {
            return Some((Err(unreachable(&"the follower does not answer")), None));
        };
        match timeout(left, answers.message()).await {
            // Perhaps nothing was asked meanwhile: look again.
            Err(_) => {}
            Ok(Ok(None)) => return None,
            Ok(Ok(Some(response))) => {
                progress.answered(Instant::now());
                return match wire::parse_append_answer(response) {
                    Ok(answer) => Some((Ok(answer), Some((answers, progress)))),
                    Err(error) => Some((Err(unreachable(&error)), None)),
                };
            }
            Ok(Err(status)) => return Some((Err(unreachable(&status)), None)),
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
