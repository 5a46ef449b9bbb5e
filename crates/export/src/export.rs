//! The way from a checkpoint folder to a graph file.

use std::collections::BTreeSet;
use std::path::Path;

use berth_types::{Head, OwnOperators, Pooling, Precision};

use crate::assembly::Assembly;
use crate::checkpoint::Weights;
use crate::graph::Finished;
use crate::paths::inside;
use crate::shape::Shape;
use crate::shards::WeightsFiles;
use crate::{Calibration, Error, atomic, door, heads, onnx, sentence, trunk};

pub(crate) const CONFIG: &str = "config.json";

/// Changes whenever the bytes of a graph may change. Equal checkpoint, options and version give equal bytes.
pub const EXPORTER_VERSION: &str = "6";

/// Bytes that one protobuf message may have.
const LARGEST_MODEL: u64 = (1 << 31) - 1;

/// What the graph computes.
#[derive(Debug, Clone, PartialEq)]
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
    /// Products that stay in fp32 whatever the precision, by the names that [`crate::products`] gives.
    pub keep_fp32: BTreeSet<String>,
    /// Ranges of what products take in, which [`Precision::Int8Static`] needs and no other precision reads.
    pub calibration: Option<Calibration>,
    /// Operators of Berth's own, in the domain `berth`, that `int8` uses, and `int8-static` but for products: faster on
    /// the processors that they are for, and unknown to others who run the graph.
    pub own_operators: OwnOperators,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            head: Head::Sentence,
            precision: Precision::Fp32,
            pooling: Pooling::Mean,
            normalize: true,
            token_embeddings: false,
            keep_fp32: BTreeSet::new(),
            calibration: None,
            own_operators: OwnOperators::None,
        }
    }
}

/// A matrix product of a model, as large as its matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Name of its tensor in the checkpoint, without `.weight`. Products of the same input are one product, whose name is
    /// that of the first and ends in `+key+value`.
    pub name: String,
    /// Values of the matrix.
    pub parameters: u64,
    /// Bytes of the matrix in int8, with its scales.
    pub int8_bytes: u64,
    /// Bytes of the matrix in fp32.
    pub fp32_bytes: u64,
}

impl Product {
    pub(crate) fn new(name: &str, inputs: usize, outputs: usize) -> Self {
        let parameters = (inputs * outputs) as u64;
        Self {
            name: name.to_owned(),
            parameters,
            int8_bytes: parameters + 4 * outputs as u64,
            fp32_bytes: 4 * parameters,
        }
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
    build(checkpoint, options, false)?.write(out)
}

/// A graph that is not yet written.
pub(crate) struct Built {
    finished: Finished,
    report: ExportReport,
    pub(crate) products: Vec<Product>,
    /// In a calibration graph: the product of each row of the output `ranges`.
    pub(crate) uses: Vec<String>,
}

/// Builds the graph of a checkpoint; with `observing` its calibration graph.
///
/// # Errors
/// What is wrong with the checkpoint or the options.
pub(crate) fn build(checkpoint: &Path, options: &ExportOptions, observing: bool) -> Result<Built, Error> {
    let shape = Shape::read(&inside(checkpoint, CONFIG)?)?;
    door::check_vocabulary(checkpoint, shape.vocabulary)?;
    let files = WeightsFiles::open(checkpoint)?;
    let weights = Weights::read(&files, shape.family.word_table())?;
    match shape.sharing {
        None => weights.check_layers(shape.family.layers(), shape.family.keys().layers, shape.layers)?,
        Some(sharing) => weights.check_layers(shape.family.layers(), "num_hidden_groups", sharing.groups)?,
    }
    let modules = sentence::read(checkpoint, shape.hidden)?;
    let mut assembly = Assembly::new(&weights, options, observing);
    let trunk = trunk::build(&mut assembly, &shape, heads::wanted(options))?;
    // What stands on the encoder is small, and rounding would show in it.
    assembly.graph.halve(false);
    heads::build(&mut assembly, &shape, &trunk, (options, &modules, checkpoint))?;
    let products = std::mem::take(&mut assembly.products);
    if let Some(unknown) = options.keep_fp32.iter().find(|name| products.iter().all(|product| product.name != **name)) {
        let products = products.into_iter().map(|product| product.name).collect();
        return Err(Error::ProductUnknown { product: unknown.clone(), products });
    }
    let uses = if observing { assembly.ranges() } else { Vec::new() };
    let mut metadata = vec![
        ("head", options.head.to_string()),
        ("precision", if observing { "calibration".to_owned() } else { options.precision.to_string() }),
        ("pooling", options.pooling.to_string()),
        ("normalize", options.normalize.to_string()),
        ("max_tokens", shape.max_tokens().to_string()),
    ];
    if !options.keep_fp32.is_empty() {
        metadata.push(("keep_fp32", options.keep_fp32.iter().cloned().collect::<Vec<_>>().join(" ")));
    }
    let finished = assembly.graph.finish(EXPORTER_VERSION, &metadata);
    let bytes = onnx::model_bytes(&finished.model, &finished.graph, &finished.initializers);
    if bytes > LARGEST_MODEL {
        return Err(Error::TooLarge { path: checkpoint.to_owned(), bytes, limit: LARGEST_MODEL });
    }
    let report = ExportReport {
        parameters: weights.parameters(),
        bytes,
        layers: shape.layers,
        dimensions: modules.steps.last().map_or(shape.hidden, |step| step.outputs),
        max_tokens: shape.max_tokens(),
        vocabulary: shape.vocabulary,
    };
    Ok(Built { finished, report, products, uses })
}

impl Built {
    /// Writes the graph to the file `out`, which appears by a rename.
    ///
    /// # Errors
    /// `Write`.
    pub(crate) fn write(self, out: &Path) -> Result<ExportReport, Error> {
        let Finished { model, graph, initializers } = self.finished;
        atomic::replace(out, |file| onnx::write_model(&model, &graph, initializers, file))
            .map_err(|source| Error::Write { path: out.to_owned(), source })?;
        Ok(self.report)
    }
}
