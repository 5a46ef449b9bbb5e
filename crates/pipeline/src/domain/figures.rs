//! What is said of a collection, out of what was counted. Shares lie between 0 and 1.

use std::collections::{BTreeMap, HashMap};

use berth_encoder::TextTokenizer;
use serde::Serialize;

use super::Reading;
use super::tally::Tally;
use crate::Error;

/// Unknown words and characters that are named.
const UNKNOWN_NAMED: usize = 10;

/// How the tokenizer reads the words of the sample.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct VocabularyFigures {
    /// Pieces of titles and texts.
    pub tokens: u64,
    /// Words, as the tokenizer tells them apart; a punctuation mark is one.
    pub words: u64,
    /// Pieces for something outside the vocabulary, of all pieces.
    pub unknown_share: f64,
    /// Words with such a piece, of all words.
    pub unknown_word_share: f64,
    /// Pieces in a word; what `berth index` warns by.
    pub pieces_per_word: f64,
    /// Pieces in a word that has a letter: punctuation and numbers say nothing of a domain's words.
    pub pieces_per_letter_word: f64,
    /// Words without letter or digit, of all words: what source code, formulas and tables have many of.
    pub sign_share: f64,
    /// Words that are cut into four pieces or more, of all words with a letter.
    pub long_split_share: f64,
    /// Pieces that go on with a word, of all pieces.
    pub continuing_share: f64,
    /// Pieces of a single character in words of several pieces, of all pieces.
    pub single_character_share: f64,
    /// Pieces of the vocabulary that occur, of all that there are.
    pub used_share: f64,
    /// The most frequent words that cannot be read.
    pub unknown_words: Vec<Frequent>,
    /// The most frequent characters that cannot be read even alone.
    pub unknown_characters: Vec<Frequent>,
    /// The most frequent words of four pieces or more.
    pub split_words: Vec<SplitWord>,
}

/// Something, and how often it occurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Frequent {
    /// As written where it first stands.
    pub text: String,
    /// How often.
    pub count: u64,
}

/// A word that the model knows only in pieces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitWord {
    /// As written where it first stands.
    pub text: String,
    /// What the model reads.
    pub pieces: Vec<String>,
    /// How often.
    pub count: u64,
}

/// How long the documents of the sample are that are not empty, titles included.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct LengthFigures {
    /// Tokens of the shortest.
    pub least: u32,
    /// A quarter has at most so many.
    pub p25: u32,
    /// Half of them.
    pub median: u32,
    /// Three quarters.
    pub p75: u32,
    /// Nine of ten.
    pub p90: u32,
    /// 99 of 100.
    pub p99: u32,
    /// Tokens of the longest.
    pub most: u32,
    /// The mean.
    pub mean: f64,
    /// Documents of more than one window.
    pub beyond_window_share: f64,
    /// Documents longer than what the model was trained with; none where that is not known.
    pub beyond_trained_share: Option<f64>,
    /// Documents that the model could not take at once.
    pub beyond_most_share: f64,
    /// Windows in a document, on average.
    pub windows_per_document: f64,
    /// Documents by length, in steps of a factor of √2.
    pub histogram: Vec<LengthBin>,
}

/// Documents of about the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LengthBin {
    /// Fewest tokens.
    pub from: u32,
    /// Tokens that are too many.
    pub to: u32,
    /// Documents.
    pub documents: usize,
}

/// The documents of one language.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LanguageFigures {
    /// ISO 639-1; none for texts whose language cannot be told, such as source code.
    pub code: Option<&'static str>,
    /// Documents of the sample that are not empty.
    pub documents: usize,
    /// Of all these.
    pub share: f64,
    /// Whether the model was trained for it; none where the card or the text does not say.
    pub claimed: Option<bool>,
}

/// Says how words are read; `named` is the most split words to name.
///
/// # Errors
/// What the tokenizer says of a character.
pub(super) fn vocabulary(tally: &Tally, reading: &Reading, named: usize) -> Result<VocabularyFigures, Error> {
    let tokenizer = &reading.tokenizer;
    let of_tokens = |count: u64| share(count, tally.tokens);
    let of_words = |count: u64| share(count, tally.words);
    let split_words = tally.splits.top(named).into_iter().map(|(ids, text, count)| SplitWord {
        text: text.to_owned(),
        pieces: ids.iter().map(|&id| tokenizer.piece(id).unwrap_or_default()).collect(),
        count,
    });
    let unknown_words = tally.unknown.top(UNKNOWN_NAMED).into_iter();
    Ok(VocabularyFigures {
        tokens: tally.tokens,
        words: tally.words,
        unknown_share: of_tokens(tally.unknown_tokens),
        unknown_word_share: of_words(tally.unknown_words),
        pieces_per_word: of_words(tally.tokens),
        pieces_per_letter_word: share(tally.letter_pieces, tally.letter_words),
        sign_share: of_words(tally.signs),
        long_split_share: share(tally.long_splits, tally.letter_words),
        continuing_share: of_tokens(tally.continuing),
        single_character_share: of_tokens(tally.single),
        used_share: share(tally.used_pieces() as u64, tokenizer.vocabulary_size() as u64),
        unknown_words: unknown_words.map(|(_, text, count)| Frequent { text: text.to_owned(), count }).collect(),
        unknown_characters: unknown_characters(tally, tokenizer)?,
        split_words: split_words.collect(),
    })
}

