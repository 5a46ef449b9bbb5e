//! Which rows of a segment are deleted: a bit a row, in memory and in a file of its own.

use std::io::Write;
use std::path::Path;

use crate::Error;
use crate::blocks::{BlockFile, BlockWriter, Seal};
use crate::disk::Disk;

const MAGIC: [u8; 8] = *b"BerthDel";
const VERSION: u32 = 1;
/// Magic (8), version (4), zero (4), rows (8), deleted rows (8).
const HEADER_BYTES: usize = 32;

/// A bit for each row of a segment, 1 = deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tombstones {
    words: Vec<u64>,
    rows: u64,
    deleted: u64,
}

impl Tombstones {
    /// No row is deleted.
    pub(crate) fn none(rows: u64) -> Self {
        Self { words: vec![0; (rows as usize).div_ceil(64)], rows, deleted: 0 }
    }

    pub(crate) fn contains(&self, row: usize) -> bool {
        self.words[row / 64] >> (row % 64) & 1 == 1
    }

    pub(crate) fn insert(&mut self, row: usize) {
        assert!((row as u64) < self.rows, "row {row} of {}", self.rows);
        let word = &mut self.words[row / 64];
        let bit = 1u64 << (row % 64);
        self.deleted += u64::from(*word & bit == 0);
        *word |= bit;
    }

    /// Number of deleted rows.
    pub(crate) fn deleted(&self) -> u64 {
        self.deleted
    }

    /// Number of rows that are left.
    pub(crate) fn alive(&self) -> u64 {
        self.rows - self.deleted
    }

    /// Writes a file that must not exist.
    pub(crate) fn write(&self, disk: &Disk, path: &Path) -> Result<Seal, Error> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.words.len() * 8);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        bytes.extend_from_slice(&self.deleted.to_le_bytes());
        for word in &self.words {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        let mut file = BlockWriter::create(disk, path)?;
        file.write_all(&bytes).map_err(|error| Error::io("write", path, error))?;
        file.finish()
    }

    /// Reads the tombstones of a segment of `rows` rows.
    pub(crate) fn read(file: &BlockFile, rows: u64) -> Result<Self, Error> {
        let bytes = file.read(0..file.payload_bytes())?;
        let wrong = |reason: &str| Error::corrupted(file.path(), reason);
        if bytes.len() < HEADER_BYTES || bytes[..8] != MAGIC {
            return Err(wrong("it does not begin as tombstones do"));
        }
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let version = number(8) as u32;
        if version != VERSION {
            return Err(Error::UnknownFormat {
                file: file.path().to_path_buf(),
                found: version.to_string(),
                supported: VERSION.to_string(),
            });
        }
        let words: Vec<u64> = bytes[HEADER_BYTES..]
            .chunks_exact(8)
            .map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")))
            .collect();
        let deleted: u64 = words.iter().map(|word| u64::from(word.count_ones())).sum();
        let beyond = !rows.is_multiple_of(64) && words.last().is_some_and(|last| last >> (rows % 64) != 0);
        if number(16) != rows || words.len() as u64 != rows.div_ceil(64) || number(24) != deleted || beyond {
            return Err(wrong("it does not fit its segment"));
        }
        Ok(Self { words, rows, deleted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_from_its_file() {
        let dir = tempfile::tempdir().unwrap();
        for rows in [1, 63, 64, 65, 1000] {
            let mut tombstones = Tombstones::none(rows);
            for row in (0..rows as usize).step_by(3) {
                tombstones.insert(row);
                tombstones.insert(row);
            }
            assert_eq!(tombstones.deleted(), rows.div_ceil(3));
            for row in 0..rows as usize {
                assert_eq!(tombstones.contains(row), row % 3 == 0);
            }
            let path = dir.path().join(rows.to_string());
            tombstones.write(&Disk::default(), &path).unwrap();
            let file = BlockFile::open(&path).unwrap();
            assert_eq!(Tombstones::read(&file, rows).unwrap(), tombstones);
            assert!(matches!(Tombstones::read(&file, rows + 64), Err(Error::Corrupted { .. })));
        }
    }
}
