//! Documents out of Parquet files: rows as of JSONL, or the passages of an export put together again.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;

use berth_types::{ContentKey, Document, Embedding};
use serde_json::{Map, Value};

use super::{Item, Problem, modified_ns, path_text, record_of, row_document};
use crate::export::{content_key, embedding};
use crate::row_files::read_parquet;

/// Columns by which a row is known as a passage of an export.
const OF_AN_EXPORT: [&str; 5] = ["document", "ordinal", "start", "before", "after"];

/// Whether a file is rows of Parquet, by its name.
pub(super) fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("parquet"))
}

pub(super) fn read(path: &Path, emit: &mut dyn FnMut(Item) -> bool) -> io::Result<()> {
    let file = File::open(path)?;
    let (modified_ns, file_bytes) = (modified_ns(&file), file.metadata()?.len());
    let place = path_text(path);
    let mut reading = Reading { place: &place, modified_ns, draft: None, open: true, emit };
    let outcome = read_parquet(file, &mut |(number, row)| {
        reading.take(number, row);
        reading.open
    });
    reading.end_document();
    if !reading.open {
        return Ok(());
    }
    if let Err(reason) = outcome {
        let problem = Problem { place: place.clone(), reason: format!("{reason}; the rest is skipped"), lost: true };
        (reading.emit)(Item::Problem { problem, bytes: file_bytes });
    }
    Ok(())
}

struct Reading<'a> {
    place: &'a str,
    modified_ns: i64,
    draft: Option<Draft>,
    open: bool,
    emit: &'a mut dyn FnMut(Item) -> bool,
}

/// A document whose passages are coming.
struct Draft {
    document: Document,
    vectors: HashMap<ContentKey, Embedding>,
    passages: u64,
    after: String,
    /// What is wrong with it.
    fault: Option<String>,
    row: u64,
}

impl Reading<'_> {
    fn take(&mut self, number: u64, row: Map<String, Value>) {
        if !OF_AN_EXPORT.iter().all(|column| row.contains_key(*column)) {
            self.end_document();
            let place = format!("{}:{number}", self.place);
            match row_document(row, &place, self.place) {
                Ok((document, vectors)) => self.emit_document(document, vectors),
                Err(reason) => self.problem(place, &format!("{reason}; row skipped")),
            }
            return;
        }
        let id = row["document"].as_str().unwrap_or_default();
        if self.draft.as_ref().is_none_or(|draft| draft.document.id != id) {
            self.end_document();
            self.draft = Some(Draft::of(id, number, &row));
        }
        if let Some(draft) = &mut self.draft
            && draft.fault.is_none()
        {
            draft.fault = draft.append(&row).err();
        }
    }

    fn end_document(&mut self) {
        let Some(mut draft) = self.draft.take() else { return };
        if let Some(fault) = draft.fault {
            let place = format!("{}:{}", self.place, draft.row);
            return self.problem(place, &format!("document '{}': {fault}; document skipped", draft.document.id));
        }
        draft.document.text.push_str(&draft.after);
        if draft.document.source.is_none() {
            draft.document.source = Some(self.place.to_owned());
        }
        self.emit_document(draft.document, draft.vectors);
    }

    fn emit_document(&mut self, document: Document, vectors: HashMap<ContentKey, Embedding>) {
        if self.open {
            let record = record_of(&document, self.place.to_owned(), self.modified_ns);
            // Rows do not say what they take of the file; its vectors are not the least of it.
            let bytes = document.text.len() as u64;
            self.open = (self.emit)(Item::Document { document, record, bytes, vectors });
        }
    }

    fn problem(&mut self, place: String, reason: &str) {
        if self.open {
            let problem = Problem { place, reason: reason.to_owned(), lost: true };
            self.open = (self.emit)(Item::Problem { problem, bytes: 0 });
        }
    }
}

impl Draft {
    fn of(id: &str, number: u64, row: &Map<String, Value>) -> Self {
        let text = |column: &str| row.get(column).and_then(Value::as_str).unwrap_or_default();
        let (metadata, metadata_fault) = match text("metadata") {
            "" => (Map::new(), None),
            json => match serde_json::from_str(json) {
                Ok(metadata) => (metadata, None),
                Err(_) => (Map::new(), Some("\"metadata\" is no JSON object".to_owned())),
            },
        };
        let fault = if id.is_empty() { Some("\"document\" is no text, or empty".to_owned()) } else { metadata_fault };
        let source = Some(text("source")).filter(|source| !source.is_empty()).map(str::to_owned);
        let document =
            Document { id: id.to_owned(), title: text("title").to_owned(), text: String::new(), metadata, source };
        Self { document, vectors: HashMap::new(), passages: 0, after: String::new(), fault, row: number }
    }

