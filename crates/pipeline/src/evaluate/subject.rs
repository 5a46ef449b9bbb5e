//! The index that is measured: that of the collection, built for it and kept in a cache, or one of the user's own.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use berth_encoder::TextTokenizer;
use berth_eval::Dataset;
use berth_index::{Error as IndexError, IndexStatus, StoredWeights, stored_weights};
use berth_types::{Mode, Rerank, Reranker};

use super::EvalOptions;
use crate::collection_index::{CollectionIndex, EncodeCost};
use crate::encoding::{EncoderChoice, open_encoder};
use crate::heads::open_tokenizer;
use crate::migrate::open_judgements;
use crate::searcher::{Searcher, SearcherOptions};
use crate::{
    Circumstances, Encoders, Error, Home, Progress, ResolvedFusion, SavedProfile, open_sparse_encoder,
    open_token_encoder,
};

/// What is asked.
pub(super) struct Subject {
    pub(super) searcher: Searcher,
    /// How its lists are joined.
    pub(super) resolved: ResolvedFusion,
    pub(super) modes: Vec<Mode>,
    /// What building it cost, where that is known.
    pub(super) encode: Option<EncodeCost>,
    pub(super) status: IndexStatus,
    pub(super) warnings: Vec<String>,
}

impl Subject {
    /// Opens the judgements and what they judge. `Ok(None)`: interrupted while the collection was indexed.
    ///
    /// # Errors
    /// As [`super::evaluate`].
    pub(super) fn open(
        home: &Home,
        options: &EvalOptions,
        progress: &mut dyn Progress,
        cancel: &AtomicBool,
    ) -> Result<Option<(Dataset, Self)>, Error> {
        match &options.index {
            Some(index) => Self::open_index(home, options, index).map(Some),
            None => Self::open_collection(home, options, progress, cancel),
        }
    }

    fn open_collection(
        home: &Home,
        options: &EvalOptions,
        progress: &mut dyn Progress,
        cancel: &AtomicBool,
    ) -> Result<Option<(Dataset, Self)>, Error> {
        let modes = modes(options, options.sparse.is_some());
        if options.sparse.is_none() && modes.contains(&Mode::Sparse) {
            let message = "mode sparse needs an index with sparse vectors; name a model for them with --sparse-model";
            return Err(Error::InvalidSettings(message.to_owned()));
        }
        let dataset = Dataset::open(&options.dataset, &options.split)?;
        let encoder = open_encoder(home, &options.encoder, None)?;
        let named =
            options.profile.as_ref().map(|path| Ok::<_, Error>((path, SavedProfile::read(path)?))).transpose()?;
        // A profile that was chosen for windows is measured on them.
        let windows = named.as_ref().map_or((None, None), |(_, saved)| (saved.window_tokens, saved.overlap_tokens));
        let profile = named.map(|(path, saved)| saved.for_model(path, encoder.fingerprint())).transpose()?;
        let base = profile.map(StoredWeights::of_file);
        let (has_sparse, has_tokens) = (options.sparse.is_some(), true);
        let circumstances = Circumstances { has_sparse, has_tokens, mode: Mode::Hybrid, is_sorted: false };
        let resolved = resolved(options, base.as_ref(), circumstances)?;
        let tokens = open_token_encoder(home, &options.encoder, None, resolved.rerank.is_some())?;
        let sparse = open_sparse_encoder(home, &options.encoder, None, options.sparse.as_deref())?;
        let encoders = Encoders { dense: &encoder, tokens: tokens.as_ref(), sparse: sparse.as_ref() };
        let collection = CollectionIndex {
            dir: &options.dataset,
            window_tokens: options.window_tokens.or(windows.0),
            overlap_tokens: options.overlap_tokens.or(windows.1),
            rows: options.rows,
            cache: options.cache.as_deref(),
            rebuild: options.rebuild,
        };
        let Some((index, encode)) = collection.built(home, encoders, progress, cancel)? else { return Ok(None) };
        let searcher = Searcher::with_encoders(&index, Some(encoder), tokens, sparse)?;
        let status = searcher.reader().snapshot().status();
        let subject = Self { searcher, resolved, modes, encode: Some(encode), status, warnings: Vec::new() };
        Ok(Some((dataset, subject)))
    }

