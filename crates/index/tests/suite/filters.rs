//! Filters, operators, counts and order by fields, against the same done by hand over all documents.

use std::collections::{BTreeMap, BTreeSet};

use berth_index::{ChunkHit, FieldValue, IndexWriter, Snapshot};
use berth_types::{Document, Facet, FieldKind};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{assert_sound, cut, embed, open, record, snapshot};

const LANGS: [&str; 4] = ["ko", "en", "ja", "zh-Hant"];

/// Metadata with words for a text.
#[derive(Debug, Clone)]
struct Row {
    words: Vec<u8>,
    lang: Option<usize>,
    year: Option<i64>,
    tags: Vec<u8>,
    share: Option<i8>,
    open: Option<bool>,
    day: Option<u8>,
    note: Vec<u8>,
}

fn row() -> impl Strategy<Value = Row> {
    let metadata = (
        prop::option::of(0..LANGS.len()),
        prop::option::of(2018..2024_i64),
        prop::collection::vec(0..5_u8, 0..4),
        prop::option::of(-4..4_i8),
        prop::option::of(any::<bool>()),
        prop::option::of(1..29_u8),
        prop::collection::vec(0..4_u8, 0..4),
    );
    (prop::collection::vec(0..9_u8, 0..14), metadata).prop_map(|(words, (lang, year, tags, share, open, day, note))| {
        Row { words, lang, year, tags, share, open, day, note }
    })
}

impl Row {
    fn text(&self) -> String {
        self.words.iter().map(|word| format!("word{word}")).collect::<Vec<_>>().join(" ")
    }

    fn document(&self, id: &str) -> Document {
        let mut metadata = serde_json::Map::new();
        let mut put = |name: &str, value: Option<Value>| drop(value.map(|value| metadata.insert(name.into(), value)));
        put("lang", self.lang.map(|lang| LANGS[lang].into()));
        put("year", self.year.map(Value::from));
        put("tags", Some(self.tags.iter().map(|tag| format!("t{tag}")).collect()));
        put("stats", self.share.map(|share| json!({"share": f64::from(share) / 2.0})));
        put("open", self.open.map(Value::from));
        put("day", self.day.map(|day| format!("2020-05-{day:02}").into()));
        let note = self.note.iter().map(|word| format!("note{word}")).collect::<Vec<_>>().join(" ");
        put("note", (!note.is_empty()).then(|| note.into()));
        Document { metadata, ..crate::support::document(id, &self.text()) }
    }

    /// Whether a passage has these words side by side.
    fn has(&self, phrase: &[u8]) -> bool {
        self.words.chunks(4).any(|passage| passage.windows(phrase.len()).any(|part| part == phrase))
    }
}

