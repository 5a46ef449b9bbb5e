//! Learns what brings a model nearer to a domain, from vectors that the model has made.
//!
//! Pure: no files, no clocks, no models, no printing. The same input and seed give the same bits on any number of threads.
//! Searching, embedding, and where anything is stored are left to others.

mod adapter;
mod container;
mod error;
mod folds;
mod gate;
mod linear_map;
mod numeric;
mod pairs;
mod ridge;
mod rows;
mod spectrum;
mod train;

pub use adapter::{AdapterShape, Provenance, QueryAdapter};
pub use error::Error;
pub use folds::{DocumentSplit, fold_of, is_consistent, keep_consistent, split_documents};
pub use gate::{GateOptions, GroupVerdict, QueryScores, Reason, Significance, Verdict, judge};
pub use linear_map::LinearMap;
pub use pairs::{Dropped, PairKind, PairOptions, PlainDocument, PseudoQueries, PseudoQuery, pseudo_queries};
pub use ridge::ridge;
pub use rows::Rows;
pub use spectrum::{Moments, Spectrum};
pub use train::{EpochReport, Examples, Stop, TrainInput, TrainOptions, TrainReport, Trained, Validation, train};
