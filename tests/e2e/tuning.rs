//! Tuning fits how lists are joined to the judgements of one split, keeps what gains on held-out queries, and refuses what does not.

use std::fmt::Write;

use serde_json::Value;

use crate::tiny::Tiny;

const WORDS: [&str; 36] = [
    "anchor", "baker", "candle", "desert", "engine", "forest", "garden", "harbour", "island", "jacket", "kitchen",
    "ladder", "market", "needle", "orange", "pepper", "quarry", "river", "saddle", "timber", "umbrella", "valley",
    "window", "yellow", "zebra", "bridge", "copper", "dragon", "feather", "granite", "hammer", "ivory", "jungle",
    "kettle", "lantern", "mirror",
];

/// Seventy documents of nine words, each with a query of four of its words. The model of these tests knows nothing, so that the
/// lexical half is better alone.
fn write_collection(tiny: &Tiny, judged: impl Fn(usize) -> usize) {
    let (mut corpus, mut queries, mut train) =
        (String::new(), String::new(), "query-id\tcorpus-id\tscore\n".to_owned());
    for number in 0..70_usize {
        let word = |place: usize| WORDS[(number * 7 + place * place * 5 + number * place) % WORDS.len()];
        let text: Vec<&str> = (0..9).map(word).collect();
        let asked = [text[1], text[3], text[4], text[7]].join(" ");
        let _ = writeln!(corpus, r#"{{"_id":"d{number}","title":"{}","text":"{}"}}"#, text[0], text.join(" "));
        let _ = writeln!(queries, r#"{{"_id":"q{number}","text":"{asked}"}}"#);
        let _ = writeln!(train, "q{number}\td{}\t1", judged(number));
    }
    tiny.place.write("set/corpus.jsonl", &corpus);
    tiny.place.write("set/queries.jsonl", &queries);
    tiny.place.write("set/qrels/train.tsv", &train);
    // Whoever reads the split that judges fails: it is no file.
    std::fs::create_dir_all(tiny.place.path("set/qrels/test.tsv")).unwrap();
}

fn ndcg(report: &Value) -> f64 {
    report["modes"]["hybrid"]["ndcg@10"].as_f64().unwrap()
}

#[test]
fn what_gains_is_kept_and_says_what_a_search_will_score() {
    let tiny = Tiny::new("bert-sentence");
    write_collection(&tiny, |number| number);
    let tune = |more: &[&str]| tiny.run(&[&["tune", "--dataset", "set", "--json", "--quiet"], more].concat());
    let report = tune(&["--out", "profile.toml", "--html", "report.html"]).expect_code(0).json();
    let number = |value: &Value| value.as_f64().unwrap();
    let (default, held_out) = (number(&report["held_out"]["mean_a"]), number(&report["held_out"]["mean_b"]));
    assert!(report["ships"] == true && held_out > default, "{report}");
    assert_eq!((report["queries"].as_u64(), report["folds"].as_array().unwrap().len()), (Some(70), 5));
    // What was computed in memory is what searching gives.
    let eval = |more: &[&str]| {
        let words = ["eval", "--dataset", "set", "--split", "train", "--modes", "hybrid", "--json", "--quiet"];
        ndcg(&tiny.run(&[&words, more].concat()).expect_code(0).json())
    };
    assert!((eval(&[]) - default).abs() < 1e-9);
    assert!((eval(&["--profile", "profile.toml"]) - number(&report["fitted"])).abs() < 1e-9);
    let page = std::fs::read_to_string(tiny.place.path("report.html")).unwrap();
    assert!(page.contains("Tuning on set") && page.contains("tuned, held out"));
    assert_eq!(tune(&[]).expect_code(0).json()["held_out"], report["held_out"], "the same seed, the same figures");

    // An index of the same documents keeps it, and searches by it.
    tiny.run(&["index", "set/corpus.jsonl", "--index", "index", "--quiet"]).expect_code(0);
    assert_eq!(tune(&["--index", "index", "--dry-run"]).expect_code(0).json()["stored"], false);
    assert_eq!(tune(&["--index", "index"]).expect_code(0).json()["stored"], true);
    let explained = ["search", "anchor", "--index", "index", "--explain", "--json"];
    let fusion = tiny.run(&explained).expect_code(0).json()["fusion"].clone();
    assert_eq!((&fusion["from_index"], &fusion["kind"]), (&true.into(), &report["profile"]["fusion"]["kind"]));
    let status = tiny.run(&["status", "--index", "index"]).expect_code(0).stdout;
    assert!(status.contains("tuned on set train (70 queries, seed 1)"), "{status}");
    let text = std::fs::read_to_string(tiny.place.path("profile.toml")).unwrap();
    let fingerprint = text.lines().find(|line| line.starts_with("fingerprint")).unwrap();
    tiny.place.write("other.toml", text.replace(fingerprint, "fingerprint = \"0\""));
    tiny.run(&[&explained[..], &["--profile", "other.toml"]].concat()).expect_code(4).expect_message(&["other.toml"]);
    tiny.place.write("broken.toml", "format = 1\n");
    tiny.run(&[&explained[..], &["--profile", "broken.toml"]].concat()).expect_code(4).expect_message(&["broken.toml"]);
}

#[test]
fn what_gains_nothing_is_refused() {
    let tiny = Tiny::new("bert-sentence");
    // Judgements that have nothing to do with what is asked.
    write_collection(&tiny, |number| (number * number * 13 + number * 29 + 11) % 70);
    let words = ["tune", "--dataset", "set", "--out", "profile.toml", "--quiet"];
    let page = tiny.run(&words).expect_code(5).stdout;
    assert!(page.contains("refused: all stays as it is"), "{page}");
    assert!(!tiny.place.path("profile.toml").exists());
}

#[test]
fn splits_that_judge_too_few_queries_and_unknown_documents_are_told() {
    let tiny = Tiny::new("bert-sentence");
    write_collection(&tiny, |number| number);
    let tune = |more: &[&str]| tiny.run(&[&["tune", "--dataset", "set", "--quiet"], more].concat());
    tune(&["--split", "test"]).expect_code(2).expect_message(&["--cross-validate-only"]);
    tiny.place.write("set/qrels/few.tsv", "q1\td1\t1\nq2\td2\t1\n");
    tune(&["--split", "few"]).expect_code(2).expect_message(&["50", "has 2"]);
    let train = std::fs::read_to_string(tiny.place.path("set/qrels/train.tsv")).unwrap();
    tiny.place.write("set/qrels/more.tsv", format!("{train}q1\tnowhere\t1\nnobody\td1\t1\n"));
    tune(&["--split", "more"]).expect_code(0).expect_message(&["nowhere", "nobody"]);
    tune(&["--split", "more", "--strict"]).expect_code(2).expect_message(&["nowhere", "nobody"]);
    tune(&["--split", "dev"]).expect_code(3).expect_message(&["dev"]);
    tune(&["--index", "nowhere"]).expect_code(3).expect_message(&["nowhere"]);
}
