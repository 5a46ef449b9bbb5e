//! How the values of a row lie in a segment: in 32 or 16 bits, or in 8 with a scale a row.
//!
//! What is stored is what counts: scores are products of a query in 32 bits with the stored row, summed in 32 bits. A row
//! that is read and stored again in the same kind stays the same to the bit, so merges change nothing.

mod kernels;

use std::borrow::Cow;

use berth_types::RowKind;

use super::dot::dots;
use super::plain::{bytes_of, numbers_of};

/// Largest value of a row in 8 bits; one value is given up so that they are symmetric.
const LARGEST: f32 = 127.0;
/// Bytes of the scale before a row in 8 bits.
const SCALE_BYTES: usize = 4;

/// The number that stands for a kind in the header of a segment.
pub(super) fn number_of(kind: RowKind) -> u32 {
    match kind {
        RowKind::F32 => 1,
        RowKind::F16 => 2,
        RowKind::Int8 => 3,
    }
}

/// Bytes of a row.
pub(super) fn bytes_a_row(kind: RowKind, dimensions: usize) -> usize {
    match kind {
        RowKind::F32 => 4 * dimensions,
        RowKind::F16 => 2 * dimensions,
        RowKind::Int8 => SCALE_BYTES + dimensions,
    }
}

/// The bytes of a row of unit length.
pub(super) fn encode(kind: RowKind, row: &[f32]) -> Cow<'_, [u8]> {
    match kind {
        RowKind::F32 => Cow::Borrowed(bytes_of(row)),
        RowKind::F16 => Cow::Owned(row.iter().flat_map(|&value| to_half(value).to_le_bytes()).collect()),
        RowKind::Int8 => {
            let largest = row.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            let step = if largest > 0.0 { largest / LARGEST } else { 1.0 };
            let codes: Vec<i8> = row.iter().map(|&value| (value / step).round_ties_even() as i8).collect();
            let squares: i64 = codes.iter().map(|&code| i64::from(code) * i64::from(code)).sum();
            // With this scale the row is of unit length again, so that a score is a cosine; and it follows from the codes
            // alone, so that a row that is stored again stays as it is.
            let scale = if squares > 0 { (1.0 / (squares as f64).sqrt()) as f32 } else { 0.0 };
            let mut bytes = Vec::with_capacity(bytes_a_row(kind, row.len()));
            bytes.extend_from_slice(&scale.to_le_bytes());
            bytes.extend(codes.iter().map(|&code| code as u8));
            Cow::Owned(bytes)
        }
    }
}

/// The values of whole rows, one after the other.
pub(super) fn decode(kind: RowKind, bytes: &[u8], dimensions: usize) -> Cow<'_, [f32]> {
    match kind {
        RowKind::F32 => Cow::Borrowed(numbers_of(bytes)),
        RowKind::F16 => Cow::Owned(halves(bytes).map(of_half).collect()),
        RowKind::Int8 => {
            let rows = bytes.chunks_exact(bytes_a_row(kind, dimensions)).map(scaled);
            Cow::Owned(rows.flat_map(|(scale, codes)| codes.iter().map(move |&code| value_of(code) * scale)).collect())
        }
    }
}

/// Writes the product of `query` with each of the rows into `scores`.
///
/// On one machine a row always gives the same bits, wherever it stands.
///
/// # Panics
/// When the lengths do not fit each other.
pub(super) fn products(kind: RowKind, query: &[f32], rows: &[u8], scores: &mut [f32]) {
    assert_eq!(bytes_a_row(kind, query.len()) * scores.len(), rows.len(), "rows of the query's length, one a score");
    match kind {
        RowKind::F32 => dots(query, numbers_of(rows), scores),
        RowKind::F16 => kernels::of_halves(query, rows, scores),
        RowKind::Int8 => kernels::of_codes(query, rows, scores),
    }
}

fn halves(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks::<2>().0.iter().map(|&bytes| u16::from_le_bytes(bytes))
}

/// Scale and codes of a row in 8 bits.
fn scaled(row: &[u8]) -> (f32, &[u8]) {
    let (scale, codes) = row.split_at(SCALE_BYTES);
    (f32::from_le_bytes(scale.try_into().expect("four bytes")), codes)
}

fn value_of(code: u8) -> f32 {
    f32::from(code as i8)
}

