//! What a sentence-transformers folder says about the way from token states to what is wanted: `modules.json` and what
//! it names.

use std::fs;
use std::io;
use std::path::Path;

use berth_types::Pooling;
use serde_json::Value;

use crate::Error;
use crate::dense::{self, Place, Step};
use crate::paths::inside;

pub(crate) const MODULES: &str = "modules.json";
pub(crate) const SETTINGS: &str = "config_sentence_transformers.json";
/// Kinds of modules that are understood, in each kind of folder.
const SENTENCE_KINDS: &[&str] = &["Transformer", "Pooling", "Dense", "Normalize", "Dropout"];
const SPARSE_KINDS: &[&str] = &["Transformer", "MLMTransformer", "SpladePooling"];
const LATE_KINDS: &[&str] = &["Transformer", "Dense", "MultiVectorMask", "Normalize"];
const PAIR_KINDS: &[&str] = &["Transformer"];
/// Values of `model_type` in the settings that are understood.
const MODEL_TYPES: &[&str] = &["SentenceTransformer", "SparseEncoder", "CrossEncoder", "MultiVectorEncoder", "ColBERT"];
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

/// The way from token states to what is wanted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Modules {
    pub(crate) kind: Kind,
    pub(crate) pooling: Pooling,
    pub(crate) normalize: bool,
    /// Products after pooling.
    pub(crate) steps: Vec<Step>,
    /// Products on the state of each token, in a folder of late interaction.
    pub(crate) token_steps: Vec<Step>,
    /// Whether tokens of the prompt count when states are pooled.
    pub(crate) pools_prompt: bool,
    /// Folder of the module that says which vectors of tokens are compared.
    pub(crate) mask: Option<String>,
    /// Folders of the modules, without the encoder's.
    pub(crate) folders: Vec<String>,
}

/// What a folder was saved as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Without `modules.json`.
    Plain,
    Sentence,
    Sparse,
    /// A cross-encoder, for pairs.
    Pair,
    Late,
}

/// Reads the modules of the folder `checkpoint`, whose states are `hidden` wide. A plain checkpoint, without
/// `modules.json`, pools by the mean (or as its `1_Pooling` says) to unit norm.
///
/// # Errors
/// `Unsupported` for a module or pooling that is not known; `ConfigSyntax`, `ConfigValue`, `PathOutside` and what is
/// wrong with a `Dense` module's weights.
pub(crate) fn read(checkpoint: &Path, hidden: usize) -> Result<Modules, Error> {
    let mut read = Modules {
        kind: Kind::Plain,
        pooling: Pooling::Mean,
        normalize: true,
        steps: Vec::new(),
        token_steps: Vec::new(),
        pools_prompt: true,
        mask: None,
        folders: Vec::new(),
    };
    let Some(modules) = read_json(checkpoint, MODULES)? else {
        if let Some(pooling) = read_pooling(checkpoint, "1_Pooling")? {
            (read.pooling, read.pools_prompt) = pooling;
            read.folders.push("1_Pooling".to_owned());
        }
        return Ok(read);
    };
    let path = checkpoint.join(MODULES);
    let wrong = |value: &Value, expected: &str| Error::ConfigValue {
        path: path.clone(),
        field: "type".into(),
        value: value.to_string(),
        expected: expected.to_owned(),
    };
    let Value::Array(modules) = &modules else { return Err(wrong(&modules, "a list of modules")) };
    let mut types = Vec::new();
    for module in modules {
        types.push(module["type"].as_str().ok_or_else(|| wrong(module, "a module with a type"))?);
    }
    read.kind = kind_of(checkpoint, &types)?;
    read.normalize = false;
    let mut width = hidden;
    for (module, full) in modules.iter().zip(&types) {
        let kind = full.rsplit('.').next().unwrap_or_default();
        if !read.kind.modules().contains(&kind) {
            let value = kind.to_owned();
            return Err(Error::Unsupported { path, field: "type", value, supported: read.kind.modules() });
        }
        if read.normalize && kind != "Dropout" {
            return Err(wrong(module, "nothing after Normalize"));
        }
        let folder = module["path"].as_str().unwrap_or_default();
        if !folder.is_empty() && !kind.ends_with("Transformer") {
            read.folders.push(folder.to_owned());
        }
        match (kind, read.kind) {
            ("Pooling", _) => {
                let pooling = read_pooling(checkpoint, folder)?;
                (read.pooling, read.pools_prompt) =
                    pooling.ok_or_else(|| Error::FileMissing { path: checkpoint.join(folder), hint: None })?;
            }
            ("SpladePooling", _) => check_splade(checkpoint, folder)?,
            ("Dense", kind) => {
                let place = if kind == Kind::Late { Place::Tokens } else { Place::Vector };
                let step = dense::read(checkpoint, folder, width, place)?;
                width = step.outputs;
                if kind == Kind::Late { read.token_steps.push(step) } else { read.steps.push(step) }
            }
            ("MultiVectorMask", _) => read.mask = Some(folder.to_owned()),
            ("Normalize", _) => read.normalize = true,
            // An encoder elsewhere would have a config.json of its own.
            _ if kind.ends_with("Transformer") && !folder.is_empty() => {
                return Err(Error::ConfigValue {
                    path,
                    field: "path".into(),
                    value: format!("{folder:?}"),
                    expected: format!("\"\", for {kind}: move the files of {folder} up into the folder itself"),
                });
            }
            _ => {}
        }
    }
    // PyLate scales the vectors of tokens itself, without a module for it.
    let scaled_outside = read.kind == Kind::Late && types.iter().any(|full| full.starts_with("pylate."));
    if read.kind == Kind::Late && !read.normalize && !scaled_outside {
        return Err(wrong(&Value::Null, "a module Normalize at the end: vectors that are compared have unit norm"));
    }
    Ok(read)
}

