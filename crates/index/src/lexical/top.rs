//! Finds every chunk that may be among the best, by tantivy's pruned search (block-max WAND).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use tantivy::query::{BooleanQuery, BoostQuery, EnableScoring, Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, Searcher, SegmentOrdinal};

use super::query::QueryTerm;
use crate::Error;

/// How far below the last place a chunk is still taken as a candidate, as a share of the score.
///
/// Two things are forgiven: sums of f32 in whichever order the postings met (about 1e-6), and the engine's block
/// bounds, which are computed with the average length of one segment where the score takes that of all.
const SLACK: f32 = 0.01;

/// A chunk within one segment, with its score as the engine added it up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    segment: SegmentOrdinal,
    pub(super) document: DocId,
    score: f32,
}

/// All chunks that may belong to the best `depth`, by segment, rising within it.
///
/// `depth` is at least 1.
pub(super) fn candidates(
    searcher: &Searcher,
    terms: &[QueryTerm],
    depth: usize,
) -> Result<BTreeMap<SegmentOrdinal, Vec<Candidate>>, Error> {
    let clauses = terms.iter().map(|term| (Occur::Should, clause(term))).collect();
    let weight = BooleanQuery::new(clauses).weight(EnableScoring::enabled_from_searcher(searcher))?;
    let mut best = Best::new(depth);
    for (segment, reader) in (0..).zip(searcher.segment_readers()) {
        let alive = reader.alive_bitset();
        weight.for_each_pruning(best.threshold, reader, &mut |document, score| {
            if alive.is_none_or(|alive| alive.is_alive(document)) {
                best.offer(Candidate { segment, document, score });
            }
            best.threshold
        })?;
    }
    let mut by_segment: BTreeMap<SegmentOrdinal, Vec<Candidate>> = BTreeMap::new();
    for candidate in best.into_candidates() {
        by_segment.entry(candidate.segment).or_default().push(candidate);
    }
    for candidates in by_segment.values_mut() {
        candidates.sort_unstable_by_key(|candidate| candidate.document);
    }
    Ok(by_segment)
}

fn clause(term: &QueryTerm) -> Box<dyn Query> {
    let query = Box::new(TermQuery::new(term.as_term(), IndexRecordOption::WithFreqs));
    if term.count == 1 { query } else { Box::new(BoostQuery::new(query, term.count as f32)) }
}

/// Candidates so far, and the score that the next one has to exceed.
struct Best {
    depth: usize,
    /// Bits of the best scores, the lowest on top. BM25 is positive, so that bits order as numbers do.
    scores: BinaryHeap<Reverse<u32>>,
    candidates: Vec<Candidate>,
    /// Size at which candidates that fell behind are dropped.
    limit: usize,
    threshold: f32,
}

impl Best {
    fn new(depth: usize) -> Self {
        let limit = depth.saturating_mul(4).max(1024);
        Self { depth, scores: BinaryHeap::new(), candidates: Vec::new(), limit, threshold: 0.0 }
    }

    fn offer(&mut self, candidate: Candidate) {
        self.candidates.push(candidate);
        self.scores.push(Reverse(candidate.score.to_bits()));
        if self.scores.len() > self.depth {
            self.scores.pop();
        }
        if self.scores.len() == self.depth
            && let Some(&Reverse(lowest)) = self.scores.peek()
        {
            self.threshold = f32::from_bits(lowest) * (1.0 - SLACK);
        }
        if self.candidates.len() >= self.limit {
            self.candidates.retain(|candidate| candidate.score > self.threshold);
            self.limit = self.limit.max(self.candidates.len() * 2);
        }
    }

    fn into_candidates(mut self) -> Vec<Candidate> {
        self.candidates.retain(|candidate| candidate.score > self.threshold);
        self.candidates
    }
}
