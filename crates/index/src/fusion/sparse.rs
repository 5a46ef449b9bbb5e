//! The third list: what learned-sparse vectors add to the score of both halves.

use std::collections::HashMap;

use berth_types::Fusion;

use super::{Candidate, HalfList, Trust, trust};
use crate::ChunkHit;

/// The list of learned-sparse vectors, with its share of the score.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SparseList {
    /// Documents by their sparse scores.
    pub list: HalfList,
    /// Sparse scores of chunks of documents that the list lacks; of several of a document the highest counts.
    pub supplied: Vec<ChunkHit>,
    /// Share of the score, 0 to 1; both halves have the rest.
    pub weight: f32,
}

/// What the sparse list made of a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SparsePart {
    /// Share of the list, 0 to 1.
    pub weight: f32,
    /// How far the list is trusted for this question, in adaptive fusion; none where shares are fixed.
    pub trust: Option<Trust>,
    /// From what its part is computed.
    pub source: SparseSource,
}

/// From what a document's part of the sparse list is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SparseSource {
    /// score / highest, of the list.
    Listed {
        /// Its sparse score.
        score: f32,
        /// The highest of the question.
        highest: f32,
    },
    /// The same, with a score that the caller computed.
    Supplied {
        /// Sparse score of one of its chunks.
        score: f32,
        /// The highest of the question.
        highest: f32,
    },
    /// The same, with the lowest score of the list, which the document cannot exceed; 0 where the list has all that share a
    /// piece with the question.
    Bound {
        /// The lowest of the list, or 0.
        score: f32,
        /// The highest of the question.
        highest: f32,
    },
    /// 2 / (k + rank); 0 where the list lacks the document.
    Rank {
        /// Damps the head of the list.
        k: f32,
        /// Its place in the list.
        rank: Option<usize>,
    },
}

impl SparsePart {
    /// What the list contributes to the score.
    pub fn value(&self) -> f32 {
        self.weight * self.trusted_share()
    }

    /// The document's share, times the trust.
    pub fn trusted_share(&self) -> f32 {
        let share = self.source.share();
        self.trust.map_or(share, |trust| trust.value * share)
    }

    /// The score, of what both halves give and of the list.
    pub fn joined(&self, halves: f32) -> f32 {
        (1.0 - self.weight) * halves + self.value()
    }
}

impl SparseSource {
    /// Where the document stands among the best of the question: at most 1 for scores; for ranks on the scale of those of
    /// both halves.
    pub fn share(&self) -> f32 {
        match *self {
            Self::Listed { score, highest } | Self::Supplied { score, highest } | Self::Bound { score, highest } => {
                if highest > 0.0 {
                    score / highest
                } else {
                    0.0
                }
            }
            Self::Rank { k, rank } => rank.map_or(0.0, |rank| 2.0 / (k + rank as f32)),
        }
    }
}

/// What is the same for all documents of one question.
pub(super) struct SparseScale<'a> {
    list: &'a HalfList,
    supplied: HashMap<u64, f32>,
    weight: f32,
    trust: Option<Trust>,
    /// k of reciprocal ranks; none where scores count.
    rank_k: Option<f32>,
}

impl<'a> SparseScale<'a> {
    /// `cosines` are those of chunks that the dense list lacks.
    pub(super) fn of(sparse: &'a SparseList, dense: &HalfList, cosines: &[ChunkHit], fusion: &Fusion) -> Self {
        let mut supplied: HashMap<u64, f32> = HashMap::with_capacity(sparse.supplied.len());
        for hit in &sparse.supplied {
            let score = supplied.entry(hit.document_no).or_insert(hit.score);
            *score = score.max(hit.score);
        }
        let rank_k = match *fusion {
            Fusion::Rrf { k, .. } => Some(k),
            Fusion::Adaptive { .. } | Fusion::Convex { .. } => None,
        };
        let trust = match *fusion {
            Fusion::Adaptive { .. } => Some(trust(dense, &sparse.list, cosines)),
            Fusion::Convex { .. } | Fusion::Rrf { .. } => None,
        };
        Self { list: &sparse.list, supplied, weight: sparse.weight.clamp(0.0, 1.0), trust, rank_k }
    }

    pub(super) fn part(&self, candidate: &Candidate) -> SparsePart {
        let highest = self.list.highest();
        let source = match (self.rank_k, candidate.sparse, self.supplied.get(&candidate.document_no)) {
            (Some(k), listed, _) => SparseSource::Rank { k, rank: listed.map(|document| document.rank) },
            (None, Some(document), _) => SparseSource::Listed { score: document.score, highest },
            (None, None, Some(&score)) => SparseSource::Supplied { score, highest },
            (None, None, None) => SparseSource::Bound { score: self.list.bound.unwrap_or(0.0), highest },
        };
        SparsePart { weight: self.weight, trust: self.trust, source }
    }
}
