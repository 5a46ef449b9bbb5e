//! Fits a curve to judged answers, by logistic regression.

use berth_types::Mode;

use super::{Curve, Features};

/// What a slope costs by its square, for each answer: so little that it only keeps slopes finite where relevant and other answers
/// can be told apart without a mistake.
const RIDGE: f64 = 1e-4;
/// Most steps of Newton's method; it takes some ten.
const MOST_STEPS: usize = 100;
/// A step that moves no parameter further is the last.
const CLOSE_ENOUGH: f64 = 1e-9;

/// Bias, and the slopes of cosine and coverage.
type Parameters = [f64; 3];

/// An answer with what judges said of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JudgedAnswer {
    /// What relevance is told from.
    pub features: Features,
    /// Whether it was judged relevant.
    pub is_relevant: bool,
    /// How much it counts, above 0.
    pub weight: f64,
}

/// The curve of a mode that makes the judgements most likely. Slopes are not below zero: what has more in common with the
/// question is never less relevant.
pub fn fit(mode: Mode, answers: &[JudgedAnswer]) -> Curve {
    let known = Curve::of(mode);
    let mut active = [true, known.cosine > 0.0, known.coverage > 0.0];
    loop {
        let parameters = most_likely(answers, active);
        let Some(wrong) = (1..3).find(|&at| parameters[at] < 0.0) else {
            let [bias, cosine, coverage] = parameters.map(|parameter| parameter as f32);
            return Curve { bias, cosine, coverage };
        };
        active[wrong] = false;
    }
}

/// The mean of −ln of the probability that a curve gives to what was judged; lower is better, ln 2 is that of no knowledge. 0 of no
/// answers.
pub fn log_loss(curve: &Curve, answers: &[JudgedAnswer]) -> f64 {
    let parameters = [curve.bias, curve.cosine, curve.coverage].map(f64::from);
    let weight: f64 = answers.iter().map(|answer| answer.weight).sum();
    if weight > 0.0 { answers.iter().map(|answer| loss(&parameters, answer)).sum::<f64>() / weight } else { 0.0 }
}

/// Newton's method on the weighted loss, each step halved until it leads down.
fn most_likely(answers: &[JudgedAnswer], active: [bool; 3]) -> Parameters {
    let weight: f64 = answers.iter().map(|answer| answer.weight).sum();
    let cost = |parameters: &Parameters| {
        let slopes = parameters[1] * parameters[1] + parameters[2] * parameters[2];
        answers.iter().map(|answer| loss(parameters, answer)).sum::<f64>() + 0.5 * RIDGE * weight * slopes
    };
    let mut parameters = [0.0; 3];
    let mut before = cost(&parameters);
    for _ in 0..MOST_STEPS {
        let step = newton_step(answers, &parameters, active, RIDGE * weight);
        let mut share = 1.0;
        let (next, after) = loop {
            let next: Parameters = std::array::from_fn(|at| parameters[at] - share * step[at]);
            let after = cost(&next);
            if after <= before || share < 1e-6 {
                break (next, after);
            }
            share /= 2.0;
        };
        if after > before {
            break;
        }
        let moved = (0..3).map(|at| (next[at] - parameters[at]).abs()).fold(0.0, f64::max);
        (parameters, before) = (next, after);
        if moved < CLOSE_ENOUGH {
            break;
        }
    }
    parameters
}

/// The gradient through the inverse of the second derivatives; 0 for what is not active.
fn newton_step(answers: &[JudgedAnswer], parameters: &Parameters, active: [bool; 3], ridge: f64) -> Parameters {
    // A little on the diagonal keeps it solvable where all answers are alike.
    let mut rows = [[0.0; 4]; 3];
    for (at, row) in rows.iter_mut().enumerate() {
        row[at] = 1e-9 + if at > 0 { ridge } else { 0.0 };
        row[3] = if at > 0 { ridge * parameters[at] } else { 0.0 };
    }
    for answer in answers {
        let inputs = inputs(answer);
        let likely = probability(parameters, &inputs);
        let error = likely - f64::from(u8::from(answer.is_relevant));
        for (at, row) in rows.iter_mut().enumerate() {
            row[3] += answer.weight * error * inputs[at];
            for (other, cell) in row[..3].iter_mut().enumerate() {
                *cell += answer.weight * likely * (1.0 - likely) * inputs[at] * inputs[other];
            }
        }
    }
    for at in (0..3).filter(|&at| !active[at]) {
        for row in &mut rows {
            row[at] = 0.0;
        }
        rows[at] = [0.0; 4];
        rows[at][at] = 1.0;
    }
    solved(rows)
}

