//! A small world for tests: documents cut every few words, vectors made from their words.

use std::path::Path;

use berth_index::{
    IndexReader, IndexSettings, IndexWriter, NewChunk, Snapshot, SparseRow, SparseSettings, TokenSettings,
};
use berth_types::{
    Chunk, ContentKey, Document, DocumentRecord, Embedding, Fingerprint, RowKind, SparseVector, TokenMatrix,
};

pub(crate) const DIMENSIONS: usize = 24;
/// Values in a token's row, in an index that has them.
pub(crate) const TOKEN_DIMENSIONS: usize = 10;
const WORDS_A_CHUNK: usize = 4;

pub(crate) fn settings() -> IndexSettings {
    let parts = [("precision".to_string(), "fp32".to_string())].into();
    IndexSettings {
        fingerprint: Fingerprint { model: "small-world".to_string(), parts },
        dimensions: DIMENSIONS,
        window_tokens: 4,
        overlap_tokens: 0,
        rows: RowKind::F32,
        tokens: None,
        sparse: None,
    }
}

/// The same world with a vector for each word.
pub(crate) fn settings_with_tokens() -> IndexSettings {
    let fingerprint = Fingerprint { model: "small-words".to_string(), parts: [].into() };
    IndexSettings { tokens: Some(TokenSettings { fingerprint, dimensions: TOKEN_DIMENSIONS }), ..settings() }
}

/// The same world with all that an index can have: vectors in 8 bits, one for each word, and sparse ones.
pub(crate) fn settings_with_all() -> IndexSettings {
    let fingerprint = Fingerprint { model: "small-pieces".to_string(), parts: [].into() };
    let sparse = Some(SparseSettings { fingerprint });
    IndexSettings { rows: RowKind::Int8, sparse, ..settings_with_tokens() }
}

pub(crate) fn document(id: &str, text: &str) -> Document {
    Document { id: id.to_string(), text: text.to_string(), source: Some(format!("{id}.txt")), ..Document::default() }
}

pub(crate) fn record(document: &Document) -> DocumentRecord {
    DocumentRecord {
        content_hash: format!("{:032x}", hash(&document.text)),
        file: format!("/documents/{}.txt", document.id.chars().take(100).collect::<String>()),
        modified_ns: document.text.len() as i64,
        chunks: 0,
    }
}

/// Windows of four words; the byte ranges leave out the white space between them.
pub(crate) fn cut(text: &str) -> Vec<NewChunk> {
    let words: Vec<(usize, usize)> = text
        .split_whitespace()
        .map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word.len()))
        .map(|(start, length)| (start, start + length))
        .collect();
    let windows = words.chunks(WORDS_A_CHUNK).enumerate();
    windows
        .map(|(ordinal, words)| {
            let byte_range = words[0].0..words[words.len() - 1].1;
            let text = &text[byte_range.clone()];
            NewChunk {
                chunk: Chunk { ordinal: ordinal as u32, byte_range, tokens: words.len() as u32 },
                key: ContentKey(hash(text).to_le_bytes()),
                embedding: embed(text),
                tokens: None,
                sparse: None,
            }
        })
        .collect()
}

/// As [`cut`], with token rows.
pub(crate) fn cut_with_tokens(text: &str) -> Vec<NewChunk> {
    let with_tokens = |new: NewChunk| {
        let tokens = Some(embed_words(&text[new.chunk.byte_range.clone()]).quantized());
        NewChunk { tokens, ..new }
    };
    cut(text).into_iter().map(with_tokens).collect()
}

/// As [`cut`], with what an index of these settings has of each chunk.
pub(crate) fn cut_for(settings: &IndexSettings, text: &str) -> Vec<NewChunk> {
    let chunks = if settings.tokens.is_some() { cut_with_tokens(text) } else { cut(text) };
    let with_sparse = |new: NewChunk| {
        let vector = pieces(&text[new.chunk.byte_range.clone()]);
        let sparse = settings.sparse.is_some().then_some(SparseRow { key: new.key, vector });
        NewChunk { sparse, ..new }
    };
    chunks.into_iter().map(with_sparse).collect()
}