/// Rounds to 16 bits (IEEE 754 binary16), ties to even. Values of stored rows are at most 1.
fn to_half(value: f32) -> u16 {
    /// From here on values have the full 11 bits: 2⁻¹⁴.
    const LEAST_NORMAL: u32 = 0x3880_0000;
    /// Infinity in 16 bits.
    const INFINITE: u32 = 0x7c00;
    let (sign, size) = ((value.to_bits() >> 16) & 0x8000, value.to_bits() & 0x7fff_ffff);
    let half = if size < LEAST_NORMAL {
        // In a number between one half and one the last bit is worth 2⁻²⁴, as the last bit of a small half is.
        (f32::from_bits(size) + 0.5).to_bits() - 0.5f32.to_bits()
    } else {
        let rounded = size + 0xfff + (size >> 13 & 1);
        ((rounded - (112 << 23)) >> 13).min(INFINITE)
    };
    (sign | half) as u16
}

/// The value of 16 bits that are finite.
fn of_half(half: u16) -> f32 {
    // The exponents differ by 112; a product moves small halves too, which have none.
    let moved = f32::from_bits(u32::from(half & 0x7fff) << 13) * f32::from_bits((112 + 127) << 23);
    f32::from_bits(moved.to_bits() | u32::from(half & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use berth_types::Embedding;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_half_comes_back_and_the_nearest_is_taken() {
        assert_eq!([of_half(0x3c00), of_half(0xc000), of_half(0x0001)], [1.0, -2.0, 2.0f32.powi(-24)]);
        for half in (0..0x7c00).chain(0x8000..0xfc00) {
            assert_eq!(to_half(of_half(half)), half);
        }
        for half in 0..0x3c00u16 {
            let (low, high) = (of_half(half), of_half(half + 1));
            let middle = low + (high - low) / 2.0;
            assert_eq!(to_half(middle), half + (half & 1), "ties go to even");
            assert_eq!(to_half(f32::from_bits(middle.to_bits() - 1)), half);
            assert_eq!(to_half(f32::from_bits(middle.to_bits() + 1)), half + 1);
        }
        assert_eq!(to_half(1e9), 0x7c00);
    }

    /// Rows of unit length, as an index is given them.
    fn unit(values: Vec<f32>) -> Vec<f32> {
        Embedding::normalized(values).unwrap().into_vec()
    }

    fn check(kind: RowKind, query: &[f32], rows: &[Vec<f32>]) {
        let length = query.len();
        let bytes: Vec<u8> = rows.iter().flat_map(|row| encode(kind, row).into_owned()).collect();
        let stored = decode(kind, &bytes, length).into_owned();
        let mut scores = vec![f32::NAN; rows.len()];
        products(kind, query, &bytes, &mut scores);
        for (number, row) in rows.iter().enumerate() {
            let stored = &stored[number * length..][..length];
            assert_eq!(encode(kind, stored), encode(kind, row), "{kind}: stored again, a row stays as it is");
            let exact: f64 = query.iter().zip(stored).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            assert!((f64::from(scores[number]) - exact).abs() < 1e-5, "{kind}: {} for {exact}", scores[number]);
            let norm: f64 = stored.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
            assert!((norm - 1.0).abs() < 1e-3, "{kind}: of length {}", norm.sqrt());
            let largest = row.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            let step = match kind {
                RowKind::F32 => 0.0,
                RowKind::F16 => largest / 2048.0,
                // Half a step, and what bringing the row back to unit length moves.
                RowKind::Int8 => largest / 127.0,
            };
            for (stored, value) in stored.iter().zip(row) {
                assert!((stored - value).abs() <= step, "{kind}: {stored} for {value}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_kind_is_close_and_stays(
            rows in (1usize..100).prop_flat_map(|length| {
                prop::collection::vec(prop::collection::vec(prop_oneof![-1.0f32..-0.001, 0.001f32..1.0], length), 2..6)
            })
        ) {
            let rows: Vec<Vec<f32>> = rows.into_iter().map(unit).collect();
            for kind in RowKind::ALL {
                check(kind, &rows[0], &rows[1..]);
            }
        }
    }

    #[test]
    fn every_length_around_the_vectors_widths() {
        for length in [1, 2, 7, 8, 9, 15, 16, 31, 32, 33, 63, 64, 65, 384] {
            let row = |seed: usize| unit((0..length).map(|at| ((at * 37 + seed) % 101) as f32 - 50.3).collect());
            for kind in RowKind::ALL {
                check(kind, &row(1), &[row(2), row(3), row(4)]);
            }
        }
    }
}
