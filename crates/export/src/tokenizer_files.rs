//! The `tokenizer.json` of a checkpoint: the one in its folder, or one built from the older files of a vocabulary.
//!
//! What transformers' tokenizers make of the same folder is the measure. Their settings stand in `tokenizer_config.json`,
//! and where that and `tokenizer.json` do not agree on lower case, accents or ideographs, the former wins.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::Error;
use crate::paths::inside;
use crate::sentence::read_json;

const TOKENIZER: &str = "tokenizer.json";
const SETTINGS: &str = "tokenizer_config.json";
/// Switches of BERT's normaliser: the name in `tokenizer_config.json`, and the one in `tokenizer.json`.
const SWITCHES: [(&str, &str); 3] = [
    ("do_lower_case", "lowercase"),
    ("strip_accents", "strip_accents"),
    ("tokenize_chinese_chars", "handle_chinese_chars"),
];
/// Model types whose tokenizer has that normaliser.
const BERT_LIKE: [&str; 4] = ["bert", "distilbert", "electra", "mpnet"];
/// Classes that take `tokenizer.json` as it is.
const PLAIN_CLASSES: [&str; 2] = ["PreTrainedTokenizerFast", "TokenizersBackend"];
const SENTENCEPIECE: [&str; 4] = ["sentencepiece.bpe.model", "spiece.model", "tokenizer.model", "spm.model"];
/// BERT's limit: a longer word is one unknown token.
const LONGEST_WORD: u32 = 100;

/// The bytes of a `tokenizer.json` that reads text as transformers does with this folder: the folder's own where there
/// is one, else one made of `vocab.txt` (`WordPiece`) or of `vocab.json` and `merges.txt` (byte-level BPE).
///
/// # Errors
/// `TokenizerMissing` where there is nothing to make one of, with what to do where there is a sentencepiece model;
/// `TokenizerSource` for a vocabulary that lacks a special token or is damaged; `ConfigSyntax`, `PathOutside`, `Read`.
pub fn tokenizer_json(folder: &Path) -> Result<Vec<u8>, Error> {
    let settings = read_json(folder, SETTINGS)?.unwrap_or_default();
    let model_type = read_json(folder, "config.json")?.unwrap_or_default()["model_type"].as_str().map(str::to_owned);
    let model_type = model_type.unwrap_or_default();
    if let Some(bytes) = read(folder, TOKENIZER)? {
        return corrected(folder, bytes, &settings, &model_type);
    }
    let named =
        Named { folder, settings: &settings, map: &read_json(folder, "special_tokens_map.json")?.unwrap_or_default() };
    let built = if let Some(words) = read_text(folder, "vocab.txt")? {
        word_piece(&named, &words, &model_type)?
    } else if let (Some(vocabulary), Some(merges)) =
        (read_json(folder, "vocab.json")?, read_text(folder, "merges.txt")?)
    {
        byte_level(&named, vocabulary, &merges)?
    } else {
        let sentencepiece = SENTENCEPIECE.into_iter().find(|name| folder.join(name).is_file());
        return Err(Error::TokenizerMissing { path: folder.join(TOKENIZER), sentencepiece });
    };
    Ok(built.to_string().into_bytes())
}

/// The folder's own file, with the switches of `tokenizer_config.json`.
fn corrected(folder: &Path, bytes: Vec<u8>, settings: &Value, model_type: &str) -> Result<Vec<u8>, Error> {
    let class = settings["tokenizer_class"].as_str().unwrap_or_default();
    let asked = SWITCHES.iter().any(|(name, _)| settings.get(name).is_some());
    if !asked || !BERT_LIKE.contains(&model_type) || PLAIN_CLASSES.contains(&class) {
        return Ok(bytes);
    }
    let path = folder.join(TOKENIZER);
    let mut file: Value =
        serde_json::from_slice(&bytes).map_err(|source| Error::ConfigSyntax { path, source: Some(source) })?;
    let Some(normalizer) = bert_normalizer(&mut file["normalizer"]) else { return Ok(bytes) };
    let mut changed = false;
    for (name, field) in SWITCHES {
        if let Some(value) = settings.get(name).filter(|value| value.is_boolean() || name == "strip_accents")
            && normalizer[field] != *value
        {
            normalizer[field] = value.clone();
            changed = true;
        }
    }
    Ok(if changed { file.to_string().into_bytes() } else { bytes })
}

