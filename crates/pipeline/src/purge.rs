//! Makes what was deleted from an index physically gone.

use std::collections::BTreeMap;
use std::path::Path;

use berth_index::{Alternate, IndexReader, IndexWriter, PurgeReport, Snapshot, find_alternate};
use berth_types::DocumentRecord;

use crate::Error;
use crate::ingest::{Behind, remove_all};

/// Writes every segment anew that holds anything of a deleted document, and removes the old files. Needs no model.
///
/// # Errors
/// An index that is not there, damaged, or being written by another process; a disk that refuses.
pub fn purge(index: &Path) -> Result<PurgeReport, Error> {
    let settings = IndexReader::open(index)?.snapshot().settings().clone();
    let mut writer = IndexWriter::create_or_open(index, &settings)?;
    let mut report = writer.purge()?;
    writer.finish()?;
    let records = IndexReader::open(index)?.snapshot().records()?;
    for which in [Alternate::Next, Alternate::Former] {
        let Some(place) = find_alternate(index, which)? else { continue };
        let alternate = match IndexReader::open(&place) {
            // It was begun and has no commit yet.
            Err(berth_index::Error::NotFound { .. }) => continue,
            reader => reader?.snapshot(),
        };
        let of_alternate = purge_alternate(&place, &alternate, &records)?;
        report.rows += of_alternate.rows;
        report.dense_segments += of_alternate.dense_segments;
        report.lexical_segments += of_alternate.lexical_segments;
    }
    Ok(report)
}

/// The same for an index inside the first, after removing what the first does not have, or has in another version. What it
/// lacks then, it gets before it takes the place of the first.
fn purge_alternate(
    place: &Path,
    alternate: &Snapshot,
    records: &BTreeMap<String, DocumentRecord>,
) -> Result<PurgeReport, Error> {
    let mut writer = IndexWriter::create_or_open(place, alternate.settings())?;
    let behind = Behind::of(records, &alternate.records()?);
    remove_all(&mut writer, &behind.gone)?;
    remove_all(&mut writer, &behind.missing)?;
    writer.commit()?;
    let report = writer.purge()?;
    writer.finish()?;
    Ok(report)
}
