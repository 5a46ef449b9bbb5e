//! The model card: what is known about a model before it is run.

use serde::{Deserialize, Serialize};

/// A model's sources, shape and manners. Read from `models/NAME.toml` and stored beside the installed model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// Name under which the model is installed: lower-case letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// One sentence for people.
    #[serde(default)]
    pub description: String,
    /// SPDX identifier of the weights' licence; empty when unknown.
    #[serde(default)]
    pub licence: String,
    /// Values in an embedding.
    pub dimensions: usize,
    /// How token states become one vector.
    pub pooling: Pooling,
    /// Whether the pooled vector is scaled to unit norm.
    pub normalize: bool,
    /// Window that retrieves best, in ids handed to the model (special tokens, prompt and title included).
    pub recommended_window_tokens: usize,
    /// Most ids that the model takes.
    pub max_tokens: usize,
    /// Texts put before what is encoded.
    #[serde(default)]
    pub prompts: Prompts,
    /// Where the files can be had.
    #[serde(default)]
    pub source: CardSource,
    /// Every file of the checkpoint that is used, with its hash.
    #[serde(default)]
    pub files: Vec<CardFile>,
}

/// How token states become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Pooling {
    /// Average over real tokens.
    Mean,
    /// State of the first token.
    Cls,
}

/// Texts put before what is encoded; empty where the model wants none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prompts {
    /// Before a query.
    pub query: String,
    /// Before a passage.
    pub passage: String,
}

/// Where a model's files can be had.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CardSource {
    /// Hugging Face id, for people and for caches of the hub.
    pub hugging_face: String,
    /// A pinned PyPI requirement whose wheel carries the files, such as `name==1.0`.
    pub pypi: String,
    /// Sha256 of that wheel, lower-case hex.
    pub wheel_sha256: String,
    /// Folder inside the wheel that holds the files.
    pub wheel_folder: String,
    /// The local folder that the model was imported from, where no card names its sources.
    pub folder: String,
}

/// One file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardFile {
    /// Path inside the checkpoint, with `/`.
    pub path: String,
    /// Sha256 of the file, lower-case hex.
    pub sha256: String,
}