/// A sparse vector with a piece for each word.
pub(crate) fn pieces(text: &str) -> SparseVector {
    let weight = |word: &str| ((hash(word) % 500) as u32, 0.25 + word.len() as f32 / 8.0);
    let weights: std::collections::BTreeMap<u32, f32> = text.split_whitespace().map(weight).collect();
    SparseVector::quantized(weights).unwrap()
}

pub(crate) fn key(text: &str) -> ContentKey {
    ContentKey(hash(text).to_le_bytes())
}

pub(crate) fn embed(text: &str) -> Embedding {
    Embedding::normalized(noise(text, DIMENSIONS)).unwrap()
}

/// A vector for each word.
pub(crate) fn embed_words(text: &str) -> TokenMatrix {
    let values = text.split_whitespace().flat_map(|word| noise(word, TOKEN_DIMENSIONS)).collect();
    TokenMatrix::normalized(values, TOKEN_DIMENSIONS).unwrap()
}

/// Values from -1 to 1 that only the text decides.
fn noise(text: &str, count: usize) -> Vec<f32> {
    let mut state = hash(text) as u64 | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn hash(text: &str) -> u128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
    u128::from_le_bytes(bytes)
}

pub(crate) fn put(writer: &mut IndexWriter, id: &str, text: &str) {
    let document = document(id, text);
    let chunks = cut_for(writer.settings(), text);
    writer.put(&document, &record(&document), chunks).unwrap();
}

pub(crate) fn open(dir: &Path) -> IndexWriter {
    IndexWriter::create_or_open(dir, &settings()).unwrap()
}

pub(crate) fn open_with_tokens(dir: &Path) -> IndexWriter {
    IndexWriter::create_or_open(dir, &settings_with_tokens()).unwrap()
}

pub(crate) fn snapshot(dir: &Path) -> std::sync::Arc<Snapshot> {
    IndexReader::open(dir).unwrap().snapshot()
}

/// Every document of a snapshot by id, after checking that both halves agree on its chunks.
pub(crate) fn contents(snapshot: &Snapshot) -> Vec<(String, String)> {
    let ids = snapshot.document_ids("", usize::MAX).unwrap();
    let mut chunks = 0;
    let contents: Vec<(String, String)> = ids
        .into_iter()
        .map(|id| {
            let stored = snapshot.document(&id).unwrap().unwrap();
            let expected = cut(&stored.document.text);
            assert_eq!(stored.chunks, expected.iter().map(|new| new.chunk.clone()).collect::<Vec<_>>());
            assert_eq!(stored.record.chunks as usize, expected.len());
            assert_eq!(DocumentRecord { chunks: 0, ..stored.record.clone() }, record(&stored.document));
            for new in &expected {
                let hits = snapshot.dense(&new.embedding, 1000).unwrap();
                let best = hits.iter().find(|hit| hit.document_no == stored.document_no).unwrap();
                assert!(best.score > 0.999, "{id}: {best:?}");
                if snapshot.settings().tokens.is_some() {
                    let words = embed_words(&stored.document.text[new.chunk.byte_range.clone()]);
                    let score = snapshot.late_scores(&words, &[best.chunk_id]).unwrap()[0].unwrap();
                    assert!((score / words.rows() as f32 - 1.0).abs() < 0.02, "{id}: {score} of {}", words.rows());
                }
            }
            chunks += expected.len();
            (id, stored.document.text)
        })
        .collect();
    let status = snapshot.status();
    assert_eq!(
        (status.chunks, status.lexical_chunks, status.dense_rows),
        (chunks as u64, chunks as u64, chunks as u64)
    );
    assert_eq!(status.documents, contents.len() as u64);
    contents
}

pub(crate) fn assert_sound(dir: &Path) {
    let report = berth_index::verify(dir).unwrap();
    assert_eq!(report.problems, [], "{}", dir.display());
}

/// Copies a directory tree of plain files.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
