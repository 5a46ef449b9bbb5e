//! Holds two runs against each other by judgements: which one is better, by how much, and whether that may be luck.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use berth_eval::{CompareOptions, Comparison, Dataset, Evaluation, Measure, Qrels, Run, compare, holm};
use serde::Serialize;

use crate::Error;
use crate::evaluate::{EVAL_MEASURES, read_run};
use crate::judged::some;

/// Queries that a report names of those that changed most, in each direction.
const CHANGED: usize = 5;

/// What is compared, and how.
#[derive(Debug, Clone)]
pub struct RunsToCompare {
    /// TREC run file: what the other is held against.
    pub a: PathBuf,
    /// TREC run file.
    pub b: PathBuf,
    /// What both are judged by.
    pub judged_by: JudgedBy,
    /// What is measured, the figure that counts most first; none: [`EVAL_MEASURES`].
    pub measures: Vec<Measure>,
    /// How sure one wants to be. With `common_only`, queries that only one run answers are left out; otherwise they count as 0
    /// in the other.
    pub options: CompareOptions,
}

/// Where judgements are.
#[derive(Debug, Clone)]
pub enum JudgedBy {
    /// A split of a collection in BEIR layout.
    Split(PathBuf, String),
    /// A file of judgements, in the layout of BEIR or TREC.
    Qrels(PathBuf),
}

/// How run B compares with run A.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunsReport {
    /// As named.
    pub a: PathBuf,
    /// As named.
    pub b: PathBuf,
    /// The collection and its split, or the file of judgements.
    pub judged_by: String,
    /// Queries compared.
    pub queries: usize,
    /// Their judgements.
    pub judgements: usize,
    /// Queries that count and that only A answers.
    pub only_a: usize,
    /// Queries that count and that only B answers.
    pub only_b: usize,
    /// Queries that count and that neither answers.
    pub neither: usize,
    /// By every measure.
    pub comparisons: Vec<RunsComparison>,
    /// The queries that changed most by the first measure: those that B answers better, then those that it answers worse.
    pub changed: Vec<QueryChange>,
    /// Version of Berth.
    pub version: &'static str,
    /// What the reader should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Every query, by id, by the first measure.
    #[serde(skip)]
    pub per_query: Vec<QueryChange>,
}

/// Both runs by one measure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunsComparison {
    /// What came of it.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// The p value corrected for there being several measures (Holm).
    pub p_holm: f64,
}

/// What one query scores in both runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueryChange {
    /// Its id.
    pub query: String,
    /// What it asks; empty where only judgements are known.
    pub text: String,
    /// In A.
    pub a: f64,
    /// In B.
    pub b: f64,
    /// B less A.
    pub difference: f64,
}

/// Compares two runs by judgements of the same queries.
///
/// # Errors
/// Files that are not there or not what they should be; `RunAnswersNothing` where a run answers none of the judged queries;
/// `NothingToCompare` where no query is left, `LevelOutOfRange`.
pub fn compare_runs(wanted: &RunsToCompare) -> Result<RunsReport, Error> {
    let judged = Judged::open(&wanted.judged_by)?;
    let (a, b) = (read_run(&wanted.a)?, read_run(&wanted.b)?);
    a.require_answers(&judged.qrels, &wanted.a)?;
    b.require_answers(&judged.qrels, &wanted.b)?;
    let mut counted = Counted::of(&judged.qrels, &a, &b);
    let mut warnings = judged.warnings;
    let (mut only_a, mut only_b, neither) = (counted.only_a.len(), counted.only_b.len(), counted.neither.len());
    let what = if wanted.options.common_only { "are left out" } else { "count as 0 in the other" };
    for (side, path) in [(&counted.only_a, &wanted.a), (&counted.only_b, &wanted.b)] {
        if !side.is_empty() {
            let (count, named) = (side.len(), some(side.iter()));
            warnings
                .push(format!("{count} judged queries are answered by {} alone and {what}: {named}", path.display()));
        }
    }
    if neither > 0 && !wanted.options.common_only {
        warnings.push(format!("{neither} judged queries are answered by neither and count as 0 in both"));
    }
    let qrels = if wanted.options.common_only {
        (only_a, only_b) = (0, 0);
        counted.neither.clear();
        restricted(&judged.qrels, &counted.both)
    } else {
        judged.qrels
    };
    let neither = counted.neither.len();
    let measures = if wanted.measures.is_empty() { &EVAL_MEASURES[..] } else { &wanted.measures };
    let (of_a, of_b) = (berth_eval::evaluate(&a, &qrels, measures), berth_eval::evaluate(&b, &qrels, measures));
    let compared = |&measure: &Measure| Ok(compare(&of_a, &of_b, measure, &wanted.options)?);
    let comparisons = of_a.measures.iter().map(compared).collect::<Result<Vec<Comparison>, Error>>()?;
    let corrected = holm(&comparisons.iter().map(|comparison| comparison.p_value).collect::<Vec<_>>());
    let per_query = changes(&of_a, &of_b, &judged.texts);
    Ok(RunsReport {
        a: wanted.a.clone(),
        b: wanted.b.clone(),
        judged_by: judged.name,
        queries: of_a.per_query.len(),
        judgements: qrels.judgements(),
        only_a,
        only_b,
        neither,
        comparisons: comparisons
            .into_iter()
            .zip(corrected)
            .map(|(comparison, p_holm)| RunsComparison { comparison, p_holm })
            .collect(),
        changed: changed_most(&per_query),
        version: env!("CARGO_PKG_VERSION"),
        warnings,
        per_query,
    })
}

