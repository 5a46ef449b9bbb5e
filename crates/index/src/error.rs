//! What can go wrong with an index, as facts.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use berth_types::{ErrorKind, FieldKind};
use tantivy::TantivyError;
use tantivy::directory::error::{OpenReadError, OpenWriteError};
use thiserror::Error;

use crate::{Alternate, LanguageFault, Unsearchable};

/// Why an index could not be opened, read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no index in this directory.
    #[error("no index at {}: nothing has been indexed there yet", path.display())]
    NotFound {
        /// The directory asked for.
        path: PathBuf,
    },
    /// Something else is there, which is left alone.
    #[error("{} {found}: name an empty or a new directory", path.display())]
    NotAnIndex {
        /// The path asked for.
        path: PathBuf,
        /// What is there, to follow the path in a sentence.
        found: &'static str,
    },
    /// Another writer holds the index.
    #[error("{} is being written by another process: wait for it, or stop it", path.display())]
    Locked {
        /// The index directory.
        path: PathBuf,
    },
    /// Nothing keeps two writers apart here.
    #[error(
        "{} is on a file system without locks ({cause}), so that nothing would keep two writers apart: write the index \
         on a local disk and copy it there, or mount with locks", path.display()
    )]
    NoLocks {
        /// The index directory.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// A snapshot is to be written, which never changes.
    #[error("{} is a snapshot, which never changes: restore it to another directory and write there", path.display())]
    IsSnapshot {
        /// The directory.
        path: PathBuf,
    },
    /// A snapshot was expected.
    #[error("{} holds no snapshot: name a directory that `berth snapshot create` made", path.display())]
    NoSnapshot {
        /// The directory.
        path: PathBuf,
    },
    /// There is no index inside the index to exchange it with.
    #[error("{} has no {} index beside it: {}", path.display(), which.as_str(), match which {
        Alternate::Next => "build one with `berth migrate --model`",
        Alternate::Former => "there was no exchange, or it was dropped",
    })]
    NoAlternate {
        /// The index directory.
        path: PathBuf,
        /// Which one.
        which: Alternate,
    },
    /// Something is where a new directory is to be.
    #[error("{} is there already: name a directory that is not, or move it away", path.display())]
    PlaceTaken {
        /// The path.
        path: PathBuf,
    },
    /// A new directory is to be inside an index, where its files are the index's own.
    #[error("{} lies inside the index {}: name a directory outside of it", path.display(), index.display())]
    InsideIndex {
        /// The path.
        path: PathBuf,
        /// The index directory.
        index: PathBuf,
    },
    /// What an index stores to join its halves by is damaged; nothing else is.
    #[error("{}: {reason}: `berth weights clear` removes it, and the default counts again", file.display())]
    DamagedWeights {
        /// The damaged file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes on disk are not what was written.
    #[error("{}: {reason}: restore the index from a copy, or build it anew", file.display())]
    Corrupted {
        /// The damaged file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Written by a newer or an unknown release.
    #[error(
        "{} has format {found}, this release reads format {supported}: use the release that wrote it, or build the \
         index anew", file.display()
    )]
    UnknownFormat {
        /// The file that states the format.
        file: PathBuf,
        /// The format it states.
        found: String,
        /// The format that can be read.
        supported: String,
    },
    /// The index holds vectors of another model.
    #[error(
        "{} was built with another model: {}: build a new index for this model, or move this one with `berth migrate`",
        path.display(), list(differences)
    )]
    FingerprintMismatch {
        /// The index directory.
        path: PathBuf,
        /// Every part that differs.
        differences: Vec<FingerprintDifference>,
    },
    /// The index was built with other settings.
    #[error(
        "{} was built with {setting} {stored}, not {requested}: use the same, or move the index with `berth migrate`",
        path.display()
    )]
    SettingsMismatch {
        /// The index directory.
        path: PathBuf,
        /// Name of the setting.
        setting: &'static str,
        /// Its value in the index.
        stored: String,
        /// The value asked for.
        requested: String,
    },
    /// A vector has another length than the rows of the index.
    #[error("the index holds vectors of {expected} values, received one of {received}")]
    DimensionMismatch {
        /// Values in a row of the index.
        expected: usize,
        /// Values received.
        received: usize,
    },
    /// The index has no token rows.
    #[error(
        "{} was built without token rows: index again into a new folder with token rows (--token-rows)", path.display()
    )]
    NoTokenRows {
        /// The index directory.
        path: PathBuf,
    },
    /// The index has token rows for all chunks, so that what comes must have them too.
    #[error("{} was built with token rows: every chunk needs them", path.display())]
    TokenRowsNeeded {
        /// The index directory.
        path: PathBuf,
    },
    /// The index has no sparse vectors.
    #[error(
        "{} was built without sparse vectors: index again into a new folder with a model that makes them (--sparse-model)",
        path.display()
    )]
    NoSparseVectors {
        /// The index directory.
        path: PathBuf,
    },
    /// The index has sparse vectors for all chunks, so that what comes must have them too.
    #[error("{} was built with sparse vectors: every chunk needs one", path.display())]
    SparseVectorsNeeded {
        /// The index directory.
        path: PathBuf,
    },
    /// The index was made before there were metadata fields.
    #[error(
        "{} was built by a release without metadata fields: index again into a new folder to have them", path.display()
    )]
    NoFields {
        /// The index directory.
        path: PathBuf,
    },
    /// A field is of another kind than was said.
    #[error(
        "field '{field}' of {} is of kind {stored}, not {requested}: declare it so, or build a new index", path.display()
    )]
    FieldKindMismatch {
        /// The index directory.
        path: PathBuf,
        /// Name of the field.
        field: String,
        /// Its kind in the index.
        stored: FieldKind,
        /// The kind asked for.
        requested: FieldKind,
    },
    /// No field can be made of this.
    #[error("field '{}' cannot be made: {reason}", shortened(field))]
    InvalidField {
        /// The name.
        field: String,
        /// Why.
        reason: Unsearchable,
    },
    /// A filter is not one that the index can answer.
    #[error("the filter '{}' cannot be used: {fault}", shortened(filter))]
    BadFilter {
        /// As typed.
        filter: String,
        /// What is wrong with it.
        fault: LanguageFault,
    },
    /// A field that documents are to be sorted or counted by.
    #[error("cannot {action} by field: {fault}")]
    BadField {
        /// What was asked for: "sort" or "count".
        action: &'static str,
        /// What is wrong with the field.
        fault: LanguageFault,
    },
    /// Documents say who may find them, and nobody said who asks.
    #[error(
        "the documents of {} say who may find them (field '{field}'): say who asks with --as NAME,…, or ask as the owner of \
         the index with --as-owner", path.display()
    )]
    WhoAsks {
        /// The index directory.
        path: PathBuf,
        /// The field that names who may.
        field: String,
    },
    /// Someone asks who may not find everything, and documents do not say who may.
    #[error(
        "{} cannot keep anything from anyone: its documents do not say who may find them; name the field that does with \
         `berth policy set --access-field`, or ask without --as", path.display()
    )]
    NoAccessLists {
        /// The index directory.
        path: PathBuf,
    },
    /// Synonyms that cannot be understood.
    #[error("line {line} of the synonyms cannot be used: {reason}")]
    BadSynonyms {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Results cannot be pinned to this question.
    #[error("nothing can be pinned to '{}': {reason}", shortened(query))]
    BadPin {
        /// The question.
        query: String,
        /// Why.
        reason: String,
    },
    /// A document cannot be stored as it is.
    #[error("document '{}' cannot be stored: {reason}", shortened(document))]
    InvalidDocument {
        /// The document's id.
        document: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk, or what stands for it, refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        r#source: io::Error,
    },
    /// An earlier failure left this writer unable to continue. What was committed before is intact.
    #[error("the writer of {} stopped after an error: {reason}: open it again to go on", path.display())]
    WriterStopped {
        /// The index directory.
        path: PathBuf,
        /// The message of the first failure.
        reason: String,
    },
    /// The lexical engine failed for a reason of its own.
    #[error("the lexical engine failed: {0}")]
    Lexical(TantivyError),
}

