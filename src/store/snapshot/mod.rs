//! Snapshots: the whole state at one log position, in one plain file.
//!
//! Raft snapshots, backups and restores share the format (see [`mod@file`]). A snapshot does not contain
//! the journal: a node that installs one fetches the journal records it lacks besides.

pub mod file;
mod transfer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) use transfer::restore;
pub use transfer::{Inbox, Incoming, Outbox, ReceivedSnapshot};

use super::checkpoint::Checkpoint;
use super::identity::ClusterId;
use super::image::SharedPage;
use super::journal::JournalFlusher;
use super::persister::Link;
use super::{Disk, Position, StoreError};

/// Snapshot files that are kept.
const KEPT: usize = 2;

const SUFFIX: &str = "snapshot";
pub(super) const UNFINISHED: &str = "unfinished";
const DAMAGED: &str = "damaged";

/// A verified snapshot file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// Names the snapshot, the same for the same state at the same position.
    pub id: String,
    /// What it is a snapshot of.
    pub checkpoint: Checkpoint,
    /// The last entry it contains.
    pub position: Position,
    /// The length of the file, in bytes.
    pub bytes: u64,
    /// The file.
    pub path: PathBuf,
}

impl SnapshotMeta {
    fn new(checkpoint: Checkpoint, bytes: u64, path: PathBuf) -> Self {
        let position = checkpoint.position.unwrap_or_default();
        Self { id: format!("{position}-{}", checkpoint.digest), checkpoint, position, bytes, path }
    }
}

/// The snapshot files of a node. A cheap handle, for any thread.
#[derive(Debug, Clone)]
pub struct Snapshots {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    disk: Disk,
    folder: PathBuf,
    cluster: ClusterId,
    latest: Mutex<Option<SnapshotMeta>>,
}

impl Snapshots {
    /// The snapshots in `folder`, which is created when it is missing. What was not finished is
    /// removed; nothing is verified yet.
    pub(super) fn open(disk: &Disk, folder: &Path, cluster: ClusterId) -> Result<Self, StoreError> {
        disk.create_folder(folder)?;
        for name in disk.list(folder)? {
            if name.ends_with(UNFINISHED) || name.starts_with(transfer::INCOMING) {
                disk.remove_file(&folder.join(name))?;
            }
        }
        let shared = Shared { disk: disk.clone(), folder: folder.to_owned(), cluster, latest: Mutex::new(None) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The newest verified snapshot.
    #[must_use]
    pub fn latest(&self) -> Option<SnapshotMeta> {
        self.lock().clone()
    }

    /// Takes a file for the latest, which a test has written in the place of that.
    #[cfg(test)]
    pub(crate) fn replaced(&self, checkpoint: Checkpoint, bytes: u64) {
        let path = self.lock().as_ref().map(|meta| meta.path.clone()).expect("there is one");
        *self.lock() = Some(SnapshotMeta::new(checkpoint, bytes, path));
    }

    fn lock(&self) -> MutexGuard<'_, Option<SnapshotMeta>> {
        self.shared.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a snapshot to send it. It can be read to its end even when it is removed meanwhile.
    ///
    /// # Errors
    /// When it is gone, or cannot be read.
    pub fn send(&self, meta: &SnapshotMeta) -> Result<Outbox, StoreError> {
        Outbox::open(&self.shared.disk, meta)
    }

    /// Opens the newest verified snapshot, as [`Self::send`] does.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn send_latest(&self) -> Result<Option<(SnapshotMeta, Outbox)>, StoreError> {
        self.latest().map(|meta| self.send(&meta).map(|outbox| (meta, outbox))).transpose()
    }

    /// Begins to receive a snapshot; what was left of a transfer before is discarded.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn receive(&self, incoming: Incoming) -> Result<Inbox, StoreError> {
        Inbox::begin(&self.shared.disk, &self.shared.folder, self.shared.cluster, incoming)
    }

    /// The snapshot files, newest first, as their names say.
    pub(super) fn files(&self) -> Result<Vec<(Position, PathBuf)>, StoreError> {
        list(&self.shared.disk, &self.shared.folder)
    }

