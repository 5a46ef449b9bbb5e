//! Eigenvalues and eigenvectors of a symmetric matrix.
//!
//! Householder reflections bring it to three diagonals, implicit QR steps with Wilkinson's shift to one (Golub and Van Loan,
//! *Matrix computations*, 4th edition, sections 8.3.1 to 8.3.3).

/// QR steps for each eigenvalue after which something is wrong with the matrix; two or three are usual.
const MAX_STEPS: usize = 60;

/// Eigenvalues from high to low, and their eigenvectors, each a row of `n` values of length 1.
///
/// Of the two directions of a vector the one is given whose value of largest size is above 0. `matrix` is `[n, n]`, symmetric.
/// Returns `None` when it holds numbers that are not finite.
pub(super) fn symmetric(mut matrix: Vec<f64>, n: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    if !matrix.iter().all(|value| value.is_finite()) {
        return None;
    }
    let (mut diagonal, mut beside, mut vectors) = tridiagonal(&mut matrix, n);
    diagonalize(&mut diagonal, &mut beside, &mut vectors, n)?;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]));
    let mut sorted = Vec::with_capacity(n * n);
    for &place in &order {
        let vector = &vectors[place * n..][..n];
        let largest = vector.iter().copied().reduce(|most, value| if value.abs() > most.abs() { value } else { most });
        let sign = largest.map_or(1.0, f64::signum);
        sorted.extend(vector.iter().map(|value| sign * value));
    }
    Some((order.iter().map(|&place| diagonal[place]).collect(), sorted))
}

/// The diagonal, the values beside it, and the basis (rows) in which the matrix has no others.
fn tridiagonal(matrix: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let mut beside = vec![0.0; n.saturating_sub(1)];
    let mut reflections: Vec<Vec<f64>> = Vec::with_capacity(n);
    for k in 0..n.saturating_sub(1) {
        let first = k + 1;
        let mut normal: Vec<f64> = (first..n).map(|row| matrix[row * n + k]).collect();
        let length = dot(&normal, &normal).sqrt();
        let reflected = if normal[0] > 0.0 { -length } else { length };
        beside[k] = reflected;
        normal[0] -= reflected;
        let normal_length = dot(&normal, &normal).sqrt();
        if normal_length > 0.0 {
            for value in &mut normal {
                *value /= normal_length;
            }
            reflect_both_sides(matrix, n, first, &normal);
        }
        reflections.push(normal);
    }
    let diagonal = (0..n).map(|k| matrix[k * n + k]).collect();
    let mut basis = vec![0.0; n * n];
    (0..n).for_each(|k| basis[k * n + k] = 1.0);
    for (k, normal) in reflections.iter().enumerate().rev() {
        let first = k + 1;
        for row in basis.chunks_exact_mut(n).skip(first) {
            let along = -2.0 * dot(&row[first..], normal);
            add(&mut row[first..], along, normal);
        }
    }
    (diagonal, beside, basis)
}

/// H B H for the part B of the matrix from `first` on, H being the reflection at the plane with the unit `normal`.
fn reflect_both_sides(matrix: &mut [f64], n: usize, first: usize, normal: &[f64]) {
    let mut image: Vec<f64> = matrix.chunks_exact(n).skip(first).map(|row| 2.0 * dot(&row[first..], normal)).collect();
    let along = dot(&image, normal);
    add(&mut image, -along, normal);
    for (place, row) in matrix.chunks_exact_mut(n).skip(first).enumerate() {
        add(&mut row[first..], -normal[place], &image);
        add(&mut row[first..], -image[place], normal);
    }
}

/// QR steps until nothing is left beside the diagonal; `vectors` are turned along.
fn diagonalize(diagonal: &mut [f64], beside: &mut [f64], vectors: &mut [f64], n: usize) -> Option<()> {
    let largest = diagonal.iter().chain(beside.iter()).fold(0.0_f64, |most, value| most.max(value.abs()));
    // What lies below the rounding of the largest value is as good as 0.
    let negligible = f64::EPSILON * largest;
    let mut steps = 0;
    let mut last = n.saturating_sub(1);
    while last > 0 {
        if beside[last - 1].abs() <= negligible {
            beside[last - 1] = 0.0;
            last -= 1;
            continue;
        }
        steps += 1;
        if steps > MAX_STEPS * n {
            return None;
        }
        let first = (0..last).rev().find(|&k| beside[k].abs() <= negligible).map_or(0, |k| k + 1);
        qr_step(diagonal, beside, vectors, n, first, last);
    }
    Some(())
}

