//! A host's disk: the store's disk in memory, and around it the host's life and the disk's moods.
//!
//! sled opens real files, so its folder is a real one, in memory (`/dev/shm`). It is never the only copy
//! of anything, so a power cut may do to it what it likes: see [`HostDisk::power_cut`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use counterfoil::store::Disk;
use counterfoil::store::file::{Access, FileSystem, RawFile};
use counterfoil::store::testing::{Random, SimDisk, Split, known_as_synced};

use crate::lockstep;

/// How a disk behaves now. Times are in microseconds.
#[derive(Debug)]
struct Mood {
    random: Mutex<Random>,
    /// A sync takes up to twice this long.
    sync_us: AtomicU64,
    /// The next change or sync on a thread of the node fails with this error number; 0 is none.
    fails_with: AtomicU64,
    /// Errors that were returned.
    failed: AtomicU64,
}

/// The usual time of a sync, in microseconds.
pub const SYNC_US: u64 = 500;

impl Mood {
    fn random(&self, bound: u64) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).below(bound)
    }
}

/// The disk of one host over all its lives.
#[derive(Debug, Clone)]
pub struct HostDisk {
    memory: SimDisk,
    split: Arc<Split>,
    mood: Arc<Mood>,
    /// An older copy of sled's folder, and whether there is one.
    copy: PathBuf,
}

/// The disk as one life of the host sees it. After that life nothing of it reaches the disk.
#[derive(Debug)]
struct Life {
    disk: HostDisk,
    alive: Arc<AtomicBool>,
}

impl HostDisk {
    /// An empty disk. `data` is where the node's data folder lies.
    pub fn new(data: &Path, seed: u64) -> io::Result<Self> {
        std::fs::create_dir_all(data)?;
        let memory = SimDisk::default();
        let state = data.join("state");
        let split = Arc::new(Split { simulated: memory.disk(), real: Disk::real(), state });
        let mood = Mood {
            random: Mutex::new(Random(seed)),
            sync_us: AtomicU64::new(SYNC_US),
            fails_with: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        };
        Ok(Self { memory, split, mood: Arc::new(mood), copy: data.with_extension("copy") })
    }

    /// The disk for a life that lasts as long as `alive` says so.
    pub fn live(&self, alive: Arc<AtomicBool>) -> Disk {
        Disk::new(Arc::new(Life { disk: self.clone(), alive }))
    }

    /// What lies in a folder of the node's data, for people.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let data = self.split.state.parent().unwrap_or(Path::new("/"));
        let mut names = self.split.list(&data.join(folder)).unwrap_or_default();
        names.sort_unstable();
        names
    }

    /// From now on a sync takes up to twice this long.
    pub fn set_sync_us(&self, sync_us: u64) {
        self.mood.sync_us.store(sync_us, Ordering::Relaxed);
    }

    /// The next change or sync fails with this error number.
    pub fn fail_next(&self, error: i32) {
        self.mood.fails_with.store(error.unsigned_abs().into(), Ordering::Relaxed);
    }

    /// Nothing fails any more. Returns how many operations failed so far.
    pub fn heal(&self) -> u64 {
        self.mood.fails_with.store(0, Ordering::Relaxed);
        self.set_sync_us(SYNC_US);
        self.mood.failed.load(Ordering::Relaxed)
    }

    /// The power goes while no node runs on this disk. Of what was not synced any part is kept; sled's
    /// folder stays, falls back to an older copy, is damaged, or is gone.
    ///
    /// # Errors
    /// When the real folder cannot be changed.
    pub fn power_cut(&self) -> io::Result<&'static str> {
        let mut random = Random(self.mood.random(u64::MAX));
        self.memory.power_cut(&mut random);
        let state = &self.split.state;
        match random.below(6) {
            0 if self.copy.exists() => {
                remove(state)?;
                copy(&self.copy, state)?;
                Ok("older")
            }
            1 => {
                damage(state, &mut random)?;
                Ok("damaged")
            }
            2 => {
                remove(state)?;
                Ok("gone")
            }
            _ => Ok("kept"),
        }
    }

    /// Files of the log or the journal are damaged or gone, as if a bad disk had held them. Only such bytes are damaged as
    /// are known to have been synced: the end of a log can be torn by a crash, and what is damaged there looks
    /// like that. No node runs on it. Returns what was done.
    ///
    /// # Errors
    /// When the real folder cannot be removed.
    pub fn rot(&self, random: &mut Random) -> io::Result<&'static str> {
        let data = self.split.state.parent().unwrap_or(Path::new("/"));
        let files = |folder: &str| self.memory.files(&data.join(folder));
        let lose_all = |folder: &str| files(folder).iter().for_each(|file| self.memory.lose(file));
        let mut harm = |file: &Path, upto: usize, cut: bool| {
            let mut bytes = self.memory.content(file).unwrap_or_default();
            if upto == 0 {
                return false;
            }
            let at = random.below(upto as u64) as usize;
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << random.below(8);
            }
            self.memory.put(file, &bytes);
            true
        };
        let ends = |ending: &'static str| move |file: &&PathBuf| file.extension().is_some_and(|found| found == ending);
        let synced = |file: &PathBuf| {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            known_as_synced(&name, &self.memory.content(file).unwrap_or_default())
        };
        let (kind, nth) = (self.mood.random(4), self.mood.random(1 << 32) as usize);
        let segments: Vec<PathBuf> = files("log").iter().filter(ends("log")).cloned().collect();
        let journal: Vec<PathBuf> = files("journal").iter().filter(ends("journal")).cloned().collect();
        if kind == 0 && !segments.is_empty() {
            let file = &segments[nth % segments.len()];
            if harm(file, synced(file), false) {
                return Ok("a bit of the log");
            }
        }
        if kind == 1 && !journal.is_empty() {
            let file = &journal[nth % journal.len()];
            let len = self.memory.content(file).unwrap_or_default().len();
            if harm(file, len, true) {
                return Ok("the end of the journal");
            }
        }
        if kind == 2 {
            ["log", "journal", "snapshots", "index"].into_iter().for_each(lose_all);
            remove(&self.split.state)?;
            return Ok("everything but the vote");
        }
        lose_all("log");
        Ok("the log")
    }

    /// Everything is gone: another disk is in its place. No node runs on it.
    ///
    /// # Errors
    /// When the real folder cannot be removed.
    pub fn lose(&self) -> io::Result<()> {
        self.memory.wipe();
        remove(&self.split.state)?;
        remove(&self.copy)
    }

    /// Keeps a copy of sled's folder, for a power cut to come. No node runs on this disk.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn keep_copy(&self) -> io::Result<()> {
        remove(&self.copy)?;
        if self.split.state.exists() { copy(&self.split.state, &self.copy) } else { Ok(()) }
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    if folder.exists() { std::fs::remove_dir_all(folder) } else { Ok(()) }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Every file below a folder, in order of their names.
fn files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let mut entries = std::fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_type()?.is_dir() { files(&entry.path(), found)? } else { found.push(entry.path()) }
    }
    Ok(())
}

