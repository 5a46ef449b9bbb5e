//! Walks over a text and finds what becomes a term: words, parts of identifiers, characters of runs.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;

use super::fold;
use super::script::{ASCII, Class, classify, continues_syllable, is_plain};

/// Something that becomes a term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// The bytes that it stands on.
    pub(super) byte_range: Range<usize>,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    /// The first part of the word before, in its place.
    FirstPart,
    /// A further part of an identifier.
    Part,
    /// One character of a run, or two, the second of which begins at this byte.
    Run(Option<usize>),
}

/// Walks over a text, term by term.
pub(super) struct Scanner<'a> {
    text: &'a str,
    /// Byte from which the next term is looked for.
    at: usize,
    /// The last character of a run, kept as the first half of the next pair.
    previous: Option<Range<usize>>,
    /// Whether words that are put together by capitals are taken apart as well.
    splits_identifiers: bool,
    /// What is left of an identifier, and whether its first part is.
    identifier: Option<(Range<usize>, bool)>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str, splits_identifiers: bool) -> Self {
        Self { text, at: 0, previous: None, splits_identifiers, identifier: None }
    }

    /// The next piece; none at the end of the text.
    pub(super) fn advance(&mut self) -> Option<Piece> {
        if let Some((rest, is_first)) = self.identifier.take() {
            let part = rest.start..rest.start + first_part(&self.text[rest.clone()]);
            if part.end < rest.end {
                self.identifier = Some((part.end..rest.end, false));
            }
            let kind = if is_first { Kind::FirstPart } else { Kind::Part };
            return Some(Piece { byte_range: part, kind });
        }
        loop {
            if let Some(previous) = self.previous.take()
                && let Some(next) = self.run_character()
            {
                let kind = Kind::Run(Some(next.start));
                let pair = previous.start..next.end;
                self.previous = Some(next);
                return Some(Piece { byte_range: pair, kind });
            }
            if self.skip_borders()? == Class::Word {
                let byte_range = self.word();
                if self.splits_identifiers && first_part(&self.text[byte_range.clone()]) < byte_range.len() {
                    self.identifier = Some((byte_range.clone(), true));
                }
                return Some(Piece { byte_range, kind: Kind::Word });
            }
            let first = self.run_character()?;
            let after_first = self.at;
            let is_alone = self.run_character().is_none();
            self.at = after_first;
            if is_alone {
                return Some(Piece { byte_range: first, kind: Kind::Run(None) });
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

/// Bytes of the first part of an identifier: `get` of `getHTTPName`, `HTTP` of `HTTPName`. Digits belong to the letters
/// before them.
pub(super) fn first_part(word: &str) -> usize {
    let mut characters = word.char_indices().peekable();
    let Some((_, mut previous)) = characters.next() else { return 0 };
    while let Some((at, c)) = characters.next() {
        if c.is_uppercase() {
            let next_is_lower = characters.peek().is_some_and(|(_, next)| next.is_lowercase());
            if !previous.is_uppercase() || next_is_lower {
                return at;
            }
        }
        previous = c;
    }
    word.len()
}

/// Writes one character of a run, or two, over `term`, in composed form (NFKC): halfwidth kana widened, jamo joined.
pub(super) fn write_run(text: &str, second: Option<usize>, term: &mut String) {
    term.clear();
    let (first, second) = text.split_at(second.unwrap_or(text.len()));
    push_run_character(first, term);
    push_run_character(second, term);
    fold::cut(term);
}

fn push_run_character(text: &str, term: &mut String) {
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
