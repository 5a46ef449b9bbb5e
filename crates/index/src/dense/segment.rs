//! An immutable file of rows: chunk numbers, document numbers, content keys, and the vectors.

use std::borrow::Cow;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use berth_types::{ContentKey, RowKind};

use super::plain::{Plain, numbers_of};
use super::sketches::Sketches;
use super::values::{bytes_a_row, decode, encode, number_of, products};
use crate::Error;
use crate::blocks::{BlockFile, BlockWriter, Seal};
use crate::disk::Disk;

const MAGIC: [u8; 8] = *b"BerthRow";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 128;
/// Every section begins on a cache line.
const ALIGNMENT: usize = 64;

/// Where the sections of a segment stand, from its shape alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    kind: RowKind,
    rows: usize,
    dimensions: usize,
    chunk_ids: usize,
    document_nos: usize,
    keys: usize,
    key_order: usize,
    vectors: usize,
    end: usize,
}

impl Layout {
    fn of(kind: RowKind, rows: u64, dimensions: u32) -> Option<Self> {
        let mut at = HEADER_BYTES as u64;
        let mut section = |bytes_a_row: u64| {
            let start = at;
            at = rows.checked_mul(bytes_a_row)?.checked_add(at)?.checked_next_multiple_of(ALIGNMENT as u64)?;
            usize::try_from(start).ok()
        };
        let chunk_ids = section(8)?;
        let document_nos = section(8)?;
        let keys = section(16)?;
        let key_order = section(4)?;
        let vectors = section(bytes_a_row(kind, dimensions as usize) as u64)?;
        let end = usize::try_from(at).ok()?;
        let (rows, dimensions) = (u32::try_from(rows).ok()? as usize, dimensions as usize);
        Some(Self { kind, rows, dimensions, chunk_ids, document_nos, keys, key_order, vectors, end })
    }

    fn header(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&number_of(self.kind).to_le_bytes());
        header.extend_from_slice(&(self.dimensions as u64).to_le_bytes());
        header.extend_from_slice(&(self.rows as u64).to_le_bytes());
        for offset in [self.chunk_ids, self.document_nos, self.keys, self.key_order, self.vectors, self.end] {
            header.extend_from_slice(&(offset as u64).to_le_bytes());
        }
        header.resize(HEADER_BYTES, 0);
        header
    }
}

/// What belongs to a row beside its vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowLabel {
    pub(crate) chunk_id: u64,
    pub(crate) document_no: u64,
    pub(crate) key: ContentKey,
}

/// Writes a segment of rows of a kind and a number of values. `labels` ascend by chunk number; `vectors` gives the values
/// of each row in the same order.
pub(crate) fn write_segment<R: AsRef<[f32]>>(
    disk: &Disk,
    path: &Path,
    (kind, dimensions): (RowKind, u32),
    labels: &[RowLabel],
    vectors: impl Iterator<Item = Result<R, Error>>,
) -> Result<Seal, Error> {
    assert!(labels.is_sorted_by_key(|label| label.chunk_id), "rows ascend by chunk number");
    let layout = Layout::of(kind, labels.len() as u64, dimensions).expect("a segment that fits its number of rows");
    let mut file = BlockWriter::create(disk, path)?;
    let mut at = 0;
    let mut put = |start: usize, bytes: &[u8]| {
        const ZEROS: [u8; ALIGNMENT] = [0; ALIGNMENT];
        let padding = start.saturating_sub(at);
        at += padding + bytes.len();
        file.write_all(&ZEROS[..padding])
            .and_then(|()| file.write_all(bytes))
            .map_err(|error| Error::io("write", path, error))
    };
    put(0, &layout.header())?;
    for (number, label) in labels.iter().enumerate() {
        put(if number == 0 { layout.chunk_ids } else { 0 }, &label.chunk_id.to_le_bytes())?;
    }
    for (number, label) in labels.iter().enumerate() {
        put(if number == 0 { layout.document_nos } else { 0 }, &label.document_no.to_le_bytes())?;
    }
    for (number, label) in labels.iter().enumerate() {
        put(if number == 0 { layout.keys } else { 0 }, &label.key.0)?;
    }
    let mut order: Vec<u32> = (0..labels.len() as u32).collect();
    order.sort_unstable_by_key(|&row| (labels[row as usize].key, row));
    for (number, row) in order.iter().enumerate() {
        put(if number == 0 { layout.key_order } else { 0 }, &row.to_le_bytes())?;
    }
    let mut written = 0;
    for vector in vectors {
        let vector = vector?;
        let vector = vector.as_ref();
        assert_eq!(vector.len(), layout.dimensions, "a row of the segment's dimensions");
        put(if written == 0 { layout.vectors } else { 0 }, &encode(kind, vector))?;
        written += 1;
    }
    assert_eq!(written, labels.len(), "a vector for each label");
    put(layout.end, &[])?;
    file.finish()
}

/// A segment that is open for reading.
#[derive(Debug)]
pub(crate) struct Segment {
    file: Arc<BlockFile>,
    layout: Layout,
    sketches: Sketches,
}

