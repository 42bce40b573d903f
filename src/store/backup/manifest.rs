//! The manifest of a backup: what it holds, what it follows, and what its parts must be.
//!
//! It is written last. Until it is there the backup is not, whatever parts are; its first two lines
//! are a mark and the blake3 digest of the rest, which is JSON, so that a person can read one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::BackupError;
use super::seal::is_sealed;
use super::vault::{MANIFESTS, PARTS};
use crate::core::StateDigest;
use crate::core::types::{LogIndex, Sequence, Term, Timestamp};
use crate::store::Position;
use crate::store::identity::ClusterId;
use crate::store::journal::BlockDigest;

/// The format of a manifest that this version reads and writes.
pub const FORMAT: u32 = 1;

const MARK: &str = "counterfoil backup manifest";

/// The longest name of a backup or a part.
const NAME_BYTES_MAX: usize = 128;

/// What a backup is complete by itself, and what it needs besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Everything: an image and the whole journal.
    Full,
    /// What came since the last full one, and an image when the log does not reach so far back.
    Differential,
    /// Journal and log since the last backup of any kind.
    Incremental,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Differential => "differential",
            Self::Incremental => "incremental",
        })
    }
}

/// What a part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// A piece of the image, a snapshot's file; it counts bytes of that.
    Image,
    /// Records of the journal; it counts events.
    Journal,
    /// Entries of the log; it counts these.
    Log,
}

impl Holds {
    /// How the names of such parts begin.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Journal => "journal",
            Self::Log => "log",
        }
    }
}

/// One object of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name within the backup.
    pub name: String,
    /// What it holds.
    pub holds: Holds,
    /// The first that it holds: a byte, an event, an entry.
    pub first: u64,
    /// The last that it holds.
    pub last: u64,
    /// Its length in bytes, before it is sealed.
    pub bytes: u64,
    /// The blake3 digest of these bytes, in hexadecimal digits.
    pub digest: String,
}

/// A log entry's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The term of the leader that wrote it.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

impl From<Position> for Place {
    fn from(position: Position) -> Self {
        Self { term: position.term.0, index: position.index.0 }
    }
}

impl From<Place> for Position {
    fn from(place: Place) -> Self {
        Self { term: Term(place.term), index: LogIndex(place.index) }
    }
}

/// A point in the history of a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The last log entry; `None` before the first.
    pub entry: Option<Place>,
    /// The last event.
    pub sequence: u64,
    /// The time of the last event, in nanoseconds since the Unix epoch.
    pub time: u64,
}

impl Mark {
    /// The last log entry.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.entry.map(Position::from)
    }

    /// The index of the entry that comes next.
    #[must_use]
    pub fn next_index(&self) -> LogIndex {
        LogIndex(self.entry.map_or(0, |entry| entry.index + 1))
    }

    /// The last event.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        Sequence(self.sequence)
    }

    /// The time of the last event.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        Timestamp(self.time)
    }
}

/// The state that the image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageFacts {
    /// Where it was taken.
    pub at: Mark,
    /// The digest of its records, in hexadecimal digits.
    pub digest: String,
    /// How many records it has.
    pub records: u64,
    /// The length of the snapshot's file, in bytes.
    pub bytes: u64,
}

/// The journal's chain at the last full block of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainFacts {
    /// The last event of the block.
    pub sequence: u64,
    /// The chain's digest with it, in hexadecimal digits.
    pub digest: String,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the format.
    pub format: u32,
    /// Its name.
    pub id: String,
    /// What it is complete by.
    pub kind: Kind,
    /// The backup that it goes on from, and is of no use without.
    pub parent: Option<String>,
    /// The cluster, in hexadecimal digits.
    pub cluster: String,
    /// The node that made it.
    pub node: u64,
    /// The version of the program that made it.
    pub version: String,
    /// The rules of the ledger at its end.
    pub feature_level: u32,
    /// When it was begun, in milliseconds since the Unix epoch by the node's clock.
    pub begun_ms: u64,
    /// When it was complete, by the same clock.
    pub ended_ms: u64,
    /// The image, if it has one.
    pub image: Option<ImageFacts>,
    /// Its journal begins behind this event.
    pub journal_after: u64,
    /// Its log begins behind this point.
    pub log_after: Mark,
    /// Where its journal and its log end.
    pub end: Mark,
    /// The digest of the state there, in hexadecimal digits.
    pub end_digest: String,
    /// The journal's chain at or before its end.
    pub chain: Option<ChainFacts>,
    /// Its parts.
    pub parts: Vec<Part>,
}

