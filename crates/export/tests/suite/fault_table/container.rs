//! `model.safetensors`: its header, its offsets, its values.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use berth_types::ErrorKind::{Corrupted, NotFound};
use safetensors::Dtype;
use serde_json::{Value, json};

use super::Table;
use crate::synthetic::Checkpoint;

pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const QUERY: &str = "encoder.layer.1.attention.self.query.weight";
const WORDS: &str = "embeddings.word_embeddings.weight";
const DAMAGED: &[&str] = &[WEIGHTS, "no intact safetensors file"];

/// Changes the bytes of the weights' file.
pub(super) fn bytes(
    table: &mut Table,
    fault: &'static str,
    words: &[&str],
    harm: impl FnOnce(Vec<u8>) -> Vec<u8> + 'static,
) {
    table.files(fault, Corrupted, words, |folder| harm_file(&folder.join(WEIGHTS), harm));
}

pub(super) fn harm_file(path: &Path, harm: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let harmed = harm(fs::read(path).unwrap());
    fs::write(path, harmed).unwrap();
}

/// Changes the JSON of the header.
fn header(table: &mut Table, fault: &'static str, words: &[&str], harm: impl FnOnce(&mut Value) + 'static) {
    bytes(table, fault, words, |file| {
        let (text, values) = split(&file);
        let mut header = serde_json::from_slice(text).unwrap();
        harm(&mut header);
        join(&serde_json::to_vec(&header).unwrap(), values)
    });
}

fn split(file: &[u8]) -> (&[u8], &[u8]) {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    file[8..].split_at(length)
}

fn join(header: &[u8], values: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header, values].concat()
}

pub(super) fn add(table: &mut Table) {
    layout(table);
    offsets(table);
    tensors(table);
    values(table);
    places(table);
}

fn layout(table: &mut Table) {
    for keep in [0, 1, 4, 7, 8, 9, 40, 200, 1_000, 2_000, 4_000] {
        bytes(table, "weights cut off", DAMAGED, move |file| file[..keep].to_vec());
    }
    bytes(table, "weights cut off", DAMAGED, |file| file[..file.len() - 1].to_vec());
    for more in [1, 8, 4_096] {
        bytes(table, "weights longer than their tensors", DAMAGED, move |file| [file, vec![0; more]].concat());
    }
    for length in [u64::MAX, 1 << 63, 1 << 40, 100_000_001, 99_999_999, 1 << 16] {
        let declare = move |file: Vec<u8>| [&length.to_le_bytes()[..], &file[8..]].concat();
        bytes(table, "header declared longer than the file", DAMAGED, declare);
    }
    for text in
        ["", "x", "{", "[]", "7", "{\"a\": 1}", "{\"a\": {}}", "{\"a\": {\"dtype\": \"F32\"}}", "{\"__metadata__\": 3}"]
    {
        bytes(table, "header of other JSON", DAMAGED, |file| join(text.as_bytes(), split(&file).1));
    }
    let surrogate = r#"{"\ud800": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}"#;
    bytes(table, "header with a lone surrogate", DAMAGED, |_| join(surrogate.as_bytes(), &[]));
    bytes(table, "header that is not UTF-8", DAMAGED, |_| join(b"{\"\xff\xfe\": 1}", &[]));
    bytes(table, "header nested without end", DAMAGED, |_| join("[".repeat(100_000).as_bytes(), &[]));
    bytes(table, "header nested without end", DAMAGED, |_| join("{\"a\":".repeat(50_000).as_bytes(), &[]));
    bytes(table, "weights are a pointer of git-lfs", &[WEIGHTS, "pointer of git-lfs"], |_| {
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 90868376\n".to_vec()
    });
    bytes(table, "weights of another format", DAMAGED, |_| b"PK\x03\x04\x14\0\0\0\x08\0archive/data.pkl".to_vec());
}

