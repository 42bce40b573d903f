//! Every decoder of the product, by name: what fuzzers run for hours (`tests/fuzz`), and `cargo test` over
//! thousands of mutations of sound bytes (`tests`). See docs/TESTING.md.
//!
//! A body takes any bytes. It must not panic, nor take more memory than its [`Decoder::memory`] says. The
//! bodies stand with the layers whose decoders they are; this is the list.

#[cfg(test)]
mod tests;

use std::io::{Cursor, Write as _};
use std::path::Path;

use crate::cli::replay::lobster;
use crate::config::Config;
use crate::core::codec::{Decode, Encode};
use crate::core::command::{Command, Proposal};
use crate::core::event::Record;
use crate::store::fuzzing::{self as store, seeds};
use crate::{replication, server};

/// A decoder.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    /// Its name; a fuzz target has the same.
    pub name: &'static str,
    /// Decodes any bytes.
    pub decode: fn(&[u8]),
    /// Sound encodings to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The memory it may take.
    pub memory: Memory,
}

/// The memory that decoding may take, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Whatever the input: buffers of a fixed size.
    fixed: usize,
    /// For each byte of the input.
    per_byte: usize,
}

impl Memory {
    /// For an input of so many bytes.
    #[must_use]
    pub const fn of(self, bytes: usize) -> usize {
        self.fixed + self.per_byte * bytes
    }
}

/// Copies and small structures of what was decoded.
const PLAIN: Memory = Memory { fixed: 64 << 10, per_byte: 64 };

/// As [`PLAIN`], where bytes are packed, with the buffers of LZ4, zstd and zip.
const PACKED: Memory = Memory { fixed: 4 << 20, per_byte: 1_024 };

/// Every decoder.
pub const DECODERS: &[Decoder] = &[
    Decoder { name: "request", decode: server::fuzzing::commands, seeds: server::fuzzing::requests, memory: PLAIN },
    Decoder { name: "question", decode: server::fuzzing::question, seeds: server::fuzzing::questions, memory: PLAIN },
    Decoder {
        name: "peer_message",
        decode: replication::fuzzing::peer_message,
        seeds: replication::fuzzing::peer_messages,
        memory: PLAIN,
    },
    Decoder {
        name: "log_payload",
        decode: replication::fuzzing::log_payload,
        seeds: replication::fuzzing::log_payloads,
        memory: PLAIN,
    },
    Decoder { name: "command", decode: canonical::<Command>, seeds: seeds::commands, memory: PLAIN },
    Decoder { name: "proposal", decode: canonical::<Proposal>, seeds: seeds::proposals, memory: PLAIN },
    Decoder { name: "record", decode: record, seeds: seeds::records, memory: PLAIN },
    Decoder { name: "log_segment", decode: store::log_segment, seeds: seeds::log_segments, memory: PLAIN },
    Decoder { name: "journal_segment", decode: store::journal_segment, seeds: seeds::journal_segments, memory: PACKED },
    Decoder { name: "journal_tail", decode: store::journal_tail, seeds: seeds::journal_tails, memory: PLAIN },
    Decoder { name: "shipped_records", decode: store::shipped_records, seeds: seeds::shipped_records, memory: PLAIN },
    Decoder { name: "snapshot", decode: store::snapshot, seeds: seeds::snapshots, memory: PACKED },
    Decoder {
        name: "backup_manifest",
        decode: store::backup_manifest,
        seeds: crate::store::backup::fuzzing::manifests,
        memory: PLAIN,
    },
    Decoder {
        name: "backup_part",
        decode: store::backup_part,
        seeds: crate::store::backup::fuzzing::parts,
        memory: PACKED,
    },
    Decoder { name: "state_pages", decode: store::state_pages, seeds: seeds::state_pages, memory: PLAIN },
    Decoder { name: "state_meta", decode: store::state_meta, seeds: seeds::state_metas, memory: PLAIN },
    Decoder { name: "index_run", decode: store::index_run, seeds: seeds::index_runs, memory: PLAIN },
    Decoder { name: "identity", decode: store::identity, seeds: seeds::identities, memory: PLAIN },
    Decoder { name: "vote_copy", decode: store::vote_copy, seeds: seeds::vote_copies, memory: PLAIN },
    Decoder { name: "repair_book", decode: store::repair_book, seeds: seeds::repair_books, memory: PLAIN },
    Decoder { name: "config", decode: config, seeds: configs, memory: PACKED },
    Decoder { name: "lobster", decode: lobster_day, seeds: lobster_days, memory: PACKED },
];

/// Gives bytes to the decoder of this name.
///
/// # Panics
/// When there is no such decoder, and when the decoder has a fault.
pub fn decode(name: &str, bytes: &[u8]) {
    let decoder = DECODERS.iter().find(|decoder| decoder.name == name);
    (decoder.expect("a decoder of the list").decode)(bytes);
}

/// What can be decoded has exactly the bytes that it was decoded from.
fn canonical<T: Decode + Encode>(bytes: &[u8]) {
    if let Ok(value) = T::from_bytes(bytes) {
        assert_eq!(value.to_bytes(), bytes, "one value has one encoding");
    }
}

fn record(bytes: &[u8]) {
    if let Ok(record) = Record::from_bytes(bytes) {
        assert_eq!(record.view().to_bytes(), bytes, "one record has one encoding");
        let _ = record.view().events().count();
    }
}

fn config(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Config::layered(Some((Path::new("node.toml"), text)), [], &[]);
    }
}

fn configs() -> Vec<Vec<u8>> {
    vec![Config::default().to_toml().into_bytes()]
}

fn lobster_day(bytes: &[u8]) {
    let _ = lobster::Day::read(Cursor::new(bytes));
}

/// A zip with two messages and two books.
fn lobster_days() -> Vec<Vec<u8>> {
    let files = [
        ("AAPL_message_1.csv", "34200.1,1,7,100,5850000,-1\n34200.2,4,7,10,5850000,-1\n"),
        ("AAPL_orderbook_1.csv", "5850000,100,-9999999999,0\n5850000,90,-9999999999,0\n"),
    ];
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        let begun = zip.start_file(name, zip::write::SimpleFileOptions::default());
        if begun.is_err() || zip.write_all(text.as_bytes()).is_err() {
            return Vec::new();
        }
    }
    zip.finish().map(Cursor::into_inner).into_iter().collect()
}
