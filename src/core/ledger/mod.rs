//! The ledger: the whole state, and the one function that changes it.

mod invariants;
mod query;
pub mod records;

pub use invariants::BrokenInvariant;
pub use query::Hold;

use crate::core::command::Proposal;
use crate::core::event::Effects;
use crate::core::state::{History, RecordKey, RestoreError};
use crate::core::types::{Sequence, Stamp, Timestamp};

/// The whole live state, in memory.
#[derive(Debug, Default)]
pub struct Ledger {}

impl Ledger {
    /// The state before the first command.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one proposal: first ends what is due at the stamp's time, then carries out the
    /// commands in order, each as a whole and each linked chain as a whole.
    ///
    /// `effects` is added to, not cleared. The records that changed can be had from
    /// [`Self::take_changes`] afterwards.
    pub fn apply(&mut self, stamp: Stamp, proposal: &Proposal, history: &mut impl History, effects: &mut Effects) {
        let _ = (stamp, proposal, history, effects);
        todo!()
    }

    /// When the next pending transfer or order is due to expire.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        todo!()
    }

    /// The number of the last event.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        todo!()
    }

    /// Moves the places of the records that changed since the last call into `changes`; a place can
    /// be named more than once.
    pub fn take_changes(&mut self, changes: &mut Vec<RecordKey>) {
        let _ = changes;
        todo!()
    }

    /// Appends the bytes of one record: [`Table::record_len`](crate::core::Table::record_len) of
    /// them, all zero when the slot is empty.
    pub fn encode_record(&self, key: RecordKey, out: &mut Vec<u8>) {
        let _ = (key, out);
        todo!()
    }

    /// Builds the state from its records, in any order; empty slots may be left out.
    ///
    /// # Errors
    /// When the records are not a state: one that does not decode, names what is not there, or
    /// stands twice.
    pub fn restore<'a>(records: impl Iterator<Item = (RecordKey, &'a [u8])>) -> Result<Self, RestoreError> {
        let _ = records;
        todo!()
    }
}
