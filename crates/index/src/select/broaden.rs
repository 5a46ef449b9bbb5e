//! A question with the synonyms of its words.
//!
//! A synonym ranks as the word beside which it stands, and matches where that word is merely listed; what is demanded
//! (`+`, `AND`, phrases, filters) is demanded as it was typed. One of several words matches where they stand side by side, and its
//! words rank one by one, as those of a phrase do.

use super::Question;
use super::condition::{Condition, any_word};
use super::question::Operators;
use super::words::{Place, Shape, Words};
use crate::analysis::distinct;
use crate::lexical::Asked;
use crate::lookup::Lookup;
use crate::synonyms::{Synonym, Synonyms};

/// Adds the synonyms that the index has a use for.
pub(super) fn broaden(question: &mut Question, synonyms: &Synonyms, lookup: &Lookup) {
    for place in [Place::Body, Place::Title] {
        let in_title = place == Place::Title;
        let of = |words: &[&[String]]| {
            let found = known(synonyms.of(words), &place, lookup).into_iter();
            found.map(|synonym| Synonym { in_title, ..synonym }).collect::<Vec<_>>()
        };
        let found = match &mut question.operators {
            None => {
                let words = question.words.iter().filter(|word| word.in_title == in_title);
                of(&words.map(|word| word.forms.as_slice()).collect::<Vec<_>>())
            }
            Some(operators) => {
                let mut found: Vec<Synonym> = Vec::new();
                operators.matches = broadened(&operators.matches, &place, &mut |words| {
                    let more = of(words);
                    let matching = more.iter().map(|synonym| Condition::Words(words_of(synonym))).collect();
                    for synonym in more {
                        if !found.contains(&synonym) {
                            found.push(synonym);
                        }
                    }
                    matching
                });
                if let Some(words) = &mut operators.words {
                    words.extend(found.iter().map(words_of));
                }
                found
            }
        };
        question.synonyms.extend(found);
    }
    let typed = question.words.len();
    for synonym in &question.synonyms {
        for terms in &synonym.terms {
            let word = Asked { in_title: synonym.in_title, forms: distinct(terms), is_synonym: true };
            let is_there = |known: &Asked| known.in_title == word.in_title && known.forms == word.forms;
            if !question.words.iter().any(is_there) {
                question.words.push(word);
            }
        }
    }
    // Terms alone cannot say that words are to stand side by side.
    if question.operators.is_none() && question.synonyms.iter().any(|synonym| synonym.terms.len() > 1) {
        let synonyms = question.synonyms.iter().map(|synonym| Condition::Words(words_of(synonym)));
        let matches = Condition::Or(std::iter::once(any_word(&question.words[..typed])).chain(synonyms).collect());
        let mut words = Vec::new();
        gather(&matches, &mut words);
        question.operators = Some(Operators { matches, demands: None, words: Some(words) });
    }
}

fn words_of(synonym: &Synonym) -> Words {
    let place = if synonym.in_title { Place::Title } else { Place::Body };
    let shape = match &synonym.terms[..] {
        [word] => Shape::Any(vec![word.clone()]),
        words => Shape::side_by_side(&words.iter().map(Vec::as_slice).collect::<Vec<_>>()),
    };
    Words { place, shape }
}

/// Those of which the index has every word. What it has not would only be looked for.
fn known(synonyms: Vec<Synonym>, place: &Place, lookup: &Lookup) -> Vec<Synonym> {
    let fields = lookup.schema.fields();
    let field = if *place == Place::Title { fields.title } else { fields.body };
    // A dictionary that cannot be read is met again by the search itself, which says so.
    let is_there = |term: &String| {
        let term = tantivy::Term::from_field_text(field, term);
        lookup.searcher.doc_freq(&term).map_or(true, |frequency| frequency > 0)
    };
    synonyms.into_iter().filter(|synonym| synonym.terms.iter().all(|word| word.iter().any(is_there))).collect()
}

/// The condition with alternatives beside the listed words of this place, which are looked at together. What is excluded
/// stays as it is.
fn broadened(
    condition: &Condition,
    place: &Place,
    alternatives: &mut dyn FnMut(&[&[String]]) -> Vec<Condition>,
) -> Condition {
    let listed = |condition: &Condition| match condition {
        Condition::Words(Words { place: of, shape: Shape::Any(words) }) if of == place => words.clone(),
        _ => Vec::new(),
    };
    match condition {
        Condition::And(conditions) => {
            Condition::And(conditions.iter().map(|condition| broadened(condition, place, alternatives)).collect())
        }
        Condition::Or(conditions) => {
            let words: Vec<Vec<String>> = conditions.iter().flat_map(listed).collect();
            let more = alternatives(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let inner = conditions.iter().map(|condition| match condition {
                Condition::Words(_) => condition.clone(),
                other => broadened(other, place, alternatives),
            });
            let inner: Vec<Condition> = inner.collect();
            Condition::Or(inner.into_iter().chain(more).collect())
        }
        other => other.clone(),
    }
}

fn gather(condition: &Condition, words: &mut Vec<Words>) {
    match condition {
        Condition::Or(conditions) => conditions.iter().for_each(|condition| gather(condition, words)),
        Condition::Words(of) => words.push(of.clone()),
        Condition::And(_) | Condition::Not(_) | Condition::Column { .. } => {}
    }
}
