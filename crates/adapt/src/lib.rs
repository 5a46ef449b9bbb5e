//! Learns what brings a model nearer to a domain, from vectors that the model has made.
//!
//! Pure: no files, no clocks, no models, no printing. The same input and seed give the same bits on any number of threads.
//! Searching, embedding, and where anything is stored are left to others.

mod adapter;
mod container;
mod error;
mod linear_map;
mod numeric;
mod ridge;
mod rows;
mod spectrum;
mod train;

pub use adapter::{AdapterShape, Provenance, QueryAdapter};
pub use error::Error;
pub use linear_map::LinearMap;
pub use ridge::ridge;
pub use rows::Rows;
pub use spectrum::{Moments, Spectrum};
pub use train::{EpochReport, Examples, Stop, TrainOptions, TrainReport, Trained, Validation, train};
