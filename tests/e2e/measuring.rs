//! `berth eval` beyond its figures: each query, the worst ones, the page, an index of one's own, run files of others, answers
//! inside documents, sentence pairs; `berth compare`.

use serde_json::Value;

use crate::support::{Ended, Workplace};
use crate::tiny::{Tiny, lines};

/// Five documents and four queries: one with two right answers, one whose words no document has, one without any right answer.
fn write_port(place: &Workplace) {
    let documents = [
        ("crane", "the crane lifts cargo from the ship"),
        ("tide", "the tide lifts every ship in the harbour"),
        ("bread", "bread is baked in a hot oven"),
        ("star", "a star is dense beyond measure"),
        ("pilot", "a pilot brings the ship into the harbour"),
    ];
    let row = |(id, text): (&str, &str)| serde_json::json!({"_id": id, "title": "", "text": text}).to_string() + "\n";
    place.write("port/corpus.jsonl", documents.map(row).concat());
    let queries =
        [("q1", "ship harbour tide"), ("q2", "hot\toven"), ("q3", "zeppelin airship"), ("q4", "nothing answers this")];
    let row = |(id, text): (&str, &str)| serde_json::json!({"_id": id, "text": text}).to_string() + "\n";
    place.write("port/queries.jsonl", queries.map(row).concat());
    let judged =
        "query-id\tcorpus-id\tscore\nq1\ttide\t2\nq1\tpilot\t1\nq1\tbread\t0\nq2\tbread\t1\nq3\tstar\t1\nq4\tstar\t0\n";
    place.write("port/qrels/test.tsv", judged);
}

fn eval(tiny: &Tiny, more: &[&str]) -> Ended {
    let words = ["eval", "--dataset", "port", "--cache", "cache", "--quiet"];
    tiny.run(&[&words[..], more].concat())
}

#[test]
fn each_query_is_told_and_the_worst_are_shown() {
    let tiny = Tiny::new("bert-sentence");
    write_port(&tiny.place);
    let files = ["--per-query", "queries.tsv", "--html", "report.html", "--worst", "2"];
    let asked = ["--measures", "ndcg@10,p@1,recall@100,mrr,ndcg@10", "--modes", "lexical"];
    let report = eval(&tiny, &[&files[..], &asked, &["--json"]].concat()).expect_code(0).json();
    let lexical = &report["modes"]["lexical"];
    assert_eq!(
        (report["queries"].as_u64(), report["judgements"].as_u64()),
        (Some(3), Some(6)),
        "q4 has no right answer"
    );
    for (measure, expected) in [("ndcg@10", 2.0 / 3.0), ("precision@1", 2.0 / 3.0), ("recall@100", 2.0 / 3.0)] {
        assert!((lexical[measure].as_f64().unwrap() - expected).abs() < 1e-9, "{measure}: {lexical}");
    }
    assert!(lexical["index_bytes"].as_u64() > Some(0) && lexical["map"].is_null(), "{lexical}");
    let worst = report["worst"].as_array().unwrap();
    assert_eq!((worst.len(), &worst[0]["query"], &worst[0]["missed"][0]), (2, &"q3".into(), &"star".into()));
    assert_eq!((&worst[0]["first_relevant"], &worst[1]["query"]), (&Value::Null, &"q1".into()), "ties by id");

    let table = std::fs::read_to_string(tiny.place.path("queries.tsv")).unwrap();
    let mut rows = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let head = "query text mode ndcg@10 precision@1 recall@100 mrr first_relevant missed ms";
    assert_eq!(rows.next().unwrap().join(" "), head);
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[1][..8], ["q2", "hot oven", "lexical", "1.000000", "1.000000", "1.000000", "1.000000", "1"]);
    assert_eq!((rows[2][7], rows[2][8]), ("", "star"));

    let page = std::fs::read_to_string(tiny.place.path("report.html")).unwrap();
    for part in
        ["Search quality on port", "Precision over recall", "Relevance of judged hits", "All queries", "--per-query"]
    {
        assert!(page.contains(part), "{part}");
    }
    let shown = eval(&tiny, &["--modes", "lexical,dense,hybrid", "--worst", "1"]).expect_code(0).stdout;
    assert!(shown.starts_with("port · test · 3 queries · 6 judgements\n"), "{shown}");
    for part in [
        "hybrid against dense: ",
        "hybrid against lexical: ",
        "worst of hybrid by ndcg@10\n  ",
        "p50 ms",
        "index: 5 documents",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    eval(&tiny, &["--per-query", "queries.jsonl"]).expect_code(0);
    let told = std::fs::read_to_string(tiny.place.path("queries.jsonl")).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((told.len(), &told[1]["text"]), (9, &"hot\toven".into()));
    assert!(told.iter().all(|row| row["ms"].as_f64() > Some(0.0) && row["success@1"].is_number()), "{told:?}");
    eval(&tiny, &["--measures", "bleu@4"]).expect_code(2).expect_message(&["unknown measure 'bleu@4'"]);
}