/// Judgements, and what is known of their queries.
struct Judged {
    name: String,
    qrels: Qrels,
    texts: HashMap<String, String>,
    warnings: Vec<String>,
}

impl Judged {
    fn open(judged_by: &JudgedBy) -> Result<Self, Error> {
        match judged_by {
            JudgedBy::Split(dir, split) => {
                let dataset = Dataset::open(dir, split)?;
                let unknown = &dataset.unknown_queries;
                let warnings = (!unknown.is_empty()).then(|| {
                    format!("{} judged queries have no text and are left out: {}", unknown.len(), some(unknown.iter()))
                });
                Ok(Self {
                    name: format!("{}, {}", dataset.name, dataset.split),
                    texts: dataset.queries.into_iter().map(|query| (query.id, query.text)).collect(),
                    qrels: dataset.qrels,
                    warnings: warnings.into_iter().collect(),
                })
            }
            JudgedBy::Qrels(path) => Ok(Self {
                name: file_name(path),
                qrels: relevant_qrels(path)?,
                texts: HashMap::new(),
                warnings: Vec::new(),
            }),
        }
    }
}

fn relevant_qrels(path: &Path) -> Result<Qrels, Error> {
    if !path.exists() {
        return Err(Error::PathNotFound { path: path.to_path_buf() });
    }
    let qrels = Qrels::read(path)?;
    if qrels.judgements() == 0 {
        return Err(berth_eval::Error::NoJudgements { path: path.to_owned() }.into());
    }
    if qrels.relevant_documents().is_empty() {
        return Err(berth_eval::Error::NothingRelevant { path: path.to_owned(), judgements: qrels.judgements() }.into());
    }
    Ok(qrels)
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The queries that count, by who answers them.
#[derive(Default)]
struct Counted {
    both: Vec<String>,
    only_a: Vec<String>,
    only_b: Vec<String>,
    neither: Vec<String>,
}

impl Counted {
    fn of(qrels: &Qrels, a: &Run, b: &Run) -> Self {
        let mut counted = Self::default();
        for (query, judgements) in qrels.iter() {
            if judgements.values().all(|grade| *grade <= 0) {
                continue;
            }
            let side = match (a.get(query).is_some(), b.get(query).is_some()) {
                (true, true) => &mut counted.both,
                (true, false) => &mut counted.only_a,
                (false, true) => &mut counted.only_b,
                (false, false) => &mut counted.neither,
            };
            side.push(query.to_owned());
        }
        counted
    }
}

fn restricted(qrels: &Qrels, queries: &[String]) -> Qrels {
    let mut kept = Qrels::default();
    for query in queries {
        for (document, &grade) in qrels.get(query).into_iter().flatten() {
            kept.insert(query, document, grade);
        }
    }
    kept
}

fn changes(a: &Evaluation, b: &Evaluation, texts: &HashMap<String, String>) -> Vec<QueryChange> {
    let Some(&measure) = a.measures.first() else { return Vec::new() };
    let change = |((query, of_a), (_, of_b)): (&(String, berth_eval::Scores), &(String, berth_eval::Scores))| {
        let (a, b) = (of_a.get(measure)?, of_b.get(measure)?);
        let text = texts.get(query).cloned().unwrap_or_default();
        Some(QueryChange { query: query.clone(), text, a, b, difference: b - a })
    };
    a.per_query.iter().zip(&b.per_query).filter_map(change).collect()
}

/// The greatest gains, then the greatest losses; ties by id.
fn changed_most(per_query: &[QueryChange]) -> Vec<QueryChange> {
    let most = |sign: f64| {
        let mut changed: Vec<&QueryChange> = per_query.iter().filter(|query| query.difference * sign > 0.0).collect();
        changed.sort_by(|one, other| {
            let by_size = (other.difference * sign).total_cmp(&(one.difference * sign));
            by_size.then_with(|| one.query.cmp(&other.query))
        });
        changed.into_iter().take(CHANGED).cloned()
    };
    most(1.0).chain(most(-1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_most_comes_first_and_ties_by_id() {
        let change = |(query, difference): (&str, f64)| QueryChange {
            query: query.to_owned(),
            text: String::new(),
            a: 0.5,
            b: 0.5 + difference,
            difference,
        };
        let all = [("d", 0.25), ("a", 0.0), ("c", -0.5), ("b", 0.25), ("e", 0.5), ("f", -0.25)].map(change);
        let named: Vec<String> = changed_most(&all).into_iter().map(|change| change.query).collect();
        assert_eq!(named, ["e", "b", "d", "c", "f"]);
    }

    #[test]
    fn queries_are_counted_by_who_answers_them() {
        let (mut qrels, mut a, mut b) = (Qrels::default(), Run::new(), Run::new());
        for (query, grade) in [("both", 1), ("a", 1), ("b", 2), ("none", 1), ("unanswerable", 0)] {
            qrels.insert(query, "document", grade);
        }
        for query in ["both", "a", "unanswerable"] {
            a.insert(query, Vec::new()).unwrap();
        }
        for query in ["both", "b", "not judged"] {
            b.insert(query, Vec::new()).unwrap();
        }
        let counted = Counted::of(&qrels, &a, &b);
        let sides = [counted.both, counted.only_a, counted.only_b, counted.neither];
        assert_eq!(sides.map(|side| side.join(" ")), ["both", "a", "b", "none"]);
        assert_eq!(restricted(&qrels, &["b".to_owned()]).judgements(), 1);
    }
}
