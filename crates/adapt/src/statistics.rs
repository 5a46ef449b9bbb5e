//! All that a closed-form adapter is computed from: sums over pairs, to which more can be added, and the adapters that follow.

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::closed_form::{AdapterParts, Weighted};
use crate::numeric::share;
use crate::ridge::solve_rows;
use crate::rows::expect_size;
use crate::spectrum::Spectrum;
use crate::within_pair::{power, within_pair_spectrum};
use crate::{ClosedFormAdapter, Error, KernelMemory, Provenance, Rows, TrainingRows};

/// Penalty of the ridge regression, in units of the mean of what the diagonal of AᵀA is for queries of unit length. Measured at
/// .3, 1, 3, 10, 30.
const RIDGE_PENALTY: f64 = 10.0;
/// Share of the mean spread that is mixed into the spread of each direction before whitening.
const SHRINKAGE: f64 = 0.3;
/// Rows of the result that one thread works on at a time.
const BAND_ROWS: usize = 32;

/// Sums over training pairs, and the pairs that are remembered.
///
/// Adding pairs in several goes gives the same bits as adding all at once, in the same order. A query's rows depend on all
/// documents that answer it, so a query of which more is learned has to be added anew, to sums from the beginning.
///
/// What is made of them was chosen by nDCG@10 on SciFact (train), CoSQA (dev), KorQuAD (dev), ContractNLI and Cranfield, dense
/// and hybrid, with all-MiniLM-L6-v2: queries of SciFact's test part went from .652 to .817 dense (about documents that
/// training never saw .664 to .678), of CoSQA's from .584 to .599 (.592 to .601), of KorQuAD's from .059 to .134. Gradient
/// descent (InfoNCE) reached .734 on SciFact, of which the test part was read twice, with several variants each time. The
/// constants were fitted to judgements of these collections, test parts left out but for Cranfield's and ContractNLI's, which
/// have no other: elsewhere they are a guess.
#[derive(Debug, Clone, PartialEq)]
pub struct FitStatistics {
    dimensions: usize,
    max_memory_rows: usize,
    pairs: usize,
    /// Σ a aᵀ.
    gram: Vec<f64>,
    /// Σ r aᵀ.
    cross: Vec<f64>,
    /// Σ e eᵀ.
    scatter: Vec<f64>,
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// Which closed-form adapter is made of what pairs say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hyperparameters {
    /// Exponent of within-pair whitening; 0 is without.
    pub whitening_exponent: f64,
    /// b₁, the weight of the ridge regression; 0 is without.
    pub ridge_weight: f32,
    /// t, the temperature of the memory.
    pub temperature: f32,
    /// b₂, the weight of the memory; 0 is without.
    pub memory_weight: f32,
}

impl Default for Hyperparameters {
    /// What purged cross-validation on the training sides found good everywhere; where there are labels enough,
    /// [`crate::select`] is safer. Dense nDCG@10 of test queries: SciFact .790 (unseen .675), CoSQA .610 (.599), KorQuAD .097.
    fn default() -> Self {
        Self { whitening_exponent: 0.1, ridge_weight: 1.0, temperature: 0.05, memory_weight: 2.0 }
    }
}

impl Hyperparameters {
    /// The 23 cells that selection tries, the identity not counted.
    pub fn grid() -> Vec<Self> {
        let mut cells = Vec::new();
        for whitening_exponent in [0.0, 0.1, 0.2] {
            for ridge_weight in [0.0, 1.0] {
                for (temperature, memory_weight) in [(0.05, 0.0), (0.05, 2.0), (0.1, 1.0), (0.1, 2.0)] {
                    cells.push(Self { whitening_exponent, ridge_weight, temperature, memory_weight });
                }
            }
        }
        cells.retain(|cell| cell.whitening_exponent > 0.0 || cell.ridge_weight > 0.0 || cell.memory_weight > 0.0);
        cells
    }
}

impl FitStatistics {
    /// Rows that a memory keeps, unless said otherwise: 61 MB at 384 dimensions, read once for each query.
    pub const DEFAULT_MEMORY_ROWS: usize = 20_000;

