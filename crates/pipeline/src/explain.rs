//! How a score came about, as a tree of numbers that can be added up.

use berth_index::fusion::{self, DocScore};
use berth_index::{ChunkHit, Question, View};
use berth_types::{Aggregate, Explanation, Query};

use crate::Error;
use crate::search::{Found, Ranked};

/// Takes the score of a document apart, down to the terms of BM25.
///
/// What the value of a node is of its children's, the label says behind `=`.
pub(crate) fn explain(
    view: &View<'_>,
    (query, question): (&Query, &Question),
    found: &Found,
    ranked: &Ranked,
) -> Result<Explanation, Error> {
    let half = |document: DocScore, hits: &[ChunkHit], lexical| {
        half_score(view, (query, question), document, Found::of_document(hits, document), lexical)
    };
    let cosine = ranked.dense.map(|document| half(document, &found.dense_hits, false)).transpose()?;
    let bm25 = ranked.lexical.map(|document| half(document, &found.lexical_hits, true)).transpose()?;
    let mut root = match &ranked.fused {
        Some(fused) => fusion::explain(fused, cosine, bm25),
        None if ranked.pinned && cosine.is_none() && bm25.is_none() => {
            leaf("pinned to this question; neither half returned it".to_owned(), ranked.score)
        }
        None => cosine.or(bm25).ok_or(Error::ChunkLost { chunk_id: ranked.chunk_id })?,
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

/// What a document scores in one half: a chunk's score, or what was made of several.
fn half_score(
    view: &View<'_>,
    (query, question): (&Query, &Question),
    document: DocScore,
    mut hits: Vec<ChunkHit>,
    lexical: bool,
) -> Result<Explanation, Error> {
    let (name, half) = if lexical { ("BM25", "lexical") } else { ("cosine", "dense") };
    let place = format!("place {} in the {half} half", document.rank);
    let chunk = |chunk_id: u64, score: f32, of: &str| -> Result<Explanation, Error> {
        if !lexical {
            return Ok(leaf(format!("cosine of {of}"), score));
        }
        let terms = view.explain(question, chunk_id)?.into_iter().map(|term| {
            let synonym = question.synonym_of(&term.term);
            let synonym = synonym.map_or_else(String::new, |of| format!(" (synonym of {of})"));
            let of_chunk = format!("{}{synonym}: {} in {} terms", term.term, term.term_frequency, term.field_length);
            // How many passages have it counts those that are hidden from the viewer.
            let label = if view.is_restricted() {
                of_chunk
            } else {
                format!("{of_chunk}, in {} chunks (idf {:.2})", term.document_frequency, term.idf)
            };
            leaf(label, term.score)
        });
        Ok(Explanation { label: format!("BM25 of {of} = sum over terms"), value: score, children: terms.collect() })
    };
    let several = match query.shaping.aggregate {
        Aggregate::TopMean(_) => "mean",
        Aggregate::Sum => "sum",
        Aggregate::Max | Aggregate::First => {
            return chunk(document.chunk_id, document.best, &format!("the best chunk, {place}"));
        }
    };
    if query.shaping.passages {
        return chunk(document.chunk_id, document.best, &format!("the chunk, {place}"));
    }
    hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk_id.cmp(&b.chunk_id)));
    hits.truncate(document.chunks as usize);
    let children = hits.iter().map(|hit| chunk(hit.chunk_id, hit.score, &format!("chunk {}", hit.chunk_id)));
    let label = format!("{name}, {place} = {several} over {} chunks", hits.len());
    Ok(Explanation { label, value: document.score, children: children.collect::<Result<_, _>>()? })
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
