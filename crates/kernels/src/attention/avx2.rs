//! Attention in f32 by AVX2: the steps and sums of the portable kernel, in its order, with as many of them side by side as
//! hide the latency of additions.

use std::arch::x86_64::{
    __m256, _mm256_add_epi32, _mm256_add_ps, _mm256_broadcast_ss, _mm256_castps_si256, _mm256_castsi256_ps,
    _mm256_div_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_ps,
};

use super::portable::{POWERS, SHIFT};
use super::{AttentionShape, LANES};

/// Keys whose scores are summed side by side, and queries whose contexts are: twelve sums, and what goes into them, are all
/// the registers there are.
const SIDE_BY_SIDE: usize = 6;
/// Queries of a block that are left then.
const LEFT: usize = LANES % SIDE_BY_SIDE;
/// Values in a register.
const HALF: usize = LANES / 2;

/// Attention of one row over the keys `kept`, see [`super::attend`].
#[target_feature(enable = "avx2,fma")]
pub(super) fn attend(
    qkv: &[f32],
    kept: &[u32],
    shape: AttentionShape,
    scratch: &mut Vec<[f32; LANES]>,
    context: &mut [f32],
) {
    let (width, hidden) = (shape.width, shape.hidden());
    let scale = std::f32::consts::LOG2_E / (width as f32).sqrt();
    let part = |token: usize, part: usize, head: usize| &qkv[(3 * token + part) * hidden + head * width..][..width];
    let vectors = width / LANES;
    let lines = width + kept.len() * (1 + 2 * vectors);
    if scratch.len() < lines {
        scratch.resize(lines, [0.0; LANES]);
    }
    let (queries, rest) = scratch[..lines].split_at_mut(width);
    let (scores, rest) = rest.split_at_mut(kept.len());
    let (keys, values) = rest.split_at_mut(kept.len() * vectors);
    for head in 0..shape.heads {
        // A row of all heads is as long as a page; those of one head lie close together here.
        for (number, &key) in kept.iter().enumerate() {
            let lines = number * vectors..(number + 1) * vectors;
            keys[lines.clone()].as_flattened_mut().copy_from_slice(part(key as usize, 1, head));
            values[lines].as_flattened_mut().copy_from_slice(part(key as usize, 2, head));
        }
        for (block, contexts) in context.chunks_mut(LANES * hidden).enumerate() {
            for lane in 0..contexts.len() / hidden {
                for (query, &value) in queries.iter_mut().zip(part(block * LANES + lane, 0, head)) {
                    query[lane] = value * scale;
                }
            }
            let whole = kept.len() / SIDE_BY_SIDE * SIDE_BY_SIDE;
            for key in (0..whole).step_by(SIDE_BY_SIDE) {
                // SAFETY: there are as many keys from this one on.
                unsafe { score::<SIDE_BY_SIDE>(queries, &keys[key * vectors..], &mut scores[key..]) };
            }
            for key in whole..kept.len() {
                // SAFETY: as above.
                unsafe { score::<1>(queries, &keys[key * vectors..], &mut scores[key..]) };
            }
            let sums = weigh(scores);
            for (number, contexts) in contexts.chunks_mut(SIDE_BY_SIDE * hidden).enumerate() {
                let lane = number * SIDE_BY_SIDE;
                for vector in 0..vectors {
                    let at = head * width + vector * LANES;
                    let contexts = contexts.chunks_exact_mut(hidden).map(|context| &mut context[at..][..LANES]);
                    let values = &values[vector..];
                    // SAFETY: every key has so many vectors of values, and from the last lane on so many are left.
                    unsafe {
                        if lane + SIDE_BY_SIDE <= LANES {
                            mix::<SIDE_BY_SIDE>(scores, values, vectors, (lane, &sums), contexts);
                        } else {
                            mix::<LEFT>(scores, values, vectors, (lane, &sums), contexts);
                        }
                    }
                }
            }
        }
    }
}

/// Scores of the first `K` of `keys` for a block of queries.
///
/// # Safety
/// The processor has AVX2 and FMA; there are `K` keys as wide as `queries` are many, and as many `scores`.
#[target_feature(enable = "avx2,fma")]
unsafe fn score<const K: usize>(queries: &[[f32; LANES]], keys: &[[f32; LANES]], scores: &mut [[f32; LANES]]) {
    let (width, keys) = (queries.len(), keys.as_ptr().cast::<f32>());
    let mut sums = [[_mm256_setzero_ps(); 2]; K];
    for (at, query) in queries.iter().enumerate() {
        let query = halves(query);
        for (key, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller vouches for the keys.
            let value = _mm256_broadcast_ss(unsafe { &*keys.add(key * width + at) });
            for (sum, query) in sums.iter_mut().zip(query) {
                *sum = _mm256_fmadd_ps(query, value, *sum);
            }
        }
    }
    for (score, sums) in scores.iter_mut().zip(sums) {
        *score = joined(sums);
    }
}