/// Cuts one of sled's files, or flips a bit in it.
fn damage(folder: &Path, random: &mut Random) -> io::Result<()> {
    let mut found = Vec::new();
    files(folder, &mut found)?;
    if found.is_empty() {
        return Ok(());
    }
    let path = &found[random.below(found.len() as u64) as usize];
    let mut bytes = std::fs::read(path)?;
    if bytes.is_empty() {
        return Ok(());
    }
    let at = random.below(bytes.len() as u64) as usize;
    if random.below(2) == 0 {
        bytes.truncate(at);
    } else {
        bytes[at] ^= 1 << random.below(8);
    }
    std::fs::write(path, bytes)
}

impl Life {
    fn within(&self) -> io::Result<()> {
        if self.alive.load(Ordering::Relaxed) { Ok(()) } else { Err(io::Error::other("the power is off")) }
    }

    /// Before a change.
    fn change(&self) -> io::Result<()> {
        self.within()?;
        let error = self.disk.mood.fails_with.swap(0, Ordering::Relaxed);
        if error == 0 {
            return Ok(());
        }
        self.disk.mood.failed.fetch_add(1, Ordering::Relaxed);
        Err(io::Error::from_raw_os_error(error as i32))
    }

    /// Before a sync, which takes its time: meanwhile the others go on, and the power may go.
    fn sync(&self) -> io::Result<()> {
        let longest = 2 * self.disk.mood.sync_us.load(Ordering::Relaxed);
        lockstep::sleep(Duration::from_micros(1 + self.disk.mood.random(longest)));
        self.change()
    }
}

/// A file that reaches the disk only while the host lives.
#[derive(Debug)]
struct LiveFile {
    life: Arc<Life>,
    file: Box<dyn RawFile>,
}

impl RawFile for LiveFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.life.within()?;
        self.file.read_at(buf, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.life.change()?;
        self.file.write_all_at(bytes, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.life.sync()?;
        self.file.sync_data()
    }
    fn len(&self) -> io::Result<u64> {
        self.life.within()?;
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.life.change()?;
        self.file.set_len(len)
    }
}

impl FileSystem for Life {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn RawFile>> {
        if access == Access::Create {
            self.change()?
        } else {
            self.within()?
        }
        let file = self.disk.split.open(path, access)?;
        let life = Self { disk: self.disk.clone(), alive: self.alive.clone() };
        Ok(Box::new(LiveFile { life: Arc::new(life), file }))
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.within()?;
        self.disk.split.list(folder)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.within()?;
        self.disk.split.exists(path)
    }
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        self.disk.split.create_folder(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        self.disk.split.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        self.disk.split.remove_file(path)
    }
    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        self.disk.split.remove_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.sync()?;
        self.disk.split.sync_folder(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.within()?;
        self.disk.split.lock(path)
    }
    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        self.within()?;
        self.disk.split.free_bytes(folder)
    }
}
