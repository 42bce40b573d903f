//! The journal as a stream: every record from a sequence on, then each new one as it is published.

use tokio::sync::watch;

use super::errors::Refusal;
use super::history::{History, Reading};
use crate::core::Record;
use crate::core::types::Sequence;
use crate::replication::Published;

/// Records read in one step, at most.
const RECORDS_STEP: usize = 4_096;

/// A reader of the journal that goes on with it.
#[derive(Debug)]
pub struct Feed {
    history: History,
    published: watch::Receiver<Published>,
    next: Sequence,
    step_bytes: usize,
}

impl Feed {
    /// A reader that begins with the record of the event `from`, and takes `step_bytes` of journal
    /// at a time.
    #[must_use]
    pub fn new(history: History, published: watch::Receiver<Published>, from: Sequence, step_bytes: usize) -> Self {
        Self { history, published, next: from, step_bytes }
    }

    /// The next records, never none: waits until there are some.
    ///
    /// # Errors
    /// When the journal cannot be read, or the node is stopping.
    pub async fn next(&mut self) -> Result<Vec<Record>, Refusal> {
        loop {
            let from = self.next;
            self.published.wait_for(|published| published.sequence >= from).await.map_err(|_| Refusal::ShuttingDown)?;
            let bytes = self.step_bytes;
            let read = move |reading: &Reading| reading.records(from, RECORDS_STEP, bytes);
            let records = self.history.read(read).await?;
            if let Some(last) = records.last() {
                self.next = last.view().last_sequence().plus(1);
                return Ok(records);
            }
        }
    }

    /// The event that comes next.
    #[must_use]
    pub fn position(&self) -> Sequence {
        self.next
    }
}
