//! Ranges of bytes that tokens stand for, brought to what a reader would mark.

use std::ops::Range;

/// The range of whole characters inside `text` that holds `range`. The tokenizer's bookkeeping of normalisation may be
/// off: end beyond the text, lie inside a character, or run backwards.
pub(super) fn clamp(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(range.start);
    let end = text.ceil_char_boundary(range.end.min(text.len())).max(start);
    start..end
}

/// `range` of `text` without white space at its ends. Byte-level and sentencepiece vocabularies keep the space before a
/// word in the word's first piece; what a piece stands for is the word. A range of nothing but white space stays.
pub(super) fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let marked = &text[range.clone()];
    let left = marked.trim_start();
    if left.is_empty() {
        return range;
    }
    let start = range.end - left.len();
    start..start + left.trim_end().len()
}

/// A text in lower case, with the way back to the bytes of the text as it was.
pub(super) struct Lowered {
    pub(super) text: String,
    /// Where both texts have their next character, as (lower-case byte, byte as it was), at each place from which on
    /// their distance differs from before.
    shifts: Vec<(u32, u32)>,
}

impl Lowered {
    /// Lower-cases `text` as Python's `str.lower` does, which sentence-transformers calls. `text` has less than 4 GiB.
    pub(super) fn of(text: &str) -> Self {
        let lowered = text.to_lowercase();
        let mut shifts = vec![(0, 0)];
        let (mut below, mut above) = (0, 0);
        for character in text.chars() {
            // A final sigma has the length of any other.
            let width: usize = character.to_lowercase().map(char::len_utf8).sum();
            below += width;
            above += character.len_utf8();
            if width != character.len_utf8() {
                shifts.push((below as u32, above as u32));
            }
        }
        Self { text: lowered, shifts }
    }

    /// The range of the text as it was that became `range` of the lower-case text.
    pub(super) fn back(&self, range: Range<u32>) -> Range<u32> {
        self.place(range.start, false)..self.place(range.end, true)
    }

    /// A place inside a character that changed its length goes to the character's start or end.
    fn place(&self, below: u32, round_up: bool) -> u32 {
        let next = self.shifts.partition_point(|&(from, _)| from <= below);
        let (from, to) = self.shifts[next - 1];
        let place = to + (below - from);
        // The character before the next shift is the one that changed: no place lies beyond its start.
        match self.shifts.get(next) {
            Some(&(_, end)) if place >= end => {
                if round_up {
                    end
                } else {
                    end.saturating_sub(1)
                }
            }
            _ => place,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
    fn the_space_before_a_word_is_not_the_word() {
        assert_eq!(trimmed("a word ", 1..7), 2..6);
        assert_eq!(trimmed("a \u{3000}\n", 1..6), 1..6, "nothing but white space");
        assert_eq!(trimmed("a", 1..1), 1..1);
    }

    proptest! {
        /// Every character of the lower-case text leads back to the character that it came from.
        #[test]
        fn lower_case_leads_back(text in "[a-zA-ZİẞÅΣÉK漢Ⱥ ]{0,30}") {
            let lowered = Lowered::of(&text);
            let mut below = 0;
            for (above, character) in text.char_indices() {
                for lower in character.to_lowercase() {
                    let range = below..below + lower.len_utf8() as u32;
                    let back = lowered.back(range.clone());
                    let back = clamp(&text, back.start as usize..back.end as usize);
                    prop_assert_eq!(back, above..above + character.len_utf8(), "{:?} {:?}", &text, range);
                    below = range.end;
                }
            }
            prop_assert_eq!(below as usize, lowered.text.len());
        }
    }
}
