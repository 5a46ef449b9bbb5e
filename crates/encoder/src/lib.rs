//! Strings to embedding rows: tokenizer, sessions, workers.
//!
//! [`InstalledModel`] is a folder whose files are known by hash, [`Runtime`] the ONNX Runtime library of the process,
//! and [`Encoder`] both at work. Only `session.rs` names `ort`, only `tokenizer.rs` names `tokenizers`.

mod cpu;
mod encoder;
mod error;
mod library;
mod model;
mod segments;
mod session;
mod tokenizer;
mod workers;

pub use cpu::{CpuFeatures, ThreadPlan, cpu_features, default_precision, plan_threads};
pub use encoder::{Encoder, EncoderOptions, QueryRow};
pub use error::Error;
pub use model::{FileEntry, FileState, FileVerdict, InstalledModel};
pub use session::Runtime;
pub use tokenizer::{TextTokenizer, Tokens};
pub use workers::PendingRow;
