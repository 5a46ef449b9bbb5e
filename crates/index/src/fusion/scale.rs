//! How scores of two kinds are put on one scale.

use berth_types::Normalize;

use super::HalfList;

/// A scale for the scores of one half and one question: (score − low) / span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// What counts as 0.
    pub low: f32,
    /// What counts as 1 above that; 0 where scores do not differ, and then all count as 0.
    pub span: f32,
    /// What the two are.
    pub measure: Measure,
}

/// What a scale was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Scores count as they are.
    Raw,
    /// 0 and the highest of the list.
    Highest,
    /// The lowest of the list, and the highest above it.
    Range,
    /// Mean and standard deviation of the list.
    Deviation,
    /// The lowest and the highest that there can be.
    Bounds,
}

impl Scale {
    /// Of cosines, which are on a common scale already; sums of them that exceed it are divided by the highest.
    pub fn of_cosines(list: &HalfList, normalize: Normalize) -> Self {
        let highest = list.highest();
        match normalize {
            Normalize::Max if highest > 1.0 => Self { low: 0.0, span: highest, measure: Measure::Highest },
            Normalize::Max => Self { low: 0.0, span: 1.0, measure: Measure::Raw },
            Normalize::Bounds => Self { low: -1.0, span: 1.0 + highest.max(1.0), measure: Measure::Bounds },
            Normalize::MinMax => Self::range(list),
            Normalize::ZScore => Self::deviation(list),
        }
    }

    /// Of BM25, which has no highest value.
    pub fn of_bm25(list: &HalfList, normalize: Normalize) -> Self {
        let highest = list.highest();
        match normalize {
            Normalize::Max => Self { low: 0.0, span: highest, measure: Measure::Highest },
            Normalize::Bounds => Self { low: 0.0, span: list.ceiling.max(highest), measure: Measure::Bounds },
            Normalize::MinMax => Self::range(list),
            Normalize::ZScore => Self::deviation(list),
        }
    }

    /// Where on the scale a score is.
    pub fn share(&self, score: f32) -> f32 {
        if self.span > 0.0 { (score - self.low) / self.span } else { 0.0 }
    }

    /// The score that a document has which the half did not list and nobody supplied one for: nothing where 0 is the lowest
    /// there is, else the lowest listed.
    pub(super) fn absent_bm25(&self, list: &HalfList) -> f32 {
        match self.measure {
            Measure::Raw | Measure::Highest | Measure::Bounds => 0.0,
            Measure::Range | Measure::Deviation => list.lowest(),
        }
    }

    fn range(list: &HalfList) -> Self {
        Self { low: list.lowest(), span: list.highest() - list.lowest(), measure: Measure::Range }
    }

    fn deviation(list: &HalfList) -> Self {
        let scores = || list.documents.iter().map(|document| f64::from(document.score));
        let count = list.documents.len().max(1) as f64;
        let mean = scores().sum::<f64>() / count;
        let variance = scores().map(|score| (score - mean).powi(2)).sum::<f64>() / count;
        // What rounding leaves of equal scores is no deviation.
        let is_level = list.highest() == list.lowest();
        let span = if is_level { 0.0 } else { variance.sqrt() as f32 };
        Self { low: mean as f32, span, measure: Measure::Deviation }
    }
}
