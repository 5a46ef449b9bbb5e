//! What a commit is read through for: plans of later runs, and exports.

use std::collections::BTreeMap;

use berth_types::{Chunk, ContentKey, DocumentRecord};

use crate::lookup::Columns;
use crate::{Error, Snapshot};

/// A chunk with what was embedded and the vector of it.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddedChunk {
    /// Where in its document it stands.
    pub chunk: Chunk,
    /// Names what was embedded.
    pub key: ContentKey,
    /// The vector, of unit length.
    pub vector: Vec<f32>,
}

impl Snapshot {
    /// Every document's record, by id. Reads columns only.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn records(&self) -> Result<BTreeMap<String, DocumentRecord>, Error> {
        Ok(self.lookup().known()?.into_iter().map(|(id, known)| (id, known.record)).collect())
    }

    /// The first `limit` ids behind `after`, in their order. Reads a column only.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn ids_after(&self, after: &str, limit: usize) -> Result<Vec<String>, Error> {
        self.lookup().ids_after(after, limit)
    }

    /// Whether a vector is stored under this key, be its chunk deleted or not.
    ///
    /// # Errors
    /// `Corrupted`.
    pub fn has_key(&self, key: &ContentKey) -> Result<bool, Error> {
        for live in self.dense_segments().iter().rev() {
            if live.segment.row_of_key(key)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The chunks of a document by ordinal, with their vectors.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn embedded_chunks(&self, document_no: u64) -> Result<Vec<EmbeddedChunk>, Error> {
        let lookup = self.lookup();
        let mut chunks = Vec::new();
        for address in lookup.alive(&lookup.schema.document_term(document_no))? {
            let reader = lookup.searcher.segment_reader(address.segment_ord);
            let columns = Columns::open(reader, &lookup.folder)?;
            let Some(chunk_id) = columns.chunk_id.first(address.doc_id) else { continue };
            let chunk = columns.chunk(address.doc_id)?;
            let Some((key, vector)) = self.row(chunk_id)? else {
                return Err(Error::corrupted(&lookup.folder, format!("chunk {chunk_id} has no row")));
            };
            chunks.push(EmbeddedChunk { chunk, key, vector });
        }
        chunks.sort_unstable_by_key(|embedded| embedded.chunk.ordinal);
        Ok(chunks)
    }

    fn row(&self, chunk_id: u64) -> Result<Option<(ContentKey, Vec<f32>)>, Error> {
        for live in self.dense_segments() {
            if let Some(row) = live.segment.row_of_chunk(chunk_id)?
                && !live.deleted.contains(row)
            {
                return Ok(Some((live.segment.label(row)?.key, live.segment.vectors(row..row + 1)?.into_owned())));
            }
        }
        Ok(None)
    }
}