fn bert_normalizer(normalizer: &mut Value) -> Option<&mut Value> {
    if normalizer["type"] == "BertNormalizer" {
        return Some(normalizer);
    }
    normalizer.get_mut("normalizers")?.as_array_mut()?.iter_mut().find(|part| part["type"] == "BertNormalizer")
}

fn word_piece(named: &Named<'_>, words: &str, model_type: &str) -> Result<Value, Error> {
    // A word that stands twice has its last place.
    let lines = words.strip_suffix('\n').unwrap_or(words).split('\n').map(|line| line.trim_end_matches('\r'));
    let vocabulary: Map<String, Value> = lines.enumerate().map(|(id, word)| (word.to_owned(), json!(id))).collect();
    let roberta_like = model_type == "mpnet";
    let names = if roberta_like { &MPNET } else { &BERT };
    let tokens = Specials::of(named, names, "vocab.txt", &vocabulary)?;
    let switch = |name: &str, otherwise: Value| match named.settings.get(name) {
        Some(value) if value.is_boolean() || value.is_null() => value.clone(),
        _ => otherwise,
    };
    let (cls, sep) = (tokens.pair("cls_token"), tokens.pair("sep_token"));
    let post_processor = if roberta_like {
        json!({"type": "RobertaProcessing", "sep": sep, "cls": cls, "trim_offsets": true, "add_prefix_space": false})
    } else {
        json!({"type": "BertProcessing", "sep": sep, "cls": cls})
    };
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": tokens.added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": switch("tokenize_chinese_chars", Value::Bool(true)),
            "strip_accents": switch("strip_accents", Value::Null),
            "lowercase": switch("do_lower_case", Value::Bool(true)),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": post_processor,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": tokens.text("unk_token"), "continuing_subword_prefix": "##",
            "max_input_chars_per_word": LONGEST_WORD, "vocab": vocabulary,
        },
    }))
}

fn byte_level(named: &Named<'_>, vocabulary: Value, merges: &str) -> Result<Value, Error> {
    let Value::Object(vocabulary) = vocabulary else {
        return Err(named.wrong("vocab.json", "it is no object of pieces and ids".to_owned()));
    };
    let mut pairs = Vec::new();
    for (number, line) in
        merges.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with("#version"))
    {
        let Some((left, right)) = line.split_once(' ') else {
            return Err(named.wrong("merges.txt", format!("line {} is no pair of pieces", number + 1)));
        };
        pairs.push(json!([left, right]));
    }
    let tokens = Specials::of(named, &ROBERTA, "vocab.json", &vocabulary)?;
    let prefix_space = named.settings["add_prefix_space"].as_bool().unwrap_or(false);
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": tokens.added,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": true, "use_regex": true},
        "post_processor": {
            "type": "RobertaProcessing", "sep": tokens.pair("sep_token"), "cls": tokens.pair("cls_token"),
            "trim_offsets": true, "add_prefix_space": prefix_space,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": pairs,
        },
    }))
}

/// Roles of special tokens with the names that they have where no file says otherwise; whether the mask takes the space
/// before it.
struct Defaults {
    names: [(&'static str, &'static str); 5],
    mask_takes_space: bool,
}

