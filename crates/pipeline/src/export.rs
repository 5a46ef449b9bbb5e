//! An index as a file for other programs, and for another index: documents with their chunks and, if wanted, vectors.
//!
//! A line of JSON is a document, a row of Parquet is a chunk; both go back into an index through [`ingest`](crate::ingest).

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use berth_index::{EmbeddedChunk, IndexReader, IndexSettings, StoredDocument};
use berth_types::{ContentKey, DocumentRecord, Embedding};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Error;
use crate::row_files::{Draft, PassageWriter};

/// Version of what stands under `berth` in a line.
const VERSION: u64 = 1;

/// What kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// A document a line.
    Jsonl,
    /// A chunk a row: `id` (document, `#`, ordinal), `text`, `embedding`, and what it takes to put documents together again.
    Parquet,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ExportReport {
    /// Documents.
    pub documents: u64,
    /// Their chunks.
    pub chunks: u64,
    /// Whether it was interrupted; then there is no file.
    pub interrupted: bool,
}

/// Writes the last commit of an index to the file `out`, which is there only once it is complete. Documents go one by one;
/// a writer may go on meanwhile.
///
/// # Errors
/// An index that is not there or damaged; a file that cannot be written.
pub fn export(
    index: &Path,
    out: &Path,
    format: ExportFormat,
    vectors: bool,
    cancel: &AtomicBool,
) -> Result<ExportReport, Error> {
    let snapshot = IndexReader::open(index)?.snapshot();
    let fingerprint = crate::fingerprint_hash(&snapshot.settings().fingerprint);
    let mut sink = match format {
        ExportFormat::Jsonl => Sink::lines(out, snapshot.settings(), &fingerprint, vectors)?,
        ExportFormat::Parquet => {
            let mark = serde_json::to_string(&Mark::of(snapshot.settings(), &fingerprint, None)).unwrap_or_default();
            Sink::Rows(Box::new(PassageWriter::create(out, mark)?))
        }
    };
    let mut report = ExportReport::default();
    for id in snapshot.document_ids("", usize::MAX)? {
        if cancel.load(Ordering::Relaxed) {
            return Ok(ExportReport { interrupted: true, ..report });
        }
        let Some(stored) = snapshot.document(&id)? else { continue };
        let chunks = snapshot.embedded_chunks(stored.document_no)?;
        report.documents += 1;
        report.chunks += chunks.len() as u64;
        sink.push(&stored, chunks)?;
    }
    sink.finish()?;
    Ok(report)
}

enum Sink<'a> {
    Lines { draft: Draft, file: BufWriter<File>, settings: &'a IndexSettings, fingerprint: &'a str, vectors: bool },
    Rows(Box<PassageWriter>),
}

/// A document, in the layout of BEIR collections with more beside it.
#[derive(Serialize)]
struct Line<'a> {
    _id: &'a str,
    title: &'a str,
    text: &'a str,
    metadata: &'a Map<String, Value>,
    source: Option<&'a str>,
    chunks: Vec<ChunkOfLine>,
    berth: Mark<'a>,
}

#[derive(Serialize)]
struct ChunkOfLine {
    start: usize,
    end: usize,
    tokens: u32,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<Vec<f32>>,
}

/// What the vectors are of, and what the index remembers of the document; tells a line of an export from others.
#[derive(Serialize)]
struct Mark<'a> {
    export: u64,
    model: &'a str,
    fingerprint: &'a str,
    window_tokens: usize,
    overlap_tokens: usize,
    #[serde(flatten)]
    record: Option<RecordOfLine<'a>>,
}

#[derive(Serialize)]
struct RecordOfLine<'a> {
    content_hash: &'a str,
    file: &'a str,
    modified_ns: i64,
}

impl<'a> Mark<'a> {
    fn of(settings: &'a IndexSettings, fingerprint: &'a str, record: Option<&'a DocumentRecord>) -> Self {
        let record = record.map(|record| RecordOfLine {
            content_hash: &record.content_hash,
            file: &record.file,
            modified_ns: record.modified_ns,
        });
        Self {
            export: VERSION,
            model: &settings.fingerprint.model,
            fingerprint,
            window_tokens: settings.window_tokens,
            overlap_tokens: settings.overlap_tokens,
            record,
        }
    }
}

impl<'a> Sink<'a> {
    fn lines(out: &Path, settings: &'a IndexSettings, fingerprint: &'a str, vectors: bool) -> Result<Self, Error> {
        let (draft, file) = Draft::create(out)?;
        Ok(Self::Lines { draft, file: BufWriter::new(file), settings, fingerprint, vectors })
    }

