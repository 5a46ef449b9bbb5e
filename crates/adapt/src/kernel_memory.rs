//! Answers that are remembered by the queries that they belong to, and fade with the distance from these.
//!
//! A kernel regression (Nadaraya, *On estimating regression*, 1964; Watson, *Smooth regression analysis*, 1964) whose sum of
//! weights is never scaled up: far from all keys there is nothing to remember.

use crate::numeric::dot;
use crate::rows::expect_size;
use crate::{Error, Rows};

/// Keys and what each stands for: rows aᵢ and rᵢ, and a temperature t.
///
/// m(q) = Σ wᵢ rᵢ, wᵢ = exp((q · aᵢ − 1) / t) / max(1, Σⱼ exp((q · aⱼ − 1) / t)), for q and keys of unit length.
///
/// The bound of the divisor is essential: with plain shares, a query that no key is near to would be moved as far as any
/// (measured on ContractNLI without any divisor: nDCG@10 −.07 to −.40).
#[derive(Debug, Clone, PartialEq)]
pub struct KernelMemory {
    keys: Vec<f32>,
    values: Vec<f32>,
    dimensions: usize,
    temperature: f32,
}

impl KernelMemory {
    /// A memory of `keys` and `values`, `[rows, dimensions]` each, row-major; keys are of unit length.
    ///
    /// # Errors
    /// `Ragged`, `NotFinite`, `SizeMismatch` when there are not as many keys as values; `TooFew` without any; `Setting` when
    /// `temperature` is not above 0.
    pub fn new(keys: Vec<f32>, values: Vec<f32>, dimensions: usize, temperature: f32) -> Result<Self, Error> {
        let rows = Rows::new(&keys, dimensions)?.len();
        expect_size("values that are remembered", rows, Rows::new(&values, dimensions)?.len())?;
        if rows == 0 {
            return Err(Error::TooFew { what: "rows of a memory", found: 0, needed: 1 });
        }
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(Error::Setting { name: "temperature", value: temperature.into(), wanted: "above 0" });
        }
        Ok(Self { keys, values, dimensions, temperature })
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.keys.len() / self.dimensions
    }

    /// Never: a memory has at least one key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Values of a key.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// What cosines are divided by: the smaller, the nearer a query has to be to a key.
    pub fn temperature(&self) -> f32 {
        self.temperature
    }

    pub(crate) fn keys(&self) -> &[f32] {
        &self.keys
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// m(q) of a `query` of unit length: `[dimensions]`. It is never longer than the longest of the values.
    ///
    /// Reads each key and each value once.
    pub(crate) fn recall(&self, query: &[f32]) -> Vec<f32> {
        let temperature = f64::from(self.temperature);
        let kernel = |key: &[f32]| ((f64::from(dot(key, query)) - 1.0) / temperature).exp();
        let kernels: Vec<f64> = self.keys.chunks_exact(self.dimensions).map(kernel).collect();
        let divisor = kernels.iter().sum::<f64>().max(1.0);
        let mut recalled = vec![0.0_f32; self.dimensions];
        for (kernel, value) in kernels.iter().zip(self.values.chunks_exact(self.dimensions)) {
            let weight = (kernel / divisor) as f32;
            recalled.iter_mut().zip(value).for_each(|(sum, value)| *sum += weight * value);
        }
        recalled
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numeric::{SplitMix64, unit};

    fn length(values: &[f32]) -> f32 {
        dot(values, values).sqrt()
    }

    #[test]
    fn a_key_recalls_its_value_and_nothing_is_recalled_far_away() {
        let memory = KernelMemory::new(vec![1.0, 0.0], vec![0.0, 2.0], 2, 0.1).unwrap();
        assert_eq!(memory.recall(&[1.0, 0.0]), [0.0, 2.0]);
        assert!(length(&memory.recall(&[0.0, 1.0])) < 1e-4);
        // Twice the same key: its two values are shared out, not added up.
        let twice = KernelMemory::new(vec![1.0, 0.0, 1.0, 0.0], vec![0.0, 2.0, 0.0, 4.0], 2, 0.1).unwrap();
        assert_eq!(twice.recall(&[1.0, 0.0]), [0.0, 3.0]);
        assert_eq!((memory.len(), twice.len(), memory.is_empty()), (1, 2, false));
    }

    #[test]
    fn refuses_what_is_no_memory() {
        let new = |keys: &[f32], values: &[f32], temperature| {
            KernelMemory::new(keys.to_vec(), values.to_vec(), 2, temperature).unwrap_err()
        };
        assert!(matches!(new(&[], &[], 0.1), Error::TooFew { .. }));
        assert!(matches!(new(&[1.0, 0.0], &[], 0.1), Error::SizeMismatch { .. }));
        assert!(matches!(new(&[1.0], &[1.0], 0.1), Error::Ragged { .. }));
        assert!(matches!(new(&[1.0, 0.0], &[f32::NAN, 0.0], 0.1), Error::NotFinite { .. }));
        for temperature in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(matches!(new(&[1.0, 0.0], &[1.0, 0.0], temperature), Error::Setting { .. }));
        }
    }

    proptest! {
        #[test]
        fn what_is_recalled_is_bounded_by_the_nearest_key(seed: u64, rows in 1_usize..12, temperature in 0.02_f32..0.5) {
            let mut random = SplitMix64::new(seed);
            let mut row = || unit((0..6).map(|_| random.normal() as f32).collect(), 0).unwrap();
            let query = row();
            let (keys, values): (Vec<Vec<f32>>, Vec<Vec<f32>>) = (0..rows).map(|_| (row(), row())).unzip();
            let nearest = keys.iter().map(|key| dot(key, &query)).fold(-1.0, f32::max);
            let bound = (rows as f32 * ((nearest - 1.0) / temperature).exp()).min(1.0);
            let memory = KernelMemory::new(keys.concat(), values.concat(), 6, temperature).unwrap();
            prop_assert!(length(&memory.recall(&query)) <= bound + 1e-5);
        }
    }
}
