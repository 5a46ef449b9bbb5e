//! Which documents a filter, or the operators of a query, let through: exactly, in both halves.
//!
//! A filter lets documents through, not chunks: metadata belongs to a document, and a word that is demanded may stand
//! in another chunk than the one that is shown. So every condition becomes a set of documents, and a set of documents one
//! of entries of the lexical half and one of rows of the dense half.

mod bits;
mod broaden;
mod cache;
mod condition;
mod evaluate;
mod question;
mod table;
mod values;
mod words;

use std::sync::{Arc, OnceLock};

use crate::dense::{self, Effort, RowSet};
use crate::lexical::{self, Asked, AskedWords, Within};
use crate::query_language;
use crate::{ChunkHit, Error, FieldKinds, LexicalAnswer, Snapshot, TermScore};
use berth_types::{DenseSearch, Embedding};
use condition::Names;
use table::DocumentTable;

pub(crate) use bits::Bits;
pub(crate) use cache::Selections;
pub(crate) use condition::{Condition, Values};
pub use question::Question;
pub use values::FieldValue;

/// Most terms that an open word ranks by; the commonest, as of a lone character.
const MAX_EXPANSIONS: usize = 64;

/// A set of documents of one snapshot.
#[derive(Debug)]
pub struct Selection {
    documents: Bits,
    /// Made when the lexical half is asked.
    entries: OnceLock<Vec<Bits>>,
    /// Made when the dense half is asked.
    rows: OnceLock<Vec<RowSet>>,
}

impl Selection {
    fn new(documents: Bits) -> Self {
        Self { documents, entries: OnceLock::new(), rows: OnceLock::new() }
    }

    /// How many documents there are in it.
    pub fn documents(&self) -> usize {
        self.documents.len()
    }

    fn entries(&self, table: &DocumentTable) -> &[Bits] {
        self.entries.get_or_init(|| table.entries(&self.documents))
    }

    fn rows(&self, table: &DocumentTable) -> &[RowSet] {
        self.rows.get_or_init(|| table.rows(&self.documents))
    }
}

impl Snapshot {
    /// The metadata fields with their kinds.
    pub fn fields(&self) -> &FieldKinds {
        &self.manifest().fields
    }

