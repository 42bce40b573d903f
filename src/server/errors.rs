//! Why the service refuses a request: one table from every refusal to a gRPC status.
//!
//! A refusal is about the request as a whole; what the ledger refuses is a result with a code and never
//! comes here. After a refusal of the request's shape, nothing of it was carried out. After one that
//! passes (UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL) some or all of its
//! commands may have been: a request may span proposals, and a proposal may be committed without this
//! node learning of it. Sending it again, with the same ids, carries out what is missing. Every status
//! carries a `google.rpc.ErrorInfo` with the machine-readable reason, and a bad request a
//! `google.rpc.BadRequest` with the field.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::convert::Invalid;
use crate::core::types::Sequence;
use crate::replication::{MembershipError, Node, NodeId, ProposeError, ReadError, TransferError};

/// The `domain` of every `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "counterfoil";
/// The `ErrorInfo` metadata that holds the leader's client endpoint.
pub const LEADER_METADATA: &str = "leader";
/// The `ErrorInfo` metadata that holds the sequence to resume a stream from.
pub const RESUME_METADATA: &str = "resume_from_sequence";

/// Why a request is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field of the request has no meaning.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// The bytes are no message of the method.
    #[error("{0}")]
    Undecodable(String),
    /// The message is larger than the service takes.
    #[error("{0}")]
    MessageTooLarge(String),
    /// Another node leads. Send the request there, or again after a moment.
    #[error("this node does not lead{}", leader.as_ref().map(|at| format!("; {at} does")).unwrap_or_default())]
    NotLeader {
        /// Where clients reach the leader, as far as this node knows.
        leader: Option<String>,
    },
    /// The leader cannot reach a majority. What was sent may still be carried out: send it again.
    #[error("no majority of the cluster can be reached")]
    NoMajority,
    /// The leader could not be reached, or the connection to it was lost. Send it again.
    #[error("the leader cannot be reached: {0}")]
    LeaderUnreachable(String),
    /// The node is stopping. Send the request to another one.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// An earlier request of the session was refused, or its leader's term has ended: none may overtake it.
    /// Open another session and send everything that has no results again, in order.
    #[error("the session is closed to further requests; open another one and send what has no results again")]
    SessionClosed,
    /// More is under way than the service takes.
    #[error("too many {0}")]
    Overloaded(&'static str),
    /// The deadline passed. What was sent may still be carried out: send it again.
    #[error("the deadline passed before there was an answer")]
    DeadlineExceeded,
    /// There is no such thing.
    #[error("no such {what}: {key}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// By which key.
        key: String,
    },
    /// The sequence lies outside of what the ledger has.
    #[error("{field} is {asked}, the last event is {last}")]
    SequenceOutOfRange {
        /// The request's field.
        field: &'static str,
        /// What it asked for.
        asked: Sequence,
        /// What there is.
        last: Sequence,
    },
    /// The request is meant for another cluster.
    #[error("this is cluster {ours}, the request is for {theirs}")]
    WrongCluster {
        /// This cluster.
        ours: String,
        /// The one that the request names.
        theirs: String,
    },
    /// The caller may not do this.
    #[error("the caller may not {0}")]
    NotAllowed(&'static str),
    /// The reader of a stream does not keep up.
    #[error("the reader is too slow; resume from sequence {resume_from}")]
    SlowReader {
        /// Where to go on.
        resume_from: Sequence,
    },
    /// No voter can take the leadership.
    #[error("no voter can take the leadership")]
    NoCandidate,
    /// The membership cannot change like this, or not now.
    #[error("{0}")]
    MembershipRefused(String),
    /// The node that is to get a vote has too little of the log yet. Try again when it has caught up.
    #[error("{0}")]
    NotInSync(String),
    /// There is no backup target here, or it does not do what is asked.
    #[error("{0}")]
    BackupRefused(String),
    /// What is asked for cannot be calculated from what is defined.
    #[error("{0}")]
    Incalculable(String),
    /// The node cannot read its own history, and stops.
    #[error("the node cannot read its history")]
    Faulty,
}

