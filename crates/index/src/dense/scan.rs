//! The exact scan: every living row against the query, and rows that are asked for by their chunk.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use berth_types::TokenMatrix;
use rayon::prelude::*;

use super::live::LiveSegment;
use super::row_set::RowSet;
use crate::late::PackedQuery;
use crate::{ChunkHit, Error};

/// Chunks of late interaction from which on they are shared out between threads.
const CHUNKS_WORTH_SPREADING: usize = 8;
/// Rows of one task: 1.5 MiB at 384 dimensions, enough to outweigh the handing over, little enough to spread.
pub(super) const ROWS_A_TASK: usize = 1024;

/// The best of the living rows of one task.
pub(super) fn scan_rows(live: &LiveSegment, start: usize, query: &[f32], depth: usize) -> Result<Best, Error> {
    let rows = start..live.segment.rows().min(start + ROWS_A_TASK);
    let chunk_ids = live.segment.chunk_ids(rows.clone())?;
    let document_nos = live.segment.document_nos(rows.clone())?;
    let mut scores = [0.0; ROWS_A_TASK];
    let scores = &mut scores[..rows.len()];
    live.segment.dots(query, rows.clone(), scores)?;
    let mut best = Best::new(depth);
    for (at, row) in rows.enumerate() {
        if best.admits(scores[at], chunk_ids[at]) && !live.deleted.contains(row) {
            best.push(ChunkHit {
                chunk_id: chunk_ids[at],
                document_no: document_nos[at],
                score: scores[at],
                coverage: 0.0,
            });
        }
    }
    Ok(best)
}

/// As [`scan_rows`], of the rows in a set alone.
pub(super) fn scan_set(
    live: &LiveSegment,
    start: usize,
    set: &RowSet,
    query: &[f32],
    depth: usize,
) -> Result<Best, Error> {
    let mut best = Best::new(depth);
    for row in set.rows_in(start..live.segment.rows().min(start + ROWS_A_TASK)) {
        if !live.deleted.contains(row) {
            best.offer(live, row, live.segment.dot(query, row)?)?;
        }
    }
    Ok(best)
}

/// The dot product of each of the chunks; `None` for a chunk that is not there, or deleted.
pub(crate) fn scores(segments: &[LiveSegment], query: &[f32], chunk_ids: &[u64]) -> Result<Vec<Option<f32>>, Error> {
    chunk_ids.iter().map(|&chunk_id| score(segments, query, chunk_id)).collect()
}

fn score(segments: &[LiveSegment], query: &[f32], chunk_id: u64) -> Result<Option<f32>, Error> {
    let Some((live, row)) = find(segments, chunk_id)? else { return Ok(None) };
    live.segment.dot(query, row).map(Some)
}

/// The vector of each of the chunks; `None` for a chunk that is not there, or deleted.
pub(crate) fn vectors_of(segments: &[LiveSegment], chunk_ids: &[u64]) -> Result<Vec<Option<Vec<f32>>>, Error> {
    let vector = |&chunk_id: &u64| -> Result<Option<Vec<f32>>, Error> {
        let Some((live, row)) = find(segments, chunk_id)? else { return Ok(None) };
        Ok(Some(live.segment.vectors(row..row + 1)?.into_owned()))
    };
    chunk_ids.iter().map(vector).collect()
}

/// The MaxSim of each of the chunks; `None` for a chunk that is not there, or deleted.
///
/// The segments have token rows of the query's dimensions.
pub(crate) fn late_scores(
    segments: &[LiveSegment],
    query: &TokenMatrix,
    chunk_ids: &[u64],
) -> Result<Vec<Option<f32>>, Error> {
    let query = PackedQuery::new(&query.quantized());
    let score = |&chunk_id: &u64| -> Result<Option<f32>, Error> {
        let Some((live, row)) = find(segments, chunk_id)? else { return Ok(None) };
        Ok(Some(query.max_sim(live.token_file().rows(row)?)))
    };
    // A chunk costs some 30 µs and, where it was not touched before, as much again for its checksums.
    if chunk_ids.len() < CHUNKS_WORTH_SPREADING {
        return chunk_ids.iter().map(score).collect();
    }
    chunk_ids.par_iter().map(score).collect()
}

/// The segment and row of a chunk that is not deleted.
fn find(segments: &[LiveSegment], chunk_id: u64) -> Result<Option<(&LiveSegment, usize)>, Error> {
    for live in segments {
        if let Some(row) = live.segment.row_of_chunk(chunk_id)? {
            return Ok((!live.deleted.contains(row)).then_some((live, row)));
        }
    }
    Ok(None)
}

/// The best hits seen so far, at most `depth`; the worst of them on top.
pub(super) struct Best {
    depth: usize,
    heap: BinaryHeap<Ranked>,
}

impl Best {
    pub(super) fn new(depth: usize) -> Self {
        Self { depth, heap: BinaryHeap::with_capacity(depth.min(ROWS_A_TASK) + 1) }
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Takes a row if it is among the best; reads its numbers only then.
    pub(super) fn offer(&mut self, live: &LiveSegment, row: usize, score: f32) -> Result<(), Error> {
        let chunk_id = live.segment.chunk_ids(row..row + 1)?[0];
        if self.admits(score, chunk_id) {
            let document_no = live.segment.document_nos(row..row + 1)?[0];
            self.push(ChunkHit { chunk_id, document_no, score, coverage: 0.0 });
        }
        Ok(())
    }

    /// Whether such a hit would be kept.
    fn admits(&self, score: f32, chunk_id: u64) -> bool {
        self.heap.len() < self.depth
            || self.heap.peek().is_some_and(|worst| {
                score.total_cmp(&worst.0.score).then(worst.0.chunk_id.cmp(&chunk_id)) == Ordering::Greater
            })
    }

    fn push(&mut self, hit: ChunkHit) {
        self.heap.push(Ranked(hit));
        if self.heap.len() > self.depth {
            self.heap.pop();
        }
    }

    pub(super) fn merged(self, other: Self) -> Self {
        let (mut larger, smaller) = if self.heap.len() >= other.heap.len() { (self, other) } else { (other, self) };
        for Ranked(hit) in smaller.heap {
            if larger.admits(hit.score, hit.chunk_id) {
                larger.push(hit);
            }
        }
        larger
    }

    pub(super) fn into_sorted(self) -> Vec<ChunkHit> {
        self.heap.into_sorted_vec().into_iter().map(|Ranked(hit)| hit).collect()
    }
}

/// Orders hits from best to worst: by falling score, then by chunk number.
struct Ranked(ChunkHit);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.score.total_cmp(&self.0.score).then(self.0.chunk_id.cmp(&other.0.chunk_id))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_best_and_breaks_ties_by_chunk() {
        let scores = [0.5, 0.9, 0.5, -0.0, 0.9, 0.1];
        let hit = |id: usize| ChunkHit { chunk_id: id as u64, document_no: 0, score: scores[id], coverage: 0.0 };
        let mut left = Best::new(3);
        let mut right = Best::new(3);
        (3..6).rev().for_each(|id| left.push(hit(id)));
        (0..3).rev().for_each(|id| right.push(hit(id)));
        let ids: Vec<u64> = left.merged(right).into_sorted().iter().map(|hit| hit.chunk_id).collect();
        assert_eq!(ids, [1, 4, 0]);
    }
}
