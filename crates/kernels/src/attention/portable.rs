//! Attention in f32, for vectors of any width. Steps and layouts are those of the kernel in bf16.

use super::{AttentionShape, LANES, SHIFT};
use crate::widest::{multiply_add, on_widest_vectors, polynomial};

/// Minimax polynomial of 2ˣ on ±½, highest power first; its relative error is 7.5e-8.
const POWERS: [f32; 6] = [0.001_327_647_2, 0.009_675_542, 0.055_507_13, 0.240_221_2, 0.693_146_94, 1.000_000_1];

on_widest_vectors! {
    /// Attention of one row over the keys `kept`, at least one, see [`super::attend`].
    pub(super) fn attend(
        qkv: &[f32],
        kept: &[u32],
        shape: AttentionShape,
        scores: &mut Vec<[f32; LANES]>,
        context: &mut [f32],
    ) = attend_in_blocks
}

#[inline(always)]
fn attend_in_blocks<const FUSED: bool>(
    qkv: &[f32],
    kept: &[u32],
    shape: AttentionShape,
    scores: &mut Vec<[f32; LANES]>,
    context: &mut [f32],
) {
    let (width, hidden) = (shape.width, shape.hidden());
    let scale = std::f32::consts::LOG2_E / (width as f32).sqrt();
    let part = |token: usize, part: usize, head: usize| &qkv[(3 * token + part) * hidden + head * width..][..width];
    for head in 0..shape.heads {
        for (block, contexts) in context.chunks_mut(LANES * hidden).enumerate() {
            let count = contexts.len() / hidden;
            scores.clear();
            scores.resize(width + kept.len(), [0.0; LANES]);
            let (queries, scores) = scores.split_at_mut(width);
            for lane in 0..count {
                for (query, &value) in queries.iter_mut().zip(part(block * LANES + lane, 0, head)) {
                    query[lane] = value * scale;
                }
            }
            let mut most = [f32::NEG_INFINITY; LANES];
            for (score, &key) in scores.iter_mut().zip(kept) {
                let mut sums = [0.0; LANES];
                for (query, &key) in queries.iter().zip(part(key as usize, 1, head)) {
                    for lane in 0..LANES {
                        sums[lane] = multiply_add::<FUSED>(query[lane], key, sums[lane]);
                    }
                }
                for lane in 0..LANES {
                    score[lane] = sums[lane];
                    most[lane] = if most[lane] > score[lane] { most[lane] } else { score[lane] };
                }
            }
            let mut sums = [0.0; LANES];
            for score in scores.iter_mut() {
                for lane in 0..LANES {
                    score[lane] = exp2::<FUSED>(score[lane] - most[lane]);
                    sums[lane] += score[lane];
                }
            }
            for (lane, context) in contexts.chunks_exact_mut(hidden).enumerate() {
                for column in (0..width).step_by(LANES) {
                    let mut mixed = [0.0; LANES];
                    for (weight, &key) in scores.iter().zip(kept) {
                        let values = &part(key as usize, 2, head)[column..][..LANES];
                        for at in 0..LANES {
                            mixed[at] = multiply_add::<FUSED>(weight[lane], values[at], mixed[at]);
                        }
                    }
                    let context = &mut context[head * width + column..][..LANES];
                    for at in 0..LANES {
                        context[at] = mixed[at] / sums[lane];
                    }
                }
            }
        }
    }
}

/// 2 to the power of `x`, which is not positive; never below 2⁻¹²⁶. NaN stays NaN.
#[inline(always)]
fn exp2<const FUSED: bool>(x: f32) -> f32 {
    let x = if x < -126.0 { -126.0 } else { x };
    let shifted = x + SHIFT;
    let power = polynomial::<FUSED>(&POWERS, x - (shifted - SHIFT));
    f32::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 23))
}
