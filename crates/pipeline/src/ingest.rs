//! Documents into an index: read, prepare on threads, embed what is new, write in order, commit now and then.
//!
//! What to index, what was done, and the settings of an index stand here; the run itself is in `run.rs`.

mod encoding;
mod given;
mod run;
mod stored;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use berth_encoder::Encoder;
use berth_index::{IndexReader, IndexSettings, IndexWriter};
use berth_types::{FieldDeclaration, Language, RowKind};
use serde::Serialize;

use crate::policy::{AccessGiven, PolicyChange, remove_expired};
use crate::prepare::Cutting;
use crate::source::{Listing, Problem, SkipCounts, is_standard_input, list_files};
use crate::{Error, SparseEncoder, TokenEncoder};
pub use given::{GivenOutcome, GivenReport, Ingestor, create_index};
use run::Run;
pub(crate) use stored::{Behind, ingest_stored, remove_all, whole_records};

/// Overlap of windows in tokens, where neither the user nor the index says otherwise.
pub(crate) const DEFAULT_OVERLAP_TOKENS: usize = 64;

/// What to index and how.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// Folders and files.
    pub paths: Vec<PathBuf>,
    /// Ids in a window, special tokens and title included; `None`: as the index has it, else as the card recommends.
    pub window_tokens: Option<usize>,
    /// Ids that neighbouring windows share; `None`: as the index has it, else 64 (at most a quarter of the window).
    pub overlap_tokens: Option<usize>,
    /// How the values of vectors are kept; `None`: as the index has it, else in 32 bits.
    pub rows: Option<RowKind>,
    /// Time between commits.
    pub commit_every: Duration,
    /// Remove documents that are gone from below the named paths.
    pub sync: bool,
    /// Let a sync go through that would remove more than half, or whose path is missing.
    pub force: bool,
    /// Follow symbolic links.
    pub follow_links: bool,
    /// Kinds of metadata fields; those of others follow from their first values.
    pub fields: Vec<FieldDeclaration>,
    /// Language of what is indexed anew; `None`: told by each document's text.
    pub language: Option<Language>,
    /// What is to be different in who may find documents, and until when.
    pub policy: PolicyChange,
    /// Who may find documents that do not say it themselves.
    pub access: Vec<String>,
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            window_tokens: None,
            overlap_tokens: None,
            rows: None,
            commit_every: Duration::from_secs(30),
            sync: false,
            force: false,
            follow_links: false,
            fields: Vec::new(),
            language: None,
            policy: PolicyChange::default(),
            access: Vec::new(),
        }
    }
}

/// The models that an index is made with.
#[derive(Clone, Copy)]
pub struct Encoders<'a> {
    /// Gives a chunk its vector.
    pub dense: &'a Encoder,
    /// Gives its tokens theirs, for an index with token rows.
    pub tokens: Option<&'a TokenEncoder>,
    /// Gives it its sparse vector, for an index that has those.
    pub sparse: Option<&'a SparseEncoder>,
}

impl<'a> Encoders<'a> {
    /// Of an index that has vectors of chunks alone.
    pub fn of(dense: &'a Encoder) -> Self {
        Self { dense, tokens: None, sparse: None }
    }

    /// What the vectors of such an index have in common, where the first model's are known.
    pub(crate) fn complete(&self, settings: IndexSettings) -> IndexSettings {
        let tokens = self.tokens.map(|tokens| tokens.settings().clone());
        IndexSettings { tokens, sparse: self.sparse.map(|sparse| sparse.settings().clone()), ..settings }
    }
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProgressState {
    /// Documents done so far, unchanged ones included.
    pub documents: usize,
    /// Chunks written so far, embedded or reused.
    pub chunks: usize,
    /// Ids handed to the model so far.
    pub tokens: u64,
    /// Bytes of the sources done so far.
    pub bytes_done: u64,
    /// Bytes of all sources.
    pub bytes_total: u64,
}

/// Told about a run while it goes on.
pub trait Progress {
    /// Called often; must be cheap.
    fn update(&mut self, state: &ProgressState);
    /// Called once for each problem, as it is met.
    fn problem(&mut self, problem: &Problem);
    /// Called after each commit.
    fn committed(&mut self, generation: u64);
    /// Called when work of another kind begins, with what it is.
    fn stage(&mut self, _what: &str) {}
}

/// What a run did. The first eleven fields are the contract of `berth index --json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct IngestReport {
    /// Documents read from the named paths.
    pub documents: usize,
    /// New ones.
    pub added: usize,
    /// Those whose content differs from what the index had.
    pub changed: usize,
    /// Same content under another path or id.
    pub moved: usize,
    /// Removed by sync.
    pub removed: usize,
    /// Files and rows passed over.
    pub skipped: usize,
    /// Chunks of the documents read.
    pub chunks: usize,
    /// Chunks that went through the model.
    pub embedded: usize,
    /// Chunks of added or changed documents whose vector was known.
    pub reused: usize,
    /// Ids handed to the model.
    pub tokens: u64,
    /// Wall time.
    pub seconds: f64,
    /// Documents that were as the index had them.
    pub unchanged: usize,
    /// Documents without text.
    pub empty: usize,
    /// What was passed over, by reason.
    pub skipped_by_reason: SkipCounts,
    /// Share of \[UNK\] among the tokens of added and changed documents, 0 to 1.
    pub unknown_share: f64,
    /// Tokens a word in added and changed documents.
    pub pieces_per_word: f64,
    /// Titles of which only the first part fits before each window.
    pub titles_cut: usize,
    /// Chunks of which the sparse model read the first part alone, being longer than it takes.
    pub sparse_cut: usize,
    /// Documents of the index that are gone from below the named paths and, without `sync`, still there.
    pub gone: usize,
    /// Documents of which a part was stored when the run was interrupted; the next run goes on from there.
    pub unfinished: usize,
    /// Whether the run was interrupted; everything reported was committed.
    pub interrupted: bool,
    /// What was malformed or read with loss, the first thousand.
    pub problems: Vec<Problem>,
    /// How many there were in all.
    pub problem_count: usize,
    /// How many of them left a document out.
    pub lost_count: usize,
    /// The first of those.
    #[serde(skip)]
    pub first_lost: Option<Problem>,
    /// Documents that were removed because they had expired.
    pub expired: usize,
    /// Why sync removed nothing, when it looked like a mistake.
    pub refused: Option<String>,
    /// Why nothing that had expired was removed, when it looked like a mistake; it is hidden all the same.
    pub expiry_refused: Option<String>,
    /// Generation of the index after the run.
    pub generation: u64,
}

