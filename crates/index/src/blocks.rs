//! Files in checksummed blocks: how they are written, and how they are read without trusting a byte.
//!
//! A file is its payload, a table with a hash for every 64 KiB of it, and a footer. A reader maps the file, checks
//! length and footer at once, and each block when it is first touched. `docs/format.md` has the bytes.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use memmap2::Mmap;
use tantivy::directory::OwnedBytes;

use crate::Error;
use crate::disk::{Disk, DiskFile};
use crate::error::Fault;

/// Bytes under one checksum. Small enough that a lookup verifies little, large enough that the table is 1/8192.
pub(crate) const BLOCK_BYTES: usize = 64 * 1024;
/// Bytes of a block's hash: BLAKE3, cut. One hash serves the whole format; at 64 KiB a call it reads several GB/s, more
/// than the disks the blocks come from.
const SUM_BYTES: usize = 8;
const MAGIC: [u8; 8] = *b"BerthBlk";
const VERSION: u32 = 1;
/// Payload length (8), block length (4), version (4), hash (32), magic (8).
const FOOTER_BYTES: usize = 56;

/// Length and identity of a finished file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seal {
    /// Length on disk, table and footer included.
    pub(crate) bytes: u64,
    /// Hash over name, length and block table.
    pub(crate) hash: blake3::Hash,
}

/// Writes a file in blocks.
pub(crate) struct BlockWriter {
    file: DiskFile,
    name: String,
    block: Vec<u8>,
    table: Vec<u8>,
    payload_bytes: u64,
}

impl BlockWriter {
    /// Starts a file that must not exist.
    pub(crate) fn create(disk: &Disk, path: &Path) -> Result<Self, Error> {
        let file = disk.create(path)?;
        Ok(Self {
            file,
            name: name_of(path),
            block: Vec::with_capacity(BLOCK_BYTES),
            table: Vec::new(),
            payload_bytes: 0,
        })
    }

    /// Writes table and footer and brings the file to the disk. The directory's entry is not synced.
    pub(crate) fn finish(mut self) -> Result<Seal, Error> {
        let path = self.file.path().to_path_buf();
        let failed = |error| Error::io("write", &path, error);
        if !self.block.is_empty() {
            self.write_block().map_err(failed)?;
        }
        let hash = footer_hash(&self.name, self.payload_bytes, BLOCK_BYTES as u32, VERSION, &self.table);
        let mut trailer = std::mem::take(&mut self.table);
        trailer.extend_from_slice(&self.payload_bytes.to_le_bytes());
        trailer.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
        trailer.extend_from_slice(&VERSION.to_le_bytes());
        trailer.extend_from_slice(hash.as_bytes());
        trailer.extend_from_slice(&MAGIC);
        self.file.write_all(&trailer).map_err(failed)?;
        let bytes = self.payload_bytes + trailer.len() as u64;
        self.file.sync()?;
        Ok(Seal { bytes, hash })
    }

    fn write_block(&mut self) -> io::Result<()> {
        self.table.extend_from_slice(&block_sum(&self.block));
        self.file.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

impl Write for BlockWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        self.payload_bytes += taken as u64;
        if self.block.len() == BLOCK_BYTES {
            self.write_block()?;
        }
        Ok(taken)
    }

    /// Blocks go out when they are full; a file exists for readers only once it is finished.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A mapped file whose blocks are verified when they are first touched.
pub(crate) struct BlockFile {
    path: PathBuf,
    map: OwnedBytes,
    payload_bytes: usize,
    hash: blake3::Hash,
    /// One bit a block, set once it has been verified.
    verified: Vec<AtomicU64>,
    /// Blocks that have yet to be verified.
    unverified: AtomicUsize,
}

impl BlockFile {
    /// Maps a file and checks its length and footer.
    ///
    /// # Errors
    /// `Io` (of kind `NotFound` for a missing file), `Corrupted`, `UnknownFormat`.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::io("open", path, error);
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        if bytes < FOOTER_BYTES as u64 {
            return Err(Error::corrupted(path, format!("it has {bytes} bytes, fewer than its footer")));
        }
        // SAFETY: files of an index are written once and then never changed or cut, only removed, which leaves the
        // mapping as it is; `docs/format.md` states this as an assumption. The length was taken from the open file.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| Error::io("map", path, error))?;
        Self::of_map(path, OwnedBytes::new(map))
    }

