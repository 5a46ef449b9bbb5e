//! Damaged files are named, never answered from.

use std::fs;

use crate::support::{Workplace, files_below, write_harbour};

/// Files whose loss or damage costs nothing: locks, and tantivy's list of files to collect.
fn is_expendable(name: &str) -> bool {
    name == "writer.lock" || name.starts_with('.')
}

#[test]
fn every_damaged_file_is_found_by_verify() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    place.run(&["verify", "--index", "index"]).expect_code(0);
    let mut damaged = 0;
    for file in files_below(&place.index()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let whole = fs::read(&file).unwrap();
        if is_expendable(&name) || whole.is_empty() {
            continue;
        }
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x10;
        for bytes in [&flipped[..], &whole[..whole.len() - 1]] {
            fs::write(&file, bytes).unwrap();
            let ended = place.run(&["verify", "--index", "index"]).expect_code(4);
            let named = ended.stderr.contains(&name) || ended.stdout.contains(&name);
            assert!(named, "{name} is not named: {}{}", ended.stdout, ended.stderr);
            let searched = place.run(&["search", "ship", "--index", "index", "--json"]);
            assert!([0, 4].contains(&searched.code), "{name}: {} {}", searched.code, searched.stderr);
            assert!(!searched.stderr.contains("panicked"), "{name}: {}", searched.stderr);
            damaged += 1;
        }
        fs::write(&file, &whole).unwrap();
    }
    assert!(damaged >= 10, "only {damaged} faults were tried");
    place.run(&["verify", "--index", "index"]).expect_code(0);
}

// An index of a newer format cannot be made here: a commit's files are sealed by hashes. The tests of the index crate
// make one with its own hashes, and see it named and left alone.

#[test]
fn a_file_of_something_else_is_named() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    for file in files_below(&place.index()).iter().filter(|file| file.extension().is_some_and(|end| end == "rows")) {
        let mut bytes = fs::read(file).unwrap();
        bytes[..8].copy_from_slice(b"NOTBERTH");
        fs::write(file, bytes).unwrap();
    }
    place.run(&["search", "ship", "--index", "index"]).expect_code(4).expect_message(&[".rows"]);
}
