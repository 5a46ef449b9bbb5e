//! Which segments become one, and the work on large ones in the background.
//!
//! Segments are kept few: as long as the newer ones together reach the size of the next older one, they join it, so that
//! a row is copied a logarithmic number of times. Small ones are merged at once, within a commit. Large ones, and the
//! graphs over them, are worked on by a thread of their own, one at a time, and take their place at the commit after it
//! is done. What is deleted meanwhile is deleted in the result too.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::DenseOptions;
use super::live::LiveSegment;
use super::writing::SegmentPlace;
use crate::Error;

/// A segment is written anew once this share of its rows is deleted.
const DEAD_SHARE: u64 = 2;

/// Work that would make the segments fewer, smaller or faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Make one of these.
    Merge { first: usize, count: usize },
    /// Build the graph of this one.
    Graph { at: usize },
}

/// A segment as planning sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: u64,
    pub(super) alive: u64,
    pub(super) has_graph: bool,
}

impl Size {
    pub(super) fn of(live: &LiveSegment) -> Self {
        let rows = live.segment.rows() as u64;
        Self { rows, alive: live.deleted.alive(), has_graph: live.graph.is_some() }
    }
}

/// The most urgent work on these segments, oldest first; none when they are as they should be.
pub(super) fn plan(sizes: &[Size], options: &DenseOptions) -> Option<Work> {
    let first = first_to_merge(sizes, options.largest_segment);
    if first + 1 < sizes.len() {
        return Some(Work::Merge { first, count: sizes.len() - first });
    }
    let mostly_dead = |size: &Size| (size.rows - size.alive) * DEAD_SHARE > size.rows;
    if let Some(first) = sizes.iter().position(mostly_dead) {
        return Some(Work::Merge { first, count: 1 });
    }
    let wants_graph = |size: &Size| !size.has_graph && size.rows >= options.graph_from_rows;
    sizes.iter().position(wants_graph).map(|at| Work::Graph { at })
}

/// The first run of neighbours that can become one, or of a segment alone that has deleted rows: first and count.
pub(super) fn to_compact(sizes: &[Size], largest: u64) -> Option<(usize, usize)> {
    let mut first = 0;
    while first < sizes.len() {
        let mut alive = sizes[first].alive;
        let mut end = first + 1;
        while end < sizes.len() && alive + sizes[end].alive <= largest {
            alive += sizes[end].alive;
            end += 1;
        }
        if end - first > 1 || sizes[first].alive < sizes[first].rows {
            return Some((first, end - first));
        }
        first = end;
    }
    None
}

/// The first of the segments that are to become one; `sizes.len() - 1` or more when none are.
fn first_to_merge(sizes: &[Size], largest: u64) -> usize {
    let Some(mut first) = sizes.len().checked_sub(1) else { return 0 };
    let mut newer = sizes[first].alive;
    while first > 0 && newer >= sizes[first - 1].alive && newer + sizes[first - 1].alive <= largest {
        first -= 1;
        newer += sizes[first].alive;
    }
    first
}

/// Work that runs on a thread of its own.
#[derive(Debug)]
pub(super) struct Running {
    /// Numbers of the segments that its result takes the place of.
    sources: Vec<u64>,
    /// Number of the segment that it writes files of.
    number: u64,
    /// Documents removed since it began.
    removed: HashSet<u64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Option<LiveSegment>, Error>>>,
}

impl Running {
    /// Begins. A merge writes under `number`; a graph belongs to the segment that it is of.
    pub(super) fn start(
        place: SegmentPlace,
        sources: Vec<LiveSegment>,
        work: Work,
        number: u64,
        options: DenseOptions,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let numbers: Vec<u64> = sources.iter().map(|live| live.entry.number).collect();
        let number = if let Work::Graph { .. } = work { numbers[0] } else { number };
        let told = Arc::clone(&stop);
        let run = move || {
            let live = match work {
                Work::Merge { .. } => place.rewrite(number, &sources)?,
                Work::Graph { .. } => sources[0].clone(),
            };
            if (live.segment.rows() as u64) < options.graph_from_rows {
                return Ok(Some(live));
            }
            place.add_graph(&live, options.graph, &told)
        };
        Self { sources: numbers, number, removed: HashSet::new(), stop, thread: Some(thread::spawn(run)) }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether a segment is being worked on.
    pub(super) fn has(&self, live: &LiveSegment) -> bool {
        self.sources.contains(&live.entry.number)
    }

    /// Remembers documents whose rows are deleted while the work goes on.
    pub(super) fn remember(&mut self, removed: &HashSet<u64>) {
        self.removed.extend(removed);
    }

    pub(super) fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end, and puts the result in the place of what it was made from.
    pub(super) fn install(mut self, segments: &mut Vec<LiveSegment>) -> Result<(), Error> {
        let thread = self.thread.take().expect("a thread is waited for once");
        let Some(mut live) = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))? else {
            return Ok(());
        };
        let first = segments.iter().position(|live| self.has(live)).expect("what is worked on stays");
        if live.entry.number == self.sources[0] {
            // A graph: the rows are as they were, and so is what was deleted of them.
            live.deleted = Arc::clone(&segments[first].deleted);
            live.deleted_file.clone_from(&segments[first].deleted_file);
            live.entry.deleted.clone_from(&segments[first].entry.deleted);
        } else {
            delete(&mut live, &self.removed)?;
        }
        segments.splice(first..first + self.sources.len(), [live]);
        Ok(())
    }
}

