//! How differently an index and its next one answer: by rank overlap on sampled and recorded questions, and by judgements
//! where there are some.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use berth_eval::{Dataset, Evaluation, Measure, PERSISTENCE, Run, Scores, overlap_at, rank_biased_overlap};
use berth_index::{Alternate, IndexReader};
use berth_types::{Mode, Query};
use serde::Serialize;

use super::sample::{SampleOptions, Sampled, recorded, sample_documents};
use crate::encoding::EncoderChoice;
use crate::searcher::{Searcher, SearcherOptions};
use crate::{Error, Home};

/// Documents asked for with each question.
const DEPTH: usize = 100;
/// What judged answers are compared by.
const JUDGED_BY: Measure = Measure::Ndcg(Some(10));
/// Places that the overlap looks at.
const HEAD: usize = 10;
/// Questions named that are answered most differently.
const UNLIKE: usize = 5;
/// Modes that read vectors; the lexical half does not change with the model.
const MODES: [Mode; 2] = [Mode::Hybrid, Mode::Dense];

/// What was compared and found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Questions taken from documents.
    pub sampled: usize,
    /// Questions that were recorded.
    pub recorded: usize,
    /// By mode: `hybrid` and `dense`.
    pub modes: BTreeMap<&'static str, ModeComparison>,
    /// Questions of hybrid search that the two answer most differently, the least alike first.
    pub unlike: Vec<Unlike>,
    /// By judgements, where a collection was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judgement>,
    /// What the reader should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Means over all questions; null when there was none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ModeComparison {
    /// Share of the first ten that both answer.
    #[serde(rename = "overlap@10")]
    pub overlap_at_10: Option<f64>,
    /// Rank-biased overlap of the first hundred, p = .9.
    pub rbo: Option<f64>,
    /// Share of questions with the same first document.
    pub same_first: Option<f64>,
    /// How the index finds the documents that questions were taken from.
    pub index: SelfFound,
    /// How the next one does.
    pub next: SelfFound,
}

/// How documents are found by their own title or first sentence.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct SelfFound {
    /// Share of questions whose document is the first answer.
    pub first: Option<f64>,
    /// Mean of one over its rank, 0 beyond the first ten.
    #[serde(rename = "mrr@10")]
    pub mrr_at_10: Option<f64>,
}

/// A question that the two answer differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unlike {
    /// The question.
    pub query: String,
    /// Rank-biased overlap.
    pub rbo: f64,
    /// First document of the index.
    pub index: Option<String>,
    /// First document of the next one.
    pub next: Option<String>,
}

/// What judgements say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// Name of the collection.
    pub dataset: String,
    /// Which judgements.
    pub split: String,
    /// Queries that count.
    pub queries: usize,
    /// By mode.
    pub modes: BTreeMap<&'static str, JudgedMode>,
}

/// nDCG@10 of both, and for how many queries which is higher.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct JudgedMode {
    /// Of the index.
    pub index: f64,
    /// Of the next one.
    pub next: f64,
    /// Queries that the next one answers better.
    pub better: usize,
    /// Queries that it answers worse.
    pub worse: usize,
}

