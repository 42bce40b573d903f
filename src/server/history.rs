//! Reads of journal and index, off the async runtime: they may touch the disk.
//!
//! As many as the limit allows run at a time; more wait for a place. A read ends when nobody waits for
//! its answer any more, be it that the call's deadline has passed or that the client has gone. A fault
//! of the disk is reported to the node, which ends: a reader is never answered from damaged data.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::errors::Refusal;
use crate::core::Record;
use crate::core::event::{EventBody, Posting};
use crate::core::types::Sequence;
use crate::machine;
use crate::replication::{Fault, FaultCell};
use crate::store::StoreError;
use crate::store::engine::Readers;
use crate::store::index::IndexReader;

/// The history of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct History {
    readers: Readers,
    places: Arc<Semaphore>,
    faults: FaultCell,
}

impl History {
    /// The history behind these readers, read by at most `reads_max` at a time.
    #[must_use]
    pub fn new(readers: Readers, reads_max: usize, faults: FaultCell) -> Self {
        Self { readers, places: Arc::new(Semaphore::new(reads_max)), faults }
    }

    /// The same history with places of its own: what reads by it waits for no other reader.
    #[must_use]
    pub fn apart(&self, reads_max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(reads_max)), ..self.clone() }
    }

    /// Runs `look` on a thread that may block. Dropping the future ends it at its next step.
    ///
    /// # Errors
    /// What `look` refuses; a fault of the disk, which ends the node.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reading) -> Result<T, ReadFault> + Send + 'static,
    ) -> Result<T, Refusal> {
        let asker = CancellationToken::new();
        let reading = Reading { readers: self.readers.clone(), asker: asker.clone() };
        let _asker = asker.drop_guard();
        let place = self.places.clone().acquire_owned().await.map_err(|_| Refusal::ShuttingDown)?;
        let looked = machine::blocking(move || {
            let _place = place;
            reading.check()?;
            look(&reading)
        });
        match looked.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(ReadFault::Refused(refusal))) => Err(refusal),
            Ok(Err(ReadFault::Abandoned)) => Err(Refusal::DeadlineExceeded),
            Ok(Err(ReadFault::Store(fault))) => {
                self.faults.report(Fault::Store(fault));
                Err(Refusal::Faulty)
            }
            Err(_) => Err(Refusal::ShuttingDown),
        }
    }
}

/// Why a read of the history gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// The request is at fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody waits for the answer.
    #[error("nobody waits for the answer")]
    Abandoned,
    /// The disk is.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One read of the history, under way.
#[derive(Debug)]
pub struct Reading {
    readers: Readers,
    asker: CancellationToken,
}

impl Reading {
    /// Ends the read when nobody waits for it any more. To be asked at every step of a long one.
    ///
    /// # Errors
    /// When nobody does.
    pub fn check(&self) -> Result<(), ReadFault> {
        if self.asker.is_cancelled() { Err(ReadFault::Abandoned) } else { Ok(()) }
    }

    /// The index.
    #[must_use]
    pub fn index(&self) -> &IndexReader {
        &self.readers.index
    }

    /// Records in order, from the one that holds the event `from`: at most `records_max`, and as many as
    /// fit `bytes_max` but at least one.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn records(&self, from: Sequence, records_max: usize, bytes_max: usize) -> Result<Vec<Record>, ReadFault> {
        Ok(self.readers.journal.read(from, records_max, bytes_max)?)
    }
}

/// Records that a reader keeps: neighbours often stand in one, and what happened to orders that one command
/// ended alternates between its record and their own.
const RECORDS_KEPT: usize = 4;

/// Of records with more events than this one alone is kept: they take much room.
const SMALL_EVENTS_MAX: usize = 1_000;

/// Reads events by their numbers.
#[derive(Debug)]
pub struct EventReader<'a> {
    reading: &'a Reading,
    /// The records read last, the newest first.
    kept: Vec<Record>,
    /// Events in the records that were read.
    events: usize,
}

impl<'a> EventReader<'a> {
    /// A reader that has read nothing yet.
    #[must_use]
    pub fn new(reading: &'a Reading) -> Self {
        Self { reading, kept: Vec::with_capacity(RECORDS_KEPT + 1), events: 0 }
    }

    /// The record that holds this event.
    ///
    /// # Errors
    /// When the journal cannot be read; also when it has no such event, since whoever asks has its
    /// number from the index or knows that it is not above the last one. When nobody waits for the answer any more.
    pub fn record(&mut self, sequence: Sequence) -> Result<&Record, ReadFault> {
        self.reading.check()?;
        let holds = |record: &Record| record.sequence <= sequence && sequence <= record.view().last_sequence();
        match self.kept.iter().position(holds) {
            Some(place) => self.kept[..=place].rotate_right(1),
            None => {
                let record = self.reading.readers.journal.record_at(sequence)?;
                let record = record.ok_or(ReadFault::Refused(Refusal::Faulty))?;
                self.events += record.events.len();
                if record.events.len() > SMALL_EVENTS_MAX {
                    self.kept.retain(|known| known.events.len() <= SMALL_EVENTS_MAX);
                }
                self.kept.insert(0, record);
                self.kept.truncate(RECORDS_KEPT);
            }
        }
        self.kept.first().ok_or(ReadFault::Refused(Refusal::Faulty))
    }

    /// The event with this number, its record and its postings.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub fn event(&mut self, sequence: Sequence) -> Result<(&Record, &EventBody, &[Posting]), ReadFault> {
        let record = self.record(sequence)?;
        let (body, postings) = record.view().event(sequence).ok_or(ReadFault::Refused(Refusal::Faulty))?;
        Ok((record, body, postings))
    }

    /// How many events the records had that were read from the journal: what the reading cost.
    #[must_use]
    pub fn events_read(&self) -> usize {
        self.events
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::engine::{Engine, EngineOptions};

    fn history(reads_max: usize) -> (tempfile::TempDir, History) {
        let folder = tempfile::tempdir().expect("a folder");
        let (engine, _) = Engine::open(folder.path(), EngineOptions::default()).expect("a new store");
        (folder, History::new(engine.readers(), reads_max, FaultCell::default()))
    }

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_ends_and_gives_its_place_back() {
        let (_folder, history) = history(1);
        let endless = history.read(|reading| -> Result<(), ReadFault> {
            loop {
                reading.check()?;
            }
        });
        assert!(tokio::time::timeout(Duration::from_millis(50), endless).await.is_err());
        let next = tokio::time::timeout(Duration::from_secs(30), history.read(|_| Ok(7)));
        assert_eq!(next.await.expect("the place is free again"), Ok(7));
    }

    #[tokio::test]
    async fn a_pool_that_is_full_holds_up_no_other() {
        let (_folder, history) = history(1);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let busy = tokio::spawn({
            let history = history.clone();
            async move { history.read(move |_| Ok(ended.recv().is_err())).await }
        });
        while history.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let other = history.apart(1);
        let apart = tokio::time::timeout(Duration::from_secs(30), other.read(|_| Ok(7)));
        assert_eq!(apart.await.expect("it has places of its own"), Ok(7));
        drop(end);
        assert_eq!(busy.await.expect("no panic"), Ok(true));
    }
}
