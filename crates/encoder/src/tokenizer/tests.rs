use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A BERT tokenizer whose vocabulary is letters, as pieces and as beginnings, and which asks for truncation to
/// four ids and padding to six.
fn letters() -> TextTokenizer {
    letters_padded("Right")
}

fn letters_padded(direction: &str) -> TextTokenizer {
    let mut vocabulary = serde_json::Map::new();
    let letters = ('a'..='z').map(String::from).chain(["漢", "字", "ᄀ", "ᅡ", "ᆨ", "1", "2"].map(str::to_owned));
    let words = letters.flat_map(|letter| [format!("##{letter}"), letter]);
    let marks = "[]!.,-()#".chars().map(String::from);
    for word in ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].map(str::to_owned).into_iter().chain(words).chain(marks) {
        let id = vocabulary.len();
        vocabulary.insert(word, json!(id));
    }
    let special = |id: u32, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let file = json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 6}, "direction": direction, "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary},
    });
    TextTokenizer::from_bytes(Path::new("tokenizer.json"), file.to_string().as_bytes()).unwrap()
}

/// The bytes that each token stands for.
fn pieces(text: &str) -> Vec<String> {
    let tokens = letters().tokenize(text).unwrap();
    tokens.offsets.iter().map(|range| text[range.start as usize..range.end as usize].to_owned()).collect()
}

fn check_offsets(text: &str, tokens: &Tokens) {
    assert_eq!(tokens.ids.len(), tokens.offsets.len());
    let mut previous = 0..0;
    for range in &tokens.offsets {
        assert!(range.start <= range.end && range.end as usize <= text.len(), "{range:?} of {text:?}");
        assert!(range.start >= previous.start && range.end >= previous.end, "{previous:?} then {range:?} of {text:?}");
        assert!(text.is_char_boundary(range.start as usize) && text.is_char_boundary(range.end as usize), "{text:?}");
        previous = range.clone();
    }
}

#[test]
fn neither_truncates_nor_pads() {
    assert_eq!(pieces("a b c d e f g h").len(), 8);
    assert_eq!(pieces("a").len(), 1);
    assert_eq!(pieces("").len(), 0);
}

#[test]
fn the_side_of_padding_changes_no_row() {
    let (right, left) = (letters(), letters_padded("Left"));
    assert_eq!((left.prefix(), left.suffix()), (right.prefix(), right.suffix()));
    for text in ["", "a", "a b c d e f g h"] {
        assert_eq!(left.tokenize(text).unwrap(), right.tokenize(text).unwrap(), "{text:?}");
    }
    let pair = |tokenizer: &TextTokenizer| format!("{:?}", tokenizer.pair_template());
    assert_eq!(pair(&left), pair(&right));
}

#[test]
fn special_tokens_are_known_and_a_text_cannot_spell_them() {
    let tokenizer = letters();
    assert_eq!((tokenizer.prefix(), tokenizer.suffix(), tokenizer.special_tokens()), (&[2][..], &[3][..], 2));
    let tokens = tokenizer.tokenize("a [SEP] b").unwrap();
    assert!(!tokens.ids.contains(&3), "{tokens:?}");
    assert_eq!(tokens.unknown, 0);
}

#[test]
fn offsets_survive_normalisation() {
    assert_eq!(pieces("Éa"), ["É", "a"]);
    assert_eq!(pieces("e\u{301} x")[1], "x");
    assert_eq!(pieces("İ b")[0], "İ");
    assert_eq!(pieces("x ẞ z"), ["x", "ẞ", "z"]);
    assert_eq!(pieces("a👩\u{200d}🚒 b").last().unwrap(), "b");
    assert_eq!(pieces("漢字a"), ["漢", "字", "a"]);
}

#[test]
fn pieces_of_one_character_share_its_range() {
    assert_eq!(pieces("각"), ["각", "각", "각"]);
}

#[test]
fn a_word_of_any_length_is_read() {
    let word = "abcdefghij".repeat(1_000);
    let tokens = letters().tokenize(&word).unwrap();
    assert_eq!((tokens.ids.len(), tokens.unknown), (word.len(), 0));
    check_offsets(&word, &tokens);
    assert_eq!(pieces(&"a".repeat(100)).len(), 100, "a word at the limit");
    assert_eq!(pieces(&"a".repeat(101)).len(), 101, "a word one over the limit");
    assert_eq!(pieces(&"각".repeat(40)).len(), 120, "a word that normalisation makes too long");
}

#[test]
fn offsets_that_are_off_do_no_harm() {
    let tokenizer = letters();
    let unknown = tokenizer.inner.unknown_id.unwrap();
    let wrong = |offsets: &[(usize, usize)]| {
        let token = |&offsets: &(usize, usize)| tokenizers::Token::new(unknown, "[UNK]".to_owned(), offsets);
        Encoding::from_tokens(offsets.iter().map(token).collect(), 0)
    };
    let text = "é漢字☃a".repeat(60);
    for start in [0, 1, 5_000] {
        for offsets in [&[(1, 3), (4, 8), (300, 2), (7, 5)][..], &[(0, 9_000)], &[(1, 599), (0, 600), (7_000, 2)]] {
            let mut tokens = Tokens::default();
            tokenizer.append(&mut tokens, &text, start, &wrong(offsets)).unwrap();
            assert!(!tokens.ids.is_empty() || start == 5_000);
            check_offsets(&text, &tokens);
        }
    }
}

