//! Attention by AVX-512's products of bf16 pairs (`vdpbf16ps`), at twice the rate of f32.
//!
//! A head is taken at a time. Its keys and values become bf16 once; then queries come in blocks of up to 32, one to a
//! lane, so that the maximum and the sum of a softmax are those of whole vectors and nothing is ever added across lanes.
//! The scores of a block stay in the first-level cache until they are weights.
//!
//! The instruction multiplies pairs of bf16 and adds both products to an f32. A *pair* below is two bf16 in 32 bits:
//! two neighbouring values of a query or a key, or one value each of two neighbouring keys' value rows.

use std::arch::x86_64::{
    __m256i, __m512, __m512bh, __m512i, _mm256_storeu_si256, _mm512_add_epi32, _mm512_add_ps, _mm512_castps_si512,
    _mm512_castsi512_ps, _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh, _mm512_div_ps, _mm512_dpbf16_ps, _mm512_fmadd_ps,
    _mm512_load_ps, _mm512_load_si512, _mm512_loadu_ps, _mm512_max_ps, _mm512_mul_ps, _mm512_permutexvar_epi16,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi32, _mm512_store_ps, _mm512_store_si512,
    _mm512_storeu_ps, _mm512_sub_ps,
};

use super::{AttentionShape, LANES, Line, SHIFT, SHORT_POWERS};

/// Keys whose scores are summed side by side, to hide the latency of the products.
const KEYS: usize = 8;
/// Queries whose contexts are.
const QUERIES: usize = 8;

/// Attention of one row over the keys `kept`, see [`super::attend`].
///
/// # Safety
/// The processor has AVX-512 F, BW and BF16. `qkv` is `[tokens, 3 · hidden]`, `context` `[tokens, hidden]`, `kept` holds
/// numbers of tokens, at least one; a head is a multiple of 16 wide.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn attend(
    qkv: &[f32],
    kept: &[u32],
    shape: AttentionShape,
    scratch: &mut Vec<Line>,
    context: &mut [f32],
) {
    let (width, hidden) = (shape.width, shape.hidden());
    let tokens = context.len() / hidden;
    let padded_keys = kept.len().next_multiple_of(KEYS);
    // Lines of pairs of queries, keys and values, and of scores; a block has up to two vectors of queries.
    let parts =
        [width / 2 * 2, padded_keys * width / 2 / LANES, kept.len().div_ceil(2) * width / LANES, padded_keys * 2];
    let lines = parts.iter().sum();
    if scratch.len() < lines {
        scratch.resize(lines, Line([0; LANES]));
    }
    let (queries, rest) = scratch.split_at_mut(parts[0]);
    let (keys, rest) = rest.split_at_mut(parts[1]);
    let (values, scores) = rest.split_at_mut(parts[2]);
    let step = 3 * hidden;
    for head in 0..shape.heads {
        let at = head * width;
        // SAFETY: all tokens' rows are in `qkv` and `context`, and the parts of the scratch hold what the fields of `Head`
        // say, keys and scores up to a whole tile.
        unsafe {
            pack_keys(qkv.as_ptr().add(hidden + at), step, kept, width, keys.as_mut_ptr().cast());
            pack_values(qkv.as_ptr().add(2 * hidden + at), step, kept, width, values.as_mut_ptr().cast());
            let head = Head {
                queries: queries.as_mut_ptr(),
                keys: keys.as_ptr().cast(),
                values: values.as_ptr().cast(),
                scores: scores.as_mut_ptr(),
                key_count: kept.len(),
                width,
                hidden,
            };
            let mut first = 0;
            while first < tokens {
                let count = (tokens - first).min(2 * LANES);
                let from = qkv.as_ptr().add(first * step + at);
                let to = context.as_mut_ptr().add(first * hidden + at);
                if count > LANES {
                    head.block::<2>(from, count, to);
                } else {
                    head.block::<1>(from, count, to);
                }
                first += count;
            }
        }
    }
}

/// What a block of queries of one head works with. Its functions want places as large as their layouts say, and a
/// processor as [`attend`] does.
#[derive(Clone, Copy)]
struct Head {
    /// Pairs of queries, `[width / 2, queries]`.
    queries: *mut Line,
    /// Pairs of keys, `[keys, width / 2]`.
    keys: *const i32,
    /// Pairs of values, `[keys / 2, width]`.
    values: *const i32,
    /// `[keys, queries]` scores in f32, then `[keys / 2, queries]` pairs of weights.
    scores: *mut Line,
    key_count: usize,
    width: usize,
    hidden: usize,
}

