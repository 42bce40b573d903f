//! What holds of every state, whatever commands led to it.

use super::Ledger;
use crate::core::state::RecordKey;

/// An invariant that does not hold: the state is not one that the ledger could have made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenInvariant {
    /// Where.
    pub key: RecordKey,
    /// What is wrong there.
    pub reason: String,
}

impl std::fmt::Display for BrokenInvariant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} record {}: {}", self.key.table, self.key.slot, self.reason)
    }
}

impl std::error::Error for BrokenInvariant {}

impl Ledger {
    /// Checks the whole state; takes time in proportion to its size.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check_invariants(&self) -> Result<(), BrokenInvariant> {
        todo!()
    }
}
