//! One list out of two, or of three: how cosine, BM25 and what learned-sparse vectors say become one score, and what every
//! part of it was.
//!
//! Pure functions. A document is scored by its best chunk in each half (MaxP, Dai and Callan 2019) or by another rule
//! (`lists.rs`), and then
//!
//! ```text
//! adaptive   w · cosine + (1 − w) · trust · share · √(share · coverage)    share = BM25 / highest BM25
//! convex     w · cosine on a scale + (1 − w) · BM25 on a scale        (Bruch, Gai and Ingber 2023)
//! RRF        2w / (k + dense rank) + 2(1 − w) / (k + lexical rank)    (Cormack, Clarke and Büttcher 2009, at w = .5)
//! ```
//!
//! with cosine from −1 to 1, BM25 without unit, and w from 0 to 1. Coverage is the share of the question's words that the
//! document's best chunk has, each counting by its idf: of two documents of one BM25, one that has more of the words is
//! more likely the answer than one that repeats a few. The scales are in `scale.rs`. The trust (`trust.rs`) is made
//! of what both halves answer to this question, without labels: how far BM25's best document stands out, and whether the
//! dense half finds good what BM25 found first. docs/ranking.md has the study.
//!
//! Where there is a sparse list, it has a share s, from 0 to 1, of the score, and both halves have the rest (`sparse.rs`):
//!
//! ```text
//! (1 − s) · score of both halves + s · part
//!
//! adaptive   part = trust · sparse score / highest sparse score
//! convex     part = sparse score / highest sparse score
//! RRF        part = 2 / (k + sparse rank)
//! ```
//!
//! with a trust that is made of the sparse list as that of the lexical half is of its own.
//!
//! What is absent is bounded: a document that a half did not list scores there at most what the last listed chunk does.
//! A missing cosine is taken to be that bound unless the caller supplies the true one; a missing BM25 counts 0, or the
//! lowest listed on a scale that has no other 0.

mod explain;
mod lists;
mod scale;
mod sparse;
mod trust;

use std::collections::HashMap;

use berth_types::{Fusion, Normalize};

use crate::ChunkHit;
use sparse::SparseScale;

pub use explain::{Explained, explain};
pub use lists::{
    DocScore, HalfList, best_per_document, bound, chunks_without_cosine, chunks_without_sparse_score, per_chunk,
    per_document,
};
pub use scale::{Measure, Scale};
pub use sparse::{SparseList, SparsePart, SparseSource};
pub use trust::{Trust, trust};

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
    /// Its place in the sparse list.
    pub sparse: Option<DocScore>,
}

/// A document with its fused score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fused {
    /// Number of the document.
    pub document_no: u64,
    /// Higher is better.
    pub score: f32,
    /// The chunk to show: the best one of the list that contributes the most.
    pub chunk_id: u64,
    /// Its place in the dense list.
    pub dense: Option<DocScore>,
    /// Its place in the lexical list.
    pub lexical: Option<DocScore>,
    /// Its place in the sparse list.
    pub sparse: Option<DocScore>,
    /// Cosine of its best chunk, or the most that it can be; none when the document has no vector.
    pub cosine: Option<f32>,
    /// What the score of both halves was computed from.
    pub arithmetic: Arithmetic,
    /// What the sparse list made of it; none where there is no such list, and then the score is that of both halves.
    pub sparse_part: Option<SparsePart>,
}

