//! An immutable file of token rows: for each row of a segment, the vectors of its chunk's tokens in 8 bits.
//!
//! A row is its scale (`f32`) and its values (`i8`), one behind the other, so that a chunk is one run of bytes.

use std::io::Write;
use std::sync::Arc;

use berth_types::TokenRows;

use crate::Error;
use crate::blocks::{BlockFile, BlockWriter, Seal};
use crate::disk::Disk;

const MAGIC: [u8; 8] = *b"BerthTok";
const VERSION: u32 = 1;
/// Rows of `i8` with a scale each. Other encodings of rows get other numbers.
const KIND_I8: u32 = 1;
const HEADER_BYTES: usize = 64;
/// Every section begins on a cache line.
const ALIGNMENT: u64 = 64;
/// Bytes of a row's scale.
const SCALE_BYTES: usize = size_of::<f32>();

/// Bytes of a token's row.
pub(crate) fn stride(dimensions: usize) -> usize {
    SCALE_BYTES + dimensions
}

/// Appends the rows as they are stored.
pub(crate) fn encode(tokens: &TokenRows, bytes: &mut Vec<u8>) {
    for (scale, row) in tokens.scales().iter().zip(tokens.values().chunks_exact(tokens.dimensions())) {
        bytes.extend_from_slice(&scale.to_le_bytes());
        bytes.extend(row.iter().map(|&value| value as u8));
    }
}

/// Gives back what [`encode`] was given; `None` when the bytes are no such rows.
pub(crate) fn decode(bytes: &[u8], dimensions: usize) -> Option<TokenRows> {
    let rows = bytes.chunks_exact(stride(dimensions));
    if !rows.remainder().is_empty() {
        return None;
    }
    let mut values = Vec::with_capacity(bytes.len());
    let mut scales = Vec::with_capacity(rows.len());
    for row in rows {
        let (scale, row) = row.split_first_chunk()?;
        scales.push(f32::from_le_bytes(*scale));
        values.extend(row.iter().map(|&value| value as i8));
    }
    TokenRows::from_parts(values, scales, dimensions).ok()
}

/// Where the sections of a file stand, from its shape alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    dimensions: usize,
    chunks: usize,
    tokens: u64,
    starts: usize,
    rows: usize,
    end: usize,
}

impl Layout {
    fn of(dimensions: u64, chunks: u64, tokens: u64) -> Option<Self> {
        let starts = HEADER_BYTES as u64;
        let rows = chunks.checked_add(1)?.checked_mul(8)?.checked_add(starts)?.checked_next_multiple_of(ALIGNMENT)?;
        let row_bytes = dimensions.checked_add(SCALE_BYTES as u64)?.checked_mul(tokens)?;
        let end = rows.checked_add(row_bytes)?.checked_next_multiple_of(ALIGNMENT)?;
        Some(Self {
            dimensions: usize::try_from(dimensions).ok()?,
            chunks: usize::try_from(chunks).ok()?,
            tokens,
            starts: starts as usize,
            rows: usize::try_from(rows).ok()?,
            end: usize::try_from(end).ok()?,
        })
    }

    fn header(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&KIND_I8.to_le_bytes());
        let numbers = [self.dimensions as u64, self.chunks as u64, self.tokens];
        let places = [self.starts, self.rows, self.end].map(|place| place as u64);
        for number in numbers.into_iter().chain(places) {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header
    }
}

/// Writes the file of a segment. `counts` has the number of tokens of each of its chunks, `chunks` their encoded rows.
pub(crate) fn write_tokens<'a>(
    disk: &Disk,
    path: &std::path::Path,
    dimensions: usize,
    counts: &[u64],
    chunks: impl Iterator<Item = Result<&'a [u8], Error>>,
) -> Result<Seal, Error> {
    let tokens = counts.iter().sum();
    let layout = Layout::of(dimensions as u64, counts.len() as u64, tokens).expect("token rows that fit into memory");
    let mut file = BlockWriter::create(disk, path)?;
    let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(|error| Error::io("write", path, error));
    put(&layout.header())?;
    let mut start = 0u64;
    for count in std::iter::once(&0).chain(counts) {
        start += count;
        put(&start.to_le_bytes())?;
    }
    let table_end = layout.starts + (layout.chunks + 1) * 8;
    put(&vec![0; layout.rows - table_end])?;
    let mut written = 0;
    for (position, chunk) in chunks.enumerate() {
        let chunk = chunk?;
        assert_eq!(chunk.len() as u64, counts[position] * stride(dimensions) as u64, "as many rows as were counted");
        put(chunk)?;
        written += chunk.len();
    }
    assert_eq!(written as u64, tokens * stride(dimensions) as u64, "rows for each chunk");
    put(&vec![0; layout.end - layout.rows - written])?;
    file.finish()
}

/// A file of token rows that is open for reading.
#[derive(Debug)]
pub(crate) struct TokenFile {
    file: Arc<BlockFile>,
    layout: Layout,
}

