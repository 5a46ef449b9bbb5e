//! An index moves to another model: built beside it, compared, swapped, brought back, dropped, killed in between.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Ended, files_below, number, write_tiny_collection};
use crate::tiny::Tiny;

/// A home with two models, and an index of six rows by the first of them.
fn place() -> Tiny {
    let tiny = Tiny::new("bert-sentence");
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints/mpnet-sentence");
    tiny.run(&["model", "import", other.to_str().unwrap(), "--name", "other"]).expect_code(0);
    let rows = [
        ("a", "", "a ship lies in the harbour", 1999),
        ("b", "Baking at home", "bread is baked in an oven", 2001),
        ("c", "", "a star shines at night. It is far away.", 2001),
        ("d", "", "the pilot boards the vessel at dawn", 2020),
        ("e", "", "", 2020),
        ("f", "", "a crane lifts the cargo", 2020),
    ];
    let row = |(id, title, text, year): &(&str, &str, &str, i32)| {
        serde_json::json!({"_id": id, "title": title, "text": text, "year": year}).to_string() + "\n"
    };
    tiny.place.write("rows.jsonl", rows.iter().map(row).collect::<String>());
    tiny.run(&["index", "rows.jsonl", "--index", "index", "--field", "year:integer", "--quiet"]).expect_code(0);
    tiny
}

fn migrate(tiny: &Tiny, more: &[&str]) -> Ended {
    tiny.run(&[&["migrate", "--index", "index", "--json", "--quiet"], more].concat())
}

fn status(tiny: &Tiny) -> Value {
    tiny.run(&["status", "--index", "index", "--json"]).expect_code(0).json()
}

