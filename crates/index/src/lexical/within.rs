//! Finds the best among the entries that are let through: by the search that prunes where these are many, by scoring each
//! of them where they are few.

use std::collections::BTreeMap;

use tantivy::query::Bm25Weight;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, Searcher, SegmentOrdinal, SegmentReader, TERMINATED};

use tantivy::postings::Postings;

use super::query::QueryTerm;
use super::top::{self, Candidate};
use super::{io, visit};
use crate::Error;
use crate::select::Bits;

/// Share of all entries up to which each is scored: one in so many. Measured on 100,000 chunks (`benches/filter.rs`).
const FEW: usize = 4;

/// What is let through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Within<'a> {
    /// A set for each segment.
    pub(crate) entries: &'a [Bits],
    /// Whether an entry without any of the terms is found too, with no score.
    pub(crate) unscored: bool,
}

/// All chunks that may belong to the best `depth`, by segment, rising within it.
pub(super) fn candidates(
    searcher: &Searcher,
    terms: &[QueryTerm],
    weights: &[Bm25Weight],
    within: Within<'_>,
    depth: usize,
) -> Result<BTreeMap<SegmentOrdinal, Vec<Candidate>>, Error> {
    let let_through: usize = within.entries.iter().map(Bits::len).sum();
    let all: usize = within.entries.iter().map(Bits::limit).sum();
    if !within.unscored && let_through * FEW > all {
        return top::candidates(searcher, terms, depth, Some(within.entries));
    }
    let mut found: Vec<(f32, SegmentOrdinal, DocId)> = Vec::new();
    for (segment, reader) in (0..).zip(searcher.segment_readers()) {
        let entries = &within.entries[segment as usize];
        let scores = scores(reader, terms, weights, entries)?;
        let with_scores = entries.iter().zip(scores).filter(|&(_, score)| score > 0.0 || within.unscored);
        found.extend(with_scores.map(|(entry, score)| (score as f32, segment, entry as DocId)));
    }
    if found.len() > depth {
        let (_, &mut (last, ..), _) = found.select_nth_unstable_by(depth - 1, |a, b| b.0.total_cmp(&a.0));
        // Ties of the last place are all kept: they are ordered by number.
        found.retain(|&(score, ..)| score >= last);
        found.sort_unstable_by_key(|&(_, segment, entry)| (segment, entry));
    }
    let mut by_segment: BTreeMap<SegmentOrdinal, Vec<Candidate>> = BTreeMap::new();
    for (score, segment, document) in found {
        by_segment.entry(segment).or_default().push(Candidate { segment, document, score });
    }
    Ok(by_segment)
}

/// The scores of a set of entries, in its order, each added up as the exact score is.
fn scores(
    reader: &SegmentReader,
    terms: &[QueryTerm],
    weights: &[Bm25Weight],
    entries: &Bits,
) -> Result<Vec<f64>, Error> {
    let documents: Vec<DocId> = entries.iter().map(|entry| entry as DocId).collect();
    let mut scores = vec![0.0_f64; documents.len()];
    if documents.is_empty() {
        return Ok(scores);
    }
    let ranks = entries.ranks();
    for (term, weight) in terms.iter().zip(weights) {
        let index = reader.inverted_index(term.field)?;
        let term_in_segment = term.as_term();
        let Some(info) = index.get_term_info(&term_in_segment).map_err(io)? else { continue };
        if documents.len() < info.doc_freq as usize {
            visit(reader, term, &documents, |position, term_frequency, length_id| {
                scores[position] += f64::from(weight.score(length_id, term_frequency));
            })?;
            continue;
        }
        let mut postings = index.read_postings_from_terminfo(&info, IndexRecordOption::WithFreqs).map_err(io)?;
        let lengths = reader.get_fieldnorms_reader(term.field)?;
        let mut entry = postings.doc();
        while entry != TERMINATED {
            if entries.contains(entry as usize) {
                let position = entries.rank(&ranks, entry as usize);
                scores[position] += f64::from(weight.score(lengths.fieldnorm_id(entry), postings.term_freq()));
            }
            entry = postings.advance();
        }
    }
    Ok(scores)
}
