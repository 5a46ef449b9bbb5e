//! The product by AVX2: three rows of states by sixteen outputs at a time.

use std::arch::asm;
use std::arch::x86_64::{
    __m256, __m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_cvtepi32_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_set1_ps, _mm256_setzero_si256, _mm256_storeu_ps,
};

use super::{BLOCK, Bytes, Outputs, PANEL, QUAD, QUADS, RowRange};

/// Rows at a time: their sums, 16 and 32 bits wide, and one vector of weights are all the registers there are.
const ROWS: usize = 3;
/// 32-bit numbers in a vector, and bytes.
const LANES: usize = PANEL / 2;
const WIDTH: usize = LANES * QUAD;

/// A panel of outputs of all rows; `product` is `[rows, width]`.
///
/// # Safety
/// The processor has AVX2 and FMA; `bytes` holds a row of `stride` bytes for each range, `weights` is a panel of as many
/// inputs, `product` has a row for each range.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn panel(bytes: &Bytes, weights: &[i8], outputs: &Outputs, product: &mut [f32], width: usize) {
    let mut row = 0;
    while row < bytes.ranges.len() {
        let ranges = &bytes.ranges[row..];
        // SAFETY: as many rows are left as are taken.
        unsafe {
            let states = bytes.values.as_ptr().add(row * bytes.stride);
            let product = product.as_mut_ptr().add(row * width + outputs.first);
            match ranges.len() {
                1 => tile::<1>(states, bytes.stride, weights, outputs, ranges, product, width),
                2 => tile::<2>(states, bytes.stride, weights, outputs, ranges, product, width),
                _ => tile::<ROWS>(states, bytes.stride, weights, outputs, ranges, product, width),
            }
        }
        row += ROWS;
    }
}

/// `R` rows of a panel.
///
/// # Safety
/// As above; `states` and `product` are where the first row begins.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const R: usize>(
    states: *const u8,
    stride: usize,
    weights: &[i8],
    outputs: &Outputs,
    ranges: &[RowRange],
    product: *mut f32,
    width: usize,
) {
    let ones = _mm256_set1_epi16(1);
    let mut sums = [[_mm256_setzero_si256(); 2]; R];
    for block in 0..stride / BLOCK {
        let mut chains = [[_mm256_setzero_si256(); 2]; R];
        for quad in 0..QUADS {
            // SAFETY: a block has `QUADS` vectors for each half of the panel's outputs, and every row `stride` states.
            unsafe {
                let at = weights.as_ptr().add((block * QUADS + quad) * PANEL * QUAD);
                let halves = [0, 1].map(|half| _mm256_loadu_si256(at.add(half * WIDTH).cast()));
                let states = states.add(block * BLOCK + quad * QUAD);
                for (row, chains) in chains.iter_mut().enumerate() {
                    let four = _mm256_set1_epi32(states.add(row * stride).cast::<i32>().read_unaligned());
                    for (chain, half) in chains.iter_mut().zip(halves) {
                        *chain = _mm256_add_epi16(*chain, _mm256_maddubs_epi16(four, half));
                        keep_order(chain);
                    }
                }
            }
        }
        for (sums, chains) in sums.iter_mut().zip(chains) {
            for (sum, chain) in sums.iter_mut().zip(chains) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(chain, ones));
            }
        }
    }
    for (row, (sums, range)) in sums.into_iter().zip(ranges).enumerate() {
        let (low, scale) = (_mm256_set1_ps(range.low), _mm256_set1_ps(range.scale));
        let mut values = [0.0; PANEL];
        let whole = outputs.count == PANEL;
        // SAFETY: each array holds a value for each output of a panel; where the panel is whole, so does the product.
        let to = if whole { unsafe { product.add(row * width) } } else { values.as_mut_ptr() };
        for (half, sum) in sums.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe {
                let part = |of: &[f32; PANEL]| -> __m256 { _mm256_loadu_ps(of.as_ptr().add(half * LANES)) };
                let below = _mm256_fmadd_ps(low, part(&outputs.sums), part(&outputs.bias));
                let scale = _mm256_mul_ps(scale, part(&outputs.scales));
                _mm256_storeu_ps(to.add(half * LANES), _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, below));
            }
        }
        if !whole {
            // SAFETY: the product has the panel's outputs.
            unsafe { product.add(row * width).copy_from_nonoverlapping(values.as_ptr(), outputs.count) };
        }
    }
}

/// Keeps the compiler from adding up a chain in another order, for which there are too few registers.
#[target_feature(enable = "avx2")]
fn keep_order(chain: &mut __m256i) {
    // SAFETY: there is no instruction.
    unsafe { asm!("/* {0} */", inout(ymm_reg) * chain, options(nomem, nostack, preserves_flags)) };
}
