use proptest::prelude::*;
use tantivy::Index;
use unicode_normalization::UnicodeNormalization;

use super::*;

fn check(text: &str, expected: &[&str]) {
    let found: Vec<String> = terms(text).into_iter().map(|term| term.text).collect();
    assert_eq!(found, expected, "{text:?}");
}

#[test]
fn words_are_lowered_folded_and_stemmed() {
    check("The Connections of running cafés", &["the", "connect", "of", "run", "cafe"]);
    check("covid-19, B12; 3.5", &["covid", "19", "b12", "3", "5"]);
    check("get_file_name(x)", &["get", "file", "name", "x"]);
    check("", &[]);
    check(" \t…!?\u{1f6a2}", &[]);
}

#[test]
fn apostrophes_are_borders_and_contraction_tails_go() {
    check("don't", &["don"]);
    check("Darwin\u{2019}s theory", &["darwin", "theori"]);
    check("O'Neil", &["o", "neil"]);
    check("l'homme", &["l", "homm"]);
    check("'quoted'", &["quot"]);
    check("dogs'", &["dog"]);
}

#[test]
fn runs_become_pairs() {
    check("한국어를", &["한국", "국어", "어를"]);
    check("한국어 를", &["한국", "국어", "를"]);
    check("iPhone15용 케이스", &["iphone15", "용", "케이", "이스"]);
    check("東京タワー", &["東京", "京タ", "タワ", "ワー"]);
    check("水", &["水"]);
    check("ﾊﾟｿｺﾝ", &["パソ", "ソコ", "コン"]);
    check("中。国", &["中", "国"]);
}

#[test]
fn decomposed_text_gives_the_same_terms() {
    for text in ["한국어를", "パソコン", "Café Łódź"] {
        let decomposed: String = text.nfd().collect();
        assert_ne!(decomposed, text);
        let texts = |text: &str| terms(text).into_iter().map(|term| term.text).collect::<Vec<_>>();
        assert_eq!(texts(&decomposed), texts(text));
    }
}

#[test]
fn ranges_refer_to_the_original() {
    let text = "Ça, «naïve» 한국어 Darwin's";
    let found: Vec<&str> = terms(text).into_iter().map(|term| &text[term.byte_range]).collect();
    assert_eq!(found, ["Ça", "naïve", "한국", "국어", "Darwin"]);
}

#[test]
fn a_huge_word_is_one_term_of_255_bytes() {
    let word = "x".repeat(100_000);
    let found = terms(&word);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].text.len(), 255);
    assert_eq!(found[0].byte_range, 0..100_000);
    let marks = format!("漢{}", "\u{301}".repeat(10_000));
    assert!(terms(&marks)[0].text.len() <= 255);
}

#[test]
fn tantivy_sees_the_same_terms_with_rising_positions() {
    let index = Index::create_in_ram(tantivy::schema::Schema::builder().build());
    register(&index);
    let mut analyzer = index.tokenizers().get(ANALYZER).expect("registered");
    let text = "The file_name of 한국어 O'Neil's";
    let mut stream = analyzer.token_stream(text);
    for (position, term) in terms(text).into_iter().enumerate() {
        let token = stream.next().expect("as many tokens as terms");
        assert_eq!(
            (token.text.as_str(), token.offset_from..token.offset_to, token.position),
            (term.text.as_str(), term.byte_range, position)
        );
    }
    assert!(!stream.advance());
}

proptest! {
    #[test]
    fn any_text_gives_short_terms_on_character_borders(text in "\\PC{0,60}|[a-zé'漢カﾞ한\u{1161}\u{301}_ 0-9]{0,60}") {
        let mut last_start = 0;
        for term in terms(&text) {
            prop_assert!(!term.text.is_empty() && term.text.len() <= 255);
            prop_assert!(text.get(term.byte_range.clone()).is_some_and(|part| !part.is_empty()));
            prop_assert!(term.byte_range.start >= last_start);
            last_start = term.byte_range.start;
        }
    }

    #[test]
    fn every_letter_and_digit_is_in_some_term(text in "[a-z0-9가-힣 ,.あ-ん一-龥é]{0,80}") {
        let mut covered = vec![false; text.len()];
        for term in terms(&text) {
            covered[term.byte_range].fill(true);
        }
        for (at, c) in text.char_indices() {
            prop_assert_eq!(covered[at], c.is_alphanumeric());
        }
    }
}

fn analyses(of: &[&str]) -> Analyses {
    Analyses(of.iter().map(|text| Analysis::try_from((*text).to_owned()).unwrap()).collect())
}

#[test]
fn a_word_of_a_query_has_a_form_in_each_language_of_the_index() {
    let forms = |text: &str, of: &[&str]| -> Vec<Vec<String>> {
        words(text, &analyses(of)).iter().map(AnalysedWord::distinct).collect()
    };
    assert_eq!(forms("Häfen running", &["de", "en"]), [vec!["hafen", "haf"], vec!["run", "running"]]);
    assert_eq!(forms("Häfen", &[]), [["hafen"]], "an index without documents");
    assert_eq!(forms("Häfen", &["", "en"]), [["hafen"]]);
    assert_eq!(forms("한국어", &["de", "en"]), [["한국"], ["국어"]]);
    assert_eq!(forms("getName", &["en"]), [["getnam"]]);
    assert_eq!(forms("getName", &["en", "en+code"]), [["getnam"], ["get"], ["name"]]);
    let parts: Vec<bool> = words("getName x", &analyses(&["en+code"])).iter().map(|word| word.is_part).collect();
    assert_eq!(parts, [false, true, true, false]);
}

#[test]
fn an_analysis_is_written_and_read_back() {
    for text in ["de", "en+code", "", "+code"] {
        let analysis = Analysis::try_from(text.to_owned()).unwrap();
        assert_eq!(String::from(analysis), text);
    }
    assert!(Analysis::try_from("xx".to_owned()).is_err());
}

#[test]
fn identifiers_end_where_capitals_begin() {
    for (word, parts) in [
        ("getHTTPName", vec!["get", "HTTP", "Name"]),
        ("utf8Decode", vec!["utf8", "Decode"]),
        ("HELLO", vec!["HELLO"]),
        ("Hello", vec!["Hello"]),
        ("größeÄndern", vec!["größe", "Ändern"]),
        ("", vec![]),
    ] {
        let (mut rest, mut found) = (word, Vec::new());
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(scanner::first_part(rest));
            found.push(part);
            rest = behind;
        }
        assert_eq!(found, parts, "{word}");
    }
}
