//! The Rust client: follows the leader, retries safely, keeps deadlines.
//!
//! Every command takes effect exactly once, so that the client may send it as often as it must: when
//! an answer is lost, or a node dies, it sends the same command with the same id to another node and
//! gets the first answer. [`Client`] does so for single calls, [`Session`] for a pipeline of
//! commands, [`Watch`] for the stream of events. May call `core` (for its types) and nothing else of
//! the tree.

mod calls;
mod connect;
mod error;
mod id;
mod session;
mod watch;

pub use crate::proto::v1 as api;
pub use calls::Client;
pub use connect::{ClientOptions, DEFAULT_ENDPOINTS};
pub use error::{ClientError, Refusal};
pub use id::{derived_id, id_from_hex, id_to_bytes, id_to_hex, random_id};
pub use session::{Answer, Session, SessionOptions, SessionReceiver, SessionSender};
pub use watch::Watch;
