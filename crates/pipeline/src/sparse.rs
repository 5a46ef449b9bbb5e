//! Learned-sparse vectors of passages and questions: a second model beside the one that gives a text its vector.

use std::path::Path;

use berth_encoder::heads::sparse::terms;
use berth_encoder::{Call, Encoder, Lane, Pending, Row};
use berth_index::{IndexReader, SparseRow, SparseSettings};
use berth_types::{ContentKey, Fingerprint, Head, SparseVector};

use crate::encoding::{EncoderChoice, open_for};
use crate::prepare::{TITLE_SHARE, content_key};
use crate::{Error, Home};

/// Bytes of answers that may wait to be read: each has a number for every piece of the vocabulary, 122 kB for one of 30,522.
const MOST_WAITING_BYTES: usize = 128 << 20;

/// Gives texts their learned-sparse vectors (SPLADE, Formal, Piwowarski and Clinchant 2021).
#[derive(Clone)]
pub struct SparseEncoder {
    encoder: Encoder,
    settings: SparseSettings,
    /// Of the fingerprint.
    hash: [u8; 32],
    /// Pieces of the vocabulary.
    pieces: usize,
}

/// A passage as the model will read it.
#[derive(Debug, Clone)]
pub(crate) struct SparsePassage {
    row: Vec<u32>,
    /// Names the row: what the vector will be stored under.
    pub(crate) key: ContentKey,
    /// Whether the model will not read all of the text.
    pub(crate) is_cut: bool,
}

/// A passage that is becoming a vector.
pub(crate) struct PendingSparse {
    pending: Pending,
    key: ContentKey,
}

impl PendingSparse {
    /// Waits for the vector.
    pub(crate) fn wait(self) -> Result<SparseRow, Error> {
        Ok(SparseRow { key: self.key, vector: vector(self.pending)? })
    }
}

/// Opens what an index needs for sparse vectors: the model `name` for a new index, for an index that is there the one that it
/// was built with.
///
/// # Errors
/// `NoSparseVectors` of the index when a model is named and it was built without; otherwise as
/// [`open_encoder`](crate::open_encoder).
pub fn open_sparse_encoder(
    home: &Home,
    choice: &EncoderChoice,
    index: Option<&Path>,
    name: Option<&str>,
) -> Result<Option<SparseEncoder>, Error> {
    let built_with = match index {
        Some(path) if berth_index::exists(path) => {
            let settings = IndexReader::open(path)?.snapshot().settings().clone();
            match settings.sparse {
                Some(sparse) => Some(sparse.fingerprint),
                None if name.is_some() => {
                    return Err(berth_index::Error::NoSparseVectors { path: path.to_path_buf() }.into());
                }
                None => return Ok(None),
            }
        }
        _ => None,
    };
    match (name, built_with) {
        (None, None) => Ok(None),
        (name, built_with) => SparseEncoder::open(home, choice, name, built_with.as_ref()).map(Some),
    }
}

impl SparseEncoder {
    /// The model `name`, else the one of a fingerprint; of the choice, what names a model is not read, since that is another.
    pub(crate) fn open(
        home: &Home,
        choice: &EncoderChoice,
        name: Option<&str>,
        built_with: Option<&Fingerprint>,
    ) -> Result<Self, Error> {
        let model = name.map(str::to_owned).or(built_with.map(|fingerprint| fingerprint.model.clone()));
        // What the index was built in counts; what is said of precision is said of the other model.
        let precision = if built_with.is_some() { None } else { choice.precision };
        let choice = EncoderChoice { model, precision, ..choice.clone() };
        Self::over(open_for(home, &choice, built_with, |_| Head::Sparse)?)
    }

    /// Takes a model that is open for head `sparse`.
    ///
    /// # Errors
    /// A model that cannot run.
    pub fn over(encoder: Encoder) -> Result<Self, Error> {
        let fingerprint = encoder.fingerprint().clone();
        let hash = *blake3::hash(fingerprint.canonical().as_bytes()).as_bytes();
        // The graph knows how many pieces there are, and says it with the first answer.
        let tokenizer = encoder.tokenizer();
        let shortest = Row::from([tokenizer.prefix(), tokenizer.suffix()].concat());
        let tensor = encoder.submit(shortest, Lane::Query)?.wait()?.into_iter().next().unwrap_or_default();
        let pieces = tensor.values.len();
        Ok(Self { encoder, settings: SparseSettings { fingerprint }, hash, pieces })
    }

    /// The same for the rows of one request.
    pub(crate) fn for_call(&self, call: &Call) -> Self {
        Self { encoder: self.encoder.for_call(call), ..self.clone() }
    }

    /// What the sparse vectors of an index of this model have in common.
    pub fn settings(&self) -> &SparseSettings {
        &self.settings
    }

    /// The piece of the vocabulary with this id.
    pub(crate) fn piece(&self, id: u32) -> String {
        self.encoder.tokenizer().piece(id).unwrap_or_else(|| format!("[{id}]"))
    }

    /// Passages whose answers may wait to be read.
    pub(crate) fn most_waiting(&self) -> usize {
        let answer_bytes = (self.pieces * size_of::<f32>()).max(1);
        (MOST_WAITING_BYTES / answer_bytes).max(1)
    }

    /// The row of a passage: its title, of which a quarter of what the model takes is read at most, and as much of its text
    /// as there is room for.
    pub(crate) fn passage(&self, title: &str, text: &str) -> Result<SparsePassage, Error> {
        let tokenizer = self.encoder.tokenizer();
        let room = self.encoder.card().max_tokens.saturating_sub(tokenizer.special_tokens());
        let mut title = tokenizer.tokenize(title)?.ids;
        title.truncate(room / TITLE_SHARE);
        let mut text = tokenizer.tokenize(text)?.ids;
        let kept = text.len().min(room - title.len());
        let is_cut = kept < text.len();
        text.truncate(kept);
        let row = [tokenizer.prefix(), &title, &text, tokenizer.suffix()].concat();
        Ok(SparsePassage { key: content_key(&self.hash, &row), row, is_cut })
    }

    /// Hands a passage to the model.
    pub(crate) fn submit(&self, passage: SparsePassage) -> Result<PendingSparse, Error> {
        let SparsePassage { row, key, .. } = passage;
        Ok(PendingSparse { pending: self.encoder.submit(Row::from(row), Lane::Bulk)?, key })
    }

    /// The vector of a question, and whether it is longer than the model takes: then its beginning was read.
    pub(crate) fn query(&self, text: &str) -> Result<(SparseVector, bool), Error> {
        let SparsePassage { row, is_cut, .. } = self.passage("", text)?;
        Ok((vector(self.encoder.submit(Row::from(row), Lane::Query)?)?, is_cut))
    }
}

/// What the graph gave, in steps.
fn vector(pending: Pending) -> Result<SparseVector, Error> {
    let tensor = pending.wait()?.into_iter().next().unwrap_or_default();
    Ok(SparseVector::quantized(terms(&tensor.values, 0.0))?)
}
