//! A second copy of the vote, beside the log.
//!
//! A node whose log is damaged may be brought up again by the others only when it still knows whom it
//! voted for: a vote that is forgotten can be given twice. So the vote stands in a small file of its own
//! as well, written and synced behind the log's and before anybody is told.
//!
//! The file holds the same bytes twice, in pages of their own, and is overwritten in place: one bad
//! page leaves the other copy, and a crash during a write leaves the vote before or the new one,
//! neither of which was told to anybody who could rely on the other. What it holds is never newer than the
//! log unless the log lost what was synced.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::StoreError;
use super::file::{Access, Disk, File};
use super::log::MARK_BYTES_MAX;
use crate::core::codec::{Decode as _, DecodeError, Encode as _, Reader, record};

const MAGIC: [u8; 8] = *b"CFOILVTE";
/// The newest format of the file.
const FORMAT_VERSION: u32 = 1;
/// The copies in the file.
const COPIES: usize = 2;
/// Where the second copy begins: a page is what a disk loses at once.
const COPY_BYTES: usize = 4096;

/// The file's name in the data folder.
pub const FILE_NAME: &str = "VOTE";

/// Where the second copy lies, and how votes compare.
#[derive(Debug, Clone)]
pub struct VoteCopy {
    /// The file.
    pub path: PathBuf,
    /// Whether the first vote is newer than the second.
    pub newer: fn(&[u8], &[u8]) -> bool,
}

record! {
    /// What a copy holds behind its magic.
    struct Body {
        format: u32,
        /// Counts the writes.
        serial: u64,
        vote: Vec<u8>,
    }
}

fn encode(serial: u64, vote: &[u8]) -> Vec<u8> {
    let body = Body { format: FORMAT_VERSION, serial, vote: vote.to_vec() }.to_bytes();
    let mut copy = MAGIC.to_vec();
    (body.len() as u32).encode(&mut copy);
    copy.extend_from_slice(&body);
    crc32c::crc32c(&copy).encode(&mut copy);
    copy.resize(COPY_BYTES, 0);
    copy.repeat(COPIES)
}

/// Reads one copy; the error is what keeps it from being one.
fn decode(path: &Path, bytes: &[u8]) -> Result<Result<Body, String>, StoreError> {
    let read = |bytes: &[u8]| -> Result<(Vec<u8>, bool), DecodeError> {
        let mut input = Reader::new(bytes);
        let magic = input.take(MAGIC.len(), "magic")? == MAGIC;
        let len = u32::decode(&mut input)? as usize;
        let body = input.take(len, "vote")?.to_vec();
        let sum = crc32c::crc32c(&bytes[..MAGIC.len() + size_of::<u32>() + len]);
        Ok((body, magic && u32::decode(&mut input)? == sum))
    };
    match read(bytes) {
        Ok((body, true)) => match Body::from_bytes(&body) {
            Ok(Body { format, .. }) if format > FORMAT_VERSION => {
                Err(StoreError::NewerFormat { path: path.to_owned(), found: format, known: FORMAT_VERSION })
            }
            Ok(body) => Ok(Ok(body)),
            Err(error) => Ok(Err(error.to_string())),
        },
        Ok((_, false)) => Ok(Err("the checksum does not match".to_owned())),
        Err(error) => Ok(Err(error.to_string())),
    }
}

fn read_newest(disk: &Disk, path: &Path) -> Result<Option<Body>, StoreError> {
    let Some(bytes) = disk.read_file(path)? else { return Ok(None) };
    let mut newest: Option<Body> = None;
    let mut problem = None;
    for copy in 0..COPIES {
        let from = (copy * COPY_BYTES).min(bytes.len());
        let to = (from + COPY_BYTES).min(bytes.len());
        match decode(path, &bytes[from..to])? {
            Ok(body) if newest.as_ref().is_none_or(|newest| newest.serial < body.serial) => newest = Some(body),
            Ok(_) => {}
            Err(reason) => problem = problem.or(Some((from, reason))),
        }
    }
    match (newest, problem) {
        (Some(newest), _) => Ok(Some(newest)),
        (None, Some((at, reason))) => Err(StoreError::corrupt(path, at as u64, reason)),
        (None, None) => Err(StoreError::corrupt(path, 0, "it is empty")),
    }
}

/// The vote in the file; `None` when there is no such file.
///
/// # Errors
/// [`StoreError::Corrupt`] when neither copy is whole; [`StoreError::NewerFormat`]; I/O.
pub fn read(disk: &Disk, path: &Path) -> Result<Option<Bytes>, StoreError> {
    Ok(read_newest(disk, path)?.map(|body| body.vote.into()))
}

/// What writes the second copy.
#[derive(Debug)]
pub(super) struct VoteFile {
    disk: Disk,
    path: PathBuf,
    file: Option<File>,
    serial: u64,
}