const BERT: Defaults = Defaults {
    names: [
        ("pad_token", "[PAD]"),
        ("unk_token", "[UNK]"),
        ("cls_token", "[CLS]"),
        ("sep_token", "[SEP]"),
        ("mask_token", "[MASK]"),
    ],
    mask_takes_space: false,
};
const MPNET: Defaults = Defaults {
    names: [
        ("cls_token", "<s>"),
        ("pad_token", "<pad>"),
        ("sep_token", "</s>"),
        ("unk_token", "[UNK]"),
        ("mask_token", "<mask>"),
    ],
    mask_takes_space: true,
};
const ROBERTA: Defaults = Defaults {
    names: [
        ("cls_token", "<s>"),
        ("pad_token", "<pad>"),
        ("sep_token", "</s>"),
        ("unk_token", "<unk>"),
        ("mask_token", "<mask>"),
    ],
    mask_takes_space: true,
};

/// What the folder says of its special tokens.
struct Named<'a> {
    folder: &'a Path,
    settings: &'a Value,
    map: &'a Value,
}

impl Named<'_> {
    fn wrong(&self, name: &str, problem: String) -> Error {
        Error::TokenizerSource { path: self.folder.join(name), problem }
    }
}

/// The special tokens of a vocabulary.
struct Specials {
    added: Vec<Value>,
    roles: Map<String, Value>,
}

impl Specials {
    fn of(named: &Named<'_>, defaults: &Defaults, file: &str, vocabulary: &Map<String, Value>) -> Result<Self, Error> {
        let mut specials = Self { added: Vec::new(), roles: Map::new() };
        for (role, otherwise) in defaults.names {
            let stated = [&named.settings[role], &named.map[role]].into_iter().find(|value| !value.is_null());
            let token = stated.cloned().unwrap_or_else(|| json!(otherwise));
            let text = token.as_str().or_else(|| token["content"].as_str()).unwrap_or(otherwise);
            let Some(id) = vocabulary.get(text).and_then(Value::as_u64) else {
                // A model may do without a mask or padding, but not without what stands in every row.
                if matches!(role, "pad_token" | "mask_token") {
                    continue;
                }
                return Err(named.wrong(file, format!("it has no piece {text}, which is the {role}")));
            };
            let takes_space = role == "mask_token" && defaults.mask_takes_space && token.is_string();
            let flag = |name: &str, otherwise: bool| token[name].as_bool().unwrap_or(otherwise);
            specials.roles.insert(role.to_owned(), json!([text, id]));
            specials.added.push(json!({
                "id": id, "content": text, "single_word": flag("single_word", false),
                "lstrip": flag("lstrip", takes_space), "rstrip": flag("rstrip", false),
                "normalized": flag("normalized", false), "special": true,
            }));
        }
        specials.added.sort_by_key(|token| token["id"].as_u64());
        specials.added.dedup_by_key(|token| token["id"].clone());
        Ok(specials)
    }

    fn pair(&self, role: &str) -> &Value {
        &self.roles[role]
    }

    fn text(&self, role: &str) -> &Value {
        &self.roles[role][0]
    }
}

fn read_text(folder: &Path, name: &str) -> Result<Option<String>, Error> {
    let Some(bytes) = read(folder, name)? else { return Ok(None) };
    let path = folder.join(name);
    let problem =
        |error: std::string::FromUtf8Error| format!("it is not UTF-8 at byte {}", error.utf8_error().valid_up_to());
    String::from_utf8(bytes).map(Some).map_err(|error| Error::TokenizerSource { path, problem: problem(error) })
}

