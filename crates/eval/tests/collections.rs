//! Reading collections: whole ones, broken ones, and the real ones.

use std::fs;
use std::path::Path;

use berth_eval::{Dataset, Error};
use berth_types::ErrorKind;
use tempfile::TempDir;

const QUERIES: &str = "{\"_id\": \"1\", \"text\": \"one\"}\n{\"_id\": \"2\", \"text\": \"two\"}\n";
const QRELS: &str = "query-id\tcorpus-id\tscore\n2\td2\t1\n2\td3\t0\n";

/// A collection with a split `test`.
fn collection(queries: &str, qrels: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("qrels")).unwrap();
    fs::write(dir.path().join("corpus.jsonl"), "").unwrap();
    fs::write(dir.path().join("queries.jsonl"), queries).unwrap();
    fs::write(dir.path().join("qrels/test.tsv"), qrels).unwrap();
    dir
}

/// Opens the collection and checks which queries and how many judgements are left.
fn check(queries: &str, qrels: &str, expected: &[&str], judgements: usize) {
    let dir = collection(queries, qrels);
    let dataset = Dataset::open(dir.path(), "test").unwrap();
    let ids: Vec<&str> = dataset.queries.iter().map(|query| query.id.as_str()).collect();
    assert_eq!((ids.as_slice(), dataset.qrels.judgements()), (expected, judgements));
}

/// Opens the collection and checks the message, less the folder's name.
fn check_error(queries: &str, qrels: &str, kind: ErrorKind, expected: &str) {
    let dir = collection(queries, qrels);
    let error = Dataset::open(dir.path(), "test").unwrap_err();
    let message = error.to_string().replace(&format!("{}/", dir.path().display()), "");
    assert_eq!((message.as_str(), error.kind()), (expected, kind));
}

#[test]
fn holds_the_judged_queries_only() {
    check(QUERIES, QRELS, &["2"], 2);
    let dir = collection(QUERIES, QRELS);
    let dataset = Dataset::open(dir.path(), "test").unwrap();
    assert_eq!(dataset.queries[0].text, "two");
    assert_eq!(dataset.qrels.grade("2", "d2"), Some(1));
    assert_eq!(dataset.name, dir.path().file_name().unwrap().to_str().unwrap());
    assert_eq!(dataset.corpus_path(), dir.path().join("corpus.jsonl"));
}

#[test]
fn a_header_may_be_missing() {
    check(QUERIES, "1\td2\t1\n", &["1"], 1);
}

#[test]
fn byte_order_marks_crlf_and_blank_lines_are_taken() {
    let queries = format!("\u{feff}{}\r\n\r\n", QUERIES.replace('\n', "\r\n"));
    let qrels = format!("\u{feff}{}\r\n", QRELS.replace('\n', "\r\n"));
    check(&queries, &qrels, &["2"], 2);
    check(&queries, "\u{feff}1\td2\t1", &["1"], 1);
}

#[test]
fn judgements_may_stand_in_the_form_of_trec() {
    check(QUERIES, "1 0 d2 1\n2  Q0\td3  -1\n", &["1", "2"], 2);
    check(QUERIES, "1\t0\td 2.txt\t1\n", &["1"], 1);
    check(QUERIES, "query-id\titeration\tcorpus-id\tscore\n1\t0\td2\t1\n", &["1"], 1);
}

#[test]
fn grades_may_be_negative_or_written_with_a_point() {
    let dir = collection(QUERIES, "1\ta\t1.0\n1\tb\t-2.0\n1\tc\t-1\n1\td\t2\n");
    let qrels = Dataset::open(dir.path(), "test").unwrap().qrels;
    let grades: Vec<i32> = qrels.get("1").unwrap().values().copied().collect();
    assert_eq!(grades, [1, -2, -1, 2]);
    assert_eq!(qrels.relevant_documents().into_iter().collect::<Vec<_>>(), ["a", "d"]);
}

