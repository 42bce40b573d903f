//! A disk on which nothing changes: what is written, renamed or removed is dropped.
//!
//! An offline check opens the log and the journal through it, with the code that a start uses, and
//! leaves the folder as it was.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Disk;
use super::file::{Access, FileSystem, RawFile};

/// A view of `disk` that never changes it.
#[must_use]
pub fn dry_run(disk: &Disk) -> Disk {
    Disk::new(Arc::new(DryRun { below: Arc::clone(&disk.system) }))
}

#[derive(Debug)]
struct DryRun {
    below: Arc<dyn FileSystem>,
}

/// A file that drops what is written. One that would be created is empty.
#[derive(Debug)]
struct DryFile {
    below: Option<Box<dyn RawFile>>,
}

impl RawFile for DryFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.below.as_ref().map_or(Ok(0), |file| file.read_at(buf, offset))
    }

    fn write_all_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.below.as_ref().map_or(Ok(0), |file| file.len())
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Ok(())
    }
}

impl FileSystem for DryRun {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn RawFile>> {
        let below = match access {
            Access::Read | Access::Write => Some(self.below.open(path, Access::Read)?),
            Access::Create => None,
        };
        Ok(Box::new(DryFile { below }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.below.list(folder)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.below.exists(path)
    }

    fn create_folder(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_folder(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        Ok(Some(Box::new(())))
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        self.below.free_bytes(folder)
    }
}
