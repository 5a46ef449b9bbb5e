//! The writer's side of the dense half: collects rows, spills them to segments, keeps the segments few.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_types::{ContentKey, Embedding};

use super::segment::{RowLabel, Segment, write_segment};
use super::tombstones::Tombstones;
use crate::Error;
use crate::blocks::BlockFile;
use crate::directory::OpenFiles;
use crate::disk::Disk;
use crate::manifest::{DENSE_FOLDER, DeletedEntry, FileEntry, Manifest, SegmentEntry};

/// Bytes of rows that are held in memory before they go to a segment of their own.
const SPILL_BYTES: usize = 32 * 1024 * 1024;
/// A segment is written anew once this share of its rows is deleted.
const DEAD_SHARE: u64 = 2;

/// A segment with its tombstones, as one commit sees it.
#[derive(Debug, Clone)]
pub(crate) struct LiveSegment {
    pub(crate) segment: Arc<Segment>,
    pub(crate) deleted: Arc<Tombstones>,
    /// What the tombstones were read from; held open so that it can be verified for as long as the snapshot lives.
    pub(crate) deleted_file: Option<Arc<BlockFile>>,
    entry: SegmentEntry,
}

/// Opens the segments that a manifest names.
///
/// # Errors
/// `Corrupted`, `UnknownFormat`; `Io` of kind `NotFound` when a file is gone.
pub(crate) fn open_segments(index: &Path, files: &OpenFiles, manifest: &Manifest) -> Result<Vec<LiveSegment>, Error> {
    let folder = index.join(DENSE_FOLDER);
    manifest.segments.iter().map(|entry| open_segment(&folder, files, entry, manifest.settings.dimensions)).collect()
}

fn open_segment(folder: &Path, files: &OpenFiles, entry: &SegmentEntry, dims: usize) -> Result<LiveSegment, Error> {
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
    let segment = Segment::open(open(&entry.file)?, dims)?;
    if segment.rows() as u64 != entry.rows {
        return Err(Error::corrupted(segment.file().path(), "it has another number of rows than the manifest says"));
    }
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
    Ok(LiveSegment { segment: Arc::new(segment), deleted: Arc::new(deleted), deleted_file, entry: entry.clone() })
}

/// Rows that are in memory only.
#[derive(Debug, Default)]
struct Buffer {
    labels: Vec<RowLabel>,
    values: Vec<f32>,
    by_key: HashMap<ContentKey, usize>,
}

/// The dense half of a writer.
#[derive(Debug)]
pub(crate) struct DenseStore {
    folder: PathBuf,
    disk: Disk,
    files: Arc<OpenFiles>,
    dimensions: usize,
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
            dimensions: manifest.settings.dimensions,
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
    pub(crate) fn push(&mut self, label: RowLabel, embedding: &Embedding) -> Result<(), Error> {
        self.buffer.by_key.insert(label.key, self.buffer.labels.len());
        self.buffer.labels.push(label);
        self.buffer.values.extend_from_slice(embedding.as_slice());
        if self.buffer.values.len() * size_of::<f32>() >= SPILL_BYTES {
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
            let values = &self.buffer.values[row * self.dimensions..][..self.dimensions];
            return Embedding::normalized(values.to_vec()).ok();
        }
        self.segments.iter().rev().find_map(|live| {
            let row = live.segment.row_of_key(key).ok().flatten()?;
            Embedding::normalized(live.segment.vectors(row..row + 1).ok()?.to_vec()).ok()
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
        let Buffer { labels, values, .. } = std::mem::take(&mut self.buffer);
        let alive: Vec<usize> =
            (0..labels.len()).filter(|&row| !self.removed.contains(&labels[row].document_no)).collect();
        if alive.is_empty() {
            return Ok(());
        }
        let kept: Vec<RowLabel> = alive.iter().map(|&row| labels[row]).collect();
        let rows = alive.iter().map(|&row| Ok(&values[row * self.dimensions..][..self.dimensions]));
        let live = write_live(&self.folder, &self.disk, &self.files, self.next_segment, self.dimensions, &kept, rows)?;
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
                places.push((&live.segment, row));
            }
        }
        let rows = places.into_iter().map(|(segment, row)| segment.vectors(row..row + 1));
        write_live(&self.folder, &self.disk, &self.files, self.next_segment, self.dimensions, &labels, rows)
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

fn write_live<'a>(
    folder: &Path,
    disk: &Disk,
    files: &OpenFiles,
    number: u64,
    dimensions: usize,
    labels: &[RowLabel],
    rows: impl Iterator<Item = Result<&'a [f32], Error>>,
) -> Result<LiveSegment, Error> {
    let name = format!("{number:08}.rows");
    let seal = write_segment(disk, &folder.join(&name), dimensions as u32, labels, rows)?;
    let file = FileEntry::new(name, &seal);
    open_segment(folder, files, &SegmentEntry { number, rows: labels.len() as u64, file, deleted: None }, dimensions)
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
