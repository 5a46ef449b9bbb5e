//! How the states of a text's tokens become one vector.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How token states become one vector. Only real tokens count, special tokens among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Pooling {
    /// Average.
    #[default]
    Mean,
    /// State of the first token.
    Cls,
    /// Largest value of each dimension.
    Max,
    /// Sum over the square root of the number of tokens.
    MeanSqrtLen,
    /// Average in which the n-th token weighs n.
    WeightedMean,
    /// State of the last token.
    LastToken,
}

impl Pooling {
    /// All ways of pooling.
    pub const ALL: [Self; 6] =
        [Self::Mean, Self::Cls, Self::Max, Self::MeanSqrtLen, Self::WeightedMean, Self::LastToken];

    /// The word used in cards and fingerprints.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Max => "max",
            Self::MeanSqrtLen => "mean-sqrt-len",
            Self::WeightedMean => "weighted-mean",
            Self::LastToken => "last-token",
        }
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_holds_the_same_word() {
        for pooling in Pooling::ALL {
            assert_eq!(serde_json::to_value(pooling).unwrap(), pooling.as_str());
        }
    }
}
