//! Finds the matrix products of a model that int8 hurts most. No labels and no calibration are needed: what counts is how
//! far the numbers move away from those of fp32.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use berth_encoder::{Encoder, EncoderOptions, InstalledModel, Lane, Pending, Runtime, cpu_features};
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

    let (fp32_bytes, exact) = bench.open(Precision::Fp32, BTreeSet::new())?;
    let mut harms = Vec::new();
    for product in all {
        let mut others = names.clone();
        others.remove(&product.name);
        let (_, encoder) = bench.open(Precision::Int8, others)?;
        let alone = bench.likeness((&exact, &encoder), texts)?;
        let (int8_bytes, fp32_bytes) = (product.int8_bytes, product.fp32_bytes);
        harms.push(ProductHarm { name: product.name, alone, int8_bytes, fp32_bytes });
    }
    harms.sort_by(|a, b| a.alone.mean.total_cmp(&b.alone.mean).then_with(|| a.name.cmp(&b.name)));

    let mut frontier = Vec::new();
    let mut kept = BTreeSet::new();
    for added in std::iter::once(None).chain(harms.iter().map(|harm| Some(harm.name.clone()))) {
        kept.extend(added.clone());
        let (bytes, encoder) = bench.open(Precision::Int8, kept.clone())?;
        let cosine = bench.likeness((&exact, &encoder), texts)?;
        frontier.push(FrontierStep { kept: kept.len(), added, cosine, bytes });
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

    /// Makes the graph and opens it. Returns its size too.
    fn open(&self, precision: Precision, keep_fp32: BTreeSet<String>) -> Result<(u64, Encoder), Error> {
        let (head, pooling, normalize) = (self.head, self.card.pooling, self.card.normalize);
        let own_operators = cpu_features().own_operators();
        let options =
            ExportOptions { head, precision, pooling, normalize, keep_fp32, own_operators, ..ExportOptions::default() };
        let bytes = export(&self.checkpoint, &options, &self.folder.join(head.graph_file(precision)))?.bytes;
        let model = InstalledModel::seal(&self.folder, &self.card, EXPORTER_VERSION)?;
        let options = EncoderOptions { precision: Some(precision), head, ..EncoderOptions::default() };
        Ok((bytes, Encoder::open(&model, &self.runtime, &options)?))
    }

    /// How alike two graphs are. Both run each text anew: what a language model gives for many is more than memory holds.
    fn likeness(&self, (exact, other): (&Encoder, &Encoder), texts: &[String]) -> Result<Cosine, Error> {
        let begin = |text: &String| {
            let row = row(exact.tokenizer(), &self.card, self.head, text)?;
            Ok((exact.submit(row.clone(), Lane::Bulk)?, other.submit(row, Lane::Bulk)?))
        };
        let values = |pending: Pending| Ok::<_, Error>(pending.wait()?.into_iter().next().unwrap_or_default().values);
        let (mut sum, mut least) = (0.0, 1.0_f64);
        in_turn(texts, exact.plan().workers, begin, |(exact, other)| {
            let cosine = cosine(&values(exact)?, &values(other)?);
            (sum, least) = (sum + cosine, least.min(cosine));
            Ok(())
        })?;
        Ok(Cosine { mean: sum / texts.len().max(1) as f64, least })
    }
}

/// Begins each item and ends it, in their order, at most `most` begun and not ended at any time.
fn in_turn<T, P>(
    items: &[T],
    most: usize,
    mut begin: impl FnMut(&T) -> Result<P, Error>,
    mut end: impl FnMut(P) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut begun = VecDeque::new();
    for item in items {
        if begun.len() >= most.max(1)
            && let Some(first) = begun.pop_front()
        {
            end(first)?;
        }
        begun.push_back(begin(item)?);
    }
    begun.into_iter().try_for_each(end)
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

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms > 0.0 { (dot(a, b) / norms).min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn few_texts_are_under_way_at_any_time() {
        for (count, most) in [(0, 3), (2, 3), (100, 3), (100, 0)] {
            let texts: Vec<usize> = (0..count).collect();
            let (under_way, highest, ended) = (Cell::new(0), Cell::new(0), Cell::new(0));
            let begin = |&text: &usize| {
                under_way.set(under_way.get() + 1);
                highest.set(highest.get().max(under_way.get()));
                Ok(text)
            };
            let end = |text: usize| {
                assert_eq!(text, ended.replace(text + 1));
                under_way.set(under_way.get() - 1);
                Ok(())
            };
            in_turn(&texts, most, begin, end).unwrap();
            assert_eq!((ended.get(), under_way.get()), (count, 0));
            assert!(highest.get() <= most.max(1), "{} of {most}", highest.get());
        }
    }

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
