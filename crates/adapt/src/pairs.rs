//! Questions made out of plain documents, each with the document that answers it.
//!
//! A part of a document that says what the rest is about stands in for a question: its title, a sentence, its key phrases. What
//! no question could be is dropped, and counted.

mod clean;
mod comments;
mod findings;
mod headings;
mod keyphrases;
mod prose;

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use clean::Sieve;
use keyphrases::Vocabulary;

pub use clean::Dropped;

/// A document that pseudo-queries are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainDocument<'a> {
    /// Unique in the collection.
    pub id: &'a str,
    /// Empty where there is none.
    pub title: &'a str,
    /// The whole text.
    pub text: &'a str,
}

/// From what a pseudo-query was made. Of two that say the same, that of the kind listed first is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairKind {
    /// The title.
    Title,
    /// A heading in the text: of Markdown, underlined, or a line in capitals.
    Heading,
    /// The first sentence of the text.
    FirstSentence,
    /// A sentence that states a finding, as another author would cite it.
    Citation,
    /// A sentence out of the middle, which the text is then to be without (Lee, Chang and Toutanova, *Latent retrieval for
    /// weakly supervised open domain question answering*, 2019).
    InverseCloze,
    /// The phrases that set the text apart from others.
    Keyphrases,
    /// What a comment at the head of a piece of code says that it does.
    Comment,
}

impl PairKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Title,
        Self::Heading,
        Self::FirstSentence,
        Self::Citation,
        Self::InverseCloze,
        Self::Keyphrases,
        Self::Comment,
    ];

    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Heading => "heading",
            Self::FirstSentence => "first-sentence",
            Self::InverseCloze => "inverse-cloze",
            Self::Keyphrases => "keyphrases",
            Self::Citation => "citation",
            Self::Comment => "comment",
        }
    }
}

/// A question made out of a document, which answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PseudoQuery {
    /// From what it was made.
    pub kind: PairKind,
    /// The question; one line.
    pub text: String,
    /// Place of the document among those handed in, from 0.
    pub document: usize,
    /// Where in the document's text it stands; none for titles and key phrases. Who trains on the pair takes this out of the
    /// document where the words alone would give the answer away.
    pub byte_range: Option<Range<usize>>,
}

/// What to make, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairOptions {
    /// The kinds wanted.
    pub kinds: Vec<PairKind>,
    /// Pseudo-queries of one kind from one document, at most.
    pub per_document: usize,
    /// Pseudo-queries of one kind, at most.
    pub per_kind: usize,
    /// Words below which a text is too short for a question.
    pub min_words: usize,
    /// Words above which a text is too long for a question.
    pub max_words: usize,
    /// Seed of the choice where there are more than wanted.
    pub seed: u64,
}

impl Default for PairOptions {
    fn default() -> Self {
        let kinds = PairKind::ALL.to_vec();
        Self { kinds, per_document: 2, per_kind: 10_000, min_words: 2, max_words: 64, seed: 0 }
    }
}

/// Pseudo-queries, by document and then in the order of kinds, and what became of the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PseudoQueries {
    /// What is left.
    pub queries: Vec<PseudoQuery>,
    /// What was dropped, by reason.
    pub dropped: Dropped,
}

