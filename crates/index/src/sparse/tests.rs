use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use berth_types::{Chunk, ContentKey, Document, DocumentRecord, Embedding, SparseVector, sparse_score};

use crate::crash_tests::{Random, put, settings, settings_with_sparse};
use crate::{Error, IndexReader, IndexWriter, NewChunk, Snapshot, SparseRow, verify};

const SEED: u64 = 20_261_127;

/// Few pieces, so that many chunks share some and sums tie.
fn random_vector(random: &mut Random) -> SparseVector {
    let count = random.below(8);
    let pieces: BTreeMap<u32, u8> = (0..count).map(|_| (random.below(25) as u32, random.below(6) as u8 * 51)).collect();
    SparseVector::from_pieces(pieces.into_iter().filter(|&(_, impact)| impact > 0).collect()).unwrap()
}

fn put_vectors(writer: &mut IndexWriter, id: &str, vectors: &[SparseVector]) {
    let text = "x ".repeat(vectors.len());
    let colour = if vectors.len().is_multiple_of(2) { "red" } else { "blue" };
    let metadata = [("colour".to_owned(), colour.into())].into_iter().collect();
    let document = Document { id: id.to_owned(), text, metadata, ..Document::default() };
    let chunk = |(ordinal, vector): (usize, &SparseVector)| {
        let key = ContentKey(blake3::hash(format!("{id} {ordinal}").as_bytes()).as_bytes()[..16].try_into().unwrap());
        NewChunk {
            chunk: Chunk { ordinal: ordinal as u32, byte_range: 2 * ordinal..2 * ordinal + 1, tokens: 1 },
            key,
            embedding: Embedding::normalized(vec![1.0, ordinal as f32, 2.0]).unwrap(),
            tokens: None,
            sparse: Some(SparseRow { key, vector: vector.clone() }),
        }
    };
    let chunks = vectors.iter().enumerate().map(chunk).collect();
    writer.put(&document, &DocumentRecord::default(), chunks).unwrap();
}

fn open(dir: &Path) -> IndexWriter {
    IndexWriter::create_or_open(dir, &settings_with_sparse()).unwrap()
}

fn snapshot(dir: &Path) -> Arc<Snapshot> {
    IndexReader::open(dir).unwrap().snapshot()
}

/// Chunk numbers and scores by comparing the question with every vector: what a search has to find.
fn brute_force(
    snapshot: &Snapshot,
    expected: &BTreeMap<String, Vec<SparseVector>>,
    query: &SparseVector,
    wanted: impl Fn(&[SparseVector]) -> bool,
) -> Vec<(u64, u64, f32)> {
    let mut found = Vec::new();
    for (id, vectors) in expected.iter().filter(|(_, vectors)| wanted(vectors)) {
        let document_no = snapshot.document_number(id).unwrap().unwrap();
        let chunks = snapshot.embedded_chunks(document_no).unwrap();
        let first = snapshot.first_chunk(document_no).unwrap().unwrap_or(0);
        assert_eq!(chunks.len(), vectors.len(), "{id}");
        for (chunk_id, vector) in (first..).zip(vectors) {
            let sum = query.dot(vector);
            assert_eq!(snapshot.sparse_scores(query, &[chunk_id]).unwrap(), [Some(sparse_score(sum))]);
            assert_eq!(snapshot.sparse_vector(chunk_id).unwrap().as_ref(), Some(vector));
            if sum > 0 {
                found.push((chunk_id, document_no, sparse_score(sum)));
            }
        }
    }
    found.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
    found
}

fn check_search(snapshot: &Snapshot, expected: &BTreeMap<String, Vec<SparseVector>>, query: &SparseVector) {
    let red = |vectors: &[SparseVector]| vectors.len().is_multiple_of(2);
    let filter = snapshot.selection(Some("colour:red"), None).unwrap();
    let all = brute_force(snapshot, expected, query, |_| true);
    let narrowed = brute_force(snapshot, expected, query, red);
    for depth in [0, 1, 3, 10, usize::MAX] {
        let found = |selection| -> Vec<(u64, u64, f32)> {
            let hits = snapshot.sparse_within(query, selection, depth).unwrap();
            hits.into_iter().map(|hit| (hit.chunk_id, hit.document_no, hit.score)).collect()
        };
        assert_eq!(found(None), all[..depth.min(all.len())], "{depth} {query:?}");
        assert_eq!(found(filter.as_deref()), narrowed[..depth.min(narrowed.len())], "{depth} of red, {query:?}");
    }
    for &(chunk_id, _, score) in all.iter().take(5) {
        let parts = snapshot.explain_sparse(query, chunk_id).unwrap();
        assert_eq!(parts.iter().map(|part| part.score).sum::<f32>(), score);
        assert!(parts.iter().all(|part| part.score == part.query_weight * part.chunk_weight && part.score > 0.0));
        assert!(parts.is_sorted_by(|a, b| a.score >= b.score));
    }
}

