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

#[test]
fn relevance_is_fitted_to_judgements_of_the_documents() {
    let tiny = Tiny::new("bert-sentence");
    let names = (0..60).map(|n| format!("word{n}")).collect::<Vec<_>>();
    let row = |n: usize| {
        let name = &names[n];
        format!("{{\"_id\":\"d{n}\",\"title\":\"\",\"text\":\"the {name} of the harbour, {name} again\"}}\n")
    };
    tiny.place.write("judged/corpus.jsonl", (0..60).map(row).collect::<String>());
    let query = |n: usize| format!("{{\"_id\":\"q{n}\",\"text\":\"harbour {}\"}}\n", names[n]);
    tiny.place.write("judged/queries.jsonl", (0..60).map(query).collect::<String>());
    let head = "query-id\tcorpus-id\tscore\n".to_owned();
    let judged = |count: usize| head.clone() + &(0..count).map(|n| format!("q{n}\td{n}\t1\n")).collect::<String>();
    tiny.place.write("judged/qrels/train.tsv", judged(60));
    tiny.place.write("judged/qrels/few.tsv", judged(5));
    tiny.run(&["index", "judged/corpus.jsonl", "--index", "index", "--quiet"]).expect_code(0);
    let relevance = || {
        let reply = tiny.run(&["search", "harbour word7", "--mode", "lexical", "--index", "index", "--json"]).json();
        assert_eq!(reply["hits"][0]["document"], "d7", "{reply}");
        number_of(&reply["hits"][0]["relevance"]) - number_of(&reply["hits"][1]["relevance"])
    };
    let before = relevance();
    let fit = ["weights", "fit", "--dataset", "judged", "--index", "index", "--split"];
    let few = tiny.run(&[&fit[..], &["few"]].concat());
    few.expect_code(2).expect_message(&["30 relevant answers", "name a split"]);
    let fitted = tiny.run(&[&fit[..], &["train", "--json"]].concat()).expect_code(0).json();
    let lexical = &fitted["modes"]["lexical"];
    assert_eq!(lexical["relevant"], 60, "{fitted}");
    assert!(number_of(&lexical["fitted_loss"]) < number_of(&lexical["built_in_loss"]), "{fitted}");
    assert!(number_of(&lexical["curve"]["coverage"]) > 0.0 && lexical["curve"]["cosine"] == 0.0, "{fitted}");
    assert!(relevance() > before, "what was judged stands out more than before");
    let shown = tiny.run(&["weights", "show", "--index", "index"]).expect_code(0).stdout;
    assert!(shown.contains("relevance fitted to judgements") && shown.contains("adaptive"), "{shown}");
    let table = tiny.run(&[&fit[..], &["train"]].concat()).expect_code(0).stdout;
    assert!(table.contains("60 queries of judged, train") && table.contains("· coverage"), "{table}");
    tiny.run(&["weights", "clear", "--index", "index"]).expect_code(0);
    assert!((relevance() - before).abs() < 1e-6);
}

fn number_of(value: &serde_json::Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}
