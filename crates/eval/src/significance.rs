//! Whether one run is better than another, or only luckier with these queries.
//!
//! Works on the differences of paired figures, one for each query; no distribution is assumed.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde::Serialize;

use crate::random::Random;
use crate::{Error, Evaluation, Measure};

/// Queries that an error names of those that only one side has.
const NAMED: usize = 5;
/// Share of the sum of all distances by which two sums may differ and yet count as equal: above what rounding does to sums
/// of the same numbers in the same order.
const EQUAL: f64 = 1e-12;

/// How runs are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompareOptions {
    /// Samples of the test and of the interval. With 10,000 the standard error of a p value of .05 is .002.
    pub rounds: NonZeroUsize,
    /// Share of samples inside the interval, above 0 and below 1.
    pub level: f64,
    /// What the samples follow from.
    pub seed: u64,
    /// Leaves out queries that only one side has; otherwise they are an error.
    pub common_only: bool,
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self { rounds: const { NonZeroUsize::new(10_000).unwrap() }, level: 0.95, seed: 1, common_only: false }
    }
}

/// How B compares with A on the same queries. What is above zero speaks for B.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What was measured.
    pub measure: Measure,
    /// Queries compared.
    pub queries: usize,
    /// Mean of A over them.
    pub mean_a: f64,
    /// Mean of B over them.
    pub mean_b: f64,
    /// Mean of B less mean of A.
    pub difference: f64,
    /// Bootstrap confidence interval of the difference, lower end first.
    pub interval: (f64, f64),
    /// Share of samples inside the interval.
    pub level: f64,
    /// Two-sided p value of the paired randomisation test: how probable so great a difference would be were A and B alike.
    pub p_value: f64,
    /// Whether all sign flips were tried, instead of a sample of them.
    pub exact: bool,
    /// Queries that B answers better.
    pub wins: usize,
    /// Queries that B answers worse.
    pub losses: usize,
    /// Queries with the same figure.
    pub ties: usize,
    /// Samples drawn.
    pub rounds: usize,
    /// What they follow from.
    pub seed: u64,
}

/// Compares two evaluations of the same queries by one measure.
///
/// # Errors
/// `NotMeasured` when one of them lacks the measure; `QueriesDiffer` when one has queries that the other has not, unless only
/// common ones are asked for; `NothingToCompare` without a common query; `LevelOutOfRange`.
pub fn compare(
    a: &Evaluation,
    b: &Evaluation,
    measure: Measure,
    options: &CompareOptions,
) -> Result<Comparison, Error> {
    let (a, b) = (figures(a, measure)?, figures(b, measure)?);
    if !options.common_only {
        same_queries(&a, &b)?;
    }
    let (a, b): (Vec<f64>, Vec<f64>) = a.iter().filter_map(|(query, a)| Some((*a, *b.get(query)?))).unzip();
    compare_values(&a, &b, measure, options)
}

/// Compares the figures of the same queries, in the same order, by A and by B.
///
/// # Errors
/// `NothingToCompare` without a query; `LevelOutOfRange`.
pub fn compare_values(a: &[f64], b: &[f64], measure: Measure, options: &CompareOptions) -> Result<Comparison, Error> {
    let CompareOptions { rounds, level, seed, .. } = *options;
    if !(level > 0.0 && level < 1.0) {
        return Err(Error::LevelOutOfRange { level });
    }
    assert_eq!(a.len(), b.len(), "the same queries");
    let pairs = || a.iter().zip(b);
    let differences: Vec<f64> = pairs().map(|(a, b)| b - a).collect();
    let interval = bootstrap_interval(&differences, level, rounds, seed).ok_or(Error::NothingToCompare)?;
    let test = randomisation_test(&differences, rounds, seed);
    let count = |order| pairs().filter(|(a, b)| b.total_cmp(a) == order).count();
    let (mean_a, mean_b) = (mean(a.iter().copied()), mean(b.iter().copied()));
    Ok(Comparison {
        measure,
        queries: a.len(),
        mean_a,
        mean_b,
        difference: mean_b - mean_a,
        interval,
        level,
        p_value: test.p_value,
        exact: test.exact,
        wins: count(Ordering::Greater),
        losses: count(Ordering::Less),
        ties: count(Ordering::Equal),
        rounds: rounds.get(),
        seed,
    })
}

