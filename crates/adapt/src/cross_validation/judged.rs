//! How queries fared with one cell, as unseen and as seen.

use super::{CellReport, MeanScores, Scores};
use crate::{Hyperparameters, QueryScores};

/// How queries fared with one cell, each judged as [`Members`] lists them.
#[derive(Clone)]
pub(super) struct Judged {
    pub(super) unseen: Vec<Scores>,
    pub(super) seen: Vec<Option<Scores>>,
}

impl Judged {
    /// The mean gain of dense and hybrid for each query, as seen where it was judged so.
    pub(super) fn gains(&self, before: &[Scores]) -> Vec<f64> {
        let after = self.seen.iter().zip(&self.unseen).map(|(seen, unseen)| seen.unwrap_or(*unseen));
        after.zip(before).map(|(after, before)| after.minus(*before).mean()).collect()
    }

    /// Means, and what they say of the cell.
    pub(super) fn report(&self, cell: &Hyperparameters, before: &[Scores], max_loss: f64) -> CellReport {
        let gains = self.gains(before);
        let unseen = before.iter().copied().zip(self.unseen.iter().copied()).collect::<Vec<_>>();
        let seen = before.iter().zip(&self.seen).filter_map(|(before, seen)| Some((*before, (*seen)?)));
        let seen: Vec<(Scores, Scores)> = seen.collect();
        let unseen = MeanScores::of(&unseen);
        CellReport {
            hyperparameters: *cell,
            unseen,
            seen: (!seen.is_empty()).then(|| MeanScores::of(&seen)),
            objective: gains.iter().sum::<f64>() / gains.len() as f64,
            eligible: unseen.smaller_gain() >= -max_loss,
        }
    }

    /// All queries as unseen, then those that were also judged as seen.
    pub(super) fn query_scores(&self, before: &[Scores], score: impl Fn(&Scores) -> f64) -> Vec<QueryScores> {
        let one = |before, after, seen| QueryScores { before: score(before), after: score(after), seen };
        let unseen = before.iter().zip(&self.unseen).map(|(before, after)| one(before, after, false));
        let seen = before.iter().zip(&self.seen);
        unseen.chain(seen.filter_map(|(before, after)| Some(one(before, after.as_ref()?, true)))).collect()
    }
}

impl Scores {
    /// `self` − `other`.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self { dense: self.dense - other.dense, hybrid: self.hybrid - other.hybrid }
    }

    fn mean(self) -> f64 {
        f64::midpoint(self.dense, self.hybrid)
    }
}

impl MeanScores {
    /// Means over pairs of scores before and after, of which there are some.
    fn of(pairs: &[(Scores, Scores)]) -> Self {
        let mean = |value: &dyn Fn(&(Scores, Scores)) -> f64| pairs.iter().map(value).sum::<f64>() / pairs.len() as f64;
        Self {
            queries: pairs.len(),
            before: Scores { dense: mean(&|pair| pair.0.dense), hybrid: mean(&|pair| pair.0.hybrid) },
            after: Scores { dense: mean(&|pair| pair.1.dense), hybrid: mean(&|pair| pair.1.hybrid) },
        }
    }

    /// `after` − `before`.
    pub fn gain(&self) -> Scores {
        self.after.minus(self.before)
    }

    /// The gain of dense or of hybrid.
    pub(super) fn smaller_gain(&self) -> f64 {
        self.gain().dense.min(self.gain().hybrid)
    }
}
