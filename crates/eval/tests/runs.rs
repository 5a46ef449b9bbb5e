//! Runs and the files they travel in.

use std::io::Cursor;
use std::path::Path;

use berth_eval::{DEFAULT_MEASURES, Error, Qrels, Run, evaluate};
use proptest::prelude::*;

fn run(query: &str, ranking: &[(&str, f32)]) -> Run {
    let mut run = Run::new();
    run.insert(query, ranking.iter().map(|(document, score)| ((*document).to_owned(), *score)).collect()).unwrap();
    run
}

fn written(run: &Run) -> String {
    let mut bytes = Vec::new();
    run.write_trec(&mut bytes, "berth").unwrap();
    String::from_utf8(bytes).unwrap()
}

fn read(file: &str) -> Result<Run, Error> {
    Run::read_trec(Cursor::new(file), Path::new("some.run"))
}

#[test]
fn writes_six_fields_a_line() {
    let run = run("q 1", &[("b", 0.75), ("a doc.txt", 0.5)]);
    assert_eq!(written(&run), "q 1\tQ0\tb\t1\t0.75\tberth\nq 1\tQ0\ta doc.txt\t2\t0.5\tberth\n");
    assert_eq!(read(&written(&run)).unwrap(), run);
}

#[test]
fn reads_blanks_byte_order_mark_and_crlf() {
    let expected = run("q", &[("b", 2.0), ("a", 1.5)]);
    assert_eq!(read("\u{feff}q Q0  a 7 1.5 x\r\n\r\nq Q0 b 9 2 x\r\n").unwrap(), expected);
}

#[test]
fn reads_ties_by_falling_document_id() {
    assert_eq!(
        read("q 0 a 1 1 x\nq 0 c 2 1 x\nq 0 b 3 1 x\n").unwrap(),
        run("q", &[("c", 1.0), ("b", 1.0), ("a", 1.0)])
    );
    assert_eq!(read("q 0 a 1 0 x\nq 0 b 2 -0 x\n").unwrap(), run("q", &[("b", 0.0), ("a", 0.0)]));
}

#[test]
fn an_order_with_ties_survives_the_file() {
    let written = written(&run("q", &[("a", 1.0), ("b", 1.0), ("c", 1.0)]));
    let order: Vec<String> = read(&written).unwrap().get("q").unwrap().iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(order, ["a", "b", "c"]);
}

#[test]
fn an_empty_run_is_an_empty_file() {
    assert_eq!(written(&Run::new()), "");
    assert_eq!(read("").unwrap(), Run::new());
}

#[test]
fn names_the_line_that_is_wrong() {
    let message = |file| read(file).unwrap_err().to_string();
    assert_eq!(
        message("q Q0 a 1 1 x\nq Q0 b 2 x"),
        "some.run:2: 5 fields, where six were wanted: query id, Q0, document id, rank, score, tag"
    );
    assert_eq!(message("q Q0 a 1 high x"), "some.run:1: score 'high' is not a finite number of 32 bits");
    assert_eq!(message("q Q0 a 1 NaN x"), "some.run:1: score 'NaN' is not a finite number of 32 bits");
    assert_eq!(message("q Q0 a 1 2 x\nq Q0 a 2 1 x"), "some.run:2: query 'q' ranks document 'a' a second time");
    assert_eq!(message("q\tQ0\t\t1\t2\tx"), "some.run:1: an id is empty");
}

#[test]
fn refuses_answers_that_make_no_order() {
    let ranking = |documents: &[(&str, f32)]| documents.iter().map(|(id, score)| ((*id).to_owned(), *score)).collect();
    let mut run = run("q", &[("a", 1.0)]);
    let before = run.clone();
    assert!(matches!(run.insert("q", vec![]), Err(Error::DuplicateAnswer { .. })));
    assert!(matches!(run.insert("r", ranking(&[("a", 1.0), ("a", 0.5)])), Err(Error::DuplicateDocument { .. })));
    assert!(matches!(run.insert("r", ranking(&[("a", f32::NAN)])), Err(Error::ScoreNotFinite { .. })));
    assert_eq!(run, before);
}

#[test]
fn refuses_ids_that_a_line_cannot_hold() {
    for id in ["", " ", "a\tb", "a\nb"] {
        let error = run("q", &[(id, 1.0)]).write_trec(&mut Vec::new(), "berth").unwrap_err();
        assert!(matches!(error, Error::IdNotWritable { .. }), "{id:?}: {error}");
    }
}

/// A sink that is full from the start.
struct Full;

impl std::io::Write for Full {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told() {
    let error = run("q", &[("a", 1.0)]).write_trec(&mut Full, "berth").unwrap_err();
    assert_eq!(error.kind(), berth_types::ErrorKind::Unavailable);
    assert!(error.to_string().contains("run 'berth'"), "{error}");
}

proptest! {
    #[test]
    fn figures_survive_the_file(
        ranking in prop::collection::btree_map("[a-z가-힣 ]{0,3}[a-z]", -2_i8..3, 0..30),
        grades in prop::collection::btree_map("[a-z]", -1_i32..4, 1..30),
    ) {
        let mut run = Run::new();
        let documents = ranking.into_iter().map(|(id, score)| (id.trim().to_owned(), f32::from(score)));
        let unique: std::collections::BTreeMap<String, f32> = documents.collect();
        run.insert("q", unique.into_iter().collect()).unwrap();
        let mut qrels = Qrels::default();
        for (document, grade) in &grades {
            qrels.insert("q", document, *grade);
        }
        let evaluated = |run: &Run| evaluate(run, &qrels, &DEFAULT_MEASURES);
        prop_assert_eq!(evaluated(&read(&written(&run)).unwrap()), evaluated(&run));
    }
}
