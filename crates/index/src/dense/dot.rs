//! Dot products of one query with many rows, on the widest vectors that the processor has.
//!
//! On one machine a row always gives the same bits, wherever it stands and however many rows are asked for: each row
//! is summed alone, in the same order.

/// Writes the dot product of `query` with each row into `scores`.
///
/// `rows` is `[scores.len(), query.len()]`, row-major.
///
/// # Panics
/// When the lengths do not fit each other.
pub(crate) fn dots(query: &[f32], rows: &[f32], scores: &mut [f32]) {
    assert_eq!(query.len() * scores.len(), rows.len(), "rows of the query's length, one a score");
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F, and the lengths were checked above.
            return unsafe { x86::dots_avx512(query, rows, scores) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA, and the lengths were checked above.
            return unsafe { x86::dots_avx2(query, rows, scores) };
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        // SAFETY: every 64-bit ARM processor has NEON, and the lengths were checked above.
        unsafe { arm::dots_neon(query, rows, scores) }
    }
    #[cfg(not(target_arch = "aarch64"))]
    dots_scalar(query, rows, scores);
}

/// Eight sums side by side, which any compiler turns into what vectors it may assume.
#[cfg_attr(target_arch = "aarch64", expect(dead_code, reason = "NEON is always there"))]
fn dots_scalar(query: &[f32], rows: &[f32], scores: &mut [f32]) {
    const LANES: usize = 8;
    for (row, score) in rows.chunks_exact(query.len().max(1)).zip(scores) {
        let mut sums = [0.0f32; LANES];
        let (left, right) = (query.chunks_exact(LANES), row.chunks_exact(LANES));
        let tail: f32 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
        for (a, b) in left.zip(right) {
            for lane in 0..LANES {
                sums[lane] += a[lane] * b[lane];
            }
        }
        *score = sums.iter().sum::<f32>() + tail;
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehl_ps, _mm_shuffle_ps, _mm256_add_ps,
        _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps,
        _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_maskz_loadu_ps, _mm512_reduce_add_ps,
        _mm512_setzero_ps,
    };

    /// Four sums of sixteen, to hide the latency of the multiply-add.
    ///
    /// # Safety
    /// The processor has AVX-512F; `rows` holds `scores.len()` rows of `query.len()`.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn dots_avx512(query: &[f32], rows: &[f32], scores: &mut [f32]) {
        const LANES: usize = 16;
        let length = query.len();
        let whole = length / (4 * LANES) * (4 * LANES);
        for (number, score) in scores.iter_mut().enumerate() {
            let mut sums: [__m512; 4] = [_mm512_setzero_ps(); 4];
            // SAFETY: row `number` begins at `number * length` and has `length` values; every load below stays within
            // `at + LANES <= whole <= length`, or is masked to the values that remain.
            unsafe {
                let (q, r) = (query.as_ptr(), rows.as_ptr().add(number * length));
                let mut at = 0;
                while at < whole {
                    for (lane, sum) in sums.iter_mut().enumerate() {
                        let offset = at + lane * LANES;
                        *sum = _mm512_fmadd_ps(_mm512_loadu_ps(q.add(offset)), _mm512_loadu_ps(r.add(offset)), *sum);
                    }
                    at += 4 * LANES;
                }
                while at < length {
                    let left = (length - at).min(LANES);
                    let mask = ((1u32 << left) - 1) as u16;
                    let (a, b) = (_mm512_maskz_loadu_ps(mask, q.add(at)), _mm512_maskz_loadu_ps(mask, r.add(at)));
                    sums[0] = _mm512_fmadd_ps(a, b, sums[0]);
                    at += left;
                }
            }
            let [a, b, c, d] = sums;
            *score = _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)));
        }
    }

    /// Four sums of eight.
    ///
    /// # Safety
    /// The processor has AVX2 and FMA; `rows` holds `scores.len()` rows of `query.len()`.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn dots_avx2(query: &[f32], rows: &[f32], scores: &mut [f32]) {
        const LANES: usize = 8;
        let length = query.len();
        let whole = length / (4 * LANES) * (4 * LANES);
        for (number, score) in scores.iter_mut().enumerate() {
            let mut sums: [__m256; 4] = [_mm256_setzero_ps(); 4];
            let mut tail = 0.0;
            // SAFETY: row `number` begins at `number * length` and has `length` values; vector loads stay below
            // `whole <= length`, the single values below `length`.
            unsafe {
                let (q, r) = (query.as_ptr(), rows.as_ptr().add(number * length));
                let mut at = 0;
                while at < whole {
                    for (lane, sum) in sums.iter_mut().enumerate() {
                        let offset = at + lane * LANES;
                        *sum = _mm256_fmadd_ps(_mm256_loadu_ps(q.add(offset)), _mm256_loadu_ps(r.add(offset)), *sum);
                    }
                    at += 4 * LANES;
                }
                while at < length {
                    tail += *q.add(at) * *r.add(at);
                    at += 1;
                }
            }
            let [a, b, c, d] = sums;
            let sum = _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
            let halves = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
            let pairs = _mm_add_ps(halves, _mm_movehl_ps(halves, halves));
            *score = _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps::<1>(pairs, pairs))) + tail;
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::{float32x4_t, vaddq_f32, vaddvq_f32, vdupq_n_f32, vfmaq_f32, vld1q_f32};

    /// Four sums of four.
    ///
    /// # Safety
    /// `rows` holds `scores.len()` rows of `query.len()`.
    #[target_feature(enable = "neon")]
    pub(super) unsafe fn dots_neon(query: &[f32], rows: &[f32], scores: &mut [f32]) {
        const LANES: usize = 4;
        let length = query.len();
        let whole = length / (4 * LANES) * (4 * LANES);
        for (number, score) in scores.iter_mut().enumerate() {
            let mut sums: [float32x4_t; 4] = [vdupq_n_f32(0.0); 4];
            let mut tail = 0.0;
            // SAFETY: row `number` begins at `number * length` and has `length` values; vector loads stay below
            // `whole <= length`, the single values below `length`.
            unsafe {
                let (q, r) = (query.as_ptr(), rows.as_ptr().add(number * length));
                let mut at = 0;
                while at < whole {
                    for (lane, sum) in sums.iter_mut().enumerate() {
                        let offset = at + lane * LANES;
                        *sum = vfmaq_f32(*sum, vld1q_f32(q.add(offset)), vld1q_f32(r.add(offset)));
                    }
                    at += 4 * LANES;
                }
                while at < length {
                    tail += *q.add(at) * *r.add(at);
                    at += 1;
                }
            }
            let [a, b, c, d] = sums;
            *score = vaddvq_f32(vaddq_f32(vaddq_f32(a, b), vaddq_f32(c, d))) + tail;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Kernel = unsafe fn(&[f32], &[f32], &mut [f32]);

    fn kernels() -> Vec<(&'static str, Kernel)> {
        let mut kernels: Vec<(&'static str, Kernel)> = vec![("dispatched", dots), ("scalar", dots_scalar)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                kernels.push(("avx512", x86::dots_avx512));
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                kernels.push(("avx2", x86::dots_avx2));
            }
        }
        kernels
    }

    fn check(query: &[f32], rows: &[f32], count: usize) {
        for (name, kernel) in kernels() {
            let mut scores = vec![f32::NAN; count];
            // SAFETY: `kernels` lists only what the processor has; `rows` holds `count` rows.
            unsafe { kernel(query, rows, &mut scores) };
            for (number, &score) in scores.iter().enumerate() {
                let row = &rows[number * query.len()..][..query.len()];
                let products = query.iter().zip(row).map(|(&a, &b)| f64::from(a) * f64::from(b));
                let (exact, size) = products.fold((0.0, 0.0), |(sum, size), value| (sum + value, size + value.abs()));
                let allowed = size * f64::from(f32::EPSILON) * (query.len() as f64) + 1e-30;
                assert!((f64::from(score) - exact).abs() <= allowed, "{name}, row {number}: {score} for {exact}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_kernel_agrees_with_sums_in_double_precision(
            (length, values) in (1usize..200).prop_flat_map(|length| {
                (Just(length), prop::collection::vec(-1.0f32..1.0, length * 6))
            })
        ) {
            check(&values[..length], &values[length..], 5);
        }
    }

    #[test]
    fn every_length_around_the_vectors_widths() {
        for length in [1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 384] {
            let values: Vec<f32> = (0..length * 3).map(|at| ((at * 37 % 101) as f32 - 50.0) / 50.0).collect();
            check(&values[..length], &values[length..], 2);
        }
    }

    #[test]
    fn no_rows_are_no_work() {
        dots(&[1.0, 2.0], &[], &mut []);
    }
}
