//! A vector for each token, for late interaction: from the head that a model was trained for, else from the token states
//! of an ordinary encoder.

use std::path::Path;

use berth_encoder::{Encoder, Lane, Pending, Row};
use berth_index::{IndexReader, TokenSettings};
use berth_types::{Fingerprint, Head, TokenMatrix};

use crate::encoding::{EncoderChoice, open_head};
use crate::{Error, Home};

/// Gives the tokens of a text their vectors. A second run of the model beside the one that gives the text its own.
pub struct TokenEncoder {
    encoder: Encoder,
    settings: TokenSettings,
    /// Ids before the text of a passage: special tokens and prompt. Their vectors are left out, as those before a query.
    passage_prefix: usize,
    query_prompt: Vec<u32>,
    /// Special tokens behind the text.
    suffix: usize,
}

/// A passage whose tokens are becoming vectors.
pub(crate) struct PendingTokens {
    pending: Pending,
    prefix: usize,
    suffix: usize,
}

impl PendingTokens {
    /// Waits for the vectors.
    pub(crate) fn wait(self) -> Result<TokenMatrix, Error> {
        let tensor = self.pending.wait()?.into_iter().next().unwrap_or_default();
        let dimensions = tensor.shape.last().copied().unwrap_or(0);
        let rows = tensor.values.len() / dimensions.max(1);
        let kept = self.prefix..rows.saturating_sub(self.suffix).max(self.prefix);
        let values = tensor.values.get(kept.start * dimensions..kept.end * dimensions).unwrap_or_default();
        Ok(TokenMatrix::normalized(values.to_vec(), dimensions)?)
    }
}

/// Opens what an index needs for late interaction: for a new index when `wanted`, for an index that is there when it has
/// token rows.
///
/// # Errors
/// `NoTokenRows` of the index when they are wanted of an index that was built without; otherwise as
/// [`open_encoder`](crate::open_encoder).
pub fn open_token_encoder(
    home: &Home,
    choice: &EncoderChoice,
    index: Option<&Path>,
    wanted: bool,
) -> Result<Option<TokenEncoder>, Error> {
    let built_with = match index {
        Some(path) if berth_index::exists(path) => {
            let settings = IndexReader::open(path)?.snapshot().settings().clone();
            match settings.tokens {
                Some(tokens) => Some(tokens.fingerprint),
                None if wanted => return Err(berth_index::Error::NoTokenRows { path: path.to_path_buf() }.into()),
                None => return Ok(None),
            }
        }
        _ if wanted => None,
        _ => return Ok(None),
    };
    TokenEncoder::open(home, choice, built_with.as_ref()).map(Some)
}

impl TokenEncoder {
    pub(crate) fn open(home: &Home, choice: &EncoderChoice, built_with: Option<&Fingerprint>) -> Result<Self, Error> {
        let encoder = open_head(home, choice, built_with, |card| {
            if card.late.is_some() || card.heads.contains(&Head::Late) { Head::Late } else { Head::Tokens }
        })?;
        let tokenizer = encoder.tokenizer();
        let prompts = &encoder.card().prompts;
        let suffix = tokenizer.suffix().len();
        let passage_prefix = tokenizer.prefix().len() + tokenizer.tokenize(&prompts.passage)?.ids.len();
        let query_prompt = tokenizer.tokenize(&prompts.query)?.ids;
        // The graph knows the length of its vectors, and says it with the first ones.
        let shortest = Row::from([tokenizer.prefix(), tokenizer.suffix()].concat());
        let tensor = encoder.submit(shortest, Lane::Query)?.wait()?.into_iter().next().unwrap_or_default();
        let dimensions = tensor.shape.last().copied().unwrap_or(0);
        let settings = TokenSettings { fingerprint: encoder.fingerprint().clone(), dimensions };
        Ok(Self { encoder, settings, passage_prefix, query_prompt, suffix })
    }

    /// What the token rows of an index of this model have in common.
    pub fn settings(&self) -> &TokenSettings {
        &self.settings
    }

    /// Hands the row of a passage to the model, as [`Encoder::passage_row`] made it.
    pub(crate) fn submit_passage(&self, row: Vec<u32>) -> Result<PendingTokens, Error> {
        let pending = self.encoder.submit(Row::from(row), Lane::Bulk)?;
        Ok(PendingTokens { pending, prefix: self.passage_prefix, suffix: self.suffix })
    }

    /// Vectors of the tokens of a query. Of a query that is longer than the model takes, the beginning is read.
    pub(crate) fn query(&self, text: &str) -> Result<TokenMatrix, Error> {
        let tokenizer = self.encoder.tokenizer();
        let mut ids = tokenizer.tokenize(text)?.ids;
        let prefix = tokenizer.prefix().len() + self.query_prompt.len();
        ids.truncate(self.encoder.card().max_tokens.saturating_sub(prefix + self.suffix));
        let row = [tokenizer.prefix(), &self.query_prompt, &ids, tokenizer.suffix()].concat();
        let pending = self.encoder.submit(Row::from(row), Lane::Query)?;
        PendingTokens { pending, prefix, suffix: self.suffix }.wait()
    }
}