/// One part in which two fingerprints differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FingerprintDifference {
    /// Name of the part.
    pub part: String,
    /// Its value in the index.
    pub stored: String,
    /// The value asked for.
    pub requested: String,
}

impl fmt::Display for FingerprintDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, not {}", self.part, self.stored, self.requested)
    }
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } | Self::NoSnapshot { .. } | Self::NoAlternate { .. } => ErrorKind::NotFound,
            Self::NotAnIndex { .. }
            | Self::IsSnapshot { .. }
            | Self::PlaceTaken { .. }
            | Self::InsideIndex { .. }
            | Self::DimensionMismatch { .. }
            | Self::NoTokenRows { .. }
            | Self::TokenRowsNeeded { .. }
            | Self::NoSparseVectors { .. }
            | Self::SparseVectorsNeeded { .. }
            | Self::NoFields { .. }
            | Self::FieldKindMismatch { .. }
            | Self::InvalidField { .. }
            | Self::BadFilter { .. }
            | Self::BadField { .. }
            | Self::WhoAsks { .. }
            | Self::NoAccessLists { .. }
            | Self::BadSynonyms { .. }
            | Self::BadPin { .. }
            | Self::InvalidDocument { .. } => ErrorKind::InvalidInput,
            Self::Locked { .. } => ErrorKind::Overloaded,
            Self::Corrupted { .. }
            | Self::DamagedWeights { .. }
            | Self::UnknownFormat { .. }
            | Self::FingerprintMismatch { .. }
            | Self::SettingsMismatch { .. } => ErrorKind::Corrupted,
            Self::Io { .. } | Self::NoLocks { .. } | Self::WriterStopped { .. } => ErrorKind::Unavailable,
            Self::Lexical(TantivyError::DataCorruption(_) | TantivyError::IncompatibleIndex(_)) => ErrorKind::Corrupted,
            Self::Lexical(_) => ErrorKind::Internal,
        }
    }

    pub(crate) fn holds_something_else(path: &Path) -> Self {
        Self::NotAnIndex { path: path.to_path_buf(), found: "holds something else than an index" }
    }

    pub(crate) fn is_a_file(path: &Path) -> Self {
        Self::NotAnIndex { path: path.to_path_buf(), found: "is a file, or lies below one, and no directory" }
    }

    pub(crate) fn corrupted(file: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupted { file: file.to_path_buf(), reason: reason.into() }
    }

    /// Names the path beside what the system said; unwraps our own errors that travelled as `io::Error`.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        if let Some(fault) = Fault::in_io(&source) {
            return fault.to_error();
        }
        Self::Io { action, path: path.to_path_buf(), source }
    }
}

