//! Commands that ask a model about texts, over tiny checkpoints imported by the real binary.

use std::fs;

use serde_json::Value;

use crate::support::number;
use crate::tiny::{Tiny, floats, lines};

#[test]
fn embed_answers_in_order_and_reports_bad_lines() {
    let tiny = Tiny::new("bert-base");
    let input = "\"one text\"\n{\"id\":\"b\",\"text\":\"another\"}\nnot json\n\n{\"_id\":7,\"text\":\"\"}\n";
    let ended = tiny.run_with(&["embed"], input).expect_code(1).expect_message(&["3", "not JSON"]);
    let rows = lines(&ended);
    let ids: Vec<&Value> = rows.iter().map(|row| &row["id"]).collect();
    assert_eq!(ids, [&Value::from(1), &Value::from("b"), &Value::from(7)]);
    for row in &rows {
        let norm: f64 = floats(&row["embedding"]).iter().map(|value| value * value).sum();
        assert!((norm - 1.0).abs() < 1e-4, "{norm}");
    }
    // The same texts as arguments and as plain lines have the same vectors.
    let given = tiny.run(&["embed", "one text", "another"]).expect_code(0);
    let plain = tiny.run_with(&["embed", "--lines"], "one text\r\nanother\n").expect_code(0);
    for (one, other) in [(0, 0), (1, 1)] {
        assert_eq!(lines(&given)[one]["embedding"], rows[other]["embedding"]);
        assert_eq!(lines(&plain)[one]["embedding"], rows[other]["embedding"]);
    }
    let strict = tiny.run_with(&["embed", "--strict"], input).expect_code(1).expect_message(&["line 3"]);
    assert!(lines(&strict).len() <= 2);
    tiny.run_with(&["embed"], "\"\\ud800\"\n").expect_code(1).expect_message(&["1", "not JSON"]);
}

#[test]
fn embed_takes_prompts_by_name_and_says_which_there_are() {
    let tiny = Tiny::new("bert-sentence");
    let vector = |prompt: &str| lines(&tiny.run(&["embed", "heat", "--prompt", prompt]).expect_code(0)).remove(0);
    assert_eq!(vector("passage")["embedding"], lines(&tiny.run(&["embed", "heat"]))[0]["embedding"]);
    assert_ne!(vector("query")["embedding"], vector("none")["embedding"]);
    let known = ["'nope'", "query, passage, none"];
    tiny.run(&["embed", "heat", "--prompt", "nope"]).expect_code(2).expect_message(&known);
}

#[test]
fn embed_writes_files_of_every_kind() {
    let tiny = Tiny::new("bert-base");
    let input = "{\"id\":\"a\",\"text\":\"one\"}\n{\"id\":\"b\",\"text\":\"two\"}\n";
    for dtype in ["f32", "f16", "int8", "binary"] {
        let ended = tiny.run_with(&["embed", "--format", "npy", "--out", "v.npy", "--dtype", dtype], input);
        assert!(ended.expect_code(0).stdout.is_empty());
        let bytes = fs::read(tiny.place.path("v.npy")).expect("an array");
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        assert_eq!(fs::read_to_string(tiny.place.path("v.npy.ids")).expect("ids"), "\"a\"\n\"b\"\n");
        let parquet = ["embed", "--format", "parquet", "--out", "v.parquet", "--dtype", dtype];
        tiny.run_with(&parquet, input).expect_code(0);
        let bytes = fs::read(tiny.place.path("v.parquet")).expect("a table");
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    }
    // The array holds what the lines hold.
    tiny.run_with(&["embed", "--format", "npy", "--out", "v.npy"], input).expect_code(0);
    let bytes = fs::read(tiny.place.path("v.npy")).expect("an array");
    let values: Vec<f32> =
        bytes[128..].chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
    let rows = lines(&tiny.run_with(&["embed"], input).expect_code(0));
    let expected: Vec<f64> = rows.iter().flat_map(|row| floats(&row["embedding"])).collect();
    assert_eq!(values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>().len(), expected.len());
    assert!(values.iter().zip(&expected).all(|(one, other)| (f64::from(*one) - other).abs() < 1e-6));

    tiny.run_with(&["embed", "--out", "v.jsonl"], input).expect_code(0);
    assert_eq!(fs::read_to_string(tiny.place.path("v.jsonl")).expect("lines").lines().count(), 2);
    tiny.run_with(&["embed", "--format", "npy"], input).expect_code(2).expect_message(&["--out"]);
    tiny.run_with(&["embed", "--sparse", "--format", "npy", "--out", "x"], input).expect_code(2);
}

