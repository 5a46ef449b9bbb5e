//! Weights as small whole numbers: signed bytes with one scale per output, or blocks of 8 or 4 bits with a scale each.

/// A matrix of signed bytes; `value = byte × scale` of its line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantized {
    pub(crate) bytes: Vec<i8>,
    pub(crate) scales: Vec<f32>,
}

/// Largest magnitude of a byte. -128 is left out so that the range is symmetric.
const LARGEST: f32 = 127.0;

/// Quantises each row of a `[rows, columns]` matrix under its own scale.
///
/// Every value comes back within half a scale; a row of zeros gets scale 1.
pub(crate) fn rows(values: &[f32], columns: usize) -> Quantized {
    let mut bytes = Vec::with_capacity(values.len());
    let mut scales = Vec::with_capacity(values.len() / columns);
    for row in values.chunks_exact(columns) {
        let scale = scale_of(row);
        bytes.extend(row.iter().map(|&value| nearest(value, scale)));
        scales.push(scale);
    }
    Quantized { bytes, scales }
}

fn scale_of(row: &[f32]) -> f32 {
    let largest = row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    // Below the normal range a scale would lose its digits, and so would the product.
    if largest < f32::MIN_POSITIVE * LARGEST { 1.0 } else { largest / LARGEST }
}

fn nearest(value: f32, scale: f32) -> i8 {
    (value / scale).round_ties_even().clamp(-LARGEST, LARGEST) as i8
}

/// A matrix in blocks along its rows, as `MatMulNBits` reads it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blocks {
    /// `[rows, blocks, block · bits / 8]`; of two values in a byte the first has the low bits.
    pub(crate) bytes: Vec<u8>,
    /// `[rows, blocks]`.
    pub(crate) scales: Vec<f32>,
    /// The number that stands for zero in each block, packed like the values, each row to whole bytes; where there is
    /// none, the middle of the range stands for zero.
    pub(crate) zeros: Option<Vec<u8>>,
}

/// The number that stands for zero in blocks of 8 bits.
const MIDDLE: f32 = 128.0;
/// Largest number of 4 bits.
const LARGEST_NIBBLE: f32 = 15.0;
/// Shares of a 4-bit block's reach that are tried on each side. Cutting the farthest weights often leaves less error in
/// the others than it costs: the mean cosine of all-MiniLM-L6-v2 to fp32 rises from .961 to .965.
const SHARES: [f32; 5] = [1.0, 0.93, 0.86, 0.79, 0.72];

/// Quantises each block of `block` values of each row of a `[rows, columns]` matrix under its own scale; a last block that
/// is not full is filled with zeros. `bits` is 8 (symmetric) or 4 (with a zero point).
pub(crate) fn blocks(values: &[f32], columns: usize, bits: u8, block: usize) -> Blocks {
    let wide = bits == 8;
    let (mut bytes, mut scales, mut zeros) = (Vec::new(), Vec::new(), Vec::new());
    let mut filled = vec![0.0; block];
    for row in values.chunks_exact(columns) {
        let mut row_zeros = Vec::with_capacity(columns.div_ceil(block));
        for part in row.chunks(block) {
            filled[..part.len()].copy_from_slice(part);
            filled[part.len()..].fill(0.0);
            if wide {
                let scale = scale_of(&filled);
                bytes.extend(filled.iter().map(|&value| (f32::from(nearest(value, scale)) + MIDDLE) as u8));
                scales.push(scale);
            } else {
                let nibbles = Nibbles::nearest_to(&filled);
                bytes.extend(packed(filled.iter().map(|&value| nibbles.of(value) as u8)));
                scales.push(nibbles.scale);
                row_zeros.push(nibbles.zero as u8);
            }
        }
        zeros.extend(packed(row_zeros.into_iter()));
    }
    Blocks { bytes, scales, zeros: (!wide).then_some(zeros) }
}

/// Pairs of 4-bit numbers as bytes, the first in the low bits.
fn packed(mut nibbles: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(low) = nibbles.next() {
        bytes.push(low | (nibbles.next().unwrap_or(0) << 4));
    }
    bytes
}

/// Scale and zero point of a 4-bit block: `value = (nibble − zero) × scale`.
#[derive(Debug, Clone, Copy)]
struct Nibbles {
    scale: f32,
    zero: f32,
}

impl Nibbles {
    /// The least squared error among the ranges that [`SHARES`] allows; the first of equals.
    fn nearest_to(values: &[f32]) -> Self {
        let (low, high) =
            values.iter().fold((0.0_f32, 0.0_f32), |(low, high), &value| (low.min(value), high.max(value)));
        let mut best = (f32::INFINITY, Self { scale: 1.0, zero: 0.0 });
        for below in SHARES {
            for above in SHARES {
                let nibbles = Self::spanning(low * below, high * above);
                let error = values.iter().map(|&value| (nibbles.back(value) - value).powi(2)).sum();
                if error < best.0 {
                    best = (error, nibbles);
                }
            }
        }
        best.1
    }

