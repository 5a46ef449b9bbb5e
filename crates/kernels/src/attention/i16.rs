//! Attention in 16-bit integers by AVX2: one instruction (`vpmaddwd`) multiplies pairs and adds both products to 32 bits, so
//! that there are half as many multiplications and loads as in f32.
//!
//! Each query and each key has a scale of its own, and so has each column of the values. Keys are taken [`CHUNK`] at a time:
//! a weight counts up to [`HEAVIEST`], which is that of the query's best key in the chunk, and what the chunks weigh
//! against each other is f32. Sums of products are exact, because what the numbers may reach keeps them below 2³¹. What is
//! rounded is one part in 2¹⁴ of the greatest number of a query or a key at 32 values a head (2¹³ at 128), one in 2¹⁵ of a
//! chunk's heaviest weight, and one in 2¹² of a column's largest value.
//!
//! A *pair* below is two 16-bit numbers in 32 bits: two neighbouring ones of a query or a key, or one each of two
//! neighbouring keys' weights or values.

use std::arch::x86_64::{
    __m256, __m256i, _CMP_NLT_UQ, _mm_cvtsi128_si32, _mm_max_epi32, _mm_shuffle_epi32, _mm256_add_epi32, _mm256_add_ps,
    _mm256_and_ps, _mm256_and_si256, _mm256_blend_epi16, _mm256_castps_si256, _mm256_castsi256_ps,
    _mm256_castsi256_si128, _mm256_cmp_ps, _mm256_cvtepi32_ps, _mm256_cvtps_epi32, _mm256_div_ps,
    _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_fmsub_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_max_epi32, _mm256_max_ps, _mm256_mul_ps, _mm256_packs_epi32, _mm256_permute2x128_si256,
    _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256,
    _mm256_slli_epi32, _mm256_storeu_ps, _mm256_storeu_si256, _mm256_sub_ps, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

use super::{AttentionShape, LANES, Line, SHIFT, SHORT_POWERS};

/// Keys whose scores are summed side by side, and queries whose contexts are: twelve sums, and what goes into them, are all
/// the registers there are.
const TILE: usize = 6;
/// The other queries of a block, in two equal parts: enough of them to hide the latency too.
const LEFT: usize = (LANES - TILE) / 2;
/// Numbers in a register.
const HALF: usize = LANES / 2;
/// Keys that are weighted against each other in integers.
const CHUNK: usize = 10 * TILE;
/// What the weight of a query's best key in a chunk becomes.
const HEAVIEST: f32 = 16_383.0;
/// What the largest value of a column becomes.
const LARGEST: f32 = 2_047.0;
const _: () = assert!(CHUNK.is_multiple_of(2) && CHUNK as u64 * HEAVIEST as u64 * LARGEST as u64 <= i32::MAX as u64);
/// Where no number is as large, all count as zero: their scale could be none.
const LEAST: f32 = 1e-30;
/// What times a key's scale must be a number: no sum of products is larger.
const MOST: f32 = (1u32 << 31) as f32;

/// Attention of one row over the keys `kept`, see [`super::attend`].
#[target_feature(enable = "avx2,fma")]
pub(super) fn attend(qkv: &[f32], kept: &[u32], shape: AttentionShape, scratch: &mut Vec<Line>, context: &mut [f32]) {
    let (width, hidden) = (shape.width, shape.hidden());
    let (pairs, vectors, chunks) = (width / 2, width / LANES, kept.len().div_ceil(CHUNK));
    let part = |token: usize, part: usize, head: usize| &qkv[(3 * token + part) * hidden + head * width..][..width];
    // As many products as a head is wide add up to less than 2³¹.
    let reach = (i32::MAX as usize / width).isqrt() as f32;
    let unit = std::f32::consts::LOG2_E / (width as f32).sqrt();
    let lines = |numbers: usize| numbers.div_ceil(LANES);
    // The last tile is filled up with the last key once more, which changes no maximum.
    let tiled = kept.len().next_multiple_of(TILE);
    let values = kept.len().div_ceil(2) * vectors;
    let sizes = [pairs, pairs, lines(tiled * pairs), values, tiled, lines(tiled), vectors, 2 * chunks];
    let [rows, queries, keys, values, scores, scales, columns, weighed] = split(scratch, sizes);
    let (mosts, shares) = weighed.split_at_mut(chunks);
    let (rows, keys, scales) = (numbers(rows), numbers(keys), &mut floats(scales)[..tiled]);
    for head in 0..shape.heads {
        // Not a number where one of the keys' is none, or a score might be.
        let mut doubt = 0.0;
        for (number, (to, scale)) in keys.chunks_exact_mut(pairs).zip(scales.iter_mut()).enumerate() {
            let key = kept[number.min(kept.len() - 1)];
            *scale = narrow(part(key as usize, 1, head), reach, to);
            doubt += *scale * MOST * 0.0;
        }
        for (vector, column) in columns.iter_mut().enumerate() {
            let first = 2 * hidden + head * width + vector * LANES;
            *column = pack_values((&qkv[first..], 3 * hidden), kept, (&mut values[vector..], vectors));
        }
        for (block, contexts) in context.chunks_mut(LANES * hidden).enumerate() {
            let mut factors = [0.0; LANES];
            for (lane, factor) in factors.iter_mut().enumerate().take(contexts.len() / hidden) {
                let to = &mut rows[lane * pairs..][..pairs];
                let scale = narrow(part(block * LANES + lane, 0, head), reach, to);
                *factor = scale * unit;
            }
            transpose(rows, queries);
            let chunks = keys.chunks(CHUNK * pairs).zip(scales.chunks(CHUNK)).zip(scores.chunks_mut(CHUNK));
            for (((keys, scales), scores), (number, (most, sum))) in
                chunks.zip(mosts.iter_mut().zip(&mut *shares).enumerate())
            {
                let mut greatest = [_mm256_set1_ps(f32::NEG_INFINITY); 2];
                let tiles = keys.chunks_exact(TILE * pairs).zip(scales.chunks_exact(TILE));
                for ((keys, scales), scores) in tiles.zip(scores.chunks_exact_mut(TILE)) {
                    score(queries, keys, scales, &mut greatest, scores);
                }
                let own = (kept.len() - number * CHUNK).min(scores.len());
                *sum = weigh(&mut scores[..own], loaded(&factors), greatest);
                *most = float_line(greatest);
            }
            share_out(mosts, shares, &factors, doubt);
            for (vector, column) in columns.iter().enumerate() {
                let at = head * width + vector * LANES;
                let mut contexts = contexts.chunks_exact_mut(hidden).map(|context| &mut context[at..][..LANES]);
                let (values, contexts) = ((&values[vector..], vectors), &mut contexts);
                let weights = Weights { pairs: scores, keys: kept.len(), shares };
                // SAFETY: `values` has `vectors` lines to every pair of keys, less `vector` of them; 0..6, 6..11 and 11..16
                // are lanes.
                unsafe {
                    mix::<TILE>(&weights, 0, values, column, contexts);
                    mix::<LEFT>(&weights, TILE, values, column, contexts);
                    mix::<LEFT>(&weights, TILE + LEFT, values, column, contexts);
                }
            }
        }
    }
}

/// What the keys weigh for a block of queries.
struct Weights<'w> {
    /// Pairs of weights of each chunk, from where its scores began.
    pairs: &'w [Line],
    keys: usize,
    /// What a chunk's weights count, in f32.
    shares: &'w [Line],
}

