//! What the queries of a batch are compared with.

use std::collections::HashMap;

use ndarray::{Array2, Axis};

use super::loss::{self, Batch, Objective, Pair};
use super::{Examples, Parameters};
use crate::Rows;
use crate::numeric::SplitMix64;

/// Documents as candidates: all of them where they are few enough.
pub(super) struct Candidates<'a> {
    documents: Rows<'a>,
    most: usize,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(documents: Rows<'a>, most: usize) -> Self {
        Self { documents, most }
    }

    /// Sum of the losses of a batch, and the gradient of their mean.
    pub(super) fn gradient(
        &self,
        examples: &Examples<'_>,
        pairs: &[Pair],
        parameters: &Parameters,
        objective: Objective,
        random: &mut SplitMix64,
    ) -> (f64, Parameters) {
        self.with_batch(examples, pairs, random, |batch| loss::gradient(batch, parameters, objective))
    }

    /// Mean loss of all pairs, at the temperature that suits them best; the same documents are drawn for the same `seed`.
    pub(super) fn mean_loss(
        &self,
        examples: &Examples<'_>,
        pairs: &[Pair],
        parameters: &Parameters,
        objective: Objective,
        batch_pairs: usize,
        seed: u64,
    ) -> f64 {
        let mut random = SplitMix64::new(seed);
        let mut means = [0.0; loss::TEMPERATURES];
        for pairs_of_batch in pairs.chunks(batch_pairs) {
            let sums = self
                .with_batch(examples, pairs_of_batch, &mut random, |batch| loss::losses(batch, parameters, objective));
            for (mean, sum) in means.iter_mut().zip(sums) {
                *mean += sum / pairs.len() as f64;
            }
        }
        loss::lowest(&means)
    }

    fn with_batch<R>(
        &self,
        examples: &Examples<'_>,
        pairs: &[Pair],
        random: &mut SplitMix64,
        then: impl FnOnce(&Batch<'_>) -> R,
    ) -> R {
        let query_rows: Vec<usize> = pairs.iter().map(|pair| pair.query).collect();
        let queries = examples.queries.view().select(Axis(0), &query_rows);
        let others = |pair: &Pair| {
            let positives = examples.positives[pair.query].iter().copied();
            let ignored = examples.ignored.get(pair.query).into_iter().flatten().copied();
            positives.chain(ignored).filter(|&document| document != pair.document).collect::<Vec<u32>>()
        };
        if self.documents.len() <= self.most {
            return then(&Batch {
                queries: queries.view(),
                candidates: self.documents.view(),
                targets: pairs.iter().map(|pair| pair.document as usize).collect(),
                masked: pairs.iter().map(|pair| others(pair).into_iter().map(|row| row as usize).collect()).collect(),
            });
        }
        let rows = self.draw(examples, pairs, random);
        let places: HashMap<usize, usize> = rows.iter().enumerate().map(|(place, &row)| (row, place)).collect();
        let place = |document: u32| places.get(&(document as usize)).copied();
        let candidates: Array2<f32> = self.documents.view().select(Axis(0), &rows);
        then(&Batch {
            queries: queries.view(),
            candidates: candidates.view(),
            targets: pairs.iter().map(|pair| place(pair.document).expect("a batch holds its documents")).collect(),
            masked: pairs.iter().map(|pair| others(pair).into_iter().filter_map(place).collect()).collect(),
        })
    }

    /// Rows that a batch is compared with, ascending: its documents, its mined negatives, and a sample of all to fill up.
    ///
    /// The batch's own documents are there even where they alone are more than the most wanted.
    fn draw(&self, examples: &Examples<'_>, pairs: &[Pair], random: &mut SplitMix64) -> Vec<usize> {
        let mined = pairs.iter().filter_map(|pair| examples.negatives.get(pair.query)).flatten().copied();
        let own = pairs.iter().map(|pair| pair.document);
        let mut rows: Vec<usize> = Vec::with_capacity(self.most);
        let mut taken = vec![false; self.documents.len()];
        for (place, row) in own.chain(mined).enumerate() {
            let row = row as usize;
            let room = place < pairs.len() || rows.len() < self.most;
            if room && !std::mem::replace(&mut taken[row], true) {
                rows.push(row);
            }
        }
        // There are more documents than are wanted, so this ends; at worst, the last of n is met after n ln n draws.
        while rows.len() < self.most {
            let row = random.below(taken.len());
            if !std::mem::replace(&mut taken[row], true) {
                rows.push(row);
            }
        }
        rows.sort_unstable();
        rows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_batch_is_compared_with_its_own_and_some_others(
            most in 1_usize..20, own in prop::collection::vec(0_u32..30, 1..6), negatives in prop::collection::vec(0_u32..30, 0..6),
            seed: u64,
        ) {
            let values = [1.0; 30];
            let documents = Rows::new(&values, 1).unwrap();
            let positives = vec![own.clone()];
            let negatives = vec![negatives];
            let examples = Examples { queries: Rows::new(&values[..1], 1).unwrap(), positives: &positives, negatives: &negatives, ignored: &[] };
            let pairs: Vec<Pair> = own.iter().map(|&document| Pair { query: 0, document }).collect();
            let rows = Candidates::new(documents, most).draw(&examples, &pairs, &mut SplitMix64::new(seed));
            prop_assert!(rows.is_sorted_by(|a, b| a < b));
            prop_assert!(own.iter().all(|&row| rows.contains(&(row as usize))));
            prop_assert!(rows.len() >= most && rows.len() <= most.max(own.len()));
            if rows.len() > own.len() + negatives[0].len() {
                prop_assert!(negatives[0].iter().all(|&row| rows.contains(&(row as usize))));
            }
        }
    }
}
