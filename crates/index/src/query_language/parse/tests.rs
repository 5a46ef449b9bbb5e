use proptest::prelude::*;

use super::*;

/// The tree in one line: every leaf as it would be typed.
fn shown(node: &Node) -> String {
    let each = |nodes: &[Node], between: &str| nodes.iter().map(shown).collect::<Vec<_>>().join(between);
    match node {
        Node::Leaf(Leaf { field: None, value }) => value.to_string(),
        Node::Leaf(Leaf { field: Some(name), value }) => format!("{name}:{value}"),
        Node::And(nodes) => format!("<{}>", each(nodes, " AND ")),
        Node::Or(nodes) => format!("<{}>", each(nodes, " OR ")),
        Node::List(nodes) => format!("[{}]", each(nodes, ", ")),
        Node::Not(node) => format!("not {}", shown(node)),
        Node::Required(node) => format!("+{}", shown(node)),
    }
}

#[track_caller]
fn check_filter(text: &str, expected: &str) {
    assert_eq!(shown(&filter(text).unwrap()), expected);
}

#[test]
fn filters() {
    check_filter("lang:ko", "[lang:ko]");
    check_filter("lang:ko AND year:[2020 TO *]", "[<lang:ko AND year:[2020 TO *]>]");
    check_filter("lang:ko year:{2020 TO 2024]", "[lang:ko, year:{2020 TO 2024]]");
    check_filter("a:1 OR b:2 AND NOT c:3", "[<a:1 OR <b:2 AND not c:3>>]");
    check_filter("-(a:1 b:x*) +c:\"two \\\"words\\\"\"", "[not [a:1, b:x*], +c:\"two \"words\"\"]");
    check_filter("lang:(ko OR en)", "[[<lang:ko OR lang:en>]]");
    check_filter("year:>=2020 year:<5", "[year:[2020 TO *], year:[* TO 5}]");
    check_filter("url:http://a.b/c?d=e", "[url:http://a.b/c?d=e]");
    check_filter("name:f(x) (a:1)", "[name:f(x), [a:1]]");
    check_filter("open:* day:[\"2020-01-01 10:00\" TO \"*\"]", "[open:*, day:[2020-01-01 10:00 TO *]]");
    check_filter("n:-5 m:[-5 TO -1]", "[n:-5, m:[-5 TO -1]]");
    check_filter("text:harb~1", "[text:harb~1]");
}

#[test]
fn faults_of_filters() {
    let check = |text: &str, fault: LanguageFault| assert_eq!(filter(text), Err(fault), "{text}");
    check("", LanguageFault::Empty);
    check("  ", LanguageFault::Empty);
    check("word", LanguageFault::NoName { word: "word".to_owned() });
    check("lang=ko", LanguageFault::NoName { word: "lang=ko".to_owned() });
    check("\"a b\"", LanguageFault::NoName { word: "\"a".to_owned() });
    check("lang: ko", LanguageFault::NoValue { name: "lang".to_owned() });
    check("a:1 AND", LanguageFault::MissingClause { at: 7 });
    check("OR a:1", LanguageFault::MissingClause { at: 0 });
    check("NOT", LanguageFault::MissingClause { at: 3 });
    check("a:()", LanguageFault::MissingClause { at: 3 });
    check("(a:1", LanguageFault::OpenBracket { at: 0 });
    check("a:1)", LanguageFault::StrayBracket { at: 3 });
    check("a:\"1", LanguageFault::OpenQuote { at: 2 });
    check("a:[1 2 TO 3]", LanguageFault::BadRange { at: 2 });
    check("a:[1 TO 3", LanguageFault::OpenBracket { at: 2 });
    check("a:[1 to 3]", LanguageFault::BadRange { at: 2 });
    check(&"(".repeat(100_000), LanguageFault::TooDeep);
    check(&"NOT ".repeat(100_000), LanguageFault::TooDeep);
    check(&"-".repeat(100_000), LanguageFault::NoName { word: "-".repeat(99_999) });
    check(&"a:1 ".repeat(10_000), LanguageFault::TooManyClauses);
    check(&vec!["a:1"; 10_000].join(" OR "), LanguageFault::TooManyClauses);
    let deepest = "(".repeat(MAX_DEPTH) + "a:1" + &")".repeat(MAX_DEPTH);
    assert!(filter(&deepest).is_ok());
    assert!(filter(&"a:1 ".repeat(MAX_CLAUSES)).is_ok());
}

