//! Reads every byte of an index and says what is wrong.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tantivy::{DocAddress, DocId, SegmentReader};

use crate::dense::LiveSegment;
use crate::directory::{LEXICAL_FOLDER, META_FILE, OpenFiles};
use crate::lookup::{Columns, HeadColumns, Lookup};
use crate::manifest::{DENSE_FOLDER, Manifest};
use crate::reader::{meta_of, open_last};
use crate::{Error, Snapshot};

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct VerifyReport {
    /// Number of the commit that was read; 0 when it could not be opened.
    pub generation: u64,
    /// Documents found.
    pub documents: u64,
    /// Chunks found in the lexical half.
    pub lexical_chunks: u64,
    /// Rows found alive in the dense half.
    pub dense_rows: u64,
    /// Every file that was read, with its length.
    pub files: Vec<VerifiedFile>,
    /// Everything that is wrong; empty for a sound index.
    pub problems: Vec<VerifyProblem>,
}

/// A file that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedFile {
    /// Path inside the index directory.
    pub file: PathBuf,
    /// Its length.
    pub bytes: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyProblem {
    /// Path inside the index directory.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads every byte of the last commit of the index in `dir`, and compares its halves.
///
/// A commit that is replaced while it is read is read again.
///
/// # Errors
/// `NotFound`, `UnknownFormat`, `Io`. Damage is no error here but a problem in the report.
pub fn verify(dir: &Path) -> Result<VerifyReport, Error> {
    loop {
        let meta = match meta_of(dir) {
            Err(error @ Error::Corrupted { .. }) => return VerifyReport::of_damage(dir, error),
            other => other?,
        };
        let report = match open_last(dir, &Arc::new(OpenFiles::default())) {
            Ok(snapshot) => Verification::of(dir, &snapshot).map(|verification| verification.report),
            Err(error) => VerifyReport::of_damage(dir, error),
        };
        // A writer may have removed files under us; what is wrong then says nothing about the commit that replaced it.
        let sound = report.as_ref().is_ok_and(|report| report.problems.is_empty());
        if sound || meta_of(dir).is_ok_and(|now| now == meta) {
            return report;
        }
    }
}

impl VerifyReport {
    /// A report of the damage that keeps an index from being opened; other errors are handed back.
    fn of_damage(dir: &Path, error: Error) -> Result<Self, Error> {
        let mut report = Self::default();
        report.note(dir, error)?;
        Ok(report)
    }

    fn note(&mut self, dir: &Path, error: Error) -> Result<(), Error> {
        match error {
            Error::Corrupted { file, reason } => {
                let file = file.strip_prefix(dir).map(Path::to_path_buf).unwrap_or(file);
                let problem = VerifyProblem { file, reason };
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
                Ok(())
            }
            other => Err(other),
        }
    }
}

/// What the lexical half says of a chunk.
struct LexicalChunk {
    document_no: u64,
}

struct Verification<'a> {
    dir: &'a Path,
    snapshot: &'a Snapshot,
    report: VerifyReport,
}

impl<'a> Verification<'a> {
    fn of(dir: &'a Path, snapshot: &'a Snapshot) -> Result<Self, Error> {
        let report = VerifyReport { generation: snapshot.generation(), ..VerifyReport::default() };
        let mut verification = Self { dir, snapshot, report };
        verification.read_files()?;
        if verification.report.problems.is_empty() {
            let compared = verification.compare();
            verification.check(compared)?;
        }
        Ok(verification)
    }

