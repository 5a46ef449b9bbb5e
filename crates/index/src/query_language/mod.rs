//! The language of filters and of queries with operators: what was typed becomes a tree, or a fault that says why not.
//!
//! ```text
//! list     one clause after the other       in a filter all must hold; in a query those with + must, those with - must
//!                                           not, and of the others the more the better
//! a AND b  a OR b  NOT a  (a b)             NOT binds closest, then AND, then OR
//! word  "a phrase"  pre*  word~1  word~2    of the text, or with a name before it of a field
//! name:value  name:"a value"  name:pre*  name:*  name:[a TO b]  name:{a TO b}  name:>=a  name:(a OR b)
//! ```
//!
//! What is typed as a query is a question in plain words unless it has operators: signs and quotes stand in ordinary text
//! too. So in a query a name counts only where the index has such a field, a sign only before a letter, a quote or a bracket,
//! and quotes only beside other operators or when there is nothing but phrases.

mod parse;

use std::fmt;
use std::ops::Bound;

use thiserror::Error;

pub(crate) use parse::{filter, query};

/// Deepest nesting of brackets and negations.
pub(crate) const MAX_DEPTH: usize = 32;
/// Most words, phrases and conditions.
pub(crate) const MAX_CLAUSES: usize = 1024;

/// What was typed, as it is nested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Leaf(Leaf),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Required(Box<Node>),
    /// Clauses without a word between them.
    List(Vec<Node>),
}

/// A word, a phrase or a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// None: the text.
    pub(crate) field: Option<String>,
    pub(crate) value: Sought,
}

/// What is sought in the text or in a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sought {
    Word(String),
    Phrase(String),
    Prefix(String),
    /// A word and how many letters may differ, 1 or 2.
    Fuzzy(String, u8),
    Range(Bound<String>, Bound<String>),
    /// Any value.
    Anything,
}

impl fmt::Display for Sought {
    /// As it would be typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Phrase(phrase) => write!(f, "\"{phrase}\""),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Fuzzy(word, distance) => write!(f, "{word}~{distance}"),
            Self::Anything => f.write_str("*"),
            Self::Range(low, high) => {
                let end = |bound: &Bound<String>| match bound {
                    Bound::Included(value) | Bound::Excluded(value) => value.clone(),
                    Bound::Unbounded => "*".to_owned(),
                };
                let open = if matches!(low, Bound::Excluded(_)) { '{' } else { '[' };
                let close = if matches!(high, Bound::Excluded(_)) { '}' } else { ']' };
                write!(f, "{open}{} TO {}{close}", end(low), end(high))
            }
        }
    }
}

/// Why a filter, or a query with operators, cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LanguageFault {
    /// Nothing was typed.
    #[error("it is empty; write a condition such as lang:ko or year:[2020 TO *]")]
    Empty,
    /// A quote is opened and not closed.
    #[error("the quote at byte {at} is not closed")]
    OpenQuote {
        /// Where it stands.
        at: usize,
    },
    /// A bracket is opened and not closed.
    #[error("the bracket at byte {at} is not closed")]
    OpenBracket {
        /// Where it stands.
        at: usize,
    },
    /// A bracket is closed that was not opened.
    #[error("the bracket at byte {at} closes nothing")]
    StrayBracket {
        /// Where it stands.
        at: usize,
    },
    /// AND, OR, NOT or a sign lacks what it joins.
    #[error("something is missing at byte {at}: a word or a condition has to stand there")]
    MissingClause {
        /// Where it had to stand.
        at: usize,
    },
    /// A word of a filter names no field.
    #[error("'{word}' names no field; write NAME:VALUE")]
    NoName {
        /// As typed.
        word: String,
    },
    /// A name has nothing behind its colon.
    #[error("'{name}:' has no value behind it")]
    NoValue {
        /// The name.
        name: String,
    },
    /// A range is not two values with TO between them.
    #[error("the range at byte {at} cannot be read; write [LOW TO HIGH], with * for an open end")]
    BadRange {
        /// Where it stands.
        at: usize,
    },
    /// The index has no field of this name.
    #[error("the index has no field '{name}'; it has {known}")]
    UnknownField {
        /// As typed.
        name: String,
        /// The fields with their kinds.
        known: String,
    },
    /// The index was made before there were metadata fields.
    #[error(
        "the index has no field '{name}': it was built by a release without metadata fields; index again into a new \
         folder to have them"
    )]
    NoFields {
        /// As typed.
        name: String,
    },
    /// A value is not of the field's kind.
    #[error("field '{field}' is of kind {kind}, and {value} is {needed}")]
    WrongValue {
        /// Name of the field.
        field: String,
        /// Its kind.
        kind: berth_types::FieldKind,
        /// As typed.
        value: String,
        /// What it would have to be.
        needed: &'static str,
    },
    /// A field of words can neither be counted nor sorted by.
    #[error("'{name}' is text, which has no single values")]
    TextField {
        /// Name of the field.
        name: String,
    },
    /// Brackets and negations are nested too deeply.
    #[error("it is nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// There are too many words, phrases and conditions.
    #[error("it has more than {MAX_CLAUSES} clauses")]
    TooManyClauses,
}
