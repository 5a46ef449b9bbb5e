//! Shows people where a text has the words they asked for.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use crate::Question;
use crate::analysis::{self, Analyses, changes};
use crate::lexical::words_of_question;

/// What is painted for a question.
#[derive(Debug)]
pub struct Highlighter {
    analyses: Analyses,
    /// Terms, in whichever language.
    terms: HashSet<String>,
    /// Whether a word is painted whose first character is one of the terms: such a question does not say how long the word
    /// is.
    by_first_character: bool,
    /// What words of the question with `*` and `~` stand for.
    open: Vec<Open>,
}

/// Words that are not spelt out, folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Open {
    /// That begin so.
    Prefix(String),
    /// That so many changed, swapped, missing or further letters turn into this one.
    Fuzzy(String, u8),
}

impl Highlighter {
    /// Paints the words of a query in plain words, in English texts.
    pub fn new(query: &str) -> Self {
        Self::with(query, Vec::new(), &Analyses::default())
    }

    pub(crate) fn of(question: &Question, analyses: &Analyses) -> Self {
        Self::with(&question.marked(), question.open_words(), analyses)
    }

    /// Function words are left out unless the query has nothing else.
    fn with(query: &str, open: Vec<Open>, analyses: &Analyses) -> Self {
        let mut wanted = HashSet::new();
        let mut function_words = HashSet::new();
        for word in words_of_question(query, analyses) {
            let written = query[word.byte_range.clone()].to_lowercase();
            let terms = if analyses.is_function_word(&written) { &mut function_words } else { &mut wanted };
            terms.extend(word.distinct());
        }
        let terms = if wanted.is_empty() && open.is_empty() { function_words } else { wanted };
        let by_first_character = !terms.is_empty() && terms.iter().all(|term| analysis::is_lone(term));
        Self { analyses: analyses.clone(), terms, by_first_character, open }
    }

    /// Byte ranges of the words in `text` that the query has too, in whichever form; sorted, without overlap.
    ///
    /// The same analysis as in search decides what matches, so that `cafés` in a text answers to `cafe`. Overlapping pairs
    /// of characters become one range.
    pub fn ranges(&self, text: &str) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        if self.terms.is_empty() && self.open.is_empty() {
            return ranges;
        }
        for word in analysis::words(text, &self.analyses) {
            let mut range = word.byte_range.clone();
            if !word.terms.iter().any(|term| self.terms.contains(term)) && !self.is_open(&text[range.clone()]) {
                let Some(first) = word.terms[0].chars().next().filter(|_| self.by_first_character) else { continue };
                if !self.terms.contains(first.encode_utf8(&mut [0; 4]) as &str) {
                    continue;
                }
                range.end = range.start + text[range.clone()].graphemes(true).next().map_or(0, str::len);
            }
            match ranges.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => ranges.push(range),
            }
        }
        ranges
    }

    /// Whether a word is one of those that are not spelt out.
    fn is_open(&self, word: &str) -> bool {
        !self.open.is_empty() && {
            let word = analysis::folded(word);
            self.open.iter().any(|open| match open {
                Open::Prefix(prefix) => word.starts_with(prefix),
                Open::Fuzzy(wanted, distance) => changes(&word, wanted) <= usize::from(*distance),
            })
        }
    }
}

/// The part of `text` that says most about its highlights: at most `max_chars` characters, cut between words.
///
/// The part holds as many different highlighted words as fit; among equals as many highlights, and then the first.
/// `highlights` are byte ranges of `text`, sorted and without overlap, as [`Highlighter::ranges`] returns them. The start of the text
/// when there are none.
pub fn snippet(text: &str, highlights: &[Range<usize>], max_chars: usize) -> Range<usize> {
    if text.chars().nth(max_chars).is_none() {
        return 0..text.len();
    }
    let cuts = Cuts::new(text);
    let window = best_window(text, &cuts, highlights, max_chars).unwrap_or(0..0);
    // What room is left goes to both sides, less to the front, where a reader needs less.
    let (first, last) = (cuts.char_of(window.start), cuts.char_of(window.end));
    let room = max_chars.saturating_sub(last - first);
    let mut start = first.saturating_sub(room / 3);
    let end = (start + max_chars).min(cuts.chars());
    start = end.saturating_sub(max_chars).min(start);
    cuts.inside(start..end, window)
}

