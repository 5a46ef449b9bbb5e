//! One run of indexing: which thread does what, and in which order.
//!
//! The thread that called `ingest` coordinates and is the only one that touches the index. Documents keep their order
//! all the way, so that the same input gives the same index. Every queue between the threads is bounded.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use berth_encoder::{Encoder, PendingRow};
use berth_index::{IndexWriter, NewChunk};
use berth_types::Embedding;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::{IngestReport, Progress, ProgressState};
use crate::Error;
use crate::prepare::{Change, Cutting, Incoming, Prepared, PreparedChunk, prepare};
use crate::source::{Item, Listing, Problem, read_file};
use crate::sync::{Seen, plan_removal};

/// Documents read ahead of tokenising, and tokenised ahead of embedding.
const DOCUMENTS_AHEAD: usize = 16;
/// Rows that may be waiting for or inside the model; at 10 ms a row, about 3 s of work to finish when interrupted.
const ROWS_IN_FLIGHT: usize = 256;
/// Threads that tokenise: it costs about 3 % of what embedding costs, so one core's worth is plenty.
const PREPARING_THREADS: usize = 2;
/// Problems kept word by word; beyond that they are only counted.
const PROBLEMS_KEPT: usize = 1_000;

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
    incoming: Incoming,
    rows: Vec<(PreparedChunk, Row)>,
}

/// A document handed to the preparing threads, with the door through which it comes back.
struct Order {
    incoming: Incoming,
    reply: Sender<Result<Prepared, Error>>,
}

/// A run over the sources, from the first document to the last commit.
pub(super) struct Run<'a> {
    encoder: &'a Encoder,
    writer: IndexWriter,
    progress: &'a mut dyn Progress,
    cancel: &'a AtomicBool,
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

impl<'a> Run<'a> {
    pub(super) fn new(
        encoder: &'a Encoder,
        writer: IndexWriter,
        progress: &'a mut dyn Progress,
        cancel: &'a AtomicBool,
        roots: &[PathBuf],
        bytes_total: u64,
    ) -> Self {
        Self {
            encoder,
            writer,
            progress,
            cancel,
            last_commit: Instant::now(),
            encoding: VecDeque::new(),
            rows_in_flight: 0,
            report: IngestReport::default(),
            state: ProgressState { bytes_total, ..ProgressState::default() },
            seen: Seen { roots: roots.to_vec(), ..Seen::default() },
            added_hashes: Vec::new(),
            pieces: 0,
            unknown: 0,
            words: 0,
        }
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.report.interrupted
    }

    /// Reads, embeds and writes everything listed, and commits every `commit_every`.
    pub(super) fn read_all(&mut self, listing: Listing, cutting: Cutting, commit_every: Duration) -> Result<(), Error> {
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
                        let Order { incoming, reply } = order;
                        let prepared = prepare(encoder, &fingerprint_hash, cutting, incoming);
                        // The receiver is gone only when the run has failed or was interrupted.
                        let _ = reply.send(prepared);
                    }
                });
            }
            drop(orders);
            self.coordinate(items, order_sender, commit_every)
        })
    }

    /// Moves documents from stage to stage in their order. Returns when all are written, or on interruption.
    ///
    /// Takes both channel ends by value: dropping them on return is what ends the other threads.
    #[allow(clippy::needless_pass_by_value)]
    fn coordinate(
        &mut self,
        items: Receiver<(PathBuf, Item)>,
        orders: Sender<Order>,
        commit_every: Duration,
    ) -> Result<(), Error> {
        let mut preparing: VecDeque<Receiver<Result<Prepared, Error>>> = VecDeque::new();
        let mut reading = true;
        while !self.cancelled() {
            while reading && preparing.len() < DOCUMENTS_AHEAD && !self.cancelled() {
                match items.recv() {
                    Ok((file, item)) => {
                        if let Some(incoming) = self.admit(&file, item) {
                            let (reply, prepared) = bounded(1);
                            let order = Order { incoming, reply };
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
            if self.last_commit.elapsed() >= commit_every {
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
    fn admit(&mut self, file: &Path, item: Item) -> Option<Incoming> {
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
            let place = document.source.unwrap_or_default();
            let reason = format!("id '{}' was seen before in this run; the first one counts", document.id);
            self.report.skipped_by_reason.duplicates += 1;
            self.note(Problem { place, reason, lost: true });
            return None;
        }
        let change = match self.writer.record(&document.id) {
            None => Change::Added,
            Some(known) if known.content_hash != record.content_hash => Change::Changed,
            Some(known) if known.file != record.file => Change::Moved,
            Some(known) => {
                self.report.unchanged += 1;
                self.report.chunks += known.chunks as usize;
                self.pass(bytes);
                return None;
            }
        };
        Some(Incoming { document, record, bytes, change })
    }

    /// Hands the chunks that need it to the encoder; waits while its queue is full.
    fn submit(&mut self, prepared: Prepared) -> Result<(), Error> {
        let Prepared { incoming, chunks, .. } = prepared;
        self.pieces += prepared.pieces;
        self.unknown += prepared.unknown;
        self.words += prepared.words;
        self.report.titles_cut += usize::from(prepared.title_was_cut);
        self.report.empty += usize::from(chunks.is_empty());
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
        self.encoding.push_back(Encoding { incoming, rows });
        Ok(())
    }

    /// Waits for the first document's vectors and writes it.
    fn write_first(&mut self) -> Result<(), Error> {
        let Some(Encoding { incoming, rows }) = self.encoding.pop_front() else {
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
        let Incoming { document, record, bytes, change } = incoming;
        let stored_chunks = chunks.len();
        match self.writer.put(&document, &record, chunks) {
            Ok(()) => {}
            // The index cannot hold this one document; it takes all others.
            Err(error @ berth_index::Error::InvalidDocument { .. }) => {
                self.report.skipped_by_reason.unreadable += 1;
                self.note(Problem { place: record.file, reason: format!("{error}; skipped"), lost: true });
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        match change {
            Change::Added => {
                self.report.added += 1;
                self.added_hashes.push(record.content_hash);
            }
            Change::Changed => self.report.changed += 1,
            Change::Moved => self.report.moved += 1,
        }
        self.report.chunks += stored_chunks;
        self.report.embedded += embedded;
        self.report.reused += reused;
        self.pass(bytes);
        Ok(())
    }

    /// Counts a document that is done with.
    fn pass(&mut self, bytes: u64) {
        self.report.documents += 1;
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
    pub(super) fn settle_gone(&mut self, sync: bool, force: bool) -> Result<(), Error> {
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

    /// Commits, and closes the index.
    pub(super) fn finish(mut self, started: Instant, strict: bool) -> Result<IngestReport, Error> {
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
