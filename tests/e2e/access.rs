//! Access lists and expiry: who finds what, until when, and what a wrong clock cannot do.

use serde_json::{Value, json};

use crate::support::{Workplace, number};

fn write_rows(place: &Workplace, rows: &[Value]) {
    let lines: Vec<String> = rows.iter().map(ToString::to_string).collect();
    place.write("rows.jsonl", lines.join("\n"));
}

fn write_reports(place: &Workplace) {
    write_rows(
        place,
        &[
            json!({"_id": "a", "title": "Crane", "text": "the harbour crane was inspected", "access": ["alice"]}),
            json!({"_id": "b", "text": "the harbour quay zanzibar plan", "access": ["bob", "group:eng"], "secret": "zanzibar"}),
            json!({"_id": "c", "text": "harbour dues for everyone who moors", "access": "everyone"}),
            json!({"_id": "d", "text": "the harbour master's own notes"}),
        ],
    );
}

fn ids(reply: &Value) -> String {
    let mut ids: Vec<&str> =
        reply["hits"].as_array().unwrap().iter().map(|hit| hit["document"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.join(" ")
}

#[test]
fn who_may_find_what_holds_everywhere() {
    let place = Workplace::new();
    write_reports(&place);
    place.index_json("rows.jsonl", &["--access-field", "access"]);
    let shown = place.run(&["policy", "show", "--index", "index", "--json"]).expect_code(0).json();
    assert_eq!(shown["access_field"], "access");

    let search = |words: &[&str]| place.run(&[&["search", "--index", "index", "--json"], words].concat());
    let refused = search(&["harbour", "--mode", "lexical"]).expect_code(2);
    assert!(refused.stdout.is_empty());
    refused.expect_message(&["field 'access'", "--as NAME", "--as-owner"]);
    for mode in ["lexical", "dense", "hybrid"] {
        let found =
            |words: &[&str]| ids(&search(&[&["harbour", "--mode", mode], words].concat()).expect_code(0).json());
        assert_eq!(found(&["--as", "alice"]), "a c", "{mode}");
        assert_eq!(found(&["--as", "nobody,group:eng"]), "b c", "{mode}");
        assert_eq!(found(&["--as", ""]), "c", "{mode}");
        assert_eq!(found(&["--as-owner"]), "a b c d", "{mode}");
        assert_eq!(found(&["--as-owner", "--as", "alice"]), "a c", "the narrower counts: {mode}");
        assert_eq!(found(&["--as", "alice", "--filter", "access:* OR NOT access:*"]), "a c", "{mode}");
    }
    // All that is printed for alice, with everything asked for, says nothing of the others' documents.
    let more =
        ["--as", "alice", "--explain", "--facet", "access,secret,id", "--passages", "--diversity", "0.3", "--log"];
    for words in [["harbour quay zanzibar", "zanzibar"], ["harbour", "title:crane"], ["zanzibr", "harbuor"]] {
        for query in words {
            let ended = search(&[&[query], &more[..]].concat());
            assert!(!ended.stdout.replace(query, "").contains("zanzibar"), "{}", ended.stdout);
            assert!(!ended.stdout.contains("(idf"), "how common a word is among all documents is nobody's business");
            assert!(!ended.stdout.contains("own notes") && !ended.stderr.contains("zanzibar"), "{}", ended.stderr);
        }
    }
    let listed = search(&["--as", "alice", "--filter", "id:*", "--facet", "id", "--sort", "id"]).expect_code(0).json();
    assert_eq!(ids(&listed), "a c");
    assert_eq!(listed["facets"]["id"], json!([{"value": "a", "count": 1}, {"value": "c", "count": 1}]));
    search(&["--as", "alice", "--filter", "secre:x"]).expect_code(2).expect_message(&["those of your documents"]);

    let get = |words: &[&str]| place.run(&[&["get", "b", "--index", "index"], words].concat());
    get(&[]).expect_code(2).expect_message(&["--as NAME"]);
    let absent = place.run(&["get", "absent", "--index", "index", "--as", "alice"]).expect_code(3).stderr;
    assert_eq!(
        get(&["--as", "alice"]).expect_code(3).stderr,
        absent.replace("absent", "b"),
        "as one that is not there"
    );
    assert!(get(&["--as", "bob"]).expect_code(0).stdout.contains("zanzibar"));
    get(&["--as-owner"]).expect_code(0);
    let complete = |words: &[&str]| place.run(&[&["complete", "zan", "--index", "index"], words].concat());
    complete(&["--as", "alice"]).expect_code(3);
    assert!(complete(&["--as", "bob"]).expect_code(0).stdout.starts_with("zanzibar"));
    let suggested = |who: &str| search(&["zanzibr", "--mode", "lexical", "--as", who]).json()["suggestion"].clone();
    assert_eq!((suggested("bob"), suggested("alice")), (json!("zanzibar"), Value::Null));
}

#[test]
fn an_index_is_closed_and_opened_by_its_owner() {
    let place = Workplace::new();
    write_reports(&place);
    place.write("notes.txt", "harbour notes without a list");
    place.index_json("rows.jsonl", &[]);
    let search = |words: &[&str]| {
        place.run(&[&["search", "harbour", "--mode", "lexical", "--index", "index", "--json"], words].concat())
    };
    assert_eq!(ids(&search(&[]).expect_code(0).json()), "a b c d");
    search(&["--as", "alice"]).expect_code(2).expect_message(&["berth policy set --access-field"]);
    let index =
        |words: &[&str]| place.run(&[&["index", "notes.txt", "--index", "index", "--json", "--quiet"], words].concat());
    index(&["--access", "alice"]).expect_code(2).expect_message(&["--access-field"]);

    let set = |words: &[&str]| place.run(&[&["policy", "set", "--index", "index"], words].concat());
    set(&[]).expect_code(2).expect_message(&["nothing to set"]);
    set(&["--access-field", "two words"]).expect_code(2).expect_message(&["'two words'"]);
    set(&["--ttl", "soon"]).expect_code(2).expect_message(&["30d"]);
    set(&["--access-field", "access"]).expect_code(0);
    search(&[]).expect_code(2);
    index(&["--access-field", "other"]).expect_code(2).expect_message(&["'access', not 'other'", "berth policy set"]);

    // A plain file says nothing: nobody finds it until a run says who may.
    index(&[]).expect_code(0);
    assert_eq!(ids(&search(&["--as", "carol"]).expect_code(0).json()), "c");
    let report = index(&["--access", "carol,group:eng"]).expect_code(0).json();
    assert_eq!((number(&report, "changed"), number(&report, "embedded")), (1, 0));
    assert!(ids(&search(&["--as", "carol"]).expect_code(0).json()).contains("notes.txt"));
    assert_eq!(number(&index(&["--access", "carol,group:eng"]).expect_code(0).json(), "unchanged"), 1);

    set(&["--access-field", "none", "--json"]).expect_code(0);
    assert_eq!(ids(&search(&[]).expect_code(0).json()).split(' ').count(), 5);
}

#[test]
fn what_has_expired_is_hidden_then_removed_and_not_en_masse() {
    let place = Workplace::new();
    write_rows(
        &place,
        &[
            json!({"_id": "gone", "text": "an old harbour notice", "until": "2001-01-01"}),
            json!({"_id": "soon", "text": "a new harbour notice", "until": "2999-01-01"}),
            json!({"_id": "ever", "text": "a harbour rule"}),
        ],
    );
    place.index_json("rows.jsonl", &[]);
    let found = || ids(&place.search_json("harbour", &["--mode", "lexical"]));
    assert_eq!(found(), "ever gone soon");
    let shown =
        place.run(&["policy", "set", "--index", "index", "--expires-field", "until", "--json"]).expect_code(0).json();
    assert_eq!((&shown["expires_field"], &shown["expired"]), (&json!("until"), &json!(1)));
    assert_eq!(found(), "ever soon");
    place.run(&["get", "gone", "--index", "index"]).expect_code(3);
    assert_eq!(number(&place.status_json(), "documents"), 3, "it is there until something is written");

    let plan = place.run(&["index", "rows.jsonl", "--index", "index", "--dry-run", "--json"]).expect_code(0).json();
    assert_eq!((number(&plan, "expired"), number(&plan, "skipped"), number(&plan, "added")), (1, 1, 0), "{plan}");
    let report = place.index_json("rows.jsonl", &[]);
    assert_eq!((number(&report, "expired"), number(&report, "unchanged"), number(&report, "skipped")), (1, 2, 1));
    assert_eq!((number(&place.status_json(), "documents"), found()), (2, "ever soon".to_owned()));
    // It does not come back while its row is there.
    let report = place.index_json("rows.jsonl", &[]);
    assert_eq!((number(&report, "expired"), number(&report, "added"), number(&report, "skipped")), (0, 0, 1));

    // A span that nearly everything exceeds looks like a mistake, and is not let through.
    write_rows(&place, &[json!({"_id": "ever", "text": "a harbour rule"})]);
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let file = std::fs::File::options().append(true).open(place.path("rows.jsonl")).unwrap();
    file.set_modified(old).unwrap();
    place.run(&["index", "rows.jsonl", "--index", "fresh", "--quiet"]).expect_code(0);
    let fresh = |words: &[&str]| place.run(&[words, &["--index", "fresh"]].concat());
    fresh(&["policy", "set", "--ttl", "30d"]).expect_code(0);
    for words in [&["compact"][..], &["purge"], &["index", "rows.jsonl", "--quiet"]] {
        fresh(words).expect_code(5).expect_message(&["1 of 1 documents have expired", "--force"]);
    }
    fresh(&["index", "rows.jsonl", "--dry-run"]).expect_code(5).expect_message(&["--force"]);
    assert_eq!(number(&fresh(&["status", "--json"]).json(), "documents"), 1);
    fresh(&["search", "harbour", "--mode", "lexical"]).expect_code(3);
    let purged = fresh(&["purge", "--force", "--json"]).expect_code(0).json();
    assert_eq!(number(&purged, "expired"), 1);
    assert_eq!(number(&fresh(&["status", "--json"]).json(), "documents"), 0);
}
