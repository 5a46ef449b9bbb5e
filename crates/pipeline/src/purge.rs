//! Makes what was deleted from an index physically gone.

use std::path::Path;

use berth_index::{IndexReader, IndexWriter, PurgeReport};

use crate::Error;

/// Writes every segment anew that holds anything of a deleted document, and removes the old files. Needs no model.
///
/// # Errors
/// An index that is not there, damaged, or being written by another process; a disk that refuses.
pub fn purge(index: &Path) -> Result<PurgeReport, Error> {
    let settings = IndexReader::open(index)?.snapshot().settings().clone();
    let mut writer = IndexWriter::create_or_open(index, &settings)?;
    let report = writer.purge()?;
    writer.finish()?;
    Ok(report)
}