/// What a fused score was computed from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arithmetic {
    /// dense_weight · share of the cosine + lexical_weight · share of BM25; where there is a trust, the latter times
    /// trust · √(share of BM25 · coverage).
    Weighted {
        /// Share of the dense half.
        dense_weight: f32,
        /// Cosine of the best chunk, or what was made of those of several.
        cosine: f32,
        /// Where the cosine came from.
        cosine_source: CosineSource,
        /// What cosines are measured by.
        cosine_scale: Scale,
        /// Share of the lexical half, 1 − dense_weight.
        lexical_weight: f32,
        /// How far the lexical half is trusted for this question, with what it was computed from; none when fixed.
        trust: Option<Trust>,
        /// BM25 of the best chunk, or of several; 0 when the lexical half did not list the document.
        bm25: f32,
        /// What BM25 is measured by.
        bm25_scale: Scale,
        /// Share of the question's words that the best chunk has; only adaptive fusion reads it.
        coverage: f32,
    },
    /// 2 · weight / (k + rank), summed over the lists that have the document.
    Reciprocal {
        /// Damps the head of the lists.
        k: f32,
        /// Share of the dense half.
        dense_weight: f32,
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

/// Joins both lists into one, best first, ties by document number.
///
/// `supplied` are cosines of chunks that the dense list lacks; those of listed documents are ignored, and so is a
/// document that neither list has. Reciprocal ranks make no use of them. Weights outside 0 to 1 are clamped.
pub fn fuse(dense: &HalfList, lexical: &HalfList, supplied: &[ChunkHit], fusion: &Fusion) -> Vec<Fused> {
    fuse_with_sparse(dense, lexical, supplied, None, fusion)
}

/// As [`fuse`], with a sparse list where there is one.
pub fn fuse_with_sparse(
    dense: &HalfList,
    lexical: &HalfList,
    supplied: &[ChunkHit],
    sparse: Option<&SparseList>,
    fusion: &Fusion,
) -> Vec<Fused> {
    let joining = Joining::new(dense, lexical, supplied, sparse, *fusion);
    let candidates = candidates(dense, lexical, supplied, sparse);
    let mut fused: Vec<Fused> = candidates.iter().map(|candidate| joining.apply(candidate)).collect();
    fused.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.document_no.cmp(&b.document_no)));
    fused
}

