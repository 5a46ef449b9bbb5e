//! Words of a collection that mean the same: read from a text, and found in a question.
//!
//! A line is `car, automobile, motor car`, where each finds the others, or `js => javascript`, where the left side finds the
//! right side too and not the other way round. `#` begins a comment. An entry may be of several words, which are found side
//! by side. Entries are compared as the index spells words, so that `Cars` stands for `car`.

use std::collections::{HashMap, HashSet};

use crate::analysis::{self, Analyses};
use crate::{Error, IndexWriter, Snapshot, beside};

/// Most entries of a text.
const MOST_ENTRIES: usize = 200_000;
/// Most entries of a side of a line: what stands for each other grows with their square.
const MOST_A_LINE: usize = 256;
/// Most pairs of entries of which one stands for the other.
const MOST_PAIRS: usize = 2_000_000;
/// Most words of an entry.
const MOST_WORDS: usize = 16;
/// Most words that one word of a question stands for, so that the time of an answer stays bounded.
const MOST_FOUND: usize = 64;

/// Which words of a collection mean the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Synonyms {
    entries: Vec<Entry>,
    /// What each entry stands for, by place among the entries.
    stands_for: HashMap<usize, Vec<usize>>,
    /// Entries by their first term.
    by_first: HashMap<String, Vec<usize>>,
}

/// Words as they were written, and each as its terms in the languages of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    words: String,
    terms: Vec<Vec<String>>,
}

/// What a question asks for beside its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    /// As it was written.
    pub words: String,
    /// The words of the question that it stands beside, as terms.
    pub of: String,
    /// Each of its words as its terms in the languages of the index; they stand side by side.
    pub terms: Vec<Vec<String>>,
    /// Whether it is to be in the title.
    pub in_title: bool,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SynonymFault {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl Synonyms {
    /// Reads a text, for an index in English.
    ///
    /// # Errors
    /// As [`parse_for`](Self::parse_for).
    pub fn parse(text: &str) -> Result<Self, SynonymFault> {
        Self::parse_for(text, &Analyses::default())
    }

    /// Reads a text, for an index with these analyses.
    ///
    /// # Errors
    /// The first line that says nothing that can be understood.
    pub(crate) fn parse_for(text: &str, analyses: &Analyses) -> Result<Self, SynonymFault> {
        let mut synonyms = Self::default();
        let mut places: HashMap<Vec<Vec<String>>, usize> = HashMap::new();
        let mut pairs = 0;
        for (line, content) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let fault = |reason: String| SynonymFault { line, reason };
            let content = content.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                continue;
            }
            let mut side = |words: &str| -> Result<Vec<usize>, SynonymFault> {
                let mut side = Vec::new();
                for words in words.split(',').map(str::trim) {
                    let terms = spelled(words, analyses);
                    match terms.len() {
                        0 => return Err(fault(format!("'{words}' is no word"))),
                        1..=MOST_WORDS => {}
                        _ => return Err(fault(format!("'{words}' has more than {MOST_WORDS} words"))),
                    }
                    let place = *places.entry(terms).or_insert_with_key(|terms| {
                        synonyms.entries.push(Entry { words: words.to_owned(), terms: terms.clone() });
                        synonyms.entries.len() - 1
                    });
                    if !side.contains(&place) {
                        side.push(place);
                    }
                    if side.len() > MOST_A_LINE {
                        let reason = format!("it names more than {MOST_A_LINE} words; write several lines");
                        return Err(fault(reason));
                    }
                }
                Ok(side)
            };
            let (from, to) = if let Some((from, to)) = content.split_once("=>") {
                (side(from)?, side(to)?)
            } else {
                let group = side(content)?;
                if group.len() < 2 {
                    return Err(fault("it names one word alone; separate words by commas, or write a => b".into()));
                }
                (group.clone(), group)
            };
            pairs += from.len() * to.len();
            if pairs > MOST_PAIRS {
                let reason = format!("up to here more than {MOST_PAIRS} words stand for another");
                return Err(fault(reason));
            }
            for from in from {
                let known = synonyms.stands_for.entry(from).or_default();
                known.extend(to.iter().copied().filter(|&to| to != from));
            }
            if synonyms.entries.len() > MOST_ENTRIES {
                return Err(fault(format!("there are more than {MOST_ENTRIES} words")));
            }
        }
        for known in synonyms.stands_for.values_mut() {
            let mut seen = HashSet::new();
            known.retain(|&place| seen.insert(place));
        }
        for (place, entry) in synonyms.entries.iter().enumerate() {
            if synonyms.stands_for.contains_key(&place) {
                for term in analysis::distinct(&entry.terms[0]) {
                    synonyms.by_first.entry(term).or_default().push(place);
                }
            }
        }
        Ok(synonyms)
    }

    /// How many words and phrases there are.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// What the words of a question stand for beside themselves, in the order of the question; nothing twice, and nothing that
    /// the question has already. A word is the same as another when they share a term in some language.
    pub(crate) fn of(&self, words: &[&[String]]) -> Vec<Synonym> {
        let mut found: Vec<Synonym> = Vec::new();
        let mut seen = HashSet::new();
        for start in 0..words.len() {
            let mut from: Vec<usize> = Vec::new();
            for &place in words[start].iter().filter_map(|term| self.by_first.get(term)).flatten() {
                if !from.contains(&place) && begins_with(&words[start..], &self.entries[place].terms) {
                    from.push(place);
                }
            }
            for from in from {
                for &to in &self.stands_for[&from] {
                    let entry = &self.entries[to];
                    let asked = words.windows(entry.terms.len()).any(|window| begins_with(window, &entry.terms));
                    if !asked && found.len() < MOST_FOUND && seen.insert(to) {
                        let of: Vec<&str> = self.entries[from].terms.iter().map(|terms| terms[0].as_str()).collect();
                        let (words, terms) = (entry.words.clone(), entry.terms.clone());
                        found.push(Synonym { words, of: of.join(" "), terms, in_title: false });
                    }
                }
            }
        }
        found
    }
}

