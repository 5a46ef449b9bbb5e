//! The life of an index: planned, fed from standard input, watched, exported and taken back, purged, kept and restored.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Workplace, number};
use crate::tiny::{Tiny, floats, lines};

const FIXTURE: &str = "bert-sentence";

fn write_texts(place: &Workplace) {
    place.write("docs/one.txt", "a ship lies in the harbour");
    place.write("docs/two.txt", "bread is baked in an oven");
    place.write("docs/three.txt", "a star shines at night");
}

fn index(tiny: &Tiny, path: &str, more: &[&str]) -> Value {
    let words = [&["index", path, "--index", "index", "--json", "--quiet"], more].concat();
    tiny.run(&words).expect_code(0).json()
}

#[test]
fn a_plan_says_what_the_run_does_and_does_none_of_it() {
    let tiny = Tiny::new(FIXTURE);
    write_texts(&tiny.place);
    let plan = |more: &[&str]| {
        let words = [&["index", "docs", "--index", "index", "--dry-run", "--json"], more].concat();
        tiny.run(&words).expect_code(0).json()
    };
    let planned = plan(&["--sync"]);
    assert_eq!((number(&planned, "added"), number(&planned, "documents")), (3, 3));
    assert!(planned["seconds"].is_null(), "{planned}");
    assert!(!tiny.place.index().exists(), "a plan makes no index");
    let done = index(&tiny, "docs", &[]);
    assert_eq!(
        (number(&planned, "to_embed"), number(&planned, "tokens")),
        (number(&done, "embedded"), number(&done, "tokens"))
    );

    fs::rename(tiny.place.path("docs/one.txt"), tiny.place.path("docs/moved.txt")).unwrap();
    tiny.place.write("docs/two.txt", "rye bread keeps for a week");
    tiny.place.write("docs/four.txt", "a new one");
    fs::remove_file(tiny.place.path("docs/three.txt")).unwrap();
    let generation = tiny.run(&["status", "--index", "index", "--json"]).json()["generation"].clone();
    let planned = plan(&["--sync"]);
    let counts = |value: &Value| ["added", "changed", "moved", "removed"].map(|key| number(value, key));
    assert_eq!(counts(&planned), [1, 1, 1, 1], "{planned}");
    let page = tiny.run(&["index", "docs", "--index", "index", "--dry-run", "--sync"]).expect_code(0).stdout;
    for (word, name) in [("add", "four.txt"), ("change", "two.txt"), ("move", "moved.txt"), ("remove", "three.txt")] {
        assert!(page.lines().any(|line| line.starts_with(word) && line.ends_with(name)), "{word} {name}: {page}");
    }
    assert_eq!(tiny.run(&["status", "--index", "index", "--json"]).json()["generation"], generation);
    let done = index(&tiny, "docs", &["--sync"]);
    assert_eq!(counts(&done), counts(&planned));
    assert_eq!(
        (number(&planned, "to_embed"), number(&planned, "tokens")),
        (number(&done, "embedded"), number(&done, "tokens"))
    );
    fs::remove_dir_all(tiny.place.path("docs")).unwrap();
    fs::create_dir(tiny.place.path("docs")).unwrap();
    tiny.run(&["index", "docs", "--index", "index", "--dry-run", "--sync"]).expect_code(5).expect_message(&["3 of 3"]);
}

#[test]
fn rows_come_from_standard_input() {
    let tiny = Tiny::new(FIXTURE);
    let rows =
        "{\"_id\":\"a\",\"text\":\"a ship lies in the harbour\",\"year\":1999}\n\n{\"text\":\"bread\"}\nno JSON\n";
    let words = ["index", "-", "--index", "index", "--json"];
    let ended = tiny.run_with(&words, rows).expect_code(0).expect_message(&["-:4", "not JSON"]);
    assert_eq!((number(&ended.json(), "added"), number(&ended.json(), "skipped")), (2, 1));
    let again = tiny.run_with(&words, "{\"_id\":\"a\",\"text\":\"a ship lies in the harbour\",\"year\":1999}\n").json();
    assert_eq!((number(&again, "unchanged"), number(&again, "embedded")), (1, 0));
    let document = tiny.run(&["get", "a", "--index", "index", "--json"]).expect_code(0).json();
    assert_eq!(document["metadata"]["year"], 1999);
}