/// Makes pseudo-queries of `documents`.
///
/// `sentences` gives the byte ranges of the sentences of a paragraph, ascending. The result depends on the documents and their
/// ids, the options, and nothing else.
pub fn pseudo_queries(
    documents: &[PlainDocument<'_>],
    sentences: &(dyn Fn(&str) -> Vec<Range<usize>> + Sync),
    options: &PairOptions,
) -> PseudoQueries {
    let wants_phrases = options.kinds.contains(&PairKind::Keyphrases);
    let vocabulary = wants_phrases.then(|| Vocabulary::of(documents));
    let made: Vec<Vec<PseudoQuery>> = documents
        .par_iter()
        .enumerate()
        .map(|(place, document)| of_document(document, place, vocabulary.as_ref(), sentences, &options.kinds))
        .collect();
    Sieve { documents, options }.sift(made)
}

fn of_document(
    document: &PlainDocument<'_>,
    place: usize,
    vocabulary: Option<&Vocabulary>,
    sentences: &dyn Fn(&str) -> Vec<Range<usize>>,
    kinds: &[PairKind],
) -> Vec<PseudoQuery> {
    let text = document.text;
    let mut queries = Vec::new();
    let mut add = |kind, text: &str, byte_range| {
        let text = clean::one_line(text);
        if kinds.contains(&kind) && !text.is_empty() {
            queries.push(PseudoQuery { kind, text, document: place, byte_range });
        }
    };
    add(PairKind::Title, document.title, None);
    if let Some(vocabulary) = vocabulary {
        add(PairKind::Keyphrases, &vocabulary.keyphrases(text), None);
    }
    if comments::is_code(text) {
        if let Some((comment, range)) = comments::head_comment(text, sentences) {
            add(PairKind::Comment, &comment, Some(range));
        }
        return queries;
    }
    for range in headings::headings(text) {
        add(PairKind::Heading, &text[range.clone()], Some(range));
    }
    let prose = prose::sentences(text, sentences);
    if let Some(range) = prose.first() {
        add(PairKind::FirstSentence, &text[range.clone()], Some(range.clone()));
    }
    // Neither the first sentence nor the last: these often say what the text is about, or nothing.
    for range in prose.get(1..prose.len().max(2) - 1).unwrap_or_default() {
        add(PairKind::InverseCloze, &text[range.clone()], Some(range.clone()));
    }
    for range in prose.iter().filter_map(|range| findings::finding(text, range)) {
        add(PairKind::Citation, &text[range.clone()], Some(range));
    }
    queries.sort_by_key(|query| query.kind);
    queries
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sentences end at a full stop, as these tests write them.
    pub(super) fn at_full_stops(text: &str) -> Vec<Range<usize>> {
        let mut start = 0;
        let parts = text.split_inclusive(['.', '。']).map(|part| {
            start += part.len();
            start - part.len()..start
        });
        parts.collect()
    }

    fn document<'a>(id: &'a str, title: &'a str, text: &'a str) -> PlainDocument<'a> {
        PlainDocument { id, title, text }
    }

    const ARTICLE: &str = "# Wings in a slipstream\n\nWe measured the lift of wings. The propeller stood ahead of the wing. \
                           We show that a slipstream delays the stall. More work is needed here.\n";

    #[test]
    fn a_document_gives_one_of_each() {
        let made = pseudo_queries(&[document("a", "Lift of wings", ARTICLE)], &at_full_stops, &PairOptions::default());
        let texts: Vec<(PairKind, &str)> = made.queries.iter().map(|query| (query.kind, query.text.as_str())).collect();
        let expected = [
            (PairKind::Title, "Lift of wings"),
            (PairKind::Heading, "Wings in a slipstream"),
            (PairKind::FirstSentence, "We measured the lift of wings."),
            (PairKind::Citation, "a slipstream delays the stall."),
            (PairKind::InverseCloze, "The propeller stood ahead of the wing."),
            (PairKind::InverseCloze, "We show that a slipstream delays the stall."),
        ];
        assert_eq!(texts[..6], expected);
        assert_eq!((texts[6].0, texts.len()), (PairKind::Keyphrases, 7));
        for query in &made.queries {
            if let Some(range) = &query.byte_range {
                assert_eq!(clean::one_line(&ARTICLE[range.clone()]), query.text);
            }
        }
    }

    #[test]
    fn code_gives_what_its_comment_says() {
        let code = "def paste(xsel=False):\n    \"\"\"Returns system clipboard contents.\"\"\"\n    return read()\n";
        let options = PairOptions { kinds: vec![PairKind::Comment, PairKind::FirstSentence], ..PairOptions::default() };
        let made = pseudo_queries(&[document("c", "", code)], &at_full_stops, &options);
        assert_eq!(made.queries.len(), 1);
        assert_eq!(made.queries[0].text, "Returns system clipboard contents.");
        assert_eq!(&code[made.queries[0].byte_range.clone().unwrap()], "Returns system clipboard contents.");
    }

    #[test]
    fn what_several_documents_say_asks_for_none_of_them() {
        let documents = [
            document("a", "The same title", ""),
            document("b", "The Same Title!", ""),
            document("c", "Not that one", ""),
        ];
        let made = pseudo_queries(&documents, &at_full_stops, &PairOptions::default());
        assert_eq!(made.queries.iter().map(|query| query.document).collect::<Vec<_>>(), [2]);
        assert_eq!(made.dropped, Dropped { ambiguous: 2, ..Dropped::default() });
    }

    #[test]
    fn limits_choose_by_seed_and_id() {
        let ids: Vec<String> = (0..40).map(|place| format!("d{place}")).collect();
        let titles: Vec<String> = (0..40).map(|place| format!("Title of number {place}")).collect();
        let documents: Vec<_> = ids.iter().zip(&titles).map(|(id, title)| document(id, title, "")).collect();
        let chosen = |documents: &[PlainDocument<'_>], seed| {
            let options = PairOptions { per_kind: 10, seed, ..PairOptions::default() };
            let made = pseudo_queries(documents, &at_full_stops, &options);
            assert_eq!((made.queries.len(), made.dropped.over_limit), (10, 30));
            made.queries.into_iter().map(|query| query.text).collect::<Vec<_>>()
        };
        let first = chosen(&documents, 1);
        assert_eq!(chosen(&documents, 1), first);
        assert_ne!(chosen(&documents, 2), first);
        let reversed: Vec<_> = documents.iter().rev().copied().collect();
        assert!(chosen(&reversed, 1).iter().rev().eq(&first));
    }

    #[test]
    fn nothing_comes_of_nothing() {
        let documents = [document("a", "", ""), document("b", " ", "\n\n"), document("c", "1 + 1 = 2", "...")];
        let made = pseudo_queries(&documents, &at_full_stops, &PairOptions::default());
        assert!(made.queries.is_empty(), "{made:?}");
        assert_eq!(pseudo_queries(&[], &at_full_stops, &PairOptions::default()), PseudoQueries::default());
    }
}
