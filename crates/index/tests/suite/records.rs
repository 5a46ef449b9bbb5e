//! Reading a commit through: records, keys, and chunks with their vectors.

use crate::support::{cut, embed, key, open, put, record, snapshot};

#[test]
fn records_keys_and_vectors_are_those_that_were_put() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let text = "one two three four five six seven eight nine";
    put(&mut writer, "a", text);
    put(&mut writer, "b", "soon to be replaced");
    put(&mut writer, "empty", "");
    writer.commit().unwrap();
    put(&mut writer, "b", "one two three four");
    writer.finish().unwrap();
    let snapshot = snapshot(dir.path());
    let records = snapshot.records().unwrap();
    assert_eq!(records.keys().collect::<Vec<_>>(), ["a", "b", "empty"]);
    let stored = snapshot.document("a").unwrap().unwrap();
    assert_eq!(records["a"], stored.record);
    assert_eq!(records["a"].content_hash, record(&stored.document).content_hash);
    let chunks = snapshot.embedded_chunks(stored.document_no).unwrap();
    for (found, put) in chunks.iter().zip(cut(text)) {
        assert_eq!((&found.chunk, found.key, &found.vector[..]), (&put.chunk, put.key, put.embedding.as_slice()));
    }
    assert_eq!(chunks.len(), 3);
    let again = snapshot.embedded_chunks(snapshot.document("b").unwrap().unwrap().document_no).unwrap();
    assert_eq!((again.len(), &again[0].vector[..]), (1, embed("one two three four").as_slice()));
    let empty = snapshot.document("empty").unwrap().unwrap().document_no;
    assert_eq!(snapshot.embedded_chunks(empty).unwrap(), []);
    assert!(snapshot.has_key(&key("five six seven eight")).unwrap());
    assert!(!snapshot.has_key(&key("never put")).unwrap());
}
