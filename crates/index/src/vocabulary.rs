//! The words of an index: how one that was begun goes on, and which one may have been meant.
//!
//! The index holds words as they are written, folded; runs and the words of an index of an older format as terms only. What
//! is shown to people is a word of a text that gives the term, read back from a passage that may be seen; so nothing is
//! shown that stands in hidden documents alone.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;
use tantivy::query::FuzzyTermQuery;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, DocSet, TERMINATED, Term};

use crate::analysis::{AnalysedTerm, changes};
use crate::lexical::words_of_question;
use crate::lookup::chunk_of;
use crate::select::{Bits, Question};
use crate::{Error, Snapshot, View, analysis};

/// Terms that are looked at for one beginning, the commonest first.
const MOST_CANDIDATES: usize = 2_000;
/// Passages that are read to find how a stem is written.
const PASSAGES_READ: usize = 12;
/// Passages that are read where the stem is shorter than what was typed.
const PASSAGES_READ_FOR_STEM: usize = 40;
/// Letters of a word in place of which another one may have been meant, and those of one that may be off by two.
const LEAST_LETTERS: usize = 4;
const LEAST_LETTERS_FOR_TWO: usize = 6;
/// Terms that are compared as words.
const MOST_COMPARED: usize = 6;
/// Words of a question that are looked up.
const MOST_WORDS: usize = 32;
/// Longest word that a run of Chinese, Japanese or Korean characters gives.
const LONGEST_RUN: usize = 12;

/// A word and how common it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WordCount {
    /// As texts have it, in lower case.
    pub word: String,
    /// Passages that have it; in an index of an older format in whichever form.
    pub passages: u64,
}

