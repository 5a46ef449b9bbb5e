//! Text to token ids with true byte offsets. Only this file and those below it name `tokenizers`.
//!
//! What a `tokenizer.json` asks for beyond that is undone here: it may truncate, pad, read `[SEP]` in a user's text as
//! the end of it, and make one unknown token of any very long word.

mod door;
mod offsets;
mod template;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use berth_types::Head;
use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::{Encoding, NormalizedString, Normalizer, Tokenizer};
use unicode_segmentation::UnicodeSegmentation;

use self::offsets::{Lowered, clamp, trimmed};
pub(crate) use self::template::PairTemplate;
use self::template::Template;
use crate::encoder::TOKENIZER;
use crate::model::read_at_most;
use crate::segments::{Cuts, segments};
use crate::{Error, InstalledModel};

/// Bytes that are tokenised at once. Tokenising holds some forty times its text in memory, and one run over a text
/// is no faster than many of this size (measured).
const SEGMENT_BYTES: usize = 8 * 1024;

const CONFIG: &str = "config.json";
/// Bytes of the largest published `tokenizer.json` (250,000 pieces), ten times over.
const LARGEST_FILE: u64 = 256 << 20;

/// A model's tokenizer. Cheap to clone and to share between threads.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    inner: Arc<Inner>,
}

#[derive(Debug, Clone)]
struct Inner {
    tokenizer: Tokenizer,
    /// The same, reading the mask token where a text spells it.
    masking: Option<Tokenizer>,
    mask_id: Option<u32>,
    unknown_id: Option<u32>,
    /// Longer words become one unknown token, in characters after normalisation; 0 where there is no such limit.
    max_word_chars: usize,
    template: Template,
    cuts: Cuts,
    lowercase: bool,
}

/// What vocabularies call the token that stands for one to be guessed.
const MASK_TOKENS: [&str; 2] = ["[MASK]", "<mask>"];

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
    /// For each id, the number of the word that it is a piece of, from 0; never decreases.
    pub word_of: Vec<u32>,
    /// Words that the ids are pieces of.
    pub words: usize,
}

