//! Counterfoil: a replicated trading ledger.

pub mod core;
pub mod store;