/// Makes weights of scores, not yet divided by their sums, which are returned.
#[target_feature(enable = "avx2,fma")]
fn weigh(scores: &mut [[f32; LANES]]) -> [f32; LANES] {
    let mut most = [_mm256_set1_ps(f32::NEG_INFINITY); 2];
    for score in scores.iter() {
        for (most, score) in most.iter_mut().zip(halves(score)) {
            *most = _mm256_max_ps(*most, score);
        }
    }
    let mut sums = [_mm256_setzero_ps(); 2];
    for score in scores.iter_mut() {
        let mut weights = halves(score);
        for ((weight, sum), most) in weights.iter_mut().zip(&mut sums).zip(most) {
            *weight = exp2(_mm256_sub_ps(*weight, most));
            *sum = _mm256_add_ps(*sum, *weight);
        }
        *score = joined(weights);
    }
    joined(sums)
}

/// Writes a vector of each of the `contexts`, at most `Q`, of the queries from `lane` on; `values` has one in every `step`
/// lines.
///
/// # Safety
/// The processor has AVX2 and FMA; there are `Q` lanes from `lane` on, and `step` lines of values for each of `weights`, but
/// for those after the last one's first.
#[target_feature(enable = "avx2,fma")]
unsafe fn mix<'c, const Q: usize>(
    weights: &[[f32; LANES]],
    values: &[[f32; LANES]],
    step: usize,
    (lane, sums): (usize, &[f32; LANES]),
    contexts: impl Iterator<Item = &'c mut [f32]>,
) {
    let mut mixed = [[_mm256_setzero_ps(); 2]; Q];
    let (mut weight, mut value) = (weights.as_ptr().cast::<f32>().wrapping_add(lane), values.as_ptr());
    for _ in weights {
        // SAFETY: the caller vouches for both.
        let values = halves(unsafe { &*value });
        for (query, mixed) in mixed.iter_mut().enumerate() {
            // SAFETY: as above.
            let weight = _mm256_broadcast_ss(unsafe { &*weight.add(query) });
            for (mixed, values) in mixed.iter_mut().zip(values) {
                *mixed = _mm256_fmadd_ps(weight, values, *mixed);
            }
        }
        (weight, value) = (weight.wrapping_add(LANES), value.wrapping_add(step));
    }
    for ((context, mixed), sum) in contexts.zip(mixed).zip(&sums[lane..]) {
        context.copy_from_slice(&joined(mixed.map(|mixed| _mm256_div_ps(mixed, _mm256_set1_ps(*sum)))));
    }
}

/// 2 to the power of `x`, which is not positive; never below 2⁻¹²⁶. NaN stays NaN, as arithmetic makes it.
#[target_feature(enable = "avx2,fma")]
fn exp2(x: __m256) -> __m256 {
    // Of the two, the second is what comes out where one is NaN.
    let x = _mm256_max_ps(_mm256_set1_ps(-126.0), x);
    let shift = _mm256_set1_ps(SHIFT);
    let shifted = _mm256_add_ps(x, shift);
    let rest = _mm256_sub_ps(x, _mm256_sub_ps(shifted, shift));
    let mut power = _mm256_set1_ps(POWERS[0]);
    for &factor in &POWERS[1..] {
        power = _mm256_fmadd_ps(power, rest, _mm256_set1_ps(factor));
    }
    let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(shifted));
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(power), exponent))
}

#[target_feature(enable = "avx2")]
fn halves(line: &[f32; LANES]) -> [__m256; 2] {
    // SAFETY: a line holds two registers.
    [0, HALF].map(|at| unsafe { _mm256_loadu_ps(line.as_ptr().add(at)) })
}

#[target_feature(enable = "avx2")]
fn joined(halves: [__m256; 2]) -> [f32; LANES] {
    let mut line = [0.0; LANES];
    for (half, part) in halves.into_iter().zip(line.chunks_exact_mut(HALF)) {
        // SAFETY: half a line holds a register.
        unsafe { _mm256_storeu_ps(part.as_mut_ptr(), half) };
    }
    line
}
