//! How likely a hit is to answer its question, between 0 and 1: a logistic curve over cosine and coverage.
//!
//! ```text
//! 1 / (1 + e^−x)      x = bias + cosine's weight · cosine + coverage's weight · coverage
//! ```
//!
//! with the cosine of the document's best chunk, and coverage its BM25 over the most that the question's terms could give
//! (0 to 1). Other than a fused score, both mean the same for every question.

mod fit;

use berth_types::Mode;
use serde::{Deserialize, Serialize};

pub use fit::{JudgedAnswer, fit, log_loss};

/// What relevance is told from.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Features {
    /// Cosine of the document's best chunk.
    pub cosine: f32,
    /// BM25 of its best chunk over the most that the question's terms could give, 0 to 1; in sparse search its sparse score over
    /// what the question scores with itself.
    pub coverage: f32,
}

/// The curves of an index, by mode; where it has none of its own, those that are built in count.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Curves {
    #[serde(skip_serializing_if = "Option::is_none")]
    hybrid: Option<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dense: Option<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lexical: Option<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sparse: Option<Curve>,
}

impl Curves {
    /// The curve that counts in a mode.
    pub fn of(&self, mode: Mode) -> Curve {
        let own = match mode {
            Mode::Hybrid => self.hybrid,
            Mode::Dense => self.dense,
            Mode::Lexical => self.lexical,
            Mode::Sparse => self.sparse,
        };
        own.unwrap_or(Curve::of(mode))
    }

    /// Gives a mode a curve of its own; none: the one that is built in.
    pub fn set(&mut self, mode: Mode, curve: Option<Curve>) {
        let place = match mode {
            Mode::Hybrid => &mut self.hybrid,
            Mode::Dense => &mut self.dense,
            Mode::Lexical => &mut self.lexical,
            Mode::Sparse => &mut self.sparse,
        };
        *place = curve;
    }
}

/// A logistic curve. Another collection or model has another one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// x of a document with neither.
    pub bias: f32,
    /// What a cosine of 1 adds.
    pub cosine: f32,
    /// What a coverage of 1 adds.
    pub coverage: f32,
}

impl Curve {
    /// The curve of a mode: of both features in hybrid search, else of the one that the list knows. In sparse search coverage is
    /// the sparse score over what the question scores with itself.
    pub fn of(mode: Mode) -> Self {
        match mode {
            Mode::Hybrid => HYBRID,
            Mode::Dense => DENSE,
            Mode::Lexical => LEXICAL,
            Mode::Sparse => SPARSE,
        }
    }

    /// The relevance of a document with this cosine and this coverage.
    pub fn at(&self, cosine: f32, coverage: f32) -> f32 {
        let x = self.bias + self.cosine * cosine + self.coverage * coverage;
        1.0 / (1.0 + (-x).exp())
    }
}

// Fitted by logistic regression on the first ten hybrid answers to the questions of SciFact train and CoSQA dev, and on those of
// each collection to the other's questions, where nothing is relevant; all four weigh the same. docs/ranking.md has the method.
const HYBRID: Curve = Curve { bias: -8.6, cosine: 7.8, coverage: 5.8 };
const DENSE: Curve = Curve { bias: -9.0, cosine: 11.1, coverage: 0.0 };
const LEXICAL: Curve = Curve { bias: -5.5, cosine: 0.0, coverage: 10.6 };
// Fitted likewise on sparse answers.
const SPARSE: Curve = Curve { bias: -7.9, cosine: 0.0, coverage: 9.0 };

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_in_common_is_hardly_relevant_and_everything_is() {
        for mode in [Mode::Hybrid, Mode::Dense, Mode::Lexical, Mode::Sparse] {
            let curve = Curve::of(mode);
            assert!(curve.at(0.0, 0.0) < 0.05, "{mode:?} {}", curve.at(0.0, 0.0));
            assert!(curve.at(1.0, 1.0) > 0.7, "{mode:?} {}", curve.at(1.0, 1.0));
        }
        assert_eq!(Curve::of(Mode::Dense).coverage, 0.0);
        assert_eq!((Curve::of(Mode::Lexical).cosine, Curve::of(Mode::Sparse).cosine), (0.0, 0.0));
    }

    proptest! {
        #[test]
        fn more_is_never_less_relevant(
            (low, high) in (-1.0..=1.0_f32, -1.0..=1.0_f32).prop_map(|(a, b)| (a.min(b), a.max(b))),
            coverage in 0.0..=1.0_f32,
        ) {
            for mode in [Mode::Hybrid, Mode::Dense, Mode::Lexical, Mode::Sparse] {
                let curve = Curve::of(mode);
                let (one, other) = (curve.at(low, coverage), curve.at(high, coverage));
                prop_assert!((0.0..=1.0).contains(&one) && one <= other);
                let (one, other) = (curve.at(high, coverage), curve.at(high, 1.0));
                prop_assert!(one <= other);
            }
        }
    }
}