#[derive(Debug, Clone)]
enum Filter {
    Lang(usize),
    LangPrefix(char),
    Year(Option<i64>, Option<i64>, bool),
    Tag(u8),
    Share(i8),
    Open(bool),
    Day(u8),
    Note(Vec<u8>),
    Has(&'static str),
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
}

fn filter() -> impl Strategy<Value = Filter> {
    let leaf = prop_oneof![
        (0..LANGS.len()).prop_map(Filter::Lang),
        prop::sample::select(vec!['k', 'e', 'z', 'x']).prop_map(Filter::LangPrefix),
        (prop::option::of(2017..2025_i64), prop::option::of(2017..2025_i64), any::<bool>())
            .prop_map(|(low, high, closed)| Filter::Year(low, high, closed)),
        (0..6_u8).prop_map(Filter::Tag),
        (-5..5_i8).prop_map(Filter::Share),
        any::<bool>().prop_map(Filter::Open),
        (1..31_u8).prop_map(Filter::Day),
        prop::collection::vec(0..4_u8, 1..3).prop_map(Filter::Note),
        prop::sample::select(vec!["lang", "year", "tags", "stats.share", "open", "day", "note"]).prop_map(Filter::Has),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::Or),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

impl Filter {
    fn text(&self) -> String {
        let joined = |filters: &[Self], word: &str| {
            let texts: Vec<String> = filters.iter().map(Self::text).collect();
            format!("({})", texts.join(word))
        };
        let end = |end: &Option<i64>| end.map_or("*".to_owned(), |year| year.to_string());
        match self {
            Self::Lang(lang) => format!("lang:{}", LANGS[*lang]),
            Self::LangPrefix(first) => format!("lang:{first}*"),
            Self::Year(low, high, true) => format!("year:[{} TO {}]", end(low), end(high)),
            Self::Year(low, high, false) => format!("year:{{{} TO {}}}", end(low), end(high)),
            Self::Tag(tag) => format!("tags:\"t{tag}\""),
            Self::Share(share) => format!("stats.share:>={}", f64::from(*share) / 2.0),
            Self::Open(open) => format!("open:{open}"),
            Self::Day(day) => format!("day:<2020-05-{day:02}"),
            Self::Note(words) => {
                format!("note:\"{}\"", words.iter().map(|word| format!("note{word}")).collect::<Vec<_>>().join(" "))
            }
            Self::Has(name) => format!("{name}:*"),
            Self::And(filters) => joined(filters, if filters.len() % 2 == 0 { " AND " } else { " " }),
            Self::Or(filters) => joined(filters, " OR "),
            Self::Not(filter) => format!("NOT {}", filter.text()),
        }
    }

    fn holds(&self, row: &Row) -> bool {
        match self {
            Self::Lang(lang) => row.lang == Some(*lang),
            Self::LangPrefix(first) => row.lang.is_some_and(|lang| LANGS[lang].starts_with(*first)),
            Self::Year(low, high, closed) => row.year.is_some_and(|year| {
                let above = |low: i64| if *closed { year >= low } else { year > low };
                let below = |high: i64| if *closed { year <= high } else { year < high };
                low.is_none_or(above) && high.is_none_or(below)
            }),
            Self::Tag(tag) => row.tags.contains(tag),
            Self::Share(least) => row.share.is_some_and(|share| share >= *least),
            Self::Open(open) => row.open == Some(*open),
            Self::Day(before) => row.day.is_some_and(|day| day < *before),
            Self::Note(words) => row.note.windows(words.len()).any(|part| part == words),
            Self::Has(name) => match *name {
                "lang" => row.lang.is_some(),
                "year" => row.year.is_some(),
                "tags" => !row.tags.is_empty(),
                "stats.share" => row.share.is_some(),
                "open" => row.open.is_some(),
                "day" => row.day.is_some(),
                _ => !row.note.is_empty(),
            },
            Self::And(filters) => filters.iter().all(|filter| filter.holds(row)),
            Self::Or(filters) => filters.iter().any(|filter| filter.holds(row)),
            Self::Not(filter) => !filter.holds(row),
        }
    }
}

fn declare(writer: &mut IndexWriter) {
    let declared =
        ["lang:keyword", "year:integer", "tags:keyword", "stats.share:float", "open:boolean", "day:date", "note:text"]
            .map(|field| field.parse().unwrap());
    writer.declare_fields(&declared).unwrap();
}

/// The rows as an index, with commits in between, replaced and removed documents; and which are left.
fn build(dir: &std::path::Path, commits: &[Vec<(u8, Option<Row>)>]) -> BTreeMap<String, Row> {
    let mut left = BTreeMap::new();
    let mut writer = open(dir);
    declare(&mut writer);
    for changes in commits {
        for (id, row) in changes {
            let id = id.to_string();
            if let Some(row) = row {
                let document = row.document(&id);
                writer.put(&document, &record(&document), cut(&document.text)).unwrap();
                left.insert(id, row.clone());
            } else {
                writer.remove(&id).unwrap();
                left.remove(&id);
            }
        }
        writer.commit().unwrap();
    }
    writer.finish().unwrap();
    left
}

fn ids(snapshot: &Snapshot, numbers: impl IntoIterator<Item = u64>) -> BTreeSet<String> {
    numbers.into_iter().map(|number| snapshot.document_id(number).unwrap().unwrap()).collect()
}

fn only(snapshot: &Snapshot, hits: Vec<ChunkHit>, wanted: &BTreeSet<String>, depth: usize) -> Vec<ChunkHit> {
    let is_wanted = |hit: &ChunkHit| wanted.contains(&snapshot.document_id(hit.document_no).unwrap().unwrap());
    hits.into_iter().filter(is_wanted).take(depth).collect()
}

fn commits() -> impl Strategy<Value = Vec<Vec<(u8, Option<Row>)>>> {
    let change = (0..24_u8, prop::option::weighted(0.85, row()));
    prop::collection::vec(prop::collection::vec(change, 1..20), 1..4)
}

proptest! {
    // Each case commits several times to a real disk.
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_lets_through_what_fulfils_it(
        commits in commits(), filters in prop::collection::vec(filter(), 1..6),
        question in prop::collection::vec(0..10_u8, 1..4), depth in 1..30_usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let left = build(dir.path(), &commits);
        let snapshot = snapshot(dir.path());
        let words: Vec<String> = question.iter().map(|word| format!("word{word}")).collect();
        let (asked, vector) = (snapshot.question(&words.join(" ")), embed(&words.join(" ")));
        for filter in filters {
            let text = filter.text();
            let wanted: BTreeSet<String> =
                left.iter().filter(|(_, row)| filter.holds(row)).map(|(id, _)| id.clone()).collect();
            let selection = snapshot.selection(Some(&text), None).unwrap();
            prop_assert_eq!(selection.as_ref().unwrap().documents(), wanted.len(), "{}", text);
            let numbers = snapshot.document_numbers(selection.as_deref()).unwrap();
            prop_assert_eq!(ids(&snapshot, numbers.iter().copied()), wanted.clone(), "{}", text);

            let all = snapshot.dense(&vector, usize::MAX).unwrap();
            let found = snapshot.dense_within(&vector, selection.as_deref(), depth).unwrap();
            prop_assert_eq!(found, only(&snapshot, all, &wanted, depth), "{}", text);
            let all = snapshot.lexical(&asked.text, 10_000).unwrap().hits;
            let found = snapshot.lexical_within(&asked, Some(&text), depth).unwrap().hits;
            prop_assert_eq!(found, only(&snapshot, all, &wanted, depth), "{}", text);

            let mut tags = BTreeMap::new();
            for row in left.iter().filter(|(id, _)| wanted.contains(*id)).map(|(_, row)| row) {
                for tag in row.tags.iter().collect::<BTreeSet<_>>() {
                    *tags.entry(json!(format!("t{tag}")).to_string()).or_insert(0) += 1;
                }
            }
            let facet = Facet { field: "tags".to_owned(), values: 100 };
            let counts = snapshot.facet(&facet, selection.as_deref()).unwrap();
            prop_assert!(counts.is_sorted_by_key(|of| (std::cmp::Reverse(of.count), of.value.to_string())));
            prop_assert_eq!(counts.into_iter().map(|of| (of.value.to_string(), of.count)).collect::<BTreeMap<_, _>>(), tags);
        }
        let numbers = snapshot.document_numbers(None).unwrap();
        prop_assert_eq!(numbers.len(), left.len());
        for (descending, extreme) in [(false, i64::min as fn(i64, i64) -> i64), (true, i64::max)] {
            let values = snapshot.sort_values("year", descending, numbers.iter().copied()).unwrap();
            for (&number, value) in numbers.iter().zip(&values) {
                let year = left[&snapshot.document_id(number).unwrap().unwrap()].year;
                prop_assert_eq!(value.clone(), year.map(|year| FieldValue::Integer(extreme(year, year))));
            }
        }
        assert_sound(dir.path());
    }

    #[test]
    fn operators_let_through_what_they_say(
        commits in commits(), required in prop::collection::vec(phrase(), 0..3),
        excluded in prop::collection::vec(phrase(), 0..3), others in prop::collection::vec(phrase(), 1..4),
        year in prop::option::of(2018..2024_i64),
    ) {
        prop_assume!(!required.is_empty() || !excluded.is_empty() || year.is_some());
        let dir = tempfile::tempdir().unwrap();
        let left = build(dir.path(), &commits);
        let snapshot = snapshot(dir.path());
        let mut clauses: Vec<String> = Vec::new();
        clauses.extend(required.iter().map(|phrase| format!("+{}", typed(phrase))));
        clauses.extend(excluded.iter().map(|phrase| format!("-{}", typed(phrase))));
        clauses.extend(others.iter().map(|phrase| typed(phrase)));
        clauses.extend(year.map(|year| format!("year:{year}")));
        let text = clauses.join(" ");
        let signed = |row: &Row| required.iter().all(|phrase| row.has(phrase))
            && !excluded.iter().any(|phrase| row.has(phrase)) && year.is_none_or(|year| row.year == Some(year));
        // Phrases are demanded where there is nothing else.
        let one_of_the_others = |row: &Row| others.iter().any(|phrase| row.has(phrase));
        let all_are_phrases = others.iter().all(|phrase| phrase.len() > 1);
        let matches = |row: &Row| signed(row) && (!required.is_empty() || one_of_the_others(row));
        let demanded = |row: &Row| signed(row) && (!required.is_empty() || !all_are_phrases || one_of_the_others(row));
        let those = |holds: &dyn Fn(&Row) -> bool| -> BTreeSet<String> {
            left.iter().filter(|(_, row)| holds(row)).map(|(id, _)| id.clone()).collect()
        };

        let question = snapshot.question(&text);
        prop_assert!(question.has_operators() && question.warnings.is_empty(), "{}", text);
        let found = |selection: &berth_index::Selection| {
            ids(&snapshot, snapshot.document_numbers(Some(selection)).unwrap())
        };
        prop_assert_eq!(found(&snapshot.matches(None, &question).unwrap().unwrap()), those(&matches), "{}", text);
        let demanding = snapshot.selection(None, Some(&question)).unwrap();
        let let_through = demanding.as_ref().map_or(left.keys().cloned().collect(), |selection| found(selection));
        prop_assert_eq!(let_through, those(&demanded), "{}", text);
        let hits = snapshot.lexical_within(&question, None, usize::MAX).unwrap().hits;
        // A document without text matches nothing but exclusions, and has no passage to show.
        let shown: BTreeSet<String> = those(&|row| matches(row) && (year.is_some() || !row.words.is_empty()));
        let found = ids(&snapshot, hits.iter().map(|hit| hit.document_no));
        prop_assert!(found.is_subset(&shown), "{}: {:?} beyond {:?}", text, found, shown);
        let with_text: BTreeSet<String> =
            shown.into_iter().filter(|id| !left[id].words.is_empty()).collect();
        prop_assert_eq!(found, with_text, "{}", text);
        for hit in hits.iter().take(3) {
            let scores = snapshot.explain(&question, hit.chunk_id).unwrap();
            let sum = scores.iter().map(|score| f64::from(score.score)).sum::<f64>() as f32;
            prop_assert_eq!(sum, hit.score);
        }
    }
}

fn phrase() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..9_u8, 1..3)
}

