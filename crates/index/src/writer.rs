//! The one writer of an index: takes documents, and makes them durable and visible at once in both halves.

mod compact;
mod languages;
mod purge;
#[cfg(test)]
mod tests;
mod vectors;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use berth_types::{Chunk, Document, DocumentRecord, FieldDeclaration, Language};
use tantivy::Index;
use tantivy::indexer::LogMergePolicy;

use crate::analysis::Analyses;
use crate::beside::Beside;
use crate::dense::{DenseStore, RowLabel};
use crate::directory::{FirstFault, OpenFiles};
use crate::disk::Disk;
use crate::fields::{MAX_FIELDS, WarningLog, extract, is_searchable_name};
use crate::lookup::Known;
use crate::manifest::{Counts, Manifest, NextNumbers, missing_is_corrupted};
use crate::schema::LexicalSchema;
use crate::sparse::Recent;
use crate::{
    DenseOptions, Error, FieldKinds, FieldWarning, IndexSettings, NewChunk, Snapshot, Unsearchable, garbage, open,
    stored,
};

pub use purge::PurgeReport;

/// Memory of the engine's one indexing thread before it writes a segment. The encoder needs the cores and most of the
/// memory; at 40 MB a segment holds some 20,000 chunks. Tests open thousands of writers, with the least that it takes.
const ENGINE_BYTES: usize = if cfg!(test) { 15_000_000 } else { 40_000_000 };
/// Longest id, and longest text in a column: the engine cuts a term at 65,530 bytes.
const MAX_TERM_BYTES: usize = 65_530;
/// How long a writer that is dropped waits for the engine's threads, so that the next one finds the lock free.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Adds, replaces and removes documents. At most one exists per index directory, in all processes.
///
/// Dropping it forgets what was not committed.
pub struct IndexWriter {
    dir: PathBuf,
    disk: Disk,
    schema: LexicalSchema,
    /// Present until the writer is dropped.
    engine: Option<tantivy::IndexWriter>,
    /// Whether another writer could take the lock.
    freed: Arc<AtomicBool>,
    fault: Arc<FirstFault>,
    dense: DenseStore,
    files: Arc<OpenFiles>,
    sparse: Recent,
    /// Of the last commit.
    manifest: Manifest,
    documents: BTreeMap<String, Known>,
    counts: Counts,
    /// Kinds of the metadata fields, those that are not committed yet included.
    fields: FieldKinds,
    /// The ways in which documents were analysed, those that are not committed yet included.
    analyses: Analyses,
    /// The language of documents to come; it is told by their texts where it is not given.
    language: Option<Language>,
    /// An index whose documents come over into this one, in the languages that it has them in.
    pub(crate) taken_over: Option<Arc<Snapshot>>,
    /// Policy and texts, those that are not committed yet included.
    pub(crate) beside: Beside,
    warnings: WarningLog,
    next_document_no: u64,
    next_chunk_id: u64,
    changed: bool,
    /// Message of the failure that stopped this writer.
    stopped: Option<String>,
}

impl std::fmt::Debug for IndexWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexWriter")
            .field("dir", &self.dir)
            .field("generation", &self.manifest.generation)
            .finish_non_exhaustive()
    }
}

impl IndexWriter {
    /// Opens the index in `dir` for writing, or creates it.
    ///
    /// # Errors
    /// `Locked` while another writer exists, `FingerprintMismatch` and `SettingsMismatch` when the index was built
    /// otherwise, `NoTokenRows` and `TokenRowsNeeded` when only one of both has token rows, `NoSparseVectors` and `SparseVectorsNeeded` likewise, `NotAnIndex` for a directory
    /// that holds something else, `UnknownFormat`, `Corrupted`, `Io`.
    ///
    /// # Panics
    /// When a new index is to have token rows of no values, or of more than 65,536.
    pub fn create_or_open(dir: &Path, settings: &IndexSettings) -> Result<Self, Error> {
        Self::on_disk(dir, settings, Disk::default())
    }

    /// As [`create_or_open`](Self::create_or_open), for an index that is to take the place of another: its dense segments
    /// are numbered from [`first_segment`](crate::first_segment_of_next) on.
    ///
    /// # Errors
    /// As [`create_or_open`](Self::create_or_open).
    pub fn create_or_open_next(dir: &Path, settings: &IndexSettings, first_segment: u64) -> Result<Self, Error> {
        Self::numbered_from(first_segment, dir, settings, Disk::default())
    }

    pub(crate) fn on_disk(dir: &Path, settings: &IndexSettings, disk: Disk) -> Result<Self, Error> {
        Self::numbered_from(0, dir, settings, disk)
    }

