//! How far the lexical half can be trusted for one question, without labels.

use super::{HalfList, cosine_of};
use crate::ChunkHit;

/// How far the lexical half's scores can be trusted for one question: `gap` · `agreement`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trust {
    /// From 0 to 1.
    pub value: f32,
    /// 1 − later / first: how far the best document stands out.
    pub gap: f32,
    /// Highest BM25.
    pub first: f32,
    /// BM25 of the twentieth document.
    pub later: f32,
    /// cosine / highest_cosine: how good the dense half finds what the lexical half finds first.
    pub agreement: f32,
    /// Mean cosine of the lexical half's first ten documents.
    pub cosine: f32,
    /// Highest cosine of the question.
    pub highest_cosine: f32,
}

// Both places were chosen on SciFact train and CoSQA dev: docs/ranking.md has their neighbours.
/// Place of the document that the best one is compared with.
const GAP_PLACE: usize = 20;
/// Documents of the lexical half that the dense half is asked about: those that are read.
const AGREEMENT_DOCUMENTS: usize = 10;

/// How far these BM25 scores can be trusted.
///
/// The gap: where the best document stands far above the twentieth, words have singled something out; where twenty score
/// alike, their order is close to chance. Where fewer documents have any of the words, the twentieth scores 0 and the gap
/// is 1: words that rare single documents out. A list that was cut before (many chunks of few documents) takes its bound.
///
/// The agreement is a second opinion: where what the words found first means something else than the question, its
/// cosines are far below the highest. Without a dense half there is none, and the gap alone counts. Without a lexical
/// one the trust is 0.
pub fn trust(dense: &HalfList, lexical: &HalfList, supplied: &[ChunkHit]) -> Trust {
    let first = lexical.highest();
    let later = match lexical.documents.get(GAP_PLACE - 1) {
        Some(document) => document.score,
        None => lexical.bound.unwrap_or(0.0),
    };
    let gap = if first > 0.0 { (1.0 - later / first).clamp(0.0, 1.0) } else { 0.0 };
    let highest_cosine = dense.documents.iter().map(|document| document.best).fold(0.0, f32::max);
    let asked = &lexical.documents[..lexical.documents.len().min(AGREEMENT_DOCUMENTS)];
    let cosines = asked.iter().map(|document| cosine_of(document.document_no, dense, supplied).unwrap_or(0.0));
    let cosine = cosines.sum::<f32>() / asked.len().max(1) as f32;
    let agreement = if highest_cosine > 0.0 { (cosine / highest_cosine).clamp(0.0, 1.0) } else { 1.0 };
    Trust { value: gap * agreement, gap, first, later, agreement, cosine, highest_cosine }
}
