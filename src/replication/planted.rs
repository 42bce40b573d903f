//! What a planted mistake of replication does (see [`crate::core::planted`]).

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use openraft::errors::RPCError;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult, VoteRequest};

use super::types::{LogId, TypeConfig};
use crate::core::planted::{self, Mistake};
use crate::machine;

/// Of so many streams of entries one is not sent.
const GRANTED_ONE_IN: u64 = 4;

/// Whether a follower's answers are taken for granted.
pub(super) fn is_granted() -> bool {
    machine::random().is_multiple_of(GRANTED_ONE_IN)
}

/// The answers of a follower that has everything it is sent.
pub(super) fn has_everything<'s>(
    requests: impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 's,
) -> BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>> {
    let last = |request: AppendEntriesRequest<TypeConfig>| {
        request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id)
    };
    requests.map(move |request| Ok(Ok(last(request)))).boxed()
}

/// A request for a vote: as it is, or with a log that is longer than any.
pub(super) fn ballot(request: VoteRequest<TypeConfig>) -> VoteRequest<TypeConfig> {
    if planted::is(Mistake::LogEndClaimed) {
        let last = request.last_log_id.map(|last| LogId { index: u64::MAX / 2, ..last });
        return VoteRequest { last_log_id: last, ..request };
    }
    request
}
