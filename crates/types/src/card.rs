//! The model card: what is known about a model before it is run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Head, Pooling, Precision, Quantization};

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
    /// Length of the texts that the model was trained with, in ids; none where it is not known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub trained_tokens: Option<usize>,
    /// Languages that the model was trained for, as codes of ISO 639-1; empty where it is not known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub languages: Vec<String>,
    /// Whether text is lower-cased before the tokenizer sees it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lowercase: bool,
    /// What the model was trained for, the main head first; sentence embeddings when empty.
    #[serde(default, skip_serializing_if = "is_default")]
    pub heads: Vec<Head>,
    /// Names of the labels, in the order of the scores, of a model that classifies.
    #[serde(default, skip_serializing_if = "is_default")]
    pub labels: Vec<String>,
    /// How the scores of the labels are read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub problem: Problem,
    /// Lengths to which a vector may be cut, where the model was trained for that (Matryoshka).
    #[serde(default, skip_serializing_if = "is_default")]
    pub matryoshka: Vec<usize>,
    /// Texts put before what is encoded.
    #[serde(default)]
    pub prompts: Prompts,
    /// Late interaction, where the model was trained for that.
    #[serde(default, skip_serializing_if = "is_default")]
    pub late: Option<LateCard>,
    /// The graphs that others exported, where the model is not made from a checkpoint's weights.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ready_made: Option<ReadyMade>,
    /// What was chosen for the graphs in integers, when the model was imported.
    #[serde(default, skip_serializing_if = "is_default")]
    pub quantization: Quantization,
    /// Where the files can be had.
    #[serde(default)]
    pub source: CardSource,
    /// Every file of the checkpoint that is used, with its hash.
    #[serde(default)]
    pub files: Vec<CardFile>,
}

/// How the scores of a classifier's labels are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Problem {
    /// One label holds: softmax.
    #[default]
    SingleLabel,
    /// Each label holds or not: a sigmoid each.
    MultiLabel,
    /// The scores are values: as they are.
    Regression,
}

/// How a model of late interaction reads queries and passages (ColBERT).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LateCard {
    /// Values in a token's vector.
    pub dimensions: usize,
    /// Text of the token put after the first special token of a query; empty when there is none.
    #[serde(default)]
    pub query_marker: String,
    /// The same for a passage.
    #[serde(default)]
    pub passage_marker: String,
    /// Ids to which a query is filled up with mask tokens; 0 when it is not.
    #[serde(default)]
    pub query_tokens: usize,
    /// Whether the vectors of punctuation in passages are left out.
    #[serde(default)]
    pub skip_punctuation: bool,
}

/// Graphs that others exported: how their files, inputs and output are called.
///
/// All graphs of a model take and give the same; they differ in precision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadyMade {
    /// Name of the output that is read.
    pub output: String,
    /// What that output is. Sentence embeddings are pooled from `tokens` outside of the graph.
    pub head: Head,
    /// Lengths in the output's shape: 2 is `[batch, values]`, 3 is `[batch, sequence, values]`.
    pub rank: usize,
    /// Values in the output's last axis; none where the graph leaves it open.
    #[serde(default, skip_serializing_if = "is_default")]
    pub width: Option<usize>,
    /// Files in which the graphs keep weights outside of themselves. Each is listed and hashed like the graphs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external: Vec<String>,
    /// Files of the graphs, as paths inside the model's folder with `/`.
    pub graphs: BTreeMap<Precision, String>,
    /// What goes into each input, by the input's name.
    pub inputs: BTreeMap<String, InputMeaning>,
}

/// What an input of a graph takes: integers `[batch, sequence]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InputMeaning {
    /// Vocabulary ids.
    Ids,
    /// 1 for a token, 0 for padding.
    Mask,
    /// The number of the text that a token belongs to: 0, or 1 for the second text of a pair.
    Types,
    /// A token's place in the row, from 0.
    Positions,
}

/// Texts put before what is encoded; empty where the model wants none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prompts {
    /// Before a query.
    pub query: String,
    /// Before a passage.
    pub passage: String,
    /// All that the model has a name for, for texts of other tasks.
    #[serde(skip_serializing_if = "is_default")]
    pub named: BTreeMap<String, String>,
}

impl Prompts {
    /// Whether no text ever stands before another.
    pub fn are_empty(&self) -> bool {
        [&self.query, &self.passage].into_iter().chain(self.named.values()).all(String::is_empty)
    }
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

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_made_graph_is_read_back_as_it_was_written() {
        let ready = ReadyMade {
            output: "last_hidden_state".to_owned(),
            head: Head::Tokens,
            rank: 3,
            width: Some(384),
            external: vec!["onnx/model.onnx_data".to_owned()],
            graphs: Precision::ALL.map(|precision| (precision, format!("onnx/{precision}.onnx"))).into(),
            inputs: [("ids".to_owned(), InputMeaning::Ids), ("mask".to_owned(), InputMeaning::Mask)].into(),
        };
        let text = serde_json::to_string(&ready).unwrap();
        assert!(text.contains(r#""int8-static":"onnx/int8-static.onnx""#), "{text}");
        assert_eq!(serde_json::from_str::<ReadyMade>(&text).unwrap(), ready);
    }
}
