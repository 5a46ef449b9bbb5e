//! How the lists of an index are joined in the end: what was named, then what the index stores, then what is built in.

use berth_index::StoredWeights;
use berth_types::{Fusion, Normalize, SPARSE_WEIGHT};
use serde::{Deserialize, Serialize};

/// Share of the dense half in convex fusion where nobody says it.
const CONVEX_WEIGHT: f32 = 0.7;
/// The same in the others.
const DENSE_WEIGHT: f32 = 0.5;
/// The constant of reciprocal rank fusion where nobody says it.
const RRF_K: f32 = 60.0;

/// Kinds of fusion, by the words that people use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FusionKind {
    /// Trusts the lexical half as far as its best answer stands out.
    Adaptive,
    /// Fixed shares.
    Convex,
    /// Reciprocal ranks.
    Rrf,
}

/// What was named of how lists are joined; none: as the index stores it, else as it is built in.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FusionChoice {
    /// How two lists become one.
    pub kind: Option<FusionKind>,
    /// Share of the dense half, 0 to 1.
    pub dense_weight: Option<f32>,
    /// How convex fusion puts both halves on one scale.
    pub normalize: Option<Normalize>,
    /// The constant of reciprocal rank fusion.
    pub rrf_k: Option<f32>,
    /// Share of the sparse list, 0 to 1.
    pub sparse_weight: Option<f32>,
}

/// How the halves are joined in the end, and whether anything of it comes from the index.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ResolvedFusion {
    /// The joining of the halves.
    #[serde(flatten)]
    pub fusion: Fusion,
    /// Share of the sparse list, in an index that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparse_weight: Option<f32>,
    /// Whether anything of it comes from the index.
    pub from_index: bool,
}

impl FusionChoice {
    /// What was named counts; then what the index stores, as far as it is of the same kind of fusion, and weights only for the
    /// model that they were chosen for; then what is built in. `has_sparse`: whether the index has a sparse list.
    pub fn resolved(&self, stored: Option<&StoredWeights>, has_sparse: bool) -> ResolvedFusion {
        let kind = self.kind.or(stored.map(|stored| kind_of(stored.fusion))).unwrap_or(FusionKind::Adaptive);
        let same_kind = stored.filter(|stored| kind_of(stored.fusion) == kind);
        let stored_weight = same_kind.filter(|stored| stored.for_this_model).map(|stored| weight_of(stored.fusion));
        let dense_weight = |built_in| self.dense_weight.or(stored_weight).unwrap_or(built_in);
        let fusion = match kind {
            FusionKind::Adaptive => Fusion::Adaptive { dense_weight: dense_weight(DENSE_WEIGHT) },
            FusionKind::Convex => {
                let stored = same_kind.and_then(|stored| match stored.fusion {
                    Fusion::Convex { normalize, .. } => Some(normalize),
                    _ => None,
                });
                let normalize = self.normalize.or(stored).unwrap_or_default();
                Fusion::Convex { dense_weight: dense_weight(CONVEX_WEIGHT), normalize }
            }
            FusionKind::Rrf => {
                let stored = same_kind.and_then(|stored| match stored.fusion {
                    Fusion::Rrf { k, .. } => Some(k),
                    _ => None,
                });
                let k = self.rrf_k.or(stored).unwrap_or(RRF_K);
                Fusion::Rrf { k, dense_weight: dense_weight(DENSE_WEIGHT) }
            }
        };
        let of_this_model = stored.filter(|stored| stored.for_this_model);
        let stored_sparse = of_this_model.and_then(|stored| stored.sparse_weight).filter(|_| has_sparse);
        let sparse_weight = has_sparse.then(|| self.sparse_weight.or(stored_sparse).unwrap_or(SPARSE_WEIGHT));
        let from_index = self.kind.is_none() && stored.is_some()
            || stored_weight.is_some() && self.dense_weight.is_none()
            || stored_sparse.is_some() && self.sparse_weight.is_none();
        ResolvedFusion { fusion, sparse_weight, from_index }
    }

    /// Whether a dense weight that the index stores would count, were it of this model.
    pub fn asks_for_weight(&self, stored: &StoredWeights) -> bool {
        self.dense_weight.is_none() && self.kind.is_none_or(|kind| kind == kind_of(stored.fusion))
    }
}

fn kind_of(fusion: Fusion) -> FusionKind {
    match fusion {
        Fusion::Adaptive { .. } => FusionKind::Adaptive,
        Fusion::Convex { .. } => FusionKind::Convex,
        Fusion::Rrf { .. } => FusionKind::Rrf,
    }
}

fn weight_of(fusion: Fusion) -> f32 {
    match fusion {
        Fusion::Adaptive { dense_weight } | Fusion::Convex { dense_weight, .. } | Fusion::Rrf { dense_weight, .. } => {
            dense_weight
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(kind: Option<FusionKind>, dense_weight: Option<f32>) -> FusionChoice {
        FusionChoice { kind, dense_weight, ..FusionChoice::default() }
    }

    #[test]
    fn what_was_named_counts_then_the_index_then_what_is_built_in() {
        let fusion = Fusion::Convex { dense_weight: 0.9, normalize: Normalize::ZScore };
        let stored = StoredWeights { fusion, sparse_weight: Some(0.1), relevance: None, for_this_model: true };
        let check = |args: FusionChoice, stored: Option<&StoredWeights>, fusion: Fusion, from_index: bool| {
            assert_eq!(args.resolved(stored, false), ResolvedFusion { fusion, sparse_weight: None, from_index });
        };
        check(args(None, None), None, Fusion::default(), false);
        check(args(None, None), Some(&stored), fusion, true);
        let named = Fusion::Convex { dense_weight: 0.2, normalize: Normalize::ZScore };
        check(args(None, Some(0.2)), Some(&stored), named, true);
        check(args(Some(FusionKind::Convex), None), Some(&stored), fusion, true);
        let adaptive = Fusion::Adaptive { dense_weight: 0.5 };
        check(args(Some(FusionKind::Adaptive), None), Some(&stored), adaptive, false);
        check(args(Some(FusionKind::Rrf), None), None, Fusion::Rrf { k: 60.0, dense_weight: 0.5 }, false);
        check(
            args(Some(FusionKind::Convex), None),
            None,
            Fusion::Convex { dense_weight: 0.7, normalize: Normalize::Max },
            false,
        );
        let of_another = StoredWeights { for_this_model: false, ..stored };
        let kind_alone = Fusion::Convex { dense_weight: 0.7, normalize: Normalize::ZScore };
        check(args(None, None), Some(&of_another), kind_alone, true);
        let sparse = |args: FusionChoice, stored| args.resolved(stored, true).sparse_weight;
        assert_eq!(sparse(args(None, None), None), Some(SPARSE_WEIGHT));
        assert_eq!(sparse(args(None, None), Some(&stored)), Some(0.1));
        assert_eq!(sparse(args(Some(FusionKind::Rrf), None), Some(&stored)), Some(0.1), "of whichever fusion");
        assert_eq!(sparse(args(None, None), Some(&of_another)), Some(SPARSE_WEIGHT));
        let named = FusionChoice { sparse_weight: Some(0.0), ..args(None, None) };
        assert_eq!(sparse(named, Some(&stored)), Some(0.0));
        assert!(args(None, None).asks_for_weight(&of_another) && !args(None, Some(0.1)).asks_for_weight(&of_another));
    }
}
