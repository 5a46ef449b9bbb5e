//! Orders the first documents anew by a cross-encoder: a model that reads question and passage together, one run a pair.
//!
//! ```text
//! w · score of the pair (0 to 1) + (1 − w) · score before
//! ```
//!
//! It is slow, so a time can be set. Documents that it does not reach stay behind those that it does, in their old order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use berth_encoder::Encoder;
use berth_index::Snapshot;
use berth_types::Explanation;

use crate::Error;
use crate::explain::{explain_share, share_before};
use crate::rerank::Blend;
use crate::search::Ranked;

/// Pairs on their way at once: enough to keep a few workers busy, few enough not to overrun the time by much.
const PAIRS_AHEAD: usize = 4;

/// What a cross-encoder made of a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CrossScore {
    /// Share of the pair's score, 0 to 1.
    pub(crate) weight: f32,
    /// Score of the pair.
    pub(crate) score: f32,
    /// Place in the new order, from 1.
    pub(crate) rank: usize,
    rank_before: usize,
    score_before: f32,
    /// What the score before is divided by; none where it counts as it is.
    highest_before: Option<f32>,
}

/// Scores of the first documents' passages, as many as `depth` and the time allow.
pub(crate) fn pair_scores(
    snapshot: &Snapshot,
    encoder: &Encoder,
    query: &str,
    ranked: &[Ranked],
    budget: Option<Duration>,
) -> Result<Vec<f32>, Error> {
    let started = Instant::now();
    let mut scores = Vec::with_capacity(ranked.len());
    let mut ahead = VecDeque::new();
    for document in ranked {
        if budget.is_some_and(|budget| started.elapsed() >= budget) {
            break;
        }
        let lost = Error::ChunkLost { chunk_id: document.chunk_id };
        let passage = snapshot.passage(document.chunk_id)?.ok_or(lost)?;
        ahead.push_back(encoder.ask_pair(query, &passage.text, false)?);
        if ahead.len() == PAIRS_AHEAD
            && let Some(asked) = ahead.pop_front()
        {
            scores.push(asked.wait()?.score);
        }
    }
    for asked in ahead {
        scores.push(asked.wait()?.score);
    }
    Ok(scores)
}

/// Sorts the documents that have a score by it and what they scored before; those without follow as they were, and those
/// beyond the depth are let go.
pub(crate) fn rerank_across(scores: &[f32], blend: &Blend, ranked: &mut Vec<Ranked>) {
    ranked.truncate(blend.depth);
    let highest_before = if blend.scaled { ranked.first().map(|first| first.score) } else { None };
    for ((document, &score), rank_before) in ranked.iter_mut().zip(scores).zip(1..) {
        let (weight, score_before) = (blend.weight, document.score);
        let cross = CrossScore { weight, score, rank: 0, rank_before, score_before, highest_before };
        document.score = cross.total();
        document.cross = Some(cross);
    }
    let reached = scores.len().min(ranked.len());
    ranked[..reached].sort_by(|a, b| b.score.total_cmp(&a.score).then(a.document_no.cmp(&b.document_no)));
    for (rank, document) in (1..).zip(&mut ranked[..reached]) {
        if let Some(cross) = &mut document.cross {
            cross.rank = rank;
        }
    }
}

impl CrossScore {
    fn total(&self) -> f32 {
        let (pair, before) = self.parts();
        pair + before
    }

    fn parts(&self) -> (f32, f32) {
        (self.weight * self.score, (1.0 - self.weight) * self.share_before())
    }

    fn share_before(&self) -> f32 {
        share_before(self.score_before, self.highest_before)
    }

    /// The arithmetic, with that of the score before inside.
    pub(crate) fn explain(&self, before: Explanation) -> Explanation {
        let node = |label: &str, value, children| Explanation { label: label.to_owned(), value, children };
        let leaf = |label: &str, value| node(label, value, Vec::new());
        let share = explain_share(before, self.score_before, self.highest_before);
        let pair = vec![leaf("weight of the cross-encoder", self.weight), leaf("score of the pair", self.score)];
        let before = vec![leaf("weight of the score before", 1.0 - self.weight), share];
        let (pair_part, before_part) = self.parts();
        let label = format!("score before (place {}) = product", self.rank_before);
        let parts = vec![node("cross-encoder = product", pair_part, pair), node(&label, before_part, before)];
        node("ordered anew = cross-encoder + score before", self.total(), parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(document_no: u64, score: f32) -> Ranked {
        Ranked { document_no, score, ..Ranked::default() }
    }

    #[test]
    fn what_was_reached_is_sorted_and_the_rest_follows() {
        let mut documents = vec![ranked(1, 0.9), ranked(2, 0.8), ranked(3, 0.7), ranked(4, 0.6), ranked(5, 0.5)];
        let blend = Blend { depth: 4, weight: 1.0, scaled: false };
        rerank_across(&[0.25, 0.75], &blend, &mut documents);
        let order: Vec<_> = documents.iter().map(|document| (document.document_no, document.score)).collect();
        assert_eq!(order, [(2, 0.75), (1, 0.25), (3, 0.7), (4, 0.6)]);
        let ranks: Vec<_> = documents.iter().map(|document| document.cross.as_ref().map(|cross| cross.rank)).collect();
        assert_eq!(ranks, [Some(1), Some(2), None, None]);
    }

    #[test]
    fn the_arithmetic_adds_up() {
        for (weight, scaled, expected) in [(1.0, false, 0.25), (0.5, false, 4.125), (0.5, true, 0.625)] {
            let mut documents = vec![ranked(1, 8.0)];
            rerank_across(&[0.25], &Blend { depth: 9, weight, scaled }, &mut documents);
            assert_eq!(documents[0].score, expected);
            let before = Explanation { label: "before".to_owned(), value: 8.0, children: Vec::new() };
            let root = documents[0].cross.clone().unwrap().explain(before);
            assert_eq!((root.value, root.children.iter().map(|part| part.value).sum()), (expected, expected));
            for part in &root.children {
                assert_eq!(part.value, part.children.iter().map(|factor| factor.value).product::<f32>());
            }
        }
    }
}
