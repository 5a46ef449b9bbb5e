//! What goes in comes out: putting, replacing, removing, and what readers see of it.

use berth_index::{Error, IndexReader, IndexSettings, IndexWriter};
use berth_types::{Document, DocumentRecord, ErrorKind};

use crate::support::{assert_sound, contents, copy, cut, document, embed, key, open, put, record, settings, snapshot};

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|&(id, text)| (id.to_string(), text.to_string())).collect()
}

#[test]
fn documents_come_back_and_survive_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("a/new/index");
    let mut writer = open(&index);
    put(&mut writer, "b", "the second of the two documents has two chunks");
    put(&mut writer, "a", "first");
    assert!(writer.has_changes());
    assert_eq!(writer.commit().unwrap(), 2);
    assert_eq!(writer.commit().unwrap(), 2, "nothing changed");
    put(&mut writer, "c", "third");
    writer.finish().unwrap();
    let expected = pairs(&[("a", "first"), ("b", "the second of the two documents has two chunks"), ("c", "third")]);
    assert_eq!(contents(&snapshot(&index)), expected);
    let writer = open(&index);
    assert_eq!(writer.records().map(|(id, _)| id).collect::<Vec<_>>(), ["a", "b", "c"]);
    let second = document("b", "the second of the two documents has two chunks");
    assert_eq!(writer.record("b"), Some(&DocumentRecord { chunks: 3, ..record(&second) }));
    assert!(!writer.has_changes());
    drop(writer);
    assert_sound(&index);
}

#[test]
fn a_new_index_is_empty_and_answers() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!berth_index::exists(dir.path()));
    drop(open(dir.path()));
    assert!(berth_index::exists(dir.path()));
    let snapshot = snapshot(dir.path());
    assert_eq!(snapshot.generation(), 1);
    assert_eq!(snapshot.settings(), &settings());
    assert_eq!(contents(&snapshot), []);
    assert_eq!(snapshot.dense(&embed("x"), 10).unwrap(), []);
    assert_eq!(snapshot.lexical("x", 10).unwrap().hits, []);
    assert_eq!(snapshot.chunk(0).unwrap(), None);
    assert_eq!(snapshot.document("x").unwrap(), None);
    assert_sound(dir.path());
}

#[test]
fn a_document_is_replaced_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    put(&mut writer, "a", "one two three four five six seven eight nine");
    put(&mut writer, "b", "stays as it is");
    writer.commit().unwrap();
    put(&mut writer, "a", "ten eleven");
    put(&mut writer, "a", "twelve thirteen");
    writer.commit().unwrap();
    drop(writer);
    let snapshot = snapshot(dir.path());
    assert_eq!(contents(&snapshot), pairs(&[("a", "twelve thirteen"), ("b", "stays as it is")]));
    assert_eq!(snapshot.lexical("seven eleven", 10).unwrap().hits, []);
    assert_eq!(snapshot.lexical("thirteen", 10).unwrap().hits.len(), 1);
    assert_eq!(snapshot.dense(&embed("one two three four"), 10).unwrap().len(), 2);
    assert_sound(dir.path());
}

#[test]
fn a_document_is_removed_from_both_halves() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    put(&mut writer, "a", "some words of the first");
    put(&mut writer, "b", "and of the second document");
    writer.commit().unwrap();
    assert!(writer.remove("a").unwrap());
    assert!(!writer.remove("a").unwrap());
    put(&mut writer, "c", "never committed");
    assert!(writer.remove("c").unwrap());
    assert_eq!(writer.record("a"), None);
    writer.commit().unwrap();
    writer.remove("b").unwrap();
    writer.commit().unwrap();
    drop(writer);
    assert_eq!(contents(&snapshot(dir.path())), []);
    assert_sound(dir.path());
}

#[test]
fn what_was_not_committed_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    put(&mut writer, "a", "committed");
    writer.commit().unwrap();
    put(&mut writer, "b", "forgotten");
    writer.remove("a").unwrap();
    drop(writer);
    assert_eq!(contents(&snapshot(dir.path())), pairs(&[("a", "committed")]));
}

#[test]
fn a_snapshot_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    put(&mut writer, "a", "the old text");
    writer.commit().unwrap();
    let reader = IndexReader::open(dir.path()).unwrap();
    let old = reader.snapshot();
    for round in 0..12 {
        put(&mut writer, "a", &format!("the new text {round}"));
        put(&mut writer, &format!("more {round}"), "more");
        writer.commit().unwrap();
        assert_eq!(contents(&old), pairs(&[("a", "the old text")]));
    }
    assert!(reader.refresh().unwrap());
    assert_eq!(reader.snapshot().status().documents, 13);
    assert_eq!(contents(&old), pairs(&[("a", "the old text")]));
    writer.finish().unwrap();
    reader.refresh().unwrap();
    assert!(!reader.refresh().unwrap());
    assert_eq!(contents(&reader.snapshot()).len(), 13);
}