#[test]
fn vectors_are_cut_and_packed() {
    let tiny = Tiny::new("bert-base");
    let row = |more: &[&str]| lines(&tiny.run(&[&["embed", "a text"], more].concat()).expect_code(0)).remove(0);
    let whole = floats(&row(&[])["embedding"]);
    let short = floats(&row(&["--dimensions", "8"])["embedding"]);
    let norm = whole[..8].iter().map(|value| value * value).sum::<f64>().sqrt();
    assert!(short.iter().zip(&whole).all(|(one, other)| (one - other / norm).abs() < 1e-5));
    let bits = row(&["--dtype", "binary"]);
    let first = bits["embedding"][0].as_u64().expect("a byte");
    for (place, value) in whole[..8].iter().enumerate() {
        assert_eq!(first >> (7 - place) & 1 == 1, *value > 0.0);
    }
    let bytes = row(&["--dtype", "int8"]);
    let scale = bytes["scale"].as_f64().expect("a scale");
    assert!(floats(&bytes["embedding"]).iter().zip(&whole).all(|(b, v)| (b * scale - v).abs() <= 0.51 * scale));
    assert_ne!(floats(&row(&["--pooling", "cls"])["embedding"]), whole);
    tiny.run(&["embed", "a", "--dimensions", "9999"]).expect_code(2).expect_message(&["9999"]);
    tiny.run(&["embed", "a", "--pooling", "median"]).expect_code(2).expect_message(&["mean-sqrt-len"]);
}

#[test]
fn a_long_text_is_never_cut_silently() {
    let tiny = Tiny::new("bert-base");
    let long = "the cat sat on the mat ".repeat(300);
    let input = format!("{}\n\"short\"\n", Value::from(long.as_str()));
    let ended = tiny.run_with(&["embed"], &input).expect_code(1).expect_message(&["tokens", "--truncate"]);
    assert_eq!(lines(&ended).len(), 1);
    let cut = lines(&tiny.run_with(&["embed", "--truncate"], &input).expect_code(0));
    assert!(number(&cut[0], "truncated") > 500 && cut[1].get("truncated").is_none());
    let windows = lines(&tiny.run_with(&["embed", "--windows"], &input).expect_code(0));
    assert!(windows.len() > 3);
    assert_eq!((number(&windows[1], "window"), &windows[1]["id"]), (1, &Value::from(1)));
    let last = &windows[windows.len() - 2];
    assert!(last["bytes"][1].as_u64().expect("an end") as usize >= long.trim_end().len(), "the end is in a window");
    let tokens = lines(&tiny.run_with(&["embed", "--tokens"], &input).expect_code(0));
    assert_eq!(
        tokens[0]["vectors"].as_array().expect("vectors").len(),
        tokens[0]["ids"].as_array().expect("ids").len()
    );
}

