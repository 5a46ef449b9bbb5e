//! Sentences that state what was found, as another author would cite them.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

/// Verbs after which "that" introduces a finding.
const VERBS: [&str; 42] = [
    "show",
    "shows",
    "showed",
    "shown",
    "showing",
    "find",
    "finds",
    "found",
    "demonstrate",
    "demonstrates",
    "demonstrated",
    "demonstrating",
    "suggest",
    "suggests",
    "suggested",
    "suggesting",
    "indicate",
    "indicates",
    "indicated",
    "indicating",
    "reveal",
    "reveals",
    "revealed",
    "revealing",
    "report",
    "reported",
    "conclude",
    "concludes",
    "concluded",
    "observe",
    "observed",
    "confirm",
    "confirms",
    "confirmed",
    "establish",
    "established",
    "prove",
    "proved",
    "proven",
    "imply",
    "implies",
    "evidence",
];

/// Ways to state how two things hang together.
const RELATIONS: [&str; 17] = [
    "associated with",
    "correlated with",
    "correlates with",
    "correlate with",
    "leads to",
    "lead to",
    "led to",
    "results in",
    "resulted in",
    "result in",
    "depends on",
    "depend on",
    "is required for",
    "are required for",
    "contributes to",
    "the risk of",
    "responsible for",
];

/// "that" this far into a sentence, in words, no longer ends its introduction.
const INTRODUCTION_WORDS: usize = 14;
/// A finding has at least so many words.
const MIN_WORDS: usize = 5;

/// The finding in the sentence at `range` of `text`: what follows "we show that" and the like, or all of a sentence that states
/// how things hang together. English only.
pub(super) fn finding(text: &str, range: &Range<usize>) -> Option<Range<usize>> {
    let sentence = &text[range.clone()];
    let words: Vec<(usize, String)> =
        sentence.unicode_word_indices().map(|(start, word)| (start, word.to_lowercase())).collect();
    let introductions = words.windows(2).take(INTRODUCTION_WORDS).enumerate();
    let introduced = introductions
        .filter(|(_, pair)| pair[1].1 == "that" && VERBS.contains(&pair[0].1.as_str()))
        .map(|(place, _)| place + 2)
        .next();
    if let Some(first) = introduced {
        let long_enough = words.len() >= first + MIN_WORDS;
        return long_enough.then(|| range.start + words[first].0..range.end);
    }
    // Words by single spaces, so that line ends do not part a phrase.
    let folded = words.iter().map(|(_, word)| word.as_str()).collect::<Vec<_>>().join(" ");
    let states = RELATIONS.iter().any(|relation| contains_words(&folded, relation));
    (states && words.len() >= MIN_WORDS).then(|| range.clone())
}

fn contains_words(text: &str, words: &str) -> bool {
    text.match_indices(words).any(|(start, _)| {
        let end = start + words.len();
        (start == 0 || text[..start].ends_with(' ')) && (end == text.len() || text[end..].starts_with(' '))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sentence: &str, expected: Option<&str>) {
        assert_eq!(finding(sentence, &(0..sentence.len())).map(|range| &sentence[range]), expected, "{sentence}");
    }

    #[test]
    fn findings_are_taken_out_of_their_introduction() {
        check("Here we show that a slipstream delays the stall.", Some("a slipstream delays the stall."));
        check(
            "These results strongly suggest that \u{3b2}-catenin is not needed here.",
            Some("\u{3b2}-catenin is not needed here."),
        );
        check("Smoking is associated\nwith a shorter life.", Some("Smoking is associated\nwith a shorter life."));
    }

    #[test]
    fn other_sentences_state_none() {
        check("We measured the lift of wings.", None);
        check("We show that it is so.", None);
        check("The wing that we show has flaps and slats.", None);
        check("The ring leads together went around.", None);
        check("", None);
    }
}
