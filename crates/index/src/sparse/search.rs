//! Ranks chunks by the scalar product of their vector with a question's: term at a time, into a sum for each entry.
//!
//! All postings of the question's pieces are read: learned impacts leave little to skip by upper bounds (Mackenzie, Trotman
//! and Lin 2021), and sums of whole numbers are quick.

use berth_types::{SparseVector, sparse_score, weight_of_impact};
use tantivy::postings::{Postings, SegmentPostings};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocAddress, DocId, DocSet, SegmentReader, TERMINATED, Term};

use super::read::vector_at;
use crate::lookup::{Columns, Lookup};
use crate::schema::SparseFields;
use crate::select::Bits;
use crate::{ChunkHit, Error, Selection, Snapshot};

/// Chunks that are gathered before the best of them are looked for.
const LEAST_CUT: usize = 4096;

/// What one piece of the vocabulary contributes to a chunk's score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SparseTermScore {
    /// Id of the piece.
    pub id: u32,
    /// Its weight in the question.
    pub query_weight: f32,
    /// Its weight in the chunk.
    pub chunk_weight: f32,
    /// The product; these add up to the chunk's score.
    pub score: f32,
}

impl Snapshot {
    /// The `depth` chunks of highest score by their sparse vectors, best first, ties by chunk number; of these documents
    /// alone, where they are given. Chunks that share no piece with the question are not found. Exact.
    ///
    /// # Errors
    /// `NoSparseVectors` when the index was built without, `Corrupted`, `Lexical`.
    pub fn sparse_within(
        &self,
        query: &SparseVector,
        selection: Option<&Selection>,
        depth: usize,
    ) -> Result<Vec<ChunkHit>, Error> {
        nearest(self.lookup(), self.sparse_fields()?, query, self.entries_within(selection)?, depth)
    }

    /// The score of each of the chunks by its sparse vector, in their order; 0 for one that shares no piece with the
    /// question, `None` for one that this commit does not hold.
    ///
    /// # Errors
    /// As [`sparse_within`](Self::sparse_within).
    pub fn sparse_scores(&self, query: &SparseVector, chunk_ids: &[u64]) -> Result<Vec<Option<f32>>, Error> {
        scores(self.lookup(), self.sparse_fields()?, query, chunk_ids)
    }

    /// Takes the score of one chunk apart, by the pieces that it shares with the question, the largest part first. Empty when
    /// there is no such chunk.
    ///
    /// # Errors
    /// As [`sparse_within`](Self::sparse_within).
    pub fn explain_sparse(&self, query: &SparseVector, chunk_id: u64) -> Result<Vec<SparseTermScore>, Error> {
        let (lookup, fields) = (self.lookup(), self.sparse_fields()?);
        let Some(&address) = lookup.alive(&lookup.schema.chunk_term(chunk_id))?.first() else {
            return Ok(Vec::new());
        };
        Ok(shared(query, &vector_at(lookup, fields, address)?.vector))
    }

    /// The sparse vector of a chunk; `None` for one that this commit does not hold.
    ///
    /// # Errors
    /// As [`sparse_within`](Self::sparse_within).
    pub fn sparse_vector(&self, chunk_id: u64) -> Result<Option<SparseVector>, Error> {
        let (lookup, fields) = (self.lookup(), self.sparse_fields()?);
        let Some(&address) = lookup.alive(&lookup.schema.chunk_term(chunk_id))?.first() else { return Ok(None) };
        Ok(Some(vector_at(lookup, fields, address)?.vector))
    }

    fn sparse_fields(&self) -> Result<SparseFields, Error> {
        let fields = self.lookup().schema.sparse;
        fields.ok_or_else(|| Error::NoSparseVectors { path: self.dir().to_path_buf() })
    }
}

fn nearest(
    lookup: &Lookup,
    fields: SparseFields,
    query: &SparseVector,
    within: Option<&[Bits]>,
    depth: usize,
) -> Result<Vec<ChunkHit>, Error> {
    let mut best = Best { depth, found: Vec::new(), floor: 1 };
    for (segment, reader) in (0..).zip(lookup.searcher.segment_readers()) {
        let within = within.map(|sets| &sets[segment as usize]);
        let is_wanted = |entry: DocId| match within {
            None => !reader.is_deleted(entry),
            // What is deleted is in no set.
            Some(entries) => entries.contains(entry as usize),
        };
        let columns = Columns::open(reader, &lookup.folder)?;
        for (entry, sum) in (0..).zip(sums(lookup, fields.terms, reader, query)?) {
            if sum >= best.floor && is_wanted(entry) {
                let (chunk_id, document_no) = (columns.chunk_number(entry)?, columns.document_no(entry)?);
                best.offer(Found { sum, chunk_id, document_no });
            }
        }
    }
    best.cut();
    let hit = |Found { sum, chunk_id, document_no }| {
        let score = sparse_score(sum);
        ChunkHit { chunk_id, document_no, score, coverage: 0.0 }
    };
    Ok(best.found.into_iter().map(hit).collect())
}

