//! What a model can be asked for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Precision;

/// What a model is asked for: each head has a graph of its own, with outputs of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Head {
    /// One vector a text: `sentence_embedding`, `[batch, dimensions]`.
    Sentence,
    /// States of the last layer: `token_embeddings`, `[batch, sequence, hidden]`.
    Tokens,
    /// States of every layer: `hidden_states.0` (the embeddings) to `hidden_states.L`, each `[batch, sequence, hidden]`.
    Layers,
    /// Attention weights: `attentions.0` to `attentions.L-1`, each `[batch, heads, sequence, sequence]`.
    Attention,
    /// Scores of the vocabulary at chosen positions: `logits`, `[batch, count, vocabulary]`.
    FillMask,
    /// SPLADE weights: `sparse_embedding`, `[batch, vocabulary]`, none below zero.
    Sparse,
    /// Scores of the labels, or one value: `logits`, `[batch, labels]`.
    Classify,
    /// Scores of the labels for each token: `logits`, `[batch, sequence, labels]`.
    Entities,
    /// Unit-norm vectors of the tokens for late interaction: `token_vectors`, `[batch, sequence, dimensions]`.
    Late,
}

/// A word that names no head.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("head '{word}' is not known; use {}", Head::ALL.map(Head::as_str).join(", "))]
pub struct UnknownHead {
    /// As typed.
    pub word: String,
}

impl Head {
    /// All heads.
    pub const ALL: [Self; 9] = [
        Self::Sentence,
        Self::Tokens,
        Self::Layers,
        Self::Attention,
        Self::FillMask,
        Self::Sparse,
        Self::Classify,
        Self::Entities,
        Self::Late,
    ];

    /// The word used in commands, cards, file names and fingerprints.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sentence => "sentence",
            Self::Tokens => "tokens",
            Self::Layers => "layers",
            Self::Attention => "attention",
            Self::FillMask => "fill-mask",
            Self::Sparse => "sparse",
            Self::Classify => "classify",
            Self::Entities => "entities",
            Self::Late => "late",
        }
    }

    /// Name of this head's graph in the folder of an installed model.
    pub fn graph_file(self, precision: Precision) -> String {
        match self {
            Self::Sentence => precision.graph_file(),
            _ => format!("{precision}.{self}.onnx"),
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Head {
    type Err = UnknownHead;

    fn from_str(word: &str) -> Result<Self, UnknownHead> {
        let found = Self::ALL.into_iter().find(|head| head.as_str() == word);
        found.ok_or_else(|| UnknownHead { word: word.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_back_to_what_they_name() {
        for head in Head::ALL {
            assert_eq!(head.as_str().parse(), Ok(head));
            assert_eq!(serde_json::to_value(head).unwrap(), head.as_str());
        }
        assert!("heads".parse::<Head>().unwrap_err().to_string().contains("fill-mask"));
    }

    #[test]
    fn each_graph_has_its_file() {
        assert_eq!(Head::Sentence.graph_file(Precision::Int8), "int8.onnx");
        assert_eq!(Head::FillMask.graph_file(Precision::Fp32), "fp32.fill-mask.onnx");
    }
}
