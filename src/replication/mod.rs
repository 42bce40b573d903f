//! Agreement: the log, the cluster and who leads it.
//!
//! Raft itself is openraft, seen only in this folder. Here are its storage over [`crate::store`]
//! ([`LogStore`], [`StateMachine`]), its network over gRPC ([`Service`] answers, [`Peers`] asks),
//! and [`Replica`], the handle through which the server proposes, reads and asks for the cluster's
//! state. The server calls this; this calls the store, and through the apply thread the core.
//! Nothing here spawns a long-lived task of its own: the bodies are functions that the node runs.

mod ahead;
mod append;
mod apply;
mod attend;
pub mod backup;
mod bootstrap;
mod codec;
pub mod config;
mod detector;
mod digests;
mod disk_watch;
mod fault;
mod figures;
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
mod give_way;
mod handover;
mod log_store;
mod membership;
pub mod mend;
mod network;
mod planted;
mod purged;
mod read_index;
mod receive;
pub mod recover;
pub mod repair;
mod replica;
pub mod restore;
mod roster;
mod runtime;
mod service;
mod state_machine;
mod status;
mod supervise;
mod transfer;
mod types;
mod wire;

pub use apply::{ApplyHandle, ApplyThread, apply_thread};
pub use config::ReplicationConfig;
pub use fault::{Fault, FaultCell};
pub use figures::{Life, Measured, Spans};
pub use handover::TransferError;
pub use log_store::LogStore;
pub use membership::MembershipError;
pub use network::Peers;
pub use replica::{Pending, ProposeError, ReadError, Replica, StateReader};
pub use service::Service;
pub use state_machine::{LocalSnapshot, SnapshotBuilder, SnapshotData, StateMachine};
pub use status::{Leadership, PeerStatus, Published, Role, Status};
pub use types::{Applied, Node, NodeId, ProposalBytes, Reply, TypeConfig};
