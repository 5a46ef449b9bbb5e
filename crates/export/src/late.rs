//! How a model of late interaction reads queries and passages, from the files of the three libraries that save such
//! models: ColBERT itself (`artifact.metadata`), PyLate, and sentence-transformers from version 6 on.

use std::path::Path;

use berth_types::LateCard;
use serde_json::Value;

use crate::Error;
use crate::sentence::{Kind, Modules, SETTINGS, read_json};

const METADATA: &str = "artifact.metadata";
const SENTENCE: &str = "sentence_bert_config.json";
/// Ids of a query when no file says, in all three libraries.
const QUERY_TOKENS: u64 = 32;
/// Python's `string.punctuation`, which all three leave out of passages by default.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// Reads how the folder's model makes vectors of `dimensions` values. Returns with it the window of passages, where a
/// file says one.
///
/// # Errors
/// `Unsupported` for expansion or skipped words of another kind, `ConfigSyntax` and `Read`.
pub(crate) fn read(
    checkpoint: &Path,
    modules: &Modules,
    dimensions: usize,
) -> Result<(LateCard, Option<usize>), Error> {
    let settings = read_json(checkpoint, SETTINGS)?.unwrap_or_default();
    if modules.kind == Kind::Plain {
        colbert(checkpoint, dimensions)
    } else if modules.mask.is_some() && settings["query_prefix"].is_null() {
        sentence_transformers(checkpoint, modules, &settings, dimensions)
    } else {
        pylate(checkpoint, &settings, dimensions)
    }
}

fn colbert(checkpoint: &Path, dimensions: usize) -> Result<(LateCard, Option<usize>), Error> {
    let metadata = read_json(checkpoint, METADATA)?.unwrap_or_default();
    refuse_attention(checkpoint, METADATA, "attend_to_mask_tokens", &metadata["attend_to_mask_tokens"])?;
    let word = |field: &str, otherwise: &str| metadata[field].as_str().unwrap_or(otherwise).to_owned();
    let card = LateCard {
        dimensions,
        query_marker: word("query_token_id", "[unused0]"),
        passage_marker: word("doc_token_id", "[unused1]"),
        query_tokens: metadata["query_maxlen"].as_u64().unwrap_or(QUERY_TOKENS) as usize,
        skip_punctuation: metadata["mask_punctuation"].as_bool().unwrap_or(true),
    };
    Ok((card, tokens(&metadata["doc_maxlen"])))
}

fn pylate(checkpoint: &Path, settings: &Value, dimensions: usize) -> Result<(LateCard, Option<usize>), Error> {
    let expands = settings["do_query_expansion"].as_bool().unwrap_or(true);
    if expands {
        let field = "attend_to_expansion_tokens";
        refuse_attention(checkpoint, SETTINGS, field, &settings[field])?;
    }
    let word = |field: &str, otherwise: &str| settings[field].as_str().unwrap_or(otherwise).to_owned();
    let query_tokens = settings["query_length"].as_u64().unwrap_or(QUERY_TOKENS) as usize;
    let card = LateCard {
        dimensions,
        query_marker: word("query_prefix", "[Q] "),
        passage_marker: word("document_prefix", "[D] "),
        query_tokens: if expands { query_tokens } else { 0 },
        skip_punctuation: skips_punctuation(checkpoint, SETTINGS, &settings["skiplist_words"], true)?,
    };
    Ok((card, tokens(&settings["document_length"])))
}

fn sentence_transformers(
    checkpoint: &Path,
    modules: &Modules,
    settings: &Value,
    dimensions: usize,
) -> Result<(LateCard, Option<usize>), Error> {
    let encoder = read_json(checkpoint, SENTENCE)?.unwrap_or_default();
    let expansion = &encoder["query_expansion"];
    let mut query_tokens = 0;
    if expansion.is_object() {
        let strategy = expansion["strategy"].as_str().unwrap_or("fixed");
        if strategy != "fixed" {
            let (path, value) = (checkpoint.join(SENTENCE), strategy.to_owned());
            return Err(Error::Unsupported { path, field: "query_expansion", value, supported: &["fixed"] });
        }
        refuse_attention(checkpoint, SENTENCE, "query_expansion.attend", &expansion["attend"])?;
        query_tokens = expansion["length"].as_u64().unwrap_or(QUERY_TOKENS) as usize;
    }
    let name = format!("{}/config.json", modules.mask.as_deref().unwrap_or_default());
    let mask = read_json(checkpoint, &name)?.unwrap_or_default();
    let card = LateCard {
        dimensions,
        query_marker: settings["prompts"]["query"].as_str().unwrap_or_default().to_owned(),
        passage_marker: settings["prompts"]["document"].as_str().unwrap_or_default().to_owned(),
        query_tokens,
        skip_punctuation: skips_punctuation(checkpoint, &name, &mask["skiplist_words"], false)?,
    };
    Ok((card, tokens(&encoder["document_length"])))
}

fn tokens(value: &Value) -> Option<usize> {
    value.as_u64().filter(|&tokens| tokens > 0).map(|tokens| tokens as usize)
}

/// Rows here let nothing attend to the mask tokens that fill a query up, which is how ColBERT was trained.
fn refuse_attention(checkpoint: &Path, file: &str, field: &'static str, value: &Value) -> Result<(), Error> {
    if value.as_bool() != Some(true) {
        return Ok(());
    }
    Err(Error::Unsupported { path: checkpoint.join(file), field, value: "true".to_owned(), supported: &["false"] })
}

/// Whether the words whose vectors are left out are the punctuation; nothing but that or no word at all is known.
fn skips_punctuation(checkpoint: &Path, file: &str, words: &Value, otherwise: bool) -> Result<bool, Error> {
    let Value::Array(words) = words else { return Ok(otherwise) };
    if words.is_empty() {
        return Ok(false);
    }
    let mark = |word: &&str| word.chars().count() == 1 && PUNCTUATION.contains(*word);
    let marks: std::collections::BTreeSet<&str> = words.iter().filter_map(Value::as_str).filter(mark).collect();
    if marks.len() == PUNCTUATION.len() && words.len() == marks.len() {
        return Ok(true);
    }
    let value = words.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let supported = &["none", "the 32 marks of ASCII punctuation"];
    Err(Error::Unsupported { path: checkpoint.join(file), field: "skiplist_words", value, supported })
}
