//! What ends the node.

use tokio::sync::watch;

use crate::core::StateDigest;
use crate::core::types::LogIndex;
use crate::store::{Position, StoreError};

/// A fault of the machine. Nothing may go on after it: the node logs it and ends its process.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// The disk, or what is on it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A committed entry that cannot be read as one.
    #[error("log entry {index} cannot be decoded: {reason}")]
    Entry {
        /// Which.
        index: LogIndex,
        /// Why.
        reason: String,
    },
    /// Raft stopped by itself.
    #[error("raft stopped: {0}")]
    Raft(String),
    /// The other nodes do not take this node for what it says it is.
    #[error("node {by} refuses this one: {reason}")]
    Expelled {
        /// Who refused it.
        by: u64,
        /// Why, and what to do.
        reason: String,
    },
    /// What this node acknowledged is not in its log.
    #[error(
        "this node acknowledged log entry {acknowledged}, and its log ends at {last}: the data folder was put back to \
         an older state. It may have voted since, so it must not come back under its old id: give it a new id and an \
         empty folder, and run `counterfoil ctl cluster replace {node} NEW-ID`"
    )]
    Reverted {
        /// This node.
        node: u64,
        /// What a leader has from it.
        acknowledged: Position,
        /// What is there.
        last: Position,
    },
    /// This node's state is not what the majority's is.
    #[error("state diverged at log index {index}: {mine} here, {majority} on the majority; this node's data is wrong")]
    Diverged {
        /// Where they were compared.
        index: LogIndex,
        /// This node's digest.
        mine: StateDigest,
        /// The digest most members have.
        majority: StateDigest,
    },
}

/// Where a fault is reported, and waited for. The first one counts.
#[derive(Debug, Clone)]
pub struct FaultCell {
    cell: watch::Sender<Option<Fault>>,
}

impl Default for FaultCell {
    fn default() -> Self {
        Self { cell: watch::Sender::new(None) }
    }
}

impl FaultCell {
    /// Reports a fault; only the first one is kept.
    pub fn report(&self, fault: Fault) {
        self.cell.send_if_modified(|cell| {
            let first = cell.is_none();
            if first {
                *cell = Some(fault);
            }
            first
        });
    }

    /// The fault, if there was one.
    #[must_use]
    pub fn get(&self) -> Option<Fault> {
        self.cell.borrow().clone()
    }

    /// Waits for a fault; for ever when there is none.
    pub async fn wait(&self) -> Fault {
        let mut receiver = self.cell.subscribe();
        match receiver.wait_for(Option::is_some).await.map(|fault| fault.clone()) {
            Ok(Some(fault)) => fault,
            // The sender lives in `self`, so the channel cannot be closed while we wait.
            _ => std::future::pending().await,
        }
    }
}
