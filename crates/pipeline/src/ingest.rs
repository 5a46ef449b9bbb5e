//! Documents into an index: read, prepare on threads, embed what is new, write in order, commit now and then.
//!
//! The thread that called [`ingest`] coordinates and is the only one that touches the index. Documents keep their
//! order all the way, so that the same input gives the same index. Every queue between the threads is bounded.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use berth_encoder::{Encoder, PendingRow};
use berth_index::{IndexReader, IndexSettings, IndexWriter, NewChunk};
use berth_types::{Document, DocumentRecord, Embedding};
use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Serialize;

use crate::Error;
use crate::prepare::{Cutting, Prepared, PreparedChunk, prepare};
use crate::source::{Item, Listing, Problem, SkipCounts, list_files, read_file};
use crate::sync::{Seen, plan_removal};

/// Documents read ahead of tokenising, and tokenised ahead of embedding.
const DOCUMENTS_AHEAD: usize = 16;
/// Rows that may be waiting for or inside the model; at 10 ms a row, about 3 s of work to finish when interrupted.
const ROWS_IN_FLIGHT: usize = 256;
/// Threads that tokenise: it costs about 3 % of what embedding costs, so one core's worth is plenty.
const PREPARING_THREADS: usize = 2;
/// Problems kept word by word; beyond that they are only counted.
const PROBLEMS_KEPT: usize = 1_000;
/// Overlap of windows in tokens, where neither the user nor the index says otherwise.
const DEFAULT_OVERLAP_TOKENS: usize = 64;

/// What to index and how.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// Folders and files.
    pub paths: Vec<PathBuf>,
    /// Ids in a window, special tokens and title included; `None`: as the index has it, else as the card recommends.
    pub window_tokens: Option<usize>,
    /// Ids that neighbouring windows share; `None`: as the index has it, else 64 (at most a quarter of the window).
    pub overlap_tokens: Option<usize>,
    /// Time between commits.
    pub commit_every: Duration,
    /// Remove documents that are gone from below the named paths.
    pub sync: bool,
    /// Let a sync go through that would remove more than half, or whose path is missing.
    pub force: bool,
    /// Fail at the end when an input was malformed.
    pub strict: bool,
    /// Follow symbolic links.
    pub follow_links: bool,
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            window_tokens: None,
            overlap_tokens: None,
            commit_every: Duration::from_secs(30),
            sync: false,
            force: false,
            strict: false,
            follow_links: false,
        }
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
    /// Documents of the index that are gone from below the named paths and, without `sync`, still there.
    pub gone: usize,
    /// Whether the run was interrupted; everything reported was committed.
    pub interrupted: bool,
    /// What was malformed or read with loss, the first thousand.
    pub problems: Vec<Problem>,
    /// How many there were in all.
    pub problem_count: usize,
    /// Generation of the index after the run.
    pub generation: u64,
}

/// Indexes what `options` names into the folder `index`, which is created when it is not there.
///
/// When `cancel` becomes true, what is inside the model is finished and committed, and the report says `interrupted`.
///
/// # Errors
/// Paths that do not exist, an index of another model or window, a refused sync, a full disk; whatever was committed
/// before stays. With `strict`, `Malformed` after everything readable was indexed.
pub fn ingest(
    encoder: &Encoder,
    index: &Path,
    options: &IngestOptions,
    progress: &mut dyn Progress,
    cancel: &AtomicBool,
) -> Result<IngestReport, Error> {
    let started = Instant::now();
    let listing = list_sources(options)?;
    let settings = settings_for(encoder, index, options)?;
    let writer = IndexWriter::create_or_open(index, &settings)?;
    let mut run = Run {
        encoder,
        writer,
        progress,
        cancel,
        commit_every: options.commit_every,
        last_commit: Instant::now(),
        encoding: VecDeque::new(),
        rows_in_flight: 0,
        report: IngestReport::default(),
        state: ProgressState { bytes_total: listing.bytes, ..ProgressState::default() },
        seen: Seen { roots: listing.roots.clone(), ..Seen::default() },
        added_hashes: Vec::new(),
        pieces: 0,
        unknown: 0,
        words: 0,
    };
    let cutting = Cutting { window_tokens: settings.window_tokens, overlap_tokens: settings.overlap_tokens };
    run.read_all(listing, cutting)?;
    if !run.report.interrupted {
        run.settle_gone(options.sync, options.force)?;
    }
    run.finish(started, options.strict)
}

