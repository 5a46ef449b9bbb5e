//! What was measured: figures of every mode, of every query, and of modes against each other.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use berth_eval::{
    Calibration, CompareOptions, Comparison, Dataset, Evaluation, Measure, PrecisionCurve, Prediction, Scores,
    bootstrap_interval, calibration, compare, precision_recall,
};
use berth_types::Aggregate;
use serde::Serialize;

use super::asked::Asked;
use super::queries::{QueryRow, rows};
use super::spans::SpanReport;
use super::subject::Subject;
use crate::bench::quantile;
use crate::collection_index::EncodeCost;
use crate::{Error, ResolvedFusion, fingerprint_hash};

/// Documents asked for with each query, unless a measure looks deeper: recall is measured at 100.
const RANKED_DOCUMENTS: usize = 100;
/// Bins of a calibration.
const BINS: NonZeroUsize = NonZeroUsize::new(10).unwrap();
/// What is measured of hybrid search is held against each list alone.
const JOINED: &str = "hybrid";

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvalReport {
    /// Name of the collection.
    pub dataset: String,
    /// Which judgements.
    pub split: String,
    /// Queries that were scored.
    pub queries: usize,
    /// Judgements of queries that the collection has.
    pub judgements: usize,
    /// Figures of each list and of all, and, as `hybrid+late`, of what was ordered anew.
    pub modes: BTreeMap<String, ModeReport>,
    /// Hybrid search against each list alone, and what was ordered anew against what it was before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<ModePair>,
    /// How well the first passages hold the answers inside documents, where the collection says where these are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spans: Option<SpanReport>,
    /// What documents scored by their passages, where it was not the best one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<Aggregate>,
    /// Which documents could be found, where not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// How lists were asked and joined; none of a run file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joining: Option<ResolvedFusion>,
    /// What embedding the collection cost when its index was built; none where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encode: Option<EncodeCost>,
    /// How large the index is; none of a run file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexCost>,
    /// Name of the model, and hash of everything that shapes its vectors; none of a run file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// See `model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Version of Berth.
    pub version: &'static str,
    /// What the reader should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What was measured, in order.
    #[serde(skip)]
    pub measures: Vec<Measure>,
    /// More of each mode, in the order in which they were asked.
    #[serde(skip)]
    pub details: Vec<ModeDetails>,
}

/// Figures of one mode.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModeReport {
    /// Quality, mean over queries.
    #[serde(flatten)]
    pub metrics: Scores,
    /// Median time of a query, encoding included, in milliseconds; none of a run file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// 99th percentile of the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// Bytes on disk of the halves that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_bytes: Option<u64>,
}

/// How large an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IndexCost {
    /// Documents.
    pub documents: u64,
    /// Chunks.
    pub chunks: u64,
    /// Bytes on disk of all halves.
    pub bytes: u64,
}

/// One mode against another, by the first measure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModePair {
    /// The mode that the other is held against: A of the comparison.
    pub baseline: String,
    /// The other: B.
    pub candidate: String,
    /// What came of it.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// More of one mode.
#[derive(Debug, Clone, PartialEq)]
pub struct ModeDetails {
    /// Its name.
    pub mode: String,
    /// Figures of every query.
    pub evaluation: Evaluation,
    /// Bootstrap confidence interval of the mean of the first measure, at the level of `comparisons`.
    pub interval: Option<(f64, f64)>,
    /// Precision at eleven levels of recall, mean over queries.
    pub curve: PrecisionCurve,
    /// What relevance said of the first ten hits, of those that were judged; none of a run file.
    pub judged: Option<Calibration>,
    /// The same of all first ten hits; what was not judged is taken to be irrelevant.
    pub all: Option<Calibration>,
    /// What became of each query.
    pub queries: Vec<QueryRow>,
}

impl EvalReport {
    /// The mode that people search by: hybrid where it was asked, else the last one.
    pub fn chief(&self) -> Option<&ModeDetails> {
        self.details.iter().find(|of| of.mode == JOINED).or(self.details.last())
    }

    /// The `count` queries that the chief mode answers worst by the first measure; ties by id.
    pub fn worst(&self, count: usize) -> Vec<&QueryRow> {
        let (Some(chief), Some(&measure)) = (self.chief(), self.measures.first()) else { return Vec::new() };
        let rows: BTreeMap<&str, &QueryRow> = chief.queries.iter().map(|row| (row.query.as_str(), row)).collect();
        let worst = chief.evaluation.worst(measure, count);
        worst.into_iter().filter_map(|(query, _)| rows.get(query).copied()).collect()
    }
}

/// A report in the making.
pub(super) struct Scoring<'a> {
    dataset: &'a Dataset,
    report: EvalReport,
}

