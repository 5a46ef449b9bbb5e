//! Curves: precision against recall, and how far predicted probabilities can be believed.

use std::num::NonZeroUsize;

use serde::Serialize;

use crate::{Error, Qrels, Run};

/// Recall levels of a precision–recall curve: 0, .1, … 1.
pub const RECALL_LEVELS: usize = 11;
/// Added before the number of documents that a recall level asks for is rounded down; trec_eval's constant.
const ROUND_UP: f64 = 0.9;

/// Interpolated precision at the recall levels 0, .1, … 1.
pub type PrecisionCurve = [f64; RECALL_LEVELS];

/// What [`precision_recall`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PrecisionRecall {
    /// Mean over `per_query`; zeros when there is none.
    pub mean: PrecisionCurve,
    /// Curve of every query that counts, by query id.
    pub per_query: Vec<(String, PrecisionCurve)>,
}

/// Compares a run with judgements at eleven levels of recall, as trec_eval's `iprec_at_recall`.
///
/// The precision at a level is the highest one at any rank at which so much recall, or more, is reached; 0 where it never is.
/// Queries count as they do for [`crate::evaluate`].
pub fn precision_recall(run: &Run, qrels: &Qrels) -> PrecisionRecall {
    let mut per_query = Vec::new();
    for (query, judgements) in qrels.iter() {
        let relevant = judgements.values().filter(|grade| **grade > 0).count();
        if relevant == 0 {
            continue;
        }
        let ranking = run.get(query).unwrap_or_default().iter();
        let is_relevant = |document| judgements.get(document).is_some_and(|grade| *grade > 0);
        let hits: Vec<bool> = ranking.map(|(document, _)| is_relevant(document)).collect();
        per_query.push((query.to_owned(), curve(&hits, relevant)));
    }
    let mut mean = [0.0; RECALL_LEVELS];
    for (level, value) in mean.iter_mut().enumerate() {
        let sum: f64 = per_query.iter().map(|(_, curve)| curve[level]).sum();
        *value = sum / per_query.len().max(1) as f64;
    }
    PrecisionRecall { mean, per_query }
}

/// `hits` says of each place whether its document is relevant; `relevant` is the number of all relevant documents.
fn curve(hits: &[bool], relevant: usize) -> PrecisionCurve {
    // Of the nth relevant document, counted from 0: the highest precision at its rank or below.
    let ranks = hits.iter().enumerate().filter(|(_, hit)| **hit).map(|(index, _)| index + 1);
    let mut best: Vec<f64> = ranks.enumerate().map(|(before, rank)| (before + 1) as f64 / rank as f64).collect();
    for index in (1..best.len()).rev() {
        best[index - 1] = best[index - 1].max(best[index]);
    }
    std::array::from_fn(|level| {
        let recall = level as f64 / (RECALL_LEVELS - 1) as f64;
        let needed = (recall * relevant as f64 + ROUND_UP) as usize;
        best.get(needed.saturating_sub(1)).copied().unwrap_or(0.0)
    })
}

/// How probable an answer was said to be, and whether it was one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// 0 to 1.
    pub probability: f64,
    /// Whether the document is relevant.
    pub relevant: bool,
}

/// How far predicted probabilities can be believed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Number of predictions.
    pub predictions: usize,
    /// Bins of equal width from 0 to 1, empty ones too.
    pub bins: Vec<ReliabilityBin>,
    /// Distance between probability and share of relevant documents, mean over bins weighted by their counts (Naeini, Cooper
    /// and Hauskrecht 2015); `None` without predictions.
    pub expected_calibration_error: Option<f64>,
    /// Mean squared distance between probability and outcome (Brier 1950, half his figure); `None` without predictions.
    pub brier: Option<f64>,
}

/// Predictions whose probabilities lie close to each other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Least probability of the bin.
    pub lower: f64,
    /// Probabilities lie below it; in the last bin it is 1 and belongs to it.
    pub upper: f64,
    /// Number of predictions.
    pub count: usize,
    /// Mean of their probabilities; `None` of none.
    pub mean_probability: Option<f64>,
    /// Share of them that is relevant; `None` of none.
    pub share_relevant: Option<f64>,
}

/// Sorts predictions into `bins` of equal width and compares what was predicted with what was so.
///
/// # Errors
/// `NotAProbability` for a number that is not between 0 and 1.
pub fn calibration(predictions: &[Prediction], bins: NonZeroUsize) -> Result<Calibration, Error> {
    let count = bins.get();
    let mut sums = vec![Sum::default(); count];
    let mut squares = 0.0;
    for (index, &Prediction { probability, relevant }) in predictions.iter().enumerate() {
        if !(0.0..=1.0).contains(&probability) {
            return Err(Error::NotAProbability { index, value: probability });
        }
        squares += (probability - f64::from(relevant)).powi(2);
        let sum = &mut sums[((probability * count as f64) as usize).min(count - 1)];
        sum.count += 1;
        sum.probability += probability;
        sum.relevant += f64::from(relevant);
    }
    let total = predictions.len() as f64;
    let distances: f64 = sums.iter().map(|sum| (sum.probability - sum.relevant).abs()).sum();
    let some = |value| (!predictions.is_empty()).then_some(value);
    Ok(Calibration {
        predictions: predictions.len(),
        bins: sums.iter().enumerate().map(|(index, sum)| sum.bin(index, count)).collect(),
        expected_calibration_error: some(distances / total),
        brier: some(squares / total),
    })
}

