//! Measures how far a model's cosines of sentences agree with people (semantic textual similarity).

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use berth_encoder::{Encoder, Overlong};
use berth_eval::{SentencePair, pearson, read_sentence_pairs, spearman};
use serde::Serialize;

use crate::encoding::{EncoderChoice, open_encoder};
use crate::{Error, Home, fingerprint_hash};

/// Pairs on their way through the model at once.
const PAIRS_AT_ONCE: usize = 64;

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StsReport {
    /// Pairs of sentences.
    pub pairs: usize,
    /// Correlation of the ranks of cosines and scores; none where one of the two is the same for all pairs.
    pub spearman: Option<f64>,
    /// Correlation of cosines and scores themselves.
    pub pearson: Option<f64>,
    /// Sentences that are longer than the model takes, of which it read the beginning.
    pub truncated: usize,
    /// Name of the model.
    pub model: String,
    /// Hash of everything that shapes its vectors.
    pub fingerprint: String,
    /// Which of its prompts stood before each sentence.
    pub prompt: String,
    /// Version of Berth.
    pub version: &'static str,
}

/// Compares cosines of sentence pairs with the scores of a file. `Ok(None)`: interrupted.
///
/// # Errors
/// A file that cannot be read or a line of it that is no pair, a model that is not installed, a prompt that it does not have.
pub fn sts(
    home: &Home,
    choice: &EncoderChoice,
    (path, prompt): (&Path, &str),
    cancel: &AtomicBool,
) -> Result<Option<StsReport>, Error> {
    if !path.exists() {
        return Err(Error::PathNotFound { path: path.to_path_buf() });
    }
    let pairs = read_sentence_pairs(path)?;
    let encoder = open_encoder(home, choice, None)?;
    let Some((cosines, truncated)) = cosines(&encoder, &pairs, prompt, cancel)? else { return Ok(None) };
    let scores: Vec<f64> = pairs.iter().map(|pair| pair.score).collect();
    let fingerprint = encoder.fingerprint();
    Ok(Some(StsReport {
        pairs: pairs.len(),
        spearman: spearman(&cosines, &scores),
        pearson: pearson(&cosines, &scores),
        truncated,
        model: fingerprint.model.clone(),
        fingerprint: fingerprint_hash(fingerprint),
        prompt: prompt.to_owned(),
        version: env!("CARGO_PKG_VERSION"),
    }))
}

/// Of each pair, and how many sentences were cut.
fn cosines(
    encoder: &Encoder,
    pairs: &[SentencePair],
    prompt: &str,
    cancel: &AtomicBool,
) -> Result<Option<(Vec<f64>, usize)>, Error> {
    let prompt = encoder.prompt_named(prompt)?;
    let (mut cosines, mut truncated) = (Vec::with_capacity(pairs.len()), 0);
    for some in pairs.chunks(PAIRS_AT_ONCE) {
        if cancel.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let ask = |sentence: &str| encoder.ask_sentence(sentence, prompt, Overlong::Cut);
        let asked = some.iter().map(|pair| Ok((ask(&pair.sentence1)?, ask(&pair.sentence2)?)));
        for (one, other) in asked.collect::<Result<Vec<_>, Error>>()? {
            let (one, other) = (one.wait()?, other.wait()?);
            truncated += usize::from(one.truncated > 0) + usize::from(other.truncated > 0);
            let products = one.embedding.as_slice().iter().zip(other.embedding.as_slice());
            cosines.push(products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum());
        }
    }
    Ok(Some((cosines, truncated)))
}
