//! How foreign a collection is to a model, in a word, with what speaks for it and what to try next. Pure: figures in, words out.

use serde::Serialize;

use super::figures::{LanguageFigures, LengthFigures, VocabularyFigures};
use super::{DocumentFigures, ModelFigures};

/// From this share of documents on a language without claim says that it is the wrong model: it is most of what is searched.
const WRONG_LANGUAGE: f64 = 0.5;
/// From this share on some documents are in a language that the model does not read.
const MIXED_LANGUAGE: f64 = 0.05;
/// More unknown pieces say that the vocabulary lacks the script: English under an English model has fewer than .0001, Korean
/// .041; `berth index` warns from there on, too.
const UNKNOWN_FOREIGN: f64 = 0.01;
/// More unknown pieces are no accident any more, such as a lone symbol.
const UNKNOWN_SOMEWHAT: f64 = 0.001;
/// More pieces a word say that words are spelled, not read; `berth index` warns from there on, too.
const PIECES_FOREIGN: f64 = 3.0;
/// More pieces a word with a letter: half-way from English prose to that.
const LETTER_PIECES_FOREIGN: f64 = 2.0;
/// More than English prose has by docs/domain.md: 1.1 in contracts and papers on aerodynamics, 1.3 in biomedical abstracts.
const LETTER_PIECES_SOMEWHAT: f64 = 1.5;
/// One word in ten is cut up.
const SPLITS_FOREIGN: f64 = 0.1;
/// One word in fifty is cut up: biomedical abstracts lie above, contracts, code and papers on aerodynamics below.
const SPLITS_SOMEWHAT: f64 = 0.02;
/// More signs than prose has by docs/domain.md: .10 to .24 of its words, contracts with their blanks to fill in among it; Python
/// functions have .49.
const MANY_SIGNS: f64 = 0.3;
/// Copies beyond this share crowd out other hits.
const MANY_COPIES: f64 = 0.05;
/// Documents without text beyond this share are probably not meant to be so.
const MANY_EMPTY: f64 = 0.01;
/// Documents of several windows beyond this share make passages matter.
const MANY_LONG: f64 = 0.5;