    pub(crate) fn names(&self) -> Names<'_> {
        let analyses = &self.manifest().analyses;
        Names { fields: self.fields(), has_fields: self.lookup().schema.metadata.is_some(), analyses }
    }

    /// Understands a query: plain words, or words with operators.
    pub fn question(&self, text: &str) -> Question {
        let mut question = Question::of(text, self.names());
        if let Some(synonyms) = self.synonyms() {
            broaden::broaden(&mut question, synonyms, self.lookup());
        }
        question
    }

    /// The documents that fulfil a filter and what the question demands; `None` when all do.
    ///
    /// # Errors
    /// `BadFilter`, `Corrupted`, `Lexical`.
    pub fn selection(
        &self,
        filter: Option<&str>,
        question: Option<&Question>,
    ) -> Result<Option<Arc<Selection>>, Error> {
        self.selection_within(None, filter, question)
    }

    /// As [`selection`](Self::selection), of the documents that are seen.
    pub(crate) fn selection_within(
        &self,
        seen: Option<&Condition>,
        filter: Option<&str>,
        question: Option<&Question>,
    ) -> Result<Option<Arc<Selection>>, Error> {
        let demands = question.and_then(|question| question.operators.as_ref()?.demands.clone());
        self.select_all(seen, filter, demands)
    }

    /// As [`selection`](Self::selection), but those that match the question as well: what the lexical half finds, in whatever
    /// order.
    ///
    /// # Errors
    /// As [`selection`](Self::selection).
    pub fn matches(&self, filter: Option<&str>, question: &Question) -> Result<Option<Arc<Selection>>, Error> {
        self.matches_within(None, filter, question)
    }

    /// As [`matches`](Self::matches), of the documents that are seen.
    pub(crate) fn matches_within(
        &self,
        seen: Option<&Condition>,
        filter: Option<&str>,
        question: &Question,
    ) -> Result<Option<Arc<Selection>>, Error> {
        let matches = match &question.operators {
            Some(operators) => operators.matches.clone(),
            None => condition::any_word(&question.words),
        };
        self.select_all(seen, filter, Some(matches))
    }

    fn select_all(
        &self,
        seen: Option<&Condition>,
        filter: Option<&str>,
        more: Option<Condition>,
    ) -> Result<Option<Arc<Selection>>, Error> {
        let filter = filter.map(|filter| self.condition(filter)).transpose()?;
        let conditions: Vec<Condition> = seen.cloned().into_iter().chain(filter).chain(more).collect();
        if conditions.is_empty() {
            return Ok(None);
        }
        let selections = self.selections();
        let table = selections.table(self.lookup(), self.dense_segments())?;
        let select = |condition: &Condition| evaluate::evaluate(condition, self.lookup(), table).map(Selection::new);
        selections.get_or_make(Condition::And(conditions), select).map(Some)
    }

    fn condition(&self, filter: &str) -> Result<Condition, Error> {
        let condition = query_language::filter(filter).and_then(|node| self.names().filter(&node));
        condition.map_err(|fault| Error::BadFilter { filter: filter.to_owned(), fault })
    }

    fn table(&self) -> Result<&DocumentTable, Error> {
        self.selections().table(self.lookup(), self.dense_segments())
    }

    /// Whether a document is in a set.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn is_in(&self, selection: &Selection, document_no: u64) -> Result<bool, Error> {
        let place = self.table()?.place(document_no);
        Ok(place.is_some_and(|place| selection.documents.contains(place)))
    }

    /// The entries of the lexical half, by segment, that belong to documents of a set; `None` when all documents do.
    pub(crate) fn entries_within<'a>(&'a self, selection: Option<&'a Selection>) -> Result<Option<&'a [Bits]>, Error> {
        let selection = selection.filter(|selection| !selection.documents.is_all());
        selection.map(|selection| Ok(selection.entries(self.table()?))).transpose()
    }

    /// Whether the entry of the lexical half belongs to a document of a set.
    pub(crate) fn entries_of(&self, selection: &Selection) -> Result<Vec<Bits>, Error> {
        Ok(selection.entries(self.table()?).to_vec())
    }

    /// As [`dense`](Self::dense), of the chunks of these documents alone.
    ///
    /// # Errors
    /// `DimensionMismatch`, `Corrupted`.
    pub fn dense_within(
        &self,
        query: &Embedding,
        selection: Option<&Selection>,
        depth: usize,
    ) -> Result<Vec<ChunkHit>, Error> {
        self.dense_by(query, selection, depth, DenseSearch::default())
    }

    /// As [`dense_within`](Self::dense_within), with a say in what is looked at first.
    ///
    /// Cosines are exact whatever the first stage; but for [`FirstStage::Full`](berth_types::FirstStage::Full) chunks may be
    /// missed.
    ///
    /// # Errors
    /// `DimensionMismatch`, `Corrupted`.
    pub fn dense_by(
        &self,
        query: &Embedding,
        selection: Option<&Selection>,
        depth: usize,
        search: DenseSearch,
    ) -> Result<Vec<ChunkHit>, Error> {
        self.check_dimensions(query)?;
        let selection = selection.filter(|selection| !selection.documents.is_all());
        let rows = selection.map(|selection| Ok::<_, Error>(selection.rows(self.table()?))).transpose()?;
        dense::nearest(self.dense_segments(), query.as_slice(), depth, rows, Effort { search, ..Effort::default() })
    }

    /// The `depth` chunks of highest BM25 score that match a question and lie within the documents that fulfil a filter,
    /// best first, ties by chunk number. A question without operators matches where any of its words stands.
    ///
    /// # Errors
    /// `BadFilter`, `Corrupted`, `Lexical`.
    pub fn lexical_within(
        &self,
        question: &Question,
        filter: Option<&str>,
        depth: usize,
    ) -> Result<LexicalAnswer, Error> {
        self.lexical_of_seen(None, question, filter, depth)
    }

    /// As [`lexical_within`](Self::lexical_within), of the documents that are seen.
    pub(crate) fn lexical_of_seen(
        &self,
        seen: Option<&Condition>,
        question: &Question,
        filter: Option<&str>,
        depth: usize,
    ) -> Result<LexicalAnswer, Error> {
        let fields = self.lookup().schema.fields();
        let searcher = &self.lookup().searcher;
        let asked = self.asked(question)?;
        let visible = seen.map(|seen| self.entries_of_seen(seen)).transpose()?;
        let visible = visible.as_deref();
        let Some(operators) = &question.operators else {
            let selection =
                self.selection_within(seen, filter, None)?.filter(|selection| !selection.documents.is_all());
            let Some(selection) = selection else {
                return lexical::search_terms(searcher, &fields, &asked, (None, visible), depth);
            };
            let within = Within { entries: selection.entries(self.table()?), unscored: false };
            return lexical::search_terms(searcher, &fields, &asked, (Some(within), visible), depth);
        };
        let table = self.table()?;
        let Some(selection) = self.matches_within(seen, filter, question)? else {
            return Ok(LexicalAnswer::default());
        };
        let mut entries = selection.entries(table).to_vec();
        if let Some(words) = &operators.words {
            let mut with_words = table.no_entries();
            for words in words {
                let found = words.entries(self.lookup(), table.no_entries())?;
                with_words.iter_mut().zip(&found).for_each(|(all, found)| all.or(found));
            }
            entries.iter_mut().zip(&with_words).for_each(|(entries, with_words)| entries.and(with_words));
        }
        let within = Within { entries: &entries, unscored: true };
        lexical::search_terms(searcher, &fields, &asked, (Some(within), visible), depth)
    }

    /// The entries of the lexical half that are seen.
    fn entries_of_seen(&self, seen: &Condition) -> Result<Vec<Bits>, Error> {
        let selection = self.select_all(Some(seen), None, None)?;
        selection.map_or_else(|| Ok(Vec::new()), |selection| self.entries_of(&selection))
    }

    /// The words that a question ranks by, those that open ones stand for included.
    fn asked(&self, question: &Question) -> Result<AskedWords, Error> {
        let mut asked = question.words.clone();
        for words in &question.open {
            let in_title = words.place == words::Place::Title;
            let forms = words.expansions(self.lookup(), &self.manifest().analyses, MAX_EXPANSIONS)?;
            asked.extend((!forms.is_empty()).then_some(Asked { in_title, forms, is_synonym: false }));
        }
        Ok(AskedWords { words: asked, title_boost: question.title_boost })
    }

    /// Takes the BM25 score of one chunk apart, by the terms that a question ranks by.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn explain(&self, question: &Question, chunk_id: u64) -> Result<Vec<TermScore>, Error> {
        self.explain_of_seen(None, question, chunk_id)
    }

    /// As [`explain`](Self::explain), with words that no document has that is seen taken to be nowhere.
    pub(crate) fn explain_of_seen(
        &self,
        seen: Option<&Condition>,
        question: &Question,
        chunk_id: u64,
    ) -> Result<Vec<TermScore>, Error> {
        let fields = self.lookup().schema.fields();
        let visible = seen.map(|seen| self.entries_of_seen(seen)).transpose()?;
        lexical::explain(&self.lookup().searcher, &fields, &self.asked(question)?, chunk_id, visible.as_deref())
    }
}