/// 128 bits in hexadecimal digits, as digests and ids are written.
pub(super) fn hex128(number: u128) -> String {
    format!("{number:032x}")
}

fn parse_hex128(text: &str) -> Option<u128> {
    (text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

/// A chain's digest in hexadecimal digits.
pub(super) fn hex256(digest: &BlockDigest) -> String {
    blake3::Hash::from_bytes(*digest).to_hex().to_string()
}

impl ChainFacts {
    /// The chain's digest.
    #[must_use]
    pub fn digest(&self) -> Option<BlockDigest> {
        blake3::Hash::from_hex(&self.digest).ok().map(|hash| *hash.as_bytes())
    }
}

impl ImageFacts {
    /// The digest of its records.
    #[must_use]
    pub fn digest(&self) -> Option<StateDigest> {
        parse_hex128(&self.digest).map(StateDigest::from_u128)
    }
}

impl Manifest {
    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        parse_hex128(&self.cluster).map(ClusterId)
    }

    /// The digest of the state at its end.
    #[must_use]
    pub fn end_digest(&self) -> Option<StateDigest> {
        parse_hex128(&self.end_digest).map(StateDigest::from_u128)
    }

    /// The name of the object that the manifest of this backup is.
    #[must_use]
    pub fn object(id: &str) -> String {
        format!("{MANIFESTS}/{id}")
    }

    /// The name of the object that the part is.
    #[must_use]
    pub fn part_object(&self, part: &Part) -> String {
        format!("{PARTS}/{}/{}", self.id, part.name)
    }

    /// Parts that hold this, in order.
    pub fn parts_of(&self, holds: Holds) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.holds == holds)
    }

    /// Bytes of all parts together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// The bytes of the object.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_string_pretty(self).unwrap_or_default();
        format!("{MARK} {FORMAT}\n{}\n{json}\n", blake3::hash(json.as_bytes()).to_hex()).into_bytes()
    }

    /// Reads the object of this name back.
    ///
    /// # Errors
    /// [`BackupError::Damaged`], [`BackupError::OtherFormat`]; [`BackupError::Key`] when it is sealed.
    pub fn decode(object: &str, bytes: &[u8]) -> Result<Self, BackupError> {
        let damaged = |reason: &str| BackupError::Damaged { part: object.to_owned(), reason: reason.to_owned() };
        if is_sealed(bytes) {
            return Err(BackupError::Key { reason: format!("{object} is sealed, and no key is given") });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is no text"))?;
        let (mark, rest) = text.split_once('\n').ok_or_else(|| damaged("it is cut short"))?;
        let format = mark.strip_prefix(MARK).and_then(|rest| rest.strip_prefix(' ')).and_then(|rest| rest.parse().ok());
        let found: u32 = format.ok_or_else(|| damaged("it is no manifest"))?;
        if found != FORMAT {
            return Err(BackupError::OtherFormat { part: object.to_owned(), found, known: FORMAT });
        }
        let (digest, rest) = rest.split_once('\n').ok_or_else(|| damaged("it is cut short"))?;
        let json = rest.strip_suffix('\n').ok_or_else(|| damaged("it is cut short"))?;
        if digest != blake3::hash(json.as_bytes()).to_hex().as_str() {
            return Err(damaged("its digest differs"));
        }
        let manifest: Self = serde_json::from_str(json).map_err(|error| damaged(&error.to_string()))?;
        manifest.check(object).map_err(|reason| damaged(&reason))?;
        Ok(manifest)
    }

    /// What a manifest says must make sense, whoever wrote it.
    fn check(&self, object: &str) -> Result<(), String> {
        let named = |name: &str| {
            let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fine)
        };
        if self.format != FORMAT {
            return Err(format!("it says it has format {}", self.format));
        }
        if !named(&self.id) || object != Self::object(&self.id) {
            return Err(format!("it says it is the manifest of {}", self.id));
        }
        if !self.parts.iter().all(|part| named(&part.name) && part.first <= part.last) {
            return Err("a part has no proper name or range".to_owned());
        }
        if self.cluster().is_none() || self.end_digest().is_none() {
            return Err("the cluster or the state's digest is none".to_owned());
        }
        if self.image.as_ref().is_some_and(|image| image.digest().is_none() || image.at.entry.is_none()) {
            return Err("the image has no digest or no place".to_owned());
        }
        if self.chain.as_ref().is_some_and(|chain| chain.digest().is_none()) {
            return Err("the chain's digest is none".to_owned());
        }
        let marks = [Some(&self.log_after), Some(&self.end), self.image.as_ref().map(|image| &image.at)];
        let last_of_all = |mark: &Mark| mark.sequence == u64::MAX || mark.entry.is_some_and(|at| at.index == u64::MAX);
        if marks.into_iter().flatten().any(last_of_all) {
            return Err("nothing could follow one of its points".to_owned());
        }
        if self.end.entry.is_none() || self.log_after.next_index() > self.end.next_index() {
            return Err("its log ends before it begins".to_owned());
        }
        if self.journal_after > self.end.sequence || self.log_after.sequence > self.end.sequence {
            return Err("its journal ends before it begins".to_owned());
        }
        Ok(())
    }
}