/// The characters of unknown words that are unknown alone, too.
fn unknown_characters(tally: &Tally, tokenizer: &TextTokenizer) -> Result<Vec<Frequent>, Error> {
    let mut counts: HashMap<char, u64> = HashMap::new();
    for (_, word, count) in tally.unknown.iter() {
        for character in word.chars() {
            *counts.entry(character).or_default() += count;
        }
    }
    let mut counts: Vec<(char, u64)> = counts.into_iter().collect();
    counts.sort_unstable_by_key(|&(character, count)| (std::cmp::Reverse(count), character));
    let mut unknown = Vec::new();
    for (character, count) in counts {
        if unknown.len() == UNKNOWN_NAMED {
            break;
        }
        let text = character.to_string();
        if tokenizer.tokenize(&text)?.unknown > 0 {
            unknown.push(Frequent { text, count });
        }
    }
    Ok(unknown)
}

/// Says how long documents are.
pub(super) fn lengths(tally: &Tally, reading: &Reading) -> LengthFigures {
    let mut sorted = tally.lengths.clone();
    sorted.sort_unstable();
    let count = sorted.len();
    // The least length that at least this share of documents does not exceed.
    let quantile = |share: f64| {
        let place = (share * count as f64).ceil() as usize;
        sorted.get(place.clamp(1, count.max(1)) - 1).copied().unwrap_or(0)
    };
    let of_all = |documents: usize| share(documents as u64, count as u64);
    LengthFigures {
        least: quantile(0.0),
        p25: quantile(0.25),
        median: quantile(0.5),
        p75: quantile(0.75),
        p90: quantile(0.9),
        p99: quantile(0.99),
        most: quantile(1.0),
        mean: share(sorted.iter().map(|&length| u64::from(length)).sum(), count as u64),
        beyond_window_share: of_all(tally.beyond_window),
        beyond_trained_share: reading.trained_tokens.map(|_| of_all(tally.beyond_trained)),
        beyond_most_share: of_all(tally.beyond_most),
        windows_per_document: share(tally.windows, count as u64),
        histogram: histogram(&sorted),
    }
}

/// Counts lengths between bounds that grow by √2 from 1, 2 and so on; equal ones that rounding leaves are one.
fn histogram(sorted: &[u32]) -> Vec<LengthBin> {
    let (Some(&least), Some(&most)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let bound = |step: i32| 2_f64.powf(f64::from(step) / 2.0).round().min(f64::from(u32::MAX)) as u32;
    let mut bins: Vec<LengthBin> = Vec::new();
    for step in 0..64 {
        let (from, to) = (bound(step), bound(step + 1));
        if from == to || to <= least {
            continue;
        }
        if from > most {
            break;
        }
        let documents = sorted.partition_point(|&length| length < to) - sorted.partition_point(|&length| length < from);
        bins.push(LengthBin { from, to, documents });
    }
    bins
}

/// Says which languages there are, the most frequent first.
pub(super) fn languages(counts: &BTreeMap<Option<&'static str>, usize>, claimed: &[String]) -> Vec<LanguageFigures> {
    let all: usize = counts.values().sum();
    let mut languages: Vec<LanguageFigures> = counts
        .iter()
        .map(|(&code, &documents)| LanguageFigures {
            code,
            documents,
            share: share(documents as u64, all as u64),
            claimed: code.filter(|_| !claimed.is_empty()).map(|code| claimed.iter().any(|one| one == code)),
        })
        .collect();
    languages.sort_by_key(|language| std::cmp::Reverse(language.documents));
    languages
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_in_one_bin() {
        let sorted = [1, 1, 2, 3, 4, 5, 6, 200, 256, 257, 1_000_000];
        let bins = histogram(&sorted);
        assert_eq!(bins.iter().map(|bin| bin.documents).sum::<usize>(), sorted.len());
        assert!(bins.windows(2).all(|pair| pair[0].to == pair[1].from && pair[0].from < pair[0].to), "{bins:?}");
        assert_eq!((bins[0].from, bins[0].documents), (1, 2));
        let at = |from: u32| bins.iter().find(|bin| bin.from == from).unwrap().documents;
        // A window of 256 tokens is a bound.
        assert_eq!((at(256), at(181)), (2, 1));
        assert!(histogram(&[]).is_empty());
    }

    #[test]
    fn languages_are_claimed_or_not() {
        let counts = BTreeMap::from([(None, 1), (Some("en"), 2), (Some("ko"), 5)]);
        let claimed = ["en".to_owned()];
        let said: Vec<_> = languages(&counts, &claimed).into_iter().map(|one| (one.code, one.claimed)).collect();
        assert_eq!(said, [(Some("ko"), Some(false)), (Some("en"), Some(true)), (None, None)]);
        assert!(languages(&counts, &[]).iter().all(|one| one.claimed.is_none()));
    }
}