/// How foreign a collection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Foreignness {
    /// Nothing was read that could tell.
    #[serde(rename = "no text")]
    NoText,
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
            Self::NoText => "no text",
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
    if figures.vocabulary.words == 0 {
        let reasons = vec!["no words were read: nothing can be said of the model".to_owned()];
        let verdict = Foreignness::NoText;
        return DomainVerdict { verdict, reasons, advice: advice(verdict, figures) };
    }
    let mut signs = vocabulary_signs(figures.vocabulary);
    signs.extend(language_signs(figures));
    let verdict = signs.iter().map(|(level, _)| *level).max().unwrap_or(Foreignness::Near);
    let mut reasons: Vec<String> = Vec::new();
    if verdict == Foreignness::Near {
        let vocabulary = figures.vocabulary;
        reasons.push(format!(
            "{:.2} pieces a word with a letter, {} of words in four pieces or more, {} unknown: words are read as in general \
             prose. Whether they mean the same here, only judged queries show",
            vocabulary.pieces_per_letter_word,
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
    let (pieces, letter_pieces) = (vocabulary.pieces_per_word, vocabulary.pieces_per_letter_word);
    if pieces > PIECES_FOREIGN {
        signs.push((Foreign, format!("{pieces:.2} pieces a word, more than {PIECES_FOREIGN:.1}: words are spelled")));
    } else if letter_pieces > LETTER_PIECES_SOMEWHAT {
        let (level, limit) = if letter_pieces > LETTER_PIECES_FOREIGN {
            (Foreign, LETTER_PIECES_FOREIGN)
        } else {
            (Somewhat, LETTER_PIECES_SOMEWHAT)
        };
        let reason = format!(
            "{letter_pieces:.2} pieces a word with a letter, more than {limit:.1}: English prose has 1.1 to 1.3"
        );
        signs.push((level, reason));
    }
    let splits = vocabulary.long_split_share;
    if splits > SPLITS_SOMEWHAT {
        let (level, limit) =
            if splits > SPLITS_FOREIGN { (Foreign, SPLITS_FOREIGN) } else { (Somewhat, SPLITS_SOMEWHAT) };
        let reason =
            format!("{} of words are cut into four pieces or more, more than {}", percent(splits), percent(limit));
        signs.push((level, reason));
    }
    let marks = vocabulary.sign_share;
    if marks > MANY_SIGNS {
        let reason = format!(
            "{} of words are signs, more than {}: source code, formulas or tables rather than prose",
            percent(marks),
            percent(MANY_SIGNS)
        );
        signs.push((Somewhat, reason));
    }
    signs
}

fn language_signs(figures: &Figures) -> Vec<Sign> {
    use Foreignness::{Somewhat, WrongLanguage};
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
    // Where the card is silent, a script that the vocabulary lacks is what shows the wrong language.
    let is_unread = figures.vocabulary.unknown_share > UNKNOWN_FOREIGN
        && figures.vocabulary.pieces_per_letter_word > LETTER_PIECES_FOREIGN;
    if figures.model.languages.is_empty() && is_unread {
        let reason = "unknown tokens and cut words together: the vocabulary was not made for this script".to_owned();
        signs.push((WrongLanguage, reason));
    }
    signs
}

fn advice(verdict: Foreignness, figures: &Figures) -> Vec<String> {
    let mut advice: Vec<String> = match verdict {
        Foreignness::NoText => {
            vec!["look at the documents: what has no words is stored, and found by its metadata alone".to_owned()]
        }
        Foreignness::Near => vec![
            "nothing needs to change for the vocabulary; with judged queries, `berth eval` measures and `berth tune` may gain".to_owned(),
        ],
        Foreignness::Somewhat => vec![
            somewhat_first(figures.vocabulary),
            "judge some queries and measure with `berth eval`; `berth tune` then fits how much each half counts".to_owned(),
        ],
        Foreignness::Foreign => vec![
            "compare other models with `berth eval --model`: one whose vocabulary fits reads these words whole".to_owned(),
            "let the lexical half count for more (`--dense-weight`), and measure; with judgements `berth tune` fits it".to_owned(),
        ],
        Foreignness::WrongLanguage => {
            let languages = unclaimed_codes(figures.languages).join(", ");
            let wanted = if languages.is_empty() { "this language".to_owned() } else { languages };
            vec![
                format!("import a model that was trained for {wanted}: `berth model import DIR`, then `berth index --model`"),
                "until then search with `--mode lexical`, which needs no model".to_owned(),
                "tuning does not make this model read the language".to_owned(),
            ]
        }
    };
    let unclaimed = unclaimed_share(figures.languages);
    if (MIXED_LANGUAGE..WRONG_LANGUAGE).contains(&unclaimed) {
        advice.push("index documents of other languages apart, or choose a model for all of them".to_owned());
    }
    let vocabulary = figures.vocabulary;
    let are_many = vocabulary.unknown_share > UNKNOWN_SOMEWHAT && !vocabulary.unknown_characters.is_empty();
    if verdict != Foreignness::WrongLanguage && are_many {
        let named = vocabulary.unknown_characters.iter().take(5).map(|one| one.text.as_str());
        let named = named.collect::<Vec<_>>().join(" ");
        advice.push(format!(
            "where characters matter that the model does not know ({named}), spell them out before indexing"
        ));
    }
    advice.extend(length_advice(figures));
    advice.extend(state_advice(figures.documents));
    advice
}

/// What to try first with a collection of which some is foreign.
fn somewhat_first(vocabulary: &VocabularyFigures) -> String {
    if vocabulary.sign_share > MANY_SIGNS {
        "compare `--mode dense` with hybrid search: words of a question seldom stand in code or tables, so the lexical half can \
         cost more than it brings"
            .to_owned()
    } else {
        "keep hybrid search: words that the model does not know are found by the lexical half".to_owned()
    }
}

fn length_advice(figures: &Figures) -> Option<String> {
    let (lengths, model) = (figures.lengths, figures.model);
    if lengths.beyond_window_share < MANY_LONG {
        return None;
    }
    let widest = model.max_tokens;
    if model.window_tokens < widest && lengths.beyond_most_share < MANY_LONG {
        return Some(format!(
            "most documents take several windows, and each is searched; whether longer windows are better shows \
             `berth tune --windows {},{widest}`",
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

/// Share of documents in languages that the model was not trained for.
fn unclaimed_share(languages: &[LanguageFigures]) -> f64 {
    languages.iter().filter(|language| language.claimed == Some(false)).map(|language| language.share).sum()
}

/// The most frequent languages that the model does not claim.
fn unclaimed_codes(languages: &[LanguageFigures]) -> Vec<&'static str> {
    let unclaimed = languages.iter().filter(|language| language.claimed != Some(true));
    unclaimed.filter_map(|language| language.code).take(3).collect()
}

/// A share as people read it, in per cent: more digits where it is small.
pub fn percent(share: f64) -> String {
    let value = 100.0 * share;
    match value {
        0.0 => "0 %".to_owned(),
        10.0.. => format!("{value:.0} %"),
        1.0.. => format!("{value:.1} %"),
        0.005.. => format!("{value:.2} %"),
        _ => "< 0.01 %".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a collection in `languages` (each with its share and whether it is claimed) after `change`.
    fn judged(
        languages: &[(&'static str, f64, Option<bool>)],
        change: impl FnOnce(&mut VocabularyFigures, &mut LengthFigures, &mut DocumentFigures),
    ) -> DomainVerdict {
        let mut vocabulary = VocabularyFigures {
            words: 1000,
            pieces_per_word: 1.1,
            pieces_per_letter_word: 1.15,
            long_split_share: 0.01,
            sign_share: 0.12,
            ..VocabularyFigures::default()
        };
        let mut lengths = LengthFigures::default();
        let mut documents = DocumentFigures { documents: 100, sampled: 100, ..DocumentFigures::default() };
        change(&mut vocabulary, &mut lengths, &mut documents);
        let claims = languages.iter().any(|(_, _, claimed)| claimed.is_some());
        let languages: Vec<LanguageFigures> = languages
            .iter()
            .map(|&(code, share, claimed)| LanguageFigures { code: Some(code), documents: 1, share, claimed })
            .collect();
        let model = ModelFigures {
            name: "m".to_owned(),
            vocabulary: 100,
            window_tokens: 256,
            trained_tokens: None,
            max_tokens: 512,
            languages: if claims { vec!["en".to_owned()] } else { Vec::new() },
        };
        judge(&Figures {
            model: &model,
            documents: &documents,
            vocabulary: &vocabulary,
            lengths: &lengths,
            languages: &languages,
        })
    }

    const ENGLISH: [(&str, f64, Option<bool>); 1] = [("en", 1.0, Some(true))];

    #[test]
    fn prose_of_the_models_language_is_near() {
        let said = judged(&ENGLISH, |vocabulary, _, _| vocabulary.words = 0);
        assert_eq!((said.verdict, said.reasons.len(), said.advice.len()), (Foreignness::NoText, 1, 1), "{said:?}");
        let said = judged(&ENGLISH, |_, _, _| ());
        assert_eq!(said.verdict, Foreignness::Near);
        assert!(said.reasons[0].contains("1.15 pieces") && said.advice.len() == 1, "{said:?}");
    }

    #[test]
    fn the_worst_sign_decides_and_comes_first() {
        let said = judged(&ENGLISH, |vocabulary, _, _| {
            vocabulary.long_split_share = 0.05;
            vocabulary.sign_share = 0.4;
        });
        assert_eq!((said.verdict, said.reasons.len()), (Foreignness::Somewhat, 2), "{said:?}");
        let said = judged(&ENGLISH, |vocabulary, _, _| {
            vocabulary.long_split_share = 0.05;
            vocabulary.pieces_per_letter_word = 2.5;
        });
        assert_eq!(said.verdict, Foreignness::Foreign);
        assert!(said.reasons[0].contains("2.50 pieces"), "{said:?}");
        let said = judged(&ENGLISH, |vocabulary, _, _| vocabulary.pieces_per_word = 3.1);
        assert_eq!(said.verdict, Foreignness::Foreign);
        // English with characters of its own is foreign, but in no wrong language.
        let said = judged(&ENGLISH, |vocabulary, _, _| vocabulary.unknown_share = 0.02);
        assert_eq!(said.verdict, Foreignness::Foreign);
    }

    #[test]
    fn languages_that_the_card_does_not_name_are_wrong_ones() {
        let mixed = [("en", 0.9, Some(true)), ("de", 0.1, Some(false))];
        let said = judged(&mixed, |_, _, _| ());
        assert_eq!(said.verdict, Foreignness::Somewhat);
        assert!(said.reasons[0].contains("10 % of documents are in de"), "{said:?}");
        assert!(said.advice.iter().any(|advice| advice.contains("apart")), "{said:?}");
        let said = judged(&[("de", 0.8, Some(false)), ("en", 0.2, Some(true))], |_, _, _| ());
        assert_eq!(said.verdict, Foreignness::WrongLanguage);
        assert!(said.advice[0].contains("trained for de") && said.advice[1].contains("lexical"), "{said:?}");
        // A silent card: only what cannot be read shows it.
        let silent = [("ko", 1.0, None)];
        assert_eq!(judged(&silent, |_, _, _| ()).verdict, Foreignness::Near);
        let said = judged(&silent, |vocabulary, _, _| {
            (vocabulary.unknown_share, vocabulary.pieces_per_letter_word) = (0.04, 4.8);
        });
        assert_eq!(said.verdict, Foreignness::WrongLanguage);
        assert!(said.advice[0].contains("trained for ko"), "{said:?}");
    }

    #[test]
    fn long_repeated_and_empty_documents_have_advice_of_their_own() {
        let advice = |change: fn(&mut LengthFigures, &mut DocumentFigures)| {
            judged(&ENGLISH, |_, lengths, documents| change(lengths, documents)).advice[1..].join("\n")
        };
        assert!(advice(|lengths, _| lengths.beyond_window_share = 0.6).contains("--windows 256,512"));
        let very_long = advice(|lengths, _| (lengths.beyond_window_share, lengths.beyond_most_share) = (1.0, 1.0));
        assert!(very_long.contains("--passages"), "{very_long}");
        assert!(
            advice(|_, documents| (documents.exact_copies, documents.near_copies) = (3, 4)).contains("7.0 % repeat")
        );
        assert!(advice(|_, documents| documents.empty = 2).contains("2 documents without text"));
        assert_eq!(advice(|_, documents| (documents.empty, documents.near_copies) = (1, 5)), "");
    }

    #[test]
    fn small_shares_keep_their_digits() {
        let shares = [0.0, 0.000_01, 0.000_4, 0.012, 0.123, 1.0];
        assert_eq!(shares.map(percent), ["0 %", "< 0.01 %", "0.04 %", "1.2 %", "12 %", "100 %"]);
    }
}