impl VoteFile {
    /// Compares the file with the vote that the log ends with, and brings it up to that. `tail` is the log's last
    /// segment and where its records end.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] of the log when the file holds a newer vote, which the log must have lost; I/O.
    pub fn open(disk: &Disk, copy: &VoteCopy, log: Option<&Bytes>, tail: (&Path, u64)) -> Result<Self, StoreError> {
        let mut this = Self { disk: disk.clone(), path: copy.path.clone(), file: None, serial: 0 };
        let found = match read_newest(disk, &copy.path) {
            Ok(found) => found,
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::warn!(%error, "the second copy of the vote is damaged; it is written again from the log");
                None
            }
            Err(error) => return Err(error),
        };
        if let Some(Body { serial, vote, .. }) = &found {
            this.serial = *serial;
            if log.is_none_or(|log| (copy.newer)(vote, log)) {
                let (segment, offset) = tail;
                let reason = "a vote that was saved behind it is missing";
                return Err(StoreError::corrupt(segment, offset, reason));
            }
        }
        // Also when it is the same: one of its copies may be damaged.
        if let Some(log) = log {
            this.write(log)?;
        }
        Ok(this)
    }

    /// Writes the vote; on return it is on disk.
    ///
    /// # Errors
    /// I/O, final.
    pub fn write(&mut self, vote: &[u8]) -> Result<(), StoreError> {
        self.serial += 1;
        let bytes = encode(self.serial, vote);
        match &self.file {
            Some(file) => {
                file.write_at(&bytes, 0)?;
                file.sync()
            }
            None => {
                // Another file in its place: whatever kept the old one from being read is not written into.
                self.disk.replace_file(&self.path, &bytes)?;
                self.file = Some(self.disk.open(&self.path, Access::Write)?);
                Ok(())
            }
        }
    }
}

const _: () = assert!(MARK_BYTES_MAX + 64 < COPY_BYTES, "a vote fits its page");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Random, SimDisk};

    const PATH: &str = "/data/VOTE";

    /// Votes of these tests are numbers.
    fn newer(a: &[u8], b: &[u8]) -> bool {
        a > b
    }

    fn copy() -> VoteCopy {
        VoteCopy { path: PATH.into(), newer }
    }

    fn open(disk: &Disk, log: Option<u8>) -> Result<VoteFile, StoreError> {
        let log = log.map(|vote| Bytes::from(vec![vote]));
        VoteFile::open(disk, &copy(), log.as_ref(), (Path::new("/data/log/7.log"), 99))
    }

    fn found(disk: &Disk) -> Option<u8> {
        read(disk, Path::new(PATH)).expect("readable").map(|vote| vote[0])
    }

    #[test]
    fn the_last_vote_reads_back() {
        let sim = SimDisk::default();
        let disk = sim.disk();
        assert_eq!(found(&disk), None);
        let mut file = open(&disk, None).expect("nothing was voted");
        assert_eq!(found(&disk), None);
        for vote in 1..=3 {
            file.write(&[vote]).expect("written");
            assert_eq!(found(&disk), Some(vote));
        }
        sim.power_cut(&mut Random(1));
        assert_eq!(found(&disk), Some(3), "it was synced");
        open(&disk, Some(3)).expect("the same");
        open(&disk, Some(5)).expect("the log may be ahead");
        assert_eq!(found(&disk), Some(5));
    }

    #[test]
    fn a_log_without_the_vote_in_the_file_has_lost_it() {
        let disk = SimDisk::default().disk();
        open(&disk, Some(4)).expect("written");
        for log in [None, Some(3)] {
            let error = open(&disk, log).expect_err("it is lost");
            assert!(matches!(error, StoreError::Corrupt { ref path, offset: 99, .. } if path.ends_with("7.log")));
        }
        assert_eq!(found(&disk), Some(4), "and stands here still");
    }

    #[test]
    fn one_damaged_page_leaves_the_vote_and_two_are_found() {
        let sim = SimDisk::default();
        let disk = sim.disk();
        open(&disk, Some(4)).expect("written");
        let path = Path::new(PATH);
        let good = sim.content(path).expect("written");
        let whole = encode(1, &[4]).iter().rposition(|byte| *byte != 0).expect("bytes") + 1 - COPY_BYTES;
        for byte in (0..whole).chain(COPY_BYTES..COPY_BYTES + whole) {
            let mut bad = good.clone();
            bad[byte] ^= 1 << (byte % 8);
            sim.put(path, &bad);
            assert_eq!(found(&disk), Some(4), "byte {byte}");
            bad[(byte + COPY_BYTES) % good.len()] ^= 1;
            sim.put(path, &bad);
            assert!(matches!(read(&disk, path), Err(StoreError::Corrupt { .. })), "byte {byte}");
        }
        for cut in 0..good.len() {
            sim.put(path, &good[..cut]);
            assert!(read(&disk, path).is_ok_and(|vote| vote.is_some()) == (cut >= whole), "cut at {cut}");
        }
        sim.put(path, b"");
        open(&disk, Some(4)).expect("made anew from the log");
        assert_eq!(found(&disk), Some(4));
    }

    #[test]
    fn a_crash_during_a_write_leaves_the_old_vote_or_the_new_one() {
        for seed in 0..200 {
            let sim = SimDisk::default();
            let disk = sim.disk();
            let mut file = open(&disk, Some(4)).expect("written");
            sim.fail_after(1, std::io::ErrorKind::Other);
            file.write(&[5]).expect_err("the power goes before the sync");
            sim.power_cut(&mut Random(seed));
            match read(&disk, Path::new(PATH)) {
                Ok(vote) => assert!(matches!(vote.as_deref(), Some([4 | 5])), "{vote:?}"),
                Err(StoreError::Corrupt { .. }) => panic!("both copies are torn: a sector is written whole"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}
