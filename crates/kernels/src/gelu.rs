//! GELU, the nonlinearity of BERT's feed-forward half: `x · Φ(x)` with the normal distribution's Φ.

use crate::widest::{multiply_add, on_widest_vectors, polynomial};

/// Beyond it Φ is taken for constant: Φ(-5.25) is 8e-8.
const REACH: f32 = 5.25;

/// Minimax polynomial of (Φ(x) - ½) / x in u = 2x² / REACH² - 1, which keeps its factors small, so that f32 holds it;
/// fitted for the error of x · Φ(x). Highest power first.
const FACTORS: [f32; 14] = [
    -0.000_450_769_03,
    0.001_362_315_8,
    -0.001_619_432_8,
    0.002_111_757_2,
    -0.004_827_249_3,
    0.008_840_015,
    -0.013_090_468,
    0.018_425_317,
    -0.024_965_424,
    0.032_045_282,
    -0.039_771_22,
    0.049_645_193,
    -0.067_126_594,
    0.134_659_35,
];

on_widest_vectors! {
    /// Replaces each value by its GELU times its column's scale.
    ///
    /// `values` is `[rows, scales.len()]`, row-major. The error is below 1e-6, or 1e-6 of what is returned where that is
    /// larger than one (before the scale). NaN stays NaN.
    ///
    /// # Panics
    /// When `values` is not whole rows.
    pub fn gelu_scaled(values: &mut [f32], scales: &[f32]) = gelu_of_rows
}

#[inline(always)]
fn gelu_of_rows<const FUSED: bool>(values: &mut [f32], scales: &[f32]) {
    assert!(values.len().is_multiple_of(scales.len().max(1)), "whole rows of {} values", scales.len());
    for row in values.chunks_exact_mut(scales.len().max(1)) {
        for (value, scale) in row.iter_mut().zip(scales) {
            *value = gelu::<FUSED>(*value) * scale;
        }
    }
}

#[inline(always)]
fn gelu<const FUSED: bool>(x: f32) -> f32 {
    // Comparisons are written so that NaN passes.
    let x = if x < -REACH { -REACH } else { x };
    let near = if x > REACH { REACH } else { x };
    let u = multiply_add::<FUSED>(near * near, 2.0 / (REACH * REACH), -1.0);
    x * multiply_add::<FUSED>(polynomial::<FUSED>(&FACTORS, u), near, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x · Φ(x) in double precision: the series of Φ about zero, or where that cancels the continued fraction of its tail.
    fn exact(x: f64) -> f64 {
        let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        if x.abs() < 3.0 {
            let (mut term, mut sum, mut divisor) = (x, x, 1.0);
            while term.abs() > 1e-18 {
                divisor += 2.0;
                term *= x * x / divisor;
                sum += term;
            }
            return x * (0.5 + density * sum);
        }
        let tail = density / (1..60).rev().fold(x.abs(), |below, step| x.abs() + f64::from(step) / below);
        x * if x > 0.0 { 1.0 - tail } else { tail }
    }

    #[test]
    fn the_error_is_below_a_millionth_everywhere() {
        let points: Vec<f32> =
            (-120_000..=120_000).map(|point| point as f32 / 10_000.0).chain([1e3, -1e3, 1e30]).collect();
        let mut values = points.clone();
        gelu_scaled(&mut values, &[1.0]);
        let mut portable = points.clone();
        gelu_of_rows::<false>(&mut portable, &[1.0]);
        for ((&x, value), portable) in points.iter().zip(values).zip(portable) {
            let exact = exact(f64::from(x));
            for value in [value, portable] {
                let wrong = (f64::from(value) - exact).abs();
                assert!(wrong <= 1e-6 * exact.abs().max(1.0), "GELU of {x} is {exact}, not {value}");
            }
        }
    }

    #[test]
    fn each_column_has_its_scale() {
        let scales: Vec<f32> = (0..37).map(|column| column as f32).collect();
        let mut values = vec![1.0; 2 * 37];
        gelu_scaled(&mut values, &scales);
        for row in values.chunks_exact(37) {
            for (column, value) in row.iter().enumerate() {
                assert!((value - 0.841_344_8 * column as f32).abs() <= 1e-6 * column as f32);
            }
        }
    }

    #[test]
    fn edges_are_defined() {
        let mut values = [0.0, f32::INFINITY, f32::NAN];
        gelu_scaled(&mut values, &[2.0]);
        assert_eq!(values[..2], [0.0, f32::INFINITY]);
        assert!(values[2].is_nan());
        gelu_scaled(&mut [], &[]);
        gelu_scaled(&mut [], &[1.0]);
    }
}