#[test]
fn what_the_collection_lacks_is_listed_and_refused_on_request() {
    let dir = collection(QUERIES, "1\ta\t1\n1\tx\t1\n2\tx\t0\n2\ty\t1\n9\ta\t1\n9\tz\t1\n");
    fs::write(dir.path().join("corpus.jsonl"), "{\"_id\": \"a\", \"title\": \"\", \"text\": \"A\"}\n").unwrap();
    let dataset = Dataset::open(dir.path(), "test").unwrap();
    let ids = dataset.document_ids().unwrap();
    let unknown = dataset.unknown_judgements(|id| ids.contains(id));
    let pair = |query: &str, document: &str| (query.to_owned(), document.to_owned());
    assert_eq!((unknown.queries.as_slice(), unknown.query_judgements), (["9".to_owned()].as_slice(), 2));
    assert_eq!(unknown.documents, [pair("1", "x"), pair("2", "x"), pair("2", "y")]);
    let error = unknown.require_none().unwrap_err();
    let expected = "test.tsv: 5 judgements are of what the collection does not have: 1 queries (9), 2 documents (x, y)";
    assert!(error.to_string().ends_with(expected), "{error}");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);

    let unknown = dataset.unknown_judgements(|_| true);
    assert!(!unknown.is_empty() && unknown.documents.is_empty());
    let dir = collection(QUERIES, QRELS);
    let dataset = Dataset::open(dir.path(), "test").unwrap();
    assert!(dataset.unknown_judgements(|_| true).require_none().is_ok());
    assert!(dataset.unknown_judgements(|_| false).require_none().is_err());
}

#[test]
fn of_many_unknown_ids_the_first_are_named() {
    let judgements: String = (0..7).map(|number| format!("1\td{number}\t1\n")).collect();
    let dir = collection(QUERIES, &judgements);
    let unknown = Dataset::open(dir.path(), "test").unwrap().unknown_judgements(|_| false);
    let message = unknown.require_none().unwrap_err().to_string();
    assert!(message.ends_with("0 queries (none), 7 documents (d0, d1, d2, d3, d4, …)"), "{message}");
}