#[test]
fn a_search_finds_what_comparing_all_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(SEED);
    let mut expected: BTreeMap<String, Vec<SparseVector>> = BTreeMap::new();
    let mut writer = open(dir.path());
    for round in 0..12 {
        for _ in 0..9 {
            let id = format!("{}", random.below(60));
            let vectors: Vec<SparseVector> = (0..random.below(5)).map(|_| random_vector(&mut random)).collect();
            put_vectors(&mut writer, &id, &vectors);
            expected.insert(id, vectors);
        }
        let gone = format!("{}", random.below(60));
        writer.remove(&gone).unwrap();
        expected.remove(&gone);
        writer.commit().unwrap();
        let snapshot = snapshot(dir.path());
        for _ in 0..4 {
            check_search(&snapshot, &expected, &random_vector(&mut random));
        }
        if round == 8 {
            assert!(snapshot.status().lexical_segments > 1, "{:?}", snapshot.status());
            writer.compact().unwrap();
        }
    }
    writer.purge().unwrap();
    writer.finish().unwrap();
    let snapshot = snapshot(dir.path());
    check_search(&snapshot, &expected, &random_vector(&mut random));
    assert_eq!(snapshot.sparse_within(&SparseVector::default(), None, 9).unwrap(), []);
    assert_eq!(snapshot.sparse_scores(&random_vector(&mut random), &[u64::MAX]).unwrap(), [None]);
    assert_eq!(snapshot.explain_sparse(&random_vector(&mut random), u64::MAX).unwrap(), []);
    let report = verify(dir.path()).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.sparse_vectors, snapshot.status().chunks);
}

#[test]
fn vectors_are_found_again_by_the_keys_of_their_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let vector = SparseVector::from_pieces(vec![(3, 7), (4, 9)]).unwrap();
    let key = |id: &str| ContentKey(blake3::hash(format!("{id} 0").as_bytes()).as_bytes()[..16].try_into().unwrap());
    assert_eq!(writer.sparse_row(&key("a")), None);
    put_vectors(&mut writer, "a", std::slice::from_ref(&vector));
    let row = Some(SparseRow { key: key("a"), vector });
    assert_eq!(writer.sparse_row(&key("a")), row, "before the commit");
    writer.commit().unwrap();
    assert_eq!(writer.sparse_row(&key("a")), row);
    writer.compact().unwrap();
    drop(writer);
    let mut writer = open(dir.path());
    assert_eq!(writer.sparse_row(&key("a")), row);
    writer.remove("a").unwrap();
    assert_eq!(writer.sparse_row(&key("a")), row, "of a document that is about to move");
    assert_eq!(writer.sparse_row(&key("b")), None);
}

#[test]
fn an_index_has_vectors_for_all_chunks_or_for_none() {
    let base = tempfile::tempdir().unwrap();
    let (with, without) = (base.path().join("with"), base.path().join("without"));
    let open_as = |dir: &Path, settings| IndexWriter::create_or_open(dir, &settings);
    put(&mut open_as(&with, settings_with_sparse()).unwrap(), "a", "forgotten").unwrap();
    let mut writer = open_as(&without, settings()).unwrap();
    put(&mut writer, "a", "some text").unwrap();
    writer.finish().unwrap();
    let error = open_as(&without, settings_with_sparse()).map(drop).unwrap_err();
    assert!(error.to_string().contains("built without sparse vectors: index again"), "{error}");
    assert!(matches!(open_as(&with, settings()), Err(Error::SparseVectorsNeeded { .. })));
    let mut other = settings_with_sparse();
    other.sparse.as_mut().unwrap().fingerprint.model = "other-pieces".to_owned();
    let error = open_as(&with, other).map(drop).unwrap_err();
    assert!(error.to_string().contains("model is pieces, not other-pieces"), "{error}");
    let query = SparseVector::from_pieces(vec![(1, 1)]).unwrap();
    let snapshot = snapshot(&without);
    assert!(matches!(snapshot.sparse_within(&query, None, 9), Err(Error::NoSparseVectors { .. })));
    assert!(matches!(snapshot.sparse_scores(&query, &[0]), Err(Error::NoSparseVectors { .. })));

    let chunk = NewChunk {
        chunk: Chunk { ordinal: 0, byte_range: 0..1, tokens: 1 },
        key: ContentKey([0; 16]),
        embedding: Embedding::normalized(vec![1.0, 0.0, 0.0]).unwrap(),
        tokens: None,
        sparse: None,
    };
    let document = Document { id: "b".to_owned(), text: "x".to_owned(), ..Document::default() };
    let record = DocumentRecord::default();
    let mut writer = open_as(&with, settings_with_sparse()).unwrap();
    let error = writer.put(&document, &record, vec![chunk.clone()]).unwrap_err();
    assert!(matches!(error, Error::SparseVectorsNeeded { .. }), "{error}");
    assert!(!writer.has_changes(), "what is refused changes nothing");
    let mut writer = open_as(&without, settings()).unwrap();
    let row = SparseRow { key: ContentKey([0; 16]), vector: query };
    let error = writer.put(&document, &record, vec![NewChunk { sparse: Some(row), ..chunk }]).unwrap_err();
    assert!(matches!(error, Error::NoSparseVectors { .. }), "{error}");
}
