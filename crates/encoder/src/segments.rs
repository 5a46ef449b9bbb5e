//! Cuts a long text where no word, and so no token, is cut.
//!
//! Tokenising needs many times the memory of its text, so long texts go through it in segments. Which bytes stand
//! together in one segment must not change a token: that is what the places of the cuts are chosen for.

use std::ops::Range;

use unicode_segmentation::GraphemeCursor;

/// Where cuts change no token, beside those before a space, which never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cuts {
    /// Before a line feed and white space of other kinds.
    pub(crate) before_line_feed: bool,
    /// Next to ideographs and punctuation.
    pub(crate) beside_word: bool,
}

/// Byte ranges that follow each other over the whole of `text`, each of at most `max_bytes`.
///
/// A range ends before a line feed where there is one in its second half, else before other white space, else next to
/// a character that is a word of its own, as far as `cuts` allows each, else at the end of what a reader takes for one
/// character. A text without white space for `max_bytes` may be cut inside a word.
pub(crate) fn segments(text: &str, max_bytes: usize, cuts: Cuts) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == text.len() {
            return None;
        }
        let end = if text.len() - start <= max_bytes { text.len() } else { cut(text, start, start + max_bytes, cuts) };
        let segment = start..end;
        start = end;
        Some(segment)
    })
}

/// Length of the longest beginning of `text` that has at most `max_bytes` and ends with a whole character as readers
/// see it; at least one `char`.
pub(crate) fn whole_characters(text: &str, max_bytes: usize) -> usize {
    if text.len() <= max_bytes {
        return text.len();
    }
    let limit = text.floor_char_boundary(max_bytes);
    let whole = (1..=limit).rev().find(|&position| text.is_char_boundary(position) && ends_character(text, position));
    // One character may be longer than a segment: a letter under thousands of accents.
    whole.unwrap_or(if limit > 0 { limit } else { text.ceil_char_boundary(1) })
}

fn cut(text: &str, start: usize, limit: usize, cuts: Cuts) -> usize {
    let limit = text.floor_char_boundary(limit);
    let middle = text.ceil_char_boundary(start + (limit - start) / 2);
    let mut before_space = None;
    let mut beside_word = None;
    let mut next = text[limit..].chars().next();
    for (offset, previous) in text[middle..limit].char_indices().rev() {
        let position = middle + offset + previous.len_utf8();
        if let Some(following) = next {
            if cuts.before_line_feed
                && following == '\n'
                && previous != '\r'
                && !previous.is_whitespace()
                && ends_character(text, position)
            {
                return position;
            }
            if before_space.is_none()
                && (following == ' ' || cuts.before_line_feed && following.is_whitespace())
                && !previous.is_whitespace()
                && ends_character(text, position)
            {
                before_space = Some(position);
            }
            if cuts.beside_word
                && beside_word.is_none()
                && (is_own_word(previous) || is_own_word(following))
                && ends_character(text, position)
            {
                beside_word = Some(position);
            }
        }
        next = Some(previous);
    }
    before_space.or(beside_word).unwrap_or_else(|| start + whole_characters(&text[start..], limit - start))
}

/// Whether `position` does not part a letter from its accents, or an emoji from what joins it.
fn ends_character(text: &str, position: usize) -> bool {
    // With the whole text at hand the cursor needs no further context, so that it cannot fail.
    GraphemeCursor::new(position, text.len(), true).is_boundary(text, 0).unwrap_or(false)
}

/// Whether BERT's pre-tokenizer makes `character` a word of its own: ideographs and punctuation.
fn is_own_word(character: char) -> bool {
    character.is_ascii_punctuation()
        || matches!(character, '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{FF0C}' | '\u{FF1A}' | '\u{FF1B}')
        || matches!(character, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}')
        || matches!(character, '\u{20000}'..='\u{2A6DF}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANY: Cuts = Cuts { before_line_feed: true, beside_word: true };

    fn cut_all(text: &str, max_bytes: usize) -> Vec<&str> {
        segments(text, max_bytes, ANY).map(|range| &text[range]).collect()
    }

    #[test]
    fn prefers_line_feeds_then_spaces() {
        assert_eq!(cut_all("one two\nthree four", 12), ["one two", "\nthree four"]);
        assert_eq!(cut_all("one two three four", 12), ["one two", " three four"]);
    }

    #[test]
    fn cuts_between_ideographs_where_there_is_no_space() {
        assert_eq!(cut_all("日本語文", 7), ["日本", "語文"]);
    }

    #[test]
    fn cuts_only_where_it_changes_no_token() {
        let segments = |text: &'static str, max_bytes| -> Vec<&str> {
            let spaces = Cuts { before_line_feed: false, beside_word: false };
            segments(text, max_bytes, spaces).map(|range| &text[range]).collect()
        };
        assert_eq!(segments("one two\nthree four", 13), ["one two\nthree", " four"]);
        assert_eq!(segments("one, two. three", 11), ["one, two.", " three"]);
    }

    #[test]
    fn keeps_accents_and_joined_emoji_together() {
        for character in ["e\u{301}", "👩\u{200d}🚒", "\u{1100}\u{1161}", "🇰🇷"] {
            let text = character.repeat(40);
            for segment in cut_all(&text, 30) {
                assert_eq!(segment.len() % character.len(), 0, "{character} was cut");
            }
        }
    }

    #[test]
    fn a_character_longer_than_a_segment_is_still_cut() {
        let text = format!("e{}", "\u{301}".repeat(50));
        assert_eq!(cut_all(&text, 20).concat(), text);
    }

    #[test]
    fn nothing_has_no_segments() {
        assert!(cut_all("", 10).is_empty());
    }

    proptest! {
        #[test]
        fn segments_cover_the_text_in_order(text in r"(\PC|[ \n\u{301}\u{200d}漢]){0,200}", max_bytes in 4_usize..64) {
            let mut end = 0;
            for segment in segments(&text, max_bytes, ANY) {
                prop_assert_eq!(segment.start, end);
                prop_assert!(segment.end > segment.start && segment.len() <= max_bytes);
                prop_assert!(text.is_char_boundary(segment.end));
                end = segment.end;
            }
            prop_assert_eq!(end, text.len());
        }
    }
}
