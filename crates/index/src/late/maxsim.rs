//! MaxSim in 8-bit integers: for each token of a query the most similar token of a chunk, summed (Khattab and Zaharia,
//! 2020, equation 3).
//!
//! The query's tokens lie side by side in the lanes of a vector register and a chunk's values are handed to all of them
//! at once, so that no sum runs across lanes. Products are summed in whole numbers, then scaled and compared the same way
//! by every kernel: all give the same bits.

use berth_types::TokenRows;

use super::rows::stride;

/// Most values in a token's row: their products sum up in 32 bits.
pub(crate) const MAX_DIMENSIONS: usize = 65_536;
/// Lanes of the widest vectors in use; queries are filled up to a multiple of it.
const LANES: usize = 16;

/// A query, arranged for the processor at hand.
#[derive(Debug)]
pub(crate) struct PackedQuery {
    dimensions: usize,
    /// What an integer is worth, for each token.
    scales: Vec<f32>,
    lanes: Lanes,
}

/// The query's values in the order in which a kernel reads them, filled up with zeros to whole vectors.
#[derive(Debug)]
enum Lanes {
    /// Row by row.
    Portable(Vec<i8>),
    /// For 8 tokens at a time, pairs of their values: `[tokens / 8, dimensions / 2, 8, 2]`.
    #[cfg(target_arch = "x86_64")]
    Avx2(Vec<i16>),
    /// For 16 tokens at a time, fours of their values, raised by 128: `[tokens / 16, dimensions / 4, 16, 4]`.
    #[cfg(target_arch = "x86_64")]
    Vnni(Vec<u8>),
}

impl PackedQuery {
    /// Arranges a query for the best kernel that this processor has.
    ///
    /// # Panics
    /// When a row has more than 65,536 values.
    pub(crate) fn new(query: &TokenRows) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
                return Self::with(query, x86::pack_vnni(query));
            }
            if is_x86_feature_detected!("avx2") {
                return Self::with(query, x86::pack_avx2(query));
            }
        }
        Self::with(query, Lanes::Portable(query.values().to_vec()))
    }

    fn with(query: &TokenRows, lanes: Lanes) -> Self {
        assert!(query.dimensions() <= MAX_DIMENSIONS, "{} values in a row", query.dimensions());
        Self { dimensions: query.dimensions(), scales: query.scales().to_vec(), lanes }
    }

    /// Sum over the query's tokens of the highest dot product with a row.
    ///
    /// `rows` are encoded rows of the query's dimensions, at least one.
    ///
    /// # Panics
    /// When `rows` are no whole rows.
    pub(crate) fn max_sim(&self, rows: &[u8]) -> f32 {
        let row_bytes = stride(self.dimensions);
        assert!(!rows.is_empty() && rows.len().is_multiple_of(row_bytes), "whole rows of {row_bytes} bytes");
        let mut best = vec![f32::NEG_INFINITY; self.scales.len().next_multiple_of(LANES)];
        match &self.lanes {
            Lanes::Portable(query) => best_portable(query, self.dimensions, rows, &mut best),
            // SAFETY: these lanes are made where the processor has AVX2; `best` has a place for every lane, and `rows`
            // are whole rows.
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx2(query) => unsafe { x86::best_avx2(query, self.dimensions, rows, &mut best) },
            // SAFETY: as above, with AVX-512F and AVX512-VNNI.
            #[cfg(target_arch = "x86_64")]
            Lanes::Vnni(query) => unsafe { x86::best_vnni(query, self.dimensions, rows, &mut best) },
        }
        self.scales.iter().zip(&best).map(|(scale, best)| scale * best).sum()
    }
}

/// An encoded row as its scale and its values.
fn parts(row: &[u8]) -> (f32, &[u8]) {
    let (scale, values) = row.split_first_chunk().expect("a row begins with its scale");
    (f32::from_le_bytes(*scale), values)
}