#[test]
fn classify_gives_labels_of_texts_and_pairs() {
    let tiny = Tiny::new("bert-classify");
    let input =
        "\"heat flow\"\n{\"id\":\"p\",\"text\":\"heat\",\"text_pair\":\"law\"}\n{\"query\":\"a\",\"documents\":[]}\n";
    let ended = tiny.run_with(&["classify"], input).expect_code(1).expect_message(&["3", "rerank"]);
    let rows = lines(&ended);
    assert_eq!(rows.len(), 2);
    for row in &rows {
        let labels = row["labels"].as_array().expect("labels");
        let scores: Vec<f64> = labels.iter().map(|label| label["score"].as_f64().expect("a score")).collect();
        assert!((scores.iter().sum::<f64>() - 1.0).abs() < 1e-4 && scores.is_sorted_by(|one, next| one >= next));
    }
    let best = lines(&tiny.run(&["classify", "-k", "1", "heat flow"]).expect_code(0)).remove(0);
    assert_eq!(best["labels"].as_array().expect("labels").len(), 1);
    assert_eq!(best["labels"][0], rows[0]["labels"][0]);
    tiny.run(&["fill-mask", "a [MASK]"]).expect_code(2).expect_message(&["fill-mask", "classify"]);
}

#[test]
fn rerank_puts_the_best_first() {
    let tiny = Tiny::new("bert-cross-encoder");
    let given = lines(&tiny.run(&["rerank", "how does heat flow?", "law", "heat flow", "medicine"]).expect_code(0));
    let piped = tiny
        .run_with(&["rerank", "how does heat flow?"], "\"law\"\n{\"id\":\"h\",\"text\":\"heat flow\"}\n\"medicine\"\n");
    let piped = lines(&piped.expect_code(0));
    let one_line =
        "{\"id\":\"q\",\"query\":\"how does heat flow?\",\"documents\":[\"law\",\"heat flow\",\"medicine\"]}\n";
    let many = lines(&tiny.run_with(&["rerank"], one_line).expect_code(0)).remove(0);
    assert_eq!(many["id"], "q");
    let scores: Vec<f64> = given.iter().map(|row| row["score"].as_f64().expect("a score")).collect();
    assert!(scores.is_sorted_by(|one, next| one >= next) && scores.iter().all(|score| (0.0..=1.0).contains(score)));
    for (place, row) in given.iter().enumerate() {
        assert_eq!(number(row, "rank") as usize, place + 1);
        assert_eq!((&row["index"], &row["score"]), (&piped[place]["index"], &piped[place]["score"]));
        assert_eq!(
            (&row["index"], &row["score"]),
            (&many["results"][place]["index"], &many["results"][place]["score"])
        );
    }
    assert!(piped.iter().any(|row| row["id"] == "h"));
    let top = lines(&tiny.run(&["rerank", "-k", "1", "--raw", "q", "law", "heat flow"]).expect_code(0));
    assert_eq!(top.len(), 1);
}

#[test]
fn late_interaction_reranks_too() {
    let tiny = Tiny::new("bert-late");
    let rows = lines(&tiny.run(&["rerank", "heat flow", "heat flow", "the law of contracts"]).expect_code(0));
    assert_eq!(rows.len(), 2);
    assert!(rows[0]["score"].as_f64() >= rows[1]["score"].as_f64());
    let vectors = lines(&tiny.run(&["embed", "--late", "--prompt", "query", "heat flow"]).expect_code(0)).remove(0);
    assert_eq!(vectors["vectors"].as_array().expect("vectors").len(), 32, "queries are filled up");
}

#[test]
fn fill_mask_guesses_and_measures() {
    let tiny = Tiny::new("bert-mlm");
    let row = lines(&tiny.run(&["fill-mask", "-k", "2", "the [MASK] sat on [MASK]."]).expect_code(0)).remove(0);
    let masks = row["masks"].as_array().expect("masks");
    assert_eq!(masks.len(), 2);
    assert_eq!((number(&masks[0], "start"), number(&masks[0], "end")), (4, 10));
    assert_eq!(masks[1]["guesses"].as_array().expect("guesses").len(), 2);
    tiny.run(&["fill-mask", "no mask here"]).expect_code(1).expect_message(&["[MASK]"]);
    let measured = lines(&tiny.run(&["fill-mask", "--perplexity", "the cat sat"]).expect_code(0)).remove(0);
    assert!(measured["pseudo_perplexity"].as_f64().expect("a number") > 1.0);
    assert!(number(&measured, "tokens") >= 3);
}

