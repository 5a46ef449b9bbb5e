//! Why something could not be learned, applied or read.

use berth_types::{EmbeddingError, ErrorKind};
use thiserror::Error;

/// Why something could not be learned, applied or read.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum Error {
    /// Values are no matrix of whole rows.
    #[error("{values} values are no whole rows of {dimensions}")]
    Ragged {
        /// Values received.
        values: usize,
        /// Values in a row.
        dimensions: usize,
    },
    /// Two things that have to be of one size are not.
    #[error("{what}: {received} where {expected} were wanted")]
    SizeMismatch {
        /// What was counted.
        what: &'static str,
        /// The number wanted.
        expected: usize,
        /// The number received.
        received: usize,
    },
    /// A value is NaN or infinite.
    #[error("value {column} of row {row} is {value}, not a finite number")]
    NotFinite {
        /// Row, from 0.
        row: usize,
        /// Place in the row, from 0.
        column: usize,
        /// The value.
        value: f32,
    },
    /// A vector has no direction, or a map leaves it none.
    #[error("row {row}: {source}")]
    NoDirection {
        /// Row, from 0.
        row: usize,
        /// What is wrong with it.
        r#source: EmbeddingError,
    },
    /// A setting lies outside of what it can be.
    #[error("{name} is {value}; it must be {wanted}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it may be, in words.
        wanted: &'static str,
    },
    /// A row is named that is not there.
    #[error("row {row} is named where there are {rows}")]
    RowMissing {
        /// The row named, from 0.
        row: usize,
        /// Rows there are.
        rows: usize,
    },
    /// There is nothing to learn or to validate from.
    #[error("none of {queries} queries has a document that answers it")]
    NoPairs {
        /// Queries received.
        queries: usize,
    },
    /// There is less of something than it takes.
    #[error("{found} {what}, where at least {needed} are needed")]
    TooFew {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A score is NaN or infinite.
    #[error("query {query} has a score that is not a finite number")]
    ScoreNotFinite {
        /// Place of the query, from 0.
        query: usize,
    },
    /// Vectors do not spread in any direction, or hold no finite numbers.
    #[error("the vectors do not spread in any direction that could be measured")]
    NoSpectrum,
    /// More than one map fits.
    #[error("{rows} rows do not determine a map of {dimensions} dimensions; give a penalty above 0, or more rows")]
    Underdetermined {
        /// Rows given.
        rows: usize,
        /// Values in a row.
        dimensions: usize,
    },
    /// An adapter or map is to be used with vectors of another model than it was learned for.
    #[error("was learned for model '{learned_for}' and cannot be used with '{used_with}'; learn it anew")]
    OtherModel {
        /// Fingerprint of the model that it was learned for.
        learned_for: String,
        /// Fingerprint of the model at hand.
        used_with: String,
    },
    /// Bytes are not what this crate writes.
    #[error("not an adapter or map of Berth: {reason}")]
    Foreign {
        /// What shows it.
        reason: &'static str,
    },
    /// Bytes are of another version of the format.
    #[error("format {found} of adapters and maps is not known; this version of Berth reads format {known}")]
    OtherFormat {
        /// The format of the bytes.
        found: u32,
        /// The format known.
        known: u32,
    },
    /// Bytes were written whole and are so no more.
    #[error("adapter or map is damaged: {reason}; make it anew or restore it from a copy")]
    Damaged {
        /// What shows it.
        reason: String,
    },
    /// Bytes hold something else than what was asked for.
    #[error("holds a {found}, where a {wanted} was wanted")]
    OtherKind {
        /// What is held.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Ragged { .. }
            | Self::SizeMismatch { .. }
            | Self::NotFinite { .. }
            | Self::NoDirection { .. }
            | Self::Setting { .. }
            | Self::RowMissing { .. }
            | Self::NoPairs { .. }
            | Self::TooFew { .. }
            | Self::ScoreNotFinite { .. }
            | Self::NoSpectrum
            | Self::Underdetermined { .. } => ErrorKind::InvalidInput,
            Self::OtherModel { .. }
            | Self::Foreign { .. }
            | Self::OtherFormat { .. }
            | Self::Damaged { .. }
            | Self::OtherKind { .. } => ErrorKind::Corrupted,
        }
    }
}