impl Kind {
    fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Plain | Self::Sentence => SENTENCE_KINDS,
            Self::Sparse => SPARSE_KINDS,
            Self::Late => LATE_KINDS,
            Self::Pair => PAIR_KINDS,
        }
    }
}

/// What the folder says that it is; older ones do not, but their modules do.
fn kind_of(checkpoint: &Path, types: &[&str]) -> Result<Kind, Error> {
    let settings = read_json(checkpoint, SETTINGS)?.unwrap_or_default();
    let named = |name: &str| types.iter().any(|full| full.rsplit('.').next() == Some(name));
    Ok(match settings["model_type"].as_str() {
        Some("SentenceTransformer") => Kind::Sentence,
        Some("SparseEncoder") => Kind::Sparse,
        Some("CrossEncoder") => Kind::Pair,
        Some("MultiVectorEncoder" | "ColBERT") => Kind::Late,
        Some(other) => {
            let (path, value) = (checkpoint.join(SETTINGS), other.to_owned());
            return Err(Error::Unsupported { path, field: "model_type", value, supported: MODEL_TYPES });
        }
        None if named("SpladePooling") => Kind::Sparse,
        None if named("MultiVectorMask") || types.iter().any(|full| full.starts_with("pylate.")) => Kind::Late,
        None => Kind::Sentence,
    })
}

/// Refuses what the head `sparse` does not compute.
fn check_splade(checkpoint: &Path, folder: &str) -> Result<(), Error> {
    let name = format!("{folder}/config.json");
    let config = read_json(checkpoint, &name)?.unwrap_or_default();
    let fields: [(&'static str, &'static [&'static str]); 2] =
        [("pooling_strategy", &["max"]), ("activation_function", &["relu"])];
    for (field, supported) in fields {
        if let Some(value) = config[field].as_str().filter(|value| !supported.contains(value)) {
            let (path, value) = (checkpoint.join(name), value.to_owned());
            return Err(Error::Unsupported { path, field, value, supported });
        }
    }
    Ok(())
}

/// The way of pooling, and whether the prompt's tokens count.
fn read_pooling(checkpoint: &Path, folder: &str) -> Result<Option<(Pooling, bool)>, Error> {
    let name = format!("{folder}/config.json");
    let Some(config) = read_json(checkpoint, &name)? else { return Ok(None) };
    let path = checkpoint.join(&name);
    let pools_prompt = config["include_prompt"].as_bool().unwrap_or(true);
    let unsupported =
        |field, value: String| Error::Unsupported { path: path.clone(), field, value, supported: POOLING_NAMES };
    // Newer folders name the way, older ones have a switch for each.
    if let Some(mode) = config["pooling_mode"].as_str() {
        let found = POOLING_NAMES.iter().position(|name| *name == mode || name.trim_end_matches("_tokens") == mode);
        let found = found.ok_or_else(|| unsupported("pooling_mode", mode.to_owned()))?;
        return Ok(Some((POOLINGS[found].1, pools_prompt)));
    }
    let on = config.as_object().into_iter().flatten();
    let on = on.filter(|(name, value)| name.starts_with("pooling_mode_") && value.as_bool() == Some(true));
    let asked: Vec<&str> = on.map(|(name, _)| name.as_str()).collect();
    match asked[..] {
        [one] => match POOLINGS.iter().find(|(name, _)| *name == one) {
            Some(&(_, pooling)) => Ok(Some((pooling, pools_prompt))),
            None => Err(unsupported("pooling_mode", one.to_owned())),
        },
        _ => Err(unsupported("pooling_mode", asked.join(" and "))),
    }
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