/// One implicit QR step on the rows `first..=last`: a turn in the first plane, and what it brings out of place is chased down.
fn qr_step(diagonal: &mut [f64], beside: &mut [f64], vectors: &mut [f64], n: usize, first: usize, last: usize) {
    let half_gap = (diagonal[last - 1] - diagonal[last]) / 2.0;
    let corner = beside[last - 1];
    let shift = diagonal[last] - corner * corner / (half_gap + half_gap.hypot(corner).copysign(half_gap));
    let (mut kept, mut vanishing) = (diagonal[first] - shift, beside[first]);
    for k in first..last {
        let length = kept.hypot(vanishing);
        let (cos, sin) = if length == 0.0 { (1.0, 0.0) } else { (kept / length, vanishing / length) };
        if k > first {
            beside[k - 1] = length;
        }
        let (above, between, below) = (diagonal[k], beside[k], diagonal[k + 1]);
        diagonal[k] = cos * cos * above + 2.0 * cos * sin * between + sin * sin * below;
        diagonal[k + 1] = sin * sin * above - 2.0 * cos * sin * between + cos * cos * below;
        beside[k] = cos * sin * (below - above) + (cos * cos - sin * sin) * between;
        kept = beside[k];
        if k + 1 < last {
            vanishing = sin * beside[k + 1];
            beside[k + 1] *= cos;
        }
        let (head, tail) = vectors.split_at_mut((k + 1) * n);
        for (upper, lower) in head[k * n..].iter_mut().zip(&mut tail[..n]) {
            (*upper, *lower) = (cos * *upper + sin * *lower, cos * *lower - sin * *upper);
        }
    }
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (ones, others) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest: f64 = ones.remainder().iter().zip(others.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in ones.zip(others) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

fn add(values: &mut [f64], scale: f64, others: &[f64]) {
    values.iter_mut().zip(others).for_each(|(value, other)| *value += scale * other);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The matrix is what its eigenvalues and eigenvectors say, and these are orthonormal and in order.
    fn check(matrix: &[f64], n: usize) {
        let (values, vectors) = symmetric(matrix.to_vec(), n).unwrap();
        let scale = matrix.iter().fold(1e-300_f64, |most, value| most.max(value.abs()));
        assert!(values.is_sorted_by(|a, b| a >= b), "{values:?}");
        for (k, vector) in vectors.chunks_exact(n).enumerate() {
            for (row, value) in matrix.chunks_exact(n).zip(vector) {
                assert!((dot(row, vector) - values[k] * value).abs() < 1e-12 * scale * n as f64, "{matrix:?}");
            }
            for (other, vector_2) in vectors.chunks_exact(n).enumerate() {
                assert!((dot(vector, vector_2) - f64::from(u8::from(k == other))).abs() < 1e-12, "{vectors:?}");
            }
        }
    }

    fn matrices() -> impl Strategy<Value = (Vec<f64>, usize)> {
        (1_usize..14, 0..3).prop_flat_map(|(n, kind)| {
            // Any values, few different values, and low rank.
            prop::collection::vec(-1.0_f64..1.0, n * n).prop_map(move |values| {
                let at = |row: usize, column: usize| match kind {
                    0 => values[row.min(column) * n + row.max(column)],
                    1 => values[row.min(column) * n + row.max(column)].round(),
                    _ => values[row] * values[column] + if n > 2 { values[n + row] * values[n + column] } else { 0.0 },
                };
                ((0..n * n).map(|place| at(place / n, place % n)).collect(), n)
            })
        })
    }

    proptest! {
        #[test]
        fn symmetric_matrices_are_taken_apart((matrix, n) in matrices(), exponent in -30_i32..30) {
            let scaled: Vec<f64> = matrix.iter().map(|value| value * 10_f64.powi(exponent)).collect();
            check(&scaled, n);
        }
    }

    #[test]
    fn a_small_one_by_hand() {
        let (values, vectors) = symmetric(vec![2.0, 1.0, 1.0, 2.0], 2).unwrap();
        let half = std::f64::consts::FRAC_1_SQRT_2;
        assert!(values.iter().zip([3.0, 1.0]).all(|(value, expected)| (value - expected).abs() < 1e-15));
        assert!(vectors[..2].iter().all(|value| (value - half).abs() < 1e-15));
    }

    #[test]
    fn edges() {
        check(&[0.0; 9], 3);
        check(&[5.0], 1);
        check(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], 3);
        assert_eq!(symmetric(vec![], 0), Some((vec![], vec![])));
        assert_eq!(symmetric(vec![f64::NAN], 1), None);
        // Wilkinson's matrix, whose eigenvalues come in close pairs.
        let n = 21;
        let wilkinson = |row: usize, column: usize| match row.abs_diff(column) {
            0 => row.abs_diff(10) as f64,
            1 => 1.0,
            _ => 0.0,
        };
        check(&(0..n * n).map(|place| wilkinson(place / n, place % n)).collect::<Vec<_>>(), n);
    }
}