impl<'a> Scoring<'a> {
    pub(super) fn new(dataset: &'a Dataset, measures: Vec<Measure>, warnings: Vec<String>) -> Self {
        let report = EvalReport {
            dataset: dataset.name.clone(),
            split: dataset.split.clone(),
            queries: 0,
            judgements: dataset.qrels.judgements(),
            modes: BTreeMap::new(),
            comparisons: Vec::new(),
            spans: None,
            aggregate: None,
            filter: None,
            joining: None,
            encode: None,
            index: None,
            model: None,
            fingerprint: None,
            version: env!("CARGO_PKG_VERSION"),
            warnings,
            measures,
            details: Vec::new(),
        };
        Self { dataset, report }
    }

    /// Says what was asked.
    pub(super) fn index_is(&mut self, subject: &Subject, filter: Option<String>) {
        let Subject { resolved, status, .. } = subject;
        let aggregate = Some(resolved.aggregate).filter(|aggregate| *aggregate != Aggregate::default());
        let bytes = status.lexical_bytes + status.dense_bytes + status.token_bytes;
        let fingerprint = subject.searcher.reader().snapshot().settings().fingerprint.clone();
        let report = &mut self.report;
        report.aggregate = aggregate;
        report.filter = filter;
        report.joining = Some(*resolved);
        report.encode = subject.encode;
        report.index = Some(IndexCost { documents: status.documents, chunks: status.chunks, bytes });
        report.fingerprint = Some(fingerprint_hash(&fingerprint));
        report.model = Some(fingerprint.model);
    }

    pub(super) fn spans_are(&mut self, (spans, warning): (SpanReport, Option<String>)) {
        self.report.spans = Some(spans);
        self.report.warnings.extend(warning);
    }

    /// Documents to ask for, so that every measure sees what it looks at.
    pub(super) fn depth(&self) -> usize {
        let cuts = self.report.measures.iter().filter_map(|measure| measure.cut());
        cuts.max().unwrap_or(0).max(RANKED_DOCUMENTS)
    }

    /// Scores the answers of one mode.
    ///
    /// # Errors
    /// Relevance that is no probability.
    pub(super) fn add(&mut self, mode: &str, asked: &Asked, index_bytes: Option<u64>) -> Result<(), Error> {
        let (dataset, report) = (self.dataset, &mut self.report);
        let evaluation = berth_eval::evaluate(&asked.run, &dataset.qrels, &report.measures);
        report.queries = evaluation.per_query.len();
        report.measures.clone_from(&evaluation.measures);
        let mut times_ms: Vec<f64> = asked.times_ms.iter().map(|(_, ms)| *ms).collect();
        times_ms.sort_unstable_by(f64::total_cmp);
        let time = |share| (!times_ms.is_empty()).then(|| quantile(&times_ms, share));
        let metrics = evaluation.mean.clone();
        let of_mode = ModeReport { metrics, p50_ms: time(0.5), p99_ms: time(0.99), index_bytes };
        report.modes.insert(mode.to_owned(), of_mode);
        let calibrated = |predictions: &[Prediction]| {
            index_bytes.map(|_| calibration(predictions, BINS)).transpose().map_err(Error::from)
        };
        report.details.push(ModeDetails {
            mode: mode.to_owned(),
            interval: interval(&evaluation),
            curve: precision_recall(&asked.run, &dataset.qrels).mean,
            judged: calibrated(&asked.judged)?,
            all: calibrated(&asked.all)?,
            queries: rows(dataset, mode, asked, &evaluation),
            evaluation,
        });
        Ok(())
    }

    /// The report, with modes held against each other.
    ///
    /// # Errors
    /// None that a report of queries with figures has.
    pub(super) fn finish(mut self) -> Result<EvalReport, Error> {
        self.report.comparisons = pairs(&self.report)?;
        Ok(self.report)
    }
}

/// Of the mean of the first measure.
fn interval(evaluation: &Evaluation) -> Option<(f64, f64)> {
    let values = evaluation.values(*evaluation.measures.first()?)?;
    let CompareOptions { level, rounds, seed, .. } = CompareOptions::default();
    bootstrap_interval(&values, level, rounds, seed)
}

fn pairs(report: &EvalReport) -> Result<Vec<ModePair>, Error> {
    let Some(&measure) = report.measures.first() else { return Ok(Vec::new()) };
    let find = |name: &str| report.details.iter().find(|of| of.mode == name);
    let mut wanted: Vec<(&ModeDetails, &ModeDetails)> = Vec::new();
    for candidate in &report.details {
        if let Some(before) = candidate.mode.split_once('+').and_then(|(mode, _)| find(mode)) {
            wanted.push((before, candidate));
        }
    }
    if let Some(hybrid) = find(JOINED) {
        let single = report.details.iter().filter(|of| of.mode != JOINED && !of.mode.contains('+'));
        wanted.extend(single.map(|of| (of, hybrid)));
    }
    let pair = |(a, b): (&ModeDetails, &ModeDetails)| {
        let comparison = compare(&a.evaluation, &b.evaluation, measure, &CompareOptions::default())?;
        Ok(ModePair { baseline: a.mode.clone(), candidate: b.mode.clone(), comparison })
    };
    wanted.into_iter().map(pair).collect()
}
