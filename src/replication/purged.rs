//! Streams of entries that the leader's log can no longer serve.
//!
//! openraft can go on with a stream to a follower that lags, from an entry that has been purged
//! meanwhile, although it means to send a snapshot by then. The log has no entries to give
//! there: the request carries none, and would be repeated for ever. Such a stream ends with an error here,
//! after which openraft asks anew where the follower is, and sends it the snapshot.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use openraft::errors::RPCError;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};

use super::append;
use super::network::{Client, Peers, unreachable};
use super::types::{NodeId, TypeConfig};
use crate::store::log::Log;

type Request = AppendEntriesRequest<TypeConfig>;
type Answer = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// Whether the log still has what comes behind the entry that the request follows.
fn is_served(request: &Request, log: &Log) -> bool {
    let next = request.prev_log_id.map_or(0, |id| id.index + 1);
    let purged = log.bounds().purged;
    !request.entries.is_empty() || purged.is_none_or(|purged| next > purged.index.0)
}

/// Opens a stream of entries as [`append::open`], that ends with an error where the log cannot serve it.
pub(super) async fn open<S>(
    client: Client,
    peers: Peers,
    target: NodeId,
    input: S,
    log: Log,
) -> Result<BoxStream<'static, Answer>, RPCError<TypeConfig>>
where
    S: Stream<Item = Request> + Send + Unpin + 'static,
{
    let cut = Cut::default();
    let requests = Served { requests: input, log, cut: cut.clone() };
    let answers = append::open(client, peers, target, requests).await?;
    Ok(Told { answers, cut }.boxed())
}

/// Whether the requests were cut since the follower lags too far.
#[derive(Debug, Clone, Default)]
struct Cut(Arc<AtomicBool>);

/// The requests, up to the first one that the log cannot serve.
struct Served<S> {
    requests: S,
    log: Log,
    cut: Cut,
}

impl<S: Stream<Item = Request> + Unpin> Stream for Served<S> {
    type Item = Request;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Request>> {
        if self.cut.0.load(Ordering::Relaxed) {
            return Poll::Ready(None);
        }
        let Some(request) = ready!(self.requests.poll_next_unpin(context)) else { return Poll::Ready(None) };
        if is_served(&request, &self.log) {
            return Poll::Ready(Some(request));
        }
        self.cut.0.store(true, Ordering::Relaxed);
        Poll::Ready(None)
    }
}

/// The answers, and an error behind them if the requests were cut.
struct Told {
    answers: BoxStream<'static, Answer>,
    cut: Cut,
}

impl Stream for Told {
    type Item = Answer;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        let answer = ready!(self.answers.poll_next_unpin(context));
        // Told once: the stream has ended then.
        let lags = answer.is_none() && self.cut.0.swap(false, Ordering::Relaxed);
        let error = || Err(unreachable(&"the log no longer holds what the follower lacks"));
        Poll::Ready(if lags { Some(error()) } else { answer })
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::iter;
    use openraft::vote::RaftLeaderId;

    use super::super::codec;
    use super::super::types::{LogId, Vote};
    use super::*;
    use crate::core::types::{LogIndex, Term};
    use crate::store::Position;
    use crate::store::log::{LogEntry, LogOptions};
    use crate::store::testing::SimDisk;

    fn request(prev: u64) -> Request {
        let vote = Vote { leader_id: RaftLeaderId::new(1, 1), committed: true };
        let prev_log_id = Some(LogId::new_term_index(1, prev));
        AppendEntriesRequest { vote, prev_log_id, entries: Vec::new(), leader_commit: None }
    }

    /// A log of the entries 1 to 9, of which the first 5 are purged.
    async fn purged_log() -> Log {
        let options = LogOptions { disk: SimDisk::default().disk(), ..LogOptions::default() };
        let (log, writer) = Log::open(std::path::Path::new("/log"), options).expect("opens");
        crate::machine::spawn("log", move || drop(writer.run())).expect("a thread");
        let position = |index| Position { term: Term(1), index: LogIndex(index) };
        let bytes = codec::encode_payload(&openraft::EntryPayload::Blank);
        let entries = (1..10).map(|index| LogEntry { position: position(index), bytes: bytes.clone() }).collect();
        let (sender, done) = tokio::sync::oneshot::channel();
        log.append(entries, Box::new(|_| ()));
        log.purge_to(position(5), Box::new(|result| drop(sender.send(result))));
        done.await.expect("told").expect("purged");
        log
    }

    #[tokio::test]
    async fn a_stream_from_a_purged_entry_ends_with_an_error() {
        let log = purged_log().await;
        for (prev, served) in [(3, false), (4, false), (5, true), (9, true)] {
            let cut = Cut::default();
            let requests = iter([request(9), request(prev), request(9)]);
            let requests = Served { requests, log: log.clone(), cut: cut.clone() };
            let sent: Vec<_> = requests.collect().await;
            assert_eq!(sent.len(), if served { 3 } else { 1 }, "behind {prev}");
            let told: Vec<Answer> = Told { answers: iter([]).boxed(), cut }.collect().await;
            assert_eq!(told.iter().filter(|answer| answer.is_err()).count(), usize::from(!served), "behind {prev}");
        }
    }

    #[tokio::test]
    async fn entries_are_read_from_where_they_were_asked_for_or_not_at_all() {
        use openraft::storage::RaftLogReader as _;
        let mut store = super::super::LogStore::new(purged_log().await, Default::default());
        assert!(store.limited_get_log_entries(4, 9).await.expect("read").is_empty());
        let entries = store.limited_get_log_entries(6, 9).await.expect("read");
        assert_eq!(entries.first().map(|entry| entry.log_id.index), Some(6));
    }
}
