//! Makes an index as small and as fast as it can be.

use std::path::Path;

use berth_index::{IndexReader, IndexStatus, IndexWriter};
use serde::Serialize;

use crate::Error;
use crate::policy::remove_expired_or_fail;

/// An index before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CompactReport {
    /// As it was.
    pub before: IndexStatus,
    /// As it is.
    pub after: IndexStatus,
    /// Documents that had expired and were removed before.
    pub expired: usize,
}

/// Removes what has expired, merges all segments of an index into one for each half, drops what was deleted, and builds graphs
/// that are missing.
///
/// # Errors
/// `ExpiryRefused` when more than half has expired, unless `force`; an index that is not there, is damaged, or is being written by another process; `Io`.
pub fn compact(index: &Path, force: bool) -> Result<CompactReport, Error> {
    let reader = IndexReader::open(index)?;
    let settings = reader.snapshot().settings().clone();
    let mut writer = IndexWriter::create_or_open(index, &settings)?;
    reader.refresh()?;
    let before = reader.snapshot().status();
    let expired = remove_expired_or_fail(index, &mut writer, force)?;
    writer.compact()?;
    writer.finish()?;
    reader.refresh()?;
    Ok(CompactReport { before, after: reader.snapshot().status(), expired })
}
