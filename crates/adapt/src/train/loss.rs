//! The loss of a batch and its gradient, through the scaling of adapted queries to unit length.

use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis, s};
use rayon::prelude::*;

use super::parameters::Parameters;

/// Candidates to a block. Blocks are worked on side by side and added up in their order; no sum depends on who worked on what.
const BLOCK: usize = 1024;

/// Temperatures of [`losses`]: from 2^[`HOTTEST`] times the objective's, each half of the one before.
pub(super) const TEMPERATURES: usize = HOTTEST + 2;
const HOTTEST: usize = 6;

/// A query and a document that answers it, by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) query: usize,
    pub(super) document: u32,
}

/// What is minimised: −ln softmax(q′ · d / temperature) + identity weight · (1 − q · q′).
#[derive(Debug, Clone, Copy)]
pub(super) struct Objective {
    pub(super) temperature: f32,
    pub(super) identity_weight: f32,
}

/// Queries of a batch beside what they are compared with.
pub(super) struct Batch<'a> {
    /// `[pairs, dimensions]`, of unit length.
    pub(super) queries: ArrayView2<'a, f32>,
    /// `[candidates, dimensions]`.
    pub(super) candidates: ArrayView2<'a, f32>,
    /// For each pair the place of its document among the candidates.
    pub(super) targets: Vec<usize>,
    /// For each pair the places of other documents that answer its query: no negatives, so they count for nothing.
    pub(super) masked: Vec<Vec<usize>>,
}

/// Adapted queries and what they were made by.
struct Forward {
    /// `[pairs, dimensions]`, of unit length.
    adapted: Array2<f32>,
    /// Lengths before scaling.
    lengths: Vec<f32>,
    /// Vᵀ q, `[pairs, rank]`, for a residual of low rank.
    inner: Option<Array2<f32>>,
}

/// Sums of the losses of all pairs at temperatures around the objective's: 2^(`HOTTEST` − i) times as high at place i.
///
/// How near adapted queries are to what they were counts for nothing here.
pub(super) fn losses(batch: &Batch<'_>, parameters: &Parameters, objective: Objective) -> [f64; TEMPERATURES] {
    let forward = forward(&batch.queries, parameters);
    let mut logits = logits(batch, &forward.adapted, objective);
    let mut rows: Vec<_> = logits.rows_mut().into_iter().zip(&batch.targets).zip(&batch.masked).collect();
    let rows: Vec<[f64; TEMPERATURES]> =
        rows.par_iter_mut().map(|((logits, target), masked)| row_losses(logits.view_mut(), **target, masked)).collect();
    std::array::from_fn(|place| rows.iter().map(|row| row[place]).sum())
}

fn row_losses(mut logits: ArrayViewMut1<'_, f32>, target: usize, masked: &[usize]) -> [f64; TEMPERATURES] {
    let target_logit = logits[target];
    for &place in masked {
        logits[place] = f32::NEG_INFINITY;
    }
    let highest = f64::from(logits.fold(f32::NEG_INFINITY, |highest, &logit| highest.max(logit)));
    let hottest = f64::from(1 << HOTTEST);
    let mut sums = [0.0; TEMPERATURES];
    for &mut logit in logits {
        // The square of a power is the power at half the temperature.
        let mut power = ((f64::from(logit) - highest) / hottest).exp();
        for sum in &mut sums {
            *sum += power;
            power *= power;
        }
    }
    let behind = highest - f64::from(target_logit);
    std::array::from_fn(|place| sums[place].ln() + behind * f64::from(1 << place) / hottest)
}

/// The lowest loss at any temperature between those of [`losses`], by the parabola through the lowest and its neighbours.
///
/// So an adapter gains nothing by making a model that is too sure less sure of everything.
pub(super) fn lowest(losses: &[f64; TEMPERATURES]) -> f64 {
    let lowest = (0..TEMPERATURES).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).expect("there are temperatures");
    if lowest == 0 || lowest == TEMPERATURES - 1 {
        return losses[lowest];
    }
    let (left, middle, right) = (losses[lowest - 1], losses[lowest], losses[lowest + 1]);
    let bend = left - 2.0 * middle + right;
    if bend > 0.0 { middle - (left - right).powi(2) / (8.0 * bend) } else { middle }
}