fn list_sources(options: &IngestOptions) -> Result<Listing, Error> {
    if options.sync && !options.force {
        for path in &options.paths {
            if !path.exists() {
                let reason = format!("{} does not exist, so all its documents would go", path.display());
                return Err(Error::SyncRefused { reason });
            }
        }
    }
    list_files(&options.paths, options.follow_links, options.sync)
}

/// An existing index keeps its window; a new one takes the card's unless the user says otherwise.
fn settings_for(encoder: &Encoder, index: &Path, options: &IngestOptions) -> Result<IndexSettings, Error> {
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
    })
}

/// Where the vector of a chunk comes from.
enum Row {
    /// The index has it.
    Known(Embedding),
    /// The model still owes it.
    Pending(PendingRow),
    /// An earlier chunk of the same document, by ordinal, has the same text.
    SameAs(usize),
}

/// A document whose chunks are with the encoder.
struct Encoding {
    document: Document,
    record: DocumentRecord,
    bytes: u64,
    rows: Vec<(PreparedChunk, Row)>,
}

/// A document handed to the preparing threads, with the door through which it comes back.
struct Order {
    document: Document,
    record: DocumentRecord,
    bytes: u64,
    reply: Sender<Result<Prepared, Error>>,
}

struct Run<'a> {
    encoder: &'a Encoder,
    writer: IndexWriter,
    progress: &'a mut dyn Progress,
    cancel: &'a AtomicBool,
    commit_every: Duration,
    last_commit: Instant,
    encoding: VecDeque<Encoding>,
    rows_in_flight: usize,
    report: IngestReport,
    state: ProgressState,
    seen: Seen,
    added_hashes: Vec<String>,
    pieces: usize,
    unknown: usize,
    words: usize,
}

