//! BM25 over chunks: a question's words become a disjunction of terms, answered exactly, in one order.
//!
//! Words are looked for in the chunk's `body` (title and text). `title:word`, without a space, looks for that word in
//! the title instead. Everything else that is not a word is a separator, so that nothing that can be typed is an error; what
//! operators let through is found elsewhere (`select`). A question of lone Han or Hangul characters also finds what
//! begins with them.
//! A word has a form in each language of the index; the forms count as one rare word, each where it stands.
//! A word that stands twice in the question counts twice (counting it once: +.005 nDCG@10 on SciFact's train questions,
//! −.004 on CoSQA's dev ones).
//!
//! The score is BM25 (Robertson et al. 1994) as tantivy computes it, k1 1.2 and b 0.75, with field lengths rounded to a
//! byte and statistics over all segments; deleted chunks count in the statistics until a merge drops them.

mod query;
mod top;
mod within;

use tantivy::postings::Postings;
use tantivy::query::{Bm25StatisticsProvider, Bm25Weight};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, DocSet, Searcher, SegmentReader, TERMINATED, Term};

use crate::select::Bits;
use crate::{ChunkHit, Error, LexicalAnswer};
use query::{Plan, QueryTerm};
use top::Candidate;

pub(crate) use query::{Asked, AskedWords, plain_words, words_of_question};
pub(crate) use within::Within;

/// k1 of BM25, as the engine has it.
pub(crate) const K1: f32 = 1.2;

/// The fields that lexical search reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fields {
    /// Title and text of the chunk, indexed with frequencies and field lengths.
    pub(crate) body: Field,
    /// Title alone, indexed likewise.
    pub(crate) title: Field,
    /// Fast field: number of the chunk.
    pub(crate) chunk_id: Field,
    /// Fast field: number of the chunk's document.
    pub(crate) document_no: Field,
}

/// What one term contributes to a chunk's BM25 score.
#[derive(Debug, Clone, PartialEq)]
pub struct TermScore {
    /// The term as it is in the index; `title:` before it when it was looked for in the title.
    pub term: String,
    /// How often the question has the term; a factor of the score.
    pub query_frequency: u32,
    /// How often the chunk has it.
    pub term_frequency: u32,
    /// Chunks that have it.
    pub document_frequency: u64,
    /// ln(1 + (N − n + 0.5) / (n + 0.5)), with N chunks of which n have the term.
    pub idf: f32,
    /// Terms in the chunk's field, as the index rounds it.
    pub field_length: u32,
    /// query_frequency · idf · (k1 + 1) · tf / (tf + k1 · (1 − b + b · length / average length)).
    pub score: f32,
}

/// Finds the `depth` chunks of highest BM25, best first, ties by chunk number; of what is let through alone, where that
/// is given. Where `seen` is, a word that none of these entries has is taken to be nowhere.
///
/// Equal chunks score equally in whichever segments they lie: what the engine's pruned search finds is scored once
/// more, term by term in a fixed order.
///
/// # Errors
/// `Lexical`, `Corrupted` and `Io` when the index cannot be read.
pub(crate) fn search_terms(
    searcher: &Searcher,
    fields: &Fields,
    asked: &AskedWords,
    (within, seen): (Option<Within<'_>>, Option<&[Bits]>),
    depth: usize,
) -> Result<LexicalAnswer, Error> {
    let Plan { terms, warnings } = query::plan(searcher, fields, asked, seen)?;
    let names = terms.iter().map(|term| term.name(fields)).collect();
    let chunks = searcher.total_num_docs()?;
    // A word counts once, in whichever form; in the title once more where that adds to it.
    let weight = |term: &QueryTerm| if term.is_other_form { 0.0 } else { term.factor() * idf(term, chunks) };
    let bonus = terms.iter().filter(|term| term.is_bonus()).map(weight).sum();
    let term_weights = terms.iter().map(|term| if term.is_bonus() { 0.0 } else { weight(term) }).collect();
    let mut hits = Vec::new();
    let may_be_unscored = within.is_some_and(|within| within.unscored);
    if depth > 0 && (may_be_unscored || terms.iter().any(|term| term.document_frequency > 0)) {
        let weights = weights(searcher, &terms)?;
        let candidates = match within {
            None => top::candidates(searcher, &terms, depth, None)?,
            Some(within) => within::candidates(searcher, &terms, &weights, within, depth)?,
        };
        for (segment, candidates) in candidates {
            score_segment(searcher.segment_reader(segment), fields, &terms, &weights, &candidates, &mut hits)?;
        }
        hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk_id.cmp(&b.chunk_id)));
        hits.truncate(depth);
    }
    Ok(LexicalAnswer { hits, terms: names, weights: term_weights, bonus, warnings })
}

