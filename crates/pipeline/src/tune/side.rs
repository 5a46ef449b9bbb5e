//! What is asked: an index of the user's, or that of the collection, once for each window.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use berth_eval::{EvalQuery, Qrels};
use berth_index::{IndexReader, Snapshot, stored_weights};
use berth_types::{Profile, Rerank, RowKind};

use super::{TuneSettings, TunedWindow};
use crate::collection_index::CollectionIndex;
use crate::encoding::open_encoder;
use crate::searcher::{Searcher, SearcherOptions};
use crate::{Circumstances, Encoders, Error, FusionChoice, Home, Progress, open_token_encoder};

/// An index to ask, the collection's documents cut by one window.
pub(super) struct Side {
    pub(super) searcher: Searcher,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) window: TunedWindow,
    pub(super) has_titles: bool,
    pub(super) qrels: Qrels,
}

/// Opens the index, or builds that of the collection for each window. `Ok(None)`: interrupted.
///
/// # Errors
/// As [`tune`](super::tune).
pub(super) fn open_sides(
    home: &Home,
    settings: &TuneSettings,
    progress: &mut dyn Progress,
    cancel: &AtomicBool,
) -> Result<Option<Vec<Side>>, Error> {
    if let Some(index) = &settings.index {
        let of_index = IndexReader::open(index)?.snapshot().settings().clone();
        let stored = stored_weights(index, &of_index.fingerprint)?;
        let stored = FusionChoice::default().resolved(stored.as_ref(), Circumstances::of(&of_index)).rerank;
        let rerank = stored.or(settings.late.then(Rerank::default));
        let options = SearcherOptions { rerank, ..SearcherOptions::default() };
        let searcher = Searcher::open(home, index, &settings.encoder, &options)?;
        let window = TunedWindow { window_tokens: None, overlap_tokens: None };
        return Ok(Some(vec![Side::of(searcher, window)]));
    }
    let encoder = open_encoder(home, &settings.encoder, None)?;
    let tokens = open_token_encoder(home, &settings.encoder, None, settings.late)?;
    let encoders = Encoders { dense: &encoder, tokens: tokens.as_ref(), sparse: None };
    let windows = if settings.windows.is_empty() { &[(None, None)][..] } else { &settings.windows };
    let mut sides = Vec::with_capacity(windows.len());
    for &(window_tokens, overlap_tokens) in windows {
        let collection = CollectionIndex {
            dir: &settings.dataset,
            window_tokens,
            overlap_tokens,
            rows: RowKind::default(),
            cache: settings.cache.as_deref(),
            rebuild: false,
        };
        let Some((index, _)) = collection.built(home, encoders, progress, cancel)? else { return Ok(None) };
        let searcher = Searcher::with_encoders(&index, Some(encoder.clone()), tokens.clone(), None)?;
        sides.push(Side::of(searcher, TunedWindow { window_tokens, overlap_tokens }));
    }
    Ok(Some(sides))
}

impl Side {
    fn of(searcher: Searcher, window: TunedWindow) -> Self {
        let snapshot = searcher.reader().snapshot();
        Self { searcher, snapshot, window, has_titles: false, qrels: Qrels::default() }
    }

    /// Takes the judgements of queries. They name documents by their number in the index, so that what is found need not be read;
    /// what the index lacks keeps a name that no document has.
    pub(super) fn judge(&mut self, queries: &[EvalQuery], judged: &Qrels) -> Result<(), Error> {
        for query in queries {
            for (document, &grade) in judged.get(&query.id).into_iter().flatten() {
                let number = self.snapshot.document_number(document)?;
                let name = number.map_or_else(|| format!("missing {document}"), |number| number.to_string());
                self.qrels.insert(&query.id, &name, grade);
                if !self.has_titles && number.is_some() {
                    let stored = self.snapshot.document(document)?;
                    self.has_titles = stored.is_some_and(|stored| !stored.document.title.is_empty());
                }
            }
        }
        Ok(())
    }

    /// How the index is searched now: as it stores it for its model, else as it is built in.
    pub(super) fn baseline(&self, settings: &TuneSettings) -> Result<Profile, Error> {
        let Some(index) = &settings.index else { return Ok(Profile::default()) };
        let of_index = self.snapshot.settings();
        let stored = stored_weights(index, &of_index.fingerprint)?.filter(|stored| stored.for_this_model);
        let profile = FusionChoice::default().profile(stored.as_ref(), Circumstances::of(of_index));
        Ok(Profile { origin: None, ..profile })
    }

    pub(super) fn has_several_chunks(&self) -> bool {
        let status = self.snapshot.status();
        status.chunks > status.documents
    }
}
