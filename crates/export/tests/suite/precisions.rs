//! Every precision against fp32: on the tiny checkpoints of all families and heads, and on all-MiniLM-L6-v2.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use berth_export::{Calibration, Error, ExportOptions, export, export_calibration_graph, products};
use berth_types::{ErrorKind, Head, Precision};

use crate::families;
use crate::goldens::{cosine, scifact};
use crate::runtime::{self, Batch};
use crate::synthetic::Checkpoint;

const IDS: &[i64] = &[2, 7, 11, 19, 3];

fn options(precision: Precision) -> ExportOptions {
    ExportOptions { precision, ..ExportOptions::default() }
}

/// Runs the calibration graph of `options` on `rows`.
pub(crate) fn calibrated(checkpoint: &Path, options: &ExportOptions, rows: &[&[i64]]) -> ExportOptions {
    let folder = tempfile::tempdir().unwrap();
    let graph = folder.path().join("graph.onnx");
    let uses = export_calibration_graph(checkpoint, options, &graph).unwrap();
    let mut session = runtime::open(&graph);
    let texts: Vec<Vec<f32>> = rows
        .iter()
        .map(|ids| {
            let (shape, ranges) = runtime::run(&mut session, &Batch::single(ids).at(&[0]), "ranges");
            assert_eq!(shape, [uses.len() as i64, 2]);
            ranges
        })
        .collect();
    ExportOptions { calibration: Some(Calibration::of(&uses, &texts).unwrap()), ..options.clone() }
}

/// Values of the output `name` for one row.
fn values(checkpoint: &Path, options: &ExportOptions, ids: &[i64], name: &str) -> Vec<f32> {
    let options = match options.precision {
        Precision::Int8Static => calibrated(checkpoint, options, &[ids]),
        _ => options.clone(),
    };
    let folder = tempfile::tempdir().unwrap();
    let graph = folder.path().join("graph.onnx");
    export(checkpoint, &options, &graph).unwrap();
    runtime::run(&mut runtime::open(&graph), &Batch::single(ids).at(&[0, 2]), name).1
}

/// Largest difference, as a share of the largest value.
fn relative(received: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(received.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let difference = received.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference.is_finite() && received.iter().all(|value| value.is_finite()));
    difference / largest
}

/// Heads of a checkpoint with the name of an output; none for folders that repeat what another one has.
fn heads(folder: &str) -> Vec<(Head, &'static str)> {
    match folder.rsplit('-').next().unwrap() {
        "base" => vec![
            (Head::Sentence, "sentence_embedding"),
            (Head::Tokens, "token_embeddings"),
            (Head::Layers, "hidden_states.1"),
            (Head::Attention, "attentions.1"),
        ],
        "mlm" => vec![(Head::FillMask, "logits"), (Head::Sparse, "sparse_embedding")],
        "classify" => vec![(Head::Classify, "logits")],
        "entities" => vec![(Head::Entities, "logits")],
        _ => Vec::new(),
    }
}

/// Compares each head of each family at `precision` with fp32, by the largest difference and by the cosine.
fn check_families(precision: Precision, difference: f32, least_cosine: f64) {
    let mut compared = 0;
    for folder in families::folders() {
        let name = folder.file_name().unwrap().to_str().unwrap();
        for (head, output) in heads(name) {
            let of = |precision| ExportOptions { head, ..options(precision) };
            let ids = &[2, 40, 71, 19, 23, 105, 3];
            let exact = values(&folder, &of(Precision::Fp32), ids, output);
            let received = values(&folder, &of(precision), ids, output);
            let (difference_here, cosine_here) = (relative(&received, &exact), cosine(&received, &exact));
            let message = format!("{name}, {head} at {precision}: differs by {difference_here}, cosine {cosine_here}");
            assert!(difference_here <= difference && cosine_here >= least_cosine, "{message}");
            compared += 1;
        }
    }
    assert!(compared >= 40, "{compared} compared");
}

#[test]
fn fp16_of_every_family_and_head_is_within_a_hundredth() {
    check_families(Precision::Fp16, 1e-2, 0.999_9);
}

#[test]
fn int8_of_every_family_and_head_keeps_the_direction() {
    if !runtime::multiplies_bytes_exactly() {
        return;
    }
    check_families(Precision::Int8, 0.4, 0.97);
}

#[test]
fn static_int8_of_every_family_and_head_keeps_the_direction() {
    if !runtime::multiplies_bytes_exactly() {
        return;
    }
    check_families(Precision::Int8Static, 0.4, 0.97);
}

#[test]
fn q8_of_every_family_and_head_keeps_the_direction() {
    check_families(Precision::Q8, 0.2, 0.99);
}

#[test]
fn q4_of_every_family_and_head_keeps_the_direction() {
    check_families(Precision::Q4, 1.0, 0.8);
}

