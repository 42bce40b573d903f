//! Counterfoil: a replicated trading ledger. ARCHITECTURE.md is the map.

pub mod checker;
pub mod cli;
pub mod client;
pub mod config;
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
pub mod machine;
pub mod net;
pub mod node;
pub mod proto;
pub mod replication;
pub mod server;
pub mod store;
pub mod telemetry;

/// The product, a crate of its own: `src/core`.
pub use counterfoil_core as core;
