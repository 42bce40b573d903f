//! Counterfoil: a replicated trading ledger.

pub mod core;
pub mod proto;
pub mod replication;
pub mod store;
