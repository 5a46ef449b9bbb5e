//! One half's list of documents out of its list of chunks.

use std::collections::{HashMap, HashSet};

use berth_types::Aggregate;

use crate::ChunkHit;

/// A document in one half's list; where passages are ranked, a chunk, with its own number as `document_no`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DocScore {
    /// Number of the document.
    pub document_no: u64,
    /// Its place, from 1.
    pub rank: usize,
    /// What it scores by its chunks: cosines, BM25 or sparse scores.
    pub score: f32,
    /// Its best chunk of those that count; the one of lowest number among equals.
    pub chunk_id: u64,
    /// Score of that chunk.
    pub best: f32,
    /// How many chunks the score was computed from.
    pub chunks: u32,
    /// Share of the question's words that its best chunk has, each counting by its idf; 0 in the dense half.
    pub coverage: f32,
}

/// One half's documents, best first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HalfList {
    /// Each document once, ties by document number.
    pub documents: Vec<DocScore>,
    /// The most that a chunk which is not in the list can score; none when the list holds all that there is.
    pub bound: Option<f32>,
    /// The most that any chunk could score, listed or not; 0 where that is not known. Only theoretical bounds read it.
    pub ceiling: f32,
}

/// Scores each document by its best chunk and orders them, ties by document number.
///
/// `hits` are a half's best chunks in any order; `depth` is how many were asked for, so that a full list is known to
/// have been cut.
pub fn best_per_document(hits: &[ChunkHit], depth: usize) -> HalfList {
    per_document(hits, bound(hits, depth), Aggregate::Max)
}

/// The most that a chunk can score which is not among a half's `depth` best; none when `hits` are fewer, and so all.
pub fn bound(hits: &[ChunkHit], depth: usize) -> Option<f32> {
    let lowest = hits.iter().map(|hit| hit.score).min_by(f32::total_cmp);
    if hits.len() < depth { None } else { lowest }
}

/// Scores each document by its chunks in the list and orders them, ties by document number.
///
/// `bound` is the most that a chunk which is not in the list can score. For `First` the caller hands in first chunks alone.
pub fn per_document(hits: &[ChunkHit], bound: Option<f32>, aggregate: Aggregate) -> HalfList {
    let mut sorted = hits.to_vec();
    sorted.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk_id.cmp(&b.chunk_id)));
    let counted = match aggregate {
        Aggregate::Max | Aggregate::First => 1,
        Aggregate::TopMean(count) => count.max(1),
        Aggregate::Sum => usize::MAX,
    };
    let mut sums: HashMap<u64, (DocScore, f64)> = HashMap::with_capacity(sorted.len());
    for &ChunkHit { chunk_id, document_no, score, coverage } in &sorted {
        let fresh = DocScore { document_no, rank: 0, score, chunk_id, best: score, chunks: 0, coverage };
        let (document, sum) = sums.entry(document_no).or_insert((fresh, 0.0));
        if (document.chunks as usize) < counted {
            document.chunks += 1;
            *sum += f64::from(score);
        }
    }
    let whole = |(document, sum): (DocScore, f64)| {
        let score = match aggregate {
            Aggregate::Max | Aggregate::First => document.best,
            Aggregate::TopMean(_) => (sum / f64::from(document.chunks)) as f32,
            Aggregate::Sum => sum as f32,
        };
        DocScore { score, ..document }
    };
    ranked(sums.into_values().map(whole).collect(), bound)
}

/// Ranks the chunks themselves: each stands for itself, by its own number.
pub fn per_chunk(hits: &[ChunkHit], bound: Option<f32>) -> HalfList {
    let alone = |&ChunkHit { chunk_id, score, coverage, .. }: &ChunkHit| DocScore {
        document_no: chunk_id,
        rank: 0,
        score,
        chunk_id,
        best: score,
        chunks: 1,
        coverage,
    };
    ranked(hits.iter().map(alone).collect(), bound)
}

fn ranked(mut documents: Vec<DocScore>, bound: Option<f32>) -> HalfList {
    documents.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.document_no.cmp(&b.document_no)));
    for (rank, document) in (1..).zip(&mut documents) {
        document.rank = rank;
    }
    HalfList { documents, bound, ceiling: 0.0 }
}

impl HalfList {
    /// The list, with the most that any chunk could score.
    #[must_use]
    pub fn under(self, ceiling: f32) -> Self {
        Self { ceiling, ..self }
    }

    /// Highest score; 0 of an empty list.
    pub fn highest(&self) -> f32 {
        self.documents.first().map_or(0.0, |document| document.score)
    }

    /// Lowest score; 0 of an empty list.
    pub fn lowest(&self) -> f32 {
        self.documents.last().map_or(0.0, |document| document.score)
    }
}

/// Chunks whose cosine fusion could use: the best lexical chunks of documents that the dense half did not list, and the best
/// sparse ones of those that neither half listed.
pub fn chunks_without_cosine(dense: &HalfList, lexical: &HalfList, sparse: Option<&HalfList>) -> Vec<DocScore> {
    let mut listed: HashSet<u64> = dense.documents.iter().map(|document| document.document_no).collect();
    let all = lexical.documents.iter().chain(sparse.into_iter().flat_map(|sparse| &sparse.documents));
    all.filter(|document| listed.insert(document.document_no)).copied().collect()
}

/// Chunks whose sparse score fusion could use: the best ones in each half of documents that the sparse list lacks, each once.
pub fn chunks_without_sparse_score(dense: &HalfList, lexical: &HalfList, sparse: &HalfList) -> Vec<DocScore> {
    let listed: HashSet<u64> = sparse.documents.iter().map(|document| document.document_no).collect();
    let mut chunks = HashSet::new();
    let all = dense.documents.iter().chain(&lexical.documents);
    all.filter(|document| !listed.contains(&document.document_no) && chunks.insert(document.chunk_id))
        .copied()
        .collect()
}
