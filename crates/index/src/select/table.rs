//! Which document each entry of the lexical half and each row of the dense half belongs to.

use std::collections::HashMap;

use tantivy::DocId;

use super::Bits;
use crate::dense::{LiveSegment, RowSet};
use crate::lookup::{Columns, HeadColumns, Lookup};
use crate::{Error, dense};

/// Stands for no document: of entries and rows that are deleted.
const NOBODY: u32 = u32::MAX;

/// The living documents of a commit, in the order in which they came, and whose every entry and row is.
///
/// Sets of documents are by place in this order: it takes a bit for each document, and no look at its number.
pub(crate) struct DocumentTable {
    /// Ascending.
    numbers: Vec<u64>,
    /// Segment and entry of each document's head.
    heads: Vec<(u32, DocId)>,
    /// By segment of the lexical half and entry.
    of_entries: Vec<Vec<u32>>,
    /// By segment of the dense half and row.
    of_rows: Vec<Vec<u32>>,
}

impl DocumentTable {
    pub(crate) fn build(lookup: &Lookup, dense: &[LiveSegment]) -> Result<Self, Error> {
        let mut numbered = Vec::new();
        let mut numbers_of_entries = Vec::new();
        for (segment, reader) in (0..).zip(lookup.searcher.segment_readers()) {
            let columns = Columns::open(reader, &lookup.folder)?;
            let heads = HeadColumns::open(reader, &lookup.folder)?;
            let mut numbers = vec![None; reader.max_doc() as usize];
            for entry in reader.doc_ids_alive() {
                let number = columns.document_no(entry)?;
                numbers[entry as usize] = Some(number);
                if heads.chunks.first(entry).is_some() {
                    numbered.push((number, (segment, entry)));
                }
            }
            numbers_of_entries.push(numbers);
        }
        numbered.sort_unstable_by_key(|&(number, _)| number);
        let (numbers, heads): (Vec<u64>, _) = numbered.into_iter().unzip();
        let places: HashMap<u64, u32> = numbers.iter().copied().zip(0..).collect();
        // Entries and rows of a document stand together, so that most have the place of the one before.
        let place_in = |last: &mut (u64, u32), number: u64| {
            if last.0 != number {
                *last = (number, places.get(&number).copied().unwrap_or(NOBODY));
            }
            last.1
        };
        let mut of_entries = Vec::with_capacity(numbers_of_entries.len());
        for numbers in numbers_of_entries {
            let mut last = (u64::MAX, NOBODY);
            let place = |number: Option<u64>| number.map_or(NOBODY, |number| place_in(&mut last, number));
            of_entries.push(numbers.into_iter().map(place).collect());
        }
        let mut of_rows = Vec::with_capacity(dense.len());
        for live in dense {
            let mut last = (u64::MAX, NOBODY);
            let rows = live.segment.document_nos(0..live.segment.rows())?.iter().enumerate();
            let place = |(row, &number): (usize, &u64)| {
                if live.deleted.contains(row) { NOBODY } else { place_in(&mut last, number) }
            };
            of_rows.push(rows.map(place).collect());
        }
        Ok(Self { numbers, heads, of_entries, of_rows })
    }

    /// How many documents there are.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(crate) fn number(&self, document: usize) -> u64 {
        self.numbers[document]
    }

    pub(crate) fn place(&self, number: u64) -> Option<usize> {
        self.numbers.binary_search(&number).ok()
    }

    /// Segment and entry of the head.
    pub(crate) fn head(&self, document: usize) -> (u32, DocId) {
        self.heads[document]
    }

    /// Whose entry it is; none of a deleted one.
    pub(crate) fn of_entry(&self, segment: usize, entry: DocId) -> Option<usize> {
        let document = self.of_entries[segment][entry as usize];
        (document != NOBODY).then_some(document as usize)
    }

    /// The entries of a set of documents, for each segment of the lexical half.
    pub(crate) fn entries(&self, documents: &Bits) -> Vec<Bits> {
        let of_segment = |owners: &Vec<u32>| {
            let mut entries = Bits::none(owners.len());
            for (entry, &owner) in owners.iter().enumerate() {
                if owner != NOBODY && documents.contains(owner as usize) {
                    entries.insert(entry);
                }
            }
            entries
        };
        self.of_entries.iter().map(of_segment).collect()
    }

    /// The rows of a set of documents, for each segment of the dense half.
    pub(crate) fn rows(&self, documents: &Bits) -> Vec<RowSet> {
        let of_segment = |owners: &Vec<u32>| {
            let mut rows = dense::RowSet::none(owners.len());
            for (row, &owner) in owners.iter().enumerate() {
                if owner != NOBODY && documents.contains(owner as usize) {
                    rows.insert(row);
                }
            }
            rows
        };
        self.of_rows.iter().map(of_segment).collect()
    }

    /// Whether any entry of each document is in the sets, one for each segment of the lexical half.
    pub(crate) fn documents(&self, entries: &[Bits]) -> Bits {
        let mut documents = Bits::none(self.len());
        for (segment, entries) in entries.iter().enumerate() {
            for entry in entries.iter() {
                if let Some(document) = self.of_entry(segment, entry as DocId) {
                    documents.insert(document);
                }
            }
        }
        documents
    }

    /// Memory of a set of documents with its entries and rows.
    pub(crate) fn set_bytes(&self) -> usize {
        let owned = self.of_entries.iter().chain(&self.of_rows).map(Vec::len);
        (self.len() + owned.sum::<usize>()) / 8
    }

    /// No entry, for each segment of the lexical half.
    pub(crate) fn no_entries(&self) -> Vec<Bits> {
        self.of_entries.iter().map(|owners| Bits::none(owners.len())).collect()
    }
}