/// Sum of the losses of all pairs, and the gradient of their mean.
pub(super) fn gradient(batch: &Batch<'_>, parameters: &Parameters, objective: Objective) -> (f64, Parameters) {
    let forward = forward(&batch.queries, parameters);
    let mut shares = logits(batch, &forward.adapted, objective);
    let losses = softmax(&mut shares, batch);
    for (row, &target) in batch.targets.iter().enumerate() {
        shares[[row, target]] -= 1.0;
    }
    let mut slopes = expected_candidates(&shares, &batch.candidates);
    let scale = (objective.temperature * batch.targets.len() as f32).recip();
    let identity_scale = objective.identity_weight / batch.targets.len() as f32;
    for (row, mut slope) in slopes.rows_mut().into_iter().enumerate() {
        slope *= scale;
        slope.scaled_add(-identity_scale, &batch.queries.row(row));
        // Only what is across the unit vector changes it.
        let adapted = forward.adapted.row(row);
        let along = slope.dot(&adapted);
        slope.scaled_add(-along, &adapted);
        slope /= forward.lengths[row];
    }
    let loss = losses.iter().sum::<f64>() + identity_loss(&batch.queries, &forward.adapted, objective);
    (loss, parameters_slopes(&batch.queries, parameters, &forward, &slopes))
}

fn forward(queries: &ArrayView2<'_, f32>, parameters: &Parameters) -> Forward {
    let (mut adapted, inner) = match parameters {
        Parameters::LowRank { up, down } => {
            let inner = queries.dot(&down.t());
            (queries + &inner.dot(&up.t()), Some(inner))
        }
        Parameters::Full { matrix } => (queries + &queries.dot(&matrix.t()), None),
    };
    let mut lengths = Vec::with_capacity(adapted.nrows());
    for mut row in adapted.rows_mut() {
        let length = row.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt() as f32;
        row /= length;
        lengths.push(length);
    }
    Forward { adapted, lengths, inner }
}

/// Cosines over temperature: `[pairs, candidates]`.
fn logits(batch: &Batch<'_>, adapted: &Array2<f32>, objective: Objective) -> Array2<f32> {
    let mut logits = Array2::zeros((adapted.nrows(), batch.candidates.nrows()));
    let scaled = adapted / objective.temperature;
    let mut blocks: Vec<_> = logits.axis_chunks_iter_mut(Axis(1), BLOCK).enumerate().collect();
    blocks.par_iter_mut().for_each(|(block, logits)| {
        let first = *block * BLOCK;
        let candidates = batch.candidates.slice(s![first..first + logits.ncols(), ..]);
        ndarray::linalg::general_mat_mul(1.0, &scaled, &candidates.t(), 0.0, logits);
    });
    logits
}

/// Turns logits into shares that sum to 1 in each row, with none for the masked; returns each row's loss.
fn softmax(logits: &mut Array2<f32>, batch: &Batch<'_>) -> Vec<f64> {
    let mut rows: Vec<_> = logits.rows_mut().into_iter().enumerate().collect();
    rows.par_iter_mut()
        .map(|(pair, row)| {
            for &place in &batch.masked[*pair] {
                row[place] = f32::NEG_INFINITY;
            }
            let target = row[batch.targets[*pair]];
            let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.mapv_inplace(|logit| (logit - highest).exp());
            let sum: f64 = row.iter().map(|&share| f64::from(share)).sum();
            let scale = sum.recip() as f32;
            row.mapv_inplace(|share| share * scale);
            sum.ln() + f64::from(highest) - f64::from(target)
        })
        .collect()
}