#[test]
fn a_word_may_be_cut_between_characters_of_any_width() {
    let word = "abé각\u{301}".repeat(300);
    let tokens = letters().tokenize(&word).unwrap();
    assert_eq!(tokens.unknown, 0, "a part was longer than the limit");
    check_offsets(&word, &tokens);
    assert_eq!(letters().normalized_chars("각"), 3);
    assert_eq!((letters().normalized_chars("é"), letters().normalized_chars("a")), (1, 1));
}

#[test]
fn words_and_unknowns_are_counted() {
    let tokens = letters().tokenize("abc, ☃ de").unwrap();
    assert_eq!((tokens.words, tokens.unknown), (4, 1));
}

#[test]
fn a_broken_file_is_refused_by_name() {
    let refused = TextTokenizer::from_bytes(Path::new("some/tokenizer.json"), b"{\"version\": \"1.0\", ").unwrap_err();
    assert!(matches!(&refused, Error::TokenizerFile { .. }) && refused.to_string().contains("some/tokenizer.json"));
}

fn special(id: u32, content: &str, lstrip: bool) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": lstrip, "rstrip": false, "normalized": false, "special": true})
}

/// A byte-level BPE tokenizer as RoBERTa has it: every byte is a piece, and so are a few words.
fn bytes_of_text() -> (TextTokenizer, Vec<u8>) {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut stand_in = 256_u32;
    let letters: Vec<String> = (0..=255_u8)
        .map(|byte| {
            if printable(byte) {
                return char::from(byte).to_string();
            }
            stand_in += 1;
            char::from_u32(stand_in - 1).unwrap().to_string()
        })
        .collect();
    let merges = [["t", "h"], ["th", "e"], ["Ġ", "the"], ["a", "n"]];
    let mut vocabulary = serde_json::Map::new();
    let special_tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"].map(str::to_owned);
    for piece in special_tokens.into_iter().chain(letters).chain(merges.map(|pair| pair.concat())) {
        let id = vocabulary.len();
        vocabulary.insert(piece, json!(id));
    }
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "decoder": null,
        "added_tokens": [special(0, "<s>", false), special(1, "<pad>", false), special(2, "</s>", false), special(3, "<unk>", false), special(4, "<mask>", true)],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": false, "add_prefix_space": false},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": false, "vocab": vocabulary, "merges": merges.map(|pair| pair.join(" "))},
    });
    let bytes = file.to_string().into_bytes();
    (TextTokenizer::from_bytes(Path::new("tokenizer.json"), &bytes).unwrap(), bytes)
}

/// A Unigram tokenizer as XLM-RoBERTa has it, with a few words.
fn sentence_pieces() -> TextTokenizer {
    let mut pieces = vec![json!(["<s>", 0.0]), json!(["<pad>", 0.0]), json!(["</s>", 0.0]), json!(["<unk>", 0.0])];
    pieces.extend(["▁the", "▁ship", "▁", "漢字", "字漢", "s", "t"].map(|piece| json!([piece, -2.0])));
    pieces.extend(["h", "e", "i", "p", "漢", "字", ","].map(|piece| json!([piece, -4.0])));
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "decoder": null,
        "added_tokens": [special(0, "<s>", false), special(1, "<pad>", false), special(2, "</s>", false), special(3, "<unk>", false)],
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}},
        },
        "model": {"type": "Unigram", "unk_id": 3, "vocab": pieces, "byte_fallback": false},
    });
    TextTokenizer::from_bytes(Path::new("tokenizer.json"), file.to_string().as_bytes()).unwrap()
}

fn marked<'a>(tokenizer: &TextTokenizer, text: &'a str) -> Vec<&'a str> {
    let tokens = tokenizer.tokenize(text).unwrap();
    check_offsets(text, &tokens);
    tokens.offsets.iter().map(|range| &text[range.start as usize..range.end as usize]).collect()
}

#[test]
fn byte_level_pieces_mark_whole_characters_and_no_spaces() {
    let (tokenizer, _) = bytes_of_text();
    assert_eq!(marked(&tokenizer, "an the  é"), ["an", "the", " ", " ", "é", "é"]);
    let emoji = "👩\u{200d}🚒";
    let parts = marked(&tokenizer, emoji);
    assert_eq!(parts.len(), emoji.len());
    assert!(parts[..4].iter().all(|part| *part == "👩") && parts[7..].iter().all(|part| *part == "🚒"), "{parts:?}");
    assert_eq!(tokenizer.tokenize("the the an").unwrap().word_of, [0, 1, 2, 2]);
}

#[test]
fn sentencepiece_marks_words_without_their_space() {
    let tokenizer = sentence_pieces();
    assert_eq!(marked(&tokenizer, "the ship, 漢字"), ["the", "ship", ",", " ", "漢字"]);
    let tokens = tokenizer.tokenize("the z").unwrap();
    assert_eq!((tokens.unknown, tokenizer.unknown_id()), (1, Some(3)));
}

