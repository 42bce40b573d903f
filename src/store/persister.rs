//! The thread that writes behind the log: journal, index runs, state.

use super::StoreError;

/// The body of the persister thread.
#[derive(Debug)]
pub struct Persister {}

impl Persister {
    /// Writes what the engine hands over, until the engine is closed or dropped.
    ///
    /// # Errors
    /// The first fault, which the engine's next call returns too. The node must stop.
    pub fn run(self) -> Result<(), StoreError> {
        todo!()
    }
}