/// Mean and least cosine of all-MiniLM-L6-v2 to what transformers computed, over abstracts, and the size of the graph.
fn minilm(options: &ExportOptions) -> (f64, f64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let graph = folder.path().join("graph.onnx");
    let bytes = export(&runtime::checkpoint(), options, &graph).unwrap().bytes;
    let mut session = runtime::open(&graph);
    let cosines: Vec<f64> = scifact()[150..]
        .iter()
        .map(|golden| cosine(&runtime::embed(&mut session, &golden.ids), &golden.embedding))
        .collect();
    let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
    let least = cosines.iter().copied().fold(1.0, f64::min);
    (mean, least, bytes)
}

#[test]
fn precisions_of_the_model_rank_as_documented() {
    let (mean, least, bytes) = minilm(&options(Precision::Fp16));
    assert!(mean > 0.999_99 && least > 0.999_9, "fp16: {mean}, {least}");
    assert!(bytes < 46_000_000, "fp16: {bytes} bytes");
    let (mean, least, bytes) = minilm(&options(Precision::Q8));
    assert!(mean > 0.999_2 && least > 0.998_5, "q8: {mean}, {least}");
    assert!(bytes < 25_000_000, "q8: {bytes} bytes");
    let (mean, least, bytes) = minilm(&options(Precision::Q4));
    assert!(mean > 0.955 && least > 0.93, "q4: {mean}, {least}");
    assert!(bytes < 20_000_000, "q4: {bytes} bytes");
}

#[test]
fn static_scales_lose_nothing_to_dynamic_ones() {
    if !runtime::multiplies_bytes_exactly() {
        return;
    }
    let goldens = scifact();
    let rows: Vec<&[i64]> = goldens[..40].iter().map(|golden| golden.ids.as_slice()).collect();
    let options = calibrated(&runtime::checkpoint(), &options(Precision::Int8Static), &rows);
    let (mean, least, bytes) = minilm(&options);
    assert!(mean > 0.994 && least > 0.99, "int8-static: {mean}, {least}");
    assert!(bytes < 25_000_000, "int8-static: {bytes} bytes");
}

#[test]
fn products_kept_in_fp32_bring_int8_nearer() {
    let listed = products(&runtime::checkpoint(), Head::Sentence).unwrap();
    assert_eq!(listed.len(), 6 * 4);
    let first = &listed[0];
    assert_eq!(first.name, "encoder.layer.0.attention.self.query+key+value");
    assert_eq!(first.parameters, 384 * 1152);
    assert_eq!((first.int8_bytes, first.fp32_bytes), (384 * 1152 + 4 * 1152, 4 * 384 * 1152));
    let narrow: BTreeSet<String> = listed
        .iter()
        .map(|product| product.name.clone())
        .filter(|name| name.ends_with(".output.dense") && !name.contains("attention"))
        .collect();
    assert_eq!(narrow.len(), 6);
    if !runtime::multiplies_bytes_exactly() {
        return;
    }
    let (mean, _, bytes) = minilm(&options(Precision::Int8));
    let (mixed, _, larger) = minilm(&ExportOptions { keep_fp32: narrow, ..options(Precision::Int8) });
    assert!(mixed > mean, "{mixed} with products kept, {mean} without");
    assert_eq!(larger / 1_000_000, (bytes + 6 * 3 * 384 * 1536) / 1_000_000);
    let all = listed.into_iter().map(|product| product.name).collect();
    let (mixed, ..) = minilm(&ExportOptions { keep_fp32: all, ..options(Precision::Int8) });
    assert!(mixed > 0.999, "only the word table is int8: {mixed}");
}

#[test]
fn what_options_name_must_exist() {
    let folder = Checkpoint::tiny().write();
    let graph = folder.path().join("graph.onnx");
    let refused = |options: &ExportOptions| {
        let error = export(folder.path(), options, &graph).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(!graph.exists());
        error
    };
    let keep_fp32 = BTreeSet::from(["pooler".to_owned()]);
    let error = refused(&ExportOptions { keep_fp32, ..options(Precision::Int8) });
    assert!(
        matches!(&error, Error::ProductUnknown { product, products } if product == "pooler" && products.len() == 8)
    );

    let error = refused(&options(Precision::Int8Static));
    assert!(error.to_string().contains("encoder.layer.0.attention.self.query+key+value"), "{error}");
    let mut odd = calibrated(folder.path(), &options(Precision::Int8Static), &[IDS]);
    let range = odd.calibration.as_mut().unwrap().ranges.get_mut("encoder.layer.1.output.dense").unwrap();
    *range = (1.0, f32::NAN);
    let error = refused(&odd);
    assert!(error.to_string().contains("encoder.layer.1.output.dense is no range: from 1 to NaN"), "{error}");
}

#[test]
fn equal_checkpoints_give_equal_bytes_at_every_precision() {
    for precision in Precision::ALL {
        let [one, two] = [(); 2].map(|()| {
            let folder = Checkpoint::tiny().write();
            let options = match precision {
                Precision::Int8Static => calibrated(folder.path(), &options(precision), &[IDS]),
                _ => options(precision),
            };
            export(folder.path(), &options, &folder.path().join("graph.onnx")).unwrap();
            fs::read(folder.path().join("graph.onnx")).unwrap()
        });
        assert!(one == two, "two exports at {precision} differ");
    }
}