    /// Adds the part of a passage that those above do not have.
    fn append(&mut self, row: &Map<String, Value>) -> Result<(), String> {
        let text = |column: &str| row.get(column).and_then(Value::as_str).ok_or(format!("\"{column}\" is no text"));
        let number = |column: &str| row.get(column).and_then(Value::as_u64).ok_or(format!("\"{column}\" is no number"));
        if number("ordinal")? != self.passages {
            return Err(format!("passage {} is not there, or not in its place", self.passages));
        }
        self.passages += 1;
        self.document.text.push_str(text("before")?);
        let known = (self.document.text.len() as u64).checked_sub(number("start")?);
        let known = known.ok_or("a part of the text before a passage is missing")?;
        // A passage may lie inside what those above have.
        let passage = text("text")?;
        let part = passage.get(passage.len().min(known as usize)..);
        self.document.text.push_str(part.ok_or("a passage overlaps the one above inside a character")?);
        text("after")?.clone_into(&mut self.after);
        let key = row.get("key").and_then(Value::as_str).and_then(content_key);
        if let (Some(key), Some(vector)) = (key, row.get("embedding").and_then(embedding)) {
            self.vectors.insert(key, vector);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use berth_index::{EmbeddedChunk, StoredDocument};
    use berth_types::{Chunk, DocumentRecord};
    use serde_json::json;

    use super::*;
    use crate::row_files::{Dtype, FileRow, PassageWriter, RowFormat, RowWriter};

    fn read_all(path: &Path) -> (Vec<(Document, usize)>, Vec<String>) {
        let (mut documents, mut problems) = (Vec::new(), Vec::new());
        read(path, &mut |item| {
            match item {
                Item::Document { document, vectors, .. } => documents.push((document, vectors.len())),
                Item::Problem { problem, .. } => problems.push(format!("{}: {}", problem.place, problem.reason)),
                Item::Binary { .. } => {}
            }
            true
        })
        .unwrap();
        (documents, problems)
    }

    fn stored(id: &str, text: &str, ranges: &[std::ops::Range<usize>]) -> (StoredDocument, Vec<EmbeddedChunk>) {
        let metadata = json!({"year": 1999, "tags": ["a", "b"]}).as_object().unwrap().clone();
        let (title, source) = ("A title".to_owned(), Some("there.txt".to_owned()));
        let document = Document { id: id.to_owned(), title, text: text.to_owned(), metadata, source };
        let chunks = ranges.iter().enumerate().map(|(ordinal, range)| EmbeddedChunk {
            chunk: Chunk { ordinal: ordinal as u32, byte_range: range.clone(), tokens: 2 },
            key: ContentKey([ordinal as u8 + 1; 16]),
            vector: vec![0.6, 0.8],
        });
        let record = DocumentRecord::default();
        (StoredDocument { document_no: 0, document, record, chunks: Vec::new() }, chunks.collect())
    }

    fn write(path: &Path, documents: &[(StoredDocument, Vec<EmbeddedChunk>)]) {
        let mut writer = PassageWriter::create(path, "{}".to_owned()).unwrap();
        for (stored, chunks) in documents {
            writer.push(stored, chunks.clone()).unwrap();
        }
        writer.finish().unwrap();
    }

    fn three() -> Vec<(StoredDocument, Vec<EmbeddedChunk>)> {
        vec![
            stored("overlapping", "  eins zwei drei vier\n", &[2..11, 7..16, 12..21]),
            stored("gaps and ß", "ÄÄ  öö\n\nüü", &[0..4, 6..10, 12..16]),
            stored("inside", "abcdef", &[0..6, 2..4]),
        ]
    }

    #[test]
    fn documents_are_put_together_from_their_passages() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        write(&path, &three());
        let (documents, problems) = read_all(&path);
        assert_eq!(problems, [""; 0]);
        assert_eq!(documents.len(), 3);
        for ((document, vectors), (stored, chunks)) in documents.iter().zip(three()) {
            assert_eq!((document, *vectors), (&stored.document, chunks.len()));
        }
    }

    #[test]
    fn passages_that_are_missing_lose_one_document_and_say_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        let mut documents = three();
        documents[1].1.remove(1);
        write(&path, &documents);
        let (documents, problems) = read_all(&path);
        assert_eq!(
            documents.iter().map(|(document, _)| document.id.as_str()).collect::<Vec<_>>(),
            ["overlapping", "inside"]
        );
        assert!(
            problems.len() == 1 && problems[0].contains("gaps and ß") && problems[0].contains(":4: "),
            "{problems:?}"
        );
    }

    #[test]
    fn other_rows_are_documents_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        let mut writer = RowWriter::create(&path, RowFormat::Parquet, Dtype::Int8, 2).unwrap();
        writer.push(FileRow { id: "x".into(), text: "text".into(), values: Dtype::Int8.values(&[0.6, 0.8]) }).unwrap();
        writer.finish().unwrap();
        let (documents, problems) = read_all(&path);
        assert_eq!((documents[0].0.id.as_str(), documents[0].0.text.as_str(), problems.len()), ("x", "text", 0));
        assert_eq!(documents[0].1, 0, "a vector without a key is of nobody knows what");
    }

    #[test]
    fn damaged_and_foreign_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        write(&path, &three());
        let sound = fs::read(&path).unwrap();
        let check = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let (documents, problems) = read_all(&path);
            assert!(problems.iter().all(|problem| problem.contains("a.parquet")), "{problems:?}");
            (documents, problems)
        };
        for length in [0, 3, 4, sound.len() / 2, sound.len() - 1] {
            let (documents, problems) = check(&sound[..length]);
            assert!(documents.is_empty() && problems.len() == 1, "cut to {length}: {problems:?}");
        }
        assert_eq!(check(b"no Parquet at all, but a longer text").1.len(), 1);
        // Whatever a flipped bit makes of it: documents, problems, but no end of the process.
        for place in (0..sound.len()).step_by(7) {
            let mut flipped = sound.clone();
            flipped[place] ^= 1 << (place % 8);
            check(&flipped);
        }
    }
}