/// Scores of a tile of `keys` for a block of queries, times the keys' scales; `most` gets the greatest.
#[target_feature(enable = "avx2,fma")]
fn score(queries: &[Line], keys: &[i32], scales: &[f32], most: &mut [__m256; 2], scores: &mut [Line]) {
    assert_eq!(keys.len(), TILE * queries.len(), "a tile of keys as wide as queries");
    let mut sums = [[_mm256_setzero_si256(); 2]; TILE];
    let mut rows = [keys.as_ptr(); TILE];
    for (number, row) in rows.iter_mut().enumerate() {
        *row = row.wrapping_add(number * queries.len());
    }
    for (at, query) in queries.iter().enumerate() {
        let query = halves(query);
        for (row, sums) in rows.iter().zip(&mut sums) {
            // SAFETY: each row of the tile has as many pairs as a query.
            let pair = _mm256_set1_epi32(unsafe { *row.add(at) });
            for (sum, query) in sums.iter_mut().zip(query) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(query, pair));
            }
        }
    }
    let [mut low, mut high] = *most;
    for ((score, [one, other]), scale) in scores.iter_mut().zip(sums).zip(scales) {
        let one = _mm256_mul_ps(_mm256_cvtepi32_ps(one), _mm256_set1_ps(*scale));
        let other = _mm256_mul_ps(_mm256_cvtepi32_ps(other), _mm256_set1_ps(*scale));
        (low, high) = (_mm256_max_ps(low, one), _mm256_max_ps(high, other));
        *score = float_line([one, other]);
    }
    *most = [low, high];
}

