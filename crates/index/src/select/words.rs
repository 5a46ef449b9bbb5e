//! Which entries have a word, a phrase, or words that begin or are spelt like one.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tantivy::postings::TermInfo;
use tantivy::query::{EnableScoring, FuzzyTermQuery, PhraseQuery, Query};
use tantivy::schema::{Field, FieldType, IndexRecordOption};
use tantivy::{DocId, DocSet, InvertedIndexReader, SegmentReader, TERMINATED, Term};

use super::Bits;
use crate::Error;
use crate::analysis::{self, AnalysedWord, Analyses};
use crate::highlight::Open;
use crate::lookup::Lookup;
use crate::query_language::Sought;

/// Where words are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Body,
    Title,
    /// A metadata field of kind text.
    Field(String),
}

/// Words that an entry has to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) place: Place,
    pub(crate) shape: Shape,
}

/// How the words are to stand there. A word has a term in each language of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One of the words, in any of its terms.
    Any(Vec<Vec<String>>),
    /// All terms of one of the lists, side by side: a list for each language.
    Phrase(Vec<Vec<String>>),
    /// A word that begins so, or one of the terms of what was typed.
    Prefix { prefix: String, terms: Vec<String> },
    /// A word that at most so many letters turn into this one; where words are only known by their terms, into one of these.
    Fuzzy { word: String, terms: Vec<String>, distance: u8 },
}

impl Shape {
    /// Words side by side, each by its term in each language.
    pub(crate) fn side_by_side(words: &[&[String]]) -> Self {
        let mut lists: Vec<Vec<String>> = Vec::new();
        for language in 0..words[0].len() {
            let terms: Vec<String> = words.iter().map(|terms| terms[language].clone()).collect();
            if !lists.contains(&terms) {
                lists.push(terms);
            }
        }
        Self::Phrase(lists)
    }

    /// What begins with a lone character of a run.
    pub(crate) fn begins(character: &str) -> Self {
        Self::Prefix { prefix: character.to_owned(), terms: vec![character.to_owned()] }
    }
}

/// Takes a word of a segment, as bytes, with where its entries are.
type Found<'a> = &'a mut dyn FnMut(&InvertedIndexReader, &[u8], &TermInfo) -> Result<(), Error>;

impl Words {
    /// What is sought, as terms. A word of several terms is a phrase where it is to be there as a whole.
    pub(crate) fn sought(place: Place, value: &Sought, as_a_whole: bool, analyses: &Analyses) -> Self {
        let words = |text: &str| -> Vec<AnalysedWord> {
            analysis::words(text, analyses).into_iter().filter(|word| !word.is_part).collect()
        };
        let written = |text: &str| analysis::folded(text.trim_matches(|c: char| !c.is_alphanumeric()));
        let shape = match value {
            Sought::Prefix(text) => match &words(text)[..] {
                [word] if !is_run(text) => Shape::Prefix { prefix: written(text), terms: word.distinct() },
                // Characters of a run are pairs in the index: they begin whatever goes on behind them.
                words => of_words(words, true),
            },
            Sought::Fuzzy(text, distance) => match &words(text)[..] {
                [word] => Shape::Fuzzy { word: written(text), terms: word.distinct(), distance: *distance },
                words => of_words(words, true),
            },
            Sought::Word(text) => of_words(&words(text), as_a_whole),
            Sought::Phrase(text) => of_words(&words(text), true),
            Sought::Range(..) | Sought::Anything => Shape::Any(Vec::new()),
        };
        Self { place, shape }
    }

    /// What is painted for an open shape.
    pub(crate) fn painted(&self) -> Option<Open> {
        match &self.shape {
            Shape::Any(_) | Shape::Phrase(_) => None,
            Shape::Prefix { prefix, .. } => Some(Open::Prefix(prefix.clone())),
            Shape::Fuzzy { word, distance, .. } => Some(Open::Fuzzy(word.clone(), *distance)),
        }
    }

    /// The entries that have the words, for each segment.
    pub(crate) fn entries(&self, lookup: &Lookup, mut entries: Vec<Bits>) -> Result<Vec<Bits>, Error> {
        let Some(field) = self.field(lookup) else { return Ok(entries) };
        for (reader, found) in lookup.searcher.segment_readers().iter().zip(&mut entries) {
            self.visit(lookup, field, reader, found)?;
        }
        Ok(entries)
    }

