//! One run of indexing: which thread does what, and in which order.
//!
//! The thread that called `ingest` coordinates and is the only one that touches the index. Documents keep their order
//! all the way, so that the same input gives the same index. Every queue between the threads is bounded.

mod storing;

use std::collections::{HashMap, VecDeque};
use std::mem::take;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use berth_encoder::Encoder;
use berth_index::IndexWriter;
use berth_types::{ContentKey, Embedding, TokenRows};
use crossbeam_channel::{Receiver, Sender, bounded};

use super::encoding::{Encoding, Row, Stage};
use super::{IngestReport, Progress, ProgressState};
use crate::policy::{AccessGiven, Expired};
use crate::prepare::{Cutting, Incoming, Prepared, prepare};
use crate::source::{Item, Listing, Problem, content_hash, path_text, read_file};
use crate::sync::{Known, Seen, compare};
use crate::{Error, TokenEncoder};

/// Documents tokenised ahead of embedding.
const DOCUMENTS_AHEAD: usize = 16;
/// Text tokenised ahead of embedding; beside one document, however long, which is always let in. Ids and offsets take
/// some five times their text.
const BYTES_AHEAD: u64 = 32 << 20;
/// Documents read ahead of tokenising.
const DOCUMENTS_READ_AHEAD: usize = 2;
/// Rows that may be waiting for or inside the model; at 20 ms a row on each of two cores, 2.5 s of work to finish when
/// interrupted.
const ROWS_IN_FLIGHT: usize = 256;
/// Threads that tokenise: it costs about 3 % of what embedding costs, so two are plenty on any machine.
const PREPARING_THREADS: usize = 2;
/// Chunks of an unfinished document that are worth storing when a run is interrupted: about half a second of work.
const LEAST_PART: usize = 64;
/// Problems kept word by word; beyond that they are only counted.
const PROBLEMS_KEPT: usize = 1_000;

/// A document handed to the preparing threads, with the door through which it comes back.
struct Order {
    incoming: Incoming,
    reply: Sender<Result<Prepared, Error>>,
}

