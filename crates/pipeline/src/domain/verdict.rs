//! How foreign a collection is to a model, in a word, with what speaks for it and what to try next. Pure: figures in, words out.

use serde::Serialize;

use super::figures::{LanguageFigures, LengthFigures, VocabularyFigures};
use super::{DocumentFigures, ModelFigures};

/// From this share of documents on a language without claim says that it is the wrong model: it is most of what is searched.
const WRONG_LANGUAGE: f64 = 0.5;
/// From this share on some documents are in a language that the model does not read.
const MIXED_LANGUAGE: f64 = 0.05;
/// More unknown pieces say that the vocabulary lacks the script; English under an English model has fewer than .001, Korean .04.
const UNKNOWN_FOREIGN: f64 = 0.01;
/// More unknown pieces are no accident any more: single symbols.
const UNKNOWN_SOMEWHAT: f64 = 0.001;
/// More pieces a word say that words are spelled, not read; `berth index` warns from there on, too.
const PIECES_FOREIGN: f64 = 3.0;
/// Half-way from English prose (1.2 to 1.5 pieces a word) to that.
const PIECES_HALF_FOREIGN: f64 = 2.0;
/// English prose has fewer, that of the sciences included.
const PIECES_SOMEWHAT: f64 = 1.5;
/// One word in ten is cut up.
const SPLITS_FOREIGN: f64 = 0.1;
/// One word in forty is cut up.
const SPLITS_SOMEWHAT: f64 = 0.025;
/// From this share on most documents are no prose in any language that can be told: source code, tables, lists of names.
const NO_PROSE: f64 = 0.5;
/// Copies beyond this share crowd out other hits.
const MANY_COPIES: f64 = 0.05;
/// Documents without text beyond this share are probably not meant to be so.
const MANY_EMPTY: f64 = 0.01;
/// Documents of several windows beyond this share make passages matter.
const MANY_LONG: f64 = 0.5;

/// How foreign a collection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Foreignness {
    /// The model reads it as what it was trained with, as far as its tokens show.
    #[serde(rename = "near")]
    Near,
    /// Some of it is not.
    #[serde(rename = "somewhat foreign")]
    Somewhat,
    /// Much of it is not.
    #[serde(rename = "foreign")]
    Foreign,
    /// Most of it is in a language that the model was not trained for.
    #[serde(rename = "wrong language")]
    WrongLanguage,
}

impl Foreignness {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Somewhat => "somewhat foreign",
            Self::Foreign => "foreign",
            Self::WrongLanguage => "wrong language",
        }
    }
}

/// The verdict on a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DomainVerdict {
    /// In a word.
    pub verdict: Foreignness,
    /// The figures that say so.
    pub reasons: Vec<String>,
    /// What to try next, the first thing first.
    pub advice: Vec<String>,
}

/// What a verdict rests on.
pub(super) struct Figures<'a> {
    pub(super) model: &'a ModelFigures,
    pub(super) documents: &'a DocumentFigures,
    pub(super) vocabulary: &'a VocabularyFigures,
    pub(super) lengths: &'a LengthFigures,
    pub(super) languages: &'a [LanguageFigures],
}

/// Judges.
pub(super) fn judge(figures: &Figures) -> DomainVerdict {
    let mut signs = vocabulary_signs(figures.vocabulary);
    signs.extend(language_signs(figures, &signs));
    let verdict = signs.iter().map(|(level, _)| *level).max().unwrap_or(Foreignness::Near);
    let mut reasons: Vec<String> = Vec::new();
    if verdict == Foreignness::Near {
        let vocabulary = figures.vocabulary;
        reasons.push(format!(
            "{:.2} pieces a word, {} of words in four or more, {} unknown: as in texts that the model was made for",
            vocabulary.pieces_per_word,
            percent(vocabulary.long_split_share),
            percent(vocabulary.unknown_share)
        ));
    }
    // What counts most comes first; of one weight, the order is that in which signs are looked for.
    signs.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    reasons.extend(signs.into_iter().map(|(_, reason)| reason));
    DomainVerdict { verdict, reasons, advice: advice(verdict, figures) }
}