    fn of_map(path: &Path, map: OwnedBytes) -> Result<Self, Error> {
        let (body, footer) = map.split_at(map.len() - FOOTER_BYTES);
        let number = |range: Range<usize>| {
            let mut bytes = [0; 8];
            bytes[..range.len()].copy_from_slice(&footer[range]);
            u64::from_le_bytes(bytes)
        };
        if footer[48..] != MAGIC {
            return Err(Error::corrupted(path, "it does not end as a file of an index does"));
        }
        let (payload_bytes, block_bytes, version) = (number(0..8), number(8..12) as u32, number(12..16) as u32);
        let table_bytes = payload_bytes.div_ceil(BLOCK_BYTES as u64).checked_mul(SUM_BYTES as u64);
        if table_bytes.and_then(|table| table.checked_add(payload_bytes)) != Some(body.len() as u64) {
            return Err(Error::corrupted(path, "its length is not what its footer says"));
        }
        let payload_bytes = payload_bytes as usize;
        let hash = footer_hash(&name_of(path), payload_bytes as u64, block_bytes, version, &body[payload_bytes..]);
        if footer[16..48] != *hash.as_bytes() {
            return Err(Error::corrupted(
                path,
                "its footer or block table is damaged, or it was written as another file",
            ));
        }
        if version != VERSION || block_bytes as usize != BLOCK_BYTES {
            return Err(Error::UnknownFormat {
                file: path.to_path_buf(),
                found: format!("{version} with blocks of {block_bytes} bytes"),
                supported: format!("{VERSION} with blocks of {BLOCK_BYTES} bytes"),
            });
        }
        let blocks = payload_bytes.div_ceil(BLOCK_BYTES);
        let verified = (0..blocks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let unverified = AtomicUsize::new(blocks);
        Ok(Self { path: path.to_path_buf(), map, payload_bytes, hash, verified, unverified })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Length without table and footer.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    pub(crate) fn seal(&self) -> Seal {
        Seal { bytes: self.map.len() as u64, hash: self.hash }
    }

    /// Bytes of the payload, after every block they touch has been verified.
    ///
    /// # Errors
    /// `Corrupted` when a block is damaged or `range` ends behind the payload.
    pub(crate) fn read(&self, range: Range<usize>) -> Result<&[u8], Error> {
        self.check(range.clone())?;
        Ok(&self.map[range])
    }

    /// Whether every block has been verified.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        self.unverified.load(Ordering::Relaxed) == 0
    }

    /// The payload, for readers that [`check`](Self::check) each part of it before they read it.
    #[inline]
    pub(crate) fn unchecked(&self) -> &[u8] {
        &self.map[..self.payload_bytes]
    }

    /// Asks the memory for a byte before it is needed.
    #[inline]
    pub(crate) fn prefetch(&self, at: usize) {
        #[cfg(target_arch = "x86_64")]
        if at < self.payload_bytes {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: the address lies within the mapping; a prefetch does not read it.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.map.as_ptr().add(at).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    /// As [`read`](Self::read), holding on to the mapping.
    pub(crate) fn read_owned(&self, range: Range<usize>) -> Result<OwnedBytes, Error> {
        self.check(range.clone())?;
        Ok(self.map.slice(range))
    }

    /// The whole file as it is on the disk, trailer included; not verified.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.map
    }

    /// Verifies every block again, whether it has been touched or not.
    pub(crate) fn verify(&self) -> Result<(), Error> {
        (0..self.payload_bytes.div_ceil(BLOCK_BYTES)).try_for_each(|block| self.verify_block(block))
    }

    /// Verifies the blocks of a range that have not been yet.
    ///
    /// # Errors
    /// `Corrupted` when a block is damaged or `range` ends behind the payload.
    #[inline]
    pub(crate) fn check(&self, range: Range<usize>) -> Result<(), Error> {
        if self.is_whole() && range.start <= range.end && range.end <= self.payload_bytes {
            return Ok(());
        }
        self.check_blocks(&range)
    }

    fn check_blocks(&self, range: &Range<usize>) -> Result<(), Error> {
        if range.start > range.end || range.end > self.payload_bytes {
            let reason = format!("bytes {}..{} lie outside its {} bytes", range.start, range.end, self.payload_bytes);
            return Err(Error::corrupted(&self.path, reason));
        }
        if range.is_empty() {
            return Ok(());
        }
        for block in range.start / BLOCK_BYTES..=(range.end - 1) / BLOCK_BYTES {
            let (word, bit) = (&self.verified[block / 64], 1u64 << (block % 64));
            // Two threads may verify the same block; both come to the same verdict.
            if word.load(Ordering::Relaxed) & bit == 0 {
                self.verify_block(block)?;
                if word.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
                    self.unverified.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    fn verify_block(&self, block: usize) -> Result<(), Error> {
        let start = block * BLOCK_BYTES;
        let end = self.payload_bytes.min(start + BLOCK_BYTES);
        let sum_start = self.payload_bytes + block * SUM_BYTES;
        if self.map[sum_start..sum_start + SUM_BYTES] == block_sum(&self.map[start..end]) {
            return Ok(());
        }
        Err(Error::corrupted(&self.path, format!("bytes {start} to {end} do not match their checksum")))
    }
}

impl std::fmt::Debug for BlockFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockFile")
            .field("path", &self.path)
            .field("payload_bytes", &self.payload_bytes)
            .finish_non_exhaustive()
    }
}

fn block_sum(block: &[u8]) -> [u8; SUM_BYTES] {
    let mut sum = [0; SUM_BYTES];
    sum.copy_from_slice(&blake3::hash(block).as_bytes()[..SUM_BYTES]);
    sum
}

/// Binds the table to the file's name, so that a file in another's place is noticed.
fn footer_hash(name: &str, payload_bytes: u64, block_bytes: u32, version: u32, table: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name.as_bytes());
    hasher.update(&payload_bytes.to_le_bytes());
    hasher.update(&block_bytes.to_le_bytes());
    hasher.update(&version.to_le_bytes());
    hasher.update(table);
    hasher.finalize()
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Seals the bytes of a small text file with a last line that holds their hash.
pub(crate) fn seal_text(name: &str, text: &[u8]) -> Vec<u8> {
    let mut sealed = text.to_vec();
    sealed.extend_from_slice(text_seal(name, text).as_bytes());
    sealed
}

/// Gives back what [`seal_text`] was given.
///
/// # Errors
/// `Corrupted` when a single bit differs, the last line's included.
pub(crate) fn unseal_text(path: &Path, mut sealed: Vec<u8>) -> Result<Vec<u8>, Error> {
    let Some(text_bytes) = sealed.len().checked_sub(TEXT_SEAL_BYTES) else {
        return Err(Error::corrupted(path, "it is too short to hold its checksum line"));
    };
    let (text, seal) = sealed.split_at(text_bytes);
    if text_seal(&name_of(path), text).as_bytes() != seal {
        return Err(Error::corrupted(path, "its bytes do not match its checksum line"));
    }
    sealed.truncate(text_bytes);
    Ok(sealed)
}

/// `//blake3 `, 64 hex digits, line feed.
const TEXT_SEAL_BYTES: usize = 9 + 64 + 1;

fn text_seal(name: &str, text: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name.as_bytes());
    hasher.update(text);
    format!("//blake3 {}\n", hasher.finalize().to_hex())
}

/// Carries an error of ours through an interface that only knows `io::Error`.
pub(crate) fn through_io(error: Error) -> io::Error {
    Fault::from_error(error).into_io()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(dir: &Path, name: &str, payload: &[u8]) -> PathBuf {
        let path = dir.join(name);
        let mut writer = BlockWriter::create(&Disk::default(), &path).unwrap();
        writer.write_all(payload).unwrap();
        let seal = writer.finish().unwrap();
        assert_eq!(seal, BlockFile::open(&path).unwrap().seal());
        path
    }

    #[test]
    fn gives_back_what_was_written_at_every_size() {
        let dir = tempfile::tempdir().unwrap();
        for size in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 17] {
            let payload: Vec<u8> = (0..size).map(|position| (position * 31 % 251) as u8).collect();
            let file = BlockFile::open(&written(dir.path(), &size.to_string(), &payload)).unwrap();
            assert_eq!(file.read(0..size).unwrap(), payload);
            file.verify().unwrap();
        }
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), "file", &vec![7; BLOCK_BYTES + 100]);
        let bytes = std::fs::read(&path).unwrap();
        for position in (0..bytes.len()).step_by(997).chain(BLOCK_BYTES + 90..bytes.len()) {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x10;
            std::fs::write(&path, &damaged).unwrap();
            let verdict = BlockFile::open(&path).and_then(|file| file.verify());
            assert!(matches!(verdict, Err(Error::Corrupted { .. })), "byte {position}: {verdict:?}");
            std::fs::write(&path, &bytes[..position]).unwrap();
            assert!(matches!(BlockFile::open(&path), Err(Error::Corrupted { .. })), "cut to {position}");
        }
    }

    #[test]
    fn a_block_is_verified_only_when_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), "file", &vec![7; 2 * BLOCK_BYTES]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[BLOCK_BYTES] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let file = BlockFile::open(&path).unwrap();
        assert!(file.read(0..BLOCK_BYTES).is_ok());
        assert!(matches!(file.read(BLOCK_BYTES - 1..BLOCK_BYTES + 1), Err(Error::Corrupted { .. })));
    }

    #[test]
    fn a_file_under_another_name_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), "file", b"payload");
        let other = dir.path().join("other");
        std::fs::rename(path, &other).unwrap();
        assert!(matches!(BlockFile::open(&other), Err(Error::Corrupted { .. })));
    }

    #[test]
    fn sealed_text_comes_back_only_whole() {
        let sealed = seal_text("meta.json", b"{}\n");
        let path = Path::new("lexical/meta.json");
        assert_eq!(unseal_text(path, sealed.clone()).unwrap(), b"{}\n");
        for position in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[position] ^= 1;
            assert!(unseal_text(path, damaged).is_err(), "byte {position}");
            assert!(unseal_text(path, sealed[..position].to_vec()).is_err(), "cut to {position}");
        }
        assert!(unseal_text(Path::new("lexical/other.json"), sealed).is_err());
    }
}