/// A run over the sources, from the first document to the last commit.
pub(super) struct Run<'a> {
    encoder: &'a Encoder,
    /// Present where the index has token rows.
    tokens: Option<&'a TokenEncoder>,
    writer: IndexWriter,
    progress: &'a mut dyn Progress,
    cancel: &'a AtomicBool,
    commit_every: Duration,
    last_commit: Instant,
    encoding: VecDeque<Encoding>,
    rows_in_flight: usize,
    report: IngestReport,
    state: ProgressState,
    /// The moment by which documents have expired.
    clock: SystemTime,
    /// Who may find documents that do not say it themselves.
    access: Option<AccessGiven>,
    seen: Seen,
    files_there: HashMap<String, bool>,
    added_hashes: Vec<String>,
    pieces: usize,
    unknown: usize,
    words: usize,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        (encoder, tokens): (&'a Encoder, Option<&'a TokenEncoder>),
        writer: IndexWriter,
        progress: &'a mut dyn Progress,
        cancel: &'a AtomicBool,
        listing: &Listing,
        commit_every: Duration,
    ) -> Self {
        Self {
            encoder,
            tokens,
            writer,
            progress,
            cancel,
            commit_every,
            last_commit: Instant::now(),
            encoding: VecDeque::new(),
            rows_in_flight: 0,
            report: IngestReport::default(),
            state: ProgressState { bytes_total: listing.bytes, ..ProgressState::default() },
            clock: SystemTime::now(),
            access: None,
            seen: Seen { roots: listing.roots.clone(), ..Seen::default() },
            files_there: HashMap::new(),
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
    pub(super) fn read_all(&mut self, listing: Listing, cutting: Cutting) -> Result<(), Error> {
        self.report.skipped_by_reason = listing.skipped;
        self.seen.doubtful_files.extend(listing.doubtful);
        for problem in listing.problems {
            self.note(problem);
        }
        let encoder = self.encoder;
        let cancel = self.cancel;
        let fingerprint_hash = *blake3::hash(encoder.fingerprint().canonical().as_bytes()).as_bytes();
        let (item_sender, items) = bounded::<(PathBuf, Item)>(DOCUMENTS_READ_AHEAD);
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
                        if cancel.load(Ordering::Relaxed) {
                            break;
                        }
                        let Order { incoming, reply } = order;
                        let prepared = prepare(encoder, &fingerprint_hash, cutting, incoming);
                        // The receiver is gone only when the run has failed or was interrupted.
                        let _ = reply.send(prepared);
                    }
                });
            }
            drop(orders);
            self.coordinate(items, order_sender)?;
            // Before the other threads are waited for: one of them may hang in a read.
            self.commit()
        })
    }

    /// Moves documents from stage to stage in their order. Returns when all are written, or on interruption.
    ///
    /// Takes both channel ends by value: dropping them on return is what ends the other threads.
    #[allow(clippy::needless_pass_by_value)]
    fn coordinate(&mut self, items: Receiver<(PathBuf, Item)>, orders: Sender<Order>) -> Result<(), Error> {
        let mut preparing: VecDeque<(u64, Receiver<Result<Prepared, Error>>)> = VecDeque::new();
        let mut bytes_preparing = 0;
        let mut reading = true;
        while !self.cancelled() {
            let room = |preparing: &VecDeque<_>, bytes| preparing.len() < DOCUMENTS_AHEAD && bytes < BYTES_AHEAD;
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
            while !self.encoding.is_empty() && (nothing_left_to_submit || self.rows_in_flight > ROWS_IN_FLIGHT) {
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

    /// Lets a document in, unless it was seen before or is as the index has it.
    fn admit(&mut self, file: &Path, item: Item) -> Option<Incoming> {
        let (mut document, mut record, bytes, vectors) = match item {
            Item::Document { document, record, bytes, vectors } => (document, record, bytes, vectors),
            Item::Binary { bytes } => {
                self.report.skipped_by_reason.binary += 1;
                self.advance(bytes);
                return None;
            }
            Item::Problem { problem, bytes } => {
                if problem.lost {
                    self.report.skipped_by_reason.unreadable += 1;
                    self.seen.doubtful_files.insert(PathBuf::from(path_text(file)));
                }
                self.note(problem);
                self.advance(bytes);
                return None;
            }
        };
        if !self.seen.ids.insert(document.id.clone()) {
            let reason = format!("id '{}' was seen before in this run; the first one counts", document.id);
            self.skip_duplicate(record.file, reason, bytes);
            return None;
        }
        if let Some(access) = &self.access
            && access.add(&mut document)
        {
            record.content_hash = content_hash(&document);
        }
        let known = self.writer.record(&document.id).cloned();
        let expiry = self.writer.expiry_of(&document, &record);
        let is_expired = expiry.is_some_and(|expiry| self.writer.policy().is_expired(expiry, self.clock));
        let change = match compare(known.as_ref(), &record, |file| self.is_there(file)) {
            Known::Differs(_) if is_expired => {
                self.pass_over_expired(&document.id, bytes);
                return None;
            }
            Known::Differs(change) => change,
            Known::OfAnotherFile => {
                let file = known.map(|known| known.file).unwrap_or_default();
                let reason = format!("id '{}' belongs to a document of {file}, which counts", document.id);
                self.skip_duplicate(record.file, reason, bytes);
                return None;
            }
            Known::Same => {
                self.report.unchanged += 1;
                self.report.chunks += known.map_or(0, |known| known.chunks as usize);
                self.advance(bytes);
                self.pass();
                return None;
            }
        };
        Some(Incoming { document, record, bytes, change, vectors })
    }

    /// A document that has expired before it came; what the index has under its id is not what it says any more.
    fn pass_over_expired(&mut self, id: &str, bytes: u64) {
        self.report.skipped_by_reason.expired += 1;
        // A writer that has stopped says so at the next commit.
        self.report.expired += usize::from(self.writer.remove(id).unwrap_or(false));
        self.advance(bytes);
    }

    fn skip_duplicate(&mut self, place: String, reason: String, bytes: u64) {
        self.report.skipped_by_reason.duplicates += 1;
        self.note(Problem { place, reason, lost: true });
        self.advance(bytes);
    }

    /// Whether a file that documents came from is still there; asked once a file.
    fn is_there(&mut self, file: &str) -> bool {
        if let Some(&there) = self.files_there.get(file) {
            return there;
        }
        let there = Path::new(file).exists();
        self.files_there.insert(file.to_owned(), there);
        there
    }

    /// Hands the chunks that need it to the encoder; waits while too many are in flight.
    fn submit(&mut self, prepared: Prepared) -> Result<(), Error> {
        let Prepared { mut incoming, chunks, .. } = prepared;
        let given = self.usable(take(&mut incoming.vectors));
        self.pieces += prepared.pieces;
        self.unknown += prepared.unknown;
        self.words += prepared.words;
        self.report.titles_cut += usize::from(prepared.title_was_cut);
        self.report.empty += usize::from(chunks.is_empty());
        self.encoding.push_back(Encoding::new(incoming, chunks.len()));
        for mut chunk in chunks {
            while self.rows_in_flight > ROWS_IN_FLIGHT && !self.cancelled() {
                self.settle_first()?;
            }
            self.commit_when_due()?;
            if self.cancelled() {
                self.last_encoding().stage = Stage::CutShort;
                return Ok(());
            }
            let row = if let Some(same) = self.last_encoding().same(&chunk.key) {
                Row::SameAs(same)
            } else if let Some((embedding, tokens)) = self.known(&chunk.key) {
                Row::Known(embedding, tokens)
            } else if let Some(embedding) = given.get(&chunk.key) {
                Row::Known(embedding.clone(), None)
            } else {
                self.rows_in_flight += 1;
                let row = take(&mut chunk.row);
                self.report.tokens += row.len() as u64;
                let tokens = self.tokens.map(|tokens| tokens.submit_passage(row.clone())).transpose()?;
                Row::Pending(self.encoder.submit_passage(row)?, tokens)
            };
            self.last_encoding().hand_in(chunk, row);
        }
        self.last_encoding().stage = Stage::Whole;
        Ok(())
    }

    /// What the index has under this key: a vector, and token rows where it has them.
    fn known(&self, key: &ContentKey) -> Option<(Embedding, Option<TokenRows>)> {
        let embedding = self.writer.embedding(key)?;
        match self.tokens {
            None => Some((embedding, None)),
            Some(_) => Some((embedding, Some(self.writer.token_rows(key)?))),
        }
    }

    /// Vectors that came with a document, as far as the index can take them: with token rows the model runs anyway.
    fn usable(&self, mut given: HashMap<ContentKey, Embedding>) -> HashMap<ContentKey, Embedding> {
        let dimensions = self.writer.settings().dimensions;
        given.retain(|_, embedding| self.tokens.is_none() && embedding.dimensions() == dimensions);
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
