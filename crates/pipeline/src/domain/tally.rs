//! What is counted of documents: how the tokenizer cuts their words, how long they are, in which language.
//!
//! Counts of documents can be added in any order but the kept examples of words, which are those that came first.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use berth_chunker::WindowOptions;
use berth_encoder::Tokens;
use berth_index::detect_language;
use berth_index::duplicates::Sketch;
use berth_types::Document;

use super::Reading;
use super::perplexity::passage;
use super::sampling::mixed;
use crate::Error;
use crate::prepare::TITLE_SHARE;

/// From so many pieces on a word counts as cut up: English words that a vocabulary of 30,000 pieces lacks mostly take two or
/// three.
pub(super) const LONG_SPLIT: usize = 4;
/// Different words that are kept to find the most frequent; beyond that, the rarest are forgotten.
const MOST_DISTINCT: usize = 200_000;
/// Characters of a word that are kept.
const WORD_CHARS: usize = 60;

/// Counts over documents.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Pieces of titles and texts.
    pub(super) tokens: u64,
    pub(super) words: u64,
    /// Words that have a letter.
    pub(super) letter_words: u64,
    /// Their pieces.
    pub(super) letter_pieces: u64,
    /// Words that have neither letter nor digit.
    pub(super) signs: u64,
    /// Pieces that stand for something outside the vocabulary.
    pub(super) unknown_tokens: u64,
    /// Words with such a piece.
    pub(super) unknown_words: u64,
    /// Words with a letter of [`LONG_SPLIT`] pieces or more.
    pub(super) long_splits: u64,
    /// Pieces that go on with a word.
    pub(super) continuing: u64,
    /// Pieces of a single character in words of several.
    pub(super) single: u64,
    /// A bit for each piece of the vocabulary that occurs.
    used: Vec<u64>,
    /// Unknown words.
    pub(super) unknown: Frequencies<String>,
    /// Long splits by their pieces, each with a word that is cut so.
    pub(super) splits: Frequencies<Vec<u32>>,
    /// Of each document that is not empty: pieces of its title and text.
    pub(super) lengths: Vec<u32>,
    pub(super) windows: u64,
    /// Documents of more than one window.
    pub(super) beyond_window: usize,
    /// Documents of more ids than the model was trained with.
    pub(super) beyond_trained: usize,
    /// Documents of more ids than the model takes.
    pub(super) beyond_most: usize,
    pub(super) languages: BTreeMap<Option<&'static str>, usize>,
    /// Of each document that is not empty, and no copy of one before it.
    pub(super) sketches: Vec<Sketch>,
    /// Passages to foresee, by numbers that look random: the first ones are a sample.
    pub(super) passages: BTreeMap<u64, String>,
}

/// How often each of many things occurs, with an example of it.
#[derive(Debug)]
pub(super) struct Frequencies<K> {
    counts: HashMap<K, (u64, String)>,
}

impl<K> Default for Frequencies<K> {
    fn default() -> Self {
        Self { counts: HashMap::new() }
    }
}

impl<K: std::hash::Hash + Eq + Ord> Frequencies<K> {
    fn add(&mut self, key: K, count: u64, example: impl FnOnce() -> String) {
        self.counts.entry(key).or_insert_with(|| (0, example())).0 += count;
    }

    fn append(&mut self, other: Self) {
        for (key, (count, example)) in other.counts {
            self.add(key, count, || example);
        }
        let mut least = 1;
        while self.counts.len() > MOST_DISTINCT {
            self.counts.retain(|_, (count, _)| *count > least);
            least *= 2;
        }
    }

    /// All of them: key, example, how often.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &str, u64)> {
        self.counts.iter().map(|(key, (count, example))| (key, example.as_str(), *count))
    }

    /// The most frequent, those of one frequency by their keys.
    pub(super) fn top(&self, most: usize) -> Vec<(&K, &str, u64)> {
        let mut all: Vec<_> = self.iter().collect();
        all.sort_unstable_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(b.0)));
        all.truncate(most);
        all
    }
}

impl Tally {
    /// Counts the document that stands at `place`; `is_copy` says that one before it has the same title and text.
    ///
    /// # Errors
    /// What the tokenizer says of it.
    pub(super) fn of(place: u64, document: &Document, is_copy: bool, reading: &Reading) -> Result<Self, Error> {
        let mut tally = Self::default();
        let title = reading.tokenizer.tokenize(&document.title)?;
        let text = reading.tokenizer.tokenize(&document.text)?;
        tally.count_words(&document.title, &title, reading.tokenizer.unknown_id());
        tally.count_words(&document.text, &text, reading.tokenizer.unknown_id());
        if text.ids.is_empty() {
            return Ok(tally);
        }
        tally.count_length(&document.text, title.ids.len(), &text, reading)?;
        tally.languages.insert(detect_language(&document.title, &document.text), 1);
        if !is_copy {
            tally.sketches.push(Sketch::of(&document.text));
        }
        if reading.passages > 0 {
            let number = mixed(reading.seed.wrapping_add(1), place);
            tally.passages.extend(passage(&document.text, &text, number).map(|passage| (number, passage.to_owned())));
        }
        Ok(tally)
    }

