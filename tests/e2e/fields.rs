//! Metadata fields: declared, inferred, filtered, counted and sorted by, and what is wrong with a filter.

use serde_json::{Value, json};

use crate::support::{Workplace, number};

/// Rows about harbours, with a language and a year each.
fn write_reports(place: &Workplace) {
    let rows = [
        json!({"_id": "a", "title": "Crane", "text": "the harbour crane was inspected", "lang": "en", "year": 2019}),
        json!({"_id": "b", "text": "the north quay was repaired", "lang": "en", "year": 2021, "tags": ["quay", "works"]}),
        json!({"_id": "c", "text": "부두의 크레인을 점검했다", "lang": "ko", "year": 2022, "tags": ["works"]}),
        json!({"_id": "d", "text": "harbour dues for the quay", "lang": "en", "year": "soon"}),
        json!({"_id": "e", "text": "", "lang": "de"}),
    ];
    let lines: Vec<String> = rows.iter().map(ToString::to_string).collect();
    place.write("reports.jsonl", lines.join("\n"));
}

fn documents(reply: &Value) -> Vec<&str> {
    reply["hits"].as_array().unwrap().iter().map(|hit| hit["document"].as_str().unwrap()).collect()
}

#[test]
fn filters_hold_in_every_mode() {
    let place = Workplace::new();
    write_reports(&place);
    let words =
        ["index", "reports.jsonl", "--index", "index", "--json", "--quiet", "--field", "year:integer,tags:keyword"];
    let report = place.run(&words).expect_code(0).json();
    let problem = &report["problems"][0]["reason"].as_str().unwrap();
    assert!(problem.contains("'year' of 'd'") && problem.contains("integer") && number(&report, "skipped") == 0);
    let status = place.status_json();
    assert_eq!(status["fields"]["year"], json!({"kind": "integer", "documents": 3}));
    assert_eq!(status["fields"]["lang"], json!({"kind": "keyword", "documents": 5}));
    let page = place.run(&["status", "--index", "index"]).expect_code(0).stdout;
    assert!(page.contains("tags (keyword), 2 documents"), "{page}");

    for mode in ["lexical", "dense", "hybrid"] {
        let found = |filter: &str| {
            let reply = place.search_json("harbour quay", &["--mode", mode, "--filter", filter]);
            let mut found: Vec<String> = documents(&reply).into_iter().map(str::to_owned).collect();
            found.sort_unstable();
            found.join(" ")
        };
        assert_eq!(found("lang:en AND year:[2020 TO *]"), "b", "{mode}");
        assert_eq!(found("lang:en -tags:works"), "a d", "{mode}");
    }
    let reply = place.search_json("lang:en harbour -crane", &[]);
    assert_eq!(documents(&reply).len(), 2, "{reply}");
    assert!(!documents(&reply).contains(&"a"), "{reply}");
    let reply = place.search_json("\"north quay\"", &["--mode", "hybrid"]);
    assert_eq!(documents(&reply), ["b"]);
    let reply = place.search_json("AND harbour", &["--mode", "lexical"]);
    assert!(reply["warnings"][0].as_str().unwrap().contains("plain words"), "{reply}");
}

#[test]
fn counts_and_sorts() {
    let place = Workplace::new();
    write_reports(&place);
    place.index_json("reports.jsonl", &[]);
    let list = |words: &[&str]| {
        let words = [&["search", "--index", "index", "--json"], words].concat();
        place.run(&words).expect_code(0).json()
    };
    let reply = list(&["--filter", "lang:*", "--facet", "lang,tags:1", "--sort", "year:desc"]);
    assert_eq!(documents(&reply), ["c", "b", "a", "d", "e"]);
    assert_eq!(reply["facets"]["lang"][0], json!({"value": "en", "count": 3}));
    assert_eq!(reply["facets"]["tags"], json!([{"value": "works", "count": 2}]));
    assert_eq!(reply["hits"][4]["text"], "");
    assert_eq!(documents(&list(&["--sort", "year", "-k", "2"])), ["a", "b"]);

    let reply = place.search_json("harbour", &["--mode", "lexical", "--facet", "year", "--sort", "year:desc"]);
    assert_eq!(documents(&reply), ["a", "d"]);
    assert_eq!(reply["facets"]["year"], json!([{"value": 2019, "count": 1}]));
    let page = place.run(&["search", "--index", "index", "--filter", "year:>2020", "--facet", "lang"]).expect_code(0);
    assert!(page.stdout.contains("lang  en 1 · ko 1"), "{}", page.stdout);
}

#[test]
fn a_filter_that_cannot_be_used_is_explained() {
    let place = Workplace::new();
    write_reports(&place);
    place.index_json("reports.jsonl", &[]);
    let check = |filter: &str, parts: &[&str]| {
        let ended = place.run(&["search", "quay", "--mode", "lexical", "--index", "index", "--filter", filter]);
        ended.expect_code(2).expect_message(parts);
    };
    check("langauge:ko", &["no field 'langauge'", "lang (keyword)", "year (integer)", "source"]);
    check("year:soon", &["'year' is of kind integer", "soon"]);
    check("lang:ko AND", &["byte 11"]);
    check("korean", &["'korean' names no field"]);
    check(&"(".repeat(10_000), &["32 deep"]);
    check(&vec!["lang:ko"; 10_000].join(" OR "), &["1024 clauses"]);
    let run =
        |words: &[&str]| place.run(&[&["search", "quay", "--mode", "lexical", "--index", "index"], words].concat());
    run(&["--sort", "size"]).expect_code(2).expect_message(&["cannot sort", "no field 'size'"]);
    run(&["--facet", "title"]).expect_code(2).expect_message(&["'title' is text"]);
    run(&["--filter", "lang:fr"]).expect_code(3);
    place.run(&["search", "--index", "index"]).expect_code(2).expect_message(&["<QUERY>"]);
    let words = ["index", "reports.jsonl", "--index", "index", "--field", "year:keyword"];
    place.run(&words).expect_code(2).expect_message(&["'year'", "is of kind integer, not keyword"]);
    // A query of whatever is typed is no error.
    for query in ["lang:", "((((", "+ - * ~", "crane AND", "year:[2020 TO"] {
        let ended = place.run(&["search", query, "--mode", "lexical", "--index", "index"]);
        assert!([0, 2, 3].contains(&ended.code) && !ended.stderr.contains("panicked"), "{query}: {}", ended.stderr);
    }
}