fn figures(evaluation: &Evaluation, measure: Measure) -> Result<BTreeMap<&str, f64>, Error> {
    let values = evaluation.values(measure).ok_or(Error::NotMeasured { measure })?;
    Ok(evaluation.per_query.iter().map(|(query, _)| query.as_str()).zip(values).collect())
}

fn same_queries(a: &BTreeMap<&str, f64>, b: &BTreeMap<&str, f64>) -> Result<(), Error> {
    let missing = |from: &BTreeMap<&str, f64>, of: &BTreeMap<&str, f64>| -> Vec<String> {
        of.keys().filter(|query| !from.contains_key(**query)).map(|query| (*query).to_owned()).collect()
    };
    let (mut only_a, mut only_b) = (missing(b, a), missing(a, b));
    if only_a.is_empty() && only_b.is_empty() {
        return Ok(());
    }
    let (count_a, count_b) = (only_a.len(), only_b.len());
    only_a.truncate(NAMED);
    only_b.truncate(NAMED);
    Err(Error::QueriesDiffer { count_a, only_a, count_b, only_b })
}

/// What [`randomisation_test`] found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Randomisation {
    /// Two-sided.
    pub p_value: f64,
    /// Whether all sign flips were tried.
    pub exact: bool,
}

/// Paired randomisation test (Fisher 1935; for retrieval Smucker, Allan and Carterette 2007): were both sides alike, each
/// difference might as well have the other sign. The p value is the share of sign flips whose mean is as far from zero as the
/// mean found, or farther.
///
/// All flips are tried where they are not more than `rounds`; otherwise that many are drawn, and the p value counts the one found
/// as one of them, so that it is never zero (Phipson and Smyth 2010). It is 1 without differences, with zeros only, and with one
/// that is not finite, from which nothing follows.
pub fn randomisation_test(differences: &[f64], rounds: NonZeroUsize, seed: u64) -> Randomisation {
    // The sign of a zero makes no difference.
    let differences: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    let distances: f64 = differences.iter().map(|difference| difference.abs()).sum();
    if !distances.is_finite() {
        return Randomisation { p_value: 1.0, exact: false };
    }
    let found = differences.iter().sum::<f64>().abs() - EQUAL * distances;
    let as_far = |bits: &mut dyn FnMut() -> u64| -> bool {
        let mut sum = 0.0;
        for word in differences.chunks(64) {
            let mut signs = bits();
            for difference in word {
                sum += if signs & 1 == 0 { *difference } else { -difference };
                signs >>= 1;
            }
        }
        sum.abs() >= found
    };
    let rounds = rounds.get() as u64;
    let flips = u32::try_from(differences.len()).ok().and_then(|count| 1_u64.checked_shl(count));
    if let Some(flips) = flips.filter(|flips| *flips <= rounds) {
        let count = (0..flips).filter(|signs| as_far(&mut || *signs)).count();
        return Randomisation { p_value: count as f64 / flips as f64, exact: true };
    }
    let mut random = Random::new(seed);
    let count = (0..rounds).filter(|_| as_far(&mut || random.bits())).count();
    Randomisation { p_value: (count + 1) as f64 / (rounds + 1) as f64, exact: false }
}

