//! The files that make a checkpoint what it is.

use std::path::Path;

use crate::sentence::Modules;

/// Files that shape what a model gives, beside weights and modules.
const NAMED: [&str; 17] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
    "spm.model",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "artifact.metadata",
    "model.safetensors.index.json",
];
/// Files of a module.
const OF_MODULES: [&str; 2] = ["config.json", "model.safetensors"];

/// Those of the files that are there, sorted; `weights` are the names of the files with weights.
pub(crate) fn identifying(checkpoint: &Path, modules: &Modules, weights: &[String]) -> Vec<String> {
    let named = NAMED.iter().map(|name| (*name).to_owned());
    let of_modules = modules.folders.iter().flat_map(|folder| OF_MODULES.map(|name| format!("{folder}/{name}")));
    let all = named.chain(of_modules).chain(weights.iter().cloned());
    let mut there: Vec<String> = all.filter(|name| checkpoint.join(name).is_file()).collect();
    there.sort_unstable();
    there.dedup();
    there
}
