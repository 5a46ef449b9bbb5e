//! How foreign a collection is to a model: figures of files and of an index, the verdict, the page, what is not there.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::number;
use crate::tiny::Tiny;

const PROSE: &str =
    "The harbour is closed at night, and the crane has to be inspected before it is used again by the men.";

fn report(tiny: &Tiny, more: &[&str]) -> Value {
    tiny.run(&[&["domain", "report", "--json", "--quiet"], more].concat()).expect_code(0).json()
}

fn row(id: &str, title: &str, text: &str) -> String {
    serde_json::json!({"_id": id, "title": title, "text": text}).to_string() + "\n"
}

/// Six documents: a copy, a near copy, one without text, one in Korean; and what is passed over.
fn place(fixture: &str) -> Tiny {
    let tiny = Tiny::new(fixture);
    let near = PROSE.replace("crane", "ship");
    let rows = [
        row("a", "Harbour", &[PROSE; 6].join(" ")),
        row("b", "Harbour", &[PROSE; 6].join(" ")),
        row("c", "", &[near.as_str(), PROSE, PROSE, PROSE, PROSE, PROSE].join(" ")),
        row("d", "", ""),
        row("e", "", "항구는 밤에 닫혀 있으며 크레인은 다시 사용하기 전에 점검해야 한다."),
    ];
    tiny.place.write("docs/rows.jsonl", rows.concat() + "no JSON\n");
    tiny.place.write("docs/notes.md", "# Ovens\n\nBread is baked in an oven, and it is eaten while it is warm.\n");
    tiny.place.write("docs/picture.bin", b"a\0b");
    tiny
}

#[test]
fn documents_are_counted_read_and_judged() {
    let tiny = place("bert-sentence");
    let ended = tiny.run(&["domain", "report", "docs", "--json", "--html", "page.html"]).expect_code(0);
    let ended = ended.expect_message(&["rows.jsonl:6", "skipped: 1 binary, 1 unreadable"]);
    let report = ended.json();
    let documents = &report["documents"];
    let counts = ["documents", "sampled", "empty", "titled", "exact_copies", "near_copies", "skipped"];
    assert_eq!(counts.map(|key| number(documents, key)), [6, 6, 1, 3, 1, 1, 2], "{report}");
    let vocabulary = &report["vocabulary"];
    assert!(
        number(vocabulary, "tokens") >= number(vocabulary, "words") && number(vocabulary, "words") > 300,
        "{report}"
    );
    // The vocabulary of the fixture has no Hangul at all.
    assert!(vocabulary["unknown_share"].as_f64().unwrap() > 0.0, "{report}");
    assert!(vocabulary["unknown_words"].as_array().unwrap().iter().any(|word| word["text"] == "항구는"), "{report}");
    let languages = report["languages"].as_array().unwrap();
    assert_eq!((&languages[0]["code"], &languages[0]["documents"]), (&"en".into(), &4.into()), "{report}");
    assert!(languages.iter().any(|language| language["code"] == "ko" && language["claimed"].is_null()), "{report}");
    let lengths = &report["lengths"];
    let bins = lengths["histogram"].as_array().unwrap().iter().map(|bin| number(bin, "documents")).sum::<u64>();
    assert_eq!(bins, 5, "all that have text");
    assert!(
        number(lengths, "least") <= number(lengths, "median") && number(lengths, "median") <= number(lengths, "most")
    );
    assert!(!report["verdict"].as_str().unwrap().is_empty() && !report["reasons"].as_array().unwrap().is_empty());
    assert!(report["advice"].to_string().contains("deduplicate"), "{report}");
    assert!(report["perplexity"].is_null() && report["perplexity_unavailable"].is_string(), "{report}");
    let page = fs::read_to_string(tiny.place.path("page.html")).unwrap();
    assert!(page.contains("Verdict: ") && page.contains("Length of documents") && page.contains("항구는"));

    let text = tiny.run(&["domain", "report", "docs", "--quiet", "--split-words", "3"]).expect_code(0);
    assert!(text.stderr.contains("rows.jsonl:6"), "what is lost is said: {}", text.stderr);
    for part in
        ["docs to tiny\n", "\nverdict       ", "\ndocuments     6 · 1 without text", "\ncopies        1 exact (17 %)"]
    {
        assert!(text.stdout.contains(part), "{part}: {}", text.stdout);
    }
    assert!(text.stdout.lines().all(|line| line.chars().count() <= 100), "{}", text.stdout);
}

