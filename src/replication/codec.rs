//! The bytes of log entries, votes, marks and memberships, in the log and between nodes.
//!
//! A log entry is a tag and its payload; a proposal's payload is the proposal's own bytes, so
//! that neither the log nor the wire copies or reads it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::vote::RaftLeaderId;

use super::types::{Entry, LogId, Membership, Node, NodeId, ProposalBytes, Vote};
use crate::core::types::{LogIndex, Term};
use crate::core::{Decode, DecodeError, Encode, Reader};
use crate::store::Position;
use crate::store::identity::DiskId;

/// Stands for a disk that is not known.
const NO_DISK: DiskId = DiskId(0);

const TAG_BLANK: u8 = 0;
pub(super) const TAG_PROPOSAL: u8 = 1;
const TAG_MEMBERSHIP: u8 = 2;

/// The log position of a Raft log id: a term has one leader at most, so it says the same.
pub(super) fn position(id: LogId) -> Position {
    Position { term: Term(*id.committed_leader_id().to_owned()), index: LogIndex(id.index) }
}

/// The Raft log id of a log position.
pub(super) fn log_id(position: Position) -> LogId {
    LogId::new_term_index(position.term.0, position.index.0)
}

/// An entry's payload, with its tag.
pub(super) fn encode_payload(payload: &EntryPayload<ProposalBytes, u64, Node>) -> Bytes {
    match payload {
        EntryPayload::Blank => Bytes::from_static(&[TAG_BLANK]),
        EntryPayload::Normal(proposal) => proposal.tagged(),
        EntryPayload::Membership(membership) => {
            let mut out = vec![TAG_MEMBERSHIP];
            encode_membership(membership, &mut out);
            out.into()
        }
    }
}

/// An entry from its place and its tagged payload.
pub(super) fn decode_entry(position: Position, bytes: Bytes) -> Result<Entry, DecodeError> {
    let payload = match bytes.first() {
        Some(&TAG_BLANK) if bytes.len() == 1 => EntryPayload::Blank,
        Some(&TAG_BLANK) => return Err(DecodeError::TrailingBytes(bytes.len() - 1)),
        Some(&TAG_PROPOSAL) => EntryPayload::Normal(ProposalBytes::from_tagged(bytes)),
        Some(&TAG_MEMBERSHIP) => EntryPayload::Membership(decode_membership(&bytes[1..])?),
        Some(&tag) => return Err(DecodeError::UnknownTag("log entry", tag)),
        None => return Err(DecodeError::Truncated("log entry")),
    };
    Ok(Entry { log_id: log_id(position), payload })
}

/// Appends a membership: the voter sets (two while a change is under way), then every member.
pub(super) fn encode_membership(membership: &Membership, out: &mut Vec<u8>) {
    let sets: Vec<Vec<u64>> = membership.get_joint_config().iter().map(|set| set.iter().copied().collect()).collect();
    (sets.len() as u32).encode(out);
    for set in sets {
        set.encode(out);
    }
    let members: Vec<(&u64, &Node)> = membership.nodes().collect();
    (members.len() as u32).encode(out);
    for (id, node) in members {
        id.encode(out);
        for text in [&node.raft, &node.client] {
            (text.len() as u32).encode(out);
            out.extend_from_slice(text.as_bytes());
        }
        node.disk.unwrap_or(NO_DISK).encode(out);
    }
}

/// Reads a membership that fills `bytes`.
pub(super) fn decode_membership(bytes: &[u8]) -> Result<Membership, DecodeError> {
    let mut input = Reader::new(bytes);
    let mut sets = Vec::new();
    for _ in 0..u32::decode(&mut input)? {
        sets.push(Vec::<u64>::decode(&mut input)?.into_iter().collect::<BTreeSet<u64>>());
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..u32::decode(&mut input)? {
        let id = u64::decode(&mut input)?;
        let raft = decode_text(&mut input)?;
        let client = decode_text(&mut input)?;
        let disk = Some(DiskId::decode(&mut input)?).filter(|disk| *disk != NO_DISK);
        nodes.insert(id, Node { raft, client, disk });
    }
    input.finish()?;
    Membership::new(sets, nodes).map_err(|_| DecodeError::UnknownTag("membership", 0))
}

/// Appends what the state keeps of the membership: the membership, and every id that was ever used.
pub(super) fn encode_roll(membership: &Membership, used: &BTreeSet<NodeId>, out: &mut Vec<u8>) {
    used.iter().copied().collect::<Vec<u64>>().encode(out);
    encode_membership(membership, out);
}

/// Reads what the state keeps of the membership, which fills `bytes`.
pub(super) fn decode_roll(bytes: &[u8]) -> Result<(Membership, BTreeSet<NodeId>), DecodeError> {
    let mut input = Reader::new(bytes);
    let used = Vec::<u64>::decode(&mut input)?.into_iter().collect();
    Ok((decode_membership(input.remaining())?, used))
}

fn decode_text(input: &mut Reader<'_>) -> Result<String, DecodeError> {
    let len = u32::decode(input)? as usize;
    let bytes = input.take(len, "address")?;
    String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::UnknownTag("address", bytes[0]))
}

