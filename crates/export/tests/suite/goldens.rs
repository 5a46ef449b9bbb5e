//! all-MiniLM-L6-v2 against what Hugging Face transformers computed; see scripts/record_goldens.py.

use std::fs;
use std::path::{Path, PathBuf};

use berth_export::{ExportOptions, export};
use berth_types::Precision;
use half::f16;
use ort::session::Session;
use serde::Deserialize;
use tempfile::TempDir;

use crate::runtime::{self, Batch};

#[derive(Debug, Deserialize)]
struct Parity {
    rows: Vec<Golden>,
}

/// A text's ids and its embedding as transformers computed it.
#[derive(Debug, Deserialize)]
pub(crate) struct Golden {
    name: String,
    pub(crate) ids: Vec<i64>,
    pub(crate) embedding: Vec<f32>,
}

#[test]
fn fp32_equals_transformers() {
    let (_folder, mut session) = minilm(Precision::Fp32);
    let goldens = parity();
    let lengths: Vec<usize> = goldens.iter().map(|golden| golden.ids.len()).collect();
    assert!([2, 256, 512].iter().all(|length| lengths.contains(length)), "edges are missing among {lengths:?}");
    for golden in goldens {
        let received = runtime::embed(&mut session, &golden.ids);
        let difference = largest_difference(&received, &golden.embedding);
        assert!(difference <= 1e-4, "{}: differs by {difference}", golden.name);
    }
}

#[test]
fn padding_changes_no_row() {
    let (_folder, mut session) = minilm(Precision::Fp32);
    let goldens: Vec<Golden> = parity().into_iter().filter(|golden| golden.ids.len() <= 64).collect();
    for pair in goldens.chunks_exact(2) {
        let batch = Batch::padded(&[&pair[0].ids, &pair[1].ids], 80);
        let (_, both) = runtime::run(&mut session, &batch, "sentence_embedding");
        for (row, golden) in both.chunks_exact(384).zip(pair) {
            let alone = runtime::embed(&mut session, &golden.ids);
            let difference = largest_difference(row, &alone);
            assert!(difference <= 1e-5, "{}: padding changes it by {difference}", golden.name);
        }
    }
}

#[test]
fn int8_stays_within_a_cosine_of_a_hundredth() {
    if !runtime::multiplies_bytes_exactly() {
        return;
    }
    let (_folder, mut session) = minilm(Precision::Int8);
    let goldens = scifact();
    assert_eq!(goldens.len(), 200);
    let cosines: Vec<f64> =
        goldens.iter().map(|golden| cosine(&runtime::embed(&mut session, &golden.ids), &golden.embedding)).collect();
    let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
    let least = cosines.iter().copied().fold(1.0, f64::min);
    assert!(mean >= 0.99 && least >= 0.99, "int8 against fp32: mean cosine {mean:.5}, least {least:.5}");
}

#[test]
fn the_model_exports_twice_to_equal_bytes() {
    let (one, _) = minilm(Precision::Int8);
    let (two, _) = minilm(Precision::Int8);
    let [one, two] = [one, two].map(|folder| fs::read(folder.path().join("graph.onnx")).unwrap());
    assert!(one == two, "two exports differ");
    assert!(one.len() < 25_000_000, "the int8 graph grew to {} bytes", one.len());
}

fn minilm(precision: Precision) -> (TempDir, Session) {
    let folder = tempfile::tempdir().unwrap();
    let graph = folder.path().join("graph.onnx");
    let options = ExportOptions { precision, ..ExportOptions::default() };
    let report = export(&runtime::checkpoint(), &options, &graph).unwrap();
    assert_eq!((report.layers, report.dimensions, report.max_tokens, report.vocabulary), (6, 384, 512, 30_522));
    let session = runtime::open(&graph);
    (folder, session)
}

fn parity() -> Vec<Golden> {
    let parity: Parity = serde_json::from_slice(&golden_bytes("parity.json")).unwrap();
    parity.rows
}

/// Reads scifact.bin: u32 rows, u32 dimensions, then per row u16 count, ids as u16, values as f16; little-endian.
pub(crate) fn scifact() -> Vec<Golden> {
    let bytes = golden_bytes("scifact.bin");
    let mut words = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let mut word = || words.next().expect("the file is whole");
    let mut header = || usize::from(word()) + (usize::from(word()) << 16);
    let (rows, dimensions) = (header(), header());
    let goldens = (0..rows)
        .map(|row| {
            let count = word();
            let ids = (0..count).map(|_| i64::from(word())).collect();
            let embedding = (0..dimensions).map(|_| f16::from_bits(word()).to_f32()).collect();
            Golden { name: format!("abstract {row}"), ids, embedding }
        })
        .collect();
    assert_eq!(words.next(), None, "the file holds more than its header says");
    goldens
}

fn golden_bytes(name: &str) -> Vec<u8> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn largest_difference(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

pub(crate) fn cosine(one: &[f32], other: &[f32]) -> f64 {
    assert_eq!(one.len(), other.len());
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
}