#[test]
fn chunks_are_found_by_both_halves_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let document = Document {
        title: "Grüße".to_string(),
        metadata: [("year".to_string(), 1999.into())].into_iter().collect(),
        ..document("a", "ein Wort noch eins und fünf sechs sieben")
    };
    writer.put(&document, &record(&document), cut(&document.text)).unwrap();
    writer.finish().unwrap();
    let snapshot = snapshot(dir.path());
    let dense = snapshot.dense(&embed("und fünf sechs sieben"), 1).unwrap();
    let stored = snapshot.chunk(dense[0].chunk_id).unwrap().unwrap();
    assert_eq!(&stored.document.text[stored.chunk.byte_range.clone()], "und fünf sechs sieben");
    assert_eq!((stored.chunk.ordinal, stored.chunk.tokens), (1, 4));
    assert_eq!(stored.document, document);
    let passage = snapshot.passage(dense[0].chunk_id).unwrap().unwrap();
    assert_eq!((passage.id.as_str(), passage.title.as_str(), passage.source.as_deref()), ("a", "Grüße", Some("a.txt")));
    assert_eq!((passage.text.as_str(), &passage.chunk), ("und fünf sechs sieben", &stored.chunk));
    assert_eq!((passage.chunk_id, passage.document_no), (stored.chunk_id, stored.document_no));
    assert_eq!(snapshot.passage(dense[0].chunk_id + 100).unwrap(), None);
    assert_eq!(snapshot.lexical("sechs", 9).unwrap().hits[0].chunk_id, stored.chunk_id);
    assert_eq!(snapshot.lexical("grüße", 9).unwrap().hits.len(), 2, "the title counts for every chunk");
    let absent = stored.chunk_id + 100;
    let scores = snapshot.dense_scores(&embed("und fünf sechs sieben"), &[absent, stored.chunk_id]).unwrap();
    assert_eq!(scores, [None, Some(dense[0].score)]);
}

#[test]
fn the_dense_order_is_that_of_the_scores_with_ties_by_chunk() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    for number in 0..300 {
        put(&mut writer, &format!("{number}"), &format!("word{}", number % 7));
        if number % 50 == 0 {
            writer.commit().unwrap();
        }
    }
    writer.finish().unwrap();
    let snapshot = snapshot(dir.path());
    let query = embed("word3");
    let all = snapshot.dense(&query, 1000).unwrap();
    assert_eq!(all.len(), 300);
    assert!(all.is_sorted_by(|a, b| a.score > b.score || (a.score == b.score && a.chunk_id < b.chunk_id)));
    for depth in [0, 1, 10, 43, 44, 299, 300] {
        assert_eq!(snapshot.dense(&query, depth).unwrap(), all[..depth]);
    }
    let ids: Vec<u64> = all.iter().map(|hit| hit.chunk_id).collect();
    let scores: Vec<Option<f32>> = all.iter().map(|hit| Some(hit.score)).collect();
    assert_eq!(snapshot.dense_scores(&query, &ids).unwrap(), scores);
}

#[test]
fn a_vector_is_found_by_its_key_wherever_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    assert_eq!(writer.embedding(&key("twice")), None);
    put(&mut writer, "a", "twice");
    assert_eq!(writer.embedding(&key("twice")), Some(embed("twice")));
    put(&mut writer, "b", "twice");
    writer.commit().unwrap();
    assert_eq!(writer.embedding(&key("twice")), Some(embed("twice")));
    writer.remove("a").unwrap();
    writer.commit().unwrap();
    drop(writer);
    let writer = open(dir.path());
    assert_eq!(writer.embedding(&key("twice")), Some(embed("twice")));
    assert_eq!(writer.embedding(&key("never")), None);
    drop(writer);
    assert_eq!(snapshot(dir.path()).dense(&embed("twice"), 9).unwrap().len(), 1);
}

#[test]
fn hundreds_of_commits_leave_few_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    for number in 0..200 {
        put(&mut writer, &format!("{number}"), &format!("document number {number}"));
        if number % 3 == 0 {
            writer.remove(&format!("{}", number / 2)).unwrap();
        }
        writer.commit().unwrap();
    }
    writer.finish().unwrap();
    let snapshot = snapshot(dir.path());
    let status = snapshot.status();
    assert!(status.dense_segments <= 8, "{status:?}");
    assert!(status.lexical_segments <= 16, "{status:?}");
    assert!(status.deleted_rows <= status.dense_rows, "{status:?}");
    let files: Vec<_> = std::fs::read_dir(dir.path().join("dense")).unwrap().collect();
    assert!(files.len() <= 2 * status.dense_segments, "{files:?}");
    assert_eq!(contents(&snapshot).len() as u64, status.documents);
    assert_sound(dir.path());
}