    pub(crate) fn numbered_from(
        first_segment: u64,
        dir: &Path,
        settings: &IndexSettings,
        disk: Disk,
    ) -> Result<Self, Error> {
        let opened = open::for_writing(dir, settings, first_segment, &disk)?;
        let engine = start_engine(&opened.index)?;
        let documents = opened.lookup.known().map_err(missing_is_corrupted)?;
        let files = Arc::new(OpenFiles::default());
        let dense = DenseStore::open(dir, disk.clone(), files, &opened.manifest).map_err(missing_is_corrupted)?;
        let found = count(&documents);
        let manifest = opened.manifest;
        if found != manifest.counts {
            let reason = format!("the lexical half holds {found:?}, not {:?}", manifest.counts);
            return Err(Error::corrupted(&dir.join(Manifest::file_name(manifest.generation)), reason));
        }
        let writer = Self {
            dir: dir.to_path_buf(),
            disk,
            schema: opened.lookup.schema,
            engine: Some(engine),
            freed: opened.lock.freed(),
            fault: opened.fault,
            dense,
            files: opened.files,
            sparse: Recent::default(),
            documents,
            counts: found,
            fields: manifest.fields.clone(),
            analyses: manifest.analyses.clone(),
            language: None,
            taken_over: None,
            beside: Beside::of(&manifest.policy, &manifest.beside),
            warnings: WarningLog::default(),
            next_document_no: manifest.next.document_no,
            next_chunk_id: manifest.next.chunk_id,
            manifest,
            changed: false,
            stopped: None,
        };
        writer.collect_garbage();
        if let Some(engine) = &writer.engine {
            engine.garbage_collect_files().wait()?;
        }
        Ok(writer)
    }

    /// Arranges dense segments otherwise from now on. What is there stays until it is merged.
    pub fn set_dense_options(&mut self, options: DenseOptions) {
        self.dense.set_options(options);
    }

    /// What the index was built with.
    pub fn settings(&self) -> &IndexSettings {
        &self.manifest.settings
    }

    /// Says of which kind metadata fields are, for documents to come.
    ///
    /// # Errors
    /// `NoFields` when the index was made before there were any, `FieldKindMismatch` when it has one of another kind,
    /// `InvalidField` for a name that no field can have, and for one too many.
    pub fn declare_fields(&mut self, declared: &[FieldDeclaration]) -> Result<(), Error> {
        if declared.is_empty() {
            return Ok(());
        }
        if self.schema.metadata.is_none() {
            return Err(Error::NoFields { path: self.dir.clone() });
        }
        let mut fields = self.fields.clone();
        for FieldDeclaration { name, kind } in declared {
            let invalid = |reason| Err(Error::InvalidField { field: name.clone(), reason });
            if !is_searchable_name(name) {
                return invalid(Unsearchable::Name);
            }
            let stored = *fields.entry(name.clone()).or_insert(*kind);
            if stored != *kind {
                let (path, field, requested) = (self.dir.clone(), name.clone(), *kind);
                return Err(Error::FieldKindMismatch { path, field, stored, requested });
            }
            if fields.len() > MAX_FIELDS {
                return invalid(Unsearchable::TooManyFields);
            }
        }
        self.changed |= fields != self.fields;
        self.fields = fields;
        Ok(())
    }

    /// Kinds of the metadata fields, those that are not committed yet included.
    pub(crate) fn fields(&self) -> &FieldKinds {
        &self.fields
    }

    /// The next commit has something to say.
    pub(crate) fn mark_changed(&mut self) {
        self.changed = true;
    }

    /// What could not be searched of the documents put since this was last asked, the first few for each field.
    pub fn take_field_warnings(&mut self) -> Vec<FieldWarning> {
        self.warnings.take()
    }

    /// Forgets what could not be searched of the documents put since this was last asked: they will be put again.
    pub fn forget_field_warnings(&mut self) {
        self.warnings.forget();
    }

    /// Every document with its record, by id; includes changes that are not committed yet.
    pub fn records(&self) -> impl Iterator<Item = (&str, &DocumentRecord)> {
        self.documents.iter().map(|(id, known)| (id.as_str(), &known.record))
    }

    /// The record of one document; includes changes that are not committed yet.
    pub fn record(&self, id: &str) -> Option<&DocumentRecord> {
        self.documents.get(id).map(|known| &known.record)
    }

