//! Reads of journal and index, off the async runtime: they may touch the disk.
//!
//! As many as the limit allows run at a time; more wait for a place. A fault of the disk is
//! reported to the node, which ends: a reader is never answered from damaged data.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::errors::Refusal;
use crate::core::Record;
use crate::core::event::{EventBody, Posting};
use crate::core::types::Sequence;
use crate::machine;
use crate::replication::{Fault, FaultCell};
use crate::store::StoreError;
use crate::store::engine::Readers;

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

    /// Runs `look` on a thread that may block.
    ///
    /// # Errors
    /// What `look` refuses; a fault of the disk, which ends the node.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Readers) -> Result<T, ReadFault> + Send + 'static,
    ) -> Result<T, Refusal> {
        let place = self.places.clone().acquire_owned().await.map_err(|_| Refusal::ShuttingDown)?;
        let readers = self.readers.clone();
        let looked = machine::blocking(move || {
            let _place = place;
            look(&readers)
        });
        match looked.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(ReadFault::Refused(refusal))) => Err(refusal),
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
    /// The disk is.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads events by their numbers, and keeps the last record: neighbours often stand in one.
#[derive(Debug)]
pub struct EventReader<'a> {
    readers: &'a Readers,
    last: Option<Record>,
}

impl<'a> EventReader<'a> {
    /// A reader that has read nothing yet.
    #[must_use]
    pub fn new(readers: &'a Readers) -> Self {
        Self { readers, last: None }
    }

    /// The record that holds this event.
    ///
    /// # Errors
    /// When the journal cannot be read; also when it has no such event, since whoever asks has its
    /// number from the index.
    pub fn record(&mut self, sequence: Sequence) -> Result<&Record, ReadFault> {
        let holds = |record: &Record| record.sequence <= sequence && sequence <= record.view().last_sequence();
        if !self.last.as_ref().is_some_and(holds) {
            self.last = self.readers.journal.record_at(sequence)?;
        }
        self.last.as_ref().ok_or(ReadFault::Refused(Refusal::Faulty))
    }

    /// The event with this number, its record and its postings.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub fn event(&mut self, sequence: Sequence) -> Result<(&Record, &EventBody, &[Posting]), ReadFault> {
        let record = self.record(sequence)?;
        let found = record.view().events().find(|(number, ..)| *number == sequence);
        let (_, body, postings) = found.ok_or(ReadFault::Refused(Refusal::Faulty))?;
        Ok((record, body, postings))
    }
}
