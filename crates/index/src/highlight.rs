//! Shows people where a text has the words they asked for.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use crate::analysis;
use crate::lexical::query_terms;

/// English words that stand in nearly every sentence, sorted: painting them would hide the rest. They are still
/// searched for.
const UNPAINTED: [&str; 76] = [
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can",
    "could", "did", "do", "does", "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in",
    "into", "is", "it", "its", "me", "my", "no", "not", "of", "on", "or", "our", "she", "should", "so", "such", "than",
    "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "to", "us", "was", "we", "were",
    "what", "when", "where", "which", "who", "why", "will", "with", "would", "you", "your", "yours",
];

/// Byte ranges of the words in `text` that the query has too, in whichever form; sorted, without overlap.
///
/// The same analysis as in search decides what matches, so that `cafés` in a text answers to `cafe`. Overlapping pairs
/// of characters become one range. English function words are left out unless the query has nothing else.
pub fn ranges(query: &str, text: &str) -> Vec<Range<usize>> {
    let mut wanted = HashSet::new();
    let mut unpainted = HashSet::new();
    for found in query_terms(query) {
        let word = query[found.term.byte_range].to_ascii_lowercase();
        let terms = if UNPAINTED.binary_search(&word.as_str()).is_ok() { &mut unpainted } else { &mut wanted };
        terms.insert(found.term.text);
    }
    let wanted = if wanted.is_empty() { unpainted } else { wanted };
    if wanted.is_empty() {
        return Vec::new();
    }
    // Such a question finds pairs that begin with its characters; it does not say how long the word is.
    let by_first_character = wanted.iter().all(|term| analysis::is_lone(term));
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for mut term in analysis::terms(text) {
        if !wanted.contains(&term.text) {
            let Some(first) = term.text.chars().next().filter(|_| by_first_character) else { continue };
            if !wanted.contains(first.encode_utf8(&mut [0; 4]) as &str) {
                continue;
            }
            let painted = text[term.byte_range.clone()].graphemes(true).next().map_or(0, str::len);
            term.byte_range.end = term.byte_range.start + painted;
        }
        match ranges.last_mut() {
            Some(last) if term.byte_range.start < last.end => last.end = last.end.max(term.byte_range.end),
            _ => ranges.push(term.byte_range),
        }
    }
    ranges
}

/// The part of `text` that says most about its highlights: at most `max_chars` characters, cut between words.
///
/// The part holds as many different highlighted words as fit; among equals as many highlights, and then the first.
/// `highlights` are byte ranges of `text`, sorted and without overlap, as [`ranges`] returns them. The start of the text
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

    fn check(query: &str, text: &str, expected: &[&str]) {
        let found: Vec<&str> = ranges(query, text).into_iter().map(|range| &text[range]).collect();
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
    fn unpainted_words_are_sorted() {
        assert!(UNPAINTED.is_sorted());
    }

    #[test]
    fn a_short_text_is_shown_whole() {
        assert_eq!(snippet("한국어 abc", &[], 7), 0..13);
        assert_eq!(snippet("", &[], 0), 0..0);
    }

    #[test]
    fn shows_the_part_with_most_different_words() {
        let text = format!("heart heart heart {} aspirin and the heart {}", "x ".repeat(100), "y ".repeat(100));
        let part = &text[snippet(&text, &ranges("heart aspirin", &text), 40)];
        assert!(part.contains("aspirin and the heart") && part.chars().count() <= 40, "{part:?}");
        let start = snippet(&text, &[], 14);
        assert_eq!(&text[start], "heart heart");
    }

    #[test]
    fn a_text_without_borders_is_cut_between_characters() {
        let text = "漢".repeat(100);
        assert_eq!(snippet(&text, std::slice::from_ref(&(150..156)), 10).len(), 30);
        let word = "é".repeat(100_000);
        assert_eq!(snippet(&word, &ranges(&word, &word), 10).len(), 20);
    }

    proptest! {
        #[test]
        fn ranges_are_sorted_disjoint_and_on_borders(
            query in "[a-z 한국어東京é']{0,12}", text in "[a-z 한국어東京é'\u{301}]{0,60}|\\PC{0,40}",
        ) {
            let mut end = 0;
            for range in ranges(&query, &text) {
                prop_assert!(range.start >= end && range.end > range.start);
                prop_assert!(text.get(range.clone()).is_some());
                end = range.end;
            }
        }

        #[test]
        fn a_snippet_fits_and_shows_a_highlight(
            query in "[a-e]{1,3} [a-e]", text in "([a-e]{1,3}[ .\n]{1,2}|한국|é\u{301}){0,80}", max_chars in 0..60_usize,
        ) {
            let highlights = ranges(&query, &text);
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
