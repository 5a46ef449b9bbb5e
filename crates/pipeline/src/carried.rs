//! Which sentence of a passage carries a match in meaning, and which of its words: MaxSim between the tokens of both.

use std::ops::Range;

use berth_types::{Semantic, TokenMatrix};

/// For each token of the query a token of the passage, and their cosine.
type Alike = Vec<(usize, f32)>;

/// What rounding can do to a cosine: of tokens that are equally alike, all count.
const ROUNDING: f32 = 1e-5;

/// Finds the sentence that answers best, token by token.
///
/// A sentence scores the mean, over the query's tokens, of the highest cosine with one of its tokens; the first of the best
/// is taken. Of its tokens those carry the match that are the most alike to a token of the query, and at least as much
/// alike as its mean says. `offsets` are the bytes of each of the passage's tokens, `sentences` those of its sentences,
/// both ascending. None without a token in any sentence.
///
/// # Panics
/// When there is not a range for each token of the passage, or the vectors differ in length.
pub(crate) fn carried_by(
    query: &TokenMatrix,
    passage: &TokenMatrix,
    offsets: &[Range<usize>],
    sentences: &[Range<usize>],
) -> Option<Semantic> {
    assert_eq!(passage.rows(), offsets.len(), "a range for each token");
    assert_eq!(passage.dimensions(), query.dimensions(), "vectors of one model");
    let mut best: Option<(f32, &Range<usize>, Alike)> = None;
    for sentence in sentences {
        let first = offsets.partition_point(|offset| offset.start < sentence.start);
        let end = offsets.partition_point(|offset| offset.start < sentence.end);
        if first >= end {
            continue;
        }
        let alike = most_alike(query, passage, first..end);
        let mean = alike.iter().map(|&(_, cosine)| cosine).sum::<f32>() / alike.len() as f32;
        if best.as_ref().is_none_or(|(highest, ..)| mean > *highest) {
            best = Some((mean, sentence, alike));
        }
    }
    let (mean, sentence, alike) = best?;
    let mut carrying: Vec<usize> =
        alike.iter().filter(|&&(_, cosine)| cosine >= mean - ROUNDING).map(|&(token, _)| token).collect();
    carrying.sort_unstable();
    carrying.dedup();
    let mut tokens: Vec<(usize, usize)> = Vec::new();
    for token in carrying {
        let Range { start, end } = offsets[token];
        match tokens.last_mut() {
            // Pieces of one word, or of one character.
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => tokens.push((start, end)),
        }
    }
    Some(Semantic { sentence: (sentence.start, sentence.end), tokens })
}

/// For each token of the query, the token of the passage that is most like it, of those in a range, and the cosine.
fn most_alike(query: &TokenMatrix, passage: &TokenMatrix, tokens: Range<usize>) -> Alike {
    let dimensions = query.dimensions();
    let row = |token: usize| &passage.as_slice()[token * dimensions..(token + 1) * dimensions];
    let of_one = |asked: &[f32]| {
        let mut best = (tokens.start, f32::NEG_INFINITY);
        for token in tokens.clone() {
            let cosine = asked.iter().zip(row(token)).map(|(a, b)| a * b).sum();
            if cosine > best.1 {
                best = (token, cosine);
            }
        }
        best
    };
    query.as_slice().chunks_exact(dimensions).map(of_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn towards(degrees: &[f32]) -> TokenMatrix {
        let values = degrees.iter().flat_map(|degrees| [degrees.to_radians().cos(), degrees.to_radians().sin()]);
        TokenMatrix::normalized(values.collect(), 2).unwrap()
    }

    #[test]
    fn the_sentence_with_the_nearest_tokens_carries() {
        // "ab cd. ef gh." of four tokens and two full stops; the query's two tokens are in the second sentence.
        let passage = towards(&[90.0, 120.0, 200.0, 10.0, 50.0, 200.0]);
        let offsets = [0..2, 3..5, 5..6, 7..9, 10..12, 12..13];
        let found = carried_by(&towards(&[0.0, 45.0]), &passage, &offsets, &[0..7, 7..13]).unwrap();
        assert_eq!((found.sentence, &found.tokens[..]), ((7, 13), &[(10, 12)][..]), "the nearer of the two tokens");
        let found = carried_by(&towards(&[10.0, 50.0]), &passage, &offsets, &[0..7, 7..13]).unwrap();
        assert_eq!(found.tokens, [(7, 9), (10, 12)]);
        assert_eq!(carried_by(&towards(&[0.0]), &passage, &offsets, &[]), None);
        assert_eq!(carried_by(&towards(&[0.0]), &passage, &offsets, &[13..20, 20..30]), None);
        // The first of equal sentences.
        let found = carried_by(&towards(&[200.0]), &passage, &offsets, &[0..7, 7..13]).unwrap();
        assert_eq!((found.sentence, &found.tokens[..]), ((0, 7), &[(5, 6)][..]));
    }

    #[test]
    fn pieces_of_a_word_are_one_range() {
        let found = carried_by(&towards(&[0.0, 90.0]), &towards(&[0.0, 90.0]), &[0..3, 3..6], &[0..6, 6..9]).unwrap();
        assert_eq!(found.tokens, [(0, 6)]);
    }
}