/// Makes pairs of weights of a chunk's scores, which they take the place of; returns their sums in f32.
#[target_feature(enable = "avx2,fma")]
fn weigh(scores: &mut [Line], factors: [__m256; 2], most: [__m256; 2]) -> Line {
    let mut sums = [_mm256_setzero_si256(); 2];
    for pair in 0..scores.len().div_ceil(2) {
        let one = counted(powers(&scores[2 * pair], factors, most));
        let mut other = [_mm256_setzero_si256(); 2];
        if let Some(score) = scores.get(2 * pair + 1) {
            other = counted(powers(score, factors, most));
        }
        for ((sum, one), other) in sums.iter_mut().zip(one).zip(other) {
            *sum = _mm256_add_epi32(*sum, _mm256_add_epi32(one, other));
        }
        scores[pair] = line([paired(one[0], other[0]), paired(one[1], other[1])]);
    }
    float_line([_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])])
}

/// Makes of the sums of the chunks' weights what each of these counts, by the greatest score of each chunk.
#[target_feature(enable = "avx2,fma")]
fn share_out(mosts: &[Line], sums: &mut [Line], factors: &[f32; LANES], doubt: f32) {
    let factors = loaded(factors);
    let mut most = [_mm256_set1_ps(f32::NEG_INFINITY); 2];
    for chunk in mosts {
        for (most, chunk) in most.iter_mut().zip(halves(chunk)) {
            *most = _mm256_max_ps(*most, _mm256_castsi256_ps(chunk));
        }
    }
    let mut totals = [_mm256_setzero_ps(); 2];
    for (chunk, sum) in mosts.iter().zip(&*sums) {
        for ((total, power), sum) in totals.iter_mut().zip(powers(chunk, factors, most)).zip(halves(sum)) {
            *total = _mm256_fmadd_ps(power, _mm256_castsi256_ps(sum), *total);
        }
    }
    for (chunk, share) in mosts.iter().zip(sums) {
        let mut parts = powers(chunk, factors, most);
        for ((part, total), factor) in parts.iter_mut().zip(totals).zip(factors) {
            // Nothing is added but what is no number.
            let doubt = _mm256_fmadd_ps(factor, _mm256_setzero_ps(), _mm256_set1_ps(doubt));
            *part = _mm256_add_ps(_mm256_div_ps(*part, total), doubt);
        }
        *share = float_line(parts);
    }
}

