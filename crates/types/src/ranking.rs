//! How scores become an answer: the joining of lists, and what is made of a document's passages.

use std::fmt::{self, Display, Formatter};
use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Rerank, Reranker};

/// How the two lists become one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Fusion {
    /// Cosine plus BM25 scaled by how far it can be trusted for the question. Needs no labels and is the default.
    Adaptive {
        /// Share of the cosine, 0 to 1.
        dense_weight: f32,
    },
    /// Fixed share of both halves, each put on a common scale.
    Convex {
        /// Share of the dense half, 0 to 1.
        dense_weight: f32,
        /// The common scale.
        normalize: Normalize,
    },
    /// Reciprocal rank fusion: sum of weight / (k + rank).
    Rrf {
        /// Damps the head of the lists; 60 in Cormack, Clarke and Büttcher (2009).
        k: f32,
        /// Share of the dense half, 0 to 1; at 0.5 both ranks count once, as published.
        dense_weight: f32,
    },
}

/// How convex fusion puts cosine and BM25 on one scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalize {
    /// BM25 over the highest of the question; a cosine stays as it is.
    #[default]
    Max,
    /// Each half from 0, its list's lowest score, to 1, its highest.
    MinMax,
    /// Each half in standard deviations of its list from the list's mean.
    ZScore,
    /// Each half over what could be: (cosine + 1) / 2, and BM25 over the sum of what the question's terms can give.
    Bounds,
}

/// What a document scores in each half, by its passages that the half listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregate {
    /// The best passage (MaxP in Dai and Callan, 2019).
    #[default]
    Max,
    /// The mean of the best so many, or of all where there are fewer.
    TopMean(usize),
    /// The sum of all (SumP).
    Sum,
    /// The first passage of the document, and no other (FirstP).
    First,
}

impl Aggregate {
    /// Passages that `top-mean` takes when it is not said.
    const TOP_MEAN: usize = 3;
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::TopMean(count) => write!(f, "top-mean:{count}"),
            Self::Sum => f.write_str("sum"),
            Self::First => f.write_str("first"),
        }
    }
}

/// A word that names no rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{0}' is no rule; possible are max, top-mean, top-mean:N (1 to 1000), sum, first")]
pub struct NotAnAggregate(String);

impl FromStr for Aggregate {
    type Err = NotAnAggregate;

    fn from_str(word: &str) -> Result<Self, NotAnAggregate> {
        let bad = || NotAnAggregate(word.to_owned());
        match word.split_once(':').map_or((word, None), |(rule, count)| (rule, Some(count))) {
            ("max", None) => Ok(Self::Max),
            ("sum", None) => Ok(Self::Sum),
            ("first", None) => Ok(Self::First),
            ("top-mean", None) => Ok(Self::TopMean(Self::TOP_MEAN)),
            ("top-mean", Some(count)) => match count.parse() {
                Ok(count @ 1..=1000) => Ok(Self::TopMean(count)),
                _ => Err(bad()),
            },
            _ => Err(bad()),
        }
    }
}

/// How much each list is asked, and for what, before they are joined.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lists {
    /// Fewest chunks asked of each list; none: as many as hold nearly every document that the first hits can have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<NonZeroUsize>,
    /// What BM25 of a document's title adds to that of its chunks, for words that may be anywhere; 0: nothing.
    #[serde(default)]
    pub title_boost: f32,
}

/// How an index is searched unless a question says otherwise. What is none is as it is built in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Profile {
    /// How the halves are joined.
    pub fusion: Fusion,
    /// Share of the sparse list, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparse_weight: Option<f32>,
    /// What a document scores by its passages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<Aggregate>,
    /// How the lists are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lists: Option<Lists>,
    /// What orders the first documents anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<Rerank>,
    /// What it was chosen by: data, split, queries, gain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// What is shown of the documents found, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Shaping {
    /// What a document scores.
    pub aggregate: Aggregate,
    /// Hits are passages, several of a document; `aggregate` has nothing to do then.
    pub passages: bool,
    /// How much likeness to hits above costs, 0 to 1 (1 − λ of maximal marginal relevance); 0: nothing.
    pub diversity: f32,
    /// Likeness in words, above 0 to 1, from which on a passage is folded into the hit above that it repeats; none: nothing is.
    pub collapse: Option<f32>,
    /// Least relevance of a hit, 0 to 1.
    pub min_relevance: Option<f32>,
    /// Whether hits say which sentence and words carry the match in meaning.
    pub semantic_highlights: bool,
}

/// Share of the sparse list in the score of hybrid search, of an index that has one, unless something else is said. Chosen on
/// SciFact train and CoSQA dev: docs/ranking.md has its neighbours.
pub const SPARSE_WEIGHT: f32 = 0.1;

impl Profile {
    /// Whether all its numbers lie where they have a meaning.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        let share = |name: &str, value: f32| match value {
            value if (0.0..=1.0).contains(&value) => Ok(()),
            value => Err(format!("{name} is {value}; it is a share from 0 to 1")),
        };
        match self.fusion {
            Fusion::Adaptive { dense_weight } | Fusion::Convex { dense_weight, .. } => {
                share("dense_weight", dense_weight)?;
            }
            Fusion::Rrf { k, dense_weight } => {
                share("dense_weight", dense_weight)?;
                if !(k.is_finite() && k >= 0.0) {
                    return Err(format!("k is {k}; it is zero or more"));
                }
            }
        }
        self.sparse_weight.map_or(Ok(()), |weight| share("sparse_weight", weight))?;
        let boost = self.lists.map_or(0.0, |lists| lists.title_boost);
        if !(0.0..=100.0).contains(&boost) {
            return Err(format!("title_boost is {boost}; it is from 0 to 100"));
        }
        match self.rerank {
            Some(Rerank { by: Reranker::Late, weight, .. }) => {
                weight.map_or(Ok(()), |weight| share("rerank weight", weight))
            }
            Some(_) => Err("only late interaction can be stored to order anew".to_owned()),
            None => Ok(()),
        }
    }
}

impl Default for Fusion {
    /// The combination that is safe without labels on every collection it was measured on.
    fn default() -> Self {
        Self::Adaptive { dense_weight: 0.5 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_words_with_or_without_a_number() {
        assert_eq!("max".parse(), Ok(Aggregate::Max));
        assert_eq!("top-mean".parse(), Ok(Aggregate::TopMean(3)));
        assert_eq!("top-mean:5".parse(), Ok(Aggregate::TopMean(5)));
        for word in ["", "mean", "max:2", "top-mean:", "top-mean:0", "top-mean:1001", "sum:"] {
            assert_eq!(word.parse::<Aggregate>(), Err(NotAnAggregate(word.to_owned())));
        }
        for rule in [Aggregate::Max, Aggregate::TopMean(2), Aggregate::Sum, Aggregate::First] {
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
    }
}
