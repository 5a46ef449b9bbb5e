//! Late interaction: token rows in, MaxSim out, through every way that a chunk can take.

use std::path::Path;

use berth_index::{Error, IndexReader, IndexSettings, IndexWriter, NewChunk};
use berth_types::{ContentKey, ErrorKind, TokenMatrix};

use crate::support::{
    assert_sound, contents, cut, cut_with_tokens, document, embed, embed_words, key, open, open_with_tokens, put,
    record, settings, settings_with_tokens, snapshot,
};

/// Chunk numbers with their texts.
fn chunks(snapshot: &berth_index::Snapshot) -> Vec<(u64, String)> {
    let hits = snapshot.dense(&embed("any"), usize::MAX).unwrap();
    let mut chunks: Vec<(u64, String)> =
        hits.iter().map(|hit| (hit.chunk_id, snapshot.passage(hit.chunk_id).unwrap().unwrap().text)).collect();
    chunks.sort_unstable();
    chunks
}

/// MaxSim in 32-bit floats, of the words themselves.
fn exact(query: &TokenMatrix, chunk: &TokenMatrix) -> f32 {
    let rows = |matrix: &TokenMatrix| -> Vec<Vec<f32>> {
        matrix.as_slice().chunks_exact(matrix.dimensions()).map(<[f32]>::to_vec).collect()
    };
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let best = |token: &Vec<f32>| rows(chunk).iter().map(|row| dot(token, row)).fold(f32::NEG_INFINITY, f32::max);
    rows(query).iter().map(best).sum()
}

#[test]
fn scores_are_those_of_the_words() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open_with_tokens(dir.path());
    put(&mut writer, "a", "the first of two documents has eleven words in three chunks");
    writer.commit().unwrap();
    put(&mut writer, "b", "the second has five");
    put(&mut writer, "empty", "");
    writer.finish().unwrap();
    let snapshot = snapshot(dir.path());
    let chunks = chunks(&snapshot);
    assert_eq!(chunks.len(), 4);
    let ids: Vec<u64> = chunks.iter().map(|(id, _)| *id).collect();
    for question in ["second", "the first document with eleven words", "nothing of all this is there, or is it"] {
        let query = embed_words(question);
        let scores = snapshot.late_scores(&query, &ids).unwrap();
        for ((_, text), score) in chunks.iter().zip(scores) {
            let (score, exact) = (score.unwrap(), exact(&query, &embed_words(text)));
            assert!((score - exact).abs() < 0.02 * query.rows() as f32, "{question} in {text}: {score} for {exact}");
        }
    }
    let absent = ids[3] + 1;
    let query = embed_words("second");
    let (one, other) =
        (snapshot.late_scores(&query, &[ids[3]]).unwrap(), snapshot.late_scores(&query, &[ids[0]]).unwrap());
    assert_eq!(snapshot.late_scores(&query, &[ids[3], absent, ids[0]]).unwrap(), [one[0], None, other[0]]);
    assert_eq!(snapshot.late_scores(&query, &[]).unwrap(), []);
    assert_sound(dir.path());
}

#[test]
fn many_chunks_score_as_each_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open_with_tokens(dir.path());
    for number in 0..40 {
        put(&mut writer, &number.to_string(), &format!("document {number} of many with some more words each"));
    }
    writer.finish().unwrap();
    let snapshot = snapshot(dir.path());
    let ids: Vec<u64> = chunks(&snapshot).into_iter().map(|(id, _)| id).collect();
    let query = embed_words("document 7 of many");
    let alone = ids.iter().map(|&id| snapshot.late_scores(&query, &[id]).unwrap()[0]).collect::<Vec<_>>();
    assert_eq!(snapshot.late_scores(&query, &ids).unwrap(), alone);
}

#[test]
fn rows_follow_their_chunks_through_merges_and_deletions() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open_with_tokens(dir.path());
    for round in 0..30 {
        put(&mut writer, &format!("{}", round % 11), &format!("round {round} leaves a document of eight words or so"));
        if round % 4 == 3 {
            writer.remove(&format!("{}", (round + 3) % 11)).unwrap();
        }
        writer.commit().unwrap();
        // Compares the token rows of every chunk with those of its words.
        contents(&snapshot(dir.path()));
    }
    drop(writer);
    let snapshot = snapshot(dir.path());
    assert!(snapshot.status().dense_segments < 6, "{:?}", snapshot.status());
    let report = berth_index::verify(dir.path()).unwrap();
    assert_eq!(report.problems, []);
    let words: usize = chunks(&snapshot).iter().map(|(_, text)| text.split_whitespace().count()).sum();
    assert_eq!(report.token_rows, words as u64);
    assert!(snapshot.status().token_rows >= report.token_rows);
    assert!(snapshot.status().token_bytes > 0);
}

