//! A fold of queries, held out with and without the documents that answer them.

use std::collections::HashSet;

use super::{Members, ScoreQueries, Scores, checked};
use crate::{ClosedForm, Error, FitStatistics, Hyperparameters, MinedPairs, Provenance};

/// One fold held out in both ways.
pub(super) struct PurgedFold {
    /// Places of held-out members.
    pub(super) held_out: Vec<usize>,
    /// Those of them with an answer that is one in training too.
    pub(super) seen: Vec<usize>,
    /// Learned without documents that answer held-out queries.
    purged: ClosedForm,
    /// Learned from all other queries; none when it is not needed.
    plain: Option<ClosedForm>,
}

impl PurgedFold {
    /// Holds out the members of `fold`.
    pub(super) fn of(
        mined: &MinedPairs<'_>,
        members: &Members,
        fold: usize,
        max_memory_rows: usize,
    ) -> Result<Self, Error> {
        let (held_out, training): (Vec<usize>, Vec<usize>) =
            (0..members.queries.len()).partition(|&place| members.folds[place] == fold);
        let answers = |places: &[usize]| -> HashSet<u32> {
            places.iter().flat_map(|&place| mined.positives(members.queries[place])).collect()
        };
        let (purge, trained) = (answers(&held_out), answers(&training));
        let seen = held_out
            .iter()
            .copied()
            .filter(|&place| mined.positives(members.queries[place]).any(|document| trained.contains(&document)));
        let seen: Vec<usize> = seen.collect();
        let training: Vec<usize> = training.iter().map(|&place| members.queries[place]).collect();
        let learned = |held_out: &dyn Fn(u32) -> bool| {
            let mut statistics = FitStatistics::new(mined.dimensions(), max_memory_rows)?;
            statistics.add(&mined.training_rows(&training, held_out))?;
            statistics.solve()
        };
        let purged = learned(&|document| purge.contains(&document))?;
        let plain = if seen.is_empty() { None } else { Some(learned(&|_| false)?) };
        Ok(Self { held_out, seen, purged, plain })
    }

    /// Scores of held-out members as unseen and of seen members as seen.
    pub(super) fn score<E: From<Error>>(
        &self,
        members: &Members,
        cell: &Hyperparameters,
        provenance: &Provenance,
        score: &mut ScoreQueries<'_, E>,
    ) -> Result<(Vec<Scores>, Vec<Scores>), E> {
        let mut scores = |learned: &ClosedForm, places: &[usize]| {
            let queries: Vec<usize> = places.iter().map(|&place| members.queries[place]).collect();
            checked(&learned.adapter(cell, provenance.clone())?, &queries, score)
        };
        let unseen = scores(&self.purged, &self.held_out)?;
        let seen = self.plain.as_ref().map_or(Ok(Vec::new()), |plain| scores(plain, &self.seen))?;
        Ok((unseen, seen))
    }
}
