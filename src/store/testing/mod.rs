//! A disk in memory for tests: it loses power at a chosen operation, and then keeps of what was not
//! synced any part, in any order, sector by sector; or it fails with an error of choice.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::file::{Access, Disk, FileSystem, RawFile};
use super::segment;

pub mod workload;

/// What a disk writes at once, or not at all.
const SECTOR_BYTES: usize = 512;

/// Small and good enough: splitmix64.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Debug, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

fn write_into(bytes: &mut Vec<u8>, offset: u64, new: &[u8]) {
    let end = offset as usize + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset as usize..end].copy_from_slice(new);
}

#[derive(Debug, Clone)]
enum NameChange {
    Set(PathBuf, usize),
    Unset(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    unsynced_names: Vec<NameChange>,
    folders: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
    operations: u64,
    fails_from: Option<(u64, io::ErrorKind)>,
    bytes_max: Option<usize>,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.lock_state().locked.remove(&self.path);
    }
}

impl State {
    /// Counts an operation that changes or syncs; fails it when that was asked for.
    fn change(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.fails_from {
            Some((from, kind)) if self.operations > from => Err(io::Error::from(kind)),
            _ => Ok(()),
        }
    }

    fn used_bytes(&self) -> usize {
        self.names.values().map(|&inode| self.inodes[inode].now.len()).sum()
    }

    fn apply_name(names: &mut BTreeMap<PathBuf, usize>, change: NameChange) {
        match change {
            NameChange::Set(path, inode) => drop(names.insert(path, inode)),
            NameChange::Unset(path) => drop(names.remove(&path)),
            NameChange::Rename(from, to) => {
                if let Some(inode) = names.remove(&from) {
                    names.insert(to, inode);
                }
            }
        }
    }

    fn name(&mut self, change: NameChange) {
        Self::apply_name(&mut self.names, change.clone());
        self.unsynced_names.push(change);
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl SimDisk {
    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As the store uses it.
    pub fn disk(&self) -> Disk {
        Disk::new(Arc::new(self.clone()))
    }

    /// How many operations changed or synced something so far.
    pub fn operations(&self) -> u64 {
        self.lock_state().operations
    }

    /// Every change or sync fails from now on, after `more` further ones.
    pub fn fail_after(&self, more: u64, kind: io::ErrorKind) {
        let mut state = self.lock_state();
        state.fails_from = Some((state.operations + more, kind));
    }

    /// The disk takes no more than this in all.
    pub fn limit(&self, bytes_max: Option<usize>) {
        self.lock_state().bytes_max = bytes_max;
    }

    /// Everything is gone, as if another disk were in its place. Nothing may be open on it.
    pub fn wipe(&self) {
        *self.lock_state() = State::default();
    }

    /// A file is gone, for good.
    pub fn lose(&self, path: &Path) {
        let mut state = self.lock_state();
        state.names.remove(path);
        state.durable_names.remove(path);
        state.unsynced_names.retain(|change| match change {
            NameChange::Set(name, _) | NameChange::Unset(name) => name != path,
            NameChange::Rename(from, to) => from != path && to != path,
        });
    }

    /// The content of a file.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.lock_state();
        state.names.get(path).map(|&inode| state.inodes[inode].now.clone())
    }

    /// Puts a file there, as if it had been written and synced long ago.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.lock_state();
        let inode = state.inodes.len();
        state.inodes.push(Inode { now: bytes.to_vec(), durable: bytes.to_vec(), unsynced: Vec::new() });
        state.names.insert(path.to_owned(), inode);
        state.durable_names.insert(path.to_owned(), inode);
        state.folders.extend(path.ancestors().skip(1).map(Path::to_owned));
    }

    /// A disk of its own with the files of a folder, in another folder, as if written and synced long ago.
    pub fn copy_of(&self, folder: &Path, to: &Path) -> Self {
        let copy = Self::default();
        let state = self.lock_state();
        for (path, inode) in &state.names {
            if let Ok(below) = path.strip_prefix(folder) {
                copy.put(&to.join(below), &state.inodes[*inode].now);
            }
        }
        let folders = state.folders.iter().filter_map(|path| path.strip_prefix(folder).ok());
        copy.lock_state().folders.extend(folders.map(|below| to.join(below)));
        copy
    }

    /// Every file below a folder.
    pub fn files(&self, folder: &Path) -> Vec<PathBuf> {
        self.lock_state().names.keys().filter(|path| path.starts_with(folder)).cloned().collect()
    }

    /// The power goes and comes back: of what was not synced any part is kept.
    pub fn power_cut(&self, random: &mut Random) {
        let mut state = self.lock_state();
        let state = &mut *state;
        let kept_names = random.below(state.unsynced_names.len() as u64 + 1) as usize;
        for change in state.unsynced_names.drain(..).take(kept_names) {
            State::apply_name(&mut state.durable_names, change);
        }
        state.names = state.durable_names.clone();
        for inode in &mut state.inodes {
            for change in std::mem::take(&mut inode.unsynced) {
                match change {
                    Change::SetLen(len) if random.below(2) == 0 => inode.durable.resize(len as usize, 0),
                    Change::SetLen(_) => {}
                    Change::Write(offset, bytes) => keep_sectors(&mut inode.durable, offset, &bytes, random),
                }
            }
            inode.now = inode.durable.clone();
        }
        state.fails_from = None;
        state.locked.clear();
    }
}

