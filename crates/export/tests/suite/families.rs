//! Every family and head against what Hugging Face transformers computed, from tests/fixtures/checkpoints.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use berth_export::{ExportOptions, export};
use berth_types::Head;
use ort::session::Session;
use safetensors::SafeTensors;
use serde::Deserialize;

use crate::runtime::{self, Batch};

/// Largest difference to transformers in any value of any output.
const DIFFERENCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Goldens {
    texts: Vec<Text>,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Text {
    name: String,
    ids: Vec<i64>,
    #[serde(default)]
    types: Vec<i64>,
}

#[derive(Deserialize)]
struct Output {
    text: String,
    #[serde(rename = "output")]
    name: String,
    tensor: String,
    /// Positions of the sequence that were kept; all where there are none.
    #[serde(default)]
    positions: Vec<i64>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints")
}

/// The head that gives a recorded output, and the name of it in the graph; none for outputs that are no head's.
fn head_of(folder: &str, output: &str) -> Option<(Head, String)> {
    let named = |head, name: &str| Some((head, name.to_owned()));
    match output {
        "last_hidden_state" => named(Head::Tokens, "token_embeddings"),
        "logits" if folder.contains("-mlm") || ["bert-gamma", "bert-untied"].contains(&folder) => {
            named(Head::FillMask, "logits")
        }
        "logits" if folder.contains("-entities") => named(Head::Entities, "logits"),
        "logits" => named(Head::Classify, "logits"),
        "sparse_embedding" => named(Head::Sparse, output),
        _ if output.starts_with("hidden_states.") => named(Head::Layers, output),
        _ if output.starts_with("attentions.") => named(Head::Attention, output),
        _ => None,
    }
}

/// Compares every recorded output of one folder. Returns how many were compared.
fn check(folder: &Path) -> usize {
    let name = folder.file_name().unwrap().to_str().unwrap();
    let goldens: Goldens = serde_json::from_slice(&fs::read(folder.join("goldens.json")).unwrap()).unwrap();
    let bytes = fs::read(folder.join("goldens.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let mut sessions: BTreeMap<Head, Session> = BTreeMap::new();
    let mut compared = 0;
    for golden in &goldens.outputs {
        let Some((head, output)) = head_of(name, &golden.name) else { continue };
        let session = sessions.entry(head).or_insert_with(|| {
            let graph = scratch.path().join(format!("{head}.onnx"));
            export(folder, &ExportOptions { head, ..ExportOptions::default() }, &graph).unwrap();
            runtime::open(&graph)
        });
        let text = goldens.texts.iter().find(|text| text.name == golden.text).unwrap();
        let positions: Vec<i64> = match golden.positions[..] {
            [] => (0..text.ids.len() as i64).collect(),
            _ => golden.positions.clone(),
        };
        let mut batch = Batch::single(&text.ids).at(&positions);
        if !text.types.is_empty() {
            batch = batch.with_types(&text.types);
        }
        let (shape, values) = runtime::run(session, &batch, &output);
        let view = tensors.tensor(&golden.tensor).unwrap();
        let expected: Vec<f32> =
            view.data().chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        let received = match head {
            Head::FillMask | Head::Classify | Head::Sparse => values,
            Head::Attention => rows(&values, shape[3] as usize, shape[1] as usize, text.ids.len(), &positions),
            _ => rows(&values, shape[2] as usize, 1, text.ids.len(), &positions),
        };
        let at = format!("{name}, text {:?}, {}", golden.text, golden.name);
        assert_eq!(received.len(), expected.len(), "{at}: {shape:?} where {:?} is right", view.shape());
        let difference = received.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference <= DIFFERENCE, "{at}: {difference}");
        compared += 1;
    }
    compared
}

/// The rows `positions` of each of `blocks` blocks of `length` rows of `width` values.
fn rows(values: &[f32], width: usize, blocks: usize, length: usize, positions: &[i64]) -> Vec<f32> {
    let row = |block: usize, position: i64| {
        let start = (block * length + position as usize) * width;
        values[start..start + width].to_vec()
    };
    (0..blocks).flat_map(|block| positions.iter().flat_map(move |&position| row(block, position))).collect()
}

/// Folders of one family.
fn family(prefix: &str) -> Vec<PathBuf> {
    let folders = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = folders
        .filter(|path| path.join("goldens.json").is_file() && path.join("tokenizer.json").is_file())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
        // What these record comes after the graph of a family: pooling by mode, projections, prompts.
        .filter(|path| {
            !path.ends_with("bert-sentence") && !path.ends_with("mpnet-sentence") && !path.ends_with("bert-late")
        })
        .collect();
    folders.sort();
    folders
}

fn check_family(prefix: &str) {
    let folders = family(prefix);
    assert!(folders.len() >= 4, "{} folders of {prefix}", folders.len());
    for folder in folders {
        let compared = check(&folder);
        assert!(compared > 0, "nothing compared in {}", folder.display());
    }
}

#[test]
fn bert_equals_transformers() {
    check_family("bert-");
}

#[test]
fn roberta_equals_transformers() {
    check_family("roberta-");
}

#[test]
fn xlm_roberta_equals_transformers() {
    check_family("xlm-roberta-");
}

#[test]
fn distilbert_equals_transformers() {
    check_family("distilbert-");
}

#[test]
fn albert_equals_transformers() {
    check_family("albert-");
}

#[test]
fn electra_equals_transformers() {
    check_family("electra-");
}

#[test]
fn mpnet_equals_transformers() {
    check_family("mpnet-");
}

#[test]
fn modernbert_equals_transformers() {
    check_family("modernbert-");
}
