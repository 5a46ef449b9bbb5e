//! One error for everything the pipeline can fail at.

use std::io;
use std::path::{Path, PathBuf};

use berth_types::{EmbeddingError, ErrorKind, Head, SparseVectorError};
use thiserror::Error;

/// Why a job stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A path that was named is not there.
    #[error("{path} does not exist; check the spelling or the current folder")]
    PathNotFound {
        /// As named.
        path: PathBuf,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {path}: {cause}")]
    Io {
        /// What was tried: "read", "write", …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// No model of that name is installed.
    #[error("model '{name}' is not installed in {models}; {remedy} (installed: {installed})")]
    ModelNotInstalled {
        /// As asked for.
        name: String,
        /// Folder of installed models.
        models: PathBuf,
        /// Names that are installed, or "none".
        installed: String,
        /// What to do.
        remedy: String,
    },
    /// The checkpoint of a known card is nowhere to be found.
    #[error(
        "the checkpoint of '{name}' was found in none of: {tried}; run scripts/setup, or name its folder with --from"
    )]
    CheckpointNotFound {
        /// Name of the card.
        name: String,
        /// Folders that were looked at.
        tried: String,
    },
    /// The folder that a model was made from is needed again, and is gone.
    #[error(
        "model '{model}' has no graph for {head} yet, and the checkpoint to make it from is neither in {folder} nor in \
         {kept}; put it back there, or import the model again from where it is"
    )]
    CheckpointGone {
        /// Name of the model.
        model: String,
        /// What it was asked for.
        head: Head,
        /// Where it was imported from.
        folder: PathBuf,
        /// Where else it was looked for.
        kept: PathBuf,
    },
    /// What was named is neither a card nor a folder.
    #[error("'{name}' is neither a model card ({cards}) nor a folder with a config.json")]
    UnknownModel {
        /// As named.
        name: String,
        /// Known cards.
        cards: String,
    },
    /// A file of a checkpoint is not the one that the card names.
    #[error("{path} has sha256 {received}, but the card of '{model}' says {expected}; fetch the file again")]
    WrongHash {
        /// Name of the card.
        model: String,
        /// The file.
        path: PathBuf,
        /// From the card.
        expected: String,
        /// Of the file.
        received: String,
    },
    /// A static graph is wanted, and there are no ranges for it.
    #[error(
        "int8-static needs ranges measured over texts like those to come, and '{model}' has none that hold; import it \
         with --precision int8-static --calibrate FILE, where FILE has a text a line"
    )]
    CalibrationNeeded {
        /// Name of the model.
        model: String,
    },
    /// A graph was made for other processors, and its model can be imported again.
    #[error("{error}: {remedy}")]
    MadeElsewhere {
        /// What the encoder says.
        error: Box<berth_encoder::Error>,
        /// What to do.
        remedy: String,
    },
    /// A file of an installed model is not as it was installed.
    #[error("{path} of model '{name}' is not as it was installed; {remedy} to make it again")]
    DamagedModel {
        /// Name of the model.
        name: String,
        /// What to do.
        remedy: String,
        /// The file.
        path: PathBuf,
    },
    /// A file of a checkpoint says something that cannot be used.
    #[error("{path}: {reason}")]
    BadCheckpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Index and model do not belong together.
    #[error(
        "{index} was built with other vectors than model '{model}' makes here ({differences}); \
         search it with the model it was built with, or move it to this one with `berth migrate`"
    )]
    FingerprintMismatch {
        /// The index folder.
        index: PathBuf,
        /// The model that was opened.
        model: String,
        /// The parts that differ.
        differences: String,
    },
    /// A profile cannot be understood.
    #[error("{path}: no profile that can be used: {reason}; `berth tune --out` writes one")]
    BadProfile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A profile was chosen for vectors of another kind.
    #[error("{path} was chosen for {chosen_for} in other vectors than {model} has here; tune again with `berth tune`")]
    ProfileOfOtherModel {
        /// The file.
        path: PathBuf,
        /// Whose vectors it was chosen for.
        chosen_for: String,
        /// Whose vectors are here.
        model: String,
    },
    /// A next index of another kind is there already.
    #[error(
        "{index} has a next index already, by {there}, not by {wanted}: finish that with `berth migrate --swap`, or \
         remove it with `berth migrate --drop`"
    )]
    OtherNext {
        /// The index folder.
        index: PathBuf,
        /// What the next one is built with.
        there: String,
        /// What was asked for.
        wanted: String,
    },
    /// An index that is to take the place of another lacks something of it.
    #[error(
        "{documents} documents of {index} could not be taken over, so it stays as it is: run `berth migrate` again and \
         see what it says of them"
    )]
    NotCaughtUp {
        /// The index folder.
        index: PathBuf,
        /// How many differ.
        documents: usize,
    },
    /// A disk has too little room for another index.
    #[error(
        "a next index of {index} takes about {} MB, and {} MB are free there: make room, or go on with --force",
        needed / 1_000_000, free / 1_000_000
    )]
    NoRoom {
        /// The index folder.
        index: PathBuf,
        /// Bytes that it takes, roughly.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Judgements are of documents that an index does not have.
    #[error(
        "the judgements of {dataset} are of documents such as '{judged}', none of which is in the index{}: name the \
         collection that was indexed", stored.as_ref().map_or(String::new(), |id| format!(" (it has such as '{id}')"))
    )]
    OtherDocuments {
        /// The collection's folder.
        dataset: PathBuf,
        /// A document that was judged.
        judged: String,
        /// A document of the index.
        stored: Option<String>,
    },
    /// What was named for a file to write is no place for it.
    #[error("cannot write {path}: {reason}; name a file")]
    NoPlace {
        /// As named.
        path: PathBuf,
        /// What is in the way.
        reason: &'static str,
    },
    /// A vector does not fit among the others of its file.
    #[error("{path} takes one width for all rows: expected {expected} numbers in a vector, received {received}")]
    VectorWidth {
        /// The file.
        path: PathBuf,
        /// Numbers in each vector before.
        expected: usize,
        /// Numbers in this one.
        received: usize,
    },
    /// A half found a chunk that the other does not have.
    #[error("chunk {chunk_id} was found but is not stored; run `berth verify` on the index")]
    ChunkLost {
        /// Number of the chunk.
        chunk_id: u64,
    },
    /// A document was found that cannot be read back.
    #[error("document {document_no} was found but is not stored; run `berth verify` on the index")]
    DocumentLost {
        /// Number of the document.
        document_no: u64,
    },
    /// A query has no letters or digits at all.
    #[error("the query has no letters or digits; type some words")]
    EmptyQuery,
    /// A path is neither a file nor a folder.
    #[error("{path} is neither a file nor a folder; name one of these")]
    NotAFile {
        /// As named.
        path: PathBuf,
    },
    /// A model's name would not be a plain file name.
    #[error("'{name}' cannot name a model; choose one of letters, digits, '-', '_' and '.' with --name")]
    BadModelName {
        /// As derived or given.
        name: String,
    },
    /// Another model is installed under the name.
    #[error(
        "a model '{name}' is installed already, from {other}; choose another name with --name, or remove {directory} \
         first"
    )]
    ModelNameTaken {
        /// The name.
        name: String,
        /// Where that one came from.
        other: String,
        /// Where it lies.
        directory: PathBuf,
    },
    /// More than half of the documents have expired, and nobody insists.
    #[error("nothing was removed: {reason}; repeat with --force if this is meant")]
    ExpiryRefused {
        /// How many, and by which clock.
        reason: String,
    },
    /// No document of this id.
    #[error(
        "{} '{name}' in {}; name a document by its id or the end of its path",
        if *several { "several documents end with" } else { "there is no document" }, index.display()
    )]
    DocumentNotFound {
        /// As named.
        name: String,
        /// The index directory.
        index: PathBuf,
        /// Whether it is the end of several.
        several: bool,
    },
    /// A removal that looks like a mistake.
    #[error("sync refused: {reason}; nothing was removed; repeat with --force if this is intended")]
    SyncRefused {
        /// What looked wrong, in numbers.
        reason: String,
    },
    /// Settings that cannot work.
    #[error("{0}")]
    InvalidSettings(String),
    /// A data set has no document at all.
    #[error("{path} holds no document")]
    NothingToIndex {
        /// The folder or file.
        path: PathBuf,
    },
    /// A worker thread ended without an answer.
    #[error("a worker thread ended unexpectedly while {0}")]
    WorkerLost(&'static str),
    /// From the encoder.
    #[error(transparent)]
    Encoder(#[from] berth_encoder::Error),
    /// From the exporter.
    #[error(transparent)]
    Export(#[from] berth_export::Error),
    /// From the chunker.
    #[error(transparent)]
    Chunker(#[from] berth_chunker::Error),
    /// From the index.
    #[error(transparent)]
    Index(#[from] berth_index::Error),
    /// From the data sets and metrics.
    #[error(transparent)]
    Eval(#[from] berth_eval::Error),
    /// A row of numbers that is no embedding.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    /// Weights that are no sparse vector.
    #[error(transparent)]
    SparseVector(#[from] SparseVectorError),
}

impl Error {
    /// Wraps an I/O error with what was tried and where.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |cause| Self::Io { action, path, cause }
    }

    /// What the caller must react to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::PathNotFound { .. }
            | Self::ModelNotInstalled { .. }
            | Self::CheckpointNotFound { .. }
            | Self::CheckpointGone { .. }
            | Self::DocumentNotFound { .. }
            | Self::NothingToIndex { .. } => ErrorKind::NotFound,
            Self::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Io { .. } => ErrorKind::Unavailable,
            Self::UnknownModel { .. }
            | Self::CalibrationNeeded { .. }
            | Self::EmptyQuery
            | Self::InvalidSettings(_)
            | Self::NotAFile { .. }
            | Self::NoPlace { .. }
            | Self::BadModelName { .. }
            | Self::OtherNext { .. }
            | Self::OtherDocuments { .. }
            | Self::ModelNameTaken { .. } => ErrorKind::InvalidInput,
            Self::ChunkLost { .. }
            | Self::DocumentLost { .. }
            | Self::WrongHash { .. }
            | Self::DamagedModel { .. }
            | Self::BadCheckpoint { .. }
            | Self::BadProfile { .. }
            | Self::ProfileOfOtherModel { .. }
            | Self::FingerprintMismatch { .. } => ErrorKind::Corrupted,
            Self::SyncRefused { .. } | Self::ExpiryRefused { .. } | Self::NoRoom { .. } => ErrorKind::Refused,
            Self::WorkerLost(_)
            | Self::NotCaughtUp { .. }
            | Self::VectorWidth { .. }
            | Self::Embedding(_)
            | Self::SparseVector(_) => ErrorKind::Internal,
            Self::Encoder(error) => error.kind(),
            Self::MadeElsewhere { error, .. } => error.kind(),
            Self::Export(error) => error.kind(),
            Self::Chunker(error) => error.kind(),
            Self::Index(error) => error.kind(),
            Self::Eval(error) => error.kind(),
        }
    }
}
