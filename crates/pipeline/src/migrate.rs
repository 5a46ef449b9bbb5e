//! Moves an index to another model: a next index is built inside the first from the stored text while the first serves;
//! both are compared; the next one takes the place of the first, which stays as the former one and can be brought back.

mod compare;
mod room;
mod sample;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use berth_encoder::Encoder;
use berth_index::{
    Alternate, Exchange, IndexReader, IndexSettings, IndexWriter, Snapshot, drop_alternate, find_alternate,
};
use berth_types::Fingerprint;
use serde::Serialize;

use crate::encoding::{EncoderChoice, open_encoder_for};
use crate::ingest::{Behind, check_window, ingest_stored, remove_all, settings_for, whole_records};
use crate::{
    Encoders, Error, Home, IngestOptions, IngestReport, Progress, SparseEncoder, TokenEncoder, fingerprint_hash,
    open_token_encoder, remember_rate,
};

pub use compare::{
    Comparison, JudgedMode, Judgement, ModeComparison, SelfFound, Unlike, compare_with_next, open_judgements,
};
pub use room::Room;
pub use sample::SampleOptions;

/// Rounds in which an alternate catches up while the index may be written, before the last one that keeps writers out.
const CATCHING_UP: usize = 3;

/// What the next index is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MigrationOptions {
    /// Model, precision and machine.
    pub encoder: EncoderChoice,
    /// Ids in a window; `None`: as the next index has it, as the index has it where the model stays, else as the card
    /// recommends.
    pub window_tokens: Option<usize>,
    /// Ids that neighbouring windows share; `None`: likewise, else 64 (at most a quarter of the window).
    pub overlap_tokens: Option<usize>,
    /// Time between commits.
    pub commit_every: Duration,
    /// Go on where the model is the one that the index has, or where there seems to be too little room.
    pub force: bool,
}

/// What an index is built with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuiltWith {
    /// Name of the model.
    pub model: String,
    /// Its arithmetic.
    pub precision: String,
    /// First digits of the hash over everything that shapes a vector.
    pub fingerprint: String,
    /// Ids in a window.
    pub window_tokens: usize,
    /// Ids that neighbouring windows share.
    pub overlap_tokens: usize,
}

impl BuiltWith {
    /// What of the settings people ask for.
    pub fn of(settings: &IndexSettings) -> Self {
        Self {
            model: settings.fingerprint.model.clone(),
            precision: settings.fingerprint.parts.get("precision").cloned().unwrap_or_default(),
            fingerprint: fingerprint_hash(&settings.fingerprint),
            window_tokens: settings.window_tokens,
            overlap_tokens: settings.overlap_tokens,
        }
    }
}

/// An alternate of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlternateStatus {
    /// What it is built with.
    #[serde(flatten)]
    pub built_with: BuiltWith,
    /// Documents in it; a next index that is being built has fewer than the index.
    pub documents: u64,
    /// Bytes on disk. Those of a former index are partly the bytes of the index.
    pub bytes: u64,
}

/// What stands beside the commit of an index: the next one, if there is one, and the former one.
///
/// # Errors
/// Damage.
pub fn alternate_status(index: &Path, which: Alternate) -> Result<Option<AlternateStatus>, Error> {
    let Some(place) = find_alternate(index, which)? else { return Ok(None) };
    let snapshot = match IndexReader::open(&place) {
        // It was begun and has no commit yet.
        Err(berth_index::Error::NotFound { .. }) => return Ok(None),
        reader => reader?.snapshot(),
    };
    let status = snapshot.status();
    Ok(Some(AlternateStatus {
        built_with: BuiltWith::of(snapshot.settings()),
        documents: status.documents,
        bytes: status.lexical_bytes + status.dense_bytes + status.token_bytes,
    }))
}

/// A migration that can begin: the model is open, and it is known what it will take.
pub struct Migration {
    index: PathBuf,
    next: PathBuf,
    encoder: Encoder,
    tokens: Option<TokenEncoder>,
    sparse: Option<SparseEncoder>,
    settings: IndexSettings,
    commit_every: Duration,
    /// What the index is built with.
    pub from: BuiltWith,
    /// What the next one is built with.
    pub to: BuiltWith,
    /// What it takes on the disk.
    pub room: Room,
    /// Documents that the next index has already.
    pub resumed_documents: u64,
}

