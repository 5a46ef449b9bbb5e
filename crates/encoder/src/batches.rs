//! Which rows run together on a GPU, and in which shape. Pure.
//!
//! A GPU is fast only with many rows at a time, and TensorRT plans for each shape: so rows of like length are padded to a
//! shape of a fixed ladder. On the processor rows run alone, and none of this is used.

use berth_types::Head;

use crate::workers::Together;

/// Lengths of the ladder, each at most half as long again as the one before it: what is padded stays below a third of a
/// batch, and on average below a sixth.
const LENGTHS: [usize; 14] = [8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024];
/// Above the ladder lengths are multiples of this.
const LONG_STEP: usize = 512;
/// Full batches that a worker takes at once, so that enough rows of like length meet: of texts of mixed length one alone
/// would fall into a handful of batches that leave a GPU half empty. What waits for a batch to end does not wait for them
/// all: queries go between.
const BATCHES_TAKEN: usize = 8;

/// The shapes that batches may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ladder {
    /// Most ids in a row.
    pub(crate) max_tokens: usize,
    /// Most ids in a batch, padding included; a row that alone has more runs alone.
    pub(crate) token_budget: usize,
    /// Most rows in a batch, however short they are.
    pub(crate) most_rows: usize,
    /// Whether the rows of a shape are a power of two, as where something is kept for each shape.
    pub(crate) doubling: bool,
}

/// Rows that run together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Which rows, by their place in the list that was planned.
    pub(crate) rows: Vec<usize>,
    /// Rows of the shape, at least as many as there are.
    pub(crate) slots: usize,
    /// Ids of each row of the shape.
    pub(crate) tokens: usize,
}

impl Ladder {
    /// A ladder whose batches have as many rows as the budget allows.
    pub(crate) fn new(max_tokens: usize, token_budget: usize) -> Self {
        Self { max_tokens, token_budget, most_rows: usize::MAX, doubling: false }
    }

    /// The same with a power of two of rows in a batch, and no more than the longest ones may be.
    ///
    /// A profile of TensorRT's is a rectangle, from the fewest rows of the shortest length to the most of the longest, and
    /// it plans memory for the far corner: 2,048 rows of 8 ids and 32 of 512 in one profile would be 64 budgets large.
    pub(crate) fn within_one_profile(self) -> Self {
        let doubling = Self { doubling: true, ..self };
        Self { most_rows: doubling.slots_for(self.length_for(self.max_tokens)), ..doubling }
    }

    /// Rows that a worker takes at once: a full batch of the shortest, and of others as many as fill several.
    pub(crate) fn together(&self) -> Together {
        let ids = self.token_budget.saturating_mul(BATCHES_TAKEN);
        Together { rows: self.slots_for(self.length_for(1)), ids, ladder: Some(*self) }
    }

    /// Rows of a full batch by what comes of them: where an answer grows with its row, as many as of the longest ones,
    /// since answers wait in memory for those before them.
    pub(crate) fn rows_for(&self, head: Head) -> usize {
        match head {
            Head::Sentence | Head::Classify => self.together().rows,
            _ => self.slots_for(self.length_for(self.max_tokens)),
        }
    }

    /// The shortest length of the ladder that holds `tokens`.
    pub(crate) fn length_for(&self, tokens: usize) -> usize {
        let step = LENGTHS.into_iter().find(|&length| length >= tokens);
        step.unwrap_or_else(|| tokens.next_multiple_of(LONG_STEP)).min(self.max_tokens).max(tokens)
    }

    /// Rows of a full batch of this length.
    pub(crate) fn slots_for(&self, length: usize) -> usize {
        let most = (self.token_budget / length.max(1)).max(1);
        let most = if self.doubling { 1 << most.ilog2() } else { most };
        most.min(self.most_rows)
    }

