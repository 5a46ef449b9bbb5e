//! Every way in which a checkpoint can be wrong: the message names it, and no file appears.

use std::fs;
use std::path::Path;

use berth_export::{ExportOptions, export};
use berth_types::ErrorKind::{self, Corrupted, InvalidInput, NotFound, Unavailable};
use safetensors::Dtype;
use serde_json::{Value, json};

use crate::synthetic::{Checkpoint, Values};

const QUERY: &str = "encoder.layer.1.attention.self.query.weight";

/// Breaks a written checkpoint with `harm`, exports it, and looks at message, kind and folder.
fn check(checkpoint: &Checkpoint, harm: impl FnOnce(&Path), kind: ErrorKind, words: &[&str]) {
    let folder = checkpoint.write();
    harm(folder.path());
    let out = tempfile::tempdir().unwrap();
    let graph = out.path().join("graph.onnx");
    let error = export(folder.path(), &ExportOptions::default(), &graph).unwrap_err();
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
    assert_eq!(error.kind(), kind, "{message}");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0, "{message}: a file was left behind");
}

fn config(field: &str, value: Value, kind: ErrorKind, words: &[&str]) {
    let mut wanted = vec!["config.json", field];
    wanted.extend(words);
    check(&Checkpoint::tiny().set(field, value), |_| {}, kind, &wanted);
}

fn tensor(name: &str, harm: impl FnOnce(&mut Values), words: &[&str]) {
    let mut checkpoint = Checkpoint::tiny();
    harm(checkpoint.tensors.get_mut(name).unwrap());
    let mut wanted = vec!["model.safetensors", name];
    wanted.extend(words);
    check(&checkpoint, |_| {}, Corrupted, &wanted);
}

#[test]
fn configurations_of_other_models_are_refused_by_name() {
    config("model_type", json!("gpt2"), InvalidInput, &["\"gpt2\"", "supported: bert, roberta, xlm-roberta"]);
    config("model_type", json!(7), Corrupted, &["7", "a string"]);
    config("position_embedding_type", json!("relative_key"), InvalidInput, &["relative_key", "supported: absolute"]);
    config("hidden_act", json!("mish"), InvalidInput, &["mish", "gelu, gelu_new, gelu_pytorch_tanh, relu"]);
    config("is_decoder", json!(true), InvalidInput, &["true", "supported: false"]);
    config("add_cross_attention", json!(true), InvalidInput, &["true", "supported: false"]);
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    config("hidden_size", json!(0), Corrupted, &["is 0", "from 1"]);
    config("hidden_size", json!(-8), Corrupted, &["is -8"]);
    config("num_hidden_layers", json!("2"), Corrupted, &["is \"2\""]);
    config("vocab_size", json!(1e18), Corrupted, &["whole number"]);
    config("intermediate_size", json!(12.5), Corrupted, &["is 12.5"]);
    config("layer_norm_eps", json!(0.0), Corrupted, &["above 0"]);
    let checkpoint = Checkpoint::tiny().set("num_attention_heads", json!(3));
    check(&checkpoint, |_| {}, Corrupted, &["hidden_size is 8", "multiple of num_attention_heads, which is 3"]);
}

#[test]
fn every_size_must_be_there() {
    let fields = [
        "model_type",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
        "type_vocab_size",
    ];
    for field in fields {
        let mut checkpoint = Checkpoint::tiny();
        checkpoint.config.remove(field);
        check(&checkpoint, |_| {}, Corrupted, &["config.json", &format!("no field {field}")]);
    }
}

