//! Streams of picked records: what a reader wants of the journal, and how far the looking has come,
//! so that it can resume behind it even when nothing was picked. No message is larger than clients take
//! by default.

use std::collections::VecDeque;
use std::time::Duration;

use futures::Stream;
use tonic::Status;

use super::convert::request::Consistency;
use super::errors::Refusal;
use super::feed::Feed;
use super::limits::STREAM_MESSAGE_BYTES_MAX;
use super::reads::Reads;
use super::stream::Resume;
use crate::core::Record;
use crate::core::types::Sequence;
use crate::machine::Instant;

/// How often a reader is told how far the looking has come, when there is nothing else to tell.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Something that was picked.
#[derive(Debug)]
pub struct Item<T> {
    /// What.
    pub value: T,
    /// What it adds to a message, in bytes.
    pub bytes: usize,
    /// Whoever has it has seen everything up to this event.
    pub through: Sequence,
}

/// Picks items out of the journal's records.
pub struct Progress<T, P> {
    feed: Feed,
    pick: P,
    resume: Resume,
    told: Instant,
    /// What was picked and not yet told.
    picked: VecDeque<Item<T>>,
}

impl<T, P> Progress<T, P>
where
    T: Send + 'static,
    P: FnMut(&Record, &mut VecDeque<Item<T>>) + Send + 'static,
{
    /// Items that `pick` finds in the records of the feed.
    pub fn new(feed: Feed, pick: P) -> Self {
        let resume = Resume::default();
        resume.set(feed.position());
        Self { feed, pick, resume, told: Instant::now(), picked: VecDeque::new() }
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
        while self.picked.is_empty() {
            for record in self.feed.next().await? {
                (self.pick)(&record, &mut self.picked);
            }
            if self.told.elapsed() >= PROGRESS_INTERVAL {
                break;
            }
        }
        let (items, through) = fill(&mut self.picked);
        // With the last of them everything is told that was looked at.
        let through = through.filter(|_| !self.picked.is_empty()).unwrap_or(Sequence(self.feed.position().0 - 1));
        self.told = Instant::now();
        self.resume.set(through.plus(1));
        Ok((items, through))
    }
}

/// Takes as many items as fit a message, one at least; and through which event they lead.
fn fill<T>(picked: &mut VecDeque<Item<T>>) -> (Vec<T>, Option<Sequence>) {
    let (mut items, mut bytes, mut through) = (Vec::new(), 0, None);
    while let Some(item) =
        picked.pop_front_if(|item| items.is_empty() || bytes + item.bytes <= STREAM_MESSAGE_BYTES_MAX)
    {
        bytes += item.bytes;
        through = Some(item.through);
        items.push(item.value);
    }
    (items, through)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_holds_what_fits_and_one_item_at_least() {
        let item = |through, bytes| Item { value: through, bytes, through: Sequence(through) };
        let half = STREAM_MESSAGE_BYTES_MAX / 2;
        let mut picked = VecDeque::from([item(1, half), item(2, half), item(3, 1), item(4, 3 * half), item(5, 1)]);
        assert_eq!(fill(&mut picked), (vec![1, 2], Some(Sequence(2))));
        assert_eq!(fill(&mut picked), (vec![3], Some(Sequence(3))));
        assert_eq!(fill(&mut picked), (vec![4], Some(Sequence(4))));
        assert_eq!(fill(&mut picked), (vec![5], Some(Sequence(5))));
        assert_eq!(fill(&mut picked), (Vec::new(), None));
    }
}