impl Segment {
    /// Checks the header against the file's length.
    ///
    /// # Errors
    /// `Corrupted`, `UnknownFormat`.
    pub(crate) fn open(file: Arc<BlockFile>, dimensions: usize) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::corrupted(file.path(), reason);
        if file.payload_bytes() < HEADER_BYTES {
            return Err(wrong("it is too short for the header of a segment"));
        }
        let header = file.read(0..HEADER_BYTES)?;
        if header[..8] != MAGIC {
            return Err(wrong("it does not begin as a segment does"));
        }
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let (version, kind) = (number(8), number(12));
        let known = RowKind::ALL.into_iter().find(|&known| number_of(known) == kind).filter(|_| version == VERSION);
        let Some(kind) = known else {
            let [first, .., last] = RowKind::ALL.map(number_of);
            return Err(Error::UnknownFormat {
                file: file.path().to_path_buf(),
                found: format!("{version}, rows of kind {kind}"),
                supported: format!("{VERSION}, rows of kind {first} to {last}"),
            });
        };
        let rows = u64::from_le_bytes(header[24..32].try_into().expect("eight bytes"));
        let layout = Layout::of(kind, rows, number(16)).filter(|layout| layout.header() == header);
        match layout {
            Some(layout) if layout.end == file.payload_bytes() && layout.dimensions == dimensions => {
                Ok(Self { file, layout, sketches: Sketches::default() })
            }
            _ => Err(wrong("its header does not fit its length or the index")),
        }
    }

    pub(crate) fn file(&self) -> &BlockFile {
        &self.file
    }

    pub(crate) fn rows(&self) -> usize {
        self.layout.rows
    }

    /// Chunk numbers of a range of rows, ascending.
    pub(crate) fn chunk_ids(&self, rows: Range<usize>) -> Result<&[u64], Error> {
        self.section(self.layout.chunk_ids, rows, 1)
    }

    /// Document numbers of a range of rows.
    pub(crate) fn document_nos(&self, rows: Range<usize>) -> Result<&[u64], Error> {
        self.section(self.layout.document_nos, rows, 1)
    }

    /// Vectors of a range of rows, `[rows, dimensions]`, row-major; in place where they are kept in 32 bits.
    pub(crate) fn vectors(&self, rows: Range<usize>) -> Result<Cow<'_, [f32]>, Error> {
        Ok(decode(self.layout.kind, self.values(rows)?, self.layout.dimensions))
    }

    /// The bytes of the vectors of a range of rows.
    pub(super) fn values(&self, rows: Range<usize>) -> Result<&[u8], Error> {
        self.section(self.layout.vectors, rows, self.bytes_a_row())
    }

    /// Writes the dot product of a query with each of a range of rows into `scores`.
    pub(super) fn dots(&self, query: &[f32], rows: Range<usize>, scores: &mut [f32]) -> Result<(), Error> {
        products(self.layout.kind, query, self.values(rows)?, scores);
        Ok(())
    }

    /// The dot product of a query with one row.
    pub(crate) fn dot(&self, query: &[f32], row: usize) -> Result<f32, Error> {
        let mut score = [0.0];
        self.dots(query, row..row + 1, &mut score)?;
        Ok(score[0])
    }

    pub(super) fn dimensions(&self) -> usize {
        self.layout.dimensions
    }

    pub(super) fn bytes_a_row(&self) -> usize {
        bytes_a_row(self.layout.kind, self.layout.dimensions)
    }

    /// What first stages keep of the rows in memory.
    pub(super) fn sketches(&self) -> &Sketches {
        &self.sketches
    }

    /// What belongs to a row beside its vector.
    pub(crate) fn label(&self, row: usize) -> Result<RowLabel, Error> {
        Ok(RowLabel {
            chunk_id: self.chunk_ids(row..row + 1)?[0],
            document_no: self.document_nos(row..row + 1)?[0],
            key: self.key(row)?,
        })
    }

    fn key(&self, row: usize) -> Result<ContentKey, Error> {
        Ok(ContentKey(self.section::<[u8; 16]>(self.layout.keys, row..row + 1, 1)?[0]))
    }

    /// The row of a chunk, deleted or not.
    pub(crate) fn row_of_chunk(&self, chunk_id: u64) -> Result<Option<usize>, Error> {
        self.search(|row| Ok(self.chunk_ids(row..row + 1)?[0]), &chunk_id)
    }

    /// A row that is stored under a key, deleted or not.
    pub(crate) fn row_of_key(&self, key: &ContentKey) -> Result<Option<usize>, Error> {
        let place = self.search(|place| self.key(self.row_in_key_order(place)?), key)?;
        place.map(|place| self.row_in_key_order(place)).transpose()
    }

    fn row_in_key_order(&self, place: usize) -> Result<usize, Error> {
        let row = self.section::<u32>(self.layout.key_order, place..place + 1, 1)?[0] as usize;
        if row >= self.layout.rows {
            return Err(Error::corrupted(self.file.path(), format!("its key order names row {row}")));
        }
        Ok(row)
    }

    /// Binary search that touches only the blocks it looks at.
    fn search<T: Ord>(&self, at: impl Fn(usize) -> Result<T, Error>, wanted: &T) -> Result<Option<usize>, Error> {
        let (mut low, mut high) = (0, self.layout.rows);
        while low < high {
            let middle = low + (high - low) / 2;
            match at(middle)?.cmp(wanted) {
                std::cmp::Ordering::Equal => return Ok(Some(middle)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    fn section<T: Plain>(&self, start: usize, rows: Range<usize>, width: usize) -> Result<&[T], Error> {
        assert!(rows.start <= rows.end && rows.end <= self.layout.rows, "rows {rows:?} of {}", self.layout.rows);
        let size = size_of::<T>() * width;
        let bytes = self.file.read(start + rows.start * size..start + rows.end * size)?;
        Ok(numbers_of(bytes))
    }
}
