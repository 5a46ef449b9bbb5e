//! What comes back: one type a head.

use berth_types::Embedding;
use serde::Serialize;

use crate::heads::attention::LayerAttention;
use crate::heads::classify::LabelScore;
use crate::heads::entities::Entity;
use crate::heads::late::LateVectors;
use crate::heads::sparse::Term;
use crate::{Error, RowToken, Tensor, Tokens};

/// A text's vector.
#[derive(Debug, Clone, PartialEq)]
pub struct SentenceAnswer {
    /// Unit-norm vector.
    pub embedding: Embedding,
    /// Tokens of the text that the model read.
    pub tokens: usize,
    /// Tokens of the text that it did not read.
    pub truncated: usize,
    /// Tokens of the text outside the vocabulary.
    pub unknown: usize,
}

pub(super) fn sentence(values: Vec<f32>, tokens: &Tokens, truncated: usize) -> Result<SentenceAnswer, Error> {
    let embedding = super::embedding(values)?;
    Ok(SentenceAnswer { embedding, tokens: tokens.ids.len(), truncated, unknown: tokens.unknown })
}

/// Labels of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassAnswer {
    /// Best first; in the model's order for a regression.
    pub labels: Vec<LabelScore>,
    /// Tokens that were not read.
    pub truncated: usize,
}

/// How well a passage answers a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairAnswer {
    /// Higher is better.
    pub score: f32,
    /// Tokens of the query that were not read.
    pub query_truncated: usize,
    /// Tokens of the passage that were not read.
    pub truncated: usize,
}

/// The terms that stand for a text.
#[derive(Debug, Clone, PartialEq)]
pub struct SparseAnswer {
    /// Heaviest first.
    pub terms: Vec<Term>,
    /// Tokens of the text that were not read.
    pub truncated: usize,
}

/// Vectors of late interaction.
#[derive(Debug, Clone, PartialEq)]
pub struct LateAnswer {
    /// One a kept token.
    pub vectors: LateVectors,
    /// Tokens of the text that were not read.
    pub truncated: usize,
}

/// Hidden states.
#[derive(Debug, Clone, PartialEq)]
pub struct LayersAnswer {
    /// The row, special tokens included.
    pub tokens: Vec<RowToken>,
    /// A tensor `[tokens, hidden]` for each layer that the encoder was opened for.
    pub layers: Vec<Tensor>,
    /// Tokens of the text that were not read.
    pub truncated: usize,
}

/// Attention weights.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionAnswer {
    /// The row, special tokens included.
    pub tokens: Vec<RowToken>,
    /// The layers that the encoder was opened for.
    pub layers: Vec<LayerAttention>,
    /// Tokens of the text that were not read.
    pub truncated: usize,
}

/// Last states of a text's own tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct TokensAnswer {
    /// The text's tokens.
    pub tokens: Tokens,
    /// Values in a state.
    pub dimensions: usize,
    /// One state after the other, as many as there are tokens.
    pub values: Vec<f32>,
}

/// Named stretches of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityAnswer {
    /// In the order of the text.
    pub entities: Vec<Entity>,
    /// Tokens of the text.
    pub tokens: usize,
    /// Windows in which it was read.
    pub windows: usize,
}

/// What could stand in the masked places of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct FillMaskAnswer {
    /// In the order of the text.
    pub masks: Vec<MaskedPlace>,
    /// Tokens of the text that were not read.
    pub truncated: usize,
}

/// One masked place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MaskedPlace {
    /// First byte of the mask in the text.
    pub start: usize,
    /// Byte after its last.
    pub end: usize,
    /// Best first.
    pub guesses: Vec<Guess>,
}

/// A token for a masked place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guess {
    /// What it reads as.
    pub text: String,
    /// The piece of the vocabulary, as its file has it.
    pub piece: String,
    /// Its id.
    pub id: u32,
    /// Among all pieces of the vocabulary.
    pub probability: f32,
}

/// How well a model foresees a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerplexityAnswer {
    /// exp of minus the mean log probability of a token; 1 is certainty, the size of the vocabulary is guessing.
    pub pseudo_perplexity: f64,
    /// Sum of the natural logarithms of the probabilities.
    pub log_likelihood: f64,
    /// Tokens, each of which was masked once.
    pub tokens: usize,
    /// Tokens of the text that were not read.
    pub truncated: usize,
}
