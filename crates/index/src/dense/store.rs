//! The writer's side of the dense half: collects rows, spills them to segments, keeps the segments few.

mod purge;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_types::{ContentKey, Embedding, TokenRows};

use super::segment::{RowLabel, Segment, write_segment};
use super::tombstones::Tombstones;
use crate::Error;
use crate::blocks::BlockFile;
use crate::directory::OpenFiles;
use crate::disk::Disk;
use crate::late::{self, TokenFile, write_tokens};
use crate::manifest::{DENSE_FOLDER, DeletedEntry, FileEntry, Manifest, SegmentEntry, TokensEntry};
use crate::{IndexSettings, TokenSettings};

/// Bytes of rows, token rows included, that are held in memory before they go to a segment of their own.
const SPILL_BYTES: usize = 32 * 1024 * 1024;
/// A segment is written anew once this share of its rows is deleted.
const DEAD_SHARE: u64 = 2;

/// A segment with its tombstones, as one commit sees it.
#[derive(Debug, Clone)]
pub(crate) struct LiveSegment {
    pub(crate) segment: Arc<Segment>,
    /// In every segment of an index with token rows, in none of another.
    pub(crate) tokens: Option<Arc<TokenFile>>,
    pub(crate) deleted: Arc<Tombstones>,
    /// What the tombstones were read from; held open so that it can be verified for as long as the snapshot lives.
    pub(crate) deleted_file: Option<Arc<BlockFile>>,
    entry: SegmentEntry,
}

impl LiveSegment {
    /// The token rows of a segment of an index that has them.
    pub(crate) fn token_file(&self) -> &TokenFile {
        self.tokens.as_ref().expect("an index has token rows in every segment or in none")
    }
}

/// Opens the segments that a manifest names.
///
/// # Errors
/// `Corrupted`, `UnknownFormat`; `Io` of kind `NotFound` when a file is gone.
pub(crate) fn open_segments(index: &Path, files: &OpenFiles, manifest: &Manifest) -> Result<Vec<LiveSegment>, Error> {
    let folder = index.join(DENSE_FOLDER);
    let shape = Shape::of(&manifest.settings);
    manifest.segments.iter().map(|entry| open_segment(&folder, files, entry, shape)).collect()
}

/// Values in the rows of an index.
#[derive(Debug, Clone, Copy)]
struct Shape {
    dimensions: usize,
    /// Of token rows; none in an index without.
    token_dimensions: Option<usize>,
}

impl Shape {
    fn of(settings: &IndexSettings) -> Self {
        let token_dimensions = settings.tokens.as_ref().map(|TokenSettings { dimensions, .. }| *dimensions);
        Self { dimensions: settings.dimensions, token_dimensions }
    }
}

fn open_segment(folder: &Path, files: &OpenFiles, entry: &SegmentEntry, shape: Shape) -> Result<LiveSegment, Error> {
    let open = |file: &FileEntry| -> Result<Arc<BlockFile>, Error> {
        let path = folder.join(&file.name);
        let opened = files.open(&path)?;
        if file.check(&opened).is_ok() {
            return Ok(opened);
        }
        // An index that was built anew in the same place gives its numbers out again, and ours may still be mapped.
        files.forget(&path);
        let opened = files.open(&path)?;
        file.check(&opened)?;
        Ok(opened)
    };
    let segment = Segment::open(open(&entry.file)?, shape.dimensions)?;
    if segment.rows() as u64 != entry.rows {
        return Err(Error::corrupted(segment.file().path(), "it has another number of rows than the manifest says"));
    }
    let tokens = match (&entry.tokens, shape.token_dimensions) {
        (Some(tokens), Some(dimensions)) => {
            let file = TokenFile::open(open(&tokens.file)?, segment.rows(), dimensions)?;
            if file.tokens() != tokens.rows {
                return Err(Error::corrupted(
                    file.file().path(),
                    "it has another number of rows than the manifest says",
                ));
            }
            Some(Arc::new(file))
        }
        _ => None,
    };
    let (deleted, deleted_file) = match &entry.deleted {
        None => (Tombstones::none(entry.rows), None),
        Some(deleted) => {
            let file = open(&deleted.file)?;
            let tombstones = Tombstones::read(&file, entry.rows)?;
            if tombstones.deleted() != deleted.rows {
                return Err(Error::corrupted(file.path(), "it deletes another number of rows than the manifest says"));
            }
            (tombstones, Some(file))
        }
    };
    let (segment, deleted) = (Arc::new(segment), Arc::new(deleted));
    Ok(LiveSegment { segment, tokens, deleted, deleted_file, entry: entry.clone() })
}

