//! The way from a checkpoint folder to a graph file.

use std::path::Path;

use berth_types::{Pooling, Precision};

use crate::bert;
use crate::checkpoint::WeightsFile;
use crate::config::BertConfig;
use crate::{Error, atomic, onnx};

/// Changes whenever the bytes of a graph may change. Equal checkpoint, options and version give equal bytes.
pub const EXPORTER_VERSION: &str = "1";

/// Bytes that one protobuf message may have.
const LARGEST_MODEL: u64 = (1 << 31) - 1;

/// What the graph computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportOptions {
    /// Arithmetic of the matrix products.
    pub precision: Precision,
    /// How token states become one vector.
    pub pooling: Pooling,
    /// Whether that vector is scaled to unit norm.
    pub normalize: bool,
    /// Whether the token states are a second output, `token_embeddings`.
    pub token_embeddings: bool,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self { precision: Precision::Fp32, pooling: Pooling::Mean, normalize: true, token_embeddings: false }
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportReport {
    /// Weights in the graph, before quantisation.
    pub parameters: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Transformer layers.
    pub layers: usize,
    /// Values in an embedding.
    pub dimensions: usize,
    /// Most token ids in one row.
    pub max_tokens: usize,
    /// Token ids that exist.
    pub vocabulary: usize,
}

/// Writes the graph of the BERT checkpoint in folder `checkpoint` to the file `out`.
///
/// The graph takes `input_ids`, `attention_mask` and `token_type_ids`, int64 `[batch, sequence]`, and returns
/// `sentence_embedding`, f32 `[batch, hidden]`, and `token_embeddings`, f32 `[batch, sequence, hidden]`, when asked.
/// The checkpoint is checked whole before anything is written; the file appears by a rename.
///
/// # Errors
/// What is wrong with the checkpoint, or `Write`. Nothing is left behind, and an older file at `out` stays.
pub fn export(checkpoint: &Path, options: &ExportOptions, out: &Path) -> Result<ExportReport, Error> {
    let config = BertConfig::read(&checkpoint.join("config.json"))?;
    let file = WeightsFile::open(checkpoint)?;
    let weights = file.weights()?;
    weights.check_layers(config.layers)?;
    let finished = bert::graph(&config, &weights, *options)?;
    let parameters = weights.parameters();
    let bytes = onnx::model_bytes(&finished.model, &finished.graph, &finished.initializers);
    if bytes > LARGEST_MODEL {
        return Err(Error::TooLarge { path: checkpoint.to_owned(), bytes, limit: LARGEST_MODEL });
    }
    atomic::replace(out, |file| onnx::write_model(&finished.model, &finished.graph, finished.initializers, file))
        .map_err(|source| Error::Write { path: out.to_owned(), source })?;
    Ok(ExportReport {
        parameters,
        bytes,
        layers: config.layers,
        dimensions: config.hidden,
        max_tokens: config.positions,
        vocabulary: config.vocabulary,
    })
}