    fn field(&self, lookup: &Lookup) -> Option<Field> {
        match self.place {
            Place::Body => Some(lookup.schema.fields().body),
            Place::Title => Some(lookup.schema.fields().title),
            Place::Field(_) => lookup.schema.metadata.map(|metadata| metadata.texts),
        }
    }

    fn term(&self, lookup: &Lookup, field: Field, word: &str) -> Term {
        match &self.place {
            Place::Field(name) => lookup.schema.text_term(name, word).expect("a schema with texts has their terms"),
            _ => Term::from_field_text(field, word),
        }
    }

    /// The field that knows words as they are written, where there is one for this place. Runs are not in it.
    fn written(&self, lookup: &Lookup, word: &str) -> Option<Field> {
        let languages = lookup.schema.languages.filter(|_| self.place == Place::Body)?;
        (!word.chars().any(|c| analysis::is_lone(c.encode_utf8(&mut [0; 4])))).then_some(languages.words)
    }

    fn visit(&self, lookup: &Lookup, field: Field, reader: &SegmentReader, found: &mut Bits) -> Result<(), Error> {
        let index = reader.inverted_index(field)?;
        match &self.shape {
            Shape::Any(words) => {
                words.iter().try_for_each(|terms| self.insert_terms(lookup, (field, &index), terms, found))
            }
            Shape::Phrase(lists) => {
                lists.iter().try_for_each(|terms| self.insert_phrase(lookup, field, reader, terms, found))
            }
            Shape::Prefix { terms, .. } | Shape::Fuzzy { terms, .. } => {
                if let Shape::Prefix { .. } = self.shape {
                    self.insert_terms(lookup, (field, &index), terms, found)?;
                }
                self.for_each_open(lookup, field, reader, &mut |index, _, info| {
                    let postings = index.read_postings_from_terminfo(info, IndexRecordOption::Basic).map_err(io)?;
                    insert_all(&mut { postings }, found);
                    Ok(())
                })
            }
        }
    }

    fn insert_terms(
        &self,
        lookup: &Lookup,
        (field, index): (Field, &InvertedIndexReader),
        terms: &[String],
        found: &mut Bits,
    ) -> Result<(), Error> {
        terms.iter().try_for_each(|term| insert_term(index, &self.term(lookup, field, term), found))
    }

    fn insert_phrase(
        &self,
        lookup: &Lookup,
        field: Field,
        reader: &SegmentReader,
        terms: &[String],
        found: &mut Bits,
    ) -> Result<(), Error> {
        if terms.len() > 1 && has_positions(reader, field) {
            let terms = terms.iter().map(|term| self.term(lookup, field, term)).collect();
            let weight = PhraseQuery::new(terms).weight(EnableScoring::disabled_from_searcher(&lookup.searcher))?;
            insert_all(&mut weight.scorer(reader, 1.0)?, found);
            return Ok(());
        }
        // Titles of an index of an older format have no positions: all words, in whichever order.
        let index = reader.inverted_index(field)?;
        let mut all = if terms.is_empty() { found.clone() } else { Bits::all(reader.max_doc() as usize) };
        for term in terms {
            let mut with_term = Bits::none(reader.max_doc() as usize);
            insert_term(&index, &self.term(lookup, field, term), &mut with_term)?;
            all.and(&with_term);
        }
        found.or(&all);
        Ok(())
    }

