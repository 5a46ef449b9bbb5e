//! One list out of two: how cosine and BM25 become one score, and what every part of it was.
//!
//! Pure functions. A document is scored by its best chunk in each half (MaxP, Dai and Callan 2019), and then
//!
//! ```text
//! adaptive   w · cosine + (1 − w) · trust · BM25 / highest BM25       trust = 1 − s₁₀ / s₁
//! convex     w · cosine + (1 − w) · BM25 / highest BM25               (Bruch, Gai and Ingber 2023)
//! RRF        1 / (k + dense rank) + 1 / (k + lexical rank)            (Cormack, Clarke and Büttcher 2009)
//! ```
//!
//! with cosine from −1 to 1, BM25 without unit, w from 0 to 1, and s₁ and s₁₀ the highest and the tenth BM25 of the
//! question's documents. Where BM25's best answer stands out from the tenth, words have singled something out, and the
//! lexical half counts in full; where ten documents score alike, its order is close to chance. No labels are needed.
//! With whole texts and w = .5, nDCG@10 was .741 on SciFact (BM25 .68, dense .645), .558 on Cranfield (.519, .497) and
//! .566 on CoSQA (.340, .591), where the fixed share .7 that suits the first two gives .530.
//!
//! What is absent is bounded: a document that a half did not list scores there at most what the last listed chunk does.
//! A missing cosine is taken to be that bound unless the caller supplies the true one; a missing BM25 counts 0.

mod explain;

use std::collections::HashMap;

use berth_types::Fusion;

use crate::ChunkHit;
pub use explain::explain;

/// A document in one half's list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DocScore {
    /// Number of the document.
    pub document_no: u64,
    /// Its place, from 1.
    pub rank: usize,
    /// Score of its best chunk: cosine or BM25.
    pub score: f32,
    /// That chunk; the one of lowest number among equals.
    pub chunk_id: u64,
}

/// One half's documents, best first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HalfList {
    /// Each document once, ties by document number.
    pub documents: Vec<DocScore>,
    /// The most that a chunk which is not in the list can score; none when the list holds all that there is.
    pub bound: Option<f32>,
}

/// A document as fusion sees it: what each half says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Number of the document.
    pub document_no: u64,
    /// Its place in the dense list.
    pub dense: Option<DocScore>,
    /// A cosine that the dense list lacks and the caller supplied.
    pub supplied_cosine: Option<f32>,
    /// Its place in the lexical list.
    pub lexical: Option<DocScore>,
}

/// A document with its fused score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fused {
    /// Number of the document.
    pub document_no: u64,
    /// Higher is better.
    pub score: f32,
    /// The chunk to show: the best one of the half that contributes more.
    pub chunk_id: u64,
    /// Its place in the dense list.
    pub dense: Option<DocScore>,
    /// Its place in the lexical list.
    pub lexical: Option<DocScore>,
    /// What the score was computed from.
    pub arithmetic: Arithmetic,
}

/// What a fused score was computed from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arithmetic {
    /// dense_weight · cosine + lexical_weight · trust · bm25 / highest_bm25.
    Weighted {
        /// Share of the cosine.
        dense_weight: f32,
        /// Cosine of the best chunk.
        cosine: f32,
        /// Where the cosine came from.
        cosine_source: CosineSource,
        /// Share of BM25, 1 − dense_weight.
        lexical_weight: f32,
        /// How far the lexical half is trusted for this question, with what it was computed from; none when fixed.
        trust: Option<Trust>,
        /// BM25 of the best chunk; 0 when the lexical half did not list the document.
        bm25: f32,
        /// Highest BM25 of the question's documents; 0 when there is none.
        highest_bm25: f32,
    },
    /// Sum of 1 / (k + rank) over the lists that have the document.
    Reciprocal {
        /// Damps the head of the lists.
        k: f32,
    },
}

/// Where a cosine came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CosineSource {
    /// The dense half listed the document.
    Listed,
    /// The caller computed it for the document's best lexical chunk.
    Supplied,
    /// The lowest listed, which the document cannot exceed.
    Bound,
    /// The document has no vector.
    Absent,
}