    /// Sums over no pairs, for vectors of `dimensions` values.
    ///
    /// The memory keeps the newest `max_memory_rows` rows: the sums, which no bound is needed for, go on to speak for the older
    /// ones, and what stays does not depend on the goes in which pairs were added. (Newest or a sample: neither was measured.)
    ///
    /// # Errors
    /// `Setting` when either is 0.
    pub fn new(dimensions: usize, max_memory_rows: usize) -> Result<Self, Error> {
        for (name, value) in [("number of dimensions", dimensions), ("most rows of a memory", max_memory_rows)] {
            if value == 0 {
                return Err(Error::Setting { name, value: 0.0, wanted: "above 0" });
            }
        }
        let zeros = || vec![0.0; dimensions * dimensions];
        let (gram, cross, scatter) = (zeros(), zeros(), zeros());
        Ok(Self { dimensions, max_memory_rows, pairs: 0, gram, cross, scatter, keys: Vec::new(), values: Vec::new() })
    }

    /// Pairs that were added.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// Pairs that are remembered.
    pub fn memory_rows(&self) -> usize {
        self.keys.len() / self.dimensions
    }

    /// Adds pairs.
    ///
    /// # Errors
    /// `Ragged`, `NotFinite`, `SizeMismatch` when there are not as many of each; nothing is added then.
    pub fn add(&mut self, rows: &TrainingRows) -> Result<(), Error> {
        let queries = Rows::new(&rows.queries, self.dimensions)?;
        let directions = Rows::new(&rows.directions, self.dimensions)?;
        let differences = Rows::new(&rows.differences, self.dimensions)?;
        expect_size("directions of pairs", queries.len(), directions.len())?;
        expect_size("differences of pairs", queries.len(), differences.len())?;
        add_products(&mut self.gram, queries, queries);
        add_products(&mut self.cross, directions, queries);
        add_products(&mut self.scatter, differences, differences);
        self.pairs += queries.len();
        for (kept, new) in [(&mut self.keys, queries), (&mut self.values, directions)] {
            kept.extend(new.values());
            let most = self.max_memory_rows.saturating_mul(self.dimensions);
            kept.drain(..kept.len().saturating_sub(most));
        }
        Ok(())
    }

    /// Solves for all that adapters are made of.
    ///
    /// # Errors
    /// `TooFew` without pairs; `Underdetermined` or `NoSpectrum` when the sums are no numbers to compute with.
    pub fn solve(&self) -> Result<ClosedForm, Error> {
        if self.pairs == 0 {
            return Err(Error::TooFew { what: "pairs of a query and a document that answers it", found: 0, needed: 1 });
        }
        let size = self.dimensions;
        let square = |values: &[f64]| Array2::from_shape_vec((size, size), values.to_vec()).expect("a square");
        let mut normal = square(&self.gram);
        let penalty = RIDGE_PENALTY * self.pairs as f64 / size as f64;
        normal.diag_mut().iter_mut().for_each(|value| *value += penalty);
        let solution = solve_rows(normal, square(&self.cross))
            .ok_or(Error::Underdetermined { rows: self.pairs, dimensions: size })?;
        let spectrum = match within_pair_spectrum(&self.scatter, size, SHRINKAGE) {
            Ok(spectrum) => Some(spectrum),
            // Queries that are their answers, as in a test: there is nothing to whiten.
            Err(Error::NoSpectrum) => None,
            Err(error) => return Err(error),
        };
        Ok(ClosedForm {
            dimensions: size,
            ridge: solution.iter().map(|&value| value as f32).collect(),
            spectrum,
            keys: self.keys.clone(),
            values: self.values.clone(),
        })
    }
}

