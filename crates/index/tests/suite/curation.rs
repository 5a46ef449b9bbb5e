//! Synonyms, pinned results, completion and suggestions over real commits; what lies beside the documents lives with them.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use berth_index::{
    Error, IndexReader, Keeping, Pins, Policy, Snapshot, keep_snapshot, restore_snapshot, verify, verify_snapshot,
};
use berth_types::Language;

use crate::support::{open, put, snapshot};

/// A document for each line, named by its first letter.
fn build(dir: &Path, texts: &[&str], synonyms: Option<&str>) -> Arc<Snapshot> {
    let mut writer = open(dir);
    for (number, text) in (0..).zip(texts) {
        put(&mut writer, &char::from(b'a' + number).to_string(), text);
    }
    writer.set_synonyms(synonyms).unwrap();
    writer.finish().unwrap();
    snapshot(dir)
}

fn found(snapshot: &Snapshot, query: &str) -> String {
    let answer = snapshot.lexical_within(&snapshot.question(query), None, 50).unwrap();
    let mut ids: Vec<String> =
        answer.hits.iter().map(|hit| snapshot.document_id(hit.document_no).unwrap().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.join(" ")
}

const TEXTS: [&str; 6] = [
    "the car stands here",
    "an automobile was repaired",
    "hotels in new york",
    "a new car park",
    "nyc is a city",
    "york has a minster",
];

#[test]
fn synonyms_find_what_the_words_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let plain = build(&dir.path().join("plain"), &TEXTS, None);
    let text = "car, automobile\nnyc, new york\nminster => automobile\nabsent, car\nghost, spirit\n";
    let with = build(&dir.path().join("with"), &TEXTS, Some(text));
    assert_eq!((found(&plain, "cars").as_str(), found(&with, "cars").as_str()), ("a d", "a b d"));
    assert_eq!(
        found(&with, "absent"),
        "a d",
        "a word that no text has finds by its synonym; those of that one do not count"
    );
    assert_eq!((found(&plain, "nyc").as_str(), found(&with, "nyc").as_str()), ("e", "c e"), "side by side");
    assert_eq!(found(&with, "minster"), "b f");
    assert_eq!(found(&with, "automobile"), "a b d");
    assert_eq!(found(&with, "ghost"), "");
    // Listed words are widened, demanded ones are not.
    assert_eq!(found(&with, "nyc -minster"), "c e");
    assert_eq!(found(&with, "nyc OR minster"), "b c e f");
    assert_eq!((found(&with, "york new -park").as_str(), found(&with, "new york -park").as_str()), ("c f", "c e f"));
    assert_eq!((found(&with, "+nyc").as_str(), found(&with, "\"nyc\" AND city").as_str()), ("e", "e"));
    assert_eq!(found(&with, "nyc -nyc"), "c", "what is excluded is excluded as it was typed");
}

#[test]
fn a_synonym_is_a_term_of_its_own_and_does_not_raise_what_can_be_had() {
    let dir = tempfile::tempdir().unwrap();
    let plain = build(&dir.path().join("plain"), &TEXTS, None);
    let with = build(&dir.path().join("with"), &TEXTS, Some("car, automobile"));
    let (before, question) = (plain.question("car"), with.question("car"));
    let ceiling = |snapshot: &Snapshot, question| snapshot.lexical_within(question, None, 9).unwrap().ceiling();
    assert_eq!(ceiling(&plain, &before), ceiling(&with, &question));
    let hits = with.lexical_within(&question, None, 9).unwrap().hits;
    for hit in &hits {
        let terms = with.explain(&question, hit.chunk_id).unwrap();
        let sum: f64 = terms.iter().map(|term| f64::from(term.score)).sum();
        assert_eq!(sum as f32, hit.score);
        for term in terms {
            assert_eq!(question.synonym_of(&term.term), if term.term == "car" { None } else { Some("car") });
        }
    }
    assert_eq!((hits.len(), question.marked().as_str()), (3, "car automobile"));
    // Scores of the words themselves are as ever.
    let score = |snapshot: &Snapshot, question| {
        let hits = snapshot.lexical_within(question, None, 9).unwrap().hits;
        hits.into_iter().find(|hit| hit.document_no == 0).unwrap().score
    };
    assert_eq!(score(&plain, &before), score(&with, &question));
}

