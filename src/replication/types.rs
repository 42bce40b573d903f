//! The words of replication, and openraft's types made of them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use openraft::impls::leader_id_std;
use openraft::type_config::alias;

use super::codec::TAG_PROPOSAL;
use crate::core::Effects;
use crate::core::types::Stamp;
use crate::store::identity::DiskId;

/// A member of the cluster, numbered by its operator. An id is never used twice.
pub type NodeId = u64;

/// Where a member is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Node {
    /// `host:port` of its Raft traffic.
    pub raft: String,
    /// `host:port` of its client API (gRPC).
    pub client: String,
    /// The disk its log and vote are on, once it is known: under this id no other one may speak.
    pub disk: Option<DiskId>,
}

impl Node {
    /// A member of which only the addresses are known.
    #[must_use]
    pub fn at(raft: impl Into<String>, client: impl Into<String>) -> Self {
        Self { raft: raft.into(), client: client.into(), disk: None }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (clients: {})", self.raft, self.client)
    }
}

/// A proposal in its canonical bytes ([`crate::core::command::Proposal`]). Replication carries
/// them as they are and never looks inside.
#[derive(Clone, PartialEq, Eq)]
pub struct ProposalBytes {
    /// The tag of a proposal's log entry, and the proposal: the entry's bytes are ready as they are.
    tagged: Bytes,
}

impl ProposalBytes {
    /// Takes a proposal's encoding.
    #[must_use]
    pub fn new(proposal: &[u8]) -> Self {
        let mut tagged = Vec::with_capacity(1 + proposal.len());
        tagged.push(TAG_PROPOSAL);
        tagged.extend_from_slice(proposal);
        Self { tagged: tagged.into() }
    }

    /// Takes a log entry's bytes, whose first is the tag.
    pub(super) fn from_tagged(tagged: Bytes) -> Self {
        debug_assert_eq!(tagged.first(), Some(&TAG_PROPOSAL));
        Self { tagged }
    }

    /// The log entry's bytes.
    pub(super) fn tagged(&self) -> Bytes {
        self.tagged.clone()
    }

    /// The proposal's encoding.
    #[must_use]
    pub fn proposal(&self) -> &[u8] {
        &self.tagged[1..]
    }
}

impl fmt::Debug for ProposalBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.proposal().len())
    }
}

impl fmt::Display for ProposalBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.proposal().len())
    }
}

/// What became of a proposal.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Where and when it was applied.
    pub stamp: Stamp,
    /// Its outcomes and records. Shared with every stream that shows them.
    pub effects: Arc<Effects>,
}

/// What the state machine answers an entry with: nothing for one that is not a proposal.
#[derive(Debug, Clone)]
pub struct Reply(pub Option<Applied>);

openraft::declare_raft_types!(
    /// openraft's types. A term has one leader at most, so a log position is term and index alone.
    pub TypeConfig:
        D = ProposalBytes,
        R = Reply,
        NodeId = NodeId,
        Node = Node,
        LeaderId = leader_id_std::LeaderId<u64, NodeId>,
        AsyncRuntime = super::runtime::Runtime,
);

/// Term and index of an entry.
pub(crate) type LogId = alias::LogIdOf<TypeConfig>;
/// The privilege of a node in a term.
pub(crate) type Vote = alias::VoteOf<TypeConfig>;
/// A log entry.
pub(crate) type Entry = alias::EntryOf<TypeConfig>;
/// Voters and learners.
pub(crate) type Membership = openraft::Membership<NodeId, Node>;
/// A membership and the entry that set it.
pub(crate) type StoredMembership = alias::StoredMembershipOf<TypeConfig>;
/// What a snapshot contains.
pub(crate) type SnapshotMeta = alias::SnapshotMetaOf<TypeConfig>;
/// openraft's handle, with this state machine.
pub(crate) type Raft = openraft::Raft<TypeConfig, super::state_machine::StateMachine>;