fn typed(phrase: &[u8]) -> String {
    let words: Vec<String> = phrase.iter().map(|word| format!("word{word}")).collect();
    if words.len() == 1 { words[0].clone() } else { format!("\"{}\"", words.join(" ")) }
}

#[test]
fn kinds_are_remembered_with_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let document = |id: &str, metadata: Value| Document {
        metadata: metadata.as_object().unwrap().clone(),
        ..crate::support::document(id, "some text")
    };
    let put = |writer: &mut IndexWriter, document: &Document| {
        writer.put(document, &record(document), cut(&document.text)).unwrap();
    };
    put(&mut writer, &document("a", json!({"year": 2020, "author.name": "Kim", "author": {"name": "Lee"}})));
    writer.commit().unwrap();
    put(&mut writer, &document("b", json!({"day": "2020-05-17"})));
    drop(writer);
    let kinds = |snapshot: &Snapshot| -> Vec<(String, FieldKind, u64)> {
        let counts = snapshot.field_counts().unwrap();
        counts.into_iter().map(|(name, kind, count)| (name.to_owned(), kind, count)).collect()
    };
    let year = ("year".to_owned(), FieldKind::Integer, 1);
    let name = ("author.name".to_owned(), FieldKind::Keyword, 1);
    assert_eq!(kinds(&snapshot(dir.path())), [name.clone(), year.clone()], "b was not committed");

    let mut writer = open(dir.path());
    put(&mut writer, &document("c", json!({"year": "soon", "day": 5})));
    let warnings: Vec<String> = writer.take_field_warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "field 'year' of 'c' cannot be searched: it is of kind integer, the value is a string; the value is stored all \
          the same"
        ]
    );
    let error = writer.declare_fields(&["day:date".parse().unwrap()]).unwrap_err().to_string();
    assert!(error.contains("'day'") && error.contains("integer, not date"), "{error}");
    writer.finish().unwrap();
    let snapshot = snapshot(dir.path());
    assert_eq!(kinds(&snapshot), [name, ("day".to_owned(), FieldKind::Integer, 1), year]);
    let found = |filter: &str| snapshot.selection(Some(filter), None).unwrap().unwrap().documents();
    for (filter, count) in [
        ("author.name:Kim", 1),
        ("author.name:(Kim Lee)", 1),
        ("author.name:kim", 0),
        ("day:5", 1),
        ("year:2020", 1),
        ("year:<2020", 0),
        ("year:[2021 TO *]", 0),
        ("id:a", 1),
        ("id:[a TO b]", 1),
        ("source:/documents/*", 2),
        ("modified:1970", 2),
        ("-id:a", 1),
    ] {
        assert_eq!(found(filter), count, "{filter}");
    }
    for (filter, parts) in [
        ("yaer:2020", &["'yaer'", "author.name (keyword), day (integer), year (integer), and"][..]),
        ("year:soon", &["field 'year' is of kind integer", "soon is no whole number"]),
        ("year:[a TO b]", &["[a TO b]"]),
        ("author.name:kim~1", &["kim~1"]),
        ("title:*", &["'title'"]),
        ("modified:tomorrow", &["no date such as 2020"]),
        ("year:2020 AND", &["byte 13"]),
    ] {
        let error = snapshot.selection(Some(filter), None).unwrap_err();
        assert_eq!(error.kind(), berth_types::ErrorKind::InvalidInput);
        assert!(parts.iter().all(|part| error.to_string().contains(part)), "{error}");
    }
    assert!(snapshot.sort_values("title", true, [].into_iter()).unwrap_err().to_string().contains("text"));
}