/// Rows that are in memory only.
#[derive(Debug, Default)]
struct Buffer {
    labels: Vec<RowLabel>,
    values: Vec<f32>,
    /// Encoded token rows of each chunk; empty in an index without.
    tokens: Vec<Vec<u8>>,
    by_key: HashMap<ContentKey, usize>,
    bytes: usize,
}

/// The dense half of a writer.
#[derive(Debug)]
pub(crate) struct DenseStore {
    folder: PathBuf,
    disk: Disk,
    files: Arc<OpenFiles>,
    shape: Shape,
    /// Committed segments, then those spilled since; chunk numbers ascend throughout.
    segments: Vec<LiveSegment>,
    buffer: Buffer,
    /// Documents whose rows are to be deleted with the next commit.
    removed: HashSet<u64>,
    next_segment: u64,
}

impl DenseStore {
    /// Opens the dense half of a commit for writing.
    pub(crate) fn open(index: &Path, disk: Disk, files: Arc<OpenFiles>, manifest: &Manifest) -> Result<Self, Error> {
        let segments = open_segments(index, &files, manifest)?;
        Ok(Self {
            folder: index.join(DENSE_FOLDER),
            disk,
            files,
            shape: Shape::of(&manifest.settings),
            segments,
            buffer: Buffer::default(),
            removed: HashSet::new(),
            next_segment: manifest.next.segment,
        })
    }

    /// Number that the next segment gets.
    pub(crate) fn next_segment(&self) -> u64 {
        self.next_segment
    }

    /// Adds a row; chunk numbers ascend from call to call.
    /// Token rows come with every one or with none, as the index has them.
    pub(crate) fn push(
        &mut self,
        label: RowLabel,
        embedding: &Embedding,
        tokens: Option<&TokenRows>,
    ) -> Result<(), Error> {
        assert_eq!(tokens.map(TokenRows::dimensions), self.shape.token_dimensions, "token rows as the index has them");
        let buffer = &mut self.buffer;
        buffer.by_key.insert(label.key, buffer.labels.len());
        buffer.labels.push(label);
        buffer.values.extend_from_slice(embedding.as_slice());
        buffer.bytes += size_of_val(embedding.as_slice());
        if let Some(tokens) = tokens {
            let mut encoded = Vec::with_capacity(tokens.rows() * late::stride(tokens.dimensions()));
            late::encode(tokens, &mut encoded);
            buffer.bytes += encoded.len();
            buffer.tokens.push(encoded);
        }
        if buffer.bytes >= SPILL_BYTES {
            self.spill()?;
        }
        Ok(())
    }

    /// Deletes the rows of a document, in memory or on disk, with the next commit.
    pub(crate) fn remove(&mut self, document_no: u64) {
        self.removed.insert(document_no);
    }

    /// A vector that is stored under this key. A damaged row counts as none, so that it is computed anew.
    pub(crate) fn embedding(&self, key: &ContentKey) -> Option<Embedding> {
        if let Some(&row) = self.buffer.by_key.get(key) {
            let values = &self.buffer.values[row * self.shape.dimensions..][..self.shape.dimensions];
            return Embedding::normalized(values.to_vec()).ok();
        }
        self.segments.iter().rev().find_map(|live| {
            let row = live.segment.row_of_key(key).ok().flatten()?;
            Embedding::normalized(live.segment.vectors(row..row + 1).ok()?.to_vec()).ok()
        })
    }

