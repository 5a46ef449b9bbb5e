//! How a word is written whatever its language: compatibility forms resolved, lower case, no accents.

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// Longest term, in bytes. Longer words are cut at a character border, so that each still has a term.
pub(super) const MAX_TERM_BYTES: usize = 255;

/// Writes the folded form of `word` over `term`.
///
/// ASCII letters are lowered; other characters are decomposed (NFKD), lowered, and lose their accents.
pub(super) fn fold(word: &str, term: &mut String) {
    term.clear();
    if word.is_ascii() {
        term.push_str(&word[..word.len().min(MAX_TERM_BYTES)]);
        term.make_ascii_lowercase();
        return;
    }
    for c in word.chars() {
        decompose_compatible(c, |part| {
            for lowered in part.to_lowercase() {
                push_folded(lowered, term);
            }
        });
        // One character decomposes into at most 18, so that the buffer stays small.
        if term.len() > MAX_TERM_BYTES {
            break;
        }
    }
    cut(term);
    if term.is_empty() {
        // Only marks and joiners: keep them as they stand, so that the word still has a term.
        term.push_str(word);
        cut(term);
    }
}

/// Shortens `term` to the longest prefix of whole characters within the limit.
pub(super) fn cut(term: &mut String) {
    term.truncate(term.floor_char_boundary(MAX_TERM_BYTES));
}

fn push_folded(c: char, term: &mut String) {
    match c {
        // Accents of European scripts, vowel points of Hebrew and Arabic, tatweel: written or left out at will.
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' => {}
        '\u{fe20}'..='\u{fe2f}' | '\u{591}'..='\u{5c7}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}' => {}
        // Letters that Unicode does not decompose, as they are written without their accents.
        'ß' => term.push_str("ss"),
        'æ' => term.push_str("ae"),
        'œ' => term.push_str("oe"),
        'þ' => term.push_str("th"),
        'ø' => term.push('o'),
        'đ' | 'ð' => term.push('d'),
        'ł' => term.push('l'),
        'ħ' => term.push('h'),
        'ı' => term.push('i'),
        'ŧ' => term.push('t'),
        'ς' => term.push('σ'),
        // Decomposition brings spaces and slashes; joiners and soft hyphens are invisible.
        c if c.is_alphanumeric() || is_combining_mark(c) => term.push(c),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(word: &str) -> String {
        let mut term = String::new();
        fold(word, &mut term);
        term
    }

    #[test]
    fn folds_accents_case_and_compatibility_forms() {
        for (word, term) in [
            ("Café", "cafe"),
            ("Cafe\u{301}", "cafe"),
            ("ＡＢＣ１２", "abc12"),
            ("Straße", "strasse"),
            ("STRAẞE", "strasse"),
            ("Łódź", "lodz"),
            ("İstanbul", "istanbul"),
            ("ΛΌΓΟΣ", "λογοσ"),
            ("Ёж", "еж"),
            ("m²", "m2"),
            ("ﬁnance", "finance"),
            ("co\u{ad}operate", "cooperate"),
            ("हिन्दी", "हिन्दी"),
        ] {
            assert_eq!(folded(word), term, "{word}");
        }
    }
}
