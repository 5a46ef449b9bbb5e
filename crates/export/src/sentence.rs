//! What a sentence-transformers folder says about the way from token states to a vector: `modules.json` and what it names.

use std::fs;
use std::io;
use std::path::Path;

use berth_types::Pooling;
use serde_json::Value;

use crate::Error;
use crate::checkpoint::Weights;
use crate::paths::inside;
use crate::shape::Activation;
use crate::shards::WeightsFiles;

const MODULES: &str = "modules.json";
/// Kinds of modules that are understood.
const KINDS: &[&str] = &["Transformer", "Pooling", "Dense", "Normalize", "Dropout"];
/// Fields of a pooling module that ask for one way of pooling each.
const POOLINGS: [(&str, Pooling); 6] = [
    ("pooling_mode_mean_tokens", Pooling::Mean),
    ("pooling_mode_cls_token", Pooling::Cls),
    ("pooling_mode_max_tokens", Pooling::Max),
    ("pooling_mode_mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
    ("pooling_mode_weightedmean_tokens", Pooling::WeightedMean),
    ("pooling_mode_lasttoken", Pooling::LastToken),
];
const POOLING_NAMES: &[&str] = &["mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"];
const ACTIVATIONS: &[&str] = &["Identity", "Tanh", "ReLU", "GELU"];

/// The way from token states to a vector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Modules {
    pub(crate) pooling: Pooling,
    pub(crate) normalize: bool,
    pub(crate) steps: Vec<Step>,
}

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

/// Reads the modules of the folder `checkpoint`, whose states are `hidden` wide. A plain checkpoint, without
/// `modules.json`, pools by the mean (or as its `1_Pooling` says) to unit norm.
///
/// # Errors
/// `Unsupported` for a module or pooling that is not known; `ConfigSyntax`, `ConfigValue`, `PathOutside` and what is
/// wrong with a `Dense` module's weights.
pub(crate) fn read(checkpoint: &Path, hidden: usize) -> Result<Modules, Error> {
    let Some(modules) = read_json(checkpoint, MODULES)? else {
        let pooling = read_pooling(checkpoint, "1_Pooling")?.unwrap_or_default();
        return Ok(Modules { pooling, normalize: true, steps: Vec::new() });
    };
    let path = checkpoint.join(MODULES);
    let wrong = |value: &Value, expected: &str| Error::ConfigValue {
        path: path.clone(),
        field: "type",
        value: value.to_string(),
        expected: expected.to_owned(),
    };
    let Value::Array(modules) = &modules else { return Err(wrong(&modules, "a list of modules")) };
    let mut read = Modules { pooling: Pooling::Mean, normalize: false, steps: Vec::new() };
    let mut width = hidden;
    for module in modules {
        let kind = module["type"].as_str().ok_or_else(|| wrong(module, "a module with a type"))?;
        let kind = kind.rsplit('.').next().unwrap_or_default();
        let folder = module["path"].as_str().unwrap_or_default();
        if read.normalize && kind != "Dropout" {
            return Err(wrong(module, "nothing after Normalize"));
        }
        match kind {
            "Transformer" | "Dropout" => {}
            "Pooling" => {
                let pooling = read_pooling(checkpoint, folder)?;
                read.pooling =
                    pooling.ok_or_else(|| Error::FileMissing { path: checkpoint.join(folder), hint: None })?;
            }
            "Dense" => {
                let step = read_dense(checkpoint, folder, width)?;
                width = step.outputs;
                read.steps.push(step);
            }
            "Normalize" => read.normalize = true,
            _ => {
                let value = kind.to_owned();
                return Err(Error::Unsupported { path, field: "type", value, supported: KINDS });
            }
        }
    }
    Ok(read)
}

fn read_pooling(checkpoint: &Path, folder: &str) -> Result<Option<Pooling>, Error> {
    let name = format!("{folder}/config.json");
    let Some(config) = read_json(checkpoint, &name)? else { return Ok(None) };
    let path = checkpoint.join(&name);
    let unsupported =
        |field, value: String| Error::Unsupported { path: path.clone(), field, value, supported: POOLING_NAMES };
    // Newer folders name the way, older ones have a switch for each.
    if let Some(mode) = config["pooling_mode"].as_str() {
        let found = POOLING_NAMES.iter().position(|name| *name == mode || name.trim_end_matches("_tokens") == mode);
        return Ok(Some(POOLINGS[found.ok_or_else(|| unsupported("pooling_mode", mode.to_owned()))?].1));
    }
    let on = config.as_object().into_iter().flatten();
    let on = on.filter(|(name, value)| name.starts_with("pooling_mode_") && value.as_bool() == Some(true));
    let asked: Vec<&str> = on.map(|(name, _)| name.as_str()).collect();
    match asked[..] {
        [one] => match POOLINGS.iter().find(|(name, _)| *name == one) {
            Some(&(_, pooling)) => Ok(Some(pooling)),
            None => Err(unsupported("pooling_mode", one.to_owned())),
        },
        _ => Err(unsupported("pooling_mode", asked.join(" and "))),
    }
}

fn read_dense(checkpoint: &Path, folder: &str, width: usize) -> Result<Step, Error> {
    let name = format!("{folder}/config.json");
    let path = checkpoint.join(&name);
    let config = read_json(checkpoint, &name)?.ok_or_else(|| Error::FileMissing { path: path.clone(), hint: None })?;
    let size = |field: &'static str| {
        let size = config[field].as_u64().filter(|size| (1..=1 << 17).contains(size)).map(|size| size as usize);
        size.ok_or_else(|| Error::ConfigValue {
            path: path.clone(),
            field,
            value: config[field].to_string(),
            expected: "a whole number from 1 to 131072".to_owned(),
        })
    };
    let (inputs, outputs) = (size("in_features")?, size("out_features")?);
    if inputs != width {
        let (value, expected) = (inputs.to_string(), format!("{width}, the width of what comes before"));
        return Err(Error::ConfigValue { path, field: "in_features", value, expected });
    }
    let activation = config["activation_function"].as_str().unwrap_or("torch.nn.modules.activation.Tanh");
    let activation = match activation.rsplit('.').next().unwrap_or_default() {
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

/// Reads a JSON file of the checkpoint; none when it is not there.
pub(crate) fn read_json(checkpoint: &Path, name: &str) -> Result<Option<Value>, Error> {
    let path = inside(checkpoint, name)?;
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Read { path, source }),
    };
    let value = serde_json::from_slice(&bytes);
    value.map(Some).map_err(|source| Error::ConfigSyntax { path, source: Some(source) })
}
