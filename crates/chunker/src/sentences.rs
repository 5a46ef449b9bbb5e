//! Where sentences begin.
//!
//! Follows Unicode Standard Annex 29 by way of `unicode-segmentation`, with two differences: a line end alone ends no sentence
//! (lines of one paragraph are often wrapped; the caller knows line ends by itself), and a full stop after a common
//! abbreviation or an initial ends none either.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

/// A run of this many characters without letter or digit parts a line, so that sentences are sought in each part by itself.
///
/// The rule for a full stop that is followed by a lower-case letter (SB8) looks ahead from every closing mark and space after
/// the full stop, which costs the square of the run's length. No run in the prose of the evaluation collections is this long.
const PARTING_RUN_CHARACTERS: usize = 48;

/// Characters at which the annex ends a sentence, whatever stands before them.
const LINE_ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

/// Marks that end a sentence in the scripts that Unicode lists under `STerm` and `ATerm` and that are common in documents.
const TERMINATORS: [char; 17] =
    ['.', '!', '?', '…', '。', '！', '？', '．', '｡', '؟', '۔', '।', '॥', '‼', '⁇', '⁈', '⁉'];

/// Words that carry a full stop inside a sentence, in lower case. What more often ends a sentence than not ("etc") is absent.
const ABBREVIATIONS: [&str; 54] = [
    "al", "approx", "apr", "art", "aug", "ca", "cf", "ch", "co", "corp", "dec", "dr", "eq", "eqs", "feb", "fig",
    "figs", "gen", "gov", "inc", "jan", "jr", "jul", "jun", "llc", "ltd", "messrs", "mr", "mrs", "ms", "mt", "no",
    "nos", "nov", "oct", "p", "para", "pp", "prof", "ref", "refs", "rev", "sec", "sen", "sep", "sept", "sr", "st", "v",
    "viz", "vol", "vols", "vs", "resp",
];

/// Byte positions at which a sentence begins after the end of another, ascending. Costs time linear in the text.
///
/// White space between the two belongs to the first.
pub(crate) fn sentence_starts(text: &str) -> Vec<u32> {
    let mut starts = Vec::new();
    for part in parts(text) {
        let part_start = part.as_ptr() as usize - text.as_ptr() as usize;
        let mut sentences = part.split_sentence_bound_indices().peekable();
        while let Some((start, sentence)) = sentences.next() {
            let ends = if sentence.ends_with(LINE_ENDS) {
                ends_in_terminator(sentence)
            } else {
                sentences.peek().is_some() && !ends_in_abbreviation(sentence)
            };
            if ends {
                starts.push((part_start + start + sentence.len()) as u32);
            }
        }
    }
    starts
}

/// Byte ranges of the sentences of a text, ascending; together they are the text.
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let starts = sentence_starts(text).into_iter().map(|start| start as usize);
    let borders: Vec<usize> = std::iter::once(0).chain(starts).chain([text.len()]).collect();
    borders.windows(2).map(|pair| pair[0]..pair[1]).filter(|range| !range.is_empty()).collect()
}

/// Lines of `text`, parted further after long runs without letter or digit. Together they are the text.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').flat_map(|line| {
        let mut run = 0;
        line.split_inclusive(move |character: char| {
            run = if character.is_alphanumeric() { 0 } else { run + 1 };
            let full = run == PARTING_RUN_CHARACTERS;
            if full {
                run = 0;
            }
            full
        })
    })
}

/// Whether the last mark of `sentence`, closing quotes and brackets aside, ends a sentence.
fn ends_in_terminator(sentence: &str) -> bool {
    // Eight marks hold any nest of quotes, brackets and footnote signs that prose puts after a full stop.
    let marks = sentence.trim_end().chars().rev().take(8).take_while(|character| !character.is_alphanumeric());
    marks.into_iter().any(|mark| TERMINATORS.contains(&mark)) && !ends_in_abbreviation(sentence)
}

/// Whether `sentence` ends in an abbreviation, or in letters that each carry a full stop ("J.", "U.S.").
fn ends_in_abbreviation(sentence: &str) -> bool {
    let Some(rest) = sentence.trim_end().strip_suffix('.') else {
        return false;
    };
    // The longest abbreviation has six letters; a longer word need not be looked at whole.
    let from = rest.char_indices().rev().take(8).take_while(|(_, c)| c.is_alphanumeric() || *c == '.').last();
    let word = from.map_or("", |(position, _)| &rest[position..]);
    let letters = word.split('.').all(|letter| {
        let mut characters = letter.chars();
        characters.next().is_some_and(char::is_alphabetic) && characters.next().is_none()
    });
    letters || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<&str> = sentences(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn ends_sentences_in_several_scripts() {
        check("One. Two!  \"Three?\" Four", &["One. ", "Two!  ", "\"Three?\" ", "Four"]);
        check("他来了。你好吗？好！走", &["他来了。", "你好吗？", "好！", "走"]);
        check("책임을 진다. 위반하면 그렇다.", &["책임을 진다. ", "위반하면 그렇다."]);
    }

    #[test]
    fn a_line_end_alone_ends_no_sentence() {
        check(
            "A heading\nthe first line of\na sentence. Next",
            &["A heading\nthe first line of\na sentence. ", "Next"],
        );
        check("Ends here.\r\nNext", &["Ends here.\r\n", "Next"]);
    }

    #[test]
    fn abbreviations_and_initials_end_none() {
        check(
            "Dr. J. Smith of Acme Inc. (see Fig. 3) of the U.S. Army left.",
            &["Dr. J. Smith of Acme Inc. (see Fig. 3) of the U.S. Army left."],
        );
        check("It costs 3.14 Euro. That is all.", &["It costs 3.14 Euro. ", "That is all."]);
    }

    #[test]
    fn long_runs_without_letters_cost_linear_time() {
        // Each of these would take minutes if the look-ahead saw the whole run.
        for filler in [" ", ")", "\u{a0}", "\"", "\t", ". ", "1.", ".)"] {
            sentence_starts(&format!("end.{}", filler.repeat(400_000)));
        }
    }
}
