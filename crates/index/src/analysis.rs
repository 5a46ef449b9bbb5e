//! Turns text into the terms of the lexical half; the same way for documents, queries and highlights.
//!
//! - Words of scripts with word borders are decomposed (NFKD), lower-cased, freed of accents, and stemmed as the language
//!   of their document has it. Letters and digits belong together (`b12`), everything else is a border:
//!   `covid-19` is `covid` and `19`, `get_file_name` is `get`, `file` and `name`.
//! - In source files words that are put together by capitals are taken apart as well, and kept: `getFileName` is
//!   `getfilename`, and in its place `get`, `file` and `name`.
//! - Runs of Han, kana, Hangul, Thai, Lao, Khmer and Myanmar become overlapping pairs of characters, a lone one
//!   stands for itself: `한국어를` is `한국`, `국어`, `어를`. A run ends where another kind of script begins.
//! - An apostrophe is a border, and what it cuts off the end of an English word (`'s`, `n't`'s `t`, `'ll`) is no term.
//! - No word is dropped for its length: what exceeds 255 bytes is cut to that.
//! - There are no stop words: leaving out the 33 commonest cost .001 nDCG@10 on SciFact's train and .005 on CoSQA's dev
//!   questions. Splitting at `_` gains .051 on CoSQA; splitting camelCase as well changed neither by more than .002.
//!
//! A query does not say its language. Each of its words is looked for in every form that the texts of the index may
//! have it in: `Häfen` is `haf` where German has been indexed, and `hafen` where English has.

mod detect;
mod distance;
mod engine;
mod fold;
mod function_words;
mod scanner;
mod script;
mod stems;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use berth_types::{Language, UnknownLanguage};
use serde::{Deserialize, Serialize};

use scanner::{Kind, Scanner, write_run};
use script::{Class, classify};
use stems::Stems;

pub use detect::detect_language;
pub(crate) use detect::{detect, is_source_file};
pub(crate) use distance::changes;
pub(crate) use engine::{marked, register};
pub(crate) use function_words::is_function_word;

/// Name of the analyser in an index's schema. It changes whenever the analyser gives other terms for some text, so
/// that an index is never asked for words that it spells differently.
pub(crate) const ANALYZER: &str = "berth_2";
/// Gives the words as they are written, folded.
pub(crate) const WORDS_ANALYZER: &str = "berth_words_2";
/// Of an index that was made before there were languages: all is English.
pub(crate) const ENGLISH_ANALYZER: &str = "berth_1";

/// How a document is analysed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Analysis {
    /// Whose stems its words have; none for a language without stems here.
    pub(crate) language: Option<Language>,
    /// Whether identifiers are taken apart.
    pub(crate) identifiers: bool,
}

impl Analysis {
    pub(crate) const ENGLISH: Self = Self { language: Some(Language::English), identifiers: false };
}

impl From<Analysis> for String {
    fn from(analysis: Analysis) -> Self {
        let language = analysis.language.map_or("", Language::code);
        if analysis.identifiers { format!("{language}+code") } else { language.to_owned() }
    }
}

impl TryFrom<String> for Analysis {
    type Error = UnknownLanguage;

    fn try_from(text: String) -> Result<Self, UnknownLanguage> {
        let (code, identifiers) = text.strip_suffix("+code").map_or((text.as_str(), false), |code| (code, true));
        let language = if code.is_empty() { None } else { Some(Language::try_from(code.to_owned())?) };
        Ok(Self { language, identifiers })
    }
}

/// The ways in which documents of an index are analysed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Analyses(BTreeSet<Analysis>);

impl Analyses {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one; whether it is new.
    pub(crate) fn insert(&mut self, analysis: Analysis) -> bool {
        self.0.insert(analysis)
    }

    /// Languages whose stems a word may have, each once; English in an index without documents.
    fn languages(&self) -> Vec<Option<Language>> {
        let mut languages: Vec<_> = self.0.iter().map(|analysis| analysis.language).collect();
        languages.dedup();
        if languages.is_empty() { vec![Some(Language::English)] } else { languages }
    }