    fn open_index(home: &Home, options: &EvalOptions, index: &Path) -> Result<(Dataset, Self), Error> {
        let dataset = open_judgements(index, &options.dataset, &options.split)?;
        let snapshot = berth_index::IndexReader::open(index)?.snapshot();
        let settings = snapshot.settings();
        let has_sparse = settings.sparse.is_some();
        let modes = modes(options, has_sparse);
        if !has_sparse && modes.contains(&Mode::Sparse) {
            return Err(IndexError::NoSparseVectors { path: index.to_path_buf() }.into());
        }
        let stored = stored_weights(index, &settings.fingerprint)?;
        let base = match &options.profile {
            Some(path) => Some(StoredWeights::of_file(SavedProfile::read(path)?.for_index(path, settings)?)),
            None => stored,
        };
        let resolved = resolved(options, base.as_ref(), Circumstances::of(settings))?;
        let is_foreign = base.is_some_and(|stored| !stored.for_this_model && options.joining.asks_for_weight(&stored));
        let warnings = is_foreign.then(|| {
            format!("the weights that {} stores were chosen for another model and do not count", index.display())
        });
        let asks_sparse = modes.contains(&Mode::Sparse)
            || modes.contains(&Mode::Hybrid) && resolved.sparse_weight.is_some_and(|weight| weight > 0.0);
        let widest = match () {
            () if modes.iter().any(|mode| matches!(mode, Mode::Hybrid | Mode::Dense)) => Mode::Hybrid,
            () if modes.contains(&Mode::Sparse) => Mode::Sparse,
            () => Mode::Lexical,
        };
        let opened =
            SearcherOptions { mode: widest, rerank: resolved.rerank, sparse: asks_sparse, ..Default::default() };
        let searcher = Searcher::open(home, index, &options.encoder, &opened)?;
        let status = snapshot.status();
        let warnings = warnings.into_iter().collect();
        Ok((dataset, Self { searcher, resolved, modes, encode: None, status, warnings }))
    }

    /// The tokenizer of the model that the index was built with.
    ///
    /// # Errors
    /// A model that is not installed or damaged.
    pub(super) fn tokenizer(&self, home: &Home, choice: &EncoderChoice) -> Result<TextTokenizer, Error> {
        if let Some(encoder) = &self.searcher.encoder {
            return Ok(encoder.tokenizer().clone());
        }
        let built_with = self.searcher.reader().snapshot().settings().fingerprint.model.clone();
        open_tokenizer(home, Some(choice.model.as_ref().unwrap_or(&built_with)))
    }

    /// Bytes on disk of the halves that answer.
    pub(super) fn bytes(&self, mode: Mode, rerank: Option<Rerank>) -> u64 {
        let IndexStatus { lexical_bytes, dense_bytes, token_bytes, .. } = self.status;
        let of_mode = match mode {
            Mode::Hybrid => lexical_bytes + dense_bytes,
            Mode::Dense => dense_bytes,
            // Sparse vectors are postings of the lexical half.
            Mode::Lexical | Mode::Sparse => lexical_bytes,
        };
        of_mode + rerank.map_or(0, |_| token_bytes)
    }
}

fn modes(options: &EvalOptions, has_sparse: bool) -> Vec<Mode> {
    if !options.modes.is_empty() {
        let mut modes: Vec<Mode> = Vec::new();
        for mode in &options.modes {
            if !modes.contains(mode) {
                modes.push(*mode);
            }
        }
        return modes;
    }
    let modes = [Mode::Lexical, Mode::Dense, Mode::Hybrid].into_iter();
    modes.chain(has_sparse.then_some(Mode::Sparse)).collect()
}

/// What was named, then what the profile says, then what is built in.
fn resolved(
    options: &EvalOptions,
    base: Option<&StoredWeights>,
    circumstances: Circumstances,
) -> Result<ResolvedFusion, Error> {
    let resolved = options.joining.resolved(base, circumstances);
    match resolved.rerank {
        Some(Rerank { by: Reranker::Cross, .. }) => {
            Err(Error::InvalidSettings("an evaluation measures late interaction only".to_owned()))
        }
        _ => Ok(resolved),
    }
}
