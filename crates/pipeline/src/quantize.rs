//! Finds the matrix products of a model that int8 hurts most. No labels and no calibration are needed: what counts is how
//! far the numbers move away from those of fp32.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use berth_encoder::{Encoder, EncoderOptions, InstalledModel, Lane, Runtime, cpu_features};
use berth_export::{EXPORTER_VERSION, ExportOptions, export, products};
use berth_types::{Head, ModelCard, Precision};
use serde::Serialize;

use crate::checkpoint::{check_hashes, find_checkpoint};
use crate::import::main_head;
use crate::samples::row;
use crate::{Error, Home, models};

/// Least gain in mean cosine for which products are recommended. Fp32 itself may differ from transformers by as much.
const SMALLEST_GAIN: f64 = 1e-4;

/// How alike two runs are, over texts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cosine {
    /// Average.
    pub mean: f64,
    /// That of the text that fares worst.
    pub least: f64,
}

/// What int8 does to one product.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProductHarm {
    /// Name of its tensor in the checkpoint.
    pub name: String,
    /// Likeness to fp32 when this product alone is in int8.
    pub alone: Cosine,
    /// Bytes of its matrix in int8.
    pub int8_bytes: u64,
    /// Bytes of its matrix in fp32.
    pub fp32_bytes: u64,
}

/// What it brings and costs to keep the worst products in fp32.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FrontierStep {
    /// Products in fp32, from the top of the list.
    pub kept: usize,
    /// The last of them.
    pub added: Option<String>,
    /// Likeness to fp32.
    pub cosine: Cosine,
    /// Bytes of the graph.
    pub bytes: u64,
}

/// The products of a model by the harm that int8 does to them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuantizeReport {
    /// Name of the model.
    pub model: String,
    /// What it was asked for.
    pub head: Head,
    /// Texts that were measured.
    pub texts: usize,
    /// Bytes of the graph in fp32.
    pub fp32_bytes: u64,
    /// Bytes of the graph in int8.
    pub int8_bytes: u64,
    /// Likeness of the int8 graph to fp32.
    pub int8: Cosine,
    /// The worst first.
    pub products: Vec<ProductHarm>,
    /// From no product in fp32 to all.
    pub frontier: Vec<FrontierStep>,
    /// Products that are recommended to stay in fp32: the fewest with which half of what int8 loses comes back.
    pub keep_fp32: Vec<String>,
}

/// Measures the model `name` on `texts`: each product alone in int8, then with the worst ones kept in fp32 one after the
/// other. The installed model is only read; graphs are written to the cache and removed again.
///
/// # Errors
/// `ModelNotInstalled`, `CheckpointNotFound`, `WrongHash`, `InvalidSettings` for no texts or a ready-made model, what
/// the exporter refuses, and `Int8Saturates` of the encoder on a processor without exact int8.
pub fn quantize_report(home: &Home, name: &str, texts: &[String]) -> Result<QuantizeReport, Error> {
    let model = models::installed(home, name)?;
    if texts.is_empty() {
        return Err(Error::InvalidSettings("there is no text to measure on; name a file with one a line".to_owned()));
    }
    if model.card().ready_made.is_some() {
        let message =
            format!("'{name}' is a ready-made graph, whose products cannot be chosen; import it from weights");
        return Err(Error::InvalidSettings(message));
    }
    let checkpoint = match Path::new(&model.card().source.folder) {
        folder if folder.join("config.json").is_file() => folder.to_path_buf(),
        _ => find_checkpoint(home, model.card(), None)?,
    };
    check_hashes(model.card(), &checkpoint)?;
    let bench = Bench::new(home, &model, checkpoint)?;
    let all = products(&bench.checkpoint, bench.head)?;
    let names: BTreeSet<String> = all.iter().map(|product| product.name.clone()).collect();

    let (fp32_bytes, exact) = bench.run(Precision::Fp32, BTreeSet::new(), texts)?;
    let mut harms = Vec::new();
    for product in all {
        let mut others = names.clone();
        others.remove(&product.name);
        let (_, vectors) = bench.run(Precision::Int8, others, texts)?;
        let alone = likeness(&exact, &vectors);
        let (int8_bytes, fp32_bytes) = (product.int8_bytes, product.fp32_bytes);
        harms.push(ProductHarm { name: product.name, alone, int8_bytes, fp32_bytes });
    }
    harms.sort_by(|a, b| a.alone.mean.total_cmp(&b.alone.mean).then_with(|| a.name.cmp(&b.name)));

    let mut frontier = Vec::new();
    let mut kept = BTreeSet::new();
    for added in std::iter::once(None).chain(harms.iter().map(|harm| Some(harm.name.clone()))) {
        kept.extend(added.clone());
        let (bytes, vectors) = bench.run(Precision::Int8, kept.clone(), texts)?;
        frontier.push(FrontierStep { kept: kept.len(), added, cosine: likeness(&exact, &vectors), bytes });
    }
    let kept = recommended(&frontier);
    let keep_fp32 = harms[..kept].iter().map(|harm| harm.name.clone()).collect();
    Ok(QuantizeReport {
        model: name.to_owned(),
        head: bench.head,
        texts: texts.len(),
        fp32_bytes,
        int8_bytes: frontier[0].bytes,
        int8: frontier[0].cosine,
        products: harms,
        frontier,
        keep_fp32,
    })
}