/// How far the lexical half's scores can be trusted for one question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trust {
    /// 1 − tenth / first, from 0 to 1.
    pub value: f32,
    /// Highest BM25.
    pub first: f32,
    /// Tenth BM25.
    pub tenth: f32,
}

/// Place of the document that the best one is compared with: the depth at which answers are read and measured.
const TRUST_PLACE: usize = 10;

/// Scores each document by its best chunk and orders them, ties by document number.
///
/// `hits` are a half's best chunks in any order; `depth` is how many were asked for, so that a full list is known to
/// have been cut.
pub fn best_per_document(hits: &[ChunkHit], depth: usize) -> HalfList {
    let mut best: HashMap<u64, DocScore> = HashMap::with_capacity(hits.len());
    let mut lowest: Option<f32> = None;
    for hit in hits {
        lowest = Some(lowest.map_or(hit.score, |lowest| lowest.min(hit.score)));
        let ChunkHit { chunk_id, document_no, score } = *hit;
        let candidate = DocScore { document_no, rank: 0, score, chunk_id };
        let known = best.entry(document_no).or_insert(candidate);
        if score > known.score || (score == known.score && chunk_id < known.chunk_id) {
            *known = candidate;
        }
    }
    let mut documents: Vec<DocScore> = best.into_values().collect();
    documents.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.document_no.cmp(&b.document_no)));
    for (rank, document) in (1..).zip(&mut documents) {
        document.rank = rank;
    }
    HalfList { documents, bound: if hits.len() < depth { None } else { lowest } }
}

/// Chunks whose cosine fusion could use: the best lexical chunks of documents that the dense half did not list.
pub fn chunks_without_cosine(dense: &HalfList, lexical: &HalfList) -> Vec<u64> {
    let listed: std::collections::HashSet<u64> = dense.documents.iter().map(|document| document.document_no).collect();
    let missing = lexical.documents.iter().filter(|document| !listed.contains(&document.document_no));
    missing.map(|document| document.chunk_id).collect()
}

/// Joins both lists into one, best first, ties by document number.
///
/// `supplied` are cosines of chunks that the dense list lacks; those of listed documents are ignored, and so is a
/// document that neither list has. Reciprocal ranks make no use of them. Weights outside 0 to 1 are clamped.
pub fn fuse(dense: &HalfList, lexical: &HalfList, supplied: &[ChunkHit], fusion: &Fusion) -> Vec<Fused> {
    let scale = Scale::new(dense, lexical, *fusion);
    let mut fused: Vec<Fused> =
        candidates(dense, lexical, supplied).iter().map(|candidate| scale.apply(candidate)).collect();
    fused.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.document_no.cmp(&b.document_no)));
    fused
}

/// The union of both lists, in the order of document numbers.
pub fn candidates(dense: &HalfList, lexical: &HalfList, supplied: &[ChunkHit]) -> Vec<Candidate> {
    let mut by_document: HashMap<u64, Candidate> =
        HashMap::with_capacity(dense.documents.len() + lexical.documents.len());
    let empty = |document_no| Candidate { document_no, dense: None, supplied_cosine: None, lexical: None };
    for document in &dense.documents {
        let document_no = document.document_no;
        by_document.entry(document_no).or_insert_with(|| empty(document_no)).dense = Some(*document);
    }
    for document in &lexical.documents {
        let document_no = document.document_no;
        by_document.entry(document_no).or_insert_with(|| empty(document_no)).lexical = Some(*document);
    }
    for hit in supplied {
        if let Some(candidate) = by_document.get_mut(&hit.document_no)
            && candidate.dense.is_none()
        {
            let cosine = candidate.supplied_cosine.map_or(hit.score, |known| known.max(hit.score));
            candidate.supplied_cosine = Some(cosine);
        }
    }
    let mut candidates: Vec<Candidate> = by_document.into_values().collect();
    candidates.sort_unstable_by_key(|candidate| candidate.document_no);
    candidates
}