    /// Calls `found` with every word of a segment that an open shape stands for, as bytes.
    fn for_each_open(
        &self,
        lookup: &Lookup,
        field: Field,
        reader: &SegmentReader,
        found: Found<'_>,
    ) -> Result<(), Error> {
        match &self.shape {
            Shape::Any(_) | Shape::Phrase(_) => {}
            Shape::Prefix { prefix, .. } => {
                let field = self.written(lookup, prefix).unwrap_or(field);
                let index = reader.inverted_index(field)?;
                let start = self.term(lookup, field, prefix);
                let start = start.serialized_value_bytes();
                let mut stream = index.terms().range().ge(start).into_stream().map_err(io)?;
                while let Some((key, info)) = stream.next() {
                    if !key.starts_with(start) {
                        break;
                    }
                    found(&index, key, info)?;
                }
            }
            Shape::Fuzzy { word, terms, distance } => {
                let written = self.written(lookup, word);
                let field = written.unwrap_or(field);
                let index = reader.inverted_index(field)?;
                let words = if written.is_some() { std::slice::from_ref(word) } else { terms };
                for word in words {
                    let query = FuzzyTermQuery::new(self.term(lookup, field, word), *distance, true);
                    let mut stream = index.terms().search(query.automaton()?).into_stream().map_err(io)?;
                    while let Some((key, info)) = stream.next() {
                        found(&index, key, info)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The terms of the commonest words of an open shape, at most `limit` words; ties by spelling.
    pub(crate) fn expansions(&self, lookup: &Lookup, analyses: &Analyses, limit: usize) -> Result<Vec<String>, Error> {
        let mut counts = BTreeMap::<String, u64>::new();
        let Some(field) = self.field(lookup).filter(|_| !matches!(self.place, Place::Field(_))) else {
            return Ok(Vec::new());
        };
        for reader in lookup.searcher.segment_readers() {
            self.for_each_open(lookup, field, reader, &mut |_, key, info| {
                if let Ok(word) = std::str::from_utf8(key) {
                    *counts.entry(word.to_owned()).or_default() += u64::from(info.doc_freq);
                }
                Ok(())
            })?;
        }
        let mut commonest: Vec<(String, u64)> = counts.into_iter().collect();
        commonest.sort_by_key(|&(_, frequency)| Reverse(frequency));
        let is_written = match &self.shape {
            Shape::Prefix { prefix: word, .. } | Shape::Fuzzy { word, .. } => self.written(lookup, word).is_some(),
            Shape::Any(_) | Shape::Phrase(_) => false,
        };
        let mut expansions: Vec<Vec<String>> = Vec::new();
        if let Shape::Prefix { terms, .. } = &self.shape {
            expansions.push(terms.clone());
        }
        for (word, _) in commonest {
            if expansions.len() >= limit {
                break;
            }
            // Inflections of one word are one expansion.
            let forms = match &analysis::words(&word, analyses)[..] {
                [analysed, ..] if is_written => analysed.distinct(),
                _ => vec![word],
            };
            if !expansions.contains(&forms) {
                expansions.push(forms);
            }
        }
        let mut terms: Vec<String> = expansions.into_iter().flatten().collect();
        terms.sort_unstable();
        terms.dedup();
        Ok(terms)
    }
}

/// Words that stand side by side, or of which one is enough. A lone character of a run begins pairs of characters.
fn of_words(words: &[AnalysedWord], side_by_side: bool) -> Shape {
    match words {
        [lone] if analysis::is_lone(&lone.terms[0]) => Shape::begins(&lone.terms[0]),
        [] => Shape::Any(Vec::new()),
        [_, _, ..] if side_by_side => {
            let terms: Vec<&[String]> = words.iter().map(|word| word.terms.as_slice()).collect();
            Shape::side_by_side(&terms)
        }
        _ => Shape::Any(words.iter().map(AnalysedWord::distinct).collect()),
    }
}

/// Whether a text consists of characters that become pairs.
fn is_run(text: &str) -> bool {
    text.chars().all(|c| analysis::is_lone(c.encode_utf8(&mut [0; 4])))
}

fn has_positions(reader: &SegmentReader, field: Field) -> bool {
    let options = match reader.schema().get_field_entry(field).field_type() {
        FieldType::Str(options) => options.get_indexing_options(),
        FieldType::JsonObject(options) => options.get_text_indexing_options(),
        _ => None,
    };
    options.is_some_and(|options| options.index_option().has_positions())
}

fn insert_term(index: &InvertedIndexReader, term: &Term, found: &mut Bits) -> Result<(), Error> {
    if let Some(mut postings) = index.read_postings(term, IndexRecordOption::Basic).map_err(io)? {
        insert_all(&mut postings, found);
    }
    Ok(())
}

fn insert_all(entries: &mut dyn DocSet, found: &mut Bits) {
    let mut entry: DocId = entries.doc();
    while entry != TERMINATED {
        found.insert(entry as usize);
        entry = entries.advance();
    }
}

fn io(error: std::io::Error) -> Error {
    tantivy::TantivyError::from(error).into()
}
