//! Who may find what, and until when: nothing that is hidden shows in any answer.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use berth_index::{
    Alternate, Error, Exchange, IndexReader, IndexWriter, Policy, Snapshot, first_segment_of_next, verify,
};
use berth_types::{Document, DocumentRecord, Facet, Viewer};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{cut, embed, record, settings};

fn put(writer: &mut IndexWriter, id: &str, text: &str, metadata: &serde_json::Value, modified_ns: i64) {
    let metadata = metadata.as_object().cloned().unwrap();
    let document = Document { metadata, ..crate::support::document(id, text) };
    let record = DocumentRecord { modified_ns, ..record(&document) };
    writer.put(&document, &record, cut(text)).unwrap();
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn principals(names: &[&str]) -> Viewer {
    Viewer::Principals(names.iter().map(ToString::to_string).collect())
}

fn access() -> Policy {
    Policy { access_field: Some("access".to_owned()), ..Policy::default() }
}

fn seen(snapshot: &Snapshot, viewer: &Viewer, clock: SystemTime) -> String {
    let view = snapshot.view(Some(viewer), clock).unwrap();
    let numbers = view.document_numbers(None).unwrap();
    let ids = numbers.into_iter().map(|number| snapshot.document_id(number).unwrap().unwrap());
    ids.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
}

#[test]
fn an_index_with_access_lists_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = IndexWriter::create_or_open(dir.path(), &settings()).unwrap();
    for (id, access) in [
        ("a", json!(["alice"])),
        ("b", json!(["group:eng", "bob"])),
        ("c", json!("everyone")),
        ("d", json!([])),
        ("e", json!(null)),
        ("f", json!({"of": "alice"})),
        ("g", json!("x".repeat(300))),
        ("h", json!(["Alice", "alice2", "group"])),
    ] {
        put(&mut writer, id, "words of all", &json!({"access": access}), 0);
    }
    writer.commit().unwrap();
    let open = IndexReader::open(dir.path()).unwrap().snapshot();
    assert_eq!(open.view(None, at(0)).unwrap().document_numbers(None).unwrap().len(), 8);
    let error = open.view(Some(&principals(&["alice"])), at(0)).unwrap_err();
    assert!(matches!(error, Error::NoAccessLists { .. }), "{error}");

    writer.set_policy(&access()).unwrap();
    writer.finish().unwrap();
    let snapshot = IndexReader::open(dir.path()).unwrap().snapshot();
    let error = snapshot.view(None, at(0)).unwrap_err();
    assert!(matches!(error, Error::WhoAsks { .. }) && error.to_string().contains("--as"), "{error}");
    let seen = |viewer: Viewer| seen(&snapshot, &viewer, at(0));
    assert_eq!(seen(Viewer::Owner), "a b c d e f g h");
    assert_eq!(seen(principals(&["alice"])), "a c");
    assert_eq!(seen(principals(&["bob", "alice", "bob"])), "a b c");
    assert_eq!(seen(principals(&["group:eng"])), "b c");
    for nobody in [&[][..], &["everyone"], &[""], &["ALICE"], &["*"], &["alice OR bob"], &["group:"]] {
        assert_eq!(seen(principals(nobody)), "c", "{nobody:?}");
    }
    // What a message says of the fields does not come from documents that are hidden.
    let view = snapshot.view(Some(&principals(&["alice"])), at(0)).unwrap();
    let message = view.selection(Some("nothing:x"), None).unwrap_err().to_string();
    assert!(!message.contains("access") && message.contains("those of your documents"), "{message}");
}

