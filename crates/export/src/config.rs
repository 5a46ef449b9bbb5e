//! Reads `config.json` and refuses what this exporter would get wrong.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::Error;

/// Values of `model_type` that can be exported.
const MODEL_TYPES: &[&str] = &["bert"];
/// Values of `position_embedding_type` that can be exported.
const POSITIONS: &[&str] = &["absolute"];
/// What `is_decoder` and `add_cross_attention` must be.
const ENCODER: &[&str] = &["false"];
/// Values of `hidden_act` that can be exported.
const ACTIVATIONS: &[&str] = &["gelu", "gelu_new", "gelu_pytorch_tanh", "relu"];
/// No published BERT comes near these; beyond them a file is damaged, and sizes could overflow.
const LARGEST_WIDTH: usize = 1 << 17;
const LARGEST_TABLE: usize = 1 << 24;
const MOST_LAYERS: usize = 1 << 10;

/// The shape of a BERT encoder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BertConfig {
    pub(crate) hidden: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) intermediate: usize,
    pub(crate) vocabulary: usize,
    pub(crate) positions: usize,
    pub(crate) token_types: usize,
    pub(crate) epsilon: f32,
    pub(crate) activation: Activation,
}

/// The nonlinearity of the feed-forward half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// With the error function.
    Gelu,
    /// With the hyperbolic tangent.
    GeluTanh,
    /// Zero below zero.
    Relu,
}

impl BertConfig {
    /// Reads and checks `config.json`.
    ///
    /// # Errors
    /// `FileMissing`, `Read`, `ConfigSyntax`, `ConfigMissing`, `ConfigValue` or `Unsupported`, each naming the file.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::FileMissing { path: path.to_owned(), hint: None },
            _ => Error::Read { path: path.to_owned(), source },
        })?;
        let value = serde_json::from_slice(&bytes)
            .map_err(|source| Error::ConfigSyntax { path: path.to_owned(), source: Some(source) })?;
        let Value::Object(fields) = value else {
            return Err(Error::ConfigSyntax { path: path.to_owned(), source: None });
        };
        Fields { path: path.to_owned(), fields }.check()
    }
}

struct Fields {
    path: PathBuf,
    fields: Map<String, Value>,
}

impl Fields {
    fn check(&self) -> Result<BertConfig, Error> {
        // The kind comes first: the other fields mean nothing in a model of another kind.
        let model_type = self.word("model_type")?.ok_or_else(|| self.missing("model_type"))?;
        self.one_of("model_type", &model_type, MODEL_TYPES)?;
        if let Some(kind) = self.word("position_embedding_type")? {
            self.one_of("position_embedding_type", &kind, POSITIONS)?;
        }
        for field in ["is_decoder", "add_cross_attention"] {
            if let Some(value) = self.present(field) {
                self.one_of(field, &value.to_string(), ENCODER)?;
            }
        }
        let config = BertConfig {
            hidden: self.size("hidden_size", LARGEST_WIDTH)?,
            layers: self.size("num_hidden_layers", MOST_LAYERS)?,
            heads: self.size("num_attention_heads", LARGEST_WIDTH)?,
            intermediate: self.size("intermediate_size", LARGEST_WIDTH)?,
            vocabulary: self.size("vocab_size", LARGEST_TABLE)?,
            positions: self.size("max_position_embeddings", LARGEST_TABLE)?,
            token_types: self.size("type_vocab_size", LARGEST_TABLE)?,
            epsilon: self.epsilon()?,
            activation: self.activation()?,
        };
        if !config.hidden.is_multiple_of(config.heads) {
            let expected = format!("a multiple of num_attention_heads, which is {}", config.heads);
            return Err(self.wrong("hidden_size", expected));
        }
        Ok(config)
    }

    fn size(&self, field: &'static str, largest: usize) -> Result<usize, Error> {
        let value = self.present(field).ok_or_else(|| self.missing(field))?;
        value
            .as_u64()
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| (1..=largest).contains(size))
            .ok_or_else(|| self.wrong(field, format!("a whole number from 1 to {largest}")))
    }

    /// `layer_norm_eps`; 1e-12 where it is not stated, as in the original BERT.
    fn epsilon(&self) -> Result<f32, Error> {
        let Some(value) = self.present("layer_norm_eps") else { return Ok(1e-12) };
        value
            .as_f64()
            .filter(|epsilon| (1e-30..=0.1).contains(epsilon))
            .map(|epsilon| epsilon as f32)
            .ok_or_else(|| self.wrong("layer_norm_eps", "a number above 0, at most 0.1"))
    }

    /// `hidden_act`; the exact GELU where it is not stated, as in the original BERT.
    fn activation(&self) -> Result<Activation, Error> {
        let Some(name) = self.word("hidden_act")? else { return Ok(Activation::Gelu) };
        self.one_of("hidden_act", &name, ACTIVATIONS)?;
        Ok(match name.as_str() {
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            _ => Activation::Gelu,
        })
    }

    fn word(&self, field: &'static str) -> Result<Option<String>, Error> {
        match self.present(field) {
            None => Ok(None),
            Some(Value::String(word)) => Ok(Some(word.clone())),
            Some(_) => Err(self.wrong(field, "a string")),
        }
    }

    fn present(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    fn one_of(&self, field: &'static str, value: &str, supported: &'static [&'static str]) -> Result<(), Error> {
        if supported.contains(&value) {
            return Ok(());
        }
        Err(Error::Unsupported { path: self.path.clone(), field, value: value.to_owned(), supported })
    }

    fn missing(&self, field: &'static str) -> Error {
        Error::ConfigMissing { path: self.path.clone(), field }
    }

    fn wrong(&self, field: &'static str, expected: impl Into<String>) -> Error {
        let value = self.fields.get(field).map(Value::to_string).unwrap_or_default();
        Error::ConfigValue { path: self.path.clone(), field, value, expected: expected.into() }
    }
}
