//! What questions are asked of: an index with the models that it was built with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_encoder::{Call, Encoder};
use berth_index::relevance::Curves;
use berth_index::{IndexReader, IndexSettings, stored_weights};
use berth_types::{Fingerprint, Mode, Rerank, Reranker};

use crate::encoding::{EncoderChoice, open_encoder_for};
use crate::{Error, Home, SparseEncoder, TokenEncoder};

/// Answers questions over one index. Clones share the reader and the models.
#[derive(Clone)]
pub struct Searcher {
    /// Folder of the index, to name it.
    pub(crate) index: PathBuf,
    pub(crate) reader: Arc<IndexReader>,
    /// Absent when the dense half will not be asked.
    pub(crate) encoder: Option<Encoder>,
    /// Present when the sparse list will be asked.
    pub(crate) sparse: Option<SparseEncoder>,
    /// Present when late interaction or highlights in meaning will be asked for.
    pub(crate) tokens: Option<TokenEncoder>,
    /// Present when a cross-encoder will be asked for.
    pub(crate) cross: Option<Encoder>,
    /// What relevance is told by.
    pub(crate) curves: Curves,
}

/// What will be asked of an index, so that what it takes is opened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearcherOptions {
    /// Which halves will answer.
    pub mode: Mode,
    /// What will order the first documents anew.
    pub rerank: Option<Rerank>,
    /// Whether hits will say which sentence and words carry the match in meaning.
    pub semantic_highlights: bool,
    /// Whether hybrid search will ask the sparse list, of an index that has one.
    pub sparse: bool,
}

impl Default for SearcherOptions {
    /// Hybrid search with all lists that the index has.
    fn default() -> Self {
        Self { mode: Mode::Hybrid, rerank: None, semantic_highlights: false, sparse: true }
    }
}

impl Searcher {
    /// Opens an index, and of the models that it was built with what will be asked: none for the lexical half alone.
    ///
    /// # Errors
    /// An index that is not there or damaged, a model that is not installed, `FingerprintMismatch`; `NoTokenRows` of the
    /// index when late interaction will be asked for and it was built without, `NoSparseVectors` likewise.
    pub fn open(home: &Home, index: &Path, choice: &EncoderChoice, options: &SearcherOptions) -> Result<Self, Error> {
        let &SearcherOptions { mode, rerank, semantic_highlights, .. } = options;
        let reader = Arc::new(IndexReader::open(index)?);
        let settings = reader.snapshot().settings().clone();
        let is_late = rerank.is_some_and(|rerank| rerank.by == Reranker::Late);
        let built_with = match &settings.tokens {
            None if is_late => return Err(berth_index::Error::NoTokenRows { path: index.to_path_buf() }.into()),
            None => &settings.fingerprint,
            Some(tokens) => &tokens.fingerprint,
        };
        let sparse = match &settings.sparse {
            None if mode == Mode::Sparse => {
                return Err(berth_index::Error::NoSparseVectors { path: index.to_path_buf() }.into());
            }
            Some(sparse) if mode == Mode::Sparse || mode == Mode::Hybrid && options.sparse => {
                Some(SparseEncoder::open(home, choice, None, Some(&sparse.fingerprint))?)
            }
            _ => None,
        };
        let wanted = is_late || semantic_highlights;
        let tokens = wanted.then(|| TokenEncoder::open(home, choice, Some(built_with))).transpose()?;
        let encoder = match mode {
            Mode::Lexical | Mode::Sparse => None,
            Mode::Hybrid | Mode::Dense => Some(open_encoder_for(home, choice, Some(&settings.fingerprint))?),
        };
        Self::over_reader(index, reader, encoder, tokens, sparse)
    }

    /// Opens an index for encoders that are open already.
    ///
    /// # Errors
    /// An index that is not there or damaged, `FingerprintMismatch`.
    pub fn with_encoders(
        index: &Path,
        encoder: Option<Encoder>,
        tokens: Option<TokenEncoder>,
        sparse: Option<SparseEncoder>,
    ) -> Result<Self, Error> {
        Self::over_reader(index, Arc::new(IndexReader::open(index)?), encoder, tokens, sparse)
    }

