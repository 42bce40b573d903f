//! Trading: markets, order entry, the book, matching and settlement.
//!
//! All of it is the ledger's: an order reserves what it could cost through the ledger's postings when
//! it enters (`entry`, `replace`), trades settle through them (`matching`, `settle`), and
//! what ends gives the rest back (`cancel`). Nothing here holds money or stock of its own.

pub mod book;
mod cancel;
mod entry;
mod fees;
mod fill_or_kill;
mod markets;
mod matching;
mod orders;
mod replace;
mod settle;

pub use book::{BookLevel, BookView};
pub(crate) use markets::MarketEntry;
pub(crate) use orders::{OF_OWNER, OrderEntry, Orders, reservation};