    /// Puts rows of these lengths into batches, longest first, so that what needs most memory runs first.
    pub(crate) fn plan(&self, lengths: &[usize]) -> Vec<Batch> {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&row| (std::cmp::Reverse(self.length_for(lengths[row])), row));
        let mut batches: Vec<Batch> = Vec::new();
        for row in order {
            let tokens = self.length_for(lengths[row]);
            let full = self.slots_for(tokens);
            match batches.last_mut() {
                Some(batch) if batch.tokens == tokens && batch.rows.len() < full => batch.rows.push(row),
                _ => batches.push(Batch { rows: vec![row], slots: full, tokens }),
            }
        }
        for batch in &mut batches {
            let rows = batch.rows.len();
            batch.slots = if self.doubling { rows.next_power_of_two().min(batch.slots) } else { rows };
        }
        batches
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_of_like_length_share_a_shape() {
        let ladder = Ladder::new(512, 256);
        let lengths = [100, 7, 120, 512, 6, 8, 90];
        let batch = |rows: &[usize], slots, tokens| Batch { rows: rows.to_vec(), slots, tokens };
        let batches =
            |short| [batch(&[3], 1, 512), batch(&[0, 2], 2, 128), batch(&[6], 1, 96), batch(&[1, 4, 5], short, 8)];
        assert_eq!(ladder.plan(&lengths), batches(3));
        assert_eq!(Ladder { doubling: true, ..ladder }.plan(&lengths), batches(4));
        assert_eq!([ladder, Ladder { doubling: true, ..ladder }].map(|ladder| ladder.slots_for(48)), [5, 4]);
    }

    #[test]
    fn lengths_end_at_the_models_own_limit() {
        let ladder = Ladder::new(514, 16_384);
        assert_eq!([1, 8, 9, 512, 513, 514].map(|tokens| ladder.length_for(tokens)), [8, 8, 16, 512, 514, 514]);
        let long = Ladder::new(8_192, 16_384);
        assert_eq!([1_025, 8_000].map(|tokens| long.length_for(tokens)), [1_536, 8_192]);
    }

    #[test]
    fn short_rows_fill_the_budget_and_one_profile_stays_within_it() {
        let ladder = Ladder::new(512, 16_384);
        assert_eq!(ladder.together(), Together { rows: 2_048, ids: 131_072, ladder: Some(ladder) });
        assert_eq!([Head::Sentence, Head::Attention].map(|head| ladder.rows_for(head)), [2_048, 32]);
        let profiled = ladder.within_one_profile();
        assert_eq!(profiled.together().rows, 32);
        for batch in profiled.plan(&vec![5; 100]) {
            assert!(batch.slots * 512 <= 16_384, "{batch:?}");
        }
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_batch_of_a_shape_within_the_budget(
            lengths in proptest::collection::vec(1_usize..=600, 0..80), token_budget in 1_usize..20_000, doubling: bool,
        ) {
            let ladder = Ladder { doubling, ..Ladder::new(600, token_budget) };
            let batches = ladder.plan(&lengths);
            let mut rows: Vec<usize> = batches.iter().flat_map(|batch| batch.rows.clone()).collect();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..lengths.len()).collect::<Vec<_>>());
            for batch in &batches {
                let fits = if doubling { batch.slots.is_power_of_two() } else { batch.slots == batch.rows.len() };
                prop_assert!(fits);
                prop_assert!(batch.rows.len() <= batch.slots);
                prop_assert!(batch.slots < 2 * batch.rows.len(), "half of the slots or more are empty");
                prop_assert!(batch.slots == 1 || batch.slots * batch.tokens <= token_budget);
                prop_assert!(batch.tokens == 600 || batch.tokens.is_multiple_of(512) || LENGTHS.contains(&batch.tokens));
                for &row in &batch.rows {
                    prop_assert!(lengths[row] <= batch.tokens);
                    prop_assert_eq!(batch.tokens, ladder.length_for(lengths[row]));
                }
            }
        }
    }
}
