//! `model.safetensors.index.json` and the files that it names.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use berth_types::ErrorKind::{Corrupted, NotFound};
use serde_json::{Value, json};

use super::Table;
use super::container::{QUERY, harm_file};
use crate::synthetic::Checkpoint;

const INDEX: &str = "model.safetensors.index.json";
const FIRST: &str = "model-00001-of-00002.safetensors";
const SECOND: &str = "model-00002-of-00002.safetensors";

/// Writes a tiny checkpoint in two files, the embeddings in the first, and returns its index.
fn write(folder: &Path) -> Value {
    let tiny = Checkpoint::tiny();
    tiny.write_to(folder);
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    let mut weight_map = serde_json::Map::new();
    for (file, first) in [(FIRST, true), (SECOND, false)] {
        let mut part = tiny.clone();
        part.tensors.retain(|name, _| name.starts_with("embeddings.") == first);
        part.write_weights(&folder.join(file));
        weight_map.extend(part.tensors.keys().map(|name| (name.clone(), json!(file))));
    }
    json!({"metadata": {"total_size": 1}, "weight_map": weight_map})
}

/// Writes the checkpoint with an index that was changed.
fn index(table: &mut Table, fault: &'static str, words: &[&str], harm: impl FnOnce(&mut Value) + 'static) {
    table.files(fault, Corrupted, words, |folder| {
        let mut index = write(folder);
        harm(&mut index);
        fs::write(folder.join(INDEX), index.to_string()).unwrap();
    });
}

/// Writes the whole checkpoint, and changes its files.
fn files(table: &mut Table, fault: &'static str, words: &[&str], harm: impl FnOnce(&Path) + 'static) {
    table.files(fault, Corrupted, words, |folder| {
        let index = write(folder);
        fs::write(folder.join(INDEX), index.to_string()).unwrap();
        harm(folder);
    });
}

pub(super) fn add(table: &mut Table) {
    for text in
        ["", "{", "[]", "7", "{}", "{\"weight_map\": 3}", "{\"weight_map\": {\"a\": 1}}", "{\"weight_map\": [\"a\"]}"]
    {
        files(table, "index of other JSON", &[INDEX, "no index of weights"], move |folder| {
            fs::write(folder.join(INDEX), text).unwrap();
        });
    }
    files(table, "index of other JSON", &[INDEX, "no index of weights"], |folder| {
        fs::write(folder.join(INDEX), "{\"weight_map\": ".repeat(10_000)).unwrap();
    });
    index(table, "index that names nothing", &[INDEX, "no tensors"], |index| index["weight_map"] = json!({}));
    for (file, hint) in [(FIRST, "the index"), (SECOND, "the index")] {
        table.files("shard missing", NotFound, &[file, "is missing", hint], move |folder| {
            let index = write(folder);
            fs::write(folder.join(INDEX), index.to_string()).unwrap();
            fs::remove_file(folder.join(file)).unwrap();
        });
    }
    let paths = [
        ("shard path with ..", "../outside.safetensors", ".."),
        ("shard path with ..", "shards/../../outside.safetensors", ".."),
        ("shard path with ..", "..", ".."),
        ("absolute shard path", "/etc/passwd", "absolute"),
        ("absolute shard path", "//server/share/model.safetensors", "absolute"),
        ("shard path with odd characters", "..\\outside.safetensors", "backslash"),
        ("shard path with odd characters", "C:\\outside.safetensors", "backslash"),
        ("shard path with odd characters", "model.safetensors\0", "control character"),
        ("shard path with odd characters", "model\n.safetensors", "control character"),
        ("empty shard path", "", "empty"),
        ("shard path is the folder", ".", "no regular file"),
    ];
    for (fault, path, word) in paths {
        index(table, fault, &[word, "model"], move |index| index["weight_map"][QUERY] = json!(path));
    }
    files(table, "shard is a link outside", &[SECOND, "symbolic link"], |folder| {
        let outside = folder.parent().unwrap().join("outside");
        fs::rename(folder.join(SECOND), &outside).unwrap();
        symlink(outside, folder.join(SECOND)).unwrap();
    });
    files(table, "shard in a folder that is a link outside", &["symbolic link", "shards/"], |folder| {
        let outside = folder.parent().unwrap().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::rename(folder.join(SECOND), outside.join(SECOND)).unwrap();
        symlink(outside, folder.join("shards")).unwrap();
        harm_file(&folder.join(INDEX), |index| {
            String::from_utf8(index).unwrap().replace(SECOND, &format!("shards/{SECOND}")).into_bytes()
        });
    });
    index(table, "index names a tensor that its shard lacks", &[INDEX, "no such tensor", SECOND], |index| {
        index["weight_map"]["no such tensor"] = json!(SECOND);
    });
    index(table, "index names the wrong shard", &[INDEX, QUERY, FIRST], |index| {
        index["weight_map"][QUERY] = json!(FIRST);
    });
    files(table, "two shards with one tensor", &[SECOND, "embeddings.LayerNorm.bias"], |folder| {
        let mut part = Checkpoint::tiny();
        part.tensors.retain(|name, _| !name.starts_with("embeddings.") || name == "embeddings.LayerNorm.bias");
        part.write_weights(&folder.join(SECOND));
    });
    for keep in [0, 7, 100] {
        files(table, "shard cut off", &[SECOND, "no intact safetensors file"], move |folder| {
            harm_file(&folder.join(SECOND), |bytes| bytes[..keep].to_vec());
        });
    }
    files(table, "shard is a pointer of git-lfs", &[FIRST, "pointer of git-lfs"], |folder| {
        fs::write(folder.join(FIRST), "version https://git-lfs.github.com/spec/v1\n").unwrap();
    });
    files(table, "NaN in a shard", &[SECOND, QUERY, "NaN"], |folder| {
        let mut part = Checkpoint::tiny();
        part.tensors.retain(|name, _| !name.starts_with("embeddings."));
        part.tensors.get_mut(QUERY).unwrap().row_major[5] = f32::NAN;
        part.write_weights(&folder.join(SECOND));
    });
}
