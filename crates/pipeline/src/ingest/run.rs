//! One run of indexing: which thread does what, and in which order.
//!
//! The thread that called `ingest` coordinates and is the only one that touches the index. Documents keep their order
//! all the way, so that the same input gives the same index. Every queue between the threads is bounded.

mod admitting;
mod storing;

use std::collections::{HashMap, VecDeque};
use std::mem::take;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use berth_encoder::Encoder;
use berth_index::{IndexWriter, Snapshot};
use berth_types::{ContentKey, Device, Document, DocumentRecord, Embedding};
use crossbeam_channel::{Receiver, Sender, bounded};

use super::encoding::{Encoding, PendingVectors, Row, Stage, Vectors};
use super::{Encoders, IngestReport, Progress, ProgressState};
use crate::policy::{AccessGiven, Expired};
use crate::prepare::{Cutting, Incoming, Prepared, PreparedChunk, prepare};
use crate::source::{Item, Listing, Problem, SourceFile, content_hash, read_file};
use crate::sync::Seen;
use crate::{Error, SparseEncoder, TokenEncoder};

/// Documents tokenised ahead of embedding, for each thread that does it.
const DOCUMENTS_AHEAD: usize = 8;
/// Text tokenised ahead of embedding; beside one document, however long, which is always let in. Ids and offsets take
/// some five times their text.
const BYTES_AHEAD: u64 = 32 << 20;
/// Documents read ahead of tokenising.
const DOCUMENTS_READ_AHEAD: usize = 2;
/// Rows that may be waiting for or inside the model; at 20 ms a row on each of two cores, 2.5 s of work to finish when
/// interrupted. On a GPU as many as keep it busy, which is less.
const ROWS_IN_FLIGHT: usize = 256;
/// Threads that tokenise: it costs about 3 % of what embedding costs, so two are plenty where processors embed.
const PREPARING_THREADS: usize = 2;
/// The most of them where a GPU embeds: it takes what these make, and one thread writes the index.
const MOST_PREPARING_THREADS: usize = 8;
/// Chunks of an unfinished document that are worth storing when a run is interrupted: about half a second of work.
const LEAST_PART: usize = 64;
/// Problems kept word by word; beyond that they are only counted.
const PROBLEMS_KEPT: usize = 1_000;

/// Threads that tokenise for a model on `device`.
fn preparing_threads(device: Device) -> usize {
    match device {
        Device::Cpu => PREPARING_THREADS,
        _ => thread::available_parallelism().map_or(PREPARING_THREADS, usize::from).clamp(2, MOST_PREPARING_THREADS),
    }
}

/// A document handed to the preparing threads, with the door through which it comes back.
struct Order {
    incoming: Incoming,
    reply: Sender<Result<Prepared, Error>>,
}

/// Where documents come from.
pub(super) enum Documents {
    /// Files, read in this order.
    Files(Vec<SourceFile>),
    /// Those of these ids, as an index stores them.
    Stored(Arc<Snapshot>, Vec<String>),
    /// Those that were handed in, each of another id.
    Given(Vec<Document>),
}

