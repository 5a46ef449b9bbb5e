//! Synonyms, pinned results, completion, suggestions and the log of questions, as a user meets them.

use serde_json::{Value, json};

use crate::support::{Workplace, number, write_harbour};

fn titles(reply: &Value) -> Vec<String> {
    let name = |hit: &Value| hit["document"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    reply["hits"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn synonyms_find_and_are_explained() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    place.write("words.txt", "# harbour words\ndock, berth, mooring place\nloaf => sourdough bread\n");
    let synonyms = |words: &[&str]| place.run(&[&["synonyms"], words, &["--index", "index"]].concat());
    synonyms(&["list"]).expect_code(3).expect_message(&["no synonyms"]);
    let search =
        |query: &str| place.run(&["search", query, "--mode", "lexical", "--index", "index", "--json", "--explain"]);
    search("dock").expect_code(3);
    assert_eq!(synonyms(&["set", "words.txt", "--json"]).expect_code(0).json(), json!({"words": 5}));
    let reply = search("dock").expect_code(0).json();
    assert_eq!(titles(&reply), ["berth.md"]);
    let hit = &reply["hits"][0];
    let label = hit["explanation"]["children"][0]["label"].as_str().unwrap();
    assert!(label.starts_with("berth (synonym of dock): "), "{label}");
    let marked = hit["highlights"][0].as_array().unwrap();
    let text = hit["text"].as_str().unwrap();
    let marked = &text[marked[0].as_u64().unwrap() as usize..marked[1].as_u64().unwrap() as usize];
    assert_eq!(marked.to_lowercase(), "berths");
    assert_eq!(titles(&search("a loaf").expect_code(0).json())[0], "bread.txt");
    search("sourdoughs loaf -sourdough").expect_code(3);

    assert!(synonyms(&["list"]).expect_code(0).stdout.contains("# harbour words\ndock, berth"));
    place.write("wrong.txt", "dock, berth\nalone\n");
    synonyms(&["set", "wrong.txt"]).expect_code(2).expect_message(&["line 2", "one word alone"]);
    synonyms(&["set", "absent.txt"]).expect_code(3).expect_message(&["absent.txt"]);
    place.write("latin.txt", b"caf\xe9, bar\n");
    synonyms(&["set", "latin.txt"]).expect_code(2).expect_message(&["not UTF-8 at byte 3"]);
    search("dock").expect_code(0);
    synonyms(&["clear"]).expect_code(0);
    search("dock").expect_code(3);
    place.run(&["verify", "--index", "index"]).expect_code(0);
}

#[test]
fn pinned_documents_come_first_where_they_may() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    let pin = |words: &[&str]| place.run(&[&["pin"], words, &["--index", "index"]].concat());
    pin(&["list"]).expect_code(3);
    pin(&["set", "ships", "absent.md"]).expect_code(3).expect_message(&["'absent.md'"]);
    pin(&["set", "?", "star.txt"]).expect_code(2).expect_message(&["no words"]);
    let set = pin(&["set", "moored ships", "star.txt", "bread.txt", "--json"]).expect_code(0).json();
    assert!(set["documents"][0].as_str().unwrap().ends_with("docs/deep/star.txt"), "{set}");
    for mode in ["lexical", "dense", "hybrid"] {
        let search =
            |query: &str, more: &[&str]| place.search_json(query, &[&["--mode", mode, "--explain"], more].concat());
        let reply = search("Moored  SHIP", &[]);
        assert_eq!(titles(&reply), ["star.txt", "bread.txt", "berth.md"], "{mode}");
        assert_eq!((&reply["hits"][0]["pinned"], &reply["hits"][2]["pinned"]), (&json!(true), &Value::Null));
        let label = reply["hits"][0]["explanation"]["label"].as_str().unwrap();
        assert_eq!(label.starts_with("pinned"), mode == "lexical", "{label}");
        let newer = ["--filter", "modified:>2000", "-k", "1"];
        assert_eq!(titles(&search("moored ships", &newer)), ["star.txt"], "{mode}");
        let without = format!("NOT id:\"{}\"", set["documents"][0].as_str().unwrap());
        assert_eq!(titles(&search("moored ships", &["--filter", &without]))[0], "bread.txt", "{mode}");
        assert_eq!(titles(&search("ship", &[]))[0], "berth.md", "{mode}");
    }
    let page = place.run(&["search", "moored ships", "--mode", "lexical", "--index", "index"]).expect_code(0).stdout;
    assert!(page.contains(" · pinned"), "{page}");
    assert!(pin(&["list"]).expect_code(0).stdout.starts_with("moored ships\n  1. /"));
    pin(&["remove", "mooring ship"]).expect_code(0);
    pin(&["remove", "mooring ship"]).expect_code(3).expect_message(&["nothing is pinned"]);
    assert_eq!(titles(&place.search_json("moored ships", &["--mode", "lexical"])), ["berth.md"]);
}

#[test]
fn words_are_completed_and_corrected() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    let complete = |words: &[&str]| place.run(&[&["complete"], words, &["--index", "index"]].concat());
    let reply = complete(&["the", "har", "--json"]).expect_code(0).json();
    assert_eq!(reply["typed"], "the har");
    assert_eq!(reply["completions"][0], json!({"text": "the harbour", "word": "harbour", "passages": 1}));
    assert_eq!(complete(&["sour"]).expect_code(0).stdout, "sourdough  1\n");
    complete(&["xyz"]).expect_code(3).expect_message(&["'xyz'"]);
    let ended = place.run(&["search", "harbuor", "--mode", "lexical", "--index", "index"]).expect_code(3);
    ended.expect_message(&["did you mean: harbour", "nothing found"]);
    let reply = place.search_json("sourdoh bread", &["--mode", "hybrid"]);
    assert_eq!(reply["suggestion"], "sourdough bread");
    assert_eq!(place.search_json("harbour", &["--mode", "lexical"])["suggestion"], Value::Null);
}