/// Raises `best` of each token to the highest product with a row. Plain loops, which any compiler turns into what
/// vectors it may assume.
fn best_portable(query: &[i8], dimensions: usize, rows: &[u8], best: &mut [f32]) {
    for row in rows.chunks_exact(stride(dimensions)) {
        let (scale, values) = parts(row);
        for (token, best) in query.chunks_exact(dimensions).zip(best.iter_mut()) {
            let dot: i32 = token.iter().zip(values).map(|(&q, &v)| i32::from(q) * i32::from(v as i8)).sum();
            let product = dot as f32 * scale;
            if product > *best {
                *best = product;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_add_epi32, _mm256_cvtepi32_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_max_ps,
        _mm256_mul_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256, _mm256_storeu_ps, _mm512_cvtepi32_ps,
        _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_max_ps, _mm512_mul_ps, _mm512_set1_epi32,
        _mm512_set1_ps, _mm512_storeu_ps,
    };

    use super::{LANES, Lanes, TokenRows, parts, stride};

    /// Rows of a chunk that are compared at a time, so that what is loaded of the query serves all of them.
    const TILE_ROWS: usize = 4;
    /// Vectors of query tokens that are compared at a time; with the rows they fill eight registers of sums.
    const TILE_BLOCKS: usize = 2;

    /// Arranges `query` as `[tokens / lanes, dimensions / group, lanes, group]`; what is not there is `empty`.
    fn pack<T: Copy>(query: &TokenRows, lanes: usize, group: usize, empty: T, value: impl Fn(i8) -> T) -> Vec<T> {
        let dimensions = query.dimensions();
        let (blocks, groups) = (query.rows().next_multiple_of(LANES) / lanes, dimensions.div_ceil(group));
        let mut packed = vec![empty; blocks * groups * lanes * group];
        for (token, row) in query.values().chunks_exact(dimensions).enumerate() {
            for (at, &number) in row.iter().enumerate() {
                let vector = token / lanes * groups + at / group;
                packed[(vector * lanes + token % lanes) * group + at % group] = value(number);
            }
        }
        packed
    }

    pub(super) fn pack_avx2(query: &TokenRows) -> Lanes {
        Lanes::Avx2(pack(query, 8, 2, 0, i16::from))
    }

    /// Raised by 128, since the instruction multiplies unsigned with signed bytes.
    pub(super) fn pack_vnni(query: &TokenRows) -> Lanes {
        Lanes::Vnni(pack(query, 16, 4, 128, |value| (i16::from(value) + 128) as u8))
    }

    /// Raises `best` of each token to the highest product with a row.
    ///
    /// # Safety
    /// The processor has AVX-512F and AVX512-VNNI; `query` is packed for them with `best.len()` lanes; `rows` are whole
    /// rows.
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn best_vnni(query: &[u8], dimensions: usize, rows: &[u8], best: &mut [f32]) {
        const BLOCK: usize = 16;
        let block_bytes = dimensions.div_ceil(4) * 4 * BLOCK;
        assert_eq!(query.len(), best.len() / BLOCK * block_bytes, "a place for every lane");
        // The last row of a chunk is compared as often as a tile has room: the highest of equals is the same.
        let mut tile = [&rows[..0]; TILE_ROWS];
        for rows in rows.chunks(TILE_ROWS * stride(dimensions)) {
            fill_tile(&mut tile, rows, dimensions);
            let mut at = 0;
            while at < best.len() {
                let blocks = ((best.len() - at) / BLOCK).min(TILE_BLOCKS);
                let query = &query[at / BLOCK * block_bytes..][..blocks * block_bytes];
                let best = &mut best[at..at + blocks * BLOCK];
                // SAFETY: both slices were cut to the blocks of the tile; the rows have `dimensions` values each.
                unsafe {
                    if blocks == TILE_BLOCKS {
                        tile_vnni::<TILE_BLOCKS>(query, dimensions, &tile, best);
                    } else {
                        tile_vnni::<1>(query, dimensions, &tile, best);
                    }
                }
                at += blocks * BLOCK;
            }
        }
    }

    /// The next rows; the last one again where there are fewer than a tile has.
    fn fill_tile<'a>(tile: &mut [&'a [u8]; TILE_ROWS], rows: &'a [u8], dimensions: usize) {
        let count = rows.len() / stride(dimensions);
        for (place, row) in tile.iter_mut().enumerate() {
            *row = &rows[place.min(count - 1) * stride(dimensions)..][..stride(dimensions)];
        }
    }

    /// # Safety
    /// The processor has AVX-512F and AVX512-VNNI; `query` has `BLOCKS` packed blocks and `best` as many times 16 places;
    /// each row has a scale and `dimensions` values.
    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn tile_vnni<const BLOCKS: usize>(
        query: &[u8],
        dimensions: usize,
        rows: &[&[u8]; TILE_ROWS],
        best: &mut [f32],
    ) {
        let parts = rows.map(parts);
        let block_bytes = dimensions.div_ceil(4) * 64;
        // The query's values are raised by 128, which adds 128 times the sum of the row.
        let mut sums = parts.map(|(_, values)| {
            let raised: i32 = values.iter().map(|&value| i32::from(value as i8)).sum::<i32>() * -128;
            [_mm512_set1_epi32(raised); BLOCKS]
        });
        for group in 0..dimensions.div_ceil(4) {
            let mut vectors = [_mm512_set1_epi32(0); BLOCKS];
            for (block, vector) in vectors.iter_mut().enumerate() {
                // SAFETY: `group` is below the number of groups and `block` below that of blocks, 64 bytes each.
                *vector = unsafe { _mm512_loadu_si512(query.as_ptr().add(block * block_bytes + group * 64).cast()) };
            }
            for (sums, (_, values)) in sums.iter_mut().zip(&parts) {
                let values = _mm512_set1_epi32(four_values(values, group * 4));
                for (sum, vector) in sums.iter_mut().zip(vectors) {
                    *sum = _mm512_dpbusd_epi32(*sum, vector, values);
                }
            }
        }
        for (sums, (scale, _)) in sums.iter().zip(&parts) {
            for (sum, best) in sums.iter().zip(best.chunks_exact_mut(16)) {
                // SAFETY: the chunk of `best` has sixteen values.
                unsafe {
                    let products = _mm512_mul_ps(_mm512_cvtepi32_ps(*sum), _mm512_set1_ps(*scale));
                    let highest = _mm512_max_ps(products, _mm512_loadu_ps(best.as_ptr()));
                    _mm512_storeu_ps(best.as_mut_ptr(), highest);
                }
            }
        }
    }

    /// Four bytes from `at` on; zeros behind the end.
    #[inline]
    fn four_values(values: &[u8], at: usize) -> i32 {
        if let Some(four) = values[at..].first_chunk() {
            return i32::from_le_bytes(*four);
        }
        let mut four = [0; 4];
        four[..values.len() - at].copy_from_slice(&values[at..]);
        i32::from_le_bytes(four)
    }

    /// Raises `best` of each token to the highest product with a row.
    ///
    /// # Safety
    /// The processor has AVX2; `query` is packed for it with `best.len()` lanes; `rows` are whole rows.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn best_avx2(query: &[i16], dimensions: usize, rows: &[u8], best: &mut [f32]) {
        const BLOCK: usize = 8;
        let pairs = dimensions.div_ceil(2);
        let block_values = pairs * 2 * BLOCK;
        assert_eq!(query.len(), best.len() / BLOCK * block_values, "a place for every lane");
        let mut tile = [&rows[..0]; TILE_ROWS];
        // The values of the tile's rows, two 16-bit numbers a pair.
        let mut widened = vec![[0i32; TILE_ROWS]; pairs];
        for rows in rows.chunks(TILE_ROWS * stride(dimensions)) {
            fill_tile(&mut tile, rows, dimensions);
            let parts = tile.map(parts);
            for (row, (_, values)) in parts.iter().enumerate() {
                for (pair, widened) in values.chunks(2).zip(&mut widened) {
                    let [low, high] = [pair[0], pair.get(1).copied().unwrap_or(0)].map(|value| i16::from(value as i8));
                    widened[row] = i32::from(high) << 16 | i32::from(low as u16);
                }
            }
            for (query, best) in
                query.chunks_exact(TILE_BLOCKS * block_values).zip(best.chunks_exact_mut(TILE_BLOCKS * BLOCK))
            {
                let mut sums = [[_mm256_setzero_si256(); TILE_BLOCKS]; TILE_ROWS];
                for (pair, values) in widened.iter().enumerate() {
                    let mut vectors = [_mm256_setzero_si256(); TILE_BLOCKS];
                    for (block, vector) in vectors.iter_mut().enumerate() {
                        let at = block * block_values + pair * 2 * BLOCK;
                        // SAFETY: `pair` is below the number of pairs and `block` below that of blocks, 16 numbers each.
                        *vector = unsafe { _mm256_loadu_si256(query.as_ptr().add(at).cast()) };
                    }
                    for (sums, &values) in sums.iter_mut().zip(values) {
                        let values = _mm256_set1_epi32(values);
                        for (sum, vector) in sums.iter_mut().zip(vectors) {
                            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(vector, values));
                        }
                    }
                }
                for (sums, (scale, _)) in sums.iter().zip(&parts) {
                    for (sum, best) in sums.iter().zip(best.chunks_exact_mut(BLOCK)) {
                        // SAFETY: the chunk of `best` has eight values.
                        unsafe {
                            let products = _mm256_mul_ps(_mm256_cvtepi32_ps(*sum), _mm256_set1_ps(*scale));
                            let highest = _mm256_max_ps(products, _mm256_loadu_ps(best.as_ptr()));
                            _mm256_storeu_ps(best.as_mut_ptr(), highest);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use berth_types::TokenMatrix;
    use proptest::prelude::*;

    use super::super::rows::encode;
    use super::*;

    fn packed(query: &TokenRows) -> Vec<(&'static str, PackedQuery)> {
        let mut all = vec![
            ("dispatched", PackedQuery::new(query)),
            ("portable", PackedQuery::with(query, Lanes::Portable(query.values().to_vec()))),
        ];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                all.push(("avx2", PackedQuery::with(query, x86::pack_avx2(query))));
            }
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
                all.push(("vnni", PackedQuery::with(query, x86::pack_vnni(query))));
            }
        }
        all
    }

    fn encoded(tokens: &TokenRows) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(tokens, &mut bytes);
        bytes
    }

    /// Loops over everything, in the order of the definition.
    fn by_definition(query: &TokenRows, chunk: &TokenRows) -> f32 {
        let dimensions = query.dimensions();
        let highest = |token: &[i8]| {
            let rows = chunk.values().chunks_exact(dimensions).zip(chunk.scales());
            let product = |(row, scale): (&[i8], &f32)| {
                let dot: i64 = token.iter().zip(row).map(|(&a, &b)| i64::from(a) * i64::from(b)).sum();
                dot as f32 * scale
            };
            rows.map(product).fold(f32::NEG_INFINITY, f32::max)
        };
        query.values().chunks_exact(dimensions).zip(query.scales()).map(|(token, scale)| scale * highest(token)).sum()
    }

    fn check(query: &TokenRows, chunk: &TokenRows) {
        let expected = by_definition(query, chunk);
        for (name, packed) in packed(query) {
            let found = packed.max_sim(&encoded(chunk));
            let shape = (query.rows(), chunk.rows(), query.dimensions());
            assert_eq!(found.to_bits(), expected.to_bits(), "{name}, {shape:?}: {found} for {expected}");
        }
    }

    fn rows(values: Vec<i8>, dimensions: usize) -> TokenRows {
        let scales = (0..values.len() / dimensions).map(|row| 0.001 + row as f32 * 0.0003).collect();
        TokenRows::from_parts(values, scales, dimensions).unwrap()
    }

    fn tokens(most: usize, dimensions: usize) -> impl Strategy<Value = TokenRows> {
        prop::collection::vec(prop::collection::vec(-127i8..=127, dimensions), 1..most)
            .prop_map(move |values| rows(values.concat(), dimensions))
    }

    fn matrix(most: usize, dimensions: usize) -> impl Strategy<Value = TokenMatrix> {
        let row = prop::collection::vec(-1.0f32..1.0, dimensions)
            .prop_filter("has a direction", |row| row.iter().any(|value| value.abs() > 1e-3));
        prop::collection::vec(row, 1..most)
            .prop_map(move |values| TokenMatrix::normalized(values.concat(), dimensions).unwrap())
    }

    proptest! {
        #[test]
        fn every_kernel_gives_the_bits_of_the_definition(
            (query, chunk) in (1usize..100).prop_flat_map(|dimensions| (tokens(70, dimensions), tokens(20, dimensions)))
        ) {
            check(&query, &chunk);
        }

        #[test]
        fn the_order_of_a_chunks_tokens_changes_nothing(
            (query, chunk, turn) in (1usize..50).prop_flat_map(|dimensions| {
                (tokens(40, dimensions), tokens(20, dimensions), 0usize..20)
            })
        ) {
            let dimensions = chunk.dimensions();
            let mut order: Vec<usize> = (0..chunk.rows()).collect();
            order.rotate_left(turn % chunk.rows());
            order.reverse();
            let values = order.iter().flat_map(|&row| chunk.values()[row * dimensions..][..dimensions].to_vec());
            let scales = order.iter().map(|&row| chunk.scales()[row]).collect();
            let turned = TokenRows::from_parts(values.collect(), scales, dimensions).unwrap();
            let query = PackedQuery::new(&query);
            prop_assert_eq!(query.max_sim(&encoded(&chunk)), query.max_sim(&encoded(&turned)));
        }

        /// Each token is its own best match, at a cosine of one. A value is off by half a step at most, and a step is the
        /// row's largest value / 127.
        #[test]
        fn a_text_with_itself_gives_its_number_of_tokens(matrix in (1usize..80).prop_flat_map(|d| matrix(40, d))) {
            let tokens = matrix.quantized();
            let score = PackedQuery::new(&tokens).max_sim(&encoded(&tokens));
            let allowed = matrix.rows() as f32 * (1.0 + (matrix.dimensions() as f32).sqrt()) / 127.0;
            prop_assert!((score - matrix.rows() as f32).abs() <= allowed, "{score} of {} ± {allowed}", matrix.rows());
        }

        /// A product of unit rows a, b in steps of s, t is off by at most √d · (s + t) / 2 (Cauchy-Schwarz) and what
        /// both errors make together; MaxSim by as much for each token.
        #[test]
        fn eight_bits_stay_near_the_exact_score(
            (query, chunk) in (1usize..80).prop_flat_map(|dimensions| (matrix(20, dimensions), matrix(20, dimensions)))
        ) {
            let dimensions = query.dimensions();
            let exact: f64 = query.as_slice().chunks_exact(dimensions).map(|token| {
                let dot = |row: &[f32]| token.iter().zip(row).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
                chunk.as_slice().chunks_exact(dimensions).map(dot).fold(f64::NEG_INFINITY, f64::max)
            }).sum();
            let (q, c) = (query.quantized(), chunk.quantized());
            let largest = |rows: &TokenRows| f64::from(rows.scales().iter().copied().fold(0.0, f32::max));
            let (s, t, d) = (largest(&q), largest(&c), dimensions as f64);
            let allowed = query.rows() as f64 * (d.sqrt() * (s + t) / 2.0 + d * s * t / 4.0 + 1e-5);
            let found = f64::from(PackedQuery::new(&q).max_sim(&encoded(&c)));
            prop_assert!((found - exact).abs() <= allowed, "{found} for {exact} ± {allowed}");
        }
    }

    #[test]
    fn every_width_around_the_vectors_widths() {
        for dimensions in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 128, 384] {
            for query_tokens in [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 49, 64] {
                let value = |at: usize| ((at * 89 % 255) as i16 - 127) as i8;
                let query = rows((0..query_tokens * dimensions).map(value).collect(), dimensions);
                for chunk_tokens in [1, 3, 4, 5] {
                    let chunk = rows((7..7 + chunk_tokens * dimensions).map(value).collect(), dimensions);
                    check(&query, &chunk);
                }
            }
        }
    }

    #[test]
    fn the_largest_products_of_the_longest_rows_do_not_overflow() {
        for sign in [1, -1] {
            let query = rows(vec![127; MAX_DIMENSIONS], MAX_DIMENSIONS);
            check(&query, &rows(vec![127 * sign; MAX_DIMENSIONS], MAX_DIMENSIONS));
        }
    }
}
