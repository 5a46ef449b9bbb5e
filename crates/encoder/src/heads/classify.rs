//! Scores of labels: sentiment, topic, relevance of a passage to a query, a value.

use berth_types::Problem;
use serde::Serialize;

/// One label with its score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelScore {
    /// Name of the label, as the model's `id2label` has it.
    pub label: String,
    /// A probability; the value itself where the model was trained for regression.
    pub score: f32,
}

/// Reads the `logits` of a classifier, one for each label.
///
/// One label that holds: softmax over all. Several that may hold: a sigmoid each. Both come best first, equal ones in
/// the order of the labels. Values of a regression come as they are, in the order of the labels. A label without a name
/// is called `LABEL_n`, as transformers does.
pub fn label_scores(logits: &[f32], problem: Problem, labels: &[String]) -> Vec<LabelScore> {
    let scores: Vec<f32> = match problem {
        Problem::MultiLabel => logits.iter().map(|&logit| sigmoid(logit)).collect(),
        Problem::Regression => logits.to_vec(),
        _ => softmax(logits),
    };
    let mut named: Vec<LabelScore> = scores
        .into_iter()
        .enumerate()
        .map(|(number, score)| LabelScore { label: name(labels, number), score })
        .collect();
    if problem != Problem::Regression {
        named.sort_by(|one, other| other.score.total_cmp(&one.score));
    }
    named
}

/// How well a passage answers a query, from the `logits` that a cross-encoder gives for the pair; higher is better.
///
/// With one label the sigmoid of its logit, which is what sentence-transformers' `CrossEncoder` returns by default;
/// with several the probability of the last, which trained rerankers use for "relevant". `raw` leaves the logit as it
/// is. None without logits.
pub fn pair_score(logits: &[f32], raw: bool) -> Option<f32> {
    let &last = logits.last()?;
    Some(match logits.len() {
        _ if raw => last,
        1 => sigmoid(last),
        _ => softmax(logits).pop().unwrap_or(last),
    })
}

/// `exp(x) / Σ exp`, with the largest subtracted first so that nothing overflows.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}

pub(crate) fn sigmoid(logit: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(logit)).exp())) as f32
}

pub(crate) fn name(labels: &[String], number: usize) -> String {
    labels.get(number).cloned().unwrap_or_else(|| format!("LABEL_{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(logits: &[f32], problem: Problem, expected: &[(&str, f32)]) {
        let scores = label_scores(logits, problem, &["no".to_owned(), "yes".to_owned()]);
        assert_eq!(scores.len(), expected.len());
        for (score, (label, value)) in scores.iter().zip(expected) {
            assert_eq!(score.label, *label);
            assert!((score.score - value).abs() < 1e-6, "{score:?} {value}");
        }
    }

    #[test]
    fn scores_are_read_as_the_model_was_trained() {
        check(&[0.0, 3.0_f32.ln()], Problem::SingleLabel, &[("yes", 0.75), ("no", 0.25)]);
        check(&[0.0, 0.0], Problem::MultiLabel, &[("no", 0.5), ("yes", 0.5)]);
        check(&[-7.5, 2.0], Problem::Regression, &[("no", -7.5), ("yes", 2.0)]);
        check(&[1000.0, -1000.0, 0.0], Problem::SingleLabel, &[("no", 1.0), ("yes", 0.0), ("LABEL_2", 0.0)]);
        check(&[], Problem::SingleLabel, &[]);
    }

    #[test]
    fn a_pair_has_one_score() {
        assert_eq!(pair_score(&[0.0], false), Some(0.5));
        assert_eq!(pair_score(&[-4.0], true), Some(-4.0));
        assert!((pair_score(&[0.0, 3.0_f32.ln()], false).unwrap() - 0.75).abs() < 1e-6);
        assert_eq!(pair_score(&[], false), None);
    }
}
