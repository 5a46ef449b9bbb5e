//! The arithmetic in which a model runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Arithmetic of a graph's matrix products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Precision {
    /// Signed 8-bit weights with a scale per output, unsigned 8-bit activations with a scale per run.
    Int8,
    /// The same weights, with scales of the activations that were measured before and never change.
    Int8Static,
    /// 8-bit weights in blocks with a scale each; activations likewise.
    Q8,
    /// 4-bit weights in blocks with a scale each.
    Q4,
    /// 16-bit floating point, for GPUs.
    Fp16,
    /// 32-bit floating point throughout.
    Fp32,
}

/// A word that names no precision.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("precision '{word}' is not known; use {}", Precision::ALL.map(Precision::as_str).join(", "))]
pub struct UnknownPrecision {
    /// As typed.
    pub word: String,
}

impl Precision {
    /// All precisions.
    pub const ALL: [Self; 6] = [Self::Int8, Self::Int8Static, Self::Q8, Self::Q4, Self::Fp16, Self::Fp32];

    /// The word used in commands, file names and fingerprints.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Int8Static => "int8-static",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
            Self::Fp16 => "fp16",
            Self::Fp32 => "fp32",
        }
    }

    /// Whether the matrix products work in integers.
    pub fn is_quantized(self) -> bool {
        !matches!(self, Self::Fp16 | Self::Fp32)
    }

    /// Name of the graph of sentence embeddings in the folder of an installed model.
    pub fn graph_file(self) -> String {
        format!("{self}.onnx")
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(word: &str) -> Result<Self, UnknownPrecision> {
        let found = Self::ALL.into_iter().find(|precision| precision.as_str() == word);
        found.ok_or_else(|| UnknownPrecision { word: word.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_back_to_what_they_name() {
        for precision in Precision::ALL {
            assert_eq!(precision.as_str().parse(), Ok(precision));
            assert_eq!(serde_json::to_value(precision).unwrap(), precision.as_str());
        }
        assert_eq!(Precision::ALL.iter().filter(|precision| precision.is_quantized()).count(), 4);
        assert!("bf16".parse::<Precision>().unwrap_err().to_string().contains("int8-static"));
    }
}
