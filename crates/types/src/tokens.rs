//! Vectors of the tokens of a text, for late interaction: as a model gives them, and as an index stores them.

use crate::EmbeddingError;

/// Largest value of a quantised row: -127 to 127, so that a row and its negative are equally exact.
const LARGEST: f32 = 127.0;

/// The vectors of the tokens of one text: `[rows, dimensions]`, row-major, each row of unit norm.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenMatrix {
    values: Vec<f32>,
    dimensions: usize,
}

/// A [`TokenMatrix`] in 8 bits: `[rows, dimensions]` integers from -127 to 127, and what one of them is worth in each row.
///
/// A scale for each row, not one for all: a row of unit norm in many dimensions has no large value, and steps of 1/127
/// are coarse for it. Measured on MaxSim a query token, rows of 384 values (projected to 128): standard error .00015
/// (.00018) with a scale a row, .00071 (.00073) with steps of 1/127, where the scores of a collection spread by .059.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRows {
    values: Vec<i8>,
    scales: Vec<f32>,
    dimensions: usize,
}

impl TokenMatrix {
    /// Scales every row of `values`, `[rows, dimensions]`, to unit norm.
    ///
    /// # Errors
    /// `Empty` without values, `Ragged` when they are no whole rows, `NotFinite`, `ZeroNorm` for a row of zeros.
    pub fn normalized(mut values: Vec<f32>, dimensions: usize) -> Result<Self, EmbeddingError> {
        if values.is_empty() || dimensions == 0 {
            return Err(EmbeddingError::Empty);
        }
        if !values.len().is_multiple_of(dimensions) {
            return Err(EmbeddingError::Ragged { values: values.len(), dimensions });
        }
        if let Some(position) = values.iter().position(|value| !value.is_finite()) {
            return Err(EmbeddingError::NotFinite { position, value: values[position] });
        }
        for row in values.chunks_exact_mut(dimensions) {
            let norm = row.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
            if norm == 0.0 {
                return Err(EmbeddingError::ZeroNorm);
            }
            for value in row {
                *value = (f64::from(*value) / norm) as f32;
            }
        }
        Ok(Self { values, dimensions })
    }

    /// Number of tokens.
    pub fn rows(&self) -> usize {
        self.values.len() / self.dimensions
    }

    /// Values in a row.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// All values, row by row.
    pub fn as_slice(&self) -> &[f32] {
        &self.values
    }

    /// Each row in steps of its largest value / 127.
    pub fn quantized(&self) -> TokenRows {
        let mut values = Vec::with_capacity(self.values.len());
        let mut scales = Vec::with_capacity(self.rows());
        for row in self.values.chunks_exact(self.dimensions) {
            let largest = row.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            // A row of unit norm has a value that is not zero.
            let steps = LARGEST / largest;
            values.extend(row.iter().map(|value| (value * steps).round().clamp(-LARGEST, LARGEST) as i8));
            scales.push(largest / LARGEST);
        }
        TokenRows { values, scales, dimensions: self.dimensions }
    }
}

impl TokenRows {
    /// Rows as they were stored: `values` is `[scales.len(), dimensions]`.
    ///
    /// # Errors
    /// `Empty` without rows, `Ragged` when the lengths do not fit each other, `NotFinite` for a scale that is none.
    pub fn from_parts(values: Vec<i8>, scales: Vec<f32>, dimensions: usize) -> Result<Self, EmbeddingError> {
        if scales.is_empty() || dimensions == 0 {
            return Err(EmbeddingError::Empty);
        }
        if scales.len().checked_mul(dimensions) != Some(values.len()) {
            return Err(EmbeddingError::Ragged { values: values.len(), dimensions });
        }
        if let Some(position) = scales.iter().position(|scale| !(scale.is_finite() && *scale > 0.0)) {
            return Err(EmbeddingError::NotFinite { position, value: scales[position] });
        }
        Ok(Self { values, scales, dimensions })
    }

    /// Number of tokens.
    pub fn rows(&self) -> usize {
        self.scales.len()
    }

    /// Values in a row.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The integers, row by row.
    pub fn values(&self) -> &[i8] {
        &self.values
    }

    /// What an integer is worth, for each row; above zero.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_are_scaled_each_by_itself() {
        let matrix = TokenMatrix::normalized(vec![3.0, 4.0, 0.0, -2.0], 2).unwrap();
        assert_eq!((matrix.rows(), matrix.dimensions()), (2, 2));
        assert_eq!(matrix.as_slice(), [0.6, 0.8, 0.0, -1.0]);
        let rows = matrix.quantized();
        assert_eq!(rows.values(), [95, 127, 0, -127]);
        assert_eq!(rows.scales(), [0.8 / 127.0, 1.0 / 127.0]);
        let again = TokenRows::from_parts(rows.values().to_vec(), rows.scales().to_vec(), 2);
        assert_eq!(again, Ok(rows));
    }

    #[test]
    fn what_is_no_matrix_is_refused() {
        assert_eq!(TokenMatrix::normalized(vec![], 3), Err(EmbeddingError::Empty));
        assert_eq!(TokenMatrix::normalized(vec![1.0], 0), Err(EmbeddingError::Empty));
        let ragged = EmbeddingError::Ragged { values: 3, dimensions: 2 };
        assert_eq!(TokenMatrix::normalized(vec![1.0; 3], 2), Err(ragged.clone()));
        assert_eq!(TokenMatrix::normalized(vec![1.0, 1.0, 0.0, 0.0], 2), Err(EmbeddingError::ZeroNorm));
        assert!(matches!(
            TokenMatrix::normalized(vec![1.0, f32::INFINITY], 2),
            Err(EmbeddingError::NotFinite { position: 1, .. })
        ));
        assert_eq!(TokenRows::from_parts(vec![1; 3], vec![1.0], 2), Err(ragged));
        assert_eq!(TokenRows::from_parts(vec![], vec![], 2), Err(EmbeddingError::Empty));
        assert!(TokenRows::from_parts(vec![1; 4], vec![1.0, 0.0], 2).is_err());
        assert!(TokenRows::from_parts(vec![1; 4], vec![1.0, f32::NAN], 2).is_err());
    }

    proptest! {
        /// No value is further off than half a step, and a step is at most 1/127.
        #[test]
        fn eight_bits_are_half_a_step_off_at_most(
            (dimensions, values) in (1usize..100).prop_flat_map(|dimensions| {
                (Just(dimensions), prop::collection::vec(-1.0f32..1.0, dimensions * 3))
            })
        ) {
            prop_assume!(values.chunks(dimensions).all(|row| row.iter().any(|&value| value != 0.0)));
            let matrix = TokenMatrix::normalized(values, dimensions).unwrap();
            let rows = matrix.quantized();
            for (at, (&exact, &step)) in matrix.as_slice().iter().zip(rows.values()).enumerate() {
                let scale = rows.scales()[at / dimensions];
                prop_assert!(scale <= 1.0 / 126.99);
                prop_assert!((f32::from(step) * scale - exact).abs() <= scale * 0.501, "{exact} as {step} × {scale}");
            }
        }
    }
}