/// The run of highlights that fits into `max_chars` and has most different words; none without highlights.
fn best_window(text: &str, cuts: &Cuts, highlights: &[Range<usize>], max_chars: usize) -> Option<Range<usize>> {
    let words: Vec<String> = highlights.iter().map(|highlight| text[highlight.clone()].to_lowercase()).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut best: Option<(usize, usize, Range<usize>)> = None;
    let mut first = 0;
    for last in 0..highlights.len() {
        *counts.entry(&words[last]).or_default() += 1;
        let end = cuts.char_of(highlights[last].end);
        while first < last && end - cuts.char_of(highlights[first].start) > max_chars {
            if let Some(count) = counts.get_mut(words[first].as_str()) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(words[first].as_str());
                }
            }
            first += 1;
        }
        let (distinct, total) = (counts.len(), last - first + 1);
        if best.as_ref().is_none_or(|best| (distinct, total) > (best.0, best.1)) {
            best = Some((distinct, total, highlights[first].start..highlights[last].end));
        }
    }
    best.map(|(_, _, window)| window)
}

/// Where a text can be cut, and how many characters stand before each byte.
struct Cuts<'a> {
    text: &'a str,
    /// Byte and character offset of each border between words, the ends of the text included.
    borders: Vec<(usize, usize)>,
}

/// Words longer than this can be cut anywhere.
const LONGEST_WHOLE_WORD_CHARS: usize = 40;

impl<'a> Cuts<'a> {
    fn new(text: &'a str) -> Self {
        let mut borders = vec![(0, 0)];
        let mut chars = 0;
        for (start, word) in text.split_word_bound_indices() {
            let word_chars = word.chars().count();
            if word_chars > LONGEST_WHOLE_WORD_CHARS {
                let mut within = chars;
                for (offset, part) in word.grapheme_indices(true) {
                    borders.push((start + offset, within));
                    within += part.chars().count();
                }
            }
            chars += word_chars;
            borders.push((start + word.len(), chars));
        }
        borders.dedup();
        Self { text, borders }
    }

    /// Characters of the text.
    fn chars(&self) -> usize {
        self.borders.last().map_or(0, |&(_, chars)| chars)
    }

    /// Characters before a byte.
    fn char_of(&self, byte: usize) -> usize {
        let next = self.borders.partition_point(|&(border, _)| border <= byte);
        let (border, chars) = self.borders[next - 1];
        chars + self.text[border..byte].chars().count()
    }

    /// The largest part between borders within a range of characters, without the white space at its ends. Where no
    /// border is left, or a part of `window` would be lost, characters are cut.
    fn inside(&self, chars: Range<usize>, window: Range<usize>) -> Range<usize> {
        let after_start = self.borders.partition_point(|&(_, border)| border < chars.start);
        let before_end = self.borders.partition_point(|&(_, border)| border <= chars.end);
        let start = self.borders.get(after_start).map_or(self.text.len(), |&(byte, _)| byte);
        let end = self.borders[before_end - 1].0;
        let keeps_window = window.is_empty() || (start <= window.start && window.end <= end);
        if !keeps_window || start >= end {
            return self.byte_of(chars.start)..self.byte_of(chars.end);
        }
        let part = &self.text[start..end];
        let leading = part.len() - part.trim_start().len();
        let trimmed = part.trim();
        if trimmed.is_empty() { start..end } else { start + leading..start + leading + trimmed.len() }
    }