impl Migration {
    /// Opens the model, and looks whether there is something to do and room for it. `Ok(Err(…))` gives what the index is
    /// built with, where that is just what was asked for.
    ///
    /// # Errors
    /// An index that is not there or damaged, a model that is not installed, settings that cannot work; `OtherNext` when a
    /// next index is there for something else; `NoRoom`.
    pub fn plan(home: &Home, index: &Path, options: &MigrationOptions) -> Result<Result<Self, BuiltWith>, Error> {
        let current = IndexReader::open(index)?.snapshot();
        berth_index::refuse_snapshot(index)?;
        settle(index)?;
        let next = Alternate::Next.path(index);
        let there = open_if_there(&next)?;
        // What was begun goes on, unless something else is asked for. Another model has a precision of its own.
        let fingerprint = &there.as_ref().unwrap_or(&current).settings().fingerprint;
        let stays = options.encoder.model.as_ref().is_none_or(|model| *model == fingerprint.model);
        let encoder = open_encoder_for(home, &options.encoder, stays.then_some(fingerprint))?;
        let with_tokens = current.settings().tokens.is_some();
        let own = (there.is_some() && stays).then_some(next.as_path());
        let token_choice = EncoderChoice { model: Some(encoder.card().name.clone()), ..options.encoder.clone() };
        let tokens = open_token_encoder(home, &token_choice, own, with_tokens)?;
        // The model of sparse vectors stays.
        let built_with = current.settings().sparse.as_ref().map(|sparse| &sparse.fingerprint);
        let sparse = built_with.map(|built_with| SparseEncoder::open(home, &options.encoder, None, Some(built_with)));
        let sparse = sparse.transpose()?;
        let encoders = Encoders { dense: &encoder, tokens: tokens.as_ref(), sparse: sparse.as_ref() };
        let settings = settings_of_next(encoders, &current, &next, options)?;
        let (from, to) = (BuiltWith::of(current.settings()), BuiltWith::of(&settings));
        if settings == *current.settings() && !options.force {
            return Ok(Err(from));
        }
        if let Some(there) = &there
            && *there.settings() != settings
        {
            let (there, wanted) = (BuiltWith::of(there.settings()), to);
            return Err(Error::OtherNext { index: index.to_path_buf(), there: words(&there), wanted: words(&wanted) });
        }
        let there = there.map(|there| there.status());
        let room = Room::of(&current, &settings, there.as_ref(), index);
        if !options.force {
            room.check(index)?;
        }
        Ok(Ok(Self {
            index: index.to_path_buf(),
            next,
            encoder,
            tokens,
            sparse,
            settings,
            commit_every: options.commit_every,
            from,
            to,
            room,
            resumed_documents: there.map_or(0, |there| there.documents),
        }))
    }

    /// Builds the next index, or goes on with it, until it has what the index had when this began. An interrupted run can
    /// be taken up again.
    ///
    /// # Errors
    /// As of [`ingest`](crate::ingest). The index is left as it is in any case.
    pub fn build(&self, progress: &mut dyn Progress, cancel: &AtomicBool) -> Result<IngestReport, Error> {
        let current = IndexReader::open(&self.index)?.snapshot();
        let there = open_if_there(&self.next)?.map(|next| next.records()).transpose()?.unwrap_or_default();
        let behind = Behind::of(&whole_records(&current)?, &there);
        ingest_stored(
            Encoders { dense: &self.encoder, tokens: self.tokens.as_ref(), sparse: self.sparse.as_ref() },
            (&current, behind),
            &self.next,
            &self.settings,
            self.commit_every,
            progress,
            cancel,
        )
    }
}

impl Migration {
    /// Remembers how fast the model was, for plans to come.
    pub fn remember_rate(&self, home: &Home, report: &IngestReport) {
        remember_rate(home, &self.encoder, report.tokens, report.seconds);
    }
}

/// Windows as asked for; else as the next index has them, as the index has them where the model stays, as the card says.
fn settings_of_next(
    encoders: Encoders<'_>,
    current: &Snapshot,
    next: &Path,
    options: &MigrationOptions,
) -> Result<IndexSettings, Error> {
    let stays = encoders.dense.card().name == current.settings().fingerprint.model && !berth_index::exists(next);
    let asked = options.window_tokens;
    let kept = |value: usize| stays.then_some(value);
    // Another window than the index has takes an overlap of its own.
    let overlap = if asked.is_none() { kept(current.settings().overlap_tokens) } else { None };
    let ingest = IngestOptions {
        window_tokens: asked.or(kept(current.settings().window_tokens)),
        overlap_tokens: options.overlap_tokens.or(overlap),
        rows: Some(current.settings().rows),
        ..IngestOptions::default()
    };
    let settings = encoders.complete(settings_for(encoders.dense, next, &ingest)?);
    check_window(&settings, encoders.tokens)?;
    Ok(settings)
}

/// What an exchange did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExchangeReport {
    /// What the index was built with.
    pub from: BuiltWith,
    /// What it is built with now.
    pub to: BuiltWith,
    /// Number of the commit.
    pub generation: u64,
    /// Documents that were put into the other index, or taken from it, because the index had changed since.
    pub caught_up: usize,
}

