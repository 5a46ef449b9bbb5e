//! Large segments: merged and given graphs in the background, while documents come and go.

use std::collections::BTreeSet;

use berth_index::{DenseOptions, GraphParameters, IndexWriter, Snapshot, verify};

use crate::support::{embed, open, put, snapshot};

/// Graphs from so few rows on that a test has several.
fn options() -> DenseOptions {
    DenseOptions {
        graph_from_rows: 200,
        graph: GraphParameters { m: 8, ef_construction: 50, ..GraphParameters::default() },
        background_from_rows: 100,
        most_segments: 4,
        ..DenseOptions::default()
    }
}

/// A document of one chunk that no other document shares.
fn text(number: usize) -> String {
    format!("text {number}")
}

fn put_all(writer: &mut IndexWriter, numbers: impl Iterator<Item = usize>) {
    for number in numbers {
        put(writer, &number.to_string(), &text(number));
    }
}

/// The documents of the index, found through the dense half, compared with what it should have.
fn check(snapshot: &Snapshot, wanted: &BTreeSet<usize>) {
    let status = snapshot.status();
    assert_eq!(status.dense_rows as usize, wanted.len());
    let all = snapshot.dense(&embed("anything"), usize::MAX).unwrap();
    let found: BTreeSet<u64> = all.iter().map(|hit| hit.document_no).collect();
    assert_eq!((all.len(), found.len()), (wanted.len(), wanted.len()), "each once");
    // So narrow that large segments are worth a walk over their graphs.
    let narrow = |text: &str, depth| snapshot.dense_with_ef(&embed(text), depth, 12).unwrap();
    let (mut hits, mut places, mut itself, mut asked) = (0, 0, 0, 0);
    for number in wanted.iter().step_by(7) {
        let question = format!("{} or so", text(*number));
        let exact = snapshot.dense_exact(&embed(&question), 10).unwrap();
        let found = narrow(&question, 10);
        assert_eq!(found.len(), exact.len());
        places += exact.len();
        hits += found.iter().filter(|hit| exact.contains(hit)).count();
        let own = narrow(&text(*number), 1);
        let chunk = snapshot.passage(own[0].chunk_id).unwrap().expect("a chunk that was found");
        asked += 1;
        itself += usize::from(chunk.id == number.to_string());
    }
    assert!(hits * 100 >= places * 75, "{hits} of {places} nearest");
    assert!(itself * 100 >= asked * 95, "{itself} of {asked} find themselves");
}

#[test]
fn documents_come_and_go_while_segments_are_worked_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut wanted = BTreeSet::new();
    let mut writer = open(dir.path());
    writer.set_dense_options(options());
    for round in 0..12 {
        let first = round * 90;
        put_all(&mut writer, first..first + 90);
        wanted.extend(first..first + 90);
        // Some that are in segments of every age, and some of this commit; a few come back.
        for number in (0..first + 90).step_by(13 + round) {
            writer.remove(&number.to_string()).unwrap();
            wanted.remove(&number);
        }
        put_all(&mut writer, (0..first).step_by(29));
        wanted.extend((0..first).step_by(29));
        writer.commit().unwrap();
        assert_eq!(snapshot(dir.path()).status().dense_rows as usize, wanted.len());
        assert!(snapshot(dir.path()).status().dense_segments <= 8, "commits wait when segments are many");
    }
    writer.finish().unwrap();
    let snapshot = snapshot(dir.path());
    let status = snapshot.status();
    assert!(status.graph_rows > 0 && status.format == 3, "{status:?}");
    assert!(status.graph_recall_at_10.unwrap() > 0.95, "{status:?}");
    check(&snapshot, &wanted);
    assert_eq!(verify(dir.path()).unwrap().problems, []);
}

#[test]
fn compaction_leaves_one_segment_of_the_living() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    writer.set_dense_options(options());
    put_all(&mut writer, 0..500);
    writer.commit().unwrap();
    put_all(&mut writer, 500..560);
    for number in (0..560).step_by(3) {
        writer.remove(&number.to_string()).unwrap();
    }
    writer.commit().unwrap();
    let before = snapshot(dir.path());
    let generation = writer.compact().unwrap();
    writer.finish().unwrap();
    let wanted: BTreeSet<usize> = (0..560).filter(|number| number % 3 != 0).collect();
    let after = snapshot(dir.path());
    let status = after.status();
    assert_eq!((status.dense_segments, status.lexical_segments, status.deleted_rows), (1, 1, 0));
    assert_eq!((status.graph_rows as usize, status.generation), (wanted.len(), generation));
    check(&after, &wanted);
    check(&before, &wanted);
    assert_eq!(verify(dir.path()).unwrap().problems, []);
    let mut writer = open(dir.path());
    writer.set_dense_options(options());
    assert_eq!(writer.compact().unwrap(), generation, "there is nothing left to do");
}

#[test]
fn a_writer_that_is_dropped_leaves_its_work_undone() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    writer.set_dense_options(options());
    put_all(&mut writer, 0..600);
    writer.commit().unwrap();
    drop(writer);
    assert_eq!(snapshot(dir.path()).status().graph_rows, 0);
    let mut writer = open(dir.path());
    writer.set_dense_options(options());
    writer.finish().unwrap();
    let snapshot = snapshot(dir.path());
    assert_eq!(snapshot.status().graph_rows, 600);
    check(&snapshot, &(0..600).collect());
}