/// Asks an index and its next one the same questions. `dataset` is a folder in BEIR layout and a split of it, whose
/// documents are those of the index. `Ok(None)`: interrupted.
///
/// # Errors
/// `NoAlternate` when there is no next index; models that are not installed; a collection that is none, or of other
/// documents.
pub fn compare_with_next(
    home: &Home,
    index: &Path,
    machine: &EncoderChoice,
    sample: SampleOptions,
    dataset: Option<(&Path, &str)>,
    cancel: &AtomicBool,
) -> Result<Option<Comparison>, Error> {
    let next = Alternate::Next.path(index);
    if !berth_index::exists(&next) {
        let (path, which) = (index.to_path_buf(), Alternate::Next);
        return Err(berth_index::Error::NoAlternate { path, which }.into());
    }
    let dataset = dataset.map(|(dir, split)| open_judgements(index, dir, split)).transpose()?;
    let snapshot = IndexReader::open(index)?.snapshot();
    let mut questions = sample_documents(&snapshot, sample)?;
    let sampled = questions.len();
    let (asked, unreadable) = recorded(index, sample.count)?;
    let mut warnings = Vec::new();
    if unreadable > 0 {
        warnings.push(format!("lines of the recorded queries that cannot be read and are left out: {unreadable}"));
    }
    let recorded = asked.len();
    questions.extend(asked);

    let [one, other] = [index, &next].map(|place| Side::open(home, place, machine));
    let (one, other) = (one?, other?);
    let mut comparison =
        Comparison { sampled, recorded, modes: BTreeMap::new(), unlike: Vec::new(), judged: None, warnings };
    for mode in MODES {
        let mut answers = Vec::with_capacity(questions.len());
        for question in &questions {
            if cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            answers.push((one.documents(&question.text, mode)?, other.documents(&question.text, mode)?));
        }
        if mode == Mode::Hybrid {
            comparison.unlike = most_unlike(&questions, &answers);
        }
        comparison.modes.insert(mode.as_str(), compare(&questions, &answers));
    }
    if let Some(dataset) = dataset {
        let Some(judged) = judge(&one, &other, &dataset, cancel)? else { return Ok(None) };
        let judged_documents: BTreeSet<&String> =
            dataset.qrels.iter().flat_map(|(_, judgements)| judgements.keys()).collect();
        let documents = snapshot.records()?;
        let absent = judged_documents.iter().filter(|document| !documents.contains_key(**document)).count();
        if absent > 0 {
            let all = judged_documents.len();
            comparison
                .warnings
                .push(format!("{absent} of {all} judged documents are not in the index: they count as missed"));
        }
        if !dataset.unknown_queries.is_empty() {
            let count = dataset.unknown_queries.len();
            comparison.warnings.push(format!("{count} judged queries have no text and are left out"));
        }
        comparison.judged = Some(judged);
    }
    Ok(Some(comparison))
}

/// One of the two that are compared.
struct Side(Searcher);

impl Side {
    /// With the model that it was built with, whatever the user names for others.
    fn open(home: &Home, index: &Path, machine: &EncoderChoice) -> Result<Self, Error> {
        let choice = EncoderChoice { model: None, precision: None, ..machine.clone() };
        Ok(Self(Searcher::open(home, index, &choice, &SearcherOptions::default())?))
    }

    fn rank(&self, text: &str, mode: Mode) -> Result<Vec<(String, f32)>, Error> {
        // Whoever may exchange an index may see all of it.
        match self.0.rank(&Query::of_owner(text, DEPTH, mode)) {
            Err(Error::EmptyQuery) => Ok(Vec::new()),
            ranked => ranked,
        }
    }

    fn documents(&self, text: &str, mode: Mode) -> Result<Vec<String>, Error> {
        Ok(self.rank(text, mode)?.into_iter().map(|(document, _)| document).collect())
    }
}

/// Documents in order, of the index and of the next one.
type Answers = (Vec<String>, Vec<String>);

fn compare(questions: &[Sampled], answers: &[Answers]) -> ModeComparison {
    let over = |figure: &dyn Fn(&Answers) -> f64| mean(answers.iter().map(figure));
    let found = |side: &dyn Fn(&Answers) -> &Vec<String>| {
        let ranks: Vec<Option<usize>> = questions
            .iter()
            .zip(answers)
            .filter_map(|(question, answers)| Some((question.of.as_ref()?, side(answers))))
            .map(|(of, answers)| answers.iter().take(HEAD).position(|document| document == of))
            .collect();
        SelfFound {
            first: mean(ranks.iter().map(|rank| f64::from(*rank == Some(0)))),
            mrr_at_10: mean(ranks.iter().map(|rank| rank.map_or(0.0, |rank| 1.0 / (rank + 1) as f64))),
        }
    };
    ModeComparison {
        overlap_at_10: over(&|(one, other)| overlap_at(one, other, HEAD)),
        rbo: over(&|(one, other)| rank_biased_overlap(one, other, PERSISTENCE)),
        same_first: over(&|(one, other)| f64::from(one.first() == other.first())),
        index: found(&|(one, _)| one),
        next: found(&|(_, other)| other),
    }
}

