//! Writes segments: from rows at hand, from the living rows of others, and the graph over one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::codes::{Codes, encode, stride_of};
#[cfg(any(test, feature = "hnsw_rs"))]
use super::graph::build_with_hnsw_rs;
use super::graph::{GraphBuilder, GraphFile, GraphParameters, Order, build, probe, sampled_recall, write_graph};
use super::live::{LiveSegment, Shape, open_segment};
use super::segment::{RowLabel, write_segment};
use crate::Error;
use crate::directory::OpenFiles;
use crate::disk::Disk;
use crate::late::write_tokens;
use crate::manifest::{FileEntry, GraphEntry, SegmentEntry, TokensEntry};

/// Where segments are written, and what their rows look like.
#[derive(Debug, Clone)]
pub(crate) struct SegmentPlace {
    pub(crate) folder: PathBuf,
    pub(crate) disk: Disk,
    pub(crate) files: Arc<OpenFiles>,
    pub(crate) shape: Shape,
}

impl SegmentPlace {
    /// Writes a segment under a number that was never used, and opens it. Token rows are given as how many each chunk
    /// has, and those.
    pub(crate) fn write<'a, R: AsRef<[f32]>>(
        &self,
        number: u64,
        labels: &[RowLabel],
        rows: impl Iterator<Item = Result<R, Error>>,
        tokens: Option<(Vec<u64>, impl Iterator<Item = Result<&'a [u8], Error>>)>,
    ) -> Result<LiveSegment, Error> {
        let name = format!("{number:08}.rows");
        let shape = (self.shape.kind, self.shape.dimensions as u32);
        let seal = write_segment(&self.disk, &self.folder.join(&name), shape, labels, rows)?;
        let file = FileEntry::new(name, &seal);
        let tokens = match (tokens, self.shape.token_dimensions) {
            (Some((counts, chunks)), Some(dimensions)) => {
                let name = format!("{number:08}.tokens");
                let seal = write_tokens(&self.disk, &self.folder.join(&name), dimensions, &counts, chunks)?;
                Some(TokensEntry { rows: counts.iter().sum(), file: FileEntry::new(name, &seal) })
            }
            _ => None,
        };
        let entry = SegmentEntry { number, rows: labels.len() as u64, file, tokens, graph: None, deleted: None };
        open_segment(&self.folder, &self.files, &entry, self.shape)
    }

    /// Copies the living rows of neighbouring segments into one, a row at a time.
    pub(crate) fn rewrite(&self, number: u64, sources: &[LiveSegment]) -> Result<LiveSegment, Error> {
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
        self.write(number, &labels, rows, tokens)
    }

    /// Builds the graph of a segment, writes it beside the rows and opens it; none when it is told to stop.
    ///
    /// In memory are the codes of all rows and their links, some 700 bytes a row of 384 values.
    pub(crate) fn add_graph(
        &self,
        live: &LiveSegment,
        parameters: GraphParameters,
        stop: &AtomicBool,
    ) -> Result<Option<LiveSegment>, Error> {
        let segment = &live.segment;
        let (order, linked) = match parameters.builder {
            GraphBuilder::Batches => (Order::of(segment.rows(), parameters.m), None),
            #[cfg(any(test, feature = "hnsw_rs"))]
            GraphBuilder::HnswRs => {
                let (order, layers) = build_with_hnsw_rs(segment, parameters)?;
                (order, Some(layers))
            }
        };
        let stride = stride_of(self.shape.dimensions);
        let mut bytes = vec![0; segment.rows() * stride];
        let mut scales = vec![0.0; segment.rows()];
        let places = bytes.par_chunks_exact_mut(stride).zip(&mut scales).zip(&order.rows);
        places.with_min_len(256).try_for_each(|((codes, scale), &row)| -> Result<(), Error> {
            *scale = encode(&segment.vectors(row as usize..row as usize + 1)?, codes);
            Ok(())
        })?;
        let codes = Codes::new(&bytes, &scales, stride);
        let layers = linked.or_else(|| build(&codes, &order, parameters, stop));
        let Some(mut layers) = layers else { return Ok(None) };
        let probed = probe(&codes, &mut layers);
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let name = format!("{:08}.graph", live.entry.number);
        let path = self.folder.join(&name);
        // One that a run before this left half done.
        self.disk.remove_if_there(&path)?;
        let seal = write_graph(&self.disk, &path, self.shape.dimensions, &codes, &order, &layers)?;
        let graph = GraphFile::open(self.files.open(&path)?, segment.rows(), self.shape.dimensions)?;
        let entry = GraphEntry {
            m: parameters.m,
            ef_construction: parameters.ef_construction,
            relinked: (probed.linked + probed.sought) as u64,
            missed: probed.missed as u64,
            recall_at_10: sampled_recall(&graph, segment)?,
            file: FileEntry::new(name, &seal),
        };
        let mut live = live.clone();
        live.graph = Some(Arc::new(graph));
        live.entry.graph = Some(entry);
        Ok(Some(live))
    }
}
