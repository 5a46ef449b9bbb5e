//! A learned change of query vectors; vectors of documents stay as they are.

use serde::{Deserialize, Serialize};

use crate::container::{self, damaged};
use crate::numeric::{dot, share, unit};
use crate::rows::expect_size;
use crate::{Error, Rows};

const KIND: &str = "query adapter";

/// Turns a query vector a little: q′ = (q + b · R q) / |q + b · R q|, with a learned residual R and a blend b.
///
/// At blend 0, or where R is 0, a query stays as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryAdapter {
    dimensions: usize,
    residual: Residual,
    blend: f32,
    provenance: Provenance,
}

/// Where an adapter or a map comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// Fingerprint of what made the vectors that it was learned from; it fits no others.
    pub model: String,
    /// The seed it was learned with.
    pub seed: u64,
    /// From what it was learned, for people.
    pub origin: String,
}

impl Provenance {
    /// Checks that it is of vectors of `model`.
    pub(crate) fn expect_model(&self, model: &str) -> Result<(), Error> {
        if self.model == model {
            return Ok(());
        }
        Err(Error::OtherModel { learned_for: self.model.clone(), used_with: model.to_owned() })
    }
}

/// What a residual is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterShape {
    /// R = U Vᵀ with so many columns each.
    LowRank(usize),
    /// R is any square matrix.
    Full,
}

/// The matrix R, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Residual {
    /// R = U Vᵀ.
    LowRank {
        /// U: `[dimensions, rank]`.
        up: Vec<f32>,
        /// Vᵀ: `[rank, dimensions]`.
        down: Vec<f32>,
        rank: usize,
    },
    /// `[dimensions, dimensions]`.
    Full { matrix: Vec<f32> },
}

#[derive(Serialize, Deserialize)]
struct Header {
    shape: AdapterShape,
    dimensions: usize,
    blend: f32,
    #[serde(flatten)]
    provenance: Provenance,
}

impl QueryAdapter {
    /// An adapter with R = U Vᵀ and blend 1.
    ///
    /// `up` is U, `[dimensions, rank]`; `down` is Vᵀ, `[rank, dimensions]`; both row-major.
    ///
    /// # Errors
    /// `Setting` when `dimensions` or `rank` is 0; `SizeMismatch`; `NotFinite`.
    pub fn low_rank(
        dimensions: usize,
        rank: usize,
        up: Vec<f32>,
        down: Vec<f32>,
        provenance: Provenance,
    ) -> Result<Self, Error> {
        let wanted = AdapterShape::LowRank(rank).values(dimensions)?;
        expect_size("values of U", wanted / 2, up.len())?;
        expect_size("values of V", wanted / 2, down.len())?;
        Rows::new(&up, rank)?;
        Rows::new(&down, dimensions)?;
        Ok(Self::trained(dimensions, Residual::LowRank { up, down, rank }, provenance))
    }

    /// An adapter with any R and blend 1. `matrix` is R, `[dimensions, dimensions]`, row-major.
    ///
    /// # Errors
    /// `Setting` when `dimensions` is 0; `SizeMismatch`; `NotFinite`.
    pub fn full(dimensions: usize, matrix: Vec<f32>, provenance: Provenance) -> Result<Self, Error> {
        expect_size("values of R", AdapterShape::Full.values(dimensions)?, matrix.len())?;
        Rows::new(&matrix, dimensions)?;
        Ok(Self::trained(dimensions, Residual::Full { matrix }, provenance))
    }

    pub(crate) fn trained(dimensions: usize, residual: Residual, provenance: Provenance) -> Self {
        Self { dimensions, residual, blend: 1.0, provenance }
    }

    /// The same adapter with another blend: 0 leaves queries alone, 1 is what was learned.
    ///
    /// # Errors
    /// `Setting` when `blend` does not lie in 0..=1.
    pub fn with_blend(mut self, blend: f32) -> Result<Self, Error> {
        share("blend", f64::from(blend))?;
        self.blend = blend;
        Ok(self)
    }

    /// Values of the vectors that it takes and gives.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// How much of the residual is added, 0 to 1.
    pub fn blend(&self) -> f32 {
        self.blend
    }

    /// What the residual is made of.
    pub fn shape(&self) -> AdapterShape {
        match self.residual {
            Residual::LowRank { rank, .. } => AdapterShape::LowRank(rank),
            Residual::Full { .. } => AdapterShape::Full,
        }
    }

