//! Retrieval collections and metrics.
//!
//! Reads collections in BEIR layout, takes ranked answers, and says how good they are by the definitions of trec_eval, whether one
//! run is better than another, and how much of the answers inside documents passages hold. Searching, and reading the corpus
//! itself, is left to others.

mod correlation;
mod curves;
mod dataset;
mod error;
mod evaluate;
mod folds;
mod lines;
mod measure;
mod overlap;
mod qrels;
mod random;
mod run;
mod significance;
mod spans;
mod tuning;

pub use correlation::{SentencePair, pearson, read_sentence_pairs, spearman};
pub use curves::{
    Calibration, PrecisionCurve, PrecisionRecall, Prediction, RECALL_LEVELS, ReliabilityBin, calibration,
    precision_recall,
};
pub use dataset::{Dataset, EvalQuery, UnknownJudgements, folder_name};
pub use error::Error;
pub use evaluate::{Evaluation, evaluate};
pub use folds::{SeenDocuments, folds, purged, seen_documents};
pub use measure::{DEFAULT_MEASURES, Measure, Scores};
pub use overlap::{PERSISTENCE, overlap_at, rank_biased_overlap};
pub use qrels::Qrels;
pub use run::Run;
pub use significance::{
    CompareOptions, Comparison, Randomisation, bootstrap_interval, compare, compare_values, holm, randomisation_test,
};
pub use spans::{DocRange, Span, SpanScores, Spans, byte_ranges, mean_span_scores, span_scores, token_range};
pub use tuning::{ScoreSetting, TuneOptions, TunedFold, Tuning, tune};
