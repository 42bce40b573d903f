//! The command line as a user meets it: its arguments, its replay of recorded order flow, and a whole
//! cluster by `dev`.

mod arguments;
mod cluster;
mod dev;
mod imports;
mod planning;
mod production;
mod recording;
mod replay;
mod worked_example;
