//! The streams that the service answers with: driven by their readers, with a place among the
//! streams that may be open, and ended when the reader leaves an answer lying for too long.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::access::StreamPlace;
use super::errors::Refusal;
use super::patrol::Watched;
use crate::core::types::Sequence;
use crate::machine::Instant;

/// A stream of answers.
pub struct AnswerStream<T> {
    answers: BoxStream<'static, Result<T, Status>>,
    patience: Option<Patience>,
    place: Option<StreamPlace>,
}

/// How long a reader may leave an answer lying.
struct Patience {
    limit: Duration,
    /// When the last answer was handed out, unless the reader came back for more since.
    handed_out: Option<Instant>,
    /// Where the reader can go on; what it was handed out last does not count as read.
    resume_from: Resume,
    /// Ends the connection of a reader that does not come back at all.
    watched: Option<Watched>,
}

/// How many times its patience a stream waits until the reader loses its connection: one that is slow is
/// told so, and one that has stopped cannot be told anything.
const PATIENCE_TIMES: u32 = 2;

/// Where a reader can go on, kept by what makes its stream.
#[derive(Debug, Clone, Default)]
pub struct Resume(Arc<AtomicU64>);

impl Resume {
    /// Everything before this event was handed out.
    pub fn set(&self, sequence: Sequence) {
        self.0.store(sequence.0, Ordering::Relaxed);
    }

    fn get(&self) -> Sequence {
        Sequence(self.0.load(Ordering::Relaxed))
    }
}

impl<T> std::fmt::Debug for AnswerStream<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerStream").finish_non_exhaustive()
    }
}

impl<T> AnswerStream<T> {
    /// A stream whose reader may take its time. It ends when the service stops.
    pub fn new(answers: impl Stream<Item = Result<T, Status>> + Send + 'static, place: Option<StreamPlace>) -> Self
    where
        T: Send + 'static,
    {
        let answers = match place.as_ref().map(StreamPlace::stopping) {
            Some(stopping) => until_stopped(answers, stopping).boxed(),
            None => answers.boxed(),
        };
        Self { answers, patience: None, place }
    }

    /// The same stream, ended when its reader leaves an answer lying for longer than `limit`.
    #[must_use]
    pub fn with_patience(mut self, limit: Duration, resume_from: Resume) -> Self {
        let watched = self.place.as_ref().map(|place| place.watched(limit.saturating_mul(PATIENCE_TIMES)));
        self.patience = Some(Patience { limit, handed_out: None, resume_from, watched });
        self
    }
}

impl Patience {
    /// Notes that an answer was handed out, or that the reader came back; what was noted before.
    fn set_handed_out(&mut self, now: Option<Instant>) -> Option<Instant> {
        if now.is_none() && self.handed_out.is_none() {
            return None;
        }
        match (&self.watched, now) {
            (Some(watched), Some(_)) => watched.handed_out(),
            (Some(watched), None) => watched.read(),
            (None, _) => {}
        }
        std::mem::replace(&mut self.handed_out, now)
    }
}

/// The answers until the service stops, and then why there are no more.
fn until_stopped<T: Send + 'static>(
    answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    stopping: CancellationToken,
) -> impl Stream<Item = Result<T, Status>> + Send + 'static {
    let stopped = stopping.clone();
    let last = async move { stopped.is_cancelled().then(|| Err(Refusal::ShuttingDown.into())) };
    let last = futures::stream::once(last).filter_map(std::future::ready);
    answers.take_until(stopping.cancelled_owned()).chain(last)
}

impl<T: Send + 'static> Stream for AnswerStream<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(patience) = &mut self.patience
            && let Some(then) = patience.set_handed_out(None)
            && then.elapsed() > patience.limit
        {
            let refusal = Refusal::SlowReader { resume_from: patience.resume_from.get() };
            self.answers = Box::pin(futures::stream::empty());
            return Poll::Ready(Some(Err(refusal.into())));
        }
        let answer = ready!(self.answers.as_mut().poll_next(context));
        if let Some(patience) = &mut self.patience {
            patience.set_handed_out(Some(Instant::now()));
        }
        Poll::Ready(answer)
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[tokio::test]
    async fn a_reader_that_comes_back_late_is_ended() {
        let resume = Resume::default();
        resume.set(Sequence(7));
        let answers = futures::stream::iter([Ok(1), Ok(2), Ok(3)]);
        let mut stream = AnswerStream::new(answers, None).with_patience(Duration::from_millis(20), resume);
        assert_eq!(stream.next().await.map(Result::ok), Some(Some(1)));
        assert_eq!(stream.next().await.map(Result::ok), Some(Some(2)));
        tokio::time::sleep(Duration::from_millis(60)).await;
        let status = stream.next().await.expect("told why").expect_err("ended");
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("sequence 7"), "{}", status.message());
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn waiting_for_the_next_answer_is_not_slow() {
        let answers = futures::stream::unfold(0, |count| async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            (count < 2).then_some((Ok::<_, Status>(count), count + 1))
        });
        let stream = AnswerStream::new(answers, None).with_patience(Duration::from_millis(20), Resume::default());
        assert_eq!(stream.map(Result::unwrap).collect::<Vec<_>>().await, [0, 1]);
    }
}