fn read(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let path = inside(folder, name)?;
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn made(files: &[(&str, &str)]) -> Value {
        serde_json::from_slice(&tokenizer_json(folder(files).path()).unwrap()).unwrap()
    }

    fn refused(files: &[(&str, &str)], parts: &[&str]) {
        let message = tokenizer_json(folder(files).path()).unwrap_err().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }

    const WORDS: (&str, &str) = ("vocab.txt", "[PAD]\r\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nship\n##s\n");
    const BERT_CONFIG: (&str, &str) = ("config.json", r#"{"model_type":"bert"}"#);

    #[test]
    fn word_pieces_are_read_line_by_line() {
        let file = made(&[WORDS, BERT_CONFIG, (SETTINGS, r#"{"do_lower_case":false}"#)]);
        assert_eq!(file["model"]["vocab"]["##s"], 6);
        assert_eq!(file["model"]["vocab"].as_object().unwrap().len(), 7);
        assert_eq!(
            (&file["normalizer"]["lowercase"], &file["normalizer"]["strip_accents"]),
            (&json!(false), &Value::Null)
        );
        assert_eq!(file["post_processor"], json!({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}));
        assert_eq!(file["added_tokens"].as_array().unwrap().len(), 5);
        assert_eq!(made(&[WORDS])["normalizer"]["lowercase"], true);
    }

    #[test]
    fn byte_pairs_keep_their_order() {
        let vocabulary = ("vocab.json", r#"{"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"t":4,"h":5,"th":6,"<mask>":7}"#);
        let file = made(&[vocabulary, ("merges.txt", "#version: 0.2\nt h\n\n# #\n")]);
        assert_eq!(file["model"]["merges"], json!([["t", "h"], ["#", "#"]]));
        assert_eq!(file["added_tokens"][4]["lstrip"], true, "the mask takes the space before it");
        refused(&[vocabulary, ("merges.txt", "t h\nalone\n")], &["merges.txt", "line 2"]);
        refused(&[("vocab.json", "[]"), ("merges.txt", "")], &["vocab.json", "object"]);
    }

    #[test]
    fn switches_of_the_settings_win() {
        let own = |lower: bool| {
            let normalizer =
                json!({"type": "Sequence", "normalizers": [{"type": "BertNormalizer", "lowercase": lower}]});
            json!({"normalizer": normalizer}).to_string()
        };
        let lowercase = |own: &str, settings: &str, model_type: &str| {
            let config = json!({"model_type": model_type}).to_string();
            let file = made(&[(TOKENIZER, own), (SETTINGS, settings), ("config.json", &config)]);
            file["normalizer"]["normalizers"][0]["lowercase"].as_bool().unwrap()
        };
        assert!(!lowercase(&own(true), r#"{"do_lower_case":false}"#, "bert"));
        assert!(lowercase(&own(false), r#"{"do_lower_case":true}"#, "mpnet"));
        assert!(!lowercase(&own(false), "{}", "bert"), "what is not said changes nothing");
        assert!(lowercase(&own(true), r#"{"do_lower_case":false}"#, "modernbert"));
        let plain = r#"{"do_lower_case":false,"tokenizer_class":"PreTrainedTokenizerFast"}"#;
        assert!(lowercase(&own(true), plain, "bert"));
    }

    #[test]
    fn an_own_file_that_agrees_keeps_its_bytes() {
        let own = "{ \"normalizer\": {\"type\":\"BertNormalizer\",  \"lowercase\":true} }";
        let dir = folder(&[(TOKENIZER, own), BERT_CONFIG, (SETTINGS, r#"{"do_lower_case":true}"#)]);
        assert_eq!(tokenizer_json(dir.path()).unwrap(), own.as_bytes());
    }

    #[test]
    fn what_no_tokenizer_can_be_made_of_is_named() {
        refused(&[BERT_CONFIG], &["tokenizer.json", "vocab.txt"]);
        refused(&[("sentencepiece.bpe.model", "x")], &["sentencepiece.bpe.model", "save_pretrained"]);
        refused(&[("vocab.txt", "ship\n")], &["vocab.txt", "[UNK]", "unk_token"]);
        refused(&[WORDS, (SETTINGS, r#"{"cls_token":{"content":"[GO]"}}"#)], &["[GO]", "cls_token"]);
        refused(&[(TOKENIZER, "{"), BERT_CONFIG, (SETTINGS, r#"{"do_lower_case":true}"#)], &["tokenizer.json"]);
        let dir = folder(&[]);
        fs::write(dir.path().join("vocab.txt"), [b'a', 0xff]).unwrap();
        assert!(tokenizer_json(dir.path()).unwrap_err().to_string().contains("byte 1"));
    }
}
