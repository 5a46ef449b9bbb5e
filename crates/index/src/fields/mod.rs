//! Metadata fields: which an index has, of which kind they are, and what of a document's metadata becomes their values.
//!
//! A field's kind is declared, or follows from the first value that is seen, and stays. Nested objects give names that
//! are joined by dots, arrays give several values.

mod date;
mod extract;

use std::collections::BTreeMap;
use std::fmt;

use berth_types::FieldKind;

pub(crate) use date::{Moment, written};
pub use extract::has_field;
pub(crate) use extract::{Value, extract, is_searchable_name};

/// The fields of an index by name.
pub type FieldKinds = BTreeMap<String, FieldKind>;

/// Most fields of an index.
pub(crate) const MAX_FIELDS: usize = 256;
/// Longest name of a field in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 128;
/// Longest keyword in bytes. A longer string makes a new field one of text.
pub(crate) const MAX_KEYWORD_BYTES: usize = 256;
/// Most values of one field in one document.
pub(crate) const MAX_VALUES: usize = 1000;

/// A value that is stored with its document but cannot be searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldWarning {
    /// The document's id.
    pub document: String,
    /// Name of the field.
    pub field: String,
    /// Why.
    pub reason: Unsearchable,
}

/// Why a value cannot be searched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsearchable {
    /// The field has values of another kind.
    OtherKind {
        /// The field's kind.
        kind: FieldKind,
        /// What was found, in words.
        found: &'static str,
    },
    /// A keyword is longer than a keyword can be.
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The name is too long, or has characters that the filter language needs.
    Name,
    /// The index has as many fields as it can have.
    TooManyFields,
    /// The document has more values than count.
    TooManyValues,
}

impl fmt::Display for Unsearchable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherKind { kind, found } => write!(f, "it is of kind {kind}, the value is {found}"),
            Self::TooLong { bytes } => {
                write!(f, "a keyword may have {MAX_KEYWORD_BYTES} bytes, the value has {bytes}")
            }
            Self::Name => {
                write!(f, "a name may have {MAX_NAME_BYTES} bytes, and no blanks, quotes, colons or brackets")
            }
            Self::TooManyFields => write!(f, "an index may have {MAX_FIELDS} fields"),
            Self::TooManyValues => write!(f, "a document may have {MAX_VALUES} values of a field"),
        }
    }
}

impl fmt::Display for FieldWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { document, field, reason } = self;
        write!(f, "field '{field}' of '{document}' cannot be searched: {reason}; the value is stored all the same")
    }
}

/// Warnings for whoever asks for them, the first few of each field: a column of the wrong kind gives one a document.
#[derive(Debug, Default)]
pub(crate) struct WarningLog {
    waiting: Vec<FieldWarning>,
    of_field: BTreeMap<String, usize>,
}

impl WarningLog {
    /// Warnings of one field that are handed out.
    const OF_A_FIELD: usize = 3;
    /// Most fields that are warned of.
    const FIELDS: usize = 1000;

    pub(crate) fn add(&mut self, document: &str, field: &str, reason: Unsearchable) {
        if self.of_field.len() >= Self::FIELDS && !self.of_field.contains_key(field) {
            return;
        }
        let count = self.of_field.entry(field.to_owned()).or_default();
        if *count < Self::OF_A_FIELD {
            *count += 1;
            let (document, field) = (document.to_owned(), field.to_owned());
            self.waiting.push(FieldWarning { document, field, reason });
        }
    }

    pub(crate) fn take(&mut self) -> Vec<FieldWarning> {
        std::mem::take(&mut self.waiting)
    }

    /// As if what waits had not been added.
    pub(crate) fn forget(&mut self) {
        for warning in self.waiting.drain(..) {
            if let Some(count) = self.of_field.get_mut(&warning.field) {
                *count -= 1;
            }
        }
    }
}
