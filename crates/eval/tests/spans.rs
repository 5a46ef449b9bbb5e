//! Reading files of answers: good ones, bad ones, and the real ones.

use std::fs;
use std::path::Path;

use berth_eval::{Error, Spans, byte_ranges};
use tempfile::TempDir;

fn read(file: &str) -> Result<Spans, Error> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("spans.jsonl");
    fs::write(&path, file).unwrap();
    Spans::read(&path)
}

fn check_error(file: &str, expected: &str) {
    let message = read(file).unwrap_err().to_string();
    let message = message.rsplit_once("spans.jsonl:").unwrap().1;
    assert_eq!(message, expected);
}

#[test]
fn a_query_may_have_several_spans() {
    let spans = read(concat!(
        r#"{"query-id": "q", "corpus-id": "d", "start": 3, "end": 5, "answer": "한é"}"#,
        "\n\n",
        r#"{"query-id": "p", "corpus-id": "e", "start": 0, "end": 9}"#,
        "\r\n",
        r#"{"query-id": "q", "corpus-id": "c", "start": 0, "end": 1, "answer": null}"#,
    ))
    .unwrap();
    let found: Vec<_> = spans.get("q").iter().map(|span| (span.document.as_str(), span.char_range.clone())).collect();
    assert_eq!(found, [("d", 3..5), ("c", 0..1)]);
    assert_eq!(spans.get("q")[0].answer.as_deref(), Some("한é"));
    assert_eq!((spans.queries(), spans.get("none").len()), (2, 0));
    assert_eq!(spans.iter().map(|(query, _)| query).collect::<Vec<_>>(), ["p", "q"]);
    assert_eq!(read("").unwrap(), Spans::default());
}

#[test]
fn names_the_line_that_is_wrong() {
    let line = |rest: &str| format!("{{\"query-id\": \"q\", \"corpus-id\": \"d\", {rest}}}\n");
    check_error("[]", "1: not a JSON object");
    check_error(&line(r#""start": 1"#), "1: \"end\" is missing");
    check_error(r#"{"query-id": "q", "corpus-id": ""}"#, "1: \"corpus-id\" is empty");
    check_error(r#"{"query-id": 7}"#, "1: \"query-id\" is not a string");
    check_error(
        &(line(r#""start": 1, "end": 2"#) + &line(r#""start": -1, "end": 2"#)),
        "2: \"start\" is -1, where a whole number of characters was wanted",
    );
    check_error(&line(r#""start": 0, "end": 2.5"#), "1: \"end\" is 2.5, where a whole number of characters was wanted");
    check_error(&line(r#""start": 2, "end": 2"#), "1: the range from 2 to 2 is empty");
    check_error(&line(r#""start": 3, "end": 2"#), "1: the range from 3 to 2 is empty");
    check_error(
        &line(r#""start": 0, "end": 3, "answer": "한""#),
        "1: the answer has 1 characters and its range 3; positions count characters",
    );
    assert!(matches!(Spans::read(Path::new("no/such/spans.jsonl")), Err(Error::FileMissing { .. })));
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that checks nothing says so")]
fn ranges_hold_the_answers_of_a_collection_at_hand() {
    let Some(root) = std::env::var_os("BERTH_DATASETS") else {
        eprintln!("not checked: set BERTH_DATASETS to the folder of the evaluation collections");
        return;
    };
    let dir = Path::new(&root).join("chunkeval");
    let spans = Spans::read(&dir.join("spans.jsonl")).unwrap();
    let mut checked = 0;
    for line in fs::read_to_string(dir.join("corpus.jsonl")).unwrap().lines() {
        let document: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = document["text"].as_str().unwrap();
        let here = spans.iter().flat_map(|(_, spans)| spans).filter(|span| document["_id"] == *span.document);
        let (ranges, answers): (Vec<_>, Vec<_>) = here.map(|span| (span.char_range.clone(), &span.answer)).unzip();
        for (bytes, answer) in byte_ranges(text, &ranges).into_iter().zip(answers) {
            assert_eq!(bytes.map(|bytes| &text[bytes]), answer.as_deref());
            checked += 1;
        }
    }
    assert_eq!((spans.queries(), checked), (472, 790));
}
