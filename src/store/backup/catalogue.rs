//! Reading which backups a vault has.

use super::BackupError;
use super::manifest::Manifest;
use super::plan::Catalogue;
use super::vault::{MANIFESTS, Vault};
use crate::store::identity::ClusterId;

/// The complete backups in a vault, of one cluster or of all, and what is wrong with manifests that are
/// none. Those that are `known` are not read again: a manifest never changes.
///
/// # Errors
/// [`BackupError::Target`]; [`BackupError::Key`] when nothing can be opened.
pub fn read_catalogue(
    vault: &dyn Vault,
    cluster: Option<ClusterId>,
    known: &Catalogue,
) -> Result<(Catalogue, Vec<BackupError>), BackupError> {
    let (mut backups, mut problems) = (Vec::new(), Vec::new());
    for listed in vault.list(MANIFESTS)? {
        let id = listed.name.strip_prefix(MANIFESTS).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
        let manifest = match known.find(id) {
            Some(manifest) => Ok(manifest.clone()),
            None => match vault.get(&listed.name) {
                // It was removed since it was listed.
                Ok(None) => continue,
                Ok(Some(bytes)) => Manifest::decode(&listed.name, &bytes),
                Err(error @ (BackupError::Target { .. } | BackupError::Key { .. })) => return Err(error),
                Err(error) => Err(error),
            },
        };
        match manifest {
            Ok(manifest) if cluster.is_none_or(|cluster| manifest.cluster() == Some(cluster)) => backups.push(manifest),
            Ok(_) => {}
            Err(error @ BackupError::Key { .. }) => return Err(error),
            Err(error) => problems.push(error),
        }
    }
    Ok((Catalogue::new(backups), problems))
}
