//! What windows look like, one readable case for each promise.

mod tokens;

use std::ops::Range;

use berth_chunker::{Error, WindowOptions, windows};
use tokens::{pieces, shared, words};

fn texts<'a>(text: &'a str, offsets: &[Range<u32>], window_tokens: usize, overlap_tokens: usize) -> Vec<&'a str> {
    let options = WindowOptions { window_tokens, overlap_tokens };
    windows(text, offsets, &options).unwrap().into_iter().map(|window| &text[window.bytes]).collect()
}

/// Checks windows over words.
fn check(text: &str, window_tokens: usize, overlap_tokens: usize, expected: &[&str]) {
    assert_eq!(texts(text, &words(text), window_tokens, overlap_tokens), expected);
}

#[test]
fn a_text_that_fits_is_one_window() {
    check("  one two three\n", 3, 1, &["  one two three\n"]);
    check("one", 1, 0, &["one"]);
}

#[test]
fn a_text_without_words_has_no_window() {
    check("", 3, 1, &[]);
    check(" \t\r\n\u{3000}\u{a0}", 3, 1, &[]);
    assert_eq!(texts(" \n ", &shared(" \n ", 2), 3, 1), Vec::<&str>::new());
    // Control characters alone leave no token.
    assert_eq!(texts("\0\u{1}", &[], 3, 1), Vec::<&str>::new());
}

#[test]
fn ends_at_a_sentence_rather_than_full() {
    check(
        "a b c d end. F g h i end. J k l m n end. O p q r s t",
        6,
        0,
        &["a b c d end. ", "F g h i end. ", "J k l m n end. ", "O p q r s t"],
    );
}

#[test]
fn ends_at_a_paragraph_rather_than_a_sentence() {
    check("a b c d\r\n\r\nend. F g h i j k l m n", 6, 0, &["a b c d\r\n\r\n", "end. F g h i ", "j k l m n"]);
}

#[test]
fn a_sentence_that_ends_too_early_is_not_waited_for() {
    check("a end. C d e f g h i j k l m", 6, 0, &["a end. C d e f ", "g h i j ", "k l m"]);
}

#[test]
fn ends_at_a_line_rather_than_a_word() {
    check("let a b c =\nd e f g h\ni j k l m n o p", 6, 0, &["let a b c =\n", "d e f g h\n", "i j k l ", "m n o p"]);
}

#[test]
fn ends_chinese_at_a_full_stop() {
    let text = "他来了。你好吗？我很好，谢谢你！明天再见，走";
    assert_eq!(texts(text, &pieces(text, 1), 9, 0), ["他来了。你好吗？", "我很好，谢谢你！", "明天再见，走"]);
}

#[test]
fn begins_again_at_a_sentence_within_the_overlap() {
    check(
        "a b c d e end. G h end. J k l m n end. P q r s t u v w x y",
        10,
        4,
        &["a b c d e end. G h end. ", "G h end. J k l m n end. ", "l m n end. P q r s t ", "q r s t u v w x y"],
    );
}

#[test]
fn shares_the_whole_overlap_where_there_are_only_words() {
    check("a b c d e f g h i j k l m n", 6, 2, &["a b c d e f ", "e f g h i j ", "i j k l m n"]);
}

#[test]
fn leaves_no_short_window_over() {
    check("a b c d e f g h i j", 9, 0, &["a b c d e ", "f g h i j"]);
    check("a b c d e f g h i j", 9, 2, &["a b c d e f ", "e f g h i j"]);
}

#[test]
fn keeps_pieces_of_one_character_together() {
    let text = "각각각각각";
    let offsets: Vec<Range<u32>> = (0..15).map(|piece| piece / 3 * 3..piece / 3 * 3 + 3).collect();
    assert_eq!(texts(text, &offsets, 7, 3), ["각각", "각각", "각각", "각각"]);
    assert_eq!(texts(text, &offsets, 3, 0), ["각", "각", "각", "각", "각"]);
}

#[test]
fn cuts_hard_when_one_character_is_longer_than_a_window() {
    let text = "a각b";
    let offsets = [0..1, 1..4, 1..4, 1..4, 4..5];
    let options = WindowOptions { window_tokens: 2, overlap_tokens: 0 };
    let cut: Vec<_> =
        windows(text, &offsets, &options).unwrap().into_iter().map(|w| (w.tokens, &text[w.bytes])).collect();
    assert_eq!(cut, [(0..1, "a"), (1..3, "각"), (3..5, "각b")]);
}

#[test]
fn keeps_graphemes_whole() {
    let text = "👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧";
    assert_eq!(texts(text, &pieces(text, 1), 7, 0), ["👨‍👩‍👧", "👨‍👩‍👧", "👨‍👩‍👧"]);
    let text = "🇰🇷🇩🇪🇫🇷🇯🇵";
    assert_eq!(texts(text, &pieces(text, 1), 3, 0), ["🇰🇷", "🇩🇪", "🇫🇷", "🇯🇵"]);
}

#[test]
fn cuts_one_long_word_without_end_into_full_windows() {
    let text = "x".repeat(100_000);
    let options = WindowOptions { window_tokens: 240, overlap_tokens: 64 };
    let windows = windows(&text, &pieces(&text, 4), &options).unwrap();
    assert_eq!(windows.len(), 142);
    assert!(windows[..140].iter().all(|window| window.tokens.len() == 240));
}

#[test]
fn floods_cost_linear_time() {
    // Each would take minutes if any step looked back or ahead over the whole flood.
    let options = WindowOptions { window_tokens: 16, overlap_tokens: 4 };
    for flood in
        ["\u{301}", "🇰🇷", "\u{200d}", "👩\u{200d}", "क\u{94d}", "\u{94d}", "\r\n", ". ", ".)", "\u{ad}", "a:", "가"]
    {
        let text = format!("e.{}", flood.repeat(200_000 / flood.len()));
        for offsets in [pieces(&text, 1), shared(&text, 5)] {
            let windows = windows(&text, &offsets, &options).unwrap();
            assert_eq!(windows.last().map(|window| window.bytes.end), Some(text.len()));
        }
    }
}

#[test]
fn refuses_what_cannot_be_done() {
    let check = |offsets: &[Range<u32>], window_tokens, overlap_tokens, expected: Error| {
        let options = WindowOptions { window_tokens, overlap_tokens };
        assert_eq!(windows("aé b", offsets, &options), Err(expected));
    };
    check(&[0..1, 4..5], 0, 0, Error::NoRoom);
    check(&[0..1, 4..5], 4, 4, Error::OverlapTooLarge { overlap_tokens: 4, window_tokens: 4 });
    check(&[0..1, 4..6], 4, 1, Error::OutsideText { token: 1, start: 4, end: 6, text_bytes: 5 });
    check(&[0..1, Range { start: 3, end: 1 }], 4, 1, Error::OutsideText { token: 1, start: 3, end: 1, text_bytes: 5 });
    check(&[0..1, 2..3], 4, 1, Error::InsideCharacter { token: 1, start: 2, end: 3 });
    check(&[0..1, 1..2], 4, 1, Error::InsideCharacter { token: 1, start: 1, end: 2 });
    check(&[4..5, 0..1], 4, 1, Error::OutOfOrder { token: 1, start: 0, previous_start: 4 });
}

#[test]
fn messages_name_the_values() {
    let error = Error::OverlapTooLarge { overlap_tokens: 9, window_tokens: 8 };
    assert_eq!(error.to_string(), "windows of 8 tokens cannot overlap by 9: the overlap must be smaller");
    assert_eq!(error.kind(), berth_types::ErrorKind::InvalidInput);
}