    fn spanning(low: f32, high: f32) -> Self {
        let reach = high - low;
        let scale = if reach < f32::MIN_POSITIVE * LARGEST_NIBBLE { 1.0 } else { reach / LARGEST_NIBBLE };
        Self { scale, zero: (-low / scale).round_ties_even() }
    }

    fn of(self, value: f32) -> f32 {
        ((value / self.scale).round_ties_even() + self.zero).clamp(0.0, LARGEST_NIBBLE)
    }

    fn back(self, value: f32) -> f32 {
        (self.of(value) - self.zero) * self.scale
    }
}

/// Turns a `[rows, columns]` matrix into `[columns, rows]`.
pub(crate) fn transpose<T: Copy>(values: &[T], columns: usize) -> Vec<T> {
    let rows = values.len() / columns;
    let mut turned = Vec::with_capacity(values.len());
    for column in 0..columns {
        turned.extend((0..rows).map(|row| values[row * columns + column]));
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_spans_the_whole_range() {
        let quantized = rows(&[1.0, -2.0, 0.5, 0.001, 0.0, -0.001], 3);
        assert_eq!(quantized.bytes, [64, -127, 32, 127, 0, -127]);
        assert_eq!(quantized.scales, [2.0 / 127.0, 0.001 / 127.0]);
    }

    #[test]
    fn values_come_back_within_half_a_scale() {
        let values: Vec<f32> = (0..600_u16).map(|n| (f32::from(n) * 0.37).sin() * f32::from(n % 7)).collect();
        let quantized = rows(&values, 24);
        for (position, &value) in values.iter().enumerate() {
            let scale = quantized.scales[position / 24];
            let back = f32::from(quantized.bytes[position]) * scale;
            assert!((back - value).abs() <= scale * 0.500_01, "{value} came back as {back} at scale {scale}");
        }
    }

    #[test]
    fn a_row_without_values_stays_zero() {
        assert_eq!(rows(&[0.0, 0.0, 1e-42, 0.0], 2), Quantized { bytes: vec![0; 4], scales: vec![1.0, 1.0] });
    }

    #[test]
    fn blocks_of_eight_bits_come_back_within_half_a_scale() {
        let values: Vec<f32> = (0..80_u16).map(|n| (f32::from(n) * 0.37).sin() * f32::from(n % 7)).collect();
        let stored = blocks(&values, 40, 8, 16);
        assert_eq!((stored.bytes.len(), stored.scales.len(), stored.zeros), (2 * 3 * 16, 2 * 3, None));
        for (position, &value) in values.iter().enumerate() {
            let (row, column) = (position / 40, position % 40);
            let scale = stored.scales[row * 3 + column / 16];
            let back = (f32::from(stored.bytes[row * 48 + column]) - 128.0) * scale;
            assert!((back - value).abs() <= scale * 0.500_01, "{value} came back as {back} at scale {scale}");
        }
        assert_eq!(stored.bytes[40..48], [128; 8], "the fill is zero");
    }

    #[test]
    fn blocks_of_four_bits_have_a_zero_point() {
        // From -5 to 10 in steps of one: sixteen numbers, so that all come back.
        let values: Vec<f32> = (0..16_i8).map(|n| f32::from(n) - 5.0).collect();
        let stored = blocks(&values, 16, 4, 16);
        assert_eq!(stored.scales, [1.0]);
        assert_eq!(stored.zeros, Some(vec![5]));
        assert_eq!(stored.bytes, [0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE]);
    }

    #[test]
    fn a_freak_weight_is_cut_where_the_others_gain() {
        let mut values = vec![0.0_f32; 32];
        values.iter_mut().enumerate().for_each(|(at, value)| *value = ((at * 7 % 31) as f32 - 15.0) / 15.0);
        values[5] = 1.6;
        let nibbles = Nibbles::nearest_to(&values);
        assert!(nibbles.scale < 2.6 / 15.0, "scale {}", nibbles.scale);
        let error = |nibbles: Nibbles| values.iter().map(|&value| (nibbles.back(value) - value).powi(2)).sum::<f32>();
        assert!(error(nibbles) < error(Nibbles::spanning(-1.0, 1.6)));
    }

    #[test]
    fn a_block_of_zeros_stays_zero() {
        let nibbles = Nibbles::nearest_to(&[0.0; 8]);
        assert_eq!((nibbles.scale, nibbles.back(0.0)), (1.0, 0.0));
    }

    #[test]
    fn transposes() {
        assert_eq!(transpose(&[1, 2, 3, 4, 5, 6], 3), [1, 4, 2, 5, 3, 6]);
    }
}
