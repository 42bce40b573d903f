//! A state that is ahead of the node's own log.
//!
//! An entry is committed, applied and stored when a majority has it on disk; the node itself need not be
//! of it, when its disk is slow. One that is killed then comes back with a state that its log does not
//! reach. openraft takes such a log for purged up to there, as after a snapshot; so there has to be a snapshot
//! from there, or followers that lag would be sent an older one, behind which the log has a gap.

use super::apply::ApplyHandle;
use super::fault::Fault;
use crate::machine::blocking;
use crate::store::StoreError;
use crate::store::log::Log;

/// Makes sure that there is a snapshot of a state that the log does not reach.
///
/// # Errors
/// When the snapshot cannot be written.
pub(super) async fn cover(log: &Log, apply: &ApplyHandle) -> Result<(), Fault> {
    let closed = |_| apply.faults().get().unwrap_or(Fault::Store(StoreError::Closed));
    let applied = apply.applied().await.map_err(closed)?.position.map(|position| position.index);
    let newest = apply.snapshots().latest().map(|meta| meta.position.index);
    let last = log.bounds().last.map(|position| position.index);
    if applied <= last || applied <= newest {
        return Ok(());
    }
    tracing::info!(?applied, ?last, "the state is ahead of the log: writing a snapshot of it");
    if let Some(job) = apply.begin_snapshot().await.map_err(closed)? {
        blocking(|| job.run()).await.map_err(closed)?.map_err(Fault::Store)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::fault::FaultCell;
    use super::super::{apply_thread, codec};
    use super::*;
    use crate::core::types::{LogIndex, Term};
    use crate::machine;
    use crate::store::Position;
    use crate::store::engine::{Engine, EngineOptions, Payload};
    use crate::store::log::{LogEntry, LogOptions};

    fn position(index: u64) -> Position {
        Position { term: Term(1), index: LogIndex(index) }
    }

    async fn log_of(dir: &Path, entries: u64) -> Log {
        let (log, writer) = Log::open(&dir.join("log"), LogOptions::default()).expect("opens");
        machine::spawn("log", move || drop(writer.run())).expect("a thread");
        let bytes = codec::encode_payload(&openraft::EntryPayload::Blank);
        let entries = (1..=entries).map(|index| LogEntry { position: position(index), bytes: bytes.clone() });
        let (sender, done) = tokio::sync::oneshot::channel();
        log.append(entries.collect(), Box::new(|result| drop(sender.send(result))));
        done.await.expect("told").expect("written");
        log
    }

    /// A node that has applied three entries, with so many in its log; its newest snapshot afterwards.
    async fn covered(entries: u64) -> Option<LogIndex> {
        let dir = tempfile::tempdir().expect("a folder");
        let log = log_of(dir.path(), entries).await;
        let (mut engine, persister) = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
        machine::spawn("persister", move || drop(persister.run())).expect("a thread");
        for index in 1..=3 {
            engine.apply(position(index), Payload::Blank).expect("applied");
        }
        let (apply, body) = apply_thread(engine, 1, FaultCell::default());
        machine::spawn("apply", move || drop(body.run())).expect("a thread");
        cover(&log, &apply).await.expect("covered");
        let newest = apply.snapshots().latest().map(|meta| meta.position.index);
        apply.close();
        newest
    }

    #[tokio::test]
    async fn only_a_state_ahead_of_the_log_is_written_as_a_snapshot() {
        assert_eq!(covered(3).await, None);
        assert_eq!(covered(2).await, Some(LogIndex(3)));
    }
}