    /// Reads and verifies the newest snapshot that `fits`, and takes it for the latest. Damaged ones
    /// are renamed, so that they are not tried again.
    pub(super) fn newest_valid(
        &self,
        fits: impl Fn(&Checkpoint) -> bool,
    ) -> Result<Option<file::Contents>, StoreError> {
        for (_, path) in self.files()? {
            match file::read(&self.shared.disk, &path) {
                Ok(contents) if contents.header.cluster != self.shared.cluster => {
                    let reason = format!("it is of cluster {:032x}", contents.header.cluster.0);
                    return Err(StoreError::corrupt(&path, 0, reason));
                }
                Ok(contents) if fits(&contents.header.checkpoint) => {
                    let meta = SnapshotMeta::new(contents.header.checkpoint.clone(), contents.bytes, path);
                    *self.lock() = Some(meta);
                    return Ok(Some(contents));
                }
                Ok(_) => {}
                Err(error @ StoreError::Corrupt { .. }) => {
                    tracing::error!(%error, "a snapshot is damaged and not used");
                    self.shared.disk.rename(&path, &path.with_extension(DAMAGED))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Gives a whole and verified file its name, and makes it the latest if it is.
    fn adopt(&self, from: &Path, checkpoint: Checkpoint, bytes: u64) -> Result<SnapshotMeta, StoreError> {
        let path = self.shared.folder.join(file_name(checkpoint.position.unwrap_or_default()));
        self.shared.disk.rename(from, &path)?;
        let meta = SnapshotMeta::new(checkpoint, bytes, path);
        let mut latest = self.lock();
        if latest.as_ref().is_none_or(|latest| latest.position <= meta.position) {
            *latest = Some(meta.clone());
        }
        drop(latest);
        for (_, old) in self.files()?.into_iter().skip(KEPT) {
            self.shared.disk.remove_file(&old)?;
        }
        Ok(meta)
    }
}

pub(super) fn file_name(position: Position) -> String {
    format!("{:020}-{:020}.{SUFFIX}", position.index, position.term)
}

/// The snapshot files in a folder, newest first, as their names say.
pub(super) fn list(disk: &Disk, folder: &Path) -> Result<Vec<(Position, PathBuf)>, StoreError> {
    let parse = |name: &str| {
        let (index, term) = name.strip_suffix(SUFFIX)?.strip_suffix('.')?.split_once('-')?;
        Some(Position {
            term: crate::core::types::Term(term.parse().ok()?),
            index: crate::core::types::LogIndex(index.parse().ok()?),
        })
    };
    let names = disk.list(folder)?;
    let mut found: Vec<_> =
        names.iter().filter_map(|name| parse(name).map(|position| (position, folder.join(name)))).collect();
    found.sort_by_key(|(position, _)| std::cmp::Reverse(position.index));
    Ok(found)
}

/// Writes every whole snapshot in a folder anew as one of another cluster; damaged ones are left.
///
/// # Errors
/// A fault of the disk.
pub fn rename_cluster(disk: &Disk, folder: &Path, cluster: ClusterId) -> Result<(), StoreError> {
    for (_, path) in list(disk, folder)? {
        let contents = match file::read(disk, &path) {
            Ok(contents) if contents.header.cluster == cluster => continue,
            Ok(contents) => contents,
            Err(StoreError::Corrupt { .. }) => continue,
            Err(error) => return Err(error),
        };
        let unfinished = path.with_extension(UNFINISHED);
        file::write(disk, &unfinished, cluster, &contents.header.checkpoint, &contents.image.share_all())?;
        file::check(disk, &unfinished)?;
        disk.rename(&unfinished, &path)?;
    }
    Ok(())
}

/// The membership in the newest whole snapshot of a folder, in the bytes it was given in.
///
/// # Errors
/// A fault of the disk.
pub fn newest_membership(disk: &Disk, folder: &Path) -> Result<Option<bytes::Bytes>, StoreError> {
    for (_, path) in list(disk, folder)? {
        match file::read(disk, &path) {
            Ok(contents) => return Ok(contents.header.checkpoint.membership.map(|(_, bytes)| bytes)),
            Err(StoreError::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// A state that is to be written as a snapshot.
#[derive(Debug)]
pub struct SnapshotJob {
    pub(super) snapshots: Snapshots,
    pub(super) pages: Vec<SharedPage>,
    pub(super) checkpoint: Checkpoint,
    pub(super) journal: JournalFlusher,
    pub(super) link: Arc<Link>,
}

impl SnapshotJob {
    /// Writes the file, syncs it, reads it back and verifies it, and names it. Removes all snapshots
    /// but the newest two. Takes as long as the state is large.
    ///
    /// # Errors
    /// When the disk or the journal fails, or the file does not read back. The node must stop.
    pub fn run(self) -> Result<SnapshotMeta, StoreError> {
        let Self { snapshots, pages, checkpoint, journal, link } = self;
        // The log may be purged up to here once this returns: neither the journal nor the stored
        // state must need it any more.
        journal.sync(checkpoint.sequence)?;
        let Shared { disk, folder, cluster, .. } = snapshots.shared.as_ref();
        let name = file_name(checkpoint.position.unwrap_or_default());
        let unfinished = folder.join(name).with_extension(UNFINISHED);
        let bytes = file::write(disk, &unfinished, *cluster, &checkpoint, &pages)?;
        drop(pages);
        let (header, length) = file::check(disk, &unfinished)?;
        if header.checkpoint != checkpoint || length != bytes {
            return Err(StoreError::corrupt(&unfinished, 0, "other content reads back than was written"));
        }
        link.wait_for_state(checkpoint.position)?;
        snapshots.adopt(&unfinished, checkpoint, bytes)
    }
}
