//! Agreement: the log, the cluster and who leads it.
//!
//! Raft itself is openraft, seen only in this folder. Here are its storage over [`crate::store`],
//! its network over gRPC ([`service`] answers, [`network`] asks), and [`Replica`], the handle
//! through which the server proposes, reads and asks for the cluster's state. The server calls
//! this; this calls the store, and through the apply thread the core. Nothing here spawns a
//! long-lived task of its own: the bodies are functions that the node runs.

mod replica;
mod types;

pub use replica::{
    Leadership, PeerStatus, Pending, ProposeError, Published, ReadError, Replica, Role, StateReader, Status, TransferError,
};
pub use types::{Applied, Node, NodeId, ProposalBytes};