/// How far this list of BM25 scores can be trusted: 1 − tenth / first.
///
/// Where fewer than ten documents have any of the words, the tenth scores 0 and the trust is 1: words that rare single
/// documents out. A list that was cut before its tenth document (many chunks of few documents) takes its bound. No
/// document at all gives 0.
pub fn head_gap(lexical: &HalfList) -> Trust {
    let first = lexical.documents.first().map_or(0.0, |document| document.score);
    let tenth = match lexical.documents.get(TRUST_PLACE - 1) {
        Some(document) => document.score,
        None => lexical.bound.unwrap_or(0.0),
    };
    let value = if first > 0.0 { (1.0 - tenth / first).clamp(0.0, 1.0) } else { 0.0 };
    Trust { value, first, tenth }
}

/// What is the same for all documents of one question.
struct Scale {
    fusion: Fusion,
    trust: Option<Trust>,
    highest_bm25: f32,
    cosine_bound: Option<f32>,
}

impl Scale {
    fn new(dense: &HalfList, lexical: &HalfList, fusion: Fusion) -> Self {
        let trust = match fusion {
            Fusion::Adaptive { .. } => Some(head_gap(lexical)),
            Fusion::Convex { .. } | Fusion::Rrf { .. } => None,
        };
        let highest_bm25 = lexical.documents.first().map_or(0.0, |document| document.score);
        Self { fusion, trust, highest_bm25, cosine_bound: dense.bound }
    }

    fn apply(&self, candidate: &Candidate) -> Fused {
        let Candidate { document_no, dense, lexical, .. } = *candidate;
        let arithmetic = match self.fusion {
            Fusion::Adaptive { dense_weight } | Fusion::Convex { dense_weight } => {
                self.weighted(candidate, dense_weight.clamp(0.0, 1.0))
            }
            Fusion::Rrf { k } => Arithmetic::Reciprocal { k },
        };
        let mut fused = Fused { document_no, score: 0.0, chunk_id: 0, dense, lexical, arithmetic };
        let (dense_part, lexical_part) = fused.parts();
        fused.score = dense_part + lexical_part;
        let shown = if lexical_part > dense_part { lexical.or(dense) } else { dense.or(lexical) };
        fused.chunk_id = shown.map_or(0, |document| document.chunk_id);
        fused
    }

    fn weighted(&self, candidate: &Candidate, dense_weight: f32) -> Arithmetic {
        let listed = candidate.dense.map(|document| (document.score, CosineSource::Listed));
        let supplied = || candidate.supplied_cosine.map(|cosine| (cosine, CosineSource::Supplied));
        let bound = || self.cosine_bound.map(|cosine| (cosine, CosineSource::Bound));
        let (cosine, cosine_source) = listed.or_else(supplied).or_else(bound).unwrap_or((0.0, CosineSource::Absent));
        Arithmetic::Weighted {
            dense_weight,
            cosine,
            cosine_source,
            lexical_weight: 1.0 - dense_weight,
            trust: self.trust,
            bm25: candidate.lexical.map_or(0.0, |document| document.score),
            highest_bm25: self.highest_bm25,
        }
    }
}

impl Fused {
    /// What the dense and the lexical half contribute; their sum is the score.
    pub fn parts(&self) -> (f32, f32) {
        match self.arithmetic {
            Arithmetic::Weighted { dense_weight, cosine, lexical_weight, trust, bm25, highest_bm25, .. } => {
                let share = if highest_bm25 > 0.0 { bm25 / highest_bm25 } else { 0.0 };
                let trust = trust.map_or(1.0, |trust| trust.value);
                (dense_weight * cosine, lexical_weight * trust * share)
            }
            Arithmetic::Reciprocal { k } => {
                let part = |place: Option<DocScore>| place.map_or(0.0, |document| 1.0 / (k + document.rank as f32));
                (part(self.dense), part(self.lexical))
            }
        }
    }
}

#[cfg(test)]
mod tests;