#[test]
fn a_word_of_hidden_documents_is_as_one_that_is_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = IndexWriter::create_or_open(dir.path(), &settings()).unwrap();
    writer.set_policy(&access()).unwrap();
    put(&mut writer, "a", "words of all and harbour", &json!({"access": "alice"}), 0);
    put(&mut writer, "b", "words of the secretproject and harbour", &json!({"access": "bob"}), 0);
    writer.finish().unwrap();
    let snapshot = IndexReader::open(dir.path()).unwrap().snapshot();
    let alice = snapshot.view(Some(&principals(&["alice"])), at(0)).unwrap();
    let answer = |word: &str| {
        let question = snapshot.question(&format!("harbour {word}"));
        let answer = alice.lexical_within(&question, None, 10).unwrap();
        let chunk_id = answer.hits[0].chunk_id;
        let explained: f32 = alice.explain(&question, chunk_id).unwrap().iter().map(|term| term.score).sum();
        assert!((explained - answer.hits[0].score).abs() < 1e-6, "{word}");
        (answer.ceiling(), answer.hits)
    };
    assert_eq!(answer("secretproject"), answer("nowhere"));
    assert_ne!(answer("all"), answer("nowhere"));
}

#[test]
fn an_index_that_takes_the_place_of_a_closed_one_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let documents = [("a", json!(["alice"])), ("b", json!(["bob"])), ("c", json!("everyone")), ("d", json!([]))];
    let fill = |writer: &mut IndexWriter| {
        for (id, access) in &documents {
            put(writer, id, "words of all", &json!({"access": access}), 0);
        }
    };
    let mut writer = IndexWriter::create_or_open(dir.path(), &settings()).unwrap();
    fill(&mut writer);
    writer.commit().unwrap();
    let open = IndexReader::open(dir.path()).unwrap().snapshot();
    let next = Alternate::Next.path(dir.path());
    let mut building = IndexWriter::create_or_open_next(&next, &settings(), first_segment_of_next(&open)).unwrap();
    fill(&mut building);
    building.finish().unwrap();
    // The other one was built before there was a policy, and knows nothing of it.
    writer.set_policy(&access()).unwrap();
    writer.set_synonyms(Some("ship, vessel")).unwrap();
    writer.finish().unwrap();

    let check = || {
        let snapshot = IndexReader::open(dir.path()).unwrap().snapshot();
        assert_eq!(snapshot.policy(), &access());
        assert_eq!(snapshot.synonyms_text(), Some("ship, vessel"));
        assert!(matches!(snapshot.view(None, at(0)), Err(Error::WhoAsks { .. })));
        assert_eq!(seen(&snapshot, &principals(&["alice"]), at(0)), "a c");
        assert!(verify(dir.path()).unwrap().problems.is_empty());
    };
    Exchange::begin(dir.path()).unwrap().adopt(Alternate::Next).unwrap();
    check();
    // The former one, too, and what is changed in between stays.
    let mut writer = IndexWriter::create_or_open(dir.path(), &settings()).unwrap();
    writer.set_synonyms(Some("ship, vessel")).unwrap();
    writer.finish().unwrap();
    Exchange::begin(dir.path()).unwrap().adopt(Alternate::Former).unwrap();
    check();
}

#[test]
fn a_field_of_another_kind_cannot_say_who_may() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = IndexWriter::create_or_open(dir.path(), &settings()).unwrap();
    put(&mut writer, "a", "some words", &json!({"access": 7, "until": "whenever"}), 0);
    for policy in [access(), Policy { expires_field: Some("until".to_owned()), ..Policy::default() }] {
        let error = writer.set_policy(&policy).unwrap_err();
        assert!(matches!(error, Error::FieldKindMismatch { .. }), "{error}");
    }
    let wrong = Policy { access_field: Some("two words".to_owned()), ..Policy::default() };
    assert!(matches!(writer.set_policy(&wrong), Err(Error::InvalidField { .. })));
    assert_eq!(writer.policy(), &Policy::default());
}

