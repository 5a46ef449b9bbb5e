//! Learns what brings a model nearer to a domain, from vectors that the model has made.
//!
//! Pure: no files, no clocks, no models, no printing. The same input and seed give the same bits on any number of threads.
//! Searching, embedding, and where anything is stored are left to others.

mod adapter;
mod closed_form;
mod container;
mod cross_validation;
mod error;
mod folds;
mod gate;
mod kernel_memory;
mod label_free;
mod learned;
mod linear_map;
mod mining;
mod numeric;
mod pairs;
mod ridge;
mod rows;
mod spectrum;
mod statistics;
mod train;
mod within_pair;

pub use adapter::{AdapterShape, Provenance, QueryAdapter};
pub use closed_form::{AdapterParts, ClosedFormAdapter, Weighted};
pub use cross_validation::{
    CellReport, MeanScores, NestedFolds, NestedSelection, ScoreQueries, Scores, SelectOptions, Selection,
    nested_select, select, shuffled_folds,
};
pub use error::Error;
pub use folds::{DocumentSplit, fold_of, is_consistent, keep_consistent, split_documents};
pub use gate::{GateOptions, GroupVerdict, QueryScores, Reason, Significance, Verdict, judge};
pub use kernel_memory::KernelMemory;
pub use label_free::{
    KindGain, LabelFreeHalf, LabelFreeOptions, LabelFreeReason, LabelFreeVerdict, Retrieval, ScorePseudoQueries,
    judge_label_free,
};
pub use learned::LearnedAdapter;
pub use linear_map::LinearMap;
pub use mining::{ChunkedDocuments, HARD_NEGATIVES, MinedPairs, TrainingRows, mine};
pub use pairs::{Dropped, PairKind, PairOptions, PlainDocument, PseudoQueries, PseudoQuery, pseudo_queries};
pub use ridge::ridge;
pub use rows::Rows;
pub use spectrum::{Moments, Spectrum};
pub use statistics::{ClosedForm, FitStatistics, Hyperparameters};
pub use train::{EpochReport, Examples, Stop, TrainInput, TrainOptions, TrainReport, Trained, Validation, train};
pub use within_pair::{LABEL_FREE_EXPONENT, WithinPairOptions, label_free_adapter, within_pair_whitening};