#[test]
fn rows_are_found_again_by_key() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open_with_tokens(dir.path());
    let text = "these are four words";
    let rows = embed_words(text).quantized();
    assert_eq!(writer.token_rows(&key(text)), None);
    put(&mut writer, "a", text);
    assert_eq!(writer.token_rows(&key(text)), Some(rows.clone()), "before the commit");
    writer.commit().unwrap();
    assert_eq!(writer.token_rows(&key(text)), Some(rows.clone()));
    drop(writer);
    let mut writer = open_with_tokens(dir.path());
    // A moved document: what its chunks need is taken from the index.
    let chunk = |new: NewChunk| {
        let (embedding, tokens) = (writer.embedding(&new.key).unwrap(), writer.token_rows(&new.key));
        NewChunk { embedding, tokens, ..new }
    };
    let chunks: Vec<NewChunk> = cut(text).into_iter().map(chunk).collect();
    assert_eq!(chunks[0].tokens, Some(rows.clone()));
    let moved = document("b", text);
    writer.remove("a").unwrap();
    writer.put(&moved, &record(&moved), chunks).unwrap();
    writer.commit().unwrap();
    assert_eq!(writer.token_rows(&key(text)), Some(rows));
    assert_eq!(writer.token_rows(&ContentKey([7; 16])), None);
    drop(writer);
    assert_eq!(contents(&snapshot(dir.path())).len(), 1);
    assert_sound(dir.path());
}

#[test]
fn an_index_has_rows_for_all_chunks_or_for_none() {
    let base = tempfile::tempdir().unwrap();
    let (with, without) = (base.path().join("with"), base.path().join("without"));
    let document = document("a", "four words are here");
    let mut writer = open_with_tokens(&with);
    let error = writer.put(&document, &record(&document), cut(&document.text)).unwrap_err();
    assert!(matches!(error, Error::TokenRowsNeeded { .. }), "{error}");
    let mut wrong = cut(&document.text);
    wrong[0].tokens = Some(TokenMatrix::normalized(vec![1.0; 6], 3).unwrap().quantized());
    let error = writer.put(&document, &record(&document), wrong).unwrap_err();
    assert!(matches!(error, Error::DimensionMismatch { expected: 10, received: 3 }), "{error}");
    assert!(!writer.has_changes(), "what is refused changes nothing");
    put(&mut writer, "a", "four words are here");
    writer.finish().unwrap();
    let mut writer = open(&without);
    let error = writer.put(&document, &record(&document), cut_with_tokens(&document.text)).unwrap_err();
    assert!(matches!(error, Error::NoTokenRows { .. }), "{error}");
    put(&mut writer, "a", "four words are here");
    writer.finish().unwrap();

    let refused =
        |dir: &Path, settings: &IndexSettings| IndexWriter::create_or_open(dir, settings).map(drop).unwrap_err();
    let error = refused(&without, &settings_with_tokens());
    assert!(error.to_string().contains("built without token rows: index again"), "{error}");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(matches!(refused(&with, &settings()), Error::TokenRowsNeeded { .. }));
    let mut other = settings_with_tokens();
    other.tokens.as_mut().unwrap().fingerprint.model = "other-words".to_string();
    let error = refused(&with, &other);
    assert!(error.to_string().contains("model is small-words, not other-words"), "{error}");
    let mut other = settings_with_tokens();
    other.tokens.as_mut().unwrap().dimensions = 12;
    let error = refused(&with, &other);
    assert!(error.to_string().contains("token rows of length 10, not 12"), "{error}");

    let query = embed_words("four words");
    let error = snapshot(&without).late_scores(&query, &[0]).unwrap_err();
    assert!(matches!(error, Error::NoTokenRows { .. }), "{error}");
    let narrow = TokenMatrix::normalized(vec![1.0; 6], 3).unwrap();
    let error = snapshot(&with).late_scores(&narrow, &[0]).unwrap_err();
    assert!(matches!(error, Error::DimensionMismatch { expected: 10, received: 3 }), "{error}");
}

#[test]
fn the_settings_say_whether_there_are_token_rows() {
    let base = tempfile::tempdir().unwrap();
    let (with, without) = (base.path().join("with"), base.path().join("without"));
    put(&mut open_with_tokens(&with), "a", "forgotten");
    put(&mut open(&without), "a", "forgotten");
    let status = |dir| IndexReader::open(dir).unwrap().snapshot().status();
    assert_eq!((status(&without).format, status(&with).format), (3, 3));
    let settings = |dir| IndexReader::open(dir).unwrap().snapshot().settings().tokens.clone();
    assert_eq!(settings(&without), None);
    assert_eq!(settings(&with), settings_with_tokens().tokens);
    assert_eq!((status(&with).token_rows, status(&with).token_bytes), (0, 0));
}
