//! Streams of picked records: what a reader wants of the journal, and how far the looking has come,
//! so that it can resume behind it even when nothing was picked.

use std::time::Duration;

use futures::Stream;
use tonic::Status;

use super::convert::request::Consistency;
use super::errors::Refusal;
use super::feed::Feed;
use super::reads::Reads;
use super::stream::Resume;
use crate::core::Record;
use crate::core::types::Sequence;
use crate::machine::Instant;

/// How often a reader is told how far the looking has come, when there is nothing else to tell.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Picks items out of the journal's records.
pub struct Progress<T, P> {
    feed: Feed,
    pick: P,
    resume: Resume,
    told: Instant,
    items: std::marker::PhantomData<fn() -> T>,
}

impl<T, P> Progress<T, P>
where
    T: Send + 'static,
    P: FnMut(&Record, &mut Vec<T>) + Send + 'static,
{
    /// Items that `pick` finds in the records of the feed.
    pub fn new(feed: Feed, pick: P) -> Self {
        let resume = Resume::default();
        resume.set(feed.position());
        Self { feed, pick, resume, told: Instant::now(), items: std::marker::PhantomData }
    }

    /// The stream of answers, each made of items and the sequence that was looked at last; and where
    /// its reader can resume.
    pub fn answers<A: Send + 'static>(
        self,
        answer: impl Fn(Vec<T>, Sequence) -> A + Send + 'static,
    ) -> (impl Stream<Item = Result<A, Status>> + Send + 'static, Resume) {
        let resume = self.resume.clone();
        let answers = futures::stream::unfold((Some(self), answer), async |(progress, answer)| {
            let mut progress = progress?;
            match progress.next().await {
                Ok((items, through)) => {
                    let item = answer(items, through);
                    Some((Ok(item), (Some(progress), answer)))
                }
                Err(refusal) => Some((Err(refusal.into()), (None, answer))),
            }
        });
        (answers, resume)
    }

    async fn next(&mut self) -> Result<(Vec<T>, Sequence), Refusal> {
        let mut items = Vec::new();
        loop {
            for record in self.feed.next().await? {
                (self.pick)(&record, &mut items);
            }
            if !items.is_empty() || self.told.elapsed() >= PROGRESS_INTERVAL {
                self.told = Instant::now();
                let next = self.feed.position();
                self.resume.set(next);
                return Ok((items, Sequence(next.0 - 1)));
            }
        }
    }
}

/// Where a stream begins that was asked for from `asked` on: zero is behind the last event. A node
/// that is behind waits for the event; one that nobody has is refused.
///
/// # Errors
/// When the event lies beyond the next one, or nobody can say.
pub async fn first_event(reads: &Reads, asked: Sequence, field: &'static str) -> Result<Sequence, Refusal> {
    if asked == Sequence(0) {
        return Ok(reads.last().plus(1));
    }
    if asked.0 > reads.last().0.saturating_add(1) {
        reads.freshen(Consistency::Linearizable).await?;
        let last = reads.last();
        if asked.0 > last.0.saturating_add(1) {
            return Err(Refusal::SequenceOutOfRange { field, asked, last });
        }
    }
    Ok(asked)
}
