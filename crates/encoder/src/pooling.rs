//! Token states into one vector, where the graph does not do it itself. Pure.
//!
//! The definitions are those of sentence-transformers' `Pooling` module, over rows that have no padding.

use berth_types::{Embedding, EmbeddingError, Pooling};

/// Pools `states`, which is `[tokens, hidden]` with the last axis fastest, into `[hidden]`.
///
/// Returns nothing for a row without tokens.
pub fn pool(pooling: Pooling, states: &[f32], hidden: usize) -> Vec<f32> {
    if hidden == 0 || states.is_empty() {
        return Vec::new();
    }
    let tokens = states.len() / hidden;
    match pooling {
        Pooling::Cls => states[..hidden].to_vec(),
        Pooling::LastToken => states[(tokens - 1) * hidden..tokens * hidden].to_vec(),
        Pooling::Max => {
            let mut largest = states[..hidden].to_vec();
            for state in states.chunks_exact(hidden).skip(1) {
                for (largest, &value) in largest.iter_mut().zip(state) {
                    // A NaN is kept, so that it is refused later and never hidden.
                    *largest = if value > *largest || value.is_nan() { value } else { *largest };
                }
            }
            largest
        }
        Pooling::Mean => weighted_sum(states, hidden, |_| 1.0, tokens as f64),
        Pooling::MeanSqrtLen => weighted_sum(states, hidden, |_| 1.0, (tokens as f64).sqrt()),
        Pooling::WeightedMean => {
            let total = (tokens * (tokens + 1)) as f64 / 2.0;
            weighted_sum(states, hidden, |token| (token + 1) as f64, total)
        }
        // The enum may grow; a card that names something new is refused when it is read.
        _ => Vec::new(),
    }
}

/// Sums in 64 bits, so that long rows lose nothing.
fn weighted_sum(states: &[f32], hidden: usize, weight: impl Fn(usize) -> f64, divisor: f64) -> Vec<f32> {
    let mut sums = vec![0.0_f64; hidden];
    for (token, state) in states.chunks_exact(hidden).enumerate() {
        let weight = weight(token);
        for (sum, &value) in sums.iter_mut().zip(state) {
            *sum += weight * f64::from(value);
        }
    }
    sums.into_iter().map(|sum| (sum / divisor) as f32).collect()
}