/// An [`Error`] on its way through the lexical engine, which only carries `io::Error`.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    Corrupted { file: PathBuf, reason: String },
    UnknownFormat { file: PathBuf, found: String, supported: String },
    Io { action: &'static str, path: PathBuf, kind: io::ErrorKind, message: String },
}

impl Fault {
    pub(crate) fn from_error(error: Error) -> Self {
        match error {
            Error::Corrupted { file, reason } => Self::Corrupted { file, reason },
            Error::UnknownFormat { file, found, supported } => Self::UnknownFormat { file, found, supported },
            Error::Io { action, path, source } => {
                Self::Io { action, path, kind: source.kind(), message: source.to_string() }
            }
            other => {
                Self::Io { action: "use", path: PathBuf::new(), kind: io::ErrorKind::Other, message: other.to_string() }
            }
        }
    }

    pub(crate) fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Corrupted { .. } | Self::UnknownFormat { .. } => io::ErrorKind::InvalidData,
            Self::Io { kind, .. } => *kind,
        };
        io::Error::new(kind, self)
    }

    pub(crate) fn in_io(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref::<Self>()
    }

    pub(crate) fn to_error(&self) -> Error {
        match self.clone() {
            Self::Corrupted { file, reason } => Error::Corrupted { file, reason },
            Self::UnknownFormat { file, found, supported } => Error::UnknownFormat { file, found, supported },
            Self::Io { action, path, kind, message } => {
                Error::Io { action, path, source: io::Error::new(kind, message) }
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_error().fmt(f)
    }
}

impl std::error::Error for Fault {}

impl From<TantivyError> for Error {
    /// Finds our own error, or the system's, inside the engine's.
    fn from(error: TantivyError) -> Self {
        let (io_error, path) = match &error {
            TantivyError::IoError(io_error) => (io_error, None),
            TantivyError::OpenReadError(OpenReadError::IoError { io_error, filepath })
            | TantivyError::OpenWriteError(OpenWriteError::IoError { io_error, filepath }) => {
                (io_error, Some(filepath))
            }
            TantivyError::OpenReadError(OpenReadError::FileDoesNotExist(path)) => {
                return Self::Io {
                    action: "open",
                    path: path.clone(),
                    source: io::Error::from(io::ErrorKind::NotFound),
                };
            }
            _ => return Self::Lexical(error),
        };
        if let Some(fault) = Fault::in_io(io_error) {
            return fault.to_error();
        }
        match path {
            Some(path) => Self::Io {
                action: "use",
                path: path.clone(),
                source: io::Error::new(io_error.kind(), io_error.to_string()),
            },
            None => Self::Lexical(error),
        }
    }
}

fn list(differences: &[FingerprintDifference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Long enough to recognise an id by, short enough for one line.
fn shortened(id: &str) -> String {
    const SHOWN_CHARS: usize = 120;
    match id.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &id[..end]),
        None => id.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    /// A message and the chain of causes below it are printed one after the other: the cause stands in one of them.
    #[test]
    fn what_the_system_said_is_said_once() {
        let source = io::Error::other("the disk is on fire");
        let error = Error::Io { action: "read", path: "file".into(), source };
        assert!(error.to_string().ends_with(": the disk is on fire"), "{error}");
        assert!(error.source().is_none());
    }
}