fn offsets(table: &mut Table) {
    let set = |value: Value| move |header: &mut Value| header[QUERY]["data_offsets"] = value;
    header(table, "offsets beyond the end", DAMAGED, set(json!([1_u64 << 40, (1_u64 << 40) + 256])));
    header(table, "offsets beyond the end", DAMAGED, set(json!([0, u64::MAX])));
    header(table, "offsets that overlap", DAMAGED, |header| {
        header[QUERY]["data_offsets"] = header[WORDS]["data_offsets"].clone();
    });
    header(table, "offsets that overlap", DAMAGED, |header| {
        let start = header[QUERY]["data_offsets"][0].as_u64().unwrap();
        header[QUERY]["data_offsets"] = json!([start - 4, start + 252]);
    });
    header(table, "offsets that leave a gap", DAMAGED, |header| {
        let start = header[QUERY]["data_offsets"][0].as_u64().unwrap();
        header[QUERY]["data_offsets"] = json!([start + 4, start + 256]);
    });
    header(table, "offsets that run backwards", DAMAGED, set(json!([256, 0])));
    for odd in [json!([-4, 252]), json!([0.5, 256]), json!(["0", "256"]), json!([0]), json!(null)] {
        header(table, "offsets that are no places", DAMAGED, set(odd));
    }
    for shape in [json!([u64::MAX, 2]), json!([1_u64 << 62, 1_u64 << 62]), json!([1_000_000_000_000_u64])] {
        header(table, "shape beyond any file", DAMAGED, |header| header[QUERY]["shape"] = shape);
    }
    for shape in [json!([8, 9]), json!([0, 8]), json!([]), json!([-8, 8])] {
        header(table, "shape that its bytes contradict", DAMAGED, |header| header[QUERY]["shape"] = shape);
    }
    for dtype in ["F31", "", "float32"] {
        header(table, "element type that does not exist", DAMAGED, move |header| header[QUERY]["dtype"] = json!(dtype));
    }
    for copies in [1, 3] {
        bytes(table, "name given twice in the header", &[WEIGHTS, QUERY, "already"], move |file| {
            let (text, values) = split(&file);
            let parsed: Value = serde_json::from_slice(text).unwrap();
            let again = format!("\"{QUERY}\":{},", parsed[QUERY]).repeat(copies);
            let header = [b"{", again.as_bytes(), &text[1..]].concat();
            join(&header, values)
        });
    }
}

fn tensors(table: &mut Table) {
    for name in Checkpoint::tiny().tensors.into_keys() {
        let missing = format!("no tensor {name},");
        let remove = name.clone();
        table.checkpoint("tensor missing", &[WEIGHTS, &missing], move |tiny| drop(tiny.tensors.remove(&remove)));
        let words = [WEIGHTS, &name.clone(), "config.json implies"].map(str::to_owned);
        table.checkpoint("tensor of another shape", &words.each_ref().map(String::as_str), move |tiny| {
            tiny.tensors.get_mut(&name).unwrap().shape.push(1);
        });
    }
    for dtype in [Dtype::I64, Dtype::F64, Dtype::U8, Dtype::BOOL, Dtype::I8, Dtype::I32] {
        let received = format!("{dtype:?}");
        table.checkpoint(
            "element type that does not convert",
            &[WEIGHTS, QUERY, &received, "F32, F16 or BF16"],
            move |tiny| {
                tiny.tensors.get_mut(QUERY).unwrap().dtype = dtype;
            },
        );
    }
    table.checkpoint("layer beyond the configuration", &["encoder.layer.1.", "num_hidden_layers"], |tiny| {
        tiny.config.insert("num_hidden_layers".to_owned(), json!(1));
    });
}

fn values(table: &mut Table) {
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
        for (fault, value, word) in [
            ("NaN among the weights", f32::NAN, "NaN"),
            ("infinity among the weights", f32::INFINITY, "inf"),
            ("infinity among the weights", f32::NEG_INFINITY, "-inf"),
        ] {
            for (name, position) in [(QUERY, 0), (QUERY, 63), (WORDS, 17)] {
                let place = format!("{word} at position {position}");
                table.checkpoint(fault, &[WEIGHTS, name, &place], move |tiny| {
                    *tiny = tiny.clone().stored_as(dtype);
                    tiny.tensors.get_mut(name).unwrap().row_major[position] = value;
                });
            }
        }
    }
}

fn places(table: &mut Table) {
    table.files("weights missing", NotFound, &[WEIGHTS, "is missing"], |folder| {
        fs::remove_file(folder.join(WEIGHTS)).unwrap();
    });
    for other in ["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"] {
        table.files(
            "weights in a format that is not read",
            NotFound,
            &[WEIGHTS, other, "is not read"],
            move |folder| {
                fs::rename(folder.join(WEIGHTS), folder.join(other)).unwrap();
            },
        );
    }
    for name in [WEIGHTS, "config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json"] {
        table.files("link that leaves the folder", Corrupted, &[name, "symbolic link"], move |folder| {
            let outside = folder.parent().unwrap().join("outside");
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if path.exists() {
                fs::rename(&path, &outside).unwrap();
            } else {
                fs::write(&outside, "{}").unwrap();
            }
            symlink(outside, path).unwrap();
        });
    }
    table.files("link to a device", Corrupted, &[WEIGHTS, "symbolic link"], |folder| {
        fs::remove_file(folder.join(WEIGHTS)).unwrap();
        symlink("/dev/zero", folder.join(WEIGHTS)).unwrap();
    });
    for name in [WEIGHTS, "config.json", "tokenizer.json"] {
        table.files("folder in place of a file", Corrupted, &[name, "no regular file"], move |folder| {
            let _ = fs::remove_file(folder.join(name));
            fs::create_dir(folder.join(name)).unwrap();
        });
        table.files("socket in place of a file", Corrupted, &[name, "no regular file"], move |folder| {
            let _ = fs::remove_file(folder.join(name));
            drop(UnixListener::bind(folder.join(name)).unwrap());
        });
    }
}
