//! The files of the index: written, merged and opened.
//!
//! Runs follow each other without gaps from the first event on. Eight of one level are merged into
//! one of the next, a few entries at a time, so that the persister is never kept from the state for
//! long. Which runs count is written with the state; a file that is not named there is removed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::key::Entry;
use super::run::{Run, RunName};
use super::run_writer::RunWriter;
use super::scan::Scan;
use super::{IndexWriter, Memtable, Shared, read, write};
use crate::core::types::Sequence;
use crate::store::{Disk, StoreError};

/// Runs of one level that are merged into one of the next.
const MERGE_RUNS: usize = 8;

/// Writes the index's files, on the persister thread.
#[derive(Debug)]
pub struct IndexFiles {
    disk: Disk,
    folder: PathBuf,
    shared: Shared,
    merge: Option<Merge>,
    merged: Vec<RunName>,
}

/// Runs on their way into one.
#[derive(Debug)]
struct Merge {
    inputs: Vec<Scan>,
    writer: RunWriter,
}

impl IndexFiles {
    /// The files of the index that `writer` adds to, in `folder`.
    #[must_use]
    pub fn new(disk: &Disk, folder: &Path, writer: &IndexWriter) -> Self {
        let shared = Arc::clone(&writer.shared);
        Self { disk: disk.clone(), folder: folder.to_owned(), shared, merge: None, merged: Vec::new() }
    }

    /// The runs that count now, oldest first.
    #[must_use]
    pub fn names(&self) -> Vec<RunName> {
        read(&self.shared).runs.iter().map(|run| run.name()).collect()
    }

    /// Writes a closed table as a run, which takes its place. Tables come in order.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_table(&mut self, table: &Memtable) -> Result<(), StoreError> {
        let name = RunName { first: table.first(), last: table.last(), level: 0 };
        let mut writer = RunWriter::create(&self.disk, &self.folder, name)?;
        table.for_each_sorted(|entry| writer.push(entry))?;
        let run = Arc::new(writer.finish()?);
        let mut parts = write(&self.shared);
        let mut runs = parts.runs.as_ref().clone();
        runs.push(run);
        parts.set_runs(runs);
        parts.frozen.retain(|frozen| frozen.last() > table.last());
        Ok(())
    }

    /// Merges up to `entries_max` entries further. Returns whether there is more to merge.
    ///
    /// # Errors
    /// When a file cannot be read or written, or is damaged.
    pub fn merge_step(&mut self, entries_max: usize) -> Result<bool, StoreError> {
        if self.merge.is_none() {
            let runs = Arc::clone(&read(&self.shared).runs);
            let Some(inputs) = due(&runs) else { return Ok(false) };
            self.merge = Some(Merge::begin(&self.disk, &self.folder, inputs)?);
        }
        let Some(merge) = &mut self.merge else { return Ok(false) };
        if merge.step(entries_max)? {
            return Ok(true);
        }
        if let Some(merge) = self.merge.take() {
            self.replace(merge)?;
        }
        Ok(due(&read(&self.shared).runs).is_some())
    }

    fn replace(&mut self, merge: Merge) -> Result<(), StoreError> {
        let inputs: Vec<RunName> = merge.inputs.iter().map(|input| input.run().name()).collect();
        let merged = Arc::new(merge.writer.finish()?);
        let mut parts = write(&self.shared);
        let mut runs = parts.runs.as_ref().clone();
        let place = runs.iter().position(|run| run.name() == inputs[0]).unwrap_or(runs.len());
        runs.splice(place..(place + inputs.len()).min(runs.len()), [merged]);
        parts.set_runs(runs);
        drop(parts);
        self.merged.extend(inputs);
        Ok(())
    }

    /// Removes the files that were merged into others: once no state on disk names them any more.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn remove_merged(&mut self) -> Result<(), StoreError> {
        for name in std::mem::take(&mut self.merged) {
            self.disk.remove_file(&self.folder.join(name.file_name()))?;
        }
        Ok(())
    }
}

/// The oldest runs of one level that are enough for a merge.
fn due(runs: &[Arc<Run>]) -> Option<&[Arc<Run>]> {
    runs.chunk_by(|a, b| a.name().level == b.name().level)
        .find(|same| same.len() >= MERGE_RUNS)
        .map(|same| &same[..MERGE_RUNS])
}