#[test]
fn an_export_goes_back_without_being_embedded_again() {
    let tiny = Tiny::new(FIXTURE);
    write_texts(&tiny.place);
    let long: String = (0..200).map(|number| format!("sentence {number} of a long text about ships. ")).collect();
    tiny.place.write("docs/long.md", format!("# Long\n\n{long}"));
    let first = index(&tiny, "docs", &[]);
    let chunks = number(&first, "chunks");
    assert!(chunks > 4, "{first}");
    let report =
        tiny.run(&["export", "--index", "index", "--out", "all.jsonl", "--vectors", "--json"]).expect_code(0).json();
    assert_eq!((number(&report, "documents"), number(&report, "chunks")), (4, chunks));
    let text = fs::read_to_string(tiny.place.path("all.jsonl")).unwrap();
    let row: Value = serde_json::from_str(text.lines().find(|line| line.contains("long.md")).unwrap()).unwrap();
    let chunk = &row["chunks"][1];
    let range = chunk["start"].as_u64().unwrap() as usize..chunk["end"].as_u64().unwrap() as usize;
    assert!(!row["text"].as_str().unwrap()[range].is_empty());

    let back = tiny.run(&["index", "all.jsonl", "--index", "back", "--json", "--quiet"]).expect_code(0).json();
    assert_eq!((number(&back, "added"), number(&back, "embedded"), number(&back, "reused")), (4, 0, chunks), "{back}");
    for question in ["ship", "bread oven"] {
        let hits = |index: &str| {
            let reply = tiny.run(&["search", question, "--index", index, "--json"]).expect_code(0).json();
            reply["hits"]
                .as_array()
                .unwrap()
                .iter()
                .map(|hit| (hit["document"].clone(), hit["source"].clone(), hit["chunk"].clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(hits("index"), hits("back"));
    }
    let again = tiny.run(&["export", "--index", "back", "--out", "again.jsonl", "--vectors", "--json"]).expect_code(0);
    assert_eq!(number(&again.json(), "chunks"), chunks);
    let again = fs::read_to_string(tiny.place.path("again.jsonl")).unwrap();
    for (one, other) in text.lines().zip(again.lines()) {
        let (mut one, mut other): (Value, Value) =
            (serde_json::from_str(one).unwrap(), serde_json::from_str(other).unwrap());
        for (one, other) in
            one["chunks"].as_array_mut().unwrap().iter_mut().zip(other["chunks"].as_array_mut().unwrap())
        {
            let (one, other) = (floats(&one["vector"].take()), floats(&other["vector"].take()));
            assert!(one.iter().zip(&other).all(|(one, other)| (one - other).abs() < 1e-6) && !one.is_empty());
        }
        // They were read from different files.
        for line in [&mut one, &mut other] {
            line["berth"]["file"].take();
            line["berth"]["modified_ns"].take();
        }
        assert_eq!(one, other, "there and back is the same");
    }
    // Without vectors, or with a text that was changed since, the model makes them.
    tiny.run(&["export", "--index", "index", "--out", "texts.jsonl", "--json"]).expect_code(0);
    let back = tiny.run(&["index", "texts.jsonl", "--index", "third", "--json", "--quiet"]).expect_code(0).json();
    assert_eq!(number(&back, "embedded"), number(&first, "embedded"));
    tiny.place.write("changed.jsonl", text.replace("bread is baked", "cake is baked"));
    let back = tiny.run(&["index", "changed.jsonl", "--index", "fourth", "--json", "--quiet"]).expect_code(0).json();
    assert_eq!(number(&back, "embedded"), 1, "{back}");

    tiny.run(&["export", "--index", "index", "--out", "all.parquet"]).expect_code(0);
    let back = tiny.run(&["index", "all.parquet", "--index", "fifth", "--json", "--quiet"]).expect_code(0).json();
    assert_eq!((number(&back, "added"), number(&back, "embedded"), number(&back, "reused")), (4, 0, chunks), "{back}");
    let document = |index: &str, name: &str| {
        let mut document = tiny.run(&["get", name, "--index", index, "--json"]).expect_code(0).json();
        // They were read from different files.
        document["record"]["file"].take();
        document["record"]["modified_ns"].take();
        document
    };
    for name in ["one.txt", "two.txt", "long.md"] {
        let (first, back) = (document("index", name), document("fifth", name));
        assert_eq!(first, back);
        assert_eq!(first["record"]["content_hash"].as_str().unwrap().len(), 32);
        assert!(first["built_with"]["window_tokens"].as_u64() > Some(8), "{first}");
    }
    let mark = &row["berth"];
    assert_eq!(mark["content_hash"], document("index", "long.md")["record"]["content_hash"]);
    assert!(mark["modified_ns"].as_i64() > Some(0) && mark["file"].as_str().unwrap().ends_with("long.md"), "{mark}");
    let parquet = fs::read(tiny.place.path("all.parquet")).unwrap();
    tiny.place.write("cut.parquet", &parquet[..parquet.len() / 2]);
    let cut = ["index", "cut.parquet", "--index", "sixth", "--strict"];
    tiny.run(&cut).expect_code(1).expect_message(&["cut.parquet", "Parquet"]);
    tiny.run(&["export", "--index", "index", "--out", "all.txt"]).expect_code(2).expect_message(&["all.txt", ".jsonl"]);
}

#[test]
fn snapshots_are_kept_listed_verified_and_restored() {
    let tiny = Tiny::new(FIXTURE);
    write_texts(&tiny.place);
    index(&tiny, "docs", &[]);
    let kept = tiny.run(&["snapshot", "create", "kept/first", "--index", "index", "--json"]).expect_code(0).json();
    assert_eq!(number(&kept, "documents"), 3);
    tiny.run(&["snapshot", "create", "kept/first", "--index", "index"]).expect_code(2).expect_message(&["kept/first"]);
    tiny.place.write("docs/two.txt", "changed since");
    index(&tiny, "docs", &[]);
    let purged = tiny.run(&["purge", "--index", "index", "--json"]).expect_code(0).json();
    assert_eq!(number(&purged, "rows"), 1, "{purged}");
    tiny.run(&["purge", "--index", "index"]).expect_code(0);
    tiny.run(&["snapshot", "create", "kept/second", "--index", "index", "--copy"]).expect_code(0);
    let listed = lines(&tiny.run(&["snapshot", "list", "kept", "--json"]).expect_code(0));
    assert_eq!(
        listed.iter().map(|line| line["snapshot"].as_str().unwrap()).collect::<Vec<_>>(),
        ["kept/first", "kept/second"]
    );
    tiny.run(&["snapshot", "verify", "kept/first"]).expect_code(0);
    tiny.run(&["snapshot", "restore", "kept/first", "--index", "restored"]).expect_code(0);
    let again = tiny.run(&["snapshot", "restore", "kept/first", "--index", "restored", "--json"]).expect_code(0).json();
    assert_eq!(again["restored"], false);
    tiny.run(&["snapshot", "restore", "kept/first", "--index", "index"]).expect_code(2).expect_message(&["index"]);
    let old =
        tiny.run(&["search", "bread", "--index", "restored", "--mode", "lexical", "--json"]).expect_code(0).json();
    assert!(old["hits"][0]["document"].as_str().unwrap().ends_with("two.txt"));
    tiny.run(&["index", "docs", "--index", "kept/first"]).expect_code(2).expect_message(&["snapshot", "restore"]);

    let meta = tiny.place.path("kept/second/lexical/meta.json");
    fs::write(&meta, "{}").unwrap();
    tiny.run(&["snapshot", "verify", "kept/second"]).expect_code(4).expect_message(&["lexical/meta.json"]);
    tiny.run(&["snapshot", "restore", "kept/second", "--index", "other"]).expect_code(4).expect_message(&["meta.json"]);
    assert!(!tiny.place.path("other").exists());
    tiny.run(&["snapshot", "list", "docs"]).expect_code(3);
    tiny.run(&["snapshot", "verify", "docs"]).expect_code(3).expect_message(&["docs"]);
}

#[test]
fn a_watch_follows_the_folder_until_it_is_interrupted() {
    let tiny = Tiny::new(FIXTURE);
    write_texts(&tiny.place);
    let mut child = tiny.start(&["watch", "docs", "--index", "index", "--interval", "0.1", "--json", "--quiet"]);
    let wait_for = |documents: u64, lexical: &str| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let status = tiny.run(&["status", "--index", "index", "--json"]);
            let found = tiny.run(&["search", lexical, "--index", "index", "--mode", "lexical", "--json"]).code == 0;
            if status.code == 0 && number(&status.json(), "documents") == documents && found {
                return;
            }
            assert!(Instant::now() < deadline, "{} {}", status.stdout, status.stderr);
            thread::sleep(Duration::from_millis(50));
        }
    };
    wait_for(3, "harbour");
    tiny.place.write("docs/four.txt", "a lighthouse on the cliff");
    wait_for(4, "lighthouse");
    tiny.place.write("docs/four.txt", "a lighthouse and its keeper");
    wait_for(4, "keeper");
    fs::remove_file(tiny.place.path("docs/one.txt")).unwrap();
    wait_for(3, "keeper");
    // A folder that is away for a moment is no reason to end, nor to remove anything.
    let (docs, away) = (tiny.place.path("docs"), tiny.place.path("away"));
    fs::rename(&docs, &away).unwrap();
    thread::sleep(Duration::from_millis(700));
    wait_for(3, "keeper");
    fs::rename(&away, &docs).unwrap();
    tiny.place.write("docs/five.txt", "a beacon");
    wait_for(4, "beacon");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    tiny.run(&["verify", "--index", "index"]).expect_code(0);
}
