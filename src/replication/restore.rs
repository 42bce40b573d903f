//! From a restored state to a node that can start: the first member of a new cluster.
//!
//! The state comes from a [backup](crate::store::backup). What it lacks is a log, a membership and an
//! identity. The new cluster has one voter, whatever the old one had: more are added to it, each with an
//! empty folder. Its identity is another one, so that no node of the old cluster can ever join it, nor
//! it the old cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc::sync_channel;

use openraft::EntryPayload;
use openraft::vote::RaftLeaderId;

use super::codec;
use super::fault::Fault;
use super::types::{Membership, Node, Vote};
use crate::core::types::{LogIndex, Term};
use crate::store::backup::restore::{Restored, finish};
use crate::store::identity::{ClusterId, DataFolder, DiskId, NodeId};
use crate::store::log::{Done, Log, LogEntry, LogOptions, LogWriter};
use crate::store::{Disk, Position, StoreError};

/// Makes the restored folder that of the only voter of a new cluster, which is reached by these addresses.
/// Can be done again when it was broken off.
///
/// # Errors
/// When the disk fails, or the folder is somebody's.
pub fn found(
    dir: &Path,
    restored: &Restored,
    cluster: ClusterId,
    node: (NodeId, Node),
    segment_bytes: u64,
) -> Result<(), Fault> {
    let disk = Disk::real();
    let (id, node) = node;
    let mut folder = DataFolder::open(&disk, dir)?;
    folder.check(cluster, id)?;
    let log_dir = dir.join("log");
    if folder.identity.is_none() && disk.exists(&log_dir)? {
        // Of a founding that was broken off before anything could start from it.
        disk.remove_folder(&log_dir)?;
    }
    if folder.identity.is_none() {
        let disk_id = DiskId::random();
        let options = LogOptions { segment_bytes, disk: disk.clone(), ..LogOptions::default() };
        let (log, writer) = Log::open(&log_dir, options)?;
        let me = (id.0, Node { disk: Some(disk_id), ..node });
        begin_log(&log, writer, restored.position, me)?;
        folder.claim(cluster, id, disk_id)?;
    }
    Ok(finish(&disk, dir)?)
}

/// The log of a cluster that begins behind `position`: a vote, and the membership as its only entry.
fn begin_log(log: &Log, writer: LogWriter, position: Option<Position>, me: (u64, Node)) -> Result<(), Fault> {
    let (id, node) = me;
    let nodes = BTreeMap::from([(id, node)]);
    let membership =
        Membership::new(vec![BTreeSet::from([id])], nodes).map_err(|error| Fault::Raft(error.to_string()))?;
    let term = position.map_or(0, |position| position.term.0) + 1;
    let next = LogIndex(position.map_or(0, |position| position.index.0 + 1));
    let entry = LogEntry {
        position: Position { term: Term(term), index: next },
        bytes: codec::encode_payload(&EntryPayload::Membership(membership)),
    };
    let vote = codec::encode_vote(&Vote { leader_id: RaftLeaderId::new(term, id), committed: true });
    write_log(log, writer, |log| {
        if let Some(position) = position {
            wait(|done| log.purge_to(position, done))?;
        }
        wait(|done| log.save_vote(vote, done))?;
        wait(|done| log.append(vec![entry], done))
    })?;
    Ok(())
}

/// Runs the log's thread while `write` asks it for what is to be written, and ends it.
pub(super) fn write_log(
    log: &Log,
    writer: LogWriter,
    write: impl FnOnce(&Log) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    std::thread::scope(|threads| {
        let running = threads.spawn(|| writer.run());
        let written = write(log);
        log.close();
        let ended = running.join().unwrap_or(Err(StoreError::Closed));
        written.and(ended)
    })
}

/// Waits for an operation of the log thread.
pub(super) fn wait(start: impl FnOnce(Done)) -> Result<(), StoreError> {
    let (sender, receiver) = sync_channel(1);
    // The receiver waits below until the answer is there.
    start(Box::new(move |result| drop(sender.send(result))));
    receiver.recv().unwrap_or(Err(StoreError::Closed))
}