/// [`HEAVIEST`] times 2 to the power of what a key's scores are below `most`, times `factors`; never below 2⁻¹¹⁰.
#[target_feature(enable = "avx2,fma")]
fn powers(scores: &Line, factors: [__m256; 2], most: [__m256; 2]) -> [__m256; 2] {
    let shift = _mm256_set1_ps(SHIFT);
    let mut powers = [_mm256_setzero_ps(); 2];
    for (((power, score), factor), most) in powers.iter_mut().zip(halves(scores)).zip(factors).zip(most) {
        let below = _mm256_sub_ps(_mm256_castsi256_ps(score), most);
        let shifted = _mm256_max_ps(_mm256_set1_ps(SHIFT - 120.0), _mm256_fmadd_ps(below, factor, shift));
        let rest = _mm256_fmsub_ps(below, factor, _mm256_sub_ps(shifted, shift));
        let rest = _mm256_max_ps(_mm256_set1_ps(-0.5), rest);
        let mut sum = _mm256_set1_ps(HEAVIEST * SHORT_POWERS[0]);
        for &factor in &SHORT_POWERS[1..] {
            sum = _mm256_fmadd_ps(sum, rest, _mm256_set1_ps(HEAVIEST * factor));
        }
        let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(shifted));
        *power = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sum), exponent));
    }
    powers
}

/// Writes a vector of each of the next `Q` of `contexts`, at most, which are of the queries from `lane` on; `values` has
/// one in every `step` lines.
///
/// # Safety
/// The processor has AVX2 and FMA; there are `Q` lanes from `lane` on, and `step` lines of values for each pair of keys, but
/// for those after the last one's first.
#[target_feature(enable = "avx2,fma")]
unsafe fn mix<'c, const Q: usize>(
    weights: &Weights<'_>,
    lane: usize,
    (values, step): (&[Line], usize),
    column: &Line,
    contexts: &mut impl Iterator<Item = &'c mut [f32]>,
) {
    let mut mixed = [[_mm256_setzero_ps(); 2]; Q];
    let mut value = values.as_ptr();
    for (number, (pairs, shares)) in weights.pairs.chunks(CHUNK).zip(weights.shares).enumerate() {
        let keys = (weights.keys - number * CHUNK).min(CHUNK);
        let mut sums = [[_mm256_setzero_si256(); 2]; Q];
        for pair in &pairs[..keys.div_ceil(2)] {
            // SAFETY: the caller vouches for values and lanes.
            let (values, pair) = unsafe { (halves(&*value), pair.0.as_ptr().add(lane)) };
            for (query, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                let pair = _mm256_set1_epi32(unsafe { *pair.add(query) });
                for (sum, values) in sums.iter_mut().zip(values) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pair, values));
                }
            }
            value = value.wrapping_add(step);
        }
        for ((mixed, sums), share) in mixed.iter_mut().zip(&sums).zip(&shares.0[lane..]) {
            let share = _mm256_set1_ps(f32::from_bits(share.cast_unsigned()));
            for (mixed, sum) in mixed.iter_mut().zip(sums) {
                *mixed = _mm256_fmadd_ps(_mm256_cvtepi32_ps(*sum), share, *mixed);
            }
        }
    }
    let scales = halves(column);
    // Of the two lists the first one is asked first: a context that is taken is written.
    for (mixed, context) in mixed.into_iter().zip(contexts) {
        for ((context, mixed), scale) in context.chunks_exact_mut(HALF).zip(mixed).zip(scales) {
            let mixed = _mm256_mul_ps(mixed, _mm256_castsi256_ps(scale));
            // SAFETY: half a vector's context is a register's.
            unsafe { _mm256_storeu_ps(context.as_mut_ptr(), mixed) };
        }
    }
}

/// Writes `row` as pairs. Returns their scale; it is no number where one of the row's is none.
#[target_feature(enable = "avx2,fma")]
fn narrow(row: &[f32], reach: f32, to: &mut [i32]) -> f32 {
    let mut most = _mm256_setzero_si256();
    for values in row.chunks_exact(LANES) {
        for half in loaded(values) {
            most = _mm256_max_epi32(most, size(half));
        }
    }
    let most = f32::from_bits(greatest(most).cast_unsigned());
    let (scale, inverse) = if most < LEAST { (0.0, 0.0) } else { (most / reach, reach / most) };
    for (values, to) in row.chunks_exact(LANES).zip(to.chunks_exact_mut(HALF)) {
        let [low, high] = loaded(values).map(|half| whole(half, _mm256_set1_ps(inverse)));
        // Two registers are joined by their halves, which are sorted after it.
        let sorted = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high));
        // SAFETY: there are eight numbers, as many as in a register.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), sorted) };
    }
    scale
}

