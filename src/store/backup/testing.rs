//! A vault in memory, for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::BackupError;
use super::vault::{Listed, Vault};

#[derive(Debug, Default)]
struct Objects {
    writes: u64,
    by_name: BTreeMap<String, (u64, Bytes)>,
}

/// Objects in memory. The target's clock counts the writes.
#[derive(Debug, Default)]
pub struct MemoryVault {
    objects: Mutex<Objects>,
    /// How many more writes and removals succeed; all of them when `None`.
    pub changes_left: Mutex<Option<u64>>,
}

impl MemoryVault {
    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, what: &'static str, name: &str) -> Result<(), BackupError> {
        let mut left = self.changes_left.lock().unwrap_or_else(PoisonError::into_inner);
        match left.as_mut() {
            Some(0) => {
                let (name, reason) = (name.to_owned(), "as a test wants".to_owned());
                return Err(BackupError::Target { what, name, reason });
            }
            Some(count) => *count -= 1,
            None => {}
        }
        Ok(())
    }

    /// From now on so many changes succeed, and then none.
    pub fn fail_after(&self, changes: Option<u64>) {
        *self.changes_left.lock().unwrap_or_else(PoisonError::into_inner) = changes;
    }

    /// The names of all objects.
    pub fn names(&self) -> Vec<String> {
        self.lock().by_name.keys().cloned().collect()
    }
}

impl Vault for MemoryVault {
    fn put(&self, name: &str, bytes: Bytes) -> Result<(), BackupError> {
        self.change("write", name)?;
        let mut objects = self.lock();
        objects.writes += 1;
        let now = objects.writes;
        objects.by_name.insert(name.to_owned(), (now, bytes));
        Ok(())
    }

    fn get(&self, name: &str) -> Result<Option<Bytes>, BackupError> {
        Ok(self.lock().by_name.get(name).map(|(_, bytes)| bytes.clone()))
    }

    fn list(&self, folder: &str) -> Result<Vec<Listed>, BackupError> {
        let objects = self.lock();
        let inside = objects
            .by_name
            .iter()
            .filter(|(name, _)| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
        let listed = |(name, (written, bytes)): (&String, &(u64, Bytes))| Listed {
            name: name.clone(),
            bytes: bytes.len() as u64,
            written_ms: *written,
        };
        Ok(inside.map(listed).collect())
    }

    fn remove(&self, name: &str) -> Result<(), BackupError> {
        self.change("remove", name)?;
        self.lock().by_name.remove(name);
        Ok(())
    }
}
