//! What a question asks of the lexical half: which terms, in which field, how often.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use tantivy::Searcher;
use tantivy::query::Bm25StatisticsProvider;
use tantivy::schema::Field;

use super::{Fields, idf, is_among};
use crate::Error;
use crate::analysis::{self, AnalysedWord, Analyses};
use crate::select::Bits;

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
    /// Chunks that have it, over all segments; of a word of several forms those that have any of them, a chunk that has
    /// two counted twice: the form of a rare language is not a rare word.
    pub(super) document_frequency: u64,
    /// Whether a form of the same word is before it, or the word that it is a synonym of.
    pub(super) is_other_form: bool,
    /// Its share of the idf of the question's words.
    pub(super) share: f32,
    /// What its BM25 is multiplied by where it only adds to what a word scores anyway: in the title, for a word that may be
    /// anywhere.
    pub(super) bonus: Option<f32>,
}

/// The words of a question, as the index is asked for them.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct AskedWords {
    pub(crate) words: Vec<Asked>,
    /// What BM25 of the title adds for words that may be anywhere; 0: nothing.
    pub(crate) title_boost: f32,
}

/// What will be looked for.
pub(super) struct Plan {
    /// Distinct, in order of first appearance.
    pub(super) terms: Vec<QueryTerm>,
    pub(super) warnings: Vec<String>,
}

/// A word of a question, before the index is asked about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    /// Whether it is to be in the title.
    pub(crate) in_title: bool,
    /// Its terms in the languages of the index, each once; at least one.
    pub(crate) forms: Vec<String>,
    /// Whether it stands beside a word of the question as its synonym: who has the word need not have it too.
    pub(crate) is_synonym: bool,
}

impl QueryTerm {
    /// Whether it only adds to what the word scores where it is asked for.
    pub(super) fn is_bonus(&self) -> bool {
        self.bonus.is_some()
    }

    /// What its BM25 is multiplied by.
    pub(super) fn factor(&self) -> f32 {
        self.count as f32 * self.bonus.unwrap_or(1.0)
    }
}

/// The words of a question in plain words, in order of appearance, repetitions included.
pub(crate) fn plain_words(text: &str, analyses: &Analyses) -> Vec<Asked> {
    let asked = |(in_title, word): (bool, AnalysedWord)| Asked { in_title, forms: word.distinct(), is_synonym: false };
    take_apart(text, analyses).into_iter().map(asked).collect()
}

/// The words of a question with where they stand in it.
pub(crate) fn words_of_question(text: &str, analyses: &Analyses) -> impl Iterator<Item = AnalysedWord> {
    take_apart(text, analyses).into_iter().map(|(_, word)| word)
}

/// The words of a question, and whether each is to be in the title.
fn take_apart(text: &str, analyses: &Analyses) -> Vec<(bool, AnalysedWord)> {
    let mut words = Vec::new();
    let mut at = 0;
    for piece in text.split_inclusive(char::is_whitespace) {
        let in_title = piece.starts_with(TITLE_PREFIX) && !piece[TITLE_PREFIX.len()..].trim().is_empty();
        let skipped = if in_title { TITLE_PREFIX.len() } else { 0 };
        for mut word in analysis::words(&piece[skipped..], analyses) {
            word.byte_range = word.byte_range.start + at + skipped..word.byte_range.end + at + skipped;
            words.push((in_title, word));
        }
        at += piece.len();
    }
    words
}

