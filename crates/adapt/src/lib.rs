//! Learns what brings a model nearer to a domain, from vectors that the model has made.
//!
//! Pure: no files, no clocks, no models, no printing. The same input and seed give the same bits on any number of threads.
//! Searching, embedding, and where anything is stored are left to others.

mod adapter;
mod container;
mod error;
mod numeric;
mod rows;
mod train;

pub use adapter::{AdapterShape, Provenance, QueryAdapter};
pub use error::Error;
pub use rows::Rows;
pub use train::{EpochReport, Examples, Stop, TrainOptions, TrainReport, Trained, Validation, train};
