//! `berth index`: what it takes, what it embeds again, what it removes.

use std::fs;
use std::process::Child;
use std::time::Duration;

use crate::support::{Ended, Workplace, keys, number, write_harbour, write_rows};

/// Rows that one thread embeds in well over ten seconds, so that a run meets what comes after its first commit.
const LONG_ROWS: usize = 4_000;

/// Starts a run over `LONG_ROWS` and returns after its first commit.
fn start_long_run(place: &Workplace) -> Child {
    write_rows(place, "corpus.jsonl", LONG_ROWS);
    let words =
        ["index", "corpus.jsonl", "--index", "index", "--commit-seconds", "1", "--threads", "1", "--json", "--quiet"];
    let mut child = place.start(&words);
    assert!(place.wait_for_commit(&mut child, 0), "the run ended before it could be interrupted");
    child
}

#[test]
fn reports_what_it_did_and_status_agrees() {
    let place = Workplace::new();
    write_harbour(&place);
    place.write("docs/.hidden/secret.txt", "not for the index");
    place.write("docs/image.png", b"\x89PNG\0\0");
    place.write("docs/empty.txt", "");
    let report = place.index_json("docs", &[]);
    for key in
        ["documents", "added", "changed", "moved", "removed", "skipped", "chunks", "embedded", "reused", "tokens"]
    {
        number(&report, key);
    }
    assert!(report["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!((number(&report, "documents"), number(&report, "added"), number(&report, "skipped")), (4, 4, 2));
    assert_eq!((number(&report, "chunks"), number(&report, "embedded")), (3, 3));

    let status = place.status_json();
    for key in ["documents", "chunks", "lexical_chunks", "dense_rows", "model", "fingerprint", "generation", "format"] {
        assert!(keys(&status).contains(&key), "{key} is not in {status}");
    }
    assert_eq!((number(&status, "documents"), number(&status, "chunks")), (4, 3));
    assert_eq!((number(&status, "lexical_chunks"), number(&status, "dense_rows")), (3, 3));
}

#[test]
fn an_index_keeps_vectors_as_it_was_told() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &["--rows", "int8"]);
    assert_eq!(place.status_json()["rows"], "int8");
    let best = |words: &[&str]| place.search_json("where do boats dock", words)["hits"][0].clone();
    let whole = best(&["--mode", "dense"]);
    assert!(whole["document"].as_str().unwrap().ends_with("berth.md"), "{whole}");
    for stage in ["auto", "full", "half", "prefix:300", "binary"] {
        assert_eq!(best(&["--mode", "dense", "--first-stage", stage]), whole, "{stage}");
    }
    // Nothing is embedded again, and what is there stays as it is.
    assert_eq!(number(&place.index_json("docs", &[]), "embedded"), 0);
    let words = ["index", "docs", "--index", "index", "--rows", "f16", "--quiet"];
    place.run(&words).expect_code(4).expect_message(&["rows of int8, not f16"]);
    for (words, message) in [
        (&["--rows", "f8"][..], "f32, f16, int8"),
        (&["--first-stage", "third"], "prefix:N"),
        (&["--first-stage", "prefix:0"], "prefix:N"),
        (&["--oversample", "0"], "--oversample"),
    ] {
        let verb = if words[0] == "--rows" { "index" } else { "search" };
        place.run(&[&[verb, "docs", "--index", "index"], words].concat()).expect_code(2).expect_message(&[message]);
    }
}

#[test]
fn embeds_nothing_again_after_touch_move_and_rename() {
    let place = Workplace::new();
    write_harbour(&place);
    assert_eq!(number(&place.index_json("docs", &[]), "embedded"), 3);

    let touched = fs::File::options().append(true).open(place.path("docs/bread.txt")).unwrap();
    touched.set_modified(std::time::SystemTime::now() - Duration::from_secs(86_400)).unwrap();
    let report = place.index_json("docs", &[]);
    assert_eq!((number(&report, "documents"), number(&report, "embedded"), number(&report, "changed")), (3, 0, 0));

    fs::rename(place.path("docs/bread.txt"), place.path("docs/deep/loaf.txt")).unwrap();
    let report = place.index_json("docs", &["--sync"]);
    assert_eq!((number(&report, "moved"), number(&report, "added"), number(&report, "removed")), (1, 0, 0));
    assert_eq!(number(&report, "embedded"), 0);
    assert_eq!(number(&place.status_json(), "documents"), 3);
}

#[test]
fn replaces_what_changed_and_removes_what_vanished_only_on_sync() {
    let place = Workplace::new();
    write_harbour(&place);
    place.write("other/keep.txt", "Outside of the synced folder.");
    place.index_json("docs", &[]);
    place.index_json("other", &[]);

    place.write("docs/bread.txt", "Rye bread keeps for a week.");
    fs::remove_file(place.path("docs/berth.md")).unwrap();
    let report = place.index_json("docs", &[]);
    assert_eq!((number(&report, "changed"), number(&report, "removed"), number(&report, "gone")), (1, 0, 1));
    assert_eq!(number(&place.status_json(), "documents"), 4);
    let old_text = ["search", "sourdough crust oven", "--index", "index", "--mode", "lexical", "--json"];
    let reply = place.run(&old_text).expect_code(3).json();
    assert!(reply["hits"].as_array().unwrap().is_empty(), "the old text is still found: {reply}");

    let report = place.index_json("docs", &["--sync"]);
    assert_eq!(number(&report, "removed"), 1);
    assert_eq!(number(&place.status_json(), "documents"), 3);
    place.run(&["verify", "--index", "index"]).expect_code(0);
}

