//! Rows of two texts, as cross-encoders and classifiers of pairs read them.

use crate::tokenizer::PairTemplate;
use crate::{Error, Row};

/// A row of two texts, and what of them it could not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairRow {
    /// The row, with token types where the model knows two.
    pub row: Row,
    /// Tokens of the first text that were cut off its end.
    pub first_cut: usize,
    /// Tokens of the second text that were cut off its end.
    pub second_cut: usize,
}

/// How many tokens of two texts stay when together they may be `room`: the longer one is cut first, and what remains is
/// shared evenly once both are equally long. Of an odd room the text that was longer gets one more, the second of equally
/// long ones: the strategy `longest_first` of Hugging Face's tokenizers.
pub(crate) fn longest_first(first: usize, second: usize, room: usize) -> (usize, usize) {
    if first + second <= room {
        return (first, second);
    }
    let (short, odd_to_first) = (first.min(second), first > second);
    let (less, more) = if short <= room / 2 { (short, room - short) } else { (room / 2, room - room / 2) };
    if odd_to_first { (more, less) } else { (less, more) }
}

/// The row of two texts in at most `max_tokens` ids.
///
/// # Errors
/// `RowTooLong` when the special tokens alone do not fit.
pub(crate) fn pair_row(
    template: &PairTemplate,
    first: &[u32],
    second: &[u32],
    max_tokens: usize,
) -> Result<PairRow, Error> {
    let tokens = template.special_tokens();
    let room = max_tokens.checked_sub(tokens).ok_or(Error::RowTooLong { tokens, max_tokens })?;
    let (first_kept, second_kept) = longest_first(first.len(), second.len(), room);
    let text = |ids: &[u32], kind: u8| ids.iter().map(|&id| (id, kind)).collect::<Vec<_>>();
    let typed = [
        template.before.clone(),
        text(&first[..first_kept], template.first_type),
        template.between.clone(),
        text(&second[..second_kept], template.second_type),
        template.after.clone(),
    ]
    .concat();
    let (ids, mut types): (Vec<u32>, Vec<u8>) = typed.into_iter().unzip();
    if types.iter().all(|&kind| kind == 0) {
        types.clear();
    }
    Ok(PairRow {
        row: Row { ids, types, ..Row::default() },
        first_cut: first.len() - first_kept,
        second_cut: second.len() - second_kept,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// tokenizers 0.22: `utils/truncation.rs`, by its three cases.
    #[test]
    fn the_longer_side_is_cut_first() {
        assert_eq!(longest_first(3, 4, 7), (3, 4));
        assert_eq!(longest_first(3, 40, 10), (3, 7));
        assert_eq!(longest_first(40, 3, 10), (7, 3));
        assert_eq!(longest_first(40, 40, 11), (5, 6));
        assert_eq!(longest_first(41, 40, 11), (6, 5));
        assert_eq!(longest_first(5, 5, 0), (0, 0));
        assert_eq!(longest_first(5, 6, 10), (5, 5));
    }

    fn bert() -> PairTemplate {
        PairTemplate { before: vec![(2, 0)], first_type: 0, between: vec![(3, 0)], second_type: 1, after: vec![(3, 1)] }
    }

    #[test]
    fn texts_stand_in_the_template() {
        let pair = pair_row(&bert(), &[10, 11], &[20], 8).unwrap();
        assert_eq!(pair.row.ids, [2, 10, 11, 3, 20, 3]);
        assert_eq!(pair.row.types, [0, 0, 0, 0, 1, 1]);
        assert_eq!((pair.first_cut, pair.second_cut), (0, 0));
        let cut = pair_row(&bert(), &[10, 11], &[20, 21, 22], 6).unwrap();
        assert_eq!((cut.row.ids, cut.first_cut, cut.second_cut), (vec![2, 10, 3, 20, 21, 3], 1, 1));
        assert!(matches!(pair_row(&bert(), &[], &[], 2), Err(Error::RowTooLong { tokens: 3, max_tokens: 2 })));
    }

    #[test]
    fn one_type_is_no_type() {
        let roberta = PairTemplate { second_type: 0, after: vec![(3, 0)], ..bert() };
        assert!(pair_row(&roberta, &[1], &[2], 9).unwrap().row.types.is_empty());
    }

    proptest! {
        #[test]
        fn a_row_is_full_before_anything_is_cut(first in 0_usize..60, second in 0_usize..60, room in 0_usize..60) {
            let (kept_first, kept_second) = longest_first(first, second, room);
            prop_assert!(kept_first <= first && kept_second <= second);
            prop_assert_eq!(kept_first + kept_second, room.min(first + second));
            // What was cut is not shorter than what stayed whole.
            prop_assert!(kept_first == first || kept_first + 1 >= kept_second);
            prop_assert!(kept_second == second || kept_second + 1 >= kept_first);
        }
    }
}