/// Solves three equations that are positive definite.
fn solved(mut rows: [[f64; 4]; 3]) -> Parameters {
    for at in 0..3 {
        let pivot = rows[at].map(|cell| cell / rows[at][at]);
        rows[at] = pivot;
        for other in (0..3).filter(|&other| other != at) {
            let factor = rows[other][at];
            for (cell, pivot) in rows[other].iter_mut().zip(pivot) {
                *cell -= factor * pivot;
            }
        }
    }
    [rows[0][3], rows[1][3], rows[2][3]]
}

fn inputs(answer: &JudgedAnswer) -> Parameters {
    [1.0, f64::from(answer.features.cosine), f64::from(answer.features.coverage)]
}

fn probability(parameters: &Parameters, inputs: &Parameters) -> f64 {
    let x: f64 = parameters.iter().zip(inputs).map(|(parameter, input)| parameter * input).sum();
    1.0 / (1.0 + (-x).exp())
}

fn loss(parameters: &Parameters, answer: &JudgedAnswer) -> f64 {
    let x: f64 = parameters.iter().zip(inputs(answer)).map(|(parameter, input)| parameter * input).sum();
    // ln(1 + e^x) without overflow, of x where it is not relevant and of −x where it is.
    let x = if answer.is_relevant { -x } else { x };
    answer.weight * (x.max(0.0) + (-x.abs()).exp().ln_1p())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Answers of a curve, each with both outcomes in their proportion.
    fn drawn(curve: &Curve) -> Vec<JudgedAnswer> {
        let grid = (0..=20).flat_map(|a| (0..=20).map(move |b| (a as f32 / 20.0, b as f32 / 20.0)));
        let both = grid.flat_map(|(cosine, coverage)| {
            let likely = f64::from(curve.at(cosine, coverage));
            [(true, likely), (false, 1.0 - likely)].map(|(is_relevant, weight)| JudgedAnswer {
                features: Features { cosine, coverage },
                is_relevant,
                weight,
            })
        });
        both.filter(|answer| answer.weight > 0.0).collect()
    }

    #[test]
    fn the_curve_that_made_the_judgements_is_found() {
        let curve = Curve { bias: -4.0, cosine: 5.0, coverage: 2.5 };
        let answers = drawn(&curve);
        let found = fit(Mode::Hybrid, &answers);
        for (one, other) in [(found.bias, -4.0), (found.cosine, 5.0), (found.coverage, 2.5)] {
            assert!((one - other).abs() < 0.1, "{found:?}");
        }
        assert!(log_loss(&found, &answers) <= log_loss(&Curve::of(Mode::Hybrid), &answers));
        let dense = fit(Mode::Dense, &answers);
        assert!(dense.coverage == 0.0 && dense.cosine > 1.0, "{dense:?}");
        let lexical = fit(Mode::Lexical, &answers);
        assert!(lexical.cosine == 0.0 && lexical.coverage > 1.0, "{lexical:?}");
    }

    #[test]
    fn more_in_common_is_never_less_relevant_and_perfect_judgements_stay_finite() {
        let falling = drawn(&Curve { bias: 1.0, cosine: -3.0, coverage: 4.0 });
        let found = fit(Mode::Hybrid, &falling);
        assert!(found.cosine == 0.0 && found.coverage > 2.0, "{found:?}");
        let answer = |cosine: f32| JudgedAnswer {
            features: Features { cosine, coverage: 0.5 },
            is_relevant: cosine > 0.5,
            weight: 1.0,
        };
        let apart: Vec<JudgedAnswer> = (0..100).map(|n| answer(n as f32 / 100.0)).collect();
        let found = fit(Mode::Hybrid, &apart);
        assert!(found.cosine.is_finite() && found.at(0.9, 0.5) > 0.95 && found.at(0.1, 0.5) < 0.05, "{found:?}");
        for none in [fit(Mode::Hybrid, &[]), fit(Mode::Hybrid, &apart[..1])] {
            assert!(none.at(0.3, 0.3).is_finite());
        }
    }

    proptest! {
        #[test]
        fn whatever_was_judged_gives_a_rising_curve(
            judged in prop::collection::vec((-1.0f32..1.0, 0.0f32..1.0, any::<bool>()), 0..40),
        ) {
            let answers: Vec<JudgedAnswer> = judged.into_iter().map(|(cosine, coverage, is_relevant)| JudgedAnswer {
                features: Features { cosine, coverage }, is_relevant, weight: 1.0,
            }).collect();
            let found = fit(Mode::Hybrid, &answers);
            prop_assert!(found.bias.is_finite() && found.cosine.is_finite() && found.coverage.is_finite());
            prop_assert!(found.cosine >= 0.0 && found.coverage >= 0.0);
            let none = Curve { bias: 0.0, cosine: 0.0, coverage: 0.0 };
            prop_assert!(log_loss(&found, &answers) <= log_loss(&none, &answers) + 1e-6);
        }
    }
}