type Sign = (Foreignness, String);

fn vocabulary_signs(vocabulary: &VocabularyFigures) -> Vec<Sign> {
    use Foreignness::{Foreign, Somewhat};
    let mut signs = Vec::new();
    let unknown = vocabulary.unknown_share;
    if unknown > UNKNOWN_SOMEWHAT {
        let (level, limit) =
            if unknown > UNKNOWN_FOREIGN { (Foreign, UNKNOWN_FOREIGN) } else { (Somewhat, UNKNOWN_SOMEWHAT) };
        let reason = format!("{} of tokens are unknown to the model, more than {}", percent(unknown), percent(limit));
        signs.push((level, reason));
    }
    let pieces = vocabulary.pieces_per_word;
    if pieces > PIECES_SOMEWHAT {
        let limits = [PIECES_FOREIGN, PIECES_HALF_FOREIGN, PIECES_SOMEWHAT];
        let limit = limits.into_iter().find(|&limit| pieces > limit).unwrap_or(PIECES_SOMEWHAT);
        let level = if pieces > PIECES_HALF_FOREIGN { Foreign } else { Somewhat };
        signs.push((level, format!("{pieces:.2} pieces a word, more than {limit:.1}: English prose has 1.2 to 1.5")));
    }
    let splits = vocabulary.long_split_share;
    if splits > SPLITS_SOMEWHAT {
        let (level, limit) =
            if splits > SPLITS_FOREIGN { (Foreign, SPLITS_FOREIGN) } else { (Somewhat, SPLITS_SOMEWHAT) };
        let reason = format!("{} of words are cut into four or more, more than {}", percent(splits), percent(limit));
        signs.push((level, reason));
    }
    signs
}

fn language_signs(figures: &Figures, vocabulary_signs: &[Sign]) -> Vec<Sign> {
    use Foreignness::{Foreign, Somewhat, WrongLanguage};
    let mut signs = Vec::new();
    let unclaimed = unclaimed_share(figures.languages);
    let languages = unclaimed_codes(figures.languages).join(", ");
    let trained_for = figures.model.languages.join(", ");
    if unclaimed >= MIXED_LANGUAGE {
        let level = if unclaimed >= WRONG_LANGUAGE { WrongLanguage } else { Somewhat };
        let share = percent(unclaimed);
        signs
            .push((level, format!("{share} of documents are in {languages}; the model was trained for {trained_for}")));
    }
    let untold = figures.languages.iter().find(|language| language.code.is_none()).map_or(0.0, |none| none.share);
    if untold >= NO_PROSE {
        let reason = format!("{} of documents are no prose that can be told: code, tables or lists", percent(untold));
        signs.push((Somewhat, reason));
    }
    // Where the card is silent, a script that the vocabulary lacks is what shows the wrong language.
    let is_unread =
        figures.vocabulary.unknown_share > UNKNOWN_FOREIGN && figures.vocabulary.pieces_per_word > PIECES_HALF_FOREIGN;
    if figures.model.languages.is_empty() && is_unread && vocabulary_signs.iter().any(|(level, _)| *level == Foreign) {
        let reason = "unknown tokens and cut words together: the vocabulary was not made for this script".to_owned();
        signs.push((WrongLanguage, reason));
    }
    signs
}

