//! Whitening of what sets queries apart from their answers, so that directions in which the two differ anyway count for less.
//!
//! Within-class covariance normalisation (Hatch, Kajarekar and Stolcke, *Within-class covariance normalization for SVM-based
//! speaker recognition*, 2006), the classes being pairs of a query and the chunk that answers it, and the exponent smaller.

use crate::numeric::share;
use crate::spectrum::Spectrum;
use crate::{ClosedFormAdapter, Error, Provenance, Rows, closed_form::AdapterParts, statistics::add_products};

/// Eigenvalues are taken for no less than this share of their mean. Set with what [`crate::FitStatistics`] states of other
/// constants, and not searched over.
pub(crate) const FLOOR: f64 = 0.02;

/// The exponent without labels. Measured at .1, .2, .3: the larger ones gain more where documents are foreign to the model
/// (KorQuAD, ContractNLI), and lose where they are not (MAUD −.009 of nDCG@10 at .2; CoSQA −.003 at .3).
pub const LABEL_FREE_EXPONENT: f64 = 0.1;

/// How within-pair whitening is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WithinPairOptions {
    /// How much directions are evened out, 0 to 1; 0 changes nothing.
    pub exponent: f64,
    /// Share of the mean spread that is mixed into that of each direction, 0 to 1: the fewer pairs, the less they say.
    pub shrinkage: f64,
}

/// T = E (max(L, .02 mean L) / mean L)^−exponent Eᵀ, E and L being directions and spread of the shrunk `scatter`:
/// `[dimensions, dimensions]`, row-major.
///
/// `scatter` is Σ e eᵀ over differences e = query − answer, not centred, `[dimensions, dimensions]`; how it is scaled does not
/// matter.
///
/// # Errors
/// `Setting`; `SizeMismatch`; `NoSpectrum` when nothing differs.
pub fn within_pair_whitening(
    scatter: &[f64],
    dimensions: usize,
    options: &WithinPairOptions,
) -> Result<Vec<f32>, Error> {
    Ok(power(&within_pair_spectrum(scatter, dimensions, options.shrinkage)?, share("exponent", options.exponent)?))
}

/// The adapter that only whitens, learned without labels: `differences` are pseudo-queries less the best chunk of the document
/// that each was made of, as indexed, `[pairs, dimensions]`.
///
/// # Errors
/// `TooFew` without pairs; `NoSpectrum` when nothing differs.
pub fn label_free_adapter(differences: Rows<'_>, provenance: Provenance) -> Result<ClosedFormAdapter, Error> {
    if differences.is_empty() {
        return Err(Error::TooFew { what: "pseudo-queries", found: 0, needed: 1 });
    }
    let dimensions = differences.dimensions();
    let mut scatter = vec![0.0; dimensions * dimensions];
    add_products(&mut scatter, differences, differences);
    let options = WithinPairOptions { exponent: LABEL_FREE_EXPONENT, shrinkage: 0.0 };
    let whitening = Some(within_pair_whitening(&scatter, dimensions, &options)?);
    ClosedFormAdapter::new(dimensions, AdapterParts { whitening, ..AdapterParts::default() }, provenance)
}

/// Directions and spread of the shrunk `scatter`.
pub(crate) fn within_pair_spectrum(scatter: &[f64], dimensions: usize, shrinkage: f64) -> Result<Spectrum, Error> {
    let shrinkage = share("shrinkage", shrinkage)?;
    crate::rows::expect_size("values of a scatter", dimensions * dimensions, scatter.len())?;
    let mean = (0..dimensions).map(|place| scatter[place * dimensions + place]).sum::<f64>() / dimensions as f64;
    if !(mean.is_finite() && mean > 0.0) {
        return Err(Error::NoSpectrum);
    }
    let mut shrunk: Vec<f64> = scatter.iter().map(|value| (1.0 - shrinkage) * value / mean).collect();
    (0..dimensions).for_each(|place| shrunk[place * dimensions + place] += shrinkage);
    Spectrum::of(shrunk, vec![0.0; dimensions])
}