/// Puts an alternate in the place of the index, which stays as the other alternate. What the index has and the alternate
/// does not is embedded first, for the most part while the index may still be written. `Ok(None)`: interrupted.
///
/// # Errors
/// `NoAlternate`; a model that is not installed, where there is something to embed; `Locked` while somebody writes.
pub fn exchange(
    home: &Home,
    index: &Path,
    which: Alternate,
    machine: &EncoderChoice,
    progress: &mut dyn Progress,
    cancel: &AtomicBool,
) -> Result<Option<ExchangeReport>, Error> {
    settle(index)?;
    let place = which.path(index);
    let Some(alternate) = open_if_there(&place)? else {
        return Err(berth_index::Error::NoAlternate { path: index.to_path_buf(), which }.into());
    };
    let settings = alternate.settings().clone();
    let mut catching_up = CatchingUp { home, place: &place, settings: &settings, machine, models: None, documents: 0 };
    for _ in 0..CATCHING_UP {
        let current = IndexReader::open(index)?.snapshot();
        if !catching_up.round(&current, progress, cancel)? {
            break;
        }
        if cancel.load(Ordering::Relaxed) {
            return Ok(None);
        }
    }
    let exchange = Exchange::begin(index)?;
    let current = Arc::clone(exchange.current());
    catching_up.round(&current, progress, cancel)?;
    if cancel.load(Ordering::Relaxed) {
        return Ok(None);
    }
    // What could not be taken over would be lost.
    let left = Behind::of(&whole_records(&current)?, &IndexReader::open(&place)?.snapshot().records()?);
    if !left.is_empty() {
        return Err(Error::NotCaughtUp { index: index.to_path_buf(), documents: left.missing.len() + left.gone.len() });
    }
    let caught_up = catching_up.documents;
    let generation = exchange.adopt(which)?;
    let (from, to) = (BuiltWith::of(current.settings()), BuiltWith::of(&settings));
    Ok(Some(ExchangeReport { from, to, generation, caught_up }))
}

/// Brings an alternate up to date with the index. The model is opened when there is something to embed.
struct CatchingUp<'a> {
    home: &'a Home,
    place: &'a Path,
    settings: &'a IndexSettings,
    machine: &'a EncoderChoice,
    models: Option<(Encoder, Option<TokenEncoder>, Option<SparseEncoder>)>,
    documents: usize,
}

impl CatchingUp<'_> {
    /// Says whether there was anything to do.
    fn round(
        &mut self,
        current: &Arc<Snapshot>,
        progress: &mut dyn Progress,
        cancel: &AtomicBool,
    ) -> Result<bool, Error> {
        let behind = Behind::of(&whole_records(current)?, &IndexReader::open(self.place)?.snapshot().records()?);
        if behind.is_empty() {
            return Ok(false);
        }
        self.documents += behind.missing.len() + behind.gone.len();
        if behind.missing.is_empty() {
            let mut writer = IndexWriter::create_or_open(self.place, self.settings)?;
            remove_all(&mut writer, &behind.gone)?;
            writer.finish()?;
            return Ok(true);
        }
        if self.models.is_none() {
            let choice = |fingerprint: &Fingerprint| EncoderChoice {
                model: Some(fingerprint.model.clone()),
                precision: None,
                ..self.machine.clone()
            };
            let built_with = &self.settings.fingerprint;
            let encoder = open_encoder_for(self.home, &choice(built_with), Some(built_with))?;
            let tokens = match &self.settings.tokens {
                Some(tokens) => {
                    Some(TokenEncoder::open(self.home, &choice(&tokens.fingerprint), Some(&tokens.fingerprint))?)
                }
                None => None,
            };
            let sparse = match &self.settings.sparse {
                Some(sparse) => Some(SparseEncoder::open(self.home, self.machine, None, Some(&sparse.fingerprint))?),
                None => None,
            };
            self.models = Some((encoder, tokens, sparse));
        }
        let Some((dense, tokens, sparse)) = &self.models else { return Ok(false) };
        let models = Encoders { dense, tokens: tokens.as_ref(), sparse: sparse.as_ref() };
        let every = IngestOptions::default().commit_every;
        ingest_stored(models, (current, behind), self.place, self.settings, every, progress, cancel)?;
        Ok(true)
    }
}

/// Removes an alternate; false when there is none.
///
/// # Errors
/// `Locked` while index or alternate are being written.
pub fn drop_alternate_of(index: &Path, which: Alternate) -> Result<bool, Error> {
    Ok(drop_alternate(index, which)?)
}

/// Ends an exchange that was interrupted. Until that is done nobody can have written since.
fn settle(index: &Path) -> Result<(), Error> {
    if berth_index::is_exchanging(index) {
        Exchange::begin(index)?;
    }
    Ok(())
}

/// The last commit of an index that may not be there.
fn open_if_there(index: &Path) -> Result<Option<Arc<Snapshot>>, Error> {
    if !berth_index::exists(index) {
        return Ok(None);
    }
    match IndexReader::open(index) {
        // It was begun and has no commit yet.
        Err(berth_index::Error::NotFound { .. }) => Ok(None),
        reader => Ok(Some(reader?.snapshot())),
    }
}

/// `model in precision, windows of N tokens`
fn words(built_with: &BuiltWith) -> String {
    let BuiltWith { model, precision, window_tokens, overlap_tokens, .. } = built_with;
    format!("{model} in {precision} with windows of {window_tokens} tokens, {overlap_tokens} shared")
}
