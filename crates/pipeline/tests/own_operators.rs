//! Graphs with operators of Berth's own, against fp32 and those with ONNX Runtime's.

use std::path::{Path, PathBuf};

use berth_encoder::{Encoder, EncoderOptions, InstalledModel, Lane, Row, Runtime, cpu_features};
use berth_export::{ExportOptions, export};
use berth_pipeline::Home;
use berth_types::{Head, ModelCard, OwnOperators, Precision};

fn home() -> Home {
    Home::at(std::env::var_os("BERTH_HOME").map(PathBuf::from).or_else(Home::default_root).unwrap())
}

/// Sets of operators whose int8 graphs keep their accuracy on this processor.
fn sets() -> Vec<OwnOperators> {
    let exact = cpu_features().int8_kernel().is_some();
    let all = [(exact, OwnOperators::Attention), (cpu_features().computes(Precision::Int8), OwnOperators::Products)];
    all.into_iter().filter_map(|(here, set)| here.then_some(set)).collect()
}

/// The graph of `checkpoint` for `head`, open on two workers: in int8 with operators of Berth's own or, without any, in
/// fp32.
fn open(checkpoint: &Path, card: &str, head: Head, own_operators: OwnOperators, batch: Option<usize>) -> Encoder {
    let precision = if own_operators.any() { Precision::Int8 } else { Precision::Fp32 };
    open_in(precision, checkpoint, card, head, own_operators, batch)
}

fn open_in(
    precision: Precision,
    checkpoint: &Path,
    card: &str,
    head: Head,
    own_operators: OwnOperators,
    batch: Option<usize>,
) -> Encoder {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(checkpoint.join(name), folder.path().join(name)).unwrap();
    }
    let options = ExportOptions { head, precision, own_operators, ..ExportOptions::default() };
    // An encoder lets no rows of int8 share a run. It knows a graph's precision by its name, and here it is let do so.
    let called = if batch.is_some() { Precision::Fp32 } else { precision };
    export(checkpoint, &options, &folder.path().join(head.graph_file(called))).unwrap();
    let card: ModelCard = toml::from_str(card).unwrap();
    let card = ModelCard { heads: vec![head], ..card };
    let model = InstalledModel::seal(folder.path(), &card, "test").unwrap();
    let runtime = Runtime::load(&home().runtime_library()).unwrap();
    let options = EncoderOptions {
        precision: Some(called),
        head,
        workers: Some(2),
        token_budget: batch,
        ..EncoderOptions::default()
    };
    Encoder::open(&model, &runtime, &options).unwrap()
}

const MINILM: &str = "name = 'minilm'\ndimensions = 384\npooling = 'mean'\nnormalize = true\nmax_tokens = 512\n\
                      recommended_window_tokens = 512\n";

fn minilm(own_operators: OwnOperators, batch: Option<usize>) -> Encoder {
    open(&home().checkpoint("all-minilm-l6-v2"), MINILM, Head::Sentence, own_operators, batch)
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
    let (ids, exact) = abstracts();
    for set in sets() {
        let own = minilm(set, None);
        let received = run(&own, &ids);
        let (mean, least) = cosines(&received, &exact);
        assert!(mean >= 0.996 && least >= 0.992, "{set:?} to fp32: mean {mean:.5}, least {least:.5}");
        // Whatever else runs at the same time, and on whatever thread.
        let backwards: Vec<Vec<u32>> = ids.iter().rev().cloned().collect();
        let mut again = run(&own, &backwards);
        again.reverse();
        assert_eq!(again, received);
        // Rows of another arithmetic must not meet these.
        let kernel = own.fingerprint().parts["kernel"].clone();
        let base = if set == OwnOperators::Products { Some("rows") } else { cpu_features().int8_kernel() };
        let numbers = if cpu_features().avx512_bf16 { "bf16" } else { "i16" };
        assert_eq!(kernel, format!("{}+{numbers}", base.unwrap()));
        if set == OwnOperators::Attention {
            let checkpoint = home().checkpoint("all-minilm-l6-v2");
            let theirs = open_in(Precision::Int8, &checkpoint, MINILM, Head::Sentence, OwnOperators::None, None);
            let (mean, least) = cosines(&received, &run(&theirs, &ids));
            assert!(mean >= 0.997 && least >= 0.995, "to ONNX Runtime's operators: mean {mean:.5}, least {least:.5}");
        }
    }
}

