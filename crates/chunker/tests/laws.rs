//! What holds for the windows of any text under any tokens.

mod tokens;

use std::collections::BTreeSet;
use std::ops::Range;

use berth_chunker::{Window, WindowOptions, windows};
use proptest::prelude::*;
use tokens::{characters_of, pieces, shared, words};
use unicode_segmentation::UnicodeSegmentation as _;

/// Things that texts are made of, the awkward ones included.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,9}",
        3 => Just(" ".to_owned()),
        1 => Just(". The ".to_owned()),
        1 => Just("\n\n".to_owned()),
        1 => Just("\r\n".to_owned()),
        1 => Just("Dr. No, e.g. 3.14 (\"Inc.\") ".to_owned()),
        1 => Just("他来了。你好吗？".to_owned()),
        1 => Just("책임을 진다! ".to_owned()),
        1 => Just("カタカナひらがな漢字。".to_owned()),
        1 => Just("👨‍👩‍👧‍👦🇰🇷🇩🇪👍🏽".to_owned()),
        1 => Just("e\u{301}\u{323}x\u{200d}".to_owned()),
        1 => "\u{301}{1,40}",
        1 => "[ \t\n\u{3000}]{1,30}",
        1 => "x{1,200}",
        1 => any::<char>().prop_map(|character| character.to_string()),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(fragment(), 0..80).prop_map(|fragments| fragments.concat())
}

/// One token for each third character, with a token of no width before it: what a normalizer that drops and adds text gives.
fn sparse(text: &str) -> Vec<Range<u32>> {
    characters_of(text).step_by(3).flat_map(|(range, _)| [range.start..range.start, range]).collect()
}

/// A text and the tokens of one of several stand-in tokenizers.
fn tokenised() -> impl Strategy<Value = (String, Vec<Range<u32>>)> {
    (text(), 0..5, 1_u32..9).prop_map(|(text, kind, size)| {
        let offsets = match kind {
            0 => words(&text),
            1 => pieces(&text, size as usize),
            2 => shared(&text, size),
            3 => shared(&text, 1),
            _ => sparse(&text),
        };
        (text, offsets)
    })
}

fn options() -> impl Strategy<Value = WindowOptions> {
    let options = |window_tokens| {
        (0..window_tokens).prop_map(move |overlap_tokens| WindowOptions { window_tokens, overlap_tokens })
    };
    prop_oneof![1_usize..12, 12_usize..80].prop_flat_map(options)
}

/// Tokens before which the text can be cut without parting pieces of one character, or within a grapheme.
struct Clean {
    characters: BTreeSet<usize>,
    graphemes: BTreeSet<usize>,
}

fn clean(text: &str, offsets: &[Range<u32>]) -> Clean {
    let boundaries: BTreeSet<usize> = text.grapheme_indices(true).map(|(start, _)| start).collect();
    let mut clean = Clean { characters: BTreeSet::new(), graphemes: BTreeSet::new() };
    for token in 0..offsets.len() {
        let start = offsets[token].start;
        let apart = offsets[..token].iter().all(|before| before.end <= start && before.start < start);
        if apart && (start as usize) < text.len() {
            clean.characters.insert(token);
            if boundaries.contains(&(start as usize)) {
                clean.graphemes.insert(token);
            }
        }
    }
    for set in [&mut clean.characters, &mut clean.graphemes] {
        set.extend([0, offsets.len()]);
    }
    clean
}

/// Tokens between the neighbours of `cut` in `clean`, where it is not there itself.
fn uncut_tokens(clean: &BTreeSet<usize>, cut: usize) -> Option<usize> {
    let before = clean.range(..=cut).next_back().expect("0 is there");
    let after = clean.range(cut..).next().expect("the end is there");
    (!clean.contains(&cut)).then_some(after - before)
}

