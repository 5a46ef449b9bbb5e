//! Scans in two steps: every row by something small, then the most promising ones in full.

use std::num::NonZeroUsize;

use rayon::prelude::*;

use super::codes::CodeQuery;
use super::live::LiveSegment;
use super::row_set::RowSet;
use super::scan::{Best, ROWS_A_TASK};
use super::sketches::{signs_of, unit};
use crate::Error;

/// Steps between a cosine of -1 and of 1 by which the first stage of prefixes orders rows.
const COSINE_STEPS: f32 = 4096.0;
/// Fewest rows that are handed on, however few are wanted: as many as a walk holds on to.
const LEAST_HANDED_ON: usize = 128;

/// What all rows are compared by first.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// The first values of the query, brought to unit length, and how many they are.
    Prefix(CodeQuery, usize),
    /// The signs of the query.
    Signs(Vec<u64>),
}

impl Stage {
    /// By the first `values` values, half of them where none are given; all of them where there are no more.
    pub(super) fn prefix(query: &[f32], values: Option<NonZeroUsize>) -> Self {
        let values = values.map_or(query.len().div_ceil(2), NonZeroUsize::get).min(query.len());
        Self::Prefix(CodeQuery::new(&unit(&query[..values])), values)
    }

    pub(super) fn signs(query: &[f32]) -> Self {
        Self::Signs(signs_of(query))
    }

    /// Rows that are handed on for each one wanted, where nobody says. `scripts/bench_ann --stages` shows what others find.
    fn oversample(&self) -> usize {
        match self {
            Self::Prefix(..) => 4,
            Self::Signs(_) => 8,
        }
    }
}

/// The best living rows of a segment, or of a set of them, among those that the first stage hands on.
pub(super) fn scan_staged(
    live: &LiveSegment,
    allowed: Option<&RowSet>,
    query: &[f32],
    depth: usize,
    (stage, oversample): (&Stage, Option<NonZeroUsize>),
) -> Result<Best, Error> {
    let oversample = oversample.map_or(stage.oversample(), NonZeroUsize::get);
    let handed_on = depth.saturating_mul(oversample).max(LEAST_HANDED_ON);
    let may_be_found = |row: usize| allowed.is_none_or(|set| set.contains(row)) && !live.deleted.contains(row);
    let rows = if allowed.map_or(live.alive(), RowSet::len) <= handed_on {
        (0..live.segment.rows()).filter(|&row| may_be_found(row)).collect()
    } else {
        most_promising(&likeness(live, stage)?, handed_on, may_be_found)
    };
    let mut best = Best::new(depth);
    for row in rows {
        best.offer(live, row, live.segment.dot(query, row)?)?;
    }
    Ok(best)
}

/// How like the query each row of a segment is by the first stage, in steps from 0 on.
fn likeness(live: &LiveSegment, stage: &Stage) -> Result<Vec<u16>, Error> {
    let segment = &live.segment;
    let mut likeness = vec![0; segment.rows()];
    let tasks = likeness.par_chunks_mut(ROWS_A_TASK).enumerate();
    match stage {
        Stage::Signs(query) => {
            let signs = segment.sketches().signs(segment)?;
            tasks.for_each(|(task, steps)| signs.agreements(query, task * ROWS_A_TASK, steps));
        }
        Stage::Prefix(query, values) => {
            let prefixes = segment.sketches().prefixes(segment, *values)?;
            let codes = prefixes.codes();
            tasks.for_each(|(task, steps)| {
                let first = (task * ROWS_A_TASK) as u32;
                let rows: Vec<u32> = (first..).take(steps.len()).collect();
                let mut cosines = [0.0; ROWS_A_TASK];
                query.similarities(&codes, &rows, &mut cosines[..steps.len()]);
                for (step, cosine) in steps.iter_mut().zip(cosines) {
                    *step = ((cosine + 1.0) * (COSINE_STEPS / 2.0)) as u16;
                }
            });
        }
    }
    Ok(likeness)
}

/// The `most` rows of highest likeness among those that may be found, ascending; of equals at the end the first.
fn most_promising(likeness: &[u16], most: usize, may_be_found: impl Fn(usize) -> bool) -> Vec<usize> {
    let steps = likeness.iter().copied().max().map_or(0, usize::from) + 1;
    let mut counts = vec![0usize; steps];
    for (row, &step) in likeness.iter().enumerate() {
        if may_be_found(row) {
            counts[usize::from(step)] += 1;
        }
    }
    // The lowest step of which some are taken, and how many of it.
    let (mut lowest, mut above) = (steps - 1, 0);
    while lowest > 0 && above + counts[lowest] < most {
        above += counts[lowest];
        lowest -= 1;
    }
    let mut left = most - above.min(most);
    let mut rows = Vec::with_capacity(most);
    for (row, &step) in likeness.iter().enumerate() {
        let step = usize::from(step);
        if step >= lowest && may_be_found(row) && (step > lowest || left > 0) {
            left -= usize::from(step == lowest);
            rows.push(row);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_most_promising_are_those_that_sorting_puts_first(
            likeness in prop::collection::vec(0u16..20, 1..200), most in 1usize..250, every in 1usize..4
        ) {
            let may_be_found = |row: usize| row.is_multiple_of(every);
            let mut wanted: Vec<usize> = (0..likeness.len()).filter(|&row| may_be_found(row)).collect();
            wanted.sort_by_key(|&row| (std::cmp::Reverse(likeness[row]), row));
            wanted.truncate(most);
            wanted.sort_unstable();
            prop_assert_eq!(most_promising(&likeness, most, may_be_found), wanted);
        }
    }
}
