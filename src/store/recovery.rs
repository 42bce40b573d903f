//! From what lies in a data folder to a state that can be served.
//!
//! The state database, checked, is where a start begins. If it fails any check, or is older than
//! the newest snapshot (sled can roll back silently), it is set aside and the snapshot takes its place;
//! without one, nothing does, when the log still begins at its beginning. Then the journal is cut to the
//! state's sequence and the index brought to it. The log brings all three up to date.

use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::engine::EngineOptions;
use super::file::FolderLock;
use super::image::Image;
use super::index::{IndexFiles, IndexWriter, Run, RunName, open_runs, salvage};
use super::journal::{Journal, JournalOptions};
use super::snapshot::{Snapshots, restore};
use super::state::{self, StateStore};
use super::{Position, StoreError};
use crate::core::Ledger;
use crate::core::types::Sequence;

/// Records of the journal read at once while the index is rebuilt.
const REBUILD_RECORDS: usize = 4_096;

/// Bytes of the journal read at once while the index is rebuilt.
const REBUILD_BYTES: usize = 4 << 20;

/// The parts of a data folder that belong to the engine.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The state databases.
    pub state: PathBuf,
    /// The journal.
    pub journal: PathBuf,
    /// The index.
    pub index: PathBuf,
    /// The snapshots.
    pub snapshots: PathBuf,
}

impl Folders {
    /// Those of the data folder `dir`.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self {
            state: dir.join("state"),
            journal: dir.join("journal"),
            index: dir.join("index"),
            snapshots: dir.join("snapshots"),
        }
    }
}

/// Everything at one position.
#[derive(Debug)]
pub(super) struct Recovered {
    pub ledger: Ledger,
    pub image: Image,
    pub checkpoint: Checkpoint,
    /// `None` when the database has to be written anew from the image.
    pub store: Option<StateStore>,
    pub journal: Journal,
    pub index: IndexWriter,
    pub files: IndexFiles,
    pub snapshots: Snapshots,
    /// Held as long as the database may be written.
    pub lock: FolderLock,
}

/// A state to start from.
struct Base {
    /// Built when the base is chosen, unless it was needed to check it.
    ledger: Option<Ledger>,
    image: Image,
    checkpoint: Checkpoint,
    /// The database and the index runs it names, when it came from there.
    stored: Option<(StateStore, Vec<RunName>)>,
}

/// Brings everything in the folder to one position.
pub(super) fn recover(folders: &Folders, options: &EngineOptions) -> Result<Recovered, StoreError> {
    let disk = &options.disk;
    disk.create_folder(&folders.state)?;
    disk.create_folder(&folders.index)?;
    // Before anything is judged: a database in use by another process is not a damaged one.
    let lock = disk.lock_folder(&folders.state)?;
    let snapshots = Snapshots::open(disk, &folders.snapshots, options.cluster)?;
    let (base, journal) = choose(folders, options, &snapshots)?;
    let Base { ledger, image, checkpoint, stored } = base;
    let ledger = ledger.map_or_else(|| restore(&image, &folders.snapshots), Ok)?;
    if ledger.sequence() != checkpoint.sequence {
        let reason = format!("the ledger is at {}, its checkpoint at {}", ledger.sequence(), checkpoint.sequence);
        return Err(StoreError::corrupt(&folders.state, 0, reason));
    }
    let (store, names) = stored.map_or((None, None), |(store, names)| (Some(store), Some(names)));
    let (index, files) = bring_index(folders, options, names.as_deref(), &journal, checkpoint.sequence)?;
    Ok(Recovered { ledger, image, checkpoint, store, journal, index, files, snapshots, lock })
}