/// A manifest for tests.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn sample(id: &str) -> Manifest {
    Manifest {
        format: FORMAT,
        id: id.to_owned(),
        kind: Kind::Full,
        parent: None,
        cluster: hex128(7),
        node: 2,
        version: "0.1.0".to_owned(),
        feature_level: 1,
        begun_ms: 5,
        ended_ms: 9,
        image: None,
        journal_after: 0,
        log_after: Mark::default(),
        end: Mark { entry: Some(Place { term: 1, index: 9 }), sequence: 20, time: 30 },
        end_digest: hex128(11),
        chain: None,
        parts: vec![Part {
            name: "log-000001".to_owned(),
            holds: Holds::Log,
            first: 0,
            last: 9,
            bytes: 100,
            digest: hex256(&[3; 32]),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_and_damage_anywhere_is_found() {
        let manifest = sample("20260101T000000Z-full");
        let object = Manifest::object(&manifest.id);
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&object, &bytes).expect("whole"), manifest);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&object, &bad).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(Manifest::decode(&object, &bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Manifest::decode("manifests/other", &bytes).is_err(), "in another one's place");
    }

    #[test]
    fn what_makes_no_sense_is_refused_whoever_wrote_it() {
        let good = sample("a");
        let object = Manifest::object("a");
        type Spoil = fn(&mut Manifest);
        let spoils: [Spoil; 8] = [
            |bad| bad.end.entry = Some(Place { term: 1, index: u64::MAX }),
            |bad| bad.parts[0].name = "../else".to_owned(),
            |bad| bad.parts[0].last = 0,
            |bad| bad.cluster = "7".to_owned(),
            |bad| bad.end_digest = "+".repeat(32),
            |bad| bad.end.entry = None,
            |bad| bad.journal_after = 21,
            |bad| bad.chain = Some(ChainFacts { sequence: 1, digest: "0".to_owned() }),
        ];
        for (number, spoil) in spoils.iter().enumerate() {
            let mut bad = good.clone();
            bad.parts[0].first = 1;
            spoil(&mut bad);
            let decoded = Manifest::decode(&object, &bad.encode());
            assert!(matches!(decoded, Err(BackupError::Damaged { .. })), "{number}");
        }
        let newer = String::from_utf8(good.encode()).expect("text").replacen("manifest 1", "manifest 2", 1);
        let decoded = Manifest::decode(&object, newer.as_bytes());
        assert!(matches!(decoded, Err(BackupError::OtherFormat { found: 2, .. })));
    }
}
