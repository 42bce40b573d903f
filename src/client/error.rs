//! Why a call got no answer.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::api;

/// Where a status names the leader (see the service's `ErrorInfo`).
const LEADER_METADATA: &str = "leader";

/// What a node said instead of an answer: a gRPC status with its details read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC status code.
    pub code: Code,
    /// The machine-readable reason, such as `NOT_LEADER`; empty when the status has none.
    pub reason: String,
    /// The offending field of the request; empty when it is not about one.
    pub field: String,
    /// For people.
    pub message: String,
    /// The leader's client endpoint, where the node named it.
    pub leader: Option<String>,
}

impl Refusal {
    /// Whether the same request can be answered later or elsewhere. All requests are safe to send
    /// again, so that what may or may not have been carried out counts too.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(
            self.code,
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
                | Code::Cancelled
                | Code::Aborted
                | Code::Unknown
                | Code::Internal
        )
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let violation = details.bad_request().and_then(|bad| bad.field_violations.first());
        Self {
            code: status.code(),
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            field: violation.map(|violation| violation.field.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            leader: info.and_then(|info| info.metadata.get(LEADER_METADATA)).filter(|at| !at.is_empty()).cloned(),
        }
    }
}

impl From<api::SessionError> for Refusal {
    fn from(error: api::SessionError) -> Self {
        Self {
            code: Code::from_i32(error.status),
            reason: error.reason,
            field: error.field,
            message: error.message,
            leader: Some(error.leader).filter(|at| !at.is_empty()),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.field.is_empty() && !self.message.contains(&self.field) {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(if self.message.is_empty() { self.code.description() } else { &self.message })?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " [{}]", self.reason) }
    }
}

/// Why a call failed for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// A node refused it.
    #[error("{0}")]
    Refused(Refusal),
    /// The deadline passed. What was sent may or may not have been carried out; the same command
    /// sent again gets its answer.
    #[error("no answer within {waited:?}; last: {last}")]
    Deadline {
        /// How long it was tried.
        waited: Duration,
        /// What the last try met.
        last: String,
    },
    /// An endpoint is not a URL.
    #[error("{0:?} is not an endpoint such as http://127.0.0.1:7401")]
    BadEndpoint(String),
    /// An answer that the API does not allow.
    #[error("the node broke the protocol: {0}")]
    Protocol(String),
    /// The session ended before.
    #[error("the session has ended")]
    SessionEnded,
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn the_leader_is_read_from_the_details() {
        let metadata = [(LEADER_METADATA.to_owned(), "http://127.0.0.1:7402".to_owned())];
        let details = ErrorDetails::with_error_info("NOT_LEADER", "counterfoil", metadata);
        let refusal = Refusal::from(Status::with_error_details(Code::Unavailable, "not here", details));
        assert_eq!(refusal.reason, "NOT_LEADER");
        assert_eq!(refusal.leader.as_deref(), Some("http://127.0.0.1:7402"));
        assert!(refusal.is_passing());
        assert_eq!(refusal.to_string(), "not here [NOT_LEADER]");
    }

    #[test]
    fn a_bad_request_names_its_field() {
        let mut details = ErrorDetails::with_error_info("OUT_OF_RANGE", "counterfoil", [] as [(String, String); 0]);
        details.add_bad_request_violation("command.id", "is zero");
        let refusal = Refusal::from(Status::with_error_details(Code::InvalidArgument, "is zero", details));
        assert!(!refusal.is_passing());
        assert_eq!(refusal.to_string(), "command.id: is zero [OUT_OF_RANGE]");
    }
}
