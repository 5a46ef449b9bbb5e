//! A tiny BERT checkpoint made up on the spot, with every knob that a test turns.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

pub(crate) const HIDDEN: usize = 8;
pub(crate) const LAYERS: usize = 2;
pub(crate) const HEADS: usize = 2;
pub(crate) const WIDE: usize = 12;
pub(crate) const VOCABULARY: usize = 20;
pub(crate) const POSITIONS: usize = 10;
pub(crate) const TYPES: usize = 2;

/// A tensor before it is written.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    pub(crate) shape: Vec<usize>,
    pub(crate) row_major: Vec<f32>,
    pub(crate) dtype: Dtype,
}

/// A checkpoint before it is written.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoint {
    pub(crate) config: Map<String, Value>,
    pub(crate) tensors: BTreeMap<String, Values>,
}

impl Checkpoint {
    /// Weights from a fixed sequence, large enough that every part of the graph matters.
    pub(crate) fn tiny() -> Self {
        let config = json!({
            "model_type": "bert", "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
            "intermediate_size": WIDE, "vocab_size": VOCABULARY, "max_position_embeddings": POSITIONS,
            "type_vocab_size": TYPES, "layer_norm_eps": 1e-12, "hidden_act": "gelu",
            "position_embedding_type": "absolute",
        });
        let Value::Object(config) = config else { unreachable!("the literal above is an object") };
        let mut checkpoint = Self { config, tensors: BTreeMap::new() };
        let mut state = 1_u64;
        for (name, shape) in names() {
            let around = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
            let row_major = (0..shape.iter().product()).map(|_| around + uniform(&mut state)).collect();
            checkpoint.tensors.insert(name, Values { shape, row_major, dtype: Dtype::F32 });
        }
        checkpoint
    }

    pub(crate) fn set(mut self, field: &str, value: Value) -> Self {
        self.config.insert(field.to_owned(), value);
        self
    }

    /// Renames every tensor.
    pub(crate) fn renamed(mut self, rename: impl Fn(&str) -> String) -> Self {
        self.tensors = self.tensors.into_iter().map(|(name, values)| (rename(&name), values)).collect();
        self
    }

    /// Stores every tensor in another type, and rounds the values here as well.
    pub(crate) fn stored_as(mut self, dtype: Dtype) -> Self {
        for tensor in self.tensors.values_mut() {
            tensor.dtype = dtype;
            for value in &mut tensor.row_major {
                *value = match dtype {
                    Dtype::F16 => f16::from_f32(*value).to_f32(),
                    Dtype::BF16 => bf16::from_f32(*value).to_f32(),
                    _ => *value,
                };
            }
        }
        self
    }

    /// Writes both files into a new folder.
    pub(crate) fn write(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        self.write_to(folder.path());
        folder
    }

    /// Writes both files into `folder`.
    pub(crate) fn write_to(&self, folder: &Path) {
        fs::write(folder.join("config.json"), serde_json::to_vec(&self.config).unwrap()).unwrap();
        self.write_weights(&folder.join("model.safetensors"));
    }

    pub(crate) fn write_weights(&self, path: &Path) {
        let bytes: BTreeMap<&String, Vec<u8>> =
            self.tensors.iter().map(|(name, tensor)| (name, tensor.to_bytes())).collect();
        let views = self
            .tensors
            .iter()
            .map(|(name, tensor)| (name, TensorView::new(tensor.dtype, tensor.shape.clone(), &bytes[name]).unwrap()));
        fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    }
}

impl Values {
    fn to_bytes(&self) -> Vec<u8> {
        match self.dtype {
            Dtype::F32 => self.row_major.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Dtype::F16 => self.row_major.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            Dtype::BF16 => self.row_major.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
            Dtype::I64 => self.row_major.iter().flat_map(|&value| (value as i64).to_le_bytes()).collect(),
            Dtype::I32 => self.row_major.iter().flat_map(|&value| (value as i32).to_le_bytes()).collect(),
            Dtype::F64 => self.row_major.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect(),
            Dtype::U8 | Dtype::I8 | Dtype::BOOL => self.row_major.iter().map(|&value| value as u8).collect(),
            other => panic!("no test stores {other:?}"),
        }
    }
}

/// Names and shapes of `BertModel` without its pooler.
fn names() -> Vec<(String, Vec<usize>)> {
    let mut names = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![VOCABULARY, HIDDEN]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![POSITIONS, HIDDEN]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![TYPES, HIDDEN]),
        ("embeddings.LayerNorm.weight".to_owned(), vec![HIDDEN]),
        ("embeddings.LayerNorm.bias".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        let linear = [
            ("attention.self.query", HIDDEN, HIDDEN),
            ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN),
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", WIDE, HIDDEN),
            ("output.dense", HIDDEN, WIDE),
        ];
        for (name, outputs, inputs) in linear {
            names.push((format!("encoder.layer.{layer}.{name}.weight"), vec![outputs, inputs]));
            names.push((format!("encoder.layer.{layer}.{name}.bias"), vec![outputs]));
        }
        for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
            names.push((format!("encoder.layer.{layer}.{name}.weight"), vec![HIDDEN]));
            names.push((format!("encoder.layer.{layer}.{name}.bias"), vec![HIDDEN]));
        }
    }
    names
}

/// The next value in [-0.5, 0.5) of a splitmix64 sequence (Steele, Lea and Flood 2014).
fn uniform(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
}
