//! Finds documents and chunks in the lexical half by their numbers and ids, and reads what their heads carry.

use std::collections::{BTreeMap, BinaryHeap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_types::{Chunk, Document, DocumentRecord, Language};
use tantivy::columnar::{Column, StrColumn};
use tantivy::schema::IndexRecordOption;
use tantivy::schema::document::{
    DeserializeError, DocumentDeserialize, DocumentDeserializer, ValueDeserialize, ValueDeserializer,
};
use tantivy::{DocAddress, DocId, DocSet, Searcher, SegmentOrdinal, SegmentReader, TERMINATED, Term};

use crate::blocks::BlockFile;
use crate::schema::{LexicalSchema, column};
use crate::{Error, StoredChunk, StoredDocument, StoredPassage, stored};

/// A searcher over one commit, with the schema it is read by.
#[derive(Clone)]
pub(crate) struct Lookup {
    pub(crate) searcher: Searcher,
    pub(crate) schema: LexicalSchema,
    /// Folder of the lexical half, to name it in errors.
    pub(crate) folder: PathBuf,
    /// Every file of the segments, held open so that it can be read for as long as the searcher lives.
    pub(crate) files: Vec<Arc<BlockFile>>,
}

/// A document's number and record, as the columns have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) document_no: u64,
    pub(crate) record: DocumentRecord,
}

impl Lookup {
    /// One chunk with its document.
    pub(crate) fn chunk(&self, chunk_id: u64) -> Result<Option<StoredChunk>, Error> {
        let Some(place) = self.place_of(chunk_id)? else { return Ok(None) };
        let document = self.document_at(place.head)?;
        self.check_range(place.reader, &document, &place.chunk)?;
        Ok(Some(StoredChunk { chunk_id, document_no: place.document_no, chunk: place.chunk, document }))
    }

    /// One chunk with its text, and what names its document; the rest of the document is not decoded.
    pub(crate) fn passage(&self, chunk_id: u64) -> Result<Option<StoredPassage>, Error> {
        let Some(ChunkPlace { reader, head, document_no, chunk }) = self.place_of(chunk_id)? else { return Ok(None) };
        let StoredBytes(bytes) = self.searcher.doc(head)?;
        let Some(passage) = stored::decode_passage(&bytes, chunk.byte_range.clone()) else {
            return Err(self.wrong(reader, format!("the document of chunk {chunk_id} cannot be decoded")));
        };
        let stored::Passage { id, title, text, source } = passage;
        Ok(Some(StoredPassage { chunk_id, document_no, chunk, id, title, source, text }))
    }

    /// The position of each chunk among those of its document, in their order; `None` for a chunk that is not there.
    pub(crate) fn ordinals(&self, chunk_ids: &[u64]) -> Result<Vec<Option<u32>>, Error> {
        let mut columns = SegmentColumns::of(self);
        let mut ordinal = |&chunk_id: &u64| {
            let Some(&address) = self.alive(&self.schema.chunk_term(chunk_id))?.first() else { return Ok(None) };
            Ok(Some(columns.get(address.segment_ord)?.chunk(address.doc_id)?.ordinal))
        };
        chunk_ids.iter().map(&mut ordinal).collect()
    }

