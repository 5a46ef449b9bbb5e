//! Graphs with operators of Berth's own, against those with ONNX Runtime's.

use std::path::{Path, PathBuf};

use berth_encoder::{Encoder, EncoderOptions, InstalledModel, Lane, Row, Runtime, cpu_features};
use berth_export::{ExportOptions, export};
use berth_pipeline::Home;
use berth_types::{Head, ModelCard, Precision};

fn home() -> Home {
    Home::at(std::env::var_os("BERTH_HOME").map(PathBuf::from).or_else(Home::default_root).unwrap())
}

/// The int8 graph of `checkpoint` for `head`, open on two workers.
fn open(checkpoint: &Path, card: &str, head: Head, own_operators: bool, batch: Option<usize>) -> Encoder {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(checkpoint.join(name), folder.path().join(name)).unwrap();
    }
    let options = ExportOptions { head, precision: Precision::Int8, own_operators, ..ExportOptions::default() };
    // An encoder lets no rows of integers share a run. It knows a graph's precision by its name, and here it is let do so.
    let precision = if batch.is_some() { Precision::Fp32 } else { Precision::Int8 };
    export(checkpoint, &options, &folder.path().join(head.graph_file(precision))).unwrap();
    let card: ModelCard = toml::from_str(card).unwrap();
    let card = ModelCard { heads: vec![head], ..card };
    let model = InstalledModel::seal(folder.path(), &card, "test").unwrap();
    let runtime = Runtime::load(&home().runtime_library()).unwrap();
    let precision = Some(precision);
    let options =
        EncoderOptions { precision, head, workers: Some(2), token_budget: batch, ..EncoderOptions::default() };
    Encoder::open(&model, &runtime, &options).unwrap()
}

fn minilm(own_operators: bool, batch: Option<usize>) -> Encoder {
    let card = "name = 'minilm'\ndimensions = 384\npooling = 'mean'\nnormalize = true\nmax_tokens = 512\n\
                recommended_window_tokens = 512\n";
    open(&home().checkpoint("all-minilm-l6-v2"), card, Head::Sentence, own_operators, batch)
}

/// What comes out for `rows`, which are all in the queue at once.
fn run(encoder: &Encoder, rows: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let pending: Vec<_> = rows.iter().map(|row| encoder.submit(Row::from(row.clone()), Lane::Bulk).unwrap()).collect();
    pending.into_iter().map(|pending| pending.wait().unwrap().swap_remove(0).values).collect()
}

fn cosine(one: &[f32], other: &[f32]) -> f64 {
    assert_eq!(one.len(), other.len());
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
}

/// Mean and least of the cosines of two lists of vectors.
fn cosines(some: &[Vec<f32>], others: &[Vec<f32>]) -> (f64, f64) {
    let cosines: Vec<f64> = some.iter().zip(others).map(|(one, other)| cosine(one, other)).collect();
    (cosines.iter().sum::<f64>() / cosines.len() as f64, cosines.iter().copied().fold(1.0, f64::min))
}

/// The recorded abstracts of the exporter's tests: ids, and embeddings that transformers computed. The layout is in
/// scripts/record_goldens.py.
fn abstracts() -> (Vec<Vec<u32>>, Vec<Vec<f32>>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../export/tests/goldens/scifact.bin");
    let bytes = std::fs::read(path).unwrap();
    let mut words = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let mut word = || words.next().unwrap();
    let (rows, _, dimensions, _) = (word(), word(), word(), word());
    let row = |_| {
        let count = word();
        let ids = (0..count).map(|_| u32::from(word())).collect();
        (ids, (0..dimensions).map(|_| half::f16::from_bits(word()).to_f32()).collect())
    };
    (0..rows).map(row).unzip()
}

#[test]
fn embeddings_are_as_near_to_fp32_as_with_onnx_runtimes_operators() {
    if cpu_features().int8_kernel().is_none() {
        return;
    }
    let (ids, exact) = abstracts();
    let (own, theirs) = (minilm(true, None), minilm(false, None));
    let received = run(&own, &ids);
    let (mean, least) = cosines(&received, &exact);
    assert!(mean >= 0.996 && least >= 0.9935, "to fp32: mean {mean:.5}, least {least:.5}");
    let (mean, least) = cosines(&received, &run(&theirs, &ids));
    assert!(mean >= 0.997 && least >= 0.995, "to ONNX Runtime's operators: mean {mean:.5}, least {least:.5}");
    // Whatever else runs at the same time, and on whatever thread.
    let backwards: Vec<Vec<u32>> = ids.iter().rev().cloned().collect();
    let mut again = run(&own, &backwards);
    again.reverse();
    assert_eq!(again, received);
    // Rows of another arithmetic must not meet these.
    let kernel = |encoder: &Encoder| encoder.fingerprint().parts["kernel"].clone();
    assert_eq!(kernel(&own), kernel(&theirs) + if cpu_features().avx512_bf16 { "+bf16" } else { "" });
}

#[test]
fn rows_in_a_batch_are_computed_apart_and_padding_is_masked() {
    if cpu_features().int8_kernel().is_none() {
        return;
    }
    let ids: Vec<Vec<u32>> = abstracts()
        .0
        .into_iter()
        .zip([5, 64, 40, 17, 33, 64, 8, 50].into_iter().cycle())
        .map(|(ids, length)| ids[..length.min(ids.len())].to_vec())
        .collect();
    let (alone, together) = (minilm(true, None), minilm(true, Some(1024)));
    let received = run(&together, &ids);
    assert!(together.work().padding > 0, "the rows did not share runs");
    let (mean, least) = cosines(&received, &run(&alone, &ids));
    // The 8-bit scale of the states is that of the batch.
    assert!(mean >= 0.99 && least >= 0.97, "mean {mean:.5}, least {least:.5}");
}

#[test]
fn every_family_has_its_own_operators_where_they_fit() {
    if cpu_features().int8_kernel().is_none() {
        return;
    }
    let card = "name = 'tiny'\ndimensions = 32\npooling = 'mean'\nnormalize = false\nmax_tokens = 40\n\
                recommended_window_tokens = 40\n";
    for (family, has_own) in [
        ("bert", true),
        ("roberta", true),
        ("distilbert", true),
        ("electra", true),
        ("albert", true),
        ("mpnet", true),
        ("modernbert", false),
    ] {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints");
        let [own, theirs] =
            [true, false].map(|own| open(&fixtures.join(format!("{family}-base")), card, Head::Tokens, own, None));
        let rows: Vec<Vec<u32>> = (1..30).map(|length| (5..5 + length).collect()).collect();
        let (mean, least) = cosines(&run(&own, &rows), &run(&theirs, &rows));
        assert!(mean >= 0.999 && least >= 0.995, "{family}: mean {mean:.5}, least {least:.5}");
        let differ = own.fingerprint().parts["kernel"] != theirs.fingerprint().parts["kernel"];
        assert_eq!(differ, has_own && cpu_features().avx512_bf16, "{family}");
    }
}