fn found(tiny: &Tiny, question: &str, model: &str) -> Vec<String> {
    let reply = tiny.run(&["search", question, "--index", "index", "--model", model, "--json"]).expect_code(0).json();
    reply["hits"].as_array().unwrap().iter().map(|hit| hit["document"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_next_index_is_built_compared_swapped_and_brought_back() {
    let tiny = place();
    let before = found(&tiny, "ship", "tiny");
    let report = migrate(&tiny, &["--model", "other", "--sample", "4"]).expect_code(0).json();
    assert_eq!((number(&report["build"], "documents"), number(&report["build"], "chunks")), (6, 5), "{report}");
    assert_eq!((report["from"]["model"].as_str(), report["to"]["model"].as_str()), (Some("tiny"), Some("other")));
    assert!(number(&report["room"], "needed_bytes") > 0 && report["swapped"] == false, "{report}");
    let hybrid = &report["comparison"]["modes"]["hybrid"];
    assert_eq!(number(&report["comparison"], "sampled"), 4);
    for key in ["overlap@10", "rbo", "same_first"] {
        assert!((0.0..=1.0).contains(&hybrid[key].as_f64().unwrap()), "{key}: {report}");
    }
    // Five documents are all found by both.
    assert_eq!(hybrid["overlap@10"], 1.0, "{report}");

    // The index answers as before, and can be written.
    assert_eq!(found(&tiny, "ship", "tiny"), before);
    let (now, next) = (status(&tiny), status(&tiny)["next"].clone());
    assert_eq!(
        (now["model"].as_str(), next["model"].as_str(), number(&next, "documents")),
        (Some("tiny"), Some("other"), 6)
    );
    tiny.place.write("more.jsonl", "{\"_id\":\"g\",\"text\":\"a buoy marks the channel\",\"year\":2021}\n");
    tiny.run(&["index", "more.jsonl", "--index", "index", "--quiet"]).expect_code(0);
    let page = tiny.run(&["status", "--index", "index"]).expect_code(0).stdout;
    assert!(page.contains("next index    other in fp32, windows of ") && page.contains(", 6 of 7 documents"), "{page}");
    let again = migrate(&tiny, &["--model", "other", "--sample", "0"]).expect_code(0);
    assert!(again.stderr.is_empty(), "{}", again.stderr);
    assert!(again.json().get("comparison").is_none());

    tiny.place.write("rows.jsonl", "{\"_id\":\"a\",\"text\":\"a ship sails\",\"year\":1999}\n");
    tiny.run(&["index", "rows.jsonl", "--index", "index", "--sync", "--force", "--quiet"]).expect_code(0);
    let swapped = migrate(&tiny, &["--swap"]).expect_code(0).json();
    // One changed, five gone.
    assert_eq!((swapped["to"]["model"].as_str(), number(&swapped, "caught_up")), (Some("other"), 6), "{swapped}");
    let now = status(&tiny);
    assert_eq!((now["model"].as_str(), now["former"]["model"].as_str()), (Some("other"), Some("tiny")));
    assert_eq!((number(&now, "documents"), number(&now, "generation")), (2, number(&swapped, "generation")));
    assert!(now.get("next").is_none(), "{now}");
    assert_eq!(now["fields"]["year"]["kind"], "integer");
    let mut documents = found(&tiny, "ship channel", "other");
    documents.sort();
    assert_eq!(documents, ["a", "g"]);
    tiny.run(&["verify", "--index", "index"]).expect_code(0);
    // What was indexed is known: the same rows are no change.
    let words = ["index", "more.jsonl", "--index", "index", "--model", "other", "--json", "--quiet"];
    let unchanged = tiny.run(&words).expect_code(0).json();
    assert_eq!((number(&unchanged, "unchanged"), number(&unchanged, "embedded")), (1, 0));
    tiny.run(&["search", "ship", "--index", "index"]).expect_code(4).expect_message(&["other", "tiny"]);

    let back = migrate(&tiny, &["--rollback"]).expect_code(0).json();
    assert_eq!((back["to"]["model"].as_str(), number(&back, "caught_up")), (Some("tiny"), 0), "{back}");
    documents = found(&tiny, "ship channel", "tiny");
    documents.sort();
    assert_eq!(documents, ["a", "g"]);
    migrate(&tiny, &["--rollback"]).expect_code(3).expect_message(&["former"]);
    let dropped = migrate(&tiny, &["--drop"]).expect_code(0).json();
    assert_eq!((dropped["next"].as_bool(), dropped["former"].as_bool()), (Some(true), Some(false)));
    migrate(&tiny, &["--drop"]).expect_code(3);
    migrate(&tiny, &["--swap"]).expect_code(3).expect_message(&["next", "berth migrate --model"]);
    let inside = files_below(&tiny.place.index());
    assert!(!inside.iter().any(|file| file.iter().any(|part| part == "next" || part == "former")), "{inside:?}");
    tiny.run(&["verify", "--index", "index"]).expect_code(0);
}

#[test]
fn what_cannot_or_need_not_be_migrated_is_said() {
    let tiny = place();
    let same = tiny.run(&["migrate", "--index", "index", "--model", "tiny"]).expect_code(0);
    assert!(same.stderr.contains("already") && same.stdout.is_empty(), "{}", same.stderr);
    assert!(!tiny.place.path("index/next").exists());
    let anew = migrate(&tiny, &["--model", "tiny", "--force", "--sample", "0", "--yes"]).expect_code(0).json();
    assert_eq!((number(&anew["build"], "embedded"), anew["swapped"].as_bool()), (5, Some(true)), "{anew}");
    migrate(&tiny, &["--model", "absent"]).expect_code(3).expect_message(&["absent", "not installed"]);
    tiny.run(&["migrate", "--index", "nowhere", "--model", "other"]).expect_code(3).expect_message(&["nowhere"]);
    migrate(&tiny, &["--model", "other", "--window", "100000"]).expect_code(2).expect_message(&["100000"]);
    migrate(&tiny, &["--swap", "--rollback"]).expect_code(2);
    migrate(&tiny, &["--model", "other", "--window", "24", "--overlap", "4", "--sample", "0"]).expect_code(0);
    migrate(&tiny, &["--model", "other", "--window", "32"]).expect_code(2).expect_message(&["24", "32", "--drop"]);
    let next = status(&tiny)["next"].clone();
    assert_eq!((number(&next, "window_tokens"), number(&next, "overlap_tokens")), (24, 4));
    // A log of what was asked, with a line that was cut.
    let line = |query: &str| {
        let rest = r#""time":"2026-11-27T20:00:00Z","mode":"hybrid","hits":1,"relevance":0.5,"ms":2.0"#;
        format!("{{\"query\":\"{query}\",{rest}}}\n")
    };
    tiny.place.write("index/queries.jsonl", [line("ship"), line("ship"), line("dawn"), "{\"que".to_owned()].concat());
    let compared = migrate(&tiny, &["--model", "other", "--sample", "2"])
        .expect_code(0)
        .expect_message(&["recorded queries"])
        .json();
    assert_eq!((number(&compared["comparison"], "sampled"), number(&compared["comparison"], "recorded")), (2, 2));
    tiny.run(&["snapshot", "create", "kept", "--index", "index"]).expect_code(0);
    tiny.run(&["migrate", "--index", "kept", "--model", "other"]).expect_code(2).expect_message(&["snapshot"]);
}

#[test]
fn judgements_decide_whether_to_swap_at_once() {
    let tiny = place();
    write_tiny_collection(&tiny.place);
    tiny.run(&["index", "tiny/corpus.jsonl", "--index", "judged", "--quiet"]).expect_code(0);
    let words = ["migrate", "--index", "judged", "--model", "other", "--dataset", "tiny", "--sample", "2"];
    let page = tiny.run(&words).expect_code(0);
    for part in ["nDCG@10 on tiny · test · 2 queries", "hybrid", "dense", "overlap@10", "same first"] {
        assert!(page.stdout.contains(part), "{part}: {}", page.stdout);
    }
    assert!(page.stderr.contains("--swap"), "{}", page.stderr);
    let foreign = migrate(&tiny, &["--model", "other", "--dataset", "elsewhere"]);
    foreign.expect_code(3).expect_message(&["elsewhere"]);
    tiny.place.write("tiny/qrels/other.tsv", "query-id\tcorpus-id\tscore\n1\tnobody\t1\n2\tx\t1\n");
    let foreign = migrate(&tiny, &["--model", "other", "--dataset", "tiny", "--split", "other"]);
    foreign.expect_code(2).expect_message(&["nobody", "such as"]);
}

#[test]
fn deleted_text_is_purged_from_every_index() {
    let tiny = place();
    migrate(&tiny, &["--model", "other", "--sample", "0", "--yes"]).expect_code(0);
    migrate(&tiny, &["--model", "tiny", "--sample", "0"]).expect_code(0);
    tiny.place.write("rows.jsonl", "{\"_id\":\"a\",\"text\":\"a ship lies in the harbour\",\"year\":1999}\n");
    let words = ["index", "rows.jsonl", "--index", "index", "--model", "other", "--sync", "--force", "--quiet"];
    tiny.run(&words).expect_code(0);
    tiny.run(&["purge", "--index", "index"]).expect_code(0);
    for inside in ["index", "index/next", "index/former"] {
        let status = tiny.run(&["status", "--index", inside, "--json"]).expect_code(0).json();
        assert_eq!((number(&status, "documents"), number(&status, "deleted_rows")), (1, 0), "{inside}");
        tiny.run(&["verify", "--index", inside]).expect_code(0);
    }
}

/// Kills, each of a run that builds and swaps.
const KILLS: u64 = 10;
const ROWS: usize = 400;

#[test]
fn a_killed_migration_leaves_an_index_that_is_whole_and_goes_on() {
    let tiny = place();
    let rows = (0..ROWS).map(|number| format!("{{\"_id\":\"{number}\",\"text\":\"report {number} about ships\"}}\n"));
    tiny.place.write("many.jsonl", rows.collect::<String>());
    tiny.run(&["index", "many.jsonl", "--index", "index", "--quiet"]).expect_code(0);
    let documents = ROWS as u64 + 6;
    let mut swaps = 0;
    for kill in 0..KILLS {
        let model = if status(&tiny)["model"] == "tiny" { "other" } else { "tiny" };
        // What is left of a migration to the other model is in the way of this one.
        let next = status(&tiny)["next"]["model"].clone();
        if !next.is_null() && next != model {
            migrate(&tiny, &["--drop"]).expect_code(0);
        }
        let words = ["migrate", "--index", "index", "--model", model, "--yes", "--sample", "0", "--quiet"];
        let mut child = tiny.start(&[&words[..], &["--commit-seconds", "1"]].concat());
        // From the start to beyond the end, which takes about a second.
        thread::sleep(Duration::from_millis(120 * kill));
        let _ = child.kill();
        child.wait().unwrap();
        tiny.run(&["verify", "--index", "index"]).expect_code(0);
        let now = status(&tiny);
        assert_eq!(number(&now, "documents"), documents, "{now}");
        swaps += u64::from(now["model"] == model);
        for inside in ["next", "former"] {
            if let Some(alternate) = now.get(inside) {
                assert!(number(alternate, "documents") <= documents, "{now}");
                let whole = inside == "former";
                assert!(!whole || number(alternate, "documents") == documents, "{now}");
            }
        }
    }
    let model = if status(&tiny)["model"] == "tiny" { "other" } else { "tiny" };
    let next = status(&tiny)["next"]["model"].clone();
    if !next.is_null() && next != model {
        migrate(&tiny, &["--drop"]).expect_code(0);
    }
    let done = migrate(&tiny, &["--model", model, "--yes", "--sample", "0"]).expect_code(0).json();
    assert_eq!(done["swapped"], true, "after {swaps} swaps");
    assert_eq!((status(&tiny)["model"].as_str(), number(&status(&tiny), "documents")), (Some(model), documents));
    for leftover in [".leaving", "exchange.json", ".dropped", "next"] {
        assert!(fs::metadata(tiny.place.path("index").join(leftover)).is_err(), "{leftover}");
    }
}