    /// The token rows that are stored under this key; damaged ones count as none, as in [`embedding`](Self::embedding).
    pub(crate) fn tokens(&self, key: &ContentKey) -> Option<TokenRows> {
        let dimensions = self.shape.token_dimensions?;
        if let Some(&row) = self.buffer.by_key.get(key) {
            return late::decode(&self.buffer.tokens[row], dimensions);
        }
        self.segments.iter().rev().find_map(|live| {
            let row = live.segment.row_of_key(key).ok().flatten()?;
            late::decode(live.tokens.as_ref()?.rows(row).ok()?, dimensions)
        })
    }

    /// Brings rows, deletions and merges to the disk. The files count only once a manifest names them.
    pub(crate) fn prepare(&mut self, generation: u64) -> Result<Vec<SegmentEntry>, Error> {
        self.spill()?;
        self.bury()?;
        self.merge()?;
        self.write_tombstones(generation)?;
        self.disk.sync_directory(&self.folder)?;
        Ok(self.segments.iter().map(|live| live.entry.clone()).collect())
    }

    /// Writes the buffer to a segment, less the rows that are removed already.
    fn spill(&mut self) -> Result<(), Error> {
        let Buffer { labels, values, tokens, .. } = std::mem::take(&mut self.buffer);
        let alive: Vec<usize> =
            (0..labels.len()).filter(|&row| !self.removed.contains(&labels[row].document_no)).collect();
        if alive.is_empty() {
            return Ok(());
        }
        let kept: Vec<RowLabel> = alive.iter().map(|&row| labels[row]).collect();
        let dimensions = self.shape.dimensions;
        let rows = alive.iter().map(|&row| Ok(&values[row * dimensions..][..dimensions]));
        let tokens = self.shape.token_dimensions.map(|dimensions| {
            let tokens: Vec<&[u8]> = alive.iter().map(|&row| &tokens[row][..]).collect();
            let counts = tokens.iter().map(|bytes| (bytes.len() / late::stride(dimensions)) as u64).collect();
            (counts, tokens.into_iter().map(Ok))
        });
        let live = self.write_live(&kept, rows, tokens)?;
        self.next_segment += 1;
        self.segments.push(live);
        Ok(())
    }

    /// Marks the rows of removed documents.
    fn bury(&mut self) -> Result<(), Error> {
        if self.removed.is_empty() {
            return Ok(());
        }
        for live in &mut self.segments {
            let document_nos = live.segment.document_nos(0..live.segment.rows())?;
            let dead = document_nos.iter().enumerate().filter(|(_, number)| self.removed.contains(number));
            let dead: Vec<usize> = dead.map(|(row, _)| row).filter(|&row| !live.deleted.contains(row)).collect();
            if !dead.is_empty() {
                let deleted = Arc::make_mut(&mut live.deleted);
                for row in dead {
                    deleted.insert(row);
                }
            }
        }
        self.removed.clear();
        Ok(())
    }

    /// Keeps segments few: as long as the newer ones together reach the size of the next older one, they join it, so
    /// that a row is copied a logarithmic number of times. Segments that are mostly dead are written anew.
    fn merge(&mut self) -> Result<(), Error> {
        self.segments.retain(|live| live.deleted.alive() > 0);
        let sizes: Vec<u64> = self.segments.iter().map(|live| live.deleted.alive()).collect();
        let first = first_to_merge(&sizes);
        if first + 1 < self.segments.len() {
            let merged = self.rewrite(&self.segments[first..])?;
            self.segments.truncate(first);
            self.segments.push(merged);
            self.next_segment += 1;
        }
        for at in 0..self.segments.len() {
            let live = &self.segments[at];
            if live.deleted.deleted() * DEAD_SHARE > live.segment.rows() as u64 {
                self.segments[at] = self.rewrite(&self.segments[at..=at])?;
                self.next_segment += 1;
            }
        }
        Ok(())
    }

