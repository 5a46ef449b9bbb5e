//! `berth search`, `get`, `eval`, `model` and `doctor`: answers for people and for programs.

use crate::support::{Workplace, keys, number, write_harbour, write_tiny_collection};

const HIT_KEYS: [&str; 9] = ["chunk", "dense", "document", "lexical", "rank", "score", "source", "text", "title"];

#[test]
fn finds_by_meaning_and_by_words() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    let first = |query: &str, mode: &str| {
        let reply = place.search_json(query, &["--mode", mode]);
        assert_eq!(reply["mode"], mode);
        reply["hits"][0]["document"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    };
    assert_eq!(first("where do boats dock", "dense"), "berth.md");
    assert_eq!(first("boats dock in a port", "hybrid"), "berth.md");
    assert_eq!(first("crust", "lexical"), "bread.txt");
    assert_eq!(first("astronomy", "dense"), "star.txt");
}

#[test]
fn json_has_the_keys_that_tools_rely_on() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    let reply = place.search_json("ship moored", &[]);
    for key in ["query", "mode", "took_ms", "hits"] {
        assert!(keys(&reply).contains(&key), "{reply}");
    }
    let hit = &reply["hits"][0];
    for key in HIT_KEYS {
        assert!(keys(hit).contains(&key), "{key} is not in {hit}");
    }
    assert_eq!((number(hit, "rank"), hit["title"].as_str()), (1, Some("Berths")));
    assert_eq!((number(&hit["dense"], "rank"), number(&hit["lexical"], "rank")), (1, 1));
    assert_eq!(keys(&hit["chunk"]), ["end", "ordinal", "start"]);
    let last = reply["hits"].as_array().unwrap().last().unwrap();
    assert!(last["lexical"].is_null(), "bread is no answer of the lexical half: {last}");

    let reply = place.search_json("ship moored", &["--mode", "lexical"]);
    assert!(reply["hits"][0]["dense"].is_null());
}

#[test]
fn the_explanation_adds_up() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    for fusion in ["adaptive", "convex", "rrf"] {
        let reply = place.search_json("ship in harbour", &["--explain", "--fusion", fusion]);
        let hit = &reply["hits"][0];
        let explanation = &hit["explanation"];
        let total: f64 = explanation["children"].as_array().unwrap().iter().map(|c| c["value"].as_f64().unwrap()).sum();
        let score = hit["score"].as_f64().unwrap();
        assert!((total - score).abs() < 1e-5, "{fusion}: {total} is not {score}: {explanation}");
        assert!((explanation["value"].as_f64().unwrap() - score).abs() < 1e-6);
    }
}

#[test]
fn people_get_titles_places_and_snippets() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    let plain = place.run(&["search", "ship", "moored", "--index", "index"]).expect_code(0);
    assert!(plain.stdout.contains(" 1. Berths"), "{}", plain.stdout);
    assert!(plain.stdout.contains("docs/berth.md") && !plain.stdout.contains('\u{1b}'), "{}", plain.stdout);
    let coloured = place.run(&["search", "ship moored", "--index", "index", "--color", "always"]).expect_code(0);
    assert!(coloured.stdout.contains("\u{1b}[33mship\u{1b}[0m"), "{:?}", coloured.stdout);
}

