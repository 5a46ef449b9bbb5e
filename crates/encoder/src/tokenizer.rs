//! Text to token ids with true byte offsets. The only file that names `tokenizers`.
//!
//! What a `tokenizer.json` asks for beyond that is undone here: it may truncate, pad, read `[SEP]` in a user's text as
//! the end of it, and make one unknown token of any very long word.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use tokenizers::models::ModelWrapper;
use tokenizers::{Encoding, NormalizedString, Normalizer, Tokenizer};
use unicode_segmentation::UnicodeSegmentation;

use crate::Error;
use crate::segments::segments;

/// Bytes that are tokenised at once. Tokenising holds some forty times its text in memory, and one run over a text
/// is no faster than many of this size (measured).
const SEGMENT_BYTES: usize = 8 * 1024;

/// A model's tokenizer. Cheap to clone and to share between threads.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tokenizer: Tokenizer,
    unknown_id: Option<u32>,
    /// Longer words become one unknown token, in characters after normalisation; 0 where there is no such limit.
    max_word_chars: usize,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
}

/// A text as the model reads it, without special tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens {
    /// Vocabulary ids in text order.
    pub ids: Vec<u32>,
    /// For each id, the bytes of the text that it stands for. Starts and ends never decrease and lie between characters;
    /// ids may share a range, when a character is several tokens.
    pub offsets: Vec<Range<u32>>,
    /// Ids that stand for something outside the vocabulary.
    pub unknown: usize,
    /// Words that the ids are pieces of.
    pub words: usize,
}

impl TextTokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// `FileMissing` or `Read` when there is none, `TokenizerFile` when it cannot be used.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(|source| {
            let path = path.to_path_buf();
            match source.kind() {
                std::io::ErrorKind::NotFound => Error::FileMissing { path },
                _ => Error::Read { path, source },
            }
        })?;
        Self::from_bytes(path, &bytes)
    }

    /// Reads the `bytes` of a `tokenizer.json`; `path` is where they come from.
    ///
    /// # Errors
    /// `TokenizerFile` when they cannot be used.
    pub(crate) fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let unusable = |message: String| Error::TokenizerFile { path: path.to_path_buf(), message };
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| unusable(error.to_string()))?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| unusable(error.to_string()))?;
        let (prefix, suffix) = specials(&tokenizer).map_err(unusable)?;
        // From here on a text that spells out a special token is only text.
        tokenizer.set_encode_special_tokens(true);

        let (unknown_token, max_word_chars) = match tokenizer.get_model() {
            ModelWrapper::WordPiece(model) => (Some(model.unk_token.clone()), model.max_input_chars_per_word),
            ModelWrapper::WordLevel(model) => (Some(model.unk_token.clone()), 0),
            ModelWrapper::BPE(model) => (model.unk_token.clone(), 0),
            ModelWrapper::Unigram(_) => (Some("<unk>".to_owned()), 0),
        };
        let unknown_id = unknown_token.and_then(|token| tokenizer.token_to_id(&token));
        Ok(Self { inner: Arc::new(Inner { tokenizer, unknown_id, max_word_chars, prefix, suffix }) })
    }

    /// Tokenises the whole of `text`: no special tokens, no truncation, no padding.
    ///
    /// # Errors
    /// `Tokenize` when the tokenizer fails, or when the text has 4 GiB or more.
    pub fn tokenize(&self, text: &str) -> Result<Tokens, Error> {
        if u32::try_from(text.len()).is_err() {
            return Err(Error::Tokenize { message: format!("{} bytes are more than 4 GiB", text.len()) });
        }
        self.tokenize_by(text, SEGMENT_BYTES)
    }

    fn tokenize_by(&self, text: &str, segment_bytes: usize) -> Result<Tokens, Error> {
        let mut tokens = Tokens::default();
        for segment in segments(text, segment_bytes) {
            let encoding = self.encode(&text[segment.clone()])?;
            self.append(&mut tokens, text, segment.start, &encoding)?;
        }
        Ok(tokens)
    }

    /// Ids that open every row.
    pub fn prefix(&self) -> &[u32] {
        &self.inner.prefix
    }

    /// Ids that close every row.
    pub fn suffix(&self) -> &[u32] {
        &self.inner.suffix
    }

    /// Ids that a row has beside its text.
    pub fn special_tokens(&self) -> usize {
        self.inner.prefix.len() + self.inner.suffix.len()
    }

    fn encode(&self, text: &str) -> Result<Encoding, Error> {
        self.inner.tokenizer.encode(text, false).map_err(|error| Error::Tokenize { message: error.to_string() })
    }

    /// Adds the tokens of the segment that starts at byte `start` of `text`.
    fn append(&self, tokens: &mut Tokens, text: &str, start: usize, encoding: &Encoding) -> Result<(), Error> {
        let mut last_word = None;
        let ids_and_places = encoding.get_ids().iter().zip(encoding.get_offsets()).zip(encoding.get_word_ids());
        for ((&id, &(from, to)), &word) in ids_and_places {
            if word.is_none() || word != last_word {
                tokens.words += 1;
                last_word = word;
            }
            let range = clamp(text, start + from..start + to);
            if Some(id) != self.inner.unknown_id {
                tokens.push(id, range);
            } else if self.is_too_long(&text[range.clone()]) {
                self.append_long_word(tokens, text, range)?;
            } else {
                tokens.unknown += 1;
                tokens.push(id, range);
            }
        }
        Ok(())
    }

    /// Whether `word` is unknown for no other reason than its length.
    fn is_too_long(&self, word: &str) -> bool {
        self.inner.max_word_chars > 0 && self.normalized_chars(word) > self.inner.max_word_chars
    }

    /// Adds the tokens of a word that is too long to be read at once, as those of several shorter ones.
    fn append_long_word(&self, tokens: &mut Tokens, text: &str, word: Range<usize>) -> Result<(), Error> {
        let mut part = word.start..word.start;
        let mut part_chars = 0;
        for character in text[word.clone()].graphemes(true) {
            let chars = self.normalized_chars(character);
            if part_chars + chars > self.inner.max_word_chars && !part.is_empty() {
                self.append_part(tokens, text, part.clone())?;
                part = part.end..part.end;
                part_chars = 0;
            }
            part.end += character.len();
            part_chars += chars;
        }
        self.append_part(tokens, text, part)
    }

    fn append_part(&self, tokens: &mut Tokens, text: &str, part: Range<usize>) -> Result<(), Error> {
        let encoding = self.encode(&text[part.clone()])?;
        for (&id, &(from, to)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            tokens.unknown += usize::from(Some(id) == self.inner.unknown_id);
            tokens.push(id, clamp(text, part.start + from..part.start + to));
        }
        Ok(())
    }

    /// Characters of `text` as the model reads it. A single byte counts as one without asking the normaliser, which
    /// would cost an allocation for each letter of a very long word; one that it drops only makes a part shorter.
    fn normalized_chars(&self, text: &str) -> usize {
        if text.len() == 1 {
            return 1;
        }
        let Some(normalizer) = self.inner.tokenizer.get_normalizer() else { return text.chars().count() };
        let mut normalized = NormalizedString::from(text);
        match normalizer.normalize(&mut normalized) {
            Ok(()) => normalized.get().chars().count(),
            Err(_) => text.chars().count(),
        }
    }
}