    /// Copies the living rows of neighbouring segments into one, a row at a time.
    fn rewrite(&self, sources: &[LiveSegment]) -> Result<LiveSegment, Error> {
        let mut places = Vec::new();
        let mut labels = Vec::new();
        for live in sources {
            for row in (0..live.segment.rows()).filter(|&row| !live.deleted.contains(row)) {
                labels.push(live.segment.label(row)?);
                places.push((live, row));
            }
        }
        let rows = places.iter().map(|(live, row)| live.segment.vectors(*row..row + 1));
        let tokens = if self.shape.token_dimensions.is_some() {
            let files = places.iter().map(|(live, row)| (live.token_file(), *row));
            let counts = files.clone().map(|(file, row)| file.count(row)).collect::<Result<_, Error>>()?;
            Some((counts, files.map(|(file, row)| file.rows(row))))
        } else {
            None
        };
        self.write_live(&labels, rows, tokens)
    }

    /// Writes a segment under the next number and opens it. Token rows are given as how many each chunk has, and those.
    fn write_live<'a>(
        &self,
        labels: &[RowLabel],
        rows: impl Iterator<Item = Result<&'a [f32], Error>>,
        tokens: Option<(Vec<u64>, impl Iterator<Item = Result<&'a [u8], Error>>)>,
    ) -> Result<LiveSegment, Error> {
        let number = self.next_segment;
        let name = format!("{number:08}.rows");
        let seal = write_segment(&self.disk, &self.folder.join(&name), self.shape.dimensions as u32, labels, rows)?;
        let file = FileEntry::new(name, &seal);
        let tokens = match (tokens, self.shape.token_dimensions) {
            (Some((counts, chunks)), Some(dimensions)) => {
                let name = format!("{number:08}.tokens");
                let seal = write_tokens(&self.disk, &self.folder.join(&name), dimensions, &counts, chunks)?;
                Some(TokensEntry { rows: counts.iter().sum(), file: FileEntry::new(name, &seal) })
            }
            _ => None,
        };
        let entry = SegmentEntry { number, rows: labels.len() as u64, file, tokens, deleted: None };
        open_segment(&self.folder, &self.files, &entry, self.shape)
    }

    fn write_tombstones(&mut self, generation: u64) -> Result<(), Error> {
        for live in &mut self.segments {
            let deleted = live.deleted.deleted();
            if live.entry.deleted.as_ref().map_or(0, |entry| entry.rows) != deleted {
                let name = format!("{:08}-{generation}.deleted", live.entry.number);
                let seal = live.deleted.write(&self.disk, &self.folder.join(&name))?;
                live.entry.deleted = Some(DeletedEntry { rows: deleted, file: FileEntry::new(name, &seal) });
                live.deleted_file = None;
            }
        }
        Ok(())
    }
}

/// The first of the segments that are to become one; `sizes.len() - 1` or more when none are.
fn first_to_merge(sizes: &[u64]) -> usize {
    let Some(mut first) = sizes.len().checked_sub(1) else { return 0 };
    let mut newer = sizes[first];
    while first > 0 && newer >= sizes[first - 1] {
        first -= 1;
        newer += sizes[first];
    }
    first
}

#[cfg(test)]
mod tests {
    use super::first_to_merge;

    #[test]
    fn newer_segments_join_an_older_one_that_they_outweigh() {
        assert_eq!(first_to_merge(&[]), 0);
        assert_eq!(first_to_merge(&[5]), 0);
        assert_eq!(first_to_merge(&[8, 4, 2, 1]), 3);
        assert_eq!(first_to_merge(&[8, 4, 2, 2]), 0);
        assert_eq!(first_to_merge(&[100, 4, 2, 2]), 1);
    }

    #[test]
    fn hundreds_of_commits_leave_few_segments_and_copy_little() {
        let (mut sizes, mut copied) = (Vec::new(), 0);
        for size in std::iter::repeat_n(10, 1000) {
            sizes.push(size);
            let first = first_to_merge(&sizes);
            if first + 1 < sizes.len() {
                let merged = sizes[first..].iter().sum();
                copied += merged;
                sizes.truncate(first);
                sizes.push(merged);
            }
        }
        assert_eq!(sizes.iter().sum::<u64>(), 10_000);
        assert!(sizes.len() <= 10, "{sizes:?}");
        assert!(copied <= 10_000 * 10, "{copied} rows copied");
    }
}