#[test]
fn long_ids_and_empty_texts_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let long = "ä".repeat(5 * 1024);
    let longest = "x".repeat(65_530);
    let mut writer = open(dir.path());
    put(&mut writer, &long, "by a long id");
    put(&mut writer, &longest, "found by the longest id");
    put(&mut writer, "empty", "");
    put(&mut writer, "blank", " \n\t ");
    writer.commit().unwrap();
    drop(writer);
    let snapshot = snapshot(dir.path());
    assert_eq!(snapshot.document(&long).unwrap().unwrap().document.text, "by a long id");
    assert_eq!(snapshot.document(&longest).unwrap().unwrap().document.text, "found by the longest id");
    assert_eq!(snapshot.document("empty").unwrap().unwrap().chunks, []);
    assert_eq!(snapshot.status().documents, 4);
    assert_eq!(contents(&snapshot).len(), 4);
    let writer = open(dir.path());
    assert_eq!(writer.record(&long).unwrap().chunks, 1);
    assert_eq!(writer.record("blank").unwrap().chunks, 0);
    drop(writer);
    assert_sound(dir.path());
}

#[test]
fn ids_are_listed_by_suffix() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    for id in ["/b/notes.md", "/a/notes.md", "/a/other.md"] {
        put(&mut writer, id, "text");
    }
    writer.finish().unwrap();
    let snapshot = snapshot(dir.path());
    assert_eq!(snapshot.document_ids("notes.md", 10).unwrap(), ["/a/notes.md", "/b/notes.md"]);
    assert_eq!(snapshot.document_ids("notes.md", 1).unwrap(), ["/a/notes.md"]);
    assert_eq!(snapshot.document_ids("", 10).unwrap().len(), 3);
    assert_eq!(snapshot.document_ids("absent", 10).unwrap(), Vec::<String>::new());
}

#[test]
fn documents_that_do_not_fit_are_refused_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    put(&mut writer, "a", "stays");
    writer.commit().unwrap();
    let mut refused = |id: &str, change: &dyn Fn(&mut berth_index::NewChunk)| {
        let document = document(id, "ünf words of some text");
        let mut chunks = cut(&document.text);
        change(&mut chunks[1]);
        let error = writer.put(&document, &record(&document), chunks).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(!writer.has_changes());
        error.to_string()
    };
    refused("", &|_| ());
    refused(&"x".repeat(65_531), &|_| ());
    refused("a", &|new| new.chunk.ordinal = 0);
    refused("a", &|new| new.chunk.byte_range = 3..1000);
    refused("a", &|new| new.chunk.byte_range = 1..4);
    let message = refused("a", &|new| new.embedding = berth_types::Embedding::normalized(vec![1.0; 7]).unwrap());
    assert_eq!(message, "the index holds vectors of 24 values, received one of 7");
    drop(writer);
    let snapshot = snapshot(dir.path());
    assert_eq!(contents(&snapshot), pairs(&[("a", "stays")]));
    let query = berth_types::Embedding::normalized(vec![1.0; 7]).unwrap();
    assert!(matches!(snapshot.dense(&query, 1), Err(Error::DimensionMismatch { expected: 24, received: 7 })));
}

#[test]
fn one_writer_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let error = IndexWriter::create_or_open(dir.path(), &settings()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    drop(first);
    drop(open(dir.path()));
}

#[test]
fn an_index_of_another_model_or_window_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let refused = |change: &dyn Fn(&mut IndexSettings)| {
        let mut other = settings();
        change(&mut other);
        let error = IndexWriter::create_or_open(dir.path(), &other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
        error.to_string()
    };
    let message = refused(&|other| {
        other.fingerprint.model = "another".to_string();
        other.fingerprint.parts.insert("precision".to_string(), "int8".to_string());
    });
    assert!(message.contains("model is small-world, not another, precision is fp32, not int8"), "{message}");
    assert!(refused(&|other| other.window_tokens = 512).contains("a window of 4, not 512"));
    assert!(refused(&|other| other.overlap_tokens = 2).contains("an overlap of 0, not 2"));
    refused(&|other| other.dimensions = 25);
    drop(open(dir.path()));
}