#[test]
fn files_that_are_missing_or_no_json_are_named() {
    let tiny = Checkpoint::tiny();
    let config = |folder: &Path| folder.join("config.json");
    let weights = |folder: &Path| folder.join("model.safetensors");
    check(&tiny, |folder| fs::remove_file(config(folder)).unwrap(), NotFound, &["config.json is missing"]);
    check(&tiny, |folder| fs::remove_file(weights(folder)).unwrap(), NotFound, &["model.safetensors is missing"]);
    check(&tiny, |folder| fs::write(config(folder), "{\"model_type\": ").unwrap(), Corrupted, &["not a JSON object"]);
    check(&tiny, |folder| fs::write(config(folder), "[1]").unwrap(), Corrupted, &["not a JSON object"]);
    let as_shards = |folder: &Path| {
        fs::rename(weights(folder), folder.join("model.safetensors.index.json")).unwrap();
    };
    check(&tiny, as_shards, Corrupted, &["model.safetensors.index.json is no index of weights"]);
    let as_pickle = |folder: &Path| fs::rename(weights(folder), folder.join("pytorch_model.bin")).unwrap();
    check(&tiny, as_pickle, NotFound, &["pytorch_model.bin is not read"]);
}

#[test]
fn damaged_containers_are_named() {
    type Harm = fn(Vec<u8>) -> Vec<u8>;
    let harms: [Harm; 7] = [
        |_| Vec::new(),
        |bytes| bytes[..5].to_vec(),
        // Inside the header.
        |bytes| bytes[..200].to_vec(),
        |bytes| bytes[..bytes.len() - 1].to_vec(),
        |mut bytes| {
            bytes.push(0);
            bytes
        },
        // A header longer than any file.
        |mut bytes| {
            bytes[..8].fill(0xff);
            bytes
        },
        // A header that is no JSON.
        |mut bytes| {
            bytes[8..40].fill(b'x');
            bytes
        },
    ];
    for harm in harms {
        let harm_file = |folder: &Path| {
            let path = folder.join("model.safetensors");
            let harmed = harm(fs::read(&path).unwrap());
            fs::write(path, harmed).unwrap();
        };
        check(&Checkpoint::tiny(), harm_file, Corrupted, &["model.safetensors", "no intact safetensors file"]);
    }
}

#[test]
fn every_tensor_must_be_there() {
    let tiny = Checkpoint::tiny();
    for name in tiny.tensors.keys() {
        let mut without = tiny.clone();
        without.tensors.remove(name);
        check(&without, |_| {}, Corrupted, &["model.safetensors", &format!("no tensor {name},")]);
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    tensor(QUERY, |query| query.shape = vec![4, 16], &["shape [4, 16]", "implies [8, 8]"]);
    tensor(QUERY, |query| query.shape = vec![64], &["shape [64]"]);
    tensor(QUERY, |query| query.dtype = Dtype::I64, &["I64", "F32, F16 or BF16"]);
    tensor(QUERY, |query| query.row_major[3] = f32::NAN, &["NaN at position 3"]);
    tensor(QUERY, |query| query.row_major[63] = f32::NEG_INFINITY, &["-inf at position 63"]);
    tensor("embeddings.word_embeddings.weight", |words| words.row_major[0] = f32::INFINITY, &["inf at position 0"]);
}

#[test]
fn fewer_layers_in_the_configuration_than_in_the_file_are_refused() {
    let checkpoint = Checkpoint::tiny().set("num_hidden_layers", json!(1));
    check(&checkpoint, |_| {}, Corrupted, &["encoder.layer.1.", "num_hidden_layers 1"]);
}

#[test]
fn a_graph_that_cannot_be_written_is_named() {
    let folder = Checkpoint::tiny().write();
    let graph = folder.path().join("no such folder").join("graph.onnx");
    let error = export(folder.path(), &ExportOptions::default(), &graph).unwrap_err();
    assert!(error.to_string().contains("no such folder"), "{error}");
    assert_eq!(error.kind(), Unavailable);
}

#[test]
fn a_failed_export_leaves_the_older_graph() {
    let mut checkpoint = Checkpoint::tiny();
    checkpoint.tensors.get_mut(QUERY).unwrap().row_major[0] = f32::NAN;
    let folder = checkpoint.write();
    let graph = folder.path().join("graph.onnx");
    fs::write(&graph, "older").unwrap();
    export(folder.path(), &ExportOptions::default(), &graph).unwrap_err();
    assert_eq!(fs::read(&graph).unwrap(), b"older");
}