    fn place_of(&self, chunk_id: u64) -> Result<Option<ChunkPlace<'_>>, Error> {
        let Some(&address) = self.alive(&self.schema.chunk_term(chunk_id))?.first() else { return Ok(None) };
        let reader = self.searcher.segment_reader(address.segment_ord);
        let columns = Columns::open(reader, &self.folder)?;
        let (document_no, chunk) = (columns.document_no(address.doc_id)?, columns.chunk(address.doc_id)?);
        let Some(&head) = self.alive(&self.schema.head_term(document_no))?.first() else {
            return Err(self.wrong(reader, format!("chunk {chunk_id} has no document")));
        };
        Ok(Some(ChunkPlace { reader, head, document_no, chunk }))
    }

    /// One document with its record and chunks.
    pub(crate) fn document(&self, id: &str) -> Result<Option<StoredDocument>, Error> {
        let Some(head) = self.head_of(id)? else { return Ok(None) };
        let reader = self.searcher.segment_reader(head.segment_ord);
        let document = self.document_at(head)?;
        if document.id != id {
            return Err(self.wrong(reader, format!("'{id}' leads to another document")));
        }
        let mut columns = SegmentColumns::of(self);
        let document_no = columns.get(head.segment_ord)?.document_no(head.doc_id)?;
        let record = HeadColumns::open(reader, &self.folder)?.record(head.doc_id)?;
        let chunks = self.chunks_of(&mut columns, document_no, &document)?;
        Ok(Some(StoredDocument { document_no, document, record, chunks }))
    }

    /// Where the head of a document is, by its id.
    pub(crate) fn head_of(&self, id: &str) -> Result<Option<DocAddress>, Error> {
        Ok(self.alive(&self.schema.id_term(id))?.first().copied())
    }

    /// The number of a document, by its id.
    pub(crate) fn number_of(&self, id: &str) -> Result<Option<u64>, Error> {
        let Some(head) = self.head_of(id)? else { return Ok(None) };
        let columns = Columns::open(self.searcher.segment_reader(head.segment_ord), &self.folder)?;
        columns.document_no(head.doc_id).map(Some)
    }

    /// The language of a document, by its id, where it is known and has stems.
    pub(crate) fn language_of(&self, id: &str) -> Result<Option<Language>, Error> {
        let Some(head) = self.head_of(id)? else { return Ok(None) };
        let code = self.text_of(column::LANGUAGE, head)?;
        Ok(code.and_then(|code| code.parse().ok()))
    }

    /// The number of the chunk with which a document begins.
    pub(crate) fn first_chunk(&self, document_no: u64) -> Result<Option<u64>, Error> {
        let Some(&head) = self.alive(&self.schema.head_term(document_no))?.first() else { return Ok(None) };
        // The head stands in the first chunk's entry, or alone where there is none.
        let columns = Columns::open(self.searcher.segment_reader(head.segment_ord), &self.folder)?;
        Ok(columns.chunk_id.first(head.doc_id))
    }

    /// The chunks of a document by ordinal, each inside its text.
    pub(crate) fn chunks_of(
        &self,
        columns: &mut SegmentColumns,
        document_no: u64,
        document: &Document,
    ) -> Result<Vec<Chunk>, Error> {
        let mut chunks = Vec::new();
        for address in self.alive(&self.schema.document_term(document_no))? {
            let columns = columns.get(address.segment_ord)?;
            if columns.chunk_id.first(address.doc_id).is_some() {
                let chunk = columns.chunk(address.doc_id)?;
                self.check_range(self.searcher.segment_reader(address.segment_ord), document, &chunk)?;
                chunks.push(chunk);
            }
        }
        chunks.sort_unstable_by_key(|chunk| chunk.ordinal);
        Ok(chunks)
    }

    /// The id of a document by its number; reads a column, not the stored text.
    pub(crate) fn id_of(&self, document_no: u64) -> Result<Option<String>, Error> {
        let Some(&head) = self.alive(&self.schema.head_term(document_no))?.first() else { return Ok(None) };
        self.text_of(column::ID, head)
    }

    /// The value of an entry in a column of texts.
    fn text_of(&self, column: &str, entry: DocAddress) -> Result<Option<String>, Error> {
        let reader = self.searcher.segment_reader(entry.segment_ord);
        let Some(column) = reader.fast_fields().str(column)? else { return Ok(None) };
        let Some(ord) = column.term_ords(entry.doc_id).next() else { return Ok(None) };
        let mut text = String::new();
        let found = column.ord_to_str(ord, &mut text).map_err(|error| Error::io("read", &self.folder, error))?;
        Ok(found.then_some(text))
    }

    /// At most `limit` ids that end with `suffix`, sorted.
    pub(crate) fn ids(&self, suffix: &str, limit: usize) -> Result<Vec<String>, Error> {
        let mut ids = Vec::new();
        for reader in self.searcher.segment_readers() {
            let Some(column) = reader.fast_fields().str(column::ID)? else { continue };
            for_each_text(&column, reader.doc_ids_alive(), |_, id| {
                if id.ends_with(suffix) {
                    ids.push(id.to_string());
                }
            })
            .map_err(|error| Error::io("read", &self.folder, error))?;
        }
        ids.sort_unstable();
        ids.truncate(limit);
        Ok(ids)
    }

    /// The first `limit` ids behind `after`, sorted. Reads a column only.
    pub(crate) fn ids_after(&self, after: &str, limit: usize) -> Result<Vec<String>, Error> {
        let mut first: BinaryHeap<String> = BinaryHeap::new();
        for reader in self.searcher.segment_readers() {
            let Some(column) = reader.fast_fields().str(column::ID)? else { continue };
            for_each_text(&column, reader.doc_ids_alive(), |_, id| {
                let is_full = first.len() >= limit;
                if id > after && (!is_full || first.peek().is_some_and(|last| id < last.as_str())) {
                    first.push(id.to_owned());
                    if is_full {
                        first.pop();
                    }
                }
            })
            .map_err(|error| Error::io("read", &self.folder, error))?;
        }
        Ok(first.into_sorted_vec())
    }

    /// Every document with its number and record. Reads columns only.
    pub(crate) fn known(&self) -> Result<BTreeMap<String, Known>, Error> {
        let mut known = BTreeMap::new();
        for reader in self.searcher.segment_readers() {
            let columns = Columns::open(reader, &self.folder)?;
            let heads = HeadColumns::open(reader, &self.folder)?;
            let Some(ids) = &heads.id else { continue };
            let mut found: Vec<(DocId, String)> = Vec::new();
            for_each_text(ids, reader.doc_ids_alive(), |doc, id| found.push((doc, id.to_string())))
                .map_err(|error| Error::io("read", &self.folder, error))?;
            let hashes = texts(heads.content_hash.as_ref(), reader, &self.folder)?;
            let files = texts(heads.file.as_ref(), reader, &self.folder)?;
            for (doc, id) in found {
                let record = DocumentRecord {
                    content_hash: hashes.get(&doc).cloned().unwrap_or_default(),
                    file: files.get(&doc).cloned().unwrap_or_default(),
                    modified_ns: heads.modified_ns.first(doc).unwrap_or(0),
                    chunks: heads.chunks.first(doc).unwrap_or(0) as u32,
                };
                let entry = Known { document_no: columns.document_no(doc)?, record };
                if known.insert(id.clone(), entry).is_some() {
                    return Err(self.wrong(reader, format!("document '{id}' is there twice")));
                }
            }
        }
        Ok(known)
    }

    /// The stored document of a head.
    pub(crate) fn document_at(&self, head: DocAddress) -> Result<Document, Error> {
        let StoredBytes(bytes) = self.searcher.doc(head)?;
        stored::decode(&bytes).ok_or_else(|| {
            self.wrong(self.searcher.segment_reader(head.segment_ord), "a stored document cannot be decoded".into())
        })
    }

    /// Where a term is found, deleted entries left out.
    pub(crate) fn alive(&self, term: &Term) -> Result<Vec<DocAddress>, Error> {
        let mut addresses = Vec::new();
        for (segment, reader) in self.searcher.segment_readers().iter().enumerate() {
            let index = reader.inverted_index(term.field())?;
            let postings = index.read_postings(term, IndexRecordOption::Basic);
            let Some(mut postings) = postings.map_err(|error| Error::io("read", &self.folder, error))? else {
                continue;
            };
            let mut doc = postings.doc();
            while doc != TERMINATED {
                if !reader.is_deleted(doc) {
                    addresses.push(DocAddress::new(segment as u32, doc));
                }
                doc = postings.advance();
            }
        }
        Ok(addresses)
    }

    pub(crate) fn check_range(&self, reader: &SegmentReader, document: &Document, chunk: &Chunk) -> Result<(), Error> {
        if document.text.get(chunk.byte_range.clone()).is_none() {
            let reason = format!("chunk {} of '{}' lies outside its text", chunk.ordinal, document.id);
            return Err(self.wrong(reader, reason));
        }
        Ok(())
    }

    pub(crate) fn wrong(&self, reader: &SegmentReader, reason: String) -> Error {
        Error::Corrupted { file: segment_path(&self.folder, reader), reason }
    }
}

