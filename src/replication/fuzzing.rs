//! The decoders of what the log holds and of what other nodes say, for the fuzzers: see docs/TESTING.md.

use bytes::Bytes;
use openraft::EntryPayload;
use prost::Message as _;

use super::types::{Membership, Node, ProposalBytes};
use super::{codec, wire};
use crate::core::types::{LogIndex, Term};
use crate::proto::raft::v1 as pb;
use crate::store::Position;

/// The payload of a log entry, a membership, a vote and a mark: what reads back has the same bytes.
pub fn log_payload(bytes: &[u8]) {
    let position = Position { term: Term(1), index: LogIndex(1) };
    if let Ok(entry) = codec::decode_entry(position, Bytes::copy_from_slice(bytes)) {
        let again = codec::decode_entry(position, codec::encode_payload(&entry.payload));
        assert_eq!(again.map(|entry| entry.payload), Ok(entry.payload), "an entry is what it is written as");
    }
    let _ = codec::decode_roll(bytes);
    if let Ok(vote) = codec::decode_vote(bytes) {
        assert_eq!(codec::encode_vote(&vote), bytes, "a vote has one encoding");
    }
    if let Ok(id) = codec::decode_log_id(bytes) {
        assert_eq!(codec::encode_log_id(id), bytes, "a log id has one encoding");
    }
}

/// Sound payloads of each kind.
#[must_use]
pub fn log_payloads() -> Vec<Vec<u8>> {
    let nodes = (1..=3_u64).map(|id| (id, Node::at(format!("h{id}:1"), format!("h{id}:2"))));
    let membership = Membership::new(vec![[1, 2, 3].into()], nodes.collect::<std::collections::BTreeMap<_, _>>());
    let membership = membership.map(|membership| codec::encode_payload(&EntryPayload::Membership(membership)).to_vec());
    let proposals = crate::store::fuzzing::seeds::proposals();
    let proposals = proposals.iter().take(3);
    let proposals = proposals.map(|it| codec::encode_payload(&EntryPayload::Normal(ProposalBytes::new(it))).to_vec());
    proposals.chain(membership.ok()).chain([vec![0], vec![7; 17], vec![7; 16]]).collect()
}

/// A peer's messages, each read from the same bytes.
pub fn peer_message(bytes: &[u8]) {
    if let Ok(request) = pb::AppendRequest::decode(bytes) {
        let _ = wire::parse_append(request);
    }
    if let Ok(response) = pb::AppendResponse::decode(bytes) {
        let _ = wire::parse_append_answer(response);
    }
    if let Ok(ballot) = pb::Ballot::decode(bytes) {
        let _ = wire::parse_ballot(Some(ballot));
    }
    if let Ok(answer) = pb::BallotAnswer::decode(bytes) {
        let _ = wire::parse_ballot_answer(Some(answer));
    }
    if let Ok(meta) = pb::SnapshotMeta::decode(bytes) {
        let _ = wire::parse_snapshot_meta(&meta);
    }
}

/// Sound messages.
#[must_use]
pub fn peer_messages() -> Vec<Vec<u8>> {
    let id = |index| pb::LogId { term: 1, index };
    let vote = Some(pb::Vote { term: 1, node: 2, committed: true });
    let payloads = log_payloads().into_iter().zip(1..);
    let entries = payloads.map(|(payload, index)| pb::Entry { id: Some(id(index)), payload: payload.into() });
    let append = pb::AppendRequest { vote, previous: Some(id(0)), entries: entries.collect(), ..Default::default() };
    let ballot = pb::Ballot { vote, last: Some(id(3)), ..Default::default() };
    vec![append.encode_to_vec(), ballot.encode_to_vec()]
}
