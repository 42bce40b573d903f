//! A node whose log was damaged, while the others bring it up again.
//!
//! Its log does not hold all that it acknowledged (see [`crate::store::repair`]). Raft's proof needs
//! that of a voter at the moment it votes (section 5.4.1), and of nothing else: so until the log holds it
//! again the node neither votes nor asks to lead, and takes what a leader sends it, truthfully acknowledging
//! what it has. That no vote is given twice, and no leader followed that is older than one it obeyed, is what the
//! vote, which was kept, is for. Alagappan et al., "Protocol-Aware Recovery for Consensus-Based
//! Storage" (FAST '18) have the same rule.
//!
//! **When it is over.** Every answer to a leader carries the number of this start of the repair. A leader that hears a
//! number for the first time notes the last index of its log, *then*, and sends both back with its heartbeats. All that
//! the node ever acknowledged that counts is in that log up to there: what it acknowledged to this very leader was
//! in it before; what it acknowledged to an older one is in it if it was, or will be, committed, since this leader
//! was elected by a majority in each of whose members but this node the proof holds, and this node gave no vote since.
//! So when a heartbeat with its own number, of a leader that it obeys, says that its log matches the leader's up
//! to that index, its log holds everything again. A goal of an earlier start would not do: the entry could
//! have been acknowledged in between.
//!
//! **An exception.** When the log itself was whole and only the state was lost, its last entry is known. Then the
//! node votes for candidates whose log is at least that far, as a voter with that log would.
//!
//! Two of three voters under repair elect nobody: of the third one's log nobody could say whether it has all that was
//! acknowledged. Only when the third leads already do they come up again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::{VoteRequest, VoteResponse};

use super::backup::work::now_ms;
use super::codec;
use super::fault::Fault;
use super::recover;
use super::types::{Node, NodeId, Raft, TypeConfig};
use crate::machine;
use crate::proto::raft::v1 as pb;
use crate::store::log::Log;
use crate::store::repair::{self as store, Book, Came};
use crate::store::{Disk, Position, StoreError};

/// How a node is repaired, for those who ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairStatus {
    /// Repairs that were done on this data folder.
    pub count: u64,
    /// The one under way.
    pub now: Option<UnderRepair>,
    /// The last one that was done.
    pub last: Option<LastRepair>,
}

/// A repair under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnderRepair {
    /// What was damaged, and where.
    pub cause: String,
    /// The folder below the data folder with the damaged files.
    pub aside: String,
    /// When it was begun, in milliseconds since the Unix epoch.
    pub begun_ms: u64,
    /// The last log index that the node must have; `None` until a leader has said so.
    pub goal: Option<u64>,
    /// The last one that it is known to have.
    pub matched: u64,
}

/// A repair that is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastRepair {
    /// What was damaged, and where.
    pub cause: String,
    /// The folder below the data folder with the damaged files.
    pub aside: String,
    /// When it was begun and ended, in milliseconds since the Unix epoch.
    pub begun_ms: u64,
    /// See there.
    pub ended_ms: u64,
    /// The leader that sent the last of what was missing.
    pub from: NodeId,
    /// Log entries that came.
    pub entries: u64,
    /// Bytes that came, of entries, snapshots and journal.
    pub bytes: u64,
}

/// The repair of this node, or that there is none. Clones share it.
#[derive(Debug, Clone)]
pub struct Repair {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    disk: Disk,
    dir: PathBuf,
    /// Tells this start from those before; never 0.
    number: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    book: Book,
    came: Came,
    goal: Option<u64>,
    matched: u64,
    /// The end is being written.
    ending: bool,
    /// openraft was told not to ask to lead.
    restrained: bool,
}

/// What a leader's heartbeat says to a node under repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heartbeat {
    /// Who leads.
    pub leader: NodeId,
    /// The entry up to which the node's log was found to be the leader's, by the heartbeat's own check.
    pub matched: u64,
    /// What it must have, if the leader knows of the repair.
    pub goal: Option<pb::RepairGoal>,
}