fn segment_path(folder: &Path, reader: &SegmentReader) -> PathBuf {
    folder.join(reader.segment_id().uuid_string())
}

/// Where a chunk is, and what its columns say.
struct ChunkPlace<'a> {
    reader: &'a SegmentReader,
    head: DocAddress,
    document_no: u64,
    chunk: Chunk,
}

/// The first stored value of an entry, of a head its document, without the copies that the engine's own document makes of it.
pub(crate) struct StoredBytes(pub(crate) Vec<u8>);

impl DocumentDeserialize for StoredBytes {
    fn deserialize<'de, D: DocumentDeserializer<'de>>(mut document: D) -> Result<Self, DeserializeError> {
        let first = document.next_field::<Self>()?;
        Ok(first.map_or(Self(Vec::new()), |(_, bytes)| bytes))
    }
}

impl ValueDeserialize for StoredBytes {
    fn deserialize<'de, D: ValueDeserializer<'de>>(value: D) -> Result<Self, DeserializeError> {
        value.deserialize_bytes().map(Self)
    }
}

/// The columns of each segment, opened when a segment is first asked for.
pub(crate) struct SegmentColumns<'a> {
    lookup: &'a Lookup,
    opened: Vec<Option<Columns>>,
}

impl<'a> SegmentColumns<'a> {
    pub(crate) fn of(lookup: &'a Lookup) -> Self {
        let segments = lookup.searcher.segment_readers().len();
        Self { lookup, opened: (0..segments).map(|_| None).collect() }
    }

