//! Whose folder it is: cluster, node, disk, format.
//!
//! A node that came up on another node's folder, or on one of another cluster, would vote with a
//! memory that is not its own. So the folder says whose it is, and a start that does not fit is refused.
//!
//! On a first start the identity is written last, when the log exists: from then on a missing log
//! is a loss, not a beginning (a node whose log is lost must not come back under its old id).

use std::path::Path;

use super::StoreError;
use super::file::{Disk, FolderLock};
use crate::core::codec::{Decode, Encode, newtype, record};
use crate::machine;

newtype! {
    /// A cluster: chosen at random when it is formed.
    pub struct ClusterId(u128);
}
newtype! {
    /// A node within its cluster, never used twice.
    pub struct NodeId(u64);
}
newtype! {
    /// One data folder: chosen at random when it is created.
    pub struct DiskId(u128);
}

/// The newest format of a data folder that this version reads, and the one it writes.
pub const FORMAT_VERSION: u32 = 1;

pub(super) const FILE_NAME: &str = "IDENTITY";
const MAGIC: [u8; 8] = *b"CFOILID\0";

record! {
    /// Whose folder it is.
    #[derive(Copy)]
    pub struct Identity {
        /// The cluster.
        pub cluster: ClusterId,
        /// The node.
        pub node: NodeId,
        /// This very folder.
        pub disk: DiskId,
    }
}

/// A data folder that is ours, locked against every other process until dropped.
#[derive(Debug)]
pub struct DataFolder {
    /// Whose it is; `None` in a folder that was never used: see [`DataFolder::claim`].
    pub identity: Option<Identity>,
    path: std::path::PathBuf,
    disk: Disk,
    _lock: FolderLock,
}

impl DataFolder {
    /// Opens a data folder, creating an empty one if there is none, and takes its lock.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::NewerFormat`], [`StoreError::Corrupt`], or I/O.
    pub fn open(disk: &Disk, path: &Path) -> Result<Self, StoreError> {
        disk.create_folder(path)?;
        let lock = disk.lock_folder(path)?;
        let identity = read(disk, path)?;
        Ok(Self { identity, path: path.to_owned(), disk: disk.clone(), _lock: lock })
    }

    /// Refuses a folder that belongs to another cluster or node. A folder never used fits everyone.
    ///
    /// # Errors
    /// [`StoreError::WrongIdentity`].
    pub fn check(&self, cluster: ClusterId, node: NodeId) -> Result<(), StoreError> {
        let Some(identity) = self.identity else { return Ok(()) };
        let wrong = |what, expected: String, found: String| {
            Err(StoreError::WrongIdentity { path: self.path.join(FILE_NAME), what, expected, found })
        };
        if identity.cluster != cluster {
            return wrong("cluster", format!("{:032x}", cluster.0), format!("{:032x}", identity.cluster.0));
        }
        if identity.node != node {
            return wrong("node", node.to_string(), identity.node.to_string());
        }
        Ok(())
    }

    /// Writes the identity into a folder never used, with a fresh disk id; to be called once the log
    /// has been created. In a folder that has one, it only checks.
    ///
    /// # Errors
    /// As [`DataFolder::check`], or I/O.
    pub fn claim(&mut self, cluster: ClusterId, node: NodeId, disk: DiskId) -> Result<Identity, StoreError> {
        self.check(cluster, node)?;
        if let Some(identity) = self.identity {
            return Ok(identity);
        }
        let identity = Identity { cluster, node, disk };
        self.disk.replace_file(&self.path.join(FILE_NAME), &encode(&identity))?;
        self.identity = Some(identity);
        Ok(identity)
    }

    /// Gives the folder to another cluster: see the forced recovery. Its node and its
    /// disk stay what they are.
    ///
    /// # Errors
    /// [`StoreError::Missing`] in a folder never used, or I/O.
    pub fn rename_cluster(&mut self, cluster: ClusterId) -> Result<(), StoreError> {
        let path = self.path.join(FILE_NAME);
        let Some(identity) = self.identity.as_mut() else {
            return Err(StoreError::Missing { path, reason: "a folder never used belongs to no cluster" });
        };
        identity.cluster = cluster;
        self.disk.replace_file(&path, &encode(identity))
    }
}

