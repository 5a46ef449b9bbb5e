//! Orders the first documents anew by late interaction.

use berth_index::Snapshot;
use berth_types::{Explanation, TokenMatrix};

use crate::Error;
use crate::search::Ranked;

/// What late interaction made of a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LateScore {
    /// Sum over the query's tokens of the highest cosine with a token of the passage.
    pub(crate) max_sim: f32,
    /// Tokens of the query.
    pub(crate) query_tokens: usize,
    /// Place before, from 1.
    pub(crate) rank_before: usize,
    /// Score before.
    pub(crate) score_before: f32,
}

/// Scores the first `depth` documents by MaxSim and sorts them by it; those behind are let go. Of the passages that the
/// halves chose for a document, the one that scores higher counts and is shown.
pub(crate) fn rerank(
    snapshot: &Snapshot,
    query: &TokenMatrix,
    depth: usize,
    ranked: &mut Vec<Ranked>,
) -> Result<(), Error> {
    ranked.truncate(depth);
    let mut chunk_ids = Vec::with_capacity(2 * ranked.len());
    for document in ranked.iter() {
        chunk_ids.extend(candidates(document));
    }
    let mut scores = chunk_ids.iter().zip(snapshot.late_scores(query, &chunk_ids)?);
    for (position, document) in ranked.iter_mut().enumerate() {
        let count = candidates(document).count();
        let mut best: Option<(u64, f32)> = None;
        for (&chunk_id, score) in scores.by_ref().take(count) {
            let score = score.ok_or(Error::ChunkLost { chunk_id })?;
            if best.is_none_or(|(_, highest)| score > highest) {
                best = Some((chunk_id, score));
            }
        }
        let Some((chunk_id, max_sim)) = best else { continue };
        let (query_tokens, score_before) = (query.rows(), document.score);
        document.late = Some(LateScore { max_sim, query_tokens, rank_before: position + 1, score_before });
        document.chunk_id = chunk_id;
        document.score = max_sim / query_tokens as f32;
    }
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.document_no.cmp(&b.document_no)));
    Ok(())
}

/// The chunk to show and the best of each half, each once.
fn candidates(document: &Ranked) -> impl Iterator<Item = u64> {
    let shown = document.chunk_id;
    let dense = document.dense.map(|dense| dense.chunk_id).filter(|&chunk_id| chunk_id != shown);
    let lexical = document.lexical.map(|lexical| lexical.chunk_id);
    let lexical = lexical.filter(|&chunk_id| chunk_id != shown && Some(chunk_id) != dense);
    [Some(shown), dense, lexical].into_iter().flatten()
}

impl LateScore {
    /// The arithmetic, with that of the score before as a note at its end.
    pub(crate) fn explain(&self, before: Explanation) -> Explanation {
        let leaf = |label: &str, value: f32| Explanation { label: label.to_owned(), value, children: Vec::new() };
        let label = format!("not counted: {} (place {} before)", before.label, self.rank_before);
        Explanation {
            label: "late interaction = MaxSim / tokens of the query".to_owned(),
            value: self.max_sim / self.query_tokens as f32,
            children: vec![
                leaf("MaxSim = sum of the query tokens' highest cosines with a token of the passage", self.max_sim),
                leaf("tokens of the query", self.query_tokens as f32),
                Explanation { label, ..before },
            ],
        }
    }
}
