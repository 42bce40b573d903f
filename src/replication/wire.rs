//! Raft's messages to protobuf and back.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, TransferLeaderError, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use openraft::vote::RaftLeaderId;
use tonic::Status;

use super::backup::Work;
use super::codec;
use super::types::{Entry, LogId, NodeId, SnapshotMeta, StoredMembership, TypeConfig, Vote};
use crate::core::types::Sequence;
use crate::proto::raft::v1 as pb;
use crate::store::backup::Kind;
use crate::store::backup::check::Depth;
use crate::store::identity::{ClusterId, DiskId};

/// A message that is not what it should be. The peer is of another version or at fault; this node is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub(super) struct WireError(pub(super) &'static str);

impl From<WireError> for Status {
    fn from(error: WireError) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

/// What opens every request: whose cluster, to whom, from whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    /// The cluster of both.
    pub cluster: ClusterId,
    /// The node that speaks.
    pub source: NodeId,
    /// The node that is meant.
    pub target: NodeId,
    /// The disk of the node that speaks.
    pub source_disk: DiskId,
    /// The disk of the node that is meant, as far as it is known.
    pub target_disk: Option<DiskId>,
}

impl Route {
    /// The header that says so.
    pub fn header(&self) -> pb::Header {
        let cluster_id = Bytes::copy_from_slice(&self.cluster.0.to_be_bytes());
        pb::Header {
            cluster_id,
            target: self.target,
            source: self.source,
            source_disk: disk(self.source_disk),
            target_disk: self.target_disk.map(disk).unwrap_or_default(),
        }
    }
}

/// A disk's bytes.
pub(super) fn disk(disk: DiskId) -> Bytes {
    Bytes::copy_from_slice(&disk.0.to_be_bytes())
}

/// Reads a disk.
pub(super) fn parse_disk(bytes: &[u8]) -> Result<DiskId, WireError> {
    let bytes = <[u8; 16]>::try_from(bytes).map_err(|_| WireError("disk id is not 16 bytes"))?;
    Ok(DiskId(u128::from_be_bytes(bytes)))
}

/// Refuses a request for another cluster or another node. Returns whose way it came.
pub(super) fn check_header(header: Option<&pb::Header>, cluster: ClusterId, me: NodeId) -> Result<Route, Status> {
    let header = header.ok_or(WireError("no header"))?;
    let theirs =
        <[u8; 16]>::try_from(header.cluster_id.as_ref()).map_err(|_| WireError("cluster id is not 16 bytes"))?;
    let theirs = ClusterId(u128::from_be_bytes(theirs));
    if theirs != cluster {
        return Err(Status::failed_precondition(format!(
            "message of cluster {:032x}; this node is of cluster {:032x}",
            theirs.0, cluster.0
        )));
    }
    if header.target != me {
        return Err(Status::failed_precondition(format!("message for node {}; this is node {me}", header.target)));
    }
    let target_disk = Some(&header.target_disk).filter(|bytes| !bytes.is_empty());
    Ok(Route {
        cluster,
        source: header.source,
        target: me,
        source_disk: parse_disk(&header.source_disk)?,
        target_disk: target_disk.map(|bytes| parse_disk(bytes)).transpose()?,
    })
}

pub(super) fn log_id(id: LogId) -> pb::LogId {
    pb::LogId { term: *id.committed_leader_id().to_owned(), index: id.index }
}

pub(super) fn parse_log_id(id: pb::LogId) -> LogId {
    LogId::new_term_index(id.term, id.index)
}

pub(super) fn vote(vote: &Vote) -> pb::Vote {
    pb::Vote { term: vote.leader_id.term, node: vote.leader_id.voted_for, committed: vote.committed }
}

pub(super) fn parse_vote(vote: Option<pb::Vote>) -> Result<Vote, WireError> {
    let vote = vote.ok_or(WireError("no vote"))?;
    Ok(Vote { leader_id: RaftLeaderId::new(vote.term, vote.node), committed: vote.committed })
}

