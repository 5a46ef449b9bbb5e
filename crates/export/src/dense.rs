//! `Dense` modules of a sentence-transformers folder: products with weights of their own.

use std::path::Path;

use crate::Error;
use crate::checkpoint::Weights;
use crate::sentence::read_json;
use crate::shape::Activation;
use crate::shards::WeightsFiles;

const ACTIVATIONS: &[&str] = &["Identity", "Tanh", "ReLU", "GELU"];

/// A `Dense` module: a product with a nonlinearity after pooling.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// `[outputs, inputs]`, row-major.
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) activation: Option<Activation>,
}

/// What a `Dense` module works on, and what it does where its file is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The pooled vector.
    Vector,
    /// The state of each token.
    Tokens,
}

impl Place {
    fn value(self) -> &'static str {
        self.values()[0]
    }

    fn values(self) -> &'static [&'static str] {
        match self {
            Self::Vector => &["sentence_embedding"],
            Self::Tokens => &["token_embeddings"],
        }
    }

    /// Of sentence-transformers and of PyLate.
    fn default_activation(self) -> &'static str {
        match self {
            Self::Vector => "Tanh",
            Self::Tokens => "Identity",
        }
    }
}

/// Reads the `Dense` module in `folder`, whose input is `width` wide and stands at `place`.
///
/// # Errors
/// `FileMissing`, `ConfigValue`, `Unsupported`, or what is wrong with the weights.
pub(crate) fn read(checkpoint: &Path, folder: &str, width: usize, place: Place) -> Result<Step, Error> {
    let name = format!("{folder}/config.json");
    let path = checkpoint.join(&name);
    let config = read_json(checkpoint, &name)?.ok_or_else(|| Error::FileMissing { path: path.clone(), hint: None })?;
    let size = |field: &'static str| {
        let size = config[field].as_u64().filter(|size| (1..=1 << 17).contains(size)).map(|size| size as usize);
        size.ok_or_else(|| Error::ConfigValue {
            path: path.clone(),
            field: field.into(),
            value: config[field].to_string(),
            expected: "a whole number from 1 to 131072".to_owned(),
        })
    };
    let (inputs, outputs) = (size("in_features")?, size("out_features")?);
    if inputs != width {
        let (value, expected) = (inputs.to_string(), format!("{width}, the width of what comes before"));
        return Err(Error::ConfigValue { path, field: "in_features".into(), value, expected });
    }
    for field in ["module_input_name", "module_output_name"] {
        if let Some(value) = config[field].as_str().filter(|value| *value != place.value()) {
            return Err(Error::Unsupported { path, field, value: value.to_owned(), supported: place.values() });
        }
    }
    let activation = match config["activation_function"].as_str() {
        Some(activation) => activation.rsplit('.').next().unwrap_or_default(),
        None => place.default_activation(),
    };
    let activation = match activation {
        "Identity" => None,
        "Tanh" => Some(Activation::Tanh),
        "ReLU" => Some(Activation::Relu),
        "GELU" => Some(Activation::Gelu),
        other => {
            let (field, value) = ("activation_function", other.to_owned());
            return Err(Error::Unsupported { path, field, value, supported: ACTIVATIONS });
        }
    };
    if config["use_residual"].as_bool() == Some(true) {
        let (field, value) = ("use_residual", "true".to_owned());
        return Err(Error::Unsupported { path, field, value, supported: &["false"] });
    }
    let files = WeightsFiles::open_one(checkpoint, &format!("{folder}/model.safetensors"))?;
    let weights = Weights::read(&files, "linear.weight")?;
    let weight = weights.values(&weights.full("linear.weight"), &[outputs, inputs])?;
    let read_bias = || weights.values(&weights.full("linear.bias"), &[outputs]);
    let bias = config["bias"].as_bool().unwrap_or(true).then(read_bias).transpose()?;
    Ok(Step { inputs, outputs, weight, bias, activation })
}
