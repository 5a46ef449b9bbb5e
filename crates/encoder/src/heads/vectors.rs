//! Vectors in the forms in which they are kept: cut, halved, as bytes, as bits.

use berth_types::{Embedding, EmbeddingError};
use half::f16;

/// A vector as bytes with a scale of its own: value `i` is `values[i] × scale`.
#[derive(Debug, Clone, PartialEq)]
pub struct Int8Vector {
    /// From -127 to 127; the largest value of the row is one of these ends.
    pub values: Vec<i8>,
    /// Largest absolute value of the row, divided by 127; zero only for a row of zeros.
    pub scale: f32,
}

/// The first `dimensions` values of a vector, scaled to unit norm again (Matryoshka representation learning, Kusupati
/// et al. 2022). A model that was not trained for it loses more than size.
///
/// # Errors
/// `Empty` or `ZeroNorm` when nothing is left that has a direction.
pub fn cut(vector: &Embedding, dimensions: usize) -> Result<Embedding, EmbeddingError> {
    let values = vector.as_slice();
    Embedding::normalized(values[..dimensions.min(values.len())].to_vec())
}

/// The values as 16-bit floating point, rounded to nearest even.
pub fn halves(values: &[f32]) -> Vec<f16> {
    values.iter().map(|&value| f16::from_f32(value)).collect()
}

/// The values as bytes; each is off by at most half the scale.
pub fn int8(values: &[f32]) -> Int8Vector {
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    if scale == 0.0 {
        return Int8Vector { values: vec![0; values.len()], scale: 0.0 };
    }
    // A scale rounded down would lead beyond 127.
    let byte = |&value: &f32| (value / scale).round().clamp(-127.0, 127.0) as i8;
    Int8Vector { values: values.iter().map(byte).collect(), scale }
}

/// One bit a value, set where it is above zero: eight values a byte, the first in the highest bit, zeros behind the
/// last. The layout of `quantize_embeddings(…, "ubinary")` of sentence-transformers; its `binary` is each of these bytes
/// less 128.
pub fn bits(values: &[f32]) -> Vec<u8> {
    let byte = |eight: &[f32]| {
        eight.iter().enumerate().fold(0, |byte, (place, &value)| byte | (u8::from(value > 0.0) << (7 - place)))
    };
    values.chunks(8).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cut_vector_is_unit_norm() {
        let vector = Embedding::normalized(vec![3.0, 4.0, 12.0]).unwrap();
        let short = cut(&vector, 2).unwrap();
        assert!((short.as_slice()[0] - 0.6).abs() < 1e-6 && (short.as_slice()[1] - 0.8).abs() < 1e-6);
        assert_eq!(cut(&vector, 9).unwrap(), vector);
        assert_eq!(cut(&vector, 0), Err(EmbeddingError::Empty));
    }

    #[test]
    fn bits_are_packed_highest_first() {
        assert_eq!(bits(&[1.0, -1.0, 0.0, 0.5, -0.1, -0.2, -0.3, 2.0, 0.1]), [0b1001_0001, 0b1000_0000]);
        assert!(bits(&[]).is_empty());
    }

    #[test]
    fn zeros_have_no_scale() {
        assert_eq!(int8(&[0.0, 0.0]), Int8Vector { values: vec![0, 0], scale: 0.0 });
        assert!(int8(&[]).values.is_empty());
    }

    proptest! {
        #[test]
        fn bytes_are_off_by_half_a_step(values in proptest::collection::vec(-1.0_f32..1.0, 1..50)) {
            let bytes = int8(&values);
            for (value, byte) in values.iter().zip(&bytes.values) {
                prop_assert!((value - f32::from(*byte) * bytes.scale).abs() <= bytes.scale * 0.5001);
            }
        }

        #[test]
        fn halves_are_off_by_a_2048th(values in proptest::collection::vec(-1.0_f32..1.0, 1..50)) {
            for (value, half) in values.iter().zip(halves(&values)) {
                prop_assert!((value - half.to_f32()).abs() <= value.abs() / 2048.0 + 1e-7);
            }
        }
    }
}
