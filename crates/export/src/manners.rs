//! What a folder recommends beside its weights: prompts, windows, lower case, lengths of vectors.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use berth_types::Prompts;
use serde_json::Value;

use crate::Error;
use crate::sentence::{SETTINGS, read_json};

const SENTENCE: &str = "sentence_bert_config.json";
const TOKENIZER: &str = "tokenizer_config.json";
/// Tokenizers without a limit hold 10³⁰ in `model_max_length`; no window comes near this.
const NO_LIMIT: u64 = 1 << 20;
/// Names under which the prompt for queries is kept: sentence-transformers' own, then those of models with prompts for
/// several tasks (nomic-embed, FRIDA; jina-embeddings; EmbeddingGemma; stella; e5-mistral).
const QUERY: [&str; 7] =
    ["query", "search_query", "retrieval.query", "retrieval_query", "Retrieval-query", "s2p_query", "web_search_query"];
/// The same for passages; first the names in the order in which sentence-transformers looks.
const PASSAGE: [&str; 8] = [
    "document",
    "passage",
    "corpus",
    "search_document",
    "retrieval.passage",
    "retrieval_document",
    "retrieval_passage",
    "Retrieval-document",
];

/// What a folder recommends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manners {
    pub(crate) prompts: Prompts,
    /// Ids of a row, special tokens among them.
    pub(crate) recommended_tokens: Option<usize>,
    pub(crate) lowercase: bool,
    pub(crate) matryoshka: Vec<usize>,
}

/// Reads the files of sentence-transformers and of the tokenizer, as far as they are there; `config` is `config.json`.
///
/// # Errors
/// `ConfigSyntax`, `ConfigValue`, `PathOutside` or `Read`, naming the file.
pub(crate) fn read(checkpoint: &Path, config: &Value) -> Result<Manners, Error> {
    let settings = read_json(checkpoint, SETTINGS)?.unwrap_or_default();
    let sentence = read_json(checkpoint, SENTENCE)?.unwrap_or_default();
    let tokenizer = read_json(checkpoint, TOKENIZER)?.unwrap_or_default();
    let named_prompts = named_prompts(checkpoint, &settings)?;
    let window = |value: &Value| value.as_u64().filter(|&tokens| (1..NO_LIMIT).contains(&tokens));
    let recommended = window(&sentence["max_seq_length"]).or_else(|| window(&tokenizer["model_max_length"]));
    Ok(Manners {
        prompts: prompts(checkpoint, &settings, &named_prompts)?,
        recommended_tokens: recommended.map(|tokens| tokens as usize),
        lowercase: sentence["do_lower_case"].as_bool().unwrap_or(false),
        matryoshka: matryoshka(&[&settings, config]),
    })
}

fn named_prompts(checkpoint: &Path, settings: &Value) -> Result<BTreeMap<String, String>, Error> {
    let prompts = match &settings["prompts"] {
        Value::Null => return Ok(BTreeMap::new()),
        Value::Object(prompts) => prompts,
        other => return Err(wrong(checkpoint, "prompts", other, "an object of prompts by name")),
    };
    let named = prompts.iter().map(|(name, text)| match text {
        Value::String(text) => Ok((name.clone(), text.clone())),
        Value::Null => Ok((name.clone(), String::new())),
        other => Err(wrong(checkpoint, format!("prompts.{name}"), other, "a text")),
    });
    named.collect()
}

/// The prompts of queries and passages: those of that name, else the default one.
fn prompts(checkpoint: &Path, settings: &Value, named: &BTreeMap<String, String>) -> Result<Prompts, Error> {
    let otherwise = match settings["default_prompt_name"].as_str() {
        None => "",
        Some(name) => named.get(name).ok_or_else(|| {
            let names = named.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            wrong(checkpoint, "default_prompt_name", &settings["default_prompt_name"], format!("one of {names}"))
        })?,
    };
    let prompt = |names: &[&str]| names.iter().find_map(|name| named.get(*name)).map_or(otherwise, String::as_str);
    let (query, passage) = (prompt(&QUERY).to_owned(), prompt(&PASSAGE).to_owned());
    Ok(Prompts { query, passage, named: named.clone() })
}

