//! Fits the curves of relevance of an index to judgements of its own documents.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use berth_eval::Dataset;
use berth_index::relevance::{Curve, Curves, Features, JudgedAnswer, fit, log_loss};
use berth_index::{store_relevance, stored_weights};
use berth_types::{Mode, Query};
use serde::Serialize;

use crate::encoding::EncoderChoice;
use crate::migrate::open_judgements;
use crate::searcher::{Searcher, SearcherOptions};
use crate::{Circumstances, Error, FusionChoice, Home, ResolvedFusion};

/// First answers of a question that count as what its user looks at.
const HEAD: usize = 10;
/// From this place on answers stand for what has nothing to do with the question.
const FAR: usize = 90;
/// The last place that is looked at.
const DEPTH: usize = 100;
/// Fewest relevant answers, and fewest others, that a curve is fitted to.
const LEAST_JUDGED: usize = 30;

/// What was fitted, and how it does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Name of the collection.
    pub dataset: String,
    /// Which judgements.
    pub split: String,
    /// Queries that were asked.
    pub queries: usize,
    /// By mode.
    pub modes: BTreeMap<&'static str, FittedCurve>,
}

/// The curve of a mode.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FittedCurve {
    /// Answers that were judged relevant, among the first ten.
    pub relevant: usize,
    /// Others that it was fitted to.
    pub others: usize,
    /// Mean log loss of the curve that is built in; none where there was too little to fit to.
    pub built_in_loss: Option<f64>,
    /// The same of curves fitted to one half of the queries, on the other half.
    pub fitted_loss: Option<f64>,
    /// Fitted to all; none where that was not better, and the one that is built in goes on to count.
    pub curve: Option<Curve>,
}

/// Asks an index the queries of a collection in BEIR layout whose documents it has, fits a curve for each of its modes to what is
/// judged relevant, and stores those that are better on queries that they were not fitted to. `Ok(None)`: interrupted, and nothing
/// stored.
///
/// The first ten answers are relevant or not as they were judged; what was not judged is taken to be not. Answers 91 to 100 stand
/// for what has nothing to do with the question. Relevant ones, others of the first ten and far ones weigh a third each.
///
/// # Errors
/// A folder that is no collection, or of other documents; `InvalidSettings` when too few answers are judged relevant in every
/// mode; a model that is not installed.
pub fn fit_relevance(
    home: &Home,
    index: &Path,
    choice: &EncoderChoice,
    (dir, split): (&Path, &str),
    cancel: &AtomicBool,
) -> Result<Option<Calibration>, Error> {
    let dataset = open_judgements(index, dir, split)?;
    let searcher = Searcher::open(home, index, choice, &SearcherOptions::default())?;
    let settings = searcher.reader().snapshot().settings().clone();
    let stored = stored_weights(index, &settings.fingerprint)?;
    // Curves are of the answers that are given: as the index is searched.
    let resolved = FusionChoice::default().resolved(stored.as_ref(), Circumstances::of(&settings));
    let has_sparse = settings.sparse.is_some();
    let modes = [Mode::Hybrid, Mode::Dense, Mode::Lexical].into_iter().chain(has_sparse.then_some(Mode::Sparse));
    let (mut curves, mut fitted) = (Curves::default(), BTreeMap::new());
    for mode in modes {
        let Some(answers) = judged_answers((&searcher, resolved), &dataset, mode, cancel)? else { return Ok(None) };
        let of_mode = fit_mode(mode, &answers);
        curves.set(mode, of_mode.curve);
        fitted.insert(mode.as_str(), of_mode);
    }
    if let Some(FittedCurve { relevant, others, .. }) = fitted.values().max_by_key(|fitted| fitted.relevant)
        && fitted.values().all(|fitted| fitted.fitted_loss.is_none())
    {
        return Err(Error::InvalidSettings(format!(
            "a curve of relevance needs {LEAST_JUDGED} relevant answers and as many others: the first {HEAD} of all queries have \
             {relevant}, and there are {others} others; name a split with more judgements"
        )));
    }
    store_relevance(index, curves)?;
    let queries = dataset.queries.len();
    Ok(Some(Calibration { dataset: dataset.name, split: dataset.split, queries, modes: fitted }))
}

/// What an answer is, and of which query.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Answer {
    query: usize,
    features: Features,
    group: Group,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Relevant,
    Near,
    Far,
}