fn keep_sectors(durable: &mut Vec<u8>, offset: u64, bytes: &[u8], random: &mut Random) {
    // Some writes are lost whole or kept whole, so that long ones are not always torn.
    let odds = [0, 1, 2, 4][random.below(4) as usize];
    let mut at = 0;
    while at < bytes.len() {
        let sector_end = SECTOR_BYTES - (offset as usize + at) % SECTOR_BYTES;
        let count = sector_end.min(bytes.len() - at);
        if odds > 0 && random.below(odds) == 0 {
            write_into(durable, offset + at as u64, &bytes[at..at + count]);
        }
        at += count;
    }
}

impl RawFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.lock_state();
        let bytes = state.inodes[self.inode].now.get(offset as usize..).unwrap_or_default();
        let count = bytes.len().min(buf.len());
        buf[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.lock_state();
        state.change()?;
        let grown = (offset as usize + bytes.len()).saturating_sub(state.inodes[self.inode].now.len());
        if state.bytes_max.is_some_and(|max| grown > 0 && state.used_bytes() + grown > max) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let inode = &mut state.inodes[self.inode];
        write_into(&mut inode.now, offset, bytes);
        inode.unsynced.push(Change::Write(offset, bytes.to_vec()));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.lock_state();
        state.change()?;
        let inode = &mut state.inodes[self.inode];
        for change in inode.unsynced.drain(..) {
            match change {
                Change::Write(offset, bytes) => write_into(&mut inode.durable, offset, &bytes),
                Change::SetLen(len) => inode.durable.resize(len as usize, 0),
            }
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock_state().inodes[self.inode].now.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.lock_state();
        state.change()?;
        let inode = &mut state.inodes[self.inode];
        inode.now.resize(len as usize, 0);
        inode.unsynced.push(Change::SetLen(len));
        Ok(())
    }
}

impl FileSystem for SimDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn RawFile>> {
        let mut state = self.lock_state();
        let inode = match (state.inode(path), access) {
            (Ok(inode), Access::Create) => {
                state.change()?;
                state.inodes[inode].now.clear();
                state.inodes[inode].unsynced.push(Change::SetLen(0));
                inode
            }
            (Ok(inode), _) => inode,
            (Err(_), Access::Create) => {
                state.change()?;
                let inode = state.inodes.len();
                state.inodes.push(Inode::default());
                state.name(NameChange::Set(path.to_owned(), inode));
                inode
            }
            (Err(error), _) => return Err(error),
        };
        Ok(Box::new(SimFile { disk: self.clone(), inode }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let state = self.lock_state();
        let inside = state.names.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.lock_state();
        Ok(path == Path::new("/") || state.names.contains_key(path) || state.folders.contains(path))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.change()?;
        state.folders.insert(path.to_owned());
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.change()?;
        state.inode(from)?;
        state.name(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.change()?;
        state.inode(path)?;
        state.name(NameChange::Unset(path.to_owned()));
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.change()?;
        let inside: Vec<PathBuf> = state.names.keys().filter(|name| name.starts_with(path)).cloned().collect();
        for name in inside {
            state.name(NameChange::Unset(name));
        }
        state.folders.retain(|folder| !folder.starts_with(path));
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.change()?;
        let state = &mut *state;
        let mut later = Vec::new();
        for change in state.unsynced_names.drain(..) {
            let (NameChange::Set(name, _) | NameChange::Unset(name) | NameChange::Rename(name, _)) = &change;
            if name.parent() == Some(path) {
                State::apply_name(&mut state.durable_names, change);
            } else {
                later.push(change);
            }
        }
        state.unsynced_names = later;
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        if !self.lock_state().locked.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimLock { disk: self.clone(), path: path.to_owned() })))
    }

    fn free_bytes(&self, _folder: &Path) -> io::Result<u64> {
        let state = self.lock_state();
        let max = state.bytes_max.unwrap_or(1 << 40);
        Ok(max.saturating_sub(state.used_bytes()) as u64)
    }
}

/// How much of a log segment, from its beginning, is known to have been synced by what stands behind it: whatever is damaged
/// there cannot be taken for a torn tail. `name` is the file's.
pub fn known_as_synced(name: &str, segment: &[u8]) -> usize {
    let generation = name.split('.').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    let found = segment::find_leftovers(segment, generation, segment::SEGMENT_HEADER_BYTES as u64);
    (found.synced as usize).min(segment.len())
}

/// A disk in memory, with one folder on the real one: sled goes past every disk but the machine's.
#[derive(Debug)]
pub struct Split {
    /// In memory.
    pub simulated: Disk,
    /// The machine's.
    pub real: Disk,
    /// The folder that lies on the machine's.
    pub state: PathBuf,
}

impl Split {
    fn of(&self, path: &Path) -> &dyn FileSystem {
        if path.starts_with(&self.state) { self.real.system.as_ref() } else { self.simulated.system.as_ref() }
    }
}

impl FileSystem for Split {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn RawFile>> {
        self.of(path).open(path, access)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.of(folder).list(folder)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.of(path).exists(path)
    }
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.of(path).create_folder(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.of(to).rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.of(path).remove_file(path)
    }
    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.of(path).remove_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.of(path).sync_folder(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.of(path).lock(path)
    }
    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        self.of(folder).free_bytes(folder)
    }
}