impl Merge {
    fn begin(disk: &Disk, folder: &Path, runs: &[Arc<Run>]) -> Result<Self, StoreError> {
        let (first, last) = (runs[0].name(), runs[runs.len() - 1].name());
        let name = RunName { first: first.first, last: last.last, level: first.level + 1 };
        let writer = RunWriter::create(disk, folder, name)?;
        let inputs = runs.iter().map(|run| Scan::start(Arc::clone(run))).collect::<Result<_, _>>()?;
        Ok(Self { inputs, writer })
    }

    /// The input that has the least entry, and the least of all the others.
    fn least(&self) -> Option<(usize, Option<Entry>)> {
        let mut least: Option<(usize, &Entry)> = None;
        let mut second: Option<&Entry> = None;
        for (place, input) in self.inputs.iter().enumerate() {
            let Some(next) = input.next() else { continue };
            if least.is_none_or(|(_, least)| next < least) {
                second = least.map(|(_, least)| least);
                least = Some((place, next));
            } else if second.is_none_or(|second| next < second) {
                second = Some(next);
            }
        }
        least.map(|(place, _)| (place, second.copied()))
    }

    /// Returns whether entries are left.
    fn step(&mut self, entries_max: usize) -> Result<bool, StoreError> {
        let mut left = entries_max;
        while left > 0 {
            let Some((place, bound)) = self.least() else { return Ok(false) };
            let input = &mut self.inputs[place];
            // A history's entries of one run follow each other, and so do ids of one time.
            while let Some(entry) = input.next().filter(|entry| left > 0 && bound.is_none_or(|bound| **entry < bound)) {
                self.writer.push(entry)?;
                input.advance()?;
                left -= 1;
            }
        }
        Ok(true)
    }
}

/// Opens the named runs, and removes every other file of the index.
///
/// # Errors
/// When a run is missing or damaged, or they do not follow each other: the index has to be rebuilt.
pub fn open_runs(disk: &Disk, folder: &Path, names: &[RunName]) -> Result<Vec<Run>, StoreError> {
    let mut runs = Vec::with_capacity(names.len());
    let mut after = Sequence(0);
    for name in names {
        if name.first != after.plus(1) {
            let reason = format!("index run {} does not follow {after}", name.file_name());
            return Err(StoreError::corrupt(folder, 0, reason));
        }
        runs.push(Run::open(disk, folder, *name)?);
        after = name.last;
    }
    remove_others(disk, folder, names)?;
    Ok(runs)
}

fn remove_others(disk: &Disk, folder: &Path, names: &[RunName]) -> Result<(), StoreError> {
    let keep: Vec<String> = names.iter().map(RunName::file_name).collect();
    for file in disk.list(folder)? {
        if !keep.contains(&file) {
            disk.remove_file(&folder.join(file))?;
        }
    }
    Ok(())
}

/// The runs in the folder that can still be used when the state does not say which: undamaged,
/// without gaps from the first event on, and not beyond `upto`. All others are removed.
///
/// # Errors
/// When the folder cannot be read.
pub fn salvage(disk: &Disk, folder: &Path, upto: Sequence) -> Result<Vec<Run>, StoreError> {
    let files = disk.list(folder)?;
    let names: Vec<RunName> = files.iter().filter_map(|file| RunName::from_file_name(file)).collect();
    let mut runs: Vec<Run> = Vec::new();
    loop {
        let next = runs.last().map_or(Sequence(1), |run| run.name().last.plus(1));
        let fitting = names.iter().filter(|name| name.first == next && name.last <= upto);
        let mut fitting: Vec<RunName> = fitting.copied().collect();
        fitting.sort_by_key(|name| std::cmp::Reverse(name.last));
        let mut whole = None;
        for name in fitting {
            match Run::open(disk, folder, name).and_then(|run| run.verify().map(|()| run)) {
                Ok(run) => {
                    whole = Some(run);
                    break;
                }
                Err(error) if error.is_damage() => tracing::warn!(%error, "an index run is not used"),
                Err(error) => return Err(error),
            }
        }
        let Some(run) = whole else { break };
        runs.push(run);
    }
    let names: Vec<RunName> = runs.iter().map(Run::name).collect();
    remove_others(disk, folder, &names)?;
    Ok(runs)
}
