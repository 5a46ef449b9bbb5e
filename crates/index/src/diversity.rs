//! Maximal marginal relevance (Carbonell and Goldstein 1998): what repeats a hit above comes later.
//!
//! ```text
//! (1 − d) · relevance − d · highest cosine with what was picked before
//! ```
//!
//! A cosine below zero counts as none, so that scores fall from pick to pick and an order by them is the order of picking.

/// What was picked, and why then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pick {
    /// Which of those that were handed in.
    pub position: usize,
    /// (1 − d) · relevance − d · likeness.
    pub score: f32,
    /// Highest cosine with what was picked before, at least 0.
    pub likeness: f32,
    /// Which pick that is with, from 0; none for the first, and where no cosine is above 0.
    pub like: Option<usize>,
}

/// Picks `count`, one after the other, each time the highest score; ties by position.
///
/// `vectors` has a row of unit norm for each relevance, `[relevance.len(), dimensions]`, row-major; a row of zeros is like
/// nothing. `diversity` is d, clamped to 0 to 1; at 0 the relevance alone orders.
///
/// # Panics
/// When there is not a row for each relevance.
pub fn diversify(relevance: &[f32], vectors: &[f32], dimensions: usize, diversity: f32, count: usize) -> Vec<Pick> {
    assert_eq!(relevance.len() * dimensions, vectors.len(), "a row for each");
    let diversity = diversity.clamp(0.0, 1.0);
    let row = |position: usize| &vectors[position * dimensions..(position + 1) * dimensions];
    let score = |pick: &Pick| (1.0 - diversity) * relevance[pick.position] - diversity * pick.likeness;
    let mut open: Vec<Pick> = (0..relevance.len())
        .map(|position| Pick { position, score: 0.0, likeness: 0.0, like: None })
        .map(|pick| Pick { score: score(&pick), ..pick })
        .collect();
    let mut picked: Vec<Pick> = Vec::with_capacity(count.min(open.len()));
    while picked.len() < count {
        let best = (0..open.len())
            .min_by(|&a, &b| open[b].score.total_cmp(&open[a].score).then(open[a].position.cmp(&open[b].position)));
        let Some(best) = best else { break };
        let pick = open.swap_remove(best);
        for other in &mut open {
            let cosine: f32 = row(pick.position).iter().zip(row(other.position)).map(|(a, b)| a * b).sum();
            if cosine > other.likeness {
                (other.likeness, other.like) = (cosine, Some(picked.len()));
                other.score = score(other);
            }
        }
        picked.push(pick);
    }
    picked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unit(degrees: &[f32]) -> Vec<f32> {
        degrees.iter().flat_map(|degrees| [degrees.to_radians().cos(), degrees.to_radians().sin()]).collect()
    }

    #[test]
    fn what_repeats_comes_later() {
        let vectors = unit(&[0.0, 5.0, 90.0]);
        let order = |diversity| -> Vec<usize> {
            diversify(&[0.9, 0.8, 0.6], &vectors, 2, diversity, 9).iter().map(|pick| pick.position).collect()
        };
        assert_eq!(order(0.0), [0, 1, 2]);
        assert_eq!(order(0.5), [0, 2, 1]);
        let picks = diversify(&[0.9, 0.8, 0.6], &vectors, 2, 0.5, 9);
        assert_eq!((picks[0].likeness, picks[0].like), (0.0, None));
        assert_eq!(picks[2].like, Some(0));
        assert!((picks[2].score - (0.5 * 0.8 - 0.5 * 5f32.to_radians().cos())).abs() < 1e-6, "{picks:?}");
        assert_eq!(diversify(&[], &[], 2, 0.5, 3), []);
        assert_eq!(diversify(&[0.5, 0.5], &unit(&[0.0, 90.0]), 2, 0.3, 1)[0].position, 0, "ties by position");
    }

    proptest! {
        #[test]
        fn scores_fall_and_each_is_picked_once(
            documents in prop::collection::vec((0.0..1.0_f32, 0.0..360.0_f32), 0..40),
            diversity in 0.0..=1.0_f32,
        ) {
            let relevance: Vec<f32> = documents.iter().map(|&(relevance, _)| relevance).collect();
            let vectors = unit(&documents.iter().map(|&(_, degrees)| degrees).collect::<Vec<_>>());
            let picks = diversify(&relevance, &vectors, 2, diversity, usize::MAX);
            prop_assert!(picks.windows(2).all(|pair| pair[0].score >= pair[1].score), "{picks:?}");
            let mut positions: Vec<usize> = picks.iter().map(|pick| pick.position).collect();
            positions.sort_unstable();
            prop_assert_eq!(positions, (0..documents.len()).collect::<Vec<_>>());
            for pick in &picks {
                let score = (1.0 - diversity) * relevance[pick.position] - diversity * pick.likeness;
                prop_assert_eq!(pick.score, score);
            }
        }

        #[test]
        fn without_diversity_relevance_orders(relevance in prop::collection::vec(0.0..1.0_f32, 1..30)) {
            let picks = diversify(&relevance, &vec![1.0; relevance.len()], 1, 0.0, usize::MAX);
            prop_assert!(picks.iter().all(|pick| pick.score == relevance[pick.position]));
        }
    }
}