/// Lengths to which vectors may be cut, the longest first, from whatever field holds them.
fn matryoshka(places: &[&Value]) -> Vec<usize> {
    let mut lengths = Vec::new();
    for place in places {
        for field in ["matryoshka_dims", "matryoshka_dimensions", "truncate_dim"] {
            let listed = place[field].as_array().map_or(std::slice::from_ref(&place[field]), Vec::as_slice);
            lengths.extend(listed.iter().filter_map(Value::as_u64).filter(|&length| length > 0));
        }
    }
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    lengths.dedup();
    lengths.into_iter().map(|length| length as usize).collect()
}

fn wrong(checkpoint: &Path, field: impl Into<Cow<'static, str>>, value: &Value, expected: impl Into<String>) -> Error {
    let (path, value, expected) = (checkpoint.join(SETTINGS), value.to_string(), expected.into());
    Error::ConfigValue { path, field: field.into(), value, expected }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn of(files: &[(&str, Value)]) -> Result<Manners, Error> {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in files {
            fs::write(folder.path().join(name), value.to_string()).unwrap();
        }
        read(folder.path(), &json!({}))
    }

    fn prompts_of(settings: Value) -> (String, String) {
        let prompts = of(&[(SETTINGS, settings)]).unwrap().prompts;
        (prompts.query, prompts.passage)
    }

    #[test]
    fn prompts_are_found_by_name_and_by_default() {
        let both = |query: &str, passage: &str| (query.to_owned(), passage.to_owned());
        assert_eq!(prompts_of(json!({})), both("", ""));
        assert_eq!(prompts_of(json!({"prompts": {"query": "q: ", "passage": "p: "}})), both("q: ", "p: "));
        assert_eq!(prompts_of(json!({"prompts": {"document": "d: ", "passage": "p: "}})), both("", "d: "));
        let default = json!({"prompts": {"query": "q: ", "sts": "s: "}, "default_prompt_name": "sts"});
        assert_eq!(prompts_of(default), both("q: ", "s: "));
    }

    #[test]
    fn prompts_of_tasks_are_found_and_kept() {
        let settings = json!({"prompts": {"search_query": "sq: ", "search_document": "sd: ", "clustering": "c: "}});
        assert_eq!(prompts_of(settings.clone()), ("sq: ".to_owned(), "sd: ".to_owned()));
        let named = of(&[(SETTINGS, settings)]).unwrap().prompts.named;
        assert_eq!(
            named.keys().map(String::as_str).collect::<Vec<_>>(),
            ["clustering", "search_document", "search_query"]
        );
        let error = of(&[(SETTINGS, json!({"prompts": {"query": 5}}))]).unwrap_err().to_string();
        assert!(error.contains("prompts.query is 5, expected a text"), "{error}");
    }

    #[test]
    fn a_default_prompt_that_is_not_there_is_named() {
        let error = of(&[(SETTINGS, json!({"prompts": {"a": "b"}, "default_prompt_name": "c"}))]).unwrap_err();
        assert!(error.to_string().contains("default_prompt_name is \"c\", expected one of a"), "{error}");
    }

    #[test]
    fn the_window_is_the_sentence_encoders_else_the_tokenizers() {
        let window = |files: &[(&str, Value)]| of(files).unwrap().recommended_tokens;
        let tokenizer = (TOKENIZER, json!({"model_max_length": 512}));
        assert_eq!(window(&[]), None);
        assert_eq!(window(&[(TOKENIZER, json!({"model_max_length": 1e30}))]), None);
        assert_eq!(window(std::slice::from_ref(&tokenizer)), Some(512));
        assert_eq!(window(&[tokenizer, (SENTENCE, json!({"max_seq_length": 256}))]), Some(256));
    }

    #[test]
    fn lengths_of_vectors_are_collected() {
        let settings = json!({"truncate_dim": 256, "matryoshka_dims": [64, 768, 256]});
        assert_eq!(of(&[(SETTINGS, settings)]).unwrap().matryoshka, [768, 256, 64]);
    }
}