pub(super) fn append(
    route: &Route,
    request: AppendEntriesRequest<TypeConfig>,
    acknowledged: Option<LogId>,
    repair_goal: Option<pb::RepairGoal>,
) -> pb::AppendRequest {
    let entry =
        |entry: Entry| pb::Entry { id: Some(log_id(entry.log_id)), payload: codec::encode_payload(&entry.payload) };
    pb::AppendRequest {
        header: Some(route.header()),
        vote: Some(vote(&request.vote)),
        previous: request.prev_log_id.map(log_id),
        entries: request.entries.into_iter().map(entry).collect(),
        committed: request.leader_commit.map(log_id),
        acknowledged: acknowledged.map(log_id),
        repair_goal,
    }
}

/// Reads an append; entries that are not consecutive behind the previous one are refused here,
/// since openraft takes that for granted.
pub(super) fn parse_append(request: pb::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>, WireError> {
    let prev_log_id = request.previous.map(parse_log_id);
    let mut previous = prev_log_id;
    let mut entries = Vec::with_capacity(request.entries.len());
    for entry in request.entries {
        let id = parse_log_id(entry.id.ok_or(WireError("no entry id"))?);
        let follows = match previous {
            None => id.index == 0,
            Some(previous) => {
                Some(id.index) == previous.index.checked_add(1)
                    && id.committed_leader_id() >= previous.committed_leader_id()
            }
        };
        if !follows {
            return Err(WireError("entries are not consecutive"));
        }
        previous = Some(id);
        entries.push(
            codec::decode_entry(codec::position(id), entry.payload).map_err(|_| WireError("entry does not decode"))?,
        );
    }
    let leader_commit = request.committed.map(parse_log_id);
    Ok(AppendEntriesRequest { vote: parse_vote(request.vote)?, prev_log_id, entries, leader_commit })
}

/// A follower's answer to one append of a stream.
pub(super) type AppendAnswer = Result<Option<LogId>, StreamAppendError<TypeConfig>>;

/// `repair` is the number of the repair that the answering node is under, or 0.
pub(super) fn append_answer(answer: AppendAnswer, repair: u64) -> pb::AppendResponse {
    use pb::append_response::Result as Answer;
    let result = match answer {
        Ok(id) => Answer::Matched(pb::Matched { id: id.map(log_id) }),
        Err(StreamAppendError::Conflict(id)) => Answer::Conflict(log_id(id)),
        Err(StreamAppendError::HigherVote(higher)) => Answer::HigherVote(vote(&higher)),
    };
    pb::AppendResponse { result: Some(result), repair }
}

pub(super) fn parse_append_answer(response: pb::AppendResponse) -> Result<AppendAnswer, WireError> {
    use pb::append_response::Result as Answer;
    Ok(match response.result.ok_or(WireError("no result"))? {
        Answer::Matched(matched) => Ok(matched.id.map(parse_log_id)),
        Answer::Conflict(id) => Err(StreamAppendError::Conflict(parse_log_id(id))),
        Answer::HigherVote(higher) => Err(StreamAppendError::HigherVote(parse_vote(Some(higher))?)),
    })
}

/// The answer to a heartbeat, as if it stood in a stream: `previous` is what the heartbeat carried.
pub(super) fn heartbeat_answer(answer: AppendEntriesResponse<TypeConfig>, previous: Option<LogId>) -> AppendAnswer {
    match (answer, previous) {
        (AppendEntriesResponse::Success, previous) => Ok(previous),
        (AppendEntriesResponse::PartialSuccess(upto), _) => Ok(upto),
        (AppendEntriesResponse::HigherVote(higher), _) => Err(StreamAppendError::HigherVote(higher)),
        (AppendEntriesResponse::Conflict, Some(previous)) => Err(StreamAppendError::Conflict(previous)),
        // Nothing cannot conflict.
        (AppendEntriesResponse::Conflict, None) => Ok(None),
    }
}

pub(super) fn ballot(request: &VoteRequest<TypeConfig>) -> pb::Ballot {
    pb::Ballot {
        vote: Some(vote(&request.vote)),
        last: request.last_log_id.map(log_id),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(super) fn parse_ballot(ballot: Option<pb::Ballot>) -> Result<VoteRequest<TypeConfig>, WireError> {
    let ballot = ballot.ok_or(WireError("no ballot"))?;
    let mut request = VoteRequest::new(parse_vote(ballot.vote)?, ballot.last.map(parse_log_id));
    request.leadership_transfer = ballot.leadership_transfer;
    Ok(request)
}

pub(super) fn ballot_answer(response: &VoteResponse<TypeConfig>, under_repair: bool) -> pb::BallotAnswer {
    pb::BallotAnswer {
        under_repair,
        vote: Some(vote(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.map(log_id),
    }
}

pub(super) fn parse_ballot_answer(answer: Option<pb::BallotAnswer>) -> Result<VoteResponse<TypeConfig>, WireError> {
    let answer = answer.ok_or(WireError("no answer"))?;
    let vote = parse_vote(answer.vote)?;
    Ok(VoteResponse { vote, vote_granted: answer.granted, last_log_id: answer.last.map(parse_log_id) })
}

pub(super) fn transfer(route: &Route, request: &TransferLeaderRequest<TypeConfig>) -> pb::TransferLeaderRequest {
    pb::TransferLeaderRequest {
        header: Some(route.header()),
        from: Some(vote(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().copied().map(log_id),
    }
}

pub(super) fn parse_transfer(
    request: pb::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, WireError> {
    Ok(TransferLeaderRequest::new(parse_vote(request.from)?, request.to, request.last.map(parse_log_id)))
}

pub(super) fn transfer_answer(answer: Result<(), TransferLeaderError<TypeConfig>>) -> pb::TransferLeaderResponse {
    use pb::transfer_leader_response::Refusal;
    let refusal = answer.err().map(|error| match error {
        TransferLeaderError::VoteChanged { expected, actual } => {
            Refusal::VoteChanged(pb::VoteChanged { expected: Some(vote(&expected)), actual: Some(vote(&actual)) })
        }
        TransferLeaderError::LogNotFlushed { expected, actual } => {
            Refusal::NotFlushed(pb::NotFlushed { expected: expected.map(log_id), actual: actual.map(log_id) })
        }
    });
    pb::TransferLeaderResponse { refusal }
}

pub(super) fn parse_transfer_answer(
    response: pb::TransferLeaderResponse,
) -> Result<Result<(), TransferLeaderError<TypeConfig>>, WireError> {
    use pb::transfer_leader_response::Refusal;
    Ok(match response.refusal {
        None => Ok(()),
        Some(Refusal::VoteChanged(changed)) => Err(TransferLeaderError::VoteChanged {
            expected: parse_vote(changed.expected)?,
            actual: parse_vote(changed.actual)?,
        }),
        Some(Refusal::NotFlushed(short)) => Err(TransferLeaderError::LogNotFlushed {
            expected: short.expected.map(parse_log_id),
            actual: short.actual.map(parse_log_id),
        }),
    })
}

/// A snapshot's description: what openraft needs, and what the transfer needs.
pub(super) fn snapshot_meta(meta: &SnapshotMeta, file_bytes: u64, sequence: Sequence) -> pb::SnapshotMeta {
    let mut membership = Vec::new();
    codec::encode_membership(meta.last_membership.membership(), &mut membership);
    pb::SnapshotMeta {
        last: meta.last_log_id.map(log_id),
        membership_id: meta.last_membership.log_id().map(log_id),
        membership: membership.into(),
        file_bytes,
        sequence: sequence.0,
    }
}

pub(super) fn parse_snapshot_meta(meta: &pb::SnapshotMeta) -> Result<SnapshotMeta, WireError> {
    let membership = codec::decode_membership(&meta.membership).map_err(|_| WireError("membership does not decode"))?;
    let last_log_id = meta.last.map(parse_log_id);
    if last_log_id.is_none() {
        return Err(WireError("a snapshot of nothing"));
    }
    let last_membership = StoredMembership::new(meta.membership_id.map(parse_log_id), membership);
    Ok(SnapshotMeta { last_log_id, last_membership })
}

/// Work with backups as the leader gives it out.
pub(super) fn parse_backup_work(work: Option<pb::assign_backup_work_request::Work>) -> Result<Work, WireError> {
    use pb::assign_backup_work_request::Work as Message;
    match work {
        Some(Message::BackUp(kind)) => match pb::BackupKind::try_from(kind) {
            Ok(pb::BackupKind::Full) => Ok(Work::BackUp(Kind::Full)),
            Ok(pb::BackupKind::Differential) => Ok(Work::BackUp(Kind::Differential)),
            Ok(pb::BackupKind::Incremental) => Ok(Work::BackUp(Kind::Incremental)),
            Ok(pb::BackupKind::Unspecified) | Err(_) => Err(WireError("an unknown kind of backup")),
        },
        Some(Message::Check(check)) => {
            Ok(Work::Check(check.backup_id, if check.trial { Depth::Trial } else { Depth::Parts }))
        }
        None => Err(WireError("no work with backups")),
    }
}

/// The same to be given out.
pub(super) fn backup_work(work: &Work) -> pb::assign_backup_work_request::Work {
    use pb::assign_backup_work_request::Work as Message;
    match work {
        Work::BackUp(kind) => Message::BackUp(i32::from(match kind {
            Kind::Full => pb::BackupKind::Full,
            Kind::Differential => pb::BackupKind::Differential,
            Kind::Incremental => pb::BackupKind::Incremental,
        })),
        Work::Check(id, depth) => {
            Message::Check(pb::CheckBackup { backup_id: id.clone(), trial: *depth == Depth::Trial })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::types::ProposalBytes;

    fn entry(term: u64, index: u64) -> pb::Entry {
        let payload = codec::encode_payload(&openraft::EntryPayload::Normal(ProposalBytes::new(b"x")));
        pb::Entry { id: Some(pb::LogId { term, index }), payload }
    }

    fn request(previous: Option<(u64, u64)>, entries: &[(u64, u64)]) -> pb::AppendRequest {
        pb::AppendRequest {
            header: None,
            vote: Some(pb::Vote { term: 3, node: 1, committed: true }),
            previous: previous.map(|(term, index)| pb::LogId { term, index }),
            entries: entries.iter().map(|&(term, index)| entry(term, index)).collect(),
            committed: None,
            acknowledged: None,
            repair_goal: None,
        }
    }

    #[test]
    fn a_header_for_another_is_refused() {
        let route =
            Route { cluster: ClusterId(7), source: 1, target: 2, source_disk: DiskId(8), target_disk: Some(DiskId(9)) };
        assert_eq!(check_header(Some(&route.header()), ClusterId(7), 2).unwrap(), route);
        let unmet = Route { target_disk: None, ..route };
        assert_eq!(check_header(Some(&unmet.header()), ClusterId(7), 2).unwrap(), unmet);
        let bare = pb::Header { source_disk: Bytes::new(), ..route.header() };
        assert_eq!(check_header(Some(&bare), ClusterId(7), 2).unwrap_err().code(), tonic::Code::InvalidArgument);
        for (cluster, me) in [(8, 2), (7, 3)] {
            let refused = check_header(Some(&route.header()), ClusterId(cluster), me).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
        }
        assert_eq!(check_header(None, ClusterId(7), 2).unwrap_err().code(), tonic::Code::InvalidArgument);
    }

    #[test]
    fn entries_must_follow_each_other() {
        assert!(parse_append(request(None, &[(0, 0), (1, 1), (3, 2)])).is_ok());
        assert!(parse_append(request(Some((1, 4)), &[(1, 5)])).is_ok());
        assert!(parse_append(request(Some((1, 4)), &[(1, 6)])).is_err(), "a gap");
        assert!(parse_append(request(Some((2, 4)), &[(1, 5)])).is_err(), "an older term");
        assert!(parse_append(request(None, &[(1, 1)])).is_err(), "not the first");
    }

    #[test]
    fn answers_survive_the_wire() {
        let id = LogId::new_term_index(2, 9);
        let vote = Vote { leader_id: RaftLeaderId::new(5, 3), committed: false };
        let answers: [AppendAnswer; 4] =
            [Ok(Some(id)), Ok(None), Err(StreamAppendError::Conflict(id)), Err(StreamAppendError::HigherVote(vote))];
        for answer in answers {
            assert_eq!(parse_append_answer(append_answer(answer.clone(), 0)).unwrap(), answer);
        }
        assert!(parse_append_answer(pb::AppendResponse::default()).is_err());
    }
}