fn begins_with(words: &[&[String]], entry: &[Vec<String>]) -> bool {
    let is_same = |(word, terms): (&&[String], &Vec<String>)| word.iter().any(|term| terms.contains(term));
    words.len() >= entry.len() && words.iter().zip(entry).all(is_same)
}

/// An entry as terms of the index.
fn spelled(words: &str, analyses: &Analyses) -> Vec<Vec<String>> {
    let words = analysis::words(words, analyses).into_iter();
    words.filter(|word| !word.is_part).map(|word| word.terms).collect()
}

impl Snapshot {
    /// The synonyms as they were given; none where there are none.
    pub fn synonyms_text(&self) -> Option<&str> {
        self.texts().synonyms.as_deref()
    }
}

impl IndexWriter {
    /// Puts synonyms in the place of those that are there, from the next commit on; none removes them. Returns how many words
    /// there are.
    ///
    /// # Errors
    /// `BadSynonyms`.
    pub fn set_synonyms(&mut self, text: Option<&str>) -> Result<usize, Error> {
        let entries = match text {
            None => 0,
            Some(text) if text.len() > beside::MOST_BYTES => {
                let reason = format!("they take {} bytes, at most {} are possible", text.len(), beside::MOST_BYTES);
                return Err(Error::BadSynonyms { line: 1, reason });
            }
            Some(text) => match Synonyms::parse(text) {
                Ok(synonyms) => synonyms.entries(),
                Err(SynonymFault { line, reason }) => return Err(Error::BadSynonyms { line, reason }),
            },
        };
        self.beside.replace(beside::Kind::Synonyms, text.filter(|_| entries > 0).map(str::to_owned));
        self.mark_changed();
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, question: &str) -> Vec<String> {
        let terms = spelled(question, &Analyses::default());
        let terms: Vec<&[String]> = terms.iter().map(Vec::as_slice).collect();
        let found = Synonyms::parse(text).unwrap().of(&terms);
        found.into_iter().map(|synonym| format!("{} for {}", synonym.words, synonym.of)).collect()
    }

    #[test]
    fn groups_are_mutual_and_arrows_are_not() {
        let text = "# vehicles\ncar, Automobile, motor car\njs => JavaScript, ECMAScript # one way\n\n";
        assert_eq!(check(text, "fast cars"), ["Automobile for car", "motor car for car"]);
        assert_eq!(check(text, "AUTOMOBILE"), ["car for automobil", "motor car for automobil"]);
        assert_eq!(check(text, "js"), ["JavaScript for js", "ECMAScript for js"]);
        assert!(check(text, "javascript").is_empty() && check(text, "vehicles").is_empty());
    }

    #[test]
    fn several_words_are_found_side_by_side_only() {
        let text = "nyc, new york, new york city";
        assert_eq!(check(text, "new york hotels"), ["nyc for new york", "new york city for new york"]);
        assert!(check(text, "york, the new one").is_empty());
        assert_eq!(check(text, "nyc nyc"), ["new york for nyc", "new york city for nyc"]);
        assert!(check("a b, c", "a b c").is_empty(), "what is asked for already is not added");
    }

    #[test]
    fn a_line_that_says_nothing_is_named() {
        for (text, line, part) in [
            ("a, b\nalone", 2, "one word alone"),
            ("a, , b", 1, "'' is no word"),
            ("a =>", 1, "'' is no word"),
            ("=> b", 1, "'' is no word"),
            ("car, cars", 1, "one word alone"),
            ("!, ?", 1, "'!' is no word"),
            (&format!("a, {}", "w x ".repeat(9)), 1, "more than 16 words"),
            (&(0..300).map(|n| format!("w{n}")).collect::<Vec<_>>().join(", "), 1, "more than 256 words"),
        ] {
            let fault = Synonyms::parse(text).unwrap_err();
            assert!(fault.line == line && fault.reason.contains(part), "{text}: {fault:?}");
        }
        assert_eq!(Synonyms::parse("\u{feff}# nothing\n \n").unwrap().entries(), 0);
    }

    proptest! {
        #[test]
        fn nothing_that_can_be_typed_panics_and_nothing_is_added_twice(
            text in "([a-d]{1,2}(, |\n| => | ))*[a-d]",
            question in "([a-d]{1,2} ){0,8}",
        ) {
            let Ok(synonyms) = Synonyms::parse(&text) else { return Ok(()) };
            let terms = spelled(&question, &Analyses::default());
            let terms: Vec<&[String]> = terms.iter().map(Vec::as_slice).collect();
            let found = synonyms.of(&terms);
            let distinct: HashSet<&Vec<Vec<String>>> = found.iter().map(|synonym| &synonym.terms).collect();
            prop_assert_eq!(distinct.len(), found.len());
            for synonym in &found {
                prop_assert!(!terms.windows(synonym.terms.len()).any(|window| begins_with(window, &synonym.terms)));
            }
        }
    }
}
