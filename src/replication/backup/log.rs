//! The Raft log as a backup reads it: proposals, and places where there was something else.

use super::super::codec::TAG_PROPOSAL;
use crate::core::types::LogIndex;
use crate::store::backup::Entry;
use crate::store::backup::write::LogSource;
use crate::store::log::Log;
use crate::store::{Position, StoreError};

/// This node's log.
#[derive(Debug)]
pub(super) struct RaftLog(pub Log);

impl LogSource for RaftLog {
    fn purged(&self) -> Option<Position> {
        self.0.bounds().purged
    }

    fn read(&self, from: LogIndex, to_exclusive: LogIndex, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        let entries = self.0.read(from, to_exclusive, bytes_max)?.into_iter();
        let proposal = |bytes: bytes::Bytes| (bytes.first() == Some(&TAG_PROPOSAL)).then(|| bytes.slice(1..));
        Ok(entries.map(|entry| Entry { position: entry.position, proposal: proposal(entry.bytes) }).collect())
    }
}