/// Counts a question's words and asks the index how rare they are.
pub(super) fn plan(
    searcher: &Searcher,
    fields: &Fields,
    asked: &AskedWords,
    seen: Option<&[Bits]>,
) -> Result<Plan, Error> {
    let AskedWords { words: asked, title_boost } = asked;
    let mut words: Vec<(&Asked, u32)> = Vec::new();
    let mut positions: HashMap<&Asked, usize> = HashMap::new();
    for word in asked {
        let next = words.len();
        let position = *positions.entry(word).or_insert(next);
        if position == next {
            words.push((word, 0));
        }
        words[position].1 += 1;
    }
    if words.is_empty() {
        return Ok(Plan { terms: Vec::new(), warnings: vec!["the query has no searchable words".to_owned()] });
    }
    let mut terms = Vec::new();
    for (word, count) in &words {
        let field = if word.in_title { fields.title } else { fields.body };
        terms.extend(forms(searcher, (field, word, *count), seen)?);
    }
    merge_equals(&mut terms);
    let mut bonus = Vec::new();
    if *title_boost > 0.0 {
        for (word, count) in words.iter().filter(|(word, _)| !word.in_title) {
            let in_title = forms(searcher, (fields.title, word, *count), seen)?.into_iter();
            let found = in_title.filter(|term| term.document_frequency > 0);
            bonus.extend(found.map(|term| QueryTerm { bonus: Some(*title_boost), ..term }));
        }
        merge_equals(&mut bonus);
    }
    if asked.iter().all(|word| analysis::is_lone(&word.forms[0])) {
        add_pairs(searcher, &mut terms)?;
    }
    let warnings = keep_rarest(&mut terms);
    keep_rarest(&mut bonus);
    terms.append(&mut bonus);
    share(&mut terms, searcher.total_num_docs()?);
    Ok(Plan { terms, warnings })
}

/// Tells each term its share of the idf of the question's words.
fn share(terms: &mut [QueryTerm], chunks: u64) {
    let counts = |term: &&QueryTerm| !term.is_other_form && !term.is_bonus();
    let of_words: f32 = terms.iter().filter(counts).map(|term| idf(term, chunks)).sum();
    for term in terms {
        // A word in the title is in the chunk's text, too, and covered there.
        let is_counted = of_words > 0.0 && !term.is_bonus();
        term.share = if is_counted { idf(term, chunks) / of_words } else { 0.0 };
    }
}

/// The forms of a word that the index has; the first one where it has none.
fn forms(
    searcher: &Searcher,
    (field, word, count): (Field, &Asked, u32),
    seen: Option<&[Bits]>,
) -> Result<Vec<QueryTerm>, Error> {
    let mut terms = Vec::with_capacity(word.forms.len());
    for text in &word.forms {
        let term = QueryTerm {
            field,
            text: text.clone(),
            count,
            document_frequency: 0,
            is_other_form: false,
            share: 0.0,
            bonus: None,
        };
        let mut document_frequency = searcher.doc_freq(&term.as_term())?;
        if let Some(seen) = seen
            && document_frequency > 0
            && !is_among(searcher, &term, seen)?
        {
            document_frequency = 0;
        }
        terms.push(QueryTerm { document_frequency, ..term });
    }
    if terms.iter().any(|term| term.document_frequency > 0) {
        terms.retain(|term| term.document_frequency > 0);
    } else {
        terms.truncate(1);
    }
    let of_any: u64 = terms.iter().map(|term| term.document_frequency).sum();
    let of_any = of_any.min(searcher.total_num_docs()?);
    for (position, term) in terms.iter_mut().enumerate() {
        term.document_frequency = of_any;
        term.is_other_form = word.is_synonym || position > 0;
    }
    Ok(terms)
}

/// Words that share a form have it once.
fn merge_equals(terms: &mut Vec<QueryTerm>) {
    let mut positions: HashMap<(Field, String), usize> = HashMap::new();
    let mut merged: Vec<QueryTerm> = Vec::with_capacity(terms.len());
    for term in terms.drain(..) {
        match positions.entry((term.field, term.text.clone())) {
            Entry::Vacant(entry) => {
                entry.insert(merged.len());
                merged.push(term);
            }
            Entry::Occupied(entry) => {
                let known = &mut merged[*entry.get()];
                known.count += term.count;
                known.document_frequency = known.document_frequency.max(term.document_frequency);
                known.is_other_form &= term.is_other_form;
            }
        }
    }
    *terms = merged;
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
        for (text, document_frequency) in commonest.into_iter().take(MAX_PAIRS) {
            pairs.push(QueryTerm { text, document_frequency, is_other_form: true, ..term.clone() });
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