/// Keeps the first `dimensions` values and scales them to unit norm (Matryoshka; Kusupati et al. 2022, arXiv 2205.13147).
/// Asked for as many as there are or more, returns the vector as it is.
///
/// # Errors
/// `Empty` for no dimensions, `ZeroNorm` when what is kept is zero throughout.
pub fn shorten(embedding: &Embedding, dimensions: usize) -> Result<Embedding, EmbeddingError> {
    if dimensions >= embedding.dimensions() {
        return Ok(embedding.clone());
    }
    Embedding::normalized(embedding.as_slice()[..dimensions].to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HIDDEN: usize = 3;

    fn rows() -> impl Strategy<Value = Vec<f32>> {
        proptest::collection::vec(-8.0_f32..8.0, HIDDEN..HIDDEN * 40).prop_map(|mut values| {
            values.truncate(values.len() / HIDDEN * HIDDEN);
            values
        })
    }

    fn close(one: &[f32], other: &[f32]) -> bool {
        one.len() == other.len() && one.iter().zip(other).all(|(one, other)| (one - other).abs() < 1e-4)
    }

    #[test]
    fn each_pooling_by_hand() {
        let states = [1.0, -2.0, 5.0, 4.0];
        let check = |pooling, expected: [f32; 2]| {
            let pooled = pool(pooling, &states, 2);
            assert!(close(&pooled, &expected), "{pooling}: {pooled:?}");
        };
        check(Pooling::Mean, [3.0, 1.0]);
        check(Pooling::Cls, [1.0, -2.0]);
        check(Pooling::Max, [5.0, 4.0]);
        check(Pooling::MeanSqrtLen, [6.0 / 2.0_f32.sqrt(), 2.0 / 2.0_f32.sqrt()]);
        check(Pooling::WeightedMean, [11.0 / 3.0, 2.0]);
        check(Pooling::LastToken, [5.0, 4.0]);
    }

    #[test]
    fn no_tokens_give_no_vector_and_nan_is_not_hidden() {
        for pooling in Pooling::ALL {
            assert!(pool(pooling, &[], 4).is_empty());
        }
        assert!(pool(Pooling::Max, &[f32::NAN, 1.0], 1)[0].is_nan());
        assert!(pool(Pooling::Max, &[1.0, f32::NAN], 1)[0].is_nan());
    }

    #[test]
    fn a_short_vector_is_the_beginning_of_the_long_one() {
        let long = Embedding::normalized(vec![3.0, 4.0, 12.0]).unwrap();
        assert!(close(shorten(&long, 2).unwrap().as_slice(), &[0.6, 0.8]));
        assert_eq!(shorten(&long, 3).unwrap(), long);
        assert_eq!(shorten(&long, 9).unwrap(), long);
        assert_eq!(shorten(&long, 0), Err(EmbeddingError::Empty));
        let late = Embedding::normalized(vec![0.0, 0.0, 1.0]).unwrap();
        assert_eq!(shorten(&late, 2), Err(EmbeddingError::ZeroNorm));
    }

    proptest! {
        #[test]
        fn one_token_is_its_own_vector(state in proptest::collection::vec(-8.0_f32..8.0, HIDDEN)) {
            for pooling in Pooling::ALL {
                prop_assert_eq!(&pool(pooling, &state, HIDDEN), &state);
            }
        }

        #[test]
        fn sums_and_maxima_do_not_depend_on_order_and_ends_change_places(states in rows()) {
            let backwards: Vec<f32> = states.rchunks_exact(HIDDEN).flatten().copied().collect();
            for pooling in [Pooling::Mean, Pooling::Max, Pooling::MeanSqrtLen] {
                prop_assert!(close(&pool(pooling, &states, HIDDEN), &pool(pooling, &backwards, HIDDEN)));
            }
            prop_assert_eq!(pool(Pooling::Cls, &states, HIDDEN), pool(Pooling::LastToken, &backwards, HIDDEN));
        }

        #[test]
        fn averages_lie_between_the_extremes(states in rows()) {
            let largest = pool(Pooling::Max, &states, HIDDEN);
            let negated: Vec<f32> = states.iter().map(|value| -value).collect();
            let smallest: Vec<f32> = pool(Pooling::Max, &negated, HIDDEN).iter().map(|value| -value).collect();
            for pooling in [Pooling::Mean, Pooling::WeightedMean] {
                for (position, value) in pool(pooling, &states, HIDDEN).into_iter().enumerate() {
                    prop_assert!(value >= smallest[position] - 1e-4 && value <= largest[position] + 1e-4);
                }
            }
        }

        #[test]
        fn the_root_of_the_length_stands_between_sum_and_mean(states in rows()) {
            let root = ((states.len() / HIDDEN) as f32).sqrt();
            let scaled: Vec<f32> = pool(Pooling::Mean, &states, HIDDEN).iter().map(|value| value * root).collect();
            prop_assert!(close(&pool(Pooling::MeanSqrtLen, &states, HIDDEN), &scaled));
        }

        #[test]
        fn equal_states_pool_to_themselves(state in proptest::collection::vec(-8.0_f32..8.0, HIDDEN), tokens in 1_usize..50) {
            let states = state.repeat(tokens);
            for pooling in Pooling::ALL.into_iter().filter(|pooling| *pooling != Pooling::MeanSqrtLen) {
                prop_assert!(close(&pool(pooling, &states, HIDDEN), &state));
            }
        }

        #[test]
        fn a_shortened_vector_has_unit_norm(values in proptest::collection::vec(0.1_f32..8.0, 8), dimensions in 1_usize..8) {
            let short = shorten(&Embedding::normalized(values).unwrap(), dimensions).unwrap();
            let norm: f32 = short.as_slice().iter().map(|value| value * value).sum();
            prop_assert!(short.dimensions() == dimensions && (norm - 1.0).abs() < 1e-5);
        }
    }
}