/// The identity in a folder, or `None` if it has none. Takes no lock.
///
/// # Errors
/// [`StoreError::NewerFormat`], [`StoreError::Corrupt`], or I/O.
pub fn read(disk: &Disk, folder: &Path) -> Result<Option<Identity>, StoreError> {
    let path = folder.join(FILE_NAME);
    match disk.read_file(&path)? {
        None => Ok(None),
        Some(bytes) => decode(&path, &bytes).map(Some),
    }
}

impl DiskId {
    /// A fresh one, from the system's randomness.
    #[must_use]
    pub fn random() -> Self {
        Self(random_u128())
    }
}

impl ClusterId {
    /// A fresh one, from the system's randomness.
    #[must_use]
    pub fn random() -> Self {
        Self(random_u128())
    }
}

pub(in crate::store) fn random_u128() -> u128 {
    u128::from(machine::random()) << 64 | u128::from(machine::random())
}

fn encode(identity: &Identity) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    FORMAT_VERSION.encode(&mut bytes);
    identity.encode(&mut bytes);
    let checksum = crc32c::crc32c(&bytes);
    checksum.encode(&mut bytes);
    bytes
}

fn decode(path: &Path, bytes: &[u8]) -> Result<Identity, StoreError> {
    let corrupt = |reason: &str| StoreError::corrupt(path, 0, reason);
    let body_len = bytes.len().saturating_sub(size_of::<u32>());
    let (body, checksum) = bytes.split_at(body_len);
    if checksum != crc32c::crc32c(body).to_le_bytes() {
        return Err(corrupt("the checksum does not match"));
    }
    let body = body.strip_prefix(&MAGIC).ok_or_else(|| corrupt("this is no identity file"))?;
    let (version, body) = body.split_at_checked(size_of::<u32>()).ok_or_else(|| corrupt("it is cut short"))?;
    let version = u32::from_bytes(version).map_err(|error| corrupt(&error.to_string()))?;
    if version > FORMAT_VERSION {
        return Err(StoreError::NewerFormat { path: path.to_owned(), found: version, known: FORMAT_VERSION });
    }
    Identity::from_bytes(body).map_err(|error| corrupt(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: ClusterId = ClusterId(7);
    const NODE: NodeId = NodeId(2);

    fn claimed(folder: &Path) -> Identity {
        let mut data = DataFolder::open(&Disk::real(), folder).expect("opens");
        data.claim(CLUSTER, NODE, DiskId::random()).expect("claimed")
    }

    #[test]
    fn a_folder_keeps_its_identity() {
        let dir = tempfile::tempdir().expect("a folder");
        let fresh = DataFolder::open(&Disk::real(), dir.path()).expect("opens");
        assert_eq!(fresh.identity, None);
        drop(fresh);
        let identity = claimed(dir.path());
        assert_eq!(claimed(dir.path()), identity, "the disk id stays");
        assert_ne!(DiskId::random(), DiskId::random());
    }

    #[test]
    fn a_strangers_folder_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        claimed(dir.path());
        let mut data = DataFolder::open(&Disk::real(), dir.path()).expect("opens");
        for (cluster, node, what) in [(ClusterId(8), NODE, "cluster"), (CLUSTER, NodeId(3), "node")] {
            match data.claim(cluster, node, DiskId(1)) {
                Err(StoreError::WrongIdentity { what: found, .. }) => assert_eq!(found, what),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_folder_is_opened_by_one_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = DataFolder::open(&Disk::real(), dir.path()).expect("opens");
        assert!(matches!(DataFolder::open(&Disk::real(), dir.path()), Err(StoreError::Locked { .. })));
        drop(data);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = encode(&Identity { cluster: CLUSTER, node: NODE, disk: DiskId(3) });
        let path = Path::new("IDENTITY");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(path, &flipped), Err(StoreError::Corrupt { .. })), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(matches!(decode(path, &bytes[..cut]), Err(StoreError::Corrupt { .. })), "cut at {cut}");
        }
    }

    #[test]
    fn a_newer_format_is_refused() {
        let mut bytes = encode(&Identity { cluster: CLUSTER, node: NODE, disk: DiskId(3) });
        bytes.truncate(bytes.len() - 4);
        bytes[MAGIC.len()] = 2;
        let checksum = crc32c::crc32c(&bytes);
        checksum.encode(&mut bytes);
        assert!(matches!(decode(Path::new("I"), &bytes), Err(StoreError::NewerFormat { found: 2, .. })));
    }
}
