//! Ranked answers, and the TREC run file in which they travel.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufRead, Write};
use std::path::Path;

use crate::{Error, Qrels, lines};

/// Queries that an error names of each side.
const NAMED: usize = 3;

/// Ranked answers to a set of queries: query id → documents with scores, best first.
///
/// The order is the order handed in. Berth's own answers carry a total order (ties are broken by id), so nothing is sorted here
/// and scores need not fall. Only [`Run::read_trec`] sorts, because a run file is a set of scores.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    rankings: BTreeMap<String, Vec<(String, f32)>>,
}

impl Run {
    /// A run without answers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the answer to a query, best document first; it may be empty.
    ///
    /// # Errors
    /// `DuplicateAnswer` when the query has an answer; `DuplicateDocument` when a document stands twice in it;
    /// `ScoreNotFinite` when a score is NaN or infinite. The run stays as it was.
    pub fn insert(&mut self, query: &str, ranking: Vec<(String, f32)>) -> Result<(), Error> {
        if self.rankings.contains_key(query) {
            return Err(Error::DuplicateAnswer { query: query.to_owned() });
        }
        let mut seen = HashSet::with_capacity(ranking.len());
        for (document, score) in &ranking {
            if !score.is_finite() {
                let (query, document) = (query.to_owned(), document.clone());
                return Err(Error::ScoreNotFinite { query, document, score: *score });
            }
            if !seen.insert(document.as_str()) {
                return Err(Error::DuplicateDocument { query: query.to_owned(), document: document.clone() });
            }
        }
        self.rankings.insert(query.to_owned(), ranking);
        Ok(())
    }

    /// The answer to a query, best document first.
    pub fn get(&self, query: &str) -> Option<&[(String, f32)]> {
        self.rankings.get(query).map(Vec::as_slice)
    }

    /// All queries with their answers, by query id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[(String, f32)])> {
        self.rankings.iter().map(|(query, ranking)| (query.as_str(), ranking.as_slice()))
    }

    /// Number of queries that have an answer, be it empty.
    pub fn queries(&self) -> usize {
        self.rankings.len()
    }

    /// Refuses a run that has nothing to do with the judgements. `path` is only named in errors.
    ///
    /// # Errors
    /// `RunAnswersNothing` unless some judged query has an answer, be it empty.
    pub fn require_answers(&self, qrels: &Qrels, path: &Path) -> Result<(), Error> {
        if qrels.iter().any(|(query, _)| self.rankings.contains_key(query)) {
            return Ok(());
        }
        Err(Error::RunAnswersNothing {
            path: path.to_owned(),
            answered: self.queries(),
            first_answers: self.rankings.keys().take(NAMED).cloned().collect(),
            judged: qrels.queries(),
            first_queries: qrels.iter().take(NAMED).map(|(query, _)| query.to_owned()).collect(),
        })
    }

    /// Writes a TREC run file: `query Q0 document rank score tag`, between tabs.
    ///
    /// trec_eval and its kin ignore the rank and sort by score. So that they see this order too, a score that does not fall
    /// below the one before it is written as the next smaller number. Tabs keep ids with spaces whole for readers that split at
    /// tabs, as [`Run::read_trec`] does.
    ///
    /// # Errors
    /// `IdNotWritable` for an id (or a tag) that is empty or holds a tab or a line end; `Io`, naming the tag, when writing fails.
    pub fn write_trec(&self, writer: &mut impl Write, tag: &str) -> Result<(), Error> {
        check_field(tag)?;
        for (query, ranking) in self.iter() {
            check_field(query)?;
            let mut above = f32::INFINITY;
            for (position, (document, score)) in ranking.iter().enumerate() {
                check_field(document)?;
                let score = if *score < above { *score } else { above.next_down() };
                above = score;
                writeln!(writer, "{query}\tQ0\t{document}\t{}\t{score}\t{tag}", position + 1)
                    .map_err(|source| write_failed(tag, source))?;
            }
        }
        writer.flush().map_err(|source| write_failed(tag, source))
    }

    /// Reads a TREC run file. `path` is only named in errors.
    ///
    /// A line has six fields, between tabs or else between blanks. The rank is ignored: as in trec_eval, documents stand by
    /// falling score (of 32 bits), and equal scores by falling document id.
    ///
    /// # Errors
    /// `Malformed` for a line of another form, an empty id, a document that a query ranks already, or a score that 32 bits do not
    /// hold; `Io`.
    pub fn read_trec(reader: impl BufRead, path: &Path) -> Result<Self, Error> {
        let mut rankings: BTreeMap<String, Vec<(String, f32)>> = BTreeMap::new();
        let mut ranked: HashSet<(String, String)> = HashSet::new();
        lines::for_each(reader, path, |line, text| {
            let mut fields: Vec<&str> = text.split('\t').map(str::trim).collect();
            if fields.len() != 6 {
                fields = text.split_whitespace().collect();
            }
            let &[query, _, document, _, score, _] = fields.as_slice() else {
                let reason = format!(
                    "{} fields, where six were wanted: query id, Q0, document id, rank, score, tag",
                    fields.len()
                );
                return Err(lines::malformed(path, line, reason));
            };
            if query.is_empty() || document.is_empty() {
                return Err(lines::malformed(path, line, "an id is empty"));
            }
            let Some(score) = score.parse::<f32>().ok().filter(|score| score.is_finite()) else {
                let reason = format!("score '{score}' is not a finite number of 32 bits");
                return Err(lines::malformed(path, line, reason));
            };
            // −0 and 0 are one score.
            let score = score + 0.0;
            if !ranked.insert((query.to_owned(), document.to_owned())) {
                let reason = format!("query '{query}' ranks document '{document}' a second time");
                return Err(lines::malformed(path, line, reason));
            }
            rankings.entry(query.to_owned()).or_default().push((document.to_owned(), score));
            Ok(())
        })?;
        let mut run = Self::new();
        for (query, mut ranking) in rankings {
            ranking.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| b.0.cmp(&a.0)));
            run.insert(&query, ranking)?;
        }
        Ok(run)
    }
}

fn check_field(id: &str) -> Result<(), Error> {
    if id.trim().is_empty() || id.contains(['\t', '\n', '\r']) {
        return Err(Error::IdNotWritable { id: id.to_owned() });
    }
    Ok(())
}

fn write_failed(tag: &str, source: io::Error) -> Error {
    Error::Io { path: format!("run '{tag}'").into(), source }
}
