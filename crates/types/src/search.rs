//! Questions and answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{DenseSearch, FacetCount, Fusion, Lists, Narrowing, SPARSE_WEIGHT, Shaping, Viewer};

/// Which halves of the index answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// BM25 and vectors, fused; learned-sparse vectors too, where the index has them.
    Hybrid,
    /// Vectors only.
    Dense,
    /// BM25 only.
    Lexical,
    /// Learned-sparse vectors only.
    Sparse,
}

impl Mode {
    /// The word used in commands and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::Dense => "dense",
            Self::Lexical => "lexical",
            Self::Sparse => "sparse",
        }
    }
}

/// What looks at the first documents again, closer than a search over all can, and orders them anew.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rerank {
    /// What looks at them.
    pub by: Reranker,
    /// How many documents, from the first; those behind are left out.
    pub depth: usize,
    /// Share of what looks at them in the score, 0 to 1; the rest is the score before. None: as suits the model.
    pub weight: Option<f32>,
    /// Milliseconds after which a cross-encoder begins with no further document; none: it looks at all.
    pub budget_ms: Option<u64>,
}

/// What orders documents anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Reranker {
    /// Late interaction: each token of the query with the token of the passage that is most like it (MaxSim in Khattab
    /// and Zaharia, 2020).
    Late,
    /// A cross-encoder: a model that reads question and passage together.
    Cross,
}

impl Reranker {
    /// The word used in commands and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Cross => "cross",
        }
    }
}

impl Default for Rerank {
    /// The first hundred by late interaction, with the weight that suits the model.
    fn default() -> Self {
        Self { by: Reranker::Late, depth: 100, weight: None, budget_ms: None }
    }
}

/// One question.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// As typed.
    pub text: String,
    /// Most documents wanted.
    pub k: usize,
    /// Which halves answer.
    pub mode: Mode,
    /// How the dense half looks for what it compares in full.
    pub dense: DenseSearch,
    /// How each list is asked.
    pub lists: Lists,
    /// How the halves are joined; only read in hybrid mode.
    pub fusion: Fusion,
    /// Share of the sparse list, 0 to 1, where the index has one; only read in hybrid mode. At 0 it is not asked.
    pub sparse_weight: f32,
    /// What orders the first documents anew; none: they stay as the halves put them.
    pub rerank: Option<Rerank>,
    /// What is shown of what was found.
    pub shaping: Shaping,
    /// Whether hits carry their arithmetic.
    pub explain: bool,
    /// Which documents may be found, what is counted among them, and in which order they come.
    pub narrowing: Narrowing,
}

impl Query {
    /// A question of the index's owner, who may find every document, with all else as it is built in.
    pub fn of_owner(text: &str, k: usize, mode: Mode) -> Self {
        Self {
            text: text.to_owned(),
            k,
            mode,
            dense: DenseSearch::default(),
            lists: Lists::default(),
            fusion: Fusion::default(),
            sparse_weight: SPARSE_WEIGHT,
            rerank: None,
            shaping: Shaping::default(),
            explain: false,
            narrowing: Narrowing { viewer: Some(Viewer::Owner), ..Narrowing::default() },
        }
    }
}

/// Rank and score in one half; rank starts at 1, a higher score is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SourceScore {
    /// Place in that half's list of documents.
    pub rank: usize,
    /// Cosine in the dense half, BM25 in the lexical half, the scalar product in the sparse list, MaxSim (the sum of the best
    /// cosines of the query's tokens) in late interaction.
    pub score: f32,
}

/// Where in its document a hit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HitChunk {
    /// Position among the document's chunks, from 0.
    pub ordinal: u32,
    /// First byte of the chunk in the document's text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// One document found, shown by its best chunk; or one chunk, where passages were asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Hit {
    /// Place in the answer, from 1.
    pub rank: usize,
    /// Score after fusion, or after what ordered the documents anew; higher is better.
    pub score: f32,
    /// How likely the hit is to answer the question, 0 to 1, by a curve over cosine and BM25; other than `score` it can be
    /// compared between questions.
    pub relevance: f32,
    /// The document's id.
    pub document: String,
    /// The document's title; empty when it has none.
    pub title: String,
    /// Where the document came from.
    pub source: Option<String>,
    /// The best chunk.
    pub chunk: HitChunk,
    /// The chunk's text: the document's text in that byte range.
    pub text: String,
    /// Null when the dense half did not return the document.
    pub dense: Option<SourceScore>,
    /// Null when the lexical half did not return the document.
    pub lexical: Option<SourceScore>,
    /// Rank and score among learned-sparse vectors; absent when they did not return the document, or were not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparse: Option<SourceScore>,
    /// Rank and score in late interaction; absent when the document was not looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<SourceScore>,
    /// Rank and score by a cross-encoder; absent when it did not read the passage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross: Option<SourceScore>,
    /// Ids of documents whose passage repeats this one and that would have stood below; absent when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folded: Vec<String>,
    /// Whether it stands here because it is pinned to this question; absent when it is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// Byte ranges of query terms inside `text`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub highlights: Vec<(usize, usize)>,
    /// What carries the match in meaning, when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub semantic: Option<Semantic>,
    /// The arithmetic, when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
}

/// What of a passage carries its match in meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Semantic {
    /// Byte range inside the passage's text of the sentence that answers best.
    pub sentence: (usize, usize),
    /// Byte ranges of the words of that sentence which are the most alike to words of the question.
    pub tokens: Vec<(usize, usize)>,
}

/// A sum that can be checked by hand: `value` is `label` of the children.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// What was computed, in words and symbols.
    pub label: String,
    /// The result.
    pub value: f32,
    /// What it was computed from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schema(no_recursion))]
    pub children: Vec<Explanation>,
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SearchReply {
    /// As typed.
    pub query: String,
    /// Which halves answered.
    pub mode: Mode,
    /// Milliseconds from question to answer, model loaded and index open.
    pub took_ms: f64,
    /// Best first.
    pub hits: Vec<Hit>,
    /// Values of the fields that were to be counted, the commonest first; absent when there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facets: BTreeMap<String, Vec<FacetCount>>,
    /// The question with words that the index has in the place of those that it has not; absent when there is none to
    /// suggest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// What the reader should know: a query cut to the model's limit, for instance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}