#[test]
fn what_has_expired_is_not_found_from_that_moment_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = IndexWriter::create_or_open(dir.path(), &settings()).unwrap();
    let policy = Policy {
        expires_field: Some("until".to_owned()),
        time_to_live: Some("100s".parse().unwrap()),
        ..Policy::default()
    };
    writer.set_policy(&policy).unwrap();
    put(&mut writer, "day", "words", &json!({"until": "1970-01-01T00:01:00Z"}), 0);
    put(&mut writer, "old", "words", &json!({}), 50_000_000_000);
    put(&mut writer, "both", "words", &json!({"until": "1970-01-02"}), 20_000_000_000);
    put(&mut writer, "stays", "words", &json!({}), 0);
    writer.commit().unwrap();
    let reader = IndexReader::open(dir.path()).unwrap();
    let snapshot = reader.snapshot();
    let found = |micros: u64| seen(&snapshot, &Viewer::Owner, UNIX_EPOCH + Duration::from_micros(micros));
    assert_eq!(found(59_999_999), "both day old stays");
    assert_eq!(found(60_000_000), "both old stays");
    assert_eq!(found(119_999_999), "both old stays");
    assert_eq!(found(120_000_000), "old stays");
    assert_eq!((found(149_999_999).as_str(), found(150_000_000).as_str()), ("old stays", "stays"));
    assert_eq!(found(u64::MAX / 4), "stays");
    let expired = snapshot.expired(&policy, at(125)).unwrap();
    assert_eq!(expired, [("both".to_owned(), 120_000_000), ("day".to_owned(), 60_000_000)]);
    let view = snapshot.view(None, at(125)).unwrap();
    assert!(view.document("day").unwrap().is_none() && view.document("old").unwrap().is_some());

    // What was removed holds time up: a clock that is set back brings nothing to life.
    assert_eq!(writer.remove_expired(&expired).unwrap(), 2);
    writer.commit().unwrap();
    put(&mut writer, "again", "words", &json!({"until": "1970-01-01T00:01:30Z"}), 0);
    assert_eq!(writer.expiry_of(&crate::support::document("x", ""), &DocumentRecord::default()), None);
    writer.commit().unwrap();
    reader.refresh().unwrap();
    let snapshot = reader.snapshot();
    assert_eq!(seen(&snapshot, &Viewer::Owner, at(10)), "old stays");
    assert!(!snapshot.policy().is_behind(at(10)) && snapshot.policy().is_expired(90_000_000, at(10)));
    // Until somebody says what holds from now on.
    writer.set_policy(&policy).unwrap();
    writer.finish().unwrap();
    reader.refresh().unwrap();
    assert_eq!(seen(&reader.snapshot(), &Viewer::Owner, at(10)), "again old stays");
}

const NAMES: [&str; 4] = ["alice", "bob", "group:eng", "everyone"];
const WORDS: [&str; 8] = ["harbour", "crane", "quay", "mooring", "dues", "rust", "pilot", "tide"];

/// A document: its words, and who may find it, by place; whether it has expired.
type Made = (Vec<usize>, Vec<usize>, bool);