/// What adapters of any [`Hyperparameters`] are made of, solved for once.
#[derive(Debug, Clone, PartialEq)]
pub struct ClosedForm {
    dimensions: usize,
    /// W, `[dimensions, dimensions]`.
    ridge: Vec<f32>,
    /// Of differences within pairs; none where nothing differs.
    spectrum: Option<Spectrum>,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl ClosedForm {
    /// The adapter of one choice of hyperparameters.
    ///
    /// # Errors
    /// `Setting`; `NoSpectrum` when whitening is asked for and queries do not differ from their answers.
    pub fn adapter(&self, cell: &Hyperparameters, provenance: Provenance) -> Result<ClosedFormAdapter, Error> {
        let exponent = share("exponent of whitening", cell.whitening_exponent)?;
        let whitening = match &self.spectrum {
            _ if exponent == 0.0 => None,
            Some(spectrum) => Some(power(spectrum, exponent)),
            None => return Err(Error::NoSpectrum),
        };
        let ridge =
            (cell.ridge_weight != 0.0).then(|| Weighted { part: self.ridge.clone(), weight: cell.ridge_weight });
        let memory = if cell.memory_weight == 0.0 {
            None
        } else {
            let part = KernelMemory::new(self.keys.clone(), self.values.clone(), self.dimensions, cell.temperature)?;
            Some(Weighted { part, weight: cell.memory_weight })
        };
        ClosedFormAdapter::new(self.dimensions, AdapterParts { whitening, ridge, memory }, provenance)
    }
}

/// Adds Σ aᵀ b over rows a and b of one number, in 64 bits: `[dimensions of a, dimensions of b]`.
///
/// Row by row, so that it does not matter in how many goes rows are added. Threads share the rows of the result, never a sum.
pub(crate) fn add_products(sums: &mut [f64], one: Rows<'_>, other: Rows<'_>) {
    let wide: Vec<f64> = other.values().iter().map(|&value| f64::from(value)).collect();
    let columns = other.dimensions();
    sums.par_chunks_mut(BAND_ROWS * columns).enumerate().for_each(|(band, sums)| {
        for (row, other) in one.iter().zip(wide.chunks_exact(columns)) {
            for (sums, &value) in sums.chunks_exact_mut(columns).zip(&row[band * BAND_ROWS..]) {
                let value = f64::from(value);
                sums.iter_mut().zip(other).for_each(|(sum, other)| *sum += value * other);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numeric::{SplitMix64, dot, unit};

    /// Pairs of queries at random, each with a direction that turns it by a quarter in its first two axes.
    fn turned(pairs: usize, dimensions: usize, seed: u64) -> TrainingRows {
        let mut random = SplitMix64::new(seed);
        let mut rows = TrainingRows::default();
        for _ in 0..pairs {
            let query = unit((0..dimensions).map(|_| random.normal() as f32).collect(), 0).unwrap();
            let mut direction = vec![0.0; dimensions];
            (direction[0], direction[1]) = (-query[1], query[0]);
            rows.differences.extend(query.iter().zip(&direction).map(|(query, answer)| query - answer));
            rows.queries.extend(query);
            rows.directions.extend(direction);
        }
        rows
    }

    fn part(rows: &TrainingRows, range: std::ops::Range<usize>) -> TrainingRows {
        TrainingRows {
            queries: rows.queries[range.clone()].to_vec(),
            directions: rows.directions[range.clone()].to_vec(),
            differences: rows.differences[range].to_vec(),
        }
    }

    fn added(parts: &[TrainingRows], dimensions: usize, max_memory_rows: usize) -> FitStatistics {
        let mut statistics = FitStatistics::new(dimensions, max_memory_rows).unwrap();
        for rows in parts {
            statistics.add(rows).unwrap();
        }
        statistics
    }

    #[test]
    fn the_grid_has_23_cells_and_the_default_is_one() {
        let grid = Hyperparameters::grid();
        assert_eq!(grid.len(), 23);
        assert!(grid.contains(&Hyperparameters::default()));
    }

    #[test]
    fn a_turn_is_recovered_for_queries_never_seen() {
        let statistics = added(&[turned(400, 6, 1)], 6, 1000);
        let only = |ridge_weight, memory_weight| Hyperparameters {
            whitening_exponent: 0.0,
            ridge_weight,
            temperature: 0.1,
            memory_weight,
        };
        let solved = statistics.solve().unwrap();
        let ridge = solved.adapter(&only(1.0, 0.0), Provenance::default()).unwrap();
        let memory = solved.adapter(&only(0.0, 1.0), Provenance::default()).unwrap();
        let fresh = turned(40, 6, 2);
        let asked = Rows::new(&fresh.queries, 6).unwrap();
        for (query, direction) in asked.iter().zip(Rows::new(&fresh.directions, 6).unwrap().iter()) {
            for adapter in [&ridge, &memory] {
                let moved = adapter.apply(query).unwrap();
                assert!(dot(&moved, direction) > dot(query, direction) + 0.01 * dot(direction, direction));
            }
        }
        // Penalty 10 n / 6 on a diagonal of about n / 6 leaves about an eleventh of the turn.
        let w = &ridge.parts().ridge.as_ref().unwrap().part;
        assert!((w[6] - 1.0 / 11.0).abs() < 0.02 && (w[1] + 1.0 / 11.0).abs() < 0.02 && w[14].abs() < 0.02, "{w:?}");
    }

    #[test]
    fn the_newest_rows_are_remembered() {
        let rows = turned(5, 2, 3);
        let statistics = added(&[part(&rows, 0..4), part(&rows, 4..10)], 2, 2);
        assert_eq!((statistics.pairs(), statistics.memory_rows()), (5, 2));
        assert_eq!(
            (&statistics.keys, &statistics.values),
            (&rows.queries[6..].to_vec(), &rows.directions[6..].to_vec())
        );
    }

    #[test]
    fn refuses_what_cannot_be_learned_from() {
        assert!(matches!(FitStatistics::new(0, 1), Err(Error::Setting { .. })));
        assert!(matches!(FitStatistics::new(1, 0), Err(Error::Setting { .. })));
        let mut statistics = FitStatistics::new(2, 10).unwrap();
        assert!(matches!(statistics.solve(), Err(Error::TooFew { found: 0, .. })));
        let before = statistics.clone();
        let rows = turned(3, 2, 4);
        assert!(statistics.add(&TrainingRows { directions: vec![0.0; 2], ..rows.clone() }).is_err());
        assert!(statistics.add(&TrainingRows { differences: vec![f32::NAN; 6], ..rows.clone() }).is_err());
        assert_eq!(statistics, before);
        statistics.add(&TrainingRows { differences: vec![0.0; 6], ..rows }).unwrap();
        let solved = statistics.solve().unwrap();
        let adapter = |cell: Hyperparameters| solved.adapter(&cell, Provenance::default());
        assert_eq!(adapter(Hyperparameters::default()), Err(Error::NoSpectrum));
        assert!(adapter(Hyperparameters { whitening_exponent: 0.0, ..Hyperparameters::default() }).is_ok());
        assert!(matches!(
            adapter(Hyperparameters { whitening_exponent: 2.0, ..Hyperparameters::default() }),
            Err(Error::Setting { .. })
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn what_is_added_in_goes_is_what_is_added_at_once(
            seed: u64, dimensions in 2_usize..40, cuts in (0_usize..9, 0_usize..9), most in 1_usize..12,
        ) {
            let rows = turned(8, dimensions, seed);
            let (first, second) = (cuts.0.min(cuts.1) * dimensions, cuts.0.max(cuts.1) * dimensions);
            let whole = rows.queries.len();
            let parts = [part(&rows, 0..first), part(&rows, first..second), part(&rows, second..whole)];
            let (goes, once) = (added(&parts, dimensions, most), added(&[rows], dimensions, most));
            prop_assert_eq!(&goes, &once);
            let adapter = |statistics: &FitStatistics| {
                let solved = statistics.solve().unwrap();
                solved.adapter(&Hyperparameters::default(), Provenance::default()).unwrap().fingerprint()
            };
            prop_assert_eq!(adapter(&goes), adapter(&once));
        }
    }
}
