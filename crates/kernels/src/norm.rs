//! The sum of a branch and what went into it, normalised: the end of each half of a transformer layer.

use crate::widest::{multiply_add, on_widest_vectors};

/// Sums side by side: what two vectors of AVX-512 hold, to hide the latency of additions.
const LANES: usize = 32;

on_widest_vectors! {
    /// Adds `residual` to `values` and normalises each row to mean zero and variance one, times `weight`, plus `bias`.
    ///
    /// `values` and `residual` are `[rows, weight.len()]`, row-major. The variance is that of the centred values, so that
    /// a large mean costs no digits.
    ///
    /// # Panics
    /// When the lengths do not fit each other.
    pub fn add_and_norm(values: &mut [f32], residual: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) = norm_of_rows
}

#[inline(always)]
fn norm_of_rows<const FUSED: bool>(values: &mut [f32], residual: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let width = weight.len();
    assert_eq!(values.len(), residual.len(), "one residual a value");
    assert_eq!(width, bias.len(), "one bias a weight");
    assert!(values.len().is_multiple_of(width.max(1)), "whole rows of {width} values");
    for (row, residual) in values.chunks_exact_mut(width.max(1)).zip(residual.chunks_exact(width.max(1))) {
        for (value, residual) in row.iter_mut().zip(residual) {
            *value += residual;
        }
        let mean = sum(row, |value, sum| sum + value) / width as f32;
        for value in row.iter_mut() {
            *value -= mean;
        }
        let squares = sum(row, |value, sum| multiply_add::<FUSED>(value, value, sum));
        let scale = 1.0 / (squares / width as f32 + epsilon).sqrt();
        for ((value, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
            *value = multiply_add::<FUSED>(*value * scale, *weight, *bias);
        }
    }
}

/// Adds up `values` by `add`, in an order that depends on their number alone.
#[inline(always)]
fn sum(values: &[f32], add: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let whole = values.chunks_exact(LANES);
    let rest = whole.remainder();
    for chunk in whole {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum = add(value, *sum);
        }
    }
    for (sum, &value) in sums.iter_mut().zip(rest) {
        *sum = add(value, *sum);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(values: &[f32], residual: &[f32], weight: &[f32], bias: &[f32]) {
        let width = weight.len();
        let mut received = values.to_vec();
        add_and_norm(&mut received, residual, weight, bias, 1e-5);
        let mut portable = values.to_vec();
        norm_of_rows::<false>(&mut portable, residual, weight, bias, 1e-5);
        for (row, (values, residual)) in values.chunks_exact(width).zip(residual.chunks_exact(width)).enumerate() {
            let sums: Vec<f64> = values.iter().zip(residual).map(|(&a, &b)| f64::from(a + b)).collect();
            let mean = sums.iter().sum::<f64>() / width as f64;
            let variance = sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / width as f64;
            let size = sums.iter().map(|sum| sum.abs()).fold(0.0, f64::max);
            let scale = 1.0 / (variance + 1e-5).sqrt();
            for column in 0..width {
                let (weight, bias) = (f64::from(weight[column]), f64::from(bias[column]));
                let exact = (sums[column] - mean) * scale * weight + bias;
                // The mean is as exact as the largest value.
                let allowed = 1e-6 * (size * scale * weight.abs() + exact.abs() + bias.abs()) + 1e-30;
                for value in [received[row * width + column], portable[row * width + column]] {
                    let wrong = (f64::from(value) - exact).abs();
                    assert!(wrong <= allowed, "row {row}, column {column}: {value} for {exact}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_width_agrees_with_double_precision(
            (width, values) in (1usize..130).prop_flat_map(|width| {
                (Just(width), prop::collection::vec(-3.0f32..3.0, width * 8))
            }),
            mean in -50.0f32..50.0,
        ) {
            let (states, rest) = values.split_at(3 * width);
            let (residual, rest) = rest.split_at(3 * width);
            let (weight, bias) = rest.split_at(width);
            let states: Vec<f32> = states.iter().map(|value| value + mean).collect();
            check(&states, residual, weight, bias);
        }
    }

    #[test]
    fn equal_values_become_the_bias() {
        let mut values = [2.5; 6];
        add_and_norm(&mut values, &[1.0; 6], &[3.0; 3], &[1.0, 2.0, 3.0], 1e-12);
        assert_eq!(values, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
        add_and_norm(&mut [], &[], &[1.0], &[1.0], 1e-12);
    }
}
