//! The phrases that set a text apart from the others of its collection.
//!
//! Candidates are runs of words without stop words or punctuation, as in RAKE (Rose, Engel, Cramer and Cowley, *Automatic
//! keyword extraction from individual documents*, 2010), weighted by how often they stand in the text and how rare their words
//! are in the collection.

use std::collections::{BTreeMap, HashMap, HashSet};

use rayon::prelude::*;
use unicode_segmentation::UnicodeSegmentation as _;

use super::PlainDocument;

/// Words of a phrase, at most.
const PHRASE_WORDS: usize = 3;
/// Phrases that are joined to a question.
const MIN_PHRASES: usize = 2;
const MAX_PHRASES: usize = 4;
/// A word that stands in a larger share of the documents says nothing, where there are enough documents to tell.
const COMMON_SHARE: f64 = 0.25;
const ENOUGH_DOCUMENTS: usize = 20;
/// Bytes at the head of a text that phrases are sought in: enough for its subject, and bounded.
const HEAD_BYTES: usize = 64 * 1024;

/// Words that carry no meaning of their own, for collections too small to show it.
const STOP_WORDS: [&str; 96] = [
    "about", "above", "after", "again", "all", "also", "an", "and", "any", "are", "as", "at", "be", "because", "been",
    "before", "being", "below", "between", "both", "but", "by", "can", "could", "did", "do", "does", "during", "each",
    "few", "for", "from", "further", "had", "has", "have", "he", "her", "here", "his", "how", "however", "if", "in",
    "into", "is", "it", "its", "may", "more", "most", "no", "nor", "not", "of", "on", "only", "or", "other", "our",
    "out", "over", "own", "same", "she", "should", "so", "some", "such", "than", "that", "the", "their", "them",
    "then", "there", "these", "they", "this", "those", "through", "to", "under", "until", "up", "very", "was", "we",
    "were", "what", "when", "where", "which", "while", "with", "would",
];

/// In how many documents of a collection each word stands.
pub(super) struct Vocabulary {
    documents: usize,
    frequencies: HashMap<String, u32>,
}

impl Vocabulary {
    pub(super) fn of(documents: &[PlainDocument<'_>]) -> Self {
        let count = |mut frequencies: HashMap<String, u32>, document: &PlainDocument<'_>| {
            let words: HashSet<String> = head(document.text).unicode_words().map(str::to_lowercase).collect();
            for word in words {
                *frequencies.entry(word).or_default() += 1;
            }
            frequencies
        };
        let join = |one: HashMap<String, u32>, other: HashMap<String, u32>| {
            let (mut large, small) = if one.len() >= other.len() { (one, other) } else { (other, one) };
            for (word, documents) in small {
                *large.entry(word).or_default() += documents;
            }
            large
        };
        let frequencies = documents.par_iter().fold(HashMap::new, count).reduce(HashMap::new, join);
        Self { documents: documents.len(), frequencies }
    }

    /// The best phrases of a text, best first; nothing where there are too few.
    pub(super) fn keyphrases(&self, text: &str) -> String {
        let text = head(text);
        let mut counts: BTreeMap<Vec<String>, (usize, &str)> = BTreeMap::new();
        for run in self.runs(text) {
            for first in 0..run.len() {
                for phrase in (1..=PHRASE_WORDS.min(run.len() - first)).map(|words| &run[first..first + words]) {
                    let (start, end) = (phrase[0].start, phrase[phrase.len() - 1].end());
                    let words = phrase.iter().map(|word| word.folded.clone()).collect();
                    counts.entry(words).or_insert((0, &text[start..end])).0 += 1;
                }
            }
        }
        let weight =
            |words: &[String], count: usize| count as f64 * words.iter().map(|word| self.rarity(word)).sum::<f64>();
        let mut phrases: Vec<(f64, Vec<String>, &str)> =
            counts.into_iter().map(|(words, (count, shown))| (weight(&words, count), words, shown)).collect();
        phrases.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let mut taken: HashSet<&String> = HashSet::new();
        let mut chosen = Vec::new();
        for (_, words, shown) in &phrases {
            if chosen.len() < MAX_PHRASES && !words.iter().any(|word| taken.contains(word)) {
                taken.extend(words);
                chosen.push(*shown);
            }
        }
        if chosen.len() < MIN_PHRASES { String::new() } else { chosen.join(" ") }
    }

    /// Runs of words that may form phrases: only spaces or hyphens stand between them.
    fn runs<'t>(&self, text: &'t str) -> Vec<Vec<Word<'t>>> {
        let mut runs: Vec<Vec<Word<'t>>> = Vec::new();
        let mut run_end = None;
        for (start, shown) in text.unicode_word_indices() {
            let word = Word { start, shown, folded: shown.to_lowercase() };
            if self.is_stop_word(&word.folded) {
                run_end = None;
                continue;
            }
            let end = word.end();
            let joined =
                run_end.is_some_and(|end: usize| text[end..start].chars().all(|between| " -\n".contains(between)));
            match runs.last_mut() {
                Some(run) if joined => run.push(word),
                _ => runs.push(vec![word]),
            }
            run_end = Some(end);
        }
        runs
    }

    fn is_stop_word(&self, word: &str) -> bool {
        let is_common = || {
            let documents = f64::from(self.frequencies.get(word).copied().unwrap_or(0));
            self.documents >= ENOUGH_DOCUMENTS && documents > COMMON_SHARE * self.documents as f64
        };
        let letters = word.chars().filter(|character| character.is_alphabetic()).count();
        let is_single_latin = word.len() == 1;
        letters == 0 || is_single_latin || STOP_WORDS.binary_search(&word).is_ok() || is_common()
    }

    /// ln(1 + documents / documents with the word).
    fn rarity(&self, word: &str) -> f64 {
        let documents = f64::from(self.frequencies.get(word).copied().unwrap_or(1));
        (1.0 + self.documents as f64 / documents).ln()
    }
}

struct Word<'t> {
    start: usize,
    shown: &'t str,
    folded: String,
}

impl Word<'_> {
    fn end(&self) -> usize {
        self.start + self.shown.len()
    }
}

fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(HEAD_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(texts: &[&str]) -> Vocabulary {
        let documents: Vec<_> = texts.iter().map(|text| PlainDocument { id: "", title: "", text }).collect();
        Vocabulary::of(&documents)
    }

    #[test]
    fn what_is_frequent_here_and_rare_elsewhere_comes_first() {
        let text = "Boundary-layer control and the wing. The wing has Boundary-layer control, and flaps.";
        let others = ["The wing and the tail.", "A wing, flaps and a rudder.", "Flaps of the wing."];
        let found = vocabulary(&[&[text], &others[..]].concat()).keyphrases(text);
        assert_eq!(found, "Boundary-layer control wing flaps");
    }

    #[test]
    fn common_words_of_the_collection_are_stop_words_in_any_language() {
        let texts: Vec<String> = (0..30).map(|place| format!("und der Motor{place} mit Getriebe{place}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(vocabulary(&texts).keyphrases(texts[3]), "Getriebe3 Motor3");
    }

    #[test]
    fn too_little_gives_nothing() {
        for text in ["", "the and of", "wing", "1 2 3"] {
            assert_eq!(vocabulary(&[text]).keyphrases(text), "", "{text}");
        }
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }
}