fn judged_answers(
    (searcher, resolved): (&Searcher, ResolvedFusion),
    dataset: &Dataset,
    mode: Mode,
    cancel: &AtomicBool,
) -> Result<Option<Vec<Answer>>, Error> {
    let mut answers = Vec::new();
    for (number, asked) in dataset.queries.iter().enumerate() {
        if cancel.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let query = resolved.asking(Query::of_owner(&asked.text, DEPTH, mode));
        let found = match searcher.ranked(&query, |ranked| ranked.features) {
            Err(Error::EmptyQuery) => continue,
            found => found?,
        };
        for (place, (document, features)) in found.into_iter().enumerate() {
            let is_relevant = dataset.qrels.grade(&asked.id, &document).is_some_and(|grade| grade > 0);
            let group = match place {
                _ if place < HEAD && is_relevant => Group::Relevant,
                _ if place < HEAD => Group::Near,
                _ if place >= FAR && !is_relevant => Group::Far,
                _ => continue,
            };
            answers.push(Answer { query: number, features, group });
        }
    }
    Ok(Some(answers))
}

fn fit_mode(mode: Mode, answers: &[Answer]) -> FittedCurve {
    let relevant = answers.iter().filter(|answer| answer.group == Group::Relevant).count();
    let others = answers.len() - relevant;
    if relevant < LEAST_JUDGED || others < LEAST_JUDGED {
        return FittedCurve { relevant, others, built_in_loss: None, fitted_loss: None, curve: None };
    }
    let halves = [0, 1].map(|half| {
        let (of_half, rest): (Vec<Answer>, Vec<Answer>) = answers.iter().partition(|answer| answer.query % 2 == half);
        (fit(mode, &weighted(&rest)), weighted(&of_half))
    });
    let mean = |loss: &dyn Fn(&Curve, &[JudgedAnswer]) -> f64| {
        halves.iter().map(|(curve, held_out)| loss(curve, held_out)).sum::<f64>() / 2.0
    };
    let built_in_loss = mean(&|_, held_out| log_loss(&Curve::of(mode), held_out));
    let fitted_loss = mean(&|curve, held_out| log_loss(curve, held_out));
    let curve = (fitted_loss < built_in_loss).then(|| fit(mode, &weighted(answers)));
    FittedCurve { relevant, others, built_in_loss: Some(built_in_loss), fitted_loss: Some(fitted_loss), curve }
}

/// The groups that are there weigh the same.
fn weighted(answers: &[Answer]) -> Vec<JudgedAnswer> {
    let count = |group: Group| answers.iter().filter(|answer| answer.group == group).count() as f64;
    let [relevant, near, far] = [Group::Relevant, Group::Near, Group::Far].map(count);
    let judged = answers.iter().map(|&Answer { features, group, .. }| {
        let (is_relevant, count) = match group {
            Group::Relevant => (true, relevant),
            Group::Near => (false, near),
            Group::Far => (false, far),
        };
        JudgedAnswer { features, is_relevant, weight: answers.len() as f64 / count }
    });
    judged.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(count: usize, relevant_above: usize) -> Vec<Answer> {
        let answer = |number: usize| {
            let coverage = (number % 50) as f32 / 50.0;
            let group = match number % 50 {
                part if part >= relevant_above => Group::Relevant,
                part if part > 10 => Group::Near,
                _ => Group::Far,
            };
            Answer { query: number / 10, features: Features { cosine: coverage, coverage }, group }
        };
        (0..count).map(answer).collect()
    }

    #[test]
    fn a_curve_is_kept_when_it_is_better_on_queries_that_it_has_not_seen() {
        let fitted = fit_mode(Mode::Lexical, &answers(2_000, 20));
        let curve = fitted.curve.unwrap();
        assert!(fitted.fitted_loss < fitted.built_in_loss, "{fitted:?}");
        assert!(curve.at(0.0, 0.6) > 0.5 && curve.at(0.0, 0.1) < 0.1, "{curve:?}");
    }

    #[test]
    fn too_little_is_fitted_to_by_nothing() {
        let fitted = fit_mode(Mode::Dense, &answers(40, 20));
        assert_eq!((fitted.relevant, fitted.others, fitted.curve), (20, 20, None));
        assert_eq!(fitted.fitted_loss, None);
    }

    #[test]
    fn groups_weigh_the_same() {
        let weighted = weighted(&answers(500, 20));
        let sum = |is_relevant: bool| -> f64 {
            weighted.iter().filter(|answer| answer.is_relevant == is_relevant).map(|answer| answer.weight).sum()
        };
        assert!((sum(true) * 2.0 - sum(false)).abs() < 1e-6);
    }
}
