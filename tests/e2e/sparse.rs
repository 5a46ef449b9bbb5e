//! Learned-sparse vectors through the binary: a third list in an index that was built with a model for them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{keys, number, write_tiny_collection};
use crate::tiny::Tiny;

/// A home with a model of vectors, `tiny`, and one of sparse vectors, `splade`; and six rows.
fn place() -> Tiny {
    let tiny = Tiny::new("bert-sentence");
    import(&tiny, "bert-splade", "splade");
    let rows = [
        ("a", "", "a ship lies in the harbour", "ann"),
        ("b", "Baking at home", "bread is baked in an oven", "bob"),
        ("c", "", "a star shines at night. It is far away.", "ann"),
        ("d", "", "the pilot boards the ship at dawn", "bob"),
        ("e", "", "", "ann"),
        ("f", "", "a crane lifts the cargo", "bob"),
    ];
    let row = |(id, title, text, who): &(&str, &str, &str, &str)| {
        serde_json::json!({"_id": id, "title": title, "text": text, "who": [who]}).to_string() + "\n"
    };
    tiny.place.write("rows.jsonl", rows.iter().map(row).collect::<String>());
    tiny
}

fn import(tiny: &Tiny, fixture: &str, name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints").join(fixture);
    tiny.run(&["model", "import", folder.to_str().unwrap(), "--name", name]).expect_code(0);
}

fn index(tiny: &Tiny, folder: &str, more: &[&str]) -> Value {
    let words = [&["index", "rows.jsonl", "--index", folder, "--json", "--quiet"], more].concat();
    tiny.run(&words).expect_code(0).json()
}

fn search(tiny: &Tiny, folder: &str, more: &[&str]) -> Value {
    let words = [&["search", "a ship at night", "--index", folder, "--json"], more].concat();
    tiny.run(&words).expect_code(0).json()
}

fn hits(reply: &Value) -> &[Value] {
    reply["hits"].as_array().unwrap()
}

/// Documents with their scores.
fn ranking(reply: &Value) -> Vec<(String, f64)> {
    hits(reply).iter().map(|hit| (hit["document"].as_str().unwrap().to_owned(), float(&hit["score"]))).collect()
}

