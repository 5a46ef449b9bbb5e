//! The product in whole numbers, for any processor.

use super::{BLOCK, Bytes, Outputs, PANEL, QUAD};

/// A panel of outputs of all rows; `product` is `[rows, width]`.
pub(super) fn panel(bytes: &Bytes, weights: &[i8], outputs: &Outputs, product: &mut [f32], width: usize) {
    let rows = bytes.values.chunks_exact(bytes.stride).zip(&bytes.ranges);
    for ((states, range), product) in rows.zip(product.chunks_exact_mut(width)) {
        let mut sums = [0_i32; PANEL];
        for (states, weights) in states.chunks_exact(BLOCK).zip(weights.chunks_exact(BLOCK * PANEL)) {
            for (states, weights) in states.chunks_exact(QUAD).zip(weights.chunks_exact(QUAD * PANEL)) {
                for (sum, weights) in sums.iter_mut().zip(weights.chunks_exact(QUAD)) {
                    *sum += states.iter().zip(weights).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum::<i32>();
                }
            }
        }
        for (at, product) in product[outputs.first..][..outputs.count].iter_mut().enumerate() {
            let low = range.low.mul_add(outputs.sums[at], outputs.bias[at]);
            *product = (sums[at] as f32).mul_add(range.scale * outputs.scales[at], low);
        }
    }
}
