//! The disk. Every operation of the store on a file or folder goes through [`Disk`], which names the
//! file in its errors and stands on a [`FileSystem`] that a test can replace by one that tears, drops
//! and reorders what was not synced, or fails.
//!
//! A new or renamed file is durable only when its folder is synced too; the functions here that
//! promise durability do both.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::StoreError;

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It exists, and is only read.
    Read,
    /// It exists, and is read and written.
    Write,
    /// It is created, or emptied if it exists; read and written.
    Create,
}

/// The operations of the system on an open file.
#[allow(clippy::len_without_is_empty)]
pub trait RawFile: Send + Sync + fmt::Debug {
    /// Reads up to `buf.len()` bytes; 0 at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the content durable (fdatasync).
    fn sync_data(&self) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Cuts or extends the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// The operations of the system on names.
pub trait FileSystem: Send + Sync + fmt::Debug {
    /// Opens a file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn RawFile>>;
    /// Names of the files and folders in a folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Whether there is such a file or folder.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Creates one folder whose parent exists.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Gives a file or folder another name, replacing a file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder and all in it.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Takes the exclusive lock on a file, creating it; `None` when another has it. Dropping frees it.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>>;
    /// Free bytes of the disk that holds the folder.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// The disk, as the store uses it. A cheap handle.
#[derive(Clone)]
pub struct Disk {
    pub(super) system: Arc<dyn FileSystem>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.system.fmt(f)
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::real()
    }
}

/// An open file that names itself in its errors.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    raw: Box<dyn RawFile>,
}

/// The exclusive right to a folder, until dropped.
pub struct FolderLock {
    path: PathBuf,
    _held: Box<dyn Send + Sync>,
}

impl fmt::Debug for FolderLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FolderLock({})", self.path.display())
    }
}

/// The name of the lock file in a locked folder.
pub(super) const LOCK_FILE: &str = "LOCK";
/// What a file is called while it is being written, until it is renamed.
pub(super) const UNFINISHED_SUFFIX: &str = "unfinished";

impl Disk {
    /// The machine's own file systems.
    #[must_use]
    pub fn real() -> Self {
        Self::new(Arc::new(RealFileSystem))
    }

    /// A disk that stands on another file system.
    #[must_use]
    pub fn new(system: Arc<dyn FileSystem>) -> Self {
        Self { system }
    }

    /// Opens a file. One created here is durable after its own sync and [`Disk::sync_folder`].
    pub fn open(&self, path: &Path, access: Access) -> Result<File, StoreError> {
        let what = if access == Access::Create { "create" } else { "open" };
        let raw = self.system.open(path, access).map_err(|error| StoreError::io(what, path, error))?;
        Ok(File { path: path.to_owned(), raw })
    }

    /// The names in a folder, sorted.
    pub fn list(&self, folder: &Path) -> Result<Vec<String>, StoreError> {
        let mut names = self.system.list(folder).map_err(|error| StoreError::io("list", folder, error))?;
        names.sort_unstable();
        Ok(names)
    }

    /// Whether there is such a file or folder.
    pub fn exists(&self, path: &Path) -> Result<bool, StoreError> {
        self.system.exists(path).map_err(|error| StoreError::io("look for", path, error))
    }

    /// Creates a folder and its missing parents, durably. Fine if it exists.
    pub fn create_folder(&self, path: &Path) -> Result<(), StoreError> {
        if self.exists(path)? {
            return Ok(());
        }
        let parent = parent_of(path);
        self.create_folder(&parent)?;
        match self.system.create_folder(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(StoreError::io("create", path, error));
            }
            _ => {}
        }
        self.sync_folder(&parent)
    }

    /// Gives a file or folder another name in the same folder, durably.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        self.system.rename(from, to).map_err(|error| StoreError::io("rename", from, error))?;
        self.sync_folder(&parent_of(to))
    }

    /// Removes a file. Durable after [`Disk::sync_folder`].
    pub fn remove_file(&self, path: &Path) -> Result<(), StoreError> {
        self.system.remove_file(path).map_err(|error| StoreError::io("remove", path, error))
    }

    /// Removes a folder and all in it. Durable after [`Disk::sync_folder`] of its parent.
    pub fn remove_folder(&self, path: &Path) -> Result<(), StoreError> {
        self.system.remove_folder(path).map_err(|error| StoreError::io("remove", path, error))
    }

    /// Makes the names in a folder durable.
    pub fn sync_folder(&self, path: &Path) -> Result<(), StoreError> {
        self.system.sync_folder(path).map_err(|error| StoreError::io("sync", path, error))
    }

    /// Takes the exclusive lock on a folder.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when it is taken.
    pub fn lock_folder(&self, folder: &Path) -> Result<FolderLock, StoreError> {
        let path = folder.join(LOCK_FILE);
        match self.system.lock(&path) {
            Ok(Some(held)) => Ok(FolderLock { path, _held: held }),
            Ok(None) => Err(StoreError::Locked { path }),
            Err(error) => Err(StoreError::io("lock", &path, error)),
        }
    }

    /// Free bytes of the disk that holds the folder.
    pub fn free_bytes(&self, folder: &Path) -> Result<u64, StoreError> {
        self.system.free_bytes(folder).map_err(|error| StoreError::io("measure the free space of", folder, error))
    }

    /// Writes a whole small file so that after a crash it has either its old or its new content.
    pub fn replace_file(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let unfinished = path.with_extension(UNFINISHED_SUFFIX);
        let file = self.open(&unfinished, Access::Create)?;
        file.write_at(bytes, 0)?;
        file.sync()?;
        drop(file);
        self.rename(&unfinished, path)
    }

    /// The content of a whole file, or `None` if there is no such file.
    pub fn read_file(&self, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.exists(path)? {
            return Ok(None);
        }
        self.open(path, Access::Read)?.read_all().map(Some)
    }
}

