//! How well a model with a head for masked language modelling foresees the collection: pseudo-perplexity of a sample.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use berth_encoder::{Encoder, InstalledModel, Overlong, Step, Tokens};
use berth_types::Head;
use serde::Serialize;

use crate::graphs::checkpoint_of;
use crate::{EncoderChoice, Error, Home, open_head};

/// Tokens of a passage: each is one run of the model, and passages of one length can be compared.
pub(super) const PASSAGE_TOKENS: usize = 64;
/// Shorter passages have too little to foresee a word by.
const SHORTEST_PASSAGE: usize = 16;

/// How well passages are foreseen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PassagePerplexity {
    /// exp of minus the mean log probability of a token, when it is masked; 1 is certain.
    pub pseudo_perplexity: f64,
    /// Passages that were measured.
    pub passages: usize,
    /// Their tokens.
    pub tokens: usize,
}

/// Why a model cannot foresee tokens; none where it can.
pub(super) fn lacking_head(home: &Home, model: &InstalledModel) -> Option<String> {
    let card = model.card();
    if card.heads.contains(&Head::FillMask) {
        return None;
    }
    if card.ready_made.is_some() {
        return Some("the graph of this model has no head that foresees masked tokens".to_owned());
    }
    let inspected = checkpoint_of(home, model, Head::FillMask).and_then(|folder| Ok(berth_export::inspect(&folder)?));
    match inspected {
        Ok(inspection) if inspection.heads.contains(&Head::FillMask) => None,
        Ok(_) => Some("the checkpoint of this model has no weights that foresee masked tokens".to_owned()),
        Err(_) => Some("the checkpoint of this model, which could have such a head, is not there".to_owned()),
    }
}

/// A stretch of [`PASSAGE_TOKENS`] tokens that begins at a word; `number` decides where. None of a text that is too short.
pub(super) fn passage<'a>(text: &'a str, tokens: &Tokens, number: u64) -> Option<&'a str> {
    let count = tokens.ids.len();
    if count < SHORTEST_PASSAGE {
        return None;
    }
    let last_start = count.saturating_sub(PASSAGE_TOKENS);
    let begins = |place: &usize| *place == 0 || tokens.word_of[*place] != tokens.word_of[*place - 1];
    let drawn = (number % (last_start as u64 + 1)) as usize;
    let start = (0..=drawn).rev().find(begins)?;
    let end = (start + PASSAGE_TOKENS).min(count);
    Some(&text[tokens.offsets[start].start as usize..tokens.offsets[end - 1].end as usize])
}

/// Masks every token of the passages once. None when it was cancelled, or when there are no passages.
///
/// # Errors
/// A model that cannot be opened for it or does not run.
pub(super) fn measure(
    home: &Home,
    choice: &EncoderChoice,
    passages: &BTreeMap<u64, String>,
    cancel: &AtomicBool,
) -> Result<Option<PassagePerplexity>, Error> {
    if passages.is_empty() {
        return Ok(None);
    }
    let encoder = open_head(home, choice, Head::FillMask, None)?;
    let (mut log_likelihood, mut tokens) = (0.0, 0);
    for text in passages.values() {
        let Some((likelihood, read)) = foresee(&encoder, text, cancel)? else { return Ok(None) };
        log_likelihood += likelihood;
        tokens += read;
    }
    let pseudo_perplexity = (-log_likelihood / tokens.max(1) as f64).exp();
    Ok(Some(PassagePerplexity { pseudo_perplexity, passages: passages.len(), tokens }))
}

fn foresee(encoder: &Encoder, text: &str, cancel: &AtomicBool) -> Result<Option<(f64, usize)>, Error> {
    let mut asked = encoder.ask_pseudo_perplexity(text, Overlong::Cut)?;
    loop {
        if cancel.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match asked.step()? {
            Step::Answer(answer) => return Ok(Some((answer.log_likelihood, answer.tokens))),
            Step::More(more) => asked = more,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of two tokens, each a letter.
    fn tokens(count: usize) -> Tokens {
        Tokens {
            ids: vec![5; count],
            offsets: (0..count as u32).map(|place| place..place + 1).collect(),
            word_of: (0..count as u32).map(|place| place / 2).collect(),
            words: count / 2,
            unknown: 0,
        }
    }

    #[test]
    fn a_passage_begins_at_a_word_and_has_its_length() {
        let text: String = ('a'..='z').cycle().take(100).collect();
        assert_eq!(passage(&text, &tokens(15), 3), None);
        assert_eq!(passage(&text, &tokens(16), 3), Some(&text[..16]));
        assert_eq!(passage(&text, &tokens(64), 3), Some(&text[..64]));
        for number in [0, 1, 2, 17, 36, u64::MAX] {
            let passage = passage(&text, &tokens(100), number).unwrap();
            let start = (number % 37) as usize / 2 * 2;
            assert_eq!(passage, &text[start..start + 64], "{number}");
        }
    }
}
