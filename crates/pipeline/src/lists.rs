//! The lists that a question gets from an index, up to their fusion: documents out of chunks, the scores that one list lacks of
//! what others found, and how likely each document is to answer.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use berth_index::fusion::{self, DocScore, HalfList, SparseList};
use berth_index::relevance::{Curves, Features};
use berth_index::{ChunkHit, Snapshot};
use berth_types::{Aggregate, Embedding, Lists, Mode, Query, SparseVector, sparse_score};

use crate::Error;
use crate::search::Ranked;

/// Fewest chunks asked of each list. Deep enough that the union of all lists holds nearly every document that the
/// fused top ten can have, whatever the windows a document has.
const LEAST_DEPTH: usize = 500;
/// Chunks asked of each list for one document wanted.
const DEPTH_PER_DOCUMENT: usize = 5;

/// Chunks asked of each list for an answer of `k` documents. A depth that was chosen is not multiplied: who asks for more
/// documents than it has gets more chunks anyway.
pub(crate) fn depth_for(k: usize, lists: Lists) -> usize {
    let built_in = || LEAST_DEPTH.max(k.saturating_mul(DEPTH_PER_DOCUMENT));
    lists.depth.map_or_else(built_in, NonZeroUsize::get)
}

/// The chunks that the lists have and that count.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) dense_hits: Vec<ChunkHit>,
    pub(crate) lexical_hits: Vec<ChunkHit>,
    pub(crate) sparse_hits: Vec<ChunkHit>,
    /// The most BM25 that a chunk could have, what titles add left out.
    pub(crate) ceiling: f32,
    /// The question's sparse vector, where that list was asked.
    pub(crate) sparse_query: Option<SparseVector>,
}

/// One list's documents out of its chunks, and the chunks that count: all, or the first of each document.
pub(crate) fn half(
    snapshot: &Snapshot,
    query: &Query,
    mut hits: Vec<ChunkHit>,
    depth: usize,
) -> Result<(HalfList, Vec<ChunkHit>), Error> {
    let bound = fusion::bound(&hits, depth);
    if query.shaping.passages {
        return Ok((fusion::per_chunk(&hits, bound), hits));
    }
    let aggregate = query.shaping.aggregate;
    if aggregate == Aggregate::First {
        let chunk_ids: Vec<u64> = hits.iter().map(|hit| hit.chunk_id).collect();
        let mut ordinals = snapshot.ordinals(&chunk_ids)?.into_iter();
        hits.retain(|_| ordinals.next().flatten() == Some(0));
    }
    Ok((fusion::per_document(&hits, bound, aggregate), hits))
}

/// True cosines for documents that the dense half did not list.
pub(crate) fn missing_cosines(
    snapshot: &Snapshot,
    embedding: &Embedding,
    dense: &HalfList,
    lexical: &HalfList,
    sparse: Option<&HalfList>,
) -> Result<Vec<ChunkHit>, Error> {
    let wanted = fusion::chunks_without_cosine(dense, lexical, sparse);
    let cosines = snapshot.dense_scores(embedding, &chunk_ids(&wanted))?;
    Ok(supplied(wanted, cosines))
}

/// The sparse list with true scores for documents that it lacks.
pub(crate) fn with_missing_scores(
    snapshot: &Snapshot,
    query: &SparseVector,
    dense: &HalfList,
    lexical: &HalfList,
    (list, weight): (HalfList, f32),
) -> Result<SparseList, Error> {
    // Where the list holds all that share a piece with the question, the others score 0.
    if list.bound.is_none() {
        return Ok(SparseList { list, supplied: Vec::new(), weight });
    }
    let wanted = fusion::chunks_without_sparse_score(dense, lexical, &list);
    let scores = snapshot.sparse_scores(query, &chunk_ids(&wanted))?;
    Ok(SparseList { list, supplied: supplied(wanted, scores), weight })
}

fn chunk_ids(documents: &[DocScore]) -> Vec<u64> {
    documents.iter().map(|document| document.chunk_id).collect()
}

fn supplied(wanted: Vec<DocScore>, scores: Vec<Option<f32>>) -> Vec<ChunkHit> {
    let hits = wanted.into_iter().zip(scores).filter_map(|(DocScore { chunk_id, document_no, .. }, score)| {
        Some(ChunkHit { chunk_id, document_no, score: score?, coverage: 0.0 })
    });
    hits.collect()
}

impl Found {
    /// The chunks of `hits` that a document's score was computed from, or the one chunk where passages are ranked.
    pub(crate) fn of_document(hits: &[ChunkHit], document: DocScore) -> Vec<ChunkHit> {
        hits.iter().filter(|hit| hit.document_no == document.document_no).copied().collect()
    }

    /// Says how relevant each is and, where passages were ranked, whose they are.
    pub(crate) fn finish(&self, query: &Query, curves: &Curves, ranked: &mut [Ranked]) {
        let curve = curves.of(query.mode);
        // What the question scores with itself is what a chunk can hardly exceed.
        let own_score = self.sparse_query.as_ref().map_or(0.0, |query| sparse_score(query.dot(query)));
        for one in ranked.iter_mut() {
            let best = |list: Option<DocScore>| list.map_or(0.0, |document| document.best);
            let share = |score: f32, most: f32| if most > 0.0 { (score / most).min(1.0) } else { 0.0 };
            let coverage = match query.mode {
                Mode::Sparse => share(best(one.sparse), own_score),
                _ => share(best(one.lexical), self.ceiling),
            };
            let cosine = one.fused.map_or(one.dense.map(|document| document.best), |fused| fused.cosine);
            one.features = Features { cosine: cosine.unwrap_or(0.0), coverage };
            one.relevance = curve.at(one.features.cosine, coverage);
        }
        if query.shaping.passages {
            let hits = self.dense_hits.iter().chain(&self.lexical_hits).chain(&self.sparse_hits);
            let document_of: HashMap<u64, u64> = hits.map(|hit| (hit.chunk_id, hit.document_no)).collect();
            for one in ranked {
                one.document_no = document_of.get(&one.document_no).copied().unwrap_or(one.document_no);
            }
        }
    }
}