/// Percentile bootstrap confidence interval of the mean (Efron and Tibshirani 1993, chapter 13), lower end first; `None`
/// without values, and with one that is not finite.
///
/// The percentile interval, and not BCa: a mean over dozens to thousands of queries needs hardly any correction of bias and skew,
/// and this one is defined, too, where all values are the same. `level` is above 0 and below 1.
pub fn bootstrap_interval(values: &[f64], level: f64, rounds: NonZeroUsize, seed: u64) -> Option<(f64, f64)> {
    if values.is_empty() || !values.iter().all(|value| value.is_finite()) {
        return None;
    }
    let mut random = Random::new(seed);
    let resampled = |_| mean((0..values.len()).map(|_| values[random.below(values.len())]));
    let mut means: Vec<f64> = (0..rounds.get()).map(resampled).collect();
    means.sort_unstable_by(f64::total_cmp);
    let outside = (1.0 - level) / 2.0;
    Some((quantile(&means, outside), quantile(&means, 1.0 - outside)))
}

/// Corrects p values of several tests so that the chance of any false alarm stays below the level to which each is held
/// (Holm 1979); in the order given. What is no number counts as 1.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let p_values: Vec<f64> = p_values.iter().map(|p| if p.is_nan() { 1.0 } else { *p }).collect();
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut highest: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        highest = highest.max(p_values[index] * (p_values.len() - rank) as f64).min(1.0);
        corrected[index] = highest;
    }
    corrected
}

