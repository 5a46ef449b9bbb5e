//! Every family and head against what Hugging Face transformers computed, from tests/fixtures/checkpoints.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use berth_export::{ExportOptions, export};
use berth_types::{Head, Pooling};
use ort::session::Session;
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::Value;

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
    /// Ones where ids are attended to; all are where it is empty.
    #[serde(default)]
    attention: Vec<i64>,
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

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints")
}

/// The graph that gives a recorded output, and the output's name in it; none for the output that is no head's.
fn wanted(folder: &Path, output: &str) -> Option<(ExportOptions, String)> {
    let architecture = || {
        let config: Value = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
        config["architectures"][0].as_str().unwrap().to_owned()
    };
    let (head, name) = match output {
        "last_hidden_state" => (Head::Tokens, "token_embeddings"),
        "sentence_embedding" => (Head::Sentence, output),
        "sparse_embedding" => (Head::Sparse, output),
        "token_vectors" => (Head::Late, output),
        "logits" => match architecture() {
            kind if kind.ends_with("ForTokenClassification") => (Head::Entities, "logits"),
            kind if kind.ends_with("ForSequenceClassification") => (Head::Classify, "logits"),
            _ => (Head::FillMask, "logits"),
        },
        _ if output.starts_with("hidden_states.") => (Head::Layers, output),
        _ if output.starts_with("attentions.") => (Head::Attention, output),
        _ if output.starts_with("pooled.") => (Head::Sentence, "sentence_embedding"),
        // A pooled first state is only a step: graphs for `classify` compute it inside, and their logits are compared.
        "pooler" => return None,
        _ => panic!("{}: no head gives the recorded output {output:?}", folder.display()),
    };
    let mut options = ExportOptions { head, ..ExportOptions::default() };
    if let Some(mode) = output.strip_prefix("pooled.") {
        options.pooling = Pooling::ALL.into_iter().find(|pooling| pooling.as_str() == mode).unwrap();
        options.normalize = false;
    } else if folder.ends_with("mpnet-sentence") {
        options.pooling = Pooling::Cls;
    }
    Some((options, name.to_owned()))
}

/// Compares every recorded output of one folder. Returns how many were compared.
fn check(folder: &Path) -> usize {
    let name = folder.file_name().unwrap().to_str().unwrap();
    let goldens: Goldens = serde_json::from_slice(&fs::read(folder.join("goldens.json")).unwrap()).unwrap();
    let bytes = fs::read(folder.join("goldens.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    // The bare encoder, without the modules that a folder may have after pooling.
    for file in ["config.json", "model.safetensors"] {
        if folder.join(file).exists() {
            fs::copy(folder.join(file), scratch.path().join(file)).unwrap();
        }
    }
    let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
    let mut compared = 0;
    for golden in &goldens.outputs {
        let Some((options, output)) = wanted(folder, &golden.name) else { continue };
        let (head, bare) = (options.head, golden.name.starts_with("pooled."));
        let session = sessions.entry(format!("{head} {} {bare}", options.pooling)).or_insert_with(|| {
            let graph = scratch.path().join("graph.onnx");
            export(if bare { scratch.path() } else { folder }, &options, &graph).unwrap();
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
        if !text.attention.is_empty() {
            batch = batch.attending(&text.attention);
        }
        let (shape, values) = runtime::run(session, &batch, &output);
        let view = tensors.tensor(&golden.tensor).unwrap();
        let expected: Vec<f32> =
            view.data().chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        let received = match head {
            Head::Attention => rows(&values, shape[3] as usize, shape[1] as usize, text.ids.len(), &positions),
            Head::Tokens | Head::Layers | Head::Entities | Head::Late => {
                rows(&values, shape[2] as usize, 1, text.ids.len(), &positions)
            }
            _ => values,
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

/// Folders of all families.
pub(crate) fn folders() -> Vec<PathBuf> {
    family("")
}

/// Folders of one family.
fn family(prefix: &str) -> Vec<PathBuf> {
    let folders = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = folders
        .filter(|path| path.join("goldens.json").is_file())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
        .collect();
    folders.sort();
    folders
}

fn check_family(prefix: &str) {
    let folders = family(prefix);
    assert!(!folders.is_empty(), "no folder of {prefix}");
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
fn camembert_equals_transformers() {
    check_family("camembert-");
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
