//! How much room a next index takes on the disk, said before it is built.

use std::path::Path;

use berth_index::{IndexSettings, IndexStatus, Snapshot};
use serde::Serialize;

use crate::Error;

/// Bytes of a row beside its vector: numbers and key, and the links of the graph.
const BYTES_BESIDE_ROW: u64 = 32 + 200;
/// Bytes of a value: in `f32`, and in 8 bits for the graph.
const BYTES_A_VALUE: u64 = 4 + 1;
/// Segments lie on the disk beside the one that they are merged into.
const MERGING: u64 = 2;

/// What a next index takes on the disk, roughly, and what is free there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Bytes that are still to be written, with those of segments that are being merged.
    pub needed_bytes: u64,
    /// Bytes free; none where the system does not say.
    pub free_bytes: Option<u64>,
}

impl Room {
    /// Estimates from the index as it is: its lexical half, and rows by the length of vectors and windows.
    pub(super) fn of(current: &Snapshot, next: &IndexSettings, there: Option<&IndexStatus>, index: &Path) -> Self {
        let (settings, status) = (current.settings(), current.status());
        let fresh =
            |settings: &IndexSettings| settings.window_tokens.saturating_sub(settings.overlap_tokens).max(1) as u64;
        // A document has one chunk at least, however long the windows.
        let chunks =
            (status.chunks * fresh(settings) / fresh(next)).clamp(status.documents.min(status.chunks), u64::MAX);
        let dense = chunks * (BYTES_A_VALUE * next.dimensions as u64 + BYTES_BESIDE_ROW);
        let size = MERGING * (status.lexical_bytes + dense) + status.token_bytes;
        let written = there.map_or(0, |there| there.lexical_bytes + there.dense_bytes + there.token_bytes);
        Self { needed_bytes: size.saturating_sub(written), free_bytes: free_bytes(index) }
    }

    /// # Errors
    /// `NoRoom` when more is needed than is free.
    pub(super) fn check(&self, index: &Path) -> Result<(), Error> {
        match self.free_bytes {
            Some(free) if free < self.needed_bytes => {
                Err(Error::NoRoom { index: index.to_path_buf(), needed: self.needed_bytes, free })
            }
            _ => Ok(()),
        }
    }
}

/// Bytes that a user without privileges may still write.
#[cfg(unix)]
fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail * found.f_frsize)
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}