    /// Where it comes from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    pub(crate) fn residual(&self) -> &Residual {
        &self.residual
    }

    /// Checks that it was learned for vectors of `model`, and takes vectors of `dimensions` values.
    ///
    /// # Errors
    /// `OtherModel`; `SizeMismatch`.
    pub fn expect_use(&self, model: &str, dimensions: usize) -> Result<(), Error> {
        self.provenance.expect_model(model)?;
        expect_size("values of a query vector", self.dimensions, dimensions)
    }

    /// Adapts one query vector; what comes back has unit length.
    ///
    /// # Errors
    /// `SizeMismatch`; `NoDirection` when the query, or what becomes of it, is zero or not finite.
    pub fn apply(&self, query: &[f32]) -> Result<Vec<f32>, Error> {
        expect_size("values of a query vector", self.dimensions, query.len())?;
        self.apply_row(query, 0)
    }

    /// Adapts each row as [`QueryAdapter::apply`] does, to the bit, on all threads: `[rows, dimensions]`.
    ///
    /// # Errors
    /// As `apply`.
    pub fn apply_rows(&self, queries: Rows<'_>) -> Result<Vec<f32>, Error> {
        queries.expect_dimensions("values of a query vector", self.dimensions)?;
        queries.map_each(|query, row| self.apply_row(query, row))
    }

    fn apply_row(&self, query: &[f32], row: usize) -> Result<Vec<f32>, Error> {
        if self.blend == 0.0 {
            return unit(query.to_vec(), row);
        }
        let residual: Vec<f32> = match &self.residual {
            Residual::LowRank { up, down, rank } => {
                let inner: Vec<f32> = down.chunks_exact(self.dimensions).map(|row| dot(row, query)).collect();
                up.chunks_exact(*rank).map(|row| dot(row, &inner)).collect()
            }
            Residual::Full { matrix } => matrix.chunks_exact(self.dimensions).map(|row| dot(row, query)).collect(),
        };
        let adapted = query.iter().zip(residual).map(|(value, change)| value + self.blend * change).collect();
        unit(adapted, row)
    }

    /// The adapter as bytes, the same for the same adapter.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = Header {
            shape: self.shape(),
            dimensions: self.dimensions,
            blend: self.blend,
            provenance: self.provenance.clone(),
        };
        match &self.residual {
            Residual::LowRank { up, down, .. } => container::pack(KIND, &header, &[up, down]),
            Residual::Full { matrix } => container::pack(KIND, &header, &[matrix]),
        }
    }

    /// Reads what [`QueryAdapter::to_bytes`] wrote.
    ///
    /// # Errors
    /// `Foreign`, `OtherFormat`, `OtherKind`, or `Damaged`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (header, mut values): (Header, Vec<f32>) = container::unpack(bytes, KIND)?;
        let Header { shape, dimensions, blend, provenance } = header;
        let wanted = shape.values(dimensions).map_err(|error| damaged(error.to_string()))?;
        if wanted != values.len() {
            return Err(damaged(format!("it holds {} values where its header asks for {wanted}", values.len())));
        }
        let residual = match shape {
            AdapterShape::LowRank(rank) => {
                let down = values.split_off(wanted / 2);
                Residual::LowRank { up: values, down, rank }
            }
            AdapterShape::Full => Residual::Full { matrix: values },
        };
        Self::trained(dimensions, residual, provenance).with_blend(blend).map_err(|error| damaged(error.to_string()))
    }

    /// Names all that shapes an adapted vector, blend included: BLAKE3 of the bytes, in hex.
    pub fn fingerprint(&self) -> String {
        blake3::hash(&self.to_bytes()).to_hex().to_string()
    }
}

