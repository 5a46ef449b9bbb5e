//! The rows of every tokenizer among the fixtures, compared with those of Hugging Face's tokenizers.

use std::fs;
use std::path::{Path, PathBuf};

use berth_encoder::TextTokenizer;
use serde_json::Value;

fn checkpoints() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints")
}

/// The texts of a fixture's `goldens.json`.
fn texts(folder: &Path) -> Vec<Value> {
    let goldens: Value = serde_json::from_slice(&fs::read(folder.join("goldens.json")).unwrap()).unwrap();
    goldens["texts"].as_array().unwrap().clone()
}

fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().into_iter().flatten().map(|number| number.as_u64().unwrap() as u32).collect()
}

/// What the range of a piece would be without the spaces at its ends.
fn trimmed(text: &str, range: &Value) -> (usize, usize) {
    let [start, end] = numbers(range)[..] else { panic!("{range} is no range") };
    let (start, end) = (start as usize, end as usize);
    let piece = &text[start..end];
    if piece.trim().is_empty() {
        return (start, end);
    }
    (start + piece.len() - piece.trim_start().len(), end - (piece.len() - piece.trim_end().len()))
}

fn check(name: &str, folder: &Path) -> usize {
    let tokenizer = TextTokenizer::open(&folder.join("tokenizer.json")).unwrap();
    let mut compared = 0;
    for golden in texts(folder) {
        // Cut rows, prompts, masks and markers are the encoder's part.
        let text = golden["text"].as_str().unwrap();
        let plain = golden["truncated"] == false && golden["prompt"].is_null() && golden["role"].is_null();
        if !plain || text.contains("[MASK]") || text.contains("<mask>") {
            continue;
        }
        let place = format!("{name}, {}", golden["name"]);
        let row = match golden["second"].as_str() {
            Some(second) => tokenizer.spell_pair(text, second).unwrap(),
            None => tokenizer.spell(text).unwrap(),
        };
        let ids: Vec<u32> = row.iter().map(|token| token.id).collect();
        assert_eq!(ids, numbers(&golden["ids"]), "{place}");
        let types: Vec<u32> = row.iter().map(|token| u32::from(token.r#type)).collect();
        let expected = numbers(&golden["types"]);
        if expected.is_empty() {
            assert!(types.iter().all(|&kind| kind == 0), "{place}");
        } else {
            assert_eq!(types, expected, "{place}");
        }
        if let Some(offsets) = golden["offsets"].as_array() {
            for (token, range) in row.iter().zip(offsets).filter(|(token, _)| !token.special) {
                assert_eq!((token.start, token.end), trimmed(text, range), "{place}: {token:?}");
            }
        }
        compared += 1;
    }
    compared
}

#[test]
fn rows_and_offsets_are_those_of_hugging_face() {
    let mut folders: Vec<PathBuf> = fs::read_dir(checkpoints()).unwrap().map(|entry| entry.unwrap().path()).collect();
    // A folder that lower-cases before the tokenizer does so by its card, which only an installed model has.
    let lower_cases = |folder: &Path| {
        let settings = fs::read_to_string(folder.join("sentence_bert_config.json")).unwrap_or_default();
        settings.replace(' ', "").contains("\"do_lower_case\":true")
    };
    folders.retain(|folder| folder.join("tokenizer.json").is_file() && !lower_cases(folder));
    assert!(folders.len() > 30, "{} fixtures", folders.len());
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        assert!(check(&name, &folder) > 0, "{name} has no text to compare");
    }
}
