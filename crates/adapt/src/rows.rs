//! Vectors side by side, as a model or an index gives them.

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::Error;

/// Finite vectors of one size: `[rows, dimensions]`, row-major.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rows<'a> {
    values: &'a [f32],
    dimensions: usize,
}

impl<'a> Rows<'a> {
    /// Takes `values` as rows of `dimensions` values each.
    ///
    /// # Errors
    /// `Ragged` when they fill no whole rows or rows have no values; `NotFinite` for the first value that is no finite number.
    pub fn new(values: &'a [f32], dimensions: usize) -> Result<Self, Error> {
        if dimensions == 0 || !values.len().is_multiple_of(dimensions) {
            return Err(Error::Ragged { values: values.len(), dimensions });
        }
        if let Some(position) = values.iter().position(|value| !value.is_finite()) {
            let (row, column) = (position / dimensions, position % dimensions);
            return Err(Error::NotFinite { row, column, value: values[position] });
        }
        Ok(Self { values, dimensions })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimensions
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Values in a row.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// One row; `row` is below [`Rows::len`].
    pub fn row(&self, row: usize) -> &'a [f32] {
        &self.values[row * self.dimensions..][..self.dimensions]
    }

    /// All rows, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [f32]> {
        self.values.chunks_exact(self.dimensions)
    }

    /// All values, row by row.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    pub(crate) fn view(&self) -> ArrayView2<'a, f32> {
        matrix(self.values, self.dimensions)
    }

    /// What `of_row` makes of each row and its place, one after the other, computed on all threads.
    pub(crate) fn map_each(
        &self,
        of_row: impl Fn(&[f32], usize) -> Result<Vec<f32>, Error> + Sync,
    ) -> Result<Vec<f32>, Error> {
        let rows: Result<Vec<Vec<f32>>, Error> =
            (0..self.len()).into_par_iter().map(|row| of_row(self.row(row), row)).collect();
        Ok(rows?.concat())
    }

    pub(crate) fn expect_dimensions(&self, what: &'static str, expected: usize) -> Result<(), Error> {
        expect_size(what, expected, self.dimensions)
    }
}

/// `values` as a matrix of rows of `columns` values, which they fill.
pub(crate) fn matrix(values: &[f32], columns: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((values.len() / columns, columns), values).expect("values fill whole rows")
}

pub(crate) fn expect_size(what: &'static str, expected: usize, received: usize) -> Result<(), Error> {
    if expected == received { Ok(()) } else { Err(Error::SizeMismatch { what, expected, received }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole_and_finite() {
        let rows = Rows::new(&[1.0, 2.0, 3.0, 4.0], 2).unwrap();
        assert_eq!((rows.len(), rows.row(1)), (2, [3.0, 4.0].as_slice()));
        assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), [1.0, 3.0]);
        assert!(Rows::new(&[], 2).unwrap().is_empty());
        assert_eq!(Rows::new(&[1.0], 2), Err(Error::Ragged { values: 1, dimensions: 2 }));
        assert_eq!(Rows::new(&[], 0), Err(Error::Ragged { values: 0, dimensions: 0 }));
        let broken = Rows::new(&[1.0, 2.0, 3.0, f32::INFINITY], 2);
        assert_eq!(broken, Err(Error::NotFinite { row: 1, column: 1, value: f32::INFINITY }));
    }
}