#[test]
fn templates_are_read_off_the_post_processor() {
    let (roberta, _) = bytes_of_text();
    let between = PairTemplate {
        before: vec![(0, 0)],
        first_type: 0,
        between: vec![(2, 0), (2, 0)],
        second_type: 0,
        after: vec![(2, 0)],
    };
    assert_eq!(roberta.pair_template(), &between);
    assert_eq!(sentence_pieces().pair_template(), &between);
    let bert = PairTemplate {
        before: vec![(2, 0)],
        first_type: 0,
        between: vec![(3, 0)],
        second_type: 1,
        after: vec![(3, 1)],
    };
    assert_eq!(letters().pair_template(), &bert);
    assert_eq!((sentence_pieces().prefix(), sentence_pieces().suffix()), (&[0][..], &[2][..]));
}

#[test]
fn the_mask_is_read_only_where_it_is_asked_for() {
    let (tokenizer, bytes) = bytes_of_text();
    let tokenizer = tokenizer.reading_mask(Path::new("tokenizer.json"), &bytes).unwrap();
    let text = "the <mask> </s>";
    assert!(!tokenizer.tokenize(text).unwrap().ids.contains(&4));
    let tokens = tokenizer.tokenize_masked(text).unwrap();
    check_offsets(text, &tokens);
    let place = tokens.ids.iter().position(|&id| Some(id) == tokenizer.mask_id()).unwrap();
    assert_eq!(tokens.offsets[place], 4..10);
    assert!(!tokens.ids.contains(&2), "only the mask is special: {tokens:?}");
    let refused = letters().reading_mask(Path::new("x/tokenizer.json"), b"{\"added_tokens\":[]}").unwrap_err();
    assert!(refused.to_string().contains("[MASK]") && refused.to_string().contains("x/tokenizer.json"), "{refused}");
}

#[test]
fn lower_case_keeps_the_bytes_of_the_text() {
    let (tokenizer, _) = bytes_of_text();
    let tokenizer = tokenizer.lowercasing(true);
    assert_eq!(marked(&tokenizer, "THE İAN THE").last(), Some(&"THE"));
    assert_eq!(tokenizer.tokenize("THE").unwrap().ids, bytes_of_text().0.tokenize("the").unwrap().ids);
}

#[test]
fn segments_of_every_kind_of_vocabulary_give_the_tokens_of_the_whole() {
    let text = "the ship, 漢字\nthe  ship 漢字漢 s\n\nthe \t ship ".repeat(40);
    for tokenizer in [letters(), bytes_of_text().0, sentence_pieces()] {
        let whole = tokenizer.tokenize_by(&tokenizer.inner.tokenizer, &text, usize::MAX).unwrap();
        for segment_bytes in [64, 100, 333] {
            let parts = tokenizer.tokenize_by(&tokenizer.inner.tokenizer, &text, segment_bytes).unwrap();
            assert_eq!(parts.ids, whole.ids, "{segment_bytes} {:?}", tokenizer.inner.cuts);
            assert_eq!(parts.offsets, whole.offsets);
        }
    }
}

#[test]
fn control_characters_and_an_empty_text_do_no_harm() {
    for tokenizer in [letters(), bytes_of_text().0, sentence_pieces()] {
        for text in ["", "\u{0}", "\u{0}\u{1}the\u{7f}\u{9f} \u{feff}", "\r\n\u{2028}\u{200b}"] {
            check_offsets(text, &tokenizer.tokenize(text).unwrap());
        }
        assert!(tokenizer.tokenize("").unwrap().ids.is_empty());
        assert!(tokenizer.largest_id() > 10);
    }
}

proptest! {
    #[test]
    fn segments_give_the_tokens_of_the_whole(
        words in proptest::collection::vec(r"[a-zA-ZéİẞÅ각漢字👩\u{200d}\u{301}.,!()12☃-]{1,9}", 1..60),
        spaces in proptest::collection::vec("[ \n\t]{1,2}", 60),
        segment_bytes in 64_usize..256,
    ) {
        let text: String = words.iter().zip(&spaces).flat_map(|(word, space)| [word.as_str(), space.as_str()]).collect();
        let tokenizer = letters();
        let whole = tokenizer.tokenize_by(&tokenizer.inner.tokenizer, &text, usize::MAX).unwrap();
        check_offsets(&text, &whole);
        prop_assert_eq!(tokenizer.tokenize_by(&tokenizer.inner.tokenizer, &text, segment_bytes).unwrap(), whole);
    }

    #[test]
    fn any_text_has_true_offsets(text in r"(\PC|[\n\r\t\u{0}\u{301}\u{200d}각漢]){0,300}") {
        for tokenizer in [letters(), bytes_of_text().0, sentence_pieces(), letters().lowercasing(true)] {
            let tokens = tokenizer.tokenize_by(&tokenizer.inner.tokenizer, &text, 64).unwrap();
            check_offsets(&text, &tokens);
            prop_assert_eq!(tokens.word_of.len(), tokens.ids.len());
        }
    }
}
