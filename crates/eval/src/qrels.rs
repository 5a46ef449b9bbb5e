//! Judgements: which document answers which query, and how well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::{Error, lines};

/// Judgements of one split: query id → document id → grade.
///
/// A grade above zero says that the document answers the query; zero and below, that it does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Qrels {
    queries: BTreeMap<String, BTreeMap<String, i32>>,
}

impl Qrels {
    /// Reads a BEIR judgement file: query id, document id and grade between tabs.
    ///
    /// A header line (`query-id corpus-id score`) may be there or not. A line that repeats an earlier one adds nothing.
    ///
    /// # Errors
    /// `FileMissing`; `Malformed` for a line of another form; `ConflictingJudgement` for two grades of one document; `Io`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut qrels = Self::default();
        let mut header_possible = true;
        lines::for_each(lines::open(path)?, path, |line, text| {
            let may_be_header = std::mem::take(&mut header_possible);
            let fields: Vec<&str> = text.split('\t').map(str::trim).collect();
            let &[query, document, grade] = fields.as_slice() else {
                let reason = format!(
                    "{} fields between tabs, where three were wanted: query id, document id, grade",
                    fields.len()
                );
                return Err(lines::malformed(path, line, reason));
            };
            if may_be_header && grade == "score" {
                return Ok(());
            }
            let Ok(second) = grade.parse::<i32>() else {
                return Err(lines::malformed(path, line, format!("grade '{grade}' is not a whole number")));
            };
            if query.is_empty() || document.is_empty() {
                return Err(lines::malformed(path, line, "an id is empty"));
            }
            match qrels.grade(query, document) {
                Some(first) if first != second => Err(Error::ConflictingJudgement {
                    path: path.to_owned(),
                    line,
                    query: query.to_owned(),
                    document: document.to_owned(),
                    first,
                    second,
                }),
                _ => {
                    qrels.insert(query, document, second);
                    Ok(())
                }
            }
        })?;
        Ok(qrels)
    }

    /// Sets the grade of a document for a query; a later grade takes the place of an earlier one.
    pub fn insert(&mut self, query: &str, document: &str, grade: i32) {
        // Ids are looked up before they are copied: a query has many judgements.
        if let Some(documents) = self.queries.get_mut(query) {
            documents.insert(document.to_owned(), grade);
        } else {
            self.queries.insert(query.to_owned(), BTreeMap::from([(document.to_owned(), grade)]));
        }
    }

    /// The grade of a document for a query, where it was judged.
    pub fn grade(&self, query: &str, document: &str) -> Option<i32> {
        self.queries.get(query)?.get(document).copied()
    }

    /// The judgements of one query: document id → grade.
    pub fn get(&self, query: &str) -> Option<&BTreeMap<String, i32>> {
        self.queries.get(query)
    }

    /// All queries with their judgements, by query id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, i32>)> {
        self.queries.iter().map(|(query, documents)| (query.as_str(), documents))
    }

    /// Documents that are relevant to any query.
    pub fn relevant_documents(&self) -> BTreeSet<&str> {
        let judgements = self.queries.values().flatten();
        judgements.filter(|(_, grade)| **grade > 0).map(|(document, _)| document.as_str()).collect()
    }

    /// Number of queries that have judgements.
    pub fn queries(&self) -> usize {
        self.queries.len()
    }

    /// Number of judgements.
    pub fn judgements(&self) -> usize {
        self.queries.values().map(BTreeMap::len).sum()
    }

    /// Drops the judgements of all queries that `keep` does not name, and says of how many queries.
    pub(crate) fn retain_queries(&mut self, keep: impl Fn(&str) -> bool) -> usize {
        let before = self.queries.len();
        self.queries.retain(|query, _| keep(query));
        before - self.queries.len()
    }
}
