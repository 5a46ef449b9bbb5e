//! Which documents are learned from and which are kept for validation, and which pairs can be trusted.

use crate::rows::expect_size;
use crate::{Error, PseudoQuery};

/// Places of documents, in two sets without a common one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DocumentSplit {
    /// Documents to learn from, ascending.
    pub training: Vec<usize>,
    /// Documents that training never sees, ascending.
    pub validation: Vec<usize>,
}

/// The fold of a document, below `folds`: a hash of seed and id, so that it stays when documents come and go.
pub fn fold_of(id: &str, folds: usize, seed: u64) -> usize {
    ((lot(id, seed) as u128 * folds as u128) >> 64) as usize
}

/// Splits documents by their ids; about `validation_share` of them are for validation.
///
/// Which set a document is in depends on its id and the seed alone.
///
/// # Errors
/// `Setting` when the share does not lie in 0..=1.
pub fn split_documents<'a>(
    ids: impl IntoIterator<Item = &'a str>,
    validation_share: f64,
    seed: u64,
) -> Result<DocumentSplit, Error> {
    if !(0.0..=1.0).contains(&validation_share) {
        return Err(Error::Setting { name: "validation share", value: validation_share, wanted: "from 0 to 1" });
    }
    let mut split = DocumentSplit::default();
    for (place, id) in ids.into_iter().enumerate() {
        let side = if (lot(id, seed) as f64) < validation_share * 2.0_f64.powi(64) {
            &mut split.validation
        } else {
            &mut split.training
        };
        side.push(place);
    }
    Ok(split)
}

fn lot(id: &str, seed: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(id.as_bytes());
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("eight bytes"))
}

/// Whether `document` stands among the first `within` of a ranking, best first.
pub fn is_consistent(document: usize, ranking: &[usize], within: usize) -> bool {
    ranking.iter().take(within).any(|&found| found == document)
}

/// Keeps the queries whose document is found within the first `within` places (Dai et al., *Promptagator: few-shot dense
/// retrieval from 8 examples*, 2023, section 3.3).
///
/// `rankings` are the documents found for each query, best first.
///
/// # Errors
/// `SizeMismatch` when there is not one ranking for each query.
pub fn keep_consistent(
    queries: Vec<PseudoQuery>,
    rankings: &[Vec<usize>],
    within: usize,
) -> Result<Vec<PseudoQuery>, Error> {
    expect_size("rankings", queries.len(), rankings.len())?;
    let pairs = queries.into_iter().zip(rankings);
    Ok(pairs
        .filter(|(query, ranking)| is_consistent(query.document, ranking, within))
        .map(|(query, _)| query)
        .collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::PairKind;

    proptest! {
        #[test]
        fn every_document_is_on_one_side_and_stays_there(
            ids in prop::collection::btree_set("[a-z]{1,4}", 0..30), share in 0.0_f64..=1.0, seed: u64,
        ) {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let split = split_documents(ids.iter().copied(), share, seed).unwrap();
            let mut all = [split.training.clone(), split.validation.clone()].concat();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..ids.len()));
            for (place, id) in ids.iter().enumerate() {
                let alone = split_documents([*id], share, seed).unwrap();
                prop_assert_eq!(alone.validation.len() == 1, split.validation.contains(&place));
            }
        }

        #[test]
        fn folds_are_used_evenly(folds in 1_usize..8, seed: u64) {
            let mut counts = vec![0; folds];
            (0..800).for_each(|place| counts[fold_of(&place.to_string(), folds, seed)] += 1);
            prop_assert!(counts.iter().all(|&count| count > 800 / folds / 3), "{counts:?}");
        }
    }

    #[test]
    fn shares_at_the_ends_leave_one_side_empty() {
        let ids = ["a", "b", "c"];
        assert!(split_documents(ids, 0.0, 1).unwrap().validation.is_empty());
        assert!(split_documents(ids, 1.0, 1).unwrap().training.is_empty());
        assert!(split_documents(ids, f64::NAN, 1).is_err());
    }

    #[test]
    fn what_retrieval_does_not_find_is_dropped() {
        let query = |document| PseudoQuery { kind: PairKind::Title, text: String::new(), document, byte_range: None };
        let rankings = [vec![0, 1], vec![0, 1], vec![]];
        let kept = |within| keep_consistent(vec![query(0), query(1), query(2)], &rankings, within).unwrap().len();
        assert_eq!([0, 1, 2, 9].map(kept), [0, 1, 2, 2]);
        assert!(keep_consistent(vec![query(0)], &rankings, 1).is_err());
    }
}