fn float(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn three_lists_make_an_answer() {
    let tiny = place();
    let report = index(&tiny, "index", &["--sparse-model", "splade"]);
    assert_eq!((number(&report, "embedded"), number(&report, "sparse_cut")), (5, 0), "{report}");
    index(&tiny, "plain", &[]);
    let status = tiny.run(&["status", "--index", "index", "--json"]).expect_code(0).json();
    assert_eq!((status["sparse"]["model"].as_str(), number(&status, "format")), (Some("splade"), 3), "{status}");
    let page = tiny.run(&["status", "--index", "index"]).expect_code(0).stdout;
    assert!(page.contains("sparse model  splade in fp32\n"), "{page}");
    let verified = tiny.run(&["verify", "--index", "index", "--json"]).expect_code(0).json();
    assert_eq!(number(&verified, "sparse_vectors"), 5, "{verified}");

    let reply = search(&tiny, "index", &["--explain"]);
    assert!((float(&reply["fusion"]["sparse_weight"]) - 0.1).abs() < 1e-6, "{reply}");
    for hit in hits(&reply) {
        let root = &hit["explanation"];
        assert_eq!(root["label"], "hybrid = halves + sparse list", "{hit}");
        let parts: f64 = root["children"].as_array().unwrap().iter().map(|part| float(&part["value"])).sum();
        assert!((parts - float(&hit["score"])).abs() < 1e-6, "{hit}");
        assert_eq!(float(&root["value"]), float(&hit["score"]), "{hit}");
    }
    assert!(number(&hits(&reply)[0]["sparse"], "rank") > 0, "{reply}");
    let page = tiny.run(&["search", "ship", "--index", "index", "--explain"]).expect_code(0).stdout;
    assert!(page.contains(" · sparse #1 ") && page.contains("adaptive, dense weight 0.5, sparse weight 0.1"), "{page}");

    // Alone it ranks by the scalar product, which is the sum over the pieces that both have.
    let alone = search(&tiny, "index", &["--mode", "sparse", "--explain"]);
    assert!(hits(&alone).len() > 1 && hits(&alone).is_sorted_by(|a, b| float(&a["score"]) >= float(&b["score"])));
    for (rank, hit) in (1..).zip(hits(&alone)) {
        assert_eq!((number(&hit["sparse"], "rank"), hit["dense"].is_null()), (rank, true), "{hit}");
        let pieces = hit["explanation"]["children"].as_array().unwrap();
        let sum: f64 = pieces.iter().map(|piece| float(&piece["value"])).sum();
        assert!(sum > 0.0 && (sum - float(&hit["score"])).abs() < 1e-4, "{sum} {}", hit["score"]);
        for piece in pieces {
            let (_, weights) = piece["label"].as_str().unwrap().rsplit_once(": ").unwrap();
            let weights = weights.strip_suffix(" in the chunk").unwrap().split_once(" in the question · ").unwrap();
            let product = weights.0.parse::<f64>().unwrap() * weights.1.parse::<f64>().unwrap();
            assert!((product - float(&piece["value"])).abs() < 1e-6, "{piece}");
        }
        assert!((0.0..=1.0).contains(&float(&hit["relevance"])), "{hit}");
    }
    // Without weight it is as if there were none.
    let without = search(&tiny, "index", &["--sparse-weight", "0"]);
    assert_eq!(ranking(&without), ranking(&search(&tiny, "plain", &[])));
    assert!(hits(&without).iter().all(|hit| hit.get("sparse").is_none()), "{without}");
    // All of the weight is the order of the list.
    let all = search(&tiny, "index", &["--sparse-weight", "1", "--fusion", "convex"]);
    let order = |reply: &Value| ranking(reply).into_iter().map(|(document, _)| document).collect::<Vec<_>>();
    assert_eq!(order(&all)[..hits(&alone).len()], order(&alone)[..]);

    let weights = |words: &[&str]| {
        tiny.run(&[&["weights"], words, &["--index", "index", "--json"]].concat()).expect_code(0).json()
    };
    assert_eq!(weights(&["set", "--sparse-weight", "0.75"])["weights"]["sparse_weight"], 0.75);
    assert_eq!(weights(&["set", "--fusion", "rrf"])["weights"]["sparse_weight"], 0.75, "what is not named stays");
    let stored = search(&tiny, "index", &["--explain"])["fusion"].clone();
    assert_eq!((&stored["kind"], &stored["sparse_weight"]), (&"rrf".into(), &0.75.into()));
}

#[test]
fn filters_and_access_lists_hold_for_the_sparse_list() {
    let tiny = place();
    index(&tiny, "index", &["--sparse-model", "splade", "--access-field", "who"]);
    let documents = |more: &[&str]| {
        let mut found: Vec<String> =
            ranking(&search(&tiny, "index", more)).into_iter().map(|(document, _)| document).collect();
        found.sort();
        found
    };
    for mode in ["sparse", "hybrid"] {
        let ann = documents(&["--mode", mode, "--as", "ann"]);
        assert!(!ann.is_empty() && ann.iter().all(|id| ["a", "c", "e"].contains(&id.as_str())), "{mode}: {ann:?}");
        let filtered = documents(&["--mode", mode, "--as-owner", "--filter", "who:bob AND id:d"]);
        assert_eq!(filtered, ["d"], "{mode}");
    }
    tiny.run(&["search", "ship", "--index", "index", "--mode", "sparse"]).expect_code(2).expect_message(&["--as"]);
}

#[test]
fn vectors_follow_their_documents_and_stay_when_the_other_model_goes() {
    let tiny = place();
    import(&tiny, "mpnet-sentence", "other");
    index(&tiny, "index", &["--sparse-model", "splade"]);
    let sparse = |more: &[&str]| search(&tiny, "index", &[&["--mode", "sparse"], more].concat());
    let before = ranking(&sparse(&[]));

    // Without the option the index keeps what it has. A document of another name keeps its vectors.
    let rows = fs::read_to_string(tiny.place.path("rows.jsonl")).unwrap();
    let changed = rows.replace("\"_id\":\"a\"", "\"_id\":\"z\"") + "{\"_id\":\"g\",\"text\":\"a buoy at sea\"}\n";
    tiny.place.write("rows.jsonl", changed);
    let report = index(&tiny, "index", &["--sync", "--force"]);
    assert_eq!((number(&report, "embedded"), number(&report, "reused")), (1, 1), "{report}");
    let moved: Vec<(String, f64)> = ranking(&sparse(&[])).into_iter().filter(|(id, _)| id != "g").collect();
    let renamed = |(id, score): &(String, f64)| (if id == "a" { "z".to_owned() } else { id.clone() }, *score);
    assert_eq!(sorted(moved), sorted(before.iter().map(renamed).collect()));
    let verified = tiny.run(&["verify", "--index", "index", "--json"]).expect_code(0).json();
    assert_eq!((number(&verified, "sparse_vectors"), verified["problems"].as_array().unwrap().len()), (6, 0));

    // Vectors that come with rows are not enough.
    let export = ["export", "--index", "index", "--out", "kept.jsonl", "--vectors"];
    tiny.run(&export).expect_code(0);
    let words = ["index", "kept.jsonl", "--index", "back", "--sparse-model", "splade", "--json", "--quiet"];
    let back = tiny.run(&words).expect_code(0).json();
    assert_eq!((number(&back, "embedded"), number(&back, "reused")), (6, 0), "{back}");
    assert_eq!(ranking(&search(&tiny, "back", &["--mode", "sparse"])), ranking(&sparse(&[])));

    let current = ranking(&sparse(&[]));
    let migrate = ["migrate", "--index", "index", "--model", "other", "--sample", "3", "--yes", "--quiet", "--json"];
    tiny.run(&migrate).expect_code(0);
    let status = tiny.run(&["status", "--index", "index", "--json"]).expect_code(0).json();
    assert_eq!((status["model"].as_str(), status["sparse"]["model"].as_str()), (Some("other"), Some("splade")));
    assert_eq!(sorted(ranking(&sparse(&["--model", "other"]))), sorted(current.clone()));
    tiny.run(&["compact", "--index", "index"]).expect_code(0);
    tiny.run(&["purge", "--index", "index"]).expect_code(0);
    assert_eq!(sorted(ranking(&sparse(&["--model", "other"]))), sorted(current));
}

fn sorted(mut ranking: Vec<(String, f64)>) -> Vec<(String, f64)> {
    ranking.sort_by(|a, b| a.0.cmp(&b.0));
    ranking
}

#[test]
fn an_index_without_sparse_vectors_says_so_and_so_does_a_missing_model() {
    let tiny = place();
    index(&tiny, "plain", &[]);
    let advice = ["built without sparse vectors", "--sparse-model"];
    let refused = |words: &[&str]| tiny.run(words).expect_code(2).expect_message(&advice);
    refused(&["search", "ship", "--index", "plain", "--mode", "sparse"]);
    refused(&["search", "ship", "--index", "plain", "--sparse-weight", "0.5"]);
    refused(&["index", "rows.jsonl", "--index", "plain", "--sparse-model", "splade"]);
    refused(&["weights", "set", "--sparse-weight", "0.5", "--index", "plain"]);
    tiny.run(&["search", "ship", "--index", "plain", "--sparse-weight", "0"]).expect_code(0);
    tiny.run(&["index", "rows.jsonl", "--index", "new", "--sparse-model", "nowhere"])
        .expect_code(3)
        .expect_message(&["nowhere", "import"]);
    let message = ["bert-sentence", "head 'sparse'"];
    let ended = tiny.run(&["index", "rows.jsonl", "--index", "new", "--sparse-model", "tiny"]).expect_message(&message);
    assert!(ended.code > 0 && !tiny.place.path("new").exists(), "a model without that head: {}", ended.stderr);

    index(&tiny, "index", &["--sparse-model", "splade"]);
    import(&tiny, "bert-splade", "again");
    tiny.run(&["index", "rows.jsonl", "--index", "index", "--sparse-model", "again"])
        .expect_code(4)
        .expect_message(&["model is splade, not again"]);
    fs::remove_dir_all(tiny.place.path("home/models/splade")).unwrap();
    for words in [&["search", "ship"][..], &["search", "ship", "--mode", "sparse"], &["index", "rows.jsonl"]] {
        tiny.run(&[words, &["--index", "index"]].concat()).expect_code(3).expect_message(&["splade", "import"]);
    }
    for more in [&["--mode", "lexical"][..], &["--mode", "dense"], &["--sparse-weight", "0"]] {
        search(&tiny, "index", more);
    }
}

#[test]
fn a_collection_is_measured_with_a_third_list() {
    let tiny = place();
    write_tiny_collection(&tiny.place);
    let words = ["eval", "--dataset", "tiny", "--cache", "cache", "--json", "--quiet"];
    let eval = |more: &[&str]| tiny.run(&[&words[..], more].concat());
    let report = eval(&["--sparse", "splade", "--sparse-weight", "0.5"]).expect_code(0).json();
    assert_eq!(keys(&report["modes"]), ["dense", "hybrid", "lexical", "sparse"]);
    eval(&["--modes", "sparse"]).expect_code(2).expect_message(&["--sparse-model"]);
    assert_eq!(keys(&eval(&[]).expect_code(0).json()["modes"]), ["dense", "hybrid", "lexical"]);
    tiny.place.write("questions.txt", "a ship\nan oven\n");
    index(&tiny, "index", &["--sparse-model", "splade"]);
    let bench = ["bench", "search", "--index", "index", "--questions", "questions.txt", "--rounds", "1", "--json"];
    let report = tiny.run(&[&bench[..], &["--mode", "sparse"]].concat()).expect_code(0).json();
    assert!(report["sparse"]["p50_ms"].is_number() && report.get("dense").is_none(), "{report}");
    let report = tiny.run(&bench).expect_code(0).json();
    assert!(report["encode_sparse"]["p50_ms"].is_number() && report["dense"]["p50_ms"].is_number(), "{report}");
}