    /// The byte at which the character with this number starts.
    fn byte_of(&self, char: usize) -> usize {
        let next = self.borders.partition_point(|&(_, border)| border <= char);
        let (byte, border) = self.borders[next - 1];
        let rest = &self.text[byte..];
        byte + rest.char_indices().nth(char - border).map_or(rest.len(), |(offset, _)| offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analysis::Analysis;
    use berth_types::Language;

    fn check(query: &str, text: &str, expected: &[&str]) {
        let found: Vec<&str> = Highlighter::new(query).ranges(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(found, expected, "{query:?} in {text:?}");
    }

    #[test]
    fn paints_words_in_whichever_form() {
        check("cafe running", "Cafés run; the runner", &["Cafés", "run"]);
        check("the effect of aspirin", "The effects of Aspirin on the heart", &["effects", "Aspirin"]);
        check("what is this", "This is what", &["This", "is", "what"]);
        check("한국어를", "한국어로 쓴 한국", &["한국어", "한국"]);
        check("file name", "def get_file_name():", &["file", "name"]);
        check("책", "책을 읽고 소책자와 책", &["책", "책", "책"]);
        check("title:heart", "heart", &["heart"]);
        check("?!", "heart?!", &[]);
        check("heart", "", &[]);
    }

    #[test]
    fn paints_what_stands_for_many_words() {
        let painted = |open: Open, text: &str| {
            let ranges = Highlighter::with("", vec![open], &Analyses::default()).ranges(text);
            ranges.into_iter().map(|range| text[range].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(painted(Open::Prefix("moori".to_owned()), "Mooring, moored, MOORINGS"), ["Mooring", "MOORINGS"]);
        assert_eq!(
            painted(Open::Fuzzy("color".to_owned(), 1), "colour cloor colours dolor"),
            ["colour", "cloor", "dolor"]
        );
    }

    #[test]
    fn paints_words_of_every_language_of_the_index() {
        let mut analyses = Analyses::default();
        for language in [Language::English, Language::German] {
            analyses.insert(Analysis { language: Some(language), identifiers: false });
        }
        let check = |query: &str, text: &str, expected: &[&str]| {
            let ranges = Highlighter::with(query, Vec::new(), &analyses).ranges(text);
            let found: Vec<&str> = ranges.into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, expected, "{query:?} in {text:?}");
        };
        check("Häfen", "im Hafen und in den Häfen", &["Hafen", "Häfen"]);
        check("der Hafen und das Meer", "das Meer und der Hafen", &["Meer", "Hafen"]);
        check("running", "they run", &["run"]);
    }

    #[test]
    fn a_short_text_is_shown_whole() {
        assert_eq!(snippet("한국어 abc", &[], 7), 0..13);
        assert_eq!(snippet("", &[], 0), 0..0);
    }

    #[test]
    fn shows_the_part_with_most_different_words() {
        let text = format!("heart heart heart {} aspirin and the heart {}", "x ".repeat(100), "y ".repeat(100));
        let part = &text[snippet(&text, &Highlighter::new("heart aspirin").ranges(&text), 40)];
        assert!(part.contains("aspirin and the heart") && part.chars().count() <= 40, "{part:?}");
        let start = snippet(&text, &[], 14);
        assert_eq!(&text[start], "heart heart");
    }

    #[test]
    fn a_text_without_borders_is_cut_between_characters() {
        let text = "漢".repeat(100);
        assert_eq!(snippet(&text, std::slice::from_ref(&(150..156)), 10).len(), 30);
        let word = "é".repeat(100_000);
        assert_eq!(snippet(&word, &Highlighter::new(&word).ranges(&word), 10).len(), 20);
    }

    proptest! {
        #[test]
        fn ranges_are_sorted_disjoint_and_on_borders(
            query in "[a-z 한국어東京é']{0,12}", text in "[a-z 한국어東京é'\u{301}]{0,60}|\\PC{0,40}",
        ) {
            let mut end = 0;
            for range in Highlighter::new(&query).ranges(&text) {
                prop_assert!(range.start >= end && range.end > range.start);
                prop_assert!(text.get(range.clone()).is_some());
                end = range.end;
            }
        }

        #[test]
        fn a_snippet_fits_and_shows_a_highlight(
            query in "[a-e]{1,3} [a-e]", text in "([a-e]{1,3}[ .\n]{1,2}|한국|é\u{301}){0,80}", max_chars in 0..60_usize,
        ) {
            let highlights = Highlighter::new(&query).ranges(&text);
            let range = snippet(&text, &highlights, max_chars);
            let part = text.get(range.clone());
            prop_assert!(part.is_some_and(|part| part.chars().count() <= max_chars));
            if max_chars >= 8 && let Some(first) = highlights.first() {
                let shown = |highlight: &Range<usize>| range.start <= highlight.start && highlight.end <= range.end;
                prop_assert!(highlights.iter().any(shown), "{first:?} {range:?}");
            }
        }
    }
}