impl TextTokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// `FileMissing` or `Read` when there is none, `TokenizerFile` when it cannot be used.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::from_bytes(path, &read_at_most(path, LARGEST_FILE)?)
    }

    /// The tokenizer of an installed model, made ready for `head`.
    ///
    /// # Errors
    /// `FileMissing`, `FileChanged` or `TokenizerFile` when its file cannot be used, `VocabularyTooSmall` when it gives
    /// ids that the model does not have.
    pub fn of(model: &InstalledModel, head: Head) -> Result<Self, Error> {
        let path = model.dir().join(TOKENIZER);
        let bytes = model.read_checked(TOKENIZER)?;
        let tokenizer = Self::from_bytes(&path, &bytes)?.lowercasing(model.card().lowercase);
        if model.files().contains_key(CONFIG) {
            let config: Option<Value> = serde_json::from_slice(&model.read_checked(CONFIG)?).ok();
            let vocabulary = config.and_then(|config| config["vocab_size"].as_u64()).unwrap_or(u64::MAX);
            let largest = tokenizer.largest_id();
            if u64::from(largest) >= vocabulary {
                return Err(Error::VocabularyTooSmall { path, largest, vocabulary });
            }
        }
        if head == Head::FillMask { tokenizer.reading_mask(&path, &bytes) } else { Ok(tokenizer) }
    }

    /// Reads the `bytes` of a `tokenizer.json`; `path` is where they come from.
    ///
    /// # Errors
    /// `TokenizerFile` when they cannot be used.
    pub(crate) fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let unusable = |message: String| Error::TokenizerFile { path: path.to_path_buf(), message };
        let read = || {
            let mut tokenizer = plain(bytes)?;
            let template = Template::of(&tokenizer)?;
            // From here on a text that spells out a special token is only text.
            tokenizer.set_encode_special_tokens(true);
            let cuts = cuts(&tokenizer)?;
            Ok((tokenizer, template, cuts))
        };
        let (tokenizer, template, cuts) = door::guarded(read).map_err(unusable)?;

        let (unknown_token, max_word_chars) = match tokenizer.get_model() {
            ModelWrapper::WordPiece(model) => (Some(model.unk_token.clone()), model.max_input_chars_per_word),
            ModelWrapper::WordLevel(model) => (Some(model.unk_token.clone()), 0),
            ModelWrapper::BPE(model) => (model.unk_token.clone(), 0),
            // The piece's name is not public; sentencepiece calls it so unless told otherwise.
            ModelWrapper::Unigram(_) => (Some("<unk>".to_owned()), 0),
        };
        let unknown_id = unknown_token.and_then(|token| tokenizer.token_to_id(&token));
        let mask_id = MASK_TOKENS.iter().find_map(|token| tokenizer.token_to_id(token));
        let (masking, lowercase) = (None, false);
        let inner = Inner { tokenizer, masking, mask_id, unknown_id, max_word_chars, template, cuts, lowercase };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The same tokenizer, lower-casing each text first where `lowercase` says so.
    #[must_use]
    pub(crate) fn lowercasing(self, lowercase: bool) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.inner);
        inner.lowercase = lowercase;
        Self { inner: Arc::new(inner) }
    }

    /// The same tokenizer, which can read the mask token in a text: see [`Self::tokenize_masked`]. `path` and `bytes`
    /// are those that it was made of.
    ///
    /// # Errors
    /// `TokenizerFile` when they cannot be used, or when there is no mask token.
    pub(crate) fn reading_mask(self, path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let unusable = |message: String| Error::TokenizerFile { path: path.to_path_buf(), message };
        let mut file: Value = serde_json::from_slice(bytes).map_err(|error| unusable(error.to_string()))?;
        let mut added = file["added_tokens"].as_array_mut().into_iter().flatten();
        let Some(mask) = added.find(|token| token["content"].as_str().is_some_and(|text| MASK_TOKENS.contains(&text)))
        else {
            return Err(unusable(format!("it has no mask token ({})", MASK_TOKENS.join(" or "))));
        };
        // Special tokens are only text; one that is not special is read where it stands.
        mask["special"] = Value::Bool(false);
        let mut masking = plain(file.to_string().as_bytes()).map_err(unusable)?;
        masking.set_encode_special_tokens(true);
        let mut inner = Arc::unwrap_or_clone(self.inner);
        inner.masking = Some(masking);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Tokenises the whole of `text`: no special tokens, no truncation, no padding.
    ///
    /// # Errors
    /// `Tokenize` when the tokenizer fails, or when the text has 4 GiB or more.
    pub fn tokenize(&self, text: &str) -> Result<Tokens, Error> {
        self.tokenize_by(&self.inner.tokenizer, text, SEGMENT_BYTES)
    }

    /// Tokenises the whole of `text`, in which the mask token may be spelled; every other special token is only text.
    ///
    /// # Errors
    /// As [`Self::tokenize`].
    pub fn tokenize_masked(&self, text: &str) -> Result<Tokens, Error> {
        let tokenizer = self.inner.masking.as_ref().unwrap_or(&self.inner.tokenizer);
        self.tokenize_by(tokenizer, text, SEGMENT_BYTES)
    }

    fn tokenize_by(&self, tokenizer: &Tokenizer, text: &str, segment_bytes: usize) -> Result<Tokens, Error> {
        let lowered = self.inner.lowercase.then(|| Lowered::of(text));
        let read = lowered.as_ref().map_or(text, |lowered| lowered.text.as_str());
        if u32::try_from(text.len().max(read.len())).is_err() {
            return Err(Error::Tokenize { message: format!("{} bytes are more than 4 GiB", text.len()) });
        }
        let mut tokens = Tokens::default();
        for segment in segments(read, segment_bytes, self.inner.cuts) {
            let encoding = encode(tokenizer, &read[segment.clone()])?;
            self.append(&mut tokens, read, segment.start, &encoding)?;
        }
        if let Some(lowered) = lowered {
            for range in &mut tokens.offsets {
                let back = lowered.back(range.clone());
                let back = clamp(text, back.start as usize..back.end as usize);
                *range = back.start as u32..back.end as u32;
            }
        }
        Ok(tokens)
    }

    /// Ids that open every row.
    pub fn prefix(&self) -> &[u32] {
        &self.inner.template.prefix
    }

    /// Ids that close every row.
    pub fn suffix(&self) -> &[u32] {
        &self.inner.template.suffix
    }

    /// Ids that a row has beside its text.
    pub fn special_tokens(&self) -> usize {
        self.inner.template.prefix.len() + self.inner.template.suffix.len()
    }

    /// What stands around two texts in one row.
    pub(crate) fn pair_template(&self) -> &PairTemplate {
        &self.inner.template.pair
    }

    /// The id of a piece of the vocabulary, special tokens included.
    pub fn id_of(&self, piece: &str) -> Option<u32> {
        self.inner.tokenizer.token_to_id(piece)
    }

    /// The piece of the vocabulary that `id` is, as the tokenizer's file has it; none for an id that there is not.
    pub fn piece(&self, id: u32) -> Option<String> {
        self.inner.tokenizer.id_to_token(id)
    }

    /// What `id` reads as in running text.
    pub fn decoded(&self, id: u32) -> String {
        self.inner.tokenizer.decode(&[id], false).unwrap_or_default().trim().to_owned()
    }

    /// What `ids` read as in running text; `without_special` leaves out special tokens.
    ///
    /// # Errors
    /// `Tokenize`.
    pub fn decode(&self, ids: &[u32], without_special: bool) -> Result<String, Error> {
        let decoded = self.inner.tokenizer.decode(ids, without_special);
        decoded.map_err(|error| Error::Tokenize { message: error.to_string() })
    }

    /// The id that stands for something outside the vocabulary, where there is one.
    pub fn unknown_id(&self) -> Option<u32> {
        self.inner.unknown_id
    }

    /// The id of the mask token, where there is one.
    pub fn mask_id(&self) -> Option<u32> {
        self.inner.mask_id
    }

    /// Pieces of the vocabulary, special tokens included.
    pub fn vocabulary_size(&self) -> usize {
        self.inner.tokenizer.get_vocab_size(true)
    }

    /// The largest id that a text or a special token can become.
    pub(crate) fn largest_id(&self) -> u32 {
        self.inner.tokenizer.get_vocab(true).into_values().max().unwrap_or(0)
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
            let range = trimmed(text, clamp(text, start + from..start + to));
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
        let encoding = encode(&self.inner.tokenizer, &text[part.clone()])?;
        for (&id, &(from, to)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            tokens.unknown += usize::from(Some(id) == self.inner.unknown_id);
            tokens.push(id, trimmed(text, clamp(text, part.start + from..part.start + to)));
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
    /// Leaves the first `count` ids, and the memory of the others free. `unknown` and `words` still count all.
    pub(crate) fn keep_first(&mut self, count: usize) {
        self.ids.truncate(count);
        self.ids.shrink_to_fit();
        self.offsets.truncate(count);
        self.offsets.shrink_to_fit();
        self.word_of.truncate(count);
        self.word_of.shrink_to_fit();
    }

    /// Adds one id. A range that goes back behind the one before it is moved, so that `offsets` hold what they promise.
    fn push(&mut self, id: u32, range: Range<usize>) {
        let previous = self.offsets.last().cloned().unwrap_or(0..0);
        let start = range.start.max(previous.start as usize);
        let end = range.end.max(start).max(previous.end as usize);
        self.ids.push(id);
        self.word_of.push(self.words.saturating_sub(1) as u32);
        self.offsets.push(start as u32..end as u32);
    }
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Encoding, Error> {
    let encode = || tokenizer.encode(text, false).map_err(|error| error.to_string());
    door::guarded(encode).map_err(|message| Error::Tokenize { message })
}

/// The tokenizer of a file, without the truncation and the padding that it may ask for.
fn plain(bytes: &[u8]) -> Result<Tokenizer, String> {
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| error.to_string())?;
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
    Ok(tokenizer)
}

/// Where a long text may be cut without changing a token, as the tokenizer's own answers show. One that puts a space
/// before each text it is given must not be given a line feed first; one whose pieces span ideographs must be given
/// them together.
fn cuts(tokenizer: &Tokenizer) -> Result<Cuts, String> {
    let ids = |text: &str| -> Result<Vec<u32>, String> {
        Ok(tokenizer.encode(text, false).map_err(|error| error.to_string())?.get_ids().to_vec())
    };
    let parts = |left: &str, right: &str| -> Result<bool, String> {
        Ok([ids(left)?, ids(right)?].concat() == ids(&format!("{left}{right}"))?)
    };
    Ok(Cuts { before_line_feed: parts("a", "\nb")?, beside_word: parts("漢", "字")? && parts("a", ",b")? })
}

#[cfg(test)]
mod tests;