    /// The same over a reader that is open already.
    ///
    /// # Errors
    /// `FingerprintMismatch`, damaged weights.
    pub fn over_reader(
        index: &Path,
        reader: Arc<IndexReader>,
        encoder: Option<Encoder>,
        tokens: Option<TokenEncoder>,
        sparse: Option<SparseEncoder>,
    ) -> Result<Self, Error> {
        let stored = stored_weights(index, &reader.snapshot().settings().fingerprint)?;
        let curves = stored.filter(|stored| stored.for_this_model).and_then(|stored| stored.relevance);
        let curves = curves.unwrap_or_default();
        let searcher = Self { index: index.to_path_buf(), reader, encoder, sparse, tokens, cross: None, curves };
        let settings = searcher.reader.snapshot().settings().clone();
        searcher.check_models(&settings)?;
        searcher.check_token_model(&settings)?;
        Ok(searcher)
    }

    fn check_token_model(&self, settings: &IndexSettings) -> Result<(), Error> {
        match (&settings.tokens, &self.tokens) {
            (Some(stored), Some(tokens)) => {
                check_fingerprint(&self.index, &stored.fingerprint, &tokens.settings().fingerprint)
            }
            _ => Ok(()),
        }
    }

    /// Whether the models are those that the index has its vectors of.
    pub(crate) fn check_models(&self, settings: &IndexSettings) -> Result<(), Error> {
        if let Some(encoder) = &self.encoder {
            check_fingerprint(&self.index, &settings.fingerprint, encoder.fingerprint())?;
        }
        match (&settings.sparse, &self.sparse) {
            (Some(stored), Some(sparse)) => {
                check_fingerprint(&self.index, &stored.fingerprint, &sparse.settings().fingerprint)
            }
            _ => Ok(()),
        }
    }

    /// The same, with models that are open already in the place of those that it had.
    ///
    /// # Errors
    /// `FingerprintMismatch`.
    pub fn with_models(
        self,
        encoder: Option<Encoder>,
        tokens: Option<TokenEncoder>,
        sparse: Option<SparseEncoder>,
    ) -> Result<Self, Error> {
        let searcher = Self { encoder, sparse, tokens, ..self };
        searcher.check_token_model(searcher.reader.snapshot().settings())?;
        Ok(searcher)
    }

    /// The same, with a cross-encoder that can be asked.
    #[must_use]
    pub fn with_cross_encoder(self, encoder: Encoder) -> Self {
        Self { cross: Some(encoder), ..self }
    }

    /// The same for the runs of the models that one request takes.
    #[must_use]
    pub fn for_call(&self, call: &Call) -> Self {
        let mut same = self.clone();
        same.encoder = same.encoder.map(|encoder| encoder.for_call(call));
        same.cross = same.cross.map(|encoder| encoder.for_call(call));
        same.tokens = same.tokens.map(|tokens| tokens.for_call(call));
        same.sparse = same.sparse.map(|sparse| sparse.for_call(call));
        same
    }

    /// The reader below.
    pub fn reader(&self) -> &Arc<IndexReader> {
        &self.reader
    }
}

fn check_fingerprint(index: &Path, stored: &Fingerprint, here: &Fingerprint) -> Result<(), Error> {
    let differences = stored.differences(here);
    if differences.is_empty() {
        return Ok(());
    }
    let named =
        differences.iter().map(|(part, stored, here)| format!("{part}: {} there, {} here", brief(stored), brief(here)));
    Err(Error::FingerprintMismatch {
        index: index.to_path_buf(),
        model: here.model.clone(),
        differences: named.collect::<Vec<_>>().join("; "),
    })
}

/// Hashes are long and differ in their first digits already.
fn brief(value: &str) -> &str {
    value.get(..12).filter(|_| value.len() == 64).unwrap_or(value)
}