#[test]
fn an_index_says_the_same_as_its_files() {
    let tiny = place("bert-sentence");
    tiny.run(&["index", "docs", "--index", "index", "--window", "40", "--quiet"]).expect_code(0);
    let of_index = report(&tiny, &["--index", "index"]);
    let of_files = report(&tiny, &["docs", "--window", "40"]);
    for part in ["vocabulary", "lengths", "languages", "verdict", "reasons", "model"] {
        assert_eq!(of_index[part], of_files[part], "{part}");
    }
    assert_eq!(number(&of_index["documents"], "exact_copies"), 1);
    // With paths, the index only says how documents are cut.
    tiny.place.write("one.txt", PROSE);
    let one = report(&tiny, &["one.txt", "--index", "index"]);
    assert_eq!((number(&one["documents"], "documents"), number(&one["model"], "window_tokens")), (1, 40));
    assert_eq!(number(&report(&tiny, &["one.txt", "--index", "to-be-made"])["documents"], "documents"), 1);
}

#[test]
fn a_sample_follows_from_the_seed() {
    let tiny = Tiny::new("bert-sentence");
    let rows: String =
        (0..64).map(|number| row(&number.to_string(), "", &format!("crane number {number} of the harbour"))).collect();
    let drawn = |seed: &str| {
        let words = ["domain", "report", "-", "--json", "--quiet", "--sample-documents", "16", "--seed", seed];
        let mut reply = tiny.run_with(&words, &rows).expect_code(0).json();
        reply["seconds"] = Value::Null;
        reply
    };
    let first = drawn("1");
    let sampled = number(&first["documents"], "sampled");
    assert!((1..=16).contains(&sampled) && number(&first["documents"], "documents") == 64, "{first}");
    assert_eq!(drawn("1"), first);
    assert_ne!(drawn("2")["vocabulary"], first["vocabulary"]);
    let all = report_of_rows(&tiny, &rows);
    assert_eq!(number(&all["documents"], "sampled"), 64);
}

fn report_of_rows(tiny: &Tiny, rows: &str) -> Value {
    tiny.run_with(&["domain", "report", "-", "--json", "--quiet"], rows).expect_code(0).json()
}

#[test]
fn a_model_that_foresees_words_is_asked_to() {
    let tiny = place("bert-mlm");
    let measured = report(&tiny, &["docs", "--sample-passages", "2"]);
    let perplexity = &measured["perplexity"];
    assert_eq!(number(perplexity, "passages"), 2, "{measured}");
    assert!(perplexity["pseudo_perplexity"].as_f64().unwrap() > 1.0 && measured["perplexity_unavailable"].is_null());
    assert_eq!(report(&tiny, &["docs", "--sample-passages", "2"])["perplexity"], *perplexity);
    let unasked = report(&tiny, &["docs", "--sample-passages", "0"]);
    assert!(unasked["perplexity"].is_null() && unasked["perplexity_unavailable"] == "not asked for");
    let short = report_of_rows(&tiny, &row("a", "", "ship"));
    assert!(short["perplexity_unavailable"].as_str().unwrap().contains("long enough"), "{short}");
}

#[test]
fn what_is_not_there_is_said() {
    let tiny = place("bert-sentence");
    tiny.place.write("empty/picture.bin", b"a\0b");
    let fails = |words: &[&str], code: i32, parts: &[&str]| {
        tiny.run(&[&["domain", "report"], words].concat()).expect_code(code).expect_message(parts);
    };
    fails(&["empty"], 3, &["empty", "no document"]);
    fails(&["nowhere"], 3, &["nowhere does not exist"]);
    fails(&["--index", "nowhere"], 3, &["nowhere"]);
    fails(&["docs", "--model", "missing"], 3, &["missing", "berth model import"]);
    fails(&["docs", "--window", "4"], 2, &["window", "not 4"]);
    fails(&[], 2, &["PATH"]);
    fails(&["docs", "--sample-documents", "0"], 2, &["sample-documents"]);
    fails(&["docs", "--html", "nowhere/page.html", "--quiet"], 3, &["nowhere/page.html"]);
    // Documents without any text are documents all the same.
    let silent = report_of_rows(&tiny, &row("a", "", " "));
    assert_eq!((number(&silent["documents"], "empty"), number(&silent["lengths"], "most")), (1, 0));
    assert_eq!(silent["verdict"], "no text");
}

#[cfg(unix)]
#[test]
fn an_interrupted_report_says_nothing() {
    let tiny = Tiny::new("bert-sentence");
    let mut child = tiny.start(&["domain", "report", "-", "--json"]);
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(row("a", "", PROSE).as_bytes()).expect("a row is written");
    std::thread::sleep(Duration::from_millis(1_000));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill").success());
    std::thread::sleep(Duration::from_millis(100));
    // The run may have ended already.
    let _ = stdin.write_all(row("b", "", PROSE).as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(130), 0));
}