fn advice(verdict: Foreignness, figures: &Figures) -> Vec<String> {
    let mut advice: Vec<String> = match verdict {
        Foreignness::Near => vec![
            "nothing needs to change; where there are judged queries, `berth tune` may still gain".to_owned(),
        ],
        Foreignness::Somewhat => vec![
            "keep hybrid search: words that the model does not know are found by the lexical half".to_owned(),
            "judge some queries and measure with `berth eval`; `berth tune` then fits how much each half counts".to_owned(),
            "adapt the query side with `berth adapt`: from judgements, or from the documents alone".to_owned(),
        ],
        Foreignness::Foreign => vec![
            "compare other models with `berth eval --model`: one whose vocabulary fits reads these words whole".to_owned(),
            "give the lexical half more (`--dense-weight 0.3`), or fit it to judgements with `berth tune`".to_owned(),
            "adapt the query side with `berth adapt`: from judgements where there are some, else from the documents alone"
                .to_owned(),
        ],
        Foreignness::WrongLanguage => {
            let languages = unclaimed_codes(figures.languages).join(", ");
            let wanted = if languages.is_empty() { "this language".to_owned() } else { languages };
            vec![
                format!("import a model that was trained for {wanted}: `berth model import DIR`, then `berth index --model`"),
                "until then search with `--mode lexical`, which needs no model".to_owned(),
                "tuning or adapting does not make this model read the language".to_owned(),
            ]
        }
    };
    let unclaimed = unclaimed_share(figures.languages);
    if (MIXED_LANGUAGE..WRONG_LANGUAGE).contains(&unclaimed) {
        advice.push("index documents of other languages apart, or choose a model for all of them".to_owned());
    }
    if verdict != Foreignness::WrongLanguage && !figures.vocabulary.unknown_characters.is_empty() {
        let named = figures.vocabulary.unknown_characters.iter().take(5).map(|one| one.text.as_str());
        let named = named.collect::<Vec<_>>().join(" ");
        advice.push(format!("if unknown characters matter ({named}), spell them before indexing"));
    }
    advice.extend(length_advice(figures));
    advice.extend(state_advice(figures.documents));
    advice
}

fn length_advice(figures: &Figures) -> Option<String> {
    let (lengths, model) = (figures.lengths, figures.model);
    if lengths.beyond_window_share < MANY_LONG {
        return None;
    }
    let widest = model.max_tokens;
    if model.window_tokens < widest && lengths.beyond_most_share < MANY_LONG {
        return Some(format!(
            "most documents exceed a window: all of them is searched; whether --window {widest} is better, `berth tune \
             --windows {},{widest}` says",
            model.window_tokens
        ));
    }
    Some(format!(
        "documents have {:.1} windows each: see passages with `search --passages`, or count several with \
         `--aggregate top-mean`",
        lengths.windows_per_document
    ))
}

fn state_advice(documents: &DocumentFigures) -> Vec<String> {
    let mut advice = Vec::new();
    let all = documents.documents.max(1) as f64;
    let exact = documents.exact_copies as f64 / all;
    let near = documents.near_copies as f64 / documents.sampled.max(1) as f64;
    if exact + near > MANY_COPIES {
        let share = percent(exact + near);
        advice.push(format!("deduplicate: {share} repeat another document; `search --collapse` folds such hits"));
    }
    if documents.empty as f64 / all > MANY_EMPTY {
        advice.push(format!(
            "look at the {} documents without text: they are found by nothing but their ids",
            documents.empty
        ));
    }
    advice
}

/// Share of documents in languages that the model was not trained for, of those whose language is known.
fn unclaimed_share(languages: &[LanguageFigures]) -> f64 {
    let told: usize = languages.iter().filter(|language| language.code.is_some()).map(|one| one.documents).sum();
    let unclaimed: usize = languages.iter().filter(|one| one.claimed == Some(false)).map(|one| one.documents).sum();
    let all: usize = languages.iter().map(|one| one.documents).sum();
    // A few sentences among source code say little about the collection.
    if told * 10 < all { 0.0 } else { unclaimed as f64 / told.max(1) as f64 }
}

/// The most frequent of them.
fn unclaimed_codes(languages: &[LanguageFigures]) -> Vec<&'static str> {
    let unclaimed = languages.iter().filter(|language| language.claimed != Some(true));
    unclaimed.filter_map(|language| language.code).take(3).collect()
}

/// A share as people read it: more digits where it is small.
pub(super) fn percent(share: f64) -> String {
    let value = 100.0 * share;
    if value == 0.0 || value >= 10.0 {
        format!("{value:.0} %")
    } else if value >= 1.0 {
        format!("{value:.1} %")
    } else {
        format!("{value:.2} %")
    }
}