impl Tokens {
    /// Adds one id. A range that goes back behind the one before it is moved, so that `offsets` hold what they promise.
    fn push(&mut self, id: u32, range: Range<usize>) {
        let previous = self.offsets.last().cloned().unwrap_or(0..0);
        let start = range.start.max(previous.start as usize);
        let end = range.end.max(start).max(previous.end as usize);
        self.ids.push(id);
        self.offsets.push(start as u32..end as u32);
    }
}

/// The range of whole characters inside `text` that holds `range`. The tokenizer's bookkeeping of normalisation may be
/// off: end beyond the text, lie inside a character, or run backwards.
fn clamp(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(range.start);
    let end = text.ceil_char_boundary(range.end.min(text.len())).max(start);
    start..end
}

/// The ids before and after a text, read off a text that is certain to give a token.
fn specials(tokenizer: &Tokenizer) -> Result<(Vec<u32>, Vec<u32>), String> {
    let encoding = tokenizer.encode("a", true).map_err(|error| error.to_string())?;
    let mask = encoding.get_special_tokens_mask();
    let Some(first) = mask.iter().position(|&special| special == 0) else {
        return Err("it gives no token for the letter a".to_owned());
    };
    let last = mask.iter().rposition(|&special| special == 0).unwrap_or(first);
    let ids = encoding.get_ids();
    Ok((ids[..first].to_vec(), ids[last + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A BERT tokenizer whose vocabulary is letters, as pieces and as beginnings, and which asks for truncation to
    /// four ids and padding to six.
    fn letters() -> TextTokenizer {
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
            "padding": {"strategy": {"Fixed": 6}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
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
            assert!(
                range.start >= previous.start && range.end >= previous.end,
                "{previous:?} then {range:?} of {text:?}"
            );
            assert!(
                text.is_char_boundary(range.start as usize) && text.is_char_boundary(range.end as usize),
                "{text:?}"
            );
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
    fn a_range_is_brought_inside_its_text() {
        let text = "aé漢";
        assert_eq!(clamp(text, 0..1), 0..1);
        assert_eq!(clamp(text, 2..4), 1..6, "inside two characters");
        assert_eq!(clamp(text, 3..99), 3..6, "beyond the end");
        assert_eq!(clamp(text, 99..120), 6..6, "wholly beyond the end");
        let backwards = Range { start: 4, end: 1 };
        assert_eq!(clamp(text, backwards), 3..3, "backwards");
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
        let refused =
            TextTokenizer::from_bytes(Path::new("some/tokenizer.json"), b"{\"version\": \"1.0\", ").unwrap_err();
        assert!(matches!(&refused, Error::TokenizerFile { .. }) && refused.to_string().contains("some/tokenizer.json"));
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
            let whole = tokenizer.tokenize_by(&text, usize::MAX).unwrap();
            check_offsets(&text, &whole);
            prop_assert_eq!(tokenizer.tokenize_by(&text, segment_bytes).unwrap(), whole);
        }

        #[test]
        fn any_text_has_true_offsets(text in r"(\PC|[\n\r\t\u{0}\u{301}\u{200d}각漢]){0,300}") {
            check_offsets(&text, &letters().tokenize_by(&text, 64).unwrap());
        }
    }
}
