//! Parts of judged queries for training and for testing that do not give answers away.
//!
//! A split by query deceives: where a document answers a training query and a held-out one, what was learned of the document is
//! taken for skill. So documents are kept apart as well.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use crate::Qrels;
use crate::random::Random;

/// Deals query ids into `count` folds whose sizes differ by one at most.
///
/// Each id goes into one fold; ids that come twice count once. The folds follow from the ids and the seed, whatever the order
/// in which ids are given; ids are sorted within each. With fewer ids than folds, some are empty.
pub fn folds<'a>(queries: impl IntoIterator<Item = &'a str>, count: NonZeroUsize, seed: u64) -> Vec<BTreeSet<&'a str>> {
    let sorted: BTreeSet<&str> = queries.into_iter().collect();
    let mut shuffled: Vec<&str> = sorted.into_iter().collect();
    Random::new(seed).shuffle(&mut shuffled);
    let mut folds = vec![BTreeSet::new(); count.get()];
    for (index, query) in shuffled.into_iter().enumerate() {
        folds[index % count].insert(query);
    }
    folds
}

/// The training judgements that are left when held-out queries are to meet only documents that training never saw.
///
/// Drops the queries that are held out themselves, the judgements (of any grade) of documents that are relevant to a held-out
/// query, and the queries that have no relevant document left. A query that loses some of its relevant documents keeps the
/// others: Cranfield in five folds keeps 94 % of its training queries so, and 40 % when such queries are dropped. Whoever
/// looks for negatives leaves out the same documents ([`Qrels::relevant_documents`] of `held_out`).
pub fn purged(training: &Qrels, held_out: &Qrels) -> Qrels {
    let kept_apart = held_out.relevant_documents();
    let mut purged = Qrels::default();
    for (query, judgements) in training.iter() {
        let kept = || judgements.iter().filter(|(document, _)| !kept_apart.contains(document.as_str()));
        if held_out.get(query).is_some() || kept().all(|(_, grade)| *grade <= 0) {
            continue;
        }
        for (document, grade) in kept() {
            purged.insert(query, document, *grade);
        }
    }
    purged
}

/// Held-out queries, by whether training saw an answer to them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenDocuments {
    /// Queries with a relevant document that is relevant to a training query too.
    pub seen: BTreeSet<String>,
    /// Queries whose relevant documents are relevant to no training query.
    pub unseen: BTreeSet<String>,
}

/// Splits the held-out queries that have a relevant document by whether training has it among its relevant ones.
pub fn seen_documents(training: &Qrels, held_out: &Qrels) -> SeenDocuments {
    let learned = training.relevant_documents();
    let mut split = SeenDocuments::default();
    for (query, judgements) in held_out.iter() {
        let mut relevant = judgements.iter().filter(|(_, grade)| **grade > 0).map(|(document, _)| document).peekable();
        if relevant.peek().is_none() {
            continue;
        }
        let seen = relevant.any(|document| learned.contains(document.as_str()));
        (if seen { &mut split.seen } else { &mut split.unseen }).insert(query.to_owned());
    }
    split
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn qrels(judgements: &[(&str, &str, i32)]) -> Qrels {
        let mut qrels = Qrels::default();
        for (query, document, grade) in judgements {
            qrels.insert(query, document, *grade);
        }
        qrels
    }

    fn count(folds: usize) -> NonZeroUsize {
        NonZeroUsize::new(folds).unwrap()
    }

    /// Recorded: another order of the same seed would make a report that nobody can repeat.
    #[test]
    fn folds_stay_what_they_were() {
        let found = folds(["a", "b", "c", "d", "e"], count(2), 7);
        assert_eq!(found, [BTreeSet::from(["b", "c", "d"]), BTreeSet::from(["a", "e"])]);
        assert_eq!(folds([], count(2), 7), [BTreeSet::new(), BTreeSet::new()]);
    }

    #[test]
    fn training_forgets_the_documents_of_held_out_queries() {
        let training = qrels(&[
            ("shares all its answers", "d1", 1),
            ("shares all its answers", "d7", 0),
            ("shares an answer", "d1", 1),
            ("shares an answer", "d7", 1),
            ("shares a miss", "d1", 0),
            ("shares a miss", "d8", 2),
            ("shares what answers nothing", "d2", 1),
            ("held out", "d9", 1),
        ]);
        let held_out = qrels(&[("held out", "d1", 1), ("held out", "d2", 0)]);
        let expected = qrels(&[
            ("shares an answer", "d7", 1),
            ("shares a miss", "d8", 2),
            ("shares what answers nothing", "d2", 1),
        ]);
        assert_eq!(purged(&training, &held_out), expected);
        assert_eq!(purged(&training, &Qrels::default()), training);
    }

    #[test]
    fn held_out_queries_are_told_apart_by_what_training_saw() {
        let training = qrels(&[("t", "d1", 1), ("t", "d2", 0)]);
        let held_out = qrels(&[("a", "d1", 2), ("a", "d3", 1), ("b", "d2", 1), ("b", "d1", 0), ("none", "d1", 0)]);
        let split = seen_documents(&training, &held_out);
        assert_eq!((split.seen, split.unseen), (["a".to_owned()].into(), ["b".to_owned()].into()));
    }

    fn any_qrels() -> impl Strategy<Value = Qrels> {
        prop::collection::vec(("[a-f]", "[p-z]", -1..3_i32), 0..30).prop_map(|judgements| {
            let mut qrels = Qrels::default();
            for (query, document, grade) in judgements {
                qrels.insert(&query, &document, grade);
            }
            qrels
        })
    }

    proptest! {
        #[test]
        fn folds_are_a_partition_whatever_the_order(
            ids in prop::collection::vec("[a-z]{1,2}", 0..40).prop_shuffle(), parts in 1..7_usize, seed in any::<u64>()
        ) {
            let found = folds(ids.iter().map(String::as_str), count(parts), seed);
            let all: BTreeSet<&str> = found.iter().flatten().copied().collect();
            prop_assert_eq!(&all, &ids.iter().map(String::as_str).collect::<BTreeSet<_>>());
            let sizes: Vec<usize> = found.iter().map(BTreeSet::len).collect();
            prop_assert_eq!(sizes.iter().sum::<usize>(), all.len());
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            prop_assert_eq!(folds(ids.iter().rev().map(String::as_str), count(parts), seed), found);
        }

        #[test]
        fn what_is_purged_is_unseen(training in any_qrels(), held_out in any_qrels()) {
            let purged = purged(&training, &held_out);
            prop_assert!(seen_documents(&purged, &held_out).seen.is_empty());
            let apart = held_out.relevant_documents();
            for (query, judgements) in purged.iter() {
                prop_assert!(held_out.get(query).is_none() && judgements.values().any(|grade| *grade > 0));
                prop_assert!(judgements.keys().all(|document| !apart.contains(document.as_str())));
            }
            for (query, judgements) in training.iter().filter(|(query, _)| held_out.get(query).is_none()) {
                let left = judgements.keys().filter(|document| !apart.contains(document.as_str())).count();
                prop_assert!(purged.get(query).is_none_or(|judgements| judgements.len() == left));
            }
        }
    }
}