#[test]
fn an_index_of_ones_own_is_measured_as_it_is_searched() {
    let tiny = Tiny::new("bert-sentence");
    write_port(&tiny.place);
    tiny.run(&["index", "port/corpus.jsonl", "--index", "index", "--quiet"]).expect_code(0);
    tiny.run(&["weights", "set", "--fusion", "rrf", "--rrf-k", "7", "--index", "index"]).expect_code(0);
    let own = eval(&tiny, &["--index", "index", "--json"]).expect_code(0).json();
    assert_eq!((&own["joining"]["kind"], own["joining"]["k"].as_f64()), (&"rrf".into(), Some(7.0)));
    assert_eq!((own["index"]["documents"].as_u64(), own.get("encode")), (Some(5), None));
    let named = eval(&tiny, &["--index", "index", "--fusion", "convex", "--json"]).expect_code(0).json();
    assert_eq!(named["joining"]["kind"], "convex");
    assert!(!tiny.place.path("cache").exists(), "nothing is indexed");

    let missing = ["--index", "nowhere"];
    eval(&tiny, &missing).expect_code(3).expect_message(&["nowhere"]);
    eval(&tiny, &["--index", "index", "--window", "64"]).expect_code(2).expect_message(&["--window"]);
    eval(&tiny, &["--index", "index", "--modes", "sparse"]).expect_code(2).expect_message(&["sparse"]);
    tiny.place.write("other.jsonl", "{\"_id\":\"x\",\"text\":\"a ship\"}\n");
    tiny.run(&["index", "other.jsonl", "--index", "other", "--quiet"]).expect_code(0);
    eval(&tiny, &["--index", "other"]).expect_code(2).expect_message(&["none of which is in the index"]);
}

#[test]
fn judgements_of_what_is_not_there_are_counted_or_refused() {
    let tiny = Tiny::new("bert-sentence");
    write_port(&tiny.place);
    let judged = "query-id\tcorpus-id\tscore\nq1\ttide\t1\nq1\tgone\t1\nq9\ttide\t1\nq9\tstar\t1\nq1\ttide\t1\n";
    tiny.place.write("port/qrels/test.tsv", judged);
    let told = eval(&tiny, &["--modes", "lexical", "--json"]).expect_code(0);
    let warnings = told.json()["warnings"].to_string();
    for part in ["1 judged queries have no text; their 2 judgements are left out: q9", "missed: gone", "stand twice"] {
        assert!(warnings.contains(part) && told.stderr.contains(part), "{part}: {warnings}");
    }
    assert_eq!(told.json()["modes"]["lexical"]["recall@100"], 0.5, "what is gone counts as missed");
    let refused = eval(&tiny, &["--modes", "lexical", "--strict"]).expect_code(2);
    refused.expect_message(&["test.tsv", "q9", "gone", "3 judgements"]);
}

#[test]
fn runs_of_other_engines_are_scored_without_a_model() {
    let place = Workplace::new();
    write_port(&place);
    place.write("bm25.trec", "q1 Q0 pilot 1 2.5 other\nq1 Q0 tide 2 2.25 other\nq2 Q0 star 1 1 other\n");
    let eval =
        |more: &[&str]| place.run(&[&["eval", "--dataset", "port", "--home", "no-home", "--from-run"], more].concat());
    let told = eval(&["bm25.trec", "--json", "--per-query", "queries.jsonl"]).expect_code(0);
    told.expect_message(&["2 judged queries have no answer"]);
    let report = eval(&["bm25.trec", "--json"]).json();
    let figures = &report["modes"]["bm25.trec"];
    assert_eq!((figures["mrr@10"].as_f64(), figures.get("p50_ms")), (Some(1.0 / 3.0), None));
    let ndcg = (1.0 + 2.0 / 3f64.log2()) / (2.0 + 1.0 / 3f64.log2());
    assert!((figures["ndcg@10"].as_f64().unwrap() - ndcg / 3.0).abs() < 1e-9, "{figures}");
    let told =
        Ended { code: 0, stdout: std::fs::read_to_string(place.path("queries.jsonl")).unwrap(), stderr: String::new() };
    assert_eq!(lines(&told)[1]["missed"], serde_json::json!(["bread"]));

    place.write("other.trec", "x1 Q0 a 1 1 other\n");
    eval(&["other.trec"]).expect_code(2).expect_message(&["other.trec", "x1", "q1, q2, q3"]);
    place.write("broken.trec", "q1 Q0 a 1\n");
    eval(&["broken.trec"]).expect_code(2).expect_message(&["broken.trec:1", "six were wanted"]);
    eval(&["absent.trec"]).expect_code(3).expect_message(&["absent.trec"]);
    eval(&["bm25.trec", "--modes", "dense"]).expect_code(2).expect_message(&["--modes"]);
}

