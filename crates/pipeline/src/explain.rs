//! How a score came about, as a tree of numbers that can be added up.

use berth_index::fusion::{self, DocScore, Explained};
use berth_index::{ChunkHit, Question, View};
use berth_types::{Aggregate, Explanation, Query};

use crate::lists::Found;
use crate::search::Ranked;
use crate::{Error, SparseEncoder};

/// What an explanation is made from.
pub(crate) struct Explaining<'a> {
    pub(crate) view: &'a View<'a>,
    pub(crate) query: &'a Query,
    pub(crate) question: &'a Question,
    pub(crate) found: &'a Found,
    /// Spells the pieces of sparse vectors.
    pub(crate) sparse: Option<&'a SparseEncoder>,
}

/// A list that a document is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Dense,
    Lexical,
    Sparse,
}

/// Takes the score of a document apart, down to the terms of BM25 and the pieces of sparse vectors.
///
/// What the value of a node is of its children's, the label says behind `=`.
pub(crate) fn explain(explaining: &Explaining<'_>, ranked: &Ranked) -> Result<Explanation, Error> {
    let found = explaining.found;
    let list = |document: Option<DocScore>, hits: &[ChunkHit], list| {
        let listed = document.map(|document| explaining.listed(document, Found::of_document(hits, document), list));
        listed.transpose()
    };
    let explained = Explained {
        cosine: list(ranked.dense, &found.dense_hits, List::Dense)?,
        bm25: list(ranked.lexical, &found.lexical_hits, List::Lexical)?,
        sparse: list(ranked.sparse, &found.sparse_hits, List::Sparse)?,
    };
    let mut root = match &ranked.fused {
        Some(fused) => fusion::explain(fused, explained),
        None => match explained.cosine.or(explained.bm25).or(explained.sparse) {
            Some(alone) => alone,
            None if ranked.pinned => leaf("pinned to this question; neither half returned it".to_owned(), ranked.score),
            None => return Err(Error::ChunkLost { chunk_id: ranked.chunk_id }),
        },
    };
    if let Some(late) = &ranked.late {
        root = late.explain(root);
    }
    if let Some(cross) = &ranked.cross {
        root = cross.explain(root);
    }
    Ok(match &ranked.novelty {
        Some(novelty) => novelty.explain(root),
        None => root,
    })
}

impl Explaining<'_> {
    /// What a document scores in one list: a chunk's score, or what was made of several.
    fn listed(&self, document: DocScore, mut hits: Vec<ChunkHit>, list: List) -> Result<Explanation, Error> {
        let (name, half) = match list {
            List::Dense => ("cosine", "the dense half"),
            List::Lexical => ("BM25", "the lexical half"),
            List::Sparse => ("sparse score", "the sparse list"),
        };
        let place = format!("place {} in {half}", document.rank);
        let several = match self.query.shaping.aggregate {
            Aggregate::TopMean(_) => "mean",
            Aggregate::Sum => "sum",
            Aggregate::Max | Aggregate::First => {
                let of = format!("the best chunk, {place}");
                return self.chunk(list, document.chunk_id, document.best, &of);
            }
        };
        if self.query.shaping.passages {
            return self.chunk(list, document.chunk_id, document.best, &format!("the chunk, {place}"));
        }
        hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk_id.cmp(&b.chunk_id)));
        hits.truncate(document.chunks as usize);
        let chunk = |hit: &ChunkHit| self.chunk(list, hit.chunk_id, hit.score, &format!("chunk {}", hit.chunk_id));
        let label = format!("{name}, {place} = {several} over {} chunks", hits.len());
        let children = hits.iter().map(chunk).collect::<Result<_, _>>()?;
        Ok(Explanation { label, value: document.score, children })
    }

    fn chunk(&self, list: List, chunk_id: u64, score: f32, of: &str) -> Result<Explanation, Error> {
        let (label, children) = match list {
            List::Dense => (format!("cosine of {of}"), Vec::new()),
            List::Lexical => (format!("BM25 of {of} = sum over terms"), self.terms(chunk_id)?),
            List::Sparse => (format!("sparse score of {of} = sum over pieces"), self.pieces(chunk_id)?),
        };
        Ok(Explanation { label, value: score, children })
    }

    fn terms(&self, chunk_id: u64) -> Result<Vec<Explanation>, Error> {
        let terms = self.view.explain(self.question, chunk_id)?.into_iter().map(|term| {
            let synonym = self.question.synonym_of(&term.term);
            let synonym = synonym.map_or_else(String::new, |of| format!(" (synonym of {of})"));
            let of_chunk = format!("{}{synonym}: {} in {} terms", term.term, term.term_frequency, term.field_length);
            // How many passages have it counts those that are hidden from the viewer.
            let label = if self.view.is_restricted() {
                of_chunk
            } else {
                format!("{of_chunk}, in {} chunks (idf {:.2})", term.document_frequency, term.idf)
            };
            leaf(label, term.score)
        });
        Ok(terms.collect())
    }

    fn pieces(&self, chunk_id: u64) -> Result<Vec<Explanation>, Error> {
        let Some(query) = &self.found.sparse_query else { return Ok(Vec::new()) };
        let pieces = self.view.snapshot().explain_sparse(query, chunk_id)?.into_iter().map(|part| {
            let piece = self.sparse.map_or_else(|| format!("[{}]", part.id), |sparse| sparse.piece(part.id));
            let (in_question, in_chunk) = (part.query_weight, part.chunk_weight);
            leaf(format!("{piece}: {in_question} in the question · {in_chunk} in the chunk"), part.score)
        });
        Ok(pieces.collect())
    }
}

/// The score before as what orders anew takes it: as it is, or as a share of the highest of the list.
pub(crate) fn share_before(score: f32, highest: Option<f32>) -> f32 {
    match highest {
        None => score,
        Some(highest) if highest > 0.0 => score / highest,
        Some(_) => 0.0,
    }
}

/// The arithmetic of [`share_before`], with that of the score before inside.
pub(crate) fn explain_share(before: Explanation, score: f32, highest: Option<f32>) -> Explanation {
    let Some(value) = highest else { return before };
    let label = "share = score before / highest score before".to_owned();
    let children = vec![before, leaf("highest score before".to_owned(), value)];
    Explanation { label, value: share_before(score, highest), children }
}

fn leaf(label: String, value: f32) -> Explanation {
    Explanation { label, value, children: Vec::new() }
}
