//! The offline check of a data folder.

use std::path::Path;

use super::{Disk, StoreError};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file or folder, relative to the data folder.
    pub file: String,
    /// Where in it, in bytes.
    pub offset: Option<u64>,
    /// What is wrong there.
    pub reason: String,
}

/// What was found in a data folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct VerifyReport {
    /// Everything that is wrong; empty when all is well.
    pub problems: Vec<Problem>,
}

/// Checks everything in the data folder of a node that is not running.
///
/// # Errors
/// [`StoreError::Locked`] when the node is running. What is wrong with the data is in the report.
#[allow(unused_variables)]
pub fn verify_folder(disk: &Disk, dir: &Path) -> Result<VerifyReport, StoreError> {
    todo!()
}
