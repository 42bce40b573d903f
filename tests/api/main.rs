//! The client API over real sockets: every RPC, every kind of bad input, paging, streams, a cluster.

mod cluster;
mod commands;
mod input;
mod node;
mod production;
mod queries;
mod sessions;
mod streams;
