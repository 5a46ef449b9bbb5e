//! What documents can be filtered, counted and sorted by, and the wish to do so.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Viewer;

/// What the values of a metadata field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum FieldKind {
    /// Prose, searched by its words.
    Text,
    /// A word or a name that counts as a whole, to the letter.
    Keyword,
    /// A whole number of 64 bits.
    Integer,
    /// A number.
    Float,
    /// A day, or a moment to the microsecond.
    Date,
    /// True or false.
    Boolean,
}

impl FieldKind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Text, Self::Keyword, Self::Integer, Self::Float, Self::Date, Self::Boolean];

    /// The word used in commands and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Keyword => "keyword",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Date => "date",
            Self::Boolean => "boolean",
        }
    }
}

impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FieldKind {
    type Err = NotAField;

    fn from_str(word: &str) -> Result<Self, NotAField> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| NotAField::Kind(word.to_owned()))
    }
}

/// A field and its kind, as declared: `year:integer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDeclaration {
    /// Name of the field; parts of a nested one are joined by dots.
    pub name: String,
    /// What its values are.
    pub kind: FieldKind,
}

impl FromStr for FieldDeclaration {
    type Err = NotAField;

    fn from_str(words: &str) -> Result<Self, NotAField> {
        match words.split_once(':') {
            Some((name, kind)) if !name.is_empty() => Ok(Self { name: name.to_owned(), kind: kind.parse()? }),
            _ => Err(NotAField::Declaration(words.to_owned())),
        }
    }
}

/// By which field hits are sorted, instead of by score: `year`, `year:asc`, `year:desc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// Name of the field.
    pub field: String,
    /// Whether the highest value comes first.
    pub descending: bool,
}

impl FromStr for Sort {
    type Err = NotAField;

    fn from_str(words: &str) -> Result<Self, NotAField> {
        let (field, descending) = match words.rsplit_once(':') {
            None => (words, false),
            Some((field, "asc")) => (field, false),
            Some((field, "desc")) => (field, true),
            Some(_) => return Err(NotAField::Sort(words.to_owned())),
        };
        if field.is_empty() {
            return Err(NotAField::Sort(words.to_owned()));
        }
        Ok(Self { field: field.to_owned(), descending })
    }
}

/// A field whose values are to be counted: `lang`, or `lang:50` for at most 50 of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    /// Name of the field.
    pub field: String,
    /// Most values that are named.
    pub values: usize,
}

impl Facet {
    /// Values that are named unless another number is asked for.
    const DEFAULT_VALUES: usize = 10;
    /// Most that can be asked for.
    const MOST_VALUES: usize = 10_000;
}

impl FromStr for Facet {
    type Err = NotAField;

    fn from_str(words: &str) -> Result<Self, NotAField> {
        let bad = || NotAField::Facet(words.to_owned());
        let (field, values) = match words.rsplit_once(':') {
            None => (words, Self::DEFAULT_VALUES),
            Some((field, values)) => (field, values.parse().map_err(|_| bad())?),
        };
        if field.is_empty() || !(1..=Self::MOST_VALUES).contains(&values) {
            return Err(bad());
        }
        Ok(Self { field: field.to_owned(), values })
    }
}

/// Words that name no field as they should.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotAField {
    /// No kind of that name.
    #[error("'{0}' is no kind of field; possible are text, keyword, integer, float, date, boolean")]
    Kind(String),
    /// Not `NAME:KIND`.
    #[error("'{0}' declares no field; write NAME:KIND, such as year:integer")]
    Declaration(String),
    /// Not `NAME`, `NAME:asc` or `NAME:desc`.
    #[error("'{0}' is no field to sort by; write NAME, NAME:asc or NAME:desc")]
    Sort(String),
    /// Not `NAME` or `NAME:COUNT`.
    #[error("'{0}' is no field to count; write NAME, or NAME:COUNT with a count from 1 to 10000")]
    Facet(String),
}

/// Which documents may be found, what is counted among them, and in which order they come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Narrowing {
    /// In the filter language; none: all.
    pub filter: Option<String>,
    /// What is counted.
    pub facets: Vec<Facet>,
    /// None: by score.
    pub sort: Option<Sort>,
    /// Who asks; none: nobody said, which an index with access lists refuses.
    pub viewer: Option<Viewer>,
}

/// A value of a field and how many documents have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FacetCount {
    /// A string (keyword, date), a number or a boolean.
    pub value: serde_json::Value,
    /// Documents that have it.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_with_what_is_wanted_of_them() {
        let year = |kind| FieldDeclaration { name: "year".to_owned(), kind };
        assert_eq!("year:integer".parse(), Ok(year(FieldKind::Integer)));
        assert_eq!("year:int".parse::<FieldDeclaration>(), Err(NotAField::Kind("int".to_owned())));
        assert_eq!("year".parse::<FieldDeclaration>(), Err(NotAField::Declaration("year".to_owned())));
        let sort = |descending| Sort { field: "year".to_owned(), descending };
        assert_eq!(
            ["year", "year:asc", "year:desc"].map(str::parse),
            [Ok(sort(false)), Ok(sort(false)), Ok(sort(true))]
        );
        assert!("year:down".parse::<Sort>().is_err() && ":desc".parse::<Sort>().is_err());
        let facet = |values| Ok(Facet { field: "lang".to_owned(), values });
        assert_eq!(["lang", "lang:3"].map(str::parse), [facet(10), facet(3)]);
        for wrong in ["lang:0", "lang:10001", "lang:x", ":3"] {
            assert_eq!(wrong.parse::<Facet>(), Err(NotAField::Facet(wrong.to_owned())));
        }
    }
}
