//! Rows in 8 bits: what a graph is walked on, a quarter of the memory that the rows themselves take.
//!
//! A value is `(code - 128) · scale`, with one scale a row, so that the largest value of a row uses all 8 bits. Products
//! of codes are integers, so they are exact and the same on every processor; only the order of candidates depends on
//! them, since what is found is scored again on the rows themselves.

mod kernels;

use kernels::Kernel;

/// What is added to a code so that it is never negative: processors multiply unsigned by signed bytes.
const ZERO: i32 = 128;
/// Largest code, less [`ZERO`]. One value is given up so that the codes are symmetric.
const LARGEST: f32 = 127.0;
/// Codes of a row are padded to a multiple of this many bytes, so that no kernel has a remainder to treat.
const STRIDE: usize = 32;

/// Bytes of a row's codes.
pub(crate) fn stride_of(dimensions: usize) -> usize {
    dimensions.next_multiple_of(STRIDE)
}

/// Writes the codes of a row, padding included; returns its scale.
///
/// `codes` has [`stride_of`] bytes. The values are finite. A row of zeros has scale 0.
pub(crate) fn encode(row: &[f32], codes: &mut [u8]) -> f32 {
    assert_eq!(codes.len(), stride_of(row.len()), "codes of the row's length");
    let largest = row.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let factor = if largest > 0.0 { LARGEST / largest } else { 0.0 };
    for (code, value) in codes.iter_mut().zip(row) {
        *code = ((value * factor).round() as i32 + ZERO) as u8;
    }
    // Any byte would do: the query's padding is zero.
    codes[row.len()..].fill(ZERO as u8);
    largest / LARGEST
}

/// Codes of many rows, with their scales.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Codes<'a> {
    bytes: &'a [u8],
    scales: &'a [f32],
    stride: usize,
}

impl<'a> Codes<'a> {
    /// `bytes` is `[scales.len(), stride]`, row-major, with the stride of [`stride_of`].
    pub(crate) fn new(bytes: &'a [u8], scales: &'a [f32], stride: usize) -> Self {
        assert!(stride.is_multiple_of(STRIDE) && bytes.len() == scales.len() * stride, "a scale for each row of codes");
        Self { bytes, scales, stride }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.scales.len()
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn scales(&self) -> &'a [f32] {
        self.scales
    }

    /// Bytes of a row, padding included.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    fn row(&self, row: u32) -> &'a [u8] {
        &self.bytes[row as usize * self.stride..][..self.stride]
    }
}

/// A row that others are compared with.
#[derive(Debug, Clone)]
pub(crate) struct CodeQuery {
    /// Codes without [`ZERO`], for kernels that multiply bytes, and the same in 16 bits for those that cannot.
    narrow: Vec<i8>,
    wide: Vec<i16>,
    /// [`ZERO`] times the sum of the codes: what a product with stored codes has too much.
    surplus: i32,
    scale: f32,
    kernel: Kernel,
}

impl CodeQuery {
    /// A query that is given in full.
    pub(crate) fn new(row: &[f32]) -> Self {
        let mut codes = vec![0; stride_of(row.len())];
        let scale = encode(row, &mut codes);
        let mut query = Self::empty(codes.len());
        query.set(&codes, scale);
        query
    }

    /// A place for queries of `stride` bytes.
    pub(crate) fn empty(stride: usize) -> Self {
        Self { narrow: vec![0; stride], wide: vec![0; stride], surplus: 0, scale: 0.0, kernel: Kernel::best() }
    }

    /// Makes one of the stored rows the query.
    pub(crate) fn set_row(&mut self, codes: &Codes<'_>, row: u32) {
        self.set(codes.row(row), codes.scales[row as usize]);
    }

    fn set(&mut self, codes: &[u8], scale: f32) {
        let mut sum = 0;
        for ((narrow, wide), &code) in self.narrow.iter_mut().zip(&mut self.wide).zip(codes) {
            let value = i32::from(code) - ZERO;
            (*narrow, *wide) = (value as i8, value as i16);
            sum += value;
        }
        self.surplus = ZERO * sum;
        self.scale = scale;
    }

    /// The cosine with one row, as far as 8 bits tell.
    pub(crate) fn similarity(&self, codes: &Codes<'_>, row: u32) -> f32 {
        let mut similarity = [0.0];
        self.similarities(codes, &[row], &mut similarity);
        similarity[0]
    }

    /// The cosine with each of the rows, as far as 8 bits tell.
    ///
    /// # Panics
    /// When a row is not among the codes, or is of another length than the query.
    pub(crate) fn similarities(&self, codes: &Codes<'_>, rows: &[u32], similarities: &mut [f32]) {
        assert_eq!(rows.len(), similarities.len(), "a similarity for each row");
        assert_eq!(self.narrow.len(), codes.stride, "a query of the rows' length");
        let count = codes.rows();
        assert!(rows.iter().all(|&row| (row as usize) < count), "rows among the {count}");
        self.kernel.run(self, codes, rows, similarities);
        for (similarity, &row) in similarities.iter_mut().zip(rows) {
            *similarity *= self.scale * codes.scales[row as usize];
        }
    }

    /// Asks the memory for a row before it is needed.
    #[inline]
    pub(crate) fn prefetch(codes: &Codes<'_>, row: u32) {
        kernels::prefetch(codes, row);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(rows: &[Vec<f32>]) -> (Vec<u8>, Vec<f32>, usize) {
        let stride = stride_of(rows[0].len());
        let mut bytes = vec![0; rows.len() * stride];
        let scales = rows.iter().zip(bytes.chunks_exact_mut(stride)).map(|(row, codes)| encode(row, codes)).collect();
        (bytes, scales, stride)
    }

    fn check(rows: &[Vec<f32>]) {
        let (bytes, scales, stride) = encoded(rows);
        let codes = Codes::new(&bytes, &scales, stride);
        let value =
            |row: usize, at: usize| f64::from(i32::from(bytes[row * stride + at]) - ZERO) * f64::from(scales[row]);
        let mut query = CodeQuery::new(&rows[0]);
        let others: Vec<u32> = (0..rows.len() as u32).collect();
        for kernel in Kernel::all() {
            query.kernel = kernel;
            let mut found = vec![f32::NAN; others.len()];
            query.similarities(&codes, &others, &mut found);
            for (row, &similarity) in found.iter().enumerate() {
                let exact: f64 = (0..rows[0].len()).map(|at| value(0, at) * value(row, at)).sum();
                assert!((f64::from(similarity) - exact).abs() <= 1e-5 * (1.0 + exact.abs()), "{kernel:?}, {row}");
            }
        }
        for (row, values) in rows.iter().enumerate() {
            for (at, &wanted) in values.iter().enumerate() {
                let allowed = f64::from(scales[row]) * 0.501;
                assert!((value(row, at) - f64::from(wanted)).abs() <= allowed, "row {row}, value {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_kernel_gives_the_product_of_the_codes(
            rows in (1usize..200).prop_flat_map(|length| {
                prop::collection::vec(prop::collection::vec(-1.0f32..1.0, length), 1..9)
            })
        ) {
            check(&rows);
        }
    }

    #[test]
    fn rows_of_zeros_and_of_extremes() {
        check(&[vec![0.0; 40], vec![1.0; 40], vec![-1.0; 40]]);
        check(&[vec![-1.0; 384], vec![1.0; 384], vec![1e-30; 384]]);
    }
}
