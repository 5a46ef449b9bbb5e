//! The linear map that comes nearest to given answers.

use ndarray::Array2;

use crate::rows::expect_size;
use crate::spectrum::products;
use crate::{Error, LinearMap, Provenance, Rows};

/// Ridge regression: the M that minimises Σ |M x − y|² + `penalty` · |M|² over rows x of `inputs` and y of `outputs`.
///
/// In 64 bits, by a Cholesky factorisation; the same on any number of threads. To stay near the identity rather than near 0,
/// learn y − x and add x.
///
/// # Errors
/// `SizeMismatch` when there are not as many rows of both; `Setting` for a `penalty` below 0; `Underdetermined` when rows of
/// `inputs` span too few directions and `penalty` is (next to) 0.
pub fn ridge(inputs: Rows<'_>, outputs: Rows<'_>, penalty: f64, provenance: Provenance) -> Result<LinearMap, Error> {
    expect_size("rows of outputs", inputs.len(), outputs.len())?;
    if !(penalty.is_finite() && penalty >= 0.0) {
        return Err(Error::Setting { name: "penalty", value: penalty, wanted: "0 or above" });
    }
    let (no_center_in, no_center_out) = (vec![0.0; inputs.dimensions()], vec![0.0; outputs.dimensions()]);
    let mut normal = products(inputs, inputs, &no_center_in, &no_center_in);
    normal.diag_mut().iter_mut().for_each(|value| *value += penalty);
    // A row for each output, so that the solution is M as it stands.
    let solution = products(outputs, inputs, &no_center_out, &no_center_in);
    let solution = solve_rows(normal, solution)
        .ok_or(Error::Underdetermined { rows: inputs.len(), dimensions: inputs.dimensions() })?;
    let matrix = solution.iter().map(|&value| value as f32).collect();
    LinearMap::new(inputs.dimensions(), matrix, vec![0.0; outputs.dimensions()], provenance)
}

/// The X with X `normal` = `solution`, in the place of `solution`; none when `normal` is not positive definite.
pub(crate) fn solve_rows(normal: Array2<f64>, mut solution: Array2<f64>) -> Option<Array2<f64>> {
    let factor = cholesky(normal)?;
    for mut row in solution.rows_mut() {
        solve(&factor, row.as_slice_mut().expect("rows are contiguous"));
    }
    Some(solution)
}

/// The lower triangle L with L Lᵀ = `matrix`; none when the matrix is not positive definite.
fn cholesky(mut matrix: Array2<f64>) -> Option<Array2<f64>> {
    let size = matrix.nrows();
    let largest = matrix.diag().fold(0.0_f64, |most, &value| most.max(value));
    for row in 0..size {
        for column in 0..=row {
            let known = matrix.slice(ndarray::s![row, ..column]).dot(&matrix.slice(ndarray::s![column, ..column]));
            let rest = matrix[[row, column]] - known;
            if row > column {
                matrix[[row, column]] = rest / matrix[[column, column]];
            } else if rest > largest * f64::EPSILON * size as f64 {
                matrix[[row, row]] = rest.sqrt();
            } else {
                return None;
            }
        }
    }
    Some(matrix)
}

/// Turns b into the x with L Lᵀ x = b.
fn solve(factor: &Array2<f64>, values: &mut [f64]) {
    for row in 0..values.len() {
        let known: f64 = factor.row(row).iter().zip(&values[..row]).map(|(a, b)| a * b).sum();
        values[row] = (values[row] - known) / factor[[row, row]];
    }
    for row in (0..values.len()).rev() {
        values[row] /= factor[[row, row]];
        let solved = values[row];
        values[..row].iter_mut().zip(factor.row(row)).for_each(|(value, &slope)| *value -= slope * solved);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numeric::SplitMix64;

    fn rows(values: &[f32], dimensions: usize) -> Rows<'_> {
        Rows::new(values, dimensions).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn the_slope_of_what_is_minimised_is_0(seed: u64, size in 1_usize..6, outputs in 1_usize..4, penalty in 0.01_f64..10.0) {
            let mut random = SplitMix64::new(seed);
            let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| random.normal() as f32).collect() };
            let (x, y) = (values(12 * size), values(12 * outputs));
            let map = ridge(rows(&x, size), rows(&y, outputs), penalty, Provenance::default()).unwrap();
            for (output, line) in map.matrix().chunks_exact(size).enumerate() {
                for place in 0..size {
                    let mut slope = penalty * f64::from(line[place]);
                    for (x, y) in x.chunks_exact(size).zip(y.chunks_exact(outputs)) {
                        let error = f64::from(crate::numeric::dot(line, x) - y[output]);
                        slope += error * f64::from(x[place]);
                    }
                    prop_assert!(slope.abs() < 1e-3, "{slope}");
                }
            }
        }
    }

    #[test]
    fn an_exact_map_is_found() {
        let turned = ridge(rows(&[1.0, 0.0, 0.0, 1.0], 2), rows(&[0.0, 1.0, -1.0, 0.0], 2), 0.0, Provenance::default());
        assert_eq!(turned.unwrap().matrix(), [0.0, -1.0, 1.0, 0.0]);
    }

    #[test]
    fn what_has_no_one_answer_is_refused() {
        let fit = |x: &[f32], penalty| ridge(rows(x, 2), rows(&[1.0, 1.0], 1), penalty, Provenance::default());
        let underdetermined = Err(Error::Underdetermined { rows: 2, dimensions: 2 });
        assert_eq!(fit(&[1.0, 2.0, 2.0, 4.0], 0.0), underdetermined);
        assert_eq!(fit(&[0.0; 4], 0.0), underdetermined);
        assert!(fit(&[1.0, 2.0, 2.0, 4.0], 0.1).is_ok());
        assert!(matches!(fit(&[1.0, 2.0], 0.1), Err(Error::SizeMismatch { .. })));
        assert!(matches!(fit(&[1.0; 4], f64::NAN), Err(Error::Setting { .. })));
    }
}