#[test]
fn two_runs_are_compared_by_the_same_judgements() {
    let place = Workplace::new();
    write_port(&place);
    place.write("a.trec", "q1 Q0 pilot 1 2 a\nq1 Q0 tide 2 1 a\nq2 Q0 star 1 1 a\nq2 Q0 bread 2 0.5 a\n");
    place.write("b.trec", "q1 Q0 tide 1 2 b\nq1 Q0 pilot 2 1 b\nq2 Q0 bread 1 1 b\nq3 Q0 star 1 1 b\n");
    let compare = |more: &[&str]| place.run(&[&["compare", "a.trec", "b.trec"], more].concat());
    let told = compare(&["--dataset", "port", "--measures", "mrr@10,ndcg@10", "--json", "--html", "report.html"]);
    let told =
        told.expect_code(0).expect_message(&["1 judged queries are answered by b.trec alone", "count as 0", "q3"]);
    let report = told.json();
    let sides = ["queries", "only_a", "only_b", "neither"].map(|key| report[key].as_u64().unwrap());
    assert_eq!(sides, [3, 0, 1, 0], "q4 has no right answer: {report}");
    let (by_rank, by_gain) = (&report["comparisons"][0], &report["comparisons"][1]);
    // Reciprocal ranks: 1, 1/2, 0 against 1, 1, 1; of the four ways to give two differences a sign, two are as far from 0.
    assert_eq!((by_rank["measure"].as_str(), by_rank["mean_a"].as_f64()), (Some("mrr@10"), Some(0.5)));
    assert_eq!((by_rank["p_value"].as_f64(), by_rank["exact"].as_bool()), (Some(0.5), Some(true)));
    assert_eq!((by_gain["p_value"].as_f64(), by_gain["p_holm"].as_f64()), (Some(0.25), Some(0.5)));
    assert_eq!(
        (by_rank["wins"].as_u64(), by_rank["losses"].as_u64(), by_rank["ties"].as_u64()),
        (Some(2), Some(0), Some(1))
    );
    assert_eq!((&report["changed"][0]["query"], &report["changed"][1]["text"]), (&"q3".into(), &"hot\toven".into()));
    let page = std::fs::read_to_string(place.path("report.html")).unwrap();
    assert!(page.contains("b.trec against a.trec") && page.contains("All queries"));

    let common = compare(&["--dataset", "port", "--common", "--json"]).expect_code(0);
    let common = common.expect_message(&["are left out"]).json();
    assert_eq!((common["queries"].as_u64(), common["comparisons"].as_array().unwrap().len()), (Some(2), 7));
    let shown = compare(&["--qrels", "port/qrels/test.tsv", "--level", "0.9", "--seed", "3"]).expect_code(0).stdout;
    for part in [
        "A: a.trec\nB: b.trec\ntest.tsv · 3 queries",
        "90 % interval",
        "p (Holm)",
        "changed most by ndcg@10\n  +1.0000  0.0000 → 1.0000  q3",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    compare(&[]).expect_code(2).expect_message(&["--dataset"]);
    compare(&["--dataset", "port", "--level", "1"]).expect_code(2).expect_message(&["below 1"]);
    compare(&["--qrels", "absent.tsv"]).expect_code(3).expect_message(&["absent.tsv"]);
    place.write("berth.toml", "dataset = \"port\"\n");
    assert!(compare(&[]).expect_code(0).stdout.contains("port, test"), "the file may name the collection");
    place.write("a.trec", "x Q0 pilot 1 2 a\n");
    compare(&["--dataset", "port"]).expect_code(2).expect_message(&["a.trec", "none of the 4 judged queries"]);
    place.write("a.trec", "q3 Q0 star 1 2 a\n");
    place.write("b.trec", "q1 Q0 tide 1 2 b\n");
    compare(&["--dataset", "port", "--common"]).expect_code(2).expect_message(&["no query to compare by"]);
}

#[test]
fn passages_are_held_against_answers_inside_documents() {
    let tiny = Tiny::new("bert-sentence");
    write_port(&tiny.place);
    let sentence = |n: usize| format!("In year {n} the log of the harbour says little. ");
    let before: String = (1900..1930).map(sentence).collect();
    let answer = "Then a zeppelin was moored at the quay — of all things.";
    let text = before.clone() + answer + &(1930..1960).map(sentence).collect::<String>();
    let row = |id: &str, text: &str| serde_json::json!({"_id": id, "title": "", "text": text}).to_string() + "\n";
    tiny.place.write("port/corpus.jsonl", row("log", &text) + &row("star", "a star"));
    tiny.place.write("port/qrels/test.tsv", "q3\tlog\t1\nq2\tstar\t1\nq1\tlog\t1\n");
    let start = before.chars().count();
    let span = |query: &str, document: &str, answer: &str| {
        let end = start + answer.chars().count();
        serde_json::json!({"query-id": query, "corpus-id": document, "start": start, "end": end, "answer": answer})
            .to_string()
            + "\n"
    };
    let spans = span("q3", "log", answer)
        + &span("q2", "gone", "lost")
        + &span("q1", "log", "another text")
        + &span("q9", "log", answer);
    tiny.place.write("port/spans.jsonl", spans);
    let words = ["--modes", "lexical", "--window", "24", "--overlap", "4"];
    let ask = |k: &str| eval(&tiny, &[&words[..], &["--span-k", k, "--json"]].concat()).expect_code(0);
    let told = ask("1");
    assert!(told.stderr.contains("2 answers of spans.jsonl"), "{}", told.stderr);
    let of = |report: Value| {
        assert_eq!(report["spans"]["queries"], 1, "{report}");
        ["recall", "precision", "iou"].map(|key| report["spans"]["modes"]["lexical"][key].as_f64().unwrap())
    };
    let [recall, precision, iou] = of(told.json());
    assert!(recall > 0.4 && precision > 0.4 && iou <= recall.min(precision), "{recall} {precision} {iou}");
    let [_, wider, _] = of(ask("5").json());
    assert!(wider <= precision, "only one passage has the word: {wider}");
    let shown = eval(&tiny, &[&words[..], &["--html", "report.html"]].concat()).expect_code(0).stdout;
    assert!(shown.contains("\nspans · first 5 passages · 1 queries\n"), "{shown}");
    assert!(std::fs::read_to_string(tiny.place.path("report.html")).unwrap().contains("Answers inside documents"));
}

#[test]
fn cosines_of_sentences_are_compared_with_what_people_say() {
    let tiny = Tiny::new("bert-sentence");
    let pairs =
        "sentence1\tsentence2\tscore\na ship\ta ship\t5\na ship\tbread is baked\t0.5\na star\ta star is dense\t3\n";
    tiny.place.write("pairs.tsv", pairs);
    let mut with_variable = tiny.place.berth(&["eval", "sts", "--help"]);
    assert!(with_variable.env("BERTH_DATASET", "port").output().unwrap().status.success());
    tiny.place.write("berth.toml", "dataset = \"port\"\n[eval.sts]\nprompt = \"none\"\n");
    let report = tiny.run(&["eval", "sts", "pairs.tsv", "--json"]).expect_code(0).json();
    assert_eq!((report["pairs"].as_u64(), report["prompt"].as_str()), (Some(3), Some("none")));
    for key in ["spearman", "pearson"] {
        assert!((-1.0..=1.0).contains(&report[key].as_f64().unwrap()), "{report}");
    }
    let shown = tiny.run(&["eval", "sts", "pairs.tsv"]).expect_code(0).stdout;
    assert!(shown.starts_with("tiny · 3 pairs\n\nspearman  "), "{shown}");
    tiny.place.write("pairs.tsv", "a\tb\t1\nc\td\tmuch\n");
    tiny.run(&["eval", "sts", "pairs.tsv"]).expect_code(2).expect_message(&["pairs.tsv:2", "'much'"]);
    tiny.place.write("pairs.tsv", "a\tb\t1\nc\td\t1\n");
    let told = tiny.run(&["eval", "sts", "pairs.tsv", "--json"]).expect_code(0);
    assert!(told.expect_message(&["no correlation"]).json()["spearman"].is_null());
    tiny.run(&["eval", "sts", "absent.tsv"]).expect_code(3).expect_message(&["absent.tsv"]);
}
