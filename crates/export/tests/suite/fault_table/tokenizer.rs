//! `tokenizer.json` beside a checkpoint of twenty word embeddings.

use std::fs;

use berth_types::ErrorKind::{Corrupted, Unavailable};
use serde_json::json;

use super::Table;

const TOKENIZER: &str = "tokenizer.json";

fn text(table: &mut Table, fault: &'static str, words: &[&str], text: impl Into<Vec<u8>> + 'static) {
    let words: Vec<&str> = [&[TOKENIZER], words].concat();
    table.files(fault, Corrupted, &words, move |folder| fs::write(folder.join(TOKENIZER), text.into()).unwrap());
}

pub(super) fn add(table: &mut Table) {
    for id in [20, 21, 30_521, u64::from(u32::MAX), u64::MAX] {
        let says = format!("has id {id}, but the model has 20");
        let words: &[&str] = &["\"beyond\"", &says];
        let vocabulary = json!({"model": {"type": "WordPiece", "vocab": {"a": 0, "beyond": id}}});
        text(table, "vocabulary larger than the table", words, vocabulary.to_string());
        let added = json!({"added_tokens": [{"id": id, "content": "beyond"}], "model": {"vocab": {"a": 0}}});
        text(table, "added token beyond the table", words, added.to_string());
    }
    let pieces: Vec<_> = (0..21).map(|number| json!([format!("piece {number}"), -1.5])).collect();
    let unigram = json!({"model": {"type": "Unigram", "vocab": pieces}});
    text(table, "pieces beyond the table", &["\"piece 20\"", "has id 20"], unigram.to_string());

    let broken = &["no usable tokenizer"];
    let whole = json!({"added_tokens": [], "model": {"vocab": {"a": 0, "b": 1}}}).to_string();
    for keep in [0, 1, 10, 20, 40, whole.len() - 1] {
        text(table, "tokenizer cut off", broken, whole[..keep].to_owned());
    }
    for other in ["[]", "7", "null", "\"x\""] {
        text(table, "tokenizer of other JSON", broken, other);
    }
    text(table, "tokenizer without a model", &["no usable tokenizer", "model"], "{\"version\": \"1.0\"}");
    text(
        table,
        "tokenizer without a vocabulary",
        &["no usable tokenizer", "vocab"],
        "{\"model\": {\"type\": \"BPE\"}}",
    );
    for id in ["-1", "1.5", "\"1\"", "null", "[0]", "1e30"] {
        let vocabulary = format!("{{\"model\": {{\"vocab\": {{\"a\": {id}}}}}}}");
        text(table, "token whose id is no number", broken, vocabulary);
    }
    for vocabulary in ["3", "\"abc\"", "[1, 2]", "[[1, 2]]", "true"] {
        text(table, "vocabulary of another form", broken, format!("{{\"model\": {{\"vocab\": {vocabulary}}}}}"));
    }
    let surrogate = r#"{"model": {"vocab": {"\ud83d": 0}}}"#;
    text(table, "token with a lone surrogate", broken, surrogate);
    text(table, "tokenizer that is not UTF-8", broken, b"{\"model\": {\"vocab\": {\"\xc3\x28\": 0}}}".to_vec());
    text(table, "tokenizer with control characters", broken, "{\"model\": {\"vocab\": {\"a\u{0}\n\": 0}}}");
    text(table, "tokenizer nested without end", broken, "{\"model\": ".repeat(100_000));
    text(table, "tokenizer nested without end", broken, format!("{{\"model\": {{\"vocab\": {}", "[".repeat(100_000)));
    table.files("tokenizer larger than any", Unavailable, &[TOKENIZER, "more than"], |folder| {
        fs::File::create(folder.join(TOKENIZER)).unwrap().set_len(300 << 20).unwrap();
    });
}
