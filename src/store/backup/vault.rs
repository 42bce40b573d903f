//! Where backups lie: named objects, each written and read as a whole.
//!
//! An object is there whole or not at all. The names are `manifests/ID`, `parts/ID/NAME` and
//! `checks/ID`: so the backups that are complete can be listed without their parts.

use bytes::Bytes;

use super::BackupError;

/// The folder of the manifests.
pub const MANIFESTS: &str = "manifests";

/// The folder of the parts, one folder in it per backup.
pub const PARTS: &str = "parts";

/// The folder of what checks have found.
pub const CHECKS: &str = "checks";

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its whole name.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was written, in milliseconds since the Unix epoch by the target's clock.
    pub written_ms: u64,
}

/// A place for backups. Calls block.
pub trait Vault: Send + Sync + std::fmt::Debug {
    /// Writes an object, whole or not at all, and for good.
    ///
    /// # Errors
    /// [`BackupError::Target`].
    fn put(&self, name: &str, bytes: Bytes) -> Result<(), BackupError>;

    /// An object's bytes; `None` when there is none of this name.
    ///
    /// # Errors
    /// [`BackupError::Target`]; [`BackupError::Damaged`] when it is sealed and cannot be opened.
    fn get(&self, name: &str) -> Result<Option<Bytes>, BackupError>;

    /// The objects whose names begin with this folder, in the order of their names.
    ///
    /// # Errors
    /// [`BackupError::Target`].
    fn list(&self, folder: &str) -> Result<Vec<Listed>, BackupError>;

    /// Removes an object. Fine when it is gone.
    ///
    /// # Errors
    /// [`BackupError::Target`].
    fn remove(&self, name: &str) -> Result<(), BackupError>;

    /// Removes what writes that were broken off have left of objects which `is_old` approves by their names.
    /// Returns how many. Most vaults leave nothing.
    ///
    /// # Errors
    /// [`BackupError::Target`], or a fault of the disk.
    fn sweep(&self, is_old: &dyn Fn(&str) -> bool) -> Result<usize, BackupError> {
        let _ = is_old;
        Ok(0)
    }
}