impl Refusal {
    /// The gRPC status code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Invalid(_) | Self::Undecodable(_) | Self::MessageTooLarge(_) => Code::InvalidArgument,
            Self::NotLeader { .. } | Self::NoMajority | Self::LeaderUnreachable(_) | Self::ShuttingDown => {
                Code::Unavailable
            }
            Self::SessionClosed => Code::Aborted,
            Self::Overloaded(_) | Self::SlowReader { .. } => Code::ResourceExhausted,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::NotFound { .. } => Code::NotFound,
            Self::SequenceOutOfRange { .. } => Code::OutOfRange,
            Self::WrongCluster { .. }
            | Self::NoCandidate
            | Self::MembershipRefused(_)
            | Self::NotInSync(_)
            | Self::BackupRefused(_)
            | Self::Incalculable(_) => Code::FailedPrecondition,
            Self::NotAllowed(_) => Code::PermissionDenied,
            Self::Faulty => Code::Internal,
        }
    }

    /// The machine-readable reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(invalid) => invalid.reason.as_str(),
            Self::Undecodable(_) => "UNDECODABLE",
            Self::MessageTooLarge(_) => "MESSAGE_TOO_LARGE",
            Self::NotLeader { .. } => "NOT_LEADER",
            Self::NoMajority => "NO_MAJORITY",
            Self::LeaderUnreachable(_) => "LEADER_UNREACHABLE",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::SessionClosed => "SESSION_CLOSED",
            Self::Overloaded(_) => "OVERLOADED",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound { .. } => "NOT_FOUND",
            Self::SequenceOutOfRange { .. } => "SEQUENCE_OUT_OF_RANGE",
            Self::WrongCluster { .. } => "WRONG_CLUSTER",
            Self::NotAllowed(_) => "NOT_ALLOWED",
            Self::SlowReader { .. } => "SLOW_READER",
            Self::NoCandidate => "NO_CANDIDATE",
            Self::MembershipRefused(_) => "MEMBERSHIP_REFUSED",
            Self::NotInSync(_) => "NOT_IN_SYNC",
            Self::BackupRefused(_) => "BACKUP_REFUSED",
            Self::Incalculable(_) => "INCALCULABLE",
            Self::Faulty => "FAULTY",
        }
    }

    /// The offending field; empty when there is none.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::Invalid(invalid) => &invalid.field,
            Self::SequenceOutOfRange { field, .. } => field,
            _ => "",
        }
    }

    /// The leader's client endpoint; empty when it is not known or not asked for.
    #[must_use]
    pub fn leader(&self) -> &str {
        match self {
            Self::NotLeader { leader: Some(leader) } => leader,
            _ => "",
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::NotLeader { leader: Some(leader) } => [(LEADER_METADATA.to_owned(), leader.clone())].into(),
            Self::SlowReader { resume_from } => [(RESUME_METADATA.to_owned(), resume_from.to_string())].into(),
            _ => HashMap::new(),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let message = shortened(refusal.to_string());
        let mut details = ErrorDetails::with_error_info(refusal.reason(), ERROR_DOMAIN, refusal.metadata());
        if !refusal.field().is_empty() {
            details.add_bad_request_violation(refusal.field(), &message);
        }
        Self::with_error_details(refusal.code(), message, details)
    }
}

/// What a client sent is repeated to it, but never so much that the status fits no header.
const MESSAGE_BYTES_MAX: usize = 512;

fn shortened(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
    message
}

impl From<Invalid> for Status {
    fn from(invalid: Invalid) -> Self {
        Refusal::Invalid(invalid).into()
    }
}

/// The refusal that a status of the transport's own stands for: it tells bytes that it cannot decode as
/// an internal error, and a message that is too large as one that is out of range.
#[must_use]
pub fn of_transport(status: &Status) -> Option<Refusal> {
    let message = status.message();
    match status.code() {
        Code::Internal if message.starts_with("failed to decode Protobuf message") => {
            Some(Refusal::Undecodable(message.to_owned()))
        }
        Code::OutOfRange if message.contains("decoded message length too large") => {
            Some(Refusal::MessageTooLarge(message.to_owned()))
        }
        _ => None,
    }
}

/// The refusal of a request that only a leader takes.
#[must_use]
pub fn not_leader(leader: Option<&(NodeId, Node)>) -> Refusal {
    let endpoint = leader.map(|(_, node)| node.client.clone()).filter(|endpoint| !endpoint.is_empty());
    Refusal::NotLeader { leader: endpoint }
}

/// The refusal of a request by a node that does not take commands now. One that leads in name only, since it
/// has not heard of a majority for too long, does not send its clients back to itself.
#[must_use]
pub fn not_serving(leader: Option<&(NodeId, Node)>, me: NodeId) -> Refusal {
    match leader {
        Some((id, _)) if *id == me => Refusal::NoMajority,
        leader => not_leader(leader),
    }
}

