//! Makes what was deleted from an index physically gone.

use std::path::Path;

use berth_index::PurgeReport;
use serde::Serialize;

use crate::Error;
use crate::policy::{remove_expired_or_fail, with_writer};

/// What a purge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PurgeOutcome {
    /// In the files.
    #[serde(flatten)]
    pub report: PurgeReport,
    /// Documents that had expired and were removed before.
    pub expired: usize,
}

/// Removes what has expired, writes every segment anew that holds anything of a deleted document, and removes the old files.
/// Needs no model.
///
/// # Errors
/// `ExpiryRefused` when more than half has expired, unless `force`; an index that is not there, damaged, or being written by
/// another process; a disk that refuses.
pub fn purge(index: &Path, force: bool) -> Result<PurgeOutcome, Error> {
    with_writer(index, |writer| {
        let expired = remove_expired_or_fail(index, writer, force)?;
        Ok(PurgeOutcome { report: writer.purge()?, expired })
    })
}
