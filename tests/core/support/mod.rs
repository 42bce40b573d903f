//! What the tests of the pure core share: a bench that drives a ledger as the store does, a fold that
//! knows the books only from the events, and a generator of command sequences that collide.
//!
//! Every test binary uses a part of it only.
#![allow(dead_code)]

pub mod bench;
pub mod fold;
pub mod generate;
pub mod reads;
pub mod rng;
pub mod session;
pub mod swarm;
pub mod tally;
