//! Reading sentence pairs.

use std::fs;

use berth_eval::{Error, read_sentence_pairs};
use tempfile::TempDir;

fn read(name: &str, file: &str) -> Result<Vec<(String, String, f64)>, String> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, file).unwrap();
    let pairs = read_sentence_pairs(&path);
    let pairs = pairs.map_err(|error| error.to_string().replace(&path.display().to_string(), name))?;
    Ok(pairs.into_iter().map(|pair| (pair.sentence1, pair.sentence2, pair.score)).collect())
}

fn pair(one: &str, other: &str, score: f64) -> (String, String, f64) {
    (one.to_owned(), other.to_owned(), score)
}

#[test]
fn reads_tabs_with_and_without_a_header_and_json_lines() {
    let expected = Ok(vec![pair("a \"b", "ç", 2.5), pair("한", "d", 0.0)]);
    assert_eq!(read("sts.tsv", "a \"b\tç\t2.5\n한\td\t0\n"), expected);
    assert_eq!(
        read("sts.tsv", "\u{feff}score\tsplit\tSentence1\tsentence2\r\n2.5\tx\ta \"b\tç\r\n0\tx\t한\td\r\n"),
        expected
    );
    let json = concat!(
        r#"{"sentence1": "a \"b", "sentence2": "ç", "score": 2.5, "split": "x"}"#,
        "\n\n",
        r#"{"score": 0, "sentence2": "d", "sentence1": "한"}"#,
    );
    assert_eq!(read("sts.jsonl", json), expected);
}

#[test]
fn names_the_line_that_is_wrong() {
    let check = |name, file, expected: &str| assert_eq!(read(name, file), Err(expected.to_owned()));
    check(
        "s.tsv",
        "a\tb\t1\na\tb\n",
        "s.tsv:2: 2 fields between tabs, where sentence1, sentence2 and score were wanted",
    );
    check("s.tsv", "a\tb\thigh\n", "s.tsv:1: score 'high' is not a finite number");
    check("s.tsv", "a\tb\tNaN\n", "s.tsv:1: score 'NaN' is not a finite number");
    check("s.jsonl", r#"{"sentence1": "a", "sentence2": "b"}"#, "s.jsonl:1: \"score\" is missing");
    check("s.jsonl", r#"{"score": "1"}"#, "s.jsonl:1: \"score\" is \"1\", where a number was wanted");
    check("s.jsonl", r#"{"score": 1, "sentence1": "a"}"#, "s.jsonl:1: \"sentence2\" is missing");
    check("s.tsv", "sentence1\tsentence2\tscore\n", "s.tsv: holds no sentence pair");
    check("s.jsonl", "", "s.jsonl: holds no sentence pair");
    let missing = read_sentence_pairs("no/such/file.tsv".as_ref());
    assert!(matches!(missing, Err(Error::FileMissing { .. })));
}
