//! Which documents a run lets in: not twice, not those that the index has as they are, and none that has expired.

use std::path::{Path, PathBuf};

use super::{Incoming, Run};
use crate::source::{Item, Problem, content_hash, path_text};
use crate::sync::{Known, compare};

impl Run<'_> {
    /// Lets a document in, unless it was seen before or is as the index has it.
    pub(super) fn admit(&mut self, file: &Path, item: Item) -> Option<Incoming> {
        let (mut document, mut record, bytes, vectors) = match item {
            Item::Document { document, record, bytes, vectors } => (document, record, bytes, vectors),
            Item::Binary { bytes } => {
                self.report.skipped_by_reason.binary += 1;
                self.advance(bytes);
                return None;
            }
            Item::Problem { problem, bytes } => {
                if problem.lost {
                    self.report.skipped_by_reason.unreadable += 1;
                    self.seen.doubtful_files.insert(PathBuf::from(path_text(file)));
                }
                self.note(problem);
                self.advance(bytes);
                return None;
            }
        };
        if !self.seen.ids.insert(document.id.clone()) {
            let reason = format!("id '{}' was seen before in this run; the first one counts", document.id);
            self.skip_duplicate(record.file, reason, bytes);
            return None;
        }
        if let Some(access) = &self.access
            && access.add(&mut document)
        {
            record.content_hash = content_hash(&document);
        }
        let known = self.writer.record(&document.id).cloned();
        let expiry = self.writer.expiry_of(&document, &record);
        let is_expired = expiry.is_some_and(|expiry| self.writer.policy().is_expired(expiry, self.clock));
        let change = match compare(known.as_ref(), &record, |file| self.is_there(file)) {
            Known::Differs(_) if is_expired => {
                self.pass_over_expired(&document.id, bytes);
                return None;
            }
            Known::Differs(change) => change,
            Known::OfAnotherFile => {
                let file = known.map(|known| known.file).unwrap_or_default();
                let reason = format!("id '{}' belongs to a document of {file}, which counts", document.id);
                self.skip_duplicate(record.file, reason, bytes);
                return None;
            }
            Known::Same => {
                self.report.unchanged += 1;
                self.report.chunks += known.map_or(0, |known| known.chunks as usize);
                self.advance(bytes);
                self.pass();
                return None;
            }
        };
        Some(Incoming { document, record, bytes, change, vectors })
    }

    /// A document that has expired before it came; what the index has under its id is not what it says any more.
    fn pass_over_expired(&mut self, id: &str, bytes: u64) {
        self.report.skipped_by_reason.expired += 1;
        // A writer that has stopped says so at the next commit.
        self.report.expired += usize::from(self.writer.remove(id).unwrap_or(false));
        self.advance(bytes);
    }

    fn skip_duplicate(&mut self, place: String, reason: String, bytes: u64) {
        self.report.skipped_by_reason.duplicates += 1;
        self.note(Problem { place, reason, lost: true });
        self.advance(bytes);
    }

    /// Whether a file that documents came from is still there; asked once a file.
    fn is_there(&mut self, file: &str) -> bool {
        if self.without_files {
            return false;
        }
        if let Some(&there) = self.files_there.get(file) {
            return there;
        }
        let there = Path::new(file).exists();
        self.files_there.insert(file.to_owned(), there);
        there
    }
}
