//! The arithmetic in which a model runs.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Arithmetic of a graph's matrix products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Signed 8-bit weights with a scale per output, unsigned 8-bit activations with a scale per run.
    Int8,
    /// 32-bit floating point throughout.
    Fp32,
}

/// A word that names no precision.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("precision '{word}' is not known; use int8 or fp32")]
pub struct UnknownPrecision {
    /// As typed.
    pub word: String,
}

impl Precision {
    /// The word used in commands, file names and fingerprints.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Fp32 => "fp32",
        }
    }

    /// Name of the graph's file in the folder of an installed model.
    pub fn graph_file(self) -> &'static str {
        match self {
            Self::Int8 => "int8.onnx",
            Self::Fp32 => "fp32.onnx",
        }
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
        match word {
            "int8" => Ok(Self::Int8),
            "fp32" => Ok(Self::Fp32),
            _ => Err(UnknownPrecision { word: word.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_back_to_what_they_name() {
        for precision in [Precision::Int8, Precision::Fp32] {
            assert_eq!(precision.as_str().parse(), Ok(precision));
        }
        assert!("fp16".parse::<Precision>().unwrap_err().to_string().contains("fp16"));
    }
}
