//! The way from a checkpoint folder to a graph file.

use std::path::Path;

use berth_types::{Head, Pooling, Precision};

use crate::assembly::Assembly;
use crate::checkpoint::Weights;
use crate::paths::inside;
use crate::shape::Shape;
use crate::shards::WeightsFiles;
use crate::{Error, atomic, door, heads, onnx, sentence, trunk};

pub(crate) const CONFIG: &str = "config.json";

/// Changes whenever the bytes of a graph may change. Equal checkpoint, options and version give equal bytes.
pub const EXPORTER_VERSION: &str = "2";

/// Bytes that one protobuf message may have.
const LARGEST_MODEL: u64 = (1 << 31) - 1;

/// What the graph computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportOptions {
    /// What the model is asked for.
    pub head: Head,
    /// Arithmetic of the matrix products.
    pub precision: Precision,
    /// How token states become one vector.
    pub pooling: Pooling,
    /// Whether that vector is scaled to unit norm.
    pub normalize: bool,
    /// Whether the token states are a second output of the head `sentence`, `token_embeddings`.
    pub token_embeddings: bool,
}

impl Default for ExportOptions {
    fn default() -> Self {
        let (head, precision, pooling) = (Head::Sentence, Precision::Fp32, Pooling::Mean);
        Self { head, precision, pooling, normalize: true, token_embeddings: false }
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

/// Writes the graph of the checkpoint in folder `checkpoint` to the file `out`.
///
/// The graph takes `input_ids`, `attention_mask` and, where the family knows more than one token type,
/// `token_type_ids`, int64 `[batch, sequence]`, and returns what [`Head`] says, in f32. `Dense` modules of a
/// sentence-transformers folder are part of the head `sentence`. The checkpoint is checked whole before anything is
/// written; the file appears by a rename.
///
/// # Errors
/// What is wrong with the checkpoint, or `Write`. Nothing is left behind, and an older file at `out` stays.
pub fn export(checkpoint: &Path, options: &ExportOptions, out: &Path) -> Result<ExportReport, Error> {
    let shape = Shape::read(&inside(checkpoint, CONFIG)?)?;
    door::check_vocabulary(checkpoint, shape.vocabulary)?;
    let files = WeightsFiles::open(checkpoint)?;
    let weights = Weights::read(&files, shape.family.word_table())?;
    match shape.sharing {
        None => weights.check_layers(shape.family.layers(), shape.family.keys().layers, shape.layers)?,
        Some(sharing) => weights.check_layers(shape.family.layers(), "num_hidden_groups", sharing.groups)?,
    }
    let modules = sentence::read(checkpoint, shape.hidden)?;
    let mut assembly = Assembly::new(&weights, options.precision);
    let trunk = trunk::build(&mut assembly, &shape, options.head == Head::Attention)?;
    heads::build(&mut assembly, &shape, &trunk, (options, &modules, checkpoint))?;
    let metadata = [
        ("head", options.head.to_string()),
        ("precision", options.precision.to_string()),
        ("pooling", options.pooling.to_string()),
        ("normalize", options.normalize.to_string()),
        ("max_tokens", shape.max_tokens().to_string()),
    ];
    let finished = assembly.graph.finish(EXPORTER_VERSION, &metadata);
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
        layers: shape.layers,
        dimensions: modules.steps.last().map_or(shape.hidden, |step| step.outputs),
        max_tokens: shape.max_tokens(),
        vocabulary: shape.vocabulary,
    })
}
