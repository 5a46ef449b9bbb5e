//! Odd sources: rows that share an id, folders that cannot be read, pipes, names that would paint the terminal.

use std::fs;

use crate::support::{Workplace, number, write_harbour};

fn text_of(place: &Workplace, document: &str) -> String {
    place.run(&["get", document, "--index", "index"]).expect_code(0).stdout.trim_end().to_owned()
}

#[test]
fn a_row_does_not_replace_one_of_another_file() {
    let place = Workplace::new();
    place.write("first.jsonl", "{\"_id\":\"7\",\"text\":\"the first text\"}\n");
    place.write("second.jsonl", "{\"_id\":\"7\",\"text\":\"the second text\"}\n");
    place.index_json("first.jsonl", &[]);
    let words = ["index", "second.jsonl", "--index", "index", "--json"];
    let ended = place.run(&words).expect_code(0);
    assert_eq!((number(&ended.json(), "skipped"), number(&ended.json(), "changed")), (1, 0));
    ended.expect_message(&["'7'", "first.jsonl", "second.jsonl"]);
    assert_eq!(text_of(&place, "7"), "the first text");

    fs::remove_file(place.path("first.jsonl")).unwrap();
    assert_eq!(number(&place.run(&words).expect_code(0).json(), "skipped"), 0);
    assert_eq!(text_of(&place, "7"), "the second text");
    assert_eq!(number(&place.status_json(), "documents"), 1);
}

#[test]
fn an_index_inside_the_indexed_folder_is_not_indexed() {
    let place = Workplace::new();
    write_harbour(&place);
    for added in [3, 0] {
        let report = place.run(&["index", "docs", "--index", "docs/own", "--json", "--quiet"]).expect_code(0).json();
        assert_eq!((number(&report, "documents"), number(&report, "added")), (3, added));
    }
}

#[cfg(unix)]
#[test]
fn documents_of_an_unreadable_folder_stay() {
    use std::os::unix::fs::PermissionsExt;
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    let locked = place.path("docs/deep");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything, unless that right is taken from it.
    let program: &[&str] = if fs::read_dir(&locked).is_ok() {
        let without = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
        if !std::process::Command::new(without[0]).args([without[1], "true"]).status().is_ok_and(|s| s.success()) {
            #[allow(clippy::print_stderr, reason = "a test says when it could not be done")]
            {
                eprintln!("not tested: root reads every folder here, and setpriv cannot take that right away");
            }
            return;
        }
        &["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    } else {
        &[]
    };
    let ended = place.run_under(program, &["index", "docs", "--index", "index", "--sync", "--json"]).expect_code(0);
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
    let report = ended.json();
    assert_eq!((number(&report, "documents"), number(&report, "removed"), number(&report, "skipped")), (2, 0, 1));
    ended.expect_message(&["docs/deep", "cannot be read"]);
    assert_eq!(number(&place.status_json(), "documents"), 3);
    assert!(text_of(&place, "star.txt").starts_with("A neutron star"));
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_refused_instead_of_waited_for() {
    let place = Workplace::new();
    assert!(std::process::Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    let words = ["index", "pipe", "--index", "index", "--quiet"];
    place.run_under(&["timeout", "30"], &words).expect_code(2).expect_message(&["pipe"]);
    assert!(!place.index().exists(), "a failed run left an index");

    // One that merely lies in a folder is passed over.
    write_harbour(&place);
    fs::rename(place.path("pipe"), place.path("docs/pipe")).unwrap();
    let words = ["index", "docs", "--index", "index", "--json", "--quiet"];
    let report = place.run_under(&["timeout", "60"], &words).expect_code(0).json();
    assert_eq!(number(&report, "documents"), 3);
}

#[cfg(unix)]
#[test]
fn a_name_cannot_paint_the_terminal() {
    let place = Workplace::new();
    place.write("docs/\u{1b}[31mred.txt", b"Caf\xE9 by the quay");
    let ended = place.run(&["index", "docs", "--index", "index"]).expect_code(0);
    assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
    ended.expect_message(&["red.txt", "byte 3"]);
    let ended = place.run(&["index", "\u{1b}[31mmissing.txt", "--index", "index"]).expect_code(3);
    assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
    ended.expect_message(&["missing.txt"]);
    for words in [&["search", "quay", "--index", "index"][..], &["search", "quay", "--index", "index", "--explain"]] {
        let ended = place.run(words).expect_code(0);
        assert!(!ended.stdout.contains('\u{1b}'), "{:?}", ended.stdout);
    }
}