    fn get(&mut self, segment: SegmentOrdinal) -> Result<&Columns, Error> {
        let slot = &mut self.opened[segment as usize];
        if slot.is_none() {
            *slot = Some(Columns::open(self.lookup.searcher.segment_reader(segment), &self.lookup.folder)?);
        }
        Ok(slot.as_ref().expect("opened above"))
    }
}

/// Columns that every entry has.
pub(crate) struct Columns {
    pub(crate) chunk_id: Column<u64>,
    document_no: Column<u64>,
    ordinal: Column<u64>,
    start: Column<u64>,
    end: Column<u64>,
    tokens: Column<u64>,
    path: PathBuf,
}

impl Columns {
    pub(crate) fn open(reader: &SegmentReader, folder: &Path) -> Result<Self, Error> {
        let number = |name| number_column(reader, name);
        Ok(Self {
            chunk_id: number(column::CHUNK_ID)?,
            document_no: number(column::DOCUMENT_NO)?,
            ordinal: number(column::ORDINAL)?,
            start: number(column::START)?,
            end: number(column::END)?,
            tokens: number(column::TOKENS)?,
            path: segment_path(folder, reader),
        })
    }

    pub(crate) fn document_no(&self, doc: DocId) -> Result<u64, Error> {
        self.document_no.first(doc).ok_or_else(|| Error::corrupted(&self.path, "an entry has no document number"))
    }

    pub(crate) fn chunk_number(&self, doc: DocId) -> Result<u64, Error> {
        self.chunk_id.first(doc).ok_or_else(|| Error::corrupted(&self.path, "a chunk has no number"))
    }

    pub(crate) fn chunk(&self, doc: DocId) -> Result<Chunk, Error> {
        let number = |column: &Column<u64>| {
            column.first(doc).ok_or_else(|| Error::corrupted(&self.path, "a chunk lacks one of its numbers"))
        };
        Ok(Chunk {
            ordinal: number(&self.ordinal)? as u32,
            byte_range: number(&self.start)? as usize..number(&self.end)? as usize,
            tokens: number(&self.tokens)? as u32,
        })
    }
}

