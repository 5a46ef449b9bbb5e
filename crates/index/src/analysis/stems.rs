//! The term of a word: its stem where its language has one, folded.

use berth_types::Language;
use frostem::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;

use super::fold::{self, MAX_TERM_BYTES};

/// Slots of a language's cache. Text repeats its common words, so that a few thousand slots answer for most of it.
const SLOTS: usize = 4096;

/// Stems with a cache in front, for each language that was met: a stem costs more than all the rest of a word's analysis.
#[derive(Clone, Default)]
pub(super) struct Stems {
    languages: Vec<(Language, Cache)>,
}

#[derive(Clone)]
struct Cache {
    stemmer: Stemmer,
    slots: Vec<Slot>,
}

/// A word and its stem.
#[derive(Clone, Default)]
struct Slot {
    word: String,
    stem: String,
}

impl Stems {
    /// Writes the term of a word over `term`.
    ///
    /// English words are folded and then stemmed, where nothing but the letters a to z is left of them. The stems of
    /// other languages depend on accents: words of their letters are stemmed in lower case and folded then. English
    /// words stand in texts of all scripts, and are stemmed there too. Words with digits, and long ones, have no stem.
    pub(super) fn write(&mut self, word: &str, language: Option<Language>, term: &mut String) {
        match language {
            Some(language) if language != Language::English && has_stem(word, letters(language)) => {
                term.clear();
                if word.is_ascii() {
                    term.push_str(word);
                    term.make_ascii_lowercase();
                } else {
                    term.extend(word.nfkc().flat_map(char::to_lowercase));
                }
                self.replace(term, language);
                if !term.is_ascii() {
                    let stem = std::mem::take(term);
                    fold::fold(&stem, term);
                }
            }
            Some(language) => {
                fold::fold(word, term);
                if (language == Language::English || letters(language) != Letters::Latin) && is_english(term) {
                    self.replace(term, Language::English);
                }
            }
            None => fold::fold(word, term),
        }
    }

    /// Replaces a word by its stem.
    fn replace(&mut self, word: &mut String, language: Language) {
        let place = self.languages.iter().position(|(known, _)| *known == language).unwrap_or_else(|| {
            let cache = Cache { stemmer: Stemmer::new(algorithm(language)), slots: vec![Slot::default(); SLOTS] };
            self.languages.push((language, cache));
            self.languages.len() - 1
        });
        let cache = &mut self.languages[place].1;
        let slot = &mut cache.slots[slot_of(word)];
        if slot.word != *word {
            slot.word.clone_from(word);
            slot.stem.clear();
            slot.stem.push_str(&cache.stemmer.stem(word));
        }
        word.clone_from(&slot.stem);
    }
}

/// The letters that the words of a language consist of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Letters {
    Latin,
    Cyrillic,
    Greek,
    Arabic,
    Tamil,
}

/// The letters of a language's words.
pub(super) fn letters(language: Language) -> Letters {
    match language {
        Language::Arabic => Letters::Arabic,
        Language::Greek => Letters::Greek,
        Language::Russian => Letters::Cyrillic,
        Language::Tamil => Letters::Tamil,
        _ => Letters::Latin,
    }
}

fn algorithm(language: Language) -> Algorithm {
    match language {
        Language::Arabic => Algorithm::Arabic,
        Language::Danish => Algorithm::Danish,
        Language::Dutch => Algorithm::Dutch,
        Language::English => Algorithm::English,
        Language::Finnish => Algorithm::Finnish,
        Language::French => Algorithm::French,
        Language::German => Algorithm::German,
        Language::Greek => Algorithm::Greek,
        Language::Hungarian => Algorithm::Hungarian,
        Language::Italian => Algorithm::Italian,
        Language::Norwegian => Algorithm::Norwegian,
        Language::Portuguese => Algorithm::Portuguese,
        Language::Romanian => Algorithm::Romanian,
        Language::Russian => Algorithm::Russian,
        Language::Spanish => Algorithm::Spanish,
        Language::Swedish => Algorithm::Swedish,
        Language::Tamil => Algorithm::Tamil,
        Language::Turkish => Algorithm::Turkish,
    }
}