/// E (max(L, floor) / mean L)^−exponent Eᵀ; the mean is 1, as [`within_pair_spectrum`] leaves it.
pub(crate) fn power(spectrum: &Spectrum, exponent: f64) -> Vec<f32> {
    let scales: Vec<f64> = spectrum.eigenvalues.iter().map(|value| value.max(FLOOR).powf(-exponent)).collect();
    spectrum.along(&scales).iter().map(|&value| value as f32).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numeric::{SplitMix64, dot};

    fn options(exponent: f64) -> WithinPairOptions {
        WithinPairOptions { exponent, shrinkage: 0.3 }
    }

    #[test]
    fn the_wider_pairs_differ_the_less_a_direction_counts() {
        let whitening = within_pair_whitening(&[16.0, 0.0, 0.0, 1.0], 2, &options(0.5)).unwrap();
        // Mean spread 8.5; shrunk .7 · 16 / 8.5 + .3 = 1.618 and .382.
        let expected = [1.617_65_f32.powf(-0.5), 0.0, 0.0, 0.382_353_f32.powf(-0.5)];
        for (found, expected) in whitening.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{whitening:?}");
        }
        let adapter = label_free_adapter(Rows::new(&[4.0, 0.0, 0.0, 1.0], 2).unwrap(), Provenance::default()).unwrap();
        let adapted = adapter.apply(&[0.6, 0.8]).unwrap();
        // The spread is 16 to 1, so that the axes part by 16^.1.
        assert!((adapted[1] / adapted[0] - 0.8 / 0.6 * 16.0_f32.powf(0.1)).abs() < 1e-4, "{adapted:?}");
    }

    #[test]
    fn a_direction_without_any_difference_is_not_blown_up() {
        let whitening =
            within_pair_whitening(&[1.0, 0.0, 0.0, 0.0], 2, &WithinPairOptions { exponent: 1.0, shrinkage: 0.0 });
        assert!((whitening.unwrap()[3] - 50.0).abs() < 1e-3);
    }

    #[test]
    fn refuses_what_cannot_be_whitened() {
        assert_eq!(within_pair_whitening(&[0.0; 4], 2, &options(0.1)), Err(Error::NoSpectrum));
        assert_eq!(within_pair_whitening(&[f64::NAN; 4], 2, &options(0.1)), Err(Error::NoSpectrum));
        assert!(matches!(within_pair_whitening(&[1.0; 3], 2, &options(0.1)), Err(Error::SizeMismatch { .. })));
        assert!(matches!(within_pair_whitening(&[1.0; 4], 2, &options(1.1)), Err(Error::Setting { .. })));
        let shrinkage = WithinPairOptions { exponent: 0.1, shrinkage: f64::NAN };
        assert!(matches!(within_pair_whitening(&[1.0; 4], 2, &shrinkage), Err(Error::Setting { .. })));
        let nothing = label_free_adapter(Rows::new(&[], 2).unwrap(), Provenance::default());
        assert!(matches!(nothing, Err(Error::TooFew { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn scale_does_not_matter_and_exponent_0_changes_nothing(seed: u64, size in 1_usize..6, scale in 0.01_f64..100.0) {
            let mut random = SplitMix64::new(seed);
            let values: Vec<f32> = (0..4 * size).map(|_| random.normal() as f32).collect();
            let rows = Rows::new(&values, size).unwrap();
            let mut scatter = vec![0.0; size * size];
            add_products(&mut scatter, rows, rows);
            let scaled: Vec<f64> = scatter.iter().map(|value| scale * value).collect();
            let one = within_pair_whitening(&scatter, size, &options(0.2)).unwrap();
            let other = within_pair_whitening(&scaled, size, &options(0.2)).unwrap();
            let still = within_pair_whitening(&scatter, size, &options(0.0)).unwrap();
            for place in 0..size * size {
                prop_assert!((one[place] - other[place]).abs() < 1e-4);
                prop_assert!((still[place] - f32::from(place % (size + 1) == 0)).abs() < 1e-5);
            }
            prop_assert!(dot(&one, &one) > 0.0);
        }
    }
}