/// Columns that heads have.
pub(crate) struct HeadColumns {
    id: Option<StrColumn>,
    content_hash: Option<StrColumn>,
    file: Option<StrColumn>,
    modified_ns: Column<i64>,
    pub(crate) chunks: Column<u64>,
    path: PathBuf,
}

impl HeadColumns {
    pub(crate) fn open(reader: &SegmentReader, folder: &Path) -> Result<Self, Error> {
        let columns = reader.fast_fields();
        let modified_ns = columns.column_opt::<i64>(column::MODIFIED_NS)?;
        Ok(Self {
            id: columns.str(column::ID)?,
            content_hash: columns.str(column::CONTENT_HASH)?,
            file: columns.str(column::FILE)?,
            modified_ns: modified_ns.unwrap_or_else(|| Column::build_empty_column(reader.max_doc())),
            chunks: number_column(reader, column::CHUNKS)?,
            path: segment_path(folder, reader),
        })
    }

    fn record(&self, doc: DocId) -> Result<DocumentRecord, Error> {
        Ok(DocumentRecord {
            content_hash: self.text(self.content_hash.as_ref(), doc)?,
            file: self.text(self.file.as_ref(), doc)?,
            modified_ns: self.modified_ns.first(doc).unwrap_or(0),
            chunks: self.chunks.first(doc).unwrap_or(0) as u32,
        })
    }

    fn text(&self, column: Option<&StrColumn>, doc: DocId) -> Result<String, Error> {
        let mut text = String::new();
        if let Some(column) = column
            && let Some(ordinal) = column.ords().first(doc)
        {
            column.ord_to_str(ordinal, &mut text).map_err(|error| Error::io("read", &self.path, error))?;
        }
        Ok(text)
    }
}

/// The number of the chunk that an entry is; none for the head of a document without text.
pub(crate) fn chunk_of(reader: &SegmentReader, entry: DocId) -> Result<Option<u64>, Error> {
    Ok(number_column(reader, column::CHUNK_ID)?.first(entry))
}

/// A column that a segment lacks when no entry has a value.
fn number_column(reader: &SegmentReader, name: &str) -> Result<Column<u64>, Error> {
    let column = reader.fast_fields().column_opt::<u64>(name)?;
    Ok(column.unwrap_or_else(|| Column::build_empty_column(reader.max_doc())))
}

/// Texts of a column by entry.
fn texts(
    column: Option<&StrColumn>,
    reader: &SegmentReader,
    folder: &Path,
) -> Result<std::collections::HashMap<DocId, String>, Error> {
    let mut texts = std::collections::HashMap::new();
    if let Some(column) = column {
        for_each_text(column, reader.doc_ids_alive(), |doc, text| drop(texts.insert(doc, text.to_string())))
            .map_err(|error| Error::io("read", folder, error))?;
    }
    Ok(texts)
}

/// Calls `found` with every entry that has a text, in the order of the texts: one pass over the column's dictionary.
fn for_each_text(
    column: &StrColumn,
    docs: impl Iterator<Item = DocId>,
    mut found: impl FnMut(DocId, &str),
) -> std::io::Result<()> {
    let mut places: Vec<(u64, DocId)> =
        docs.filter_map(|doc| column.ords().first(doc).map(|ordinal| (ordinal, doc))).collect();
    places.sort_unstable();
    let ordinals: Vec<u64> = places.iter().map(|&(ordinal, _)| ordinal).collect();
    let mut next = places.iter();
    let complete = column.dictionary().sorted_ords_to_term_cb(&ordinals, |text| {
        if let (Some(&(_, doc)), Ok(text)) = (next.next(), std::str::from_utf8(text)) {
            found(doc, text);
        }
    })?;
    if complete { Ok(()) } else { Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)) }
}
