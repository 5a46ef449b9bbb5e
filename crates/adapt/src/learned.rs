//! A query adapter of either sort, for those who only apply and store it.

use crate::{ClosedFormAdapter, Error, Provenance, QueryAdapter, Rows};

/// A query adapter, however it was learned.
#[derive(Debug, Clone, PartialEq)]
pub enum LearnedAdapter {
    /// A residual that was trained ([`crate::train`]).
    Residual(QueryAdapter),
    /// A closed form that was computed ([`crate::FitStatistics`], [`crate::label_free_adapter`]).
    ClosedForm(ClosedFormAdapter),
}

impl LearnedAdapter {
    /// Reads what `to_bytes` of either sort wrote.
    ///
    /// # Errors
    /// `Foreign`, `OtherFormat`, `OtherKind` when it is neither, or `Damaged`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        match ClosedFormAdapter::from_bytes(bytes) {
            Err(Error::OtherKind { .. }) => QueryAdapter::from_bytes(bytes).map(Self::Residual),
            read => read.map(Self::ClosedForm),
        }
    }

    /// The adapter as bytes, the same for the same adapter.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Residual(adapter) => adapter.to_bytes(),
            Self::ClosedForm(adapter) => adapter.to_bytes(),
        }
    }

    /// Names all that shapes an adapted vector, blend included: BLAKE3 of the bytes, in hex.
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Residual(adapter) => adapter.fingerprint(),
            Self::ClosedForm(adapter) => adapter.fingerprint(),
        }
    }

    /// Values of the vectors that it takes and gives.
    pub fn dimensions(&self) -> usize {
        match self {
            Self::Residual(adapter) => adapter.dimensions(),
            Self::ClosedForm(adapter) => adapter.dimensions(),
        }
    }

    /// Where it comes from.
    pub fn provenance(&self) -> &Provenance {
        match self {
            Self::Residual(adapter) => adapter.provenance(),
            Self::ClosedForm(adapter) => adapter.provenance(),
        }
    }

    /// Checks that it was learned for vectors of `model`, and takes vectors of `dimensions` values.
    ///
    /// # Errors
    /// `OtherModel`; `SizeMismatch`.
    pub fn expect_use(&self, model: &str, dimensions: usize) -> Result<(), Error> {
        match self {
            Self::Residual(adapter) => adapter.expect_use(model, dimensions),
            Self::ClosedForm(adapter) => adapter.expect_use(model, dimensions),
        }
    }

    /// The same adapter with another blend: 0 leaves queries alone, 1 is what was learned.
    ///
    /// # Errors
    /// `Setting` when `blend` does not lie in 0..=1.
    pub fn with_blend(self, blend: f32) -> Result<Self, Error> {
        match self {
            Self::Residual(adapter) => adapter.with_blend(blend).map(Self::Residual),
            Self::ClosedForm(adapter) => adapter.with_blend(blend).map(Self::ClosedForm),
        }
    }

    /// Adapts one query vector; what comes back has unit length.
    ///
    /// # Errors
    /// `SizeMismatch`; `NoDirection` when the query, or what becomes of it, is zero or not finite.
    pub fn apply(&self, query: &[f32]) -> Result<Vec<f32>, Error> {
        match self {
            Self::Residual(adapter) => adapter.apply(query),
            Self::ClosedForm(adapter) => adapter.apply(query),
        }
    }

    /// Adapts each row as [`LearnedAdapter::apply`] does, to the bit, on all threads: `[rows, dimensions]`.
    ///
    /// # Errors
    /// As `apply`.
    pub fn apply_rows(&self, queries: Rows<'_>) -> Result<Vec<f32>, Error> {
        match self {
            Self::Residual(adapter) => adapter.apply_rows(queries),
            Self::ClosedForm(adapter) => adapter.apply_rows(queries),
        }
    }
}

impl From<QueryAdapter> for LearnedAdapter {
    fn from(adapter: QueryAdapter) -> Self {
        Self::Residual(adapter)
    }
}

impl From<ClosedFormAdapter> for LearnedAdapter {
    fn from(adapter: ClosedFormAdapter) -> Self {
        Self::ClosedForm(adapter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AdapterParts, LinearMap};

    fn provenance() -> Provenance {
        Provenance { model: "mini".to_owned(), ..Provenance::default() }
    }

    fn check(adapter: impl Into<LearnedAdapter>) {
        let adapter = adapter.into();
        let half = std::f32::consts::FRAC_1_SQRT_2;
        assert_eq!(adapter.apply(&[1.0, 0.0]).unwrap(), [half, half]);
        assert_eq!(adapter.apply_rows(Rows::new(&[1.0, 0.0], 2).unwrap()).unwrap(), [half, half]);
        assert_eq!((adapter.dimensions(), adapter.provenance()), (2, &provenance()));
        assert!(adapter.expect_use("mini", 2).is_ok() && adapter.expect_use("maxi", 2).is_err());
        let again = LearnedAdapter::from_bytes(&adapter.to_bytes()).unwrap();
        assert_eq!((&again, again.fingerprint()), (&adapter, adapter.fingerprint()));
        let still = adapter.clone().with_blend(0.0).unwrap();
        assert_eq!(still.apply(&[1.0, 0.0]).unwrap(), [1.0, 0.0]);
        assert_ne!(still.fingerprint(), adapter.fingerprint());
        assert!(matches!(LearnedAdapter::from_bytes(&adapter.to_bytes()[1..]), Err(Error::Foreign { .. })));
    }

    #[test]
    fn either_sort_is_applied_and_read_back() {
        check(QueryAdapter::full(2, vec![0.0, 0.0, 1.0, 0.0], provenance()).unwrap());
        let parts = AdapterParts { whitening: Some(vec![1.0, 0.0, 1.0, 0.0]), ..AdapterParts::default() };
        check(ClosedFormAdapter::new(2, parts, provenance()).unwrap());
    }

    #[test]
    fn a_map_is_no_adapter() {
        let map = LinearMap::new(1, vec![1.0], vec![0.0], provenance()).unwrap();
        let error = LearnedAdapter::from_bytes(&map.to_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "holds a linear map, where a query adapter was wanted");
    }
}