/// Words as people type them, in several languages.
#[test]
fn queries_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    for (id, title, text) in [
        ("quay", "The north quay", "moored ships at the quay"),
        ("mooring", "", "mooring rings rust"),
        ("colour", "", "the colour grey"),
        ("korean", "", "부산항은 큰 항구이다"),
        ("words", "", "quay the north"),
    ] {
        let document = Document { title: title.to_owned(), ..crate::support::document(id, text) };
        writer.put(&document, &record(&document), cut(&document.text)).unwrap();
    }
    writer.finish().unwrap();
    let snapshot = snapshot(dir.path());
    let check = |text: &str, expected: &[&str]| {
        let question = snapshot.question(text);
        let hits = snapshot.lexical_within(&question, None, 100).unwrap().hits;
        let found = ids(&snapshot, hits.iter().map(|hit| hit.document_no));
        assert_eq!(found, expected.iter().map(|id| (*id).to_owned()).collect(), "{text}: {question:?}");
        question
    };
    check("\"north quay\"", &["quay"]);
    check("\"the north\"", &["quay", "words"]);
    check("+moor -rust", &["quay"]);
    check("quay -title:north", &["words"]);
    check("title:\"the north\" +quay", &["quay", "words"]);
    check("+title:\"the north\" quay", &["quay"]);
    check("moor* AND NOT rust", &["quay"]);
    check("mooring*", &["quay", "mooring"]);
    check("color~1 zebra", &["colour"]);
    check("culor~2 zebra", &["colour"]);
    check("\"부산항\"", &["korean"]);
    check("\"산항은 큰\"", &["korean"]);
    check("\"항부산\"", &[]);
    check("+항구 zebra", &["korean"]);
    check("rust OR grey", &["colour", "mooring"]);
    check("(rust OR grey) AND colour", &["colour"]);
    let question = check("+\"north quay\" -zebra ships", &["quay"]);
    assert_eq!(question.text, "north quay ships");
    let plain = check("grey AND", &["colour"]);
    assert!(plain.warnings[0].contains("taken for plain words") && !plain.has_operators(), "{plain:?}");
    assert!(!snapshot.question("grey and (rust \"north quay\"").has_operators());
}