fn made() -> impl Strategy<Value = Vec<Made>> {
    let one =
        (prop::collection::vec(0..8_usize, 1..9), prop::collection::vec(0..4_usize, 0..3), prop::bool::weighted(0.2));
    prop::collection::vec(one, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn nothing_hidden_shows_in_any_answer(
        documents in made(),
        asking in prop::collection::vec(0..4_usize, 0..3),
        query in prop::collection::vec(0..8_usize, 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = IndexWriter::create_or_open(dir.path(), &settings()).unwrap();
        writer.set_policy(&Policy { expires_field: Some("until".to_owned()), ..access() }).unwrap();
        writer.set_synonyms(Some("harbour, quay, mooring tide\nrust => crane")).unwrap();
        let mut allowed = BTreeSet::new();
        for (number, (words, names, is_expired)) in documents.iter().enumerate() {
            let id = format!("doc{number}");
            let mut text: Vec<String> = words.iter().map(|&word| WORDS[word].to_owned()).collect();
            // A word that no other document has.
            text.push(format!("unique{}", char::from(b'a' + number as u8)));
            let until = if *is_expired { "1970-01-01" } else { "1999-01-01" };
            let names: Vec<&str> = names.iter().map(|&name| NAMES[name]).collect();
            if !is_expired && names.iter().any(|&name| name == "everyone" || asking.iter().any(|&asks| NAMES[asks] == name)) {
                allowed.insert(id.clone());
            }
            let metadata = json!({"access": names, "until": until, "tag": format!("tag{number}")});
            put(&mut writer, &id, &text.join(" "), &metadata, 0);
            if number % 5 == 4 {
                writer.commit().unwrap();
            }
        }
        writer.finish().unwrap();
        let snapshot = IndexReader::open(dir.path()).unwrap().snapshot();
        let viewer = principals(&asking.iter().map(|&name| NAMES[name]).collect::<Vec<_>>());
        let view = snapshot.view(Some(&viewer), at(1_000_000)).unwrap();
        let id_of = |number: u64| snapshot.document_id(number).unwrap().unwrap();
        let words: Vec<&str> = query.iter().map(|&word| WORDS[word]).collect();

        let numbers = view.document_numbers(None).unwrap();
        prop_assert_eq!(numbers.into_iter().map(id_of).collect::<BTreeSet<_>>(), allowed.clone());
        for text in [words.join(" "), format!("+{}", words[0]), format!("{}*", &words[0][..3]), words.join(" AND ")] {
            let question = snapshot.question(&text);
            for filter in [None, Some("tag:t*"), Some("NOT tag:tag0")] {
                let lexical = view.lexical_within(&question, filter, 50).unwrap().hits;
                let selection = view.selection(filter, Some(&question)).unwrap();
                let dense = snapshot.dense_within(&embed(&text), selection.as_deref(), 50).unwrap();
                for hit in lexical.iter().chain(&dense) {
                    prop_assert!(allowed.contains(&id_of(hit.document_no)), "{} {:?}", text, filter);
                }
                let matches = view.matches(filter, &question).unwrap();
                let facet: Facet = "tag:100".parse().unwrap();
                for counted in view.facet(&facet, matches.as_deref()).unwrap() {
                    let tag = counted.value.as_str().unwrap().trim_start_matches("tag").to_owned();
                    let id = format!("doc{tag}");
                    prop_assert!(allowed.contains(&id), "{}", id);
                }
            }
        }
        let counted: u64 = view.facet(&"tag:100".parse().unwrap(), None).unwrap().iter().map(|count| count.count).sum();
        prop_assert_eq!(counted as usize, allowed.len());
        prop_assert_eq!(view.document_ids("", 100).unwrap().into_iter().collect::<BTreeSet<_>>(), allowed.clone());
        for number in 0..documents.len() {
            let id = format!("doc{number}");
            prop_assert_eq!(view.document(&id).unwrap().is_some(), allowed.contains(&id));
            // Its own word completes, and is suggested, for whoever may find it.
            let unique = format!("unique{}", char::from(b'a' + number as u8));
            let completions = view.completions(&unique, 5).unwrap();
            prop_assert_eq!(completions.iter().any(|word| word.word == unique), allowed.contains(&id), "{}", unique);
        }
        for word in view.completions("u", 100).unwrap() {
            let number = word.word.trim_start_matches("unique").as_bytes()[0] - b'a';
            let id = format!("doc{number}");
            prop_assert!(allowed.contains(&id) && word.passages > 0, "{}", id);
        }
        let all: String = documents.iter().enumerate()
            .filter(|(number, _)| allowed.contains(&format!("doc{number}")))
            .flat_map(|(_, (words, ..))| words.iter().map(|&word| WORDS[word])).collect::<Vec<_>>().join(" ");
        for word in WORDS {
            let typo = format!("{}x{}", &word[..2], &word[2..]);
            if let Some(suggestion) = view.suggestion(&typo).unwrap() {
                prop_assert!(all.contains(&suggestion) || suggestion.starts_with("unique"), "{} for {}", suggestion, typo);
            }
        }
    }
}
