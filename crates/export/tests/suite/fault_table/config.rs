//! `config.json` and the files of sentence-transformers beside it.

use std::fs;
use std::path::{Path, PathBuf};

use berth_types::ErrorKind::{self, Corrupted, InvalidInput, NotFound, Unavailable};
use serde_json::{Value, json};

use super::Table;

const CONFIG: &str = "config.json";
const SIZES: [&str; 7] = [
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "type_vocab_size",
];

fn field(table: &mut Table, fault: &'static str, kind: ErrorKind, field: &'static str, value: Value, word: &str) {
    table.files(fault, kind, &[CONFIG, field, word], move |folder| {
        let path = folder.join(CONFIG);
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config[field] = value;
        fs::write(path, config.to_string()).unwrap();
    });
}

fn text(table: &mut Table, fault: &'static str, words: &[&str], text: impl Into<Vec<u8>> + 'static) {
    table.files(fault, Corrupted, words, move |folder| fs::write(folder.join(CONFIG), text.into()).unwrap());
}

pub(super) fn add(table: &mut Table) {
    syntax(table);
    sizes(table);
    tables(table);
    options(table);
    modules(table);
}

fn syntax(table: &mut Table) {
    table.files("config missing", NotFound, &[CONFIG, "is missing"], |folder| {
        fs::remove_file(folder.join(CONFIG)).unwrap();
    });
    for cut in ["", "{", "{\"model_type\": ", "{\"model_type\": \"bert\"", "{\"model_type\": \"be"] {
        text(table, "config cut off", &[CONFIG, "not a JSON object"], cut);
    }
    for other in ["[1]", "7", "null", "\"bert\""] {
        text(table, "config of other JSON", &[CONFIG, "not a JSON object"], other);
    }
    for word in ["NaN", "Infinity", "-Infinity", "1e999"] {
        let config = format!("{{\"model_type\": \"bert\", \"layer_norm_eps\": {word}}}");
        text(table, "number that JSON does not have", &[CONFIG, "not a JSON object"], config);
    }
    let surrogate = r#"{"model_type": "\udc00"}"#;
    text(table, "config with a lone surrogate", &[CONFIG, "not a JSON object"], surrogate);
    text(table, "config that is not UTF-8", &[CONFIG, "not a JSON object"], b"{\"model_type\": \"\xff\"}".to_vec());
    text(table, "config nested without end", &[CONFIG, "not a JSON object"], "[".repeat(200_000));
    text(table, "config nested without end", &[CONFIG, "not a JSON object"], "{\"a\":".repeat(100_000));
    table.files("config larger than any", Unavailable, &[CONFIG, "more than"], |folder| {
        fs::File::create(folder.join(CONFIG)).unwrap().set_len(1 << 40).unwrap();
    });
}

fn sizes(table: &mut Table) {
    for name in SIZES.into_iter().chain(["model_type"]) {
        let missing = format!("no field {name}");
        table.checkpoint("size not stated", &[CONFIG, &missing], move |tiny| drop(tiny.config.remove(name)));
    }
    for name in SIZES {
        if name != "type_vocab_size" {
            field(table, "size of zero", Corrupted, name, json!(0), "is 0");
        }
        field(table, "size below zero", Corrupted, name, json!(-8), "is -8");
        field(table, "size beyond any model", Corrupted, name, json!(1_u64 << 40), "whole number");
        field(table, "size beyond any model", Corrupted, name, json!(u64::MAX), "whole number");
        field(table, "size that is no whole number", Corrupted, name, json!(1.5), "is 1.5");
        field(table, "size that is no number", Corrupted, name, json!("8"), "is \"8\"");
    }
    for heads in [3, 5, 16] {
        let word = format!("multiple of num_attention_heads, which is {heads}");
        table.checkpoint("heads that do not divide the width", &[CONFIG, "hidden_size", &word], move |tiny| {
            tiny.config.insert("num_attention_heads".to_owned(), json!(heads));
        });
    }
    let contradictions: [(&str, u64, &str); 6] = [
        ("hidden_size", 16, "shape"),
        ("intermediate_size", 16, "shape"),
        ("vocab_size", 1 << 24, "shape"),
        ("max_position_embeddings", 1 << 24, "shape"),
        ("type_vocab_size", 3, "shape"),
        ("num_hidden_layers", 1 << 10, "no tensor encoder.layer.2."),
    ];
    for (name, value, word) in contradictions {
        table.checkpoint("size that the tensors contradict", &["model.safetensors", word, CONFIG], move |tiny| {
            tiny.config.insert(name.to_owned(), json!(value));
        });
    }
    for epsilon in [json!(0.0), json!(-1e-12), json!(1), json!(1e-40), json!("1e-12"), json!(true)] {
        field(table, "epsilon out of range", Corrupted, "layer_norm_eps", epsilon, "above 0");
    }
}

