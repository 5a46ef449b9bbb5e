//! A question with the synonyms of its words.
//!
//! A synonym ranks as the word beside which it stands, and matches where that word is merely listed; what is demanded
//! (`+`, `AND`, phrases, filters) is demanded as it was typed. One of several words matches where they stand side by side, and its
//! words rank one by one, as those of a phrase do.

use super::Question;
use super::condition::{Condition, any_term};
use super::question::Operators;
use super::words::{Place, Shape, Words};
use crate::lookup::Lookup;
use crate::synonyms::{Synonym, Synonyms};

/// Adds the synonyms that the index has a use for.
pub(super) fn broaden(question: &mut Question, synonyms: &Synonyms, lookup: &Lookup) {
    for place in [Place::Body, Place::Title] {
        let in_title = place == Place::Title;
        let of = |terms: &[&str]| {
            let found = known(synonyms.of(terms), &place, lookup).into_iter();
            found.map(|synonym| Synonym { in_title, ..synonym }).collect::<Vec<_>>()
        };
        let found = match &mut question.operators {
            None => {
                let terms = question.terms.iter().filter(|term| term.0 == in_title);
                of(&terms.map(|term| term.1.as_str()).collect::<Vec<_>>())
            }
            Some(operators) => {
                let mut found: Vec<Synonym> = Vec::new();
                operators.matches = broadened(&operators.matches, &place, &mut |terms| {
                    let more = of(terms);
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
    let typed = question.terms.len();
    for synonym in &question.synonyms {
        for term in &synonym.terms {
            let term = (synonym.in_title, term.clone());
            if !question.terms.contains(&term) {
                question.terms.push(term);
            }
        }
    }
    question.added = question.terms.len() - typed;
    // Terms alone cannot say that words are to stand side by side.
    if question.operators.is_none() && question.synonyms.iter().any(|synonym| synonym.terms.len() > 1) {
        let synonyms = question.synonyms.iter().map(|synonym| Condition::Words(words_of(synonym)));
        let matches = Condition::Or(std::iter::once(any_term(&question.terms[..typed])).chain(synonyms).collect());
        let mut words = Vec::new();
        gather(&matches, &mut words);
        question.operators = Some(Operators { matches, demands: None, words: Some(words) });
    }
}

fn words_of(synonym: &Synonym) -> Words {
    let (terms, place) = (synonym.terms.clone(), if synonym.in_title { Place::Title } else { Place::Body });
    let shape = if terms.len() == 1 { Shape::Any(terms) } else { Shape::Phrase(terms) };
    Words { place, shape }
}

/// Those of which the index has every term. A term that it has not would only raise what a question could score.
fn known(synonyms: Vec<Synonym>, place: &Place, lookup: &Lookup) -> Vec<Synonym> {
    let fields = lookup.schema.fields();
    let field = if *place == Place::Title { fields.title } else { fields.body };
    // A dictionary that cannot be read is met again by the search itself, which says so.
    let is_there = |term: &String| {
        let term = tantivy::Term::from_field_text(field, term);
        lookup.searcher.doc_freq(&term).map_or(true, |frequency| frequency > 0)
    };
    synonyms.into_iter().filter(|synonym| synonym.terms.iter().all(is_there)).collect()
}

/// The condition with alternatives beside the listed words of this place, which are looked at together. What is excluded
/// stays as it is.
fn broadened(
    condition: &Condition,
    place: &Place,
    alternatives: &mut dyn FnMut(&[&str]) -> Vec<Condition>,
) -> Condition {
    let listed = |condition: &Condition| match condition {
        Condition::Words(Words { place: of, shape: Shape::Any(terms) }) if of == place => terms.clone(),
        _ => Vec::new(),
    };
    match condition {
        Condition::And(conditions) => {
            Condition::And(conditions.iter().map(|condition| broadened(condition, place, alternatives)).collect())
        }
        Condition::Or(conditions) => {
            let terms: Vec<String> = conditions.iter().flat_map(listed).collect();
            let more = alternatives(&terms.iter().map(String::as_str).collect::<Vec<_>>());
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