impl Documents {
    /// Reads all of them until `emit` returns false.
    fn read(self, mut emit: impl FnMut(PathBuf, Item) -> bool) -> Result<(), Error> {
        match self {
            Self::Given(documents) => {
                for document in documents {
                    let record = DocumentRecord {
                        content_hash: content_hash(&document),
                        modified_ns: now_ns(),
                        ..DocumentRecord::default()
                    };
                    let bytes = document.text.len() as u64;
                    let item = Item::Document { document, record, bytes, vectors: HashMap::new() };
                    if !emit(PathBuf::new(), item) {
                        break;
                    }
                }
            }
            Self::Files(files) => {
                for file in files {
                    let mut open = true;
                    read_file(&file.path, &mut |item| {
                        open = emit(file.path.clone(), item);
                        open
                    });
                    if !open {
                        break;
                    }
                }
            }
            Self::Stored(snapshot, ids) => {
                for id in ids {
                    let Some(stored) = snapshot.document(&id)? else { continue };
                    let bytes = stored_bytes(&stored.record);
                    let (document, mut record) = (stored.document, stored.record);
                    // An interrupted run stored a part of the chunks; its text is whole.
                    if record.content_hash.is_empty() {
                        record.content_hash = content_hash(&document);
                    }
                    let item = Item::Document { document, record, bytes, vectors: HashMap::new() };
                    if !emit(PathBuf::new(), item) {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

/// This moment: what was handed in has no file with a time of its own.
fn now_ns() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}

/// What a stored document counts among others, before its text was read: its chunks.
pub(super) fn stored_bytes(record: &DocumentRecord) -> u64 {
    u64::from(record.chunks).max(1)
}

/// A run over the sources, from the first document to the last commit.
pub(super) struct Run<'a> {
    encoder: &'a Encoder,
    /// Present where the index has token rows.
    tokens: Option<&'a TokenEncoder>,
    /// Present where the index has sparse vectors.
    sparse: Option<&'a SparseEncoder>,
    writer: IndexWriter,
    progress: &'a mut dyn Progress,
    cancel: &'a AtomicBool,
    commit_every: Duration,
    last_commit: Instant,
    encoding: VecDeque<Encoding>,
    rows_in_flight: usize,
    most_rows_in_flight: usize,
    report: IngestReport,
    state: ProgressState,
    /// The moment by which documents have expired.
    clock: SystemTime,
    /// Who may find documents that do not say it themselves.
    access: Option<AccessGiven>,
    seen: Seen,
    files_there: HashMap<String, bool>,
    /// Whether documents come under ids that belong to no file: out of an index, which has settled that, or handed in.
    without_files: bool,
    added_hashes: Vec<String>,
    pieces: usize,
    unknown: usize,
    words: usize,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        Encoders { dense: encoder, tokens, sparse }: Encoders<'a>,
        writer: IndexWriter,
        progress: &'a mut dyn Progress,
        cancel: &'a AtomicBool,
        listing: &Listing,
        commit_every: Duration,
    ) -> Self {
        Self {
            encoder,
            tokens,
            sparse,
            writer,
            progress,
            cancel,
            commit_every,
            last_commit: Instant::now(),
            encoding: VecDeque::new(),
            rows_in_flight: 0,
            most_rows_in_flight: ROWS_IN_FLIGHT
                .max(encoder.rows_under_way())
                .min(sparse.map_or(usize::MAX, SparseEncoder::most_waiting)),
            report: IngestReport::default(),
            state: ProgressState { bytes_total: listing.bytes, ..ProgressState::default() },
            clock: SystemTime::now(),
            access: None,
            seen: Seen { roots: listing.roots.clone(), ..Seen::default() },
            files_there: HashMap::new(),
            without_files: false,
            added_hashes: Vec::new(),
            pieces: 0,
            unknown: 0,
            words: 0,
        }
    }

    /// What was settled before the first document: by which clock documents have expired, who may find those that do not say
    /// it, and what became of those that the index had.
    pub(super) fn begin_with(&mut self, clock: SystemTime, access: Option<AccessGiven>, expired: Expired) {
        (self.clock, self.access) = (clock, access);
        self.report.expired = expired.removed;
        self.report.expiry_refused = expired.refused;
        if let Some(reason) = expired.warning {
            self.note(Problem { place: "clock".to_owned(), reason, lost: false });
        }
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.report.interrupted
    }

    /// Reads, embeds and writes everything listed, and commits every `commit_every`.
    pub(super) fn read_all(&mut self, mut listing: Listing, cutting: Cutting) -> Result<(), Error> {
        let files = take(&mut listing.files);
        self.read_documents(Documents::Files(files), listing, cutting)
    }

    /// The same for other documents; `listing` says what was found and left out beside them.
    pub(super) fn read_documents(
        &mut self,
        documents: Documents,
        listing: Listing,
        cutting: Cutting,
    ) -> Result<(), Error> {
        self.without_files = !matches!(documents, Documents::Files(_));
        self.report.skipped_by_reason = listing.skipped;
        self.seen.doubtful_files.extend(listing.doubtful);
        for problem in listing.problems {
            self.note(problem);
        }
        let (encoder, sparse) = (self.encoder, self.sparse);
        let cancel = self.cancel;
        let fingerprint_hash = *blake3::hash(encoder.fingerprint().canonical().as_bytes()).as_bytes();
        let (item_sender, items) = bounded::<(PathBuf, Item)>(DOCUMENTS_READ_AHEAD);
        let threads = preparing_threads(encoder.device());
        let documents_ahead = threads * DOCUMENTS_AHEAD;
        let (order_sender, orders) = bounded::<Order>(documents_ahead);
        thread::scope(|scope| {
            let reading = scope.spawn(move || {
                documents.read(|file, item| item_sender.send((file, item)).is_ok() && !cancel.load(Ordering::Relaxed))
            });
            for _ in 0..threads {
                let orders = orders.clone();
                scope.spawn(move || {
                    for order in orders {
                        if cancel.load(Ordering::Relaxed) {
                            break;
                        }
                        let Order { incoming, reply } = order;
                        let prepared = prepare((encoder, sparse), &fingerprint_hash, cutting, incoming);
                        // The receiver is gone only when the run has failed or was interrupted.
                        let _ = reply.send(prepared);
                    }
                });
            }
            drop(orders);
            self.coordinate(items, order_sender, documents_ahead)?;
            // Before the other threads are waited for: one of them may hang in a read.
            self.commit()?;
            reading.join().map_err(|_| Error::WorkerLost("reading"))?
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
        documents_ahead: usize,
    ) -> Result<(), Error> {
        let mut preparing: VecDeque<(u64, Receiver<Result<Prepared, Error>>)> = VecDeque::new();
        let mut bytes_preparing = 0;
        let mut reading = true;
        while !self.cancelled() {
            let room = |preparing: &VecDeque<_>, bytes| preparing.len() < documents_ahead && bytes < BYTES_AHEAD;
            while reading && room(&preparing, bytes_preparing) && !self.cancelled() {
                match items.recv() {
                    Ok((file, item)) => {
                        if let Some(incoming) = self.admit(&file, item) {
                            let (reply, prepared) = bounded(1);
                            let bytes = incoming.document.text.len() as u64;
                            if orders.send(Order { incoming, reply }).is_err() {
                                return self.stop_or("tokenising");
                            }
                            bytes_preparing += bytes;
                            preparing.push_back((bytes, prepared));
                        }
                    }
                    Err(_) => reading = false,
                }
                self.commit_when_due()?;
            }
            match preparing.pop_front() {
                Some((bytes, prepared)) => {
                    bytes_preparing -= bytes;
                    let Ok(prepared) = prepared.recv() else {
                        return self.stop_or("tokenising");
                    };
                    self.submit(prepared?)?;
                }
                // The reader also ends when the run is interrupted; what it did not read is not gone.
                None if self.encoding.is_empty() => return if self.cancelled() { self.stop() } else { Ok(()) },
                None => {}
            }
            let nothing_left_to_submit = !reading && preparing.is_empty();
            while !self.encoding.is_empty()
                && (nothing_left_to_submit || self.rows_in_flight > self.most_rows_in_flight)
            {
                self.settle_first()?;
                self.commit_when_due()?;
            }
        }
        self.stop()
    }

    /// Ends a run that was interrupted, or says which thread is missing.
    fn stop_or(&mut self, work: &'static str) -> Result<(), Error> {
        if self.cancelled() { self.stop() } else { Err(Error::WorkerLost(work)) }
    }

    /// Writes what is inside the model; what is not there yet is for the next run.
    fn stop(&mut self) -> Result<(), Error> {
        self.report.interrupted = true;
        while !self.encoding.is_empty() {
            self.settle_first()?;
        }
        Ok(())
    }

    /// Hands the chunks that need it to the encoder; waits while too many are in flight.
    fn submit(&mut self, prepared: Prepared) -> Result<(), Error> {
        let Prepared { mut incoming, chunks, .. } = prepared;
        let given = self.usable(take(&mut incoming.vectors));
        self.pieces += prepared.pieces;
        self.unknown += prepared.unknown;
        self.words += prepared.words;
        self.report.sparse_cut += prepared.sparse_cut;
        self.report.titles_cut += usize::from(prepared.title_was_cut);
        self.report.empty += usize::from(chunks.is_empty());
        self.encoding.push_back(Encoding::new(incoming, chunks.len()));
        for mut chunk in chunks {
            while self.rows_in_flight > self.most_rows_in_flight && !self.cancelled() {
                self.settle_first()?;
            }
            self.commit_when_due()?;
            if self.cancelled() {
                self.last_encoding().stage = Stage::CutShort;
                return Ok(());
            }
            let row = if let Some(same) = self.last_encoding().same(&chunk) {
                Row::SameAs(same)
            } else if let Some(vectors) = self.known(&chunk) {
                Row::Known(vectors)
            } else if let Some(embedding) = given.get(&chunk.key) {
                Row::Known(Vectors { embedding: embedding.clone(), tokens: None, sparse: None })
            } else {
                self.rows_in_flight += 1;
                let row = take(&mut chunk.row);
                self.report.tokens += row.len() as u64;
                let tokens = self.tokens.map(|tokens| tokens.submit_passage(row.clone())).transpose()?;
                let passage = self.sparse.zip(chunk.sparse.clone());
                let sparse = passage.map(|(model, passage)| model.submit(passage)).transpose()?;
                Row::Pending(PendingVectors { embedding: self.encoder.submit_passage(row)?, tokens, sparse })
            };
            self.last_encoding().hand_in(chunk, row);
        }
        self.last_encoding().stage = Stage::Whole;
        Ok(())
    }

    /// The vectors that the index has of this chunk, if it has all that it should have.
    fn known(&mut self, chunk: &PreparedChunk) -> Option<Vectors> {
        let key = &chunk.key;
        let embedding = self.writer.embedding(key)?;
        let tokens = if self.tokens.is_some() { Some(self.writer.token_rows(key)?) } else { None };
        let sparse = match &chunk.sparse {
            None => None,
            // One text of the first model can be two of the other.
            Some(passage) => Some(self.writer.sparse_row(key).filter(|row| row.key == passage.key)?),
        };
        Some(Vectors { embedding, tokens, sparse })
    }

    /// Vectors that came with a document, as far as the index can take them: for token rows and sparse vectors a
    /// model runs anyway.
    fn usable(&self, mut given: HashMap<ContentKey, Embedding>) -> HashMap<ContentKey, Embedding> {
        let dimensions = self.writer.settings().dimensions;
        let is_enough = self.tokens.is_none() && self.sparse.is_none();
        given.retain(|_, embedding| is_enough && embedding.dimensions() == dimensions);
        given
    }

    fn last_encoding(&mut self) -> &mut Encoding {
        self.encoding.back_mut().expect("a document is taken out only when no more of its chunks come")
    }

    /// Waits for one vector of the first document; writes the document when it has them all.
    fn settle_first(&mut self) -> Result<(), Error> {
        let Some(mut document) = self.encoding.pop_front() else {
            return Ok(());
        };
        if let Some(settled) = document.settle_next()? {
            self.rows_in_flight -= usize::from(settled.was_pending);
            self.state.chunks += 1;
            self.state.tokens = self.report.tokens;
            self.advance(settled.bytes);
            self.encoding.push_front(document);
            return Ok(());
        }
        match document.stage {
            Stage::Whole => self.write(document),
            Stage::CutShort if document.chunks.len() >= LEAST_PART => {
                if self.write_part(&mut document)? {
                    self.report.unfinished += 1;
                    self.report.chunks += document.chunks.len();
                }
                Ok(())
            }
            // Too little to keep; the next run begins with it.
            Stage::CutShort => Ok(()),
            Stage::Coming => {
                self.encoding.push_front(document);
                Ok(())
            }
        }
    }

    /// Counts bytes of the sources as done.
    fn advance(&mut self, bytes: u64) {
        self.state.bytes_done += bytes;
        self.progress.update(&self.state);
    }

    /// Counts a document as done.
    fn pass(&mut self) {
        self.report.documents += 1;
        self.state.documents += 1;
        self.progress.update(&self.state);
    }

    fn note(&mut self, problem: Problem) {
        self.progress.problem(&problem);
        self.report.problem_count += 1;
        self.report.lost_count += usize::from(problem.lost);
        if problem.lost && self.report.first_lost.is_none() {
            self.report.first_lost = Some(problem.clone());
        }
        if self.report.problems.len() < PROBLEMS_KEPT {
            self.report.problems.push(problem);
        }
    }

    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}