impl Head {
    /// Contexts of `count` queries, at most `V` vectors of them.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn block<const V: usize>(self, from: *const f32, count: usize, to: *mut f32) {
        // SAFETY: `from` and `to` begin at the head's part of `count` rows, of which no value beyond `width` is touched.
        unsafe {
            pack_queries::<V>(from, 3 * self.hidden, count, self.width, self.queries.cast());
            let most = self.scores::<V>();
            let sums = self.weights::<V>(most);
            // A context is divided by the sum of its weights at the end: they are not rounded twice.
            let mut shares = [Line([0; LANES]); V];
            for (share, sum) in shares.iter_mut().zip(sums) {
                let one = _mm512_set1_ps(1.0);
                _mm512_store_ps(std::ptr::from_mut(share).cast(), _mm512_div_ps(one, sum));
            }
            let shares = shares.as_ptr().cast::<f32>();
            let mut query = 0;
            while query < count {
                let left = (count - query).min(QUERIES);
                let mut column = 0;
                while column < self.width {
                    let at = to.add(query * self.hidden + column);
                    if self.width - column >= 2 * LANES {
                        self.contexts::<V, 2>(query, column, shares, left, at);
                        column += 2 * LANES;
                    } else {
                        self.contexts::<V, 1>(query, column, shares, left, at);
                        column += LANES;
                    }
                }
                query += left;
            }
        }
    }

    /// Scores of all keys, not yet scaled; returns the greatest of each query.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn scores<const V: usize>(self) -> [__m512; V] {
        let mut most = [_mm512_set1_ps(f32::NEG_INFINITY); V];
        let pairs = self.width / 2;
        let mut key = 0;
        while key < self.key_count {
            let mut sums = [[_mm512_setzero_ps(); V]; KEYS];
            // SAFETY: keys are padded to whole tiles, and so are scores.
            unsafe {
                let keys = self.keys.add(key * pairs);
                for pair in 0..pairs {
                    let mut queries = [_mm512_setzero_ps(); V];
                    for (v, query) in queries.iter_mut().enumerate() {
                        *query = _mm512_load_ps(self.queries.add(pair * V + v).cast());
                    }
                    for (k, sums) in sums.iter_mut().enumerate() {
                        let key = _mm512_set1_epi32(*keys.add(k * pairs + pair));
                        for (sum, query) in sums.iter_mut().zip(queries) {
                            *sum = _mm512_dpbf16_ps(*sum, bf16(_mm512_castps_si512(query)), bf16(key));
                        }
                    }
                }
                for (k, sums) in sums.into_iter().enumerate() {
                    for (v, sum) in sums.into_iter().enumerate() {
                        most[v] = _mm512_max_ps(most[v], sum);
                        _mm512_store_ps(self.scores.add((key + k) * V + v).cast(), sum);
                    }
                }
            }
            key += KEYS;
        }
        most
    }

    /// Turns scores into pairs of weights, which take their place; returns their sums.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn weights<const V: usize>(self, most: [__m512; V]) -> [__m512; V] {
        let scale = _mm512_set1_ps(std::f32::consts::LOG2_E / (self.width as f32).sqrt());
        let mut sums = [_mm512_setzero_ps(); V];
        let interleave = interleaving();
        let mut key = 0;
        while key < self.key_count {
            for v in 0..V {
                let most = _mm512_mul_ps(most[v], scale);
                // SAFETY: there are scores of all keys; what is written lies before what is still to be read.
                unsafe {
                    let at = self.scores.add(key * V + v);
                    let weight = |score| exp2(_mm512_sub_ps(_mm512_mul_ps(score, scale), most));
                    let one = weight(_mm512_load_ps(at.cast()));
                    let other = if key + 1 < self.key_count {
                        weight(_mm512_load_ps(at.add(V).cast()))
                    } else {
                        _mm512_setzero_ps()
                    };
                    sums[v] = _mm512_add_ps(sums[v], _mm512_add_ps(one, other));
                    let both = integers(_mm512_cvtne2ps_pbh(other, one));
                    let pairs = _mm512_permutexvar_epi16(interleave, both);
                    _mm512_store_si512(self.scores.add(key / 2 * V + v).cast(), pairs);
                }
            }
            key += 2;
        }
        sums
    }

    /// `C` vectors of the contexts of eight queries, of which `left` are written.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn contexts<const V: usize, const C: usize>(
        self,
        query: usize,
        column: usize,
        shares: *const f32,
        left: usize,
        to: *mut f32,
    ) {
        let mut sums = [[_mm512_setzero_ps(); C]; QUERIES];
        // SAFETY: a block holds a multiple of eight queries, whether or not all are real; only real ones are written.
        unsafe {
            let mut weights = self.scores.cast::<i32>().add(query).cast_const();
            let mut values = self.values.add(column);
            for _ in 0..self.key_count.div_ceil(2) {
                let mut columns = [_mm512_set1_epi32(0); C];
                for (c, column) in columns.iter_mut().enumerate() {
                    *column = _mm512_load_si512(values.add(c * LANES).cast());
                }
                for (q, sums) in sums.iter_mut().enumerate() {
                    let weight = _mm512_set1_epi32(*weights.add(q));
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = _mm512_dpbf16_ps(*sum, bf16(column), bf16(weight));
                    }
                }
                weights = weights.add(V * LANES);
                values = values.add(self.width);
            }
            for (q, sums) in sums.into_iter().enumerate() {
                if q < left {
                    let share = _mm512_set1_ps(*shares.add(query + q));
                    for (c, sum) in sums.into_iter().enumerate() {
                        _mm512_storeu_ps(to.add(q * self.hidden + c * LANES), _mm512_mul_ps(sum, share));
                    }
                }
            }
        }
    }
}