#[test]
fn what_lies_beside_the_documents_lives_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let (index, kept, back) = (dir.path().join("index"), dir.path().join("kept"), dir.path().join("back"));
    let beside = |index: &Path| -> Vec<String> {
        let names = fs::read_dir(index).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.starts_with("syn") || name.starts_with("pin")).collect();
        names.sort_unstable();
        names
    };
    build(&index, &TEXTS, Some("a, b"));
    assert_eq!(beside(&index), ["synonyms-2.txt"]);
    let mut writer = open(&index);
    let mut pins = Pins::default();
    pins.set("new cars", &["d".to_owned(), "a".to_owned()]).unwrap();
    writer.set_pins(&pins).unwrap();
    writer.set_language(Some(Language::German));
    put(&mut writer, "y", "more text");
    writer.commit().unwrap();
    let before = snapshot(&index);
    assert_eq!(beside(&index), ["pins-3.json", "synonyms-2.txt"]);
    keep_snapshot(&index, &kept, Keeping::Link).unwrap();

    // A commit of something else keeps both; one that replaces removes the old file, which a reader goes on seeing.
    put(&mut writer, "z", "more text");
    writer.commit().unwrap();
    assert_eq!(beside(&index), ["pins-3.json", "synonyms-2.txt"]);
    assert!(matches!(writer.set_synonyms(Some("alone")), Err(Error::BadSynonyms { line: 1, .. })));
    writer.set_synonyms(Some("car, automobile")).unwrap();
    writer.set_pins(&Pins::default()).unwrap();
    writer.commit().unwrap();
    assert_eq!(beside(&index), ["synonyms-5.txt"]);
    writer.set_synonyms(None).unwrap();
    drop(writer);
    assert_eq!(beside(&index), ["synonyms-5.txt"], "what was not committed was not done");
    assert_eq!(
        (before.synonyms_text(), before.pinned_to("NEW CAR").unwrap().join(" ").as_str()),
        (Some("a, b"), "d a")
    );
    assert_eq!(snapshot(&index).synonyms_text(), Some("car, automobile"));
    let report = verify(&index).unwrap();
    assert!(report.problems.is_empty() && report.files.iter().any(|file| file.file == Path::new("synonyms-5.txt")));

    // Another index takes it all over, the moment before which time does not go back included.
    let policy = Policy { access_field: Some("who".into()), expired_until: Some(5), ..Policy::default() };
    let other = dir.path().join("other");
    let mut writer = open(&other);
    writer.set_policy(&policy).unwrap();
    writer.take_over(&before).unwrap();
    put(&mut writer, "y", "more text");
    put(&mut writer, "new", "more text");
    writer.finish().unwrap();
    let taken = snapshot(&other);
    let german = taken.selection(Some("language:de"), None).unwrap().unwrap();
    assert_eq!(german.documents(), 1, "the one that is said to be German there");
    assert_eq!((taken.policy(), taken.synonyms_text()), (&Policy::default(), Some("a, b")));
    assert_eq!(taken.pins().unwrap(), pins);

    restore_snapshot(&kept, &back, Keeping::Link).unwrap();
    assert_eq!(beside(&back), ["pins-3.json", "synonyms-2.txt"]);
    let restored = snapshot(&back);
    assert_eq!((restored.synonyms_text(), restored.pins().unwrap()), (Some("a, b"), pins));
    assert!(restored.pinned_to("car").unwrap().is_empty());
    fs::write(kept.join("pins-3.json"), "{}").unwrap();
    let problems = verify_snapshot(&kept).unwrap().problems;
    assert!(problems.iter().any(|problem| problem.file == Path::new("pins-3.json")), "{problems:?}");
    let error = IndexReader::open(&kept).unwrap_err();
    assert!(matches!(error, Error::Corrupted { .. }) && error.to_string().contains("pins-3.json"), "{error}");
}

#[test]
fn words_complete_and_near_words_are_suggested() {
    let dir = tempfile::tempdir().unwrap();
    let texts = [
        "The Mooring of ships",
        "moored in the harbour",
        "harbours and harbour dues",
        "a harbourmaster at Lübeck",
        "부두의 크레인",
        "harmless things",
    ];
    let mut snapshot = build(dir.path(), &texts, None);
    let complete = |snapshot: &Snapshot, typed: &str| {
        let view = snapshot.view(None, UNIX_EPOCH).unwrap();
        let words = view.completions(typed, 10).unwrap();
        words.iter().map(|word| format!("{} {}", word.word, word.passages)).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(complete(&snapshot, "har"), "harbour 2, harbourmaster 1, harbours 1, harmless 1");
    assert_eq!(complete(&snapshot, "HARBOURM"), "harbourmaster 1");
    assert_eq!(complete(&snapshot, "moo"), "moored 1, mooring 1");
    assert_eq!(complete(&snapshot, "moori"), "mooring 1");
    assert_eq!(complete(&snapshot, "lub"), "lübeck 1");
    assert_eq!(complete(&snapshot, "부두"), "부두의 1");
    for nothing in ["", " ", "xyz", "two words", "-", "\"", "a*"] {
        assert_eq!(complete(&snapshot, nothing), "", "{nothing}");
    }

    let suggest = |snapshot: &Snapshot, text: &str| snapshot.view(None, UNIX_EPOCH).unwrap().suggestion(text).unwrap();
    assert_eq!(suggest(&snapshot, "the  harbuor, harmles?").as_deref(), Some("the  harbour, harmless?"));
    assert_eq!(suggest(&snapshot, "Lubek").as_deref(), Some("lübeck"));
    assert_eq!(suggest(&snapshot, "mooering").as_deref(), Some("mooring"));
    for right in ["harbour", "moorings", "xyzzyx quux", "harbuor AND ship", "+harbuor", "h4rbour", "크레이", ""] {
        assert_eq!(suggest(&snapshot, right), None, "{right}");
    }
    // A word that was deleted is no word any more.
    let mut writer = open(dir.path());
    for id in ["b", "c"] {
        writer.remove(id).unwrap();
    }
    writer.finish().unwrap();
    snapshot = crate::support::snapshot(dir.path());
    assert_eq!(complete(&snapshot, "har"), "harbourmaster 1, harmless 1");
    assert_eq!(suggest(&snapshot, "harbuor"), None);
}
