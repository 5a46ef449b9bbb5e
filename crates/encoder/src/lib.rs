//! Strings to embedding rows: tokenizer, sessions, workers.
//!
//! [`InstalledModel`] is a folder whose files are known by hash, [`Runtime`] the ONNX Runtime library of the process,
//! and [`Encoder`] both at work. Only `runtime.rs`, `session.rs`, `run.rs` and `operators.rs` with their folders,
//! `placement.rs`, `ranges.rs` and `calibrate.rs` name `ort`, only `tokenizer.rs` and its folder name `tokenizers`.

mod ask;
mod batches;
mod calibrate;
mod call;
mod cpu;
mod device;
mod encoder;
mod error;
pub mod heads;
mod interface;
mod library;
mod memory;
mod model;
mod opening;
mod operators;
mod pairs;
mod placement;
mod pooling;
mod prompts;
mod ranges;
mod row;
mod run;
mod runtime;
mod segments;
mod session;
mod spell;
mod tokenizer;
mod windows;
mod workers;

pub use ask::{
    Asked, AttentionAnswer, ClassAnswer, EntityAnswer, FillMaskAnswer, Guess, LateAnswer, LayersAnswer, MaskedPlace,
    Overlong, PairAnswer, PerplexityAnswer, Prompt, SentenceAnswer, SparseAnswer, Step, TokensAnswer,
};
pub use calibrate::{Product, matmul_peak};
pub use call::{Call, CallTimes};
pub use cpu::{CpuFeatures, ThreadPlan, cpu_features, default_precision, plan_threads};
pub use encoder::{Encoder, EncoderOptions, PendingRow, QueryRow};
pub use error::Error;
pub use memory::resident_bytes;
pub use model::{FileEntry, FileState, FileVerdict, InstalledModel};
pub use opening::settle;
pub use pairs::PairRow;
pub use pooling::{pool, shorten};
pub use ranges::observe_ranges;
pub use row::{Lane, Row, Tensor};
pub use run::Work;
pub use runtime::Runtime;
pub use spell::RowToken;
pub use tokenizer::{TextTokenizer, Tokens};
pub use workers::Pending;
