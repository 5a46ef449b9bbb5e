//! Passages of an index as rows, with all that it takes to put their documents together again.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use berth_index::{EmbeddedChunk, StoredDocument};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::{BYTES_AT_ONCE, ROWS_AT_ONCE, Written, column, system, write_flat, write_vectors};
use crate::row_files::{Draft, Dtype, FileRow};
use crate::{Error, export};

/// What the index was built with, as JSON, among the file's own key and value pairs.
const MARK: &str = "berth";

/// `before` is what of the document's text stands before a passage and in none above, `after` what stands behind the last.
const SCHEMA: &str = "message passages {
    required binary id (UTF8); required binary text (UTF8);
    required group embedding (LIST) { repeated group list { required float element; } }
    required binary document (UTF8); required int32 ordinal; required int64 start; required int64 end;
    required int32 tokens; required binary key (UTF8); required binary title (UTF8); required binary source (UTF8);
    required binary metadata (UTF8); required binary before (UTF8); required binary after (UTF8); }";

struct Passage {
    row: FileRow,
    document: String,
    ordinal: i32,
    start: i64,
    end: i64,
    tokens: i32,
    key: String,
    title: String,
    source: String,
    metadata: String,
    before: String,
    after: String,
}

/// Writes the passages of documents to a file that is there only once it is complete.
pub(crate) struct PassageWriter {
    draft: Draft,
    writer: SerializedFileWriter<File>,
    rows: Vec<Passage>,
    bytes: usize,
}

impl PassageWriter {
    pub(crate) fn create(out: &Path, mark: String) -> Result<Self, Error> {
        let (draft, file) = Draft::create(out)?;
        let writer = parse_message_type(SCHEMA).and_then(|schema| {
            let pairs = vec![KeyValue::new(MARK.to_owned(), mark)];
            let properties = WriterProperties::builder().set_dictionary_enabled(false);
            let properties = properties.set_key_value_metadata(Some(pairs)).build();
            SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))
        });
        let writer = writer.map_err(|error| draft.failed()(system(error)))?;
        Ok(Self { draft, writer, rows: Vec::new(), bytes: 0 })
    }

    /// Adds the passages of a document; of one without text there are none.
    pub(crate) fn push(&mut self, stored: &StoredDocument, chunks: Vec<EmbeddedChunk>) -> Result<(), Error> {
        let document = &stored.document;
        let text = document.text.as_str();
        let (count, mut covered) = (chunks.len(), 0);
        for (place, EmbeddedChunk { chunk, key, vector }) in chunks.into_iter().enumerate() {
            let range = chunk.byte_range;
            let before = text.get(covered..range.start.max(covered)).unwrap_or_default().to_owned();
            covered = covered.max(range.end);
            let after =
                if place + 1 == count { text.get(covered..).unwrap_or_default().to_owned() } else { String::new() };
            let metadata = if place == 0 && !document.metadata.is_empty() {
                serde_json::to_string(&document.metadata).unwrap_or_default()
            } else {
                String::new()
            };
            let row = FileRow {
                id: format!("{}#{}", document.id, chunk.ordinal).into(),
                text: text.get(range.clone()).unwrap_or_default().to_owned(),
                values: Dtype::F32.values(&vector),
            };
            self.bytes += row.text.len() + metadata.len() + before.len() + after.len() + 4 * vector.len();
            self.rows.push(Passage {
                row,
                document: document.id.clone(),
                ordinal: chunk.ordinal as i32,
                start: range.start as i64,
                end: range.end as i64,
                tokens: chunk.tokens as i32,
                key: export::key_text(&key),
                title: document.title.clone(),
                source: document.source.clone().unwrap_or_default(),
                metadata,
                before,
                after,
            });
            if self.rows.len() == ROWS_AT_ONCE || self.bytes >= BYTES_AT_ONCE {
                self.flush()?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.flush()?;
        let file = self.writer.into_inner().map_err(|error| self.draft.failed()(system(error)))?;
        self.draft.keep(&file)
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let passages = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let written = self.writer.next_row_group().and_then(|mut group| {
            write(&mut group, passages)?;
            group.close().map(|_| ())
        });
        written.map_err(|error| self.draft.failed()(system(error)))
    }
}

/// The columns, in the order of the schema.
fn write(group: &mut SerializedRowGroupWriter<'_, File>, passages: Vec<Passage>) -> Written {
    let mut texts: HashMap<&str, Vec<ByteArray>> = HashMap::new();
    let (mut rows, mut ordinals, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for passage in passages {
        let id = passage.row.id.as_str().unwrap_or_default().to_owned();
        for (name, text) in [
            ("id", id),
            ("text", passage.row.text.clone()),
            ("document", passage.document),
            ("key", passage.key),
            ("title", passage.title),
            ("source", passage.source),
            ("metadata", passage.metadata),
            ("before", passage.before),
            ("after", passage.after),
        ] {
            texts.entry(name).or_default().push(ByteArray::from(text.into_bytes()));
        }
        ordinals.push(passage.ordinal);
        tokens.push(passage.tokens);
        starts.push(passage.start);
        ends.push(passage.end);
        rows.push(passage.row);
    }
    let text = |group: &mut SerializedRowGroupWriter<'_, File>, name: &str| {
        column(group, |writer| write_flat::<ByteArrayType>(writer, &texts[name]))
    };
    text(group, "id")?;
    text(group, "text")?;
    column(group, |writer| write_vectors(writer, &rows))?;
    text(group, "document")?;
    column(group, |writer| write_flat::<Int32Type>(writer, &ordinals))?;
    column(group, |writer| write_flat::<Int64Type>(writer, &starts))?;
    column(group, |writer| write_flat::<Int64Type>(writer, &ends))?;
    column(group, |writer| write_flat::<Int32Type>(writer, &tokens))?;
    for name in ["key", "title", "source", "metadata", "before", "after"] {
        text(group, name)?;
    }
    Ok(())
}
