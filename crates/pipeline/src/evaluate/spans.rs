//! How much of the answers inside documents the first passages hold, and how much else.
//!
//! Positions are tokens of the model's own tokenizer over the stored text, so that windows of any size are compared on one
//! axis. Each document is cut into tokens once, and only one is held at a time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use berth_encoder::TextTokenizer;
use berth_eval::{
    Dataset, DocRange, EvalQuery, Span, SpanScores, Spans, byte_ranges, mean_span_scores, span_scores, token_range,
};
use berth_index::Snapshot;
use berth_types::{Mode, Rerank};
use serde::Serialize;

use super::EvalOptions;
use super::asked::question;
use super::subject::Subject;
use crate::Error;

/// The file of a collection that says where answers are.
const FILE: &str = "spans.jsonl";

/// How well passages hold the answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpanReport {
    /// First passages of each query that were looked at.
    pub k: usize,
    /// Queries that have an answer in a document of the index.
    pub queries: usize,
    /// Mean over these queries, by mode.
    pub modes: BTreeMap<String, SpanScores>,
}

/// A passage that was found: its document, and its bytes of that document's text.
type Passage = (String, Range<usize>);

/// The answers to the queries of a split, and what was found of them so far.
pub(super) struct Answers<'a> {
    queries: Vec<(&'a EvalQuery, Vec<Span>)>,
    k: usize,
    /// Of each mode, in the order asked: passages of each query.
    found: Vec<(String, Vec<Vec<Passage>>)>,
}

impl<'a> Answers<'a> {
    /// Reads where the answers to the queries of the split are; none where the collection does not say it of any.
    ///
    /// # Errors
    /// A line of the file that is no answer; `Io`.
    pub(super) fn read(dataset: &'a Dataset, k: usize) -> Result<Option<Self>, Error> {
        let path = dataset.dir.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let spans = Spans::read(&path)?;
        let answered = dataset.queries.iter().map(|query| (query, spans.get(&query.id).to_vec()));
        let queries: Vec<_> = answered.filter(|(_, spans)| !spans.is_empty()).collect();
        Ok((!queries.is_empty()).then_some(Self { queries, k, found: Vec::new() }))
    }

    /// Asks every query for its first passages. `Ok(None)`: interrupted.
    ///
    /// # Errors
    /// What a search fails at, but for a query without words, which finds nothing.
    pub(super) fn ask(
        &mut self,
        subject: &Subject,
        options: &EvalOptions,
        (name, mode, rerank): (&str, Mode, Option<Rerank>),
        cancel: &AtomicBool,
    ) -> Result<Option<()>, Error> {
        let mut found = Vec::with_capacity(self.queries.len());
        for (query, _) in &self.queries {
            if cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let mut question = question(subject, options, (&query.text, mode, rerank), self.k);
            question.shaping.passages = true;
            let hits = match subject.searcher.search(&question) {
                Err(Error::EmptyQuery) => Vec::new(),
                reply => reply?.hits,
            };
            found.push(hits.into_iter().map(|hit| (hit.document, hit.chunk.start..hit.chunk.end)).collect());
        }
        self.found.push((name.to_owned(), found));
        Ok(Some(()))
    }

    /// Scores what was found, and says how many answers could not be placed: of documents that are not there, or with another
    /// text at their place. None of a query without any other counts.
    ///
    /// # Errors
    /// Damage that is met while reading, a text that cannot be cut into tokens.
    pub(super) fn score(
        &self,
        snapshot: &Snapshot,
        tokenizer: &TextTokenizer,
    ) -> Result<(SpanReport, Option<String>), Error> {
        let mut axis = Axis::new(self.queries.len(), self.found.len());
        for (document, of_document) in self.by_document() {
            match snapshot.document(document)? {
                Some(stored) => axis.place(document, &stored.document.text, &of_document, tokenizer)?,
                None => axis.lost += of_document.answers.len(),
            }
        }
        let counted: Vec<usize> = (0..self.queries.len()).filter(|query| !axis.relevant[*query].is_empty()).collect();
        let of_mode = |((name, _), retrieved): (&(String, _), &Vec<Vec<DocRange>>)| {
            let scores = counted.iter().filter_map(|&query| span_scores(&retrieved[query], &axis.relevant[query]));
            (name.clone(), mean_span_scores(&scores.collect::<Vec<_>>()))
        };
        let modes = self.found.iter().zip(&axis.retrieved).map(of_mode).collect();
        let warning = (axis.lost > 0).then(|| {
            format!("{} answers of {FILE} are not where it says in the indexed documents, and are left out", axis.lost)
        });
        Ok((SpanReport { k: self.k, queries: counted.len(), modes }, warning))
    }

    fn by_document(&self) -> BTreeMap<&str, OfDocument<'_>> {
        let mut documents: BTreeMap<&str, OfDocument<'_>> = BTreeMap::new();
        for (query, (_, spans)) in self.queries.iter().enumerate() {
            for span in spans {
                documents.entry(&span.document).or_default().answers.push((query, span));
            }
        }
        for (mode, (_, of_mode)) in self.found.iter().enumerate() {
            for (query, passages) in of_mode.iter().enumerate() {
                for (document, bytes) in passages {
                    documents.entry(document).or_default().passages.push((mode, query, bytes));
                }
            }
        }
        documents
    }
}

/// What is to be placed in one document.
#[derive(Default)]
struct OfDocument<'a> {
    answers: Vec<(usize, &'a Span)>,
    passages: Vec<(usize, usize, &'a Range<usize>)>,
}

/// Answers and passages as ranges of tokens.
struct Axis {
    /// By query.
    relevant: Vec<Vec<DocRange>>,
    /// By mode and query.
    retrieved: Vec<Vec<Vec<DocRange>>>,
    /// Answers that could not be placed.
    lost: usize,
}

impl Axis {
    fn new(queries: usize, modes: usize) -> Self {
        Self { relevant: vec![Vec::new(); queries], retrieved: vec![vec![Vec::new(); queries]; modes], lost: 0 }
    }

    fn place(
        &mut self,
        document: &str,
        text: &str,
        of_document: &OfDocument<'_>,
        tokenizer: &TextTokenizer,
    ) -> Result<(), Error> {
        let offsets = tokenizer.tokenize(text)?.offsets;
        let tokens: Vec<Range<usize>> =
            offsets.into_iter().map(|range| range.start as usize..range.end as usize).collect();
        let placed =
            |bytes: &Range<usize>| DocRange { document: document.to_owned(), range: token_range(&tokens, bytes) };
        let characters: Vec<Range<usize>> =
            of_document.answers.iter().map(|(_, span)| span.char_range.clone()).collect();
        for ((query, span), bytes) in of_document.answers.iter().zip(byte_ranges(text, &characters)) {
            let stands =
                |bytes: &Range<usize>| span.answer.as_ref().is_none_or(|answer| text[bytes.clone()] == **answer);
            // An answer of nothing that the model reads is in no passage.
            match bytes.filter(stands).map(|bytes| placed(&bytes)).filter(|answer| !answer.range.is_empty()) {
                Some(answer) => self.relevant[*query].push(answer),
                None => self.lost += 1,
            }
        }
        for (mode, query, bytes) in &of_document.passages {
            self.retrieved[*mode][*query].push(placed(bytes));
        }
        Ok(())
    }
}
