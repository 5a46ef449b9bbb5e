//! Learned-sparse vectors: weights of the vocabulary's pieces, most of them zero, in steps that an index can count.

use std::cmp::Reverse;

use thiserror::Error;

/// Steps to a weight of 1. A power of two, so that scores are exact in `f32`.
///
/// SPLADE weights are ln(1 + logit), and 255 steps of 1/64 are a logit of 52. The measurement is in docs/ranking.md.
pub const STEPS_PER_UNIT: u32 = 64;

/// Most pieces of a vector, the heaviest: as many as cannot exceed 32 bits in a score, be all of them the heaviest there are.
pub const MAX_PIECES: usize = 1 << 16;

/// A learned-sparse vector (SPLADE, Formal, Piwowarski and Clinchant 2021): ids of the vocabulary's pieces, ascending, each
/// with its impact, the weight in steps of 1/64 from 1 to 255.
///
/// What weighs less than half a step is left out, what weighs more than 255 steps counts as 255.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SparseVector {
    pieces: Vec<(u32, u8)>,
}

/// Why something is no sparse vector.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum SparseVectorError {
    /// A weight is infinite or not a number.
    #[error("the weight of piece {id} is {weight}, which is no finite number")]
    NotFinite {
        /// Id of the piece.
        id: u32,
        /// Its weight.
        weight: f32,
    },
    /// Pieces do not ascend.
    #[error("piece {id} is there twice or out of order")]
    OutOfOrder {
        /// Id of the piece.
        id: u32,
    },
    /// An impact of 0 stands for nothing.
    #[error("the impact of piece {id} is 0")]
    NoImpact {
        /// Id of the piece.
        id: u32,
    },
    /// More pieces than a score could be computed for.
    #[error("{received} pieces are too many, at most {MAX_PIECES} are possible")]
    TooMany {
        /// How many there are.
        received: usize,
    },
}

impl SparseVector {
    /// Rounds weights by piece to steps. Of more pieces than a vector takes, the heaviest are kept, of equals the lower ids.
    ///
    /// # Errors
    /// `NotFinite`, `OutOfOrder` for a piece that is there twice.
    pub fn quantized(weights: impl IntoIterator<Item = (u32, f32)>) -> Result<Self, SparseVectorError> {
        let mut pieces = Vec::new();
        for (id, weight) in weights {
            if !weight.is_finite() {
                return Err(SparseVectorError::NotFinite { id, weight });
            }
            let steps = (weight * STEPS_PER_UNIT as f32).round().clamp(0.0, f32::from(u8::MAX)) as u8;
            if steps > 0 {
                pieces.push((id, steps));
            }
        }
        if pieces.len() > MAX_PIECES {
            pieces.sort_unstable_by_key(|&(id, impact)| (Reverse(impact), id));
            pieces.truncate(MAX_PIECES);
        }
        pieces.sort_unstable_by_key(|&(id, _)| id);
        Self::from_pieces(pieces)
    }

    /// A vector as it was stored.
    ///
    /// # Errors
    /// `OutOfOrder`, `NoImpact`, `TooMany`.
    pub fn from_pieces(pieces: Vec<(u32, u8)>) -> Result<Self, SparseVectorError> {
        if pieces.len() > MAX_PIECES {
            return Err(SparseVectorError::TooMany { received: pieces.len() });
        }
        if let Some(pair) = pieces.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            return Err(SparseVectorError::OutOfOrder { id: pair[1].0 });
        }
        match pieces.iter().find(|&&(_, impact)| impact == 0) {
            Some(&(id, _)) => Err(SparseVectorError::NoImpact { id }),
            None => Ok(Self { pieces }),
        }
    }

    /// Ids with their impacts, ids ascending.
    pub fn pieces(&self) -> &[(u32, u8)] {
        &self.pieces
    }

    /// The scalar product with another vector, in steps of both.
    pub fn dot(&self, other: &Self) -> u32 {
        let (mut ours, mut theirs) = (self.pieces.as_slice(), other.pieces.as_slice());
        let mut sum = 0;
        while let (Some((&(a, impact), rest)), Some((&(b, other), others))) = (ours.split_first(), theirs.split_first())
        {
            if a == b {
                sum += u32::from(impact) * u32::from(other);
            }
            if a <= b {
                ours = rest;
            }
            if b <= a {
                theirs = others;
            }
        }
        sum
    }
}

/// What an impact weighs.
pub fn weight_of_impact(impact: u8) -> f32 {
    f32::from(impact) / STEPS_PER_UNIT as f32
}

/// The score that a scalar product in steps stands for.
pub fn sparse_score(steps: u32) -> f32 {
    steps as f32 / (STEPS_PER_UNIT * STEPS_PER_UNIT) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn weights_become_steps() {
        let vector = SparseVector::quantized([(7, 1.0), (3, 0.5), (9, 0.007), (1, 100.0), (2, -1.0)]).unwrap();
        assert_eq!(vector.pieces(), [(1, 255), (3, 32), (7, 64)]);
        assert_eq!(vector.dot(&SparseVector::quantized([(3, 2.0), (7, 0.25), (8, 1.0)]).unwrap()), 32 * 128 + 64 * 16);
        assert_eq!(sparse_score(32 * 128 + 64 * 16), 0.5 * 2.0 + 0.25);
        assert_eq!(weight_of_impact(32), 0.5);
        assert_eq!(SparseVector::quantized([]).unwrap(), SparseVector::default());
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        let error = SparseVector::quantized([(1, f32::INFINITY)]).unwrap_err();
        assert_eq!(error, SparseVectorError::NotFinite { id: 1, weight: f32::INFINITY });
        assert_eq!(SparseVector::quantized([(1, 1.0), (1, 2.0)]), Err(SparseVectorError::OutOfOrder { id: 1 }));
        assert_eq!(SparseVector::from_pieces(vec![(2, 1), (1, 1)]), Err(SparseVectorError::OutOfOrder { id: 1 }));
        assert_eq!(SparseVector::from_pieces(vec![(2, 0)]), Err(SparseVectorError::NoImpact { id: 2 }));
        let many: Vec<(u32, u8)> = (0..=MAX_PIECES as u32).map(|id| (id, 1)).collect();
        assert_eq!(SparseVector::from_pieces(many), Err(SparseVectorError::TooMany { received: MAX_PIECES + 1 }));
    }

    #[test]
    fn the_heaviest_pieces_are_kept_and_no_score_overflows() {
        let all = (0..=MAX_PIECES as u32).map(|id| (id, if id == 5 { 1.0 } else { 100.0 }));
        let vector = SparseVector::quantized(all).unwrap();
        assert_eq!(vector.pieces().len(), MAX_PIECES);
        assert!(!vector.pieces().contains(&(5, 64)));
        assert_eq!(u64::from(vector.dot(&vector)), MAX_PIECES as u64 * 255 * 255);
    }

    proptest! {
        /// No weight is further off than half a step.
        #[test]
        fn half_a_step_is_lost_at_most(weights in prop::collection::btree_map(0..50_000_u32, 0.0..3.98_f32, 0..200)) {
            let vector = SparseVector::quantized(weights.clone()).unwrap();
            let impact = |id: u32| vector.pieces().iter().find(|piece| piece.0 == id).map_or(0, |piece| piece.1);
            for (id, weight) in weights {
                prop_assert!((weight_of_impact(impact(id)) - weight).abs() <= 0.5 / STEPS_PER_UNIT as f32 + 1e-6);
            }
            prop_assert_eq!(SparseVector::from_pieces(vector.pieces().to_vec()), Ok(vector));
        }
    }
}