#[test]
fn takes_rows_of_a_beir_corpus() {
    let place = Workplace::new();
    write_rows(&place, "corpus.jsonl", 12);
    let report = place.index_json("corpus.jsonl", &[]);
    assert_eq!((number(&report, "documents"), number(&report, "chunks")), (12, 12));
    let document = place.run(&["get", "row-3", "--index", "index", "--json"]).expect_code(0).json();
    assert_eq!(document["title"], "Log");
    assert!(document["text"].as_str().unwrap().starts_with("Report number 3."));
}

#[test]
fn windows_overlap_and_cover_a_long_text() {
    let place = Workplace::new();
    let text: String = (0..700).map(|n| format!("Sentence {n} speaks of harbour pilot number {n}. ")).collect();
    place.write("long.txt", &text);
    let report = place.index_json("long.txt", &["--window", "128", "--overlap", "32"]);
    let chunks = number(&report, "chunks");
    assert!(chunks > 50, "{chunks}");
    assert!(number(&report, "tokens") <= chunks * 128);
    let reply = place.search_json("harbour pilot number 421", &["--mode", "lexical"]);
    let hit = &reply["hits"][0];
    let (start, end) =
        (hit["chunk"]["start"].as_u64().unwrap() as usize, hit["chunk"]["end"].as_u64().unwrap() as usize);
    assert_eq!(&text[start..end], hit["text"].as_str().unwrap());
    assert!(hit["text"].as_str().unwrap().contains("421"), "{hit}");

    let refused = place.run(&["index", "long.txt", "--index", "index", "--window", "256", "--quiet"]);
    refused.expect_code(4).expect_message(&["window", "128", "256"]);
}

#[test]
fn an_interrupted_run_commits_and_the_next_one_continues() {
    let place = Workplace::new();
    let child = start_long_run(&place);
    let signalled = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let done = number(&place.status_json(), "documents");
    assert!(done > 0 && done < LONG_ROWS as u64, "{done}");
    assert_eq!(number(&report, "embedded"), number(&place.status_json(), "chunks"));

    // The rows of the first run and a few more, so that the test need not embed all of them.
    let more = done + 100;
    write_rows(&place, "corpus.jsonl", more as usize);
    let report = place.index_json("corpus.jsonl", &[]);
    assert_eq!((number(&report, "unchanged"), number(&report, "embedded")), (done, more - done));
    assert_eq!(number(&place.status_json(), "documents"), more);
}

#[test]
fn an_interrupted_document_keeps_what_was_embedded() {
    let place = Workplace::new();
    let text: String = (0..9_000).map(|n| format!("Sentence {n} speaks of harbour pilot {n}. ")).collect();
    place.write("long.txt", &text);
    let windows = ["--window", "64", "--overlap", "8"];
    let words = ["index", "long.txt", "--index", "index", "--commit-seconds", "1", "--threads", "1", "--quiet"];
    let mut child = place.start(&[&words[..], &windows, &["--json"]].concat());
    assert!(place.wait_for_commit(&mut child, 0), "the run ended before it could be interrupted");
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let first = Ended::from(child.wait_with_output().unwrap()).expect_code(130).json();
    assert!(number(&first, "embedded") > 0, "{first}");
    place.run(&["verify", "--index", "index"]).expect_code(0);

    let second = place.index_json("long.txt", &windows);
    let count = |key| number(&second, key);
    assert!(count("reused") > 0 && count("embedded") < count("chunks"), "{second}");
    assert_eq!(count("reused") + count("embedded"), count("chunks"), "{second}");
    assert_eq!(number(&place.status_json(), "chunks"), count("chunks"));
    assert_eq!(place.run(&["get", "long.txt", "--index", "index"]).expect_code(0).stdout.trim_end(), text.trim_end());
    assert_eq!(number(&place.index_json("long.txt", &[]), "unchanged"), 1);
}

#[test]
fn a_second_writer_is_told_who_is_in_the_way() {
    let place = Workplace::new();
    let mut first = start_long_run(&place);
    place.write("one.txt", "one");
    let second = place.run(&["index", "one.txt", "--index", "index", "--quiet"]);
    let searched = place.run(&["search", "harbour", "--index", "index", "--json"]);
    let still_running = first.try_wait().unwrap().is_none();
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(still_running, "the first writer was done too early to be in the way");
    second.expect_code(1).expect_message(&["index", "is being written by another process"]);
    searched.expect_code(0);
}