impl Run<'_> {
    fn read_all(&mut self, listing: Listing, cutting: Cutting) -> Result<(), Error> {
        self.report.skipped_by_reason = listing.skipped;
        for problem in listing.problems {
            self.note(problem);
        }
        let encoder = self.encoder;
        let cancel = self.cancel;
        let fingerprint_hash = *blake3::hash(encoder.fingerprint().canonical().as_bytes()).as_bytes();
        let (item_sender, items) = bounded::<(PathBuf, Item)>(DOCUMENTS_AHEAD);
        let (order_sender, orders) = bounded::<Order>(DOCUMENTS_AHEAD);
        let files = listing.files;
        thread::scope(|scope| {
            scope.spawn(move || {
                for file in files {
                    if cancel.load(Ordering::Relaxed) {
                        break;
                    }
                    let mut open = true;
                    read_file(&file.path, &mut |item| {
                        open = item_sender.send((file.path.clone(), item)).is_ok() && !cancel.load(Ordering::Relaxed);
                        open
                    });
                    if !open {
                        break;
                    }
                }
            });
            for _ in 0..PREPARING_THREADS {
                let orders = orders.clone();
                scope.spawn(move || {
                    for order in orders {
                        let Order { document, record, bytes, reply } = order;
                        let prepared = prepare(encoder, &fingerprint_hash, cutting, document, record, bytes);
                        // The receiver is gone only when the run has failed or was interrupted.
                        let _ = reply.send(prepared);
                    }
                });
            }
            drop(orders);
            self.coordinate(items, order_sender)
        })
    }

    /// Moves documents from stage to stage in their order. Returns when all are written, or on interruption.
    ///
    /// Takes both channel ends by value: dropping them on return is what ends the other threads.
    #[allow(clippy::needless_pass_by_value)]
    fn coordinate(&mut self, items: Receiver<(PathBuf, Item)>, orders: Sender<Order>) -> Result<(), Error> {
        let mut preparing: VecDeque<Receiver<Result<Prepared, Error>>> = VecDeque::new();
        let mut reading = true;
        while !self.cancelled() {
            while reading && preparing.len() < DOCUMENTS_AHEAD && !self.cancelled() {
                match items.recv() {
                    Ok((file, item)) => {
                        if let Some(order) = self.admit(&file, item) {
                            let (reply, prepared) = bounded(1);
                            let (document, record, bytes) = order;
                            let order = Order { document, record, bytes, reply };
                            orders.send(order).map_err(|_| Error::WorkerLost("tokenising"))?;
                            preparing.push_back(prepared);
                        }
                    }
                    Err(_) => reading = false,
                }
            }
            match preparing.pop_front() {
                Some(prepared) => {
                    let prepared = prepared.recv().map_err(|_| Error::WorkerLost("tokenising"))??;
                    self.submit(prepared)?;
                }
                None if self.encoding.is_empty() => return Ok(()),
                None => {}
            }
            let nothing_left_to_submit = !reading && preparing.is_empty();
            while !self.encoding.is_empty() && (nothing_left_to_submit || self.rows_in_flight > ROWS_IN_FLIGHT) {
                self.write_first()?;
            }
            if self.last_commit.elapsed() >= self.commit_every {
                self.commit()?;
            }
        }
        self.report.interrupted = true;
        while !self.encoding.is_empty() {
            self.write_first()?;
        }
        Ok(())
    }

    /// Lets a document in, unless it was seen before or is as the index has it.
    fn admit(&mut self, file: &Path, item: Item) -> Option<(Document, DocumentRecord, u64)> {
        let (document, record, bytes) = match item {
            Item::Document { document, record, bytes } => (document, record, bytes),
            Item::Binary => {
                self.report.skipped_by_reason.binary += 1;
                return None;
            }
            Item::Problem(problem) => {
                if problem.lost {
                    self.report.skipped_by_reason.unreadable += 1;
                    self.seen.doubtful_files.insert(file.to_path_buf());
                }
                self.note(problem);
                return None;
            }
        };
        if !self.seen.ids.insert(document.id.clone()) {
            let source = document.source.unwrap_or_default();
            let reason = format!("id '{}' was seen before in this run; the first one counts", document.id);
            self.report.skipped_by_reason.duplicates += 1;
            self.note(Problem { place: source, reason, lost: true });
            return None;
        }
        self.report.documents += 1;
        match self.writer.record(&document.id) {
            Some(known) if known.content_hash == record.content_hash && known.file == record.file => {
                self.report.unchanged += 1;
                self.report.chunks += known.chunks as usize;
                self.pass(bytes);
                return None;
            }
            Some(known) if known.content_hash == record.content_hash => self.report.moved += 1,
            Some(_) => self.report.changed += 1,
            None => {
                self.report.added += 1;
                self.added_hashes.push(record.content_hash.clone());
            }
        }
        Some((document, record, bytes))
    }

    /// Hands the chunks that need it to the encoder; waits while its queue is full.
    fn submit(&mut self, prepared: Prepared) -> Result<(), Error> {
        let Prepared { document, mut record, bytes, chunks, .. } = prepared;
        self.pieces += prepared.pieces;
        self.unknown += prepared.unknown;
        self.words += prepared.words;
        self.report.titles_cut += usize::from(prepared.title_was_cut);
        self.report.empty += usize::from(chunks.is_empty());
        record.chunks = chunks.len() as u32;
        let mut rows = Vec::with_capacity(chunks.len());
        let mut ordinals = HashMap::with_capacity(chunks.len());
        for (ordinal, mut chunk) in chunks.into_iter().enumerate() {
            if self.cancelled() {
                // A document is written whole or not at all; this one is for the next run.
                return Ok(());
            }
            let row = if let Some(&same) = ordinals.get(&chunk.key) {
                Row::SameAs(same)
            } else if let Some(embedding) = self.writer.embedding(&chunk.key) {
                Row::Known(embedding)
            } else {
                ordinals.insert(chunk.key, ordinal);
                self.rows_in_flight += 1;
                self.report.tokens += chunk.row.len() as u64;
                Row::Pending(self.encoder.submit(std::mem::take(&mut chunk.row))?)
            };
            rows.push((chunk, row));
        }
        self.encoding.push_back(Encoding { document, record, bytes, rows });
        Ok(())
    }

    /// Waits for the first document's vectors and writes it.
    fn write_first(&mut self) -> Result<(), Error> {
        let Some(Encoding { document, record, bytes, rows }) = self.encoding.pop_front() else {
            return Ok(());
        };
        let mut chunks: Vec<NewChunk> = Vec::with_capacity(rows.len());
        let (mut embedded, mut reused) = (0, 0);
        for (PreparedChunk { chunk, key, .. }, row) in rows {
            let embedding = match row {
                Row::Known(embedding) => {
                    reused += 1;
                    embedding
                }
                Row::Pending(pending) => {
                    let embedding = pending.wait()?;
                    self.rows_in_flight -= 1;
                    embedded += 1;
                    embedding
                }
                Row::SameAs(ordinal) => {
                    reused += 1;
                    chunks[ordinal].embedding.clone()
                }
            };
            self.state.chunks += 1;
            self.state.tokens = self.report.tokens;
            self.progress.update(&self.state);
            chunks.push(NewChunk { chunk, key, embedding });
        }
        self.report.chunks += chunks.len();
        self.writer.put(&document, &record, chunks)?;
        self.report.embedded += embedded;
        self.report.reused += reused;
        self.pass(bytes);
        Ok(())
    }

    /// Counts a document that is done with.
    fn pass(&mut self, bytes: u64) {
        self.state.documents += 1;
        self.state.bytes_done += bytes;
        self.progress.update(&self.state);
    }

    fn commit(&mut self) -> Result<(), Error> {
        if self.writer.has_changes() {
            let generation = self.writer.commit()?;
            self.report.generation = generation;
            self.progress.committed(generation);
        }
        self.last_commit = Instant::now();
        Ok(())
    }

    /// Removes what is gone from the sources, or counts it when that was not asked for.
    fn settle_gone(&mut self, sync: bool, force: bool) -> Result<(), Error> {
        let removal = plan_removal(self.writer.records(), &self.seen, &self.added_hashes);
        if !sync {
            self.report.gone = removal.gone.len();
            return Ok(());
        }
        if let Some(reason) = removal.objection()
            && !force
        {
            self.commit()?;
            return Err(Error::SyncRefused { reason });
        }
        for id in &removal.gone {
            self.writer.remove(id)?;
        }
        self.report.removed = removal.lost();
        self.report.moved += removal.moved;
        self.report.added -= removal.moved;
        Ok(())
    }

    fn finish(mut self, started: Instant, strict: bool) -> Result<IngestReport, Error> {
        self.commit()?;
        self.writer.finish()?;
        let mut report = self.report;
        report.skipped = report.skipped_by_reason.total();
        report.unknown_share = share(self.unknown, self.pieces);
        report.pieces_per_word = share(self.pieces, self.words);
        report.seconds = started.elapsed().as_secs_f64();
        if strict && let Some(first) = report.problems.iter().find(|problem| problem.lost) {
            let count = report.skipped_by_reason.unreadable + report.skipped_by_reason.duplicates;
            return Err(Error::Malformed { count, first: format!("{}: {}", first.place, first.reason) });
        }
        Ok(report)
    }

    fn note(&mut self, problem: Problem) {
        self.progress.problem(&problem);
        self.report.problem_count += 1;
        if self.report.problems.len() < PROBLEMS_KEPT {
            self.report.problems.push(problem);
        }
    }

    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