/// A chunk with its sum.
#[derive(Debug, Clone, Copy)]
struct Found {
    sum: u32,
    chunk_id: u64,
    document_no: u64,
}

/// The best so far, among others that will be cut.
struct Best {
    depth: usize,
    found: Vec<Found>,
    /// Least sum that may be among the best.
    floor: u32,
}

impl Best {
    fn offer(&mut self, found: Found) {
        self.found.push(found);
        if self.found.len() >= self.depth.saturating_mul(2).max(LEAST_CUT) {
            self.cut();
        }
    }

    /// Leaves the best, highest first, ties by chunk number.
    fn cut(&mut self) {
        let order = |a: &Found, b: &Found| b.sum.cmp(&a.sum).then(a.chunk_id.cmp(&b.chunk_id));
        if self.found.len() > self.depth && self.depth > 0 {
            self.found.select_nth_unstable_by(self.depth - 1, order);
        }
        self.found.truncate(self.depth);
        self.found.sort_unstable_by(order);
        if let Some(last) = self.found.last().filter(|_| self.found.len() == self.depth) {
            self.floor = last.sum;
        }
    }
}

/// The scalar product of each entry of a segment with the question, in steps.
fn sums(lookup: &Lookup, terms: Field, reader: &SegmentReader, query: &SparseVector) -> Result<Vec<u32>, Error> {
    let mut sums = vec![0_u32; reader.max_doc() as usize];
    for &(id, impact) in query.pieces() {
        let Some(mut postings) = postings(lookup, terms, reader, id)? else { continue };
        let impact = u32::from(impact);
        let mut entry = postings.doc();
        while entry != TERMINATED {
            let sum = &mut sums[entry as usize];
            // Vectors have as many pieces as cannot exceed 32 bits; what was damaged may.
            *sum = sum.saturating_add(impact.saturating_mul(postings.term_freq()));
            entry = postings.advance();
        }
    }
    Ok(sums)
}

fn scores(
    lookup: &Lookup,
    fields: SparseFields,
    query: &SparseVector,
    chunk_ids: &[u64],
) -> Result<Vec<Option<f32>>, Error> {
    let mut places: Vec<(DocAddress, usize)> = Vec::with_capacity(chunk_ids.len());
    for (position, &chunk_id) in chunk_ids.iter().enumerate() {
        let address = lookup.alive(&lookup.schema.chunk_term(chunk_id))?.first().copied();
        places.extend(address.map(|address| (address, position)));
    }
    places.sort_unstable();
    let mut sums: Vec<Option<u32>> = vec![None; chunk_ids.len()];
    for places in places.chunk_by(|(a, _), (b, _)| a.segment_ord == b.segment_ord) {
        let reader = lookup.searcher.segment_reader(places[0].0.segment_ord);
        for &(_, position) in places {
            sums[position] = Some(0);
        }
        for &(id, impact) in query.pieces() {
            let Some(mut postings) = postings(lookup, fields.terms, reader, id)? else { continue };
            for &(address, position) in places {
                if postings.doc() < address.doc_id {
                    postings.seek(address.doc_id);
                }
                if postings.doc() == address.doc_id {
                    let product = u32::from(impact).saturating_mul(postings.term_freq());
                    sums[position] = sums[position].map(|sum| sum.saturating_add(product));
                }
            }
        }
    }
    Ok(sums.into_iter().map(|sum| sum.map(sparse_score)).collect())
}

/// The entries of a segment that have a piece, with its impact as frequency.
fn postings(lookup: &Lookup, terms: Field, reader: &SegmentReader, id: u32) -> Result<Option<SegmentPostings>, Error> {
    let term = Term::from_field_text(terms, &id.to_string());
    let postings = reader.inverted_index(terms)?.read_postings(&term, IndexRecordOption::WithFreqs);
    postings.map_err(|error| Error::io("read", &lookup.folder, error))
}

fn shared(query: &SparseVector, chunk: &SparseVector) -> Vec<SparseTermScore> {
    let mut shared = Vec::new();
    for &(id, impact) in query.pieces() {
        let Ok(place) = chunk.pieces().binary_search_by_key(&id, |piece| piece.0) else { continue };
        let (query_weight, chunk_weight) = (weight_of_impact(impact), weight_of_impact(chunk.pieces()[place].1));
        shared.push(SparseTermScore { id, query_weight, chunk_weight, score: query_weight * chunk_weight });
    }
    shared.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    shared
}
