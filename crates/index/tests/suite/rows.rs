//! Rows in 32, 16 and 8 bits, and the first stages of a search over them.

use std::num::NonZeroUsize;
use std::path::Path;

use berth_index::{DenseOptions, Error, GraphParameters, IndexSettings, IndexWriter, verify};
use berth_types::{DenseSearch, Embedding, FirstStage, RowKind};

use crate::support::{embed, key, put, settings, snapshot};

const DOCUMENTS: usize = 700;

fn kept_as(rows: RowKind) -> IndexSettings {
    IndexSettings { rows, ..settings() }
}

/// Commits, merges, deletions and a graph over what is large.
fn build(dir: &Path, kind: RowKind) {
    let mut writer = IndexWriter::create_or_open(dir, &kept_as(kind)).unwrap();
    writer.set_dense_options(DenseOptions {
        graph_from_rows: 300,
        graph: GraphParameters { m: 8, ef_construction: 50, ..GraphParameters::default() },
        background_from_rows: 200,
        ..DenseOptions::default()
    });
    for number in 0..DOCUMENTS {
        put(&mut writer, &number.to_string(), &format!("text {number}"));
        if number % 90 == 89 {
            writer.commit().unwrap();
        }
    }
    for number in (0..DOCUMENTS).step_by(10) {
        writer.remove(&number.to_string()).unwrap();
    }
    writer.commit().unwrap();
    writer.finish().unwrap();
}

fn cosine(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

fn search(first_stage: FirstStage, oversample: usize) -> DenseSearch {
    DenseSearch { first_stage, oversample: NonZeroUsize::new(oversample) }
}

#[test]
fn every_kind_lives_through_commits_merges_and_deletions() {
    for (kind, most) in [(RowKind::F32, 0.0), (RowKind::F16, 1e-3), (RowKind::Int8, 2e-2)] {
        let dir = tempfile::tempdir().unwrap();
        build(dir.path(), kind);
        assert_eq!(verify(dir.path()).unwrap().problems, [], "{kind}");
        let found = snapshot(dir.path());
        assert_eq!((found.settings().rows, found.status().graph_rows > 0), (kind, true));
        for number in (1..DOCUMENTS).step_by(47).filter(|number| number % 10 != 0) {
            let given = embed(&format!("text {number}"));
            let hits = found.dense(&given, 3).unwrap();
            assert_eq!(found.passage(hits[0].chunk_id).unwrap().unwrap().id, number.to_string(), "{kind}");
            let stored = found.vectors_of(&[hits[0].chunk_id]).unwrap().remove(0).unwrap();
            // What is stored is close to what was given, and scores are those of what is stored.
            assert!(1.0 - cosine(given.as_slice(), &stored) <= most + 1e-6, "{kind}");
            assert!((hits[0].score - cosine(given.as_slice(), &stored)).abs() < 1e-6, "{kind}");
            assert_eq!(found.dense_scores(&given, &[hits[0].chunk_id]).unwrap(), [Some(hits[0].score)]);
            // However often it was merged: as if it had been stored once.
            let again = Embedding::normalized(stored).unwrap();
            assert!(found.has_key(&key(&format!("text {number}"))).unwrap());
            assert!(cosine(again.as_slice(), given.as_slice()) >= 1.0 - most - 1e-6, "{kind}");
        }
    }
}

#[test]
fn rows_of_fewer_bits_take_less_room() {
    let bytes = RowKind::ALL.map(|kind| {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = IndexWriter::create_or_open(dir.path(), &kept_as(kind)).unwrap();
        (0..500).for_each(|number| put(&mut writer, &number.to_string(), &format!("text {number}")));
        writer.finish().unwrap();
        snapshot(dir.path()).status().dense_bytes as i64
    });
    let values = 500 * crate::support::DIMENSIONS as i64;
    // Sections begin on cache lines.
    assert!((bytes[0] - bytes[1] - 2 * values).abs() < 64, "{bytes:?}");
    assert!((bytes[0] - bytes[2] - (3 * values - 4 * 500)).abs() < 64, "{bytes:?}");
}

#[test]
fn an_index_keeps_its_kind() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), RowKind::Int8);
    let error = IndexWriter::create_or_open(dir.path(), &settings()).unwrap_err();
    assert!(matches!(error, Error::SettingsMismatch { .. }), "{error}");
    assert!(error.to_string().contains("rows of int8, not f32"), "{error}");
}

#[test]
fn a_first_stage_that_hands_everything_on_misses_nothing() {
    let all = DOCUMENTS - DOCUMENTS.div_ceil(10);
    for kind in RowKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        build(dir.path(), kind);
        let found = snapshot(dir.path());
        for question in ["text 17 or so", "anything", "text 333"] {
            let question = embed(question);
            for depth in [1, 10, all] {
                let exact = found.dense_exact(&question, depth).unwrap();
                for stage in ["full", "half", "prefix:1", "prefix:5", "prefix:1000", "binary"] {
                    let stage: FirstStage = stage.parse().unwrap();
                    let staged = found.dense_by(&question, None, depth, search(stage, all)).unwrap();
                    assert_eq!(staged, exact, "{kind}, {stage}, {depth}");
                }
            }
        }
    }
}

#[test]
fn first_stages_find_most_of_the_nearest() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), RowKind::F32);
    let found = snapshot(dir.path());
    // Of made-up rows all values matter alike, so that a part of them tells less than of a model's.
    for (stage, least) in [("full", 100), ("half", 60), ("prefix:20", 95), ("binary", 60)] {
        let (mut hits, mut places) = (0, 0);
        for number in 0..50 {
            let question = embed(&format!("question {number}"));
            let exact = found.dense_exact(&question, 10).unwrap();
            let staged = found.dense_by(&question, None, 10, search(stage.parse().unwrap(), 8)).unwrap();
            assert_eq!(staged.len(), 10, "{stage}");
            assert!(staged.is_sorted_by(|a, b| a.score >= b.score));
            places += exact.len();
            hits += exact.iter().filter(|hit| staged.contains(hit)).count();
        }
        assert!(hits * 100 >= places * least, "{stage}: {hits} of {places}");
    }
}

#[test]
fn first_stages_keep_to_filters() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), RowKind::F16);
    let found = snapshot(dir.path());
    for (filter, count) in [("id:33", 1), ("id:1*", 100), ("NOT id:1*", DOCUMENTS - 70 - 100)] {
        let selection = found.selection(Some(filter), None).unwrap();
        for stage in ["half", "binary"] {
            let search = search(stage.parse().unwrap(), 2);
            let all = found.dense_by(&embed("anything"), selection.as_deref(), DOCUMENTS, search).unwrap();
            assert_eq!(all.len(), selection.as_ref().unwrap().documents(), "{filter}");
            let few = found.dense_by(&embed("anything"), selection.as_deref(), 5, search).unwrap();
            assert_eq!(few.len(), count.min(5), "{filter}");
            assert!(few.iter().all(|hit| all.contains(hit)), "{filter}");
        }
    }
}
