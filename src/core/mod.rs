//! The product: matching, production, the ledger, its rules. Pure and deterministic.
//!
//! There is no clock, no randomness, no I/O, no async and no iteration in hash order here; time and
//! ids come in with the command. The same commands at the same stamps give the same events, bit for
//! bit, on every node and in every test. Everything else may call the core; the core calls nobody.

pub mod codec;
pub mod command;
pub mod decimal;
pub mod digest;
pub mod event;
pub mod ledger;
pub mod planted;
pub mod production;
pub mod rejection;
pub mod reply;
pub mod state;
pub(crate) mod table;
pub mod trading;
pub mod types;

pub use codec::{Decode, DecodeError, Encode, Input, Output, Reader};
pub use command::Command;
pub use digest::StateDigest;
pub use event::{Effects, Outcome, Record};
pub use ledger::Ledger;
pub use rejection::Rejection;
pub use state::{History, RecordKey, RestoreError, Table, Used};
pub use table::HashSeed;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
pub(crate) mod shop;
