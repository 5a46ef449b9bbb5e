//! What goes into a graph and what comes out: a row of ids, tensors for it, and the lane in which it waits.

use crate::Error;

/// One sequence for the model: ids with special tokens and without padding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// Ids that the model reads.
    pub ids: Vec<u32>,
    /// Token type of each id: 0 in the first text, 1 in the second of a pair. Empty stands for zeros.
    pub types: Vec<u8>,
    /// Positions of the row for which scores of the vocabulary are wanted; only for fill-mask.
    pub positions: Vec<u32>,
    /// Ids at the end that no other id attends to, though they have states of their own: the mask tokens by which late
    /// interaction fills up its queries.
    pub unattended: usize,
}

impl From<Vec<u32>> for Row {
    fn from(ids: Vec<u32>) -> Self {
        Self { ids, ..Self::default() }
    }
}

/// Numbers that a graph gave for one row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensor {
    /// Size of each axis; the axis of rows is left out.
    pub shape: Vec<usize>,
    /// The numbers, the last axis fastest; as many as the product of `shape`.
    pub values: Vec<f32>,
}

/// The queue in which a row waits. Workers take queries first.
///
/// Bulk rows wait as long as queries come faster than the workers answer them: whoever serves queries bounds how many
/// are let in at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lane {
    /// Work in quantity: indexing, files.
    #[default]
    Bulk,
    /// Someone waits for this row.
    Query,
}

impl Row {
    /// Checks what every graph asks of a row.
    ///
    /// # Errors
    /// `RowEmpty`, `RowTooLong`, `RowTypes` or `RowPositions`.
    pub(crate) fn check(&self, max_tokens: usize) -> Result<(), Error> {
        let tokens = self.ids.len();
        if tokens == 0 {
            return Err(Error::RowEmpty);
        }
        if tokens > max_tokens {
            return Err(Error::RowTooLong { tokens, max_tokens });
        }
        if !self.types.is_empty() && self.types.len() != tokens {
            return Err(Error::RowTypes { tokens, types: self.types.len() });
        }
        if let Some(&position) = self.positions.iter().find(|&&position| position as usize >= tokens) {
            return Err(Error::RowPositions { tokens, position });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_checked_at_the_door() {
        let row = |ids: usize, types: usize, positions: &[u32]| Row {
            ids: vec![7; ids],
            types: vec![0; types],
            positions: positions.to_vec(),
            unattended: 0,
        };
        assert!(row(4, 0, &[]).check(4).is_ok());
        assert!(row(4, 4, &[0, 3]).check(4).is_ok());
        assert!(matches!(row(0, 0, &[]).check(4), Err(Error::RowEmpty)));
        assert!(matches!(row(5, 0, &[]).check(4), Err(Error::RowTooLong { tokens: 5, max_tokens: 4 })));
        assert!(matches!(row(4, 3, &[]).check(4), Err(Error::RowTypes { tokens: 4, types: 3 })));
        assert!(matches!(row(4, 0, &[4]).check(4), Err(Error::RowPositions { tokens: 4, position: 4 })));
    }
}
