//! Makes an index as small and as fast as it can be.

use std::path::Path;

use berth_index::{IndexReader, IndexStatus, IndexWriter};
use serde::Serialize;

use crate::Error;

/// An index before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CompactReport {
    /// As it was.
    pub before: IndexStatus,
    /// As it is.
    pub after: IndexStatus,
}

/// Merges all segments of an index into one for each half, drops what was deleted, and builds graphs that are missing.
///
/// # Errors
/// An index that is not there, is damaged, or is being written by another process; `Io`.
pub fn compact(index: &Path) -> Result<CompactReport, Error> {
    let reader = IndexReader::open(index)?;
    let settings = reader.snapshot().settings().clone();
    let mut writer = IndexWriter::create_or_open(index, &settings)?;
    reader.refresh()?;
    let before = reader.snapshot().status();
    writer.compact()?;
    writer.finish()?;
    reader.refresh()?;
    Ok(CompactReport { before, after: reader.snapshot().status() })
}