/// Keys in bf16, one after another; the last is repeated up to a whole tile, which changes no maximum.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_keys(from: *const f32, step: usize, kept: &[u32], width: usize, mut to: *mut i32) {
    let last = kept[kept.len() - 1];
    let padded = kept.len().next_multiple_of(KEYS);
    for key in kept.iter().copied().chain(std::iter::repeat(last)).take(padded) {
        // SAFETY: `from` begins at the head's part of row 0, and `kept` numbers rows; there is a place for each tile.
        unsafe {
            let row = from.add(key as usize * step);
            let mut column = 0;
            while column < width {
                let half: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(_mm512_loadu_ps(row.add(column))));
                _mm256_storeu_si256(to.cast(), half);
                to = to.add(LANES / 2);
                column += LANES;
            }
        }
    }
}

/// Pairs of neighbouring keys' value rows, column by column; the pair of an odd last one is zero.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_values(from: *const f32, step: usize, kept: &[u32], width: usize, mut to: *mut i32) {
    let interleave = interleaving();
    for pair in kept.chunks(2) {
        // SAFETY: as above, with a place for each pair.
        unsafe {
            let one = from.add(pair[0] as usize * step);
            let other = pair.get(1).map(|&key| from.add(key as usize * step));
            let mut column = 0;
            while column < width {
                let low = _mm512_loadu_ps(one.add(column));
                let high = other.map_or(_mm512_setzero_ps(), |other| _mm512_loadu_ps(other.add(column)));
                let both = integers(_mm512_cvtne2ps_pbh(high, low));
                _mm512_store_si512(to.cast(), _mm512_permutexvar_epi16(interleave, both));
                to = to.add(LANES);
                column += LANES;
            }
        }
    }
}

/// Queries in bf16 with pairs down and queries across; lanes beyond `count` keep what they hold.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_queries<const V: usize>(from: *const f32, step: usize, count: usize, width: usize, to: *mut i32) {
    for query in 0..count {
        let mut column = 0;
        while column < width {
            // SAFETY: as above; a block has at most `V` vectors of queries.
            unsafe {
                let half: [i32; LANES / 2] =
                    std::mem::transmute(_mm512_cvtneps_pbh(_mm512_loadu_ps(from.add(query * step + column))));
                let to = to.add(column / 2 * V * LANES + query);
                for (pair, value) in half.into_iter().enumerate() {
                    *to.add(pair * V * LANES) = value;
                }
            }
            column += LANES;
        }
    }
}

/// 2 to the power of `x`, which is not positive: exact to 3e-6 of itself, and never below 2⁻¹²⁶. NaN stays NaN.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn exp2(x: __m512) -> __m512 {
    // Of the two, the second is what comes out where one is NaN.
    let x = _mm512_max_ps(_mm512_set1_ps(-126.0), x);
    let shift = _mm512_set1_ps(SHIFT);
    let shifted = _mm512_add_ps(x, shift);
    let rest = _mm512_sub_ps(x, _mm512_sub_ps(shifted, shift));
    let mut power = _mm512_set1_ps(SHORT_POWERS[0]);
    for &factor in &SHORT_POWERS[1..] {
        power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(factor));
    }
    let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(shifted));
    _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(power), exponent))
}

/// Order that makes pairs of two halves: 0, 16, 1, 17, …
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn interleaving() -> __m512i {
    let order: [u16; 32] = std::array::from_fn(|at| (at / 2 + at % 2 * 16) as u16);
    // SAFETY: both are 64 bytes, and any bits are a vector.
    unsafe { std::mem::transmute(order) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn bf16(pairs: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes, and any bits are a vector.
    unsafe { std::mem::transmute(pairs) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn integers(pairs: __m512bh) -> __m512i {
    // SAFETY: as above.
    unsafe { std::mem::transmute(pairs) }
}
