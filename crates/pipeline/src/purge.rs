//! Makes what was deleted from an index physically gone.

use std::collections::BTreeMap;
use std::path::Path;

use berth_index::{Alternate, Exchange, IndexReader, IndexWriter, PurgeReport, Snapshot, find_alternate};
use berth_types::DocumentRecord;
use serde::Serialize;

use crate::Error;
use crate::ingest::{Behind, remove_all, whole_records};
use crate::policy::{remove_expired_or_fail, with_writer};

/// What a purge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PurgeOutcome {
    /// In the files.
    #[serde(flatten)]
    pub report: PurgeReport,
    /// Documents that had expired and were removed before.
    pub expired: usize,
    /// Documents that were pinned to a question and are no more there.
    pub pins: usize,
}

/// Removes what has expired, forgets pins of documents that are not there, writes every segment anew that holds anything of a deleted document, and removes the old files.
/// Needs no model.
///
/// # Errors
/// `ExpiryRefused` when more than half has expired, unless `force`; an index that is not there, damaged, or being written by
/// another process; a disk that refuses.
pub fn purge(index: &Path, force: bool) -> Result<PurgeOutcome, Error> {
    let mut outcome = with_writer(index, |writer| {
        let expired = remove_expired_or_fail(index, writer, force)?;
        let pins = forget_pins(index, writer)?;
        Ok(PurgeOutcome { report: writer.purge()?, expired, pins })
    })?;
    if [Alternate::Next, Alternate::Former].iter().all(|which| !which.path(index).is_dir()) {
        return Ok(outcome);
    }
    // While this is held nobody writes the index, nor puts an alternate in its place.
    let exchange = Exchange::begin(index)?;
    let records = whole_records(exchange.current())?;
    for which in [Alternate::Next, Alternate::Former] {
        let Some(place) = find_alternate(index, which)? else { continue };
        let alternate = match IndexReader::open(&place) {
            // It was begun and has no commit yet.
            Err(berth_index::Error::NotFound { .. }) => continue,
            reader => reader?.snapshot(),
        };
        let of_alternate = purge_alternate(&place, &alternate, &records)?;
        outcome.report.rows += of_alternate.rows;
        outcome.report.dense_segments += of_alternate.dense_segments;
        outcome.report.lexical_segments += of_alternate.lexical_segments;
    }
    Ok(outcome)
}

/// Unpins what the index does not hold: its ids would stay in a file.
fn forget_pins(index: &Path, writer: &mut IndexWriter) -> Result<usize, Error> {
    let mut pins = IndexReader::open(index)?.snapshot().pins()?;
    let forgotten = pins.keep(|id| writer.record(id).is_some());
    if forgotten > 0 {
        writer.set_pins(&pins)?;
    }
    Ok(forgotten)
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