#[test]
fn rows_in_a_batch_are_computed_apart_and_padding_is_masked() {
    let ids: Vec<Vec<u32>> = abstracts()
        .0
        .into_iter()
        .zip([5, 64, 40, 17, 33, 64, 8, 50].into_iter().cycle())
        .map(|(ids, length)| ids[..length.min(ids.len())].to_vec())
        .collect();
    for set in sets() {
        let (alone, together) = (minilm(set, None), minilm(set, Some(1024)));
        let received = run(&together, &ids);
        assert!(together.work().padding > 0, "the rows did not share runs");
        let (mean, least) = cosines(&received, &run(&alone, &ids));
        // Products of ONNX Runtime's have one 8-bit scale for the states of the whole batch.
        let (mean_bar, least_bar) = if set == OwnOperators::Products { (0.999_99, 0.9999) } else { (0.99, 0.97) };
        assert!(mean >= mean_bar && least >= least_bar, "{set:?}: mean {mean:.6}, least {least:.6}");
    }
}

/// Compares each family's fixture of this `kind` in every set of operators with fp32.
fn check_families(kind: &str, head: Head, card: &str, (mean_bar, least_bar): (f64, f64)) {
    let card = &format!("name = 'tiny'\nnormalize = false\nmax_tokens = 40\nrecommended_window_tokens = 40\n{card}");
    let rows: Vec<Vec<u32>> = (1..30).map(|length| (5..5 + length).collect()).collect();
    for family in ["bert", "roberta", "distilbert", "electra", "albert", "mpnet", "modernbert"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints");
        let folder = folder.join(format!("{family}-{kind}"));
        let exact = run(&open(&folder, card, head, OwnOperators::None, None), &rows);
        for set in sets() {
            let own = open(&folder, card, head, set, None);
            let (mean, least) = cosines(&run(&own, &rows), &exact);
            assert!(mean >= mean_bar && least >= least_bar, "{family}, {set:?}: mean {mean:.5}, least {least:.5}");
            let kernel = own.fingerprint().parts["kernel"].clone();
            assert_eq!(kernel.starts_with("rows"), set == OwnOperators::Products, "{family}");
        }
    }
}

#[test]
fn every_family_has_its_own_operators_where_they_fit() {
    check_families("base", Head::Tokens, "dimensions = 32\npooling = 'mean'\n", (0.998, 0.99));
}

#[test]
fn graphs_that_cut_off_all_but_the_first_token_open_and_agree() {
    check_families("classify", Head::Classify, "dimensions = 3\npooling = 'cls'\n", (0.99, 0.95));
}

#[test]
fn a_graph_whose_products_saturate_here_is_refused() {
    if cpu_features().own_operators() != OwnOperators::Products {
        // ONNX Runtime's products are exact here, or no int8 graph runs at all.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = home().checkpoint("all-minilm-l6-v2");
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(checkpoint.join(name), folder.path().join(name)).unwrap();
    }
    let options = ExportOptions { precision: Precision::Int8, ..ExportOptions::default() };
    export(&checkpoint, &options, &folder.path().join("int8.onnx")).unwrap();
    let model = InstalledModel::seal(folder.path(), &toml::from_str(MINILM).unwrap(), "test").unwrap();
    let runtime = Runtime::load(&home().runtime_library()).unwrap();
    let refusal = Encoder::open(&model, &runtime, &EncoderOptions::default()).err().unwrap().to_string();
    assert!(refusal.contains("int8.onnx") && refusal.contains("import"), "{refusal}");
}
