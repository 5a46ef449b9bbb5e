//! Late interaction through the binary: token rows in an index, and hits that they order anew.

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
            // The sum over six tokens ("quay" is two) and its mean.
            let (max_sim, score) = (hit["late"]["score"].as_f64().unwrap(), hit["score"].as_f64().unwrap());
            assert!((max_sim / 6.0 - score).abs() < 1e-5, "{mode}: {hit}");
            let parts = hit["explanation"]["children"].as_array().unwrap();
            let value = |part: usize| parts[part]["value"].as_f64().unwrap();
            assert!((value(0) - max_sim).abs() < 1e-5 && value(1) == 6.0, "{mode}: {hit}");
            assert!(parts[2]["label"].as_str().unwrap().starts_with("not counted: "), "{mode}: {hit}");
        }
        assert!(hits.is_sorted_by(|a, b| a["score"].as_f64() >= b["score"].as_f64()), "{mode}: {reply}");
    }
    let plain = place.search_json("ship moored to the quay", &[]);
    assert!(!keys(&plain["hits"][0]).contains(&"late"), "{plain}");
    let page = place.run(&["search", "ship", "--index", "index", "--rerank", "late", "-k", "1"]).expect_code(0);
    assert!(page.stdout.contains(" · late #1 ") && page.stdout.contains("1 hit in"), "{}", page.stdout);
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
    place.run(&["search", "x", "--index", "index", "--rerank", "cross"]).expect_code(2).expect_message(&["late"]);
}

#[test]
fn token_rows_follow_their_documents() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &["--token-rows"]);
    let status = place.status_json();
    assert_eq!((number(&status, "format"), number(&status, "token_dimensions")), (2, 384));
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
    assert_eq!((number(&status, "format"), number(&status, "token_rows")), (1, 0));
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
