//! Turns text into the terms of the lexical half; the same way for documents, queries and highlights.
//!
//! - Words of scripts with word borders are decomposed (NFKD), lower-cased, freed of accents, and stemmed where they
//!   consist of Latin letters only. Letters and digits belong together (`b12`), everything else is a border:
//!   `covid-19` is `covid` and `19`, `get_file_name` is `get`, `file` and `name`.
//! - Runs of Han, kana, Hangul, Thai, Lao, Khmer and Myanmar become overlapping pairs of characters, a lone one
//!   stands for itself: `한국어를` is `한국`, `국어`, `어를`. A run ends where another kind of script begins.
//! - An apostrophe is a border, and what it cuts off the end of an English word (`'s`, `n't`'s `t`, `'ll`) is no term.
//! - No word is dropped for its length: what exceeds 255 bytes is cut to that.
//! - There are no stop words: leaving out the 33 commonest cost .001 nDCG@10 on SciFact's train and .005 on CoSQA's dev
//!   questions. Splitting at `_` gains .051 on CoSQA; splitting camelCase as well changed neither by more than .002.

mod fold;
mod script;

use std::cell::RefCell;
use std::ops::Range;

use tantivy::Index;
use tantivy::tokenizer::{TextAnalyzer, Token, TokenStream, Tokenizer};
use unicode_normalization::UnicodeNormalization;

use fold::Stems;
use script::{ASCII, Class, classify, continues_syllable, is_plain};

/// Name of the analyser in an index's schema. It changes whenever the analyser gives other terms for some text, so
/// that an index is never asked for words that it spells differently.
pub(crate) const ANALYZER: &str = "berth_1";

/// Makes the analyser known to an index; needed after each open, before reading or writing.
pub(crate) fn register(index: &Index) {
    index.tokenizers().register(ANALYZER, TextAnalyzer::from(Analyzer::default()));
}

/// A term and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnalysedTerm {
    /// The term as it is in the index, at most 255 bytes.
    pub text: String,
    /// The bytes of the analysed text that gave the term.
    pub byte_range: Range<usize>,
}

/// Analyses `text` as documents are analysed, in order of appearance.
pub(crate) fn terms(text: &str) -> Vec<AnalysedTerm> {
    thread_local! {
        // The stem cache outlives a call, since queries are short and many.
        static STEMS: RefCell<Stems> = RefCell::default();
    }
    STEMS.with_borrow_mut(|stems| {
        let mut scanner = Scanner::new(text);
        let mut term = String::new();
        let mut terms = Vec::new();
        while let Some(byte_range) = scanner.advance(stems, &mut term) {
            terms.push(AnalysedTerm { text: term.clone(), byte_range });
        }
        terms
    })
}

/// A word as terms begin with it: folded, not stemmed.
pub(crate) fn folded(word: &str) -> String {
    let mut term = String::new();
    fold::fold(word, &mut term);
    term
}

/// Whether a term is one character of a run, which stands in documents as part of pairs unless it is alone there too.
pub(crate) fn is_lone(term: &str) -> bool {
    let mut characters = term.chars();
    characters.next().is_some_and(|c| classify(c) == Class::Dense) && characters.next().is_none()
}

/// The analyser as tantivy wants it.
#[derive(Clone, Default)]
struct Analyzer {
    stems: Stems,
}

impl Tokenizer for Analyzer {
    type TokenStream<'a> = Analysis<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Analysis<'a> {
        Analysis { scanner: Scanner::new(text), stems: &mut self.stems, token: Token::default() }
    }
}

/// One text on its way through the analyser.
struct Analysis<'a> {
    scanner: Scanner<'a>,
    stems: &'a mut Stems,
    token: Token,
}