impl Drop for Running {
    /// Nobody waits for what is not installed; its files count as garbage.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Marks the rows of removed documents.
pub(super) fn delete(live: &mut LiveSegment, removed: &HashSet<u64>) -> Result<(), Error> {
    if removed.is_empty() {
        return Ok(());
    }
    let document_nos = live.segment.document_nos(0..live.segment.rows())?;
    let dead = document_nos.iter().enumerate().filter(|(_, number)| removed.contains(number));
    let dead: Vec<usize> = dead.map(|(row, _)| row).filter(|&row| !live.deleted.contains(row)).collect();
    if !dead.is_empty() {
        let deleted = Arc::make_mut(&mut live.deleted);
        for row in dead {
            deleted.insert(row);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(alive: &[u64]) -> Vec<Size> {
        alive.iter().map(|&alive| Size { rows: alive, alive, has_graph: false }).collect()
    }

    #[test]
    fn newer_segments_join_an_older_one_that_they_outweigh() {
        let first = |alive: &[u64]| first_to_merge(&sizes(alive), 1_000);
        assert_eq!(first(&[]), 0);
        assert_eq!(first(&[5]), 0);
        assert_eq!(first(&[8, 4, 2, 1]), 3);
        assert_eq!(first(&[8, 4, 2, 2]), 0);
        assert_eq!(first(&[100, 4, 2, 2]), 1);
        assert_eq!(first(&[600, 300, 300]), 1, "none grows beyond the largest");
    }

    #[test]
    fn hundreds_of_commits_leave_few_segments_and_copy_little() {
        let (mut segments, mut copied) = (Vec::new(), 0);
        for size in std::iter::repeat_n(10, 1000) {
            segments.push(size);
            let first = first_to_merge(&sizes(&segments), u64::MAX);
            if first + 1 < segments.len() {
                let merged = segments[first..].iter().sum();
                copied += merged;
                segments.truncate(first);
                segments.push(merged);
            }
        }
        assert_eq!(segments.iter().sum::<u64>(), 10_000);
        assert!(segments.len() <= 10, "{segments:?}");
        assert!(copied <= 10_000 * 10, "{copied} rows copied");
    }

    #[test]
    fn compaction_ends_with_full_segments_of_the_living() {
        let size = |rows, alive| Size { rows, alive, has_graph: false };
        assert_eq!(to_compact(&[], 100), None);
        assert_eq!(to_compact(&[size(90, 90), size(90, 90)], 100), None);
        assert_eq!(to_compact(&[size(90, 90), size(90, 89)], 100), Some((1, 1)));
        assert_eq!(to_compact(&[size(90, 90), size(60, 50), size(50, 50), size(1, 1)], 100), Some((1, 2)));
    }

    #[test]
    fn the_dead_are_dropped_before_graphs_are_built() {
        let options = DenseOptions { graph_from_rows: 50, ..DenseOptions::default() };
        let size = |rows, alive, has_graph| Size { rows, alive, has_graph };
        assert_eq!(plan(&[size(100, 100, true), size(40, 40, false)], &options), None);
        assert_eq!(plan(&[size(100, 100, false), size(40, 40, false)], &options), Some(Work::Graph { at: 0 }));
        let half_dead = [size(100, 49, true), size(40, 40, false)];
        assert_eq!(plan(&half_dead, &options), Some(Work::Merge { first: 0, count: 1 }));
    }
}