/// The greatest of eight numbers.
#[target_feature(enable = "avx2")]
fn greatest(numbers: __m256i) -> i32 {
    let four = _mm_max_epi32(_mm256_castsi256_si128(numbers), _mm256_extracti128_si256::<1>(numbers));
    let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
}

/// Turns `rows` of pairs into lines of a pair of each row.
#[target_feature(enable = "avx2")]
fn transpose(rows: &[i32], lines: &mut [Line]) {
    let pairs = lines.len();
    for (eighth, lines) in lines.chunks_exact_mut(HALF).enumerate() {
        for half in [0, HALF] {
            let mut eight = [_mm256_setzero_si256(); HALF];
            for (row, numbers) in eight.iter_mut().zip(rows[half * pairs..].chunks_exact(pairs)) {
                // SAFETY: eight numbers are a register.
                *row = unsafe { _mm256_loadu_si256(numbers[eighth * HALF..][..HALF].as_ptr().cast()) };
            }
            for (line, column) in lines.iter_mut().zip(transposed(eight)) {
                // SAFETY: half a line is a register.
                unsafe { _mm256_storeu_si256(line.0[half..][..HALF].as_mut_ptr().cast(), column) };
            }
        }
    }
}

/// The columns of eight rows of eight numbers.
#[target_feature(enable = "avx2")]
fn transposed(rows: [__m256i; HALF]) -> [__m256i; HALF] {
    // Two columns of four rows to a register, one in each of its halves: column `c` of the first or last four rows
    // is in number `c % 4`.
    let columns_of = |rows: &[__m256i]| {
        let low = [_mm256_unpacklo_epi32(rows[0], rows[1]), _mm256_unpacklo_epi32(rows[2], rows[3])];
        let high = [_mm256_unpackhi_epi32(rows[0], rows[1]), _mm256_unpackhi_epi32(rows[2], rows[3])];
        [
            _mm256_unpacklo_epi64(low[0], low[1]),
            _mm256_unpackhi_epi64(low[0], low[1]),
            _mm256_unpacklo_epi64(high[0], high[1]),
            _mm256_unpackhi_epi64(high[0], high[1]),
        ]
    };
    let (first, last) = (columns_of(&rows[..4]), columns_of(&rows[4..]));
    let mut columns = [_mm256_setzero_si256(); HALF];
    for column in 0..4 {
        columns[column] = _mm256_permute2x128_si256::<0x20>(first[column], last[column]);
        columns[column + 4] = _mm256_permute2x128_si256::<0x31>(first[column], last[column]);
    }
    columns
}

/// Writes a vector of each of the rows `kept`, of which one begins every `stride` values, as pairs of neighbours to every
/// `step` lines of `to`; the pair of an odd last one is zero. Returns the scale of each column, as [`narrow`] that of a row.
#[target_feature(enable = "avx2,fma")]
fn pack_values((rows, stride): (&[f32], usize), kept: &[u32], (to, step): (&mut [Line], usize)) -> Line {
    let mut most = [_mm256_setzero_si256(); 2];
    for &key in kept {
        for (most, values) in most.iter_mut().zip(loaded(&rows[key as usize * stride..])) {
            *most = _mm256_max_epi32(*most, size(values));
        }
    }
    let largest = _mm256_set1_ps(LARGEST);
    let (mut scales, mut inverses) = ([_mm256_setzero_ps(); 2], [_mm256_setzero_ps(); 2]);
    for ((scale, inverse), most) in scales.iter_mut().zip(&mut inverses).zip(most) {
        let most = _mm256_castsi256_ps(most);
        // Also true of what is no number.
        let counts = _mm256_cmp_ps::<_CMP_NLT_UQ>(most, _mm256_set1_ps(LEAST));
        *scale = _mm256_and_ps(counts, _mm256_div_ps(most, largest));
        *inverse = _mm256_and_ps(counts, _mm256_div_ps(largest, most));
    }
    for (pair, keys) in to.iter_mut().step_by(step).zip(kept.chunks(2)) {
        let mut numbers = [[_mm256_setzero_si256(); 2]; 2];
        for (numbers, &key) in numbers.iter_mut().zip(keys) {
            let row = loaded(&rows[key as usize * stride..]);
            *numbers = [whole(row[0], inverses[0]), whole(row[1], inverses[1])];
        }
        let [one, other] = numbers;
        *pair = line([paired(one[0], other[0]), paired(one[1], other[1])]);
    }
    float_line(scales)
}