/// Tables that are made from the configuration, before or without a tensor of that size.
fn tables(table: &mut Table) {
    let declared: [(&str, &str, u64, &str); 5] = [
        ("modernbert-base", "max_position_embeddings", 1 << 24, "at most"),
        ("modernbert-base", "max_position_embeddings", 1 << 23, "at most"),
        ("mpnet-base", "max_position_embeddings", 1 << 24, "shape"),
        ("mpnet-base", "relative_attention_num_buckets", 1 << 20, "1024"),
        ("roberta-base", "pad_token_id", 1 << 24, "max_position_embeddings"),
    ];
    for (family, name, value, word) in declared {
        table.folder("size of a table that is computed", Corrupted, &[CONFIG, word], move |folder| {
            let fixture = fixture(family);
            for file in ["model.safetensors", "tokenizer.json"] {
                fs::copy(fixture.join(file), folder.join(file)).unwrap();
            }
            let mut config: Value = serde_json::from_slice(&fs::read(fixture.join(CONFIG)).unwrap()).unwrap();
            config[name] = json!(value);
            fs::write(folder.join(CONFIG), config.to_string()).unwrap();
        });
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints").join(name)
}

fn options(table: &mut Table) {
    for kind in ["gpt2", "t5", "llama", "deberta-v2", "BERT", "", "../bert"] {
        field(table, "model of another kind", InvalidInput, "model_type", json!(kind), "supported: bert");
    }
    field(table, "model kind that is no word", Corrupted, "model_type", json!(["bert"]), "a string");
    for kind in ["relative_key", "relative_key_query", "rope"] {
        field(table, "positions of another kind", InvalidInput, "position_embedding_type", json!(kind), "absolute");
    }
    for name in ["mish", "quick_gelu", "GELU"] {
        field(table, "activation of another kind", InvalidInput, "hidden_act", json!(name), "gelu");
    }
    field(table, "activation that is no word", Corrupted, "hidden_act", json!({"name": "gelu"}), "a string");
    for value in [json!(true), json!("true"), json!(1)] {
        field(table, "decoder", InvalidInput, "is_decoder", value.clone(), "supported: false");
        field(table, "cross attention", InvalidInput, "add_cross_attention", value, "supported: false");
    }
}

fn modules(table: &mut Table) {
    let mut file = |fault, kind, words: &[&str], name: &'static str, text: String| {
        table.files(fault, kind, words, move |folder| {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        });
    };
    let modules = "modules.json";
    for kind in ["LSTM", "CNN", "CLIPModel", ""] {
        let list = json!([{"type": format!("sentence_transformers.models.{kind}"), "path": "1"}]).to_string();
        file("module of another kind", InvalidInput, &[modules, "supported"], modules, list);
    }
    for text in ["{", "[", ""] {
        file("list of modules cut off", Corrupted, &[modules, "not a JSON object"], modules, text.to_owned());
    }
    file("list of modules is no list", Corrupted, &[modules, "a list of modules"], modules, "{}".to_owned());
    file("module without a type", Corrupted, &[modules, "type"], modules, "[{}]".to_owned());
    for path in ["../outside", "/etc", "a\\b"] {
        let list = json!([{"type": "x.Dense", "path": path}]).to_string();
        file(
            "module in a folder outside",
            Corrupted,
            &[&format!("{path:?}")[1..4], "put the file itself"],
            modules,
            list,
        );
    }
    for modes in
        ["{}", r#"{"pooling_mode_mean_tokens":true,"pooling_mode_cls_token":true}"#, r#"{"pooling_mode":"attention"}"#]
    {
        let words = ["1_Pooling", "pooling_mode", "supported"];
        file("pooling of another kind", InvalidInput, &words, "1_Pooling/config.json", modes.to_owned());
    }
}