impl AdapterShape {
    /// Number of values that a residual of this shape has.
    pub(crate) fn values(self, dimensions: usize) -> Result<usize, Error> {
        let other_side = match self {
            Self::LowRank(rank) => rank.checked_mul(2),
            Self::Full => Some(dimensions),
        };
        let values = other_side.and_then(|side| side.checked_mul(dimensions)).filter(|&values| values > 0);
        values.ok_or(Error::Setting {
            name: "size of the residual",
            value: dimensions as f64,
            wanted: "above 0 in dimensions and rank, and small enough to be held",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn provenance() -> Provenance {
        Provenance { model: "mini".to_owned(), seed: 3, origin: "judgements of law".to_owned() }
    }

    /// R maps the first axis onto the second.
    fn swap() -> QueryAdapter {
        QueryAdapter::low_rank(2, 1, vec![0.0, 1.0], vec![1.0, 0.0], provenance()).unwrap()
    }

    #[test]
    fn adds_the_residual_and_scales() {
        let half = std::f32::consts::FRAC_1_SQRT_2;
        assert_eq!(swap().apply(&[1.0, 0.0]).unwrap(), [half, half]);
        assert_eq!(swap().apply(&[0.0, 1.0]).unwrap(), [0.0, 1.0]);
        let full = QueryAdapter::full(2, vec![0.0, 0.0, 1.0, 0.0], provenance()).unwrap();
        assert_eq!(full.apply(&[1.0, 0.0]).unwrap(), [half, half]);
        assert_eq!(swap().with_blend(0.0).unwrap().apply(&[1.0, 0.0]).unwrap(), [1.0, 0.0]);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert!(matches!(swap().apply(&[1.0]), Err(Error::SizeMismatch { expected: 2, received: 1, .. })));
        assert!(matches!(swap().apply(&[0.0, 0.0]), Err(Error::NoDirection { row: 0, .. })));
        assert!(matches!(swap().apply(&[f32::NAN, 0.0]), Err(Error::NoDirection { .. })));
        let back = QueryAdapter::full(1, vec![-1.0], provenance()).unwrap();
        assert!(matches!(back.apply_rows(Rows::new(&[1.0], 1).unwrap()), Err(Error::NoDirection { .. })));
        for blend in [-0.1, 1.1, f32::NAN] {
            assert!(matches!(swap().with_blend(blend), Err(Error::Setting { .. })));
        }
        assert!(QueryAdapter::low_rank(2, 0, vec![], vec![], provenance()).is_err());
        assert!(QueryAdapter::low_rank(2, 1, vec![0.0; 2], vec![0.0; 3], provenance()).is_err());
        assert!(QueryAdapter::full(2, vec![f32::NAN; 4], provenance()).is_err());
        assert!(QueryAdapter::full(usize::MAX, vec![], provenance()).is_err());
    }

    #[test]
    fn a_header_that_its_values_do_not_fill_is_refused() {
        let header =
            |dimensions, blend| Header { shape: AdapterShape::Full, dimensions, blend, provenance: provenance() };
        for (dimensions, blend) in [(3, 1.0), (0, 1.0), (usize::MAX, 1.0), (2, 1.5)] {
            let bytes = container::pack(KIND, &header(dimensions, blend), &[&[0.0; 4]]);
            assert!(matches!(QueryAdapter::from_bytes(&bytes), Err(Error::Damaged { .. })), "{dimensions} {blend}");
        }
    }

    fn adapters() -> impl Strategy<Value = QueryAdapter> {
        (1_usize..6, 0_usize..4, 0.0_f32..=1.0, any::<u64>()).prop_flat_map(|(dimensions, rank, blend, seed)| {
            let shape = if rank == 0 { AdapterShape::Full } else { AdapterShape::LowRank(rank) };
            let provenance = Provenance { seed, ..provenance() };
            prop::collection::vec(-1.0_f32..1.0, shape.values(dimensions).unwrap()).prop_map(move |mut values| {
                let adapter = if rank == 0 {
                    QueryAdapter::full(dimensions, values, provenance.clone())
                } else {
                    let down = values.split_off(values.len() / 2);
                    QueryAdapter::low_rank(dimensions, rank, values, down, provenance.clone())
                };
                adapter.unwrap().with_blend(blend).unwrap()
            })
        })
    }

    proptest! {
        #[test]
        fn bytes_bring_the_adapter_back(adapter in adapters()) {
            let again = QueryAdapter::from_bytes(&adapter.to_bytes()).unwrap();
            prop_assert_eq!(again.fingerprint(), adapter.fingerprint());
            prop_assert_eq!(again, adapter);
        }

        #[test]
        fn rows_are_adapted_as_if_alone_and_come_out_at_unit_length(
            adapter in adapters(),
            seeds in prop::collection::vec(-1.0_f32..1.0, 5 * 5),
        ) {
            let values = &seeds[..5 * adapter.dimensions()];
            prop_assume!(values.chunks(adapter.dimensions()).all(|row| row.iter().any(|value| value.abs() > 0.01)));
            let rows = Rows::new(values, adapter.dimensions()).unwrap();
            let Ok(together) = adapter.apply_rows(rows) else { return Ok(()) };
            let alone: Vec<f32> = rows.iter().flat_map(|row| adapter.apply(row).unwrap()).collect();
            prop_assert_eq!(&together, &alone);
            for row in together.chunks(adapter.dimensions()) {
                prop_assert!((dot(row, row) - 1.0).abs() < 1e-4);
            }
        }

        #[test]
        fn the_fingerprint_knows_the_blend(adapter in adapters(), blend in 0.0_f32..=1.0) {
            let other = adapter.clone().with_blend(blend).unwrap();
            prop_assert_eq!(other.fingerprint() == adapter.fingerprint(), blend == adapter.blend());
        }
    }
}