/// The bits of sizes without signs: as integers they are in the same order, and what is no number is the greatest.
#[target_feature(enable = "avx2")]
fn size(values: __m256) -> __m256i {
    _mm256_and_si256(_mm256_castps_si256(values), _mm256_set1_epi32(i32::MAX))
}

/// The nearest whole numbers of `values` times `inverse`.
#[target_feature(enable = "avx2")]
fn whole(values: __m256, inverse: __m256) -> __m256i {
    _mm256_cvtps_epi32(_mm256_mul_ps(values, inverse))
}

#[target_feature(enable = "avx2")]
fn counted(powers: [__m256; 2]) -> [__m256i; 2] {
    [_mm256_cvtps_epi32(powers[0]), _mm256_cvtps_epi32(powers[1])]
}

/// Pairs with `one` in their low and `other` in their high halves.
#[target_feature(enable = "avx2")]
fn paired(one: __m256i, other: __m256i) -> __m256i {
    _mm256_blend_epi16::<0b1010_1010>(one, _mm256_slli_epi32::<16>(other))
}

#[target_feature(enable = "avx2")]
fn loaded(values: &[f32]) -> [__m256; 2] {
    assert!(values.len() >= LANES, "a vector of values");
    // SAFETY: a vector holds two registers.
    [0, HALF].map(|at| unsafe { _mm256_loadu_ps(values.as_ptr().add(at)) })
}

#[target_feature(enable = "avx2")]
fn halves(line: &Line) -> [__m256i; 2] {
    // SAFETY: a line holds two registers.
    [0, HALF].map(|at| unsafe { _mm256_loadu_si256(line.0.as_ptr().add(at).cast()) })
}

#[target_feature(enable = "avx2")]
fn line(halves: [__m256i; 2]) -> Line {
    let mut line = Line([0; LANES]);
    for (part, half) in line.0.chunks_exact_mut(HALF).zip(halves) {
        // SAFETY: half a line holds a register.
        unsafe { _mm256_storeu_si256(part.as_mut_ptr().cast(), half) };
    }
    line
}

#[target_feature(enable = "avx2")]
fn float_line(halves: [__m256; 2]) -> Line {
    line([_mm256_castps_si256(halves[0]), _mm256_castps_si256(halves[1])])
}

/// The parts of `scratch`, in lines; what they hold is what was there before.
fn split<const N: usize>(scratch: &mut Vec<Line>, sizes: [usize; N]) -> [&mut [Line]; N] {
    let all = sizes.iter().sum();
    if scratch.len() < all {
        scratch.resize(all, Line([0; LANES]));
    }
    let mut rest = &mut scratch[..all];
    sizes.map(|size| {
        let (part, after) = std::mem::take(&mut rest).split_at_mut(size);
        rest = after;
        part
    })
}

fn numbers(lines: &mut [Line]) -> &mut [i32] {
    // SAFETY: a line is 16 numbers and nothing else.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LANES) }
}

fn floats(lines: &mut [Line]) -> &mut [f32] {
    // SAFETY: as above, and any bits are a float.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LANES) }
}
