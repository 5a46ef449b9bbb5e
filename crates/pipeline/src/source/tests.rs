//! Reading folders, text and JSONL, good and bad.

use super::*;

fn documents_of(path: &Path) -> (Vec<Document>, Vec<Problem>) {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    read_file(path, &mut |item| {
        match item {
            Item::Document { document, .. } => documents.push(document),
            Item::Problem { problem, .. } => problems.push(problem),
            Item::Binary { .. } => {}
        }
        true
    });
    (documents, problems)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn lists_sorted_and_counts_what_it_passes_over() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "b.txt", b"b");
    write(dir.path(), "a/one.md", b"# One\n");
    write(dir.path(), ".git/config", b"x");
    write(dir.path(), ".hidden", b"x");
    let listing = list_files(&[dir.path().to_path_buf()], false, false).unwrap();
    let names: Vec<_> = listing.files.iter().map(|file| file.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["one.md", "b.txt"]);
    assert_eq!(listing.skipped, SkipCounts { hidden: 2, ..SkipCounts::default() });
}

#[cfg(unix)]
#[test]
fn reports_a_directory_loop_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a/x.txt", b"x");
    std::os::unix::fs::symlink(dir.path(), dir.path().join("a/up")).unwrap();
    let followed = list_files(&[dir.path().to_path_buf()], true, false).unwrap();
    assert_eq!(followed.files.len(), 1);
    assert!(followed.problems[0].reason.contains("directory loop"), "{:?}", followed.problems);
    let left = list_files(&[dir.path().to_path_buf()], false, false).unwrap();
    assert_eq!((left.files.len(), left.skipped.links), (1, 1));
}

#[test]
fn names_a_missing_path() {
    let error = list_files(&[PathBuf::from("no/such/path")], false, false).unwrap_err();
    assert!(error.to_string().contains("no/such/path"));
}

#[test]
fn takes_the_title_of_markdown_from_its_first_heading() {
    assert_eq!(first_heading("intro\n```\n# not this\n```\n# A title #\n# Later"), "A title");
    assert_eq!(first_heading("#tag\nno heading"), "");
}

#[test]
fn reads_invalid_utf8_with_a_warning_that_names_the_offset() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "latin.txt", b"caf\xE9 au lait");
    let (documents, problems) = documents_of(&path);
    assert_eq!(documents[0].text, "caf\u{FFFD} au lait");
    assert!(problems[0].reason.contains("byte 3"), "{problems:?}");
    assert!(!problems[0].lost);
}

#[test]
fn passes_over_binary_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "image.txt", b"PNG\0\x01");
    assert_eq!(documents_of(&path), (vec![], vec![]));
}

#[test]
fn reads_rows_and_names_the_bad_ones_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let rows = br#"{"_id":"1","title":"T","text":"one","year":2020,"metadata":{"a":1}}
[1]
{"_id":"2"}

{"_id":7,"text":"seven"}
not json
{"text":"no id"}
{"_id":"9","text":3}"#;
    let path = write(dir.path(), "corpus.jsonl", rows);
    let (documents, problems) = documents_of(&path);
    let place = |line: usize| format!("{}:{line}", path.display());
    let ids: Vec<_> = documents.iter().map(|document| document.id.clone()).collect();
    assert_eq!(ids, ["1".to_owned(), "7".to_owned(), place(7)]);
    assert_eq!(serde_json::to_string(&documents[0].metadata).unwrap(), r#"{"a":1,"year":2020}"#);
    let places: Vec<_> = problems.iter().map(|problem| problem.place.clone()).collect();
    assert_eq!(places, [place(2), place(3), place(6), place(8)]);
    assert!(problems.iter().all(|problem| problem.lost));
}

#[test]
fn content_hash_sees_where_one_part_ends() {
    let document = |title: &str, text: &str| Document { title: title.into(), text: text.into(), ..Default::default() };
    assert_ne!(content_hash(&document("ab", "c")), content_hash(&document("a", "bc")));
    assert_eq!(content_hash(&document("a", "b")), content_hash(&document("a", "b")));
}

#[test]
fn leaves_indexes_alone() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.txt", b"a");
    write(dir.path(), "index/manifest-1.json", b"{}");
    write(dir.path(), "index/lexical/meta.json", b"{}");
    write(dir.path(), "index/dense/00000000.rows", b"");
    let listing = list_files(&[dir.path().to_path_buf()], false, false).unwrap();
    assert_eq!((listing.files.len(), listing.skipped.indexes), (1, 1));
    write(dir.path(), "notes/manifest-1.json", b"{}");
    let listing = list_files(&[dir.path().to_path_buf()], false, false).unwrap();
    assert_eq!((listing.files.len(), listing.skipped.indexes), (2, 1));
}

#[cfg(unix)]
#[test]
fn paths_that_differ_give_texts_that_differ() {
    use std::os::unix::ffi::OsStrExt;
    let text = |bytes: &[u8]| path_text(Path::new(std::ffi::OsStr::from_bytes(bytes)));
    assert_eq!(text("caf\u{e9}".as_bytes()), "caf\u{e9}");
    assert_eq!((text(b"caf\xE9"), text(b"caf\xE8")), ("caf\\xE9".to_owned(), "caf\\xE8".to_owned()));
}

#[cfg(unix)]
#[test]
fn a_missing_path_below_a_link_is_named_as_the_index_knows_it() {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().join("real");
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, dir.path().join("link")).unwrap();
    let listing = list_files(&[dir.path().join("link/gone")], false, true).unwrap();
    assert_eq!(listing.roots, [fs::canonicalize(&real).unwrap().join("gone")]);
}
