//! What users do wrong: each gets a message that names the thing, the right exit code, and nothing is lost.

use std::fs;

use crate::support::{Workplace, number, write_harbour};

#[test]
fn unknown_paths_and_words() {
    let place = Workplace::new();
    place.run(&["index", "no-such", "--index", "index"]).expect_code(3).expect_message(&["no-such", "does not exist"]);
    assert!(!place.index().exists(), "a failed run left an index");
    place.run(&["search", "x", "--index", "no-index"]).expect_code(3).expect_message(&["no-index"]);
    place.run(&["frobnicate"]).expect_code(2);
    place.run(&["search", "x", "--index", "i", "-k", "0"]).expect_code(2).expect_message(&["1 to 10000"]);
    place.run(&["index", "x", "--index", "i", "--commit-seconds", "0"]).expect_code(2);
}

#[test]
fn a_folder_that_is_no_index_is_left_alone() {
    let place = Workplace::new();
    write_harbour(&place);
    place.run(&["index", "docs", "--index", "docs", "--quiet"]).expect_code(2).expect_message(&["docs"]);
    assert!(place.path("docs/bread.txt").is_file());
}

#[test]
fn malformed_rows_are_named_and_the_others_indexed() {
    let place = Workplace::new();
    let rows = "{\"_id\":\"1\",\"text\":\"a good row\"}\n[1,2]\n{\"_id\":\"2\"}\n{\"_id\":\"1\",\"text\":\"twice\"}\nnot json\n\
                {\"_id\":\"3\",\"text\":\"another good row\"}\n";
    place.write("rows.jsonl", rows);
    let words = ["index", "rows.jsonl", "--index", "index", "--json"];
    let ended = place.run(&words).expect_code(0);
    let report = ended.json();
    assert_eq!((number(&report, "documents"), number(&report, "skipped")), (2, 4));
    ended.expect_message(&["rows.jsonl:2", "rows.jsonl:3", "\"text\"", "rows.jsonl:5", "id '1'"]);
    place.run(&[&words[..], &["--strict"]].concat()).expect_code(1).expect_message(&["--strict", "rows.jsonl:2"]);
    assert_eq!(number(&place.status_json(), "documents"), 2);
}

#[test]
fn text_that_is_not_utf8_is_read_with_a_warning() {
    let place = Workplace::new();
    place.write("docs/latin.txt", b"Caf\xE9 Berth");
    let ended = place.run(&["index", "docs", "--index", "index"]).expect_code(0);
    ended.expect_message(&["latin.txt", "byte 3"]);
    assert_eq!(number(&place.status_json(), "chunks"), 1);
}

#[cfg(unix)]
#[test]
fn a_directory_loop_is_reported_once() {
    let place = Workplace::new();
    write_harbour(&place);
    std::os::unix::fs::symlink(place.path("docs"), place.path("docs/deep/up")).unwrap();
    let ended = place.run(&["index", "docs", "--index", "index", "--follow"]).expect_code(0);
    ended.expect_message(&["docs/deep/up", "directory loop"]);
    assert_eq!(number(&place.status_json(), "documents"), 3);
}

#[test]
fn odd_queries_get_an_answer_or_a_reason() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    let search = |query: &str| place.run(&["search", query, "--index", "index", "--json"]);
    for empty in ["", "   ", "?!… ()"] {
        search(empty).expect_code(2).expect_message(&["query"]);
    }
    for odd in ["\"unbalanced ship", "ship AND (", "title:", "a\u{0301}\u{0301}\u{0301} ship", "+quay ~ ^2 -2"] {
        let reply = search(odd).expect_code(0).json();
        assert!(!reply["hits"].as_array().unwrap().is_empty(), "{odd}");
    }
    let long = "harbour ship quay ".repeat(5_600);
    assert!(long.len() > 100_000);
    let ended = search(&long).expect_code(0).expect_message(&["tokens"]);
    assert!(ended.json()["hits"][0]["document"].as_str().unwrap().ends_with("berth.md"));
}

#[test]
fn output_into_a_closed_pipe_ends_quietly() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    let piped = ["bash", "-c", "set -o pipefail; \"$0\" \"$@\" | head -c 1 >/dev/null; echo $?"];
    let output = place.berth_under(&piped, &["search", "ship", "--index", "index", "--json"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_full_disk_is_named_and_the_committed_part_stays() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    let text = "A long report about the harbour and its pilots. ".repeat(20_000);
    place.write("more/report.txt", &text);
    // A limit on file size stands in for a full disk: the write fails in the same places.
    let limited = ["bash", "-c", "ulimit -f 64; trap '' XFSZ; exec \"$0\" \"$@\""];
    let ended = place.run_under(&limited, &["index", "more", "--index", "index", "--quiet"]).expect_code(1);
    ended.expect_message(&["index/dense/", "File too large"]);
    assert_eq!(number(&place.status_json(), "documents"), 3);
    place.run(&["verify", "--index", "index"]).expect_code(0);
    assert_eq!(number(&place.index_json("docs", &[]), "unchanged"), 3);
}

#[test]
fn an_index_of_another_model_is_refused() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &["--precision", "fp32"]);
    let words = ["search", "ship", "--index", "index", "--precision", "int8"];
    place.run(&words).expect_code(4).expect_message(&["precision", "fp32", "int8"]);
    let words = ["index", "docs", "--index", "index", "--precision", "int8", "--quiet"];
    place.run(&words).expect_code(4).expect_message(&["precision"]);
    assert_eq!(place.search_json("ship", &[])["hits"].as_array().unwrap().len(), 3);
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_costs_one_line() {
    use std::os::unix::fs::PermissionsExt;
    let place = Workplace::new();
    write_harbour(&place);
    let locked = place.write("docs/locked.txt", "secret");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    let root_reads_all = fs::read(&locked).is_ok();
    let report = place.index_json("docs", &[]);
    let expected = if root_reads_all { (4, 0) } else { (3, 1) };
    assert_eq!((number(&report, "documents"), number(&report, "skipped")), expected);
}
