//! A vector for each token, for late interaction: from the head that a model was trained for, else from the token states
//! of an ordinary encoder.

use std::ops::Range;
use std::path::Path;

use berth_encoder::{Call, Encoder, Lane, Overlong, Pending, Prompt, Row};
use berth_index::{IndexReader, TokenSettings};
use berth_types::{Fingerprint, Head, TokenMatrix};

use crate::encoding::{EncoderChoice, open_for};
use crate::{Error, Home};

/// Share of MaxSim in the score, for a model that was trained for late interaction: all, as the model was trained to rank
/// (Khattab and Zaharia 2020).
const TRAINED_WEIGHT: f32 = 1.0;
/// The same for token states that nothing was trained to compare. nDCG@10 of hybrid search on SciFact train with
/// all-MiniLM-L6-v2: .7365 without MaxSim, .7302 by MaxSim alone, .7522 half and half.
const UNTRAINED_WEIGHT: f32 = 0.5;

/// Gives the tokens of a text their vectors. A second run of the model beside the one that gives the text its own.
#[derive(Clone)]
pub struct TokenEncoder {
    encoder: Encoder,
    settings: TokenSettings,
    /// Ids before and behind the text in a passage's row for one vector: special tokens and prompt.
    prefix: usize,
    suffix: usize,
    query_prompt: Vec<u32>,
}

/// A passage whose tokens are becoming vectors.
pub(crate) struct PendingTokens {
    pending: Pending,
    /// Positions of the row whose vectors are kept, ascending.
    kept: Vec<usize>,
}

impl PendingTokens {
    /// Waits for the vectors.
    pub(crate) fn wait(self) -> Result<TokenMatrix, Error> {
        let tensor = self.pending.wait()?.into_iter().next().unwrap_or_default();
        let dimensions = tensor.shape.last().copied().unwrap_or(0);
        let rows = self.kept.iter().filter_map(|row| tensor.values.get(row * dimensions..(row + 1) * dimensions));
        Ok(TokenMatrix::normalized(rows.flatten().copied().collect(), dimensions)?)
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
        let encoder = open_for(home, choice, built_with, |card| match card.late {
            Some(_) => Head::Late,
            None => Head::Tokens,
        })?;
        Self::over(encoder)
    }

    /// Takes a model that is open, for head `late` where its card says how, else for head `tokens`.
    ///
    /// # Errors
    /// A model that cannot run.
    pub fn over(encoder: Encoder) -> Result<Self, Error> {
        let (tokenizer, prompts) = (encoder.tokenizer(), &encoder.card().prompts);
        let prefix = tokenizer.prefix().len() + tokenizer.tokenize(&prompts.passage)?.ids.len();
        let suffix = tokenizer.suffix().len();
        let query_prompt = tokenizer.tokenize(&prompts.query)?.ids;
        // The graph knows the length of its vectors, and says it with the first ones.
        let shortest = Row::from([tokenizer.prefix(), tokenizer.suffix()].concat());
        let tensor = encoder.submit(shortest, Lane::Query)?.wait()?.into_iter().next().unwrap_or_default();
        let dimensions = tensor.shape.last().copied().unwrap_or(0);
        let settings = TokenSettings { fingerprint: fingerprint(&encoder), dimensions };
        Ok(Self { encoder, settings, prefix, suffix, query_prompt })
    }

    /// The same for the rows of one request.
    pub(crate) fn for_call(&self, call: &Call) -> Self {
        Self { encoder: self.encoder.for_call(call), ..self.clone() }
    }

    /// What the token rows of an index of this model have in common.
    pub fn settings(&self) -> &TokenSettings {
        &self.settings
    }

    /// Share of MaxSim in the score that suits the model, 0 to 1.
    pub(crate) fn weight(&self) -> f32 {
        if self.encoder.head() == Head::Late { TRAINED_WEIGHT } else { UNTRAINED_WEIGHT }
    }

