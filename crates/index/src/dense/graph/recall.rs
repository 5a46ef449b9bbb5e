//! How much of what a scan finds a graph finds, over a sample of its own rows.

use rayon::prelude::*;

use super::{GraphFile, Scratch};
use crate::Error;
use crate::dense::codes::CodeQuery;
use crate::dense::dot::dots;
use crate::dense::nearest::Effort;
use crate::dense::segment::Segment;

/// Rows that are looked for.
const SAMPLE: usize = 128;
/// Nearest rows that are compared.
const PLACES: usize = 10;
/// Rows that are scanned in one go, so that they stay in the cache while all of the sample is compared with them.
const ROWS_A_TASK: usize = 128;

/// The share of the ten nearest other rows that a search of the usual width finds, 0 to 1.
///
/// The sample is spread evenly over the segment's rows. Questions are farther from the rows than rows from each other, so
/// this is an upper mark of what they will see; it falls before they do when a graph is poor.
pub(crate) fn sampled_recall(graph: &GraphFile, segment: &Segment) -> Result<f64, Error> {
    let rows = segment.rows();
    let sample: Vec<usize> = (0..SAMPLE.min(rows)).map(|at| at * rows / SAMPLE.min(rows)).collect();
    let exact = nearest_others(segment, &sample)?;
    let count = |scratch: &mut Scratch, (&row, exact): (&usize, &Vec<(f32, usize)>)| -> Result<usize, Error> {
        let query = segment.vectors(row..row + 1)?;
        let mut found = graph.nearest(&CodeQuery::new(&query), Effort::default().least_ef, None, scratch)?;
        found.retain(|&other| other != row);
        // Of equal rows any will do.
        let last = exact.last().map_or(f32::MAX, |last| last.0);
        let scores = found.into_iter().map(|other| segment.dot(&query, other)).collect::<Result<Vec<_>, _>>()?;
        Ok(scores.iter().filter(|&&score| score >= last).count().min(exact.len()))
    };
    let counts = sample.par_iter().zip(&exact).map_init(Scratch::default, count).collect::<Result<Vec<_>, _>>()?;
    let wanted: usize = exact.iter().map(Vec::len).sum();
    Ok(if wanted == 0 { 1.0 } else { counts.iter().sum::<usize>() as f64 / wanted as f64 })
}

/// For each of the sample its nearest other rows, best first, by a scan.
fn nearest_others(segment: &Segment, sample: &[usize]) -> Result<Vec<Vec<(f32, usize)>>, Error> {
    let better = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    let merged = |mut left: Vec<Vec<(f32, usize)>>, right: Vec<Vec<(f32, usize)>>| {
        for (left, right) in left.iter_mut().zip(right) {
            left.extend(right);
            left.sort_unstable_by(better);
            left.truncate(PLACES);
        }
        left
    };
    let tasks: Vec<usize> = (0..segment.rows()).step_by(ROWS_A_TASK).collect();
    let scan = |&start: &usize| -> Result<Vec<Vec<(f32, usize)>>, Error> {
        let rows = start..segment.rows().min(start + ROWS_A_TASK);
        let vectors = segment.vectors(rows.clone())?;
        let mut scores = vec![0.0; rows.len()];
        let nearest = |&row: &usize| {
            dots(&segment.vectors(row..row + 1)?, &vectors, &mut scores);
            let others = scores.iter().zip(rows.clone()).filter(|&(_, other)| other != row);
            let mut others: Vec<(f32, usize)> = others.map(|(&score, other)| (score, other)).collect();
            if others.len() > PLACES {
                others.select_nth_unstable_by(PLACES - 1, better);
                others.truncate(PLACES);
            }
            Ok(others)
        };
        sample.iter().map(nearest).collect()
    };
    tasks.par_iter().map(scan).try_reduce(|| vec![Vec::new(); sample.len()], |left, right| Ok(merged(left, right)))
}
