//! Unit-norm vectors and the keys under which they are found again.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A vector of unit Euclidean norm, so that a dot product is a cosine.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(Vec<f32>);

/// Why a row of numbers is no embedding.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum EmbeddingError {
    /// The row has no values.
    #[error("embedding has no values")]
    Empty,
    /// A value is NaN or infinite.
    #[error("embedding value {position} is {value}, not a finite number")]
    NotFinite {
        /// Index of the first such value.
        position: usize,
        /// The value found there.
        value: f32,
    },
    /// The values do not fill whole rows.
    #[error("{values} values are no whole rows of {dimensions}")]
    Ragged {
        /// Values received.
        values: usize,
        /// Values in a row.
        dimensions: usize,
    },
    /// All values are zero, so that no direction is defined.
    #[error("embedding has zero length, so it has no direction")]
    ZeroNorm,
}

impl Embedding {
    /// Scales `values` to unit norm.
    ///
    /// # Errors
    /// `Empty`, `NotFinite` or `ZeroNorm` when no direction is defined.
    pub fn normalized(mut values: Vec<f32>) -> Result<Self, EmbeddingError> {
        if values.is_empty() {
            return Err(EmbeddingError::Empty);
        }
        if let Some(position) = values.iter().position(|value| !value.is_finite()) {
            return Err(EmbeddingError::NotFinite { position, value: values[position] });
        }
        let norm = values.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
        if norm == 0.0 {
            return Err(EmbeddingError::ZeroNorm);
        }
        // A row that is unit-norm to within rounding stays bit-equal, so that normalising twice changes nothing.
        if (norm - 1.0).abs() > 1e-6 {
            let scale = 1.0 / norm;
            for value in &mut values {
                *value = (f64::from(*value) * scale) as f32;
            }
        }
        Ok(Self(values))
    }

    /// The values; their squares sum to 1.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Number of values.
    pub fn dimensions(&self) -> usize {
        self.0.len()
    }

    /// Gives the values away.
    pub fn into_vec(self) -> Vec<f32> {
        self.0
    }
}

/// Names what was embedded: a hash over the fingerprint and the text handed to the model.
///
/// Equal keys mean equal vectors, so a row found under its key need not be computed again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContentKey(pub [u8; 16]);

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentKey(")?;
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        write!(f, ")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_to_unit_norm() {
        assert_eq!(Embedding::normalized(vec![3.0, 4.0]).unwrap().as_slice(), [0.6, 0.8]);
    }

    #[test]
    fn normalising_twice_changes_nothing() {
        let once = Embedding::normalized(vec![0.1, -0.7, 0.33]).unwrap();
        assert_eq!(Embedding::normalized(once.clone().into_vec()).unwrap(), once);
    }

    #[test]
    fn refuses_rows_without_direction() {
        assert_eq!(Embedding::normalized(vec![]), Err(EmbeddingError::Empty));
        assert_eq!(Embedding::normalized(vec![0.0, 0.0]), Err(EmbeddingError::ZeroNorm));
        assert!(matches!(
            Embedding::normalized(vec![1.0, f32::NAN]),
            Err(EmbeddingError::NotFinite { position: 1, .. })
        ));
    }
}
