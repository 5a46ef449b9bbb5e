//! The nearest rows of all segments: over the graph where there is one and it is worth it, else by scanning.

use std::cell::RefCell;

use berth_types::{DenseSearch, FirstStage};
use rayon::prelude::*;

use super::codes::CodeQuery;
use super::graph::{GraphFile, Scratch};
use super::live::LiveSegment;
use super::row_set::RowSet;
use super::scan::{Best, ROWS_A_TASK, scan_rows, scan_set};
use super::staged::{Stage, scan_staged};
use crate::{ChunkHit, Error};

/// How closely is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effort {
    /// Rows that a walk holds on to (ef in the paper), at least; never fewer than are wanted.
    pub(crate) least_ef: usize,
    /// What is looked at first.
    pub(crate) search: DenseSearch,
}

impl Default for Effort {
    /// Finds .992 of the ten nearest to real questions among 100,000 windows of texts (`docs/benchmarks.md`).
    fn default() -> Self {
        Self { least_ef: 128, search: DenseSearch::default() }
    }
}

/// Scanning so many rows for each that a walk holds on to takes as long as the walk: 9,000 in the 1.2 ms of 500, 3,000 in the
/// .4 ms of 128 (384 values, one core of a Zen 3).
const ROWS_WORTH_A_WALK: usize = 24;
/// The same for a walk that looks for allowed rows behind others.
const ROWS_WORTH_A_FILTERED_WALK: usize = 32;
/// Where fewer than one row in so many is allowed, too few of a node's neighbours and theirs are to lead a walk.
const SPARSEST_WALK: usize = 12;

/// The `depth` rows of highest dot product, best first, ties by chunk number; where `allowed` is given, of these rows
/// alone: a set for each segment, in the order of `segments`.
///
/// As many are returned as there are, up to `depth`. Scores are exact; over a graph a row may be missed.
pub(crate) fn nearest(
    segments: &[LiveSegment],
    query: &[f32],
    depth: usize,
    allowed: Option<&[RowSet]>,
    effort: Effort,
) -> Result<Vec<ChunkHit>, Error> {
    if depth == 0 {
        return Ok(Vec::new());
    }
    assert!(allowed.is_none_or(|sets| sets.len() == segments.len()), "a set of rows for each segment");
    let stage = match effort.search.first_stage {
        FirstStage::Auto | FirstStage::Full => None,
        FirstStage::Prefix(values) => Some(Stage::prefix(query, values)),
        FirstStage::Binary => Some(Stage::signs(query)),
    };
    let mut tasks = Vec::new();
    for (at, live) in segments.iter().enumerate() {
        let allowed = allowed.map(|sets| &sets[at]);
        if allowed.map_or(live.alive(), RowSet::len) == 0 {
            continue;
        }
        match &live.graph {
            _ if stage.is_some() => tasks.push(Task::Staged(live, allowed)),
            Some(graph) if is_worth_a_walk(live, depth, allowed, effort) => {
                tasks.push(Task::Walk(live, graph, allowed));
            }
            _ => tasks.extend(scans(live, allowed)),
        }
    }
    let search = Search { query, codes: CodeQuery::new(query), stage, depth, effort };
    let best = match &tasks[..] {
        [task] => search.run(task)?,
        tasks => {
            let run = |task: &Task<'_>| search.run(task);
            tasks.par_iter().map(run).try_reduce(|| Best::new(depth), |left, right| Ok(left.merged(right)))?
        }
    };
    Ok(best.into_sorted())
}

/// A part of the work that one thread does.
enum Task<'a> {
    Rows(&'a LiveSegment, usize),
    Set(&'a LiveSegment, usize, &'a RowSet),
    Walk(&'a LiveSegment, &'a GraphFile, Option<&'a RowSet>),
    Staged(&'a LiveSegment, Option<&'a RowSet>),
}

fn scans<'a>(live: &'a LiveSegment, allowed: Option<&'a RowSet>) -> impl Iterator<Item = Task<'a>> {
    (0..live.segment.rows()).step_by(ROWS_A_TASK).map(move |start| match allowed {
        None => Task::Rows(live, start),
        Some(set) => Task::Set(live, start, set),
    })
}

fn is_worth_a_walk(live: &LiveSegment, depth: usize, allowed: Option<&RowSet>, effort: Effort) -> bool {
    let ef = effort.least_ef.max(depth);
    match allowed {
        _ if effort.search.first_stage == FirstStage::Full => false,
        None => live.alive() > ef.saturating_mul(ROWS_WORTH_A_WALK),
        Some(set) => {
            let is_dense = set.len().saturating_mul(SPARSEST_WALK) > live.segment.rows();
            is_dense && set.len() > ef.saturating_mul(ROWS_WORTH_A_FILTERED_WALK)
        }
    }
}

struct Search<'a> {
    query: &'a [f32],
    codes: CodeQuery,
    /// What all rows are compared by first, where that was asked for.
    stage: Option<Stage>,
    depth: usize,
    effort: Effort,
}

impl Search<'_> {
    fn run(&self, task: &Task<'_>) -> Result<Best, Error> {
        match *task {
            Task::Rows(live, start) => scan_rows(live, start, self.query, self.depth),
            Task::Set(live, start, set) => scan_set(live, start, set, self.query, self.depth),
            Task::Walk(live, graph, allowed) => self.walk(live, graph, allowed),
            Task::Staged(live, allowed) => {
                let stage = self.stage.as_ref().expect("asked for where there is such a task");
                let stage = (stage, self.effort.search.oversample);
                scan_staged(live, allowed, self.query, self.depth, stage)
            }
        }
    }

    /// Walks the graph, and scores what it finds on the rows themselves.
    fn walk(&self, live: &LiveSegment, graph: &GraphFile, allowed: Option<&RowSet>) -> Result<Best, Error> {
        thread_local! {
            static SCRATCH: RefCell<Scratch> = RefCell::default();
        }
        let ef = self.effort.least_ef.max(self.depth);
        let alive = live.alive();
        // Deleted rows are walked through and take places; in a set there are none.
        let ef = if allowed.is_none() { ef * live.segment.rows() / alive } else { ef };
        let is_allowed = allowed.map(|set| move |row: usize| set.contains(row));
        let is_allowed = is_allowed.as_ref().map(|is_allowed| is_allowed as &dyn Fn(usize) -> bool);
        let rows = SCRATCH.with_borrow_mut(|scratch| graph.nearest(&self.codes, ef, is_allowed, scratch))?;
        let mut best = Best::new(self.depth);
        for row in rows {
            if !live.deleted.contains(row) {
                best.offer(live, row, live.segment.dot(self.query, row)?)?;
            }
        }
        if best.len() < self.depth.min(allowed.map_or(alive, RowSet::len)) {
            // The walk did not come to enough of them: nothing but a scan is sure to.
            let scan = |best: Result<Best, Error>, task: Task<'_>| Ok(best?.merged(self.run(&task)?));
            return scans(live, allowed).fold(Ok(Best::new(self.depth)), scan);
        }
        Ok(best)
    }
}