impl File {
    /// Its path when it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills `buf` from `offset`; returns how many bytes there were before the end.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, StoreError> {
        let mut done = 0;
        while done < buf.len() {
            match self.raw.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io_at("read", &self.path, offset + done as u64, error)),
            }
        }
        Ok(done)
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the file ends before.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), StoreError> {
        let count = self.read_at(buf, offset)?;
        if count < buf.len() {
            let reason = format!("the file ends inside {} bytes", buf.len());
            return Err(StoreError::corrupt(&self.path, offset + count as u64, reason));
        }
        Ok(())
    }

    /// The whole content.
    pub fn read_all(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; self.len()? as usize];
        let count = self.read_at(&mut bytes, 0)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// Writes all of `bytes` at `offset`.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), StoreError> {
        self.raw.write_all_at(bytes, offset).map_err(|error| StoreError::io_at("write", &self.path, offset, error))
    }

    /// Makes the content durable. An error is final.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.raw.sync_data().map_err(|error| StoreError::io("sync", &self.path, error))
    }

    /// The length in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> Result<u64, StoreError> {
        self.raw.len().map_err(|error| StoreError::io("measure", &self.path, error))
    }

    /// Cuts or extends the file.
    pub fn set_len(&self, len: u64) -> Result<(), StoreError> {
        self.raw.set_len(len).map_err(|error| StoreError::io_at("cut", &self.path, len, error))
    }
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The machine's own file systems.
#[derive(Debug)]
struct RealFileSystem;

impl RawFile for fs::File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buf, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }
}

impl FileSystem for RealFileSystem {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn RawFile>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match access {
            Access::Read => {}
            Access::Write => drop(options.write(true)),
            Access::Create => drop(options.write(true).create(true).truncate(true)),
        }
        Ok(Box::new(options.open(path)?))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let facts = nix::sys::statvfs::statvfs(folder)?;
        Ok(facts.blocks_available() as u64 * facts.fragment_size() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_reads_back_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let disk = Disk::real();
        let folder = dir.path().join("a/b");
        disk.create_folder(&folder).expect("created");
        disk.create_folder(&folder).expect("is there");
        let path = folder.join("NAME");
        assert!(disk.read_file(&path).expect("read").is_none());
        disk.replace_file(&path, b"one").expect("written");
        disk.replace_file(&path, b"two").expect("written");
        assert_eq!(disk.read_file(&path).expect("read").as_deref(), Some(&b"two"[..]));
        assert_eq!(disk.list(&folder).expect("listed"), ["NAME"]);
        assert!(disk.free_bytes(&folder).expect("measured") > 0);
    }

    #[test]
    fn a_folder_is_locked_once_also_within_a_process() {
        let dir = tempfile::tempdir().expect("a folder");
        let disk = Disk::real();
        let lock = disk.lock_folder(dir.path()).expect("locked");
        assert!(matches!(disk.lock_folder(dir.path()), Err(StoreError::Locked { .. })));
        drop(lock);
        disk.lock_folder(dir.path()).expect("free again");
    }

    #[test]
    fn an_error_names_the_file() {
        let error = Disk::real().open(Path::new("/nonexistent/x"), Access::Read).expect_err("no such file");
        assert!(error.to_string().contains("/nonexistent/x"), "{error}");
        let full = StoreError::io("write", Path::new("y"), io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(full, StoreError::Full { .. }));
        let bad = StoreError::io_at("read", Path::new("y"), 512, io::Error::from_raw_os_error(5));
        assert!(bad.to_string().starts_with("cannot read y from byte 512 on: "), "{bad}");
    }
}
