//! How the vectors of an index are kept, and by what of them a search looks first.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How the values of stored vectors are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowKind {
    /// 32-bit floating point: the vector as the model gave it.
    #[default]
    F32,
    /// 16-bit floating point: half the room, each value rounded to 11 bits.
    F16,
    /// 8-bit integers with a scale a vector: a quarter of the room.
    Int8,
}

impl RowKind {
    /// All kinds, the exact one first.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Int8];

    /// The word used in commands and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }

    /// Whether this is how vectors are kept when nobody says otherwise.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for RowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no kind of rows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("rows of kind '{word}' are not known; use {}", RowKind::ALL.map(RowKind::as_str).join(", "))]
pub struct UnknownRowKind {
    /// As typed.
    pub word: String,
}

impl FromStr for RowKind {
    type Err = UnknownRowKind;

    fn from_str(word: &str) -> Result<Self, UnknownRowKind> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == word);
        found.ok_or_else(|| UnknownRowKind { word: word.to_owned() })
    }
}

/// By what a dense search finds the vectors that it then compares in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FirstStage {
    /// A walk over the graph where there is one, by all values in 8 bits; else every vector in full.
    #[default]
    Auto,
    /// None: every vector is compared in full, so that nothing is missed.
    Full,
    /// Every vector by its first values, scaled to unit length (Matryoshka, Kusupati et al. 2022); half of them where no
    /// number is given.
    Prefix(Option<NonZeroUsize>),
    /// Every vector by the signs of its values, a bit each.
    Binary,
}

impl fmt::Display for FirstStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Full => f.write_str("full"),
            Self::Prefix(None) => f.write_str("half"),
            Self::Prefix(Some(values)) => write!(f, "prefix:{values}"),
            Self::Binary => f.write_str("binary"),
        }
    }
}

/// A word that names no first stage.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("first stage '{word}' is not known; use auto, full, half, prefix:N (the first N values) or binary")]
pub struct UnknownFirstStage {
    /// As typed.
    pub word: String,
}

impl FromStr for FirstStage {
    type Err = UnknownFirstStage;

    fn from_str(word: &str) -> Result<Self, UnknownFirstStage> {
        let unknown = || UnknownFirstStage { word: word.to_owned() };
        match word {
            "auto" => Ok(Self::Auto),
            "full" => Ok(Self::Full),
            "half" => Ok(Self::Prefix(None)),
            "binary" => Ok(Self::Binary),
            _ => {
                let values = word.strip_prefix("prefix:").ok_or_else(unknown)?;
                values.parse().map(|values| Self::Prefix(Some(values))).map_err(|_| unknown())
            }
        }
    }
}

/// How a dense search looks for what it compares in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DenseSearch {
    /// By what it finds vectors first.
    pub first_stage: FirstStage,
    /// Vectors that a first stage of prefixes or signs hands on for each one wanted; none: as suits the stage.
    pub oversample: Option<NonZeroUsize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_back_to_what_they_name() {
        for kind in RowKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for word in ["auto", "full", "half", "prefix:96", "binary"] {
            assert_eq!(word.parse::<FirstStage>().unwrap().to_string(), word);
        }
        for word in ["", "prefix", "prefix:", "prefix:0", "prefix:-1", "prefix:9999999999999999999999", "signs"] {
            let error = word.parse::<FirstStage>().unwrap_err().to_string();
            assert!(error.contains("prefix:N") && error.contains(&format!("'{word}'")), "{error}");
        }
        assert!("f64".parse::<RowKind>().unwrap_err().to_string().contains("f32, f16, int8"));
    }
}