#[test]
fn finds_korean_and_chinese_by_words() {
    let place = Workplace::new();
    place.write("docs/ko.txt", "부산항은 대한민국에서 가장 큰 항구이다. 선박이 부두에 정박한다.");
    place.write("docs/zh.txt", "上海港是世界上最繁忙的集装箱港口。");
    place.index_json("docs", &[]);
    let first = |query: &str| {
        let reply = place.search_json(query, &["--mode", "lexical"]);
        reply["hits"][0]["document"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    };
    assert_eq!(first("부두에서 선박"), "ko.txt");
    assert_eq!(first("集装箱"), "zh.txt");
}

#[test]
fn a_document_is_found_by_the_end_of_its_path() {
    let place = Workplace::new();
    write_harbour(&place);
    place.write("docs/deep/berth.md", "another");
    place.index_json("docs", &[]);
    let text = place.run(&["get", "star.txt", "--index", "index"]).expect_code(0).stdout;
    assert!(text.starts_with("A neutron star"), "{text}");
    place.run(&["get", "berth.md", "--index", "index"]).expect_code(2).expect_message(&["fits several documents"]);
    place.run(&["get", "deep/berth.md", "--index", "index"]).expect_code(0);
    place.run(&["get", "nowhere.md", "--index", "index"]).expect_code(3).expect_message(&["nowhere.md"]);
}

#[test]
fn many_questions_are_timed() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    place
        .write("asked.jsonl", "{\"_id\":\"1\",\"text\":\"where do boats dock\"}\n{\"_id\":\"2\",\"text\":\"bread\"}\n");
    place.write("asked.txt", "astronomy\n?!\n");
    let bench = |more: &[&str]| {
        let words = ["bench", "search", "--index", "index", "--questions", "asked.jsonl,asked.txt", "--json"];
        place.run(&[&words, more].concat()).expect_code(0).json()
    };
    let report = bench(&[]);
    assert_eq!((number(&report, "questions"), number(&report, "chunks"), number(&report, "depth")), (3, 3, 500));
    for part in ["encode", "dense", "lexical", "answer"] {
        let times = ["p50_ms", "p90_ms", "p99_ms", "max_ms"].map(|key| report[part][key].as_f64().unwrap());
        assert!(times[0] > 0.0 && times.is_sorted(), "{part}: {report}");
    }
    let lexical = bench(&["--mode", "lexical", "--limit", "1"]);
    assert_eq!((number(&lexical, "questions"), keys(&lexical).contains(&"encode")), (1, false));
    let words = ["bench", "search", "--index", "index", "--questions"];
    place.run(&[&words[..], &["absent.txt"]].concat()).expect_code(3).expect_message(&["absent.txt"]);
    place.write("empty.txt", "\n!?\n");
    place.run(&[&words[..], &["empty.txt"]].concat()).expect_code(2).expect_message(&["no question"]);
}

#[test]
fn measures_a_collection_and_keeps_its_index() {
    let place = Workplace::new();
    write_tiny_collection(&place);
    let words = ["eval", "--dataset", "tiny", "--cache", "cache", "--json", "--quiet", "--run", "out.trec"];
    let report = place.run(&words).expect_code(0).json();
    assert_eq!((report["dataset"].as_str(), report["split"].as_str()), (Some("tiny"), Some("test")));
    assert_eq!(number(&report, "queries"), 2);
    for mode in ["lexical", "dense", "hybrid"] {
        for metric in ["ndcg@10", "recall@100", "mrr@10", "map"] {
            assert_eq!(report["modes"][mode][metric].as_f64(), Some(1.0), "{mode} {metric}: {report}");
        }
    }
    let tokens = number(&report["encode"], "tokens");
    assert!(tokens > 0 && report["encode"]["tokens_per_second"].as_f64().unwrap() > 0.0);
    let run = std::fs::read_to_string(place.path("out.trec.hybrid")).unwrap();
    assert!(run.starts_with("1\tQ0\ta\t1\t") || run.starts_with("1 Q0 a 1 "), "{run}");
    let again = place.run(&words).expect_code(0).json();
    assert_eq!(again["encode"], report["encode"], "the index was built again");

    let missing = ["eval", "--dataset", "tiny", "--split", "dev", "--quiet"];
    place.run(&missing).expect_code(3).expect_message(&["dev", "test"]);
}

#[test]
fn describes_models_and_this_installation() {
    let place = Workplace::new();
    let list = place.run(&["model", "list"]).expect_code(0).stdout;
    assert!(list.contains("all-minilm-l6-v2") && list.contains("installed"), "{list}");
    let info = place.run(&["model", "info", "all-minilm-l6-v2", "--json"]).expect_code(0).json();
    assert_eq!((number(&info, "dimensions"), number(&info, "max_tokens")), (384, 512));
    place.run(&["model", "verify", "all-minilm-l6-v2"]).expect_code(0);
    place.run(&["model", "info", "no-such"]).expect_code(3).expect_message(&["no-such", "berth model import"]);

    let doctor = place.run(&["doctor", "--json"]).expect_code(0);
    let names: Vec<String> = doctor
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["berth", "home", "processor", "threads", "runtime", "providers", "model", "encoding"]);
    // The pinned ONNX Runtime is that for processors.
    let without_gpu = place.run(&["doctor", "--device", "cuda"]).expect_code(1).stdout;
    assert!(without_gpu.contains("device cuda:0 cannot serve"), "{without_gpu}");
    let sick = place.run(&["doctor", "--home", "nowhere", "--index", "nothing"]);
    let sick = sick.expect_code(1);
    assert!(sick.stdout.contains("scripts/setup") && sick.stdout.contains("berth index"), "{}", sick.stdout);
}
