//! Late interaction through the binary: token rows in an index, and hits that they order anew.

use serde_json::Value;

use crate::support::{Workplace, keys, number, write_harbour, write_tiny_collection};

#[test]
fn hits_are_ordered_by_their_tokens() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &["--token-rows"]);
    for mode in ["hybrid", "dense", "lexical"] {
        let reply = place.search_json("ship moored to the quay", &["--mode", mode, "--rerank", "late", "--explain"]);
        let hits = reply["hits"].as_array().unwrap();
        assert!(hits[0]["document"].as_str().unwrap().ends_with("berth.md"), "{mode}: {reply}");
        for (position, hit) in hits.iter().enumerate() {
            assert_eq!(number(&hit["late"], "rank"), position as u64 + 1, "{mode}: {hit}");
            // The sum over six tokens ("quay" is two), its mean, and half of that: the model was not trained for it.
            let max_sim = float(&hit["late"]["score"]);
            let parts = &hit["explanation"]["children"];
            let (late, before) = (&parts[0], &parts[1]);
            assert!((float(&late["value"]) - max_sim / 6.0 / 2.0).abs() < 1e-5, "{mode}: {hit}");
            assert!((float(&late["value"]) + float(&before["value"]) - float(&hit["score"])).abs() < 1e-5, "{hit}");
            let (weight, score_before) = (&before["children"][0], &before["children"][1]);
            assert_eq!(float(&weight["value"]), 0.5, "{mode}: {hit}");
            let is_share = score_before["label"].as_str().unwrap().starts_with("share = ");
            assert_eq!(is_share, mode == "lexical", "{mode}: {hit}");
        }
        assert!(hits.is_sorted_by(|a, b| a["score"].as_f64() >= b["score"].as_f64()), "{mode}: {reply}");
    }
    let plain = place.search_json("ship moored to the quay", &[]);
    assert!(!keys(&plain["hits"][0]).contains(&"late"), "{plain}");
    let page = place.run(&["search", "ship", "--index", "index", "--rerank", "late", "-k", "1"]).expect_code(0);
    assert!(page.stdout.contains(" · late #1 ") && page.stdout.contains("1 hit in"), "{}", page.stdout);
}

#[test]
fn the_weight_says_what_counts() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &["--token-rows"]);
    let ask = |more: &[&str]| place.search_json("ship moored to the quay", more)["hits"].as_array().unwrap().clone();
    for mode in ["hybrid", "dense"] {
        let (plain, anew) =
            (ask(&["--mode", mode]), ask(&["--mode", mode, "--rerank", "late", "--rerank-weight", "0"]));
        let scores = |hits: &[Value]| {
            let of = |hit: &Value| (hit["document"].as_str().unwrap().to_owned(), float(&hit["score"]));
            hits.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(scores(&anew), scores(&plain), "{mode}: all of the score before");
    }
    let lexical = ask(&["--mode", "lexical", "--rerank", "late", "--rerank-weight", "0"]);
    assert_eq!(float(&lexical[0]["score"]), 1.0, "the best BM25 counts as 1");

    let by_max_sim = |hits: Vec<Value>| {
        for hit in hits {
            assert!((float(&hit["late"]["score"]) / 6.0 - float(&hit["score"])).abs() < 1e-5, "{hit}");
        }
    };
    by_max_sim(ask(&["--rerank", "late", "--rerank-weight", "1"]));
    place.write("berth.toml", "rerank_weight = 1");
    by_max_sim(ask(&["--rerank", "late"]));
    let words = ["search", "x", "--index", "index", "--rerank", "late", "--rerank-weight", "1.5"];
    place.run(&words).expect_code(2).expect_message(&["--rerank-weight", "from 0 to 1"]);
}

#[test]
fn the_depth_says_how_many_are_looked_at() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &["--token-rows"]);
    let count = |more: &[&str]| {
        let reply = place.search_json("ship oven star", &[&["--rerank", "late"], more].concat());
        reply["hits"].as_array().unwrap().len()
    };
    assert_eq!(count(&["--rerank-depth", "1", "-k", "1"]), 1);
    assert_eq!(count(&["--rerank-depth", "1", "-k", "3"]), 3, "as many as are wanted are looked at");
    place.run(&["search", "x", "--index", "index", "--rerank", "magic"]).expect_code(2).expect_message(&["late"]);
}

#[test]
fn token_rows_follow_their_documents() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &["--token-rows"]);
    let status = place.status_json();
    assert_eq!((number(&status, "format"), number(&status, "token_dimensions")), (3, 384));
    assert!(number(&status, "token_rows") > 40 && number(&status, "token_bytes") > 40 * 388, "{status}");
    let page = place.run(&["status", "--index", "index"]).expect_code(0);
    assert!(page.stdout.contains("token rows") && page.stdout.contains(" of 384 values, "), "{}", page.stdout);

    // Without the option the index keeps what it has: a new document gets token rows, a renamed one keeps its own.
    std::fs::rename(place.path("docs/bread.txt"), place.path("docs/loaf.txt")).unwrap();
    place.write("docs/new.txt", "A lighthouse warns ships of rocks.");
    let report = place.index_json("docs", &["--sync", "--force"]);
    assert_eq!((number(&report, "embedded"), number(&report, "moved")), (1, 1), "{report}");
    let reply = place.search_json("sourdough in the oven", &["--rerank", "late"]);
    assert!(reply["hits"][0]["document"].as_str().unwrap().ends_with("loaf.txt"), "{reply}");
    assert_eq!(reply["hits"].as_array().unwrap().len(), 4, "{reply}");
    let verified = place.run(&["verify", "--index", "index", "--json"]).expect_code(0).json();
    assert!(number(&verified, "token_rows") > 40, "{verified}");
}

#[test]
fn an_index_without_token_rows_says_so() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    let status = place.status_json();
    assert_eq!((number(&status, "format"), number(&status, "token_rows")), (3, 0));
    let advice = ["built without token rows", "--token-rows"];
    place.run(&["search", "ship", "--index", "index", "--rerank", "late"]).expect_code(2).expect_message(&advice);
    place.run(&["index", "docs", "--index", "index", "--token-rows"]).expect_code(2).expect_message(&advice);
}

#[test]
fn a_collection_is_measured_with_late_interaction() {
    let place = Workplace::new();
    write_tiny_collection(&place);
    let words = ["eval", "--dataset", "tiny", "--cache", "cache", "--rerank", "late", "--json", "--quiet"];
    let report = place.run(&words).expect_code(0).json();
    assert_eq!(keys(&report["modes"]), ["dense", "dense+late", "hybrid", "hybrid+late", "lexical", "lexical+late"]);
    for mode in keys(&report["modes"]) {
        assert_eq!(report["modes"][mode]["ndcg@10"].as_f64(), Some(1.0), "{report}");
    }
}

fn float(value: &Value) -> f64 {
    value.as_f64().unwrap()
}