#[test]
fn a_directory_of_other_things_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    let error = IndexWriter::create_or_open(dir.path(), &settings()).unwrap_err();
    assert!(matches!(error, Error::NotAnIndex { .. }), "{error}");
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["thesis.txt"]);
    assert_eq!(IndexReader::open(dir.path()).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(IndexReader::open(&dir.path().join("absent")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_file_in_the_place_of_an_index_is_named_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("thesis.txt");
    std::fs::write(&file, "years of work").unwrap();
    for path in [file.clone(), file.join("below")] {
        assert!(!berth_index::exists(&path));
        for error in [
            IndexReader::open(&path).map(drop).unwrap_err(),
            IndexWriter::create_or_open(&path, &settings()).map(drop).unwrap_err(),
            berth_index::verify(&path).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, Error::NotAnIndex { .. }), "{error}");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("is a file"), "{error}");
        }
    }
}

#[test]
fn files_of_others_are_never_removed() {
    for folder in ["dense", "lexical"] {
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join(folder).join("embeddings.npy");
        std::fs::create_dir(dir.path().join(folder)).unwrap();
        std::fs::write(&theirs, "theirs").unwrap();
        let error = IndexWriter::create_or_open(dir.path(), &settings()).unwrap_err();
        assert!(matches!(error, Error::NotAnIndex { .. }), "{error}");
        assert_eq!(std::fs::read(&theirs).unwrap(), b"theirs");
        std::fs::remove_dir_all(dir.path().join(folder)).unwrap();
        std::fs::write(dir.path().join(folder), "a file of that name").unwrap();
        let error = IndexWriter::create_or_open(dir.path(), &settings()).unwrap_err();
        assert!(matches!(error, Error::NotAnIndex { .. }), "{error}");
    }
    // Those that came later are left alone too, by creating, committing and opening.
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let theirs = ["notes.tmp", "dense/notes.md", "lexical/notes.tmp", "lexical/notes.idx", "dense/a/b.rows"];
    std::fs::create_dir(dir.path().join("dense/a")).unwrap();
    for name in theirs {
        std::fs::write(dir.path().join(name), "theirs").unwrap();
    }
    for round in 0..3 {
        let mut writer = open(dir.path());
        put(&mut writer, "a", &format!("text {round}"));
        writer.commit().unwrap();
        put(&mut writer, "b", &format!("more {round}"));
        writer.finish().unwrap();
    }
    for name in theirs {
        assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), b"theirs", "{name}");
    }
    assert_sound(dir.path());
}

#[test]
fn a_copy_of_an_index_is_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let (index, moved) = (dir.path().join("index"), dir.path().join("moved"));
    let mut writer = open(&index);
    put(&mut writer, "a", "text");
    writer.commit().unwrap();
    copy(&index, &moved);
    drop(writer);
    assert_eq!(contents(&snapshot(&moved)), pairs(&[("a", "text")]));
    let mut writer = open(&moved);
    put(&mut writer, "b", "more");
    writer.finish().unwrap();
    assert_sound(&moved);
}

#[test]
fn readers_follow_a_writer_that_never_rests() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    put(&mut writer, "counter", "count 0");
    writer.commit().unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut last, mut opened) = (0, 0);
                while !done.load(std::sync::atomic::Ordering::Relaxed) || opened == 0 {
                    let snapshot = snapshot(dir.path());
                    assert!(snapshot.generation() >= last);
                    last = snapshot.generation();
                    let text = snapshot.document("counter").unwrap().unwrap().document.text;
                    assert_eq!(text, format!("count {}", last - 2), "one commit, both halves");
                    assert!(snapshot.dense(&embed(&text), 1).unwrap()[0].score > 0.999);
                    opened += 1;
                }
            });
        }
        for count in 1..60 {
            put(&mut writer, "counter", &format!("count {count}"));
            writer.commit().unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_reader_follows_an_index_that_is_built_anew_in_its_place() {
    let base = tempfile::tempdir().unwrap();
    let index = base.path().join("index");
    let build = |text: &str| {
        let mut writer = open(&index);
        put(&mut writer, "a", text);
        put(&mut writer, "b", "in both");
        writer.commit().unwrap();
        writer.remove("b").unwrap();
        writer.finish().unwrap();
    };
    build("the old text");
    let reader = IndexReader::open(&index).unwrap();
    let old = reader.snapshot();
    std::fs::remove_dir_all(&index).unwrap();
    build("quite another text");
    assert!(reader.refresh().unwrap());
    assert_eq!(contents(&reader.snapshot()), pairs(&[("a", "quite another text")]));
    assert_eq!(contents(&old), pairs(&[("a", "the old text")]));
}
