//! What is no question, what is one twice, and which to take where there are more than wanted.

use std::collections::{HashMap, HashSet};

use unicode_segmentation::UnicodeSegmentation as _;

use super::{PairKind, PairOptions, PlainDocument, PseudoQueries, PseudoQuery};

/// Letters have to be at least this share of the characters that are no white space.
const LETTER_SHARE: f64 = 0.5;

/// A sentence out of a text says nothing by itself in fewer words.
const MIN_SENTENCE_WORDS: usize = 5;

/// How many candidates were dropped, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Fewer words than wanted.
    pub too_short: usize,
    /// More words than wanted.
    pub too_long: usize,
    /// Mostly digits and symbols.
    pub few_letters: usize,
    /// Said by the same document before, but for case and punctuation.
    pub duplicate: usize,
    /// Said by several documents, so that it asks for none of them.
    pub ambiguous: usize,
    /// More than wanted of one kind, from one document or in all.
    pub over_limit: usize,
}

/// `text` on one line, with single spaces.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Keeps what can be a question, once, and no more than is wanted.
pub(super) struct Sieve<'a> {
    pub(super) documents: &'a [PlainDocument<'a>],
    pub(super) options: &'a PairOptions,
}

impl Sieve<'_> {
    /// `made` are the candidates of each document.
    pub(super) fn sift(&self, made: Vec<Vec<PseudoQuery>>) -> PseudoQueries {
        let mut dropped = Dropped::default();
        let mut kept: Vec<(PseudoQuery, String)> = Vec::new();
        for queries in made {
            let mut said = HashSet::new();
            for query in queries {
                if !self.can_be_asked(&query, &mut dropped) {
                    continue;
                }
                let folded = folded(&query.text);
                if said.insert(folded.clone()) {
                    kept.push((query, folded));
                } else {
                    dropped.duplicate += 1;
                }
            }
        }
        let mut documents_of: HashMap<&str, usize> = HashMap::new();
        for (_, folded) in &kept {
            *documents_of.entry(folded).or_default() += 1;
        }
        let alone: Vec<bool> = kept.iter().map(|(_, folded)| documents_of[folded.as_str()] == 1).collect();
        let mut queries = Vec::with_capacity(kept.len());
        for ((query, _), alone) in kept.into_iter().zip(alone) {
            if alone {
                queries.push(query);
            } else {
                dropped.ambiguous += 1;
            }
        }
        let all = queries.len();
        let queries = self.limited(queries);
        dropped.over_limit += all - queries.len();
        PseudoQueries { queries, dropped }
    }

    fn can_be_asked(&self, query: &PseudoQuery, dropped: &mut Dropped) -> bool {
        let text = query.text.as_str();
        let is_sentence = matches!(query.kind, PairKind::FirstSentence | PairKind::InverseCloze | PairKind::Citation);
        let min_words = self.options.min_words.max(if is_sentence { MIN_SENTENCE_WORDS } else { 0 });
        let words = text.unicode_words().count();
        let characters = text.chars().filter(|character| !character.is_whitespace()).count();
        let letters = text.chars().filter(|character| character.is_alphabetic()).count();
        let reason = if words < min_words {
            &mut dropped.too_short
        } else if words > self.options.max_words {
            &mut dropped.too_long
        } else if (letters as f64) < LETTER_SHARE * characters as f64 {
            &mut dropped.few_letters
        } else {
            return true;
        };
        *reason += 1;
        false
    }

    /// Takes those that come first by a hash of seed, kind, id and text, in each document and then in all; their order stays.
    fn limited(&self, queries: Vec<PseudoQuery>) -> Vec<PseudoQuery> {
        let mut order: Vec<([u8; 32], usize)> =
            queries.iter().enumerate().map(|(place, query)| (self.lot(query), place)).collect();
        order.sort_unstable();
        let (mut of_document, mut of_kind) = (HashMap::new(), HashMap::new());
        let mut chosen = vec![false; queries.len()];
        for (_, place) in order {
            let query = &queries[place];
            let in_document: &mut usize = of_document.entry((query.document, query.kind)).or_default();
            let in_kind: &mut usize = of_kind.entry(query.kind).or_default();
            if *in_document < self.options.per_document && *in_kind < self.options.per_kind {
                *in_document += 1;
                *in_kind += 1;
                chosen[place] = true;
            }
        }
        queries.into_iter().zip(chosen).filter_map(|(query, chosen)| chosen.then_some(query)).collect()
    }

    fn lot(&self, query: &PseudoQuery) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.options.seed.to_le_bytes());
        for part in [query.kind.as_str(), self.documents[query.document].id, &query.text] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        hasher.finalize().into()
    }
}