/// A vote's bytes.
pub(super) fn encode_vote(vote: &Vote) -> Bytes {
    let mut out = Vec::with_capacity(17);
    vote.leader_id.term.encode(&mut out);
    vote.leader_id.voted_for.encode(&mut out);
    vote.committed.encode(&mut out);
    out.into()
}

/// Reads a vote that fills `bytes`.
pub(super) fn decode_vote(bytes: &[u8]) -> Result<Vote, DecodeError> {
    let mut input = Reader::new(bytes);
    let term = u64::decode(&mut input)?;
    let node = u64::decode(&mut input)?;
    let committed = bool::decode(&mut input)?;
    input.finish()?;
    Ok(Vote { leader_id: RaftLeaderId::new(term, node), committed })
}

/// A log id's bytes.
pub(super) fn encode_log_id(id: LogId) -> Bytes {
    let mut out = Vec::with_capacity(16);
    let place = position(id);
    place.term.0.encode(&mut out);
    place.index.0.encode(&mut out);
    out.into()
}

/// Reads a log id that fills `bytes`.
pub(super) fn decode_log_id(bytes: &[u8]) -> Result<LogId, DecodeError> {
    let mut input = Reader::new(bytes);
    let term = u64::decode(&mut input)?;
    let index = u64::decode(&mut input)?;
    input.finish()?;
    Ok(LogId::new_term_index(term, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership() -> Membership {
        let disk = |id: u64| (id != 3).then_some(DiskId(u128::from(id) << 64));
        let node = |id: u64| Node { disk: disk(id), ..Node::at(format!("h{id}:1"), format!("h{id}:2")) };
        let sets = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([2, 3, 4])];
        Membership::new(sets, (1..=5).map(|id| (id, node(id))).collect::<BTreeMap<_, _>>()).unwrap()
    }

    #[test]
    fn every_kind_of_entry_survives_its_bytes() {
        let place = Position { term: Term(3), index: LogIndex(7) };
        for payload in [
            EntryPayload::Blank,
            EntryPayload::Normal(ProposalBytes::new(b"proposal")),
            EntryPayload::Membership(membership()),
        ] {
            let bytes = encode_payload(&payload);
            let entry = decode_entry(place, bytes).unwrap();
            assert_eq!(entry.log_id, log_id(place));
            assert_eq!(entry.payload, payload);
        }
        for bad in [&b""[..], b"\x00x", b"\x09", b"\x02", b"\x02\x01\0\0\0"] {
            assert!(decode_entry(place, Bytes::copy_from_slice(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_cut_membership_is_refused_everywhere() {
        let mut bytes = Vec::new();
        encode_membership(&membership(), &mut bytes);
        assert_eq!(decode_membership(&bytes).unwrap(), membership());
        for len in 0..bytes.len() {
            assert!(decode_membership(&bytes[..len]).is_err(), "cut at {len}");
        }
        let used = BTreeSet::from([1, 2, 3, 4, 5, 9]);
        let mut bytes = Vec::new();
        encode_roll(&membership(), &used, &mut bytes);
        assert_eq!(decode_roll(&bytes).unwrap(), (membership(), used));
        for len in 0..bytes.len() {
            assert!(decode_roll(&bytes[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn votes_and_log_ids_survive_their_bytes() {
        for committed in [false, true] {
            let vote = Vote { leader_id: RaftLeaderId::new(9, 2), committed };
            assert_eq!(decode_vote(&encode_vote(&vote)).unwrap(), vote);
        }
        let id = LogId::new_term_index(4, 5);
        assert_eq!(decode_log_id(&encode_log_id(id)).unwrap(), id);
        assert!(decode_vote(b"short").is_err());
    }
}
