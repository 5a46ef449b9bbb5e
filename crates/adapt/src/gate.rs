//! Whether something learned may be used: it has to gain on the whole, and must not lose where training never was.
//!
//! A split by queries deceives: queries whose documents were seen in training gain by memory. So they are judged apart, and
//! the gain that counts is weighed against the loss on the others.

use serde::{Deserialize, Serialize};

use crate::Error;

/// One query's score without and with what was learned; higher is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryScores {
    /// Without it.
    pub before: f64,
    /// With it.
    pub after: f64,
    /// Whether a document that answers the query was an answer in training too.
    pub seen: bool,
}

/// When something may be used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GateOptions {
    /// Mean loss on unseen queries that is still borne.
    pub max_loss_unseen: f64,
    /// Probability below which a gain is not taken for chance.
    pub level: f64,
    /// Queries without which there is no verdict.
    pub min_queries: usize,
    /// Unseen queries without which there is no verdict.
    pub min_unseen: usize,
}

impl Default for GateOptions {
    fn default() -> Self {
        // With fewer than 30 pairs, a paired test finds only gains that are larger than those of adapters.
        Self { max_loss_unseen: 0.005, level: 0.05, min_queries: 50, min_unseen: 30 }
    }
}

/// What a paired test says of differences.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Significance {
    /// Two-sided probability of a mean at least so far from 0, were it chance.
    pub p: f64,
    /// Lower end of the confidence interval of the mean.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
}

/// Means over one group of queries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GroupVerdict {
    /// Number of queries.
    pub queries: usize,
    /// Mean score without what was learned.
    pub before: f64,
    /// Mean score with it.
    pub after: f64,
    /// `after` − `before`.
    pub difference: f64,
    /// What the test says of the differences.
    #[serde(flatten)]
    pub significance: Significance,
}

/// Whether something learned may be used, and why not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether it may: there is no reason against it.
    pub ships: bool,
    /// All reasons against it.
    pub reasons: Vec<Reason>,
    /// All queries.
    pub overall: GroupVerdict,
    /// Queries with a document that training saw; none where there are no such.
    pub seen: Option<GroupVerdict>,
    /// The others; none where there are no such, and none are asked for.
    pub unseen: Option<GroupVerdict>,
}

/// A reason against using something.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// The mean does not rise.
    #[error("no gain over all queries: {difference:+.4}")]
    NoGain {
        /// Mean difference over all queries.
        difference: f64,
    },
    /// The mean rises, but so it might by chance.
    #[error("the gain over all queries may be chance: {difference:+.4}, p = {p:.3}, which is not below {level}")]
    GainMayBeChance {
        /// Mean difference over all queries.
        difference: f64,
        /// Its probability, were it chance.
        p: f64,
        /// The probability that it had to be below.
        level: f64,
    },
    /// Queries about documents that training never saw lose too much.
    #[error(
        "queries about documents that were not trained on lose: {difference:+.4}, where at most {} may be lost",
        .max_loss
    )]
    UnseenLoss {
        /// Mean difference over unseen queries.
        difference: f64,
        /// The loss that is still borne.
        max_loss: f64,
    },
}

/// Judges what was learned by the scores of queries without and with it.
///
/// `test` takes the differences of a group (never empty) and tests their mean against 0; it has to give the same answer each
/// time.
///
/// # Errors
/// `TooFew` when there are fewer queries, or unseen queries, than the options ask for; `ScoreNotFinite`; `Setting`.
pub fn judge(
    scores: &[QueryScores],
    options: &GateOptions,
    test: &dyn Fn(&[f64]) -> Significance,
) -> Result<Verdict, Error> {
    options.check()?;
    if let Some(query) = scores.iter().position(|score| !(score.before.is_finite() && score.after.is_finite())) {
        return Err(Error::ScoreNotFinite { query });
    }
    let unseen = scores.iter().filter(|score| !score.seen).count();
    at_least("queries with judgements", scores.len(), options.min_queries.max(1))?;
    at_least("queries about documents that were not trained on", unseen, options.min_unseen)?;
    let group = |wanted: &dyn Fn(&QueryScores) -> bool| {
        let scores: Vec<QueryScores> = scores.iter().copied().filter(|score| wanted(score)).collect();
        (!scores.is_empty()).then(|| GroupVerdict::of(&scores, test))
    };
    let overall = group(&|_| true).expect("there is at least one query");
    let (seen, unseen) = (group(&|score| score.seen), group(&|score| !score.seen));
    let mut reasons = Vec::new();
    let (difference, p) = (overall.difference, overall.significance.p);
    if difference <= 0.0 {
        reasons.push(Reason::NoGain { difference });
    } else if p.is_nan() || p >= options.level {
        reasons.push(Reason::GainMayBeChance { difference, p, level: options.level });
    }
    let max_loss = options.max_loss_unseen;
    if let Some(GroupVerdict { difference, .. }) = unseen.filter(|unseen| unseen.difference < -max_loss) {
        reasons.push(Reason::UnseenLoss { difference, max_loss });
    }
    Ok(Verdict { ships: reasons.is_empty(), reasons, overall, seen, unseen })
}

impl GroupVerdict {
    /// Means and the test over `scores`, of which there are some.
    pub(crate) fn of(scores: &[QueryScores], test: &dyn Fn(&[f64]) -> Significance) -> Self {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let column = |value: &dyn Fn(&QueryScores) -> f64| scores.iter().map(value).collect::<Vec<f64>>();
        let differences = column(&|score| score.after - score.before);
        Self {
            queries: scores.len(),
            before: mean(&column(&|score| score.before)),
            after: mean(&column(&|score| score.after)),
            difference: mean(&differences),
            significance: test(&differences),
        }
    }
}

