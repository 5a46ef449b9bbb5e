//! Products of a query's codes with rows of codes, on the widest integer units that the processor has.

use super::{CodeQuery, Codes};

/// How products are computed. All give the same integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Kernel {
    /// Those that this processor has, the best last.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), expect(unused_mut))]
        let mut kernels = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                kernels.push(Self::Avx2);
            }
            if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl") {
                kernels.push(Self::Avx512Vnni);
            }
        }
        #[cfg(target_arch = "aarch64")]
        kernels.push(Self::Neon);
        kernels
    }

    pub(super) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl") {
                return Self::Avx512Vnni;
            }
            if is_x86_feature_detected!("avx2") {
                return Self::Avx2;
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            return Self::Neon;
        }
        #[cfg(not(target_arch = "aarch64"))]
        Self::Scalar
    }

    /// Writes the product of the query's codes with each row's, both without their zero, into `products`.
    ///
    /// The caller has checked that all rows are there and are as long as the query.
    pub(super) fn run(self, query: &CodeQuery, codes: &Codes<'_>, rows: &[u32], products: &mut [f32]) {
        match self {
            Self::Scalar => scalar(query, codes, rows, products),
            // SAFETY: `all` and `best` give a kernel only where the processor has what it needs.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::avx2(query, codes, rows, products) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => unsafe { x86::avx512_vnni(query, codes, rows, products) },
            // SAFETY: every 64-bit ARM processor has NEON.
            #[cfg(target_arch = "aarch64")]
            Self::Neon => unsafe { arm::neon(query, codes, rows, products) },
        }
    }
}

fn scalar(query: &CodeQuery, codes: &Codes<'_>, rows: &[u32], products: &mut [f32]) {
    for (&row, product) in rows.iter().zip(products) {
        let pairs = query.wide.iter().zip(codes.row(row));
        let sum: i32 = pairs.map(|(&query, &code)| i32::from(query) * i32::from(code)).sum();
        *product = (sum - query.surplus) as f32;
    }
}

/// Bytes that a processor reads from memory at once.
const LINE: usize = 64;

