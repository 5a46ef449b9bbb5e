//! A linear change of vectors, of queries and documents alike; documents have to be embedded or mapped anew.

use serde::{Deserialize, Serialize};

use crate::container::{self, damaged};
use crate::numeric::{dot, unit};
use crate::rows::expect_size;
use crate::{Error, Provenance, Rows};

const KIND: &str = "linear map";

/// x → (M x + o) / |M x + o|.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearMap {
    input_dimensions: usize,
    matrix: Vec<f32>,
    offset: Vec<f32>,
    provenance: Provenance,
}

#[derive(Serialize, Deserialize)]
struct Header {
    input_dimensions: usize,
    output_dimensions: usize,
    #[serde(flatten)]
    provenance: Provenance,
}

impl LinearMap {
    /// A map with M = `matrix`, `[output dimensions, input dimensions]`, row-major, and o = `offset`, `[output dimensions]`.
    ///
    /// # Errors
    /// `Ragged` or `SizeMismatch` when sizes do not agree; `TooFew` without any output; `NotFinite`.
    pub fn new(
        input_dimensions: usize,
        matrix: Vec<f32>,
        offset: Vec<f32>,
        provenance: Provenance,
    ) -> Result<Self, Error> {
        let rows = Rows::new(&matrix, input_dimensions)?.len();
        if rows == 0 {
            return Err(Error::TooFew { what: "dimensions of a map", found: 0, needed: 1 });
        }
        expect_size("values of the offset", rows, offset.len())?;
        Rows::new(&offset, rows)?;
        Ok(Self { input_dimensions, matrix, offset, provenance })
    }

    /// Values of the vectors that it takes.
    pub fn input_dimensions(&self) -> usize {
        self.input_dimensions
    }

    /// Values of the vectors that it gives.
    pub fn output_dimensions(&self) -> usize {
        self.offset.len()
    }

    /// M, `[output dimensions, input dimensions]`, row-major.
    pub fn matrix(&self) -> &[f32] {
        &self.matrix
    }

    /// o, `[output dimensions]`.
    pub fn offset(&self) -> &[f32] {
        &self.offset
    }

    /// Where it comes from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Maps one vector; what comes back has unit length.
    ///
    /// # Errors
    /// `SizeMismatch`; `NoDirection` when what becomes of it is zero or not finite.
    pub fn apply(&self, vector: &[f32]) -> Result<Vec<f32>, Error> {
        expect_size("values of a vector", self.input_dimensions, vector.len())?;
        self.apply_row(vector, 0)
    }

    /// Maps each row as [`LinearMap::apply`] does, to the bit, on all threads: `[rows, output dimensions]`.
    ///
    /// # Errors
    /// As `apply`.
    pub fn apply_rows(&self, rows: Rows<'_>) -> Result<Vec<f32>, Error> {
        rows.expect_dimensions("values of a vector", self.input_dimensions)?;
        rows.map_each(|values, row| self.apply_row(values, row))
    }

    fn apply_row(&self, vector: &[f32], row: usize) -> Result<Vec<f32>, Error> {
        let lines = self.matrix.chunks_exact(self.input_dimensions).zip(&self.offset);
        unit(lines.map(|(line, offset)| dot(line, vector) + offset).collect(), row)
    }

    /// The map as bytes, the same for the same map.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = Header {
            input_dimensions: self.input_dimensions,
            output_dimensions: self.output_dimensions(),
            provenance: self.provenance.clone(),
        };
        container::pack(KIND, &header, &[&self.matrix, &self.offset])
    }

    /// Reads what [`LinearMap::to_bytes`] wrote.
    ///
    /// # Errors
    /// `Foreign`, `OtherFormat`, `OtherKind`, or `Damaged`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (header, mut values): (Header, Vec<f32>) = container::unpack(bytes, KIND)?;
        let Header { input_dimensions, output_dimensions, provenance } = header;
        let in_matrix = input_dimensions.checked_mul(output_dimensions);
        let Some(in_matrix) = in_matrix.filter(|count| count.checked_add(output_dimensions) == Some(values.len()))
        else {
            return Err(damaged(format!("{} values are not what its header asks for", values.len())));
        };
        let offset = values.split_off(in_matrix);
        Self::new(input_dimensions, values, offset, provenance).map_err(|error| damaged(error.to_string()))
    }

    /// Names all that shapes a mapped vector: BLAKE3 of the bytes, in hex.
    pub fn fingerprint(&self) -> String {
        blake3::hash(&self.to_bytes()).to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::QueryAdapter;

    #[test]
    fn maps_and_scales() {
        let map = LinearMap::new(2, vec![3.0, 0.0], vec![0.0], Provenance::default()).unwrap();
        assert_eq!(map.apply(&[0.6, 0.8]).unwrap(), [1.0]);
        let moved = LinearMap::new(1, vec![0.0, 1.0], vec![3.0, 3.0], Provenance::default()).unwrap();
        assert_eq!(moved.apply(&[1.0]).unwrap(), [0.6, 0.8]);
        assert!(matches!(map.apply(&[0.0, 1.0]), Err(Error::NoDirection { row: 0, .. })));
        assert!(matches!(map.apply(&[1.0]), Err(Error::SizeMismatch { expected: 2, received: 1, .. })));
    }

    #[test]
    fn refuses_what_is_no_map() {
        let new = |input, matrix: &[f32], offset: &[f32]| {
            LinearMap::new(input, matrix.to_vec(), offset.to_vec(), Provenance::default()).unwrap_err()
        };
        assert!(matches!(new(2, &[1.0; 3], &[0.0]), Error::Ragged { .. }));
        assert!(matches!(new(2, &[1.0; 2], &[0.0; 2]), Error::SizeMismatch { .. }));
        assert!(matches!(new(2, &[], &[]), Error::TooFew { .. }));
        assert!(matches!(new(1, &[1.0], &[f32::NAN]), Error::NotFinite { .. }));
        let map = LinearMap::new(1, vec![1.0], vec![0.0], Provenance::default()).unwrap();
        assert!(matches!(QueryAdapter::from_bytes(&map.to_bytes()), Err(Error::OtherKind { .. })));
        for (input, output) in [(2, 1), (0, 2), (usize::MAX, usize::MAX), (2, 0)] {
            let header =
                Header { input_dimensions: input, output_dimensions: output, provenance: Provenance::default() };
            let bytes = container::pack(KIND, &header, &[&[1.0, 0.0]]);
            assert!(matches!(LinearMap::from_bytes(&bytes), Err(Error::Damaged { .. })), "{input} {output}");
        }
    }

    proptest! {
        #[test]
        fn bytes_bring_the_map_back(input in 1_usize..5, values in prop::collection::vec(-9.0_f32..9.0, 1..30), seed: u64) {
            let output = values.len().div_ceil(input + 1);
            prop_assume!(output * (input + 1) == values.len());
            let (matrix, offset) = values.split_at(output * input);
            let provenance = Provenance { seed, ..Provenance::default() };
            let map = LinearMap::new(input, matrix.to_vec(), offset.to_vec(), provenance).unwrap();
            let again = LinearMap::from_bytes(&map.to_bytes()).unwrap();
            prop_assert_eq!(again.fingerprint(), map.fingerprint());
            prop_assert_eq!(&again, &map);
            let rows = vec![0.5; 3 * input];
            if let Ok(mapped) = map.apply_rows(Rows::new(&rows, input).unwrap()) {
                prop_assert_eq!(mapped, map.apply(&rows[..input]).unwrap().repeat(3));
            }
        }
    }
}