impl Repair {
    /// What stands in the book of the data folder `dir`.
    #[must_use]
    pub fn new(disk: Disk, dir: &Path, book: Book) -> Self {
        let restrained = book.mark.is_some();
        let inner = Inner { book, came: Came::default(), goal: None, matched: 0, ending: false, restrained };
        let number = machine::random().max(1);
        Self { shared: Arc::new(Shared { disk, dir: dir.to_owned(), number, inner: Mutex::new(inner) }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this node is under repair: it may not lead.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.lock().book.mark.is_some()
    }

    /// The number of this repair that every answer carries; 0 when there is none.
    pub(super) fn number(&self) -> u64 {
        if self.stands() { self.shared.number } else { 0 }
    }

    /// Whether this node may vote for a candidate whose log ends there.
    pub(super) fn may_vote(&self, candidate: Option<Position>) -> bool {
        let inner = self.lock();
        match &inner.book.mark {
            None => true,
            Some(mark) => mark.last.is_some_and(|last| candidate.is_some_and(|candidate| candidate >= last)),
        }
    }

    /// A leader sent entries.
    pub(super) fn took_entries(&self, from: NodeId, entries: usize, bytes: usize) {
        self.took(Came { from, entries: entries as u64, bytes: bytes as u64 });
    }

    /// A leader sent a snapshot and the journal that belongs to it.
    pub(super) fn took_snapshot(&self, from: NodeId, bytes: u64) {
        self.took(Came { from, entries: 0, bytes });
    }

    fn took(&self, more: Came) {
        let mut inner = self.lock();
        if inner.book.mark.is_some() && (more.entries, more.bytes) != (0, 0) {
            let Came { entries, bytes, .. } = inner.came;
            inner.came = Came { from: more.from, entries: entries + more.entries, bytes: bytes + more.bytes };
        }
    }

    /// What follows from a heartbeat that this node accepted. Returns whether the repair is over with it, which is to
    /// be written down by [`Self::finish`].
    pub(super) fn heard(&self, heartbeat: Heartbeat) -> bool {
        let mut inner = self.lock();
        if inner.book.mark.is_none() {
            return false;
        }
        let Some(goal) = heartbeat.goal.filter(|goal| goal.repair == self.shared.number) else { return false };
        inner.goal = Some(goal.index);
        inner.matched = heartbeat.matched;
        inner.came.from = heartbeat.leader;
        heartbeat.matched >= goal.index
    }

    /// Ends the repair: on disk first, then in what this node does. Once it was begun it goes on, whether or not it is
    /// waited for.
    ///
    /// # Errors
    /// I/O; the node must stop.
    pub(super) async fn finish(&self) -> Result<(), Fault> {
        let Some((book, came)) = self.begin_end() else { return Ok(()) };
        let ending = self.clone();
        let ended = machine::blocking(move || ending.write_end(book, came)).await;
        let failed = |error| Fault::Store(StoreError::io("end the repair in", &self.shared.dir, error));
        Ok(ended.map_err(failed)??)
    }

    /// What is to be written, if nobody is at it.
    fn begin_end(&self) -> Option<(Book, Came)> {
        let mut inner = self.lock();
        if inner.book.mark.is_none() || std::mem::replace(&mut inner.ending, true) {
            return None;
        }
        Some((inner.book.clone(), inner.came))
    }

    /// Writes the end down. Blocks; the lock is not held meanwhile.
    fn write_end(&self, book: Book, came: Came) -> Result<(), StoreError> {
        let book = store::finish(&self.shared.disk, &self.shared.dir, book, came, now_ms())?;
        if let Some(done) = &book.last {
            tracing::info!(
                damage = done.case.cause(),
                leader = done.from,
                entries = done.entries,
                bytes = done.bytes,
                milliseconds = done.ended_ms.saturating_sub(done.case.begun_ms),
                aside = done.case.aside(),
                "repaired by the others: this node votes again"
            );
        }
        self.lock().book = book;
        Ok(())
    }

    /// Lets the node ask to lead again once its repair is over. To be called now and then.
    pub(super) fn release(&self, raft: &Raft) {
        let mut inner = self.lock();
        if inner.restrained && inner.book.mark.is_none() {
            inner.restrained = false;
            raft.runtime_config().elect(true);
        }
    }

    /// The answer to a request for a vote that this node may not give.
    pub(super) fn refusal(raft: &Raft) -> VoteResponse<TypeConfig> {
        VoteResponse { vote: raft.metrics().borrow_watched().vote, vote_granted: false, last_log_id: None }
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> RepairStatus {
        let inner = self.lock();
        RepairStatus {
            count: inner.book.count,
            now: inner.book.mark.as_ref().map(|mark| UnderRepair {
                cause: mark.case.cause(),
                aside: mark.case.aside(),
                begun_ms: mark.case.begun_ms,
                goal: inner.goal,
                matched: inner.matched,
            }),
            last: inner.book.last.as_ref().map(|done| LastRepair {
                cause: done.case.cause(),
                aside: done.case.aside(),
                begun_ms: done.case.begun_ms,
                ended_ms: done.ended_ms,
                from: done.from,
                entries: done.entries,
                bytes: done.bytes,
            }),
        }
    }
}

/// A ballot's last entry.
pub(super) fn last_of(ballot: &VoteRequest<TypeConfig>) -> Option<Position> {
    ballot.last_log_id.map(codec::position)
}

/// Whether a vote is newer than another one of the same node, in the bytes that the log holds.
#[must_use]
pub fn is_newer_vote(vote: &[u8], other: &[u8]) -> bool {
    let read = |bytes: &[u8]| codec::decode_vote(bytes).ok().map(|vote| (vote.leader_id.term, vote.committed));
    read(vote) > read(other)
}

/// Whether these bytes are a vote.
#[must_use]
pub fn is_vote(bytes: &[u8]) -> bool {
    codec::decode_vote(bytes).is_ok()
}

/// The other members, each with whether it votes.
pub type Others = BTreeMap<NodeId, (Node, bool)>;

/// The members besides `me` that the folder knows of, each with whether it votes, by the newest membership that can be
/// read: of the log if that is whole, or of a snapshot. `None` when none can be.
///
/// # Errors
/// A fault of the disk.
pub fn others(disk: &Disk, snapshots: &Path, log: Option<&Log>, me: NodeId) -> Result<Option<Others>, Fault> {
    let Some(membership) = recover::last_membership(disk, snapshots, log)? else { return Ok(None) };
    let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
    let nodes = membership.nodes().filter(|(id, _)| **id != me);
    Ok(Some(nodes.map(|(id, node)| (*id, (node.clone(), voters.contains(id)))).collect()))
}

#[cfg(test)]
mod tests {
    use openraft::vote::RaftLeaderId;

    use super::super::types::Vote;
    use super::*;
    use crate::core::types::{LogIndex, Term};
    use crate::store::log::SEGMENT_BYTES_MIN;
    use crate::store::repair::{Damage, Scope};
    use crate::store::testing::SimDisk;

    fn at(term: u64, index: u64) -> Position {
        Position { term: Term(term), index: LogIndex(index) }
    }

    fn repair(last: Option<Position>) -> Repair {
        let disk = SimDisk::default().disk();
        disk.create_folder(Path::new("/data")).expect("created");
        let damage = Damage { scope: Scope::Log, cause: "damaged".to_owned(), vote: bytes::Bytes::new(), last };
        let book = store::begin(&disk, Path::new("/data"), Book::new(), &damage, 5, SEGMENT_BYTES_MIN).expect("begun");
        Repair::new(disk, Path::new("/data"), book)
    }

    fn heartbeat(matched: u64, goal: Option<(u64, u64)>) -> Heartbeat {
        let goal = goal.map(|(repair, index)| pb::RepairGoal { repair, index });
        Heartbeat { leader: 2, matched, goal }
    }

    #[test]
    fn a_node_under_repair_votes_for_nobody_unless_it_knows_how_far_its_log_went() {
        let blind = repair(None);
        assert!(!blind.may_vote(Some(at(9, 9_000))));
        let knows = repair(Some(at(3, 40)));
        for (candidate, may) in [(at(3, 39), false), (at(3, 40), true), (at(2, 90), false), (at(4, 1), true)] {
            assert_eq!(knows.may_vote(Some(candidate)), may, "{candidate}");
        }
        assert!(!knows.may_vote(None));
        let well = Repair::new(SimDisk::default().disk(), Path::new("/data"), Book::new());
        assert!(well.may_vote(None) && well.number() == 0);
    }

    #[test]
    fn only_the_goal_of_this_start_ends_it_and_only_when_the_log_matches_up_to_there() {
        let repair = repair(None);
        let number = repair.number();
        assert_ne!(number, 0);
        assert!(!repair.heard(heartbeat(100, None)), "the leader has not heard of it");
        assert!(!repair.heard(heartbeat(100, Some((number ^ 1, 10)))), "a goal of an earlier start");
        assert!(!repair.heard(heartbeat(9, Some((number, 10)))));
        assert_eq!(repair.status().now.and_then(|now| now.goal), Some(10));
        assert!(!repair.heard(heartbeat(10, Some((number, 11)))), "another leader, with a longer log");
        repair.took_entries(2, 4, 300);
        assert!(repair.heard(heartbeat(11, Some((number, 11)))));
        assert!(repair.stands(), "until it is written down");
        let (book, came) = repair.begin_end().expect("it is to be written");
        assert!(repair.begin_end().is_none(), "once");
        repair.write_end(book, came).expect("written");
        assert!(!repair.stands() && repair.may_vote(None) && repair.number() == 0);
        let LastRepair { from, entries, bytes, .. } = repair.status().last.expect("done");
        assert_eq!((from, entries, bytes), (2, 4, 300));
        let read = store::read(&repair.shared.disk, Path::new("/data")).expect("readable");
        assert_eq!((read.count, read.mark), (1, None));
    }

    #[test]
    fn the_newer_of_two_votes_is_of_a_higher_term_or_was_granted() {
        let vote = |term, committed| codec::encode_vote(&Vote { leader_id: RaftLeaderId::new(term, 1), committed });
        assert!(is_newer_vote(&vote(3, false), &vote(2, true)));
        assert!(is_newer_vote(&vote(3, true), &vote(3, false)));
        assert!(!is_newer_vote(&vote(3, true), &vote(3, true)));
        assert!(!is_newer_vote(&vote(2, true), &vote(3, false)));
        assert!(is_vote(&vote(3, true)) && !is_vote(b"no vote"));
    }
}
