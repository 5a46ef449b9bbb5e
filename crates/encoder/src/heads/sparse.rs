//! SPLADE vectors: weights of the vocabulary's terms, most of them zero.

use serde::Serialize;

/// One term of a sparse vector.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Term {
    /// The piece of the vocabulary, as its file has it.
    pub term: String,
    /// Its id.
    pub id: u32,
    /// Its weight, above the floor.
    pub weight: f32,
}

/// Ids with a weight above `floor` (and above zero), heaviest first; of equal ones the smaller id first.
///
/// `weights` are those of the whole vocabulary, log(1 + relu(logit)), largest over the text's tokens.
pub fn terms(weights: &[f32], floor: f32) -> Vec<(u32, f32)> {
    let floor = floor.max(0.0);
    let heavy = weights.iter().enumerate().filter(|&(_, &weight)| weight > floor);
    let mut terms: Vec<(u32, f32)> = heavy.map(|(id, &weight)| (id as u32, weight)).collect();
    terms.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_terms_above_the_floor_count() {
        assert_eq!(terms(&[0.0, 1.5, 0.2, 1.5], 0.0), [(1, 1.5), (3, 1.5), (2, 0.2)]);
        assert_eq!(terms(&[0.0, 1.5, 0.2], 0.2), [(1, 1.5)]);
        assert_eq!(terms(&[0.0, -1.0, f32::NAN], -5.0), []);
    }
}
