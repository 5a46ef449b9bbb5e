//! Asks an index every query of a collection in one mode.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use berth_eval::{Dataset, Prediction, Run};
use berth_types::{Mode, Narrowing, Query, Rerank, Shaping, Viewer};

use super::EvalOptions;
use super::subject::Subject;
use crate::Error;

/// First hits of a query whose relevance is held against the judgements: what its user looks at.
const HEAD: usize = 10;

/// What was answered in one mode.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) run: Run,
    /// Wall time of each query, encoding included, by query id; empty of a run file.
    pub(super) times_ms: Vec<(String, f64)>,
    /// What relevance said of the first hits that were judged, and whether it was so.
    pub(super) judged: Vec<Prediction>,
    /// The same of all first hits; what was not judged is taken to be irrelevant.
    pub(super) all: Vec<Prediction>,
}

impl Asked {
    /// The answers of a run file, of which no more is known.
    pub(super) fn of_run(run: Run) -> Self {
        Self { run, ..Self::default() }
    }
}

/// Asks every judged query for `depth` documents, one after the other. `Ok(None)`: interrupted.
///
/// # Errors
/// What a search fails at, but for a query without words, which finds nothing.
pub(super) fn ask(
    subject: &Subject,
    dataset: &Dataset,
    options: &EvalOptions,
    (mode, rerank, depth): (Mode, Option<Rerank>, usize),
    cancel: &AtomicBool,
) -> Result<Option<Asked>, Error> {
    let mut asked = Asked::default();
    for query in &dataset.queries {
        if cancel.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let question = question(subject, options, (&query.text, mode, rerank), depth);
        let started = Instant::now();
        let found = match subject.searcher.ranked(&question, |ranked| (ranked.score, ranked.relevance)) {
            // A query without words finds nothing; it counts as such.
            Err(Error::EmptyQuery) => Vec::new(),
            other => other?,
        };
        asked.times_ms.push((query.id.clone(), started.elapsed().as_secs_f64() * 1e3));
        for (document, (_, relevance)) in found.iter().take(HEAD) {
            let grade = dataset.qrels.grade(&query.id, document);
            let relevant = grade.is_some_and(|grade| grade > 0);
            let prediction = Prediction { probability: f64::from(*relevance), relevant };
            asked.all.push(prediction);
            asked.judged.extend(grade.map(|_| prediction));
        }
        let ranking = found.into_iter().map(|(document, (score, _))| (document, score)).collect();
        asked.run.insert(&query.id, ranking)?;
    }
    asked.times_ms.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Some(asked))
}

/// One question of the index's owner.
pub(super) fn question(
    subject: &Subject,
    options: &EvalOptions,
    (text, mode, rerank): (&str, Mode, Option<Rerank>),
    k: usize,
) -> Query {
    let resolved = &subject.resolved;
    Query {
        text: text.to_owned(),
        k,
        mode,
        dense: options.dense,
        lists: resolved.lists,
        fusion: resolved.fusion,
        sparse_weight: resolved.sparse_weight.unwrap_or(0.0),
        rerank,
        shaping: Shaping { aggregate: resolved.aggregate, ..Shaping::default() },
        explain: false,
        narrowing: Narrowing { filter: options.filter.clone(), viewer: Some(Viewer::Owner), ..Narrowing::default() },
    }
}