/// Which terms of the vocabulary are wanted.
#[derive(Debug, Clone, Copy)]
enum Like<'a> {
    Beginning(&'a str),
    Near(&'a str, u8),
}

/// The field in which words are looked up.
#[derive(Debug, Clone, Copy)]
struct Dictionary {
    field: Field,
    /// Whether it has words as they are written and not their stems.
    is_written: bool,
}

impl Dictionary {
    /// The one that has words such as this.
    fn of(snapshot: &Snapshot, word: &str) -> Self {
        let schema = &snapshot.lookup().schema;
        match schema.languages.filter(|_| !is_run(word)) {
            Some(languages) => Self { field: languages.words, is_written: true },
            None => Self { field: schema.fields().body, is_written: false },
        }
    }

    /// Words with how many entries of the lexical half have them, deleted ones included; the commonest first.
    fn words(self, snapshot: &Snapshot, like: Like<'_>) -> Result<Vec<(String, u64)>, Error> {
        let mut counts = BTreeMap::<String, u64>::new();
        let mut count = |key: &[u8], frequency: u32| {
            if let Ok(term) = std::str::from_utf8(key) {
                *counts.entry(term.to_owned()).or_default() += u64::from(frequency);
            }
        };
        for reader in snapshot.lookup().searcher.segment_readers() {
            let index = reader.inverted_index(self.field)?;
            match like {
                Like::Beginning(prefix) => {
                    let mut stream = index.terms().range().ge(prefix).into_stream().map_err(io)?;
                    while let Some((key, info)) = stream.next() {
                        if !key.starts_with(prefix.as_bytes()) {
                            break;
                        }
                        count(key, info.doc_freq);
                    }
                }
                Like::Near(term, distance) => {
                    let term = Term::from_field_text(self.field, term);
                    let automaton = FuzzyTermQuery::new(term, distance, true).automaton()?;
                    let mut stream = index.terms().search(automaton).into_stream().map_err(io)?;
                    while let Some((key, info)) = stream.next() {
                        count(key, info.doc_freq);
                    }
                }
            }
        }
        let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
        counts.sort_by_key(|&(_, frequency)| std::cmp::Reverse(frequency));
        Ok(counts)
    }

    /// The words of a text that give a term of this field, by where they stand.
    fn places(self, text: &str, term: &str) -> Vec<Range<usize>> {
        let gives = |found: &AnalysedTerm| {
            if self.is_written { analysis::folded(&text[found.byte_range.clone()]) == term } else { found.text == term }
        };
        analysis::terms(text).into_iter().filter(gives).map(|found| found.byte_range).collect()
    }
}

/// Where a term is, of what is seen.
#[derive(Debug, Default)]
struct Occurrences {
    entries: u64,
    /// Segment and entry of the first ones.
    first: Vec<(usize, DocId)>,
}

impl View<'_> {
    /// Words of the texts that begin with what was typed, in whichever case and with or without accents; the commonest first,
    /// ties by spelling. None for what is no beginning of a word.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn completions(&self, typed: &str, limit: usize) -> Result<Vec<WordCount>, Error> {
        let prefix = beginning(typed.trim());
        if prefix.is_empty() || !prefix.chars().all(char::is_alphanumeric) || limit == 0 {
            return Ok(Vec::new());
        }
        let entries = self.entries()?;
        let dictionary = Dictionary::of(self.snapshot(), &prefix);
        let mut candidates = dictionary.words(self.snapshot(), Like::Beginning(beginning_of_terms(&prefix)))?;
        // Without hidden documents the commonest of the vocabulary are the commonest, but for forms of one stem.
        candidates.truncate(if self.hides() { MOST_CANDIDATES } else { MOST_CANDIDATES.min(4 * limit) });
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for (term, _) in &candidates {
            self.add_word(dictionary, (term, &prefix), entries.as_deref(), PASSAGES_READ, &mut found)?;
        }
        // `moori` begins no term where `mooring` is in the index as `moor`.
        for stem in if dictionary.is_written { Vec::new() } else { stems_of(&prefix) } {
            self.add_word(dictionary, (&stem, &prefix), entries.as_deref(), PASSAGES_READ_FOR_STEM, &mut found)?;
        }
        let mut words: Vec<WordCount> =
            found.into_iter().map(|(word, passages)| WordCount { word, passages }).collect();
        words.sort_by_key(|word| std::cmp::Reverse(word.passages));
        words.truncate(limit);
        Ok(words)
    }

    fn add_word(
        &self,
        dictionary: Dictionary,
        (term, prefix): (&str, &str),
        entries: Option<&[Bits]>,
        most_read: usize,
        found: &mut BTreeMap<String, u64>,
    ) -> Result<(), Error> {
        let occurrences = self.occurrences((dictionary.field, term), entries, most_read, u64::MAX)?;
        if let Some(word) = self.written(dictionary, term, &occurrences, |word| beginning(word).starts_with(prefix))? {
            let count = found.entry(word).or_default();
            *count = (*count).max(occurrences.entries);
        }
        Ok(())
    }

    /// The question with words that texts have in the place of those that none has and that are nearly the same: by two
    /// letters more, less, another or swapped at most, one in short words. Of several the nearest, then the commonest. `None`
    /// where there is nothing to suggest; a question with operators is taken at its word.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn suggestion(&self, text: &str) -> Result<Option<String>, Error> {
        let question = self.snapshot().question(text);
        if Question::of(text, self.snapshot().names()).has_operators() {
            return Ok(None);
        }
        let entries = self.entries()?;
        let (mut suggested, mut done) = (String::new(), 0);
        for wanted in words_of_question(text, &self.snapshot().manifest().analyses).take(MOST_WORDS) {
            let range = wanted.byte_range.clone();
            let word = &text[range.clone()];
            let is_of = |of: &str| wanted.terms.iter().any(|term| term == of);
            let has_synonym = question.synonyms.iter().any(|synonym| synonym.of.split(' ').any(is_of));
            let is_word = word.chars().all(char::is_alphabetic) && !is_run(word);
            let in_title = text[..range.start].ends_with("title:");
            if in_title || has_synonym || !is_word || wanted.is_part || range.start < done {
                continue;
            }
            if let Some(near) = self.nearest(word, &wanted.distinct(), entries.as_deref())? {
                suggested.push_str(&text[done..range.start]);
                suggested.push_str(&near);
                done = range.end;
            }
        }
        if done == 0 {
            return Ok(None);
        }
        suggested.push_str(&text[done..]);
        Ok(Some(suggested))
    }

    /// The word that may have been meant; none where texts have the word, in whichever form, or nothing like it.
    fn nearest(&self, word: &str, forms: &[String], entries: Option<&[Bits]>) -> Result<Option<String>, Error> {
        let folded = analysis::folded(word);
        let most = match folded.chars().count() {
            ..LEAST_LETTERS => return Ok(None),
            LEAST_LETTERS..LEAST_LETTERS_FOR_TWO => 1,
            _ => 2,
        };
        let body = self.snapshot().lookup().schema.fields().body;
        for form in forms {
            if self.occurrences((body, form), entries, 1, 1)?.entries > 0 {
                return Ok(None);
            }
        }
        // Where only stems are known: what a misspelt word would have for one says less than the word: `harmles` would be
        // `harml`.
        let dictionary = Dictionary::of(self.snapshot(), &folded);
        let stems = forms.iter().filter(|&form| !dictionary.is_written && *form != folded).map(String::as_str);
        let mut near: Vec<(usize, String)> = Vec::new();
        for spelling in std::iter::once(folded.as_str()).chain(stems) {
            let found = dictionary.words(self.snapshot(), Like::Near(spelling, most))?.into_iter();
            near.extend(found.map(|(candidate, _)| (changes(spelling, &candidate), candidate)));
        }
        // Stable: of equals the commonest stays first.
        near.sort_by_key(|&(changes, _)| changes);
        let mut best: Option<((usize, std::cmp::Reverse<u64>), String)> = None;
        let mut compared = 0;
        for (_, candidate) in near.into_iter().take(MOST_CANDIDATES) {
            let occurrences = self.occurrences((dictionary.field, &candidate), entries, PASSAGES_READ, u64::MAX)?;
            let Some(found) = self.written(dictionary, &candidate, &occurrences, |_| true)? else { continue };
            let distance = changes(&folded, &analysis::folded(&found));
            let key = (distance, std::cmp::Reverse(occurrences.entries));
            if distance > 0 && best.as_ref().is_none_or(|(best, _)| key < *best) {
                best = Some((key, found));
            }
            compared += 1;
            if compared == MOST_COMPARED {
                break;
            }
        }
        Ok(best.map(|(_, word)| word))
    }

    /// The entries of what is seen, for each segment; none where nothing is hidden.
    fn entries(&self) -> Result<Option<Vec<Bits>>, Error> {
        let selection = self.selection(None, None)?;
        selection.map(|selection| self.snapshot().entries_of(&selection)).transpose()
    }

    /// Counts the living entries that have a term, `enough` of them at most.
    fn occurrences(
        &self,
        (field, term): (Field, &str),
        seen: Option<&[Bits]>,
        most_read: usize,
        enough: u64,
    ) -> Result<Occurrences, Error> {
        let lookup = self.snapshot().lookup();
        let term = Term::from_field_text(field, term);
        let mut found = Occurrences::default();
        for (segment, reader) in lookup.searcher.segment_readers().iter().enumerate() {
            let index = reader.inverted_index(term.field())?;
            let Some(mut postings) = index.read_postings(&term, IndexRecordOption::Basic).map_err(io)? else {
                continue;
            };
            let mut entry = postings.doc();
            while entry != TERMINATED && found.entries < enough {
                let is_seen = seen.is_none_or(|seen| seen[segment].contains(entry as usize));
                if is_seen && !reader.is_deleted(entry) {
                    found.entries += 1;
                    if found.first.len() < most_read {
                        found.first.push((segment, entry));
                    }
                }
                entry = postings.advance();
            }
        }
        Ok(found)
    }

    /// How texts write a term: the commonest form that is wanted in the first passages that have it, in lower case.
    fn written(
        &self,
        dictionary: Dictionary,
        term: &str,
        occurrences: &Occurrences,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, Error> {
        let lookup = self.snapshot().lookup();
        let mut forms: BTreeMap<String, usize> = BTreeMap::new();
        for &(segment, entry) in &occurrences.first {
            let reader = lookup.searcher.segment_reader(segment as u32);
            let Some(chunk_id) = chunk_of(reader, entry)? else { continue };
            let Some(passage) = lookup.passage(chunk_id)? else { continue };
            for text in [&passage.title, &passage.text] {
                for place in dictionary.places(text, term) {
                    let word = if is_run(term) { run_from(&text[place.start..]) } else { &text[place] };
                    if is_wanted(word) {
                        *forms.entry(word.to_lowercase()).or_default() += 1;
                    }
                }
            }
        }
        // Of equals the first by spelling, which is the shorter one.
        Ok(forms.into_iter().rev().max_by_key(|&(_, count)| count).map(|(form, _)| form))
    }
}

