//! The writer's side of the dense half: collects rows, spills them to segments, keeps the segments few.

mod purge;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use berth_types::{ContentKey, Embedding, TokenRows};

use super::graph::GraphParameters;
use super::live::{LiveSegment, Shape, open_segments};
use super::merge::{Running, Size, Work, delete, plan, to_compact};
use super::segment::RowLabel;
use super::writing::SegmentPlace;
use crate::Error;
use crate::directory::OpenFiles;
use crate::disk::Disk;
use crate::late;
use crate::manifest::{DENSE_FOLDER, DeletedEntry, FileEntry, Manifest, SegmentEntry, has_graphs};

/// Bytes of rows, token rows included, that are held in memory before they go to a segment of their own.
const SPILL_BYTES: usize = 32 * 1024 * 1024;

/// How the dense half arranges its segments. The defaults suit; others are for tests and measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DenseOptions {
    /// A segment of so many rows gets a graph. Below, a scan of all rows is as fast, and exact.
    pub graph_from_rows: u64,
    /// How graphs are built.
    pub graph: GraphParameters,
    /// Segments of so many rows together are worked on in the background, smaller ones within a commit.
    pub background_from_rows: u64,
    /// Segments are not merged into larger ones, which bounds the memory that a graph takes while it is built.
    pub largest_segment: u64,
    /// A commit waits for the work in the background while there are more segments than that.
    pub most_segments: usize,
}

impl Default for DenseOptions {
    fn default() -> Self {
        Self {
            graph_from_rows: 20_000,
            graph: GraphParameters::default(),
            background_from_rows: 20_000,
            largest_segment: 4_000_000,
            most_segments: 24,
        }
    }
}

impl DenseOptions {
    /// These, without graphs in an index that has no place for them.
    fn of_format(self, has_graphs: bool) -> Self {
        let graph_from_rows = if has_graphs { self.graph_from_rows } else { u64::MAX };
        Self { graph_from_rows, ..self }
    }
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
    place: SegmentPlace,
    options: DenseOptions,
    /// Whether the index is of a format that has graphs.
    has_graphs: bool,
    /// Committed segments, then those spilled since; chunk numbers ascend throughout.
    segments: Vec<LiveSegment>,
    buffer: Buffer,
    /// Documents whose rows are to be deleted with the next commit.
    removed: HashSet<u64>,
    running: Option<Running>,
    /// Whether segments took the place of others since the last commit.
    rearranged: bool,
    next_segment: u64,
}

