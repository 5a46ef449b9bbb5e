//! The documents that are measured: files as `berth index` reads them, or what an index stores. One at a time, each id once.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use berth_index::{IndexReader, Snapshot};
use berth_types::Document;

use crate::source::{Item, Listing, Problem, SkipCounts, list_files, read_file};
use crate::{Error, Progress, ProgressState};

/// Where documents come from.
pub(super) enum Documents {
    Files(Listing),
    Stored(std::sync::Arc<Snapshot>),
}

impl Documents {
    /// Finds what lies below `paths`; without any, what `index` stores.
    ///
    /// # Errors
    /// A path that does not exist, an index that is not there or damaged.
    pub(super) fn find(paths: &[PathBuf], index: Option<&PathBuf>, follow_links: bool) -> Result<Self, Error> {
        match index {
            Some(index) if paths.is_empty() => Ok(Self::Stored(IndexReader::open(index)?.snapshot())),
            _ => Ok(Self::Files(list_files(paths, follow_links, false)?)),
        }
    }

    /// Hands each document to `take`, until that fails or the run is cancelled. Returns what was passed over.
    ///
    /// # Errors
    /// Those of `take`, and an index that cannot be read.
    pub(super) fn read(
        self,
        progress: &mut dyn Progress,
        cancel: &AtomicBool,
        take: &mut dyn FnMut(Document) -> Result<(), Error>,
    ) -> Result<SkipCounts, Error> {
        match self {
            Self::Files(listing) => read_files(&listing, progress, cancel, take),
            Self::Stored(snapshot) => {
                let ids = snapshot.document_ids("", usize::MAX)?;
                let mut state = ProgressState { bytes_total: ids.len() as u64, ..ProgressState::default() };
                for id in ids {
                    if cancel.load(Ordering::Relaxed) {
                        break;
                    }
                    if let Some(stored) = snapshot.document(&id)? {
                        take(stored.document)?;
                    }
                    state.documents += 1;
                    state.bytes_done += 1;
                    progress.update(&state);
                }
                Ok(SkipCounts::default())
            }
        }
    }
}

fn read_files(
    listing: &Listing,
    progress: &mut dyn Progress,
    cancel: &AtomicBool,
    take: &mut dyn FnMut(Document) -> Result<(), Error>,
) -> Result<SkipCounts, Error> {
    let mut skipped = listing.skipped;
    for problem in &listing.problems {
        progress.problem(problem);
    }
    let mut state = ProgressState { bytes_total: listing.bytes, ..ProgressState::default() };
    // Half of a hash is enough to tell ids apart, and short.
    let mut seen: HashSet<[u8; 16]> = HashSet::new();
    for file in &listing.files {
        let mut outcome = Ok(());
        read_file(&file.path, &mut |item| {
            match item {
                Item::Document { document, record, bytes, .. } => {
                    state.bytes_done += bytes;
                    if seen.insert(short_hash(&[&document.id])) {
                        state.documents += 1;
                        outcome = take(document);
                    } else {
                        skipped.duplicates += 1;
                        let reason = format!("id '{}' was seen before in this run; the first one counts", document.id);
                        progress.problem(&Problem { place: record.file, reason, lost: true });
                    }
                }
                Item::Problem { problem, bytes } => {
                    state.bytes_done += bytes;
                    skipped.unreadable += usize::from(problem.lost);
                    progress.problem(&problem);
                }
                Item::Binary { bytes } => {
                    state.bytes_done += bytes;
                    skipped.binary += 1;
                }
            }
            progress.update(&state);
            outcome.is_ok() && !cancel.load(Ordering::Relaxed)
        });
        outcome?;
        if cancel.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(skipped)
}

/// Half of the hash of some texts, each with its length.
pub(super) fn short_hash(texts: &[&str]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    let mut hash = [0; 16];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    hash
}