/// Words in lower case, without what stands between them.
fn folded(text: &str) -> String {
    text.unicode_words().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(document: usize, text: &str) -> PseudoQuery {
        PseudoQuery { kind: PairKind::Title, text: text.to_owned(), document, byte_range: None }
    }

    fn sift(made: Vec<Vec<PseudoQuery>>, options: &PairOptions) -> PseudoQueries {
        let ids: Vec<String> = (0..made.len()).map(|place| place.to_string()).collect();
        let documents: Vec<_> = ids.iter().map(|id| PlainDocument { id, title: "", text: "" }).collect();
        Sieve { documents: &documents, options }.sift(made)
    }

    #[test]
    fn reasons_are_counted() {
        let made = vec![
            vec![query(0, "One"), query(0, "one two three four"), query(0, "1.0 2.0 x 3.0"), query(0, "Good one")],
            vec![query(1, "good, one!"), query(1, "Well said"), query(1, "WELL SAID."), query(1, "left out")],
        ];
        let options = PairOptions { max_words: 3, per_document: 1, ..PairOptions::default() };
        let found = sift(made, &options);
        let expected = Dropped { too_short: 1, too_long: 2, few_letters: 0, duplicate: 1, ambiguous: 2, over_limit: 1 };
        assert_eq!((found.dropped, found.queries.len()), (expected, 1));
        let found = sift(vec![vec![query(0, "12 34 ab")]], &options);
        assert_eq!(found.dropped, Dropped { few_letters: 1, ..Dropped::default() });
    }

    #[test]
    fn words_are_counted_without_spaces_too() {
        let found = sift(vec![vec![query(0, "机翼的升力"), query(0, "날개의 양력")]], &PairOptions::default());
        assert_eq!(found.queries.len(), 2);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_uncounted(
            texts in prop::collection::vec(prop::collection::vec("[a-c]{1,2}( [a-c0-9]{1,2}){0,4}", 0..5), 0..6),
            per_document in 0_usize..3, per_kind in 0_usize..8, seed: u64,
        ) {
            let made: Vec<Vec<PseudoQuery>> = texts.iter().enumerate()
                .map(|(place, texts)| texts.iter().map(|text| query(place, text)).collect()).collect();
            let all: usize = made.iter().map(Vec::len).sum();
            let options = PairOptions { per_document, per_kind, max_words: 4, seed, ..PairOptions::default() };
            let PseudoQueries { queries, dropped } = sift(made, &options);
            let Dropped { too_short, too_long, few_letters, duplicate, ambiguous, over_limit } = dropped;
            prop_assert_eq!(queries.len() + too_short + too_long + few_letters + duplicate + ambiguous + over_limit, all);
            prop_assert!(queries.len() <= per_kind);
            prop_assert!(queries.is_sorted_by_key(|query| query.document));
            for document in 0..texts.len() {
                prop_assert!(queries.iter().filter(|query| query.document == document).count() <= per_document);
            }
            let unique: HashSet<String> = queries.iter().map(|query| folded(&query.text)).collect();
            prop_assert_eq!(unique.len(), queries.len());
        }
    }
}