    /// Stores a document with its chunks; replaces a document of the same id.
    ///
    /// The stored record counts the chunks that are given. Nothing is changed when an error is returned, except that
    /// `Io` and `Lexical` stop the writer.
    ///
    /// # Errors
    /// `InvalidDocument` for an id that is empty, an id or a path longer than 65,530 bytes, and for chunks that are not
    /// numbered from 0 or do not lie in the text; `DimensionMismatch`, `NoTokenRows`, `TokenRowsNeeded` when they are not
    /// as the index has them; `NoSparseVectors` and `SparseVectorsNeeded` likewise; `Io`, `Lexical`, `WriterStopped`.
    pub fn put(&mut self, document: &Document, record: &DocumentRecord, chunks: Vec<NewChunk>) -> Result<(), Error> {
        self.check_running()?;
        check_document(document, record, &chunks)?;
        self.check_vectors(&chunks)?;
        self.remove(&document.id)?;
        self.changed = true;
        let record = DocumentRecord { chunks: chunks.len() as u32, ..record.clone() };
        let document_no = self.next_document_no;
        let stored = self.store(document, &record, document_no, chunks);
        self.stop_on_error(stored)?;
        self.next_document_no += 1;
        let known = Known { document_no, record };
        add(&mut self.counts, &known);
        self.documents.insert(document.id.clone(), known);
        Ok(())
    }

    fn store(
        &mut self,
        document: &Document,
        record: &DocumentRecord,
        document_no: u64,
        chunks: Vec<NewChunk>,
    ) -> Result<(), Error> {
        let first = self.next_chunk_id;
        let mut values = BTreeMap::new();
        if self.schema.metadata.is_some() {
            let mut note = |field: &str, reason| self.warnings.add(&document.id, field, reason);
            values = extract(&document.metadata, &mut self.fields, &mut note);
        }
        let language = self.language_of(document, record)?;
        for entry in self.schema.engine_documents((document, language), (record, values), document_no, first, &chunks) {
            engine(self.engine.as_ref()).add_document(entry).map_err(|error| self.fault.explain(error))?;
        }
        for (chunk_id, new) in (first..).zip(chunks) {
            let label = RowLabel { chunk_id, document_no, key: new.key };
            self.dense.push(label, &new.embedding, new.tokens.as_ref())?;
            if let Some(row) = new.sparse {
                self.sparse.remember(new.key, row);
            }
            self.next_chunk_id = chunk_id + 1;
        }
        Ok(())
    }

    /// Removes a document; false when there is none of this id.
    ///
    /// # Errors
    /// `WriterStopped`.
    pub fn remove(&mut self, id: &str) -> Result<bool, Error> {
        self.check_running()?;
        let Some(known) = self.documents.remove(id) else { return Ok(false) };
        self.changed = true;
        subtract(&mut self.counts, &known);
        self.dense.remove(known.document_no);
        engine(self.engine.as_ref()).delete_term(self.schema.document_term(known.document_no));
        Ok(true)
    }

    /// Whether anything was put or removed since the last commit.
    pub fn has_changes(&self) -> bool {
        self.changed
    }

    /// Makes all changes durable and visible at once. Returns the generation; the old one when nothing changed.
    ///
    /// After an error the writer takes nothing more; what was committed before is intact.
    ///
    /// # Errors
    /// `Io` when the disk refuses, `Corrupted` when rows to be merged are damaged, `Lexical`, `WriterStopped`.
    pub fn commit(&mut self) -> Result<u64, Error> {
        self.check_running()?;
        if self.changed || self.dense.wants_commit() {
            let committed = self.commit_changes();
            self.stop_on_error(committed)?;
            self.changed = false;
            self.collect_garbage();
        }
        Ok(self.manifest.generation)
    }

    /// The order is the protocol: dense files, manifest, lexical files, and then the rename of `meta.json`.
    fn commit_changes(&mut self) -> Result<(), Error> {
        self.sparse.forget();
        let generation = self.manifest.generation + 1;
        let segments = self.dense.prepare(generation)?;
        let manifest = Manifest {
            generation,
            fields: self.fields.clone(),
            analyses: self.analyses.clone(),
            policy: self.beside.policy.clone(),
            beside: self.beside.write(&self.dir, &self.disk, generation)?,
            counts: self.counts,
            next: NextNumbers {
                document_no: self.next_document_no,
                chunk_id: self.next_chunk_id,
                segment: self.dense.next_segment(),
            },
            segments,
            ..self.manifest.clone()
        };
        let payload = open::write_manifest(&self.dir, &self.disk, &manifest)?;
        let engine = self.engine.as_mut().expect("the engine runs until the writer is dropped");
        let mut prepared = engine.prepare_commit().map_err(|error| self.fault.explain(error))?;
        prepared.set_payload(&payload);
        prepared.commit().map_err(|error| self.fault.explain(error))?;
        self.fault.forget();
        self.beside.committed(&manifest.beside);
        self.manifest = manifest;
        Ok(())
    }