#[derive(Clone, Default)]
struct Sum {
    count: usize,
    probability: f64,
    relevant: f64,
}

impl Sum {
    fn bin(&self, index: usize, bins: usize) -> ReliabilityBin {
        let mean = |sum: f64| (self.count > 0).then(|| sum / self.count as f64);
        ReliabilityBin {
            lower: index as f64 / bins as f64,
            upper: (index + 1) as f64 / bins as f64,
            count: self.count,
            mean_probability: mean(self.probability),
            share_relevant: mean(self.relevant),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn predictions(pairs: &[(f64, bool)]) -> Vec<Prediction> {
        pairs.iter().map(|&(probability, relevant)| Prediction { probability, relevant }).collect()
    }

    fn check(pairs: &[(f64, bool)], bins: usize) -> Calibration {
        calibration(&predictions(pairs), NonZeroUsize::new(bins).unwrap()).unwrap()
    }

    #[test]
    fn precision_is_the_best_from_there_on() {
        // Precision at the relevant ranks 1, 3 and 4: 1, 2/3, 3/4; one of four is never found.
        let (full, later) = (1.0, 0.75);
        let expected = [full, full, full, later, later, later, later, later, 0.0, 0.0, 0.0];
        assert_eq!(curve(&[true, false, true, true], 4), expected);
        assert_eq!(curve(&[], 2), [0.0; RECALL_LEVELS]);
        assert_eq!(curve(&[true], 1), [1.0; RECALL_LEVELS]);
    }

    #[test]
    fn a_run_without_queries_has_a_flat_curve() {
        let none = precision_recall(&Run::new(), &Qrels::default());
        assert_eq!((none.mean, none.per_query.len()), ([0.0; RECALL_LEVELS], 0));
    }

    #[test]
    fn bins_compare_what_was_said_with_what_was_so() {
        let found = check(&[(0.0, false), (0.25, true), (0.25, false), (0.75, true), (1.0, true)], 2);
        let bin = |lower, upper, count, mean, share| ReliabilityBin {
            lower,
            upper,
            count,
            mean_probability: Some(mean),
            share_relevant: Some(share),
        };
        assert_eq!(found.bins, [bin(0.0, 0.5, 3, 0.5 / 3.0, 1.0 / 3.0), bin(0.5, 1.0, 2, 0.875, 1.0)]);
        assert_eq!(found.expected_calibration_error, Some((0.5 + 0.25) / 5.0));
        assert_eq!(found.brier, Some((0.75 * 0.75 + 0.25 * 0.25 + 0.25 * 0.25) / 5.0));
    }

    #[test]
    fn nothing_predicted_says_nothing() {
        let found = check(&[], 3);
        assert_eq!((found.bins.len(), found.expected_calibration_error, found.brier), (3, None, None));
        assert_eq!((found.bins[1].count, found.bins[1].share_relevant), (0, None));
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        for value in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
            let error = calibration(&predictions(&[(0.5, true), (value, true)]), NonZeroUsize::MIN).unwrap_err();
            assert!(matches!(error, Error::NotAProbability { index: 1, .. }), "{error}");
        }
    }

    proptest! {
        #[test]
        fn curves_fall_and_stay_between_0_and_1(hits in prop::collection::vec(any::<bool>(), 0..40), missed in 0..5_usize) {
            let relevant = hits.iter().filter(|hit| **hit).count() + missed;
            prop_assume!(relevant > 0);
            let curve = curve(&hits, relevant);
            prop_assert!(curve.is_sorted_by(|high, low| high >= low), "{:?}", curve);
            prop_assert!(curve.iter().all(|value| (0.0..=1.0).contains(value)));
            prop_assert_eq!(curve[RECALL_LEVELS - 1] > 0.0, missed == 0);
        }

        #[test]
        fn one_bin_compares_the_means_and_certainty_costs_what_it_gets_wrong(
            pairs in prop::collection::vec((0.0..=1.0_f64, any::<bool>()), 1..40), bins in 1..12_usize
        ) {
            let share = |sum: f64| sum / pairs.len() as f64;
            let said = share(pairs.iter().map(|pair| pair.0).sum());
            let so = share(pairs.iter().map(|pair| f64::from(pair.1)).sum());
            let (one, many) = (check(&pairs, 1), check(&pairs, bins));
            prop_assert!((one.expected_calibration_error.unwrap() - (said - so).abs()).abs() < 1e-12);
            prop_assert!(many.expected_calibration_error >= one.expected_calibration_error.map(|error| error - 1e-12));
            prop_assert_eq!((many.bins.iter().map(|bin| bin.count).sum::<usize>(), many.brier), (pairs.len(), one.brier));
            let certain: Vec<(f64, bool)> = pairs.iter().map(|pair| (pair.0.round(), pair.1)).collect();
            let wrong = share(certain.iter().map(|pair| f64::from((pair.0 == 1.0) != pair.1)).sum());
            prop_assert_eq!(check(&certain, bins).brier, Some(wrong));
        }
    }
}