impl TokenFile {
    /// Checks the header against the file's length, and both against the segment.
    ///
    /// # Errors
    /// `Corrupted`, `UnknownFormat`.
    pub(crate) fn open(file: Arc<BlockFile>, chunks: usize, dimensions: usize) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::corrupted(file.path(), reason);
        if file.payload_bytes() < HEADER_BYTES {
            return Err(wrong("it is too short for the header of token rows"));
        }
        let header = file.read(0..HEADER_BYTES)?;
        if header[..8] != MAGIC {
            return Err(wrong("it does not begin as token rows do"));
        }
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let (version, kind) = (number(8), number(12));
        if (version, kind) != (VERSION, KIND_I8) {
            return Err(Error::UnknownFormat {
                file: file.path().to_path_buf(),
                found: format!("{version}, token rows of kind {kind}"),
                supported: format!("{VERSION}, token rows of kind {KIND_I8}"),
            });
        }
        let long = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
        let layout = Layout::of(long(16), long(24), long(32)).filter(|layout| layout.header() == header);
        match layout {
            Some(layout) if layout.end == file.payload_bytes() => {
                if layout.chunks != chunks || layout.dimensions != dimensions {
                    return Err(wrong("it does not fit its segment"));
                }
                Ok(Self { file, layout })
            }
            _ => Err(wrong("its header does not fit its length")),
        }
    }

    pub(crate) fn file(&self) -> &BlockFile {
        &self.file
    }

    /// Number of tokens of all chunks.
    pub(crate) fn tokens(&self) -> u64 {
        self.layout.tokens
    }

    /// Number of tokens of the chunk in this row of the segment; at least one.
    pub(crate) fn count(&self, row: usize) -> Result<u64, Error> {
        self.range(row).map(|(start, end)| end - start)
    }

    /// Encoded rows of the chunk in this row of the segment.
    pub(crate) fn rows(&self, row: usize) -> Result<&[u8], Error> {
        let (start, end) = self.range(row)?;
        let place = |token: u64| self.layout.rows + token as usize * stride(self.layout.dimensions);
        self.file.read(place(start)..place(end))
    }

    fn range(&self, row: usize) -> Result<(u64, u64), Error> {
        assert!(row < self.layout.chunks, "row {row} of {}", self.layout.chunks);
        let at = self.layout.starts + row * 8;
        let bytes = self.file.read(at..at + 16)?;
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let (start, end) = (number(0), number(8));
        if start >= end || end > self.layout.tokens {
            let reason = format!("the tokens of row {row} begin at {start} and end at {end}");
            return Err(Error::corrupted(self.file.path(), reason));
        }
        Ok((start, end))
    }
}

#[cfg(test)]
mod tests {
    use berth_types::TokenMatrix;
    use proptest::prelude::*;

    use super::*;

    fn chunk(tokens: usize, dimensions: usize, seed: usize) -> TokenRows {
        let value = |at: usize| ((at * 37 + seed * 11) % 101) as f32 - 49.5;
        TokenMatrix::normalized((0..tokens * dimensions).map(value).collect(), dimensions).unwrap().quantized()
    }

    proptest! {
        #[test]
        fn rows_come_back_from_their_file(
            dimensions in 1usize..40, counts in prop::collection::vec(1usize..300, 0..12),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("tokens");
            let chunks: Vec<TokenRows> =
                counts.iter().enumerate().map(|(seed, &count)| chunk(count, dimensions, seed)).collect();
            let encoded: Vec<Vec<u8>> = chunks
                .iter()
                .map(|chunk| {
                    let mut bytes = Vec::new();
                    encode(chunk, &mut bytes);
                    bytes
                })
                .collect();
            let lengths: Vec<u64> = counts.iter().map(|&count| count as u64).collect();
            let rows = encoded.iter().map(|bytes| Ok(&bytes[..]));
            write_tokens(&Disk::default(), &path, dimensions, &lengths, rows).unwrap();
            let open = |chunks, dimensions| TokenFile::open(Arc::new(BlockFile::open(&path).unwrap()), chunks, dimensions);
            let file = open(counts.len(), dimensions).unwrap();
            prop_assert_eq!(file.tokens(), lengths.iter().sum::<u64>());
            for (row, chunk) in chunks.iter().enumerate() {
                prop_assert_eq!(file.count(row).unwrap(), lengths[row]);
                prop_assert_eq!(decode(file.rows(row).unwrap(), dimensions), Some(chunk.clone()));
            }
            let refused = |error: Error| error.to_string().contains("does not fit its segment");
            prop_assert!(open(counts.len() + 1, dimensions).is_err_and(refused));
            prop_assert!(open(counts.len(), dimensions + 1).is_err_and(refused));
        }
    }

    #[test]
    fn bytes_that_are_no_rows_are_none() {
        let mut bytes = Vec::new();
        encode(&chunk(3, 5, 1), &mut bytes);
        assert_eq!(decode(&bytes[..bytes.len() - 1], 5), None);
        assert_eq!(decode(&[], 5), None);
        bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        assert_eq!(decode(&bytes, 5), None);
    }

    /// What passes every checksum may still be wrong: a file that was written by something else.
    #[test]
    fn a_table_that_makes_no_sense_is_no_place_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::of(2, 2, 3).unwrap();
        for (number, starts) in [[0, 4, 3], [1, 1, 3], [2, 1, 3], [0, u64::MAX, 3]].iter().enumerate() {
            let path = dir.path().join(number.to_string());
            let mut file = BlockWriter::create(&Disk::default(), &path).unwrap();
            file.write_all(&layout.header()).unwrap();
            for start in starts {
                file.write_all(&start.to_le_bytes()).unwrap();
            }
            file.write_all(&vec![1; layout.end - layout.starts - 24]).unwrap();
            file.finish().unwrap();
            let file = TokenFile::open(Arc::new(BlockFile::open(&path).unwrap()), 2, 2).unwrap();
            assert!((0..2).any(|row| matches!(file.rows(row), Err(Error::Corrupted { .. }))), "{starts:?}");
        }
    }
}
