//! Markets: order entry, the book, matching, settlement.

pub mod book;

pub use book::{BookLevel, BookView};