/// A place for graphs that are made, measured and thrown away.
struct Bench {
    folder: PathBuf,
    checkpoint: PathBuf,
    card: ModelCard,
    head: Head,
    runtime: Runtime,
}

impl Bench {
    fn new(home: &Home, model: &InstalledModel, checkpoint: PathBuf) -> Result<Self, Error> {
        let card = model.card().clone();
        let folder = home.cache().join(format!("quantize-{}-{}", card.name, std::process::id()));
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let runtime = Runtime::load(&home.runtime_library())?;
        let head = main_head(&card);
        let bench = Self { folder, checkpoint, card, head, runtime };
        for name in ["config.json", "tokenizer.json"] {
            let original = model.dir().join(name);
            fs::copy(&original, bench.folder.join(name)).map_err(Error::io("copy", &original))?;
        }
        Ok(bench)
    }

    /// Makes the graph and runs the texts through it. Returns its size, and what it gave for each text.
    fn run(
        &self,
        precision: Precision,
        keep_fp32: BTreeSet<String>,
        texts: &[String],
    ) -> Result<(u64, Vec<Vec<f32>>), Error> {
        let (head, pooling, normalize) = (self.head, self.card.pooling, self.card.normalize);
        let own_operators = cpu_features().own_operators();
        let options =
            ExportOptions { head, precision, pooling, normalize, keep_fp32, own_operators, ..ExportOptions::default() };
        let bytes = export(&self.checkpoint, &options, &self.folder.join(head.graph_file(precision)))?.bytes;
        let model = InstalledModel::seal(&self.folder, &self.card, EXPORTER_VERSION)?;
        let options = EncoderOptions { precision: Some(precision), head, ..EncoderOptions::default() };
        let encoder = Encoder::open(&model, &self.runtime, &options)?;
        let mut pending = Vec::new();
        for text in texts {
            pending.push(encoder.submit(row(encoder.tokenizer(), &self.card, self.head, text)?, Lane::Bulk)?);
        }
        let mut vectors = Vec::new();
        for pending in pending {
            vectors.push(pending.wait()?.into_iter().next().unwrap_or_default().values);
        }
        Ok((bytes, vectors))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // What is left in the cache is of no harm.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The fewest products with which half of what int8 loses comes back, of what can come back at all; 0 where that is little.
fn recommended(frontier: &[FrontierStep]) -> usize {
    let means = || frontier.iter().map(|step| step.cosine.mean);
    let (int8, best) = (means().next().unwrap_or(1.0), means().fold(0.0, f64::max));
    if best - int8 < SMALLEST_GAIN {
        return 0;
    }
    means().position(|mean| mean >= f64::midpoint(int8, best)).unwrap_or(0)
}

fn likeness(exact: &[Vec<f32>], other: &[Vec<f32>]) -> Cosine {
    let cosines: Vec<f64> = exact.iter().zip(other).map(|(a, b)| cosine(a, b)).collect();
    let mean = cosines.iter().sum::<f64>() / cosines.len().max(1) as f64;
    Cosine { mean, least: cosines.into_iter().fold(1.0, f64::min) }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms > 0.0 { (dot(a, b) / norms).min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_few_products_are_recommended_as_bring_half_of_it_back() {
        let check = |means: &[f64], expected: usize| {
            let step =
                |(kept, &mean)| FrontierStep { kept, added: None, cosine: Cosine { mean, least: mean }, bytes: 0 };
            let frontier: Vec<FrontierStep> = means.iter().enumerate().map(step).collect();
            assert_eq!(recommended(&frontier), expected, "{means:?}");
        };
        check(&[0.99, 0.992, 0.9951, 0.9952, 1.0], 2);
        check(&[0.99, 0.98, 0.999], 2);
        check(&[0.99995, 0.99999], 0);
        check(&[0.99, 0.98], 0);
        check(&[], 0);
    }
}
