//! Weights as signed bytes with one scale per output: symmetric, so that no zero point is needed.

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
    fn transposes() {
        assert_eq!(transpose(&[1, 2, 3, 4, 5, 6], 3), [1, 4, 2, 5, 3, 6]);
    }
}
