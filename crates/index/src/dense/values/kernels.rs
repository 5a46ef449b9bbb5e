//! Products of a query in 32 bits with rows in 16 and 8 bits, on vectors where the processor converts to 32 bits by itself.

use super::{halves, of_half, scaled, value_of};

/// Products with rows in 16 bits; the lengths fit each other.
pub(super) fn of_halves(query: &[f32], rows: &[u8], scores: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
        // SAFETY: the processor has AVX2, FMA and F16C, and the caller made sure of the lengths.
        return unsafe { x86::of_halves(query, rows, scores) };
    }
    for (row, score) in rows.chunks_exact(2 * query.len().max(1)).zip(scores) {
        *score = query.iter().zip(halves(row)).map(|(&query, half)| query * of_half(half)).sum();
    }
}

/// Products with rows in 8 bits; the lengths fit each other.
pub(super) fn of_codes(query: &[f32], rows: &[u8], scores: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA, and the caller made sure of the lengths.
        return unsafe { x86::of_codes(query, rows, scores) };
    }
    for (row, score) in rows.chunks_exact(super::SCALE_BYTES + query.len()).zip(scores) {
        let (scale, codes) = scaled(row);
        *score = scale * sum_of_codes(query, codes);
    }
}

/// Eight sums side by side, which compilers turn into what vectors they may assume.
fn sum_of_codes(query: &[f32], codes: &[u8]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0f32; LANES];
    let (left, right) = (query.chunks_exact(LANES), codes.chunks_exact(LANES));
    let tail: f32 = left.remainder().iter().zip(right.remainder()).map(|(&a, &b)| a * value_of(b)).sum();
    for (a, b) in left.zip(right) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * value_of(b[lane]);
        }
    }
    sums.iter().sum::<f32>() + tail
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_loadl_epi64, _mm_loadu_si128, _mm_movehl_ps, _mm_shuffle_ps,
        _mm256_add_ps, _mm256_castps256_ps128, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtph_ps,
        _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps,
    };

    use super::super::{SCALE_BYTES, halves, of_half, scaled, value_of};

    const LANES: usize = 8;
    /// Values of one turn: four sums of eight, to hide the latency of the multiply-add.
    const TURN: usize = 4 * LANES;

    /// # Safety
    /// The processor has AVX2, FMA and F16C; `rows` holds `scores.len()` rows of `query.len()` values of 2 bytes.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn of_halves(query: &[f32], rows: &[u8], scores: &mut [f32]) {
        let whole = query.len() / TURN * TURN;
        for (row, score) in rows.chunks_exact(2 * query.len().max(1)).zip(scores) {
            let mut sums = [_mm256_setzero_ps(); 4];
            for at in (0..whole).step_by(TURN) {
                for (lane, sum) in sums.iter_mut().enumerate() {
                    let offset = at + lane * LANES;
                    // SAFETY: eight values are read from `offset`, which end at or before `whole <= query.len()`; the row has
                    // as many, of two bytes.
                    *sum = unsafe {
                        let values = _mm256_cvtph_ps(_mm_loadu_si128(row.as_ptr().add(2 * offset).cast()));
                        _mm256_fmadd_ps(_mm256_loadu_ps(query.as_ptr().add(offset)), values, *sum)
                    };
                }
            }
            let tail = query[whole..].iter().zip(halves(&row[2 * whole..]));
            *score = sum_of(sums) + tail.map(|(&query, half)| query * of_half(half)).sum::<f32>();
        }
    }

    /// # Safety
    /// The processor has AVX2 and FMA; `rows` holds `scores.len()` rows of a scale and `query.len()` codes.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn of_codes(query: &[f32], rows: &[u8], scores: &mut [f32]) {
        let whole = query.len() / TURN * TURN;
        for (row, score) in rows.chunks_exact(SCALE_BYTES + query.len()).zip(scores) {
            let (scale, codes) = scaled(row);
            let mut sums = [_mm256_setzero_ps(); 4];
            for at in (0..whole).step_by(TURN) {
                for (lane, sum) in sums.iter_mut().enumerate() {
                    let offset = at + lane * LANES;
                    // SAFETY: eight values are read from `offset`, which end at or before `whole <= query.len()`; there are
                    // as many codes, of a byte.
                    *sum = unsafe {
                        let codes = _mm256_cvtepi8_epi32(_mm_loadl_epi64(codes.as_ptr().add(offset).cast()));
                        let query = _mm256_loadu_ps(query.as_ptr().add(offset));
                        _mm256_fmadd_ps(query, _mm256_cvtepi32_ps(codes), *sum)
                    };
                }
            }
            let tail = query[whole..].iter().zip(&codes[whole..]);
            *score = scale * (sum_of(sums) + tail.map(|(&query, &code)| query * value_of(code)).sum::<f32>());
        }
    }

    #[target_feature(enable = "avx2")]
    fn sum_of([a, b, c, d]: [__m256; 4]) -> f32 {
        let sum = _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
        let halves = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
        let pairs = _mm_add_ps(halves, _mm_movehl_ps(halves, halves));
        _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps::<1>(pairs, pairs)))
    }
}
