//! Masked language modelling: guesses for the masks of a text, and how likely the text itself is.

use std::collections::VecDeque;

use berth_types::Head;

use super::{Asked, FillMaskAnswer, Guess, MaskedPlace, Overlong, PerplexityAnswer};
use crate::heads::fill_mask::{best_ids, log_probability, pseudo_perplexity};
use crate::{Encoder, Error, Lane, Pending, Row};

/// Answers that are kept while the next rows run; each holds the scores of a whole vocabulary.
const ANSWERS_AT_ONCE: usize = 16;

impl Encoder {
    /// Asks for the `count` best guesses for each mask that the text spells. Wants head `fill-mask`.
    ///
    /// # Errors
    /// `NoMask` when the text has none, otherwise as [`ask_sentence`](Self::ask_sentence).
    pub fn ask_fill_mask(
        &self,
        text: &str,
        count: usize,
        overlong: Overlong,
    ) -> Result<Asked<'static, FillMaskAnswer>, Error> {
        let mut ready = self.ready(Head::FillMask, text, &[], overlong)?;
        let tokenizer = self.tokenizer().clone();
        let first = tokenizer.prefix().len();
        let read = ready.tokens.ids.len();
        let places: Vec<usize> =
            (0..read).filter(|&place| Some(ready.tokens.ids[place]) == tokenizer.mask_id()).collect();
        if places.is_empty() {
            let mask = tokenizer.mask_id().and_then(|id| tokenizer.piece(id)).unwrap_or_default();
            return Err(Error::NoMask { mask });
        }
        ready.row.positions = places.iter().map(|place| (first + place) as u32).collect();
        self.ask(ready, move |tensor, ready| {
            let vocabulary = tensor.shape.last().copied().unwrap_or(1).max(1);
            let guess = |(id, probability)| Guess {
                text: tokenizer.decoded(id),
                piece: tokenizer.piece(id).unwrap_or_default(),
                id,
                probability,
            };
            let masked = |(&place, logits): (&usize, &[f32])| {
                let bytes = &ready.tokens.offsets[place];
                let guesses = best_ids(logits, count).into_iter().map(guess).collect();
                MaskedPlace { start: bytes.start as usize, end: bytes.end as usize, guesses }
            };
            let masks = places.iter().zip(tensor.values.chunks_exact(vocabulary)).map(masked).collect();
            Ok(FillMaskAnswer { masks, truncated: ready.truncated })
        })
    }

    /// Asks how likely the model finds each token of the text when it is masked. Wants head `fill-mask`. All workers are
    /// busy with it; a text of n tokens takes n runs, each of which is a part.
    ///
    /// # Errors
    /// As [`ask_sentence`](Self::ask_sentence); `NothingToMeasure` for a text without tokens.
    pub fn ask_pseudo_perplexity(&self, text: &str, overlong: Overlong) -> Result<Asked<'_, PerplexityAnswer>, Error> {
        let mask = self.tokenizer().mask_id().ok_or_else(|| Error::NoMask { mask: "mask token".to_owned() })?;
        let ready = self.ready(Head::FillMask, text, &[], overlong)?;
        let first = self.tokenizer().prefix().len();
        let read = ready.tokens.ids.len();
        let ahead = ANSWERS_AT_ONCE.max(2 * self.plan().workers);
        let mut positions = first..first + read;
        let mut waiting: VecDeque<(u32, Pending)> = VecDeque::new();
        let mut likelihoods = Vec::with_capacity(read);
        let next = move || {
            while waiting.len() < ahead
                && let Some(position) = positions.next()
            {
                let mut ids = ready.row.ids.clone();
                let own = std::mem::replace(&mut ids[position], mask);
                let row = Row { ids, positions: vec![position as u32], ..Row::default() };
                waiting.push_back((own, self.submit(row, Lane::Bulk)?));
            }
            likelihoods.extend(waiting.pop_front().map(likelihood).transpose()?);
            if likelihoods.len() < read {
                return Ok(None);
            }
            let pseudo_perplexity = pseudo_perplexity(&likelihoods).ok_or(Error::NothingToMeasure)?;
            let log_likelihood = likelihoods.iter().sum();
            Ok(Some(PerplexityAnswer { pseudo_perplexity, log_likelihood, tokens: read, truncated: ready.truncated }))
        };
        Ok(Asked { next: Box::new(next) })
    }
}

fn likelihood((id, pending): (u32, Pending)) -> Result<f64, Error> {
    let tensor = pending.wait()?.into_iter().next().unwrap_or_default();
    let message = || format!("it gave scores of shape {:?}, without id {id}", tensor.shape);
    log_probability(&tensor.values, id).ok_or_else(|| Error::Run { tokens: 1, message: message() })
}