    fn push(&mut self, stored: &StoredDocument, chunks: Vec<EmbeddedChunk>) -> Result<(), Error> {
        let document = &stored.document;
        match self {
            Self::Lines { draft, file, settings, fingerprint, vectors } => {
                let line = Line {
                    _id: &document.id,
                    title: &document.title,
                    text: &document.text,
                    metadata: &document.metadata,
                    source: document.source.as_deref(),
                    chunks: chunks.into_iter().map(|chunk| ChunkOfLine::of(chunk, *vectors)).collect(),
                    berth: Mark::of(settings, fingerprint, Some(&stored.record)),
                };
                serde_json::to_writer(&mut *file, &line)
                    .map_err(std::io::Error::from)
                    .and_then(|()| file.write_all(b"\n"))
                    .map_err(draft.failed())
            }
            Self::Rows(rows) => rows.push(stored, chunks),
        }
    }

    fn finish(self) -> Result<(), Error> {
        match self {
            Self::Lines { draft, file, .. } => {
                let file = file.into_inner().map_err(std::io::IntoInnerError::into_error).map_err(draft.failed())?;
                draft.keep(&file)
            }
            Self::Rows(rows) => rows.finish(),
        }
    }
}

impl ChunkOfLine {
    fn of(embedded: EmbeddedChunk, vectors: bool) -> Self {
        let EmbeddedChunk { chunk, key, vector } = embedded;
        let key = key_text(&key);
        let (start, end) = (chunk.byte_range.start, chunk.byte_range.end);
        Self { start, end, tokens: chunk.tokens, key, vector: vectors.then_some(vector) }
    }
}

/// What a line of an export gives beside its document.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Exported {
    pub(crate) source: Option<String>,
    /// Vectors by what was embedded. The keys say of which model and row they are, so that one of another model, or of a
    /// text that was changed since, is never asked for.
    pub(crate) vectors: HashMap<ContentKey, Embedding>,
}

/// Takes out of a row what an export put beside the document; none when the row is of somebody else.
pub(crate) fn take_exported(row: &mut Map<String, Value>) -> Option<Exported> {
    if row.get("berth")?.get("export")?.as_u64()? != VERSION {
        return None;
    }
    row.remove("berth");
    let source = row.remove("source").and_then(|source| source.as_str().map(str::to_owned));
    let mut vectors = HashMap::new();
    for chunk in row.remove("chunks").as_ref().and_then(Value::as_array).into_iter().flatten() {
        if let (Some(key), Some(vector)) = (chunk["key"].as_str().and_then(content_key), embedding(&chunk["vector"])) {
            vectors.insert(key, vector);
        }
    }
    Some(Exported { source, vectors })
}

/// The vector in a list of numbers; none where it is no vector.
pub(crate) fn embedding(numbers: &Value) -> Option<Embedding> {
    let values = numbers.as_array()?.iter().map(|value| value.as_f64().map(|value| value as f32));
    Embedding::normalized(values.collect::<Option<Vec<f32>>>()?).ok()
}

/// A key as 32 hex digits.
pub(crate) fn key_text(key: &ContentKey) -> String {
    key.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 32 hex digits.
pub(crate) fn content_key(digits: &str) -> Option<ContentKey> {
    let number = u128::from_str_radix(digits, 16).ok()?;
    (digits.len() == 32).then(|| ContentKey(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(value: Value) -> Map<String, Value> {
        if let Value::Object(row) = value { row } else { panic!("{value}") }
    }

    #[test]
    fn a_line_gives_back_source_and_vectors_and_keeps_nothing() {
        let chunk = EmbeddedChunk {
            chunk: berth_types::Chunk { ordinal: 0, byte_range: 0..4, tokens: 1 },
            key: ContentKey([0xa5; 16]),
            vector: vec![0.6, 0.8],
        };
        let chunks = serde_json::to_value([ChunkOfLine::of(chunk.clone(), true)]).unwrap();
        let mut line = row(json!({"text": "text", "source": "a.txt", "chunks": chunks, "berth": {"export": 1}}));
        let exported = take_exported(&mut line).unwrap();
        assert_eq!(exported.source.as_deref(), Some("a.txt"));
        assert_eq!(exported.vectors[&chunk.key].as_slice(), [0.6, 0.8]);
        assert_eq!(line, row(json!({"text": "text"})));
    }

    #[test]
    fn rows_of_others_stay_as_they_are_and_broken_vectors_are_made_anew() {
        for theirs in
            [json!({"chunks": [1], "source": "s"}), json!({"berth": 4, "chunks": 2}), json!({"berth": {"export": 2}})]
        {
            let mut theirs = row(theirs);
            let before = theirs.clone();
            assert_eq!(take_exported(&mut theirs), None);
            assert_eq!(theirs, before);
        }
        let key = "a5".repeat(16);
        for chunk in [
            json!(7),
            json!({"key": key, "vector": []}),
            json!({"key": key, "vector": [1, "x"]}),
            json!({"key": key, "vector": [0.0, 0.0]}),
            json!({"key": "a5", "vector": [1.0]}),
            json!({"vector": [1.0]}),
        ] {
            let mut line = row(json!({"chunks": [chunk], "berth": {"export": 1}}));
            assert_eq!(take_exported(&mut line), Some(Exported::default()), "{line:?}");
        }
    }
}