#[test]
fn entities_have_bytes_of_the_text() {
    let tiny = Tiny::new("bert-entities");
    let text = "Café Maria walked home from the University of London. ".repeat(120);
    let row = lines(&tiny.run_with(&["entities", "--lines"], &text).expect_code(0)).remove(0);
    assert!(number(&row, "windows") > 1);
    let entities = row["entities"].as_array().expect("entities");
    assert!(!entities.is_empty());
    for entity in entities {
        let (start, end) = (number(entity, "start") as usize, number(entity, "end") as usize);
        assert_eq!(entity["text"], text[start..end]);
    }
    for strategy in ["first", "max", "average"] {
        tiny.run(&["entities", "--strategy", strategy, "Maria walked"]).expect_code(0);
    }
}

#[test]
fn tokens_show_pieces_and_unknowns() {
    let tiny = Tiny::new("bert-base");
    let row = lines(&tiny.run(&["tokens", "search ☃"]).expect_code(0)).remove(0);
    let tokens = row["tokens"].as_array().expect("tokens");
    assert_eq!((tokens[0]["piece"].as_str(), &tokens[0]["special"]), (Some("[CLS]"), &Value::Bool(true)));
    assert_eq!((number(&row, "unknown"), number(&row, "count") as usize), (1, tokens.len()));
    let snowman = &tokens[tokens.len() - 2];
    assert_eq!((number(snowman, "start"), number(snowman, "end"), &snowman["unknown"]), (7, 10, &Value::Bool(true)));
    let pair = lines(&tiny.run_with(&["tokens"], "{\"text\":\"a\",\"text_pair\":\"b\"}\n").expect_code(0)).remove(0);
    let types: Vec<u64> =
        pair["tokens"].as_array().expect("tokens").iter().map(|token| number(token, "type")).collect();
    assert_eq!(types, [0, 0, 0, 1, 1]);
}

#[test]
fn attention_gives_numbers_and_a_page() {
    let tiny = Tiny::new("bert-base");
    let row = lines(&tiny.run(&["attention", "--layers", "1", "the cat"]).expect_code(0)).remove(0);
    let layers = row["layers"].as_array().expect("layers");
    assert_eq!((layers.len(), number(&layers[0], "layer")), (1, 1));
    for line in layers[0]["heads"][0].as_array().expect("lines") {
        assert!((floats(line).iter().sum::<f64>() - 1.0).abs() < 1e-4);
    }
    tiny.run(&["attention", "<b>the cat</b>", "--html", "out.html"]).expect_code(0).expect_message(&["out.html"]);
    let page = fs::read_to_string(tiny.place.path("out.html")).expect("a page");
    assert!(page.contains("&lt;b&gt;the cat") && !page.contains("<b>") && !page.contains("https://"));
    tiny.run(&["attention", "a", "--layers", "99"]).expect_code(2).expect_message(&["99", "the last one is 1"]);
}

#[test]
fn commands_without_texts_say_what_they_want() {
    let tiny = Tiny::new("bert-base");
    assert!(tiny.run(&["embed"]).expect_code(0).stdout.is_empty(), "an empty input has no results");
    let help = tiny.run(&["embed", "--help"]).expect_code(0).stdout;
    assert!(help.contains("{\"text\"}") && help.contains("--windows"), "{help}");
    for command in ["embed", "rerank", "classify", "fill-mask", "entities", "tokens", "attention"] {
        let completions = tiny.run(&["completions", "bash"]).expect_code(0).stdout;
        assert!(completions.contains(command), "{command}");
    }
    tiny.run(&["embed", "a", "--model", "missing"]).expect_code(3).expect_message(&["missing"]);
}
