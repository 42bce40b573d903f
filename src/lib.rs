//! Counterfoil: a replicated trading ledger.

pub mod config;
pub mod core;
pub mod proto;
pub mod replication;
pub mod server;
pub mod store;
pub mod telemetry;