impl GateOptions {
    fn check(&self) -> Result<(), Error> {
        in_range("loss on unseen", self.max_loss_unseen, self.max_loss_unseen >= 0.0, "0 or above")?;
        in_range("level", self.level, self.level > 0.0 && self.level <= 1.0, "above 0 and at most 1")
    }
}

/// Refuses a setting that is not finite or that does not fit.
pub(crate) fn in_range(name: &'static str, value: f64, fits: bool, wanted: &'static str) -> Result<(), Error> {
    if value.is_finite() && fits { Ok(()) } else { Err(Error::Setting { name, value, wanted }) }
}

pub(crate) fn at_least(what: &'static str, found: usize, needed: usize) -> Result<(), Error> {
    if found < needed { Err(Error::TooFew { what, found, needed }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `count` queries that all change by `change`.
    fn queries(count: usize, seen: bool, change: f64) -> Vec<QueryScores> {
        vec![QueryScores { before: 0.5, after: 0.5 + change, seen }; count]
    }

    fn with_p(p: f64) -> impl Fn(&[f64]) -> Significance {
        move |differences| Significance { p, low: differences[0], high: differences[0] }
    }

    fn check(scores: &[QueryScores], p: f64, reasons: &[&str]) {
        let verdict = judge(scores, &GateOptions::default(), &with_p(p)).unwrap();
        let found: Vec<String> = verdict.reasons.iter().map(ToString::to_string).collect();
        assert_eq!(found, reasons);
        assert_eq!(verdict.ships, reasons.is_empty());
    }

    #[test]
    fn what_gains_and_loses_nothing_ships() {
        check(&queries(60, false, 0.02), 0.01, &[]);
        check(&[queries(40, true, 0.2), queries(30, false, -0.004)].concat(), 0.01, &[]);
    }

    #[test]
    fn a_gain_by_memory_does_not_ship() {
        let scores = [queries(200, true, 0.23), queries(100, false, -0.05)].concat();
        check(
            &scores,
            0.001,
            &["queries about documents that were not trained on lose: -0.0500, where at most 0.005 may be lost"],
        );
        let verdict = judge(&scores, &GateOptions::default(), &with_p(0.001)).unwrap();
        let (seen, unseen) = (verdict.seen.unwrap(), verdict.unseen.unwrap());
        assert_eq!((seen.queries, unseen.queries, verdict.overall.queries), (200, 100, 300));
        assert!((verdict.overall.difference - 0.41 / 3.0).abs() < 1e-12);
        assert!((unseen.after - 0.45).abs() < 1e-12 && (seen.after - 0.73).abs() < 1e-12);
    }

    #[test]
    fn chance_and_loss_do_not_ship() {
        let chance = "the gain over all queries may be chance: +0.0100, p = 0.200, which is not below 0.05";
        check(&queries(60, false, 0.01), 0.2, &[chance]);
        check(&queries(60, false, 0.0), 0.01, &["no gain over all queries: +0.0000"]);
        let scores = queries(60, false, -0.02);
        let verdict = judge(&scores, &GateOptions::default(), &with_p(0.01)).unwrap();
        assert!(!verdict.ships && verdict.reasons.len() == 2);
        assert!(!judge(&queries(60, false, 0.1), &GateOptions::default(), &with_p(f64::NAN)).unwrap().ships);
    }

    #[test]
    fn too_little_gives_no_verdict() {
        let judge = |scores: &[QueryScores]| judge(scores, &GateOptions::default(), &with_p(0.01)).unwrap_err();
        assert_eq!(
            judge(&queries(49, false, 0.1)).to_string(),
            "49 queries with judgements, where at least 50 are needed"
        );
        assert_eq!(
            judge(&queries(80, true, 0.1)).to_string(),
            "0 queries about documents that were not trained on, where at least 30 are needed"
        );
        let mut scores = queries(60, false, 0.1);
        scores[3].after = f64::NAN;
        assert_eq!(judge(&scores), Error::ScoreNotFinite { query: 3 });
        assert!(matches!(judge(&[]), Error::TooFew { found: 0, .. }));
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for options in [
            GateOptions { level: 0.0, ..GateOptions::default() },
            GateOptions { level: f64::NAN, ..GateOptions::default() },
            GateOptions { max_loss_unseen: -0.1, ..GateOptions::default() },
        ] {
            assert!(matches!(judge(&queries(60, false, 0.1), &options, &with_p(0.0)), Err(Error::Setting { .. })));
        }
    }

    proptest! {
        #[test]
        fn nothing_ships_that_loses(
            scores in prop::collection::vec((0.0_f64..1.0, 0.0_f64..1.0, any::<bool>()), 1..40), p in 0.0_f64..1.0,
        ) {
            let scores: Vec<QueryScores> =
                scores.into_iter().map(|(before, after, seen)| QueryScores { before, after, seen }).collect();
            let options = GateOptions { min_queries: 0, min_unseen: 0, ..GateOptions::default() };
            let verdict = judge(&scores, &options, &with_p(p)).unwrap();
            let gain = |seen: Option<bool>| {
                let group = scores.iter().filter(move |score| seen.is_none_or(|seen| score.seen == seen));
                group.map(|score| score.after - score.before)
            };
            let unseen = gain(Some(false)).count() as f64;
            let expected = gain(None).sum::<f64>() > 0.0
                && p < 0.05
                && (unseen == 0.0 || gain(Some(false)).sum::<f64>() / unseen >= -0.005);
            prop_assert_eq!(verdict.ships, expected);
            prop_assert_eq!(verdict.ships, verdict.reasons.is_empty());
        }
    }
}