/// Porter's second algorithm leaves words of one and two letters alone; cut ones are no words.
fn is_english(folded: &str) -> bool {
    (3..MAX_TERM_BYTES).contains(&folded.len()) && folded.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Whether a word consists of these letters, and is not so long that its term is cut.
fn has_stem(word: &str, letters: Letters) -> bool {
    let is_letter = |c: char| match letters {
        Letters::Latin => {
            c.is_ascii_alphabetic()
                || matches!(c, '\u{c0}'..='\u{24f}' | '\u{300}'..='\u{36f}' | '\u{1e00}'..='\u{1eff}')
        }
        Letters::Cyrillic => matches!(c, '\u{300}'..='\u{36f}' | '\u{400}'..='\u{52f}'),
        Letters::Greek => matches!(c, '\u{300}'..='\u{36f}' | '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}'),
        Letters::Arabic => matches!(c, '\u{610}'..='\u{61a}' | '\u{620}'..='\u{65f}' | '\u{66e}'..='\u{6dc}'),
        Letters::Tamil => matches!(c, '\u{b80}'..='\u{be5}' | '\u{200c}' | '\u{200d}'),
    };
    word.len() < MAX_TERM_BYTES / 2 && word.chars().all(is_letter)
}

/// FNV-1a over eight bytes at a time, folded to the number of slots.
fn slot_of(word: &str) -> usize {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in word.as_bytes().chunks(8) {
        let mut eight = [0; 8];
        eight[..part.len()].copy_from_slice(part);
        hash = (hash ^ u64::from_le_bytes(eight)).wrapping_mul(PRIME);
        hash ^= hash >> 29;
    }
    (hash >> 32) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_does_not_depend_on_what_was_asked_before() {
        let mut stems = Stems::default();
        let words = ["running", "connections", "argued", "universities", "cats", "generically"];
        for number in 0..20_000_u32 {
            let word =
                format!("{}{}", words[number as usize % 6], "abcdefghij".repeat(2).split_at(number as usize % 11).0);
            let language = if number % 3 == 0 { Language::French } else { Language::English };
            let expected = Stemmer::new(algorithm(language)).stem(&word).into_owned();
            let mut term = String::new();
            stems.write(&word, Some(language), &mut term);
            assert_eq!(term, expected);
        }
    }

    #[test]
    fn each_language_has_its_stems() {
        let mut stems = Stems::default();
        for (language, words) in [
            (Language::Arabic, ["الكتاب", "كتاب"]),
            (Language::Danish, ["skibene", "skibet"]),
            (Language::Dutch, ["gevaarlijke", "gevaarlijk"]),
            (Language::Finnish, ["satamassa", "satamasta"]),
            (Language::French, ["Généreuses", "généreux"]),
            (Language::German, ["Häfen", "Hafens"]),
            (Language::Greek, ["λιμάνια", "λιμανιών"]),
            (Language::Hungarian, ["hajók", "hajót"]),
            (Language::Italian, ["navigazione", "navigazioni"]),
            (Language::Norwegian, ["båtene", "båten"]),
            (Language::Portuguese, ["navegação", "navegações"]),
            (Language::Romanian, ["corăbiile", "corăbiilor"]),
            (Language::Russian, ["корабли", "кораблями"]),
            (Language::Spanish, ["canción", "canciones"]),
            (Language::Swedish, ["båtarna", "båtarnas"]),
            (Language::Tamil, ["நகரங்கள்", "நகரம்"]),
            (Language::Turkish, ["gemiler", "gemilerde"]),
        ] {
            let [mut one, mut other] = [String::new(), String::new()];
            stems.write(words[0], Some(language), &mut one);
            stems.write(words[1], Some(language), &mut other);
            assert_eq!(one, other, "{language}: {words:?}");
            assert!(one.chars().count() >= 3, "{language}: {one:?}");
        }
    }

    #[test]
    fn a_language_leaves_alone_what_is_not_its_own() {
        let mut stems = Stems::default();
        let mut term = String::new();
        for (language, word, expected) in [
            (Some(Language::Russian), "running", "run"),
            (Some(Language::German), "корабли", "корабли"),
            (Some(Language::German), "b12", "b12"),
            (Some(Language::English), "Häfen", "hafen"),
            (None, "Connections", "connections"),
        ] {
            stems.write(word, language, &mut term);
            assert_eq!(term, expected, "{word}");
        }
    }
}
