//! Indexes of every format that was ever released, kept as bytes: they are read, verified and taken further, for ever.

use std::path::{Path, PathBuf};

use berth_index::{DenseOptions, IndexReader, IndexSettings, IndexWriter, Pins, Policy};
use berth_types::Document;

use crate::support::{
    assert_sound, contents, copy, cut_for, document, embed, embed_words, pieces, put, record, settings,
    settings_with_all, settings_with_tokens, snapshot,
};

/// An index in a folder of `tests/fixtures/indexes`.
struct Fixture {
    folder: &'static str,
    format: u32,
    settings: fn() -> IndexSettings,
}

const FIXTURES: [Fixture; 3] = [
    Fixture { folder: "format-1", format: 1, settings },
    Fixture { folder: "format-2", format: 2, settings: settings_with_tokens },
    Fixture { folder: "format-3", format: 3, settings: settings_with_all },
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/indexes").join(name)
}

fn titled() -> Document {
    Document {
        title: "Grüße aus dem Hafen".to_string(),
        metadata: [("year".to_string(), 1999.into())].into_iter().collect(),
        ..document("titled", "ein Wort noch eins und fünf sechs sieben")
    }
}

/// What the fixtures were made with: two commits, the second of which replaces and removes. One with all that an index can have
/// also has graphs, a policy, synonyms and pinned results.
fn fill(writer: &mut IndexWriter) {
    if writer.settings().sparse.is_some() {
        writer.set_dense_options(DenseOptions { graph_from_rows: 8, ..DenseOptions::default() });
        let policy = Policy { access_field: Some("readers".into()), ..Policy::default() };
        writer.set_policy(&policy).unwrap();
        writer.set_synonyms(Some("text, prose")).unwrap();
        let mut pins = Pins::default();
        pins.set("another", &["7".to_string()]).unwrap();
        writer.set_pins(&pins).unwrap();
    }
    for number in 0..12 {
        put(writer, &number.to_string(), &format!("document number {number} of a small set of many words"));
    }
    put(writer, "empty", "");
    let titled = titled();
    let chunks = cut_for(writer.settings(), &titled.text);
    writer.put(&titled, &record(&titled), chunks).unwrap();
    writer.commit().unwrap();
    writer.remove("3").unwrap();
    put(writer, "7", "another text");
    writer.commit().unwrap();
}

/// Every answer to a few questions, as text.
fn answers(dir: &Path) -> Vec<String> {
    let snapshot = snapshot(dir);
    let mut lines = vec![format!("{:?}", contents(&snapshot))];
    for question in ["another", "number 11", "Grüße", "absent"] {
        let lexical = snapshot.lexical(question, 20).unwrap().hits;
        let dense = snapshot.dense(&embed(question), 20).unwrap();
        let ids: Vec<u64> = lexical.iter().map(|hit| hit.chunk_id).collect();
        for hit in lexical.iter().chain(&dense) {
            lines.push(format!("{question}: {hit:?} {:?}", snapshot.chunk(hit.chunk_id).unwrap()));
        }
        if snapshot.settings().sparse.is_some() {
            lines.push(format!("{:?}", snapshot.sparse_within(&pieces(question), None, 20).unwrap()));
            lines.push(format!("{:?}", (snapshot.pinned_to(question).unwrap(), snapshot.policy())));
            lines.push(format!(
                "{:?}",
                snapshot.selection(Some("year:1999 OR language:de"), None).unwrap().unwrap().documents()
            ));
        }
        if snapshot.settings().tokens.is_some() {
            lines.push(format!("{:?}", snapshot.late_scores(&embed_words(question), &ids).unwrap()));
        }
    }
    lines
}

#[test]
fn an_index_of_every_format_answers_as_one_of_today() {
    for Fixture { folder: name, format, settings } in FIXTURES {
        let dir = fixture(name);
        assert_sound(&dir);
        let found = snapshot(&dir);
        assert_eq!((found.status().format, found.generation()), (format, 3), "{name}");
        assert_eq!(found.settings(), &settings(), "{name}");
        assert_eq!(found.document("titled").unwrap().unwrap().document, titled(), "{name}");
        let today = tempfile::tempdir().unwrap();
        fill(&mut IndexWriter::create_or_open(today.path(), found.settings()).unwrap());
        assert_eq!(answers(&dir), answers(today.path()), "{name}");
    }
}

#[test]
fn an_index_of_every_format_is_taken_further() {
    for Fixture { folder: name, .. } in FIXTURES {
        let dir = tempfile::tempdir().unwrap();
        copy(&fixture(name), dir.path());
        let settings = snapshot(dir.path()).settings().clone();
        let mut expected = contents(&snapshot(dir.path()));
        let mut writer = IndexWriter::create_or_open(dir.path(), &settings).unwrap();
        // More segments than are left alone, so that old ones are merged with new ones.
        for number in 0..12 {
            put(&mut writer, &format!("new {number}"), "what a later release puts beside what is old");
            expected.push((format!("new {number}"), "what a later release puts beside what is old".to_string()));
            writer.commit().unwrap();
        }
        writer.remove("0").unwrap();
        put(&mut writer, "1", "replaced by a later release");
        writer.finish().unwrap();
        expected.retain(|(id, _)| id != "0");
        expected
            .iter_mut()
            .filter(|(id, _)| id == "1")
            .for_each(|(_, text)| *text = "replaced by a later release".into());
        expected.sort();
        assert_eq!(contents(&IndexReader::open(dir.path()).unwrap().snapshot()), expected, "{name}");
        assert_sound(dir.path());
    }
}