fn read(text: &str) -> Option<Result<String, LanguageFault>> {
    let node = query(text, &|name| matches!(name, "lang" | "year" | "title"));
    node.map(|node| node.map(|node| shown(&node))).transpose()
}

#[test]
fn questions_in_plain_words_have_no_operators() {
    for text in [
        "who inspects the harbour crane",
        "covid-19 and C++",
        "what is x:y",
        "e.g. this (and that)",
        "5'10\" tall",
        "python \"binary string\" to int",
        "Target \"A, Inc.\"; the Definition of \"Knowledge\"",
        "\"unbalanced",
        "E2f-1, -2, -3 TKO",
        "the +5 position",
        "what does ** mean",
        "SELECT * FROM t",
        "C* ~/bin a~b ~1",
        "a - b + c",
        "f( x",
        ":-)",
        "title:cats dogs",
        "title:\"cats",
        "http://a.b/c",
        "lang: ko",
        "",
        "?",
        "and or not",
        "ANDROID",
        "year:",
        "m~12",
        "e~3",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
    assert_eq!(read(&"word ".repeat(100_000)), None);
    assert_eq!(read(&"(".repeat(100_000)), None);
}

#[test]
fn queries_with_operators() {
    let check = |text: &str, expected: &str| assert_eq!(read(text), Some(Ok(expected.to_owned())), "{text}");
    check("\"north quay\"", "[\"north quay\"]");
    check("\"a b\" \"c\"", "[\"a b\", \"c\"]");
    check("crane +\"north quay\" -rust", "[crane, +\"north quay\", not rust]");
    check("crane AND quay NOT rust", "[<crane AND quay>, not rust]");
    check("(crane OR quay) ship-yard", "[[<crane OR quay>], ship-yard]");
    check("harb* colour~1", "[harb*, colour~1]");
    check("lang:ko who:me 2020", "[lang:ko, who:me, 2020]");
    check("title:\"big cats\" +dogs", "[title:\"big cats\", +dogs]");
    check("year:[2020 TO *] harbour", "[year:[2020 TO *], harbour]");
    check("한국* +-부두 -부두", "[한국*, +-부두, not 부두]");
    for text in ["crane AND", "OR crane", "(crane AND quay", "lang:\"ko", "year:[1 TO"] {
        assert!(matches!(read(text), Some(Err(_))), "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_that_is_typed_is_a_panic(
        text in "\\PC{0,40}|((lang|year|a):|\"|\\(|\\)|\\[|\\}| TO |AND |OR |NOT |-|\\+|\\*|~1|>=|\\\\|한| |a|b){0,30}",
    ) {
        let _ = (filter(&text), read(&text));
    }

    /// What a tree is typed as is read as that tree.
    #[test]
    fn a_conjunction_of_conditions_is_read_as_such(
        conditions in prop::collection::vec(("[a-z]{1,5}", "[a-z0-9]{1,5}", any::<bool>()), 2..8),
    ) {
        let typed = |(name, value, negated): &(String, String, bool)| {
            format!("{}{name}:{value}", if *negated { "NOT " } else { "" })
        };
        let text = conditions.iter().map(typed).collect::<Vec<_>>().join(" AND ");
        let node = filter(&text).unwrap();
        prop_assert_eq!(shown(&node), format!("[<{}>]", text.replace("NOT ", "not ")));
    }
}
