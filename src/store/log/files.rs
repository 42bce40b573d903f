//! The names of the log's files.

use std::path::{Path, PathBuf};

const SEGMENT: &str = "log";
const SPARE: &str = "spare";
/// What a file is called until it is whole.
pub(super) const UNFINISHED: &str = "unfinished";

pub(in crate::store) fn segment_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("{generation:016}.{SEGMENT}"))
}

pub(super) fn spare_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016}.{SPARE}"))
}

/// What a name in the log's folder means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Segment(u64),
    Spare(u64),
    Unfinished,
    Other,
}

pub(super) fn parse(name: &str) -> Name {
    match name.split_once('.') {
        Some((_, UNFINISHED)) => Name::Unfinished,
        Some((number, SEGMENT)) => number.parse().map_or(Name::Other, Name::Segment),
        Some((number, SPARE)) => number.parse().map_or(Name::Other, Name::Spare),
        _ => Name::Other,
    }
}
