//! An operator's last resort, offline: when a majority is gone for ever, one folder that is left
//! becomes the only voter of a new cluster.
//!
//! It is a new cluster, with an identity of its own, so that an old node that turns up after all is
//! refused instead of being believed. What was acknowledged and never reached this folder is lost;
//! only the operator can say that this is better than nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use openraft::EntryPayload;
use openraft::vote::RaftLeaderId;

use super::codec;
use super::fault::Fault;
use super::restore::{wait, write_log};
use super::types::{Membership, Node, NodeId, Vote};
use crate::core::types::{LogIndex, Term};
use crate::store::identity::{ClusterId, DataFolder, Identity};
use crate::store::log::{Log, LogEntry, LogOptions};
use crate::store::{Disk, Position, StoreError, repair, snapshot, vote};

/// The file that says which cluster is being founded, until that is done.
const FOUNDING: &str = "FOUNDING";

/// Log entries read at once, in bytes.
const STEP_BYTES: usize = 1 << 20;

/// A folder to be made the beginning of a new cluster.
#[derive(Debug)]
pub struct Survivor {
    /// Whose it is, and of which cluster.
    pub identity: Identity,
    /// The voters of the old cluster, as far as this folder says.
    pub voters: BTreeSet<NodeId>,
    /// The last log entry in the folder.
    pub last: Position,
    /// The last one that is known to have been committed; a later one may have been, too.
    pub committed: Position,
    /// What was damaged, when the node was being repaired: its log lacks what it had acknowledged before.
    pub under_repair: Option<String>,
    /// The cluster that was being founded when that was broken off.
    pub broken_off: Option<ClusterId>,
    dir: PathBuf,
    folder: DataFolder,
    snapshots: PathBuf,
    log: Log,
    writer: crate::store::log::LogWriter,
    disk: Disk,
}

impl Survivor {
    /// Opens the folder of a node that does not run, and looks at what it has. Nothing is changed
    /// but what every start does: a torn tail that was never acknowledged is cut.
    ///
    /// # Errors
    /// When it is in use, is no node's folder, or its log is damaged.
    pub fn open(dir: &Path, segment_bytes: u64) -> Result<Self, Fault> {
        let disk = Disk::real();
        let founding = dir.join(FOUNDING);
        if !disk.exists(dir)? {
            return Err(StoreError::Missing { path: dir.to_owned(), reason: "it is to be recovered" }.into());
        }
        let folder = DataFolder::open(&disk, dir)?;
        let broken_off = match disk.read_file(&founding)? {
            None => None,
            Some(bytes) => {
                Some(cluster_named(&bytes).ok_or_else(|| StoreError::corrupt(&founding, 0, "it names no cluster"))?)
            }
        };
        let identity = folder
            .identity
            .ok_or(StoreError::Missing { path: dir.join("IDENTITY"), reason: "without it this is no node's folder" })?;
        let options = LogOptions { segment_bytes, create: false, disk: disk.clone(), ..LogOptions::default() };
        let (log, writer) = Log::open(&dir.join("log"), options)?;
        let snapshots = dir.join("snapshots");
        let position = |bytes: bytes::Bytes| codec::decode_log_id(&bytes).ok().map(codec::position);
        let committed = log.committed().and_then(position).max(log.bounds().purged).unwrap_or_default();
        let last = log.bounds().last.ok_or(StoreError::Missing {
            path: dir.join("log"),
            reason: "a log without an entry has nothing to begin with",
        })?;
        let membership = last_membership(&disk, &snapshots, Some(&log))?;
        let voters = membership.map(|membership| membership.voter_ids().collect()).unwrap_or_default();
        let under_repair = repair::read(&disk, dir)?.mark.map(|mark| mark.case.cause());
        let dir = dir.to_owned();
        Ok(Self {
            identity,
            voters,
            last,
            committed,
            under_repair,
            broken_off,
            dir,
            folder,
            snapshots,
            log,
            writer,
            disk,
        })
    }

    /// Makes this folder the whole of a new cluster, which reaches its node by these addresses. Can
    /// be done again when it was broken off.
    ///
    /// # Errors
    /// When the disk fails, or a snapshot is damaged.
    pub fn found(self, cluster: ClusterId, node: Node) -> Result<(), Fault> {
        let Self { identity, last, dir, mut folder, snapshots, log, writer, disk, .. } = self;
        let founding = dir.join(FOUNDING);
        disk.replace_file(&founding, format!("{:032x}", cluster.0).as_bytes())?;
        // From here on the old cluster's nodes are strangers, and this one cannot lead them: only
        // then is it made the only voter.
        snapshot::rename_cluster(&disk, &snapshots, cluster)?;
        folder.rename_cluster(cluster)?;
        let me = identity.node.0;
        let voted = [log.vote(), vote::read(&disk, &dir.join(vote::FILE_NAME))?];
        let voted = voted.into_iter().flatten().filter_map(|bytes| codec::decode_vote(&bytes).ok());
        let term = voted.map(|vote| vote.leader_id.term).max().unwrap_or(0).max(last.term.0) + 1;
        let nodes = BTreeMap::from([(me, Node { disk: Some(identity.disk), ..node })]);
        let membership =
            Membership::new(vec![BTreeSet::from([me])], nodes).map_err(|error| Fault::Raft(error.to_string()))?;
        let position = Position { term: Term(term), index: LogIndex(last.index.0 + 1) };
        let entry = LogEntry { position, bytes: codec::encode_payload(&EntryPayload::Membership(membership)) };
        let vote = codec::encode_vote(&Vote { leader_id: RaftLeaderId::new(term, me), committed: true });
        write_log(&log, writer, |log| {
            wait(|done| log.save_vote(vote, done))?;
            wait(|done| log.append(vec![entry], done))
        })?;
        // Nobody could end a repair here, and there is nobody else to vote.
        repair::abandon(&disk, &dir)?;
        disk.remove_file(&founding)?;
        Ok(disk.sync_folder(&dir)?)
    }
}

fn cluster_named(bytes: &[u8]) -> Option<ClusterId> {
    u128::from_str_radix(std::str::from_utf8(bytes).ok()?, 16).ok().map(ClusterId)
}

/// The newest membership in the folder: in the log, or in the newest snapshot.
pub(super) fn last_membership(disk: &Disk, snapshots: &Path, log: Option<&Log>) -> Result<Option<Membership>, Fault> {
    if let Some(found) = log.map(last_in_log).transpose()?.flatten() {
        return Ok(Some(found));
    }
    if !disk.exists(snapshots)? {
        return Ok(None);
    }
    let kept = snapshot::newest_membership(disk, snapshots)?;
    Ok(kept.and_then(|bytes| codec::decode_roll(&bytes).ok()).map(|(membership, _)| membership))
}

fn last_in_log(log: &Log) -> Result<Option<Membership>, Fault> {
    let bounds = log.bounds();
    let mut next = bounds.purged.map_or(LogIndex(0), |purged| LogIndex(purged.index.0 + 1));
    let end = LogIndex(bounds.last.map_or(0, |last| last.index.0 + 1));
    let mut found = None;
    while next < end {
        let entries = log.read(next, end, STEP_BYTES)?;
        let Some(last) = entries.last() else { break };
        next = LogIndex(last.position.index.0 + 1);
        for entry in entries {
            let index = entry.position.index;
            let entry = codec::decode_entry(entry.position, entry.bytes)
                .map_err(|error| Fault::Entry { index, reason: error.to_string() })?;
            if let EntryPayload::Membership(membership) = entry.payload {
                found = Some(membership);
            }
        }
    }
    Ok(found)
}
