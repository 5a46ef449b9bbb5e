//! Overlapping windows over the tokens of a text that is longer than the model takes, where every token gets one answer.

use std::ops::Range;

/// One window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenWindow {
    /// Tokens that the model reads together.
    pub(crate) tokens: Range<usize>,
    /// Those of them whose answers count: the ones that have most text around them.
    pub(crate) counted: Range<usize>,
}

/// Covers `word_of.len()` tokens with windows of at most `size` that overlap by about `overlap`; the ranges that count
/// follow each other without a gap and part no word, unless one is longer than a window. One window when all fits.
pub(crate) fn token_windows(word_of: &[u32], size: usize, overlap: usize) -> Vec<TokenWindow> {
    let total = word_of.len();
    let size = size.max(1);
    let overlap = overlap.min(size / 2);
    let mut windows: Vec<TokenWindow> = Vec::new();
    let mut start = 0;
    let mut counted_from = 0;
    loop {
        let end = (start + size).min(total);
        if end == total {
            windows.push(TokenWindow { tokens: start..end, counted: counted_from..total });
            return windows;
        }
        // The middle of the overlap, moved back to the start of its word.
        let middle = end - overlap / 2;
        let counted_to = word_start(word_of, middle, counted_from).unwrap_or(middle);
        windows.push(TokenWindow { tokens: start..end, counted: counted_from..counted_to });
        counted_from = counted_to;
        let next = end - overlap;
        start = word_start(word_of, next, start).unwrap_or(next).min(counted_to);
    }
}

/// The first token of the word of `place`, when it lies behind `after`.
fn word_start(word_of: &[u32], place: usize, after: usize) -> Option<usize> {
    // A word may be as long as the text: what lies before `after` is not looked at again for each window.
    let between = word_of.get(after..place)?;
    between.iter().rposition(|word| *word != word_of[place]).map(|before| after + before + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_is_one_window() {
        assert_eq!(token_windows(&[0, 1], 8, 4), [TokenWindow { tokens: 0..2, counted: 0..2 }]);
        assert_eq!(token_windows(&[], 8, 4), [TokenWindow { tokens: 0..0, counted: 0..0 }]);
    }

    #[test]
    fn words_stay_whole() {
        let words = [0, 0, 1, 1, 1, 2, 2, 3, 3, 4];
        let windows = token_windows(&words, 6, 2);
        assert_eq!(windows[0], TokenWindow { tokens: 0..6, counted: 0..5 });
        assert_eq!(windows[1], TokenWindow { tokens: 2..8, counted: 5..7 });
    }

    proptest! {
        #[test]
        fn every_token_counts_once(
            lengths in proptest::collection::vec(1_usize..9, 0..60),
            size in 1_usize..20,
            overlap in 0_usize..20,
        ) {
            let words: Vec<u32> =
                lengths.iter().enumerate().flat_map(|(word, &length)| vec![word as u32; length]).collect();
            let windows = token_windows(&words, size, overlap);
            let mut counted = 0;
            for window in &windows {
                prop_assert!(window.tokens.len() <= size);
                prop_assert!(window.tokens.start <= window.counted.start && window.counted.end <= window.tokens.end);
                prop_assert_eq!(window.counted.start, counted);
                prop_assert!(window.counted.end > counted || words.is_empty());
                counted = window.counted.end;
            }
            prop_assert_eq!(counted, words.len());
        }
    }
}
