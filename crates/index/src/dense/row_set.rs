//! A set of rows of one segment, a bit each: what a filter lets through.

/// Which rows of a segment may be found. Deleted rows do not belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowSet {
    words: Vec<u64>,
    rows: usize,
    len: usize,
}

impl RowSet {
    /// No row, of a segment that has `rows`.
    pub(crate) fn none(rows: usize) -> Self {
        Self { words: vec![0; rows.div_ceil(64)], rows, len: 0 }
    }

    pub(crate) fn insert(&mut self, row: usize) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let (word, bit) = (&mut self.words[row / 64], 1u64 << (row % 64));
        self.len += usize::from(*word & bit == 0);
        *word |= bit;
    }

    pub(crate) fn contains(&self, row: usize) -> bool {
        self.words[row / 64] >> (row % 64) & 1 == 1
    }

    /// Number of rows in the set.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The rows of the set within a range, ascending.
    pub(crate) fn rows_in(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = usize> + '_ {
        let words = range.start / 64..range.end.div_ceil(64).min(self.words.len());
        words
            .flat_map(move |at| {
                let mut word = self.words[at];
                std::iter::from_fn(move || {
                    let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                    word &= word - 1;
                    Some(at * 64 + bit)
                })
            })
            .filter(move |row| range.contains(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_put_in() {
        for rows in [1, 63, 64, 65, 1000] {
            let mut set = RowSet::none(rows);
            let wanted: Vec<usize> = (0..rows).step_by(7).collect();
            for &row in &wanted {
                set.insert(row);
                set.insert(row);
            }
            assert_eq!(set.len(), wanted.len());
            assert_eq!(set.rows_in(0..rows).collect::<Vec<_>>(), wanted);
            let middle: Vec<usize> = wanted.iter().copied().filter(|row| (rows / 3..rows / 2).contains(row)).collect();
            assert_eq!(set.rows_in(rows / 3..rows / 2).collect::<Vec<_>>(), middle);
        }
    }
}
