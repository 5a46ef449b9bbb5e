//! An index keeps how its halves are joined, and questions use it unless they say otherwise.

use crate::support::write_tiny_collection;
use crate::tiny::Tiny;

#[test]
fn stored_weights_count_unless_a_question_names_others() {
    let tiny = Tiny::new("bert-sentence");
    tiny.place.write("rows.jsonl", "{\"_id\":\"a\",\"text\":\"a ship\"}\n{\"_id\":\"b\",\"text\":\"an oven\"}\n");
    tiny.run(&["index", "rows.jsonl", "--index", "index", "--quiet"]).expect_code(0);
    let weights = |words: &[&str]| {
        tiny.run(&[&["weights"], words, &["--index", "index", "--json"]].concat()).expect_code(0).json()["weights"]
            .clone()
    };
    let fusion = |more: &[&str]| {
        let words = [&["search", "ship", "--index", "index", "--explain", "--json"], more].concat();
        tiny.run(&words).expect_code(0).json()["fusion"].clone()
    };
    assert!(weights(&["show"]).is_null());
    assert_eq!((fusion(&[])["kind"].as_str(), fusion(&[])["from_index"].as_bool()), (Some("adaptive"), Some(false)));
    let set = weights(&["set", "--fusion", "convex", "--dense-weight", "0.25", "--normalize", "z-score"]);
    assert_eq!((set["fusion"]["dense_weight"].as_f64(), set["for_this_model"].as_bool()), (Some(0.25), Some(true)));
    assert_eq!((&fusion(&[])["kind"], fusion(&[])["dense_weight"].as_f64()), (&"convex".into(), Some(0.25)));
    assert_eq!(fusion(&["--dense-weight", "0.5"])["normalize"], "z-score");
    assert_eq!(fusion(&["--fusion", "rrf"])["kind"], "rrf");
    // What is not named stays.
    assert_eq!(weights(&["set", "--dense-weight", "0.75"])["fusion"]["normalize"], "z-score");
    let page = tiny.run(&["search", "ship", "--index", "index", "--explain"]).expect_code(0).stdout;
    assert!(page.contains("convex, dense weight 0.75, z-score (stored in the index)"), "{page}");
    let status = tiny.run(&["status", "--index", "index"]).expect_code(0).stdout;
    assert!(status.contains("weights       convex, dense weight 0.75, z-score\n"), "{status}");
    // A file says it before the index does.
    tiny.place.write("berth.toml", "dense_weight = 0.125\n");
    assert_eq!(fusion(&[])["dense_weight"], 0.125);
    std::fs::remove_file(tiny.place.path("berth.toml")).unwrap();

    tiny.run(&[
        "migrate", "--index", "index", "--model", "tiny", "--window", "40", "--sample", "0", "--yes", "--quiet",
    ])
    .expect_code(0);
    assert_eq!(weights(&["show"])["for_this_model"], true, "windows are not the model");
    tiny.run(&["snapshot", "create", "kept", "--index", "index"]).expect_code(0);
    let path = tiny.place.path("index/weights.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("0.75", "0.95")).unwrap();
    for words in [&["search", "ship"][..], &["weights", "show"], &["status"], &["verify"]] {
        tiny.run(&[words, &["--index", "index"]].concat()).expect_code(4).expect_message(&["weights.json"]);
    }
    assert!(tiny.run(&["weights", "clear", "--index", "index", "--json"]).expect_code(0).json()["weights"].is_null());
    assert_eq!(fusion(&[])["kind"], "adaptive");
    tiny.run(&["snapshot", "restore", "kept", "--index", "restored"]).expect_code(0);
    let restored = tiny.run(&["weights", "show", "--index", "restored"]).expect_code(0).stdout;
    assert!(restored.contains("dense weight 0.75"), "{restored}");
    tiny.run(&["weights", "set", "--dense-weight", "2", "--index", "index"]).expect_code(2);
    tiny.run(&["weights", "show", "--index", "nowhere"]).expect_code(3).expect_message(&["nowhere"]);
}

#[test]
fn weights_of_another_model_lose_their_dense_weight() {
    let tiny = Tiny::new("bert-sentence");
    let other =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints/mpnet-sentence");
    tiny.run(&["model", "import", other.to_str().unwrap(), "--name", "other"]).expect_code(0);
    tiny.place.write("rows.jsonl", "{\"_id\":\"a\",\"text\":\"a ship\"}\n{\"_id\":\"b\",\"text\":\"an oven\"}\n");
    tiny.run(&["index", "rows.jsonl", "--index", "index", "--quiet"]).expect_code(0);
    tiny.run(&["weights", "set", "--fusion", "rrf", "--dense-weight", "0.9", "--rrf-k", "20", "--index", "index"])
        .expect_code(0);
    tiny.run(&["migrate", "--index", "index", "--model", "other", "--sample", "0", "--yes", "--quiet"]).expect_code(0);
    let words = ["search", "ship", "--index", "index", "--model", "other", "--explain", "--json"];
    let reply = tiny.run(&words).expect_code(0).expect_message(&["another model", "berth weights"]).json();
    let (k, weight) = (reply["fusion"]["k"].as_f64(), reply["fusion"]["dense_weight"].as_f64());
    assert_eq!((k, weight), (Some(20.0), Some(0.5)));
    let quiet = tiny.run(&[&words[..], &["--dense-weight", "0.6"]].concat()).expect_code(0);
    assert!(quiet.stderr.is_empty(), "{}", quiet.stderr);
    tiny.run(&["migrate", "--index", "index", "--rollback", "--quiet"]).expect_code(0);
    let page = tiny.run(&["weights", "show", "--index", "index"]).expect_code(0).stdout;
    assert_eq!(page, "index: rrf, dense weight 0.9, k 20\n");
}

#[test]
fn an_evaluation_narrows_and_aggregates() {
    let tiny = Tiny::new("bert-sentence");
    write_tiny_collection(&tiny.place);
    tiny.place.write(
        "tiny/corpus.jsonl",
        "{\"_id\":\"a\",\"title\":\"\",\"text\":\"a ship lies in the harbour\",\"metadata\":{\"year\":1999}}\n\
         {\"_id\":\"b\",\"title\":\"\",\"text\":\"bread is baked in an oven\",\"metadata\":{\"year\":2020}}\n",
    );
    let eval = |more: &[&str]| {
        let words = [&["eval", "--dataset", "tiny", "--modes", "lexical", "--json", "--quiet"], more].concat();
        tiny.run(&words)
    };
    let all = eval(&[]).expect_code(0).json();
    assert_eq!((all["modes"]["lexical"]["ndcg@10"].as_f64(), all.get("filter")), (Some(1.0), None));
    // Of one query the right document may not be found.
    let narrowed = eval(&["--filter", "year:[2000 TO *]", "--aggregate", "top-mean:2"]).expect_code(0).json();
    assert_eq!(narrowed["modes"]["lexical"]["ndcg@10"], 0.5);
    assert_eq!((narrowed["filter"].as_str(), number(&narrowed)), (Some("year:[2000 TO *]"), Some(2)));
    eval(&["--filter", "colour:red"]).expect_code(2).expect_message(&["colour"]);
    eval(&["--aggregate", "mean"]).expect_code(2);
}

/// How many passages count for a document.
fn number(report: &serde_json::Value) -> Option<u64> {
    report["aggregate"]["top-mean"].as_u64()
}
