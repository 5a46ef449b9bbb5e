//! Reads every byte of an index and says what is wrong.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tantivy::{DocAddress, DocId, SegmentReader};

use crate::blocks::seal_text;
use crate::dense::LiveSegment;
use crate::directory::{LEXICAL_FOLDER, META_FILE, OpenFiles};
use crate::late::{self, TokenFile};
use crate::lookup::{Columns, HeadColumns, SegmentColumns};
use crate::manifest::{DENSE_FOLDER, Manifest};
use crate::reader::open_last;
use crate::{Alternate, Error, Snapshot, SparseRow, alternate, sparse, weights};

/// Chunk numbers that a problem prints: enough to see where they go wrong.
const ORDINALS_SHOWN: usize = 20;

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
    /// Token rows found alive; 0 in an index without.
    pub token_rows: u64,
    /// Sparse vectors found alive; 0 in an index without.
    pub sparse_vectors: u64,
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

/// Reads every byte of the last commit of the index in `dir`, and compares its halves; then those of its alternates.
///
/// Its files are held open while they are read, so that a writer may go on meanwhile.
///
/// # Errors
/// `NotFound`, `UnknownFormat`, `Io`. Damage is no error here but a problem in the report.
pub fn verify(dir: &Path) -> Result<VerifyReport, Error> {
    let mut report = match open_last(dir, &Arc::new(OpenFiles::default())) {
        Ok(snapshot) => Verification::of(dir, &snapshot).map(|verification| verification.report)?,
        Err(error) => VerifyReport::of_damage(dir, error)?,
    };
    for checked in [weights::check(dir), alternate::check(dir)] {
        if let Err(error) = checked {
            report.note(dir, error)?;
        }
    }
    for which in [Alternate::Next, Alternate::Former] {
        // A damaged plan of an exchange is noted above.
        let Ok(Some(place)) = alternate::find_alternate(dir, which) else { continue };
        let within = place.strip_prefix(dir).unwrap_or(&place);
        let of_alternate = verify(&place)?;
        report
            .files
            .extend(of_alternate.files.into_iter().map(|file| VerifiedFile { file: within.join(file.file), ..file }));
        let problems = of_alternate.problems.into_iter();
        report.problems.extend(problems.map(|problem| VerifyProblem { file: within.join(problem.file), ..problem }));
    }
    Ok(report)
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
        // These were read and compared with their hashes when the snapshot was opened.
        let meta_bytes = seal_text(META_FILE, self.snapshot.meta()).len() as u64;
        self.report.files.push(VerifiedFile { file: Path::new(LEXICAL_FOLDER).join(META_FILE), bytes: meta_bytes });
        let manifest_bytes = manifest.serialized().0.len() as u64;
        self.report.files.push(VerifiedFile { file: self.manifest_file(), bytes: manifest_bytes });
        for (file, _) in self.snapshot.texts().named(&manifest.beside) {
            self.report.files.push(VerifiedFile { file: PathBuf::from(&file.name), bytes: file.bytes });
        }
        // What the snapshot holds open, not what the paths lead to: a newer commit may have removed them.
        for opened in self.snapshot.block_files() {
            if self.check(opened.verify())?.is_some() {
                let file = opened.path().strip_prefix(self.dir).unwrap_or(opened.path()).to_path_buf();
                self.report.files.push(VerifiedFile { file, bytes: opened.seal().bytes });
            }
        }
        Ok(())
    }

    fn manifest_file(&self) -> PathBuf {
        PathBuf::from(Manifest::file_name(self.snapshot.generation()))
    }

    /// Compares the halves with each other and with the manifest.
    fn compare(&mut self) -> Result<(), Error> {
        let mut document_of_chunk = HashMap::new();
        let mut columns = SegmentColumns::of(self.snapshot.lookup());
        for (segment, reader) in self.snapshot.lookup().searcher.segment_readers().iter().enumerate() {
            self.read_lexical(segment as u32, reader, &mut columns, &mut document_of_chunk)?;
        }
        self.report.lexical_chunks = document_of_chunk.len() as u64;
        for live in self.snapshot.dense_segments() {
            self.read_dense(live, &mut document_of_chunk)?;
        }
        if let Some(example) = document_of_chunk.keys().min() {
            let reason = format!("{} chunks have no row, chunk {example} for one", document_of_chunk.len());
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
        all_columns: &mut SegmentColumns,
        document_of_chunk: &mut HashMap<u64, u64>,
    ) -> Result<(), Error> {
        let lookup = self.snapshot.lookup();
        let columns = Columns::open(reader, &lookup.folder)?;
        let heads = HeadColumns::open(reader, &lookup.folder)?;
        let file = Path::new(LEXICAL_FOLDER).join(reader.segment_id().uuid_string());
        let sparse = lookup.schema.sparse;
        let pieces = sparse.map(|fields| sparse::count_pieces(lookup, reader, fields)).transpose()?.unwrap_or_default();
        for doc in reader.doc_ids_alive() {
            let document_no = columns.document_no(doc)?;
            if let Some(chunk_id) = columns.chunk_id.first(doc) {
                if document_of_chunk.insert(chunk_id, document_no).is_some() {
                    self.problem(&file, format!("chunk {chunk_id} is there twice"));
                }
                if let Some(fields) = sparse {
                    let SparseRow { vector, .. } = sparse::vector_at(lookup, fields, DocAddress::new(segment, doc))?;
                    let impacts = vector.pieces().iter().map(|&(_, impact)| u64::from(impact)).sum();
                    if pieces[doc as usize] != (vector.pieces().len(), impacts) {
                        self.problem(&file, format!("chunk {chunk_id} has another sparse vector in the postings"));
                    }
                    self.report.sparse_vectors += 1;
                }
            }
            if let Some(stated) = heads.chunks.first(doc) {
                self.report.documents += 1;
                self.check_document(all_columns, (segment, doc), document_no, stated, &file)?;
            }
        }
        Ok(())
    }

    fn check_document(
        &mut self,
        columns: &mut SegmentColumns,
        (segment, doc): (u32, DocId),
        document_no: u64,
        stated: u64,
        file: &Path,
    ) -> Result<(), Error> {
        let lookup = self.snapshot.lookup();
        let head = DocAddress::new(segment, doc);
        let document = lookup.document_at(head)?;
        let id = &document.id;
        if lookup.head_of(id)? != Some(head) {
            self.problem(file, format!("document '{id}' cannot be found by its id"));
            return Ok(());
        }
        let found = lookup.chunks_of(columns, document_no, &document)?;
        if !found.iter().map(|chunk| u64::from(chunk.ordinal)).eq(0..stated) {
            let ordinals: Vec<u32> = found.iter().map(|chunk| chunk.ordinal).take(ORDINALS_SHOWN).collect();
            let reason = format!("document '{id}' has {} chunks {ordinals:?}…, not the first {stated}", found.len());
            self.problem(file, reason);
        }
        Ok(())
    }

    /// Takes the chunks of a dense segment's living rows out of `chunks`, and checks the rows.
    fn read_dense(&mut self, live: &LiveSegment, document_of_chunk: &mut HashMap<u64, u64>) -> Result<(), Error> {
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
            if let Some(tokens) = &live.tokens {
                let count = self.read_tokens(tokens, row)?;
                self.report.token_rows += if live.deleted.contains(row) { 0 } else { count };
            }
            if live.deleted.contains(row) {
                continue;
            }
            self.report.dense_rows += 1;
            match document_of_chunk.remove(&label.chunk_id) {
                None => self.problem(&file, format!("row {row} is of chunk {}, which is nowhere else", label.chunk_id)),
                Some(document_no) if document_no != label.document_no => {
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

impl Verification<'_> {
    /// Checks the token rows of the chunk in this row. Returns how many they are.
    fn read_tokens(&mut self, tokens: &TokenFile, row: usize) -> Result<u64, Error> {
        let count = tokens.count(row)?;
        let dimensions = self.snapshot.settings().tokens.as_ref().map_or(0, |tokens| tokens.dimensions);
        let norm = |(values, scale): (&[i8], &f32)| {
            let squares: i64 = values.iter().map(|&value| i64::from(value) * i64::from(value)).sum();
            (squares as f64).sqrt() * f64::from(*scale)
        };
        // A value is off by half a step at most, and a step is 1/127 of the largest, which is at most 1.
        let tolerance = (dimensions as f64).sqrt() / 254.0 + 1e-3;
        let sound = late::decode(tokens.rows(row)?, dimensions).is_some_and(|rows| {
            let mut norms = rows.values().chunks_exact(dimensions).zip(rows.scales()).map(norm);
            norms.all(|norm| (norm - 1.0).abs() <= tolerance)
        });
        if !sound {
            let file = tokens.file().path().strip_prefix(self.dir).unwrap_or(tokens.file().path()).to_path_buf();
            self.problem(&file, format!("token rows of row {row} are not of length 1"));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash_tests::{put, settings};
    use crate::{IndexReader, IndexWriter};

    #[test]
    fn a_commit_is_verified_to_its_end_while_a_writer_removes_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = IndexWriter::create_or_open(dir.path(), &settings()).unwrap();
        put(&mut writer, "a", "some text").unwrap();
        put(&mut writer, "b", "other text").unwrap();
        put(&mut writer, "c", "more text").unwrap();
        writer.commit().unwrap();
        writer.remove("a").unwrap();
        writer.commit().unwrap();
        let snapshot = IndexReader::open(dir.path()).unwrap().snapshot();
        for id in ["b", "c"] {
            writer.remove(id).unwrap();
            put(&mut writer, "d", "the last text").unwrap();
            writer.commit().unwrap();
        }
        writer.finish().unwrap();
        let report = Verification::of(dir.path(), &snapshot).unwrap().report;
        assert_eq!(report.problems, []);
        assert_eq!((report.generation, report.documents, report.dense_rows), (3, 2, 4));
        let gone = report.files.iter().filter(|file| !dir.path().join(&file.file).exists()).count();
        assert!(gone > 2 && report.files.iter().all(|file| file.bytes > 0), "{:?}", report.files);
    }

    #[test]
    fn lengths_are_those_on_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = IndexWriter::create_or_open(dir.path(), &settings()).unwrap();
        put(&mut writer, "a", "some text").unwrap();
        writer.finish().unwrap();
        for file in verify(dir.path()).unwrap().files {
            assert_eq!(file.bytes, std::fs::metadata(dir.path().join(&file.file)).unwrap().len(), "{file:?}");
        }
    }
}