    fn split_identifiers(&self) -> bool {
        self.0.iter().any(|analysis| analysis.identifiers)
    }

    /// Whether a word, in lower case, stands in nearly every sentence of one of the languages.
    pub(crate) fn is_function_word(&self, word: &str) -> bool {
        self.languages().into_iter().flatten().any(|language| is_function_word(language, word))
    }
}

/// A term and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnalysedTerm {
    /// The term as it is in the index, at most 255 bytes.
    pub text: String,
    /// The bytes of the analysed text that gave the term.
    pub byte_range: Range<usize>,
}

/// A word of a query, or of a text that is compared with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnalysedWord {
    /// Its term in each language of the index, in one order for all words.
    pub(crate) terms: Vec<String>,
    pub(crate) byte_range: Range<usize>,
    /// Whether it is a part of the identifier before it.
    pub(crate) is_part: bool,
}

impl AnalysedWord {
    /// Its terms, each once.
    pub(crate) fn distinct(&self) -> Vec<String> {
        distinct(&self.terms)
    }
}

/// Terms, each once, in their order.
pub(crate) fn distinct(terms: &[String]) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::new();
    for term in terms {
        if !distinct.contains(term) {
            distinct.push(term.clone());
        }
    }
    distinct
}

thread_local! {
    // The stem cache outlives a call, since queries are short and many.
    static STEMS: RefCell<Stems> = RefCell::default();
}

/// Analyses `text` as an English document is analysed, in order of appearance.
pub(crate) fn terms(text: &str) -> Vec<AnalysedTerm> {
    STEMS.with_borrow_mut(|stems| {
        let mut scanner = Scanner::new(text, false);
        let mut term = String::new();
        let mut terms = Vec::new();
        while let Some(piece) = scanner.advance() {
            let kind = piece.kind;
            write_term(
                stems,
                &text[piece.byte_range.clone()],
                (kind, piece.byte_range.start),
                Some(Language::English),
                &mut term,
            );
            terms.push(AnalysedTerm { text: term.clone(), byte_range: piece.byte_range });
        }
        terms
    })
}

/// Analyses `text` in every way in which the documents of an index are, in order of appearance.
pub(crate) fn words(text: &str, analyses: &Analyses) -> Vec<AnalysedWord> {
    let languages = analyses.languages();
    STEMS.with_borrow_mut(|stems| {
        let mut scanner = Scanner::new(text, analyses.split_identifiers());
        let mut words = Vec::new();
        while let Some(piece) = scanner.advance() {
            let part = &text[piece.byte_range.clone()];
            let term = |&language: &Option<Language>| {
                let mut term = String::new();
                write_term(stems, part, (piece.kind, piece.byte_range.start), language, &mut term);
                term
            };
            let terms = languages.iter().map(term).collect();
            let is_part = matches!(piece.kind, Kind::FirstPart | Kind::Part);
            words.push(AnalysedWord { terms, byte_range: piece.byte_range, is_part });
        }
        words
    })
}

/// Writes the term of a piece over `term`. `kind` comes with the byte of the text at which the piece begins.
fn write_term(
    stems: &mut Stems,
    piece: &str,
    (kind, start): (Kind, usize),
    language: Option<Language>,
    term: &mut String,
) {
    match kind {
        Kind::Word | Kind::FirstPart | Kind::Part => stems.write(piece, language, term),
        Kind::Run(second) => write_run(piece, second.map(|second| second - start), term),
    }
}

/// A word as it is written, folded, not stemmed.
pub(crate) fn folded(word: &str) -> String {
    let mut term = String::new();
    fold::fold(word, &mut term);
    term
}

/// Whether a term is one character of a run, which stands in documents as part of pairs unless it is alone there too.
pub(crate) fn is_lone(term: &str) -> bool {
    let mut characters = term.chars();
    characters.next().is_some_and(|c| classify(c) == Class::Dense) && characters.next().is_none()
}

#[cfg(test)]
mod tests;