    /// The longest window whose passages the model takes here too; a marker may need room beside it.
    pub(crate) fn longest_window(&self) -> Result<usize, Error> {
        let max_tokens = self.encoder.card().max_tokens;
        if self.encoder.head() != Head::Late {
            return Ok(max_tokens);
        }
        let (markers, _) = self.encoder.late_passage_row(&[])?;
        Ok(max_tokens - markers.ids.len().saturating_sub(self.prefix + self.suffix))
    }

    /// Hands the row of a passage to the model, as [`Encoder::passage_row`] made it. Of a model that was trained for late
    /// interaction its own rule says which tokens are kept, of others those of title and text.
    pub(crate) fn submit_passage(&self, row: Vec<u32>) -> Result<PendingTokens, Error> {
        let text = self.prefix..row.len().saturating_sub(self.suffix);
        let (row, kept) = if self.encoder.head() == Head::Late {
            self.encoder.late_passage_row(row.get(text).unwrap_or_default())?
        } else {
            (Row::from(row), text.collect())
        };
        Ok(PendingTokens { pending: self.encoder.submit(row, Lane::Bulk)?, kept })
    }

    /// Vectors of the tokens of a passage, and where in its text they stand. Of a passage that is longer than the model
    /// takes, the beginning is read.
    pub(crate) fn passage(&self, text: &str) -> Result<(TokenMatrix, Vec<Range<usize>>), Error> {
        let tokenizer = self.encoder.tokenizer();
        let prompt = tokenizer.tokenize(&self.encoder.card().prompts.passage)?.ids;
        let mut tokens = tokenizer.tokenize(text)?;
        tokens.ids.truncate(self.longest_window()?.saturating_sub(self.prefix + self.suffix));
        let (row, kept) = if self.encoder.head() == Head::Late {
            self.encoder.late_passage_row(&tokens.ids)?
        } else {
            let row = [tokenizer.prefix(), &prompt, &tokens.ids, tokenizer.suffix()].concat();
            (Row::from(row), (self.prefix..self.prefix + tokens.ids.len()).collect())
        };
        // Of a row the text is the part before the last special tokens; a marker that is kept too stands for no text.
        let first = row.ids.len().saturating_sub(self.suffix + tokens.ids.len());
        let (kept, offsets): (Vec<usize>, Vec<Range<usize>>) = kept
            .into_iter()
            .filter_map(|position| {
                let offset = tokens.offsets[..tokens.ids.len()].get(position.checked_sub(first)?)?;
                Some((position, offset.start as usize..offset.end as usize))
            })
            .unzip();
        let pending = self.encoder.submit(row, Lane::Query)?;
        Ok((PendingTokens { pending, kept }.wait()?, offsets))
    }

    /// Vectors of the tokens of a query. Of a query that is longer than the model takes, the beginning is read.
    pub(crate) fn query(&self, text: &str) -> Result<TokenMatrix, Error> {
        if self.encoder.head() == Head::Late {
            let vectors = self.encoder.ask_late(text, Prompt::Query, Overlong::Cut)?.wait()?.vectors;
            return Ok(TokenMatrix::normalized(vectors.values, vectors.dimensions)?);
        }
        let tokenizer = self.encoder.tokenizer();
        let mut ids = tokenizer.tokenize(text)?.ids;
        let prefix = tokenizer.prefix().len() + self.query_prompt.len();
        ids.truncate(self.encoder.card().max_tokens.saturating_sub(prefix + self.suffix));
        let kept = (prefix..prefix + ids.len()).collect();
        let row = [tokenizer.prefix(), &self.query_prompt, &ids, tokenizer.suffix()].concat();
        PendingTokens { pending: self.encoder.submit(Row::from(row), Lane::Query)?, kept }.wait()
    }
}

/// The encoder's fingerprint, with what the card says of late interaction: it shapes the rows that the model reads.
fn fingerprint(encoder: &Encoder) -> Fingerprint {
    let mut fingerprint = encoder.fingerprint().clone();
    if let Some(late) = &encoder.card().late {
        let rule = format!(
            "{:?} {:?} {} {}",
            late.query_marker, late.passage_marker, late.query_tokens, late.skip_punctuation
        );
        fingerprint.parts.insert("late".to_owned(), rule);
    }
    fingerprint
}
