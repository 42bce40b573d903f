//! A disk on which one kind of file fails: at a place that is read, or at its n-th write or sync.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::Disk;
use crate::store::file::{Access, FileSystem, RawFile};
use crate::store::testing::SimDisk;

/// `EIO`, as the kernel numbers it.
const EIO: i32 = 5;

/// What goes wrong, and when.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// This byte of this file cannot be read.
    Unreadable(PathBuf, u64),
    /// From the n-th change on, writes and syncs of the kind fail.
    WriteError(u64),
    /// From the n-th change on, nothing of the kind can grow or be written.
    NoSpace(u64),
    /// At the n-th change the power goes, for every file on the disk in memory.
    PowerCut(u64, SimDisk),
}

#[derive(Debug)]
struct Rules {
    concerns: fn(&Path) -> bool,
    trouble: Option<Trouble>,
    changes: AtomicU64,
    armed: AtomicBool,
    failed: Mutex<Vec<PathBuf>>,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub(super) struct Faulty {
    below: Disk,
    rules: Arc<Rules>,
}

#[derive(Debug)]
struct FaultyFile {
    below: Box<dyn RawFile>,
    path: PathBuf,
    rules: Arc<Rules>,
}

/// What an operation does: space runs out for those that write.
#[derive(Clone, Copy, PartialEq)]
enum Change {
    Write,
    Sync,
}

impl Rules {
    /// Counts a change of a file, and fails it when its time has come.
    fn change(&self, path: &Path, change: Change) -> io::Result<()> {
        if !(self.concerns)(path) || !self.armed.load(Ordering::SeqCst) {
            return Ok(());
        }
        let number = self.changes.fetch_add(1, Ordering::SeqCst);
        let error = match &self.trouble {
            Some(Trouble::WriteError(from)) if number >= *from => io::Error::from_raw_os_error(EIO),
            Some(Trouble::NoSpace(from)) if number >= *from && change == Change::Write => {
                io::Error::from(io::ErrorKind::StorageFull)
            }
            Some(Trouble::PowerCut(from, sim)) if number == *from => {
                sim.fail_after(0, io::ErrorKind::Other);
                return Ok(());
            }
            _ => return Ok(()),
        };
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
        Err(error)
    }
}

impl Faulty {
    /// Nothing is wrong with it yet. `concerns` says which files its trouble is with.
    pub fn new(below: Disk, concerns: fn(&Path) -> bool, trouble: Option<Trouble>) -> Self {
        let rules = Rules {
            concerns,
            trouble,
            changes: AtomicU64::new(0),
            armed: AtomicBool::new(true),
            failed: Mutex::default(),
        };
        Self { below, rules: Arc::new(rules) }
    }

    /// As the store uses it.
    pub fn disk(&self) -> Disk {
        Disk::new(Arc::new(self.clone()))
    }

    /// Changes of the kind so far, while armed.
    pub fn changes(&self) -> u64 {
        self.rules.changes.load(Ordering::SeqCst)
    }

    /// Whether changes count, and can fail.
    pub fn arm(&self, armed: bool) {
        self.rules.armed.store(armed, Ordering::SeqCst);
    }

    /// The files of which a change failed.
    pub fn failed(&self) -> Vec<PathBuf> {
        self.rules.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn system(&self) -> &dyn FileSystem {
        self.below.system.as_ref()
    }
}

impl RawFile for FaultyFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Some(Trouble::Unreadable(path, at)) = &self.rules.trouble
            && *path == self.path
            && (offset..offset + buf.len() as u64).contains(at)
        {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.below.read_at(buf, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.rules.change(&self.path, Change::Write)?;
        self.below.write_all_at(bytes, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.rules.change(&self.path, Change::Sync)?;
        self.below.sync_data()
    }
    fn len(&self) -> io::Result<u64> {
        self.below.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.rules.change(&self.path, Change::Write)?;
        self.below.set_len(len)
    }
}

impl FileSystem for Faulty {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn RawFile>> {
        if access == Access::Create {
            self.rules.change(path, Change::Write)?;
        }
        let below = self.system().open(path, access)?;
        Ok(Box::new(FaultyFile { below, path: path.to_owned(), rules: Arc::clone(&self.rules) }))
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.system().list(folder)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.system().exists(path)
    }
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.system().create_folder(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        // Errors name the file by the name it had.
        if (self.rules.concerns)(to) {
            self.rules.change(from, Change::Write)?;
        }
        self.system().rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.rules.change(path, Change::Sync)?;
        self.system().remove_file(path)
    }
    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.system().remove_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.system().sync_folder(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.system().lock(path)
    }
    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        self.system().free_bytes(folder)
    }
}