    /// Notes damage and goes on; hands other errors back.
    fn check<T>(&mut self, result: Result<T, Error>) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => self.report.note(self.dir, error).map(|()| None),
        }
    }

    fn problem(&mut self, file: &Path, reason: String) {
        self.report.problems.push(VerifyProblem { file: file.to_path_buf(), reason });
    }

    fn read_files(&mut self) -> Result<(), Error> {
        let manifest = self.snapshot.manifest();
        // Both were read and compared with their hashes when the snapshot was opened.
        for file in [Path::new(LEXICAL_FOLDER).join(META_FILE), self.manifest_file()] {
            let bytes = std::fs::metadata(self.dir.join(&file)).map_or(0, |metadata| metadata.len());
            self.report.files.push(VerifiedFile { file, bytes });
        }
        let mut files: Vec<PathBuf> =
            manifest.dense_files().map(|file| Path::new(DENSE_FOLDER).join(&file.name)).collect();
        for file in &self.snapshot.lookup().files {
            let name = file.path().file_name().unwrap_or_default();
            files.push(Path::new(LEXICAL_FOLDER).join(name));
        }
        files.sort_unstable();
        for file in files {
            let read = crate::blocks::BlockFile::open(&self.dir.join(&file)).and_then(|opened| {
                opened.verify()?;
                Ok(opened.seal().bytes)
            });
            let read = read.map_err(crate::manifest::missing_is_corrupted);
            if let Some(bytes) = self.check(read)? {
                self.report.files.push(VerifiedFile { file, bytes });
            }
        }
        Ok(())
    }

    fn manifest_file(&self) -> PathBuf {
        PathBuf::from(Manifest::file_name(self.snapshot.generation()))
    }

    /// Compares the halves with each other and with the manifest.
    fn compare(&mut self) -> Result<(), Error> {
        let mut chunks = HashMap::new();
        for (segment, reader) in self.snapshot.lookup().searcher.segment_readers().iter().enumerate() {
            self.read_lexical(segment as u32, reader, &mut chunks)?;
        }
        self.report.lexical_chunks = chunks.len() as u64;
        for live in self.snapshot.dense_segments() {
            self.read_dense(live, &mut chunks)?;
        }
        if !chunks.is_empty() {
            let example = chunks.keys().min().copied().unwrap_or_default();
            let reason = format!("{} chunks have no row, chunk {example} for one", chunks.len());
            self.problem(Path::new(DENSE_FOLDER), reason);
        }
        let counts = self.snapshot.manifest().counts;
        let found = (self.report.documents, self.report.lexical_chunks, self.report.dense_rows);
        if found != (counts.documents, counts.chunks, counts.chunks) {
            let reason = format!(
                "it counts {} documents and {} chunks; found {} documents, {} chunks and {} rows",
                counts.documents, counts.chunks, found.0, found.1, found.2
            );
            self.problem(&self.manifest_file(), reason);
        }
        Ok(())
    }

    /// Gathers the chunks of a lexical segment, and checks its documents against their chunks.
    fn read_lexical(
        &mut self,
        segment: u32,
        reader: &SegmentReader,
        chunks: &mut HashMap<u64, LexicalChunk>,
    ) -> Result<(), Error> {
        let lookup = self.snapshot.lookup();
        let columns = Columns::open(reader, &lookup.folder)?;
        let heads = HeadColumns::open(reader, &lookup.folder)?;
        let file = Path::new(LEXICAL_FOLDER).join(reader.segment_id().uuid_string());
        for doc in reader.doc_ids_alive() {
            let document_no = columns.document_no(doc)?;
            if let Some(chunk_id) = columns.chunk_id.first(doc)
                && chunks.insert(chunk_id, LexicalChunk { document_no }).is_some()
            {
                self.problem(&file, format!("chunk {chunk_id} is there twice"));
            }
            if let Some(stated) = heads.chunks.first(doc) {
                self.report.documents += 1;
                self.check_document(lookup, segment, doc, stated, &file)?;
            }
        }
        Ok(())
    }

    fn check_document(
        &mut self,
        lookup: &Lookup,
        segment: u32,
        doc: DocId,
        stated: u64,
        file: &Path,
    ) -> Result<(), Error> {
        let id = lookup.document_at(DocAddress::new(segment, doc))?.id;
        match lookup.document(&id)? {
            None => self.problem(file, format!("document '{id}' cannot be found by its id")),
            Some(found) => {
                let ordinals: Vec<u64> = found.chunks.iter().map(|chunk| u64::from(chunk.ordinal)).collect();
                if ordinals != (0..stated).collect::<Vec<u64>>() {
                    self.problem(file, format!("document '{id}' has chunks {ordinals:?}, not the first {stated}"));
                }
            }
        }
        Ok(())
    }

    /// Takes the chunks of a dense segment's living rows out of `chunks`, and checks the rows.
    fn read_dense(&mut self, live: &LiveSegment, chunks: &mut HashMap<u64, LexicalChunk>) -> Result<(), Error> {
        let file =
            live.segment.file().path().strip_prefix(self.dir).unwrap_or(live.segment.file().path()).to_path_buf();
        let mut keys = BTreeMap::new();
        let mut last = None;
        for row in 0..live.segment.rows() {
            let label = live.segment.label(row)?;
            if last.is_some_and(|last| last >= label.chunk_id) {
                self.problem(&file, format!("row {row} is out of order"));
            }
            last = Some(label.chunk_id);
            let vector = live.segment.vectors(row..row + 1)?;
            let norm: f64 = vector.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
            if !(norm - 1.0).abs().le(&1e-3) {
                self.problem(&file, format!("row {row} has length {}, not 1", norm.sqrt()));
            }
            keys.entry(label.key).or_insert(row);
            if live.deleted.contains(row) {
                continue;
            }
            self.report.dense_rows += 1;
            match chunks.remove(&label.chunk_id) {
                None => self.problem(&file, format!("row {row} is of chunk {}, which is nowhere else", label.chunk_id)),
                Some(chunk) if chunk.document_no != label.document_no => {
                    self.problem(&file, format!("chunk {} is of another document here", label.chunk_id));
                }
                Some(_) => {}
            }
        }
        for (key, row) in keys {
            if live.segment.row_of_key(&key)?.is_none() {
                self.problem(&file, format!("row {row} cannot be found by its key"));
            }
        }
        Ok(())
    }
}
