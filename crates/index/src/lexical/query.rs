//! What a question asks of the lexical half: which terms, in which field, how often.

use std::collections::{BTreeMap, HashMap};

use tantivy::Searcher;
use tantivy::schema::Field;

use super::Fields;
use crate::Error;
use crate::analysis::{self, AnalysedTerm};

/// Most distinct terms that one question is answered for. Longer questions are pasted documents; their rarest 1,024
/// words say what they are about, and the time of an answer stays bounded.
pub(super) const MAX_TERMS: usize = 1024;

/// Most pairs that one lone character is looked for in.
const MAX_PAIRS: usize = 64;

/// Before a word that is looked for in titles.
const TITLE_PREFIX: &str = "title:";

/// A distinct term of a question.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct QueryTerm {
    pub(super) field: Field,
    pub(super) text: String,
    /// How often the question has it.
    pub(super) count: u32,
    /// Chunks that have it, over all segments.
    pub(super) document_frequency: u64,
}

/// What will be looked for.
pub(super) struct Plan {
    /// Distinct, in order of first appearance.
    pub(super) terms: Vec<QueryTerm>,
    pub(super) warnings: Vec<String>,
}

/// A term of a question, before the index is asked about it.
pub(crate) struct Wanted {
    /// Whether it is to be in the title.
    pub(crate) in_title: bool,
    /// The term, and where in the question it stands.
    pub(crate) term: AnalysedTerm,
}

/// Takes a question apart, in order of appearance, repetitions included.
pub(crate) fn query_terms(text: &str) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    let mut at = 0;
    for piece in text.split_inclusive(char::is_whitespace) {
        let in_title = piece.starts_with(TITLE_PREFIX) && !piece[TITLE_PREFIX.len()..].trim().is_empty();
        let skipped = if in_title { TITLE_PREFIX.len() } else { 0 };
        for mut term in analysis::terms(&piece[skipped..]) {
            term.byte_range = term.byte_range.start + at + skipped..term.byte_range.end + at + skipped;
            wanted.push(Wanted { in_title, term });
        }
        at += piece.len();
    }
    wanted
}

/// A term, and whether it is to be in the title.
pub(crate) type Term = (bool, String);

/// The terms of a question in plain words.
pub(crate) fn plain_terms(text: &str) -> Vec<Term> {
    query_terms(text).into_iter().map(|wanted| (wanted.in_title, wanted.term.text)).collect()
}

/// Counts a question's terms and asks the index how rare they are.
pub(super) fn plan(searcher: &Searcher, fields: &Fields, wanted: &[Term]) -> Result<Plan, Error> {
    let mut terms: Vec<QueryTerm> = Vec::new();
    let mut positions: HashMap<&Term, usize> = HashMap::new();
    for term in wanted {
        let (in_title, text) = term;
        let field = if *in_title { fields.title } else { fields.body };
        let next = terms.len();
        let position = *positions.entry(term).or_insert(next);
        if position == next {
            terms.push(QueryTerm { field, text: text.clone(), count: 0, document_frequency: 0 });
        }
        terms[position].count += 1;
    }
    if terms.is_empty() {
        return Ok(Plan { terms, warnings: vec!["the query has no searchable words".to_owned()] });
    }
    if terms.iter().all(|term| analysis::is_lone(&term.text)) {
        add_pairs(searcher, &mut terms)?;
    }
    for term in &mut terms {
        term.document_frequency = searcher.doc_freq(&term.as_term())?;
    }
    let warnings = keep_rarest(&mut terms);
    Ok(Plan { terms, warnings })
}

/// Adds the commonest pairs that begin with the question's characters.
///
/// `책` alone is not a term of a text that has `책을` or `책상`. Only done where no longer word was asked for, so that
/// the bound syllables of a Korean sentence draw nothing in.
fn add_pairs(searcher: &Searcher, terms: &mut Vec<QueryTerm>) -> Result<(), Error> {
    let mut pairs = Vec::new();
    for term in terms.iter() {
        let mut frequencies: BTreeMap<String, u64> = BTreeMap::new();
        for reader in searcher.segment_readers() {
            let inverted_index = reader.inverted_index(term.field)?;
            let dictionary = inverted_index.terms();
            let mut stream = dictionary.range().ge(&term.text).into_stream().map_err(super::io)?;
            while let Some((key, info)) = stream.next() {
                if !key.starts_with(term.text.as_bytes()) {
                    break;
                }
                if let Ok(pair) = std::str::from_utf8(key)
                    && pair.chars().count() == 2
                {
                    *frequencies.entry(pair.to_owned()).or_default() += u64::from(info.doc_freq);
                }
            }
        }
        let mut commonest: Vec<(String, u64)> = frequencies.into_iter().collect();
        commonest.sort_by_key(|&(_, frequency)| std::cmp::Reverse(frequency));
        for (text, _) in commonest.into_iter().take(MAX_PAIRS) {
            pairs.push(QueryTerm { field: term.field, text, count: term.count, document_frequency: 0 });
        }
    }
    terms.append(&mut pairs);
    Ok(())
}

/// Keeps the rarest terms that the index has where there are too many; ties in order of appearance.
fn keep_rarest(terms: &mut Vec<QueryTerm>) -> Vec<String> {
    let distinct = terms.len();
    if distinct <= MAX_TERMS {
        return Vec::new();
    }
    terms.retain(|term| term.document_frequency > 0);
    if terms.len() <= MAX_TERMS {
        return Vec::new();
    }
    let mut frequencies: Vec<(u64, usize)> =
        terms.iter().enumerate().map(|(position, term)| (term.document_frequency, position)).collect();
    let (_, &mut last_kept, _) = frequencies.select_nth_unstable(MAX_TERMS - 1);
    let mut position = 0;
    terms.retain(|term| {
        let is_kept = (term.document_frequency, position) <= last_kept;
        position += 1;
        is_kept
    });
    vec![format!("the query has {distinct} distinct words; only the rarest {MAX_TERMS} of them count")]
}