impl TokenStream for Analysis<'_> {
    fn advance(&mut self) -> bool {
        let Some(byte_range) = self.scanner.advance(self.stems, &mut self.token.text) else {
            return false;
        };
        self.token.offset_from = byte_range.start;
        self.token.offset_to = byte_range.end;
        // The first position is 0: it starts at the largest number.
        self.token.position = self.token.position.wrapping_add(1);
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

/// Walks over a text, term by term.
struct Scanner<'a> {
    text: &'a str,
    /// Byte from which the next term is looked for.
    at: usize,
    /// The last character of a run, kept as the first half of the next pair.
    previous: Option<Range<usize>>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, previous: None }
    }

    /// Writes the next term over `term` and returns where it stands; none at the end of the text.
    fn advance(&mut self, stems: &mut Stems, term: &mut String) -> Option<Range<usize>> {
        loop {
            if let Some(previous) = self.previous.take()
                && let Some(next) = self.run_character()
            {
                let pair = previous.start..next.end;
                term.clear();
                self.push_run_character(previous, term);
                self.push_run_character(next.clone(), term);
                fold::cut(term);
                self.previous = Some(next);
                return Some(pair);
            }
            if self.skip_borders()? == Class::Word {
                let word = self.word();
                fold::fold(&self.text[word.clone()], term);
                stems.apply(term);
                return Some(word);
            }
            let first = self.run_character()?;
            let after_first = self.at;
            let is_alone = self.run_character().is_none();
            self.at = after_first;
            if is_alone {
                term.clear();
                self.push_run_character(first.clone(), term);
                fold::cut(term);
                return Some(first);
            }
            self.previous = Some(first);
        }
    }

    /// Moves to the next letter or digit and tells its class; none at the end of the text.
    fn skip_borders(&mut self) -> Option<Class> {
        let bytes = self.text.as_bytes();
        loop {
            let byte = *bytes.get(self.at)?;
            if byte.is_ascii() {
                if ASCII[byte as usize] == Class::Word {
                    return Some(Class::Word);
                }
                self.at += 1;
                continue;
            }
            let (c, class) = self.peek()?;
            if matches!(class, Class::Word | Class::Dense) {
                return Some(class);
            }
            self.at += c.len_utf8();
        }
    }

    /// Takes a word that starts here, together with a contraction's tail, and returns the word's range.
    fn word(&mut self) -> Range<usize> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        loop {
            while self.at < bytes.len() && bytes[self.at].is_ascii_alphanumeric() {
                self.at += 1;
            }
            match self.peek() {
                Some((c, Class::Word | Class::Mark)) => self.at += c.len_utf8(),
                _ => break,
            }
        }
        let word = start..self.at;
        self.at += contraction_bytes(&self.text[self.at..]);
        word
    }

    /// Takes one character of a run with all that belongs to it; none where the run ends.
    fn run_character(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let (first, Class::Dense) = self.peek()? else { return None };
        self.at += first.len_utf8();
        while let Some((c, class)) = self.peek() {
            if class != Class::Mark && !continues_syllable(c) {
                break;
            }
            self.at += c.len_utf8();
        }
        Some(start..self.at)
    }

    /// Appends a character of a run in composed form (NFKC): halfwidth kana widened, jamo joined to syllables.
    fn push_run_character(&self, byte_range: Range<usize>, term: &mut String) {
        let text = &self.text[byte_range];
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(c), None) if is_plain(c) => term.push(c),
            // A character with hundreds of marks is cut, as words are.
            _ => {
                let text = &text[..text.floor_char_boundary(fold::MAX_TERM_BYTES / 2)];
                term.extend(text.nfkc().filter(|&c| classify(c) != Class::Border && !is_invisible(c)));
            }
        }
    }

    fn peek(&self) -> Option<(char, Class)> {
        let c = self.text[self.at..].chars().next()?;
        Some((c, classify(c)))
    }
}

/// Bytes of an English contraction's tail at the start of `rest`, apostrophe included; 0 when there is none.
fn contraction_bytes(rest: &str) -> usize {
    let Some(apostrophe) = rest.chars().next().filter(|c| matches!(c, '\'' | '\u{2019}' | '\u{ff07}')) else {
        return 0;
    };
    let after = &rest[apostrophe.len_utf8()..];
    let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
    let is_tail = ["s", "t", "d", "m", "ll", "re", "ve"].iter().any(|tail| after[..letters].eq_ignore_ascii_case(tail));
    let ends_there = after[letters..].chars().next().is_none_or(|c| !matches!(classify(c), Class::Word | Class::Mark));
    if is_tail && ends_there { apostrophe.len_utf8() + letters } else { 0 }
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}')
}

#[cfg(test)]
mod tests;