    fn count_words(&mut self, text: &str, tokens: &Tokens, unknown_id: Option<u32>) {
        self.tokens += tokens.ids.len() as u64;
        self.words += tokens.words as u64;
        self.unknown_tokens += tokens.unknown as u64;
        let mut first = 0;
        for pieces in tokens.word_of.chunk_by(|a, b| a == b) {
            let word = first..first + pieces.len();
            first = word.end;
            let ids = &tokens.ids[word.clone()];
            let bytes = tokens.offsets[word.start].start as usize..tokens.offsets[word.end - 1].end as usize;
            let written = &text[bytes];
            let example = || written.chars().take(WORD_CHARS).collect::<String>();
            for &id in ids {
                self.use_piece(id);
            }
            let has_letter = written.contains(char::is_alphabetic);
            self.letter_words += u64::from(has_letter);
            self.letter_pieces += if has_letter { ids.len() as u64 } else { 0 };
            self.signs += u64::from(!has_letter && !written.contains(char::is_numeric));
            if unknown_id.is_some_and(|unknown| ids.contains(&unknown)) {
                self.unknown_words += 1;
                self.unknown.add(example(), 1, example);
                continue;
            }
            if ids.len() > 1 {
                self.continuing += ids.len() as u64 - 1;
                let single =
                    |range: &Range<u32>| text[range.start as usize..range.end as usize].chars().nth(1).is_none();
                self.single += tokens.offsets[word.clone()].iter().filter(|range| single(range)).count() as u64;
            }
            if ids.len() >= LONG_SPLIT && has_letter {
                self.long_splits += 1;
                self.splits.add(ids.to_vec(), 1, example);
            }
        }
    }

    /// Cuts the document as an index would.
    fn count_length(
        &mut self,
        text: &str,
        title_tokens: usize,
        tokens: &Tokens,
        reading: &Reading,
    ) -> Result<(), Error> {
        let all = title_tokens + tokens.ids.len();
        self.lengths.push(u32::try_from(all).unwrap_or(u32::MAX));
        let free = reading.window_tokens.saturating_sub(reading.reserved_tokens);
        let title_read = title_tokens.min(reading.window_tokens / TITLE_SHARE).min(free / 2);
        let body = free - title_read;
        let options = WindowOptions { window_tokens: body, overlap_tokens: reading.overlap_tokens.min(body / 2) };
        let windows = berth_chunker::windows(text, &tokens.offsets, &options)?.len();
        self.windows += windows as u64;
        self.beyond_window += usize::from(windows > 1);
        let row = all + reading.reserved_tokens;
        self.beyond_trained += usize::from(reading.trained_tokens.is_some_and(|trained| row > trained));
        self.beyond_most += usize::from(row > reading.max_tokens);
        Ok(())
    }

    fn use_piece(&mut self, id: u32) {
        let (place, bit) = (id as usize / 64, id % 64);
        if self.used.len() <= place {
            self.used.resize(place + 1, 0);
        }
        self.used[place] |= 1 << bit;
    }

    /// Different pieces that occur.
    pub(super) fn used_pieces(&self) -> usize {
        self.used.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    /// Adds what was counted of documents that come after these.
    pub(super) fn append(&mut self, other: Self, most_passages: usize) {
        self.tokens += other.tokens;
        self.words += other.words;
        self.letter_words += other.letter_words;
        self.letter_pieces += other.letter_pieces;
        self.signs += other.signs;
        self.unknown_tokens += other.unknown_tokens;
        self.unknown_words += other.unknown_words;
        self.long_splits += other.long_splits;
        self.continuing += other.continuing;
        self.single += other.single;
        if self.used.len() < other.used.len() {
            self.used.resize(other.used.len(), 0);
        }
        for (bits, more) in self.used.iter_mut().zip(other.used) {
            *bits |= more;
        }
        self.unknown.append(other.unknown);
        self.splits.append(other.splits);
        self.lengths.extend(other.lengths);
        self.windows += other.windows;
        self.beyond_window += other.beyond_window;
        self.beyond_trained += other.beyond_trained;
        self.beyond_most += other.beyond_most;
        for (code, documents) in other.languages {
            *self.languages.entry(code).or_default() += documents;
        }
        self.sketches.extend(other.sketches);
        self.passages.extend(other.passages);
        while self.passages.len() > most_passages {
            self.passages.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_come_first_and_the_rarest_are_forgotten() {
        let mut all = Frequencies::default();
        for (word, count) in [("b", 2), ("a", 2), ("c", 5)] {
            all.add(word.to_owned(), count, || word.to_uppercase());
        }
        let top: Vec<_> = all.top(2).into_iter().map(|one| one.1).collect();
        assert_eq!(top, ["C", "A"]);
        let mut many = Frequencies::default();
        for number in 0..MOST_DISTINCT as u32 {
            many.add(number, 1, String::new);
        }
        let mut more = Frequencies::default();
        more.add(7, 1, String::new);
        more.add(u32::MAX, 3, String::new);
        many.append(more);
        assert_eq!(many.iter().count(), 2);
    }
}