/// Asks the memory for a row before it is needed.
#[inline]
pub(super) fn prefetch(codes: &Codes<'_>, row: u32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = row as usize * codes.stride;
        if start + codes.stride <= codes.bytes.len() {
            for line in (0..codes.stride).step_by(LINE) {
                // SAFETY: the address lies within the slice; a prefetch does not read it.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(codes.bytes.as_ptr().add(start + line).cast()) };
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (codes, row, LINE);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_shuffle_epi32, _mm256_add_epi32,
        _mm256_castsi256_si128, _mm256_cvtepu8_epi16, _mm256_dpbusd_epi32, _mm256_extracti128_si256,
        _mm256_loadu_si256, _mm256_madd_epi16, _mm256_setzero_si256,
    };

    use super::{CodeQuery, Codes};

    /// Sixteen codes, widened.
    ///
    /// # Safety
    /// Sixteen bytes can be read from `codes`.
    #[target_feature(enable = "avx2")]
    #[inline]
    #[expect(clippy::cast_ptr_alignment, reason = "the load is an unaligned one")]
    unsafe fn widened(codes: *const u8) -> __m256i {
        // SAFETY: as the caller promises.
        _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(codes.cast::<__m128i>()) })
    }

    /// Two rows at a time, so that the query is loaded once for both and two sums hide each other's latency.
    ///
    /// # Safety
    /// The processor has AVX2; every row is among the codes, and as long as the query, a multiple of 32.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2(query: &CodeQuery, codes: &Codes<'_>, rows: &[u32], products: &mut [f32]) {
        let stride = codes.stride;
        let wide = query.wide.as_ptr();
        let mut pairs = rows.chunks_exact(2);
        let mut at = 0;
        for pair in &mut pairs {
            let mut sums: [__m256i; 4] = [_mm256_setzero_si256(); 4];
            // SAFETY: both rows lie in the codes and all loads below `stride`, the length of the query too.
            unsafe {
                let first = codes.bytes.as_ptr().add(pair[0] as usize * stride);
                let second = codes.bytes.as_ptr().add(pair[1] as usize * stride);
                let mut offset = 0;
                while offset < stride {
                    for half in 0..2 {
                        let at = offset + half * 16;
                        let query: __m256i = _mm256_loadu_si256(wide.add(at).cast());
                        let a = widened(first.add(at));
                        let b = widened(second.add(at));
                        sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(a, query));
                        sums[half + 2] = _mm256_add_epi32(sums[half + 2], _mm256_madd_epi16(b, query));
                    }
                    offset += 32;
                }
            }
            products[at] = (total(_mm256_add_epi32(sums[0], sums[1])) - query.surplus) as f32;
            products[at + 1] = (total(_mm256_add_epi32(sums[2], sums[3])) - query.surplus) as f32;
            at += 2;
        }
        for &row in pairs.remainder() {
            let mut sums: [__m256i; 2] = [_mm256_setzero_si256(); 2];
            // SAFETY: as above.
            unsafe {
                let codes = codes.bytes.as_ptr().add(row as usize * stride);
                let mut offset = 0;
                while offset < stride {
                    for (half, sum) in sums.iter_mut().enumerate() {
                        let at = offset + half * 16;
                        let query: __m256i = _mm256_loadu_si256(wide.add(at).cast());
                        let row = widened(codes.add(at));
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(row, query));
                    }
                    offset += 32;
                }
            }
            products[at] = (total(_mm256_add_epi32(sums[0], sums[1])) - query.surplus) as f32;
            at += 1;
        }
    }

    /// Four products of bytes a lane and instruction.
    ///
    /// # Safety
    /// The processor has AVX512-VNNI and AVX512-VL; rows as for [`avx2`].
    #[target_feature(enable = "avx2,avx512vnni,avx512vl")]
    pub(super) unsafe fn avx512_vnni(query: &CodeQuery, codes: &Codes<'_>, rows: &[u32], products: &mut [f32]) {
        let stride = codes.stride;
        let narrow = query.narrow.as_ptr();
        for (&row, product) in rows.iter().zip(products) {
            let mut sums: [__m256i; 2] = [_mm256_setzero_si256(); 2];
            // SAFETY: the row lies in the codes and all loads below `stride`, the length of the query too.
            unsafe {
                let codes = codes.bytes.as_ptr().add(row as usize * stride);
                let mut offset = 0;
                while offset < stride {
                    let sum = &mut sums[offset / 32 % 2];
                    let row: __m256i = _mm256_loadu_si256(codes.add(offset).cast());
                    *sum = _mm256_dpbusd_epi32(*sum, row, _mm256_loadu_si256(narrow.add(offset).cast()));
                    offset += 32;
                }
            }
            *product = (total(_mm256_add_epi32(sums[0], sums[1])) - query.surplus) as f32;
        }
    }

    #[target_feature(enable = "avx2")]
    fn total(sum: __m256i) -> i32 {
        let halves = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        let pairs = _mm_add_epi32(halves, _mm_shuffle_epi32::<0b00_00_11_10>(halves));
        _mm_cvtsi128_si32(_mm_add_epi32(pairs, _mm_shuffle_epi32::<0b00_00_00_01>(pairs)))
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::{
        int32x4_t, vaddvq_s32, vdupq_n_s32, vdupq_n_u8, veorq_u8, vget_low_s8, vld1q_s8, vld1q_u8, vmull_high_s8,
        vmull_s8, vpadalq_s16, vreinterpretq_s8_u8,
    };

    use super::{CodeQuery, Codes};

    /// Sixteen bytes at a time; codes lose their zero by a flipped bit, since there is no product of unsigned by signed.
    ///
    /// # Safety
    /// Every row is among the codes, and as long as the query, a multiple of 32.
    #[target_feature(enable = "neon")]
    pub(super) unsafe fn neon(query: &CodeQuery, codes: &Codes<'_>, rows: &[u32], products: &mut [f32]) {
        let stride = codes.stride;
        let narrow = query.narrow.as_ptr();
        let flip = vdupq_n_u8(128);
        for (&row, product) in rows.iter().zip(products) {
            let mut sums: [int32x4_t; 2] = [vdupq_n_s32(0); 2];
            // SAFETY: the row lies in the codes and all loads below `stride`, the length of the query too.
            unsafe {
                let codes = codes.bytes.as_ptr().add(row as usize * stride);
                let mut offset = 0;
                while offset < stride {
                    let query = vld1q_s8(narrow.add(offset));
                    let row = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(codes.add(offset)), flip));
                    // A product is at most 127², so it fits 16 bits, and is widened before it is added.
                    sums[0] = vpadalq_s16(sums[0], vmull_s8(vget_low_s8(row), vget_low_s8(query)));
                    sums[1] = vpadalq_s16(sums[1], vmull_high_s8(row, query));
                    offset += 16;
                }
            }
            *product = (vaddvq_s32(sums[0]) + vaddvq_s32(sums[1])) as f32;
        }
    }
}
