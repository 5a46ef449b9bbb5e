//! Checkpoint (`config.json` and `model.safetensors`, Hugging Face layout) to ONNX graph.
//!
//! [`export`] reads a BERT encoder and writes one self-contained graph: token ids in, pooled and normalised
//! embeddings out. The graph is written already fused for the CPU provider of ONNX Runtime; running it is left to
//! the encoder, and this library names no runtime.

mod atomic;
mod balance;
mod bert;
mod checkpoint;
mod config;
mod error;
mod export;
mod graph;
mod onnx;
mod paths;
mod quantize;

pub use error::Error;
pub use export::{EXPORTER_VERSION, ExportOptions, ExportReport, export};
pub use paths::inside;
