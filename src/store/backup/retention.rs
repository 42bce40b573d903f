//! Which backups may go, and their removal.
//!
//! What is kept: the newest full backups that were found good, as many as are wanted; everything that is
//! not old enough; and everything that one of these needs. A backup goes manifest first, and after
//! those that need it, so that at no moment one is listed that cannot be restored.

use std::collections::BTreeSet;

use super::BackupError;
use super::check::Finding;
use super::manifest::{Kind, Manifest};
use super::plan::Catalogue;
use super::vault::{PARTS, Vault};

/// Parts without a manifest are taken for those of a backup that is being written, until they are so old.
pub const UNFINISHED_MS: u64 = 24 * 3_600_000;

/// How long backups are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Full backups, with all that goes on from them; at least one.
    pub full: usize,
    /// Nothing younger is removed, in milliseconds.
    pub ms: u64,
}

/// The backups that may go, those first that others need last.
#[must_use]
pub fn expired(catalogue: &Catalogue, good: impl Fn(&Manifest) -> bool, keep: Keep, now_ms: u64) -> Vec<&Manifest> {
    let fulls = catalogue.backups.iter().rev().filter(|manifest| manifest.kind == Kind::Full && good(manifest));
    let fulls: Vec<&Manifest> = fulls.take(keep.full.max(1)).collect();
    let Some(newest) = fulls.first() else { return Vec::new() };
    let roots: BTreeSet<&str> = fulls.iter().map(|manifest| manifest.id.as_str()).collect();
    // What came after the newest good one may still be found good.
    let young = |manifest: &Manifest| {
        manifest.ended_ms.saturating_add(keep.ms) > now_ms || manifest.end.next_index() > newest.end.next_index()
    };
    let mut kept = BTreeSet::new();
    for manifest in &catalogue.backups {
        let line = line(catalogue, manifest);
        if young(manifest) || line.iter().any(|ancestor| roots.contains(ancestor)) {
            kept.extend(line);
        }
    }
    catalogue.backups.iter().rev().filter(|manifest| !kept.contains(manifest.id.as_str())).collect()
}

/// A backup's name, and its parent's, and so on.
fn line<'a>(catalogue: &'a Catalogue, manifest: &'a Manifest) -> Vec<&'a str> {
    let mut line = vec![manifest.id.as_str()];
    let mut next = manifest.parent.as_deref();
    while let Some(id) = next
        && !line.contains(&id)
    {
        line.push(id);
        next = catalogue.find(id).and_then(|manifest| manifest.parent.as_deref());
    }
    line
}

/// Removes a backup.
///
/// # Errors
/// [`BackupError::Target`]; what is left then is no backup any more, and removed with the unfinished ones.
pub fn remove(vault: &dyn Vault, manifest: &Manifest) -> Result<(), BackupError> {
    vault.remove(&Manifest::object(&manifest.id))?;
    for part in &manifest.parts {
        vault.remove(&manifest.part_object(part))?;
    }
    Finding::remove(vault, &manifest.id)
}

/// Removes parts of backups that were never finished, or not removed to the end, and what is left of objects that
/// were not. Returns how many.
/// `listed` says whether there is a manifest of this name, of whatever cluster.
///
/// # Errors
/// [`BackupError::Target`].
pub fn remove_unfinished(vault: &dyn Vault, listed: impl Fn(&str) -> bool, now_ms: u64) -> Result<usize, BackupError> {
    let mut removed = 0;
    for object in vault.list(PARTS)? {
        let id = object.name.split('/').nth(1).unwrap_or_default();
        if !listed(id) && object.written_ms.saturating_add(UNFINISHED_MS) < now_ms {
            vault.remove(&object.name)?;
            removed += 1;
        }
    }
    let is_old = |name: &str| {
        let begun = name.split('/').nth(1).and_then(super::begun_ms);
        begun.is_some_and(|begun| begun.saturating_add(UNFINISHED_MS) < now_ms)
    };
    Ok(removed + vault.sweep(&is_old)?)
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{Mark, Place, sample};
    use super::super::testing::MemoryVault;
    use super::*;

    fn backup(id: &str, kind: Kind, parent: Option<&str>, day: u64) -> Manifest {
        let end = Mark { entry: Some(Place { term: 1, index: day }), sequence: day, time: day };
        let ended_ms = day * 24 * 3_600_000;
        Manifest { kind, parent: parent.map(ToOwned::to_owned), ended_ms, end, ..sample(id) }
    }

    fn catalogue() -> Catalogue {
        Catalogue::new(vec![
            backup("f1", Kind::Full, None, 1),
            backup("i1", Kind::Incremental, Some("f1"), 2),
            backup("f2", Kind::Full, None, 3),
            backup("i2", Kind::Incremental, Some("f2"), 4),
            backup("i3", Kind::Incremental, Some("i2"), 5),
            backup("f3", Kind::Full, None, 6),
        ])
    }

    fn gone(good: impl Fn(&Manifest) -> bool, full: usize, days: u64, today: u64) -> Vec<String> {
        let day = 24 * 3_600_000;
        let keep = Keep { full, ms: days * day };
        expired(&catalogue(), good, keep, today * day).iter().map(|manifest| manifest.id.clone()).collect()
    }

    #[test]
    fn what_is_wanted_and_what_that_needs_is_kept() {
        assert_eq!(gone(|_| true, 1, 0, 10), ["i3", "i2", "f2", "i1", "f1"], "children first");
        assert_eq!(gone(|_| true, 2, 0, 10), ["i1", "f1"]);
        assert_eq!(gone(|_| true, 1, 6, 10), ["i1", "f1"], "a young one keeps what it goes on from");
        assert_eq!(gone(|_| true, 3, 0, 10), [""; 0]);
        assert_eq!(gone(|manifest| manifest.id != "f3", 1, 0, 10), ["i1", "f1"], "one that is not good does not count");
        assert_eq!(gone(|_| false, 1, 0, 10), [""; 0], "without a good one nothing goes");
    }

    #[test]
    fn a_removal_that_ends_half_way_leaves_no_backup_and_is_finished_later() {
        for changes in 0..3 {
            let vault = MemoryVault::default();
            let manifest = sample("old");
            vault.put(&Manifest::object("old"), manifest.encode().into()).expect("written");
            vault.put(&manifest.part_object(&manifest.parts[0]), "x".into()).expect("written");
            vault.fail_after(Some(changes));
            assert!(remove(&vault, &manifest).is_err());
            vault.fail_after(None);
            let listed = vault.get(&Manifest::object("old")).expect("read").is_some();
            assert_eq!(listed, changes == 0);
            assert_eq!(vault.names().iter().any(|name| name.starts_with(PARTS)), changes < 2);
            let removed = remove_unfinished(&vault, |_| listed, 3 + UNFINISHED_MS).expect("removed");
            assert_eq!(removed, usize::from(changes == 1));
        }
        let vault = MemoryVault::default();
        vault.put("parts/new/log-000001", "x".into()).expect("written");
        assert_eq!(remove_unfinished(&vault, |_| false, UNFINISHED_MS).expect("looked"), 0, "it may be under way");
    }
}