/// Of numbers that are not none.
fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Between neighbours of `sorted`, which is not empty, it is interpolated.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Scores;

    const MAP: Measure = Measure::Map(None);

    fn evaluation(figures: &[(&str, f64)]) -> Evaluation {
        let scores = |value| -> Scores { [(MAP, value)].into_iter().collect() };
        let per_query = figures.iter().map(|(query, value)| ((*query).to_owned(), scores(*value))).collect();
        Evaluation { measures: vec![MAP], mean: scores(0.0), per_query }
    }

    fn rounds(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn says_which_is_better_and_by_how_much() {
        let a = evaluation(&[("1", 0.25), ("2", 0.5), ("3", 0.5), ("4", 0.75)]);
        let b = evaluation(&[("1", 0.75), ("2", 1.0), ("3", 0.5), ("4", 0.5)]);
        let found = compare(&a, &b, MAP, &CompareOptions::default()).unwrap();
        assert_eq!((found.queries, found.mean_a, found.mean_b, found.difference), (4, 0.5, 0.6875, 0.1875));
        assert_eq!((found.wins, found.losses, found.ties), (2, 1, 1));
        // Of the eight signs of (½, ½, ¼), a sum as far from zero as ¾ have: + + −, − − +, + + + and − − −.
        assert_eq!((found.p_value, found.exact), (0.5, true));
        assert!(found.interval.0 >= -0.25 && found.interval.0 < 0.1875 && found.interval.1 > 0.1875, "{found:?}");
        let turned = compare(&b, &a, MAP, &CompareOptions::default()).unwrap();
        assert_eq!((turned.difference, turned.p_value, turned.wins), (-0.1875, 0.5, 1));
    }

    #[test]
    fn queries_of_one_side_are_named_or_left_out() {
        let a = evaluation(&[("1", 0.0), ("2", 0.5), ("3", 1.0)]);
        let b = evaluation(&[("2", 0.75), ("4", 1.0)]);
        let error = compare(&a, &b, MAP, &CompareOptions::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the two do not answer the same queries: 2 are in the first alone (1, 3), 1 in the second alone (4)"
        );
        let options = CompareOptions { common_only: true, ..CompareOptions::default() };
        let found = compare(&a, &b, MAP, &options).unwrap();
        assert_eq!((found.queries, found.difference, found.interval), (1, 0.25, (0.25, 0.25)));
        let error = compare(&a, &evaluation(&[("9", 0.0)]), MAP, &options).unwrap_err();
        assert!(matches!(error, Error::NothingToCompare));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let one = evaluation(&[("1", 0.0)]);
        let check = |measure, level| {
            compare(&one, &one, measure, &CompareOptions { level, ..CompareOptions::default() }).unwrap_err()
        };
        assert_eq!(check(Measure::Recall(5), 0.9).to_string(), "recall@5 was not measured");
        for level in [0.0, 1.0, 95.0, f64::NAN] {
            assert!(matches!(check(MAP, level), Error::LevelOutOfRange { .. }));
        }
        let nothing = evaluation(&[]);
        let error = compare(&nothing, &nothing, MAP, &CompareOptions::default()).unwrap_err();
        assert!(matches!(error, Error::NothingToCompare));
    }

    #[test]
    fn without_a_difference_there_is_no_doubt() {
        for differences in [&[][..], &[0.0; 100]] {
            let expected = Randomisation { p_value: 1.0, exact: true };
            assert_eq!(randomisation_test(differences, rounds(10), 1), expected);
        }
        assert_eq!(bootstrap_interval(&[], 0.95, rounds(10), 1), None);
        for value in [f64::NAN, f64::INFINITY] {
            assert_eq!(randomisation_test(&[1.0, value], rounds(10), 1).p_value, 1.0);
            assert_eq!(bootstrap_interval(&[1.0, value], 0.95, rounds(10), 1), None);
        }
    }

    /// With 64 differences and more, not all flips have a number.
    #[test]
    fn a_sampled_p_value_is_never_zero() {
        for count in [63, 64, 65, 200] {
            let found = randomisation_test(&vec![0.5; count], rounds(99), 1);
            assert_eq!(found, Randomisation { p_value: 0.01, exact: false });
        }
    }

    #[test]
    fn many_tests_are_held_to_more() {
        // By hand: .01 · 4, then .02 · 3, then max(.06, .03 · 2), then max(.06, .04 · 1).
        assert_eq!(holm(&[0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06]);
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
        assert_eq!((holm(&[0.3]), holm(&[])), (vec![0.3], vec![]));
        assert_eq!(holm(&[f64::NAN, 0.1]), [1.0, 0.2]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn sampled_and_tried_flips_agree(values in prop::collection::vec(-8_i8..9, 1..11), seed in any::<u64>()) {
            let differences: Vec<f64> = values.iter().map(|value| f64::from(*value) / 8.0).collect();
            let exact = randomisation_test(&differences, rounds(1_024), seed);
            prop_assert!(exact.exact);
            // Zeros and the other sign change nothing.
            let turned: Vec<f64> = differences.iter().map(|value| -value).chain([0.0; 3]).collect();
            prop_assert_eq!(randomisation_test(&turned, rounds(1_024), seed), exact);
            let wanted: f64 = differences.iter().sum();
            let signed = |flip: u32| -> f64 {
                differences.iter().enumerate().map(|(at, value)| if flip >> at & 1 == 0 { *value } else { -value }).sum()
            };
            let flips = 1_u32 << differences.len();
            let as_far = (0..flips).filter(|flip| signed(*flip).abs() >= wanted.abs()).count();
            prop_assert_eq!(exact.p_value, as_far as f64 / f64::from(flips));
        }

        #[test]
        fn intervals_lie_within_the_values_and_turn_with_them(
            values in prop::collection::vec(-1.0..1.0_f64, 1..20), seed in any::<u64>()
        ) {
            let of = |values: &[f64], level| bootstrap_interval(values, level, rounds(200), seed).unwrap();
            let (lower, upper) = of(&values, 0.9);
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(least - 1e-9 <= lower && lower <= upper && upper <= most + 1e-9);
            let narrower = of(&values, 0.5);
            prop_assert!(lower <= narrower.0 && narrower.1 <= upper);
            let turned: Vec<f64> = values.iter().map(|value| -value).collect();
            let turned = of(&turned, 0.9);
            prop_assert!((turned.0 + upper).abs() < 1e-9 && (turned.1 + lower).abs() < 1e-9);
        }

        #[test]
        fn correction_never_lowers_a_p_value_and_keeps_the_order(p_values in prop::collection::vec(0.0..=1.0_f64, 0..12)) {
            let corrected = holm(&p_values);
            for (index, value) in corrected.iter().enumerate() {
                prop_assert!(*value >= p_values[index] && *value <= 1.0);
                prop_assert!(p_values.iter().zip(&corrected).all(|(p, c)| *p < p_values[index] || c >= value));
            }
        }
    }
}
