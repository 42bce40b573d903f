//! Reads of the live state, as fresh as was asked for.

use std::time::Duration;

use tokio::sync::watch;

use super::convert::request::Consistency;
use super::errors::Refusal;
use crate::core::Ledger;
use crate::core::types::Sequence;
use crate::machine::Instant;
use crate::proto::v1 as pb;
use crate::replication::{Leadership, Published, ReadError, Replica};

/// The live state of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reads {
    replica: Replica,
    published: watch::Receiver<Published>,
    leadership: watch::Receiver<Leadership>,
    timeout: Duration,
    leader_wait: Duration,
}

/// How long to wait for news of the leader before it is asked again: one that is known may not answer.
const LEADER_PAUSE: Duration = Duration::from_millis(50);

/// What was read, and at which point.
#[derive(Debug, Clone, Copy)]
pub struct Seen<T> {
    /// What was read.
    pub value: T,
    /// The last event it takes in.
    pub sequence: Sequence,
    /// Its position for the answer.
    pub position: pb::Position,
}

impl Reads {
    /// Reads of this replica; one that has to wait for an event waits at most `timeout`, one that has to
    /// wait for a leader at most `leader_wait`.
    #[must_use]
    pub fn new(replica: &Replica, timeout: Duration, leader_wait: Duration) -> Self {
        let (published, leadership) = (replica.published(), replica.leadership());
        Self { replica: replica.clone(), published, leadership, timeout, leader_wait }
    }

    /// Waits until this node is as fresh as the consistency asks for.
    ///
    /// # Errors
    /// When it does not become so in time, or nobody leads.
    pub async fn freshen(&self, consistency: Consistency) -> Result<(), Refusal> {
        match consistency {
            Consistency::Linearizable => self.barrier().await,
            Consistency::AtLeast(sequence) => {
                Ok(self.replica.wait_sequence(sequence, Instant::now() + self.timeout).await?)
            }
            Consistency::Stale => Ok(()),
        }
    }

    /// Confirms with the leader that this node sees everything acknowledged until now. While there is no
    /// leader, as during a failover, it waits for one.
    async fn barrier(&self) -> Result<(), Refusal> {
        let until = Instant::now() + self.leader_wait;
        let mut leadership = self.leadership.clone();
        loop {
            leadership.mark_unchanged();
            match self.replica.barrier().await {
                Err(ReadError::NoLeader) if Instant::now() < until => {}
                confirmed => return Ok(confirmed?),
            }
            // A leader that is known and did not answer is asked again without news.
            drop(tokio::time::timeout(LEADER_PAUSE, leadership.changed()).await);
        }
    }

    /// Waits as [`Self::freshen`], then looks at the live state. Keep `look` short: nothing is applied
    /// meanwhile.
    ///
    /// # Errors
    /// As [`Self::freshen`], and when too many reads wait.
    pub async fn look<T: Send + 'static>(
        &self,
        consistency: Consistency,
        look: impl FnOnce(&Ledger) -> T + Send + 'static,
    ) -> Result<Seen<T>, Refusal> {
        self.freshen(consistency).await?;
        // The ledger knows its sequence, the log position at or before it is the published one.
        let before = *self.published.borrow();
        let (value, sequence) = self.replica.state().read(move |ledger| (look(ledger), ledger.sequence())).await?;
        let position = pb::Position { term: before.term.0, index: before.index.0, sequence: sequence.0 };
        Ok(Seen { value, sequence, position })
    }

    /// Waits until this node has applied the event.
    ///
    /// # Errors
    /// When it does not come in time.
    pub async fn reach(&self, sequence: Sequence) -> Result<(), Refusal> {
        self.freshen(Consistency::AtLeast(sequence)).await
    }

    /// The last event that can be read from the journal.
    #[must_use]
    pub fn last(&self) -> Sequence {
        self.published.borrow().sequence
    }

    /// What is published, and each change of it.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.clone()
    }
}