/// Whether a term is of characters that are in the index as pairs.
fn is_run(term: &str) -> bool {
    term.chars().next().is_some_and(|c| analysis::is_lone(c.encode_utf8(&mut [0; 4])))
}

/// The characters of a run up to its end.
fn run_from(text: &str) -> &str {
    let mut ends = text.char_indices().take(LONGEST_RUN).skip_while(|(_, c)| c.is_alphanumeric());
    match ends.next() {
        Some((end, _)) => &text[..end],
        None => text.char_indices().nth(LONGEST_RUN).map_or(text, |(end, _)| &text[..end]),
    }
}

/// A word as beginnings are compared: runs as they are written, all else folded.
fn beginning(word: &str) -> String {
    if is_run(word) { word.to_owned() } else { analysis::folded(word) }
}

/// What terms begin with that a word begins with: runs are in the index as pairs.
fn beginning_of_terms(prefix: &str) -> &str {
    if is_run(prefix) { prefix.char_indices().nth(2).map_or(prefix, |(end, _)| &prefix[..end]) } else { prefix }
}

/// Stems that a word with this beginning may have, the longest first: what the beginning itself has, and shorter ones.
fn stems_of(prefix: &str) -> Vec<String> {
    const SHORTEST: usize = 3;
    if is_run(prefix) {
        return Vec::new();
    }
    let own = analysis::terms(prefix).into_iter().map(|term| term.text).filter(|term| !term.starts_with(prefix));
    let mut stems: Vec<String> = own.collect();
    let shorter = prefix.char_indices().skip(SHORTEST).map(|(end, _)| prefix[..end].to_owned());
    stems.extend(shorter.collect::<Vec<_>>().into_iter().rev());
    stems.dedup();
    stems
}

fn io(error: std::io::Error) -> Error {
    tantivy::TantivyError::from(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_of_words_and_their_stems() {
        assert_eq!(stems_of("mooring"), ["moor", "moorin", "moori", "moor", "moo"]);
        assert_eq!(stems_of("moo"), [""; 0]);
        assert_eq!((beginning_of_terms("부두에"), beginning_of_terms("har")), ("부두", "har"));
        assert_eq!(
            (run_from("부두의 크레인"), run_from("港湾起重机检查记录和维护计划表")),
            ("부두의", "港湾起重机检查记录和维护")
        );
    }
}