/// Candidates weighted by shares: `[pairs, dimensions]`.
fn expected_candidates(shares: &Array2<f32>, candidates: &ArrayView2<'_, f32>) -> Array2<f32> {
    let blocks: Vec<_> = shares.axis_chunks_iter(Axis(1), BLOCK).enumerate().collect();
    let sums: Vec<Array2<f32>> = blocks
        .par_iter()
        .map(|(block, shares)| {
            let first = block * BLOCK;
            shares.dot(&candidates.slice(s![first..first + shares.ncols(), ..]))
        })
        .collect();
    let zeros = Array2::zeros((shares.nrows(), candidates.ncols()));
    sums.into_iter().fold(zeros, |sum, block| sum + block)
}

fn identity_loss(queries: &ArrayView2<'_, f32>, adapted: &Array2<f32>, objective: Objective) -> f64 {
    let distance = |query: ArrayView1<'_, f32>, adapted: ArrayView1<'_, f32>| f64::from(1.0 - query.dot(&adapted));
    let distances = queries.rows().into_iter().zip(adapted.rows()).map(|(query, adapted)| distance(query, adapted));
    f64::from(objective.identity_weight) * distances.sum::<f64>()
}

/// Slopes of the parameters by those of adapted queries before scaling.
fn parameters_slopes(
    queries: &ArrayView2<'_, f32>,
    parameters: &Parameters,
    forward: &Forward,
    slopes: &Array2<f32>,
) -> Parameters {
    match parameters {
        Parameters::LowRank { up, .. } => {
            let inner = forward.inner.as_ref().expect("a residual of low rank has an inner row");
            Parameters::LowRank { up: slopes.t().dot(inner), down: slopes.dot(up).t().dot(queries) }
        }
        Parameters::Full { .. } => Parameters::Full { matrix: slopes.t().dot(queries) },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::AdapterShape;
    use crate::numeric::SplitMix64;

    /// Random rows of unit length.
    fn unit_rows(rows: usize, dimensions: usize, random: &mut SplitMix64) -> Array2<f32> {
        let mut matrix = Array2::from_shape_simple_fn((rows, dimensions), || random.normal() as f32);
        matrix.rows_mut().into_iter().for_each(|mut row| {
            let length = row.dot(&row).sqrt();
            row /= length;
        });
        matrix
    }

    fn random_parameters(shape: AdapterShape, dimensions: usize, random: &mut SplitMix64) -> Parameters {
        let mut parameters = Parameters::identity(shape, dimensions, random).unwrap();
        match &mut parameters {
            Parameters::LowRank { up: matrix, .. } | Parameters::Full { matrix } => {
                matrix.mapv_inplace(|_| 0.3 * random.normal() as f32);
            }
        }
        parameters
    }

    /// Mean loss by its definition, in 64 bits, one value at a time.
    fn plain_loss(batch: &Batch<'_>, residual: &Array2<f64>, objective: Objective) -> f64 {
        let mut sum = 0.0;
        for (pair, query) in batch.queries.rows().into_iter().enumerate() {
            let query = query.mapv(f64::from);
            let adapted = &query + &residual.dot(&query);
            let adapted = &adapted / adapted.dot(&adapted).sqrt();
            let logit =
                |place| batch.candidates.row(place).mapv(f64::from).dot(&adapted) / f64::from(objective.temperature);
            let rivals = (0..batch.candidates.nrows()).filter(|place| !batch.masked[pair].contains(place));
            let total: f64 = rivals.map(|place| logit(place).exp()).sum();
            sum += total.ln() - logit(batch.targets[pair]);
            sum += f64::from(objective.identity_weight) * (1.0 - query.dot(&adapted));
        }
        sum / batch.targets.len() as f64
    }

    fn residual(parameters: &Parameters) -> Array2<f64> {
        match parameters {
            Parameters::LowRank { up, down } => up.mapv(f64::from).dot(&down.mapv(f64::from)),
            Parameters::Full { matrix } => matrix.mapv(f64::from),
        }
    }

    /// All parameters with one of them moved, and the gradient's value there.
    fn moved(parameters: &Parameters, gradient: &Parameters, at: usize, by: f32) -> (Parameters, f32) {
        let pick = |matrix: &Array2<f32>| (at % matrix.nrows(), (at / matrix.nrows()) % matrix.ncols());
        let mut moved = parameters.clone();
        let slope = match (&mut moved, gradient) {
            (Parameters::LowRank { up: matrix, .. }, Parameters::LowRank { up: slopes, .. })
                if at.is_multiple_of(2) =>
            {
                let place = pick(matrix);
                matrix[place] += by;
                slopes[place]
            }
            (Parameters::LowRank { down: matrix, .. }, Parameters::LowRank { down: slopes, .. })
            | (Parameters::Full { matrix }, Parameters::Full { matrix: slopes }) => {
                let place = pick(matrix);
                matrix[place] += by;
                slopes[place]
            }
            _ => unreachable!("a gradient has the form of its parameters"),
        };
        (moved, slope)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn the_gradient_is_that_of_finite_differences(
            seed: u64, low_rank: bool, at in 0_usize..1000, identity_weight in 0.0_f32..1.0, masked in 0_usize..6,
        ) {
            const DIMENSIONS: usize = 5;
            let mut random = SplitMix64::new(seed);
            let (queries, candidates) = (unit_rows(3, DIMENSIONS, &mut random), unit_rows(7, DIMENSIONS, &mut random));
            let batch = Batch {
                queries: queries.view(),
                candidates: candidates.view(),
                targets: vec![6, 0, 6],
                masked: vec![vec![masked], vec![], vec![]],
            };
            let objective = Objective { temperature: 0.3, identity_weight };
            let shape = if low_rank { AdapterShape::LowRank(2) } else { AdapterShape::Full };
            let parameters = random_parameters(shape, DIMENSIONS, &mut random);
            let (sum, gradient) = gradient(&batch, &parameters, objective);
            let plain = plain_loss(&batch, &residual(&parameters), objective);
            prop_assert!((sum / 3.0 - plain).abs() < 1e-4, "{sum} {plain}");
            let without = Objective { identity_weight: 0.0, ..objective };
            for (place, temperature) in [(HOTTEST, 0.3), (HOTTEST - 2, 1.2), (HOTTEST + 1, 0.15)] {
                let plain = plain_loss(&batch, &residual(&parameters), Objective { temperature, ..without });
                let loss = losses(&batch, &parameters, objective)[place] / 3.0;
                prop_assert!((loss - plain).abs() < 1e-4, "{loss} {plain}");
            }
            // A power of two, so that the move is exact to within the rounding of one sum.
            let by = 2.0_f32.powi(-8);
            let (above, slope) = moved(&parameters, &gradient, at, by);
            let (below, _) = moved(&parameters, &gradient, at, -by);
            let rise = plain_loss(&batch, &residual(&above), objective) - plain_loss(&batch, &residual(&below), objective);
            let expected = rise / (2.0 * f64::from(by));
            prop_assert!((f64::from(slope) - expected).abs() < 2e-3 * (1.0 + expected.abs()), "{slope} {expected}");
        }
    }

    #[test]
    fn the_lowest_loss_lies_between_temperatures() {
        let parabola: [f64; TEMPERATURES] = std::array::from_fn(|place| (place as f64 - 3.3).powi(2) + 1.0);
        assert!((lowest(&parabola) - 1.0).abs() < 1e-12);
        assert_eq!(lowest(&std::array::from_fn(|place| place as f64)), 0.0);
        assert_eq!(lowest(&[2.0; TEMPERATURES]), 2.0);
    }

    #[test]
    fn many_blocks_are_as_one() {
        let mut random = SplitMix64::new(5);
        let (queries, candidates) = (unit_rows(2, 3, &mut random), unit_rows(2 * BLOCK + 7, 3, &mut random));
        let batch = |targets| Batch {
            queries: queries.view(),
            candidates: candidates.view(),
            targets,
            masked: vec![vec![0, BLOCK], vec![]],
        };
        let batch = batch(vec![2 * BLOCK + 1, BLOCK - 1]);
        let parameters = random_parameters(AdapterShape::Full, 3, &mut random);
        let objective = Objective { temperature: 0.1, identity_weight: 0.0 };
        let (sum, _) = gradient(&batch, &parameters, objective);
        assert!((sum / 2.0 - plain_loss(&batch, &residual(&parameters), objective)).abs() < 1e-4);
    }
}