#[test]
fn questions_are_kept_when_somebody_wants_them() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    let log = place.index().join("queries.jsonl");
    let queries = |words: &[&str]| place.run(&[&["queries", "--index", "index"], words].concat());
    let search = |words: &[&str]| place.run(&[&["search", "--mode", "lexical", "--index", "index"], words].concat());
    search(&["harbour"]).expect_code(0);
    assert!(!log.exists(), "only when it was asked for");
    queries(&[]).expect_code(3).expect_message(&["berth search --log"]);
    search(&["harbour", "--log"]).expect_code(0);
    place.write("berth.toml", "[search]\nlog = true\n");
    search(&["Harbour"]).expect_code(0);
    search(&["zeppelin"]).expect_code(3);
    let line: Value = serde_json::from_str(std::fs::read_to_string(&log).unwrap().lines().next().unwrap()).unwrap();
    assert_eq!((&line["query"], &line["mode"], &line["hits"]), (&json!("harbour"), &json!("lexical"), &json!(1)));
    assert_eq!(crate::support::keys(&line), ["hits", "mode", "ms", "query", "relevance", "time"]);
    std::fs::write(&log, std::fs::read_to_string(&log).unwrap() + "half a li").unwrap();
    search(&["bread"]).expect_code(0);

    let report = queries(&["--json"]).expect_code(0).json();
    assert_eq!((number(&report, "queries"), number(&report, "distinct")), (3, 2), "{report}");
    assert_eq!((number(&report, "found_nothing"), number(&report, "damaged_lines")), (1, 1));
    assert_eq!((&report["commonest"][0]["query"], &report["commonest"][0]["times"]), (&json!("Harbour"), &json!(2)));
    let nothing = queries(&["--nothing", "--since", "1h"]).expect_code(0).stdout;
    assert!(nothing.contains("zeppelin") && !nothing.contains("arbour"), "{nothing}");
    queries(&["--since", "yesterday"]).expect_code(2);
    place.run(&["queries", "--index", "absent"]).expect_code(3).expect_message(&["no index at absent"]);

    place.run(&["snapshot", "create", "kept", "--index", "index"]).expect_code(0);
    assert!(!place.path("kept/queries.jsonl").exists());
    place
        .run(&["search", "harbour", "--mode", "lexical", "--index", "kept"])
        .expect_code(0)
        .expect_message(&["not logged"]);
    place.run(&["verify", "--index", "index"]).expect_code(0);
    let ended = place.run(&["purge", "--index", "index"]).expect_code(0);
    ended.expect_message(&["3 questions", "--queries"]);
    let purged = place.run(&["purge", "--index", "index", "--queries", "--json"]).expect_code(0).json();
    assert_eq!(number(&purged, "queries"), 3);
    assert!(!log.exists());
}
