//! How good a place each token's start is to cut the text at.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use crate::sentences::sentence_starts;

/// What a cut before a token falls between, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    /// Tokens that share a character.
    Shared,
    /// Characters, perhaps of one grapheme.
    Characters,
    /// Graphemes.
    Graphemes,
    /// Words that no white space parts.
    Words,
    /// Words that white space parts.
    Spaces,
    /// Lines.
    Lines,
    /// Sentences.
    Sentences,
    /// Paragraphs: an empty line stands between.
    Paragraphs,
}

/// The cuts that a text and its tokens offer. A cut is named by the token before which it falls.
pub(crate) struct Cuts<'a> {
    text: &'a str,
    offsets: &'a [Range<u32>],
    /// One for each token.
    grades: Vec<Cut>,
    /// For each token, the furthest end of the tokens before it.
    reached: Vec<u32>,
    /// Whether the three lowest grades above `Shared` are told apart. They seldom matter, and cost more than all others.
    refined: bool,
}

impl<'a> Cuts<'a> {
    /// Grades the cut before every token. `offsets` ascend by start and lie on character boundaries of `text`.
    pub(crate) fn new(text: &'a str, offsets: &'a [Range<u32>]) -> Self {
        let mut grades = Vec::with_capacity(offsets.len());
        let mut reached = Vec::with_capacity(offsets.len());
        let sentences = sentence_starts(text);
        let mut sentences = sentences.iter().copied().peekable();
        let mut blanks = Blanks::new(text);
        let (mut previous_start, mut furthest) = (None, 0);
        for offset in offsets {
            let start = offset.start;
            let apart = previous_start.is_none_or(|previous| start > previous) && start >= furthest;
            blanks.advance(start as usize);
            while sentences.next_if(|&sentence| sentence < start).is_some() {}
            let begins_sentence = sentences.peek() == Some(&start);
            grades.push(if !apart || start as usize >= text.len() {
                Cut::Shared
            } else if blanks.before_blank() || blanks.within_grapheme() {
                Cut::Characters
            } else if blanks.lines > 1 {
                Cut::Paragraphs
            } else if begins_sentence {
                Cut::Sentences
            } else if blanks.lines == 1 {
                Cut::Lines
            } else if blanks.spaces > 0 {
                Cut::Spaces
            } else if blanks.between_ascii() {
                Cut::Graphemes
            } else {
                Cut::Characters
            });
            reached.push(furthest);
            previous_start = Some(start);
            furthest = furthest.max(offset.end);
        }
        Self { text, offsets, grades, reached, refined: false }
    }

    /// Number of tokens; also the name of the cut at the end of the text.
    pub(crate) fn tokens(&self) -> usize {
        self.offsets.len()
    }

    /// The grade of a cut; both ends of the text count as ends of paragraphs.
    pub(crate) fn grade(&self, cut: usize) -> Cut {
        if cut == 0 { Cut::Paragraphs } else { self.grades.get(cut).copied().unwrap_or(Cut::Paragraphs) }
    }

    /// The grade of a cut, with the three lowest grades above `Shared` told apart.
    pub(crate) fn fine_grade(&mut self, cut: usize) -> Cut {
        if self.grade(cut) == Cut::Characters {
            self.refine();
        }
        self.grade(cut)
    }

    /// Tells graphemes and words apart where no white space does. Passes over the whole text, but only once.
    pub(crate) fn refine(&mut self) {
        if self.refined {
            return;
        }
        self.refined = true;
        let mut graphemes = self.text.grapheme_indices(true).map(|(start, _)| start as u32).peekable();
        let mut words = self.text.split_word_bound_indices().map(|(start, _)| start as u32).peekable();
        for (grade, offset) in self.grades.iter_mut().zip(self.offsets) {
            if !matches!(grade, Cut::Characters | Cut::Graphemes) {
                continue;
            }
            while graphemes.next_if(|&start| start < offset.start).is_some() {}
            while words.next_if(|&start| start < offset.start).is_some() {}
            if graphemes.peek() != Some(&offset.start) {
                continue;
            }
            // A cut between two blanks parts no words: the one after the last blank does.
            let blank = self.text[offset.start as usize..].starts_with(char::is_whitespace);
            *grade = if words.peek() == Some(&offset.start) && !blank { Cut::Words } else { Cut::Graphemes };
        }
    }

    /// The bytes that hold `tokens` and the text between them and up to the next token; not empty.
    ///
    /// The first window takes the text from its beginning, the last one up to its end.
    pub(crate) fn bytes(&self, tokens: &Range<usize>) -> Range<usize> {
        let start = if tokens.start == 0 { 0 } else { self.offsets[tokens.start].start as usize };
        let end = match self.offsets.get(tokens.end) {
            Some(next) => next.start.max(self.reached[tokens.end]) as usize,
            None => self.text.len(),
        };
        if start < end {
            return start..end;
        }
        // Only tokens without width are held: give them a character to stand on.
        match self.text[end..].chars().next() {
            Some(character) => start..end + character.len_utf8(),
            None => self.text.char_indices().next_back().map_or(0, |(last, _)| last)..end,
        }
    }
}

/// Counts the white space just before a position that only moves forward.
struct Blanks<'a> {
    text: &'a str,
    position: usize,
    /// Blanks since the last character that is none, line ends included.
    spaces: usize,
    /// Line ends since then.
    lines: usize,
}

impl<'a> Blanks<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, position: 0, spaces: 0, lines: 0 }
    }

    /// Moves to byte `to`.
    fn advance(&mut self, to: usize) {
        let mut previous = '\0';
        for character in self.text[self.position.min(to)..to].chars() {
            if character.is_whitespace() {
                self.spaces += 1;
                self.lines += match character {
                    // CR LF ends one line.
                    '\n' if previous == '\r' => 0,
                    '\n' | '\r' | '\u{85}' | '\u{2028}' => 1,
                    '\u{2029}' => 2,
                    _ => 0,
                };
            } else {
                (self.spaces, self.lines) = (0, 0);
            }
            previous = character;
        }
        self.position = to;
    }

    fn before_blank(&self) -> bool {
        self.text[self.position..].starts_with(char::is_whitespace)
    }

    /// Whether both characters around the position are ASCII and not blank, so that no grapheme holds both.
    fn between_ascii(&self) -> bool {
        let around = &self.text.as_bytes()[self.position.saturating_sub(1)..=self.position];
        around.iter().all(u8::is_ascii_graphic)
    }

    /// Whether the characters around the position, seen by themselves, form one grapheme. Flags are told apart only by what
    /// stands before them, so that two of them may be two graphemes all the same.
    fn within_grapheme(&self) -> bool {
        let (before, after) = self.text.split_at(self.position);
        if after.as_bytes()[0].is_ascii() {
            return false;
        }
        let first = before.char_indices().next_back().map_or(0, |(index, _)| index);
        let width = after.chars().next().map_or(0, char::len_utf8);
        self.text[first..self.position + width].graphemes(true).count() == 1 && self.position > 0
    }
}
