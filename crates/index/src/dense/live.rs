//! Segments as one commit sees them: rows, token rows, tombstones and graph together.

use std::path::Path;
use std::sync::Arc;

use berth_types::RowKind;

use super::graph::GraphFile;
use super::segment::Segment;
use super::tombstones::Tombstones;
use crate::Error;
use crate::blocks::BlockFile;
use crate::directory::OpenFiles;
use crate::late::TokenFile;
use crate::manifest::{DENSE_FOLDER, FileEntry, Manifest, SegmentEntry};
use crate::{IndexSettings, TokenSettings};

/// A segment with what stands beside it, as one commit sees it.
#[derive(Debug, Clone)]
pub(crate) struct LiveSegment {
    pub(crate) segment: Arc<Segment>,
    /// In every segment of an index with token rows, in none of another.
    pub(crate) tokens: Option<Arc<TokenFile>>,
    /// In segments that are large, once it is built.
    pub(crate) graph: Option<Arc<GraphFile>>,
    pub(crate) deleted: Arc<Tombstones>,
    /// What the tombstones were read from; held open so that it can be verified for as long as the snapshot lives.
    pub(crate) deleted_file: Option<Arc<BlockFile>>,
    pub(crate) entry: SegmentEntry,
}

impl LiveSegment {
    /// The token rows of a segment of an index that has them.
    pub(crate) fn token_file(&self) -> &TokenFile {
        self.tokens.as_ref().expect("an index has token rows in every segment or in none")
    }

    /// Rows that are not deleted.
    pub(crate) fn alive(&self) -> usize {
        self.deleted.alive() as usize
    }

    /// Every file of it that is open.
    pub(crate) fn files(&self) -> impl Iterator<Item = &BlockFile> {
        let rows = std::iter::once(self.segment.file());
        let tokens = self.tokens.as_ref().map(|tokens| tokens.file());
        let graph = self.graph.as_ref().map(|graph| &**graph.file());
        rows.chain(tokens).chain(graph).chain(self.deleted_file.as_deref())
    }
}

/// Values in the rows of an index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) dimensions: usize,
    /// How new segments keep them; a segment that is there says itself.
    pub(crate) kind: RowKind,
    /// Of token rows; none in an index without.
    pub(crate) token_dimensions: Option<usize>,
}

impl Shape {
    pub(crate) fn of(settings: &IndexSettings) -> Self {
        let token_dimensions = settings.tokens.as_ref().map(|TokenSettings { dimensions, .. }| *dimensions);
        Self { dimensions: settings.dimensions, kind: settings.rows, token_dimensions }
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

/// Opens one segment that a manifest names, or will name.
pub(crate) fn open_segment(
    folder: &Path,
    files: &OpenFiles,
    entry: &SegmentEntry,
    shape: Shape,
) -> Result<LiveSegment, Error> {
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
    let other_than = |file: &BlockFile, what: &str| {
        Error::corrupted(file.path(), format!("it {what} another number of rows than the manifest says"))
    };
    let segment = Segment::open(open(&entry.file)?, shape.dimensions)?;
    if segment.rows() as u64 != entry.rows {
        return Err(other_than(segment.file(), "has"));
    }
    let tokens = match (&entry.tokens, shape.token_dimensions) {
        (Some(tokens), Some(dimensions)) => {
            let file = TokenFile::open(open(&tokens.file)?, segment.rows(), dimensions)?;
            if file.tokens() != tokens.rows {
                return Err(other_than(file.file(), "has"));
            }
            Some(Arc::new(file))
        }
        _ => None,
    };
    let graph = match &entry.graph {
        None => None,
        Some(graph) => Some(Arc::new(GraphFile::open(open(&graph.file)?, segment.rows(), shape.dimensions)?)),
    };
    let (deleted, deleted_file) = match &entry.deleted {
        None => (Tombstones::none(entry.rows), None),
        Some(deleted) => {
            let file = open(&deleted.file)?;
            let tombstones = Tombstones::read(&file, entry.rows)?;
            if tombstones.deleted() != deleted.rows {
                return Err(other_than(&file, "deletes"));
            }
            (tombstones, Some(file))
        }
    };
    let (segment, deleted) = (Arc::new(segment), Arc::new(deleted));
    Ok(LiveSegment { segment, tokens, graph, deleted, deleted_file, entry: entry.clone() })
}