/// The newest state that is whole and that the journal reaches, with the journal cut to it.
fn choose(folders: &Folders, options: &EngineOptions, snapshots: &Snapshots) -> Result<(Base, Journal), StoreError> {
    let state = from_state(folders, options)?;
    let snapshot = from_snapshot(snapshots, |_| true)?;
    let newer = |a: &Base, b: &Base| a.checkpoint.position > b.checkpoint.position;
    let (first, second) = match (state, snapshot) {
        (Some(state), Some(snapshot)) if newer(&snapshot, &state) => (Some(snapshot), Some(state)),
        // An older snapshot is read again only when it is needed.
        (Some(state), _) => (Some(state), None),
        (None, snapshot) => (snapshot, None),
    };
    let mut shortage = None;
    for base in [first, second].into_iter().flatten() {
        if !within_log(base.checkpoint.position, options.log_purged) {
            continue;
        }
        match open_journal(folders, options, base.checkpoint.sequence) {
            Ok(journal) => {
                if base.stored.is_none() {
                    abandon_state(folders, options)?;
                }
                return Ok((base, journal));
            }
            Err(error @ (StoreError::JournalShort { .. } | StoreError::Corrupt { .. })) => {
                tracing::error!(%error, sequence = %base.checkpoint.sequence, "the journal does not reach the state");
                shortage = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    abandon_state(folders, options)?;
    start_older(folders, options, snapshots, shortage)
}

/// From a snapshot that the journal still reaches, or from the beginning of the log.
fn start_older(
    folders: &Folders,
    options: &EngineOptions,
    snapshots: &Snapshots,
    shortage: Option<StoreError>,
) -> Result<(Base, Journal), StoreError> {
    let mut below = Sequence(u64::MAX);
    while shortage.is_some() {
        let fits = |checkpoint: &Checkpoint| {
            checkpoint.sequence < below && within_log(checkpoint.position, options.log_purged)
        };
        let Some(base) = from_snapshot(snapshots, fits)? else { break };
        below = base.checkpoint.sequence;
        match open_journal(folders, options, base.checkpoint.sequence) {
            Ok(journal) => return Ok((base, journal)),
            Err(StoreError::JournalShort { .. } | StoreError::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if options.log_purged.is_some() {
        let reason = shortage.map_or_else(|| "no state and no snapshot is whole".to_owned(), |error| error.to_string());
        return Err(StoreError::Unrecoverable { path: folders.state.clone(), reason });
    }
    let base = Base { ledger: None, image: Image::new(), checkpoint: Checkpoint::default(), stored: None };
    Ok((base, open_journal(folders, options, Sequence(0))?))
}

/// Whether the log still has every entry behind the position.
fn within_log(position: Option<Position>, purged: Option<Position>) -> bool {
    position.map(|position| position.index) >= purged.map(|purged| purged.index)
}

fn from_state(folders: &Folders, options: &EngineOptions) -> Result<Option<Base>, StoreError> {
    let opened = StateStore::open(&options.disk, &folders.state).and_then(|opened| {
        let Some(opened) = opened else { return Ok(None) };
        let ledger = restore(&opened.image, &folders.state)?;
        let state::Opened { store, image, checkpoint, runs } = opened;
        Ok(Some(Base { ledger: Some(ledger), image, checkpoint, stored: Some((store, runs)) }))
    });
    match opened {
        Ok(base) => Ok(base),
        Err(error) if !error.is_damage() => Err(error),
        Err(error) => {
            let aside = state::set_aside(&options.disk, &folders.state)?;
            let aside = aside.map_or_else(String::new, |path| path.display().to_string());
            tracing::error!(%error, aside, "the state is damaged; it is set aside and rebuilt");
            Ok(None)
        }
    }
}

fn from_snapshot(snapshots: &Snapshots, fits: impl Fn(&Checkpoint) -> bool) -> Result<Option<Base>, StoreError> {
    let Some(contents) = snapshots.newest_valid(fits)? else { return Ok(None) };
    Ok(Some(Base { ledger: None, image: contents.image, checkpoint: contents.header.checkpoint, stored: None }))
}

/// Sets a database aside that is whole but not the one to go on from.
fn abandon_state(folders: &Folders, options: &EngineOptions) -> Result<(), StoreError> {
    if let Some(aside) = state::set_aside(&options.disk, &folders.state)? {
        tracing::error!(aside = %aside.display(), "the state is not the newest one; it is set aside and rebuilt");
    }
    Ok(())
}

fn open_journal(folders: &Folders, options: &EngineOptions, keep: Sequence) -> Result<Journal, StoreError> {
    let journal = JournalOptions { cache_bytes: options.journal_cache_bytes, disk: options.disk.clone() };
    Journal::open(&folders.journal, journal, keep)
}

/// The index up to `sequence`: the runs on disk, and in memory what the journal has behind them.
fn bring_index(
    folders: &Folders,
    options: &EngineOptions,
    names: Option<&[RunName]>,
    journal: &Journal,
    sequence: Sequence,
) -> Result<(IndexWriter, IndexFiles), StoreError> {
    let disk = &options.disk;
    let fits = |names: &&[RunName]| names.last().is_none_or(|last| last.last <= sequence);
    let runs: Vec<Run> = match names.filter(fits).map(|names| open_runs(disk, &folders.index, names)) {
        Some(Ok(runs)) => runs,
        Some(Err(error)) if !error.is_damage() => return Err(error),
        Some(Err(error)) => {
            tracing::error!(%error, "the index is damaged; it is rebuilt from the journal");
            salvage(disk, &folders.index, sequence)?
        }
        None => salvage(disk, &folders.index, sequence)?,
    };
    let mut index = IndexWriter::new(runs, options.index_table_entries);
    let mut files = IndexFiles::new(disk, &folders.index, &index);
    let reader = journal.reader();
    while index.last() < sequence {
        let records = reader.read(index.last().plus(1), REBUILD_RECORDS, REBUILD_BYTES)?;
        if records.is_empty() {
            return Err(StoreError::JournalShort { path: folders.journal.clone(), have: index.last(), need: sequence });
        }
        for record in &records {
            if let Some(full) = index.note_record(record.view()) {
                files.write_table(&full)?;
            }
        }
    }
    Ok((index, files))
}
