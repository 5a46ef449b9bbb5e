//! Sentences of paragraphs.

use std::ops::Range;

use super::headings;

/// Byte ranges of all sentences of a text, without the white space around them; headings are none.
pub(super) fn sentences(text: &str, split: &dyn Fn(&str) -> Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut sentences = Vec::new();
    for paragraph in headings::paragraphs(text) {
        for range in split(&text[paragraph.clone()]) {
            let mut start = paragraph.start + range.start;
            for part in at_lone_marks(&text[paragraph.clone()][range]) {
                let words_start = start + (part.len() - part.trim_start().len());
                let words_end = words_start + part.trim().len();
                if words_start < words_end {
                    sentences.push(words_start..words_end);
                }
                start += part.len();
            }
        }
    }
    sentences
}

/// Parts that end in a mark with white space on both sides, as in texts that were put together from tokens. What follows such a
/// mark is often in lower case, so that a splitter for prose goes on.
fn at_lone_marks(sentence: &str) -> impl Iterator<Item = &str> {
    let mut last = [' '; 2];
    sentence.split_inclusive(move |character: char| {
        let [before, mark] = last;
        last = [mark, character];
        before.is_whitespace() && ['.', '!', '?'].contains(&mark) && character.is_whitespace()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::at_full_stops;
    use super::*;

    #[test]
    fn marks_between_spaces_end_sentences() {
        let text = "lift of a wing . the theory holds ? yes, at m = .5 .";
        let found: Vec<&str> = sentences(text, &|text| std::iter::once(0..text.len()).collect())
            .into_iter()
            .map(|range| &text[range])
            .collect();
        assert_eq!(found, ["lift of a wing .", "the theory holds ?", "yes, at m = .5 ."]);
    }

    proptest! {
        #[test]
        fn ranges_ascend_and_hold_no_space_around(text in "[ab .。#?\\n]{0,40}") {
            let found = sentences(&text, &at_full_stops);
            prop_assert!(found.windows(2).all(|pair| pair[0].end <= pair[1].start));
            for range in found {
                prop_assert_eq!(text[range.clone()].trim(), &text[range]);
            }
        }
    }
}
