//! The decoders of what lies in a vault, for the fuzzers: see docs/TESTING.md.

use bytes::Bytes;

use super::manifest::{Holds, Manifest, Part, sample};
use super::part::{Cutter, Entries, Entry, Records, Shipper};
use super::testing::MemoryVault;
use super::vault::Vault as _;
use super::{BackupError, Control};
use crate::core::codec::Encode as _;
use crate::core::types::{LogIndex, Sequence, Term};
use crate::store::Position;
use crate::store::fuzzing::seeds;

const ID: &str = "a";

/// A manifest, which is also used as a plan uses it.
pub fn manifest(bytes: &[u8]) {
    let object = Manifest::object(ID);
    if let Ok(manifest) = Manifest::decode(&object, bytes) {
        let again = Manifest::decode(&object, &manifest.encode());
        assert_eq!(again.ok().as_ref(), Some(&manifest), "a manifest is what it is written as");
        let _ = (manifest.log_after.next_index(), manifest.end.next_index(), manifest.bytes());
    }
}

/// Makes the digest of a manifest fit.
pub fn seal_manifest(bytes: &mut [u8]) {
    let mut lines = bytes.splitn_mut(3, |byte| *byte == b'\n');
    let (Some(_), Some(digest), Some(json)) = (lines.next(), lines.next(), lines.next()) else { return };
    let [json @ .., b'\n'] = json else { return };
    let hex = blake3::hash(json).to_hex();
    if digest.len() == hex.len() {
        digest.copy_from_slice(hex.as_bytes());
    }
}

/// Sound manifests.
#[must_use]
pub fn manifests() -> Vec<Vec<u8>> {
    vec![sample(ID).encode()]
}

/// A part of the journal or of the log, of which every item is read.
pub fn part(bytes: &[u8]) {
    for holds in [Holds::Journal, Holds::Log] {
        let digest = blake3::hash(bytes).to_hex().to_string();
        let part = Part { name: "p".to_owned(), holds, first: 1, last: u64::MAX, bytes: bytes.len() as u64, digest };
        let manifest = Manifest { parts: vec![part], ..sample(ID) };
        let vault = MemoryVault::default();
        if vault.put(&manifest.part_object(&manifest.parts[0]), Bytes::copy_from_slice(bytes)).is_err() {
            return;
        }
        match holds {
            Holds::Journal => {
                let mut records = Records::new(&vault, &[&manifest], Sequence(1));
                while let Ok(Some(_)) = records.next() {}
            }
            _ => {
                let mut entries = Entries::new(&vault, &[&manifest], LogIndex(1));
                while let Ok(Some(_)) = entries.next() {}
            }
        }
    }
}

/// A part of the journal, and one of the log.
#[must_use]
pub fn parts() -> Vec<Vec<u8>> {
    let records = seeds::first_records();
    let entries = seeds::proposals().into_iter().zip(1..).map(|(proposal, index)| {
        let position = Position { term: Term(1), index: LogIndex(index) };
        Entry { position, proposal: Some(proposal.into()) }.to_bytes()
    });
    [written(Holds::Journal, records.into_iter()), written(Holds::Log, entries)]
        .into_iter()
        .flatten()
        .flatten()
        .collect()
}

fn written(holds: Holds, items: impl Iterator<Item = Vec<u8>>) -> Result<Vec<Vec<u8>>, BackupError> {
    let (vault, control) = (MemoryVault::default(), Control::default());
    let mut manifest = Manifest { parts: Vec::new(), ..sample(ID) };
    let mut shipper = Shipper { vault: &vault, control: &control, manifest: &mut manifest };
    let mut cutter = Cutter::new(&mut shipper, holds);
    for (item, number) in items.zip(1..) {
        cutter.push(&item, number, number)?;
    }
    cutter.finish()?;
    let parts = manifest.parts.iter().map(|part| vault.get(&manifest.part_object(part)));
    parts.map(|found| Ok(found?.unwrap_or_default().to_vec())).collect()
}