impl DenseStore {
    /// Opens the dense half of a commit for writing.
    pub(crate) fn open(index: &Path, disk: Disk, files: Arc<OpenFiles>, manifest: &Manifest) -> Result<Self, Error> {
        let segments = open_segments(index, &files, manifest)?;
        let has_graphs = has_graphs(manifest.format);
        Ok(Self {
            place: SegmentPlace { folder: index.join(DENSE_FOLDER), disk, files, shape: Shape::of(&manifest.settings) },
            options: DenseOptions::default().of_format(has_graphs),
            has_graphs,
            segments,
            buffer: Buffer::default(),
            removed: HashSet::new(),
            running: None,
            rearranged: false,
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
        assert_eq!(
            tokens.map(TokenRows::dimensions),
            self.place.shape.token_dimensions,
            "token rows as the index has them"
        );
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
            let values = &self.buffer.values[row * self.place.shape.dimensions..][..self.place.shape.dimensions];
            return Embedding::normalized(values.to_vec()).ok();
        }
        self.segments.iter().rev().find_map(|live| {
            let row = live.segment.row_of_key(key).ok().flatten()?;
            Embedding::normalized(live.segment.vectors(row..row + 1).ok()?.into_owned()).ok()
        })
    }

    /// The number of a chunk that has this key, the newest one; of rows in memory none.
    pub(crate) fn chunk_of_key(&self, key: &ContentKey) -> Option<u64> {
        self.segments.iter().rev().find_map(|live| {
            let row = live.segment.row_of_key(key).ok().flatten()?;
            Some(live.segment.label(row).ok()?.chunk_id)
        })
    }

    /// The token rows that are stored under this key; damaged ones count as none, as in [`embedding`](Self::embedding).
    pub(crate) fn tokens(&self, key: &ContentKey) -> Option<TokenRows> {
        let dimensions = self.place.shape.token_dimensions?;
        if let Some(&row) = self.buffer.by_key.get(key) {
            return late::decode(&self.buffer.tokens[row], dimensions);
        }
        self.segments.iter().rev().find_map(|live| {
            let row = live.segment.row_of_key(key).ok().flatten()?;
            late::decode(live.tokens.as_ref()?.rows(row).ok()?, dimensions)
        })
    }

    /// Arranges segments otherwise from now on.
    pub(crate) fn set_options(&mut self, options: DenseOptions) {
        self.options = options.of_format(self.has_graphs);
    }

    /// Brings rows, deletions and merges to the disk. The files count only once a manifest names them.
    pub(crate) fn prepare(&mut self, generation: u64) -> Result<Vec<SegmentEntry>, Error> {
        self.spill()?;
        self.bury()?;
        self.arrange()?;
        self.rearranged = false;
        self.write_tombstones(generation)?;
        self.place.disk.sync_directory(&self.place.folder)?;
        Ok(self.segments.iter().map(|live| live.entry.clone()).collect())
    }

    /// Whether work in the background is done, or there is some to begin: a commit would change the segments.
    pub(crate) fn wants_commit(&self) -> bool {
        match &self.running {
            Some(running) => self.rearranged || running.is_done(),
            None => self.rearranged || self.plan().is_some(),
        }
    }

    /// Whether a file belongs to a segment that the next commit will name, or that is being worked on.
    pub(crate) fn holds(&self, name: &str) -> bool {
        let in_progress = self.running.as_ref().map(|running| format!("{:08}.", running.number()));
        in_progress.is_some_and(|prefix| name.starts_with(&prefix))
            || self.segments.iter().any(|live| live.entry.files().any(|file| file.name == name))
    }

    /// Waits until the work in the background is done, if there is any; says whether there was.
    pub(crate) fn wait(&mut self) -> Result<bool, Error> {
        let Some(running) = self.running.take() else { return Ok(false) };
        running.install(&mut self.segments)?;
        self.rearranged = true;
        Ok(true)
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
        let dimensions = self.place.shape.dimensions;
        let rows = alive.iter().map(|&row| Ok::<_, Error>(&values[row * dimensions..][..dimensions]));
        let tokens = self.place.shape.token_dimensions.map(|dimensions| {
            let tokens: Vec<&[u8]> = alive.iter().map(|&row| &tokens[row][..]).collect();
            let counts = tokens.iter().map(|bytes| (bytes.len() / late::stride(dimensions)) as u64).collect();
            (counts, tokens.into_iter().map(Ok))
        });
        let live = self.place.write(self.next_segment, &kept, rows, tokens)?;
        self.next_segment += 1;
        self.segments.push(live);
        Ok(())
    }

    /// Marks the rows of removed documents.
    fn bury(&mut self) -> Result<(), Error> {
        for live in &mut self.segments {
            delete(live, &self.removed)?;
        }
        if let Some(running) = &mut self.running {
            running.remember(&self.removed);
        }
        self.removed.clear();
        Ok(())
    }

    /// Takes what is done in the background, merges what is small, and begins what is not.
    fn arrange(&mut self) -> Result<(), Error> {
        if self.running.as_ref().is_some_and(Running::is_done) {
            self.wait()?;
        }
        let running = self.running.as_ref();
        self.segments.retain(|live| live.deleted.alive() > 0 || running.is_some_and(|running| running.has(live)));
        loop {
            while let Some((first, work)) = self.plan() {
                let (first, count) = match work {
                    Work::Merge { first: at, count } => (first + at, count),
                    Work::Graph { at } => (first + at, 1),
                };
                let sources = &self.segments[first..first + count];
                let alive: u64 = sources.iter().map(|live| live.deleted.alive()).sum();
                let is_small = alive < self.options.background_from_rows && matches!(work, Work::Merge { .. });
                if is_small {
                    let merged = self.place.rewrite(self.next_segment, sources)?;
                    self.segments.splice(first..first + count, [merged]);
                    self.next_segment += 1;
                } else if self.running.is_none() {
                    let sources = sources.to_vec();
                    let place = self.place.clone();
                    self.running = Some(Running::start(place, sources, work, self.next_segment, self.options));
                    self.next_segment += 1;
                } else {
                    break;
                }
            }
            if self.segments.len() <= self.options.most_segments || !self.wait()? {
                return Ok(());
            }
        }
    }

    /// Does one step towards as few segments as there can be, none of them with deleted rows; says whether there was one.
    ///
    /// What is in memory has been committed.
    pub(crate) fn compact(&mut self) -> Result<bool, Error> {
        self.wait()?;
        let sizes: Vec<Size> = self.segments.iter().map(Size::of).collect();
        let Some((first, count)) = to_compact(&sizes, self.options.largest_segment) else { return Ok(false) };
        let sources = self.segments[first..first + count].to_vec();
        let work = Work::Merge { first, count };
        self.running = Some(Running::start(self.place.clone(), sources, work, self.next_segment, self.options));
        self.next_segment += 1;
        self.wait()
    }

    /// The most urgent work on segments that nobody works on yet, and the first of these segments.
    fn plan(&self) -> Option<(usize, Work)> {
        let running = self.running.as_ref();
        let last = self.segments.iter().rposition(|live| running.is_some_and(|running| running.has(live)));
        let first = last.map_or(0, |last| last + 1);
        let sizes: Vec<Size> = self.segments[first..].iter().map(Size::of).collect();
        plan(&sizes, &self.options).map(|work| (first, work))
    }

    fn write_tombstones(&mut self, generation: u64) -> Result<(), Error> {
        for live in &mut self.segments {
            let deleted = live.deleted.deleted();
            if live.entry.deleted.as_ref().map_or(0, |entry| entry.rows) != deleted {
                let name = format!("{:08}-{generation}.deleted", live.entry.number);
                let seal = live.deleted.write(&self.place.disk, &self.place.folder.join(&name))?;
                live.entry.deleted = Some(DeletedEntry { rows: deleted, file: FileEntry::new(name, &seal) });
                live.deleted_file = None;
            }
        }
        Ok(())
    }
}
