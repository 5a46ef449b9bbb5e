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
    repeated: usize,
}

impl Qrels {
    /// Reads a file of judgements: query id, document id and grade between tabs (BEIR), or query id, a field without meaning,
    /// document id and grade between tabs or blanks (TREC).
    ///
    /// A header line (`query-id corpus-id score`) may be there or not. A grade is a whole number, which may be written as `1.0`.
    /// A line that repeats an earlier judgement adds nothing but to [`Qrels::repeated`].
    ///
    /// # Errors
    /// `FileMissing`; `Malformed` for a line of another form; `ConflictingJudgement` for two grades of one document; `Io`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut qrels = Self::default();
        let mut header_possible = true;
        lines::for_each(lines::open(path)?, path, |line, text| {
            let wrong = |reason| lines::malformed(path, line, reason);
            let [query, document, grade] = fields(text).map_err(wrong)?;
            if std::mem::take(&mut header_possible) && grade == "score" {
                return Ok(());
            }
            let second = parse_grade(grade).map_err(wrong)?;
            if query.is_empty() || document.is_empty() {
                return Err(wrong("an id is empty".to_owned()));
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
                Some(_) => {
                    qrels.repeated += 1;
                    Ok(())
                }
                None => {
                    qrels.insert(query, document, second);
                    Ok(())
                }
            }
        })?;
        Ok(qrels)
    }

    /// Lines of the file that repeat an earlier judgement word for word.
    pub fn repeated(&self) -> usize {
        self.repeated
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

    /// Judgements of documents that the collection does not have, as query and document, by id.
    pub fn unknown_documents(&self, known: impl Fn(&str) -> bool) -> Vec<(&str, &str)> {
        let pairs = self.iter().flat_map(|(query, judgements)| judgements.keys().map(move |id| (query, id.as_str())));
        pairs.filter(|(_, document)| !known(document)).collect()
    }

    /// Takes out the judgements of all queries that `keep` does not name.
    pub(crate) fn split_off_queries(&mut self, keep: impl Fn(&str) -> bool) -> Self {
        let (kept, taken) = std::mem::take(&mut self.queries).into_iter().partition(|(query, _)| keep(query));
        self.queries = kept;
        Self { queries: taken, repeated: 0 }
    }
}

/// Query id, document id and grade of a line; the error is a reason.
fn fields(line: &str) -> Result<[&str; 3], String> {
    let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
    if let [query, document, grade] | [query, _, document, grade] = fields[..] {
        return Ok([query, document, grade]);
    }
    // Ids may hold blanks where tabs stand between the fields; where blanks do, only the four of TREC can be told apart.
    if let [query, _, document, grade] = line.split_whitespace().collect::<Vec<_>>()[..] {
        return Ok([query, document, grade]);
    }
    Err(format!(
        "{} fields between tabs, where three were wanted (query id, document id, grade), or four between tabs or blanks \
         (query id, 0, document id, grade)",
        fields.len()
    ))
}

/// A whole number, or a decimal one without a fraction; the error is a reason.
fn parse_grade(text: &str) -> Result<i32, String> {
    if let Ok(grade) = text.parse::<i32>() {
        return Ok(grade);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number.fract() != 0.0 => {
            Err(format!("grade '{text}' has a fraction; grades are whole numbers, above 0 for what is relevant"))
        }
        Ok(number) if number.fract() == 0.0 && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number) => {
            Ok(number as i32)
        }
        Ok(number) if number.is_finite() => Err(format!("grade '{text}' is too far from zero")),
        _ => Err(format!("grade '{text}' is not a whole number")),
    }
}