impl From<ProposeError> for Refusal {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { leader } => not_leader(leader.as_ref()),
            ProposeError::Overloaded => Self::Overloaded("commands in flight"),
            ProposeError::Unavailable => Self::NoMajority,
            ProposeError::ShuttingDown => Self::ShuttingDown,
        }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NoLeader => Self::NotLeader { leader: None },
            ReadError::TimedOut => Self::DeadlineExceeded,
            ReadError::Overloaded => Self::Overloaded("reads"),
            ReadError::ShuttingDown => Self::ShuttingDown,
        }
    }
}

impl From<MembershipError> for Refusal {
    fn from(error: MembershipError) -> Self {
        match error {
            MembershipError::NotLeader { leader } => not_leader(leader.as_ref()),
            MembershipError::Unavailable => Self::NoMajority,
            MembershipError::Refused(reason) => Self::MembershipRefused(reason),
            MembershipError::NotInSync { .. } => Self::NotInSync(error.to_string()),
            MembershipError::ShuttingDown => Self::ShuttingDown,
        }
    }
}

impl From<TransferError> for Refusal {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::NotLeader { leader } => not_leader(leader.as_ref()),
            TransferError::NoCandidate => Self::NoCandidate,
            TransferError::TimedOut => Self::DeadlineExceeded,
            TransferError::ShuttingDown => Self::ShuttingDown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::convert::Reason;
    use super::*;

    #[test]
    fn a_bad_request_names_field_and_reason() {
        let invalid = Invalid::new("quantity", Reason::OutOfRange, "must be at least 1");
        let status = Status::from(invalid.within("new_order").within_item("commands", 3));
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let info = details.error_info().expect("every status has one");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("OUT_OF_RANGE", ERROR_DOMAIN));
        let fields: Vec<_> = details.bad_request().expect("it is one").field_violations.iter().collect();
        assert_eq!(fields[0].field, "commands[3].new_order.quantity");
        assert!(fields[0].description.contains("at least 1"));
    }

    /// The page that clients are written from names every reason that this file has.
    #[test]
    fn every_reason_is_documented() {
        let page = include_str!("../../docs/CLIENTS.md");
        let reasons = include_str!("errors.rs").split("pub const fn reason").nth(1).expect("the table of reasons");
        let reasons = reasons.split("pub fn field").next().expect("its end").split('"').skip(1).step_by(2);
        let reasons: Vec<&str> = reasons.collect();
        assert!(reasons.len() > 10 && reasons.contains(&"SESSION_CLOSED"), "{reasons:?}");
        for reason in reasons {
            assert!(page.contains(&format!("`{reason}`")), "docs/CLIENTS.md does not name {reason}");
        }
    }

    #[test]
    fn a_follower_names_the_leader() {
        let leader = (2, Node::at("b:7000", "b:7001"));
        let status = Status::from(Refusal::from(ProposeError::NotLeader { leader: Some(leader) }));
        assert_eq!(status.code(), Code::Unavailable);
        let details = status.get_error_details();
        let info = details.error_info().expect("every status has one");
        assert_eq!(info.reason, "NOT_LEADER");
        assert_eq!(info.metadata.get(LEADER_METADATA).map(String::as_str), Some("b:7001"));
    }

    #[test]
    fn a_leader_in_name_only_does_not_name_itself() {
        let leader = (2, Node { client: "b:7001".to_owned(), ..Node::default() });
        assert_eq!(not_serving(Some(&leader), 2), Refusal::NoMajority);
        assert_eq!(not_serving(Some(&leader), 1).leader(), "b:7001");
        assert_eq!(not_serving(None, 1), Refusal::NotLeader { leader: None });
    }

    #[test]
    fn what_a_client_sent_is_not_repeated_without_bound() {
        let status = Status::from(Refusal::NotFound { what: "asset", key: "ü".repeat(5_000) });
        assert!(status.message().len() <= MESSAGE_BYTES_MAX + '…'.len_utf8(), "{}", status.message().len());
        assert!(status.details().len() < 2 * MESSAGE_BYTES_MAX);
    }

    #[test]
    fn overload_is_told_at_once_as_such() {
        let status = Status::from(Refusal::from(ProposeError::Overloaded));
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.get_error_details().error_info().map(|info| info.reason.clone()), Some("OVERLOADED".into()));
    }
}