/// Indexes what `options` names into the folder `index`, which is created when it is not there.
///
/// An index with token rows, or with sparse vectors, is made, or taken further, when the model of these is there.
///
/// When `cancel` becomes true, what is inside the model is finished and committed, and the report says `interrupted`.
///
/// # Errors
/// Paths that do not exist, an index of another model or window, a full disk; whatever was committed before stays.
/// Access lists for an index that has no field of them, or another one. `SyncRefused` when a path to sync is not there; a sync that would remove too much is refused in the report.
pub fn ingest(
    encoders: Encoders<'_>,
    index: &Path,
    options: &IngestOptions,
    progress: &mut dyn Progress,
    cancel: &AtomicBool,
) -> Result<IngestReport, Error> {
    let started = Instant::now();
    let listing = list_sources(options)?;
    let settings = encoders.complete(settings_for(encoders.dense, index, options)?);
    check_window(&settings, encoders.tokens)?;
    let mut writer = IndexWriter::create_or_open(index, &settings)?;
    writer.declare_fields(&options.fields)?;
    writer.set_language(options.language);
    options.policy.apply_in_passing(index, &mut writer)?;
    let access = AccessGiven::of(&options.access, writer.policy(), index)?;
    let clock = SystemTime::now();
    let expired = remove_expired(index, &mut writer, clock, options.force)?;
    let cutting = Cutting { window_tokens: settings.window_tokens, overlap_tokens: settings.overlap_tokens };
    let mut run = Run::new(encoders, writer, progress, cancel, &listing, options.commit_every);
    run.begin_with(clock, access, expired);
    run.read_all(listing, cutting)?;
    if !run.is_interrupted() && !cancel.load(Ordering::Relaxed) {
        run.settle_gone(options.sync, options.force)?;
    }
    run.finish(started)
}

/// Whether the model that makes token rows has room for the windows.
pub(crate) fn check_window(settings: &IndexSettings, tokens: Option<&TokenEncoder>) -> Result<(), Error> {
    match tokens.map(TokenEncoder::longest_window).transpose()? {
        Some(longest) if settings.window_tokens > longest => Err(Error::InvalidSettings(format!(
            "a window of {} tokens leaves no room for the marker of passages; choose at most {longest}",
            settings.window_tokens
        ))),
        _ => Ok(()),
    }
}

pub(crate) fn list_sources(options: &IngestOptions) -> Result<Listing, Error> {
    if options.sync && !options.force {
        for path in &options.paths {
            if !path.exists() && !is_standard_input(path) {
                let reason = format!("{} does not exist, so all its documents would go", path.display());
                return Err(Error::SyncRefused { reason });
            }
        }
    }
    list_files(&options.paths, options.follow_links, options.sync)
}

/// An existing index keeps its window; a new one takes the card's unless the user says otherwise.
pub(crate) fn settings_for(encoder: &Encoder, index: &Path, options: &IngestOptions) -> Result<IndexSettings, Error> {
    let existing =
        if berth_index::exists(index) { Some(IndexReader::open(index)?.snapshot().settings().clone()) } else { None };
    let card = encoder.card();
    let window_tokens = options
        .window_tokens
        .or(existing.as_ref().map(|settings| settings.window_tokens))
        .unwrap_or(card.recommended_window_tokens);
    let overlap_tokens = options
        .overlap_tokens
        .or(existing.as_ref().map(|settings| settings.overlap_tokens))
        .unwrap_or(DEFAULT_OVERLAP_TOKENS.min(window_tokens / 4));
    let least_window = encoder.reserved_tokens(0) + 8;
    if window_tokens < least_window || window_tokens > card.max_tokens {
        return Err(Error::InvalidSettings(format!(
            "a window of {window_tokens} tokens is not possible with model '{}': it takes {least_window} to {}",
            card.name, card.max_tokens
        )));
    }
    if overlap_tokens * 2 > window_tokens {
        return Err(Error::InvalidSettings(format!(
            "an overlap of {overlap_tokens} tokens is more than half of the window of {window_tokens}; \
             choose at most {}",
            window_tokens / 2
        )));
    }
    Ok(IndexSettings {
        fingerprint: encoder.fingerprint().clone(),
        dimensions: card.dimensions,
        window_tokens,
        overlap_tokens,
        rows: options.rows.or(existing.map(|settings| settings.rows)).unwrap_or_default(),
        tokens: None,
        sparse: None,
    })
}
