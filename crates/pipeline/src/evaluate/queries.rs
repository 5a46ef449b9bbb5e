//! What became of each query, and the file that says it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use berth_eval::{Dataset, Evaluation, Measure, Scores};
use serde::Serialize;

use super::asked::Asked;
use super::report::EvalReport;
use crate::Error;

/// One query in one mode.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueryRow {
    /// Its id.
    pub query: String,
    /// What it asks.
    pub text: String,
    /// Which list answered.
    pub mode: String,
    /// Its figures.
    #[serde(flatten)]
    pub scores: Scores,
    /// Place of the first relevant document, from 1; none where there is none among those that were ranked.
    pub first_relevant: Option<usize>,
    /// Relevant documents that are not among those that were ranked, highest grade first.
    pub missed: Vec<String>,
    /// Wall time, encoding included; none of a run file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
}

/// The queries that count, by query id.
pub(super) fn rows(dataset: &Dataset, mode: &str, asked: &Asked, evaluation: &Evaluation) -> Vec<QueryRow> {
    let texts: HashMap<&str, &str> = dataset.queries.iter().map(|of| (of.id.as_str(), of.text.as_str())).collect();
    let times: HashMap<&str, f64> = asked.times_ms.iter().map(|(query, ms)| (query.as_str(), *ms)).collect();
    let row = |(query, scores): &(String, Scores)| {
        let ranking = asked.run.get(query).unwrap_or_default();
        let no_judgements = BTreeMap::new();
        let judgements = dataset.qrels.get(query).unwrap_or(&no_judgements);
        let is_relevant = |document: &String| judgements.get(document).is_some_and(|grade| *grade > 0);
        let found: HashSet<&str> = ranking.iter().map(|(document, _)| document.as_str()).collect();
        let mut missed: Vec<(i32, &String)> = judgements
            .iter()
            .filter(|(document, grade)| **grade > 0 && !found.contains(document.as_str()))
            .map(|(document, grade)| (-grade, document))
            .collect();
        missed.sort_unstable();
        QueryRow {
            query: query.clone(),
            text: texts.get(query.as_str()).map_or_else(String::new, |text| (*text).to_owned()),
            mode: mode.to_owned(),
            scores: scores.clone(),
            first_relevant: ranking.iter().position(|(document, _)| is_relevant(document)).map(|index| index + 1),
            missed: missed.into_iter().map(|(_, document)| document.clone()).collect(),
            ms: times.get(query.as_str()).copied(),
        }
    };
    evaluation.per_query.iter().map(row).collect()
}

/// Writes what became of each query in each mode: as JSON lines where the file's name ends in `.jsonl`, else between tabs, with
/// the names of the columns in the first line.
///
/// # Errors
/// `Io`.
pub fn write_queries(report: &EvalReport, path: &Path) -> Result<(), Error> {
    let mut writer = BufWriter::new(File::create(path).map_err(Error::io("create", path))?);
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"));
    let rows = || report.details.iter().flat_map(|mode| &mode.queries);
    let written = if is_json {
        rows().try_for_each(|row| {
            serde_json::to_writer(&mut writer, row)?;
            writer.write_all(b"\n")
        })
    } else {
        header(&mut writer, &report.measures).and_then(|()| rows().try_for_each(|row| line(&mut writer, row)))
    };
    written.and_then(|()| writer.flush()).map_err(Error::io("write", path))
}

fn header(writer: &mut impl Write, measures: &[Measure]) -> io::Result<()> {
    write!(writer, "query\ttext\tmode")?;
    measures.iter().try_for_each(|measure| write!(writer, "\t{measure}"))?;
    writeln!(writer, "\tfirst_relevant\tmissed\tms")
}

fn line(writer: &mut impl Write, row: &QueryRow) -> io::Result<()> {
    write!(writer, "{}\t{}\t{}", field(&row.query), field(&row.text), field(&row.mode))?;
    row.scores.iter().try_for_each(|(_, value)| write!(writer, "\t{value:.6}"))?;
    let first = row.first_relevant.map_or_else(String::new, |rank| rank.to_string());
    let ms = row.ms.map_or_else(String::new, |ms| format!("{ms:.3}"));
    writeln!(writer, "\t{first}\t{}\t{ms}", field(&row.missed.join(",")))
}

/// What would end a field becomes a blank.
fn field(text: &str) -> String {
    text.replace(['\t', '\n', '\r'], " ")
}
