//! Reading which backups a vault has.

use super::BackupError;
use super::manifest::Manifest;
use super::plan::Catalogue;
use super::vault::{MANIFESTS, Vault};
use crate::store::identity::ClusterId;

/// The complete backups in a vault, of one cluster or of all, and what is wrong with manifests that are
/// none, or are missing although others go on from them. Those that are `known` are not read again: a manifest never changes.
///
/// # Errors
/// [`BackupError::Target`]; [`BackupError::Key`] when nothing at all can be opened.
pub fn read_catalogue(
    vault: &dyn Vault,
    cluster: Option<ClusterId>,
    known: &Catalogue,
) -> Result<(Catalogue, Vec<BackupError>), BackupError> {
    let (mut backups, mut problems) = (Vec::new(), Vec::new());
    let mut read = 0;
    let all = vault.list(MANIFESTS)?;
    for listed in &all {
        let id = listed.name.strip_prefix(MANIFESTS).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
        let manifest = match known.find(id) {
            Some(manifest) => Ok(manifest.clone()),
            None => match vault.get(&listed.name) {
                // It was removed since it was listed.
                Ok(None) => continue,
                Ok(Some(bytes)) => Manifest::decode(&listed.name, &bytes),
                Err(error @ BackupError::Target { .. }) => return Err(error),
                Err(error) => Err(error),
            },
        };
        read += usize::from(manifest.is_ok());
        match manifest {
            Ok(manifest) if cluster.is_none_or(|cluster| manifest.cluster() == Some(cluster)) => backups.push(manifest),
            Ok(_) => {}
            Err(error) => problems.push(error),
        }
    }
    // Where others can be opened, what says that it has another key is damaged.
    if let Some(wrong) =
        problems.iter().find(|problem| matches!(problem, BackupError::Key { .. })).filter(|_| read == 0)
    {
        return Err(wrong.clone());
    }
    let catalogue = Catalogue::new(backups);
    let mut missing: Vec<String> = catalogue.missing().map(|(parent, _)| Manifest::object(parent)).collect();
    missing.sort_unstable();
    missing.dedup();
    // One that is listed and was not read is damaged, or was removed just now.
    missing.retain(|part| all.iter().all(|listed| listed.name != *part));
    problems.extend(missing.into_iter().map(|part| BackupError::Missing { part }));
    Ok((catalogue, problems))
}
