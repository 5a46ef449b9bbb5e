//! Reads vectors back: that of a chunk, and what the postings say of each entry.

use std::collections::HashMap;
use std::mem::size_of;

use berth_types::ContentKey;
use tantivy::postings::Postings;
use tantivy::schema::document::{DeserializeError, DocumentDeserialize, DocumentDeserializer};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocAddress, DocSet, SegmentReader, TERMINATED};

use super::decode;
use crate::lookup::{Lookup, StoredBytes};
use crate::schema::SparseFields;
use crate::{Error, SparseRow};

/// Bytes of vectors that a writer holds in memory between commits, so that what it was just given is found again.
const MOST_RECENT_BYTES: usize = 32 * 1024 * 1024;

/// Vectors put since the last commit, as far as there is room, and the last commit to find others in.
#[derive(Default)]
pub(crate) struct Recent {
    put: HashMap<ContentKey, SparseRow>,
    bytes: usize,
    /// Opened when it is first asked for.
    lookup: Option<Lookup>,
    was_opened: bool,
}

impl Recent {
    /// Remembers what was put under the key of its chunk.
    pub(crate) fn remember(&mut self, key: ContentKey, row: SparseRow) {
        self.bytes += size_of::<(ContentKey, SparseRow)>() + size_of_val(row.vector.pieces());
        if self.bytes > MOST_RECENT_BYTES {
            self.put.clear();
            self.bytes = 0;
        }
        self.put.insert(key, row);
    }

    /// What was put under a chunk's key.
    pub(crate) fn get(&self, key: &ContentKey) -> Option<&SparseRow> {
        self.put.get(key)
    }

    /// The last commit; none where it cannot be opened, which is as if nothing were known.
    pub(crate) fn lookup(&mut self, open: impl FnOnce() -> Option<Lookup>) -> Option<&Lookup> {
        if !self.was_opened {
            self.was_opened = true;
            self.lookup = open();
        }
        self.lookup.as_ref()
    }

    /// Forgets all: a commit has it, or its files are about to go.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// The vector of the chunk with this number, deleted or not; `None` where no entry has the number.
pub(crate) fn stored_vector(lookup: &Lookup, chunk_id: u64) -> Result<Option<SparseRow>, Error> {
    let Some(fields) = lookup.schema.sparse else { return Ok(None) };
    let term = lookup.schema.chunk_term(chunk_id);
    for (segment, reader) in (0..).zip(lookup.searcher.segment_readers()) {
        let postings = reader.inverted_index(term.field())?.read_postings(&term, IndexRecordOption::Basic);
        let Some(postings) = postings.map_err(|error| Error::io("read", &lookup.folder, error))? else { continue };
        if postings.doc() != TERMINATED {
            return vector_at(lookup, fields, DocAddress::new(segment, postings.doc())).map(Some);
        }
    }
    Ok(None)
}

/// The vector of the chunk at this place.
pub(crate) fn vector_at(lookup: &Lookup, fields: SparseFields, address: DocAddress) -> Result<SparseRow, Error> {
    let LastStored(last) = lookup.searcher.doc(address)?;
    let bytes = last.filter(|(field, _)| *field == fields.stored).map(|(_, bytes)| bytes);
    bytes.as_deref().and_then(decode).ok_or_else(|| {
        let reader = lookup.searcher.segment_reader(address.segment_ord);
        lookup.wrong(reader, format!("entry {} has no sparse vector", address.doc_id))
    })
}

/// How many pieces each entry has by the postings, and the sum of their impacts.
pub(crate) fn count_pieces(
    lookup: &Lookup,
    reader: &SegmentReader,
    fields: SparseFields,
) -> Result<Vec<(usize, u64)>, Error> {
    let io = |error| Error::io("read", &lookup.folder, error);
    let index = reader.inverted_index(fields.terms)?;
    let mut counts = vec![(0, 0); reader.max_doc() as usize];
    let mut terms = index.terms().stream().map_err(io)?;
    while terms.advance() {
        let mut postings =
            index.read_postings_from_terminfo(terms.value(), IndexRecordOption::WithFreqs).map_err(io)?;
        while postings.doc() != TERMINATED {
            let (pieces, impacts) = &mut counts[postings.doc() as usize];
            *pieces += 1;
            *impacts += u64::from(postings.term_freq());
            postings.advance();
        }
    }
    Ok(counts)
}

/// The last stored value of an entry: a head has its document before its vector.
struct LastStored(Option<(Field, Vec<u8>)>);

impl DocumentDeserialize for LastStored {
    fn deserialize<'de, D: DocumentDeserializer<'de>>(mut document: D) -> Result<Self, DeserializeError> {
        let mut last = None;
        while let Some((field, StoredBytes(bytes))) = document.next_field::<StoredBytes>()? {
            last = Some((field, bytes));
        }
        Ok(Self(last))
    }
}
