//! The index: which commands were ever used, and where in the journal to look.
//!
//! All of it follows from the journal and can be rebuilt from it. New entries stand in memory
//! ([`memtable`]); full tables become immutable sorted files ([`run`]), which are merged as they grow.

mod key;

pub use key::HistoryKey;

use super::StoreError;
use crate::core::Used;
use crate::core::command::CommandKey;
use crate::core::types::Sequence;

/// Which way a history is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From old to new.
    Forward,
    /// From new to old.
    Backward,
}

/// Reads the index, on any thread. A cheap handle.
#[derive(Debug, Clone)]
pub struct IndexReader {}

#[allow(unused_variables)]
impl IndexReader {
    /// The command that has this key.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn find(&self, key: &CommandKey) -> Result<Option<Used>, StoreError> {
        todo!()
    }

    /// Up to `limit` events of a history, from the event `from` on, itself included, in the order of
    /// the direction.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn scan(
        &self,
        key: HistoryKey,
        from: Sequence,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Sequence>, StoreError> {
        todo!()
    }
}