fn cut(text: &str, offsets: &[Range<u32>], options: &WindowOptions) -> Vec<Window> {
    windows(text, offsets, options).expect("options and offsets are good")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_texts_with_tokens_have_windows((text, offsets) in tokenised(), options in options()) {
        let any = !offsets.is_empty() && !text.trim().is_empty();
        prop_assert_eq!(any, !cut(&text, &offsets, &options).is_empty());
    }

    #[test]
    fn no_window_holds_too_much_or_nothing((text, offsets) in tokenised(), options in options()) {
        for window in cut(&text, &offsets, &options) {
            prop_assert!((1..=options.window_tokens).contains(&window.tokens.len()));
            prop_assert!(!text[window.bytes].is_empty());
        }
    }

    #[test]
    fn tokens_and_bytes_are_covered_in_order((text, offsets) in tokenised(), options in options()) {
        let windows = cut(&text, &offsets, &options);
        for pair in windows.windows(2) {
            let (this, next) = (&pair[0], &pair[1]);
            prop_assert!(this.tokens.start < next.tokens.start && this.tokens.end < next.tokens.end);
            prop_assert!(next.tokens.start <= this.tokens.end);
            prop_assert!(this.bytes.start <= next.bytes.start && this.bytes.end <= next.bytes.end);
            prop_assert!(next.bytes.start <= this.bytes.end);
        }
        if let (Some(first), Some(last)) = (windows.first(), windows.last()) {
            prop_assert_eq!((first.tokens.start, first.bytes.start), (0, 0));
            prop_assert_eq!((last.tokens.end, last.bytes.end), (offsets.len(), text.len()));
        }
    }

    #[test]
    fn a_window_holds_the_bytes_of_its_tokens((text, offsets) in tokenised(), options in options()) {
        for window in cut(&text, &offsets, &options) {
            for token in &offsets[window.tokens] {
                prop_assert!(window.bytes.start <= token.start as usize && token.end as usize <= window.bytes.end);
            }
        }
    }

    #[test]
    fn neighbours_share_no_more_than_allowed((text, offsets) in tokenised(), options in options()) {
        for pair in cut(&text, &offsets, &options).windows(2) {
            prop_assert!(pair[0].tokens.end - pair[1].tokens.start <= options.overlap_tokens);
        }
    }

    #[test]
    fn cuts_hard_only_what_no_window_can_hold((text, offsets) in tokenised(), options in options()) {
        let clean = clean(&text, &offsets);
        for window in cut(&text, &offsets, &options) {
            for cut in [window.tokens.start, window.tokens.end] {
                for whole in [&clean.characters, &clean.graphemes] {
                    prop_assert!(uncut_tokens(whole, cut).is_none_or(|tokens| tokens > options.window_tokens));
                }
            }
        }
    }

    #[test]
    fn where_every_cut_is_clean_sizes_are_even(words in 0_usize..600, options in options(), stops in 1_usize..20) {
        let word = |n: usize| if n.is_multiple_of(stops) { "end. " } else { "Word " };
        let text: String = (0..words).map(word).collect();
        let WindowOptions { window_tokens, overlap_tokens } = options;
        let windows = cut(&text, &tokens::words(&text), &options);
        for pair in windows.windows(2) {
            let shared = pair[0].tokens.end - pair[1].tokens.start;
            prop_assert!((overlap_tokens.div_ceil(2)..=overlap_tokens).contains(&shared), "{} shared", shared);
        }
        if windows.len() > 1 {
            for window in &windows {
                prop_assert!(window.tokens.len() * 3 >= window_tokens, "{:?} is short", window.tokens);
            }
            let advance = (window_tokens - overlap_tokens).div_ceil(2);
            prop_assert!(windows.len() <= words / advance + 2, "{} windows", windows.len());
        }
    }

    #[test]
    fn paragraphs_near_the_end_are_taken(text in text(), options in options()) {
        let offsets = words(&text);
        let WindowOptions { window_tokens, overlap_tokens } = options;
        let follows_empty_line = |cut: usize| {
            let gap = &text[offsets[cut - 1].end as usize..offsets[cut].start as usize];
            gap.replace("\r\n", "\n").matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() > 1
        };
        // A mark after a blank belongs to it, so that not every word can begin a window.
        let begins_word = |cut: usize| text[offsets[cut].start as usize..].starts_with(char::is_alphanumeric);
        let mut held = 0;
        for window in cut(&text, &offsets, &options) {
            let Range { start, end } = window.tokens;
            let rest = offsets.len() - start;
            if rest > window_tokens && rest > 2 * window_tokens - overlap_tokens - window_tokens / 3 / 2 {
                let full = start + window_tokens;
                let advancing = start + overlap_tokens + (window_tokens - overlap_tokens).div_ceil(2);
                let first = advancing.max(full - window_tokens / 3).max(held + 1);
                let last_paragraph = (first..=full).rev().find(|&cut| follows_empty_line(cut) && begins_word(cut));
                prop_assert!(last_paragraph.is_none_or(|cut| cut <= end && follows_empty_line(end)), "{:?} not {}", last_paragraph, end);
            }
            held = end;
        }
    }
}