/// Takes the score of one chunk apart, by terms that it has, in the question's order.
///
/// The scores, added in double precision, are the chunk's score in [`search_terms`]. Empty when there is no such chunk.
///
/// # Errors
/// As [`search_terms`].
pub(crate) fn explain(
    searcher: &Searcher,
    fields: &Fields,
    asked: &AskedWords,
    chunk_id: u64,
    seen: Option<&[Bits]>,
) -> Result<Vec<TermScore>, Error> {
    let Plan { terms, .. } = query::plan(searcher, fields, asked, seen)?;
    let Some((reader, document)) = find_chunk(searcher, fields, chunk_id)? else {
        return Ok(Vec::new());
    };
    let chunks = searcher.total_num_docs()?;
    let weights = weights(searcher, &terms)?;
    let mut scores = Vec::new();
    for (term, weight) in terms.iter().zip(&weights) {
        visit(reader, term, &[document], |_, term_frequency, length_id| {
            scores.push(TermScore {
                term: term.name(fields),
                query_frequency: term.count,
                term_frequency,
                document_frequency: term.document_frequency,
                idf: idf(term, chunks),
                field_length: tantivy::fieldnorm::FieldNormReader::id_to_fieldnorm(length_id),
                score: weight.score(length_id, term_frequency),
            });
        })?;
    }
    Ok(scores)
}

/// Scores candidates exactly, and reads their numbers.
fn score_segment(
    reader: &SegmentReader,
    fields: &Fields,
    terms: &[QueryTerm],
    weights: &[Bm25Weight],
    candidates: &[Candidate],
    hits: &mut Vec<ChunkHit>,
) -> Result<(), Error> {
    let documents: Vec<DocId> = candidates.iter().map(|candidate| candidate.document).collect();
    let mut scores = vec![0.0_f64; documents.len()];
    let mut covered = vec![0.0_f32; documents.len()];
    for (term, weight) in terms.iter().zip(weights) {
        let share = term.share;
        visit(reader, term, &documents, |position, term_frequency, length_id| {
            scores[position] += f64::from(weight.score(length_id, term_frequency));
            covered[position] += share;
        })?;
    }
    let chunk_ids = reader.fast_fields().u64(reader.schema().get_field_name(fields.chunk_id))?;
    let document_nos = reader.fast_fields().u64(reader.schema().get_field_name(fields.document_no))?;
    for ((&document, &score), coverage) in documents.iter().zip(&scores).zip(covered) {
        // The head of a document without text is no chunk; it has no term either.
        if score == 0.0 && chunk_ids.first(document).is_none() {
            continue;
        }
        hits.push(ChunkHit {
            chunk_id: number(reader, &chunk_ids, document)?,
            document_no: number(reader, &document_nos, document)?,
            score: score as f32,
            // Two forms of a word cover it once.
            coverage: coverage.min(1.0),
        });
    }
    Ok(())
}