#[test]
fn names_the_document_that_is_wrong() {
    let check = |corpus: &str, expected: &str| {
        let dir = collection(QUERIES, QRELS);
        fs::write(dir.path().join("corpus.jsonl"), corpus).unwrap();
        let message = Dataset::open(dir.path(), "test").unwrap().document_ids().unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check("{\"_id\": \"a\"}\n{\"id\": \"b\"}\n", "corpus.jsonl:2: no document with an id: missing field `_id`");
    check("[1]", "corpus.jsonl:1: no document with an id: ");
    check("{\"_id\": 1}", "corpus.jsonl:1: no document with an id: invalid type: integer `1`");
    check("{\"_id\": \"\"}", "corpus.jsonl:1: \"_id\" is empty");
}

#[test]
fn unknown_queries_are_listed() {
    let dir = collection(QUERIES, "query-id\tcorpus-id\tscore\n2\td\t1\n8\td\t1\n9\td\t1\n9\te\t1\n");
    let dataset = Dataset::open(dir.path(), "test").unwrap();
    assert_eq!((dataset.unknown_queries, dataset.unknown_query_judgements), (vec!["8".to_owned(), "9".to_owned()], 3));
    assert_eq!(dataset.qrels.judgements(), 1);
}

#[test]
fn a_judgement_may_stand_twice_but_not_differ() {
    let dir = collection(QUERIES, "1\td\t1\n1\td\t1\n1\td\t1.0\n");
    let qrels = Dataset::open(dir.path(), "test").unwrap().qrels;
    assert_eq!((qrels.judgements(), qrels.repeated()), (1, 2));
    check_error(
        QUERIES,
        "1\td\t1\n1\td\t2\n",
        ErrorKind::InvalidInput,
        "qrels/test.tsv:2: query '1' judges document 'd' a second time: 2 after 1",
    );
}

#[test]
fn names_the_judgement_that_is_wrong() {
    let check = |qrels, expected| check_error(QUERIES, qrels, ErrorKind::InvalidInput, expected);
    check(
        "query-id\tcorpus-id\tscore\n1 d 1\n",
        "qrels/test.tsv:2: 1 fields between tabs, where three were wanted (query id, document id, grade), or four between tabs \
         or blanks (query id, 0, document id, grade)",
    );
    check(
        "1\td\t0.5\n",
        "qrels/test.tsv:1: grade '0.5' has a fraction; grades are whole numbers, above 0 for what is relevant",
    );
    check("1\td\t9999999999\n", "qrels/test.tsv:1: grade '9999999999' is too far from zero");
    check("1\td\tNaN\n", "qrels/test.tsv:1: grade 'NaN' is not a whole number");
    check("1\td\tinf\n", "qrels/test.tsv:1: grade 'inf' is not a whole number");
    check("1\td\t1\n\n1\te\tgood\n", "qrels/test.tsv:3: grade 'good' is not a whole number");
    check("1\td\t1\n1\te\tscore\n", "qrels/test.tsv:2: grade 'score' is not a whole number");
    check("1\t\t1\n", "qrels/test.tsv:1: an id is empty");
}

#[test]
fn names_the_query_that_is_wrong() {
    let check = |queries, expected| check_error(queries, QRELS, ErrorKind::InvalidInput, expected);
    check("[1]\n", "queries.jsonl:1: not a JSON object");
    check("\n{\"_id\": \"1\"}\n", "queries.jsonl:2: \"text\" is missing");
    check("{\"_id\": 1, \"text\": \"one\"}\n", "queries.jsonl:1: \"_id\" is not a string");
    check("{\"_id\": \"\", \"text\": \"one\"}\n", "queries.jsonl:1: \"_id\" is empty");
    check(&QUERIES.repeat(2), "queries.jsonl:3: query id '1' stands a second time");
}

#[test]
fn a_line_that_is_not_utf8_is_named() {
    let dir = collection(QUERIES, QRELS);
    fs::write(dir.path().join("qrels/test.tsv"), b"1\td\t1\n1\t\xff\t1\n").unwrap();
    let message = Dataset::open(dir.path(), "test").unwrap_err().to_string();
    assert!(message.ends_with("qrels/test.tsv:2: the line is not UTF-8"), "{message}");
}

#[test]
fn a_split_that_says_nothing_is_refused() {
    let check = |qrels, expected| check_error(QUERIES, qrels, ErrorKind::InvalidInput, expected);
    check("", "qrels/test.tsv: holds no judgement");
    check("query-id\tcorpus-id\tscore\n", "qrels/test.tsv: holds no judgement");
    let expected = "qrels/test.tsv: none of its 2 judgements finds a document relevant: no grade is above 0";
    check("1\td\t0\n1\te\t-1\n", expected);
    check("1\td\t0\n1\te\t-1\n7\te\t1\n", expected);
    check("7\td\t1\n", "qrels/test.tsv: judges no query of the collection (1 unknown queries)");
}

#[test]
fn lists_the_splits_there_are() {
    let dir = collection(QUERIES, QRELS);
    fs::write(dir.path().join("qrels/dev.tsv"), QRELS).unwrap();
    fs::write(dir.path().join("qrels/notes.txt"), "").unwrap();
    assert_eq!(Dataset::splits(dir.path()).unwrap(), ["dev", "test"]);
    let error = Dataset::open(dir.path(), "../train").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let message = error.to_string();
    assert!(message.ends_with(": no split '../train'; there are: dev, test"), "{message}");
    fs::remove_dir_all(dir.path().join("qrels")).unwrap();
    let message = Dataset::open(dir.path(), "test").unwrap_err().to_string();
    assert!(message.ends_with(": no split 'test'; there are: none"), "{message}");
}

#[test]
fn says_what_is_missing() {
    let missing = Path::new("no/such/folder");
    let error = Dataset::open(missing, "test").unwrap_err();
    assert!(matches!(&error, Error::FolderMissing { path } if path == missing));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    for file in ["corpus.jsonl", "queries.jsonl"] {
        let dir = collection(QUERIES, QRELS);
        fs::remove_file(dir.path().join(file)).unwrap();
        let error = Dataset::open(dir.path(), "test").unwrap_err();
        assert!(matches!(&error, Error::FileMissing { path } if path.ends_with(file)), "{error}");
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that checks nothing says so")]
fn opens_every_collection_at_hand() {
    let Some(root) = std::env::var_os("BERTH_DATASETS") else {
        eprintln!("not checked: set BERTH_DATASETS to the folder of the evaluation collections");
        return;
    };
    let mut opened = 0;
    for entry in fs::read_dir(&root).unwrap() {
        let dir = entry.unwrap().path();
        if !dir.join("queries.jsonl").is_file() {
            continue;
        }
        for split in Dataset::splits(&dir).unwrap() {
            let dataset = Dataset::open(&dir, &split).unwrap();
            assert_eq!(dataset.queries.len(), dataset.qrels.queries());
            let ids = dataset.document_ids().unwrap();
            dataset.unknown_judgements(|id| ids.contains(id)).require_none().unwrap();
            assert_eq!(dataset.qrels.repeated(), 0, "{} {split}", dataset.name);
            let (queries, judgements) = (dataset.queries.len(), dataset.qrels.judgements());
            // As the collections' own description states them.
            match (dataset.name.as_str(), split.as_str()) {
                ("scifact", "train") => assert_eq!((queries, judgements), (809, 919)),
                ("scifact", "test") => assert_eq!((queries, judgements), (300, 339)),
                ("cranfield", "test") => assert_eq!((queries, judgements), (225, 1_837)),
                ("cosqa", "dev" | "test") => assert_eq!(queries, 500),
                ("korquad", "dev") => assert_eq!(queries, 1_287),
                ("korquad", "test") => assert_eq!(queries, 4_487),
                _ => {}
            }
            opened += 1;
        }
    }
    assert!(opened > 0, "{} holds no collection", root.display());
}