    /// Commits, waits for merges and graphs that are worked on, commits these, and releases the index. Returns the
    /// generation.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn finish(mut self) -> Result<u64, Error> {
        loop {
            let generation = self.commit()?;
            let waited = self.dense.wait();
            if !self.stop_on_error(waited)? && !self.dense.wants_commit() {
                return Ok(generation);
            }
        }
    }

    /// Removes what the last commit does not name. What cannot be removed is left for the next time.
    fn collect_garbage(&self) {
        garbage::collect(&self.dir, &self.disk, &self.manifest, |name| self.dense.holds(name));
    }

    fn check_running(&self) -> Result<(), Error> {
        match &self.stopped {
            None => Ok(()),
            Some(reason) => Err(Error::WriterStopped { path: self.dir.clone(), reason: reason.clone() }),
        }
    }

    fn stop_on_error<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result {
            self.stopped = Some(error.to_string());
        }
        result
    }
}

impl Drop for IndexWriter {
    /// Waits until no thread of the engine can write any more, which is when the lock is free.
    fn drop(&mut self) {
        // It would hold the lock.
        self.sparse.forget();
        if let Some(engine) = self.engine.take() {
            // A failure here is of no consequence: what counts was committed.
            let _ = engine.wait_merging_threads();
        }
        let started = Instant::now();
        while !self.freed.load(Ordering::Acquire) && started.elapsed() < LONGEST_WAIT {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn count(documents: &BTreeMap<String, Known>) -> Counts {
    let mut counts = Counts { documents: 0, textless: 0, chunks: 0 };
    for known in documents.values() {
        add(&mut counts, known);
    }
    counts
}

fn add(counts: &mut Counts, known: &Known) {
    counts.documents += 1;
    counts.textless += u64::from(known.record.chunks == 0);
    counts.chunks += u64::from(known.record.chunks);
}

fn subtract(counts: &mut Counts, known: &Known) {
    counts.documents -= 1;
    counts.textless -= u64::from(known.record.chunks == 0);
    counts.chunks -= u64::from(known.record.chunks);
}

fn engine(engine: Option<&tantivy::IndexWriter>) -> &tantivy::IndexWriter {
    engine.expect("the engine runs until the writer is dropped")
}

fn start_engine(index: &Index) -> Result<tantivy::IndexWriter, Error> {
    let engine: tantivy::IndexWriter = index.writer_with_num_threads(1, ENGINE_BYTES)?;
    engine.set_merge_policy(Box::new(merge_policy()));
    // The engine counts on from the number of the last commit and gives that number out once more. A deletion under it
    // counts as older than the commit to a merge that begins before the next one, which may then lose it: the document
    // would be back. So nobody gets that number.
    engine.run([])?;
    Ok(engine)
}

fn merge_policy() -> LogMergePolicy {
    let mut merging = LogMergePolicy::default();
    // Deleted chunks still count in the statistics of BM25 and take room: a segment with a third of them is merged.
    merging.set_del_docs_ratio_before_merge(0.34);
    merging
}

fn check_document(document: &Document, record: &DocumentRecord, chunks: &[NewChunk]) -> Result<(), Error> {
    let invalid = |reason: String| Err(Error::InvalidDocument { document: document.id.clone(), reason });
    if document.id.is_empty() || document.id.len() > MAX_TERM_BYTES {
        return invalid(format!("its id has {} bytes, 1 to {MAX_TERM_BYTES} are possible", document.id.len()));
    }
    if record.file.len().max(record.content_hash.len()) > MAX_TERM_BYTES {
        return invalid(format!("its file's path or its hash has more than {MAX_TERM_BYTES} bytes"));
    }
    if document.text.len() > stored::MAX_TEXT_BYTES {
        return invalid(format!(
            "it has {} bytes, at most {} are possible",
            document.text.len(),
            stored::MAX_TEXT_BYTES
        ));
    }
    for (position, new) in chunks.iter().enumerate() {
        let Chunk { ordinal, byte_range, .. } = &new.chunk;
        if *ordinal as usize != position {
            return invalid(format!("chunk {position} is numbered {ordinal}"));
        }
        if document.text.get(byte_range.clone()).is_none() {
            return invalid(format!(
                "chunk {position} ({byte_range:?}) does not lie in its {} bytes",
                document.text.len()
            ));
        }
    }
    Ok(())
}