/// Calls `found` with (position among `documents`, term frequency, length id) where a document has the term.
///
/// `documents` rise.
fn visit(
    reader: &SegmentReader,
    term: &QueryTerm,
    documents: &[DocId],
    mut found: impl FnMut(usize, u32, u8),
) -> Result<(), Error> {
    let inverted_index = reader.inverted_index(term.field)?;
    let Some(mut postings) = inverted_index.read_postings(&term.as_term(), IndexRecordOption::WithFreqs).map_err(io)?
    else {
        return Ok(());
    };
    let lengths = reader.get_fieldnorms_reader(term.field)?;
    for (position, &document) in documents.iter().enumerate() {
        if postings.doc() < document {
            postings.seek(document);
        }
        if postings.doc() == document {
            found(position, postings.term_freq(), lengths.fieldnorm_id(document));
        }
    }
    Ok(())
}

/// Whether any of the entries has a term.
fn is_among(searcher: &Searcher, term: &QueryTerm, entries: &[Bits]) -> Result<bool, Error> {
    for (reader, entries) in searcher.segment_readers().iter().zip(entries) {
        let index = reader.inverted_index(term.field)?;
        let Some(mut postings) = index.read_postings(&term.as_term(), IndexRecordOption::Basic).map_err(io)? else {
            continue;
        };
        while postings.doc() != TERMINATED {
            if entries.contains(postings.doc() as usize) {
                return Ok(true);
            }
            postings.advance();
        }
    }
    Ok(false)
}

/// ln(1 + (N − n + 0.5) / (n + 0.5)), as the engine computes it.
fn idf(term: &QueryTerm, chunks: u64) -> f32 {
    // A chunk that has two forms of a word counts twice among those that have it.
    let unseen = chunks.saturating_sub(term.document_frequency) as f32 + 0.5;
    (1.0 + unseen / (term.document_frequency as f32 + 0.5)).ln()
}

/// BM25 weights of the terms, over all segments; the question's repetitions are in them.
fn weights(searcher: &Searcher, terms: &[QueryTerm]) -> Result<Vec<Bm25Weight>, Error> {
    let chunks = searcher.total_num_docs()?;
    let mut averages: Vec<(Field, f32)> = Vec::new();
    let mut weights = Vec::with_capacity(terms.len());
    for term in terms {
        let known = averages.iter().find(|(field, _)| *field == term.field).map(|&(_, average)| average);
        let average = if let Some(average) = known {
            average
        } else {
            let average = searcher.total_num_tokens(term.field)? as f32 / chunks as f32;
            averages.push((term.field, average));
            average
        };
        let weight = Bm25Weight::for_one_term_without_explain(term.document_frequency, chunks, average);
        weights.push(weight.boost_by(term.factor()));
    }
    Ok(weights)
}

/// The live chunk with this number.
fn find_chunk<'a>(
    searcher: &'a Searcher,
    fields: &Fields,
    chunk_id: u64,
) -> Result<Option<(&'a SegmentReader, DocId)>, Error> {
    for reader in searcher.segment_readers() {
        let chunk_ids = reader.fast_fields().u64(reader.schema().get_field_name(fields.chunk_id))?;
        let found = reader.doc_ids_alive().find(|&document| chunk_ids.first(document) == Some(chunk_id));
        if let Some(document) = found {
            return Ok(Some((reader, document)));
        }
    }
    Ok(None)
}

fn number(reader: &SegmentReader, column: &tantivy::columnar::Column, document: DocId) -> Result<u64, Error> {
    column.first(document).ok_or_else(|| {
        let segment = reader.segment_id().uuid_string();
        Error::Lexical(tantivy::TantivyError::InternalError(format!("chunk {document} of {segment} has no number")))
    })
}

fn io(error: std::io::Error) -> Error {
    tantivy::TantivyError::from(error).into()
}

impl QueryTerm {
    fn as_term(&self) -> Term {
        Term::from_field_text(self.field, &self.text)
    }

    fn name(&self, fields: &Fields) -> String {
        if self.field == fields.title { format!("title:{}", self.text) } else { self.text.clone() }
    }
}

#[cfg(test)]
mod tests;
