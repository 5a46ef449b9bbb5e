//! What a masked language model would put in a place, and how likely it finds what stands there.

use crate::heads::classify::softmax;

/// The `count` ids with the highest probability, best first; of equal ones the smaller id first.
///
/// `logits` are the scores of the whole vocabulary at one place; probabilities are their softmax.
pub fn best_ids(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let probabilities = softmax(logits);
    let mut ids: Vec<usize> = (0..logits.len()).collect();
    let order = |&one: &usize, &other: &usize| logits[other].total_cmp(&logits[one]).then(one.cmp(&other));
    if count < ids.len() {
        ids.select_nth_unstable_by(count, order);
        ids.truncate(count);
    }
    ids.sort_by(order);
    ids.into_iter().map(|id| (id as u32, probabilities[id])).collect()
}

/// Natural logarithm of the probability of `id`, where `logits` are the scores of the whole vocabulary. None for an id
/// outside it.
pub fn log_probability(logits: &[f32], id: u32) -> Option<f64> {
    let own = f64::from(*logits.get(id as usize)?);
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
    Some(own - largest - sum.ln())
}

/// Pseudo-perplexity of a text from the log probabilities of its tokens, each of which was masked once: exp of minus
/// their mean (Salazar et al. 2020, <https://arxiv.org/abs/1910.14659>). None without tokens.
pub fn pseudo_perplexity(log_probabilities: &[f64]) -> Option<f64> {
    let count = log_probabilities.len();
    (count > 0).then(|| (-log_probabilities.iter().sum::<f64>() / count as f64).exp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_best_come_first() {
        let best = best_ids(&[0.0, 2.0_f32.ln(), 0.0], 2);
        assert_eq!(best.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 0]);
        assert!((best[0].1 - 0.5).abs() < 1e-6 && (best[1].1 - 0.25).abs() < 1e-6);
        assert_eq!(best_ids(&[1.0], 5).len(), 1);
        assert!(best_ids(&[], 5).is_empty() && best_ids(&[1.0], 0).is_empty());
    }

    #[test]
    fn a_certain_text_has_perplexity_one() {
        assert_eq!(pseudo_perplexity(&[0.0, 0.0]), Some(1.0));
        let quarter = log_probability(&[0.0; 4], 2).unwrap();
        assert!((pseudo_perplexity(&[quarter; 3]).unwrap() - 4.0).abs() < 1e-9);
        assert_eq!((pseudo_perplexity(&[]), log_probability(&[0.0], 1)), (None, None));
    }

    proptest! {
        #[test]
        fn probabilities_agree(logits in proptest::collection::vec(-50.0_f32..50.0, 1..40)) {
            let best = best_ids(&logits, logits.len());
            prop_assert!((best.iter().map(|(_, p)| p).sum::<f32>() - 1.0).abs() < 1e-4);
            for (id, probability) in best {
                prop_assert!((log_probability(&logits, id).unwrap().exp() - f64::from(probability)).abs() < 1e-6);
            }
        }
    }
}