fn most_unlike(questions: &[Sampled], answers: &[Answers]) -> Vec<Unlike> {
    let mut unlike: Vec<Unlike> = questions
        .iter()
        .zip(answers)
        .map(|(question, (one, other))| Unlike {
            query: question.text.clone(),
            rbo: rank_biased_overlap(one, other, PERSISTENCE),
            index: one.first().cloned(),
            next: other.first().cloned(),
        })
        .filter(|unlike| unlike.index != unlike.next)
        .collect();
    unlike.sort_by(|one, other| one.rbo.total_cmp(&other.rbo).then_with(|| one.query.cmp(&other.query)));
    unlike.truncate(UNLIKE);
    unlike
}

/// Reads the judgements that an index is to be compared by. A collection whose judged documents the index does not have
/// says nothing about it.
///
/// # Errors
/// A folder that is no collection; `OtherDocuments`.
pub fn open_judgements(index: &Path, dir: &Path, split: &str) -> Result<Dataset, Error> {
    let dataset = Dataset::open(dir, split)?;
    let documents = IndexReader::open(index)?.snapshot().records()?;
    let judged: Vec<&String> = dataset.qrels.iter().flat_map(|(_, judgements)| judgements.keys()).collect();
    if judged.iter().any(|document| documents.contains_key(*document)) {
        return Ok(dataset);
    }
    let (dataset, judged) = (dataset.dir.clone(), judged.first().map_or_else(String::new, ToString::to_string));
    Err(Error::OtherDocuments { dataset, judged, stored: documents.keys().next().cloned() })
}

fn judge(one: &Side, other: &Side, dataset: &Dataset, cancel: &AtomicBool) -> Result<Option<Judgement>, Error> {
    let mut judgement =
        Judgement { dataset: dataset.name.clone(), split: dataset.split.clone(), queries: 0, modes: BTreeMap::new() };
    for mode in MODES {
        let (Some(index), Some(next)) =
            (evaluated(one, dataset, mode, cancel)?, evaluated(other, dataset, mode, cancel)?)
        else {
            return Ok(None);
        };
        judgement.queries = index.per_query.len();
        let pairs = index.per_query.iter().zip(&next.per_query);
        let differences: Vec<f64> = pairs.map(|((_, index), (_, next))| ndcg(next) - ndcg(index)).collect();
        let judged = JudgedMode {
            index: ndcg(&index.mean),
            next: ndcg(&next.mean),
            better: differences.iter().filter(|&&difference| difference > 0.0).count(),
            worse: differences.iter().filter(|&&difference| difference < 0.0).count(),
        };
        judgement.modes.insert(mode.as_str(), judged);
    }
    Ok(Some(judgement))
}

fn evaluated(side: &Side, dataset: &Dataset, mode: Mode, cancel: &AtomicBool) -> Result<Option<Evaluation>, Error> {
    let mut run = Run::new();
    for query in &dataset.queries {
        if cancel.load(Ordering::Relaxed) {
            return Ok(None);
        }
        run.insert(&query.id, side.rank(&query.text, mode)?)?;
    }
    Ok(Some(berth_eval::evaluate(&run, &dataset.qrels, &[JUDGED_BY])))
}

fn ndcg(scores: &Scores) -> f64 {
    scores.get(JUDGED_BY).unwrap_or(0.0)
}

/// None of nothing.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_usize, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_and_the_most_unlike_come_first() {
        let list = |names: &str| names.chars().map(String::from).collect::<Vec<_>>();
        let sampled = |text: &str, of: Option<&str>| Sampled { text: text.into(), of: of.map(Into::into) };
        let questions = [sampled("same", Some("a")), sampled("moved", Some("b")), sampled("asked", None)];
        let answers = [(list("abc"), list("abc")), (list("bac"), list("cab")), (list("xyz"), list("abc"))];
        let ModeComparison { overlap_at_10, same_first, index, next, .. } = compare(&questions, &answers);
        assert_eq!((overlap_at_10, same_first), (Some(2.0 / 3.0), Some(1.0 / 3.0)));
        assert_eq!((index.first, index.mrr_at_10), (Some(1.0), Some(1.0)));
        assert_eq!((next.first, next.mrr_at_10), (Some(0.5), Some(f64::midpoint(1.0, 1.0 / 3.0))));
        let unlike = most_unlike(&questions, &answers);
        assert_eq!(unlike.iter().map(|one| one.query.as_str()).collect::<Vec<_>>(), ["asked", "moved"]);
        assert_eq!(compare(&[], &[]).rbo, None);
    }
}
