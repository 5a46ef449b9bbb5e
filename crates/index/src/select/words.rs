//! Which entries have a word, a phrase, or words that begin or are spelt like one.

use tantivy::query::{EnableScoring, FuzzyTermQuery, PhraseQuery, Query};
use tantivy::schema::{Field, FieldType, IndexRecordOption};
use tantivy::{DocId, DocSet, InvertedIndexReader, SegmentReader, TERMINATED, Term};

use super::Bits;
use crate::lookup::Lookup;
use crate::query_language::Sought;
use crate::{Error, analysis};

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

/// How the words are to stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One of the terms.
    Any(Vec<String>),
    /// All of the terms, side by side.
    Phrase(Vec<String>),
    /// A term that begins so, or the second one: the stem of what was typed.
    Prefix(String, String),
    /// A term that at most so many letters turn into this one.
    Fuzzy(String, u8),
}

impl Words {
    /// What is sought, as terms. A word of several terms is a phrase where it is to be there as a whole.
    pub(crate) fn sought(place: Place, value: &Sought, as_a_whole: bool) -> Self {
        let terms = |text: &str| -> Vec<String> { analysis::terms(text).into_iter().map(|term| term.text).collect() };
        let shape = match value {
            Sought::Prefix(text) => match terms(text) {
                terms if terms.len() == 1 && !is_run(text) => {
                    Shape::Prefix(analysis::folded(text.trim_matches(|c: char| !c.is_alphanumeric())), terms[0].clone())
                }
                // Characters of a run are pairs in the index: they begin whatever goes on behind them.
                terms => of_terms(terms, true),
            },
            Sought::Fuzzy(text, distance) => match terms(text) {
                mut terms if terms.len() == 1 => Shape::Fuzzy(terms.remove(0), *distance),
                terms => of_terms(terms, true),
            },
            Sought::Word(text) => of_terms(terms(text), as_a_whole),
            Sought::Phrase(text) => of_terms(terms(text), true),
            Sought::Range(..) | Sought::Anything => Shape::Any(Vec::new()),
        };
        Self { place, shape }
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

    fn visit(&self, lookup: &Lookup, field: Field, reader: &SegmentReader, found: &mut Bits) -> Result<(), Error> {
        let index = reader.inverted_index(field)?;
        match &self.shape {
            Shape::Any(terms) => {
                for term in terms {
                    insert_term(&index, &self.term(lookup, field, term), found)?;
                }
            }
            Shape::Phrase(terms) if terms.len() > 1 && has_positions(reader, field) => {
                let terms = terms.iter().map(|term| self.term(lookup, field, term)).collect();
                let weight = PhraseQuery::new(terms).weight(EnableScoring::disabled_from_searcher(&lookup.searcher))?;
                let mut hits = weight.scorer(reader, 1.0)?;
                insert_all(&mut hits, found);
            }
            // Titles of an index of an older format have no positions: all words, in whichever order.
            Shape::Phrase(terms) => {
                let mut all = if terms.is_empty() { found.clone() } else { Bits::all(reader.max_doc() as usize) };
                for term in terms {
                    let mut with_term = Bits::none(reader.max_doc() as usize);
                    insert_term(&index, &self.term(lookup, field, term), &mut with_term)?;
                    all.and(&with_term);
                }
                found.or(&all);
            }
            Shape::Prefix(prefix, stem) => {
                insert_term(&index, &self.term(lookup, field, stem), found)?;
                let start = self.term(lookup, field, prefix);
                let start = start.serialized_value_bytes();
                let mut stream = index.terms().range().ge(start).into_stream().map_err(io)?;
                while let Some((key, info)) = stream.next() {
                    if !key.starts_with(start) {
                        break;
                    }
                    let postings = index.read_postings_from_terminfo(info, IndexRecordOption::Basic).map_err(io)?;
                    insert_all(&mut { postings }, found);
                }
            }
            Shape::Fuzzy(word, distance) => {
                let automaton = FuzzyTermQuery::new(self.term(lookup, field, word), *distance, true).automaton()?;
                let mut stream = index.terms().search(automaton).into_stream().map_err(io)?;
                while let Some((_, info)) = stream.next() {
                    let postings = index.read_postings_from_terminfo(info, IndexRecordOption::Basic).map_err(io)?;
                    insert_all(&mut { postings }, found);
                }
            }
        }
        Ok(())
    }

    /// The commonest terms of an open shape with how many entries have them, at most `limit`; ties by spelling.
    pub(crate) fn expansions(&self, lookup: &Lookup, limit: usize) -> Result<Vec<String>, Error> {
        let mut counts = std::collections::BTreeMap::<String, u64>::new();
        let mut count = |key: &[u8], frequency: u32| {
            if let Ok(term) = std::str::from_utf8(key) {
                *counts.entry(term.to_owned()).or_default() += u64::from(frequency);
            }
        };
        let Some(field) = self.field(lookup).filter(|_| !matches!(self.place, Place::Field(_))) else {
            return Ok(Vec::new());
        };
        for reader in lookup.searcher.segment_readers() {
            let index = reader.inverted_index(field)?;
            match &self.shape {
                Shape::Prefix(prefix, stem) => {
                    count(stem.as_bytes(), 0);
                    let mut stream = index.terms().range().ge(prefix).into_stream().map_err(io)?;
                    while let Some((key, info)) = stream.next() {
                        if !key.starts_with(prefix.as_bytes()) {
                            break;
                        }
                        count(key, info.doc_freq);
                    }
                }
                Shape::Fuzzy(word, distance) => {
                    let automaton = FuzzyTermQuery::new(self.term(lookup, field, word), *distance, true).automaton()?;
                    let mut stream = index.terms().search(automaton).into_stream().map_err(io)?;
                    while let Some((key, info)) = stream.next() {
                        count(key, info.doc_freq);
                    }
                }
                Shape::Any(_) | Shape::Phrase(_) => return Ok(Vec::new()),
            }
        }
        let mut commonest: Vec<(String, u64)> = counts.into_iter().collect();
        commonest.sort_by_key(|&(_, frequency)| std::cmp::Reverse(frequency));
        Ok(commonest.into_iter().take(limit).map(|(term, _)| term).collect())
    }
}

/// Terms that stand side by side, or of which one is enough. A lone character of a run begins pairs of characters.
fn of_terms(terms: Vec<String>, side_by_side: bool) -> Shape {
    match &terms[..] {
        [lone] if analysis::is_lone(lone) => Shape::Prefix(lone.clone(), lone.clone()),
        _ if side_by_side => Shape::Phrase(terms),
        _ => Shape::Any(terms),
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
