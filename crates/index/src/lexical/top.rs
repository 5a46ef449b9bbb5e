//! Finds every chunk that may be among the best, by tantivy's pruned search (block-max WAND).

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use tantivy::query::{Bm25StatisticsProvider, BooleanQuery, BoostQuery, EnableScoring, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, Searcher, SegmentOrdinal, SegmentReader, Term};

use super::query::QueryTerm;
use crate::Error;
use crate::select::Bits;

/// k1 · b of the engine's BM25.
const K1_B: f64 = 1.2 * 0.75;

/// Least share of a field's length that the index remembers: lengths above 40 are rounded down, to the next of the
/// engine's table of 256, whose steps are an eighth at most.
const REMEMBERED: f64 = 8.0 / 9.0;

/// A chunk within one segment, with its score as the engine added it up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) segment: SegmentOrdinal,
    pub(super) document: DocId,
    pub(super) score: f32,
}

/// All chunks that may belong to the best `depth`, by segment, rising within it.
///
/// `depth` is at least 1. Where `within` is given, of these entries alone: a set for each segment.
pub(super) fn candidates(
    searcher: &Searcher,
    terms: &[QueryTerm],
    depth: usize,
    within: Option<&[Bits]>,
) -> Result<BTreeMap<SegmentOrdinal, Vec<Candidate>>, Error> {
    let clauses = terms.iter().map(|term| (Occur::Should, clause(term))).collect();
    let frequencies = terms.iter().map(|term| (term.as_term(), term.document_frequency)).collect();
    let statistics = OfWords { searcher, frequencies };
    let scoring = EnableScoring::enabled_from_statistics_provider(&statistics, searcher);
    let weight = BooleanQuery::new(clauses).weight(scoring)?;
    let averages = averages(searcher, terms)?;
    // Sums of f32 in whichever order the postings met: each of two sums is off by half a unit for each term.
    let mut best = Best::new(depth, (terms.len() + 16) as f32 * f32::EPSILON);
    for (segment, reader) in (0..).zip(searcher.segment_readers()) {
        let alive = reader.alive_bitset();
        let within = within.map(|sets| &sets[segment as usize]);
        let is_wanted = |document: DocId| match within {
            None => alive.is_none_or(|alive| alive.is_alive(document)),
            // What is deleted is in no set.
            Some(entries) => entries.contains(document as usize),
        };
        let trust = bound_trust(reader, &averages)?;
        weight.for_each_pruning(best.floor * trust, reader, &mut |document, score| {
            if score > best.floor && is_wanted(document) {
                best.offer(Candidate { segment, document, score });
            }
            best.floor * trust
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

/// Statistics in which a term is as common as the word whose form it is.
struct OfWords<'a> {
    searcher: &'a Searcher,
    frequencies: HashMap<Term, u64>,
}

impl Bm25StatisticsProvider for OfWords<'_> {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        self.searcher.total_num_tokens(field)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        self.searcher.total_num_docs()
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        self.frequencies.get(term).map_or_else(|| self.searcher.doc_freq(term), |&frequency| Ok(frequency))
    }
}

/// The average length of each field that is asked for, over all segments, as the scores take it.
fn averages(searcher: &Searcher, terms: &[QueryTerm]) -> Result<BTreeMap<Field, f64>, Error> {
    let chunks = searcher.total_num_docs()? as f64;
    let mut averages = BTreeMap::new();
    for term in terms {
        if let Entry::Vacant(entry) = averages.entry(term.field) {
            entry.insert(searcher.total_num_tokens(term.field)? as f64 / chunks);
        }
    }
    Ok(averages)
}

/// What the engine's upper bounds of a segment have to be divided by to be upper bounds; 1 or a little less where its
/// chunks are as long as those of the other segments.
///
/// A chunk's share of a term's weight is f(c) = tf / (tf + k1 · (1 − b + b · length / c)), with c = g, the average length
/// over all segments. The engine bounds it in two ways:
///
/// - For a block of postings it remembers the pair of length and tf that has the highest f(s), with s the average length
///   of the segment, and takes f(g) of that pair. The factor behind k1 changes by no more than the ratio of the two
///   averages when one takes the other's place, and f by no more than that factor. So, with r = min(s / g, g / s): if
///   s ≥ g, then f(g) ≤ f(s) for every pair and f(s) ≤ f(g) / r; if s < g, then f(s) ≤ f(g) and f(g) ≤ f(s) / r. Either
///   way a chunk's f(g) ≤ the highest f(s), or that divided by r, ≤ the remembered pair's f(g) / r.
/// - For a whole list of postings it takes the f(g) of an endless chunk of nothing but the term, 1 / (1 + k1 · b / g). A
///   chunk whose length was rounded down can have 1 / (1 + k1 · b · 8/9 / g).
///
/// `averages` has g by field. A segment's own average is that of the time it was written, deleted chunks included.
fn bound_trust(reader: &SegmentReader, averages: &BTreeMap<Field, f64>) -> Result<f32, Error> {
    let mut trust = 1.0_f64;
    for (&field, &average) in averages {
        let tokens = reader.inverted_index(field)?.total_num_tokens();
        if tokens > 0 {
            let own = tokens as f64 / f64::from(reader.max_doc());
            let of_blocks = (own / average).min(average / own);
            let of_lists = (average + K1_B * REMEMBERED) / (average + K1_B);
            trust = trust.min(of_blocks).min(of_lists);
        }
    }
    Ok(trust as f32)
}

fn clause(term: &QueryTerm) -> Box<dyn Query> {
    let query = Box::new(TermQuery::new(term.as_term(), IndexRecordOption::WithFreqs));
    if term.factor() == 1.0 { query } else { Box::new(BoostQuery::new(query, term.factor())) }
}

/// Candidates so far, and the score that the next one has to exceed.
struct Best {
    depth: usize,
    /// Bits of the best scores, the lowest on top. BM25 is positive, so that bits order as numbers do.
    scores: BinaryHeap<Reverse<u32>>,
    candidates: Vec<Candidate>,
    /// Size at which candidates that fell behind are dropped.
    limit: usize,
    /// Share of the last place's score by which a candidate may be below it, for what rounding does to both.
    slack: f32,
    floor: f32,
}

impl Best {
    fn new(depth: usize, slack: f32) -> Self {
        let limit = depth.saturating_mul(4).max(1024);
        Self { depth, scores: BinaryHeap::new(), candidates: Vec::new(), limit, slack, floor: 0.0 }
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
            self.floor = f32::from_bits(lowest) * (1.0 - self.slack);
        }
        if self.candidates.len() >= self.limit {
            self.candidates.retain(|candidate| candidate.score > self.floor);
            self.limit = self.limit.max(self.candidates.len() * 2);
        }
    }

    fn into_candidates(mut self) -> Vec<Candidate> {
        self.candidates.retain(|candidate| candidate.score > self.floor);
        self.candidates
    }
}
