//! What each character is to the analyser: part of a word, part of a run without spaces, or a border.

/// What a character is to the analyser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Ends a word: space, punctuation, symbols, emoji.
    Border,
    /// Letters and digits of scripts that put borders between words.
    Word,
    /// Belongs to the character before it: accents, vowel signs, joiners, soft hyphens.
    Mark,
    /// A character of a script written without borders that a reader could split at: Han, kana, Hangul, Thai.
    Dense,
}

/// Classes of the ASCII bytes.
pub(super) const ASCII: [Class; 128] = {
    let mut classes = [Class::Border; 128];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            classes[byte] = Class::Word;
        }
        byte += 1;
    }
    classes
};

/// Classifies one character.
pub(super) fn classify(c: char) -> Class {
    if c.is_ascii() {
        return ASCII[c as usize];
    }
    match c {
        // Hangul syllables and CJK ideographs first: they are what long runs are made of.
        '\u{ac00}'..='\u{d7a3}' | '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' => Class::Dense,
        // Sound marks belong to the kana before them; joiners and soft hyphens are invisible.
        '\u{3099}' | '\u{309a}' | '\u{ff9e}' | '\u{ff9f}' => Class::Mark,
        '\u{ad}' | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' => Class::Mark,
        c if is_dense(c) => Class::Dense,
        c if unicode_normalization::char::is_combining_mark(c) => Class::Mark,
        c if c.is_alphanumeric() => Class::Word,
        _ => Class::Border,
    }
}

/// Whether a vowel or final consonant that is written apart belongs to the syllable before it.
pub(super) fn continues_syllable(c: char) -> bool {
    matches!(c, '\u{1160}'..='\u{11ff}' | '\u{d7b0}'..='\u{d7ff}')
}

/// Whether compatibility composition leaves the character as it is; only true where that is certain.
pub(super) fn is_plain(c: char) -> bool {
    matches!(c, '\u{ac00}'..='\u{d7a3}' | '\u{4e00}'..='\u{9fff}' | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fe}')
}

/// Blocks after the Unicode block names; Thai, Lao, Khmer and Myanmar put no spaces between words either.
fn is_dense(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{11ff}'     // Hangul jamo
        | '\u{2e80}'..='\u{2fdf}'   // CJK and Kangxi radicals
        | '\u{3005}'..='\u{3007}'   // iteration mark, closing mark, zero
        | '\u{3021}'..='\u{3029}'   // Hangzhou numerals
        | '\u{3031}'..='\u{3035}'   // kana repeat marks
        | '\u{3041}'..='\u{3096}' | '\u{309d}'..='\u{309f}' // Hiragana
        | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}' // Katakana
        | '\u{3105}'..='\u{312f}'   // Bopomofo
        | '\u{3131}'..='\u{318e}'   // Hangul compatibility jamo
        | '\u{31a0}'..='\u{31bf}'   // Bopomofo, extended
        | '\u{31f0}'..='\u{31ff}'   // small Katakana
        | '\u{a960}'..='\u{a97c}' | '\u{d7b0}'..='\u{d7fb}' // Hangul jamo, extended
        | '\u{f900}'..='\u{faff}'   // CJK compatibility ideographs
        | '\u{ff66}'..='\u{ff9d}'   // halfwidth Katakana
        | '\u{ffa1}'..='\u{ffdc}'   // halfwidth Hangul
        | '\u{1b000}'..='\u{1b16f}' // kana supplements
        | '\u{20000}'..='\u{323af}' // ideographs of the supplementary planes
    ) || (matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
        && c.is_alphanumeric()
        && !c.is_numeric()
        && !unicode_normalization::char::is_combining_mark(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_samples() {
        for (characters, class) in [
            ("aZ09éßжψ१", Class::Word),
            (" .-_'\"\u{1f6a2}、。「」・\u{3000}\u{200b}", Class::Border),
            ("漢字々〇ひらカナーｶﾅ한국ㄱ\u{1100}ไทย\u{20000}", Class::Dense),
            ("\u{301}\u{ad}\u{200d}\u{3099}ﾞ\u{94d}", Class::Mark),
        ] {
            for c in characters.chars() {
                assert_eq!(classify(c), class, "{c:?} ({:#x})", c as u32);
            }
        }
    }
}