/// Numbers and scores of the best `k` of [`fuse_with_sparse`], in the same order, for lists whose union is known: for those who join
/// the same lists in many ways.
pub fn best_of(
    candidates: &[Candidate],
    (dense, lexical, sparse): (&HalfList, &HalfList, Option<&SparseList>),
    supplied: &[ChunkHit],
    fusion: &Fusion,
    k: usize,
) -> Vec<(u64, f32)> {
    let joining = Joining::new(dense, lexical, supplied, sparse, *fusion);
    let scored = candidates.iter().map(|candidate| (candidate.document_no, joining.apply(candidate).score));
    let mut best: Vec<(u64, f32)> = scored.collect();
    let order = |a: &(u64, f32), b: &(u64, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if k < best.len() {
        best.select_nth_unstable_by(k, order);
        best.truncate(k);
    }
    best.sort_unstable_by(order);
    best
}

/// The union of all lists, in the order of document numbers.
pub fn candidates(
    dense: &HalfList,
    lexical: &HalfList,
    supplied: &[ChunkHit],
    sparse: Option<&SparseList>,
) -> Vec<Candidate> {
    let sparse_documents = sparse.map_or(&[][..], |sparse| &sparse.list.documents);
    let mut by_document: HashMap<u64, Candidate> =
        HashMap::with_capacity(dense.documents.len() + lexical.documents.len() + sparse_documents.len());
    let mut note = |document: &DocScore, put: fn(&mut Candidate, DocScore)| {
        let document_no = document.document_no;
        let empty = Candidate { document_no, dense: None, supplied_cosine: None, lexical: None, sparse: None };
        put(by_document.entry(document_no).or_insert(empty), *document);
    };
    for document in &dense.documents {
        note(document, |candidate, place| candidate.dense = Some(place));
    }
    for document in &lexical.documents {
        note(document, |candidate, place| candidate.lexical = Some(place));
    }
    for document in sparse_documents {
        note(document, |candidate, place| candidate.sparse = Some(place));
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

/// Cosine of a document's best chunk: listed, else supplied, else the most that it can be; none when it has no vector.
fn cosine_of(document_no: u64, dense: &HalfList, supplied: &[ChunkHit]) -> Option<f32> {
    let listed = dense.documents.iter().find(|document| document.document_no == document_no);
    let supplied = || {
        let cosines = supplied.iter().filter(|hit| hit.document_no == document_no).map(|hit| hit.score);
        cosines.max_by(f32::total_cmp)
    };
    listed.map(|document| document.best).or_else(supplied).or(dense.bound)
}

/// What is the same for all documents of one question.
struct Joining<'a> {
    sparse: Option<SparseScale<'a>>,
    fusion: Fusion,
    trust: Option<Trust>,
    cosine_scale: Scale,
    bm25_scale: Scale,
    cosine_bound: Option<f32>,
    absent_bm25: f32,
}

impl<'a> Joining<'a> {
    fn new(
        dense: &HalfList,
        lexical: &HalfList,
        supplied: &[ChunkHit],
        sparse: Option<&'a SparseList>,
        fusion: Fusion,
    ) -> Self {
        let (trust, normalize) = match fusion {
            Fusion::Adaptive { .. } => (Some(trust(dense, lexical, supplied)), Normalize::Max),
            Fusion::Convex { normalize, .. } => (None, normalize),
            Fusion::Rrf { .. } => (None, Normalize::Max),
        };
        let cosine_scale = Scale::of_cosines(dense, normalize);
        let bm25_scale = Scale::of_bm25(lexical, normalize);
        let absent_bm25 = bm25_scale.absent_bm25(lexical);
        let sparse = sparse.map(|sparse| SparseScale::of(sparse, dense, supplied, &fusion));
        Self { sparse, fusion, trust, cosine_scale, bm25_scale, cosine_bound: dense.bound, absent_bm25 }
    }

    fn apply(&self, candidate: &Candidate) -> Fused {
        let Candidate { document_no, dense, lexical, sparse, .. } = *candidate;
        let arithmetic = match self.fusion {
            Fusion::Adaptive { dense_weight } | Fusion::Convex { dense_weight, .. } => {
                self.weighted(candidate, dense_weight.clamp(0.0, 1.0))
            }
            Fusion::Rrf { k, dense_weight } => Arithmetic::Reciprocal { k, dense_weight: dense_weight.clamp(0.0, 1.0) },
        };
        let cosine = dense.map(|document| document.best).or(candidate.supplied_cosine).or(self.cosine_bound);
        let sparse_part = self.sparse.as_ref().map(|scale| scale.part(candidate));
        let mut fused =
            Fused { document_no, score: 0.0, chunk_id: 0, dense, lexical, sparse, cosine, arithmetic, sparse_part };
        let (dense_part, lexical_part) = fused.parts();
        let halves = dense_part + lexical_part;
        fused.score = sparse_part.map_or(halves, |part| part.joined(halves));
        let of_halves = if lexical_part > dense_part { lexical.or(dense) } else { dense.or(lexical) };
        let decides = |part: &SparsePart| part.value() > (1.0 - part.weight) * dense_part.max(lexical_part).max(0.0);
        let shown = if sparse_part.as_ref().is_some_and(decides) { sparse.or(of_halves) } else { of_halves.or(sparse) };
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
            cosine_scale: self.cosine_scale,
            lexical_weight: 1.0 - dense_weight,
            trust: self.trust,
            bm25: candidate.lexical.map_or(self.absent_bm25, |document| document.score),
            bm25_scale: self.bm25_scale,
            coverage: candidate.lexical.map_or(0.0, |document| document.coverage),
        }
    }
}

/// share · √(share · coverage): takes from documents behind the best what they have by common words.
fn covered(share: f32, coverage: f32) -> f32 {
    share * (share * coverage).max(0.0).sqrt()
}

impl Fused {
    /// What the dense and the lexical half contribute; their sum is the score of both halves.
    pub fn parts(&self) -> (f32, f32) {
        match self.arithmetic {
            Arithmetic::Weighted {
                dense_weight,
                cosine,
                cosine_scale,
                lexical_weight,
                trust,
                bm25,
                bm25_scale,
                coverage,
                ..
            } => {
                let share = bm25_scale.share(bm25);
                let lexical = match trust {
                    Some(trust) => lexical_weight * trust.value * covered(share, coverage),
                    None => lexical_weight * share,
                };
                (dense_weight * cosine_scale.share(cosine), lexical)
            }
            Arithmetic::Reciprocal { k, dense_weight } => {
                let part = |weight: f32, place: Option<DocScore>| {
                    place.map_or(0.0, |document| 2.0 * weight / (k + document.rank as f32))
                };
                (part(dense_weight, self.dense), part(1.0 - dense_weight, self.lexical))
            }
        }
    }
}

#[cfg(test)]
mod tests;
